/* SPDX-License-Identifier: MIT
 *
 * pending_peer.h - the other side of a jq_pending in a test: takes what it would send, answers. */
#ifndef JQ_TEST_PENDING_PEER_H
#define JQ_TEST_PENDING_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/pending.h"

struct peer {
    struct jq_pending p;
    jq_ms now;
    struct jq_frame *last; /* what the last take points into */
};

/* cmocka fixtures: *state is a struct peer. */
int peer_setup(void **state);
int peer_teardown(void **state);

/* A noop job on "q" is started. */
struct jobq_future *peer_start(struct peer *peer, uint64_t flags, const char *key);
void peer_start_plain(struct peer *peer, unsigned count); /* without futures */

/* Flushes; the next frame, which must be a `tag`, is sent. */
void peer_take(struct peer *peer, enum jq_tag tag, struct jq_msg *ret);
void peer_take_nothing(struct peer *peer);

/* `msg` arrives. */
void peer_answer(struct peer *peer, const struct jq_msg *msg);
void peer_submitted(struct peer *peer, uint64_t number, bool durable, uint64_t first_id,
                    uint32_t count);
void peer_result(struct peer *peer, uint64_t correlation, uint64_t id, enum jq_job_state state);
void peer_result_error(struct peer *peer, uint64_t correlation, uint64_t id, enum jq_err err);
void peer_error(struct peer *peer, uint64_t correlation, enum jq_err err);

#endif
