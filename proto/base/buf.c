/* SPDX-License-Identifier: MIT
 *
 * buf.c - growing byte buffers. */
#include "proto/base/buf.h"

#include "proto/base/alloc.h"

enum { FIRST_CAPACITY = 128 };

void jq_buf_fini(struct jq_buf *buf)
{
    jq_free(buf->data);
    *buf = (struct jq_buf){ 0 };
}

void jq_buf_clear(struct jq_buf *buf)
{
    buf->size = 0;
    buf->broken = false;
}

enum jq_err jq_buf_reserve(struct jq_buf *buf, size_t more)
{
    if (more <= buf->capacity - buf->size)
        return JQ_OK;
    if (more > SIZE_MAX / 4 - buf->size)
        return JQ_ENOMEM;
    size_t capacity = buf->capacity ? buf->capacity : FIRST_CAPACITY;
    while (capacity - buf->size < more)
        capacity *= 2;
    uint8_t *data = jq_realloc(buf->data, capacity);
    if (!data)
        return JQ_ENOMEM;
    buf->data = data;
    buf->capacity = capacity;
    return JQ_OK;
}

void jq_buf_append_more(struct jq_buf *buf, const void *data, size_t size)
{
    uint8_t *at = jq_buf_extend(buf, size);
    if (at)
        memcpy(at, data, size);
}

uint8_t *jq_buf_extend(struct jq_buf *buf, size_t size)
{
    if (buf->broken)
        return NULL;
    if (size > buf->capacity - buf->size && jq_buf_reserve(buf, size) != JQ_OK) {
        buf->broken = true;
        return NULL;
    }
    uint8_t *at = buf->data ? buf->data + buf->size : NULL; /* nothing to nothing */
    buf->size += size;
    return at;
}

uint8_t *jq_buf_take(struct jq_buf *buf, size_t *ret_size)
{
    uint8_t *data = buf->size ? buf->data : NULL;
    *ret_size = buf->size;
    if (!data)
        jq_free(buf->data);
    *buf = (struct jq_buf){ 0 };
    return data;
}
