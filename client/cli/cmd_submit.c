/* SPDX-License-Identifier: MIT
 *
 * cmd_submit.c - jobq submit: one command, or one for each line. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/batch.h"
#include "client/cli/format_json.h"
#include "client/cli/spec.h"
#include "client/cli/stdio.h"

struct values {
    struct jq_spec_flags spec;
    const char *batch;
    bool null;
};

static const struct jq_flag flags[] = {
#define AT(member) offsetof(struct values, spec.member)
#include "client/cli/spec_flags.def"
    { "discard", 0, JQ_FLAG_BOOL, offsetof(struct values, spec.discard), 0, 0, NULL,
      "keep nothing of the job once it has succeeded" },
    { "handler", 'H', JQ_FLAG_STRING, offsetof(struct values, spec.handler.name), 0, 0, "NAME",
      "run this handler of a worker's plug-ins, not a command; words are its arguments" },
    { "arg", 'a', JQ_FLAG_PAIRS, offsetof(struct values, spec.handler.given), 0, 0, "TEXT",
      "with --handler: the next argument, a string; may be repeated, as the next three" },
    { "arg-json", 0, JQ_FLAG_PAIRS, offsetof(struct values, spec.handler.given), 0, 0, "JSON",
      "the next argument, of any type" },
    { "named", 0, JQ_FLAG_PAIRS, offsetof(struct values, spec.handler.given), 0, 0, "NAME=TEXT",
      "an argument by name, a string" },
    { "named-json", 0, JQ_FLAG_PAIRS, offsetof(struct values, spec.handler.given), 0, 0,
      "NAME=JSON", "an argument by name, of any type" },
    { "batch", 0, JQ_FLAG_STRING, offsetof(struct values, batch), 0, 0, "FILE",
      "a job for each line of FILE (- for standard input), run by /bin/sh -c" },
    { "null", '0', JQ_FLAG_BOOL, offsetof(struct values, null), 0, 0, NULL,
      "with --batch: a NUL ends a line" },
};

static const struct values defaults = { .spec = JQ_SPEC_FLAGS_INIT };

/* A job whose id nobody got is there all the same. */
static int deliver(const struct jq_cli *cli, uint64_t id)
{
    if (fflush(stdout) == 0)
        return 0;
    return jq_cli_fail(cli, JQ_EIO, "job %" PRIu64 " was submitted, but its id was not taken", id);
}

static int print_id(const struct jq_cli *cli, uint64_t id, bool created)
{
    if (cli->format == JQ_FORMAT_TABLE || cli->format == JQ_FORMAT_ID) {
        printf("%" PRIu64 "\n", id);
        return deliver(cli, id);
    }
    struct jq_json_object *object = jq_json_open();
    jq_json_id(object, "id", id);
    jq_json_bool(object, "created", created);
    if (!jq_json_close(object, stdout))
        return jq_cli_fail(cli, JQ_ENOMEM, "job %" PRIu64 " was submitted, but: %s", id,
                           jq_err_text(JQ_ENOMEM));
    return deliver(cli, id);
}

static int fail_submit(const struct jq_cli *cli, const struct jobq_job *job, int error)
{
    if (error == JOBQ_ETIMEDOUT || error == JOBQ_EUNREACH)
        return jq_cli_fail(cli, error,
                           "the broker has not answered: whether it has the job is unknown%s",
                           job->key ? "; the same --id again is safe" : "");
    if (error == JOBQ_EEXIST)
        return jq_cli_fail(cli, error, "a job with the %s %s exists already",
                           job->key ? "key" : "name", job->key ? job->key : job->options->unique);
    return jq_cli_fail_call(cli, error, "submit");
}

static int submit(struct jq_cli *cli, const struct jobq_job *job)
{
    struct jobq_future *future = NULL;
    int status = 0;

    int error = jobq_submit_start(cli->client, job, &future);
    if (error == 0)
        error = jq_cli_flush(cli, job->put_timeout_ms);
    if (error != 0)
        status = fail_submit(cli, job, error);
    else
        status = print_id(cli, jobq_future_id(future), jobq_future_created(future) != 0);
    jobq_future_free(&future);
    return status;
}

static int submit_one(struct jq_cli *cli, const struct jq_spec *spec, const struct jq_words *words)
{
    struct jq_packed packed;
    struct jobq_job job;

    int status = jq_spec_pack(cli, spec, words->list, words->count, &packed, &job);
    if (status != 0)
        return status;
    status = jq_cli_connect(cli);
    if (status == 0)
        status = submit(cli, &job);
    jq_packed_fini(&packed);
    return status;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct values *v = values;
    const bool from_stdin = v->batch && v->batch[0] == '-' && !v->batch[1];
    struct jq_spec spec;

    if (v->batch && (words->count || v->spec.shell || v->spec.key || v->spec.terms.unique ||
                     v->spec.handler.name))
        return jq_cli_usage(cli, &jq_cmd_submit,
                            "--batch takes no command, --shell, --id, --unique or --handler");
    if (v->spec.handler.given.count && !v->spec.handler.name)
        return jq_cli_usage(cli, &jq_cmd_submit,
                            "--arg, --arg-json, --named and --named-json are for --handler");
    if (v->null && !v->batch)
        return jq_cli_usage(cli, &jq_cmd_submit, "--null is for --batch");
    if (from_stdin && (v->spec.is_stdin || (v->spec.input && strcmp(v->spec.input, "-") == 0)))
        return jq_cli_usage(cli, &jq_cmd_submit, "standard input is read by --batch already");
    if (!v->batch && !words->count && !v->spec.shell && !v->spec.handler.name)
        return jq_cli_usage(cli, &jq_cmd_submit, "what is to be run?");
    if (!jq_stdio_can_print())
        return jq_cli_fail(cli, JQ_EIO, "standard output takes no id: nothing was submitted");
    int status = jq_spec_init(cli, &v->spec, &spec);
    if (status != 0)
        return status;
    if (v->batch)
        status = jq_batch_submit(cli, &spec, from_stdin ? NULL : v->batch, v->null ? '\0' : '\n');
    else
        status = submit_one(cli, &spec, words);
    jq_spec_fini(&spec);
    return status;
}

const struct jq_command jq_cmd_submit = {
    .name = "submit",
    .synopsis = "[flags] [--] COMMAND [ARGUMENT...]",
    .summary = "queue a command; prints its id",
    .notes =
        "The id comes when the job is on disk: it will run whatever happens from then on. From\n"
        "the first word on all is the command, byte for byte; there is no shell but by "
        "--shell.\n"
        "The job runs in the current directory and takes along PATH HOME LANG LC_* TZ USER\n"
        "LOGNAME SHELL of the environment.\n"
        "With --batch each line that is not blank is one job and goes to /bin/sh -c; ids are\n"
        "printed in the order of the lines.\n"
        "With --handler the job is a C function of a worker's plug-in, with arguments by position\n"
        "and by name; with --stdin or --input it gets these bytes instead.\n"
        "\n"
        "  jobq submit -Q build --retries 3 --after last -- make -j8\n"
        "  jobq submit --handler resize --named-json width=800 -- a.png b.png\n",
    .flags = flags,
    .flag_count = JQ_FLAG_COUNT(flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .rule = JQ_WORDS_FIRST,
    .words_max = SIZE_MAX,
    .words_name = "COMMAND",
    .run = run,
};
