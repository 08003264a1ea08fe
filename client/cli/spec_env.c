/* SPDX-License-Identifier: MIT
 *
 * spec_env.c - which variables a job takes along. Pure. By default few: an environment holds
 * secrets, and a job's is stored. */
#include <string.h>

#include "client/cli/spec.h"

static const char *const captured[] = { "PATH", "HOME",    "LANG",  "LC_*", "TZ",
                                        "USER", "LOGNAME", "SHELL", NULL };

static size_t name_size(const char *variable)
{
    return strcspn(variable, "=");
}

static bool is_captured(const char *variable)
{
    const size_t size = name_size(variable);

    for (size_t i = 0; captured[i]; i++) {
        const size_t length = strlen(captured[i]);
        if (captured[i][length - 1] == '*'
                ? size >= length - 1 && memcmp(variable, captured[i], length - 1) == 0
                : size == length && memcmp(variable, captured[i], length) == 0)
            return true;
    }
    return false;
}

/* Is the name of `variable` that of a word of --env from `from` on? */
static bool is_overridden(const struct jq_words *words, size_t from, const char *variable)
{
    const size_t size = name_size(variable);

    for (size_t i = from; i < words->count; i++)
        if (name_size(words->list[i]) == size && memcmp(words->list[i], variable, size) == 0)
            return true;
    return false;
}

static void add(struct jq_buf *out, const char *variable, size_t *count)
{
    jq_buf_append(out, variable, strlen(variable) + 1);
    ++*count;
}

static const char *find(char *const *environment, const char *name)
{
    const size_t size = strlen(name);

    for (; *environment; environment++)
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=')
            return *environment;
    return NULL;
}

enum jq_err jq_spec_environment(const struct jq_spec_flags *flags, char *const *environment,
                                struct jq_buf *out, size_t *ret_count, struct jq_detail *ret_detail)
{
    size_t count = 0;

    if (flags->env_all && flags->clear_env) {
        jq_detail_set(ret_detail, "--env-all and --clear-env exclude each other");
        return JQ_EINVAL;
    }
    for (char *const *at = environment; !flags->clear_env && *at; at++)
        if (strchr(*at, '=') && (flags->env_all || is_captured(*at)) &&
            !is_overridden(&flags->env, 0, *at))
            add(out, *at, &count);
    for (size_t i = 0; i < flags->env.count; i++) {
        const char *word = flags->env.list[i];
        if (name_size(word) == 0) {
            jq_detail_set(ret_detail, "--env: '%s' has no name", word);
            return JQ_EINVAL;
        }
        if (is_overridden(&flags->env, i + 1, word)) /* the last one counts */
            continue;
        if (!strchr(word, '='))
            word = find(environment, word); /* unset here: unset there */
        if (word)
            add(out, word, &count);
    }
    *ret_count = count;
    return jq_buf_ok(out) ? JQ_OK : JQ_ENOMEM;
}
