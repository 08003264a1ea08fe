/* SPDX-License-Identifier: MIT
 *
 * wire.h - bounded msgpack. Reading: a linear pre-check of the whole frame, then a cursor that
 * returns views into it and allocates nothing. Writing: msgpack-c's packer into a jq_buf. wire.c is
 * the only user of msgpack.h.
 *
 * Why not msgpack-c for reading: 4.0.0 sizes arrays from the header, so five hostile bytes map
 * gigabytes (upstream issues 985 and 1013). */
#ifndef JQ_PROTO_WIRE_H
#define JQ_PROTO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/view.h"

/* Bytes not yet read. Borrowed from the frame. */
struct jq_reader {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct jq_reader jq_reader(struct jq_view bytes)
{
    const uint8_t *data = bytes.data;
    return (struct jq_reader){ .at = data, .end = bytes.size ? data + bytes.size : data };
}

/* EPROTO unless `frame` is exactly one msgpack object within JQ_DEPTH_MAX and JQ_NODES_MAX whose
 * every count and length fits into the bytes that are left. Extension types are refused. */
JQ_MUST_USE enum jq_err jq_wire_check(struct jq_view frame);

/* Each reads one object: EPROTO when it is of another type, does not fit the C type, or is cut off;
 * the cursor then stays. Safe on unchecked bytes. */
static inline enum jq_err jq_read_u64(struct jq_reader *r, uint64_t *ret);
static inline enum jq_err jq_read_i64(struct jq_reader *r, int64_t *ret);
JQ_MUST_USE enum jq_err jq_read_bool(struct jq_reader *r, bool *ret);
static inline enum jq_err jq_read_str(struct jq_reader *r, struct jq_view *ret);
static inline enum jq_err jq_read_bin(struct jq_reader *r, struct jq_view *ret); /* bin or str */
static inline enum jq_err jq_read_array(struct jq_reader *r, uint32_t *ret_count);
JQ_MUST_USE enum jq_err jq_read_map(struct jq_reader *r, uint32_t *ret_pairs);
JQ_MUST_USE enum jq_err jq_read_nil(struct jq_reader *r);
JQ_MUST_USE enum jq_err jq_read_double(struct jq_reader *r, double *ret); /* a float of 4 or 8 */
JQ_MUST_USE enum jq_err jq_skip(struct jq_reader *r); /* any object, with what it contains */

/* What comes next, unread: for values whose type nobody declared. NEGATIVE: a negative integer. */
enum jq_wire_kind {
    JQ_WIRE_NIL,
    JQ_WIRE_BOOL,
    JQ_WIRE_UINT,
    JQ_WIRE_NEGATIVE,
    JQ_WIRE_DOUBLE,
    JQ_WIRE_STR,
    JQ_WIRE_BIN,
    JQ_WIRE_ARRAY,
    JQ_WIRE_MAP,
};
JQ_MUST_USE enum jq_err jq_peek(const struct jq_reader *r, enum jq_wire_kind *ret);

/* Shortest form always: equal values have equal bytes. Out of memory breaks the buffer. */
static inline void jq_write_u64(struct jq_buf *buf, uint64_t value);
static inline void jq_write_i64(struct jq_buf *buf, int64_t value);
void jq_write_bool(struct jq_buf *buf, bool value);
void jq_write_nil(struct jq_buf *buf);
void jq_write_double(struct jq_buf *buf, double value); /* always 8 bytes */
static inline void jq_write_str(struct jq_buf *buf, struct jq_view value);
static inline void jq_write_bin(struct jq_buf *buf, struct jq_view value);
static inline void jq_write_array(struct jq_buf *buf, uint32_t count);
void jq_write_map(struct jq_buf *buf, uint32_t pairs);
void jq_write_raw(struct jq_buf *buf, struct jq_view encoded);

/* One object as JSON-like text for people (jq_msg_print, tools); binary as escapes, cut at `max`
 * bytes each. `bytes` must have passed jq_wire_check. */
void jq_wire_print(struct jq_view bytes, size_t max, struct jq_buf *out);

/* --- what most values are, inline: small numbers, short strings --- */

JQ_MUST_USE enum jq_err jq_read_long_u64(struct jq_reader *r, uint64_t *ret);
JQ_MUST_USE enum jq_err jq_read_long_i64(struct jq_reader *r, int64_t *ret);
JQ_MUST_USE enum jq_err jq_read_long_str(struct jq_reader *r, struct jq_view *ret);
JQ_MUST_USE enum jq_err jq_read_long_bin(struct jq_reader *r, struct jq_view *ret);
JQ_MUST_USE enum jq_err jq_read_long_array(struct jq_reader *r, uint32_t *ret_count);
void jq_write_long_u64(struct jq_buf *buf, uint64_t value);
void jq_write_long_i64(struct jq_buf *buf, int64_t value);
void jq_write_long_str(struct jq_buf *buf, struct jq_view value);
void jq_write_long_bin(struct jq_buf *buf, struct jq_view value);
void jq_write_long_array(struct jq_buf *buf, uint32_t count);

JQ_MUST_USE static inline enum jq_err jq_read_u64(struct jq_reader *r, uint64_t *ret)
{
    if (r->at == r->end || *r->at > 0x7f)
        return jq_read_long_u64(r, ret);
    *ret = *r->at++;
    return JQ_OK;
}

JQ_MUST_USE static inline enum jq_err jq_read_i64(struct jq_reader *r, int64_t *ret)
{
    if (r->at == r->end || *r->at > 0x7f)
        return jq_read_long_i64(r, ret);
    *ret = *r->at++;
    return JQ_OK;
}

JQ_MUST_USE static inline enum jq_err jq_read_str(struct jq_reader *r, struct jq_view *ret)
{
    if (r->at == r->end || (*r->at & 0xe0) != 0xa0 || (*r->at & 0x1f) >= r->end - r->at)
        return jq_read_long_str(r, ret);
    *ret = jq_view(r->at + 1, *r->at & 0x1f);
    r->at += 1 + ret->size;
    return JQ_OK;
}

JQ_MUST_USE static inline enum jq_err jq_read_bin(struct jq_reader *r, struct jq_view *ret)
{
    if (r->end - r->at < 2 || r->at[0] != 0xc4 || r->at[1] > r->end - r->at - 2)
        return jq_read_long_bin(r, ret);
    *ret = jq_view(r->at + 2, r->at[1]);
    r->at += 2 + ret->size;
    return JQ_OK;
}

JQ_MUST_USE static inline enum jq_err jq_read_array(struct jq_reader *r, uint32_t *ret_count)
{
    if (r->at == r->end || (*r->at & 0xf0) != 0x90)
        return jq_read_long_array(r, ret_count);
    *ret_count = *r->at++ & 0x0f;
    return JQ_OK;
}

/* False: there is no room without asking for more. */
static inline bool jq_write_bytes(struct jq_buf *buf, size_t size, uint8_t first, uint8_t second)
{
    if (buf->capacity - buf->size < size || buf->broken)
        return false;
    buf->data[buf->size] = first;
    if (size > 1)
        buf->data[buf->size + 1] = second;
    buf->size += size;
    return true;
}

static inline void jq_write_u64(struct jq_buf *buf, uint64_t value)
{
    if (value > 0x7f || !jq_write_bytes(buf, 1, (uint8_t)value, 0))
        jq_write_long_u64(buf, value);
}

static inline void jq_write_i64(struct jq_buf *buf, int64_t value)
{
    if (value < 0 || value > 0x7f || !jq_write_bytes(buf, 1, (uint8_t)value, 0))
        jq_write_long_i64(buf, value);
}

static inline void jq_write_str(struct jq_buf *buf, struct jq_view value)
{
    if (value.size > 0x1f || !jq_write_bytes(buf, 1, (uint8_t)(0xa0 | value.size), 0))
        jq_write_long_str(buf, value);
    else
        jq_buf_append(buf, value.data, value.size);
}

static inline void jq_write_bin(struct jq_buf *buf, struct jq_view value)
{
    if (value.size > 0xff || !jq_write_bytes(buf, 2, 0xc4, (uint8_t)value.size))
        jq_write_long_bin(buf, value);
    else
        jq_buf_append(buf, value.data, value.size);
}

static inline void jq_write_array(struct jq_buf *buf, uint32_t count)
{
    if (count > 0x0f || !jq_write_bytes(buf, 1, (uint8_t)(0x90 | count), 0))
        jq_write_long_array(buf, count);
}

#endif
