/* SPDX-License-Identifier: MIT
 *
 * format_json_parts.h - what the files of format_json have in common. Pure; NULL and *ret_failed:
 * out of memory. */
#ifndef JQ_CLI_FORMAT_JSON_PARTS_H
#define JQ_CLI_FORMAT_JSON_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/msg.h"

/* Takes `value`; NULL fails. */
void jq_json_set(json_t *object, const char *key, json_t *value, bool *ret_failed);
json_t *jq_json_string(struct jq_view view);
json_t *jq_json_decimal(uint64_t value); /* as a string */
json_t *jq_json_base64(struct jq_view bytes);
/* Members `key` and key_ns; 0: null. */
void jq_json_set_time(json_t *object, const char *key, int64_t at, bool *ret_failed);
/* `object`, or NULL and it is gone. */
json_t *jq_json_unless(bool failed, json_t *object);
/* Compact, without a line end. */
bool jq_json_dump(json_t *json, FILE *out);

/* Takes `json`; NULL: it could not be made. */
struct jq_json_list;
void jq_json_put_value(struct jq_json_list *list, json_t *json);

/* ---- whole records: format_json.c, format_json_job.c ---- */

json_t *jq_json_of_job_info(const struct jq_job_info *record);
json_t *jq_json_of_blocker(const struct jq_blocker *record);
json_t *jq_json_of_queue_info(const struct jq_queue_info *record);
json_t *jq_json_of_queue_conf(const struct jq_queue_conf *record);
json_t *jq_json_of_worker_info(const struct jq_worker_info *record);

/* A measurement: format_json_bench.c. */
struct jq_figure;
json_t *jq_json_of_figure(const struct jq_figure *figure);

/* What was said of a job when it was submitted, and only that; {} for none. */
json_t *jq_json_of_options(struct jq_view options);
/* {name: value} of them. */
json_t *jq_json_of_labels(struct jq_view options);
/* [name] of a list of words. */
json_t *jq_json_of_words(struct jq_records words);

#endif
