/* SPDX-License-Identifier: MIT
 *
 * limits_zmq.c - what ZeroMQ does on this machine between a DEALER and a ROUTER in two contexts,
 * over ipc: round trips, messages one way, and records in batches as large as jobq's frames. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/bench/bench.h"

enum {
    RECORD_BYTES = 100,
    BATCH = 256,
    ROUND_TRIPS = 2000,
    MESSAGES = 100000,
    BATCHES = 4000,
};

struct pair {
    char path[128];
    void *here, *there; /* contexts */
    void *router, *dealer;
    pthread_t thread;
};

/* ---- the other end ---- */

/* An empty message ends it, and is sent back: all before it has arrived then. With `is_echo` every
 * message is. */
static void serve(void *router, bool is_echo)
{
    for (bool last = false; !last;) {
        zmq_msg_t id, body;
        zmq_msg_init(&id);
        zmq_msg_init(&body);
        if (zmq_msg_recv(&id, router, 0) < 0 || zmq_msg_recv(&body, router, 0) < 0)
            bench_fail("zmq: %s", zmq_strerror(zmq_errno()));
        last = zmq_msg_size(&body) == 0;
        if (is_echo || last) {
            zmq_msg_send(&id, router, ZMQ_SNDMORE);
            zmq_msg_send(&body, router, 0);
        }
        zmq_msg_close(&id);
        zmq_msg_close(&body);
    }
}

static void *echo_main(void *router)
{
    serve(router, true);
    return NULL;
}

static void *sink_main(void *router)
{
    serve(router, false);
    return NULL;
}

static void open_pair(struct pair *p, const char *directory, void *(*main)(void *))
{
    const int unbounded = 0;
    char url[160];

    snprintf(p->path, sizeof p->path, "%s/jobq-bench-%d.sock", directory, (int)getpid());
    snprintf(url, sizeof url, "ipc://%s", p->path);
    p->here = zmq_ctx_new();
    p->there = zmq_ctx_new();
    p->router = zmq_socket(p->there, ZMQ_ROUTER);
    p->dealer = zmq_socket(p->here, ZMQ_DEALER);
    zmq_setsockopt(p->router, ZMQ_RCVHWM, &unbounded, sizeof unbounded);
    zmq_setsockopt(p->dealer, ZMQ_SNDHWM, &unbounded, sizeof unbounded);
    if (zmq_bind(p->router, url) != 0 || zmq_connect(p->dealer, url) != 0 ||
        pthread_create(&p->thread, NULL, main, p->router) != 0)
        bench_fail("zmq: %s", zmq_strerror(zmq_errno()));
}

static void close_pair(struct pair *p)
{
    pthread_join(p->thread, NULL);
    zmq_close(p->router);
    zmq_close(p->dealer);
    zmq_ctx_term(p->here);
    zmq_ctx_term(p->there);
    unlink(p->path);
}

/* ---- this end ---- */

static void end(struct pair *p)
{
    char none;

    zmq_send(p->dealer, "", 0, 0);
    zmq_recv(p->dealer, &none, sizeof none, 0);
}

static double one_way(const char *directory, int messages, size_t bytes)
{
    static char block[RECORD_BYTES * BATCH];
    struct pair p;

    open_pair(&p, directory, sink_main);
    const uint64_t start = bench_now_ns();
    for (int i = 0; i < messages; i++)
        zmq_send(p.dealer, block, bytes, 0);
    end(&p);
    const double seconds = bench_us_since(start) / 1e6;
    close_pair(&p);
    return messages / seconds;
}

static void round_trips(const char *directory)
{
    static double us[ROUND_TRIPS];
    char block[RECORD_BYTES] = { 1 };
    struct pair p;

    open_pair(&p, directory, echo_main);
    zmq_send(p.dealer, block, sizeof block, 0); /* connected, warm */
    zmq_recv(p.dealer, block, sizeof block, 0);
    for (int i = 0; i < ROUND_TRIPS; i++) {
        const uint64_t start = bench_now_ns();
        zmq_send(p.dealer, block, sizeof block, 0);
        zmq_recv(p.dealer, block, sizeof block, 0);
        us[i] = bench_us_since(start);
    }
    end(&p);
    close_pair(&p);
    bench_add_percentiles("zmq_round_trip", us, ROUND_TRIPS);
}

void bench_limits_zmq(const char *directory)
{
    round_trips(directory);
    bench_add("zmq_one_way", one_way(directory, MESSAGES, RECORD_BYTES));
    bench_add("zmq_batched", BATCH * one_way(directory, BATCHES, RECORD_BYTES * BATCH));
}
