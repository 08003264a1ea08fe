/* SPDX-License-Identifier: MIT
 *
 * ids.h - how people name jobs: 7, 3-9, 3,5,8-10, last, and - for those on standard input. Pure. */
#ifndef JQ_CLI_IDS_H
#define JQ_CLI_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

enum { JQ_IDS_MAX = 1 << 20 }; /* jobs that one command line may name */

#define JQ_ID_LAST UINT64_MAX /* stands for the newest job until somebody asks which that is */

/* In the order of their naming, each once or as often as named. A zeroed struct is empty. */
struct jq_ids {
    uint64_t *list;
    size_t count, capacity;
    bool has_last;
};
void jq_ids_fini(struct jq_ids *ids);
JQ_MUST_USE enum jq_err jq_ids_add(struct jq_ids *ids, uint64_t id);
/* Adds what `word` names, of `size` bytes. EINVAL with detail: it names no job, or too many; what
 * stood before it in a list is added then. ENOMEM. */
JQ_MUST_USE enum jq_err jq_ids_parse(struct jq_ids *ids, const char *word, size_t size,
                                     struct jq_detail *ret_detail);
/* The same for every word of a text, between blanks and line ends. */
JQ_MUST_USE enum jq_err jq_ids_parse_text(struct jq_ids *ids, const char *text, size_t size,
                                          struct jq_detail *ret_detail);
/* Keeps the first of equal ids, and the order of the rest. ENOMEM: nothing has changed. */
JQ_MUST_USE enum jq_err jq_ids_unique(struct jq_ids *ids);

#endif
