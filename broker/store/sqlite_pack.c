/* SPDX-License-Identifier: MIT
 *
 * sqlite_pack.c - see sqlite_pack.h. */
#include "broker/store/sqlite_pack.h"

#include <endian.h>

#include "proto/base/check.h"
#include "proto/base/crc32c.h"

enum { HEAD = 5, NIBBLE = 4 };

static size_t bytes_of(uint64_t number)
{
    return number ? 8 - (size_t)__builtin_clzll(number) / 8 : 0;
}

/* Behind the last number there is room for eight bytes. */
static uint8_t *put_numbers(uint8_t *at, const uint64_t *numbers, size_t count)
{
    uint8_t *out = at + (count + 1) / 2;

    memset(at, 0, (count + 1) / 2);
    for (size_t i = 0; i < count; i++) {
        const size_t size = bytes_of(numbers[i]);
        const uint64_t le = htole64(numbers[i]);
        at[i / 2] |= (uint8_t)(size << i % 2 * NIBBLE);
        memcpy(out, &le, sizeof(le));
        out += size;
    }
    return out;
}

void jq_pack(struct jq_buf *buf, uint32_t seed, const uint64_t *numbers, size_t count,
             const struct jq_view *bytes, size_t pieces)
{
    size_t room = HEAD + count * (1 + sizeof(uint64_t)) + sizeof(uint64_t);

    JQ_CHECK(count <= JQ_PACK_NUMBERS_MAX);
    for (size_t i = 0; i < pieces; i++)
        room += bytes[i].size;
    jq_buf_clear(buf);
    uint8_t *const data = jq_buf_extend(buf, room);
    if (!data)
        return;
    while (count > 0 && numbers[count - 1] == 0)
        count--;
    data[HEAD - 1] = (uint8_t)count;
    uint8_t *end = put_numbers(data + HEAD, numbers, count);
    for (size_t i = 0; i < pieces; i++) {
        if (bytes[i].size)
            memcpy(end, bytes[i].data, bytes[i].size);
        end += bytes[i].size;
    }
    buf->size = (size_t)(end - data);
    const uint32_t crc = htole32(jq_crc32c(seed, data + sizeof(crc), buf->size - sizeof(crc)));
    memcpy(data, &crc, sizeof(crc));
}

static bool take_numbers(struct jq_view *rest, uint64_t *ret_numbers, size_t count)
{
    const uint8_t *at = rest->data, *const end = at + rest->size;
    const size_t packed = *at++;
    const uint8_t *const sizes = at;

    if (packed > count || (size_t)(end - at) < (packed + 1) / 2)
        return false;
    at += (packed + 1) / 2;
    for (size_t i = 0; i < packed; i++) {
        const size_t size = sizes[i / 2] >> i % 2 * NIBBLE & 15;
        uint64_t le = 0;
        if (size > sizeof(le) || size > (size_t)(end - at))
            return false;
        memcpy(&le, at, size);
        ret_numbers[i] = le64toh(le);
        at += size;
    }
    *rest = jq_view(at, (size_t)(end - at));
    return true;
}

bool jq_unpack(struct jq_view pack, uint32_t seed, uint64_t *ret_numbers, size_t count,
               struct jq_view *ret_bytes, size_t sizes_at, size_t pieces)
{
    uint32_t crc;

    memset(ret_numbers, 0, count * sizeof(*ret_numbers));
    for (size_t i = 0; i < pieces; i++)
        ret_bytes[i] = jq_view(NULL, 0);
    if (pack.size < HEAD)
        return false;
    memcpy(&crc, pack.data, sizeof(crc));
    const uint8_t *const covered = (const uint8_t *)pack.data + sizeof(crc);
    struct jq_view rest = jq_view(covered, pack.size - sizeof(crc));
    const bool right = jq_crc32c(seed, rest.data, rest.size) == le32toh(crc);
    if (!take_numbers(&rest, ret_numbers, count))
        return false;
    for (size_t i = 0; i < pieces; i++) {
        const uint64_t size = ret_numbers[sizes_at + i];
        if (size > rest.size)
            return false;
        ret_bytes[i] = jq_view(size ? rest.data : NULL, (size_t)size);
        rest = jq_view((const uint8_t *)rest.data + size, rest.size - (size_t)size);
    }
    return right && rest.size == 0;
}
