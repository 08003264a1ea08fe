/* SPDX-License-Identifier: MIT
 *
 * test_core_results.c - SUBMITs whose results are wanted, and CALLs: what follows SUBMITTED, when,
 * and what is left to a WAIT. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(results_follow_the_promise_and_the_store_is_not_asked),
        CLAIM(results_that_nobody_wanted_do_not_follow),
        CLAIM(a_resend_brings_the_results_again_from_the_store),
        CLAIM(past_the_bound_of_waits_the_jobs_are_taken_and_a_wait_is_left_to_the_client),
        CLAIM(unwait_withdraws_the_results),
        CLAIM(no_result_overtakes_the_ids_of_a_queue_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
