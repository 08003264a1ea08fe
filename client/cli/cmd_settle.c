/* SPDX-License-Identifier: MIT
 *
 * cmd_settle.c - jobq done, nack and extend: what becomes of items that get --lease has kept. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/items.h"
#include "client/cli/parse.h"

struct values {
    int64_t delay_ms;
    int64_t lease_ms;
};

static const struct jq_flag nack_flags[] = {
    { "delay", 0, JQ_FLAG_DURATION, offsetof(struct values, delay_ms), 0, INT64_MAX / 1000000,
      "TIME", "not to be taken before this long from now" },
};

static const struct jq_flag extend_flags[] = {
    { "lease", 0, JQ_FLAG_DURATION, offsetof(struct values, lease_ms), 1, INT64_MAX / 1000000,
      "TIME", "from now on; must be said" },
};

static const struct values defaults;

typedef int settle_fn(struct jobq_client *client, uint64_t id, uint64_t fence, int64_t ms);

struct settling {
    struct jq_cli *cli;
    settle_fn *settle;
    int64_t ms;
    bool is_json;
    struct jq_json_list json;
    int status; /* of the first that went wrong */
};

static int settle_done(struct jobq_client *client, uint64_t id, uint64_t fence, int64_t ms)
{
    (void)ms;
    return jobq_settle_done(client, id, fence);
}

static int check(struct jq_cli *cli, const struct jq_words *words)
{
    struct jq_detail detail;
    uint64_t id, fence;

    for (size_t i = 0; i < words->count; i++)
        if (jq_parse_receipt(words->list[i], &id, &fence, &detail) != JQ_OK)
            return jq_cli_usage(cli, cli->command, "%s", detail.text);
    return 0;
}

static void tell(struct settling *s, const char *receipt, uint64_t id, int error)
{
    if (s->cli->format == JQ_FORMAT_ID && error == 0)
        printf("%" PRIu64 "\n", id);
    if (s->is_json) {
        struct jq_json_object *object = jq_json_open();
        jq_json_id(object, "id", id);
        jq_json_text(object, "receipt", receipt);
        if (error)
            jq_json_text(object, "error", jq_err_name((enum jq_err)error));
        jq_json_put(&s->json, object);
    }
    if (error == 0)
        return;
    const int code = jq_cli_fail_call(s->cli, error, receipt);
    s->status = s->status ? s->status : code;
}

/* All are tried, unless nobody answers. */
static void settle_all(struct settling *s, const struct jq_words *words)
{
    struct jq_detail detail;
    uint64_t id, fence;
    int error = 0;

    for (size_t i = 0; i < words->count && error != JOBQ_EUNREACH; i++) {
        if (jq_parse_receipt(words->list[i], &id, &fence, &detail) != JQ_OK)
            continue; /* cannot be: checked */
        error = s->settle(s->cli->client, id, fence, s->ms);
        tell(s, words->list[i], id, error);
    }
}

static int run(struct jq_cli *cli, const struct jq_words *words, settle_fn *settle, int64_t ms)
{
    struct settling s = {
        .cli = cli,
        .settle = settle,
        .ms = ms,
        .is_json = cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL,
    };
    int status = check(cli, words);

    if (status == 0)
        status = jq_cli_connect(cli);
    if (status != 0)
        return status;
    jq_json_start(&s.json, stdout, cli->format == JQ_FORMAT_JSONL);
    settle_all(&s, words);
    if (s.is_json && !jq_json_end(&s.json) && s.status == 0)
        s.status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    return s.status;
}

static int run_done(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    return run(cli, words, settle_done, 0);
}

static int run_nack(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    return run(cli, words, jobq_settle_nack, ((const struct values *)values)->delay_ms);
}

static int run_extend(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct values *v = values;

    if (v->lease_ms == 0)
        return jq_cli_usage(cli, &jq_cmd_extend, "extend needs --lease TIME");
    return run(cli, words, jobq_settle_extend, v->lease_ms);
}

#define CODES                                                                                    \
    "RECEIPT is ID:FENCE, as get --lease says it. Exit codes: 1 it is too late: the item was\n"  \
    "settled before, or its lease has ended and somebody else has it or will; 6 no such item;\n" \
    "2 bad usage; 3 no broker.\n"

const struct jq_command jq_cmd_done = {
    .name = "done",
    .synopsis = "RECEIPT...",
    .summary = "items that were got with --lease have been dealt with",
    .notes = CODES "\n"
                   "  jobq done 17:4294967297\n",
    .words_min = 1,
    .words_max = SIZE_MAX,
    .words_name = "RECEIPT",
    .has_codes = true,
    .run = run_done,
};

const struct jq_command jq_cmd_nack = {
    .name = "nack",
    .synopsis = "[--delay TIME] RECEIPT...",
    .summary = "give items back to their places in their queues",
    .notes = CODES "\n"
                   "  jobq nack --delay 5m 17:4294967297\n",
    .flags = nack_flags,
    .flag_count = JQ_FLAG_COUNT(nack_flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_min = 1,
    .words_max = SIZE_MAX,
    .words_name = "RECEIPT",
    .has_codes = true,
    .run = run_nack,
};

const struct jq_command jq_cmd_extend = {
    .name = "extend",
    .synopsis = "--lease TIME RECEIPT...",
    .summary = "keep items for longer",
    .notes = CODES "\n"
                   "  jobq extend --lease 10m 17:4294967297\n",
    .flags = extend_flags,
    .flag_count = JQ_FLAG_COUNT(extend_flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_min = 1,
    .words_max = SIZE_MAX,
    .words_name = "RECEIPT",
    .has_codes = true,
    .run = run_extend,
};
