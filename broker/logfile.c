/* SPDX-License-Identifier: MIT
 *
 * logfile.c - see logfile.h. */
#include "broker/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROTATE_BYTES = 16 << 20 };

enum jq_err jq_logfile_path(const char *setting, const char *store, int is_local, char *ret_path,
                            size_t size)
{
    const char *slash = strrchr(store, '/');
    int length = 0;

    *ret_path = '\0';
    if (strcmp(setting, "stderr") == 0)
        return JQ_OK;
    if (*setting)
        length = snprintf(ret_path, size, "%s", setting);
    else if (is_local && strcmp(store, "memory:") != 0)
        length =
            snprintf(ret_path, size, "%.*sjobqd.log", slash ? (int)(slash - store) + 1 : 0, store);
    return length >= 0 && (size_t)length < size ? JQ_OK : JQ_EINVAL;
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
}

/* Best effort: a log that cannot be renamed grows on. */
static int open_rotated(const char *path)
{
    struct stat status;
    char old[4200];

    const int fd = open_file(path);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size <= ROTATE_BYTES)
        return fd;
    const int length = snprintf(old, sizeof(old), "%s.1", path);
    if (length < 0 || (size_t)length >= sizeof(old) || rename(path, old) != 0)
        return fd;
    const int fresh = open_file(path);
    if (fresh < 0)
        return fd;
    close(fd);
    return fresh;
}

enum jq_err jq_logfile_open(const char *path, struct jq_detail *ret_detail)
{
    const int fd = open_rotated(path);
    const int null = fd < 0 ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0) {
        jq_detail_set(ret_detail, "log_file: %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return JQ_EIO;
    }
    /* dup2 fails only for a descriptor that is not open, and leaves the copy without CLOEXEC. */
    dup2(fd, STDERR_FILENO);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    close(fd);
    close(null);
    return JQ_OK;
}
