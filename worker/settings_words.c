/* SPDX-License-Identifier: MIT
 *
 * settings_words.c - the command line, taken apart: what is asked for beside settings, the
 * settings' file, and the flags of settings, with all --plugin as one. */
#include "worker/settings_words.h"

#include <string.h>

#include "proto/base/alloc.h"

static bool action_of(const char *word, enum jq_worker_action *ret)
{
    static const struct {
        const char *word;
        enum jq_worker_action action;
    } actions[] = {
        { "--help", JQ_WORKER_HELP },
        { "-h", JQ_WORKER_HELP },
        { "--version", JQ_WORKER_VERSION },
        { "-V", JQ_WORKER_VERSION },
        { "--print-config", JQ_WORKER_PRINT_CONFIG },
        { "--print-sample", JQ_WORKER_PRINT_SAMPLE },
        { "--check-config", JQ_WORKER_CHECK_CONFIG },
    };
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(word, actions[i].word) == 0) {
            *ret = actions[i].action;
            return true;
        }
    }
    return false;
}

/* Flags of settings take a value each; where the word after one is none of ours, however it looks.
 */
static bool takes_next_word(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && strcmp(word, "--") != 0 &&
           strchr(word, '=') == NULL && (word[1] == '-' || word[2] == '\0');
}

/* --plugin A --plugin B is --plugin A:B. */
static enum jq_err add_plugin(struct jq_worker_words *words, const char *path,
                              struct jq_detail *detail)
{
    static const char flag[] = "--plugin=";
    if (path == NULL || *path == '\0') {
        jq_detail_set(detail, "--plugin: needs a file");
        return JQ_EINVAL;
    }
    if (words->plugins.size == 0) {
        jq_buf_append(&words->plugins, flag, sizeof flag - 1);
    } else {
        words->plugins.size--; /* the NUL */
        jq_buf_append(&words->plugins, ":", 1);
    }
    jq_buf_append(&words->plugins, path, strlen(path) + 1);
    return jq_buf_ok(&words->plugins) ? JQ_OK : JQ_ENOMEM;
}

/* Is the word at *at, maybe with the one behind it, this flag? */
static bool is_flag(int argc, char **argv, int *at, const char *flag, const char **ret_value)
{
    const size_t length = strlen(flag);
    if (strncmp(argv[*at], flag, length) != 0)
        return false;
    if (argv[*at][length] == '=')
        *ret_value = argv[*at] + length + 1;
    else if (argv[*at][length] == '\0')
        *ret_value = *at + 1 < argc ? argv[++*at] : "";
    else
        return false;
    return true;
}

enum jq_err jq_worker_words_split(int argc, char **argv, struct jq_worker_words *words,
                                  struct jq_detail *detail)
{
    static char program[] = "jobq-worker";
    const char *plugin;
    words->flags = jq_alloc_zero((size_t)argc + 3, sizeof *words->flags);
    if (words->flags == NULL)
        return JQ_ENOMEM;
    words->flags[words->flag_count++] = argc > 0 ? argv[0] : program;
    for (int i = 1; i < argc; i++) {
        if (action_of(argv[i], &words->action))
            continue;
        if (is_flag(argc, argv, &i, "--config", &words->file)) {
            if (*words->file == '\0') {
                jq_detail_set(detail, "--config: needs a file");
                return JQ_EINVAL;
            }
            continue;
        }
        if (is_flag(argc, argv, &i, "--plugin", &plugin)) {
            JQ_TRY(add_plugin(words, plugin, detail));
            continue;
        }
        words->flags[words->flag_count++] = argv[i];
        if (takes_next_word(argv[i]) && i + 1 < argc)
            words->flags[words->flag_count++] = argv[++i];
    }
    if (words->plugins.size > 0)
        words->flags[words->flag_count++] = (char *)words->plugins.data;
    return JQ_OK;
}

void jq_worker_words_fini(struct jq_worker_words *words)
{
    jq_free(words->flags);
    words->flags = NULL;
    jq_buf_fini(&words->plugins);
}
