/* SPDX-License-Identifier: MIT
 *
 * text.c - see text.h. */
#include "client/cli/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char replacement[] = "\xef\xbf\xbd";

void jq_text_add(struct jq_buf *out, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    const int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length > 0)
        jq_buf_append(out, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

/* ---- UTF-8 ---- */

/* Bytes of the valid sequence at the start of [at, end), or 0. RFC 3629: no surrogates, nothing
 * overlong, nothing past U+10FFFF. */
static size_t sequence(const uint8_t *at, const uint8_t *end)
{
    const size_t left = (size_t)(end - at);
    const uint8_t first = at[0];
    uint8_t low = 0x80, high = 0xbf;
    size_t size;

    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        size = 2;
    else if (first >= 0xe0 && first <= 0xef)
        size = 3;
    else if (first >= 0xf0 && first <= 0xf4)
        size = 4;
    else
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (left < size || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

void jq_text_utf8(struct jq_buf *out, struct jq_view text)
{
    const uint8_t *at = text.data, *end = at + text.size;

    while (text.size && at < end) {
        const size_t size = sequence(at, end);
        if (size)
            jq_buf_append(out, at, size);
        else
            jq_buf_append(out, replacement, 3);
        at += size ? size : 1;
    }
}

bool jq_text_is_utf8(struct jq_view text)
{
    const uint8_t *at = text.data, *end = at + text.size;

    while (text.size && at < end) {
        const size_t size = sequence(at, end);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

static void add_escape(struct jq_buf *out, uint8_t byte)
{
    static const char names[] = "abtnvfr"; /* 7 to 13 */

    if (byte >= 7 && byte <= 13)
        jq_text_add(out, "\\%c", names[byte - 7]);
    else
        jq_text_add(out, "\\x%02x", byte);
}

/* C0, DEL, and C1 in its two-byte form: what terminals obey. */
static bool is_control(const uint8_t *at, size_t size)
{
    return size == 1 ? at[0] < ' ' || at[0] == 0x7f : size == 2 && at[0] == 0xc2 && at[1] < 0xa0;
}

void jq_text_clean(struct jq_buf *out, struct jq_view text)
{
    const uint8_t *at = text.data, *end = at + text.size;

    while (text.size && at < end) {
        const size_t size = sequence(at, end);
        if (size == 0)
            jq_buf_append(out, replacement, 3);
        else if (is_control(at, size))
            add_escape(out, at[size - 1]);
        else
            jq_buf_append(out, at, size);
        at += size ? size : 1;
    }
}

size_t jq_text_fit(struct jq_view text, size_t width)
{
    const uint8_t *at = text.data;
    size_t i = 0;

    for (; i < text.size; i++)
        if ((at[i] & 0xc0) != 0x80 && width-- == 0)
            break;
    return i;
}

size_t jq_text_width(struct jq_view text)
{
    const uint8_t *at = text.data;
    size_t width = 0;

    for (size_t i = 0; i < text.size; i++)
        width += (at[i] & 0xc0) != 0x80;
    return width;
}

/* ---- commands ---- */

static bool is_plain(const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "%+,-./:=@_^";
    return *word && word[strspn(word, plain)] == '\0';
}

static void add_word(struct jq_buf *out, const char *word, size_t max)
{
    /* A long argument is cut before it is quoted, not after megabytes of it were. */
    const struct jq_view view = jq_view(word, strnlen(word, max));

    if (is_plain(word)) {
        jq_buf_append(out, view.data, view.size);
        return;
    }
    const char *mark = strchr(word, '\'') ? "\"" : "'";
    jq_buf_append(out, mark, 1);
    jq_text_clean(out, view);
    jq_buf_append(out, mark, 1);
}

void jq_text_command(struct jq_buf *out, char *const *argv, size_t count, size_t max)
{
    const size_t start = out->size;

    for (size_t i = 0; i < count && out->size - start <= max; i++) {
        if (i)
            jq_buf_append(out, " ", 1);
        add_word(out, argv[i], max + 1);
    }
    if (!jq_buf_ok(out) || out->size - start <= max)
        return;
    size_t keep = max - 3;
    while (keep && (out->data[start + keep] & 0xc0) == 0x80)
        keep--;
    out->size = start + keep;
    jq_buf_append(out, "...", 3);
}

/* ---- numbers ---- */

void jq_text_duration(struct jq_buf *out, int64_t ms)
{
    const int64_t seconds = ms / 1000, minutes = seconds / 60, hours = minutes / 60;

    if (ms < 0)
        jq_text_add(out, "0ms");
    else if (seconds == 0)
        jq_text_add(out, "%" PRId64 "ms", ms);
    else if (minutes == 0)
        jq_text_add(out, "%" PRId64 ".%" PRId64 "s", seconds, ms % 1000 / 100);
    else if (hours == 0)
        jq_text_add(out, "%" PRId64 "m%02" PRId64 "s", minutes, seconds % 60);
    else if (hours < 24)
        jq_text_add(out, "%" PRId64 "h%02" PRId64 "m", hours, minutes % 60);
    else
        jq_text_add(out, "%" PRId64 "d%02" PRId64 "h", hours / 24, hours % 24);
}

void jq_text_time(struct jq_buf *out, jq_ns at)
{
    const int64_t below = at % 1000000000;
    const time_t seconds = (time_t)((at - below) / 1000000000);
    struct tm tm;
    char text[32];

    if (at < 0 || !gmtime_r(&seconds, &tm) ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return;
    jq_text_add(out, "%s.%06" PRId64 "Z", text, below / 1000);
}

void jq_text_size(struct jq_buf *out, uint64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    size_t unit = 0;
    double value = (double)bytes / 1024;

    if (bytes < 1024) {
        jq_text_add(out, "%" PRIu64 " B", bytes);
        return;
    }
    for (; value >= 1023.95 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1024;
    jq_text_add(out, "%.1f %s", value, units[unit]);
}

void jq_text_signal(struct jq_buf *out, uint64_t number)
{
    const char *name = number < 128 ? sigabbrev_np((int)number) : NULL;

    if (name)
        jq_text_add(out, "%s", name);
    else
        jq_text_add(out, "%" PRIu64, number);
}
