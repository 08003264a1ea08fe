/* SPDX-License-Identifier: MIT
 *
 * sqlite_spill.c - live jobs that the broker does not keep in memory: a table of their own, in the
 * order in which they will be asked for. A row leaves it with the first change of its job. */
#include "broker/core/order.h"
#include "broker/store/sqlite_cursor.h"

int jq_sqlite_spilled_put(struct jq_sqlite *sqlite, const struct jq_job_record *job)
{
    int code = jq_row_bind_set(sqlite, JQ_SQL_SPILLED_PUT, 1, job);

    if (code == SQLITE_OK)
        code = jq_row_bind_fixed(sqlite, JQ_SQL_SPILLED_PUT, 1 + JQ_SET_COUNT, job);
    if (code == SQLITE_OK)
        code =
            jq_row_bind_place(sqlite, JQ_SQL_SPILLED_PUT, 1 + JQ_SET_COUNT + JQ_FIXED_COUNT, job);
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, JQ_SQL_SPILLED_PUT) : code;
}

int jq_sqlite_job_spill(struct jq_sqlite *sqlite, const struct jq_job_record *job, bool *ret_found)
{
    int code = jq_row_bind_id(sqlite, JQ_SQL_JOB_SPILL, 1, job->id);

    if (code == SQLITE_OK)
        code = jq_row_bind_place(sqlite, JQ_SQL_JOB_SPILL, 2, job);
    if (code == SQLITE_OK)
        code = jq_sqlite_run(sqlite, JQ_SQL_JOB_SPILL);
    *ret_found = sqlite3_changes(sqlite->db) > 0;
    return code == SQLITE_OK ? jq_sqlite_run_with_id(sqlite, JQ_SQL_JOB_DELETE, job->id) : code;
}

int jq_sqlite_spilled_set(struct jq_sqlite *sqlite, const struct jq_job_record *job,
                          bool *ret_found)
{
    int code = jq_row_bind_set(sqlite, JQ_SQL_SPILLED_SET, 1, job);

    if (code == SQLITE_OK)
        code = jq_sqlite_run(sqlite, JQ_SQL_SPILLED_SET);
    *ret_found = sqlite3_changes(sqlite->db) > 0;
    return code == SQLITE_OK
               ? jq_sqlite_run_with_range(sqlite, JQ_SQL_SPILLEDS_DELETE, job->id, job->id)
               : code;
}

static int run_purge(struct jq_sqlite *sqlite, enum jq_sql which,
                     const struct jq_spilled_purge *purge)
{
    int code = jq_row_bind_id(sqlite, which, 1, purge->queue);

    if (code == SQLITE_OK)
        code = jq_row_bind_id(sqlite, which, 2, purge->lane);
    if (code == SQLITE_OK)
        code = jq_row_bind_id(sqlite, which, 3, purge->before);
    if (code == SQLITE_OK)
        code = jq_row_bind_id(sqlite, which, 4, purge->count);
    return code == SQLITE_OK ? jq_sqlite_run(sqlite, which) : code;
}

int jq_sqlite_spilled_purge(struct jq_sqlite *sqlite, const struct jq_spilled_purge *purge,
                            bool *ret_found)
{
    int code = SQLITE_OK;

    if (jq_sqlite_has_payloads(sqlite))
        code = run_purge(sqlite, JQ_SQL_SPILLED_PURGE_PAYLOADS, purge);
    if (code == SQLITE_OK)
        code = run_purge(sqlite, JQ_SQL_SPILLED_PURGE, purge);
    *ret_found = (uint64_t)sqlite3_changes64(sqlite->db) == purge->count;
    return code;
}

/* --- reading --- */

static enum jq_err bind_spilled(struct jq_cursor *cursor, const struct jq_read *read,
                                uint32_t limit)
{
    const struct jq_spill_range *range = &read->range;
    const int64_t none = range->order == JQ_LIFO ? INT64_MAX : 0;

    JQ_TRY(jq_cursor_bind(cursor, 2, read->queue));
    JQ_TRY(jq_cursor_bind(cursor, 3, range->lane));
    JQ_TRY(jq_cursor_bind(cursor, 4, range->has_after ? range->rank : 0));
    JQ_TRY(jq_cursor_bind(cursor, 5, range->has_after ? jq_sqlite_key(range->id) : none));
    return jq_cursor_bind(cursor, 6, (int64_t)limit + 1); /* one more tells that there is */
}

static enum jq_err give_spilled(struct jq_sqlite *sqlite, enum jq_sql which,
                                const struct jq_read *read, uint32_t *limit, jq_each_job_fn *each,
                                void *arg, bool *ret_more)
{
    struct jq_cursor cursor;

    enum jq_err err = jq_cursor_open(&cursor, sqlite, which, JQ_PLACE_SPILLED, read->parts);
    if (err == JQ_OK)
        err = bind_spilled(&cursor, read, *limit);
    if (err == JQ_OK)
        err = jq_cursor_give_all(&cursor, limit, each, arg, ret_more);
    jq_cursor_close(&cursor);
    return err;
}

/* What has the rank of the key, then what has a higher. FIFO and LIFO have one rank. */
enum jq_err jq_sqlite_read_spilled(struct jq_sqlite *sqlite, const struct jq_read *read,
                                   jq_each_job_fn *each, void *arg, bool *ret_more)
{
    const struct jq_spill_range *range = &read->range;
    uint32_t limit = read->limit;

    if (range->order == JQ_LIFO)
        return give_spilled(sqlite, JQ_SQL_SPILLED_DOWN, read, &limit, each, arg, ret_more);
    if (!range->has_after)
        return give_spilled(sqlite, JQ_SQL_SPILLED_FIRST, read, &limit, each, arg, ret_more);
    JQ_TRY(give_spilled(sqlite, JQ_SQL_SPILLED_UP, read, &limit, each, arg, ret_more));
    return *ret_more ? JQ_OK
                     : give_spilled(sqlite, JQ_SQL_SPILLED_NEXT, read, &limit, each, arg, ret_more);
}
