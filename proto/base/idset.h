/* SPDX-License-Identifier: MIT
 *
 * idset.h - a set of numbers that finds the nearest below one, however far it is: a tree of bit
 * sets, a map for each of its levels. Near numbers share their nodes. */
#ifndef JQ_BASE_IDSET_H
#define JQ_BASE_IDSET_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/map.h"

enum {
    JQ_IDSET_BITS = sizeof(uintptr_t) == 8 ? 6 : 5, /* of a number, at each level */
    JQ_IDSET_LEVELS = (64 + JQ_IDSET_BITS - 1) / JQ_IDSET_BITS,
};

struct jq_idset {
    struct jq_map levels[JQ_IDSET_LEVELS]; /* (number >> bits) + 1 -> which of its children are */
};

/* A zeroed struct is an empty set. */
void jq_idset_fini(struct jq_idset *set);
/* Room for `more` in a row, from any one on. */
JQ_MUST_USE enum jq_err jq_idset_reserve(struct jq_idset *set, size_t more);
/* It must be absent. ENOMEM: nothing has changed. Cannot fail after a reserve. */
JQ_MUST_USE enum jq_err jq_idset_add(struct jq_idset *set, uint64_t number);
void jq_idset_remove(struct jq_idset *set, uint64_t number); /* it is there */
/* The greatest that is smaller. False: there is none. */
bool jq_idset_below(const struct jq_idset *set, uint64_t number, uint64_t *ret_number);

#endif
