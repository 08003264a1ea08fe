/* SPDX-License-Identifier: MIT
 *
 * queue.c - queues: by name, in order, counted. */
#include <string.h>

#include "broker/core/state.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

static struct jq_order_key key_of(const struct jq_heap_node *node)
{
    const struct jq_job *job = JQ_ELEMENT(node, struct jq_job, in_heap);
    return (struct jq_order_key){ .priority = job->priority, .id = job->id };
}

static bool fifo_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    return jq_order_before(JQ_FIFO, key_of(a), key_of(b));
}

static bool lifo_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    return jq_order_before(JQ_LIFO, key_of(a), key_of(b));
}

static bool priority_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    return jq_order_before(JQ_PRIORITY, key_of(a), key_of(b));
}

static jq_heap_before_fn *const before[JQ_ORDER_KINDS] = {
    [JQ_FIFO] = fifo_before,
    [JQ_LIFO] = lifo_before,
    [JQ_PRIORITY] = priority_before,
};

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
    jq_heap_fini(&queue->sorted);
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
    jq_dlist_init(&queue->fresh);
    jq_dlist_init(&queue->waiting);
    jq_dlist_init(&queue->joiners);
    jq_heap_init(&queue->sorted, before[order]);
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
    return JQ_OK;
}

void jq_queue_put(struct jq_core *core, struct jq_queue *queue, struct jq_job *job, bool fresh)
{
    job->in_sorted = !fresh || queue->order == JQ_PRIORITY;
    if (job->in_sorted)
        JQ_CHECK(jq_heap_put(&queue->sorted, &job->in_heap) == JQ_OK);
    else
        jq_dlist_append(&queue->fresh, &job->in_place);
    jq_queue_turn(core, queue);
}

void jq_queue_remove(struct jq_core *core, struct jq_queue *queue, struct jq_job *job)
{
    if (job->in_sorted)
        jq_heap_remove(&queue->sorted, &job->in_heap);
    else
        jq_dlist_remove(&job->in_place);
    job->in_sorted = false;
    jq_queue_turn(core, queue);
}

bool jq_queue_may_run(const struct jq_queue *queue)
{
    return (!jq_dlist_empty(&queue->fresh) || queue->sorted.count > 0) && !queue->paused &&
           (queue->concurrency == 0 || queue->by_state[JQ_RUNNING] < queue->concurrency);
}

void jq_queue_turn(struct jq_core *core, struct jq_queue *queue)
{
    const bool may_run = jq_queue_may_run(queue);

    if (may_run && !jq_dlink_used(&queue->in_ready))
        jq_dlist_append(&core->ready, &queue->in_ready);
    else if (!may_run)
        jq_dlist_remove(&queue->in_ready);
}

void jq_queue_set_order(struct jq_queue *queue, enum jq_order_kind order)
{
    if (order == queue->order)
        return;
    JQ_CHECK(jq_queue_unfinished(queue) == 0);
    queue->order = order;
    jq_heap_fini(&queue->sorted);
    jq_heap_init(&queue->sorted, before[order]);
}

struct jq_job *jq_queue_first(const struct jq_queue *queue)
{
    struct jq_heap_node *node = jq_heap_first(&queue->sorted);
    struct jq_dlink *link =
        queue->order == JQ_LIFO ? jq_dlist_last(&queue->fresh) : jq_dlist_first(&queue->fresh);
    struct jq_job *returned = node ? JQ_ELEMENT(node, struct jq_job, in_heap) : NULL;
    struct jq_job *fresh = link ? JQ_ELEMENT(link, struct jq_job, in_place) : NULL;

    if (!returned || !fresh)
        return returned ? returned : fresh;
    return jq_order_before(queue->order, (struct jq_order_key){ returned->priority, returned->id },
                           (struct jq_order_key){ fresh->priority, fresh->id })
               ? returned
               : fresh;
}

uint64_t jq_queue_unfinished(const struct jq_queue *queue)
{
    return queue->by_state[JQ_BLOCKED] + queue->by_state[JQ_DELAYED] + queue->by_state[JQ_READY] +
           queue->by_state[JQ_RUNNING];
}
