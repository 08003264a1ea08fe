/* SPDX-License-Identifier: MIT
 *
 * state.h - what the core remembers, and which file owns it: parts.h says what each offers. Private
 * to broker/core.
 *
 *   bytes    blob.c     counted bytes, names
 *   jobs     job.c      every job in memory, and the one function that moves them
 *   extras   extra.c    what few jobs have: options, and the state that they begin in; times
 *   timers   timer.c    delays, expiries, timed leases
 *   edges    edge.c     which jobs wait for which
 *   limits   limit.c    limits and mutexes: who runs under them, who waits
 *   retries  retry.c    which failed attempts are followed by another, and when
 *   history  history.c  the attempts before the last
 *   uniques  unique.c   live jobs by their unique names
 *   dead     dead.c     RETRY and REMOVE of jobs that have ended
 *   kept     retention.c  what is kept of ended jobs, for how long; rows that are being deleted
 *   queues   queue.c    names, order, counters
 *   lanes    lane.c     ready jobs of a queue, by who may take them; lanes that nobody free serves
 *   spills   spill.c    jobs in the store alone; back: spill_page.c, out: spill_room.c
 *   batch    batch.c    what the store is to be told, netted
 *   outbox   outbox.c   what peers are to be told, promises held back
 *   late     late.c     what is told a moment later: hints to calls, acknowledgements
 *   peers    peer.c     connections: HELLO, PING, BYE, silence
 *   workers  worker.c   worker sessions: joining, leases, credit, tags
 *   holders  hold.c     who holds which job: giving up, coming back, leases by receipt
 *   clients  client.c   client sessions: requests and their answers, tied jobs
 *   waits    wait.c     who waits for which job
 *   purges   purge.c    queues whose jobs are being cancelled; the end of a queue
 *   rooms    room.c     places of bounded queues, and who waits for them
 *   items    item.c     GET: who waits for items; PEEK: peek.c; SETTLE: settle.c
 *   events   events.c   the last state changes, in a ring; who watches: watch.c
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

struct jq_lookup;

/* What of a lane is in the store alone. Only lanes without needs have such jobs. */
struct jq_spill {
    bool is_on;                     /* some are: there is an edge */
    bool has_edge;                  /* else it is before all of them: nothing is known yet */
    struct jq_order_key edge;       /* the last that may be ready in memory */
    uint64_t rows, loaded;          /* jobs that are among the spilled; of them, in memory too */
    uint64_t doomed, doomed_loaded; /* likewise, and being purged; not among those above */
    struct jq_heap beyond;          /* READY in memory, behind the edge */
    struct jq_dlist
        offered;          /* of them, struct jq_job.in_place: leave memory once they are durable */
    uint64_t page, pages; /* the page that has been asked for; 0: none. Asked for so far */
    uint64_t batch;       /* the last that spills jobs of it */
    jq_ms retry_at;       /* no page is asked for before */
    struct jq_dlink in_spills; /* core->spills */
};

/* Ready jobs of one queue that the same may take. FIFO and LIFO: new ones in `fresh`, in id order,
 * those that came back in the heap, and the next is the better of two. PRIORITY: the heap alone. */
struct jq_lane {
    struct jq_queue *queue;
    struct jq_blob *needs; /* tags that a worker must have: encoded words, sorted; NULL: none */
    uint32_t needs_count;
    uint64_t references; /* jobs in memory that are of a lane with needs */
    struct jq_dlist fresh;
    struct jq_heap sorted;
    uint64_t count, bytes; /* ready in memory: in the two above */
    struct jq_spill spill;
    struct jq_dlink in_queue; /* queue->lanes: with needs */
    struct jq_dlink in_turn;  /* core->ready, or core->stuck; of items: core->items_ready */
};

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
    uint64_t purged;  /* the last that purge_before was since the start */
    uint64_t kept, kept_bytes;        /* ended jobs in the store, and what they take */
    uint64_t swept;                   /* ended jobs up to this id have been looked at; 0: none */
    struct jq_dlist waiting;          /* DELAYED and BLOCKED jobs: struct jq_job.in_place */
    struct jq_dlist joiners;          /* struct jq_joiner.in_queue */
    uint64_t by_state[JQ_JOB_STATES]; /* live states: now; terminal: since the store was made */
    struct jq_blob *name;
    struct jq_queue *same_hash; /* names with the hash of this one */
    struct jq_lane plain;       /* jobs for any worker */
    struct jq_lane items;       /* for whoever asks */
    struct jq_dlist lanes;      /* struct jq_lane.in_queue: jobs for workers with certain tags */
    struct jq_dlist getters;    /* struct jq_getter.in_queue, as they came */
    uint64_t getting;           /* how many */
    struct jq_dlist rooms;      /* struct jq_putter.in_queue: that wait, as they came */
    uint64_t putting;           /* how many */
    uint64_t reserved;          /* places that are kept for ROOMs */
    struct jq_heap aside;       /* BLOCKED for JQ_HOLD_FULL, in the order of the queue */
    uint64_t excess;            /* ready jobs that came back to a full queue, to be set aside */
    struct jq_dlink in_uneven;  /* core->uneven */
    uint64_t doomed[JQ_JOB_STATES]; /* of by_state: about to be cancelled, and not counted */
    struct jq_dlink in_purging;     /* core->purging */
    bool removing;                  /* nothing more is taken: its rows are being deleted */
    uint64_t op_batch;              /* its counters are op `op_index` of this batch */
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

/* What few jobs have: those with options, that others wait for, that wait for a time, have been
 * tried before, are tied to a client. Made when first needed; it stays. Owned by extra.c. */
struct jq_extra {
    const struct jq_job_options *options; /* decoded: views into the job; without any: zeros */
    struct jq_job *job;
    jq_ns due_at;                  /* DELAYED: until then; RUNNING: end of a timed lease, 0: none */
    jq_ns expires_at;              /* when it has not started by then; 0: never */
    jq_ms timer_at;                /* monotonic */
    struct jq_heap_node in_timers; /* core->timers */
    bool timer_expires;            /* what timer_at means: its time is over */
    struct jq_blob *history;       /* encoded attempt records; NULL: none */
    uint32_t named;                /* SUBMITs that await the store name it */
    uint64_t spared_of;      /* this purge_before of its queue is not for it: it came back later */
    struct jq_dlink in_tied; /* client->tied */
    struct jq_dlist readers; /* struct jq_log_reader.in_job */
    struct jq_edge *edges;   /* BLOCKED for edges: one for each of options.after; owned */
    uint32_t edges_count;
    uint32_t edges_left;            /* of older jobs that live */
    uint64_t doomed_by;             /* this older job did not end as it should: skipped soon */
    enum jq_job_state doomed_state; /* but so */
    struct jq_dlist children;       /* struct jq_edge.in_parent: who waits for this job */
    struct jq_dlink in_resolving;   /* core->resolving */
    struct jq_use *uses;            /* of each limit and mutex that it names; owned */
    uint32_t uses_count;            /* */
    struct jq_limit_line *line;     /* BLOCKED for a limit: waits here */
    struct jq_limiter *woken_by;    /* READY: this limiter let it go on */
    struct jq_heap_node in_line;    /* line->waiting */
    struct jq_job *same_unique;     /* unique names with the hash of this one's */
    struct jq_lane *lane;           /* of jobs that need tags */
};

/* An edge from an older job. */
struct jq_edge {
    struct jq_job *parent, *child;
    enum jq_after kind;
    struct jq_dlink in_parent;
};

/* A limit or a mutex: by name, in a namespace of its kind. */
struct jq_limiter {
    struct jq_core *core;
    struct jq_blob *name;
    bool mutex;
    bool kept;               /* it was set by name: it stays until the restart */
    uint32_t said, set;      /* most at a time, by jobs and by LIMIT_SET; 0: nothing */
    uint64_t references;     /* jobs in memory that name it */
    uint64_t used;           /* jobs that run under it */
    uint64_t waiting, woken; /* jobs that wait for it; that it let go on and that are READY yet */
    struct jq_dlist holders; /* struct jq_use.in_holders */
    struct jq_dlist lines;   /* struct jq_limit_line.in_limiter: queues with jobs that name it, in
                                turn */
    struct jq_dlink in_open; /* core->limits_open: has jobs that wait, and room */
    struct jq_dlink in_all;  /* core->limits_in_order */
    struct jq_limiter *same_hash;
    uint64_t op_batch; /* its row is op `op_index` of this batch */
    uint32_t op_index;
};

/* Jobs of one queue that wait for one limiter, in the order of the queue. */
struct jq_limit_line {
    struct jq_limiter *limiter;
    struct jq_queue *queue;
    uint64_t references; /* jobs in memory that may come to wait here */
    struct jq_heap waiting;
    struct jq_dlink in_limiter;
};

/* That a job names a limiter. */
struct jq_use {
    struct jq_job *job;
    struct jq_limit_line *line;
    struct jq_dlink in_holders; /* RUNNING */
};

struct jq_ending {
    struct jq_result_record record;
    struct jq_blob *bytes; /* what it views; NULL: nothing */
};

/* One for each of very many: what few have is in struct jq_extra. First what a submit, a grant and
 * an end touch. */
struct jq_job {
    uint64_t id;
    struct jq_queue *queue;
    struct jq_dlink in_place; /* READY: queue->fresh, or spill.offered; RUNNING: worker->jobs;
                                 DELAYED, BLOCKED: queue->waiting; ended: core->ended */
    struct jq_worker *worker; /* RUNNING: who holds it */
    struct jq_extra *extra;   /* NULL: none */
    uint64_t fence;
    enum jq_job_state state : 8;
    enum jq_hold hold : 8; /* BLOCKED: why */
    uint8_t flags;         /* JQ_JOB_... of the submitter */
    bool cancel_asked : 1;
    bool restored : 1;   /* was in the store when this incarnation started */
    bool stored : 1;     /* a JOB_PUT has been in an earlier operation */
    bool damaged : 1;    /* its bytes in the store do not fit their checksum */
    bool in_sorted : 1;  /* READY: in a heap */
    bool is_beyond : 1;  /* READY, and behind the edge of its lane */
    bool is_spilled : 1; /* its row is among the spilled */
    bool is_item : 1;
    bool seen : 1;          /* the HELLO that is being worked on named it */
    bool quarantined : 1;   /* FAILED as its workers kept dying */
    bool fence_done : 1;    /* not RUNNING: the outcome of `fence` was accepted */
    bool retried : 1;       /* it had ended, and lives again */
    bool after_retried : 1; /* a job that it waits for had been retried before it came */
    int32_t priority;
    struct jq_heap_node in_heap; /* READY: queue->sorted */
    uint32_t attempt, crashes;
    uint32_t failures; /* attempts that count against attempts_max */
    uint32_t op_index;
    uint64_t op_batch;      /* its state is op `op_index` of this batch */
    struct jq_blob *ran_on; /* name of the worker that runs it or ran it last; may be NULL */
    jq_ns started_at;
    struct jq_dlist waits;           /* struct jq_wait_link.in_job; those with states first */
    uint64_t end_batch;              /* ended: durable with this batch; else 0 */
    struct jq_result_record *result; /* ended: struct jq_ending.record; owned */
    struct jq_job *same_hash;        /* keys with the hash of this one */
    struct jq_job_fixed fixed;       /* last: its bytes are behind it */
};

struct jq_peer {
    uint64_t id;
    uint64_t token; /* tells it from an earlier one: a connection may take another session */
    enum jq_role role;
    uint64_t session;
    struct jq_client *client; /* CLIENT */
    struct jq_worker *worker; /* WORKER; of a CLIENT that has asked for items: as their holder */
    jq_ms silent_at;          /* forgotten then, unless heard since */
    jq_ms heard_at;
    struct jq_heap_node in_silent; /* core->silent; CLIENT and BEAT */
    struct jq_map waits;           /* correlation -> struct jq_waiter */
    uint32_t waiting;              /* links of all of them */
    uint32_t lookups;              /* requests of it that await the store */
    struct jq_dlist joins;         /* struct jq_joiner.in_peer */
    uint32_t joining;              /* how many */
    struct jq_dlist gets;          /* struct jq_getter.in_peer */
    struct jq_map gets_asked;      /* correlation -> struct jq_getter: there may be very many */
    uint32_t getting;              /* items that they may bring */
    struct jq_dlist rooms;         /* struct jq_putter.in_peer, kept or not */
    uint32_t putting;              /* how many */
    struct jq_dlist readers;       /* struct jq_log_reader.in_peer */
    struct jq_dlist watchers;      /* struct jq_watcher.in_peer */
    struct jq_out *filling[3];     /* frames of records that more may join, by enum jq_fill */
    uint64_t out_bytes;            /* of frames for it that have not been taken */
    struct jq_out *acks;           /* DONE_ACK that leaves at late_at, or before; may be NULL */
    jq_ms late_at;
    struct jq_dlink in_late; /* core->late */
    bool broken;             /* memory ran out while telling it something */
    struct jq_dlink in_broken;
};

/* A session that holds jobs: a worker's, or a client's that asked for items. */
struct jq_worker {
    uint64_t session;
    bool is_client; /* holds items; is granted no jobs and charged no crashes */
    struct jq_blob *name;
    char host[JQ_NAME_MAX + 1];
    uint64_t pid, slots;
    struct jq_blob *config; /* may be NULL */
    struct jq_blob *tags;   /* encoded words; may be NULL */
    uint32_t tags_count;
    uint64_t stuck_seen;  /* core->stuck_changes when it last looked at the stuck lanes */
    struct jq_peer *peer; /* NULL: not connected now */
    bool ghost;           /* known from the store; has not come back yet */
    bool bound;           /* it ends with the broker's process */
    uint64_t op_batch;    /* its row is op `op_index` of this batch */
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
    bool at_once;   /* answered before it is durable: its queue is relaxed, or in memory alone */
    bool loose;     /* never stored */
    bool stored;    /* PUT in a batch that has been taken */
    uint64_t batch; /* durable with */
    uint32_t op_index;
    jq_ns made_at;
    struct jq_blob *each; /* encoded acks; NULL: first_id, first_id + 1 ... */
    struct jq_dlink in_client;
};

struct jq_client {
    uint64_t session;
    struct jq_blob *name;     /* as it said; NULL: not since the start */
    struct jq_peer *peer;     /* NULL: not connected now */
    uint64_t answered;        /* highest `answered` it told */
    bool stored;              /* some request of it may be in the store */
    struct jq_dlist requests; /* by number */
    struct jq_dlist parked;   /* struct jq_lookup.in_client: SUBMITs that await the store */
    struct jq_dlist tied;     /* struct jq_extra.in_tied */
    jq_ms due_at;             /* not connected: tied jobs are cancelled, then it is forgotten */
    struct jq_heap_node in_due;
};

/* One WAIT, or CALL, or SUBMIT whose results are wanted. */
struct jq_waiter {
    struct jq_peer *peer;
    uint64_t correlation;
    uint32_t states; /* that it waits for beside the end, bit per state */
    uint64_t token;  /* tells it from an earlier one of the same correlation */
    uint64_t after;  /* batch of the SUBMITTED that nothing may overtake */
    struct {
        struct jq_dlink link; /* core->hints; unused: told, or not a CALL */
        jq_ms at;             /* told then, unless a result is told before */
        uint64_t first_id;
        uint32_t count;
        bool may_join; /* the first result's frame */
        struct jq_blob *each;
    } hint;
    struct jq_dlist links; /* struct jq_wait_link.in_waiter */
    uint32_t lookups;      /* reads of the store under way for it */
};
struct jq_wait_link {
    struct jq_waiter *waiter;
    struct jq_job *job;
    struct jq_dlink in_waiter, in_job;
};

/* A state change. */
struct jq_event_entry {
    uint64_t id;
    uint64_t batch; /* true with */
    jq_ns at;
    struct jq_blob *queue, *worker, *reason; /* the last two may be NULL */
    uint32_t attempt;
    enum jq_job_state state;
};
struct jq_event_ring {
    struct jq_event_entry *entries;
    uint32_t size, next; /* the place of the next one */
    uint64_t count;      /* since the start: also the number of the last */
    bool due;            /* somebody may be told more now */
};

struct jq_watcher {
    struct jq_peer *peer;
    uint64_t correlation;
    uint64_t job;          /* 0: all */
    struct jq_blob *queue; /* its name; NULL: all */
    uint64_t next;         /* number of the event that it looks at next */
    uint64_t told;         /* what `next` was when it was last told something */
    uint64_t dropped;      /* since then */
    bool owed;             /* it is told where it stands, also when there is nothing else */
    struct jq_out *out;    /* its frame that has not been taken */
    struct jq_dlink in_peer;
    struct jq_dlink in_core;
};

/* One JOIN. */
struct jq_joiner {
    struct jq_peer *peer;
    uint64_t correlation;
    struct jq_dlink in_queue, in_peer;
};

/* One GET. */
struct jq_getter {
    struct jq_peer *peer;
    struct jq_queue *queue;
    uint64_t correlation;
    uint64_t lease_ms; /* 0: its session's */
    uint32_t count;    /* at most so many; from 1 */
    bool is_list;      /* it is answered by ITEMS */
    struct jq_dlink in_queue, in_peer;
    struct jq_dlink in_hasty; /* core->hasty: told EMPTY rather than wait */
};

/* One ROOM. */
struct jq_putter {
    struct jq_peer *peer;
    struct jq_queue *queue;
    uint64_t correlation;
    uint64_t count;
    bool is_kept;
    struct jq_dlink in_queue; /* waits */
    struct jq_dlink in_peer;
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
    struct jq_dlink link; /* core->ready_out, or core->held until `batch` is durable, or a peer's */
    enum jq_effect_kind kind;
    uint64_t peer;
    uint64_t batch;
    enum jq_tag tag; /* of a frame of records; 0: `bytes` is the frame */
    uint64_t correlation;
    uint32_t count;
    bool is_urgent;             /* DONE_ACK: not to be late */
    uint64_t first_id;          /* RESULTS: their hint */
    struct jq_watcher *watcher; /* EVENTS */
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

    /* Ids that are told before they are durable must not be given again after a crash. */
    bool loose;            /* there is, or was, a queue that tells such */
    uint64_t ids_safe;     /* ids below are behind the next_id that the store has */
    uint64_t ids_reserved; /* likewise once ids_batch is durable */
    uint64_t ids_batch;

    struct jq_idmap jobs;        /* struct jq_job: every job in memory, walked in id order */
    struct jq_dlist ended;       /* by end_batch */
    struct jq_map keys;          /* hash -> struct jq_job, chained */
    struct jq_map queues;        /* id -> struct jq_queue */
    struct jq_map queue_names;   /* hash -> struct jq_queue, chained */
    struct jq_dlist ready;       /* lanes with jobs that may run, in turn */
    struct jq_dlist stuck;       /* likewise, but that no idle worker has the tags */
    uint64_t stuck_changes;      /* lanes that have become so */
    struct jq_dlist items_ready; /* lanes of items that somebody waits for */
    struct jq_dlist purging;     /* queues with doomed jobs, in turn */
    uint64_t purge_batch;        /* the last with a slice of spilled jobs */
    struct jq_dlist spills;      /* lanes whose spilled jobs are to be looked at */
    uint64_t spilled_lanes;      /* that have any */
    uint64_t spill_batch;        /* the last that spills jobs */
    uint64_t job_bytes;          /* of jobs in memory: what jq_job_bytes says */
    uint64_t spill_at_jobs, spill_at_bytes; /* past these, some leave memory */
    jq_ms spill_retry_at;
    uint32_t hellos;           /* that wait for the store: who says them may hold spilled jobs */
    uint64_t start_id;         /* ids below were given away before this incarnation */
    struct jq_dlist uneven;    /* queues whose places or ready jobs have changed in number */
    struct jq_dlist hasty;     /* struct jq_getter.in_hasty */
    struct jq_heap timers;     /* struct jq_extra.in_timers, by timer_at */
    struct jq_dlist resolving; /* struct jq_extra.in_resolving: ended, and others wait for it; or
                                  to be skipped */
    struct jq_map uniques;     /* hash -> struct jq_job, chained */

    struct jq_map limits; /* hash -> struct jq_limiter, chained */
    struct jq_dlist limits_in_order, limits_open;
    uint32_t limits_kept;
    uint64_t limits_batch; /* the last in which one was set */

    struct jq_map deleting;    /* id -> struct jq_deletion: rows that the store may still have */
    struct jq_dlist deletions; /* likewise, by batch */
    jq_ms sweep_at;            /* kept jobs are looked through then; JQ_NEVER: none are kept */
    uint32_t sweep_queue;      /* id of the queue whose jobs are being looked through */
    bool sweeping;

    struct jq_map peers;              /* id -> struct jq_peer */
    struct jq_heap silent;            /* clients by silent_at */
    struct jq_dlist broken;           /* peers to be dropped */
    struct jq_map workers;            /* session -> struct jq_worker */
    struct jq_map holders;            /* likewise, of clients */
    struct jq_dlist workers_in_order; /* as they joined */
    struct jq_heap leases;
    struct jq_dlist idle;        /* workers with room left, in turn */
    struct jq_worker by_receipt; /* holds items whose leases end by time alone; in no list */
    uint64_t ghosts;             /* workers not yet back */
    jq_ms settled_at;            /* no grants before, while there are ghosts */
    struct jq_map clients;       /* session -> struct jq_client */
    struct jq_heap due;          /* clients without a connection, by due_at */

    struct jq_event_ring events;
    struct jq_dlist watchers;  /* in turn */
    struct jq_map log_readers; /* token -> struct jq_log_reader */
    struct jq_map lookups;     /* token -> struct jq_lookup */
    uint64_t next_token;

    struct jq_dlist held;      /* struct jq_out, by batch */
    struct jq_dlist ready_out; /* struct jq_out */
    struct jq_dlist hints;     /* struct jq_waiter, by hint.at */
    struct jq_dlist late;      /* struct jq_peer with `acks`, by late_at */

    /* counters of STATS, since the start */
    struct {
        uint64_t submitted, succeeded, failed, cancelled, granted, fenced, returned, quarantined;
        uint64_t leases_lost, resent, refused, peers_forgotten, events_dropped;
    } count;
};

/* Levels of struct jq_trace: those of log.h, which the core does not know. */
enum { JQ_TRACE_WARN = 1, JQ_TRACE_INFO = 2, JQ_TRACE_DEBUG = 3 };

#endif
