/* SPDX-License-Identifier: MIT
 *
 * test_core_events.c - WATCH and EVENTS: each state change once, in order, from where a watcher
 * stands; what is lost is counted. In virtual time over the memory store. */
#include "tests/unit/core/core_claims.h"

#include <stdio.h>

enum { WATCHING = 63 };

/* Reads all EVENTS of a peer into `list`; what they say of where it stands and what was lost. */
struct heard {
    struct {
        uint64_t id, state, sequence, attempt;
        char reason[32], queue[32];
    } list[256];
    uint32_t count, frames;
    uint64_t dropped, sequence;
};

static void hear(struct driver *d, uint64_t peer, struct heard *h)
{
    struct jq_event event;

    driver_tick(d, 1);
    *h = (struct heard){ 0 };
    while (driver_has(d, peer, JQ_MSG_EVENTS)) {
        struct driver_frame frame = driver_expect(d, peer, JQ_MSG_EVENTS);
        const struct jq_events *events = &frame.msg.u.events;
        for (struct jq_reader r = jq_records_reader(events->events); jq_event_next(&r, &event);) {
            assert_true(h->count < 256);
            h->list[h->count].id = event.id;
            h->list[h->count].state = event.state;
            h->list[h->count].sequence = event.sequence;
            h->list[h->count].attempt = event.attempt;
            snprintf(h->list[h->count].queue, 32, "%.*s", JQ_VIEW_ARG(event.queue));
            snprintf(h->list[h->count++].reason, 32, "%.*s", JQ_VIEW_ARG(event.reason));
        }
        h->frames++;
        h->dropped += events->dropped;
        h->sequence = events->sequence;
        driver_frame_free(&frame);
    }
}

static void watch(struct driver *d, uint64_t peer, struct jq_watch watch)
{
    const struct jq_msg msg = { .tag = JQ_MSG_WATCH, .correlation = WATCHING, .u.watch = watch };
    driver_apply(d, peer, &msg);
}

static void expect_sequence(const struct heard *h, uint64_t first, uint32_t count)
{
    assert_int_equal(h->count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(h->list[i].sequence, first + i);
}

/* From its submission to its end: three changes. */
static void run_one(struct driver *d, uint64_t client, uint64_t worker, uint64_t number,
                    const char *queue)
{
    driver_submit(d, client, (struct driver_submit){ .number = number, .queue = queue });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
}

/* ---- telling ---- */

static void a_watch_is_answered_with_where_it_stands(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct heard h;

    watch(d, client, (struct jq_watch){ 0 });
    hear(d, client, &h);
    assert_int_equal(h.frames, 1);
    expect_sequence(&h, 0, 0);
    assert_int_equal(h.sequence, UINT64_C(1) << 40);
    run_one(d, client, worker, 1, NULL);
    driver_commit(d);
    hear(d, client, &h);
    expect_sequence(&h, (UINT64_C(1) << 40) + 1, 3);
    assert_int_equal(h.sequence, (UINT64_C(1) << 40) + 3);
    assert_int_equal(h.list[2].state, JQ_SUCCEEDED);
    assert_int_equal(h.list[2].attempt, 1);
    driver_commit(d);
    hear(d, client, &h);
    assert_int_equal(h.frames, 0);
}

static void a_change_is_told_when_its_batch_is_durable_and_not_before(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct heard h;

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    watch(d, client, (struct jq_watch){ 0 }); /* what is not true yet is still to be told */
    driver_hand_over(d);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_SIGNALLED, 0);
    hear(d, client, &h);
    assert_int_equal(h.count, 0);
    assert_true(jq_core_wants_commit(d->core, d->now));
    driver_commit(d);
    hear(d, client, &h);
    assert_int_equal(h.count, 3);
    assert_int_equal(h.list[2].state, JQ_FAILED);
}

static void a_watch_of_one_queue_or_job_hears_of_no_other(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const uint64_t one = driver_client(d, 9), other = driver_client(d, 10);
    struct heard h;

    watch(d, one, (struct jq_watch){ .queue = jq_view_str("b") });
    watch(d, other, (struct jq_watch){ .id = 3 });
    run_one(d, client, worker, 1, "a");
    run_one(d, client, worker, 2, "b");
    run_one(d, client, worker, 3, "a");
    driver_commit(d);
    hear(d, one, &h);
    expect_sequence(&h, (UINT64_C(1) << 40) + 4, 3);
    assert_string_equal(h.list[0].queue, "b");
    hear(d, other, &h);
    expect_sequence(&h, (UINT64_C(1) << 40) + 7, 3);
    assert_int_equal(h.list[0].id, 3);
    watch(d, one, (struct jq_watch){ .queue = jq_view_str("no name") });
    assert_int_equal(claim_expect_error(d, one), JQ_EINVAL);
}

static void an_event_says_why_a_job_ended(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct heard h;

    watch(d, client, (struct jq_watch){ 0 });
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    assert_int_equal(claim_cancel(d, client, 1), 0);
    hear(d, client, &h);
    assert_int_equal(h.count, 2);
    assert_string_equal(h.list[0].reason, "");
    assert_string_equal(h.list[1].reason, "enough");
}

/* ---- going on ---- */

static void a_watch_that_comes_back_is_told_exactly_what_it_missed(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const uint64_t first = (UINT64_C(1) << 40) + 1;
    struct heard h;

    for (uint64_t n = 1; n <= 4; n++)
        run_one(d, client, worker, n, NULL);
    driver_commit(d);
    for (uint64_t after = first - 1; after < first + 12; after++) {
        const uint64_t peer = driver_client(d, 100);
        watch(d, peer, (struct jq_watch){ .after = after });
        hear(d, peer, &h);
        assert_int_equal(h.dropped, 0);
        expect_sequence(&h, after + 1, (uint32_t)(first + 11 - after));
        assert_int_equal(h.sequence, first + 11);
    }
}

static void numbers_rise_over_a_restart_and_a_watch_hears_that_some_may_be_lost(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct heard h;

    watch(d, client, (struct jq_watch){ 0 });
    run_one(d, client, worker, 1, NULL);
    driver_commit(d);
    hear(d, client, &h);
    const uint64_t last = h.sequence;
    driver_crash(d);
    client = driver_client(d, 7);
    worker = driver_worker(d, 8, 9);
    driver_tick(d, d->conf.settle_ms + 1);
    run_one(d, client, worker, 2, NULL);
    driver_commit(d);
    watch(d, client, (struct jq_watch){ .after = last });
    hear(d, client, &h);
    assert_int_equal(h.dropped, 1);
    assert_true(h.list[0].sequence > last);
    expect_sequence(&h, (UINT64_C(2) << 40) + 1, 3);
    assert_int_equal(h.list[0].id, 2);
}

static void a_place_that_never_was_begins_with_all_that_is_kept(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const uint64_t odd[] = { UINT64_MAX, UINT64_C(1) << 63, (UINT64_C(1) << 40) + 4 };
    struct heard h;

    run_one(d, client, worker, 1, NULL);
    driver_commit(d);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        watch(d, client, (struct jq_watch){ .after = odd[i] });
        hear(d, client, &h);
        assert_int_equal(h.dropped, 1);
        expect_sequence(&h, (UINT64_C(1) << 40) + 1, 3);
    }
}

static void from_the_beginning_of_the_first_broker_nothing_is_missing(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct heard h;

    run_one(d, client, worker, 1, NULL);
    driver_commit(d);
    watch(d, client, (struct jq_watch){ .after = 1 });
    hear(d, client, &h);
    assert_int_equal(h.dropped, 0);
    expect_sequence(&h, (UINT64_C(1) << 40) + 1, 3);
}

static void restart_with(struct driver *d, uint32_t kept)
{
    d->conf.events_kept = kept;
    driver_crash(d);
}

static void what_is_no_longer_kept_is_counted(void **state)
{
    struct driver *d = *state;

    restart_with(d, 8);
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const uint64_t base = UINT64_C(2) << 40;
    struct heard h;

    watch(d, client, (struct jq_watch){ 0 });
    for (uint64_t n = 1; n <= 4; n++) /* twelve changes in one batch */
        run_one(d, client, worker, n, NULL);
    driver_commit(d);
    hear(d, client, &h);
    assert_int_equal(h.dropped, 4);
    expect_sequence(&h, base + 5, 8);
    watch(d, client, (struct jq_watch){ .after = base + 1 });
    hear(d, client, &h);
    assert_int_equal(h.dropped, 3);
    expect_sequence(&h, base + 5, 8);
    assert_int_equal(claim_counter(d, client, "events"), 12);
    assert_int_equal(claim_counter(d, client, "events_dropped"), 7);
}

static void a_watch_that_is_told_nothing_for_long_hears_where_it_stands(void **state)
{
    struct driver *d = *state;

    restart_with(d, 40);
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 99);
    struct heard h;
    uint64_t stands = 0;

    watch(d, client, (struct jq_watch){ .queue = jq_view_str("quiet") });
    for (uint64_t n = 1; n <= 40; n++) {
        run_one(d, client, worker, n, "busy");
        driver_commit(d);
        hear(d, client, &h);
        stands = h.frames ? h.sequence : stands;
        assert_int_equal(h.count, 0);
    }
    watch(d, client, (struct jq_watch){ .queue = jq_view_str("quiet"), .after = stands });
    hear(d, client, &h);
    assert_int_equal(h.dropped, 0); /* nothing of the quiet queue is missing */
}

/* ---- bounds ---- */

static void a_frame_has_so_many_events_and_the_next_follows_when_it_was_taken(void **state)
{
    struct driver *d = *state;

    d->conf.event_backlog_max = 5;
    restart_with(d, 64);
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct heard h;

    for (uint64_t n = 1; n <= 7; n++)
        run_one(d, client, worker, n, NULL);
    driver_commit(d);
    watch(d, client, (struct jq_watch){ .after = 1 });
    driver_tick(d, 10);
    hear(d, client, &h);
    assert_int_equal(h.frames, 5);
    expect_sequence(&h, (UINT64_C(2) << 40) + 1, 21);
    assert_true(jq_core_next_at(d->core) > d->now.mono); /* and then there is nothing to do */
}

static void a_watcher_that_is_told_much_else_waits_and_loses_nothing(void **state)
{
    struct driver *d = *state;

    d->conf.out_bytes_max = 2048;
    restart_with(d, 64);
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 99);
    const uint64_t reader = driver_client(d, 9);
    struct heard h;

    watch(d, reader, (struct jq_watch){ 0 });
    hear(d, reader, &h);
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    for (uint64_t i = 0; i < 14; i++)
        driver_wait(d, reader, 100 + i, 1); /* answers that are held: over half of the bound */
    driver_commit(d);
    hear(d, reader, &h);
    assert_int_equal(h.dropped, 0);
    expect_sequence(&h, (UINT64_C(2) << 40) + 1, 3);
}

static void no_event_is_lost_or_told_twice_when_memory_runs_out(void **state)
{
    struct driver *d = *state;
    uint64_t after = UINT64_C(1) << 40, broken = 0;
    struct heard h;

    for (int64_t n = 1; n <= 120; n++) {
        const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
        const uint64_t peer = driver_client(d, 9); /* as all whose connection was lost */
        d->fail_in = n % 3 ? -1 : n % 5;           /* asking */
        watch(d, peer, (struct jq_watch){ .after = after });
        d->fail_in = -1;
        driver_submit(d, client, (struct driver_submit){ .number = (uint64_t)n });
        driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
        d->fail_in = n % 2 ? n % 11 : -1; /* telling */
        driver_commit(d);
        hear(d, peer, &h);
        broken += d->fail_in < 0 && h.frames == 0;
        d->fail_in = -1;
        assert_true(h.dropped == 0);
        for (uint32_t i = 0; i < h.count; i++)
            assert_int_equal(h.list[i].sequence, after + 1 + i);
        if (h.frames)
            after = h.sequence;
    }
    assert_true(broken > 10);
    assert_true(after > (UINT64_C(1) << 40) + 300);
}

static void a_watch_that_ends_has_nothing_left(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const struct jq_msg unwatch = { .tag = JQ_MSG_UNWATCH, .correlation = WATCHING };
    struct heard h;

    watch(d, client, (struct jq_watch){ 0 });
    hear(d, client, &h);
    driver_apply(d, client, &unwatch);
    run_one(d, client, worker, 1, NULL);
    driver_commit(d);
    hear(d, client, &h);
    assert_int_equal(h.frames, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_watch_is_answered_with_where_it_stands),
        CLAIM(a_change_is_told_when_its_batch_is_durable_and_not_before),
        CLAIM(a_watch_of_one_queue_or_job_hears_of_no_other),
        CLAIM(an_event_says_why_a_job_ended),
        CLAIM(a_watch_that_comes_back_is_told_exactly_what_it_missed),
        CLAIM(numbers_rise_over_a_restart_and_a_watch_hears_that_some_may_be_lost),
        CLAIM(a_place_that_never_was_begins_with_all_that_is_kept),
        CLAIM(from_the_beginning_of_the_first_broker_nothing_is_missing),
        CLAIM(what_is_no_longer_kept_is_counted),
        CLAIM(a_watch_that_is_told_nothing_for_long_hears_where_it_stands),
        CLAIM(a_frame_has_so_many_events_and_the_next_follows_when_it_was_taken),
        CLAIM(a_watcher_that_is_told_much_else_waits_and_loses_nothing),
        CLAIM(no_event_is_lost_or_told_twice_when_memory_runs_out),
        CLAIM(a_watch_that_ends_has_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
