/* SPDX-License-Identifier: MIT
 *
 * sqlite_cursor.h - a statement that gives rows of jobs, one after the other. Only the sqlite_*.c
 * that read include this. Every path closes its cursors: a statement left open would pin the log.
 */
#ifndef JQ_STORE_SQLITE_CURSOR_H
#define JQ_STORE_SQLITE_CURSOR_H

#include "broker/store/sqlite.h"

/* JQ_OK: a row stands there, or *ret_end. */
static inline enum jq_err jq_sqlite_step(struct jq_sqlite *sqlite, sqlite3_stmt *statement,
                                         bool *ret_end)
{
    const int code = sqlite3_step(statement);

    *ret_end = code == SQLITE_DONE;
    if (code == SQLITE_DONE || code == SQLITE_ROW)
        return JQ_OK;
    return jq_sqlite_error(sqlite, code, "cannot read", NULL);
}

/* A statement over one of the tables, and what of its rows is wanted. */
struct jq_cursor {
    struct jq_sqlite *sqlite;
    sqlite3_stmt *statement;
    enum jq_place place;
    bool end;
    uint64_t low; /* lists: rows below this id are not looked at; 0: all are */
    uint32_t parts;
    const struct jq_read *filter; /* other rows are passed over; NULL: none are */
};

static inline void jq_cursor_open(struct jq_cursor *cursor, struct jq_sqlite *sqlite,
                                  enum jq_sql which, enum jq_place place, uint32_t parts)
{
    if (parts & JQ_READ_LIVE && place != JQ_PLACE_ENDED)
        parts |= JQ_READ_PAYLOAD;
    *cursor = (struct jq_cursor){
        .sqlite = sqlite, .statement = sqlite->statements[which], .place = place, .parts = parts
    };
}

static inline enum jq_err jq_cursor_bind(struct jq_cursor *cursor, int at, int64_t number)
{
    const int code = sqlite3_bind_int64(cursor->statement, at, number);
    return code == SQLITE_OK ? JQ_OK : jq_sqlite_error(cursor->sqlite, code, "cannot read", NULL);
}

/* Bytes stay the caller's until the statement is reset. A NULL pointer binds NULL. */
static inline enum jq_err jq_cursor_bind_bytes(struct jq_cursor *cursor, int at, const void *data,
                                               size_t size)
{
    const int code = sqlite3_bind_blob64(cursor->statement, at, data, size, SQLITE_STATIC);
    return code == SQLITE_OK ? JQ_OK : jq_sqlite_error(cursor->sqlite, code, "cannot read", NULL);
}

static inline enum jq_err jq_cursor_step(struct jq_cursor *cursor)
{
    do
        JQ_TRY(jq_sqlite_step(cursor->sqlite, cursor->statement, &cursor->end));
    while (!cursor->end && cursor->filter && !jq_row_passes(cursor->statement, cursor->filter));
    return JQ_OK;
}

static inline void jq_cursor_close(struct jq_cursor *cursor)
{
    if (cursor->statement)
        sqlite3_reset(cursor->statement);
}

static inline uint64_t jq_cursor_id(const struct jq_cursor *cursor)
{
    return (uint64_t)sqlite3_column_int64(cursor->statement, 0);
}

static inline enum jq_err jq_cursor_give(struct jq_cursor *cursor, jq_each_job_fn *each, void *arg)
{
    struct jq_loaded_job job;

    enum jq_err err =
        jq_row_read_job(cursor->sqlite, cursor->statement, cursor->place, cursor->parts, &job);
    if (err == JQ_OK)
        err = each(arg, &job);
    jq_row_end_large(cursor->sqlite);
    return err;
}

/* Ids above what an SQLite key holds are never stored; as bounds they mean "no bound". */
static inline int64_t jq_sqlite_key(uint64_t id)
{
    return id > INT64_MAX ? INT64_MAX : (int64_t)id;
}

/* All rows from where the statement stands, until *limit, which falls, is 0. */
static inline enum jq_err jq_cursor_give_all(struct jq_cursor *cursor, uint32_t *limit,
                                             jq_each_job_fn *each, void *arg, bool *ret_more)
{
    enum jq_err err = jq_cursor_step(cursor);

    for (; err == JQ_OK && !cursor->end; --*limit) {
        if (*limit == 0) {
            *ret_more = true;
            break;
        }
        err = jq_cursor_give(cursor, each, arg);
        if (err == JQ_OK)
            err = jq_cursor_step(cursor);
    }
    return err;
}

#endif
