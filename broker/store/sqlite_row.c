/* SPDX-License-Identifier: MIT
 *
 * sqlite_row.c - jobs to columns and back. Fields that one operation writes stand in one
 * pack, with a CRC of its own, so that it is rewritten without reading the rest. What SQL itself
 * looks at is a column, and what the CRC of a pack begins with: a row is covered as a whole. */
#include "broker/store/sqlite_columns.h"

enum {
    LIFE_FLAGS,
    LIFE_ATTEMPT,
    LIFE_CRASHES,
    LIFE_FENCE,
    LIFE_SESSION,
    LIFE_STARTED_AT,
    LIFE_DUE_AT,
    LIFE_FAILURES,
    LIFE_WORKER, /* sizes */
    LIFE_HISTORY,
    LIFE_NUMBERS,
};
enum { LIFE_PIECES = LIFE_NUMBERS - LIFE_WORKER };

enum {
    FIXED_OWNER,
    FIXED_CREATED_AT,
    FIXED_HANDLER, /* sizes */
    FIXED_TITLE,
    FIXED_OPTIONS,
    FIXED_PAYLOAD,
    FIXED_PRIORITY,
    FIXED_LARGE_SIZE, /* of a payload in the table for large ones */
    FIXED_LARGE_CRC,
    FIXED_NUMBERS,
};
enum { FIXED_PIECES = FIXED_PRIORITY - FIXED_HANDLER };

/* Columns of JQ_LIVE_ROW, and behind them those of one table. */
enum { ROW_ID, ROW_STATE, ROW_QUEUE, ROW_KEY, ROW_LIFE, ROW_FIXED, ROW_MORE };

static uint32_t seed_life(uint64_t id, uint64_t state)
{
    return CRC_NUMBERS(id, state);
}

static uint32_t seed_fixed(uint64_t id, uint64_t queue, struct jq_view key)
{
    return crc_bytes(CRC_NUMBERS(id, queue, key.size), key);
}

uint32_t jq_row_crc_place(const struct jq_job_record *job)
{
    return CRC_NUMBERS(job->id, job->lane, (uint64_t)job->rank);
}

/* --- writing --- */

void jq_row_pack_life(struct jq_buf *buf, const struct jq_job_record *job)
{
    const uint64_t numbers[LIFE_NUMBERS] = {
        [LIFE_FLAGS] = job->flags,
        [LIFE_ATTEMPT] = job->attempt,
        [LIFE_CRASHES] = job->crashes,
        [LIFE_FENCE] = job->fence,
        [LIFE_SESSION] = job->session,
        [LIFE_STARTED_AT] = (uint64_t)job->started_at,
        [LIFE_DUE_AT] = (uint64_t)job->due_at,
        [LIFE_FAILURES] = job->failures,
        [LIFE_WORKER] = job->worker.size,
        [LIFE_HISTORY] = job->history.size,
    };
    const struct jq_view bytes[LIFE_PIECES] = { job->worker, job->history };

    jq_pack(buf, seed_life(job->id, job->state), numbers, LIFE_NUMBERS, bytes, LIFE_PIECES);
}

void jq_row_pack_fixed(struct jq_buf *buf, const struct jq_job_record *job)
{
    const bool is_large = jq_payload_is_large(job->payload.size);
    const uint64_t numbers[FIXED_NUMBERS] = {
        [FIXED_OWNER] = job->owner,
        [FIXED_CREATED_AT] = (uint64_t)job->created_at,
        [FIXED_HANDLER] = job->handler.size,
        [FIXED_TITLE] = job->title.size,
        [FIXED_OPTIONS] = job->options.size,
        [FIXED_PAYLOAD] = is_large ? 0 : job->payload.size,
        [FIXED_PRIORITY] = jq_pack_signed(job->priority),
        [FIXED_LARGE_SIZE] = is_large ? job->payload.size : 0,
        [FIXED_LARGE_CRC] = is_large ? crc_large(job->id, job->payload) : 0,
    };
    const struct jq_view bytes[FIXED_PIECES] = { job->handler, job->title, job->options,
                                                 is_large ? jq_view(NULL, 0) : job->payload };

    jq_pack(buf, seed_fixed(job->id, job->queue, job->key), numbers, FIXED_NUMBERS, bytes,
            FIXED_PIECES);
}

int jq_row_bind_life(struct jq_sqlite *sqlite, enum jq_sql which, const struct jq_job_record *job)
{
    struct binder b = binder_of(sqlite, which, 1);

    jq_row_pack_life(&sqlite->packs.life, job);
    bind_number(&b, job->id);
    bind_number(&b, job->state);
    bind_pack(&b, &sqlite->packs.life);
    return b.code;
}

int jq_row_bind_id(struct jq_sqlite *sqlite, enum jq_sql which, int at, uint64_t id)
{
    struct binder b = binder_of(sqlite, which, at);

    bind_number(&b, id);
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

static void read_life(struct reader *r, bool ended, struct jq_job_record *job)
{
    uint64_t numbers[LIFE_NUMBERS];
    struct jq_view bytes[LIFE_PIECES];

    r->at = ROW_STATE;
    const uint64_t state = read_number(r);
    r->at = ROW_LIFE;
    if (!jq_unpack(read_bytes(r), seed_life(job->id, state), numbers, LIFE_NUMBERS, bytes,
                   LIFE_WORKER, LIFE_PIECES))
        r->bad = true;
    job->state = checked_state(r, state, ended);
    job->flags = numbers[LIFE_FLAGS];
    job->attempt = narrow(r, numbers[LIFE_ATTEMPT]);
    job->crashes = narrow(r, numbers[LIFE_CRASHES]);
    job->fence = numbers[LIFE_FENCE];
    job->session = numbers[LIFE_SESSION];
    job->started_at = (jq_ns)numbers[LIFE_STARTED_AT];
    job->due_at = (jq_ns)numbers[LIFE_DUE_AT];
    job->failures = narrow(r, numbers[LIFE_FAILURES]);
    job->worker = bytes[0];
    job->history = bytes[1];
}

/* NULL: none. */
static struct jq_view read_key(struct reader *r)
{
    const struct jq_view key = read_bytes(r);

    if (key.size == 0 && sqlite3_column_type(r->statement, ROW_KEY) != SQLITE_NULL)
        r->bad = true;
    return key;
}

/* `ret_large`: size and CRC of what is in the table for large ones. */
static void read_fixed(struct reader *r, struct jq_job_record *job, uint64_t ret_large[2])
{
    uint64_t numbers[FIXED_NUMBERS];
    struct jq_view bytes[FIXED_PIECES];

    r->at = ROW_QUEUE;
    const uint64_t queue = read_number(r);
    job->queue = narrow(r, queue);
    job->key = read_key(r);
    r->at = ROW_FIXED;
    if (!jq_unpack(read_bytes(r), seed_fixed(job->id, queue, job->key), numbers, FIXED_NUMBERS,
                   bytes, FIXED_HANDLER, FIXED_PIECES))
        r->bad = true;
    job->owner = numbers[FIXED_OWNER];
    job->created_at = (jq_ns)numbers[FIXED_CREATED_AT];
    const int64_t priority = jq_unpack_signed(numbers[FIXED_PRIORITY]);
    if (priority < INT32_MIN || priority > INT32_MAX)
        r->bad = true;
    job->priority = (int32_t)priority;
    job->handler = bytes[0];
    job->title = bytes[1];
    job->options = bytes[2];
    job->payload = bytes[3];
    ret_large[0] = numbers[FIXED_LARGE_SIZE];
    ret_large[1] = numbers[FIXED_LARGE_CRC];
}

static void read_place(struct reader *r, struct jq_job_record *job)
{
    r->at = ROW_MORE;
    job->spilled = true;
    job->lane = read_u32(r);
    job->rank = (int64_t)read_number(r);
    expect(r, read_crc(r), jq_row_crc_place(job));
    if (job->lane >= JQ_SPILL_LANES || job->state != JQ_READY)
        r->bad = true;
}

/* --- what is large --- */

enum jq_err jq_row_find_large(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t id,
                              struct reader *ret_reader)
{
    int code = jq_row_bind_id(sqlite, which, 1, id);

    sqlite->is_large_open = true;
    if (code == SQLITE_OK)
        code = sqlite3_step(sqlite->statements[which]);
    *ret_reader =
        (struct reader){ .statement = code == SQLITE_ROW ? sqlite->statements[which] : NULL };
    return code == SQLITE_ROW || code == SQLITE_DONE
               ? JQ_OK
               : jq_sqlite_error(sqlite, code, "cannot read", NULL);
}

void jq_row_end_large(struct jq_sqlite *sqlite)
{
    if (!sqlite->is_large_open)
        return;
    sqlite3_reset(sqlite->statements[JQ_SQL_PAYLOAD_GET]);
    sqlite3_reset(sqlite->statements[JQ_SQL_OUTPUT_GET]);
    sqlite->is_large_open = false;
}

static enum jq_err read_payload(struct jq_sqlite *sqlite, struct jq_job_record *job,
                                const uint64_t large[2], struct reader *r)
{
    struct reader from;

    JQ_TRY(jq_row_find_large(sqlite, JQ_SQL_PAYLOAD_GET, job->id, &from));
    if (from.statement)
        job->payload = read_bytes(&from);
    if (job->payload.size != large[0])
        r->bad = true;
    expect(r, (uint32_t)large[1], crc_large(job->id, job->payload));
    r->no_memory |= from.no_memory;
    return JQ_OK;
}

enum jq_err jq_row_read_job(struct jq_sqlite *sqlite, sqlite3_stmt *statement, enum jq_place place,
                            uint32_t parts, struct jq_loaded_job *ret_job)
{
    const bool ended = place == JQ_PLACE_ENDED;
    struct reader r = { .statement = statement };
    struct jq_loaded_job *const loaded = ret_job;
    uint64_t large[2];

    *loaded = (struct jq_loaded_job){ .job.id = (uint64_t)sqlite3_column_int64(statement, ROW_ID) };
    read_life(&r, ended, &loaded->job);
    read_fixed(&r, &loaded->job, large);
    if (!(parts & JQ_READ_PAYLOAD))
        loaded->job.payload = jq_view(NULL, 0);
    else if (large[0])
        JQ_TRY(read_payload(sqlite, &loaded->job, large, &r));
    if (place == JQ_PLACE_SPILLED)
        read_place(&r, &loaded->job);
    loaded->job.damaged = r.bad;
    if (ended && parts & (JQ_READ_RESULT | JQ_READ_VALUE | JQ_READ_OUTPUT)) {
        r.at = ROW_MORE;
        JQ_TRY(jq_row_read_result(sqlite, &r, parts, loaded));
    }
    return r.no_memory ? JQ_ENOMEM : JQ_OK;
}

bool jq_row_passes(sqlite3_stmt *statement, const struct jq_read *read)
{
    struct reader r = { .statement = statement };
    struct jq_job_record job = { .id = (uint64_t)sqlite3_column_int64(statement, ROW_ID) };
    uint64_t large[2];

    read_fixed(&r, &job, large);
    if (r.bad || r.no_memory)
        return true; /* who reads it says what is wrong */
    return (!read->created_after || job.created_at >= read->created_after) &&
           (!read->created_before || job.created_at < read->created_before) &&
           (!read->label || read->label_size == 0 ||
            (job.options.size > 0 &&
             memmem(job.options.data, job.options.size, read->label, read->label_size)));
}
