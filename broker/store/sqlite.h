/* SPDX-License-Identifier: MIT
 *
 * sqlite.h - the SQLite backend, inside. Only sqlite_*.c include this, and only they know SQLite.
 * One connection, one thread at a time. */
#ifndef JQ_STORE_SQLITE_H
#define JQ_STORE_SQLITE_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "broker/store/mark.h"
#include "broker/store/path.h"
#include "broker/store/sqlite_schema.h"
#include "broker/store/store.h"

enum jq_sql {
#define SQL(name, text) JQ_SQL_##name,
#include "broker/store/sqlite_statements.def"
    JQ_SQL_COUNT
};

/* What the parameters of a statement are: SQLite keeps them through a reset, and most of a job's
 * are those of the job before. Only the others are bound: binding took a tenth of put-then-delete.
 */
struct jq_bound {
    uint64_t numbers[JQ_PARAMETERS_MAX + 1];
    uint8_t kinds[JQ_PARAMETERS_MAX + 1]; /* enum bound_kind of sqlite_columns.h */
};

/* Where a job's row is: one of three tables. */
enum jq_place { JQ_PLACE_JOB, JQ_PLACE_SPILLED, JQ_PLACE_ENDED };
enum { JQ_PLACES = 3 };

/* No row of a table has an id outside; empty when top < low. */
struct jq_span {
    uint64_t low, top;
};

struct jq_sqlite {
    struct jq_backend backend; /* first: ops */
    sqlite3 *db;
    sqlite3_stmt *statements[JQ_SQL_COUNT];
    struct jq_bound bound[JQ_SQL_COUNT];
    struct jq_store_path path;
    struct jq_mark mark;
    struct jq_store_meta meta;        /* of the last commit */
    uint64_t top_id;                  /* no stored job has a higher id */
    struct jq_span payloads, outputs; /* of the tables for large ones */
    uint32_t wal_pages;               /* in the log, not yet in the file */
    uint32_t page_bytes;
    /* Space: looked at again after so many commits or bytes. */
    int64_t min_free_bytes, max_bytes;
    uint32_t commits_unchecked;
    uint64_t bytes_unchecked;
    bool is_space_low;
    bool is_log_stuck; /* the log could not be written back: the disk was full */
};

static inline struct jq_sqlite *jq_sqlite_of(struct jq_backend *backend)
{
    return (struct jq_sqlite *)backend;
}

/* --- sqlite_open.c --- */
enum jq_err jq_sqlite_open(const struct jq_store_conf *conf, struct jq_backend **ret_backend,
                           struct jq_detail *ret_detail);
void jq_sqlite_close(struct jq_backend **backend);
enum jq_err jq_sqlite_exec(struct jq_sqlite *sqlite, const char *sql, struct jq_detail *detail);
/* The first column of the first row, as text. "" when there is none. */
enum jq_err jq_sqlite_query(struct jq_sqlite *sqlite, const char *sql, char *text, size_t size,
                            struct jq_detail *detail);
/* Translates an SQLite result code, with the connection's message into detail. Never JQ_OK. */
enum jq_err jq_sqlite_error(const struct jq_sqlite *sqlite, int code, const char *doing,
                            struct jq_detail *detail);

/* --- sqlite_upgrade.c: from an earlier version of the store to this one --- */
enum jq_err jq_sqlite_check_version(struct jq_sqlite *sqlite, int *ret_version,
                                    struct jq_detail *detail);
/* Copies the store to FILE.VERSION.bak, then brings it to JQ_STORE_VERSION. Nothing when it is. */
enum jq_err jq_sqlite_upgrade(struct jq_sqlite *sqlite, int version, struct jq_detail *detail);

/* --- sqlite_rest.c: between commits --- */
enum jq_err jq_sqlite_rest(struct jq_backend *backend, bool idle, struct jq_detail *ret_detail);
bool jq_sqlite_space_low(struct jq_backend *backend);
/* All of the log into the file, and the log starts over; its file keeps its size. */
enum jq_err jq_sqlite_checkpoint(struct jq_sqlite *sqlite, int mode, struct jq_detail *ret_detail);
/* Gives the file of an empty log its size: a commit that overwrites syncs in half the time of one
 * that appends. */
void jq_sqlite_log_fill(struct jq_sqlite *sqlite);

/* --- sqlite_commit.c --- */
/* An SQLite code. The parameters are bound. */
int jq_sqlite_run(struct jq_sqlite *sqlite, enum jq_sql which);
int jq_sqlite_run_with_id(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t id);
/* ?1 and ?2 */
int jq_sqlite_run_with_range(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t first,
                             uint64_t last);
enum jq_err jq_sqlite_commit(struct jq_backend *backend, const struct jq_batch *batch,
                             struct jq_detail *ret_detail);

/* --- sqlite_spill.c: live jobs that the broker does not keep in memory --- */
/* An SQLite code each; `found`: it was there. */
int jq_sqlite_spilled_put(struct jq_sqlite *sqlite, const struct jq_job_record *job);
int jq_sqlite_job_spill(struct jq_sqlite *sqlite, const struct jq_job_record *job, bool *ret_found);
int jq_sqlite_spilled_set(struct jq_sqlite *sqlite, const struct jq_job_record *job,
                          bool *ret_found);
int jq_sqlite_spilled_purge(struct jq_sqlite *sqlite, const struct jq_spilled_purge *purge,
                            bool *ret_found);

/* --- sqlite_large.c: payloads and outputs that have tables of their own --- */
enum jq_err jq_sqlite_large_open(struct jq_sqlite *sqlite, struct jq_detail *detail);
bool jq_payload_is_large(const struct jq_job_record *job);
bool jq_output_is_large(const struct jq_result_record *result);
/* An SQLite code each. `put` does nothing for what is not large, `delete` for what is not there. */
int jq_sqlite_payload_put(struct jq_sqlite *sqlite, const struct jq_job_record *job);
int jq_sqlite_output_put(struct jq_sqlite *sqlite, uint64_t id,
                         const struct jq_result_record *result);
int jq_sqlite_outputs_delete(struct jq_sqlite *sqlite, uint64_t first, uint64_t last);
int jq_sqlite_large_delete(struct jq_sqlite *sqlite, uint64_t first, uint64_t last);
bool jq_sqlite_has_payloads(const struct jq_sqlite *sqlite);
/* Of the ended jobs of a queue. */
int jq_sqlite_large_delete_queue(struct jq_sqlite *sqlite, uint32_t queue);

/* --- sqlite_read.c --- */
enum jq_err jq_sqlite_load_meta(struct jq_backend *backend, struct jq_store_meta *ret_meta);
enum jq_err jq_sqlite_load_queues(struct jq_backend *backend, jq_each_queue_fn *each, void *arg);
enum jq_err jq_sqlite_load_jobs(struct jq_backend *backend, jq_each_job_fn *each, void *arg);
enum jq_err jq_sqlite_load_requests(struct jq_backend *backend, jq_each_request_fn *each,
                                    void *arg);
enum jq_err jq_sqlite_load_workers(struct jq_backend *backend, jq_each_worker_fn *each, void *arg);
enum jq_err jq_sqlite_load_limits(struct jq_backend *backend, jq_each_limit_fn *each, void *arg);
enum jq_err jq_sqlite_read(struct jq_backend *backend, const struct jq_read *read,
                           jq_each_job_fn *each, void *arg, bool *ret_more);
enum jq_err jq_sqlite_read_one(struct jq_sqlite *sqlite, uint64_t id, uint32_t parts,
                               jq_each_job_fn *each, void *arg);
/* sqlite_list.c */
enum jq_err jq_sqlite_read_merged(struct jq_sqlite *sqlite, const struct jq_read *read,
                                  jq_each_job_fn *each, void *arg, bool *ret_more);
/* sqlite_spill.c */
enum jq_err jq_sqlite_read_spilled(struct jq_sqlite *sqlite, const struct jq_read *read,
                                   jq_each_job_fn *each, void *arg, bool *ret_more);
/* The row of META_GET, checked. ECORRUPT: absent or its CRC does not fit. */
enum jq_err jq_sqlite_read_meta(struct jq_sqlite *sqlite, struct jq_store_meta *ret_meta);

/* --- sqlite_row.c, sqlite_small.c: records to parameters and columns to records, and the CRCs
 * between --- */

/* Bind one group of columns from parameter `at` on. What these bind nobody else binds. Bound bytes
 * are borrowed until the statement has been reset, read ones until it is stepped. An SQLite code:
 * SQLITE_OK or the first that failed. */
int jq_row_bind_set(struct jq_sqlite *sqlite, enum jq_sql which, int at,
                    const struct jq_job_record *job);
int jq_row_bind_fixed(struct jq_sqlite *sqlite, enum jq_sql which, int at,
                      const struct jq_job_record *job);
int jq_row_bind_result(struct jq_sqlite *sqlite, enum jq_sql which, int at, uint64_t id,
                       const struct jq_result_record *result); /* NULL: none */
int jq_row_bind_payload(struct jq_sqlite *sqlite, enum jq_sql which,
                        const struct jq_job_record *job);
int jq_row_bind_output(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t id,
                       const struct jq_result_record *result);
int jq_row_bind_id(struct jq_sqlite *sqlite, enum jq_sql which, int at, uint64_t id);
int jq_row_bind_place(struct jq_sqlite *sqlite, enum jq_sql which, int at,
                      const struct jq_job_record *job); /* of a spilled one */
int jq_row_bind_queue(struct jq_sqlite *sqlite, enum jq_sql which,
                      const struct jq_queue_record *queue);
int jq_row_bind_request(struct jq_sqlite *sqlite, enum jq_sql which,
                        const struct jq_request_record *request);
int jq_row_bind_worker(struct jq_sqlite *sqlite, enum jq_sql which,
                       const struct jq_worker_record *worker);
int jq_row_bind_limit(struct jq_sqlite *sqlite, enum jq_sql which,
                      const struct jq_limit_record *limit);
int jq_row_bind_limit_name(struct jq_sqlite *sqlite, enum jq_sql which,
                           const struct jq_limit_record *limit);
int jq_row_bind_meta(struct jq_sqlite *sqlite, enum jq_sql which, const struct jq_store_meta *meta);

/* A row of JQ_LIVE_ROW, JQ_SPILLED_ROW or JQ_ENDED_ROW. What cannot be trusted sets job.damaged: a
 * damaged result is given as one that says so, never as what it says. EINVAL never; ENOMEM when
 * SQLite had none.
 */
enum jq_err jq_row_read_job(sqlite3_stmt *statement, enum jq_place place, uint32_t parts,
                            struct jq_loaded_job *ret_job);
/* ECORRUPT: the CRC does not fit. */
enum jq_err jq_row_read_queue(sqlite3_stmt *statement, struct jq_queue_record *ret_queue);
enum jq_err jq_row_read_request(sqlite3_stmt *statement, struct jq_request_record *ret_request);
enum jq_err jq_row_read_worker(sqlite3_stmt *statement, struct jq_worker_record *ret_worker);
enum jq_err jq_row_read_limit(sqlite3_stmt *statement, struct jq_limit_record *ret_limit);
enum jq_err jq_row_read_meta(sqlite3_stmt *statement, struct jq_store_meta *ret_meta);

#endif
