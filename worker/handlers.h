/* SPDX-License-Identifier: MIT
 *
 * handlers.h - what jobs can name: the built-in handlers, those of plug-ins, and those that a
 * program which embeds the worker adds. Filled before the threads start, constant from then on. */
#ifndef JQ_WORKER_HANDLERS_H
#define JQ_WORKER_HANDLERS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"
#include "proto/base/view.h"
#include "worker/include/jobq/handler.h"

enum { JQ_HANDLERS_MAX = 256 };

struct jq_handler {
    struct jq_view name;
    const char *from; /* the plug-in's path, or "built in"; borrowed */
    struct jobq_handler offered;
    /* Built-ins alone: never blocks, takes about a microsecond and has no state. The loop runs it,
     * as handing it to a thread and back would take longer. */
    bool quick;
};

struct jq_handlers {
    size_t count;
    struct jq_handler list[JQ_HANDLERS_MAX];
};

/* With the built-ins. NULL: out of memory. */
struct jq_handlers *jq_handlers_new(void);
void jq_handlers_free(struct jq_handlers **handlers);

/* All of a plug-in, or none. `from`, the names and all else that is pointed at outlive `handlers`.
 * EVERSION: another ABI; EINVAL: a name or a struct that is none; EEXIST: a name is taken; ENOSPC:
 * more than JQ_HANDLERS_MAX. With detail. */
JQ_MUST_USE enum jq_err jq_handlers_add(struct jq_handlers *handlers,
                                        const struct jobq_plugin *plugin, const char *from,
                                        struct jq_detail *ret_detail);
/* The same from a shared object, which stays loaded. ENOENT: it cannot be loaded; EINVAL: it is no
 * plug-in. `path` outlives `handlers`. */
JQ_MUST_USE enum jq_err jq_handlers_load(struct jq_handlers *handlers, const char *path,
                                         struct jq_detail *ret_detail);

/* Borrow, or NULL. */
const struct jq_handler *jq_handlers_find(const struct jq_handlers *handlers, struct jq_view name);

#endif
