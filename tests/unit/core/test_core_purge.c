/* SPDX-License-Identifier: MIT
 *
 * test_core_purge.c - PURGE and CLOSE_NOW of queues: what is told at once, what follows in slices,
 * and what a restart or somebody else makes of it in between. */
#include "tests/unit/core/queue_claims.h"

/* ---- purging ---- */

static void a_purge_counts_at_once_and_ends_in_slices(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    claim_many(d, client, CLAIM_MANY);
    claim_join(d, client);
    claim_order(d, client, JQ_QUEUE_PURGE);
    assert_false(driver_has(d, client, JQ_MSG_JOINED)); /* a promise */
    driver_commit(d);
    assert_int_equal(claim_ordered(d, client), CLAIM_MANY);
    claim_drop(d, client, JQ_MSG_JOINED);
    struct jq_queue_info info = claim_ask_queue(d, client);
    assert_int_equal(info.unfinished, 0);
    assert_int_equal(info.ready, 0);
    assert_int_equal(info.cancelled, CLAIM_MANY);
    assert_int_equal(info.purging, CLAIM_MANY);
    claim_slice(d);
    info = claim_ask_queue(d, client);
    assert_in_range(info.purging, 1, CLAIM_MANY - 1);
    assert_int_equal(info.cancelled, CLAIM_MANY);
    claim_purged(d);
    info = claim_ask_queue(d, client);
    assert_int_equal(info.purging, 0);
    assert_int_equal(info.cancelled, CLAIM_MANY);
    assert_int_equal(d->core->jobs.count, 0);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_PURGE), 0);
}

static void a_restart_in_the_middle_goes_on_with_it(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    claim_many(d, client, CLAIM_MANY);
    claim_do(d, client, JQ_QUEUE_PURGE);
    claim_slice(d);
    claim_many(d, client, 3);
    driver_crash(d);
    client = driver_client(d, 7);
    const struct jq_queue_info info = claim_ask_queue(d, client);
    assert_int_equal(info.unfinished, 3);
    assert_int_equal(info.cancelled, CLAIM_MANY);
    assert_in_range(info.purging, 1, CLAIM_MANY - 1);
    claim_purged(d);
    assert_int_equal(claim_ask_queue(d, client).cancelled, CLAIM_MANY);
    const uint64_t worker = driver_worker(d, 8, 1);
    assert_int_equal(driver_grant(d, worker).id, CLAIM_MANY + 2); /* a purge takes a number, too */
}

static void whatever_waits_is_purged_whatever_it_waits_for(void **state)
{
    static const char *const orders[] = { "fifo", "lifo", "priority" };
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_options later = { .delay_ms = 5000 };
    struct claim_lists needs = { 0 }, after = { 0 };
    struct jq_job_options needy = { 0 }, child = { 0 };

    claim_need(&needs, "gpu");
    claim_lists_into(&needs, &needy);
    for (size_t i = 0; i < 3; i++) {
        claim_declare(d, client, orders[i], 0);
        const uint64_t first = d->core->meta.next_id;
        claim_put(d, client, "noop", 0, 2, &later);
        claim_put(d, client, "noop", 3, 2, &needy);
        claim_put(d, client, "item", 0, 2, NULL);
        claim_after(&after, first, JQ_AFTER_OK);
        claim_lists_into(&after, &child);
        claim_put(d, client, "noop", 0, 2, &child);
        claim_put(d, client, "noop", 0, 2, NULL);
        claim_lists_fini(&after);
        assert_int_equal(claim_do(d, client, JQ_QUEUE_PURGE), 10);
        claim_put(d, client, "item", -7, 1, NULL); /* meanwhile, and more urgent */
        claim_purged(d);
        const struct jq_queue_info info = claim_ask_queue(d, client);
        assert_int_equal(info.cancelled, (i + 1) * 10 + i);
        assert_int_equal(info.ready, 1);
        claim_cancel(d, client, claim_take(d, client).id);
        driver_commit(d);
        assert_true(jq_dlist_empty(&claim_queue(d, "q")->lanes));
    }
    claim_lists_fini(&needs);
}

static void nothing_of_a_purged_queue_is_handed_out_meanwhile(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    const uint64_t item = claim_item(d, client), job = claim_job_in_q(d, client, 0);
    claim_order(d, client, JQ_QUEUE_PURGE);
    driver_credit(d, worker, 5);
    claim_get(d, client, 1, false, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
    claim_peek(d, client, 2);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    claim_get(d, client, 1, true, 0);
    claim_put(d, client, "item", 0, 1, NULL);
    assert_false(driver_has(d, client, JQ_MSG_ITEM));
    driver_tick(d, 1);
    driver_commit(d);
    assert_int_equal(claim_taken(d, client).held.id, job + 2);
    assert_int_equal(claim_state_of(d, client, item), JQ_CANCELLED);
}

static void what_was_counted_as_cancelled_ends_so_whatever_comes_first(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_options soon = { .expires_ms = 100 }, later = { .delay_ms = 5000 };
    struct claim_lists after = { 0 };
    struct jq_job_options child = { 0 };

    claim_put(d, client, "noop", 0, 1, &later);
    claim_after(&after, 1, JQ_AFTER_OK);
    claim_lists_into(&after, &child);
    claim_put(d, client, "noop", 0, CLAIM_MANY, &child); /* their parent is of the first slice */
    claim_put(d, client, "noop", 0, 5, &soon);
    claim_lists_fini(&after);
    driver_commit(d);
    claim_do(d, client, JQ_QUEUE_PURGE);
    d->now.mono += 200;
    claim_purged(d);
    const struct jq_queue_info info = claim_ask_queue(d, client);
    assert_int_equal(info.cancelled, CLAIM_MANY + 6);
    assert_int_equal(info.skipped + info.expired, 0);
}

static void a_unique_name_of_a_purged_job_is_free(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_options once = { .unique = jq_view_str("once") };

    claim_put(d, client, "noop", 0, 1, &once);
    claim_do(d, client, JQ_QUEUE_PURGE);
    driver_commit(d);
    while (driver_has(d, client, JQ_MSG_SUBMITTED))
        claim_drop(d, client, JQ_MSG_SUBMITTED);
    claim_put(d, client, "noop", 0, 1, &once);
    driver_commit(d);
    assert_int_equal(claim_submitted_ack(d, client).created, 1);
    claim_purged(d);
    assert_int_equal(claim_ask_queue(d, client).ready, 1);
}

static void a_full_queue_has_places_as_soon_as_it_is_purged(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);

    claim_declare(d, a, "fifo", 2);
    claim_put(d, a, "noop", 0, 2, NULL);
    claim_room(d, b, 1, 1);
    claim_do(d, a, JQ_QUEUE_PURGE);
    assert_true(claim_kept(d, b, 1));
    claim_put(d, b, "noop", 0, 1, NULL);
    claim_put(d, b, "noop", 0, 1, NULL);
    claim_put(d, b, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, b), JQ_EFULL);
    claim_purged(d);
    assert_int_equal(claim_ask_queue(d, a).ready, 2);
}

/* ---- who is spared ---- */

/* Two that run while CLAIM_MANY are purged; they come back: the first to its place, for any purge.
 */
static uint64_t purge_beside_two(struct driver *d, uint64_t client, const char *order)
{
    const uint64_t worker = driver_worker(d, 8, 0);
    struct jq_held held[2];
    uint64_t last = 0;

    claim_declare(d, client, order, 0);
    claim_many(d, client, 2);
    driver_credit(d, worker, 2);
    assert_int_equal(claim_grants(d, worker, held, 2), 2);
    claim_many(d, client, CLAIM_MANY);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_PURGE), CLAIM_MANY);
    claim_bye(d, worker);
    driver_commit(d);
    for (size_t i = 0; i < 2; i++)
        last = held[i].id > last ? held[i].id : last;
    assert_int_equal(last, 2);
    assert_int_equal(claim_ask_queue(d, client).ready, 2);
    return driver_worker(d, 9, 0);
}

static bool is_purged(struct driver *d, uint64_t client, uint64_t id)
{
    const struct jq_msg why = { .tag = JQ_MSG_WHY, .u.why.id = id };
    struct jq_blocker blocker;

    driver_apply(d, client, &why);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_BECAUSE);
    struct jq_reader r = jq_records_reader(frame.msg.u.because.blockers);
    assert_true(jq_blocker_next(&r, &blocker));
    const bool purged = jq_view_equal(blocker.kind, jq_view_str("purged"));
    driver_frame_free(&frame);
    return purged;
}

static void why_tells_the_doomed_from_the_spared(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    purge_beside_two(d, client, "fifo");
    assert_false(is_purged(d, client, 1));
    assert_true(is_purged(d, client, CLAIM_MANY));
}

static void jobs_that_ran_when_their_queue_was_purged_come_back(void **state)
{
    static const char *const orders[] = { "fifo", "lifo", "priority" };
    struct driver *d = *state;

    for (size_t i = 0; i < 3; i++) {
        const uint64_t client = driver_client(d, 7);
        const uint64_t worker = purge_beside_two(d, client, orders[i]);
        claim_purged(d);
        driver_credit(d, worker, 9);
        struct jq_held held[2];
        assert_int_equal(claim_grants(d, worker, held, 2), 2);
        driver_close(d);
        driver_open(d);
    }
}

static void they_are_spared_over_a_restart_too_and_the_purge_ends(void **state)
{
    static const char *const orders[] = { "fifo", "lifo", "priority" };
    struct driver *d = *state;

    for (size_t i = 0; i < 3; i++) {
        purge_beside_two(d, driver_client(d, 7), orders[i]);
        driver_crash(d);
        const uint64_t client = driver_client(d, 7);
        assert_int_equal(claim_ask_queue(d, client).ready, 2);
        claim_purged(d);
        assert_int_equal(claim_ask_queue(d, client).ready, 2);
        assert_int_equal(claim_ask_queue(d, client).cancelled, CLAIM_MANY);
        driver_close(d);
        driver_open(d);
    }
}

static void a_second_purge_takes_those_that_the_first_spared(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    purge_beside_two(d, client, "fifo");
    assert_int_equal(claim_do(d, client, JQ_QUEUE_PURGE), 2); /* during the first */
    claim_purged(d);
    assert_int_equal(d->core->jobs.count, 0);
    assert_int_equal(claim_ask_queue(d, client).cancelled, CLAIM_MANY + 2);
}

static void nothing_is_spared_by_an_earlier_purge(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    purge_beside_two(d, client, "fifo");
    claim_purged(d);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_PURGE), 2);
    driver_crash(d); /* what was told as cancelled stays so */
    client = driver_client(d, 7);
    assert_int_equal(claim_ask_queue(d, client).unfinished, 0);
    driver_tick(d, 600);
    claim_purged(d);
    assert_int_equal(claim_ask_queue(d, client).cancelled, CLAIM_MANY + 2);
}

static void a_job_that_is_retried_during_a_purge_is_spared(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    const uint64_t worker = driver_worker(d, 8, 1);

    const uint64_t failed = claim_job_in_q(d, client, 0);
    claim_run(d, worker, failed, 1);
    claim_many(d, client, CLAIM_MANY);
    claim_do(d, client, JQ_QUEUE_PURGE);
    assert_int_equal(claim_retry(d, client, failed), 0);
    assert_int_equal(claim_ask_queue(d, client).ready, 1);
    driver_crash(d);
    client = driver_client(d, 7);
    driver_tick(d, 600);
    claim_purged(d);
    assert_int_equal(claim_now(d, failed), JQ_READY);
}

/* ---- closing now ---- */

static void close_now_takes_and_gives_nothing_more(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    const uint64_t runs = claim_job_in_q(d, client, 0), item = claim_item(d, client);
    claim_do(d, client, JQ_QUEUE_PAUSE);
    claim_get(d, client, 1, true, 0);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_CLOSE_NOW), JQ_ECLOSED); /* of the GET */
    assert_int_equal(claim_ordered(d, client), 1);
    claim_put(d, client, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, client), JQ_ECLOSED);
    claim_purged(d);
    claim_run(d, worker, runs, 0);
    assert_int_equal(claim_state_of(d, client, item), JQ_CANCELLED);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_CLOSE_NOW), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_purge_counts_at_once_and_ends_in_slices),
        CLAIM(a_restart_in_the_middle_goes_on_with_it),
        CLAIM(whatever_waits_is_purged_whatever_it_waits_for),
        CLAIM(nothing_of_a_purged_queue_is_handed_out_meanwhile),
        CLAIM(what_was_counted_as_cancelled_ends_so_whatever_comes_first),
        CLAIM(a_unique_name_of_a_purged_job_is_free),
        CLAIM(a_full_queue_has_places_as_soon_as_it_is_purged),
        CLAIM(why_tells_the_doomed_from_the_spared),
        CLAIM(jobs_that_ran_when_their_queue_was_purged_come_back),
        CLAIM(they_are_spared_over_a_restart_too_and_the_purge_ends),
        CLAIM(a_second_purge_takes_those_that_the_first_spared),
        CLAIM(nothing_is_spared_by_an_earlier_purge),
        CLAIM(a_job_that_is_retried_during_a_purge_is_spared),
        CLAIM(close_now_takes_and_gives_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
