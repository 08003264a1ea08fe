/* SPDX-License-Identifier: MIT
 *
 * args.c - the arguments of a handler's job, written value by value: [positional, named, depth,
 * timeout] of PROTOCOL.md, part 5. Positional and named ones grow in buffers of their own. */
#include <string.h>

#include "client/include/jobq/jobq.h"
#include "proto/base/alloc.h"
#include "proto/limits.h"
#include "proto/wire.h"

struct jobq_args {
    struct jq_buf positional;
    struct jq_buf named; /* key, value ... */
    uint32_t positional_count;
    uint32_t named_count;
    uint64_t depth;
    uint64_t timeout_ms;          /* 0: none */
    int error;                    /* the first; sticky */
    struct jq_buf *current;       /* of the array or map that is being filled */
    uint64_t left;                /* values that it still takes */
    size_t containers;            /* that are open, one within the other */
    uint64_t outer[JQ_DEPTH_MAX]; /* what the outer ones still take */
};

int jobq_args_new(struct jobq_args **ret_args)
{
    if (!ret_args)
        return JOBQ_EINVAL;
    struct jobq_args *args = jq_alloc_zero(1, sizeof *args);
    if (!args)
        return JOBQ_ENOMEM;
    args->depth = 1;
    *ret_args = args;
    return 0;
}

void jobq_args_free(struct jobq_args **args)
{
    if (!args || !*args)
        return;
    jq_buf_fini(&(*args)->positional);
    jq_buf_fini(&(*args)->named);
    jq_free(*args);
    *args = NULL;
}

/* ---- where a value goes ---- */

static bool is_named(const struct jobq_args *args, struct jq_view name)
{
    struct jq_reader r = jq_reader(jq_buf_view(&args->named));

    for (uint32_t i = 0; i < args->named_count; i++) {
        struct jq_view key;
        if (jq_read_str(&r, &key) != JQ_OK || jq_skip(&r) != JQ_OK)
            return false;
        if (jq_view_equal(key, name))
            return true;
    }
    return false;
}

static int begin_named(struct jobq_args *args, const char *text)
{
    const struct jq_view name = jq_view_str(text);

    if (name.size == 0 || name.size > JQ_NAME_MAX || is_named(args, name))
        return JOBQ_EINVAL;
    if (args->named_count == JQ_NAMED_MAX)
        return JOBQ_EMSGSIZE;
    args->current = &args->named;
    jq_write_str(args->current, name);
    args->named_count++;
    return 0;
}

/* What follows is one value at the outermost level, or the next of the array or map that is open.
 */
static int begin(struct jobq_args *args, const char *name)
{
    if (!args)
        return JOBQ_EINVAL;
    if (args->error)
        return args->error;
    if (args->containers > 0) {
        if (name)
            return args->error = JOBQ_EINVAL;
        args->left--;
        return 0;
    }
    if (name)
        return args->error = begin_named(args, name);
    if (args->positional_count == JQ_ARGUMENTS_MAX)
        return args->error = JOBQ_EMSGSIZE;
    args->current = &args->positional;
    args->positional_count++;
    return 0;
}

static int end(struct jobq_args *args)
{
    while (args->containers > 0 && args->left == 0)
        args->left = args->outer[--args->containers];
    if (!jq_buf_ok(args->current))
        args->error = JOBQ_ENOMEM;
    else if (args->current->size > JQ_PAYLOAD_MAX)
        args->error = JOBQ_EMSGSIZE;
    return args->error;
}

static int open_container(struct jobq_args *args, uint64_t values)
{
    /* The payload's own array and the list or map of arguments are two levels more. */
    if (args->containers + 3 > JQ_DEPTH_MAX)
        return args->error = JOBQ_EINVAL;
    args->outer[args->containers++] = args->left;
    args->left = values;
    return end(args);
}

/* ---- values ---- */

int jobq_args_nil(struct jobq_args *args, const char *name)
{
    const int error = begin(args, name);

    if (error)
        return error;
    jq_write_nil(args->current);
    return end(args);
}

int jobq_args_bool(struct jobq_args *args, const char *name, int value)
{
    const int error = begin(args, name);

    if (error)
        return error;
    jq_write_bool(args->current, value != 0);
    return end(args);
}

int jobq_args_int(struct jobq_args *args, const char *name, int64_t value)
{
    const int error = begin(args, name);

    if (error)
        return error;
    jq_write_i64(args->current, value);
    return end(args);
}

int jobq_args_uint(struct jobq_args *args, const char *name, uint64_t value)
{
    const int error = begin(args, name);

    if (error)
        return error;
    jq_write_u64(args->current, value);
    return end(args);
}

int jobq_args_double(struct jobq_args *args, const char *name, double value)
{
    const int error = begin(args, name);

    if (error)
        return error;
    jq_write_double(args->current, value);
    return end(args);
}

/* Before anything of it is copied. */
static int check_bytes(struct jobq_args *args, const void *data, size_t size)
{
    if (!args)
        return JOBQ_EINVAL;
    if (args->error)
        return args->error;
    if (!data && size)
        return args->error = JOBQ_EINVAL;
    return size > JQ_PAYLOAD_MAX ? (args->error = JOBQ_EMSGSIZE) : 0;
}

int jobq_args_str(struct jobq_args *args, const char *name, const char *text, size_t size)
{
    int error = check_bytes(args, text, size);

    error = error ? error : begin(args, name);
    if (error)
        return error;
    jq_write_str(args->current, jq_view(text, size));
    return end(args);
}

int jobq_args_bytes(struct jobq_args *args, const char *name, const void *data, size_t size)
{
    int error = check_bytes(args, data, size);

    error = error ? error : begin(args, name);
    if (error)
        return error;
    jq_write_bin(args->current, jq_view(data, size));
    return end(args);
}

int jobq_args_msgpack(struct jobq_args *args, const char *name, const void *data, size_t size)
{
    const struct jq_view value = jq_view(data, size);
    int error = check_bytes(args, data, size);

    if (!error && jq_wire_check(value) != JQ_OK)
        error = args->error = JOBQ_EINVAL;
    error = error ? error : begin(args, name);
    if (error)
        return error;
    jq_write_raw(args->current, value);
    return end(args);
}

int jobq_args_array(struct jobq_args *args, const char *name, uint32_t elements)
{
    const int error = begin(args, name);

    if (error)
        return error;
    jq_write_array(args->current, elements);
    return open_container(args, elements);
}

int jobq_args_map(struct jobq_args *args, const char *name, uint32_t pairs)
{
    const int error = begin(args, name);

    if (error)
        return error;
    jq_write_map(args->current, pairs);
    return open_container(args, (uint64_t)pairs * 2);
}

int jobq_args_depth(struct jobq_args *args, uint64_t depth)
{
    if (!args)
        return JOBQ_EINVAL;
    if (depth == 0 || depth > JQ_JOB_DEPTH_MAX)
        return args->error = args->error ? args->error : JOBQ_EINVAL;
    args->depth = depth;
    return args->error;
}

int jobq_args_timeout(struct jobq_args *args, int64_t timeout_ms)
{
    if (!args)
        return JOBQ_EINVAL;
    if (timeout_ms < 0)
        return args->error = args->error ? args->error : JOBQ_EINVAL;
    args->timeout_ms = (uint64_t)timeout_ms;
    return args->error;
}

/* ---- the payload ---- */

static int pack(const struct jobq_args *args, struct jq_buf *out)
{
    if (args->error)
        return args->error;
    if (args->containers > 0)
        return JOBQ_EINVAL;
    jq_write_array(out, args->timeout_ms ? 4 : 3);
    jq_write_array(out, args->positional_count);
    jq_write_raw(out, jq_buf_view(&args->positional));
    jq_write_map(out, args->named_count);
    jq_write_raw(out, jq_buf_view(&args->named));
    jq_write_u64(out, args->depth);
    if (args->timeout_ms)
        jq_write_u64(out, args->timeout_ms);
    if (!jq_buf_ok(out))
        return JOBQ_ENOMEM;
    if (out->size > JQ_PAYLOAD_MAX)
        return JOBQ_EMSGSIZE;
    /* Too deep or too many tokens, by what jobq_args_msgpack was given. */
    return jq_wire_check(jq_buf_view(out)) == JQ_OK ? 0 : JOBQ_EMSGSIZE;
}

int jobq_args_pack(const struct jobq_args *args, void **ret_payload, size_t *ret_size)
{
    struct jq_buf out = { 0 };

    if (!args || !ret_payload || !ret_size)
        return JOBQ_EINVAL;
    const int error = pack(args, &out);
    if (error == 0)
        *ret_payload = jq_buf_take(&out, ret_size);
    jq_buf_fini(&out);
    return error;
}
