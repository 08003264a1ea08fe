/* SPDX-License-Identifier: MIT
 *
 * batch.c - the open batch: what the store is to be told next, at most one operation per row. An
 * operation on a row that the open batch holds already replaces it (nets). */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/crc32c.h"

enum {
    FIRST_CAPACITY = 64,
    SPARE_OPS_MAX = 1 << 17, /* a larger batch is not kept for reuse */
    BATCH_BYTES_MAX = 64 << 20,
};

/* Ids that are given away before the store knows. Half of a block is left when the next is asked
 * for: at a million ids a second that is half a second. */
enum { ID_BLOCK = 1 << 20 };

uint64_t jq_batch_loose(struct jq_core *core)
{
    if (core->meta.next_id + ID_BLOCK / 2 > core->ids_reserved)
        core->meta_changed = true;
    return core->meta.next_id <= core->ids_safe ? JQ_AT_ONCE : jq_batch_number(core);
}

/* The batch that is being closed says that ids up to there are given away. */
static void reserve_ids(struct jq_core *core, struct jq_batch *batch)
{
    if (core->loose && core->meta.next_id + ID_BLOCK / 2 > core->ids_reserved) {
        core->ids_reserved = core->meta.next_id + ID_BLOCK;
        core->ids_batch = batch->number;
    }
    if (core->ids_reserved > batch->meta.next_id)
        batch->meta.next_id = core->ids_reserved;
}

static void op_fini(struct jq_store_op *op)
{
    if (op->kind == JQ_OP_JOB_PUT || op->kind == JQ_OP_JOB_SET) {
        if (op->u.job.fixed)
            jq_job_fixed_drop(op->u.job.fixed);
        jq_blob_drop(op->u.job.worker);
        jq_blob_drop(op->u.job.history);
        op->u.job.fixed = NULL;
        op->u.job.worker = op->u.job.history = NULL;
    }
    jq_blob_drop(op->held);
    op->held = NULL;
    op->result = NULL;
    op->has_result = false;
}

static void clear(struct jq_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        op_fini(&batch->ops[i]);
    batch->count = batch->live = 0;
    batch->bytes = 0;
}

void jq_batch_free(struct jq_batch *batch)
{
    if (!batch)
        return;
    clear(batch);
    jq_free(batch->ops);
    jq_free(batch->queues);
    jq_free(batch);
}

enum jq_err jq_batch_reserve(struct jq_core *core, size_t ops)
{
    if (!core->batch) {
        core->batch = core->spare ? core->spare : jq_alloc_zero(1, sizeof *core->batch);
        core->spare = NULL;
        if (!core->batch)
            return JQ_ENOMEM;
    }
    struct jq_batch *batch = core->batch;
    size_t capacity = batch->capacity ? batch->capacity : FIRST_CAPACITY;
    while (capacity < batch->count + ops)
        capacity *= 2;
    if (capacity == batch->capacity)
        return JQ_OK;
    if (capacity > UINT32_MAX)
        return JQ_ENOMEM;
    struct jq_store_op *grown = jq_realloc(batch->ops, capacity * sizeof *grown);
    if (!grown)
        return JQ_ENOMEM;
    batch->ops = grown;
    batch->capacity = (uint32_t)capacity;
    return JQ_OK;
}

static struct jq_store_op *append(struct jq_core *core, enum jq_store_op_kind kind)
{
    struct jq_batch *batch = core->batch;

    JQ_CHECK(batch && batch->count < batch->capacity);
    if (batch->count == 0)
        batch->opened_at = core->now.mono;
    struct jq_store_op *op = &batch->ops[batch->count++];
    memset(op, 0, sizeof *op);
    op->kind = kind;
    batch->live++;
    return op;
}

static void net_away(struct jq_core *core, struct jq_store_op *op)
{
    op_fini(op);
    op->kind = JQ_OP_NONE;
    core->batch->live--;
}

static struct jq_store_op *open_op(struct jq_core *core, uint64_t batch, uint32_t index)
{
    return batch == jq_batch_number(core) ? &core->batch->ops[index] : NULL;
}

/* ---- jobs ---- */

static void replace(struct jq_blob **at, struct jq_blob *with)
{
    if (*at == with)
        return;
    jq_blob_drop(*at);
    *at = jq_blob_hold(with);
}

static void set_job(struct jq_op_job *op, const struct jq_job *job)
{
    op->id = job->id;
    op->flags = jq_job_stored_flags(job);
    op->fence = job->fence;
    op->session = jq_job_stored_session(job);
    op->started_at = job->started_at;
    op->due_at = jq_job_due_at(job);
    op->attempt = job->attempt;
    op->crashes = job->crashes;
    op->failures = job->failures;
    op->queue = job->queue->id;
    op->priority = job->priority;
    op->state = job->state;
    op->spilled = job->is_spilled;
    if (job->is_spilled) {
        op->lane = jq_spill_lane(job);
        op->rank = jq_spill_rank(job);
    }
    replace(&op->worker, job->ran_on);
    replace(&op->history, jq_job_history(job));
}

void jq_batch_job(struct jq_core *core, struct jq_job *job)
{
    struct jq_store_op *op = open_op(core, job->op_batch, job->op_index);

    if (!op) {
        op = append(core, job->stored ? JQ_OP_JOB_SET : JQ_OP_JOB_PUT);
        if (!job->stored) {
            op->u.job.fixed = &job->fixed;
            job->fixed.references++;
            core->batch->bytes += jq_job_bytes(job);
            jq_spill_put_row(job);
        }
        op->from_spilled = job->stored && job->is_spilled;
        job->stored = true;
        job->op_batch = jq_batch_number(core);
        job->op_index = (uint32_t)(op - core->batch->ops);
    }
    if (op->kind == JQ_OP_JOB_SET || job->state != JQ_READY || !jq_extra_may_spill(job))
        jq_spill_take_row(job);
    set_job(&op->u.job, job);
    if (job->result && !op->has_result) {
        op->has_result = true;
        op->result = job->result;
        op->held = jq_blob_hold(jq_job_result_bytes(job));
        core->batch->bytes += op->held ? op->held->size : 0;
    }
}

void jq_batch_job_delete(struct jq_core *core, struct jq_job *job)
{
    struct jq_store_op *op = open_op(core, job->op_batch, job->op_index);
    const bool was_spilled = job->is_spilled;

    jq_spill_take_row(job);
    if (op && op->kind == JQ_OP_JOB_PUT) {
        net_away(core, op);
        job->stored = false;
        return;
    }
    if (!op) {
        op = append(core, JQ_OP_JOB_DELETE);
        op->from_spilled = was_spilled;
    }
    op_fini(op);
    op->kind = JQ_OP_JOB_DELETE;
    op->u.job = (struct jq_op_job){ .id = job->id, .queue = job->queue->id };
    job->op_batch = jq_batch_number(core);
    job->op_index = (uint32_t)(op - core->batch->ops);
}

void jq_batch_row_delete(struct jq_core *core, uint64_t id, uint32_t queue)
{
    struct jq_store_op *op = append(core, JQ_OP_JOB_DELETE);

    op->u.job.id = id;
    op->u.job.queue = queue;
}

void jq_batch_spill(struct jq_core *core, const struct jq_job *job)
{
    struct jq_store_op *op = append(core, JQ_OP_JOB_SPILL);

    op->u.job.id = job->id;
    op->u.job.queue = job->queue->id;
    op->u.job.lane = jq_spill_lane(job);
    op->u.job.rank = jq_spill_rank(job);
}

void jq_batch_spilled_purge(struct jq_core *core, const struct jq_spilled_purge *purge)
{
    append(core, JQ_OP_SPILLED_PURGE)->u.purge = *purge;
}

/* ---- queues: one operation per batch, filled in when the batch closes ---- */

void jq_batch_queue(struct jq_core *core, struct jq_queue *queue)
{
    if (open_op(core, queue->op_batch, queue->op_index))
        return;
    struct jq_store_op *op = append(core, JQ_OP_QUEUE_PUT);
    op->held = jq_blob_hold(queue->name);
    op->u.queue.id = queue->id;
    queue->op_batch = jq_batch_number(core);
    queue->op_index = (uint32_t)(op - core->batch->ops);
    queue->stored = true;
}

/* Behind whatever the batch says of its jobs. */
void jq_batch_queue_delete(struct jq_core *core, struct jq_queue *queue)
{
    struct jq_store_op *op = open_op(core, queue->op_batch, queue->op_index);

    if (op)
        net_away(core, op);
    append(core, JQ_OP_QUEUE_DELETE)->u.queue.id = queue->id;
}

static void fill_queue(struct jq_queue_record *record, const struct jq_queue *queue)
{
    *record = (struct jq_queue_record){
        .id = queue->id,
        .order = queue->order,
        .maxsize = queue->maxsize,
        .blocked = queue->by_state[JQ_BLOCKED],
        .delayed = queue->by_state[JQ_DELAYED],
        .ready = queue->by_state[JQ_READY],
        .running = queue->by_state[JQ_RUNNING],
        .succeeded = queue->by_state[JQ_SUCCEEDED],
        .failed = queue->by_state[JQ_FAILED],
        .cancelled = queue->by_state[JQ_CANCELLED],
        .expired = queue->by_state[JQ_EXPIRED],
        .skipped = queue->by_state[JQ_SKIPPED],
        .kept = queue->kept,
        .kept_bytes = queue->kept_bytes,
        .sequence = queue->sequence,
        .purge_before = queue->purge_before,
        .flags = (queue->paused ? JQ_QUEUE_STORED_PAUSED : 0) |
                 (queue->closed ? JQ_QUEUE_STORED_CLOSED : 0),
        .durability = queue->durability,
        .concurrency = queue->concurrency,
        .attempts_max = queue->attempts_max,
        .backoff_ms = queue->backoff_ms,
        .backoff_max_ms = queue->backoff_max_ms,
        .keep_ms = queue->keep_ms,
        .keep_bytes = queue->keep_bytes,
        .keep_count = queue->keep_count,
        .aging_ms = queue->aging_ms,
        .spilled = { queue->plain.spill.rows, queue->items.spill.rows },
        .spilled_doomed = { queue->plain.spill.doomed, queue->items.spill.doomed },
        .name = jq_blob_view(queue->name),
    };
}

/* ---- requests and sessions ---- */

void jq_batch_request(struct jq_core *core, struct jq_client *client, struct jq_request *request)
{
    if (request->loose)
        return;
    struct jq_store_op *op = append(core, JQ_OP_REQUEST_PUT);

    op->u.request = (struct jq_request_record){
        .session = client->session,
        .number = request->number,
        .first_id = request->first_id,
        .count = request->count,
        .made_at = request->made_at,
        .each = jq_blob_view(request->each),
    };
    op->held = jq_blob_hold(request->each);
    request->batch = jq_batch_number(core);
    request->op_index = (uint32_t)(op - core->batch->ops);
}

void jq_batch_request_delete(struct jq_core *core, struct jq_client *client,
                             struct jq_request *request)
{
    struct jq_store_op *op = open_op(core, request->batch, request->op_index);

    if (request->loose)
        return;
    if (op) {
        net_away(core, op);
        return;
    }
    op = append(core, JQ_OP_REQUEST_DELETE);
    op->u.request.session = client->session;
    op->u.request.number = request->number;
    client->stored = true;
}

void jq_batch_session_delete(struct jq_core *core, struct jq_client *client)
{
    bool any_stored = client->stored;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&client->requests, at));) {
        struct jq_request *request = JQ_ELEMENT(at, struct jq_request, in_client);
        struct jq_store_op *op = open_op(core, request->batch, request->op_index);
        if (op)
            net_away(core, op);
        else if (!request->loose)
            any_stored = true;
    }
    if (any_stored)
        append(core, JQ_OP_SESSION_DELETE)->u.request.session = client->session;
}

void jq_batch_worker(struct jq_core *core, struct jq_worker *worker, bool exists)
{
    struct jq_store_op *op = open_op(core, worker->op_batch, worker->op_index);

    if (!op) {
        op = append(core, JQ_OP_NONE);
        op->u.worker.session = worker->session;
        op->u.worker.name = jq_blob_view(worker->name);
        op->held = jq_blob_hold(worker->name);
        worker->op_batch = jq_batch_number(core);
        worker->op_index = (uint32_t)(op - core->batch->ops);
    }
    op->u.worker.bound = worker->bound;
    op->u.worker.is_client = worker->is_client;
    op->kind = exists ? JQ_OP_WORKER_PUT : JQ_OP_WORKER_DELETE;
}

void jq_batch_limit(struct jq_core *core, struct jq_limiter *limiter)
{
    struct jq_store_op *op = open_op(core, limiter->op_batch, limiter->op_index);

    if (!op) {
        op = append(core, JQ_OP_LIMIT_PUT);
        op->u.limit.name = jq_blob_view(limiter->name);
        op->held = jq_blob_hold(limiter->name);
        limiter->op_batch = jq_batch_number(core);
        limiter->op_index = (uint32_t)(op - core->batch->ops);
    }
    op->kind = limiter->set ? JQ_OP_LIMIT_PUT : JQ_OP_LIMIT_DELETE;
    op->u.limit.max = limiter->set;
}

/* ---- closing ---- */

void jq_batch_urge(struct jq_core *core, uint64_t batch)
{
    if (batch > core->urgent_batch)
        core->urgent_batch = batch;
}

static bool has_something(const struct jq_core *core)
{
    return core->meta_changed || (core->batch && core->batch->count > 0);
}

bool jq_core_full(const struct jq_core *core)
{
    return core->batch && (core->batch->count >= core->conf.batch_ops_max ||
                           core->batch->bytes >= BATCH_BYTES_MAX);
}

bool jq_core_crowded(const struct jq_core *core)
{
    return core->batch && core->batch->live >= core->conf.batch_jobs_max;
}

bool jq_core_wants_commit(const struct jq_core *core, struct jq_now now)
{
    if (core->urgent_batch >= jq_batch_number(core))
        return true;
    if (!has_something(core))
        return false;
    return core->meta_changed || jq_core_full(core) ||
           now.mono - core->batch->opened_at >= core->conf.batch_ms;
}

static void fold(struct jq_core *core, const struct jq_batch *batch)
{
    uint32_t crc = 0;

    for (uint32_t i = 0; i < batch->count; i++) {
        const struct jq_store_op *op = &batch->ops[i];
        const uint64_t words[3] = { (uint64_t)op->kind, op->u.job.id, op->has_result };
        crc = jq_crc32c(crc, words, sizeof words);
    }
    core->hash = core->hash * UINT64_C(0x9e3779b97f4a7c15) + (crc ^ batch->number);
}

/* False: no memory; nothing has changed. */
static bool fill_queues(const struct jq_core *core, struct jq_batch *batch)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < batch->count; i++)
        count += batch->ops[i].kind == JQ_OP_QUEUE_PUT;
    if (count > batch->queues_capacity) {
        struct jq_queue_record *grown = jq_realloc(batch->queues, count * sizeof *grown);
        if (!grown)
            return false;
        batch->queues = grown;
        batch->queues_capacity = count;
    }
    count = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct jq_store_op *op = &batch->ops[i];
        if (op->kind != JQ_OP_QUEUE_PUT)
            continue;
        fill_queue(&batch->queues[count], jq_map_find(&core->queues, op->u.queue.id));
        op->u.queue.record = &batch->queues[count++];
    }
    return true;
}

struct jq_batch *jq_core_take_batch(struct jq_core *core, struct jq_now now)
{
    core->now = now;
    if (jq_extra_resolve(core) != JQ_OK)
        return NULL; /* an end, and what follows from it, are of one batch */
    if (!has_something(core) && core->urgent_batch < jq_batch_number(core))
        return NULL;
    if (!core->batch && jq_batch_reserve(core, 1) != JQ_OK)
        return NULL;
    struct jq_batch *batch = core->batch;
    if (!fill_queues(core, batch))
        return NULL;
    core->meta.commit_sequence++;
    batch->number = core->meta.commit_sequence;
    batch->meta = core->meta;
    reserve_ids(core, batch);
    core->meta_changed = false;
    core->batch = NULL;
    fold(core, batch);
    jq_outbox_release(core); /* reads behind this batch may go now */
    return batch;
}

void jq_core_give_batch(struct jq_core *core, struct jq_batch *batch)
{
    if (!batch)
        return;
    if (core->spare || batch->capacity > SPARE_OPS_MAX) {
        jq_batch_free(batch);
        return;
    }
    clear(batch);
    core->spare = batch;
}
