/* SPDX-License-Identifier: MIT
 *
 * settings.h - what jobq-worker was told: config.def as a struct, and the command line around it.
 * At the start only; reads the environment, the settings file and nothing else. */
#ifndef JQ_WORKER_SETTINGS_H
#define JQ_WORKER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/conf.h"
#include "proto/base/err.h"
#include "proto/base/log.h"
#include "proto/msg.h"

#define JQ_FIELD_BOOL(field) bool field;
#define JQ_FIELD_INT(field) int64_t field;
#define JQ_FIELD_SIZE(field) int64_t field;
#define JQ_FIELD_DURATION(field) int64_t field;
#define JQ_FIELD_STRING(field) const char *field;

struct jq_worker_settings {
#define SETTING(field, name, kind, value, min, max, letter, help) JQ_FIELD_##kind(field)
#include "worker/config.def"
};

#undef JQ_FIELD_BOOL
#undef JQ_FIELD_INT
#undef JQ_FIELD_SIZE
#undef JQ_FIELD_DURATION
#undef JQ_FIELD_STRING

/* What the command line asks for beside settings. */
enum jq_worker_action {
    JQ_WORKER_RUN,
    JQ_WORKER_HELP,
    JQ_WORKER_VERSION,
    JQ_WORKER_PRINT_CONFIG,
    JQ_WORKER_PRINT_SAMPLE,
    JQ_WORKER_CHECK_CONFIG,
};

struct jq_worker_config; /* owns the strings of its settings */

/* Flags, environment, file; then the defaults that depend on the machine, and what no single row
 * can say. EINVAL with detail; *ret_usage tells a bad flag (exit 64) from a bad setting (78).
 * ENOMEM. */
JQ_MUST_USE enum jq_err jq_worker_config_load(int argc, char **argv, char *const *environment,
                                              struct jq_worker_config **ret_config,
                                              enum jq_worker_action *ret_action, bool *ret_usage,
                                              struct jq_detail *ret_detail);
void jq_worker_config_free(struct jq_worker_config **config);

/* With the 0 and "" of `slots`, `threads`, `name` and `url` replaced by what they stand for. */
const struct jq_worker_settings *jq_worker_config_get(const struct jq_worker_config *config);
enum jq_log_level jq_worker_config_log_level(const struct jq_worker_config *config);
/* `tags` as HELLO has them; borrowed from the config. */
struct jq_records jq_worker_config_tags(const struct jq_worker_config *config);
/* The plug-ins' paths by index, borrowed from the config; NULL behind the last. */
const char *jq_worker_config_plugin(const struct jq_worker_config *config, size_t index);

void jq_worker_config_print(const struct jq_worker_config *config, FILE *out);
JQ_MUST_USE enum jq_err jq_worker_help(FILE *out);
JQ_MUST_USE enum jq_err jq_worker_sample(FILE *out);

#endif
