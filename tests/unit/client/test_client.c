/* SPDX-License-Identifier: MIT
 *
 * test_client.c - the public calls against a broker that behaves. */
#include <string.h>

#include "client/request.h"
#include "tests/unit/client/fake_broker.h"

struct fixture {
    struct fake_broker *fb;
    struct jobq_client *client;
};

static struct fixture fixture;

static int setup(void **state)
{
    fb_setup(state);
    fixture.fb = *state;
    fixture.client = fb_client(fixture.fb, FB_WAIT_MS);
    return 0;
}

static int teardown(void **state)
{
    jobq_close(&fixture.client);
    return fb_teardown(state);
}

static struct jobq_future *submit(const char *handler)
{
    const struct jobq_job job = fb_job(handler);
    struct jobq_future *future = NULL;

    assert_int_equal(jobq_submit(fixture.client, &job, &future), 0);
    return future;
}

static void a_submitted_job_has_an_id_and_a_result(void **state)
{
    (void)state;
    struct jobq_future *future = submit("noop");
    const struct jobq_result *result = NULL;

    assert_int_equal(jobq_future_id(future), 1);
    assert_int_equal(jobq_future_created(future), 1);
    assert_int_equal(jobq_future_wait(future, FB_WAIT_MS), 0);
    assert_int_equal(jobq_future_done(future), 1);
    assert_int_equal(jobq_future_result(future, 0, &result), 0);
    assert_int_equal(result->id, 1);
    assert_int_equal(result->state, JOBQ_SUCCEEDED);
    assert_string_equal(result->reason, "");
    assert_string_equal(result->worker, "w1");
    assert_int_equal(result->value_size, 5);
    assert_memory_equal(result->value, "value", 5);
    const struct jobq_result *again = NULL;
    assert_int_equal(jobq_future_result(future, -1, &again), 0);
    assert_ptr_equal(again, result);
    jobq_future_free(&future);
    assert_null(future);
}

static void a_failed_job_says_why(void **state)
{
    (void)state;
    struct jobq_future *future = submit("fail");
    const struct jobq_result *result = NULL;

    assert_int_equal(jobq_future_result(future, FB_WAIT_MS, &result), JOBQ_EFAILED);
    assert_int_equal(result->code, 7);
    assert_string_equal(result->reason, "exit code 7");
    assert_string_equal(jobq_errdetail(fixture.client), "exit code 7");
    jobq_future_free(&future);
}

static void a_quarantined_job_lost_its_worker(void **state)
{
    (void)state;
    struct jobq_future *future = submit("poison");
    const struct jobq_result *result = NULL;

    assert_int_equal(jobq_future_result(future, FB_WAIT_MS, &result), JOBQ_EWORKERLOST);
    assert_non_null(result);
    jobq_future_free(&future);
}

static void a_wait_that_is_too_short_times_out_and_can_be_taken_up_again(void **state)
{
    (void)state;
    fb_fault(fixture.fb, (struct fb_faults){ .no_results = true });
    struct jobq_future *future = submit("hold");
    const struct jobq_result *result = NULL;

    assert_int_equal(jobq_future_wait(future, 0), JOBQ_ETIMEDOUT);
    assert_int_equal(jobq_future_wait(future, 5), JOBQ_ETIMEDOUT);
    assert_int_equal(jobq_future_done(future), 0);
    assert_int_equal(jobq_future_wait(future, -2), JOBQ_EINVAL);
    assert_int_equal(jobq_future_result(future, 1, &result), JOBQ_ETIMEDOUT);
    assert_null(result);
    fb_release(fixture.fb);
    assert_int_equal(jobq_future_wait(future, -1), 0);
    assert_int_equal(fb_counts(fixture.fb).waits, 1);
    jobq_future_free(&future);
}

static void a_call_brings_the_result_without_a_wait(void **state)
{
    (void)state;
    const struct jobq_job job = fb_job("noop");
    struct jobq_future *future = NULL;

    assert_int_equal(jobq_call(fixture.client, &job, &future), 0);
    assert_int_equal(jobq_future_result(future, -1, NULL), 0);
    assert_int_equal(jobq_future_id(future), 1);
    assert_int_equal(fb_counts(fixture.fb).waits, 0);
    jobq_future_free(&future);
}

static void started_jobs_share_frames_and_a_flush_waits_for_them(void **state)
{
    (void)state;
    const struct jobq_job job = fb_job("noop");
    struct jobq_future *last = NULL;

    for (int i = 0; i < 999; i++)
        assert_int_equal(jobq_submit_start(fixture.client, &job, NULL), 0);
    assert_int_equal(jobq_submit_start(fixture.client, &job, &last), 0);
    assert_int_equal(jobq_future_id(last), 0);
    assert_int_equal(jobq_flush(fixture.client, FB_WAIT_MS), 0);
    assert_int_equal(jobq_future_id(last), 1000);
    assert_int_equal(fb_counts(fixture.fb).jobs, 1000);
    const struct fb_counts counts = fb_counts(fixture.fb); /* a slow answer is asked for again */
    assert_int_equal(counts.submits - counts.resent, 1);
    jobq_future_free(&last);
}

enum { MANY = 20000 };

static void expect_many_ends(void)
{
    static struct jobq_job jobs[MANY];
    static struct jobq_future *futures[MANY];
    size_t failed = 99, index = 99;

    for (int i = 0; i < MANY; i++)
        jobs[i] = fb_job(i % 100 ? "noop" : "fail");
    assert_int_equal(jobq_submit_many(fixture.client, jobs, MANY, futures), 0);
    assert_int_equal(jobq_wait_any(fixture.client, futures, MANY, -1, &index), 0);
    assert_true(index < MANY);
    assert_int_equal(jobq_wait_all(fixture.client, futures, MANY, -1, &failed), 0);
    assert_int_equal(failed, MANY / 100);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(jobq_future_id(futures[i]), i + 1);
        jobq_future_free(&futures[i]);
    }
}

static void many_jobs_and_their_ends_need_no_wait(void **state)
{
    (void)state;
    expect_many_ends();
    assert_int_equal(fb_counts(fixture.fb).waits, 0);
}

static void many_jobs_of_an_older_broker_are_waited_for(void **state)
{
    (void)state;
    fb_fault(fixture.fb, (struct fb_faults){ .no_results = true });
    expect_many_ends();
    assert_true(fb_counts(fixture.fb).waits > 0);
}

static void waiting_for_nothing_is_done_or_invalid(void **state)
{
    (void)state;
    size_t failed = 9, index = 9;

    assert_int_equal(jobq_wait_all(fixture.client, NULL, 0, 0, &failed), 0);
    assert_int_equal(failed, 0);
    assert_int_equal(jobq_wait_any(fixture.client, NULL, 0, 0, &index), JOBQ_EINVAL);
    assert_int_equal(jobq_submit_many(fixture.client, NULL, 0, NULL), 0);
    assert_int_equal(jobq_flush(fixture.client, 0), 0);
}

static void an_attached_future_waits_for_anybodys_job(void **state)
{
    (void)state;
    struct jobq_future *future = submit("fail"), *attached = NULL, *unknown = NULL;

    assert_int_equal(jobq_future_attach(fixture.client, jobq_future_id(future), &attached), 0);
    assert_int_equal(jobq_future_result(attached, -1, NULL), JOBQ_EFAILED);
    assert_int_equal(jobq_future_attach(fixture.client, 4711, &unknown), 0);
    assert_int_equal(jobq_future_wait(unknown, -1), JOBQ_ENOENT);
    assert_int_equal(jobq_future_attach(fixture.client, 0, &unknown), JOBQ_EINVAL);
    jobq_future_free(&future);
    jobq_future_free(&attached);
    jobq_future_free(&unknown);
}

static void a_cancel_ends_the_job(void **state)
{
    (void)state;
    struct jobq_future *future = submit("hold"), *unknown = NULL;

    assert_int_equal(jobq_future_cancel(future, "not needed"), 0);
    assert_int_equal(jobq_future_result(future, -1, NULL), JOBQ_ECANCELLED);
    assert_int_equal(jobq_future_cancel(future, NULL), JOBQ_EALREADY);
    assert_int_equal(jobq_future_attach(fixture.client, 4711, &unknown), 0);
    assert_int_equal(jobq_future_cancel(unknown, NULL), JOBQ_ENOENT);
    jobq_future_free(&future);
    jobq_future_free(&unknown);
}

static void a_ping_tells_the_round_trip(void **state)
{
    (void)state;
    int64_t us = -1;

    assert_int_equal(jobq_ping(fixture.client, FB_WAIT_MS, &us), 0);
    assert_true(us >= 0);
    assert_int_equal(jobq_ping(fixture.client, -1, NULL), 0);
    assert_int_equal(jobq_ping(fixture.client, -5, NULL), JOBQ_EINVAL);
}

static void bad_jobs_are_refused_before_anything_is_sent(void **state)
{
    (void)state;
    char long_name[200] = "";
    const char *const names[] = { "", "a b", "a/b", "\xc3\xa4", "a\n", long_name };
    struct jobq_future *future = NULL;
    struct jobq_job job;

    memset(long_name, 'x', sizeof long_name - 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        job = fb_job(names[i]);
        assert_int_equal(jobq_submit(fixture.client, &job, &future), JOBQ_EINVAL);
        assert_non_null(strstr(jobq_errdetail(fixture.client), "handler"));
        job = fb_job("noop");
        job.queue = names[i];
        assert_int_equal(jobq_submit_start(fixture.client, &job, &future), JOBQ_EINVAL);
        job = fb_job("noop");
        job.key = names[i];
        assert_int_equal(jobq_call(fixture.client, &job, &future), JOBQ_EINVAL);
    }
    job = fb_job("noop");
    job.flags = UINT64_C(1) << 40;
    assert_int_equal(jobq_submit(fixture.client, &job, &future), JOBQ_EINVAL);
    job = fb_job("noop");
    job.payload = "x";
    job.payload_size = (16 << 20) + 1;
    assert_int_equal(jobq_submit(fixture.client, &job, &future), JOBQ_EMSGSIZE);
    job = fb_job("noop");
    job.size = 0;
    assert_int_equal(jobq_submit(fixture.client, &job, &future), JOBQ_EINVAL);
    assert_int_equal(jobq_submit(fixture.client, NULL, &future), JOBQ_EINVAL);
    assert_null(future);
    assert_int_equal(jobq_ping(fixture.client, -1, NULL), 0);
    assert_int_equal(fb_counts(fixture.fb).submits, 0);
}

static void one_bad_job_of_many_refuses_all(void **state)
{
    (void)state;
    struct jobq_job jobs[3] = { fb_job("noop"), fb_job("noop"), fb_job("no op") };
    struct jobq_future *futures[3] = { NULL, NULL, NULL };

    assert_int_equal(jobq_submit_many(fixture.client, jobs, 3, futures), JOBQ_EINVAL);
    assert_null(futures[0]);
    assert_int_equal(jobq_flush(fixture.client, -1), 0);
    assert_int_equal(fb_counts(fixture.fb).jobs, 0);
}

static void a_large_payload_arrives(void **state)
{
    (void)state;
    static uint8_t payload[16 << 20];
    struct jobq_job job = fb_job("noop");
    struct jobq_future *future = NULL;

    job.payload = payload;
    job.payload_size = sizeof payload;
    assert_int_equal(jobq_submit(fixture.client, &job, &future), 0);
    jobq_future_free(&future);
}

/* ---- requests ---- */

static void a_request_has_one_answer(void **state)
{
    (void)state;
    struct jobq_future *future = submit("noop");
    struct jq_msg msg = { .tag = JQ_MSG_LIST, .u.list.limit = 10 };
    struct jq_answer answer;
    struct jq_job_info info;

    assert_int_equal(jq_request(fixture.client, &msg, -1, &answer), 0);
    assert_int_equal(answer.msg.tag, JQ_MSG_LISTED);
    struct jq_reader r = jq_records_reader(answer.msg.u.listed.jobs);
    assert_true(jq_job_info_next(&r, &info));
    assert_int_equal(info.id, jobq_future_id(future));
    jq_answer_fini(&answer);
    msg = (struct jq_msg){ .tag = JQ_MSG_LOG_READ,
                           .u.log_read = { .id = 1, .stream = 1, .limit = 100, .follow = 1 } };
    assert_int_equal(jq_request(fixture.client, &msg, -1, &answer), 0);
    assert_true(jq_view_equal(answer.msg.u.log_data.bytes, jq_view_str("output")));
    jq_answer_fini(&answer);
    msg = (struct jq_msg){ .tag = JQ_MSG_STATS };
    assert_int_equal(jq_request(fixture.client, &msg, -1, &answer), JOBQ_EINVAL);
    assert_string_equal(jobq_errdetail(fixture.client), "not played here");
    jobq_future_free(&future);
}

static void a_subscription_has_answers_until_its_end(void **state)
{
    (void)state;
    const struct jq_msg watch = { .tag = JQ_MSG_WATCH };
    const struct jq_msg list = { .tag = JQ_MSG_LIST };
    struct jq_subscription *s = NULL;
    struct jq_answer answer;

    assert_int_equal(jq_subscribe(fixture.client, &list, &s), JOBQ_EINVAL);
    assert_int_equal(jq_subscribe(fixture.client, &watch, &s), 0);
    assert_int_equal(jq_subscription_next(s, 0, &answer), JOBQ_ETIMEDOUT);
    assert_int_equal(jobq_ping(fixture.client, -1, NULL), 0); /* the WATCH is there */
    fb_event(fixture.fb, 5);
    fb_event(fixture.fb, 6);
    for (uint64_t id = 5; id <= 6; id++) {
        struct jq_event event;
        assert_int_equal(jq_subscription_next(s, -1, &answer), 0);
        struct jq_reader r = jq_records_reader(answer.msg.u.events.events);
        assert_true(jq_event_next(&r, &event) && event.id == id);
        jq_answer_fini(&answer);
    }
    jq_subscription_end(&s);
    assert_null(s);
    jq_subscription_end(&s);
}

/* ---- the end ---- */

static void started_jobs_leave_with_the_handle(void **state)
{
    (void)state;
    const struct jobq_job job = fb_job("noop");
    struct jobq_client *second = fb_client(fixture.fb, 0);

    assert_int_equal(jobq_submit_start(second, &job, NULL), 0);
    jobq_close(&second);
    assert_null(second);
    while (fb_counts(fixture.fb).byes == 0)
        assert_int_equal(jobq_ping(fixture.client, -1, NULL), 0);
    assert_int_equal(fb_counts(fixture.fb).jobs, 1);
}

static void the_version_is_the_headers(void **state)
{
    (void)state;
    assert_string_equal(jobq_version(), JOBQ_VERSION);
    assert_string_equal(jobq_strerror(0), "success");
    assert_string_equal(jobq_strerror(JOBQ_ENOENT), "no such job or queue");
    assert_non_null(jobq_strerror(-9999));
    assert_non_null(jobq_strerror(12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_submitted_job_has_an_id_and_a_result),
        TEST(a_failed_job_says_why),
        TEST(a_quarantined_job_lost_its_worker),
        TEST(a_wait_that_is_too_short_times_out_and_can_be_taken_up_again),
        TEST(a_call_brings_the_result_without_a_wait),
        TEST(started_jobs_share_frames_and_a_flush_waits_for_them),
        TEST(many_jobs_and_their_ends_need_no_wait),
        TEST(many_jobs_of_an_older_broker_are_waited_for),
        TEST(waiting_for_nothing_is_done_or_invalid),
        TEST(an_attached_future_waits_for_anybodys_job),
        TEST(a_cancel_ends_the_job),
        TEST(a_ping_tells_the_round_trip),
        TEST(bad_jobs_are_refused_before_anything_is_sent),
        TEST(one_bad_job_of_many_refuses_all),
        TEST(a_large_payload_arrives),
        TEST(a_request_has_one_answer),
        TEST(a_subscription_has_answers_until_its_end),
        TEST(started_jobs_leave_with_the_handle),
        TEST(the_version_is_the_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
