/* SPDX-License-Identifier: MIT
 *
 * get.h - what jobq get shares between one item and many: its flags, how it hears signals, how an
 * item is shown. */
#ifndef JQ_CLI_GET_H
#define JQ_CLI_GET_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "client/cli/items.h"

struct jq_get_values {
    bool nowait;
    int64_t lease_ms; /* 0: settle it */
    int64_t count;    /* 0: one, and nothing but its bytes */
    bool null;
    const char *delimiter; /* NULL: as `null` says */
};

/* A thread that takes INT and TERM, but those that our caller ignores. */
struct jq_get_signals {
    void (*came)(void *arg, int number); /* the first one, in that thread; a second one ends all */
    void *arg;
    _Atomic int signal; /* that came first; 0 */
    sigset_t set;
    pthread_t thread;
};
int jq_get_signals_start(struct jq_cli *cli, struct jq_get_signals *signals);
void jq_get_signals_stop(struct jq_get_signals *signals);

/* An object of one line; `due`: when its lease ends, 0: not known, or none. 0 or an errno. */
int jq_get_write_json(const struct jobq_item *item, int64_t due, FILE *out);
/* "receipt 17:4294967297" to standard error. 0 or an errno. */
int jq_get_write_receipt(uint64_t id, uint64_t fence);
/* When the leases of so many jobs end; what is not known stays. */
void jq_get_dues(struct jq_cli *cli, uint64_t *ids, size_t count, int64_t *dues);

/* Up to values->count items. */
int jq_get_many(struct jq_cli *cli, struct jobq_queue *queue, const struct jq_get_values *values);

#endif
