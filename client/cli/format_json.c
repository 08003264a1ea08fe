/* SPDX-License-Identifier: MIT
 *
 * format_json.c - see format_json.h. */
#include "client/cli/format_json.h"

#include <jansson.h>

#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "proto/base/alloc.h"

static void put(json_t *object, const char *key, json_t *value, bool *ret_failed)
{
    if (!value || json_object_set_new_nocheck(object, key, value) != 0)
        *ret_failed = true;
}

static json_t *string_of(struct jq_view view)
{
    struct jq_buf buf = { 0 };
    json_t *json = NULL;

    jq_text_utf8(&buf, view);
    if (jq_buf_ok(&buf))
        json = json_stringn_nocheck(buf.data ? (const char *)buf.data : "", buf.size);
    jq_buf_fini(&buf);
    return json;
}

/* ---- fields of records, by their names ---- */

static bool is(const char *key, const char *name)
{
    return strcmp(key, name) == 0;
}

static json_t *decimal_of(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return json_string_nocheck(text);
}

static void put_u64(json_t *object, const char *key, uint64_t value, bool *ret_failed)
{
    json_t *json;

    if (is(key, "state"))
        json = json_string_nocheck(jq_state_name((enum jq_job_state)value));
    else if (is(key, "id") || is(key, "session") || is(key, "fence") || value > INT64_MAX)
        json = decimal_of(value);
    else if (is(key, "created") || is(key, "draining"))
        json = json_boolean(value);
    else
        json = json_integer((json_int_t)value);
    put(object, key, json, ret_failed);
}

static void put_time(json_t *object, const char *key, int64_t at, bool *ret_failed)
{
    struct jq_buf text = { 0 };
    char name[64];

    snprintf(name, sizeof name, "%s_ns", key);
    jq_text_time(&text, at);
    put(object, key, at > 0 ? string_of(jq_buf_view(&text)) : json_null(), ret_failed);
    put(object, name, at > 0 ? json_integer(at) : json_null(), ret_failed);
    *ret_failed |= !jq_buf_ok(&text);
    jq_buf_fini(&text);
}

static void put_i64(json_t *object, const char *key, int64_t value, bool *ret_failed)
{
    const size_t length = strlen(key);

    if (length >= 2 && is(key + length - 2, "at") && (length == 2 || key[length - 3] == '_'))
        put_time(object, key, value, ret_failed);
    else if (!is(key, "error"))
        put(object, key, json_integer(value), ret_failed);
    else if (value != 0)
        put(object, key, json_string_nocheck(jq_err_name((enum jq_err)value)), ret_failed);
}

/* clang-format off */
#define OBJECT(name)                                                                             \
    __attribute__((unused)) static json_t *json_of_##name(const struct jq_##name *record)        \
    {                                                                                            \
        json_t *object = json_object();                                                          \
        bool failed = !object || !record;
#define OBJECT_END                                                                               \
        if (failed) {                                                                            \
            json_decref(object);                                                                 \
            return NULL;                                                                         \
        }                                                                                        \
        return object;                                                                           \
    }
#define RECORD(name) OBJECT(name)
#define RECORD_END(name) OBJECT_END
#define MSG(name, TAG, number) OBJECT(name)
#define MSG_END(name) OBJECT_END
#define U64(name, max) put_u64(object, #name, record->name, &failed);
#define I64(name) put_i64(object, #name, record->name, &failed);
#define STR(name, max) put(object, #name, string_of(record->name), &failed);
#define BIN(name, max) put(object, #name, string_of(record->name), &failed);
#define LIST(name, record_name, max)
#include "proto/messages.def"
/* clang-format on */

/* ---- writing ---- */

static bool dump(json_t *json, FILE *out)
{
    return json_dumpf(json, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0 || ferror(out);
}

void jq_json_start(struct jq_json_list *list, FILE *out, bool lines)
{
    *list = (struct jq_json_list){ .out = out, .lines = lines };
}

/* Takes `json`; NULL: it could not be made. */
static void put_json(struct jq_json_list *list, json_t *json)
{
    if (!json || list->failed) {
        list->failed = true;
        json_decref(json);
        return;
    }
    if (!list->lines)
        fputs(list->count ? ",\n" : "[", list->out);
    list->failed |= !dump(json, list->out);
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

static json_t *add_ending(json_t *object, const struct jq_ending *ending)
{
    bool failed = !object;

    if (!object || !jq_state_is_terminal(ending->state))
        return object;
    put(object, "outcome", json_string_nocheck(jq_outcome_name(ending)), &failed);
    put(object, "exit_code", json_integer(jq_exit_code(ending)), &failed);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

/* What only some records have more than their fields. */
#define ENDING_OF(record)                                              \
    (&(struct jq_ending){ .state = (enum jq_job_state)(record)->state, \
                          .code = (record)->code,                      \
                          .signal = (record)->signal,                  \
                          .reason = (record)->reason })

/* The rest of such a record is zero, and zero is a state and an exit code. */
static json_t *only_error(uint64_t id, int64_t error)
{
    json_t *object = json_object();
    bool failed = !object;

    put(object, "id", decimal_of(id), &failed);
    put_i64(object, "error", error, &failed);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *whole_result(const struct jq_result *record)
{
    return record->error ? only_error(record->id, record->error)
                         : add_ending(json_of_result(record), ENDING_OF(record));
}

static json_t *whole_job_info(const struct jq_job_info *record)
{
    return record->error ? only_error(record->id, record->error)
                         : add_ending(json_of_job_info(record), ENDING_OF(record));
}

/* Of a CANCEL, which creates nothing; a job that has ended already is named with its state. */
static json_t *whole_ack(const struct jq_ack *record)
{
    if (record->error && record->error != JQ_EALREADY)
        return only_error(record->id, record->error);
    json_t *object = json_of_ack(record);
    if (object)
        (void)json_object_del(object, "created");
    return object;
}

#define LISTED(name, make)                                                         \
    void jq_json_##name(struct jq_json_list *list, const struct jq_##name *record) \
    {                                                                              \
        put_json(list, make(record));                                              \
    }
LISTED(result, whole_result)
LISTED(job_info, whole_job_info)
LISTED(ack, whole_ack)
LISTED(event, json_of_event)
LISTED(worker_info, json_of_worker_info)

/* ---- objects of their own ---- */

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
        put(object->json, key, value, &object->failed);
    else
        json_decref(value);
}

void jq_json_view(struct jq_json_object *object, const char *key, struct jq_view value)
{
    add(object, key, string_of(value));
}

void jq_json_text(struct jq_json_object *object, const char *key, const char *value)
{
    add(object, key, string_of(jq_view_str(value)));
}

void jq_json_number(struct jq_json_object *object, const char *key, int64_t value)
{
    add(object, key, json_integer(value));
}

void jq_json_id(struct jq_json_object *object, const char *key, uint64_t id)
{
    add(object, key, decimal_of(id));
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
            if (object && json_array_append_new(array, json_of_##record(&one)) != 0)      \
                object->failed = true;                                                    \
        add(object, key, array);                                                          \
    }
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
        put(counters, name, json_integer((json_int_t)one.value), &failed);
    }
    if (object)
        object->failed |= failed;
    add(object, key, counters);
}

static void object_free(struct jq_json_object *object)
{
    if (object)
        json_decref(object->json);
    jq_free(object);
}

void jq_json_put(struct jq_json_list *list, struct jq_json_object *object)
{
    put_json(list, object && !object->failed ? json_incref(object->json) : NULL);
    object_free(object);
}

bool jq_json_close(struct jq_json_object *object, FILE *out)
{
    const bool fine = object && !object->failed && dump(object->json, out);

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
