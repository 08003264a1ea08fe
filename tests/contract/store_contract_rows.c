/* SPDX-License-Identifier: MIT
 *
 * store_contract_rows.c - the contract of every store: queues, requests, workers, limits; then
 * space, and no memory. */
#include "tests/contract/store_contract.h"

#include <stdio.h>
#include <string.h>

#include "broker/core/order.h"
#include "proto/base/alloc.h"

struct seen {
    char text[512];
};

static enum jq_err see_queue(void *arg, const struct jq_queue_record *q)
{
    struct seen *seen = arg;
    const size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof(seen->text) - used,
             "%u:%.*s:%u:%llu:%llu,%llu,%llu,%llu,%llu,%llu,%llu ", q->id, JQ_VIEW_ARG(q->name),
             q->order, (unsigned long long)q->maxsize, (unsigned long long)q->blocked,
             (unsigned long long)q->delayed, (unsigned long long)q->ready,
             (unsigned long long)q->running, (unsigned long long)q->succeeded,
             (unsigned long long)q->failed, (unsigned long long)q->cancelled);
    return JQ_OK;
}

static void put_queue(struct fixture *f, uint32_t id, const char *name, uint64_t ready)
{
    fixture_op(f, JQ_OP_QUEUE_PUT)->u.queue = (struct jq_queue_record){
        .id = id,
        .order = JQ_PRIORITY,
        .maxsize = UINT64_MAX,
        .blocked = 1,
        .delayed = 2,
        .ready = ready,
        .running = 4,
        .succeeded = 5,
        .failed = 6,
        .cancelled = 7,
        .name = jq_view_str(name),
    };
}

static const char *queues(struct fixture *f)
{
    static struct seen seen;
    struct jq_backend *backend = fixture_backend(f);

    seen.text[0] = '\0';
    assert_int_equal(backend->ops->load_queues(backend, see_queue, &seen), JQ_OK);
    return seen.text;
}

void test_queues_are_put_replaced_and_deleted(void **state)
{
    struct fixture *f = *state;

    put_queue(f, 7, "seven", 3);
    put_queue(f, 2, "two", 3);
    put_queue(f, 3, "three", 3);
    fixture_commit(f);
    put_queue(f, 7, "seven", 30);
    fixture_op(f, JQ_OP_QUEUE_DELETE)->u.queue.id = 3;
    fixture_op(f, JQ_OP_QUEUE_DELETE)->u.queue.id = 99;
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(queues(f), "2:two:2:18446744073709551615:1,2,3,4,5,6,7 "
                                   "7:seven:2:18446744073709551615:1,2,30,4,5,6,7 ");
}

/* Every field with a value of its own, the widest among them. */
static const struct jq_queue_record full_queue = {
    .id = UINT32_MAX,
    .order = 1,
    .maxsize = 2,
    .blocked = 3,
    .delayed = 4,
    .ready = 5,
    .running = 6,
    .succeeded = 7,
    .failed = 8,
    .cancelled = 9,
    .expired = 10,
    .skipped = 11,
    .kept = 12,
    .kept_bytes = UINT64_MAX,
    .sequence = INT64_MAX,
    .purge_before = 15,
    .flags = JQ_QUEUE_STORED_PAUSED | UINT64_C(1) << 63,
    .durability = 17,
    .concurrency = UINT32_MAX - 1,
    .attempts_max = UINT32_MAX,
    .backoff_ms = 20,
    .backoff_max_ms = UINT64_MAX - 1,
    .keep_ms = 22,
    .keep_bytes = 23,
    .keep_count = 24,
    .aging_ms = 25,
};

static enum jq_err see_full_queue(void *arg, const struct jq_queue_record *q)
{
    struct jq_queue_record got = *q;
    int *queues = arg;

    ++*queues;
    assert_view(got.name, jq_view_str("full"));
    got.name = (struct jq_view){ 0 };
    assert_memory_equal(&got, &full_queue, sizeof(got));
    return JQ_OK;
}

void test_a_queue_comes_back_with_all_its_fields(void **state)
{
    struct fixture *f = *state;
    int seen = 0;

    struct jq_queue_record *queue = &fixture_op(f, JQ_OP_QUEUE_PUT)->u.queue;
    *queue = full_queue;
    queue->name = jq_view_str("full");
    fixture_commit(f);
    reopen_if_kept(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_int_equal(backend->ops->load_queues(backend, see_full_queue, &seen), JQ_OK);
    assert_int_equal(seen, 1);
}

void test_a_queue_is_deleted_with_its_ended_jobs(void **state)
{
    struct fixture *f = *state;
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 3000 };
    char key[] = "key";
    const struct jq_read by_key = { .kind = JQ_READ_KEY, .key = key };
    enum { JOBS = 2500 };

    put_queue(f, 1, "one", 3);
    put_queue(f, 2, "two", 3);
    for (uint64_t id = 1; id <= JOBS; id++) /* the odd ones are of queue 2 */
        fixture_put(f, id, id % 2 || id > 6 ? JQ_FAILED : JQ_READY)->u.job.key = jq_view_str("key");
    fixture_commit(f);
    fixture_delete(f, JOBS);
    fixture_op(f, JQ_OP_QUEUE_DELETE)->u.queue.id = 2;
    for (uint64_t id = 8; id < JOBS; id += 2)
        fixture_delete(f, id);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(fixture_read_ids(f, &list), "6 4 2");
    assert_string_equal(fixture_read_ids(f, &by_key), "6");
    assert_string_equal(queues(f), "1:one:2:18446744073709551615:1,2,3,4,5,6,7 ");
}

static enum jq_err see_request(void *arg, const struct jq_request_record *r)
{
    struct seen *seen = arg;
    const size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof(seen->text) - used, "%llu/%llu=%llu+%u@%lld:%zu ",
             (unsigned long long)r->session, (unsigned long long)r->number,
             (unsigned long long)r->first_id, r->count, (long long)r->made_at, r->each.size);
    return JQ_OK;
}

static const char *requests(struct fixture *f)
{
    static struct seen seen;
    struct jq_backend *backend = fixture_backend(f);

    seen.text[0] = '\0';
    assert_int_equal(backend->ops->load_requests(backend, see_request, &seen), JQ_OK);
    return seen.text;
}

static void put_request(struct fixture *f, uint64_t session, uint64_t number)
{
    fixture_op(f, JQ_OP_REQUEST_PUT)->u.request = (struct jq_request_record){
        .session = session,
        .number = number,
        .first_id = number * 10,
        .count = 2,
        .made_at = 5,
        .each = jq_view("\0\xff\0", number % 4),
    };
}

static void request_op(struct fixture *f, enum jq_store_op_kind kind, uint64_t session,
                       uint64_t number)
{
    struct plain_op *op = fixture_op(f, kind);
    op->u.request.session = session;
    op->u.request.number = number;
}

void test_requests_are_put_replaced_and_deleted(void **state)
{
    struct fixture *f = *state;

    put_request(f, 1, 1);
    put_request(f, 1, 3);
    put_request(f, 1, 2);
    put_request(f, 5, 1);
    fixture_commit(f);
    request_op(f, JQ_OP_REQUEST_DELETE, 1, 2);
    request_op(f, JQ_OP_REQUEST_DELETE, 9, 9);
    put_request(f, 1, 3);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(requests(f), "1/1=10+2@5:1 1/3=30+2@5:3 5/1=10+2@5:1 ");
}

/* Where it stands: what the session put before it goes, what it puts after it stays. */
void test_a_session_delete_is_applied_in_its_place(void **state)
{
    struct fixture *f = *state;

    put_request(f, 4, 1);
    put_request(f, 4, 2);
    put_request(f, 5, 1);
    put_request(f, 3, 9);
    fixture_commit(f);
    put_request(f, 4, 3);
    request_op(f, JQ_OP_SESSION_DELETE, 4, 0);
    put_request(f, 4, 1);
    put_request(f, 4, 7);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(requests(f), "3/9=90+2@5:1 4/1=10+2@5:1 4/7=70+2@5:3 5/1=10+2@5:1 ");
    request_op(f, JQ_OP_SESSION_DELETE, 4, 0);
    request_op(f, JQ_OP_SESSION_DELETE, 44, 0);
    fixture_commit(f);
    assert_string_equal(requests(f), "3/9=90+2@5:1 5/1=10+2@5:1 ");
}

static enum jq_err see_worker(void *arg, const struct jq_worker_record *w)
{
    struct seen *seen = arg;
    const size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof(seen->text) - used, "%llu:%.*s%s ",
             (unsigned long long)w->session, JQ_VIEW_ARG(w->name), w->bound ? "!" : "");
    return JQ_OK;
}

static void put_worker(struct fixture *f, uint64_t session, const char *name)
{
    struct plain_op *op = fixture_op(f, JQ_OP_WORKER_PUT);
    op->u.worker = (struct jq_worker_record){ .session = session,
                                              .bound = session == 2,
                                              .name = jq_view_str(name) };
}

void test_workers_are_put_replaced_and_deleted(void **state)
{
    struct fixture *f = *state;
    struct seen seen = { .text = "" };

    put_worker(f, 3, "c");
    put_worker(f, 1, "a");
    put_worker(f, 2, "b");
    fixture_commit(f);
    put_worker(f, 3, "cc");
    fixture_op(f, JQ_OP_WORKER_DELETE)->u.worker.session = 1;
    fixture_op(f, JQ_OP_WORKER_DELETE)->u.worker.session = 77;
    fixture_commit(f);
    reopen_if_kept(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_int_equal(backend->ops->load_workers(backend, see_worker, &seen), JQ_OK);
    assert_string_equal(seen.text, "2:b! 3:cc ");
}

static enum jq_err see_limit(void *arg, const struct jq_limit_record *limit)
{
    struct seen *seen = arg;
    const size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof(seen->text) - used, "%.*s=%u ", JQ_VIEW_ARG(limit->name),
             limit->max);
    return JQ_OK;
}

static const char *limits(struct fixture *f)
{
    static struct seen seen;
    struct jq_backend *backend = fixture_backend(f);

    seen.text[0] = '\0';
    assert_int_equal(backend->ops->load_limits(backend, see_limit, &seen), JQ_OK);
    return seen.text;
}

static void limit_op(struct fixture *f, enum jq_store_op_kind kind, const char *name, uint32_t max)
{
    fixture_op(f, kind)->u.limit =
        (struct jq_limit_record){ .max = max, .name = jq_view_str(name) };
}

void test_limits_are_put_replaced_and_deleted(void **state)
{
    struct fixture *f = *state;

    limit_op(f, JQ_OP_LIMIT_PUT, "tape", 1);
    limit_op(f, JQ_OP_LIMIT_PUT, "api", UINT32_MAX);
    limit_op(f, JQ_OP_LIMIT_PUT, "disk", 3);
    limit_op(f, JQ_OP_LIMIT_PUT, "apis", 4);
    fixture_commit(f);
    limit_op(f, JQ_OP_LIMIT_PUT, "tape", 0);
    limit_op(f, JQ_OP_LIMIT_DELETE, "disk", 0);
    limit_op(f, JQ_OP_LIMIT_DELETE, "none", 0);
    fixture_commit(f);
    reopen_if_kept(f);
    assert_string_equal(limits(f), "api=4294967295 apis=4 tape=0 ");
}

/* Random 64-bit sessions are everywhere, also above INT64_MAX. */
void test_sessions_are_any_64_bits(void **state)
{
    struct fixture *f = *state;
    struct seen seen = { .text = "" };

    put_worker(f, UINT64_MAX, "w");
    put_request(f, UINT64_MAX - 1, 1);
    fixture_commit(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_int_equal(backend->ops->load_workers(backend, see_worker, &seen), JQ_OK);
    assert_string_equal(seen.text, "18446744073709551615:w ");
    assert_string_equal(requests(f), "18446744073709551614/1=10+2@5:1 ");
    request_op(f, JQ_OP_SESSION_DELETE, UINT64_MAX - 1, 0);
    fixture_commit(f);
    assert_string_equal(requests(f), "");
}

void test_space_is_low_above_the_largest_size_and_recovers(void **state)
{
    struct fixture *f = *state;

    fixture_close(f);
    f->conf.max_bytes = 512 << 10;
    if (!f->directory[0])
        f->meta.commit_sequence = 0;
    fixture_reopen(f);
    struct jq_backend *backend = fixture_backend(f);
    assert_false(backend->ops->space_low(backend));
    for (uint64_t id = 1; id <= 3000; id++)
        fixture_put(f, id, JQ_READY);
    fixture_commit(f);
    backend = fixture_backend(f);
    struct jq_detail detail;
    assert_int_equal(backend->ops->rest(backend, true, &detail), JQ_OK);
    assert_true(backend->ops->space_low(backend));
    for (uint64_t id = 1; id <= 3000; id++)
        fixture_delete(f, id);
    fixture_commit(f);
    backend = fixture_backend(f);
    assert_int_equal(backend->ops->rest(backend, true, &detail), JQ_OK);
    assert_false(backend->ops->space_low(backend));
}

/* For N = 0, 1, 2 ... the Nth allocation fails, until the batch goes through. */
void test_a_commit_without_memory_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct jq_detail detail;
    enum jq_err err = JQ_ENOMEM;

    if (f->variant->threaded) /* after a failed commit that one does nothing any more, by design */
        skip();
    for (int64_t n = 0; err != JQ_OK; n++) {
        assert_true(n < 100);
        fixture_put(f, 1, JQ_READY)->u.job.key = jq_view_str("k");
        fixture_put(f, 2, JQ_SUCCEEDED);
        put_queue(f, 1, "q", 1);
        put_request(f, 1, 1);
        put_worker(f, 1, "w");
        limit_op(f, JQ_OP_LIMIT_PUT, "l", 1);
        jq_alloc_fail_after(n, 0);
        err = fixture_try_commit(f, &detail);
        jq_alloc_fail_after(-1, 0);
        if (err == JQ_OK)
            break;
        assert_int_equal(err, JQ_ENOMEM);
        assert_string_equal(fixture_load_ids(f), "");
        assert_string_equal(queues(f), "");
        assert_string_equal(requests(f), "");
        assert_string_equal(limits(f), "");
    }
    assert_string_equal(fixture_load_ids(f), "1");
}
