/* SPDX-License-Identifier: MIT
 *
 * throughput.c - jobs per second: filling a queue and draining it, and both at the same time,
 * nothing kept or every result waited for. */
#include "client/include/jobq/jobq.h"
#include "tests/bench/bench.h"

void bench_submit(struct deployment *d, const struct bench_settings *settings)
{
    struct bench_point point = { .sessions = 0 };

    bench_load_init(&point.load, settings);
    const struct bench_rates rates = bench_measure(d, settings, &point);
    bench_add("submit", rates.submit);
    bench_add("drain", rates.drain);
}

/* From the first submit until nothing is unfinished, or all results are there; jobs per second. */
static double through(struct deployment *d, const struct bench_settings *settings,
                      const struct bench_load *load)
{
    deployment_start(d, &settings->deployment);
    bench_declare_all(d, load);
    struct jobq_client *client = bench_connect(d);
    bench_start_workers(d, &settings->deployment, client, 1);
    const struct bench_span span = bench_produce(d, load);
    double seconds = span.seconds;
    if (!load->with_results) {
        bench_await_drained(client, load);
        seconds = bench_us_since(span.start_ns) / 1e6;
    }
    jobq_close(&client);
    deployment_stop(d);
    return (double)load->jobs / seconds;
}

void bench_end_to_end(struct deployment *d, const struct bench_settings *settings)
{
    struct bench_load load;

    bench_load_init(&load, settings);
    bench_add("end_to_end", through(d, settings, &load));
    bench_add("broker_cpu", d->broker_cpu_us * 1e3 / (double)load.jobs);
    bench_add("worker_cpu", d->worker_cpu_us * 1e3 / (double)load.jobs);
}

void bench_results(struct deployment *d, const struct bench_settings *settings)
{
    struct bench_load load;

    if (settings->durability == JQ_DURABILITY_MEMORY)
        return; /* jobs of a memory queue are gone when they have ended: there is no result */
    bench_load_init(&load, settings);
    load.with_results = true;
    bench_add("results", through(d, settings, &load));
}
