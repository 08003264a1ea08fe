/* SPDX-License-Identifier: MIT
 *
 * connection.c - a DEALER and its monitor. Every option below bounds something. */
#include "client/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include <zmq.h>

#include "proto/base/alloc.h"
#include "proto/limits.h"

enum {
    FRAMES_MAX = 64,      /* kept by libzmq, in each direction */
    COPY_MAX = 1024,      /* smaller frames are copied: cheaper than being counted */
    STARVED_POLL_MS = 10, /* no memory for a frame: try again after this long */
    EVENT_MIN = 2,        /* bytes of a monitor's event that matter */
};

struct jq_connection {
    void *context;
    void *socket;              /* NULL: a reopen has failed */
    void *monitor;             /* PAIR; tells of connections */
    unsigned sockets;          /* opened so far; names the monitor */
    int socket_fd, monitor_fd; /* libzmq's: they tell of changes only */
    bool ipv6;
    bool is_starved; /* the last receive found no memory */
    bool is_empty; /* both sockets were, and nothing was done to them since: their fds will tell */
    bool is_monitor_quiet; /* said by its fd, to the next came_up */
    int epoll_fd;          /* -1: nobody asked for one */
    struct received *spare;
    char url[];
};

/* A frame that came in. */
struct received {
    struct jq_frame frame;
    zmq_msg_t msg;
};

static void release_received(struct jq_frame *frame)
{
    struct received *r = (struct received *)(void *)frame; /* its first member */

    zmq_msg_close(&r->msg);
    jq_free(r);
}

/* ---- sockets ---- */

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_options(void *socket, bool ipv6)
{
    const int64_t frame_max = JQ_FRAME_MAX;

    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) == 0 &&
           set_int(socket, ZMQ_IMMEDIATE, 1) && /* nothing is queued for who is not there */
           set_int(socket, ZMQ_LINGER, 0) && set_int(socket, ZMQ_IPV6, ipv6) &&
           set_int(socket, ZMQ_SNDHWM, FRAMES_MAX) &&
           /* No bound: what comes was asked for. libzmq 4.3.4 aborts the program when a peer dies
            * whose input it had stopped ("!_io_error", its issue 4841). */
           set_int(socket, ZMQ_RCVHWM, 0) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, 2000) && /* half-open connections go away */
           set_int(socket, ZMQ_HEARTBEAT_IVL, 2000) && /* dead links are noticed */
           set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 6000) &&
           set_int(socket, ZMQ_HEARTBEAT_TTL, 8000) && set_int(socket, ZMQ_RECONNECT_IVL, 50) &&
           set_int(socket, ZMQ_RECONNECT_IVL_MAX, 1000);
}

/* The monitor's queue is unbounded, as libzmq's thread would block on a full one; one event for
 * each handshake is all that comes. */
static bool open_monitor(struct jq_connection *c)
{
    char name[40];

    (void)snprintf(name, sizeof name, "inproc://connections-%u", c->sockets);
    c->monitor = zmq_socket(c->context, ZMQ_PAIR);
    return c->monitor && set_int(c->monitor, ZMQ_RCVHWM, 0) && set_int(c->monitor, ZMQ_LINGER, 0) &&
           zmq_socket_monitor(c->socket, name, ZMQ_EVENT_HANDSHAKE_SUCCEEDED) == 0 &&
           zmq_connect(c->monitor, name) == 0;
}

static bool watch(int epoll_fd, int fd, int operation)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    return epoll_ctl(epoll_fd, operation, fd, &event) == 0;
}

static bool get_fd(void *socket, int *ret_fd)
{
    size_t size = sizeof *ret_fd;

    return zmq_getsockopt(socket, ZMQ_FD, ret_fd, &size) == 0;
}

static void close_sockets(struct jq_connection *c, jq_ms linger)
{
    if (c->socket) {
        if (c->epoll_fd >= 0)
            (void)watch(c->epoll_fd, c->socket_fd, EPOLL_CTL_DEL);
        (void)zmq_socket_monitor(c->socket, NULL, 0);
        (void)set_int(c->socket, ZMQ_LINGER, (int)linger);
        zmq_close(c->socket);
    }
    if (c->monitor) {
        if (c->epoll_fd >= 0)
            (void)watch(c->epoll_fd, c->monitor_fd, EPOLL_CTL_DEL);
        zmq_close(c->monitor);
    }
    c->socket = c->monitor = NULL;
}

static enum jq_err fail(struct jq_connection *c, struct jq_detail *detail)
{
    const int number = errno;

    jq_detail_set(detail, "%s: %s", c->url, zmq_strerror(number));
    close_sockets(c, 0);
    if (number == ENOMEM)
        return JQ_ENOMEM;
    return number == EINVAL || number == EPROTONOSUPPORT || number == ENOCOMPATPROTO ? JQ_EINVAL
                                                                                     : JQ_EIO;
}

static enum jq_err open_sockets(struct jq_connection *c, struct jq_detail *detail)
{
    c->sockets++;
    c->is_empty = c->is_monitor_quiet = false;
    c->socket_fd = c->monitor_fd = -1;
    c->socket = zmq_socket(c->context, ZMQ_DEALER);
    if (!c->socket || !set_options(c->socket, c->ipv6) || !open_monitor(c) ||
        !get_fd(c->socket, &c->socket_fd) || !get_fd(c->monitor, &c->monitor_fd) ||
        zmq_connect(c->socket, c->url) != 0)
        return fail(c, detail);
    if (c->epoll_fd >= 0 && (!watch(c->epoll_fd, c->socket_fd, EPOLL_CTL_ADD) ||
                             !watch(c->epoll_fd, c->monitor_fd, EPOLL_CTL_ADD)))
        return fail(c, detail);
    return JQ_OK;
}

enum jq_err jq_connection_open(const char *url, bool ipv6, struct jq_connection **ret_connection,
                               struct jq_detail *ret_detail)
{
    const size_t size = strlen(url) + 1;
    struct jq_connection *c = jq_alloc_zero(1, sizeof *c + size);
    enum jq_err err;

    if (!c)
        return JQ_ENOMEM;
    memcpy(c->url, url, size);
    c->ipv6 = ipv6;
    c->epoll_fd = -1;
    c->context = zmq_ctx_new();
    if (!c->context) {
        err = fail(c, ret_detail);
    } else {
        (void)zmq_ctx_set(c->context, ZMQ_BLOCKY, 0); /* its end waits for LINGER at most */
        err = open_sockets(c, ret_detail);
    }
    if (err != JQ_OK) {
        jq_connection_close(&c, 0);
        return err;
    }
    *ret_connection = c;
    return JQ_OK;
}

enum jq_err jq_connection_reopen(struct jq_connection *connection)
{
    close_sockets(connection, 0);
    return open_sockets(connection, NULL);
}

void jq_connection_close(struct jq_connection **connection, jq_ms linger)
{
    struct jq_connection *c = *connection;
    struct jq_frame *spare;

    *connection = NULL;
    if (!c)
        return;
    close_sockets(c, linger);
    if (c->context)
        while (zmq_ctx_term(c->context) != 0 && errno == EINTR)
            ;
    spare = c->spare ? &c->spare->frame : NULL;
    jq_frame_drop(&spare);
    jq_free(c);
}

void jq_connection_forsake(struct jq_connection **connection)
{
    *connection = NULL; /* freeing its memory could run into a lock that the parent held */
}

/* ---- in ---- */

/* Asking makes libzmq take all its threads' news at once; sending does so now and then only. */
static int socket_events(void *socket)
{
    int events = 0;
    size_t size = sizeof events;

    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 ? events : 0;
}

/* Something to receive, or what else is wanted. */
static bool has_events(struct jq_connection *c, int wanted)
{
    const int events =
        (socket_events(c->socket) & wanted) | (socket_events(c->monitor) & ZMQ_POLLIN);

    c->is_empty = events == 0;
    c->is_monitor_quiet = false;
    return events != 0;
}

bool jq_connection_came_up(struct jq_connection *connection)
{
    const bool is_quiet = connection->is_monitor_quiet;
    bool came_up = false;
    zmq_msg_t msg;

    connection->is_monitor_quiet = false;
    if (!connection->monitor || is_quiet)
        return false;
    zmq_msg_init(&msg);
    while (zmq_msg_recv(&msg, connection->monitor, ZMQ_DONTWAIT) >= 0) {
        uint16_t event = 0;
        if (!zmq_msg_more(&msg) || zmq_msg_size(&msg) < EVENT_MIN)
            continue; /* the endpoint, which follows */
        memcpy(&event, zmq_msg_data(&msg), sizeof event);
        came_up |= event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    }
    zmq_msg_close(&msg);
    if (came_up) { /* what is sent now must not go down the old connection's pipe */
        (void)socket_events(connection->socket);
        connection->is_empty = false;
    }
    return came_up;
}

static struct received *take_spare(struct jq_connection *c)
{
    struct received *r = c->spare;

    c->spare = NULL;
    if (r)
        return r;
    r = jq_alloc(sizeof *r);
    if (!r)
        return NULL;
    jq_frame_init(&r->frame, release_received);
    zmq_msg_init(&r->msg);
    return r;
}

static bool receive_part(struct jq_connection *c, struct received *r)
{
    int size;

    do {
        size = zmq_msg_recv(&r->msg, c->socket, ZMQ_DONTWAIT);
    } while (size < 0 && errno == EINTR);
    return size >= 0;
}

struct jq_frame *jq_connection_receive(struct jq_connection *connection)
{
    if (!connection->socket)
        return NULL;
    struct received *r = take_spare(connection);
    connection->is_starved = r == NULL;
    if (!r)
        return NULL;
    bool is_rest = false; /* of a message of many parts: not ours */
    connection->is_empty = false;
    while (receive_part(connection, r)) {
        const bool more = zmq_msg_more(&r->msg) != 0;
        if (!more && !is_rest) {
            r->frame.bytes = jq_view(zmq_msg_data(&r->msg), zmq_msg_size(&r->msg));
            return &r->frame;
        }
        is_rest = more;
    }
    connection->is_empty = true; /* the monitor's turn came before */
    connection->spare = r;
    return NULL;
}

bool jq_connection_has_more(struct jq_connection *connection)
{
    return connection->socket && has_events(connection, ZMQ_POLLIN);
}

/* ---- out ---- */

/* libzmq's thread, or ours. */
static void let_go(void *data, void *hint)
{
    struct jq_frame *frame = hint;

    (void)data;
    jq_frame_drop(&frame);
}

static bool send_copy(void *socket, struct jq_view bytes)
{
    int sent;

    do {
        sent = zmq_send(socket, bytes.data, bytes.size, ZMQ_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

bool jq_connection_send(struct jq_connection *connection, struct jq_frame *frame)
{
    /* libzmq's signature is older than const: it reads only. */
    void *data = (void *)(uintptr_t)frame->bytes.data;
    zmq_msg_t msg;
    int sent;

    if (!connection->socket)
        return false;
    connection->is_empty = false; /* libzmq may have taken news of what came meanwhile */
    if (frame->bytes.size <= COPY_MAX)
        return send_copy(connection->socket, frame->bytes);
    if (zmq_msg_init_data(&msg, data, frame->bytes.size, let_go, frame) != 0)
        return false;
    jq_frame_keep(frame);
    do {
        sent = zmq_msg_send(&msg, connection->socket, ZMQ_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        zmq_msg_close(&msg); /* which lets go */
    return sent >= 0;
}

/* Not zmq_poll: for each socket and wait it makes several system calls more. */
void jq_connection_poll(struct jq_connection *connection, int wake_fd, bool want_room,
                        jq_ms timeout)
{
    struct jq_connection *c = connection;
    const bool is_usable = c->socket && !c->is_starved;
    struct pollfd items[] = {
        { .fd = wake_fd, .events = POLLIN },
        { .fd = is_usable ? c->socket_fd : -1, .events = POLLIN },
        { .fd = is_usable ? c->monitor_fd : -1, .events = POLLIN },
    };

    if (!is_usable)
        timeout = timeout < 0 ? STARVED_POLL_MS : jq_ms_min(timeout, STARVED_POLL_MS);
    else if ((want_room || !c->is_empty) &&
             has_events(c, want_room ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN))
        return;
    const int ready = poll(items, 3, timeout > INT32_MAX ? INT32_MAX : (int)timeout);
    c->is_monitor_quiet = is_usable && ready >= 0 && items[2].revents == 0;
}

enum jq_err jq_connection_watch(struct jq_connection *connection, int epoll_fd)
{
    connection->epoll_fd = epoll_fd;
    if (epoll_fd < 0 || !connection->socket)
        return JQ_OK;
    if (watch(epoll_fd, connection->socket_fd, EPOLL_CTL_ADD) &&
        watch(epoll_fd, connection->monitor_fd, EPOLL_CTL_ADD))
        return JQ_OK;
    connection->epoll_fd = -1;
    return JQ_EIO;
}
