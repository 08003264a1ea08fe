/* SPDX-License-Identifier: MIT
 *
 * cmd_cancel.c - jobq cancel: end jobs; jobq why: what a job waits for. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/format_json.h"
#include "client/cli/text.h"

/* ---- cancel ---- */

struct cancel_values {
    const char *reason;
};

static const struct jq_flag cancel_flags[] = {
    { "reason", 'r', JQ_FLAG_STRING, offsetof(struct cancel_values, reason), 0, 0, "TEXT",
      "kept with the job, for those who ask" },
};

static const struct cancel_values cancel_defaults = { .reason = "cancelled by jobq cancel" };

struct cancelling {
    struct jq_cli *cli;
    const char *reason;
    struct jq_json_list json;
    int status;
};

static void take_ack(struct cancelling *c, const struct jq_ack *ack)
{
    const enum jq_job_state state = (enum jq_job_state)ack->state;

    if (c->cli->format == JQ_FORMAT_JSON || c->cli->format == JQ_FORMAT_JSONL)
        jq_json_ack(&c->json, ack);
    else if (c->cli->format == JQ_FORMAT_ID && ack->error == 0)
        printf("%" PRIu64 "\n", ack->id);
    if (ack->error == 0 || (ack->error == JQ_EALREADY && state == JQ_CANCELLED))
        return;
    if (ack->error == JQ_EALREADY) {
        jq_cli_notice(c->cli, "job %" PRIu64 " has ended already: %s", ack->id,
                      jq_state_name(state));
        c->status = c->status ? c->status : JQ_EXIT_SOME;
        return;
    }
    c->status = jq_cli_fail_job(c->cli, (int)ack->error, ack->id);
}

static int cancel_some(struct cancelling *c, const uint64_t *ids, size_t count)
{
    struct jq_buf refs = { 0 };
    struct jq_answer answer;
    struct jq_ack ack;
    int status;

    for (size_t i = 0; i < count; i++)
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = ids[i] });
    const struct jq_msg msg = {
        .tag = JQ_MSG_CANCEL,
        .u.cancel = { .reason = jq_view_str(c->reason),
                      .jobs = jq_records_of((uint32_t)count, &refs) },
    };
    if (jq_buf_ok(&refs))
        status = jq_cli_request(c->cli, &msg, JQ_MSG_CANCELLED, &answer);
    else
        status = jq_cli_fail(c->cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_buf_fini(&refs);
    if (status != 0)
        return status;
    for (struct jq_reader r = jq_records_reader(answer.msg.u.cancelled.each);
         jq_ack_next(&r, &ack);)
        take_ack(c, &ack);
    jq_answer_fini(&answer);
    return 0;
}

static int run_cancel(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct cancel_values *v = values;
    struct cancelling c = { .cli = cli, .reason = v->reason };
    const bool json = cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;
    struct jq_ids ids;
    int status;

    if (strlen(v->reason) > JQ_REASON_MAX)
        return jq_cli_usage(cli, &jq_cmd_cancel, "--reason: more than %d bytes", JQ_REASON_MAX);
    status = jq_cli_ids(cli, words, &ids);
    if (status != 0)
        return status;
    jq_json_start(&c.json, stdout, cli->format == JQ_FORMAT_JSONL);
    for (size_t from = 0; from < ids.count && status == 0; from += JQ_JOBS_PER_FRAME) {
        const size_t left = ids.count - from;
        status =
            cancel_some(&c, ids.list + from, left < JQ_JOBS_PER_FRAME ? left : JQ_JOBS_PER_FRAME);
    }
    if (json && !jq_json_end(&c.json) && status == 0)
        status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_ids_fini(&ids);
    return status ? status : c.status;
}

const struct jq_command jq_cmd_cancel = {
    .name = "cancel",
    .synopsis = "[flags] ID...",
    .summary = "end jobs, or see that they never start",
    .notes =
        "A job that has not started never runs. A running one gets TERM, later KILL, with all\n"
        "of its process group. Returns when this is certain, not when the job has ended (jobq\n"
        "wait tells). 123: some had ended already; 125: some are unknown.\n"
        "\n"
        "  jobq ls -o id --label build=17 | jobq cancel -\n",
    .flags = cancel_flags,
    .flag_count = JQ_FLAG_COUNT(cancel_flags),
    .defaults = &cancel_defaults,
    .values_size = sizeof cancel_defaults,
    .words_min = 1,
    .words_max = SIZE_MAX,
    .words_name = "ID",
    .run = run_cancel,
};

/* ---- why ---- */

static int print_why(const struct jq_cli *cli, uint64_t id, const struct jq_because *because)
{
    const char *state = jq_state_name((enum jq_job_state)because->state);
    struct jq_blocker blocker;

    if (cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL) {
        struct jq_json_object *object = jq_json_open();
        jq_json_id(object, "id", id);
        jq_json_text(object, "state", state);
        jq_json_blockers(object, "blockers", because->blockers);
        return jq_json_close(object, stdout)
                   ? 0
                   : jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    }
    for (struct jq_reader r = jq_records_reader(because->blockers);
         jq_blocker_next(&r, &blocker);) {
        struct jq_buf text = { 0 };
        jq_text_clean(&text, blocker.text);
        printf("%s: %.*s\n", state, JQ_VIEW_ARG(jq_buf_view(&text)));
        jq_buf_fini(&text);
    }
    return 0;
}

static int run_why(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct jq_answer answer;
    uint64_t id;

    (void)values;
    int status = jq_cli_id(cli, words, &id);
    if (status != 0)
        return status;
    const struct jq_msg msg = { .tag = JQ_MSG_WHY, .u.why = { .id = id } };
    const int error = jq_request(cli->client, &msg, jq_cli_request_ms(cli), &answer);
    if (error != 0 || answer.msg.tag != JQ_MSG_BECAUSE) {
        char what[48];
        snprintf(what, sizeof what, "why: job %" PRIu64, id);
        if (error == 0)
            jq_answer_fini(&answer);
        return jq_cli_fail_call(cli, error ? error : JOBQ_EPROTO, what);
    }
    status = print_why(cli, id, &answer.msg.u.because);
    jq_answer_fini(&answer);
    return status;
}

const struct jq_command jq_cmd_why = {
    .name = "why",
    .synopsis = "ID",
    .summary = "why a job has not started, or not ended",
    .notes =
        "Every reason there is now: paused or behind others, no worker or none with the tags,\n"
        "a full limit, who holds a mutex, which job it waits for, until when it is delayed.\n"
        "\n"
        "  jobq -o json why 17 | jq -r '.blockers[].kind'\n",
    .words_min = 1,
    .words_max = 1,
    .words_name = "ID",
    .run = run_why,
};
