/* SPDX-License-Identifier: MIT
 *
 * sqlite_rest.c - what is done between commits: the log goes into the file, the mark is synced, and
 * the space that is left is watched. Store thread. */
#include <sys/statvfs.h>

#include "broker/store/sqlite.h"

/* The log is emptied when nobody waits, from a size on that makes it worth the two syncs; and at
 * the latest at a size that bounds the file, the time a start needs, and how long the next commit
 * has to wait meanwhile: some 10 ms, against 30 to 60 ms at 32 MiB. */
enum { LOG_IDLE_BYTES = 1 << 20, LOG_MAX_BYTES = 8 << 20 };
/* Space is looked at again after so many commits, or so much written. */
enum { UNCHECKED_COMMITS_MAX = 64, UNCHECKED_BYTES_MAX = 1 << 20 };

enum jq_err jq_sqlite_checkpoint(struct jq_sqlite *sqlite, int mode, struct jq_detail *ret_detail)
{
    int logged = 0, moved = 0;
    const int code = sqlite3_wal_checkpoint_v2(sqlite->db, NULL, mode, &logged, &moved);

    if (code != SQLITE_OK)
        return jq_sqlite_error(sqlite, code, "cannot write back its log", ret_detail);
    sqlite->is_log_stuck = false;
    sqlite->wal_pages = logged > moved ? (uint32_t)(logged - moved) : 0;
    return JQ_OK;
}

/* UINT64_MAX: nobody knows. */
static uint64_t free_bytes(const struct jq_sqlite *sqlite)
{
    struct statvfs fs;

    return statvfs(sqlite->path.file, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX;
}

/* For speed only, so errors do not matter: zeros mean nothing, and what is written over them is
 * synced by its own commit. Space that is scarce is left for jobs. */
void jq_sqlite_log_fill(struct jq_sqlite *sqlite)
{
    static const char zeros[64 << 10];
    sqlite3_file *log = NULL;
    sqlite3_int64 size = 0;

    if (free_bytes(sqlite) < (uint64_t)sqlite->min_free_bytes + 8 * LOG_MAX_BYTES)
        return;
    if (sqlite3_file_control(sqlite->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK ||
        !log || !log->pMethods || log->pMethods->xFileSize(log, &size) != SQLITE_OK)
        return;
    for (; size < LOG_MAX_BYTES; size += (sqlite3_int64)sizeof(zeros))
        if (log->pMethods->xWrite(log, zeros, sizeof(zeros), size) != SQLITE_OK)
            return;
    (void)log->pMethods->xSync(log, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
}

enum jq_err jq_sqlite_rest(struct jq_backend *backend, bool idle, struct jq_detail *ret_detail)
{
    struct jq_sqlite *sqlite = jq_sqlite_of(backend);
    const uint64_t log_bytes = (uint64_t)sqlite->wal_pages * sqlite->page_bytes;

    if (log_bytes > (idle ? LOG_IDLE_BYTES : LOG_MAX_BYTES)) {
        const enum jq_err err = jq_sqlite_checkpoint(sqlite, SQLITE_CHECKPOINT_PASSIVE, ret_detail);
        /* With a full disk the log still holds everything: nothing is lost, nothing is unknown, and
         * the space watch tells the broker. */
        if (err == JQ_ENOSPC)
            sqlite->is_log_stuck = true;
        else if (err != JQ_OK)
            return err;
    }
    if (!idle)
        return JQ_OK;
    sqlite->commits_unchecked = UNCHECKED_COMMITS_MAX;
    const enum jq_err err = jq_mark_sync(&sqlite->mark);
    if (err != JQ_OK)
        jq_detail_set(ret_detail, "%s.mark: cannot be synced", sqlite->path.file);
    return err;
}

static uint64_t pragma_number(struct jq_sqlite *sqlite, enum jq_sql which)
{
    sqlite3_stmt *statement = sqlite->statements[which];

    const bool row = sqlite3_step(statement) == SQLITE_ROW;
    const uint64_t number = row ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return number;
}

static bool measure(struct jq_sqlite *sqlite)
{
    if (sqlite->min_free_bytes > 0 && free_bytes(sqlite) < (uint64_t)sqlite->min_free_bytes)
        return true;
    if (sqlite->max_bytes <= 0)
        return false;
    /* Pages in use, not the size of the file: the file never shrinks, and its free pages are filled
     * before it grows. */
    const uint64_t pages = pragma_number(sqlite, JQ_SQL_PAGES);
    const uint64_t free_pages = pragma_number(sqlite, JQ_SQL_FREE_PAGES);
    return (pages - free_pages) * sqlite->page_bytes > (uint64_t)sqlite->max_bytes;
}

bool jq_sqlite_space_low(struct jq_backend *backend)
{
    struct jq_sqlite *sqlite = jq_sqlite_of(backend);

    if (sqlite->commits_unchecked >= UNCHECKED_COMMITS_MAX ||
        sqlite->bytes_unchecked >= UNCHECKED_BYTES_MAX) {
        sqlite->is_space_low = measure(sqlite);
        sqlite->commits_unchecked = 0;
        sqlite->bytes_unchecked = 0;
    }
    return sqlite->is_space_low || sqlite->is_log_stuck;
}
