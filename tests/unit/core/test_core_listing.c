/* SPDX-License-Identifier: MIT
 *
 * test_core_listing.c - LIST and INFO: pages that together are exact whatever the filter and
 * however little may be looked at for one, and what is told of a job. */
#include "tests/unit/core/core_claims.h"

#include <stdio.h>

#include "broker/core/parts.h"
#include "proto/base/rng.h"

enum { JOBS = 400, LISTING = 60 };

/* A SUBMIT of one job with these labels ("name=value"), to queue "a" or "b". */
static void submit(struct driver *d, uint64_t client, uint64_t number, const char *queue,
                   const char *const *labels, size_t count)
{
    struct jq_buf records = { 0 }, options = { 0 }, jobs = { 0 };

    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(labels[i], '=');
        const struct jq_label label = {
            .name = jq_view(labels[i], (size_t)(equals - labels[i])),
            .value = jq_view_str(equals + 1),
        };
        jq_label_write(&records, &label);
    }
    const struct jq_job_options encoded = {
        .labels = jq_records_of((uint32_t)count, &records),
        .content_type = jq_view_str("text"),
    };
    if (count)
        jq_job_options_write(&options, &encoded);
    const struct jq_job_spec spec = {
        .handler = jq_view_str("noop"),
        .payload = jq_view_str("p"),
        .options = jq_buf_view(&options),
    };
    jq_job_spec_write(&jobs, &spec);
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = number,
        .u.submit = { .queue = jq_view_str(queue), .jobs = jq_records_of(1, &jobs) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&records);
    jq_buf_fini(&options);
    jq_buf_fini(&jobs);
}

struct listed {
    uint64_t ids[2 * JOBS];
    uint32_t count, pages, empty;
};

/* All pages. */
static void list(struct driver *d, uint64_t client, struct jq_list asked, struct listed *ret)
{
    struct jq_job_info info;
    bool more = true;

    *ret = (struct listed){ 0 };
    while (more) {
        const struct jq_msg msg = {
            .tag = JQ_MSG_LIST,
            .correlation = LISTING,
            .u.list = asked,
        };
        const uint32_t before = ret->count;
        driver_apply(d, client, &msg);
        driver_commit(d);
        struct driver_frame frame = driver_expect(d, client, JQ_MSG_LISTED);
        const struct jq_listed *page = &frame.msg.u.listed;
        for (struct jq_reader r = jq_records_reader(page->jobs); jq_job_info_next(&r, &info);) {
            assert_true(ret->count < 2 * JOBS);
            assert_true(!asked.before_id || info.id < asked.before_id);
            ret->ids[ret->count++] = info.id;
        }
        more = page->more;
        if (asked.limit)
            assert_true(ret->count - before <= asked.limit);
        if (more) /* it comes to an end */
            assert_true(page->next_before_id > 0 &&
                        (!asked.before_id || page->next_before_id < asked.before_id));
        asked.before_id = page->next_before_id;
        ret->pages++;
        ret->empty += ret->count == before;
        driver_frame_free(&frame);
    }
}

static void expect(const struct listed *l, const uint64_t *ids, uint32_t count)
{
    assert_int_equal(l->count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(l->ids[i], ids[i]);
}

/* Granted in order: the first `count` jobs run, and those that are even succeed. */
static void run(struct driver *d, uint64_t worker, uint32_t count)
{
    driver_credit(d, worker, count);
    while (driver_has(d, worker, JQ_MSG_GRANTS)) {
        struct driver_frame frame = driver_expect(d, worker, JQ_MSG_GRANTS);
        struct jq_grant grant;
        for (struct jq_reader r = jq_records_reader(frame.msg.u.grants.jobs);
             jq_grant_next(&r, &grant);)
            if (grant.id % 2 == 0)
                driver_done(d, worker, (struct jq_held){ .id = grant.id, .fence = grant.fence },
                            JQ_OUTCOME_EXITED, grant.id % 4 == 0 ? 0 : 1);
        driver_frame_free(&frame);
    }
}

/* ---- filters ---- */

static void lists_by_label_in_memory_and_in_the_store(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    static const char *const labels[][2] = {
        { "team=red", "env=prod" }, { "team=blue", "env=prod" }, { "env=team", "red=team" },
        { "team=", "env=red" },     { "teams=red", "env=x" },    { "team=red", "team=blue" },
    };
    struct listed l;

    for (uint64_t n = 1; n <= 12; n++)
        submit(d, client, n, "a", labels[(n - 1) % 6], 2);
    run(d, worker, 6); /* half of the first six are in the store */
    driver_commit(d);
    list(d, client, (struct jq_list){ .label = jq_view_str("team"), .value = jq_view_str("red") },
         &l);
    expect(&l, (const uint64_t[]){ 12, 7, 6, 1 }, 4);
    list(d, client, (struct jq_list){ .label = jq_view_str("team") }, &l);
    expect(&l, (const uint64_t[]){ 12, 10, 8, 7, 6, 4, 2, 1 }, 8);
    list(d, client, (struct jq_list){ .label = jq_view_str("red") }, &l);
    expect(&l, (const uint64_t[]){ 9, 3 }, 2);
    list(d, client, (struct jq_list){ .label = jq_view_str("none") }, &l);
    expect(&l, NULL, 0);
}

static void lists_by_the_time_of_submission(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    struct listed l;

    for (uint64_t n = 1; n <= 8; n++) {
        d->now.wall = 1000 + (jq_ns)n;
        submit(d, client, n, "a", NULL, 0);
    }
    run(d, worker, 5);
    driver_commit(d);
    list(d, client, (struct jq_list){ .created_after = 1003, .created_before = 1007 }, &l);
    expect(&l, (const uint64_t[]){ 6, 5, 4, 3 }, 4);
    list(d, client, (struct jq_list){ .created_after = 1008 }, &l);
    expect(&l, (const uint64_t[]){ 8 }, 1);
    list(d, client, (struct jq_list){ .created_before = 1002 }, &l);
    expect(&l, (const uint64_t[]){ 1 }, 1);
    list(d, client, (struct jq_list){ .created_after = INT64_MAX, .created_before = 1 }, &l);
    expect(&l, NULL, 0);
}

/* ---- pages ---- */

struct model {
    uint64_t client, worker;
    struct {
        bool labelled, in_b;
    } jobs[JOBS + 1];
};

static void fill(struct driver *d, struct model *m, struct jq_rng *rng)
{
    static const char *const label[] = { "rare=yes" };

    m->client = driver_client(d, 7);
    m->worker = driver_worker(d, 8, 0);
    for (uint64_t n = 1; n <= JOBS; n++) {
        m->jobs[n].labelled = jq_rng_below(rng, 12) == 0;
        m->jobs[n].in_b = jq_rng_below(rng, 9) == 0;
        submit(d, m->client, n, m->jobs[n].in_b ? "b" : "a", label, m->jobs[n].labelled);
    }
    run(d, m->worker, (uint32_t)jq_rng_below(rng, JOBS));
    driver_commit(d);
}

static enum jq_job_state state_of(const struct driver *d, uint64_t id)
{
    const struct jq_job *job = jq_job_find(d->core, id);
    return job ? job->state : id % 4 == 0 ? JQ_SUCCEEDED : JQ_FAILED;
}

static void check_against(struct driver *d, const struct model *m, struct jq_list asked)
{
    struct listed l;
    uint32_t at = 0;

    list(d, m->client, asked, &l);
    for (uint64_t id = JOBS; id > 0; id--) {
        if ((asked.label.size && !m->jobs[id].labelled) || (asked.queue.size && !m->jobs[id].in_b))
            continue;
        if (asked.states && !(asked.states & 1u << state_of(d, id)))
            continue;
        assert_true(at < l.count);
        assert_int_equal(l.ids[at++], id);
    }
    assert_int_equal(at, l.count);
}

static void pages_are_exact_whatever_is_asked_for_and_however_little_is_looked_at(void **state)
{
    struct driver *d = *state;
    static const uint32_t looks[] = { 1, 7, 50, 100000 };
    static const uint64_t states[] = { 0,
                                       1u << JQ_RUNNING,
                                       1u << JQ_READY,
                                       1u << JQ_FAILED,
                                       1u << JQ_SUCCEEDED | 1u << JQ_RUNNING,
                                       UINT16_MAX };
    struct jq_rng rng;
    static struct model m;

    jq_rng_init(&rng, 5);
    fill(d, &m, &rng);
    for (size_t i = 0; i < 4 * 6 * 4; i++) {
        d->core->conf.list_looks_max = looks[i % 4];
        check_against(d, &m,
                      (struct jq_list){
                          .states = states[i / 4 % 6],
                          .limit = jq_rng_below(&rng, 3) ? 1 + jq_rng_below(&rng, 40) : 0,
                          .label = jq_view_str(i / 24 & 1 ? "rare" : ""),
                          .queue = jq_view_str(i / 24 & 2 ? "b" : ""),
                      });
    }
}

static void few_jobs_among_many_are_found_by_where_they_are(void **state)
{
    struct driver *d = *state;
    struct jq_rng rng;
    static struct model m;
    struct listed l;

    jq_rng_init(&rng, 6);
    fill(d, &m, &rng);
    d->core->conf.list_looks_max = 250;
    list(d, m.client, (struct jq_list){ .states = 1u << JQ_RUNNING }, &l);
    assert_int_equal(l.pages, 1);
    assert_true(l.count > 0);
    d->core->conf.list_looks_max = 20;
    list(d, m.client, (struct jq_list){ .states = 1u << JQ_READY, .queue = jq_view_str("b") }, &l);
    assert_true(l.pages > 2);
}

static void a_page_may_begin_anywhere(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    struct listed l;

    for (uint64_t n = 1; n <= 200; n++)
        submit(d, client, n, "a", NULL, 0);
    run(d, worker, 100);
    driver_commit(d);
    d->core->conf.list_looks_max = 10;
    for (uint64_t before = 1; before <= 205; before++) {
        list(d, client, (struct jq_list){ .before_id = before }, &l);
        assert_int_equal(l.count, before > 200 ? 200 : before - 1);
    }
    list(d, client, (struct jq_list){ .before_id = UINT64_MAX }, &l);
    assert_int_equal(l.count, 200);
}

static void a_list_survives_memory_that_runs_out(void **state)
{
    struct driver *d = *state;
    struct jq_rng rng;
    static struct model m;

    jq_rng_init(&rng, 7);
    fill(d, &m, &rng);
    const struct jq_msg msg = {
        .tag = JQ_MSG_LIST,
        .correlation = LISTING,
        .u.list = { .limit = 40, .label = jq_view_str("rare"), .value = jq_view_str("yes") },
    };
    for (int64_t n = 0; n < 60; n++) {
        const uint64_t client = driver_client(d, 7);
        d->core->conf.list_looks_max = n % 2 ? 30 : 1000;
        d->fail_in = n / 2;
        driver_apply(d, client, &msg);
        d->fail_in = -1;
        driver_commit(d);
        assert_true(!jq_peer_find(d->core, client) || driver_has(d, client, JQ_MSG_LISTED) ||
                    driver_has(d, client, JQ_MSG_ERROR));
        if (jq_peer_find(d->core, client))
            assert_int_equal(jq_peer_find(d->core, client)->lookups, 0);
    }
}

static void a_list_too_large_for_the_store_comes_in_smaller_pages(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    const struct jq_msg msg = {
        .tag = JQ_MSG_LIST,
        .correlation = LISTING,
        .u.list = { .states = 1u << JQ_FAILED | 1u << JQ_SUCCEEDED, .limit = 8 },
    };

    for (uint64_t n = 1; n <= 8; n++)
        submit(d, client, n, "a", NULL, 0);
    run(d, worker, 8);
    driver_commit(d);
    driver_apply(d, client, &msg);
    for (uint32_t limit = 8; limit > 2; limit /= 2) {
        assert_int_equal(d->read_count, 1);
        assert_int_equal(d->reads[0].limit, limit);
        assert_int_equal(
            jq_core_loaded(d->core, d->now, d->reads[0].token, JQ_EMSGSIZE, NULL, 0, false), JQ_OK);
        d->read_count = 0;
        driver_collect(d);
    }
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_LISTED);
    assert_int_equal(frame.msg.u.listed.jobs.count, 2);
    assert_int_equal(frame.msg.u.listed.more, 1);
    driver_frame_free(&frame);
}

static void the_store_is_asked_for_the_bytes_of_the_label(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_label label = { .name = jq_view_str("team"), .value = jq_view_str("red") };
    struct jq_buf bytes = { 0 };

    jq_label_write(&bytes, &label);
    for (int any = 0; any < 2; any++) {
        const struct jq_msg msg = {
            .tag = JQ_MSG_LIST,
            .correlation = LISTING,
            .u.list = { .label = label.name,
                        .value = any ? jq_view(NULL, 0) : label.value,
                        .created_after = 3 },
        };
        driver_apply(d, client, &msg);
        assert_int_equal(d->read_count, 1);
        assert_int_equal(d->reads[0].label_size, any ? bytes.size - 4 : bytes.size);
        assert_memory_equal(d->reads[0].label, bytes.data, d->reads[0].label_size);
        assert_int_equal(d->reads[0].created_after, 3);
        driver_commit(d);
        claim_drop(d, client, JQ_MSG_LISTED);
    }
    jq_buf_fini(&bytes);
}

/* ---- one job ---- */

static void an_info_has_options_due_times_and_attempts(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    const struct jq_job_options options = { .expires_ms = 5000, .attempts_max = 3 };
    const struct jq_attempt attempt = { .attempt = 1, .reason = jq_view_str("exit code 1") };
    struct jq_buf encoded = { 0 }, jobs = { 0 }, history = { 0 };
    struct driver_frame frame;

    jq_job_options_write(&encoded, &options);
    jq_attempt_write(&history, &attempt);
    const struct jq_job_spec spec = { .handler = jq_view_str("noop"),
                                      .options = jq_buf_view(&encoded) };
    jq_job_spec_write(&jobs, &spec);
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = 1,
        .u.submit = { .queue = jq_view_str("a"), .jobs = jq_records_of(1, &jobs) },
    };
    driver_apply(d, client, &msg);
    struct jq_job *job = jq_job_find(d->core, 1);
    job->extra->history = jq_blob_new(jq_buf_view(&history));
    job->failures = 1;
    job->attempt = 1; /* granted once: it expires no more */
    jq_timer_update(d->core, job);
    for (int ended = 0; ended < 2; ended++) {
        const struct jq_job_info info = claim_info_of(d, client, 1, &frame);
        struct jq_reader r = jq_records_reader(info.history);
        struct jq_attempt told;
        assert_int_equal(info.expires_at, info.created_at + INT64_C(5000) * 1000000);
        assert_int_equal(info.attempts_max, 3);
        assert_int_equal(info.failures, 1);
        assert_true(jq_view_equal(info.options, jq_buf_view(&encoded)));
        assert_int_equal(info.history.count, 1);
        assert_true(jq_attempt_next(&r, &told));
        assert_true(jq_view_equal(told.reason, attempt.reason));
        driver_frame_free(&frame);
        driver_credit(d, worker, 1);
        if (!ended)
            driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_CANCELLED, 1);
        driver_commit(d);
    }
    jq_buf_fini(&encoded);
    jq_buf_fini(&jobs);
    jq_buf_fini(&history);
}

static void infos_that_the_store_gives_in_parts_are_one_answer(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    struct jq_buf refs = { 0 };
    struct jq_job_info info;
    uint64_t sum = 0;

    for (uint64_t n = 1; n <= 9; n++)
        submit(d, client, n, "a", NULL, 0);
    run(d, worker, 9);
    driver_commit(d);
    for (uint64_t id = 1; id <= 9; id++)
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = id });
    d->read_max = 1;
    const struct jq_msg msg = {
        .tag = JQ_MSG_INFO,
        .correlation = 98,
        .u.info = { .jobs = jq_records_of(9, &refs) },
    };
    driver_apply(d, client, &msg);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_INFOS);
    assert_int_equal(frame.msg.u.infos.jobs.count, 9);
    for (struct jq_reader r = jq_records_reader(frame.msg.u.infos.jobs);
         jq_job_info_next(&r, &info);) {
        assert_int_equal(info.error, 0);
        sum += info.id;
    }
    assert_int_equal(sum, 45);
    driver_frame_free(&frame);
    jq_buf_fini(&refs);
}

static void an_answer_about_as_many_jobs_as_a_list_has_is_a_valid_frame(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_attempt attempt = { .reason = jq_view_str("exit code 1") };
    struct jq_buf refs = { 0 }, history = { 0 };

    submit(d, client, 1, "a", (const char *const[]){ "name=value" }, 1);
    for (int i = 0; i < JQ_HISTORY_MAX; i++)
        jq_attempt_write(&history, &attempt);
    assert_int_equal(jq_history_restore(jq_job_find(d->core, 1), jq_buf_view(&history)), JQ_OK);
    for (int i = 0; i < JQ_JOBS_PER_FRAME; i++)
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = 1 });
    const struct jq_msg msg = {
        .tag = JQ_MSG_INFO,
        .correlation = 98,
        .u.info = { .jobs = jq_records_of(JQ_JOBS_PER_FRAME, &refs) },
    };
    driver_apply(d, client, &msg); /* and decodes the answer */
    claim_drop(d, client, JQ_MSG_INFOS);
    jq_buf_fini(&refs);
    jq_buf_fini(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(lists_by_label_in_memory_and_in_the_store),
        CLAIM(lists_by_the_time_of_submission),
        CLAIM(pages_are_exact_whatever_is_asked_for_and_however_little_is_looked_at),
        CLAIM(few_jobs_among_many_are_found_by_where_they_are),
        CLAIM(a_page_may_begin_anywhere),
        CLAIM(a_list_survives_memory_that_runs_out),
        CLAIM(a_list_too_large_for_the_store_comes_in_smaller_pages),
        CLAIM(the_store_is_asked_for_the_bytes_of_the_label),
        CLAIM(an_info_has_options_due_times_and_attempts),
        CLAIM(infos_that_the_store_gives_in_parts_are_one_answer),
        CLAIM(an_answer_about_as_many_jobs_as_a_list_has_is_a_valid_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
