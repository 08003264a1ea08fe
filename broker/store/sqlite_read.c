/* SPDX-License-Identifier: MIT
 *
 * sqlite_read.c - loads and reads. Every path resets its statement: one left open would pin the
 * log. */
#include "broker/store/sqlite.h"

#include "broker/core/order.h"

_Static_assert(JQ_FAILED == 5, "FAILED_LIST, and its index, have this number");
_Static_assert(JQ_READ_VALUE == 2 && JQ_READ_OUTPUT == 4 && JQ_READ_PAYLOAD == 8,
               "sqlite_schema.h tests these bits");

#define ALL_PARTS (JQ_READ_RESULT | JQ_READ_VALUE | JQ_READ_OUTPUT | JQ_READ_PAYLOAD)

#define ALL_STATES ((1u << JQ_JOB_STATES) - 1)
#define LIVE_STATES ((1u << JQ_SUCCEEDED) - 1)

/* JQ_OK: a row stands there, or *ret_end. */
static enum jq_err step(struct jq_sqlite *sqlite, sqlite3_stmt *statement, bool *ret_end)
{
    const int code = sqlite3_step(statement);

    *ret_end = code == SQLITE_DONE;
    if (code == SQLITE_DONE || code == SQLITE_ROW)
        return JQ_OK;
    return jq_sqlite_error(sqlite, code, "cannot read", NULL);
}

enum jq_err jq_sqlite_read_meta(struct jq_sqlite *sqlite, struct jq_store_meta *ret_meta)
{
    sqlite3_stmt *statement = sqlite->statements[JQ_SQL_META_GET];
    bool end;

    enum jq_err err = step(sqlite, statement, &end);
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

    enum jq_err err = step(sqlite, statement, &end);
    while (err == JQ_OK && !end) {
        err = tell(statement, telling);
        if (err == JQ_OK)
            err = step(sqlite, statement, &end);
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

/* A statement over one of the tables, and what of its rows is wanted. */
struct cursor {
    struct jq_sqlite *sqlite;
    sqlite3_stmt *statement;
    enum jq_place place;
    bool end;
    uint32_t parts;
};

static enum jq_err cursor_open(struct cursor *cursor, struct jq_sqlite *sqlite, enum jq_sql which,
                               enum jq_place place, uint32_t parts)
{
    if (parts & JQ_READ_LIVE && place != JQ_PLACE_ENDED)
        parts |= JQ_READ_PAYLOAD;
    *cursor = (struct cursor){
        .sqlite = sqlite, .statement = sqlite->statements[which], .place = place, .parts = parts
    };
    const int code = sqlite3_bind_int64(cursor->statement, 1, parts);
    return code == SQLITE_OK ? JQ_OK : jq_sqlite_error(sqlite, code, "cannot read", NULL);
}

static enum jq_err cursor_bind(struct cursor *cursor, int at, int64_t number)
{
    const int code = sqlite3_bind_int64(cursor->statement, at, number);
    return code == SQLITE_OK ? JQ_OK : jq_sqlite_error(cursor->sqlite, code, "cannot read", NULL);
}

/* Bytes stay the caller's until the statement is reset. A NULL pointer binds NULL. */
static enum jq_err cursor_bind_bytes(struct cursor *cursor, int at, const void *data, size_t size)
{
    const int code = sqlite3_bind_blob64(cursor->statement, at, data, size, SQLITE_STATIC);
    return code == SQLITE_OK ? JQ_OK : jq_sqlite_error(cursor->sqlite, code, "cannot read", NULL);
}

static enum jq_err cursor_step(struct cursor *cursor)
{
    return step(cursor->sqlite, cursor->statement, &cursor->end);
}

static void cursor_close(struct cursor *cursor)
{
    if (cursor->statement)
        sqlite3_reset(cursor->statement);
}

static uint64_t cursor_id(const struct cursor *cursor)
{
    return (uint64_t)sqlite3_column_int64(cursor->statement, 0);
}

static enum jq_err cursor_give(struct cursor *cursor, jq_each_job_fn *each, void *arg)
{
    struct jq_loaded_job job;

    JQ_TRY(jq_row_read_job(cursor->statement, cursor->place, cursor->parts, &job));
    return each(arg, &job);
}

/* Ids above what an SQLite key holds are never stored; as bounds they mean "no bound". */
static int64_t as_key(uint64_t id)
{
    return id > INT64_MAX ? INT64_MAX : (int64_t)id;
}

/* All rows from where the statement stands, until *limit, which falls, is 0. */
static enum jq_err give_all(struct cursor *cursor, uint32_t *limit, jq_each_job_fn *each, void *arg,
                            bool *ret_more)
{
    enum jq_err err = cursor_step(cursor);

    for (; err == JQ_OK && !cursor->end; --*limit) {
        if (*limit == 0) {
            *ret_more = true;
            break;
        }
        err = cursor_give(cursor, each, arg);
        if (err == JQ_OK)
            err = cursor_step(cursor);
    }
    return err;
}

enum jq_err jq_sqlite_load_jobs(struct jq_backend *backend, jq_each_job_fn *each, void *arg)
{
    uint32_t limit = UINT32_MAX;
    struct cursor cursor;
    bool more;

    enum jq_err err =
        cursor_open(&cursor, jq_sqlite_of(backend), JQ_SQL_JOBS, JQ_PLACE_JOB, ALL_PARTS);
    if (err == JQ_OK)
        err = give_all(&cursor, &limit, each, arg, &more);
    cursor_close(&cursor);
    return err;
}

static enum jq_err bind_spilled(struct cursor *cursor, const struct jq_read *read, uint32_t limit)
{
    const struct jq_spill_range *range = &read->range;
    const int64_t none = range->order == JQ_LIFO ? INT64_MAX : 0;

    JQ_TRY(cursor_bind(cursor, 2, read->queue));
    JQ_TRY(cursor_bind(cursor, 3, range->lane));
    JQ_TRY(cursor_bind(cursor, 4, range->has_after ? range->rank : 0));
    JQ_TRY(cursor_bind(cursor, 5, range->has_after ? as_key(range->id) : none));
    return cursor_bind(cursor, 6, (int64_t)limit + 1); /* one more tells that there is */
}

static enum jq_err give_spilled(struct jq_sqlite *sqlite, enum jq_sql which,
                                const struct jq_read *read, uint32_t *limit, jq_each_job_fn *each,
                                void *arg, bool *ret_more)
{
    struct cursor cursor;

    enum jq_err err = cursor_open(&cursor, sqlite, which, JQ_PLACE_SPILLED, read->parts);
    if (err == JQ_OK)
        err = bind_spilled(&cursor, read, *limit);
    if (err == JQ_OK)
        err = give_all(&cursor, limit, each, arg, ret_more);
    cursor_close(&cursor);
    return err;
}

/* What has the rank of the key, then what has a higher. FIFO and LIFO have one rank. */
static enum jq_err read_spilled(struct jq_sqlite *sqlite, const struct jq_read *read,
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

static enum jq_err read_one(struct jq_sqlite *sqlite, uint64_t id, uint32_t parts,
                            jq_each_job_fn *each, void *arg)
{
    static const enum jq_sql places[JQ_PLACES] = { JQ_SQL_JOB_GET, JQ_SQL_SPILLED_GET,
                                                   JQ_SQL_ENDED_GET };
    struct cursor cursor;
    bool found = false;
    enum jq_err err = JQ_OK;

    if (id > INT64_MAX)
        return JQ_OK;
    for (int i = 0; err == JQ_OK && !found && i < JQ_PLACES; i++) {
        err = cursor_open(&cursor, sqlite, places[i], (enum jq_place)i, parts);
        if (err == JQ_OK)
            err = cursor_bind(&cursor, 2, (int64_t)id);
        if (err == JQ_OK)
            err = cursor_step(&cursor);
        found = err == JQ_OK && !cursor.end;
        if (found)
            err = cursor_give(&cursor, each, arg);
        cursor_close(&cursor);
    }
    return err;
}

static enum jq_err open_key(struct cursor *cursor, struct jq_sqlite *sqlite, enum jq_place place,
                            const struct jq_read *read)
{
    static const enum jq_sql places[JQ_PLACES] = { JQ_SQL_JOB_KEY, JQ_SQL_SPILLED_KEY,
                                                   JQ_SQL_ENDED_KEY };

    JQ_TRY(cursor_open(cursor, sqlite, places[place], place, read->parts));
    JQ_TRY(cursor_bind_bytes(cursor, 2, read->key, strlen(read->key)));
    return cursor_step(cursor);
}

static enum jq_err bind_list(struct cursor *cursor, const struct jq_read *read, uint32_t states)
{
    JQ_TRY(cursor_bind(cursor, 2, read->queue));
    JQ_TRY(cursor_bind(cursor, 3, as_key(read->before_id ? read->before_id : UINT64_MAX)));
    JQ_TRY(cursor_bind(cursor, 4, states));
    JQ_TRY(cursor_bind(cursor, 5, read->created_after ? read->created_after : INT64_MIN));
    JQ_TRY(cursor_bind(cursor, 6, read->created_before ? read->created_before : INT64_MAX));
    return cursor_bind_bytes(cursor, 7, read->label, read->label_size);
}

/* States that rows of a place can have. */
static const uint32_t states_in[JQ_PLACES] = {
    [JQ_PLACE_JOB] = LIVE_STATES,
    [JQ_PLACE_SPILLED] = 1u << JQ_READY,
    [JQ_PLACE_ENDED] = ALL_STATES & ~LIVE_STATES,
};

static enum jq_err open_list(struct cursor *cursor, struct jq_sqlite *sqlite, enum jq_place place,
                             const struct jq_read *read)
{
    const uint32_t states = (read->states ? read->states : ALL_STATES) & states_in[place];
    const enum jq_sql which = place == JQ_PLACE_JOB       ? JQ_SQL_JOB_LIST
                              : place == JQ_PLACE_SPILLED ? JQ_SQL_SPILLED_LIST
                              : states == 1u << JQ_FAILED ? JQ_SQL_FAILED_LIST
                                                          : JQ_SQL_ENDED_LIST;

    *cursor = (struct cursor){ .end = true };
    if (states == 0)
        return JQ_OK;
    JQ_TRY(cursor_open(cursor, sqlite, which, place, read->parts));
    JQ_TRY(bind_list(cursor, read, states == states_in[place] ? 0 : states));
    return cursor_step(cursor);
}

static enum jq_err open_oldest(struct cursor *cursor, struct jq_sqlite *sqlite,
                               const struct jq_read *read)
{
    JQ_TRY(cursor_open(cursor, sqlite, JQ_SQL_ENDED_OLDEST, JQ_PLACE_ENDED, read->parts));
    JQ_TRY(cursor_bind(cursor, 2, read->queue));
    JQ_TRY(cursor_bind(cursor, 3, as_key(read->before_id)));
    JQ_TRY(cursor_bind(cursor, 4, read->states));
    return cursor_step(cursor);
}

/* NULL: all of them have come to their end. */
static struct cursor *newest(struct cursor cursors[JQ_PLACES])
{
    struct cursor *ret = NULL;

    for (int i = 0; i < JQ_PLACES; i++)
        if (!cursors[i].end && (!ret || cursor_id(&cursors[i]) > cursor_id(ret)))
            ret = &cursors[i];
    return ret;
}

/* The tables merged by falling id. *ret_more: a row stood there when the limit was reached. */
static enum jq_err merge(struct cursor cursors[JQ_PLACES], uint32_t limit, jq_each_job_fn *each,
                         void *arg, bool *ret_more)
{
    struct cursor *next;

    for (uint32_t given = 0; (next = newest(cursors)); given++) {
        if (given == limit) {
            *ret_more = true;
            return JQ_OK;
        }
        JQ_TRY(cursor_give(next, each, arg));
        JQ_TRY(cursor_step(next));
    }
    return JQ_OK;
}

static enum jq_err open_place(struct jq_sqlite *sqlite, const struct jq_read *read,
                              enum jq_place place, struct cursor *cursor)
{
    if (read->kind == JQ_READ_KEY)
        return open_key(cursor, sqlite, place, read);
    if (read->kind == JQ_READ_LIST)
        return open_list(cursor, sqlite, place, read);
    cursor->end = place != JQ_PLACE_ENDED;
    return cursor->end ? JQ_OK : open_oldest(cursor, sqlite, read);
}

static enum jq_err read_merged(struct jq_sqlite *sqlite, const struct jq_read *read,
                               jq_each_job_fn *each, void *arg, bool *ret_more)
{
    const bool by_key = read->kind == JQ_READ_KEY;
    struct cursor cursors[JQ_PLACES] = { 0 };
    enum jq_err err = JQ_OK;
    bool more = false;

    for (int i = 0; err == JQ_OK && i < JQ_PLACES; i++)
        err = open_place(sqlite, read, (enum jq_place)i, &cursors[i]);
    if (err == JQ_OK)
        err = merge(cursors, by_key ? 1 : read->limit, each, arg, &more);
    for (int i = 0; i < JQ_PLACES; i++)
        cursor_close(&cursors[i]);
    if (err == JQ_OK && !by_key)
        *ret_more = more;
    return err;
}

enum jq_err jq_sqlite_read(struct jq_backend *backend, const struct jq_read *read,
                           jq_each_job_fn *each, void *arg, bool *ret_more)
{
    struct jq_sqlite *sqlite = jq_sqlite_of(backend);

    *ret_more = false;
    if (read->kind == JQ_READ_KEY && !read->key)
        return JQ_OK;
    if (read->kind == JQ_READ_SPILLED)
        return read_spilled(sqlite, read, each, arg, ret_more);
    if (read->kind != JQ_READ_JOBS)
        return read_merged(sqlite, read, each, arg, ret_more);
    for (uint32_t i = 0; i < read->count; i++)
        JQ_TRY(read_one(sqlite, read->ids[i], read->parts, each, arg));
    return JQ_OK;
}
