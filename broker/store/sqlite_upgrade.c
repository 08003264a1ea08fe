/* SPDX-License-Identifier: MIT
 *
 * sqlite_upgrade.c - a store of an earlier version becomes one of this: first a copy of it is made
 * beside it, then the steps are taken, each in one transaction. A crash at any moment leaves the
 * store as it was, or at a step's end. */
#include "broker/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SUFFIX_MAX = 32 };

struct backup {
    char file[PATH_MAX + SUFFIX_MAX];
    char half[PATH_MAX + SUFFIX_MAX]; /* its name until it is whole */
};

enum jq_err jq_sqlite_check_version(struct jq_sqlite *sqlite, int *ret_version,
                                    struct jq_detail *detail)
{
    char text[16];

    JQ_TRY(jq_sqlite_query(sqlite, "PRAGMA user_version", text, sizeof(text), detail));
    *ret_version = (int)strtol(text, NULL, 10);
    if (*ret_version >= 1 && *ret_version <= JQ_STORE_VERSION)
        return JQ_OK;
    jq_detail_set(detail, "%s has store version %d, this jobq knows up to %d", sqlite->path.file,
                  *ret_version, JQ_STORE_VERSION);
    return JQ_EVERSION;
}

static enum jq_err failed(const struct backup *backup, enum jq_err err, const char *why,
                          struct jq_detail *detail)
{
    jq_detail_set(detail,
                  "%.160s cannot be made: %.150s. The store was not brought to version %d: this "
                  "jobq does that only after a backup",
                  backup->file, why, JQ_STORE_VERSION);
    return err;
}

/* For the copy, and for the log, which holds what the steps write until it is durable. With what
 * store.min_free keeps free, so that the broker is not out of room right after. */
static enum jq_err check_space(struct jq_sqlite *sqlite, const struct backup *backup,
                               struct jq_detail *detail)
{
    struct statvfs fs;
    char pages[24], why[120];

    JQ_TRY(jq_sqlite_query(sqlite, "PRAGMA page_count", pages, sizeof(pages), detail));
    const uint64_t bytes = strtoull(pages, NULL, 10) * sqlite->page_bytes;
    const uint64_t needed =
        2 * bytes + (sqlite->min_free_bytes > 0 ? (uint64_t)sqlite->min_free_bytes : 0);
    if (statvfs(sqlite->path.file, &fs) != 0)
        return failed(backup, JQ_EIO, strerror(errno), detail);
    const uint64_t is_free = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (is_free >= needed)
        return JQ_OK;
    snprintf(why, sizeof(why), "%llu MiB must be free on its file system, and %llu are",
             (unsigned long long)(needed >> 20) + 1, (unsigned long long)(is_free >> 20));
    return failed(backup, JQ_ENOSPC, why, detail);
}

/* An empty file, closed to others. */
static enum jq_err make_empty(const struct backup *backup, struct jq_detail *detail)
{
    unlink(backup->half); /* of an attempt that was killed */
    const int fd = open(backup->half, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(backup, errno == ENOSPC || errno == EDQUOT ? JQ_ENOSPC : JQ_EIO,
                      strerror(errno), detail);
    close(fd);
    return JQ_OK;
}

/* Page by page, with what is still in the log. */
static int copy_pages(struct jq_sqlite *sqlite, sqlite3 *to)
{
    const int code =
        sqlite3_exec(to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL", NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_backup *copying = sqlite3_backup_init(to, "main", sqlite->db, "main");
    if (!copying)
        return sqlite3_errcode(to);
    sqlite3_backup_step(copying, -1);
    return sqlite3_backup_finish(copying);
}

static enum jq_err copy(struct jq_sqlite *sqlite, const struct backup *backup,
                        struct jq_detail *detail)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    struct jq_sqlite half = { 0 }; /* for the error's words */
    struct jq_detail why = { .text = "out of memory" };
    enum jq_err err = JQ_OK;

    JQ_TRY(make_empty(backup, detail));
    snprintf(half.path.file, sizeof(half.path.file), "%s", sqlite->path.file);
    int code = sqlite3_open_v2(backup->half, &half.db, flags, NULL);
    if (code == SQLITE_OK)
        code = copy_pages(sqlite, half.db);
    if (code != SQLITE_OK)
        err = jq_sqlite_error(&half, code, "cannot be copied", &why);
    sqlite3_close(half.db);
    return err == JQ_OK ? JQ_OK : failed(backup, err, why.text, detail);
}

/* SQLite has synced what it wrote; the name is ours to sync. */
static enum jq_err back_up(struct jq_sqlite *sqlite, int version, struct jq_detail *detail)
{
    struct backup backup;

    snprintf(backup.file, sizeof(backup.file), "%s.%d.bak", sqlite->path.file, version);
    snprintf(backup.half, sizeof(backup.half), "%s.%d.bak-new", sqlite->path.file, version);
    JQ_TRY(check_space(sqlite, &backup, detail));
    enum jq_err err = copy(sqlite, &backup, detail);
    if (err == JQ_OK && rename(backup.half, backup.file) != 0)
        err = failed(&backup, JQ_EIO, strerror(errno), detail);
    if (err != JQ_OK) {
        unlink(backup.half);
        return err;
    }
    return jq_store_path_sync(&sqlite->path, detail);
}

enum jq_err jq_sqlite_upgrade(struct jq_sqlite *sqlite, int version, struct jq_detail *detail)
{
    if (version == JQ_STORE_VERSION)
        return JQ_OK;
    JQ_TRY(back_up(sqlite, version, detail));
    const int code = jq_sqlite_migrate(sqlite->db, version);
    return code == SQLITE_OK
               ? JQ_OK
               : jq_sqlite_error(sqlite, code, "cannot be brought to the new version", detail);
}
