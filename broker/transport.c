/* SPDX-License-Identifier: MIT
 *
 * transport.c - see transport.h. Nothing relies on ZeroMQ for delivery; every option below bounds
 * something. */
#include "broker/transport.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zmq.h>

#include "broker/transport_ends.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/limits.h"

enum {
    MESSAGES_MAX = 256,     /* kept by libzmq for one peer, in each direction */
    MESSAGES_IN_MAX = 16,   /* a frame may be large and the loop reads all the time */
    COPY_MAX = 1024,        /* smaller frames are copied: cheaper than being counted */
    COUNTED_MIN = 64 << 10, /* frames below this are bounded by MESSAGES_MAX alone */
    ROUTE_BYTES_MAX = 7,    /* of a routing id; the eighth byte of a route is its length */
};

struct jq_transport {
    void *context;
    void *socket;
    int socket_fd; /* libzmq's: it tells of changes only */
    bool is_empty; /* the socket was, and nothing was done to it since: its fd will tell */
    struct jq_ends *ends;
    struct jq_metrics *metrics;
    zmq_msg_t frame; /* the last one received; always initialised */
    bool in_parts;   /* parts of a refused message are still to come */
};

struct jq_in_flight {
    _Atomic int64_t bytes;
    _Atomic uint32_t references;
};

/* ---- life ---- */

const char *jq_transport_version(void)
{
    static char text[32];
    int major;
    int minor;
    int patch;

    zmq_version(&major, &minor, &patch);
    snprintf(text, sizeof(text), "libzmq %d.%d.%d", major, minor, patch);
    return text;
}

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value)) == 0;
}

static bool set_options(void *socket)
{
    const int64_t frame_max = JQ_FRAME_MAX;

    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max)) == 0 &&
           set_int(socket, ZMQ_ROUTER_MANDATORY,
                   1) && /* with DONTWAIT only, or one peer stops all */
           set_int(socket, ZMQ_ROUTER_HANDOVER, 0) &&  /* or a newcomer could take a peer's route */
           set_int(socket, ZMQ_HANDSHAKE_IVL, 2000) && /* half-open connections go away */
           set_int(socket, ZMQ_HEARTBEAT_IVL, 2000) && /* dead links are noticed */
           set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 6000) &&
           set_int(socket, ZMQ_HEARTBEAT_TTL, 8000) && set_int(socket, ZMQ_SNDHWM, MESSAGES_MAX) &&
           set_int(socket, ZMQ_RCVHWM, MESSAGES_IN_MAX) && set_int(socket, ZMQ_BACKLOG, 1024) &&
           set_int(socket, ZMQ_LINGER, 0);
}

static bool get_fd(void *socket, int *ret_fd)
{
    size_t size = sizeof(*ret_fd);

    return zmq_getsockopt(socket, ZMQ_FD, ret_fd, &size) == 0;
}

static enum jq_err fail(struct jq_detail *detail, const char *what)
{
    const bool memory = errno == ENOMEM;

    jq_detail_set(detail, "%s: %s", what, zmq_strerror(errno));
    return memory ? JQ_ENOMEM : JQ_EIO;
}

enum jq_err jq_transport_open(struct jq_metrics *metrics, struct jq_transport **ret_transport,
                              struct jq_detail *ret_detail)
{
    int major;
    int minor;
    int patch;

    zmq_version(&major, &minor, &patch);
    if (major != 4 || minor < 3 || (minor == 3 && patch < 3)) {
        jq_detail_set(ret_detail, "libzmq %d.%d.%d is too old: 4.3.3 closed remote holes", major,
                      minor, patch);
        return JQ_EVERSION;
    }
    struct jq_transport *transport = jq_alloc_zero(1, sizeof(*transport));
    if (!transport)
        return JQ_ENOMEM;
    transport->metrics = metrics;
    zmq_msg_init(&transport->frame);
    /* libzmq takes its routing ids from rand() and never seeds it; a peer that claims the next one
     * makes it abort. */
    srand((unsigned)jq_clock_entropy());
    transport->context = zmq_ctx_new();
    if (transport->context)
        (void)zmq_ctx_set(transport->context, ZMQ_BLOCKY, 0);
    transport->socket = transport->context ? zmq_socket(transport->context, ZMQ_ROUTER) : NULL;
    enum jq_err err = JQ_OK;
    if (!transport->socket || !set_options(transport->socket) ||
        !get_fd(transport->socket, &transport->socket_fd))
        err = fail(ret_detail, "ZeroMQ");
    if (err == JQ_OK)
        err = jq_ends_open(transport->context, transport->socket, &transport->ends, ret_detail);
    if (err != JQ_OK) {
        jq_transport_close(&transport, 0);
        return err;
    }
    *ret_transport = transport;
    return JQ_OK;
}

enum jq_err jq_transport_bind(struct jq_transport *transport, const struct jq_endpoint *endpoint,
                              char ret_actual[JQ_ENDPOINT_TEXT_MAX], struct jq_detail *ret_detail)
{
    size_t size = JQ_ENDPOINT_TEXT_MAX;

    /* Options hold for the binds after them. */
    if (!set_int(transport->socket, ZMQ_IPV6, endpoint->ipv6))
        return fail(ret_detail, endpoint->text);
    if (zmq_bind(transport->socket, endpoint->text) != 0) {
        if (errno != EADDRINUSE)
            return fail(ret_detail, endpoint->text);
        jq_detail_set(ret_detail, "%s is in use by another process", endpoint->text);
        return JQ_ELOCKED;
    }
    /* By umask 0700; nobody else can reach it before, as its directory is closed to others. */
    if (endpoint->kind == JQ_ENDPOINT_IPC && chmod(jq_endpoint_path(endpoint), 0600) != 0)
        return fail(ret_detail, endpoint->text);
    if (zmq_getsockopt(transport->socket, ZMQ_LAST_ENDPOINT, ret_actual, &size) != 0)
        return fail(ret_detail, endpoint->text);
    return JQ_OK;
}

void jq_transport_close(struct jq_transport **transport, jq_ms linger)
{
    struct jq_transport *t = *transport;

    if (!t)
        return;
    zmq_msg_close(&t->frame);
    if (t->ends)
        jq_ends_stop(t->ends);
    if (t->socket) {
        (void)set_int(t->socket, ZMQ_LINGER, (int)linger);
        zmq_close(t->socket);
    }
    if (t->context) {
        (void)zmq_ctx_shutdown(t->context);
        jq_ends_close(&t->ends);
        while (zmq_ctx_term(t->context) != 0 && errno == EINTR)
            ;
    }
    jq_free(t);
    *transport = NULL;
}

/* ---- in ---- */

static bool has_message(void *socket)
{
    int events = 0;
    size_t size = sizeof(events);

    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

/* Not zmq_poll: for each wait it makes several system calls more. */
enum jq_err jq_transport_poll(struct jq_transport *transport, int fd, jq_ms timeout,
                              bool *ret_fd_readable)
{
    struct pollfd items[] = {
        { .fd = transport->socket_fd, .events = POLLIN },
        { .fd = fd, .events = POLLIN },
        { .fd = jq_ends_fd(transport->ends), .events = POLLIN },
    };
    const int wait = timeout > INT32_MAX ? INT32_MAX : (int)timeout;
    const bool has_news = !transport->is_empty && has_message(transport->socket);

    const int ready = poll(items, sizeof(items) / sizeof(items[0]), has_news ? 0 : wait);
    if (ready < 0 && errno != EINTR)
        return JQ_EIO;
    *ret_fd_readable = ready > 0 && items[1].revents != 0;
    return JQ_OK;
}

/* Routing ids are five bytes when libzmq makes them, and ours to pack up to seven; a peer that sets
 * a longer one of its own has no place here. 0: refused. */
static uint64_t route_of(zmq_msg_t *id)
{
    const size_t size = zmq_msg_size(id);
    uint8_t bytes[sizeof(uint64_t)] = { 0 };
    uint64_t route;

    if (size == 0 || size > ROUTE_BYTES_MAX)
        return 0;
    memcpy(bytes, zmq_msg_data(id), size);
    bytes[ROUTE_BYTES_MAX] = (uint8_t)size;
    memcpy(&route, bytes, sizeof(route));
    return route;
}

/* One part of a refused message. The rest is left for later calls, so that a message of a million
 * parts costs a turn no more than so many frames. */
static enum jq_received refuse_part(struct jq_transport *transport)
{
    if (zmq_msg_recv(&transport->frame, transport->socket, ZMQ_DONTWAIT) < 0) {
        transport->in_parts = false;
        return JQ_RECEIVED_NOTHING;
    }
    transport->metrics->refused_parts++;
    transport->in_parts = zmq_msg_more(&transport->frame) != 0;
    return JQ_RECEIVED_REFUSED;
}

static enum jq_received refuse(struct jq_transport *transport, bool more, uint64_t *counter)
{
    transport->in_parts = more;
    (*counter)++;
    return JQ_RECEIVED_REFUSED;
}

enum jq_received jq_transport_receive(struct jq_transport *transport, uint64_t *ret_route,
                                      int *ret_fd, struct jq_view *ret_frame)
{
    struct jq_metrics *metrics = transport->metrics;
    zmq_msg_t *frame = &transport->frame;

    transport->is_empty = false;
    if (transport->in_parts)
        return refuse_part(transport);
    if (zmq_msg_recv(frame, transport->socket, ZMQ_DONTWAIT) < 0) {
        transport->is_empty = true;
        return JQ_RECEIVED_NOTHING;
    }
    const uint64_t route = route_of(frame);
    if (!zmq_msg_more(frame))
        return refuse(transport, false, &metrics->refused_empty);
    if (route == 0)
        return refuse(transport, true, &metrics->refused_route);
    if (zmq_msg_recv(frame, transport->socket, ZMQ_DONTWAIT) < 0)
        return refuse(transport, false, &metrics->refused_empty);
    const size_t size = zmq_msg_size(frame);
    if (zmq_msg_more(frame))
        return refuse(transport, true, &metrics->refused_multipart);
    if (size == 0)
        return refuse(transport, false, &metrics->refused_empty);
    metrics->frames_in++;
    metrics->bytes_in += size;
    *ret_route = route;
    *ret_fd = zmq_msg_get(frame, ZMQ_SRCFD);
    *ret_frame = jq_view(zmq_msg_data(frame), size);
    return JQ_RECEIVED;
}

bool jq_transport_ended(struct jq_transport *transport, int *ret_fd)
{
    return jq_ends_take(transport->ends, ret_fd);
}

/* ---- out ---- */

struct jq_in_flight *jq_in_flight_new(void)
{
    struct jq_in_flight *in_flight = jq_alloc_zero(1, sizeof(*in_flight));

    if (in_flight)
        atomic_init(&in_flight->references, 1);
    return in_flight;
}

int64_t jq_in_flight_bytes(const struct jq_in_flight *in_flight)
{
    return atomic_load_explicit(&in_flight->bytes, memory_order_relaxed);
}

void jq_in_flight_drop(struct jq_in_flight **in_flight)
{
    if (*in_flight &&
        atomic_fetch_sub_explicit(&(*in_flight)->references, 1, memory_order_acq_rel) == 1)
        jq_free(*in_flight);
    *in_flight = NULL;
}

/* Beside a large frame while libzmq holds it. */
struct counted {
    struct jq_in_flight *in_flight;
    size_t size;
};

/* libzmq's thread. */
static void release(void *data, void *hint)
{
    struct counted *counted = hint;

    jq_free(data);
    if (!counted)
        return;
    atomic_fetch_sub_explicit(&counted->in_flight->bytes, (int64_t)counted->size,
                              memory_order_relaxed);
    jq_in_flight_drop(&counted->in_flight);
    jq_free(counted);
}

/* NULL: not counted, for want of memory or of a need. */
static struct counted *count_in_flight(struct jq_in_flight *in_flight, size_t size)
{
    if (!in_flight || size < COUNTED_MIN)
        return NULL;
    struct counted *counted = jq_alloc(sizeof(*counted));
    if (!counted)
        return NULL;
    *counted = (struct counted){ .in_flight = in_flight, .size = size };
    atomic_fetch_add_explicit(&in_flight->references, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&in_flight->bytes, (int64_t)size, memory_order_relaxed);
    return counted;
}

/* A message that was begun must be ended, or the next one would be taken for its rest. Signals are
 * blocked on this thread, but a debugger's attach interrupts too. */
static bool send_part(void *socket, const void *data, size_t size, int flags)
{
    int sent;

    do {
        sent = zmq_send(socket, data, size, flags | ZMQ_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

static bool send_frame(struct jq_transport *transport, uint8_t *data, size_t size,
                       struct jq_in_flight *in_flight)
{
    zmq_msg_t frame;
    int sent;

    if (size <= COPY_MAX) {
        const bool done = send_part(transport->socket, data, size, 0);
        jq_free(data);
        return done;
    }
    struct counted *counted = count_in_flight(in_flight, size);
    if (zmq_msg_init_data(&frame, data, size, release, counted) != 0) {
        release(data, counted);
        transport->metrics->refused_memory++;
        return send_part(transport->socket, "", 0, 0); /* malformed: the peer will ask again */
    }
    do {
        sent = zmq_msg_send(&frame, transport->socket, ZMQ_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        zmq_msg_close(&frame); /* which releases data */
    return sent >= 0;
}

enum jq_sent jq_transport_send(struct jq_transport *transport, uint64_t route, uint8_t *data,
                               size_t size, struct jq_in_flight *in_flight)
{
    uint8_t id[sizeof(route)];

    transport->is_empty = false; /* libzmq may take news of what comes meanwhile */
    memcpy(id, &route, sizeof(id));
    /* The first part decides: where it is refused nothing was queued. */
    if (!send_part(transport->socket, id, id[ROUTE_BYTES_MAX], ZMQ_SNDMORE)) {
        if (errno == EAGAIN)
            return JQ_SENT_FULL;
        if (errno != EHOSTUNREACH)
            transport->metrics->send_failed++;
        return JQ_SENT_NOBODY;
    }
    if (!send_frame(transport, data, size, in_flight)) {
        transport->metrics->send_failed++;
        return JQ_SENT;
    }
    transport->metrics->frames_out++;
    transport->metrics->bytes_out += size;
    return JQ_SENT;
}
