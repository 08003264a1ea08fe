/* SPDX-License-Identifier: MIT
 *
 * test_core_spill.c - queues that are longer than what the broker has in memory: their order, what
 * of them is in memory, and what they do when they are told to. */
#include "tests/unit/core/spill_claims.h"

static const char *const orders[] = { "fifo", "lifo", "priority" };
enum { ORDERS = 3, MANY = 200 };

/* ---- order ---- */

struct expected {
    struct {
        int32_t priority;
        bool waits;
    } items[2 * MANY];
    uint64_t first, count; /* id of the first */
    enum jq_order_kind order;
};

static void put(struct driver *d, uint64_t client, struct expected *e, int32_t priority)
{
    claim_put(d, client, "item", priority, 1, NULL);
    e->items[e->count].priority = priority;
    e->items[e->count++].waits = true;
}

static uint64_t next_of(const struct expected *e)
{
    struct jq_order_key best = { 0 };

    for (uint64_t i = 0; i < e->count; i++) {
        const struct jq_order_key key = { .rank = e->items[i].priority, .id = e->first + i };
        if (e->items[i].waits && (!best.id || jq_order_before(e->order, key, best)))
            best = key;
    }
    return best.id;
}

static struct jq_held take(struct driver *d, uint64_t client, struct expected *e)
{
    const struct jq_held held = spill_get(d, client);

    assert_int_equal(held.id, next_of(e));
    e->items[held.id - e->first].waits = false;
    return held;
}

/* Before the edge, behind it, and while a page is being read. */
static void the_order_is_exact_whatever_comes_and_comes_back(void **state)
{
    struct driver *d = *state;
    static struct expected e;

    for (size_t order = 0; order < ORDERS; order++) {
        const uint64_t client = driver_client(d, 7);
        claim_declare(d, client, orders[order], 0);
        e = (struct expected){ .first = d->core->meta.next_id,
                               .order = claim_queue(d, "q")->order };
        for (int i = 0; i < MANY; i++)
            put(d, client, &e, i * 7 % 5);
        driver_commit(d);
        for (int i = 0; i < MANY; i++) {
            if (i % 3 == 0)
                put(d, client, &e, i % 2 ? -1 : 9);
            const struct jq_held held = take(d, client, &e);
            if (i % 10 == 4) { /* given back */
                assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_NACK, 0), 0);
                e.items[held.id - e.first].waits = true;
            }
            if (i % 50 == 7) { /* its holder leaves */
                const uint64_t other = driver_client(d, 8);
                const struct jq_held lost = take(d, other, &e);
                claim_bye(d, other);
                e.items[lost.id - e.first].waits = true;
            }
        }
        while (next_of(&e))
            take(d, client, &e);
        assert_true(d->pages_read > MANY / SPILL_RESIDENT);
        driver_close(d);
        spill_set_up(state);
    }
}

static void items_in_front_do_not_starve_workers_nor_jobs_clients(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 9, 0);
    uint64_t credit = 0;

    spill_fill(d, client, "item", 0, 100);
    spill_fill(d, client, "noop", 0, 100);
    assert_true(jq_spilled(&claim_queue(d, "q")->plain) > 80);
    assert_true(jq_spilled(&claim_queue(d, "q")->items) > 80);
    for (uint64_t i = 0; i < 100; i++) {
        driver_credit(d, worker, ++credit);
        driver_commit(d);
        claim_run(d, worker, 101 + i, 0);
    }
    assert_true(spill_drain(d, client, 100));
}

static void jobs_with_needs_keep_the_order_of_the_queue(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = claim_tagged(d, 9, "gpu", 0);
    struct claim_lists needs = { 0 };
    struct jq_job_options options = { 0 };

    claim_need(&needs, "gpu");
    claim_lists_into(&needs, &options);
    spill_fill(d, client, "noop", 0, 60);
    claim_put(d, client, "noop", 0, 1, &options);
    spill_fill(d, client, "noop", 0, 60);
    claim_lists_fini(&needs);
    for (uint64_t id = 1; id <= 121; id++) {
        driver_credit(d, worker, id);
        driver_commit(d);
        claim_run(d, worker, id, 0);
    }
}

static void nothing_acknowledged_is_lost_when_it_is_killed_at_any_step(void **state)
{
    struct driver *d = *state;

    for (int cut = 0; cut < 60; cut++) {
        uint64_t client = driver_client(d, 7), done = 0;
        int steps = 0;
        spill_fill(d, client, "item", 0, 60);
        for (int i = 0; i < 20 && steps < cut; i++) {
            const struct jq_held held = spill_get(d, client);
            if (++steps == cut)
                break;
            claim_settle_ask(d, client, held, i % 4 ? JQ_SETTLE_DONE : JQ_SETTLE_NACK, 0);
            if (++steps == cut)
                break;
            driver_commit(d);
            done += i % 4 != 0 && claim_settled(d, client) == 0;
            steps++;
        }
        driver_crash(d);
        client = driver_client(d, 7);
        driver_tick(d, 600);
        spill_drain(d, client, claim_ask_queue(d, client).unfinished);
        assert_int_equal(claim_ask_queue(d, client).succeeded, 60);
        assert_true(done <= 60);
        driver_close(d);
        spill_set_up(state);
    }
}

/* ---- in memory ---- */

static void the_longest_give_way_and_a_small_queue_keeps_its_jobs(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .queue = "small", .count = 3 });
    spill_fill(d, client, "noop", 0, MANY);
    for (uint64_t id = 1; id <= 3; id++)
        assert_non_null(claim_job(d, id));
    assert_true(spill_alone(d) >= MANY - SPILL_RESIDENT);
    driver_submit(d, client, (struct driver_submit){ .number = 2, .queue = "r", .count = MANY });
    driver_commit(d);
    driver_tick(d, 1);
    driver_commit(d);
    for (uint64_t id = 1; id <= 3; id++)
        assert_non_null(claim_job(d, id));
    assert_true(jq_spilled_of(claim_queue(d, "r")) >= MANY - SPILL_RESIDENT);
}

static void memory_is_bounded_however_they_come(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    for (size_t order = 0; order < ORDERS; order++) {
        claim_declare(d, client, orders[order], 0);
        for (int i = 0; i < 500; i++) {
            claim_put(d, client, "noop", 500 - i, 1,
                      NULL); /* each before all others, by priority */
            if (i % 5 == 0)
                driver_commit(d);
            assert_in_range(d->core->jobs.count, 0, SPILL_RESIDENT * 3);
        }
        claim_do(d, client, JQ_QUEUE_PURGE);
        claim_purged(d);
    }
}

static void bytes_are_bounded_too_and_large_jobs_leave_first(void **state)
{
    struct driver *d = *state;
    static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    struct claim_lists labels = { 0 };
    struct jq_job_options large = { 0 };
    char text[64];

    d->conf.resident_jobs_max = 1000;
    d->conf.resident_bytes_max = 8192;
    driver_crash(d);
    const uint64_t client = driver_client(d, 7);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    for (size_t i = 0; i < 8; i++)
        claim_label(&labels, names[i], text);
    claim_lists_into(&labels, &large);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .queue = "small", .count = 100 });
    claim_put(d, client, "noop", 0, 60, &large);
    driver_commit(d);
    claim_put(d, client, "noop", 0, 1, &large);
    driver_commit(d);
    claim_lists_fini(&labels);
    assert_true(d->core->job_bytes <= 8192 + 8192 / 8);
    assert_true(spill_alone(d) > 30);
    assert_int_equal(jq_spilled_of(claim_queue(d, "small")), 0);
}

static void what_may_not_leave_stays_and_is_found(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_options later = { .delay_ms = 1 }, soon = { .expires_ms = 90000 },
                                once = { .unique = jq_view_str("once") };
    struct claim_lists limits = { 0 }, after = { 0 };
    struct jq_job_options limited = { 0 }, child = { 0 };
    uint64_t ids[6];

    claim_limit(&limits, "l", 1);
    claim_lists_into(&limits, &limited);
    spill_fill(d, client, "noop", 0, 40);
    const struct jq_job_options *const options[] = { &later, &soon, &once, &limited };
    for (size_t i = 0; i < 4; i++) {
        ids[i] = d->core->meta.next_id;
        claim_put(d, client, "noop", 0, 1, options[i]);
    }
    ids[4] = d->core->meta.next_id;
    claim_put(d, client, "noop", 0, 1, NULL);
    driver_wait(d, client, 5000, ids[4]);
    claim_after(&after, ids[4], JQ_AFTER_OK);
    claim_lists_into(&after, &child);
    ids[5] = d->core->meta.next_id;
    claim_put(d, client, "noop", 0, 1, &child);
    claim_put(d, client, "noop", 0, MANY, NULL);
    for (int i = 0; i < 5; i++) {
        driver_commit(d);
        driver_tick(d, 2);
    }
    for (size_t i = 0; i < 6; i++)
        assert_non_null(claim_job(d, ids[i]));
    assert_int_equal(claim_now(d, ids[0]), JQ_READY); /* its time has come */
    claim_lists_fini(&limits);
    claim_lists_fini(&after);
}

static void queues_in_memory_do_not_spill_and_relaxed_ones_do(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_queue_conf memory = { .durability = JQ_DURABILITY_MEMORY },
                               relaxed = { .durability = JQ_DURABILITY_RELAXED };

    claim_set(d, client, "m", JQ_QUEUE_DURABILITY, memory);
    claim_set(d, client, "q", JQ_QUEUE_DURABILITY, relaxed);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .queue = "m", .count = 50 });
    claim_put(d, client, "item", 0, 50, NULL);
    driver_commit(d);
    driver_tick(d, 1);
    driver_commit(d);
    assert_int_equal(jq_spilled_of(claim_queue(d, "m")), 0);
    assert_true(spill_alone(d) >= 30);
    while (driver_has(d, client, JQ_MSG_SUBMITTED))
        claim_drop(d, client, JQ_MSG_SUBMITTED);
    assert_true(spill_drain(d, client, 50));
}

/* ---- when something breaks ---- */

static void a_page_that_cannot_be_read_is_read_again_after_a_second(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    spill_fill(d, client, "item", 0, 60);
    d->read_err = JQ_EIO;
    while (claim_queue(d, "q")->items.count) {
        const struct jq_held held = spill_get(d, client);
        claim_settle(d, client, held, JQ_SETTLE_DONE, 0);
    }
    claim_get(d, client, 1, false, 0);
    driver_commit(d);
    d->read_err = JQ_OK;
    assert_false(driver_has(d, client, JQ_MSG_ERROR)); /* there are some */
    driver_tick(d, 900);
    driver_commit(d);
    assert_false(driver_has(d, client, JQ_MSG_ITEM));
    driver_tick(d, 200);
    driver_commit(d);
    claim_settle(d, client, claim_taken(d, client).held, JQ_SETTLE_DONE, 0);
    spill_drain(d, client, claim_ask_queue(d, client).ready);
}

static void a_damaged_row_fails_and_the_others_are_served(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    spill_fill(d, client, "item", 0, 60);
    d->damaged_id = spill_first_alone(d, 1);
    assert_true(spill_drain(d, client, 59));
    assert_int_equal(claim_state_of(d, client, d->damaged_id), JQ_FAILED);
}

/* Whoever lost its connection as memory ran out comes back. */
static uint64_t still_here(struct driver *d, uint64_t client)
{
    d->fail_in = -1;
    return jq_peer_find(d->core, client) ? client : driver_client(d, 7);
}

static void memory_may_run_out_at_each_allocation(void **state)
{
    struct driver *d = *state;

    for (int64_t n = 0; n < 120; n++) {
        uint64_t client = driver_client(d, 7);
        claim_declare(d, client, orders[n % 3], 0);
        for (int i = 0; i < 4; i++) {
            d->fail_in = n;
            claim_put(d, client, "item", i, 12, NULL);
            client = still_here(d, client);
            d->fail_in = n;
            driver_commit(d);
            client = still_here(d, client);
        }
        for (uint64_t i = 0; i < 40; i++) { /* pages, and who comes back */
            d->fail_in = n;
            claim_get(d, client, 100 + i, true, 0);
            driver_commit(d);
            client = still_here(d, client);
        }
        d->fail_in = n;
        claim_order(d, client, JQ_QUEUE_PURGE);
        driver_commit(d);
        client = still_here(d, client);
        claim_bye(d, client);
        driver_tick(d, 3000);
        client = driver_client(d, 7);
        claim_do(d, client, JQ_QUEUE_PURGE);
        claim_purged(d);
        const struct jq_queue_info info = claim_ask_queue(d, client);
        assert_int_equal(info.unfinished, 0);
        assert_int_equal(info.cancelled + info.succeeded, d->core->count.submitted);
        driver_close(d);
        spill_set_up(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPILL_CLAIM(the_order_is_exact_whatever_comes_and_comes_back),
        SPILL_CLAIM(items_in_front_do_not_starve_workers_nor_jobs_clients),
        SPILL_CLAIM(jobs_with_needs_keep_the_order_of_the_queue),
        SPILL_CLAIM(nothing_acknowledged_is_lost_when_it_is_killed_at_any_step),
        SPILL_CLAIM(the_longest_give_way_and_a_small_queue_keeps_its_jobs),
        SPILL_CLAIM(memory_is_bounded_however_they_come),
        SPILL_CLAIM(bytes_are_bounded_too_and_large_jobs_leave_first),
        SPILL_CLAIM(what_may_not_leave_stays_and_is_found),
        SPILL_CLAIM(queues_in_memory_do_not_spill_and_relaxed_ones_do),
        SPILL_CLAIM(a_page_that_cannot_be_read_is_read_again_after_a_second),
        SPILL_CLAIM(a_damaged_row_fails_and_the_others_are_served),
        SPILL_CLAIM(memory_may_run_out_at_each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
