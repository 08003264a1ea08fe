/* SPDX-License-Identifier: MIT
 *
 * slab.h - many small objects of one size: a free list over chunks. Memory goes back to the system
 * at the end only. Not thread-safe: its owner's lock holds. */
#ifndef JQ_CLIENT_SLAB_H
#define JQ_CLIENT_SLAB_H

#include <stddef.h>

struct jq_slab_chunk;

struct jq_slab {
    size_t size; /* of one object */
    void *free;  /* the first word of each leads to the next */
    struct jq_slab_chunk *chunks;
    size_t count; /* objects that are out */
};

void jq_slab_init(struct jq_slab *slab, size_t size);
void jq_slab_fini(struct jq_slab *slab);               /* objects that are out die with it */
void *jq_slab_take(struct jq_slab *slab);              /* zeroed; NULL: out of memory */
void jq_slab_give(struct jq_slab *slab, void *object); /* NULL is fine */

#endif
