/* SPDX-License-Identifier: MIT
 *
 * test_core_dead.c - jobs that have ended, and what RETRY and REMOVE do with them. */
#include "tests/unit/core/life_claims.h"

static void a_dead_job_lives_again_at_its_place_with_its_history(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const struct jq_job_options options = { .attempts_max = 1, .unique = jq_view_str("u") };
    const uint64_t id = claim_submit(d, client, NULL, options, NULL);
    struct jq_attempt history[JQ_HISTORY_MAX];

    claim_run(d, worker, id, 3);
    const uint64_t behind = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    assert_int_equal(claim_queue(d, "default")->kept, 1);
    assert_int_equal(claim_retry(d, client, id), JQ_OK);
    assert_int_equal(claim_queue(d, "default")->kept, 0);
    assert_int_equal(claim_queue(d, "default")->kept_bytes, 0);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_FAILED], 0);
    const struct jq_job *job = claim_job(d, id);
    assert_int_equal(job->state, JQ_READY);
    assert_int_equal(job->attempt, 1);
    assert_int_equal(job->failures, 0);
    assert_int_equal(claim_history(job, history), 1);
    assert_int_equal(history[0].code, 3);
    assert_ptr_equal(jq_unique_find(d->core, &options), job);
    driver_credit(d, worker, 3);
    struct jq_held held[2];
    assert_int_equal(claim_grants(d, worker, held, 2), 2);
    assert_int_equal(held[0].id, id);
    assert_int_equal(held[1].id, behind);
    assert_int_equal((uint32_t)held[0].fence, 2);
    driver_wait(d, client, 50, id);
    driver_done(d, worker, held[0], JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    claim_expect_end(d, client, id, JQ_SUCCEEDED);
}

static void a_job_that_lives_again_does_so_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    const struct jq_job_options options = { .expires_ms = 10 };
    const uint64_t id = claim_submit(d, client, NULL, options, NULL);

    driver_tick(d, 10);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, id), JQ_EXPIRED);
    assert_int_equal(claim_retry(d, client, id), JQ_OK);
    driver_crash(d);
    driver_tick(d, 1000);
    assert_int_equal(claim_now(d, id), JQ_READY); /* its time is not over again */
    client = driver_client(d, 1);
    const uint64_t worker = driver_worker(d, 2, 1);
    claim_run(d, worker, id, 0);
    assert_int_equal(claim_state_of(d, client, id), JQ_SUCCEEDED);
}

static void what_has_not_ended_or_has_succeeded_is_not_retried(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const uint64_t good = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    claim_run(d, worker, good, 0);
    const uint64_t alive = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);

    assert_int_equal(claim_retry(d, client, good), JQ_ESTATE);
    assert_int_equal(claim_retry(d, client, alive), JQ_ESTATE);
    assert_int_equal(claim_retry(d, client, alive + 1), JQ_ENOENT);
    assert_int_equal(claim_remove(d, client, alive), JQ_ESTATE);
    assert_int_equal(claim_remove(d, client, good), JQ_OK);
    assert_int_equal(claim_remove(d, client, good), JQ_EGONE);
    assert_int_equal(claim_retry(d, client, good), JQ_EGONE);
    assert_int_equal(claim_info_error(d, client, good), JQ_EGONE);
    assert_int_equal(claim_queue(d, "default")->kept, 0);
}

static struct jq_msg of_these(enum jq_tag tag, struct jq_buf *refs, const uint64_t *ids,
                              uint32_t count)
{
    struct jq_msg msg = { .tag = tag, .correlation = 60 };

    for (uint32_t i = 0; i < count; i++)
        jq_job_ref_write(refs, &(struct jq_job_ref){ .id = ids[i] });
    msg.u.retry.jobs = jq_records_of(count, refs);
    return msg;
}

static void an_end_that_is_not_durable_yet_is_retried_once_it_is(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    struct jq_buf refs = { 0 };
    const uint64_t twice[] = { id, id };
    const struct jq_msg msg = of_these(JQ_MSG_RETRY, &refs, twice, 2);

    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 1);
    driver_apply(d, client, &msg);
    driver_apply(d, client, &msg); /* the second finds it alive */
    driver_commit(d);
    const int64_t expected[] = { JQ_OK, JQ_ESTATE };
    for (int i = 0; i < 2; i++) {
        struct driver_frame frame = driver_expect(d, client, JQ_MSG_RETRIED);
        struct jq_reader r = jq_records_reader(frame.msg.u.retried.each);
        struct jq_ack ack;
        assert_int_equal(frame.msg.u.retried.each.count, 1);
        assert_true(jq_ack_next(&r, &ack));
        assert_int_equal(ack.error, expected[i]);
        driver_frame_free(&frame);
    }
    assert_int_equal(claim_now(d, id), JQ_READY);
    jq_buf_fini(&refs);
}

/* Two that ask for the same row before its deletion is durable: it is counted once. */
static void a_row_is_removed_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 2);
    const uint64_t a = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    const uint64_t b = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    struct jq_held held[2];
    struct jq_buf refs = { 0 };
    const struct jq_msg remove = of_these(JQ_MSG_REMOVE, &refs, &a, 1);
    const struct jq_msg retry = of_these(JQ_MSG_RETRY, &refs, &a, 0);
    struct jq_msg again = retry;

    again.u.retry.jobs = remove.u.remove.jobs;
    assert_int_equal(claim_grants(d, worker, held, 2), 2);
    driver_done(d, worker, held[0], JQ_OUTCOME_EXITED, 1);
    driver_done(d, worker, held[1], JQ_OUTCOME_EXITED, 1);
    driver_commit(d);
    driver_apply(d, client, &remove);
    driver_apply(d, client, &remove);
    driver_apply(d, client, &again);
    driver_commit(d);
    assert_int_equal(claim_queue(d, "default")->kept, 1);
    assert_int_equal(claim_info_error(d, client, a), JQ_EGONE);
    assert_int_equal(claim_info_error(d, client, b), JQ_OK);
    claim_drop(d, client, JQ_MSG_REMOVED);
    claim_drop(d, client, JQ_MSG_REMOVED);
    claim_drop(d, client, JQ_MSG_RETRIED);
    jq_buf_fini(&refs);
}

enum { MANY = 40 };

static void many_are_retried_in_parts_and_each_is_answered_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    uint64_t ids[MANY];
    struct jq_buf refs = { 0 };
    uint32_t answered = 0;

    driver_submit(d, client, (struct driver_submit){ .number = 1, .count = MANY });
    driver_commit(d);
    const uint64_t first = claim_submitted_id(d, client);
    for (uint64_t i = 0; i < MANY; i++) {
        ids[i] = first + (i * 7) % MANY;
        if (i % 4)
            claim_cancel(d, client, first + i);
    }
    d->read_max = 5; /* the answers are too large for more */
    const struct jq_msg msg = of_these(JQ_MSG_RETRY, &refs, ids, MANY);
    driver_apply(d, client, &msg);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_RETRIED);
    struct jq_ack ack;
    for (struct jq_reader r = jq_records_reader(frame.msg.u.retried.each); jq_ack_next(&r, &ack);
         answered++)
        assert_int_equal(ack.error, (ack.id - first) % 4 ? JQ_OK : JQ_ESTATE);
    assert_int_equal(answered, MANY);
    driver_frame_free(&frame);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_READY], MANY);
    driver_crash(d);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_READY], MANY);
    jq_buf_fini(&refs);
}

static void a_closed_queue_takes_no_retried_job(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);

    claim_cancel(d, client, id);
    jq_queue_find(d->core, jq_view_str("default"))->closed = true;
    assert_int_equal(claim_retry(d, client, id), JQ_ECLOSED);
}

static void memory_that_runs_out_retries_and_removes_once_or_not(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    struct jq_buf refs = { 0 };
    struct jq_msg msg = of_these(JQ_MSG_RETRY, &refs, &id, 1);

    for (int64_t fail_in = 0; fail_in < 60; fail_in++) {
        claim_cancel(d, client, id);
        msg.tag = fail_in > 40 ? JQ_MSG_REMOVE : JQ_MSG_RETRY;
        d->fail_in = fail_in;
        driver_apply(d, client, &msg);
        driver_commit(d);
        d->fail_in = -1;
        const bool lives = claim_job(d, id) != NULL;
        const bool gone = !lives && claim_info_error(d, client, id) == JQ_EGONE;
        assert_int_equal(claim_queue(d, "default")->kept, !lives && !gone);
        if (gone)
            break;
        client = driver_client(d, 1); /* the connection may have been lost */
    }
    jq_buf_fini(&refs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_dead_job_lives_again_at_its_place_with_its_history),
        CLAIM(a_job_that_lives_again_does_so_after_a_restart),
        CLAIM(what_has_not_ended_or_has_succeeded_is_not_retried),
        CLAIM(an_end_that_is_not_durable_yet_is_retried_once_it_is),
        CLAIM(a_row_is_removed_once),
        CLAIM(many_are_retried_in_parts_and_each_is_answered_once),
        CLAIM(a_closed_queue_takes_no_retried_job),
        CLAIM(memory_that_runs_out_retries_and_removes_once_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
