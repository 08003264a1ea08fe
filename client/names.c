/* SPDX-License-Identifier: MIT
 *
 * names.c - checking names, before anything is sent. */
#include "client/names.h"

#include <stdint.h>

#include "proto/limits.h"

/* Bit c of the table: c may be in a name. */
static const uint32_t allowed[8] = {
    0, UINT32_C(0x03ff6000), /* - . 0-9 */
    UINT32_C(0x87fffffe),    /* A-Z _ */
    UINT32_C(0x07fffffe),    /* a-z */
};

bool jq_is_name(struct jq_view name)
{
    const uint8_t *at = name.data;

    if (name.size == 0 || name.size > JQ_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (!(allowed[at[i] / 32] >> (at[i] % 32) & 1))
            return false;
    return true;
}
