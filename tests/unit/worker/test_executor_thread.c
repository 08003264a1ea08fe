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
#include <stdlib.h>

#include "worker/executor.h"

static struct jq_executor *executor;

static int setup(void **state)
{
    (void)state;
    executor = jq_executor_thread_open(4);
    return executor != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    executor->ops->close(&executor);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
