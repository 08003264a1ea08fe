/* SPDX-License-Identifier: MIT
 *
 * dead.c - RETRY and REMOVE of jobs that have ended. Their rows are read first; what has happened
 * to them since is in memory, or on its way to the store (retention.c). */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"

/* ---- one that lives again ---- */

/* How it ended is of an attempt that was not its last any more. */
static enum jq_err remember_end(struct jq_job *job, const struct jq_loaded_job *row)
{
    const struct jq_attempt attempt = {
        .attempt = job->attempt,
        .fence = job->fence,
        .code = row->result.code,
        .signal = row->result.signal,
        .reason = row->result.reason,
        .worker = row->job.worker,
        .started_at = job->started_at,
        .ended_at = row->result.ended_at,
    };

    return job->attempt && row->has_result ? jq_history_add(job, &attempt) : JQ_OK;
}

static enum jq_err prepare(struct jq_core *core, struct jq_job *job,
                           const struct jq_loaded_job *row)
{
    const struct jq_job_record *record = &row->job;

    if (record->worker.size && !(job->ran_on = jq_blob_new(record->worker)))
        return JQ_ENOMEM;
    if (record->history.size)
        JQ_TRY(jq_history_restore(job, record->history));
    job->attempt = record->attempt;
    job->fence = record->fence;
    job->started_at = record->started_at;
    job->retried = true;
    job->stored = true;
    JQ_TRY(jq_extra_make(core, job));
    JQ_TRY(remember_end(job, row));
    JQ_TRY(jq_map_reserve(&core->keys, 1));
    return jq_job_reserve(core, job);
}

/* Its failures, crashes and edges are forgotten; it is as urgent as it was. */
static enum jq_err revive(struct jq_core *core, struct jq_queue *queue,
                          const struct jq_loaded_job *row)
{
    const struct jq_job_record *record = &row->job;
    struct jq_job *job = jq_job_of_record(queue, record);
    const enum jq_err err = job ? prepare(core, job, row) : JQ_ENOMEM;

    if (err != JQ_OK || !jq_job_key_add(core, job)) {
        jq_job_free(job);
        return err == JQ_EINVAL ? JQ_ECORRUPT : JQ_ENOMEM;
    }
    jq_extra_restore(core, job, JQ_READY);
    queue->by_state[record->state]--;
    jq_kept_less(queue, row->has_result ? row->result.kept_bytes : 0);
    jq_job_revive(core, job);
    return JQ_OK;
}

/* ---- one of a request ---- */

/* That a job lives is true with the batch that says so. */
static void true_with(struct jq_lookup *lookup, uint64_t batch)
{
    if (batch > lookup->number[2])
        lookup->number[2] = batch;
}

/* What stands in the way, by what is known now; `row` NULL: the store does not have it. */
static enum jq_err hindrance(const struct jq_core *core, struct jq_lookup *lookup, uint64_t id,
                             const struct jq_loaded_job *row, struct jq_ack *ack)
{
    const struct jq_job *job = jq_job_find(core, id);

    if (job) {
        true_with(lookup, job->op_batch);
        ack->state = job->state;
        return jq_state_is_terminal(job->state) ? JQ_EBUSY : JQ_ESTATE;
    }
    if (!row || jq_row_deleting(core, id))
        return jq_absent(core, id);
    ack->state = row->job.state;
    return jq_state_is_terminal(row->job.state) ? JQ_OK : JQ_ESTATE;
}

static enum jq_err retry_one(struct jq_core *core, const struct jq_loaded_job *row)
{
    struct jq_queue *queue = jq_map_find(&core->queues, row->job.queue);

    if (row->job.state == JQ_SUCCEEDED)
        return JQ_ESTATE;
    if (!queue)
        return JQ_EGONE;
    if (queue->closed || queue->removing)
        return JQ_ECLOSED;
    return row->job.damaged ? JQ_ECORRUPT : revive(core, queue, row);
}

/* ---- requests ---- */

enum { REMOVE = 0, RETRY = 1 };

static void tell(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    const struct jq_records each = jq_records_of((uint32_t)lookup->number[1], &lookup->kept);
    struct jq_msg msg = { .tag = JQ_MSG_REMOVED, .correlation = lookup->correlation };

    if (!peer || peer->token != lookup->peer_token)
        return;
    msg.u.removed.each = each;
    if (lookup->number[0] == RETRY) {
        msg.tag = JQ_MSG_RETRIED;
        msg.u.retried.each = each;
    }
    if (jq_buf_ok(&lookup->kept))
        jq_tell(core, peer, lookup->number[2], &msg);
    else
        jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
}

static void loaded(struct jq_core *core, struct jq_lookup *lookup);

static enum jq_err read_rows(struct jq_core *core, struct jq_lookup *lookup, const uint64_t *ids,
                             uint32_t count, uint64_t after)
{
    const uint32_t parts =
        lookup->number[0] == RETRY ? JQ_READ_RESULT | JQ_READ_PAYLOAD : JQ_READ_RESULT;
    return jq_lookup_ids(core, lookup, ids, count, parts, after);
}

/* The rest would have been too much at once. */
static bool ask_again(struct jq_core *core, struct jq_lookup *lookup, uint32_t from)
{
    struct jq_lookup *next = jq_lookup_new(core, lookup->peer, lookup->correlation, loaded);

    if (!next)
        return false;
    next->number[0] = lookup->number[0];
    if (read_rows(core, next, lookup->ids + from, lookup->count - from, 0) != JQ_OK) {
        jq_lookup_free(core, next);
        return false;
    }
    next->kept = lookup->kept;
    lookup->kept = (struct jq_buf){ 0 };
    next->number[1] = lookup->number[1];
    next->number[2] = lookup->number[2];
    return true;
}

/* lookup: `kept` has number[1] acks, true with batch number[2]; number[0] says of what. */
static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    size_t cursor = 0;
    uint32_t i = 0;

    for (; i < lookup->count && !(lookup->more && cursor == lookup->found); i++) {
        const struct jq_loaded_job *row = jq_lookup_found(lookup, &cursor, lookup->ids[i]);
        struct jq_ack ack = { .id = lookup->ids[i] };
        enum jq_err err = lookup->err;
        if (err == JQ_OK)
            err = hindrance(core, lookup, ack.id, row, &ack);
        if (err == JQ_OK)
            err = lookup->number[0] == RETRY ? retry_one(core, row) : jq_row_delete(core, row);
        if (err == JQ_OK) {
            ack.state = lookup->number[0] == RETRY ? JQ_READY : row->job.state;
            true_with(lookup, jq_batch_number(core));
        }
        ack.error = err == JQ_ENOMEM ? JQ_EBUSY : err;
        jq_ack_write(&lookup->kept, &ack);
        lookup->number[1]++;
    }
    if (i < lookup->count && cursor > 0 && ask_again(core, lookup, i))
        return;
    for (; i < lookup->count; i++) {
        const struct jq_ack ack = { .id = lookup->ids[i], .error = JQ_EBUSY };
        jq_ack_write(&lookup->kept, &ack);
        lookup->number[1]++;
    }
    tell(core, lookup);
}

/* Answers those that are known, leaves the others in `ids`. Their ends may not be durable yet: they
 * are read after that. */
static uint32_t answer_known(const struct jq_core *core, struct jq_lookup *lookup, uint64_t *ids,
                             uint32_t count, uint64_t *ret_after)
{
    uint32_t absent = 0;

    *ret_after = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct jq_job *job = jq_job_find(core, ids[i]);
        struct jq_ack ack = { .id = ids[i], .error = job ? JQ_ESTATE : JQ_ENOENT };
        if (job ? jq_state_is_terminal(job->state) : jq_absent(core, ids[i]) == JQ_EGONE) {
            if (job && job->end_batch > *ret_after)
                *ret_after = job->end_batch;
            ids[absent++] = ids[i];
            continue;
        }
        if (job) {
            true_with(lookup, job->op_batch);
            ack.state = job->state;
        }
        jq_ack_write(&lookup->kept, &ack);
        lookup->number[1]++;
    }
    return absent;
}

static enum jq_err apply(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                         struct jq_records jobs, uint64_t what)
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, correlation, loaded);
    uint64_t *ids = NULL, after;
    enum jq_err err = lookup ? jq_ids_of(jobs, &ids) : JQ_ENOMEM;

    if (err == JQ_OK) {
        lookup->number[0] = what;
        const uint32_t count =
            answer_known(core, lookup, ids, jq_ids_sort_out(ids, jobs.count), &after);
        if (count)
            err = read_rows(core, lookup, ids, count, after);
        else
            tell(core, lookup);
    }
    if (lookup && lookup->reads == 0)
        jq_lookup_free(core, lookup);
    jq_free(ids);
    return err;
}

enum jq_err jq_retry_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    return apply(core, peer, msg->correlation, msg->u.retry.jobs, RETRY);
}

enum jq_err jq_remove_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    return apply(core, peer, msg->correlation, msg->u.remove.jobs, REMOVE);
}
