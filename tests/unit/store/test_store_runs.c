/* SPDX-License-Identifier: MIT
 *
 * test_store_runs.c - operations of one kind are written together, by their ids: what comes out is
 * what they say one after the other. */
#include "proto/base/alloc.h"
#include "tests/contract/store_fixture.h"

#include <stdlib.h>
#include <string.h>

enum { JOBS = 9 };

static const struct variant direct = { "sqlite", &jq_store_sqlite, false };

static struct jq_detail detail;

/* Jobs 1 to 9. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fixture_open(f, &direct);
    for (uint64_t id = 1; id <= JOBS; id++)
        fixture_put(f, id, JQ_READY);
    fixture_commit(f);
    detail.text[0] = '\0';
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_remove(*state);
    free(*state);
    return 0;
}

/* With the result that is made from `from`. */
static struct plain_op *end(struct fixture *f, uint64_t id, enum jq_job_state state, uint64_t from)
{
    struct plain_op *op = fixture_op(f, JQ_OP_JOB_SET);

    op->u.job = (struct jq_job_record){ .id = id, .state = state };
    fixture_result(op, from);
    return op;
}

static struct plain_op *set(struct fixture *f, uint64_t id, enum jq_job_state state)
{
    if (jq_state_is_terminal(state))
        return end(f, id, state, id);
    struct plain_op *op = fixture_op(f, JQ_OP_JOB_SET);
    op->u.job = (struct jq_job_record){ .id = id, .state = state };
    return op;
}

static void spill(struct fixture *f, uint64_t id)
{
    fixture_op(f, JQ_OP_JOB_SPILL)->u.job = (struct jq_job_record){ .id = id, .rank = 1 };
}

static const char *ids_in(struct fixture *f, uint32_t states)
{
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 99, .states = states };

    return fixture_read_ids(f, &list);
}

static void assert_result_is_of(struct fixture *f, uint64_t id, uint64_t from)
{
    struct plain_op op = { 0 };
    struct jq_copy copy;

    const struct jq_result_record *expected = fixture_result(&op, from);
    fixture_read_one(f, id, ALL_PARTS, &copy);
    assert_false(copy.jobs[0].job.damaged);
    assert_result(&copy.jobs[0].result, expected);
    jq_copy_fini(&copy);
    jq_free(op.result);
}

static void test_jobs_end_and_go_in_any_order(void **state)
{
    struct fixture *f = *state;
    static const uint64_t order[] = { 7, 2, 9, 1, 8 };

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        set(f, order[i], JQ_SUCCEEDED);
    fixture_commit(f);
    assert_string_equal(ids_in(f, 1u << JQ_SUCCEEDED), "9 8 7 2 1");
    assert_string_equal(fixture_load_ids(f), "3 4 5 6");
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        assert_result_is_of(f, order[i], order[i]);
    fixture_delete(f, 8);
    fixture_delete(f, 3);
    fixture_delete(f, 2);
    fixture_delete(f, 77);
    fixture_delete(f, 9);
    fixture_commit(f);
    assert_string_equal(ids_in(f, 0), "7 6 5 4 1");
}

static void test_jobs_come_and_are_spilled_in_any_order(void **state)
{
    struct fixture *f = *state;

    spill(f, 5);
    spill(f, 2);
    spill(f, 6);
    fixture_put(f, 12, JQ_READY);
    fixture_put(f, 11, JQ_READY);
    fixture_commit(f);
    assert_string_equal(fixture_load_ids(f), "1 3 4 7 8 9 11 12");
    set(f, 6, JQ_RUNNING)->from_spilled = true;
    set(f, 2, JQ_RUNNING)->from_spilled = true;
    set(f, 5, JQ_FAILED)->from_spilled = true;
    fixture_commit(f);
    assert_string_equal(fixture_load_ids(f), "1 2 3 4 6 7 8 9 11 12");
    assert_result_is_of(f, 5, 5);
}

/* One of them has ended before; the others go with it to their end. */
static void test_a_job_may_end_again_among_others(void **state)
{
    struct fixture *f = *state;

    set(f, 4, JQ_SUCCEEDED);
    fixture_commit(f);
    set(f, 5, JQ_FAILED);
    end(f, 4, JQ_FAILED, 40);
    set(f, 3, JQ_FAILED);
    fixture_commit(f);
    assert_string_equal(ids_in(f, 1u << JQ_FAILED), "5 4 3");
    assert_string_equal(fixture_load_ids(f), "1 2 6 7 8 9");
    assert_result_is_of(f, 3, 3);
    assert_result_is_of(f, 4, 40);
    assert_result_is_of(f, 5, 5);
}

static void test_of_one_job_the_first_comes_first(void **state)
{
    struct fixture *f = *state;

    set(f, 6, JQ_SUCCEEDED);
    set(f, 4, JQ_SUCCEEDED);
    set(f, 5, JQ_SUCCEEDED);
    end(f, 4, JQ_FAILED, 41);
    fixture_commit(f);
    assert_string_equal(ids_in(f, 1u << JQ_SUCCEEDED), "6 5");
    assert_result_is_of(f, 4, 41);
    fixture_delete(f, 4);
    fixture_delete(f, 3);
    fixture_delete(f, 4);
    fixture_commit(f);
    assert_string_equal(ids_in(f, 0), "9 8 7 6 5 2 1");
}

static void assert_refused(struct fixture *f, const char *what)
{
    assert_int_equal(fixture_try_commit(f, &detail), JQ_ECORRUPT);
    if (!strstr(detail.text, what))
        fail_msg("\"%s\" is not in \"%s\"", what, detail.text);
    assert_string_equal(fixture_load_ids(f), "1 2 3 4 5 6 7 8 9");
    assert_string_equal(ids_in(f, 0), "9 8 7 6 5 4 3 2 1");
}

static void test_a_job_that_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;

    set(f, 4, JQ_SUCCEEDED);
    set(f, 50, JQ_SUCCEEDED);
    set(f, 5, JQ_SUCCEEDED);
    assert_refused(f, "job 50 ");
    spill(f, 4);
    spill(f, 51);
    assert_refused(f, "job 51 ");
    set(f, 52, JQ_RUNNING);
    assert_refused(f, "job 52 ");
    set(f, 4, JQ_RUNNING)->from_spilled = true;
    assert_refused(f, "job 4 ");
}

/* Nor do they miss what they are about. */
static void test_what_stands_between_jobs_parts_no_run(void **state)
{
    struct fixture *f = *state;

    for (uint64_t id = 1; id <= JOBS; id++) {
        set(f, id, JQ_FAILED);
        fixture_op(f, JQ_OP_REQUEST_PUT)->u.request =
            (struct jq_request_record){ .session = 9, .number = id, .first_id = id };
    }
    fixture_op(f, JQ_OP_QUEUE_DELETE)->u.queue.id = 2; /* of the odd ones */
    fixture_put(f, 10, JQ_FAILED)->u.job.queue = 3;
    fixture_commit(f);
    assert_string_equal(ids_in(f, 0), "10 8 6 4 2");
}

static void test_ids_are_read_in_the_order_asked_for(void **state)
{
    struct fixture *f = *state;
    uint64_t ids[] = { 7, 8, 9, 10, 2, 2, 4, 5, 6, UINT64_MAX, 1 };
    const struct jq_read read = { .kind = JQ_READ_JOBS,
                                  .ids = ids,
                                  .count = sizeof(ids) / sizeof(ids[0]) };

    spill(f, 5);
    set(f, 4, JQ_FAILED);
    set(f, 8, JQ_FAILED);
    fixture_commit(f);
    assert_string_equal(fixture_read_ids(f, &read), "7 8 9 2 2 4 5 6 1");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_jobs_end_and_go_in_any_order),
        CASE(test_jobs_come_and_are_spilled_in_any_order),
        CASE(test_a_job_may_end_again_among_others),
        CASE(test_of_one_job_the_first_comes_first),
        CASE(test_a_job_that_is_not_there_is_named),
        CASE(test_what_stands_between_jobs_parts_no_run),
        CASE(test_ids_are_read_in_the_order_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
