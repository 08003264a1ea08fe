/* SPDX-License-Identifier: MIT
 *
 * test_core_edges.c - jobs that run after others: each kind of edge, how far an end reaches, what
 * survives, and older jobs that have ended, are gone, or live again. */
#include "tests/unit/core/life_claims.h"

static uint64_t plain(struct driver *d, uint64_t client)
{
    return claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
}

static void each_kind_of_edge_is_satisfied_by_its_end(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const enum jq_job_state expected[2][3] = {
        { [JQ_AFTER_OK] = JQ_READY, [JQ_AFTER_ANY] = JQ_READY, [JQ_AFTER_FAIL] = JQ_SKIPPED },
        { [JQ_AFTER_OK] = JQ_SKIPPED, [JQ_AFTER_ANY] = JQ_READY, [JQ_AFTER_FAIL] = JQ_READY },
    };
    char reason[JQ_REASON_MAX + 1];

    for (int code = 0; code < 2; code++) {
        uint64_t child[3];
        const uint64_t parent = plain(d, client);
        for (int kind = 0; kind < 3; kind++) {
            child[kind] = claim_submit_after(d, client, parent, (enum jq_after)kind);
            assert_int_equal(claim_now(d, child[kind]), JQ_BLOCKED);
        }
        claim_run(d, worker, parent, code);
        for (int kind = 0; kind < 3; kind++)
            assert_int_equal(claim_state_of(d, client, child[kind]), expected[code][kind]);
        claim_reason_of(d, client, child[code ? JQ_AFTER_OK : JQ_AFTER_FAIL], reason);
        assert_non_null(strstr(reason, code ? "ended as failed" : "ended as succeeded"));
        for (int kind = 0; kind < 3; kind++)
            if (expected[code][kind] == JQ_READY)
                claim_cancel(d, client, child[kind]);
        driver_credit(d, worker, 2 + (uint64_t)code);
    }
}

static void a_job_waits_for_all_its_edges_and_then_for_its_delay(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const uint64_t a = plain(d, client), b = plain(d, client);
    struct claim_lists lists = { 0 };

    claim_after(&lists, a, JQ_AFTER_OK);
    claim_after(&lists, b, JQ_AFTER_ANY);
    claim_after(&lists, a, JQ_AFTER_OK); /* named twice */
    const uint64_t child =
        claim_submit(d, client, "other", (struct jq_job_options){ .delay_ms = 1000 }, &lists);
    const uint64_t late =
        claim_submit(d, client, "other", (struct jq_job_options){ .delay_ms = 10 }, &lists);
    claim_lists_fini(&lists);
    claim_run(d, worker, a, 0);
    assert_int_equal(claim_now(d, child), JQ_BLOCKED);
    driver_tick(d, 100);
    driver_credit(d, worker, 2);
    claim_run(d, worker, b, 1);
    assert_int_equal(claim_now(d, child), JQ_DELAYED); /* from its submission on */
    assert_int_equal(claim_now(d, late), JQ_READY);
    driver_tick(d, 900);
    assert_int_equal(claim_now(d, child), JQ_READY);
}

static void both_kinds_of_edge_to_one_job_skip(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const uint64_t parent = plain(d, client);
    struct claim_lists lists = { 0 };

    claim_after(&lists, parent, JQ_AFTER_OK);
    claim_after(&lists, parent, JQ_AFTER_FAIL);
    const uint64_t child = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, &lists);
    claim_lists_fini(&lists);
    claim_run(d, worker, parent, 0);
    assert_int_equal(claim_state_of(d, client, child), JQ_SKIPPED);
}

enum { CHAIN = 1000 };

static void a_chain_of_a_thousand_is_skipped_in_one_batch(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const uint64_t first = plain(d, client);
    uint64_t last = first;

    for (int i = 1; i < CHAIN; i++)
        last = claim_submit_after(d, client, last, JQ_AFTER_OK);
    const struct jq_held held = driver_grant(d, worker);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
    driver_hand_over(d);
    assert_int_equal(d->batch_count, 1);
    assert_int_equal(claim_now(d, last), JQ_SKIPPED);
    assert_int_equal(claim_job(d, last)->end_batch, claim_job(d, first)->end_batch);
    driver_commit(d);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_SKIPPED], CHAIN - 1);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_BLOCKED], 0);
}

static void cancelling_a_blocked_job_skips_what_waits_for_it(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t parent = plain(d, client);
    const uint64_t child = claim_submit_after(d, client, parent, JQ_AFTER_OK);
    const uint64_t grandchild = claim_submit_after(d, client, child, JQ_AFTER_OK);
    const uint64_t mourner = claim_submit_after(d, client, child, JQ_AFTER_FAIL);

    assert_int_equal(claim_cancel(d, client, child), JQ_OK);
    assert_int_equal(claim_state_of(d, client, child), JQ_CANCELLED);
    assert_int_equal(claim_state_of(d, client, grandchild), JQ_SKIPPED);
    assert_int_equal(claim_now(d, mourner), JQ_READY);
    assert_int_equal(claim_now(d, parent), JQ_READY);
}

static void every_end_but_success_is_a_failure_to_those_behind(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t cancelled = plain(d, client);
    const uint64_t expired =
        claim_submit(d, client, NULL, (struct jq_job_options){ .expires_ms = 50 }, NULL);
    const uint64_t skipped = claim_submit_after(d, client, expired, JQ_AFTER_OK);
    const uint64_t parents[] = { cancelled, expired, skipped };
    uint64_t ok[3], fail[3];

    for (int i = 0; i < 3; i++) {
        ok[i] = claim_submit_after(d, client, parents[i], JQ_AFTER_OK);
        fail[i] = claim_submit_after(d, client, parents[i], JQ_AFTER_FAIL);
    }
    claim_cancel(d, client, cancelled);
    driver_tick(d, 100);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, skipped), JQ_SKIPPED);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(claim_state_of(d, client, ok[i]), JQ_SKIPPED);
        assert_int_equal(claim_now(d, fail[i]), JQ_READY);
    }
}

/* ---- older jobs that have ended ---- */

static void an_older_job_that_has_ended_is_looked_up(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 2);
    const uint64_t good = plain(d, client);
    claim_run(d, worker, good, 0);
    const uint64_t bad = plain(d, client);
    claim_run(d, worker, bad, 7);
    assert_null(claim_job(d, good));

    const uint64_t runs = claim_submit_after(d, client, good, JQ_AFTER_OK);
    const uint64_t skipped = claim_submit_after(d, client, bad, JQ_AFTER_OK);
    const uint64_t mourner = claim_submit_after(d, client, bad, JQ_AFTER_FAIL);
    assert_int_equal(claim_now(d, runs), JQ_READY);
    assert_int_equal(claim_now(d, mourner), JQ_READY);
    assert_int_equal(claim_state_of(d, client, skipped), JQ_SKIPPED);
}

static void an_end_that_is_not_durable_yet_counts(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const uint64_t parent = plain(d, client);

    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 1);
    assert_int_equal(claim_now(d, parent), JQ_FAILED);
    const uint64_t child = claim_submit_after(d, client, parent, JQ_AFTER_OK);
    assert_int_equal(claim_state_of(d, client, child), JQ_SKIPPED);
}

static void an_unknown_older_job_refuses_the_submit(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t parent = plain(d, client);
    const uint64_t unknown[] = { 0, parent + 1, UINT64_MAX };
    char text[JQ_REASON_MAX + 1];

    for (int i = 0; i < 3; i++) {
        struct claim_lists lists = { 0 };
        claim_after(&lists, parent, JQ_AFTER_OK);
        claim_after(&lists, unknown[i], JQ_AFTER_OK);
        claim_ask(d, client, NULL, (struct jq_job_options){ 0 }, &lists);
        assert_int_equal(claim_refused(d, client, text), JQ_ENOENT);
        claim_lists_fini(&lists);
    }
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_BLOCKED], 0);
}

static void an_older_job_that_is_gone_refuses_the_submit(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 2);
    struct claim_lists lists = { 0 };
    char text[JQ_REASON_MAX + 1];

    const uint64_t parent = plain(d, client);
    claim_run(d, worker, parent, 1);
    assert_int_equal(claim_remove(d, client, parent), JQ_OK);
    claim_after(&lists, parent, JQ_AFTER_ANY);
    claim_ask(d, client, NULL, (struct jq_job_options){ 0 }, &lists);
    driver_commit(d);
    assert_int_equal(claim_refused(d, client, text), JQ_EGONE);
    assert_non_null(strstr(text, "after: job 1 "));
    claim_lists_fini(&lists);
}

/* The older job lives when the SUBMIT is parked for another, and has ended and is forgotten when
 * the store answers. */
static void an_older_job_may_end_while_the_store_is_asked_for_another(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 2);
    const uint64_t ended = plain(d, client);
    claim_run(d, worker, ended, 0);
    const uint64_t alive = plain(d, client);
    const struct jq_held held = driver_grant(d, worker);
    struct claim_lists lists = { 0 };

    claim_after(&lists, ended, JQ_AFTER_OK);
    claim_after(&lists, alive, JQ_AFTER_OK);
    claim_ask(d, client, NULL, (struct jq_job_options){ 0 }, &lists);
    assert_int_equal(d->read_count, 1);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
    driver_commit(d); /* the end is durable first, then the store answers */
    assert_null(claim_job(d, alive));
    const uint64_t child = claim_submitted_ack(d, client).id;
    assert_int_equal(claim_state_of(d, client, child), JQ_SKIPPED);
    claim_lists_fini(&lists);
}

/* It is read as failed, lives again before the answer comes, and is waited for. */
static void an_older_job_may_be_retried_while_the_store_is_asked(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const uint64_t parent = plain(d, client);
    claim_run(d, worker, parent, 1);
    struct jq_buf refs = { 0 };
    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = parent });
    const struct jq_msg retry = { .tag = JQ_MSG_RETRY,
                                  .correlation = 5,
                                  .u.retry = { .jobs = jq_records_of(1, &refs) } };
    struct claim_lists lists = { 0 };

    claim_after(&lists, parent, JQ_AFTER_OK);
    driver_apply(d, client, &retry);
    claim_ask(d, client, NULL, (struct jq_job_options){ 0 }, &lists);
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_RETRIED);
    const uint64_t child = claim_submitted_ack(d, client).id;
    assert_int_equal(claim_now(d, child), JQ_BLOCKED);
    driver_credit(d, worker, 2);
    claim_run(d, worker, parent, 0);
    assert_int_equal(claim_now(d, child), JQ_READY);
    jq_buf_fini(&refs);
    claim_lists_fini(&lists);
}

static void keys_and_older_jobs_are_asked_for_together(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 4);
    struct claim_lists lists = { 0 };
    struct jq_job_options options = { 0 };

    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "k" });
    driver_commit(d);
    const uint64_t keyed = claim_submitted_ack(d, client).id;
    claim_run(d, worker, keyed, 0);
    const uint64_t bad = plain(d, client);
    claim_run(d, worker, bad, 1);
    claim_after(&lists, bad, JQ_AFTER_FAIL);
    claim_lists_into(&lists, &options);
    driver_submit(d, client,
                  (struct driver_submit){ .number = 3, .key = "k", .options = &options });
    driver_submit(d, client,
                  (struct driver_submit){ .number = 4, .key = "l", .options = &options });
    driver_commit(d);
    struct jq_ack ack = claim_submitted_ack(d, client);
    assert_int_equal(ack.id, keyed);
    assert_int_equal(ack.created, 0);
    ack = claim_submitted_ack(d, client);
    assert_int_equal(ack.created, 1);
    claim_run(d, worker, ack.id, 0);
    claim_lists_fini(&lists);
}

/* ---- what survives ---- */

static void edges_are_there_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    const uint64_t a = plain(d, client), b = plain(d, client);
    struct claim_lists lists = { 0 };
    claim_after(&lists, a, JQ_AFTER_OK);
    claim_after(&lists, b, JQ_AFTER_OK);
    const uint64_t child =
        claim_submit(d, client, NULL, (struct jq_job_options){ .delay_ms = 100 }, &lists);
    claim_lists_fini(&lists);

    uint64_t worker = driver_worker(d, 2, 1);
    claim_run(d, worker, a, 0);
    driver_crash(d); /* one is satisfied, the other is not */
    assert_int_equal(claim_now(d, child), JQ_BLOCKED);
    assert_int_equal(claim_job(d, child)->extra->edges_left, 1);
    client = driver_client(d, 1);
    driver_tick(d, d->conf.settle_ms);
    worker = driver_worker(d, 3, 1);
    driver_collect(d);
    claim_run(d, worker, b, 1);
    assert_int_equal(claim_state_of(d, client, child), JQ_SKIPPED);
}

/* Neither is durable, or both are. */
static void an_end_and_what_it_skips_survive_together(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    const uint64_t worker = driver_worker(d, 2, 1);
    const uint64_t parent = plain(d, client);
    const uint64_t child = claim_submit_after(d, client, parent, JQ_AFTER_OK);

    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 1);
    driver_crash(d);
    assert_int_equal(claim_now(d, child), JQ_BLOCKED);
    assert_false(jq_state_is_terminal(claim_now(d, parent)));
    client = driver_client(d, 1);
    claim_cancel(d, client, parent);
    driver_tick(d, d->conf.lease_ms);
    driver_commit(d);
    driver_crash(d);
    client = driver_client(d, 1);
    assert_int_equal(claim_state_of(d, client, parent), JQ_CANCELLED);
    assert_int_equal(claim_state_of(d, client, child), JQ_SKIPPED);
}

static void a_retried_job_neither_revives_nor_blocks_those_that_were_done_with_it(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const uint64_t parent = plain(d, client);
    const uint64_t other =
        claim_submit(d, client, NULL, (struct jq_job_options){ .delay_ms = 100000 }, NULL);
    const uint64_t skipped = claim_submit_after(d, client, parent, JQ_AFTER_OK);
    struct claim_lists lists = { 0 };
    claim_after(&lists, parent, JQ_AFTER_FAIL);
    claim_after(&lists, other, JQ_AFTER_OK);
    const uint64_t waits = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, &lists);
    claim_lists_fini(&lists);
    claim_run(d, worker, parent, 1);
    assert_int_equal(claim_retry(d, client, parent), JQ_OK);
    const uint64_t later = claim_submit_after(d, client, parent, JQ_AFTER_OK);

    driver_crash(d);
    client = driver_client(d, 1);
    assert_int_equal(claim_state_of(d, client, skipped), JQ_SKIPPED);
    assert_int_equal(claim_job(d, waits)->extra->edges_left, 1);
    assert_int_equal(claim_now(d, later), JQ_BLOCKED);
    driver_tick(d, d->conf.settle_ms);
    worker = driver_worker(d, 3, 1);
    driver_collect(d);
    claim_run(d, worker, parent, 0);
    assert_int_equal(claim_now(d, later), JQ_READY);
    assert_int_equal(claim_now(d, waits), JQ_BLOCKED);
}

/* ---- memory that runs out ---- */

static void memory_that_runs_out_delays_what_follows_and_never_parts_it(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);

    for (int64_t fail_in = 0; fail_in < 24; fail_in++) {
        const uint64_t worker = driver_worker(d, 100 + (uint64_t)fail_in, 1);
        const struct jq_msg bye = { .tag = JQ_MSG_BYE };
        const uint64_t parent = plain(d, client);
        const uint64_t skipped = claim_submit_after(d, client, parent, JQ_AFTER_OK);
        const uint64_t deeper = claim_submit_after(d, client, skipped, JQ_AFTER_OK);
        const uint64_t goes_on = claim_submit_after(d, client, deeper, JQ_AFTER_FAIL);
        const struct jq_held held = driver_grant(d, worker);
        d->fail_in = fail_in;
        driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
        d->fail_in = -1;
        driver_commit(d);
        assert_int_equal(claim_state_of(d, client, skipped), JQ_SKIPPED);
        assert_int_equal(claim_state_of(d, client, deeper), JQ_SKIPPED);
        assert_int_equal(claim_now(d, goes_on), JQ_READY);
        claim_cancel(d, client, goes_on);
        driver_apply(d, worker, &bye);
    }
}

static void memory_that_runs_out_during_a_submit_makes_it_once(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1), blocked = 0;
    const uint64_t parent = plain(d, client), gone_by = plain(d, client);
    struct claim_lists lists = { 0 };

    claim_cancel(d, client, gone_by); /* the store is asked for it */
    claim_after(&lists, parent, JQ_AFTER_OK);
    claim_after(&lists, gone_by, JQ_AFTER_FAIL);
    claim_limit(&lists, "l", 3);
    claim_mutex(&lists, "m");
    for (int64_t fail_in = 0; fail_in < 60; fail_in++) {
        struct jq_job_options options = { .unique = jq_view_str(fail_in % 2 ? "odd" : "even") };
        const struct driver_submit submit = { .number = 10 + (uint64_t)fail_in,
                                              .options = &options };
        claim_lists_into(&lists, &options);
        d->fail_in = fail_in;
        driver_submit(d, client, submit);
        driver_commit(d);
        d->fail_in = -1;
        while (!driver_has(d, client, JQ_MSG_SUBMITTED)) { /* it could not be told, or asked for */
            client = driver_client(d, 1);
            driver_submit(d, client, submit);
            driver_commit(d);
        }
        blocked += claim_submitted_ack(d, client).created;
        while (driver_has(d, client, JQ_MSG_SUBMITTED))
            claim_drop(d, client, JQ_MSG_SUBMITTED);
    }
    claim_lists_fini(&lists);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_BLOCKED], 2);
    assert_int_equal(blocked, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(each_kind_of_edge_is_satisfied_by_its_end),
        CLAIM(a_job_waits_for_all_its_edges_and_then_for_its_delay),
        CLAIM(both_kinds_of_edge_to_one_job_skip),
        CLAIM(a_chain_of_a_thousand_is_skipped_in_one_batch),
        CLAIM(cancelling_a_blocked_job_skips_what_waits_for_it),
        CLAIM(every_end_but_success_is_a_failure_to_those_behind),
        CLAIM(an_older_job_that_has_ended_is_looked_up),
        CLAIM(an_end_that_is_not_durable_yet_counts),
        CLAIM(an_unknown_older_job_refuses_the_submit),
        CLAIM(an_older_job_that_is_gone_refuses_the_submit),
        CLAIM(an_older_job_may_end_while_the_store_is_asked_for_another),
        CLAIM(an_older_job_may_be_retried_while_the_store_is_asked),
        CLAIM(keys_and_older_jobs_are_asked_for_together),
        CLAIM(edges_are_there_after_a_restart),
        CLAIM(an_end_and_what_it_skips_survive_together),
        CLAIM(a_retried_job_neither_revives_nor_blocks_those_that_were_done_with_it),
        CLAIM(memory_that_runs_out_delays_what_follows_and_never_parts_it),
        CLAIM(memory_that_runs_out_during_a_submit_makes_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
