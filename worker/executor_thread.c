/* SPDX-License-Identifier: MIT
 *
 * executor_thread.c - handlers on OS threads.
 *
 * One lock guards the two lists, `waiting` and `ended`, and what is running; no handler runs with
 * it held. A thread swaps what it has ended for what it runs next in one step, so each run costs
 * one lock at most. The eventfd is written when `ended` stops being empty, so a busy pool makes few
 * system calls. Quick handlers (handlers.h) are run by whoever submits them: handing them to a
 * thread and back would take longer. */
#include "worker/executor.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "worker/handlers.h"

struct thread_executor;

struct pool_thread {
    struct thread_executor *pool;
    pthread_t thread;
    struct jq_run *running; /* under the lock */
    atomic_bool cancelled;  /* the running one is to end */
    struct jq_buf value;    /* this thread's alone */
    struct jq_buf scratch;
};

struct thread_executor {
    struct jq_executor base;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct jq_run_list waiting;
    struct jq_run_list ended;
    bool closing;
    uint32_t idle;
    int event;
    struct jq_buf scratch; /* the loop's */
    uint32_t count;
    struct pool_thread threads[];
};

static struct thread_executor *pool_of(const struct jq_executor *executor)
{
    return (struct thread_executor *)(uintptr_t)executor;
}

/* --- the threads' side --- */

static struct jq_outcome outcome_of(const struct jq_run *run, struct jq_now from, struct jq_now to)
{
    (void)run;
    return (struct jq_outcome){ .started_at = from.wall, .ended_at = to.wall };
}

static void end_cancelled(struct jq_run *run, struct jq_outcome *outcome, struct jq_buf *scratch)
{
    outcome->kind = JQ_OUTCOME_CANCELLED;
    outcome->reason = jq_view_str(run->reason != NULL ? run->reason : "cancelled");
    jq_run_end(run, outcome, scratch);
}

static void run_one(struct pool_thread *self, struct jq_run *run)
{
    const struct jq_handler *handler = jq_handler_find(run->handler);
    const struct jq_now from = jq_clock_now();
    const uint64_t from_ns = jq_clock_mono_ns();
    struct jq_call call = { .id = run->id,
                            .fence = run->fence,
                            .payload = run->payload,
                            .cancelled = &self->cancelled,
                            .value = &self->value };
    jq_buf_clear(&self->value);
    if (handler != NULL)
        handler->run(&call);
    run->wall_us = (jq_clock_mono_ns() - from_ns) / 1000;
    struct jq_outcome outcome = outcome_of(run, from, jq_clock_now());
    outcome.wall_us = run->wall_us;
    char unknown[JQ_NAME_MAX + 64];
    if (handler == NULL) {
        const int size =
            snprintf(unknown, sizeof unknown, "this worker has no handler named \"%.*s\"",
                     JQ_VIEW_ARG(run->handler));
        outcome.kind = JQ_OUTCOME_NOSTART;
        outcome.code = 127;
        outcome.reason = jq_view(unknown, (size_t)size);
    } else if (!jq_buf_ok(&self->value) || self->value.size > JQ_VALUE_MAX) {
        outcome.kind = JQ_OUTCOME_ERROR;
        outcome.code = 1;
        outcome.reason = jq_view_str("the result is too large");
    } else if (call.code != 0) {
        outcome.kind = JQ_OUTCOME_ERROR;
        outcome.code = call.code;
        outcome.reason = jq_view_str(call.reason);
    } else {
        outcome.value = jq_buf_view(&self->value);
    }
    if (atomic_load(&self->cancelled))
        end_cancelled(run, &outcome, &self->scratch);
    else
        jq_run_end(run, &outcome, &self->scratch);
    if (self->value.capacity > (1 << 20))
        jq_buf_fini(&self->value);
}

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

static void *thread_main(void *arg)
{
    struct pool_thread *self = arg;
    struct thread_executor *pool = self->pool;
    struct jq_run_list runs = { 0 };
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
        atomic_store(&self->cancelled, false);
        (void)pthread_mutex_unlock(&pool->lock);
        run_one(self, runs.first);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* --- the loop's side --- */

static bool is_quick(const struct jq_run *run)
{
    const struct jq_handler *handler = jq_handler_find(run->handler);
    return handler != NULL && handler->quick;
}

static void run_quick(struct thread_executor *pool, struct jq_run_list *runs)
{
    static const atomic_bool never;
    struct jq_buf value = { 0 };
    const struct jq_now from = jq_clock_now();
    const uint64_t from_ns = jq_clock_mono_ns();
    for (struct jq_run *run = runs->first; run != NULL; run = run->next) {
        struct jq_call call = { .id = run->id,
                                .fence = run->fence,
                                .payload = run->payload,
                                .cancelled = &never,
                                .value = &value };
        jq_handler_find(run->handler)->run(&call);
        struct jq_outcome outcome = outcome_of(run, from, from);
        outcome.code = call.code;
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
    for (struct jq_run *run; (run = jq_run_list_pop(runs)) != NULL;)
        jq_run_list_push(is_quick(run) ? &quick : &others, run);
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
            atomic_store(&pool->threads[i].cancelled, true);
    }
    if (jq_run_list_remove(&pool->waiting, run)) {
        struct jq_buf scratch = { 0 };
        struct jq_outcome outcome = { 0 };
        end_cancelled(run, &outcome, &scratch);
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

static void pool_close(struct jq_executor **executor)
{
    if (*executor == NULL)
        return;
    struct thread_executor *pool = pool_of(*executor);
    *executor = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    for (uint32_t i = 0; i < pool->count; i++)
        atomic_store(&pool->threads[i].cancelled, true);
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->count; i++) {
        (void)pthread_join(pool->threads[i].thread, NULL);
        jq_buf_fini(&pool->threads[i].value);
        jq_buf_fini(&pool->threads[i].scratch);
    }
    jq_run_list_free(&pool->waiting);
    jq_run_list_free(&pool->ended);
    jq_buf_fini(&pool->scratch);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    (void)close(pool->event);
    jq_free(pool);
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

struct jq_executor *jq_executor_thread_open(uint32_t threads)
{
    JQ_CHECK(threads > 0);
    struct thread_executor *pool =
        jq_alloc_zero(1, sizeof *pool + threads * sizeof pool->threads[0]);
    if (pool == NULL)
        return NULL;
    pool->base.ops = &thread_ops;
    pool->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->event < 0) {
        jq_free(pool);
        return NULL;
    }
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    struct jq_executor *executor = &pool->base;
    for (; pool->count < threads; pool->count++) {
        pool->threads[pool->count].pool = pool;
        if (!start_thread(&pool->threads[pool->count])) {
            pool_close(&executor);
            return NULL;
        }
    }
    return executor;
}
