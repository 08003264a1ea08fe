/* SPDX-License-Identifier: MIT
 *
 * transport_ends.c - see transport_ends.h. */
#include "broker/transport_ends.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <zmq.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum {
    FDS_MAX = 1 << 20, /* an end above it is left to the peer's silence */
    NONE = -1,
    EVENT_BYTES = 6, /* a uint16_t that says which, a uint32_t with the descriptor */
};

static const char endpoint[] = "inproc://ends"; /* names are a context's own */

struct jq_ends {
    void *socket; /* the one that is watched */
    void *pair;   /* the thread's */
    pthread_t thread;
    bool is_started;
    int event; /* 1 while the list is not empty */
    int fd_max;
    pthread_mutex_t lock; /* of what follows */
    /* The list, threaded by descriptor: 0 is not in it, else the next one + 1, or NONE. A zeroed
     * page that no descriptor reaches is never touched. */
    int32_t *next;
    int first, last;
};

/* ---- the list ---- */

static void wake(const struct jq_ends *ends)
{
    const uint64_t one = 1;

    JQ_CHECK(write(ends->event, &one, sizeof(one)) == sizeof(one));
}

static void calm(const struct jq_ends *ends)
{
    uint64_t count;

    JQ_CHECK(read(ends->event, &count, sizeof(count)) == sizeof(count));
}

static void note(struct jq_ends *ends, uint32_t fd)
{
    if (fd >= (uint32_t)ends->fd_max)
        return;
    pthread_mutex_lock(&ends->lock);
    if (ends->next[fd] == 0) {
        ends->next[fd] = NONE;
        if (ends->first == NONE) {
            ends->first = (int)fd;
            wake(ends);
        } else {
            ends->next[ends->last] = (int32_t)fd + 1;
        }
        ends->last = (int)fd;
    }
    pthread_mutex_unlock(&ends->lock);
}

bool jq_ends_take(struct jq_ends *ends, int *ret_fd)
{
    pthread_mutex_lock(&ends->lock);
    const int fd = ends->first;
    if (fd != NONE) {
        const int32_t next = ends->next[fd];
        ends->next[fd] = 0;
        ends->first = next == NONE ? NONE : next - 1;
        if (next == NONE)
            calm(ends);
    }
    pthread_mutex_unlock(&ends->lock);
    *ret_fd = fd;
    return fd != NONE;
}

int jq_ends_fd(const struct jq_ends *ends)
{
    return ends->event;
}

/* ---- the thread ---- */

/* The next part of any message. False: the context is shut down. */
static bool receive(void *pair, zmq_msg_t *part)
{
    int got;

    do {
        got = zmq_msg_recv(part, pair, 0);
    } while (got < 0 && errno == EINTR);
    return got >= 0;
}

/* An event is its number and value, then a part with the endpoint's name. */
static void *watch(void *arg)
{
    struct jq_ends *ends = arg;
    bool is_first = true;
    zmq_msg_t part;

    zmq_msg_init(&part);
    while (receive(ends->pair, &part)) {
        if (is_first && zmq_msg_size(&part) == EVENT_BYTES) {
            uint32_t fd;
            memcpy(&fd, (const char *)zmq_msg_data(&part) + sizeof(uint16_t), sizeof(fd));
            note(ends, fd);
        }
        is_first = !zmq_msg_more(&part);
    }
    zmq_msg_close(&part);
    zmq_close(ends->pair);
    return NULL;
}

/* No signal is ever delivered to it: the loop reads them from a descriptor. */
static bool start(struct jq_ends *ends)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&ends->thread, NULL, watch, ends);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    if (error != 0)
        return false;
    pthread_setname_np(ends->thread, "jobq-ends");
    ends->is_started = true;
    return true;
}

/* ---- life ---- */

static int descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > FDS_MAX)
        return FDS_MAX;
    return (int)limit.rlim_cur;
}

/* An accepted connection that ends makes one event, DISCONNECTED, whatever ended it; CLOSED is of
 * listeners. No mark on the pipe: the thread is always there to empty it, and I/O never waits. */
static bool connect_monitor(struct jq_ends *ends, void *context)
{
    const int none = 0;

    ends->pair = zmq_socket(context, ZMQ_PAIR);
    return ends->pair && zmq_setsockopt(ends->pair, ZMQ_RCVHWM, &none, sizeof(none)) == 0 &&
           zmq_setsockopt(ends->pair, ZMQ_LINGER, &none, sizeof(none)) == 0 &&
           zmq_socket_monitor(ends->socket, endpoint, ZMQ_EVENT_DISCONNECTED) == 0 &&
           zmq_connect(ends->pair, endpoint) == 0;
}

enum jq_err jq_ends_open(void *context, void *socket, struct jq_ends **ret_ends,
                         struct jq_detail *ret_detail)
{
    struct jq_ends *ends = jq_alloc_zero(1, sizeof(*ends));

    if (!ends)
        return JQ_ENOMEM;
    ends->socket = socket;
    ends->first = ends->last = NONE;
    pthread_mutex_init(&ends->lock, NULL);
    ends->fd_max = descriptors();
    ends->next = jq_alloc_zero((size_t)ends->fd_max, sizeof(*ends->next));
    ends->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum jq_err err = ends->next ? JQ_OK : JQ_ENOMEM;
    if (err == JQ_OK && (ends->event < 0 || !connect_monitor(ends, context) || !start(ends))) {
        jq_detail_set(ret_detail, "connections cannot be watched: %s", zmq_strerror(errno));
        err = JQ_EIO;
    }
    if (err != JQ_OK) {
        jq_ends_stop(ends);
        jq_ends_close(&ends);
        return err;
    }
    *ret_ends = ends;
    return JQ_OK;
}

void jq_ends_stop(struct jq_ends *ends)
{
    (void)zmq_socket_monitor(ends->socket, NULL, 0);
}

void jq_ends_close(struct jq_ends **ends)
{
    struct jq_ends *e = *ends;

    if (!e)
        return;
    if (e->is_started)
        pthread_join(e->thread, NULL);
    else if (e->pair)
        zmq_close(e->pair);
    if (e->event >= 0)
        close(e->event);
    pthread_mutex_destroy(&e->lock);
    jq_free(e->next);
    jq_free(e);
    *ends = NULL;
}
