/* SPDX-License-Identifier: MIT
 *
 * idmap.c - see idmap.h. */
#include "proto/base/idmap.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum {
    PAGE_IDS = 64,
    SPARES_MAX = 256, /* pages kept when they become empty */
};

struct jq_idmap_page {
    uint64_t key; /* in `pages` */
    uint32_t used;
    struct jq_idmap_page *lower, *higher; /* a spare one: `higher` is the next spare */
    void *values[PAGE_IDS];
};

static uint64_t key_of(uint64_t id)
{
    return id / PAGE_IDS + 1;
}

static void spare(struct jq_idmap *map, struct jq_idmap_page *page)
{
    page->higher = map->spares;
    map->spares = page;
    map->spare_count++;
}

void jq_idmap_fini(struct jq_idmap *map)
{
    struct jq_idmap_page *page;

    for (size_t at = 0; (page = jq_map_next(&map->pages, &at));)
        jq_free(page);
    while ((page = map->spares)) {
        map->spares = page->higher;
        jq_free(page);
    }
    jq_map_fini(&map->pages);
    jq_idset_fini(&map->keys);
    *map = (struct jq_idmap){ 0 };
}

enum jq_err jq_idmap_reserve(struct jq_idmap *map, size_t more)
{
    const size_t pages = more / PAGE_IDS + 2; /* the first and the last in part */

    JQ_TRY(jq_map_reserve(&map->pages, pages));
    JQ_TRY(jq_idset_reserve(&map->keys, pages));
    while (map->spare_count < pages) {
        struct jq_idmap_page *page = jq_alloc_zero(1, sizeof *page);
        if (!page)
            return JQ_ENOMEM;
        spare(map, page);
    }
    return JQ_OK;
}

static struct jq_idmap_page *find_page(const struct jq_idmap *map, uint64_t id)
{
    const uint64_t key = key_of(id);

    return map->last && map->last->key == key ? map->last : jq_map_find(&map->pages, key);
}

/* Nearly always the highest. */
static void link_page(struct jq_idmap *map, struct jq_idmap_page *page)
{
    struct jq_idmap_page *below = map->highest;
    uint64_t key;

    if (below && below->key > page->key)
        below = jq_idset_below(&map->keys, page->key, &key) ? jq_map_find(&map->pages, key) : NULL;
    struct jq_idmap_page *above = below ? below->higher : map->lowest;
    page->lower = below;
    page->higher = above;
    *(below ? &below->higher : &map->lowest) = page;
    *(above ? &above->lower : &map->highest) = page;
}

static void unlink_page(struct jq_idmap *map, struct jq_idmap_page *page)
{
    *(page->lower ? &page->lower->higher : &map->lowest) = page->higher;
    *(page->higher ? &page->higher->lower : &map->highest) = page->lower;
    jq_idset_remove(&map->keys, page->key);
}

static struct jq_idmap_page *make_page(struct jq_idmap *map, uint64_t id)
{
    if (!map->spares && jq_idmap_reserve(map, 1) != JQ_OK)
        return NULL;
    struct jq_idmap_page *page = map->spares;
    const uint64_t key = key_of(id);
    if (jq_idset_add(&map->keys, key) != JQ_OK)
        return NULL;
    if (jq_map_put(&map->pages, key, page) != JQ_OK) {
        jq_idset_remove(&map->keys, key);
        return NULL;
    }
    map->spares = page->higher;
    map->spare_count--;
    page->key = key;
    link_page(map, page);
    return page;
}

enum jq_err jq_idmap_put(struct jq_idmap *map, uint64_t id, void *value)
{
    struct jq_idmap_page *page = find_page(map, id);

    JQ_CHECK(value != NULL);
    if (!page)
        page = make_page(map, id);
    if (!page)
        return JQ_ENOMEM;
    JQ_CHECK(!page->values[id % PAGE_IDS]);
    page->values[id % PAGE_IDS] = value;
    map->last = page;
    page->used++;
    map->count++;
    return JQ_OK;
}

void *jq_idmap_find(const struct jq_idmap *map, uint64_t id)
{
    const struct jq_idmap_page *page = find_page(map, id);
    return page ? page->values[id % PAGE_IDS] : NULL;
}

/* The first value of a page from index `at` on, or down from below `at`. NULL: of those after it.
 */
static void *up_from(const struct jq_idmap_page *page, size_t at)
{
    for (; page; page = page->higher, at = 0)
        for (; at < PAGE_IDS; at++)
            if (page->values[at])
                return page->values[at];
    return NULL;
}

static void *down_from(const struct jq_idmap_page *page, size_t at)
{
    for (; page; page = page->lower, at = PAGE_IDS)
        while (at > 0)
            if (page->values[--at])
                return page->values[at];
    return NULL;
}

void *jq_idmap_first(const struct jq_idmap *map)
{
    return up_from(map->lowest, 0);
}

void *jq_idmap_final(const struct jq_idmap *map)
{
    return down_from(map->highest, PAGE_IDS);
}

void *jq_idmap_next(const struct jq_idmap *map, uint64_t id)
{
    return up_from(find_page(map, id), id % PAGE_IDS + 1);
}

void *jq_idmap_prev(const struct jq_idmap *map, uint64_t id)
{
    return down_from(find_page(map, id), id % PAGE_IDS);
}

void *jq_idmap_below(const struct jq_idmap *map, uint64_t id, uint64_t pages, uint64_t *ret_from)
{
    for (*ret_from = id; *ret_from > 0 && pages > 0 && map->count > 0; pages--) {
        const uint64_t first = (*ret_from - 1) / PAGE_IDS * PAGE_IDS;
        const struct jq_idmap_page *page = find_page(map, first);
        while (page && *ret_from > first) {
            void *value = page->values[--*ret_from % PAGE_IDS];
            if (value)
                return value;
        }
        *ret_from = first;
    }
    if (map->count == 0)
        *ret_from = 0;
    return NULL;
}

void *jq_idmap_remove(struct jq_idmap *map, uint64_t id)
{
    struct jq_idmap_page *page = find_page(map, id);
    void *value = page ? page->values[id % PAGE_IDS] : NULL;

    if (!value)
        return NULL;
    page->values[id % PAGE_IDS] = NULL;
    map->count--;
    if (--page->used)
        return value;
    jq_map_remove(&map->pages, page->key);
    unlink_page(map, page);
    if (map->last == page)
        map->last = NULL;
    if (map->spare_count < SPARES_MAX)
        spare(map, page);
    else
        jq_free(page);
    return value;
}
