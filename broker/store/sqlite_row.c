/* SPDX-License-Identifier: MIT
 *
 * sqlite_row.c - records to parameters and columns to records, and the CRCs between: every row is
 * covered, each group of columns by its own CRC, so that one operation can rewrite its group
 * without reading the rest, and a listing can check a row whose payload it does not read.
 *
 * A CRC starts with the row's id: a row found in the place of another does not pass. */
#include <endian.h>

#include "broker/store/sqlite.h"
#include "proto/base/crc32c.h"

/* Numbers first, little-endian, then bytes whose sizes are among the numbers. */
static uint32_t crc_numbers(uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        numbers[i] = htole64(numbers[i]);
    return jq_crc32c(0, numbers, count * sizeof(numbers[0]));
}

static uint32_t crc_bytes(uint32_t crc, struct jq_view bytes)
{
    return bytes.size ? jq_crc32c(crc, bytes.data, bytes.size) : crc;
}

#define CRC_NUMBERS(...) \
    crc_numbers((uint64_t[]){ __VA_ARGS__ }, sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static uint64_t pair(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

static uint32_t crc_set(const struct jq_job_record *job)
{
    return crc_bytes(CRC_NUMBERS(job->id, pair((uint32_t)job->state, job->attempt), job->flags,
                                 pair(job->crashes, (uint32_t)job->worker.size), job->fence,
                                 job->session, (uint64_t)job->started_at),
                     job->worker);
}

static uint32_t crc_fixed(const struct jq_job_record *job)
{
    uint32_t crc = CRC_NUMBERS(
        job->id, pair(job->queue, (uint32_t)job->priority), job->owner, (uint64_t)job->created_at,
        pair((uint32_t)job->handler.size, (uint32_t)job->title.size), job->key.size);
    crc = crc_bytes(crc, job->handler);
    crc = crc_bytes(crc, job->title);
    return crc_bytes(crc, job->key);
}

static uint32_t crc_large(uint64_t id, struct jq_view bytes)
{
    return crc_bytes(CRC_NUMBERS(id, bytes.size), bytes);
}

static uint32_t crc_result(uint64_t id, const struct jq_result_record *r)
{
    if (!r)
        return CRC_NUMBERS(id, 0);
    return crc_bytes(CRC_NUMBERS(id, 1, (uint64_t)r->ended_at, (uint64_t)r->code, r->signal,
                                 r->wall_us, r->user_us, r->system_us, r->max_rss_kib,
                                 r->stdout_bytes, r->stderr_bytes, r->reason.size),
                     r->reason);
}

static uint32_t crc_output(uint64_t id, const struct jq_result_record *r)
{
    uint32_t crc = CRC_NUMBERS(id, r->stdout_head.size, r->stdout_tail.size, r->stderr_head.size,
                               r->stderr_tail.size);
    crc = crc_bytes(crc, r->stdout_head);
    crc = crc_bytes(crc, r->stdout_tail);
    crc = crc_bytes(crc, r->stderr_head);
    return crc_bytes(crc, r->stderr_tail);
}

/* --- binding --- */

/* The first failure sticks; later binds are no harm. */
struct binder {
    sqlite3_stmt *statement;
    int at;
    int code;
};

static void bind_number(struct binder *b, uint64_t number)
{
    const int code = sqlite3_bind_int64(b->statement, b->at++, (sqlite3_int64)number);
    if (code != SQLITE_OK)
        b->code = code;
}

/* As a signed number, which is four bytes in the file whatever its value. */
static void bind_crc(struct binder *b, uint32_t crc)
{
    bind_number(b, (uint64_t)(int64_t)(int32_t)crc);
}

static void bind_bytes(struct binder *b, struct jq_view bytes)
{
    /* A NULL pointer would bind NULL. */
    const int code = sqlite3_bind_blob64(b->statement, b->at++, bytes.size ? bytes.data : "",
                                         bytes.size, SQLITE_STATIC);
    if (code != SQLITE_OK)
        b->code = code;
}

int jq_row_bind_set(sqlite3_stmt *statement, int at, const struct jq_job_record *job)
{
    struct binder b = { .statement = statement, .at = at };

    bind_number(&b, job->id);
    bind_number(&b, (uint64_t)job->state);
    bind_number(&b, job->flags);
    bind_number(&b, job->attempt);
    bind_number(&b, job->crashes);
    bind_number(&b, job->fence);
    bind_number(&b, job->session);
    bind_number(&b, (uint64_t)job->started_at);
    bind_crc(&b, crc_set(job));
    bind_bytes(&b, job->worker);
    return b.code;
}

int jq_row_bind_fixed(sqlite3_stmt *statement, int at, const struct jq_job_record *job)
{
    struct binder b = { .statement = statement, .at = at };

    bind_number(&b, job->queue);
    bind_number(&b, (uint64_t)(int64_t)job->priority);
    bind_number(&b, job->owner);
    bind_number(&b, (uint64_t)job->created_at);
    bind_crc(&b, crc_fixed(job));
    bind_crc(&b, crc_large(job->id, job->payload));
    bind_bytes(&b, job->handler);
    bind_bytes(&b, job->title);
    bind_bytes(&b, job->key);
    bind_bytes(&b, job->payload);
    return b.code;
}

int jq_row_bind_result(sqlite3_stmt *statement, int at, uint64_t id,
                       const struct jq_result_record *result)
{
    static const struct jq_result_record none = { 0 };
    const struct jq_result_record *r = result ? result : &none;
    struct binder b = { .statement = statement, .at = at };

    bind_number(&b, result != NULL);
    bind_number(&b, (uint64_t)r->ended_at);
    bind_number(&b, (uint64_t)r->code);
    bind_number(&b, r->signal);
    bind_number(&b, r->wall_us);
    bind_number(&b, r->user_us);
    bind_number(&b, r->system_us);
    bind_number(&b, r->max_rss_kib);
    bind_number(&b, r->stdout_bytes);
    bind_number(&b, r->stderr_bytes);
    bind_crc(&b, crc_result(id, result));
    bind_crc(&b, crc_large(id, r->value));
    bind_crc(&b, crc_output(id, r));
    bind_bytes(&b, r->reason);
    bind_bytes(&b, r->value);
    bind_bytes(&b, r->stdout_head);
    bind_bytes(&b, r->stdout_tail);
    bind_bytes(&b, r->stderr_head);
    bind_bytes(&b, r->stderr_tail);
    return b.code;
}

static uint32_t crc_queue(const struct jq_queue_record *q)
{
    return crc_bytes(CRC_NUMBERS(pair(q->id, q->order), q->maxsize, q->blocked, q->delayed,
                                 q->ready, q->running, q->succeeded, q->failed, q->cancelled,
                                 q->name.size),
                     q->name);
}

int jq_row_bind_queue(sqlite3_stmt *statement, const struct jq_queue_record *queue)
{
    struct binder b = { .statement = statement, .at = 1 };

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

int jq_row_bind_request(sqlite3_stmt *statement, const struct jq_request_record *request)
{
    struct binder b = { .statement = statement, .at = 1 };

    bind_number(&b, request->session);
    bind_number(&b, request->number);
    bind_number(&b, request->first_id);
    bind_number(&b, request->count);
    bind_number(&b, (uint64_t)request->made_at);
    bind_crc(&b, crc_request(request));
    bind_bytes(&b, request->each);
    return b.code;
}

static uint32_t crc_worker(const struct jq_worker_record *worker)
{
    return crc_bytes(CRC_NUMBERS(worker->session, worker->bound, worker->name.size), worker->name);
}

int jq_row_bind_worker(sqlite3_stmt *statement, const struct jq_worker_record *worker)
{
    struct binder b = { .statement = statement, .at = 1 };

    bind_number(&b, worker->session);
    bind_number(&b, worker->bound);
    bind_crc(&b, crc_worker(worker));
    bind_bytes(&b, worker->name);
    return b.code;
}

static uint32_t crc_meta(const struct jq_store_meta *meta)
{
    return crc_bytes(
        CRC_NUMBERS(meta->commit_sequence, meta->next_id, meta->next_queue, meta->incarnation),
        jq_view(meta->store_id, sizeof(meta->store_id)));
}

int jq_row_bind_meta(sqlite3_stmt *statement, const struct jq_store_meta *meta)
{
    struct binder b = { .statement = statement, .at = 1 };

    bind_number(&b, meta->commit_sequence);
    bind_number(&b, meta->next_id);
    bind_number(&b, meta->next_queue);
    bind_number(&b, meta->incarnation);
    bind_crc(&b, crc_meta(meta));
    return b.code;
}

/* --- reading --- */

/* `bad`: a number does not fit its field, so the row was not written by us as it stands. */
struct reader {
    sqlite3_stmt *statement;
    int at;
    bool bad;
    bool no_memory;
};

static uint64_t read_number(struct reader *r)
{
    return (uint64_t)sqlite3_column_int64(r->statement, r->at++);
}

static uint32_t read_u32(struct reader *r)
{
    const uint64_t number = read_number(r);
    if (number > UINT32_MAX)
        r->bad = true;
    return (uint32_t)number;
}

static struct jq_view read_bytes(struct reader *r)
{
    const int at = r->at++;

    if (sqlite3_column_type(r->statement, at) == SQLITE_NULL)
        return jq_view(NULL, 0);
    /* Pointer first, then size: the order SQLite asks for. */
    const void *data = sqlite3_column_blob(r->statement, at);
    const int size = sqlite3_column_bytes(r->statement, at);
    if (size > 0 && !data)
        r->no_memory = true;
    return jq_view(size > 0 ? data : NULL, data && size > 0 ? (size_t)size : 0);
}

static void expect(struct reader *r, uint32_t stored, uint32_t computed)
{
    if (stored != computed)
        r->bad = true;
}

static uint32_t read_crc(struct reader *r)
{
    return (uint32_t)read_number(r);
}

static enum jq_job_state checked_state(struct reader *r, uint64_t state, bool ended)
{
    if (state < JQ_JOB_STATES && jq_state_is_terminal((enum jq_job_state)state) == ended)
        return (enum jq_job_state)state;
    r->bad = true;
    return ended ? JQ_FAILED : JQ_READY;
}

static void read_head(struct reader *r, bool ended, uint32_t parts, struct jq_job_record *job)
{
    job->id = read_number(r);
    job->state = checked_state(r, read_number(r), ended);
    job->flags = read_number(r);
    job->attempt = read_u32(r);
    job->crashes = read_u32(r);
    job->fence = read_number(r);
    job->session = read_number(r);
    job->started_at = (jq_ns)read_number(r);
    const uint32_t set_crc = read_crc(r);
    job->worker = read_bytes(r);
    expect(r, set_crc, crc_set(job));

    job->queue = read_u32(r);
    const int64_t priority = (int64_t)read_number(r);
    if (priority < INT32_MIN || priority > INT32_MAX)
        r->bad = true;
    job->priority = (int32_t)priority;
    job->owner = read_number(r);
    job->created_at = (jq_ns)read_number(r);
    const uint32_t crc = read_crc(r);
    const uint32_t payload_crc = read_crc(r);
    job->handler = read_bytes(r);
    job->title = read_bytes(r);
    job->key = read_bytes(r);
    job->payload = read_bytes(r);
    expect(r, crc, crc_fixed(job));
    if (parts & JQ_READ_PAYLOAD)
        expect(r, payload_crc, crc_large(job->id, job->payload));
}

static bool read_result(struct reader *r, uint64_t id, uint32_t parts,
                        struct jq_result_record *result)
{
    const uint64_t has_result = read_number(r);
    result->ended_at = (jq_ns)read_number(r);
    result->code = (int64_t)read_number(r);
    result->signal = read_u32(r);
    result->wall_us = read_number(r);
    result->user_us = read_number(r);
    result->system_us = read_number(r);
    result->max_rss_kib = read_number(r);
    result->stdout_bytes = read_number(r);
    result->stderr_bytes = read_number(r);
    const uint32_t crc = read_crc(r);
    const uint32_t value_crc = read_crc(r);
    const uint32_t output_crc = read_crc(r);
    result->reason = read_bytes(r);
    result->value = read_bytes(r);
    result->stdout_head = read_bytes(r);
    result->stdout_tail = read_bytes(r);
    result->stderr_head = read_bytes(r);
    result->stderr_tail = read_bytes(r);
    if (has_result > 1)
        r->bad = true;
    expect(r, crc, crc_result(id, has_result ? result : NULL));
    if (parts & JQ_READ_VALUE)
        expect(r, value_crc, crc_large(id, result->value));
    if (parts & JQ_READ_OUTPUT)
        expect(r, output_crc, crc_output(id, result));
    return has_result != 0;
}

enum jq_err jq_row_read_job(sqlite3_stmt *statement, bool ended, uint32_t parts,
                            struct jq_loaded_job *ret_job)
{
    struct reader r = { .statement = statement };
    struct jq_loaded_job loaded = { 0 };

    read_head(&r, ended, parts, &loaded.job);
    loaded.job.damaged = r.bad;
    if (ended && parts & (JQ_READ_RESULT | JQ_READ_VALUE | JQ_READ_OUTPUT)) {
        r.bad = false;
        loaded.has_result = read_result(&r, loaded.job.id, parts, &loaded.result);
        if (r.bad) {
            loaded.job.damaged = true;
            loaded.has_result = true;
            loaded.result =
                (struct jq_result_record){ .code = -1,
                                           .reason = jq_view_str("the stored result is damaged") };
        }
    }
    if (r.no_memory)
        return JQ_ENOMEM;
    *ret_job = loaded;
    return JQ_OK;
}

static enum jq_err outcome(const struct reader *r)
{
    return r->no_memory ? JQ_ENOMEM : r->bad ? JQ_ECORRUPT : JQ_OK;
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
    worker.bound = read_number(&r) != 0;
    const uint32_t crc = read_crc(&r);
    worker.name = read_bytes(&r);
    expect(&r, crc, crc_worker(&worker));
    JQ_TRY(outcome(&r));
    *ret_worker = worker;
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
