/* SPDX-License-Identifier: MIT
 *
 * spec.c - see spec.h. */
#include "client/cli/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/stdio.h"
#include "client/cli/text.h"
#include "proto/base/alloc.h"

static int out_of_memory(const struct jq_cli *cli)
{
    return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

/* ---- what all jobs of a call share ---- */

static int read_environment(struct jq_cli *cli, struct jq_spec *spec)
{
    struct jq_detail detail = { "out of memory" };
    char depth[32];
    size_t count = 0, at = 0;

    const enum jq_err err =
        jq_spec_environment(spec->flags, environ, &spec->env_text, &count, &detail);
    if (err != JQ_OK)
        return jq_cli_fail(cli, err, "%s", detail.text);
    /* Whatever was asked for: what submits itself has to come to an end. */
    snprintf(depth, sizeof depth, "JOBQ_DEPTH=%" PRIu64, spec->depth);
    jq_buf_append(&spec->env_text, depth, strlen(depth) + 1);
    if (!jq_buf_ok(&spec->env_text))
        return out_of_memory(cli);
    count++;
    spec->env = jq_alloc_zero(count + 1, sizeof *spec->env);
    if (!spec->env)
        return out_of_memory(cli);
    for (size_t i = 0; i < count; i++) {
        spec->env[i] = (const char *)spec->env_text.data + at;
        at += strlen(spec->env[i]) + 1;
    }
    return 0;
}

/* Not resolved: the job shall see the path that the user sees. */
static int find_cwd(struct jq_cli *cli, struct jq_spec *spec)
{
    const char *asked = spec->flags->cwd;
    char here[JQ_PATH_MAX];

    if (asked && !*asked)
        return jq_cli_fail(cli, JQ_EINVAL, "--cwd: no directory is named");
    if (asked && *asked == '/') {
        spec->cwd = jq_strdup(asked);
    } else {
        if (!getcwd(here, sizeof here))
            return jq_cli_fail(cli, JQ_EIO, "the current directory: %s (--cwd names another)",
                               strerror(errno));
        const size_t size = strlen(here) + (asked ? strlen(asked) : 0) + 2;
        spec->cwd = jq_alloc(size);
        if (spec->cwd)
            snprintf(spec->cwd, size, "%s%s%s", here, asked ? "/" : "", asked ? asked : "");
    }
    if (!spec->cwd)
        return out_of_memory(cli);
    if (strlen(spec->cwd) > JQ_PATH_MAX)
        return jq_cli_fail(cli, JQ_EMSGSIZE, "--cwd: more than %d bytes", JQ_PATH_MAX);
    return 0;
}

static int read_input(struct jq_cli *cli, struct jq_spec *spec)
{
    const char *path = spec->flags->input;
    int fd = STDIN_FILENO;

    if (path && spec->flags->is_stdin)
        return jq_cli_fail(cli, JQ_EINVAL, "--stdin and --input exclude each other");
    if (path && strcmp(path, "-") == 0)
        path = NULL;
    else if (path && !*path)
        return jq_cli_fail(cli, JQ_EINVAL, "--input: no file is named");
    if (!spec->flags->input && !spec->flags->is_stdin)
        return 0;
    if (path && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return jq_cli_fail(cli, JQ_EIO, "%s: %s", path, strerror(errno));
    const int error = jq_read_all(fd, JQ_PAYLOAD_MAX, &spec->input);
    if (path)
        close(fd);
    if (error == EFBIG)
        return jq_cli_fail(cli, JQ_EMSGSIZE,
                           "the input has more than %d MiB: give the job a file's name instead",
                           JQ_PAYLOAD_MAX >> 20);
    if (error)
        return jq_cli_fail(cli, JQ_EIO, "%s: %s", path ? path : "standard input", strerror(error));
    return 0;
}

static int check_handler(struct jq_cli *cli, const struct jq_spec_flags *flags)
{
    const struct jq_handler_flags *handler = &flags->handler;
    const bool is_of_command = flags->cwd || flags->env.count || flags->env_all ||
                               flags->clear_env || flags->kill_after_ms || flags->merge ||
                               flags->output_bytes || flags->shell;

    if (strcmp(handler->name, "exec") == 0 || strcmp(handler->name, JQ_HANDLER_ITEM) == 0)
        return jq_cli_fail(cli, JQ_EINVAL, "--handler: %s is not for you to name", handler->name);
    if (is_of_command)
        return jq_cli_fail(cli, JQ_EINVAL,
                           "--handler takes no --cwd, --env, --env-all, --clear-env, "
                           "--kill-after, --merge, --output-bytes or --shell: they are for "
                           "commands");
    if ((flags->is_stdin || flags->input) && (handler->given.count || flags->job_timeout_ms))
        return jq_cli_fail(cli, JQ_EINVAL,
                           "--handler takes arguments and --job-timeout, or bytes by --stdin or "
                           "--input: not both");
    return 0;
}

int jq_spec_init(struct jq_cli *cli, const struct jq_spec_flags *flags, struct jq_spec *ret_spec)
{
    struct jq_spec spec = { .flags = flags };
    int status = 0;

    if (flags->strict && !flags->key && !flags->terms.unique)
        status = jq_cli_fail(cli, JQ_EINVAL, "--strict needs --id or --unique");
    if (status == 0)
        status = jq_terms_make(cli, &flags->terms, &spec.terms);
    if (status == 0)
        status = jq_own_depth(cli, &spec.depth);
    if (status == 0 && flags->handler.name)
        status = check_handler(cli, flags);
    if (status == 0 && !flags->handler.name)
        status = read_environment(cli, &spec);
    if (status == 0 && !flags->handler.name)
        status = find_cwd(cli, &spec);
    if (status == 0)
        status = read_input(cli, &spec);
    if (status != 0) {
        jq_spec_fini(&spec);
        return status;
    }
    *ret_spec = spec;
    return 0;
}

void jq_spec_fini(struct jq_spec *spec)
{
    jq_buf_fini(&spec->env_text);
    jq_free(spec->env);
    jq_free(spec->cwd);
    jq_buf_fini(&spec->input);
    jq_terms_free(spec->terms);
}

/* ---- one job ---- */

static int make_title(struct jq_cli *cli, const struct jq_spec *spec, char *const *argv,
                      size_t count, struct jq_buf *title)
{
    const struct jq_spec_flags *flags = spec->flags;

    if (flags->title)
        jq_text_utf8(title, jq_view_str(flags->title));
    else if (flags->shell)
        jq_text_clean(title, jq_view(flags->shell, strnlen(flags->shell, JQ_TITLE_MAX)));
    else
        jq_text_command(title, argv, count, JQ_TITLE_MAX);
    if (jq_buf_ok(title) && title->size > JQ_TITLE_MAX) {
        if (flags->title)
            return jq_cli_fail(cli, JQ_EMSGSIZE, "--title: more than %d bytes", JQ_TITLE_MAX);
        size_t keep = JQ_TITLE_MAX;
        while (keep && (title->data[keep] & 0xc0) == 0x80)
            keep--;
        title->size = keep;
    }
    jq_buf_append(title, "", 1);
    return jq_buf_ok(title) ? 0 : out_of_memory(cli);
}

/* `argv` behind /bin/sh -c TEXT sh, or as it is; NULL-terminated. The caller frees it. */
static const char **make_argv(const struct jq_spec *spec, char *const *argv, size_t count)
{
    const char **list = jq_alloc_zero(count + 5, sizeof *list);
    size_t at = 0;

    if (!list)
        return NULL;
    if (spec->flags->shell) {
        list[at++] = "/bin/sh";
        list[at++] = "-c";
        list[at++] = spec->flags->shell;
        list[at++] = "sh";
    }
    for (size_t i = 0; i < count; i++)
        list[at++] = argv[i];
    return list;
}

static int pack_command(struct jq_cli *cli, const struct jq_spec *spec, char *const *argv,
                        size_t count, struct jq_packed *packed, struct jobq_job *job)
{
    const struct jq_spec_flags *flags = spec->flags;
    const char **list = make_argv(spec, argv, count);
    const struct jobq_exec exec = {
        .size = sizeof exec,
        .argv = list,
        .env = spec->env,
        .cwd = spec->cwd,
        .input = spec->input.data,
        .input_size = spec->input.size,
        .timeout_ms = flags->job_timeout_ms,
        .kill_after_ms = flags->kill_after_ms,
        .output_bytes = flags->output_bytes,
        .flags = flags->merge ? JOBQ_EXEC_MERGE : 0,
    };

    if (!list)
        return out_of_memory(cli);
    const int error = jobq_exec_pack(&exec, &packed->payload, &job->payload_size);
    jq_free(list);
    if (error == JOBQ_EMSGSIZE)
        return jq_cli_fail(cli, error,
                           "the command with its environment and input is too large: at most %d "
                           "MiB, %d arguments and %d variables",
                           JQ_PAYLOAD_MAX >> 20, JQ_ARGUMENTS_MAX, JQ_ARGUMENTS_MAX);
    if (error != 0)
        return jq_cli_fail(cli, error, "the command: %s", jobq_strerror(error));
    job->handler = "exec";
    job->payload = packed->payload;
    return make_title(cli, spec, argv, count, &packed->title);
}

static int pack_handler(struct jq_cli *cli, const struct jq_spec *spec, char *const *words,
                        size_t count, struct jq_packed *packed, struct jobq_job *job)
{
    const struct jq_spec_flags *flags = spec->flags;
    const struct jq_words *given = &flags->handler.given;
    struct jq_words shown = { NULL, 0, 0 };
    int status = 0;

    job->handler = flags->handler.name;
    if (flags->is_stdin || flags->input) {
        if (count)
            return jq_cli_fail(cli, JQ_EINVAL,
                               "--handler takes arguments, or bytes by --stdin or --input: not "
                               "both");
        job->payload = spec->input.data;
        job->payload_size = spec->input.size;
    } else {
        status = jq_handler_args(cli, &flags->handler, words, count, spec->depth,
                                 flags->job_timeout_ms, &packed->payload, &job->payload_size);
        job->payload = packed->payload;
    }
    bool ok = jq_words_add(&shown, (char *)(uintptr_t)flags->handler.name) == JQ_OK;
    for (size_t i = 0; i + 1 < given->count; i += 2)
        ok = ok && jq_words_add(&shown, given->list[i + 1]) == JQ_OK;
    for (size_t i = 0; i < count; i++)
        ok = ok && jq_words_add(&shown, words[i]) == JQ_OK;
    if (status == 0)
        status = ok ? make_title(cli, spec, shown.list, shown.count, &packed->title)
                    : out_of_memory(cli);
    jq_words_fini(&shown);
    return status;
}

int jq_spec_pack(struct jq_cli *cli, const struct jq_spec *spec, char *const *argv, size_t count,
                 struct jq_packed *ret_packed, struct jobq_job *ret_job)
{
    const struct jq_spec_flags *flags = spec->flags;
    struct jq_packed packed = { NULL, { 0 } };
    struct jobq_job job = JOBQ_JOB_INIT;

    const int status =
        (flags->handler.name ? pack_handler : pack_command)(cli, spec, argv, count, &packed, &job);
    if (status != 0) {
        jq_packed_fini(&packed);
        return status;
    }
    job.queue = flags->queue;
    job.title = (const char *)packed.title.data;
    job.key = flags->key;
    job.priority = (int32_t)flags->priority;
    job.flags = (flags->discard ? JOBQ_JOB_DISCARD : 0) | (flags->tie ? JOBQ_JOB_TIE : 0) |
                (flags->strict ? JOBQ_JOB_STRICT : 0);
    job.options = spec->terms->is_plain ? NULL : &spec->terms->options;
    job.put_timeout_ms = jq_terms_put_timeout(&flags->terms);
    *ret_packed = packed;
    *ret_job = job;
    return 0;
}

void jq_packed_fini(struct jq_packed *packed)
{
    jobq_payload_free(packed->payload);
    jq_buf_fini(&packed->title);
    packed->payload = NULL;
}
