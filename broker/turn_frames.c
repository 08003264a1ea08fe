/* SPDX-License-Identifier: MIT
 *
 * turn_frames.c - the inward half of a turn: a frame becomes a message for the core, or a refusal
 * for its sender. */
#include <inttypes.h>
#include <stdio.h>

#include "broker/turn.h"
#include "proto/base/alloc.h"
#include "proto/base/buf.h"
#include "proto/base/log.h"
#include "proto/msg.h"

enum {
    FRAMES_PER_TURN = 256,
    BYTES_PER_TURN = 1 << 20, /* a frame may hold thousands of jobs: the disk must not wait long */
};

/* Best effort: a peer that hears nothing asks again. */
static void refuse(struct jq_turn *turn, uint64_t peer, uint64_t correlation, enum jq_err error,
                   const char *text)
{
    struct jq_buf frame = { 0 };
    const struct jq_msg answer = {
        .tag = JQ_MSG_ERROR,
        .correlation = correlation,
        .u.error = { .error = error, .text = jq_view_str(text) },
    };

    if (!jq_peers_may_refuse(turn->peers, peer, turn->now.mono))
        return;
    if (jq_msg_encode(&answer, &frame) == JQ_OK) {
        size_t size;
        uint8_t *data = jq_buf_take(&frame, &size);
        if (!jq_peers_send(turn->peers, peer, data, size, turn->now.mono))
            jq_free(data);
    }
    jq_buf_fini(&frame);
}

static void refuse_version(struct jq_turn *turn, uint64_t peer, const struct jq_msg *msg)
{
    char text[128];

    snprintf(text, sizeof(text), "this broker speaks versions %d to %d, the message is of %" PRIu64,
             JQ_PROTOCOL_MIN, JQ_PROTOCOL_MAX, msg->version);
    turn->metrics->refused_version++;
    refuse(turn, peer, msg->correlation, JQ_EVERSION, text);
}

static void take_frame(struct jq_turn *turn, uint64_t route, struct jq_view frame)
{
    struct jq_msg msg;
    uint64_t peer;

    enum jq_err err = jq_peers_hear(turn->peers, route, turn->now.mono, &peer);
    if (err != JQ_OK) {
        *(err == JQ_EBUSY ? &turn->metrics->refused_peer : &turn->metrics->refused_memory) += 1;
        return;
    }
    err = jq_msg_decode(frame, &msg);
    if (err == JQ_EVERSION) {
        refuse_version(turn, peer, &msg);
        return;
    }
    if (err != JQ_OK) {
        turn->metrics->refused_proto++;
        refuse(turn, peer, 0, JQ_EPROTO, jq_err_text(JQ_EPROTO));
        return;
    }
    if (jq_core_apply(turn->core, turn->now, peer, &msg) != JQ_OK) {
        turn->metrics->refused_memory++;
        refuse(turn, peer, msg.correlation, JQ_ENOMEM, jq_err_text(JQ_ENOMEM));
        /* Not every message has an answer. A peer that is not known any more says HELLO again, and
         * then all that it was not answered. */
        jq_peers_drop(turn->peers, peer);
        return;
    }
    if (msg.tag == JQ_MSG_HELLO)
        jq_peers_greet(turn->peers, peer);
}

bool jq_turn_frames(struct jq_turn *turn)
{
    struct jq_view frame;
    uint64_t route;
    size_t bytes = 0;

    for (int i = 0; i < FRAMES_PER_TURN && bytes < BYTES_PER_TURN && !jq_core_full(turn->core);
         i++) {
        const enum jq_received received = jq_transport_receive(turn->transport, &route, &frame);
        if (received == JQ_RECEIVED_NOTHING) {
            return false;
        }
        if (received == JQ_RECEIVED) {
            bytes += frame.size;
            take_frame(turn, route, frame);
        }
    }
    return true;
}
