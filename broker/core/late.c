/* SPDX-License-Identifier: MIT
 *
 * late.c - what is told a moment later than it is true, as by then it may wake nobody who is not
 * awake anyway: the ids of a CALL, which mostly leave with its result, and acknowledgements of
 * outcomes, which gather. One job at a time, its client, broker and worker share the processors:
 * each frame that could wait costs it two threads that wake. */
#include "broker/core/parts.h"

enum {
    LATE_MS = 5,
    ACKS_MAX = 512, /* outcomes that a worker remembers for it, at most */
};

/* ---- the SUBMITTED of a CALL ---- */

void jq_hint_begin(struct jq_core *core, struct jq_waiter *waiter, const struct jq_request *request,
                   bool may_join)
{
    waiter->hint.may_join = may_join && !request->each;
    waiter->hint.first_id = request->first_id;
    waiter->hint.count = request->count;
    waiter->hint.each = request->each ? jq_blob_hold(request->each) : NULL;
    waiter->hint.at = jq_ms_add(core->now.mono, LATE_MS);
    jq_dlist_append(&core->hints, &waiter->hint.link);
}

void jq_hint_drop(struct jq_waiter *waiter)
{
    jq_dlist_remove(&waiter->hint.link);
    jq_blob_drop(waiter->hint.each);
    waiter->hint.each = NULL;
}

void jq_hint_tell(struct jq_core *core, struct jq_waiter *waiter, uint64_t batch)
{
    if (!jq_dlink_used(&waiter->hint.link))
        return;
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMITTED,
        .correlation = waiter->correlation,
        .u.submitted = {
            .first_id = waiter->hint.first_id,
            .count = waiter->hint.count,
            .each = { .count = waiter->hint.each ? waiter->hint.count : 0,
                      .bytes = jq_blob_view(waiter->hint.each) },
            .results = 1,
        },
    };
    jq_tell(core, waiter->peer, batch, &msg);
    waiter->after = batch; /* a result whose id is not known is nobody's */
    jq_hint_drop(waiter);
}

uint64_t jq_hint_join(struct jq_waiter *waiter, uint64_t batch)
{
    if (!jq_dlink_used(&waiter->hint.link) || !waiter->hint.may_join)
        return 0;
    waiter->after = batch;
    jq_hint_drop(waiter);
    return waiter->hint.first_id;
}

/* ---- DONE_ACK ---- */

void jq_late_flush(struct jq_core *core, struct jq_peer *peer)
{
    if (!peer->acks)
        return;
    jq_dlist_append(&core->ready_out, &peer->acks->link);
    peer->acks = NULL;
    jq_dlist_remove(&peer->in_late);
}

/* Its worker waits for it, or would remember too much. */
static bool is_due(const struct jq_peer *peer, const struct jq_out *out)
{
    return !peer->worker || out->is_urgent || out->count >= ACKS_MAX || peer->worker->draining;
}

void jq_late_acks(struct jq_core *core, struct jq_out *out)
{
    struct jq_peer *peer = jq_peer_find(core, out->peer);

    if (!peer || !peer->worker) {
        jq_dlist_append(&core->ready_out, &out->link);
        return;
    }
    if (peer->acks && jq_out_merge(core, peer, peer->acks, out)) {
        jq_late_grown(core, peer);
        return;
    }
    jq_late_flush(core, peer);
    out->batch = JQ_AT_ONCE;
    peer->acks = out;
    peer->late_at = jq_ms_add(core->now.mono, LATE_MS);
    jq_dlist_append(&core->late, &peer->in_late);
    jq_late_grown(core, peer);
}

void jq_late_grown(struct jq_core *core, struct jq_peer *peer)
{
    if (peer->acks && is_due(peer, peer->acks))
        jq_late_flush(core, peer);
}

/* ---- time ---- */

static struct jq_waiter *first_hint(const struct jq_core *core)
{
    struct jq_dlink *link = jq_dlist_first(&core->hints);

    return link ? JQ_ELEMENT(link, struct jq_waiter, hint.link) : NULL;
}

static struct jq_peer *first_late(const struct jq_core *core)
{
    struct jq_dlink *link = jq_dlist_first(&core->late);

    return link ? JQ_ELEMENT(link, struct jq_peer, in_late) : NULL;
}

jq_ms jq_late_next_at(const struct jq_core *core)
{
    const struct jq_waiter *waiter = first_hint(core);
    const struct jq_peer *peer = first_late(core);

    return jq_ms_min(waiter ? waiter->hint.at : JQ_NEVER, peer ? peer->late_at : JQ_NEVER);
}

void jq_late_tick(struct jq_core *core)
{
    struct jq_waiter *waiter;
    struct jq_peer *peer;

    while ((waiter = first_hint(core)) && waiter->hint.at <= core->now.mono)
        jq_hint_tell(core, waiter, JQ_AT_ONCE);
    while ((peer = first_late(core)) && peer->late_at <= core->now.mono)
        jq_late_flush(core, peer);
}
