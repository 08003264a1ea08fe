/* SPDX-License-Identifier: MIT
 *
 * sqlite_columns.h - parameters and columns one after another, and CRCs: what sqlite_row.c,
 * sqlite_result.c, sqlite_small.c and sqlite_rows_1.c are made from. Only these include this.
 *
 * A CRC starts with the row's id: a row found in the place of another does not pass. */
#ifndef JQ_STORE_SQLITE_COLUMNS_H
#define JQ_STORE_SQLITE_COLUMNS_H

#include <endian.h>

#include "broker/store/sqlite.h"
#include "broker/store/sqlite_pack.h"
#include "proto/base/crc32c.h"

/* Numbers first, little-endian, then bytes whose sizes are among the numbers. */
static inline uint32_t crc_numbers(uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        numbers[i] = htole64(numbers[i]);
    return jq_crc32c(0, numbers, count * sizeof(numbers[0]));
}

static inline uint32_t crc_bytes(uint32_t crc, struct jq_view bytes)
{
    return bytes.size ? jq_crc32c(crc, bytes.data, bytes.size) : crc;
}

#define CRC_NUMBERS(...) \
    crc_numbers((uint64_t[]){ __VA_ARGS__ }, sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

/* Fields that a later version of the store has added: while all of them are 0, or empty, the CRC is
 * what it was before, so that rows of the earlier version pass as they are. */
static inline uint32_t crc_added(uint32_t crc, uint64_t *numbers, size_t count)
{
    uint64_t any = 0;

    for (size_t i = 0; i < count; i++) {
        any |= numbers[i];
        numbers[i] = htole64(numbers[i]);
    }
    return any ? jq_crc32c(crc, numbers, count * sizeof(numbers[0])) : crc;
}

#define CRC_ADDED(crc, ...)                     \
    crc_added(crc, (uint64_t[]){ __VA_ARGS__ }, \
              sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static inline uint64_t pair(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

/* Of what is in a table for large ones. */
static inline uint32_t crc_large(uint64_t id, struct jq_view bytes)
{
    return crc_bytes(CRC_NUMBERS(id, bytes.size), bytes);
}

static inline uint32_t crc_output(uint64_t id, const struct jq_result_record *r)
{
    uint32_t crc = CRC_NUMBERS(id, r->stdout_head.size, r->stdout_tail.size, r->stderr_head.size,
                               r->stderr_tail.size);
    crc = crc_bytes(crc, r->stdout_head);
    crc = crc_bytes(crc, r->stdout_tail);
    crc = crc_bytes(crc, r->stderr_head);
    return crc_bytes(crc, r->stderr_tail);
}

/* --- binding --- */

/* The first failure sticks; later binds are no harm. */
struct binder {
    sqlite3_stmt *statement;
    int at;
    int code;
};

static inline struct binder binder_of(struct jq_sqlite *sqlite, enum jq_sql which, int at)
{
    return (struct binder){ .statement = sqlite->statements[which], .at = at };
}

static inline void bind_number(struct binder *b, uint64_t number)
{
    const int code = sqlite3_bind_int64(b->statement, b->at++, (sqlite3_int64)number);

    if (code != SQLITE_OK)
        b->code = code;
}

/* As a signed number, which is four bytes in the file whatever its value. */
static inline void bind_crc(struct binder *b, uint32_t crc)
{
    bind_number(b, (uint64_t)(int64_t)(int32_t)crc);
}

static inline void bind_bytes(struct binder *b, struct jq_view bytes)
{
    /* A NULL pointer would bind NULL. */
    const int code = sqlite3_bind_blob64(b->statement, b->at++, bytes.size ? bytes.data : "",
                                         bytes.size, SQLITE_STATIC);

    if (code != SQLITE_OK)
        b->code = code;
}

static inline void bind_key(struct binder *b, struct jq_view key)
{
    if (key.size)
        bind_bytes(b, key);
    else
        sqlite3_bind_null(b->statement, b->at++);
}

static inline void bind_output(struct binder *b, const struct jq_result_record *result)
{
    bind_bytes(b, result->value);
    bind_bytes(b, result->stdout_head);
    bind_bytes(b, result->stdout_tail);
    bind_bytes(b, result->stderr_head);
    bind_bytes(b, result->stderr_tail);
}

static inline void bind_pack(struct binder *b, const struct jq_buf *pack)
{
    if (!jq_buf_ok(pack) && b->code == SQLITE_OK)
        b->code = SQLITE_NOMEM;
    bind_bytes(b, jq_buf_view(pack));
}

/* --- reading --- */

/* `bad`: a number does not fit its field, so the row was not written by us as it stands. */
struct reader {
    sqlite3_stmt *statement;
    int at;
    bool bad;
    bool no_memory;
};

static inline uint64_t read_number(struct reader *r)
{
    return (uint64_t)sqlite3_column_int64(r->statement, r->at++);
}

static inline uint32_t narrow(struct reader *r, uint64_t number)
{
    if (number > UINT32_MAX)
        r->bad = true;
    return (uint32_t)number;
}

static inline uint32_t read_u32(struct reader *r)
{
    return narrow(r, read_number(r));
}

static inline struct jq_view read_bytes(struct reader *r)
{
    const int at = r->at++;

    if (sqlite3_column_type(r->statement, at) == SQLITE_NULL)
        return jq_view(NULL, 0);
    /* Pointer first, then size: the order SQLite asks for. */
    const void *data = sqlite3_column_blob(r->statement, at);
    const int size = sqlite3_column_bytes(r->statement, at);
    if (size > 0 && !data)
        r->no_memory = true;
    return jq_view(size > 0 ? data : NULL, data && size > 0 ? (size_t)size : 0);
}

static inline void expect(struct reader *r, uint32_t stored, uint32_t computed)
{
    if (stored != computed)
        r->bad = true;
}

static inline uint32_t read_crc(struct reader *r)
{
    return (uint32_t)read_number(r);
}

/* --- sqlite_result.c --- */
/* A row of JQ_ENDED_ROW, from its result on. */
enum jq_err jq_row_read_result(struct jq_sqlite *sqlite, struct reader *r, uint32_t parts,
                               struct jq_loaded_job *loaded);
/* --- sqlite_row.c --- */
/* The row of a job in a table for large ones, until jq_row_end_large; its statement is NULL when
 * there is none. */
enum jq_err jq_row_find_large(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t id,
                              struct reader *ret_reader);

static inline enum jq_err outcome(const struct reader *r)
{
    return r->no_memory ? JQ_ENOMEM : r->bad ? JQ_ECORRUPT : JQ_OK;
}

#endif
