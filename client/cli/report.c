/* SPDX-License-Identifier: MIT
 *
 * report.c - what jobq says on standard error. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/format_json.h"

enum { MESSAGE_MAX = 2048 };

static bool wants_json(const struct jq_cli *cli)
{
    return cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;
}

static void say(const struct jq_cli *cli, int error, const char *text)
{
    const char *code = error ? jq_err_name((enum jq_err)error) : "EFAILED";

    if (!wants_json(cli) || !jq_json_error(stderr, code, text))
        fprintf(stderr, "jobq: %s\n", text);
}

static int code_of(const struct jq_cli *cli, int error)
{
    return error && cli->command && cli->command->has_codes ? jq_exit_of_error(error)
                                                            : JQ_EXIT_FAILED;
}

int jq_cli_fail(const struct jq_cli *cli, int error, const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(cli, error, text);
    return code_of(cli, error);
}

int jq_cli_usage(const struct jq_cli *cli, const struct jq_command *command, const char *format,
                 ...)
{
    char text[MESSAGE_MAX];
    const char *name = command ? command->name : NULL;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t length = strlen(text);
    snprintf(text + length, sizeof text - length, " (see jobq %s%s)", name ? "help " : "--help",
             name ? name : "");
    say(cli, JQ_EINVAL, text);
    return code_of(cli, JQ_EINVAL);
}

int jq_cli_fail_call(const struct jq_cli *cli, int error, const char *what)
{
    const char *detail = cli->client ? jobq_errdetail(cli->client) : "";

    return jq_cli_fail(cli, error, "%s: %s", what, *detail ? detail : jobq_strerror(error));
}

int jq_cli_fail_job(const struct jq_cli *cli, int error, uint64_t id)
{
    const char *text = error == JQ_ENOENT ? "no such job" : jq_err_text((enum jq_err)error);

    return jq_cli_fail(cli, error, "job %" PRIu64 ": %s", id, text);
}

void jq_cli_notice(const struct jq_cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->globals.quiet || wants_json(cli))
        return;
    va_start(args, format);
    fputs("jobq: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}
