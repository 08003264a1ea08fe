/* SPDX-License-Identifier: MIT
 *
 * sqlite_pack.h - fields that are written together, in one column. Only sqlite_*.c include this.
 *
 *     crc      4 bytes: CRC-32C over a seed, which stands for other columns, and all that follows
 *     count    1 byte: so many numbers; those behind the last that is not 0 are left out
 *     sizes    a nibble for each number: it has so many bytes, 0 to 8
 *     numbers  little-endian
 *     bytes    whose sizes are among the numbers
 *
 * A later version may add numbers, and bytes, behind those that are there: a pack without them
 * reads as if they were 0, so no row is rewritten for them. */
#ifndef JQ_STORE_SQLITE_PACK_H
#define JQ_STORE_SQLITE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/view.h"

enum { JQ_PACK_NUMBERS_MAX = 32 };

/* Replaces what `buf` holds. The buffer is broken when there is no memory. */
void jq_pack(struct jq_buf *buf, uint32_t seed, const uint64_t *numbers, size_t count,
             const struct jq_view *bytes, size_t pieces);

/* Fills all `count` numbers and all `pieces`, whose sizes are the numbers from `sizes_at` on, in
 * their order. False: it is not what was packed with this seed; what is filled is bounded, and not
 * to be trusted. */
bool jq_unpack(struct jq_view pack, uint32_t seed, uint64_t *ret_numbers, size_t count,
               struct jq_view *ret_bytes, size_t sizes_at, size_t pieces);

/* Signed numbers near 0 are short. */
static inline uint64_t jq_pack_signed(int64_t number)
{
    return (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);
}

static inline int64_t jq_unpack_signed(uint64_t packed)
{
    return (int64_t)(packed >> 1 ^ (packed & 1 ? UINT64_MAX : 0));
}

#endif
