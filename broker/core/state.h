/* SPDX-License-Identifier: MIT
 *
 * state.h - what the core remembers, and which file owns it. Private to broker/core.
 *
 *   bytes    blob.c     counted bytes, names
 *   jobs     job.c      every job in memory, and the one function that moves them
 *   extras   extra.c    options of the jobs that have any, and the state that they begin in
 *   timers   timer.c    delays, expiries, timed leases
 *   edges    edge.c     which jobs wait for which
 *   limits   limit.c    limits and mutexes: who runs under them, who waits
 *   queues   queue.c    names, order, counters
 *   batch    batch.c    what the store is to be told, netted
 *   outbox   outbox.c   what peers are to be told, promises held back
 *   peers    peer.c     connections: HELLO, PING, BYE, silence
 *   workers  worker.c   worker sessions: leases, credit, what they hold
 *   clients  client.c   client sessions: requests and their answers, tied jobs
 *   waits    wait.c     who waits for which job
 *   lookups  lookup.c   requests that need the store first
 *
 * Jobs that have ended stay until their end is durable; from then on the store answers for them. */
#ifndef JQ_CORE_STATE_H
#define JQ_CORE_STATE_H

#include "broker/core/core.h"
#include "broker/core/order.h"
#include "proto/base/dlist.h"
#include "proto/base/heap.h"
#include "proto/base/idmap.h"
#include "proto/base/map.h"
#include "proto/base/rng.h"

struct jq_queue {
    uint32_t id;
    enum jq_order_kind order;
    uint64_t maxsize;
    enum jq_durability durability;
    uint32_t concurrency, attempts_max; /* 0: any number; as 1 */
    uint64_t backoff_ms, backoff_max_ms;
    uint64_t keep_ms, keep_bytes, keep_count; /* 0: the broker's */
    uint64_t aging_ms;                        /* 0: never */
    bool paused, closed;
    uint64_t sequence; /* id of the job that it accepted last */
    uint64_t
        purge_before; /* jobs with smaller ids that have not started are being purged; 0: none */
    uint64_t kept, kept_bytes;        /* ended jobs in the store, and what they take */
    struct jq_dlist waiting;          /* DELAYED and BLOCKED jobs: struct jq_job.in_place */
    uint64_t by_state[JQ_JOB_STATES]; /* live states: now; terminal: since the store was made */
    struct jq_blob *name;
    struct jq_queue *same_hash; /* names with the hash of this one */
    /* Ready jobs. FIFO and LIFO: new ones in `fresh`, in id order, those that came back in the
     * heap, and the next is the better of two. PRIORITY: the heap alone. */
    struct jq_dlist fresh;
    struct jq_heap sorted;
    struct jq_dlink in_ready; /* core->ready: queues with ready jobs */
    uint64_t op_batch;        /* its counters are op `op_index` of this batch */
    uint32_t op_index;
    bool stored;
};

/* Why a job is BLOCKED. */
enum jq_hold {
    JQ_HOLD_NONE = 0,
    JQ_HOLD_EDGES, /* for older jobs */
    JQ_HOLD_LIMIT, /* for a limit or mutex */
    JQ_HOLD_FULL,  /* it came back while its queue was full */
};

/* Of jobs with options, and of jobs that others wait for. Owned by extra.c. */
struct jq_extra {
    struct jq_job_options options; /* decoded: views into job->bytes */
};

struct jq_job {
    uint64_t id;
    struct jq_queue *queue;
    enum jq_job_state state;
    int32_t priority;
    uint64_t flags; /* JQ_JOB_... of the submitter */
    bool cancel_asked;
    bool restored; /* was in the store when this incarnation started */
    bool stored;   /* a JOB_PUT has been in an earlier operation */
    bool damaged;  /* its bytes in the store do not fit their checksum */
    bool in_sorted;
    uint64_t seen; /* the HELLO that named it last */
    uint32_t attempt, crashes;
    uint64_t fence;
    struct jq_worker *worker; /* RUNNING: who holds it */
    struct jq_blob *ran_on;   /* name of the worker that runs it or ran it last; may be NULL */
    uint64_t owner;           /* client session */
    jq_ns created_at, started_at;
    enum jq_hold hold;             /* BLOCKED: why */
    bool quarantined;              /* FAILED as its workers kept dying */
    jq_ns due_at;                  /* DELAYED: until then; RUNNING: end of a timed lease, 0: none */
    jq_ns expires_at;              /* when it has not started by then; 0: never */
    uint32_t failures;             /* attempts that count against attempts_max */
    struct jq_blob *history;       /* encoded attempt records; NULL: none */
    struct jq_extra *extra;        /* NULL: none */
    jq_ms timer_at;                /* monotonic */
    struct jq_heap_node in_timers; /* core->timers */
    struct jq_blob *bytes;         /* payload, handler, title, key, options: one after the other */
    uint32_t payload_size, options_size;
    uint16_t handler_size, title_size, key_size;
    struct jq_dlink in_all;      /* core->all */
    struct jq_dlink in_place;    /* READY: queue->fresh; RUNNING: worker->jobs; DELAYED, BLOCKED:
                                    queue->waiting; ended: core->ended */
    struct jq_heap_node in_heap; /* READY: queue->sorted */
    struct jq_dlink in_tied;     /* client->tied */
    struct jq_job *same_hash;    /* keys with the hash of this one */
    uint64_t op_batch;           /* its state is op `op_index` of this batch */
    uint32_t op_index;
    struct jq_dlist waits;           /* struct jq_wait_link.in_job */
    struct jq_dlist readers;         /* struct jq_log_reader.in_job */
    uint64_t end_batch;              /* ended: durable with this batch; else 0 */
    struct jq_result_record *result; /* ended; owned */
    struct jq_blob *result_bytes;
};

struct jq_peer {
    uint64_t id;
    uint64_t token; /* tells it from an earlier one: a connection may take another session */
    enum jq_role role;
    uint64_t session;
    struct jq_client *client; /* CLIENT */
    struct jq_worker *worker; /* WORKER */
    jq_ms silent_at;          /* forgotten then, unless heard since */
    jq_ms heard_at;
    struct jq_heap_node in_silent; /* core->silent; CLIENT and BEAT */
    struct jq_map waits;           /* correlation -> struct jq_waiter */
    uint32_t waiting;              /* links of all of them */
    uint32_t lookups;              /* requests of it that await the store */
    struct jq_dlist readers;       /* struct jq_log_reader.in_peer */
    struct jq_dlist watchers;      /* struct jq_watcher.in_peer */
    struct jq_out *filling[3];     /* frames of records that more may join, by enum jq_fill */
    uint64_t out_bytes;            /* of frames for it that have not been taken */
    bool broken;                   /* memory ran out while telling it something */
    struct jq_dlink in_broken;
};

struct jq_worker {
    uint64_t session;
    struct jq_blob *name;
    char host[JQ_NAME_MAX + 1];
    uint64_t pid, slots;
    struct jq_blob *config; /* may be NULL */
    struct jq_peer *peer;   /* NULL: not connected now */
    bool ghost;             /* known from the store; has not come back yet */
    bool bound;             /* it ends with the broker's process */
    uint64_t op_batch;      /* its row is op `op_index` of this batch */
    uint32_t op_index;
    bool draining;
    uint64_t credit, granted; /* totals since WELCOME */
    uint64_t busy;            /* jobs held */
    uint64_t ended;           /* jobs ended since it joined */
    jq_ms renewed_at;
    jq_ms lease_at; /* of the heap; renewed_at + lease_ms may be later */
    struct jq_heap_node in_leases;
    struct jq_dlist jobs;    /* struct jq_job.in_place */
    struct jq_dlink in_idle; /* core->idle: has room left */
    struct jq_dlink in_all;  /* core->workers_in_order */
};

/* The answer to one SUBMIT. */
struct jq_request {
    uint64_t number;
    uint64_t first_id;
    uint32_t count;
    bool call;
    bool stored;    /* PUT in a batch that has been taken */
    uint64_t batch; /* durable with */
    uint32_t op_index;
    jq_ns made_at;
    struct jq_blob *each; /* encoded acks; NULL: first_id, first_id + 1 ... */
    struct jq_dlink in_client;
};

struct jq_client {
    uint64_t session;
    struct jq_peer *peer;     /* NULL: not connected now */
    uint64_t answered;        /* highest `answered` it told */
    bool stored;              /* some request of it may be in the store */
    struct jq_dlist requests; /* by number */
    struct jq_dlist parked;   /* struct jq_lookup.in_client: SUBMITs that await the store */
    struct jq_dlist tied;     /* struct jq_job.in_tied */
    jq_ms due_at;             /* not connected: tied jobs are cancelled, then it is forgotten */
    struct jq_heap_node in_due;
};

/* One WAIT, or CALL. */
struct jq_waiter {
    struct jq_peer *peer;
    uint64_t correlation;
    uint64_t token;        /* tells it from an earlier one of the same correlation */
    struct jq_dlist links; /* struct jq_wait_link.in_waiter */
    uint32_t lookups;      /* reads of the store under way for it */
};
struct jq_wait_link {
    struct jq_waiter *waiter;
    struct jq_job *job;
    struct jq_dlink in_waiter, in_job;
};

struct jq_watcher {
    struct jq_peer *peer;
    uint64_t correlation;
    uint64_t job; /* 0: all */
    uint64_t dropped;
    uint32_t held; /* events in frames that have not been taken */
    struct jq_out *filling;
    struct jq_dlink in_peer;
    struct jq_dlink in_core;
};

/* One LOG_READ of a job that has not ended. */
struct jq_log_reader {
    uint64_t token; /* correlation towards the worker; core->log_readers */
    struct jq_peer *peer;
    struct jq_job *job;
    uint64_t correlation;
    uint64_t stream, offset, limit;
    bool follow;
    bool passed_on; /* the worker has been asked */
    struct jq_dlink in_peer, in_job;
};

/* Frames whose records can be joined by more. */
enum jq_fill { JQ_FILL_GRANTS, JQ_FILL_RESULTS, JQ_FILL_ACKS };

/* A frame, or an effect of another kind, on its way out. */
struct jq_out {
    struct jq_dlink link; /* core->ready_out, or core->held until `batch` is durable */
    enum jq_effect_kind kind;
    uint64_t peer;
    uint64_t batch;
    enum jq_tag tag; /* of a frame of records; 0: `bytes` is the frame */
    uint64_t correlation;
    uint32_t count;
    struct jq_watcher *watcher; /* EVENTS */
    uint64_t dropped;           /* EVENTS */
    struct jq_buf bytes;
    size_t charged;      /* of them, in the peer's out_bytes */
    uint64_t peer_token; /* that peer, if it is still there */
    union {
        struct jq_read read;
        struct jq_trace trace;
    } u;
};

struct jq_core {
    struct jq_core_conf conf;
    struct jq_rng rng;
    struct jq_now now; /* of the input being worked on */
    uint64_t hash_key;
    uint64_t hash; /* over all decisions */

    struct jq_store_meta meta; /* commit_sequence: of the last batch taken */
    struct jq_batch *batch;    /* open; NULL while nothing has been asked for */
    struct jq_batch *spare;
    bool meta_changed;
    uint64_t durable;      /* number of the last durable batch */
    uint64_t start_batch;  /* the incarnation is durable with this one */
    uint64_t urgent_batch; /* somebody waits for this batch */
    bool space_low;
    bool started;

    struct jq_idmap jobs;      /* struct jq_job */
    struct jq_dlist all;       /* every job in memory, in id order */
    struct jq_dlist ended;     /* by end_batch */
    struct jq_map keys;        /* hash -> struct jq_job, chained */
    struct jq_map queues;      /* id -> struct jq_queue */
    struct jq_map queue_names; /* hash -> struct jq_queue, chained */
    struct jq_dlist ready;     /* queues with ready jobs, in turn */
    struct jq_heap timers;     /* struct jq_job.in_timers, by timer_at */

    struct jq_map peers;              /* id -> struct jq_peer */
    struct jq_heap silent;            /* clients by silent_at */
    struct jq_dlist broken;           /* peers to be dropped */
    struct jq_map workers;            /* session -> struct jq_worker */
    struct jq_dlist workers_in_order; /* as they joined */
    struct jq_heap leases;
    struct jq_dlist idle;  /* workers with room left, in turn */
    uint64_t ghosts;       /* workers not yet back */
    jq_ms settled_at;      /* no grants before, while there are ghosts */
    struct jq_map clients; /* session -> struct jq_client */
    struct jq_heap due;    /* clients without a connection, by due_at */

    struct jq_dlist watchers;
    struct jq_map log_readers; /* token -> struct jq_log_reader */
    struct jq_map lookups;     /* token -> struct jq_lookup */
    uint64_t next_token;

    struct jq_dlist held;      /* struct jq_out, by batch */
    struct jq_dlist ready_out; /* struct jq_out */

    /* counters of STATS, since the start */
    struct {
        uint64_t submitted, succeeded, failed, cancelled, granted, fenced, returned, quarantined;
        uint64_t leases_lost, resent, refused, peers_forgotten;
    } count;
};

/* Levels of struct jq_trace: those of log.h, which the core does not know. */
enum { JQ_TRACE_WARN = 1, JQ_TRACE_INFO = 2, JQ_TRACE_DEBUG = 3 };

/* ---- blob.c ---- */
struct jq_blob *jq_blob_new(struct jq_view bytes);  /* one reference; NULL: memory */
struct jq_blob *jq_blob_hold(struct jq_blob *blob); /* NULL is fine */
void jq_blob_drop(struct jq_blob *blob);            /* NULL is fine */
static inline struct jq_view jq_blob_view(const struct jq_blob *blob)
{
    return blob ? jq_view(blob->data, blob->size) : jq_view(NULL, 0);
}
bool jq_name_valid(struct jq_view name);                                /* [A-Za-z0-9._-]{1,128} */
uint64_t jq_name_hash(const struct jq_core *core, struct jq_view name); /* never 0 */

/* ---- job.c ---- */
/* What a new job is made of; copied. */
struct jq_job_seed {
    uint64_t id, owner, flags;
    int32_t priority;
    jq_ns created_at;
    struct jq_view handler, title, key, options, payload;
};
struct jq_job *jq_job_new(struct jq_queue *queue,
                          const struct jq_job_seed *seed); /* NULL: memory */
void jq_job_free(struct jq_job *job);                      /* must be in no container */
struct jq_job *jq_job_find(const struct jq_core *core, uint64_t id);
struct jq_job *jq_job_find_key(const struct jq_core *core, struct jq_view key);
struct jq_view jq_job_payload(const struct jq_job *job);
struct jq_view jq_job_handler(const struct jq_job *job);
struct jq_view jq_job_title(const struct jq_job *job);
struct jq_view jq_job_key(const struct jq_job *job);
struct jq_view jq_job_options(const struct jq_job *job);
bool jq_job_is_item(const struct jq_job *job);
void jq_job_record(const struct jq_job *job, struct jq_job_record *ret);
/* Room for `count` more jobs in every container and for `ops` operations. After it jq_job_add and
 * jq_job_move cannot fail for as many. */
JQ_MUST_USE enum jq_err jq_job_reserve(struct jq_core *core, struct jq_queue *queue, size_t count);
/* A job that exists from now on, in its state READY. Reserved before. */
void jq_job_add(struct jq_core *core, struct jq_job *job);
/* The one function that moves a job: checks the arrow, changes containers and counters, emits the
 * operation and the event. Set what the new state needs (worker, result ...) before. Reserved
 * before. */
void jq_job_move(struct jq_core *core, struct jq_job *job, enum jq_job_state to);
/* Stores the job as it is. Reserved before. */
void jq_job_store(struct jq_core *core, struct jq_job *job);
/* Puts it where its state says, counting it; for jq_job_move and recovery. */
void jq_job_place(struct jq_core *core, struct jq_job *job);
/* Forgets jobs whose end is durable. */
void jq_job_forget_durable(struct jq_core *core);
/* Ends a job without a worker's outcome. ENOMEM: as before. */
JQ_MUST_USE enum jq_err jq_job_end(struct jq_core *core, struct jq_job *job,
                                   enum jq_job_state state, const char *reason);
bool jq_job_key_add(struct jq_core *core, struct jq_job *job);

/* ---- extra.c ---- */
/* Decodes the options of a new or loaded job; nothing for a job without any. INVAL: they are no
 * job_options (a loaded job counts as damaged then). ENOMEM. The job owns what is made. */
JQ_MUST_USE enum jq_err jq_extra_make(struct jq_core *core, struct jq_job *job);
void jq_extra_free(struct jq_job *job);
/* The state in which a job waits now, by its edges and its delay: BLOCKED (sets hold), DELAYED
 * (sets due_at) or READY. */
enum jq_job_state jq_extra_waits_in(const struct jq_core *core, struct jq_job *job);

/* ---- timer.c ---- */
/* Sets, moves or takes away the job's timer, by its state, due_at and expires_at. Reserved before
 * (jq_job_reserve). */
void jq_timer_update(struct jq_core *core, struct jq_job *job);
JQ_MUST_USE enum jq_err jq_timer_tick(struct jq_core *core);

/* ---- edge.c ---- */
/* What waits for jobs that have ended since the last call goes on, or is skipped. Called after
 * every input and before a batch is taken: an end and what follows from it are of one batch. */
JQ_MUST_USE enum jq_err jq_edge_resolve(struct jq_core *core);

/* ---- limit.c ---- */
/* May this job start now? True: it counts as running under its limits. False: it has been moved to
 * BLOCKED and comes back to READY when it is its turn. Reserved for one move before. */
bool jq_limit_admit(struct jq_core *core, struct jq_job *job);
/* It runs no more. */
void jq_limit_release(struct jq_core *core, struct jq_job *job);

/* ---- ids.c ---- */
/* The ids of a list; free with jq_free. */
JQ_MUST_USE enum jq_err jq_ids_of(struct jq_records jobs, uint64_t **ret_ids);
/* Each id once, ascending; nearly always they are so already. Returns how many are left. */
uint32_t jq_ids_sort_out(uint64_t *ids, uint32_t count);

/* ---- queue.c ---- */
struct jq_queue *jq_queue_find(const struct jq_core *core, struct jq_view name);
/* Finds or makes; ENOMEM. */
JQ_MUST_USE enum jq_err jq_queue_get(struct jq_core *core, struct jq_view name,
                                     struct jq_queue **ret_queue);
JQ_MUST_USE enum jq_err jq_queue_restore(struct jq_core *core, const struct jq_queue_record *r);
void jq_queue_free(struct jq_queue *queue);
void jq_queue_put(struct jq_core *core, struct jq_queue *queue, struct jq_job *job, bool fresh);
void jq_queue_remove(struct jq_core *core, struct jq_queue *queue, struct jq_job *job);
struct jq_job *jq_queue_first(const struct jq_queue *queue); /* next to run, or NULL */
uint64_t jq_queue_unfinished(const struct jq_queue *queue);

/* ---- batch.c ---- */
/* The open batch's number: what is asked for now is durable when it is. */
uint64_t jq_batch_number(const struct jq_core *core);
JQ_MUST_USE enum jq_err jq_batch_reserve(struct jq_core *core, size_t ops);
void jq_batch_job(struct jq_core *core, struct jq_job *job); /* put or set */
void jq_batch_job_delete(struct jq_core *core, struct jq_job *job);
void jq_batch_queue(struct jq_core *core, struct jq_queue *queue); /* its counters, at closing */
void jq_batch_request(struct jq_core *core, struct jq_client *client, struct jq_request *request);
void jq_batch_request_delete(struct jq_core *core, struct jq_client *client,
                             struct jq_request *request);
void jq_batch_session_delete(struct jq_core *core, struct jq_client *client);
void jq_batch_worker(struct jq_core *core, struct jq_worker *worker, bool exists);
void jq_batch_free(struct jq_batch *batch);

/* ---- outbox.c ---- */
/* When something may be told: at once, or with a batch. */
#define JQ_AT_ONCE UINT64_C(0)
void jq_tell(struct jq_core *core, struct jq_peer *peer, uint64_t batch, const struct jq_msg *msg);
/* To a connection that is no peer. */
void jq_tell_stranger(struct jq_core *core, uint64_t id, uint64_t correlation, enum jq_err err,
                      const char *text);
void jq_tell_error(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                   enum jq_err err, const char *text); /* text NULL: the error's own */
/* A buffer to append one record to; jq_tell_record_end says that it is whole. NULL: the peer is
 * lost. */
struct jq_buf *jq_tell_record(struct jq_core *core, struct jq_peer *peer, uint64_t batch,
                              enum jq_fill fill, uint64_t correlation);
void jq_tell_record_end(struct jq_core *core, struct jq_peer *peer, enum jq_fill fill);
void jq_tell_event(struct jq_core *core, struct jq_watcher *watcher, const struct jq_event *event);
/* It cannot be told something: its connection is given up, and it asks again on a new HELLO. */
void jq_break_peer(struct jq_core *core, struct jq_peer *peer);
void jq_close_peer(struct jq_core *core, uint64_t peer);
void jq_trace(struct jq_core *core, int level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Takes read->ids, read->key and read->label. ENOMEM: they are still the caller's. */
JQ_MUST_USE enum jq_err jq_ask_store(struct jq_core *core, const struct jq_read *read);
/* Somebody waits for this batch: commit soon. */
void jq_batch_urge(struct jq_core *core, uint64_t batch);
void jq_outbox_release(struct jq_core *core); /* what has become durable */
void jq_outbox_free(struct jq_core *core);
void jq_outbox_forget(struct jq_core *core, struct jq_watcher *watcher);

/* ---- peer.c ---- */
struct jq_peer *jq_peer_find(const struct jq_core *core, uint64_t id);
JQ_MUST_USE enum jq_err jq_peer_hello(struct jq_core *core, uint64_t id, const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_peer_bye(struct jq_core *core, struct jq_peer *peer);
/* The connection is no more. The session lives on. */
void jq_peer_drop(struct jq_core *core, struct jq_peer *peer);
void jq_peer_tick(struct jq_core *core);
void jq_peer_welcome(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                     uint64_t session, struct jq_records lost);

/* ---- worker.c ---- */
JQ_MUST_USE enum jq_err jq_worker_hello(struct jq_core *core, struct jq_peer *peer,
                                        const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_worker_beat(struct jq_core *core, struct jq_peer *peer,
                                       const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_worker_credit(struct jq_core *core, struct jq_peer *peer,
                                         const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_worker_release(struct jq_core *core, struct jq_peer *peer,
                                          const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_worker_bye(struct jq_core *core, struct jq_worker *worker);
JQ_MUST_USE enum jq_err jq_worker_tick(struct jq_core *core);
/* Finds or makes the ghost of a session that the store knows. */
JQ_MUST_USE enum jq_err jq_worker_ghost(struct jq_core *core, uint64_t session, struct jq_view name,
                                        struct jq_worker **ret_worker);
void jq_worker_renew(struct jq_core *core, struct jq_worker *worker);
void jq_worker_free(struct jq_worker *worker);
void jq_worker_idle(struct jq_core *core, struct jq_worker *worker); /* its room has changed */
uint64_t jq_worker_room(const struct jq_worker *worker);
void jq_worker_kill(struct jq_core *core, struct jq_job *job, struct jq_view reason);

/* ---- client.c ---- */
JQ_MUST_USE enum jq_err jq_client_get(struct jq_core *core, uint64_t session,
                                      struct jq_client **ret_client);
JQ_MUST_USE enum jq_err jq_client_bye(struct jq_core *core, struct jq_client *client);
JQ_MUST_USE enum jq_err jq_client_tick(struct jq_core *core);
JQ_MUST_USE enum jq_err jq_client_answered(struct jq_core *core, struct jq_client *client,
                                           uint64_t answered);
void jq_client_detached(struct jq_core *core, struct jq_client *client);
struct jq_request *jq_client_request(const struct jq_client *client, uint64_t number);
void jq_client_request_add(struct jq_client *client, struct jq_request *request);
void jq_client_free(struct jq_client *client);
void jq_client_tie(struct jq_client *client, struct jq_job *job);

/* ---- submit.c, grant.c, done.c, wait.c, cancel.c, listing.c, why.c, stats.c, watch.c, logread.c
 * ---- */
JQ_MUST_USE enum jq_err jq_submit_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
bool jq_grant_due(const struct jq_core *core);
void jq_grant_all(struct jq_core *core);
bool jq_settling(const struct jq_core *core);
JQ_MUST_USE enum jq_err jq_done_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_wait_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_unwait_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
/* A waiter for these jobs, in memory or not; for WAIT and CALL. Sorts `ids`. */
JQ_MUST_USE enum jq_err jq_wait_start(struct jq_core *core, struct jq_peer *peer,
                                      uint64_t correlation, uint64_t *ids, uint32_t count);
/* It may wait for so many more jobs. */
bool jq_wait_allowed(const struct jq_core *core, const struct jq_peer *peer, uint32_t count);
void jq_wait_ended(struct jq_core *core, struct jq_job *job); /* tell all who wait */
void jq_waiter_free(struct jq_waiter *waiter);
void jq_waiters_free(struct jq_peer *peer); /* all of a connection that ends */
struct jq_waiter *jq_waiter_find(const struct jq_peer *peer, uint64_t correlation);
void jq_waiter_settle(struct jq_waiter *waiter); /* frees it when nothing is left to wait for */
void jq_wait_tell(struct jq_core *core, struct jq_peer *peer, uint64_t correlation, uint64_t batch,
                  const struct jq_result *result);
JQ_MUST_USE enum jq_err jq_cancel_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
/* One job, at the asking of a client or as its owner is lost. `ret_state`: the state it has now. */
JQ_MUST_USE enum jq_err jq_cancel_job(struct jq_core *core, struct jq_job *job,
                                      struct jq_view reason);
JQ_MUST_USE enum jq_err jq_list_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_info_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_why_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_stats_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_watch_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_unwatch_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_watch_moved(struct jq_core *core, const struct jq_job *job);
void jq_watcher_free(struct jq_core *core, struct jq_watcher *watcher);
JQ_MUST_USE enum jq_err jq_log_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_log_data_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_log_job_moved(struct jq_core *core, struct jq_job *job);
void jq_log_reader_free(struct jq_core *core, struct jq_log_reader *reader);

/* ---- lookup.c ---- */
/* A request that continues when the store has answered. */
struct jq_lookup;
typedef void jq_lookup_fn(struct jq_core *core, struct jq_lookup *lookup);
struct jq_lookup_token {
    uint64_t token;
    uint32_t index; /* by key: of `ids` */
};
struct jq_lookup {
    uint64_t peer; /* may be gone when the answer comes */
    uint64_t peer_token;
    uint64_t correlation;
    jq_lookup_fn *done; /* runs once; the lookup is freed after it */
    enum jq_err err;
    struct jq_lookup_token *tokens; /* of its reads */
    uint32_t tokens_count;
    uint32_t reads;            /* answers still to come */
    bool by_key;               /* answers are gathered in `ids`, 0: no such job */
    struct jq_dlink in_client; /* a SUBMIT with keys: client->parked */
    struct jq_buf kept;        /* what the request needs kept, encoded */
    uint64_t durable;          /* the last durable batch when the first answer came */
    uint64_t *ids;             /* asked for; owned */
    uint32_t count;
    uint64_t number[4]; /* small things, by the asker */
    /* while `done` runs: the last answer */
    const struct jq_loaded_job *jobs;
    size_t found;
    bool more;
};
struct jq_lookup *jq_lookup_new(struct jq_core *core, uint64_t peer, uint64_t correlation,
                                jq_lookup_fn *done);
/* On ENOMEM the lookup is the caller's to free. `ids` is copied. `after`: a batch, or 0. */
JQ_MUST_USE enum jq_err jq_lookup_ids(struct jq_core *core, struct jq_lookup *lookup,
                                      const uint64_t *ids, uint32_t count, uint32_t parts,
                                      uint64_t after);
JQ_MUST_USE enum jq_err jq_lookup_key(struct jq_core *core, struct jq_lookup *lookup,
                                      struct jq_view key, uint32_t index);
JQ_MUST_USE enum jq_err jq_lookup_list(struct jq_core *core, struct jq_lookup *lookup,
                                       const struct jq_read *list);
void jq_lookup_free(struct jq_core *core, struct jq_lookup *lookup);
/* The record of the next id asked for, or NULL: call in the order of `ids`, *cursor starts at 0. */
const struct jq_loaded_job *jq_lookup_found(const struct jq_lookup *lookup, size_t *cursor,
                                            uint64_t id);
/* NOENT: never given away; GONE: it existed, the store does not have it any more. */
enum jq_err jq_absent(const struct jq_core *core, uint64_t id);
void jq_result_of_loaded(const struct jq_loaded_job *loaded, struct jq_result *ret);
void jq_result_of_job(const struct jq_job *job, struct jq_result *ret);
void jq_info_of_job(const struct jq_job *job, struct jq_job_info *ret);
void jq_info_of_loaded(const struct jq_core *core, const struct jq_loaded_job *loaded,
                       struct jq_job_info *ret);

#endif
