/* SPDX-License-Identifier: MIT
 *
 * test_fetch_leave.c - draining, giving back, leaving. */
#include "fetch_fixture.h"

static void an_idle_worker_leaves_at_once(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_drain(f);
    assert_true(f->left);
    assert_int_equal(f->status, 0);
    assert_int_equal(f->sent[f->sent_count - 1].tag, JQ_MSG_BYE);
}

static void a_worker_that_never_met_a_broker_leaves_at_once(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_drain(f);
    assert_true(f->left);
    assert_int_equal(f->sent_count, 0);
}

static void draining_takes_no_more_and_waits_for_the_acknowledgement(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_clear(f);
    fetch_drain(f);
    const struct jq_msg credit = fetch_sent(f, JQ_MSG_CREDIT);
    assert_int_equal(credit.u.credit.draining, 1);
    assert_int_equal(credit.u.credit.total, 1);
    assert_int_equal(f->recalls, 1);
    struct jq_run_list none = { 0 };
    fetch_answer_recall(f, &none);
    fetch_grant(f, 2, 1, "exec");
    assert_ids(fetch_sent(f, JQ_MSG_RELEASE), 2, 1);
    fetch_end(f, JQ_AT_EXEC, 1, 5);
    assert_ids(fetch_sent(f, JQ_MSG_DONE), 1, 1);
    assert_false(f->left);
    fetch_ack(f, 1, 101, false);
    assert_true(f->left);
    assert_int_equal(fetch_count(f, JQ_MSG_BYE), 1);
}

static void draining_is_told_again_after_a_new_welcome(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_drain(f);
    fetch_down(f);
    fetch_up(f);
    fetch_clear(f);
    fetch_welcome(f, no_records());
    const struct jq_msg credit = fetch_sent(f, JQ_MSG_CREDIT);
    assert_int_equal(credit.u.credit.draining, 1);
    assert_int_equal(credit.u.credit.total, 0);
}

static void after_the_grace_jobs_are_ended_and_given_back(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 2, "exec");
    fetch_drain(f);
    fetch_clear(f);
    assert_int_equal(jq_fetch_next_at(f->fetch) <= f->now.mono + 5000, 1);
    f->now.mono += 4900; /* heard from meanwhile */
    const struct jq_msg pong = { .tag = JQ_MSG_PONG };
    fetch_apply(f, &pong);
    assert_int_equal(f->cancelled_count, 0);
    fetch_tick(f, 100);
    assert_int_equal(f->cancelled_count, 2);
    fetch_end(f, JQ_AT_EXEC, 2, 5); /* killed */
    assert_int_equal(fetch_count(f, JQ_MSG_DONE), 0);
    assert_ids(fetch_sent(f, JQ_MSG_RELEASE), 1, 2);
    assert_true(f->left);
    assert_int_equal(f->sent[f->sent_count - 1].tag, JQ_MSG_BYE);
}

static void a_handler_that_will_not_end_is_given_back_at_the_last(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "sleep");
    fetch_leave(f);
    assert_int_equal(f->cancelled_count, 1);
    assert_false(f->left);
    fetch_clear(f);
    const struct jq_msg pong = { .tag = JQ_MSG_PONG };
    fetch_apply(f, &pong);
    f->now.mono += 1999;
    fetch_apply(f, &pong);
    assert_false(f->left);
    fetch_tick(f, 1);
    assert_true(f->left);
    assert_ids(fetch_sent(f, JQ_MSG_RELEASE), 1, 1);
    assert_int_equal(fetch_count(f, JQ_MSG_BYE), 1);
}

static void the_last_words_need_no_welcome(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 2, "sleep");
    fetch_end(f, JQ_AT_THREAD, 1, 5);
    fetch_down(f);
    fetch_up(f);
    fetch_clear(f);
    fetch_leave(f);
    fetch_tick(f, 2000);
    assert_true(f->left);
    assert_ids(fetch_sent(f, JQ_MSG_DONE), 1, 1);
    assert_ids(fetch_sent(f, JQ_MSG_RELEASE), 2, 1);
    assert_int_equal(f->sent[f->sent_count - 1].tag, JQ_MSG_BYE);
}

static void another_protocol_version_ends_the_worker(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_up(f);
    const struct jq_msg error = { .tag = JQ_MSG_ERROR, .u.error.error = JQ_EVERSION };
    fetch_apply(f, &error);
    assert_true(f->left);
    assert_int_equal(f->status, 76);
    assert_int_equal(f->refused, 1);
}

static void nothing_is_taken_in_after_leaving(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_drain(f);
    fetch_clear(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_tick(f, 100000);
    fetch_up(f);
    assert_int_equal(f->sent_count, 0);
    assert_int_equal(f->out[JQ_AT_EXEC].count, 0);
    assert_true(jq_fetch_next_at(f->fetch) == JQ_NEVER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fetch_setup, fetch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_idle_worker_leaves_at_once),
        TEST(a_worker_that_never_met_a_broker_leaves_at_once),
        TEST(draining_takes_no_more_and_waits_for_the_acknowledgement),
        TEST(draining_is_told_again_after_a_new_welcome),
        TEST(after_the_grace_jobs_are_ended_and_given_back),
        TEST(a_handler_that_will_not_end_is_given_back_at_the_last),
        TEST(the_last_words_need_no_welcome),
        TEST(another_protocol_version_ends_the_worker),
        TEST(nothing_is_taken_in_after_leaving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
