/* SPDX-License-Identifier: MIT
 *
 * sqlite_open.c - opening: refuse, recover, migrate, check, in this order. Nothing is written to a
 * file before it is known to be ours, and nothing of a store that has lost commits is touched. */
#include "broker/store/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"

/* Below this size the whole file is checked at every open; above, the rows' CRCs must do. */
enum { QUICK_CHECK_MAX_BYTES = 32 << 20 };

const struct jq_store_ops jq_store_sqlite = {
    .name = "sqlite",
    .open = jq_sqlite_open,
    .load_meta = jq_sqlite_load_meta,
    .load_queues = jq_sqlite_load_queues,
    .load_jobs = jq_sqlite_load_jobs,
    .load_requests = jq_sqlite_load_requests,
    .load_workers = jq_sqlite_load_workers,
    .load_limits = jq_sqlite_load_limits,
    .read = jq_sqlite_read,
    .commit = jq_sqlite_commit,
    .rest = jq_sqlite_rest,
    .space_low = jq_sqlite_space_low,
    .close = jq_sqlite_close,
};

static enum jq_err translate(int code, int system_error)
{
    const bool full = system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;

    switch (code & 0xff) {
    case SQLITE_FULL:
        return JQ_ENOSPC;
    case SQLITE_NOMEM:
        return JQ_ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return JQ_ECORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return JQ_ELOCKED;
    case SQLITE_TOOBIG:
        return JQ_EMSGSIZE;
    case SQLITE_IOERR:
        return code == SQLITE_IOERR_NOMEM ? JQ_ENOMEM : full ? JQ_ENOSPC : JQ_EIO;
    default:
        return JQ_EIO;
    }
}

enum jq_err jq_sqlite_error(const struct jq_sqlite *sqlite, int code, const char *doing,
                            struct jq_detail *detail)
{
    const int system_error = sqlite->db ? sqlite3_system_errno(sqlite->db) : 0;
    const enum jq_err err = translate(code, system_error);
    const char *message = sqlite->db ? sqlite3_errmsg(sqlite->db) : sqlite3_errstr(code);

    if (err == JQ_ECORRUPT)
        return jq_store_path_damaged(sqlite->path.file, message, detail);
    if (system_error != 0)
        jq_detail_set(detail, "%s: %s: %s (sqlite %d: %s)", sqlite->path.file, doing, message, code,
                      strerror(system_error));
    else
        jq_detail_set(detail, "%s: %s: %s (sqlite %d)", sqlite->path.file, doing, message, code);
    return err;
}

enum jq_err jq_sqlite_exec(struct jq_sqlite *sqlite, const char *sql, struct jq_detail *detail)
{
    const int code = sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? JQ_OK : jq_sqlite_error(sqlite, code, "cannot open", detail);
}

enum jq_err jq_sqlite_query(struct jq_sqlite *sqlite, const char *sql, char *text, size_t size,
                            struct jq_detail *detail)
{
    sqlite3_stmt *statement = NULL;

    int code = sqlite3_prepare_v2(sqlite->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    const unsigned char *column = code == SQLITE_ROW ? sqlite3_column_text(statement, 0) : NULL;
    snprintf(text, size, "%s", column ? (const char *)column : "");
    const enum jq_err err = code == SQLITE_ROW || code == SQLITE_DONE
                                ? JQ_OK
                                : jq_sqlite_error(sqlite, code, "cannot open", detail);
    sqlite3_finalize(statement);
    return err;
}

static int count_log(void *arg, sqlite3 *db, const char *schema, int pages)
{
    struct jq_sqlite *sqlite = arg;

    (void)db;
    (void)schema;
    sqlite->wal_pages = (uint32_t)pages;
    return SQLITE_OK;
}

static enum jq_err connect(struct jq_sqlite *sqlite, struct jq_detail *detail)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

    const int code = sqlite3_open_v2(sqlite->path.file, &sqlite->db, flags, NULL);
    if (code != SQLITE_OK)
        return jq_sqlite_error(sqlite, code, "cannot open", detail);
    if (jq_sqlite_batch_open(sqlite) != SQLITE_OK)
        return JQ_ENOMEM;
    sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    /* Until the store has been accepted: a refused one keeps its log, for a second look. */
    sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return jq_sqlite_exec(sqlite,
                          "PRAGMA locking_mode = EXCLUSIVE;" /* and no shared memory file */
                          "PRAGMA synchronous = FULL;"
                          "PRAGMA mmap_size = 0;" /* an I/O error would be SIGBUS */
                          "PRAGMA secure_delete = OFF;"
                          "PRAGMA cell_size_check = ON;"
                          "PRAGMA temp_store = MEMORY;"
                          "PRAGMA cache_size = -65536;"
                          "PRAGMA foreign_keys = OFF",
                          detail);
}

static enum jq_err make_new(struct jq_sqlite *sqlite, struct jq_detail *detail)
{
    char fresh[PATH_MAX];
    sqlite3 *db = NULL;

    JQ_TRY(jq_store_path_make(&sqlite->path, fresh, sizeof(fresh), detail));
    int code = sqlite3_open_v2(
        fresh, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "PRAGMA page_size = 4096; PRAGMA synchronous = FULL", NULL, NULL,
                            NULL);
    if (code == SQLITE_OK)
        code = jq_sqlite_migrate(db, 0);
    if (code != SQLITE_OK) {
        sqlite->db = db; /* for its message; closed with the backend */
        return jq_sqlite_error(sqlite, code, "cannot be made", detail);
    }
    sqlite3_close(db);
    return jq_store_path_made(&sqlite->path, fresh, detail);
}

static enum jq_err set_log(struct jq_sqlite *sqlite, struct jq_detail *detail)
{
    char text[16];

    JQ_TRY(jq_sqlite_query(sqlite, "PRAGMA journal_mode = WAL", text, sizeof(text), detail));
    if (strcmp(text, "wal") != 0) {
        jq_detail_set(detail, "%s: SQLite gives no write-ahead log here", sqlite->path.file);
        return JQ_EIO;
    }
    JQ_TRY(jq_sqlite_query(sqlite, "PRAGMA page_size", text, sizeof(text), detail));
    sqlite->page_bytes = (uint32_t)strtoul(text, NULL, 10);
    sqlite3_wal_autocheckpoint(sqlite->db, 0);
    sqlite3_wal_hook(sqlite->db, count_log, sqlite);
    /* The log's file keeps its size, see jq_sqlite_log_fill. */
    return jq_sqlite_exec(sqlite, "PRAGMA journal_size_limit = -1", detail);
}

static enum jq_err quick_check(struct jq_sqlite *sqlite, struct jq_detail *detail)
{
    struct stat status;
    char text[128];

    if (stat(sqlite->path.file, &status) != 0 || status.st_size > QUICK_CHECK_MAX_BYTES)
        return JQ_OK;
    JQ_TRY(jq_sqlite_query(sqlite, "PRAGMA quick_check(1)", text, sizeof(text), detail));
    if (strcmp(text, "ok") == 0)
        return JQ_OK;
    return jq_store_path_damaged(sqlite->path.file, text, detail);
}

/* The statements from `first` on, before `end`. */
static enum jq_err prepare(struct jq_sqlite *sqlite, int first, int end, struct jq_detail *detail)
{
    static const char *const texts[] = {
#define SQL(name, text) [JQ_SQL_##name] = text,
#include "broker/store/sqlite_statements.def"
    };

    for (int i = first; i < end; i++) {
        const int code = sqlite3_prepare_v3(sqlite->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                            &sqlite->statements[i], NULL);
        if (code != SQLITE_OK)
            return jq_sqlite_error(sqlite, code, "cannot open", detail);
    }
    return JQ_OK;
}

static void new_meta(struct jq_store_meta *meta)
{
    *meta = (struct jq_store_meta){ .next_id = 1, .next_queue = 1 };
    for (size_t i = 0; i < sizeof(meta->store_id); i += sizeof(uint64_t)) {
        const uint64_t bits = jq_clock_entropy();
        memcpy(meta->store_id + i, &bits, sizeof(bits));
    }
}

/* The one row of meta; made when the store is new, or was left by a crash before it had one. */
static enum jq_err load_or_make_meta(struct jq_sqlite *sqlite, struct jq_detail *detail)
{
    char count[16], text[32], sql[160], id[33];
    struct jq_store_meta *meta = &sqlite->meta;

    JQ_TRY(jq_sqlite_query(sqlite, "SELECT count(*) FROM meta", count, sizeof(count), detail));
    if (strcmp(count, "0") != 0) {
        const enum jq_err err = jq_sqlite_read_meta(sqlite, meta);
        return err == JQ_ECORRUPT
                   ? jq_store_path_damaged(sqlite->path.file, "its counters do not add up", detail)
                   : err;
    }
    JQ_TRY(
        jq_sqlite_query(sqlite,
                        "SELECT 1 FROM job UNION ALL SELECT 1 FROM spilled UNION ALL SELECT 1 FROM"
                        " ended LIMIT 1",
                        text, sizeof(text), detail));
    if (text[0])
        return jq_store_path_damaged(sqlite->path.file, "it has jobs but no counters", detail);
    new_meta(meta);
    for (size_t i = 0; i < sizeof(meta->store_id); i++)
        snprintf(id + 2 * i, 3, "%02x", meta->store_id[i]);
    snprintf(sql, sizeof(sql), "INSERT INTO meta VALUES (1, 0, 1, 1, 0, 0, x'%s')", id);
    JQ_TRY(jq_sqlite_exec(sqlite, "BEGIN IMMEDIATE", detail));
    JQ_TRY(jq_sqlite_exec(sqlite, sql, detail));
    int code = jq_row_bind_meta(sqlite, JQ_SQL_META_SET, meta); /* its CRC */
    if (code == SQLITE_OK && sqlite3_step(sqlite->statements[JQ_SQL_META_SET]) != SQLITE_DONE)
        code = sqlite3_errcode(sqlite->db);
    sqlite3_reset(sqlite->statements[JQ_SQL_META_SET]);
    if (code != SQLITE_OK)
        return jq_sqlite_error(sqlite, code, "cannot open", detail);
    return jq_sqlite_exec(sqlite, "COMMIT", detail);
}

static enum jq_err no_queue(void *arg, const struct jq_queue_record *record)
{
    (void)arg;
    (void)record;
    return JQ_OK;
}

static enum jq_err no_request(void *arg, const struct jq_request_record *record)
{
    (void)arg;
    (void)record;
    return JQ_OK;
}

static enum jq_err no_worker(void *arg, const struct jq_worker_record *record)
{
    (void)arg;
    (void)record;
    return JQ_OK;
}

static enum jq_err no_limit(void *arg, const struct jq_limit_record *record)
{
    (void)arg;
    (void)record;
    return JQ_OK;
}

/* The small tables have no way to mark one row as damaged: they are right or the store is refused.
 */
static enum jq_err check_rows(struct jq_sqlite *sqlite, struct jq_detail *detail)
{
    const char *table = "queues";
    char top[32];

    enum jq_err err = jq_sqlite_load_queues(&sqlite->backend, no_queue, NULL);
    if (err == JQ_OK) {
        table = "requests";
        err = jq_sqlite_load_requests(&sqlite->backend, no_request, NULL);
    }
    if (err == JQ_OK) {
        table = "workers";
        err = jq_sqlite_load_workers(&sqlite->backend, no_worker, NULL);
    }
    if (err == JQ_OK) {
        table = "limits";
        err = jq_sqlite_load_limits(&sqlite->backend, no_limit, NULL);
    }
    if (err != JQ_OK) {
        char what[64];
        snprintf(what, sizeof(what), "a row of its %s cannot be trusted", table);
        return err == JQ_ECORRUPT ? jq_store_path_damaged(sqlite->path.file, what, detail) : err;
    }
    JQ_TRY(jq_sqlite_query(sqlite,
                           "SELECT max(ifnull((SELECT max(id) FROM job), 0),"
                           " ifnull((SELECT max(id) FROM spilled), 0),"
                           " ifnull((SELECT max(id) FROM ended), 0))",
                           top, sizeof(top), detail));
    sqlite->top_id = strtoull(top, NULL, 10);
    return jq_sqlite_large_open(sqlite, detail);
}

static enum jq_err lost(const struct jq_sqlite *sqlite, const struct jq_store_meta *last,
                        bool other, struct jq_detail *detail)
{
    if (other)
        jq_detail_set(detail,
                      "%s is not the store that %s.mark belongs to: acknowledged commits may be "
                      "missing. Put the right file back, or start once with --store-accept-loss",
                      sqlite->path.file, sqlite->path.file);
    else
        jq_detail_set(detail,
                      "%s ends with commit %llu, but commit %llu was acknowledged: %llu commits "
                      "are missing. Restore the file, or start once with --store-accept-loss",
                      sqlite->path.file, (unsigned long long)sqlite->meta.commit_sequence,
                      (unsigned long long)last->commit_sequence,
                      (unsigned long long)(last->commit_sequence - sqlite->meta.commit_sequence));
    return JQ_ECORRUPT;
}

/* Before anything is made: a mark without a store is a store that has gone. */
static enum jq_err check_gone(const struct jq_sqlite *sqlite, bool accept_loss,
                              struct jq_detail *detail)
{
    if (!sqlite->path.is_new || !sqlite->mark.exists || accept_loss ||
        sqlite->mark.last.commit_sequence == 0)
        return JQ_OK;
    jq_detail_set(detail,
                  "%s is missing or empty, but %s.mark says that it held %llu commits. Put the "
                  "file back; or, to begin anew, remove the mark or start once with "
                  "--store-accept-loss",
                  sqlite->path.file, sqlite->path.file,
                  (unsigned long long)sqlite->mark.last.commit_sequence);
    return JQ_ECORRUPT;
}

/* What was promised and lost stays used up: no id, queue or fence of it is given again. */
static void skip_lost(struct jq_store_meta *meta, const struct jq_store_meta *last)
{
    if (last->commit_sequence > meta->commit_sequence)
        meta->commit_sequence = last->commit_sequence;
    if (last->next_id > meta->next_id)
        meta->next_id = last->next_id;
    if (last->next_queue > meta->next_queue)
        meta->next_queue = last->next_queue;
    if (last->incarnation > meta->incarnation)
        meta->incarnation = last->incarnation;
}

static enum jq_err check_loss(struct jq_sqlite *sqlite, bool accept_loss, struct jq_detail *detail)
{
    const struct jq_store_meta *last = &sqlite->mark.last;

    if (!sqlite->mark.exists)
        return JQ_OK;
    const bool other = memcmp(last->store_id, sqlite->meta.store_id, sizeof(last->store_id)) != 0;
    if (!other && last->commit_sequence <= sqlite->meta.commit_sequence)
        return JQ_OK;
    /* A crash while a new store was made leaves a mark that has promised nothing. */
    if (other && last->commit_sequence == 0)
        return JQ_OK;
    if (!accept_loss)
        return lost(sqlite, last, other, detail);
    skip_lost(&sqlite->meta, last);
    return JQ_OK;
}

static enum jq_err open_all(struct jq_sqlite *sqlite, const struct jq_store_conf *conf,
                            struct jq_detail *detail)
{
    int version;

    JQ_TRY(jq_store_path_open(conf->path, &sqlite->path, detail));
    const enum jq_err err = jq_mark_open(&sqlite->path, &sqlite->mark, detail);
    if (err != JQ_OK && !(err == JQ_ECORRUPT && conf->accept_loss))
        return err;
    JQ_TRY(check_gone(sqlite, conf->accept_loss, detail));
    if (sqlite->path.is_new)
        JQ_TRY(make_new(sqlite, detail));
    JQ_TRY(connect(sqlite, detail));
    JQ_TRY(jq_sqlite_check_version(sqlite, &version, detail));
    JQ_TRY(set_log(sqlite, detail));
    JQ_TRY(quick_check(sqlite, detail));
    /* The counters are the same in every version: what has lost commits is not migrated. */
    JQ_TRY(prepare(sqlite, 0, JQ_SQL_META_SET + 1, detail));
    JQ_TRY(load_or_make_meta(sqlite, detail));
    JQ_TRY(check_loss(sqlite, conf->accept_loss, detail));
    JQ_TRY(jq_sqlite_upgrade(sqlite, version, detail));
    JQ_TRY(prepare(sqlite, JQ_SQL_META_SET + 1, JQ_SQL_COUNT, detail));
    JQ_TRY(check_rows(sqlite, detail));
    /* Accepted. The log's content goes through fresh writes and syncs before the first promise. */
    sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    JQ_TRY(jq_sqlite_checkpoint(sqlite, SQLITE_CHECKPOINT_TRUNCATE, detail));
    jq_sqlite_log_fill(sqlite);
    return jq_mark_make(&sqlite->mark, &sqlite->path, &sqlite->meta, detail);
}

enum jq_err jq_sqlite_open(const struct jq_store_conf *conf, struct jq_backend **ret_backend,
                           struct jq_detail *ret_detail)
{
    struct jq_sqlite *sqlite = jq_alloc_zero(1, sizeof(*sqlite));
    struct jq_backend *backend;

    if (!sqlite)
        return JQ_ENOMEM;
    /* Counting its memory costs SQLite a lock for every allocation. Refused, and no harm, when
     * SQLite is in use in this process already. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite->backend.ops = &jq_store_sqlite;
    sqlite->path.lock_fd = -1;
    sqlite->mark.fd = -1;
    sqlite->min_free_bytes = conf->min_free_bytes;
    sqlite->max_bytes = conf->max_bytes;
    sqlite->commits_unchecked = UINT16_MAX; /* look at the first question */
    backend = &sqlite->backend;
    const enum jq_err err = open_all(sqlite, conf, ret_detail);
    if (err != JQ_OK) {
        jq_sqlite_close(&backend);
        return err;
    }
    *ret_backend = backend;
    return JQ_OK;
}

void jq_sqlite_close(struct jq_backend **backend)
{
    if (!*backend)
        return;
    struct jq_sqlite *sqlite = jq_sqlite_of(*backend);
    for (int i = 0; i < JQ_SQL_COUNT; i++)
        sqlite3_finalize(sqlite->statements[i]);
    /* The last connection writes the log back and removes it. */
    sqlite3_close(sqlite->db);
    jq_free(sqlite->run.ops);
    jq_buf_fini(&sqlite->packs.life);
    jq_buf_fini(&sqlite->packs.fixed);
    jq_buf_fini(&sqlite->packs.result);
    if (sqlite->mark.fd >= 0 && jq_mark_sync(&sqlite->mark) != JQ_OK)
        sqlite->mark.dirty = false; /* the mark may be old after a power cut: never too new */
    jq_mark_close(&sqlite->mark);
    jq_store_path_close(&sqlite->path);
    jq_free(sqlite);
    *backend = NULL;
}
