/* SPDX-License-Identifier: MIT
 *
 * transport.c - see transport.h. libzmq reconnects; its monitor tells when, because a HELLO must be
 * the first thing a restarted broker hears, and soon: it waits for its workers before it grants. */
#include "worker/transport.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <zmq.h>

#include "proto/base/alloc.h"
#include "proto/limits.h"

enum {
    COPY_MAX = 1024,        /* smaller frames are copied: cheaper than being counted */
    RECONNECT_MS = 20,      /* doubled for each attempt, up to: */
    RECONNECT_MAX_MS = 200, /* less than half of what a broker waits for its workers */
    HANDSHAKE_MS = 5000,
};

struct jq_dealer {
    void *context;
    void *socket;
    void *monitor;
    int socket_fd, monitor_fd; /* libzmq's: they tell of changes only */
    bool is_empty; /* both sockets were, and nothing was done to them since: their fds will tell */
    bool is_monitor_quiet; /* since the last poll, says its fd */
    unsigned number;       /* of sockets made: the monitor's address */
    char *url;
    zmq_msg_t frame; /* the last one received; always initialised */
};

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

/* No bound on what waits to be sent: fetch asks for no work while too many outcomes are not
 * acknowledged, and a frame that is dropped here would not be sent again before the next HELLO. */
static bool set_options(void *socket)
{
    const int64_t frame_max = JQ_FRAME_MAX;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) == 0 &&
           set_int(socket, ZMQ_LINGER, 0) && set_int(socket, ZMQ_SNDHWM, 0) &&
           set_int(socket, ZMQ_RCVHWM, 0) && set_int(socket, ZMQ_IPV6, 1) &&
           set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) &&
           set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
}

static bool open_monitor(struct jq_dealer *dealer)
{
    char address[64];
    (void)snprintf(address, sizeof address, "inproc://monitor-%u", dealer->number++);
    if (zmq_socket_monitor(dealer->socket, address,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0)
        return false;
    dealer->monitor = zmq_socket(dealer->context, ZMQ_PAIR);
    return dealer->monitor != NULL && set_int(dealer->monitor, ZMQ_LINGER, 0) &&
           zmq_connect(dealer->monitor, address) == 0;
}

static bool get_fd(void *socket, int *ret_fd)
{
    size_t size = sizeof *ret_fd;
    return zmq_getsockopt(socket, ZMQ_FD, ret_fd, &size) == 0;
}

static void close_sockets(struct jq_dealer *dealer)
{
    if (dealer->socket != NULL) {
        (void)zmq_socket_monitor(dealer->socket, NULL, 0);
        (void)zmq_close(dealer->socket);
    }
    if (dealer->monitor != NULL)
        (void)zmq_close(dealer->monitor);
    dealer->socket = NULL;
    dealer->monitor = NULL;
}

static enum jq_err open_sockets(struct jq_dealer *dealer)
{
    dealer->is_empty = dealer->is_monitor_quiet = false;
    dealer->socket = zmq_socket(dealer->context, ZMQ_DEALER);
    if (dealer->socket != NULL && set_options(dealer->socket) && open_monitor(dealer) &&
        get_fd(dealer->socket, &dealer->socket_fd) &&
        get_fd(dealer->monitor, &dealer->monitor_fd) &&
        zmq_connect(dealer->socket, dealer->url) == 0)
        return JQ_OK;
    const int error = errno;
    close_sockets(dealer);
    errno = error;
    if (error == EINVAL || error == EPROTONOSUPPORT || error == ENOCOMPATPROTO)
        return JQ_EINVAL;
    return error == ENOMEM ? JQ_ENOMEM : JQ_EIO;
}

enum jq_err jq_dealer_open(const char *url, struct jq_dealer **ret_dealer,
                           struct jq_detail *ret_detail)
{
    struct jq_dealer *dealer = jq_alloc_zero(1, sizeof *dealer);
    if (dealer == NULL)
        return JQ_ENOMEM;
    (void)zmq_msg_init(&dealer->frame);
    dealer->url = jq_strdup(url);
    dealer->context = zmq_ctx_new();
    enum jq_err err = dealer->url == NULL ? JQ_ENOMEM : JQ_EIO;
    if (dealer->url != NULL && dealer->context != NULL) {
        (void)zmq_ctx_set(dealer->context, ZMQ_BLOCKY, 0);
        err = open_sockets(dealer);
    }
    if (err != JQ_OK) {
        jq_detail_set(ret_detail, "%s: %s", url, zmq_strerror(errno));
        jq_dealer_close(&dealer, 0);
        return err;
    }
    *ret_dealer = dealer;
    return JQ_OK;
}

enum jq_err jq_dealer_renew(struct jq_dealer *dealer)
{
    close_sockets(dealer);
    return open_sockets(dealer);
}

void jq_dealer_close(struct jq_dealer **dealer, jq_ms linger)
{
    struct jq_dealer *d = *dealer;
    if (d == NULL)
        return;
    *dealer = NULL;
    (void)zmq_msg_close(&d->frame);
    if (d->socket != NULL)
        (void)set_int(d->socket, ZMQ_LINGER, linger < INT32_MAX ? (int)linger : INT32_MAX);
    close_sockets(d);
    while (d->context != NULL && zmq_ctx_term(d->context) != 0 && errno == EINTR)
        ;
    jq_free(d->url);
    jq_free(d);
}

static bool has_event(void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

/* Not zmq_poll: for each socket and wait it makes several system calls more. */
enum jq_err jq_dealer_poll(struct jq_dealer *dealer, int fd, jq_ms timeout, bool *ret_fd_readable)
{
    const bool is_open = dealer->socket != NULL;
    struct pollfd items[] = {
        { .fd = fd, .events = POLLIN },
        { .fd = is_open ? dealer->socket_fd : -1, .events = POLLIN },
        { .fd = is_open ? dealer->monitor_fd : -1, .events = POLLIN },
    };
    int wait = timeout == JQ_NEVER ? -1 : timeout < INT32_MAX ? (int)timeout : INT32_MAX;
    bool has_news = false;
    if (is_open && !dealer->is_empty) {
        const bool has_frames = has_event(dealer->socket); /* both are asked, always */
        has_news = has_event(dealer->monitor) || has_frames;
    }
    const int ready = poll(items, sizeof items / sizeof items[0], has_news ? 0 : wait);
    if (ready < 0 && errno != EINTR)
        return JQ_EIO;
    dealer->is_monitor_quiet = !has_news && ready >= 0 && items[2].revents == 0;
    *ret_fd_readable = ready > 0 && items[0].revents != 0;
    return JQ_OK;
}

/* A monitor's message: number and value of the event, then the address. */
enum jq_link_change jq_dealer_change(struct jq_dealer *dealer)
{
    enum jq_link_change change = JQ_LINK_SAME;
    zmq_msg_t part;
    if (dealer->monitor == NULL || dealer->is_monitor_quiet)
        return change;
    (void)zmq_msg_init(&part);
    if (zmq_msg_recv(&part, dealer->monitor, ZMQ_DONTWAIT) >= 0) {
        uint16_t event = 0;
        if (zmq_msg_size(&part) >= sizeof event)
            memcpy(&event, zmq_msg_data(&part), sizeof event);
        change = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED ? JQ_LINK_CONNECTED : JQ_LINK_LOST;
        while (zmq_msg_more(&part) && zmq_msg_recv(&part, dealer->monitor, ZMQ_DONTWAIT) >= 0)
            ;
    }
    (void)zmq_msg_close(&part);
    return change;
}

bool jq_dealer_receive(struct jq_dealer *dealer, struct jq_view *ret_frame)
{
    if (dealer->socket == NULL)
        return false;
    dealer->is_empty = false;
    while (zmq_msg_recv(&dealer->frame, dealer->socket, ZMQ_DONTWAIT) >= 0) {
        bool whole = true;
        while (zmq_msg_more(&dealer->frame)) {
            whole = false;
            if (zmq_msg_recv(&dealer->frame, dealer->socket, ZMQ_DONTWAIT) < 0)
                return false;
        }
        if (!whole)
            continue;
        *ret_frame = jq_view(zmq_msg_data(&dealer->frame), zmq_msg_size(&dealer->frame));
        return true;
    }
    dealer->is_empty = true; /* and the monitor is looked at before the next poll */
    return false;
}

/* libzmq's thread. */
static void release(void *data, void *hint)
{
    (void)hint;
    jq_free(data);
}

bool jq_dealer_send(struct jq_dealer *dealer, uint8_t *data, size_t size)
{
    int sent;
    if (dealer->socket == NULL) {
        jq_free(data);
        return false;
    }
    dealer->is_empty = false; /* libzmq may take news of what comes meanwhile */
    if (size <= COPY_MAX) {
        do {
            sent = zmq_send(dealer->socket, data, size, ZMQ_DONTWAIT);
        } while (sent < 0 && errno == EINTR);
        jq_free(data);
        return sent >= 0;
    }
    zmq_msg_t frame;
    if (zmq_msg_init_data(&frame, data, size, release, NULL) != 0) {
        jq_free(data);
        return false;
    }
    do {
        sent = zmq_msg_send(&frame, dealer->socket, ZMQ_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        (void)zmq_msg_close(&frame); /* which releases data */
    return sent >= 0;
}
