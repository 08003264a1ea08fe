/* SPDX-License-Identifier: MIT
 *
 * purge.c - PURGE: what waits in a queue is cancelled, whatever it waits for. All counters say so
 * at once, and so does the store; the jobs follow in slices, also after a restart. REMOVE: a queue
 * with nothing unfinished is forgotten, after what it keeps. */
#include <stdio.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* Jobs ended in one turn, or rows deleted: some ms. */
enum { SLICE = 2048 };

/* ---- what is purged ---- */

static bool is_waiting(enum jq_job_state state)
{
    return state == JQ_BLOCKED || state == JQ_DELAYED || state == JQ_READY;
}

bool jq_purge_dooms(const struct jq_job *job)
{
    const uint64_t before = job->queue->purge_before;

    return job->id < before && is_waiting(job->state) && jq_job_spared_of(job) != before;
}

/* Nothing of its lanes is taken until what is doomed and in memory has gone. */
bool jq_purge_gates(const struct jq_queue *queue)
{
    return queue->purge_before && jq_queue_doomed(queue) > jq_spilled_doomed(queue);
}

/* One that comes back has an extra: jq_job_reserve. One that ends needs none. */
void jq_purge_spare(struct jq_job *job)
{
    if (job->extra && job->id < job->queue->purge_before)
        job->extra->spared_of = job->queue->purge_before;
}

void jq_purge_start(struct jq_core *core, struct jq_queue *queue, uint64_t *ret_count)
{
    const uint64_t before = jq_queue_waiting(queue);

    *ret_count = before;
    if (before == 0)
        return;
    /* No job has this id: each purge has a number of its own, and what an earlier one spared is not
     * spared by this. */
    queue->purge_before = queue->purged = core->meta.next_id++;
    for (unsigned state = JQ_BLOCKED; state <= JQ_READY; state++)
        queue->doomed[state] = queue->by_state[state];
    jq_spill_doom(core, queue);
    if (!jq_dlink_used(&queue->in_purging))
        jq_dlist_append(&core->purging, &queue->in_purging);
    jq_queue_turn(core, queue);
    jq_room_note(core, queue);
    jq_join_release(core, queue);
    jq_getters_end(core, queue);
}

void jq_purge_restore(struct jq_core *core)
{
    struct jq_queue *queue;

    for (size_t at = 0; (queue = jq_map_next(&core->queues, &at));) {
        if (queue->purge_before && !jq_dlink_used(&queue->in_purging)) {
            queue->purged = queue->purge_before;
            jq_dlist_append(&core->purging, &queue->in_purging);
            jq_queue_turn(core, queue);
        }
    }
}

/* ---- slices ---- */

static enum jq_err end_job(struct jq_core *core, struct jq_job *job)
{
    return jq_job_end(core, job, JQ_CANCELLED, "its queue was purged");
}

/* Nothing of a lane is taken while its queue is purged: what is doomed stands before what came
 * later, and in the heap among it. */
static enum jq_err purge_lane(struct jq_core *core, struct jq_lane *lane, uint32_t *left)
{
    struct jq_dlink *next;

    for (struct jq_dlink *at = jq_dlist_first(&lane->fresh); at && *left; at = next) {
        struct jq_job *job = JQ_ELEMENT(at, struct jq_job, in_place);
        next = jq_dlist_next(&lane->fresh, at);
        if (job->id >= lane->queue->purge_before)
            break;
        if (!jq_purge_dooms(job))
            continue; /* spared before a restart: few, and at their places since */
        JQ_TRY(end_job(core, job));
        --*left;
    }
    for (size_t i = lane->sorted.count; *left && i > 0;) {
        struct jq_job *job = JQ_ELEMENT(lane->sorted.nodes[i - 1], struct jq_job, in_heap);
        if (!jq_purge_dooms(job)) {
            i--;
            continue;
        }
        JQ_TRY(end_job(core, job)); /* another is in its place now */
        i = i < lane->sorted.count ? i : lane->sorted.count;
        --*left;
    }
    return JQ_OK;
}

static enum jq_err purge_waiting(struct jq_core *core, struct jq_queue *queue, uint32_t *left)
{
    struct jq_dlink *next;

    for (struct jq_dlink *at = jq_dlist_first(&queue->waiting);
         at && *left && queue->doomed[JQ_BLOCKED] + queue->doomed[JQ_DELAYED] > 0; at = next) {
        struct jq_job *job = JQ_ELEMENT(at, struct jq_job, in_place);
        next = jq_dlist_next(&queue->waiting, at);
        if (!jq_purge_dooms(job))
            continue;
        JQ_TRY(end_job(core, job));
        --*left;
    }
    return JQ_OK;
}

static enum jq_err purge_some(struct jq_core *core, struct jq_queue *queue)
{
    struct jq_dlink *next;
    uint32_t left = SLICE;

    JQ_TRY(purge_waiting(core, queue, &left));
    JQ_TRY(purge_lane(core, &queue->plain, &left));
    JQ_TRY(purge_lane(core, &queue->items, &left));
    for (struct jq_dlink *at = jq_dlist_first(&queue->lanes); at && left; at = next) {
        next = jq_dlist_next(&queue->lanes, at);
        JQ_TRY(purge_lane(core, JQ_ELEMENT(at, struct jq_lane, in_queue), &left));
    }
    if (jq_queue_doomed(queue) && !jq_purge_gates(queue))
        return jq_spill_purge(core, queue, SLICE);
    return JQ_OK;
}

bool jq_purge_due(const struct jq_core *core)
{
    return !jq_dlist_empty(&core->purging) && !jq_core_crowded(core) &&
           core->purge_batch != jq_batch_number(core);
}

enum jq_err jq_purge_tick(struct jq_core *core)
{
    struct jq_dlink *link;

    if (!(link = jq_dlist_first(&core->purging)) || jq_core_crowded(core) || jq_settling(core))
        return JQ_OK;
    struct jq_queue *queue = JQ_ELEMENT(link, struct jq_queue, in_purging);
    if (jq_queue_doomed(queue))
        JQ_TRY(purge_some(core, queue));
    if (jq_queue_doomed(queue)) { /* the next, for a while */
        jq_dlist_remove(link);
        jq_dlist_append(&core->purging, link);
        return JQ_OK;
    }
    JQ_TRY(jq_batch_reserve(core, 1));
    jq_dlist_remove(link);
    queue->purge_before = 0;
    jq_batch_queue(core, queue);
    jq_queue_turn(core, queue);
    jq_getters_end(core, queue);
    jq_spill_look(core, &queue->plain); /* their pages had to wait */
    jq_spill_look(core, &queue->items);
    return JQ_OK;
}

/* ---- removing ---- */

static void removed(struct jq_core *core, struct jq_lookup *lookup);

static enum jq_err look(struct jq_core *core, struct jq_queue *queue, uint64_t peer,
                        uint64_t correlation, uint64_t after_id)
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer, correlation, removed);
    const struct jq_read read = {
        .kind = JQ_READ_OLDEST,
        .parts = JQ_READ_RESULT,
        .after = jq_batch_number(core),
        .queue = queue->id,
        .before_id = after_id,
        .limit = SLICE,
    };

    if (!lookup)
        return JQ_ENOMEM;
    lookup->number[0] = queue->id;
    const enum jq_err err = jq_lookup_list(core, lookup, &read);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    return err;
}

/* NULL: its connection is lost, or is another session's now. */
static struct jq_peer *asker(const struct jq_core *core, const struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);

    return peer && peer->token == lookup->peer_token ? peer : NULL;
}

static void give_up(struct jq_core *core, struct jq_queue *queue, const struct jq_lookup *lookup,
                    enum jq_err err)
{
    struct jq_peer *peer = asker(core, lookup);

    queue->removing = false;
    if (peer)
        jq_tell_error(core, peer, lookup->correlation, err,
                      "what it keeps could not be deleted, or not all of it");
}

static void finish(struct jq_core *core, struct jq_queue *queue, const struct jq_lookup *lookup)
{
    struct jq_peer *peer = asker(core, lookup);

    if (jq_batch_reserve(core, 2) != JQ_OK) {
        give_up(core, queue, lookup, JQ_EBUSY);
        return;
    }
    jq_queue_said(core, peer, lookup->correlation, jq_batch_number(core), queue, 0);
    jq_batch_queue_delete(core, queue);
    jq_queue_forget(core, queue);
}

/* Whose end is not durable yet. */
static bool has_ended(const struct jq_core *core, const struct jq_queue *queue)
{
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->ended, at));)
        if (JQ_ELEMENT(at, struct jq_job, in_place)->queue == queue)
            return true;
    return false;
}

/* lookup->number[0]: the queue. */
static void removed(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_queue *queue = jq_map_find(&core->queues, lookup->number[0]);
    const uint64_t peer = asker(core, lookup) ? lookup->peer : 0;
    uint64_t last = 0;
    enum jq_err err = lookup->err;

    if (!queue)
        return;
    for (size_t i = 0; err == JQ_OK && i < lookup->found; i++) {
        last = lookup->jobs[i].job.id;
        if (!jq_row_deleting(core, last))
            err = jq_row_delete(core, &lookup->jobs[i]);
    }
    if (err == JQ_OK && lookup->found > 0)
        err = look(core, queue, peer, lookup->correlation, last);
    else if (err == JQ_OK && has_ended(core, queue))
        err = look(core, queue, peer, lookup->correlation, 0);
    else if (err == JQ_OK && jq_queue_unfinished(queue))
        err = JQ_ESTATE;
    else if (err == JQ_OK)
        finish(core, queue, lookup);
    if (err != JQ_OK)
        give_up(core, queue, lookup, err == JQ_ENOMEM ? JQ_EBUSY : err);
}

enum jq_err jq_remove_queue(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                            struct jq_queue *queue)
{
    char text[JQ_REASON_MAX];

    if (jq_queue_unfinished(queue) || queue->purge_before || queue->removing) {
        snprintf(text, sizeof text, "%llu of its jobs are unfinished%s",
                 (unsigned long long)jq_queue_unfinished(queue),
                 queue->purge_before ? ", and others are being purged" : "");
        jq_tell_error(core, peer, correlation, JQ_ESTATE,
                      queue->removing ? "it is being removed" : text);
        return JQ_OK;
    }
    if (!jq_dlist_empty(&queue->getters) || !jq_dlist_empty(&queue->rooms) || queue->reserved) {
        jq_tell_error(core, peer, correlation, JQ_ESTATE, "somebody waits for it: close it first");
        return JQ_OK;
    }
    JQ_TRY(jq_batch_reserve(core, 1));
    JQ_TRY(look(core, queue, peer->id, correlation, 0));
    queue->removing = true;
    return JQ_OK;
}
