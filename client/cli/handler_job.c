/* SPDX-License-Identifier: MIT
 *
 * handler_job.c - see handler_job.h. */
#include "client/cli/handler_job.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/format_json.h"
#include "proto/limits.h"

/* ---- depth ---- */

/* 0: not set, or no number. */
static uint64_t number_of(const char *variable)
{
    const char *text = getenv(variable);
    char *end;

    if (!text || *text < '0' || *text > '9')
        return 0;
    const unsigned long long value = strtoull(text, &end, 10);
    return *end ? 0 : value;
}

int jq_own_depth(const struct jq_cli *cli, uint64_t *ret_depth)
{
    const uint64_t here = number_of("JOBQ_DEPTH");
    const uint64_t set = number_of("JOBQ_DEPTH_MAX");
    const uint64_t max = set ? set : JQ_JOB_DEPTH_MAX;

    if (here >= max)
        return jq_cli_fail(cli, JQ_EINVAL,
                           "this is a job that a job submitted, %" PRIu64 " deep: jobs submit jobs "
                           "%" PRIu64 " deep at most (JOBQ_DEPTH_MAX sets another bound)",
                           here, max);
    *ret_depth = here + 1;
    return 0;
}

/* ---- arguments ---- */

/* NAME=VALUE. */
static int split(const struct jq_cli *cli, const char *text, char name[JQ_NAME_MAX + 1],
                 const char **ret_value)
{
    const char *equals = strchr(text, '=');
    const size_t size = equals ? (size_t)(equals - text) : 0;

    if (size == 0 || size > JQ_NAME_MAX)
        return jq_cli_fail(cli, JQ_EINVAL,
                           "--named: '%.200s' is not NAME=VALUE, with a name of 1 "
                           "to %d bytes",
                           text, JQ_NAME_MAX);
    memcpy(name, text, size);
    name[size] = '\0';
    *ret_value = equals + 1;
    return 0;
}

static int fail_add(const struct jq_cli *cli, int error, const char *name)
{
    if (error == JOBQ_EINVAL && name)
        return jq_cli_fail(cli, error, "--named: %s is given twice", name);
    if (error == JOBQ_EMSGSIZE)
        return jq_cli_fail(cli, error,
                           "the arguments are too large: at most %d MiB, %d by position, %d by "
                           "name",
                           JQ_PAYLOAD_MAX >> 20, JQ_ARGUMENTS_MAX, JQ_NAMED_MAX);
    return jq_cli_fail(cli, error, "the arguments: %s", jobq_strerror(error));
}

static int add_json(const struct jq_cli *cli, struct jobq_args *args, const char *name,
                    const char *text)
{
    struct jq_buf value = { 0 };
    struct jq_detail detail = { "out of memory" };
    int status = 0;

    const enum jq_err err = jq_json_to_msgpack(text, &value, &detail);
    if (err != JQ_OK) {
        status = jq_cli_fail(cli, err, "--%s-json: '%.100s': %s", name ? "named" : "arg", text,
                             detail.text);
    } else {
        const int error = jobq_args_msgpack(args, name, value.data, value.size);
        if (error)
            status = fail_add(cli, error, name);
    }
    jq_buf_fini(&value);
    return status;
}

static int add_text(const struct jq_cli *cli, struct jobq_args *args, const char *name,
                    const char *text)
{
    const int error = jobq_args_str(args, name, text, strlen(text));

    return error ? fail_add(cli, error, name) : 0;
}

static int add_given(const struct jq_cli *cli, struct jobq_args *args, const char *flag,
                     const char *text)
{
    char buffer[JQ_NAME_MAX + 1];
    const char *name = NULL;

    if (strncmp(flag, "named", 5) == 0) {
        const int status = split(cli, text, buffer, &text);
        if (status != 0)
            return status;
        name = buffer;
    }
    return strstr(flag, "-json") ? add_json(cli, args, name, text)
                                 : add_text(cli, args, name, text);
}

int jq_handler_args(const struct jq_cli *cli, const struct jq_handler_flags *flags,
                    char *const *words, size_t count, uint64_t depth, int64_t timeout_ms,
                    void **ret_payload, size_t *ret_size)
{
    struct jobq_args *args = NULL;
    int status = 0;

    int error = jobq_args_new(&args);
    for (size_t i = 0; error == 0 && status == 0 && i + 1 < flags->given.count; i += 2)
        status = add_given(cli, args, flags->given.list[i], flags->given.list[i + 1]);
    for (size_t i = 0; error == 0 && status == 0 && i < count; i++)
        status = add_text(cli, args, NULL, words[i]);
    if (error == 0 && status == 0)
        error = jobq_args_depth(args, depth);
    if (error == 0 && status == 0)
        error = jobq_args_timeout(args, timeout_ms);
    if (error == 0 && status == 0)
        error = jobq_args_pack(args, ret_payload, ret_size);
    jobq_args_free(&args);
    return error ? fail_add(cli, error, NULL) : status;
}
