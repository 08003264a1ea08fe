/* SPDX-License-Identifier: MIT
 *
 * settings.h - what jobqd was told: config.def as a struct, and the command line around it.
 *
 * Loop thread, at the start and on SIGHUP. Reads the environment, the settings file and nothing
 * else; makes no directory and opens no store. */
#ifndef JQ_BROKER_SETTINGS_H
#define JQ_BROKER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/conf.h"
#include "proto/base/err.h"
#include "proto/base/log.h"

#define JQ_FIELD_BOOL(field) bool field;
#define JQ_FIELD_INT(field) int64_t field;
#define JQ_FIELD_SIZE(field) int64_t field;
#define JQ_FIELD_DURATION(field) int64_t field;
#define JQ_FIELD_STRING(field) const char *field;

struct jq_broker_settings {
#define SETTING(field, name, kind, value, min, max, letter, help) JQ_FIELD_##kind(field)
#include "broker/config.def"
};

#undef JQ_FIELD_BOOL
#undef JQ_FIELD_INT
#undef JQ_FIELD_SIZE
#undef JQ_FIELD_DURATION
#undef JQ_FIELD_STRING

/* What the command line asks for beside settings. */
enum jq_action {
    JQ_ACTION_SERVE,
    JQ_ACTION_HELP,
    JQ_ACTION_VERSION,
    JQ_ACTION_PRINT_CONFIG,
    JQ_ACTION_PRINT_SAMPLE,
    JQ_ACTION_CHECK_CONFIG,
};

struct jq_command_line {
    enum jq_action action;
    const char *config; /* --config FILE, or NULL: the default places; points into argv */
    int ready_fd;       /* --ready-fd N; -1: none */
    bool supervise;     /* --supervise */
    bool verbose;       /* --verbose, with --version */
    int flag_count;     /* what is left for the settings, flags[0] being the program's name */
    char **flags;       /* owned; its strings are argv's */
};

/* Splits argv into what is ours here and settings' flags, which are not looked into.
 * EINVAL with detail: exit 64. ENOMEM. */
JQ_MUST_USE enum jq_err jq_command_line_parse(int argc, char **argv, struct jq_command_line *ret,
                                              struct jq_detail *ret_detail);
void jq_command_line_fini(struct jq_command_line *line);

struct jq_broker_config; /* owns the strings of its settings */

/* File, environment, flags, then what no single row can say (heartbeat against lease, the
 * endpoints' syntax, the log level's name). EINVAL with detail; *ret_usage tells a bad flag (exit
 * 64) from a bad setting (78). */
JQ_MUST_USE enum jq_err jq_broker_config_load(const struct jq_command_line *line,
                                              char *const *environment,
                                              struct jq_broker_config **ret_config, bool *ret_usage,
                                              struct jq_detail *ret_detail);
void jq_broker_config_free(struct jq_broker_config **config);
const struct jq_broker_settings *jq_broker_config_get(const struct jq_broker_config *config);
enum jq_log_level jq_broker_config_log_level(const struct jq_broker_config *config);
const char *jq_broker_config_file(const struct jq_broker_config *config); /* "" when none */

void jq_broker_config_print(const struct jq_broker_config *config, FILE *out);
/* Neither depends on who runs it or where. NULL tables: out of memory. */
JQ_MUST_USE enum jq_err jq_broker_help(FILE *out);
JQ_MUST_USE enum jq_err jq_broker_sample(FILE *out);

#endif
