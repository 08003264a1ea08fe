/* SPDX-License-Identifier: MIT
 *
 * test_store_crash.c - kill -9 at any moment: what was said to be durable is there, whole, and
 * nothing is there in part. */
#include "tests/contract/store_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/rng.h"

enum { ROUNDS = 24, PER_BATCH = 50 };

static const struct variant direct = { "sqlite", &jq_store_sqlite, false };

/* Of those that are not among the spilled from the start, some go there with the next batch. */
static bool is_put_spilled(uint64_t place)
{
    return place % 4 == 1;
}

static bool goes_later(uint64_t place)
{
    return place % 4 == 2 || place % 8 == 3;
}

/* Batch N puts jobs N*PER_BATCH+1 ..., spills some of batch N-1, and deletes those of batch N-3
 * that are odd; so what must be there follows from the number of the last batch. */
static void fill_batch(struct fixture *f, uint64_t number)
{
    for (uint64_t i = 1; i <= PER_BATCH; i++) {
        struct plain_op *put =
            fixture_put(f, number * PER_BATCH + i, i % 4 == 0 ? JQ_SUCCEEDED : JQ_READY);
        put->u.job.spilled = is_put_spilled(i);
    }
    for (uint64_t i = 1; number > 1 && i <= PER_BATCH; i++)
        if (goes_later(i))
            fixture_op(f, JQ_OP_JOB_SPILL)->u.job = (struct jq_job_record){
                .id = (number - 1) * PER_BATCH + i,
                .queue = 1 + (uint32_t)(((number - 1) * PER_BATCH + i) % 2), /* the fixture's */
            };
    for (uint64_t i = 1; number > 3 && i <= PER_BATCH; i += 2) {
        fixture_delete(f, (number - 3) * PER_BATCH + i);
        f->ops[f->count - 1].from_spilled = is_put_spilled(i) || goes_later(i);
    }
}

static void commit_until_killed(struct fixture *f, int report)
{
    struct jq_detail detail = { .text = "" };

    for (;;) {
        const uint64_t number = f->meta.commit_sequence + 1;
        fill_batch(f, number);
        if (number % 16 == 0) /* checkpoints are killed too */
            f->backend->ops->rest(f->backend, true, &detail);
        if (fixture_try_commit(f, &detail) != JQ_OK ||
            write(report, &number, sizeof(number)) != sizeof(number))
            _exit(1);
    }
}

static bool expected(uint64_t last, uint64_t id)
{
    const uint64_t batch = (id - 1) / PER_BATCH, place = (id - 1) % PER_BATCH + 1;
    return batch >= 1 && batch <= last && !(batch + 3 <= last && place % 2 == 1);
}

/* One that a batch has put there, or the batch after it. */
static bool expected_spilled(uint64_t last, uint64_t id)
{
    const uint64_t batch = (id - 1) / PER_BATCH, place = (id - 1) % PER_BATCH + 1;
    return is_put_spilled(place) || (goes_later(place) && batch < last);
}

static void check_whole(struct fixture *f, uint64_t reported)
{
    const struct jq_read list = { .kind = JQ_READ_LIST,
                                  .limit = UINT32_MAX,
                                  .parts = JQ_READ_RESULT | JQ_READ_PAYLOAD };
    struct jq_store_meta meta;
    struct jq_copy copy;
    uint64_t id, count = 0;
    bool more;

    assert_int_equal(f->backend->ops->load_meta(f->backend, &meta), JQ_OK);
    const uint64_t last = meta.commit_sequence;
    assert_true(last >= reported);
    assert_int_equal(fixture_try_read(f, &list, &copy, &more), JQ_OK);
    for (id = 1; id <= (last + 2) * PER_BATCH; id++)
        count += expected(last, id);
    assert_int_equal(copy.count, count);
    for (size_t i = 0; i < copy.count; i++) {
        assert_true(expected(last, copy.jobs[i].job.id));
        assert_false(copy.jobs[i].job.damaged);
        assert_int_equal(copy.jobs[i].job.spilled, expected_spilled(last, copy.jobs[i].job.id));
    }
    jq_copy_fini(&copy);
    f->meta = meta;
}

/* Returns the last number that the child has said to be durable. */
static uint64_t run_and_kill(struct fixture *f, uint64_t reports)
{
    uint64_t number = 0, last = f->meta.commit_sequence;
    int report[2], status;

    assert_int_equal(pipe(report), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct jq_detail detail;
        close(report[0]);
        if (fixture_try_reopen(f, &detail) != JQ_OK)
            _exit(2);
        commit_until_killed(f, report[1]);
    }
    close(report[1]);
    for (uint64_t i = 0; i < reports; i++) {
        assert_int_equal(read(report[0], &number, sizeof(number)), sizeof(number));
        last = number;
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(report[0], &number, sizeof(number)) == sizeof(number))
        last = number; /* said before it died */
    close(report[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return last;
}

static void test_every_batch_that_was_said_to_be_durable_survives_kill_9(void **state)
{
    (void)state;
    struct fixture f;
    struct jq_rng rng;

    fixture_open(&f, &direct);
    fixture_close(&f);
    jq_rng_init(&rng, 42);
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t reported = run_and_kill(&f, jq_rng_below(&rng, 25));
        fixture_reopen(&f);
        check_whole(&f, reported);
        fixture_close(&f);
    }
    fixture_remove(&f);
}

/* The new store's first moments: killed at once, it opens again, empty or not. */
static void test_a_store_killed_while_it_is_made_opens_again(void **state)
{
    (void)state;
    struct fixture f;
    struct jq_rng rng;

    jq_rng_init(&rng, 7);
    for (int round = 0; round < 12; round++) {
        int status;

        fixture_open(&f, &direct);
        fixture_close(&f);
        const char *const suffixes[] = { "", ".mark" };
        for (size_t i = 0; i < 2; i++) {
            char path[160];
            fixture_path(&f, suffixes[i], path, sizeof(path));
            assert_int_equal(unlink(path), 0);
        }
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct jq_detail detail;
            _exit(fixture_try_reopen(&f, &detail) == JQ_OK ? 0 : 1);
        }
        /* Not a wait for anything: the kill may fall anywhere, also behind the end. */
        for (volatile uint64_t i = jq_rng_below(&rng, 3000000); i > 0; i--) {
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) != 0);
        fixture_reopen(&f);
        fixture_put(&f, 1, JQ_READY);
        f.meta.commit_sequence = 0;
        fixture_commit(&f);
        fixture_remove(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_batch_that_was_said_to_be_durable_survives_kill_9),
        cmocka_unit_test(test_a_store_killed_while_it_is_made_opens_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
