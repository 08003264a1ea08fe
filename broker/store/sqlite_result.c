/* SPDX-License-Identifier: MIT
 *
 * sqlite_result.c - how a job has ended, to the pack of its row and back; value and output are in
 * it, or in a row of the table for large ones. */
#include "broker/store/sqlite_columns.h"

enum {
    RESULT_IS_THERE,
    RESULT_ENDED_AT,
    RESULT_CODE,
    RESULT_SIGNAL,
    RESULT_WALL_US,
    RESULT_USER_US,
    RESULT_SYSTEM_US,
    RESULT_MAX_RSS_KIB,
    RESULT_STDOUT_BYTES,
    RESULT_STDERR_BYTES,
    RESULT_KEPT_BYTES,
    RESULT_REASON, /* sizes */
    RESULT_VALUE,
    RESULT_STDOUT_HEAD,
    RESULT_STDOUT_TAIL,
    RESULT_STDERR_HEAD,
    RESULT_STDERR_TAIL,
    RESULT_IS_LARGE, /* value and output are in the table for large ones */
    RESULT_VALUE_CRC,
    RESULT_OUTPUT_CRC,
    RESULT_NUMBERS,
};
enum { RESULT_PIECES = RESULT_IS_LARGE - RESULT_REASON };

static uint32_t seed_result(uint64_t id)
{
    return CRC_NUMBERS(id);
}

void jq_row_pack_result(struct jq_buf *buf, uint64_t id, const struct jq_result_record *result)
{
    static const struct jq_result_record none = { 0 };
    const struct jq_result_record *r = result ? result : &none;
    const bool is_large = jq_output_is_large(r);
    const struct jq_result_record *inside = is_large ? &none : r;
    const uint64_t numbers[RESULT_NUMBERS] = {
        [RESULT_IS_THERE] = result != NULL,
        [RESULT_ENDED_AT] = (uint64_t)r->ended_at,
        [RESULT_CODE] = jq_pack_signed(r->code),
        [RESULT_SIGNAL] = r->signal,
        [RESULT_WALL_US] = r->wall_us,
        [RESULT_USER_US] = r->user_us,
        [RESULT_SYSTEM_US] = r->system_us,
        [RESULT_MAX_RSS_KIB] = r->max_rss_kib,
        [RESULT_STDOUT_BYTES] = r->stdout_bytes,
        [RESULT_STDERR_BYTES] = r->stderr_bytes,
        [RESULT_KEPT_BYTES] = r->kept_bytes,
        [RESULT_REASON] = r->reason.size,
        [RESULT_VALUE] = inside->value.size,
        [RESULT_STDOUT_HEAD] = inside->stdout_head.size,
        [RESULT_STDOUT_TAIL] = inside->stdout_tail.size,
        [RESULT_STDERR_HEAD] = inside->stderr_head.size,
        [RESULT_STDERR_TAIL] = inside->stderr_tail.size,
        [RESULT_IS_LARGE] = is_large,
        [RESULT_VALUE_CRC] = is_large ? crc_large(id, r->value) : 0,
        [RESULT_OUTPUT_CRC] = is_large ? crc_output(id, r) : 0,
    };
    const struct jq_view bytes[RESULT_PIECES] = {
        r->reason,           inside->value,       inside->stdout_head,
        inside->stdout_tail, inside->stderr_head, inside->stderr_tail,
    };

    jq_pack(buf, seed_result(id), numbers, RESULT_NUMBERS, bytes, RESULT_PIECES);
}

int jq_row_bind_result(struct jq_sqlite *sqlite, enum jq_sql which, uint64_t id,
                       const struct jq_result_record *result)
{
    struct binder b = binder_of(sqlite, which, 1);

    jq_row_pack_result(&sqlite->packs.result, id, result);
    bind_number(&b, id);
    bind_pack(&b, &sqlite->packs.result);
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

/* --- reading --- */

/* False: nothing is in the table for large ones. */
static bool read_result(struct reader *r, uint64_t id, struct jq_loaded_job *job,
                        uint64_t numbers[RESULT_NUMBERS])
{
    struct jq_result_record *result = &job->result;
    struct jq_view bytes[RESULT_PIECES];

    if (!jq_unpack(read_bytes(r), seed_result(id), numbers, RESULT_NUMBERS, bytes, RESULT_REASON,
                   RESULT_PIECES) ||
        numbers[RESULT_IS_THERE] > 1)
        r->bad = true;
    job->has_result = numbers[RESULT_IS_THERE] != 0;
    *result = (struct jq_result_record){
        .ended_at = (jq_ns)numbers[RESULT_ENDED_AT],
        .code = jq_unpack_signed(numbers[RESULT_CODE]),
        .signal = narrow(r, numbers[RESULT_SIGNAL]),
        .wall_us = numbers[RESULT_WALL_US],
        .user_us = numbers[RESULT_USER_US],
        .system_us = numbers[RESULT_SYSTEM_US],
        .max_rss_kib = numbers[RESULT_MAX_RSS_KIB],
        .stdout_bytes = numbers[RESULT_STDOUT_BYTES],
        .stderr_bytes = numbers[RESULT_STDERR_BYTES],
        .kept_bytes = numbers[RESULT_KEPT_BYTES],
        .reason = bytes[0],
        .value = bytes[1],
        .stdout_head = bytes[2],
        .stdout_tail = bytes[3],
        .stderr_head = bytes[4],
        .stderr_tail = bytes[5],
    };
    return numbers[RESULT_IS_LARGE] != 0;
}

static enum jq_err read_output(struct jq_sqlite *sqlite, uint64_t id, uint32_t parts,
                               const uint64_t numbers[RESULT_NUMBERS],
                               struct jq_result_record *result, struct reader *r)
{
    struct reader from;

    JQ_TRY(jq_row_find_large(sqlite, JQ_SQL_OUTPUT_GET, id, &from));
    if (from.statement) {
        result->value = read_bytes(&from);
        result->stdout_head = read_bytes(&from);
        result->stdout_tail = read_bytes(&from);
        result->stderr_head = read_bytes(&from);
        result->stderr_tail = read_bytes(&from);
    }
    if (parts & JQ_READ_VALUE)
        expect(r, (uint32_t)numbers[RESULT_VALUE_CRC], crc_large(id, result->value));
    if (parts & JQ_READ_OUTPUT)
        expect(r, (uint32_t)numbers[RESULT_OUTPUT_CRC], crc_output(id, result));
    r->no_memory |= from.no_memory;
    return JQ_OK;
}

static void leave_out(struct jq_result_record *result, uint32_t parts)
{
    if (!(parts & JQ_READ_VALUE))
        result->value = jq_view(NULL, 0);
    if (!(parts & JQ_READ_OUTPUT))
        result->stdout_head = result->stdout_tail = result->stderr_head = result->stderr_tail =
            jq_view(NULL, 0);
}

enum jq_err jq_row_read_result(struct jq_sqlite *sqlite, struct reader *r, uint32_t parts,
                               struct jq_loaded_job *loaded)
{
    uint64_t numbers[RESULT_NUMBERS];

    r->bad = false;
    if (read_result(r, loaded->job.id, loaded, numbers) && parts & (JQ_READ_VALUE | JQ_READ_OUTPUT))
        JQ_TRY(read_output(sqlite, loaded->job.id, parts, numbers, &loaded->result, r));
    leave_out(&loaded->result, parts);
    if (r->bad) {
        loaded->job.damaged = true;
        loaded->has_result = true;
        loaded->result =
            (struct jq_result_record){ .code = -1,
                                       .reason = jq_view_str("the stored result is damaged") };
    }
    return JQ_OK;
}
