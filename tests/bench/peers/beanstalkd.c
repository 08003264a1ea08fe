/* SPDX-License-Identifier: MIT
 *
 * beanstalkd.c - a client of beanstalkd, its text protocol on a unix socket. Puts are pipelined,
 * and so are reserve and delete: a reserve that blocks holds back what is behind it on its
 * connection, which costs nothing while jobs come, and at the end no reserve is left over. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

enum {
    PUTS = 1000, /* that wait for their answer */
    HELD = 100,  /* jobs reserved, or asked for, at a time */
    BUFFER = 1 << 20,
};

enum reply { INSERTED, RESERVED, DELETED, OTHER };

struct conn {
    int fd;
    size_t in_start, in_end, out_size;
    size_t sequence; /* of the next payload */
    char stale[32];  /* id of a result that has been read and is to be deleted */
    char in[BUFFER], out[BUFFER];
};

/* ---- bytes ---- */

static void receive(struct conn *c)
{
    if (c->in_start > 0) {
        memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
        c->in_end -= c->in_start;
        c->in_start = 0;
    }
    const ssize_t got = recv(c->fd, c->in + c->in_end, sizeof c->in - c->in_end, 0);
    if (got <= 0)
        peer_fail("the server is gone: %s", got ? strerror(errno) : "end of file");
    c->in_end += (size_t)got;
}

/* Reads while it writes: a server that cannot answer stops reading. */
static void flush(struct conn *c)
{
    for (size_t sent = 0; sent < c->out_size;) {
        const ssize_t n = send(c->fd, c->out + sent, c->out_size - sent, MSG_DONTWAIT);
        if (n >= 0) {
            sent += (size_t)n;
            continue;
        }
        struct pollfd both = { .fd = c->fd, .events = POLLIN | POLLOUT };
        if (errno != EAGAIN || poll(&both, 1, -1) < 0)
            peer_fail("send: %s", strerror(errno));
        if (both.revents & POLLIN)
            receive(c);
    }
    c->out_size = 0;
}

static void say(struct conn *c, const char *text, size_t size)
{
    if (sizeof c->out - c->out_size < size)
        flush(c);
    memcpy(c->out + c->out_size, text, size);
    c->out_size += size;
}

static void say_text(struct conn *c, const char *text)
{
    say(c, text, strlen(text));
}

static const char *find_line_end(const struct conn *c)
{
    return memchr(c->in + c->in_start, '\n', c->in_end - c->in_start);
}

static const char *await_line_end(struct conn *c)
{
    const char *end;

    while (!(end = find_line_end(c))) {
        flush(c);
        if (!find_line_end(c)) /* flushing may have read it */
            receive(c);
    }
    return end;
}

/* The next answer; of RESERVED the id is at `ret_id`, which has room for 32 bytes. */
static enum reply await_reply(struct conn *c, char *ret_id)
{
    unsigned long long id;
    size_t size;

    const char *end = await_line_end(c);
    const char *line = c->in + c->in_start;
    const size_t length = (size_t)(end - line) + 1;
    if (sscanf(line, "RESERVED %llu %zu", &id, &size) == 2) {
        while (c->in_end - c->in_start < length + size + 2) {
            flush(c);
            receive(c);
        }
        c->in_start += length + size + 2;
        snprintf(ret_id, 32, "%llu", id);
        return RESERVED;
    }
    const enum reply reply = memcmp(line, "INSERTED", 8) == 0  ? INSERTED
                             : memcmp(line, "DELETED", 7) == 0 ? DELETED
                                                               : OTHER;
    if (reply == OTHER && memcmp(line, "USING", 5) != 0 && memcmp(line, "WATCHING", 8) != 0)
        peer_fail("the server says %.*s", (int)length, line);
    c->in_start += length;
    return reply;
}

static void expect(struct conn *c, enum reply wanted)
{
    char id[32];

    if (await_reply(c, id) != wanted)
        peer_fail("an unexpected answer");
}

/* ---- commands ---- */

static void say_put(struct conn *c)
{
    char payload[PEER_PAYLOAD];

    peer_payload(payload, c->sequence++);
    say_text(c, "put 1024 0 600 100\r\n");
    say(c, payload, sizeof payload);
    say_text(c, "\r\n");
}

static void say_delete(struct conn *c, const char *id)
{
    char line[64];

    say(c, line, (size_t)snprintf(line, sizeof line, "delete %s\r\n", id));
}

static void *open_conn(const struct peer_conf *conf)
{
    struct conn *c = peer_alloc(sizeof *c);
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(conf->address) >= sizeof address.sun_path)
        peer_fail("%s: too long", conf->address);
    strcpy(address.sun_path, conf->address);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0)
        peer_fail("%s: %s", conf->address, strerror(errno));
    say_text(c,
             conf->is_consumer ? "use results\r\nwatch jobs\r\n" : "use jobs\r\nwatch results\r\n");
    say_text(c, "ignore default\r\n");
    for (int i = 0; i < 3; i++)
        expect(c, OTHER);
    return c;
}

static void close_conn(void *conn)
{
    struct conn *c = conn;

    flush(c);
    close(c->fd);
    free(c);
}

static void fill(void *conn, size_t jobs)
{
    struct conn *c = conn;
    size_t sent = 0;

    for (size_t acknowledged = 0; acknowledged < jobs; acknowledged++) {
        for (; sent < jobs && sent - acknowledged < PUTS; sent++)
            say_put(c);
        expect(c, INSERTED);
    }
}

static void drain(void *conn, size_t jobs)
{
    struct conn *c = conn;
    size_t asked = 0;
    char id[32];

    for (; asked < jobs && asked < HELD; asked++)
        say_text(c, "reserve\r\n");
    for (size_t deleted = 0; deleted < jobs;) {
        if (await_reply(c, id) == DELETED) {
            deleted++;
            continue;
        }
        say_delete(c, id);
        if (asked < jobs) {
            asked++;
            say_text(c, "reserve\r\n");
        }
    }
}

/* The result is deleted with the next call's write. */
static void call(void *conn)
{
    struct conn *c = conn;

    if (*c->stale)
        say_delete(c, c->stale);
    say_put(c);
    say_text(c, "reserve\r\n");
    while (await_reply(c, c->stale) != RESERVED)
        continue;
}

static void serve(void *conn, size_t jobs)
{
    struct conn *c = conn;
    char id[32];

    say_text(c, "reserve\r\n");
    for (size_t i = 0; i < jobs; i++) {
        while (await_reply(c, id) != RESERVED)
            continue;
        say_put(c);
        say_delete(c, id);
        if (i + 1 < jobs)
            say_text(c, "reserve\r\n");
    }
    flush(c);
    expect(c, INSERTED);
    expect(c, DELETED);
}

int main(int argc, char **argv)
{
    static const struct peer peer = {
        .name = "beanstalkd",
        .open = open_conn,
        .close = close_conn,
        .fill = fill,
        .drain = drain,
        .call = call,
        .serve = serve,
    };

    return peer_main(argc, argv, &peer);
}
