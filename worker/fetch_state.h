/* SPDX-License-Identifier: MIT
 *
 * fetch_state.h - what fetch_*.c share. Nobody else includes it.
 *
 * Invariants, asserted by jq_fetch_check():
 *   F1  `held` has every run that this session holds: granted, not acknowledged, not given back.
 *       A `discard` run is in its executor only.
 *   F2  places[w].out counts the runs that executor w has, discarded ones too.
 *   F3  Commands out never exceed the slots.
 *   F4  held_bytes is the sum of the outcomes that did not fit into their run.
 *   F5  Between HELLO and its WELCOME nothing but the last words of fetch_leave.c is sent; releases
 *       wait. */
#ifndef JQ_WORKER_FETCH_STATE_H
#define JQ_WORKER_FETCH_STATE_H

#include "proto/base/map.h"
#include "worker/fetch.h"

enum jq_fetch_link { JQ_LINK_DOWN, JQ_LINK_GREETING, JQ_LINK_UP };
enum jq_fetch_stage { JQ_STAGE_WORKING, JQ_STAGE_DRAINING, JQ_STAGE_ENDING, JQ_STAGE_LEFT };

struct jq_place {
    uint64_t capacity; /* runs it executes at once */
    uint64_t out;      /* runs it has */
    jq_ms progress_at; /* a run came back, or the first one had to wait */
    bool recalling;    /* a RECALL is not answered yet */
    bool tight;        /* jobs that waited were given back: ask for no more than it can start */
};

/* Records that wait for the end of the input, or for a full frame. */
struct jq_open_frame {
    struct jq_buf records;
    uint32_t count;
};

struct jq_fetch {
    struct jq_fetch_conf conf;
    struct jq_map held; /* id -> struct jq_run, owned */
    uint64_t held_bytes;
    struct jq_place places[JQ_WHERES];

    enum jq_fetch_link link;
    uint64_t hello_number; /* correlation of the last HELLO */
    jq_ms heartbeat_ms;
    jq_ms heard_at;
    jq_ms asked_at;
    unsigned missed; /* questions without an answer */

    uint64_t received; /* grants since WELCOME */
    uint64_t credit;   /* total told since WELCOME */
    bool draining_told;
    int64_t short_us;  /* moving average of run times */
    uint64_t grown;    /* the look-ahead's present size */
    jq_ms pause_until; /* no resources: ask for nothing until then */

    enum jq_fetch_stage stage;
    jq_ms stage_ends_at;
    int status;

    struct jq_open_frame done;
    struct jq_open_frame release;
    struct jq_fetch_effect *effects; /* a queue: [effect_at, effect_count) are not taken */
    size_t effect_at;
    size_t effect_count;
    size_t effect_capacity;
    bool out_of_memory;
};

/* fetch.c */
/* A zeroed effect at the end of the queue, or NULL and out_of_memory. */
struct jq_fetch_effect *jq_fetch_effect(struct jq_fetch *fetch, enum jq_fetch_effect_kind kind);
void jq_fetch_forget(struct jq_fetch *fetch, struct jq_run *run); /* out of `held`, freed */
void jq_fetch_cancel(struct jq_fetch *fetch, struct jq_run *run, jq_ms grace_ms);

/* fetch_frames.c */
void jq_fetch_send(struct jq_fetch *fetch, const struct jq_msg *msg);
void jq_fetch_greet(struct jq_fetch *fetch, struct jq_now now);
void jq_fetch_tell_done(struct jq_fetch *fetch, const struct jq_run *run);
void jq_fetch_tell_release(struct jq_fetch *fetch, uint64_t id, uint64_t fence);
void jq_fetch_close_frames(struct jq_fetch *fetch);
void jq_fetch_answer_read(struct jq_fetch *fetch, const struct jq_log_request *read);

/* fetch_credit.c */
uint64_t jq_fetch_window(const struct jq_fetch *fetch);
void jq_fetch_measure(struct jq_fetch *fetch, const struct jq_run *run);
/* `before`: what was outstanding when a GRANTS came. */
void jq_fetch_starved(struct jq_fetch *fetch, uint64_t before);
void jq_fetch_shrink(struct jq_fetch *fetch);
void jq_fetch_tell_credit(struct jq_fetch *fetch, struct jq_now now);
void jq_fetch_watch_places(struct jq_fetch *fetch, struct jq_now now);
jq_ms jq_fetch_places_at(const struct jq_fetch *fetch);

/* fetch_leave.c */
void jq_fetch_leave_tick(struct jq_fetch *fetch, struct jq_now now);

static inline uint64_t jq_fetch_outstanding(const struct jq_fetch *fetch)
{
    return fetch->places[JQ_AT_THREAD].out + fetch->places[JQ_AT_EXEC].out;
}

#endif
