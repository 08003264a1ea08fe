/* SPDX-License-Identifier: MIT
 *
 * latency.c - one job at a time: the next is submitted when the result of the last is there. In a
 * queue of the durability that was asked for, and in a memory queue. */
#include "client/include/jobq/jobq.h"
#include "tests/bench/bench.h"

enum { ROUNDS = 1000, WARM = 50, PAYLOAD = 100 };

static void measure(struct jobq_client *client, const char *queue, const char *name, int rounds)
{
    static const char payload[PAYLOAD] = { 'p' };
    static double us[ROUNDS];
    struct jobq_job job = JOBQ_JOB_INIT;
    const struct jobq_result *result;
    struct jobq_future *future;

    job.queue = queue;
    job.handler = "noop";
    job.payload = payload;
    job.payload_size = sizeof payload;
    job.flags = JOBQ_JOB_DISCARD;
    for (int i = -WARM; i < rounds; i++) {
        const uint64_t start = bench_now_ns();
        bench_check(jobq_call(client, &job, &future), "call", client);
        bench_check(jobq_future_result(future, -1, &result), "result", client);
        if (i >= 0)
            us[i] = bench_us_since(start);
        jobq_future_free(&future);
    }
    bench_add_percentiles(name, us, (size_t)rounds);
}

void bench_latency(struct deployment *d, const struct bench_settings *settings)
{
    const int rounds = settings->jobs < ROUNDS ? (int)settings->jobs : ROUNDS;

    deployment_start(d, &settings->deployment);
    struct jobq_client *client = bench_connect(d);
    bench_start_workers(d, &settings->deployment, client, 1);
    bench_declare(client, BENCH_QUEUE, settings->durability);
    measure(client, BENCH_QUEUE, "latency", rounds);
    bench_declare(client, "in-memory", JQ_DURABILITY_MEMORY);
    measure(client, "in-memory", "latency_memory", rounds);
    jobq_close(&client);
    deployment_stop(d);
}
