/* SPDX-License-Identifier: MIT
 *
 * test_threads.c - one handle in many threads, in a host's loop, and in the child of a fork. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/request.h"
#include "tests/unit/client/fake_broker.h"

enum { THREADS = 6, ROUNDS = 200 };

/* ---- threads ---- */

struct shared {
    struct jobq_client *client;
    atomic_int wrong;
    atomic_int ready;
};

static void *submit_and_wait(void *arg)
{
    struct shared *shared = arg;
    const struct jobq_job job = fb_job("noop");

    for (int i = 0; i < ROUNDS; i++) {
        struct jobq_future *future = NULL;
        const int rc = i % 3 == 0   ? jobq_submit(shared->client, &job, &future)
                       : i % 3 == 1 ? jobq_call(shared->client, &job, &future)
                                    : jobq_submit_start(shared->client, &job, &future);
        if (rc != 0 || jobq_future_result(future, -1, NULL) != 0 || jobq_future_id(future) == 0)
            atomic_fetch_add(&shared->wrong, 1);
        jobq_future_free(&future);
    }
    return NULL;
}

static void threads_share_a_handle(void **state)
{
    struct fake_broker *fb = *state;
    struct shared shared = { .client = fb_client(fb, FB_WAIT_MS) };
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_and_wait, &shared), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(shared.wrong, 0);
    assert_int_equal(fb_counts(fb).jobs, THREADS * ROUNDS);
    jobq_close(&shared.client);
}

static void *wait_for_held(void *arg)
{
    struct shared *shared = arg;
    const struct jobq_job job = fb_job("hold");
    struct jobq_future *future = NULL;

    if (jobq_submit(shared->client, &job, &future) != 0)
        atomic_fetch_add(&shared->wrong, 1);
    atomic_fetch_add(&shared->ready, 1);
    if (jobq_future_wait(future, -1) != 0)
        atomic_fetch_add(&shared->wrong, 1);
    jobq_future_free(&future);
    return NULL;
}

/* Those who wait for long drive for those who come and go; nobody is left behind when a driver
 * leaves. */
static void a_driver_that_leaves_hands_over(void **state)
{
    struct fake_broker *fb = *state;
    struct shared shared = { .client = fb_client(fb, FB_WAIT_MS) };
    const struct jobq_job job = fb_job("noop");
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_held, &shared), 0);
    while (shared.ready < THREADS)
        assert_int_equal(jobq_submit(shared.client, &job, NULL), 0);
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(jobq_submit(shared.client, &job, NULL), 0);
    fb_release(fb);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(shared.wrong, 0);
    jobq_close(&shared.client);
}

static void *wait_for_an_event(void *arg)
{
    struct shared *shared = arg;
    const struct jq_msg watch = { .tag = JQ_MSG_WATCH };
    struct jq_subscription *s = NULL;
    struct jq_answer answer;

    if (jq_subscribe(shared->client, &watch, &s) != 0)
        atomic_fetch_add(&shared->wrong, 1);
    atomic_fetch_add(&shared->ready, 1);
    if (jq_subscription_next(s, -1, &answer) != JOBQ_EINTR)
        atomic_fetch_add(&shared->wrong, 1);
    jq_subscription_end(&s);
    return NULL;
}

/* Those that wait, and those that come to wait. */
static void an_interrupt_ends_every_wait(void **state)
{
    struct fake_broker *fb = *state;
    struct shared shared = { .client = fb_client(fb, FB_WAIT_MS) };
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_an_event, &shared), 0);
    while (atomic_load(&shared.ready) == 0)
        sched_yield();
    jq_client_interrupt(shared.client);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(shared.wrong, 0);
    jobq_close(&shared.client);
    while (fb_counts(fb).byes == 0)
        sched_yield();
}

static void *fail_twice(void *arg)
{
    struct shared *shared = arg;
    const struct jobq_job job = fb_job("no op");

    if (jobq_submit(shared->client, &job, NULL) != JOBQ_EINVAL ||
        !strstr(jobq_errdetail(shared->client), "no op"))
        atomic_fetch_add(&shared->wrong, 1);
    return NULL;
}

static void each_thread_has_its_own_detail(void **state)
{
    struct fake_broker *fb = *state;
    struct shared shared = { .client = fb_client(fb, 0) };
    pthread_t thread;

    assert_string_equal(jobq_errdetail(shared.client), "");
    assert_int_equal(jobq_future_attach(shared.client, 0, &(struct jobq_future *){ NULL }),
                     JOBQ_EINVAL);
    assert_int_equal(pthread_create(&thread, NULL, fail_twice, &shared), 0);
    pthread_join(thread, NULL);
    assert_int_equal(shared.wrong, 0);
    assert_string_equal(jobq_errdetail(shared.client), "0 is no job's id");
    jobq_close(&shared.client);
}

/* ---- a host's loop ---- */

/* As a host does: poll the fd, with the timeout, then process. */
static void turn(struct jobq_client *client)
{
    struct pollfd item = { .fd = jobq_client_fd(client), .events = POLLIN };
    const int64_t timeout = jobq_client_timeout_ms(client);

    assert_true(item.fd >= 0);
    assert_true(timeout >= -1);
    assert_true(poll(&item, 1, timeout < 0 ? FB_WAIT_MS : (int)timeout) >= 0);
    assert_int_equal(jobq_client_process(client), 0);
}

static void a_hosts_loop_needs_no_blocking_call(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, 0);
    struct jobq_future *futures[100];
    const struct jobq_job noop = fb_job("noop"), hold = fb_job("hold");

    for (int i = 0; i < 100; i++) {
        const struct jobq_job *job = i % 10 ? &noop : &hold;
        assert_int_equal(jobq_submit_start(client, job, &futures[i]), 0);
        while (i % 10 && jobq_future_done(futures[i]) == 0)
            turn(client);
    }
    fb_release(fb);
    for (int i = 0; i < 100; i++) {
        while (jobq_future_done(futures[i]) == 0)
            turn(client);
        assert_int_equal(jobq_future_result(futures[i], 0, NULL), 0);
        jobq_future_free(&futures[i]);
    }
    jobq_close(&client);
}

static void a_hosts_loop_survives_a_restart_of_the_broker(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, 0);
    const struct jobq_job job = fb_job("hold");
    struct jobq_future *future = NULL;

    assert_int_equal(jobq_submit_start(client, &job, &future), 0);
    while (jobq_future_id(future) == 0)
        turn(client);
    assert_int_equal(jobq_future_done(future), 0);
    fb_stop(fb);
    fb_start(fb);
    while (fb_counts(fb).waits == 0)
        turn(client);
    fb_release(fb);
    while (jobq_future_done(future) == 0)
        turn(client);
    jobq_future_free(&future);
    jobq_close(&client);
}

/* A blocking call may have read what the fd told of: the fd must not stay silent for the rest. */
static void blocking_calls_and_a_hosts_loop_mix(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, 0);
    const struct jobq_job job = fb_job("noop");

    assert_true(jobq_client_fd(client) >= 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct jobq_future *started = NULL;
        assert_int_equal(jobq_submit_start(client, &job, &started), 0);
        assert_int_equal(jobq_submit(client, &job, NULL), 0);
        while (jobq_future_done(started) == 0)
            turn(client);
        jobq_future_free(&started);
    }
    jobq_close(&client);
}

/* ---- fork ---- */

/* In the child; its exit code says which step went wrong. */
static int use_in_child(struct jobq_client *client, struct jobq_future *future)
{
    const struct jobq_job job = fb_job("noop");
    size_t index;

    if (jobq_submit(client, &job, NULL) != JOBQ_EFORKED ||
        jobq_submit_start(client, &job, NULL) != JOBQ_EFORKED)
        return 1;
    if (jobq_future_wait(future, -1) != JOBQ_EFORKED || jobq_future_done(future) != JOBQ_EFORKED ||
        jobq_wait_any(client, &future, 1, -1, &index) != JOBQ_EFORKED)
        return 2;
    if (jobq_flush(client, -1) != JOBQ_EFORKED || jobq_ping(client, -1, NULL) != JOBQ_EFORKED ||
        jobq_client_process(client) != JOBQ_EFORKED || jobq_client_fd(client) != JOBQ_EFORKED)
        return 3;
    jobq_future_free(&future);
    jobq_close(&client);
    return future || client ? 4 : 0;
}

static void a_child_may_only_close(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    const struct jobq_job job = fb_job("noop");
    struct jobq_future *future = NULL;
    int status = -1;

    assert_int_equal(jobq_submit(client, &job, &future), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(use_in_child(client, future));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(jobq_future_wait(future, -1), 0); /* the parent's works on */
    jobq_future_free(&future);
    jobq_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fb_setup, fb_teardown)
        TEST(threads_share_a_handle),
        TEST(a_driver_that_leaves_hands_over),
        TEST(an_interrupt_ends_every_wait),
        TEST(each_thread_has_its_own_detail),
        TEST(a_hosts_loop_needs_no_blocking_call),
        TEST(a_hosts_loop_survives_a_restart_of_the_broker),
        TEST(blocking_calls_and_a_hosts_loop_mix),
        TEST(a_child_may_only_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
