/* SPDX-License-Identifier: MIT
 *
 * test_core_spill_named.c - jobs that are in the store alone, and who names them: WAIT, CANCEL,
 * INFO, LIST, WHY, LOG_READ, PEEK. */
#include "tests/unit/core/spill_claims.h"

enum { MANY = 200, WAITING = 5000, LISTING, CANCELLING, READING };

/* ---- waiting and cancelling ---- */

static void it_is_waited_for_to_its_end(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 9, 0);
    const uint64_t id = spill_one_alone(d, client, 60);

    driver_wait(d, client, WAITING, id);
    driver_commit(d);
    assert_non_null(claim_job(d, id));
    spill_run_up_to(d, worker, 1, id, 3);
    struct driver_frame frame;
    const struct jq_result result = claim_expect_result(d, client, &frame);
    assert_int_equal(result.id, id);
    assert_int_equal(result.code, 3);
    driver_frame_free(&frame);
}

static void it_is_waited_for_until_it_runs(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 9, 0);
    const uint64_t id = spill_one_alone(d, client, 60);
    struct jq_buf refs = { 0 };

    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = id });
    const struct jq_msg msg = { .tag = JQ_MSG_WAIT,
                                .correlation = WAITING,
                                .u.wait = { .jobs = jq_records_of(1, &refs),
                                            .states = 1u << JQ_RUNNING } };
    driver_apply(d, client, &msg);
    jq_buf_fini(&refs);
    driver_commit(d);
    spill_run_up_to(d, worker, 1, id - 1, 0);
    assert_false(driver_has(d, client, JQ_MSG_RESULTS));
    driver_credit(d, worker, id);
    driver_commit(d);
    struct driver_frame frame;
    assert_int_equal(claim_expect_result(d, client, &frame).state, JQ_RUNNING);
    driver_frame_free(&frame);
}

static void cancel_many(struct driver *d, uint64_t client, uint64_t first, uint64_t last)
{
    struct jq_buf refs = { 0 };

    for (uint64_t id = first; id <= last; id++)
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = id });
    const struct jq_msg msg = { .tag = JQ_MSG_CANCEL,
                                .correlation = CANCELLING,
                                .u.cancel = {
                                    .reason = jq_view_str("enough"),
                                    .jobs = jq_records_of((uint32_t)(last - first + 1), &refs) } };
    driver_apply(d, client, &msg);
    jq_buf_fini(&refs);
}

/* In memory or not, and more than the store tells at once. */
static void it_is_cancelled_alone_and_with_many(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const uint64_t id = spill_one_alone(d, client, MANY);
    struct jq_ack ack;
    uint64_t cancelled = 0;
    char reason[JQ_REASON_MAX + 1];

    assert_int_equal(claim_cancel(d, client, id), 0);
    claim_reason_of(d, client, id, reason);
    assert_string_equal(reason, "enough");
    assert_int_equal(claim_cancel(d, client, id), JQ_EALREADY);
    d->read_max = 7;
    cancel_many(d, client, 1, MANY);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_CANCELLED);
    assert_int_equal(frame.msg.u.cancelled.each.count, MANY);
    for (struct jq_reader r = jq_records_reader(frame.msg.u.cancelled.each); jq_ack_next(&r, &ack);)
        cancelled += ack.error == 0 && ack.state == JQ_CANCELLED;
    driver_frame_free(&frame);
    assert_int_equal(cancelled, MANY - 1);
    assert_int_equal(claim_ask_queue(d, client).cancelled, MANY);
    assert_int_equal(spill_alone(d), 0);
}

/* Two ask while it is being read: the second finds it ended, and that is not durable yet. */
static void an_end_that_is_not_durable_is_told_to_nobody(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);
    const uint64_t id = spill_one_alone(d, a, MANY);
    const struct jq_msg why = { .tag = JQ_MSG_WHY, .u.why.id = id };
    const struct jq_msg list = { .tag = JQ_MSG_LIST,
                                 .u.list = { .limit = 1, .before_id = id + 1 } };
    const struct jq_msg log = { .tag = JQ_MSG_LOG_READ,
                                .u.log_read = { .id = id, .stream = 1, .follow = true } };

    cancel_many(d, a, id, id);
    cancel_many(d, b, id, id);
    driver_wait(d, b, WAITING, id);
    driver_apply(d, b, &why);
    driver_apply(d, b, &list);
    driver_apply(d, b, &log);
    driver_answer(d);
    assert_int_equal(claim_now(d, id), JQ_CANCELLED);
    struct driver_frame frame;
    assert_false(driver_take(d, b, &frame));
    driver_commit(d);
    claim_drop(d, b, JQ_MSG_CANCELLED);
    claim_expect_end(d, b, id, JQ_CANCELLED);
    frame = driver_expect(d, b, JQ_MSG_BECAUSE);
    assert_int_equal(frame.msg.u.because.state, JQ_CANCELLED);
    driver_frame_free(&frame);
    frame = driver_expect(d, b, JQ_MSG_LISTED);
    struct jq_reader r = jq_records_reader(frame.msg.u.listed.jobs);
    struct jq_job_info info;
    assert_true(jq_job_info_next(&r, &info));
    assert_int_equal(info.state, JQ_CANCELLED);
    driver_frame_free(&frame);
    frame = driver_expect(d, b, JQ_MSG_LOG_DATA);
    assert_int_equal(frame.msg.u.log_data.end, 1);
    driver_frame_free(&frame);
}

/* ---- looking ---- */

static void info_and_why_know_it(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const uint64_t id = spill_one_alone(d, client, MANY);
    const struct jq_msg why = { .tag = JQ_MSG_WHY, .u.why.id = id };

    assert_int_equal(claim_state_of(d, client, id), JQ_READY);
    assert_null(claim_job(d, id));
    driver_apply(d, client, &why);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_BECAUSE);
    assert_int_equal(frame.msg.u.because.state, JQ_READY);
    driver_frame_free(&frame);
}

/* Its pages, the newest first, each job once, in whichever state it is, while jobs leave and come
 * back. */
static void a_list_has_each_job_once_while_they_come_and_go(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 9, 0);
    uint64_t before = 0, run = 0;
    bool more = true;

    spill_fill(d, client, "noop", 0, MANY);
    for (uint64_t expected = MANY; more;) {
        const struct jq_msg list = {
            .tag = JQ_MSG_LIST,
            .correlation = LISTING,
            .u.list = { .queue = jq_view_str("q"), .limit = 7, .before_id = before }
        };
        struct jq_job_info info;
        driver_apply(d, client, &list);
        spill_run_up_to(d, worker, run + 1, run + 5, 0); /* between the question and the answer */
        run += 5;
        driver_commit(d);
        struct driver_frame frame = driver_expect(d, client, JQ_MSG_LISTED);
        for (struct jq_reader r = jq_records_reader(frame.msg.u.listed.jobs);
             jq_job_info_next(&r, &info); expected--)
            assert_int_equal(info.id, expected);
        before = frame.msg.u.listed.next_before_id;
        more = frame.msg.u.listed.more;
        driver_frame_free(&frame);
        assert_true(more || expected == 0);
    }
}

static void a_list_by_state_and_label_finds_it(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct claim_lists labels = { 0 };
    struct jq_job_options labelled = { 0 };
    struct jq_job_info info;

    claim_label(&labels, "colour", "red");
    claim_lists_into(&labels, &labelled);
    spill_fill(d, client, "noop", 0, 60);
    const uint64_t id = d->core->meta.next_id;
    claim_put(d, client, "noop", 0, 1, &labelled);
    claim_lists_fini(&labels);
    spill_fill(d, client, "noop", 0, 60);
    assert_null(claim_job(d, id));
    const struct jq_msg list = { .tag = JQ_MSG_LIST,
                                 .correlation = LISTING,
                                 .u.list = { .states = 1u << JQ_READY,
                                             .label = jq_view_str("colour"),
                                             .value = jq_view_str("red") } };
    driver_apply(d, client, &list);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_LISTED);
    struct jq_reader r = jq_records_reader(frame.msg.u.listed.jobs);
    assert_true(jq_job_info_next(&r, &info));
    assert_int_equal(info.id, id);
    assert_false(jq_job_info_next(&r, &info));
    driver_frame_free(&frame);
}

static void its_output_is_followed(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 9, 0);
    const uint64_t id = spill_one_alone(d, client, 60);
    const struct jq_msg log = { .tag = JQ_MSG_LOG_READ,
                                .correlation = READING,
                                .u.log_read = { .id = id, .stream = 1, .follow = true } };

    driver_apply(d, client, &log);
    driver_commit(d);
    assert_false(driver_has(d, client, JQ_MSG_LOG_DATA));
    spill_run_up_to(d, worker, 1, id, 0);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_LOG_DATA);
    assert_true(jq_view_equal(frame.msg.u.log_data.bytes, jq_view_str("hello")));
    driver_frame_free(&frame);
}

static void peek_shows_the_first_wherever_it_is(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    spill_fill(d, client, "item", 0, MANY);
    for (uint64_t id = 1; id <= MANY; id++) {
        claim_peek(d, client, 1);
        driver_commit(d);
        const struct claim_taken seen = claim_taken(d, client);
        assert_int_equal(seen.held.id, id);
        assert_int_equal(seen.held.fence, 0);
        assert_int_equal(spill_get(d, client).id, id);
    }
    claim_peek(d, client, 1);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPILL_CLAIM(it_is_waited_for_to_its_end),
        SPILL_CLAIM(it_is_waited_for_until_it_runs),
        SPILL_CLAIM(it_is_cancelled_alone_and_with_many),
        SPILL_CLAIM(an_end_that_is_not_durable_is_told_to_nobody),
        SPILL_CLAIM(info_and_why_know_it),
        SPILL_CLAIM(a_list_has_each_job_once_while_they_come_and_go),
        SPILL_CLAIM(a_list_by_state_and_label_finds_it),
        SPILL_CLAIM(its_output_is_followed),
        SPILL_CLAIM(peek_shows_the_first_wherever_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
