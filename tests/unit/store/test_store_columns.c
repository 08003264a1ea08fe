/* SPDX-License-Identifier: MIT
 *
 * test_store_columns.c - every column of every table is covered by a CRC: another value in it, at
 * its default or not, is noticed, and so is each bit of a pack. */
#include "tests/contract/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

static const struct variant direct = { "sqlite", &jq_store_sqlite, false };

static struct jq_detail detail;

enum { COLUMNS_MAX = 64 };

struct column {
    char name[32];
    bool is_bytes;
};

static sqlite3 *open_db(const struct fixture *f)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    return db;
}

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
}

static size_t columns_of(sqlite3 *db, const char *table, struct column *columns)
{
    sqlite3_stmt *statement;
    char text[80];
    size_t count = 0;

    snprintf(text, sizeof(text), "SELECT name, type FROM pragma_table_info('%s')", table);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        assert_true(count < COLUMNS_MAX);
        struct column *column = &columns[count++];
        snprintf(column->name, sizeof(column->name), "%s",
                 (const char *)sqlite3_column_text(statement, 0));
        column->is_bytes = strcmp((const char *)sqlite3_column_text(statement, 1), "BLOB") == 0;
    }
    sqlite3_finalize(statement);
    return count;
}

/* Of one row. A number that is changed twice is what it was. */
static void change(sqlite3 *db, const char *table, const struct column *column, const char *where)
{
    char text[240];

    if (column->is_bytes)
        snprintf(text, sizeof(text), "UPDATE %s SET %s = zeroblob(length(%s) + 1) WHERE %s", table,
                 column->name, column->name, where);
    else
        snprintf(text, sizeof(text), "UPDATE %s SET %s = (%s | 1) - (%s & 1) WHERE %s", table,
                 column->name, column->name, column->name, where);
    sql(db, text);
    assert_int_equal(sqlite3_changes(db), 1);
}

static bool is_noticed(struct fixture *f, uint64_t id)
{
    const struct jq_read read = {
        .kind = JQ_READ_JOBS, .parts = ALL_PARTS, .ids = &id, .count = 1
    };
    struct jq_copy copy;
    bool more;

    const enum jq_err err = fixture_try_read(f, &read, &copy, &more);
    const bool noticed = err != JQ_OK || copy.count == 0 || copy.jobs[0].job.damaged;
    jq_copy_fini(&copy);
    return noticed;
}

static void put_full(struct fixture *f, uint64_t id, const char *table)
{
    const bool ended = strcmp(table, "ended") == 0;
    struct plain_op *op = fixture_put(f, id, ended ? JQ_FAILED : JQ_READY);

    op->u.job.spilled = strcmp(table, "spilled") == 0;
    op->u.job.lane = 1;
    op->u.job.rank = (int64_t)id;
}

/* All that can be is at its default. */
static void put_empty(struct fixture *f, uint64_t id, const char *table)
{
    const bool ended = strcmp(table, "ended") == 0;

    fixture_op(f, JQ_OP_JOB_PUT)->u.job = (struct jq_job_record){
        .id = id,
        .queue = 1,
        .state = ended ? JQ_FAILED : JQ_READY,
        .spilled = strcmp(table, "spilled") == 0,
    };
}

/* Column N is changed in job N, and in the empty job N + COLUMNS_MAX. */
static void check_jobs(const char *table)
{
    struct column columns[COLUMNS_MAX];
    struct fixture f;
    char where[40];

    fixture_open(&f, &direct);
    for (uint64_t id = 1; id < COLUMNS_MAX; id++) {
        put_full(&f, id, table);
        put_empty(&f, id + COLUMNS_MAX, table);
    }
    fixture_commit(&f);
    fixture_close(&f);
    sqlite3 *db = open_db(&f);
    const size_t count = columns_of(db, table, columns);
    assert_true(count > 5);
    for (size_t i = 1; i < count; i++) { /* but the id */
        snprintf(where, sizeof(where), "id = %zu", i);
        change(db, table, &columns[i], where);
        snprintf(where, sizeof(where), "id = %zu", i + COLUMNS_MAX);
        change(db, table, &columns[i], where);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    fixture_reopen(&f);
    for (size_t i = 1; i < COLUMNS_MAX; i++) {
        const bool changed = i < count;
        if (is_noticed(&f, i) != changed || is_noticed(&f, i + COLUMNS_MAX) != changed)
            fail_msg("%s.%s", table, changed ? columns[i].name : "as it was");
    }
    fixture_remove(&f);
}

static void test_another_value_in_a_live_job_is_noticed(void **state)
{
    (void)state;
    check_jobs("job");
}

static void test_another_value_in_a_spilled_job_is_noticed(void **state)
{
    (void)state;
    check_jobs("spilled");
}

static void test_another_value_in_an_ended_job_is_noticed(void **state)
{
    (void)state;
    check_jobs("ended");
}

/* Bit N % 8 of byte N / 8 of the column is flipped in job N + 1. Returns how many there are. */
static uint64_t flip(sqlite3 *db, const char *column)
{
    sqlite3_blob *blob;
    uint64_t id = 1;
    uint8_t byte;

    for (;; id++) {
        const int at = (int)(id - 1) / 8;
        if (sqlite3_blob_open(db, "main", "ended", column, (sqlite3_int64)id, 1, &blob) !=
            SQLITE_OK)
            fail_msg("%s of job %d: %s", column, (int)id, sqlite3_errmsg(db));
        if (at == sqlite3_blob_bytes(blob))
            break;
        assert_int_equal(sqlite3_blob_read(blob, &byte, 1, at), SQLITE_OK);
        byte ^= (uint8_t)(1u << (id - 1) % 8);
        assert_int_equal(sqlite3_blob_write(blob, &byte, 1, at), SQLITE_OK);
        assert_int_equal(sqlite3_blob_close(blob), SQLITE_OK);
    }
    assert_int_equal(sqlite3_blob_close(blob), SQLITE_OK);
    return id - 1;
}

static void test_another_bit_in_a_pack_is_noticed(void **state)
{
    (void)state;
    static const char *const columns[] = { "life", "fixed", "result" };
    struct fixture f;

    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        fixture_open(&f, &direct);
        for (uint64_t id = 1; id <= 4000; id++)
            put_full(&f, id, "ended");
        fixture_commit(&f);
        fixture_close(&f);
        sqlite3 *db = open_db(&f);
        const uint64_t bits = flip(db, columns[i]);
        assert_true(bits > 100);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        fixture_reopen(&f);
        for (uint64_t id = 1; id <= bits + 1; id++)
            if (is_noticed(&f, id) != (id <= bits))
                fail_msg("%s: bit %d", columns[i], (int)id - 1);
        fixture_remove(&f);
    }
}

static void check_small(struct fixture *f, const char *table, const char *where)
{
    struct column columns[COLUMNS_MAX];
    sqlite3 *db = open_db(f);

    const size_t count = columns_of(db, table, columns);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    for (size_t i = 0; i < count; i++) {
        if (columns[i].is_bytes || strcmp(columns[i].name, "id") == 0)
            continue;
        for (int times = 0; times < 2; times++) {
            db = open_db(f);
            change(db, table, &columns[i], where);
            assert_int_equal(sqlite3_close(db), SQLITE_OK);
            if (fixture_try_reopen(f, &detail) != (times == 0 ? JQ_ECORRUPT : JQ_OK))
                fail_msg("%s.%s where %s", table, columns[i].name, where);
            if (times == 0)
                assert_non_null(strstr(detail.text, "cannot be trusted"));
            fixture_close(f);
        }
    }
}

static void test_another_value_in_a_queue_or_limit_is_refused(void **state)
{
    (void)state;
    struct fixture f;

    fixture_open(&f, &direct);
    fixture_op(&f, JQ_OP_QUEUE_PUT)->u.queue =
        (struct jq_queue_record){ .id = 1, .name = jq_view_str("q") };
    fixture_op(&f, JQ_OP_QUEUE_PUT)->u.queue =
        (struct jq_queue_record){ .id = 2, .keep_ms = 6, .flags = 1, .name = jq_view_str("r") };
    fixture_op(&f, JQ_OP_LIMIT_PUT)->u.limit =
        (struct jq_limit_record){ .max = 2, .name = jq_view_str("l") };
    fixture_commit(&f);
    fixture_close(&f);
    check_small(&f, "queue", "id = 1");
    check_small(&f, "queue", "id = 2");
    check_small(&f, "job_limit", "name = x'6c'");
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_value_in_a_live_job_is_noticed),
        cmocka_unit_test(test_another_value_in_a_spilled_job_is_noticed),
        cmocka_unit_test(test_another_value_in_an_ended_job_is_noticed),
        cmocka_unit_test(test_another_bit_in_a_pack_is_noticed),
        cmocka_unit_test(test_another_value_in_a_queue_or_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
