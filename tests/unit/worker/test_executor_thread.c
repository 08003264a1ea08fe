/* SPDX-License-Identifier: MIT
 *
 * test_executor_thread.c - handlers on threads: each run comes back once, however it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/executor.h"

enum { THREADS = 4 };

static struct jq_executor *executor;
static struct jq_handlers *handlers;

/* --- handlers of a program that embeds the worker --- */

static atomic_int inits, runs_of_counted, finis, init_fails_at;

static int init_counted(struct jobq_slot *slot)
{
    const int number = atomic_fetch_add(&inits, 1);
    if (number == atomic_load(&init_fails_at)) {
        (void)snprintf(slot->why, sizeof slot->why, "no licence for slot %d", number);
        return 7;
    }
    slot->state = calloc(1, sizeof(uint64_t));
    return slot->state == NULL;
}

/* The state is the slot's alone: no lock, and the thread sanitizer looks on. */
static int run_counted(struct jobq_call *call, void *state)
{
    uint64_t *count = state;
    atomic_fetch_add(&runs_of_counted, 1);
    return jobq_result_uint(call, ++*count);
}

static void fini_counted(void *state)
{
    atomic_fetch_add(&finis, 1);
    free(state);
}

static atomic_bool stubborn_may_end, stubborn_runs;

static int run_stubborn(struct jobq_call *call, void *state)
{
    (void)state;
    atomic_store(&stubborn_runs, true);
    while (!atomic_load(&stubborn_may_end))
        (void)sched_yield();
    return jobq_result_bool(call, jobq_cancelled(call));
}

static int run_large(struct jobq_call *call, void *state)
{
    static const char bytes[1 << 20];
    (void)state;
    for (int i = 0; i < 17; i++)
        (void)jobq_result_write(call, bytes, sizeof bytes);
    return 0; /* as if nothing had happened */
}

static int run_cancelled_by_fd(struct jobq_call *call, void *state)
{
    struct pollfd cancel = { .fd = jobq_cancel_fd(call), .events = POLLIN };
    (void)state;
    atomic_store(&stubborn_runs, true);
    while (poll(&cancel, 1, -1) < 0)
        continue;
    return jobq_fail(call, 9, JOBQ_FAIL_RETRY, "an error of the cancel's");
}

/* Ends by its time limit, as the descriptor says. */
static int run_limited(struct jobq_call *call, void *state)
{
    struct pollfd cancel = { .fd = jobq_cancel_fd(call), .events = POLLIN };
    (void)state;
    const int64_t left = jobq_call_info(call).left_ms;
    if (left < 0 || left > 20)
        return 3;
    while (poll(&cancel, 1, -1) < 0)
        continue;
    return jobq_cancelled(call) && jobq_call_info(call).left_ms == 0 ? 0 : 4;
}

static int run_second(struct jobq_call *call, void *state)
{
    struct pollfd cancel = { .fd = jobq_cancel_fd(call), .events = POLLIN };
    (void)state;
    return jobq_result_int(call, poll(&cancel, 1, 0) + jobq_cancelled(call));
}

static const struct jobq_handler offered[] = {
    { .name = "counted", .init = init_counted, .run = run_counted, .fini = fini_counted },
    { .name = "stubborn", .run = run_stubborn },
    { .name = "large", .run = run_large },
    { .name = "cancelled_by_fd", .run = run_cancelled_by_fd },
    { .name = "limited", .run = run_limited },
    { .name = "second", .run = run_second },
};
static const struct jobq_plugin plugin = {
    .abi = JOBQ_HANDLER_ABI,
    .handler_size = sizeof offered[0],
    .count = sizeof offered / sizeof offered[0],
    .handlers = offered,
};

/* --- the fixture --- */

static enum jq_err open_threads(uint32_t threads, struct jq_detail *detail)
{
    const struct jq_thread_conf conf = {
        .handlers = handlers,
        .threads = threads,
        .output_bytes = 1000,
        .depth_max = 32,
    };
    return jq_executor_thread_open(&conf, &executor, detail);
}

static int setup_handlers(void **state)
{
    struct jq_detail detail = { "" };
    (void)state;
    atomic_store(&inits, 0);
    atomic_store(&runs_of_counted, 0);
    atomic_store(&finis, 0);
    atomic_store(&init_fails_at, -1);
    atomic_store(&stubborn_may_end, false);
    atomic_store(&stubborn_runs, false);
    handlers = jq_handlers_new();
    return handlers != NULL ? (int)jq_handlers_add(handlers, &plugin, "test", &detail) : -1;
}

static int setup(void **state)
{
    struct jq_detail detail = { "" };
    return setup_handlers(state) != 0 ? -1 : (int)open_threads(THREADS, &detail);
}

static int teardown(void **state)
{
    (void)state;
    if (executor != NULL)
        assert_true(executor->ops->close(&executor));
    jq_handlers_free(&handlers);
    return 0;
}

static struct jq_run *make(uint64_t id, const char *handler, const char *payload)
{
    const struct jq_grant grant = {
        .id = id,
        .fence = id + 1000,
        .attempt = 1,
        .queue = jq_view_str("q"),
        .handler = jq_view_str(handler),
        .payload = jq_view_str(payload),
    };
    struct jq_run *run = jq_run_new(&grant, JQ_AT_THREAD);
    assert_non_null(run);
    return run;
}

static struct jq_run_list collect(void)
{
    struct pollfd item = { .fd = executor->ops->fd(executor), .events = POLLIN };
    while (poll(&item, 1, -1) < 0)
        assert_int_equal(errno, EINTR);
    struct jq_collected collected;
    executor->ops->collect(executor, &collected);
    return collected.runs;
}

static struct jq_run *collect_one(void)
{
    struct jq_run_list runs = { 0 };
    while (runs.count == 0)
        runs = collect();
    assert_int_equal(runs.count, 1);
    return runs.first;
}

static struct jq_outcome outcome_of(const struct jq_run *run)
{
    struct jq_outcome outcome = { 0 };
    struct jq_reader reader = jq_reader(jq_run_outcome(run));
    assert_int_equal(jq_outcome_read(&reader, &outcome), JQ_OK);
    assert_int_equal(outcome.id, run->id);
    assert_int_equal(outcome.fence, run->fence);
    return outcome;
}

static void submit(struct jq_run *run)
{
    struct jq_run_list one = { 0 };
    jq_run_list_push(&one, run);
    assert_int_equal(executor->ops->submit(executor, &one), JQ_OK);
    assert_int_equal(one.count, 0);
}

static void every_run_comes_back_once(void **state)
{
    enum { RUNS = 20000 };
    (void)state;
    unsigned char *seen = calloc(RUNS + 1, 1);
    uint64_t given = 0;
    uint64_t back = 0;
    assert_non_null(seen);
    while (back < RUNS) {
        struct jq_run_list some = { 0 };
        for (int i = 0; i < 700 && given < RUNS; i++) {
            given++;
            jq_run_list_push(&some, make(given, given % 5 != 0 ? "noop" : "echo", "bytes"));
        }
        if (some.count > 0)
            assert_int_equal(executor->ops->submit(executor, &some), JQ_OK);
        struct jq_run_list ended = collect();
        jq_run_list_join(&ended, &some);
        for (struct jq_run *run; (run = jq_run_list_pop(&ended)) != NULL; back++) {
            assert_int_equal(seen[run->id]++, 0);
            assert_int_equal(outcome_of(run).value.size, run->id % 5 != 0 ? 0 : 5);
            jq_run_free(&run);
        }
    }
    free(seen);
}

static void what_is_quick_has_ended_when_it_is_submitted(void **state)
{
    (void)state;
    struct jq_run_list runs = { 0 };
    jq_run_list_push(&runs, make(1, "noop", ""));
    jq_run_list_push(&runs, make(2, "sleep", "1"));
    jq_run_list_push(&runs, make(3, "noop", ""));
    assert_int_equal(executor->ops->submit(executor, &runs), JQ_OK);
    assert_int_equal(runs.count, 2);
    assert_int_equal(outcome_of(runs.first).id, 1);
    assert_int_equal(outcome_of(runs.last).id, 3);
    jq_run_list_free(&runs);
    struct jq_run *run = collect_one();
    assert_int_equal(run->id, 2);
    jq_run_free(&run);
}

static void a_handlers_failure_is_told(void **state)
{
    (void)state;
    submit(make(1, "fail", "because"));
    struct jq_run *run = collect_one();
    const struct jq_outcome outcome = outcome_of(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_ERROR);
    assert_int_equal(outcome.code, 1);
    assert_true(jq_view_equal(outcome.reason, jq_view_str("because")));
    jq_run_free(&run);
}

static void a_running_handler_can_be_cancelled(void **state)
{
    (void)state;
    struct jq_run *run = make(1, "sleep", "100000000");
    submit(run);
    jq_run_set_reason(run, jq_view_str("enough"));
    executor->ops->cancel(executor, run, 0);
    run = collect_one();
    const struct jq_outcome outcome = outcome_of(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_CANCELLED);
    assert_true(jq_view_equal(outcome.reason, jq_view_str("enough")));
    jq_run_free(&run);
}

static void what_waits_is_recalled_and_the_rest_cancelled(void **state)
{
    (void)state;
    struct jq_run *runs[10];
    for (uint64_t i = 0; i < 10; i++) {
        runs[i] = make(i + 1, "sleep", "100000000");
        submit(runs[i]);
    }
    struct jq_run_list recalled = executor->ops->recall(executor);
    assert_true(recalled.count >= 6);
    size_t left = 10 - recalled.count;
    for (size_t i = 0; i < left; i++)
        executor->ops->cancel(executor, runs[i], 0); /* taken in order */
    jq_run_list_free(&recalled);
    while (left > 0) {
        struct jq_run_list ended = collect();
        left -= ended.count;
        jq_run_list_free(&ended);
    }
}

static void closing_ends_what_runs_and_frees_what_waits(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 10; i++)
        submit(make(i, "sleep", "100000000"));
}

static void S07_init_is_once_for_each_slot_run_for_each_job_fini_when_it_closes(void **state)
{
    enum { RUNS = 100 };
    (void)state;
    assert_int_equal(atomic_load(&inits), THREADS);
    for (uint64_t i = 1; i <= RUNS; i++)
        submit(make(i, "counted", ""));
    uint64_t of_slots = 0;
    for (size_t back = 0; back < RUNS;) {
        struct jq_run_list ended = collect();
        for (struct jq_run *run; (run = jq_run_list_pop(&ended)) != NULL; back++) {
            uint64_t number = 0;
            struct jq_reader value = jq_reader(outcome_of(run).value);
            assert_int_equal(jq_read_u64(&value, &number), JQ_OK);
            of_slots += number == 1; /* a slot's first */
            jq_run_free(&run);
        }
    }
    assert_in_range(of_slots, 1, THREADS);
    assert_int_equal(atomic_load(&runs_of_counted), RUNS);
    assert_int_equal(atomic_load(&finis), 0);
    assert_true(executor->ops->close(&executor));
    assert_int_equal(atomic_load(&inits), THREADS);
    assert_int_equal(atomic_load(&finis), THREADS);
}

static void an_init_that_fails_is_told_and_what_had_begun_is_ended(void **state)
{
    struct jq_detail detail = { "" };
    (void)state;
    atomic_store(&init_fails_at, 2);
    assert_int_equal(open_threads(THREADS, &detail), JQ_EINVAL);
    assert_null(executor);
    assert_non_null(strstr(detail.text, "test: init of handler \"counted\" has failed with 7"));
    assert_non_null(strstr(detail.text, "no licence for slot 2"));
    assert_int_equal(atomic_load(&inits), THREADS);
    assert_int_equal(atomic_load(&finis), THREADS - 1);
}

static void a_result_over_the_bound_fails_the_job(void **state)
{
    (void)state;
    submit(make(1, "large", ""));
    struct jq_run *run = collect_one();
    const struct jq_outcome outcome = outcome_of(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_ERROR);
    assert_int_equal(outcome.value.size, 0);
    assert_true(jq_view_equal(outcome.reason, jq_view_str("the result is larger than 16 MiB")));
    jq_run_free(&run);
}

static void wait_for_run(void)
{
    while (!atomic_load(&stubborn_runs))
        (void)sched_yield();
}

static void a_cancel_shows_in_a_descriptor_and_not_in_the_next_job(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 2 * THREADS; i++) { /* some slot has both */
        atomic_store(&stubborn_runs, false);
        struct jq_run *run = make(2 * i + 1, "cancelled_by_fd", "");
        submit(run);
        wait_for_run();
        executor->ops->cancel(executor, run, 0);
        run = collect_one();
        assert_int_equal(outcome_of(run).kind, JQ_OUTCOME_CANCELLED);
        assert_int_equal(outcome_of(run).code, 0);
        jq_run_free(&run);
        submit(make(2 * i + 2, "second", ""));
        run = collect_one();
        assert_int_equal(outcome_of(run).kind, JQ_OUTCOME_EXITED);
        assert_memory_equal(outcome_of(run).value.data, "\0", 1);
        jq_run_free(&run);
    }
}

static void a_time_limit_ends_its_job_and_not_the_next(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 2 * THREADS; i++) { /* some slot has both, in any order */
        const struct jq_grant grant = {
            .id = 2 * i + 1,
            .fence = 2 * i + 1001,
            .queue = jq_view_str("q"),
            .handler = jq_view_str("limited"),
            .payload = jq_view("\x94\x90\x80\x01\x14", 5),
        };
        struct jq_run *run = jq_run_new(&grant, JQ_AT_THREAD);
        assert_non_null(run);
        submit(run);
        run = collect_one();
        const struct jq_outcome outcome = outcome_of(run);
        assert_int_equal(outcome.kind, JQ_OUTCOME_TIMEDOUT);
        assert_int_equal(outcome.code, 124);
        assert_true(jq_view_equal(outcome.reason, jq_view_str("timed out after 20 ms")));
        jq_run_free(&run);
        submit(make(2 * i + 2, "second", ""));
        run = collect_one();
        assert_int_equal(outcome_of(run).kind, JQ_OUTCOME_EXITED);
        assert_memory_equal(outcome_of(run).value.data, "\0", 1);
        jq_run_free(&run);
    }
}

static void a_handler_that_does_not_end_keeps_nobody_from_leaving(void **state)
{
    (void)state;
    struct jq_executor *left = executor;
    submit(make(1, "stubborn", ""));
    wait_for_run();
    assert_false(executor->ops->close(&executor));
    assert_null(executor);
    /* What it uses is still there. */
    atomic_store(&stubborn_may_end, true);
    executor = left;
    struct jq_run *run = collect_one();
    assert_int_equal(outcome_of(run).kind, JQ_OUTCOME_CANCELLED);
    jq_run_free(&run);
}

static void a_handler_that_nobody_has_is_127(void **state)
{
    (void)state;
    submit(make(1, "nobody", ""));
    struct jq_run *run = collect_one();
    const struct jq_outcome outcome = outcome_of(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_NOSTART);
    assert_int_equal(outcome.code, 127);
    assert_true(
        jq_view_equal(outcome.reason, jq_view_str("this worker has no handler named \"nobody\"")));
    jq_run_free(&run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_run_comes_back_once),
        TEST(what_is_quick_has_ended_when_it_is_submitted),
        TEST(a_handlers_failure_is_told),
        TEST(a_running_handler_can_be_cancelled),
        TEST(what_waits_is_recalled_and_the_rest_cancelled),
        TEST(closing_ends_what_runs_and_frees_what_waits),
        TEST(S07_init_is_once_for_each_slot_run_for_each_job_fini_when_it_closes),
        cmocka_unit_test_setup_teardown(an_init_that_fails_is_told_and_what_had_begun_is_ended,
                                        setup_handlers, teardown),
        TEST(a_result_over_the_bound_fails_the_job),
        TEST(a_cancel_shows_in_a_descriptor_and_not_in_the_next_job),
        TEST(a_time_limit_ends_its_job_and_not_the_next),
        TEST(a_handler_that_does_not_end_keeps_nobody_from_leaving),
        TEST(a_handler_that_nobody_has_is_127),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
