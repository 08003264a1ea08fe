/* SPDX-License-Identifier: MIT
 *
 * sqlite_jobs.c - operations about jobs, in runs: those of one kind that follow one another are
 * written by one statement. Store thread. */
#include "broker/store/op_job.h"
#include "broker/store/sqlite.h"

#include <stdlib.h>

static int run_with_life(struct jq_sqlite *sqlite, enum jq_sql which,
                         const struct jq_job_record *job)
{
    const int code = jq_row_bind_life(sqlite, which, job);
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, which) : code;
}

/* --- runs --- */

bool jq_sqlite_is_about_jobs(const struct jq_store_op *op)
{
    return op->kind >= JQ_OP_JOB_PUT && op->kind <= JQ_OP_SPILLED_PURGE;
}

static bool is_end(const struct jq_store_op *op)
{
    return op->kind == JQ_OP_JOB_SET && jq_state_is_terminal(op->u.job.state);
}

/* By the same statements. */
static bool goes_with(const struct jq_store_op *op, const struct jq_store_op *first)
{
    if (op->kind != first->kind || op->from_spilled != first->from_spilled)
        return false;
    return op->kind == JQ_OP_JOB_DELETE || op->kind == JQ_OP_JOB_SPILL ||
           (op->u.job.spilled == first->u.job.spilled &&
            jq_state_is_terminal(op->u.job.state) == jq_state_is_terminal(first->u.job.state));
}

static int by_id(const void *a, const void *b)
{
    const uint64_t left = (*(const struct jq_store_op *const *)a)->u.job.id;
    const uint64_t right = (*(const struct jq_store_op *const *)b)->u.job.id;

    return left < right ? -1 : left > right;
}

/* False: a job is in it twice. */
static bool sort(struct jq_run *run)
{
    qsort(run->ops, run->count, sizeof(run->ops[0]), by_id);
    for (uint32_t i = 1; i < run->count; i++)
        if (run->ops[i]->u.job.id == run->ops[i - 1]->u.job.id)
            return false;
    return true;
}

/* The operations from `first` on that go together, until `rising`: until the first whose id is
 * lower. Returns where they end. */
static uint32_t gather(const struct jq_batch *batch, uint32_t first, bool rising,
                       struct jq_run *run, bool *ret_rises)
{
    uint32_t end = first;
    uint64_t last = 0;

    run->count = 0;
    *ret_rises = true;
    for (uint32_t at = first; at < batch->count; at++) {
        const struct jq_store_op *op = &batch->ops[at];
        if (!jq_sqlite_is_about_jobs(op))
            continue;
        if (!goes_with(op, &batch->ops[first]))
            break;
        if (run->count > 0 && op->u.job.id <= last) {
            if (rising)
                break;
            *ret_rises = false;
        }
        last = op->u.job.id;
        run->ops[run->count++] = op;
        end = at + 1;
    }
    return end;
}

/* Workers end jobs in any order: by their ids they mostly follow one another, and rows are written
 * and deleted where the last one was. Returns where the run that begins at `first` ends. */
static uint32_t find_run(const struct jq_batch *batch, uint32_t first, struct jq_run *run)
{
    bool rises;
    const uint32_t end = gather(batch, first, false, run, &rises);

    /* Of one job the first comes first. The core has no batch like that. */
    return rises || sort(run) ? end : gather(batch, first, true, run, &rises);
}

/* Ids without a gap, from *at on: they leave their table by one statement. */
static bool next_span(const struct jq_run *run, uint32_t *at, struct jq_span *ret_span)
{
    if (*at == run->count)
        return false;
    ret_span->low = ret_span->top = run->ops[(*at)++]->u.job.id;
    while (*at < run->count && run->ops[*at]->u.job.id == ret_span->top + 1) {
        ret_span->top++;
        ++*at;
    }
    return true;
}

static int delete_span(struct jq_sqlite *sqlite, enum jq_sql which, const struct jq_span *span,
                       uint64_t *deleted)
{
    const int code = jq_sqlite_run_with_range(sqlite, which, span->low, span->top);

    *deleted += (uint64_t)sqlite3_changes64(sqlite->db);
    return code;
}

/* --- jobs --- */

static int jobs_delete(struct jq_sqlite *sqlite, const struct jq_run *run)
{
    static const enum jq_sql live[] = { JQ_SQL_JOBS_DELETE, JQ_SQL_ENDEDS_DELETE };
    static const enum jq_sql spilled[] = { JQ_SQL_SPILLEDS_DELETE };
    const bool from_spilled = run->ops[0]->from_spilled;
    const enum jq_sql *const tables = from_spilled ? spilled : live;
    struct jq_span span;
    int code = SQLITE_OK;

    for (uint32_t at = 0; code == SQLITE_OK && next_span(run, &at, &span);) {
        uint64_t deleted = 0;
        code = jq_sqlite_large_delete(sqlite, span.low, span.top);
        for (int i = 0; code == SQLITE_OK && i < (from_spilled ? 1 : 2); i++)
            if (deleted <= span.top - span.low)
                code = delete_span(sqlite, tables[i], &span, &deleted);
    }
    return code;
}

/* A replacement: wherever the row is. */
static int job_replace(struct jq_sqlite *sqlite, uint64_t id)
{
    static const enum jq_sql tables[JQ_PLACES] = { JQ_SQL_JOBS_DELETE, JQ_SQL_SPILLEDS_DELETE,
                                                   JQ_SQL_ENDEDS_DELETE };
    int code = jq_sqlite_large_delete(sqlite, id, id);

    for (int i = 0; code == SQLITE_OK && i < JQ_PLACES; i++)
        code = jq_sqlite_run_with_range(sqlite, tables[i], id, id);
    return code;
}

/* What of the job is not in its row. */
static int put_large(struct jq_sqlite *sqlite, const struct jq_store_op *op)
{
    struct jq_job_record job;
    int code = SQLITE_OK;

    if (jq_payload_is_large(op->u.job.fixed->payload_size)) {
        jq_op_job(op, &job);
        code = jq_sqlite_payload_put(sqlite, &job);
    }
    if (code == SQLITE_OK && op->has_result)
        code = jq_sqlite_output_put(sqlite, op->u.job.id, op->result);
    return code;
}

static int jobs_put(struct jq_sqlite *sqlite, const struct jq_run *run, uint64_t *top_id)
{
    const struct jq_store_op *const first = run->ops[0];
    int code = SQLITE_OK;

    for (uint32_t i = 0; code == SQLITE_OK && i < run->count; i++) {
        const struct jq_store_op *op = run->ops[i];
        if (op->u.job.id <= sqlite->top_id)
            code = job_replace(sqlite, op->u.job.id);
        if (code == SQLITE_OK)
            code = put_large(sqlite, op);
        if (op->u.job.id > *top_id)
            *top_id = op->u.job.id;
    }
    if (code != SQLITE_OK)
        return code;
    return jq_sqlite_run(sqlite, jq_state_is_terminal(first->u.job.state) ? JQ_SQL_ENDED_PUT
                                 : first->u.job.spilled                   ? JQ_SQL_SPILLED_PUT
                                                                          : JQ_SQL_JOB_PUT);
}

/* A job that has ended before; its result gives way to another. */
static int end_again(struct jq_sqlite *sqlite, const struct jq_store_op *op, bool *ret_found)
{
    const uint64_t id = op->u.job.id;
    struct jq_job_record job;

    jq_op_job(op, &job);
    int code = run_with_life(sqlite, JQ_SQL_ENDED_SET, &job);
    *ret_found = sqlite3_changes(sqlite->db) > 0;
    if (code != SQLITE_OK || !*ret_found || !op->has_result)
        return code;
    code = jq_row_bind_result(sqlite, JQ_SQL_ENDED_RESULT, id, op->result);
    if (code == SQLITE_OK)
        code = jq_sqlite_run(sqlite, JQ_SQL_ENDED_RESULT);
    if (code == SQLITE_OK)
        code = jq_sqlite_outputs_delete(sqlite, id, id);
    return code;
}

/* From which table a run takes its jobs to another, and how they get there. */
struct way {
    enum jq_sql copy, delete;
};

static struct way way_of(const struct jq_store_op *op)
{
    if (op->kind == JQ_OP_JOB_SPILL)
        return (struct way){ JQ_SQL_JOB_SPILL, JQ_SQL_JOBS_DELETE };
    if (!op->from_spilled)
        return (struct way){ JQ_SQL_JOB_END, JQ_SQL_JOBS_DELETE };
    return (struct way){ is_end(op) ? JQ_SQL_SPILLED_END : JQ_SQL_SPILLED_SET,
                         JQ_SQL_SPILLEDS_DELETE };
}

/* Not all of the run have been copied. */
static int leave_one_by_one(struct jq_sqlite *sqlite, const struct jq_run *run, enum jq_sql delete,
                            const struct jq_store_op **ret_absent)
{
    int code = SQLITE_OK;

    for (uint32_t i = 0; code == SQLITE_OK && !*ret_absent && i < run->count; i++) {
        const struct jq_store_op *op = run->ops[i];
        bool found = true;
        code = jq_sqlite_run_with_range(sqlite, delete, op->u.job.id, op->u.job.id);
        if (code == SQLITE_OK && sqlite3_changes(sqlite->db) == 0) {
            found = is_end(op);
            code = found ? end_again(sqlite, op, &found) : SQLITE_OK;
        }
        *ret_absent = found ? NULL : op;
    }
    return code;
}

static int jobs_move(struct jq_sqlite *sqlite, const struct jq_run *run,
                     const struct jq_store_op **ret_absent)
{
    const struct way way = way_of(run->ops[0]);
    struct jq_span span;
    uint64_t deleted = 0;

    int code = jq_sqlite_run(sqlite, way.copy);
    if (code == SQLITE_OK && (uint64_t)sqlite3_changes64(sqlite->db) != run->count)
        code = leave_one_by_one(sqlite, run, way.delete, ret_absent);
    else
        for (uint32_t at = 0; code == SQLITE_OK && next_span(run, &at, &span);)
            code = delete_span(sqlite, way.delete, &span, &deleted);
    for (uint32_t i = 0; code == SQLITE_OK && !*ret_absent && i < run->count; i++)
        if (run->ops[i]->has_result)
            code = jq_sqlite_output_put(sqlite, run->ops[i]->u.job.id, run->ops[i]->result);
    return code;
}

static int job_set(struct jq_sqlite *sqlite, const struct jq_store_op *op, bool *ret_found)
{
    struct jq_job_record job;

    jq_op_job(op, &job);
    int code = run_with_life(sqlite, JQ_SQL_JOB_SET, &job);
    if (code != SQLITE_OK || sqlite3_changes(sqlite->db) > 0)
        return code;
    /* An ended job that lives again, without its result. */
    code = run_with_life(sqlite, JQ_SQL_JOB_REVIVE, &job);
    *ret_found = sqlite3_changes(sqlite->db) > 0;
    if (code == SQLITE_OK && *ret_found)
        code = jq_sqlite_run_with_range(sqlite, JQ_SQL_ENDEDS_DELETE, job.id, job.id);
    if (code == SQLITE_OK && *ret_found)
        code = jq_sqlite_outputs_delete(sqlite, job.id, job.id);
    return code;
}

int jq_sqlite_apply_jobs(struct jq_sqlite *sqlite, const struct jq_batch *batch, uint32_t *at,
                         uint64_t *top_id, const struct jq_store_op **ret_absent)
{
    const struct jq_store_op *op = &batch->ops[*at];
    const bool is_set = op->kind == JQ_OP_JOB_SET && !op->from_spilled && !is_end(op);
    struct jq_run *run = &sqlite->run;
    bool found = true;
    int code;

    if (is_set || op->kind == JQ_OP_SPILLED_PURGE) {
        code = is_set ? job_set(sqlite, op, &found)
                      : jq_sqlite_spilled_purge(sqlite, &op->u.purge, &found);
        *ret_absent = found ? NULL : op;
        ++*at;
        return code;
    }
    *at = find_run(batch, *at, run);
    if (op->kind == JQ_OP_JOB_PUT)
        return jobs_put(sqlite, run, top_id);
    if (op->kind == JQ_OP_JOB_DELETE)
        return jobs_delete(sqlite, run);
    return jobs_move(sqlite, run, ret_absent);
}
