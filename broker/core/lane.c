/* SPDX-License-Identifier: MIT
 *
 * lane.c - the ready jobs of a queue, by who may take them: any worker, workers with certain tags,
 * clients. Lanes wait for their turn; one that no idle worker serves waits aside, so that it costs
 * and blocks nobody. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

void jq_lane_init(struct jq_lane *lane, struct jq_queue *queue)
{
    *lane = (struct jq_lane){ .queue = queue };
    jq_dlist_init(&lane->fresh);
    jq_dlist_init(&lane->spill.offered);
    jq_heap_init(&lane->spill.beyond, jq_queue_heap_order(queue));
    jq_heap_init(&lane->sorted, jq_queue_heap_order(queue));
}

void jq_lane_fini(struct jq_lane *lane)
{
    jq_heap_fini(&lane->sorted);
    jq_heap_fini(&lane->spill.beyond);
    jq_blob_drop(lane->needs);
}

/* ---- by needs ---- */

static bool name_before(struct jq_view a, struct jq_view b)
{
    const int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

    return order ? order < 0 : a.size < b.size;
}

static void insert(struct jq_view *names, uint32_t count, struct jq_view name)
{
    for (; count > 0 && name_before(name, names[count - 1]); count--)
        names[count] = names[count - 1];
    names[count] = name;
}

/* Each tag once, sorted: the same tags are the same bytes. */
static enum jq_err canonical(struct jq_records needs, struct jq_buf *ret, uint32_t *ret_count)
{
    struct jq_view names[JQ_TAGS_MAX];
    struct jq_word word;
    uint32_t count = 0;

    for (struct jq_reader r = jq_records_reader(needs);
         count < JQ_TAGS_MAX && jq_word_next(&r, &word);)
        insert(names, count++, word.name);
    *ret_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && jq_view_equal(names[i], names[i - 1]))
            continue;
        jq_word_write(ret, &(struct jq_word){ .name = names[i] });
        ++*ret_count;
    }
    return jq_buf_ok(ret) ? JQ_OK : JQ_ENOMEM;
}

static void lane_free(struct jq_lane *lane)
{
    jq_dlist_remove(&lane->in_queue);
    jq_dlist_remove(&lane->in_turn);
    jq_lane_fini(lane);
    jq_free(lane);
}

static enum jq_err lane_get(struct jq_queue *queue, struct jq_records needs,
                            struct jq_lane **ret_lane)
{
    struct jq_buf bytes = { 0 };
    uint32_t count;
    struct jq_lane *lane = NULL;
    enum jq_err err = canonical(needs, &bytes, &count);

    for (struct jq_dlink *at = NULL;
         err == JQ_OK && !lane && (at = jq_dlist_next(&queue->lanes, at));) {
        struct jq_lane *candidate = JQ_ELEMENT(at, struct jq_lane, in_queue);
        if (jq_view_equal(jq_blob_view(candidate->needs), jq_buf_view(&bytes)))
            lane = candidate;
    }
    if (err == JQ_OK && !lane) {
        lane = jq_alloc_zero(1, sizeof *lane);
        struct jq_blob *blob = lane ? jq_blob_new(jq_buf_view(&bytes)) : NULL;
        if (!blob) {
            jq_free(lane);
            lane = NULL;
            err = JQ_ENOMEM;
        } else {
            jq_lane_init(lane, queue);
            lane->needs = blob;
            lane->needs_count = count;
            jq_dlist_append(&queue->lanes, &lane->in_queue);
        }
    }
    jq_buf_fini(&bytes);
    *ret_lane = lane;
    return err;
}

/* In a lane with needs there is room for every job that may come into it. */
enum jq_err jq_lane_prepare(struct jq_job *job)
{
    struct jq_lane *lane;

    if (!job->extra || job->extra->options->needs.count == 0 || job->is_item)
        return JQ_OK;
    JQ_TRY(lane_get(job->queue, job->extra->options->needs, &lane));
    if (jq_heap_reserve(&lane->sorted, lane->references + 1 - lane->sorted.count) != JQ_OK) {
        if (lane->references == 0)
            lane_free(lane);
        return JQ_ENOMEM;
    }
    lane->references++;
    job->extra->lane = lane;
    return JQ_OK;
}

void jq_lane_unuse(struct jq_job *job)
{
    struct jq_lane *lane = job->extra->lane;

    job->extra->lane = NULL;
    if (lane && --lane->references == 0)
        lane_free(lane);
}

bool jq_lane_fits(const struct jq_lane *lane, const struct jq_worker *worker)
{
    const struct jq_records needs = { .count = lane->needs_count,
                                      .bytes = jq_blob_view(lane->needs) };
    return jq_worker_has_tags(worker, needs);
}

/* ---- jobs ---- */

struct jq_lane *jq_lane_of(const struct jq_job *job)
{
    if (job->is_item)
        return &job->queue->items;
    return job->extra && job->extra->lane ? job->extra->lane : &job->queue->plain;
}

void jq_lane_put(struct jq_core *core, struct jq_job *job, bool fresh)
{
    struct jq_lane *lane = jq_lane_of(job);

    if (jq_spill_is_behind(lane, job)) {
        jq_spill_put(core, lane, job);
        return;
    }
    job->in_sorted = !fresh || job->queue->order == JQ_PRIORITY;
    if (job->in_sorted)
        JQ_CHECK(jq_heap_put(&lane->sorted, &job->in_heap) == JQ_OK);
    else
        jq_dlist_append(&lane->fresh, &job->in_place);
    lane->count++;
    lane->bytes += jq_job_bytes(job);
    jq_lane_turn(core, lane);
    if (lane->spill.is_on && lane->count == 1)
        jq_queue_turn(core, job->queue);
}

/* It comes behind all that are ready in memory. */
void jq_lane_put_page(struct jq_job *job)
{
    struct jq_lane *lane = jq_lane_of(job);

    job->in_sorted = job->queue->order == JQ_PRIORITY;
    if (job->in_sorted)
        JQ_CHECK(jq_heap_put(&lane->sorted, &job->in_heap) == JQ_OK);
    else if (job->queue->order == JQ_LIFO)
        jq_dlist_put_before(lane->fresh.head.next, &job->in_place);
    else
        jq_dlist_append(&lane->fresh, &job->in_place);
    lane->count++;
    lane->bytes += jq_job_bytes(job);
}

void jq_lane_remove(struct jq_core *core, struct jq_job *job)
{
    struct jq_lane *lane = jq_lane_of(job);

    if (job->is_beyond) {
        jq_spill_remove(job);
        jq_spill_look(core, lane);
        return;
    }
    if (job->in_sorted)
        jq_heap_remove(&lane->sorted, &job->in_heap);
    else
        jq_dlist_remove(&job->in_place);
    job->in_sorted = false;
    lane->count--;
    lane->bytes -= jq_job_bytes(job);
    jq_lane_turn(core, lane);
    if (!lane->spill.is_on)
        return;
    jq_spill_look(core, lane);
    if (lane->count == 0)
        jq_queue_turn(core, job->queue);
}

struct jq_job *jq_lane_first(const struct jq_lane *lane)
{
    const bool newest_first = lane->queue->order == JQ_LIFO;
    struct jq_heap_node *node = jq_heap_first(&lane->sorted);
    struct jq_dlink *link =
        newest_first ? jq_dlist_last(&lane->fresh) : jq_dlist_first(&lane->fresh);
    struct jq_job *returned = node ? JQ_ELEMENT(node, struct jq_job, in_heap) : NULL;
    struct jq_job *fresh = link ? JQ_ELEMENT(link, struct jq_job, in_place) : NULL;

    if (!returned || !fresh)
        return returned ? returned : fresh;
    return jq_queue_before(returned, fresh) ? returned : fresh;
}

/* ---- turns ---- */

bool jq_lane_is_open(const struct jq_lane *lane)
{
    const struct jq_queue *queue = lane->queue;

    /* The order of a queue is that of all its jobs, whatever tags they need. */
    if (lane->needs && jq_spill_starves(&queue->plain))
        return false;
    return lane->count > 0 && !queue->paused && !jq_purge_gates(queue) &&
           (queue->concurrency == 0 || queue->by_state[JQ_RUNNING] < queue->concurrency);
}

bool jq_lane_may_run(const struct jq_lane *lane)
{
    const struct jq_queue *queue = lane->queue;

    return jq_lane_is_open(lane) && (lane != &queue->items || !jq_dlist_empty(&queue->getters));
}

void jq_lane_turn(struct jq_core *core, struct jq_lane *lane)
{
    const bool may_run = jq_lane_may_run(lane);
    const bool items = lane == &lane->queue->items;

    if (may_run && !jq_dlink_used(&lane->in_turn))
        jq_dlist_append(items ? &core->items_ready : &core->ready, &lane->in_turn);
    else if (!may_run)
        jq_dlist_remove(&lane->in_turn);
}

void jq_lane_stick(struct jq_core *core, struct jq_lane *lane)
{
    jq_dlist_remove(&lane->in_turn);
    jq_dlist_append(&core->stuck, &lane->in_turn);
    core->stuck_changes++;
}

void jq_lanes_served(struct jq_core *core, struct jq_worker *worker)
{
    struct jq_dlink *next;

    if (worker->stuck_seen == core->stuck_changes)
        return;
    worker->stuck_seen = core->stuck_changes;
    for (struct jq_dlink *at = jq_dlist_first(&core->stuck); at; at = next) {
        struct jq_lane *lane = JQ_ELEMENT(at, struct jq_lane, in_turn);
        next = jq_dlist_next(&core->stuck, at);
        if (!jq_lane_fits(lane, worker))
            continue;
        jq_dlist_remove(&lane->in_turn);
        jq_dlist_append(&core->ready, &lane->in_turn);
    }
}

struct jq_job *jq_lanes_best(const struct jq_queue *queue, const struct jq_worker *worker)
{
    struct jq_job *best = jq_lane_first(&queue->plain);

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&queue->lanes, at));) {
        const struct jq_lane *lane = JQ_ELEMENT(at, struct jq_lane, in_queue);
        struct jq_job *job = jq_lane_first(lane);
        if (job && (!best || jq_queue_before(job, best)) && jq_lane_fits(lane, worker))
            best = job;
    }
    return best;
}
