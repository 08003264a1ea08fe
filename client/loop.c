/* SPDX-License-Identifier: MIT
 *
 * loop.c - a handle in a host's own loop: one fd, one timeout, one call. The fd is an epoll fd over
 * the sockets' fds and an eventfd; it is level-triggered though theirs are not, as the eventfd is
 * written whenever something was left unread. */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/client.h"

static int make_fds(struct jobq_client *client)
{
    struct epoll_event event = { .events = EPOLLIN };

    const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    const int host_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    event.data.fd = host_fd;
    if (epoll_fd < 0 || host_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, host_fd, &event) != 0 ||
        jq_connection_watch(client->connection, epoll_fd) != JQ_OK) {
        if (epoll_fd >= 0)
            close(epoll_fd);
        if (host_fd >= 0)
            close(host_fd);
        return jq_client_fail(client, JOBQ_EIO, "no descriptors for a host's loop");
    }
    client->epoll_fd = epoll_fd;
    client->host_fd = host_fd;
    client->is_watched = true;
    return 0;
}

int jobq_client_fd(struct jobq_client *client)
{
    int rc = jq_client_enter(client);

    if (rc != 0)
        return rc;
    if (!client->is_watched)
        rc = make_fds(client);
    return jq_client_leave(client, rc ? rc : client->epoll_fd);
}

int64_t jobq_client_timeout_ms(struct jobq_client *client)
{
    const int rc = jq_client_enter(client);

    if (rc != 0)
        return -1;
    const int64_t timeout = jq_client_timeout_ms(client);
    jq_client_leave(client, 0);
    return timeout;
}

int jobq_client_process(struct jobq_client *client)
{
    const int rc = jq_client_enter(client);

    return rc ? rc : jq_client_leave(client, jq_client_process(client));
}
