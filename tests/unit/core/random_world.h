/* SPDX-License-Identifier: MIT
 *
 * random_world.h - the model of test_core_random.c: what clients and workers have sent and read,
 * and what follows from it. It knows nothing of the core. */
#ifndef JQ_TESTS_RANDOM_WORLD_H
#define JQ_TESTS_RANDOM_WORLD_H

#include "proto/base/rng.h"
#include "tests/support/core_driver.h"

enum {
    CLIENTS = 3,
    WORKERS = 3,
    HELD_MAX = 64,
    PAST_MAX = 16,
    JOBS_MAX = 8192,
    REQUESTS_MAX = 512,
    KEYS = 6,
};

/* Correlations say what was asked; below the first: request numbers. */
enum { WAITS_FROM = 100000, CANCELS_FROM = 200000, LOGS_FROM = 300000, WATCH = 400000 };

struct request {
    uint64_t first_id; /* 0: not told yet */
    uint32_t count, results;
    uint64_t flags, job_flags;
    bool wants_results;
    const char *key;
    uint64_t key_id; /* 0: not told yet */
};

struct client {
    uint64_t session, peer;
    uint64_t next, answered; /* request numbers */
    uint64_t sequence;       /* of the last event; 0: none yet */
    struct request requests[REQUESTS_MAX];
};

struct held {
    struct jq_held job;
    bool sent;   /* its DONE left at least once */
    bool killed; /* and says that it was cancelled */
    int64_t code;
};

struct worker {
    uint64_t session, peer;
    uint64_t received, slots;
    bool needs_hello;
    struct held held[HELD_MAX];
    size_t count;
    struct jq_held past[PAST_MAX]; /* given up or acknowledged: zombies tell of them again */
    size_t past_count;
    struct jq_log_read asked; /* the last LOG_READ, to be answered with `question` */
    uint64_t question;        /* 0: none */
};

struct job {
    uint64_t granted_fence; /* greatest that a worker has read */
    uint64_t flags;         /* of the submit, when `known` */
    bool known;
    bool acknowledged;
    bool accepted; /* one of its outcomes was acknowledged */
    uint64_t accepted_fence;
    bool told; /* how it ended; by a result, an event or the answer to a cancel */
    bool has_code;
    uint64_t state;
    int64_t code;
    bool gone;             /* it was not kept */
    uint64_t cancelled_in; /* the incarnation that said so of a running job; 0: none */
};

struct world {
    struct driver d;
    struct jq_rng rng;
    struct client clients[CLIENTS];
    struct worker workers[WORKERS];
    struct job jobs[JOBS_MAX];
    uint64_t key_ids[KEYS]; /* 0: not told yet */
    uint64_t incarnation;
    uint64_t correlation;
    uint64_t next_session;
};

extern const char *const world_keys[KEYS];

bool one_in(struct world *w, uint64_t n);
struct job *job_of(struct world *w, uint64_t id);
/* Reads all that has come; `lose`: it came to nobody. Fails the test on what cannot be true. */
void client_reads(struct world *w, struct client *client, bool lose);
void worker_reads(struct world *w, struct worker *worker, bool lose);
void drop_held(struct worker *worker, struct jq_held which);

#endif
