/* SPDX-License-Identifier: MIT
 *
 * sdnotify.c - see sdnotify.h; the protocol is a datagram to a unix socket. */
#include "broker/sdnotify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const size_t length = strlen(path);

    if ((*path != '/' && *path != '@') || length >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, length);
    if (*path == '@')
        address.sun_path[0] = '\0';
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static jq_ms watchdog_of(const char *period_us, const char *pid)
{
    char *end = NULL;

    if (!period_us || (pid && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    const long long us = strtoll(period_us, &end, 10);
    if (end == period_us || *end || us <= 0)
        return 0;
    const jq_ms half = (jq_ms)(us / 2000);
    return half > 0 ? half : 1;
}

void jq_sdnotify_open(struct jq_sdnotify *ret_notify)
{
    const char *path = getenv("NOTIFY_SOCKET");

    ret_notify->fd = path ? connect_to(path) : -1;
    ret_notify->watchdog_ms =
        ret_notify->fd >= 0 ? watchdog_of(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID")) : 0;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void jq_sdnotify_send(const struct jq_sdnotify *notify, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    if (notify->fd < 0)
        return;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size <= 0)
        return;
    if ((size_t)size >= sizeof(text))
        size = sizeof(text) - 1;
    (void)!send(notify->fd, text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void jq_sdnotify_close(struct jq_sdnotify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}
