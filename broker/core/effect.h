/* SPDX-License-Identifier: MIT
 *
 * effect.h - what the core wants done. Data, no code. */
#ifndef JQ_CORE_EFFECT_H
#define JQ_CORE_EFFECT_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/core/store_op.h"
#include "proto/base/view.h"

enum jq_effect_kind {
    JQ_EFFECT_SEND,  /* frame to peer; a promise was held back until it became true */
    JQ_EFFECT_READ,  /* from the store, after batch `read.after`; answer with jq_core_loaded */
    JQ_EFFECT_CLOSE, /* forget this peer: its session said BYE or was refused */
    JQ_EFFECT_TRACE, /* for the log and the counters */
};

enum jq_read_kind {
    JQ_READ_JOBS,    /* ids[0..count), or as many of the first as one answer may hold */
    JQ_READ_KEY,     /* the job with this key */
    JQ_READ_LIST,    /* newest first, before `before_id`, of `states` (bit mask, 0: all) and `queue`
                        (0: all), that pass the filters */
    JQ_READ_SPILLED, /* the next `limit` of a lane's spilled jobs, in the order of `range` */
    JQ_READ_OLDEST, /* jobs that have ended, oldest id first, after `before_id` (0: from the first),
                       of `states` and `queue` */
};

/* Which columns a read needs beside the job's own. */
#define JQ_READ_RESULT (1u << 0) /* the result, without value and output */
#define JQ_READ_VALUE (1u << 1)
#define JQ_READ_OUTPUT (1u << 2)
#define JQ_READ_PAYLOAD (1u << 3)
#define JQ_READ_LIVE (1u << 4) /* JQ_READ_PAYLOAD of those that have not ended: to be loaded */

/* Spilled jobs of queue `jq_read.queue` and this lane, in its queue's order, after a key. */
struct jq_spill_range {
    uint32_t lane;
    uint32_t order; /* enum jq_order_kind of order.h */
    bool has_after; /* else from the first on */
    int64_t rank;
    uint64_t id;
};

struct jq_read {
    enum jq_read_kind kind;
    uint64_t token;
    uint64_t group; /* reads of one request, asked for in a row: best with no commit between them */
    uint64_t after; /* commit sequence that must be durable before */
    uint32_t parts; /* JQ_READ_... */
    uint64_t *ids;  /* owned; jq_free */
    uint32_t count;
    char *key; /* owned; jq_free */
    uint32_t queue;
    uint32_t states;
    uint64_t before_id;
    uint32_t limit;
    uint64_t bytes_max; /* what the answer holds, but for its first record; 0: the store's bound */
    /* LIST: filters. The asker checks what it gets: more than what passes does no harm. */
    jq_ns created_after, created_before; /* from the first on, before the second; 0: any */
    uint32_t scan; /* rows looked at, at most; 0: any number. When that ends it, the last of them is
                      given whether it passes or not, and there is more */
    char *label; /* owned; jq_free. The bytes of an encoded label record that the options must have
                    in them, or of its beginning; the reader checks what it gets. NULL: all */
    uint32_t label_size;
    struct jq_spill_range range; /* SPILLED */
};

struct jq_loaded_job {
    struct jq_job_record job;
    bool has_result;
    struct jq_result_record result;
};

/* A level of log.h, an event name, and text "key=value ...". */
struct jq_trace {
    int level;
    const char *event; /* literal */
    char text[232];
};

struct jq_effect {
    enum jq_effect_kind kind;
    uint64_t peer; /* SEND, CLOSE */
    union {
        struct {
            uint8_t *data; /* owned; jq_free */
            size_t size;
        } frame;
        struct jq_read read;
        struct jq_trace trace;
    } u;
};

/* Frees what the effect owns and has not been taken (set to NULL) by the caller. */
void jq_effect_fini(struct jq_effect *effect);

#endif
