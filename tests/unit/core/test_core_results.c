/* SPDX-License-Identifier: MIT
 *
 * test_core_results.c - SUBMITs whose results are wanted, and CALLs: what follows SUBMITTED, when,
 * and what is left to a WAIT; and what is told a moment late. */
#include "broker/core/parts.h"
#include "tests/unit/core/core_claims.h"

static void submit(struct driver *d, uint64_t client, uint64_t number, uint32_t count)
{
    driver_submit(d, client,
                  (struct driver_submit){ .number = number, .count = count, .results = true });
}

/* The next frame for the client is SUBMITTED; does it say that results follow? */
static bool takes_submitted(struct driver *d, uint64_t client, uint64_t first_id)
{
    struct driver_frame frame;

    assert_true(driver_take(d, client, &frame));
    assert_int_equal(frame.msg.tag, JQ_MSG_SUBMITTED);
    assert_int_equal(frame.msg.u.submitted.durable, 1);
    assert_int_equal(frame.msg.u.submitted.first_id, first_id);
    const bool follow = frame.msg.u.submitted.results != 0;
    driver_frame_free(&frame);
    return follow;
}

static void takes_results(struct driver *d, uint64_t client, uint64_t number, uint32_t count)
{
    struct driver_frame frame;

    assert_true(driver_take(d, client, &frame));
    assert_int_equal(frame.msg.tag, JQ_MSG_RESULTS);
    assert_int_equal(frame.msg.correlation, number);
    assert_int_equal(frame.msg.u.results.results.count, count);
    driver_frame_free(&frame);
}

static void takes_nothing(struct driver *d, uint64_t client)
{
    struct driver_frame frame;

    assert_false(driver_take(d, client, &frame));
}

static void end_one(struct driver *d, uint64_t worker)
{
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
}

/* ---- wanted with the SUBMIT ---- */

static void results_follow_the_promise_and_the_store_is_not_asked(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    submit(d, client, 1, 1);
    end_one(d, worker);
    takes_nothing(d, client);
    driver_hand_over(d);
    assert_int_equal(d->read_count, 0);
    driver_commit(d);
    assert_true(takes_submitted(d, client, 1));
    takes_results(d, client, 1, 1);
    submit(d, client, 2, 1);
    driver_commit(d);
    assert_true(takes_submitted(d, client, 2));
    takes_nothing(d, client);
    end_one(d, worker);
    driver_commit(d);
    takes_results(d, client, 2, 1);
}

static void results_that_nobody_wanted_do_not_follow(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    end_one(d, worker);
    driver_commit(d);
    assert_false(takes_submitted(d, client, 1));
    takes_nothing(d, client);
}

static void a_resend_brings_the_results_again_from_the_store(void **state)
{
    struct driver *d = *state;
    const uint64_t worker = driver_worker(d, 8, 4);
    uint64_t client = driver_client(d, 7);

    submit(d, client, 1, 1);
    end_one(d, worker);
    driver_commit(d);
    client = driver_client(d, 7);
    submit(d, client, 1, 1);
    driver_commit(d);
    assert_true(takes_submitted(d, client, 1));
    takes_results(d, client, 1, 1);
    driver_crash(d);
    client = driver_client(d, 7);
    submit(d, client, 1, 1);
    driver_commit(d);
    assert_true(takes_submitted(d, client, 1));
    takes_results(d, client, 1, 1);
}

static void
past_the_bound_of_waits_the_jobs_are_taken_and_a_wait_is_left_to_the_client(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);

    ((struct jq_core_conf *)(uintptr_t)&d->core->conf)->waits_max = 4;
    submit(d, client, 1, 3);
    submit(d, client, 2, 3);
    driver_commit(d);
    assert_true(takes_submitted(d, client, 1));
    assert_false(takes_submitted(d, client, 4));
    takes_nothing(d, client);
    claim_drop(d, worker, JQ_MSG_GRANTS);
    assert_int_equal(d->core->jobs.count, 6);
}

static void unwait_withdraws_the_results(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);
    const struct jq_msg unwait = { .tag = JQ_MSG_UNWAIT, .correlation = 1 };

    submit(d, client, 1, 1);
    driver_commit(d);
    assert_true(takes_submitted(d, client, 1));
    driver_apply(d, client, &unwait);
    end_one(d, worker);
    driver_commit(d);
    takes_nothing(d, client);
}

static void set_durability(struct driver *d, uint64_t client, enum jq_durability durability)
{
    const struct jq_queue_conf conf = { .durability = (uint64_t)durability };
    struct jq_buf list = { 0 };

    jq_queue_conf_write(&list, &conf);
    const struct jq_msg set = {
        .tag = JQ_MSG_QUEUE_SET,
        .correlation = 60,
        .u.queue_set = { .name = jq_view_str("default"),
                         .fields = JQ_QUEUE_DURABILITY,
                         .mode = JQ_QUEUE_DECLARE,
                         .conf = jq_records_of(1, &list) },
    };
    driver_apply(d, client, &set);
    jq_buf_fini(&list);
}

/* The result of a job that is never stored is true at once, its id only when ids up to it are kept
 * from being given again. */
static void no_result_overtakes_the_ids_of_a_queue_in_memory(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    set_durability(d, client, JQ_DURABILITY_MEMORY);
    submit(d, client, 1, 1);
    end_one(d, worker);
    takes_nothing(d, client);
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_QUEUE_SAID);
    assert_true(takes_submitted(d, client, 1));
    takes_results(d, client, 1, 1);
}

/* ---- CALL ---- */

static void call(struct driver *d, uint64_t client, uint64_t number, uint32_t count)
{
    driver_submit(
        d, client,
        (struct driver_submit){ .number = number, .count = count, .flags = JQ_SUBMIT_CALL });
}

static void a_call_that_says_so_is_told_its_ids_in_the_frame_of_its_first_result(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    struct driver_frame frame;

    driver_submit(d, client,
                  (struct driver_submit){
                      .number = 1, .count = 2, .flags = JQ_SUBMIT_CALL, .results = true });
    end_one(d, worker);
    driver_commit(d);
    assert_true(driver_take(d, client, &frame));
    assert_int_equal(frame.msg.tag, JQ_MSG_RESULTS);
    assert_int_equal(frame.msg.u.results.first_id, 1);
    driver_frame_free(&frame);
    driver_credit(d, worker, 2);
    end_one(d, worker);
    driver_commit(d);
    assert_true(driver_take(d, client, &frame));
    assert_int_equal(frame.msg.u.results.first_id, 0);
    driver_frame_free(&frame);
    driver_tick(d, 100);
    takes_nothing(d, client);
}

static void takes_hint(struct driver *d, uint64_t client, uint64_t first_id)
{
    struct driver_frame frame;

    assert_true(driver_take(d, client, &frame));
    assert_int_equal(frame.msg.tag, JQ_MSG_SUBMITTED);
    assert_int_equal(frame.msg.u.submitted.durable, 0);
    assert_int_equal(frame.msg.u.submitted.first_id, first_id);
    driver_frame_free(&frame);
}

static void a_call_that_ends_at_once_is_told_its_ids_just_before_its_result(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    call(d, client, 1, 1);
    end_one(d, worker);
    takes_nothing(d, client);
    driver_tick(d,
                100); /* the disk is slow: what is on its way with the result is not told twice */
    takes_nothing(d, client);
    driver_commit(d);
    takes_hint(d, client, 1);
    takes_results(d, client, 1, 1);
    driver_tick(d, 100);
    takes_nothing(d, client);
}

static void a_call_that_takes_longer_is_told_its_ids_by_then(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    call(d, client, 1, 1);
    takes_nothing(d, client);
    claim_late(d);
    takes_hint(d, client, 1);
    end_one(d, worker);
    driver_commit(d);
    takes_results(d, client, 1, 1);
    takes_nothing(d, client);
}

/* The second of its jobs is true before the first is. */
static void no_result_of_a_call_overtakes_its_ids(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    call(d, client, 1, 2);
    end_one(d, worker);
    driver_hand_over(d);
    driver_credit(d, worker, 2);
    end_one(d, worker);
    takes_nothing(d, client);
    driver_commit(d);
    takes_hint(d, client, 1);
    takes_results(d, client, 1, 1);
    takes_results(d, client, 1, 1);
    takes_nothing(d, client);
}

static void a_call_whose_jobs_are_all_refused_is_told_so_at_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "k" });
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_SUBMITTED);
    driver_submit(d, client,
                  (struct driver_submit){
                      .number = 2, .key = "k", .flags = JQ_SUBMIT_CALL | JQ_SUBMIT_STRICT });
    driver_answer(d);
    takes_hint(d, client, 2);
    takes_nothing(d, client);
}

static void a_call_that_is_withdrawn_is_told_nothing(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg unwait = { .tag = JQ_MSG_UNWAIT, .correlation = 1 };

    call(d, client, 1, 1);
    driver_apply(d, client, &unwait);
    driver_tick(d, 100);
    takes_nothing(d, client);
}

/* ---- acknowledgements ---- */

static uint32_t acks(struct driver *d, uint64_t worker)
{
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_DONE_ACK);
    const uint32_t count = frame.msg.u.done_ack.each.count;

    driver_frame_free(&frame);
    return count;
}

static void acknowledgements_gather_for_a_moment(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    for (uint64_t i = 1; i <= 3; i++) {
        driver_submit(d, client, (struct driver_submit){ .number = i });
        driver_credit(d, worker, i);
        end_one(d, worker);
        driver_commit(d);
        assert_false(driver_has(d, worker, JQ_MSG_DONE_ACK));
    }
    claim_late(d);
    assert_int_equal(acks(d, worker), 3);
    driver_tick(d, 100);
    assert_false(driver_has(d, worker, JQ_MSG_DONE_ACK));
}

static void a_worker_that_leaves_is_not_kept_waiting(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    const struct jq_msg draining = { .tag = JQ_MSG_CREDIT, .u.credit.draining = 1 };

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 2 });
    driver_credit(d, worker, 1);
    end_one(d, worker);
    driver_credit(d, worker, 2);
    const struct jq_held last = driver_grant(d, worker);
    driver_commit(d);
    assert_false(driver_has(d, worker, JQ_MSG_DONE_ACK));
    driver_apply(d, worker, &draining);
    assert_int_equal(acks(d, worker), 1);
    driver_done(d, worker, last, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    assert_int_equal(acks(d, worker), 1);
}

static void a_worker_remembers_no_more_than_so_many_ends_for_it(void **state)
{
    struct driver *d = *state;
    enum { COUNT = 1000 };
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = COUNT });
    driver_commit(d);
    for (uint64_t i = 1; i <= COUNT && !driver_has(d, worker, JQ_MSG_DONE_ACK); i++) {
        driver_credit(d, worker, i);
        end_one(d, worker);
        if (i % 50 == 0)
            driver_commit(d);
    }
    assert_in_range(acks(d, worker), 256, COUNT - 1);
}

static void an_end_with_much_output_is_acknowledged_when_it_is_durable(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);
    static const char value[1000];
    struct jq_buf list = { 0 };

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 1 });
    const struct jq_held held = driver_grant(d, worker);
    const struct jq_outcome outcome = { .id = held.id,
                                        .fence = held.fence,
                                        .value = jq_view(value, sizeof value) };
    jq_outcome_write(&list, &outcome);
    const struct jq_msg done = { .tag = JQ_MSG_DONE, .u.done.outcomes = jq_records_of(1, &list) };
    driver_apply(d, worker, &done);
    jq_buf_fini(&list);
    driver_commit(d);
    assert_int_equal(acks(d, worker), 1);
}

static void acknowledgements_end_with_their_connection(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 4);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    end_one(d, worker);
    driver_commit(d);
    assert_int_equal(jq_core_gone(d->core, d->now, worker), JQ_OK);
    driver_collect(d);
    driver_tick(d, 100);
    jq_core_check(d->core);
    assert_false(driver_has(d, worker, JQ_MSG_DONE_ACK));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(results_follow_the_promise_and_the_store_is_not_asked),
        CLAIM(results_that_nobody_wanted_do_not_follow),
        CLAIM(a_resend_brings_the_results_again_from_the_store),
        CLAIM(past_the_bound_of_waits_the_jobs_are_taken_and_a_wait_is_left_to_the_client),
        CLAIM(unwait_withdraws_the_results),
        CLAIM(no_result_overtakes_the_ids_of_a_queue_in_memory),
        CLAIM(a_call_that_says_so_is_told_its_ids_in_the_frame_of_its_first_result),
        CLAIM(a_call_that_ends_at_once_is_told_its_ids_just_before_its_result),
        CLAIM(a_call_that_takes_longer_is_told_its_ids_by_then),
        CLAIM(no_result_of_a_call_overtakes_its_ids),
        CLAIM(a_call_whose_jobs_are_all_refused_is_told_so_at_once),
        CLAIM(a_call_that_is_withdrawn_is_told_nothing),
        CLAIM(acknowledgements_gather_for_a_moment),
        CLAIM(a_worker_that_leaves_is_not_kept_waiting),
        CLAIM(a_worker_remembers_no_more_than_so_many_ends_for_it),
        CLAIM(an_end_with_much_output_is_acknowledged_when_it_is_durable),
        CLAIM(acknowledgements_end_with_their_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
