/* SPDX-License-Identifier: MIT
 *
 * peers.h - who is connected: routes of the transport against the peer numbers of the core, and
 * what waits to be sent to each.
 *
 * Everything is bounded: the table, the bytes kept for one peer, the refusals answered to one peer.
 * A peer that is over a bound loses; nobody else does. A peer leaves the table when the core
 * forgets it (close), when its connection has ended or sending to it fails (then it is *gone*, and
 * the core must hear so), or, if it never said HELLO, after a silence.
 *
 * ZeroMQ tells the end of a connection by a descriptor, which a new connection may have already. So
 * that only raises a doubt about who was heard by it; being written to, or not, settles it.
 *
 * Knows no zmq.h and no socket: frames leave through the `send` function, so that tests can be one.
 * Loop thread only. */
#ifndef JQ_BROKER_PEERS_H
#define JQ_BROKER_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/metrics.h"
#include "broker/transport.h"
#include "proto/base/err.h"
#include "proto/base/time.h"

typedef enum jq_sent jq_peers_send_fn(void *arg, uint64_t route, uint8_t *data, size_t size,
                                      struct jq_in_flight *in_flight);

struct jq_peers_conf {
    size_t peers_max;      /* in the table */
    int64_t out_max_bytes; /* kept for one peer, here and in the transport */
    jq_ms silence_ms;      /* a peer without HELLO is forgotten after this */
    jq_peers_send_fn *send;
    void *send_arg;
};

struct jq_peers;

/* NULL: out of memory. `metrics` outlives it. */
struct jq_peers *jq_peers_new(const struct jq_peers_conf *conf, struct jq_metrics *metrics);
void jq_peers_free(struct jq_peers **peers);

/* The peer number of a route, a new one if the route is new. It has been heard at `now`, by a
 * connection with this descriptor; -1: not known.
 * BUSY: the table is full of peers that were heard lately. NOMEM. */
JQ_MUST_USE enum jq_err jq_peers_hear(struct jq_peers *peers, uint64_t route, int fd, jq_ms now,
                                      uint64_t *ret_peer);
/* A connection with this descriptor has ended, and what came by it has been heard: whichever peers
 * are not there any more become gone, by the ticks that follow. */
void jq_peers_ended(struct jq_peers *peers, int fd, jq_ms now);
/* It said HELLO: from now on the core decides how long it is known. */
void jq_peers_greet(struct jq_peers *peers, uint64_t peer);
/* May another refusal be answered to this peer? At most ten a second. */
bool jq_peers_may_refuse(struct jq_peers *peers, uint64_t peer, jq_ms now);

/* True: has taken `data` (jq_alloc), which is sent, or waits, or is lost with its peer. False:
 * nobody can have got it, now or later, and it is still the caller's; a peer that cannot be written
 * to has become gone. */
JQ_MUST_USE bool jq_peers_send(struct jq_peers *peers, uint64_t peer, uint8_t *data, size_t size,
                               jq_ms now);
/* The peer becomes gone: we could not do what it said. */
void jq_peers_drop(struct jq_peers *peers, uint64_t peer);
/* The core has forgotten this peer: what still waits for it is dropped. */
void jq_peers_close(struct jq_peers *peers, uint64_t peer);

/* Sends what waits, settles doubts, and forgets who was silent for too long, as far as each is due.
 */
void jq_peers_tick(struct jq_peers *peers, jq_ms now);
jq_ms jq_peers_next_at(const struct jq_peers *peers); /* when tick has work, or JQ_NEVER */

/* A peer that is gone and that the core must hear of, or 0. The same until jq_peers_told. */
uint64_t jq_peers_gone(const struct jq_peers *peers);
void jq_peers_told(struct jq_peers *peers, uint64_t peer);

size_t jq_peers_count(const struct jq_peers *peers);
int64_t jq_peers_waiting_bytes(const struct jq_peers *peers); /* of all */
void jq_peers_check(const struct jq_peers *peers);

#endif
