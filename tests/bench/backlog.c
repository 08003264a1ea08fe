/* SPDX-License-Identifier: MIT
 *
 * backlog.c - what it costs that much is queued: the broker's memory, the store, put and get beside
 * the backlog, and how long a broker that was killed takes until it serves again. */
#include <stdlib.h>

#include "client/include/jobq/jobq.h"
#include "tests/bench/bench.h"

enum { BASE = 10000, ROUNDS = 1000, WARM = 50, ITEM_BYTES = 100 };

static const double MIB = 1 << 20;

/* Each round puts one and takes one, so that the backlog stays as long as it is. */
static void put_and_get(struct jobq_client *client, struct jobq_queue *queue, const char *put_name,
                        const char *get_name, int rounds)
{
    static const char bytes[ITEM_BYTES] = { 'i' };
    static double put_us[ROUNDS], get_us[ROUNDS];
    struct jobq_item *item = NULL;

    for (int i = -WARM; i < rounds; i++) {
        const uint64_t start = bench_now_ns();
        bench_check(jobq_put(queue, bytes, sizeof bytes, 0, -1), "put", client);
        const uint64_t between = bench_now_ns();
        bench_check(jobq_get(queue, -1, &item), "get", client);
        if (i >= 0) {
            get_us[i] = bench_us_since(between);
            put_us[i] = (double)(between - start) / 1e3;
        }
        bench_check(jobq_task_done(&item), "task_done", client);
    }
    bench_add_percentiles(put_name, put_us, (size_t)rounds);
    bench_add_percentiles(get_name, get_us, (size_t)rounds);
}

static void fill(struct deployment *d, const struct bench_settings *settings, size_t count,
                 bool is_measured)
{
    struct bench_load load;

    bench_load_init(&load, settings);
    load.handler = JQ_HANDLER_ITEM;
    load.jobs = count;
    const double seconds = bench_produce(d, &load).seconds;
    if (is_measured)
        bench_add("backlog_fill", (double)count / seconds);
}

static void restart(struct deployment *d, const struct bench_settings *settings, uint64_t expected)
{
    const bool is_lost =
        settings->deployment.memory || settings->durability == JQ_DURABILITY_MEMORY;

    deployment_kill_broker(d);
    const uint64_t start = bench_now_ns();
    deployment_restart_broker(d, &settings->deployment);
    struct jobq_client *client = bench_connect(d);
    const uint64_t unfinished = bench_ask_totals(client).unfinished;
    const double ms = bench_us_since(start) / 1e3;
    if (unfinished != (is_lost ? 0 : expected))
        bench_fail("after the restart %llu of %llu items are there", (unsigned long long)unfinished,
                   (unsigned long long)expected);
    bench_add("restart", ms);
    if (!is_lost)
        bench_add("restart_load", (double)expected / (ms / 1e3));
    bench_add("restart_rss", bench_rss_bytes(d->broker) / MIB);
    jobq_close(&client);
}

void bench_backlog(struct deployment *d, const struct bench_settings *settings)
{
    const size_t all = (size_t)settings->backlog, base = all < BASE ? all : BASE;
    const int rounds = settings->jobs < ROUNDS ? (int)settings->jobs : ROUNDS;
    struct jobq_queue *queue;

    deployment_start(d, &settings->deployment);
    struct jobq_client *client = bench_connect(d);
    bench_declare(client, BENCH_QUEUE, settings->durability);
    bench_check(jobq_queue_open(client, BENCH_QUEUE, NULL, &queue), "open", client);
    const double rss = bench_rss_bytes(d->broker), store = deployment_store_bytes(d);
    fill(d, settings, base, all == base);
    put_and_get(client, queue, "base_put", "base_get", rounds);
    if (all > base)
        fill(d, settings, all - base, true);
    bench_add("backlog_rss", bench_rss_bytes(d->broker) / MIB);
    bench_add("backlog_rss_job", (bench_rss_bytes(d->broker) - rss) / (double)all);
    bench_add("backlog_store", deployment_store_bytes(d) / MIB);
    bench_add("backlog_store_job", (deployment_store_bytes(d) - store) / (double)all);
    put_and_get(client, queue, "backlog_put", "backlog_get", rounds);
    jobq_queue_free(&queue);
    jobq_close(&client);
    restart(d, settings, all);
    deployment_stop(d);
}
