/* SPDX-License-Identifier: MIT
 *
 * sqlite_list.c - reads that look through all tables of jobs: by key, newest first, oldest first.
 */
#include "broker/store/sqlite_cursor.h"

#include <string.h>

_Static_assert(JQ_FAILED == 5, "FAILED_LIST, and its index, have this number");

#define ALL_STATES ((1u << JQ_JOB_STATES) - 1)
#define LIVE_STATES ((1u << JQ_SUCCEEDED) - 1)

static enum jq_err open_key(struct jq_cursor *cursor, struct jq_sqlite *sqlite, enum jq_place place,
                            const struct jq_read *read)
{
    static const enum jq_sql places[JQ_PLACES] = { JQ_SQL_JOB_KEY, JQ_SQL_SPILLED_KEY,
                                                   JQ_SQL_ENDED_KEY };

    jq_cursor_open(cursor, sqlite, places[place], place, read->parts);
    JQ_TRY(jq_cursor_bind_bytes(cursor, 1, read->key, strlen(read->key)));
    return jq_cursor_step(cursor);
}

static enum jq_err bind_list(struct jq_cursor *cursor, const struct jq_read *read, uint32_t states)
{
    JQ_TRY(jq_cursor_bind(cursor, 1, read->queue));
    JQ_TRY(
        jq_cursor_bind(cursor, 2, jq_sqlite_key(read->before_id ? read->before_id : UINT64_MAX)));
    JQ_TRY(jq_cursor_bind(cursor, 3, states));
    return jq_cursor_bind(cursor, 4, jq_sqlite_key(cursor->low));
}

/* States that rows of a place can have. */
static const uint32_t states_in[JQ_PLACES] = {
    [JQ_PLACE_JOB] = LIVE_STATES,
    [JQ_PLACE_SPILLED] = 1u << JQ_READY,
    [JQ_PLACE_ENDED] = ALL_STATES & ~LIVE_STATES,
};

/* *ret_low: the id of the last row of those that are looked at; 0: they are all there is. */
static enum jq_err find_low(struct jq_sqlite *sqlite, enum jq_sql which, const struct jq_read *read,
                            uint64_t *ret_low)
{
    const uint64_t before = read->before_id ? read->before_id : UINT64_MAX;
    struct jq_cursor cursor;

    *ret_low = 0;
    if (read->scan == 0)
        return JQ_OK;
    jq_cursor_open(&cursor, sqlite, which, JQ_PLACE_JOB, 0);
    enum jq_err err = jq_cursor_bind(&cursor, 1, jq_sqlite_key(before));
    if (err == JQ_OK)
        err = jq_cursor_bind(&cursor, 2, (int64_t)read->scan - 1);
    if (err == JQ_OK)
        err = jq_cursor_step(&cursor);
    if (err == JQ_OK && !cursor.end)
        *ret_low = jq_cursor_id(&cursor);
    jq_cursor_close(&cursor);
    return err;
}

static enum jq_err open_list(struct jq_cursor *cursor, struct jq_sqlite *sqlite,
                             enum jq_place place, const struct jq_read *read)
{
    static const enum jq_sql lists[JQ_PLACES] = { JQ_SQL_JOB_LIST, JQ_SQL_SPILLED_LIST,
                                                  JQ_SQL_ENDED_LIST };
    static const enum jq_sql lows[JQ_PLACES] = { JQ_SQL_JOB_LOW, JQ_SQL_SPILLED_LOW,
                                                 JQ_SQL_ENDED_LOW };
    const uint32_t states = (read->states ? read->states : ALL_STATES) & states_in[place];
    const bool dead = states == 1u << JQ_FAILED;
    uint64_t low;

    *cursor = (struct jq_cursor){ .end = true };
    if (states == 0)
        return JQ_OK;
    JQ_TRY(find_low(sqlite, dead ? JQ_SQL_FAILED_LOW : lows[place], read, &low));
    jq_cursor_open(cursor, sqlite, dead ? JQ_SQL_FAILED_LIST : lists[place], place, read->parts);
    cursor->low = low;
    if (read->created_after || read->created_before || read->label)
        cursor->filter = read;
    JQ_TRY(bind_list(cursor, read, states == states_in[place] ? 0 : states));
    return jq_cursor_step(cursor);
}

static enum jq_err open_oldest(struct jq_cursor *cursor, struct jq_sqlite *sqlite,
                               const struct jq_read *read)
{
    jq_cursor_open(cursor, sqlite, JQ_SQL_ENDED_OLDEST, JQ_PLACE_ENDED, read->parts);
    JQ_TRY(jq_cursor_bind(cursor, 1, read->queue));
    JQ_TRY(jq_cursor_bind(cursor, 2, jq_sqlite_key(read->before_id)));
    JQ_TRY(jq_cursor_bind(cursor, 3, read->states));
    return jq_cursor_step(cursor);
}

/* NULL: all of them have come to their end. */
static struct jq_cursor *newest(struct jq_cursor cursors[JQ_PLACES])
{
    struct jq_cursor *ret = NULL;

    for (int i = 0; i < JQ_PLACES; i++)
        if (!cursors[i].end && (!ret || jq_cursor_id(&cursors[i]) > jq_cursor_id(ret)))
            ret = &cursors[i];
    return ret;
}

/* Below this id one of the tables has not been looked at. */
static uint64_t low_of(const struct jq_cursor cursors[JQ_PLACES])
{
    uint64_t low = 0;

    for (int i = 0; i < JQ_PLACES; i++)
        low = cursors[i].low > low ? cursors[i].low : low;
    return low;
}

/* The tables merged by falling id. *ret_more: a row stood there when the limit was reached, or
 * `read->scan` has ended it. */
static enum jq_err merge(struct jq_sqlite *sqlite, struct jq_cursor cursors[JQ_PLACES],
                         const struct jq_read *read, jq_each_job_fn *each, void *arg,
                         bool *ret_more)
{
    const uint32_t limit = read->kind == JQ_READ_KEY ? 1 : read->limit;
    const uint64_t low = low_of(cursors);
    uint64_t last = UINT64_MAX;
    struct jq_cursor *next;

    for (uint32_t given = 0; (next = newest(cursors)) && jq_cursor_id(next) >= low; given++) {
        if (given == limit) {
            *ret_more = true;
            return JQ_OK;
        }
        last = jq_cursor_id(next);
        JQ_TRY(jq_cursor_give(next, each, arg));
        JQ_TRY(jq_cursor_step(next));
    }
    *ret_more = low > 0;
    return low > 0 && last != low ? jq_sqlite_read_range(sqlite, low, low, read->parts, each, arg)
                                  : JQ_OK;
}

static enum jq_err open_place(struct jq_sqlite *sqlite, const struct jq_read *read,
                              enum jq_place place, struct jq_cursor *cursor)
{
    if (read->kind == JQ_READ_KEY)
        return open_key(cursor, sqlite, place, read);
    if (read->kind == JQ_READ_LIST)
        return open_list(cursor, sqlite, place, read);
    cursor->end = place != JQ_PLACE_ENDED;
    return cursor->end ? JQ_OK : open_oldest(cursor, sqlite, read);
}

enum jq_err jq_sqlite_read_merged(struct jq_sqlite *sqlite, const struct jq_read *read,
                                  jq_each_job_fn *each, void *arg, bool *ret_more)
{
    const bool by_key = read->kind == JQ_READ_KEY;
    struct jq_cursor cursors[JQ_PLACES] = { 0 };
    enum jq_err err = JQ_OK;
    bool more = false;

    for (int i = 0; err == JQ_OK && i < JQ_PLACES; i++)
        err = open_place(sqlite, read, (enum jq_place)i, &cursors[i]);
    if (err == JQ_OK)
        err = merge(sqlite, cursors, read, each, arg, &more);
    for (int i = 0; i < JQ_PLACES; i++)
        jq_cursor_close(&cursors[i]);
    if (err == JQ_OK && !by_key)
        *ret_more = more;
    return err;
}
