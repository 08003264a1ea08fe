/* SPDX-License-Identifier: MIT
 *
 * sqlite_columns.h - parameters and columns one after another, and CRCs: what sqlite_row.c and
 * sqlite_small.c are made from. Only these two include this.
 *
 * A CRC starts with the row's id: a row found in the place of another does not pass. */
#ifndef JQ_STORE_SQLITE_COLUMNS_H
#define JQ_STORE_SQLITE_COLUMNS_H

#include <endian.h>

#include "broker/store/sqlite.h"
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

/* --- binding --- */

enum bound_kind { BOUND_UNKNOWN = 0, BOUND_NUMBER, BOUND_EMPTY };

/* The first failure sticks; later binds are no harm. */
struct binder {
    sqlite3_stmt *statement;
    struct jq_bound *bound;
    int at;
    int code;
};

static inline struct binder binder_of(struct jq_sqlite *sqlite, enum jq_sql which, int at)
{
    return (struct binder){ .statement = sqlite->statements[which],
                            .bound = &sqlite->bound[which],
                            .at = at };
}

static inline void bind_number(struct binder *b, uint64_t number)
{
    const int at = b->at++;

    if (b->bound->kinds[at] == BOUND_NUMBER && b->bound->numbers[at] == number)
        return;
    const int code = sqlite3_bind_int64(b->statement, at, (sqlite3_int64)number);
    b->bound->kinds[at] = code == SQLITE_OK ? BOUND_NUMBER : BOUND_UNKNOWN;
    b->bound->numbers[at] = number;
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
    const int at = b->at++;

    if (bytes.size == 0 && b->bound->kinds[at] == BOUND_EMPTY)
        return;
    /* A NULL pointer would bind NULL. */
    const int code = sqlite3_bind_blob64(b->statement, at, bytes.size ? bytes.data : "", bytes.size,
                                         SQLITE_STATIC);
    b->bound->kinds[at] = code == SQLITE_OK && bytes.size == 0 ? BOUND_EMPTY : BOUND_UNKNOWN;
    if (code != SQLITE_OK)
        b->code = code;
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

static inline uint32_t read_u32(struct reader *r)
{
    const uint64_t number = read_number(r);
    if (number > UINT32_MAX)
        r->bad = true;
    return (uint32_t)number;
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

static inline enum jq_err outcome(const struct reader *r)
{
    return r->no_memory ? JQ_ENOMEM : r->bad ? JQ_ECORRUPT : JQ_OK;
}

#endif
