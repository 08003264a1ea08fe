/* SPDX-License-Identifier: MIT
 *
 * restore.c - from the records of a store to the state of a new incarnation. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum jq_err jq_core_restore_meta(struct jq_core *core, const struct jq_store_meta *m)
{
    core->meta = *m;
    if (core->meta.next_id == 0)
        core->meta.next_id = 1;
    if (core->meta.next_queue == 0)
        core->meta.next_queue = 1;
    core->durable = m->commit_sequence;
    return JQ_OK;
}

enum jq_err jq_core_restore_queue(struct jq_core *core, const struct jq_queue_record *q)
{
    return jq_queue_restore(core, q);
}

/* A job that was running waits for its worker: as a ghost, for one lease from the start. A receipt
 * waits for its time. */
static enum jq_err restore_running(struct jq_core *core, struct jq_job *job,
                                   const struct jq_job_record *record)
{
    struct jq_worker *worker;

    if (!record->session) {
        job->worker = &core->by_receipt;
        return JQ_OK;
    }
    JQ_TRY(jq_worker_ghost(core, job->is_item, record->session, record->worker, &worker));
    job->worker = worker;
    return JQ_OK;
}

static enum jq_err restore_tied(struct jq_core *core, struct jq_job *job)
{
    struct jq_client *client;

    JQ_TRY(jq_client_get(core, job->fixed.owner, &client));
    client->stored = true;
    JQ_TRY(jq_extra_need(job));
    jq_client_tie(client, job);
    return JQ_OK;
}

/* When it is due, and whether the purge of its queue is not for it. */
static enum jq_err restore_times(struct jq_job *job, const struct jq_job_record *record)
{
    const uint64_t purge = job->queue->purge_before;
    const bool spared = (record->flags & JQ_JOB_STORED_SPARED) && record->state != JQ_RUNNING &&
                        purge && record->session == purge;

    if (!record->due_at && !spared)
        return JQ_OK;
    JQ_TRY(jq_extra_need(job));
    job->extra->due_at = record->due_at;
    job->extra->spared_of = spared ? purge : 0;
    return JQ_OK;
}

static enum jq_err place(struct jq_core *core, struct jq_job *job,
                         const struct jq_job_record *record)
{
    JQ_TRY(jq_job_reserve(core, job));
    if (record->worker.size) {
        job->ran_on = jq_blob_new(record->worker);
        if (!job->ran_on)
            return JQ_ENOMEM;
    }
    if (record->history.size)
        JQ_TRY(jq_history_restore(job, record->history));
    JQ_TRY(restore_times(job, record));
    const enum jq_err err = jq_extra_make(core, job);
    job->damaged |= err == JQ_EINVAL;
    if (err == JQ_ENOMEM || jq_edge_prepare(core, job) != JQ_OK)
        return JQ_ENOMEM;
    if (job->state == JQ_RUNNING && (record->session || (job->is_item && record->due_at)))
        JQ_TRY(restore_running(core, job, record));
    if (!jq_job_key_add(core, job))
        return JQ_ENOMEM;
    jq_extra_restore(core, job, record->state);
    if (!job->worker)
        job->state = jq_extra_waits_in(core, job);
    jq_job_place(core, job);
    /* It waited for a limit, or for a place: whoever runs last waits for one again. The row has to
     * say so, or the next restart counts it once more. */
    if (record->state == JQ_BLOCKED && job->state == JQ_READY && job->queue->maxsize > 0) {
        job->queue->excess += !jq_purge_dooms(job);
        jq_job_store(core, job);
    }
    const bool tied = job->flags & JQ_JOB_TIE && job->fixed.owner && !job->retried;
    return tied ? restore_tied(core, job) : JQ_OK;
}

enum jq_err jq_core_restore_job(struct jq_core *core, const struct jq_job_record *record)
{
    struct jq_queue *queue = jq_map_find(&core->queues, record->queue);

    if (!queue || record->id == 0 || record->id >= core->meta.next_id ||
        jq_job_find(core, record->id) || jq_state_is_terminal(record->state))
        return JQ_ECORRUPT;
    struct jq_job *job = jq_job_of_record(queue, record);
    if (!job)
        return JQ_ENOMEM;
    job->state = record->state;
    job->attempt = record->attempt;
    job->crashes = record->crashes;
    job->fence = record->fence;
    job->started_at = record->started_at;
    job->failures = record->failures;
    job->cancel_asked = (record->flags & JQ_JOB_STORED_CANCEL) != 0;
    job->retried = (record->flags & JQ_JOB_STORED_RETRIED) != 0;
    job->after_retried = (record->flags & JQ_JOB_STORED_AFTER_RETRIED) != 0;
    job->damaged = record->damaged;
    job->restored = true;
    job->stored = true;
    const enum jq_err err = place(core, job, record);
    if (err != JQ_OK && !jq_job_find(core, record->id)) /* not placed */
        jq_job_free(job);
    return err;
}

enum jq_err jq_core_restore_request(struct jq_core *core, const struct jq_request_record *record)
{
    struct jq_client *client;
    struct jq_request *request;

    JQ_TRY(jq_client_get(core, record->session, &client));
    client->stored = true;
    request = jq_alloc_zero(1, sizeof *request);
    if (!request)
        return JQ_ENOMEM;
    request->number = record->number;
    request->first_id = record->first_id;
    request->count = record->count;
    request->made_at = record->made_at;
    if (record->each.size) {
        request->each = jq_blob_new(record->each);
        if (!request->each) {
            jq_free(request);
            return JQ_ENOMEM;
        }
    }
    jq_client_request_add(client, request);
    return JQ_OK;
}

enum jq_err jq_core_restore_worker(struct jq_core *core, const struct jq_worker_record *record)
{
    struct jq_worker *worker;

    JQ_TRY(jq_worker_ghost(core, record->is_client, record->session, record->name, &worker));
    worker->bound = record->bound;
    return JQ_OK;
}

/* One that ended with the last broker gets no lease, only time to have ended. */
static void start_lease(struct jq_core *core, struct jq_worker *worker)
{
    const jq_ms lease_ms = core->conf.lease_ms;
    const jq_ms left_ms = worker->bound ? jq_ms_min(core->conf.settle_ms, lease_ms) : lease_ms;

    worker->renewed_at = core->now.mono - (lease_ms - left_ms);
    worker->lease_at = jq_ms_add(core->now.mono, left_ms);
    jq_heap_moved(&core->leases, &worker->in_leases);
}

enum jq_err jq_core_start(struct jq_core *core, struct jq_now now)
{
    struct jq_client *client;
    struct jq_worker *worker;

    JQ_CHECK(!core->started);
    core->now = now;
    JQ_TRY(jq_batch_reserve(core, 1));
    core->meta.incarnation++;
    core->meta_changed = true;
    core->start_batch = jq_batch_number(core);
    core->settled_at = jq_ms_add(now.mono, core->conf.settle_ms);
    for (size_t at = 0; (worker = jq_map_next(&core->workers, &at));)
        start_lease(core, worker);
    for (size_t at = 0; (worker = jq_map_next(&core->holders, &at));)
        start_lease(core, worker);
    for (size_t at = 0; (client = jq_map_next(&core->clients, &at));)
        jq_client_detached(core, client); /* never frees: it has something stored */
    JQ_TRY(jq_timer_start(core));
    jq_purge_restore(core);
    jq_sweep_arm(core);
    core->start_id = core->meta.next_id;
    core->started = true;
    jq_spill_settle(core); /* the first pages */
    return JQ_OK;
}
