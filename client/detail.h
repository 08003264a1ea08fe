/* SPDX-License-Identifier: MIT
 *
 * detail.h - what the last failed call of each thread said. A table in the handle, not thread-local
 * storage: a library has no globals. Under the handle's lock. */
#ifndef JQ_CLIENT_DETAIL_H
#define JQ_CLIENT_DETAIL_H

#include <pthread.h>

#include "proto/base/err.h"

enum { JQ_DETAIL_THREADS_MAX = 256 }; /* past it the oldest failure is forgotten */

struct jq_detail_entry;

struct jq_details {
    struct jq_detail_entry *newest; /* by the time of their last failure */
    unsigned count;
};

/* This thread's text, to be filled; NULL: out of memory. */
struct jq_detail *jq_details_get(struct jq_details *details);
const char *jq_details_find(const struct jq_details *details); /* "" when it has none */
void jq_details_fini(struct jq_details *details);

#endif
