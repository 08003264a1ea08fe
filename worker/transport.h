/* SPDX-License-Identifier: MIT
 *
 * transport.h - ZeroMQ as jobq-worker needs it: one DEALER that connects to one broker, again and
 * again. transport.c is the only user of zmq.h here. One thread per dealer; each has a context of
 * its own, so that the heartbeat's frames pass nothing of the jobs'. */
#ifndef JQ_WORKER_TRANSPORT_H
#define JQ_WORKER_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/time.h"
#include "proto/base/view.h"

struct jq_dealer;

/* Starts to connect to `url`, which is copied. EINVAL: not an address; EIO, ENOMEM. With detail. */
JQ_MUST_USE enum jq_err jq_dealer_open(const char *url, struct jq_dealer **ret_dealer,
                                       struct jq_detail *ret_detail);
/* A new socket for one that is held for dead; what was under way is lost. EIO: there is none now,
 * everything else here is harmless until another renew succeeds. */
JQ_MUST_USE enum jq_err jq_dealer_renew(struct jq_dealer *dealer);
/* What has been sent gets `linger` to leave. */
void jq_dealer_close(struct jq_dealer **dealer, jq_ms linger);

/* Until a frame, a change of the link, `fd` readable, or `timeout` (JQ_NEVER: none). EIO: the
 * sockets are not usable any more. */
JQ_MUST_USE enum jq_err jq_dealer_poll(struct jq_dealer *dealer, int fd, jq_ms timeout,
                                       bool *ret_fd_readable);

enum jq_link_change { JQ_LINK_SAME, JQ_LINK_CONNECTED, JQ_LINK_LOST };
/* The next change; call until SAME. */
enum jq_link_change jq_dealer_change(struct jq_dealer *dealer);

/* The frame is borrowed until the next call. False: none. Messages of several parts are dropped. */
bool jq_dealer_receive(struct jq_dealer *dealer, struct jq_view *ret_frame);
/* Takes memory of jq_alloc. Never blocks. False: it did not leave (the link is down, no memory); a
 * later HELLO makes up for it. */
bool jq_dealer_send(struct jq_dealer *dealer, uint8_t *data, size_t size);

#endif
