/* SPDX-License-Identifier: MIT
 *
 * sqlite_large.c - payloads and outputs that are large have tables of their own: written once, not
 * again with each change of their job, and out of the way of who walks the jobs. The job's row says
 * that they are there, and has their CRCs. */
#include "broker/store/sqlite.h"

#include <stdio.h>
#include <stdlib.h>

enum { INLINE_MAX = 1024 };

bool jq_payload_is_large(size_t bytes)
{
    return bytes > INLINE_MAX;
}

bool jq_output_is_large(const struct jq_result_record *r)
{
    return r->value.size + r->stdout_head.size + r->stdout_tail.size + r->stderr_head.size +
               r->stderr_tail.size >
           INLINE_MAX;
}

static enum jq_err find_span(struct jq_sqlite *sqlite, const char *table, struct jq_span *ret_span,
                             struct jq_detail *detail)
{
    char sql[80], number[32];

    snprintf(sql, sizeof(sql), "SELECT ifnull(min(job_id), 1) FROM %s", table);
    JQ_TRY(jq_sqlite_query(sqlite, sql, number, sizeof(number), detail));
    ret_span->low = strtoull(number, NULL, 10);
    snprintf(sql, sizeof(sql), "SELECT ifnull(max(job_id), 0) FROM %s", table);
    JQ_TRY(jq_sqlite_query(sqlite, sql, number, sizeof(number), detail));
    ret_span->top = strtoull(number, NULL, 10);
    return JQ_OK;
}

enum jq_err jq_sqlite_large_open(struct jq_sqlite *sqlite, struct jq_detail *detail)
{
    JQ_TRY(find_span(sqlite, "job_payload", &sqlite->payloads, detail));
    return find_span(sqlite, "job_output", &sqlite->outputs, detail);
}

/* Never narrower than the table, also when the transaction is rolled back. */
static void widen(struct jq_span *span, uint64_t id)
{
    const bool empty = span->top < span->low;

    if (empty || id < span->low)
        span->low = id;
    if (empty || id > span->top)
        span->top = id;
}

static bool meets(const struct jq_span *span, uint64_t first, uint64_t last)
{
    return first <= span->top && last >= span->low && span->low <= span->top;
}

int jq_sqlite_payload_put(struct jq_sqlite *sqlite, const struct jq_job_record *job)
{
    if (!jq_payload_is_large(job->payload.size))
        return SQLITE_OK;
    widen(&sqlite->payloads, job->id);
    const int code = jq_row_bind_payload(sqlite, JQ_SQL_PAYLOAD_PUT, job);
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, JQ_SQL_PAYLOAD_PUT) : code;
}

int jq_sqlite_output_put(struct jq_sqlite *sqlite, uint64_t id,
                         const struct jq_result_record *result)
{
    if (!jq_output_is_large(result))
        return SQLITE_OK;
    widen(&sqlite->outputs, id);
    const int code = jq_row_bind_output(sqlite, JQ_SQL_OUTPUT_PUT, id, result);
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, JQ_SQL_OUTPUT_PUT) : code;
}

int jq_sqlite_outputs_delete(struct jq_sqlite *sqlite, uint64_t first, uint64_t last)
{
    return meets(&sqlite->outputs, first, last)
               ? jq_sqlite_run_with_range(sqlite, JQ_SQL_OUTPUTS_DELETE, first, last)
               : SQLITE_OK;
}

int jq_sqlite_large_delete(struct jq_sqlite *sqlite, uint64_t first, uint64_t last)
{
    int code = jq_sqlite_outputs_delete(sqlite, first, last);

    if (code == SQLITE_OK && meets(&sqlite->payloads, first, last))
        code = jq_sqlite_run_with_range(sqlite, JQ_SQL_PAYLOADS_DELETE, first, last);
    return code;
}

bool jq_sqlite_has_payloads(const struct jq_sqlite *sqlite)
{
    return meets(&sqlite->payloads, 0, UINT64_MAX);
}

int jq_sqlite_large_delete_queue(struct jq_sqlite *sqlite, uint32_t queue)
{
    int code = SQLITE_OK;

    if (meets(&sqlite->outputs, 0, UINT64_MAX))
        code = jq_sqlite_run_with_id(sqlite, JQ_SQL_QUEUE_OUTPUTS_DELETE, queue);
    if (code == SQLITE_OK && jq_sqlite_has_payloads(sqlite))
        code = jq_sqlite_run_with_id(sqlite, JQ_SQL_QUEUE_PAYLOADS_DELETE, queue);
    return code;
}
