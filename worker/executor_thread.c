/* SPDX-License-Identifier: MIT
 *
 * executor_thread.c - handlers on OS threads, a slot each.
 *
 * One lock guards the two lists, `waiting` and `ended`, and what is running; no handler runs with
 * it held. A thread swaps what it has ended for what it runs next in one step, so each run costs
 * one lock at most. The eventfd is written when `ended` stops being empty, so a busy pool makes few
 * system calls. Quick handlers (handlers.h) are run by whoever submits them: handing them to a
 * thread and back would take longer.
 *
 * Every thread has run every handler's init when the pool is open, and every fini when it is
 * closed. */
#include "worker/executor.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "worker/slot.h"

enum { CLOSE_S = 1 }; /* for handlers that were cancelled to return, when the process leaves */

struct thread_executor;

struct pool_thread {
    struct thread_executor *pool;
    pthread_t thread;
    struct jq_run *running; /* under the lock */
    struct jq_slot slot;    /* this thread's alone, but for cancelling */
};

struct thread_executor {
    struct jq_executor base;
    struct jq_slot_conf conf;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t turned; /* a thread has begun, or has left its last run */
    struct jq_run_list waiting;
    struct jq_run_list ended;
    bool closing;
    uint32_t idle;
    uint32_t begun;          /* threads whose handlers' init has run, or has failed */
    enum jq_err begin_err;   /* the first that failed, */
    struct jq_detail detail; /* and why */
    int event;
    struct jq_call quick; /* the loop's, for quick handlers */
    struct jq_call_tools tools;
    struct jq_buf scratch;
    uint32_t count;
    struct pool_thread threads[];
};

static struct thread_executor *pool_of(const struct jq_executor *executor)
{
    return (struct thread_executor *)(uintptr_t)executor;
}

/* --- the threads' side --- */

/* Lock held. */
static bool put_ended(struct thread_executor *pool, struct jq_run_list *runs)
{
    const bool was_empty = pool->ended.count == 0;
    jq_run_list_join(&pool->ended, runs);
    return was_empty && pool->ended.count > 0;
}

static void wake_loop(const struct thread_executor *pool)
{
    const uint64_t one = 1;
    /* EAGAIN would mean that it is readable already. */
    const ssize_t written = write(pool->event, &one, sizeof one);
    JQ_CHECK(written == (ssize_t)sizeof one || errno == EAGAIN);
}

static bool thread_begin(struct pool_thread *self)
{
    struct thread_executor *pool = self->pool;
    struct jq_detail detail = { "" };
    const uint32_t number = (uint32_t)(self - pool->threads);
    const enum jq_err err = jq_slot_init(&self->slot, &pool->conf, number, &detail);
    (void)pthread_mutex_lock(&pool->lock);
    if (err != JQ_OK && pool->begin_err == JQ_OK) {
        pool->begin_err = err;
        pool->detail = detail;
    }
    pool->begun++;
    (void)pthread_cond_signal(&pool->turned);
    (void)pthread_mutex_unlock(&pool->lock);
    return err == JQ_OK;
}

static void *thread_main(void *arg)
{
    struct pool_thread *self = arg;
    struct thread_executor *pool = self->pool;
    struct jq_run_list runs = { 0 };
    if (!thread_begin(self))
        return NULL;
    for (;;) {
        (void)pthread_mutex_lock(&pool->lock);
        self->running = NULL;
        const bool wake = put_ended(pool, &runs);
        if (wake && pool->waiting.count == 0) {
            /* About to sleep: tell the loop first. */
            (void)pthread_mutex_unlock(&pool->lock);
            wake_loop(pool);
            (void)pthread_mutex_lock(&pool->lock);
        } else if (wake) {
            wake_loop(pool);
        }
        pool->idle++;
        while (pool->waiting.count == 0 && !pool->closing)
            (void)pthread_cond_wait(&pool->work, &pool->lock);
        pool->idle--;
        if (pool->closing)
            break;
        jq_run_list_push(&runs, jq_run_list_pop(&pool->waiting));
        if (pool->waiting.count > 0 && pool->idle > 0)
            (void)pthread_cond_signal(&pool->work); /* each wakes the next while there is work */
        self->running = runs.first;
        jq_slot_reset(&self->slot);
        (void)pthread_mutex_unlock(&pool->lock);
        jq_slot_run(&self->slot, runs.first);
    }
    (void)pthread_cond_signal(&pool->turned);
    (void)pthread_mutex_unlock(&pool->lock);
    jq_slot_fini(&self->slot);
    return NULL;
}

/* --- the loop's side --- */

static void run_quick(struct thread_executor *pool, struct jq_run_list *runs)
{
    static const atomic_bool never;
    const struct jq_now from = jq_clock_now();
    const uint64_t from_ns = jq_clock_mono_ns();
    struct jq_call *call = &pool->quick;
    call->tools = &pool->tools;
    call->cancelled = &never;
    for (struct jq_run *run = runs->first; run != NULL; run = run->next) {
        struct jq_outcome outcome = { .started_at = from.wall, .ended_at = from.wall };
        jq_call_begin(call, run);
        jq_call_end(call, run->found->offered.run(&call->base, NULL), &outcome);
        jq_run_end(run, &outcome, &pool->scratch);
    }
    const uint64_t each_us = (jq_clock_mono_ns() - from_ns) / runs->count / 1000;
    for (struct jq_run *run = runs->first; run != NULL; run = run->next)
        run->wall_us = each_us;
}

static void wait_for_threads(struct thread_executor *pool, struct jq_run_list *runs)
{
    (void)pthread_mutex_lock(&pool->lock);
    jq_run_list_join(&pool->waiting, runs);
    const uint32_t idle = pool->idle;
    (void)pthread_mutex_unlock(&pool->lock);
    if (idle > 0)
        (void)pthread_cond_signal(&pool->work);
}

static enum jq_err pool_submit(struct jq_executor *executor, struct jq_run_list *runs)
{
    struct thread_executor *pool = pool_of(executor);
    struct jq_run_list quick = { 0 };
    struct jq_run_list others = { 0 };
    for (struct jq_run *run; (run = jq_run_list_pop(runs)) != NULL;) {
        run->found = jq_handlers_find(pool->conf.handlers, run->handler);
        jq_run_list_push(run->found != NULL && run->found->quick ? &quick : &others, run);
    }
    if (others.count > 0)
        wait_for_threads(pool, &others);
    if (quick.count > 0)
        run_quick(pool, &quick);
    *runs = quick;
    return JQ_OK;
}

static void pool_cancel(struct jq_executor *executor, struct jq_run *run, jq_ms grace_ms)
{
    (void)grace_ms; /* a thread cannot be killed */
    struct thread_executor *pool = pool_of(executor);
    bool wake = false;
    (void)pthread_mutex_lock(&pool->lock);
    for (uint32_t i = 0; i < pool->count; i++) {
        if (pool->threads[i].running == run)
            jq_slot_cancel(&pool->threads[i].slot);
    }
    if (jq_run_list_remove(&pool->waiting, run)) {
        struct jq_buf scratch = { 0 };
        struct jq_outcome outcome = { 0 };
        jq_slot_end_cancelled(run, &outcome, &scratch);
        jq_buf_fini(&scratch);
        struct jq_run_list one = { 0 };
        jq_run_list_push(&one, run);
        wake = put_ended(pool, &one);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (wake)
        wake_loop(pool);
}

static struct jq_run_list pool_recall(struct jq_executor *executor)
{
    struct thread_executor *pool = pool_of(executor);
    (void)pthread_mutex_lock(&pool->lock);
    const struct jq_run_list runs = pool->waiting;
    pool->waiting = (struct jq_run_list){ 0 };
    (void)pthread_mutex_unlock(&pool->lock);
    return runs;
}

static int pool_fd(const struct jq_executor *executor)
{
    return pool_of(executor)->event;
}

static bool pool_wants_write(const struct jq_executor *executor)
{
    (void)executor;
    return false;
}

static void pool_collect(struct jq_executor *executor, struct jq_collected *ret)
{
    struct thread_executor *pool = pool_of(executor);
    *ret = (struct jq_collected){ 0 };
    uint64_t count;
    /* Before the list: a run that ends in between writes the event again. */
    const ssize_t got = read(pool->event, &count, sizeof count);
    JQ_CHECK(got == (ssize_t)sizeof count || errno == EAGAIN);
    (void)pthread_mutex_lock(&pool->lock);
    ret->runs = pool->ended;
    pool->ended = (struct jq_run_list){ 0 };
    (void)pthread_mutex_unlock(&pool->lock);
}

static bool runs_any(const struct thread_executor *pool)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        if (pool->threads[i].running != NULL)
            return true;
    }
    return false;
}

/* Asks all to end, and gives those that run a handler a moment for it. */
static bool end_runs(struct thread_executor *pool)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CLOSE_S;
    (void)pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    for (uint32_t i = 0; i < pool->count; i++) {
        if (pool->threads[i].running != NULL)
            jq_slot_cancel(&pool->threads[i].slot);
    }
    (void)pthread_cond_broadcast(&pool->work);
    while (runs_any(pool) && pthread_cond_timedwait(&pool->turned, &pool->lock, &until) == 0)
        continue;
    const bool ended = !runs_any(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    return ended;
}

static bool pool_close(struct jq_executor **executor)
{
    if (*executor == NULL)
        return true;
    struct thread_executor *pool = pool_of(*executor);
    *executor = NULL;
    if (!end_runs(pool))
        return false; /* a thread cannot be ended, and what it uses not be freed */
    for (uint32_t i = 0; i < pool->count; i++)
        (void)pthread_join(pool->threads[i].thread, NULL);
    jq_run_list_free(&pool->waiting);
    jq_run_list_free(&pool->ended);
    jq_call_tools_fini(&pool->tools);
    jq_buf_fini(&pool->scratch);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_cond_destroy(&pool->turned);
    (void)pthread_mutex_destroy(&pool->lock);
    (void)close(pool->event);
    jq_free(pool);
    return true;
}

static const struct jq_executor_ops thread_ops = {
    .name = "thread",
    .submit = pool_submit,
    .cancel = pool_cancel,
    .recall = pool_recall,
    .fd = pool_fd,
    .wants_write = pool_wants_write,
    .collect = pool_collect,
    .close = pool_close,
};

/* Signals are the loop's, as a descriptor; no pool thread may take one. */
static bool start_thread(struct pool_thread *self)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&self->thread, NULL, thread_main, self);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}

static bool open_pool(struct thread_executor *pool, const struct jq_thread_conf *conf)
{
    pthread_condattr_t attributes;
    pool->base.ops = &thread_ops;
    pool->conf = (struct jq_slot_conf){
        .handlers = conf->handlers,
        .executor = thread_ops.name,
        .output_bytes = conf->output_bytes,
        .depth_max = conf->depth_max,
    };
    pool->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->event < 0)
        return false;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->turned, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return true;
}

/* Until every thread has run every init. */
static enum jq_err await_begin(struct thread_executor *pool, struct jq_detail *detail)
{
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->begun < pool->count)
        (void)pthread_cond_wait(&pool->turned, &pool->lock);
    const enum jq_err err = pool->begin_err;
    *detail = pool->detail;
    (void)pthread_mutex_unlock(&pool->lock);
    return err;
}

enum jq_err jq_executor_thread_open(const struct jq_thread_conf *conf,
                                    struct jq_executor **ret_executor, struct jq_detail *ret_detail)
{
    JQ_CHECK(conf->threads > 0);
    struct thread_executor *pool =
        jq_alloc_zero(1, sizeof *pool + conf->threads * sizeof pool->threads[0]);
    if (pool == NULL)
        return JQ_ENOMEM;
    if (!open_pool(pool, conf)) {
        jq_detail_set(ret_detail, "threads for handlers: %s", strerror(errno));
        jq_free(pool);
        return JQ_EIO;
    }
    enum jq_err err = JQ_OK;
    while (err == JQ_OK && pool->count < conf->threads) {
        pool->threads[pool->count].pool = pool;
        if (start_thread(&pool->threads[pool->count]))
            pool->count++;
        else
            err = JQ_EIO;
    }
    if (err == JQ_OK)
        err = await_begin(pool, ret_detail);
    else
        jq_detail_set(ret_detail, "threads for handlers: the machine gives %u of %u", pool->count,
                      conf->threads);
    struct jq_executor *executor = &pool->base;
    if (err != JQ_OK) {
        (void)pool_close(&executor);
        return err;
    }
    *ret_executor = executor;
    return JQ_OK;
}
