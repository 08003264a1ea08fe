/* SPDX-License-Identifier: MIT
 *
 * op_job.h - the record of a job that an operation speaks of. */
#ifndef JQ_STORE_OP_JOB_H
#define JQ_STORE_OP_JOB_H

#include "broker/core/store_op.h"

/* JOB_PUT: the whole record; JOB_SET: what it sets, the rest is 0. Its views are the operation's.
 */
void jq_op_job(const struct jq_store_op *op, struct jq_job_record *ret);

#endif
