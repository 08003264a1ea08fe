/* SPDX-License-Identifier: MIT
 *
 * turn_frames.c - the inward half of a turn: a frame becomes a message for the core, or a refusal
 * for its sender. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/turn.h"
#include "proto/base/alloc.h"
#include "proto/base/buf.h"
#include "proto/base/log.h"
#include "proto/msg.h"

enum {
    FRAMES_PER_TURN = 256,
    BYTES_PER_TURN = 1 << 20, /* a frame may hold thousands of jobs: the disk must not wait long */
    LATE_MAX = 1024,          /* frames kept for later */
    LATE_BYTES_MAX = 64 << 20,
    /* Ends are told after so many frames although there are more: a flood must not keep the dead
     * alive, and by then all has been read that some hundred peers can have had waiting here. */
    END_FRAMES_MAX = 4096,
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

/* ---- late frames ---- */

/* Many clients can fill a batch faster than the disk takes it. Were all reading to stop then,
 * workers would starve beside a full queue: so only SUBMITs stop, and what their senders sent after
 * them. */
struct late_frame {
    struct jq_dlink link;
    uint64_t peer;
    size_t size;
    uint8_t data[];
};

bool jq_turn_late_is_full(const struct jq_turn *turn)
{
    return turn->late_count >= LATE_MAX || turn->late_bytes >= LATE_BYTES_MAX;
}

/* The oldest, or NULL. */
static struct late_frame *find_late(const struct jq_turn *turn, uint64_t peer)
{
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&turn->late, at));) {
        struct late_frame *late = JQ_ELEMENT(at, struct late_frame, link);
        if (late->peer == peer)
            return late;
    }
    return NULL;
}

/* False: no memory. The frame is taken now, then. */
static bool keep_late(struct jq_turn *turn, uint64_t peer, struct jq_view frame)
{
    struct late_frame *late = jq_alloc(sizeof(*late) + frame.size);

    if (!late)
        return false;
    late->peer = peer;
    late->size = frame.size;
    memcpy(late->data, frame.data, frame.size);
    late->link = (struct jq_dlink){ NULL, NULL };
    jq_dlist_append(&turn->late, &late->link);
    turn->late_count++;
    turn->late_bytes += frame.size;
    return true;
}

static void take_late(struct jq_turn *turn, struct late_frame *late)
{
    jq_dlist_remove(&late->link);
    turn->late_count--;
    turn->late_bytes -= late->size;
}

void jq_turn_late_fini(struct jq_turn *turn)
{
    struct jq_dlink *link;

    while ((link = jq_dlist_first(&turn->late))) {
        struct late_frame *late = JQ_ELEMENT(link, struct late_frame, link);
        take_late(turn, late);
        jq_free(late);
    }
}

static void drop_late(struct jq_turn *turn, uint64_t peer)
{
    struct late_frame *late;

    while ((late = find_late(turn, peer))) {
        take_late(turn, late);
        jq_free(late);
    }
}

/* ---- frames ---- */

static bool must_wait(const struct jq_turn *turn, uint64_t peer, const struct jq_msg *msg)
{
    if (turn->late_count > 0 && find_late(turn, peer))
        return true;
    return msg->tag == JQ_MSG_SUBMIT && jq_core_crowded(turn->core) && !jq_store_idle(turn->store);
}

static void take_message(struct jq_turn *turn, uint64_t peer, struct jq_view frame, bool may_wait)
{
    struct jq_msg msg;

    enum jq_err err = jq_msg_decode(frame, &msg);
    if (err == JQ_EVERSION) {
        refuse_version(turn, peer, &msg);
        return;
    }
    if (err != JQ_OK) {
        turn->metrics->refused_proto++;
        refuse(turn, peer, 0, JQ_EPROTO, jq_err_text(JQ_EPROTO));
        return;
    }
    if (may_wait && must_wait(turn, peer, &msg) && keep_late(turn, peer, frame))
        return;
    if (jq_core_apply(turn->core, turn->now, peer, &msg) != JQ_OK) {
        turn->metrics->refused_memory++;
        refuse(turn, peer, msg.correlation, JQ_ENOMEM, jq_err_text(JQ_ENOMEM));
        /* Not every message has an answer. A peer that is not known any more says HELLO again, and
         * then all that it was not answered. */
        drop_late(turn, peer);
        jq_peers_drop(turn->peers, peer);
        return;
    }
    if (msg.tag == JQ_MSG_HELLO)
        jq_peers_greet(turn->peers, peer);
}

static void take_frame(struct jq_turn *turn, uint64_t route, int fd, struct jq_view frame)
{
    uint64_t peer;

    const enum jq_err err = jq_peers_hear(turn->peers, route, fd, turn->now.mono, &peer);
    if (err == JQ_OK)
        take_message(turn, peer, frame, true);
    else
        *(err == JQ_EBUSY ? &turn->metrics->refused_peer : &turn->metrics->refused_memory) += 1;
}

static bool late_may_go(const struct jq_turn *turn)
{
    return turn->late_count > 0 && !jq_core_full(turn->core) &&
           (!jq_core_crowded(turn->core) || jq_store_idle(turn->store));
}

static void take_late_message(struct jq_turn *turn, struct late_frame *late)
{
    take_late(turn, late);
    take_message(turn, late->peer, jq_view(late->data, late->size), false);
    jq_free(late);
}

bool jq_turn_late(struct jq_turn *turn)
{
    size_t bytes = 0;

    while (bytes < BYTES_PER_TURN && late_may_go(turn)) {
        struct late_frame *late = JQ_ELEMENT(jq_dlist_first(&turn->late), struct late_frame, link);
        bytes += late->size;
        take_late_message(turn, late);
    }
    return late_may_go(turn);
}

void jq_turn_late_from(struct jq_turn *turn, uint64_t peer)
{
    struct late_frame *late;

    while ((late = find_late(turn, peer)))
        take_late_message(turn, late);
}

/* ---- connections that end ---- */

static void take_ends(struct jq_turn *turn)
{
    if (turn->end_count > 0)
        return;
    turn->end_frames = 0;
    while (turn->end_count < JQ_TURN_ENDS &&
           jq_transport_ended(turn->transport, &turn->ends[turn->end_count]))
        turn->end_count++;
}

static void tell_ends(struct jq_turn *turn)
{
    for (size_t i = 0; i < turn->end_count; i++)
        jq_peers_ended(turn->peers, turn->ends[i], turn->now.mono);
    turn->end_count = 0;
}

bool jq_turn_frames(struct jq_turn *turn)
{
    struct jq_view frame;
    uint64_t route;
    size_t bytes = 0;
    int fd;

    const bool is_committing = !jq_store_idle(turn->store);

    take_ends(turn);
    for (int i = 0; i < FRAMES_PER_TURN && bytes < BYTES_PER_TURN && !jq_core_full(turn->core);
         i++) {
        if (is_committing && jq_store_idle(turn->store))
            break; /* it waits for the next batch, and peers for what is durable */
        const enum jq_received received =
            jq_transport_receive(turn->transport, &route, &fd, &frame);
        if (received == JQ_RECEIVED_NOTHING) {
            tell_ends(turn);
            return false;
        }
        turn->end_frames++;
        if (received == JQ_RECEIVED) {
            bytes += frame.size;
            take_frame(turn, route, fd, frame);
        }
    }
    if (turn->end_frames >= END_FRAMES_MAX)
        tell_ends(turn);
    return true;
}
