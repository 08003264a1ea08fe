/* SPDX-License-Identifier: MIT
 *
 * store_contract_history.c - the contract of every store: many rounds of what a busy broker does,
 * against a model. */
#include "tests/contract/store_contract.h"

#include <string.h>

enum { IDS = 3000, ROUNDS = 60, PUTS = 40, CHANGES = 60, REMOVED = 2 };

/* What a job is expected to be. The bytes are those that the fixture makes. */
struct expected {
    bool is_there, is_touched, has_result;
    struct jq_job_record job;
    struct jq_result_record result;
};

struct history {
    struct fixture *f;
    struct expected jobs[IDS + 1];
    uint64_t next, seed;
};

static uint64_t draw(struct history *h, uint64_t below)
{
    h->seed = h->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (h->seed >> 33) % below;
}

static void put_next(struct history *h)
{
    struct expected *expected = &h->jobs[h->next];

    *expected = (struct expected){ .is_there = true, .is_touched = true };
    expected->job = fixture_put(h->f, h->next++, JQ_READY)->u.job;
}

static enum jq_job_state state_after(struct history *h, enum jq_job_state state)
{
    if (jq_state_is_terminal(state))
        return JQ_READY; /* it lives again */
    if (state == JQ_READY)
        return JQ_RUNNING;
    if (state == JQ_RUNNING && draw(h, 3) == 0)
        return JQ_DELAYED;
    return JQ_SUCCEEDED + (enum jq_job_state)draw(h, JQ_JOB_STATES - JQ_SUCCEEDED);
}

static void change(struct history *h, struct expected *expected)
{
    struct jq_job_record *job = &expected->job;
    const struct jq_job_record *other;
    struct fixture scratch = { 0 };

    job->state = state_after(h, job->state);
    other = &fixture_put(&scratch, 1 + draw(h, 190), JQ_READY)->u.job;
    job->due_at = job->state == JQ_DELAYED ? (jq_ns)draw(h, 1 << 20) : 0;
    job->failures = (uint32_t)draw(h, 3);
    job->attempt++;
    job->fence = other->fence;
    job->worker = other->worker;
    job->history = other->history;
    struct plain_op *set = fixture_op(h->f, JQ_OP_JOB_SET);
    set->u.job = *job;
    expected->has_result = jq_state_is_terminal(job->state);
    if (expected->has_result)
        expected->result = *fixture_result(set, job->attempt);
    fixture_remove(&scratch);
}

static void change_any(struct history *h)
{
    struct expected *expected = &h->jobs[1 + draw(h, h->next - 1)];

    if (!expected->is_there || expected->is_touched)
        return;
    expected->is_touched = true;
    if (jq_state_is_terminal(expected->job.state) && draw(h, 4) > 0) {
        expected->is_there = false;
        fixture_delete(h->f, expected->job.id);
        return;
    }
    change(h, expected);
}

static void assert_matches(struct history *h)
{
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = UINT32_MAX, .parts = ALL_PARTS };
    struct jq_copy copy;
    bool more;
    size_t at = 0;

    assert_int_equal(fixture_try_read(h->f, &list, &copy, &more), JQ_OK);
    for (uint64_t id = h->next - 1; id > 0; id--) {
        const struct expected *expected = &h->jobs[id];
        if (!expected->is_there)
            continue;
        assert_true(at < copy.count);
        const struct jq_loaded_job *got = &copy.jobs[at++];
        assert_job(&got->job, &expected->job);
        assert_int_equal(got->has_result, expected->has_result);
        if (got->has_result)
            assert_result(&got->result, &expected->result);
    }
    assert_int_equal(at, copy.count);
    jq_copy_fini(&copy);
}

static void assert_loads_match(struct history *h)
{
    struct jq_backend *backend = fixture_backend(h->f);
    struct jq_copy copy = { 0 };
    size_t at = 0;

    assert_int_equal(backend->ops->load_jobs(backend, jq_copy_add, &copy), JQ_OK);
    for (uint64_t id = 1; id < h->next; id++) {
        const struct expected *expected = &h->jobs[id];
        if (!expected->is_there || jq_state_is_terminal(expected->job.state))
            continue;
        assert_true(at < copy.count);
        assert_job(&copy.jobs[at++].job, &expected->job);
    }
    assert_int_equal(at, copy.count);
    jq_copy_fini(&copy);
}

/* What lives of the queue ends first: the store need not cope with more. */
static void remove_queue(struct history *h)
{
    for (uint64_t id = 1; id < h->next; id++) {
        struct expected *expected = &h->jobs[id];
        if (!expected->is_there || expected->job.queue != REMOVED)
            continue;
        expected->is_there = false;
        if (!jq_state_is_terminal(expected->job.state))
            fixture_delete(h->f, id);
    }
    fixture_op(h->f, JQ_OP_QUEUE_DELETE)->u.queue.id = REMOVED;
    fixture_commit(h->f);
}

void test_a_long_random_history_matches_a_model(void **state)
{
    static struct history h;

    h = (struct history){ .f = *state, .next = 1, .seed = 12345 };
    for (int round = 0; round < ROUNDS; round++) {
        for (uint64_t id = 1; id < h.next; id++)
            h.jobs[id].is_touched = false;
        for (int i = 0; i < PUTS && h.next <= IDS; i++)
            put_next(&h);
        for (int i = 0; i < CHANGES; i++)
            change_any(&h);
        fixture_commit(h.f);
        if (round % 20 != 19)
            continue;
        reopen_if_kept(h.f);
        assert_matches(&h);
        assert_loads_match(&h);
    }
    remove_queue(&h);
    assert_matches(&h);
}
