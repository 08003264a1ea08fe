/* SPDX-License-Identifier: MIT
 *
 * job_options.c - checked before anything is sent, then written. Each list is written into a buffer
 * of its own first: a record holds its lists encoded. */
#include "client/job_options.h"

#include <string.h>

#include "client/names.h"
#include "proto/msg.h"

enum { LISTS = 7 };

struct writer {
    struct jq_job_options record;
    struct jq_buf lists[LISTS];
    unsigned used;
    struct jq_detail *detail;
};

#define FAIL(w, err, ...) (jq_detail_set((w)->detail, __VA_ARGS__), (err))

static bool copy_options(const struct jobq_job_options *from, struct jobq_job_options *ret)
{
    *ret = (struct jobq_job_options)JOBQ_JOB_OPTIONS_INIT;
    if (from->size < sizeof from->size)
        return false;
    memcpy(ret, from, from->size < sizeof *ret ? from->size : sizeof *ret);
    return true;
}

/* ---- lists ---- */

static enum jq_err check_list(struct writer *w, const char *what, const void *list, size_t count,
                              size_t max)
{
    if (count > max)
        return FAIL(w, JQ_EMSGSIZE, "%zu %s: %zu are the most", count, what, max);
    if (count && !list)
        return FAIL(w, JQ_EINVAL, "%zu %s at NULL", count, what);
    return JQ_OK;
}

static enum jq_err check_name(struct writer *w, const char *what, const char *name)
{
    if (name && jq_is_name(jq_view_str(name)))
        return JQ_OK;
    return FAIL(w, JQ_EINVAL, "%s \"%.200s\": a name is 1 to 128 of A-Z a-z 0-9 . _ -", what,
                name ? name : "");
}

static struct jq_buf *next_list(struct writer *w)
{
    return &w->lists[w->used++];
}

static enum jq_err write_endings(struct writer *w, const char *what,
                                 const struct jobq_ending *endings, size_t count,
                                 struct jq_records *ret)
{
    struct jq_buf *list = next_list(w);

    JQ_TRY(check_list(w, what, endings, count, JQ_ENDINGS_MAX));
    for (size_t i = 0; i < count; i++) {
        const struct jobq_ending *e = &endings[i];
        const bool is_signal = e->code == -1;
        if (is_signal ? e->signal < 1 || e->signal > 128 : e->signal != 0 || e->code < 0)
            return FAIL(w, JQ_EINVAL,
                        "%s: code %lld with signal %d: a code, or -1 and a signal from 1 to 128",
                        what, (long long)e->code, e->signal);
        const struct jq_exit_match match = { .code = e->code, .signal = (uint64_t)e->signal };
        jq_exit_match_write(list, &match);
    }
    *ret = jq_records_of((uint32_t)count, list);
    return JQ_OK;
}

static enum jq_err write_words(struct writer *w, const char *what, const char *const *words,
                               size_t count, size_t max, struct jq_records *ret)
{
    struct jq_buf *list = next_list(w);

    JQ_TRY(check_list(w, what, words, count, max));
    for (size_t i = 0; i < count; i++) {
        JQ_TRY(check_name(w, what, words[i]));
        jq_word_write(list, &(struct jq_word){ .name = jq_view_str(words[i]) });
    }
    *ret = jq_records_of((uint32_t)count, list);
    return JQ_OK;
}

static enum jq_err write_after(struct writer *w, const struct jobq_job_options *o)
{
    struct jq_buf *list = next_list(w);

    JQ_TRY(check_list(w, "dependencies", o->after, o->after_count, JQ_AFTER_MAX));
    for (size_t i = 0; i < o->after_count; i++) {
        const struct jobq_dependency *d = &o->after[i];
        if (d->id == 0)
            return FAIL(w, JQ_EINVAL, "dependencies: 0 is no job's id");
        if (d->kind < JOBQ_AFTER_OK || d->kind > JOBQ_AFTER_FAIL)
            return FAIL(w, JQ_EINVAL, "dependencies: unknown kind %d", d->kind);
        const struct jq_dependency edge = { .id = d->id, .kind = (uint64_t)d->kind };
        jq_dependency_write(list, &edge);
    }
    w->record.after = jq_records_of((uint32_t)o->after_count, list);
    return JQ_OK;
}

static enum jq_err write_limits(struct writer *w, const struct jobq_job_options *o)
{
    struct jq_buf *list = next_list(w);

    JQ_TRY(check_list(w, "limits", o->limits, o->limits_count, JQ_LIMITS_MAX));
    for (size_t i = 0; i < o->limits_count; i++) {
        JQ_TRY(check_name(w, "limit", o->limits[i].name));
        const struct jq_limit limit = { .name = jq_view_str(o->limits[i].name),
                                        .max = o->limits[i].max };
        jq_limit_write(list, &limit);
    }
    w->record.limits = jq_records_of((uint32_t)o->limits_count, list);
    return JQ_OK;
}

static enum jq_err write_labels(struct writer *w, const struct jobq_job_options *o)
{
    struct jq_buf *list = next_list(w);

    JQ_TRY(check_list(w, "labels", o->labels, o->labels_count, JQ_LABELS_MAX));
    for (size_t i = 0; i < o->labels_count; i++) {
        JQ_TRY(check_name(w, "label", o->labels[i].name));
        const struct jq_label label = {
            .name = jq_view_str(o->labels[i].name),
            .value = jq_view_str(o->labels[i].value ? o->labels[i].value : ""),
        };
        if (label.value.size > JQ_NAME_MAX)
            return FAIL(w, JQ_EMSGSIZE, "label %s: a value of %zu bytes: %d are the most",
                        o->labels[i].name, label.value.size, JQ_NAME_MAX);
        jq_label_write(list, &label);
    }
    w->record.labels = jq_records_of((uint32_t)o->labels_count, list);
    return JQ_OK;
}

static enum jq_err write_lists(struct writer *w, const struct jobq_job_options *o)
{
    JQ_TRY(write_endings(w, "retry_on", o->retry_on, o->retry_on_count, &w->record.retry_on));
    JQ_TRY(write_endings(w, "no_retry_on", o->no_retry_on, o->no_retry_on_count,
                         &w->record.no_retry_on));
    JQ_TRY(write_after(w, o));
    JQ_TRY(write_words(w, "needs", o->needs, o->needs_count, JQ_TAGS_MAX, &w->record.needs));
    JQ_TRY(write_limits(w, o));
    JQ_TRY(
        write_words(w, "mutexes", o->mutexes, o->mutexes_count, JQ_LIMITS_MAX, &w->record.mutexes));
    JQ_TRY(write_labels(w, o));
    for (unsigned i = 0; i < w->used; i++)
        if (!jq_buf_ok(&w->lists[i]))
            return FAIL(w, JQ_ENOMEM, "out of memory");
    return JQ_OK;
}

/* ---- single fields ---- */

static enum jq_err check_times(struct writer *w, const struct jobq_job_options *o)
{
    const struct {
        const char *name;
        int64_t value;
    } times[] = {
        { "delay_ms", o->delay_ms },
        { "run_at", o->run_at },
        { "expires_ms", o->expires_ms },
        { "backoff_ms", o->backoff_ms },
        { "backoff_max_ms", o->backoff_max_ms },
    };

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (times[i].value < 0)
            return FAIL(w, JQ_EINVAL, "%s: %lld is below 0", times[i].name,
                        (long long)times[i].value);
    return JQ_OK;
}

static enum jq_err check_fields(struct writer *w, const struct jobq_job_options *o)
{
    JQ_TRY(check_times(w, o));
    if (o->backoff_fixed != 0 && o->backoff_fixed != 1)
        return FAIL(w, JQ_EINVAL, "backoff_fixed: %d is neither 0 nor 1", o->backoff_fixed);
    if (o->unique)
        JQ_TRY(check_name(w, "unique", o->unique));
    if (o->unique_while & ~(JOBQ_WHILE_QUEUED | JOBQ_WHILE_RUNNING))
        return FAIL(w, JQ_EINVAL, "unknown flags in unique_while: 0x%llx",
                    (unsigned long long)o->unique_while);
    if (o->content_type && strlen(o->content_type) > JQ_NAME_MAX)
        return FAIL(w, JQ_EMSGSIZE, "a content type of %zu bytes: %d are the most",
                    strlen(o->content_type), JQ_NAME_MAX);
    return JQ_OK;
}

static void set_fields(struct writer *w, const struct jobq_job_options *o)
{
    struct jq_job_options *r = &w->record;

    r->delay_ms = (uint64_t)o->delay_ms;
    r->run_at = o->run_at;
    r->expires_ms = (uint64_t)o->expires_ms;
    r->attempts_max = o->attempts_max;
    r->backoff_ms = (uint64_t)o->backoff_ms;
    r->backoff_max_ms = (uint64_t)o->backoff_max_ms;
    r->backoff_kind = o->backoff_fixed ? JQ_BACKOFF_FIXED : JQ_BACKOFF_EXP;
    r->unique = jq_view_str(o->unique ? o->unique : "");
    r->unique_while = o->unique ? o->unique_while : 0;
    r->content_type = jq_view_str(o->content_type ? o->content_type : "");
}

/* ---- the record ---- */

/* As it is without options: such a job costs the broker nothing. */
static bool is_plain(struct jq_view encoded)
{
    uint8_t bytes[128];
    struct jq_buf buf = { .data = bytes, .capacity = sizeof bytes };

    jq_job_options_write(&buf, &(struct jq_job_options){ 0 });
    return buf.data == bytes && jq_view_equal(jq_buf_view(&buf), encoded);
}

static enum jq_err write_record(struct writer *w, struct jq_buf *out)
{
    const size_t before = out->size;

    jq_job_options_write(out, &w->record);
    if (!jq_buf_ok(out))
        return FAIL(w, JQ_ENOMEM, "out of memory");
    const size_t size = out->size - before;
    if (size > JQ_OPTIONS_MAX)
        return FAIL(w, JQ_EMSGSIZE, "options of %zu bytes: %d are the most", size, JQ_OPTIONS_MAX);
    if (is_plain(jq_view(out->data + before, size)))
        out->size = before;
    return JQ_OK;
}

enum jq_err jq_job_options_encode(const struct jobq_job_options *options, struct jq_buf *out,
                                  struct jq_detail *ret_detail)
{
    struct writer w = { .detail = ret_detail };
    struct jobq_job_options copy;

    if (!copy_options(options, &copy))
        return FAIL(&w, JQ_EINVAL, "options whose size is not set");
    enum jq_err err = check_fields(&w, &copy);
    if (err == JQ_OK)
        err = write_lists(&w, &copy);
    set_fields(&w, &copy);
    if (err == JQ_OK)
        err = write_record(&w, out);
    for (unsigned i = 0; i < w.used; i++)
        jq_buf_fini(&w.lists[i]);
    return err;
}
