/* SPDX-License-Identifier: MIT
 *
 * sqlite_spill.c - live jobs that the broker does not keep in memory: a table of their own, in the
 * order in which they will be asked for. A row leaves it with the first change of its job. */
#include "broker/core/order.h"
#include "broker/store/sqlite_cursor.h"

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

    JQ_TRY(jq_cursor_bind(cursor, 1, read->queue));
    JQ_TRY(jq_cursor_bind(cursor, 2, range->lane));
    JQ_TRY(jq_cursor_bind(cursor, 3, range->has_after ? range->rank : 0));
    JQ_TRY(jq_cursor_bind(cursor, 4, range->has_after ? jq_sqlite_key(range->id) : none));
    return jq_cursor_bind(cursor, 5, (int64_t)limit + 1); /* one more tells that there is */
}

static enum jq_err give_spilled(struct jq_sqlite *sqlite, enum jq_sql which,
                                const struct jq_read *read, uint32_t *limit, jq_each_job_fn *each,
                                void *arg, bool *ret_more)
{
    struct jq_cursor cursor;

    jq_cursor_open(&cursor, sqlite, which, JQ_PLACE_SPILLED, read->parts);
    enum jq_err err = bind_spilled(&cursor, read, *limit);
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
