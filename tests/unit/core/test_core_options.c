/* SPDX-License-Identifier: MIT
 *
 * test_core_options.c - what options are refused, delays, and jobs whose time is over. */
#include "tests/support/plain_op.h"
#include "tests/unit/core/life_claims.h"

/* ---- refusals ---- */

static void refused(struct driver *d, uint64_t client, const char *handler,
                    struct jq_job_options options, const struct claim_lists *lists,
                    const char *field)
{
    char text[JQ_REASON_MAX + 1];

    if (lists)
        claim_lists_into(lists, &options);
    driver_submit(d, client,
                  (struct driver_submit){ .number = 1, .handler = handler, .options = &options });
    assert_int_equal(claim_refused(d, client, text), JQ_EINVAL);
    if (strncmp(text, field, strlen(field)) != 0)
        fail_msg("'%s' does not begin with '%s'", text, field);
}

static void a_refusal_names_the_field(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t large = UINT64_MAX / 2;
    const struct jq_view bad = jq_view_str("no name");

    refused(d, client, NULL, (struct jq_job_options){ .delay_ms = large }, NULL, "delay_ms:");
    refused(d, client, NULL, (struct jq_job_options){ .run_at = -1 }, NULL, "run_at:");
    refused(d, client, NULL, (struct jq_job_options){ .expires_ms = large }, NULL, "expires_ms:");
    refused(d, client, NULL, (struct jq_job_options){ .backoff_ms = large }, NULL, "backoff_ms:");
    refused(d, client, NULL, (struct jq_job_options){ .backoff_max_ms = large }, NULL,
            "backoff_max_ms:");
    refused(d, client, NULL, (struct jq_job_options){ .unique = bad }, NULL, "unique:");
    refused(d, client, NULL, (struct jq_job_options){ .unique_while = 1 }, NULL, "unique_while:");
    refused(d, client, JQ_HANDLER_ITEM, (struct jq_job_options){ .attempts_max = 2 }, NULL,
            "attempts_max");
}

typedef void put_fn(struct claim_lists *lists);

static void bad_limit(struct claim_lists *lists)
{
    claim_limit(lists, "a/b", 1);
}
static void limit_twice(struct claim_lists *lists)
{
    claim_limit(lists, "a", 1);
    claim_limit(lists, "a", 2);
}
static void bad_mutex(struct claim_lists *lists)
{
    claim_mutex(lists, "");
}
static void mutex_twice(struct claim_lists *lists)
{
    claim_mutex(lists, "a");
    claim_mutex(lists, "b");
    claim_mutex(lists, "a");
}
static void bad_need(struct claim_lists *lists)
{
    claim_need(lists, "g p u");
}
static void bad_label(struct claim_lists *lists)
{
    claim_label(lists, "", "value");
}
static void signal_and_code(struct claim_lists *lists)
{
    claim_retry_on(lists, 3, 9);
}
static void neither(struct claim_lists *lists)
{
    claim_no_retry_on(lists, -1, 0);
}

static void a_list_with_something_wrong_is_refused(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const struct {
        put_fn *put;
        const char *field;
    } cases[] = {
        { bad_limit, "limits:" },         { limit_twice, "limits:" },  { bad_mutex, "mutexes:" },
        { mutex_twice, "mutexes:" },      { bad_need, "needs:" },      { bad_label, "labels:" },
        { signal_and_code, "retry_on:" }, { neither, "no_retry_on:" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct claim_lists lists = { 0 };
        cases[i].put(&lists);
        refused(d, client, NULL, (struct jq_job_options){ 0 }, &lists, cases[i].field);
        claim_lists_fini(&lists);
    }
    struct claim_lists needs = { 0 };
    claim_need(&needs, "gpu");
    refused(d, client, JQ_HANDLER_ITEM, (struct jq_job_options){ 0 }, &needs, "needs:");
    claim_lists_fini(&needs);
}

static void options_are_one_record_exactly(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    /* The last has a kind of backoff that there is not. */
    static const char wrong[][8] = { "\x01", "\x90\x90", "\x91",
                                     "\xc1", "\x91\xcf", "\x97\0\0\0\0\0\0\2" };
    static const size_t sizes[] = { 1, 2, 1, 1, 2, 8 };
    char text[JQ_REASON_MAX + 1];

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct jq_buf jobs = { 0 };
        const struct jq_job_spec spec = {
            .handler = jq_view_str("noop"),
            .options = jq_view(wrong[i], sizes[i]),
        };
        jq_job_spec_write(&jobs, &spec);
        const struct jq_msg msg = {
            .tag = JQ_MSG_SUBMIT,
            .correlation = 1,
            .u.submit = { .queue = jq_view_str("q"), .jobs = jq_records_of(1, &jobs) },
        };
        driver_apply(d, client, &msg);
        jq_buf_fini(&jobs);
        assert_int_equal(claim_refused(d, client, text), JQ_EINVAL);
        assert_int_equal(strncmp(text, "options:", 8), 0);
    }
}

static void a_job_without_options_has_no_extra(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);

    driver_submit(d, client, (struct driver_submit){ .number = 1 });
    driver_commit(d);
    const uint64_t id = claim_submitted_id(d, client);
    assert_null(claim_job(d, id)->extra);
}

/* ---- delays ---- */

static void a_delayed_job_is_granted_when_its_time_has_come(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 4);
    const uint64_t id =
        claim_submit(d, client, NULL, (struct jq_job_options){ .delay_ms = 500 }, NULL);

    assert_int_equal(claim_now(d, id), JQ_DELAYED);
    driver_tick(d, 499);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    driver_tick(d, 1);
    claim_run(d, worker, id, 0);
}

/* The monotonic clock is in whole ms: here the delay begins late in one. */
static void a_delay_is_not_shortened_by_a_part_of_a_ms(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 4);

    d->now.wall += 900000;
    const uint64_t id =
        claim_submit(d, client, NULL, (struct jq_job_options){ .delay_ms = 500 }, NULL);
    d->now.wall -= 900000;
    driver_tick(d, 500);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    driver_tick(d, 1);
    claim_run(d, worker, id, 0);
}

static void the_later_of_delay_and_run_at_counts(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const jq_ns now = d->now.wall;
    const uint64_t first =
        claim_submit(d, client, NULL,
                     (struct jq_job_options){ .delay_ms = 500, .run_at = now + 2000000000 }, NULL);
    const uint64_t second = claim_submit(
        d, client, NULL, (struct jq_job_options){ .delay_ms = 500, .run_at = now + 1000000 }, NULL);
    const uint64_t past =
        claim_submit(d, client, NULL, (struct jq_job_options){ .run_at = now - 1000 }, NULL);

    assert_int_equal(jq_job_due_at(claim_job(d, first)), now + 2000000000);
    assert_int_equal(jq_job_due_at(claim_job(d, second)), now + 500000000);
    assert_int_equal(claim_now(d, past), JQ_READY);
    assert_int_equal(jq_job_due_at(claim_job(d, past)), 0);
}

static void a_delay_goes_on_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    const uint64_t id =
        claim_submit(d, client, NULL, (struct jq_job_options){ .delay_ms = 5000 }, NULL);

    driver_tick(d, 3000);
    driver_crash(d);
    const uint64_t worker = driver_worker(d, 2, 4);
    driver_tick(d, 1999);
    assert_int_equal(claim_now(d, id), JQ_DELAYED);
    driver_tick(d, 1);
    claim_run(d, worker, id, 0);

    client = driver_client(d, 1);
    const uint64_t late =
        claim_submit(d, client, NULL, (struct jq_job_options){ .delay_ms = 5000 }, NULL);
    d->now.wall += INT64_C(6000000000); /* while nobody is there */
    driver_crash(d);
    assert_int_equal(claim_now(d, late), JQ_READY);
}

static void a_wall_clock_that_jumps_starts_nothing_early_or_late(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t id = claim_submit(
        d, client, NULL, (struct jq_job_options){ .delay_ms = 500, .expires_ms = 900 }, NULL);

    d->now.wall += INT64_C(3600000000000);
    driver_tick(d, 499);
    assert_int_equal(claim_now(d, id), JQ_DELAYED);
    d->now.wall -= INT64_C(7200000000000);
    driver_tick(d, 1);
    assert_int_equal(claim_now(d, id), JQ_READY);
}

/* ---- expiry ---- */

static void a_job_that_has_not_started_in_time_expires_in_every_state(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const struct jq_job_options soon = { .expires_ms = 1000 };
    const uint64_t parent =
        claim_submit(d, client, NULL, (struct jq_job_options){ .delay_ms = 60000 }, NULL);
    struct claim_lists lists = { 0 };
    claim_after(&lists, parent, JQ_AFTER_ANY);
    const uint64_t blocked = claim_submit(d, client, NULL, soon, &lists);
    const uint64_t ready = claim_submit(d, client, NULL, soon, NULL);
    const uint64_t delayed = claim_submit(
        d, client, NULL, (struct jq_job_options){ .expires_ms = 1000, .delay_ms = 5000 }, NULL);

    assert_int_equal(claim_now(d, blocked), JQ_BLOCKED);
    assert_int_equal(claim_now(d, delayed), JQ_DELAYED);
    driver_tick(d, 999);
    assert_int_equal(claim_now(d, ready), JQ_READY);
    driver_tick(d, 1);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, blocked), JQ_EXPIRED);
    assert_int_equal(claim_state_of(d, client, ready), JQ_EXPIRED);
    assert_int_equal(claim_state_of(d, client, delayed), JQ_EXPIRED);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_EXPIRED], 3);
    claim_lists_fini(&lists);
}

static void a_job_that_has_started_does_not_expire(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1);
    const struct jq_job_options options = { .expires_ms = 100, .attempts_max = 2, .backoff_ms = 1 };
    const uint64_t id = claim_submit(d, client, NULL, options, NULL);

    driver_tick(d, 5000);
    claim_run(d, worker, id, 1);
    driver_credit(d, worker, 2);
    driver_tick(d, 100);
    claim_run(d, worker, id, 0);
    assert_int_equal(claim_state_of(d, client, id), JQ_SUCCEEDED);
}

static void a_job_expires_after_a_restart_but_not_before_its_worker_may_be_back(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    uint64_t worker = driver_worker(d, 2, 0);
    const uint64_t id =
        claim_submit(d, client, NULL, (struct jq_job_options){ .expires_ms = 200 }, NULL);

    driver_credit(d, worker, 1);
    const struct jq_held held = driver_grant(d, worker);
    assert_int_equal(held.id, id);
    d->now.wall += 1000000000; /* that it runs is not durable */
    driver_crash(d);
    assert_int_equal(claim_now(d, id), JQ_READY);
    worker = driver_worker_back(d, 2, &held, 1);
    claim_drop(d, worker, JQ_MSG_WELCOME);
    assert_int_equal(claim_now(d, id), JQ_RUNNING);
    driver_tick(d, 1000);
    assert_int_equal(claim_now(d, id), JQ_RUNNING);

    client = driver_client(d, 1);
    const uint64_t other =
        claim_submit(d, client, NULL, (struct jq_job_options){ .expires_ms = 200 }, NULL);
    d->now.wall += 1000000000;
    driver_crash(d);
    driver_tick(d, d->conf.settle_ms);
    driver_commit(d);
    client = driver_client(d, 1);
    assert_int_equal(claim_state_of(d, client, other), JQ_EXPIRED);
}

static void items_may_be_delayed_and_expire(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const struct jq_job_options options = { .delay_ms = 10, .expires_ms = 100 };

    driver_submit(
        d, client,
        (struct driver_submit){
            .number = 1, .queue = "items", .handler = JQ_HANDLER_ITEM, .options = &options });
    driver_commit(d);
    const uint64_t id = claim_submitted_id(d, client);
    assert_int_equal(claim_now(d, id), JQ_DELAYED);
    driver_tick(d, 10);
    assert_int_equal(claim_now(d, id), JQ_READY);
    driver_tick(d, 90);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, id), JQ_EXPIRED);
}

static void a_delayed_job_can_be_cancelled(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 4);
    const uint64_t id =
        claim_submit(d, client, NULL, (struct jq_job_options){ .delay_ms = 500 }, NULL);

    assert_int_equal(claim_cancel(d, client, id), JQ_OK);
    assert_int_equal(claim_state_of(d, client, id), JQ_CANCELLED);
    driver_tick(d, 1000);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
}

/* Written by somebody else, or damaged in a way that the checksum did not show. */
static void a_stored_job_whose_options_cannot_be_read_is_never_run(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    struct plain_op plain = { .kind = JQ_OP_JOB_PUT };
    struct jq_store_op op;
    struct jq_batch batch = { .ops = &op, .count = 1, .live = 1 };
    char reason[JQ_REASON_MAX + 1];

    jq_job_record(claim_job(d, id), &plain.u.job);
    plain.u.job.options = jq_view_str("\xc1");
    plain_op_pack(&plain, &op);
    assert_int_equal(d->backend->ops->load_meta(d->backend, &batch.meta), JQ_OK);
    batch.number = ++batch.meta.commit_sequence;
    assert_int_equal(d->backend->ops->commit(d->backend, &batch, NULL), JQ_OK);
    plain_op_fini(&op);
    driver_crash(d);
    assert_true(claim_job(d, id)->damaged);
    client = driver_client(d, 1);
    driver_worker(d, 2, 1);
    driver_commit(d);
    claim_reason_of(d, client, id, reason);
    assert_non_null(strstr(reason, "damaged"));
    assert_int_equal(claim_retry(d, client, id), JQ_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_refusal_names_the_field),
        CLAIM(a_list_with_something_wrong_is_refused),
        CLAIM(options_are_one_record_exactly),
        CLAIM(a_job_without_options_has_no_extra),
        CLAIM(a_delayed_job_is_granted_when_its_time_has_come),
        CLAIM(a_delay_is_not_shortened_by_a_part_of_a_ms),
        CLAIM(the_later_of_delay_and_run_at_counts),
        CLAIM(a_delay_goes_on_after_a_restart),
        CLAIM(a_wall_clock_that_jumps_starts_nothing_early_or_late),
        CLAIM(a_job_that_has_not_started_in_time_expires_in_every_state),
        CLAIM(a_job_that_has_started_does_not_expire),
        CLAIM(a_job_expires_after_a_restart_but_not_before_its_worker_may_be_back),
        CLAIM(items_may_be_delayed_and_expire),
        CLAIM(a_delayed_job_can_be_cancelled),
        CLAIM(a_stored_job_whose_options_cannot_be_read_is_never_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
