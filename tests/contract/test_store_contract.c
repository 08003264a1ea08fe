/* SPDX-License-Identifier: MIT
 *
 * test_store_contract.c - what every store must do: the same tests over each backend, directly and
 * through the store thread. */
#include "tests/contract/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/order.h"
#include "proto/base/alloc.h"
#include "proto/limits.h"

static int setup(void **state)
{
    const struct variant *variant = *state;
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fixture_open(f, variant);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_remove(*state);
    free(*state);
    return 0;
}

/* Only where it should: memory forgets. */
static void reopen_if_kept(struct fixture *f)
{
    if (f->directory[0])
        fixture_reopen(f);
}

static void test_a_new_store_is_empty(void **state)
{
    struct fixture *f = *state;
    const struct jq_range all = { .limit = UINT32_MAX };
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 10 };
    static const uint8_t zeros[16];

    assert_int_equal(f->meta.commit_sequence, 0);
    assert_int_equal(f->meta.next_id, 1);
    assert_int_equal(f->meta.next_queue, 1);
    assert_int_equal(f->meta.incarnation, 0);
    assert_memory_not_equal(f->meta.store_id, zeros, sizeof(zeros));
    assert_string_equal(fixture_load_ids(f, &all), "");
    assert_string_equal(fixture_read_ids(f, &list), "");
}

static void test_meta_makes_the_round_trip_and_keeps_its_store_id(void **state)
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

static void test_an_older_batch_is_refused(void **state)
{
    struct fixture *f = *state;
    struct jq_detail detail;

    fixture_commit(f);
    f->meta.commit_sequence = 0;
    assert_int_equal(fixture_try_commit(f, &detail), JQ_EINVAL);
    f->meta.commit_sequence = 1;
}

static void test_a_live_job_comes_back_as_it_was_put(void **state)
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

static void test_a_job_put_with_its_result_comes_back_whole(void **state)
{
    struct fixture *f = *state;
    struct jq_copy copy;

    for (enum jq_job_state s = JQ_SUCCEEDED; s <= JQ_SKIPPED; s++) {
        const struct jq_store_op *op = fixture_put(f, 20 + s, s);
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
static void change(struct jq_store_op *set, struct jq_job_record *job, enum jq_job_state to)
{
    job->state = to;
    job->flags ^= 3;
    job->attempt += 1;
    job->crashes += 1;
    job->fence = 77;
    job->session = 0;
    job->started_at = 99;
    job->worker = jq_view("n\0w", 3);
    set->u.job = *job;
    /* These are not part of it: a store must not take them. */
    set->u.job.queue = 99;
    set->u.job.priority = 99;
    set->u.job.owner = 99;
    set->u.job.payload = set->u.job.handler = set->u.job.title = set->u.job.key = jq_view("x", 1);
}

static void test_a_set_changes_a_live_job(void **state)
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

static void test_a_set_ends_a_job_with_its_result(void **state)
{
    struct fixture *f = *state;
    const struct jq_range all = { .limit = UINT32_MAX };
    struct jq_job_record job = fixture_put(f, 5, JQ_RUNNING)->u.job;
    struct jq_copy copy;

    fixture_commit(f);
    struct jq_store_op *set = fixture_op(f, JQ_OP_JOB_SET);
    change(set, &job, JQ_FAILED);
    const struct jq_result_record result = *fixture_result(set, 5);
    fixture_commit(f);
    reopen_if_kept(f);
    fixture_read_one(f, 5, ALL_PARTS, &copy);
    assert_job(&copy.jobs[0].job, &job);
    assert_true(copy.jobs[0].has_result);
    assert_result(&copy.jobs[0].result, &result);
    jq_copy_fini(&copy);
    assert_string_equal(fixture_load_ids(f, &all), "");
}

static void test_a_job_may_end_without_a_result(void **state)
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

static void test_an_ended_job_keeps_its_result_through_a_set_without_one(void **state)
{
    struct fixture *f = *state;
    const struct jq_store_op *put = fixture_put(f, 5, JQ_SUCCEEDED);
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
    struct jq_store_op *set = fixture_op(f, JQ_OP_JOB_SET);
    change(set, &job, JQ_FAILED);
    const struct jq_result_record other = *fixture_result(set, 9);
    fixture_commit(f);
    fixture_read_one(f, 5, ALL_PARTS, &copy);
    assert_result(&copy.jobs[0].result, &other);
    jq_copy_fini(&copy);
}

static void test_an_ended_job_can_live_again(void **state)
{
    struct fixture *f = *state;
    const struct jq_range all = { .limit = UINT32_MAX };
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
    assert_string_equal(fixture_load_ids(f, &all), "5");
}

static void test_a_put_replaces_a_job_in_any_state(void **state)
{
    struct fixture *f = *state;
    static const enum jq_job_state states[] = { JQ_READY, JQ_FAILED, JQ_FAILED, JQ_READY,
                                                JQ_READY };
    struct jq_copy copy;

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct jq_store_op *put = fixture_put(f, 5, states[i]);
        put->u.job.attempt = (uint32_t)i;
        fixture_commit(f);
        fixture_read_one(f, 5, ALL_PARTS, &copy);
        assert_int_equal(copy.jobs[0].job.state, states[i]);
        assert_int_equal(copy.jobs[0].job.attempt, i);
        assert_int_equal(copy.jobs[0].has_result, states[i] == JQ_FAILED);
        jq_copy_fini(&copy);
    }
}

static void test_a_set_of_a_job_that_is_not_there_is_an_error_that_changes_nothing(void **state)
{
    struct fixture *f = *state;
    const struct jq_range all = { .limit = UINT32_MAX };
    struct jq_detail detail;

    fixture_put(f, 1, JQ_READY);
    struct jq_store_op *set = fixture_op(f, JQ_OP_JOB_SET);
    set->u.job = (struct jq_job_record){ .id = 2, .state = JQ_RUNNING };
    assert_int_equal(fixture_try_commit(f, &detail), JQ_ECORRUPT);
    assert_non_null(strstr(detail.text, "job 2"));
    assert_string_equal(fixture_load_ids(f, &all), "");
}

static void test_deleted_jobs_are_gone_and_others_stay(void **state)
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

static void test_netted_operations_do_nothing(void **state)
{
    struct fixture *f = *state;
    const struct jq_range all = { .limit = UINT32_MAX };

    fixture_op(f, JQ_OP_NONE);
    fixture_put(f, 1, JQ_READY);
    struct jq_store_op *op = fixture_put(f, 2, JQ_READY);
    op->kind = JQ_OP_NONE;
    fixture_put(f, 3, JQ_READY);
    fixture_op(f, JQ_OP_NONE);
    fixture_commit(f);
    assert_string_equal(fixture_load_ids(f, &all), "1 3");
    fixture_commit(f); /* an empty batch is a commit as well */
    assert_int_equal(f->meta.commit_sequence, 2);
}

static void put_many(struct fixture *f)
{
    /* id: priority id % 5 - 2, queue 1 + id % 2; 3, 7 and 8 have ended. */
    for (uint64_t id = 1; id <= 10; id++)
        fixture_put(f, id, id == 3 || id == 7 || id == 8 ? JQ_SUCCEEDED : JQ_READY);
    fixture_commit(f);
}

static void test_loads_give_live_jobs_in_id_order(void **state)
{
    struct fixture *f = *state;
    struct jq_range range = { .limit = UINT32_MAX };

    put_many(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_load_ids(f, &range), "1 2 4 5 6 9 10");
    range.order = JQ_LIFO; /* means nothing over all queues */
    assert_string_equal(fixture_load_ids(f, &range), "1 2 4 5 6 9 10");
    range.limit = 3;
    assert_string_equal(fixture_load_ids(f, &range), "1 2 4");
    range.has_after = true;
    range.id = 4;
    assert_string_equal(fixture_load_ids(f, &range), "5 6 9");
    range.id = UINT64_MAX;
    assert_string_equal(fixture_load_ids(f, &range), "");
    range.limit = 0;
    range.id = 1;
    assert_string_equal(fixture_load_ids(f, &range), "");
}

static void test_loads_of_a_queue_go_on_after_a_key_in_its_order(void **state)
{
    struct fixture *f = *state;
    struct jq_range range = { .queue = 2, .order = JQ_FIFO, .limit = 2 };

    put_many(f); /* queue 2: 1 5 9; queue 1: 2 4 6 10 */
    assert_string_equal(fixture_load_ids(f, &range), "1 5");
    range.has_after = true;
    range.id = 5;
    assert_string_equal(fixture_load_ids(f, &range), "9");

    range = (struct jq_range){ .queue = 1, .order = JQ_LIFO, .limit = 3 };
    assert_string_equal(fixture_load_ids(f, &range), "10 6 4");
    range.has_after = true;
    range.id = 4;
    assert_string_equal(fixture_load_ids(f, &range), "2");
    range.id = 1;
    assert_string_equal(fixture_load_ids(f, &range), "");

    /* Priorities of 2 4 6 10: 0 2 -1 -2. */
    range = (struct jq_range){ .queue = 1, .order = JQ_PRIORITY, .limit = 3 };
    assert_string_equal(fixture_load_ids(f, &range), "10 6 2");
    range.has_after = true;
    range.priority = 0;
    range.id = 2;
    assert_string_equal(fixture_load_ids(f, &range), "4");
    range.queue = 3;
    assert_string_equal(fixture_load_ids(f, &range), "");
}

static void test_priority_ties_are_fifo(void **state)
{
    struct fixture *f = *state;
    struct jq_range range = { .queue = 1, .order = JQ_PRIORITY, .limit = 10 };

    for (uint64_t id = 1; id <= 6; id++) {
        struct jq_store_op *op = fixture_put(f, id, JQ_READY);
        op->u.job.queue = 1;
        op->u.job.priority = id == 2 ? INT32_MAX : id == 5 ? INT32_MIN : 7;
    }
    fixture_commit(f);
    assert_string_equal(fixture_load_ids(f, &range), "5 1 3 4 6 2");
    range.has_after = true;
    range.priority = 7;
    range.id = 3;
    assert_string_equal(fixture_load_ids(f, &range), "4 6 2");
}

static enum jq_err refuse_second(void *arg, const struct jq_loaded_job *job)
{
    int *calls = arg;

    (void)job;
    return ++*calls == 2 ? JQ_EINTR : JQ_OK;
}

static void test_an_error_of_the_callback_stops_the_walk(void **state)
{
    struct fixture *f = *state;
    const struct jq_range all = { .limit = UINT32_MAX };
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 10 };
    bool more;
    int calls = 0;

    put_many(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_int_equal(backend->ops->load_jobs(backend, &all, refuse_second, &calls), JQ_EINTR);
    assert_int_equal(calls, 2);
    calls = 0;
    assert_int_equal(backend->ops->read(backend, &list, refuse_second, &calls, &more), JQ_EINTR);
    assert_int_equal(calls, 2);
    fixture_delete(f, 1); /* and nothing of the walk stands in the way of a commit */
    fixture_commit(f);
}

static void test_jobs_are_read_in_the_order_asked_for_and_absent_ids_are_left_out(void **state)
{
    struct fixture *f = *state;
    uint64_t ids[] = { 9, 3, 0, 12, 1, UINT64_MAX, 8, 9 };
    const struct jq_read read = { .kind = JQ_READ_JOBS, .ids = ids, .count = 8 };
    const struct jq_read none = { .kind = JQ_READ_JOBS };

    put_many(f);
    assert_string_equal(fixture_read_ids(f, &read), "9 3 1 8 9");
    assert_string_equal(fixture_read_ids(f, &none), "");
}

static void test_a_read_brings_only_the_parts_asked_for(void **state)
{
    struct fixture *f = *state;
    struct jq_copy copy;

    const struct jq_store_op *put = fixture_put(f, 5, JQ_SUCCEEDED);
    const struct jq_job_record job = put->u.job;
    const struct jq_result_record result = *put->result;
    fixture_commit(f);
    for (uint32_t parts = 0; parts <= ALL_PARTS; parts++) {
        struct jq_job_record expected = job;
        struct jq_result_record part = result;
        if (!(parts & JQ_READ_PAYLOAD))
            expected.payload.size = 0;
        if (!(parts & JQ_READ_VALUE))
            part.value.size = 0;
        if (!(parts & JQ_READ_OUTPUT))
            part.stdout_head.size = part.stdout_tail.size = part.stderr_head.size =
                part.stderr_tail.size = 0;
        fixture_read_one(f, 5, parts, &copy);
        assert_job(&copy.jobs[0].job, &expected);
        assert_int_equal(copy.jobs[0].has_result, (parts & ~JQ_READ_PAYLOAD) != 0);
        if (copy.jobs[0].has_result)
            assert_result(&copy.jobs[0].result, &part);
        jq_copy_fini(&copy);
    }
}

static void put_key(struct fixture *f, uint64_t id, enum jq_job_state state, const char *key)
{
    fixture_put(f, id, state)->u.job.key = jq_view_str(key);
}

static void test_a_key_finds_its_newest_job(void **state)
{
    struct fixture *f = *state;
    char key[] = "nightly", other[] = "night", empty[] = "", second[] = "b";
    struct jq_read read = { .kind = JQ_READ_KEY, .key = key };

    put_key(f, 1, JQ_READY, "nightly");
    put_key(f, 2, JQ_READY, "b");
    put_key(f, 3, JQ_SUCCEEDED, "");
    fixture_commit(f);
    assert_string_equal(fixture_read_ids(f, &read), "1");
    put_key(f, 4, JQ_FAILED, "nightly");
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &read), "4");
    fixture_delete(f, 4);
    fixture_commit(f);
    assert_string_equal(fixture_read_ids(f, &read), "1");
    struct jq_store_op *set = fixture_op(f, JQ_OP_JOB_SET);
    set->u.job = (struct jq_job_record){ .id = 1, .state = JQ_SUCCEEDED };
    fixture_result(set, 1);
    fixture_commit(f);
    assert_string_equal(fixture_read_ids(f, &read), "1");
    fixture_delete(f, 1);
    fixture_commit(f);
    assert_string_equal(fixture_read_ids(f, &read), "");
    read.key = other;
    assert_string_equal(fixture_read_ids(f, &read), "");
    read.key = empty;
    assert_string_equal(fixture_read_ids(f, &read), "");
    read.key = NULL;
    assert_string_equal(fixture_read_ids(f, &read), "");
    read.key = second;
    assert_string_equal(fixture_read_ids(f, &read), "2");
}

static void test_a_list_goes_from_the_newest_down(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = { .kind = JQ_READ_LIST, .limit = 4 };

    put_many(f);
    assert_string_equal(fixture_read_ids(f, &read), "10 9 8 7 +");
    read.before_id = 7;
    assert_string_equal(fixture_read_ids(f, &read), "6 5 4 3 +");
    read.before_id = 3;
    assert_string_equal(fixture_read_ids(f, &read), "2 1");
    read.before_id = 5;
    assert_string_equal(fixture_read_ids(f, &read), "4 3 2 1"); /* all, exactly: no more */
    read.before_id = UINT64_MAX;
    assert_string_equal(fixture_read_ids(f, &read), "10 9 8 7 +");
    read.before_id = 1;
    assert_string_equal(fixture_read_ids(f, &read), "");
}

static void test_a_list_keeps_to_its_queue_and_states(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = { .kind = JQ_READ_LIST, .limit = 100 };

    put_many(f);
    read.states = 1u << JQ_READY;
    assert_string_equal(fixture_read_ids(f, &read), "10 9 6 5 4 2 1");
    read.states = 1u << JQ_SUCCEEDED;
    assert_string_equal(fixture_read_ids(f, &read), "8 7 3");
    read.states = 1u << JQ_SUCCEEDED | 1u << JQ_READY;
    read.queue = 1;
    assert_string_equal(fixture_read_ids(f, &read), "10 8 6 4 2");
    read.limit = 1;
    assert_string_equal(fixture_read_ids(f, &read), "10 +");
    read.states = 1u << JQ_FAILED | 1u << JQ_BLOCKED;
    assert_string_equal(fixture_read_ids(f, &read), "");
    read.states = 0;
    read.queue = 9;
    assert_string_equal(fixture_read_ids(f, &read), "");
}

/* The largest that the protocol lets through, and one with every byte value at odd sizes. */
static void test_the_largest_payload_and_value_survive(void **state)
{
    struct fixture *f = *state;
    uint8_t *big = malloc(JQ_PAYLOAD_MAX);
    struct jq_copy copy;

    assert_non_null(big);
    for (size_t i = 0; i < JQ_PAYLOAD_MAX; i++)
        big[i] = (uint8_t)(i * 2654435761u >> 13);
    struct jq_store_op *put = fixture_put(f, 1, JQ_READY);
    put->u.job.payload = jq_view(big, JQ_PAYLOAD_MAX);
    fixture_commit(f);
    struct jq_store_op *set = fixture_op(f, JQ_OP_JOB_SET);
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

static void test_empty_bytes_stay_empty(void **state)
{
    struct fixture *f = *state;
    const struct jq_view empty = { 0 };
    struct jq_copy copy;

    struct jq_store_op *put = fixture_put(f, 1, JQ_SUCCEEDED);
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

/* --- queues, requests, workers --- */

struct seen {
    char text[512];
};

static enum jq_err see_queue(void *arg, const struct jq_queue_record *q)
{
    struct seen *seen = arg;
    const size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof(seen->text) - used,
             "%u:%.*s:%u:%llu:%llu,%llu,%llu,%llu,%llu,%llu,%llu ", q->id, JQ_VIEW_ARG(q->name),
             q->order, (unsigned long long)q->maxsize, (unsigned long long)q->blocked,
             (unsigned long long)q->delayed, (unsigned long long)q->ready,
             (unsigned long long)q->running, (unsigned long long)q->succeeded,
             (unsigned long long)q->failed, (unsigned long long)q->cancelled);
    return JQ_OK;
}

static void put_queue(struct fixture *f, uint32_t id, const char *name, uint64_t ready)
{
    fixture_op(f, JQ_OP_QUEUE_PUT)->u.queue = (struct jq_queue_record){
        .id = id,
        .order = JQ_PRIORITY,
        .maxsize = UINT64_MAX,
        .blocked = 1,
        .delayed = 2,
        .ready = ready,
        .running = 4,
        .succeeded = 5,
        .failed = 6,
        .cancelled = 7,
        .name = jq_view_str(name),
    };
}

static const char *queues(struct fixture *f)
{
    static struct seen seen;
    struct jq_backend *backend = fixture_backend(f);

    seen.text[0] = '\0';
    assert_int_equal(backend->ops->load_queues(backend, see_queue, &seen), JQ_OK);
    return seen.text;
}

static void test_queues_are_put_replaced_and_deleted(void **state)
{
    struct fixture *f = *state;

    put_queue(f, 7, "seven", 3);
    put_queue(f, 2, "two", 3);
    put_queue(f, 3, "three", 3);
    fixture_commit(f);
    put_queue(f, 7, "seven", 30);
    fixture_op(f, JQ_OP_QUEUE_DELETE)->u.queue.id = 3;
    fixture_op(f, JQ_OP_QUEUE_DELETE)->u.queue.id = 99;
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(queues(f), "2:two:2:18446744073709551615:1,2,3,4,5,6,7 "
                                   "7:seven:2:18446744073709551615:1,2,30,4,5,6,7 ");
}

static enum jq_err see_request(void *arg, const struct jq_request_record *r)
{
    struct seen *seen = arg;
    const size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof(seen->text) - used, "%llu/%llu=%llu+%u@%lld:%zu ",
             (unsigned long long)r->session, (unsigned long long)r->number,
             (unsigned long long)r->first_id, r->count, (long long)r->made_at, r->each.size);
    return JQ_OK;
}

static const char *requests(struct fixture *f)
{
    static struct seen seen;
    struct jq_backend *backend = fixture_backend(f);

    seen.text[0] = '\0';
    assert_int_equal(backend->ops->load_requests(backend, see_request, &seen), JQ_OK);
    return seen.text;
}

static void put_request(struct fixture *f, uint64_t session, uint64_t number)
{
    fixture_op(f, JQ_OP_REQUEST_PUT)->u.request = (struct jq_request_record){
        .session = session,
        .number = number,
        .first_id = number * 10,
        .count = 2,
        .made_at = 5,
        .each = jq_view("\0\xff\0", number % 4),
    };
}

static void request_op(struct fixture *f, enum jq_store_op_kind kind, uint64_t session,
                       uint64_t number)
{
    struct jq_store_op *op = fixture_op(f, kind);
    op->u.request.session = session;
    op->u.request.number = number;
}

static void test_requests_are_put_replaced_and_deleted(void **state)
{
    struct fixture *f = *state;

    put_request(f, 1, 1);
    put_request(f, 1, 3);
    put_request(f, 1, 2);
    put_request(f, 5, 1);
    fixture_commit(f);
    request_op(f, JQ_OP_REQUEST_DELETE, 1, 2);
    request_op(f, JQ_OP_REQUEST_DELETE, 9, 9);
    put_request(f, 1, 3);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(requests(f), "1/1=10+2@5:1 1/3=30+2@5:3 5/1=10+2@5:1 ");
}

/* Where it stands: what the session put before it goes, what it puts after it stays. */
static void test_a_session_delete_is_applied_in_its_place(void **state)
{
    struct fixture *f = *state;

    put_request(f, 4, 1);
    put_request(f, 4, 2);
    put_request(f, 5, 1);
    put_request(f, 3, 9);
    fixture_commit(f);
    put_request(f, 4, 3);
    request_op(f, JQ_OP_SESSION_DELETE, 4, 0);
    put_request(f, 4, 1);
    put_request(f, 4, 7);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(requests(f), "3/9=90+2@5:1 4/1=10+2@5:1 4/7=70+2@5:3 5/1=10+2@5:1 ");
    request_op(f, JQ_OP_SESSION_DELETE, 4, 0);
    request_op(f, JQ_OP_SESSION_DELETE, 44, 0);
    fixture_commit(f);
    assert_string_equal(requests(f), "3/9=90+2@5:1 5/1=10+2@5:1 ");
}

static enum jq_err see_worker(void *arg, const struct jq_worker_record *w)
{
    struct seen *seen = arg;
    const size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof(seen->text) - used, "%llu:%.*s ",
             (unsigned long long)w->session, JQ_VIEW_ARG(w->name));
    return JQ_OK;
}

static void put_worker(struct fixture *f, uint64_t session, const char *name)
{
    struct jq_store_op *op = fixture_op(f, JQ_OP_WORKER_PUT);
    op->u.worker = (struct jq_worker_record){ .session = session, .name = jq_view_str(name) };
}

static void test_workers_are_put_replaced_and_deleted(void **state)
{
    struct fixture *f = *state;
    struct seen seen = { .text = "" };

    put_worker(f, 3, "c");
    put_worker(f, 1, "a");
    put_worker(f, 2, "b");
    fixture_commit(f);
    put_worker(f, 3, "cc");
    fixture_op(f, JQ_OP_WORKER_DELETE)->u.worker.session = 1;
    fixture_op(f, JQ_OP_WORKER_DELETE)->u.worker.session = 77;
    fixture_commit(f);
    reopen_if_kept(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_int_equal(backend->ops->load_workers(backend, see_worker, &seen), JQ_OK);
    assert_string_equal(seen.text, "2:b 3:cc ");
}

/* Random 64-bit sessions are everywhere, also above INT64_MAX. */
static void test_sessions_are_any_64_bits(void **state)
{
    struct fixture *f = *state;
    struct seen seen = { .text = "" };

    put_worker(f, UINT64_MAX, "w");
    put_request(f, UINT64_MAX - 1, 1);
    fixture_commit(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_int_equal(backend->ops->load_workers(backend, see_worker, &seen), JQ_OK);
    assert_string_equal(seen.text, "18446744073709551615:w ");
    assert_string_equal(requests(f), "18446744073709551614/1=10+2@5:1 ");
    request_op(f, JQ_OP_SESSION_DELETE, UINT64_MAX - 1, 0);
    fixture_commit(f);
    assert_string_equal(requests(f), "");
}

static void test_space_is_low_above_the_largest_size_and_recovers(void **state)
{
    struct fixture *f = *state;

    fixture_close(f);
    f->conf.max_bytes = 512 << 10;
    if (!f->directory[0])
        f->meta.commit_sequence = 0;
    fixture_reopen(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_false(backend->ops->space_low(backend));
    for (uint64_t id = 1; id <= 3000; id++)
        fixture_put(f, id, JQ_READY);
    fixture_commit(f);
    backend = fixture_backend(f);
    struct jq_detail detail;
    assert_int_equal(backend->ops->rest(backend, true, &detail), JQ_OK);
    assert_true(backend->ops->space_low(backend));
    for (uint64_t id = 1; id <= 3000; id++)
        fixture_delete(f, id);
    fixture_commit(f);
    backend = fixture_backend(f);
    assert_int_equal(backend->ops->rest(backend, true, &detail), JQ_OK);
    assert_false(backend->ops->space_low(backend));
}

/* Many rounds of what a busy broker does, against a model: an array of states. */
static void test_a_long_random_history_matches_a_model(void **state)
{
    struct fixture *f = *state;
    enum { IDS = 3000, ROUNDS = 60 };
    static enum jq_job_state model[IDS + 1];
    static bool present[IDS + 1], touched[IDS + 1];
    const struct jq_range all = { .limit = UINT32_MAX };
    uint64_t next = 1, seed = 12345;

    memset(present, 0, sizeof(present));
    for (int round = 0; round < ROUNDS; round++) {
        memset(touched, 0, sizeof(touched));
        for (int i = 0; i < 40 && next <= IDS; i++, next++) {
            model[next] = JQ_READY;
            present[next] = touched[next] = true;
            fixture_put(f, next, JQ_READY);
        }
        for (int i = 0; i < 60; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            const uint64_t id = 1 + (seed >> 33) % (next - 1);
            if (!present[id] || touched[id])
                continue;
            touched[id] = true;
            if (jq_state_is_terminal(model[id])) {
                present[id] = false;
                fixture_delete(f, id);
                continue;
            }
            model[id] = model[id] == JQ_READY ? JQ_RUNNING : JQ_FAILED;
            struct jq_store_op *set = fixture_op(f, JQ_OP_JOB_SET);
            set->u.job = (struct jq_job_record){ .id = id, .state = model[id] };
            if (model[id] == JQ_FAILED)
                fixture_result(set, id);
        }
        fixture_commit(f);
        if (round % 20 == 19)
            reopen_if_kept(f);
    }
    struct jq_backend *backend = fixture_backend(f);
    struct jq_copy copy = { 0 };
    assert_int_equal(backend->ops->load_jobs(backend, &all, jq_copy_add, &copy), JQ_OK);
    size_t at = 0;
    for (uint64_t id = 1; id < next; id++) {
        if (!present[id] || jq_state_is_terminal(model[id]))
            continue;
        assert_true(at < copy.count);
        assert_int_equal(copy.jobs[at].job.id, id);
        assert_int_equal(copy.jobs[at].job.state, model[id]);
        assert_false(copy.jobs[at++].job.damaged);
    }
    assert_int_equal(at, copy.count);
    jq_copy_fini(&copy);
}

/* For N = 0, 1, 2 ... the Nth allocation fails, until the batch goes through. */
static void test_a_commit_without_memory_changes_nothing(void **state)
{
    struct fixture *f = *state;
    const struct jq_range all = { .limit = UINT32_MAX };
    struct jq_detail detail;
    enum jq_err err = JQ_ENOMEM;

    if (f->variant->threaded) /* after a failed commit that one does nothing any more, by design */
        skip();
    for (int64_t n = 0; err != JQ_OK; n++) {
        assert_true(n < 100);
        fixture_put(f, 1, JQ_READY)->u.job.key = jq_view_str("k");
        fixture_put(f, 2, JQ_SUCCEEDED);
        put_queue(f, 1, "q", 1);
        put_request(f, 1, 1);
        put_worker(f, 1, "w");
        jq_alloc_fail_after(n, 0);
        err = fixture_try_commit(f, &detail);
        jq_alloc_fail_after(-1, 0);
        if (err == JQ_OK)
            break;
        assert_int_equal(err, JQ_ENOMEM);
        assert_string_equal(fixture_load_ids(f, &all), "");
        assert_string_equal(queues(f), "");
        assert_string_equal(requests(f), "");
    }
    assert_string_equal(fixture_load_ids(f, &all), "1");
}

static const struct variant variants[] = {
    { "memory", &jq_store_memory, false },
    { "sqlite", &jq_store_sqlite, false },
    { "memory, threaded", &jq_store_memory, true },
    { "sqlite, threaded", &jq_store_sqlite, true },
};

#define CASE(test) cmocka_unit_test_prestate_setup_teardown(test, setup, teardown, NULL)

int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(test_a_new_store_is_empty),
        CASE(test_meta_makes_the_round_trip_and_keeps_its_store_id),
        CASE(test_an_older_batch_is_refused),
        CASE(test_a_live_job_comes_back_as_it_was_put),
        CASE(test_a_job_put_with_its_result_comes_back_whole),
        CASE(test_a_set_changes_a_live_job),
        CASE(test_a_set_ends_a_job_with_its_result),
        CASE(test_a_job_may_end_without_a_result),
        CASE(test_an_ended_job_keeps_its_result_through_a_set_without_one),
        CASE(test_an_ended_job_can_live_again),
        CASE(test_a_put_replaces_a_job_in_any_state),
        CASE(test_a_set_of_a_job_that_is_not_there_is_an_error_that_changes_nothing),
        CASE(test_deleted_jobs_are_gone_and_others_stay),
        CASE(test_netted_operations_do_nothing),
        CASE(test_loads_give_live_jobs_in_id_order),
        CASE(test_loads_of_a_queue_go_on_after_a_key_in_its_order),
        CASE(test_priority_ties_are_fifo),
        CASE(test_an_error_of_the_callback_stops_the_walk),
        CASE(test_jobs_are_read_in_the_order_asked_for_and_absent_ids_are_left_out),
        CASE(test_a_read_brings_only_the_parts_asked_for),
        CASE(test_a_key_finds_its_newest_job),
        CASE(test_a_list_goes_from_the_newest_down),
        CASE(test_a_list_keeps_to_its_queue_and_states),
        CASE(test_the_largest_payload_and_value_survive),
        CASE(test_empty_bytes_stay_empty),
        CASE(test_queues_are_put_replaced_and_deleted),
        CASE(test_requests_are_put_replaced_and_deleted),
        CASE(test_a_session_delete_is_applied_in_its_place),
        CASE(test_workers_are_put_replaced_and_deleted),
        CASE(test_sessions_are_any_64_bits),
        CASE(test_space_is_low_above_the_largest_size_and_recovers),
        CASE(test_a_long_random_history_matches_a_model),
        CASE(test_a_commit_without_memory_changes_nothing),
    };
    const size_t count = sizeof(tests) / sizeof(tests[0]);
    int failed = 0;

    for (size_t v = 0; v < sizeof(variants) / sizeof(variants[0]); v++) {
        struct variant variant = variants[v];
        for (size_t i = 0; i < count; i++)
            tests[i].initial_state = &variant;
        failed += _cmocka_run_group_tests(variant.name, tests, count, NULL, NULL);
    }
    return failed != 0;
}
