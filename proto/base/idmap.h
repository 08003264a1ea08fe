/* SPDX-License-Identifier: MIT
 *
 * idmap.h - id -> pointer for numbers that are given in order and live about as long as their
 * neighbours. Pages of 64 ids under a map of pages: a put, find or remove touches the cache lines
 * that its neighbours touched just before, where a hash map touches new ones each time. Measured on
 * the core alone with a million jobs queued: 1.4 times the jobs per second, in and out. An id that
 * is alone costs a page of 544 bytes. Id 0 is allowed. Pages are linked in the order of their ids,
 * so that a walk needs no list of its own; the place of one that comes out of order is found in a
 * few steps. */
#ifndef JQ_BASE_IDMAP_H
#define JQ_BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/idset.h"
#include "proto/base/map.h"

struct jq_idmap_page;

struct jq_idmap {
    struct jq_map pages;        /* (id / 64) + 1 -> page */
    struct jq_idset keys;       /* of them */
    struct jq_idmap_page *last; /* put into last, or NULL */
    struct jq_idmap_page *lowest, *highest;
    struct jq_idmap_page *spares; /* made ahead, by jq_idmap_reserve */
    size_t spare_count;
    size_t count; /* ids held */
};

/* A zeroed struct is an empty map. */
void jq_idmap_fini(struct jq_idmap *map); /* values are the caller's */
/* Room for `more` ids in a row, from any one on. */
JQ_MUST_USE enum jq_err jq_idmap_reserve(struct jq_idmap *map, size_t more);
/* Id must be absent, value not NULL. ENOMEM: nothing has changed. Cannot fail after a reserve. */
JQ_MUST_USE enum jq_err jq_idmap_put(struct jq_idmap *map, uint64_t id, void *value);
void *jq_idmap_find(const struct jq_idmap *map, uint64_t id); /* borrow, or NULL */
void *jq_idmap_remove(struct jq_idmap *map, uint64_t id);     /* what it held, or NULL */
/* In id order: the ends, and the neighbours of an id that is held; NULL: there is none. */
void *jq_idmap_first(const struct jq_idmap *map);
void *jq_idmap_final(const struct jq_idmap *map);
void *jq_idmap_next(const struct jq_idmap *map, uint64_t id);
void *jq_idmap_prev(const struct jq_idmap *map, uint64_t id);
/* What the largest id below `id` holds, or NULL. Looks at so many pages at most: *ret_from is the
 * smallest id that has been looked at. */
void *jq_idmap_below(const struct jq_idmap *map, uint64_t id, uint64_t pages, uint64_t *ret_from);

#endif
