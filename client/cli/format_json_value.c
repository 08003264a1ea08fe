/* SPDX-License-Identifier: MIT
 *
 * format_json_value.c - a msgpack value, as handlers return it, as JSON. What JSON has not: bytes
 * and strings that are not UTF-8 are {"base64": ...}, numbers past 63 bits strings, floats that are
 * no numbers null, keys that are no strings their JSON. */
#include "client/cli/format_json.h"
#include "client/cli/format_json_parts.h"
#include "client/cli/text.h"
#include "proto/wire.h"

static json_t *read_value(struct jq_reader *r);

static json_t *read_text(struct jq_reader *r, bool is_text)
{
    struct jq_view view = { 0 };

    if (jq_read_bin(r, &view) != JQ_OK)
        return NULL;
    if (is_text && jq_text_is_utf8(view))
        return json_stringn_nocheck(view.size ? view.data : "", view.size);
    json_t *object = json_object();
    bool failed = object == NULL;
    if (object)
        jq_json_set(object, "base64", jq_json_base64(view), &failed);
    return jq_json_unless(failed, object);
}

static json_t *read_number(struct jq_reader *r, enum jq_wire_kind kind)
{
    uint64_t whole = 0;
    int64_t negative = 0;
    double real = 0;

    if (kind == JQ_WIRE_NEGATIVE)
        return jq_read_i64(r, &negative) == JQ_OK ? json_integer(negative) : NULL;
    if (kind == JQ_WIRE_UINT) {
        if (jq_read_u64(r, &whole) != JQ_OK)
            return NULL;
        return whole > INT64_MAX ? jq_json_decimal(whole) : json_integer((json_int_t)whole);
    }
    if (jq_read_double(r, &real) != JQ_OK)
        return NULL;
    json_t *json = json_real(real); /* refuses what is no number */
    return json ? json : json_null();
}

static json_t *read_array(struct jq_reader *r)
{
    json_t *array = json_array();
    uint32_t count = 0;
    bool failed = array == NULL || jq_read_array(r, &count) != JQ_OK;

    for (uint32_t i = 0; i < count && !failed; i++)
        failed = json_array_append_new(array, read_value(r)) != 0;
    return jq_json_unless(failed, array);
}

static int append(const char *text, size_t size, void *data)
{
    struct jq_buf *buf = data;

    jq_buf_append(buf, text, size);
    return jq_buf_ok(buf) ? 0 : -1;
}

static bool add_pair(json_t *object, json_t *key, json_t *value)
{
    bool failed = !key || !value;

    if (!failed && json_is_string(key)) {
        failed = json_object_setn_new_nocheck(object, json_string_value(key),
                                              json_string_length(key), value) != 0;
    } else if (!failed) {
        struct jq_buf text = { 0 };
        failed = json_dump_callback(key, append, &text, JSON_COMPACT | JSON_ENCODE_ANY) != 0;
        if (failed)
            json_decref(value);
        else
            failed = json_object_setn_new_nocheck(object, (const char *)text.data, text.size,
                                                  value) != 0;
        jq_buf_fini(&text);
    } else {
        json_decref(value);
    }
    json_decref(key);
    return !failed;
}

static json_t *read_map(struct jq_reader *r)
{
    json_t *object = json_object();
    uint32_t count = 0;
    bool failed = object == NULL || jq_read_map(r, &count) != JQ_OK;

    for (uint32_t i = 0; i < count && !failed; i++) {
        json_t *key = read_value(r);
        failed = !add_pair(object, key, read_value(r));
    }
    return jq_json_unless(failed, object);
}

static json_t *read_value(struct jq_reader *r)
{
    enum jq_wire_kind kind = JQ_WIRE_NIL;
    bool truth = false;

    if (jq_peek(r, &kind) != JQ_OK)
        return NULL;
    switch (kind) {
    case JQ_WIRE_NIL:
        return jq_read_nil(r) == JQ_OK ? json_null() : NULL;
    case JQ_WIRE_BOOL:
        return jq_read_bool(r, &truth) == JQ_OK ? json_boolean(truth) : NULL;
    case JQ_WIRE_UINT:
    case JQ_WIRE_NEGATIVE:
    case JQ_WIRE_DOUBLE:
        return read_number(r, kind);
    case JQ_WIRE_STR:
    case JQ_WIRE_BIN:
        return read_text(r, kind == JQ_WIRE_STR);
    case JQ_WIRE_ARRAY:
        return read_array(r);
    case JQ_WIRE_MAP:
        return read_map(r);
    }
    return NULL;
}

enum jq_err jq_json_print_msgpack(struct jq_view bytes, FILE *out)
{
    struct jq_reader r = jq_reader(bytes);

    if (jq_wire_check(bytes) != JQ_OK)
        return JQ_EINVAL;
    json_t *json = read_value(&r);
    /* As many digits as a float has: what is read again is the same. */
    const bool ok =
        json &&
        (json_dumpf(json, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) == 0 ||
         ferror(out));
    json_decref(json);
    if (ok)
        fputc('\n', out);
    return ok ? JQ_OK : JQ_ENOMEM;
}
