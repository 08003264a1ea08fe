/* SPDX-License-Identifier: MIT
 *
 * sqlite_row.c - jobs and results to parameters and columns to records, and the CRCs between: every
 * row is covered, each group of columns by its own CRC, so that one operation can rewrite its group
 * without reading the rest, and a listing can check a row whose payload it does not read. */
#include "broker/store/sqlite_columns.h"

static uint32_t crc_set(const struct jq_job_record *job)
{
    const uint32_t crc =
        crc_bytes(CRC_NUMBERS(job->id, pair((uint32_t)job->state, job->attempt), job->flags,
                              pair(job->crashes, (uint32_t)job->worker.size), job->fence,
                              job->session, (uint64_t)job->started_at),
                  job->worker);
    return crc_bytes(CRC_ADDED(crc, (uint64_t)job->due_at, job->failures, job->history.size),
                     job->history);
}

static uint32_t crc_fixed(const struct jq_job_record *job)
{
    uint32_t crc = CRC_NUMBERS(
        job->id, pair(job->queue, (uint32_t)job->priority), job->owner, (uint64_t)job->created_at,
        pair((uint32_t)job->handler.size, (uint32_t)job->title.size), job->key.size);
    crc = crc_bytes(crc, job->handler);
    crc = crc_bytes(crc, job->title);
    crc = crc_bytes(crc, job->key);
    return crc_bytes(CRC_ADDED(crc, job->options.size), job->options);
}

static uint32_t crc_large(uint64_t id, struct jq_view bytes)
{
    return crc_bytes(CRC_NUMBERS(id, bytes.size), bytes);
}

static uint32_t crc_result(uint64_t id, const struct jq_result_record *r)
{
    if (!r)
        return CRC_NUMBERS(id, 0);
    const uint32_t crc =
        crc_bytes(CRC_NUMBERS(id, 1, (uint64_t)r->ended_at, (uint64_t)r->code, r->signal,
                              r->wall_us, r->user_us, r->system_us, r->max_rss_kib, r->stdout_bytes,
                              r->stderr_bytes, r->reason.size),
                  r->reason);
    return CRC_ADDED(crc, r->kept_bytes);
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

int jq_row_bind_set(struct jq_sqlite *sqlite, enum jq_sql which, int at,
                    const struct jq_job_record *job)
{
    struct binder b = binder_of(sqlite, which, at);

    bind_number(&b, job->id);
    bind_number(&b, (uint64_t)job->state);
    bind_number(&b, job->flags);
    bind_number(&b, job->attempt);
    bind_number(&b, job->crashes);
    bind_number(&b, job->fence);
    bind_number(&b, job->session);
    bind_number(&b, (uint64_t)job->started_at);
    bind_number(&b, (uint64_t)job->due_at);
    bind_number(&b, job->failures);
    bind_crc(&b, crc_set(job));
    bind_bytes(&b, job->worker);
    bind_bytes(&b, job->history);
    return b.code;
}

int jq_row_bind_fixed(struct jq_sqlite *sqlite, enum jq_sql which, int at,
                      const struct jq_job_record *job)
{
    struct binder b = binder_of(sqlite, which, at);

    bind_number(&b, job->queue);
    bind_number(&b, (uint64_t)(int64_t)job->priority);
    bind_number(&b, job->owner);
    bind_number(&b, (uint64_t)job->created_at);
    bind_crc(&b, crc_fixed(job));
    bind_crc(&b, crc_large(job->id, job->payload));
    bind_bytes(&b, job->handler);
    bind_bytes(&b, job->title);
    bind_bytes(&b, job->key);
    bind_bytes(&b, job->options);
    bind_bytes(&b, jq_payload_is_large(job) ? jq_view(NULL, 0) : job->payload);
    return b.code;
}

int jq_row_bind_place(struct jq_sqlite *sqlite, enum jq_sql which, int at,
                      const struct jq_job_record *job)
{
    struct binder b = binder_of(sqlite, which, at);

    bind_number(&b, job->lane);
    bind_number(&b, (uint64_t)job->rank);
    return b.code;
}

static void bind_output(struct binder *b, const struct jq_result_record *r)
{
    bind_bytes(b, r->value);
    bind_bytes(b, r->stdout_head);
    bind_bytes(b, r->stdout_tail);
    bind_bytes(b, r->stderr_head);
    bind_bytes(b, r->stderr_tail);
}

int jq_row_bind_id(struct jq_sqlite *sqlite, enum jq_sql which, int at, uint64_t id)
{
    struct binder b = binder_of(sqlite, which, at);

    bind_number(&b, id);
    return b.code;
}

int jq_row_bind_result(struct jq_sqlite *sqlite, enum jq_sql which, int at, uint64_t id,
                       const struct jq_result_record *result)
{
    static const struct jq_result_record none = { 0 };
    const struct jq_result_record *r = result ? result : &none;
    struct binder b = binder_of(sqlite, which, at);

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
    bind_number(&b, r->kept_bytes);
    bind_crc(&b, crc_result(id, result));
    bind_crc(&b, crc_large(id, r->value));
    bind_crc(&b, crc_output(id, r));
    bind_bytes(&b, r->reason);
    bind_output(&b, jq_output_is_large(r) ? &none : r);
    return b.code;
}

int jq_row_bind_output(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t id,
                       const struct jq_result_record *result)
{
    struct binder b = binder_of(sqlite, which, 1);

    bind_number(&b, id);
    bind_output(&b, result);
    return b.code;
}

int jq_row_bind_payload(struct jq_sqlite *sqlite, enum jq_sql which,
                        const struct jq_job_record *job)
{
    struct binder b = binder_of(sqlite, which, 1);

    bind_number(&b, job->id);
    bind_bytes(&b, job->payload);
    return b.code;
}

/* --- reading --- */

static enum jq_job_state checked_state(struct reader *r, uint64_t state, bool ended)
{
    if (state < JQ_JOB_STATES && jq_state_is_terminal((enum jq_job_state)state) == ended)
        return (enum jq_job_state)state;
    r->bad = true;
    return ended ? JQ_FAILED : JQ_READY;
}

static void read_set(struct reader *r, bool ended, struct jq_job_record *job)
{
    job->id = read_number(r);
    job->state = checked_state(r, read_number(r), ended);
    job->flags = read_number(r);
    job->attempt = read_u32(r);
    job->crashes = read_u32(r);
    job->fence = read_number(r);
    job->session = read_number(r);
    job->started_at = (jq_ns)read_number(r);
    job->due_at = (jq_ns)read_number(r);
    job->failures = read_u32(r);
    const uint32_t set_crc = read_crc(r);
    job->worker = read_bytes(r);
    job->history = read_bytes(r);
    expect(r, set_crc, crc_set(job));
}

static void read_fixed(struct reader *r, uint32_t parts, struct jq_job_record *job)
{
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
    job->options = read_bytes(r);
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
    result->kept_bytes = read_number(r);
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

static void read_place(struct reader *r, struct jq_job_record *job)
{
    job->spilled = true;
    job->lane = read_u32(r);
    job->rank = (int64_t)read_number(r);
    if (job->lane >= JQ_SPILL_LANES || job->state != JQ_READY)
        r->bad = true;
}

enum jq_err jq_row_read_job(sqlite3_stmt *statement, enum jq_place place, uint32_t parts,
                            struct jq_loaded_job *ret_job)
{
    const bool ended = place == JQ_PLACE_ENDED;
    struct reader r = { .statement = statement };
    struct jq_loaded_job loaded = { 0 };

    read_set(&r, ended, &loaded.job);
    read_fixed(&r, parts, &loaded.job);
    if (place == JQ_PLACE_SPILLED)
        read_place(&r, &loaded.job);
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
