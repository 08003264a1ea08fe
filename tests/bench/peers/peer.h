/* SPDX-License-Identifier: MIT
 *
 * peer.h - what the clients of the comparison share: the command line, the workloads, the clock and
 * the lines of JSON. A client is a struct peer; peer.c times it. README.md says the method. */
#ifndef JQ_TESTS_BENCH_PEER_H
#define JQ_TESTS_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEER_PAYLOAD = 100, /* bytes of a job */
    PEER_WARM = 50,     /* calls before the first that counts */
};

struct peer_conf {
    const char *address;  /* as the client's server wants it: a path, host:port, a URL */
    const char *mode;     /* of the client; "": it has but one */
    const char *workload; /* "fill": W1 and W2, "stream": W3, "call": W4 */
    size_t jobs;
    bool is_consumer; /* this connection takes jobs that another submits */
};

/* A client of one system. `open` of the producer makes the queues. What fails ends the program. */
struct peer {
    const char *name;
    void *(*open)(const struct peer_conf *conf);
    void (*close)(void *conn);
    /* Jobs go in; returns when the server has acknowledged every one. */
    void (*fill)(void *conn, size_t jobs);
    /* Jobs come out, and are acknowledged or deleted; returns when the server has heard it. */
    void (*drain)(void *conn, size_t jobs);
    /* One job, and its result: what `serve` put into the second queue. */
    void (*call)(void *conn);
    /* NULL in this mode: the system has workers of its own. */
    void (*serve)(void *conn, size_t jobs);
    bool (*has_workers)(const struct peer_conf *conf); /* NULL: no */
};

int peer_main(int argc, char **argv, const struct peer *peer);

uint64_t peer_now_ns(void); /* monotonic: the same in both processes */
/* PEER_PAYLOAD bytes that no other index has. */
void peer_payload(char *payload, size_t index);
/* "host:port", into room for 64 bytes. */
int peer_split(const char *address, char *host);
void *peer_alloc(size_t size); /* zeroed */
void peer_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
