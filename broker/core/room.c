/* SPDX-License-Identifier: MIT
 *
 * room.c - bounded queues: which SUBMITs are let in, who waits for places (ROOM), and which jobs
 * stand aside when some come back to a queue that is full. A job that is held or runs takes no
 * place.
 *
 * Places that are kept for a ROOM count as taken until its SUBMIT comes, it is withdrawn or its
 * connection ends. Jobs that come back are never refused: then those that would run last are
 * BLOCKED until there is a place, before anybody new is let in. */
#include <stdio.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

static uint64_t taken(const struct jq_queue *queue)
{
    return jq_queue_waiting(queue) + queue->reserved;
}

static uint64_t places(const struct jq_queue *queue)
{
    const uint64_t used = taken(queue);

    if (queue->maxsize == 0)
        return UINT64_MAX;
    return used < queue->maxsize ? queue->maxsize - used : 0;
}

bool jq_room_is_full(const struct jq_queue *queue)
{
    return queue->maxsize > 0 && jq_queue_waiting(queue) >= queue->maxsize;
}

void jq_room_note(struct jq_core *core, struct jq_queue *queue)
{
    if (!jq_dlink_used(&queue->in_uneven))
        jq_dlist_append(&core->uneven, &queue->in_uneven);
}

/* ---- who waits ---- */

void jq_putter_free(struct jq_core *core, struct jq_putter *room)
{
    struct jq_queue *queue = room->queue;

    if (room->is_kept)
        queue->reserved -= room->count;
    else
        queue->putting--;
    room->peer->putting--;
    jq_dlist_remove(&room->in_peer);
    jq_dlist_remove(&room->in_queue);
    jq_free(room);
    jq_room_note(core, queue);
}

void jq_room_withdraw(struct jq_core *core, struct jq_peer *peer, uint64_t correlation)
{
    struct jq_dlink *next;

    for (struct jq_dlink *at = jq_dlist_first(&peer->rooms); at; at = next) {
        struct jq_putter *room = JQ_ELEMENT(at, struct jq_putter, in_peer);
        next = jq_dlist_next(&peer->rooms, at);
        if (room->correlation == correlation)
            jq_putter_free(core, room);
    }
}

static void refuse(struct jq_core *core, struct jq_putter *room, enum jq_err err, const char *text)
{
    jq_tell_error(core, room->peer, room->correlation, err, text);
    jq_putter_free(core, room);
}

static void keep(struct jq_core *core, struct jq_putter *room)
{
    const struct jq_msg msg = { .tag = JQ_MSG_ROOM_KEPT, .correlation = room->correlation };

    jq_dlist_remove(&room->in_queue);
    room->queue->putting--;
    room->queue->reserved += room->count;
    room->is_kept = true;
    jq_tell(core, room->peer, JQ_AT_ONCE, &msg);
}

static const char *too_large(const struct jq_queue *queue, uint64_t count, char text[JQ_REASON_MAX])
{
    if (queue->maxsize == 0 || count <= queue->maxsize)
        return NULL;
    snprintf(text, JQ_REASON_MAX, "a group of %llu jobs: the queue has %llu places",
             (unsigned long long)count, (unsigned long long)queue->maxsize);
    return text;
}

/* In the order of arrival: nobody overtakes one that wants more. */
static void serve(struct jq_core *core, struct jq_queue *queue)
{
    struct jq_dlink *link;
    char text[JQ_REASON_MAX];

    while ((link = jq_dlist_first(&queue->rooms))) {
        struct jq_putter *room = JQ_ELEMENT(link, struct jq_putter, in_queue);
        if (queue->closed)
            refuse(core, room, JQ_ECLOSED, NULL);
        else if (too_large(queue, room->count, text))
            refuse(core, room, JQ_EMSGSIZE, text);
        else if (room->count <= places(queue))
            keep(core, room);
        else
            return;
    }
}

enum jq_err jq_room_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_queue *queue = jq_queue_find(core, msg->u.room.queue);

    if (msg->correlation == 0 || msg->u.room.count == 0) {
        jq_tell_error(core, peer, msg->correlation, JQ_EINVAL,
                      "ROOM needs a correlation, and a count from 1");
        return JQ_OK;
    }
    if (!queue || queue->removing) {
        jq_tell_error(core, peer, msg->correlation, JQ_ENOENT, "no such queue");
        return JQ_OK;
    }
    jq_room_withdraw(core, peer, msg->correlation); /* asked again: the newest counts */
    if (peer->putting >= core->conf.rooms_max) {
        jq_tell_error(core, peer, msg->correlation, JQ_EBUSY, "too many ROOMs of one connection");
        return JQ_OK;
    }
    struct jq_putter *room = jq_alloc_zero(1, sizeof *room);
    if (!room)
        return JQ_ENOMEM;
    room->peer = peer;
    room->queue = queue;
    room->correlation = msg->correlation;
    room->count = msg->u.room.count;
    peer->putting++;
    queue->putting++;
    jq_dlist_append(&peer->rooms, &room->in_peer);
    jq_dlist_append(&queue->rooms, &room->in_queue);
    jq_room_note(core, queue);
    return JQ_OK;
}

/* ---- who is let in ---- */

/* The oldest that this connection has been kept, and that is large enough. */
static struct jq_putter *kept_for(const struct jq_peer *peer, const struct jq_queue *queue,
                                  uint64_t count)
{
    for (struct jq_dlink *at = NULL; peer && (at = jq_dlist_next(&peer->rooms, at));) {
        struct jq_putter *room = JQ_ELEMENT(at, struct jq_putter, in_peer);
        if (room->is_kept && room->queue == queue && room->count >= count)
            return room;
    }
    return NULL;
}

enum jq_err jq_room_admit(struct jq_core *core, const struct jq_peer *peer, struct jq_queue *queue,
                          uint64_t count, char text[JQ_REASON_MAX])
{
    struct jq_putter *room = kept_for(peer, queue, count);

    text[0] = '\0';
    if (room)
        jq_putter_free(core, room); /* they are this SUBMIT's now, before anybody else is served */
    else if (count == 0)
        return JQ_OK;
    else if (too_large(queue, count, text))
        return JQ_EMSGSIZE;
    else if (count > places(queue) || !jq_dlist_empty(&queue->rooms))
        return JQ_EFULL;
    return JQ_OK;
}

/* ---- who stands aside ---- */

/* What is being purged takes no place, and does not stand aside. */
static uint64_t ready(const struct jq_queue *queue)
{
    return queue->by_state[JQ_READY] - queue->doomed[JQ_READY];
}

static struct jq_job *worse(struct jq_job *a, struct jq_job *b)
{
    if (b && jq_purge_dooms(b))
        return a;
    return !a || (b && jq_queue_before(a, b)) ? b : a;
}

/* O(jobs of the lane that have come back), or all of them in a queue by priority. */
static struct jq_job *worst_of(const struct jq_lane *lane)
{
    struct jq_job *worst = NULL;
    const bool lifo = lane->queue->order == JQ_LIFO;
    struct jq_dlink *link = lifo ? jq_dlist_first(&lane->fresh) : jq_dlist_last(&lane->fresh);

    while (link && jq_purge_dooms(JQ_ELEMENT(link, struct jq_job, in_place)))
        link = lifo ? jq_dlist_next(&lane->fresh, link) : jq_dlist_prev(&lane->fresh, link);
    for (size_t i = 0; i < lane->sorted.count; i++)
        worst = worse(worst, JQ_ELEMENT(lane->sorted.nodes[i], struct jq_job, in_heap));
    for (size_t i = 0; i < lane->spill.beyond.count; i++)
        worst = worse(worst, JQ_ELEMENT(lane->spill.beyond.nodes[i], struct jq_job, in_heap));
    return link ? worse(worst, JQ_ELEMENT(link, struct jq_job, in_place)) : worst;
}

static struct jq_job *worst_in(const struct jq_queue *queue)
{
    struct jq_job *worst = worse(worst_of(&queue->plain), worst_of(&queue->items));

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&queue->lanes, at));)
        worst = worse(worst, worst_of(JQ_ELEMENT(at, struct jq_lane, in_queue)));
    return worst;
}

/* As many as have come back too many. Of a queue whose last jobs are in the store alone nobody
 * stands aside: who is last in memory is not last, and the next that comes back may be worse than
 * who stands aside. It shows more than its places then. */
static enum jq_err set_aside(struct jq_core *core, struct jq_queue *queue)
{
    for (; queue->excess > 0; queue->excess--) {
        if (queue->maxsize == 0 || ready(queue) <= queue->maxsize || jq_spilled_of(queue) > 0)
            continue;
        struct jq_job *job = worst_in(queue);
        JQ_TRY(jq_job_reserve(core, job));
        JQ_TRY(jq_heap_reserve(&queue->aside, 1));
        job->hold = JQ_HOLD_FULL;
        jq_job_move(core, job, JQ_BLOCKED);
    }
    return JQ_OK;
}

bool jq_room_takes_back(const struct jq_queue *queue)
{
    return queue->aside.count > 0 &&
           (queue->maxsize == 0 || ready(queue) < queue->maxsize || jq_spilled_of(queue) > 0);
}

static enum jq_err take_back(struct jq_core *core, struct jq_queue *queue)
{
    while (jq_room_takes_back(queue)) {
        struct jq_job *job = JQ_ELEMENT(jq_heap_first(&queue->aside), struct jq_job, in_heap);
        JQ_TRY(jq_job_reserve(core, job));
        jq_job_move(core, job, JQ_READY);
    }
    return JQ_OK;
}

enum jq_err jq_room_resolve(struct jq_core *core)
{
    for (struct jq_dlink *link; (link = jq_dlist_first(&core->uneven));) {
        struct jq_queue *queue = JQ_ELEMENT(link, struct jq_queue, in_uneven);
        JQ_TRY(set_aside(core, queue));
        JQ_TRY(take_back(core, queue));
        queue->excess = 0; /* those that were taken back are not too many */
        serve(core, queue);
        jq_dlist_remove(&queue->in_uneven); /* the moves above have noted it again */
    }
    return JQ_OK;
}
