/* SPDX-License-Identifier: MIT
 *
 * output.h - what is kept of one stream of a job: its first and its last bytes.
 *
 * Bytes 0 .. head_max-1 go to the head, later ones to a ring that keeps the last tail_max. Memory
 * grows with what is written, never past head_max + tail_max. `total` counts every byte, kept or
 * not. Bytes are bytes: a character cut by a border is put together again by whoever joins head
 * and tail. Pure; one thread. */
#ifndef JQ_WORKER_OUTPUT_H
#define JQ_WORKER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/view.h"

struct jq_output {
    uint64_t total;
    size_t head_max;
    size_t tail_max;
    struct jq_buf head;
    uint8_t *ring;
    size_t ring_capacity; /* grows to tail_max; a full ring smaller than that grows first */
    size_t ring_size;
    size_t ring_at; /* index of the oldest byte; 0 until the ring has wrapped */
};

/* Keeps `bytes` of the stream: half for the head (the odd byte too), half for the tail. */
void jq_output_init(struct jq_output *output, size_t bytes);
void jq_output_fini(struct jq_output *output);
/* Cannot fail: without memory fewer bytes are kept. */
void jq_output_append(struct jq_output *output, const void *data, size_t size);
/* Makes the tail one piece, and returns it. */
struct jq_view jq_output_tail(struct jq_output *output);

/* Where a reader stands. */
struct jq_output_slice {
    uint64_t offset;      /* of bytes[0]; past the one asked for: the middle was dropped */
    struct jq_view bytes; /* in head or tail */
    bool last;            /* nothing that has been written stands behind them */
};

/* The bytes at `offset`, at most `limit`; of a stream of `total` bytes whose ends are given. */
struct jq_output_slice jq_output_slice(uint64_t total, struct jq_view head, struct jq_view tail,
                                       uint64_t offset, size_t limit);

#endif
