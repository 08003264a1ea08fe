/* SPDX-License-Identifier: MIT
 *
 * transport_ends.h - the descriptors of connections that have ended, as libzmq's socket monitor
 * tells them. For transport.c alone.
 *
 * libzmq writes a monitor's events with a send that blocks its I/O thread, and with it every
 * connection, when the reader has fallen behind. So a thread that does nothing else reads them, and
 * keeps each descriptor once until it is taken: what can pile up is bounded by the descriptors that
 * the process may have, however long the loop takes. */
#ifndef JQ_BROKER_TRANSPORT_ENDS_H
#define JQ_BROKER_TRANSPORT_ENDS_H

#include <stdbool.h>

#include "proto/base/err.h"

struct jq_ends;

/* From now on, of all connections of this ZeroMQ socket. Before its first bind. IO with
 * detail, NOMEM. */
JQ_MUST_USE enum jq_err jq_ends_open(void *context, void *socket, struct jq_ends **ret_ends,
                                     struct jq_detail *ret_detail);
/* No more of them; before the socket is closed, or libzmq might write to nobody for ever. */
void jq_ends_stop(struct jq_ends *ends);
/* After zmq_ctx_shutdown, which ends the thread, and before zmq_ctx_term, which waits for it. */
void jq_ends_close(struct jq_ends **ends);

/* Readable while there is one to take. */
int jq_ends_fd(const struct jq_ends *ends);
/* The oldest of them. False: none. Loop thread. */
bool jq_ends_take(struct jq_ends *ends, int *ret_fd);

#endif
