/* SPDX-License-Identifier: MIT
 *
 * limits_sqlite.c - what SQLite does on this machine with rows of 100 bytes: WAL,
 * synchronous=FULL, batches of 10,000 rows. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum { BATCH = 10000, BATCHES = 5, ROW_BYTES = 100 };

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        bench_fail("sqlite: %s: %s", text, sqlite3_errmsg(db));
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *text)
{
    sqlite3_stmt *statement;

    if (sqlite3_prepare_v2(db, text, -1, &statement, NULL) != SQLITE_OK)
        bench_fail("sqlite: %s: %s", text, sqlite3_errmsg(db));
    return statement;
}

/* Rows 1 to BATCH * BATCHES, a commit for each batch; rows per second. */
static double batches(sqlite3 *db, const char *text, bool has_body)
{
    static const char body[ROW_BYTES] = { 'p' };
    sqlite3_stmt *statement = prepare(db, text);
    const uint64_t start = bench_now_ns();

    for (int i = 0; i < BATCHES; i++) {
        sql(db, "BEGIN");
        for (int n = 1; n <= BATCH; n++) {
            sqlite3_bind_int64(statement, 1, i * BATCH + n);
            if (has_body)
                sqlite3_bind_blob(statement, 2, body, sizeof body, SQLITE_STATIC);
            if (sqlite3_step(statement) != SQLITE_DONE)
                bench_fail("sqlite: %s", sqlite3_errmsg(db));
            sqlite3_reset(statement);
        }
        sql(db, "COMMIT");
    }
    const double seconds = bench_us_since(start) / 1e6;
    sqlite3_finalize(statement);
    return BATCH * BATCHES / seconds;
}

static double scan(sqlite3 *db)
{
    sqlite3_stmt *statement = prepare(db, "SELECT id, body FROM t ORDER BY id");
    const uint64_t start = bench_now_ns();
    int rows = 0;

    while (sqlite3_step(statement) == SQLITE_ROW)
        rows += sqlite3_column_bytes(statement, 1) == ROW_BYTES;
    const double seconds = bench_us_since(start) / 1e6;
    sqlite3_finalize(statement);
    return rows / seconds;
}

void bench_limits_sqlite(const char *directory)
{
    char folder[96], path[128];
    sqlite3 *db;

    snprintf(folder, sizeof folder, "%s/jobq-bench-XXXXXX", directory);
    if (!mkdtemp(folder))
        bench_fail("%s: no such directory can be made", folder);
    snprintf(path, sizeof path, "%s/limit.db", folder);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        bench_fail("sqlite: %s", sqlite3_errmsg(db));
    sql(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "PRAGMA wal_autocheckpoint=0; CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)");
    const double inserts = batches(db, "INSERT INTO t VALUES (?1, ?2)", true);
    bench_add("sqlite_insert", inserts);
    bench_add("sqlite_scan", scan(db));
    const double deletes = batches(db, "DELETE FROM t WHERE id = ?1", false);
    bench_add("sqlite_delete", deletes);
    bench_add("sqlite_insert_delete", 1 / (1 / inserts + 1 / deletes));
    sqlite3_close(db); /* and with it go the other files */
    unlink(path);
    rmdir(folder);
}
