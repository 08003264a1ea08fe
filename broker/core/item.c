/* SPDX-License-Identifier: MIT
 *
 * item.c - items of queues, taken by clients: GET and PEEK. Whoever waits is served in the order of
 * arrival. A grant to a session promises nobody anything and leaves at once, like that of a job;
 * what becomes of it is SETTLE's (settle.c). */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* Frames for a client that have not been taken may be this large: then those behind it are served
 * before it. */
enum { ITEM_BYTES_AHEAD = 4 << 20 };

/* ---- who waits ---- */

void jq_getter_free(struct jq_core *core, struct jq_getter *getter)
{
    struct jq_queue *queue = getter->queue;

    getter->peer->getting--;
    queue->getting--;
    jq_map_remove(&getter->peer->gets_asked, getter->correlation);
    jq_dlist_remove(&getter->in_peer);
    jq_dlist_remove(&getter->in_queue);
    jq_dlist_remove(&getter->in_hasty);
    jq_free(getter);
    jq_lane_turn(core, &queue->items);
}

void jq_getter_withdraw(struct jq_core *core, struct jq_peer *peer, uint64_t correlation)
{
    struct jq_getter *getter = jq_map_find(&peer->gets_asked, correlation);

    if (getter)
        jq_getter_free(core, getter);
}

static void refuse(struct jq_core *core, struct jq_getter *getter, enum jq_err err)
{
    jq_tell_error(core, getter->peer, getter->correlation, err, NULL);
    jq_getter_free(core, getter);
}

void jq_getters_end(struct jq_core *core, struct jq_queue *queue)
{
    struct jq_dlink *link;

    if (!queue->closed || jq_queue_waiting(queue) > 0)
        return;
    while ((link = jq_dlist_first(&queue->getters)))
        refuse(core, JQ_ELEMENT(link, struct jq_getter, in_queue), JQ_ECLOSED);
}

/* ---- giving ---- */

bool jq_items_due(const struct jq_core *core)
{
    return (!jq_dlist_empty(&core->items_ready) || !jq_dlist_empty(&core->hasty)) &&
           jq_grants_open(core);
}

static void tell_item(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                      uint64_t batch, const struct jq_job *job, bool is_held)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_ITEM,
        .correlation = correlation,
        .u.item = {
            .id = job->id,
            .fence = is_held ? job->fence : 0,
            .priority = job->priority,
            .attempt = job->attempt,
            .created_at = job->fixed.created_at,
            .payload = jq_job_payload(job),
            .options = jq_job_options(job),
            .lease_until = is_held ? jq_job_due_at(job) : 0,
        },
    };

    jq_tell(core, peer, batch, &msg);
}

/* A receipt is a promise: no session will come back and say that it holds the item. */
static void give(struct jq_core *core, struct jq_getter *getter, struct jq_job *job)
{
    struct jq_peer *peer = getter->peer;
    struct jq_worker *holder = peer->worker;
    const uint64_t correlation = getter->correlation, lease_ms = getter->lease_ms;

    jq_getter_free(core, getter); /* first: the last item of a closed queue ends its getters */

    job->attempt++;
    job->fence = core->meta.incarnation << 32 | job->attempt;
    job->started_at = core->now.wall;
    if (job->ran_on != holder->name) {
        jq_blob_drop(job->ran_on);
        job->ran_on = jq_blob_hold(holder->name);
    }
    job->worker = lease_ms ? &core->by_receipt : holder;
    if (job->extra)
        job->extra->due_at = lease_ms ? jq_timer_after(core, lease_ms) : 0;
    jq_job_move(core, job, JQ_RUNNING);
    core->count.granted++;
    tell_item(core, peer, correlation, lease_ms ? jq_job_promise(core, job) : JQ_AT_ONCE, job,
              true);
}

static bool can_take(const struct jq_getter *getter)
{
    const struct jq_peer *peer = getter->peer;

    return !peer->broken && peer->out_bytes < ITEM_BYTES_AHEAD &&
           (getter->lease_ms || peer->worker->busy < JQ_HELD_MAX);
}

static struct jq_getter *first_getter(const struct jq_queue *queue)
{
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&queue->getters, at));) {
        struct jq_getter *getter = JQ_ELEMENT(at, struct jq_getter, in_queue);
        if (can_take(getter))
            return getter;
    }
    return NULL;
}

/* False: no memory, or the batch is full; tried again with the next input. What stands aside may be
 * better than what is left: first let it back. */
static bool give_of(struct jq_core *core, struct jq_lane *lane)
{
    struct jq_getter *getter;

    while (jq_lane_may_run(lane) && !jq_room_takes_back(lane->queue) &&
           (getter = first_getter(lane->queue))) {
        struct jq_job *job = jq_lane_first(lane);
        if (jq_core_full(core) || jq_job_reserve(core, job) != JQ_OK ||
            (getter->lease_ms && jq_extra_need(job) != JQ_OK))
            return false;
        if (!job->damaged)
            give(core, getter, job);
        else if (jq_job_end(core, job, JQ_FAILED, "its stored bytes are damaged") != JQ_OK)
            return false;
    }
    return true;
}

/* There is one, and it is being read from the store. */
static bool comes_soon(const struct jq_lane *lane)
{
    return jq_spill_starves(lane) && !lane->queue->paused && !jq_purge_gates(lane->queue);
}

void jq_items_give(struct jq_core *core)
{
    struct jq_dlink *next;

    for (struct jq_dlink *at = jq_dlist_first(&core->items_ready); at; at = next) {
        next = jq_dlist_next(&core->items_ready, at);
        if (!give_of(core, JQ_ELEMENT(at, struct jq_lane, in_turn)))
            return;
    }
    if (!jq_dlist_empty(&core->uneven))
        return; /* first let those back that stand aside */
    for (struct jq_dlink *at = jq_dlist_first(&core->hasty); at; at = next) {
        struct jq_getter *getter = JQ_ELEMENT(at, struct jq_getter, in_hasty);
        next = jq_dlist_next(&core->hasty, at);
        if (!comes_soon(&getter->queue->items))
            refuse(core, getter, JQ_EEMPTY);
    }
}

/* ---- asking ---- */

/* NULL: the peer has been told why not. */
static enum jq_err queue_of(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                            const struct jq_get *get, struct jq_queue **ret_queue)
{
    *ret_queue = jq_queue_find(core, get->queue);
    if (*ret_queue && (*ret_queue)->removing) {
        jq_tell_error(core, peer, correlation, JQ_ECLOSED, "it is being removed");
        *ret_queue = NULL;
        return JQ_OK;
    }
    if (*ret_queue)
        return JQ_OK;
    if (!jq_name_valid(get->queue))
        jq_tell_error(core, peer, correlation, JQ_EINVAL,
                      "a queue's name is 1 to 128 of A-Z a-z 0-9 . _ -");
    else if (!get->wait)
        jq_tell_error(core, peer, correlation, JQ_ENOENT, "no such queue");
    else if (core->queues.count >= core->conf.queues_max)
        jq_tell_error(core, peer, correlation, JQ_ENOSPC,
                      "the broker has as many queues as it may have");
    else
        return jq_queue_get(core, get->queue, ret_queue);
    return JQ_OK;
}

enum jq_err jq_get_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_get *get = &msg->u.get;
    struct jq_queue *queue;

    if (msg->correlation == 0) {
        jq_tell_error(core, peer, 0, JQ_EINVAL, "GET needs a correlation");
        return JQ_OK;
    }
    jq_getter_withdraw(core, peer, msg->correlation); /* asked again: the newest counts */
    if (peer->getting + (peer->worker ? peer->worker->busy : 0) >= JQ_HELD_MAX) {
        jq_tell_error(core, peer, msg->correlation, JQ_EBUSY,
                      "one session holds, or waits for, as many items as it may");
        return JQ_OK;
    }
    JQ_TRY(jq_hold_client(core, peer, jq_blob_view(peer->client->name)));
    JQ_TRY(queue_of(core, peer, msg->correlation, get, &queue));
    if (!queue)
        return JQ_OK;
    JQ_TRY(jq_map_reserve(&peer->gets_asked, 1));
    struct jq_getter *getter = jq_alloc_zero(1, sizeof *getter);
    if (!getter)
        return JQ_ENOMEM;
    getter->peer = peer;
    getter->queue = queue;
    getter->correlation = msg->correlation;
    getter->lease_ms = get->lease_ms;
    peer->getting++;
    queue->getting++;
    jq_dlist_append(&peer->gets, &getter->in_peer);
    JQ_CHECK(jq_map_put(&peer->gets_asked, getter->correlation, getter) == JQ_OK);
    jq_dlist_append(&queue->getters, &getter->in_queue);
    if (!get->wait)
        jq_dlist_append(&core->hasty, &getter->in_hasty);
    jq_lane_turn(core, &queue->items);
    jq_getters_end(core, queue);
    return JQ_OK;
}

static enum jq_err peek_spilled(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                                const struct jq_queue *queue);

/* lookup->number: the queue, and the batch behind which was read. The first item, if it is in
 * memory by now. */
static const struct jq_job *first_here(struct jq_core *core, const struct jq_lookup *lookup)
{
    const struct jq_queue *queue = jq_map_find(&core->queues, lookup->number[0]);
    const struct jq_job *first = queue ? jq_lane_first(&queue->items) : NULL;

    if (!queue || first)
        return first;
    const struct jq_heap_node *node = jq_heap_first(&queue->items.spill.beyond);
    const struct jq_job *beyond = node ? JQ_ELEMENT(node, struct jq_job, in_heap) : NULL;
    if (!beyond || lookup->found == 0)
        return beyond;
    const struct jq_job_record *row = &lookup->jobs[0].job;
    const struct jq_order_key key = {
        .rank = jq_queue_rank(queue, row->priority, row->created_at),
        .id = row->id,
    };
    return jq_order_before(queue->order, key, jq_queue_key(beyond)) ? NULL : beyond;
}

static void peeked(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);

    if (!peer || peer->token != lookup->peer_token)
        return;
    const struct jq_job *here = first_here(core, lookup);
    if (here) {
        tell_item(core, peer, lookup->correlation, JQ_AT_ONCE, here, false);
        return;
    }
    if (lookup->found == 0) {
        jq_tell_error(core, peer, lookup->correlation,
                      lookup->err == JQ_OK ? JQ_EEMPTY : lookup->err, NULL);
        return;
    }
    const struct jq_queue *queue = jq_map_find(&core->queues, lookup->number[0]);
    const struct jq_job_record *job = &lookup->jobs[0].job;
    if (queue && queue->items.spill.batch > lookup->number[1]) { /* more has gone there meanwhile */
        if (peek_spilled(core, peer, lookup->correlation, queue) != JQ_OK)
            jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
        return;
    }
    if (jq_spill_is_doomed(core, job)) { /* the first that is not stands behind those */
        jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, "it is being purged");
        return;
    }
    const struct jq_msg msg = {
        .tag = JQ_MSG_ITEM,
        .correlation = lookup->correlation,
        .u.item = {
            .id = job->id,
            .priority = job->priority,
            .attempt = job->attempt,
            .created_at = job->created_at,
            .payload = job->payload,
            .options = job->options,
        },
    };
    jq_tell(core, peer, JQ_AT_ONCE, &msg);
}

/* The first is on its way into memory: whoever looks does not have to wait for it. */
static enum jq_err peek_spilled(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                                const struct jq_queue *queue)
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, correlation, peeked);
    const struct jq_spill *spill = &queue->items.spill;
    const struct jq_read read = {
        .kind = JQ_READ_SPILLED,
        .parts = JQ_READ_PAYLOAD,
        .after = spill->batch,
        .queue = queue->id,
        .limit = 1,
        .range = { .lane = 1,
                   .order = queue->order,
                   .has_after = spill->has_edge,
                   .rank = queue->order == JQ_PRIORITY ? spill->edge.rank : 0,
                   .id = spill->edge.id },
    };

    if (!lookup)
        return JQ_ENOMEM;
    lookup->number[0] = queue->id;
    lookup->number[1] = read.after;
    const enum jq_err err = jq_lookup_list(core, lookup, &read);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    return err;
}

enum jq_err jq_peek_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_queue *queue = jq_queue_find(core, msg->u.peek.queue);
    const bool gates = queue && jq_purge_gates(queue);
    const struct jq_job *job = queue && !gates ? jq_lane_first(&queue->items) : NULL;

    if (queue && !gates && jq_spill_starves(&queue->items))
        return peek_spilled(core, peer, msg->correlation, queue);
    if (job)
        tell_item(core, peer, msg->correlation, JQ_AT_ONCE, job, false);
    else
        jq_tell_error(core, peer, msg->correlation, queue ? JQ_EEMPTY : JQ_ENOENT,
                      queue ? NULL : "no such queue");
    return JQ_OK;
}
