/* SPDX-License-Identifier: MIT
 *
 * heap.h - a 4-ary min-heap of elements that know their own place, so that any of them can be
 * removed or moved in O(log n). Order is total: `before` must break ties itself (by number, never
 * by address), or replay would differ. */
#ifndef JQ_BASE_HEAP_H
#define JQ_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

/* Embedded in the element. */
struct jq_heap_node {
    uint32_t place; /* index + 1; 0: in no heap */
};

typedef bool jq_heap_before_fn(const struct jq_heap_node *a, const struct jq_heap_node *b);

struct jq_heap {
    struct jq_heap_node **nodes;
    size_t count;
    size_t capacity;
    jq_heap_before_fn *before;
};

void jq_heap_init(struct jq_heap *heap, jq_heap_before_fn *before);
void jq_heap_fini(struct jq_heap *heap); /* elements are the caller's */
JQ_MUST_USE enum jq_err jq_heap_reserve(struct jq_heap *heap, size_t more);
/* ENOMEM: nothing has changed. Cannot fail after a reserve. */
JQ_MUST_USE enum jq_err jq_heap_put(struct jq_heap *heap, struct jq_heap_node *node);
struct jq_heap_node *jq_heap_first(const struct jq_heap *heap); /* borrow, or NULL */
void jq_heap_remove(struct jq_heap *heap, struct jq_heap_node *node);
void jq_heap_moved(struct jq_heap *heap, struct jq_heap_node *node); /* its key has changed */
void jq_heap_rebuild(struct jq_heap *heap); /* any number of keys has changed; O(n) */
void jq_heap_check(const struct jq_heap *heap);

static inline bool jq_heap_holds(const struct jq_heap_node *node)
{
    return node->place != 0;
}

#endif
