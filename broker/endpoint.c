/* SPDX-License-Identifier: MIT
 *
 * endpoint.c - reading endpoints, and the lock on an ipc path. */
#include "broker/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/endpoint_dir.h"
#include "proto/endpoint.h"

/* ---- reading ---- */

static enum jq_err parse_ipc(const char *text, struct jq_endpoint *ret, struct jq_detail *detail)
{
    const char *path = text + strlen("ipc://");
    const size_t length = strlen(path);

    if (*path != '/') {
        jq_detail_set(detail, "url: %s: an ipc:// endpoint needs an absolute path", text);
        return JQ_EINVAL;
    }
    if (path[length - 1] == '/') {
        jq_detail_set(detail, "url: %s: the path names a directory, not a socket", text);
        return JQ_EINVAL;
    }
    if (length > JQ_IPC_PATH_MAX) {
        jq_detail_set(detail, "url: %s: the path has %zu bytes, a socket's may have %d", text,
                      length, JQ_IPC_PATH_MAX);
        return JQ_EINVAL;
    }
    ret->kind = JQ_ENDPOINT_IPC;
    snprintf(ret->text, sizeof(ret->text), "ipc://%s", path);
    return JQ_OK;
}

static bool parse_port(const char *text)
{
    unsigned long port = 0;

    if (strcmp(text, "*") == 0)
        return true;
    if (!*text || strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
        return false;
    port = strtoul(text, NULL, 10);
    return port >= 1 && port <= UINT16_MAX;
}

/* 127.0.0.0/8, written out: "127.1" is resolved by some libraries and not by others. */
static bool is_ipv4_loopback(const char *host)
{
    unsigned part[4];
    char rest;

    if (sscanf(host, "%3u.%3u.%3u.%3u%c", &part[0], &part[1], &part[2], &part[3], &rest) != 4)
        return false;
    return part[0] == 127 && part[1] < 256 && part[2] < 256 && part[3] < 256;
}

static enum jq_err parse_tcp(const char *text, bool insecure, struct jq_endpoint *ret,
                             struct jq_detail *detail)
{
    const char *at = text + strlen("tcp://");
    const char *colon = strrchr(at, ':');
    char host[256];

    if (!colon || colon == at || (size_t)(colon - at) >= sizeof(host) || !parse_port(colon + 1)) {
        jq_detail_set(detail,
                      "url: %s: expected tcp://address:port, with a port of 1 to 65535 or *", text);
        return JQ_EINVAL;
    }
    memcpy(host, at, (size_t)(colon - at));
    host[colon - at] = '\0';
    /* libzmq resolves no names when it binds. */
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof(host), "127.0.0.1");
    ret->kind = JQ_ENDPOINT_TCP;
    ret->ipv6 = host[0] == '[';
    if (ret->ipv6 != (strchr(host, ':') != NULL) || (ret->ipv6 && host[strlen(host) - 1] != ']')) {
        jq_detail_set(detail, "url: %s: an IPv6 address stands in brackets", text);
        return JQ_EINVAL;
    }
    if (!insecure && !is_ipv4_loopback(host) && strcmp(host, "[::1]") != 0) {
        jq_detail_set(detail,
                      "url: %s: other machines reach this address, and whoever connects may run "
                      "commands; use 127.0.0.1 or [::1], or allow it with --insecure",
                      text);
        return JQ_EINVAL;
    }
    if ((size_t)snprintf(ret->text, sizeof(ret->text), "tcp://%s%s", host, colon) >=
        sizeof(ret->text)) {
        jq_detail_set(detail, "url: %s: too long", text);
        return JQ_EINVAL;
    }
    return JQ_OK;
}

static enum jq_err parse_one(const char *text, bool insecure, struct jq_endpoint *ret,
                             struct jq_detail *detail)
{
    memset(ret, 0, sizeof(*ret));
    if (strncmp(text, "ipc://", 6) == 0)
        return parse_ipc(text, ret, detail);
    if (strncmp(text, "tcp://", 6) == 0)
        return parse_tcp(text, insecure, ret, detail);
    jq_detail_set(detail, "url: '%s': expected ipc:///path or tcp://address:port", text);
    return JQ_EINVAL;
}

static bool has_endpoint(const struct jq_endpoints *endpoints, const char *text)
{
    for (size_t i = 0; i < endpoints->count; i++) {
        if (strcmp(endpoints->list[i].text, text) == 0)
            return true;
    }
    return false;
}

enum jq_err jq_endpoints_parse(const char *url, bool insecure, struct jq_endpoints *ret,
                               struct jq_detail *ret_detail)
{
    struct jq_endpoints endpoints = { 0 };
    char one[JQ_ENDPOINT_TEXT_MAX];

    for (const char *at = url;; at++) {
        at += strspn(at, " \t");
        size_t length = strcspn(at, ",");
        const char *end = at + length;
        while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
            length--;
        if (length >= sizeof(one)) {
            jq_detail_set(ret_detail, "url: an endpoint of %zu bytes is too long", length);
            return JQ_EINVAL;
        }
        memcpy(one, at, length);
        one[length] = '\0';
        if (endpoints.count == JQ_ENDPOINTS_MAX) {
            jq_detail_set(ret_detail, "url: more than %d endpoints", JQ_ENDPOINTS_MAX);
            return JQ_EINVAL;
        }
        struct jq_endpoint *next = &endpoints.list[endpoints.count];
        JQ_TRY(parse_one(one, insecure, next, ret_detail));
        /* "tcp://127.0.0.1:*" twice is two ports. */
        if (!strchr(next->text, '*') && has_endpoint(&endpoints, next->text)) {
            jq_detail_set(ret_detail, "url: %s is there twice", one);
            return JQ_EINVAL;
        }
        endpoints.count++;
        if (!*end)
            break;
        at = end;
    }
    *ret = endpoints;
    return JQ_OK;
}

/* ---- the lock ---- */

static enum jq_err fail(struct jq_detail *detail, enum jq_err err, const char *path)
{
    jq_detail_set(detail, "%s: %s", path, strerror(errno));
    return err;
}

static long read_holder(int fd)
{
    char text[32] = { 0 };
    char *end = NULL;

    const ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
    if (size <= 0)
        return 0;
    const long pid = strtol(text, &end, 10);
    return end != text && *end == '\n' && pid > 0 ? pid : 0;
}

/* A holder writes its pid right after it has the lock, so an empty file is a matter of moments. */
static enum jq_err tell_holder(int fd, const struct jq_endpoint *endpoint, struct jq_detail *detail)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    long pid = read_holder(fd);

    for (int tries = 0; pid == 0 && tries < 100; tries++) {
        nanosleep(&pause, NULL);
        pid = read_holder(fd);
    }
    if (pid)
        jq_detail_set(detail, "%s is served by process %ld", endpoint->text, pid);
    else
        jq_detail_set(detail, "%s is served by another process", endpoint->text);
    return JQ_ELOCKED;
}

static enum jq_err write_holder(int fd, const char *path, struct jq_detail *detail)
{
    char text[32];
    const int size = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size)
        return fail(detail, JQ_EIO, path);
    return JQ_OK;
}

static enum jq_err take_lock(int dir_fd, const char *name, const struct jq_endpoint *endpoint,
                             int *ret_fd, struct jq_detail *detail)
{
    struct stat status;
    char lock_name[JQ_IPC_PATH_MAX + 8];
    enum jq_err err = JQ_OK;

    snprintf(lock_name, sizeof(lock_name), "%s.lock", name);
    const int fd =
        openat(dir_fd, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return fail(detail, errno == ELOOP ? JQ_EAUTH : JQ_EIO, lock_name);
    if (fstat(fd, &status) != 0) {
        err = fail(detail, JQ_EIO, lock_name);
    } else if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_nlink > 1) {
        jq_detail_set(detail, "%s.lock is not a plain file of our own", jq_endpoint_path(endpoint));
        err = JQ_EAUTH;
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        err = errno == EWOULDBLOCK ? tell_holder(fd, endpoint, detail)
                                   : fail(detail, JQ_EIO, lock_name);
    } else {
        err = write_holder(fd, lock_name, detail);
    }
    if (err != JQ_OK)
        close(fd);
    else
        *ret_fd = fd;
    return err;
}

/* bind would unlink whatever has this name. */
static enum jq_err check_target(int dir_fd, const char *name, const struct jq_endpoint *endpoint,
                                struct jq_detail *detail)
{
    struct stat status;

    if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? JQ_OK : fail(detail, JQ_EIO, jq_endpoint_path(endpoint));
    if (!S_ISSOCK(status.st_mode)) {
        jq_detail_set(detail, "%s exists and is not a socket: it is left alone",
                      jq_endpoint_path(endpoint));
        return JQ_EINVAL;
    }
    if (status.st_uid != geteuid()) {
        jq_detail_set(detail, "%s belongs to another user", jq_endpoint_path(endpoint));
        return JQ_EAUTH;
    }
    return JQ_OK;
}

/* The kernel guards a port, but does not say who has it: a lock beside our default socket does.
 * Other users' brokers are refused by the bind alone. */
static enum jq_err claim_port(const struct jq_endpoint *endpoint, struct jq_endpoint_lock *ret_lock,
                              struct jq_detail *detail)
{
    char url[JQ_URL_MAX], name[JQ_ENDPOINT_TEXT_MAX];
    int dir_fd = -1;

    if (strchr(endpoint->text, '*') || jq_default_url(url) != JQ_OK)
        return JQ_OK; /* the kernel chooses a port; or there is no place for a lock */
    snprintf(name, sizeof(name), "tcp-%s", endpoint->text + strlen("tcp://"));
    for (char *at = name; *at; at++)
        if (*at == '/' || *at == ':' || *at == '[' || *at == ']')
            *at = '-';
    JQ_TRY(jq_endpoint_dir_open(jq_url_ipc_path(url), &dir_fd, detail));
    const enum jq_err err = take_lock(dir_fd, name, endpoint, &ret_lock->fd, detail);
    close(dir_fd);
    return err;
}

enum jq_err jq_endpoint_claim(const struct jq_endpoint *endpoint, struct jq_endpoint_lock *ret_lock,
                              struct jq_detail *ret_detail)
{
    const char *path = jq_endpoint_path(endpoint);
    const char *name = strrchr(path, '/') + 1;
    int dir_fd = -1;
    int fd = -1;

    *ret_lock = JQ_ENDPOINT_LOCK_NONE;
    if (endpoint->kind != JQ_ENDPOINT_IPC)
        return claim_port(endpoint, ret_lock, ret_detail);
    JQ_TRY(jq_endpoint_dir_open(path, &dir_fd, ret_detail));
    enum jq_err err = take_lock(dir_fd, name, endpoint, &fd, ret_detail);
    if (err == JQ_OK) {
        err = check_target(dir_fd, name, endpoint, ret_detail);
        if (err == JQ_OK)
            ret_lock->fd = fd;
        else
            close(fd);
    }
    close(dir_fd);
    return err;
}

void jq_endpoint_release(const struct jq_endpoint *endpoint, struct jq_endpoint_lock *lock)
{
    struct stat status;

    if (lock->fd < 0)
        return;
    const char *path = jq_endpoint_path(endpoint);
    if (endpoint->kind == JQ_ENDPOINT_IPC && lstat(path, &status) == 0 &&
        S_ISSOCK(status.st_mode) && status.st_uid == geteuid())
        unlink(path);
    close(lock->fd);
    *lock = JQ_ENDPOINT_LOCK_NONE;
}
