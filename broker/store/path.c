/* SPDX-License-Identifier: MIT
 *
 * path.c - see path.h. The lock is flock(2) on a file of its own: the store's file must never be
 * opened and closed beside SQLite, or its POSIX locks are gone. */
#include "broker/store/path.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_SIZE = 100, SUFFIX_MAX = 16, LOCK_TRIES_MAX = 8 };

static enum jq_err failed(const char *what, const char *path, struct jq_detail *detail)
{
    const int error = errno;

    jq_detail_set(detail, "%s: cannot %s: %s", path, what, strerror(error));
    return error == ENOMEM ? JQ_ENOMEM : error == ENOSPC || error == EDQUOT ? JQ_ENOSPC : JQ_EIO;
}

enum jq_err jq_store_path_damaged(const char *file, const char *what, struct jq_detail *detail)
{
    jq_detail_set(detail,
                  "%.160s is damaged: %.150s. It was left as it is; restore a backup, or save what "
                  "can be read with: sqlite3 FILE .recover",
                  file, what);
    return JQ_ECORRUPT;
}

/* The parent directory of `path`, into `directory` of PATH_MAX bytes. */
static void directory_of(const char *path, char *directory)
{
    char copy[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s", path);
    snprintf(directory, PATH_MAX, "%s", dirname(copy));
}

/* With its parents, as the XDG base directory specification asks: on a new account none exists. */
static enum jq_err make_directory(char *directory, struct jq_detail *detail)
{
    for (char *slash = strchr(directory + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const bool made = mkdir(directory, 0700) == 0 || errno == EEXIST;
        if (!made)
            return failed("make the directory", directory, detail);
        *slash = '/';
    }
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return failed("make the directory", directory, detail);
    return JQ_OK;
}

static enum jq_err resolve(const char *name, char *file, struct jq_detail *detail)
{
    char directory[PATH_MAX], real[PATH_MAX], copy[PATH_MAX];

    const size_t length = strlen(name);
    if (length == 0 || length >= PATH_MAX - SUFFIX_MAX || name[length - 1] == '/') {
        jq_detail_set(detail, "\"%.100s\" cannot be the name of a store's file", name);
        return JQ_EINVAL;
    }
    directory_of(name, directory);
    JQ_TRY(make_directory(directory, detail));
    if (realpath(name, real)) {
        if (strlen(real) >= PATH_MAX - SUFFIX_MAX) {
            errno = ENAMETOOLONG;
            return failed("open", name, detail);
        }
        memcpy(file, real, strlen(real) + 1);
        return JQ_OK;
    }
    if (errno != ENOENT)
        return failed("open", name, detail);
    if (!realpath(directory, real))
        return failed("open the directory", directory, detail);
    snprintf(copy, sizeof(copy), "%s", name);
    if (snprintf(file, PATH_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real, basename(copy)) >=
        PATH_MAX - SUFFIX_MAX) {
        errno = ENAMETOOLONG;
        return failed("open", name, detail);
    }
    return JQ_OK;
}

static enum jq_err held_by_another(int fd, const char *file, struct jq_detail *detail)
{
    char pid[24] = "";

    const ssize_t got = pread(fd, pid, sizeof(pid) - 1, 0);
    pid[got > 0 ? got : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    if (pid[0])
        jq_detail_set(detail, "%s is in use by process %s", file, pid);
    else
        jq_detail_set(detail, "%s is in use by another process", file);
    return JQ_ELOCKED;
}

static enum jq_err lock(struct jq_store_path *path, struct jq_detail *detail)
{
    char name[PATH_MAX + SUFFIX_MAX], pid[24];
    struct stat opened, named;

    snprintf(name, sizeof(name), "%s.lock", path->file);
    for (int tries = 0; tries < LOCK_TRIES_MAX; tries++) {
        const int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return failed("open", name, detail);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            const enum jq_err err = errno == EWOULDBLOCK ? held_by_another(fd, path->file, detail)
                                                         : failed("lock", name, detail);
            close(fd);
            return err;
        }
        /* Somebody may have removed the name between our open and our lock. */
        if (fstat(fd, &opened) != 0 || stat(name, &named) != 0 || opened.st_ino != named.st_ino ||
            opened.st_dev != named.st_dev) {
            close(fd);
            continue;
        }
        const int length = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
        if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)length, 0) != length) {
            const enum jq_err err = failed("write", name, detail);
            close(fd);
            return err;
        }
        path->lock_fd = fd;
        return JQ_OK;
    }
    jq_detail_set(detail, "%s keeps being removed while it is locked", name);
    return JQ_EIO;
}

static uint32_t read_be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static enum jq_err not_ours(const char *file, const char *what, struct jq_detail *detail)
{
    jq_detail_set(detail, "%s is %s, not a store of jobq; it was left untouched", file, what);
    return JQ_ECORRUPT;
}

static bool has_wal(const char *file)
{
    char name[PATH_MAX + SUFFIX_MAX];
    struct stat status;

    snprintf(name, sizeof(name), "%s-wal", file);
    return stat(name, &status) == 0 && status.st_size > 0;
}

static enum jq_err check_header(const char *file, const uint8_t *header, size_t size,
                                uint64_t file_bytes, struct jq_detail *detail)
{
    static const char magic[16] = "SQLite format 3";

    if (memcmp(header, magic, size < sizeof(magic) ? size : sizeof(magic)) != 0)
        return not_ours(file, "a file of another kind", detail);
    if (size < HEADER_SIZE)
        return jq_store_path_damaged(file, "it was cut inside its header", detail);
    if (read_be32(header + 68) != JQ_STORE_APPLICATION_ID)
        return not_ours(file, "an SQLite file of another program", detail);
    const uint32_t version = read_be32(header + 60);
    if (version > JQ_STORE_VERSION) {
        jq_detail_set(detail,
                      "%s has store version %u, this jobq knows up to %d: it was made by a newer "
                      "jobq; use that one",
                      file, version, JQ_STORE_VERSION);
        return JQ_EVERSION;
    }
    /* With a log beside it the file may be behind its header: SQLite sorts that out. */
    const uint32_t stored = (uint32_t)header[16] << 8 | header[17];
    const uint64_t page_bytes = stored == 1 ? 65536 : stored;
    if (read_be32(header + 28) * page_bytes > file_bytes && !has_wal(file))
        return jq_store_path_damaged(file, "it is shorter than it says: it was cut", detail);
    return JQ_OK;
}

static enum jq_err check_file(int fd, struct jq_store_path *path, struct jq_detail *detail)
{
    struct stat status;
    uint8_t header[HEADER_SIZE];

    if (fstat(fd, &status) != 0)
        return failed("examine", path->file, detail);
    if (!S_ISREG(status.st_mode))
        return not_ours(path->file, "not a regular file", detail);
    path->is_new = status.st_size == 0;
    if (path->is_new)
        return JQ_OK;
    const ssize_t got = pread(fd, header, sizeof(header), 0);
    if (got < 0)
        return failed("read", path->file, detail);
    return check_header(path->file, header, (size_t)got, (uint64_t)status.st_size, detail);
}

/* Before SQLite has the file open, so that closing it here costs no lock. */
static enum jq_err check_named(struct jq_store_path *path, struct jq_detail *detail)
{
    struct stat status;

    if (stat(path->file, &status) == 0 && !S_ISREG(status.st_mode))
        return not_ours(path->file, S_ISDIR(status.st_mode) ? "a directory" : "not a regular file",
                        detail);
    const int fd = open(path->file, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    path->is_new = fd < 0 && errno == ENOENT;
    if (path->is_new)
        return JQ_OK;
    if (fd < 0)
        return failed("open", path->file, detail);
    const enum jq_err err = check_file(fd, path, detail);
    close(fd);
    return err;
}

enum jq_err jq_store_path_open(const char *name, struct jq_store_path *ret_path,
                               struct jq_detail *ret_detail)
{
    struct jq_store_path path = { .lock_fd = -1 };

    JQ_TRY(resolve(name, path.file, ret_detail));
    JQ_TRY(lock(&path, ret_detail));
    const enum jq_err err = check_named(&path, ret_detail);
    if (err != JQ_OK) {
        jq_store_path_close(&path);
        return err;
    }
    *ret_path = path;
    return JQ_OK;
}

void jq_store_path_close(struct jq_store_path *path)
{
    char name[PATH_MAX + SUFFIX_MAX];

    if (path->lock_fd < 0)
        return;
    /* Safe while we hold it: lock() looks again at the name after it has the lock. */
    snprintf(name, sizeof(name), "%s.lock", path->file);
    unlink(name);
    close(path->lock_fd);
    path->lock_fd = -1;
}

static void remove_beside(const char *file, const char *suffix)
{
    char name[PATH_MAX + SUFFIX_MAX];

    snprintf(name, sizeof(name), "%s%s", file, suffix);
    unlink(name);
}

enum jq_err jq_store_path_make(const struct jq_store_path *path, char *fresh, size_t size,
                               struct jq_detail *ret_detail)
{
    if (snprintf(fresh, size, "%s-new", path->file) >= (int)size) {
        errno = ENAMETOOLONG;
        return failed("make", path->file, ret_detail);
    }
    remove_beside(path->file, "-new");
    remove_beside(path->file, "-new-journal");
    remove_beside(path->file, "-new-wal");
    const int fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed("make", fresh, ret_detail);
    close(fd);
    return JQ_OK;
}

enum jq_err jq_store_path_made(const struct jq_store_path *path, const char *fresh,
                               struct jq_detail *ret_detail)
{
    /* A log that an earlier file of this name has left would be replayed into the new one. */
    remove_beside(path->file, "-wal");
    remove_beside(path->file, "-journal");
    if (rename(fresh, path->file) != 0)
        return failed("make", path->file, ret_detail);
    return jq_store_path_sync(path, ret_detail);
}

enum jq_err jq_store_path_sync(const struct jq_store_path *path, struct jq_detail *ret_detail)
{
    char directory[PATH_MAX];

    directory_of(path->file, directory);
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed("open", directory, ret_detail);
    const enum jq_err err = fsync(fd) == 0 ? JQ_OK : failed("sync", directory, ret_detail);
    close(fd);
    return err;
}
