/* SPDX-License-Identifier: MIT
 *
 * job_list.h - INFO of many jobs, and how jobs are shown: as rows, or as all that is known. */
#ifndef JQ_CLI_JOB_LIST_H
#define JQ_CLI_JOB_LIST_H

#include "client/cli/cli.h"
#include "client/cli/table.h"
#include "proto/base/time.h"

void jq_job_table_init(struct jq_table *table);
void jq_job_table_add(struct jq_table *table, const struct jq_job_info *info, jq_ns now);
/* "name: value" lines of all that is known. */
void jq_job_describe(struct jq_buf *out, const struct jq_job_info *info, jq_ns now);

/* Those of its terms, from an encoded job_options record, and of attempts before its last one. */
void jq_job_terms_text(struct jq_buf *out, struct jq_view encoded);
void jq_job_history_text(struct jq_buf *out, struct jq_records history);

/* Asks for each of `ids` and calls `each` in their order; also for those that are unknown: then
 * info->error is set. Stops when `each` returns an exit code. */
int jq_job_infos(struct jq_cli *cli, const struct jq_ids *ids,
                 int (*each)(void *arg, const struct jq_job_info *info), void *arg);

#endif
