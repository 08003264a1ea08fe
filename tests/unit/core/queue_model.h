/* SPDX-License-Identifier: MIT
 *
 * queue_model.h - what one queue of items ought to do, written anew from PROTOCOL.md and STATES.md:
 * plain arrays that are looked through, and nothing of the core. Every call is one input, or one
 * thing that happens; what clients are to be told then stands in `told`. */
#ifndef JQ_TESTS_QUEUE_MODEL_H
#define JQ_TESTS_QUEUE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/time.h"
#include "proto/msg.h"

enum {
    MODEL_CLIENTS = 4,
    MODEL_ITEMS = 4096,
    MODEL_ENDED = 2 * MODEL_ITEMS,
    MODEL_ASKS = 64,   /* GETs, ROOMs or JOINs that wait */
    MODEL_TOLD = 256,  /* frames that are to come */
    MODEL_LIST = 80,   /* records in one of them */
    MODEL_GIVEN = 12,  /* items in one of them */
    MODEL_SLICE = 2048 /* purged jobs that one tick ends */
};

enum { MODEL_LEASE_MS = 200, MODEL_SETTLE_MS = 50 };
enum { MODEL_BY_RECEIPT = -1 };
enum { MODEL_ANY_STATE = 99 }; /* of an item that has been purged: in which it waits on */

enum model_order { MODEL_FIFO, MODEL_LIFO, MODEL_PRIORITY };

struct model_item {
    uint64_t id, fence;
    uint64_t serial; /* its payload */
    int32_t priority;
    uint32_t attempt;
    enum jq_job_state state; /* BLOCKED: it stands aside */
    int holder;              /* RUNNING: a client, or MODEL_BY_RECEIPT */
    jq_ms created_at;
    jq_ms due_at;  /* DELAYED, or held by receipt: until then; else 0 */
    bool doomed;   /* purged, and not ended yet */
    bool restored; /* it is older than this incarnation */
};

/* What a commit makes durable. */
struct model_stored {
    enum model_order order;
    uint64_t maxsize, next_id, incarnation;
    uint64_t succeeded, cancelled;
    bool paused, closed, purging;
    bool purging_many; /* in slices: which end first is nobody's business, until all are durable */
    bool holds[MODEL_CLIENTS]; /* this session has asked for items: it can hold some */
    struct {
        uint64_t number, first_id, count;
    } request[MODEL_CLIENTS]; /* the last that was accepted; number 0: none */
    size_t count;
    struct model_item items[MODEL_ITEMS]; /* last: only those in use are copied */
};

struct model_ask {
    int client;
    uint64_t correlation;
    uint64_t lease_ms; /* GET */
    bool hasty;        /* GET: wait=0 */
    uint64_t count;    /* ROOM; GET: 0: one, in ITEM */
    bool kept;         /* ROOM: its places are */
};

struct model_asks {
    struct model_ask at[MODEL_ASKS];
    size_t count;
};

struct model_counts {
    uint64_t blocked, delayed, ready, running, unfinished, maxsize, succeeded, cancelled, purging,
        getters, putters, paused, closed;
};

struct model_told {
    int client;
    enum jq_tag tag;
    uint64_t correlation;
    bool held;                            /* until the next commit */
    int64_t error;                        /* ERROR */
    uint64_t first_id, count;             /* SUBMITTED; of QUEUE_SAID, count */
    struct model_item item;               /* ITEM */
    struct model_item given[MODEL_GIVEN]; /* ITEMS: `listed` of them */
    struct model_counts counts;           /* QUEUE_SAID */
    struct jq_ack acks[MODEL_LIST];       /* SETTLED: `listed` of them */
    struct jq_held lost[MODEL_LIST];      /* WELCOME */
    size_t listed;
};

struct model {
    struct model_stored is, durable;
    jq_ms now, settled_at;
    uint64_t back; /* items that came back since places were looked at */
    struct {
        bool connected, ghost;
        jq_ms heard_at, silent_at; /* connected: when it is looked at again */
        jq_ms left_at;             /* not connected */
    } clients[MODEL_CLIENTS];
    struct model_asks getters, rooms, joiners; /* in the order of arrival */
    struct {
        uint64_t id, fence;
        enum jq_job_state state;
    } ended[MODEL_ENDED]; /* and that is not durable */
    size_t ended_count;
    struct model_told told[MODEL_TOLD];
    size_t told_count;
};

void model_begin(struct model *m, enum model_order order, jq_ms now);
struct model_counts model_counts(const struct model *m);
struct model_item *model_find(struct model *m, uint64_t id);

/* ---- inputs: of a client that is connected ---- */

struct model_spec {
    int32_t priority;
    uint64_t serial, delay_ms;
};

void model_heard(struct model *m, int client); /* with every input */
void model_hello(struct model *m, int client, uint64_t correlation, const struct jq_held *held,
                 size_t count);
void model_gone(struct model *m, int client); /* its connection is lost */
void model_bye(struct model *m, int client);
void model_submit(struct model *m, int client, uint64_t number, const struct model_spec *specs,
                  size_t count);
void model_get(struct model *m, int client, uint64_t correlation, bool wait, uint64_t lease_ms,
               uint64_t count);
void model_peek(struct model *m, int client, uint64_t correlation);
void model_settle(struct model *m, int client, uint64_t correlation,
                  const struct jq_settling *items, size_t count);
void model_room(struct model *m, int client, uint64_t correlation, uint64_t count);
void model_join(struct model *m, int client, uint64_t correlation);
void model_unwait(struct model *m, int client, uint64_t correlation);
void model_set_maxsize(struct model *m, int client, uint64_t correlation, uint64_t maxsize);
void model_do(struct model *m, int client, uint64_t correlation, enum jq_queue_action action);

/* ---- what happens ---- */

void model_advance(struct model *m, jq_ms later);
void model_commit(struct model *m);
void model_restart(struct model *m, jq_ms down_ms); /* what is not durable is lost */

#endif
