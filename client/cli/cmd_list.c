/* SPDX-License-Identifier: MIT
 *
 * cmd_list.c - jobq ls and jobq info: which jobs there are, and what is known of some. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/job_list.h"
#include "client/cli/job_query.h"
#include "proto/base/clock.h"

enum { LIMIT_DEFAULT = 50 };

static int out_of_memory(const struct jq_cli *cli)
{
    return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

/* ---- ls ---- */

struct ls_values {
    struct jq_words states;
    const char *queue;
    const char *label;
    int64_t older_ms, newer_ms; /* -1: any */
    int64_t before;
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
    { "label", 0, JQ_FLAG_STRING, offsetof(struct ls_values, label), 0, 0, "NAME[=VALUE]",
      "only jobs with this label, of this value" },
    { "older", 0, JQ_FLAG_DURATION, offsetof(struct ls_values, older_ms), 0, INT64_MAX / 1000000,
      "TIME", "only jobs that were submitted longer ago" },
    { "newer", 0, JQ_FLAG_DURATION, offsetof(struct ls_values, newer_ms), 0, INT64_MAX / 1000000,
      "TIME", "only jobs that were not" },
    { "limit", 'n', JQ_FLAG_INT, offsetof(struct ls_values, limit), 1, INT64_MAX, "N",
      "at most so many, newest first; 50" },
    { "before", 0, JQ_FLAG_INT, offsetof(struct ls_values, before), 1, INT64_MAX, "ID",
      "only jobs with lower ids: the next page" },
    { "all", 'a', JQ_FLAG_BOOL, offsetof(struct ls_values, all), 0, 0, NULL, "no limit" },
};

static const struct ls_values ls_defaults = { .older_ms = -1, .newer_ms = -1 };

static int read_states(const struct jq_cli *cli, const struct ls_values *v, uint64_t *states)
{
    struct jq_view bad;

    if (v->failed)
        *states |= UINT64_C(1) << JQ_FAILED;
    for (size_t i = 0; i < v->states.count; i++)
        if (!jq_states_read(v->states.list[i], states, &bad))
            return jq_cli_usage(cli, &jq_cmd_ls, "--state: '%.*s' is none of " JQ_STATE_WORDS,
                                JQ_VIEW_ARG(bad));
    return 0;
}

static int check(const struct jq_cli *cli, const struct ls_values *v)
{
    if (v->queue && strlen(v->queue) > JQ_NAME_MAX)
        return jq_cli_usage(cli, &jq_cmd_ls, "--queue: more than %d bytes", JQ_NAME_MAX);
    if (v->label && (strcspn(v->label, "=") == 0 || strlen(v->label) > JQ_NAME_MAX))
        return jq_cli_usage(cli, &jq_cmd_ls, "--label: expected NAME or NAME=VALUE");
    if (v->older_ms >= 0 && v->newer_ms >= 0 && v->older_ms >= v->newer_ms)
        return jq_cli_usage(cli, &jq_cmd_ls, "--older is not shorter than --newer: no job is both");
    return 0;
}

static void make_query(const struct ls_values *v, struct jq_job_query *query)
{
    const jq_ns now = jq_clock_now().wall;
    const size_t size = v->label ? strcspn(v->label, "=") : 0;

    query->queue = v->queue;
    query->label = jq_view(v->label, size);
    if (v->label && v->label[size])
        query->value = jq_view_str(v->label + size + 1);
    if (v->older_ms >= 0)
        query->created_before = now - v->older_ms * 1000000;
    if (v->newer_ms >= 0)
        query->created_after = now - v->newer_ms * 1000000;
    query->before_id = (uint64_t)v->before;
    query->limit = v->all ? UINT64_MAX : v->limit ? (uint64_t)v->limit : LIMIT_DEFAULT;
}

static int run_ls(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct ls_values *v = values;
    struct jq_job_query query = { .states = 0 };
    struct jq_job_sink sink;
    bool more = false;

    (void)words;
    int status = check(cli, v);
    if (status == 0)
        status = read_states(cli, v, &query.states);
    if (status != 0)
        return status;
    make_query(v, &query);
    jq_job_sink_init(&sink, cli);
    status = jq_jobs_list(cli, &query, jq_job_sink_add, &sink, &more);
    status = jq_job_sink_end(&sink, status);
    if (status == 0 && more && !v->limit && cli->format == JQ_FORMAT_TABLE)
        jq_cli_notice(cli, "there are more: --limit N, --before ID or --all shows them");
    return status;
}

const struct jq_command jq_cmd_ls = {
    .name = "ls",
    .synopsis = "[flags]",
    .summary = "list jobs, newest first (also what jobq alone does)",
    .notes = "TRY is the attempt, of how many. The next page: --before with the last id of this\n"
             "one.\n"
             "\n"
             "  jobq ls --state active --label build=17 --older 1h\n",
    .flags = ls_flags,
    .flag_count = JQ_FLAG_COUNT(ls_flags),
    .defaults = &ls_defaults,
    .values_size = sizeof ls_defaults,
    .run = run_ls,
};

/* ---- info ---- */

struct infos {
    struct jq_job_sink sink;
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
            jq_job_sink_add(&infos->sink, info);
        return 0;
    }
    if (infos->sink.cli->format != JQ_FORMAT_TABLE) {
        jq_job_sink_add(&infos->sink, info);
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
    jq_job_sink_init(&infos.sink, cli);
    infos.sink.no_table = true;
    status = jq_job_infos(cli, &ids, show_info, &infos);
    status = jq_job_sink_end(&infos.sink, status ? status : infos.status);
    jq_ids_fini(&ids);
    return status;
}

const struct jq_command jq_cmd_info = {
    .name = "info",
    .synopsis = "ID...",
    .summary = "all that is known of jobs",
    .notes = "Also under which terms they were submitted, and how earlier attempts ended.\n"
             "\n"
             "  jobq info last\n",
    .words_min = 1,
    .words_max = SIZE_MAX,
    .words_name = "ID",
    .run = run_info,
};
