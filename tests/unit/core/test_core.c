/* SPDX-License-Identifier: MIT
 *
 * test_core.c - what the core promises, one claim at a time, in virtual time over the memory store.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/order.h"
#include "tests/support/core_driver.h"

static int set_up(void **state)
{
    static struct driver driver;
    driver_open(&driver);
    *state = &driver;
    return 0;
}

static int tear_down(void **state)
{
    driver_close(*state);
    return 0;
}

static void drop(struct driver *d, uint64_t peer, enum jq_tag tag)
{
    struct driver_frame frame = driver_expect(d, peer, tag);
    driver_frame_free(&frame);
}

static int64_t expect_error(struct driver *d, uint64_t peer)
{
    struct driver_frame frame = driver_expect(d, peer, JQ_MSG_ERROR);
    const int64_t error = frame.msg.u.error.error;
    driver_frame_free(&frame);
    return error;
}

static uint64_t submitted_id(struct driver *d, uint64_t client)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_SUBMITTED);
    const uint64_t id = frame.msg.u.submitted.first_id;
    assert_int_equal(frame.msg.u.submitted.durable, 1);
    driver_frame_free(&frame);
    return id;
}

/* Exactly one result in the frame. */
static struct jq_result expect_result(struct driver *d, uint64_t client, struct driver_frame *frame)
{
    struct jq_result result;
    *frame = driver_expect(d, client, JQ_MSG_RESULTS);
    struct jq_reader r = jq_records_reader(frame->msg.u.results.results);
    assert_int_equal(frame->msg.u.results.results.count, 1);
    assert_true(jq_result_next(&r, &result));
    return result;
}

static void expect_end(struct driver *d, uint64_t client, uint64_t id, enum jq_job_state state)
{
    struct driver_frame frame;
    const struct jq_result result = expect_result(d, client, &frame);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.id, id);
    assert_int_equal(result.state, state);
    driver_frame_free(&frame);
}

static int64_t cancel(struct driver *d, uint64_t client, uint64_t id)
{
    struct jq_buf ids = { 0 };
    struct jq_ack ack;
    const struct jq_job_ref ref = { .id = id };

    jq_job_ref_write(&ids, &ref);
    const struct jq_msg msg = {
        .tag = JQ_MSG_CANCEL,
        .correlation = 99,
        .u.cancel = { .reason = jq_view_str("enough"), .jobs = jq_records_of(1, &ids) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&ids);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_CANCELLED);
    struct jq_reader r = jq_records_reader(frame.msg.u.cancelled.each);
    assert_true(jq_ack_next(&r, &ack));
    driver_frame_free(&frame);
    return ack.error;
}

static struct jq_job_info info_of(struct driver *d, uint64_t client, uint64_t id,
                                  struct driver_frame *frame)
{
    struct jq_buf ids = { 0 };
    struct jq_job_info info;
    const struct jq_job_ref ref = { .id = id };

    jq_job_ref_write(&ids, &ref);
    const struct jq_msg msg = {
        .tag = JQ_MSG_INFO,
        .correlation = 98,
        .u.info = { .jobs = jq_records_of(1, &ids) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&ids);
    driver_commit(d);
    *frame = driver_expect(d, client, JQ_MSG_INFOS);
    struct jq_reader r = jq_records_reader(frame->msg.u.infos.jobs);
    assert_true(jq_job_info_next(&r, &info));
    return info;
}

static enum jq_job_state state_of(struct driver *d, uint64_t client, uint64_t id)
{
    struct driver_frame frame;
    const struct jq_job_info info = info_of(d, client, id, &frame);
    assert_int_equal(info.error, 0);
    driver_frame_free(&frame);
    return (enum jq_job_state)info.state;
}

static uint64_t counter(struct driver *d, uint64_t client, const char *name)
{
    const struct jq_msg msg = { .tag = JQ_MSG_STATS, .correlation = 97 };
    struct jq_counter counter;
    uint64_t value = UINT64_MAX;

    driver_apply(d, client, &msg);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_STATISTICS);
    for (struct jq_reader r = jq_records_reader(frame.msg.u.statistics.counters);
         jq_counter_next(&r, &counter);)
        if (jq_view_equal(counter.name, jq_view_str(name)))
            value = counter.value;
    driver_frame_free(&frame);
    assert_true(value != UINT64_MAX);
    return value;
}

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
    assert_int_equal(submitted_id(d, client), 1);
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
    expect_end(d, client, 1, JQ_SUCCEEDED);
    drop(d, worker, JQ_MSG_DONE_ACK);
}

static void a_call_is_hinted_at_once_and_answered_by_its_result(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .flags = JQ_SUBMIT_CALL });
    struct driver_frame hint = driver_expect(d, client, JQ_MSG_SUBMITTED);
    assert_int_equal(hint.msg.u.submitted.durable, 0);
    driver_frame_free(&hint);
    assert_false(jq_core_wants_commit(d->core, d->now)); /* put and end share one commit */
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 3);
    assert_true(jq_core_wants_commit(d->core, d->now));
    driver_commit(d);
    expect_end(d, client, 1, JQ_FAILED);
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
    assert_int_equal(expect_result(d, client, &frame).error, JQ_EGONE);
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
    assert_int_equal(submitted_id(d, client), 1);
    assert_int_equal(submitted_id(d, client), 1);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 3 });
    assert_int_equal(submitted_id(d, client), 1);
    assert_int_equal(counter(d, client, "submitted"), 3);
    assert_int_equal(counter(d, client, "submits_resent"), 2);
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
    assert_int_equal(submitted_id(d, client), 1);
    driver_submit(d, client, (struct driver_submit){ .number = 2, .answered = 1 });
    driver_commit(d);
    assert_int_equal(submitted_id(d, client), 3);
}

static void a_submit_that_was_not_durable_is_made_again_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_hand_over(d);
    driver_crash(d);
    client = driver_client(d, 7);
    assert_int_equal(counter(d, client, "jobs_in_memory"), 0);
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_commit(d);
    assert_int_equal(submitted_id(d, client), 1);
}

static void a_request_that_was_answered_and_forgotten_is_refused(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_submit(d, client, (struct driver_submit){ .number = 2, .answered = 1 });
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    assert_int_equal(expect_error(d, client), JQ_EALREADY);
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
    assert_int_equal(cancel(d, client, 1), 0); /* ended: it leaves memory */
    assert_int_equal(counter(d, client, "jobs_in_memory"), 0);
    submit_key(d, client, 3, 0, &ack);
    assert_int_equal(ack.created, 0);
    assert_int_equal(ack.id, 1);
    submit_key(d, client, 4, JQ_SUBMIT_STRICT, &ack);
    assert_int_equal(ack.error, JQ_EEXIST);
    assert_int_equal(counter(d, client, "submitted"), 1);
}

static void one_frame_with_a_key_twice_makes_one_job(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "k", .count = 2 });
    driver_commit(d);
    assert_int_equal(counter(d, client, "submitted"), 1);
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
    struct jq_store_op op = { .kind = JQ_OP_QUEUE_PUT, .u.queue = queue };
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
        drop(d, beat, JQ_MSG_BEATEN);
    }
    const uint64_t other = driver_client(d, 70);
    assert_int_equal(state_of(d, other, 1), JQ_READY);
    assert_int_equal(state_of(d, other, 2), JQ_RUNNING);
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
    assert_int_equal(expect_error(d, first), JQ_ENOHELLO);
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
    assert_int_equal(state_of(d, client, 1), JQ_RUNNING);
    driver_done(d, second, held, JQ_OUTCOME_EXITED, 4);
    driver_commit(d);
    assert_int_equal(state_of(d, client, 1), JQ_FAILED);
    assert_int_equal(counter(d, client, "fenced"), 1);
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
    const struct jq_result result = expect_result(d, client, &frame);
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
    const struct jq_job_info info = info_of(d, client, 1, &frame);
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
    drop(d, worker, JQ_MSG_WELCOME);
    driver_credit(d, worker, 2);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    drop(d, worker, JQ_MSG_DONE_ACK);
    client = driver_client(d, 70);
    assert_int_equal(state_of(d, client, 1), JQ_SUCCEEDED);
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
    assert_int_equal(state_of(d, client, 1), JQ_READY);
    const uint64_t other = driver_worker(d, 9, 1);
    assert_false(driver_has(d, other, JQ_MSG_GRANTS)); /* settling: 8 is known, and not yet back */
    worker = driver_worker_back(d, 8, &held, 1);
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_WELCOME);
    assert_int_equal(frame.msg.u.welcome.lost.count, 0);
    driver_frame_free(&frame);
    assert_int_equal(state_of(d, client, 1), JQ_RUNNING);
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
    assert_int_equal(state_of(d, client, 1), JQ_READY);
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
    assert_int_equal(state_of(d, client, 1), JQ_RUNNING);
    driver_tick(d, 10000);
    client = driver_client(d, 71);
    assert_int_equal(state_of(d, client, 1), JQ_READY);
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
    const struct jq_job_info info = info_of(d, client, 1, &frame);
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
    assert_int_equal(cancel(d, client, 1), 0);
    const uint64_t worker = driver_worker(d, 8, 1);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    assert_int_equal(state_of(d, client, 1), JQ_CANCELLED);
    assert_int_equal(cancel(d, client, 1), JQ_EALREADY);
    assert_int_equal(cancel(d, client, 2), JQ_ENOENT);
}

static void cancel_of_a_running_job_tells_its_worker_also_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    const struct jq_held held = driver_grant(d, worker);
    assert_int_equal(cancel(d, client, 1), 0);
    drop(d, worker, JQ_MSG_KILLS);
    driver_crash(d);
    worker = driver_worker_back(d, 8, &held, 1);
    drop(d, worker, JQ_MSG_KILLS);
    driver_done(d, worker, held, JQ_OUTCOME_CANCELLED, 0);
    client = driver_client(d, 70);
    driver_commit(d);
    assert_int_equal(state_of(d, client, 1), JQ_CANCELLED);
}

static void a_cancelled_job_whose_worker_is_lost_does_not_run_again(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_grant(d, driver_worker(d, 8, 1));
    assert_int_equal(cancel(d, client, 1), 0);
    driver_tick(d, 20000);
    client = driver_client(d, 70);
    assert_int_equal(state_of(d, client, 1), JQ_CANCELLED);
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
    assert_int_equal(state_of(d, client, 1), JQ_CANCELLED);
    assert_int_equal(state_of(d, client, 2), JQ_READY);
}

/* ---- waiting and asking ---- */

static void waits_are_answered_for_ended_running_and_unknown_jobs(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    struct driver_frame frame;

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_SIGNALLED, 0);
    driver_wait(d, client, 50, 1); /* ended, not yet durable */
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
    driver_commit(d);
    expect_end(d, client, 1, JQ_FAILED);
    driver_wait(d, client, 51, 1); /* the store's */
    driver_commit(d);
    expect_end(d, client, 1, JQ_FAILED);
    driver_wait(d, client, 52, 99);
    assert_int_equal(expect_result(d, client, &frame).error, JQ_ENOENT);
    driver_frame_free(&frame);
    driver_crash(d);
    client = driver_client(d, 7);
    driver_wait(d, client, 53, 1);
    driver_commit(d);
    expect_end(d, client, 1, JQ_FAILED);
}

static uint32_t list(struct driver *d, uint64_t client, uint64_t states, uint64_t before,
                     uint64_t limit, uint64_t *ids, bool *more)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LIST,
        .correlation = 60,
        .u.list = { .states = states, .before_id = before, .limit = limit },
    };
    struct jq_job_info info;
    uint32_t count = 0;

    driver_apply(d, client, &msg);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_LISTED);
    for (struct jq_reader r = jq_records_reader(frame.msg.u.listed.jobs);
         jq_job_info_next(&r, &info);)
        ids[count++] = info.id;
    *more = frame.msg.u.listed.more;
    driver_frame_free(&frame);
    return count;
}

static void lists_merge_memory_and_store_newest_first(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    uint64_t ids[16];
    bool more;

    for (uint64_t n = 1; n <= 6; n++)
        driver_submit(d, client, (struct driver_submit){ .number = n });
    for (uint64_t n = 1; n <= 6; n += 2)
        assert_int_equal(cancel(d, client, n), 0);
    driver_credit(d, worker, 1);
    driver_grant(d, worker); /* job 2 */
    assert_int_equal(list(d, client, 0, 0, 10, ids, &more), 6);
    assert_false(more);
    for (uint64_t n = 0; n < 6; n++)
        assert_int_equal(ids[n], 6 - n);
    assert_int_equal(list(d, client, 0, 0, 4, ids, &more), 4);
    assert_true(more);
    assert_int_equal(list(d, client, 0, 3, 4, ids, &more), 2);
    assert_false(more);
    assert_int_equal(list(d, client, 1u << JQ_RUNNING, 0, 4, ids, &more), 1);
    assert_int_equal(ids[0], 2);
    assert_int_equal(list(d, client, 1u << JQ_CANCELLED, 0, 2, ids, &more), 2);
    assert_int_equal(ids[0], 5);
    assert_true(more);
}

static void expect_blocker(struct driver *d, uint64_t client, uint64_t id, const char *kind)
{
    const struct jq_msg msg = { .tag = JQ_MSG_WHY, .correlation = 61, .u.why = { .id = id } };
    struct jq_blocker blocker;

    driver_apply(d, client, &msg);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_BECAUSE);
    struct jq_reader r = jq_records_reader(frame.msg.u.because.blockers);
    assert_true(jq_blocker_next(&r, &blocker));
    assert_true(jq_view_equal(blocker.kind, jq_view_str(kind)));
    driver_frame_free(&frame);
}

static void why_names_what_holds_a_job_back(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg unknown = { .tag = JQ_MSG_WHY, .correlation = 61, .u.why = { .id = 9 } };

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_submit(d, client, (struct driver_submit){ .number = 2 });
    expect_blocker(d, client, 1, "no_worker");
    const uint64_t worker = driver_worker(d, 8, 1);
    const struct jq_held held = driver_grant(d, worker);
    expect_blocker(d, client, 1, "running");
    expect_blocker(d, client, 2, "no_slot");
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    expect_blocker(d, client, 1, "ended");
    driver_apply(d, client, &unknown);
    assert_int_equal(expect_error(d, client), JQ_ENOENT);
}

static void read_log(struct driver *d, uint64_t client, uint64_t offset, uint64_t limit,
                     bool follow)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LOG_READ,
        .correlation = 62,
        .u.log_read = { .id = 1, .stream = 1, .offset = offset, .limit = limit, .follow = follow },
    };
    driver_apply(d, client, &msg);
}

static void expect_log(struct driver *d, uint64_t client, const char *bytes, bool end)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_LOG_DATA);
    const struct jq_log_data *data = &frame.msg.u.log_data;
    assert_int_equal(data->error, 0);
    assert_true(jq_view_equal(data->bytes, jq_view_str(bytes)));
    assert_int_equal(data->end, end);
    driver_frame_free(&frame);
}

static void logs_come_from_the_worker_while_it_runs_and_from_the_store_after(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    read_log(d, client, 0, 100, false);
    expect_log(d, client, "", false);
    read_log(d, client, 0, 100, true); /* waits for its start */
    assert_false(driver_has(d, client, JQ_MSG_LOG_DATA));
    const uint64_t worker = driver_worker(d, 8, 1);
    const struct jq_held held = driver_grant(d, worker);
    struct driver_frame ask = driver_expect(d, worker, JQ_MSG_LOG_READ);
    const struct jq_msg answer = {
        .tag = JQ_MSG_LOG_DATA,
        .correlation = ask.msg.correlation,
        .u.log_data = { .id = 1, .stream = 1, .bytes = jq_view_str("hel"), .total = 3 },
    };
    driver_frame_free(&ask);
    driver_apply(d, worker, &answer);
    expect_log(d, client, "hel", false);

    read_log(d, client, 3, 100, true);
    drop(d, worker, JQ_MSG_LOG_READ); /* it has nothing, and then the job ends */
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    assert_false(driver_has(d, client, JQ_MSG_LOG_DATA));
    driver_commit(d);
    expect_log(d, client, "lo", true);
    read_log(d, client, 1, 2, false);
    driver_commit(d);
    expect_log(d, client, "el", false);
    read_log(d, client, 500, 2, false);
    driver_commit(d);
    expect_log(d, client, "", true);
}

static void events_tell_what_has_become_true_in_order(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    const struct jq_msg watch = { .tag = JQ_MSG_WATCH, .correlation = 63 };
    static const enum jq_job_state want[] = { JQ_READY, JQ_RUNNING, JQ_SUCCEEDED };
    struct jq_event event;

    driver_apply(d, client, &watch);
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    assert_false(driver_has(d, client, JQ_MSG_EVENTS));
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_EVENTS);
    struct jq_reader r = jq_records_reader(frame.msg.u.events.events);
    for (size_t i = 0; i < 3; i++) {
        assert_true(jq_event_next(&r, &event));
        assert_int_equal(event.state, want[i]);
    }
    driver_frame_free(&frame);
}

/* ---- bad peers ---- */

static void a_peer_without_hello_is_told_so(void **state)
{
    struct driver *d = *state;
    const struct jq_msg ping = { .tag = JQ_MSG_PING, .correlation = 5 };

    driver_apply(d, 77, &ping);
    assert_int_equal(expect_error(d, 77), JQ_ENOHELLO);
}

static void a_hello_of_another_version_or_without_a_session_is_refused(void **state)
{
    struct driver *d = *state;
    struct jq_msg hello = {
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = 90, .version_max = 99, .role = JQ_ROLE_CLIENT, .session = 1 },
    };

    driver_apply(d, 77, &hello);
    assert_int_equal(expect_error(d, 77), JQ_EVERSION);
    hello.u.hello.version_min = 1;
    hello.u.hello.session = 0;
    driver_apply(d, 78, &hello);
    assert_int_equal(expect_error(d, 78), JQ_EINVAL);
    assert_int_equal(d->closed, 2);
}

static void bad_submits_are_refused_whole(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 0 });
    assert_int_equal(expect_error(d, client), JQ_EINVAL);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .queue = "not a name" });
    assert_int_equal(expect_error(d, client), JQ_EINVAL);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "no/key" });
    assert_int_equal(expect_error(d, client), JQ_EINVAL);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .job_flags = 1u << 30 });
    assert_int_equal(expect_error(d, client), JQ_EINVAL);
    assert_int_equal(counter(d, client, "submitted"), 0);
}

static void submits_are_refused_while_space_is_low_and_work_goes_on(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    d->space_low = true;
    driver_commit(d);
    driver_submit(d, client, (struct driver_submit){ .number = 2 });
    assert_int_equal(expect_error(d, client), JQ_ENOSPC);
    driver_credit(d, worker, 1);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    d->space_low = false;
    driver_commit(d);
    driver_submit(d, client, (struct driver_submit){ .number = 2 });
    driver_commit(d);
    submitted_id(d, client);
    assert_int_equal(submitted_id(d, client), 2);
}

static void a_silent_client_is_forgotten_and_its_waits_with_it(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_wait(d, client, 50, 1);
    driver_tick(d, 16000);
    assert_int_equal(d->closed, 1);
    driver_wait(d, client, 50, 1);
    assert_int_equal(expect_error(d, client), JQ_ENOHELLO);
}

static void the_newest_connection_of_a_session_is_answered(void **state)
{
    struct driver *d = *state;
    const uint64_t old = driver_client(d, 7);

    driver_submit(d, old, (struct driver_submit){ .number = 1 });
    const uint64_t client = driver_client(d, 7);
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_commit(d);
    assert_int_equal(submitted_id(d, client), 1);
    assert_int_equal(d->closed, 1);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_submit_is_acknowledged_when_it_is_durable_and_not_before),
        CLAIM(somebody_who_waits_makes_the_batch_wanted_at_once),
        CLAIM(a_grant_leaves_at_once),
        CLAIM(a_result_leaves_only_when_it_is_durable),
        CLAIM(a_call_is_hinted_at_once_and_answered_by_its_result),
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
        CLAIM(waits_are_answered_for_ended_running_and_unknown_jobs),
        CLAIM(lists_merge_memory_and_store_newest_first),
        CLAIM(why_names_what_holds_a_job_back),
        CLAIM(logs_come_from_the_worker_while_it_runs_and_from_the_store_after),
        CLAIM(events_tell_what_has_become_true_in_order),
        CLAIM(a_peer_without_hello_is_told_so),
        CLAIM(a_hello_of_another_version_or_without_a_session_is_refused),
        CLAIM(bad_submits_are_refused_whole),
        CLAIM(submits_are_refused_while_space_is_low_and_work_goes_on),
        CLAIM(a_silent_client_is_forgotten_and_its_waits_with_it),
        CLAIM(the_newest_connection_of_a_session_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
