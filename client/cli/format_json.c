/* SPDX-License-Identifier: MIT
 *
 * format_json.c - see format_json.h. */
#include "client/cli/format_json.h"

#include "client/cli/exit_code.h"
#include "client/cli/format_json_parts.h"
#include "client/cli/text.h"
#include "proto/base/alloc.h"

/* ---- fields of records, by their names ---- */

static bool is(const char *key, const char *name)
{
    return strcmp(key, name) == 0;
}

static bool is_one_of(const char *key, const char *const *names)
{
    for (; *names; names++)
        if (is(key, *names))
            return true;
    return false;
}

/* Numbers of up to 64 bits, which a reader of JSON may round. */
static const char *const ids[] = { "id", "session", "fence", "sequence", "holder", NULL };
static const char *const truths[] = { "created", "draining", "paused", "closed", "mutex", NULL };

const char *jq_durability_name(uint64_t durability)
{
    static const char *const names[] = { "full", "relaxed", "memory" };

    return durability < 3 ? names[durability] : "unknown";
}

static void put_u64(json_t *object, const char *key, uint64_t value, bool *ret_failed)
{
    json_t *json;

    if (is(key, "state"))
        json = json_string_nocheck(jq_state_name((enum jq_job_state)value));
    else if (is_one_of(key, ids) || value > INT64_MAX)
        json = jq_json_decimal(value);
    else if (is_one_of(key, truths))
        json = json_boolean(value);
    else if (is(key, "durability"))
        json = json_string_nocheck(jq_durability_name(value));
    else
        json = json_integer((json_int_t)value);
    jq_json_set(object, key, json, ret_failed);
}

static void put_i64(json_t *object, const char *key, int64_t value, bool *ret_failed)
{
    const size_t length = strlen(key);

    if (length >= 2 && is(key + length - 2, "at") && (length == 2 || key[length - 3] == '_'))
        jq_json_set_time(object, key, value, ret_failed);
    else if (!is(key, "error"))
        jq_json_set(object, key, json_integer(value), ret_failed);
    else if (value != 0)
        jq_json_set(object, key, json_string_nocheck(jq_err_name((enum jq_err)value)), ret_failed);
}

/* Options are a record of their own. */
static void put_bin(json_t *object, const char *key, struct jq_view bytes, bool *ret_failed)
{
    const bool is_options = is(key, "options");

    jq_json_set(object, key, is_options ? jq_json_of_options(bytes) : jq_json_string(bytes),
                ret_failed);
    if (is_options)
        jq_json_set(object, "labels", jq_json_of_labels(bytes), ret_failed);
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
#define STR(name, max) jq_json_set(object, #name, jq_json_string(record->name), &failed);
#define BIN(name, max) put_bin(object, #name, record->name, &failed);
#define LIST(name, record_name, max)
#include "proto/messages.def"
/* clang-format on */

/* ---- whole records ---- */

static json_t *add_ending(json_t *object, const struct jq_ending *ending)
{
    bool failed = !object;

    if (!object || !jq_state_is_terminal(ending->state))
        return object;
    jq_json_set(object, "outcome", json_string_nocheck(jq_outcome_name(ending)), &failed);
    jq_json_set(object, "exit_code", json_integer(jq_exit_code(ending)), &failed);
    return jq_json_unless(failed, object);
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

    jq_json_set(object, "id", jq_json_decimal(id), &failed);
    put_i64(object, "error", error, &failed);
    return jq_json_unless(failed, object);
}

static json_t *whole_result(const struct jq_result *record)
{
    return record->error ? only_error(record->id, record->error)
                         : add_ending(json_of_result(record), ENDING_OF(record));
}

static json_t *add_history(json_t *object, struct jq_records history)
{
    json_t *array = json_array();
    struct jq_attempt attempt;
    bool failed = !object || !array;

    for (struct jq_reader r = jq_records_reader(history); !failed && jq_attempt_next(&r, &attempt);)
        failed = json_array_append_new(array, json_of_attempt(&attempt)) != 0;
    if (object)
        jq_json_set(object, "history", array, &failed);
    else
        json_decref(array);
    return jq_json_unless(failed, object);
}

json_t *jq_json_of_job_info(const struct jq_job_info *record)
{
    return record->error ? only_error(record->id, record->error)
                         : add_history(add_ending(json_of_job_info(record), ENDING_OF(record)),
                                       record->history);
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

json_t *jq_json_of_blocker(const struct jq_blocker *record)
{
    return json_of_blocker(record);
}

json_t *jq_json_of_queue_info(const struct jq_queue_info *record)
{
    return json_of_queue_info(record);
}

json_t *jq_json_of_queue_conf(const struct jq_queue_conf *record)
{
    return json_of_queue_conf(record);
}

json_t *jq_json_of_worker_info(const struct jq_worker_info *record)
{
    json_t *object = json_of_worker_info(record);
    bool failed = !object;

    if (object)
        jq_json_set(object, "tags", jq_json_of_words(record->tags), &failed);
    return jq_json_unless(failed, object);
}

/* Its state is what it was before. */
void jq_json_change(struct jq_json_list *list, const struct jq_ack *record)
{
    jq_json_put_value(list, only_error(record->id, record->error));
}

#define LISTED(name, make)                                                         \
    void jq_json_##name(struct jq_json_list *list, const struct jq_##name *record) \
    {                                                                              \
        jq_json_put_value(list, make(record));                                     \
    }
LISTED(result, whole_result)
LISTED(job_info, jq_json_of_job_info)
LISTED(ack, whole_ack)
LISTED(event, json_of_event)
LISTED(worker_info, jq_json_of_worker_info)
LISTED(limit_info, json_of_limit_info)
