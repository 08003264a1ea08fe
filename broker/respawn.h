/* SPDX-License-Identifier: MIT
 *
 * respawn.h - jobqd --supervise: a parent without threads that starts the broker again when it
 * dies, for machines without a service manager. What ends a broker in spite of all (an assertion of
 * libzmq, a failed commit) is survived by its store, so the cure is to start again, at once.
 *
 * Main thread, before any other exists. */
#ifndef JQ_BROKER_RESPAWN_H
#define JQ_BROKER_RESPAWN_H

#include <stdbool.h>

/* True in each broker, which goes on to serve. False in the parent when it is all over: *ret_status
 * is its exit status. TERM, INT, HUP and USR1 reach the broker through the parent. */
bool jq_respawn(int *ret_status);

/* Whether an end with this exit status is worth another start. */
bool jq_respawn_helps(int status);

#endif
