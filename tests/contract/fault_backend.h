/* SPDX-License-Identifier: MIT
 *
 * fault_backend.h - a decorator around any backend: fails the Nth commit or read, or holds the
 * store thread until the test lets it go. */
#ifndef JQ_TESTS_FAULT_BACKEND_H
#define JQ_TESTS_FAULT_BACKEND_H

#include <pthread.h>
#include <stdint.h>

#include "broker/store/store.h"

struct fault_plan {
    uint64_t commit_at; /* the commit that fails, from 1; 0: none */
    enum jq_err commit_err;
    bool commit_applied; /* it reached the inner backend all the same: the outcome is unknown */
    uint64_t read_at;
    enum jq_err read_err;
    uint64_t rest_at;
    enum jq_err rest_err;
};

struct fault_backend {
    struct jq_backend backend; /* first: ops */
    struct jq_backend *inner;  /* owned */
    struct fault_plan plan;
    uint64_t commits, reads, rests; /* asked for so far; of the store's thread */
    pthread_mutex_t lock;           /* of the two below */
    pthread_cond_t changed;
    bool is_held;    /* commits and reads wait */
    bool is_waiting; /* one does */
    bool space_low;
};

/* Takes the inner backend. NULL: out of memory. Closing it closes the inner one. */
struct fault_backend *fault_backend_new(struct jq_backend *inner, const struct fault_plan *plan);
void fault_backend_hold(struct fault_backend *fault);
void fault_backend_wait_held(struct fault_backend *fault); /* until a request is being held */
void fault_backend_release(struct fault_backend *fault);
void fault_backend_set_space_low(struct fault_backend *fault, bool space_low);

#endif
