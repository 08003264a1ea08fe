/* SPDX-License-Identifier: MIT
 *
 * connection.h - the DEALER socket to the broker; the only user of zmq.h in the client. It knows
 * frames, not what they say.
 *
 * A ZeroMQ socket is not thread-safe: every call is made under the handle's lock, but for
 * jq_connection_poll, which the driver makes without it while nobody else touches the socket.
 *
 * A monitor on the socket tells when libzmq has connected again by itself, so that the broker is
 * hailed at once and not after a heartbeat of silence. */
#ifndef JQ_CLIENT_CONNECTION_H
#define JQ_CLIENT_CONNECTION_H

#include <stdbool.h>

#include "client/frame.h"
#include "proto/base/err.h"
#include "proto/base/time.h"

struct jq_connection;

/* EINVAL: libzmq does not take the URL; ENOMEM; EIO. Connecting goes on by itself. */
JQ_MUST_USE enum jq_err jq_connection_open(const char *url, bool ipv6,
                                           struct jq_connection **ret_connection,
                                           struct jq_detail *ret_detail);
/* Closes the socket, with what is queued in it, and opens a new one. On error there is none until
 * the next try. */
JQ_MUST_USE enum jq_err jq_connection_reopen(struct jq_connection *connection);
/* Waits up to `linger` for the network to take what is queued. */
void jq_connection_close(struct jq_connection **connection, jq_ms linger);
/* In the child of a fork: the sockets are the parent's and must not be touched. */
void jq_connection_forsake(struct jq_connection **connection);

/* True: connected since the last call; all that was sent before may be lost. */
bool jq_connection_came_up(struct jq_connection *connection);
/* The next frame, held once for the caller; NULL: none now. Of other shape: skipped. */
struct jq_frame *jq_connection_receive(struct jq_connection *connection);
/* Zero-copy; holds the frame until the network has it. False: no room, or not connected. */
bool jq_connection_send(struct jq_connection *connection, struct jq_frame *frame);
/* Until a frame, a new connection, `wake_fd`, room to send (if `want_room`), or the timeout; -1 for
 * ever. Signals end it early. */
void jq_connection_poll(struct jq_connection *connection, int wake_fd, bool want_room,
                        jq_ms timeout);
/* Something to receive. Asked after every other call: the fds below tell only of changes. */
bool jq_connection_has_more(struct jq_connection *connection);
/* Adds the socket's fds to an epoll fd, now and after each reopen; -1 ends that. EIO. */
JQ_MUST_USE enum jq_err jq_connection_watch(struct jq_connection *connection, int epoll_fd);

#endif
