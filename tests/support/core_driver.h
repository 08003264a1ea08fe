/* SPDX-License-Identifier: MIT
 *
 * core_driver.h - a core over the memory store in virtual time: what the broker's loop does, one
 * step at a time and under the test's control. Frames for peers are kept, decoded, until they are
 * taken. */
#ifndef JQ_TESTS_CORE_DRIVER_H
#define JQ_TESTS_CORE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/core/core.h"
#include "broker/store/store.h"
#include "proto/msg.h"

struct driver_frame {
    uint64_t peer;
    uint8_t *data;
    size_t size;
    struct jq_msg msg; /* points into data */
};

enum { DRIVER_PID = 77 };
enum { DRIVER_READS_MAX = 1024, DRIVER_BATCHES_MAX = 8 };

struct driver {
    struct jq_core_conf conf;
    struct jq_core *core;
    struct jq_backend *backend; /* survives crashes */
    struct jq_now now;
    uint64_t next_peer;
    uint64_t die_with; /* in the HELLO of workers; the broker's process is DRIVER_PID */
    struct driver_frame *frames;
    size_t count, capacity;
    struct jq_batch *batches[DRIVER_BATCHES_MAX]; /* handed over, not yet durable */
    size_t batch_count;
    struct jq_read reads[DRIVER_READS_MAX];
    uint64_t read_behind[DRIVER_READS_MAX]; /* the batch that was handed over last before each */
    size_t read_count;
    uint64_t handed_over;   /* number of the last batch that was */
    uint64_t damaged_id;    /* reads say so of this job */
    uint64_t pages_read;    /* of spilled jobs, with some */
    enum jq_err read_err;   /* all reads end so; JQ_OK: as they do */
    uint64_t closed;        /* peers the core closed */
    uint32_t ops_committed; /* live operations, all batches */
    bool space_low;
    size_t read_max; /* records in one answer to a read by ids; 0: any number */
    int64_t fail_in; /* allocations of the core until one fails; -1: none does */
};

void driver_open(struct driver *d); /* an empty store, served */
void driver_close(struct driver *d);
/* kill -9: what is not durable is lost. Then a start on the same store, incarnation durable. */
void driver_crash(struct driver *d);

/* Encodes, decodes and applies, then collects effects. */
void driver_apply(struct driver *d, uint64_t peer, const struct jq_msg *msg);
void driver_collect(struct driver *d);
void driver_tick(struct driver *d, jq_ms later); /* moves the clock */
void driver_hand_over(struct driver *d);         /* takes the open batch, does not commit it */
/* The reads that have been asked for, up to the first behind a batch that is not durable: a store
 * does what it is asked in that order. */
void driver_answer(struct driver *d);
void driver_commit(struct driver *d); /* takes, commits, answers reads: all is durable */

/* The oldest frame for a peer, whatever it is; false: none. The caller frees it. */
bool driver_take(struct driver *d, uint64_t peer, struct driver_frame *ret);
/* The oldest frame with this tag for a peer; others stay. Fails the test when there is none. */
struct driver_frame driver_expect(struct driver *d, uint64_t peer, enum jq_tag tag);
bool driver_has(const struct driver *d, uint64_t peer, enum jq_tag tag);
void driver_frame_free(struct driver_frame *frame);

/* Peers that have said HELLO and been welcomed. Return the peer. */
uint64_t driver_client(struct driver *d, uint64_t session);
uint64_t driver_worker(struct driver *d, uint64_t session, uint64_t credit);
uint64_t driver_beat(struct driver *d, uint64_t session);
void driver_credit(struct driver *d, uint64_t worker, uint64_t total);
/* A worker's HELLO with what it holds; the WELCOME is left to be taken. */
uint64_t driver_worker_back(struct driver *d, uint64_t session, const struct jq_held *held,
                            uint32_t count);

struct driver_submit {
    uint64_t number, answered, flags, job_flags;
    const char *queue, *key, *handler; /* NULL: "default", none, "noop" */
    const struct jq_job_options *options;
    int32_t priority;
    uint32_t count; /* 0 counts as 1 */
    bool results;
};
void driver_submit(struct driver *d, uint64_t client, struct driver_submit submit);
void driver_wait(struct driver *d, uint64_t client, uint64_t correlation, uint64_t id);
/* One GRANTS frame with one job. */
struct jq_held driver_grant(struct driver *d, uint64_t worker);
/* SIGNALLED: `code` is the signal. */
void driver_done(struct driver *d, uint64_t worker, struct jq_held held, enum jq_outcome_kind kind,
                 int64_t code);
void driver_end(struct driver *d, uint64_t worker, const struct jq_outcome *outcome);

#endif
