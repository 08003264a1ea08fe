/* SPDX-License-Identifier: MIT
 *
 * table.h - rows in key order, for the memory backend: a sorted array with holes. Keys mostly rise
 * and mostly leave from the front, so putting and removing cost a binary search. */
#ifndef JQ_STORE_TABLE_H
#define JQ_STORE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct jq_key {
    uint64_t major, minor;
};

struct jq_table_slot {
    struct jq_key key;
    void *row; /* NULL: a hole, its row was removed */
};

/* A zeroed struct is an empty table. Invariant: slots are in strictly rising key order. */
struct jq_table {
    struct jq_table_slot *slots;
    size_t count; /* holes included */
    size_t holes;
    size_t capacity;
};

void jq_table_fini(struct jq_table *table); /* rows are the caller's */
JQ_MUST_USE enum jq_err jq_table_reserve(struct jq_table *table, size_t more);
/* Into room that was reserved. Returns the row that had this key, or NULL; the caller's now. */
void *jq_table_put(struct jq_table *table, struct jq_key key, void *row);
void *jq_table_find(const struct jq_table *table, struct jq_key key);
void *jq_table_remove(struct jq_table *table, struct jq_key key); /* what it held, or NULL */
/* Index of the first slot whose key is not below `key`; count when there is none. Slots may be
 * holes.
 */
size_t jq_table_seek(const struct jq_table *table, struct jq_key key);

#endif
