/* SPDX-License-Identifier: MIT
 *
 * test_core_retry.c - attempts that fail and are followed by others, and what is remembered of
 * them. */
#include "tests/unit/core/life_claims.h"

/* ---- retries ---- */

static void a_failed_attempt_is_followed_by_another_until_there_are_no_more(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    const struct jq_job_options options = { .attempts_max = 3,
                                            .backoff_ms = 1000,
                                            .backoff_kind = JQ_BACKOFF_FIXED };
    const uint64_t id = claim_submit(d, client, NULL, options, NULL);
    struct jq_attempt history[JQ_HISTORY_MAX];

    driver_wait(d, client, 50, id);
    for (uint32_t failures = 1; failures < 3; failures++) {
        claim_run(d, worker, id, 7);
        assert_int_equal(claim_now(d, id), JQ_DELAYED);
        assert_int_equal(claim_job(d, id)->failures, failures);
        assert_int_equal(jq_job_due_at(claim_job(d, id)), d->now.wall + 1000000000);
        driver_tick(d, 1000);
    }
    assert_int_equal(claim_history(claim_job(d, id), history), 2);
    assert_int_equal(history[1].attempt, 2);
    assert_int_equal(history[1].code, 7);
    assert_true(jq_view_equal(history[1].worker, jq_view_str("test")));
    claim_run(d, worker, id, 7);
    claim_expect_end(d, client, id, JQ_FAILED);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_FAILED], 1);
}

static void a_job_that_does_not_say_so_is_not_retried(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);

    claim_run(d, worker, id, 1);
    assert_int_equal(claim_state_of(d, client, id), JQ_FAILED);
}

static void the_queue_says_it_for_jobs_that_do_not(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    struct jq_queue *queue = jq_queue_find(d->core, jq_view_str("default"));

    queue->attempts_max = 2;
    queue->backoff_ms = queue->backoff_max_ms = 50;
    claim_run(d, worker, id, 1);
    assert_int_equal(claim_now(d, id), JQ_DELAYED);
    assert_true(jq_job_due_at(claim_job(d, id)) <= d->now.wall + 50000000);
    driver_tick(d, 50);
    claim_run(d, worker, id, 1);
    assert_int_equal(claim_state_of(d, client, id), JQ_FAILED);
}

static void a_backoff_is_jittered_in_full_and_doubles_up_to_its_most(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 100000);
    const jq_ns bounds[] = { 1000, 2000, 4000, 5000, 5000 };
    jq_ns least[5], most[5];

    for (int round = 0; round < 60; round++) {
        const struct jq_job_options options = { .attempts_max = 6,
                                                .backoff_ms = 1000,
                                                .backoff_max_ms = 5000 };
        const uint64_t id = claim_submit(d, client, NULL, options, NULL);
        for (int i = 0; i < 5; i++) {
            claim_run(d, worker, id, 1);
            const struct jq_job *job = claim_job(d, id);
            const jq_ns ms = jq_job_due_at(job) ? (jq_job_due_at(job) - d->now.wall) / 1000000 : 0;
            assert_in_range(ms, 0, bounds[i]);
            least[i] = round && least[i] < ms ? least[i] : ms;
            most[i] = round && most[i] > ms ? most[i] : ms;
            driver_tick(d, ms);
        }
        claim_run(d, worker, id, 0);
    }
    for (int i = 0; i < 5; i++) {
        assert_true(least[i] < bounds[i] / 4);
        assert_true(most[i] > bounds[i] * 3 / 4);
    }
}

static bool retried(struct driver *d, uint64_t client, uint64_t worker, enum jq_outcome_kind kind,
                    int64_t code, const struct claim_lists *lists)
{
    const struct jq_job_options options = { .attempts_max = 2, .backoff_ms = 1000000 };
    const uint64_t id = claim_submit(d, client, NULL, options, lists);

    driver_done(d, worker, driver_grant(d, worker), kind, code);
    const bool ret = claim_now(d, id) < JQ_RUNNING;
    if (ret)
        claim_cancel(d, client, id);
    driver_commit(d);
    return ret;
}

static void codes_and_signals_say_which_failures_are_retried(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 100);
    struct claim_lists only = { 0 }, but = { 0 }, both = { 0 };

    claim_retry_on(&only, 75, 0);
    claim_retry_on(&only, -1, 9);
    claim_no_retry_on(&but, 2, 0);
    claim_no_retry_on(&but, -1, 15);
    claim_retry_on(&both, 75, 0);
    claim_retry_on(&both, 76, 0);
    claim_no_retry_on(&both, 76, 0);
    assert_true(retried(d, client, worker, JQ_OUTCOME_EXITED, 75, &only));
    assert_false(retried(d, client, worker, JQ_OUTCOME_EXITED, 1, &only));
    assert_true(retried(d, client, worker, JQ_OUTCOME_SIGNALLED, 9, &only));
    assert_false(retried(d, client, worker, JQ_OUTCOME_SIGNALLED, 15, &only));
    assert_false(retried(d, client, worker, JQ_OUTCOME_EXITED, 9, &only));
    assert_false(retried(d, client, worker, JQ_OUTCOME_EXITED, 2, &but));
    assert_true(retried(d, client, worker, JQ_OUTCOME_EXITED, 3, &but));
    assert_false(retried(d, client, worker, JQ_OUTCOME_SIGNALLED, 15, &but));
    assert_true(retried(d, client, worker, JQ_OUTCOME_TIMEDOUT, 124, &but));
    assert_true(retried(d, client, worker, JQ_OUTCOME_ERROR, 75, &both));
    assert_false(retried(d, client, worker, JQ_OUTCOME_NOSTART, 76, &both));
    assert_false(retried(d, client, worker, JQ_OUTCOME_CANCELLED, 75, &both));
    assert_false(retried(d, client, worker, JQ_OUTCOME_EXITED, 0, &both));
    claim_lists_fini(&only);
    claim_lists_fini(&but);
    claim_lists_fini(&both);
}

static void an_error_that_says_so_is_not_retried_whatever_the_policy(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct claim_lists lists = { 0 };
    uint64_t ids[2];

    claim_retry_on(&lists, 75, 0);
    for (uint64_t flags = 0; flags < 2; flags++) {
        ids[flags] =
            claim_submit(d, client, NULL, (struct jq_job_options){ .attempts_max = 9 }, &lists);
        const struct jq_held held = driver_grant(d, worker);
        const struct jq_outcome outcome = {
            .id = held.id,
            .fence = held.fence,
            .kind = JQ_OUTCOME_ERROR,
            .code = 75,
            .flags = flags * JQ_OUTCOME_NO_RETRY,
        };
        driver_end(d, worker, &outcome);
    }
    assert_int_equal(claim_now(d, ids[0]), JQ_DELAYED);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, ids[1]), JQ_FAILED);
    claim_lists_fini(&lists);
}

static void a_job_that_was_to_be_cancelled_is_not_retried(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    const uint64_t id =
        claim_submit(d, client, NULL, (struct jq_job_options){ .attempts_max = 9 }, NULL);
    const struct jq_held held = driver_grant(d, worker);

    claim_cancel(d, client, id);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, id), JQ_FAILED);
}

static void a_retry_is_durable_before_it_is_acknowledged_and_survives(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    uint64_t worker = driver_worker(d, 2, 1);
    const struct jq_job_options options = { .attempts_max = 3,
                                            .backoff_ms = 60000,
                                            .backoff_kind = JQ_BACKOFF_FIXED };
    const uint64_t id = claim_submit(d, client, NULL, options, NULL);
    const struct jq_held held = driver_grant(d, worker);
    struct jq_attempt history[JQ_HISTORY_MAX];

    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1); /* sent again: counted once */
    assert_false(driver_has(d, worker, JQ_MSG_DONE_ACK));
    worker = driver_worker_back(d, 2, &held, 1); /* it is not lost: its end is known */
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_WELCOME);
    assert_int_equal(frame.msg.u.welcome.lost.count, 0);
    driver_frame_free(&frame);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
    driver_commit(d);
    claim_late(d);
    frame = driver_expect(d, worker, JQ_MSG_DONE_ACK);
    assert_int_equal(frame.msg.u.done_ack.each.count, 1);
    assert_int_equal(frame.msg.u.done_ack.fenced.count, 0);
    driver_frame_free(&frame);
    driver_crash(d);
    const struct jq_job *job = claim_job(d, id);
    assert_int_equal(job->state, JQ_DELAYED);
    assert_int_equal(job->failures, 1);
    assert_int_equal(claim_history(job, history), 1);
    assert_int_equal(history[0].fence, held.fence);
    /* A worker that did not get the acknowledgement holds it no more. */
    worker = driver_worker_back(d, 2, &held, 1);
    frame = driver_expect(d, worker, JQ_MSG_WELCOME);
    assert_int_equal(frame.msg.u.welcome.lost.count, 1);
    driver_frame_free(&frame);
    driver_credit(d, worker, 1);
    driver_tick(d, 60000);
    driver_tick(d, d->conf.lease_ms);
}

/* ---- crashes are another matter ---- */

static void lost_workers_are_no_failures_and_quarantine_a_job(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t beat = driver_beat(d, 9);
    const uint64_t id =
        claim_submit(d, client, NULL, (struct jq_job_options){ .attempts_max = 9 }, NULL);
    const struct jq_msg ping = { .tag = JQ_MSG_PING };
    struct jq_attempt history[JQ_HISTORY_MAX];

    (void)beat;
    for (uint64_t session = 2; session < 4; session++) {
        const uint64_t worker = driver_worker(d, session, 1);
        assert_int_equal(driver_grant(d, worker).id, id);
        for (int i = 0; i < 4; i++) {
            driver_apply(d, client, &ping);
            driver_tick(d, d->conf.lease_ms / 4 + 1);
        }
        driver_commit(d);
        if (session == 2) {
            assert_int_equal(claim_job(d, id)->crashes, 1);
            assert_int_equal(claim_job(d, id)->failures, 0);
            assert_int_equal(claim_history(claim_job(d, id), history), 1);
            assert_true(jq_view_equal(history[0].reason, jq_view_str("its worker was lost")));
        }
    }
    struct driver_frame frame;
    const struct jq_job_info info = claim_info_of(d, client, id, &frame);
    assert_int_equal(info.state, JQ_FAILED);
    assert_int_equal(info.crashes, 2);
    assert_int_equal(strncmp(info.reason.data, "poison", 6), 0);
    driver_frame_free(&frame);
    assert_int_equal(claim_retry(d, client, id), JQ_OK);
    assert_int_equal(claim_job(d, id)->crashes, 0);
    assert_false(claim_job(d, id)->quarantined);
}

static void a_job_that_is_given_back_remembers_it_and_the_oldest_is_forgotten(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };
    struct jq_attempt history[JQ_HISTORY_MAX];

    for (uint64_t i = 0; i < JQ_HISTORY_MAX + 3; i++) {
        const uint64_t worker = driver_worker(d, 100 + i, 1);
        assert_int_equal(driver_grant(d, worker).id, id);
        driver_apply(d, worker, &bye);
    }
    assert_int_equal(claim_history(claim_job(d, id), history), JQ_HISTORY_MAX);
    assert_int_equal(history[0].attempt, 4);
    assert_true(jq_view_equal(history[0].reason, jq_view_str("given back")));
    assert_int_equal(history[JQ_HISTORY_MAX - 1].attempt, JQ_HISTORY_MAX + 3);
}

/* ---- memory that runs out ---- */

static void memory_that_runs_out_leaves_a_failure_counted_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const struct jq_job_options options = { .attempts_max = 2, .backoff_ms = 1000000 };

    for (int64_t fail_in = 0; fail_in < 12; fail_in++) {
        const uint64_t worker = driver_worker(d, 100 + (uint64_t)fail_in, 1);
        const uint64_t id = claim_submit(d, client, NULL, options, NULL);
        const struct jq_held held = driver_grant(d, worker);
        d->fail_in = fail_in;
        driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
        d->fail_in = -1;
        driver_commit(d);
        assert_int_equal(claim_job(d, id)->failures, 1);
        assert_int_equal(jq_history_count(jq_blob_view(jq_job_history(claim_job(d, id)))), 1);
        claim_cancel(d, client, id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_failed_attempt_is_followed_by_another_until_there_are_no_more),
        CLAIM(a_job_that_does_not_say_so_is_not_retried),
        CLAIM(the_queue_says_it_for_jobs_that_do_not),
        CLAIM(a_backoff_is_jittered_in_full_and_doubles_up_to_its_most),
        CLAIM(codes_and_signals_say_which_failures_are_retried),
        CLAIM(an_error_that_says_so_is_not_retried_whatever_the_policy),
        CLAIM(a_job_that_was_to_be_cancelled_is_not_retried),
        CLAIM(a_retry_is_durable_before_it_is_acknowledged_and_survives),
        CLAIM(lost_workers_are_no_failures_and_quarantine_a_job),
        CLAIM(a_job_that_is_given_back_remembers_it_and_the_oldest_is_forgotten),
        CLAIM(memory_that_runs_out_leaves_a_failure_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
