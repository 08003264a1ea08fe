/* SPDX-License-Identifier: MIT
 *
 * items.c - items per second through one client and one thread: put in groups; taken and done, so
 * many in each round trip; and both at the same time, by two clients. */
#include <pthread.h>
#include <stdlib.h>

#include "client/include/jobq/jobq.h"
#include "proto/limits.h"
#include "tests/bench/bench.h"

enum { PAYLOAD = 100, GROUP = 4096, SLOW_SHARE = 10 };

struct taking {
    struct jobq_client *client;
    struct jobq_queue *queue;
    struct jobq_item *items[JQ_JOBS_PER_FRAME];
};

static void open_taking(const struct deployment *d, struct taking *t)
{
    t->client = bench_connect(d);
    bench_check(jobq_queue_open(t->client, BENCH_QUEUE, NULL, &t->queue), "queue", t->client);
}

static void close_taking(struct taking *t)
{
    jobq_queue_free(&t->queue);
    jobq_close(&t->client);
}

/* Groups are not waited for one by one: the call is for all of them. */
static void put(struct taking *t, size_t count)
{
    static const char payload[PAYLOAD];
    struct jobq_put_item *items = bench_alloc(count, sizeof *items);

    for (size_t i = 0; i < count; i++)
        items[i] = (struct jobq_put_item){ .data = payload, .size = PAYLOAD };
    bench_check(jobq_put_many(t->queue, items, count, -1, NULL), "put", t->client);
    free(items);
}

/* Until all are settled. */
static void take(struct taking *t, size_t count, size_t batch)
{
    size_t got = 0;

    for (size_t taken = 0; taken < count; taken += got) {
        const size_t left = count - taken;
        bench_check(jobq_get_many(t->queue, left < batch ? left : batch, -1, t->items, &got), "get",
                    t->client);
        bench_check(jobq_task_done_start(t->items, got), "done", t->client);
    }
    bench_check(jobq_flush(t->client, -1), "flush", t->client);
}

static void take_each(struct taking *t, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bench_check(jobq_get(t->queue, -1, &t->items[0]), "get", t->client);
        bench_check(jobq_task_done(&t->items[0]), "done", t->client);
    }
}

static void add_rate(const char *name, size_t count, uint64_t start_ns)
{
    bench_add(name, (double)count / bench_us_since(start_ns) * 1e6);
}

struct through {
    struct taking *taking;
    size_t count;
};

static void *take_all(void *arg)
{
    const struct through *through = arg;

    take(through->taking, through->count, GROUP);
    return NULL;
}

/* Put and taken at the same time. */
static void run_through(const struct deployment *d, struct taking *putting, size_t count)
{
    static struct taking taking;
    struct through through = { .taking = &taking, .count = count };
    pthread_t thread;

    open_taking(d, &taking);
    const uint64_t start = bench_now_ns();
    const int error = pthread_create(&thread, NULL, take_all, &through);
    if (error)
        bench_fail("a thread: error %d", error);
    put(putting, count);
    pthread_join(thread, NULL);
    add_rate("items_through", count, start);
    close_taking(&taking);
}

void bench_items(struct deployment *d, const struct bench_settings *settings)
{
    static const struct {
        const char *name;
        size_t batch;
    } takes[] = { { "items_take_1", 1 },
                  { "items_take_8", 8 },
                  { "items_take_64", 64 },
                  { "items_take", GROUP } };
    static struct taking t;
    const size_t count = (size_t)settings->jobs;
    const size_t slow = count / SLOW_SHARE ? count / SLOW_SHARE : 1;

    deployment_start(d, &settings->deployment);
    open_taking(d, &t);
    bench_declare(t.client, BENCH_QUEUE, settings->durability);
    put(&t, slow / SLOW_SHARE + 1);
    uint64_t start = bench_now_ns();
    take_each(&t, slow / SLOW_SHARE + 1);
    add_rate("items_each", slow / SLOW_SHARE + 1, start);
    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++) {
        const size_t some = takes[i].batch < GROUP ? slow : count;
        start = bench_now_ns();
        put(&t, some);
        if (some == count)
            add_rate("items_put", some, start);
        start = bench_now_ns();
        take(&t, some, takes[i].batch);
        add_rate(takes[i].name, some, start);
    }
    run_through(d, &t, count);
    close_taking(&t);
    deployment_stop(d);
}
