/* SPDX-License-Identifier: MIT
 *
 * store_contract_spill.c - the contract of every store: live jobs that the broker does not keep in
 * memory, their order, and how they come and go. */
#include "tests/contract/store_contract.h"

#include <string.h>

#include "broker/core/order.h"

static struct plain_op *put_spilled(struct fixture *f, uint64_t id, uint32_t queue, uint32_t lane,
                                    int64_t rank)
{
    struct plain_op *op = fixture_put(f, id, JQ_READY);

    op->u.job.queue = queue;
    op->u.job.spilled = true;
    op->u.job.lane = lane;
    op->u.job.rank = rank;
    return op;
}

static struct jq_read spilled_of(uint32_t queue, uint32_t order, uint32_t limit)
{
    return (struct jq_read){
        .kind = JQ_READ_SPILLED, .queue = queue, .limit = limit, .range = { .order = order }
    };
}

static void after(struct jq_read *read, int64_t rank, uint64_t id)
{
    read->range.has_after = true;
    read->range.rank = rank;
    read->range.id = id;
}

void test_spilled_jobs_are_read_in_their_order_from_a_key_on(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = spilled_of(1, JQ_PRIORITY, 3);

    put_spilled(f, 1, 1, 0, 7);
    put_spilled(f, 2, 1, 0, INT64_MAX);
    put_spilled(f, 3, 1, 0, 7);
    put_spilled(f, 4, 1, 0, 7);
    put_spilled(f, 5, 1, 0, INT64_MIN);
    put_spilled(f, 6, 1, 0, -1);
    for (uint64_t id = 11; id <= 14; id++)
        put_spilled(f, id, 2, 0, 0);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &read), "5 6 1 +");
    after(&read, 7, 1);
    assert_string_equal(fixture_read_ids(f, &read), "3 4 2"); /* all, exactly: no more */
    after(&read, 7, 4);
    assert_string_equal(fixture_read_ids(f, &read), "2");
    after(&read, INT64_MAX, 2);
    assert_string_equal(fixture_read_ids(f, &read), "");

    read = spilled_of(2, JQ_FIFO, 2);
    assert_string_equal(fixture_read_ids(f, &read), "11 12 +");
    after(&read, 0, 12);
    assert_string_equal(fixture_read_ids(f, &read), "13 14");
    after(&read, 0, UINT64_MAX);
    assert_string_equal(fixture_read_ids(f, &read), "");

    read = spilled_of(2, JQ_LIFO, 3);
    assert_string_equal(fixture_read_ids(f, &read), "14 13 12 +");
    after(&read, 0, 12);
    assert_string_equal(fixture_read_ids(f, &read), "11");
    after(&read, 0, 11);
    assert_string_equal(fixture_read_ids(f, &read), "");
}

void test_spilled_jobs_keep_to_their_queue_and_lane(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = spilled_of(1, JQ_FIFO, 10);

    for (uint64_t id = 1; id <= 8; id++)
        put_spilled(f, id, 1 + (id > 4), id % 2, 0);
    fixture_commit(f);
    assert_string_equal(fixture_read_ids(f, &read), "2 4");
    read.range.lane = 1;
    assert_string_equal(fixture_read_ids(f, &read), "1 3");
    read.queue = 2;
    assert_string_equal(fixture_read_ids(f, &read), "5 7");
    read.queue = 3;
    assert_string_equal(fixture_read_ids(f, &read), "");
}

void test_a_spilled_job_is_found_and_not_loaded(void **state)
{
    struct fixture *f = *state;
    struct jq_read list = { .kind = JQ_READ_LIST, .limit = 10 };
    char text[] = "nightly";
    const struct jq_read key = { .kind = JQ_READ_KEY, .key = text };
    struct jq_copy copy;

    fixture_put(f, 1, JQ_READY);
    struct plain_op *op = put_spilled(f, 2, 1, 1, -5);
    op->u.job.key = jq_view_str("nightly");
    const struct jq_job_record expected = op->u.job;
    fixture_put(f, 3, JQ_SUCCEEDED);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_load_ids(f), "1");
    fixture_read_one(f, 2, JQ_READ_PAYLOAD, &copy);
    assert_job(&copy.jobs[0].job, &expected);
    assert_true(copy.jobs[0].job.spilled);
    assert_int_equal(copy.jobs[0].job.lane, 1);
    assert_int_equal(copy.jobs[0].job.rank, -5);
    jq_copy_fini(&copy);
    assert_string_equal(fixture_read_ids(f, &list), "3 2 1");
    list.states = 1u << JQ_READY;
    assert_string_equal(fixture_read_ids(f, &list), "2 1");
    list.states = 1u << JQ_RUNNING;
    assert_string_equal(fixture_read_ids(f, &list), "");
    assert_string_equal(fixture_read_ids(f, &key), "2");
}

void test_a_live_job_is_spilled_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = spilled_of(1, JQ_FIFO, 10);
    struct jq_copy copy;

    struct plain_op *put = fixture_put(f, 10, JQ_READY); /* its payload is large */
    put->u.job.queue = 1;
    const struct jq_job_record expected = put->u.job;
    fixture_commit(f);
    struct plain_op *spill = fixture_op(f, JQ_OP_JOB_SPILL);
    spill->u.job = (struct jq_job_record){ .id = 10, .queue = 1, .lane = 0, .rank = 3 };
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_load_ids(f), "");
    assert_string_equal(fixture_read_ids(f, &read), "10");
    fixture_read_one(f, 10, JQ_READ_PAYLOAD, &copy);
    assert_job(&copy.jobs[0].job, &expected);
    assert_int_equal(copy.jobs[0].job.rank, 3);
    jq_copy_fini(&copy);
}

static struct plain_op *set_of(struct fixture *f, uint64_t id, enum jq_job_state to)
{
    struct plain_op *set = fixture_op(f, JQ_OP_JOB_SET);

    set->u.job = (struct jq_job_record){ .id = id, .queue = 1, .state = to, .attempt = 9 };
    set->from_spilled = true;
    return set;
}

void test_a_change_takes_a_job_from_among_the_spilled(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = spilled_of(1, JQ_FIFO, 10);
    struct jq_copy copy;

    for (uint64_t id = 8; id <= 11; id++)
        put_spilled(f, id, 1, 0, 0);
    fixture_commit(f);
    set_of(f, 8, JQ_RUNNING);
    fixture_result(set_of(f, 9, JQ_FAILED), 9);
    fixture_op(f, JQ_OP_JOB_DELETE)->u.job.id = 11;
    f->ops[f->count - 1].from_spilled = true;
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &read), "10");
    assert_string_equal(fixture_load_ids(f), "8");
    fixture_read_one(f, 8, JQ_READ_PAYLOAD, &copy);
    assert_int_equal(copy.jobs[0].job.state, JQ_RUNNING);
    assert_int_equal(copy.jobs[0].job.attempt, 9);
    assert_false(copy.jobs[0].job.spilled);
    assert_false(copy.jobs[0].job.damaged);
    assert_true(copy.jobs[0].job.payload.size > 0);
    jq_copy_fini(&copy);
    fixture_read_one(f, 9, JQ_READ_RESULT, &copy);
    assert_int_equal(copy.jobs[0].job.state, JQ_FAILED);
    assert_true(copy.jobs[0].has_result);
    jq_copy_fini(&copy);
}

void test_spilled_jobs_in_a_row_end_and_go_together(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = spilled_of(1, JQ_FIFO, 20);
    const struct jq_read ended = { .kind = JQ_READ_OLDEST, .limit = 20 };

    for (uint64_t id = 1; id <= 12; id++) {
        if (id == 4 || id == 9)
            fixture_put(f, id, JQ_READY)->u.job.queue = 1;
        else
            put_spilled(f, id, 1, 0, 0);
    }
    fixture_commit(f);
    for (uint64_t id = 2; id <= 6; id++) {
        set_of(f, id, JQ_SUCCEEDED)->from_spilled = id != 4;
        fixture_result(&f->ops[f->count - 1], id);
    }
    for (uint64_t id = 8; id <= 11; id++) {
        fixture_op(f, JQ_OP_JOB_DELETE)->u.job.id = id;
        f->ops[f->count - 1].from_spilled = id != 9;
    }
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &read), "1 7 12");
    assert_string_equal(fixture_read_ids(f, &ended), "2 3 4 5 6");
    assert_string_equal(fixture_load_ids(f), "");
}

void test_a_purge_deletes_the_first_of_a_lane_below_an_id(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = spilled_of(1, JQ_PRIORITY, 20);

    for (uint64_t id = 1; id <= 10; id++)
        put_spilled(f, id, 1, 0, -(int64_t)(id % 3));
    put_spilled(f, 11, 1, 1, 0);
    put_spilled(f, 12, 2, 0, 0);
    fixture_commit(f);
    assert_string_equal(fixture_read_ids(f, &read), "2 5 8 1 4 7 10 3 6 9");
    struct plain_op *op = fixture_op(f, JQ_OP_SPILLED_PURGE);
    op->u.purge = (struct jq_spilled_purge){ .queue = 1, .before = 8, .count = 4 };
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &read), "8 7 10 3 6 9");
    read.range.lane = 1;
    assert_string_equal(fixture_read_ids(f, &read), "11");
    read = spilled_of(2, JQ_FIFO, 20);
    assert_string_equal(fixture_read_ids(f, &read), "12");
}

static void assert_refused(struct fixture *f)
{
    struct jq_detail detail;

    assert_int_equal(fixture_try_commit(f, &detail), JQ_ECORRUPT);
    assert_non_null(strstr(detail.text, "should"));
}

void test_what_should_be_spilled_and_is_not_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = spilled_of(1, JQ_FIFO, 20);

    if (f->variant->threaded)
        return; /* a store thread that failed serves no more */
    put_spilled(f, 1, 1, 0, 0);
    fixture_put(f, 2, JQ_READY)->u.job.queue = 1;
    fixture_commit(f);
    set_of(f, 2, JQ_RUNNING);
    assert_refused(f);
    fixture_op(f, JQ_OP_JOB_SPILL)->u.job.id = 1;
    assert_refused(f);
    fixture_op(f, JQ_OP_SPILLED_PURGE)->u.purge =
        (struct jq_spilled_purge){ .queue = 1, .before = 9, .count = 2 };
    assert_refused(f);
    assert_string_equal(fixture_read_ids(f, &read), "1");
    assert_string_equal(fixture_load_ids(f), "2");
}
