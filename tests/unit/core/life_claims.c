/* SPDX-License-Identifier: MIT
 *
 * life_claims.c - see life_claims.h. */
#include "tests/unit/core/life_claims.h"

#include <stdio.h>

/* ---- options ---- */

void claim_after(struct claim_lists *lists, uint64_t id, enum jq_after kind)
{
    jq_dependency_write(&lists->after, &(struct jq_dependency){ .id = id, .kind = kind });
    lists->after_count++;
}

void claim_limit(struct claim_lists *lists, const char *name, uint32_t max)
{
    jq_limit_write(&lists->limits, &(struct jq_limit){ .name = jq_view_str(name), .max = max });
    lists->limit_count++;
}

void claim_mutex(struct claim_lists *lists, const char *name)
{
    jq_word_write(&lists->mutexes, &(struct jq_word){ .name = jq_view_str(name) });
    lists->mutex_count++;
}

void claim_retry_on(struct claim_lists *lists, int64_t code, uint64_t signal)
{
    jq_exit_match_write(&lists->retry_on,
                        &(struct jq_exit_match){ .code = code, .signal = signal });
    lists->retry_count++;
}

void claim_no_retry_on(struct claim_lists *lists, int64_t code, uint64_t signal)
{
    jq_exit_match_write(&lists->no_retry_on,
                        &(struct jq_exit_match){ .code = code, .signal = signal });
    lists->no_retry_count++;
}

void claim_need(struct claim_lists *lists, const char *tag)
{
    jq_word_write(&lists->needs, &(struct jq_word){ .name = jq_view_str(tag) });
    lists->need_count++;
}

void claim_label(struct claim_lists *lists, const char *name, const char *value)
{
    jq_label_write(&lists->labels,
                   &(struct jq_label){ .name = jq_view_str(name), .value = jq_view_str(value) });
    lists->label_count++;
}

void claim_lists_into(const struct claim_lists *lists, struct jq_job_options *options)
{
    options->after = jq_records_of(lists->after_count, &lists->after);
    options->limits = jq_records_of(lists->limit_count, &lists->limits);
    options->mutexes = jq_records_of(lists->mutex_count, &lists->mutexes);
    options->retry_on = jq_records_of(lists->retry_count, &lists->retry_on);
    options->no_retry_on = jq_records_of(lists->no_retry_count, &lists->no_retry_on);
    options->needs = jq_records_of(lists->need_count, &lists->needs);
    options->labels = jq_records_of(lists->label_count, &lists->labels);
}

void claim_lists_fini(struct claim_lists *lists)
{
    jq_buf_fini(&lists->after);
    jq_buf_fini(&lists->limits);
    jq_buf_fini(&lists->mutexes);
    jq_buf_fini(&lists->retry_on);
    jq_buf_fini(&lists->no_retry_on);
    jq_buf_fini(&lists->needs);
    jq_buf_fini(&lists->labels);
    *lists = (struct claim_lists){ 0 };
}

/* ---- submitting ---- */

/* The next request number of the client's session. */
static uint64_t next_number(const struct driver *d, uint64_t client)
{
    const struct jq_client *session = jq_peer_find(d->core, client)->client;
    const struct jq_dlink *last = jq_dlist_last(&session->requests);

    return last ? JQ_ELEMENT(last, struct jq_request, in_client)->number + 1
                : session->answered + 1;
}

void claim_ask(struct driver *d, uint64_t client, const char *queue, struct jq_job_options options,
               const struct claim_lists *lists)
{
    if (lists)
        claim_lists_into(lists, &options);
    driver_submit(d, client,
                  (struct driver_submit){
                      .number = next_number(d, client), .queue = queue, .options = &options });
}

struct jq_ack claim_submitted_ack(struct driver *d, uint64_t client)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_SUBMITTED);
    const struct jq_submitted *submitted = &frame.msg.u.submitted;
    struct jq_reader r = jq_records_reader(submitted->each);
    struct jq_ack ack = { .id = submitted->first_id, .created = 1 };

    assert_int_equal(submitted->count, 1);
    if (submitted->each.count)
        assert_true(jq_ack_next(&r, &ack));
    driver_frame_free(&frame);
    return ack;
}

uint64_t claim_submit(struct driver *d, uint64_t client, const char *queue,
                      struct jq_job_options options, const struct claim_lists *lists)
{
    claim_ask(d, client, queue, options, lists);
    driver_commit(d);
    return claim_submitted_ack(d, client).id;
}

uint64_t claim_submit_after(struct driver *d, uint64_t client, uint64_t parent, enum jq_after kind)
{
    struct claim_lists lists = { 0 };

    claim_after(&lists, parent, kind);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, &lists);
    claim_lists_fini(&lists);
    return id;
}

int64_t claim_refused(struct driver *d, uint64_t client, char *ret_text)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_ERROR);
    const int64_t error = frame.msg.u.error.error;

    snprintf(ret_text, JQ_REASON_MAX + 1, "%.*s", JQ_VIEW_ARG(frame.msg.u.error.text));
    driver_frame_free(&frame);
    return error;
}

/* ---- afterwards ---- */

static int64_t ask_of_one(struct driver *d, uint64_t client, uint64_t id, enum jq_tag tag)
{
    struct jq_buf refs = { 0 };
    struct jq_msg msg = { .tag = tag, .correlation = 96 };
    struct jq_ack ack;

    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = id });
    if (tag == JQ_MSG_RETRY)
        msg.u.retry.jobs = jq_records_of(1, &refs);
    else
        msg.u.remove.jobs = jq_records_of(1, &refs);
    driver_apply(d, client, &msg);
    jq_buf_fini(&refs);
    driver_commit(d);
    struct driver_frame frame =
        driver_expect(d, client, tag == JQ_MSG_RETRY ? JQ_MSG_RETRIED : JQ_MSG_REMOVED);
    struct jq_reader r = jq_records_reader(tag == JQ_MSG_RETRY ? frame.msg.u.retried.each
                                                               : frame.msg.u.removed.each);
    assert_true(jq_ack_next(&r, &ack));
    assert_int_equal(ack.id, id);
    driver_frame_free(&frame);
    return ack.error;
}

int64_t claim_retry(struct driver *d, uint64_t client, uint64_t id)
{
    return ask_of_one(d, client, id, JQ_MSG_RETRY);
}

int64_t claim_remove(struct driver *d, uint64_t client, uint64_t id)
{
    return ask_of_one(d, client, id, JQ_MSG_REMOVE);
}

void claim_run(struct driver *d, uint64_t worker, uint64_t id, int64_t code)
{
    const struct jq_held held = driver_grant(d, worker);

    assert_int_equal(held.id, id);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, code);
    driver_commit(d);
}

const struct jq_job *claim_job(const struct driver *d, uint64_t id)
{
    return jq_job_find(d->core, id);
}

const struct jq_queue *claim_queue(const struct driver *d, const char *name)
{
    return jq_queue_find(d->core, jq_view_str(name));
}

int64_t claim_info_error(struct driver *d, uint64_t client, uint64_t id)
{
    struct driver_frame frame;
    const struct jq_job_info info = claim_info_of(d, client, id, &frame);
    const int64_t error = info.error;

    driver_frame_free(&frame);
    return error;
}

void claim_reason_of(struct driver *d, uint64_t client, uint64_t id, char *ret_text)
{
    struct driver_frame frame;
    const struct jq_job_info info = claim_info_of(d, client, id, &frame);

    snprintf(ret_text, JQ_REASON_MAX + 1, "%.*s", JQ_VIEW_ARG(info.reason));
    driver_frame_free(&frame);
}

size_t claim_grants(struct driver *d, uint64_t worker, struct jq_held *ret, size_t max)
{
    size_t count = 0;

    while (driver_has(d, worker, JQ_MSG_GRANTS)) {
        struct driver_frame frame = driver_expect(d, worker, JQ_MSG_GRANTS);
        struct jq_reader r = jq_records_reader(frame.msg.u.grants.jobs);
        for (struct jq_grant grant; jq_grant_next(&r, &grant);) {
            assert_true(count < max);
            ret[count++] = (struct jq_held){ .id = grant.id, .fence = grant.fence };
        }
        driver_frame_free(&frame);
    }
    return count;
}

enum jq_job_state claim_now(const struct driver *d, uint64_t id)
{
    const struct jq_job *job = claim_job(d, id);

    assert_non_null(job);
    return job->state;
}

size_t claim_history(const struct jq_job *job, struct jq_attempt *ret)
{
    struct jq_reader r = jq_reader(jq_blob_view(jq_job_history(job)));
    size_t count = 0;

    while (r.at != r.end && jq_attempt_next(&r, &ret[count]))
        count++;
    return count;
}
