/* SPDX-License-Identifier: MIT
 *
 * store_contract_jobs.c - the contract of every store: jobs are put, set, ended and deleted. */
#include "tests/contract/store_contract.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

void test_a_new_store_is_empty(void **state)
{
    struct fixture *f = *state;
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 10 };
    static const uint8_t zeros[16];

    assert_int_equal(f->meta.commit_sequence, 0);
    assert_int_equal(f->meta.next_id, 1);
    assert_int_equal(f->meta.next_queue, 1);
    assert_int_equal(f->meta.incarnation, 0);
    assert_memory_not_equal(f->meta.store_id, zeros, sizeof(zeros));
    assert_string_equal(fixture_load_ids(f), "");
    assert_string_equal(fixture_read_ids(f, &list), "");
}

void test_meta_makes_the_round_trip_and_keeps_its_store_id(void **state)
{
    struct fixture *f = *state;
    struct jq_store_meta got, before = f->meta;

    f->meta.next_id = INT64_MAX;
    f->meta.next_queue = UINT32_MAX;
    f->meta.incarnation = UINT32_MAX;
    memset(f->meta.store_id, 0, sizeof(f->meta.store_id)); /* is not the caller's to change */
    fixture_commit(f);
    reopen_if_kept(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_int_equal(backend->ops->load_meta(backend, &got), JQ_OK);
    assert_int_equal(got.commit_sequence, 1);
    assert_int_equal(got.next_id, INT64_MAX);
    assert_int_equal(got.next_queue, UINT32_MAX);
    assert_int_equal(got.incarnation, UINT32_MAX);
    assert_memory_equal(got.store_id, before.store_id, sizeof(before.store_id));
}

void test_an_older_batch_is_refused(void **state)
{
    struct fixture *f = *state;
    struct jq_detail detail;

    fixture_commit(f);
    f->meta.commit_sequence = 0;
    assert_int_equal(fixture_try_commit(f, &detail), JQ_EINVAL);
    f->meta.commit_sequence = 1;
}

void test_a_live_job_comes_back_as_it_was_put(void **state)
{
    struct fixture *f = *state;
    struct jq_copy copy;

    for (enum jq_job_state s = JQ_BLOCKED; s <= JQ_RUNNING; s++) {
        const struct jq_job_record job = fixture_put(f, 10 + s, s)->u.job;
        fixture_commit(f);
        reopen_if_kept(f);
        fixture_read_one(f, job.id, ALL_PARTS, &copy);
        assert_job(&copy.jobs[0].job, &job);
        assert_false(copy.jobs[0].has_result);
        jq_copy_fini(&copy);
    }
}

void test_a_job_put_with_its_result_comes_back_whole(void **state)
{
    struct fixture *f = *state;
    struct jq_copy copy;

    for (enum jq_job_state s = JQ_SUCCEEDED; s <= JQ_SKIPPED; s++) {
        const struct plain_op *op = fixture_put(f, 20 + s, s);
        const struct jq_job_record job = op->u.job;
        const struct jq_result_record result = *op->result;
        fixture_commit(f);
        reopen_if_kept(f);
        fixture_read_one(f, job.id, ALL_PARTS, &copy);
        assert_job(&copy.jobs[0].job, &job);
        assert_true(copy.jobs[0].has_result);
        assert_result(&copy.jobs[0].result, &result);
        jq_copy_fini(&copy);
    }
}

/* What a SET changes, and nothing else. */
static void change(struct plain_op *set, struct jq_job_record *job, enum jq_job_state to)
{
    job->state = to;
    job->flags ^= 3;
    job->attempt += 1;
    job->crashes += 1;
    job->fence = 77;
    job->session = 0;
    job->started_at = 99;
    job->due_at = job->due_at ? 0 : 5;
    job->failures += 1;
    job->worker = jq_view("n\0w", 3);
    job->history = job->history.size ? jq_view(NULL, 0) : jq_view("\0h", 2);
    set->u.job = *job;
    /* These are not part of it: a store must not take them. */
    set->u.job.queue = 99;
    set->u.job.priority = 99;
    set->u.job.owner = 99;
    set->u.job.payload = set->u.job.handler = set->u.job.title = set->u.job.key = jq_view("x", 1);
    set->u.job.options = jq_view("x", 1);
}

void test_a_set_changes_a_live_job(void **state)
{
    struct fixture *f = *state;
    struct jq_job_record job = fixture_put(f, 5, JQ_READY)->u.job;
    struct jq_copy copy;

    fixture_commit(f);
    change(fixture_op(f, JQ_OP_JOB_SET), &job, JQ_RUNNING);
    fixture_commit(f);
    reopen_if_kept(f);
    fixture_read_one(f, 5, ALL_PARTS, &copy);
    assert_job(&copy.jobs[0].job, &job);
    jq_copy_fini(&copy);
}

void test_a_set_ends_a_job_with_its_result(void **state)
{
    struct fixture *f = *state;
    struct jq_job_record job = fixture_put(f, 5, JQ_RUNNING)->u.job;
    struct jq_copy copy;

    fixture_commit(f);
    struct plain_op *set = fixture_op(f, JQ_OP_JOB_SET);
    change(set, &job, JQ_FAILED);
    const struct jq_result_record result = *fixture_result(set, 5);
    fixture_commit(f);
    reopen_if_kept(f);
    fixture_read_one(f, 5, ALL_PARTS, &copy);
    assert_job(&copy.jobs[0].job, &job);
    assert_true(copy.jobs[0].has_result);
    assert_result(&copy.jobs[0].result, &result);
    jq_copy_fini(&copy);
    assert_string_equal(fixture_load_ids(f), "");
}

static void end_row(struct fixture *f, uint64_t first, uint64_t last)
{
    for (uint64_t id = first; id <= last; id++) {
        struct plain_op *set = fixture_op(f, JQ_OP_JOB_SET);
        set->u.job = (struct jq_job_record){ .id = id, .state = JQ_FAILED };
        fixture_result(set, id);
        if (id % 3 == 0)
            fixture_op(f, JQ_OP_NONE);
    }
}

/* Some had ended before; those beside them stay. A row with a gap is refused whole. */
void test_jobs_in_a_row_end_together(void **state)
{
    struct fixture *f = *state;
    const struct jq_read failed = { .kind = JQ_READ_LIST, .limit = 99, .states = 1 << JQ_FAILED };
    struct jq_detail detail;

    for (uint64_t id = 1; id <= 12; id++)
        fixture_put(f, id, id == 5 || id == 9 ? JQ_SUCCEEDED : JQ_RUNNING);
    fixture_commit(f);
    end_row(f, 3, 10);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_load_ids(f), "1 2 11 12");
    assert_string_equal(fixture_read_ids(f, &failed), "10 9 8 7 6 5 4 3");
    fixture_delete(f, 11);
    fixture_commit(f);
    end_row(f, 10, 12);
    assert_int_equal(fixture_try_commit(f, &detail), JQ_ECORRUPT);
    assert_non_null(strstr(detail.text, "job 11"));
    assert_string_equal(fixture_load_ids(f), "1 2 12");
}

void test_a_job_may_end_without_a_result(void **state)
{
    struct fixture *f = *state;
    struct jq_job_record job = fixture_put(f, 5, JQ_READY)->u.job;
    struct jq_copy copy;

    fixture_commit(f);
    change(fixture_op(f, JQ_OP_JOB_SET), &job, JQ_CANCELLED);
    fixture_commit(f);
    fixture_read_one(f, 5, ALL_PARTS, &copy);
    assert_job(&copy.jobs[0].job, &job);
    assert_false(copy.jobs[0].has_result);
    jq_copy_fini(&copy);
}

void test_an_ended_job_keeps_its_result_through_a_set_without_one(void **state)
{
    struct fixture *f = *state;
    const struct plain_op *put = fixture_put(f, 5, JQ_SUCCEEDED);
    struct jq_job_record job = put->u.job;
    const struct jq_result_record result = *put->result;
    struct jq_copy copy;

    fixture_commit(f);
    change(fixture_op(f, JQ_OP_JOB_SET), &job, JQ_SUCCEEDED);
    fixture_commit(f);
    fixture_read_one(f, 5, ALL_PARTS, &copy);
    assert_job(&copy.jobs[0].job, &job);
    assert_result(&copy.jobs[0].result, &result);
    jq_copy_fini(&copy);
    struct plain_op *set = fixture_op(f, JQ_OP_JOB_SET);
    change(set, &job, JQ_FAILED);
    const struct jq_result_record other = *fixture_result(set, 9);
    fixture_commit(f);
    fixture_read_one(f, 5, ALL_PARTS, &copy);
    assert_result(&copy.jobs[0].result, &other);
    jq_copy_fini(&copy);
}

void test_an_ended_job_can_live_again(void **state)
{
    struct fixture *f = *state;
    struct jq_job_record job = fixture_put(f, 5, JQ_FAILED)->u.job;
    struct jq_copy copy;

    fixture_commit(f);
    change(fixture_op(f, JQ_OP_JOB_SET), &job, JQ_READY);
    fixture_commit(f);
    reopen_if_kept(f);
    fixture_read_one(f, 5, ALL_PARTS, &copy);
    assert_job(&copy.jobs[0].job, &job);
    assert_false(copy.jobs[0].has_result);
    jq_copy_fini(&copy);
    assert_string_equal(fixture_load_ids(f), "5");
}

void test_a_put_replaces_a_job_in_any_state(void **state)
{
    struct fixture *f = *state;
    static const enum jq_job_state states[] = { JQ_READY, JQ_FAILED, JQ_FAILED, JQ_READY,
                                                JQ_READY };
    struct jq_copy copy;

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct plain_op *put = fixture_put(f, 5, states[i]);
        put->u.job.attempt = (uint32_t)i;
        fixture_commit(f);
        fixture_read_one(f, 5, ALL_PARTS, &copy);
        assert_int_equal(copy.jobs[0].job.state, states[i]);
        assert_int_equal(copy.jobs[0].job.attempt, i);
        assert_int_equal(copy.jobs[0].has_result, states[i] == JQ_FAILED);
        jq_copy_fini(&copy);
    }
}

void test_a_set_of_a_job_that_is_not_there_is_an_error_that_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct jq_detail detail;

    fixture_put(f, 1, JQ_READY);
    struct plain_op *set = fixture_op(f, JQ_OP_JOB_SET);
    set->u.job = (struct jq_job_record){ .id = 2, .state = JQ_RUNNING };
    assert_int_equal(fixture_try_commit(f, &detail), JQ_ECORRUPT);
    assert_non_null(strstr(detail.text, "job 2"));
    assert_string_equal(fixture_load_ids(f), "");
}

void test_deleted_jobs_are_gone_and_others_stay(void **state)
{
    struct fixture *f = *state;
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 100 };

    for (uint64_t id = 1; id <= 20; id++)
        fixture_put(f, id, id % 3 ? JQ_READY : JQ_SUCCEEDED);
    fixture_commit(f);
    for (uint64_t id = 4; id <= 9; id++) /* a run over both kinds, with a netted one inside */
        if (id == 6)
            fixture_delete(f, id), fixture_op(f, JQ_OP_NONE);
        else
            fixture_delete(f, id);
    fixture_delete(f, 20); /* out of order, and alone */
    fixture_delete(f, 15);
    fixture_delete(f, 16);
    fixture_delete(f, 999); /* was never there */
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &list), "19 18 17 14 13 12 11 10 3 2 1");
}

void test_netted_operations_do_nothing(void **state)
{
    struct fixture *f = *state;

    fixture_op(f, JQ_OP_NONE);
    fixture_put(f, 1, JQ_READY);
    struct plain_op *op = fixture_put(f, 2, JQ_READY);
    op->kind = JQ_OP_NONE;
    fixture_put(f, 3, JQ_READY);
    fixture_op(f, JQ_OP_NONE);
    fixture_commit(f);
    assert_string_equal(fixture_load_ids(f), "1 3");
    fixture_commit(f); /* an empty batch is a commit as well */
    assert_int_equal(f->meta.commit_sequence, 2);
}

/* The largest that the protocol lets through, and one with every byte value at odd sizes. */
void test_the_largest_payload_and_value_survive(void **state)
{
    struct fixture *f = *state;
    uint8_t *big = malloc(JQ_PAYLOAD_MAX);
    struct jq_copy copy;

    assert_non_null(big);
    for (size_t i = 0; i < JQ_PAYLOAD_MAX; i++)
        big[i] = (uint8_t)(i * 2654435761u >> 13);
    struct plain_op *put = fixture_put(f, 1, JQ_READY);
    put->u.job.payload = jq_view(big, JQ_PAYLOAD_MAX);
    fixture_commit(f);
    struct plain_op *set = fixture_op(f, JQ_OP_JOB_SET);
    set->u.job = (struct jq_job_record){ .id = 1, .state = JQ_SUCCEEDED };
    fixture_result(set, 1)->value = jq_view(big, JQ_VALUE_MAX);
    set->result->stderr_tail = jq_view(big, JQ_OUTPUT_PART_MAX);
    fixture_commit(f);
    reopen_if_kept(f);
    fixture_read_one(f, 1, ALL_PARTS, &copy);
    assert_view(copy.jobs[0].job.payload, jq_view(big, JQ_PAYLOAD_MAX));
    assert_view(copy.jobs[0].result.value, jq_view(big, JQ_VALUE_MAX));
    assert_view(copy.jobs[0].result.stderr_tail, jq_view(big, JQ_OUTPUT_PART_MAX));
    assert_false(copy.jobs[0].job.damaged);
    jq_copy_fini(&copy);
    free(big);
}

void test_empty_bytes_stay_empty(void **state)
{
    struct fixture *f = *state;
    const struct jq_view empty = { 0 };
    struct jq_copy copy;

    struct plain_op *put = fixture_put(f, 1, JQ_SUCCEEDED);
    put->u.job.payload = put->u.job.handler = put->u.job.title = put->u.job.worker = empty;
    *put->result = (struct jq_result_record){ 0 };
    const struct jq_job_record job = put->u.job;
    const struct jq_result_record result = *put->result;
    fixture_commit(f);
    reopen_if_kept(f);
    fixture_read_one(f, 1, ALL_PARTS, &copy);
    assert_job(&copy.jobs[0].job, &job);
    assert_true(copy.jobs[0].has_result);
    assert_result(&copy.jobs[0].result, &result);
    jq_copy_fini(&copy);
}
