/* SPDX-License-Identifier: MIT
 *
 * test_core_sessions.c - sessions of workers and clients: leases, restarts of the broker,
 * cancelled and tied jobs. One claim at a time, in virtual time over the memory store. */
#include "tests/unit/core/core_claims.h"

/* ---- leases ---- */

static void a_silent_worker_loses_its_jobs_and_a_beating_one_does_not(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), silent = driver_worker(d, 8, 1);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 2 });
    driver_grant(d, silent);
    const uint64_t beating = driver_worker(d, 9, 1), beat = driver_beat(d, 9);
    driver_grant(d, beating);
    for (uint64_t i = 0; i < 10; i++) {
        const struct jq_msg msg = { .tag = JQ_MSG_BEAT, .u.beat = { .number = i } };
        driver_tick(d, 3000);
        driver_apply(d, beat, &msg);
        claim_drop(d, beat, JQ_MSG_BEATEN);
    }
    const uint64_t other = driver_client(d, 70);
    assert_int_equal(claim_state_of(d, other, 1), JQ_READY);
    assert_int_equal(claim_state_of(d, other, 2), JQ_RUNNING);
}

static void a_late_result_is_refused_by_its_fence(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    const uint64_t first = driver_worker(d, 8, 1);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    const struct jq_held late = driver_grant(d, first);
    driver_tick(d, 20000);
    const uint64_t second = driver_worker(d, 9, 1);
    const struct jq_held held = driver_grant(d, second);
    assert_int_equal(held.id, late.id);
    assert_true(held.fence > late.fence);

    driver_done(d, first, late, JQ_OUTCOME_EXITED, 0); /* it is nobody until it says HELLO */
    assert_int_equal(claim_expect_error(d, first), JQ_ENOHELLO);
    const uint64_t back = driver_worker_back(d, 8, &late, 1);
    struct driver_frame frame = driver_expect(d, back, JQ_MSG_WELCOME);
    assert_int_equal(frame.msg.u.welcome.lost.count, 1);
    driver_frame_free(&frame);
    driver_done(d, back, late, JQ_OUTCOME_EXITED, 0);
    frame = driver_expect(d, back, JQ_MSG_DONE_ACK);
    assert_int_equal(frame.msg.u.done_ack.each.count, 0);
    assert_int_equal(frame.msg.u.done_ack.fenced.count, 1);
    driver_frame_free(&frame);

    client = driver_client(d, 70);
    assert_int_equal(claim_state_of(d, client, 1), JQ_RUNNING);
    driver_done(d, second, held, JQ_OUTCOME_EXITED, 4);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, 1), JQ_FAILED);
    assert_int_equal(claim_counter(d, client, "fenced"), 1);
}

static void a_job_that_costs_two_workers_their_lives_is_quarantined(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    for (uint64_t i = 0; i < 2; i++) {
        driver_grant(d, driver_worker(d, 8 + i, 1));
        driver_tick(d, 20000);
    }
    client = driver_client(d, 70);
    driver_wait(d, client, 50, 1);
    driver_commit(d);
    struct driver_frame frame;
    const struct jq_result result = claim_expect_result(d, client, &frame);
    assert_int_equal(result.state, JQ_FAILED);
    assert_memory_equal(result.reason.data, "poison", 6);
    driver_frame_free(&frame);
}

static void a_worker_that_says_bye_gives_its_jobs_back_uncharged(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    for (uint64_t i = 0; i < 5; i++) {
        const uint64_t worker = driver_worker(d, 8 + i, 1);
        driver_grant(d, worker);
        driver_apply(d, worker, &bye);
    }
    struct driver_frame frame;
    const struct jq_job_info info = claim_info_of(d, client, 1, &frame);
    assert_int_equal(info.state, JQ_READY);
    assert_int_equal(info.crashes, 0);
    assert_int_equal(info.attempt, 5);
    driver_frame_free(&frame);
}

/* ---- restarts ---- */

static void a_running_job_is_readopted_after_a_restart_and_not_run_again(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 2);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    const struct jq_held held = driver_grant(d, worker);
    driver_commit(d);
    driver_crash(d);
    worker = driver_worker_back(d, 8, &held, 1);
    claim_drop(d, worker, JQ_MSG_WELCOME);
    driver_credit(d, worker, 2);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    claim_late(d);
    claim_drop(d, worker, JQ_MSG_DONE_ACK);
    client = driver_client(d, 70);
    assert_int_equal(claim_state_of(d, client, 1), JQ_SUCCEEDED);
}

static void a_job_whose_running_mark_was_lost_is_readopted_too(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_commit(d);
    driver_credit(d, worker, 1);
    const struct jq_held held = driver_grant(d, worker);
    driver_crash(d); /* the mark was in the open batch */
    client = driver_client(d, 70);
    assert_int_equal(claim_state_of(d, client, 1), JQ_READY);
    const uint64_t other = driver_worker(d, 9, 1);
    assert_false(driver_has(d, other, JQ_MSG_GRANTS)); /* settling: 8 is known, and not yet back */
    worker = driver_worker_back(d, 8, &held, 1);
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_WELCOME);
    assert_int_equal(frame.msg.u.welcome.lost.count, 0);
    driver_frame_free(&frame);
    assert_int_equal(claim_state_of(d, client, 1), JQ_RUNNING);
    assert_false(driver_has(d, other, JQ_MSG_GRANTS));
}

static void a_grant_of_a_job_that_was_never_durable_is_lost_with_it(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    driver_commit(d);
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    const struct jq_held held = driver_grant(d, worker);
    driver_crash(d);
    client = driver_client(d, 70); /* another's job takes the same id */
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_commit(d);
    worker = driver_worker_back(d, 8, &held, 1);
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_WELCOME);
    assert_int_equal(frame.msg.u.welcome.lost.count, 1);
    driver_frame_free(&frame);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    assert_int_equal(claim_state_of(d, client, 1), JQ_READY);
}

static void a_running_job_waits_one_lease_for_its_worker_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_grant(d, worker);
    driver_commit(d);
    driver_crash(d);
    driver_tick(d, 10000);
    client = driver_client(d, 70);
    assert_int_equal(claim_state_of(d, client, 1), JQ_RUNNING);
    driver_tick(d, 10000);
    client = driver_client(d, 71);
    assert_int_equal(claim_state_of(d, client, 1), JQ_READY);
}

static void a_worker_that_was_lost_together_with_the_broker_charges_nothing(void **state)
{
    struct driver *d = *state;
    struct driver_frame frame;
    uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    for (uint64_t i = 0; i < 5; i++) { /* power cuts */
        driver_tick(d, 1000);
        driver_grant(d, driver_worker(d, 8 + i, 1));
        driver_commit(d);
        driver_crash(d);
        driver_tick(d, 16000);
    }
    client = driver_client(d, 70);
    const struct jq_job_info info = claim_info_of(d, client, 1, &frame);
    assert_int_equal(info.state, JQ_READY);
    assert_int_equal(info.crashes, 0);
    driver_frame_free(&frame);
}

static void jobs_of_a_worker_that_ended_with_the_broker_wait_for_no_lease(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    d->die_with = DRIVER_PID;
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_grant(d, driver_worker(d, 8, 1));
    driver_commit(d);
    driver_crash(d);
    const uint64_t worker = driver_worker(d, 9, 1);
    driver_tick(d, 490);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS)); /* it may still be ending */
    driver_tick(d, 20);
    assert_int_equal(driver_grant(d, worker).id, 1);

    d->die_with = DRIVER_PID + 1; /* another process: it may live on */
    driver_crash(d);
    client = driver_worker(d, 10, 1);
    driver_tick(d, 1000);
    assert_true(driver_has(d, client, JQ_MSG_GRANTS)); /* 9 was bound as well */
}

static void settling_ends_when_every_known_worker_is_back_or_time_is_up(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker;

    driver_worker(d, 8, 0);
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_commit(d);
    driver_crash(d);
    worker = driver_worker(d, 9, 1);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    driver_tick(d, 499);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    driver_tick(d, 2);
    driver_grant(d, worker);
}

/* ---- cancel ---- */

static void a_cancelled_job_that_has_not_started_never_runs(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    assert_int_equal(claim_cancel(d, client, 1), 0);
    const uint64_t worker = driver_worker(d, 8, 1);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    assert_int_equal(claim_state_of(d, client, 1), JQ_CANCELLED);
    assert_int_equal(claim_cancel(d, client, 1), JQ_EALREADY);
    assert_int_equal(claim_cancel(d, client, 2), JQ_ENOENT);
}

static void cancel_of_a_running_job_tells_its_worker_also_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    const struct jq_held held = driver_grant(d, worker);
    assert_int_equal(claim_cancel(d, client, 1), 0);
    claim_drop(d, worker, JQ_MSG_KILLS);
    driver_crash(d);
    worker = driver_worker_back(d, 8, &held, 1);
    claim_drop(d, worker, JQ_MSG_KILLS);
    driver_done(d, worker, held, JQ_OUTCOME_CANCELLED, 0);
    client = driver_client(d, 70);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, 1), JQ_CANCELLED);
}

static void a_cancelled_job_whose_worker_is_lost_does_not_run_again(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_grant(d, driver_worker(d, 8, 1));
    assert_int_equal(claim_cancel(d, client, 1), 0);
    driver_tick(d, 20000);
    client = driver_client(d, 70);
    assert_int_equal(claim_state_of(d, client, 1), JQ_CANCELLED);
}

static void a_tied_job_is_cancelled_when_its_client_is_lost(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .job_flags = JQ_JOB_TIE });
    driver_submit(d, client, (struct driver_submit){ .number = 2 });
    driver_commit(d);
    driver_crash(d); /* the tie is stored */
    driver_tick(d, 16000);
    client = driver_client(d, 70);
    assert_int_equal(claim_state_of(d, client, 1), JQ_CANCELLED);
    assert_int_equal(claim_state_of(d, client, 2), JQ_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_silent_worker_loses_its_jobs_and_a_beating_one_does_not),
        CLAIM(a_late_result_is_refused_by_its_fence),
        CLAIM(a_job_that_costs_two_workers_their_lives_is_quarantined),
        CLAIM(a_worker_that_says_bye_gives_its_jobs_back_uncharged),
        CLAIM(a_running_job_is_readopted_after_a_restart_and_not_run_again),
        CLAIM(a_job_whose_running_mark_was_lost_is_readopted_too),
        CLAIM(a_grant_of_a_job_that_was_never_durable_is_lost_with_it),
        CLAIM(a_running_job_waits_one_lease_for_its_worker_after_a_restart),
        CLAIM(a_worker_that_was_lost_together_with_the_broker_charges_nothing),
        CLAIM(jobs_of_a_worker_that_ended_with_the_broker_wait_for_no_lease),
        CLAIM(settling_ends_when_every_known_worker_is_back_or_time_is_up),
        CLAIM(a_cancelled_job_that_has_not_started_never_runs),
        CLAIM(cancel_of_a_running_job_tells_its_worker_also_after_a_restart),
        CLAIM(a_cancelled_job_whose_worker_is_lost_does_not_run_again),
        CLAIM(a_tied_job_is_cancelled_when_its_client_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
