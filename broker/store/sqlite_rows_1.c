/* SPDX-License-Identifier: MIT
 *
 * sqlite_rows_1.c - rows of store version 1, a column for each field, become rows of version 2.
 * What was damaged stays so. A slice at a time: memory is bounded, and the pages of rows that have
 * gone take those that come. */
#include "broker/store/sqlite_columns.h"

enum { SLICE = 1000 };

#define HEAD \
    "SELECT id, state, flags, attempt, crashes, fence, session, started_at, set_crc, worker,"
#define FIXED_1 \
    " queue, priority, owner, created_at, crc, payload_crc, handler, title, key, payload"
#define RESULT_1                                                                      \
    ", has_result, ended_at, code, signal, wall_us, user_us, system_us, max_rss_kib," \
    " stdout_bytes, stderr_bytes, result_crc, value_crc, output_crc, reason, value,"  \
    " stdout_head, stdout_tail, stderr_head, stderr_tail"
#define SLICE_OF(table) " FROM " table " WHERE id > ?1 ORDER BY id LIMIT ?2"

enum statement {
    ROWS,
    PUT,
    DROP,
    PUT_PAYLOAD,
    PUT_OUTPUT,
    STATEMENTS,
};

static const char *const texts[2][STATEMENTS] = {
    {
        [ROWS] = HEAD FIXED_1 SLICE_OF("job_1"),
        [PUT] = "INSERT INTO job (id, state, queue, key, life, fixed)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        [DROP] = "DELETE FROM job_1 WHERE id <= ?1",
    },
    {
        [ROWS] = HEAD FIXED_1 RESULT_1 SLICE_OF("ended_1"),
        [PUT] = "INSERT INTO ended (id, state, queue, key, life, fixed, result)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [DROP] = "DELETE FROM ended_1 WHERE id <= ?1",
    },
};

struct packing {
    sqlite3_stmt *statements[STATEMENTS];
    bool ended;
    struct jq_packs packs;
};

struct row {
    uint64_t state; /* as it stands there */
    struct jq_loaded_job loaded;
    bool bad_life, bad_fixed, bad_result;
};

/* --- as version 1 has written them --- */

static void read_life(struct reader *r, struct row *row)
{
    struct jq_job_record *job = &row->loaded.job;

    job->id = read_number(r);
    row->state = read_number(r);
    job->state = (enum jq_job_state)row->state;
    job->flags = read_number(r);
    job->attempt = read_u32(r);
    job->crashes = read_u32(r);
    job->fence = read_number(r);
    job->session = read_number(r);
    job->started_at = (jq_ns)read_number(r);
    const uint32_t crc = read_crc(r);
    job->worker = read_bytes(r);
    expect(r, crc,
           crc_bytes(CRC_NUMBERS(job->id, pair((uint32_t)row->state, job->attempt), job->flags,
                                 pair(job->crashes, (uint32_t)job->worker.size), job->fence,
                                 job->session, (uint64_t)job->started_at),
                     job->worker));
}

static void read_fixed(struct reader *r, struct row *row)
{
    struct jq_job_record *job = &row->loaded.job;

    job->queue = read_u32(r);
    const int64_t priority = (int64_t)read_number(r);
    if (priority < INT32_MIN || priority > INT32_MAX)
        r->bad = true;
    job->priority = (int32_t)priority;
    job->owner = read_number(r);
    job->created_at = (jq_ns)read_number(r);
    const uint32_t stored = read_crc(r);
    const uint32_t payload_crc = read_crc(r);
    job->handler = read_bytes(r);
    job->title = read_bytes(r);
    job->key = read_bytes(r);
    job->payload = read_bytes(r);
    uint32_t crc = CRC_NUMBERS(
        job->id, pair(job->queue, (uint32_t)job->priority), job->owner, (uint64_t)job->created_at,
        pair((uint32_t)job->handler.size, (uint32_t)job->title.size), job->key.size);
    crc = crc_bytes(crc, job->handler);
    crc = crc_bytes(crc, job->title);
    expect(r, stored, crc_bytes(crc, job->key));
    expect(r, payload_crc, crc_large(job->id, job->payload));
}

static uint32_t crc_result(uint64_t id, const struct jq_result_record *r)
{
    return crc_bytes(CRC_NUMBERS(id, 1, (uint64_t)r->ended_at, (uint64_t)r->code, r->signal,
                                 r->wall_us, r->user_us, r->system_us, r->max_rss_kib,
                                 r->stdout_bytes, r->stderr_bytes, r->reason.size),
                     r->reason);
}

static void read_result(struct reader *r, struct row *row)
{
    struct jq_result_record *result = &row->loaded.result;
    const uint64_t id = row->loaded.job.id, has_result = read_number(r);

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
    row->loaded.has_result = has_result != 0;
    if (has_result > 1)
        r->bad = true;
    expect(r, crc, has_result ? crc_result(id, result) : CRC_NUMBERS(id, 0));
    expect(r, value_crc, crc_large(id, result->value));
    expect(r, output_crc, crc_output(id, result));
}

static bool take(struct reader *r)
{
    const bool bad = r->bad;

    r->bad = false;
    return bad;
}

static int read_row(const struct packing *packing, struct row *row)
{
    struct reader r = { .statement = packing->statements[ROWS] };

    *row = (struct row){ 0 };
    read_life(&r, row);
    row->bad_life = take(&r);
    read_fixed(&r, row);
    row->bad_fixed = take(&r);
    if (packing->ended)
        read_result(&r, row);
    row->bad_result = take(&r);
    return r.no_memory ? SQLITE_NOMEM : SQLITE_OK;
}

/* --- as version 2 has them --- */

static int run(sqlite3_stmt *statement)
{
    const int code = sqlite3_step(statement);
    const int reset = sqlite3_reset(statement);

    return code == SQLITE_DONE ? reset : code;
}

static int put_large(const struct packing *packing, const struct jq_loaded_job *loaded)
{
    const struct jq_result_record *result = &loaded->result;
    int code = SQLITE_OK;

    if (jq_payload_is_large(loaded->job.payload.size)) {
        struct binder b = { .statement = packing->statements[PUT_PAYLOAD], .at = 1 };
        bind_number(&b, loaded->job.id);
        bind_bytes(&b, loaded->job.payload);
        code = b.code == SQLITE_OK ? run(b.statement) : b.code;
    }
    if (code == SQLITE_OK && jq_output_is_large(result)) {
        struct binder b = { .statement = packing->statements[PUT_OUTPUT], .at = 1 };
        bind_number(&b, loaded->job.id);
        bind_output(&b, result);
        code = b.code == SQLITE_OK ? run(b.statement) : b.code;
    }
    return code;
}

/* A CRC that does not fit. */
static void spoil(struct jq_buf *pack, bool bad)
{
    if (bad && pack->size > 0)
        pack->data[0] ^= 1;
}

static int put_row(struct packing *packing, const struct row *row)
{
    const struct jq_loaded_job *loaded = &row->loaded;
    const struct jq_job_record *job = &loaded->job;
    struct jq_packs *packs = &packing->packs;
    struct binder b = { .statement = packing->statements[PUT], .at = 1 };

    jq_row_pack_life(&packs->life, job);
    jq_row_pack_fixed(&packs->fixed, job);
    spoil(&packs->life, row->bad_life);
    spoil(&packs->fixed, row->bad_fixed);
    bind_number(&b, job->id);
    bind_number(&b, row->state);
    bind_number(&b, job->queue);
    bind_key(&b, job->key);
    bind_pack(&b, &packs->life);
    bind_pack(&b, &packs->fixed);
    if (packing->ended) {
        jq_row_pack_result(&packs->result, job->id, loaded->has_result ? &loaded->result : NULL);
        spoil(&packs->result, row->bad_result);
        bind_pack(&b, &packs->result);
    }
    const int code = b.code == SQLITE_OK ? put_large(packing, loaded) : b.code;
    return code == SQLITE_OK ? run(b.statement) : code;
}

/* *last: the id after which the slice begins, and then that with which it ends. */
static int pack_slice(struct packing *packing, int64_t *last, bool *ret_end)
{
    sqlite3_stmt *rows = packing->statements[ROWS];
    struct row row;
    int count = 0;

    sqlite3_bind_int64(rows, 1, *last);
    sqlite3_bind_int64(rows, 2, SLICE);
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        code = read_row(packing, &row);
        if (code == SQLITE_OK)
            code = put_row(packing, &row);
        if (code != SQLITE_OK)
            break;
        *last = (int64_t)row.loaded.job.id;
        count++;
    }
    sqlite3_reset(rows);
    *ret_end = count < SLICE;
    if (code != SQLITE_DONE)
        return code;
    sqlite3_bind_int64(packing->statements[DROP], 1, *last);
    return run(packing->statements[DROP]);
}

static int pack_table(sqlite3 *db, struct packing *packing)
{
    static const char *const large[STATEMENTS] = {
        [PUT_PAYLOAD] = "INSERT INTO job_payload (job_id, bytes) VALUES (?1, ?2)",
        [PUT_OUTPUT] = "INSERT INTO job_output (job_id, value, stdout_head, stdout_tail,"
                       " stderr_head, stderr_tail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    };
    int code = SQLITE_OK;
    int64_t last = INT64_MIN;
    bool end = false;

    for (int i = 0; code == SQLITE_OK && i < STATEMENTS; i++)
        code = sqlite3_prepare_v2(db, large[i] ? large[i] : texts[packing->ended][i], -1,
                                  &packing->statements[i], NULL);
    while (code == SQLITE_OK && !end)
        code = pack_slice(packing, &last, &end);
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(packing->statements[i]);
    jq_buf_fini(&packing->packs.life);
    jq_buf_fini(&packing->packs.fixed);
    jq_buf_fini(&packing->packs.result);
    return code;
}

int jq_sqlite_pack_rows_1(sqlite3 *db)
{
    int code = SQLITE_OK;

    for (int i = 0; code == SQLITE_OK && i < 2; i++) {
        struct packing packing = { .ended = i == 1 };
        code = pack_table(db, &packing);
    }
    return code;
}
