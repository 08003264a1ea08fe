/* SPDX-License-Identifier: MIT
 *
 * limits.c - what no queue on this machine can beat, measured in the same run: a flushed write of
 * 4 KiB, and a round trip of 100 bytes between two processes.
 *
 *     peer_limits DIRECTORY ROUNDS */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

enum { PAGE = 4096, PAGES = 1024 };

static void require(bool ok, const char *what)
{
    if (!ok)
        peer_fail("%s: %s", what, strerror(errno));
}

static void print(const char *figure, size_t rounds, uint64_t start)
{
    printf("{\"figure\": \"%s\", \"us\": %.1f}\n", figure,
           (double)(peer_now_ns() - start) / 1e3 / (double)rounds);
}

static void write_pages(int fd, size_t rounds, bool flush)
{
    char page[PAGE];

    memset(page, 'p', sizeof page);
    for (size_t i = 0; i < rounds; i++) {
        require(pwrite(fd, page, PAGE, (off_t)(i % PAGES) * PAGE) == PAGE, "write");
        require(!flush || fdatasync(fd) == 0, "fdatasync");
    }
}

static void measure_disk(const char *directory, size_t rounds)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/pages", directory);
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0, path);
    unlink(path);
    rounds = rounds < PAGES ? rounds : PAGES;
    uint64_t start = peer_now_ns();
    write_pages(fd, rounds, true);
    print("fdatasync_append", rounds, start);
    write_pages(fd, PAGES, false);
    require(fsync(fd) == 0, "fsync");
    start = peer_now_ns();
    write_pages(fd, rounds, true);
    print("fdatasync_overwrite", rounds, start);
    close(fd);
}

static void echo(int fd)
{
    char bytes[PEER_PAYLOAD];
    ssize_t got;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while ((got = recv(fd, bytes, sizeof bytes, MSG_WAITALL)) == sizeof bytes)
        if (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) != (ssize_t)sizeof bytes)
            break;
    _exit(0);
}

static void ping(const char *figure, int here, int there, size_t rounds)
{
    char bytes[PEER_PAYLOAD] = { 0 };

    const pid_t pid = fork();
    require(pid >= 0, "fork");
    if (pid == 0) {
        close(here);
        echo(there);
    }
    close(there);
    const uint64_t start = peer_now_ns();
    for (size_t i = 0; i < rounds; i++) {
        require(send(here, bytes, sizeof bytes, MSG_NOSIGNAL) == (ssize_t)sizeof bytes, "send");
        require(recv(here, bytes, sizeof bytes, MSG_WAITALL) == (ssize_t)sizeof bytes, "recv");
    }
    print(figure, rounds, start);
    close(here);
    waitpid(pid, NULL, 0);
}

static void connect_tcp(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    const int on = 1;

    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    require(listener >= 0 && fds[0] >= 0, "socket");
    require(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0 &&
                getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
                connect(fds[0], (struct sockaddr *)&address, size) == 0,
            "connect");
    fds[1] = accept(listener, NULL, NULL);
    require(fds[1] >= 0, "accept");
    close(listener);
    for (int i = 0; i < 2; i++)
        require(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "nodelay");
}

int main(int argc, char **argv)
{
    int fds[2];

    const size_t rounds = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (rounds == 0)
        peer_fail("usage: peer_limits DIRECTORY ROUNDS");
    setvbuf(stdout, NULL, _IOLBF, 0);
    measure_disk(argv[1], rounds);
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "socketpair");
    ping("unix_round_trip", fds[0], fds[1], rounds);
    connect_tcp(fds);
    ping("tcp_round_trip", fds[0], fds[1], rounds);
    return 0;
}
