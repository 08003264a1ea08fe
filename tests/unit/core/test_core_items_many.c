/* SPDX-License-Identifier: MIT
 *
 * test_core_items_many.c - items in batches: a GET with a count is given what there is, and every
 * item of it is as one that came alone. */
#include "tests/unit/core/queue_claims.h"

static void put(struct driver *d, uint64_t client, uint32_t count)
{
    claim_put(d, client, "item", 0, count, NULL);
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_SUBMITTED);
}

/* An item of so many bytes. */
static void put_large(struct driver *d, uint64_t client, uint64_t number, size_t size)
{
    static const uint8_t bytes[JQ_FRAME_SOFT];
    const struct jq_job_spec spec = { .handler = jq_view_str(JQ_HANDLER_ITEM),
                                      .payload = jq_view(bytes, size),
                                      .title = jq_view_str(""),
                                      .key = jq_view_str("") };
    struct jq_buf jobs = { 0 };

    jq_job_spec_write(&jobs, &spec);
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = number,
        .u.submit = { .queue = jq_view_str("q"), .jobs = jq_records_of(1, &jobs) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&jobs);
}

/* ---- how many ---- */

static void a_get_of_many_is_given_what_there_is_and_waits_for_the_first_alone(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct jq_held held[CLAIM_GIVEN];

    put(d, client, 3);
    claim_get_many(d, client, 1, 10);
    assert_int_equal(claim_given(d, client, 1, held), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(held[i].id, i + 1);
    claim_get_many(d, client, 2, 10);
    assert_false(driver_has(d, client, JQ_MSG_ITEMS));
    assert_int_equal(claim_ask_queue(d, client).getters, 1);
    put(d, client, 1);
    assert_int_equal(claim_given(d, client, 2, held), 1);
    assert_int_equal(claim_ask_queue(d, client).getters, 0);
}

static void one_that_does_not_wait_for_many_is_told_that_there_is_nothing(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg get = {
        .tag = JQ_MSG_GET,
        .correlation = 5,
        .u.get = { .queue = jq_view_str("q"), .count = 10 },
    };
    struct jq_held held[CLAIM_GIVEN];

    put(d, client, 2);
    driver_apply(d, client, &get);
    assert_int_equal(claim_given(d, client, 5, held), 2);
    driver_apply(d, client, &get);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
}

static void one_that_asks_for_many_keeps_its_count_from_those_behind_it_and_no_more(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8), other = driver_client(d, 9);
    struct jq_held held[CLAIM_GIVEN];

    claim_get_many(d, a, 1, 2);
    claim_get(d, b, 1, true, 0);
    claim_get_many(d, a, 2, 2);
    claim_get_many(d, b, 2, 2);
    put(d, other, 6);
    assert_int_equal(claim_given(d, a, 1, held), 2);
    assert_int_equal(held[1].id, 2);
    assert_int_equal(claim_taken(d, b).held.id, 3);
    assert_int_equal(claim_given(d, a, 2, held), 2);
    assert_int_equal(held[1].id, 5);
    assert_int_equal(claim_given(d, b, 2, held), 1);
    assert_int_equal(held[0].id, 6);
}

static void a_frame_of_items_ends_past_its_bytes(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct jq_held held[CLAIM_GIVEN];

    for (uint64_t i = 0; i < 3; i++)
        put_large(d, client, 100 + i, JQ_FRAME_SOFT / 2 + 1);
    claim_get_many(d, client, 1, 10);
    assert_int_equal(claim_given(d, client, 1, held), 2);
    claim_get_many(d, client, 2, 10);
    assert_int_equal(claim_given(d, client, 2, held), 1);
}

static void concurrency_bounds_what_many_are_given(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_queue_conf two = { .order = jq_view_str("fifo"), .concurrency = 2 };
    struct jq_held held[CLAIM_GIVEN];

    claim_set(d, client, "q", JQ_QUEUE_CONCURRENCY, two);
    put(d, client, 4);
    claim_get_many(d, client, 1, 10);
    assert_int_equal(claim_given(d, client, 1, held), 2);
    claim_get_many(d, client, 2, 10);
    assert_int_equal(claim_settle(d, client, held[0], JQ_SETTLE_DONE, 0), 0);
    assert_int_equal(claim_given(d, client, 2, held), 1);
}

static void a_session_is_given_no_more_than_it_may_hold(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const uint32_t asks = JQ_HELD_MAX / JQ_JOBS_PER_FRAME;

    for (uint32_t i = 0; i < asks; i++)
        put(d, client, JQ_JOBS_PER_FRAME);
    put(d, client, 1);
    for (uint32_t i = 0; i < asks; i++) {
        claim_get_many(d, client, 1 + i, JQ_JOBS_PER_FRAME);
        driver_commit(d);
        claim_drop(d, client, JQ_MSG_ITEMS);
    }
    assert_int_equal(claim_ask_queue(d, client).running, JQ_HELD_MAX);
    claim_get_many(d, client, 99, 1);
    assert_int_equal(claim_expect_error(d, client), JQ_EBUSY);
}

static void many_are_given_in_the_order_of_their_queue(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    static const int32_t priorities[] = { 3, 1, 2 };
    struct jq_held held[CLAIM_GIVEN];

    claim_declare(d, client, "priority", 0);
    for (size_t i = 0; i < 3; i++)
        claim_put(d, client, "item", priorities[i], 1, NULL);
    claim_get_many(d, client, 1, 3);
    assert_int_equal(claim_given(d, client, 1, held), 3);
    assert_true(held[0].id == 2 && held[1].id == 3 && held[2].id == 1);
}

/* What came back to a full queue stands aside: it is better than what would be given next. */
static void what_stands_aside_comes_back_before_more_is_given(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), other = driver_client(d, 8);
    struct jq_held held[CLAIM_GIVEN];

    claim_declare(d, client, "fifo", 2);
    put(d, client, 2);
    const struct jq_held first = claim_take(d, client);
    put(d, client, 1);
    assert_int_equal(claim_settle(d, client, first, JQ_SETTLE_NACK, 0), 0);
    assert_int_equal(claim_now(d, 3), JQ_BLOCKED);
    claim_get_many(d, other, 1, 2);
    claim_get_many(d, other, 2, 2);
    const size_t count = claim_given(d, other, 1, held);
    assert_int_equal(held[0].id, 1);
    assert_int_equal(count + claim_given(d, other, 2, held), 3);
}

static void the_last_items_of_a_closed_queue_are_given_and_the_others_told(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);
    struct jq_held held[CLAIM_GIVEN];

    put(d, a, 2);
    claim_do(d, a, JQ_QUEUE_PAUSE);
    claim_get_many(d, a, 1, 5);
    claim_get_many(d, b, 1, 5);
    claim_do(d, a, JQ_QUEUE_CLOSE);
    claim_do(d, a, JQ_QUEUE_RESUME);
    assert_int_equal(claim_given(d, a, 1, held), 2);
    assert_int_equal(claim_expect_error(d, b), JQ_ECLOSED);
}

/* ---- each as one alone ---- */

static void each_of_many_has_its_own_fence_and_is_settled_by_itself(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct jq_held held[CLAIM_GIVEN];

    put(d, client, 3);
    claim_get_many(d, client, 1, 3);
    assert_int_equal(claim_given(d, client, 1, held), 3);
    assert_int_equal(claim_settle(d, client, held[0], JQ_SETTLE_DONE, 0), 0);
    assert_int_equal(claim_settle(d, client, held[1], JQ_SETTLE_NACK, 0), 0);
    assert_int_equal(claim_take(d, client).id, held[1].id);
    assert_int_equal(claim_settle(d, client, held[1], JQ_SETTLE_DONE, 0), JQ_EFENCED);
    assert_int_equal(claim_now(d, held[2].id), JQ_RUNNING);
}

static void what_a_client_does_not_list_of_many_goes_back(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    struct jq_held held[CLAIM_GIVEN];
    uint32_t lost;

    put(d, client, 3);
    claim_get_many(d, client, 1, 3);
    assert_int_equal(claim_given(d, client, 1, held), 3);
    claim_gone(d, client);
    client = claim_client_back(d, 7, &held[1], 1, &lost);
    assert_int_equal(lost, 0);
    assert_int_equal(claim_now(d, held[0].id), JQ_READY);
    assert_int_equal(claim_now(d, held[1].id), JQ_RUNNING);
    assert_int_equal(claim_now(d, held[2].id), JQ_READY);
}

static void a_restart_finds_many_with_those_who_hold_them(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    struct jq_held held[2 * CLAIM_GIVEN];
    uint32_t lost;

    put(d, client, 4);
    claim_get_many(d, client, 1, 2);
    assert_int_equal(claim_given(d, client, 1, held), 2);
    driver_commit(d);
    claim_get_many(d, client, 2, 2); /* their marks are lost with the broker */
    assert_int_equal(claim_given(d, client, 2, held + 2), 2);
    driver_crash(d);
    client = claim_client_back(d, 7, held, 4, &lost);
    assert_int_equal(lost, 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(claim_settle(d, client, held[i], JQ_SETTLE_DONE, 0), 0);
}

static void many_by_receipt_are_told_when_all_are_durable(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg get = {
        .tag = JQ_MSG_GET,
        .correlation = 5,
        .u.get = { .queue = jq_view_str("q"), .wait = 1, .lease_ms = 500, .count = 10 },
    };
    struct jq_held held[CLAIM_GIVEN];

    put(d, client, 3);
    driver_apply(d, client, &get);
    assert_false(driver_has(d, client, JQ_MSG_ITEMS));
    driver_commit(d);
    assert_int_equal(claim_given(d, client, 5, held), 3);
    driver_tick(d, 501);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(claim_now(d, held[i].id), JQ_READY);
}

static void a_get_of_many_is_withdrawn_as_a_whole(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);
    struct jq_held held[CLAIM_GIVEN];

    claim_get_many(d, a, 1, 5);
    claim_get_many(d, b, 1, 5);
    claim_unwait(d, a, 1);
    put(d, b, 3);
    assert_int_equal(claim_given(d, b, 1, held), 3);
    assert_false(driver_has(d, a, JQ_MSG_ITEMS));
}

/* ---- what it costs ---- */

static void what_is_put_got_and_done_within_a_batch_costs_the_store_nothing(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_queue_conf relaxed = { .order = jq_view_str("fifo"),
                                           .durability = JQ_DURABILITY_RELAXED };
    struct jq_held held[CLAIM_GIVEN];
    uint32_t jobs = 0;

    claim_set(d, client, "q", JQ_QUEUE_DURABILITY, relaxed);
    claim_get_many(d, client, 1, 1); /* its holder is stored now */
    driver_submit(
        d, client,
        (struct driver_submit){
            .number = 900, .queue = "q", .handler = "item", .job_flags = JQ_JOB_DISCARD });
    assert_int_equal(claim_given(d, client, 1, held), 1);
    claim_settle_ask(d, client, held[0], JQ_SETTLE_DONE, 0);
    driver_commit(d);
    driver_submit(d, client,
                  (struct driver_submit){ .number = 901,
                                          .queue = "q",
                                          .handler = "item",
                                          .job_flags = JQ_JOB_DISCARD,
                                          .count = 8 });
    claim_get_many(d, client, 2, 8);
    assert_int_equal(claim_given(d, client, 2, held), 8);
    for (size_t i = 0; i < 8; i++)
        claim_settle_ask(d, client, held[i], JQ_SETTLE_DONE, 0);
    driver_hand_over(d);
    for (size_t b = 0; b < d->batch_count; b++)
        for (uint32_t i = 0; i < d->batches[b]->count; i++) {
            const enum jq_store_op_kind kind = d->batches[b]->ops[i].kind;
            jobs += kind == JQ_OP_JOB_PUT || kind == JQ_OP_JOB_SET || kind == JQ_OP_JOB_DELETE;
        }
    assert_int_equal(jobs, 0);
    driver_commit(d);
}

static void many_survive_memory_that_runs_out_anywhere(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    struct jq_held held[CLAIM_GIVEN];
    uint32_t lost;

    for (int64_t fail_in = 0; fail_in < 60; fail_in++) {
        client = claim_client_back(d, 7, NULL, 0, &lost); /* all that it held is back */
        while (driver_has(d, client, JQ_MSG_SUBMITTED))
            claim_drop(d, client, JQ_MSG_SUBMITTED);
        put(d, client, 4);
        const uint64_t ready = claim_ask_queue(d, client).ready;
        d->fail_in = fail_in;
        claim_get_many(d, client, 1, 4);
        driver_commit(d);
        d->fail_in = -1;
        if (!jq_peer_find(d->core, client) || !driver_has(d, client, JQ_MSG_ITEMS))
            continue; /* it has lost its connection: all of it goes back */
        size_t count = claim_given(d, client, 1, held);
        assert_int_equal(claim_ask_queue(d, client).ready, ready - count);
        while (count-- > 0)
            assert_int_equal(claim_settle(d, client, held[count], JQ_SETTLE_DONE, 0), 0);
    }
    client = claim_client_back(d, 7, NULL, 0, &lost);
    assert_int_equal(claim_ask_queue(d, client).running, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_get_of_many_is_given_what_there_is_and_waits_for_the_first_alone),
        CLAIM(one_that_does_not_wait_for_many_is_told_that_there_is_nothing),
        CLAIM(one_that_asks_for_many_keeps_its_count_from_those_behind_it_and_no_more),
        CLAIM(a_frame_of_items_ends_past_its_bytes),
        CLAIM(concurrency_bounds_what_many_are_given),
        CLAIM(a_session_is_given_no_more_than_it_may_hold),
        CLAIM(many_are_given_in_the_order_of_their_queue),
        CLAIM(what_stands_aside_comes_back_before_more_is_given),
        CLAIM(the_last_items_of_a_closed_queue_are_given_and_the_others_told),
        CLAIM(each_of_many_has_its_own_fence_and_is_settled_by_itself),
        CLAIM(what_a_client_does_not_list_of_many_goes_back),
        CLAIM(a_restart_finds_many_with_those_who_hold_them),
        CLAIM(many_by_receipt_are_told_when_all_are_durable),
        CLAIM(a_get_of_many_is_withdrawn_as_a_whole),
        CLAIM(what_is_put_got_and_done_within_a_batch_costs_the_store_nothing),
        CLAIM(many_survive_memory_that_runs_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
