/* SPDX-License-Identifier: MIT
 *
 * log.h - log lines: one event each, `key=value`, to stderr.
 *
 *     jq_log(JQ_INFO, "lease.expired", "job=%" PRIu64 " worker=%s", id, name);
 *
 * Format by target: under systemd's journal a "<N>" prefix and no time; on a terminal for people;
 * else `time=... level=... event=... ...` with RFC 3339 UTC time. Control characters in values are
 * escaped. Event names are literals, stable, and listed in deploy/OPERATIONS.md. ERROR: a person
 * must act. Payloads and secrets are never logged; nothing logs per job above DEBUG. Any thread: a
 * line is one write(2). */
#ifndef JQ_BASE_LOG_H
#define JQ_BASE_LOG_H

#include <stdbool.h>

#include "proto/base/err.h"

enum jq_log_level { JQ_ERROR = 0, JQ_WARN = 1, JQ_INFO = 2, JQ_DEBUG = 3 };

void jq_log_open(const char *program, enum jq_log_level max); /* again when stderr has changed */
void jq_log_set_level(enum jq_log_level max);
bool jq_log_enabled(enum jq_log_level level);
void jq_log(enum jq_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "error", "warn", "info", "debug". EINVAL: none of them, *ret_level untouched. */
JQ_MUST_USE enum jq_err jq_log_level_parse(const char *text, enum jq_log_level *ret_level);

#endif
