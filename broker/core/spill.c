/* SPDX-License-Identifier: MIT
 *
 * spill.c - a queue is as long as the disk: past what the core keeps in memory, the jobs of a lane
 * that will run last are in the store alone. The lane's *edge* is a place in its order: what stands
 * before it is in memory, what stands behind it is among the spilled in the store, and may be in
 * memory too while somebody needs it there. Pages of them come back as the lane runs low
 * (spill_page.c); others leave when there are too many (spill_room.c).
 *
 * A job in memory is ready to be taken only before the edge: so the order is exact wherever a job
 * is. Only plain jobs are spilled: what timers, edges, limits or sessions point to stays. */
#include "broker/core/parts.h"
#include "proto/base/check.h"

/* ---- where the edge is ---- */

static uint32_t index_of(const struct jq_lane *lane)
{
    return lane == &lane->queue->items;
}

uint64_t jq_spilled(const struct jq_lane *lane)
{
    return lane->spill.rows - lane->spill.loaded;
}

uint64_t jq_spilled_doomed(const struct jq_queue *queue)
{
    const struct jq_spill *plain = &queue->plain.spill, *items = &queue->items.spill;

    return plain->doomed - plain->doomed_loaded + items->doomed - items->doomed_loaded;
}

uint64_t jq_spilled_of(const struct jq_queue *queue)
{
    return jq_spilled(&queue->plain) + jq_spilled(&queue->items) + jq_spilled_doomed(queue);
}

bool jq_spill_is_behind(const struct jq_lane *lane, const struct jq_job *job)
{
    const struct jq_spill *spill = &lane->spill;

    return spill->is_on && (!spill->has_edge ||
                            jq_order_before(lane->queue->order, spill->edge, jq_queue_key(job)));
}

bool jq_spill_starves(const struct jq_lane *lane)
{
    return lane->spill.is_on && lane->count == 0;
}

void jq_spill_look(struct jq_core *core, struct jq_lane *lane)
{
    if (!jq_dlink_used(&lane->spill.in_spills))
        jq_dlist_append(&core->spills, &lane->spill.in_spills);
}

void jq_spill_turn_on(struct jq_core *core, struct jq_lane *lane)
{
    if (!lane->spill.is_on)
        core->spilled_lanes++;
    lane->spill.is_on = true;
    jq_spill_look(core, lane);
}

/* What is in memory and before the edge is ready to be taken: there is room for it in the heap. */
void jq_spill_release(struct jq_core *core, struct jq_lane *lane)
{
    struct jq_heap *beyond = &lane->spill.beyond;
    struct jq_heap_node *node;

    while ((node = jq_heap_first(beyond))) {
        struct jq_job *job = JQ_ELEMENT(node, struct jq_job, in_heap);
        if (jq_spill_is_behind(lane, job))
            break;
        jq_spill_remove(job);
        jq_lane_put(core, job, false);
    }
    jq_lane_turn(core, lane);
    jq_queue_turn(core, lane->queue); /* those that need tags wait for the order of all */
}

static void turn_off(struct jq_core *core, struct jq_lane *lane)
{
    lane->spill.is_on = lane->spill.has_edge = false;
    lane->spill.page = 0;
    core->spilled_lanes--;
    jq_spill_release(core, lane);
}

/* ---- in memory, behind the edge ---- */

enum jq_err jq_spill_reserve(struct jq_lane *lane, size_t jobs)
{
    JQ_TRY(jq_heap_reserve(&lane->sorted, jobs + lane->spill.beyond.count));
    return lane->spill.is_on ? jq_heap_reserve(&lane->spill.beyond, jobs) : JQ_OK;
}

void jq_spill_put(struct jq_core *core, struct jq_lane *lane, struct jq_job *job)
{
    JQ_CHECK(jq_heap_put(&lane->spill.beyond, &job->in_heap) == JQ_OK);
    job->in_sorted = job->is_beyond = true;
    jq_spill_look(core, lane);
}

void jq_spill_remove(struct jq_job *job)
{
    jq_heap_remove(&jq_lane_of(job)->spill.beyond, &job->in_heap);
    jq_dlist_remove(&job->in_place);
    job->in_sorted = job->is_beyond = false;
}

/* Nobody needs it in memory, and its row says all there is to say. One that has been started stays,
 * as its last holder may still speak of it. */
static bool is_plain(const struct jq_job *job)
{
    return job->state == JQ_READY && job->attempt == 0 && job->stored && !job->damaged &&
           !job->retried && jq_extra_may_spill(job) && !job->cancel_asked &&
           !(job->flags & JQ_JOB_TIE) && jq_dlist_empty(&job->waits) && !jq_purge_dooms(job);
}

/* A job whose last word is not durable stays: reads that are under way may have missed it, and they
 * are answered before. */
bool jq_spill_may_leave(const struct jq_core *core, const struct jq_job *job)
{
    return is_plain(job) && job->op_batch <= core->durable;
}

/* Behind the edge: it leaves once it may. */
void jq_spill_offer(struct jq_job *job)
{
    if (is_plain(job) && !jq_dlink_used(&job->in_place))
        jq_dlist_append(&jq_lane_of(job)->spill.offered, &job->in_place);
}

void jq_spill_leave(struct jq_core *core, struct jq_job *job)
{
    struct jq_lane *lane = jq_lane_of(job);

    if (job->is_spilled) {
        lane->spill.loaded--;
    } else {
        jq_batch_spill(core, job);
        jq_batch_queue(core, job->queue);
        lane->spill.rows++;
        lane->spill.batch = core->spill_batch = jq_batch_number(core);
        if (job->queue->aside.count)
            jq_room_note(core, job->queue); /* room.c: nobody stands aside any more */
    }
    if (job->is_beyond)
        jq_spill_remove(job);
    else
        jq_lane_remove(core, job);
    jq_job_unload(core, job);
}

/* ---- their rows ---- */

/* A job is stored for the first time: among the spilled, when it is behind the edge. */
void jq_spill_put_row(struct jq_job *job)
{
    struct jq_lane *lane = jq_lane_of(job);

    if (!job->is_beyond || !jq_extra_may_spill(job) || job->flags & JQ_JOB_TIE)
        return;
    job->is_spilled = true;
    lane->spill.rows++;
    lane->spill.loaded++;
    jq_dlist_append(&lane->spill.offered, &job->in_place);
}

void jq_spill_take_row(struct jq_job *job)
{
    struct jq_spill *spill = &jq_lane_of(job)->spill;
    const bool is_doomed = job->id < job->queue->purge_before;

    if (!job->is_spilled)
        return;
    job->is_spilled = false;
    spill->rows -= !is_doomed;
    spill->loaded -= !is_doomed;
    spill->doomed -= is_doomed;
    spill->doomed_loaded -= is_doomed;
}

int64_t jq_spill_rank(const struct jq_job *job)
{
    return job->queue->order == JQ_PRIORITY ? jq_queue_key(job).rank : 0;
}

uint8_t jq_spill_lane(const struct jq_job *job)
{
    return (uint8_t)index_of(jq_lane_of(job));
}

/* ---- back into memory ---- */

/* Also when the purge has ended, and what was read is from before. What is spared is in memory. */
bool jq_spill_is_doomed(const struct jq_core *core, const struct jq_job_record *record)
{
    const struct jq_queue *queue = jq_map_find(&core->queues, record->queue);

    return queue && record->state == JQ_READY && !jq_job_find(core, record->id) &&
           record->id < queue->purged;
}

static enum jq_err prepare(struct jq_core *core, struct jq_job *job,
                           const struct jq_job_record *record)
{
    JQ_TRY(jq_job_reserve(core, job));
    if (record->worker.size && !(job->ran_on = jq_blob_new(record->worker)))
        return JQ_ENOMEM;
    if (record->history.size)
        JQ_TRY(jq_history_restore(job, record->history));
    const enum jq_err err = jq_extra_make(core, job);
    job->damaged |= err == JQ_EINVAL;
    return err == JQ_ENOMEM || !jq_job_key_add(core, job) ? JQ_ENOMEM : JQ_OK;
}

enum jq_err jq_spill_load(struct jq_core *core, const struct jq_job_record *record,
                          struct jq_job **ret_job)
{
    struct jq_queue *queue = jq_map_find(&core->queues, record->queue);

    JQ_CHECK(queue && record->state == JQ_READY);
    struct jq_job *job = jq_job_of_record(queue, record);
    if (!job)
        return JQ_ENOMEM;
    job->attempt = record->attempt;
    job->crashes = record->crashes;
    job->fence = record->fence;
    job->started_at = record->started_at;
    job->failures = record->failures;
    job->damaged = record->damaged;
    job->restored = record->id < core->start_id && (record->fence >> 32) < core->meta.incarnation;
    job->stored = true;
    const enum jq_err err = prepare(core, job, record);
    if (err != JQ_OK) {
        jq_job_free(job);
        return err;
    }
    job->is_spilled = true;
    jq_lane_of(job)->spill.loaded++;
    jq_job_load(core, job);
    *ret_job = job;
    return JQ_OK;
}

/* For one who needs it in memory, wherever it stands. NULL: it is not among the spilled. It stays
 * until there are too many. */
enum jq_err jq_spill_need(struct jq_core *core, const struct jq_job_record *record,
                          struct jq_job **ret_job)
{
    *ret_job = jq_job_find(core, record->id);
    if (*ret_job || jq_state_is_terminal(record->state) || jq_spill_is_doomed(core, record) ||
        !jq_map_find(&core->queues, record->queue))
        return JQ_OK;
    JQ_TRY(jq_spill_load(core, record, ret_job));
    jq_spill_put(core, jq_lane_of(*ret_job), *ret_job);
    return JQ_OK;
}

/* ---- what follows from an input ---- */

/* It moves to the spilled with the open batch. A page that is being read would not have it; and
 * half of a batch is for those who put, or are waited for. Those move first: as many as are put. */
bool jq_spill_may_move(const struct jq_core *core, const struct jq_job *job)
{
    const bool has_place = !core->batch || core->batch->live < core->conf.batch_jobs_max / 2;

    return job->is_spilled || (has_place && !jq_lane_of(job)->spill.page);
}

/* In the order in which they came, as they become durable and the batch has places for them. */
static void let_leave(struct jq_core *core, struct jq_lane *lane)
{
    for (struct jq_dlink *link; (link = jq_dlist_first(&lane->spill.offered));) {
        struct jq_job *job = JQ_ELEMENT(link, struct jq_job, in_place);
        if (job->op_batch > core->durable)
            return;
        jq_dlist_remove(link);
        if (!jq_spill_may_leave(core, job))
            continue;
        if (!jq_spill_may_move(core, job) || jq_batch_reserve(core, 2) != JQ_OK) {
            jq_dlist_put_before(lane->spill.offered.head.next, link);
            return;
        }
        jq_spill_leave(core, job);
    }
}

void jq_spill_settle(struct jq_core *core)
{
    struct jq_dlink *next;

    for (struct jq_dlink *at = jq_dlist_first(&core->spills); at; at = next) {
        struct jq_lane *lane = JQ_ELEMENT(at, struct jq_lane, spill.in_spills);
        next = jq_dlist_next(&core->spills, at);
        let_leave(core, lane);
        if (lane->spill.is_on && jq_spilled(lane) == 0 &&
            (jq_dlist_empty(&lane->spill.offered) || jq_spill_is_low(core, lane)))
            turn_off(core, lane);
        if (jq_spill_wants_page(core, lane))
            jq_spill_ask_page(core, lane);
        if (jq_dlist_empty(&lane->spill.offered))
            jq_dlist_remove(at);
    }
    jq_spill_make_room(core);
}

/* ---- purges and restarts ---- */

void jq_spill_doom(struct jq_core *core, struct jq_queue *queue)
{
    struct jq_lane *const lanes[JQ_SPILL_LANES] = { &queue->plain, &queue->items };

    for (int i = 0; i < JQ_SPILL_LANES; i++) {
        struct jq_spill *spill = &lanes[i]->spill;
        spill->doomed += spill->rows;
        spill->doomed_loaded += spill->loaded;
        spill->rows = spill->loaded = 0;
        if (spill->is_on)
            turn_off(core, lanes[i]);
    }
}

/* One slice in one batch: others are not to wait for long. */
enum jq_err jq_spill_purge(struct jq_core *core, struct jq_queue *queue, uint64_t slice)
{
    struct jq_lane *lane = queue->plain.spill.doomed ? &queue->plain : &queue->items;
    struct jq_spill *spill = &lane->spill;

    JQ_CHECK(spill->doomed && !spill->doomed_loaded);
    if (core->purge_batch == jq_batch_number(core))
        return JQ_OK;
    JQ_TRY(jq_batch_reserve(core, 2));
    const uint64_t count = spill->doomed < slice ? spill->doomed : slice;
    jq_batch_spilled_purge(core, &(struct jq_spilled_purge){ .queue = queue->id,
                                                             .lane = index_of(lane),
                                                             .before = queue->purge_before,
                                                             .count = count });
    spill->doomed -= count;
    queue->doomed[JQ_READY] -= count;
    queue->by_state[JQ_READY] -= count;
    queue->by_state[JQ_CANCELLED] += count;
    core->count.cancelled += count;
    core->purge_batch = spill->batch = jq_batch_number(core); /* pages are read behind it */
    jq_batch_queue(core, queue);
    return JQ_OK;
}

void jq_spill_restore(struct jq_core *core, struct jq_queue *queue,
                      const struct jq_queue_record *record)
{
    struct jq_lane *const lanes[JQ_SPILL_LANES] = { &queue->plain, &queue->items };

    for (int i = 0; i < JQ_SPILL_LANES; i++) {
        struct jq_spill *spill = &lanes[i]->spill;
        spill->rows = record->spilled[i];
        spill->doomed = record->spilled_doomed[i];
        queue->by_state[JQ_READY] += spill->rows + spill->doomed;
        queue->doomed[JQ_READY] += spill->doomed;
        if (spill->rows)
            jq_spill_turn_on(core, lanes[i]);
    }
}
