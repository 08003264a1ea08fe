/* SPDX-License-Identifier: MIT
 *
 * frame.c - counted frames. */
#include "client/frame.h"

#include "proto/base/alloc.h"

void jq_frame_init(struct jq_frame *frame, jq_frame_release_fn *release)
{
    frame->bytes = jq_view(NULL, 0);
    frame->release = release;
    atomic_init(&frame->references, 1);
}

struct jq_frame *jq_frame_keep(struct jq_frame *frame)
{
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);
    return frame;
}

void jq_frame_drop(struct jq_frame **frame)
{
    struct jq_frame *f = *frame;

    *frame = NULL;
    if (f && atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) == 1)
        f->release(f);
}

bool jq_frame_is_sole(const struct jq_frame *frame)
{
    return atomic_load_explicit(&frame->references, memory_order_acquire) == 1;
}

static void release_buf(struct jq_frame *frame)
{
    struct jq_frame_buf *f = (struct jq_frame_buf *)(void *)frame; /* its first member */

    jq_buf_fini(&f->buf);
    jq_free(f);
}

struct jq_frame_buf *jq_frame_buf_new(void)
{
    struct jq_frame_buf *f = jq_alloc_zero(1, sizeof *f);

    if (f)
        jq_frame_init(&f->frame, release_buf);
    return f;
}

struct jq_frame *jq_frame_buf_end(struct jq_frame_buf *frame, size_t start)
{
    frame->frame.bytes = jq_view(frame->buf.data + start, frame->buf.size - start);
    return &frame->frame;
}
