/* SPDX-License-Identifier: MIT
 *
 * retention.c - what is kept of jobs that have ended: counted by queue, and looked through now and
 * then, the oldest ids first, a slice at a time. What is too old, or too much, is deleted. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* ---- counting ---- */

void jq_kept_ended(struct jq_core *core, struct jq_job *job)
{
    const struct jq_blob *bytes = jq_job_result_bytes(job);
    struct jq_queue *queue = job->queue;

    job->result->kept_bytes =
        (uint64_t)JQ_KEPT_ROW_BYTES + jq_job_bytes(job) + (bytes ? bytes->size : 0);
    queue->kept++;
    queue->kept_bytes += job->result->kept_bytes;
    if (core->sweep_at == JQ_NEVER && !core->sweeping)
        core->sweep_at = jq_ms_add(core->now.mono, core->conf.sweep_ms);
}

/* Rows of an older store were never counted. */
void jq_kept_less(struct jq_queue *queue, uint64_t bytes)
{
    queue->kept -= queue->kept > 0;
    queue->kept_bytes -= bytes < queue->kept_bytes ? bytes : queue->kept_bytes;
}

/* ---- deleting ---- */

struct jq_deletion {
    uint64_t id;
    uint64_t batch;
    struct jq_dlink link;
};

bool jq_row_deleting(const struct jq_core *core, uint64_t id)
{
    return jq_map_find(&core->deleting, id) != NULL;
}

enum jq_err jq_row_delete(struct jq_core *core, const struct jq_loaded_job *row)
{
    struct jq_queue *queue = jq_map_find(&core->queues, row->job.queue);

    JQ_TRY(jq_batch_reserve(core, 2));
    JQ_TRY(jq_map_reserve(&core->deleting, 1));
    struct jq_deletion *deletion = jq_alloc_zero(1, sizeof *deletion);
    if (!deletion)
        return JQ_ENOMEM;
    deletion->id = row->job.id;
    deletion->batch = jq_batch_number(core);
    JQ_CHECK(jq_map_put(&core->deleting, deletion->id, deletion) == JQ_OK);
    jq_dlist_append(&core->deletions, &deletion->link);
    jq_batch_row_delete(core, row->job.id, row->job.queue);
    if (queue) {
        jq_kept_less(queue, row->has_result ? row->result.kept_bytes : 0);
        jq_batch_queue(core, queue);
    }
    return JQ_OK;
}

static void forget(struct jq_core *core, struct jq_deletion *deletion)
{
    jq_map_remove(&core->deleting, deletion->id);
    jq_dlist_remove(&deletion->link);
    jq_free(deletion);
}

void jq_rows_forget(struct jq_core *core)
{
    for (struct jq_dlink *link; (link = jq_dlist_first(&core->deletions));) {
        struct jq_deletion *deletion = JQ_ELEMENT(link, struct jq_deletion, link);
        if (deletion->batch > core->durable)
            return;
        forget(core, deletion);
    }
}

void jq_rows_free(struct jq_core *core)
{
    for (struct jq_dlink *link; (link = jq_dlist_first(&core->deletions));)
        forget(core, JQ_ELEMENT(link, struct jq_deletion, link));
    jq_map_fini(&core->deleting);
}

/* ---- how long ---- */

static uint64_t keep_ms(const struct jq_core *core, const struct jq_queue *queue,
                        enum jq_job_state state)
{
    if (queue->keep_ms)
        return queue->keep_ms;
    return state == JQ_FAILED ? core->conf.keep_failed_ms : core->conf.keep_ms;
}

static bool is_over(const struct jq_core *core, const struct jq_queue *queue)
{
    const uint64_t count = queue->keep_count ? queue->keep_count : core->conf.keep_count;
    const uint64_t bytes = queue->keep_bytes ? queue->keep_bytes : core->conf.keep_bytes;

    return queue->kept > count || queue->kept_bytes > bytes;
}

static bool is_older(const struct jq_core *core, jq_ns at, uint64_t ms)
{
    return at < core->now.wall && (uint64_t)(core->now.wall - at) / 1000000 >= ms;
}

static bool is_old(const struct jq_core *core, const struct jq_queue *queue,
                   const struct jq_loaded_job *row)
{
    const jq_ns ended_at = row->has_result ? row->result.ended_at : row->job.created_at;
    return is_older(core, ended_at, keep_ms(core, queue, row->job.state));
}

/* No job that was submitted then can be old: nor can those behind it, which came later. */
static bool is_young(const struct jq_core *core, const struct jq_queue *queue,
                     const struct jq_loaded_job *row)
{
    const uint64_t ms = keep_ms(core, queue, JQ_SUCCEEDED);
    const uint64_t failed_ms = keep_ms(core, queue, JQ_FAILED);

    return !is_older(core, row->job.created_at, ms < failed_ms ? ms : failed_ms);
}

/* ---- looking through ---- */

static void swept(struct jq_core *core, struct jq_lookup *lookup);

/* `after`: what is being deleted is counted as deleted then, and a sweep makes one batch after the
 * other, however much there is. */
static enum jq_err ask(struct jq_core *core, struct jq_queue *queue, uint64_t after)
{
    struct jq_lookup *lookup = jq_lookup_new(core, 0, 0, swept);
    const struct jq_read read = {
        .kind = JQ_READ_OLDEST,
        .parts = JQ_READ_RESULT,
        .after = after,
        .queue = queue->id,
        .before_id = queue->swept,
        .limit = core->conf.sweep_rows,
    };

    if (!lookup)
        return JQ_ENOMEM;
    lookup->number[0] = queue->id;
    const enum jq_err err = jq_lookup_list(core, lookup, &read);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    return err;
}

/* The first slice of the next queue that keeps something; or the round is over. */
static void next_queue(struct jq_core *core)
{
    while (++core->sweep_queue < core->meta.next_queue) {
        struct jq_queue *queue = jq_map_find(&core->queues, core->sweep_queue);
        if (!queue || queue->kept == 0)
            continue;
        if (is_over(core, queue))
            queue->swept = 0; /* the oldest go first */
        if (ask(core, queue, 0) == JQ_OK)
            return;
    }
    core->sweeping = false;
    jq_sweep_arm(core);
}

/* True: the next slice may well have more of them. */
static bool delete_some(struct jq_core *core, struct jq_queue *queue,
                        const struct jq_lookup *lookup)
{
    bool any = false;

    for (size_t i = 0; i < lookup->found; i++) {
        const struct jq_loaded_job *row = &lookup->jobs[i];
        if (is_over(core, queue) || is_old(core, queue, row)) {
            if (jq_job_find(core, row->job.id) || jq_row_deleting(core, row->job.id))
                continue; /* it lives again, or is on its way out */
            if (jq_row_delete(core, row) != JQ_OK)
                return false;
            any = true;
        } else if (is_young(core, queue, row)) {
            queue->swept = 0;
            return false;
        }
        queue->swept = row->job.id;
    }
    if (!lookup->more && lookup->found < core->conf.sweep_rows)
        queue->swept = 0;
    return any && queue->swept;
}

static void swept(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_queue *queue = jq_map_find(&core->queues, lookup->number[0]);

    if (!queue || lookup->err != JQ_OK || !delete_some(core, queue, lookup) ||
        ask(core, queue, jq_batch_number(core)) != JQ_OK)
        next_queue(core);
}

void jq_sweep_arm(struct jq_core *core)
{
    const struct jq_queue *queue;

    core->sweep_at = JQ_NEVER;
    for (size_t at = 0; (queue = jq_map_next(&core->queues, &at));)
        if (queue->kept)
            core->sweep_at = jq_ms_add(core->now.mono, core->conf.sweep_ms);
}

void jq_sweep_tick(struct jq_core *core)
{
    if (core->sweeping || core->now.mono < core->sweep_at)
        return;
    core->sweeping = true;
    core->sweep_at = JQ_NEVER;
    core->sweep_queue = 0;
    next_queue(core);
}
