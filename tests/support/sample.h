/* SPDX-License-Identifier: MIT
 *
 * sample.h - one fixed message of every kind, made from messages.def: every field is set, to values
 * of every width, text and bytes of every sort, two records in each list. The same in every build
 * of one messages.def: golden frames and fuzzing start from them. */
#ifndef JQ_TESTS_SAMPLE_H
#define JQ_TESTS_SAMPLE_H

#include <stddef.h>

#include "proto/msg.h"

size_t sample_count(void);
/* `arena` must be empty and outlive the message. */
JQ_MUST_USE enum jq_err sample_message(size_t index, struct jq_buf *arena, struct jq_msg *ret);

#endif
