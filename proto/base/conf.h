/* SPDX-License-Identifier: MIT
 *
 * conf.h - settings from one table: flag > JOBQ_* variable > file > default.
 *
 * A program lists its settings once, in its config.def, as rows of struct jq_setting. From a row
 * "store.min_free" follow the flag --store-min-free, the variable JOBQ_STORE_MIN_FREE, the key
 * min_free in section [store] of the file (keys without a dot stand before any section), the line
 * in --help, in --print-config and in the sample file.
 *
 * Bad values are refused with file and line (or flag, or variable), setting, value and bound. */
#ifndef JQ_BASE_CONF_H
#define JQ_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/err.h"

enum jq_setting_kind {
    JQ_SETTING_BOOL,     /* bool; flag takes no value, or =yes/=no */
    JQ_SETTING_INT,      /* int64_t within [min, max] */
    JQ_SETTING_SIZE,     /* int64_t bytes; K M G suffixes, powers of 1024 */
    JQ_SETTING_DURATION, /* int64_t ms; 500ms 10s 5m 2h 1d, no unit: seconds */
    JQ_SETTING_STRING,   /* const char *, owned by the jq_conf */
};

enum jq_setting_source { JQ_FROM_DEFAULT, JQ_FROM_FILE, JQ_FROM_ENVIRONMENT, JQ_FROM_FLAG };

struct jq_setting {
    const char *name; /* "store.min_free" */
    enum jq_setting_kind kind;
    size_t offset;     /* of the value in the program's settings struct */
    const char *value; /* default, as text */
    int64_t min, max;  /* INT, SIZE, DURATION; STRING: length */
    char letter;       /* short flag, or 0 */
    const char *help;  /* a sentence */
};

struct jq_conf; /* owns strings and remembers where each value came from */

/* `values` is the program's settings struct, filled with defaults here. ENOMEM. */
struct jq_conf *jq_conf_new(const struct jq_setting *table, size_t count, void *values);
void jq_conf_free(struct jq_conf **conf);

/* File, then environment, then flags, whatever the order of the calls: a weaker source never
 * overwrites a stronger one. EINVAL with detail. `optional`: a file that is absent is fine. */
JQ_MUST_USE enum jq_err jq_conf_file(struct jq_conf *conf, const char *path, bool optional,
                                     struct jq_detail *ret_detail);
JQ_MUST_USE enum jq_err jq_conf_environment(struct jq_conf *conf, char *const *environment,
                                            struct jq_detail *ret_detail);
/* Takes --name value, --name=value, -x value. Stops at "--" or the first other word; *ret_next is
 * its index. Unknown flag: EINVAL, with the nearest name suggested. */
JQ_MUST_USE enum jq_err jq_conf_flags(struct jq_conf *conf, int argc, char **argv, int *ret_next,
                                      struct jq_detail *ret_detail);

void jq_conf_help(const struct jq_conf *conf, FILE *out);   /* a line or two for each setting */
void jq_conf_print(const struct jq_conf *conf, FILE *out);  /* "name=value  # source" each */
void jq_conf_sample(const struct jq_conf *conf, FILE *out); /* a file with every default */
enum jq_setting_source jq_conf_source(const struct jq_conf *conf, const char *name);

/* "1.5s" and the like, as JQ_SETTING_DURATION; EINVAL. Shared with the command line tools. */
JQ_MUST_USE enum jq_err jq_parse_duration(const char *text, int64_t *ret_ms);
JQ_MUST_USE enum jq_err jq_parse_size(const char *text, int64_t *ret_bytes);

#endif
