/* SPDX-License-Identifier: MIT
 *
 * msg.c - messages.def, expanded. Records and messages share one expansion: both are a run of
 * fields in an array. Each field kind has one read, one bound check, one write; each section below
 * expands all fields once. */
#include "proto/msg.h"

#include <stdio.h>

/* --- how many fields, and how many of them must be there --- */

#define RECORD(name) enum { name##_fields = 0
#define RECORD_END(name) \
    }                    \
    ;
#define MSG(name, TAG, number) RECORD(msg_##name)
#define MSG_END(name) RECORD_END(msg_##name)
#define U64(name, max) +1
#define I64(name) +1
#define STR(name, max) +1
#define BIN(name, max) +1
#define LIST(name, record, max) +1
#include "proto/messages.def"

#define RECORD(name) enum { name##_required = 0
#define RECORD_END(name) \
    }                    \
    ;
#define MSG(name, TAG, number) RECORD(msg_##name)
#define MSG_END(name) RECORD_END(msg_##name)
#define U64(name, max) +1
#define I64(name) +1
#define STR(name, max) +1
#define BIN(name, max) +1
#define LIST(name, record, max) +1
#define OPT_U64(name, max)
#define OPT_I64(name)
#define OPT_STR(name, max)
#define OPT_BIN(name, max)
#define OPT_LIST(name, record, max)
#include "proto/messages.def"

/* --- reading --- */

/* Each reads into something of its own first: whoever checks a record only then needs no record. */
#define FIELD_READER static inline __attribute__((always_inline)) enum jq_err
FIELD_READER field_u64(struct jq_reader *r, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    JQ_TRY(jq_read_u64(r, &value));
    if (value > max)
        return JQ_EPROTO;
    *ret = value;
    return JQ_OK;
}

FIELD_READER field_i64(struct jq_reader *r, int64_t *ret)
{
    int64_t value = 0;
    JQ_TRY(jq_read_i64(r, &value));
    *ret = value;
    return JQ_OK;
}

FIELD_READER field_str(struct jq_reader *r, size_t max, struct jq_view *ret)
{
    struct jq_view value;
    JQ_TRY(jq_read_str(r, &value));
    if (value.size > max)
        return JQ_EPROTO;
    *ret = value;
    return JQ_OK;
}

FIELD_READER field_bin(struct jq_reader *r, size_t max, struct jq_view *ret)
{
    struct jq_view value;
    JQ_TRY(jq_read_bin(r, &value));
    if (value.size > max)
        return JQ_EPROTO;
    *ret = value;
    return JQ_OK;
}

typedef enum jq_err check_one_fn(struct jq_reader *r);

static inline enum jq_err field_list(struct jq_reader *r, size_t max, check_one_fn *check_one,
                                     struct jq_records *ret)
{
    uint32_t count = 0;
    JQ_TRY(jq_read_array(r, &count));
    if (count > max)
        return JQ_EPROTO;
    const uint8_t *start = r->at;
    for (uint32_t i = 0; i < count; i++)
        JQ_TRY(check_one(r));
    *ret = (struct jq_records){ .count = count, .bytes = jq_view(start, (size_t)(r->at - start)) };
    return JQ_OK;
}

/* The head of a record: its field count, checked. */
static inline enum jq_err read_head(struct jq_reader *r, uint32_t required, uint32_t *ret_count)
{
    JQ_TRY(jq_read_array(r, ret_count));
    return *ret_count < required ? JQ_EPROTO : JQ_OK;
}

/* Elements that a newer peer appended. */
static inline enum jq_err skip_rest(struct jq_reader *r, uint32_t count, uint32_t known)
{
    for (; count > known; count--)
        JQ_TRY(jq_skip(r));
    return JQ_OK;
}

/* A field past the array's end keeps its zero: the count of required ones was checked before. */
#define READ_FIELD(expr) \
    if (at++ < count)    \
        JQ_TRY(expr);

#define RECORD(name) static enum jq_err __attribute__((unused)) check_##name(struct jq_reader *r);
#include "proto/messages.def"

/* Into zeros. A record's is expanded twice: to read it, and to check it alone. */
#define RECORD(name)                                                   \
    FIELD_READER fill_##name(struct jq_reader *r, struct jq_##name *m) \
    {                                                                  \
        const uint32_t known = name##_fields;                          \
        uint32_t count = 0, at = 0;                                    \
        JQ_TRY(read_head(r, name##_required, &count));
#define RECORD_END(name)               \
    return skip_rest(r, count, known); \
    }
#define MSG(name, TAG, number)                                                               \
    static enum jq_err read_##name(struct jq_reader *r, uint32_t count, struct jq_##name *m) \
    {                                                                                        \
        const uint32_t known = msg_##name##_fields;                                          \
        uint32_t at = 0;                                                                     \
        (void)at;                                                                            \
        (void)m;                                                                             \
        const uint32_t required = msg_##name##_required;                                     \
        if (count < required)                                                                \
            return JQ_EPROTO;
#define MSG_END(name) RECORD_END(name)
#define U64(name, max) READ_FIELD(field_u64(r, max, &m->name))
#define I64(name) READ_FIELD(field_i64(r, &m->name))
#define STR(name, max) READ_FIELD(field_str(r, max, &m->name))
#define BIN(name, max) READ_FIELD(field_bin(r, max, &m->name))
#define LIST(name, record, max) READ_FIELD(field_list(r, max, check_##record, &m->name))
#include "proto/messages.def"

#define RECORD(name)                                                             \
    static enum jq_err __attribute__((unused)) check_##name(struct jq_reader *r) \
    {                                                                            \
        struct jq_##name ignored = { 0 };                                        \
        return fill_##name(r, &ignored);                                         \
    }                                                                            \
    enum jq_err jq_##name##_read(struct jq_reader *from, struct jq_##name *ret)  \
    {                                                                            \
        struct jq_reader cursor = *from;                                         \
        *ret = (struct jq_##name){ 0 };                                          \
        const enum jq_err err = fill_##name(&cursor, ret);                       \
        if (err == JQ_OK)                                                        \
            *from = cursor;                                                      \
        else                                                                     \
            *ret = (struct jq_##name){ 0 };                                      \
        return err;                                                              \
    }
#include "proto/messages.def"

#define RECORD(name)                                                  \
    bool jq_##name##_next(struct jq_reader *r, struct jq_##name *ret) \
    {                                                                 \
        return r->at != r->end && jq_##name##_read(r, ret) == JQ_OK;  \
    }
#include "proto/messages.def"

static enum jq_err read_body(struct jq_reader *r, uint32_t count, struct jq_msg *msg)
{
    switch ((int)msg->tag) {
#define MSG(name, TAG, number) \
    case JQ_MSG_##TAG:         \
        return read_##name(r, count, &msg->u.name);
#include "proto/messages.def"
    default:
        return JQ_EPROTO;
    }
}

enum jq_err jq_msg_decode(struct jq_view frame, struct jq_msg *ret)
{
    if (frame.size > JQ_FRAME_MAX)
        return JQ_EPROTO;
    JQ_TRY(jq_wire_check(frame));
    struct jq_reader r = jq_reader(frame);
    uint32_t count = 0;
    uint64_t tag = 0;
    struct jq_msg msg = { 0 };
    JQ_TRY(read_head(&r, 3, &count));
    JQ_TRY(jq_read_u64(&r, &msg.version));
    JQ_TRY(field_u64(&r, UINT16_MAX, &tag));
    JQ_TRY(jq_read_u64(&r, &msg.correlation));
    msg.tag = (enum jq_tag)tag;
    if (msg.version < JQ_PROTOCOL_MIN || msg.version > JQ_PROTOCOL_MAX) {
        *ret = msg;
        return JQ_EVERSION;
    }
    JQ_TRY(read_body(&r, count - 3, &msg));
    *ret = msg;
    return JQ_OK;
}

/* --- writing --- */

/* What decoding would refuse must not be sent. */
#define RECORD(name)                                             \
    static enum jq_err bounded_##name(const struct jq_##name *m) \
    {                                                            \
        (void)m;
#define RECORD_END(name) \
    return JQ_OK;        \
    }
#define MSG(name, TAG, number) RECORD(name)
#define MSG_END(name) RECORD_END(name)
#define U64(name, max)             \
    if (m->name > (uint64_t)(max)) \
        return JQ_EINVAL;
#define STR(name, max)                \
    if (m->name.size > (size_t)(max)) \
        return JQ_EMSGSIZE;
#define BIN(name, max) STR(name, max)
#define LIST(name, record, max)          \
    if (m->name.count > (uint32_t)(max)) \
        return JQ_EMSGSIZE;
#include "proto/messages.def"

#define RECORD(name)                                                      \
    void jq_##name##_write(struct jq_buf *buf, const struct jq_##name *m) \
    {                                                                     \
        if (bounded_##name(m) != JQ_OK)                                   \
            buf->broken = true;                                           \
        jq_write_array(buf, name##_fields);
#define RECORD_END(name) }
#define MSG(name, TAG, number)                                              \
    static void write_##name(struct jq_buf *buf, const struct jq_##name *m) \
    {                                                                       \
        (void)buf;                                                          \
        (void)m;
#define MSG_END(name) }
#define U64(name, max) jq_write_u64(buf, m->name);
#define I64(name) jq_write_i64(buf, m->name);
#define STR(name, max) jq_write_str(buf, m->name);
#define BIN(name, max) jq_write_bin(buf, m->name);
#define LIST(name, record, max)         \
    jq_write_array(buf, m->name.count); \
    jq_write_raw(buf, m->name.bytes);
#include "proto/messages.def"

/* Refuses what is out of bounds and says how many fields follow the head. */
static enum jq_err measure(const struct jq_msg *msg, uint32_t *ret_fields)
{
    switch ((int)msg->tag) {
#define MSG(name, TAG, number)             \
    case JQ_MSG_##TAG:                     \
        *ret_fields = msg_##name##_fields; \
        return bounded_##name(&msg->u.name);
#include "proto/messages.def"
    default:
        return JQ_EINVAL;
    }
}

static void write_body(struct jq_buf *buf, const struct jq_msg *msg)
{
    switch ((int)msg->tag) {
#define MSG(name, TAG, number)           \
    case JQ_MSG_##TAG:                   \
        write_##name(buf, &msg->u.name); \
        return;
#include "proto/messages.def"
    default:
        return;
    }
}

enum jq_err jq_msg_encode(const struct jq_msg *msg, struct jq_buf *out)
{
    uint32_t fields = 0;
    JQ_TRY(measure(msg, &fields));
    if (out->broken)
        return JQ_ENOMEM;
    const size_t before = out->size;
    jq_write_array(out, 3 + fields);
    jq_write_u64(out, msg->version ? msg->version : JQ_PROTOCOL_MAX);
    jq_write_u64(out, msg->tag);
    jq_write_u64(out, msg->correlation);
    write_body(out, msg);
    const bool broken = out->broken;
    const bool large = out->size - before > JQ_FRAME_MAX;
    if (broken || large) {
        out->size = before;
        out->broken = false;
    }
    return broken ? JQ_ENOMEM : large ? JQ_EMSGSIZE : JQ_OK;
}

/* --- names, equality, printing --- */

const char *jq_msg_name(enum jq_tag tag)
{
    switch ((int)tag) {
#define MSG(name, TAG, number) \
    case JQ_MSG_##TAG:         \
        return #name;
#include "proto/messages.def"
    default:
        return NULL;
    }
}

/* Records are compared as bytes: the shortest form is the only one that is ever written. */
#define RECORD(name)                                                   \
    static bool __attribute__((unused))                                \
    equal_##name(const struct jq_##name *a, const struct jq_##name *b) \
    {                                                                  \
        bool same = true;                                              \
        (void)a;                                                       \
        (void)b;
#define RECORD_END(name) \
    return same;         \
    }
#define MSG(name, TAG, number) RECORD(name)
#define MSG_END(name) RECORD_END(name)
#define U64(name, max) same = same && a->name == b->name;
#define I64(name) same = same && a->name == b->name;
#define STR(name, max) same = same && jq_view_equal(a->name, b->name);
#define BIN(name, max) same = same && jq_view_equal(a->name, b->name);
#define LIST(name, record, max) \
    same = same && a->name.count == b->name.count && jq_view_equal(a->name.bytes, b->name.bytes);
#include "proto/messages.def"

bool jq_msg_equal(const struct jq_msg *a, const struct jq_msg *b)
{
    if (a->tag != b->tag || a->correlation != b->correlation)
        return false;
    switch ((int)a->tag) {
#define MSG(name, TAG, number) \
    case JQ_MSG_##TAG:         \
        return equal_##name(&a->u.name, &b->u.name);
#include "proto/messages.def"
    default:
        return false;
    }
}

enum { PRINTED_BYTES_MAX = 48, PRINTED_RECORDS_MAX = 8 };

static void print_text(struct jq_buf *out, const char *text)
{
    jq_buf_append(out, text, strlen(text));
}

static void print_number(struct jq_buf *out, const char *name, long long value, bool is_unsigned)
{
    char text[96];
    if (is_unsigned)
        (void)snprintf(text, sizeof text, " %s=%llu", name, (unsigned long long)value);
    else
        (void)snprintf(text, sizeof text, " %s=%lld", name, value);
    print_text(out, text);
}

static void print_view(struct jq_buf *out, const char *name, struct jq_view value)
{
    struct jq_buf encoded = { 0 };
    print_text(out, " ");
    print_text(out, name);
    print_text(out, "=");
    jq_write_bin(&encoded, value);
    if (jq_buf_ok(&encoded))
        jq_wire_print(jq_buf_view(&encoded), PRINTED_BYTES_MAX, out);
    jq_buf_fini(&encoded);
}

static void print_records(struct jq_buf *out, const char *name, struct jq_records list)
{
    struct jq_reader r = jq_records_reader(list);
    print_number(out, name, list.count, true);
    print_text(out, "[");
    for (uint32_t i = 0; i < list.count && i < PRINTED_RECORDS_MAX; i++) {
        const struct jq_reader start = r;
        if (jq_skip(&r) != JQ_OK)
            break;
        jq_wire_print(jq_view(start.at, (size_t)(r.at - start.at)), PRINTED_BYTES_MAX, out);
    }
    print_text(out, list.count > PRINTED_RECORDS_MAX ? "...]" : "]");
}

#define RECORD(name)                                            \
    static void __attribute__((unused))                         \
    print_##name(struct jq_buf *out, const struct jq_##name *m) \
    {                                                           \
        (void)out;                                              \
        (void)m;
#define RECORD_END(name) }
#define MSG(name, TAG, number) RECORD(name)
#define MSG_END(name) RECORD_END(name)
#define U64(name, max) print_number(out, #name, (long long)m->name, true);
#define I64(name) print_number(out, #name, (long long)m->name, false);
#define STR(name, max) print_view(out, #name, m->name);
#define BIN(name, max) print_view(out, #name, m->name);
#define LIST(name, record, max) print_records(out, #name, m->name);
#include "proto/messages.def"

void jq_msg_print(const struct jq_msg *msg, struct jq_buf *out)
{
    const char *name = jq_msg_name(msg->tag);
    print_text(out, name ? name : "?");
    print_number(out, "correlation", (long long)msg->correlation, true);
    switch ((int)msg->tag) {
#define MSG(name, TAG, number)           \
    case JQ_MSG_##TAG:                   \
        print_##name(out, &msg->u.name); \
        break;
#include "proto/messages.def"
    default:
        break;
    }
}

/* --- random --- */

/* The arena is reserved once, so that views into it stay where they are. */
enum { ARENA_BYTES = 1 << 20, RANDOM_VIEW_MAX = 96, RANDOM_RECORDS_MAX = 5 };

static uint64_t random_u64(struct jq_rng *rng, uint64_t max)
{
    const uint64_t bits = jq_rng_below(rng, 65); /* every magnitude is as likely as any other */
    const uint64_t value = bits ? jq_rng_next(rng) >> (64 - bits) : 0;
    return value <= max ? value : max;
}

static struct jq_view random_view(struct jq_rng *rng, struct jq_buf *arena, uint64_t max)
{
    const uint64_t cap = max < RANDOM_VIEW_MAX ? max : RANDOM_VIEW_MAX;
    const size_t size = (size_t)jq_rng_below(rng, cap + 1);
    uint8_t *at = jq_buf_extend(arena, size);
    if (!at)
        return jq_view(NULL, 0);
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)jq_rng_next(rng);
    return jq_view(at, size);
}

typedef void random_write_fn(struct jq_rng *rng, struct jq_buf *arena, struct jq_buf *out);

static struct jq_records random_records(struct jq_rng *rng, struct jq_buf *arena, uint64_t max,
                                        random_write_fn *write_one)
{
    const uint64_t cap = max < RANDOM_RECORDS_MAX ? max : RANDOM_RECORDS_MAX;
    const uint32_t count = (uint32_t)jq_rng_below(rng, cap + 1);
    struct jq_buf records = { 0 };
    for (uint32_t i = 0; i < count; i++)
        write_one(rng, arena, &records);
    uint8_t *at = records.broken ? NULL : jq_buf_extend(arena, records.size);
    struct jq_records list = { 0 };
    if (at) {
        if (records.size)
            memcpy(at, records.data, records.size);
        list = (struct jq_records){ .count = count, .bytes = jq_view(at, records.size) };
    } else {
        arena->broken = true;
    }
    jq_buf_fini(&records);
    return list;
}

#define RECORD(name)                                                                         \
    static void random_##name(struct jq_rng *rng, struct jq_buf *arena, struct jq_##name *m) \
    {                                                                                        \
        (void)rng;                                                                           \
        (void)arena;                                                                         \
        (void)m;
#define RECORD_END(name)                                                              \
    }                                                                                 \
    static void __attribute__((unused))                                               \
    random_write_##name(struct jq_rng *rng, struct jq_buf *arena, struct jq_buf *out) \
    {                                                                                 \
        struct jq_##name record = { 0 };                                              \
        random_##name(rng, arena, &record);                                           \
        jq_##name##_write(out, &record);                                              \
    }
#define MSG(name, TAG, number) RECORD(name)
#define MSG_END(name) }
#define U64(name, max) m->name = random_u64(rng, max);
#define I64(name) m->name = (int64_t)random_u64(rng, UINT64_MAX);
#define STR(name, max) m->name = random_view(rng, arena, max);
#define BIN(name, max) m->name = random_view(rng, arena, max);
#define LIST(name, record, max) m->name = random_records(rng, arena, max, random_write_##record);
#include "proto/messages.def"

static const enum jq_tag all_tags[] = {
#define MSG(name, TAG, number) JQ_MSG_##TAG,
#include "proto/messages.def"
};

enum jq_err jq_msg_random(struct jq_rng *rng, struct jq_buf *arena, struct jq_msg *ret)
{
    struct jq_msg msg = { .version = JQ_PROTOCOL_MAX };
    JQ_TRY(jq_buf_reserve(arena, ARENA_BYTES));
    msg.tag = all_tags[jq_rng_below(rng, sizeof all_tags / sizeof *all_tags)];
    msg.correlation = random_u64(rng, UINT64_MAX);
    switch ((int)msg.tag) {
#define MSG(name, TAG, number)                  \
    case JQ_MSG_##TAG:                          \
        random_##name(rng, arena, &msg.u.name); \
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
