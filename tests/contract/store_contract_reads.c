/* SPDX-License-Identifier: MIT
 *
 * store_contract_reads.c - the contract of every store: loads in a queue's order, and reads. */
#include "tests/contract/store_contract.h"

#include <string.h>

#include "broker/core/order.h"

static void put_many(struct fixture *f)
{
    /* id: priority id % 5 - 2, queue 1 + id % 2; 3, 7 and 8 have ended. */
    for (uint64_t id = 1; id <= 10; id++)
        fixture_put(f, id, id == 3 || id == 7 || id == 8 ? JQ_SUCCEEDED : JQ_READY);
    fixture_commit(f);
}

void test_loads_give_live_jobs_in_id_order(void **state)
{
    struct fixture *f = *state;

    put_many(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_load_ids(f), "1 2 4 5 6 9 10");
}

static enum jq_err refuse_second(void *arg, const struct jq_loaded_job *job)
{
    int *calls = arg;

    (void)job;
    return ++*calls == 2 ? JQ_EINTR : JQ_OK;
}

void test_an_error_of_the_callback_stops_the_walk(void **state)
{
    struct fixture *f = *state;
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 10 };
    bool more;
    int calls = 0;

    put_many(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_int_equal(backend->ops->load_jobs(backend, refuse_second, &calls), JQ_EINTR);
    assert_int_equal(calls, 2);
    calls = 0;
    assert_int_equal(backend->ops->read(backend, &list, refuse_second, &calls, &more), JQ_EINTR);
    assert_int_equal(calls, 2);
    fixture_delete(f, 1); /* and nothing of the walk stands in the way of a commit */
    fixture_commit(f);
}

void test_jobs_are_read_in_the_order_asked_for_and_absent_ids_are_left_out(void **state)
{
    struct fixture *f = *state;
    uint64_t ids[] = { 9, 3, 0, 12, 1, UINT64_MAX, 8, 9 };
    const struct jq_read read = { .kind = JQ_READ_JOBS, .ids = ids, .count = 8 };
    const struct jq_read none = { .kind = JQ_READ_JOBS };

    put_many(f);
    assert_string_equal(fixture_read_ids(f, &read), "9 3 1 8 9");
    assert_string_equal(fixture_read_ids(f, &none), "");
}

void test_a_read_brings_only_the_parts_asked_for(void **state)
{
    struct fixture *f = *state;
    struct jq_copy copy;

    const struct plain_op *put = fixture_put(f, 5, JQ_SUCCEEDED);
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

void test_a_key_finds_its_newest_job(void **state)
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
    struct plain_op *set = fixture_op(f, JQ_OP_JOB_SET);
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

void test_a_list_goes_from_the_newest_down(void **state)
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

void test_a_list_keeps_to_its_queue_and_states(void **state)
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

void test_a_list_looks_at_so_many_rows_and_says_how_far_it_came(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = { .kind = JQ_READ_LIST, .limit = 100, .queue = 9, .scan = 4 };

    for (uint64_t id = 1; id <= 10; id++)
        fixture_put(f, id, JQ_SUCCEEDED);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &read), "7 +"); /* the last of those */
    read.before_id = 7;
    assert_string_equal(fixture_read_ids(f, &read), "3 +");
    read.before_id = 3;
    assert_string_equal(fixture_read_ids(f, &read), "");
    read = (struct jq_read){ .kind = JQ_READ_LIST, .limit = 100, .queue = 1, .scan = 3 };
    assert_string_equal(fixture_read_ids(f, &read), "10 8 +");
    read.limit = 1;
    assert_string_equal(fixture_read_ids(f, &read), "10 +");
    read.scan = 20;
    read.limit = 5;
    assert_string_equal(fixture_read_ids(f, &read), "10 8 6 4 2");
}

/* 3, 7 and 8 of ten have ended; 3 and 7 are of queue 2. */
void test_the_oldest_ended_jobs_come_first_and_go_on_after_an_id(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = { .kind = JQ_READ_OLDEST, .limit = 2 };
    struct jq_copy copy;
    bool more;

    put_many(f);
    fixture_put(f, 11, JQ_FAILED);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &read), "3 7 +");
    read.before_id = 3;
    assert_string_equal(fixture_read_ids(f, &read), "7 8 +");
    read.before_id = 7;
    assert_string_equal(fixture_read_ids(f, &read), "8 11");
    read.before_id = 11;
    assert_string_equal(fixture_read_ids(f, &read), "");
    read.before_id = UINT64_MAX;
    assert_string_equal(fixture_read_ids(f, &read), "");
    read = (struct jq_read){ .kind = JQ_READ_OLDEST, .limit = 9, .queue = 2 };
    assert_string_equal(fixture_read_ids(f, &read), "3 7 11");
    read.states = 1u << JQ_FAILED | 1u << JQ_READY;
    assert_string_equal(fixture_read_ids(f, &read), "11");
    read.parts = JQ_READ_RESULT;
    assert_int_equal(fixture_try_read(f, &read, &copy, &more), JQ_OK);
    assert_int_equal(copy.jobs[0].result.kept_bytes, UINT64_MAX - 11);
    jq_copy_fini(&copy);
}

void test_a_list_of_failed_jobs_alone_has_all_of_them(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = { .kind = JQ_READ_LIST, .limit = 3, .states = 1u << JQ_FAILED };

    for (uint64_t id = 1; id <= 12; id++)
        fixture_put(f, id, id % 2 ? JQ_SUCCEEDED : JQ_FAILED);
    fixture_commit(f);
    struct plain_op *set = fixture_op(f, JQ_OP_JOB_SET); /* the index follows */
    set->u.job = (struct jq_job_record){ .id = 8, .state = JQ_CANCELLED };
    set = fixture_op(f, JQ_OP_JOB_SET);
    set->u.job = (struct jq_job_record){ .id = 6, .state = JQ_READY };
    set = fixture_op(f, JQ_OP_JOB_SET);
    set->u.job = (struct jq_job_record){ .id = 9, .state = JQ_FAILED };
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &read), "12 10 9 +");
    read.before_id = 9;
    assert_string_equal(fixture_read_ids(f, &read), "4 2");
    read.before_id = 0;
    read.queue = 2;
    assert_string_equal(fixture_read_ids(f, &read), "9");
}

void test_a_list_keeps_to_a_time_of_submission(void **state)
{
    struct fixture *f = *state;
    struct jq_read read = { .kind = JQ_READ_LIST, .limit = 100 };

    for (uint64_t id = 1; id <= 9; id++)
        fixture_put(f, id, id % 2 ? JQ_READY : JQ_FAILED)->u.job.created_at = (jq_ns)id * 10;
    fixture_commit(f);
    read.created_after = 40;
    assert_string_equal(fixture_read_ids(f, &read), "9 8 7 6 5 4");
    read.created_before = 60;
    assert_string_equal(fixture_read_ids(f, &read), "5 4");
    read.created_after = 0;
    assert_string_equal(fixture_read_ids(f, &read), "5 4 3 2 1");
    read.limit = 2;
    assert_string_equal(fixture_read_ids(f, &read), "5 4 +");
    read.limit = 3;
    read.states = 1u << JQ_FAILED;
    assert_string_equal(fixture_read_ids(f, &read), "4 2");
}

void test_a_list_keeps_to_the_bytes_of_a_label(void **state)
{
    struct fixture *f = *state;
    static const char options[] = "a\0b\xff\0c";
    char label[] = "\xff\0c", near[] = "\xff\0d";
    struct jq_read read = { .kind = JQ_READ_LIST, .limit = 100, .label = label, .label_size = 3 };

    for (uint64_t id = 1; id <= 6; id++) {
        fixture_put(f, id, id % 2 ? JQ_READY : JQ_FAILED)->u.job.options =
            id == 6 ? jq_view(NULL, 0) : jq_view(options, id % 5 ? sizeof(options) - 1 : 5);
    }
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &read), "4 3 2 1");
    read.limit = 2;
    assert_string_equal(fixture_read_ids(f, &read), "4 3 +");
    read.states = 1u << JQ_FAILED;
    assert_string_equal(fixture_read_ids(f, &read), "4 2");
    read.label = near;
    assert_string_equal(fixture_read_ids(f, &read), "");
    read.label_size = 0;
    assert_string_equal(fixture_read_ids(f, &read), "6 4 +");
}
