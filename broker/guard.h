/* SPDX-License-Identifier: MIT
 *
 * guard.h - bounds on connections that libzmq has no option for.
 *
 * libzmq aborts when an ipc accept finds no descriptor, spins when a tcp accept does, and keeps a
 * multipart message of any length in memory until its last part. It calls accept4() and recv()
 * through the dynamic symbol table, so guard.c defines both, for this process alone: a connection
 * past the cap is closed at once, and one that sends too much without ending a message reads an
 * error.
 *
 * State is global, as those two functions have no argument to carry it. accept4 and recv run on
 * libzmq's one I/O thread; the rest on the loop thread. */
#ifndef JQ_BROKER_GUARD_H
#define JQ_BROKER_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct jq_guard_conf {
    int fd_max;             /* a connection whose descriptor is not below it is closed */
    int64_t unfinished_max; /* bytes a connection may send without ending a message */
};

struct jq_guard_counts {
    uint64_t accepted;
    uint64_t refused;  /* past fd_max */
    uint64_t shed;     /* no descriptor was left but the reserve */
    uint64_t flooding; /* closed for unfinished_max */
    uint64_t foreign;  /* closed as they do not speak ZMTP 3 */
};

/* Once, before the first socket. STATE: libzmq would not call our functions (a static libzmq whose
 * calls are bound already); serving without a guard is refused. NOMEM, IO. */
JQ_MUST_USE enum jq_err jq_guard_open(const struct jq_guard_conf *conf,
                                      struct jq_detail *ret_detail);
/* After the last socket: both functions do nothing of their own again. */
void jq_guard_close(void);

void jq_guard_read(struct jq_guard_counts *ret);

/* Raises the soft limit of descriptors to `wanted` where the hard limit allows; returns the limit
 * that holds. */
int jq_guard_limit_raise(int wanted);

#endif
