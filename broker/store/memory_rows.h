/* SPDX-License-Identifier: MIT
 *
 * memory_rows.h - the rows of the memory backend, with bytes of their own. */
#ifndef JQ_STORE_MEMORY_ROWS_H
#define JQ_STORE_MEMORY_ROWS_H

#include <stdint.h>

#include "broker/core/store_op.h"
#include "broker/store/table.h"
#include "proto/base/map.h"

struct jq_memory_result {
    struct jq_result_record record;
    size_t size;
    uint8_t bytes[];
};

struct jq_memory_job {
    struct jq_job_record record;
    struct jq_memory_job *key_next;  /* another row with the same key's hash */
    struct jq_memory_result *result; /* ended jobs only, or NULL */
    uint8_t *changing;               /* what record.worker and .history view; NULL when empty */
    size_t size;
    uint8_t bytes[]; /* what the other views of record view */
};

struct jq_memory_queue {
    struct jq_queue_record record;
    uint8_t bytes[];
};

struct jq_memory_request {
    struct jq_request_record record;
    uint8_t bytes[];
};

struct jq_memory_worker {
    struct jq_worker_record record;
    uint8_t bytes[];
};

struct jq_memory_limit {
    struct jq_limit_record record;
    struct jq_memory_limit *next;
    uint8_t bytes[];
};

/* A zeroed struct is empty. */
struct jq_memory_rows {
    struct jq_table jobs;           /* key: id */
    struct jq_table queues;         /* id */
    struct jq_table requests;       /* session, number */
    struct jq_table workers;        /* session */
    struct jq_memory_limit *limits; /* few; by name */
    struct jq_map keys;             /* hash of a user's key -> chain of jobs */
    uint64_t job_bytes;             /* what jobs and their results take */
};

void jq_memory_rows_fini(struct jq_memory_rows *rows);
/* Room for whatever the batch may put. ENOMEM. */
JQ_MUST_USE enum jq_err jq_memory_rows_reserve(struct jq_memory_rows *rows,
                                               const struct jq_batch *batch);
/* The row that `op` will put, with copies of its bytes; NULL when it needs none. ENOMEM. */
JQ_MUST_USE enum jq_err jq_memory_row_make(const struct jq_store_op *op, void **ret_made);
void jq_memory_row_free(enum jq_store_op_kind kind, void *made);
/* Cannot fail: room was reserved and `made` is the row. Takes `made`. */
void jq_memory_rows_apply(struct jq_memory_rows *rows, const struct jq_store_op *op, void *made);
struct jq_memory_job *jq_memory_rows_job(const struct jq_memory_rows *rows, uint64_t id);
/* Spilled ones of a lane in their order, as a new array; jq_free. ENOMEM. */
JQ_MUST_USE enum jq_err jq_memory_rows_spilled(const struct jq_memory_rows *rows, uint32_t queue,
                                               uint32_t lane, bool newest_first,
                                               struct jq_memory_job ***ret_jobs, size_t *ret_count);
/* The newest with this key; NULL for the empty key. */
struct jq_memory_job *jq_memory_rows_key(const struct jq_memory_rows *rows, struct jq_view key);

#endif
