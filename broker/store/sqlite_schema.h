/* SPDX-License-Identifier: MIT
 *
 * sqlite_schema.h - the tables, and columns that go together. Only sqlite_*.c include this. */
#ifndef JQ_STORE_SQLITE_SCHEMA_H
#define JQ_STORE_SQLITE_SCHEMA_H

#include <sqlite3.h>

/* A job's columns, as they are read. `life`, `fixed` and `result` are packs (sqlite_pack.h); the
 * largest comes last. The key is NULL when there is none. */
#define JQ_LIVE_ROW "id, state, queue, key, life, fixed"
#define JQ_SPILLED_ROW JQ_LIVE_ROW ", lane, rank, place_crc"
#define JQ_ENDED_ROW JQ_LIVE_ROW ", result"

/* With no mask a state that cannot be passes, too: its row is given, as a damaged one. */
#define JQ_STATES "(?3 = 0 OR (?3 >> state) & 1)"

#define JQ_QUEUE_COLUMNS                                                                       \
    "id, discipline, maxsize, blocked, delayed, ready, running, succeeded, failed, cancelled," \
    " expired, skipped, kept, kept_bytes, sequence, purge_before, flags, durability,"          \
    " concurrency, attempts_max, backoff_ms, backoff_max_ms, keep_ms, keep_bytes, keep_count," \
    " aging_ms, spilled, spilled_items, doomed, doomed_items, crc, name"
#define JQ_QUEUE_PARAMETERS                                                  \
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "          \
    "?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, " \
    "?29, ?30, ?31, ?32"
#define JQ_LIMIT_COLUMNS "name, max, crc"
#define JQ_REQUEST_COLUMNS "session, number, first_id, count, made_at, crc, each"
#define JQ_WORKER_COLUMNS "session, bound, crc, name"

/* Brings the schema from `version` to JQ_STORE_VERSION, in one transaction per step. An SQLite
 * result code; the message is in `db`. */
int jq_sqlite_migrate(sqlite3 *db, int version);

/* sqlite_rows_1.c: packs the rows of job_1 and ended_1, which have a column for each field, into
 * job and ended. Takes them away as it goes. */
int jq_sqlite_pack_rows_1(sqlite3 *db);

#endif
