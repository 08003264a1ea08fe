/* SPDX-License-Identifier: MIT
 *
 * test_jobqd_jobs.c - what jobqd promises to raw peers, through its death as well. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "jobqd_proc.h"

static uint64_t submit_one(struct wire *client, uint64_t number)
{
    struct jq_msg msg;

    wire_submit(client, number, "payload", 0);
    wire_expect(client, JQ_MSG_SUBMITTED, &msg);
    assert_int_equal(msg.correlation, number);
    assert_int_equal(msg.u.submitted.durable, 1);
    assert_int_equal(msg.u.submitted.count, 1);
    return msg.u.submitted.first_id;
}

static void ask_wait(struct wire *client, uint64_t id)
{
    struct jq_buf jobs = { 0 };
    const struct jq_job_ref ref = { .id = id };

    jq_job_ref_write(&jobs, &ref);
    struct jq_msg wait = { .tag = JQ_MSG_WAIT,
                           .correlation = 1000 + id,
                           .u.wait = { .jobs = jq_records_of(1, &jobs) } };
    wire_send(client, &wait);
    jq_buf_fini(&jobs);
}

static void give_credit(struct wire *worker, uint64_t total)
{
    struct jq_msg credit = { .tag = JQ_MSG_CREDIT, .u.credit = { .total = total } };

    wire_send(worker, &credit);
}

/* The only grant of the next GRANTS. */
static struct jq_held take_grant(struct wire *worker, uint64_t id)
{
    struct jq_msg msg;
    struct jq_grant grant;

    wire_expect(worker, JQ_MSG_GRANTS, &msg);
    assert_int_equal(msg.u.grants.jobs.count, 1);
    struct jq_reader reader = jq_records_reader(msg.u.grants.jobs);
    assert_true(jq_grant_next(&reader, &grant));
    assert_int_equal(grant.id, id);
    assert_true(jq_view_equal(grant.payload, jq_view_str("payload")));
    return (struct jq_held){ .id = grant.id, .fence = grant.fence };
}

static void report_done(struct wire *worker, struct jq_held held, int64_t code)
{
    struct jq_buf outcomes = { 0 };
    const struct jq_outcome outcome = {
        .id = held.id, .fence = held.fence, .kind = JQ_OUTCOME_EXITED, .code = code
    };

    jq_outcome_write(&outcomes, &outcome);
    struct jq_msg done = { .tag = JQ_MSG_DONE,
                           .u.done = { .outcomes = jq_records_of(1, &outcomes) } };
    wire_send(worker, &done);
    jq_buf_fini(&outcomes);
}

static void expect_result(struct wire *client, uint64_t id, enum jq_job_state state, int64_t code)
{
    struct jq_msg msg;
    struct jq_result result;

    wire_expect(client, JQ_MSG_RESULTS, &msg);
    struct jq_reader reader = jq_records_reader(msg.u.results.results);
    assert_true(jq_result_next(&reader, &result));
    assert_int_equal(result.id, id);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.state, state);
    assert_int_equal(result.code, code);
}

static void expect_acked(struct wire *worker, uint64_t id)
{
    struct jq_msg msg;
    struct jq_held held;

    wire_expect(worker, JQ_MSG_DONE_ACK, &msg);
    struct jq_reader reader = jq_records_reader(msg.u.done_ack.each);
    assert_true(jq_held_next(&reader, &held));
    assert_int_equal(held.id, id);
}

static void a_job_goes_from_submit_to_its_result(void **state)
{
    struct jobqd *d = *state;
    struct wire client, worker;
    struct jq_msg msg;

    jobqd_start(d, NULL);
    wire_open(d, &client, 11);
    wire_open(d, &worker, 12);
    wire_hello(&client, JQ_ROLE_CLIENT, 0, &msg);
    wire_hello(&worker, JQ_ROLE_WORKER, 1, &msg);
    give_credit(&worker, 1);
    const uint64_t id = submit_one(&client, 1);
    ask_wait(&client, id);
    const struct jq_held held = take_grant(&worker, id);
    report_done(&worker, held, 3);
    expect_acked(&worker, id);
    expect_result(&client, id, JQ_FAILED, 3);
    wire_close(&client);
    wire_close(&worker);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
}

static void an_acknowledged_submit_survives_kill_9_and_is_not_made_twice(void **state)
{
    struct jobqd *d = *state;
    struct wire client, worker;
    struct jq_msg msg;

    jobqd_start(d, NULL);
    wire_open(d, &client, 21);
    wire_hello(&client, JQ_ROLE_CLIENT, 0, &msg);
    const uint64_t incarnation = msg.u.welcome.incarnation;
    const uint64_t id = submit_one(&client, 1);
    wire_close(&client);
    assert_int_equal(jobqd_end(d, SIGKILL), 128 + SIGKILL);

    jobqd_start(d, NULL);
    wire_open(d, &client, 21);
    wire_hello(&client, JQ_ROLE_CLIENT, 0, &msg);
    assert_true(msg.u.welcome.incarnation > incarnation);
    assert_int_equal(submit_one(&client, 1), id);
    ask_wait(&client, id);
    wire_open(d, &worker, 22);
    wire_hello(&worker, JQ_ROLE_WORKER, 1, &msg);
    give_credit(&worker, 1);
    const struct jq_held held = take_grant(&worker, id);
    report_done(&worker, held, 0);
    expect_acked(&worker, id);
    expect_result(&client, id, JQ_SUCCEEDED, 0);
    wire_close(&client);
    wire_close(&worker);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
}

/* What was asked for and never waited for is committed by the stop. */
static void sigterm_commits_what_is_open_and_sends_what_became_true(void **state)
{
    struct jobqd *d = *state;
    static const char *const flags[] = { "--batch", "10s", NULL };
    struct wire client;
    struct jq_msg msg;

    jobqd_start(d, flags);
    wire_open(d, &client, 31);
    wire_hello(&client, JQ_ROLE_CLIENT, 0, &msg);
    wire_submit(&client, 1, "payload", JQ_SUBMIT_CALL);
    wire_expect(&client, JQ_MSG_SUBMITTED, &msg);
    assert_int_equal(msg.u.submitted.durable, 0);
    const uint64_t id = msg.u.submitted.first_id;
    wire_close(&client);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);

    jobqd_start(d, NULL);
    wire_open(d, &client, 31);
    wire_hello(&client, JQ_ROLE_CLIENT, 0, &msg);
    wire_submit(&client, 1, "payload", JQ_SUBMIT_CALL);
    wire_expect(&client, JQ_MSG_SUBMITTED, &msg);
    assert_int_equal(msg.u.submitted.first_id, id);
    wire_close(&client);
    assert_int_equal(jobqd_end(d, SIGINT), 0);
}

static void a_memory_store_serves_and_forgets(void **state)
{
    struct jobqd *d = *state;
    struct wire client;
    struct jq_msg msg;

    snprintf(d->store, sizeof(d->store), "memory:");
    snprintf(d->url, sizeof(d->url), "tcp://127.0.0.1:*");
    jobqd_start(d, NULL);
    assert_null(strchr(d->url, '*'));
    wire_open(d, &client, 41);
    wire_hello(&client, JQ_ROLE_CLIENT, 0, &msg);
    assert_int_equal(submit_one(&client, 1), 1);
    wire_close(&client);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
}

/* A read of the store goes behind the batch that it depends on. */
static void an_ended_job_is_told_from_the_store_after_a_restart(void **state)
{
    struct jobqd *d = *state;
    struct wire client, worker;
    struct jq_msg msg;

    jobqd_start(d, NULL);
    wire_open(d, &client, 51);
    wire_open(d, &worker, 52);
    wire_hello(&client, JQ_ROLE_CLIENT, 0, &msg);
    wire_hello(&worker, JQ_ROLE_WORKER, 1, &msg);
    give_credit(&worker, 1);
    const uint64_t id = submit_one(&client, 1);
    report_done(&worker, take_grant(&worker, id), 9);
    expect_acked(&worker, id);
    wire_close(&worker);
    wire_close(&client);
    assert_int_equal(jobqd_end(d, SIGKILL), 128 + SIGKILL);

    jobqd_start(d, NULL);
    wire_open(d, &client, 53);
    wire_hello(&client, JQ_ROLE_CLIENT, 0, &msg);
    ask_wait(&client, id);
    expect_result(&client, id, JQ_FAILED, 9);
    wire_close(&client);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_goes_from_submit_to_its_result, jobqd_setup,
                                        jobqd_teardown),
        cmocka_unit_test_setup_teardown(
            an_acknowledged_submit_survives_kill_9_and_is_not_made_twice, jobqd_setup,
            jobqd_teardown),
        cmocka_unit_test_setup_teardown(sigterm_commits_what_is_open_and_sends_what_became_true,
                                        jobqd_setup, jobqd_teardown),
        cmocka_unit_test_setup_teardown(a_memory_store_serves_and_forgets, jobqd_setup,
                                        jobqd_teardown),
        cmocka_unit_test_setup_teardown(an_ended_job_is_told_from_the_store_after_a_restart,
                                        jobqd_setup, jobqd_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
