/* SPDX-License-Identifier: MIT
 *
 * process.h - what jobqd makes of its process before it does anything else, and how signals reach
 * the loop: as a readable descriptor, never as code.
 *
 * Main thread, before any other exists: the signal mask is inherited by all. */
#ifndef JQ_BROKER_PROCESS_H
#define JQ_BROKER_PROCESS_H

#include <sys/types.h>

#include "proto/base/err.h"

/* Opens 0, 1 and 2 on /dev/null where they are closed (a store's descriptor must never be 2), sets
 * umask 077, ignores SIGPIPE and SIGXFSZ. IO: /dev/null cannot be opened. */
JQ_MUST_USE enum jq_err jq_process_init(void);
/* What the umask was before: for the processes that we start for the user. */
mode_t jq_process_user_umask(void);

struct jq_wakeup {
    int fd; /* epoll: readable when a signal or one of the added descriptors is */
    int signal_fd;
};
#define JQ_WAKEUP_NONE ((struct jq_wakeup){ .fd = -1, .signal_fd = -1 })

/* Blocks TERM, INT, HUP, USR1 and CHLD and makes them readable. IO. */
JQ_MUST_USE enum jq_err jq_wakeup_open(struct jq_wakeup *ret_wakeup);
JQ_MUST_USE enum jq_err jq_wakeup_add(struct jq_wakeup *wakeup, int fd);
/* Until it is readable, or `timeout` ms (-1: for ever). IO. */
JQ_MUST_USE enum jq_err jq_wakeup_wait(const struct jq_wakeup *wakeup, int timeout);
int jq_wakeup_signal(struct jq_wakeup *wakeup); /* the next signal, or 0 */
void jq_wakeup_close(struct jq_wakeup *wakeup);

#endif
