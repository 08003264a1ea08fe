/* SPDX-License-Identifier: MIT
 *
 * settings.c - config.def as the table of proto/base/conf.h, the per-user defaults, and the checks
 * that need more than one row. */
#include "broker/settings.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/endpoint.h"
#include "proto/base/alloc.h"
#include "proto/endpoint.h"

static const struct jq_setting rows[] = {
#define SETTING(field, name, kind, value, min, max, letter, help) \
    {                                                             \
        name,                                                     \
        JQ_SETTING_##kind,                                        \
        offsetof(struct jq_broker_settings, field),               \
        value,                                                    \
        min,                                                      \
        max,                                                      \
        letter,                                                   \
        help                                                      \
    },
#include "broker/config.def"
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]), PATH_TEXT_MAX = 4096 };

struct jq_broker_config {
    struct jq_broker_settings settings;
    struct jq_conf *conf;
    enum jq_log_level log_level;
    struct jq_setting table[ROWS]; /* rows, with the per-user defaults filled in */
    char url[JQ_URL_MAX];
    char store[PATH_TEXT_MAX];
    char file[PATH_TEXT_MAX];
};

/* ---- the command line ---- */

/* "--store-min-free" names the row "store.min_free". */
static bool flag_names(const char *flag, const char *name)
{
    for (; *flag && *name; flag++, name++) {
        const char as_flag = *name == '.' || *name == '_' ? '-' : *name;
        if (*flag != as_flag)
            return false;
    }
    return *flag == *name;
}

/* The next word is this flag's value, so it is none of our words even if it looks like one. */
static bool takes_next_word(const char *word)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].kind == JQ_SETTING_BOOL)
            continue;
        if (strncmp(word, "--", 2) == 0 ? flag_names(word + 2, rows[i].name)
                                        : rows[i].letter && word[1] == rows[i].letter && !word[2])
            return true;
    }
    return false;
}

static bool action_of(const char *word, enum jq_action *ret)
{
    static const struct {
        const char *word;
        enum jq_action action;
    } actions[] = {
        { "--help", JQ_ACTION_HELP },
        { "-h", JQ_ACTION_HELP },
        { "--version", JQ_ACTION_VERSION },
        { "-V", JQ_ACTION_VERSION },
        { "--print-config", JQ_ACTION_PRINT_CONFIG },
        { "--print-sample", JQ_ACTION_PRINT_SAMPLE },
        { "--check-config", JQ_ACTION_CHECK_CONFIG },
    };

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(word, actions[i].word) == 0) {
            *ret = actions[i].action;
            return true;
        }
    }
    return false;
}

/* "--name=value", or "--name value" with *index moved on. *ret_value NULL: there is none. */
static bool option_of(const char *name, int argc, char **argv, int *index, const char **ret_value)
{
    const size_t length = strlen(name);
    const char *word = argv[*index];

    if (strncmp(word, name, length) != 0 || (word[length] && word[length] != '='))
        return false;
    if (word[length] == '=')
        *ret_value = word + length + 1;
    else
        *ret_value = *index + 1 < argc ? argv[++*index] : NULL;
    return true;
}

static enum jq_err parse_ready_fd(const char *text, int *ret_fd, struct jq_detail *detail)
{
    char *end = NULL;
    const long fd = text && *text ? strtol(text, &end, 10) : -1;

    if (!end || *end || fd < 0 || fd > 1 << 20) {
        jq_detail_set(detail, "--ready-fd: needs the number of an open file descriptor");
        return JQ_EINVAL;
    }
    *ret_fd = (int)fd;
    return JQ_OK;
}

static enum jq_err parse_word(struct jq_command_line *line, int argc, char **argv, int *index,
                              struct jq_detail *detail)
{
    char *word = argv[*index];
    const char *value = NULL;

    if (action_of(word, &line->action))
        return JQ_OK;
    if (strcmp(word, "--supervise") == 0) {
        line->supervise = true;
    } else if (strcmp(word, "--verbose") == 0) {
        line->verbose = true;
    } else if (option_of("--config", argc, argv, index, &value)) {
        if (!value || !*value) {
            jq_detail_set(detail, "--config: needs a file");
            return JQ_EINVAL;
        }
        line->config = value;
    } else if (option_of("--ready-fd", argc, argv, index, &value)) {
        JQ_TRY(parse_ready_fd(value, &line->ready_fd, detail));
    } else {
        line->flags[line->flag_count++] = word;
        if (takes_next_word(word) && *index + 1 < argc)
            line->flags[line->flag_count++] = argv[++*index];
    }
    return JQ_OK;
}

enum jq_err jq_command_line_parse(int argc, char **argv, struct jq_command_line *ret,
                                  struct jq_detail *ret_detail)
{
    static char program[] = "jobqd";
    struct jq_command_line line = { .ready_fd = -1 };

    line.flags = jq_alloc_zero((size_t)argc + 2, sizeof(*line.flags));
    if (!line.flags)
        return JQ_ENOMEM;
    line.flags[line.flag_count++] = argc > 0 ? argv[0] : program;
    for (int i = 1; i < argc; i++) {
        const enum jq_err err = parse_word(&line, argc, argv, &i, ret_detail);
        if (err != JQ_OK) {
            jq_command_line_fini(&line);
            return err;
        }
    }
    *ret = line;
    return JQ_OK;
}

void jq_command_line_fini(struct jq_command_line *line)
{
    jq_free(line->flags);
    line->flags = NULL;
    line->flag_count = 0;
}

/* ---- defaults that depend on the user ---- */

/* An XDG variable counts only when it is an absolute path. */
static const char *directory_of(char *const *environment, const char *name)
{
    const size_t length = strlen(name);

    for (; *environment; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return (*environment)[length + 1] == '/' ? *environment + length + 1 : NULL;
    }
    return NULL;
}

/* "<$variable or $HOME/fallback>/tail" into ret; false without either, or when it is too long. */
static bool user_path(char *const *environment, const char *variable, const char *fallback,
                      const char *tail, char ret[PATH_TEXT_MAX])
{
    const char *base = directory_of(environment, variable);
    const char *middle = "";

    if (!base) {
        base = directory_of(environment, "HOME");
        middle = fallback;
    }
    if (!base)
        return false;
    const int size = snprintf(ret, PATH_TEXT_MAX, "%s%s%s", base, middle, tail);
    return size > 0 && size < PATH_TEXT_MAX;
}

static void fill_defaults(struct jq_broker_config *config, char *const *environment)
{
    memcpy(config->table, rows, sizeof(rows));
    /* A default that cannot be made stays empty, and loading asks for the flag. */
    if (jq_default_url(config->url) != JQ_OK)
        config->url[0] = '\0';
    if (!user_path(environment, "XDG_STATE_HOME", "/.local/state", "/jobq/jobq.db", config->store))
        config->store[0] = '\0';
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].offset == offsetof(struct jq_broker_settings, url))
            config->table[i].value = config->url;
        else if (rows[i].offset == offsetof(struct jq_broker_settings, store))
            config->table[i].value = config->store;
    }
}

/* ---- loading ---- */

static enum jq_err load_file(struct jq_broker_config *config, const struct jq_command_line *line,
                             char *const *environment, struct jq_detail *detail)
{
    if (line->config) {
        if ((size_t)snprintf(config->file, sizeof(config->file), "%s", line->config) >=
            sizeof(config->file)) {
            jq_detail_set(detail, "--config: the path is too long");
            return JQ_EINVAL;
        }
        return jq_conf_file(config->conf, line->config, false, detail);
    }
    if (!user_path(environment, "XDG_CONFIG_HOME", "/.config", "/jobq/jobqd.conf", config->file) ||
        access(config->file, F_OK) != 0)
        snprintf(config->file, sizeof(config->file), "/etc/jobq/jobqd.conf");
    if (access(config->file, F_OK) != 0)
        config->file[0] = '\0';
    return config->file[0] ? jq_conf_file(config->conf, config->file, true, detail) : JQ_OK;
}

static enum jq_err load_flags(struct jq_broker_config *config, const struct jq_command_line *line,
                              struct jq_detail *detail)
{
    int next = 0;

    JQ_TRY(jq_conf_flags(config->conf, line->flag_count, line->flags, &next, detail));
    if (next < line->flag_count) {
        jq_detail_set(detail, "unexpected word '%s': jobqd takes flags only", line->flags[next]);
        return JQ_EINVAL;
    }
    return JQ_OK;
}

/* What one row cannot say. */
static enum jq_err check_together(struct jq_broker_config *config, struct jq_detail *detail)
{
    const struct jq_broker_settings *s = &config->settings;
    struct jq_endpoints endpoints;

    if (s->heartbeat > s->lease / 2) {
        jq_detail_set(detail,
                      "heartbeat: %" PRId64 " ms is more than half the lease of %" PRId64
                      " ms, so that one lost beat would cost a worker its jobs",
                      s->heartbeat, s->lease);
        return JQ_EINVAL;
    }
    if (!s->store || !*s->store) {
        jq_detail_set(detail, "store: there is no home directory, so name a file with --store");
        return JQ_EINVAL;
    }
    if (!*s->url) {
        jq_detail_set(detail, "url: there is none, or XDG_RUNTIME_DIR is too long a path for a "
                              "socket in it: name an endpoint with --url");
        return JQ_EINVAL;
    }
    if (jq_log_level_parse(s->log_level, &config->log_level) != JQ_OK) {
        jq_detail_set(detail, "log_level: '%s' is none of error, warn, info, debug", s->log_level);
        return JQ_EINVAL;
    }
    return jq_endpoints_parse(s->url, s->insecure, &endpoints, detail);
}

enum jq_err jq_broker_config_load(const struct jq_command_line *line, char *const *environment,
                                  struct jq_broker_config **ret_config, bool *ret_usage,
                                  struct jq_detail *ret_detail)
{
    struct jq_broker_config *config = jq_alloc_zero(1, sizeof(*config));
    enum jq_err err = JQ_ENOMEM;

    *ret_usage = false;
    if (!config)
        return JQ_ENOMEM;
    fill_defaults(config, environment);
    config->conf = jq_conf_new(config->table, ROWS, &config->settings);
    if (!config->conf)
        goto out;
    err = load_flags(config, line, ret_detail);
    if (err != JQ_OK) {
        *ret_usage = true;
        goto out;
    }
    err = jq_conf_environment(config->conf, environment, ret_detail);
    if (err == JQ_OK)
        err = load_file(config, line, environment, ret_detail);
    if (err == JQ_OK)
        err = check_together(config, ret_detail);
    if (err == JQ_OK) {
        *ret_config = config;
        config = NULL;
    }
out:
    jq_broker_config_free(&config);
    return err;
}

void jq_broker_config_free(struct jq_broker_config **config)
{
    if (!*config)
        return;
    jq_conf_free(&(*config)->conf);
    jq_free(*config);
    *config = NULL;
}

const struct jq_broker_settings *jq_broker_config_get(const struct jq_broker_config *config)
{
    return &config->settings;
}

enum jq_log_level jq_broker_config_log_level(const struct jq_broker_config *config)
{
    return config->log_level;
}

const char *jq_broker_config_file(const struct jq_broker_config *config)
{
    return config->file;
}

/* ---- for people ---- */

void jq_broker_config_print(const struct jq_broker_config *config, FILE *out)
{
    jq_conf_print(config->conf, out);
}

static enum jq_err with_plain_table(void (*print)(const struct jq_conf *, FILE *), FILE *out)
{
    struct jq_broker_settings values;
    struct jq_conf *conf = jq_conf_new(rows, ROWS, &values);

    if (!conf)
        return JQ_ENOMEM;
    print(conf, out);
    jq_conf_free(&conf);
    return JQ_OK;
}

enum jq_err jq_broker_help(FILE *out)
{
    fputs("usage: jobqd [flags]\n"
          "\n"
          "The broker of jobq: takes jobs, keeps them on disk, hands them to workers.\n"
          "\n"
          "  -h, --help           this text\n"
          "  -V, --version        name and version; with --verbose the libraries' too\n"
          "      --print-config   every setting with its value and where that came from\n"
          "      --print-sample   a settings file with every default\n"
          "      --check-config   check the settings and exit: 0 fine, 78 not\n"
          "      --config FILE    settings file; default $XDG_CONFIG_HOME/jobq/jobqd.conf,\n"
          "                       else /etc/jobq/jobqd.conf, if there is one\n"
          "      --ready-fd N     write \"READY=1 url pid\" to this once serving\n"
          "      --supervise      run the broker as a child and start it again when it dies\n"
          "\n"
          "Settings, as flags, as JOBQ_NAME in the environment, or in the file:\n"
          "\n",
          out);
    return with_plain_table(jq_conf_help, out);
}

enum jq_err jq_broker_sample(FILE *out)
{
    return with_plain_table(jq_conf_sample, out);
}
