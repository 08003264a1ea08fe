/* SPDX-License-Identifier: MIT
 *
 * local.c - see local.h. */
#include "client/cli/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static enum jq_err fail(struct jq_detail *detail, enum jq_err err, const char *path)
{
    jq_detail_set(detail, "%s: %s", path, strerror(errno));
    return err;
}

static enum jq_err read_peer(int fd, const char *path, struct jq_local_broker *ret,
                             struct jq_detail *detail)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return fail(detail, JQ_EIO, path);
    /* A socket in /tmp may be anybody's, and whoever serves it is told everything. */
    if (peer.uid != geteuid() && peer.uid != 0) {
        jq_detail_set(detail, "%s is served by another user (uid %u)", path, (unsigned)peer.uid);
        return JQ_EAUTH;
    }
    ret->pid = peer.pid;
    ret->uid = peer.uid;
    return JQ_OK;
}

enum jq_err jq_local_probe(const char *path, struct jq_local_broker *ret_broker,
                           struct jq_detail *ret_detail)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    enum jq_err err = JQ_OK;

    if (strlen(path) >= sizeof address.sun_path) {
        jq_detail_set(ret_detail, "%s: too long for a socket", path);
        return JQ_EINVAL;
    }
    memcpy(address.sun_path, path, strlen(path));
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(ret_detail, JQ_EIO, path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        err = read_peer(fd, path, ret_broker, ret_detail);
    else if (errno == ECONNREFUSED || errno == ENOENT || errno == ENOTDIR)
        err = JQ_EUNREACH;
    else
        err = fail(ret_detail, errno == EACCES ? JQ_EAUTH : JQ_EIO, path);
    close(fd);
    return err;
}

static enum jq_err check_dir(int fd, const char *dir, struct jq_detail *detail)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return fail(detail, JQ_EIO, dir);
    if (status.st_uid != geteuid() || (status.st_mode & 0077) != 0) {
        jq_detail_set(detail, "%s: it must belong to you and be closed to others (mode 0700)", dir);
        return JQ_EAUTH;
    }
    return JQ_OK;
}

enum jq_err jq_local_dir_open(const char *path, int *ret_fd, struct jq_detail *ret_detail)
{
    char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path || (size_t)(slash - path) >= sizeof dir) {
        jq_detail_set(ret_detail, "%s: not a path below a directory", path);
        return JQ_EINVAL;
    }
    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = '\0';
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fail(ret_detail, JQ_EIO, dir);
    /* A link in its place would be somebody else's choice of directory. */
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(ret_detail, JQ_EIO, dir);
    const enum jq_err err = check_dir(fd, dir, ret_detail);
    if (err != JQ_OK) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return JQ_OK;
}
