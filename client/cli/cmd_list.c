/* SPDX-License-Identifier: MIT
 *
 * cmd_list.c - jobq ls and jobq info: which jobs there are, and what is known of some. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/format_json.h"
#include "client/cli/job_list.h"
#include "client/cli/stdio.h"
#include "proto/base/clock.h"

enum { PAGE_JOBS = 1000, LIMIT_DEFAULT = 50 };

static int out_of_memory(const struct jq_cli *cli)
{
    return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

/* ---- where jobs go: rows, JSON, ids ---- */

struct sink {
    struct jq_cli *cli;
    jq_ns now;
    struct jq_table table;
    struct jq_json_list json;
    bool no_table; /* jobs are described one by one */
};

static void sink_init(struct sink *sink, struct jq_cli *cli)
{
    *sink = (struct sink){ .cli = cli, .now = jq_clock_now().wall };
    jq_job_table_init(&sink->table);
    jq_json_start(&sink->json, stdout, cli->format == JQ_FORMAT_JSONL);
}

static void sink_add(struct sink *sink, const struct jq_job_info *info)
{
    switch (sink->cli->format) {
    case JQ_FORMAT_TABLE:
        jq_job_table_add(&sink->table, info, sink->now);
        break;
    case JQ_FORMAT_ID:
        printf("%" PRIu64 "\n", info->id);
        break;
    case JQ_FORMAT_JSON:
    case JQ_FORMAT_JSONL:
        jq_json_job_info(&sink->json, info);
        break;
    }
}

static int sink_end(struct sink *sink, int status)
{
    const struct jq_cli *cli = sink->cli;
    bool fine = true;

    if (cli->format == JQ_FORMAT_TABLE && status == 0 && !sink->no_table)
        fine =
            jq_table_print(&sink->table, stdout, cli->colours, cli->is_tty ? jq_stdio_width() : 0);
    else if (cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL)
        fine = jq_json_end(&sink->json);
    jq_table_fini(&sink->table);
    return fine || status ? status : out_of_memory(cli);
}

/* ---- ls ---- */

struct ls_values {
    struct jq_words states;
    const char *queue;
    int64_t limit;
    bool all;
    bool failed;
};

static const struct jq_flag ls_flags[] = {
    { "state", 0, JQ_FLAG_LIST, offsetof(struct ls_values, states), 0, 0, "STATE[,..]",
      "only jobs in these states; active: those not ended, ended: the others" },
    { "failed", 0, JQ_FLAG_BOOL, offsetof(struct ls_values, failed), 0, 0, NULL,
      "only jobs that failed; the same as --state failed" },
    { "queue", 'Q', JQ_FLAG_STRING, offsetof(struct ls_values, queue), 0, 0, "NAME",
      "only jobs of this queue" },
    { "limit", 'n', JQ_FLAG_INT, offsetof(struct ls_values, limit), 1, INT64_MAX, "N",
      "at most so many, newest first; 50" },
    { "all", 'a', JQ_FLAG_BOOL, offsetof(struct ls_values, all), 0, 0, NULL, "no limit" },
};

static const struct ls_values ls_defaults; /* a limit of 0: none was named */

static bool add_state(const char *name, size_t size, uint64_t *states)
{
    uint64_t active = 0, all = 0;

    for (int i = 0; i < JQ_JOB_STATES; i++) {
        const enum jq_job_state state = (enum jq_job_state)i;
        const char *other = jq_state_name(state);
        all |= UINT64_C(1) << i;
        if (!jq_state_is_terminal(state))
            active |= UINT64_C(1) << i;
        if (strlen(other) == size && memcmp(other, name, size) == 0) {
            *states |= UINT64_C(1) << i;
            return true;
        }
    }
    if (size == 6 && memcmp(name, "active", 6) == 0)
        *states |= active;
    else if (size == 5 && memcmp(name, "ended", 5) == 0)
        *states |= all & ~active;
    else
        return false;
    return true;
}

static int read_states(const struct jq_cli *cli, const struct jq_words *words, uint64_t *states)
{
    for (size_t i = 0; i < words->count; i++) {
        for (const char *at = words->list[i];; at++) {
            const size_t size = strcspn(at, ",");
            if (!add_state(at, size, states))
                return jq_cli_usage(cli, &jq_cmd_ls,
                                    "--state: '%.*s' is none of blocked delayed ready running "
                                    "succeeded failed cancelled expired skipped active ended",
                                    (int)size, at);
            at += size;
            if (!*at)
                break;
        }
    }
    return 0;
}

static int list(struct jq_cli *cli, const struct ls_values *v, uint64_t states, struct sink *sink,
                bool *ret_more)
{
    const uint64_t limit = v->limit ? (uint64_t)v->limit : LIMIT_DEFAULT;
    uint64_t left = v->all ? UINT64_MAX : limit, before = 0;
    struct jq_answer answer;
    struct jq_job_info info;
    bool more = true;

    while (left && more) {
        const struct jq_msg msg = {
            .tag = JQ_MSG_LIST,
            .u.list = { .states = states,
                        .queue = v->queue ? jq_view_str(v->queue) : jq_view(NULL, 0),
                        .before_id = before,
                        .limit = left < PAGE_JOBS ? left : PAGE_JOBS },
        };
        const int status = jq_cli_request(cli, &msg, JQ_MSG_LISTED, &answer);
        if (status != 0)
            return status;
        before = answer.msg.u.listed.next_before_id; /* a page may be short, or empty */
        more = answer.msg.u.listed.more && before;
        for (struct jq_reader r = jq_records_reader(answer.msg.u.listed.jobs);
             left && jq_job_info_next(&r, &info); left--)
            sink_add(sink, &info);
        jq_answer_fini(&answer);
    }
    *ret_more = more;
    return 0;
}

static int run_ls(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct ls_values *v = values;
    uint64_t states = 0;
    struct sink sink;
    bool more = false;

    (void)words;
    if (v->queue && strlen(v->queue) > JQ_NAME_MAX)
        return jq_cli_usage(cli, &jq_cmd_ls, "--queue: more than %d bytes", JQ_NAME_MAX);
    if (v->failed)
        states |= UINT64_C(1) << JQ_FAILED;
    int status = read_states(cli, &v->states, &states);
    if (status != 0)
        return status;
    sink_init(&sink, cli);
    status = list(cli, v, states, &sink, &more);
    status = sink_end(&sink, status);
    if (status == 0 && more && !v->limit && cli->format == JQ_FORMAT_TABLE)
        jq_cli_notice(cli, "there are more: --limit N or --all shows them");
    return status;
}

const struct jq_command jq_cmd_ls = {
    .name = "ls",
    .synopsis = "[flags]",
    .summary = "list jobs, newest first (also what jobq alone does)",
    .flags = ls_flags,
    .flag_count = JQ_FLAG_COUNT(ls_flags),
    .defaults = &ls_defaults,
    .values_size = sizeof ls_defaults,
    .run = run_ls,
};

/* ---- info ---- */

struct infos {
    struct sink sink;
    size_t shown;
    int status;
};

static int show_info(void *arg, const struct jq_job_info *info)
{
    struct infos *infos = arg;
    struct jq_buf text = { 0 };

    if (info->error != 0) {
        infos->status = jq_cli_fail_job(infos->sink.cli, (int)info->error, info->id);
        if (infos->sink.cli->format != JQ_FORMAT_TABLE && infos->sink.cli->format != JQ_FORMAT_ID)
            sink_add(&infos->sink, info);
        return 0;
    }
    if (infos->sink.cli->format != JQ_FORMAT_TABLE) {
        sink_add(&infos->sink, info);
        return 0;
    }
    jq_job_describe(&text, info, infos->sink.now);
    if (infos->shown++)
        fputc('\n', stdout);
    if (jq_buf_ok(&text))
        fwrite(text.data, 1, text.size, stdout);
    else
        infos->status = out_of_memory(infos->sink.cli);
    jq_buf_fini(&text);
    return 0;
}

static int run_info(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct infos infos = { .shown = 0 };
    struct jq_ids ids;

    (void)values;
    int status = jq_cli_ids(cli, words, &ids);
    if (status != 0)
        return status;
    sink_init(&infos.sink, cli);
    infos.sink.no_table = true;
    status = jq_job_infos(cli, &ids, show_info, &infos);
    status = sink_end(&infos.sink, status ? status : infos.status);
    jq_ids_fini(&ids);
    return status;
}

const struct jq_command jq_cmd_info = {
    .name = "info",
    .synopsis = "ID...",
    .summary = "all that is known of jobs",
    .words_min = 1,
    .words_max = SIZE_MAX,
    .words_name = "ID",
    .run = run_info,
};
