/* SPDX-License-Identifier: MIT
 *
 * format_json_object.c - values, objects of their own, and the lists they are written to. */
#include "client/cli/format_json.h"

#include <string.h>

#include "client/cli/figures.h"
#include "client/cli/format_json_parts.h"
#include "client/cli/text.h"
#include "proto/base/alloc.h"

enum { REAL_DIGITS = 10 }; /* of measurements: there are no other reals */

/* ---- values ---- */

void jq_json_set(json_t *object, const char *key, json_t *value, bool *ret_failed)
{
    if (!value || json_object_set_new_nocheck(object, key, value) != 0)
        *ret_failed = true;
}

json_t *jq_json_string(struct jq_view view)
{
    struct jq_buf buf = { 0 };
    json_t *json = NULL;

    jq_text_utf8(&buf, view);
    if (jq_buf_ok(&buf))
        json = json_stringn_nocheck(buf.data ? (const char *)buf.data : "", buf.size);
    jq_buf_fini(&buf);
    return json;
}

json_t *jq_json_decimal(uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return json_string_nocheck(text);
}

void jq_json_set_time(json_t *object, const char *key, int64_t at, bool *ret_failed)
{
    struct jq_buf text = { 0 };
    char name[64];

    snprintf(name, sizeof name, "%s_ns", key);
    jq_text_time(&text, at);
    jq_json_set(object, key, at > 0 ? jq_json_string(jq_buf_view(&text)) : json_null(), ret_failed);
    jq_json_set(object, name, at > 0 ? json_integer(at) : json_null(), ret_failed);
    *ret_failed |= !jq_buf_ok(&text);
    jq_buf_fini(&text);
}

json_t *jq_json_unless(bool failed, json_t *object)
{
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

json_t *jq_json_base64(struct jq_view bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *at = bytes.data;
    struct jq_buf text = { 0 };

    for (size_t i = 0; i < bytes.size; i += 3) {
        const size_t left = bytes.size - i;
        const uint32_t word = (uint32_t)at[i] << 16 | (left > 1 ? (uint32_t)at[i + 1] << 8 : 0) |
                              (left > 2 ? at[i + 2] : 0);
        const char four[] = { digits[word >> 18], digits[word >> 12 & 63],
                              left > 1 ? digits[word >> 6 & 63] : '=',
                              left > 2 ? digits[word & 63] : '=' };
        jq_buf_append(&text, four, sizeof four);
    }
    json_t *json = jq_buf_ok(&text)
                       ? json_stringn_nocheck(text.data ? (const char *)text.data : "", text.size)
                       : NULL;
    jq_buf_fini(&text);
    return json;
}

/* ---- lists ---- */

bool jq_json_dump(json_t *json, FILE *out)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(REAL_DIGITS);

    return json_dumpf(json, out, flags) == 0 || ferror(out);
}

void jq_json_start(struct jq_json_list *list, FILE *out, bool lines)
{
    *list = (struct jq_json_list){ .out = out, .lines = lines };
}

void jq_json_put_value(struct jq_json_list *list, json_t *json)
{
    if (!json || list->failed) {
        list->failed = true;
        json_decref(json);
        return;
    }
    if (!list->lines)
        fputs(list->count ? ",\n" : "[", list->out);
    list->failed |= !jq_json_dump(json, list->out);
    if (list->lines) {
        fputc('\n', list->out);
        fflush(list->out);
    }
    list->count++;
    json_decref(json);
}

bool jq_json_end(struct jq_json_list *list)
{
    if (!list->lines && !list->failed)
        fputs(list->count ? "]\n" : "[]\n", list->out);
    return !list->failed;
}

/* ---- objects ---- */

struct jq_json_object {
    json_t *json;
    bool failed; /* out of memory: said at the end */
};

struct jq_json_object *jq_json_open(void)
{
    struct jq_json_object *object = jq_alloc_zero(1, sizeof *object);

    if (object)
        object->json = json_object();
    if (object && !object->json)
        object->failed = true;
    return object;
}

static void add(struct jq_json_object *object, const char *key, json_t *value)
{
    if (object && !object->failed)
        jq_json_set(object->json, key, value, &object->failed);
    else
        json_decref(value);
}

void jq_json_view(struct jq_json_object *object, const char *key, struct jq_view value)
{
    add(object, key, jq_json_string(value));
}

void jq_json_text(struct jq_json_object *object, const char *key, const char *value)
{
    add(object, key, jq_json_string(jq_view_str(value)));
}

void jq_json_number(struct jq_json_object *object, const char *key, int64_t value)
{
    add(object, key, json_integer(value));
}

void jq_json_id(struct jq_json_object *object, const char *key, uint64_t id)
{
    add(object, key, jq_json_decimal(id));
}

void jq_json_time(struct jq_json_object *object, const char *key, int64_t at)
{
    if (object && !object->failed)
        jq_json_set_time(object->json, key, at, &object->failed);
}

void jq_json_bytes(struct jq_json_object *object, const char *key, struct jq_view bytes)
{
    char name[64];

    /* Not every reader of JSON takes a NUL. */
    if (jq_text_is_utf8(bytes) && !(bytes.size && memchr(bytes.data, 0, bytes.size))) {
        add(object, key, jq_json_string(bytes));
        return;
    }
    snprintf(name, sizeof name, "%s_base64", key);
    add(object, name, jq_json_base64(bytes));
}

void jq_json_settings(struct jq_json_object *object, const char *key,
                      const struct jq_queue_conf *conf)
{
    add(object, key, jq_json_of_queue_conf(conf));
}

struct jq_json_object *jq_json_open_queue(const struct jq_queue_info *info)
{
    struct jq_json_object *object = jq_json_open();

    if (object) {
        json_decref(object->json);
        object->json = jq_json_of_queue_info(info);
        object->failed |= !object->json;
    }
    return object;
}

void jq_json_bool(struct jq_json_object *object, const char *key, bool value)
{
    add(object, key, json_boolean(value));
}

#define LISTS(function, record)                                                           \
    void jq_json_##function(struct jq_json_object *object, const char *key,               \
                            struct jq_records list)                                       \
    {                                                                                     \
        json_t *array = json_array();                                                     \
        struct jq_##record one;                                                           \
        for (struct jq_reader r = jq_records_reader(list); jq_##record##_next(&r, &one);) \
            if (object && json_array_append_new(array, jq_json_of_##record(&one)) != 0)   \
                object->failed = true;                                                    \
        add(object, key, array);                                                          \
    }
LISTS(jobs, job_info)
LISTS(blockers, blocker)
LISTS(queues, queue_info)
LISTS(workers, worker_info)

void jq_json_counters(struct jq_json_object *object, const char *key, struct jq_records list)
{
    json_t *counters = json_object();
    struct jq_counter one;
    bool failed = !counters;

    for (struct jq_reader r = jq_records_reader(list); jq_counter_next(&r, &one);) {
        char name[JQ_NAME_MAX + 1];
        snprintf(name, sizeof name, "%.*s", JQ_VIEW_ARG(one.name));
        jq_json_set(counters, name, json_integer((json_int_t)one.value), &failed);
    }
    if (object)
        object->failed |= failed;
    add(object, key, counters);
}

void jq_json_figures(struct jq_json_object *object, const char *key, const struct jq_figure *list,
                     size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++)
        if (list[i].count && json_array_append_new(array, jq_json_of_figure(&list[i])) != 0 &&
            object)
            object->failed = true;
    add(object, key, array);
}

static void object_free(struct jq_json_object *object)
{
    if (object)
        json_decref(object->json);
    jq_free(object);
}

void jq_json_put(struct jq_json_list *list, struct jq_json_object *object)
{
    jq_json_put_value(list, object && !object->failed ? json_incref(object->json) : NULL);
    object_free(object);
}

bool jq_json_close(struct jq_json_object *object, FILE *out)
{
    const bool fine = object && !object->failed && jq_json_dump(object->json, out);

    if (fine)
        fputc('\n', out);
    object_free(object);
    return fine;
}

bool jq_json_error(FILE *out, const char *code, const char *message)
{
    struct jq_json_object *error = jq_json_open(), *object = jq_json_open();

    jq_json_text(error, "code", code);
    jq_json_text(error, "message", message);
    if (object)
        add(object, "error", error && !error->failed ? json_incref(error->json) : NULL);
    object_free(error);
    return jq_json_close(object, out);
}
