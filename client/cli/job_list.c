/* SPDX-License-Identifier: MIT
 *
 * job_list.c - see job_list.h. */
#include "client/cli/job_list.h"

#include <inttypes.h>

#include "client/cli/ending.h"
#include "client/cli/text.h"

static const struct jq_column columns[] = {
    { "ID", true },   { "QUEUE", false },   { "STATE", false }, { "PRIO", true },
    { "TRY", true },  { "AGE", true },      { "TIME", true },   { "WORKER", false },
    { "EXIT", true }, { "COMMAND", false },
};

void jq_job_table_init(struct jq_table *table)
{
    jq_table_init(table, columns, sizeof columns / sizeof *columns);
}

static enum jq_colour colour_of(enum jq_job_state state)
{
    switch (state) {
    case JQ_RUNNING:
        return JQ_BLUE;
    case JQ_SUCCEEDED:
        return JQ_GREEN;
    case JQ_FAILED:
        return JQ_RED;
    case JQ_CANCELLED:
    case JQ_EXPIRED:
    case JQ_SKIPPED:
        return JQ_YELLOW;
    case JQ_BLOCKED:
    case JQ_DELAYED:
        return JQ_DIM;
    case JQ_READY:
        break;
    }
    return JQ_PLAIN;
}

static struct jq_ending ending_of(const struct jq_job_info *info)
{
    return (struct jq_ending){ (enum jq_job_state)info->state, info->code, info->signal,
                               info->reason };
}

/* How long it ran, or has been running; -1: it has not. */
static int64_t run_ms(const struct jq_job_info *info, jq_ns now)
{
    if (info->state == JQ_RUNNING && info->started_at > 0)
        return now > info->started_at ? (now - info->started_at) / 1000000 : 0;
    if (jq_state_is_terminal((enum jq_job_state)info->state) && info->started_at > 0)
        return (int64_t)(info->wall_us / 1000);
    return -1;
}

void jq_job_table_add(struct jq_table *table, const struct jq_job_info *info, jq_ns now)
{
    const enum jq_job_state state = (enum jq_job_state)info->state;
    const struct jq_ending ending = ending_of(info);
    const int64_t ran = run_ms(info, now);

    jq_text_add(&table->text, "%" PRIu64, info->id);
    jq_table_cell(table, JQ_PLAIN);
    jq_table_text(table, info->queue);
    jq_text_add(&table->text, "%s", jq_state_name(state));
    jq_table_cell(table, colour_of(state));
    jq_table_number(table, info->priority);
    jq_text_add(&table->text, "%" PRIu64, info->attempt);
    if (info->attempts_max > 1)
        jq_text_add(&table->text, "/%" PRIu64, info->attempts_max);
    jq_table_cell(table, JQ_PLAIN);
    jq_text_duration(&table->text, (now - info->created_at) / 1000000);
    jq_table_cell(table, JQ_PLAIN);
    if (ran >= 0)
        jq_text_duration(&table->text, ran);
    jq_table_cell(table, JQ_PLAIN);
    jq_table_text(table, info->worker);
    if (jq_state_is_terminal(state))
        jq_text_add(&table->text, "%d", jq_exit_code(&ending));
    jq_table_cell(table, JQ_PLAIN);
    jq_table_text(table, info->title.size ? info->title : info->handler);
}

/* ---- one job ---- */

static void line_view(struct jq_buf *out, const char *name, struct jq_view value)
{
    if (!value.size)
        return;
    jq_text_add(out, "%-10s ", name);
    jq_text_clean(out, value);
    jq_text_add(out, "\n");
}

static void line_time(struct jq_buf *out, const char *name, jq_ns at)
{
    if (at <= 0)
        return;
    jq_text_add(out, "%-10s ", name);
    jq_text_time(out, at);
    jq_text_add(out, "\n");
}

static void line_us(struct jq_buf *out, const char *name, uint64_t us)
{
    jq_text_add(out, "%-10s %" PRIu64 ".%06" PRIu64 " s\n", name, us / 1000000, us % 1000000);
}

static void line_size(struct jq_buf *out, const char *name, uint64_t bytes)
{
    jq_text_add(out, "%-10s ", name);
    jq_text_size(out, bytes);
    jq_text_add(out, "\n");
}

static void describe_ending(struct jq_buf *out, const struct jq_job_info *info)
{
    const struct jq_ending ending = ending_of(info);

    jq_text_add(out, "outcome    ");
    jq_ending_text(out, &ending);
    jq_text_add(out, "\nexit code  %d\n", jq_exit_code(&ending));
    if (info->started_at <= 0)
        return;
    line_us(out, "wall", info->wall_us);
    line_us(out, "user", info->user_us);
    line_us(out, "system", info->system_us);
    line_size(out, "memory", info->max_rss_kib * 1024);
    line_size(out, "stdout", info->stdout_bytes);
    line_size(out, "stderr", info->stderr_bytes);
}

void jq_job_describe(struct jq_buf *out, const struct jq_job_info *info, jq_ns now)
{
    const int64_t ran = run_ms(info, now);

    jq_text_add(out, "id         %" PRIu64 "\n", info->id);
    jq_text_add(out, "state      %s", jq_state_name((enum jq_job_state)info->state));
    if (info->state == JQ_RUNNING && ran >= 0) {
        jq_text_add(out, " for ");
        jq_text_duration(out, ran);
    }
    jq_text_add(out, "\n");
    line_view(out, "command", info->title);
    line_view(out, "queue", info->queue);
    line_view(out, "handler", info->handler);
    jq_text_add(out, "priority   %" PRId64 "\n", info->priority);
    line_view(out, "key", info->key);
    if (info->flags & JQ_JOB_DISCARD)
        jq_text_add(out, "discard    yes\n");
    if (info->flags & JQ_JOB_TIE)
        jq_text_add(out, "tied       yes\n");
    line_view(out, "worker", info->worker);
    jq_text_add(out, "attempt    %" PRIu64 "\n", info->attempt);
    if (info->attempts_max > 1 || info->failures)
        jq_text_add(out, "failures   %" PRIu64 " of %" PRIu64 "\n", info->failures,
                    info->attempts_max);
    if (info->crashes)
        jq_text_add(out, "crashes    %" PRIu64 "\n", info->crashes);
    jq_job_terms_text(out, info->options);
    line_time(out, "created", info->created_at);
    line_time(out, info->state == JQ_RUNNING ? "leased to" : "due", info->due_at);
    line_time(out, "expires", info->expires_at);
    line_time(out, "started", info->started_at);
    line_time(out, "ended", info->ended_at);
    if (jq_state_is_terminal((enum jq_job_state)info->state))
        describe_ending(out, info);
    jq_job_history_text(out, info->history);
}

/* ---- asking ---- */

static int ask(struct jq_cli *cli, const uint64_t *ids, size_t count, struct jq_answer *ret)
{
    struct jq_buf refs = { 0 };
    int status;

    for (size_t i = 0; i < count; i++)
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = ids[i] });
    const struct jq_msg msg = {
        .tag = JQ_MSG_INFO,
        .u.info = { .jobs = jq_records_of((uint32_t)count, &refs) },
    };
    if (jq_buf_ok(&refs))
        status = jq_cli_request(cli, &msg, JQ_MSG_INFOS, ret);
    else
        status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_buf_fini(&refs);
    return status;
}

static int show_in_order(const struct jq_answer *answer, const uint64_t *ids, size_t count,
                         int (*each)(void *arg, const struct jq_job_info *info), void *arg)
{
    struct jq_job_info info;
    int status = 0;

    /* The broker answers what it has in memory first. */
    for (size_t i = 0; i < count && status == 0; i++)
        for (struct jq_reader r = jq_records_reader(answer->msg.u.infos.jobs);
             jq_job_info_next(&r, &info);) {
            if (info.id != ids[i])
                continue;
            status = each(arg, &info);
            break;
        }
    return status;
}

int jq_job_infos(struct jq_cli *cli, const struct jq_ids *ids,
                 int (*each)(void *arg, const struct jq_job_info *info), void *arg)
{
    enum { GROUP_MAX = 256 }; /* the order of a group is found by looking at all of it */
    struct jq_answer answer;

    for (size_t from = 0; from < ids->count; from += GROUP_MAX) {
        const size_t left = ids->count - from, count = left < GROUP_MAX ? left : GROUP_MAX;
        int status = ask(cli, ids->list + from, count, &answer);
        if (status != 0)
            return status;
        status = show_in_order(&answer, ids->list + from, count, each, arg);
        jq_answer_fini(&answer);
        if (status != 0)
            return status;
    }
    return 0;
}
