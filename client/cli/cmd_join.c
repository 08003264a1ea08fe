/* SPDX-License-Identifier: MIT
 *
 * cmd_join.c - jobq join: until nothing of a queue is unfinished, or what is; jobq peek: the item
 * that would be taken next. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/items.h"
#include "client/cli/job_query.h"
#include "client/cli/keeper.h"
#include "client/cli/stdio.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "proto/base/clock.h"

/* ---- join ---- */

enum { SHOWN_MAX = 50, LISTED_MAX = 1000 };

static bool wants_json(const struct jq_cli *cli)
{
    return cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;
}

static int out_of_memory(const struct jq_cli *cli)
{
    return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

static bool print_outstanding(struct jq_records jobs)
{
    static const struct jq_column columns[] = {
        { "ID", true }, { "STATE", false }, { "BY", false }, { "FOR", true }, { "SINCE", false },
    };
    const jq_ns now = jq_clock_now().wall;
    struct jq_table table;
    struct jq_job_info info;

    jq_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (struct jq_reader r = jq_records_reader(jobs); jq_job_info_next(&r, &info);) {
        const bool runs = info.state == JQ_RUNNING && info.started_at > 0;
        const jq_ns since = runs ? info.started_at : info.created_at;
        jq_table_number(&table, (long long)info.id);
        jq_text_add(&table.text, "%s", jq_state_name((enum jq_job_state)info.state));
        jq_table_cell(&table, JQ_PLAIN);
        jq_table_text(&table, runs ? info.worker : jq_view_str(""));
        jq_text_duration(&table.text, (now - since) / 1000000);
        jq_table_cell(&table, JQ_PLAIN);
        jq_text_time(&table.text, since);
        jq_table_cell(&table, JQ_PLAIN);
    }
    const bool fine = jq_table_print(&table, stderr, false, 0);
    jq_table_fini(&table);
    return fine;
}

struct outstanding {
    struct jq_buf jobs; /* job_info records */
    uint32_t count;
    bool more;
};

static int collect(void *arg, const struct jq_job_info *info)
{
    struct outstanding *o = arg;

    jq_job_info_write(&o->jobs, info);
    o->count++;
    return 0;
}

static int ask_outstanding(struct jq_cli *cli, const char *queue, struct outstanding *o)
{
    struct jq_job_query query = { .queue = queue,
                                  .limit = wants_json(cli) ? LISTED_MAX : SHOWN_MAX };

    for (int i = 0; i < JQ_JOB_STATES; i++)
        if (!jq_state_is_terminal((enum jq_job_state)i))
            query.states |= UINT64_C(1) << i;
    cli->globals.timeout_ms = -1; /* that time is over */
    const int status = jq_jobs_list(cli, &query, collect, o, &o->more);
    return status || jq_buf_ok(&o->jobs) ? status : out_of_memory(cli);
}

static bool print_all(const struct jq_cli *cli, const char *queue, const struct outstanding *o)
{
    const struct jq_records jobs = jq_records_of(o->count, &o->jobs);

    if (wants_json(cli)) {
        struct jq_json_object *object = jq_json_open();
        jq_json_text(object, "queue", queue);
        jq_json_bool(object, "joined", false);
        jq_json_jobs(object, "outstanding", jobs);
        jq_json_bool(object, "more", o->more);
        return jq_json_close(object, stdout);
    }
    fprintf(stderr, "jobq: timed out: queue %s has unfinished items:\n", queue);
    const bool fine = print_outstanding(jobs);
    if (o->more)
        fprintf(stderr, "jobq: and more (jobq ls -Q %s --state active)\n", queue);
    return fine;
}

/* The join has timed out. */
static int tell_outstanding(struct jq_cli *cli, const char *queue)
{
    struct outstanding o = { .count = 0 };

    int status = ask_outstanding(cli, queue, &o);
    if (status == 0)
        status = print_all(cli, queue, &o) ? JQ_EXIT_TIMEDOUT : out_of_memory(cli);
    jq_buf_fini(&o.jobs);
    return status;
}

int jq_join(struct jq_cli *cli, struct jobq_queue *queue, const char *name)
{
    jq_keeper_start(cli);
    const int error = jobq_join(queue, cli->globals.timeout_ms);
    if (error == JOBQ_ETIMEDOUT)
        return tell_outstanding(cli, name);
    if (error != 0)
        return jq_cli_fail_call(cli, error, "join");
    if (!wants_json(cli))
        return 0;
    struct jq_json_object *object = jq_json_open();
    jq_json_text(object, "queue", name);
    jq_json_bool(object, "joined", true);
    return jq_json_close(object, stdout) ? 0 : out_of_memory(cli);
}

static int run_join(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct jobq_queue *queue = NULL;

    (void)values;
    int status = jq_items_open(cli, words->list[0], 0, &queue);
    if (status != 0)
        return status;
    status = jq_join(cli, queue, words->list[0]);
    jobq_queue_free(&queue);
    return status;
}

const struct jq_command jq_cmd_join = {
    .name = "join",
    .synopsis = "QUEUE",
    .summary = "wait until everything in a queue has been dealt with",
    .notes =
        "Until no item or job of the queue is unfinished, what is added meanwhile included. When\n"
        "--timeout is over: exit code 124, and standard error says what is outstanding, by whom\n"
        "and since when. 6 no such queue; 3 no broker.\n"
        "\n"
        "  jobq join --timeout 10m mail\n",
    .words_min = 1,
    .words_max = 1,
    .words_name = "QUEUE",
    .has_codes = true,
    .run = run_join,
};

/* ---- peek ---- */

static int print_item(const struct jq_cli *cli, const struct jq_item *item)
{
    if (cli->format == JQ_FORMAT_ID) {
        printf("%" PRIu64 "\n", item->id);
        return 0;
    }
    if (cli->format == JQ_FORMAT_TABLE) {
        const int error = jq_items_write(item->payload);
        return error ? jq_cli_fail(cli, JQ_EIO, "standard output: %s", strerror(error)) : 0;
    }
    struct jq_json_object *object = jq_json_open();
    jq_json_id(object, "id", item->id);
    jq_json_number(object, "priority", item->priority);
    jq_json_number(object, "attempt", (int64_t)item->attempt);
    jq_json_time(object, "created_at", item->created_at);
    jq_json_bytes(object, "payload", item->payload);
    return jq_json_close(object, stdout) ? 0 : out_of_memory(cli);
}

static int run_peek(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct jq_msg msg = { .tag = JQ_MSG_PEEK,
                                .u.peek = { .queue = jq_view_str(words->list[0]) } };
    struct jq_answer answer;

    (void)values;
    int status = jq_cli_queue_name(cli, words->list[0]);
    if (status == 0)
        status = jq_cli_request(cli, &msg, JQ_MSG_ITEM, &answer);
    if (status != 0)
        return status;
    status = print_item(cli, &answer.msg.u.item);
    jq_answer_fini(&answer);
    return status;
}

const struct jq_command jq_cmd_peek = {
    .name = "peek",
    .synopsis = "QUEUE",
    .summary = "the item that would be taken next, without taking it",
    .notes = "Prints exactly its bytes; with -o json an object, with -o id its id. Exit codes: 4\n"
             "empty; 6 no such queue; 3 no broker.\n"
             "\n"
             "  jobq peek mail | head -1\n",
    .words_min = 1,
    .words_max = 1,
    .words_name = "QUEUE",
    .has_codes = true,
    .run = run_peek,
};
