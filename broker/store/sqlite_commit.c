/* SPDX-License-Identifier: MIT
 *
 * sqlite_commit.c - one batch, one transaction. Store thread. */
#include <string.h>

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

static enum jq_err absent(const struct jq_sqlite *sqlite, const struct jq_store_op *op,
                          struct jq_detail *detail)
{
    if (op->kind == JQ_OP_SPILLED_PURGE)
        jq_detail_set(detail, "%s: queue %u has fewer spilled jobs than it should have",
                      sqlite->path.file, op->u.purge.queue);
    else
        jq_detail_set(detail, "%s: job %llu should be in it and is not", sqlite->path.file,
                      (unsigned long long)op->u.job.id);
    return JQ_ECORRUPT;
}

/* Jobs before the rest, so that what stands between jobs does not part them. Only the end of a
 * queue is about jobs, too: they are before it. */
static enum jq_err apply_all(struct jq_sqlite *sqlite, const struct jq_batch *batch,
                             uint64_t *top_id, struct jq_detail *detail)
{
    const struct jq_store_op *lacking = NULL;
    int code = SQLITE_OK;

    JQ_TRY(jq_sqlite_batch_reserve(sqlite, batch->count));
    for (uint32_t at = 0; code == SQLITE_OK && at < batch->count;) {
        if (!jq_sqlite_is_about_jobs(&batch->ops[at])) {
            at++;
            continue;
        }
        code = jq_sqlite_apply_jobs(sqlite, batch, &at, top_id, &lacking);
        if (code == SQLITE_OK && lacking)
            return absent(sqlite, lacking, detail);
    }
    for (uint32_t at = 0; code == SQLITE_OK && at < batch->count; at++)
        if (!jq_sqlite_is_about_jobs(&batch->ops[at]))
            code = other(sqlite, &batch->ops[at]);
    return code == SQLITE_OK ? JQ_OK : jq_sqlite_error(sqlite, code, "cannot write", detail);
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
