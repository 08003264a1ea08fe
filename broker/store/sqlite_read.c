/* SPDX-License-Identifier: MIT
 *
 * sqlite_read.c - loads at the start, and reads by id. */
#include "broker/store/sqlite_cursor.h"

#define ALL_PARTS (JQ_READ_RESULT | JQ_READ_VALUE | JQ_READ_OUTPUT | JQ_READ_PAYLOAD)

enum jq_err jq_sqlite_read_meta(struct jq_sqlite *sqlite, struct jq_store_meta *ret_meta)
{
    sqlite3_stmt *statement = sqlite->statements[JQ_SQL_META_GET];
    bool end;

    enum jq_err err = jq_sqlite_step(sqlite, statement, &end);
    if (err == JQ_OK)
        err = end ? JQ_ECORRUPT : jq_row_read_meta(statement, ret_meta);
    sqlite3_reset(statement);
    return err;
}

enum jq_err jq_sqlite_load_meta(struct jq_backend *backend, struct jq_store_meta *ret_meta)
{
    *ret_meta = jq_sqlite_of(backend)->meta;
    return JQ_OK;
}

/* Whom to tell of a row, by the kind of row. */
struct telling {
    union {
        jq_each_queue_fn *queue;
        jq_each_request_fn *request;
        jq_each_worker_fn *worker;
        jq_each_limit_fn *limit;
    } each;
    void *arg;
};
typedef enum jq_err tell_fn(sqlite3_stmt *statement, const struct telling *telling);

static enum jq_err walk(struct jq_backend *backend, enum jq_sql which, tell_fn *tell,
                        const struct telling *telling)
{
    struct jq_sqlite *sqlite = jq_sqlite_of(backend);
    sqlite3_stmt *statement = sqlite->statements[which];
    bool end;

    enum jq_err err = jq_sqlite_step(sqlite, statement, &end);
    while (err == JQ_OK && !end) {
        err = tell(statement, telling);
        if (err == JQ_OK)
            err = jq_sqlite_step(sqlite, statement, &end);
    }
    sqlite3_reset(statement);
    return err;
}

static enum jq_err tell_queue(sqlite3_stmt *statement, const struct telling *telling)
{
    struct jq_queue_record record;

    JQ_TRY(jq_row_read_queue(statement, &record));
    return telling->each.queue(telling->arg, &record);
}

enum jq_err jq_sqlite_load_queues(struct jq_backend *backend, jq_each_queue_fn *each, void *arg)
{
    const struct telling telling = { .each.queue = each, .arg = arg };
    return walk(backend, JQ_SQL_QUEUES, tell_queue, &telling);
}

static enum jq_err tell_request(sqlite3_stmt *statement, const struct telling *telling)
{
    struct jq_request_record record;

    JQ_TRY(jq_row_read_request(statement, &record));
    return telling->each.request(telling->arg, &record);
}

enum jq_err jq_sqlite_load_requests(struct jq_backend *backend, jq_each_request_fn *each, void *arg)
{
    const struct telling telling = { .each.request = each, .arg = arg };
    return walk(backend, JQ_SQL_REQUESTS, tell_request, &telling);
}

static enum jq_err tell_worker(sqlite3_stmt *statement, const struct telling *telling)
{
    struct jq_worker_record record;

    JQ_TRY(jq_row_read_worker(statement, &record));
    return telling->each.worker(telling->arg, &record);
}

enum jq_err jq_sqlite_load_workers(struct jq_backend *backend, jq_each_worker_fn *each, void *arg)
{
    const struct telling telling = { .each.worker = each, .arg = arg };
    return walk(backend, JQ_SQL_WORKERS, tell_worker, &telling);
}

static enum jq_err tell_limit(sqlite3_stmt *statement, const struct telling *telling)
{
    struct jq_limit_record record;

    JQ_TRY(jq_row_read_limit(statement, &record));
    return telling->each.limit(telling->arg, &record);
}

enum jq_err jq_sqlite_load_limits(struct jq_backend *backend, jq_each_limit_fn *each, void *arg)
{
    const struct telling telling = { .each.limit = each, .arg = arg };
    return walk(backend, JQ_SQL_LIMITS, tell_limit, &telling);
}

/* --- jobs --- */

enum jq_err jq_sqlite_load_jobs(struct jq_backend *backend, jq_each_job_fn *each, void *arg)
{
    uint32_t limit = UINT32_MAX;
    struct jq_cursor cursor;
    bool more;

    jq_cursor_open(&cursor, jq_sqlite_of(backend), JQ_SQL_JOBS, JQ_PLACE_JOB, ALL_PARTS);
    const enum jq_err err = jq_cursor_give_all(&cursor, &limit, each, arg, &more);
    jq_cursor_close(&cursor);
    return err;
}

/* NULL: all of them have come to their end. */
static struct jq_cursor *oldest(struct jq_cursor cursors[JQ_PLACES])
{
    struct jq_cursor *ret = NULL;

    for (int i = 0; i < JQ_PLACES; i++)
        if (!cursors[i].end && (!ret || jq_cursor_id(&cursors[i]) < jq_cursor_id(ret)))
            ret = &cursors[i];
    return ret;
}

static enum jq_err open_range(struct jq_cursor *cursor, struct jq_sqlite *sqlite,
                              enum jq_place place, uint64_t first, uint64_t last, uint32_t parts)
{
    static const enum jq_sql ranges[JQ_PLACES] = { JQ_SQL_JOB_RANGE, JQ_SQL_SPILLED_RANGE,
                                                   JQ_SQL_ENDED_RANGE };

    jq_cursor_open(cursor, sqlite, ranges[place], place, parts);
    JQ_TRY(jq_cursor_bind(cursor, 1, (int64_t)first));
    JQ_TRY(jq_cursor_bind(cursor, 2, jq_sqlite_key(last)));
    return jq_cursor_step(cursor);
}

enum jq_err jq_sqlite_read_range(struct jq_sqlite *sqlite, uint64_t first, uint64_t last,
                                 uint32_t parts, jq_each_job_fn *each, void *arg)
{
    struct jq_cursor cursors[JQ_PLACES] = { 0 };
    struct jq_cursor *next;
    enum jq_err err = JQ_OK;

    if (first > INT64_MAX)
        return JQ_OK;
    for (int i = 0; err == JQ_OK && i < JQ_PLACES; i++)
        err = open_range(&cursors[i], sqlite, (enum jq_place)i, first, last, parts);
    while (err == JQ_OK && (next = oldest(cursors))) {
        err = jq_cursor_give(next, each, arg);
        if (err == JQ_OK)
            err = jq_cursor_step(next);
    }
    for (int i = 0; i < JQ_PLACES; i++)
        jq_cursor_close(&cursors[i]);
    return err;
}

/* Ids that follow one another by one range: results are asked for as they were submitted. */
static enum jq_err read_ids(struct jq_sqlite *sqlite, const struct jq_read *read,
                            jq_each_job_fn *each, void *arg)
{
    for (uint32_t first = 0, end; first < read->count; first = end) {
        for (end = first + 1; end < read->count && read->ids[end] == read->ids[end - 1] + 1; end++)
            ;
        JQ_TRY(jq_sqlite_read_range(sqlite, read->ids[first], read->ids[end - 1], read->parts, each,
                                    arg));
    }
    return JQ_OK;
}

enum jq_err jq_sqlite_read(struct jq_backend *backend, const struct jq_read *read,
                           jq_each_job_fn *each, void *arg, bool *ret_more)
{
    struct jq_sqlite *sqlite = jq_sqlite_of(backend);

    *ret_more = false;
    if (read->kind == JQ_READ_KEY && !read->key)
        return JQ_OK;
    if (read->kind == JQ_READ_SPILLED)
        return jq_sqlite_read_spilled(sqlite, read, each, arg, ret_more);
    if (read->kind != JQ_READ_JOBS)
        return jq_sqlite_read_merged(sqlite, read, each, arg, ret_more);
    return read_ids(sqlite, read, each, arg);
}
