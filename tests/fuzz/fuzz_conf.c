/* SPDX-License-Identifier: MIT
 *
 * fuzz_conf.c - any text as jobqd's settings file, and its lines as flags and variables. What is
 * taken must lie within its bounds and print as something that is taken again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/settings.h"
#include "proto/base/check.h"
#include "proto/base/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096, WORDS_MAX = 32 };

static const struct jq_setting table[] = {
#define SETTING(field, name, kind, value, min, max, letter, help) \
    {                                                             \
        name,                                                     \
        JQ_SETTING_##kind,                                        \
        offsetof(struct jq_broker_settings, field),               \
        value,                                                    \
        min,                                                      \
        max,                                                      \
        letter,                                                   \
        help,                                                     \
    },
#include "broker/config.def"
};
enum { ROWS = sizeof table / sizeof *table };

static void check_bounds(const struct jq_broker_settings *values)
{
    for (size_t i = 0; i < ROWS; i++) {
        const struct jq_setting *row = &table[i];
        const void *slot = (const char *)values + row->offset;
        if (row->kind == JQ_SETTING_STRING) {
            const char *const *text = slot;
            JQ_CHECK((int64_t)strlen(*text) <= row->max);
        } else if (row->kind != JQ_SETTING_BOOL) {
            const int64_t *number = slot;
            JQ_CHECK(*number >= row->min && *number <= row->max);
        }
    }
}

static void print_all(const struct jq_conf *conf)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        abort();
    jq_conf_print(conf, out);
    (void)fclose(out);
    JQ_CHECK(size > 0);
    free(text);
}

static void as_file(struct jq_conf *conf, const uint8_t *data, size_t size)
{
    struct jq_detail detail = { "" };
    char path[64];
    const int fd = memfd_create("conf", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const enum jq_err err = jq_conf_file(conf, path, false, &detail);
    JQ_CHECK(err == JQ_OK || (err == JQ_EINVAL && detail.text[0]));
    (void)close(fd);
}

/* The lines of the text, ended by NUL in place. */
static int split(char *text, char **words)
{
    int count = 0;

    for (char *rest = text; count < WORDS_MAX - 1;) {
        char *line = strsep(&rest, "\n");
        if (!line)
            break;
        words[count++] = line;
    }
    words[count] = NULL;
    return count;
}

static void as_words(struct jq_conf *conf, const uint8_t *data, size_t size)
{
    static char program[] = "jobqd";
    char text[INPUT_MAX + 1];
    char *argv[WORDS_MAX + 1] = { program };
    struct jq_detail detail = { "" };
    int next = 0;

    memcpy(text, data, size);
    text[size] = '\0';
    const int count = split(text, argv + 1);
    enum jq_err err = jq_conf_environment(conf, argv + 1, &detail);
    JQ_CHECK(err == JQ_OK || (err == JQ_EINVAL && detail.text[0]));
    err = jq_conf_flags(conf, count + 1, argv, &next, &detail);
    JQ_CHECK(err == JQ_OK ? next > 0 && next <= count + 1
                          : err == JQ_EINVAL && detail.text[0] != '\0');
    for (int i = 1; i <= count; i++) {
        int64_t value;
        (void)!jq_parse_duration(argv[i], &value);
        (void)!jq_parse_size(argv[i], &value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jq_broker_settings values;
    struct jq_conf *conf = jq_conf_new(table, ROWS, &values);

    if (!conf)
        abort();
    if (size > INPUT_MAX)
        size = INPUT_MAX;
    as_file(conf, data, size);
    check_bounds(&values);
    as_words(conf, data, size);
    check_bounds(&values);
    print_all(conf);
    jq_conf_free(&conf);
    return 0;
}
