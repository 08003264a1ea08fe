/* SPDX-License-Identifier: MIT
 *
 * format_json_job.c - the terms of a job as JSON: only what was said. */
#include <stdio.h>
#include <string.h>

#include "client/cli/format_json_parts.h"
#include "client/cli/text.h"

struct object {
    json_t *json;
    bool failed;
};

static void number(struct object *o, const char *key, uint64_t value)
{
    if (value)
        jq_json_set(o->json, key, json_integer((json_int_t)value), &o->failed);
}

static void text(struct object *o, const char *key, struct jq_view value)
{
    if (value.size)
        jq_json_set(o->json, key, jq_json_string(value), &o->failed);
}

static void word(struct object *o, const char *key, const char *value)
{
    jq_json_set(o->json, key, json_string_nocheck(value), &o->failed);
}

json_t *jq_json_of_words(struct jq_records words)
{
    json_t *array = json_array();
    struct jq_word one;
    bool failed = !array;

    for (struct jq_reader r = jq_records_reader(words); !failed && jq_word_next(&r, &one);)
        failed = json_array_append_new(array, jq_json_string(one.name)) != 0;
    return jq_json_unless(failed, array);
}

static void words(struct object *o, const char *key, struct jq_records list)
{
    if (list.count)
        jq_json_set(o->json, key, jq_json_of_words(list), &o->failed);
}

/* Codes are numbers, signals their names. */
static void endings(struct object *o, const char *key, struct jq_records list)
{
    json_t *array = json_array();
    struct jq_exit_match one;

    for (struct jq_reader r = jq_records_reader(list); jq_exit_match_next(&r, &one);) {
        struct jq_buf name = { 0 };
        jq_text_add(&name, "SIG");
        jq_text_signal(&name, one.signal);
        json_t *json = one.code == -1 ? jq_json_string(jq_buf_view(&name)) : json_integer(one.code);
        o->failed |= json_array_append_new(array, json) != 0 || !jq_buf_ok(&name);
        jq_buf_fini(&name);
    }
    if (list.count)
        jq_json_set(o->json, key, array, &o->failed);
    else
        json_decref(array);
}

static void edges(struct object *o, const char *key, struct jq_records list)
{
    static const char *const kinds[] = { "ok", "any", "fail" };
    json_t *array = json_array();
    struct jq_dependency one;

    for (struct jq_reader r = jq_records_reader(list); jq_dependency_next(&r, &one);) {
        json_t *edge = json_object();
        jq_json_set(edge, "id", jq_json_decimal(one.id), &o->failed);
        jq_json_set(edge, "kind", json_string_nocheck(kinds[one.kind < 3 ? one.kind : 1]),
                    &o->failed);
        o->failed |= json_array_append_new(array, edge) != 0;
    }
    if (list.count)
        jq_json_set(o->json, key, array, &o->failed);
    else
        json_decref(array);
}

static void limits(struct object *o, const char *key, struct jq_records list)
{
    json_t *array = json_array();
    struct jq_limit one;

    for (struct jq_reader r = jq_records_reader(list); jq_limit_next(&r, &one);) {
        json_t *limit = json_object();
        jq_json_set(limit, "name", jq_json_string(one.name), &o->failed);
        jq_json_set(limit, "max", json_integer((json_int_t)one.max), &o->failed);
        o->failed |= json_array_append_new(array, limit) != 0;
    }
    if (list.count)
        jq_json_set(o->json, key, array, &o->failed);
    else
        json_decref(array);
}

static const char *while_name(uint64_t bits)
{
    return bits == JQ_WHILE_QUEUED ? "queued" : bits == JQ_WHILE_RUNNING ? "running" : "both";
}

static bool decode(struct jq_view options, struct jq_job_options *ret)
{
    struct jq_reader r = jq_reader(options);

    return options.size && jq_job_options_read(&r, ret) == JQ_OK;
}

json_t *jq_json_of_options(struct jq_view options)
{
    struct object o = { .json = json_object() };
    struct jq_job_options from;

    if (!o.json || !decode(options, &from))
        return o.json;
    number(&o, "delay_ms", from.delay_ms);
    if (from.run_at)
        jq_json_set_time(o.json, "run_at", from.run_at, &o.failed);
    number(&o, "expires_ms", from.expires_ms);
    number(&o, "attempts_max", from.attempts_max);
    number(&o, "backoff_ms", from.backoff_ms);
    number(&o, "backoff_max_ms", from.backoff_max_ms);
    if (from.backoff_ms)
        word(&o, "backoff_kind", from.backoff_kind == JQ_BACKOFF_FIXED ? "fixed" : "exp");
    endings(&o, "retry_on", from.retry_on);
    endings(&o, "no_retry_on", from.no_retry_on);
    text(&o, "unique", from.unique);
    if (from.unique.size)
        word(&o, "unique_while", while_name(from.unique_while));
    edges(&o, "after", from.after);
    words(&o, "needs", from.needs);
    limits(&o, "limits", from.limits);
    words(&o, "mutexes", from.mutexes);
    text(&o, "content_type", from.content_type);
    return jq_json_unless(o.failed, o.json);
}

json_t *jq_json_of_labels(struct jq_view options)
{
    json_t *object = json_object();
    struct jq_job_options from;
    struct jq_label one;
    bool failed = !object;

    if (failed || !decode(options, &from))
        return object;
    for (struct jq_reader r = jq_records_reader(from.labels); jq_label_next(&r, &one);) {
        char name[JQ_NAME_MAX * 3 + 1]; /* a byte may become U+FFFD */
        struct jq_buf clean = { 0 };
        jq_text_utf8(&clean, one.name);
        snprintf(name, sizeof name, "%.*s", JQ_VIEW_ARG(jq_buf_view(&clean)));
        failed |= !jq_buf_ok(&clean);
        jq_buf_fini(&clean);
        jq_json_set(object, name, jq_json_string(one.value), &failed);
    }
    return jq_json_unless(failed, object);
}
