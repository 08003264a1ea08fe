/* SPDX-License-Identifier: MIT
 *
 * test_core_settle.c - items that are held: leases that end by time, and what is settled, also
 * twice, too late, after a restart or while memory runs out. */
#include "tests/unit/core/queue_claims.h"

/* ---- leases by time ---- */

static void a_receipt_is_told_when_it_is_durable_and_survives_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    claim_item(d, client);
    claim_get(d, client, 1, true, 5000);
    assert_false(driver_has(d, client, JQ_MSG_ITEM));
    driver_commit(d);
    const struct claim_taken taken = claim_taken(d, client);
    assert_int_equal(taken.lease_until, d->now.wall + INT64_C(5000) * 1000000);
    driver_crash(d);
    assert_int_equal(claim_now(d, taken.held.id), JQ_RUNNING);
    client = driver_client(d, 8); /* whoever knows the fence */
    assert_int_equal(claim_settle(d, client, taken.held, JQ_SETTLE_EXTEND, 9000), 0);
    driver_crash(d);
    driver_tick(d, 8900);
    assert_int_equal(claim_now(d, taken.held.id), JQ_RUNNING);
    driver_tick(d, 200);
    assert_int_equal(claim_now(d, taken.held.id), JQ_READY);
    client = driver_client(d, 9);
    assert_int_equal(claim_settle(d, client, taken.held, JQ_SETTLE_DONE, 0), JQ_EFENCED);
    assert_int_equal(claim_settle(d, client, taken.held, JQ_SETTLE_EXTEND, 1), JQ_EFENCED);
}

static void a_receipt_that_ended_while_the_broker_was_down_is_over(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    claim_item(d, client);
    claim_get(d, client, 1, true, 5000);
    driver_commit(d);
    d->now.wall += INT64_C(6000) * 1000000;
    driver_crash(d);
    assert_int_equal(claim_now(d, 1), JQ_READY);
    assert_int_equal(d->core->by_receipt.busy, 0);
}

static void leases_may_be_longer_than_time(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    claim_item(d, client);
    claim_get(d, client, 1, true, UINT64_MAX);
    driver_commit(d);
    const struct claim_taken taken = claim_taken(d, client);
    assert_true(taken.lease_until > d->now.wall);
    assert_int_equal(claim_settle(d, client, taken.held, JQ_SETTLE_EXTEND, UINT64_MAX), 0);
    driver_tick(d, 100000);
    client = driver_client(d, 7);
    assert_int_equal(claim_settle(d, client, taken.held, JQ_SETTLE_NACK, UINT64_MAX), 0);
    assert_int_equal(claim_now(d, 1), JQ_DELAYED);
    driver_crash(d);
    assert_int_equal(claim_now(d, 1), JQ_DELAYED);
}

static void an_extended_item_of_a_session_is_held_by_its_receipt(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    claim_item(d, client);
    const struct jq_held held = claim_take(d, client);
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_EXTEND, 0), JQ_EINVAL);
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_EXTEND, 30000), 0);
    claim_gone(d, client);
    driver_tick(d, 20000);
    assert_int_equal(claim_now(d, held.id), JQ_RUNNING);
    driver_tick(d, 11000);
    assert_int_equal(claim_now(d, held.id), JQ_READY);
}

/* ---- settling ---- */

static void what_is_settled_twice_was_so_already(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    claim_item(d, client);
    const struct jq_held held = claim_take(d, client), none = { .id = 77, .fence = 1 };
    assert_int_equal(claim_settle(d, client, none, JQ_SETTLE_DONE, 0), JQ_ENOENT);
    claim_settle_ask(d, client, held, JQ_SETTLE_DONE, 0);
    assert_false(driver_has(d, client, JQ_MSG_SETTLED)); /* a promise */
    claim_settle_ask(d, client, held, JQ_SETTLE_DONE, 0);
    assert_false(driver_has(d, client, JQ_MSG_SETTLED));
    driver_commit(d);
    assert_int_equal(claim_settled(d, client), 0);
    assert_int_equal(claim_settled(d, client), JQ_EALREADY);
    driver_crash(d);
    client = driver_client(d, 7);
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_DONE, 0), JQ_EALREADY);
}

static void a_settle_that_is_resent_after_the_answer_was_lost_ends_it_once(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    uint32_t lost;

    claim_item(d, client);
    const struct jq_held held = claim_take(d, client);
    claim_settle_ask(d, client, held, JQ_SETTLE_DONE, 0);
    client = claim_client_back(d, 7, &held, 1, &lost); /* its end is on its way to the disk */
    assert_int_equal(lost, 0);
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_DONE, 0), JQ_EALREADY);
    assert_int_equal(claim_ask_queue(d, client).succeeded, 1);
}

static void a_nacked_item_comes_back_to_its_place_or_after_its_delay(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    claim_item(d, client);
    claim_item(d, client);
    struct jq_held held = claim_take(d, client);
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_NACK, 0), 0);
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_NACK, 0), JQ_EFENCED);
    claim_get(d, client, 1, true, 0);
    const struct claim_taken again = claim_taken(d, client);
    assert_int_equal(again.held.id, 1);
    assert_int_equal(again.attempt, 2);
    assert_true(again.held.fence > held.fence);
    held = again.held;
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_NACK, 1000), 0);
    assert_int_equal(claim_take(d, client).id, 2);
    driver_crash(d);
    assert_int_equal(claim_now(d, 1), JQ_DELAYED);
    driver_tick(d, 20000);
    assert_int_equal(claim_now(d, 1), JQ_READY);
    assert_int_equal(claim_job(d, 1)->crashes, 0);
}

static void a_held_item_that_is_cancelled_is_nobodys(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), other = driver_client(d, 8);

    claim_item(d, client);
    const struct jq_held held = claim_take(d, client);
    assert_int_equal(claim_cancel(d, other, held.id), 0);
    assert_false(driver_has(d, client, JQ_MSG_KILLS));
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_DONE, 0), JQ_EALREADY);
    assert_int_equal(claim_state_of(d, other, held.id), JQ_CANCELLED);
}

static void a_job_is_not_settled_by_clients(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    claim_job_in_q(d, client, 0);
    const struct jq_held held = driver_grant(d, worker);
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_DONE, 0), JQ_ESTATE);
    const struct jq_msg nothing = { .tag = JQ_MSG_SETTLE, .correlation = 3 };
    driver_apply(d, client, &nothing);
    claim_drop(d, client, JQ_MSG_SETTLED);
}

/* ---- memory ---- */

static void items_survive_memory_that_runs_out_anywhere(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    uint32_t lost;

    for (int64_t fail_in = 0; fail_in < 40; fail_in++) {
        claim_put(d, client, "item", 0, 2, NULL);
        driver_commit(d);
        d->fail_in = fail_in;
        claim_get(d, client, 1, true, fail_in % 3 ? 0 : 60000);
        driver_commit(d);
        d->fail_in = -1;
        if (!jq_peer_find(d->core, client) || !driver_has(d, client, JQ_MSG_ITEM)) {
            client = claim_client_back(d, 7, NULL, 0, &lost);
            claim_get(d, client, 1, true, 0);
            driver_commit(d);
        }
        const struct jq_held held = claim_taken(d, client).held;
        d->fail_in = fail_in;
        claim_settle_ask(d, client, held, fail_in % 2 ? JQ_SETTLE_DONE : JQ_SETTLE_NACK, 0);
        driver_commit(d);
        d->fail_in = -1;
        if (!jq_peer_find(d->core, client))
            client = claim_client_back(d, 7, NULL, 0, &lost);
    }
    driver_crash(d);
    assert_true(d->core->jobs.count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_receipt_is_told_when_it_is_durable_and_survives_a_restart),
        CLAIM(a_receipt_that_ended_while_the_broker_was_down_is_over),
        CLAIM(leases_may_be_longer_than_time),
        CLAIM(an_extended_item_of_a_session_is_held_by_its_receipt),
        CLAIM(what_is_settled_twice_was_so_already),
        CLAIM(a_settle_that_is_resent_after_the_answer_was_lost_ends_it_once),
        CLAIM(a_nacked_item_comes_back_to_its_place_or_after_its_delay),
        CLAIM(a_held_item_that_is_cancelled_is_nobodys),
        CLAIM(a_job_is_not_settled_by_clients),
        CLAIM(items_survive_memory_that_runs_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
