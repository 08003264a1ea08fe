/* SPDX-License-Identifier: MIT
 *
 * job_terms.c - the terms of a job and the attempts before its last one, for people. Pure. */
#include <inttypes.h>

#include "client/cli/ending.h"
#include "client/cli/job_list.h"
#include "client/cli/text.h"

static void head(struct jq_buf *out, const char *name)
{
    jq_text_add(out, "%-10s ", name);
}

static void line_ms(struct jq_buf *out, const char *name, uint64_t ms)
{
    if (!ms)
        return;
    head(out, name);
    jq_text_duration(out, (int64_t)ms);
    jq_text_add(out, "\n");
}

static void line_words(struct jq_buf *out, const char *name, struct jq_records list)
{
    struct jq_word word;
    const char *comma = "";

    if (!list.count)
        return;
    head(out, name);
    for (struct jq_reader r = jq_records_reader(list); jq_word_next(&r, &word); comma = ",") {
        jq_text_add(out, "%s", comma);
        jq_text_clean(out, word.name);
    }
    jq_text_add(out, "\n");
}

static void line_limits(struct jq_buf *out, struct jq_records list)
{
    struct jq_limit limit;

    for (struct jq_reader r = jq_records_reader(list); jq_limit_next(&r, &limit);) {
        head(out, "limit");
        jq_text_clean(out, limit.name);
        if (limit.max)
            jq_text_add(out, "=%" PRIu64, limit.max);
        jq_text_add(out, "\n");
    }
}

static void line_labels(struct jq_buf *out, struct jq_records list)
{
    struct jq_label label;

    for (struct jq_reader r = jq_records_reader(list); jq_label_next(&r, &label);) {
        head(out, "label");
        jq_text_clean(out, label.name);
        jq_text_add(out, "=");
        jq_text_clean(out, label.value);
        jq_text_add(out, "\n");
    }
}

static void line_edges(struct jq_buf *out, struct jq_records list)
{
    static const char *const kinds[] = { "after", "after any", "after fail" };
    struct jq_dependency edge;

    for (struct jq_reader r = jq_records_reader(list); jq_dependency_next(&r, &edge);) {
        head(out, kinds[edge.kind < 3 ? edge.kind : 1]);
        jq_text_add(out, "%" PRIu64 "\n", edge.id);
    }
}

static void line_endings(struct jq_buf *out, const char *name, struct jq_records list)
{
    struct jq_exit_match match;
    const char *comma = "";

    if (!list.count)
        return;
    head(out, name);
    for (struct jq_reader r = jq_records_reader(list); jq_exit_match_next(&r, &match);
         comma = ",") {
        jq_text_add(out, "%s", comma);
        if (match.code == -1) {
            jq_text_add(out, "SIG");
            jq_text_signal(out, match.signal);
        } else {
            jq_text_add(out, "%" PRId64, match.code);
        }
    }
    jq_text_add(out, "\n");
}

static void line_backoff(struct jq_buf *out, const struct jq_job_options *options)
{
    const bool fixed = options->backoff_kind == JQ_BACKOFF_FIXED;

    if (!options->backoff_ms)
        return;
    head(out, "backoff");
    jq_text_add(out, fixed ? "fixed:" : "exp:");
    jq_text_duration(out, (int64_t)options->backoff_ms);
    if (!fixed && options->backoff_max_ms) {
        jq_text_add(out, "..");
        jq_text_duration(out, (int64_t)options->backoff_max_ms);
    }
    jq_text_add(out, "\n");
}

static void line_unique(struct jq_buf *out, const struct jq_job_options *options)
{
    if (!options->unique.size)
        return;
    head(out, "unique");
    jq_text_clean(out, options->unique);
    if (options->unique_while == JQ_WHILE_QUEUED || options->unique_while == JQ_WHILE_RUNNING)
        jq_text_add(out, " while %s",
                    options->unique_while == JQ_WHILE_QUEUED ? "queued" : "running");
    jq_text_add(out, "\n");
}

void jq_job_terms_text(struct jq_buf *out, struct jq_view encoded)
{
    struct jq_reader r = jq_reader(encoded);
    struct jq_job_options options;

    if (!encoded.size || jq_job_options_read(&r, &options) != JQ_OK)
        return;
    line_labels(out, options.labels);
    line_ms(out, "delay", options.delay_ms);
    line_backoff(out, &options);
    line_endings(out, "retry on", options.retry_on);
    line_endings(out, "but not", options.no_retry_on);
    line_unique(out, &options);
    line_edges(out, options.after);
    line_words(out, "needs", options.needs);
    line_limits(out, options.limits);
    line_words(out, "mutexes", options.mutexes);
}

/* "attempt 1 on w1, 2024-...Z for 3.1s: exit code 7" */
void jq_job_history_text(struct jq_buf *out, struct jq_records history)
{
    struct jq_attempt attempt;

    for (struct jq_reader r = jq_records_reader(history); jq_attempt_next(&r, &attempt);) {
        const struct jq_ending ending = { JQ_FAILED, attempt.code, attempt.signal, attempt.reason };
        head(out, "before");
        jq_text_add(out, "attempt %" PRIu64, attempt.attempt);
        if (attempt.worker.size) {
            jq_text_add(out, " on ");
            jq_text_clean(out, attempt.worker);
        }
        if (attempt.started_at > 0) {
            jq_text_add(out, ", ");
            jq_text_time(out, attempt.started_at);
            jq_text_add(out, " for ");
            jq_text_duration(out, (attempt.ended_at - attempt.started_at) / 1000000);
        }
        jq_text_add(out, ": ");
        jq_ending_text(out, &ending);
        jq_text_add(out, "\n");
    }
}
