/* SPDX-License-Identifier: MIT
 *
 * help.c - the table of commands and what --help says; jobq help. */
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/globals.h"

static const struct jq_command *const commands[] = {
#define COMMAND(name) &jq_cmd_##name,
#include "client/cli/commands.def"
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

const struct jq_flag jq_global_flags[] = {
    { "url", 'u', JQ_FLAG_STRING, offsetof(struct jq_globals, url), 0, 0, "URL",
      "broker: ipc:///path or tcp://host:port; JOBQ_URL, else your own" },
    { "no-autostart", 0, JQ_FLAG_BOOL, offsetof(struct jq_globals, no_autostart), 0, 0, NULL,
      "start no broker where none serves (JOBQ_NO_AUTOSTART)" },
    { "output", 'o', JQ_FLAG_STRING, offsetof(struct jq_globals, output), 0, 0, "FORMAT",
      "table, json, jsonl or id" },
    { "quiet", 'q', JQ_FLAG_BOOL, offsetof(struct jq_globals, quiet), 0, 0, NULL,
      "say nothing but errors on standard error" },
    { "timeout", 0, JQ_FLAG_DURATION, offsetof(struct jq_globals, timeout_ms), 0,
      INT64_MAX / 1000000, "TIME", "how long to wait: 500ms, 10s, 5m" },
    { "help", 'h', JQ_FLAG_BOOL, offsetof(struct jq_globals, help), 0, 0, NULL, "this" },
    { "version", 'V', JQ_FLAG_BOOL, offsetof(struct jq_globals, version), 0, 0, NULL,
      "which jobq this is" },
};
const size_t jq_global_flag_count = JQ_FLAG_COUNT(jq_global_flags);

const struct jq_command *jq_command_find(const char *name)
{
    if (strcmp(name, "ps") == 0)
        name = "ls";
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

const struct jq_command *jq_verb_find(const struct jq_command *command, const char *verb)
{
    const size_t length = strlen(command->name);

    for (size_t i = 0; i < command->verb_count; i++)
        if (strcmp(command->verbs[i]->name + length + 1, verb) == 0)
            return command->verbs[i];
    return NULL;
}

const char *jq_command_nearest(const char *name)
{
    const char *names[COMMAND_COUNT];

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i]->name;
    return jq_nearest(name, names, COMMAND_COUNT);
}

static void help_all(void)
{
    fputs("usage: jobq [flags] [COMMAND ...]\n\n"
          "A durable job queue. jobq submit -- CMD queues a command, jobq wait ID gives its exit\n"
          "code. Without a command: jobq ls.\n\n"
          "commands:\n",
          stdout);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nflags of every command, before or after it:\n", stdout);
    jq_flags_help(jq_global_flags, jq_global_flag_count, stdout);
    fputs(
        "\nAn ID is a number, a range (3-9), a list (3,5,8-10), last, or - for ids on standard\n"
        "input. Exit codes: the job's own for run and wait; 121 cancelled, 122 its workers died,\n"
        "123 some of many failed, 124 timed out, 125 jobq itself failed, 126 and 127 it could\n"
        "not be started, 128+n killed by signal n. Commands that pass no job's code on: 1 "
        "refused,\n"
        "2 bad usage, 3 no broker, 4 empty, 5 full, 6 no such job or queue, 7 not permitted,\n"
        "8 other version, 9 closed, 17 exists. jobq help COMMAND tells more.\n",
        stdout);
}

void jq_command_help(const struct jq_command *command)
{
    if (!command) {
        help_all();
        return;
    }
    printf("usage: jobq %s%s%s\n\n%s\n", command->name, *command->synopsis ? " " : "",
           command->synopsis, command->summary);
    if (command->notes)
        printf("%s%s", command->notes[0] == '\n' ? "" : "\n", command->notes);
    if (command->verb_count)
        fputs("\nverbs:\n", stdout);
    for (size_t i = 0; i < command->verb_count; i++)
        printf("  %-9s %s\n", command->verbs[i]->name + strlen(command->name) + 1,
               command->verbs[i]->summary);
    if (command->flag_count) {
        fputs("\nflags:\n", stdout);
        jq_flags_help(command->flags, command->flag_count, stdout);
    }
    fputs("\nflags of every command:\n", stdout);
    jq_flags_help(jq_global_flags, jq_global_flag_count, stdout);
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    if (words->count == 0) {
        jq_command_help(NULL);
        return 0;
    }
    const struct jq_command *command = jq_command_find(words->list[0]);
    const char *near = jq_command_nearest(words->list[0]);
    if (!command && near)
        return jq_cli_usage(cli, NULL, "unknown command '%s'; did you mean %s?", words->list[0],
                            near);
    if (!command)
        return jq_cli_usage(cli, NULL, "unknown command '%s'", words->list[0]);
    if (words->count > 1) {
        const struct jq_command *verb = jq_verb_find(command, words->list[1]);
        if (!verb)
            return jq_cli_usage(cli, command, "%s has no '%s'", command->name, words->list[1]);
        command = verb;
    }
    jq_command_help(command);
    return 0;
}

const struct jq_command jq_cmd_help = {
    .name = "help",
    .synopsis = "[COMMAND [VERB]]",
    .summary = "what jobq can do; what a command takes",
    .notes = "\n"
             "  jobq help queue create\n",
    .words_max = 2,
    .words_name = "COMMAND",
    .no_format = true,
    .run = run,
};
