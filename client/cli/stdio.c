/* SPDX-License-Identifier: MIT
 *
 * stdio.c - see stdio.h. */
#include "client/cli/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { READ_BYTES = 65536 };

bool jq_stdio_init(void)
{
    /* The stand-ins of 0 and 1 allow the wrong direction alone: ids that nobody gave must not look
     * like none, nor data that nobody can get like delivered. What goes to 2 is for people, who
     * closed it. */
    static const int modes[] = { O_WRONLY, O_RDONLY, O_WRONLY };

    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        if (open("/dev/null", modes[fd]) != fd) /* the lowest that is free */
            return false;
    }
    return signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

bool jq_stdio_can_print(void)
{
    const int flags = fcntl(STDOUT_FILENO, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

/* Nobody reads our output any more. An earlier flush may have found it first, and its errno is
 * lost.
 */
static bool reader_is_gone(int error)
{
    struct pollfd poller = { .fd = STDOUT_FILENO, .events = POLLOUT };

    return error == EPIPE || (!error && poll(&poller, 1, 0) > 0 && (poller.revents & POLLERR));
}

int jq_stdio_finish(const struct jq_cli *cli, int status)
{
    errno = 0;
    const bool failed = fflush(stdout) != 0 || ferror(stdout);

    if (!failed)
        return status;
    const int error = errno;
    if (reader_is_gone(error))
        return JQ_EXIT_FAILED; /* whoever leaves has seen enough */
    return jq_cli_fail(cli, JQ_EIO, "standard output: %s",
                       error ? strerror(error) : "it could not be written");
}

/* For descriptors that do not block: somebody else's setting, as they are shared. */
static void await(int fd, short events)
{
    struct pollfd poller = { .fd = fd, .events = events };
    poll(&poller, 1, -1);
}

int jq_write_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size) {
        const ssize_t written = write(fd, at, size);
        if (written >= 0) {
            at += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN) {
            await(fd, POLLOUT);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int jq_read_some(int fd, void *to, size_t size, size_t *ret_got)
{
    for (;;) {
        const ssize_t got = read(fd, to, size);
        if (got >= 0) {
            *ret_got = (size_t)got;
            return 0;
        }
        if (errno == EAGAIN)
            await(fd, POLLIN);
        else if (errno != EINTR)
            return errno;
    }
}

int jq_read_all(int fd, size_t max, struct jq_buf *out)
{
    for (;;) {
        size_t got;
        if (jq_buf_reserve(out, READ_BYTES) != JQ_OK)
            return ENOMEM;
        const int error = jq_read_some(fd, out->data + out->size, READ_BYTES, &got);
        if (error || got == 0)
            return error;
        out->size += got;
        if (out->size > max)
            return EFBIG;
    }
}

size_t jq_stdio_width(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col ? size.ws_col : 80;
}
