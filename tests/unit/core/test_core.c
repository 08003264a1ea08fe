/* SPDX-License-Identifier: MIT
 *
 * test_core.c - what the core promises: when things are told, what is stored, what happens
 * once, in which order. One claim at a time, in virtual time over the memory store. */
#include "tests/unit/core/core_claims.h"

/* ---- promises ---- */

static void a_submit_is_acknowledged_when_it_is_durable_and_not_before(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    assert_false(driver_has(d, client, JQ_MSG_SUBMITTED));
    driver_hand_over(d);
    assert_false(driver_has(d, client, JQ_MSG_SUBMITTED));
    driver_commit(d);
    assert_int_equal(claim_submitted_id(d, client), 1);
}

static void somebody_who_waits_makes_the_batch_wanted_at_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    assert_false(jq_core_wants_commit(d->core, d->now));
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    assert_true(jq_core_wants_commit(d->core, d->now));
}

static void a_grant_leaves_at_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    const struct jq_held held = driver_grant(d, worker);
    assert_int_equal(held.id, 1);
    assert_int_equal(held.fence, UINT64_C(1) << 32 | 1);
}

static void a_result_leaves_only_when_it_is_durable(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_wait(d, client, 50, 1);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
    assert_false(driver_has(d, worker, JQ_MSG_DONE_ACK));
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_SUCCEEDED);
    claim_late(d);
    claim_drop(d, worker, JQ_MSG_DONE_ACK);
}

static void a_call_is_hinted_and_answered_by_its_result(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .flags = JQ_SUBMIT_CALL });
    assert_false(jq_core_wants_commit(d->core, d->now)); /* put and end share one commit */
    claim_late(d);
    struct driver_frame hint = driver_expect(d, client, JQ_MSG_SUBMITTED);
    assert_int_equal(hint.msg.u.submitted.durable, 0);
    driver_frame_free(&hint);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 3);
    assert_true(jq_core_wants_commit(d->core, d->now));
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_FAILED);
}

/* ---- netting ---- */

static void a_job_put_and_ended_in_one_batch_is_one_operation(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    driver_commit(d);
    d->ops_committed = 0;
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    assert_int_equal(d->ops_committed, 3); /* job, request, queue's counters */
}

static void a_discarded_job_put_and_ended_in_one_batch_is_none(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    driver_commit(d);
    d->ops_committed = 0;
    driver_submit(d, client, (struct driver_submit){ .number = 1, .job_flags = JQ_JOB_DISCARD });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    assert_int_equal(d->ops_committed, 2); /* request, queue's counters */
    driver_wait(d, client, 50, 1);
    driver_commit(d);
    struct driver_frame frame;
    assert_int_equal(claim_expect_result(d, client, &frame).error, JQ_EGONE);
    driver_frame_free(&frame);
}

/* ---- exactly once ---- */

static void a_resent_submit_gets_the_same_answer_and_makes_no_second_job(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 3 });
    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 3 });
    driver_commit(d);
    assert_int_equal(claim_submitted_id(d, client), 1);
    assert_int_equal(claim_submitted_id(d, client), 1);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 3 });
    assert_int_equal(claim_submitted_id(d, client), 1);
    assert_int_equal(claim_counter(d, client, "submitted"), 3);
    assert_int_equal(claim_counter(d, client, "submits_resent"), 2);
}

static void a_resent_submit_gets_the_same_answer_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 2 });
    driver_commit(d);
    driver_crash(d);
    client = driver_client(d, 7);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 2 });
    assert_int_equal(claim_submitted_id(d, client), 1);
    driver_submit(d, client, (struct driver_submit){ .number = 2, .answered = 1 });
    driver_commit(d);
    assert_int_equal(claim_submitted_id(d, client), 3);
}

static void a_submit_that_was_not_durable_is_made_again_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_hand_over(d);
    driver_crash(d);
    client = driver_client(d, 7);
    assert_int_equal(claim_counter(d, client, "jobs_in_memory"), 0);
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_commit(d);
    assert_int_equal(claim_submitted_id(d, client), 1);
}

static void a_request_that_was_answered_and_forgotten_is_refused(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_submit(d, client, (struct driver_submit){ .number = 2, .answered = 1 });
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    assert_int_equal(claim_expect_error(d, client), JQ_EALREADY);
}

/* ---- keys ---- */

static void submit_key(struct driver *d, uint64_t client, uint64_t number, uint64_t flags,
                       struct jq_ack *ret)
{
    driver_submit(d, client,
                  (struct driver_submit){ .number = number, .flags = flags, .key = "nightly" });
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_SUBMITTED);
    struct jq_reader r = jq_records_reader(frame.msg.u.submitted.each);
    assert_true(jq_ack_next(&r, ret));
    driver_frame_free(&frame);
}

static void a_key_names_at_most_one_job_in_memory_or_in_the_store(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct jq_ack ack;

    submit_key(d, client, 1, 0, &ack);
    assert_int_equal(ack.created, 1);
    submit_key(d, client, 2, 0, &ack);
    assert_int_equal(ack.created, 0);
    assert_int_equal(ack.id, 1);
    assert_int_equal(claim_cancel(d, client, 1), 0); /* ended: it leaves memory */
    assert_int_equal(claim_counter(d, client, "jobs_in_memory"), 0);
    submit_key(d, client, 3, 0, &ack);
    assert_int_equal(ack.created, 0);
    assert_int_equal(ack.id, 1);
    submit_key(d, client, 4, JQ_SUBMIT_STRICT, &ack);
    assert_int_equal(ack.error, JQ_EEXIST);
    assert_int_equal(claim_counter(d, client, "submitted"), 1);
}

static void one_frame_with_a_key_twice_makes_one_job(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "k", .count = 2 });
    driver_commit(d);
    assert_int_equal(claim_counter(d, client, "submitted"), 1);
}

/* ---- order ---- */

static void fifo_runs_in_the_order_of_submission_and_a_returned_job_keeps_its_place(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    struct jq_buf records = { 0 };

    for (uint64_t n = 1; n <= 3; n++)
        driver_submit(d, client, (struct driver_submit){ .number = n });
    const struct jq_held first = driver_grant(d, worker);
    assert_int_equal(first.id, 1);
    jq_held_write(&records, &first);
    const struct jq_msg release = {
        .tag = JQ_MSG_RELEASE,
        .u.release = { .jobs = jq_records_of(1, &records) },
    };
    driver_apply(d, worker, &release);
    jq_buf_fini(&records);
    for (uint64_t n = 1; n <= 3; n++) {
        driver_credit(d, worker, n + 1);
        assert_int_equal(driver_grant(d, worker).id, n);
    }
}

static void order_case(struct driver *d, enum jq_order_kind order, const uint64_t want[4])
{
    const struct jq_queue_record queue = { .id = 1,
                                           .order = order,
                                           .name = jq_view_str("ordered") };
    static const int32_t priorities[4] = { 5, -1, 5, INT32_MIN };
    struct jq_detail detail;
    struct jq_store_op op = { .kind = JQ_OP_QUEUE_PUT, .u.queue = { .id = 1, .record = &queue } };
    struct jq_batch batch = { .ops = &op, .count = 1, .live = 1 };

    assert_int_equal(d->backend->ops->load_meta(d->backend, &batch.meta), JQ_OK);
    batch.number = ++batch.meta.commit_sequence;
    batch.meta.next_queue = 2;
    assert_int_equal(d->backend->ops->commit(d->backend, &batch, &detail), JQ_OK);
    driver_crash(d);
    const uint64_t client = driver_client(d, 7);
    for (uint64_t n = 1; n <= 4; n++)
        driver_submit(d, client,
                      (struct driver_submit){
                          .number = n, .queue = "ordered", .priority = priorities[n - 1] });
    const uint64_t worker = driver_worker(d, 8, 0);
    for (uint64_t n = 1; n <= 4; n++) {
        driver_credit(d, worker, n);
        assert_int_equal(driver_grant(d, worker).id, want[n - 1]);
    }
}

static void lifo_runs_the_newest_first(void **state)
{
    order_case(*state, JQ_LIFO, (const uint64_t[]){ 4, 3, 2, 1 });
}

static void priority_runs_the_lowest_first_and_ties_in_order_of_submission(void **state)
{
    order_case(*state, JQ_PRIORITY, (const uint64_t[]){ 4, 2, 1, 3 });
}

static void a_worker_never_gets_more_than_its_credit(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 3);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 10 });
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_GRANTS);
    assert_int_equal(frame.msg.u.grants.jobs.count, 3);
    driver_frame_free(&frame);
    driver_credit(d, worker, 3); /* repeated: no harm */
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_submit_is_acknowledged_when_it_is_durable_and_not_before),
        CLAIM(somebody_who_waits_makes_the_batch_wanted_at_once),
        CLAIM(a_grant_leaves_at_once),
        CLAIM(a_result_leaves_only_when_it_is_durable),
        CLAIM(a_call_is_hinted_and_answered_by_its_result),
        CLAIM(a_job_put_and_ended_in_one_batch_is_one_operation),
        CLAIM(a_discarded_job_put_and_ended_in_one_batch_is_none),
        CLAIM(a_resent_submit_gets_the_same_answer_and_makes_no_second_job),
        CLAIM(a_resent_submit_gets_the_same_answer_after_a_restart),
        CLAIM(a_submit_that_was_not_durable_is_made_again_after_a_restart),
        CLAIM(a_request_that_was_answered_and_forgotten_is_refused),
        CLAIM(a_key_names_at_most_one_job_in_memory_or_in_the_store),
        CLAIM(one_frame_with_a_key_twice_makes_one_job),
        CLAIM(fifo_runs_in_the_order_of_submission_and_a_returned_job_keeps_its_place),
        CLAIM(lifo_runs_the_newest_first),
        CLAIM(priority_runs_the_lowest_first_and_ties_in_order_of_submission),
        CLAIM(a_worker_never_gets_more_than_its_credit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
