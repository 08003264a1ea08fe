/* SPDX-License-Identifier: MIT
 *
 * alloc.c - the only caller of malloc and free. The failure countdown is for tests: one relaxed
 * atomic load on the way when it is off. */
#include "proto/base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool failing_is_on;
static atomic_bool failing_is_for_ever;
static _Atomic int64_t countdown_left;
static _Atomic uint64_t made;

/* Counting is on from the first call of jq_alloc_fail_after, so that production pays no atomic add.
 */
static bool refused(void)
{
    if (!atomic_load_explicit(&failing_is_on, memory_order_relaxed))
        return false;
    atomic_fetch_add(&made, 1);
    const int64_t left = atomic_fetch_sub(&countdown_left, 1);
    if (left > 0 || left < -((int64_t)1 << 62))
        return false;
    return left == 0 || atomic_load(&failing_is_for_ever);
}

void *jq_alloc(size_t size)
{
    return refused() ? NULL : malloc(size ? size : 1);
}

void *jq_alloc_zero(size_t count, size_t size)
{
    return refused() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *jq_realloc(void *memory, size_t size)
{
    return refused() ? NULL : realloc(memory, size ? size : 1);
}

void jq_free(void *memory)
{
    free(memory);
}

char *jq_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = jq_alloc(size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

uint64_t jq_alloc_fail_after(int64_t countdown, int forever)
{
    const uint64_t count = atomic_exchange(&made, 0);
    atomic_store(&failing_is_for_ever, forever != 0);
    /* Off still counts allocations: a countdown that never ends. */
    atomic_store(&countdown_left, countdown < 0 ? INT64_MAX : countdown);
    atomic_store(&failing_is_on, true);
    return count;
}
