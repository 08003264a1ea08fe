/* SPDX-License-Identifier: MIT
 *
 * test_reconnect.c - what can go wrong between a client and its broker. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/request.h"
#include "proto/base/clock.h"
#include "tests/unit/client/fake_broker.h"

static struct jobq_future *start(struct jobq_client *client, const char *handler)
{
    const struct jobq_job job = fb_job(handler);
    struct jobq_future *future = NULL;

    assert_int_equal(jobq_submit_start(client, &job, &future), 0);
    return future;
}

static void a_submit_whose_answer_is_lost_is_sent_again_and_makes_one_job(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    const struct jobq_job job = fb_job("noop");
    struct jobq_future *future = NULL;

    fb_fault(fb, (struct fb_faults){ .drop_answers = 2 });
    assert_int_equal(jobq_submit(client, &job, &future), 0);
    assert_int_equal(jobq_future_id(future), 1);
    assert_int_equal(fb_counts(fb).jobs, 1);
    assert_int_equal(fb_counts(fb).resent, 2);
    jobq_future_free(&future);
    jobq_close(&client);
}

static void answers_are_acknowledged_by_the_next_submit(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    const struct jobq_job job = fb_job("noop");

    for (int i = 0; i < 3; i++)
        assert_int_equal(jobq_submit(client, &job, NULL), 0);
    assert_int_equal(fb_counts(fb).answered, 2);
    jobq_close(&client);
}

static void a_busy_broker_gets_the_submit_later(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    const struct jobq_job job = fb_job("noop");

    fb_fault(fb, (struct fb_faults){ .busy = 3 });
    assert_int_equal(jobq_submit(client, &job, NULL), 0);
    assert_int_equal(fb_counts(fb).jobs, 1);
    jobq_close(&client);
}

static void a_forgotten_connection_says_hello_and_repeats_what_is_unanswered(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_future *held = start(client, "hold"), *noop;

    assert_int_equal(jobq_future_wait(held, 0), JOBQ_ETIMEDOUT);
    assert_int_equal(jobq_flush(client, -1), 0);
    assert_int_equal(jobq_future_wait(held, 0), JOBQ_ETIMEDOUT);
    assert_int_equal(jobq_ping(client, -1, NULL), 0);
    fb_forget_peers(fb);
    noop = start(client, "noop");
    assert_int_equal(jobq_future_wait(noop, -1), 0);
    fb_release(fb);
    assert_int_equal(jobq_future_wait(held, -1), 0); /* asked for again by itself */
    const struct fb_counts counts = fb_counts(fb);
    assert_int_equal(counts.jobs, 2);
    assert_int_equal(counts.hellos, 2);
    assert_true(counts.refused >= 1);
    jobq_future_free(&held);
    jobq_future_free(&noop);
    jobq_close(&client);
}

static void expect_nothing_lost(struct fake_broker *fb)
{
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_future *futures[50];
    const struct jobq_job job = fb_job("hold");
    size_t failed = 9;

    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 10; i++) {
            struct jobq_future **future = &futures[round * 10 + i];
            if (i % 2)
                *future = start(client, "hold");
            else
                assert_int_equal(jobq_call(client, &job, future), 0);
        }
        const int rc = jobq_flush(client, 0); /* sent; answered only by a broker that was quick */
        assert_true(rc == 0 || rc == JOBQ_ETIMEDOUT);
        fb_stop(fb);
        fb_start(fb);
        assert_int_equal(jobq_flush(client, -1), 0);
        fb_stop(fb);
        fb_start(fb);
    }
    assert_int_equal(jobq_wait_all(client, futures, 50, 0, &failed), JOBQ_ETIMEDOUT);
    assert_int_equal(jobq_ping(client, -1, NULL), 0);
    fb_release(fb);
    assert_int_equal(jobq_wait_all(client, futures, 50, -1, &failed), 0);
    assert_int_equal(failed, 0);
    assert_int_equal(fb_counts(fb).jobs, 50);
    for (int i = 0; i < 50; i++)
        jobq_future_free(&futures[i]);
    jobq_close(&client);
}

static void a_broker_that_restarts_loses_nothing(void **state)
{
    expect_nothing_lost(*state);
}

static void an_older_broker_that_restarts_loses_nothing(void **state)
{
    fb_fault(*state, (struct fb_faults){ .no_results = true });
    expect_nothing_lost(*state);
}

/* Connected, and deaf: only a new connection can help. */
static void a_silent_broker_is_connected_to_anew(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    const struct jobq_job job = fb_job("noop");
    struct jobq_future *future = NULL;

    fb_fault(fb, (struct fb_faults){ .silent = true });
    assert_int_equal(jobq_submit_start(client, &job, &future), 0);
    while (fb_counts(fb).hellos < 2)
        assert_int_equal(jobq_future_wait(future, 5), JOBQ_ETIMEDOUT);
    fb_fault(fb, (struct fb_faults){ .silent = false });
    assert_int_equal(jobq_future_wait(future, -1), 0);
    assert_int_equal(fb_counts(fb).jobs, 1);
    jobq_future_free(&future);
    jobq_close(&client);
}

/* A host's loop shows each turn: a wait inside of the library takes the same ones. */
static void waiting_for_a_broker_that_is_gone_is_idle(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_future *held = start(client, "hold");
    int turns = 0;

    assert_int_equal(jobq_flush(client, -1), 0);
    assert_int_equal(jobq_future_wait(held, 0), JOBQ_ETIMEDOUT);
    fb_stop(fb);
    struct pollfd poller = { .fd = jobq_client_fd(client), .events = POLLIN };
    const uint64_t end = jq_clock_mono_ns() + (uint64_t)10 * FB_HEARTBEAT_MS * 1000000;
    for (; jq_clock_mono_ns() < end; turns++) {
        assert_int_equal(jobq_client_process(client), 0);
        const int64_t wish = jobq_client_timeout_ms(client);
        poll(&poller, 1, wish < 0 || wish > FB_HEARTBEAT_MS ? FB_HEARTBEAT_MS : (int)wish);
    }
    assert_in_range(turns, 1, 200);
    fb_start(fb);
    fb_release(fb);
    assert_int_equal(jobq_future_wait(held, -1), 0);
    jobq_future_free(&held);
    jobq_close(&client);
}

static void a_waiting_client_pings_and_stays(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_future *future = start(client, "hold");

    while (fb_counts(fb).pings < 3)
        assert_int_equal(jobq_future_wait(future, 5), JOBQ_ETIMEDOUT);
    assert_int_equal(fb_counts(fb).hellos, 1);
    jobq_future_free(&future);
    jobq_close(&client);
}

static void a_broker_of_another_version_is_told_apart(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client = NULL;
    const struct jobq_job job = fb_job("noop");

    fb_fault(fb, (struct fb_faults){ .other_version = true });
    options.url = fb_url(fb);
    options.timeout_ms = -1;
    assert_int_equal(jobq_open(&options, &client), JOBQ_EVERSION);
    assert_null(client);
    client = fb_client(fb, 0);
    assert_int_equal(jobq_submit(client, &job, NULL), JOBQ_EVERSION);
    assert_string_equal(jobq_errdetail(client), "no common version: 7 to 9, 1 to 1");
    jobq_close(&client);
}

static void requests_wait_for_a_broker_that_comes_later(void **state)
{
    struct fake_broker *fb = *state;

    fb_stop(fb);
    struct jobq_client *client = fb_client(fb, 0);
    struct jobq_future *future = start(client, "noop");
    assert_int_equal(jobq_future_wait(future, 5), JOBQ_EUNREACH);
    fb_start(fb);
    assert_int_equal(jobq_future_wait(future, -1), 0);
    jobq_future_free(&future);
    jobq_close(&client);
}

static void a_subscription_is_asked_for_again(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    const struct jq_msg watch = { .tag = JQ_MSG_WATCH };
    struct jq_subscription *s = NULL;
    struct jq_answer answer;

    assert_int_equal(jq_subscribe(client, &watch, &s), 0);
    assert_int_equal(jobq_ping(client, -1, NULL), 0);
    fb_stop(fb);
    fb_start(fb);
    assert_int_equal(jobq_ping(client, -1, NULL), 0);
    while (fb_counts(fb).hellos < 2)
        assert_int_equal(jobq_ping(client, -1, NULL), 0);
    assert_int_equal(jobq_ping(client, -1, NULL), 0);
    fb_event(fb, 3);
    assert_int_equal(jq_subscription_next(s, -1, &answer), 0);
    jq_answer_fini(&answer);
    jq_subscription_end(&s);
    jobq_close(&client);
}

/* ---- nobody there ---- */

static void nobody_at_the_url_is_unreachable(void **state)
{
    (void)state;
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client = NULL;
    char url[64];

    (void)snprintf(url, sizeof url, "ipc:///tmp/jobq-nobody-%d", (int)getpid());
    options.url = url;
    options.timeout_ms = 20;
    assert_int_equal(jobq_open(&options, &client), JOBQ_EUNREACH);
    assert_null(client);
    options.timeout_ms = 0;
    assert_int_equal(jobq_open(&options, &client), 0);
    assert_int_equal(jobq_ping(client, 20, NULL), JOBQ_EUNREACH);
    assert_non_null(strstr(jobq_errdetail(client), url));
    assert_int_equal(jobq_flush(client, 0), 0);
    jobq_close(&client);
    jobq_close(&client);
}

/* Somebody listens who is no broker. */
static void a_listener_that_says_nothing_is_unreachable(void **state)
{
    (void)state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client = NULL;
    char url[sizeof address.sun_path + 8];

    (void)snprintf(address.sun_path, sizeof address.sun_path, "/tmp/jobq-mute-%d", (int)getpid());
    (void)snprintf(url, sizeof url, "ipc://%s", address.sun_path);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    options.url = url;
    options.timeout_ms = 20;
    assert_int_equal(jobq_open(&options, &client), JOBQ_EUNREACH);
    close(fd);
    unlink(address.sun_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fb_setup, fb_teardown)
        TEST(a_submit_whose_answer_is_lost_is_sent_again_and_makes_one_job),
        TEST(answers_are_acknowledged_by_the_next_submit),
        TEST(a_busy_broker_gets_the_submit_later),
        TEST(a_forgotten_connection_says_hello_and_repeats_what_is_unanswered),
        TEST(a_broker_that_restarts_loses_nothing),
        TEST(an_older_broker_that_restarts_loses_nothing),
        TEST(a_silent_broker_is_connected_to_anew),
        TEST(waiting_for_a_broker_that_is_gone_is_idle),
        TEST(a_waiting_client_pings_and_stays),
        TEST(a_broker_of_another_version_is_told_apart),
        TEST(requests_wait_for_a_broker_that_comes_later),
        TEST(a_subscription_is_asked_for_again),
        cmocka_unit_test(nobody_at_the_url_is_unreachable),
        cmocka_unit_test(a_listener_that_says_nothing_is_unreachable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
