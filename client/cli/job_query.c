/* SPDX-License-Identifier: MIT
 *
 * job_query.c - see job_query.h. */
#include "client/cli/job_query.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/job_list.h"
#include "client/cli/stdio.h"
#include "proto/base/clock.h"

enum { PAGE_JOBS = 1000 };

/* ---- which ---- */

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

bool jq_states_read(const char *list, uint64_t *states, struct jq_view *ret_bad)
{
    for (const char *at = list;; at++) {
        const size_t size = strcspn(at, ",");
        if (!add_state(at, size, states)) {
            *ret_bad = jq_view(at, size);
            return false;
        }
        at += size;
        if (!*at)
            return true;
    }
}

static int ask(struct jq_cli *cli, const struct jq_job_query *query, uint64_t before, uint64_t left,
               struct jq_answer *ret)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LIST,
        .u.list = { .states = query->states,
                    .queue = query->queue ? jq_view_str(query->queue) : jq_view(NULL, 0),
                    .before_id = before,
                    .limit = left < PAGE_JOBS ? left : PAGE_JOBS,
                    .label = query->label,
                    .value = query->value,
                    .created_after = query->created_after,
                    .created_before = query->created_before },
    };

    return jq_cli_request(cli, &msg, JQ_MSG_LISTED, ret);
}

/* A page may have fewer jobs than were asked for, also none, and others behind it. False: the last
 * one. */
static bool next_page(const struct jq_listed *listed, uint64_t last_id, uint64_t *before)
{
    const uint64_t next = listed->next_before_id ? listed->next_before_id : last_id;

    if (!listed->more || next == 0 || next == *before)
        return false;
    *before = next;
    return true;
}

int jq_jobs_list(struct jq_cli *cli, const struct jq_job_query *query,
                 int (*each)(void *arg, const struct jq_job_info *info), void *arg, bool *ret_more)
{
    uint64_t left = query->limit, before = query->before_id;
    struct jq_answer answer;
    struct jq_job_info info;
    bool more = true;
    int status = 0;

    while (left && more && status == 0) {
        uint64_t last = 0;
        status = ask(cli, query, before, left, &answer);
        if (status != 0)
            return status;
        for (struct jq_reader r = jq_records_reader(answer.msg.u.listed.jobs);
             left && status == 0 && jq_job_info_next(&r, &info); left--) {
            status = each(arg, &info);
            last = info.id;
        }
        more = next_page(&answer.msg.u.listed, last, &before);
        jq_answer_fini(&answer);
    }
    *ret_more = more;
    return status;
}

/* ---- where to ---- */

void jq_job_sink_init(struct jq_job_sink *sink, struct jq_cli *cli)
{
    *sink = (struct jq_job_sink){ .cli = cli, .now = jq_clock_now().wall };
    jq_job_table_init(&sink->table);
    jq_json_start(&sink->json, stdout, cli->format == JQ_FORMAT_JSONL);
}

int jq_job_sink_add(void *arg, const struct jq_job_info *info)
{
    struct jq_job_sink *sink = arg;

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
    return 0;
}

int jq_job_sink_end(struct jq_job_sink *sink, int status)
{
    const struct jq_cli *cli = sink->cli;
    bool fine = true;

    if (cli->format == JQ_FORMAT_TABLE && status == 0 && !sink->no_table)
        fine =
            jq_table_print(&sink->table, stdout, cli->colours, cli->is_tty ? jq_stdio_width() : 0);
    else if (cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL)
        fine = jq_json_end(&sink->json);
    jq_table_fini(&sink->table);
    return fine || status ? status : jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}
