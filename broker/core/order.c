/* SPDX-License-Identifier: MIT
 *
 * order.c - see order.h. */
#include "broker/core/order.h"

#include <string.h>

static const char *const names[JQ_ORDER_KINDS] = {
    [JQ_FIFO] = "fifo",
    [JQ_LIFO] = "lifo",
    [JQ_PRIORITY] = "priority",
};

const char *jq_order_name(enum jq_order_kind order)
{
    return (unsigned)order < JQ_ORDER_KINDS ? names[order] : "unknown";
}

bool jq_order_parse(const char *name, enum jq_order_kind *ret_order)
{
    for (unsigned i = 0; i < JQ_ORDER_KINDS; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret_order = (enum jq_order_kind)i;
            return true;
        }
    }
    return false;
}
