/* SPDX-License-Identifier: MIT
 *
 * map.h - uint64_t -> pointer, open addressing. Key 0 is not allowed. Iteration order is a function
 * of the insertions and removals alone, never of addresses. */
#ifndef JQ_BASE_MAP_H
#define JQ_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct jq_map_slot {
    uint64_t key; /* 0: free */
    void *value;
};

struct jq_map {
    struct jq_map_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
};

/* A zeroed struct is an empty map. */
void jq_map_fini(struct jq_map *map); /* values are the caller's */
JQ_MUST_USE enum jq_err jq_map_reserve(struct jq_map *map, size_t more);
/* Key must be absent. ENOMEM: nothing has changed. Cannot fail after a reserve. */
JQ_MUST_USE enum jq_err jq_map_put(struct jq_map *map, uint64_t key, void *value);
void *jq_map_find(const struct jq_map *map, uint64_t key); /* borrow, or NULL */
void *jq_map_remove(struct jq_map *map, uint64_t key);     /* what it held, or NULL */
/* *cursor starts at 0; NULL at the end. Do not put or remove meanwhile. */
void *jq_map_next(const struct jq_map *map, size_t *cursor);

#endif
