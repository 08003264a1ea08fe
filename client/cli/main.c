/* SPDX-License-Identifier: MIT
 *
 * main.c - jobq: reads the command line, runs one command, and sees that its output has arrived. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/globals.h"
#include "client/cli/keeper.h"
#include "client/cli/stdio.h"
#include "proto/base/alloc.h"

static bool read_format(const char *text, enum jq_format *ret)
{
    static const char *const names[] = { "table", "json", "jsonl", "id" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum jq_format)i;
            return true;
        }
    return false;
}

static int set_format(struct jq_cli *cli, const struct jq_command *command)
{
    const char *output = cli->globals.output;
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

    if (output && !read_format(output, &cli->format))
        return jq_cli_usage(cli, command, "-o %s: expected table, json, jsonl or id", output);
    if (output && command->no_format && cli->format != JQ_FORMAT_TABLE) {
        cli->format = JQ_FORMAT_TABLE;
        return jq_cli_usage(cli, command, "%s has no -o %s", command->name, output);
    }
    cli->is_tty = isatty(STDOUT_FILENO) == 1;
    cli->colours =
        cli->is_tty && (!no_colour || !*no_colour) && (!term || strcmp(term, "dumb") != 0);
    return 0;
}

/* An error in the flags is told in the format that they ask for, as far as they were read. */
static int fail_flags(struct jq_cli *cli, const struct jq_command *command,
                      const struct jq_detail *detail)
{
    if (cli->globals.output)
        read_format(cli->globals.output, &cli->format);
    return jq_cli_usage(cli, command, "%s", detail->text);
}

static int check_words(const struct jq_cli *cli, const struct jq_command *command,
                       const struct jq_words *words)
{
    if (words->count < command->words_min)
        return jq_cli_usage(cli, command, "%s needs %s", command->name, command->words_name);
    if (words->count > command->words_max)
        return jq_cli_usage(cli, command, "%s: '%s' is one word too many", command->name,
                            words->list[command->words_max]);
    return 0;
}

static int run(struct jq_cli *cli, const struct jq_command *command, const void *values,
               const struct jq_words *words)
{
    int status;

    if (cli->globals.help) {
        jq_command_help(command);
        return 0;
    }
    status = set_format(cli, command);
    if (status == 0)
        status = check_words(cli, command, words);
    return status ? status : command->run(cli, values, words);
}

static void free_values(const struct jq_command *command, void *values)
{
    for (size_t i = 0; i < command->flag_count; i++)
        if (command->flags[i].kind == JQ_FLAG_LIST || command->flags[i].kind == JQ_FLAG_PAIRS)
            jq_words_fini((void *)((char *)values + command->flags[i].offset));
    jq_free(values);
}

static int run_command(struct jq_cli *cli, const struct jq_command *command, int argc, char **rest);

/* Flags of every command may stand before the verb, too. */
static int run_verb(struct jq_cli *cli, const struct jq_command *command, int argc, char **rest)
{
    const struct jq_flags table = { jq_global_flags, jq_global_flag_count, &cli->globals };
    const struct jq_options options = { &table, 1, JQ_WORDS_FIRST };
    struct jq_words words = { 0 };
    struct jq_detail detail = { "" };
    int status;

    if (jq_options_parse(&options, argc, rest, &words, &detail) != JQ_OK) {
        status = fail_flags(cli, command, &detail);
    } else if (words.count == 0 && cli->globals.help) {
        jq_command_help(command);
        status = 0;
    } else {
        const char *name = words.count ? words.list[0] : "ls";
        const struct jq_command *verb = jq_verb_find(command, name);
        if (verb)
            status = run_command(cli, verb, words.count ? (int)words.count - 1 : 0,
                                 words.count ? words.list + 1 : NULL);
        else
            status = jq_cli_usage(cli, command, "%s: '%s' is none of %s", command->name, name,
                                  command->synopsis);
    }
    jq_words_fini(&words);
    return status;
}

/* `rest` is what stands behind the command's name. */
static int run_command(struct jq_cli *cli, const struct jq_command *command, int argc, char **rest)
{
    struct jq_words words = { 0 };
    struct jq_detail detail = { "" };
    int status;

    cli->command = command;
    if (command->verbs)
        return run_verb(cli, command, argc, rest);
    void *values = jq_alloc_zero(1, command->values_size + 1);
    if (!values)
        return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    if (command->defaults)
        memcpy(values, command->defaults, command->values_size);
    const struct jq_flags tables[] = {
        { command->flags, command->flag_count, values },
        { jq_global_flags, jq_global_flag_count, &cli->globals },
    };
    const struct jq_options options = { tables, 2, command->rule };
    if (jq_options_parse(&options, argc, rest, &words, &detail) == JQ_OK)
        status = run(cli, command, values, &words);
    else
        status = fail_flags(cli, command, &detail);
    jq_words_fini(&words);
    free_values(command, values);
    return status;
}

static int dispatch(struct jq_cli *cli, int argc, char **argv)
{
    const struct jq_flags table = { jq_global_flags, jq_global_flag_count, &cli->globals };
    const struct jq_options options = { &table, 1, JQ_WORDS_FIRST };
    struct jq_words words = { 0 };
    struct jq_detail detail = { "" };
    const struct jq_command *command = &jq_cmd_ls;
    int status = 0;

    if (jq_options_parse(&options, argc - 1, argv + 1, &words, &detail) != JQ_OK) {
        status = fail_flags(cli, NULL, &detail);
    } else if (cli->globals.version) {
        status = run_command(cli, &jq_cmd_version, 0, NULL);
    } else if (words.count == 0 && cli->globals.help) {
        jq_command_help(NULL);
    } else if (words.count == 0) {
        status = run_command(cli, command, 0, NULL);
    } else if ((command = jq_command_find(words.list[0]))) {
        status = run_command(cli, command, (int)words.count - 1, words.list + 1);
    } else {
        const struct jq_words name = { .list = words.list, .count = 1 };
        status = jq_cmd_help.run(cli, NULL, &name); /* says that it is unknown */
    }
    jq_words_fini(&words);
    return status;
}

int main(int argc, char **argv)
{
    struct jq_cli cli = { .globals = { .timeout_ms = -1 } };

    if (!jq_stdio_init())
        return JQ_EXIT_FAILED;
    int status = argc > 0 ? dispatch(&cli, argc, argv) : JQ_EXIT_FAILED;
    /* Before the connection is closed: what was promised to be printed comes first. */
    status = jq_stdio_finish(&cli, status);
    jq_keeper_stop(&cli.keeper);
    jobq_close(&cli.client);
    return status;
}
