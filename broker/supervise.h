/* SPDX-License-Identifier: MIT
 *
 * supervise.h - the jobq-worker that jobqd --local keeps running. Its end is noticed by SIGCHLD; it
 * is started again, later each time while it keeps dying. It leads a process group of its own, so a
 * terminal's Ctrl-C reaches it through jobqd alone. Loop thread only. */
#ifndef JQ_BROKER_SUPERVISE_H
#define JQ_BROKER_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/time.h"

struct jq_supervise_conf {
    const char *program; /* "": jobq-worker beside our own executable, else on PATH */
    const char *url;     /* where it finds the broker */
    int64_t slots;       /* 0: one per processor */
    int fd_limit;        /* its soft limit of descriptors; 0: ours */
};

struct jq_supervise;

/* Copies conf. NULL: out of memory. Nothing is started before the first tick. */
struct jq_supervise *jq_supervise_new(const struct jq_supervise_conf *conf);
/* A worker that still runs is killed (and with it its jobs). */
void jq_supervise_free(struct jq_supervise **supervise);
void jq_supervise_tick(struct jq_supervise *supervise, jq_ms now); /* starts it when due */
jq_ms jq_supervise_next_at(const struct jq_supervise *supervise);
void jq_supervise_reap(struct jq_supervise *supervise, jq_ms now); /* after a SIGCHLD */
void jq_supervise_stop(struct jq_supervise *supervise); /* TERM, once; it is not started again */
bool jq_supervise_runs(const struct jq_supervise *supervise);

#endif
