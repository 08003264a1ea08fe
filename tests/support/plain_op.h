/* SPDX-License-Identifier: MIT
 *
 * plain_op.h - operations as tests write them: with whole records, whatever they view. */
#ifndef JQ_TESTS_PLAIN_OP_H
#define JQ_TESTS_PLAIN_OP_H

#include "broker/core/store_op.h"

struct plain_op {
    enum jq_store_op_kind kind;
    bool has_result, from_spilled;
    union {
        struct jq_job_record job;
        struct jq_queue_record queue;
        struct jq_request_record request;
        struct jq_worker_record worker;
        struct jq_limit_record limit;
        struct jq_spilled_purge purge;
    } u;
    struct jq_result_record *result;
};

/* The same as the store gets it; borrows from `from`, and aborts without memory. */
void plain_op_pack(const struct plain_op *from, struct jq_store_op *ret);
void plain_op_fini(struct jq_store_op *packed);

#endif
