/* SPDX-License-Identifier: MIT
 *
 * store_op.h - what the core asks the store to keep: plain records, no SQL. Types only.
 *
 * An operation is the *final state* of one row; a batch has at most one per row and is durable as a
 * whole or not at all. */
#ifndef JQ_CORE_STORE_OP_H
#define JQ_CORE_STORE_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/time.h"
#include "proto/base/view.h"
#include "proto/states.h"

/* Immutable counted bytes. Counted by the loop thread only: a batch holds a reference until the
 * store thread has handed it back, so the store thread only ever reads. */
struct jq_blob {
    uint32_t references;
    uint32_t size;
    uint8_t data[];
};

/* Lanes of a queue whose jobs can be spilled. */
enum { JQ_SPILL_LANES = 2 };

/* What never changes of a job. Counted as blobs are; behind it are payload, handler, title, key and
 * options, one after the other. */
struct jq_job_fixed {
    uint64_t owner; /* client session that submitted it */
    jq_ns created_at;
    uint32_t references;
    uint32_t payload_size, options_size;
    uint16_t handler_size, title_size, key_size;
};
static inline const uint8_t *jq_job_fixed_bytes(const struct jq_job_fixed *fixed)
{
    return (const uint8_t *)(fixed + 1);
}

/* Store rows keep no pointer of ours: views below are borrowed, from a blob that the operation's
 * owner holds, or (loads) from the store until the callback returns. */
struct jq_job_record {
    uint64_t id;    /* also the sequence: order within a priority */
    uint32_t queue; /* queue_record.id */
    enum jq_job_state state;
    int32_t priority;
    uint64_t flags;   /* JQ_JOB_..., and the JQ_JOB_STORED_... below */
    uint32_t attempt; /* grants so far */
    uint32_t crashes; /* grants that cost a worker its life */
    uint64_t fence;   /* of the running grant, or the last */
    uint64_t session; /* of the worker that runs it; 0: none. JQ_JOB_STORED_SPARED, and it waits:
                         the purge_before that is not for it */
    uint64_t owner;   /* client session that submitted it */
    jq_ns created_at;
    jq_ns started_at;
    jq_ns due_at;      /* DELAYED: until then; RUNNING: end of a timed lease, 0: the session's */
    uint32_t failures; /* attempts that count against attempts_max */
    struct jq_view handler, title, key, payload;
    struct jq_view options; /* one encoded job_options record, as submitted; or empty */
    struct jq_view worker;  /* name, for people */
    struct jq_view history; /* encoded attempt records, oldest first; or empty */
    bool damaged;           /* loads only: its CRC does not fit */
    /* READY, and on its own in the store: spilled. `lane` and `rank` are its place. */
    bool spilled;
    uint32_t lane; /* of its queue: they do not stand before one another */
    int64_t rank;  /* order within the lane, before the id; lower first. As it was when it came */
};

/* Oddities, kept in job_record.flags above bit 32; never on the wire. */
#define JQ_JOB_STORED_CANCEL (UINT64_C(1) << 32)      /* cancel was asked while it ran */
#define JQ_JOB_STORED_QUARANTINED (UINT64_C(1) << 33) /* failed as its workers kept dying */
#define JQ_JOB_STORED_RETRIED (UINT64_C(1) << 34)     /* it had ended, and lives again */
/* A job that it waits for had been retried before it came. Edges from other retried jobs were of
 * their earlier lives, and are settled. */
#define JQ_JOB_STORED_AFTER_RETRIED (UINT64_C(1) << 35)
#define JQ_JOB_STORED_SPARED (UINT64_C(1) << 36) /* the purge of its queue is not for it */

/* How a job ended; beside its row. */
struct jq_result_record {
    jq_ns ended_at;
    int64_t code;
    uint32_t signal;
    uint64_t wall_us, user_us, system_us, max_rss_kib;
    uint64_t stdout_bytes, stderr_bytes;
    uint64_t kept_bytes; /* what the job takes in the store from its end on: for retention */
    struct jq_view reason, value;
    struct jq_view stdout_head, stdout_tail, stderr_head, stderr_tail;
};

struct jq_queue_record {
    uint32_t id;
    uint32_t order; /* enum jq_order_kind of order.h */
    uint64_t maxsize;
    /* Counters, of the same instant as the batch they are in. */
    uint64_t blocked, delayed, ready, running;
    uint64_t succeeded, failed, cancelled, expired, skipped;
    uint64_t kept, kept_bytes; /* ended jobs in the store, and what they take */
    uint64_t sequence;         /* id of the job that it accepted last */
    uint64_t
        purge_before; /* jobs with smaller ids that have not started are being purged; 0: none */
    uint64_t flags;   /* JQ_QUEUE_STORED_... */
    /* Settings, as queue_conf of messages.def has them. */
    uint32_t durability, concurrency, attempts_max;
    uint64_t backoff_ms, backoff_max_ms;
    uint64_t keep_ms, keep_bytes, keep_count;
    uint64_t aging_ms;
    /* Spilled rows by lane, and of them those that its purge has to delete. */
    uint64_t spilled[JQ_SPILL_LANES], spilled_doomed[JQ_SPILL_LANES];
    struct jq_view name;
};

#define JQ_QUEUE_STORED_PAUSED (UINT64_C(1) << 0)
#define JQ_QUEUE_STORED_CLOSED (UINT64_C(1) << 1)

/* A limit that was set by name, not by jobs. */
struct jq_limit_record {
    uint32_t max;
    struct jq_view name;
};

/* The answer to one SUBMIT of a client session, for its resends. */
struct jq_request_record {
    uint64_t session;
    uint64_t number;
    uint64_t first_id;
    uint32_t count;
    jq_ns made_at;
    struct jq_view each; /* encoded acks, when ids are not first_id..first_id+count-1 */
};

/* A worker session that may hold jobs, or a client's that may hold items; after a restart the
 * broker waits a moment for it. */
struct jq_worker_record {
    uint64_t session;
    bool bound;     /* it ends with the broker's process: after a restart it is gone */
    bool is_client; /* it holds items, not jobs */
    struct jq_view name;
};

enum jq_store_op_kind {
    JQ_OP_NONE = 0,      /* netted away */
    JQ_OP_JOB_PUT,       /* job, whole; with result: it has ended already. `spilled`: among those */
    JQ_OP_JOB_SET,       /* job, but for queue, priority and what is fixed; and result */
    JQ_OP_JOB_DELETE,    /* job.id, its result too */
    JQ_OP_JOB_SPILL,     /* job.id, lane, rank: a live row goes among the spilled as it is */
    JQ_OP_SPILLED_PURGE, /* purge: so many spilled rows, those that come first, are deleted */
    JQ_OP_QUEUE_PUT,     /* queue.record, insert or replace */
    JQ_OP_QUEUE_DELETE,  /* queue.id, and its jobs that have ended. It has no others, and nothing
                            behind it in the batch is about one of its jobs. One long commit on
                            disk: 0.25 s for each million ended jobs of any queue, and 2.3 us for
                            each of its own. Who has very many deletes them in slices before
                            (JQ_READ_OLDEST of the queue, JOB_DELETE) */
    JQ_OP_REQUEST_PUT,   /* request */
    JQ_OP_REQUEST_DELETE, /* request.session, request.number */
    JQ_OP_SESSION_DELETE, /* request.session: all its requests. Applied where it stands: PUTs after
                             it stay */
    JQ_OP_WORKER_PUT,     /* worker */
    JQ_OP_WORKER_DELETE,  /* worker.session */
    JQ_OP_LIMIT_PUT,      /* limit, insert or replace */
    JQ_OP_LIMIT_DELETE,   /* limit.name */
};

/* The first `count` spilled rows of a lane with ids below `before`: there are as many. */
struct jq_spilled_purge {
    uint32_t queue, lane;
    uint64_t before, count;
};

/* Of a job, as of jq_job_record. Small: a batch has many. */
struct jq_op_job {
    uint64_t id;
    uint64_t flags, fence, session;
    jq_ns started_at, due_at;
    uint32_t attempt, crashes, failures;
    uint32_t queue;
    int32_t priority;
    enum jq_job_state state : 8;
    bool spilled; /* as of jq_job_record, as are: */
    uint8_t lane;
    int64_t rank;
    struct jq_job_fixed *fixed;       /* PUT; held by the op, as are: */
    struct jq_blob *worker, *history; /* NULL: empty */
};

struct jq_store_op {
    enum jq_store_op_kind kind;
    bool has_result;
    bool from_spilled; /* JOB_SET, JOB_DELETE: the row is among the spilled till now, and leaves */
    union {
        struct jq_op_job job;
        struct {
            uint32_t id;
            const struct jq_queue_record *record; /* PUT; one of batch->queues */
        } queue;
        struct jq_request_record request;
        struct jq_worker_record worker;
        struct jq_limit_record limit;
        struct jq_spilled_purge purge;
    } u;
    struct jq_result_record *result; /* has_result; borrowed until the batch is durable */
    struct jq_blob *held;            /* what views above, or of the result, point into */
};

/* Counters of the whole store; one row. */
struct jq_store_meta {
    uint64_t commit_sequence; /* rises by one with every batch */
    uint64_t next_id;         /* first job id not given away */
    uint32_t next_queue;
    uint64_t incarnation; /* starts of the broker on this store */
    uint8_t store_id[16]; /* random, made with the store; opaque */
};

/* The largest that jq_result_record.kept_bytes counts beside bytes: about what a row takes. */
enum { JQ_KEPT_ROW_BYTES = 256 };

struct jq_batch {
    uint64_t number; /* meta.commit_sequence after it */
    struct jq_store_meta meta;
    struct jq_store_op *ops;
    uint32_t count; /* operations, NONE included */
    uint32_t live;  /* operations that are not NONE */
    uint32_t capacity;
    uint32_t queues_capacity;
    struct jq_queue_record *queues; /* owned; what QUEUE_PUTs point to once it is closed */
    uint64_t bytes;                 /* payloads, results: to bound a batch */
    jq_ms opened_at;
};

#endif
