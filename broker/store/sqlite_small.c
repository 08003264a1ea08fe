/* SPDX-License-Identifier: MIT
 *
 * sqlite_small.c - queues, requests, workers, limits and the counters to parameters and columns to
 * records, with a CRC over each row. These tables are small, and all of a row is written at once.
 */
#include "broker/store/sqlite_columns.h"

static uint32_t crc_queue(const struct jq_queue_record *q)
{
    const uint32_t crc =
        crc_bytes(CRC_NUMBERS(pair(q->id, q->order), q->maxsize, q->blocked, q->delayed, q->ready,
                              q->running, q->succeeded, q->failed, q->cancelled, q->name.size),
                  q->name);
    return CRC_ADDED(crc, q->expired, q->skipped, q->kept, q->kept_bytes, q->sequence,
                     q->purge_before, q->flags, pair(q->durability, q->concurrency),
                     q->attempts_max, q->backoff_ms, q->backoff_max_ms, q->keep_ms, q->keep_bytes,
                     q->keep_count, q->aging_ms, q->spilled[0], q->spilled[1], q->spilled_doomed[0],
                     q->spilled_doomed[1]);
}

/* What version 2 added, in the order of the columns. */
static void bind_queue_added(struct binder *b, const struct jq_queue_record *queue)
{
    bind_number(b, queue->expired);
    bind_number(b, queue->skipped);
    bind_number(b, queue->kept);
    bind_number(b, queue->kept_bytes);
    bind_number(b, queue->sequence);
    bind_number(b, queue->purge_before);
    bind_number(b, queue->flags);
    bind_number(b, queue->durability);
    bind_number(b, queue->concurrency);
    bind_number(b, queue->attempts_max);
    bind_number(b, queue->backoff_ms);
    bind_number(b, queue->backoff_max_ms);
    bind_number(b, queue->keep_ms);
    bind_number(b, queue->keep_bytes);
    bind_number(b, queue->keep_count);
    bind_number(b, queue->aging_ms);
    for (int i = 0; i < JQ_SPILL_LANES; i++)
        bind_number(b, queue->spilled[i]);
    for (int i = 0; i < JQ_SPILL_LANES; i++)
        bind_number(b, queue->spilled_doomed[i]);
}

int jq_row_bind_queue(struct jq_sqlite *sqlite, enum jq_sql which,
                      const struct jq_queue_record *queue)
{
    struct binder b = binder_of(sqlite, which, 1);

    bind_number(&b, queue->id);
    bind_number(&b, queue->order);
    bind_number(&b, queue->maxsize);
    bind_number(&b, queue->blocked);
    bind_number(&b, queue->delayed);
    bind_number(&b, queue->ready);
    bind_number(&b, queue->running);
    bind_number(&b, queue->succeeded);
    bind_number(&b, queue->failed);
    bind_number(&b, queue->cancelled);
    bind_queue_added(&b, queue);
    bind_crc(&b, crc_queue(queue));
    bind_bytes(&b, queue->name);
    return b.code;
}

static uint32_t crc_request(const struct jq_request_record *r)
{
    return crc_bytes(CRC_NUMBERS(r->session, r->number, r->first_id, r->count, (uint64_t)r->made_at,
                                 r->each.size),
                     r->each);
}

int jq_row_bind_request(struct jq_sqlite *sqlite, enum jq_sql which,
                        const struct jq_request_record *request)
{
    struct binder b = binder_of(sqlite, which, 1);

    bind_number(&b, request->session);
    bind_number(&b, request->number);
    bind_number(&b, request->first_id);
    bind_number(&b, request->count);
    bind_number(&b, (uint64_t)request->made_at);
    bind_crc(&b, crc_request(request));
    bind_bytes(&b, request->each);
    return b.code;
}

/* The column `bound`: a bit for each kind of session. */
enum { KIND_BOUND = 1, KIND_CLIENT = 2 };

static uint64_t kind_of(const struct jq_worker_record *worker)
{
    return (worker->bound ? KIND_BOUND : 0u) | (worker->is_client ? KIND_CLIENT : 0u);
}

static uint32_t crc_worker(const struct jq_worker_record *worker)
{
    return crc_bytes(CRC_NUMBERS(worker->session, kind_of(worker), worker->name.size),
                     worker->name);
}

int jq_row_bind_worker(struct jq_sqlite *sqlite, enum jq_sql which,
                       const struct jq_worker_record *worker)
{
    struct binder b = binder_of(sqlite, which, 1);

    bind_number(&b, worker->session);
    bind_number(&b, kind_of(worker));
    bind_crc(&b, crc_worker(worker));
    bind_bytes(&b, worker->name);
    return b.code;
}

static uint32_t crc_limit(const struct jq_limit_record *limit)
{
    return crc_bytes(CRC_NUMBERS(limit->max, limit->name.size), limit->name);
}

int jq_row_bind_limit_name(struct jq_sqlite *sqlite, enum jq_sql which,
                           const struct jq_limit_record *limit)
{
    struct binder b = binder_of(sqlite, which, 1);

    bind_bytes(&b, limit->name);
    return b.code;
}

int jq_row_bind_limit(struct jq_sqlite *sqlite, enum jq_sql which,
                      const struct jq_limit_record *limit)
{
    struct binder b = binder_of(sqlite, which, 1);

    bind_bytes(&b, limit->name);
    bind_number(&b, limit->max);
    bind_crc(&b, crc_limit(limit));
    return b.code;
}

static uint32_t crc_meta(const struct jq_store_meta *meta)
{
    return crc_bytes(
        CRC_NUMBERS(meta->commit_sequence, meta->next_id, meta->next_queue, meta->incarnation),
        jq_view(meta->store_id, sizeof(meta->store_id)));
}

int jq_row_bind_meta(struct jq_sqlite *sqlite, enum jq_sql which, const struct jq_store_meta *meta)
{
    struct binder b = binder_of(sqlite, which, 1);

    bind_number(&b, meta->commit_sequence);
    bind_number(&b, meta->next_id);
    bind_number(&b, meta->next_queue);
    bind_number(&b, meta->incarnation);
    bind_crc(&b, crc_meta(meta));
    return b.code;
}

/* --- reading --- */

static void read_queue_added(struct reader *r, struct jq_queue_record *q)
{
    q->expired = read_number(r);
    q->skipped = read_number(r);
    q->kept = read_number(r);
    q->kept_bytes = read_number(r);
    q->sequence = read_number(r);
    q->purge_before = read_number(r);
    q->flags = read_number(r);
    q->durability = read_u32(r);
    q->concurrency = read_u32(r);
    q->attempts_max = read_u32(r);
    q->backoff_ms = read_number(r);
    q->backoff_max_ms = read_number(r);
    q->keep_ms = read_number(r);
    q->keep_bytes = read_number(r);
    q->keep_count = read_number(r);
    q->aging_ms = read_number(r);
    for (int i = 0; i < JQ_SPILL_LANES; i++)
        q->spilled[i] = read_number(r);
    for (int i = 0; i < JQ_SPILL_LANES; i++)
        q->spilled_doomed[i] = read_number(r);
}

enum jq_err jq_row_read_queue(sqlite3_stmt *statement, struct jq_queue_record *ret_queue)
{
    struct reader r = { .statement = statement };
    struct jq_queue_record q = { 0 };

    q.id = read_u32(&r);
    q.order = read_u32(&r);
    q.maxsize = read_number(&r);
    q.blocked = read_number(&r);
    q.delayed = read_number(&r);
    q.ready = read_number(&r);
    q.running = read_number(&r);
    q.succeeded = read_number(&r);
    q.failed = read_number(&r);
    q.cancelled = read_number(&r);
    read_queue_added(&r, &q);
    const uint32_t crc = read_crc(&r);
    q.name = read_bytes(&r);
    expect(&r, crc, crc_queue(&q));
    JQ_TRY(outcome(&r));
    *ret_queue = q;
    return JQ_OK;
}

enum jq_err jq_row_read_request(sqlite3_stmt *statement, struct jq_request_record *ret_request)
{
    struct reader r = { .statement = statement };
    struct jq_request_record request = { 0 };

    request.session = read_number(&r);
    request.number = read_number(&r);
    request.first_id = read_number(&r);
    request.count = read_u32(&r);
    request.made_at = (jq_ns)read_number(&r);
    const uint32_t crc = read_crc(&r);
    request.each = read_bytes(&r);
    expect(&r, crc, crc_request(&request));
    JQ_TRY(outcome(&r));
    *ret_request = request;
    return JQ_OK;
}

enum jq_err jq_row_read_worker(sqlite3_stmt *statement, struct jq_worker_record *ret_worker)
{
    struct reader r = { .statement = statement };
    struct jq_worker_record worker = { 0 };

    worker.session = read_number(&r);
    const uint64_t kind = read_number(&r);
    worker.bound = (kind & KIND_BOUND) != 0;
    worker.is_client = (kind & KIND_CLIENT) != 0;
    const uint32_t crc = read_crc(&r);
    worker.name = read_bytes(&r);
    expect(&r, crc, crc_worker(&worker));
    JQ_TRY(outcome(&r));
    *ret_worker = worker;
    return JQ_OK;
}

enum jq_err jq_row_read_limit(sqlite3_stmt *statement, struct jq_limit_record *ret_limit)
{
    struct reader r = { .statement = statement };
    struct jq_limit_record limit = { 0 };

    limit.name = read_bytes(&r);
    limit.max = read_u32(&r);
    const uint32_t crc = read_crc(&r);
    expect(&r, crc, crc_limit(&limit));
    JQ_TRY(outcome(&r));
    *ret_limit = limit;
    return JQ_OK;
}

enum jq_err jq_row_read_meta(sqlite3_stmt *statement, struct jq_store_meta *ret_meta)
{
    struct reader r = { .statement = statement };
    struct jq_store_meta meta = { 0 };

    meta.commit_sequence = read_number(&r);
    meta.next_id = read_number(&r);
    meta.next_queue = read_u32(&r);
    meta.incarnation = read_number(&r);
    const struct jq_view store_id = read_bytes(&r);
    const uint32_t crc = read_crc(&r);
    if (store_id.size != sizeof(meta.store_id))
        return r.no_memory ? JQ_ENOMEM : JQ_ECORRUPT;
    memcpy(meta.store_id, store_id.data, sizeof(meta.store_id));
    expect(&r, crc, crc_meta(&meta));
    JQ_TRY(outcome(&r));
    *ret_meta = meta;
    return JQ_OK;
}
