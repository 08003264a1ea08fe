/* SPDX-License-Identifier: MIT
 *
 * test_core_spill_queue.c - what a queue that has jobs in the store alone says and is told: counts,
 * pausing, closing, purging, removing, places, limits. */
#include "tests/unit/core/spill_claims.h"

enum { MANY = 200, SLICES = 9000 /* more than four slices of a purge */ };

static void counts_are_of_all_and_who_joins_waits_for_all(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    spill_fill(d, client, "item", 0, MANY);
    claim_join(d, client);
    for (uint64_t i = 0; i < MANY; i++) {
        const struct jq_queue_info info = claim_ask_queue(d, client);
        assert_int_equal(info.ready, MANY - i);
        assert_int_equal(info.unfinished, MANY - i);
        assert_int_equal(info.succeeded, i);
        if (i % 50 == 49) { /* a restart counts the same */
            driver_crash(d);
            client = driver_client(d, 7);
            claim_join(d, client);
        }
        assert_false(driver_has(d, client, JQ_MSG_JOINED));
        claim_settle(d, client, spill_get(d, client), JQ_SETTLE_DONE, 0);
    }
    claim_drop(d, client, JQ_MSG_JOINED);
}

static void a_paused_queue_gives_nothing_and_says_so_at_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    spill_fill(d, client, "item", 0, MANY);
    while (claim_queue(d, "q")->items.count) { /* the next is on its way */
        claim_get(d, client, 1, false, 0);
        claim_drop(d, client, JQ_MSG_ITEM);
    }
    claim_order(d, client, JQ_QUEUE_PAUSE);
    claim_get(d, client, 2, false, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_QUEUE_SAID);
    claim_get(d, client, 3, true, 0);
    driver_commit(d);
    assert_false(driver_has(d, client, JQ_MSG_ITEM));
    claim_do(d, client, JQ_QUEUE_RESUME);
    claim_drop(d, client, JQ_MSG_ITEM);
}

static void a_closed_queue_is_served_to_its_end(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    spill_fill(d, client, "item", 0, MANY);
    claim_do(d, client, JQ_QUEUE_CLOSE);
    claim_put(d, client, "item", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, client), JQ_ECLOSED);
    for (uint64_t i = 0; i < MANY; i++) {
        const struct jq_held held = spill_get(d, client);
        assert_int_equal(held.id, i + 1);
        claim_settle(d, client, held, JQ_SETTLE_DONE, 0);
    }
    claim_get(d, client, 1, true, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_ECLOSED);
}

/* ---- purges ---- */

static void a_purge_counts_at_once_and_what_comes_after_it_is_served_at_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    spill_fill(d, client, "item", 0, SLICES);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_PURGE), SLICES);
    struct jq_queue_info info = claim_ask_queue(d, client);
    assert_int_equal(info.unfinished, 0);
    assert_int_equal(info.cancelled, SLICES);
    claim_slice(d); /* those in memory */
    claim_put(d, client, "item", 0, 3, NULL);
    for (int i = 0; i < 3; i++)
        claim_settle(d, client, spill_get(d, client), JQ_SETTLE_DONE, 0);
    info = claim_ask_queue(d, client);
    assert_in_range(info.purging, SLICES / 2, SLICES);
    claim_purged(d);
    info = claim_ask_queue(d, client);
    assert_int_equal(info.cancelled, SLICES);
    assert_int_equal(info.succeeded, 3);
    assert_int_equal(info.purging, 0);
}

/* In each order the new ones stand elsewhere among the doomed. */
static void a_restart_and_another_purge_in_the_middle_of_one(void **state)
{
    static const char *const orders[] = { "fifo", "lifo", "priority" };
    struct driver *d = *state;

    for (size_t i = 0; i < 3; i++) {
        uint64_t client = driver_client(d, 7);
        claim_declare(d, client, orders[i], 0);
        spill_fill(d, client, "item", 5, SLICES);
        claim_do(d, client, JQ_QUEUE_PURGE);
        claim_slice(d);
        claim_slice(d);
        claim_put(d, client, "item", 9, 60, NULL); /* behind, by priority */
        driver_commit(d);
        driver_crash(d);
        client = driver_client(d, 7);
        struct jq_queue_info info = claim_ask_queue(d, client);
        assert_int_equal(info.ready, 60);
        assert_in_range(info.purging, 1, SLICES - 1);
        driver_tick(d, 600);
        driver_commit(d);
        assert_int_equal(claim_do(d, client, JQ_QUEUE_PURGE), 60);
        claim_put(d, client, "item", 5, 60, NULL);
        driver_commit(d);
        claim_purged(d);
        spill_drain(d, client, 60);
        info = claim_ask_queue(d, client);
        assert_int_equal(info.cancelled, SLICES + 60);
        assert_int_equal(info.succeeded, 60);
        driver_close(d);
        spill_set_up(state);
    }
}

/* Their rows are there when they are asked for, and not when the answer comes. */
static void what_was_read_before_a_purge_ended_does_not_come_back(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    claim_declare(d, client, "priority", 0);
    spill_fill(d, client, "item", 0, MANY);
    claim_put(d, client, "item", 9, 1, NULL);
    driver_commit(d);
    const uint64_t alone = spill_first_alone(d, 1);
    claim_order(d, client, JQ_QUEUE_PURGE);
    driver_tick(d, 0); /* those in memory */
    driver_wait(d, client, 5000, alone);
    driver_tick(d, 0); /* the only slice; its batch is open */
    assert_int_equal(claim_queue(d, "q")->purge_before, 0);
    driver_answer(d);
    claim_put(d, client, "item", 9, 60, NULL); /* they leave memory, and pages are read */
    driver_commit(d);
    driver_tick(d, 1);
    driver_commit(d);
    claim_expect_end(d, client, alone, JQ_CANCELLED);
    spill_drain(d, client, 60);
}

static void peek_shows_no_job_that_is_being_purged(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    claim_declare(d, client, "priority", 0);
    spill_fill(d, client, "item", 5, SLICES);
    claim_do(d, client, JQ_QUEUE_PURGE);
    claim_slice(d);
    claim_put(d, client, "item", 1, SPILL_RESIDENT - SPILL_RESIDENT / 8, NULL); /* stay */
    claim_put(d, client, "item", 9, 60, NULL); /* do not; the doomed stand between */
    driver_commit(d);
    driver_tick(d, 0);
    driver_commit(d);
    for (int i = 0; claim_queue(d, "q")->items.count; i++) {
        claim_get(d, client, 1, false, 0);
        claim_drop(d, client, JQ_MSG_ITEM);
    }
    assert_true(claim_queue(d, "q")->purge_before > 0);
    claim_peek(d, client, 2);
    driver_commit(d);
    assert_int_equal(claim_expect_error(d, client), JQ_EBUSY);
    claim_purged(d);
    claim_peek(d, client, 3);
    driver_commit(d);
    assert_true(claim_taken(d, client).held.id > SLICES);
}

static void close_now_cancels_all_and_remove_waits_for_that(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    spill_fill(d, client, "item", 0, MANY);
    claim_get(d, client, 1, true, 0);
    claim_drop(d, client, JQ_MSG_ITEM);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_REMOVE), JQ_ESTATE);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_CLOSE_NOW), MANY - 1);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_REMOVE), JQ_ESTATE); /* one is held */
    claim_purged(d);
    claim_bye(d, client);
    const uint64_t other = driver_client(d, 8);
    assert_int_equal(claim_do(d, other, JQ_QUEUE_PURGE), 1);
    claim_purged(d);
    assert_int_equal(claim_do(d, other, JQ_QUEUE_REMOVE), 0);
    assert_null(claim_queue(d, "q"));
    driver_crash(d);
    assert_null(claim_queue(d, "q"));
}

/* ---- what it may have ---- */

static void aging_is_refused_while_some_are_in_the_store_alone(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_queue_conf aging = { .aging_ms = 1000 };

    claim_declare(d, client, "priority", 0);
    spill_fill(d, client, "item", 0, MANY);
    assert_int_equal(claim_set(d, client, "q", JQ_QUEUE_AGING, aging), JQ_ESTATE);
    for (int i = 0; i < MANY - 5; i++)
        claim_settle(d, client, spill_get(d, client), JQ_SETTLE_DONE, 0);
    driver_commit(d);
    assert_int_equal(spill_alone(d), 0);
    assert_int_equal(claim_set(d, client, "q", JQ_QUEUE_AGING, aging), 0);
}

static void it_is_full_when_it_is_full_and_putters_are_served_in_order(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8), c = driver_client(d, 9);

    claim_declare(d, a, "fifo", 100);
    spill_fill(d, a, "item", 0, 100);
    claim_put(d, a, "item", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, a), JQ_EFULL);
    claim_room(d, b, 1, 2);
    claim_room(d, c, 1, 1);
    claim_settle(d, a, spill_get(d, a), JQ_SETTLE_DONE, 0);
    assert_false(claim_kept(d, c, 1)); /* b was first, and needs two */
    claim_settle(d, a, spill_get(d, a), JQ_SETTLE_DONE, 0);
    assert_true(claim_kept(d, b, 1));
    assert_false(claim_kept(d, c, 1));
    const struct jq_held held = spill_get(d, a);
    assert_true(claim_kept(d, c, 1));
    /* It comes back to a full queue, which shows more than its places. */
    claim_put(d, b, "item", 0, 2, NULL);
    claim_put(d, c, "item", 0, 1, NULL);
    driver_commit(d);
    assert_int_equal(claim_settle(d, a, held, JQ_SETTLE_NACK, 0), 0);
    assert_int_equal(claim_ask_queue(d, a).ready, 101);
    assert_int_equal(spill_get(d, a).id, held.id);
}

static void no_more_run_than_its_concurrency(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 9, 0);
    const struct jq_queue_conf two = { .concurrency = 2 };
    struct jq_held held[8];

    claim_set(d, client, "q", JQ_QUEUE_CONCURRENCY, two);
    spill_fill(d, client, "noop", 0, MANY);
    driver_credit(d, worker, MANY);
    assert_int_equal(claim_grants(d, worker, held, 8), 2);
    for (uint64_t id = 1; id <= MANY; id++) {
        assert_int_equal(held[0].id, id);
        driver_done(d, worker, held[0], JQ_OUTCOME_EXITED, 0);
        driver_commit(d);
        held[0] = held[1];
        assert_int_equal(claim_grants(d, worker, held + 1, 7), id < MANY - 1);
        assert_in_range(claim_queue(d, "q")->by_state[JQ_RUNNING], 0, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPILL_CLAIM(counts_are_of_all_and_who_joins_waits_for_all),
        SPILL_CLAIM(a_paused_queue_gives_nothing_and_says_so_at_once),
        SPILL_CLAIM(a_closed_queue_is_served_to_its_end),
        SPILL_CLAIM(a_purge_counts_at_once_and_what_comes_after_it_is_served_at_once),
        SPILL_CLAIM(a_restart_and_another_purge_in_the_middle_of_one),
        SPILL_CLAIM(what_was_read_before_a_purge_ended_does_not_come_back),
        SPILL_CLAIM(peek_shows_no_job_that_is_being_purged),
        SPILL_CLAIM(close_now_cancels_all_and_remove_waits_for_that),
        SPILL_CLAIM(aging_is_refused_while_some_are_in_the_store_alone),
        SPILL_CLAIM(it_is_full_when_it_is_full_and_putters_are_served_in_order),
        SPILL_CLAIM(no_more_run_than_its_concurrency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
