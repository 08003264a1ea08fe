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
JQ_MUST_USE enum jq_err jq_read_u64(struct jq_reader *r, uint64_t *ret);
JQ_MUST_USE enum jq_err jq_read_i64(struct jq_reader *r, int64_t *ret);
JQ_MUST_USE enum jq_err jq_read_bool(struct jq_reader *r, bool *ret);
JQ_MUST_USE enum jq_err jq_read_str(struct jq_reader *r, struct jq_view *ret);
JQ_MUST_USE enum jq_err jq_read_bin(struct jq_reader *r, struct jq_view *ret); /* bin or str */
JQ_MUST_USE enum jq_err jq_read_array(struct jq_reader *r, uint32_t *ret_count);
JQ_MUST_USE enum jq_err jq_read_map(struct jq_reader *r, uint32_t *ret_pairs);
JQ_MUST_USE enum jq_err jq_read_nil(struct jq_reader *r);
JQ_MUST_USE enum jq_err jq_skip(struct jq_reader *r); /* any object, with what it contains */

/* Shortest form always: equal values have equal bytes. Out of memory breaks the buffer. */
void jq_write_u64(struct jq_buf *buf, uint64_t value);
void jq_write_i64(struct jq_buf *buf, int64_t value);
void jq_write_bool(struct jq_buf *buf, bool value);
void jq_write_nil(struct jq_buf *buf);
void jq_write_str(struct jq_buf *buf, struct jq_view value);
void jq_write_bin(struct jq_buf *buf, struct jq_view value);
void jq_write_array(struct jq_buf *buf, uint32_t count);
void jq_write_map(struct jq_buf *buf, uint32_t pairs);
void jq_write_raw(struct jq_buf *buf, struct jq_view encoded);

/* One object as JSON-like text for people (jq_msg_print, tools); binary as escapes, cut at `max`
 * bytes each. `bytes` must have passed jq_wire_check. */
void jq_wire_print(struct jq_view bytes, size_t max, struct jq_buf *out);

#endif
