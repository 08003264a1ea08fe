/* SPDX-License-Identifier: MIT
 *
 * op_job.c - see op_job.h. */
#include "broker/store/op_job.h"

static struct jq_view view_of(const struct jq_blob *blob)
{
    return blob ? jq_view(blob->data, blob->size) : jq_view(NULL, 0);
}

static struct jq_view take(const uint8_t **at, size_t size)
{
    const struct jq_view view = jq_view(*at, size);

    *at += size;
    return view;
}

static void put_fixed(const struct jq_op_job *job, struct jq_job_record *ret)
{
    const struct jq_job_fixed *fixed = job->fixed;
    const uint8_t *at = jq_job_fixed_bytes(fixed);

    ret->queue = job->queue;
    ret->priority = job->priority;
    ret->owner = fixed->owner;
    ret->created_at = fixed->created_at;
    ret->payload = take(&at, fixed->payload_size);
    ret->handler = take(&at, fixed->handler_size);
    ret->title = take(&at, fixed->title_size);
    ret->key = take(&at, fixed->key_size);
    ret->options = take(&at, fixed->options_size);
}

void jq_op_job(const struct jq_store_op *op, struct jq_job_record *ret)
{
    const struct jq_op_job *job = &op->u.job;

    *ret = (struct jq_job_record){
        .id = job->id,
        .state = job->state,
        .flags = job->flags,
        .attempt = job->attempt,
        .crashes = job->crashes,
        .fence = job->fence,
        .session = job->session,
        .started_at = job->started_at,
        .due_at = job->due_at,
        .failures = job->failures,
        .spilled = job->spilled,
        .lane = job->lane,
        .rank = job->rank,
        .worker = view_of(job->worker),
        .history = view_of(job->history),
    };
    if (op->kind == JQ_OP_JOB_PUT)
        put_fixed(job, ret);
}
