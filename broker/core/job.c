/* SPDX-License-Identifier: MIT
 *
 * job.c - jobs: their bytes, the table of arrows (STATES.md), and the one function that moves them.
 */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* ---- one job ---- */

struct jq_job *jq_job_new(struct jq_queue *queue, const struct jq_job_seed *seed)
{
    const struct jq_view parts[] = { seed->payload, seed->handler, seed->title, seed->key,
                                     seed->options };
    size_t size = 0;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        size += parts[i].size;
    struct jq_job *job = jq_alloc(sizeof *job + size);
    if (!job)
        return NULL;
    memset(job, 0, sizeof *job);
    uint8_t *at = (uint8_t *)(job + 1);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].size)
            memcpy(at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }
    job->id = seed->id;
    job->queue = queue;
    job->state = JQ_READY;
    job->priority = seed->priority;
    job->flags = (uint8_t)seed->flags;
    job->fixed.references = 1;
    job->fixed.owner = seed->owner;
    job->fixed.created_at = seed->created_at;
    job->fixed.payload_size = (uint32_t)seed->payload.size;
    job->fixed.handler_size = (uint16_t)seed->handler.size;
    job->fixed.title_size = (uint16_t)seed->title.size;
    job->fixed.key_size = (uint16_t)seed->key.size;
    job->fixed.options_size = (uint32_t)seed->options.size;
    job->is_item = jq_view_equal(seed->handler, jq_view_str(JQ_HANDLER_ITEM));
    jq_dlist_init(&job->waits);
    return job;
}

struct jq_job *jq_job_of_record(struct jq_queue *queue, const struct jq_job_record *record)
{
    const struct jq_job_seed seed = {
        .id = record->id,
        .owner = record->owner,
        .flags = record->flags & JQ_JOB_FLAGS,
        .priority = record->priority,
        .created_at = record->created_at,
        .handler = record->handler,
        .title = record->title,
        .key = record->key,
        .options = record->options,
        .payload = record->payload,
    };

    return jq_job_new(queue, &seed);
}

void jq_job_free(struct jq_job *job)
{
    if (!job)
        return;
    jq_extra_free(job);
    jq_blob_drop(job->ran_on);
    jq_blob_drop(jq_job_result_bytes(job));
    jq_free(job->result);
    jq_job_fixed_drop(&job->fixed);
}

void jq_job_fixed_drop(struct jq_job_fixed *fixed)
{
    if (--fixed->references == 0)
        jq_free(JQ_ELEMENT(fixed, struct jq_job, fixed));
}

size_t jq_job_bytes(const struct jq_job *job)
{
    const struct jq_job_fixed *fixed = &job->fixed;

    return (size_t)fixed->payload_size + fixed->handler_size + fixed->title_size + fixed->key_size +
           fixed->options_size;
}

struct jq_view jq_job_payload(const struct jq_job *job)
{
    return jq_view(jq_job_fixed_bytes(&job->fixed), job->fixed.payload_size);
}

struct jq_view jq_job_handler(const struct jq_job *job)
{
    return jq_view(jq_job_fixed_bytes(&job->fixed) + job->fixed.payload_size,
                   job->fixed.handler_size);
}

struct jq_view jq_job_title(const struct jq_job *job)
{
    return jq_view(jq_job_fixed_bytes(&job->fixed) + job->fixed.payload_size +
                       job->fixed.handler_size,
                   job->fixed.title_size);
}

struct jq_view jq_job_key(const struct jq_job *job)
{
    return jq_view(jq_job_fixed_bytes(&job->fixed) + job->fixed.payload_size +
                       job->fixed.handler_size + job->fixed.title_size,
                   job->fixed.key_size);
}

struct jq_view jq_job_options(const struct jq_job *job)
{
    const size_t size = job->fixed.options_size;

    return jq_view(jq_job_fixed_bytes(&job->fixed) + jq_job_bytes(job) - size, size);
}

uint64_t jq_job_stored_flags(const struct jq_job *job)
{
    const uint64_t spared_of = jq_job_spared_of(job);

    return job->flags | (job->cancel_asked ? JQ_JOB_STORED_CANCEL : 0) |
           (job->quarantined ? JQ_JOB_STORED_QUARANTINED : 0) |
           (job->retried ? JQ_JOB_STORED_RETRIED : 0) |
           (job->after_retried ? JQ_JOB_STORED_AFTER_RETRIED : 0) |
           (spared_of && spared_of == job->queue->purge_before ? JQ_JOB_STORED_SPARED : 0);
}

uint64_t jq_job_stored_session(const struct jq_job *job)
{
    return job->worker ? job->worker->session /* by receipt: 0 */ : jq_job_spared_of(job);
}

void jq_job_record(const struct jq_job *job, struct jq_job_record *ret)
{
    *ret = (struct jq_job_record){
        .id = job->id,
        .queue = job->queue->id,
        .state = job->state,
        .priority = job->priority,
        .flags = jq_job_stored_flags(job),
        .attempt = job->attempt,
        .crashes = job->crashes,
        .fence = job->fence,
        .session = jq_job_stored_session(job),
        .owner = job->fixed.owner,
        .created_at = job->fixed.created_at,
        .started_at = job->started_at,
        .due_at = jq_job_due_at(job),
        .failures = job->failures,
        .handler = jq_job_handler(job),
        .title = jq_job_title(job),
        .key = jq_job_key(job),
        .payload = jq_job_payload(job),
        .options = jq_job_options(job),
        .worker = jq_blob_view(job->ran_on),
        .history = jq_blob_view(jq_job_history(job)),
    };
}

struct jq_job *jq_job_find(const struct jq_core *core, uint64_t id)
{
    return jq_idmap_find(&core->jobs, id);
}

/* ---- keys ---- */

struct jq_job *jq_job_find_key(const struct jq_core *core, struct jq_view key)
{
    struct jq_job *job = jq_map_find(&core->keys, jq_name_hash(core, key));

    while (job && !jq_view_equal(jq_job_key(job), key))
        job = job->same_hash;
    return job;
}

bool jq_job_key_add(struct jq_core *core, struct jq_job *job)
{
    if (!job->fixed.key_size)
        return true;
    if (jq_map_reserve(&core->keys, 1) != JQ_OK)
        return false;
    const uint64_t hash = jq_name_hash(core, jq_job_key(job));
    job->same_hash = jq_map_remove(&core->keys, hash);
    JQ_CHECK(jq_map_put(&core->keys, hash, job) == JQ_OK);
    return true;
}

static void key_remove(struct jq_core *core, struct jq_job *job)
{
    if (!job->fixed.key_size)
        return;
    const uint64_t hash = jq_name_hash(core, jq_job_key(job));
    struct jq_job *first = jq_map_remove(&core->keys, hash);
    struct jq_job **at = &first;
    while (*at && *at != job)
        at = &(*at)->same_hash;
    if (*at)
        *at = job->same_hash;
    if (first)
        JQ_CHECK(jq_map_put(&core->keys, hash, first) == JQ_OK);
}

/* ---- moving ---- */

#define TO(state) (1u << (state))
#define ANY_END \
    (TO(JQ_SUCCEEDED) | TO(JQ_FAILED) | TO(JQ_CANCELLED) | TO(JQ_EXPIRED) | TO(JQ_SKIPPED))

/* Where each state may go. Terminal states go nowhere. */
static const unsigned arrows[JQ_JOB_STATES] = {
    [JQ_BLOCKED] =
        TO(JQ_DELAYED) | TO(JQ_READY) | TO(JQ_CANCELLED) | TO(JQ_SKIPPED) | TO(JQ_EXPIRED),
    [JQ_DELAYED] = TO(JQ_READY) | TO(JQ_BLOCKED) | TO(JQ_CANCELLED) | TO(JQ_EXPIRED),
    [JQ_READY] =
        TO(JQ_RUNNING) | TO(JQ_BLOCKED) | TO(JQ_FAILED) | TO(JQ_CANCELLED) | TO(JQ_EXPIRED),
    [JQ_RUNNING] = TO(JQ_READY) | TO(JQ_DELAYED) | TO(JQ_BLOCKED) | ANY_END,
};

enum jq_err jq_job_reserve(struct jq_core *core, struct jq_job *job)
{
    if (job->queue->purge_before)
        JQ_TRY(jq_extra_need(job)); /* the purge may have to spare it */
    return jq_jobs_reserve(core, &job, 1);
}

/* Lanes with needs have room for their jobs: lane.c. */
enum jq_err jq_jobs_reserve(struct jq_core *core, struct jq_job *const *jobs, size_t count)
{
    struct jq_queue *queue = jobs[0]->queue;
    size_t items = 0;

    for (size_t i = 0; i < count; i++)
        items += jobs[i]->is_item;
    JQ_TRY(jq_batch_reserve(core, count + 1));
    JQ_TRY(jq_spill_reserve(&queue->plain, count - items));
    JQ_TRY(jq_spill_reserve(&queue->items, items));
    JQ_TRY(jq_heap_reserve(&core->timers, count));
    return jq_idmap_reserve(&core->jobs, count);
}

static void leave(struct jq_core *core, struct jq_job *job)
{
    job->queue->by_state[job->state]--;
    if (job->queue->purge_before) {
        job->queue->doomed[job->state] -= jq_purge_dooms(job);
        if (job->state == JQ_RUNNING)
            jq_purge_spare(job);
        if (!jq_purge_gates(job->queue))
            jq_queue_turn(core, job->queue);
    }
    jq_extra_leaves(core, job);
    if (job->state == JQ_READY) {
        jq_lane_remove(core, job);
    } else if (job->state == JQ_RUNNING) {
        struct jq_worker *worker = job->worker;
        jq_dlist_remove(&job->in_place);
        worker->busy--;
        job->worker = NULL;
        jq_worker_idle(core, worker); /* it may have had as many as it can hold */
        if (job->queue->concurrency)
            jq_queue_turn(core, job->queue);
    } else {
        jq_dlist_remove(&job->in_place);
        if (job->hold == JQ_HOLD_FULL)
            jq_heap_remove(&job->queue->aside, &job->in_heap);
        job->hold = JQ_HOLD_NONE;
    }
}

static void enter(struct jq_core *core, struct jq_job *job, bool fresh)
{
    job->queue->by_state[job->state]++;
    if (job->queue->purge_before)
        job->queue->doomed[job->state] += jq_purge_dooms(job);
    if (job->state == JQ_READY) {
        jq_lane_put(core, job, fresh);
        job->queue->excess += !fresh && job->queue->maxsize > 0 && !jq_purge_dooms(job);
    } else if (job->state == JQ_RUNNING) {
        jq_dlist_append(&job->worker->jobs, &job->in_place);
        job->worker->busy++;
        if (job->queue->concurrency)
            jq_queue_turn(core, job->queue);
        job->fence_done = false;
    } else if (jq_state_is_terminal(job->state)) {
        if (job->extra)
            jq_dlist_remove(&job->extra->in_tied);
        job->end_batch = jq_job_promise(core, job);
        if (job->end_batch == JQ_AT_ONCE)
            jq_dlist_put_before(core->ended.head.next, &job->in_place);
        else
            jq_dlist_append(&core->ended, &job->in_place);
    } else {
        jq_dlist_append(&job->queue->waiting, &job->in_place);
        if (job->hold == JQ_HOLD_FULL)
            JQ_CHECK(jq_heap_put(&job->queue->aside, &job->in_heap) == JQ_OK);
    }
    if (job->queue->maxsize)
        jq_room_note(core, job->queue);
    jq_timer_update(core, job);
    jq_extra_entered(core, job);
}

void jq_job_load(struct jq_core *core, struct jq_job *job)
{
    JQ_CHECK(jq_idmap_put(&core->jobs, job->id, job) == JQ_OK);
    core->job_bytes += jq_job_bytes(job);
}

void jq_job_unload(struct jq_core *core, struct jq_job *job)
{
    jq_idmap_remove(&core->jobs, job->id);
    core->job_bytes -= jq_job_bytes(job);
    key_remove(core, job);
    jq_job_free(job);
}

void jq_job_place(struct jq_core *core, struct jq_job *job)
{
    jq_job_load(core, job);
    enter(core, job, true);
}

void jq_job_add(struct jq_core *core, struct jq_job *job)
{
    job->queue->sequence = job->id;
    jq_job_place(core, job);
    jq_job_store(core, job);
    jq_watch_moved(core, job);
}

void jq_job_revive(struct jq_core *core, struct jq_job *job)
{
    jq_job_load(core, job);
    jq_purge_spare(job);
    enter(core, job, false);
    jq_job_store(core, job);
    jq_watch_moved(core, job);
}

uint64_t jq_job_promise(const struct jq_core *core, const struct jq_job *job)
{
    return jq_job_is_volatile(job) ? JQ_AT_ONCE : jq_batch_number(core);
}

void jq_job_store(struct jq_core *core, struct jq_job *job)
{
    if (jq_job_is_volatile(job))
        return;
    jq_batch_job(core, job);
    jq_batch_queue(core, job->queue);
}

/* It has just moved. */
static void store_moved(struct jq_core *core, struct jq_job *job)
{
    if (jq_job_is_volatile(job))
        return;
    if (job->state == JQ_SUCCEEDED && (job->flags & JQ_JOB_DISCARD)) {
        jq_batch_job_delete(core, job);
    } else {
        if (jq_state_is_terminal(job->state))
            jq_kept_ended(core, job);
        jq_batch_job(core, job);
    }
    jq_batch_queue(core, job->queue);
}

static void count_end(struct jq_core *core, enum jq_job_state state)
{
    core->count.succeeded += state == JQ_SUCCEEDED;
    core->count.failed += state == JQ_FAILED;
    core->count.cancelled += state == JQ_CANCELLED;
}

void jq_job_move(struct jq_core *core, struct jq_job *job, enum jq_job_state to)
{
    struct jq_worker *holder = job->worker; /* RUNNING: set by the caller before it enters */
    const bool to_running = to == JQ_RUNNING;

    JQ_CHECK(arrows[job->state] & TO(to));
    if (to_running)
        JQ_CHECK(holder != NULL);
    const enum jq_hold hold = to == JQ_BLOCKED ? job->hold : JQ_HOLD_NONE; /* the caller's */
    leave(core, job);
    job->hold = hold;
    job->state = to;
    if (to_running)
        job->worker = holder;
    enter(core, job, false);
    store_moved(core, job);
    jq_watch_moved(core, job);
    if (job->extra)
        jq_log_job_moved(core, job);
    if (job->queue->closed)
        jq_getters_end(core, job->queue);
    if (jq_state_is_terminal(to)) {
        count_end(core, to);
        jq_wait_ended(core, job);
        jq_join_release(core, job->queue);
    } else if (!jq_dlist_empty(&job->waits)) {
        jq_wait_moved(core, job);
    }
}

enum jq_err jq_job_end(struct jq_core *core, struct jq_job *job, enum jq_job_state state,
                       const char *reason)
{
    if (state != JQ_CANCELLED && jq_purge_dooms(job)) { /* it has been told and counted so */
        state = JQ_CANCELLED;
        reason = "its queue was purged";
    }
    JQ_TRY(jq_batch_reserve(core, 2));
    struct jq_ending *ending = jq_alloc_zero(1, sizeof *ending);
    struct jq_blob *bytes = reason[0] ? jq_blob_new(jq_view_str(reason)) : NULL;
    if (!ending || (reason[0] && !bytes)) {
        jq_free(ending);
        jq_blob_drop(bytes);
        return JQ_ENOMEM;
    }
    ending->record.ended_at = core->now.wall;
    ending->record.reason = jq_blob_view(bytes);
    ending->bytes = bytes;
    job->result = &ending->record;
    jq_job_move(core, job, state);
    return JQ_OK;
}

void jq_job_forget_durable(struct jq_core *core)
{
    for (struct jq_dlink *link; (link = jq_dlist_first(&core->ended));) {
        struct jq_job *job = JQ_ELEMENT(link, struct jq_job, in_place);
        if (job->end_batch > core->durable ||
            (job->extra && jq_dlink_used(&job->extra->in_resolving)))
            return;
        JQ_CHECK(jq_dlist_empty(&job->waits));
        JQ_CHECK(!job->extra || jq_dlist_empty(&job->extra->readers));
        jq_dlist_remove(&job->in_place);
        jq_job_unload(core, job);
    }
}
