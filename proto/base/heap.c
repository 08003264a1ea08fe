/* SPDX-License-Identifier: MIT
 *
 * heap.c - a 4-ary min-heap: shallower than a binary one, and the four children share a cache line.
 */
#include "proto/base/heap.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum { ARITY = 4, FIRST_CAPACITY = 16 };

void jq_heap_init(struct jq_heap *heap, jq_heap_before_fn *before)
{
    *heap = (struct jq_heap){ .before = before };
}

void jq_heap_fini(struct jq_heap *heap)
{
    jq_free(heap->nodes);
    *heap = (struct jq_heap){ .before = heap->before };
}

enum jq_err jq_heap_reserve(struct jq_heap *heap, size_t more)
{
    if (more <= heap->capacity - heap->count)
        return JQ_OK;
    size_t capacity = heap->capacity ? heap->capacity : FIRST_CAPACITY;
    while (capacity - heap->count < more) {
        if (capacity > UINT32_MAX / 2)
            return JQ_ENOMEM;
        capacity *= 2;
    }
    struct jq_heap_node **nodes = jq_realloc(heap->nodes, capacity * sizeof *nodes);
    if (!nodes)
        return JQ_ENOMEM;
    heap->nodes = nodes;
    heap->capacity = capacity;
    return JQ_OK;
}

static void set_at(struct jq_heap *heap, size_t index, struct jq_heap_node *node)
{
    heap->nodes[index] = node;
    node->place = (uint32_t)index + 1;
}

static void sift_up(struct jq_heap *heap, size_t index, struct jq_heap_node *node)
{
    while (index > 0) {
        const size_t parent = (index - 1) / ARITY;
        if (!heap->before(node, heap->nodes[parent]))
            break;
        set_at(heap, index, heap->nodes[parent]);
        index = parent;
    }
    set_at(heap, index, node);
}

static void sift_down(struct jq_heap *heap, size_t index, struct jq_heap_node *node)
{
    for (;;) {
        const size_t first = index * ARITY + 1;
        if (first >= heap->count)
            break;
        const size_t end = first + ARITY < heap->count ? first + ARITY : heap->count;
        size_t best = first;
        for (size_t child = first + 1; child < end; child++)
            if (heap->before(heap->nodes[child], heap->nodes[best]))
                best = child;
        if (!heap->before(heap->nodes[best], node))
            break;
        set_at(heap, index, heap->nodes[best]);
        index = best;
    }
    set_at(heap, index, node);
}

enum jq_err jq_heap_put(struct jq_heap *heap, struct jq_heap_node *node)
{
    JQ_CHECK(node->place == 0);
    JQ_TRY(jq_heap_reserve(heap, 1));
    sift_up(heap, heap->count++, node);
    return JQ_OK;
}

struct jq_heap_node *jq_heap_first(const struct jq_heap *heap)
{
    return heap->count ? heap->nodes[0] : NULL;
}

void jq_heap_remove(struct jq_heap *heap, struct jq_heap_node *node)
{
    const size_t index = node->place - 1;
    JQ_CHECK(node->place != 0 && index < heap->count && heap->nodes[index] == node);
    struct jq_heap_node *last = heap->nodes[--heap->count];
    node->place = 0;
    if (last == node)
        return;
    set_at(heap, index, last);
    jq_heap_moved(heap, last);
}

void jq_heap_moved(struct jq_heap *heap, struct jq_heap_node *node)
{
    const size_t index = node->place - 1;
    JQ_CHECK(node->place != 0 && index < heap->count && heap->nodes[index] == node);
    if (index > 0 && heap->before(node, heap->nodes[(index - 1) / ARITY]))
        sift_up(heap, index, node);
    else
        sift_down(heap, index, node);
}

void jq_heap_rebuild(struct jq_heap *heap)
{
    for (size_t i = heap->count; i-- > 0;)
        sift_down(heap, i, heap->nodes[i]);
}

void jq_heap_check(const struct jq_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        JQ_CHECK(heap->nodes[i]->place == i + 1);
        JQ_CHECK(i == 0 || !heap->before(heap->nodes[i], heap->nodes[(i - 1) / ARITY]));
    }
}
