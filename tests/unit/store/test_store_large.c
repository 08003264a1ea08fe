/* SPDX-License-Identifier: MIT
 *
 * test_store_large.c - payloads and outputs with tables of their own: they follow their job through
 * its life, nothing of them stays when it goes, and damage to them is noticed. */
#include "tests/contract/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

enum { LARGE = 20000, SMALL = 1024 };

static const struct variant direct = { "sqlite", &jq_store_sqlite, false };

static uint8_t bytes[LARGE];

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    fixture_open(f, &direct);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_remove(*state);
    free(*state);
    return 0;
}

static void sql(struct fixture *f, const char *text)
{
    sqlite3 *db = NULL;

    fixture_close(f);
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_changes(db), 1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    fixture_reopen(f);
}

/* "payloads outputs", as rows of their own. */
static void assert_apart(struct fixture *f, int payloads, int outputs)
{
    static const char text[] =
        "SELECT (SELECT count(*) FROM job_payload), (SELECT count(*) FROM job_output)";
    sqlite3_stmt *statement;
    sqlite3 *db = NULL;

    fixture_close(f);
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(statement, 0), payloads);
    assert_int_equal(sqlite3_column_int(statement, 1), outputs);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    fixture_reopen(f);
}

static void put(struct fixture *f, uint64_t id, enum jq_job_state state, size_t payload,
                size_t output)
{
    struct plain_op *op = fixture_put(f, id, state);

    op->u.job.payload = jq_view(bytes, payload);
    if (op->has_result)
        *op->result = (struct jq_result_record){ .stderr_tail = jq_view(bytes, output) };
}

static void set(struct fixture *f, uint64_t id, enum jq_job_state state)
{
    fixture_op(f, JQ_OP_JOB_SET)->u.job = (struct jq_job_record){ .id = id, .state = state };
    fixture_commit(f);
}

static void end(struct fixture *f, uint64_t id, size_t output)
{
    struct plain_op *op = fixture_op(f, JQ_OP_JOB_SET);

    op->u.job = (struct jq_job_record){ .id = id, .state = JQ_FAILED };
    *fixture_result(op, id) = (struct jq_result_record){ .stderr_tail = jq_view(bytes, output) };
    fixture_commit(f);
}

static void assert_is(struct fixture *f, uint64_t id, size_t payload, size_t output)
{
    struct jq_copy copy;

    fixture_read_one(f, id, ALL_PARTS, &copy);
    assert_false(copy.jobs[0].job.damaged);
    assert_view(copy.jobs[0].job.payload, jq_view(bytes, payload));
    assert_view(copy.jobs[0].result.stderr_tail, jq_view(bytes, output));
    jq_copy_fini(&copy);
}

static void test_a_large_payload_stays_with_its_job_through_its_life(void **state)
{
    struct fixture *f = *state;

    put(f, 1, JQ_READY, LARGE, 0);
    put(f, 2, JQ_READY, SMALL, 0);
    put(f, 3, JQ_READY, SMALL + 1, 0);
    fixture_commit(f);
    assert_apart(f, 2, 0);
    set(f, 1, JQ_RUNNING);
    assert_is(f, 1, LARGE, 0);
    end(f, 1, LARGE);
    assert_is(f, 1, LARGE, LARGE);
    set(f, 1, JQ_CANCELLED); /* keeps its result */
    assert_is(f, 1, LARGE, LARGE);
    assert_apart(f, 2, 1);
    set(f, 1, JQ_READY);
    assert_is(f, 1, LARGE, 0);
    assert_apart(f, 2, 0);
    end(f, 1, LARGE);
    end(f, 1, SMALL); /* another result */
    assert_is(f, 1, LARGE, SMALL);
    assert_apart(f, 2, 0);
    end(f, 1, SMALL + 1);
    assert_is(f, 1, LARGE, SMALL + 1);
    assert_is(f, 2, SMALL, 0);
    assert_is(f, 3, SMALL + 1, 0);
}

static void test_what_is_large_goes_with_its_job(void **state)
{
    struct fixture *f = *state;

    for (uint64_t id = 1; id <= 9; id++)
        put(f, id, id % 2 ? JQ_FAILED : JQ_READY, LARGE, LARGE);
    fixture_commit(f);
    assert_apart(f, 9, 5);
    put(f, 1, JQ_READY, SMALL, 0); /* in the place of another */
    fixture_delete(f, 9);
    for (uint64_t id = 3; id <= 5; id++)
        fixture_delete(f, id);
    fixture_commit(f);
    assert_apart(f, 4, 1);
    assert_is(f, 1, SMALL, 0);
    assert_is(f, 6, LARGE, 0);
    assert_is(f, 7, LARGE, LARGE);
    put(f, 1, JQ_FAILED, LARGE, LARGE);
    put(f, 7, JQ_READY, 0, 0);
    fixture_commit(f);
    assert_apart(f, 4, 1);
    assert_is(f, 7, 0, 0);
}

/* Queue 2 has the odd ids. */
static void test_what_is_large_goes_with_its_queue(void **state)
{
    struct fixture *f = *state;

    for (uint64_t id = 1; id <= 9; id++)
        put(f, id, JQ_FAILED, LARGE, LARGE);
    fixture_commit(f);
    fixture_op(f, JQ_OP_QUEUE_DELETE)->u.queue.id = 2;
    fixture_commit(f);
    assert_apart(f, 4, 4);
    assert_is(f, 8, LARGE, LARGE);
}

static bool is_damaged(struct fixture *f, uint64_t id, uint32_t parts)
{
    struct jq_copy copy;

    fixture_read_one(f, id, parts, &copy);
    const bool damaged = copy.jobs[0].job.damaged;
    jq_copy_fini(&copy);
    return damaged;
}

static void test_what_is_large_is_covered_by_its_job(void **state)
{
    struct fixture *f = *state;

    for (uint64_t id = 1; id <= 4; id++)
        put(f, id, JQ_FAILED, LARGE, LARGE);
    fixture_commit(f);
    sql(f, "UPDATE job_payload SET bytes = zeroblob(length(bytes)) WHERE job_id = 1");
    sql(f, "DELETE FROM job_payload WHERE job_id = 2");
    sql(f, "UPDATE job_output SET stdout_head = x'00' WHERE job_id = 3");
    sql(f, "DELETE FROM job_output WHERE job_id = 4");
    for (uint64_t id = 1; id <= 4; id++) {
        assert_int_equal(is_damaged(f, id, JQ_READ_PAYLOAD), id <= 2);
        assert_int_equal(is_damaged(f, id, JQ_READ_OUTPUT), id > 2);
        assert_false(is_damaged(f, id, JQ_READ_RESULT | JQ_READ_VALUE));
    }
}

/* It is no state that a list could be asked for: the job is in the list of all. */
static void test_a_state_that_cannot_be_is_listed_as_damage(void **state)
{
    struct fixture *f = *state;
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 9 };
    const struct jq_read oldest = { .kind = JQ_READ_OLDEST, .limit = 9 };

    put(f, 1, JQ_READY, 1, 0);
    put(f, 2, JQ_FAILED, 1, 0);
    fixture_commit(f);
    sql(f, "UPDATE job SET state = 10");
    sql(f, "UPDATE ended SET state = -1");
    assert_string_equal(fixture_read_ids(f, &list), "2 1");
    assert_string_equal(fixture_read_ids(f, &oldest), "2");
    assert_true(is_damaged(f, 1, 0));
    assert_true(is_damaged(f, 2, 0));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_large_payload_stays_with_its_job_through_its_life),
        CASE(test_what_is_large_goes_with_its_job),
        CASE(test_what_is_large_goes_with_its_queue),
        CASE(test_what_is_large_is_covered_by_its_job),
        CASE(test_a_state_that_cannot_be_is_listed_as_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
