/* SPDX-License-Identifier: MIT
 *
 * queue_conf.h - the settings of a queue: from flags to the wire, and from there to people. Pure.
 */
#ifndef JQ_CLI_QUEUE_CONF_H
#define JQ_CLI_QUEUE_CONF_H

#include <stdint.h>

#include "proto/msg.h"

/* A member for each setting: NULL and -1 where nothing was said. */
struct jq_queue_flags {
#define WORD(member, name, FIELD, words, help) const char *member;
#define TEXT WORD
#define NUMBER(member, name, FIELD, kind, max, plus, zero, value, help) int64_t member;
#include "client/cli/queue_settings.def"
};

/* *ret_fields has a bit for each that was said, as queue_set.fields. EINVAL with detail. */
JQ_MUST_USE enum jq_err jq_queue_flags_read(const struct jq_queue_flags *flags,
                                            struct jq_queue_conf *ret_conf, uint64_t *ret_fields,
                                            struct jq_detail *ret_detail);
/* "name: value" lines. */
void jq_queue_conf_describe(struct jq_buf *out, const struct jq_queue_conf *conf);

/* "open", "paused", "closed", "closed, paused"; with what is still to be purged. */
void jq_queue_state(struct jq_buf *out, const struct jq_queue_info *info);
/* "name: value" lines of its counters. */
void jq_queue_describe(struct jq_buf *out, const struct jq_queue_info *info);

#endif
