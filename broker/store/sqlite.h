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
#include "proto/base/buf.h"

enum jq_sql {
#define SQL(name, text) JQ_SQL_##name,
#include "broker/store/sqlite_statements.def"
    JQ_SQL_COUNT
};

/* Where a job's row is: one of three tables. */
enum jq_place { JQ_PLACE_JOB, JQ_PLACE_SPILLED, JQ_PLACE_ENDED };
enum { JQ_PLACES = 3 };

/* No row of a table has an id outside; empty when top < low. */
struct jq_span {
    uint64_t low, top;
};

/* Operations that the same statements write, by rising id. */
struct jq_run {
    const struct jq_store_op **ops;
    uint32_t count, capacity;
};

/* Packs of the row that is being written. */
struct jq_packs {
    struct jq_buf life, fixed, result;
};

struct jq_sqlite {
    struct jq_backend backend; /* first: ops */
    sqlite3 *db;
    sqlite3_stmt *statements[JQ_SQL_COUNT];
    struct jq_run run; /* what `batch` has the rows of */
    struct jq_packs packs;
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
    bool is_large_open; /* PAYLOAD_GET or OUTPUT_GET stands at a row */
    bool is_log_stuck;  /* the log could not be written back: the disk was full */
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

/* --- sqlite_jobs.c --- */
bool jq_sqlite_is_about_jobs(const struct jq_store_op *op);
/* Applies the operation at *at, with those of its run, and moves *at past them. *ret_absent: one
 * whose job is not there. An SQLite code. */
int jq_sqlite_apply_jobs(struct jq_sqlite *sqlite, const struct jq_batch *batch, uint32_t *at,
                         uint64_t *top_id, const struct jq_store_op **ret_absent);

/* --- sqlite_batch.c --- */
/* Makes `batch` known to the connection: the rows of `run`. An SQLite code. */
int jq_sqlite_batch_open(struct jq_sqlite *sqlite);
/* Runs of a batch of so many operations have room. ENOMEM. */
enum jq_err jq_sqlite_batch_reserve(struct jq_sqlite *sqlite, uint32_t count);

/* --- sqlite_spill.c: live jobs that the broker does not keep in memory --- */
/* An SQLite code; `found`: all of them were there. */
int jq_sqlite_spilled_purge(struct jq_sqlite *sqlite, const struct jq_spilled_purge *purge,
                            bool *ret_found);

/* --- sqlite_large.c: payloads and outputs that have tables of their own --- */
enum jq_err jq_sqlite_large_open(struct jq_sqlite *sqlite, struct jq_detail *detail);
bool jq_payload_is_large(size_t bytes);
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
/* All from the first id to the last, wherever they are, by rising id. */
enum jq_err jq_sqlite_read_range(struct jq_sqlite *sqlite, uint64_t first, uint64_t last,
                                 uint32_t parts, jq_each_job_fn *each, void *arg);
/* sqlite_list.c */
enum jq_err jq_sqlite_read_merged(struct jq_sqlite *sqlite, const struct jq_read *read,
                                  jq_each_job_fn *each, void *arg, bool *ret_more);
/* sqlite_spill.c */
enum jq_err jq_sqlite_read_spilled(struct jq_sqlite *sqlite, const struct jq_read *read,
                                   jq_each_job_fn *each, void *arg, bool *ret_more);
/* The row of META_GET, checked. ECORRUPT: absent or its CRC does not fit. */
enum jq_err jq_sqlite_read_meta(struct jq_sqlite *sqlite, struct jq_store_meta *ret_meta);

/* --- sqlite_row.c, sqlite_result.c, sqlite_small.c: records to columns and back, and the CRCs
 * between --- */

/* The buffer is broken when there was no memory. */
void jq_row_pack_life(struct jq_buf *buf, const struct jq_job_record *job);
void jq_row_pack_fixed(struct jq_buf *buf, const struct jq_job_record *job);
void jq_row_pack_result(struct jq_buf *buf, uint64_t id,
                        const struct jq_result_record *result); /* NULL: none */
uint32_t jq_row_crc_place(const struct jq_job_record *job);     /* of a spilled one */

/* Bound bytes are borrowed until the statement has been reset, read ones until it is stepped. An
 * SQLite code: SQLITE_OK or the first that failed. */
int jq_row_bind_life(struct jq_sqlite *sqlite, enum jq_sql which,
                     const struct jq_job_record *job); /* id, state, life */
int jq_row_bind_result(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t id,
                       const struct jq_result_record *result); /* id, result */
int jq_row_bind_payload(struct jq_sqlite *sqlite, enum jq_sql which,
                        const struct jq_job_record *job);
int jq_row_bind_output(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t id,
                       const struct jq_result_record *result);
int jq_row_bind_id(struct jq_sqlite *sqlite, enum jq_sql which, int at, uint64_t id);
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
 * damaged result is given as one that says so, never as what it says. What is large is borrowed
 * until jq_row_end_large, which follows, also after an error. */
enum jq_err jq_row_read_job(struct jq_sqlite *sqlite, sqlite3_stmt *statement, enum jq_place place,
                            uint32_t parts, struct jq_loaded_job *ret_job);
void jq_row_end_large(struct jq_sqlite *sqlite);
/* What a list asks for beside queue and state. */
bool jq_row_passes(sqlite3_stmt *statement, const struct jq_read *read);
/* ECORRUPT: the CRC does not fit. */
enum jq_err jq_row_read_queue(sqlite3_stmt *statement, struct jq_queue_record *ret_queue);
enum jq_err jq_row_read_request(sqlite3_stmt *statement, struct jq_request_record *ret_request);
enum jq_err jq_row_read_worker(sqlite3_stmt *statement, struct jq_worker_record *ret_worker);
enum jq_err jq_row_read_limit(sqlite3_stmt *statement, struct jq_limit_record *ret_limit);
enum jq_err jq_row_read_meta(sqlite3_stmt *statement, struct jq_store_meta *ret_meta);

#endif
