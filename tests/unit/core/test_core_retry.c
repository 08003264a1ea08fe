/* SPDX-License-Identifier: MIT
 *
 * test_core_retry.c - attempts that fail and are followed by others, what is remembered of them,
 * jobs that are dead, and what can be done with those. */
#include "broker/core/state.h"
#include "tests/unit/core/life_claims.h"

static size_t history_of(const struct jq_job *job, struct jq_attempt *ret)
{
    struct jq_reader r = jq_reader(jq_blob_view(job->history));
    size_t count = 0;

    while (r.at != r.end && jq_attempt_next(&r, &ret[count]))
        count++;
    return count;
}

/* ---- retries ---- */

static void a_failed_attempt_is_followed_by_another_until_there_are_no_more(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    const struct jq_job_options options = { .attempts_max = 3,
                                            .backoff_ms = 1000,
                                            .backoff_kind = JQ_BACKOFF_FIXED };
    const uint64_t id = claim_submit(d, client, NULL, options, NULL);
    struct jq_attempt history[JQ_HISTORY_MAX];

    driver_wait(d, client, 50, id);
    for (uint32_t failures = 1; failures < 3; failures++) {
        claim_run(d, worker, id, 7);
        assert_int_equal(claim_now(d, id), JQ_DELAYED);
        assert_int_equal(claim_job(d, id)->failures, failures);
        assert_int_equal(claim_job(d, id)->due_at, d->now.wall + 1000000000);
        driver_tick(d, 1000);
    }
    assert_int_equal(history_of(claim_job(d, id), history), 2);
    assert_int_equal(history[1].attempt, 2);
    assert_int_equal(history[1].code, 7);
    assert_true(jq_view_equal(history[1].worker, jq_view_str("test")));
    claim_run(d, worker, id, 7);
    claim_expect_end(d, client, id, JQ_FAILED);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_FAILED], 1);
}

static void a_job_that_does_not_say_so_is_not_retried(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);

    claim_run(d, worker, id, 1);
    assert_int_equal(claim_state_of(d, client, id), JQ_FAILED);
}

static void the_queue_says_it_for_jobs_that_do_not(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    struct jq_queue *queue = jq_queue_find(d->core, jq_view_str("default"));

    queue->attempts_max = 2;
    queue->backoff_ms = queue->backoff_max_ms = 50;
    claim_run(d, worker, id, 1);
    assert_int_equal(claim_now(d, id), JQ_DELAYED);
    assert_true(claim_job(d, id)->due_at <= d->now.wall + 50000000);
    driver_tick(d, 50);
    claim_run(d, worker, id, 1);
    assert_int_equal(claim_state_of(d, client, id), JQ_FAILED);
}

static void a_backoff_is_jittered_in_full_and_doubles_up_to_its_most(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 100000);
    const jq_ns bounds[] = { 1000, 2000, 4000, 5000, 5000 };
    jq_ns least[5], most[5];

    for (int round = 0; round < 60; round++) {
        const struct jq_job_options options = { .attempts_max = 6,
                                                .backoff_ms = 1000,
                                                .backoff_max_ms = 5000 };
        const uint64_t id = claim_submit(d, client, NULL, options, NULL);
        for (int i = 0; i < 5; i++) {
            claim_run(d, worker, id, 1);
            const struct jq_job *job = claim_job(d, id);
            const jq_ns ms = job->due_at ? (job->due_at - d->now.wall) / 1000000 : 0;
            assert_in_range(ms, 0, bounds[i]);
            least[i] = round && least[i] < ms ? least[i] : ms;
            most[i] = round && most[i] > ms ? most[i] : ms;
            driver_tick(d, ms);
        }
        claim_run(d, worker, id, 0);
    }
    for (int i = 0; i < 5; i++) {
        assert_true(least[i] < bounds[i] / 4);
        assert_true(most[i] > bounds[i] * 3 / 4);
    }
}

static bool retried(struct driver *d, uint64_t client, uint64_t worker, enum jq_outcome_kind kind,
                    int64_t code, const struct claim_lists *lists)
{
    const struct jq_job_options options = { .attempts_max = 2, .backoff_ms = 1000000 };
    const uint64_t id = claim_submit(d, client, NULL, options, lists);

    driver_done(d, worker, driver_grant(d, worker), kind, code);
    const bool ret = claim_now(d, id) < JQ_RUNNING;
    if (ret)
        claim_cancel(d, client, id);
    driver_commit(d);
    return ret;
}

static void codes_and_signals_say_which_failures_are_retried(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 100);
    struct claim_lists only = { 0 }, but = { 0 }, both = { 0 };

    claim_retry_on(&only, 75, 0);
    claim_retry_on(&only, -1, 9);
    claim_no_retry_on(&but, 2, 0);
    claim_no_retry_on(&but, -1, 15);
    claim_retry_on(&both, 75, 0);
    claim_retry_on(&both, 76, 0);
    claim_no_retry_on(&both, 76, 0);
    assert_true(retried(d, client, worker, JQ_OUTCOME_EXITED, 75, &only));
    assert_false(retried(d, client, worker, JQ_OUTCOME_EXITED, 1, &only));
    assert_true(retried(d, client, worker, JQ_OUTCOME_SIGNALLED, 9, &only));
    assert_false(retried(d, client, worker, JQ_OUTCOME_SIGNALLED, 15, &only));
    assert_false(retried(d, client, worker, JQ_OUTCOME_EXITED, 9, &only));
    assert_false(retried(d, client, worker, JQ_OUTCOME_EXITED, 2, &but));
    assert_true(retried(d, client, worker, JQ_OUTCOME_EXITED, 3, &but));
    assert_false(retried(d, client, worker, JQ_OUTCOME_SIGNALLED, 15, &but));
    assert_true(retried(d, client, worker, JQ_OUTCOME_TIMEDOUT, 124, &but));
    assert_true(retried(d, client, worker, JQ_OUTCOME_ERROR, 75, &both));
    assert_false(retried(d, client, worker, JQ_OUTCOME_NOSTART, 76, &both));
    assert_false(retried(d, client, worker, JQ_OUTCOME_CANCELLED, 75, &both));
    assert_false(retried(d, client, worker, JQ_OUTCOME_EXITED, 0, &both));
    claim_lists_fini(&only);
    claim_lists_fini(&but);
    claim_lists_fini(&both);
}

static void a_job_that_was_to_be_cancelled_is_not_retried(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    const uint64_t id =
        claim_submit(d, client, NULL, (struct jq_job_options){ .attempts_max = 9 }, NULL);
    const struct jq_held held = driver_grant(d, worker);

    claim_cancel(d, client, id);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, id), JQ_FAILED);
}

static void a_retry_is_durable_before_it_is_acknowledged_and_survives(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    uint64_t worker = driver_worker(d, 2, 1);
    const struct jq_job_options options = { .attempts_max = 3,
                                            .backoff_ms = 60000,
                                            .backoff_kind = JQ_BACKOFF_FIXED };
    const uint64_t id = claim_submit(d, client, NULL, options, NULL);
    const struct jq_held held = driver_grant(d, worker);
    struct jq_attempt history[JQ_HISTORY_MAX];

    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1); /* sent again: counted once */
    assert_false(driver_has(d, worker, JQ_MSG_DONE_ACK));
    worker = driver_worker_back(d, 2, &held, 1); /* it is not lost: its end is known */
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_WELCOME);
    assert_int_equal(frame.msg.u.welcome.lost.count, 0);
    driver_frame_free(&frame);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
    driver_commit(d);
    frame = driver_expect(d, worker, JQ_MSG_DONE_ACK);
    assert_int_equal(frame.msg.u.done_ack.each.count, 1);
    assert_int_equal(frame.msg.u.done_ack.fenced.count, 0);
    driver_frame_free(&frame);
    driver_crash(d);
    const struct jq_job *job = claim_job(d, id);
    assert_int_equal(job->state, JQ_DELAYED);
    assert_int_equal(job->failures, 1);
    assert_int_equal(history_of(job, history), 1);
    assert_int_equal(history[0].fence, held.fence);
    /* A worker that did not get the acknowledgement holds it no more. */
    worker = driver_worker_back(d, 2, &held, 1);
    frame = driver_expect(d, worker, JQ_MSG_WELCOME);
    assert_int_equal(frame.msg.u.welcome.lost.count, 1);
    driver_frame_free(&frame);
    driver_credit(d, worker, 1);
    driver_tick(d, 60000);
    driver_tick(d, d->conf.lease_ms);
}

/* ---- crashes are another matter ---- */

static void lost_workers_are_no_failures_and_quarantine_a_job(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t beat = driver_beat(d, 9);
    const uint64_t id =
        claim_submit(d, client, NULL, (struct jq_job_options){ .attempts_max = 9 }, NULL);
    const struct jq_msg ping = { .tag = JQ_MSG_PING };
    struct jq_attempt history[JQ_HISTORY_MAX];

    (void)beat;
    for (uint64_t session = 2; session < 4; session++) {
        const uint64_t worker = driver_worker(d, session, 1);
        assert_int_equal(driver_grant(d, worker).id, id);
        for (int i = 0; i < 4; i++) {
            driver_apply(d, client, &ping);
            driver_tick(d, d->conf.lease_ms / 4 + 1);
        }
        driver_commit(d);
        if (session == 2) {
            assert_int_equal(claim_job(d, id)->crashes, 1);
            assert_int_equal(claim_job(d, id)->failures, 0);
            assert_int_equal(history_of(claim_job(d, id), history), 1);
            assert_true(jq_view_equal(history[0].reason, jq_view_str("its worker was lost")));
        }
    }
    struct driver_frame frame;
    const struct jq_job_info info = claim_info_of(d, client, id, &frame);
    assert_int_equal(info.state, JQ_FAILED);
    assert_int_equal(info.crashes, 2);
    assert_int_equal(strncmp(info.reason.data, "poison", 6), 0);
    driver_frame_free(&frame);
    assert_int_equal(claim_retry(d, client, id), JQ_OK);
    assert_int_equal(claim_job(d, id)->crashes, 0);
    assert_false(claim_job(d, id)->quarantined);
}

static void a_job_that_is_given_back_remembers_it_and_the_oldest_is_forgotten(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };
    struct jq_attempt history[JQ_HISTORY_MAX];

    for (uint64_t i = 0; i < JQ_HISTORY_MAX + 3; i++) {
        const uint64_t worker = driver_worker(d, 100 + i, 1);
        assert_int_equal(driver_grant(d, worker).id, id);
        driver_apply(d, worker, &bye);
    }
    assert_int_equal(history_of(claim_job(d, id), history), JQ_HISTORY_MAX);
    assert_int_equal(history[0].attempt, 4);
    assert_true(jq_view_equal(history[0].reason, jq_view_str("given back")));
    assert_int_equal(history[JQ_HISTORY_MAX - 1].attempt, JQ_HISTORY_MAX + 3);
}

/* ---- the dead ---- */

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
    assert_int_equal(history_of(job, history), 1);
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

/* ---- memory that runs out ---- */

static void memory_that_runs_out_leaves_a_failure_counted_once(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const struct jq_job_options options = { .attempts_max = 2, .backoff_ms = 1000000 };

    for (int64_t fail_in = 0; fail_in < 12; fail_in++) {
        const uint64_t worker = driver_worker(d, 100 + (uint64_t)fail_in, 1);
        const uint64_t id = claim_submit(d, client, NULL, options, NULL);
        const struct jq_held held = driver_grant(d, worker);
        d->fail_in = fail_in;
        driver_done(d, worker, held, JQ_OUTCOME_EXITED, 1);
        d->fail_in = -1;
        driver_commit(d);
        assert_int_equal(claim_job(d, id)->failures, 1);
        assert_int_equal(jq_history_count(jq_blob_view(claim_job(d, id)->history)), 1);
        claim_cancel(d, client, id);
    }
}

static void memory_that_runs_out_retries_and_removes_once_or_not(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    struct jq_buf refs = { 0 };
    struct jq_msg msg = of_these(JQ_MSG_RETRY, &refs, &id, 1);

    for (int64_t fail_in = 0; fail_in < 12; fail_in++) {
        claim_cancel(d, client, id);
        msg.tag = fail_in % 2 ? JQ_MSG_REMOVE : JQ_MSG_RETRY;
        d->fail_in = fail_in;
        driver_apply(d, client, &msg);
        d->fail_in = -1;
        driver_commit(d);
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
        CLAIM(a_failed_attempt_is_followed_by_another_until_there_are_no_more),
        CLAIM(a_job_that_does_not_say_so_is_not_retried),
        CLAIM(the_queue_says_it_for_jobs_that_do_not),
        CLAIM(a_backoff_is_jittered_in_full_and_doubles_up_to_its_most),
        CLAIM(codes_and_signals_say_which_failures_are_retried),
        CLAIM(a_job_that_was_to_be_cancelled_is_not_retried),
        CLAIM(a_retry_is_durable_before_it_is_acknowledged_and_survives),
        CLAIM(lost_workers_are_no_failures_and_quarantine_a_job),
        CLAIM(a_job_that_is_given_back_remembers_it_and_the_oldest_is_forgotten),
        CLAIM(a_dead_job_lives_again_at_its_place_with_its_history),
        CLAIM(a_job_that_lives_again_does_so_after_a_restart),
        CLAIM(what_has_not_ended_or_has_succeeded_is_not_retried),
        CLAIM(an_end_that_is_not_durable_yet_is_retried_once_it_is),
        CLAIM(a_row_is_removed_once),
        CLAIM(many_are_retried_in_parts_and_each_is_answered_once),
        CLAIM(a_closed_queue_takes_no_retried_job),
        CLAIM(memory_that_runs_out_leaves_a_failure_counted_once),
        CLAIM(memory_that_runs_out_retries_and_removes_once_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
