/* SPDX-License-Identifier: MIT
 *
 * sqlite_schema.h - the tables and the groups of columns. Only sqlite_*.c include this. */
#ifndef JQ_STORE_SQLITE_SCHEMA_H
#define JQ_STORE_SQLITE_SCHEMA_H

#include <sqlite3.h>

/* A job's columns, as one operation writes them. Bytes are BLOB: nothing of ours need be UTF-8. Big
 * ones come last, so that reading a row's head touches no overflow page. */
#define JQ_SET_COLUMNS \
    "id, state, flags, attempt, crashes, fence, session, started_at, set_crc, worker"
#define JQ_SET_ASSIGN                                                               \
    "state = ?2, flags = ?3, attempt = ?4, crashes = ?5, fence = ?6, session = ?7," \
    " started_at = ?8, set_crc = ?9, worker = ?10"
#define JQ_RESULT_COLUMNS                                                            \
    "has_result, ended_at, code, signal, wall_us, user_us, system_us, max_rss_kib,"  \
    " stdout_bytes, stderr_bytes, result_crc, value_crc, output_crc, reason, value," \
    " stdout_head, stdout_tail, stderr_head, stderr_tail"
#define JQ_RESULT_PARAMETERS                                                                     \
    "?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, " \
    "?29"
#define JQ_FIXED_COLUMNS \
    "queue, priority, owner, created_at, crc, payload_crc, handler, title, key, payload"
enum { JQ_SET_COUNT = 10, JQ_RESULT_COUNT = 19, JQ_FIXED_COUNT = 10 };

/* A job's columns as they are read; ?1 says which of the large ones (JQ_READ_...). */
#define JQ_LIVE_ROW                                                                   \
    JQ_SET_COLUMNS ", queue, priority, owner, created_at, crc, payload_crc, handler," \
                   " title, key, CASE WHEN ?1 & 8 THEN payload END"
#define JQ_ENDED_ROW                                                                  \
    JQ_LIVE_ROW                                                                       \
    ", has_result, ended_at, code, signal, wall_us, user_us, system_us, max_rss_kib," \
    " stdout_bytes, stderr_bytes, result_crc, value_crc, output_crc, reason,"         \
    " CASE WHEN ?1 & 2 THEN value END, CASE WHEN ?1 & 4 THEN stdout_head END,"        \
    " CASE WHEN ?1 & 4 THEN stdout_tail END, CASE WHEN ?1 & 4 THEN stderr_head END,"  \
    " CASE WHEN ?1 & 4 THEN stderr_tail END"

#define JQ_QUEUE_COLUMNS                                                                       \
    "id, discipline, maxsize, blocked, delayed, ready, running, succeeded, failed, cancelled," \
    " crc, name"
#define JQ_REQUEST_COLUMNS "session, number, first_id, count, made_at, crc, each"
#define JQ_WORKER_COLUMNS "session, bound, crc, name"

/* Brings the schema from `version` to JQ_STORE_VERSION, in one transaction per step. An SQLite
 * result code; the message is in `db`. */
int jq_sqlite_migrate(sqlite3 *db, int version);

#endif
