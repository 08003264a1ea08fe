/* SPDX-License-Identifier: MIT
 *
 * slab.c - objects of one size from chunks of a few hundred. */
#include "client/slab.h"

#include <stdint.h>
#include <string.h>

#include "proto/base/alloc.h"

enum { CHUNK_OBJECTS = 256 };

struct jq_slab_chunk {
    struct jq_slab_chunk *next;
    max_align_t objects[];
};

void jq_slab_init(struct jq_slab *slab, size_t size)
{
    const size_t align = sizeof(max_align_t);

    *slab = (struct jq_slab){ .size = (size + align - 1) / align * align };
}

void jq_slab_fini(struct jq_slab *slab)
{
    while (slab->chunks) {
        struct jq_slab_chunk *chunk = slab->chunks;
        slab->chunks = chunk->next;
        jq_free(chunk);
    }
    slab->free = NULL;
    slab->count = 0;
}

static void put_free(struct jq_slab *slab, void *object)
{
    memcpy(object, &slab->free, sizeof slab->free);
    slab->free = object;
}

static void *grow(struct jq_slab *slab)
{
    struct jq_slab_chunk *chunk = jq_alloc(sizeof *chunk + CHUNK_OBJECTS * slab->size);

    if (!chunk)
        return NULL;
    chunk->next = slab->chunks;
    slab->chunks = chunk;
    for (size_t i = CHUNK_OBJECTS; i-- > 0;) /* so that they are taken in the order of addresses */
        put_free(slab, (uint8_t *)chunk->objects + i * slab->size);
    return slab->free;
}

void *jq_slab_take(struct jq_slab *slab)
{
    void *object = slab->free ? slab->free : grow(slab);

    if (!object)
        return NULL;
    memcpy(&slab->free, object, sizeof slab->free);
    memset(object, 0, slab->size);
    slab->count++;
    return object;
}

void jq_slab_give(struct jq_slab *slab, void *object)
{
    if (!object)
        return;
    put_free(slab, object);
    slab->count--;
}
