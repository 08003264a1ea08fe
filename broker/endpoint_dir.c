/* SPDX-License-Identifier: MIT
 *
 * endpoint_dir.c - see endpoint_dir.h. The checks are on the opened directory, never on its name.
 */
#include "broker/endpoint_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/endpoint.h"

/* The names that jq_default_url makes: in a place where anybody may make names (/tmp), only the
 * checks below tell our directory from a trap. */
static bool is_own_directory(const char *directory)
{
    char own[32];
    const char *slash = strrchr(directory, '/');
    const char *name = slash ? slash + 1 : directory;

    snprintf(own, sizeof(own), "jobq-%u", (unsigned)geteuid());
    return strcmp(name, "jobq") == 0 || strcmp(name, own) == 0;
}

static enum jq_err check(const struct stat *status, const char *directory, struct jq_detail *detail)
{
    const unsigned mode = (unsigned)status->st_mode & 07777;

    if (is_own_directory(directory)) {
        if (status->st_uid != geteuid()) {
            jq_detail_set(detail, "%s belongs to another user", directory);
            return JQ_EAUTH;
        }
        if (mode & 077) {
            jq_detail_set(detail, "%s has mode %04o: close it to others with chmod 700", directory,
                          mode);
            return JQ_EAUTH;
        }
        return JQ_OK;
    }
    if (status->st_uid != geteuid() && status->st_uid != 0) {
        jq_detail_set(detail, "%s belongs to another user, who could replace the socket",
                      directory);
        return JQ_EAUTH;
    }
    /* A group that may write was chosen with the directory; everybody is a mistake. */
    if ((mode & 002) && !(mode & S_ISVTX)) {
        jq_detail_set(detail, "%s has mode %04o: others could replace the socket", directory, mode);
        return JQ_EAUTH;
    }
    return JQ_OK;
}

enum jq_err jq_endpoint_dir_open(const char *path, int *ret_fd, struct jq_detail *ret_detail)
{
    char directory[JQ_IPC_PATH_MAX + 1];
    struct stat status;
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

    const size_t length = (size_t)(strrchr(path, '/') - path);
    snprintf(directory, sizeof(directory), "%.*s", length ? (int)length : 1, path);
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        jq_detail_set(ret_detail, "%s: cannot be made: %s", directory, strerror(errno));
        return JQ_EIO;
    }
    if (is_own_directory(directory))
        flags |= O_NOFOLLOW;
    const int fd = open(directory, flags);
    if (fd < 0) {
        const bool link = errno == ELOOP || errno == ENOTDIR;
        jq_detail_set(ret_detail, "%s: %s", directory,
                      link ? "is not a directory" : strerror(errno));
        return link ? JQ_EAUTH : JQ_EIO;
    }
    if (fstat(fd, &status) != 0) {
        jq_detail_set(ret_detail, "%s: %s", directory, strerror(errno));
        close(fd);
        return JQ_EIO;
    }
    const enum jq_err err = check(&status, directory, ret_detail);
    if (err != JQ_OK)
        close(fd);
    else
        *ret_fd = fd;
    return err;
}
