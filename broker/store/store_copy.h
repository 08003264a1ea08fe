/* SPDX-License-Identifier: MIT
 *
 * store_copy.h - copies of read rows, which travel from the store thread to the loop, and of reads,
 * which travel the other way. */
#ifndef JQ_STORE_STORE_COPY_H
#define JQ_STORE_STORE_COPY_H

#include "broker/core/effect.h"
#include "proto/base/err.h"

/* What one read may bring into memory; EMSGSIZE past it. The largest job fits. */
#define JQ_STORE_READ_BYTES_MAX (UINT64_C(64) << 20)

struct jq_copy_chunk;

/* A zeroed struct is empty. */
struct jq_copy {
    struct jq_loaded_job *jobs; /* their bytes are in the chunks */
    size_t count, capacity;
    uint64_t bytes;
    uint64_t bytes_max; /* past it no more is added; 0: JQ_STORE_READ_BYTES_MAX */
    struct jq_copy_chunk *chunks;
};

/* A jq_each_job_fn; arg is the struct jq_copy. ENOMEM, EMSGSIZE. */
enum jq_err jq_copy_add(void *arg, const struct jq_loaded_job *job);
void jq_copy_fini(struct jq_copy *copy);

/* Copies ids and key too. ENOMEM: ret_copy is untouched. */
JQ_MUST_USE enum jq_err jq_copy_read(const struct jq_read *read, struct jq_read *ret_copy);
void jq_copy_read_fini(struct jq_read *copy);

#endif
