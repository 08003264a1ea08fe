/* SPDX-License-Identifier: MIT
 *
 * time.h - instants and durations as values. Nothing here reads a clock. */
#ifndef JQ_BASE_TIME_H
#define JQ_BASE_TIME_H

#include <stdint.h>

typedef int64_t jq_ms; /* milliseconds; an instant of the monotonic clock, or a duration */
typedef int64_t jq_ns; /* nanoseconds since 1970, wall clock: a label, never compared */

#define JQ_NEVER INT64_MAX

/* One "now" per turn. */
struct jq_now {
    jq_ms mono;
    jq_ns wall;
};

/* Saturates at JQ_NEVER. */
static inline jq_ms jq_ms_add(jq_ms a, jq_ms b)
{
    return a > JQ_NEVER - b ? JQ_NEVER : a + b;
}

static inline jq_ms jq_ms_min(jq_ms a, jq_ms b)
{
    return a < b ? a : b;
}

#endif
