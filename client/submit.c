/* SPDX-License-Identifier: MIT
 *
 * submit.c - jobs go in: checked before anything is sent, started, waited for. */
#include <string.h>

#include "client/client.h"
#include "client/job_options.h"
#include "client/names.h"
#include "proto/base/alloc.h"

#define JOB_FLAGS (JQ_JOB_FLAGS | JOBQ_JOB_STRICT)

/* ---- checking ---- */

static bool copy_job(const struct jobq_job *from, struct jobq_job *ret)
{
    if (!from || from->size < offsetof(struct jobq_job, queue))
        return false;
    if (from->size >= sizeof *ret) {
        *ret = *from;
        return true;
    }
    *ret = (struct jobq_job)JOBQ_JOB_INIT;
    memcpy(ret, from, from->size);
    return true;
}

static struct jq_view view_or(const char *text, const char *otherwise)
{
    return jq_view_str(text ? text : otherwise);
}

static int check_names(struct jobq_client *client, const struct jq_start *start, bool has_key)
{
    static const char *const rule = "1 to 128 of A-Z a-z 0-9 . _ -";

    if (!jq_is_name(start->queue))
        return jq_client_fail(client, JOBQ_EINVAL, "queue \"%.*s\": a name is %s",
                              JQ_VIEW_ARG(start->queue), rule);
    if (!jq_is_name(start->spec.handler))
        return jq_client_fail(client, JOBQ_EINVAL, "handler \"%.*s\": a name is %s",
                              JQ_VIEW_ARG(start->spec.handler), rule);
    if (has_key && !jq_is_name(start->spec.key))
        return jq_client_fail(client, JOBQ_EINVAL, "key \"%.*s\": a key is %s",
                              JQ_VIEW_ARG(start->spec.key), rule);
    return 0;
}

static int check_sizes(struct jobq_client *client, const struct jobq_job *job,
                       const struct jq_start *start)
{
    if (job->payload_size > JQ_PAYLOAD_MAX)
        return jq_client_fail(client, JOBQ_EMSGSIZE, "a payload of %zu bytes: %d are the most",
                              job->payload_size, JQ_PAYLOAD_MAX);
    if (start->spec.title.size > JQ_TITLE_MAX)
        return jq_client_fail(client, JOBQ_EMSGSIZE, "a title of %zu bytes: %d are the most",
                              start->spec.title.size, JQ_TITLE_MAX);
    if (!job->payload && job->payload_size)
        return jq_client_fail(client, JOBQ_EINVAL, "a payload of %zu bytes at NULL",
                              job->payload_size);
    if (job->flags & ~JOB_FLAGS)
        return jq_client_fail(client, JOBQ_EINVAL, "unknown job flags: 0x%llx",
                              (unsigned long long)(job->flags & ~JOB_FLAGS));
    return 0;
}

/* How long a full queue may keep it, and its options, encoded into `options`. */
static int set_options(struct jobq_client *client, const struct jobq_job *job,
                       struct jq_buf *options, struct jq_start *start)
{
    struct jq_detail detail;

    start->put_timeout_ms = job->put_timeout_ms;
    if (!jq_client_until(job->put_timeout_ms, &start->put_until))
        return jq_client_fail(client, JOBQ_EINVAL, "a put timeout below -1");
    if (job->put_timeout_ms == 0)
        start->put_until = 0;
    jq_buf_clear(options);
    if (!job->options)
        return 0;
    const enum jq_err err = jq_job_options_encode(job->options, options, &detail);
    if (err != JQ_OK)
        return jq_client_fail(client, err, "%s", detail.text);
    start->spec.options = jq_buf_view(options);
    return 0;
}

/* What is to be sent for a job; `options` holds a part of it. An empty title stands for the
 * handler's name. */
static int prepare(struct jobq_client *client, const struct jobq_job *from, struct jq_buf *options,
                   struct jq_start *ret)
{
    struct jobq_job job;

    if (!copy_job(from, &job))
        return jq_client_fail(client, JOBQ_EINVAL, "no job, or one whose size is not set");
    *ret = (struct jq_start){
        .queue = view_or(job.queue, "default"),
        .spec = {
            .handler = view_or(job.handler, "exec"),
            .payload = jq_view(job.payload, job.payload_size),
            .priority = job.priority,
            .title = view_or(job.title, ""),
            .flags = job.flags & JQ_JOB_FLAGS,
            .key = view_or(job.key, ""),
        },
    };
    if (job.flags & JOBQ_JOB_STRICT)
        ret->flags |= JQ_SUBMIT_STRICT;
    int rc = check_names(client, ret, job.key != NULL);
    if (rc == 0)
        rc = check_sizes(client, &job, ret);
    return rc ? rc : set_options(client, &job, options, ret);
}

/* ---- starting ---- */

static bool has_room(void *arg)
{
    const struct jobq_client *client = arg;

    return jq_pending_has_room(&client->pending);
}

int jq_client_start(struct jobq_client *client, const struct jq_start *what,
                    struct jobq_future *future)
{
    struct jq_pending *p = &client->pending;

    if (!jq_pending_has_room(p)) {
        const int rc = jq_client_await_patiently(client, has_room, client);
        if (rc != 0)
            return rc;
    }
    const uint64_t number = p->number;
    if (jq_pending_start(p, what, future) != JQ_OK)
        return jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0));
    if (p->number != number) /* a frame is full */
        jq_client_progress(client);
    else
        jq_client_notify(client);
    return 0;
}

struct jobq_future *jq_client_new_future(struct jobq_client *client)
{
    struct jobq_future *future = jq_pending_new_future(&client->pending);

    if (future)
        future->client = client;
    else
        jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0));
    return future;
}

/* Whoever has a future asks for its end, too. Not of items: they may wait for ever. */
static bool wants_results(const struct jq_start *what)
{
    return !jq_view_equal(what->spec.handler, jq_view_str(JQ_HANDLER_ITEM));
}

/* Lock held. What was prepared, with a new future when one is wanted. */
static int start_prepared(struct jobq_client *client, const struct jq_start *what,
                          struct jobq_future **ret_future)
{
    struct jobq_future *future = NULL;

    if (ret_future && !(future = jq_client_new_future(client)))
        return JOBQ_ENOMEM;
    const int rc = jq_client_start(client, what, future);
    if (rc != 0 && future)
        jq_pending_free_future(&client->pending, future);
    if (rc == 0 && ret_future)
        *ret_future = future;
    return rc;
}

/* Lock held. */
static int start_one(struct jobq_client *client, const struct jobq_job *job, uint64_t flags,
                     bool is_direct, bool is_kept, struct jobq_future **ret_future)
{
    struct jq_buf options = { 0 };
    struct jq_start what;

    int rc = prepare(client, job, &options, &what);
    if (rc == 0) {
        what.flags |= flags;
        what.is_direct = is_direct;
        what.wants_results = is_kept && wants_results(&what);
        rc = start_prepared(client, &what, ret_future);
    }
    jq_buf_fini(&options);
    return rc;
}

int jobq_submit_start(struct jobq_client *client, const struct jobq_job *job,
                      struct jobq_future **ret_future)
{
    const int rc = jq_client_enter(client);

    return rc ? rc
              : jq_client_leave(client,
                                start_one(client, job, 0, false, ret_future != NULL, ret_future));
}

int jobq_call(struct jobq_client *client, const struct jobq_job *job,
              struct jobq_future **ret_future)
{
    const uint64_t flags = ret_future ? JQ_SUBMIT_CALL : 0; /* nobody to give the result to */
    const int rc = jq_client_enter(client);

    return rc ? rc
              : jq_client_leave(
                    client, start_one(client, job, flags, false, ret_future != NULL, ret_future));
}

/* ---- one, and waiting for it ---- */

static bool is_answered(void *arg)
{
    const struct jobq_future *future = arg;

    return future->id != 0 || future->is_ended;
}

static int submit(struct jobq_client *client, const struct jobq_job *job,
                  struct jobq_future **ret_future)
{
    struct jobq_future *future = NULL;

    int rc = start_one(client, job, 0, true, ret_future != NULL, &future);
    if (rc != 0)
        return rc;
    rc = jq_client_await_patiently(client, is_answered, future);
    if (rc == 0 && future->is_ended)
        rc = jq_client_fail_view(client, future->error, future->record);
    if (rc != 0 || !ret_future) {
        /* The job stays on its way; its error, if any, is the next flush's to tell. */
        if (future->ask)
            future->ask->u.submit.started++;
        jq_pending_free_future(&client->pending, future);
        return rc;
    }
    *ret_future = future;
    return 0;
}

int jobq_submit(struct jobq_client *client, const struct jobq_job *job,
                struct jobq_future **ret_future)
{
    const int rc = jq_client_enter(client);

    return rc ? rc : jq_client_leave(client, submit(client, job, ret_future));
}

/* ---- many ---- */

static const struct jobq_job *job_at(const struct jobq_job *jobs, size_t index)
{
    /* An array of a caller whose struct is older has smaller steps. */
    return (const struct jobq_job *)(const void *)((const char *)jobs + index * jobs->size);
}

static int check_many(struct jobq_client *client, const struct jobq_job *jobs, size_t count)
{
    struct jq_buf options = { 0 };
    struct jq_start what;
    int rc = 0;

    if (count && (!jobs || jobs->size < offsetof(struct jobq_job, queue)))
        return jq_client_fail(client, JOBQ_EINVAL, "no jobs, or jobs whose size is not set");
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct jobq_job *job = job_at(jobs, i);
        rc = job->size == jobs->size
                 ? prepare(client, job, &options, &what)
                 : jq_client_fail(client, JOBQ_EINVAL, "job %zu has another size than job 0", i);
    }
    jq_buf_fini(&options);
    return rc;
}

/* The first `done` were started, so the call has succeeded: the others fail by their futures and
 * the next flush. */
static int fail_rest(struct jobq_client *client, int err, size_t done, size_t count,
                     struct jobq_future **futures)
{
    struct jq_pending *p = &client->pending;
    const struct jq_view text = jq_view_str(jobq_strerror(err));

    if (done > 0)
        jq_pending_note_error(p, (enum jq_err)err, text);
    for (size_t i = done; futures && i < count; i++) {
        if (done > 0)
            jq_pending_fail_future(p, futures[i], (enum jq_err)err, NULL, text);
        else
            jq_pending_free_future(p, futures[i]);
    }
    return done > 0 ? 0 : err;
}

static int start_many(struct jobq_client *client, const struct jobq_job *jobs, size_t count,
                      struct jobq_future **futures)
{
    struct jq_buf options = { 0 };
    struct jq_start what;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = prepare(client, job_at(jobs, i), &options, &what);
        what.wants_results = rc == 0 && futures && wants_results(&what);
        if (rc == 0)
            rc = jq_client_start(client, &what, futures ? futures[i] : NULL);
        if (rc != 0)
            rc = fail_rest(client, rc, i, count, futures), count = i;
    }
    jq_buf_fini(&options);
    return rc;
}

/* All at once: later there may be no memory for those of jobs that could not be started. */
static int take_futures(struct jobq_client *client, size_t count, struct jobq_future **futures)
{
    for (size_t i = 0; i < count; i++) {
        futures[i] = jq_client_new_future(client);
        if (futures[i])
            continue;
        while (i-- > 0)
            jq_pending_free_future(&client->pending, futures[i]);
        return JOBQ_ENOMEM;
    }
    return 0;
}

static int submit_many(struct jobq_client *client, const struct jobq_job *jobs, size_t count,
                       struct jobq_future **ret_futures)
{
    int rc = check_many(client, jobs, count);

    if (rc != 0 || count == 0)
        return rc;
    if (!ret_futures)
        return start_many(client, jobs, count, NULL);
    struct jobq_future **futures = jq_alloc_zero(count, sizeof *futures);
    if (!futures)
        return jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0));
    rc = take_futures(client, count, futures);
    if (rc == 0)
        rc = start_many(client, jobs, count, futures);
    if (rc == 0)
        memcpy(ret_futures, futures, count * sizeof(struct jobq_future *));
    jq_free(futures);
    return rc;
}

int jobq_submit_many(struct jobq_client *client, const struct jobq_job *jobs, size_t count,
                     struct jobq_future **ret_futures)
{
    const int rc = jq_client_enter(client);

    return rc ? rc : jq_client_leave(client, submit_many(client, jobs, count, ret_futures));
}

/* ---- flushing ---- */

struct flushing {
    const struct jq_pending *pending;
    uint64_t number;  /* of the last SUBMIT */
    uint64_t leaving; /* of the last item that is done */
};

static bool is_flushed(void *arg)
{
    const struct flushing *f = arg;

    return jq_pending_is_flushed(f->pending, f->number) &&
           jq_pending_have_left(f->pending, f->leaving);
}

static int flush(struct jobq_client *client, jq_ms until)
{
    struct jq_pending *p = &client->pending;
    struct jq_detail text;

    jq_submit_close_batches(p);
    struct flushing f = { .pending = p, .number = p->number, .leaving = p->leaving_number };
    int rc = jq_client_await(client, is_flushed, &f, until);
    if (rc == JOBQ_ETIMEDOUT)
        return jq_client_timed_out(client);
    if (rc != 0)
        return rc;
    rc = jq_pending_take_flush_error(p, &text);
    return rc ? jq_client_fail(client, rc, "%s", text.text) : 0;
}

int jobq_flush(struct jobq_client *client, int64_t timeout_ms)
{
    jq_ms until;
    const int rc = jq_client_enter(client);

    if (rc != 0)
        return rc;
    if (!jq_client_until(timeout_ms, &until))
        return jq_client_leave(client, JOBQ_EINVAL);
    return jq_client_leave(client, flush(client, until));
}
