/* SPDX-License-Identifier: MIT
 *
 * options.c - what a job_options record may say. A refusal names the field. */
#include "broker/core/parts.h"

/* A hundred years: the sum with any time of the wall clock fits its 64 bits of nanoseconds. */
static const uint64_t MS_MAX = UINT64_C(36525) * 24 * 3600 * 1000;

enum jq_err jq_options_read(struct jq_view bytes, struct jq_job_options *ret)
{
    struct jq_reader r = jq_reader(bytes);

    JQ_TRY(jq_wire_check(bytes));
    JQ_TRY(jq_job_options_read(&r, ret));
    return r.at == r.end ? JQ_OK : JQ_EPROTO;
}

static const char *times_fault(const struct jq_job_options *o)
{
    if (o->delay_ms > MS_MAX)
        return "delay_ms: a delay is at most 100 years";
    if (o->run_at < 0 || (uint64_t)o->run_at / 1000000 > 2 * MS_MAX)
        return "run_at: a time is in ns since 1970, and before 2170";
    if (o->expires_ms > MS_MAX)
        return "expires_ms: a job expires in at most 100 years";
    if (o->backoff_ms > MS_MAX)
        return "backoff_ms: a backoff is at most 100 years";
    if (o->backoff_max_ms > MS_MAX)
        return "backoff_max_ms: a backoff is at most 100 years";
    return NULL;
}

static bool endings_valid(struct jq_records list)
{
    struct jq_exit_match match;

    for (struct jq_reader r = jq_records_reader(list); jq_exit_match_next(&r, &match);)
        if (match.code < -1 || (match.code == -1) != (match.signal != 0))
            return false;
    return true;
}

static bool words_valid(struct jq_records list)
{
    struct jq_word word;

    for (struct jq_reader r = jq_records_reader(list); jq_word_next(&r, &word);)
        if (!jq_name_valid(word.name))
            return false;
    return true;
}

static bool word_twice(struct jq_records list)
{
    struct jq_word a, b;

    for (struct jq_reader r = jq_records_reader(list); jq_word_next(&r, &a);)
        for (struct jq_reader rest = r; jq_word_next(&rest, &b);)
            if (jq_view_equal(a.name, b.name))
                return true;
    return false;
}

static const char *limits_fault(const struct jq_job_options *o)
{
    struct jq_limit a, b;

    for (struct jq_reader r = jq_records_reader(o->limits); jq_limit_next(&r, &a);) {
        if (!jq_name_valid(a.name))
            return "limits: a limit's name is 1 to 128 of A-Z a-z 0-9 . _ -";
        for (struct jq_reader rest = r; jq_limit_next(&rest, &b);)
            if (jq_view_equal(a.name, b.name))
                return "limits: one of them is named twice";
    }
    if (!words_valid(o->mutexes))
        return "mutexes: a mutex' name is 1 to 128 of A-Z a-z 0-9 . _ -";
    if (word_twice(o->mutexes))
        return "mutexes: one of them is named twice";
    return NULL;
}

static const char *names_fault(const struct jq_job_options *o)
{
    struct jq_label label;

    if (o->unique.size && !jq_name_valid(o->unique))
        return "unique: a unique name is 1 to 128 of A-Z a-z 0-9 . _ -";
    if (o->unique_while && !o->unique.size)
        return "unique_while: there is no unique name";
    if (!words_valid(o->needs))
        return "needs: a tag is 1 to 128 of A-Z a-z 0-9 . _ -";
    for (struct jq_reader r = jq_records_reader(o->labels); jq_label_next(&r, &label);)
        if (!jq_name_valid(label.name))
            return "labels: a label's name is 1 to 128 of A-Z a-z 0-9 . _ -";
    return limits_fault(o);
}

/* Items are taken, not run. */
static const char *item_fault(const struct jq_job_options *o)
{
    if (o->needs.count)
        return "needs: no worker runs an item";
    if (o->limits.count)
        return "limits: no worker runs an item";
    if (o->mutexes.count)
        return "mutexes: no worker runs an item";
    if (o->attempts_max || o->retry_on.count || o->no_retry_on.count)
        return "attempts_max, retry_on: an item does not fail, its taker gives it back";
    return NULL;
}

const char *jq_options_fault(const struct jq_job_options *o, struct jq_view handler)
{
    const char *text = times_fault(o);

    if (!text && !endings_valid(o->retry_on))
        text = "retry_on: each is a code from 0, or code -1 and a signal from 1";
    if (!text && !endings_valid(o->no_retry_on))
        text = "no_retry_on: each is a code from 0, or code -1 and a signal from 1";
    if (!text)
        text = names_fault(o);
    if (!text && jq_view_equal(handler, jq_view_str(JQ_HANDLER_ITEM)))
        text = item_fault(o);
    return text;
}
