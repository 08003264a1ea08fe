/* SPDX-License-Identifier: MIT
 *
 * text.h - bytes, times and numbers as people read them. Pure; appends to buffers, which say
 * themselves whether memory ran out. */
#ifndef JQ_CLI_TEXT_H
#define JQ_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/time.h"
#include "proto/base/view.h"

void jq_text_add(struct jq_buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Valid UTF-8 as it is; U+FFFD for every byte that is not. */
void jq_text_utf8(struct jq_buf *out, struct jq_view text);
bool jq_text_is_utf8(struct jq_view text);
/* The same on one line that no terminal takes for a command: control characters are escaped. */
void jq_text_clean(struct jq_buf *out, struct jq_view text);
/* Characters of what jq_text_clean wrote: an approximation of the columns they take. */
size_t jq_text_width(struct jq_view text);
/* The longest beginning of at most `width` characters, in bytes. */
size_t jq_text_fit(struct jq_view text, size_t width);

/* A command as one would type it, at most `max` bytes, in whole characters. For people: the bytes
 * that are run are never made from this. */
void jq_text_command(struct jq_buf *out, char *const *argv, size_t count, size_t max);

/* "350ms", "4.2s", "3m07s", "2h05m", "4d03h". */
void jq_text_duration(struct jq_buf *out, int64_t ms);
/* "2024-02-29T23:59:59.123456Z". */
void jq_text_time(struct jq_buf *out, jq_ns at);
/* "17 B", "1.4 KiB". */
void jq_text_size(struct jq_buf *out, uint64_t bytes);
/* "KILL"; "40" for a number without a name. */
void jq_text_signal(struct jq_buf *out, uint64_t number);

#endif
