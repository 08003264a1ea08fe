/* SPDX-License-Identifier: MIT
 *
 * format_json.h - records of the protocol as JSON, on standard output. With its other files the
 * only user of jansson; jobq-json(7) is the contract.
 *
 * Every field of messages.def becomes a member of the same name: ids are strings (they have 64
 * bits), states are words, times are RFC 3339 UTC with a second member name_ns, and bytes that are
 * not UTF-8 are U+FFFD. An error that is not 0 is the name of errors.def, else there is none.
 * `result` and `job_info` of a job that has ended also have "outcome" and "exit_code".
 *
 * A list is one array (json) or one object a line, flushed each (jsonl). */
#ifndef JQ_CLI_FORMAT_JSON_H
#define JQ_CLI_FORMAT_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "proto/msg.h"

struct jq_json_list {
    FILE *out;
    bool lines;
    bool failed; /* out of memory: nothing more is written */
    size_t count;
};
void jq_json_start(struct jq_json_list *list, FILE *out, bool lines);
/* False: out of memory at some time. What stdio thinks of `out` is for the caller. */
bool jq_json_end(struct jq_json_list *list);

void jq_json_result(struct jq_json_list *list, const struct jq_result *record);
void jq_json_job_info(struct jq_json_list *list, const struct jq_job_info *record);
void jq_json_ack(struct jq_json_list *list, const struct jq_ack *record);
void jq_json_change(struct jq_json_list *list, const struct jq_ack *record); /* RETRIED, REMOVED */
void jq_json_event(struct jq_json_list *list, const struct jq_event *record);
void jq_json_limit_info(struct jq_json_list *list, const struct jq_limit_info *record);
void jq_json_worker_info(struct jq_json_list *list, const struct jq_worker_info *record);

const char *jq_durability_name(uint64_t durability); /* "full", "relaxed", "memory" */

/* One object of its own: jq_json_open, members, jq_json_close. */
struct jq_json_object;
struct jq_json_object *jq_json_open(void); /* NULL: out of memory; all calls bear it */
void jq_json_text(struct jq_json_object *object, const char *key, const char *value);
void jq_json_view(struct jq_json_object *object, const char *key, struct jq_view value);
void jq_json_number(struct jq_json_object *object, const char *key, int64_t value);
void jq_json_id(struct jq_json_object *object, const char *key, uint64_t id);
/* As a time of a record; 0: null. */
void jq_json_time(struct jq_json_object *object, const char *key, int64_t at);
/* A string when they are UTF-8 without a NUL; else member key_base64. */
void jq_json_bytes(struct jq_json_object *object, const char *key, struct jq_view bytes);
void jq_json_bool(struct jq_json_object *object, const char *key, bool value);
/* Begins with the members of the record. */
struct jq_json_object *jq_json_open_queue(const struct jq_queue_info *info);
void jq_json_settings(struct jq_json_object *object, const char *key,
                      const struct jq_queue_conf *conf);
/* Members `key`: a list of these records. */
void jq_json_jobs(struct jq_json_object *object, const char *key, struct jq_records list);
void jq_json_blockers(struct jq_json_object *object, const char *key, struct jq_records list);
void jq_json_queues(struct jq_json_object *object, const char *key, struct jq_records list);
void jq_json_workers(struct jq_json_object *object, const char *key, struct jq_records list);
/* A list of those that have samples. */
struct jq_figure;
void jq_json_figures(struct jq_json_object *object, const char *key, const struct jq_figure *list,
                     size_t count);
/* Members named by each counter. */
void jq_json_counters(struct jq_json_object *object, const char *key, struct jq_records list);
/* Adds it to a list, and frees it. */
void jq_json_put(struct jq_json_list *list, struct jq_json_object *object);
/* Writes it alone, and frees it. False: out of memory. */
bool jq_json_close(struct jq_json_object *object, FILE *out);
/* {"error":{"code":..,"message":..}} on one line. False: out of memory. */
bool jq_json_error(FILE *out, const char *code, const char *message);

/* ---- JSON that was typed: format_json_read.c ---- */

/* Adds one value as msgpack to `out`, as deep as a job's argument may be. EINVAL: no JSON;
 * EMSGSIZE: too deep; with detail. ENOMEM. */
JQ_MUST_USE enum jq_err jq_json_to_msgpack(const char *text, struct jq_buf *out,
                                           struct jq_detail *ret_detail);

/* ---- what handlers return: format_json_value.c ---- */

/* One line. EINVAL: it is not one msgpack value. ENOMEM. */
JQ_MUST_USE enum jq_err jq_json_print_msgpack(struct jq_view bytes, FILE *out);

#endif
