/* SPDX-License-Identifier: MIT
 *
 * test_core_remove.c - REMOVE of a queue: what it keeps is deleted in slices, nothing is taken
 * meanwhile, and a queue of its name afterwards is another. */
#include "tests/unit/core/queue_claims.h"

static void a_queue_with_something_unfinished_is_not_removed(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    claim_item(d, client);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_REMOVE), JQ_ESTATE);
    claim_order(d, client, JQ_QUEUE_PURGE);
    claim_order(d, client, JQ_QUEUE_REMOVE); /* its jobs are still being cancelled */
    assert_int_equal(claim_expect_error(d, client), JQ_ESTATE);
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_QUEUE_SAID);
    claim_purged(d);
    claim_get(d, client, 1, true, 0);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_REMOVE), JQ_ESTATE);
    claim_unwait(d, client, 1);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_REMOVE), 0);
    assert_null(claim_queue(d, "q"));
}

static void what_it_keeps_is_deleted_in_slices_and_nothing_is_taken_meanwhile(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    claim_many(d, client, CLAIM_MANY);
    claim_do(d, client, JQ_QUEUE_PURGE);
    claim_purged(d);
    assert_int_equal(claim_ask_queue(d, client).kept, CLAIM_MANY);
    claim_order(d, client, JQ_QUEUE_REMOVE);
    claim_put(d, client, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, client), JQ_ECLOSED);
    claim_get(d, client, 1, true, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_ECLOSED);
    claim_room(d, client, 1, 1);
    assert_int_equal(claim_expect_error(d, client), JQ_ENOENT);
    claim_join(d, client);
    assert_int_equal(claim_expect_error(d, client), JQ_ENOENT);
    for (enum jq_queue_action a = JQ_QUEUE_PAUSE; a <= JQ_QUEUE_REMOVE; a++) {
        claim_order(d, client, a);
        assert_int_equal(claim_expect_error(d, client), JQ_ESTATE);
    }
    assert_int_equal(claim_set(d, client, "q", JQ_QUEUE_MAXSIZE,
                               (struct jq_queue_conf){ .order = jq_view_str("fifo") }),
                     JQ_ESTATE);
    assert_int_equal(claim_retry(d, client, 1), JQ_EGONE); /* its row is gone by now */
    assert_null(claim_queue(d, "q"));
    assert_int_equal(claim_ordered(d, client), 0);
    driver_crash(d);
    assert_null(claim_queue(d, "q"));
    client = driver_client(d, 7);
    const uint64_t id = claim_item(d, client); /* a new one of the name */
    assert_int_equal(claim_ask_queue(d, client).cancelled, 0);
    assert_int_equal(claim_take(d, client).id, id);
}

static void an_end_that_is_not_durable_yet_is_removed_too(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    claim_job_in_q(d, client, 0);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    assert_int_equal(claim_do(d, client, JQ_QUEUE_REMOVE), 0);
    assert_null(claim_queue(d, "q"));
    assert_int_equal(claim_info_error(d, client, 1), JQ_EGONE);
    driver_crash(d);
    assert_int_equal(d->core->queues.count, 0);
}

static void a_retry_during_a_removal_is_refused(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    struct jq_buf refs = { 0 };
    struct jq_ack ack;

    claim_job_in_q(d, client, 0);
    claim_run(d, worker, 1, 1);
    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = 1 });
    const struct jq_msg retry = { .tag = JQ_MSG_RETRY, .u.retry.jobs = jq_records_of(1, &refs) };
    driver_apply(d, client, &retry); /* the store is asked, and asked by the removal */
    claim_order(d, client, JQ_QUEUE_REMOVE);
    driver_commit(d);
    jq_buf_fini(&refs);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_RETRIED);
    struct jq_reader r = jq_records_reader(frame.msg.u.retried.each);
    assert_true(jq_ack_next(&r, &ack));
    assert_true(ack.error == JQ_ECLOSED || ack.error == JQ_EGONE);
    driver_frame_free(&frame);
    assert_null(claim_queue(d, "q"));
}

static void a_submit_that_asked_the_store_is_not_taken_by_a_closed_queue(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct driver_submit keyed = { .number = 1, .queue = "q", .key = "k" };

    claim_declare(d, client, "fifo", 0);
    driver_submit(d, client, keyed);
    claim_order(d, client, JQ_QUEUE_CLOSE);
    driver_commit(d);
    assert_int_equal(claim_expect_error(d, client), JQ_ECLOSED);
    assert_int_equal(d->core->jobs.count, 0);
}

static void the_answer_goes_to_the_session_that_asked(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg hello = {
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = 1, .version_max = 1, .role = JQ_ROLE_CLIENT, .session = 9 },
    };

    claim_many(d, client, CLAIM_MANY);
    claim_do(d, client, JQ_QUEUE_PURGE);
    claim_purged(d);
    claim_order(d, client, JQ_QUEUE_REMOVE);
    driver_apply(d, client, &hello);
    driver_commit(d);
    assert_null(claim_queue(d, "q"));
    assert_false(driver_has(d, client, JQ_MSG_QUEUE_SAID));
}

/* ---- memory ---- */

static void purges_survive_memory_that_runs_out_anywhere(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    for (int64_t fail_in = 0; fail_in < 60; fail_in++) {
        claim_put(d, client, "noop", 0, 20, NULL);
        claim_put(d, client, "item", 0, 3, NULL);
        driver_commit(d);
        d->fail_in = fail_in;
        claim_order(d, client, fail_in % 2 ? JQ_QUEUE_PURGE : JQ_QUEUE_CLOSE_NOW);
        driver_tick(d, 3);
        driver_commit(d);
        claim_purged(d);
        d->fail_in = fail_in;
        if (jq_peer_find(d->core, client))
            claim_order(d, client, JQ_QUEUE_REMOVE);
        driver_commit(d);
        d->fail_in = -1;
        if (!jq_peer_find(d->core, client))
            client = driver_client(d, 7);
        if (claim_queue(d, "q")) {
            assert_int_equal(jq_queue_unfinished(claim_queue(d, "q")), 0);
            claim_order(d, client, JQ_QUEUE_REOPEN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_queue_with_something_unfinished_is_not_removed),
        CLAIM(what_it_keeps_is_deleted_in_slices_and_nothing_is_taken_meanwhile),
        CLAIM(an_end_that_is_not_durable_yet_is_removed_too),
        CLAIM(a_retry_during_a_removal_is_refused),
        CLAIM(a_submit_that_asked_the_store_is_not_taken_by_a_closed_queue),
        CLAIM(the_answer_goes_to_the_session_that_asked),
        CLAIM(purges_survive_memory_that_runs_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
