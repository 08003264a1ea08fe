/* SPDX-License-Identifier: MIT
 *
 * builtin.h - the handlers that every worker has. */
#ifndef JQ_WORKER_BUILTIN_H
#define JQ_WORKER_BUILTIN_H

#include <stdbool.h>

#include "worker/include/jobq/handler.h"

struct jq_builtin {
    struct jobq_handler handler;
    bool quick; /* as in struct jq_handler */
};

/* Ends with one without a name. */
extern const struct jq_builtin jq_builtins[];

#endif
