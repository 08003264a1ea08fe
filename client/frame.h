/* SPDX-License-Identifier: MIT
 *
 * frame.h - bytes that several hold: a received frame with the futures whose results point into it,
 * a frame to send with libzmq, which may still read it when its answer is here.
 *
 * The count is atomic because libzmq lets go of a frame in a thread of its own. */
#ifndef JQ_CLIENT_FRAME_H
#define JQ_CLIENT_FRAME_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/view.h"

struct jq_frame;
typedef void jq_frame_release_fn(struct jq_frame *frame); /* frees it; any thread */

struct jq_frame {
    struct jq_view bytes;
    _Atomic uint32_t references;
    jq_frame_release_fn *release;
};

void jq_frame_init(struct jq_frame *frame, jq_frame_release_fn *release); /* held once */
struct jq_frame *jq_frame_keep(struct jq_frame *frame);
void jq_frame_drop(struct jq_frame **frame); /* NULL inside is fine */
/* Nobody else holds it. */
bool jq_frame_is_sole(const struct jq_frame *frame);

/* A frame whose bytes grow in a buffer first. */
struct jq_frame_buf {
    struct jq_frame frame;
    struct jq_buf buf;
};
struct jq_frame_buf *jq_frame_buf_new(void); /* NULL: out of memory */
/* Growing is over: the frame is what is in the buffer from `start` on. */
struct jq_frame *jq_frame_buf_end(struct jq_frame_buf *frame, size_t start);

#endif
