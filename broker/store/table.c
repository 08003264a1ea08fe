/* SPDX-License-Identifier: MIT
 *
 * table.c - see table.h. */
#include "broker/store/table.h"

#include <stdbool.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum { HOLES_MIN = 1024 };

static int compare(struct jq_key a, struct jq_key b)
{
    if (a.major != b.major)
        return a.major < b.major ? -1 : 1;
    return a.minor < b.minor ? -1 : a.minor > b.minor;
}

void jq_table_fini(struct jq_table *table)
{
    jq_free(table->slots);
    *table = (struct jq_table){ 0 };
}

enum jq_err jq_table_reserve(struct jq_table *table, size_t more)
{
    const size_t needed = table->count + more;

    if (needed <= table->capacity)
        return JQ_OK;
    size_t capacity = table->capacity ? table->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    struct jq_table_slot *slots = jq_realloc(table->slots, capacity * sizeof(*slots));
    if (!slots)
        return JQ_ENOMEM;
    table->slots = slots;
    table->capacity = capacity;
    return JQ_OK;
}

size_t jq_table_seek(const struct jq_table *table, struct jq_key key)
{
    size_t low = 0, high = table->count;

    if (high > 0 && compare(table->slots[high - 1].key, key) < 0)
        return high;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare(table->slots[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool stands_at(const struct jq_table *table, size_t at, struct jq_key key)
{
    return at < table->count && compare(table->slots[at].key, key) == 0;
}

void *jq_table_put(struct jq_table *table, struct jq_key key, void *row)
{
    const size_t at = jq_table_seek(table, key);

    if (stands_at(table, at, key)) {
        void *old = table->slots[at].row;
        table->slots[at].row = row;
        table->holes -= old == NULL;
        return old;
    }
    JQ_CHECK(table->count < table->capacity);
    memmove(table->slots + at + 1, table->slots + at,
            (table->count - at) * sizeof(table->slots[0]));
    table->slots[at] = (struct jq_table_slot){ .key = key, .row = row };
    table->count++;
    return NULL;
}

void *jq_table_find(const struct jq_table *table, struct jq_key key)
{
    const size_t at = jq_table_seek(table, key);
    return stands_at(table, at, key) ? table->slots[at].row : NULL;
}

static void close_holes(struct jq_table *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->count; i++) {
        if (table->slots[i].row)
            table->slots[kept++] = table->slots[i];
    }
    table->count = kept;
    table->holes = 0;
}

void *jq_table_remove(struct jq_table *table, struct jq_key key)
{
    const size_t at = jq_table_seek(table, key);

    if (!stands_at(table, at, key) || !table->slots[at].row)
        return NULL;
    void *row = table->slots[at].row;
    table->slots[at].row = NULL;
    table->holes++;
    if (table->holes > HOLES_MIN && table->holes > table->count / 2)
        close_holes(table);
    return row;
}
