/* SPDX-License-Identifier: MIT
 *
 * random_world.c - see random_world.h: what peers read, and T1 to T5 of broker/STATES.md in it. */
#include "tests/unit/core/random_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

const char *const world_keys[KEYS] = { "a", "b", "c", "d", "e", "f" };

bool one_in(struct world *w, uint64_t n)
{
    return jq_rng_below(&w->rng, n) == 0;
}

struct job *job_of(struct world *w, uint64_t id)
{
    assert_true(id > 0 && id < JOBS_MAX);
    return &w->jobs[id];
}

/* T3: whoever tells it, and however often, a job has ended in one way. */
static void ended(struct job *job, uint64_t state)
{
    assert_true(jq_state_is_terminal((enum jq_job_state)state));
    if (job->told)
        assert_int_equal(job->state, state);
    job->told = true;
    job->acknowledged = true;
    job->state = state;
}

/* Only what was to be discarded, and only after it has succeeded. */
static void gone(struct job *job)
{
    assert_true(!job->known || (job->flags & JQ_JOB_DISCARD));
    assert_true(!job->told || job->state == JQ_SUCCEEDED);
    job->gone = true;
}

static void submitted_by(struct job *job, const struct request *request)
{
    job->known = true;
    job->flags = request->job_flags;
}

/* ---- clients ---- */

static void read_keyed(struct world *w, struct request *request, const struct jq_msg *msg)
{
    struct jq_reader r = jq_records_reader(msg->u.submitted.each);
    struct jq_ack ack;
    size_t key = 0;

    assert_int_equal(msg->u.submitted.each.count, 1);
    assert_true(jq_ack_next(&r, &ack));
    assert_int_equal(ack.error, JQ_OK);
    while (strcmp(world_keys[key], request->key) != 0)
        key++;
    if (w->key_ids[key])
        assert_int_equal(w->key_ids[key], ack.id); /* a key names one job */
    if (request->key_id)
        assert_int_equal(request->key_id, ack.id); /* T2 */
    w->key_ids[key] = request->key_id = ack.id;
    job_of(w, ack.id)->acknowledged = true;
}

static void read_submitted(struct world *w, struct client *client, const struct jq_msg *msg)
{
    struct request *request = &client->requests[msg->correlation % REQUESTS_MAX];

    if (!msg->u.submitted.durable || msg->correlation >= client->next)
        return;
    assert_int_equal(msg->u.submitted.count, request->count);
    if (request->first_id)
        assert_int_equal(request->first_id, msg->u.submitted.first_id); /* T2 */
    request->first_id = msg->u.submitted.first_id;
    if (request->key) {
        read_keyed(w, request, msg);
        return;
    }
    for (uint32_t i = 0; i < request->count; i++) {
        struct job *job = job_of(w, request->first_id + i);
        job->acknowledged = true;
        submitted_by(job, request);
    }
}

static void read_result(struct world *w, const struct jq_result *result,
                        const struct request *request)
{
    struct job *job = job_of(w, result->id);

    if (request && !request->key)
        submitted_by(job, request);
    if (result->error == JQ_EGONE) {
        gone(job);
        return;
    }
    assert_int_equal(result->error, 0); /* T1 */
    if (job->has_code)
        assert_int_equal(job->code, result->code); /* T3 */
    ended(job, result->state);
    job->code = result->code;
    job->has_code = true;
}

static void read_results(struct world *w, struct client *client, const struct jq_msg *msg)
{
    struct request *request = NULL;
    struct jq_result result;

    if (msg->correlation < WAITS_FROM) {
        if (msg->correlation >= client->next)
            return; /* of the session that ended */
        request = &client->requests[msg->correlation % REQUESTS_MAX];
        request->results += msg->u.results.results.count;
        if (msg->u.results.first_id && request->first_id)
            assert_int_equal(msg->u.results.first_id, request->first_id); /* T2 */
        assert_true((request->flags & JQ_SUBMIT_CALL) || request->wants_results);
        /* Whose ids are not known yet nobody could tell apart. */
        assert_true((request->flags & JQ_SUBMIT_CALL) || request->first_id || request->key_id);
    }
    for (struct jq_reader r = jq_records_reader(msg->u.results.results);
         jq_result_next(&r, &result);)
        read_result(w, &result, request);
}

static void read_cancelled(struct world *w, const struct jq_msg *msg)
{
    struct jq_ack ack;

    for (struct jq_reader r = jq_records_reader(msg->u.cancelled.each); jq_ack_next(&r, &ack);) {
        struct job *job = job_of(w, ack.id);
        if (ack.error == JQ_EGONE)
            gone(job);
        else if (ack.error == JQ_EALREADY || ack.state == JQ_CANCELLED)
            ended(job, ack.state);
        else if (!job->cancelled_in)
            job->cancelled_in = w->incarnation;
        if (ack.error == JQ_OK)
            assert_true(ack.state == JQ_CANCELLED || ack.state == JQ_RUNNING);
    }
}

/* T8: each once, in order, none left out but those that are counted. */
static void read_events(struct world *w, struct client *client, const struct jq_msg *msg)
{
    struct jq_event event;
    bool dropped = msg->u.events.dropped > 0 || client->sequence == 0;

    for (struct jq_reader r = jq_records_reader(msg->u.events.events); jq_event_next(&r, &event);) {
        struct job *job = job_of(w, event.id);
        assert_true(event.sequence > client->sequence);
        assert_true(dropped || event.sequence == client->sequence + 1);
        client->sequence = event.sequence;
        dropped = false;
        if (jq_state_is_terminal((enum jq_job_state)event.state))
            ended(job, event.state);
        job->acknowledged = true; /* it is durable */
    }
    assert_true(msg->u.events.sequence >= client->sequence);
    client->sequence = msg->u.events.sequence;
}

static void read_log_data(struct world *w, const struct jq_msg *msg)
{
    const struct jq_log_data *data = &msg->u.log_data;
    static const char output[] = "hello";

    if (data->error != JQ_OK) {
        assert_int_equal(data->error, JQ_EGONE);
        gone(job_of(w, data->id));
        return;
    }
    assert_true(data->offset + data->bytes.size <= 5);
    if (data->bytes.size)
        assert_memory_equal(data->bytes.data, output + data->offset, data->bytes.size);
}

static void client_read(struct world *w, struct client *client, const struct jq_msg *msg)
{
    if (msg->tag == JQ_MSG_SUBMITTED)
        read_submitted(w, client, msg);
    else if (msg->tag == JQ_MSG_RESULTS)
        read_results(w, client, msg);
    else if (msg->tag == JQ_MSG_CANCELLED)
        read_cancelled(w, msg);
    else if (msg->tag == JQ_MSG_EVENTS)
        read_events(w, client, msg);
    else if (msg->tag == JQ_MSG_LOG_DATA)
        read_log_data(w, msg);
}

void client_reads(struct world *w, struct client *client, bool lose)
{
    struct driver_frame frame;

    while (driver_take(&w->d, client->peer, &frame)) {
        if (!lose)
            client_read(w, client, &frame.msg);
        driver_frame_free(&frame);
    }
}

/* ---- workers ---- */

static void read_grants(struct world *w, struct worker *worker, const struct jq_msg *msg)
{
    struct jq_grant grant;

    for (struct jq_reader r = jq_records_reader(msg->u.grants.jobs); jq_grant_next(&r, &grant);) {
        assert_true(worker->count < HELD_MAX);
        struct job *job = job_of(w, grant.id);
        job->granted_fence = grant.fence > job->granted_fence ? grant.fence : job->granted_fence;
        /* Cancelled while it ran: never granted again, also after a restart. */
        assert_true(!job->cancelled_in || grant.fence >> 32 <= job->cancelled_in);
        worker->received++;
        worker->held[worker->count++] =
            (struct held){ .job = { .id = grant.id, .fence = grant.fence } };
    }
}

void drop_held(struct worker *worker, struct jq_held which)
{
    worker->past[worker->past_count++ % PAST_MAX] = which;
    for (size_t i = 0; i < worker->count; i++)
        if (worker->held[i].job.id == which.id && worker->held[i].job.fence == which.fence)
            worker->held[i--] = worker->held[--worker->count];
}

static void read_acks(struct world *w, struct worker *worker, const struct jq_msg *msg)
{
    struct jq_held held;

    for (struct jq_reader r = jq_records_reader(msg->u.done_ack.each); jq_held_next(&r, &held);) {
        struct job *job = job_of(w, held.id);
        if (job->accepted)
            assert_int_equal(job->accepted_fence, held.fence); /* T4 */
        assert_true(held.fence >= job->granted_fence);         /* T5 */
        job->accepted = true;
        job->accepted_fence = held.fence;
        drop_held(worker, held);
    }
    for (struct jq_reader r = jq_records_reader(msg->u.done_ack.fenced); jq_held_next(&r, &held);)
        drop_held(worker, held);
}

static void read_kills(struct worker *worker, const struct jq_msg *msg)
{
    struct jq_kill kill;

    for (struct jq_reader r = jq_records_reader(msg->u.kills.jobs); jq_kill_next(&r, &kill);)
        for (size_t i = 0; i < worker->count; i++)
            if (worker->held[i].job.fence == kill.fence && worker->held[i].job.id == kill.id &&
                !worker->held[i].sent)
                worker->held[i].killed = true;
}

static void read_welcome(struct world *w, struct worker *worker, const struct jq_msg *msg)
{
    struct jq_held held;

    for (struct jq_reader r = jq_records_reader(msg->u.welcome.lost); jq_held_next(&r, &held);)
        drop_held(worker, held);
    w->incarnation = msg->u.welcome.incarnation;
    worker->received = 0;
    worker->question = 0;
    worker->needs_hello = false;
}

static void worker_read(struct world *w, struct worker *worker, const struct jq_msg *msg)
{
    if (msg->tag == JQ_MSG_GRANTS) {
        read_grants(w, worker, msg);
    } else if (msg->tag == JQ_MSG_DONE_ACK) {
        read_acks(w, worker, msg);
    } else if (msg->tag == JQ_MSG_WELCOME) {
        read_welcome(w, worker, msg);
    } else if (msg->tag == JQ_MSG_KILLS) {
        read_kills(worker, msg);
    } else if (msg->tag == JQ_MSG_LOG_READ) {
        worker->asked = msg->u.log_read;
        worker->question = msg->correlation;
    }
}

void worker_reads(struct world *w, struct worker *worker, bool lose)
{
    struct driver_frame frame;

    while (driver_take(&w->d, worker->peer, &frame)) {
        if (frame.msg.tag == JQ_MSG_ERROR && frame.msg.u.error.error == JQ_ENOHELLO)
            worker->needs_hello = true;
        else if (lose)
            worker->needs_hello = true; /* frames are lost only with their connection */
        else
            worker_read(w, worker, &frame.msg);
        driver_frame_free(&frame);
    }
}
