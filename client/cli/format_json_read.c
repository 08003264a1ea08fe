/* SPDX-License-Identifier: MIT
 *
 * format_json_read.c - JSON that somebody typed, as msgpack. Whole numbers become integers, others
 * floats; nothing is lost but what JSON has not: bytes, and whole numbers past 64 bits, which are
 * refused. */
#include <string.h>

#include "client/cli/format_json.h"
#include "client/cli/format_json_parts.h"
#include "proto/limits.h"
#include "proto/wire.h"

enum { DEPTH_MAX = JQ_DEPTH_MAX - 2 }; /* within the arguments of a job */

static enum jq_err write_value(const json_t *json, unsigned depth, struct jq_buf *out);

static enum jq_err write_array(const json_t *json, unsigned depth, struct jq_buf *out)
{
    const size_t count = json_array_size(json);

    if (depth == 0 || count > UINT32_MAX)
        return JQ_EMSGSIZE;
    jq_write_array(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        JQ_TRY(write_value(json_array_get(json, i), depth - 1, out));
    return JQ_OK;
}

static enum jq_err write_object(json_t *json, unsigned depth, struct jq_buf *out)
{
    const size_t count = json_object_size(json);

    if (depth == 0 || count > UINT32_MAX)
        return JQ_EMSGSIZE;
    jq_write_map(out, (uint32_t)count);
    for (void *at = json_object_iter(json); at; at = json_object_iter_next(json, at)) {
        jq_write_str(out, jq_view_str(json_object_iter_key(at)));
        JQ_TRY(write_value(json_object_iter_value(at), depth - 1, out));
    }
    return JQ_OK;
}

static enum jq_err write_value(const json_t *json, unsigned depth, struct jq_buf *out)
{
    switch (json_typeof(json)) {
    case JSON_NULL:
        jq_write_nil(out);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        jq_write_bool(out, json_is_true(json));
        break;
    case JSON_INTEGER:
        jq_write_i64(out, json_integer_value(json));
        break;
    case JSON_REAL:
        jq_write_double(out, json_real_value(json));
        break;
    case JSON_STRING:
        jq_write_str(out, jq_view(json_string_value(json), json_string_length(json)));
        break;
    case JSON_ARRAY:
        return write_array(json, depth, out);
    case JSON_OBJECT:
        return write_object((json_t *)(uintptr_t)json, depth, out);
    }
    return jq_buf_ok(out) ? JQ_OK : JQ_ENOMEM;
}

enum jq_err jq_json_to_msgpack(const char *text, struct jq_buf *out, struct jq_detail *ret_detail)
{
    json_error_t error;
    json_t *json =
        json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

    if (!json) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return JQ_ENOMEM;
        jq_detail_set(ret_detail, "no JSON: %s (column %d)", error.text, error.column);
        return JQ_EINVAL;
    }
    enum jq_err err = write_value(json, DEPTH_MAX, out);
    if (err == JQ_OK && !jq_buf_ok(out))
        err = JQ_ENOMEM;
    if (err == JQ_EMSGSIZE)
        jq_detail_set(ret_detail, "arrays and objects are more than %d deep", DEPTH_MAX);
    json_decref(json);
    return err;
}
