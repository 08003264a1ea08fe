/* SPDX-License-Identifier: MIT
 *
 * core_claims.c - see core_claims.h. */
#include "tests/unit/core/core_claims.h"

int claim_set_up(void **state)
{
    static struct driver driver;
    driver_open(&driver);
    *state = &driver;
    return 0;
}

int claim_tear_down(void **state)
{
    driver_close(*state);
    return 0;
}

void claim_late(struct driver *d)
{
    assert_true(jq_core_next_at(d->core) <= d->now.mono + 5);
    driver_tick(d, 5);
}

void claim_drop(struct driver *d, uint64_t peer, enum jq_tag tag)
{
    struct driver_frame frame = driver_expect(d, peer, tag);
    driver_frame_free(&frame);
}

int64_t claim_expect_error(struct driver *d, uint64_t peer)
{
    struct driver_frame frame = driver_expect(d, peer, JQ_MSG_ERROR);
    const int64_t error = frame.msg.u.error.error;
    driver_frame_free(&frame);
    return error;
}

uint64_t claim_submitted_id(struct driver *d, uint64_t client)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_SUBMITTED);
    const uint64_t id = frame.msg.u.submitted.first_id;
    assert_int_equal(frame.msg.u.submitted.durable, 1);
    driver_frame_free(&frame);
    return id;
}

struct jq_result claim_expect_result(struct driver *d, uint64_t client, struct driver_frame *frame)
{
    struct jq_result result;
    *frame = driver_expect(d, client, JQ_MSG_RESULTS);
    struct jq_reader r = jq_records_reader(frame->msg.u.results.results);
    assert_int_equal(frame->msg.u.results.results.count, 1);
    assert_true(jq_result_next(&r, &result));
    return result;
}

void claim_expect_end(struct driver *d, uint64_t client, uint64_t id, enum jq_job_state state)
{
    struct driver_frame frame;
    const struct jq_result result = claim_expect_result(d, client, &frame);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.id, id);
    assert_int_equal(result.state, state);
    driver_frame_free(&frame);
}

int64_t claim_cancel(struct driver *d, uint64_t client, uint64_t id)
{
    struct jq_buf ids = { 0 };
    struct jq_ack ack;
    const struct jq_job_ref ref = { .id = id };

    jq_job_ref_write(&ids, &ref);
    const struct jq_msg msg = {
        .tag = JQ_MSG_CANCEL,
        .correlation = 99,
        .u.cancel = { .reason = jq_view_str("enough"), .jobs = jq_records_of(1, &ids) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&ids);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_CANCELLED);
    struct jq_reader r = jq_records_reader(frame.msg.u.cancelled.each);
    assert_true(jq_ack_next(&r, &ack));
    driver_frame_free(&frame);
    return ack.error;
}

struct jq_job_info claim_info_of(struct driver *d, uint64_t client, uint64_t id,
                                 struct driver_frame *frame)
{
    struct jq_buf ids = { 0 };
    struct jq_job_info info;
    const struct jq_job_ref ref = { .id = id };

    jq_job_ref_write(&ids, &ref);
    const struct jq_msg msg = {
        .tag = JQ_MSG_INFO,
        .correlation = 98,
        .u.info = { .jobs = jq_records_of(1, &ids) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&ids);
    driver_commit(d);
    *frame = driver_expect(d, client, JQ_MSG_INFOS);
    struct jq_reader r = jq_records_reader(frame->msg.u.infos.jobs);
    assert_true(jq_job_info_next(&r, &info));
    return info;
}

enum jq_job_state claim_state_of(struct driver *d, uint64_t client, uint64_t id)
{
    struct driver_frame frame;
    const struct jq_job_info info = claim_info_of(d, client, id, &frame);
    assert_int_equal(info.error, 0);
    driver_frame_free(&frame);
    return (enum jq_job_state)info.state;
}

uint64_t claim_counter(struct driver *d, uint64_t client, const char *name)
{
    const struct jq_msg msg = { .tag = JQ_MSG_STATS, .correlation = 97 };
    struct jq_counter counter;
    uint64_t value = UINT64_MAX;

    driver_apply(d, client, &msg);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_STATISTICS);
    for (struct jq_reader r = jq_records_reader(frame.msg.u.statistics.counters);
         jq_counter_next(&r, &counter);)
        if (jq_view_equal(counter.name, jq_view_str(name)))
            value = counter.value;
    driver_frame_free(&frame);
    assert_true(value != UINT64_MAX);
    return value;
}
