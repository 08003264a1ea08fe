/* SPDX-License-Identifier: MIT
 *
 * cmd_queue_do.c - jobq queue pause, resume, close, open, drain, purge and rm. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cmd_queue.h"
#include "client/cli/items.h"

struct values {
    bool now;
};

static const struct jq_flag close_flags[] = {
    { "now", 0, JQ_FLAG_BOOL, offsetof(struct values, now), 0, 0, NULL,
      "and cancel what has not started" },
};

static const struct values defaults;

static const char *word_of(enum jq_queue_action action)
{
    static const char *const words[] = { "pause", "resume", "close", "close_now",
                                         "open",  "purge",  "rm" };

    return words[action];
}

static int tell(const struct jq_cli *cli, const char *name, enum jq_queue_action action,
                uint64_t count)
{
    const bool cancels = action == JQ_QUEUE_PURGE || action == JQ_QUEUE_CLOSE_NOW;

    if (cli->format == JQ_FORMAT_TABLE && cancels)
        jq_cli_notice(cli, "%" PRIu64 " cancelled", count);
    if (cli->format == JQ_FORMAT_ID)
        printf("%s\n", name);
    if (cli->format == JQ_FORMAT_TABLE || cli->format == JQ_FORMAT_ID)
        return 0;
    struct jq_json_object *object = jq_json_open();
    jq_json_text(object, "queue", name);
    jq_json_text(object, "action", word_of(action));
    jq_json_number(object, "count", (int64_t)count);
    return jq_json_close(object, stdout)
               ? 0
               : jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

static int act(struct jq_cli *cli, const char *name, enum jq_queue_action action,
               uint64_t *ret_count)
{
    const struct jq_msg msg = { .tag = JQ_MSG_QUEUE_DO,
                                .u.queue_do = { .name = jq_view_str(name), .action = action } };
    struct jq_answer answer = { .frame = NULL };

    *ret_count = 0;
    int status = jq_cli_queue_name(cli, name);
    if (status == 0)
        status = jq_cli_connect(cli);
    if (status != 0)
        return status;
    const int error = jq_request(cli->client, &msg, jq_cli_request_ms(cli), &answer);
    if (error == JOBQ_ENOENT && action == JQ_QUEUE_REMOVE && answer.is_repeated)
        return 0; /* by the first copy of a request that was sent twice */
    if (error != 0)
        return jq_cli_fail_call(cli, error, cli->command->name);
    if (answer.msg.tag == JQ_MSG_QUEUE_SAID)
        *ret_count = answer.msg.u.queue_said.count;
    jq_answer_fini(&answer);
    return 0;
}

static int run(struct jq_cli *cli, const struct jq_words *words, enum jq_queue_action action)
{
    uint64_t count = 0;
    const int status = act(cli, words->list[0], action, &count);

    return status ? status : tell(cli, words->list[0], action, count);
}

static int run_pause(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    return run(cli, words, JQ_QUEUE_PAUSE);
}

static int run_resume(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    return run(cli, words, JQ_QUEUE_RESUME);
}

static int run_close(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct values *v = values;

    return run(cli, words, v->now ? JQ_QUEUE_CLOSE_NOW : JQ_QUEUE_CLOSE);
}

static int run_open(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    return run(cli, words, JQ_QUEUE_REOPEN);
}

static int run_purge(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    return run(cli, words, JQ_QUEUE_PURGE);
}

static int run_rm(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    return run(cli, words, JQ_QUEUE_REMOVE);
}

static int run_drain(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const char *name = words->list[0];
    const int64_t timeout_ms = cli->globals.timeout_ms;
    struct jobq_queue *queue = NULL;
    uint64_t count;

    (void)values;
    cli->globals.timeout_ms = -1; /* is for the join; to close takes no time */
    int status = act(cli, name, JQ_QUEUE_CLOSE, &count);
    cli->globals.timeout_ms = timeout_ms;
    if (status == 0)
        status = jq_items_open(cli, name, 0, &queue);
    if (status == 0)
        status = jq_join(cli, queue, name);
    jobq_queue_free(&queue);
    return status;
}

#define VERB(identifier, verb, what, text, example)   \
    const struct jq_command jq_queue_##identifier = { \
        .name = "queue " verb,                        \
        .synopsis = "QUEUE",                          \
        .summary = what,                              \
        .notes = text "\n  " example "\n",            \
        .words_min = 1,                               \
        .words_max = 1,                               \
        .words_name = "QUEUE",                        \
        .has_codes = true,                            \
        .run = run_##identifier,                      \
    }

VERB(pause, "pause", "hand nothing of a queue out",
     "Neither to workers nor to get. What runs goes on; puts are taken. 6: no such queue.\n",
     "jobq queue pause mail");
VERB(resume, "resume", "go on after pause", "Not paused: fine. 6: no such queue.\n",
     "jobq queue resume mail");
VERB(open, "open", "take puts again after close", "Not closed: fine. 6: no such queue.\n",
     "jobq queue open mail");
VERB(drain, "drain", "close a queue, and wait until it is empty",
     "As close, then as join: --timeout is for the wait, and exit code 124 says that it is over.\n"
     "The queue stays closed.\n",
     "jobq queue drain --timeout 10m mail");
VERB(purge, "purge", "cancel all that has not started",
     "At once for everybody who looks, whatever their number. What runs goes on. Standard error\n"
     "says how many. 6: no such queue.\n",
     "jobq queue purge mail");
VERB(rm, "rm", "forget a queue, with what it kept",
     "Only when nothing of it is unfinished: else exit code 1. 6: no such queue.\n",
     "jobq queue purge mail && jobq queue rm mail");

const struct jq_command jq_queue_close = {
    .name = "queue close",
    .synopsis = "[--now] QUEUE",
    .summary = "take no more puts and submits",
    .notes = "What is in the queue is still handed out; then get says that it is closed. Again:\n"
             "fine. 6: no such queue.\n"
             "\n"
             "  jobq queue close --now mail\n",
    .flags = close_flags,
    .flag_count = JQ_FLAG_COUNT(close_flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_min = 1,
    .words_max = 1,
    .words_name = "QUEUE",
    .has_codes = true,
    .run = run_close,
};
