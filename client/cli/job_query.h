/* SPDX-License-Identifier: MIT
 *
 * job_query.h - LIST: which jobs, page by page; and where jobs go that are shown: rows, JSON, ids.
 */
#ifndef JQ_CLI_JOB_QUERY_H
#define JQ_CLI_JOB_QUERY_H

#include "client/cli/cli.h"
#include "client/cli/format_json.h"
#include "client/cli/table.h"
#include "proto/base/time.h"

struct jq_job_query {
    uint64_t states;   /* bit per state; 0: all */
    const char *queue; /* NULL: all */
    struct jq_view label, value;
    jq_ns created_after, created_before; /* 0: any */
    uint64_t before_id;                  /* 0: from the newest */
    uint64_t limit;
};
/* Newest first, until `each` returns an exit code. *ret_more: there are others past the limit. */
int jq_jobs_list(struct jq_cli *cli, const struct jq_job_query *query,
                 int (*each)(void *arg, const struct jq_job_info *info), void *arg, bool *ret_more);
/* Adds the states that "failed,active" names to *states. False: *ret_bad is none. */
bool jq_states_read(const char *list, uint64_t *states, struct jq_view *ret_bad);
#define JQ_STATE_WORDS \
    "blocked delayed ready running succeeded failed cancelled expired skipped active ended"

struct jq_job_sink {
    struct jq_cli *cli;
    jq_ns now;
    struct jq_table table;
    struct jq_json_list json;
    bool no_table; /* jobs are described one by one */
};
void jq_job_sink_init(struct jq_job_sink *sink, struct jq_cli *cli);
int jq_job_sink_add(void *sink, const struct jq_job_info *info); /* 0: for jq_jobs_list */
/* `status`, or what went wrong at the end. */
int jq_job_sink_end(struct jq_job_sink *sink, int status);

#endif
