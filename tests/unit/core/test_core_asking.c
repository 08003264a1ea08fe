/* SPDX-License-Identifier: MIT
 *
 * test_core_asking.c - waits, listings, logs and events; peers that ask wrongly or not at all. One
 * claim at a time, in virtual time over the memory store. */
#include "tests/unit/core/core_claims.h"

/* ---- waiting and asking ---- */

static void waits_are_answered_for_ended_running_and_unknown_jobs(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    struct driver_frame frame;

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_SIGNALLED, 0);
    driver_wait(d, client, 50, 1); /* ended, not yet durable */
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_FAILED);
    driver_wait(d, client, 51, 1); /* the store's */
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_FAILED);
    driver_wait(d, client, 52, 99);
    assert_int_equal(claim_expect_result(d, client, &frame).error, JQ_ENOENT);
    driver_frame_free(&frame);
    driver_crash(d);
    client = driver_client(d, 7);
    driver_wait(d, client, 53, 1);
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_FAILED);
}

static void wait_for_state(struct driver *d, uint64_t client, uint64_t correlation, uint64_t id,
                           uint64_t states)
{
    struct jq_buf ids = { 0 };

    jq_job_ref_write(&ids, &(struct jq_job_ref){ .id = id });
    const struct jq_msg msg = {
        .tag = JQ_MSG_WAIT,
        .correlation = correlation,
        .u.wait = { .jobs = jq_records_of(1, &ids), .states = states },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&ids);
}

static void a_wait_for_a_state_is_answered_when_that_is_durable(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    wait_for_state(d, client, 50, 1, 1u << JQ_READY); /* it is, and it is about to be durable */
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_READY);
    wait_for_state(d, client, 51, 1, 1u << JQ_READY);
    claim_expect_end(d, client, 1, JQ_READY); /* it is durable */
    wait_for_state(d, client, 52, 1, 1u << JQ_RUNNING | 1u << JQ_DELAYED);
    driver_wait(d, client, 53, 1);
    driver_credit(d, worker, 1);
    const struct jq_held held = driver_grant(d, worker);
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_RUNNING);
    assert_false(driver_has(d, client, JQ_MSG_RESULTS)); /* each job once for each wait */
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_SUCCEEDED); /* the wait for its end */
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
}

static void an_end_answers_whatever_state_is_waited_for(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    const struct jq_held held = driver_grant(d, worker);
    wait_for_state(d, client, 50, 1, 1u << JQ_READY); /* which it was */
    wait_for_state(d, client, 51, 1, 1u << JQ_FAILED | UINT64_C(0xfe00));
    driver_commit(d);
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_SUCCEEDED);
    claim_expect_end(d, client, 1, JQ_SUCCEEDED);
    wait_for_state(d, client, 52, 1, 1u << JQ_READY); /* the store's */
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_SUCCEEDED);
}

static void a_job_that_comes_back_to_its_queue_answers_who_waits_for_that(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    struct jq_buf list = { 0 };

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    const struct jq_held held = driver_grant(d, worker);
    wait_for_state(d, client, 50, 1, 1u << JQ_READY);
    jq_held_write(&list, &held);
    const struct jq_msg release = {
        .tag = JQ_MSG_RELEASE,
        .u.release = { .jobs = jq_records_of(1, &list) },
    };
    driver_apply(d, worker, &release);
    jq_buf_fini(&list);
    driver_commit(d);
    claim_expect_end(d, client, 1, JQ_READY);
}

static uint32_t list(struct driver *d, uint64_t client, uint64_t states, uint64_t before,
                     uint64_t limit, uint64_t *ids, bool *more)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LIST,
        .correlation = 60,
        .u.list = { .states = states, .before_id = before, .limit = limit },
    };
    struct jq_job_info info;
    uint32_t count = 0;

    driver_apply(d, client, &msg);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_LISTED);
    for (struct jq_reader r = jq_records_reader(frame.msg.u.listed.jobs);
         jq_job_info_next(&r, &info);)
        ids[count++] = info.id;
    *more = frame.msg.u.listed.more;
    driver_frame_free(&frame);
    return count;
}

static void lists_merge_memory_and_store_newest_first(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    uint64_t ids[16];
    bool more;

    for (uint64_t n = 1; n <= 6; n++)
        driver_submit(d, client, (struct driver_submit){ .number = n });
    for (uint64_t n = 1; n <= 6; n += 2)
        assert_int_equal(claim_cancel(d, client, n), 0);
    driver_credit(d, worker, 1);
    driver_grant(d, worker); /* job 2 */
    assert_int_equal(list(d, client, 0, 0, 10, ids, &more), 6);
    assert_false(more);
    for (uint64_t n = 0; n < 6; n++)
        assert_int_equal(ids[n], 6 - n);
    assert_int_equal(list(d, client, 0, 0, 4, ids, &more), 4);
    assert_true(more);
    assert_int_equal(list(d, client, 0, 3, 4, ids, &more), 2);
    assert_false(more);
    assert_int_equal(list(d, client, 1u << JQ_RUNNING, 0, 4, ids, &more), 1);
    assert_int_equal(ids[0], 2);
    assert_int_equal(list(d, client, 1u << JQ_CANCELLED, 0, 2, ids, &more), 2);
    assert_int_equal(ids[0], 5);
    assert_true(more);
}

static void expect_blocker(struct driver *d, uint64_t client, uint64_t id, const char *kind)
{
    const struct jq_msg msg = { .tag = JQ_MSG_WHY, .correlation = 61, .u.why = { .id = id } };
    struct jq_blocker blocker;

    driver_apply(d, client, &msg);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_BECAUSE);
    struct jq_reader r = jq_records_reader(frame.msg.u.because.blockers);
    assert_true(jq_blocker_next(&r, &blocker));
    assert_true(jq_view_equal(blocker.kind, jq_view_str(kind)));
    driver_frame_free(&frame);
}

static void why_names_what_holds_a_job_back(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg unknown = { .tag = JQ_MSG_WHY, .correlation = 61, .u.why = { .id = 9 } };

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_submit(d, client, (struct driver_submit){ .number = 2 });
    expect_blocker(d, client, 1, "no_worker");
    const uint64_t worker = driver_worker(d, 8, 1);
    const struct jq_held held = driver_grant(d, worker);
    expect_blocker(d, client, 1, "running");
    expect_blocker(d, client, 2, "no_slot");
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    expect_blocker(d, client, 1, "ended");
    driver_apply(d, client, &unknown);
    assert_int_equal(claim_expect_error(d, client), JQ_ENOENT);
}

static void read_log(struct driver *d, uint64_t client, uint64_t offset, uint64_t limit,
                     bool follow)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LOG_READ,
        .correlation = 62,
        .u.log_read = { .id = 1, .stream = 1, .offset = offset, .limit = limit, .follow = follow },
    };
    driver_apply(d, client, &msg);
}

static void expect_log(struct driver *d, uint64_t client, const char *bytes, bool end)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_LOG_DATA);
    const struct jq_log_data *data = &frame.msg.u.log_data;
    assert_int_equal(data->error, 0);
    assert_true(jq_view_equal(data->bytes, jq_view_str(bytes)));
    assert_int_equal(data->end, end);
    driver_frame_free(&frame);
}

static void logs_come_from_the_worker_while_it_runs_and_from_the_store_after(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    read_log(d, client, 0, 100, false);
    expect_log(d, client, "", false);
    read_log(d, client, 0, 100, true); /* waits for its start */
    assert_false(driver_has(d, client, JQ_MSG_LOG_DATA));
    const uint64_t worker = driver_worker(d, 8, 1);
    const struct jq_held held = driver_grant(d, worker);
    struct driver_frame ask = driver_expect(d, worker, JQ_MSG_LOG_READ);
    const struct jq_msg answer = {
        .tag = JQ_MSG_LOG_DATA,
        .correlation = ask.msg.correlation,
        .u.log_data = { .id = 1, .stream = 1, .bytes = jq_view_str("hel"), .total = 3 },
    };
    driver_frame_free(&ask);
    driver_apply(d, worker, &answer);
    expect_log(d, client, "hel", false);

    read_log(d, client, 3, 100, true);
    claim_drop(d, worker, JQ_MSG_LOG_READ); /* it has nothing, and then the job ends */
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    assert_false(driver_has(d, client, JQ_MSG_LOG_DATA));
    driver_commit(d);
    expect_log(d, client, "lo", true);
    read_log(d, client, 1, 2, false);
    driver_commit(d);
    expect_log(d, client, "el", false);
    read_log(d, client, 500, 2, false);
    driver_commit(d);
    expect_log(d, client, "", true);
}

static void events_tell_what_has_become_true_in_order(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    const struct jq_msg watch = { .tag = JQ_MSG_WATCH, .correlation = 63 };
    static const enum jq_job_state want[] = { JQ_READY, JQ_RUNNING, JQ_SUCCEEDED };
    struct jq_event event;

    driver_apply(d, client, &watch);
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    assert_false(driver_has(d, client, JQ_MSG_EVENTS));
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_EVENTS);
    struct jq_reader r = jq_records_reader(frame.msg.u.events.events);
    for (size_t i = 0; i < 3; i++) {
        assert_true(jq_event_next(&r, &event));
        assert_int_equal(event.state, want[i]);
    }
    driver_frame_free(&frame);
}

/* ---- bad peers ---- */

static void a_peer_without_hello_is_told_so(void **state)
{
    struct driver *d = *state;
    const struct jq_msg ping = { .tag = JQ_MSG_PING, .correlation = 5 };

    driver_apply(d, 77, &ping);
    assert_int_equal(claim_expect_error(d, 77), JQ_ENOHELLO);
}

static void a_hello_of_another_version_or_without_a_session_is_refused(void **state)
{
    struct driver *d = *state;
    struct jq_msg hello = {
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = 90, .version_max = 99, .role = JQ_ROLE_CLIENT, .session = 1 },
    };

    driver_apply(d, 77, &hello);
    assert_int_equal(claim_expect_error(d, 77), JQ_EVERSION);
    hello.u.hello.version_min = 1;
    hello.u.hello.session = 0;
    driver_apply(d, 78, &hello);
    assert_int_equal(claim_expect_error(d, 78), JQ_EINVAL);
    assert_int_equal(d->closed, 2);
}

static void bad_submits_are_refused_whole(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 0 });
    assert_int_equal(claim_expect_error(d, client), JQ_EINVAL);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .queue = "not a name" });
    assert_int_equal(claim_expect_error(d, client), JQ_EINVAL);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "no/key" });
    assert_int_equal(claim_expect_error(d, client), JQ_EINVAL);
    driver_submit(d, client, (struct driver_submit){ .number = 1, .job_flags = 1u << 30 });
    assert_int_equal(claim_expect_error(d, client), JQ_EINVAL);
    assert_int_equal(claim_counter(d, client, "submitted"), 0);
}

static void submits_are_refused_while_space_is_low_and_work_goes_on(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    d->space_low = true;
    driver_commit(d);
    driver_submit(d, client, (struct driver_submit){ .number = 2 });
    assert_int_equal(claim_expect_error(d, client), JQ_ENOSPC);
    driver_credit(d, worker, 1);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    d->space_low = false;
    driver_commit(d);
    driver_submit(d, client, (struct driver_submit){ .number = 2 });
    driver_commit(d);
    claim_submitted_id(d, client);
    assert_int_equal(claim_submitted_id(d, client), 2);
}

static void a_silent_client_is_forgotten_and_its_waits_with_it(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_wait(d, client, 50, 1);
    driver_tick(d, 16000);
    assert_int_equal(d->closed, 1);
    driver_wait(d, client, 50, 1);
    assert_int_equal(claim_expect_error(d, client), JQ_ENOHELLO);
}

static void the_newest_connection_of_a_session_is_answered(void **state)
{
    struct driver *d = *state;
    const uint64_t old = driver_client(d, 7);

    driver_submit(d, old, (struct driver_submit){ .number = 1 });
    const uint64_t client = driver_client(d, 7);
    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_commit(d);
    assert_int_equal(claim_submitted_id(d, client), 1);
    assert_int_equal(d->closed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(waits_are_answered_for_ended_running_and_unknown_jobs),
        CLAIM(a_wait_for_a_state_is_answered_when_that_is_durable),
        CLAIM(an_end_answers_whatever_state_is_waited_for),
        CLAIM(a_job_that_comes_back_to_its_queue_answers_who_waits_for_that),
        CLAIM(lists_merge_memory_and_store_newest_first),
        CLAIM(why_names_what_holds_a_job_back),
        CLAIM(logs_come_from_the_worker_while_it_runs_and_from_the_store_after),
        CLAIM(events_tell_what_has_become_true_in_order),
        CLAIM(a_peer_without_hello_is_told_so),
        CLAIM(a_hello_of_another_version_or_without_a_session_is_refused),
        CLAIM(bad_submits_are_refused_whole),
        CLAIM(submits_are_refused_while_space_is_low_and_work_goes_on),
        CLAIM(a_silent_client_is_forgotten_and_its_waits_with_it),
        CLAIM(the_newest_connection_of_a_session_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
