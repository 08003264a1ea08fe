/* SPDX-License-Identifier: MIT
 *
 * process.c - see process.h. */
#include "broker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

static mode_t user_umask = 077;

mode_t jq_process_user_umask(void)
{
    return user_umask;
}

enum jq_err jq_process_init(void)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            return JQ_EIO;
    } while (fd <= STDERR_FILENO);
    close(fd);
    user_umask = umask(077);
    /* A full quota sends SIGXFSZ: the store wants the error instead. */
    if (sigaction(SIGPIPE, &ignore, NULL) != 0 || sigaction(SIGXFSZ, &ignore, NULL) != 0)
        return JQ_EIO;
    return JQ_OK;
}

enum jq_err jq_wakeup_add(struct jq_wakeup *wakeup, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data = { .fd = fd } };

    return epoll_ctl(wakeup->fd, EPOLL_CTL_ADD, fd, &event) == 0 ? JQ_OK : JQ_EIO;
}

enum jq_err jq_wakeup_open(struct jq_wakeup *ret_wakeup)
{
    struct jq_wakeup wakeup = JQ_WAKEUP_NONE;
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return JQ_EIO;
    wakeup.fd = epoll_create1(EPOLL_CLOEXEC);
    wakeup.signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (wakeup.fd < 0 || wakeup.signal_fd < 0 ||
        jq_wakeup_add(&wakeup, wakeup.signal_fd) != JQ_OK) {
        jq_wakeup_close(&wakeup);
        return JQ_EIO;
    }
    *ret_wakeup = wakeup;
    return JQ_OK;
}

enum jq_err jq_wakeup_wait(const struct jq_wakeup *wakeup, int timeout)
{
    struct pollfd wait = { .fd = wakeup->fd, .events = POLLIN };

    return poll(&wait, 1, timeout) >= 0 || errno == EINTR ? JQ_OK : JQ_EIO;
}

int jq_wakeup_signal(struct jq_wakeup *wakeup)
{
    struct signalfd_siginfo info;

    if (read(wakeup->signal_fd, &info, sizeof(info)) != sizeof(info))
        return 0;
    return (int)info.ssi_signo;
}

void jq_wakeup_close(struct jq_wakeup *wakeup)
{
    if (wakeup->fd >= 0)
        close(wakeup->fd);
    if (wakeup->signal_fd >= 0)
        close(wakeup->signal_fd);
    *wakeup = JQ_WAKEUP_NONE;
}
