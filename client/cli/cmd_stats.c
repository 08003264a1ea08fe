/* SPDX-License-Identifier: MIT
 *
 * cmd_stats.c - jobq stats: queues and counters; jobq worker: who works. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/format_json.h"
#include "client/cli/table.h"
#include "client/cli/text.h"

static int out_of_memory(const struct jq_cli *cli)
{
    return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

static int ask(struct jq_cli *cli, struct jq_answer *ret_answer)
{
    const struct jq_msg msg = { .tag = JQ_MSG_STATS };

    return jq_cli_request(cli, &msg, JQ_MSG_STATISTICS, ret_answer);
}

/* ---- stats ---- */

static bool print_queues(const struct jq_cli *cli, struct jq_records list)
{
    static const struct jq_column columns[] = {
        { "QUEUE", false },    { "ORDER", false }, { "READY", true },     { "RUNNING", true },
        { "SUCCEEDED", true }, { "FAILED", true }, { "CANCELLED", true },
    };
    struct jq_queue_info queue;
    struct jq_table table;

    jq_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (struct jq_reader r = jq_records_reader(list); jq_queue_info_next(&r, &queue);) {
        jq_table_text(&table, queue.name);
        jq_table_text(&table, queue.order);
        jq_table_number(&table, (long long)queue.ready);
        jq_table_number(&table, (long long)queue.running);
        jq_table_number(&table, (long long)queue.succeeded);
        jq_table_number(&table, (long long)queue.failed);
        jq_table_number(&table, (long long)queue.cancelled);
    }
    const bool fine = jq_table_print(&table, stdout, cli->colours, 0);
    jq_table_fini(&table);
    return fine;
}

static bool print_counters(const struct jq_cli *cli, struct jq_records list)
{
    static const struct jq_column columns[] = { { "SINCE THE START", false }, { "VALUE", true } };
    struct jq_counter counter;
    struct jq_table table;

    jq_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (struct jq_reader r = jq_records_reader(list); jq_counter_next(&r, &counter);) {
        jq_table_text(&table, counter.name);
        jq_table_number(&table, (long long)counter.value);
    }
    const bool fine = jq_table_print(&table, stdout, cli->colours, 0);
    jq_table_fini(&table);
    return fine;
}

static int run_stats(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct jq_answer answer;
    struct jq_queue_info queue;
    bool fine = true;

    (void)values;
    (void)words;
    const int status = ask(cli, &answer);
    if (status != 0)
        return status;
    const struct jq_statistics *s = &answer.msg.u.statistics;
    switch (cli->format) {
    case JQ_FORMAT_TABLE:
        fine = print_queues(cli, s->queues);
        fputc('\n', stdout);
        fine &= print_counters(cli, s->counters);
        break;
    case JQ_FORMAT_ID:
        for (struct jq_reader r = jq_records_reader(s->queues); jq_queue_info_next(&r, &queue);)
            printf("%.*s\n", JQ_VIEW_ARG(queue.name));
        break;
    case JQ_FORMAT_JSON:
    case JQ_FORMAT_JSONL: {
        struct jq_json_object *object = jq_json_open();
        jq_json_queues(object, "queues", s->queues);
        jq_json_workers(object, "workers", s->workers);
        jq_json_counters(object, "counters", s->counters);
        fine = jq_json_close(object, stdout);
        break;
    }
    }
    jq_answer_fini(&answer);
    return fine ? 0 : out_of_memory(cli);
}

const struct jq_command jq_cmd_stats = {
    .name = "stats",
    .synopsis = "",
    .summary = "queues and counters",
    .notes = "\n"
             "  jobq -o json stats | jq .counters\n",
    .run = run_stats,
};

/* ---- worker ---- */

static int print_workers(const struct jq_cli *cli, struct jq_records list)
{
    static const struct jq_column columns[] = {
        { "NAME", false }, { "HOST", false }, { "PID", true },   { "SLOTS", true },
        { "BUSY", true },  { "JOBS", true },  { "HEARD", true }, { "STATE", false },
    };
    struct jq_worker_info worker;
    struct jq_table table;

    jq_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (struct jq_reader r = jq_records_reader(list); jq_worker_info_next(&r, &worker);) {
        jq_table_text(&table, worker.name);
        jq_table_text(&table, worker.host);
        jq_table_number(&table, (long long)worker.pid);
        jq_table_number(&table, (long long)worker.slots);
        jq_table_number(&table, (long long)worker.busy);
        jq_table_number(&table, (long long)worker.jobs);
        jq_text_duration(&table.text, (int64_t)worker.silent_ms);
        jq_table_cell(&table, JQ_PLAIN);
        jq_text_add(&table.text, worker.draining ? "leaving" : "working");
        jq_table_cell(&table, worker.draining ? JQ_YELLOW : JQ_GREEN);
    }
    const bool fine = jq_table_print(&table, stdout, cli->colours, 0);
    jq_table_fini(&table);
    return fine ? 0 : out_of_memory(cli);
}

static int list_workers(const struct jq_cli *cli, struct jq_records list)
{
    struct jq_worker_info worker;
    struct jq_json_list json;

    if (cli->format == JQ_FORMAT_TABLE)
        return print_workers(cli, list);
    jq_json_start(&json, stdout, cli->format == JQ_FORMAT_JSONL);
    for (struct jq_reader r = jq_records_reader(list); jq_worker_info_next(&r, &worker);) {
        if (cli->format == JQ_FORMAT_ID)
            printf("%.*s\n", JQ_VIEW_ARG(worker.name));
        else
            jq_json_worker_info(&json, &worker);
    }
    return cli->format == JQ_FORMAT_ID || jq_json_end(&json) ? 0 : out_of_memory(cli);
}

static void describe_tags(struct jq_buf *text, struct jq_records tags)
{
    struct jq_word tag;

    for (struct jq_reader r = jq_records_reader(tags); jq_word_next(&r, &tag);) {
        jq_text_add(text, "tag        ");
        jq_text_clean(text, tag.name);
        jq_text_add(text, "\n");
    }
}

static void describe_worker(const struct jq_worker_info *worker)
{
    struct jq_buf text = { 0 };
    const char *config = worker->config.data;

    jq_text_add(&text, "name       ");
    jq_text_clean(&text, worker->name);
    jq_text_add(&text, "\nhost       ");
    jq_text_clean(&text, worker->host);
    jq_text_add(&text, "\npid        %" PRIu64 "\nbusy       %" PRIu64 " of %" PRIu64 " slots",
                worker->pid, worker->busy, worker->slots);
    jq_text_add(&text, "\njobs       %" PRIu64 "\nheard      ", worker->jobs);
    jq_text_duration(&text, (int64_t)worker->silent_ms);
    jq_text_add(&text, " ago\nleaving    %s\n", worker->draining ? "yes" : "no");
    describe_tags(&text, worker->tags);
    for (size_t at = 0; at < worker->config.size;) {
        const char *end = memchr(config + at, '\n', worker->config.size - at);
        const size_t size = end ? (size_t)(end - config) - at : worker->config.size - at;
        jq_text_add(&text, "  ");
        jq_text_clean(&text, jq_view(config + at, size));
        jq_text_add(&text, "\n");
        at += size + 1;
    }
    printf("%.*s", JQ_VIEW_ARG(jq_buf_view(&text)));
    jq_buf_fini(&text);
}

static int show_worker(const struct jq_cli *cli, struct jq_records list, const char *name)
{
    struct jq_worker_info worker;
    struct jq_json_list json;
    size_t found = 0;

    jq_json_start(&json, stdout, cli->format == JQ_FORMAT_JSONL);
    for (struct jq_reader r = jq_records_reader(list); jq_worker_info_next(&r, &worker);) {
        if (!jq_view_equal(worker.name, jq_view_str(name)))
            continue;
        found++;
        if (cli->format == JQ_FORMAT_TABLE)
            describe_worker(&worker);
        else if (cli->format == JQ_FORMAT_ID)
            printf("%.*s\n", JQ_VIEW_ARG(worker.name));
        else
            jq_json_worker_info(&json, &worker);
    }
    if (cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL)
        if (!jq_json_end(&json))
            return out_of_memory(cli);
    return found ? 0 : jq_cli_fail(cli, JQ_ENOENT, "no worker is called %s", name);
}

static int run_worker(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const char *verb = words->count ? words->list[0] : "ls";
    const bool is_info = strcmp(verb, "info") == 0;
    struct jq_answer answer;

    (void)values;
    if (!is_info && strcmp(verb, "ls") != 0)
        return jq_cli_usage(cli, &jq_cmd_worker, "worker: '%s' is neither ls nor info", verb);
    if (is_info != (words->count == 2))
        return jq_cli_usage(cli, &jq_cmd_worker,
                            is_info ? "worker info needs a worker's name"
                                    : "worker ls takes no other words");
    int status = ask(cli, &answer);
    if (status != 0)
        return status;
    const struct jq_records list = answer.msg.u.statistics.workers;
    status = is_info ? show_worker(cli, list, words->list[1]) : list_workers(cli, list);
    jq_answer_fini(&answer);
    return status;
}

const struct jq_command jq_cmd_worker = {
    .name = "worker",
    .synopsis = "ls | info NAME",
    .summary = "the workers; one worker with its settings",
    .notes = "\n"
             "  jobq worker ls\n",
    .words_max = 2,
    .words_name = "NAME",
    .run = run_worker,
};
