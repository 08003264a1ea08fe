/* SPDX-License-Identifier: MIT
 *
 * cmd_ping.c - jobq ping: does the broker answer, and how fast; jobq version. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/format_json.h"

static int out_of_memory(const struct jq_cli *cli)
{
    return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

static bool wants_json(const struct jq_cli *cli)
{
    return cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;
}

static int run_ping(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    int64_t us = 0;

    (void)values;
    (void)words;
    const int status = jq_cli_connect(cli);
    if (status != 0)
        return status;
    const int error = jobq_ping(cli->client, jq_cli_request_ms(cli), &us);
    if (error == JOBQ_EUNREACH || error == JOBQ_ETIMEDOUT)
        return jq_cli_fail(cli, error, "no broker answers at %s", cli->url);
    if (error != 0)
        return jq_cli_fail_call(cli, error, "ping");
    if (!wants_json(cli)) {
        printf("%s answers in %" PRId64 " us\n", cli->url, us);
        return 0;
    }
    struct jq_json_object *object = jq_json_open();
    jq_json_text(object, "url", cli->url);
    jq_json_number(object, "us", us);
    return jq_json_close(object, stdout) ? 0 : out_of_memory(cli);
}

const struct jq_command jq_cmd_ping = {
    .name = "ping",
    .synopsis = "",
    .summary = "does the broker answer, and how fast",
    .notes = "\n"
             "  jobq ping --timeout 1s\n",
    .run = run_ping,
};

static int run_version(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    (void)words;
    if (!wants_json(cli)) {
        printf("jobq %s\n", jobq_version());
        return 0;
    }
    struct jq_json_object *object = jq_json_open();
    jq_json_text(object, "version", jobq_version());
    jq_json_number(object, "protocol_min", JQ_PROTOCOL_MIN);
    jq_json_number(object, "protocol_max", JQ_PROTOCOL_MAX);
    return jq_json_close(object, stdout) ? 0 : out_of_memory(cli);
}

const struct jq_command jq_cmd_version = {
    .name = "version",
    .synopsis = "",
    .summary = "which jobq this is",
    .notes = "\n"
             "  jobq -o json version\n",
    .run = run_version,
};
