/* SPDX-License-Identifier: MIT
 *
 * idle.c - what a deployment costs that has nothing to do: real jobq-workers with their heartbeats,
 * and the broker that hears them. */
#include "client/include/jobq/jobq.h"
#include "tests/bench/bench.h"

enum { QUIET_MS = 1000 }; /* after the start; nothing depends on it but the figure */

static double cpu_of_workers(const struct deployment *d)
{
    double us = 0;

    for (size_t i = 0; i < d->worker_count; i++)
        us += bench_cpu_us(d->workers[i]);
    return us;
}

void bench_idle(struct deployment *d, const struct bench_settings *settings)
{
    const size_t count = (size_t)settings->idle_workers;

    deployment_start(d, &settings->deployment);
    struct jobq_client *client = bench_connect(d);
    bench_start_workers(d, &settings->deployment, client, count);
    jobq_close(&client);
    bench_pause_ms(QUIET_MS);
    const double broker = bench_cpu_us(d->broker), workers = cpu_of_workers(d);
    const uint64_t start = bench_now_ns();
    bench_pause_ms(settings->idle_seconds * 1000);
    const double us = bench_us_since(start);
    bench_add("idle_broker", (bench_cpu_us(d->broker) - broker) / us * 100);
    bench_add("idle_worker", (cpu_of_workers(d) - workers) / us * 100 / (double)count);
    deployment_stop(d);
}
