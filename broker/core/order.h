/* SPDX-License-Identifier: MIT
 *
 * order.h - one order key for all three disciplines: (priority, id). FIFO takes the smallest id,
 * LIFO the largest, PRIORITY the smallest priority, then the smallest id. Payloads are never
 * compared. */
#ifndef JQ_CORE_ORDER_H
#define JQ_CORE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/heap.h"

/* Stored: append only. */
enum jq_order_kind { JQ_FIFO = 0, JQ_LIFO = 1, JQ_PRIORITY = 2 };
enum { JQ_ORDER_KINDS = 3 };

struct jq_order_key {
    int64_t rank; /* of PRIORITY alone; lower first */
    uint64_t id;
};

const char *jq_order_name(enum jq_order_kind order);
bool jq_order_parse(const char *name, enum jq_order_kind *ret_order);
/* Inline: heaps compare very often. */
static inline bool jq_order_before(enum jq_order_kind order, struct jq_order_key a,
                                   struct jq_order_key b)
{
    if (order == JQ_LIFO)
        return a.id > b.id;
    if (order == JQ_PRIORITY && a.rank != b.rank)
        return a.rank < b.rank;
    return a.id < b.id;
}

#endif
