/* SPDX-License-Identifier: MIT
 *
 * pending.h - what this session has asked and not yet been answered: request numbers, frames kept
 * for a resend, jobs that wait for company in a frame, futures, and which of them an answer
 * settles.
 *
 * Pure: time is an argument, nothing here calls the system. One thread at a time (the handle's
 * lock).
 *
 * Correlations: SUBMITs are numbered 1, 2, 3 ... as the protocol demands; everything else counts
 * from JQ_LINK_CORRELATION + 1, so that no answer is taken for another's.
 *
 * Invariants:
 *   P1  every number up to the next SUBMIT's `answered` has left `submits` and `calls`.
 *   P2  a future is in exactly one of: its ask (no answer yet), its interest, neither (id known and
 *       nobody waits; or ended). A CALL's future may be in both.
 *   P3  an interest has at least one future. It is asked (ask: a WAIT, or a SUBMIT that has become
 *       one as its answer said that results follow), to be asked (in_unasked), or all its futures
 *       have a CALL that brings the result. */
#ifndef JQ_CLIENT_PENDING_H
#define JQ_CLIENT_PENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "client/frame.h"
#include "client/slab.h"
#include "proto/base/dlist.h"
#include "proto/base/heap.h"
#include "proto/base/map.h"
#include "proto/base/rng.h"
#include "proto/base/time.h"
#include "proto/msg.h"

enum {
    JQ_BATCHES_MAX = 8,                 /* queues whose jobs wait for company at one time */
    JQ_UNANSWERED_JOBS_MAX = 256 << 10, /* jobs started and not yet the broker's */
    JQ_UNANSWERED_BYTES_MAX = 64 << 20, /* their frames */
    JQ_MEMORY_RETRY_MS = 10,            /* nothing could be asked for lack of memory */
    JQ_STREAM_FRAMES_MAX = 4096,        /* EVENTS that a reader has not taken yet */
};

enum jq_ask_kind {
    JQ_ASK_SUBMIT,
    JQ_ASK_CALL,   /* a SUBMIT that is answered by results */
    JQ_ASK_WAIT,   /* for futures */
    JQ_ASK_ONE,    /* one answer, handed out as it is */
    JQ_ASK_STREAM, /* many */
    JQ_ASK_SETTLE, /* for items */
    JQ_ASK_ROOM,   /* for a SUBMIT that a full queue refused */
    JQ_ASK_NOTICE, /* none: UNWAIT, UNWATCH; forgotten when sent or when the connection ends */
};

/* One frame that was or will be sent. */
struct jq_ask {
    enum jq_ask_kind kind;
    uint64_t correlation;
    struct jq_frame *frame;  /* NULL: a WAIT that was sent: after a reconnect it is made anew */
    struct jq_dlink in_list; /* submits, calls or others of jq_pending */
    struct jq_dlink in_unsent;
    struct jq_heap_node in_due; /* by resend_at; in it unless that is never */
    jq_ms resend_at;
    unsigned resends;
    bool is_prompt; /* its answer does not wait for a job: silence means that it was lost */
    bool was_sent;
    bool is_repeated; /* sent again without an answer: what it finds done may be its own work */
    union {
        struct {              /* SUBMIT, CALL */
            uint32_t count;   /* jobs */
            uint32_t started; /* of them, those whose errors a flush tells */
            size_t bytes;
            struct jq_dlist futures; /* of the jobs that have one, by index */
            uint64_t origin;         /* the number that its jobs were first sent under */
            jq_ms put_until;         /* how long a full queue may keep it; 0: not at all */
            struct jq_ask *room;     /* a full queue has refused it: this will call it back */
            uint64_t kept;           /* correlation of the ROOM that did */
            uint32_t relying;        /* interests that its results are for */
            bool is_put;             /* items, each with a thread that waits for it */
            bool is_hinted;          /* CALL: the ids are known */
        } submit;
        struct {            /* WAIT */
            uint32_t users; /* interests that rely on it */
            bool has_more;  /* it is for other jobs, too */
        } wait;
        struct { /* ONE */
            bool done;
            enum jq_err err;   /* of an ERROR answer */
            struct jq_msg msg; /* when done: points into frame */
            struct jq_frame *answer;
            bool is_waiting;       /* for more than the broker's turn: UNWAIT withdraws it */
            bool is_get;           /* GET: the next three */
            bool is_timed;         /* what comes is held by its receipt */
            uint32_t wanted;       /* items that may come; 0: they have */
            struct jq_dlist items; /* struct jobq_item.in_get: have come, and were not taken yet */
        } one;
        struct {                    /* SETTLE */
            struct jq_dlist wanted; /* struct jq_settlement, by index */
            uint32_t count;         /* with those that nobody waits for any more */
        } settle;
        struct { /* ROOM */
            struct jq_ask *submit;
            struct jq_view queue; /* in the frame of the SUBMIT */
            struct jq_dlink in_rooms;
        } room;
        struct {                     /* STREAM */
            struct jq_dlist answers; /* struct jq_stream_answer */
            uint32_t count;
            uint64_t dropped;  /* EVENTS lost since the last one kept */
            uint64_t sequence; /* WATCH: what it goes on behind; 0: not known */
            bool is_wait;
            struct jq_map left; /* WAIT: ids whose result has not come */
            enum jq_err err;    /* ends it */
            struct jq_frame *err_frame;
            struct jq_view err_text;
        } stream;
    } u;
};

struct jq_stream_answer {
    struct jq_dlink link;
    struct jq_msg msg;
    struct jq_frame *frame;
};

/* A job whose end futures wait for. */
struct jq_interest {
    uint64_t id;
    struct jq_dlist futures;
    struct jq_ask *ask; /* the WAIT that brings it */
    struct jq_dlink in_unasked;
};

struct jobq_client;

/* A job as its submitter sees it. */
struct jobq_future {
    struct jobq_client *client; /* NULL in tests of pending alone */
    struct jq_ask *ask;         /* SUBMIT: not answered; CALL: its results have not come */
    struct jq_dlink in_ask;
    struct jq_interest *interest; /* joined; or kept for the time when the id is known */
    struct jq_dlink in_interest;  /* unused: not joined */
    uint64_t id;                  /* 0: not known yet */
    uint32_t index;               /* among the jobs of its SUBMIT */
    int32_t error;                /* ended: 0, or why there is no result (enum jq_err) */
    uint8_t job_state;            /* ended without error */
    bool is_ended;
    bool is_created;
    bool is_orphan;             /* freed by its owner, still needed to settle its CALL */
    bool is_direct;             /* jobq_submit tells its error itself */
    bool is_discarded;          /* JQ_JOB_DISCARD: gone means that it has succeeded */
    bool is_wanted;             /* somebody has asked for its end */
    jq_ms put_until;            /* an item's: how long a full queue may keep it */
    struct jq_frame *frame;     /* ended: what the next two point into; or NULL */
    struct jq_view record;      /* the encoded result, or the text of the error */
    struct jobq_result *result; /* made when it is first asked for */
};

/* What is to become of an item. Its memory is its item's, or the caller's who waits for it. */
struct jq_settlement {
    struct jq_dlink link; /* to be sent, or in its ask */
    struct jq_ask *ask;
    struct jobq_item *item; /* NULL: by its receipt alone */
    uint64_t id, fence;
    uint64_t ms;
    enum jq_settle_action action;
    uint32_t index; /* in its frame */
    enum jq_err err;
    bool is_done;
    bool is_repeated; /* sent more than once, as jq_ask */
};

/* An item that was leased to this client. */
struct jobq_item {
    struct jobq_client *client; /* NULL once that is closed, and in tests of pending alone */
    struct jq_dlink in_items;   /* or among the spares */
    struct jq_dlink in_get;     /* nobody has taken it yet */
    struct jq_dlink in_leaving; /* done for its owner; ends when the broker has heard so */
    uint64_t leaving_number;
    struct jq_settlement settle; /* with its id and fence */
    bool is_timed;               /* the lease ends by the clock, not with the session */
    bool is_lost;                /* the broker gave it to somebody else, or will */
    bool is_given;               /* freed by its owner; ends when the broker has it back */
    int32_t priority;
    uint32_t attempt;
    struct jq_view payload; /* in `frame` */
    struct jq_frame *frame;
};

/* Jobs of one queue that wait for company. */
struct jq_batch {
    struct jq_ask *ask; /* not numbered yet */
    struct jq_frame_buf *frame;
    uint64_t flags; /* JQ_SUBMIT_... */
    bool is_put;
    bool wants_results;
    int64_t put_timeout_ms; /* of all of them; not of items */
    uint32_t queue_size;
    char queue[JQ_NAME_MAX];
};

struct jq_pending {
    uint64_t number;         /* of the last SUBMIT */
    uint64_t correlation;    /* of the last other request */
    struct jq_map asks;      /* by correlation */
    struct jq_dlist submits; /* SUBMITs and CALLs without an answer, by number */
    struct jq_dlist calls;   /* CALLs whose ids are known, by number */
    struct jq_dlist others;  /* WAIT, ONE, STREAM, in order */
    struct jq_dlist unsent;
    struct jq_heap due;
    struct jq_batch batches[JQ_BATCHES_MAX]; /* in the order of their first job */
    uint32_t batches_count;
    size_t batch_bytes;     /* how large the last frame of jobs became */
    size_t unanswered_jobs; /* items not counted: each has a thread that waits for it */
    size_t unanswered_bytes;
    bool
        has_failed; /* a SUBMIT, perhaps not by an answer: its owner may sleep. The reader resets */
    bool was_split; /* the number of a SUBMIT does not tell any more when its jobs came */
    struct jq_dlist rooms; /* ROOMs that were not kept yet, in order */
    uint64_t tied; /* jobs with JQ_JOB_TIE that were ever started: the session must stay alive */

    struct jq_map interests; /* by job id */
    struct jq_dlist unasked;
    jq_ms ask_at;           /* not before: the broker was busy */
    unsigned waits_refused; /* in a row */
    size_t promised;        /* places reserved in `interests` */
    struct jq_slab futures;
    struct jq_slab interest_slab;

    struct jq_dlist items; /* struct jobq_item, leased to us */
    size_t items_count;
    size_t gets;            /* that GETs may bring */
    struct jq_dlist spares; /* struct jobq_item.in_items: places for those */
    size_t spares_count;
    struct jq_dlist leaving; /* struct jobq_item.in_leaving, by number */
    uint64_t leaving_number; /* of the last */
    struct jq_dlist settles; /* struct jq_settlement: to be sent */
    jq_ms settle_at;         /* not before: there was no memory */

    enum jq_err flush_error; /* first of the started submits since the last flush */
    struct jq_detail flush_text;
    jq_ms resend_ms;
    struct jq_rng rng;
};

void jq_pending_init(struct jq_pending *p, uint64_t seed);
void jq_pending_fini(struct jq_pending *p); /* futures die with it */

/* ---- submits (pending_submit.c) ---- */

struct jq_start {
    struct jq_view queue;
    uint64_t flags; /* JQ_SUBMIT_... */
    struct jq_job_spec spec;
    bool is_direct;
    bool is_put;            /* an item: needs a future, and is direct */
    bool wants_results;     /* has a future, whose end will be wanted */
    int64_t put_timeout_ms; /* how long a full queue may keep it: -1 for ever, 0 not at all */
    jq_ms put_until;        /* the same as an instant; 0 for 0 */
};

/* One job, copied; valid in all its fields. `future`: a new one that goes with it, or NULL, which a
 * CALL must not have. ENOMEM: nothing has changed. */
JQ_MUST_USE enum jq_err jq_pending_start(struct jq_pending *p, const struct jq_start *start,
                                         struct jobq_future *future);
bool jq_pending_has_room(const struct jq_pending *p);
/* Every SUBMIT up to `number` is durable, every CALL up to it is with the broker. */
bool jq_pending_is_flushed(const struct jq_pending *p, uint64_t number);
/* The first error since the last time; forgets it. */
enum jq_err jq_pending_take_flush_error(struct jq_pending *p, struct jq_detail *ret_text);
/* A job that could not even be started, after others of its call had been: a flush tells. */
void jq_pending_note_error(struct jq_pending *p, enum jq_err err, struct jq_view text);

/* ---- full queues (pending_room.c) ---- */

/* The time of an item is over. True: its future has ended, with FULL; false: it is on its way, and
 * only the answer can tell. */
bool jq_pending_put_late(struct jq_pending *p, struct jobq_future *future);
/* Nobody waits for this item any more, which has not ended: frees the future. True: it was never
 * sent, and never will be; false: nobody knows. */
bool jq_pending_put_withdraw(struct jq_pending *p, struct jobq_future *future);

/* ---- items (pending_item.c) ---- */

/* GET; its count is cut to what this client may hold. BUSY: it holds as many as it may. */
JQ_MUST_USE enum jq_err jq_pending_get(struct jq_pending *p, const struct jq_get *get,
                                       struct jq_ask **ret_ask);
/* The next that a GET which is done has brought; NULL: none. What is not taken goes back. */
struct jobq_item *jq_pending_take_item(struct jq_ask *get);
/* Its owner wants it no more: it goes back to its queue when it is still ours. */
void jq_pending_free_item(struct jq_pending *p, struct jobq_item *item);
/* It is done, and its owner does not wait to hear so: a flush tells its error. */
void jq_pending_leave_item(struct jq_pending *p, struct jobq_item *item);
/* Those that left first, up to this number, are settled. */
bool jq_pending_have_left(const struct jq_pending *p, uint64_t number);
/* It was settled, or lost: forget it. */
void jq_pending_drop_item(struct jq_pending *p, struct jobq_item *item);
/* The items whose lease is the session's, for HELLO. ENOMEM. */
JQ_MUST_USE enum jq_err jq_pending_held(const struct jq_pending *p, struct jq_buf *buf,
                                        struct jq_records *ret);
void jq_pending_welcomed(struct jq_pending *p, const struct jq_welcome *welcome);

/* ---- what becomes of items (pending_settle.c) ---- */

/* Cannot fail; `settle` is its caller's until it is done or abandoned. */
void jq_pending_settle(struct jq_pending *p, struct jq_settlement *settle,
                       enum jq_settle_action action, uint64_t ms);
/* Nobody waits for it any more. What was sent may be done all the same. */
void jq_pending_settle_abandon(struct jq_settlement *settle);

/* ---- futures (pending_wait.c) ---- */

/* Of no job yet; for one that was submitted elsewhere, set its id. NULL: out of memory. */
struct jobq_future *jq_pending_new_future(struct jq_pending *p);
/* Its end is wanted: ask for it, now or when the id is known. ENOMEM: nothing has changed. */
JQ_MUST_USE enum jq_err jq_pending_want(struct jq_pending *p, struct jobq_future *future);
void jq_pending_free_future(struct jq_pending *p, struct jobq_future *future);
/* Ends it without a result. `frame` may be NULL; else `text` points into it. */
void jq_pending_fail_future(struct jq_pending *p, struct jobq_future *future, enum jq_err err,
                            struct jq_frame *frame, struct jq_view text);

/* ---- requests of any kind (pending_ask.c) ---- */

/* Sets msg->correlation. Not SUBMIT, HELLO, BYE: EINVAL. EMSGSIZE, ENOMEM. */
JQ_MUST_USE enum jq_err jq_pending_ask(struct jq_pending *p, enum jq_ask_kind kind,
                                       const struct jq_msg *msg, struct jq_ask **ret_ask);
/* Ends it, answered or not; a stream is withdrawn. */
void jq_pending_end(struct jq_pending *p, struct jq_ask *ask);
/* The oldest answer of a stream that was not taken yet; false: none. */
bool jq_pending_stream_take(struct jq_ask *ask, struct jq_msg *ret_msg,
                            struct jq_frame **ret_frame);

/* ---- the four verbs (pending.c) ---- */

/* Borrows msg; keeps `frame`, which it points into, for what needs it longer. */
void jq_pending_receive(struct jq_pending *p, jq_ms now, const struct jq_msg *msg,
                        struct jq_frame *frame);
void jq_pending_tick(struct jq_pending *p, jq_ms now);
jq_ms jq_pending_next_at(const struct jq_pending *p);
/* Closes the open frames of jobs, asks for what is wanted. */
void jq_pending_flush(struct jq_pending *p, jq_ms now);
/* The next frame to send, or NULL; in order. Then jq_pending_sent, or try again later. */
struct jq_ask *jq_pending_next(const struct jq_pending *p);
void jq_pending_sent(struct jq_pending *p, struct jq_ask *ask, jq_ms now);
/* The connection is new, or forgotten by the broker: all that is unanswered is to be sent again. */
void jq_pending_reconnected(struct jq_pending *p);
/* After how long a prompt answer counts as lost. */
void jq_pending_set_resend(struct jq_pending *p, jq_ms ms);
bool jq_pending_is_open(const struct jq_pending *p);    /* jobs or waits were not made frames yet */
bool jq_pending_is_waiting(const struct jq_pending *p); /* for any answer */
void jq_pending_check(const struct jq_pending *p);      /* the invariants; for tests */

/* ---- for the pending_*.c files alone ---- */

struct jq_ask *jq_ask_new(struct jq_pending *p, enum jq_ask_kind kind); /* room in map and heap */
void jq_ask_free(struct jq_pending *p, struct jq_ask *ask);  /* leaves every list and the map */
void jq_ask_queue(struct jq_pending *p, struct jq_ask *ask); /* to be sent */
void jq_ask_number(struct jq_pending *p, struct jq_ask *ask, uint64_t correlation);
void jq_ask_resend_at(struct jq_pending *p, struct jq_ask *ask, jq_ms at); /* JQ_NEVER: not */
JQ_MUST_USE enum jq_err jq_ask_encode(struct jq_ask *ask, const struct jq_msg *msg);
/* The broker was busy; later, each time twice as late. */
jq_ms jq_ask_backoff(struct jq_pending *p, struct jq_ask *ask, jq_ms now);
void jq_pending_notice(struct jq_pending *p, enum jq_tag tag, uint64_t correlation);

void jq_submit_close_batches(struct jq_pending *p);
void jq_submit_queue(struct jq_pending *p, struct jq_ask *ask, struct jq_view queue);
uint64_t jq_submit_answered(const struct jq_pending *p);
void jq_submit_submitted(struct jq_pending *p, struct jq_ask *ask, const struct jq_msg *msg,
                         struct jq_frame *frame);
/* By the frame of the first results of a CALL. */
void jq_submit_hinted(struct jq_pending *p, struct jq_ask *ask, uint64_t first_id);
void jq_submit_failed(struct jq_pending *p, struct jq_ask *ask, enum jq_err err,
                      struct jq_frame *frame, struct jq_view text);
void jq_submit_reconnected(struct jq_pending *p);
void jq_submit_drop_batches(struct jq_pending *p);
void jq_call_settled(struct jq_pending *p, struct jq_ask *ask); /* a future of it has ended */

void jq_wait_flush(struct jq_pending *p, jq_ms now);
void jq_wait_results(struct jq_pending *p, const struct jq_msg *msg, struct jq_frame *frame);
void jq_wait_failed(struct jq_pending *p, struct jq_ask *ask, jq_ms now, enum jq_err err,
                    struct jq_frame *frame, struct jq_view text);
void jq_wait_reconnected(struct jq_pending *p);
JQ_MUST_USE enum jq_err jq_wait_reserve(struct jq_pending *p, struct jobq_future *future);
/* The future has an id and a reserved interest: join it. `ask_for_it`: by a WAIT. */
void jq_wait_join(struct jq_pending *p, struct jobq_future *future, bool ask_for_it);
/* The same, of a SUBMIT whose results follow. True: the interest relies on it. */
bool jq_wait_rely(struct jq_pending *p, struct jobq_future *future, struct jq_ask *submit);
/* It is answered, and results follow: from now on it is a WAIT. */
void jq_wait_follows(struct jq_pending *p, struct jq_ask *submit);
/* Its CALL was told another id. ENOMEM: nothing has changed. */
JQ_MUST_USE enum jq_err jq_wait_move(struct jq_pending *p, struct jobq_future *future, uint64_t id);
void jq_wait_leave(struct jq_pending *p, struct jobq_future *future);

/* A full queue has refused it, or a group that can never fit. */
void jq_room_refused(struct jq_pending *p, jq_ms now, struct jq_ask *submit, enum jq_err err,
                     struct jq_frame *frame, struct jq_view text);
void jq_room_failed(struct jq_pending *p, struct jq_ask *room, enum jq_err err,
                    struct jq_frame *frame, struct jq_view text);
void jq_room_kept(struct jq_pending *p, struct jq_ask *room);
bool jq_room_is_waited_for(const struct jq_pending *p, struct jq_view queue);
/* Asks for places instead of sending it. ENOMEM: nothing has changed. */
JQ_MUST_USE enum jq_err jq_room_park(struct jq_pending *p, struct jq_ask *submit);
void jq_room_late(struct jq_pending *p, struct jq_ask *submit);
void jq_room_leave(struct jq_pending *p, struct jq_ask *submit); /* withdraws its ROOM, if any */

void jq_item_come(struct jq_pending *p, struct jq_ask *get, const struct jq_msg *msg,
                  struct jq_frame *frame);
void jq_item_late(struct jq_pending *p, const struct jq_msg *msg); /* nobody waits for it */
void jq_item_unget(struct jq_pending *p, struct jq_ask *get);      /* of a GET that ends */
void jq_item_fini(struct jq_pending *p);

void jq_settle_flush(struct jq_pending *p, jq_ms now);
void jq_settle_answered(struct jq_pending *p, struct jq_ask *ask, const struct jq_msg *msg);
void jq_settle_reset(struct jq_ask *ask); /* before it is freed */

void jq_ask_answered(struct jq_pending *p, struct jq_ask *ask, const struct jq_msg *msg,
                     struct jq_frame *frame);
void jq_stream_reconnected(struct jq_pending *p, struct jq_ask *ask);

#endif
