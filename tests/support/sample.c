/* SPDX-License-Identifier: MIT
 *
 * sample.c - see sample.h. */
#include "tests/support/sample.h"

#include <string.h>

/* Reserved once, so that views into the arena stay where they are. */
enum { ARENA_BYTES = 64 << 10 };

/* Where the next value comes from: each field takes the next of its kind. */
struct source {
    struct jq_buf *arena;
    size_t next;
};

static uint64_t pick_u64(struct source *from, uint64_t max)
{
    static const uint64_t values[] = {
        1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX,
    };
    const uint64_t value = values[from->next++ % (sizeof values / sizeof *values)];
    return value < max ? value : max;
}

static int64_t pick_i64(struct source *from)
{
    static const int64_t values[] = {
        -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN, INT64_MIN, 0, 127, INT64_MAX,
    };
    return values[from->next++ % (sizeof values / sizeof *values)];
}

static struct jq_view pick_str(struct source *from, const char *name, uint64_t max)
{
    const struct jq_view value = from->next++ % 5 == 4 ? jq_view(NULL, 0) : jq_view_str(name);
    return value.size <= max ? value : jq_view(value.data, (size_t)max);
}

/* Bytes that are no text, of a length that needs one, two or no bytes of head more. */
static struct jq_view pick_bin(struct source *from, uint64_t max)
{
    static const size_t sizes[] = { 0, 1, 31, 32, 255, 256 };
    size_t size = sizes[from->next++ % (sizeof sizes / sizeof *sizes)];
    if (size > max)
        size = (size_t)max;
    uint8_t *at = jq_buf_extend(from->arena, size);
    for (size_t i = 0; at && i < size; i++)
        at[i] = (uint8_t)(0xff - i);
    return jq_view(at, at ? size : 0);
}

typedef void sample_write_fn(struct source *from, struct jq_buf *out);

static struct jq_records pick_list(struct source *from, sample_write_fn *write_one, uint32_t max)
{
    struct jq_buf records = { 0 };
    struct jq_records list = { 0 };
    const uint32_t count = max < 2 ? max : 2;
    for (uint32_t i = 0; i < count; i++)
        write_one(from, &records);
    uint8_t *at = records.broken ? NULL : jq_buf_extend(from->arena, records.size);
    if (at) {
        memcpy(at, records.data, records.size);
        list = (struct jq_records){ .count = count, .bytes = jq_view(at, records.size) };
    } else {
        from->arena->broken = true;
    }
    jq_buf_fini(&records);
    return list;
}

#define RECORD(name)                                                    \
    static void sample_##name(struct source *from, struct jq_##name *m) \
    {                                                                   \
        (void)from;                                                     \
        (void)m;
#define RECORD_END(name)                                         \
    }                                                            \
    static void __attribute__((unused))                          \
    sample_write_##name(struct source *from, struct jq_buf *out) \
    {                                                            \
        struct jq_##name record = { 0 };                         \
        sample_##name(from, &record);                            \
        jq_##name##_write(out, &record);                         \
    }
#define MSG(name, TAG, number) RECORD(name)
#define MSG_END(name) }
#define U64(name, max) m->name = pick_u64(from, max);
#define I64(name) m->name = pick_i64(from);
#define STR(name, max) m->name = pick_str(from, #name, max);
#define BIN(name, max) m->name = pick_bin(from, max);
#define LIST(name, record, max) m->name = pick_list(from, sample_write_##record, max);
#include "proto/messages.def"

static const enum jq_tag tags[] = {
#define MSG(name, TAG, number) JQ_MSG_##TAG,
#include "proto/messages.def"
};

size_t sample_count(void)
{
    return sizeof tags / sizeof *tags;
}

enum jq_err sample_message(size_t index, struct jq_buf *arena, struct jq_msg *ret)
{
    struct source from = { .arena = arena, .next = (size_t)tags[index] };
    struct jq_msg msg = { .tag = tags[index], .version = 1, .correlation = index };

    JQ_TRY(jq_buf_reserve(arena, ARENA_BYTES));
    switch ((int)msg.tag) {
#define MSG(name, TAG, number)             \
    case JQ_MSG_##TAG:                     \
        sample_##name(&from, &msg.u.name); \
        break;
#include "proto/messages.def"
    default:
        break;
    }
    if (!jq_buf_ok(arena))
        return JQ_ENOMEM;
    *ret = msg;
    return JQ_OK;
}
