/* SPDX-License-Identifier: MIT
 *
 * cmd_queue.c - jobq queue: make queues, set what can be set of them, look at them. */
#include "client/cli/cmd_queue.h"

#include <stdio.h>

#include "client/cli/items.h"
#include "client/cli/queue_conf.h"
#include "client/cli/table.h"
#include "client/cli/text.h"

static int out_of_memory(const struct jq_cli *cli)
{
    return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

bool jq_queue_said(const struct jq_answer *answer, struct jq_queue_info *ret_info,
                   struct jq_queue_conf *ret_conf)
{
    struct jq_reader info = jq_records_reader(answer->msg.u.queue_said.info);
    struct jq_reader conf = jq_records_reader(answer->msg.u.queue_said.conf);

    return jq_queue_info_next(&info, ret_info) && jq_queue_conf_next(&conf, ret_conf);
}

/* ---- one queue ---- */

static bool print_whole(const struct jq_cli *cli, const struct jq_queue_info *info,
                        const struct jq_queue_conf *conf)
{
    struct jq_buf text = { 0 };

    if (cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL) {
        struct jq_json_object *object = jq_json_open_queue(info);
        jq_json_settings(object, "settings", conf);
        return jq_json_close(object, stdout);
    }
    if (cli->format == JQ_FORMAT_ID) {
        printf("%.*s\n", JQ_VIEW_ARG(info->name));
        return true;
    }
    jq_queue_describe(&text, info);
    jq_queue_conf_describe(&text, conf);
    const bool fine = jq_buf_ok(&text);
    printf("%.*s", JQ_VIEW_ARG(jq_buf_view(&text)));
    jq_buf_fini(&text);
    return fine;
}

/* Asks, and prints the answer unless it is `quiet`: what was asked for has happened. */
static int ask(struct jq_cli *cli, const struct jq_msg *msg, bool quiet)
{
    struct jq_answer answer;
    struct jq_queue_info info;
    struct jq_queue_conf conf;

    int status = jq_cli_request(cli, msg, JQ_MSG_QUEUE_SAID, &answer);
    if (status != 0)
        return status;
    if (!jq_queue_said(&answer, &info, &conf))
        status = jq_cli_fail(cli, JQ_EPROTO, "the broker said nothing of the queue");
    else if (!(quiet && cli->format == JQ_FORMAT_TABLE) && !print_whole(cli, &info, &conf))
        status = out_of_memory(cli);
    jq_answer_fini(&answer);
    return status;
}

/* ---- create and set ---- */

struct values {
    struct jq_queue_flags conf;
    bool if_missing;
};

static const struct jq_flag create_flags[] = {
#define AT(member) offsetof(struct values, conf.member)
#include "client/cli/queue_flags.def"
    { "if-missing", 0, JQ_FLAG_BOOL, offsetof(struct values, if_missing), 0, 0, NULL,
      "a queue that exists is fine, and stays as it is" },
};

static const struct jq_flag set_flags[] = {
#define AT(member) offsetof(struct values, conf.member)
#include "client/cli/queue_flags.def"
};

static const struct values defaults = {
    .conf = {
#define WORD(member, name, FIELD, words, help) .member = NULL,
#define TEXT WORD
#define NUMBER(member, name, FIELD, kind, max, plus, zero, value, help) .member = -1,
#include "client/cli/queue_settings.def"
    },
};

static int show(struct jq_cli *cli, const char *name, bool quiet)
{
    const struct jq_msg msg = { .tag = JQ_MSG_QUEUE_ASK,
                                .u.queue_ask = { .name = jq_view_str(name) } };

    return ask(cli, &msg, quiet);
}

/* `again`: one that exists is fine. It may be our own, made by the first copy of a request that was
 * sent twice. */
static int make(struct jq_cli *cli, const struct jq_msg *msg, const char *name, bool again)
{
    struct jq_answer answer = { .frame = NULL };

    const int status = jq_cli_connect(cli);
    if (status != 0)
        return status;
    const int error = jq_request(cli->client, msg, jq_cli_request_ms(cli), &answer);
    if (error != 0 && !(error == JOBQ_EEXIST && (again || answer.is_repeated)))
        return jq_cli_fail_call(cli, error, "queue create");
    if (error == 0)
        jq_answer_fini(&answer);
    return show(cli, name, true);
}

static int set(struct jq_cli *cli, const struct values *v, const char *name,
               enum jq_queue_mode mode)
{
    struct jq_queue_conf conf;
    struct jq_detail detail = { "" };
    struct jq_buf record = { 0 };
    uint64_t fields = 0;

    int status = jq_cli_queue_name(cli, name);
    if (status != 0)
        return status;
    if (jq_queue_flags_read(&v->conf, &conf, &fields, &detail) != JQ_OK)
        return jq_cli_usage(cli, cli->command, "%s", detail.text);
    if (mode == JQ_QUEUE_CHANGE && fields == 0)
        return jq_cli_usage(cli, cli->command, "queue set: what is to be set?");
    jq_queue_conf_write(&record, &conf);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .u.queue_set = { .name = jq_view_str(name),
                         .mode = mode,
                         .fields = fields,
                         .conf = jq_records_of(1, &record) },
    };
    if (!jq_buf_ok(&record))
        status = out_of_memory(cli);
    else
        status =
            mode == JQ_QUEUE_MAKE ? make(cli, &msg, name, v->if_missing) : ask(cli, &msg, true);
    jq_buf_fini(&record);
    return status;
}

static int run_create(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    return set(cli, values, words->list[0], JQ_QUEUE_MAKE);
}

static int run_set(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    return set(cli, values, words->list[0], JQ_QUEUE_CHANGE);
}

static const struct jq_command create = {
    .name = "queue create",
    .synopsis = "[flags] QUEUE",
    .summary = "make a queue",
    .notes = "Without flags first in, first out, and unbounded: as the first put makes it. Exit\n"
             "codes: 17 it exists; 2 bad usage; 3 no broker.\n"
             "\n"
             "  jobq queue create mail --order priority --maxsize 10000\n",
    .flags = create_flags,
    .flag_count = JQ_FLAG_COUNT(create_flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_min = 1,
    .words_max = 1,
    .words_name = "QUEUE",
    .has_codes = true,
    .run = run_create,
};

static const struct jq_command change = {
    .name = "queue set",
    .synopsis = "flags QUEUE",
    .summary = "change what is set of a queue",
    .notes =
        "At once, and for good. A smaller maxsize drops nothing. The order changes only while\n"
        "the queue is empty. Exit codes: 6 no such queue; 1 it is not empty; 2 bad usage.\n"
        "\n"
        "  jobq queue set mail --maxsize 20000 --retries 5 --backoff 1s --backoff-max 10m\n",
    .flags = set_flags,
    .flag_count = JQ_FLAG_COUNT(set_flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_min = 1,
    .words_max = 1,
    .words_name = "QUEUE",
    .has_codes = true,
    .run = run_set,
};

/* ---- info and ls ---- */

static int run_info(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    const int status = jq_cli_queue_name(cli, words->list[0]);
    return status ? status : show(cli, words->list[0], false);
}

static const struct jq_command info = {
    .name = "queue info",
    .synopsis = "QUEUE",
    .summary = "a queue at one instant, and what is set of it",
    .notes = "Unfinished is the sum of ready, delayed, blocked and running. 6: no such queue.\n"
             "\n"
             "  jobq -o json queue info mail | jq .ready\n",
    .words_min = 1,
    .words_max = 1,
    .words_name = "QUEUE",
    .has_codes = true,
    .run = run_info,
};

struct listing {
    struct jq_cli *cli;
    struct jq_table table;
    struct jq_json_list json;
};

static void add_row(struct listing *l, const struct jq_queue_info *queue,
                    const struct jq_queue_conf *conf)
{
    struct jq_table *table = &l->table;

    jq_table_text(table, queue->name);
    jq_table_text(table, queue->order);
    if (queue->maxsize)
        jq_text_add(&table->text, "%llu", (unsigned long long)queue->maxsize);
    jq_table_cell(table, JQ_PLAIN);
    jq_queue_state(&table->text, queue);
    if (conf && conf->durability != JQ_DURABILITY_FULL)
        jq_text_add(&table->text, ", %s", jq_durability_name(conf->durability));
    jq_table_cell(table, queue->closed || queue->paused ? JQ_YELLOW : JQ_PLAIN);
    jq_table_number(table, (long long)queue->ready);
    jq_table_number(table, (long long)queue->delayed);
    jq_table_number(table, (long long)queue->blocked);
    jq_table_number(table, (long long)queue->running);
    jq_table_number(table, (long long)queue->succeeded);
    jq_table_number(table, (long long)queue->failed);
}

static void add(struct listing *l, const struct jq_queue_info *queue,
                const struct jq_queue_conf *conf)
{
    if (l->cli->format == JQ_FORMAT_TABLE) {
        add_row(l, queue, conf);
    } else if (l->cli->format == JQ_FORMAT_ID) {
        printf("%.*s\n", JQ_VIEW_ARG(queue->name));
    } else {
        struct jq_json_object *object = jq_json_open_queue(queue);
        if (conf)
            jq_json_settings(object, "settings", conf);
        jq_json_put(&l->json, object);
    }
}

/* Each queue at an instant of its own; one that was removed meanwhile is left out. */
static int add_queue(struct listing *l, struct jq_view name)
{
    const struct jq_msg msg = { .tag = JQ_MSG_QUEUE_ASK, .u.queue_ask = { .name = name } };
    struct jq_answer answer;
    struct jq_queue_info queue;
    struct jq_queue_conf conf;

    const int error = jq_request(l->cli->client, &msg, jq_cli_request_ms(l->cli), &answer);
    if (error == JOBQ_ENOENT)
        return 0;
    if (error != 0)
        return jq_cli_fail_call(l->cli, error, "queue ls");
    if (jq_queue_said(&answer, &queue, &conf))
        add(l, &queue, &conf);
    jq_answer_fini(&answer);
    return 0;
}

static int list_all(struct listing *l)
{
    const struct jq_msg msg = { .tag = JQ_MSG_STATS };
    struct jq_answer answer;
    struct jq_queue_info queue;

    int status = jq_cli_request(l->cli, &msg, JQ_MSG_STATISTICS, &answer);
    if (status != 0)
        return status;
    for (struct jq_reader r = jq_records_reader(answer.msg.u.statistics.queues);
         status == 0 && jq_queue_info_next(&r, &queue);)
        status = add_queue(l, queue.name);
    jq_answer_fini(&answer);
    return status;
}

static int run_ls(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    static const struct jq_column columns[] = {
        { "QUEUE", false },    { "ORDER", false },  { "MAXSIZE", true }, { "STATE", false },
        { "READY", true },     { "DELAYED", true }, { "BLOCKED", true }, { "RUNNING", true },
        { "SUCCEEDED", true }, { "FAILED", true },
    };
    struct listing l = { .cli = cli };
    bool fine = true;

    (void)values;
    (void)words;
    jq_table_init(&l.table, columns, sizeof columns / sizeof *columns);
    jq_json_start(&l.json, stdout, cli->format == JQ_FORMAT_JSONL);
    const int status = list_all(&l);
    if (cli->format == JQ_FORMAT_TABLE && status == 0)
        fine = jq_table_print(&l.table, stdout, cli->colours, 0);
    else if (cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL)
        fine = jq_json_end(&l.json);
    jq_table_fini(&l.table);
    return fine || status ? status : out_of_memory(cli);
}

static const struct jq_command ls = {
    .name = "queue ls",
    .synopsis = "",
    .summary = "all queues, with what they hold",
    .notes =
        "STATE has the durability where it is not full. In a priority queue lower runs first.\n"
        "\n"
        "  jobq queue ls\n",
    .has_codes = true,
    .run = run_ls,
};

static const struct jq_command *const verbs[] = {
    &create,         &ls,
    &info,           &change,
    &jq_queue_pause, &jq_queue_resume,
    &jq_queue_close, &jq_queue_open,
    &jq_queue_drain, &jq_queue_purge,
    &jq_queue_rm,
};

const struct jq_command jq_cmd_queue = {
    .name = "queue",
    .synopsis = "create | ls | info | set | pause | resume | close | open | drain | purge | rm",
    .summary = "make, look at, set, stop and forget queues",
    .notes = "Without a verb: ls. jobq help queue VERB tells more.\n"
             "\n"
             "  jobq queue create mail --maxsize 1000\n"
             "  jobq queue info mail\n",
    .has_codes = true,
    .verbs = verbs,
    .verb_count = sizeof verbs / sizeof *verbs,
};
