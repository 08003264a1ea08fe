/* SPDX-License-Identifier: MIT
 *
 * test_core_durability.c - queues that tell before they store, and queues that store nothing: what
 * is told at once, what a crash loses, and what it never may. */
#include "tests/unit/core/queue_claims.h"

static void be(struct driver *d, uint64_t client, enum jq_durability durability)
{
    const struct jq_queue_conf conf = { .order = jq_view_str("fifo"), .durability = durability };

    assert_int_equal(claim_set(d, client, "q", JQ_QUEUE_DURABILITY, conf), 0);
}

/* The id of one job that was told before any commit. */
static uint64_t told(struct driver *d, uint64_t client)
{
    claim_put(d, client, "noop", 0, 1, NULL);
    return claim_submitted_id(d, client);
}

/* Operations on jobs and requests in the open batch. */
static uint32_t stored_of_jobs(struct driver *d)
{
    uint32_t count = 0;

    driver_hand_over(d);
    for (size_t b = 0; b < d->batch_count; b++)
        for (uint32_t i = 0; i < d->batches[b]->count; i++) {
            const enum jq_store_op_kind kind = d->batches[b]->ops[i].kind;
            count += kind == JQ_OP_JOB_PUT || kind == JQ_OP_JOB_SET || kind == JQ_OP_JOB_DELETE ||
                     kind == JQ_OP_REQUEST_PUT || kind == JQ_OP_REQUEST_DELETE;
        }
    driver_commit(d);
    return count;
}

/* ---- relaxed ---- */

static void a_relaxed_queue_answers_at_once_and_may_forget(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    be(d, client, JQ_DURABILITY_RELAXED);
    const uint64_t first = told(d, client);
    driver_commit(d);
    const uint64_t second = told(d, client);
    driver_crash(d);
    assert_int_equal(claim_now(d, first), JQ_READY);
    assert_null(claim_job(d, second));
    client = driver_client(d, 7);
    assert_true(told(d, client) > second); /* an id is given once */
}

static void a_relaxed_end_and_a_settle_are_told_at_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    be(d, client, JQ_DURABILITY_RELAXED);
    const uint64_t id = told(d, client);
    driver_wait(d, client, 50, id);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    claim_expect_end(d, client, id, JQ_SUCCEEDED);
    driver_wait(d, client, 51, id); /* it has ended, and is in memory alone */
    claim_expect_end(d, client, id, JQ_SUCCEEDED);
    assert_non_null(claim_job(d, id));                    /* the store does not answer for it yet */
    assert_false(driver_has(d, worker, JQ_MSG_DONE_ACK)); /* else nobody would know after a crash */
    driver_commit(d);
    assert_null(claim_job(d, id));
    claim_late(d);
    claim_drop(d, worker, JQ_MSG_DONE_ACK);
    claim_put(d, client, "item", 0, 1, NULL);
    claim_settle_ask(d, client, claim_take(d, client), JQ_SETTLE_DONE, 0);
    assert_int_equal(claim_settled(d, client), 0);
}

static void a_relaxed_call_does_not_wait_for_the_disk(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    be(d, client, JQ_DURABILITY_RELAXED);
    driver_submit(d, client,
                  (struct driver_submit){ .number = 1, .queue = "q", .flags = JQ_SUBMIT_CALL });
    claim_late(d);
    claim_drop(d, client, JQ_MSG_SUBMITTED);
    const struct jq_held held = driver_grant(d, worker);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    claim_expect_end(d, client, held.id, JQ_SUCCEEDED);
}

/* Its worker keeps what is not acknowledged, and says it again. */
static void a_relaxed_end_that_a_crash_undid_comes_again_from_its_worker(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    be(d, client, JQ_DURABILITY_RELAXED);
    const uint64_t id = told(d, client);
    const struct jq_held held = driver_grant(d, worker);
    driver_commit(d);
    driver_wait(d, client, 50, id);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    claim_expect_end(d, client, id, JQ_SUCCEEDED);
    driver_crash(d);
    assert_int_equal(claim_now(d, id), JQ_RUNNING);
    worker = driver_worker_back(d, 8, &held, 1);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    claim_late(d);
    claim_drop(d, worker, JQ_MSG_DONE_ACK);
    assert_null(claim_job(d, id));
    client = driver_client(d, 7);
    driver_wait(d, client, 50, id);
    driver_commit(d);
    claim_expect_end(d, client, id, JQ_SUCCEEDED);
}

static void a_result_tells_no_id_that_could_be_given_again(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    for (enum jq_durability how = JQ_DURABILITY_RELAXED; how <= JQ_DURABILITY_MEMORY; how++) {
        be(d, client, how);
        d->core->meta.next_id = d->core->ids_safe;
        driver_submit(
            d, client,
            (struct driver_submit){ .number = how, .queue = "q", .flags = JQ_SUBMIT_CALL });
        claim_late(d);
        claim_drop(d, client, JQ_MSG_SUBMITTED);
        const struct jq_held held = driver_grant(d, worker);
        driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
        assert_false(driver_has(d, client, JQ_MSG_RESULTS));
        driver_commit(d);
        claim_expect_end(d, client, held.id, JQ_SUCCEEDED);
        driver_credit(d, worker, 1 + how);
    }
}

/* ---- ids ---- */

static void ids_that_were_told_are_never_given_again(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), last = 0;

    be(d, client, JQ_DURABILITY_MEMORY);
    for (int i = 0; i < 6; i++) {
        const uint64_t id = told(d, client);
        assert_true(id > last);
        last = id;
        if (i % 2)
            driver_hand_over(d); /* on its way, and lost */
        driver_crash(d);
        client = driver_client(d, 7);
    }
}

static void more_ids_than_are_reserved_wait_for_the_store(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    be(d, client, JQ_DURABILITY_MEMORY);
    told(d, client);
    const uint64_t safe = d->core->ids_safe;
    assert_true(safe > d->core->meta.next_id);
    d->core->meta.next_id = safe - 1;
    assert_int_equal(told(d, client), safe - 1); /* the last that is */
    claim_put(d, client, "noop", 0, 1, NULL);
    assert_false(driver_has(d, client, JQ_MSG_SUBMITTED));
    driver_commit(d);
    assert_int_equal(claim_submitted_id(d, client), safe);
    assert_true(d->core->ids_safe > safe);
    driver_crash(d);
    client = driver_client(d, 7);
    assert_true(told(d, client) > safe);
}

static void ids_are_reserved_by_the_batch_that_makes_the_queue_so(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_queue_conf memory = { .order = jq_view_str("fifo"),
                                          .durability = JQ_DURABILITY_MEMORY };
    struct jq_buf confs = { 0 };

    jq_queue_conf_write(&confs, &memory);
    const struct jq_msg set = {
        .tag = JQ_MSG_QUEUE_SET,
        .u.queue_set = { .name = jq_view_str("q"),
                         .mode = JQ_QUEUE_DECLARE,
                         .fields = JQ_QUEUE_DURABILITY,
                         .conf = jq_records_of(1, &confs) },
    };
    driver_apply(d, client, &set);
    jq_buf_fini(&confs);
    claim_put(d, client, "noop", 0, 1, NULL); /* before its queue is durable */
    assert_false(driver_has(d, client, JQ_MSG_SUBMITTED));
    driver_commit(d);
    assert_int_equal(claim_submitted_id(d, client), 1);
    assert_int_equal(told(d, client), 2);
}

/* ---- memory ---- */

static void a_memory_queue_stores_nothing_of_its_jobs(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const struct jq_job_options later = { .delay_ms = 100 };

    be(d, client, JQ_DURABILITY_MEMORY);
    stored_of_jobs(d);
    const uint64_t id = told(d, client);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 1);
    claim_put(d, client, "noop", 0, 1, &later);
    claim_put(d, client, "item", 0, 1, NULL);
    claim_settle_ask(d, client, claim_take(d, client), JQ_SETTLE_NACK, 0);
    claim_settle_ask(d, client, claim_take(d, client), JQ_SETTLE_EXTEND, 100);
    claim_order(d, client, JQ_QUEUE_PURGE);
    driver_tick(d, 1000);
    assert_int_equal(stored_of_jobs(d), 0);
    assert_int_equal(claim_info_error(d, client, id), JQ_EGONE);
    driver_crash(d);
    assert_int_equal(d->core->jobs.count, 0);
    assert_int_equal(claim_queue(d, "q")->by_state[JQ_FAILED], 1);
}

static void how_a_memory_job_ended_is_told_at_once_to_all_who_wait(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const struct jq_msg join = { .tag = JQ_MSG_JOIN,
                                 .correlation = 51,
                                 .u.join.queue = jq_view_str("q") };
    const struct jq_msg watch = { .tag = JQ_MSG_WATCH, .correlation = 52 };

    be(d, client, JQ_DURABILITY_MEMORY);
    driver_apply(d, client, &watch);
    const uint64_t id = told(d, client);
    driver_wait(d, client, 50, id);
    driver_apply(d, client, &join);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    claim_expect_end(d, client, id, JQ_SUCCEEDED);
    assert_null(claim_job(d, id));
    assert_false(driver_has(d, worker, JQ_MSG_ERROR));
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_JOINED);
    claim_drop(d, client, JQ_MSG_EVENTS);
    claim_late(d);
    claim_drop(d, worker, JQ_MSG_DONE_ACK);
    driver_wait(d, client, 50, id); /* nobody knows any more */
    driver_commit(d);
    struct driver_frame frame;
    assert_int_equal(claim_expect_result(d, client, &frame).error, JQ_EGONE);
    driver_frame_free(&frame);
}

static void jobs_after_a_memory_job_follow_it(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    be(d, client, JQ_DURABILITY_MEMORY);
    const uint64_t good = told(d, client), bad = told(d, client);
    const uint64_t after_good = claim_submit_after(d, client, good, JQ_AFTER_OK);
    const uint64_t after_bad = claim_submit_after(d, client, bad, JQ_AFTER_OK);
    driver_credit(d, worker, 1);
    claim_run(d, worker, good, 0);
    driver_credit(d, worker, 2);
    claim_run(d, worker, bad, 1);
    assert_int_equal(claim_now(d, after_good), JQ_READY);
    assert_int_equal(claim_state_of(d, client, after_bad), JQ_SKIPPED);
}

static void keys_and_unique_names_of_memory_jobs_are_free_with_them(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct driver_submit keyed = { .number = 1, .queue = "q", .key = "k" };

    be(d, client, JQ_DURABILITY_MEMORY);
    for (keyed.number = 1; keyed.number <= 4; keyed.number++) {
        driver_submit(d, client, keyed);
        driver_commit(d);
        assert_int_equal(claim_submitted_ack(d, client).created, keyed.number % 2);
        if (keyed.number % 2 == 0)
            driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    }
    assert_int_equal(d->core->jobs.count, 0);
    assert_int_equal(d->core->keys.count, 0);
}

static void a_discarded_job_leaves_nothing_in_any_queue(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);

    for (enum jq_durability how = JQ_DURABILITY_FULL; how <= JQ_DURABILITY_MEMORY; how++) {
        be(d, client, how);
        driver_submit(
            d, client,
            (struct driver_submit){ .number = 1 + how, .queue = "q", .job_flags = JQ_JOB_DISCARD });
        driver_commit(d);
        driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
        driver_commit(d);
        assert_int_equal(d->core->jobs.count, 0);
    }
    assert_int_equal(claim_ask_queue(d, client).succeeded, 3);
    assert_int_equal(claim_ask_queue(d, client).kept, 0);
}

static void a_memory_item_by_receipt_is_told_at_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    be(d, client, JQ_DURABILITY_MEMORY);
    claim_put(d, client, "item", 0, 1, NULL);
    claim_get(d, client, 1, true, 500);
    const struct jq_held held = claim_taken(d, client).held;
    claim_settle_ask(d, client, held, JQ_SETTLE_DONE, 0);
    assert_int_equal(claim_settled(d, client), 0);
    claim_settle_ask(d, client, held, JQ_SETTLE_DONE, 0);
    assert_int_equal(claim_settled(d, client), JQ_EALREADY);
}

static void a_submit_to_memory_that_is_resent_is_answered_as_before(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct driver_submit it = { .number = 5, .queue = "q" };

    be(d, client, JQ_DURABILITY_MEMORY);
    driver_submit(d, client, it);
    const uint64_t id = claim_submitted_id(d, client);
    driver_submit(d, client, it);
    assert_int_equal(claim_submitted_id(d, client), id);
    assert_int_equal(stored_of_jobs(d), 0);
    driver_submit(d, client, (struct driver_submit){ .number = 6, .queue = "q", .answered = 5 });
    claim_bye(d, client);
    assert_int_equal(stored_of_jobs(d), 0);
}

/* ---- switching ---- */

static void what_was_stored_stays_stored_and_what_was_not_is_when_it_moves(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    uint64_t worker = driver_worker(d, 8, 0);

    const uint64_t stored = claim_job_in_q(d, client, 0);
    driver_commit(d);
    be(d, client, JQ_DURABILITY_MEMORY);
    const uint64_t moved = claim_job_in_q(d, client, 0), loose = claim_job_in_q(d, client, 0);
    driver_credit(d, worker, 1);
    assert_int_equal(driver_grant(d, worker).id, stored);
    driver_commit(d);
    be(d, client, JQ_DURABILITY_FULL);
    driver_credit(d, worker, 2);
    const struct jq_held held = driver_grant(d, worker);
    assert_int_equal(held.id, moved);
    driver_commit(d);
    driver_crash(d);
    assert_int_equal(claim_now(d, stored), JQ_RUNNING);
    assert_int_equal(claim_now(d, moved), JQ_RUNNING);
    assert_null(claim_job(d, loose)); /* it had not moved */
    client = driver_client(d, 9);
    worker = driver_worker_back(d, 8, &held, 1);
    driver_wait(d, client, 50, moved);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
    driver_commit(d);
    claim_expect_end(d, client, moved, JQ_SUCCEEDED);
}

static void a_stored_job_of_a_memory_queue_ends_in_the_store(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    const uint64_t stored = claim_job_in_q(d, client, 0);
    driver_commit(d);
    be(d, client, JQ_DURABILITY_MEMORY);
    driver_wait(d, client, 50, stored);
    driver_credit(d, worker, 1);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
    driver_commit(d);
    claim_expect_end(d, client, stored, JQ_SUCCEEDED);
    driver_crash(d);
    assert_int_equal(claim_state_of(d, driver_client(d, 9), stored), JQ_SUCCEEDED);
}

static void a_memory_job_ends_between_jobs_that_the_disk_has_yet_to_take(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct jq_held full, memory;

    be(d, client, JQ_DURABILITY_MEMORY);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .queue = "kept" });
    full = driver_grant(d, worker);
    driver_done(d, worker, full, JQ_OUTCOME_EXITED, 0);
    for (int i = 0; i < 3; i++) {
        told(d, client);
        memory = driver_grant(d, worker);
        driver_done(d, worker, memory, JQ_OUTCOME_EXITED, 0);
        assert_null(claim_job(d, memory.id));
    }
    assert_non_null(claim_job(d, full.id));
    driver_commit(d);
    assert_int_equal(d->core->jobs.count, 0);
}

static void memory_jobs_end_although_memory_runs_out(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_options soon = { .expires_ms = 100 };

    be(d, client, JQ_DURABILITY_MEMORY);
    for (int64_t n = 0; n < 12; n++) {
        claim_put(d, client, "noop", 0, 3, &soon);
        while (driver_has(d, client, JQ_MSG_SUBMITTED))
            claim_drop(d, client, JQ_MSG_SUBMITTED);
        d->fail_in = n;
        driver_tick(d, 200); /* the driver checks the core after each ENOMEM */
        d->fail_in = -1;
        assert_int_equal(d->core->jobs.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_relaxed_queue_answers_at_once_and_may_forget),
        CLAIM(a_relaxed_end_and_a_settle_are_told_at_once),
        CLAIM(a_relaxed_call_does_not_wait_for_the_disk),
        CLAIM(a_relaxed_end_that_a_crash_undid_comes_again_from_its_worker),
        CLAIM(a_result_tells_no_id_that_could_be_given_again),
        CLAIM(ids_that_were_told_are_never_given_again),
        CLAIM(more_ids_than_are_reserved_wait_for_the_store),
        CLAIM(ids_are_reserved_by_the_batch_that_makes_the_queue_so),
        CLAIM(a_memory_queue_stores_nothing_of_its_jobs),
        CLAIM(how_a_memory_job_ended_is_told_at_once_to_all_who_wait),
        CLAIM(jobs_after_a_memory_job_follow_it),
        CLAIM(keys_and_unique_names_of_memory_jobs_are_free_with_them),
        CLAIM(a_discarded_job_leaves_nothing_in_any_queue),
        CLAIM(a_memory_item_by_receipt_is_told_at_once),
        CLAIM(a_submit_to_memory_that_is_resent_is_answered_as_before),
        CLAIM(what_was_stored_stays_stored_and_what_was_not_is_when_it_moves),
        CLAIM(a_stored_job_of_a_memory_queue_ends_in_the_store),
        CLAIM(a_memory_job_ends_between_jobs_that_the_disk_has_yet_to_take),
        CLAIM(memory_jobs_end_although_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
