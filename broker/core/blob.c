/* SPDX-License-Identifier: MIT
 *
 * blob.c - counted bytes that jobs, results and operations share, and the names in them. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"

struct jq_blob *jq_blob_new(struct jq_view bytes)
{
    struct jq_blob *blob = jq_alloc(sizeof *blob + bytes.size);

    if (!blob)
        return NULL;
    blob->references = 1;
    blob->size = (uint32_t)bytes.size;
    if (bytes.size)
        memcpy(blob->data, bytes.data, bytes.size);
    return blob;
}

bool jq_name_valid(struct jq_view name)
{
    const unsigned char *at = name.data;

    if (name.size == 0 || name.size > JQ_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        const unsigned char c = at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

__extension__ typedef unsigned __int128 wide;

/* Multiply and fold, eight bytes at a time, under a key that peers do not know. */
uint64_t jq_name_hash(const struct jq_core *core, struct jq_view name)
{
    const uint8_t *at = name.data;
    uint64_t hash = core->hash_key ^ name.size;

    for (size_t left = name.size; left > 0;) {
        const size_t step = left < 8 ? left : 8;
        uint64_t word = 0;
        memcpy(&word, at, step);
        const wide product = (wide)(hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash = (uint64_t)product ^ (uint64_t)(product >> 64) ^ core->hash_key;
        at += step;
        left -= step;
    }
    return hash ? hash : 1;
}
