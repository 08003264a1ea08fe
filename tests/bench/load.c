/* SPDX-License-Identifier: MIT
 *
 * load.c - what is put on the broker: producers, each a thread with a client of its own, that
 * begin together; what the broker says of it; waiting for its end. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/include/jobq/jobq.h"
#include "client/request.h"
#include "tests/bench/bench.h"

enum { NAME_BYTES = 32, REQUEST_MS = 60000 };

void bench_check(int error, const char *what, struct jobq_client *client)
{
    if (error < 0)
        bench_fail("%s: %s (%s)", what, jobq_strerror(error), client ? jobq_errdetail(client) : "");
}

struct jobq_client *bench_connect(const struct deployment *d)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client;

    options.url = d->url;
    options.timeout_ms = REQUEST_MS;
    bench_check(jobq_open(&options, &client), "connect", NULL);
    return client;
}

/* ---- queues ---- */

static void queue_name(char name[NAME_BYTES], size_t index)
{
    if (index == 0)
        snprintf(name, NAME_BYTES, BENCH_QUEUE);
    else
        snprintf(name, NAME_BYTES, BENCH_QUEUE "-%zu", index);
}

void bench_declare(struct jobq_client *client, const char *queue, enum jq_durability durability)
{
    struct jq_buf conf = { 0 };
    struct jq_answer answer;

    jq_queue_conf_write(&conf, &(struct jq_queue_conf){ .order = jq_view_str("fifo"),
                                                        .durability = (uint64_t)durability });
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .u.queue_set = { .name = jq_view_str(queue),
                         .mode = JQ_QUEUE_DECLARE,
                         .fields = JQ_QUEUE_DURABILITY,
                         .conf = jq_records_of(1, &conf) },
    };
    bench_check(jq_request(client, &msg, REQUEST_MS, &answer), "queue set", client);
    jq_answer_fini(&answer);
    jq_buf_fini(&conf);
}

void bench_declare_all(const struct deployment *d, const struct bench_load *load)
{
    struct jobq_client *client;
    char name[NAME_BYTES];

    if (load->durability == JQ_DURABILITY_FULL)
        return; /* the first submit makes it so */
    client = bench_connect(d);
    for (size_t i = 0; i < load->queues; i++) {
        queue_name(name, i);
        bench_declare(client, name, load->durability);
    }
    jobq_close(&client);
}

/* ---- producers ---- */

struct producer {
    const struct deployment *deployment;
    const struct bench_load *load;
    char (*names)[NAME_BYTES];
    const void *payload;
    pthread_barrier_t *begin;
    size_t first, count; /* of the load's jobs */
    pthread_t thread;
};

static struct jobq_job *make_jobs(const struct producer *p)
{
    const struct bench_load *load = p->load;
    struct jobq_job *jobs = bench_alloc(p->count, sizeof *jobs);

    for (size_t i = 0; i < p->count; i++) {
        jobs[i] = (struct jobq_job)JOBQ_JOB_INIT;
        jobs[i].queue = p->names[(p->first + i) % load->queues];
        jobs[i].handler = load->handler;
        jobs[i].payload = p->payload;
        jobs[i].payload_size = load->payload;
        jobs[i].flags = load->with_results ? 0 : JOBQ_JOB_DISCARD;
    }
    return jobs;
}

static void await_results(struct jobq_client *client, struct jobq_future **futures, size_t count)
{
    size_t failed = 0;

    bench_check(jobq_wait_all(client, futures, count, -1, &failed), "wait", client);
    if (failed)
        bench_fail("%zu jobs failed", failed);
}

static void *producer_main(void *arg)
{
    const struct producer *p = arg;
    struct jobq_job *jobs = make_jobs(p);
    struct jobq_client *client = bench_connect(p->deployment);
    struct jobq_future **futures =
        p->load->with_results ? bench_alloc(p->count, sizeof *futures) : NULL;

    pthread_barrier_wait(p->begin);
    bench_check(jobq_submit_many(client, jobs, p->count, futures), "submit", client);
    if (futures)
        await_results(client, futures, p->count);
    else
        bench_check(jobq_flush(client, -1), "flush", client);
    pthread_barrier_wait(p->begin);
    for (size_t i = 0; futures && i < p->count; i++)
        jobq_future_free(&futures[i]);
    jobq_close(&client);
    free(futures);
    free(jobs);
    return NULL;
}

static void start_producers(struct producer *producers, const struct producer *common)
{
    const size_t count = common->load->producers, jobs = common->load->jobs;

    for (size_t i = 0; i < count; i++) {
        producers[i] = *common;
        producers[i].first = jobs * i / count;
        producers[i].count = jobs * (i + 1) / count - producers[i].first;
        if (pthread_create(&producers[i].thread, NULL, producer_main, &producers[i]) != 0)
            bench_fail("no thread for a producer");
    }
}

struct bench_span bench_produce(const struct deployment *d, const struct bench_load *load)
{
    struct producer *producers = bench_alloc(load->producers, sizeof *producers);
    char(*names)[NAME_BYTES] = bench_alloc(load->queues, sizeof *names);
    char *payload = bench_alloc(load->payload, 1);
    pthread_barrier_t begin;

    memset(payload, 'p', load->payload);
    for (size_t i = 0; i < load->queues; i++)
        queue_name(names[i], i);
    pthread_barrier_init(&begin, NULL, (unsigned)load->producers + 1);
    const struct producer common = { .deployment = d,
                                     .load = load,
                                     .names = names,
                                     .payload = load->packed ? load->packed : payload,
                                     .begin = &begin };
    start_producers(producers, &common);
    pthread_barrier_wait(&begin);
    const uint64_t start = bench_now_ns();
    pthread_barrier_wait(&begin);
    const double seconds = bench_us_since(start) / 1e6;
    for (size_t i = 0; i < load->producers; i++)
        pthread_join(producers[i].thread, NULL);
    pthread_barrier_destroy(&begin);
    free(payload);
    free(names);
    free(producers);
    return (struct bench_span){ start, seconds };
}

/* ---- what the broker says ---- */

struct bench_totals bench_ask_totals(struct jobq_client *client)
{
    const struct jq_msg msg = { .tag = JQ_MSG_STATS };
    struct bench_totals totals = { 0, 0 };
    struct jq_answer answer;
    struct jq_queue_info queue;

    bench_check(jq_request(client, &msg, REQUEST_MS, &answer), "stats", client);
    for (struct jq_reader r = jq_records_reader(answer.msg.u.statistics.queues);
         jq_queue_info_next(&r, &queue);)
        totals.unfinished += queue.unfinished;
    totals.workers = answer.msg.u.statistics.workers.count;
    jq_answer_fini(&answer);
    return totals;
}

/* One queue says when it is empty. Many are asked, so seldom that it does not matter. */
void bench_await_drained(struct jobq_client *client, const struct bench_load *load)
{
    struct jobq_queue *queue;

    if (load->queues > 1) {
        while (bench_ask_totals(client).unfinished > 0)
            bench_pause_ms(20);
        return;
    }
    bench_check(jobq_queue_open(client, BENCH_QUEUE, NULL, &queue), "open", client);
    bench_check(jobq_join(queue, -1), "join", client);
    jobq_queue_free(&queue);
}

void bench_start_workers(struct deployment *d, const struct deployment_conf *conf,
                         struct jobq_client *client, size_t count)
{
    for (size_t i = 0; i < count; i++)
        deployment_start_worker(d, conf);
    while (bench_ask_totals(client).workers < count)
        bench_pause_ms(2);
}
