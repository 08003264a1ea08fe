/* SPDX-License-Identifier: MIT
 *
 * args.h - the arguments of a handler's job, as its payload carries them (PROTOCOL.md, part 5):
 * read in place, nothing allocated. Written by libjobq. */
#ifndef JQ_PROTO_ARGS_H
#define JQ_PROTO_ARGS_H

#include "proto/base/err.h"
#include "proto/base/view.h"
#include "proto/wire.h"

struct jq_args {
    struct jq_view positional; /* an array, encoded */
    struct jq_view named;      /* a map of strings to anything, encoded */
    uint32_t positional_count;
    uint32_t named_count;
    uint64_t depth;      /* 0: not said */
    uint64_t timeout_ms; /* 0: none */
};

/* Views into the payload. EPROTO: it is no arguments, which a handler that reads bytes may like. */
JQ_MUST_USE enum jq_err jq_args_read(struct jq_view payload, struct jq_args *ret);

/* Where the elements, or the keys, begin. */
struct jq_reader jq_args_positional(const struct jq_args *args);
struct jq_reader jq_args_named(const struct jq_args *args);

#endif
