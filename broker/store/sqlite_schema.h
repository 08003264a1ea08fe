/* SPDX-License-Identifier: MIT
 *
 * sqlite_schema.h - the tables and the groups of columns. Only sqlite_*.c include this. */
#ifndef JQ_STORE_SQLITE_SCHEMA_H
#define JQ_STORE_SQLITE_SCHEMA_H

#include <sqlite3.h>

/* A job's columns, as one operation writes them. Bytes are BLOB: nothing of ours need be UTF-8. Big
 * ones come last, so that reading a row's head touches no overflow page. */
#define JQ_SET_COLUMNS                                                                            \
    "id, state, flags, attempt, crashes, fence, session, started_at, due_at, failures, set_crc, " \
    "worker, history"
#define JQ_SET_PARAMETERS "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13"
#define JQ_SET_ASSIGN                                                               \
    "state = ?2, flags = ?3, attempt = ?4, crashes = ?5, fence = ?6, session = ?7," \
    " started_at = ?8, due_at = ?9, failures = ?10, set_crc = ?11, worker = ?12, history = ?13"
#define JQ_RESULT_COLUMNS                                                                        \
    "has_result, ended_at, code, signal, wall_us, user_us, system_us, max_rss_kib,"              \
    " stdout_bytes, stderr_bytes, kept_bytes, result_crc, value_crc, output_crc, reason, value," \
    " stdout_head, stdout_tail, stderr_head, stderr_tail"
#define JQ_RESULT_PARAMETERS                             \
    "?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, " \
    "?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33"
#define JQ_FIXED_COLUMNS \
    "queue, priority, owner, created_at, crc, payload_crc, handler, title, key, options, payload"
enum { JQ_SET_COUNT = 13, JQ_RESULT_COUNT = 20, JQ_FIXED_COUNT = 11 };
enum { JQ_PARAMETERS_MAX = JQ_SET_COUNT + JQ_RESULT_COUNT + JQ_FIXED_COUNT };

/* A job's columns as they are read; ?1 says which of the large ones (JQ_READ_...). Those that are
 * empty in the row may be in the tables for large ones. */
#define JQ_LIVE_ROW                                                                            \
    JQ_SET_COLUMNS ", queue, priority, owner, created_at, crc, payload_crc, handler,"          \
                   " title, key, options, CASE WHEN ?1 & 8 THEN CASE WHEN length(payload) > 0" \
                   " THEN payload ELSE (SELECT bytes FROM job_payload WHERE job_id = id) END END"
#define JQ_LARGE(part, name)                                                  \
    " CASE WHEN ?1 & " part " THEN CASE WHEN length(" name ") > 0 THEN " name \
    " ELSE (SELECT " name " FROM job_output WHERE job_id = id) END END"
#define JQ_ENDED_ROW                                                                  \
    JQ_LIVE_ROW                                                                       \
    ", has_result, ended_at, code, signal, wall_us, user_us, system_us, max_rss_kib," \
    " stdout_bytes, stderr_bytes, kept_bytes, result_crc, value_crc, output_crc, "    \
    "reason," JQ_LARGE("2", "value") ", " JQ_LARGE("4", "stdout_head") ", " JQ_LARGE( \
        "4", "stdout_tail") ", " JQ_LARGE("4", "stderr_head") ", " JQ_LARGE("4", "stderr_tail")

#define JQ_SPILLED_ROW JQ_LIVE_ROW ", lane, rank"

/* With no mask a state that cannot be passes, too: its row is given, as a damaged one. */
#define JQ_STATES "(?4 = 0 OR (?4 >> state) & 1)"
#define JQ_LIST_FILTER \
    "created_at >= ?5 AND created_at < ?6 AND (?7 IS NULL OR instr(options, ?7) > 0)"

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

#endif
