/* SPDX-License-Identifier: MIT
 *
 * check.c - the invariants of STATES.md, by their numbers, over the whole state. O(jobs). */
#include "broker/core/check.h"
#include "broker/core/parts.h"
#include "proto/base/check.h"

static void check_place(const struct jq_core *core, const struct jq_job *job)
{
    const bool ready = job->state == JQ_READY, running = job->state == JQ_RUNNING;

    (void)core;
    if (ready) /* C1 */
        JQ_CHECK(job->in_sorted ? jq_heap_holds(&job->in_heap) &&
                                      (job->is_beyond || !jq_dlink_used(&job->in_place))
                                : jq_dlink_used(&job->in_place) && !jq_heap_holds(&job->in_heap));
    else
        JQ_CHECK(jq_heap_holds(&job->in_heap) == (job->hold == JQ_HOLD_FULL) &&
                 jq_dlink_used(&job->in_place));
    JQ_CHECK(ready || (!job->is_beyond && !job->is_spilled));            /* C28 */
    JQ_CHECK(running == (job->worker != NULL));                          /* C2 */
    JQ_CHECK(jq_state_is_terminal(job->state) == (job->result != NULL)); /* C3 */
    if (jq_state_is_terminal(job->state)) {
        JQ_CHECK(job->end_batch > core->durable || !jq_dlist_empty(&core->resolving)); /* C4 */
        JQ_CHECK(jq_dlist_empty(&job->waits));                                         /* C5 */
        JQ_CHECK(!job->extra || jq_dlist_empty(&job->extra->readers));
        JQ_CHECK(!job->extra || !jq_dlink_used(&job->extra->in_tied));
    }
    JQ_CHECK(job->crashes <= job->attempt); /* C6 */
    if (running)
        JQ_CHECK((uint32_t)job->fence == job->attempt); /* C7 */
    JQ_CHECK((job->fence >> 32) <= core->meta.incarnation);
    JQ_CHECK(job->id < core->meta.next_id); /* C8 */
}

static void check_jobs(const struct jq_core *core)
{
    uint64_t last = 0;
    size_t count = 0;

    for (const struct jq_job *job = jq_idmap_first(&core->jobs); job;
         job = jq_idmap_next(&core->jobs, job->id)) {
        JQ_CHECK(job->id > last); /* C9 */
        last = job->id;
        JQ_CHECK(jq_job_find(core, job->id) == job);
        if (job->fixed.key_size)
            JQ_CHECK(jq_job_find_key(core, jq_job_key(job)) != NULL);
        check_place(core, job);
        jq_check_life_of(core, job);
        count++;
    }
    JQ_CHECK(count == core->jobs.count);
}

static uint64_t check_lane(const struct jq_core *core, const struct jq_lane *lane)
{
    uint64_t last = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&lane->fresh, at));) {
        const struct jq_job *job = JQ_ELEMENT(at, struct jq_job, in_place);
        JQ_CHECK(jq_lane_of(job) == lane && job->state == JQ_READY && job->id > last);
        last = job->id;
    }
    jq_heap_check(&lane->sorted);
    JQ_CHECK(jq_dlink_used(&lane->in_turn) == jq_lane_may_run(lane)); /* C11 */
    jq_check_spill(core, lane);
    return lane->count + lane->spill.beyond.count + jq_spilled(lane);
}

/* C25, C26: places are taken, kept, or free; nobody waits for one that is free, and nobody stands
 * aside for want of one. */
static void check_rooms(const struct jq_core *core, const struct jq_queue *queue)
{
    uint64_t reserved = 0, putting = 0;
    const struct jq_peer *peer;

    for (size_t at = 0; (peer = jq_map_next(&core->peers, &at));)
        for (struct jq_dlink *r = NULL; (r = jq_dlist_next(&peer->rooms, r));) {
            const struct jq_putter *room = JQ_ELEMENT(r, struct jq_putter, in_peer);
            reserved += room->queue == queue && room->is_kept ? room->count : 0;
            putting += room->queue == queue && !room->is_kept;
        }
    JQ_CHECK(reserved == queue->reserved && putting == queue->putting); /* C25 */
    jq_heap_check(&queue->aside);
    if (jq_dlink_used(&queue->in_uneven))
        return; /* about to be */
    JQ_CHECK(queue->aside.count == 0 ||
             queue->by_state[JQ_READY] - queue->doomed[JQ_READY] >= queue->maxsize); /* C26 */
    JQ_CHECK(putting == 0 || queue->maxsize > 0);
}

/* C10: counters kept equal counters counted. */
static void check_queue(const struct jq_core *core, const struct jq_queue *queue)
{
    uint64_t ready = check_lane(core, &queue->plain) + check_lane(core, &queue->items) +
                     jq_spilled_doomed(queue);
    uint64_t counted[JQ_JOB_STATES] = { [JQ_READY] = jq_spilled_of(queue) }, getting = 0;
    uint64_t doomed[JQ_JOB_STATES] = { [JQ_READY] = jq_spilled_doomed(queue) };

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&queue->lanes, at));) {
        const struct jq_lane *lane = JQ_ELEMENT(at, struct jq_lane, in_queue);
        ready += check_lane(core, lane);
        JQ_CHECK(lane->references >= lane->sorted.count && lane->references > 0); /* C22 */
    }
    for (const struct jq_job *job = jq_idmap_first(&core->jobs); job;
         job = jq_idmap_next(&core->jobs, job->id)) {
        counted[job->state] += job->queue == queue;
        doomed[job->state] += job->queue == queue && jq_purge_dooms(job);
    }
    for (unsigned state = JQ_BLOCKED; state < JQ_SUCCEEDED; state++) {
        JQ_CHECK(counted[state] == queue->by_state[state]);
        JQ_CHECK(doomed[state] == queue->doomed[state]); /* C27 */
    }
    JQ_CHECK((queue->purge_before > 0) == jq_dlink_used(&queue->in_purging));
    JQ_CHECK(ready == queue->by_state[JQ_READY]);
    check_rooms(core, queue);
    JQ_CHECK(jq_dlist_empty(&queue->joiners) || jq_queue_unfinished(queue) > 0);   /* C21 */
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&queue->getters, at));) { /* C23 */
        const struct jq_getter *getter = JQ_ELEMENT(at, struct jq_getter, in_queue);
        JQ_CHECK(getter->queue == queue && getter->peer->worker);
        getting++;
    }
    JQ_CHECK(getting == queue->getting);
    JQ_CHECK(!queue->closed || getting == 0 || jq_queue_waiting(queue) > 0);
}

/* C22: nobody who is idle serves a lane that waits aside. */
static void check_stuck(const struct jq_core *core)
{
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->stuck, at));) {
        const struct jq_lane *lane = JQ_ELEMENT(at, struct jq_lane, in_turn);
        for (struct jq_dlink *w = NULL; (w = jq_dlist_next(&core->idle, w));)
            JQ_CHECK(!jq_lane_fits(lane, JQ_ELEMENT(w, struct jq_worker, in_idle)));
    }
}

/* C24: leases by receipt. */
static uint64_t check_receipts(const struct jq_core *core)
{
    uint64_t busy = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->by_receipt.jobs, at)); busy++) {
        const struct jq_job *job = JQ_ELEMENT(at, struct jq_job, in_place);
        JQ_CHECK(job->worker == &core->by_receipt && job->is_item && jq_job_due_at(job) > 0);
    }
    JQ_CHECK(busy == core->by_receipt.busy);
    return busy;
}

static void check_worker(const struct jq_worker *worker)
{
    uint64_t busy = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&worker->jobs, at)); busy++) {
        const struct jq_job *job = JQ_ELEMENT(at, struct jq_job, in_place);
        JQ_CHECK(job->worker == worker && job->is_item == worker->is_client);
    }
    JQ_CHECK(busy == worker->busy);                                            /* C12 */
    JQ_CHECK(worker->granted <= worker->credit);                               /* C13 */
    JQ_CHECK(jq_dlink_used(&worker->in_idle) == (jq_worker_room(worker) > 0)); /* C14 */
    JQ_CHECK(jq_heap_holds(&worker->in_leases));                               /* C15 */
    JQ_CHECK(!worker->peer || worker->peer->worker == worker);
}

static void check_workers(const struct jq_core *core)
{
    const struct jq_map *const maps[] = { &core->workers, &core->holders };
    uint64_t ghosts = 0, running = check_receipts(core);
    const struct jq_worker *worker;
    const struct jq_queue *queue;

    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        for (size_t at = 0; (worker = jq_map_next(maps[i], &at));) {
            check_worker(worker);
            JQ_CHECK(worker->is_client == (i == 1));
            ghosts += worker->ghost;
            running += worker->busy;
        }
    }
    JQ_CHECK(ghosts == core->ghosts);
    for (size_t at = 0; (queue = jq_map_next(&core->queues, &at));)
        running -= queue->by_state[JQ_RUNNING];
    JQ_CHECK(running == 0);
    jq_heap_check(&core->leases);
}

static void check_clients(const struct jq_core *core)
{
    const struct jq_client *client;

    for (size_t at = 0; (client = jq_map_next(&core->clients, &at));) {
        uint64_t last = client->answered;
        for (struct jq_dlink *r = NULL; (r = jq_dlist_next(&client->requests, r));) {
            const struct jq_request *request = JQ_ELEMENT(r, struct jq_request, in_client);
            JQ_CHECK(request->number > last); /* C16 */
            last = request->number;
        }
        JQ_CHECK((client->peer != NULL) != jq_heap_holds(&client->in_due)); /* C17 */
        JQ_CHECK(!client->peer || client->peer->client == client);
    }
    jq_heap_check(&core->due);
}

static void check_peers(const struct jq_core *core)
{
    const struct jq_peer *peer;

    for (size_t at = 0; (peer = jq_map_next(&core->peers, &at));) { /* C20 */
        uint64_t waiting = 0;
        const struct jq_waiter *waiter;
        for (size_t w = 0; (waiter = jq_map_next(&peer->waits, &w));) {
            JQ_CHECK(waiter->lookups > 0 || !jq_dlist_empty(&waiter->links));
            JQ_CHECK(waiter->lookups <= peer->lookups);
            for (struct jq_dlink *l = NULL; (l = jq_dlist_next(&waiter->links, l));)
                waiting++;
        }
        JQ_CHECK(waiting == peer->waiting && peer->waiting <= core->conf.waits_max);
        uint64_t getting = 0;
        for (struct jq_dlink *g = NULL; (g = jq_dlist_next(&peer->gets, g));)
            getting += JQ_ELEMENT(g, struct jq_getter, in_peer)->count;
        JQ_CHECK(getting == peer->getting && peer->getting <= JQ_HELD_MAX);
        JQ_CHECK(peer->lookups <= core->lookups.count);
    }
}

/* C41 */
static void check_late(const struct jq_core *core)
{
    jq_ms last = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->late, at));) {
        const struct jq_peer *peer = JQ_ELEMENT(at, struct jq_peer, in_late);
        JQ_CHECK(peer->acks && peer->acks->count > 0 && !jq_dlink_used(&peer->acks->link));
        JQ_CHECK(peer->worker && !peer->worker->draining && peer->late_at >= last);
        last = peer->late_at;
    }
    last = 0;
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->hints, at));) {
        const struct jq_waiter *waiter = JQ_ELEMENT(at, struct jq_waiter, hint.link);
        JQ_CHECK(jq_waiter_find(waiter->peer, waiter->correlation) == waiter);
        JQ_CHECK(waiter->hint.at >= last);
        last = waiter->hint.at;
    }
}

/* C18: nothing is told before it is true. */
static void check_outbox(const struct jq_core *core)
{
    uint64_t last = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->held, at));) {
        const struct jq_out *out = JQ_ELEMENT(at, struct jq_out, link);
        JQ_CHECK(out->batch > core->durable && out->batch >= last);
        JQ_CHECK(out->batch <= jq_batch_number(core));
        last = out->batch;
    }
}

/* C40 */
static void check_events(const struct jq_core *core)
{
    const struct jq_event_ring *ring = &core->events;
    const uint64_t used = ring->count < ring->size ? ring->count : ring->size;
    uint64_t last = 0;

    for (uint64_t i = 0; i < used; i++) {
        const uint64_t at = (ring->next + ring->size - used + i) % ring->size;
        JQ_CHECK(ring->entries[at].batch >= last);
        last = ring->entries[at].batch;
    }
    JQ_CHECK(last <= jq_batch_number(core));
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->watchers, at));) {
        const struct jq_watcher *watcher = JQ_ELEMENT(at, struct jq_watcher, in_core);
        JQ_CHECK(watcher->told <= watcher->next && watcher->next <= ring->count + 1);
        JQ_CHECK(!watcher->out || watcher->out->watcher == watcher);
    }
}

static void check_batch(const struct jq_core *core)
{
    uint32_t live = 0;

    if (!core->batch)
        return;
    for (uint32_t i = 0; i < core->batch->count; i++)
        live += core->batch->ops[i].kind != JQ_OP_NONE;
    JQ_CHECK(live == core->batch->live); /* C19 */
}

void jq_core_check(const struct jq_core *core)
{
    const struct jq_queue *queue;

    check_jobs(core);
    for (size_t at = 0; (queue = jq_map_next(&core->queues, &at));)
        check_queue(core, queue);
    check_stuck(core);
    check_workers(core);
    check_clients(core);
    check_peers(core);
    check_outbox(core);
    check_late(core);
    jq_check_life(core);
    check_events(core);
    check_batch(core);
}
