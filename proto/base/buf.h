/* SPDX-License-Identifier: MIT
 *
 * buf.h - a byte buffer that grows. An allocation that fails makes the buffer *broken*: later
 * appends do nothing, so a writer checks once, at its end, with jq_buf_ok(). */
#ifndef JQ_BASE_BUF_H
#define JQ_BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/view.h"

struct jq_buf {
    uint8_t *data; /* NULL while capacity is 0 */
    size_t size;
    size_t capacity;
    bool broken;
};

/* A zeroed struct is an empty buffer. */
void jq_buf_fini(struct jq_buf *buf);  /* frees; empty and usable again */
void jq_buf_clear(struct jq_buf *buf); /* size 0, not broken, memory kept */
JQ_MUST_USE enum jq_err jq_buf_reserve(struct jq_buf *buf, size_t more); /* ENOMEM: unchanged */
static inline void jq_buf_append(struct jq_buf *buf, const void *data, size_t size);
/* Room for `size` bytes at the end, counted as written; NULL when broken. */
uint8_t *jq_buf_extend(struct jq_buf *buf, size_t size);
/* Caller owns the memory (jq_free); the buffer is empty again. NULL when it was empty. */
uint8_t *jq_buf_take(struct jq_buf *buf, size_t *ret_size);

void jq_buf_append_more(struct jq_buf *buf, const void *data, size_t size); /* whatever there is */

static inline void jq_buf_append(struct jq_buf *buf, const void *data, size_t size)
{
    if (size == 0)
        return;
    if (size > buf->capacity - buf->size || buf->broken) {
        jq_buf_append_more(buf, data, size);
        return;
    }
    memcpy(buf->data + buf->size, data, size);
    buf->size += size;
}

static inline bool jq_buf_ok(const struct jq_buf *buf)
{
    return !buf->broken;
}

static inline struct jq_view jq_buf_view(const struct jq_buf *buf)
{
    return jq_view(buf->data, buf->size);
}

#endif
