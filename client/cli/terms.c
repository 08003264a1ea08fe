/* SPDX-License-Identifier: MIT
 *
 * terms.c - see terms.h. Pure but for jq_terms_make, which is in terms_make.c. */
#include "client/cli/terms.h"

#include <string.h>

#include "client/cli/parse.h"
#include "proto/base/alloc.h"

struct reading {
    const struct jq_terms_flags *flags;
    struct jq_terms *terms;
    struct jq_detail *detail;
};

static enum jq_err refuse(const struct reading *r, const char *text)
{
    jq_detail_set(r->detail, "%s", text);
    return JQ_EINVAL;
}

/* ---- copies of words, cut to strings ---- */

static size_t bytes_of(const struct jq_words *words)
{
    size_t size = 0;

    for (size_t i = 0; i < words->count; i++)
        size += strlen(words->list[i]) + 2; /* cut in two */
    return size;
}

static enum jq_err make_room(const struct reading *r)
{
    const struct jq_terms_flags *flags = r->flags;
    const size_t size = bytes_of(&flags->labels) + bytes_of(&flags->needs) +
                        bytes_of(&flags->limits) + bytes_of(&flags->mutexes);

    r->terms->text = jq_alloc(size + 1);
    return r->terms->text ? JQ_OK : JQ_ENOMEM;
}

static const char *copy(struct jq_terms *terms, const char *text, size_t size)
{
    char *to = terms->text + terms->text_size;

    memcpy(to, text, size);
    to[size] = '\0';
    terms->text_size += size + 1;
    return to;
}

/* ---- lists ---- */

static enum jq_err read_names(const struct reading *r, const struct jq_words *words,
                              const char *flag, const char **list, size_t max, size_t *count)
{
    for (size_t i = 0; i < words->count; i++) {
        for (const char *at = words->list[i];; at++) {
            const size_t size = strcspn(at, ", ");
            if (size == 0)
                return refuse(r, "a name is missing in a list of names");
            if (*count == max) {
                jq_detail_set(r->detail, "--%s: more than %zu names", flag, max);
                return JQ_EINVAL;
            }
            list[(*count)++] = copy(r->terms, at, size);
            at += size;
            if (!*at)
                break;
        }
    }
    return JQ_OK;
}

static enum jq_err read_limits(const struct reading *r)
{
    const struct jq_words *words = &r->flags->limits;

    if (words->count > JQ_LIMITS_MAX)
        return refuse(r, "--limit: too many of them");
    for (size_t i = 0; i < words->count; i++) {
        struct jobq_limit *limit = &r->terms->limits[i];
        struct jq_view name;
        JQ_TRY(jq_parse_limit(words->list[i], &name, &limit->max, r->detail));
        limit->name = copy(r->terms, name.data, name.size);
    }
    r->terms->options.limits_count = words->count;
    return JQ_OK;
}

static enum jq_err read_labels(const struct reading *r)
{
    const struct jq_words *words = &r->flags->labels;

    if (words->count > JQ_LABELS_MAX)
        return refuse(r, "--label: too many of them");
    for (size_t i = 0; i < words->count; i++) {
        const char *word = words->list[i], *equal = strchr(word, '=');
        if (!equal || equal == word) {
            jq_detail_set(r->detail, "--label: '%.40s' is not NAME=VALUE", word);
            return JQ_EINVAL;
        }
        r->terms->labels[i] = (struct jobq_label){
            .name = copy(r->terms, word, (size_t)(equal - word)),
            .value = copy(r->terms, equal + 1, strlen(equal + 1)),
        };
    }
    r->terms->options.labels_count = words->count;
    return JQ_OK;
}

static enum jq_err read_endings(const struct reading *r, const struct jq_words *words,
                                struct jobq_ending *list, size_t *count)
{
    for (size_t i = 0; i < words->count; i++)
        JQ_TRY(jq_parse_endings(words->list[i], list, JQ_ENDINGS_MAX, count, r->detail));
    return JQ_OK;
}

static enum jq_err add_edges(const struct reading *r, const struct jq_ids *ids, int kind)
{
    struct jobq_job_options *options = &r->terms->options;

    for (size_t i = 0; i < ids->count; i++) {
        if (options->after_count == JQ_AFTER_MAX) {
            jq_detail_set(r->detail, "more than %d jobs to wait for", JQ_AFTER_MAX);
            return JQ_EINVAL;
        }
        r->terms->after[options->after_count++] =
            (struct jobq_dependency){ .id = ids->list[i], .kind = kind };
    }
    r->terms->has_last |= ids->has_last;
    return JQ_OK;
}

static enum jq_err read_edges(const struct reading *r, const struct jq_words *words, int kind)
{
    struct jq_ids ids = { 0 };
    enum jq_err err = JQ_OK;

    for (size_t i = 0; i < words->count && err == JQ_OK; i++)
        err = jq_ids_parse_text(&ids, words->list[i], strlen(words->list[i]), r->detail);
    if (err == JQ_OK)
        err = jq_ids_unique(&ids);
    if (err == JQ_OK)
        err = add_edges(r, &ids, kind);
    jq_ids_fini(&ids);
    return err;
}

/* ---- the rest ---- */

static enum jq_err read_when(const struct reading *r, jq_ns now)
{
    const struct jq_terms_flags *flags = r->flags;
    struct jobq_job_options *options = &r->terms->options;

    if (flags->at && flags->delay_ms >= 0)
        return refuse(r, "--at and --delay exclude each other");
    if (flags->expires_ms && flags->delay_ms >= flags->expires_ms)
        return refuse(r, "--delay is not shorter than --expires: it would never start");
    if (flags->at)
        JQ_TRY(jq_parse_time(flags->at, now, &options->run_at, r->detail));
    if (flags->delay_ms > 0)
        options->delay_ms = flags->delay_ms;
    options->expires_ms = flags->expires_ms;
    return JQ_OK;
}

static enum jq_err read_retries(const struct reading *r)
{
    const struct jq_terms_flags *flags = r->flags;
    struct jobq_job_options *options = &r->terms->options;
    struct jq_backoff_times times;

    if (flags->retries >= 0)
        options->attempts_max = (uint32_t)flags->retries + 1;
    if (flags->backoff) {
        JQ_TRY(jq_parse_backoff(flags->backoff, &times, r->detail));
        options->backoff_fixed = times.fixed;
        options->backoff_ms = times.ms;
        options->backoff_max_ms = times.max_ms;
    }
    JQ_TRY(read_endings(r, &flags->retry_on, r->terms->retry_on, &options->retry_on_count));
    return read_endings(r, &flags->no_retry_on, r->terms->no_retry_on, &options->no_retry_on_count);
}

static enum jq_err read_unique(const struct reading *r)
{
    static const struct {
        const char *word;
        uint64_t bits;
    } table[] = {
        { "queued", JOBQ_WHILE_QUEUED },
        { "running", JOBQ_WHILE_RUNNING },
        { "both", JOBQ_WHILE_QUEUED | JOBQ_WHILE_RUNNING },
    };
    const char *word = r->flags->unique_while;

    r->terms->options.unique = r->flags->unique;
    if (!word)
        return JQ_OK;
    if (!r->flags->unique)
        return refuse(r, "--while needs --unique");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(word, table[i].word) != 0)
            continue;
        r->terms->options.unique_while = table[i].bits;
        return JQ_OK;
    }
    return refuse(r, "--while: expected queued, running or both");
}

static enum jq_err read_all(const struct reading *r, jq_ns now)
{
    const struct jq_terms_flags *flags = r->flags;
    struct jq_terms *terms = r->terms;

    if (flags->nowait && flags->put_timeout_ms >= 0)
        return refuse(r, "--nowait and --put-timeout exclude each other");
    JQ_TRY(make_room(r));
    JQ_TRY(read_when(r, now));
    JQ_TRY(read_retries(r));
    JQ_TRY(read_unique(r));
    JQ_TRY(read_edges(r, &flags->after, JOBQ_AFTER_OK));
    JQ_TRY(read_edges(r, &flags->after_any, JOBQ_AFTER_ANY));
    JQ_TRY(read_edges(r, &flags->after_fail, JOBQ_AFTER_FAIL));
    JQ_TRY(read_names(r, &flags->needs, "need", terms->needs, JQ_TAGS_MAX,
                      &terms->options.needs_count));
    JQ_TRY(read_names(r, &flags->mutexes, "mutex", terms->mutexes, JQ_LIMITS_MAX,
                      &terms->options.mutexes_count));
    JQ_TRY(read_limits(r));
    return read_labels(r);
}

/* Lists that are empty are NULL, so that "nothing was said" is all zero. */
static void point_to_lists(struct jq_terms *terms)
{
    struct jobq_job_options *o = &terms->options;
    static const struct jobq_job_options plain = JOBQ_JOB_OPTIONS_INIT;

    terms->is_plain = memcmp(o, &plain, sizeof plain) == 0;
    o->retry_on = terms->retry_on;
    o->no_retry_on = terms->no_retry_on;
    o->after = terms->after;
    o->needs = terms->needs;
    o->limits = terms->limits;
    o->mutexes = terms->mutexes;
    o->labels = terms->labels;
}

enum jq_err jq_terms_read(const struct jq_terms_flags *flags, jq_ns now,
                          struct jq_terms **ret_terms, struct jq_detail *ret_detail)
{
    struct jq_terms *terms = jq_alloc_zero(1, sizeof *terms);
    const struct reading r = { .flags = flags, .terms = terms, .detail = ret_detail };

    if (!terms)
        return JQ_ENOMEM;
    terms->options.size = sizeof terms->options;
    const enum jq_err err = read_all(&r, now);
    if (err != JQ_OK) {
        jq_terms_free(terms);
        return err;
    }
    point_to_lists(terms);
    *ret_terms = terms;
    return JQ_OK;
}

void jq_terms_free(struct jq_terms *terms)
{
    if (terms)
        jq_free(terms->text);
    jq_free(terms);
}

int64_t jq_terms_put_timeout(const struct jq_terms_flags *flags)
{
    return flags->nowait ? 0 : flags->put_timeout_ms;
}
