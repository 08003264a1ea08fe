/* SPDX-License-Identifier: MIT
 *
 * point.c - one point of the space that is measured: so many jobs, of such a size, by so many
 * producers, in so many queues, fill a new deployment; then so many workers drain it. */
#include <stdlib.h>

#include "client/include/jobq/jobq.h"
#include "tests/bench/bench.h"

void bench_load_init(struct bench_load *load, const struct bench_settings *settings)
{
    *load = (struct bench_load){
        .jobs = (size_t)settings->jobs,
        .payload = 100,
        .queues = 1,
        .producers = (size_t)settings->producers,
        .handler = "noop",
        .durability = settings->durability,
    };
}

/* Down to the backlog: how many that were, and how long it took, is what counts. */
static double drain_to(struct jobq_client *client, const struct bench_point *point, uint64_t start)
{
    const size_t all = point->load.jobs + point->backlog;
    uint64_t unfinished;

    do
        unfinished = bench_ask_totals(client).unfinished;
    while (unfinished > point->backlog);
    return (double)(all - unfinished) / (bench_us_since(start) / 1e6);
}

static double drain_by_worker(struct deployment *d, const struct bench_settings *settings,
                              const struct bench_point *point)
{
    struct jobq_client *client = bench_connect(d);
    const uint64_t start = bench_now_ns();
    double rate;

    deployment_start_worker(d, &settings->deployment);
    if (point->backlog) {
        rate = drain_to(client, point, start);
    } else {
        bench_await_drained(client, &point->load);
        rate = (double)point->load.jobs / (bench_us_since(start) / 1e6);
    }
    jobq_close(&client);
    return rate;
}

static void drain_by_sessions(struct deployment *d, const struct bench_point *point,
                              struct bench_rates *rates)
{
    uint64_t start = bench_now_ns();
    struct bench_sessions *sessions = bench_sessions_open(d, point->sessions);

    rates->join = (double)point->sessions / (bench_us_since(start) / 1e6);
    start = bench_now_ns();
    bench_sessions_serve(sessions, point->load.jobs);
    rates->drain = (double)point->load.jobs / (bench_us_since(start) / 1e6);
    bench_sessions_close(&sessions);
}

struct bench_rates bench_measure(struct deployment *d, const struct bench_settings *settings,
                                 const struct bench_point *point)
{
    struct bench_rates rates = { 0, 0, 0 };
    struct bench_load before = point->load;

    deployment_start(d, &settings->deployment);
    bench_declare_all(d, &point->load);
    before.jobs = point->backlog;
    if (point->backlog)
        (void)bench_produce(d, &before);
    rates.submit = (double)point->load.jobs / bench_produce(d, &point->load).seconds;
    if (point->sessions)
        drain_by_sessions(d, point, &rates);
    else
        rates.drain = drain_by_worker(d, settings, point);
    deployment_stop(d);
    return rates;
}
