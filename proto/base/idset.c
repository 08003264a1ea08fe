/* SPDX-License-Identifier: MIT
 *
 * idset.c - see idset.h. */
#include "proto/base/idset.h"

#include "proto/base/check.h"

enum { CHILDREN = 1 << JQ_IDSET_BITS };

/* The maps hold the bits themselves in place of pointers. */
static uintptr_t bits_of(const struct jq_map *level, uint64_t key)
{
    return (uintptr_t)jq_map_find(level, key);
}

static uintptr_t bit_of(uint64_t number)
{
    return (uintptr_t)1 << number % CHILDREN;
}

/* Room for them was reserved, or is that of what was removed. */
static void put(struct jq_map *level, uint64_t key, uintptr_t bits)
{
    JQ_CHECK(jq_map_put(level, key, (void *)bits) == JQ_OK);
}

static unsigned highest_of(uintptr_t bits)
{
    return (unsigned)(sizeof(unsigned long long) * 8 - 1) -
           (unsigned)__builtin_clzll((unsigned long long)bits);
}

void jq_idset_fini(struct jq_idset *set)
{
    for (int i = 0; i < JQ_IDSET_LEVELS; i++)
        jq_map_fini(&set->levels[i]);
}

enum jq_err jq_idset_reserve(struct jq_idset *set, size_t more)
{
    for (int i = 0; i < JQ_IDSET_LEVELS; i++) {
        JQ_TRY(jq_map_reserve(&set->levels[i], more));
        more = more / CHILDREN + 2; /* in a row: the first and the last in part */
    }
    return JQ_OK;
}

static enum jq_err reserve_for(struct jq_idset *set, uint64_t number)
{
    for (int i = 0; i < JQ_IDSET_LEVELS; i++) {
        number /= CHILDREN;
        if (jq_map_find(&set->levels[i], number + 1))
            break;
        JQ_TRY(jq_map_reserve(&set->levels[i], 1));
    }
    return JQ_OK;
}

enum jq_err jq_idset_add(struct jq_idset *set, uint64_t number)
{
    JQ_TRY(reserve_for(set, number));
    for (int i = 0; i < JQ_IDSET_LEVELS; i++) {
        const uint64_t key = number / CHILDREN + 1;
        const uintptr_t before = (uintptr_t)jq_map_remove(&set->levels[i], key);
        put(&set->levels[i], key, before | bit_of(number));
        if (before)
            break;
        number /= CHILDREN;
    }
    return JQ_OK;
}

void jq_idset_remove(struct jq_idset *set, uint64_t number)
{
    for (int i = 0; i < JQ_IDSET_LEVELS; i++) {
        const uint64_t key = number / CHILDREN + 1;
        const uintptr_t before = (uintptr_t)jq_map_remove(&set->levels[i], key);
        JQ_CHECK(before & bit_of(number));
        if (before != bit_of(number)) {
            put(&set->levels[i], key, before & ~bit_of(number));
            return;
        }
        number /= CHILDREN;
    }
}

bool jq_idset_below(const struct jq_idset *set, uint64_t number, uint64_t *ret_number)
{
    int i = 0;
    uintptr_t lower = 0;

    for (; i < JQ_IDSET_LEVELS; i++) {
        lower = bits_of(&set->levels[i], number / CHILDREN + 1) & (bit_of(number) - 1);
        if (lower)
            break;
        number /= CHILDREN;
    }
    if (!lower)
        return false;
    number = number / CHILDREN * CHILDREN + highest_of(lower);
    while (i-- > 0)
        number = number * CHILDREN + highest_of(bits_of(&set->levels[i], number + 1));
    *ret_number = number;
    return true;
}
