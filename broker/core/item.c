/* SPDX-License-Identifier: MIT
 *
 * item.c - items of queues, taken by clients: GET. Whoever waits is served in the order of arrival,
 * with one item or with those that there are. A grant to a session promises nobody anything and
 * leaves at once, like that of a job; what becomes of it is SETTLE's (settle.c). */
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

    getter->peer->getting -= getter->count;
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

/* What a getter is given: until it is told it is not a getter any more. */
struct gift {
    struct jq_peer *peer;
    uint64_t correlation, lease_ms;
    uint64_t left; /* that it may have yet */
    bool is_list;
    uint32_t count;
    struct jq_buf records; /* of a list */
    uint64_t batch;        /* it may be told with */
};

static void tell_gift(struct jq_core *core, struct gift *gift)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_ITEMS,
        .correlation = gift->correlation,
        .u.items.items = jq_records_of(gift->count, &gift->records),
    };

    if (gift->count)
        jq_tell(core, gift->peer, gift->batch, &msg);
    jq_buf_fini(&gift->records);
}

/* A receipt is a promise: no session will come back and say that it holds the item. */
static void give(struct jq_core *core, struct gift *gift, struct jq_job *job)
{
    struct jq_worker *holder = gift->peer->worker;

    job->attempt++;
    job->fence = core->meta.incarnation << 32 | job->attempt;
    job->started_at = core->now.wall;
    if (job->ran_on != holder->name) {
        jq_blob_drop(job->ran_on);
        job->ran_on = jq_blob_hold(holder->name);
    }
    job->worker = gift->lease_ms ? &core->by_receipt : holder;
    if (job->extra)
        job->extra->due_at = gift->lease_ms ? jq_timer_after(core, gift->lease_ms) : 0;
    jq_job_move(core, job, JQ_RUNNING);
    core->count.granted++;
    gift->left--;
    gift->count++;
    const uint64_t batch = gift->lease_ms ? jq_job_promise(core, job) : JQ_AT_ONCE;
    gift->batch = batch > gift->batch ? batch : gift->batch;
    const struct jq_given given = jq_given_of(job);
    if (gift->is_list)
        jq_given_write(&gift->records, &given);
    else
        jq_tell_item(core, gift->peer, gift->correlation, batch, &given);
}

/* Room to give it, so that nothing fails on the way. */
static enum jq_err prepare(struct jq_core *core, struct gift *gift, struct jq_job *job)
{
    enum { FIELDS_MAX = 80 }; /* of a record, but its bytes */

    JQ_TRY(jq_job_reserve(core, job));
    if (gift->lease_ms)
        JQ_TRY(jq_extra_need(job));
    return gift->is_list ? jq_buf_reserve(&gift->records, FIELDS_MAX + jq_job_payload(job).size +
                                                              jq_job_options(job).size)
                         : JQ_OK;
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

static struct gift gift_of(const struct jq_getter *getter)
{
    const uint64_t held = getter->lease_ms ? 0 : getter->peer->worker->busy;

    return (struct gift){
        .peer = getter->peer,
        .correlation = getter->correlation,
        .lease_ms = getter->lease_ms,
        .left = getter->count < JQ_HELD_MAX - held ? getter->count : JQ_HELD_MAX - held,
        .is_list = getter->is_list,
    };
}

/* What stands aside may be better than what is left: first let it back. */
static bool has_more(const struct jq_lane *lane)
{
    return jq_lane_is_open(lane) && !jq_room_takes_back(lane->queue);
}

/* As much as this getter wants, of what there is: one at least. False: no memory, or the batch is
 * full; tried again with the next input. */
static bool serve(struct jq_core *core, struct jq_lane *lane, struct jq_getter *getter)
{
    struct gift gift = gift_of(getter);
    bool ok;

    do {
        struct jq_job *job = jq_lane_first(lane);
        ok = !jq_core_full(core) && prepare(core, &gift, job) == JQ_OK;
        if (ok && job->damaged) {
            ok = jq_job_end(core, job, JQ_FAILED, "its stored bytes are damaged") == JQ_OK;
        } else if (ok) {
            if (gift.count == 0) /* first: the last item of a closed queue ends its getters */
                jq_getter_free(core, getter);
            give(core, &gift, job);
        }
    } while (ok && gift.left > 0 && gift.records.size < JQ_FRAME_SOFT && has_more(lane));
    if (gift.is_list)
        tell_gift(core, &gift);
    return ok;
}

static bool give_of(struct jq_core *core, struct jq_lane *lane)
{
    struct jq_getter *getter;

    while (has_more(lane) && (getter = first_getter(lane->queue)))
        if (!serve(core, lane, getter))
            return false;
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
    const uint64_t held = peer->getting + (peer->worker ? peer->worker->busy : 0);
    if (held >= JQ_HELD_MAX) {
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
    getter->is_list = get->count > 0;
    getter->count = (uint32_t)(get->count ? get->count : 1);
    if (getter->count > JQ_HELD_MAX - held)
        getter->count = (uint32_t)(JQ_HELD_MAX - held);
    peer->getting += getter->count;
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
