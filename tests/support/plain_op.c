/* SPDX-License-Identifier: MIT
 *
 * plain_op.c - see plain_op.h. Not through alloc.h: tests of stores let that one fail. */
#include "tests/support/plain_op.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

static struct jq_blob *blob_of(struct jq_view bytes)
{
    struct jq_blob *blob = bytes.size ? malloc(sizeof *blob + bytes.size) : NULL;

    JQ_CHECK(blob || !bytes.size);
    if (blob) {
        *blob = (struct jq_blob){ .references = 1, .size = (uint32_t)bytes.size };
        memcpy(blob->data, bytes.data, bytes.size);
    }
    return blob;
}

static struct jq_job_fixed *fixed_of(const struct jq_job_record *job)
{
    const struct jq_view parts[] = { job->payload, job->handler, job->title, job->key,
                                     job->options };
    size_t size = 0;

    for (size_t i = 0; i < 5; i++)
        size += parts[i].size;
    struct jq_job_fixed *fixed = malloc(sizeof *fixed + size);
    JQ_CHECK(fixed);
    *fixed = (struct jq_job_fixed){
        .references = 1,
        .owner = job->owner,
        .created_at = job->created_at,
        .payload_size = (uint32_t)parts[0].size,
        .handler_size = (uint16_t)parts[1].size,
        .title_size = (uint16_t)parts[2].size,
        .key_size = (uint16_t)parts[3].size,
        .options_size = (uint32_t)parts[4].size,
    };
    uint8_t *at = (uint8_t *)(fixed + 1);
    for (size_t i = 0; i < 5; at += parts[i++].size)
        if (parts[i].size)
            memcpy(at, parts[i].data, parts[i].size);
    return fixed;
}

static void pack_job(const struct plain_op *from, struct jq_op_job *ret)
{
    const struct jq_job_record *job = &from->u.job;

    *ret = (struct jq_op_job){
        .id = job->id,
        .flags = job->flags,
        .fence = job->fence,
        .session = job->session,
        .started_at = job->started_at,
        .due_at = job->due_at,
        .attempt = job->attempt,
        .crashes = job->crashes,
        .failures = job->failures,
        .queue = job->queue,
        .priority = job->priority,
        .state = job->state,
        .spilled = job->spilled,
        .lane = (uint8_t)job->lane,
        .rank = job->rank,
        .fixed = from->kind == JQ_OP_JOB_PUT ? fixed_of(job) : NULL,
        .worker = blob_of(job->worker),
        .history = blob_of(job->history),
    };
}

void plain_op_pack(const struct plain_op *from, struct jq_store_op *ret)
{
    *ret = (struct jq_store_op){
        .kind = from->kind,
        .has_result = from->has_result,
        .from_spilled = from->from_spilled,
        .result = from->result,
    };
    switch (from->kind) {
    case JQ_OP_JOB_PUT:
    case JQ_OP_JOB_SET:
    case JQ_OP_JOB_DELETE:
    case JQ_OP_JOB_SPILL:
        pack_job(from, &ret->u.job);
        break;
    case JQ_OP_QUEUE_PUT:
    case JQ_OP_QUEUE_DELETE:
        ret->u.queue.id = from->u.queue.id;
        ret->u.queue.record = &from->u.queue;
        break;
    case JQ_OP_REQUEST_PUT:
    case JQ_OP_REQUEST_DELETE:
    case JQ_OP_SESSION_DELETE:
        ret->u.request = from->u.request;
        break;
    case JQ_OP_WORKER_PUT:
    case JQ_OP_WORKER_DELETE:
        ret->u.worker = from->u.worker;
        break;
    case JQ_OP_LIMIT_PUT:
    case JQ_OP_LIMIT_DELETE:
        ret->u.limit = from->u.limit;
        break;
    case JQ_OP_SPILLED_PURGE:
        ret->u.purge = from->u.purge;
        break;
    case JQ_OP_NONE:
        break;
    }
}

void plain_op_fini(struct jq_store_op *packed)
{
    if (packed->kind != JQ_OP_JOB_PUT && packed->kind != JQ_OP_JOB_SET &&
        packed->kind != JQ_OP_JOB_SPILL)
        return;
    free(packed->u.job.fixed);
    free(packed->u.job.worker);
    free(packed->u.job.history);
}
