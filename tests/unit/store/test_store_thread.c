/* SPDX-License-Identifier: MIT
 *
 * test_store_thread.c - the store thread: order, failure, and how the loop learns of both. */
#include "tests/contract/fault_backend.h"
#include "tests/contract/store_fixture.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/alloc.h"

struct world {
    struct fault_backend *fault;
    struct jq_store *store;
    struct jq_store_op ops[8];
    struct {
        struct jq_job_fixed head;
        uint8_t bytes[8];
    } fixed[8]; /* of them */
    struct jq_batch batches[8];
    uint32_t batch_count;
};

static void open_world(struct world *w, const struct fault_plan *plan)
{
    const struct jq_store_conf conf = { .path = "memory:" };
    struct jq_backend *memory;
    struct jq_detail detail;

    memset(w, 0, sizeof(*w));
    assert_int_equal(jq_store_memory.open(&conf, &memory, &detail), JQ_OK);
    w->fault = fault_backend_new(memory, plan);
    assert_non_null(w->fault);
    assert_int_equal(jq_store_new(&w->fault->backend, &w->store), JQ_OK);
    assert_int_equal(jq_store_start(w->store), JQ_OK);
}

/* Puts job N in batch N. */
static struct jq_batch *commit_next(struct world *w)
{
    struct jq_batch *batch = &w->batches[w->batch_count];
    struct jq_job_fixed *fixed = &w->fixed[w->batch_count].head;
    struct jq_store_op *op = &w->ops[w->batch_count++];

    op->kind = JQ_OP_JOB_PUT;
    op->u.job =
        (struct jq_op_job){ .id = w->batch_count, .queue = 1, .state = JQ_READY, .fixed = fixed };
    *batch = (struct jq_batch){ .number = w->batch_count,
                                .meta.commit_sequence = w->batch_count,
                                .ops = op,
                                .count = 1,
                                .live = 1 };
    assert_int_equal(jq_store_commit(w->store, batch), JQ_OK);
    return batch;
}

static void read_all(struct world *w, uint64_t token)
{
    const struct jq_read list = { .kind = JQ_READ_LIST, .token = token, .limit = 100 };
    assert_int_equal(jq_store_read(w->store, &list), JQ_OK);
}

static bool is_readable(const struct jq_store *store)
{
    struct pollfd wait = { .fd = jq_store_fd(store), .events = POLLIN };
    return poll(&wait, 1, 0) == 1;
}

static void wait_readable(const struct jq_store *store)
{
    struct pollfd wait = { .fd = jq_store_fd(store), .events = POLLIN };
    assert_int_equal(poll(&wait, 1, 30000), 1);
}

static struct jq_store_done next_done(struct world *w)
{
    struct jq_store_done done;

    while (!jq_store_take_done(w->store, &done))
        wait_readable(w->store);
    return done;
}

static void test_completions_come_in_the_order_of_the_requests(void **state)
{
    (void)state;
    struct world w;

    open_world(&w, &(struct fault_plan){ 0 });
    fault_backend_hold(w.fault);
    commit_next(&w);
    read_all(&w, 71);
    commit_next(&w);
    commit_next(&w);
    read_all(&w, 73);
    fault_backend_release(w.fault);
    for (size_t i = 0; i < 5; i++) {
        struct jq_store_done done = next_done(&w);
        assert_int_equal(done.err, JQ_OK);
        const bool is_read = i == 1 || i == 4;
        assert_int_equal(done.kind, is_read ? JQ_STORE_READ : JQ_STORE_COMMITTED);
        /* A read sees every batch handed over before it, and none after. */
        if (is_read) {
            assert_int_equal(done.token, i == 1 ? 71 : 73);
            assert_int_equal(done.count, i == 1 ? 1 : 3);
        } else {
            assert_ptr_equal(done.batch, &w.batches[i == 0 ? 0 : i - 1]);
        }
        jq_store_done_fini(&done);
    }
    jq_store_close(&w.store);
}

static void test_the_store_is_idle_only_when_no_commit_is_under_way(void **state)
{
    (void)state;
    struct world w;

    open_world(&w, &(struct fault_plan){ 0 });
    assert_true(jq_store_idle(w.store));
    fault_backend_hold(w.fault);
    read_all(&w, 1);
    assert_true(jq_store_idle(w.store)); /* a read does not count */
    commit_next(&w);
    assert_false(jq_store_idle(w.store));
    fault_backend_wait_held(w.fault);
    assert_false(jq_store_idle(w.store));
    fault_backend_release(w.fault);
    struct jq_store_done done = next_done(&w);
    jq_store_done_fini(&done);
    done = next_done(&w);
    assert_int_equal(done.kind, JQ_STORE_COMMITTED);
    assert_true(jq_store_idle(w.store));
    jq_store_close(&w.store);
}

static void test_the_descriptor_is_readable_while_completions_wait(void **state)
{
    (void)state;
    struct world w;

    open_world(&w, &(struct fault_plan){ 0 });
    assert_false(is_readable(w.store));
    commit_next(&w);
    commit_next(&w);
    commit_next(&w);
    while (!jq_store_idle(w.store))
        wait_readable(w.store);
    /* All three may have been taken over at once: it must not look empty after the first. */
    for (int i = 0; i < 3; i++) {
        struct jq_store_done done;
        wait_readable(w.store);
        assert_true(jq_store_take_done(w.store, &done));
    }
    /* The thread signals after it has queued: wait until it can have no more to say. */
    jq_store_stop(w.store);
    struct jq_store_done none;
    assert_false(jq_store_take_done(w.store, &none));
    assert_false(is_readable(w.store));
    jq_store_close(&w.store);
}

static void test_after_a_failed_commit_nothing_is_done_any_more(void **state)
{
    (void)state;
    struct world w;

    open_world(&w, &(struct fault_plan){ .commit_at = 2, .commit_err = JQ_EIO });
    fault_backend_hold(w.fault);
    commit_next(&w);
    commit_next(&w);
    commit_next(&w);
    read_all(&w, 9);
    fault_backend_release(w.fault);
    struct jq_store_done done = next_done(&w);
    assert_int_equal(done.err, JQ_OK);
    for (int i = 0; i < 3; i++) {
        done = next_done(&w);
        assert_int_equal(done.err, JQ_EIO);
        assert_string_equal(done.detail.text, "commit 2 was made to fail");
        assert_int_equal(done.count, 0);
        jq_store_done_fini(&done);
    }
    jq_store_stop(w.store);
    assert_int_equal(w.fault->commits, 2);
    assert_int_equal(w.fault->reads, 0);
    jq_store_close(&w.store);
}

static void test_a_failed_read_fails_alone(void **state)
{
    (void)state;
    struct world w;

    open_world(&w, &(struct fault_plan){ .read_at = 1, .read_err = JQ_EIO });
    read_all(&w, 1);
    commit_next(&w);
    read_all(&w, 2);
    struct jq_store_done done = next_done(&w);
    assert_int_equal(done.err, JQ_EIO);
    assert_true(done.detail.text[0] != '\0');
    jq_store_done_fini(&done);
    done = next_done(&w);
    assert_int_equal(done.err, JQ_OK);
    done = next_done(&w);
    assert_int_equal(done.err, JQ_OK);
    assert_int_equal(done.count, 1);
    jq_store_done_fini(&done);
    jq_store_close(&w.store);
}

/* A store that cannot write back its log must not go on promising. */
static void test_a_failed_rest_fails_what_comes_after_it(void **state)
{
    (void)state;
    struct world w;

    open_world(&w, &(struct fault_plan){ .rest_at = 1, .rest_err = JQ_EIO });
    fault_backend_hold(w.fault);
    commit_next(&w);
    commit_next(&w);
    fault_backend_release(w.fault);
    struct jq_store_done done = next_done(&w);
    assert_int_equal(done.err, JQ_OK);
    done = next_done(&w);
    assert_int_equal(done.err, JQ_EIO);
    assert_string_equal(done.detail.text, "rest 1 was made to fail");
    jq_store_close(&w.store);
}

static void test_stopping_finishes_what_was_handed_over(void **state)
{
    (void)state;
    struct world w;
    struct jq_store_done done;

    open_world(&w, &(struct fault_plan){ 0 });
    for (int i = 0; i < 5; i++)
        commit_next(&w);
    read_all(&w, 1);
    jq_store_stop(w.store);
    jq_store_stop(w.store); /* twice is once */
    for (int i = 0; i < 6; i++) {
        assert_true(jq_store_take_done(w.store, &done));
        assert_int_equal(done.err, JQ_OK);
        jq_store_done_fini(&done);
    }
    assert_false(jq_store_take_done(w.store, &done));
    jq_store_close(&w.store);
}

static void test_closing_with_completions_not_taken_frees_them(void **state)
{
    (void)state;
    struct world w;

    open_world(&w, &(struct fault_plan){ 0 });
    commit_next(&w);
    for (uint64_t i = 0; i < 20; i++)
        read_all(&w, i);
    jq_store_close(&w.store);
    assert_null(w.store);
    jq_store_close(&w.store);
}

static void test_completions_say_that_space_is_low(void **state)
{
    (void)state;
    struct world w;

    open_world(&w, &(struct fault_plan){ 0 });
    commit_next(&w);
    struct jq_store_done done = next_done(&w);
    assert_false(done.space_low);
    fault_backend_set_space_low(w.fault, true);
    commit_next(&w);
    done = next_done(&w);
    assert_true(done.space_low);
    assert_true(jq_store_space_low(w.store));
    read_all(&w, 1);
    done = next_done(&w);
    assert_true(done.space_low);
    jq_store_done_fini(&done);
    jq_store_close(&w.store);
}

/* While submits are refused nobody commits: the store must look again by itself. */
static void test_space_that_comes_back_is_noticed_without_a_commit(void **state)
{
    (void)state;
    struct world w;
    struct jq_store_done none;

    open_world(&w, &(struct fault_plan){ 0 });
    fault_backend_set_space_low(w.fault, true);
    commit_next(&w);
    struct jq_store_done done = next_done(&w);
    assert_true(done.space_low);
    fault_backend_set_space_low(w.fault, false);
    while (jq_store_space_low(w.store)) {
        wait_readable(w.store);
        assert_false(jq_store_take_done(w.store, &none));
    }
    jq_store_close(&w.store);
}

static void test_a_read_copies_what_it_needs(void **state)
{
    (void)state;
    struct world w;
    uint64_t ids[] = { 2, 1 };
    char key[] = "k";
    const struct jq_read read = {
        .kind = JQ_READ_JOBS, .token = 5, .ids = ids, .count = 2, .key = key
    };

    open_world(&w, &(struct fault_plan){ 0 });
    commit_next(&w);
    commit_next(&w);
    fault_backend_hold(w.fault);
    assert_int_equal(jq_store_read(w.store, &read), JQ_OK);
    ids[0] = ids[1] = 99;
    fault_backend_release(w.fault);
    for (int i = 0; i < 2; i++)
        next_done(&w);
    struct jq_store_done done = next_done(&w);
    assert_int_equal(done.count, 2);
    assert_int_equal(done.jobs[0].job.id, 2);
    assert_int_equal(done.jobs[1].job.id, 1);
    jq_store_done_fini(&done);
    jq_store_close(&w.store);
}

static void test_a_read_copies_its_label(void **state)
{
    (void)state;
    struct world w;
    char label[] = "x\0y";
    const struct jq_read read = {
        .kind = JQ_READ_LIST, .limit = 9, .label = label, .label_size = 3
    };

    open_world(&w, &(struct fault_plan){ 0 });
    fault_backend_hold(w.fault);
    commit_next(&w);
    memcpy(w.fixed[0].bytes, "ax\0yb", 5);
    w.fixed[0].head.options_size = 5;
    assert_int_equal(jq_store_read(w.store, &read), JQ_OK);
    memset(label, 'z', sizeof(label));
    fault_backend_release(w.fault);
    next_done(&w);
    struct jq_store_done done = next_done(&w);
    assert_int_equal(done.count, 1);
    assert_view(done.jobs[0].job.options, jq_view("ax\0yb", 5));
    jq_store_done_fini(&done);
    jq_store_close(&w.store);
}

static void test_a_request_without_memory_is_not_taken(void **state)
{
    (void)state;
    struct world w;
    struct jq_batch batch = { .number = 1, .meta.commit_sequence = 1 };
    uint64_t id = 1;
    char key[] = "k", label[] = "l";
    const struct jq_read read = {
        .kind = JQ_READ_JOBS, .ids = &id, .count = 1, .key = key, .label = label, .label_size = 1
    };

    open_world(&w, &(struct fault_plan){ 0 });
    jq_alloc_fail_after(0, 1);
    const enum jq_err commit_err = jq_store_commit(w.store, &batch);
    jq_alloc_fail_after(-1, 0);
    assert_int_equal(commit_err, JQ_ENOMEM);
    /* The request, its ids; then, as the request was kept, the key and the label. */
    static const int64_t nth[] = { 0, 1, 1, 2 };
    for (size_t i = 0; i < sizeof(nth) / sizeof(nth[0]); i++) {
        jq_alloc_fail_after(nth[i], 1);
        const enum jq_err read_err = jq_store_read(w.store, &read);
        jq_alloc_fail_after(-1, 0);
        assert_int_equal(read_err, JQ_ENOMEM);
    }
    assert_true(jq_store_idle(w.store));
    commit_next(&w);
    assert_int_equal(next_done(&w).err, JQ_OK);
    jq_store_close(&w.store);
}

static void test_reading_too_much_at_once_is_refused(void **state)
{
    (void)state;
    static const uint8_t zeros[1 << 20];
    const struct jq_loaded_job job = {
        .job = { .id = 1, .payload = { zeros, sizeof(zeros) }, .title = { zeros, 10 } }
    };
    struct jq_copy copy = { 0 };
    enum jq_err err = JQ_OK;
    size_t taken = 0;

    for (; err == JQ_OK; taken++)
        err = jq_copy_add(&copy, &job);
    assert_int_equal(err, JQ_EMSGSIZE);
    assert_true(copy.bytes <= JQ_STORE_READ_BYTES_MAX);
    jq_copy_fini(&copy);
}

static void test_jobs_too_large_for_one_answer_come_as_the_first_of_them(void **state)
{
    (void)state;
    enum { JOBS = 6, PAYLOAD = 15 << 20 };
    struct jq_job_fixed *fixed = calloc(1, sizeof(*fixed) + PAYLOAD);
    uint64_t ids[JOBS];
    struct world w;
    struct jq_read read = {
        .kind = JQ_READ_JOBS, .parts = JQ_READ_PAYLOAD, .token = 5, .ids = ids, .count = JOBS
    };

    assert_non_null(fixed);
    fixed->payload_size = PAYLOAD;
    open_world(&w, &(struct fault_plan){ 0 });
    for (uint64_t i = 0; i < JOBS; i++) {
        ids[i] = i + 1;
        w.ops[i].u.job.fixed = fixed;
        w.ops[i].kind = JQ_OP_JOB_PUT;
        w.ops[i].u.job.id = i + 1;
        w.ops[i].u.job.queue = 1;
        w.ops[i].u.job.state = JQ_READY;
    }
    struct jq_batch batch = {
        .number = 1, .meta.commit_sequence = 1, .ops = w.ops, .count = JOBS, .live = JOBS
    };
    assert_int_equal(jq_store_commit(w.store, &batch), JQ_OK);
    next_done(&w);
    for (uint32_t seen = 0; seen < JOBS;) {
        read.ids = ids + seen;
        read.count = JOBS - seen;
        assert_int_equal(jq_store_read(w.store, &read), JQ_OK);
        struct jq_store_done done = next_done(&w);
        assert_int_equal(done.err, JQ_OK);
        assert_in_range(done.count, 1, 4);
        assert_int_equal(done.jobs[0].job.id, seen + 1);
        seen += (uint32_t)done.count;
        assert_int_equal(done.more, seen < JOBS);
        jq_store_done_fini(&done);
    }
    jq_store_close(&w.store);
    free(fixed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_too_large_for_one_answer_come_as_the_first_of_them),
        cmocka_unit_test(test_completions_come_in_the_order_of_the_requests),
        cmocka_unit_test(test_the_store_is_idle_only_when_no_commit_is_under_way),
        cmocka_unit_test(test_the_descriptor_is_readable_while_completions_wait),
        cmocka_unit_test(test_after_a_failed_commit_nothing_is_done_any_more),
        cmocka_unit_test(test_a_failed_read_fails_alone),
        cmocka_unit_test(test_a_failed_rest_fails_what_comes_after_it),
        cmocka_unit_test(test_stopping_finishes_what_was_handed_over),
        cmocka_unit_test(test_closing_with_completions_not_taken_frees_them),
        cmocka_unit_test(test_completions_say_that_space_is_low),
        cmocka_unit_test(test_space_that_comes_back_is_noticed_without_a_commit),
        cmocka_unit_test(test_a_read_copies_what_it_needs),
        cmocka_unit_test(test_a_read_copies_its_label),
        cmocka_unit_test(test_a_request_without_memory_is_not_taken),
        cmocka_unit_test(test_reading_too_much_at_once_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
