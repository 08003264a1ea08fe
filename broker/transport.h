/* SPDX-License-Identifier: MIT
 *
 * transport.h - ZeroMQ as jobqd needs it: one ROUTER socket on any number of endpoints. transport.c
 * and the part of it in transport_ends.c are the only users of zmq.h here.
 *
 * A *route* is a peer's ZeroMQ routing id, packed into a number that is never 0. Routes never leave
 * this process: somebody who knows the next one can abort a libzmq peer. Loop thread only. */
#ifndef JQ_BROKER_TRANSPORT_H
#define JQ_BROKER_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/endpoint.h"
#include "broker/metrics.h"
#include "proto/base/err.h"
#include "proto/base/time.h"
#include "proto/base/view.h"

struct jq_transport;

/* Checks libzmq's version, seeds the random numbers that its routing ids come from, opens the
 * socket. Counts into `metrics`, which outlives it. IO, NOMEM, VERSION with detail. */
JQ_MUST_USE enum jq_err jq_transport_open(struct jq_metrics *metrics,
                                          struct jq_transport **ret_transport,
                                          struct jq_detail *ret_detail);
/* Starts to listen; ret_actual has the port that "*" became. LOCKED: the address is in use. IO.
 * Both with detail. */
JQ_MUST_USE enum jq_err jq_transport_bind(struct jq_transport *transport,
                                          const struct jq_endpoint *endpoint,
                                          char ret_actual[JQ_ENDPOINT_TEXT_MAX],
                                          struct jq_detail *ret_detail);
/* What has been sent gets `linger` to leave. */
void jq_transport_close(struct jq_transport **transport, jq_ms linger);

/* Until a message, the end of a connection, `fd` readable, or `timeout` (-1: for ever; a signal may
 * end it earlier). IO: the socket is not usable any more. */
JQ_MUST_USE enum jq_err jq_transport_poll(struct jq_transport *transport, int fd, jq_ms timeout,
                                          bool *ret_fd_readable);

enum jq_received {
    JQ_RECEIVED,         /* a frame */
    JQ_RECEIVED_REFUSED, /* a message or a part that was not for us: counted and gone */
    JQ_RECEIVED_NOTHING,
};

/* The frame is borrowed until the next call. ret_fd is the descriptor of the connection that it
 * came by, -1 when libzmq does not know. */
enum jq_received jq_transport_receive(struct jq_transport *transport, uint64_t *ret_route,
                                      int *ret_fd, struct jq_view *ret_frame);
/* The descriptor of a connection that has ended; false: of none, for now. All that was received by
 * it is there to be read by then, but need not have been read; another connection may have the
 * descriptor already; and for a few moments more libzmq may take what is sent to the route. */
bool jq_transport_ended(struct jq_transport *transport, int *ret_fd);

enum jq_sent {
    JQ_SENT,        /* the frame's memory is taken */
    JQ_SENT_FULL,   /* not taken; the peer does not read fast enough */
    JQ_SENT_NOBODY, /* not taken; the route leads nowhere */
};

/* One frame, in memory of jq_alloc that is taken without a copy. `in_flight`, when not NULL, counts
 * its bytes until libzmq lets go of them; it must live until then. */
struct jq_in_flight;
enum jq_sent jq_transport_send(struct jq_transport *transport, uint64_t route, uint8_t *data,
                               size_t size, struct jq_in_flight *in_flight);

/* Bytes of large frames that libzmq holds for one peer: its high water mark counts messages only.
 * Counted references: one for the peer, one for each frame under way. */
struct jq_in_flight *jq_in_flight_new(void); /* NULL: out of memory */
int64_t jq_in_flight_bytes(const struct jq_in_flight *in_flight);
void jq_in_flight_drop(struct jq_in_flight **in_flight);

const char *jq_transport_version(void); /* "libzmq 4.3.4" */

#endif
