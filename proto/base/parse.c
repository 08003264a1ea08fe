/* SPDX-License-Identifier: MIT
 *
 * parse.c - durations and sizes as people write them. Pure. */
#include <ctype.h>
#include <string.h>

#include "proto/base/conf.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* "<digits>[.<digits>]<unit>" times the unit, exactly rounded down; EINVAL also past INT64_MAX. */
static enum jq_err parse_scaled(const char *text, const struct unit *units, size_t count,
                                int64_t *ret)
{
    int64_t whole = 0, fraction = 0, scale = 1;
    const char *at = text;
    if (!isdigit((unsigned char)*at))
        return JQ_EINVAL;
    for (; isdigit((unsigned char)*at); at++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, *at - '0', &whole))
            return JQ_EINVAL;
    if (*at == '.') {
        if (!isdigit((unsigned char)*++at))
            return JQ_EINVAL;
        for (; isdigit((unsigned char)*at); at++)
            if (scale < 1000000) { /* more digits than that say nothing */
                fraction = fraction * 10 + (*at - '0');
                scale *= 10;
            }
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(at, units[i].name) != 0)
            continue;
        int64_t value = 0, rest = 0;
        if (__builtin_mul_overflow(whole, units[i].factor, &value) ||
            __builtin_mul_overflow(fraction, units[i].factor, &rest) ||
            __builtin_add_overflow(value, rest / scale, &value))
            return JQ_EINVAL;
        *ret = value;
        return JQ_OK;
    }
    return JQ_EINVAL;
}

enum jq_err jq_parse_duration(const char *text, int64_t *ret_ms)
{
    static const struct unit units[] = { { "", 1000 },     { "ms", 1 },      { "s", 1000 },
                                         { "m", 60000 },   { "min", 60000 }, { "h", 3600000 },
                                         { "d", 86400000 } };
    return parse_scaled(text, units, sizeof units / sizeof *units, ret_ms);
}

enum jq_err jq_parse_size(const char *text, int64_t *ret_bytes)
{
    static const struct unit units[] = {
        { "", 1 },
        { "B", 1 },
        { "K", 1 << 10 },
        { "KiB", 1 << 10 },
        { "M", 1 << 20 },
        { "MiB", 1 << 20 },
        { "G", 1 << 30 },
        { "GiB", 1 << 30 },
        { "k", 1 << 10 },
        { "m", 1 << 20 },
        { "g", 1 << 30 },
        { "T", INT64_C(1) << 40 },
        { "TiB", INT64_C(1) << 40 },
    };
    return parse_scaled(text, units, sizeof units / sizeof *units, ret_bytes);
}
