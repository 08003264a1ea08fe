/* SPDX-License-Identifier: MIT
 *
 * queue_world.h - clients of one queue "q" between the core and its model: whatever is sent is told
 * both, and all that the core tells has to be what the model tells. */
#ifndef JQ_TESTS_QUEUE_WORLD_H
#define JQ_TESTS_QUEUE_WORLD_H

#include "proto/base/rng.h"
#include "tests/support/core_driver.h"
#include "tests/unit/core/queue_model.h"

enum { HELD_MAX = 24, PAST = 16 };

struct client {
    uint64_t session, peer, number;
    struct jq_held held[HELD_MAX]; /* what it believes to hold as a session */
    size_t held_count;
};

struct world {
    struct driver d;
    struct model m;
    struct jq_rng rng;
    struct client clients[MODEL_CLIENTS];
    uint64_t observer;
    jq_ms observer_heard;
    uint64_t correlation, serial;
    struct jq_held past[PAST]; /* given at some time: receipts, and what is no longer true */
    size_t past_count;
};

/* What a failure is told with. */
extern struct running {
    const char *order; /* NULL: none has failed */
    uint64_t seed;
    int step;
    bool is_traced;
    bool spills; /* few may be in memory */
} running;

void trace(const char *what, int64_t a, int64_t b);
uint64_t below(struct world *w, uint64_t n);
bool one_in(struct world *w, uint64_t n);

void forget(struct client *client, uint64_t id, uint64_t fence); /* it holds that no more */
void read_all(struct world *w); /* all that was to be told has been, and nothing else */
void compare(struct world *w);  /* and QUEUE_SAID is as the model is */
void commit(struct world *w);
/* What is in the store alone is read as a loop would, at once; a purge of it goes on to its end. */
void feed(struct world *w);
void end_purge(struct world *w);

/* Requests of a client: to the core and to the model. */
void apply(struct world *w, int client, const struct jq_msg *msg); /* the model is told by hand */
void send_hello(struct world *w, int number, const struct jq_held *held, uint32_t count);
void send_submit(struct world *w, int client, uint64_t number, const struct model_spec *specs,
                 uint32_t count);
void send_set(struct world *w, int client, uint64_t fields, const struct jq_queue_conf *conf);
void send_do(struct world *w, int client, enum jq_queue_action action);

#endif
