/* SPDX-License-Identifier: MIT
 *
 * store_contract_history.c - the contract of every store: many rounds of what a busy broker does,
 * against a model. */
#include "tests/contract/store_contract.h"

#include <string.h>

#include "broker/core/order.h"

enum { IDS = 3000, ROUNDS = 60, PUTS = 40, CHANGES = 60, QUEUES = 2, REMOVED = 2, RANKS = 7 };

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

/* Where it stands among the spilled. */
static void place(struct history *h, struct jq_job_record *job)
{
    job->spilled = true;
    job->lane = (uint8_t)draw(h, JQ_SPILL_LANES);
    job->rank = (int64_t)draw(h, RANKS) - RANKS / 2;
}

static void put_next(struct history *h)
{
    struct expected *expected = &h->jobs[h->next];
    struct plain_op *put = fixture_put(h->f, h->next++, JQ_READY);

    if (draw(h, 3) == 0)
        place(h, &put->u.job);
    *expected = (struct expected){ .is_there = true, .is_touched = true, .job = put->u.job };
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
    set->from_spilled = job->spilled;
    job->spilled = false;
    set->u.job = *job;
    expected->has_result = jq_state_is_terminal(job->state);
    if (expected->has_result)
        expected->result = *fixture_result(set, job->attempt);
    fixture_remove(&scratch);
}

static void spill(struct history *h, struct expected *expected)
{
    place(h, &expected->job);
    fixture_op(h->f, JQ_OP_JOB_SPILL)->u.job = (struct jq_job_record){ .id = expected->job.id,
                                                                       .queue = expected->job.queue,
                                                                       .lane = expected->job.lane,
                                                                       .rank = expected->job.rank };
}

static void drop(struct history *h, struct expected *expected)
{
    expected->is_there = false;
    fixture_delete(h->f, expected->job.id);
    h->f->ops[h->f->count - 1].from_spilled = expected->job.spilled;
}

static void change_any(struct history *h)
{
    struct expected *expected = &h->jobs[1 + draw(h, h->next - 1)];

    if (!expected->is_there || expected->is_touched)
        return;
    expected->is_touched = true;
    const bool has_ended = jq_state_is_terminal(expected->job.state);
    if (has_ended ? draw(h, 4) > 0 : expected->job.spilled && draw(h, 8) == 0)
        drop(h, expected);
    else if (expected->job.state == JQ_READY && !expected->job.spilled && draw(h, 2) == 0)
        spill(h, expected);
    else
        change(h, expected);
}

/* The next spilled job of the lane behind `at`; NULL: from the first on. */
static struct expected *next_spilled(struct history *h, uint32_t queue, uint32_t lane,
                                     const struct expected *at)
{
    struct expected *best = NULL;

    for (uint64_t id = 1; id < h->next; id++) {
        struct expected *it = &h->jobs[id];
        if (!it->is_there || !it->job.spilled || it->job.queue != queue || it->job.lane != lane)
            continue;
        if (at && (it->job.rank < at->job.rank || (it->job.rank == at->job.rank && it <= at)))
            continue;
        if (!best || it->job.rank < best->job.rank)
            best = it;
    }
    return best;
}

/* Some of the first of a lane, below an id; also what the same batch has put there. */
static void purge(struct history *h)
{
    struct jq_spilled_purge purge = {
        .queue = 1 + (uint32_t)draw(h, QUEUES),
        .lane = (uint32_t)draw(h, JQ_SPILL_LANES),
        .before = 1 + draw(h, h->next),
    };
    const uint64_t most = 1 + draw(h, 20);
    struct expected *next;

    for (struct expected *it = next_spilled(h, purge.queue, purge.lane, NULL);
         it && purge.count < most; it = next) {
        next = next_spilled(h, purge.queue, purge.lane, it);
        if (it->job.id >= purge.before)
            continue;
        it->is_there = false;
        purge.count++;
    }
    if (purge.count)
        fixture_op(h->f, JQ_OP_SPILLED_PURGE)->u.purge = purge;
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
        if (!expected->is_there || jq_state_is_terminal(expected->job.state) ||
            expected->job.spilled)
            continue;
        assert_true(at < copy.count);
        assert_job(&copy.jobs[at++].job, &expected->job);
    }
    assert_int_equal(at, copy.count);
    jq_copy_fini(&copy);
}

/* Page by page, from the last of the page before on. */
static void assert_pages_match(struct history *h, uint32_t queue, uint32_t lane)
{
    struct jq_read read = { .kind = JQ_READ_SPILLED,
                            .parts = JQ_READ_PAYLOAD,
                            .queue = queue,
                            .limit = 7,
                            .range = { .lane = lane, .order = JQ_PRIORITY } };
    const struct expected *expected = NULL;
    bool more = true;

    while (more) {
        struct jq_copy copy;
        assert_int_equal(fixture_try_read(h->f, &read, &copy, &more), JQ_OK);
        for (size_t i = 0; i < copy.count; i++) {
            expected = next_spilled(h, queue, lane, expected);
            assert_non_null(expected);
            assert_job(&copy.jobs[i].job, &expected->job);
            read.range.has_after = true;
            read.range.rank = copy.jobs[i].job.rank;
            read.range.id = copy.jobs[i].job.id;
            assert_int_equal(read.range.rank, expected->job.rank);
        }
        jq_copy_fini(&copy);
    }
    assert_null(next_spilled(h, queue, lane, expected));
}

static void assert_spilled_match(struct history *h)
{
    for (uint32_t queue = 1; queue <= QUEUES; queue++)
        for (uint32_t lane = 0; lane < JQ_SPILL_LANES; lane++)
            assert_pages_match(h, queue, lane);
}

/* What lives of the queue ends first: the store need not cope with more. */
static void remove_queue(struct history *h)
{
    for (uint64_t id = 1; id < h->next; id++) {
        struct expected *expected = &h->jobs[id];
        if (!expected->is_there || expected->job.queue != REMOVED)
            continue;
        if (jq_state_is_terminal(expected->job.state))
            expected->is_there = false;
        else
            drop(h, expected);
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
        if (round % 3 == 2)
            purge(&h);
        fixture_commit(h.f);
        if (round % 20 != 19)
            continue;
        reopen_if_kept(h.f);
        assert_matches(&h);
        assert_loads_match(&h);
        assert_spilled_match(&h);
    }
    remove_queue(&h);
    assert_matches(&h);
    assert_spilled_match(&h);
}
