/* SPDX-License-Identifier: MIT
 *
 * sqlite_commit.c - one batch, one transaction. Store thread. */
#include <string.h>

#include "broker/store/op_job.h"
#include "broker/store/sqlite.h"

enum { ROW_BYTES = 256 }; /* about what a row takes beside its payload */

int jq_sqlite_run(struct jq_sqlite *sqlite, enum jq_sql which)
{
    sqlite3_stmt *statement = sqlite->statements[which];

    const int code = sqlite3_step(statement);
    const int reset = sqlite3_reset(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? reset : code;
}

int jq_sqlite_run_with_id(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t id)
{
    const int code = jq_row_bind_id(sqlite, which, 1, id);
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, which) : code;
}

int jq_sqlite_run_with_range(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t first,
                             uint64_t last)
{
    const int code = jq_row_bind_id(sqlite, which, 2, last);
    return code == SQLITE_OK ? jq_sqlite_run_with_id(sqlite, which, first) : code;
}

static int run_with_set(struct jq_sqlite *sqlite, enum jq_sql which,
                        const struct jq_job_record *job)
{
    const int code = jq_row_bind_set(sqlite, which, 1, job);
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, which) : code;
}

static int job_delete(struct jq_sqlite *sqlite, uint64_t id)
{
    int code = jq_sqlite_large_delete(sqlite, id, id);
    if (code == SQLITE_OK)
        code = jq_sqlite_run_with_id(sqlite, JQ_SQL_JOB_DELETE, id);
    if (code != SQLITE_OK || sqlite3_changes(sqlite->db) > 0)
        return code;
    return jq_sqlite_run_with_id(sqlite, JQ_SQL_ENDED_DELETE, id);
}

/* A replacement: wherever the row is. */
static int job_replace(struct jq_sqlite *sqlite, uint64_t id)
{
    const int code = job_delete(sqlite, id);

    return code == SQLITE_OK ? jq_sqlite_run_with_range(sqlite, JQ_SQL_SPILLEDS_DELETE, id, id)
                             : code;
}

typedef bool is_kind_fn(const struct jq_store_op *op);

static bool is_delete(const struct jq_store_op *op)
{
    return op->kind == JQ_OP_JOB_DELETE;
}

static bool is_end(const struct jq_store_op *op)
{
    return op->kind == JQ_OP_JOB_SET && jq_state_is_terminal(op->u.job.state);
}

/* Jobs that follow one another mostly end together, so a run of ids leaves its table by one
 * statement. Measured with batches of 10,000 puts and 10,000 deletes: 0.51 M jobs/s (median of six
 * runs) against 0.39 M with a statement for each. Returns how many operations the run at `first`
 * takes. */
static uint32_t run_of(const struct jq_batch *batch, uint32_t first, is_kind_fn *is_kind,
                       uint64_t *ret_last)
{
    uint64_t last = batch->ops[first].u.job.id;
    uint32_t at = first + 1;

    for (; at < batch->count; at++) {
        const struct jq_store_op *op = &batch->ops[at];
        if (op->kind == JQ_OP_NONE)
            continue;
        if (!is_kind(op) || op->u.job.id != last + 1 ||
            op->from_spilled != batch->ops[first].from_spilled)
            break;
        last++;
    }
    *ret_last = last;
    return at - first;
}

static int spilleds_delete(struct jq_sqlite *sqlite, uint64_t first, uint64_t last)
{
    const int code = jq_sqlite_large_delete(sqlite, first, last);

    return code == SQLITE_OK ? jq_sqlite_run_with_range(sqlite, JQ_SQL_SPILLEDS_DELETE, first, last)
                             : code;
}

static int jobs_delete(struct jq_sqlite *sqlite, uint64_t first, uint64_t last)
{
    static const enum jq_sql places[] = { JQ_SQL_JOBS_DELETE, JQ_SQL_ENDEDS_DELETE };
    uint64_t deleted = 0;

    if (first == last)
        return job_delete(sqlite, first);
    int code = jq_sqlite_large_delete(sqlite, first, last);
    for (int i = 0; code == SQLITE_OK && i < 2 && deleted < last - first + 1; i++) {
        code = jq_sqlite_run_with_range(sqlite, places[i], first, last);
        deleted += (uint64_t)sqlite3_changes64(sqlite->db);
    }
    return code;
}

static int job_put(struct jq_sqlite *sqlite, const struct jq_store_op *op)
{
    struct jq_job_record record, *const job = &record;
    const bool ended = jq_state_is_terminal(op->u.job.state);
    const enum jq_sql which = ended ? JQ_SQL_ENDED_PUT : JQ_SQL_JOB_PUT;
    int code = SQLITE_OK;

    jq_op_job(op, job);
    if (job->id <= sqlite->top_id)
        code = job_replace(sqlite, job->id);
    if (code == SQLITE_OK && job->spilled) {
        code = jq_sqlite_payload_put(sqlite, job);
        return code == SQLITE_OK ? jq_sqlite_spilled_put(sqlite, job) : code;
    }
    if (code == SQLITE_OK)
        code = jq_row_bind_set(sqlite, which, 1, job);
    if (code == SQLITE_OK && ended)
        code = jq_row_bind_result(sqlite, which, 1 + JQ_SET_COUNT, job->id,
                                  op->has_result ? op->result : NULL);
    if (code == SQLITE_OK)
        code =
            jq_row_bind_fixed(sqlite, which, 1 + JQ_SET_COUNT + (ended ? JQ_RESULT_COUNT : 0), job);
    if (code == SQLITE_OK)
        code = jq_sqlite_payload_put(sqlite, job);
    if (code == SQLITE_OK && ended && op->has_result)
        code = jq_sqlite_output_put(sqlite, job->id, op->result);
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, which) : code;
}

/* Binds the id and the result, from the result's usual place on, and runs. */
static int run_with_result(struct jq_sqlite *sqlite, enum jq_sql which,
                           const struct jq_store_op *op)
{
    int code = jq_row_bind_id(sqlite, which, 1, op->u.job.id);

    if (code == SQLITE_OK)
        code = jq_row_bind_result(sqlite, which, 1 + JQ_SET_COUNT, op->u.job.id,
                                  op->has_result ? op->result : NULL);
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, which) : code;
}

/* The result of a job that has ended before gives way to another. */
static int replace_result(struct jq_sqlite *sqlite, const struct jq_store_op *op)
{
    int code = run_with_result(sqlite, JQ_SQL_ENDED_RESULT, op);

    if (code == SQLITE_OK)
        code = jq_sqlite_outputs_delete(sqlite, op->u.job.id, op->u.job.id);
    return code == SQLITE_OK ? jq_sqlite_output_put(sqlite, op->u.job.id, op->result) : code;
}

/* A row that is where live jobs are is copied to the ended ones, and *ret_moved. Else it has ended
 * before. */
static int job_end(struct jq_sqlite *sqlite, const struct jq_store_op *op, bool *ret_moved,
                   bool *ret_found)
{
    const enum jq_sql which = op->from_spilled ? JQ_SQL_SPILLED_END : JQ_SQL_JOB_END;
    struct jq_job_record job;

    jq_op_job(op, &job);
    int code = jq_row_bind_set(sqlite, which, 1, &job);

    if (code == SQLITE_OK)
        code = run_with_result(sqlite, which, op);
    if (code != SQLITE_OK)
        return code;
    if (sqlite3_changes(sqlite->db) > 0) {
        *ret_moved = true;
        return op->has_result ? jq_sqlite_output_put(sqlite, op->u.job.id, op->result) : SQLITE_OK;
    }
    code = run_with_set(sqlite, JQ_SQL_ENDED_SET, &job);
    *ret_found = sqlite3_changes(sqlite->db) > 0;
    return code == SQLITE_OK && *ret_found && op->has_result ? replace_result(sqlite, op) : code;
}

/* The run of jobs that end, from the operation at *at on. What is not found leaves *at at it. */
static int jobs_end(struct jq_sqlite *sqlite, const struct jq_batch *batch, uint32_t *at,
                    bool *ret_found)
{
    const uint64_t first = batch->ops[*at].u.job.id;
    const bool spilled = batch->ops[*at].from_spilled;
    uint64_t last;
    const uint32_t end = *at + run_of(batch, *at, is_end, &last);
    bool moved = false;

    for (; *at < end; ++*at) {
        const struct jq_store_op *op = &batch->ops[*at];
        if (op->kind == JQ_OP_NONE)
            continue;
        const int code = job_end(sqlite, op, &moved, ret_found);
        if (code != SQLITE_OK || !*ret_found)
            return code;
    }
    return !moved          ? SQLITE_OK
           : spilled       ? jq_sqlite_run_with_range(sqlite, JQ_SQL_SPILLEDS_DELETE, first, last)
           : first == last ? jq_sqlite_run_with_id(sqlite, JQ_SQL_JOB_DELETE, first)
                           : jq_sqlite_run_with_range(sqlite, JQ_SQL_JOBS_DELETE, first, last);
}

static int job_set(struct jq_sqlite *sqlite, const struct jq_store_op *op, bool *ret_found)
{
    struct jq_job_record job;

    jq_op_job(op, &job);
    if (op->from_spilled)
        return jq_sqlite_spilled_set(sqlite, &job, ret_found);
    int code = run_with_set(sqlite, JQ_SQL_JOB_SET, &job);
    if (code != SQLITE_OK || sqlite3_changes(sqlite->db) > 0)
        return code;
    /* An ended job that lives again, without its result. */
    code = run_with_set(sqlite, JQ_SQL_JOB_REVIVE, &job);
    *ret_found = sqlite3_changes(sqlite->db) > 0;
    if (code == SQLITE_OK && *ret_found)
        code = jq_sqlite_run_with_id(sqlite, JQ_SQL_ENDED_DELETE, job.id);
    if (code == SQLITE_OK && *ret_found)
        code = jq_sqlite_outputs_delete(sqlite, job.id, job.id);
    return code;
}

static int job_spill(struct jq_sqlite *sqlite, const struct jq_store_op *op, bool *ret_found)
{
    struct jq_job_record job;

    jq_op_job(op, &job);
    return jq_sqlite_job_spill(sqlite, &job, ret_found);
}

static int run_bound(struct jq_sqlite *sqlite, enum jq_sql which, int code)
{
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, which) : code;
}

/* Its ended jobs have no index by queue: a kept job would pay for it, a removed queue is rare. */
static int queue_delete(struct jq_sqlite *sqlite, uint32_t id)
{
    int code = jq_sqlite_large_delete_queue(sqlite, id);
    if (code == SQLITE_OK)
        code = jq_sqlite_run_with_id(sqlite, JQ_SQL_QUEUE_ENDED_DELETE, id);
    return code == SQLITE_OK ? jq_sqlite_run_with_id(sqlite, JQ_SQL_QUEUE_DELETE, id) : code;
}

static int other(struct jq_sqlite *sqlite, const struct jq_store_op *op)
{
    const struct jq_request_record *request = &op->u.request;
    int code;

    switch (op->kind) {
    case JQ_OP_QUEUE_PUT:
        code = jq_row_bind_queue(sqlite, JQ_SQL_QUEUE_PUT, op->u.queue.record);
        return run_bound(sqlite, JQ_SQL_QUEUE_PUT, code);
    case JQ_OP_QUEUE_DELETE:
        return queue_delete(sqlite, op->u.queue.id);
    case JQ_OP_REQUEST_PUT:
        code = jq_row_bind_request(sqlite, JQ_SQL_REQUEST_PUT, request);
        return run_bound(sqlite, JQ_SQL_REQUEST_PUT, code);
    case JQ_OP_REQUEST_DELETE:
        code = jq_row_bind_id(sqlite, JQ_SQL_REQUEST_DELETE, 2, request->number);
        return code == SQLITE_OK
                   ? jq_sqlite_run_with_id(sqlite, JQ_SQL_REQUEST_DELETE, request->session)
                   : code;
    case JQ_OP_SESSION_DELETE:
        return jq_sqlite_run_with_id(sqlite, JQ_SQL_SESSION_DELETE, request->session);
    case JQ_OP_WORKER_PUT:
        code = jq_row_bind_worker(sqlite, JQ_SQL_WORKER_PUT, &op->u.worker);
        return run_bound(sqlite, JQ_SQL_WORKER_PUT, code);
    case JQ_OP_WORKER_DELETE:
        return jq_sqlite_run_with_id(sqlite, JQ_SQL_WORKER_DELETE, op->u.worker.session);
    case JQ_OP_LIMIT_PUT:
        code = jq_row_bind_limit(sqlite, JQ_SQL_LIMIT_PUT, &op->u.limit);
        return run_bound(sqlite, JQ_SQL_LIMIT_PUT, code);
    case JQ_OP_LIMIT_DELETE:
        code = jq_row_bind_limit_name(sqlite, JQ_SQL_LIMIT_DELETE, &op->u.limit);
        return run_bound(sqlite, JQ_SQL_LIMIT_DELETE, code);
    case JQ_OP_NONE:
    case JQ_OP_JOB_PUT:
    case JQ_OP_JOB_SET:
    case JQ_OP_JOB_DELETE:
    case JQ_OP_JOB_SPILL:
    case JQ_OP_SPILLED_PURGE:
        break;
    }
    return SQLITE_OK;
}

/* Applies the operation at *at, with those after it that it takes along, and moves *at past them. A
 * job that is not there leaves *at at it. */
static int apply(struct jq_sqlite *sqlite, const struct jq_batch *batch, uint32_t *at,
                 uint64_t *top_id, bool *ret_found)
{
    const struct jq_store_op *op = &batch->ops[*at];
    uint64_t last;
    int code;

    if (is_end(op))
        return jobs_end(sqlite, batch, at, ret_found);
    if (op->kind == JQ_OP_JOB_DELETE) {
        *at += run_of(batch, *at, is_delete, &last);
        return op->from_spilled ? spilleds_delete(sqlite, op->u.job.id, last)
                                : jobs_delete(sqlite, op->u.job.id, last);
    }
    if (op->kind == JQ_OP_JOB_PUT) {
        code = job_put(sqlite, op);
        if (op->u.job.id > *top_id)
            *top_id = op->u.job.id;
    } else if (op->kind == JQ_OP_JOB_SET) {
        code = job_set(sqlite, op, ret_found);
    } else if (op->kind == JQ_OP_JOB_SPILL) {
        code = job_spill(sqlite, op, ret_found);
    } else if (op->kind == JQ_OP_SPILLED_PURGE) {
        code = jq_sqlite_spilled_purge(sqlite, &op->u.purge, ret_found);
    } else {
        code = other(sqlite, op);
    }
    *at += *ret_found;
    return code;
}

static enum jq_err apply_all(struct jq_sqlite *sqlite, const struct jq_batch *batch,
                             uint64_t *top_id, struct jq_detail *detail)
{
    bool found = true;

    for (uint32_t at = 0; at < batch->count;) {
        const int code = apply(sqlite, batch, &at, top_id, &found);
        if (code != SQLITE_OK)
            return jq_sqlite_error(sqlite, code, "cannot write", detail);
        if (!found && batch->ops[at].kind == JQ_OP_SPILLED_PURGE) {
            jq_detail_set(detail, "%s: queue %u has fewer spilled jobs than it should have",
                          sqlite->path.file, batch->ops[at].u.purge.queue);
            return JQ_ECORRUPT;
        }
        if (!found) {
            jq_detail_set(detail, "%s: job %llu should be in it and is not", sqlite->path.file,
                          (unsigned long long)batch->ops[at].u.job.id);
            return JQ_ECORRUPT;
        }
    }
    return JQ_OK;
}

static enum jq_err write_all(struct jq_sqlite *sqlite, const struct jq_batch *batch,
                             const struct jq_store_meta *meta, uint64_t *top_id,
                             struct jq_detail *detail)
{
    JQ_TRY(apply_all(sqlite, batch, top_id, detail));
    int code = jq_row_bind_meta(sqlite, JQ_SQL_META_SET, meta);
    code = run_bound(sqlite, JQ_SQL_META_SET, code);
    if (code == SQLITE_OK)
        code = jq_sqlite_run(sqlite, JQ_SQL_COMMIT);
    return code == SQLITE_OK ? JQ_OK : jq_sqlite_error(sqlite, code, "cannot commit", detail);
}

enum jq_err jq_sqlite_commit(struct jq_backend *backend, const struct jq_batch *batch,
                             struct jq_detail *ret_detail)
{
    struct jq_sqlite *sqlite = jq_sqlite_of(backend);
    struct jq_store_meta meta = batch->meta;
    uint64_t top_id = sqlite->top_id;

    memcpy(meta.store_id, sqlite->meta.store_id, sizeof(meta.store_id)); /* never changes */
    if (meta.commit_sequence <= sqlite->meta.commit_sequence) {
        jq_detail_set(ret_detail, "batch %llu after batch %llu",
                      (unsigned long long)meta.commit_sequence,
                      (unsigned long long)sqlite->meta.commit_sequence);
        return JQ_EINVAL;
    }
    int code = jq_sqlite_run(sqlite, JQ_SQL_BEGIN);
    if (code != SQLITE_OK)
        return jq_sqlite_error(sqlite, code, "cannot write", ret_detail);
    enum jq_err err = write_all(sqlite, batch, &meta, &top_id, ret_detail);
    if (err != JQ_OK) {
        /* Whatever ROLLBACK says, the outcome is unknown to the caller. */
        if (!sqlite3_get_autocommit(sqlite->db))
            jq_sqlite_run(sqlite, JQ_SQL_ROLLBACK);
        return err;
    }
    sqlite->top_id = top_id;
    sqlite->meta = meta;
    sqlite->commits_unchecked++;
    sqlite->bytes_unchecked += batch->bytes + (uint64_t)batch->live * ROW_BYTES;
    err = jq_mark_write(&sqlite->mark, &sqlite->meta);
    if (err != JQ_OK)
        jq_detail_set(ret_detail, "%s.mark: cannot be written", sqlite->path.file);
    return err;
}
