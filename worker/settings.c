/* SPDX-License-Identifier: MIT
 *
 * settings.c - config.def as the table of proto/base/conf.h, the defaults that depend on the
 * machine, and the checks that need more than one row. */
#include "worker/settings.h"

#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/endpoint.h"
#include "proto/limits.h"
#include "worker/settings_words.h"

static const struct jq_setting rows[] = {
#define SETTING(field, name, kind, value, min, max, letter, help) \
    {                                                             \
        name,                                                     \
        JQ_SETTING_##kind,                                        \
        offsetof(struct jq_worker_settings, field),               \
        value,                                                    \
        min,                                                      \
        max,                                                      \
        letter,                                                   \
        help                                                      \
    },
#include "worker/config.def"
};

enum { ROWS = sizeof rows / sizeof rows[0], PATH_TEXT_MAX = 4096, THREADS_DEFAULT_MAX = 64 };

struct jq_worker_config {
    struct jq_worker_settings settings; /* where the jq_conf puts them */
    struct jq_conf *conf;
    enum jq_log_level log_level;
    char url[JQ_URL_MAX];
    char name[JQ_NAME_MAX + 1];
    struct jq_buf tags; /* records of `word` */
    uint32_t tag_count;
    struct jq_buf plugins; /* paths, each with its NUL */
};

/* --- sources --- */

static const char *variable_of(char *const *environment, const char *name)
{
    const size_t length = strlen(name);
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    }
    return "";
}

static enum jq_err load_file(struct jq_worker_config *config, const char *file,
                             char *const *environment, struct jq_detail *detail)
{
    static const char tail[] = "/jobq/jobq-worker.conf";
    char path[PATH_TEXT_MAX];
    if (file != NULL)
        return jq_conf_file(config->conf, file, false, detail);
    const char *base = variable_of(environment, "XDG_CONFIG_HOME");
    const char *middle = "";
    if (base[0] != '/') {
        base = variable_of(environment, "HOME");
        middle = "/.config";
    }
    const int size = snprintf(path, sizeof path, "%s%s%s", base, middle, tail);
    if (base[0] != '/' || size < 0 || size >= PATH_TEXT_MAX || access(path, F_OK) != 0)
        (void)snprintf(path, sizeof path, "/etc%s", tail);
    return jq_conf_file(config->conf, path, true, detail);
}

static enum jq_err load_flags(struct jq_worker_config *config, const struct jq_worker_words *words,
                              struct jq_detail *detail)
{
    int next = 0;
    JQ_TRY(jq_conf_flags(config->conf, words->flag_count, words->flags, &next, detail));
    if (next < words->flag_count) {
        jq_detail_set(detail, "unexpected word '%s': jobq-worker takes flags only",
                      words->flags[next]);
        return JQ_EINVAL;
    }
    return JQ_OK;
}

/* --- what they stand for --- */

static int64_t processors(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0)
        return CPU_COUNT(&allowed);
    return 1;
}

static bool is_name(const char *text)
{
    return text[strspn(
               text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0';
}

static void default_name(char name[JQ_NAME_MAX + 1])
{
    char host[65] = "";
    (void)gethostname(host, sizeof host - 1);
    if (host[0] == '\0' || !is_name(host))
        (void)snprintf(host, sizeof host, "worker");
    (void)snprintf(name, JQ_NAME_MAX + 1, "%s-%ld", host, (long)getpid());
}

static enum jq_err add_tag(struct jq_worker_config *config, const char *text, size_t size,
                           struct jq_detail *detail)
{
    const struct jq_word tag = { .name = jq_view(text, size) };
    struct jq_reader r = jq_reader(jq_buf_view(&config->tags));
    struct jq_word other;
    char name[JQ_NAME_MAX + 1];
    (void)snprintf(name, sizeof name, "%.*s", (int)(size < sizeof name ? size : JQ_NAME_MAX), text);
    if (size == 0 || size > JQ_NAME_MAX || !is_name(name)) {
        jq_detail_set(detail, "tags: '%s' is not 1 to 128 of A-Z a-z 0-9 . _ -", name);
        return JQ_EINVAL;
    }
    while (jq_word_next(&r, &other))
        if (jq_view_equal(other.name, tag.name))
            return JQ_OK; /* twice is once */
    if (config->tag_count == JQ_TAGS_MAX) {
        jq_detail_set(detail, "tags: more than %d", JQ_TAGS_MAX);
        return JQ_EINVAL;
    }
    jq_word_write(&config->tags, &tag);
    config->tag_count++;
    return jq_buf_ok(&config->tags) ? JQ_OK : JQ_ENOMEM;
}

static enum jq_err read_tags(struct jq_worker_config *config, struct jq_detail *detail)
{
    const char *at = config->settings.tags;
    for (size_t size; *at != '\0'; at += size + (at[size] == ',')) {
        size = strcspn(at, ",");
        JQ_TRY(add_tag(config, at, size, detail));
        if (at[size] == ',' && at[size + 1] == '\0')
            return add_tag(config, "", 0, detail); /* a comma too many */
    }
    return JQ_OK;
}

static enum jq_err read_plugins(struct jq_worker_config *config, struct jq_detail *detail)
{
    const char *at = config->settings.plugin;
    for (size_t size; *at != '\0'; at += size + (at[size] == ':')) {
        size = strcspn(at, ":");
        if (size == 0 || (at[size] == ':' && at[size + 1] == '\0')) {
            jq_detail_set(detail, "plugin: '%.100s' has an empty path", config->settings.plugin);
            return JQ_EINVAL;
        }
        jq_buf_append(&config->plugins, at, size);
        jq_buf_append(&config->plugins, "", 1);
    }
    return jq_buf_ok(&config->plugins) ? JQ_OK : JQ_ENOMEM;
}

static bool is_url(const char *url)
{
    return (strncmp(url, "ipc://", 6) == 0 || strncmp(url, "tcp://", 6) == 0) && url[6] != '\0';
}

static enum jq_err complete(struct jq_worker_config *config, struct jq_detail *detail)
{
    struct jq_worker_settings *actual = &config->settings; /* so that --print-config shows them */
    if (actual->slots == 0)
        actual->slots = processors();
    if (actual->threads == 0)
        actual->threads = actual->slots < THREADS_DEFAULT_MAX ? actual->slots : THREADS_DEFAULT_MAX;
    if (actual->url[0] == '\0') {
        if (jq_default_url(config->url) != JQ_OK) {
            jq_detail_set(detail, "url: there is none, and XDG_RUNTIME_DIR is too long a path for "
                                  "a socket in it: name an endpoint with --url");
            return JQ_EINVAL;
        }
        actual->url = config->url;
    }
    if (!is_url(actual->url)) {
        jq_detail_set(detail, "url: '%.100s' is neither ipc:///path nor tcp://host:port",
                      actual->url);
        return JQ_EINVAL;
    }
    if (actual->name[0] == '\0') {
        default_name(config->name);
        actual->name = config->name;
    }
    if (!is_name(actual->name)) {
        jq_detail_set(detail, "name: '%s' has other characters than letters, digits, '.', '_', '-'",
                      actual->name);
        return JQ_EINVAL;
    }
    if (jq_log_level_parse(actual->log_level, &config->log_level) != JQ_OK) {
        jq_detail_set(detail, "log_level: '%s' is none of error, warn, info, debug",
                      actual->log_level);
        return JQ_EINVAL;
    }
    JQ_TRY(read_plugins(config, detail));
    return read_tags(config, detail);
}

/* --- loading --- */

static enum jq_err load(struct jq_worker_config *config, const struct jq_worker_words *words,
                        char *const *environment, bool *ret_usage, struct jq_detail *detail)
{
    *ret_usage = true;
    JQ_TRY(load_flags(config, words, detail));
    *ret_usage = false;
    JQ_TRY(jq_conf_environment(config->conf, environment, detail));
    JQ_TRY(load_file(config, words->file, environment, detail));
    return complete(config, detail);
}

enum jq_err jq_worker_config_load(int argc, char **argv, char *const *environment,
                                  struct jq_worker_config **ret_config,
                                  enum jq_worker_action *ret_action, bool *ret_usage,
                                  struct jq_detail *ret_detail)
{
    struct jq_worker_words words = { .action = JQ_WORKER_RUN };
    struct jq_worker_config *config = jq_alloc_zero(1, sizeof *config);
    enum jq_err err = JQ_ENOMEM;
    *ret_usage = true;
    if (config != NULL)
        config->conf = jq_conf_new(rows, ROWS, &config->settings);
    if (config != NULL && config->conf != NULL)
        err = jq_worker_words_split(argc, argv, &words, ret_detail);
    *ret_action = words.action;
    /* Help and version are given whatever the settings are. */
    const bool plain = words.action == JQ_WORKER_HELP || words.action == JQ_WORKER_VERSION ||
                       words.action == JQ_WORKER_PRINT_SAMPLE;
    if (err == JQ_OK && !plain)
        err = load(config, &words, environment, ret_usage, ret_detail);
    if (err == JQ_OK) {
        *ret_config = config;
        config = NULL;
    }
    jq_worker_words_fini(&words);
    jq_worker_config_free(&config);
    return err;
}

void jq_worker_config_free(struct jq_worker_config **config)
{
    if (*config == NULL)
        return;
    jq_conf_free(&(*config)->conf);
    jq_buf_fini(&(*config)->tags);
    jq_buf_fini(&(*config)->plugins);
    jq_free(*config);
    *config = NULL;
}

const struct jq_worker_settings *jq_worker_config_get(const struct jq_worker_config *config)
{
    return &config->settings;
}

enum jq_log_level jq_worker_config_log_level(const struct jq_worker_config *config)
{
    return config->log_level;
}

struct jq_records jq_worker_config_tags(const struct jq_worker_config *config)
{
    return jq_records_of(config->tag_count, &config->tags);
}

const char *jq_worker_config_plugin(const struct jq_worker_config *config, size_t index)
{
    for (size_t at = 0; at < config->plugins.size; index--) {
        const char *path = (const char *)config->plugins.data + at;
        if (index == 0)
            return path;
        at += strlen(path) + 1;
    }
    return NULL;
}

/* --- for people --- */

void jq_worker_config_print(const struct jq_worker_config *config, FILE *out)
{
    jq_conf_print(config->conf, out);
}

static enum jq_err with_plain_table(void (*print)(const struct jq_conf *, FILE *), FILE *out)
{
    struct jq_worker_settings values;
    struct jq_conf *conf = jq_conf_new(rows, ROWS, &values);
    if (conf == NULL)
        return JQ_ENOMEM;
    print(conf, out);
    jq_conf_free(&conf);
    return JQ_OK;
}

enum jq_err jq_worker_help(FILE *out)
{
    (void)fputs(
        "usage: jobq-worker [flags]\n"
        "\n"
        "The worker of jobq: takes jobs from a broker and runs them. Whoever may submit to\n"
        "that broker may run commands here, as this user.\n"
        "\n"
        "  -h, --help           this text\n"
        "  -V, --version        name and version\n"
        "      --print-config   every setting with its value and where that came from\n"
        "      --print-sample   a settings file with every default\n"
        "      --check-config   check the settings and exit: 0 fine, 78 not\n"
        "      --config FILE    settings file; default $XDG_CONFIG_HOME/jobq/\n"
        "                       jobq-worker.conf, else /etc/jobq/jobq-worker.conf\n"
        "\n"
        "Settings, as flags, as JOBQ_NAME in the environment, or in the file:\n"
        "\n",
        out);
    return with_plain_table(jq_conf_help, out);
}

enum jq_err jq_worker_sample(FILE *out)
{
    return with_plain_table(jq_conf_sample, out);
}
