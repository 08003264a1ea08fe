/* SPDX-License-Identifier: MIT
 *
 * output.c - head and tail of a stream. */
#include "worker/output.h"

#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum { RING_FIRST = 4096 };

void jq_output_init(struct jq_output *output, size_t bytes)
{
    *output = (struct jq_output){ .head_max = bytes - bytes / 2, .tail_max = bytes / 2 };
}

void jq_output_fini(struct jq_output *output)
{
    jq_buf_fini(&output->head);
    jq_free(output->ring);
    *output = (struct jq_output){ 0 };
}

/* More room for the tail. Only a ring that has not wrapped grows, so its bytes stay in place. */
static void grow_ring(struct jq_output *output, size_t more)
{
    JQ_CHECK(output->ring_at == 0);
    size_t want = output->ring_capacity > 0 ? output->ring_capacity : RING_FIRST;
    while (want < output->tail_max && want - output->ring_size < more)
        want *= 2;
    if (want > output->tail_max)
        want = output->tail_max;
    uint8_t *ring = jq_realloc(output->ring, want);
    if (ring == NULL) {
        output->tail_max = output->ring_capacity; /* what there is must do */
        return;
    }
    output->ring = ring;
    output->ring_capacity = want;
}

static void append_tail(struct jq_output *output, const uint8_t *data, size_t size)
{
    if (size > output->ring_capacity - output->ring_size &&
        output->ring_capacity < output->tail_max)
        grow_ring(output, size);
    const size_t capacity = output->ring_capacity;
    if (capacity == 0)
        return;
    if (size >= capacity) {
        memcpy(output->ring, data + (size - capacity), capacity);
        output->ring_at = 0;
        output->ring_size = capacity;
        return;
    }
    size_t end = output->ring_at + output->ring_size;
    if (end >= capacity)
        end -= capacity;
    const size_t first = size < capacity - end ? size : capacity - end;
    memcpy(output->ring + end, data, first);
    memcpy(output->ring, data + first, size - first);
    const size_t room = capacity - output->ring_size;
    if (size <= room) {
        output->ring_size += size;
        return;
    }
    output->ring_size = capacity;
    output->ring_at += size - room;
    if (output->ring_at >= capacity)
        output->ring_at -= capacity;
}

void jq_output_append(struct jq_output *output, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    /* The head takes bytes only while it is an unbroken prefix of the stream. */
    if (output->total == output->head.size && output->head.size < output->head_max) {
        const size_t room = output->head_max - output->head.size;
        const size_t part = size < room ? size : room;
        if (jq_buf_reserve(&output->head, part) == JQ_OK) {
            jq_buf_append(&output->head, bytes, part);
        } else {
            output->head_max = output->head.size;
            append_tail(output, bytes, part);
        }
        output->total += part;
        bytes += part;
        size -= part;
    }
    if (size == 0)
        return;
    append_tail(output, bytes, size);
    output->total += size;
}

static void reverse(uint8_t *bytes, size_t size)
{
    for (size_t i = 0, j = size; i + 1 < j; i++) {
        j--;
        const uint8_t keep = bytes[i];
        bytes[i] = bytes[j];
        bytes[j] = keep;
    }
}

struct jq_view jq_output_tail(struct jq_output *output)
{
    if (output->ring_at > 0) {
        /* Turned in place: a copy would need the memory again at the worst moment. A wrapped ring
         * is full. */
        reverse(output->ring, output->ring_at);
        reverse(output->ring + output->ring_at, output->ring_size - output->ring_at);
        reverse(output->ring, output->ring_size);
        output->ring_at = 0;
    }
    return jq_view(output->ring, output->ring_size);
}

static struct jq_view part_of(struct jq_view bytes, size_t from, size_t limit)
{
    const size_t left = bytes.size - from;
    return jq_view((const uint8_t *)bytes.data + from, left < limit ? left : limit);
}

struct jq_output_slice jq_output_slice(uint64_t total, struct jq_view head, struct jq_view tail,
                                       uint64_t offset, size_t limit)
{
    const uint64_t tail_at = total - tail.size;
    struct jq_output_slice slice = { .offset = offset };
    if (offset >= total) {
        slice.offset = total;
        slice.last = true;
        return slice;
    }
    if (offset < head.size) {
        slice.bytes = part_of(head, (size_t)offset, limit);
    } else {
        if (offset < tail_at)
            slice.offset = tail_at;
        if (tail.size > 0)
            slice.bytes = part_of(tail, (size_t)(slice.offset - tail_at), limit);
    }
    slice.last = slice.offset + slice.bytes.size >= total;
    return slice;
}
