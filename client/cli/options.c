/* SPDX-License-Identifier: MIT
 *
 * options.c - see options.h. */
#include "client/cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/conf.h"

enum { NAMES_MAX = 64, WORD_MAX = 40 };

/* ---- words ---- */

enum jq_err jq_words_add(struct jq_words *words, char *word)
{
    if (words->count == words->capacity) {
        const size_t capacity = words->capacity ? words->capacity * 2 : 16;
        char **list = jq_realloc(words->list, capacity * sizeof *list);
        if (!list)
            return JQ_ENOMEM;
        words->list = list;
        words->capacity = capacity;
    }
    words->list[words->count++] = word;
    return JQ_OK;
}

void jq_words_fini(struct jq_words *words)
{
    jq_free(words->list);
    *words = (struct jq_words){ 0 };
}

/* ---- values ---- */

enum jq_err jq_parse_u64(const char *text, size_t size, uint64_t *ret)
{
    uint64_t value = 0;

    if (size == 0)
        return JQ_EINVAL;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return JQ_EINVAL;
    }
    *ret = value;
    return JQ_OK;
}

static enum jq_err parse_int(const char *text, int64_t *ret)
{
    char *end;

    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || strchr(" \t\n\v\f\r+", *text))
        return JQ_EINVAL;
    *ret = value;
    return JQ_OK;
}

static enum jq_err set_number(const struct jq_flag *flag, int64_t *place, const char *text,
                              struct jq_detail *detail)
{
    int64_t value = 0;
    enum jq_err err = JQ_EINVAL;
    const char *what = "a whole number";

    if (flag->kind == JQ_FLAG_INT) {
        err = parse_int(text, &value);
    } else if (flag->kind == JQ_FLAG_SIZE) {
        what = "a size such as 64K, 16M or 1G";
        err = jq_parse_size(text, &value);
    } else {
        what = "a duration such as 500ms, 10s, 5m or 2h";
        err = jq_parse_duration(text, &value);
    }
    if (err != JQ_OK)
        jq_detail_set(detail, "--%s: '%s' is not %s", flag->name, text, what);
    else if (value < flag->min || value > flag->max)
        jq_detail_set(detail, "--%s: %s is not within %" PRId64 " and %" PRId64 "%s", flag->name,
                      text, flag->min, flag->max, flag->kind == JQ_FLAG_DURATION ? " ms" : "");
    else
        *place = value;
    return err == JQ_OK && (value < flag->min || value > flag->max) ? JQ_EINVAL : err;
}

static enum jq_err set_value(const struct jq_flags *table, const struct jq_flag *flag, char *text,
                             struct jq_detail *detail)
{
    void *place = (char *)table->values + flag->offset;

    switch (flag->kind) {
    case JQ_FLAG_BOOL:
        *(bool *)place = true;
        return JQ_OK;
    case JQ_FLAG_STRING:
        *(const char **)place = text;
        return JQ_OK;
    case JQ_FLAG_LIST:
        return jq_words_add(place, text);
    case JQ_FLAG_PAIRS:
        JQ_TRY(jq_words_add(place, (char *)(uintptr_t)flag->name));
        return jq_words_add(place, text);
    case JQ_FLAG_INT:
    case JQ_FLAG_SIZE:
    case JQ_FLAG_DURATION:
        break;
    }
    return set_number(flag, place, text, detail);
}

/* ---- finding ---- */

static const struct jq_flag *find_name(const struct jq_options *options, const char *name,
                                       size_t length, const struct jq_flags **ret_table)
{
    for (size_t t = 0; t < options->table_count; t++) {
        const struct jq_flags *table = &options->tables[t];
        for (size_t i = 0; i < table->count; i++) {
            if (strlen(table->list[i].name) == length &&
                memcmp(table->list[i].name, name, length) == 0) {
                *ret_table = table;
                return &table->list[i];
            }
        }
    }
    return NULL;
}

static const struct jq_flag *find_letter(const struct jq_options *options, char letter,
                                         const struct jq_flags **ret_table)
{
    for (size_t t = 0; t < options->table_count; t++) {
        const struct jq_flags *table = &options->tables[t];
        for (size_t i = 0; i < table->count; i++) {
            if (table->list[i].letter == letter) {
                *ret_table = table;
                return &table->list[i];
            }
        }
    }
    return NULL;
}

static enum jq_err unknown_flag(const struct jq_options *options, const char *word,
                                struct jq_detail *detail)
{
    const char *names[NAMES_MAX];
    char text[WORD_MAX];
    size_t count = 0;

    for (size_t t = 0; t < options->table_count; t++)
        for (size_t i = 0; i < options->tables[t].count && count < NAMES_MAX; i++)
            names[count++] = options->tables[t].list[i].name;
    snprintf(text, sizeof text, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *near = jq_nearest(text, names, count);
    if (near)
        jq_detail_set(detail, "unknown flag --%s; did you mean --%s?", text, near);
    else
        jq_detail_set(detail, "unknown flag --%s", text);
    return JQ_EINVAL;
}

/* ---- reading ---- */

struct reading {
    const struct jq_options *options;
    int argc;
    char **argv;
    int at; /* the word being read */
    struct jq_detail *detail;
};

static enum jq_err read_long(struct reading *r, char *word)
{
    const struct jq_flags *table;
    const size_t length = strcspn(word + 2, "=");
    const struct jq_flag *flag = find_name(r->options, word + 2, length, &table);
    char *text = word[2 + length] ? word + 2 + length + 1 : NULL;

    if (!flag)
        return unknown_flag(r->options, word, r->detail);
    if (flag->kind == JQ_FLAG_BOOL && text) {
        jq_detail_set(r->detail, "--%s takes no value", flag->name);
        return JQ_EINVAL;
    }
    if (flag->kind != JQ_FLAG_BOOL && !text) {
        if (r->at + 1 >= r->argc) {
            jq_detail_set(r->detail, "--%s needs %s", flag->name, flag->value);
            return JQ_EINVAL;
        }
        text = r->argv[++r->at];
    }
    return set_value(table, flag, text, r->detail);
}

/* "-qf" is two flags, "-n5" and "-n 5" are one with a value. */
static enum jq_err read_short(struct reading *r, char *word)
{
    for (char *at = word + 1; *at; at++) {
        const struct jq_flags *table;
        const struct jq_flag *flag = find_letter(r->options, *at, &table);
        char *text = at + 1;

        if (!flag) {
            const bool plain = *at > ' ' && *at < 127;
            jq_detail_set(r->detail, plain ? "unknown flag -%c" : "unknown flag -\\x%02x",
                          (unsigned char)*at);
            return JQ_EINVAL;
        }
        if (flag->kind == JQ_FLAG_BOOL) {
            JQ_TRY(set_value(table, flag, NULL, r->detail));
            continue;
        }
        if (!*text) {
            if (r->at + 1 >= r->argc) {
                jq_detail_set(r->detail, "-%c (--%s) needs %s", flag->letter, flag->name,
                              flag->value);
                return JQ_EINVAL;
            }
            text = r->argv[++r->at];
        }
        return set_value(table, flag, text, r->detail);
    }
    return JQ_OK;
}

static enum jq_err read_all(struct reading *r, struct jq_words *words)
{
    for (; r->at < r->argc; r->at++) {
        char *word = r->argv[r->at];
        if (strcmp(word, "--") == 0) {
            r->at++;
            break;
        }
        if (strncmp(word, "--", 2) == 0) {
            JQ_TRY(read_long(r, word));
        } else if (word[0] == '-' && word[1]) {
            JQ_TRY(read_short(r, word));
        } else if (r->options->rule == JQ_WORDS_FIRST) {
            break;
        } else {
            JQ_TRY(jq_words_add(words, word));
        }
    }
    for (; r->at < r->argc; r->at++)
        JQ_TRY(jq_words_add(words, r->argv[r->at]));
    return JQ_OK;
}

enum jq_err jq_options_parse(const struct jq_options *options, int argc, char **argv,
                             struct jq_words *ret_words, struct jq_detail *ret_detail)
{
    struct reading r = { .options = options, .argc = argc, .argv = argv, .detail = ret_detail };
    const enum jq_err err = read_all(&r, ret_words);

    if (err == JQ_ENOMEM)
        jq_detail_set(ret_detail, "%s", jq_err_text(err));
    return err;
}

/* ---- help ---- */

void jq_flags_help(const struct jq_flag *flags, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct jq_flag *flag = &flags[i];
        char head[64];
        const bool valued = flag->kind != JQ_FLAG_BOOL;
        const int length =
            snprintf(head, sizeof head, "  %c%c%s --%s%s%s", flag->letter ? '-' : ' ',
                     flag->letter ? flag->letter : ' ', flag->letter ? "," : " ", flag->name,
                     valued ? " " : "", valued ? flag->value : "");
        if (length > 26)
            fprintf(out, "%s\n%28s%s\n", head, "", flag->help);
        else
            fprintf(out, "%-26s  %s\n", head, flag->help);
    }
}

/* ---- the nearest ---- */

static size_t least(size_t a, size_t b, size_t c)
{
    const size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Letters put in, left out, changed, or swapped with their neighbour. */
static size_t distance(const char *a, const char *b)
{
    size_t row[3][WORD_MAX + 1];
    const size_t m = strlen(a), n = strlen(b);

    if (m > WORD_MAX || n > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= n; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t *now = row[i % 3];
        const size_t *before = row[(i + 2) % 3], *second = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t change = before[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = least(before[j] + 1, now[j - 1] + 1, change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                second[j - 2] + 1 < now[j])
                now[j] = second[j - 2] + 1;
        }
    }
    return row[m % 3][n];
}

const char *jq_nearest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2; /* more than this is no typing mistake */

    for (size_t i = 0; i < count; i++) {
        const size_t d = distance(word, names[i]);
        if (d < best_distance && d < strlen(names[i])) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
