/* SPDX-License-Identifier: MIT
 *
 * conf.c - the settings engine; the only user of inih. Invariant: a value's source only ever gets
 * stronger, so the order of the calls does not matter. */
#include "proto/base/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <ini.h>

#include "proto/base/alloc.h"

enum { NAME_SIZE = 96, VALUE_PRINT_MAX = 120 };

struct jq_conf {
    const struct jq_setting *table;
    size_t count;
    void *values;
    enum jq_setting_source *sources;
    char **strings; /* of STRING settings, owned */
};

static const char *const source_names[] = { "default", "file", "environment", "flag" };

/* --- values --- */

static void *slot_of(const struct jq_conf *conf, size_t i)
{
    return (char *)conf->values + conf->table[i].offset;
}

static bool parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = { "yes", "true", "on", "1" };
    static const char *const no[] = { "no", "false", "off", "0" };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *ret = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static enum jq_err parse_integer(const char *text, int64_t *ret)
{
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return JQ_EINVAL;
    *ret = value;
    return JQ_OK;
}

static enum jq_err parse_number(enum jq_setting_kind kind, const char *text, int64_t *ret)
{
    if (kind == JQ_SETTING_SIZE)
        return jq_parse_size(text, ret);
    if (kind == JQ_SETTING_DURATION)
        return jq_parse_duration(text, ret);
    return parse_integer(text, ret);
}

static void print_number(enum jq_setting_kind kind, int64_t value, char *text, size_t size)
{
    static const struct {
        enum jq_setting_kind kind;
        int64_t factor;
        const char *unit;
    } units[] = {
        { JQ_SETTING_SIZE, INT64_C(1) << 30, "G" }, { JQ_SETTING_SIZE, 1 << 20, "M" },
        { JQ_SETTING_SIZE, 1 << 10, "K" },          { JQ_SETTING_DURATION, 86400000, "d" },
        { JQ_SETTING_DURATION, 3600000, "h" },      { JQ_SETTING_DURATION, 60000, "m" },
        { JQ_SETTING_DURATION, 1000, "s" },         { JQ_SETTING_DURATION, 1, "ms" },
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (units[i].kind == kind && value && value % units[i].factor == 0) {
            (void)snprintf(text, size, "%lld%s", (long long)(value / units[i].factor),
                           units[i].unit);
            return;
        }
    (void)snprintf(text, size, "%lld", (long long)value);
}

static enum jq_err set_number(const struct jq_setting *setting, const char *text, int64_t *slot,
                              struct jq_detail *detail)
{
    static const char *const kinds[] = { [JQ_SETTING_INT] = "a whole number",
                                         [JQ_SETTING_SIZE] = "a size such as 64K, 512M or 2G",
                                         [JQ_SETTING_DURATION] =
                                             "a duration such as 500ms, 10s or 5m" };
    int64_t value = 0;
    if (parse_number(setting->kind, text, &value) != JQ_OK) {
        jq_detail_set(detail, "%s: '%.*s' is not %s", setting->name, VALUE_PRINT_MAX, text,
                      kinds[setting->kind]);
        return JQ_EINVAL;
    }
    if (value < setting->min || value > setting->max) {
        char min[32], max[32];
        print_number(setting->kind, setting->min, min, sizeof min);
        print_number(setting->kind, setting->max, max, sizeof max);
        jq_detail_set(detail, "%s: %.*s is not between %s and %s", setting->name, VALUE_PRINT_MAX,
                      text, min, max);
        return JQ_EINVAL;
    }
    *slot = value;
    return JQ_OK;
}

static enum jq_err set_string(struct jq_conf *conf, size_t i, const char *text,
                              struct jq_detail *detail)
{
    const struct jq_setting *setting = &conf->table[i];
    if (setting->max > 0 && (int64_t)strlen(text) > setting->max) {
        jq_detail_set(detail, "%s: longer than %lld bytes", setting->name, (long long)setting->max);
        return JQ_EINVAL;
    }
    char *copy = jq_strdup(text);
    if (!copy) {
        jq_detail_set(detail, "%s: out of memory", setting->name);
        return JQ_ENOMEM;
    }
    jq_free(conf->strings[i]);
    conf->strings[i] = copy;
    *(const char **)slot_of(conf, i) = copy;
    return JQ_OK;
}

/* On error nothing has changed, and detail names the setting, the value and the bound. */
static enum jq_err set_value(struct jq_conf *conf, size_t i, const char *text,
                             enum jq_setting_source source, struct jq_detail *detail)
{
    const struct jq_setting *setting = &conf->table[i];
    const bool weaker = source < conf->sources[i];
    /* A weaker source is checked all the same: a bad file is an error even when a flag hides it. */
    if (setting->kind == JQ_SETTING_STRING) {
        if (!weaker)
            JQ_TRY(set_string(conf, i, text, detail));
    } else if (setting->kind == JQ_SETTING_BOOL) {
        bool value = false;
        if (!parse_bool(text, &value)) {
            jq_detail_set(detail, "%s: '%.*s' is neither yes nor no", setting->name,
                          VALUE_PRINT_MAX, text);
            return JQ_EINVAL;
        }
        if (!weaker)
            *(bool *)slot_of(conf, i) = value;
    } else {
        int64_t ignored = 0;
        JQ_TRY(set_number(setting, text, weaker ? &ignored : (int64_t *)slot_of(conf, i), detail));
    }
    if (!weaker)
        conf->sources[i] = source;
    return JQ_OK;
}

/* --- life --- */

void jq_conf_free(struct jq_conf **conf)
{
    if (!*conf)
        return;
    for (size_t i = 0; (*conf)->strings && i < (*conf)->count; i++)
        jq_free((*conf)->strings[i]);
    jq_free((*conf)->strings);
    jq_free((*conf)->sources);
    jq_free(*conf);
    *conf = NULL;
}

struct jq_conf *jq_conf_new(const struct jq_setting *table, size_t count, void *values)
{
    struct jq_conf *conf = jq_alloc_zero(1, sizeof *conf);
    if (!conf)
        return NULL;
    *conf = (struct jq_conf){ .table = table, .count = count, .values = values };
    conf->sources = jq_alloc_zero(count, sizeof *conf->sources);
    conf->strings = jq_alloc_zero(count, sizeof *conf->strings);
    enum jq_err err = conf->sources && conf->strings ? JQ_OK : JQ_ENOMEM;
    for (size_t i = 0; err == JQ_OK && i < count; i++)
        err = set_value(conf, i, table[i].value, JQ_FROM_DEFAULT, NULL);
    if (err != JQ_OK)
        jq_conf_free(&conf);
    return conf;
}

/* --- names --- */

/* "store.min_free" as the flag store-min-free or the variable JOBQ_STORE_MIN_FREE. */
static void flag_name(const char *name, char *out, size_t size)
{
    size_t i = 0;
    for (; name[i] && i + 1 < size; i++)
        out[i] = (char)(name[i] == '.' || name[i] == '_' ? '-' : name[i]);
    out[i] = 0;
}

static void variable_name(const char *name, char *out, size_t size)
{
    const size_t prefix = (size_t)snprintf(out, size, "JOBQ_");
    size_t i = 0;
    for (; name[i] && prefix + i + 1 < size; i++)
        out[prefix + i] = (char)(name[i] == '.' ? '_' : toupper((unsigned char)name[i]));
    out[prefix + i] = 0;
}

static size_t find_name(const struct jq_conf *conf, const char *name)
{
    size_t i = 0;
    while (i < conf->count && strcmp(conf->table[i].name, name) != 0)
        i++;
    return i;
}

static size_t find_flag(const struct jq_conf *conf, const char *name, size_t length)
{
    char flag[NAME_SIZE];
    size_t i = 0;
    for (; i < conf->count; i++) {
        flag_name(conf->table[i].name, flag, sizeof flag);
        if (strlen(flag) == length && strncmp(flag, name, length) == 0)
            break;
    }
    return i;
}

/* Edit distance (Levenshtein), for names as short as ours. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_SIZE + 1];
    const size_t m = strnlen(a, NAME_SIZE), n = strnlen(b, NAME_SIZE);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
        }
    }
    return row[n];
}

static void unknown_flag(const struct jq_conf *conf, const char *word, struct jq_detail *detail)
{
    char nearest[NAME_SIZE] = "";
    size_t best = 4; /* further away than that is another word */
    const char *equals = strchr(word, '=');
    char asked[NAME_SIZE];
    (void)snprintf(asked, sizeof asked, "%.*s",
                   equals ? (int)(equals - word) : (int)strnlen(word, NAME_SIZE - 1), word);
    for (size_t i = 0; i < conf->count; i++) {
        char flag[NAME_SIZE];
        flag_name(conf->table[i].name, flag, sizeof flag);
        const size_t far = distance(asked + strspn(asked, "-"), flag);
        if (far < best) {
            best = far;
            (void)snprintf(nearest, sizeof nearest, "%s", flag);
        }
    }
    if (*nearest)
        jq_detail_set(detail, "unknown flag '%s' (did you mean --%s?)", asked, nearest);
    else
        jq_detail_set(detail, "unknown flag '%s'", asked);
}

/* --- sources --- */

struct file_walk {
    struct jq_conf *conf;
    enum jq_err err;
    struct jq_detail why;
};

static int on_file_line(void *arg, const char *section, const char *key, const char *value)
{
    struct file_walk *walk = arg;
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s%s%s", section, *section ? "." : "", key);
    const size_t i = find_name(walk->conf, name);
    if (i == walk->conf->count) {
        jq_detail_set(&walk->why, "unknown setting '%s'", name);
        walk->err = JQ_EINVAL;
        return 0;
    }
    walk->err = set_value(walk->conf, i, value ? value : "yes", JQ_FROM_FILE, &walk->why);
    return walk->err == JQ_OK;
}

enum jq_err jq_conf_file(struct jq_conf *conf, const char *path, bool optional,
                         struct jq_detail *ret_detail)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        if (optional && (errno == ENOENT || errno == ENOTDIR))
            return JQ_OK;
        jq_detail_set(ret_detail, "%s: %s", path, strerror(errno));
        return JQ_EINVAL;
    }
    struct file_walk walk = { .conf = conf };
    const int line = ini_parse_file(file, on_file_line, &walk);
    const bool unread = ferror(file) != 0;
    (void)fclose(file);
    if (unread) {
        jq_detail_set(ret_detail, "%s: cannot be read", path);
        return JQ_EINVAL;
    }
    if (line == 0)
        return JQ_OK;
    if (walk.err == JQ_OK)
        jq_detail_set(&walk.why, "not a line of the form 'name = value'");
    jq_detail_set(ret_detail, "%s:%d: %s", path, line, walk.why.text);
    return walk.err == JQ_ENOMEM ? JQ_ENOMEM : JQ_EINVAL;
}

enum jq_err jq_conf_environment(struct jq_conf *conf, char *const *environment,
                                struct jq_detail *ret_detail)
{
    for (; *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        for (size_t i = 0; equals && i < conf->count; i++) {
            char variable[NAME_SIZE];
            variable_name(conf->table[i].name, variable, sizeof variable);
            if (strlen(variable) != (size_t)(equals - *environment) ||
                strncmp(variable, *environment, strlen(variable)) != 0)
                continue;
            struct jq_detail why = { "" };
            const enum jq_err err = set_value(conf, i, equals + 1, JQ_FROM_ENVIRONMENT, &why);
            if (err != JQ_OK) {
                jq_detail_set(ret_detail, "%s: %s", variable, why.text);
                return err;
            }
        }
    }
    return JQ_OK;
}

/* What one word of the command line names: the setting, and where its value begins if it has one.
 */
static size_t match_flag(const struct jq_conf *conf, const char *word, const char **ret_value)
{
    *ret_value = NULL;
    if (word[1] != '-') {
        size_t i = 0;
        while (i < conf->count && conf->table[i].letter != word[1])
            i++;
        if (word[2])
            *ret_value = word + 2;
        return i;
    }
    const char *equals = strchr(word, '=');
    if (equals)
        *ret_value = equals + 1;
    return find_flag(conf, word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word + 2));
}

enum jq_err jq_conf_flags(struct jq_conf *conf, int argc, char **argv, int *ret_next,
                          struct jq_detail *ret_detail)
{
    int at = 1;
    for (; at < argc && argv[at][0] == '-' && argv[at][1]; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        const char *word = argv[at];
        const char *value = NULL;
        const size_t i = match_flag(conf, word, &value);
        if (i == conf->count) {
            unknown_flag(conf, word, ret_detail);
            return JQ_EINVAL;
        }
        if (!value && conf->table[i].kind == JQ_SETTING_BOOL)
            value = "yes";
        if (!value && at + 1 < argc)
            value = argv[++at];
        if (!value) {
            jq_detail_set(ret_detail, "%s needs a value", word);
            return JQ_EINVAL;
        }
        struct jq_detail why = { "" };
        const enum jq_err err = set_value(conf, i, value, JQ_FROM_FLAG, &why);
        if (err != JQ_OK) {
            jq_detail_set(ret_detail, "%.*s: %s", (int)strcspn(word, "="), word, why.text);
            return err;
        }
    }
    *ret_next = at;
    return JQ_OK;
}

/* --- printing --- */

static void print_value(const struct jq_conf *conf, size_t i, FILE *out)
{
    char text[32];
    switch (conf->table[i].kind) {
    case JQ_SETTING_BOOL:
        (void)fputs(*(bool *)slot_of(conf, i) ? "yes" : "no", out);
        break;
    case JQ_SETTING_STRING:
        (void)fputs(*(const char **)slot_of(conf, i), out);
        break;
    case JQ_SETTING_INT:
    case JQ_SETTING_SIZE:
    case JQ_SETTING_DURATION:
        print_number(conf->table[i].kind, *(int64_t *)slot_of(conf, i), text, sizeof text);
        (void)fputs(text, out);
        break;
    }
}

void jq_conf_help(const struct jq_conf *conf, FILE *out)
{
    static const char *const kinds[] = { [JQ_SETTING_BOOL] = "",
                                         [JQ_SETTING_INT] = " N",
                                         [JQ_SETTING_SIZE] = " SIZE",
                                         [JQ_SETTING_DURATION] = " TIME",
                                         [JQ_SETTING_STRING] = " TEXT" };
    for (size_t i = 0; i < conf->count; i++) {
        const struct jq_setting *setting = &conf->table[i];
        char flag[NAME_SIZE], letter[8] = "";
        flag_name(setting->name, flag, sizeof flag);
        if (setting->letter)
            (void)snprintf(letter, sizeof letter, "-%c, ", setting->letter);
        (void)fprintf(out, "  %s--%s%s\n      %s", letter, flag, kinds[setting->kind],
                      setting->help);
        if (*setting->value)
            (void)fprintf(out, " Default: %s.", setting->value);
        (void)fputc('\n', out);
    }
}

void jq_conf_print(const struct jq_conf *conf, FILE *out)
{
    for (size_t i = 0; i < conf->count; i++) {
        (void)fprintf(out, "%s=", conf->table[i].name);
        print_value(conf, i, out);
        (void)fprintf(out, "  # %s\n", source_names[conf->sources[i]]);
    }
}

static void print_sample_line(const struct jq_setting *setting, const char *key, FILE *out)
{
    (void)fprintf(out, "# %s\n#%s = %s\n\n", setting->help, key, setting->value);
}

void jq_conf_sample(const struct jq_conf *conf, FILE *out)
{
    /* Keys without a dot stand before any section; then each section once, in table order. */
    for (size_t i = 0; i < conf->count; i++)
        if (!strchr(conf->table[i].name, '.'))
            print_sample_line(&conf->table[i], conf->table[i].name, out);
    for (size_t i = 0; i < conf->count; i++) {
        const char *dot = strchr(conf->table[i].name, '.');
        if (!dot)
            continue;
        const size_t length = (size_t)(dot - conf->table[i].name) + 1;
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = strncmp(conf->table[j].name, conf->table[i].name, length) == 0;
        if (seen)
            continue;
        (void)fprintf(out, "[%.*s]\n", (int)length - 1, conf->table[i].name);
        for (size_t j = i; j < conf->count; j++)
            if (strncmp(conf->table[j].name, conf->table[i].name, length) == 0)
                print_sample_line(&conf->table[j], conf->table[j].name + length, out);
    }
}

enum jq_setting_source jq_conf_source(const struct jq_conf *conf, const char *name)
{
    const size_t i = find_name(conf, name);
    return i == conf->count ? JQ_FROM_DEFAULT : conf->sources[i];
}
