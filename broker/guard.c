/* SPDX-License-Identifier: MIT
 *
 * guard.c - see guard.h. The definitions of accept4 and recv stand in for libc's in the whole
 * process. The build exports them from the executable (broker/CMakeLists.txt). */
#undef _FORTIFY_SOURCE /* its inline recv() could not be defined again */

#include "broker/guard.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/zmtp.h"
#include "proto/base/alloc.h"

struct connection {
    bool is_watched; /* by a descriptor that accept4 returned */
    struct jq_zmtp stream;
};

static struct {
    atomic_bool open;
    int fd_max;
    int64_t unfinished_max;
    /* libzmq's thread only, once open. */
    int reserve_fd;
    struct connection *connections; /* by descriptor, [0, fd_max) */
    _Atomic uint64_t accepted, refused, shed, flooding, foreign;
} guard = { .reserve_fd = -1 };

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int real_accept(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    return (int)syscall(SYS_accept4, listener, address, size, flags);
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static bool is_exhaustion(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* The connection must leave the listener's queue, or poll would report it for ever: the reserve
 * makes the room to accept and close it. */
static void shed_connection(int listener)
{
    if (guard.reserve_fd >= 0) {
        close(guard.reserve_fd);
        const int fd = real_accept(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        guard.reserve_fd = open_reserve();
    }
    count(&guard.shed);
}

int accept4(int listener, __SOCKADDR_ARG address, socklen_t *restrict size, int flags)
{
    const int fd = real_accept(listener, address.__sockaddr__, size, flags);

    if (!atomic_load_explicit(&guard.open, memory_order_acquire))
        return fd;
    if (fd < 0 && is_exhaustion(errno)) {
        shed_connection(listener);
        errno = ECONNABORTED; /* which libzmq tolerates on tcp and on ipc */
        return -1;
    }
    if (fd >= guard.fd_max) {
        close(fd);
        count(&guard.refused);
        errno = ECONNABORTED;
        return -1;
    }
    if (fd >= 0) {
        guard.connections[fd] = (struct connection){ .is_watched = true };
        count(&guard.accepted);
    }
    return fd;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    const ssize_t got = syscall(SYS_recvfrom, fd, data, size, flags, NULL, NULL);

    if (got <= 0 || !atomic_load_explicit(&guard.open, memory_order_acquire) ||
        fd >= guard.fd_max || !guard.connections[fd].is_watched)
        return got;
    struct jq_zmtp *stream = &guard.connections[fd].stream;
    const bool fits = jq_zmtp_feed(stream, data, (size_t)got);
    if (fits && stream->unfinished <= guard.unfinished_max)
        return got;
    count(fits ? &guard.flooding : &guard.foreign);
    errno = ECONNRESET;
    return -1;
}

void jq_guard_read(struct jq_guard_counts *ret)
{
    *ret = (struct jq_guard_counts){
        .accepted = atomic_load_explicit(&guard.accepted, memory_order_relaxed),
        .refused = atomic_load_explicit(&guard.refused, memory_order_relaxed),
        .shed = atomic_load_explicit(&guard.shed, memory_order_relaxed),
        .flooding = atomic_load_explicit(&guard.flooding, memory_order_relaxed),
        .foreign = atomic_load_explicit(&guard.foreign, memory_order_relaxed),
    };
}

enum jq_err jq_guard_open(const struct jq_guard_conf *conf, struct jq_detail *ret_detail)
{
    /* What a shared libzmq's calls are bound to. */
    if ((uintptr_t)dlsym(RTLD_DEFAULT, "accept4") != (uintptr_t)accept4 ||
        (uintptr_t)dlsym(RTLD_DEFAULT, "recv") != (uintptr_t)recv) {
        jq_detail_set(ret_detail, "this build does not export accept4 and recv to libzmq");
        return JQ_ESTATE;
    }
    guard.connections = jq_alloc_zero((size_t)conf->fd_max, sizeof(*guard.connections));
    if (!guard.connections)
        return JQ_ENOMEM;
    guard.reserve_fd = open_reserve();
    if (guard.reserve_fd < 0) {
        jq_free(guard.connections);
        guard.connections = NULL;
        jq_detail_set(ret_detail, "/dev/null cannot be opened");
        return JQ_EIO;
    }
    guard.fd_max = conf->fd_max;
    guard.unfinished_max = conf->unfinished_max;
    atomic_store_explicit(&guard.open, true, memory_order_release);
    return JQ_OK;
}

void jq_guard_close(void)
{
    if (!atomic_exchange(&guard.open, false))
        return;
    close(guard.reserve_fd);
    guard.reserve_fd = -1;
    jq_free(guard.connections);
    guard.connections = NULL;
}

int jq_guard_limit_raise(int wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < (rlim_t)wanted) {
        limit.rlim_cur = limit.rlim_max < (rlim_t)wanted ? limit.rlim_max : (rlim_t)wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur < (rlim_t)wanted ? (int)limit.rlim_cur : wanted;
}
