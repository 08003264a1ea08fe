/* SPDX-License-Identifier: MIT
 *
 * store_memory.c - the backend behind "memory:": everything in RAM, nothing survives the process.
 * The same rules as on disk. A commit first makes all it needs, then changes: on error nothing has
 * changed. One thread at a time. */
#include "broker/store/store.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/order.h"
#include "broker/store/memory_rows.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"

struct memory {
    struct jq_backend backend; /* first: ops */
    struct jq_store_meta meta;
    struct jq_memory_rows rows;
    int64_t max_bytes; /* of jobs; 0: no bound */
    void **made;       /* of the commit under way: a row for each operation, or NULL */
    size_t made_capacity;
};

static struct memory *memory_of(struct jq_backend *backend)
{
    return (struct memory *)backend;
}

static void memory_close(struct jq_backend **backend)
{
    if (!*backend)
        return;
    struct memory *memory = memory_of(*backend);
    jq_memory_rows_fini(&memory->rows);
    jq_free(memory->made);
    jq_free(memory);
    *backend = NULL;
}

static enum jq_err memory_open(const struct jq_store_conf *conf, struct jq_backend **ret_backend,
                               struct jq_detail *ret_detail)
{
    struct memory *memory = jq_alloc_zero(1, sizeof(*memory));

    (void)ret_detail;
    if (!memory)
        return JQ_ENOMEM;
    memory->backend.ops = &jq_store_memory;
    memory->max_bytes = conf->max_bytes;
    memory->meta = (struct jq_store_meta){ .next_id = 1, .next_queue = 1 };
    for (size_t i = 0; i < sizeof(memory->meta.store_id); i += sizeof(uint64_t)) {
        const uint64_t bits = jq_clock_entropy();
        memcpy(memory->meta.store_id + i, &bits, sizeof(bits));
    }
    *ret_backend = &memory->backend;
    return JQ_OK;
}

/* --- commit --- */

static enum jq_err reserve_made(struct memory *memory, size_t count)
{
    if (count <= memory->made_capacity)
        return JQ_OK;
    void **made = jq_realloc(memory->made, count * sizeof(*made));
    if (!made)
        return JQ_ENOMEM;
    memory->made = made;
    memory->made_capacity = count;
    return JQ_OK;
}

static bool is_doomed(const struct jq_job_record *job, const struct jq_spilled_purge *purge)
{
    return job->spilled && job->queue == purge->queue && job->lane == purge->lane &&
           job->id < purge->before;
}

/* Spilled rows that the purge at `index` of the batch will find. */
static uint64_t count_doomed(const struct memory *memory, const struct jq_batch *batch,
                             uint32_t index)
{
    const struct jq_spilled_purge *purge = &batch->ops[index].u.purge;
    const struct jq_table *jobs = &memory->rows.jobs;
    uint64_t count = 0;

    for (size_t at = 0; at < jobs->count; at++) {
        const struct jq_memory_job *row = jobs->slots[at].row;
        count += row && is_doomed(&row->record, purge);
    }
    for (uint32_t i = 0; i < index; i++) {
        const struct jq_store_op *op = &batch->ops[i];
        const struct jq_memory_job *row = jq_memory_rows_job(&memory->rows, op->u.job.id);
        if (op->kind == JQ_OP_JOB_PUT)
            count += op->u.job.spilled && op->u.job.queue == purge->queue &&
                     op->u.job.lane == purge->lane && op->u.job.id < purge->before;
        else if (op->kind == JQ_OP_JOB_SPILL)
            count += row && row->record.queue == purge->queue && op->u.job.lane == purge->lane &&
                     op->u.job.id < purge->before;
        else if (op->kind == JQ_OP_JOB_SET || op->kind == JQ_OP_JOB_DELETE)
            count -= row && is_doomed(&row->record, purge);
        else if (op->kind == JQ_OP_SPILLED_PURGE && op->u.purge.queue == purge->queue &&
                 op->u.purge.lane == purge->lane)
            count -= op->u.purge.count;
    }
    return count;
}

/* Rows that a SET or a SPILL speaks of must be there before the batch: it has one operation per row
 * at most. */
static bool is_there(const struct memory *memory, const struct jq_batch *batch, uint32_t index,
                     struct jq_detail *detail)
{
    const struct jq_store_op *op = &batch->ops[index];

    if (op->kind == JQ_OP_SPILLED_PURGE && count_doomed(memory, batch, index) < op->u.purge.count) {
        jq_detail_set(detail, "memory: queue %u has fewer spilled jobs than it should have",
                      op->u.purge.queue);
        return false;
    }
    if (op->kind != JQ_OP_JOB_SET && op->kind != JQ_OP_JOB_SPILL)
        return true;
    const struct jq_memory_job *row = jq_memory_rows_job(&memory->rows, op->u.job.id);
    const bool ok = row && row->record.spilled == op->from_spilled &&
                    (op->kind == JQ_OP_JOB_SET || !jq_state_is_terminal(row->record.state));
    if (!ok)
        jq_detail_set(detail, "memory: job %llu should be in it and is not",
                      (unsigned long long)op->u.job.id);
    return ok;
}

static enum jq_err make_all(struct memory *memory, const struct jq_batch *batch,
                            struct jq_detail *detail)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct jq_store_op *op = &batch->ops[i];
        if (!is_there(memory, batch, i, detail))
            return JQ_ECORRUPT;
        JQ_TRY(jq_memory_row_make(op, &memory->made[i]));
    }
    return JQ_OK;
}

static enum jq_err memory_commit(struct jq_backend *backend, const struct jq_batch *batch,
                                 struct jq_detail *ret_detail)
{
    struct memory *memory = memory_of(backend);
    struct jq_store_meta meta = batch->meta;

    if (meta.commit_sequence <= memory->meta.commit_sequence) {
        jq_detail_set(ret_detail, "batch %llu after batch %llu",
                      (unsigned long long)meta.commit_sequence,
                      (unsigned long long)memory->meta.commit_sequence);
        return JQ_EINVAL;
    }
    JQ_TRY(reserve_made(memory, batch->count));
    JQ_TRY(jq_memory_rows_reserve(&memory->rows, batch));
    if (batch->count > 0)
        memset(memory->made, 0, batch->count * sizeof(memory->made[0]));
    const enum jq_err err = make_all(memory, batch, ret_detail);
    if (err != JQ_OK) {
        for (uint32_t i = 0; i < batch->count; i++)
            jq_memory_row_free(batch->ops[i].kind, memory->made[i]);
        return err;
    }
    for (uint32_t i = 0; i < batch->count; i++)
        jq_memory_rows_apply(&memory->rows, &batch->ops[i], memory->made[i]);
    memcpy(meta.store_id, memory->meta.store_id, sizeof(meta.store_id)); /* never changes */
    memory->meta = meta;
    return JQ_OK;
}

/* --- loads --- */

static enum jq_err memory_load_meta(struct jq_backend *backend, struct jq_store_meta *ret_meta)
{
    *ret_meta = memory_of(backend)->meta;
    return JQ_OK;
}

static enum jq_err memory_load_queues(struct jq_backend *backend, jq_each_queue_fn *each, void *arg)
{
    const struct jq_table *table = &memory_of(backend)->rows.queues;

    for (size_t i = 0; i < table->count; i++) {
        const struct jq_memory_queue *row = table->slots[i].row;
        if (row)
            JQ_TRY(each(arg, &row->record));
    }
    return JQ_OK;
}

static enum jq_err memory_load_requests(struct jq_backend *backend, jq_each_request_fn *each,
                                        void *arg)
{
    const struct jq_table *table = &memory_of(backend)->rows.requests;

    for (size_t i = 0; i < table->count; i++) {
        const struct jq_memory_request *row = table->slots[i].row;
        if (row)
            JQ_TRY(each(arg, &row->record));
    }
    return JQ_OK;
}

static enum jq_err memory_load_workers(struct jq_backend *backend, jq_each_worker_fn *each,
                                       void *arg)
{
    const struct jq_table *table = &memory_of(backend)->rows.workers;

    for (size_t i = 0; i < table->count; i++) {
        const struct jq_memory_worker *row = table->slots[i].row;
        if (row)
            JQ_TRY(each(arg, &row->record));
    }
    return JQ_OK;
}

static enum jq_err memory_load_limits(struct jq_backend *backend, jq_each_limit_fn *each, void *arg)
{
    const struct jq_memory_limit *limit = memory_of(backend)->rows.limits;

    for (; limit; limit = limit->next)
        JQ_TRY(each(arg, &limit->record));
    return JQ_OK;
}

/* A row as a record with the wanted parts; the rest is empty, as on disk. */
static enum jq_err give(const struct jq_memory_job *row, uint32_t parts, jq_each_job_fn *each,
                        void *arg)
{
    const struct jq_view empty = { 0 };
    struct jq_loaded_job loaded = { .job = row->record };

    if (parts & JQ_READ_LIVE && !jq_state_is_terminal(row->record.state))
        parts |= JQ_READ_PAYLOAD;
    if (!(parts & JQ_READ_PAYLOAD))
        loaded.job.payload = empty;
    loaded.has_result = row->result && parts & (JQ_READ_RESULT | JQ_READ_VALUE | JQ_READ_OUTPUT);
    if (loaded.has_result) {
        loaded.result = row->result->record;
        if (!(parts & JQ_READ_VALUE))
            loaded.result.value = empty;
        if (!(parts & JQ_READ_OUTPUT)) {
            loaded.result.stdout_head = loaded.result.stdout_tail = empty;
            loaded.result.stderr_head = loaded.result.stderr_tail = empty;
        }
    }
    return each(arg, &loaded);
}

static enum jq_err memory_load_jobs(struct jq_backend *backend, jq_each_job_fn *each, void *arg)
{
    const struct jq_table *jobs = &memory_of(backend)->rows.jobs;

    for (size_t at = 0; at < jobs->count; at++) {
        const struct jq_memory_job *row = jobs->slots[at].row;
        if (row && !row->record.spilled && !jq_state_is_terminal(row->record.state))
            JQ_TRY(give(row, JQ_READ_PAYLOAD, each, arg));
    }
    return JQ_OK;
}

/* --- reads --- */

/* Of the queue and states that are asked for. */
static bool is_of(const struct jq_memory_job *row, const struct jq_read *read)
{
    return row && (!read->queue || row->record.queue == read->queue) &&
           (!read->states || read->states >> row->record.state & 1);
}

static bool passes(const struct jq_job_record *job, const struct jq_read *read)
{
    return (!read->created_after || job->created_at >= read->created_after) &&
           (!read->created_before || job->created_at < read->created_before) &&
           (!read->label || read->label_size == 0 ||
            (job->options.size > 0 &&
             memmem(job->options.data, job->options.size, read->label, read->label_size)));
}

static enum jq_err read_list(const struct jq_table *jobs, const struct jq_read *read,
                             jq_each_job_fn *each, void *arg, bool *ret_more)
{
    uint32_t given = 0, looks = 0;
    size_t at = jobs->count;

    if (read->before_id != 0)
        at = jq_table_seek(jobs, (struct jq_key){ .major = read->before_id });
    while (at-- > 0) {
        const struct jq_memory_job *row = jobs->slots[at].row;
        const bool is_last = row && ++looks == read->scan;
        if (!is_last && (!is_of(row, read) || !passes(&row->record, read)))
            continue;
        if (given++ == read->limit) {
            *ret_more = true;
            return JQ_OK;
        }
        JQ_TRY(give(row, read->parts, each, arg));
        if (is_last) {
            *ret_more = true;
            return JQ_OK;
        }
    }
    return JQ_OK;
}

static enum jq_err read_oldest(const struct jq_table *jobs, const struct jq_read *read,
                               jq_each_job_fn *each, void *arg, bool *ret_more)
{
    uint32_t given = 0;
    size_t at = jq_table_seek(jobs, (struct jq_key){ .major = read->before_id, .minor = 1 });

    for (; at < jobs->count; at++) {
        const struct jq_memory_job *row = jobs->slots[at].row;
        if (!is_of(row, read) || !jq_state_is_terminal(row->record.state))
            continue;
        if (given++ == read->limit) {
            *ret_more = true;
            return JQ_OK;
        }
        JQ_TRY(give(row, read->parts, each, arg));
    }
    return JQ_OK;
}

static bool is_behind(const struct jq_spill_range *range, const struct jq_job_record *job)
{
    const bool down = range->order == JQ_LIFO;

    if (!range->has_after)
        return true;
    if (job->rank != range->rank)
        return down ? job->rank < range->rank : job->rank > range->rank;
    return down ? job->id < range->id : job->id > range->id;
}

/* By walking and sorting: a broker on this store spills nothing, unless it is told to (tests). */
static enum jq_err read_spilled(const struct jq_memory_rows *rows, const struct jq_read *read,
                                jq_each_job_fn *each, void *arg, bool *ret_more)
{
    const struct jq_spill_range *range = &read->range;
    struct jq_memory_job **found;
    enum jq_err err = JQ_OK;
    size_t count, given = 0;

    JQ_TRY(jq_memory_rows_spilled(rows, read->queue, range->lane, range->order == JQ_LIFO, &found,
                                  &count));
    for (size_t i = 0; err == JQ_OK && i < count; i++) {
        if (!is_behind(range, &found[i]->record))
            continue;
        if (given++ == read->limit) {
            *ret_more = true;
            break;
        }
        err = give(found[i], read->parts, each, arg);
    }
    jq_free(found);
    return err;
}

static enum jq_err memory_read(struct jq_backend *backend, const struct jq_read *read,
                               jq_each_job_fn *each, void *arg, bool *ret_more)
{
    const struct jq_memory_rows *rows = &memory_of(backend)->rows;
    const struct jq_memory_job *row;

    *ret_more = false;
    if (read->kind == JQ_READ_KEY && !read->key)
        return JQ_OK;
    if (read->kind == JQ_READ_LIST)
        return read_list(&rows->jobs, read, each, arg, ret_more);
    if (read->kind == JQ_READ_OLDEST)
        return read_oldest(&rows->jobs, read, each, arg, ret_more);
    if (read->kind == JQ_READ_SPILLED)
        return read_spilled(rows, read, each, arg, ret_more);
    if (read->kind == JQ_READ_KEY) {
        row = jq_memory_rows_key(rows, jq_view_str(read->key));
        return row ? give(row, read->parts, each, arg) : JQ_OK;
    }
    for (uint32_t i = 0; i < read->count; i++) {
        row = jq_memory_rows_job(rows, read->ids[i]);
        if (row)
            JQ_TRY(give(row, read->parts, each, arg));
    }
    return JQ_OK;
}

static enum jq_err memory_rest(struct jq_backend *backend, bool idle, struct jq_detail *ret_detail)
{
    (void)backend;
    (void)idle;
    (void)ret_detail;
    return JQ_OK;
}

static bool memory_space_low(struct jq_backend *backend)
{
    const struct memory *memory = memory_of(backend);
    return memory->max_bytes > 0 && memory->rows.job_bytes > (uint64_t)memory->max_bytes;
}

const struct jq_store_ops jq_store_memory = {
    .name = "memory",
    .open = memory_open,
    .load_meta = memory_load_meta,
    .load_queues = memory_load_queues,
    .load_jobs = memory_load_jobs,
    .load_requests = memory_load_requests,
    .load_workers = memory_load_workers,
    .load_limits = memory_load_limits,
    .read = memory_read,
    .commit = memory_commit,
    .rest = memory_rest,
    .space_low = memory_space_low,
    .close = memory_close,
};
