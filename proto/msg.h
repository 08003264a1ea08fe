/* SPDX-License-Identifier: MIT
 *
 * msg.h - the messages of messages.def as C: structs, encode, decode, print, equality, random.
 *
 * Every view and list in a decoded message points into the frame it came from and dies with it.
 * Lists stay encoded, in both directions: a sender appends records to a jq_buf one by one and sets
 * the list to it; a receiver walks the list, allocation-free:
 *
 *     struct jq_job_spec spec;
 *     for (struct jq_reader r = jq_records_reader(msg.u.submit.jobs); jq_job_spec_next(&r, &spec);)
 *         ...
 *
 * Pure; any thread. */
#ifndef JQ_PROTO_MSG_H
#define JQ_PROTO_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/rng.h"
#include "proto/base/view.h"
#include "proto/limits.h"
#include "proto/states.h"
#include "proto/wire.h"

/* `count` encoded records, one after the other. A decoded list is valid throughout. */
struct jq_records {
    uint32_t count;
    struct jq_view bytes;
};

static inline struct jq_reader jq_records_reader(struct jq_records list)
{
    return jq_reader(list.bytes);
}

static inline struct jq_records jq_records_of(uint32_t count, const struct jq_buf *records)
{
    return (struct jq_records){ .count = count, .bytes = jq_buf_view(records) };
}

/* struct jq_hello, struct jq_job_spec, ...: a member for every field. */
#define RECORD(name) struct jq_##name {
#define RECORD_END(name) \
    }                    \
    ;
#define MSG(name, TAG, number) struct jq_##name {
#define MSG_END(name)                                                          \
    char end_of_message; /* a message may have no field, a C struct may not */ \
    }                                                                          \
    ;
#define U64(name, max) uint64_t name;
#define I64(name) int64_t name;
#define STR(name, max) struct jq_view name;
#define BIN(name, max) struct jq_view name;
#define LIST(name, record, max) struct jq_records name;
#include "proto/messages.def"

enum jq_tag {
#define MSG(name, TAG, number) JQ_MSG_##TAG = (number),
#include "proto/messages.def"
};

struct jq_msg {
    enum jq_tag tag;
    uint64_t version;     /* of the protocol; the encoder writes 0 as JQ_PROTOCOL_MAX */
    uint64_t correlation; /* answers carry the request's; 0 where nothing is answered */
    union {
#define MSG(name, TAG, number) struct jq_##name name;
#include "proto/messages.def"
    } u;
};

/* EPROTO: not a message of ours, or a field out of its bound; nothing is allocated whatever the
 * bytes say. EVERSION: a version outside [JQ_PROTOCOL_MIN, JQ_PROTOCOL_MAX]; tag, version and
 * correlation are set then, for the answer. Bounds of every record in every list are checked here.
 */
JQ_MUST_USE enum jq_err jq_msg_decode(struct jq_view frame, struct jq_msg *ret);
/* Appends one frame. ENOMEM: the buffer is as before. */
JQ_MUST_USE enum jq_err jq_msg_encode(const struct jq_msg *msg, struct jq_buf *out);

const char *jq_msg_name(enum jq_tag tag); /* "submit"; NULL: no such message */
bool jq_msg_equal(const struct jq_msg *a, const struct jq_msg *b);
void jq_msg_print(const struct jq_msg *msg, struct jq_buf *out); /* one line, bytes shortened */
/* A random valid message; its bytes live in `arena`, which must be empty and outlive it. */
JQ_MUST_USE enum jq_err jq_msg_random(struct jq_rng *rng, struct jq_buf *arena, struct jq_msg *ret);

/* For every record: jq_held_write(&buf, &held), jq_held_read(&reader, &held) (EPROTO: zeros),
 * jq_held_next(&reader, &held) (false at the end of a decoded list). */
#define RECORD(name)                                                                      \
    void jq_##name##_write(struct jq_buf *buf, const struct jq_##name *record);           \
    JQ_MUST_USE enum jq_err jq_##name##_read(struct jq_reader *r, struct jq_##name *ret); \
    bool jq_##name##_next(struct jq_reader *r, struct jq_##name *ret);
#include "proto/messages.def"

#endif
