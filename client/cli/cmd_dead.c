/* SPDX-License-Identifier: MIT
 *
 * cmd_dead.c - jobq dead: jobs that have failed for good: look at them, run them again, forget
 * them. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/items.h"
#include "client/cli/job_query.h"

enum { LIMIT_DEFAULT = 50 };

struct values {
    const char *queue;
    int64_t limit;
    bool all;
};

#define QUEUE_FLAG                                                                  \
    {                                                                               \
        "queue", 'Q', JQ_FLAG_STRING, offsetof(struct values, queue), 0, 0, "NAME", \
            "only those of this queue"                                              \
    }

static const struct jq_flag ls_flags[] = {
    QUEUE_FLAG,
    { "limit", 'n', JQ_FLAG_INT, offsetof(struct values, limit), 1, INT64_MAX, "N",
      "at most so many, newest first; 50" },
    { "all", 'a', JQ_FLAG_BOOL, offsetof(struct values, all), 0, 0, NULL, "no limit" },
};

static const struct jq_flag change_flags[] = {
    QUEUE_FLAG,
    { "all", 'a', JQ_FLAG_BOOL, offsetof(struct values, all), 0, 0, NULL,
      "all that have failed, not those that are named" },
};

static const struct values defaults;

static int check_queue(const struct jq_cli *cli, const struct values *v)
{
    return v->queue ? jq_cli_queue_name(cli, v->queue) : 0;
}

/* ---- ls ---- */

static int run_ls(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct values *v = values;
    const struct jq_job_query query = {
        .states = UINT64_C(1) << JQ_FAILED,
        .queue = v->queue,
        .limit = v->all     ? UINT64_MAX
                 : v->limit ? (uint64_t)v->limit
                            : LIMIT_DEFAULT,
    };
    struct jq_job_sink sink;
    bool more = false;

    (void)words;
    int status = check_queue(cli, v);
    if (status != 0)
        return status;
    jq_job_sink_init(&sink, cli);
    status = jq_jobs_list(cli, &query, jq_job_sink_add, &sink, &more);
    status = jq_job_sink_end(&sink, status);
    if (status == 0 && more && !v->limit && cli->format == JQ_FORMAT_TABLE)
        jq_cli_notice(cli, "there are more: --limit N or --all shows them");
    return status;
}

static const struct jq_command ls = {
    .name = "dead ls",
    .synopsis = "[flags]",
    .summary = "jobs that have failed, with no retry left",
    .notes = "\n"
             "  jobq dead ls -Q mail\n",
    .flags = ls_flags,
    .flag_count = JQ_FLAG_COUNT(ls_flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .has_codes = true,
    .run = run_ls,
};

/* ---- retry and rm ---- */

struct changing {
    struct jq_cli *cli;
    enum jq_tag tag, answer;
    struct jq_json_list json;
    int status; /* of the first that went wrong */
};

static int collect(void *arg, const struct jq_job_info *info)
{
    struct jq_ids *ids = arg;

    return jq_ids_add(ids, info->id) == JQ_OK ? 0 : JQ_EXIT_FAILED;
}

/* Before any is changed: one that fails again is not taken twice. */
static int collect_all(struct jq_cli *cli, const char *queue, struct jq_ids *ret)
{
    const struct jq_job_query query = { .states = UINT64_C(1) << JQ_FAILED,
                                        .queue = queue,
                                        .limit = UINT64_MAX };
    struct jq_ids ids = { 0 };
    bool more;

    const int status = jq_jobs_list(cli, &query, collect, &ids, &more);
    if (status != 0) {
        jq_ids_fini(&ids);
        return status;
    }
    *ret = ids;
    return 0;
}

static void take_ack(struct changing *c, const struct jq_ack *ack)
{
    if (c->cli->format == JQ_FORMAT_JSON || c->cli->format == JQ_FORMAT_JSONL)
        jq_json_change(&c->json, ack);
    else if (c->cli->format == JQ_FORMAT_ID && ack->error == 0)
        printf("%" PRIu64 "\n", ack->id);
    if (ack->error == 0)
        return;
    int code;
    if (ack->error == JQ_ESTATE)
        code = jq_cli_fail(c->cli, JQ_ESTATE, "job %" PRIu64 " has not ended, or has succeeded",
                           ack->id);
    else
        code = jq_cli_fail_job(c->cli, (int)ack->error, ack->id);
    c->status = c->status ? c->status : code;
}

static struct jq_msg message(enum jq_tag tag, struct jq_records jobs)
{
    if (tag == JQ_MSG_RETRY)
        return (struct jq_msg){ .tag = tag, .u.retry = { .jobs = jobs } };
    return (struct jq_msg){ .tag = tag, .u.remove = { .jobs = jobs } };
}

/* The request was sent twice: its first copy may have done it. */
static bool was_done(const struct changing *c, int64_t error)
{
    return c->tag == JQ_MSG_RETRY ? error == JQ_ESTATE : error == JQ_ENOENT || error == JQ_EGONE;
}

static int change_some(struct changing *c, const uint64_t *ids, size_t count)
{
    struct jq_buf refs = { 0 };
    struct jq_answer answer;
    struct jq_ack ack;
    int status;

    for (size_t i = 0; i < count; i++)
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = ids[i] });
    const struct jq_msg msg = message(c->tag, jq_records_of((uint32_t)count, &refs));
    if (jq_buf_ok(&refs))
        status = jq_cli_request(c->cli, &msg, c->answer, &answer);
    else
        status = jq_cli_fail(c->cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_buf_fini(&refs);
    if (status != 0)
        return status;
    const struct jq_records each =
        c->answer == JQ_MSG_RETRIED ? answer.msg.u.retried.each : answer.msg.u.removed.each;
    for (struct jq_reader r = jq_records_reader(each); jq_ack_next(&r, &ack);) {
        if (answer.is_repeated && was_done(c, ack.error))
            ack.error = 0;
        take_ack(c, &ack);
    }
    jq_answer_fini(&answer);
    return 0;
}

static int change(struct changing *c, const struct values *v, const struct jq_words *words)
{
    struct jq_cli *cli = c->cli;
    const bool json = cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;
    struct jq_ids ids = { 0 };
    int status = check_queue(cli, v);

    if (status == 0 && (v->all || v->queue) == (words->count > 0))
        status = jq_cli_usage(cli, cli->command, "name either jobs, or --queue NAME or --all");
    if (status == 0)
        status = words->count ? jq_cli_ids(cli, words, &ids) : collect_all(cli, v->queue, &ids);
    if (status != 0)
        return status;
    jq_json_start(&c->json, stdout, cli->format == JQ_FORMAT_JSONL);
    for (size_t from = 0; from < ids.count && status == 0; from += JQ_JOBS_PER_FRAME) {
        const size_t left = ids.count - from;
        status =
            change_some(c, ids.list + from, left < JQ_JOBS_PER_FRAME ? left : JQ_JOBS_PER_FRAME);
    }
    if (json && !jq_json_end(&c->json) && status == 0)
        status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_ids_fini(&ids);
    return status ? status : c->status;
}

static int run_retry(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct changing c = { .cli = cli, .tag = JQ_MSG_RETRY, .answer = JQ_MSG_RETRIED };

    return change(&c, values, words);
}

static int run_rm(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct changing c = { .cli = cli, .tag = JQ_MSG_REMOVE, .answer = JQ_MSG_REMOVED };

    return change(&c, values, words);
}

static const struct jq_command retry = {
    .name = "dead retry",
    .synopsis = "ID... | --queue NAME | --all",
    .summary = "run ended jobs again, as the same jobs",
    .notes =
        "Any that ended without success, also cancelled, expired and skipped ones; --queue and\n"
        "--all take the failed ones. Their retries begin anew, their history stays. Exit\n"
        "codes: 1 some had not ended or had succeeded; 6 some are unknown.\n"
        "\n"
        "  jobq dead retry 17-19\n",
    .flags = change_flags,
    .flag_count = JQ_FLAG_COUNT(change_flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_max = SIZE_MAX,
    .words_name = "ID",
    .has_codes = true,
    .run = run_retry,
};

static const struct jq_command rm = {
    .name = "dead rm",
    .synopsis = "ID... | --queue NAME | --all",
    .summary = "forget ended jobs, with their results",
    .notes = "Any that ended; --queue and --all take the failed ones. Exit codes: 1 some had not\n"
             "ended; 6 some are unknown.\n"
             "\n"
             "  jobq dead rm --queue mail\n",
    .flags = change_flags,
    .flag_count = JQ_FLAG_COUNT(change_flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_max = SIZE_MAX,
    .words_name = "ID",
    .has_codes = true,
    .run = run_rm,
};

static const struct jq_command *const verbs[] = { &ls, &retry, &rm };

const struct jq_command jq_cmd_dead = {
    .name = "dead",
    .synopsis = "ls | retry | rm",
    .summary = "jobs that have failed: look at them, run them again, forget them",
    .notes = "Without a verb: ls. jobq help dead VERB tells more.\n"
             "\n"
             "  jobq dead retry --all\n",
    .has_codes = true,
    .verbs = verbs,
    .verb_count = sizeof verbs / sizeof *verbs,
};
