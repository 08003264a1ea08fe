/* SPDX-License-Identifier: MIT
 *
 * wakeup.c - how soon somebody who waits is served: put to the return of a blocked get, and the
 * last task_done to the return of a join. Threads: main puts and settles, one waits; each has a
 * client of its own, as two processes would. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "client/include/jobq/jobq.h"
#include "tests/bench/bench.h"

enum { ROUNDS = 1000, WARM = 50, ITEM_BYTES = 100 };

struct wakeup {
    struct jobq_client *client, *other; /* main's, the waiter's */
    struct jobq_queue *queue, *waited;  /* likewise */
    sem_t begin, over;
    bool is_join, is_end;
    uint64_t ended_ns;
};

/* ---- who waits ---- */

static void wait_once(struct wakeup *w)
{
    struct jobq_item *item = NULL;

    if (w->is_join) {
        bench_check(jobq_join(w->waited, -1), "join", w->other);
        w->ended_ns = bench_now_ns();
        return;
    }
    bench_check(jobq_get(w->waited, -1, &item), "get", w->other);
    w->ended_ns = bench_now_ns();
    bench_check(jobq_task_done(&item), "task_done", w->other);
}

static void take(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        if (errno != EINTR)
            bench_fail("sem_wait: %s", strerror(errno));
}

static void *waiter_main(void *arg)
{
    struct wakeup *w = arg;

    for (;;) {
        take(&w->begin);
        if (w->is_end)
            return NULL;
        wait_once(w);
        sem_post(&w->over);
    }
}

/* ---- who lets it go on ---- */

static double put_to_get(struct wakeup *w)
{
    static const char bytes[ITEM_BYTES] = { 'i' };
    struct jobq_queue_info info = { .size = sizeof info };

    sem_post(&w->begin);
    do
        bench_check(jobq_queue_info(w->queue, &info), "info", w->client);
    while (info.getters == 0);
    const uint64_t start = bench_now_ns();
    bench_check(jobq_put(w->queue, bytes, sizeof bytes, 0, -1), "put", w->client);
    take(&w->over);
    return (double)(w->ended_ns - start) / 1e3;
}

/* Nobody says who waits for a join: a moment is given to it. One that comes later than task_done
 * shows as a join that took no longer than its own way. */
static double done_to_join(struct wakeup *w)
{
    struct jobq_item *item = NULL;

    bench_check(jobq_put(w->queue, "", 0, 0, -1), "put", w->client);
    bench_check(jobq_get(w->queue, -1, &item), "get", w->client);
    sem_post(&w->begin);
    bench_pause_ms(2);
    const uint64_t start = bench_now_ns();
    bench_check(jobq_task_done(&item), "task_done", w->client);
    take(&w->over);
    return (double)(w->ended_ns - start) / 1e3;
}

static void measure(struct wakeup *w, double *us, size_t rounds)
{
    for (size_t i = 0; i < WARM + rounds; i++) {
        const double sample = w->is_join ? done_to_join(w) : put_to_get(w);
        if (i >= WARM)
            us[i - WARM] = sample;
    }
}

/* ---- both ---- */

static void start(struct wakeup *w, const struct deployment *d, enum jq_durability durability,
                  pthread_t *thread)
{
    w->client = bench_connect(d);
    w->other = bench_connect(d);
    bench_declare(w->client, BENCH_QUEUE, durability);
    bench_check(jobq_queue_open(w->client, BENCH_QUEUE, NULL, &w->queue), "open", w->client);
    bench_check(jobq_queue_open(w->other, BENCH_QUEUE, NULL, &w->waited), "open", w->other);
    if (sem_init(&w->begin, 0, 0) != 0 || sem_init(&w->over, 0, 0) != 0 ||
        pthread_create(thread, NULL, waiter_main, w) != 0)
        bench_fail("a thread: %s", strerror(errno));
}

static void stop(struct wakeup *w, pthread_t thread)
{
    w->is_end = true;
    sem_post(&w->begin);
    pthread_join(thread, NULL);
    jobq_queue_free(&w->queue);
    jobq_queue_free(&w->waited);
    jobq_close(&w->client);
    jobq_close(&w->other);
    sem_destroy(&w->begin);
    sem_destroy(&w->over);
}

void bench_wakeups(struct deployment *d, const struct bench_settings *settings)
{
    const size_t rounds = settings->jobs < ROUNDS ? (size_t)settings->jobs : ROUNDS;
    struct wakeup w = { .is_join = false };
    double *us = bench_alloc(rounds, sizeof *us);
    pthread_t thread;

    deployment_start(d, &settings->deployment);
    start(&w, d, settings->durability, &thread);
    measure(&w, us, rounds);
    bench_add_percentiles("wakeup_get", us, rounds);
    w.is_join = true;
    measure(&w, us, rounds);
    bench_add_percentiles("wakeup_join", us, rounds);
    stop(&w, thread);
    free(us);
    deployment_stop(d);
}
