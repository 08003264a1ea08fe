/* SPDX-License-Identifier: MIT
 *
 * test_core_hostile.c - peers that ask too much, ask again at the wrong time or say what is not so:
 * everything that one connection can make the broker keep or do is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
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

/* Bounds are read when they are needed: no restart. */
static struct jq_core_conf *bounds(struct driver *d)
{
    return &d->core->conf;
}

static void drop(struct driver *d, uint64_t peer, enum jq_tag tag)
{
    struct driver_frame frame = driver_expect(d, peer, tag);
    driver_frame_free(&frame);
}

static void expect_error(struct driver *d, uint64_t peer, enum jq_err error)
{
    struct driver_frame frame = driver_expect(d, peer, JQ_MSG_ERROR);
    assert_int_equal(frame.msg.u.error.error, error);
    driver_frame_free(&frame);
}

static void wait_for(struct driver *d, uint64_t client, uint64_t correlation, const uint64_t *ids,
                     uint32_t count)
{
    struct jq_buf refs = { 0 };

    for (uint32_t i = 0; i < count; i++)
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = ids[i] });
    const struct jq_msg msg = {
        .tag = JQ_MSG_WAIT,
        .correlation = correlation,
        .u.wait = { .jobs = jq_records_of(count, &refs) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&refs);
}

/* How many results are there for a correlation, in all frames. */
static uint32_t results(struct driver *d, uint64_t client, uint64_t correlation)
{
    uint32_t count = 0;

    while (driver_has(d, client, JQ_MSG_RESULTS)) {
        struct driver_frame frame = driver_expect(d, client, JQ_MSG_RESULTS);
        if (frame.msg.correlation == correlation)
            count += frame.msg.u.results.results.count;
        driver_frame_free(&frame);
    }
    return count;
}

static uint32_t waits_of(const struct driver *d, uint64_t client)
{
    return (uint32_t)jq_peer_find(d->core, client)->waits.count;
}

static struct jq_worker *worker_of(const struct driver *d, uint64_t session)
{
    return jq_map_find(&d->core->workers, session);
}

/* `count` jobs that have ended and are known to the store alone. */
static void end_jobs(struct driver *d, uint64_t client, uint64_t worker, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        driver_submit(d, client, (struct driver_submit){ .number = i + 1 });
        driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    }
    driver_commit(d);
    assert_int_equal(d->core->jobs.count, 0);
}

/* ---- waits ---- */

static void a_job_that_one_wait_names_many_times_is_told_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const uint64_t live[] = { 3, 2, 3, 2, 2, 3 }, stored[] = { 1, 1, 1 };

    end_jobs(d, client, worker, 1);
    driver_submit(d, client, (struct driver_submit){ .number = 2, .count = 2 });
    wait_for(d, client, 50, live, 6);
    assert_int_equal(jq_peer_find(d->core, client)->waiting, 2);
    wait_for(d, client, 51, stored, 3);
    driver_commit(d);
    assert_int_equal(results(d, client, 51), 1);
    struct driver_frame grants = driver_expect(d, worker, JQ_MSG_GRANTS);
    struct jq_reader r = jq_records_reader(grants.msg.u.grants.jobs);
    for (struct jq_grant grant; jq_grant_next(&r, &grant);)
        driver_done(d, worker, (struct jq_held){ .id = grant.id, .fence = grant.fence },
                    JQ_OUTCOME_EXITED, 0);
    driver_frame_free(&grants);
    driver_commit(d);
    assert_int_equal(results(d, client, 50), 2);
    assert_int_equal(waits_of(d, client), 0);
}

static void a_wait_asked_again_before_the_store_has_answered_ends_all_the_same(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const uint64_t ended = 1, live = 2;

    end_jobs(d, client, worker, 1);
    driver_submit(d, client, (struct driver_submit){ .number = 2 });
    wait_for(d, client, 50, &ended, 1);
    wait_for(d, client, 50, &live, 1);
    driver_commit(d); /* the answer to the first */
    assert_int_equal(results(d, client, 50), 0);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    assert_int_equal(results(d, client, 50), 1);
    assert_int_equal(waits_of(d, client), 0);
}

static void results_too_large_for_one_answer_of_the_store_come_in_several(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const uint64_t ids[] = { 1, 2, 3, 4, 5 };

    end_jobs(d, client, worker, 5);
    d->read_max = 2;
    wait_for(d, client, 50, ids, 5);
    driver_commit(d);
    assert_int_equal(results(d, client, 50), 5);
    assert_int_equal(waits_of(d, client), 0);
    assert_int_equal(jq_peer_find(d->core, client)->lookups, 0);
}

static void a_connection_waits_for_so_many_jobs_and_no_more(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const uint64_t ids[] = { 1, 2, 3 };

    bounds(d)->waits_max = 4;
    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 3 });
    wait_for(d, client, 50, ids, 3);
    wait_for(d, client, 51, ids, 3);
    expect_error(d, client, JQ_EBUSY);
    driver_submit(d, client,
                  (struct driver_submit){ .number = 2, .count = 2, .flags = JQ_SUBMIT_CALL });
    expect_error(d, client, JQ_EBUSY);
    assert_int_equal(d->core->jobs.count, 3); /* refused before it was accepted */
    wait_for(d, client, 50, ids, 3);          /* again: not once more */
    assert_false(driver_has(d, client, JQ_MSG_ERROR));
}

static void a_reader_too_slow_for_what_it_asked_for_is_dropped_before_memory_is(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const uint64_t other = driver_client(d, 9);

    bounds(d)->out_bytes_max = 4096;
    driver_submit(d, other, (struct driver_submit){ .number = 1 });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    for (uint64_t i = 0; i < 1000 && jq_peer_find(d->core, client); i++)
        driver_wait(d, client, 50 + i, 1); /* each is told when the end is durable */
    assert_null(jq_peer_find(d->core, client));
    assert_int_equal(d->closed, 1);
    assert_non_null(jq_peer_find(d->core, other));
}

/* ---- other requests ---- */

static void apply_many(struct driver *d, uint64_t client, struct jq_msg msg, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        msg.correlation = 100 + i;
        driver_apply(d, client, &msg);
    }
}

static void requests_of_one_connection_that_await_the_store_are_bounded(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const struct jq_msg why = { .tag = JQ_MSG_WHY, .u.why = { .id = 1 } };

    end_jobs(d, client, worker, 1);
    bounds(d)->lookups_max = 3;
    apply_many(d, client, why, 3);
    assert_false(driver_has(d, client, JQ_MSG_ERROR));
    apply_many(d, client, why, 1);
    expect_error(d, client, JQ_EBUSY);
    driver_commit(d);
    apply_many(d, client, why, 1);
    assert_false(driver_has(d, client, JQ_MSG_ERROR));
}

static void watches_and_log_readers_of_one_connection_are_bounded(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg watch = { .tag = JQ_MSG_WATCH, .u.watch = { .id = 1 } };
    const struct jq_msg read = {
        .tag = JQ_MSG_LOG_READ,
        .u.log_read = { .id = 1, .stream = 1, .follow = 1 },
    };

    bounds(d)->watchers_max = bounds(d)->log_readers_max = 2;
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    apply_many(d, client, watch, 2);
    apply_many(d, client, watch, 2); /* the same */
    apply_many(d, client, read, 2);
    apply_many(d, client, read, 2);
    assert_false(driver_has(d, client, JQ_MSG_ERROR));
    apply_many(d, client, watch, 3);
    expect_error(d, client, JQ_EBUSY);
    apply_many(d, client, read, 3);
    expect_error(d, client, JQ_EBUSY);
}

static void queues_are_bounded(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    bounds(d)->queues_max = 2;
    driver_submit(d, client, (struct driver_submit){ .number = 1, .queue = "a" });
    driver_submit(d, client, (struct driver_submit){ .number = 2, .queue = "b" });
    driver_submit(d, client, (struct driver_submit){ .number = 3, .queue = "c" });
    expect_error(d, client, JQ_ENOSPC);
    driver_submit(d, client, (struct driver_submit){ .number = 3, .queue = "a" });
    driver_commit(d);
    assert_false(driver_has(d, client, JQ_MSG_ERROR));
}

static void an_end_is_shown_only_when_it_is_durable(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const struct jq_msg list = { .tag = JQ_MSG_LIST, .u.list = { .limit = 9 } };
    const struct jq_msg why = { .tag = JQ_MSG_WHY, .u.why = { .id = 1 } };
    struct jq_buf refs = { 0 };

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = 1 });
    const struct jq_msg info = { .tag = JQ_MSG_INFO,
                                 .u.info = { .jobs = jq_records_of(1, &refs) } };
    apply_many(d, client, list, 1);
    apply_many(d, client, why, 1);
    apply_many(d, client, info, 1);
    jq_buf_fini(&refs);
    assert_false(driver_has(d, client, JQ_MSG_LISTED));
    assert_false(driver_has(d, client, JQ_MSG_BECAUSE));
    assert_false(driver_has(d, client, JQ_MSG_INFOS));
    driver_commit(d);
    drop(d, client, JQ_MSG_LISTED);
    drop(d, client, JQ_MSG_BECAUSE);
    drop(d, client, JQ_MSG_INFOS);
}

static void a_log_of_which_only_the_beginning_was_kept_has_an_end(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct jq_buf outcomes = { 0 };

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    const struct jq_held held = driver_grant(d, worker);
    jq_outcome_write(&outcomes, &(struct jq_outcome){ .id = held.id,
                                                      .fence = held.fence,
                                                      .stdout_bytes = 1000,
                                                      .stdout_head = jq_view_str("hello") });
    const struct jq_msg done = { .tag = JQ_MSG_DONE,
                                 .u.done = { .outcomes = jq_records_of(1, &outcomes) } };
    driver_apply(d, worker, &done);
    jq_buf_fini(&outcomes);
    driver_commit(d);
    for (uint64_t offset = 0; offset < 2000; offset += 5) {
        const struct jq_msg read = {
            .tag = JQ_MSG_LOG_READ,
            .correlation = 9,
            .u.log_read = { .id = 1, .stream = 1, .offset = offset, .limit = 5, .follow = 1 },
        };
        driver_apply(d, client, &read);
        driver_commit(d);
        struct driver_frame frame = driver_expect(d, client, JQ_MSG_LOG_DATA);
        assert_int_equal(frame.msg.u.log_data.end, 1);
        assert_int_equal(frame.msg.u.log_data.bytes.size, offset ? 0 : 5);
        driver_frame_free(&frame);
    }
}

static void a_submit_that_awaits_the_store_ends_with_its_session(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };

    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "k" });
    driver_apply(d, client, &bye);
    client = driver_client(d, 7);
    driver_commit(d);
    assert_int_equal(d->core->jobs.count, 0);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "k" });
    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "k" });
    driver_commit(d);
    assert_int_equal(d->core->jobs.count, 1);
}

/* ---- workers ---- */

static void a_worker_never_holds_more_than_one_hello_lists(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    for (uint64_t n = 1; n <= JQ_HELD_MAX / JQ_JOBS_PER_FRAME; n++)
        driver_submit(d, client, (struct driver_submit){ .number = n, .count = JQ_JOBS_PER_FRAME });
    driver_submit(d, client, (struct driver_submit){ .number = 9, .count = 10 });
    const uint64_t worker = driver_worker(d, 8, UINT64_MAX);
    assert_int_equal(worker_of(d, 8)->busy, JQ_HELD_MAX);
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_GRANTS);
    struct jq_reader r = jq_records_reader(frame.msg.u.grants.jobs);
    struct jq_grant grant;
    assert_true(jq_grant_next(&r, &grant));
    driver_done(d, worker, (struct jq_held){ .id = grant.id, .fence = grant.fence },
                JQ_OUTCOME_EXITED, 0);
    driver_frame_free(&frame);
    assert_int_equal(worker_of(d, 8)->busy, JQ_HELD_MAX);
    assert_int_equal(worker_of(d, 8)->granted, JQ_HELD_MAX + 1);
}

static void granting_stops_while_the_batch_is_full_and_goes_on_after(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 100 });
    driver_commit(d);
    bounds(d)->batch_ops_max = 10;
    driver_worker(d, 8, 100);
    assert_in_range(worker_of(d, 8)->busy, 5, 20);
    assert_true(jq_core_wants_commit(d->core, d->now));
    driver_commit(d);
    assert_int_equal(worker_of(d, 8)->busy, 100);
}

static void large_payloads_are_copied_a_few_at_a_time(void **state)
{
    enum { JOBS = 12, PAYLOAD = 1 << 20 };
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct jq_buf jobs = { 0 };
    struct jq_effect effect;
    char *payload = calloc(1, PAYLOAD);

    assert_non_null(payload);
    for (int i = 0; i < JOBS; i++)
        jq_job_spec_write(&jobs, &(struct jq_job_spec){ .handler = jq_view_str("noop"),
                                                        .payload = jq_view(payload, PAYLOAD) });
    const struct jq_msg submit = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = 1,
        .u.submit = { .queue = jq_view_str("q"), .jobs = jq_records_of(JOBS, &jobs) },
    };
    driver_apply(d, client, &submit);
    jq_buf_fini(&jobs);
    free(payload);
    driver_commit(d);
    const uint64_t worker = driver_worker(d, 8, 0);
    const struct jq_msg credit = { .tag = JQ_MSG_CREDIT, .u.credit = { .total = JOBS } };
    assert_int_equal(jq_core_apply(d->core, d->now, worker, &credit), JQ_OK);
    assert_true(jq_core_take_effect(d->core, d->now, &effect));
    assert_int_equal(effect.kind, JQ_EFFECT_SEND);
    jq_effect_fini(&effect);
    assert_in_range(worker_of(d, 8)->busy, 1, 5);
    driver_collect(d);
    assert_int_equal(worker_of(d, 8)->busy, JOBS);
}

static void a_lost_worker_is_charged_once_however_often_memory_runs_out(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_ref ref = { .id = 1 };
    struct jq_buf refs = { 0 };
    enum jq_err err = JQ_ENOMEM;

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_worker(d, 8, 1);
    jq_job_ref_write(&refs, &ref);
    const struct jq_msg cancel = { .tag = JQ_MSG_CANCEL,
                                   .correlation = 9,
                                   .u.cancel = { .jobs = jq_records_of(1, &refs) } };
    driver_apply(d, client, &cancel);
    jq_buf_fini(&refs);
    driver_commit(d);
    d->now.mono += 20000;
    for (int64_t n = 0; err != JQ_OK; n++) {
        assert_true(n < 100);
        jq_alloc_fail_after(n, 1);
        err = jq_core_tick(d->core, d->now);
        jq_alloc_fail_after(-1, 0);
        jq_core_check(d->core);
        const struct jq_job *job = jq_job_find(d->core, 1);
        assert_int_equal(job->crashes, err == JQ_OK);
    }
}

static void an_adopted_fence_never_lowers_the_attempt(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_worker(d, 8, 1);
    driver_tick(d, 20000); /* one crash, attempt 1 */
    driver_commit(d);
    driver_crash(d);
    driver_crash(d);
    const struct jq_held old = { .id = 1, .fence = UINT64_C(2) << 32 | 1 };
    const uint64_t worker = driver_worker_back(d, 9, &old, 1);
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_WELCOME);
    assert_int_equal(frame.msg.u.welcome.incarnation, 3);
    assert_int_equal(frame.msg.u.welcome.lost.count, 1);
    driver_frame_free(&frame);
}

static void a_hello_that_lists_a_job_twice_holds_it_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    uint64_t worker = driver_worker(d, 8, 2);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = 2 });
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_GRANTS);
    struct jq_reader r = jq_records_reader(frame.msg.u.grants.jobs);
    struct jq_grant grant;
    assert_true(jq_grant_next(&r, &grant));
    const struct jq_held once = { .id = grant.id, .fence = grant.fence };
    driver_frame_free(&frame);
    const struct jq_held twice[] = { once, once };
    worker = driver_worker_back(d, 8, twice, 2);
    assert_int_equal(worker_of(d, 8)->busy, 1); /* the other was never received */
    driver_crash(d);
    driver_worker_back(d, 8, twice, 2);
    assert_int_equal(worker_of(d, 8)->busy, 1);
}

static void one_connection_may_change_what_it_is(void **state)
{
    struct driver *d = *state;
    const uint64_t peer = driver_worker(d, 7, 5); /* and a client with the same session */
    struct jq_msg hello = {
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = 1, .version_max = 1, .role = JQ_ROLE_CLIENT, .session = 7 },
    };

    driver_submit(d, driver_client(d, 7), (struct driver_submit){ .number = 1 });
    assert_int_equal(worker_of(d, 7)->busy, 1);
    driver_apply(d, peer, &hello);
    assert_int_equal(jq_peer_find(d->core, peer)->role, JQ_ROLE_CLIENT);
    assert_null(worker_of(d, 7)->peer);
    hello.u.hello.role = JQ_ROLE_BEAT;
    driver_apply(d, peer, &hello);
    hello.u.hello.role = JQ_ROLE_WORKER;
    driver_apply(d, peer, &hello);
    assert_int_equal(worker_of(d, 7)->busy, 0); /* it does not list the job */
    const struct jq_msg submit = { .tag = JQ_MSG_SUBMIT, .correlation = 9 };
    driver_apply(d, peer, &submit);
    expect_error(d, peer, JQ_EINVAL);
}

static void a_connection_with_a_new_session_owes_nothing_of_the_old(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const struct jq_msg why = { .tag = JQ_MSG_WHY, .u.why = { .id = 1 } };
    const struct jq_msg hello = {
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = 1, .version_max = 1, .role = JQ_ROLE_CLIENT, .session = 9 },
    };

    end_jobs(d, client, worker, 1);
    apply_many(d, client, why, 3);                                   /* the store is asked */
    driver_submit(d, client, (struct driver_submit){ .number = 2 }); /* the answer is held */
    assert_true(jq_peer_find(d->core, client)->out_bytes > 0);
    driver_apply(d, client, &hello);
    assert_int_equal(jq_peer_find(d->core, client)->out_bytes, 0);
    driver_commit(d);
    assert_int_equal(jq_peer_find(d->core, client)->lookups, 0);
    assert_int_equal(jq_peer_find(d->core, client)->out_bytes, 0);
}

static void worker_sessions_of_one_connection_are_bounded(void **state)
{
    struct driver *d = *state;
    struct jq_msg hello = {
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = 1, .version_max = 1, .role = JQ_ROLE_WORKER },
    };

    bounds(d)->peers_max = 10;
    for (uint64_t i = 1; i <= 100; i++) {
        hello.u.hello.session = i;
        driver_apply(d, 500, &hello);
    }
    assert_int_equal(d->core->workers.count, 20);
    driver_tick(d, 20000); /* their leases end */
    assert_int_equal(d->core->workers.count, 0);
}

static void a_tied_job_of_a_client_that_left_while_the_store_was_asked_is_cancelled(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_submit(d, client,
                  (struct driver_submit){ .number = 2, .key = "k", .job_flags = JQ_JOB_TIE });
    assert_int_equal(jq_core_gone(d->core, d->now, client), JQ_OK);
    driver_commit(d);
    assert_int_equal(d->core->jobs.count, 2);
    driver_tick(d, 16000);
    driver_commit(d);
    assert_int_equal(d->core->jobs.count, 1);
}

static void submit_two_keys(struct driver *d, uint64_t client, uint64_t number)
{
    struct jq_buf jobs = { 0 };

    for (const char *key = "xy"; *key; key++)
        jq_job_spec_write(
            &jobs, &(struct jq_job_spec){ .handler = jq_view_str("noop"), .key = jq_view(key, 1) });
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = number,
        .u.submit = { .queue = jq_view_str("q"), .jobs = jq_records_of(2, &jobs) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&jobs);
}

static void a_key_that_came_and_went_between_two_answers_is_found(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const uint64_t other = driver_client(d, 9);
    struct jq_ack ack;

    submit_two_keys(d, client, 1);
    const uint64_t token = d->reads[0].token;
    assert_int_equal(d->reads[1].group, d->reads[0].group);
    assert_int_equal(jq_core_loaded(d->core, d->now, token, JQ_OK, NULL, 0, false), JQ_OK);
    const struct jq_read second = d->reads[1]; /* it comes late */
    jq_free(d->reads[0].ids);
    jq_free(d->reads[0].key);
    d->read_count = 0;
    driver_submit(d, other, (struct driver_submit){ .number = 1, .key = "x" });
    driver_commit(d);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    assert_int_equal(d->core->jobs.count, 0);
    d->reads[d->read_count++] = second;
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_SUBMITTED);
    struct jq_reader r = jq_records_reader(frame.msg.u.submitted.each);
    assert_true(jq_ack_next(&r, &ack));
    assert_int_equal(ack.id, 1);
    assert_int_equal(ack.created, 0);
    driver_frame_free(&frame);
}

static void statistics_of_thousands_of_workers_fit_one_frame(void **state)
{
    enum { WORKERS = 2400 }; /* with 16 KiB of settings each: more than a frame */
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg stats = { .tag = JQ_MSG_STATS, .correlation = 9 };
    char *config = calloc(1, JQ_CONFIG_MAX);
    struct jq_worker_info info;
    uint32_t with = 0;

    assert_non_null(config);
    for (uint64_t i = 1; i <= WORKERS; i++) {
        const struct jq_msg hello = {
            .tag = JQ_MSG_HELLO,
            .u.hello = { .version_min = 1,
                         .version_max = 1,
                         .role = JQ_ROLE_WORKER,
                         .session = i,
                         .name = jq_view_str("w"),
                         .config = jq_view(config, JQ_CONFIG_MAX) },
        };
        assert_int_equal(jq_core_apply(d->core, d->now, 1000 + i, &hello), JQ_OK);
    }
    free(config);
    driver_apply(d, client, &stats);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_STATISTICS);
    assert_true(frame.size < JQ_FRAME_MAX);
    assert_int_equal(frame.msg.u.statistics.workers.count, WORKERS);
    for (struct jq_reader r = jq_records_reader(frame.msg.u.statistics.workers);
         jq_worker_info_next(&r, &info);)
        with += info.config.size > 0;
    assert_in_range(with, 500, WORKERS - 1);
    driver_frame_free(&frame);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_job_that_one_wait_names_many_times_is_told_once),
        CLAIM(a_wait_asked_again_before_the_store_has_answered_ends_all_the_same),
        CLAIM(results_too_large_for_one_answer_of_the_store_come_in_several),
        CLAIM(a_connection_waits_for_so_many_jobs_and_no_more),
        CLAIM(a_reader_too_slow_for_what_it_asked_for_is_dropped_before_memory_is),
        CLAIM(requests_of_one_connection_that_await_the_store_are_bounded),
        CLAIM(watches_and_log_readers_of_one_connection_are_bounded),
        CLAIM(queues_are_bounded),
        CLAIM(an_end_is_shown_only_when_it_is_durable),
        CLAIM(a_log_of_which_only_the_beginning_was_kept_has_an_end),
        CLAIM(a_submit_that_awaits_the_store_ends_with_its_session),
        CLAIM(a_worker_never_holds_more_than_one_hello_lists),
        CLAIM(granting_stops_while_the_batch_is_full_and_goes_on_after),
        CLAIM(large_payloads_are_copied_a_few_at_a_time),
        CLAIM(a_lost_worker_is_charged_once_however_often_memory_runs_out),
        CLAIM(an_adopted_fence_never_lowers_the_attempt),
        CLAIM(a_hello_that_lists_a_job_twice_holds_it_once),
        CLAIM(one_connection_may_change_what_it_is),
        CLAIM(a_connection_with_a_new_session_owes_nothing_of_the_old),
        CLAIM(worker_sessions_of_one_connection_are_bounded),
        CLAIM(a_tied_job_of_a_client_that_left_while_the_store_was_asked_is_cancelled),
        CLAIM(a_key_that_came_and_went_between_two_answers_is_found),
        CLAIM(statistics_of_thousands_of_workers_fit_one_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
