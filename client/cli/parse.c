/* SPDX-License-Identifier: MIT
 *
 * parse.c - see parse.h. */
#include "client/cli/parse.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "client/cli/options.h"
#include "proto/base/conf.h"
#include "proto/limits.h"

enum { WORD_MAX = 40, SIGNALS = 64 };

/* ---- times ---- */

/* Exactly `size` digits. */
static bool digits(const char **at, size_t size, int64_t *ret)
{
    uint64_t value;

    if (strnlen(*at, size) < size || jq_parse_u64(*at, size, &value) != JQ_OK)
        return false;
    *at += size;
    *ret = (int64_t)value;
    return true;
}

static bool skip(const char **at, const char *one_of)
{
    if (!**at || !strchr(one_of, **at))
        return false;
    ++*at;
    return true;
}

/* Days from 1970 to a date of the Gregorian calendar. */
static int64_t days_to(int64_t year, int64_t month, int64_t day)
{
    const int64_t y = month <= 2 ? year - 1 : year;
    const int64_t era = y / 400, of_era = y - era * 400;
    const int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t days_in(int64_t year, int64_t month)
{
    static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static bool read_date(const char **at, int64_t *ret_days)
{
    int64_t year, month, day;

    if (!digits(at, 4, &year) || !skip(at, "-") || !digits(at, 2, &month) || !skip(at, "-") ||
        !digits(at, 2, &day))
        return false;
    if (year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 ||
        day > days_in(year, month))
        return false;
    *ret_days = days_to(year, month, day);
    return true;
}

static bool read_clock(const char **at, int64_t *ret_s, int64_t *ret_ns)
{
    int64_t hour, minute, second, unit = 100000000, digit;

    if (!digits(at, 2, &hour) || !skip(at, ":") || !digits(at, 2, &minute) || !skip(at, ":") ||
        !digits(at, 2, &second) || hour > 23 || minute > 59 || second > 60)
        return false;
    *ret_s = hour * 3600 + minute * 60 + second;
    *ret_ns = 0;
    if (!skip(at, "."))
        return true;
    if (!digits(at, 1, &digit))
        return false;
    do {
        *ret_ns += digit * unit;
        unit /= 10;
    } while (digits(at, 1, &digit));
    return true;
}

/* Seconds east of Greenwich. */
static bool read_zone(const char **at, int64_t *ret_s)
{
    const bool west = **at == '-';
    int64_t hour, minute;

    *ret_s = 0;
    if (skip(at, "Zz"))
        return true;
    if (!skip(at, "+-") || !digits(at, 2, &hour) || !skip(at, ":") || !digits(at, 2, &minute) ||
        hour > 23 || minute > 59)
        return false;
    *ret_s = (hour * 3600 + minute * 60) * (west ? -1 : 1);
    return true;
}

static bool read_rfc3339(const char *at, jq_ns *ret)
{
    int64_t days, s, ns, east;

    if (!read_date(&at, &days) || !skip(&at, "Tt ") || !read_clock(&at, &s, &ns) ||
        !read_zone(&at, &east) || *at)
        return false;
    const int64_t seconds = days * 86400 + s - east;
    *ret = seconds * 1000000000 + ns;
    return seconds >= 0;
}

enum jq_err jq_parse_time(const char *text, jq_ns now, jq_ns *ret_at, struct jq_detail *ret_detail)
{
    int64_t ms, ns;

    if (strncmp(text, "now+", 4) == 0 && text[4] && jq_parse_duration(text + 4, &ms) == JQ_OK &&
        !__builtin_mul_overflow(ms, 1000000, &ns) && !__builtin_add_overflow(now, ns, ret_at))
        return JQ_OK;
    if (read_rfc3339(text, ret_at))
        return JQ_OK;
    jq_detail_set(ret_detail,
                  "'%.*s' is no time: expected 2030-01-31T12:00:00Z (or +02:00), or now+10m",
                  WORD_MAX, text);
    return JQ_EINVAL;
}

/* ---- retries ---- */

static bool read_backoff(const char *text, struct jq_backoff_times *ret)
{
    const bool fixed = strncmp(text, "fixed:", 6) == 0;
    const char *at = strchr(text, ':'), *dots = strstr(text, "..");
    char first[WORD_MAX];

    if (!at || (!fixed && strncmp(text, "exp:", 4) != 0) || (fixed && dots))
        return false;
    const size_t size = dots ? (size_t)(dots - at - 1) : strlen(at + 1);
    if (size >= sizeof first)
        return false;
    snprintf(first, sizeof first, "%.*s", (int)size, at + 1);
    *ret = (struct jq_backoff_times){ .fixed = fixed };
    if (jq_parse_duration(first, &ret->ms) != JQ_OK || ret->ms <= 0)
        return false;
    return !dots || (jq_parse_duration(dots + 2, &ret->max_ms) == JQ_OK && ret->max_ms >= ret->ms);
}

enum jq_err jq_parse_backoff(const char *text, struct jq_backoff_times *ret,
                             struct jq_detail *ret_detail)
{
    struct jq_backoff_times times;

    if (read_backoff(text, &times)) {
        *ret = times;
        return JQ_OK;
    }
    jq_detail_set(ret_detail,
                  "'%.*s' is no backoff: expected exp:1s..10m (doubled from the first to the "
                  "second), exp:1s or fixed:5s",
                  WORD_MAX, text);
    return JQ_EINVAL;
}

/* "SIGKILL" or "KILL", whatever the case; 0: none. */
static int signal_of(const char *word, size_t size)
{
    if (size > 3 && strncasecmp(word, "SIG", 3) == 0) {
        word += 3;
        size -= 3;
    }
    for (int number = 1; number < SIGNALS; number++) {
        const char *name = sigabbrev_np(number);
        if (name && strlen(name) == size && strncasecmp(name, word, size) == 0)
            return number;
    }
    return 0;
}

/* A code, or a range of them. */
static bool read_codes(const char *word, size_t size, int64_t *ret_first, int64_t *ret_last)
{
    const char *dash = memchr(word, '-', size);
    const size_t first_size = dash ? (size_t)(dash - word) : size;
    uint64_t first, last;

    if (jq_parse_u64(word, first_size, &first) != JQ_OK)
        return false;
    last = first;
    if (dash && jq_parse_u64(dash + 1, size - first_size - 1, &last) != JQ_OK)
        return false;
    *ret_first = (int64_t)first;
    *ret_last = (int64_t)last;
    return first >= 1 && first <= last && last <= INT32_MAX;
}

static enum jq_err add_endings(const char *word, size_t size, struct jobq_ending *list, size_t max,
                               size_t *count, struct jq_detail *detail)
{
    const int number = signal_of(word, size);
    int64_t first = -1, last = -1;

    if (!number && !read_codes(word, size, &first, &last)) {
        jq_detail_set(detail,
                      "'%.*s' is no way to fail: expected an exit code from 1, a range such as "
                      "70-75, or a signal such as SIGKILL",
                      (int)(size < WORD_MAX ? size : WORD_MAX), word);
        return JQ_EINVAL;
    }
    if ((uint64_t)(last - first) >= max - *count) {
        jq_detail_set(detail, "more than %zu exit codes and signals", max);
        return JQ_EINVAL;
    }
    for (; first <= last; first++)
        list[(*count)++] = (struct jobq_ending){ .code = first, .signal = number };
    return JQ_OK;
}

enum jq_err jq_parse_endings(const char *text, struct jobq_ending *list, size_t max, size_t *count,
                             struct jq_detail *ret_detail)
{
    for (const char *at = text;; at++) {
        const size_t size = strcspn(at, ", ");
        JQ_TRY(add_endings(at, size, list, max, count, ret_detail));
        at += size;
        if (!*at)
            return JQ_OK;
    }
}

/* ---- pairs ---- */

enum jq_err jq_parse_receipt(const char *text, uint64_t *ret_id, uint64_t *ret_fence,
                             struct jq_detail *ret_detail)
{
    const char *colon = strchr(text, ':');
    uint64_t id, fence;

    if (colon && jq_parse_u64(text, (size_t)(colon - text), &id) == JQ_OK && id &&
        jq_parse_u64(colon + 1, strlen(colon + 1), &fence) == JQ_OK && fence) {
        *ret_id = id;
        *ret_fence = fence;
        return JQ_OK;
    }
    jq_detail_set(ret_detail,
                  "'%.*s' is no receipt: expected ID:FENCE, as jobq get --lease says it", WORD_MAX,
                  text);
    return JQ_EINVAL;
}

enum jq_err jq_parse_limit(const char *text, struct jq_view *ret_name, uint32_t *ret_max,
                           struct jq_detail *ret_detail)
{
    const size_t size = strcspn(text, "=");
    uint64_t max = 0;

    if (size > 0 &&
        (!text[size] || (jq_parse_u64(text + size + 1, strlen(text + size + 1), &max) == JQ_OK &&
                         max > 0 && max <= UINT32_MAX))) {
        *ret_name = jq_view(text, size);
        *ret_max = (uint32_t)max;
        return JQ_OK;
    }
    jq_detail_set(ret_detail, "'%.*s' is no limit: expected NAME=N, N from 1, or NAME", WORD_MAX,
                  text);
    return JQ_EINVAL;
}
