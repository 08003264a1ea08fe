/* SPDX-License-Identifier: MIT
 *
 * queue.c - queues: by name, in order, counted. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* With aging, `aging_ms` of waiting are worth one priority: a job is overtaken by one of a lower
 * number only if that was submitted less than aging_ms for each number between them after it. The
 * rank of a job never changes. */
int64_t jq_queue_rank(const struct jq_queue *queue, int32_t priority, jq_ns created_at)
{
    if (queue->aging_ms == 0)
        return priority;
    return (int64_t)priority * (int64_t)queue->aging_ms + created_at / 1000000;
}

/* Heaps compare very often: without aging a job's time is not looked at. */
static inline struct jq_order_key key_of(const struct jq_job *job)
{
    return (struct jq_order_key){
        .rank = job->queue->aging_ms == 0
                    ? job->priority
                    : jq_queue_rank(job->queue, job->priority, job->fixed.created_at),
        .id = job->id,
    };
}

struct jq_order_key jq_queue_key(const struct jq_job *job)
{
    return key_of(job);
}

static const struct jq_job *job_of(const struct jq_heap_node *node)
{
    return JQ_ELEMENT(node, struct jq_job, in_heap);
}

static bool fifo_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    return job_of(a)->id < job_of(b)->id;
}

static bool lifo_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    return job_of(a)->id > job_of(b)->id;
}

static bool priority_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    return jq_order_before(JQ_PRIORITY, key_of(job_of(a)), key_of(job_of(b)));
}

static jq_heap_before_fn *const before[JQ_ORDER_KINDS] = {
    [JQ_FIFO] = fifo_before,
    [JQ_LIFO] = lifo_before,
    [JQ_PRIORITY] = priority_before,
};

jq_heap_before_fn *jq_queue_heap_order(const struct jq_queue *queue)
{
    return before[queue->order];
}

bool jq_queue_before(const struct jq_job *a, const struct jq_job *b)
{
    return jq_order_before(a->queue->order, key_of(a), key_of(b));
}

struct jq_queue *jq_queue_find(const struct jq_core *core, struct jq_view name)
{
    struct jq_queue *queue = jq_map_find(&core->queue_names, jq_name_hash(core, name));

    while (queue && !jq_view_equal(jq_blob_view(queue->name), name))
        queue = queue->same_hash;
    return queue;
}

void jq_queue_free(struct jq_queue *queue)
{
    if (!queue)
        return;
    jq_lane_fini(&queue->plain);
    jq_lane_fini(&queue->items);
    jq_heap_fini(&queue->aside);
    jq_blob_drop(queue->name);
    jq_free(queue);
}

static enum jq_err make(struct jq_core *core, uint32_t id, enum jq_order_kind order,
                        struct jq_view name, struct jq_queue **ret_queue)
{
    const uint64_t hash = jq_name_hash(core, name);
    struct jq_queue *queue = jq_alloc_zero(1, sizeof *queue);

    if (!queue)
        return JQ_ENOMEM;
    queue->name = jq_blob_new(name);
    if (!queue->name || jq_map_reserve(&core->queues, 1) != JQ_OK ||
        jq_map_reserve(&core->queue_names, 1) != JQ_OK) {
        jq_queue_free(queue);
        return JQ_ENOMEM;
    }
    queue->id = id;
    queue->order = order;
    jq_lane_init(&queue->plain, queue);
    jq_lane_init(&queue->items, queue);
    jq_dlist_init(&queue->lanes);
    jq_dlist_init(&queue->getters);
    jq_dlist_init(&queue->rooms);
    jq_heap_init(&queue->aside, before[order]);
    jq_dlist_init(&queue->waiting);
    jq_dlist_init(&queue->joiners);
    queue->same_hash = jq_map_remove(&core->queue_names, hash);
    JQ_CHECK(jq_map_put(&core->queue_names, hash, queue) == JQ_OK);
    JQ_CHECK(jq_map_put(&core->queues, id, queue) == JQ_OK);
    *ret_queue = queue;
    return JQ_OK;
}

enum jq_err jq_queue_get(struct jq_core *core, struct jq_view name, struct jq_queue **ret_queue)
{
    struct jq_queue *queue = jq_queue_find(core, name);

    if (!queue) {
        JQ_TRY(jq_batch_reserve(core, 1));
        JQ_TRY(make(core, core->meta.next_queue, JQ_FIFO, name, &queue));
        core->meta.next_queue++;
        jq_batch_queue(core, queue);
    }
    *ret_queue = queue;
    return JQ_OK;
}

enum jq_err jq_queue_restore(struct jq_core *core, const struct jq_queue_record *r)
{
    struct jq_queue *queue;

    JQ_CHECK(r->order < JQ_ORDER_KINDS && r->id > 0);
    JQ_TRY(make(core, r->id, (enum jq_order_kind)r->order, r->name, &queue));
    queue->maxsize = r->maxsize;
    queue->stored = true;
    /* Live states are counted anew as the jobs are loaded. */
    queue->by_state[JQ_SUCCEEDED] = r->succeeded;
    queue->by_state[JQ_FAILED] = r->failed;
    queue->by_state[JQ_CANCELLED] = r->cancelled;
    queue->by_state[JQ_EXPIRED] = r->expired;
    queue->by_state[JQ_SKIPPED] = r->skipped;
    queue->kept = r->kept;
    queue->kept_bytes = r->kept_bytes;
    queue->sequence = r->sequence;
    queue->purge_before = r->purge_before;
    queue->paused = (r->flags & JQ_QUEUE_STORED_PAUSED) != 0;
    queue->closed = (r->flags & JQ_QUEUE_STORED_CLOSED) != 0;
    queue->durability = (enum jq_durability)r->durability;
    queue->concurrency = r->concurrency;
    queue->attempts_max = r->attempts_max;
    queue->backoff_ms = r->backoff_ms;
    queue->backoff_max_ms = r->backoff_max_ms;
    queue->keep_ms = r->keep_ms;
    queue->keep_bytes = r->keep_bytes;
    queue->keep_count = r->keep_count;
    queue->aging_ms = r->aging_ms;
    core->loose |= queue->durability != JQ_DURABILITY_FULL;
    jq_spill_restore(core, queue, r);
    return JQ_OK;
}

void jq_queue_turn(struct jq_core *core, struct jq_queue *queue)
{
    jq_lane_turn(core, &queue->plain);
    jq_lane_turn(core, &queue->items);
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&queue->lanes, at));)
        jq_lane_turn(core, JQ_ELEMENT(at, struct jq_lane, in_queue));
}

/* Lanes with needs are those of jobs: there are none. */
void jq_queue_set_order(struct jq_queue *queue, enum jq_order_kind order)
{
    if (order == queue->order)
        return;
    JQ_CHECK(jq_queue_unfinished(queue) + jq_queue_doomed(queue) == 0);
    queue->order = order;
    queue->plain.sorted.before = queue->items.sorted.before = queue->aside.before = before[order];
    queue->plain.spill.beyond.before = queue->items.spill.beyond.before = before[order];
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&queue->lanes, at));)
        JQ_ELEMENT(at, struct jq_lane, in_queue)->sorted.before = before[order];
}

void jq_queue_set_aging(struct jq_core *core, struct jq_queue *queue, uint64_t aging_ms)
{
    if (aging_ms == queue->aging_ms)
        return;
    JQ_CHECK(jq_spilled_of(queue) == 0); /* those have their places in the store */
    queue->aging_ms = aging_ms;
    jq_heap_rebuild(&queue->plain.sorted);
    jq_heap_rebuild(&queue->items.sorted);
    jq_heap_rebuild(&queue->aside);
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&queue->lanes, at));)
        jq_heap_rebuild(&JQ_ELEMENT(at, struct jq_lane, in_queue)->sorted);
    jq_limit_reorder(core, queue);
}

uint64_t jq_queue_unfinished(const struct jq_queue *queue)
{
    return jq_queue_waiting(queue) + queue->by_state[JQ_RUNNING];
}

uint64_t jq_queue_waiting(const struct jq_queue *queue)
{
    return queue->by_state[JQ_BLOCKED] + queue->by_state[JQ_DELAYED] + queue->by_state[JQ_READY] -
           jq_queue_doomed(queue);
}

uint64_t jq_queue_doomed(const struct jq_queue *queue)
{
    return queue->doomed[JQ_BLOCKED] + queue->doomed[JQ_DELAYED] + queue->doomed[JQ_READY];
}

void jq_queue_forget(struct jq_core *core, struct jq_queue *queue)
{
    const uint64_t hash = jq_name_hash(core, jq_blob_view(queue->name));
    struct jq_queue *first = jq_map_remove(&core->queue_names, hash), **at = &first;

    while (*at != queue)
        at = &(*at)->same_hash;
    *at = queue->same_hash;
    if (first)
        JQ_CHECK(jq_map_put(&core->queue_names, hash, first) == JQ_OK);
    jq_map_remove(&core->queues, queue->id);
    jq_dlist_remove(&queue->in_uneven);
    jq_dlist_remove(&queue->plain.spill.in_spills);
    jq_dlist_remove(&queue->items.spill.in_spills);
    jq_queue_free(queue);
}
