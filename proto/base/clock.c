/* SPDX-License-Identifier: MIT
 *
 * clock.c - the kernel's clocks and random numbers. */
#include "proto/base/clock.h"

#include <sys/random.h>
#include <time.h>

#include "proto/base/check.h"

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    JQ_CHECK(clock_gettime(clock, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct jq_now jq_clock_now(void)
{
    return (struct jq_now){ .mono = read_ns(CLOCK_MONOTONIC) / 1000000,
                            .wall = read_ns(CLOCK_REALTIME) };
}

uint64_t jq_clock_mono_ns(void)
{
    return (uint64_t)read_ns(CLOCK_MONOTONIC);
}

uint64_t jq_clock_entropy(void)
{
    uint64_t value = 0;
    while (value == 0)
        JQ_CHECK(getrandom(&value, sizeof value, 0) == (ssize_t)sizeof value);
    return value;
}
