/* SPDX-License-Identifier: MIT
 *
 * sqlite_schema.c - the steps of the schema, append only. A step that has shipped is never changed:
 * files made by it are out there.
 *
 * A job's row has few columns: what SQL looks at, and packs (sqlite_pack.h) of what is written
 * together. With a column for each field, 24 of them, a row cost twice as much to write, and three
 * times as much to read.
 *
 * Two tables for jobs, not one with an index over (state, id): such an index on live jobs took
 * put-then-delete from 0.49 to 0.34 M jobs/s (medians of five noisy runs), while a row that moves
 * once at its end costs only those that are kept. So loading and listing live jobs never walks past
 * millions of ended ones. The one index is over users' own keys; jobs without a key are not in it.
 *
 * Large payloads and outputs have tables of their own (sqlite_large.c): a job that starts and ends
 * does not write them again, and who walks the jobs does not walk their pages.
 *
 * Jobs that the broker does not keep in memory are in a third, which alone has the index that their
 * order needs: it costs only them.
 *
 * The price: a list of one queue or state among very many rows walks the table. */
#include "broker/store/sqlite_schema.h"

#include <stdio.h>

#include "broker/store/path.h"
#include "broker/store/sqlite.h"

/* Of version 1. */
#define JOB_SET_TYPES                                                                  \
    "id INTEGER PRIMARY KEY, state INTEGER NOT NULL, flags INTEGER NOT NULL,"          \
    "attempt INTEGER NOT NULL, crashes INTEGER NOT NULL, fence INTEGER NOT NULL,"      \
    "session INTEGER NOT NULL, started_at INTEGER NOT NULL, set_crc INTEGER NOT NULL," \
    "queue INTEGER NOT NULL, priority INTEGER NOT NULL, owner INTEGER NOT NULL,"       \
    "created_at INTEGER NOT NULL, crc INTEGER NOT NULL, payload_crc INTEGER NOT NULL,"
#define JOB_BYTES_TYPES \
    "worker BLOB NOT NULL, handler BLOB NOT NULL, title BLOB NOT NULL, key BLOB NOT NULL,"

#define JOB_TYPES "id INTEGER PRIMARY KEY, state INTEGER NOT NULL, queue INTEGER NOT NULL,"

struct step {
    const char *sql;
    int (*rows)(sqlite3 *db); /* what SQL cannot do; NULL: nothing */
    const char *then;
};

static const struct step steps[] = {
    /* 0 -> 1 */
    { .sql =
          "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1),"
          "commit_sequence INTEGER NOT NULL, next_id INTEGER NOT NULL, next_queue INTEGER NOT NULL,"
          "incarnation INTEGER NOT NULL, crc INTEGER NOT NULL, store_id BLOB NOT NULL) STRICT;"
          "CREATE TABLE job (" JOB_SET_TYPES JOB_BYTES_TYPES "payload BLOB NOT NULL) STRICT;"
          "CREATE INDEX job_key ON job (key) WHERE key <> x'';"
          "CREATE TABLE ended (" JOB_SET_TYPES
          "has_result INTEGER NOT NULL, ended_at INTEGER NOT NULL, code INTEGER NOT NULL,"
          "signal INTEGER NOT NULL, wall_us INTEGER NOT NULL, user_us INTEGER NOT NULL,"
          "system_us INTEGER NOT NULL, max_rss_kib INTEGER NOT NULL, stdout_bytes INTEGER NOT NULL,"
          "stderr_bytes INTEGER NOT NULL, result_crc INTEGER NOT NULL, value_crc INTEGER NOT NULL,"
          "output_crc INTEGER NOT NULL," JOB_BYTES_TYPES
          "reason BLOB NOT NULL, value BLOB NOT NULL, stdout_head BLOB NOT NULL,"
          "stdout_tail BLOB NOT NULL, stderr_head BLOB NOT NULL, stderr_tail BLOB NOT NULL,"
          "payload BLOB NOT NULL) STRICT;"
          "CREATE INDEX ended_key ON ended (key) WHERE key <> x'';"
          "CREATE TABLE queue (id INTEGER PRIMARY KEY, discipline INTEGER NOT NULL,"
          "maxsize INTEGER NOT NULL, blocked INTEGER NOT NULL, delayed INTEGER NOT NULL,"
          "ready INTEGER NOT NULL, running INTEGER NOT NULL, succeeded INTEGER NOT NULL,"
          "failed INTEGER NOT NULL, cancelled INTEGER NOT NULL, crc INTEGER NOT NULL,"
          "name BLOB NOT NULL) STRICT;"
          "CREATE TABLE request (session INTEGER NOT NULL, number INTEGER NOT NULL,"
          "first_id INTEGER NOT NULL, count INTEGER NOT NULL, made_at INTEGER NOT NULL,"
          "crc INTEGER NOT NULL, each BLOB NOT NULL, PRIMARY KEY (session, number))"
          " STRICT, WITHOUT ROWID;"
          "CREATE TABLE worker (session INTEGER PRIMARY KEY, bound INTEGER NOT NULL, crc INTEGER "
          "NOT "
          "NULL, name BLOB NOT NULL)"
          " STRICT;" },
    /* 1 -> 2. Jobs are packed. A row of a small table is not rewritten for a column that is added:
     * one without it reads as its default, and its CRC counts on that (CRC_ADDED in
     * sqlite_columns.h). */
    { .sql =
          "ALTER TABLE queue ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN kept_bytes INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN purge_before INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN durability INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN concurrency INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN attempts_max INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN backoff_ms INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN backoff_max_ms INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN keep_ms INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN keep_bytes INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN keep_count INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN aging_ms INTEGER NOT NULL DEFAULT 0;"
          "CREATE TABLE job_limit (name BLOB PRIMARY KEY NOT NULL, max INTEGER NOT NULL,"
          "crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
          "CREATE TABLE job_payload (job_id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;"
          "CREATE TABLE job_output (job_id INTEGER PRIMARY KEY, value BLOB NOT NULL,"
          "stdout_head BLOB NOT NULL, stdout_tail BLOB NOT NULL, stderr_head BLOB NOT NULL,"
          "stderr_tail BLOB NOT NULL) STRICT;"
          "ALTER TABLE queue ADD COLUMN spilled INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN spilled_items INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN doomed INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE queue ADD COLUMN doomed_items INTEGER NOT NULL DEFAULT 0;"
          "DROP INDEX job_key; DROP INDEX ended_key;"
          "ALTER TABLE job RENAME TO job_1; ALTER TABLE ended RENAME TO ended_1;"
          "CREATE TABLE job (" JOB_TYPES
          "key BLOB, life BLOB NOT NULL, fixed BLOB NOT NULL) STRICT;"
          "CREATE TABLE spilled (" JOB_TYPES "lane INTEGER NOT NULL, rank INTEGER NOT NULL,"
          "place_crc INTEGER NOT NULL, key BLOB, life BLOB NOT NULL, fixed BLOB NOT NULL) STRICT;"
          "CREATE TABLE ended (" JOB_TYPES "key BLOB, life BLOB NOT NULL, result BLOB NOT NULL,"
          "fixed BLOB NOT NULL) STRICT;"
          "CREATE INDEX job_key ON job (key) WHERE key IS NOT NULL;"
          "CREATE INDEX spilled_key ON spilled (key) WHERE key IS NOT NULL;"
          "CREATE INDEX ended_key ON ended (key) WHERE key IS NOT NULL;"
          "CREATE INDEX ended_failed ON ended (id) WHERE state = 5;"
          "CREATE INDEX spilled_order ON spilled (queue, lane, rank);",
      .rows = jq_sqlite_pack_rows_1,
      .then = "DROP TABLE job_1; DROP TABLE ended_1" },
};

_Static_assert(sizeof(steps) / sizeof(steps[0]) == JQ_STORE_VERSION, "a step for every version");

static int take_step(sqlite3 *db, const struct step *step)
{
    int code = sqlite3_exec(db, step->sql, NULL, NULL, NULL);

    if (code == SQLITE_OK && step->rows)
        code = step->rows(db);
    if (code == SQLITE_OK && step->then)
        code = sqlite3_exec(db, step->then, NULL, NULL, NULL);
    return code;
}

int jq_sqlite_migrate(sqlite3 *db, int version)
{
    char sql[96];
    int code = SQLITE_OK;

    for (; code == SQLITE_OK && version < JQ_STORE_VERSION; version++) {
        snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                 JQ_STORE_APPLICATION_ID, version + 1);
        code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (code == SQLITE_OK)
            code = take_step(db, &steps[version]);
        if (code == SQLITE_OK)
            code = sqlite3_exec(db, sql, NULL, NULL, NULL);
        if (code == SQLITE_OK)
            code = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    }
    return code;
}
