/* SPDX-License-Identifier: MIT
 *
 * handlers.h - the C functions that jobs can name. The registry is constant: built in. */
#ifndef JQ_WORKER_HANDLERS_H
#define JQ_WORKER_HANDLERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/view.h"

/* One call of a handler. The handler reads the first part and writes the second. */
struct jq_call {
    uint64_t id;
    uint64_t fence;
    struct jq_view payload;
    const atomic_bool *cancelled; /* poll it while blocking */

    int64_t code;         /* 0: success */
    char reason[256];     /* why code is not 0 */
    struct jq_buf *value; /* the result; empty at first */
};

struct jq_handler {
    const char *name;
    bool quick; /* never blocks, takes less than a microsecond and has no value: run by the loop */
    void (*run)(struct jq_call *call); /* any thread */
};

/* Borrow, or NULL. */
const struct jq_handler *jq_handler_find(struct jq_view name);

#endif
