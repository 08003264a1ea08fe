/* SPDX-License-Identifier: MIT
 *
 * call_args.c - a call's arguments: found, read as a type, walked through. The payload was checked
 * as a whole before the first is found, so what is read here is whole. An error is noted as the
 * job's, with the name of the argument. */
#include <stdio.h>

#include "worker/call.h"

enum { DESCRIPTION_MAX = JQ_NAME_MAX + 64 };

static const char *const kind_names[] = {
    [JOBQ_KIND_NIL] = "nil",         [JOBQ_KIND_BOOL] = "a boolean",
    [JOBQ_KIND_INT] = "an integer",  [JOBQ_KIND_UINT] = "an integer of 0 or more",
    [JOBQ_KIND_DOUBLE] = "a number", [JOBQ_KIND_STR] = "a string",
    [JOBQ_KIND_BYTES] = "bytes",     [JOBQ_KIND_ARRAY] = "an array",
    [JOBQ_KIND_MAP] = "a map",
};

static struct jq_reader reader_of(const struct jobq_value *value)
{
    return jq_reader(jq_view(value->bytes, value->size));
}

static void describe(int position, const char *name, int nested, char text[DESCRIPTION_MAX])
{
    const char *in = nested > 0 ? "a value in " : "";
    if (name != NULL && position >= 0)
        (void)snprintf(text, DESCRIPTION_MAX, "%sargument %d \"%.*s\"", in, position, JQ_NAME_MAX,
                       name);
    else if (name != NULL)
        (void)snprintf(text, DESCRIPTION_MAX, "%sargument \"%.*s\"", in, JQ_NAME_MAX, name);
    else if (position >= 0)
        (void)snprintf(text, DESCRIPTION_MAX, "%sargument %d", in, position);
    else
        (void)snprintf(text, DESCRIPTION_MAX, "%sthe arguments", in);
}

static enum jobq_kind kind_of(struct jq_reader r)
{
    static const enum jobq_kind kinds[] = {
        [JQ_WIRE_NIL] = JOBQ_KIND_NIL,       [JQ_WIRE_BOOL] = JOBQ_KIND_BOOL,
        [JQ_WIRE_UINT] = JOBQ_KIND_UINT,     [JQ_WIRE_NEGATIVE] = JOBQ_KIND_INT,
        [JQ_WIRE_DOUBLE] = JOBQ_KIND_DOUBLE, [JQ_WIRE_STR] = JOBQ_KIND_STR,
        [JQ_WIRE_BIN] = JOBQ_KIND_BYTES,     [JQ_WIRE_ARRAY] = JOBQ_KIND_ARRAY,
        [JQ_WIRE_MAP] = JOBQ_KIND_MAP,
    };
    enum jq_wire_kind kind = JQ_WIRE_NIL;
    return jq_peek(&r, &kind) == JQ_OK ? kinds[kind] : JOBQ_KIND_NIL;
}

static int wrong_kind(struct jq_call *call, const struct jobq_value *value, int kind)
{
    char what[DESCRIPTION_MAX];
    describe(value->position, value->name, value->nested, what);
    const enum jobq_kind is = kind_of(reader_of(value));
    if (kind < JOBQ_KIND_NIL || kind > JOBQ_KIND_MAP)
        return jq_call_note(call, JOBQ_CALL_EINVAL, "%s is asked for as no known kind", what);
    if ((kind == JOBQ_KIND_INT || kind == JOBQ_KIND_DOUBLE) && is == JOBQ_KIND_UINT)
        return jq_call_note(call, JOBQ_CALL_EINVAL, "%s is too large an integer", what);
    return jq_call_note(call, JOBQ_CALL_EINVAL, "%s is %s, not %s", what,
                        is == JOBQ_KIND_UINT ? "an integer" : kind_names[is], kind_names[kind]);
}

static int no_args(struct jq_call *call)
{
    return jq_call_note(call, JOBQ_CALL_EPROTO,
                        "the payload is not an array of arguments and a map of named ones");
}

/* --- finding --- */

/* The next object as a value. */
static void take_value(struct jq_reader *r, struct jobq_value *value)
{
    const uint8_t *from = r->at;
    if (jq_skip(r) != JQ_OK)
        r->at = r->end; /* not in what was checked */
    value->bytes = from;
    value->size = (size_t)(r->at - from);
}

static bool find_position(struct jq_call *call, int position, struct jobq_value *ret)
{
    if (position < 0 || (uint32_t)position >= call->args.positional_count)
        return false;
    /* Asked for one after the other, each is found at once. */
    if ((uint32_t)position < call->next_position) {
        call->next_reader = jq_args_positional(&call->args);
        call->next_position = 0;
    }
    do {
        take_value(&call->next_reader, ret);
    } while (call->next_position++ < (uint32_t)position);
    return true;
}

static bool find_name(struct jq_call *call, const char *name, struct jobq_value *ret)
{
    if (name == NULL)
        return false;
    const struct jq_view wanted = jq_view_str(name);
    struct jq_reader r = jq_args_named(&call->args);
    for (uint32_t i = 0; i < call->args.named_count; i++) {
        struct jq_view key;
        if (jq_read_str(&r, &key) != JQ_OK)
            return false;
        take_value(&r, ret);
        if (jq_view_equal(key, wanted))
            return true;
    }
    return false;
}

int jq_call_argument(struct jobq_call *base, int position, const char *name, struct jobq_value *ret)
{
    struct jq_call *call = jq_call_of(base);
    if (jq_call_args(call) != JQ_OK)
        return no_args(call);
    struct jobq_value by_position = { .position = position };
    struct jobq_value by_name = { .position = -1 };
    const bool has_position = find_position(call, position, &by_position);
    const bool has_name = find_name(call, name, &by_name);
    char what[DESCRIPTION_MAX];
    if (has_position != has_name) {
        *ret = has_position ? by_position : by_name;
        ret->name = name;
        return 0;
    }
    describe(position, name, 0, what);
    if (has_position)
        return jq_call_note(call, JOBQ_CALL_EINVAL, "%s is given twice, by position and by name",
                            what);
    return jq_call_note(call, JOBQ_ARG_ABSENT, "%s is missing", what);
}

int jq_call_arguments(struct jobq_call *base, int named, struct jobq_value *ret)
{
    struct jq_call *call = jq_call_of(base);
    if (jq_call_args(call) != JQ_OK)
        return no_args(call);
    const struct jq_view all = named != 0 ? call->args.named : call->args.positional;
    *ret = (struct jobq_value){ .bytes = all.data, .size = all.size, .position = -1 };
    return 0;
}

/* --- reading --- */

static bool read_double(struct jq_reader *r, double *ret)
{
    static const int64_t exact = INT64_C(1) << 53;
    int64_t whole = 0;
    if (jq_read_double(r, ret) == JQ_OK)
        return true;
    if (jq_read_i64(r, &whole) != JQ_OK || whole > exact || whole < -exact)
        return false;
    *ret = (double)whole;
    return true;
}

static bool read_as(struct jq_reader *r, int kind, struct jobq_datum *datum)
{
    struct jq_view bytes = { 0 };
    bool truth = false;
    uint32_t count = 0;
    enum jq_err err = JQ_EPROTO;
    switch (kind) {
    case JOBQ_KIND_NIL:
        return jq_read_nil(r) == JQ_OK;
    case JOBQ_KIND_BOOL:
        err = jq_read_bool(r, &truth);
        datum->truth = truth;
        return err == JQ_OK;
    case JOBQ_KIND_INT:
        return jq_read_i64(r, &datum->of.i) == JQ_OK;
    case JOBQ_KIND_UINT:
        return jq_read_u64(r, &datum->of.u) == JQ_OK;
    case JOBQ_KIND_DOUBLE:
        return read_double(r, &datum->of.d);
    case JOBQ_KIND_STR:
    case JOBQ_KIND_BYTES:
        err = kind == JOBQ_KIND_STR ? jq_read_str(r, &bytes) : jq_read_bin(r, &bytes);
        datum->of.data = bytes.data;
        datum->size = bytes.size;
        return err == JQ_OK;
    case JOBQ_KIND_ARRAY:
    case JOBQ_KIND_MAP:
        err = kind == JOBQ_KIND_ARRAY ? jq_read_array(r, &count) : jq_read_map(r, &count);
        datum->size = count;
        return err == JQ_OK;
    default:
        return false;
    }
}

int jq_call_read(struct jobq_call *base, const struct jobq_value *value, int kind,
                 struct jobq_datum *ret)
{
    struct jq_reader r = reader_of(value);
    struct jobq_datum datum = { .kind = kind };
    if (kind < 0)
        datum.kind = (int32_t)kind_of(r);
    if (!read_as(&r, datum.kind, &datum))
        return wrong_kind(jq_call_of(base), value, kind);
    *ret = datum;
    return 0;
}

/* --- walking --- */

int jq_call_open(struct jobq_call *base, const struct jobq_value *value, int kind,
                 struct jobq_cursor *ret)
{
    struct jq_reader r = reader_of(value);
    struct jobq_datum datum = { .kind = kind };
    if ((kind != JOBQ_KIND_ARRAY && kind != JOBQ_KIND_MAP) || !read_as(&r, kind, &datum))
        return wrong_kind(jq_call_of(base), value, kind);
    *ret = (struct jobq_cursor){
        .rest = { .bytes = r.at,
                  .size = (size_t)(r.end - r.at),
                  .name = value->name,
                  .position = value->position,
                  .nested = value->nested + 1 },
        .left = datum.size,
        .is_map = kind == JOBQ_KIND_MAP,
    };
    return 0;
}

int jq_call_next(struct jobq_call *base, struct jobq_cursor *cursor, struct jobq_value *ret_key,
                 struct jobq_value *ret_value)
{
    (void)base;
    if (cursor->left == 0)
        return 0;
    struct jq_reader r = reader_of(&cursor->rest);
    struct jobq_value key = cursor->rest;
    struct jobq_value value = cursor->rest;
    if (cursor->is_map)
        take_value(&r, &key);
    take_value(&r, &value);
    if (cursor->is_map && ret_key != NULL)
        *ret_key = key;
    *ret_value = value;
    cursor->rest.bytes = r.at;
    cursor->rest.size = (size_t)(r.end - r.at);
    cursor->left--;
    return 1;
}
