/* SPDX-License-Identifier: MIT
 *
 * memory_rows.c - see memory_rows.h. */
#include "broker/store/memory_rows.h"

#include <stdlib.h>
#include <string.h>

#include "broker/store/op_job.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

static struct jq_key key_of(uint64_t major, uint64_t minor)
{
    return (struct jq_key){ .major = major, .minor = minor };
}

/* Copies what `view` shows to *at, lets it show the copy, and moves on. */
static void keep(struct jq_view *view, uint8_t **at)
{
    if (view->size > 0)
        memcpy(*at, view->data, view->size);
    view->data = view->size > 0 ? *at : NULL;
    *at += view->size;
}

/* --- making rows --- */

static void free_job(struct jq_memory_job *job)
{
    if (!job)
        return;
    jq_free(job->result);
    jq_free(job->changing);
    jq_free(job);
}

static struct jq_memory_result *make_result(const struct jq_result_record *from)
{
    const size_t size = from->reason.size + from->value.size + from->stdout_head.size +
                        from->stdout_tail.size + from->stderr_head.size + from->stderr_tail.size;
    struct jq_memory_result *result = jq_alloc(sizeof(*result) + size);

    if (!result)
        return NULL;
    uint8_t *at = result->bytes;
    result->record = *from;
    result->size = size;
    keep(&result->record.reason, &at);
    keep(&result->record.value, &at);
    keep(&result->record.stdout_head, &at);
    keep(&result->record.stdout_tail, &at);
    keep(&result->record.stderr_head, &at);
    keep(&result->record.stderr_tail, &at);
    return result;
}

/* A SET makes a row too, without the fixed bytes: apply takes its worker and result from it. */
static enum jq_err make_job(const struct jq_store_op *op, void **ret_made)
{
    struct jq_job_record record, *const from = &record;
    const bool whole = op->kind == JQ_OP_JOB_PUT;
    jq_op_job(op, from);
    const size_t size = whole ? from->handler.size + from->title.size + from->key.size +
                                    from->options.size + from->payload.size
                              : 0;
    struct jq_memory_job *job = jq_alloc(sizeof(*job) + size);

    if (!job)
        return JQ_ENOMEM;
    *job = (struct jq_memory_job){ .record = *from, .size = size };
    job->record.damaged = false;
    if (whole) {
        uint8_t *at = job->bytes;
        keep(&job->record.handler, &at);
        keep(&job->record.title, &at);
        keep(&job->record.key, &at);
        keep(&job->record.options, &at);
        keep(&job->record.payload, &at);
    }
    const size_t changing = from->worker.size + from->history.size;
    if (changing > 0) {
        uint8_t *at = job->changing = jq_alloc(changing);
        if (at) {
            keep(&job->record.worker, &at);
            keep(&job->record.history, &at);
        }
    }
    const bool has_result = op->has_result && jq_state_is_terminal(from->state);
    if (has_result)
        job->result = make_result(op->result);
    if ((changing > 0 && !job->changing) || (has_result && !job->result)) {
        free_job(job);
        return JQ_ENOMEM;
    }
    *ret_made = job;
    return JQ_OK;
}

static enum jq_err make_queue(const struct jq_queue_record *from, void **ret_made)
{
    struct jq_memory_queue *queue = jq_alloc(sizeof(*queue) + from->name.size);

    if (!queue)
        return JQ_ENOMEM;
    uint8_t *at = queue->bytes;
    queue->record = *from;
    keep(&queue->record.name, &at);
    *ret_made = queue;
    return JQ_OK;
}

static enum jq_err make_request(const struct jq_request_record *from, void **ret_made)
{
    struct jq_memory_request *request = jq_alloc(sizeof(*request) + from->each.size);

    if (!request)
        return JQ_ENOMEM;
    uint8_t *at = request->bytes;
    request->record = *from;
    keep(&request->record.each, &at);
    *ret_made = request;
    return JQ_OK;
}

static enum jq_err make_worker(const struct jq_worker_record *from, void **ret_made)
{
    struct jq_memory_worker *worker = jq_alloc(sizeof(*worker) + from->name.size);

    if (!worker)
        return JQ_ENOMEM;
    uint8_t *at = worker->bytes;
    worker->record = *from;
    keep(&worker->record.name, &at);
    *ret_made = worker;
    return JQ_OK;
}

static enum jq_err make_limit(const struct jq_limit_record *from, void **ret_made)
{
    struct jq_memory_limit *limit = jq_alloc(sizeof(*limit) + from->name.size);

    if (!limit)
        return JQ_ENOMEM;
    uint8_t *at = limit->bytes;
    limit->record = *from;
    limit->next = NULL;
    keep(&limit->record.name, &at);
    *ret_made = limit;
    return JQ_OK;
}

enum jq_err jq_memory_row_make(const struct jq_store_op *op, void **ret_made)
{
    switch (op->kind) {
    case JQ_OP_JOB_PUT:
    case JQ_OP_JOB_SET:
        return make_job(op, ret_made);
    case JQ_OP_QUEUE_PUT:
        return make_queue(op->u.queue.record, ret_made);
    case JQ_OP_REQUEST_PUT:
        return make_request(&op->u.request, ret_made);
    case JQ_OP_WORKER_PUT:
        return make_worker(&op->u.worker, ret_made);
    case JQ_OP_LIMIT_PUT:
        return make_limit(&op->u.limit, ret_made);
    case JQ_OP_NONE:
    case JQ_OP_JOB_DELETE:
    case JQ_OP_JOB_SPILL:
    case JQ_OP_SPILLED_PURGE:
    case JQ_OP_QUEUE_DELETE:
    case JQ_OP_REQUEST_DELETE:
    case JQ_OP_SESSION_DELETE:
    case JQ_OP_WORKER_DELETE:
    case JQ_OP_LIMIT_DELETE:
        break;
    }
    return JQ_OK;
}

void jq_memory_row_free(enum jq_store_op_kind kind, void *made)
{
    if (kind == JQ_OP_JOB_PUT || kind == JQ_OP_JOB_SET)
        free_job(made);
    else
        jq_free(made);
}

/* --- users' keys --- */

/* FNV-1a; never 0, which the map does not take. */
static uint64_t hash_of(struct jq_view key)
{
    const uint8_t *at = key.data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash ? hash : 1;
}

static void key_add(struct jq_memory_rows *rows, struct jq_memory_job *job)
{
    if (job->record.key.size == 0)
        return;
    const uint64_t hash = hash_of(job->record.key);
    job->key_next = jq_map_remove(&rows->keys, hash);
    const enum jq_err err = jq_map_put(&rows->keys, hash, job);
    JQ_CHECK(err == JQ_OK); /* reserved */
}

static void key_drop(struct jq_memory_rows *rows, struct jq_memory_job *job)
{
    if (job->record.key.size == 0)
        return;
    const uint64_t hash = hash_of(job->record.key);
    struct jq_memory_job *first = jq_map_find(&rows->keys, hash);
    if (first != job) {
        struct jq_memory_job *at = first;
        while (at->key_next != job)
            at = at->key_next;
        at->key_next = job->key_next;
        return;
    }
    jq_map_remove(&rows->keys, hash);
    if (job->key_next) {
        const enum jq_err err = jq_map_put(&rows->keys, hash, job->key_next);
        JQ_CHECK(err == JQ_OK); /* the place that has just become free */
    }
}

struct jq_memory_job *jq_memory_rows_key(const struct jq_memory_rows *rows, struct jq_view key)
{
    struct jq_memory_job *newest = NULL;

    if (key.size == 0)
        return NULL;
    for (struct jq_memory_job *at = jq_map_find(&rows->keys, hash_of(key)); at; at = at->key_next) {
        if (jq_view_equal(at->record.key, key) && (!newest || at->record.id > newest->record.id))
            newest = at;
    }
    return newest;
}

struct jq_memory_job *jq_memory_rows_job(const struct jq_memory_rows *rows, uint64_t id)
{
    return jq_table_find(&rows->jobs, key_of(id, 0));
}

/* --- applying --- */

enum jq_err jq_memory_rows_reserve(struct jq_memory_rows *rows, const struct jq_batch *batch)
{
    size_t jobs = 0, queues = 0, requests = 0, workers = 0, keys = 0;

    for (uint32_t i = 0; i < batch->count; i++) {
        const struct jq_store_op *op = &batch->ops[i];
        jobs += op->kind == JQ_OP_JOB_PUT;
        keys += op->kind == JQ_OP_JOB_PUT && op->u.job.fixed->key_size > 0;
        queues += op->kind == JQ_OP_QUEUE_PUT;
        requests += op->kind == JQ_OP_REQUEST_PUT;
        workers += op->kind == JQ_OP_WORKER_PUT;
    }
    JQ_TRY(jq_table_reserve(&rows->jobs, jobs));
    JQ_TRY(jq_table_reserve(&rows->queues, queues));
    JQ_TRY(jq_table_reserve(&rows->requests, requests));
    JQ_TRY(jq_table_reserve(&rows->workers, workers));
    return jq_map_reserve(&rows->keys, keys);
}

static uint64_t bytes_of(const struct jq_memory_job *job)
{
    return sizeof(*job) + job->size + job->record.worker.size + job->record.history.size +
           (job->result ? sizeof(*job->result) + job->result->size : 0);
}

static void job_leave(struct jq_memory_rows *rows, struct jq_memory_job *job)
{
    if (!job)
        return;
    rows->job_bytes -= bytes_of(job);
    key_drop(rows, job);
    free_job(job);
}

static void job_put(struct jq_memory_rows *rows, struct jq_memory_job *job)
{
    job_leave(rows, jq_table_put(&rows->jobs, key_of(job->record.id, 0), job));
    key_add(rows, job);
    rows->job_bytes += bytes_of(job);
}

static void job_set(struct jq_memory_rows *rows, struct jq_memory_job *from)
{
    struct jq_memory_job *job = jq_memory_rows_job(rows, from->record.id);

    rows->job_bytes -= bytes_of(job);
    job->record.state = from->record.state;
    job->record.flags = from->record.flags;
    job->record.attempt = from->record.attempt;
    job->record.crashes = from->record.crashes;
    job->record.fence = from->record.fence;
    job->record.session = from->record.session;
    job->record.started_at = from->record.started_at;
    job->record.due_at = from->record.due_at;
    job->record.failures = from->record.failures;
    job->record.worker = from->record.worker;
    job->record.history = from->record.history;
    job->record.spilled = false;
    uint8_t *changing = job->changing;
    job->changing = from->changing;
    from->changing = changing;
    /* A job that lives again has no result; one that stays ended keeps its own unless it gets
     * another. */
    if (from->result || !jq_state_is_terminal(job->record.state)) {
        struct jq_memory_result *result = job->result;
        job->result = from->result;
        from->result = result;
    }
    rows->job_bytes += bytes_of(job);
    free_job(from);
}

static void job_spill(struct jq_memory_rows *rows, const struct jq_op_job *from)
{
    struct jq_memory_job *job = jq_memory_rows_job(rows, from->id);

    job->record.spilled = true;
    job->record.lane = from->lane;
    job->record.rank = from->rank;
}

static int compare_places(const void *a, const void *b)
{
    const struct jq_job_record *x = &(*(struct jq_memory_job *const *)a)->record;
    const struct jq_job_record *y = &(*(struct jq_memory_job *const *)b)->record;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int compare_places_down(const void *a, const void *b)
{
    return compare_places(b, a);
}

enum jq_err jq_memory_rows_spilled(const struct jq_memory_rows *rows, uint32_t queue, uint32_t lane,
                                   bool newest_first, struct jq_memory_job ***ret_jobs,
                                   size_t *ret_count)
{
    struct jq_memory_job **found = jq_alloc((rows->jobs.count + 1) * sizeof(*found));
    size_t count = 0;

    if (!found)
        return JQ_ENOMEM;
    for (size_t at = 0; at < rows->jobs.count; at++) {
        struct jq_memory_job *job = rows->jobs.slots[at].row;
        if (job && job->record.spilled && job->record.queue == queue && job->record.lane == lane)
            found[count++] = job;
    }
    qsort(found, count, sizeof(*found), newest_first ? compare_places_down : compare_places);
    *ret_jobs = found;
    *ret_count = count;
    return JQ_OK;
}

/* One at a time: no memory is needed for it. */
static void spilled_purge(struct jq_memory_rows *rows, const struct jq_spilled_purge *purge)
{
    for (uint64_t left = purge->count; left > 0; left--) {
        struct jq_memory_job *first = NULL;
        for (size_t at = 0; at < rows->jobs.count; at++) {
            struct jq_memory_job *job = rows->jobs.slots[at].row;
            if (job && job->record.spilled && job->record.queue == purge->queue &&
                job->record.lane == purge->lane && job->record.id < purge->before &&
                (!first || compare_places(&job, &first) < 0))
                first = job;
        }
        JQ_CHECK(first != NULL); /* counted before */
        job_leave(rows, jq_table_remove(&rows->jobs, key_of(first->record.id, 0)));
    }
}

static void session_delete(struct jq_memory_rows *rows, uint64_t session)
{
    /* Numbers start at any value; removing may close holes, so look again each time. */
    for (;;) {
        size_t at = jq_table_seek(&rows->requests, key_of(session, 0));
        while (at < rows->requests.count && rows->requests.slots[at].key.major == session &&
               !rows->requests.slots[at].row)
            at++;
        if (at == rows->requests.count || rows->requests.slots[at].key.major != session)
            return;
        jq_free(jq_table_remove(&rows->requests, rows->requests.slots[at].key));
    }
}

/* Its ended jobs too. */
static void queue_delete(struct jq_memory_rows *rows, uint32_t id)
{
    /* Removing may close holes: the place of what comes next is looked up. */
    for (size_t at = 0; at < rows->jobs.count;) {
        const struct jq_table_slot slot = rows->jobs.slots[at++];
        const struct jq_memory_job *job = slot.row;
        if (!job || job->record.queue != id || !jq_state_is_terminal(job->record.state))
            continue;
        job_leave(rows, jq_table_remove(&rows->jobs, slot.key));
        at = jq_table_seek(&rows->jobs, slot.key);
    }
    jq_free(jq_table_remove(&rows->queues, key_of(id, 0)));
}

/* As SQLite orders bytes. */
static int compare_names(struct jq_view a, struct jq_view b)
{
    const size_t shorter = a.size < b.size ? a.size : b.size;
    const int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Where the limit of this name is, or would be. */
static struct jq_memory_limit **limit_place(struct jq_memory_rows *rows, struct jq_view name)
{
    struct jq_memory_limit **place = &rows->limits;

    while (*place && compare_names((*place)->record.name, name) < 0)
        place = &(*place)->next;
    return place;
}

static void limit_delete(struct jq_memory_rows *rows, struct jq_view name)
{
    struct jq_memory_limit **place = limit_place(rows, name), *limit = *place;

    if (!limit || !jq_view_equal(limit->record.name, name))
        return;
    *place = limit->next;
    jq_free(limit);
}

static void limit_put(struct jq_memory_rows *rows, struct jq_memory_limit *limit)
{
    limit_delete(rows, limit->record.name);
    struct jq_memory_limit **place = limit_place(rows, limit->record.name);
    limit->next = *place;
    *place = limit;
}

void jq_memory_rows_apply(struct jq_memory_rows *rows, const struct jq_store_op *op, void *made)
{
    const struct jq_request_record *request = &op->u.request;

    switch (op->kind) {
    case JQ_OP_NONE:
        break;
    case JQ_OP_JOB_PUT:
        job_put(rows, made);
        break;
    case JQ_OP_JOB_SET:
        job_set(rows, made);
        break;
    case JQ_OP_JOB_DELETE:
        job_leave(rows, jq_table_remove(&rows->jobs, key_of(op->u.job.id, 0)));
        break;
    case JQ_OP_JOB_SPILL:
        job_spill(rows, &op->u.job);
        break;
    case JQ_OP_SPILLED_PURGE:
        spilled_purge(rows, &op->u.purge);
        break;
    case JQ_OP_QUEUE_PUT:
        jq_free(jq_table_put(&rows->queues, key_of(op->u.queue.id, 0), made));
        break;
    case JQ_OP_QUEUE_DELETE:
        queue_delete(rows, op->u.queue.id);
        break;
    case JQ_OP_REQUEST_PUT:
        jq_free(jq_table_put(&rows->requests, key_of(request->session, request->number), made));
        break;
    case JQ_OP_REQUEST_DELETE:
        jq_free(jq_table_remove(&rows->requests, key_of(request->session, request->number)));
        break;
    case JQ_OP_SESSION_DELETE:
        session_delete(rows, request->session);
        break;
    case JQ_OP_WORKER_PUT:
        jq_free(jq_table_put(&rows->workers, key_of(op->u.worker.session, 0), made));
        break;
    case JQ_OP_WORKER_DELETE:
        jq_free(jq_table_remove(&rows->workers, key_of(op->u.worker.session, 0)));
        break;
    case JQ_OP_LIMIT_PUT:
        limit_put(rows, made);
        break;
    case JQ_OP_LIMIT_DELETE:
        limit_delete(rows, op->u.limit.name);
        break;
    }
}

static void free_rows(struct jq_table *table, enum jq_store_op_kind kind)
{
    for (size_t i = 0; i < table->count; i++)
        jq_memory_row_free(kind, table->slots[i].row);
    jq_table_fini(table);
}

void jq_memory_rows_fini(struct jq_memory_rows *rows)
{
    free_rows(&rows->jobs, JQ_OP_JOB_PUT);
    free_rows(&rows->queues, JQ_OP_QUEUE_PUT);
    free_rows(&rows->requests, JQ_OP_REQUEST_PUT);
    free_rows(&rows->workers, JQ_OP_WORKER_PUT);
    while (rows->limits)
        limit_delete(rows, rows->limits->record.name);
    jq_map_fini(&rows->keys);
    *rows = (struct jq_memory_rows){ 0 };
}
