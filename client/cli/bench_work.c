/* SPDX-License-Identifier: MIT
 *
 * bench_work.c - the workloads of jobq bench. Each leaves the queue empty, and adds its figures
 * only when it came to its end. */
#include <stdio.h>

#include "client/cli/bench.h"
#include "proto/base/clock.h"

enum {
    ONE_BY_ONE = 300, /* rounds of what is done one at a time, and before them: */
    WARM = 20,
    TAKEN_MAX = 2000,
};

static void add(struct jq_bench *b, enum jq_bench_figure figure, double sample)
{
    jq_figure_add(&b->figures[figure], sample);
}

/* p50, and as the next figure p99. */
static void add_percentiles(struct jq_bench *b, enum jq_bench_figure figure, double *us)
{
    add(b, figure, jq_percentile(us, ONE_BY_ONE, 50));
    add(b, figure + 1, jq_percentile(us, ONE_BY_ONE, 99));
}

static double us_since(uint64_t start_ns)
{
    return (double)(jq_clock_mono_ns() - start_ns) / 1e3;
}

int jq_bench_ping(struct jq_bench *b)
{
    double us[ONE_BY_ONE];
    int status = 0;

    for (int i = -WARM; i < ONE_BY_ONE; i++) {
        const uint64_t start = jq_clock_mono_ns();
        const int error = jobq_ping(b->cli->client, jq_bench_left(b), NULL);
        if (i >= 0)
            us[i] = us_since(start);
        status = error ? jq_bench_failed(b, error, "ping") : jq_bench_over(b);
        if (status != 0)
            return status;
    }
    add_percentiles(b, JQ_BENCH_PING_P50, us);
    return 0;
}

/* ---- jobs ---- */

static int join(struct jq_bench *b)
{
    for (;;) {
        const int error = jobq_join(b->queue, jq_bench_slice(b));
        if (error == 0)
            return 0;
        if (error != JOBQ_ETIMEDOUT || jq_bench_over(b))
            return jq_bench_failed(b, error, "join");
    }
}

/* Paused meanwhile: nothing runs while it is filled. */
static int enqueue(struct jq_bench *b)
{
    const size_t jobs = (size_t)b->jobs;
    struct jq_bench_span span;
    int error = jobq_queue_pause(b->queue);

    if (error != 0)
        return jq_bench_failed(b, error, "pause");
    int status = jq_bench_produce(b, "noop", jobs, &span);
    if (status != 0)
        return status;
    add(b, JQ_BENCH_ENQUEUE, jq_bench_rate(jobs, &span));
    span.start_ns = jq_clock_mono_ns();
    error = jobq_queue_resume(b->queue);
    status = error ? jq_bench_failed(b, error, "resume") : join(b);
    span.end_ns = jq_clock_mono_ns();
    if (status == 0)
        add(b, JQ_BENCH_DRAIN, jq_bench_rate(jobs, &span));
    return status;
}

static int end_to_end(struct jq_bench *b)
{
    const size_t jobs = (size_t)b->jobs;
    struct jq_bench_span span;
    int status = jq_bench_produce(b, "noop", jobs, &span);

    if (status == 0)
        status = join(b);
    span.end_ns = jq_clock_mono_ns();
    if (status == 0)
        add(b, JQ_BENCH_END_TO_END, jq_bench_rate(jobs, &span));
    return status;
}

static int call_once(struct jq_bench *b, const struct jobq_job *job)
{
    const struct jobq_result *result;
    struct jobq_future *future = NULL;
    int error = jobq_call(b->clients[0], job, &future);

    while (error == 0) {
        error = jobq_future_result(future, jq_bench_slice(b), &result);
        if (error != JOBQ_ETIMEDOUT || jq_bench_over(b))
            break;
        error = 0;
    }
    jobq_future_free(&future);
    return error ? jq_bench_failed(b, error, "a job") : jq_bench_over(b);
}

static int latency(struct jq_bench *b)
{
    double us[ONE_BY_ONE];
    struct jobq_job job = JOBQ_JOB_INIT;
    int status = 0;

    job.queue = b->queue_name;
    job.handler = "noop";
    job.payload = b->payload;
    job.payload_size = (size_t)b->payload_bytes;
    job.flags = JOBQ_JOB_DISCARD;
    for (int i = -WARM; status == 0 && i < ONE_BY_ONE; i++) {
        const uint64_t start = jq_clock_mono_ns();
        status = call_once(b, &job);
        if (i >= 0)
            us[i] = us_since(start);
    }
    if (status == 0)
        add_percentiles(b, JQ_BENCH_LATENCY_P50, us);
    return status;
}

/* ---- items ---- */

static int take(struct jq_bench *b, size_t count, bool many)
{
    struct jq_bench_span span;
    const int status = jq_bench_take(b, count, many, &span);

    if (status == 0)
        add(b, many ? JQ_BENCH_TAKE_MANY : JQ_BENCH_TAKE, jq_bench_rate(count, &span));
    return status;
}

/* Some one at a time, which is slow, the rest together. */
static int items(struct jq_bench *b)
{
    const size_t count = (size_t)b->jobs;
    const size_t half = count / 2, each = half < TAKEN_MAX ? half : TAKEN_MAX;
    struct jq_bench_span put;
    int status = jq_bench_produce(b, JQ_HANDLER_ITEM, count, &put);

    if (status != 0)
        return status;
    add(b, JQ_BENCH_PUT, jq_bench_rate(count, &put));
    if (each > 0)
        status = take(b, each, false);
    return status ? status : take(b, count - each, true);
}

static int item_once(struct jq_bench *b, double us[3])
{
    struct jobq_queue *queue = b->queues[0];
    struct jobq_item *item = NULL;
    uint64_t start = jq_clock_mono_ns();
    int error = jobq_put(queue, b->payload, (size_t)b->payload_bytes, 0, jq_bench_left(b));

    us[0] = us_since(start);
    if (error != 0)
        return jq_bench_failed(b, error, "put");
    start = jq_clock_mono_ns();
    error = jobq_get(queue, jq_bench_left(b), &item);
    us[1] = us_since(start);
    if (error != 0)
        return jq_bench_failed(b, error, "get");
    start = jq_clock_mono_ns();
    error = jobq_task_done(&item);
    us[2] = us_since(start);
    jobq_item_free(&item);
    return error ? jq_bench_failed(b, error, "done") : jq_bench_over(b);
}

static int item_latency(struct jq_bench *b)
{
    double put[ONE_BY_ONE], get[ONE_BY_ONE], done[ONE_BY_ONE];
    int status = 0;

    for (int i = -WARM; status == 0 && i < ONE_BY_ONE; i++) {
        double us[3] = { 0, 0, 0 };
        status = item_once(b, us);
        if (i < 0)
            continue;
        put[i] = us[0];
        get[i] = us[1];
        done[i] = us[2];
    }
    if (status != 0)
        return status;
    add_percentiles(b, JQ_BENCH_PUT_P50, put);
    add_percentiles(b, JQ_BENCH_GET_P50, get);
    add_percentiles(b, JQ_BENCH_DONE_P50, done);
    return 0;
}

const struct jq_bench_workload jq_bench_workloads[] = {
    { "enqueue", "jobs into a paused queue, then out of it", true, enqueue },
    { "end_to_end", "jobs submitted and run at the same time", true, end_to_end },
    { "latency", "one job at a time, from submit to result", true, latency },
    { "items", "items into the queue, and out of it by get and done", false, items },
    { "item_latency", "one put, get and done at a time", false, item_latency },
};
const size_t jq_bench_workload_count = sizeof jq_bench_workloads / sizeof *jq_bench_workloads;
