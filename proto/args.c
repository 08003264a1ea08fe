/* SPDX-License-Identifier: MIT
 *
 * args.c - see args.h. */
#include "proto/args.h"

#include "proto/base/check.h"
#include "proto/limits.h"

static struct jq_view between(const uint8_t *from, const uint8_t *to)
{
    return jq_view(from, (size_t)(to - from));
}

static enum jq_err read_positional(struct jq_reader *r, struct jq_args *args)
{
    const uint8_t *from = r->at;
    struct jq_reader whole = *r;

    JQ_TRY(jq_read_array(r, &args->positional_count));
    JQ_TRY(jq_skip(&whole));
    *r = whole;
    args->positional = between(from, r->at);
    return args->positional_count <= JQ_ARGUMENTS_MAX ? JQ_OK : JQ_EPROTO;
}

static enum jq_err read_named(struct jq_reader *r, struct jq_args *args)
{
    const uint8_t *from = r->at;

    JQ_TRY(jq_read_map(r, &args->named_count));
    if (args->named_count > JQ_NAMED_MAX)
        return JQ_EPROTO;
    for (uint32_t i = 0; i < args->named_count; i++) {
        struct jq_view name;
        JQ_TRY(jq_read_str(r, &name));
        if (name.size == 0 || name.size > JQ_NAME_MAX)
            return JQ_EPROTO;
        JQ_TRY(jq_skip(r));
    }
    args->named = between(from, r->at);
    return JQ_OK;
}

enum jq_err jq_args_read(struct jq_view payload, struct jq_args *ret)
{
    struct jq_reader r = jq_reader(payload);
    struct jq_args args = { .depth = 0 };
    uint32_t count = 0;

    /* An array of few: most other bytes end here. */
    if (payload.size == 0 || (*r.at & 0xf0) != 0x90)
        return JQ_EPROTO;
    JQ_TRY(jq_wire_check(payload));
    JQ_TRY(jq_read_array(&r, &count));
    if (count < 2)
        return JQ_EPROTO;
    JQ_TRY(read_positional(&r, &args));
    JQ_TRY(read_named(&r, &args));
    if (count > 2)
        JQ_TRY(jq_read_u64(&r, &args.depth));
    if (count > 3)
        JQ_TRY(jq_read_u64(&r, &args.timeout_ms));
    *ret = args;
    return JQ_OK;
}

struct jq_reader jq_args_positional(const struct jq_args *args)
{
    struct jq_reader r = jq_reader(args->positional);
    uint32_t count = 0;

    JQ_CHECK(jq_read_array(&r, &count) == JQ_OK);
    return r;
}

struct jq_reader jq_args_named(const struct jq_args *args)
{
    struct jq_reader r = jq_reader(args->named);
    uint32_t count = 0;

    JQ_CHECK(jq_read_map(&r, &count) == JQ_OK);
    return r;
}
