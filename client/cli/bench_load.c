/* SPDX-License-Identifier: MIT
 *
 * bench_load.c - the producers of jobq bench: threads with a connection each that begin together.
 * What they have sent they wait for whatever happens, so that nothing is under way when the queue
 * is removed. */
#include <pthread.h>

#include "client/cli/bench.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"

enum { GROUP = 4096, FLUSH_MS = 10000 };

struct start; /* of all at once */
enum word { HOLD, GO, FORGET };

struct producer {
    struct jq_bench *bench;
    struct start *start;
    struct jobq_client *client;
    struct jobq_queue *queue;
    const struct jobq_job *group; /* GROUP times the same */
    size_t count;
    int (*work)(struct producer *p);
    int error;
    uint64_t end_ns;
    pthread_t thread;
};

struct start {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum word word;
};

/* ---- what a producer does ---- */

/* After the time or a signal, what was sent gets a while more. */
static int flush(struct producer *p)
{
    const jq_ms late = jq_ms_add(jq_clock_now().mono, FLUSH_MS);

    for (;;) {
        const int error = jobq_flush(p->client, JQ_BENCH_SLICE_MS);
        if (error != JOBQ_ETIMEDOUT)
            return error;
        if (jq_bench_over(p->bench) && jq_clock_now().mono > late)
            return error;
    }
}

static int submit(struct producer *p)
{
    int error = 0;

    for (size_t left = p->count; error == 0 && left > 0;) {
        const size_t size = left < GROUP ? left : GROUP;
        if (jq_bench_over(p->bench))
            error = JOBQ_ETIMEDOUT;
        else
            error = jobq_submit_many(p->client, p->group, size, NULL);
        left -= size;
    }
    const int flushed = flush(p);
    return error ? error : flushed;
}

static int take(struct producer *p)
{
    struct jobq_item *item = NULL;
    int error = 0;

    for (size_t i = 0; error == 0 && i < p->count;) {
        if (jq_bench_over(p->bench))
            return JOBQ_ETIMEDOUT;
        error = jobq_get(p->queue, jq_bench_slice(p->bench), &item);
        if (error == JOBQ_EEMPTY) {
            error = 0;
            continue;
        }
        if (error == 0)
            error = jobq_task_done(&item);
        i++;
    }
    jobq_item_free(&item);
    return error;
}

/* So many in a round trip, and nobody waits for the answer to a done but the flush. */
static int take_many(struct producer *p)
{
    enum { BATCH = 1024 };
    struct jobq_item *items[BATCH];
    size_t got;
    int error = 0;

    for (size_t left = p->count; error == 0 && left > 0;) {
        if (jq_bench_over(p->bench))
            return JOBQ_ETIMEDOUT;
        error = jobq_get_many(p->queue, left < BATCH ? left : BATCH, jq_bench_slice(p->bench),
                              items, &got);
        if (error == JOBQ_EEMPTY) {
            error = 0;
            continue;
        }
        if (error == 0)
            error = jobq_task_done_start(items, got);
        if (error == 0)
            left -= got;
    }
    const int flushed = flush(p);
    return error ? error : flushed;
}

/* ---- all of them ---- */

static void *producer_main(void *arg)
{
    struct producer *p = arg;
    struct start *start = p->start;

    pthread_mutex_lock(&start->lock);
    while (start->word == HOLD)
        pthread_cond_wait(&start->changed, &start->lock);
    const bool go = start->word == GO;
    pthread_mutex_unlock(&start->lock);
    if (go)
        p->error = p->work(p);
    p->end_ns = jq_clock_mono_ns();
    return NULL;
}

static void say(struct start *start, enum word word)
{
    pthread_mutex_lock(&start->lock);
    start->word = word;
    pthread_cond_broadcast(&start->changed);
    pthread_mutex_unlock(&start->lock);
}

/* The first error of any; the span ends with the last. */
static int run_all(struct jq_bench *b, const struct producer *common, size_t count,
                   struct jq_bench_span *ret_span)
{
    struct start start = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, HOLD };
    struct producer all[JQ_BENCH_PRODUCERS_MAX];
    const size_t producers = (size_t)b->producers;
    size_t made = 0;
    int error = 0;

    for (size_t i = 0; error == 0 && i < producers; i++) {
        all[i] = *common;
        all[i].start = &start;
        all[i].client = b->clients[i];
        all[i].queue = b->queues[i];
        all[i].count = count * (i + 1) / producers - count * i / producers;
        if (pthread_create(&all[i].thread, NULL, producer_main, &all[i]) == 0)
            made++;
        else
            error = JOBQ_ENOMEM;
    }
    ret_span->start_ns = ret_span->end_ns = jq_clock_mono_ns();
    say(&start, error ? FORGET : GO);
    for (size_t i = 0; i < made; i++) {
        pthread_join(all[i].thread, NULL);
        if (all[i].end_ns > ret_span->end_ns)
            ret_span->end_ns = all[i].end_ns;
        if (error == 0)
            error = all[i].error;
    }
    return error;
}

int jq_bench_produce(struct jq_bench *b, const char *handler, size_t count,
                     struct jq_bench_span *ret_span)
{
    struct producer common = { .bench = b, .work = submit };
    struct jobq_job job = JOBQ_JOB_INIT;
    struct jobq_job *group = jq_alloc_zero(GROUP, sizeof *group);

    if (!group)
        return jq_bench_failed(b, JOBQ_ENOMEM, "submit");
    job.queue = b->queue_name;
    job.handler = handler;
    job.payload = b->payload;
    job.payload_size = (size_t)b->payload_bytes;
    job.flags = JOBQ_JOB_DISCARD;
    for (size_t i = 0; i < GROUP; i++)
        group[i] = job;
    common.group = group;
    const int error = run_all(b, &common, count, ret_span);
    jq_free(group);
    return error ? jq_bench_failed(b, error, "submit") : 0;
}

int jq_bench_take(struct jq_bench *b, size_t count, bool many, struct jq_bench_span *ret_span)
{
    const struct producer common = { .bench = b, .work = many ? take_many : take };
    const int error = run_all(b, &common, count, ret_span);

    return error ? jq_bench_failed(b, error, "get and done") : 0;
}

double jq_bench_rate(size_t count, const struct jq_bench_span *span)
{
    return (double)count / ((double)(span->end_ns - span->start_ns + 1) / 1e9);
}
