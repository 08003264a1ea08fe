/* SPDX-License-Identifier: MIT
 *
 * map.c - open addressing with linear probing; removal shifts back, so there are no tombstones and
 * a lookup's cost depends on the load alone. Load is kept at or below 3/4. */
#include "proto/base/map.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum { FIRST_CAPACITY = 16 };

/* Fibonacci hashing, the same in every run: of ids that were given one after the other four share a
 * line of the cache, as they are looked for one after the other, too; such groups land apart. */
static size_t home_of(const struct jq_map *map, uint64_t key)
{
    const size_t group = (size_t)(((key >> 2) * UINT64_C(0x9e3779b97f4a7c15)) >> 32);

    return (group << 2 | (key & 3)) & (map->capacity - 1);
}

static void place(struct jq_map *map, uint64_t key, void *value)
{
    size_t at = home_of(map, key);
    while (map->slots[at].key) {
        JQ_CHECK(map->slots[at].key != key);
        at = (at + 1) & (map->capacity - 1);
    }
    map->slots[at] = (struct jq_map_slot){ .key = key, .value = value };
}

void jq_map_fini(struct jq_map *map)
{
    jq_free(map->slots);
    *map = (struct jq_map){ 0 };
}

enum jq_err jq_map_reserve(struct jq_map *map, size_t more)
{
    size_t capacity = map->capacity ? map->capacity : FIRST_CAPACITY;
    while (capacity - capacity / 4 < map->count + more) {
        if (capacity > SIZE_MAX / sizeof *map->slots / 2)
            return JQ_ENOMEM;
        capacity *= 2;
    }
    if (capacity == map->capacity)
        return JQ_OK;
    struct jq_map_slot *slots = jq_alloc_zero(capacity, sizeof *slots);
    if (!slots)
        return JQ_ENOMEM;
    const struct jq_map old = *map;
    map->slots = slots;
    map->capacity = capacity;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].key)
            place(map, old.slots[i].key, old.slots[i].value);
    jq_free(old.slots);
    return JQ_OK;
}

enum jq_err jq_map_put(struct jq_map *map, uint64_t key, void *value)
{
    JQ_CHECK(key != 0);
    JQ_TRY(jq_map_reserve(map, 1));
    place(map, key, value);
    map->count++;
    return JQ_OK;
}

/* The slot of a key, or capacity. */
static size_t slot_of(const struct jq_map *map, uint64_t key)
{
    if (!map->capacity || !key)
        return map->capacity;
    for (size_t at = home_of(map, key); map->slots[at].key; at = (at + 1) & (map->capacity - 1))
        if (map->slots[at].key == key)
            return at;
    return map->capacity;
}

void *jq_map_find(const struct jq_map *map, uint64_t key)
{
    const size_t at = slot_of(map, key);
    return at == map->capacity ? NULL : map->slots[at].value;
}

void *jq_map_remove(struct jq_map *map, uint64_t key)
{
    size_t hole = slot_of(map, key);
    if (hole == map->capacity)
        return NULL;
    void *value = map->slots[hole].value;
    const size_t mask = map->capacity - 1;
    for (size_t at = (hole + 1) & mask; map->slots[at].key; at = (at + 1) & mask) {
        /* Move back what could not be found across the hole. */
        const size_t home = home_of(map, map->slots[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = (struct jq_map_slot){ 0 };
    map->count--;
    return value;
}

void *jq_map_next(const struct jq_map *map, size_t *cursor)
{
    while (*cursor < map->capacity) {
        const struct jq_map_slot *slot = &map->slots[(*cursor)++];
        if (slot->key)
            return slot->value;
    }
    return NULL;
}
