/* SPDX-License-Identifier: MIT
 *
 * test_core_retention.c - what is kept of jobs that have ended: counted exactly, deleted by age,
 * number and bytes, the oldest first, a slice at a time. */
#include "proto/base/alloc.h"
#include "tests/unit/core/life_claims.h"

static const char queue_name[] = "default";

static struct jq_core_conf *conf(struct driver *d)
{
    return &d->core->conf;
}

/* So many that are cancelled, or with a worker fail or succeed. Returns the first id. */
static uint64_t ended(struct driver *d, uint64_t client, uint64_t worker, uint32_t count,
                      int64_t code)
{
    uint64_t first = 0;

    for (uint32_t i = 0; i < count; i++) {
        const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
        first = first ? first : id;
        if (worker)
            claim_run(d, worker, id, code);
        else
            claim_cancel(d, client, id);
    }
    return first;
}

static void sweep(struct driver *d, uint64_t client)
{
    const struct jq_msg ping = { .tag = JQ_MSG_PING };

    driver_apply(d, client, &ping);
    driver_tick(d, conf(d)->sweep_ms);
    driver_commit(d);
}

/* Counted by reading all of it. */
struct rows {
    uint64_t count, bytes;
};

static enum jq_err count_row(void *arg, const struct jq_loaded_job *row)
{
    struct rows *rows = arg;

    rows->count++;
    rows->bytes += row->result.kept_bytes;
    return JQ_OK;
}

static void counters_are_exact(struct driver *d)
{
    const struct jq_read read = { .kind = JQ_READ_OLDEST,
                                  .parts = JQ_READ_RESULT,
                                  .limit = UINT32_MAX };
    struct rows rows = { 0 };
    bool more;

    assert_int_equal(d->backend->ops->read(d->backend, &read, count_row, &rows, &more), JQ_OK);
    assert_int_equal(claim_queue(d, queue_name)->kept, rows.count);
    assert_int_equal(claim_queue(d, queue_name)->kept_bytes, rows.bytes);
}

static void the_bytes_of_a_job_are_counted_with_its_end(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 4);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .key = "key" });
    driver_commit(d);
    claim_run(d, worker, claim_submitted_ack(d, client).id, 0);
    /* noop, payload, a job, key; its output hello. */
    assert_int_equal(claim_queue(d, queue_name)->kept_bytes, JQ_KEPT_ROW_BYTES + 4 + 7 + 5 + 3 + 5);
    ended(d, client, worker, 3, 1);
    ended(d, client, 0, 2, 0);
    counters_are_exact(d);
    assert_int_equal(claim_queue(d, queue_name)->kept, 6);
    driver_crash(d);
    assert_int_equal(claim_queue(d, queue_name)->kept, 6);
    counters_are_exact(d);
}

static void a_discarded_job_is_not_counted(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 9);

    driver_submit(d, client, (struct driver_submit){ .number = 1, .job_flags = JQ_JOB_DISCARD });
    driver_commit(d);
    claim_run(d, worker, claim_submitted_ack(d, client).id, 0);
    counters_are_exact(d);
    assert_int_equal(claim_queue(d, queue_name)->kept, 0);
}

static void old_ones_go_and_failed_ones_later(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 99);
    conf(d)->keep_ms = 60000;
    conf(d)->keep_failed_ms = 120000;
    const uint64_t good = ended(d, client, worker, 3, 0);
    const uint64_t bad = ended(d, client, worker, 3, 1);

    for (int i = 0; i < 5; i++)
        sweep(d, client);
    assert_int_equal(claim_queue(d, queue_name)->kept, 6);
    sweep(d, client);
    assert_int_equal(claim_queue(d, queue_name)->kept, 3);
    assert_int_equal(claim_info_error(d, client, good), JQ_EGONE);
    assert_int_equal(claim_info_error(d, client, bad), JQ_OK);
    counters_are_exact(d);
    for (int i = 0; i < 6; i++)
        sweep(d, client);
    assert_int_equal(claim_queue(d, queue_name)->kept, 0);
    assert_int_equal(claim_info_error(d, client, bad), JQ_EGONE);
    counters_are_exact(d);
}

static void the_queue_says_it_if_it_does(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    ended(d, client, 0, 3, 0);
    jq_queue_find(d->core, jq_view_str(queue_name))->keep_ms = 5000;

    sweep(d, client);
    assert_int_equal(claim_queue(d, queue_name)->kept, 0);
}

static void at_most_so_many_are_kept_the_newest(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    conf(d)->keep_count = 10;
    conf(d)->sweep_rows = 4;
    const uint64_t first = ended(d, client, 0, 30, 0);

    sweep(d, client);
    assert_int_equal(claim_queue(d, queue_name)->kept, 10);
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(claim_info_error(d, client, first + i), i < 20 ? JQ_EGONE : JQ_OK);
    counters_are_exact(d);
}

static void at_most_so_many_bytes_are_kept(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    ended(d, client, 0, 30, 0);
    const uint64_t bytes = claim_queue(d, queue_name)->kept_bytes;
    conf(d)->keep_bytes = bytes / 3;

    sweep(d, client);
    assert_true(claim_queue(d, queue_name)->kept_bytes <= bytes / 3);
    assert_true(claim_queue(d, queue_name)->kept_bytes > bytes / 3 - bytes / 30 - 1);
    counters_are_exact(d);
}

/* Failed ones at the head must not hide old ones behind them, however few are read at a time. */
static void a_sweep_goes_on_where_the_last_one_stopped(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 99);
    conf(d)->keep_ms = 5000;
    conf(d)->sweep_rows = 4;
    ended(d, client, worker, 10, 1);
    const uint64_t behind = ended(d, client, worker, 5, 0);

    for (int i = 0; i < 5; i++)
        sweep(d, client);
    assert_int_equal(claim_queue(d, queue_name)->kept, 10);
    assert_int_equal(claim_info_error(d, client, behind), JQ_EGONE);
    counters_are_exact(d);
}

static void a_sweep_reads_one_slice_at_a_time(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    conf(d)->keep_count = 1;
    conf(d)->sweep_rows = 8;
    ended(d, client, 0, 100, 0);

    driver_tick(d, conf(d)->sweep_ms);
    assert_int_equal(d->read_count, 1);
    assert_int_equal(d->reads[0].limit, 8);
    driver_tick(d, 10 * conf(d)->sweep_ms); /* nobody answers: nothing more is asked */
    assert_int_equal(d->read_count, 1);
    driver_commit(d);
    assert_int_equal(claim_queue(d, queue_name)->kept, 1);
}

static void an_idle_broker_that_keeps_nothing_is_not_woken(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };

    conf(d)->keep_count = 1;
    ended(d, client, 0, 3, 0);
    assert_true(jq_core_next_at(d->core) != JQ_NEVER);
    jq_queue_find(d->core, jq_view_str(queue_name))->keep_ms = 1;
    sweep(d, client);
    client = driver_client(d, 1);
    driver_apply(d, client, &bye);
    driver_commit(d);
    assert_int_equal(claim_queue(d, queue_name)->kept, 0);
    assert_true(jq_core_next_at(d->core) == JQ_NEVER);
}

static void a_job_that_was_retried_meanwhile_is_left_alone(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t id = ended(d, client, 0, 1, 0);
    struct jq_buf refs = { 0 };

    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = id });
    const struct jq_msg retry = { .tag = JQ_MSG_RETRY,
                                  .correlation = 5,
                                  .u.retry = { .jobs = jq_records_of(1, &refs) } };
    jq_queue_find(d->core, jq_view_str(queue_name))->keep_ms = 1;
    driver_apply(d, client, &retry);
    driver_tick(d, conf(d)->sweep_ms); /* both are read before either is written */
    assert_int_equal(d->read_count, 2);
    driver_commit(d);
    assert_int_equal(claim_now(d, id), JQ_READY);
    counters_are_exact(d);
    jq_buf_fini(&refs);
}

static void a_crash_during_a_sweep_loses_no_count(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    conf(d)->sweep_rows = 8;
    ended(d, client, 0, 40, 0);
    d->conf.keep_count = 1;
    d->conf.sweep_rows = 8;
    driver_crash(d);

    for (int i = 0; i < 4; i++) {
        driver_tick(d, conf(d)->sweep_ms);
        driver_hand_over(d);
        driver_crash(d);
        counters_are_exact(d);
    }
    driver_tick(d, conf(d)->sweep_ms);
    driver_commit(d);
    counters_are_exact(d);
    assert_int_equal(claim_queue(d, queue_name)->kept, 1);
}

static void memory_that_runs_out_during_a_sweep_leaves_the_rest_for_the_next(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    ended(d, client, 0, 40, 0);
    conf(d)->keep_count = 1;

    for (int64_t fail_in = 0; fail_in < 20; fail_in++) {
        client = driver_client(d, 1);
        jq_alloc_fail_after(fail_in, 0);
        d->now.mono += conf(d)->sweep_ms;
        const enum jq_err err = jq_core_tick(d->core, d->now);
        assert_true(err == JQ_OK || err == JQ_ENOMEM);
        jq_alloc_fail_after(-1, 0);
        driver_collect(d);
        driver_commit(d);
        counters_are_exact(d);
    }
    assert_int_equal(claim_queue(d, queue_name)->kept, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(the_bytes_of_a_job_are_counted_with_its_end),
        CLAIM(a_discarded_job_is_not_counted),
        CLAIM(old_ones_go_and_failed_ones_later),
        CLAIM(the_queue_says_it_if_it_does),
        CLAIM(at_most_so_many_are_kept_the_newest),
        CLAIM(at_most_so_many_bytes_are_kept),
        CLAIM(a_sweep_goes_on_where_the_last_one_stopped),
        CLAIM(a_sweep_reads_one_slice_at_a_time),
        CLAIM(an_idle_broker_that_keeps_nothing_is_not_woken),
        CLAIM(a_job_that_was_retried_meanwhile_is_left_alone),
        CLAIM(a_crash_during_a_sweep_loses_no_count),
        CLAIM(memory_that_runs_out_during_a_sweep_leaves_the_rest_for_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
