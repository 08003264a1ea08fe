/* SPDX-License-Identifier: MIT
 *
 * submit.c - SUBMIT: all of its jobs or none, once per request number, whatever is sent again. */
#include <stdio.h>
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* ---- what is wrong with it ---- */

static bool spec_valid(const struct jq_job_spec *spec, const char **ret_text)
{
    if (!jq_name_valid(spec->handler))
        *ret_text = "a handler's name is 1 to 128 of A-Z a-z 0-9 . _ -";
    else if (spec->key.size && !jq_name_valid(spec->key))
        *ret_text = "a key is 1 to 128 of A-Z a-z 0-9 . _ -";
    else if (spec->flags & ~JQ_JOB_FLAGS)
        *ret_text = "a job has flags that this broker does not know";
    else if (spec->priority < INT32_MIN || spec->priority > INT32_MAX)
        *ret_text = "a priority is a signed 32-bit number";
    else
        return true;
    return false;
}

/* What it takes to accept it. */
struct demand {
    bool each; /* an older job may be taken for one of these: each has an answer of its own */
    bool asks; /* of keys or older jobs, which the store may have to be asked for */
};

static enum jq_err options_valid(const struct jq_core *core, const struct jq_job_spec *spec,
                                 struct demand *ret_demand, const char **ret_text)
{
    struct jq_job_options options;
    struct jq_dependency after;

    ret_demand->each |= spec->key.size > 0;
    ret_demand->asks |= spec->key.size > 0;
    if (spec->options.size == 0)
        return JQ_OK;
    if (jq_options_read(spec->options, &options) != JQ_OK)
        *ret_text = "options: not one job_options record, or a field of it is out of its bounds";
    else
        *ret_text = jq_options_fault(&options, spec->handler);
    if (*ret_text)
        return JQ_EINVAL;
    ret_demand->each |= options.unique.size > 0;
    ret_demand->asks |= options.after.count > 0;
    for (struct jq_reader r = jq_records_reader(options.after); jq_dependency_next(&r, &after);) {
        if (jq_absent(core, after.id) == JQ_ENOENT) {
            *ret_text = "after: there is no such job";
            return JQ_ENOENT;
        }
    }
    return JQ_OK;
}

static enum jq_err validate(const struct jq_core *core, const struct jq_submit *submit,
                            struct demand *ret_demand, const char **ret_text)
{
    struct jq_job_spec spec;
    enum jq_err err = JQ_OK;

    *ret_demand = (struct demand){ 0 };
    *ret_text = NULL;
    const struct jq_queue *queue = jq_queue_find(core, submit->queue);

    if (queue && (queue->closed || queue->removing))
        return JQ_ECLOSED;
    if (core->space_low)
        return JQ_ENOSPC;
    if (core->queues.count >= core->conf.queues_max && !queue) {
        *ret_text = "the broker has as many queues as it may have";
        return JQ_ENOSPC;
    }
    if (!jq_name_valid(submit->queue))
        *ret_text = "a queue's name is 1 to 128 of A-Z a-z 0-9 . _ -";
    else if (submit->flags & ~JQ_SUBMIT_FLAGS)
        *ret_text = "SUBMIT has flags that this broker does not know";
    else if (submit->jobs.count == 0)
        *ret_text = "SUBMIT has no job";
    for (struct jq_reader r = jq_records_reader(submit->jobs);
         !*ret_text && jq_job_spec_next(&r, &spec);) {
        if (spec_valid(&spec, ret_text))
            err = options_valid(core, &spec, ret_demand, ret_text);
    }
    return *ret_text && err == JQ_OK ? JQ_EINVAL : err;
}

/* ---- answering ---- */

static struct jq_records each_of(const struct jq_request *request)
{
    return (struct jq_records){
        .count = request->each ? request->count : 0,
        .bytes = jq_blob_view(request->each),
    };
}

/* RESULTS of the same number follow; not before batch `after`. */
static enum jq_err wait_for(struct jq_core *core, struct jq_peer *peer,
                            const struct jq_request *request, const struct jq_submit *submit,
                            uint64_t after)
{
    uint64_t *ids = jq_alloc(request->count * sizeof *ids);
    struct jq_reader r = jq_records_reader(each_of(request));
    struct jq_ack ack;
    uint32_t count = 0;
    if (!ids)
        return JQ_ENOMEM;
    for (uint32_t i = 0; i < request->count; i++) {
        if (!request->each)
            ids[count++] = request->first_id + i;
        else if (jq_ack_next(&r, &ack) && ack.error == JQ_OK)
            ids[count++] = ack.id;
    }
    const enum jq_err err = jq_wait_start(core, peer, request, submit, after, ids, count);
    jq_free(ids);
    return err;
}

/* What was promised to `request`; `submit` is what asks now. */
static enum jq_err answer(struct jq_core *core, struct jq_peer *peer,
                          const struct jq_request *request, const struct jq_submit *submit)
{
    const bool waits = submit->results && jq_wait_allowed(core, peer, request->count);
    const uint64_t batch = request->at_once ? jq_batch_loose(core) : request->batch;
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMITTED,
        .correlation = request->number,
        .u.submitted = {
            .durable = 1,
            .first_id = request->first_id,
            .count = request->count,
            .each = each_of(request),
            .results = waits,
        },
    };

    if (submit->flags & JQ_SUBMIT_CALL)
        return wait_for(core, peer, request, submit, JQ_AT_ONCE);
    jq_tell(core, peer, batch, &msg);
    return waits ? wait_for(core, peer, request, submit, batch) : JQ_OK;
}

/* ---- accepting ---- */

struct accepting {
    const struct jq_submit *submit;
    struct jq_client *client;
    uint64_t number;
    bool singly;                    /* older jobs may be taken for some: each has its answer */
    const struct jq_lookup *lookup; /* what the store was asked for; may be NULL */
    char *text;                     /* why not; JQ_REASON_MAX */
    struct jq_queue *queue;
    struct jq_job **jobs;
    struct jq_request *request;
    struct jq_buf each;
};

static void accepting_fini(struct accepting *a)
{
    for (uint32_t i = 0; a->jobs && i < a->submit->jobs.count; i++)
        jq_job_free(a->jobs[i]);
    jq_free(a->jobs);
    jq_buf_fini(&a->each);
    if (a->request) {
        jq_blob_drop(a->request->each);
        jq_free(a->request);
    }
}

/* The id of the job that is taken for this one: with its key, in memory or found in the store, or
 * with its unique name; 0: none. */
static uint64_t older(const struct jq_core *core, const struct accepting *a, uint32_t index)
{
    const struct jq_job *new = a->jobs[index], *job = NULL;

    if (new->fixed.key_size) {
        job = jq_job_find_key(core, jq_job_key(new));
        if (!job && a->lookup && a->lookup->ids[index])
            return a->lookup->ids[index];
    }
    if (!job && new->extra)
        job = jq_unique_find(core, new->extra->options);
    return job ? job->id : 0;
}

/* All that can fail, before anything is changed. */
static enum jq_err prepare(struct jq_core *core, struct accepting *a)
{
    const uint32_t count = a->submit->jobs.count;
    struct jq_reader r = jq_records_reader(a->submit->jobs);
    struct jq_job_spec spec;
    size_t ops = (size_t)count + 3;

    JQ_TRY(jq_queue_get(core, a->submit->queue, &a->queue));
    if (a->singly) {
        JQ_TRY(jq_map_reserve(&core->keys, count));
        JQ_TRY(jq_map_reserve(&core->uniques, count));
    }
    a->jobs = jq_alloc_zero(count, sizeof(struct jq_job *));
    a->request = jq_alloc_zero(1, sizeof *a->request);
    if (!a->jobs || !a->request)
        return JQ_ENOMEM;
    for (uint32_t i = 0; jq_job_spec_next(&r, &spec); i++) {
        const struct jq_job_seed seed = {
            .owner = a->client->session,
            .flags = spec.flags,
            .priority = (int32_t)spec.priority,
            .created_at = core->now.wall,
            .handler = spec.handler,
            .title = spec.title,
            .key = spec.key,
            .options = spec.options,
            .payload = spec.payload,
        };
        a->jobs[i] = jq_job_new(a->queue, &seed);
        if (!a->jobs[i])
            return JQ_ENOMEM;
        JQ_TRY(jq_extra_make(core, a->jobs[i]));
        if (spec.flags & JQ_JOB_TIE)
            JQ_TRY(jq_extra_need(a->jobs[i]));
        JQ_TRY(jq_edge_prepare(core, a->jobs[i]));
        ops += jq_edge_ops(core, a->jobs[i]);
        if (a->singly) /* as large as it can become: the bytes of the answer are made here, too */
            JQ_TRY(jq_buf_reserve(&a->each, ((size_t)i + 1) * 24));
    }
    JQ_TRY(jq_jobs_reserve(core, a->jobs, count));
    JQ_TRY(jq_batch_reserve(core, ops));
    if (a->singly) {
        a->request->each = jq_alloc(sizeof(struct jq_blob) + (size_t)count * 24);
        if (!a->request->each)
            return JQ_ENOMEM;
    }
    return JQ_OK;
}

static void add(struct jq_core *core, struct accepting *a, uint32_t index)
{
    struct jq_job *job = a->jobs[index];

    job->id = core->meta.next_id++;
    JQ_CHECK(jq_job_key_add(core, job));
    jq_extra_begin(core, job, a->lookup);
    jq_job_add(core, job);
    if (job->flags & JQ_JOB_TIE)
        jq_client_tie(a->client, job);
    core->count.submitted++;
    a->jobs[index] = NULL;
}

static void add_each(struct jq_core *core, struct accepting *a)
{
    const bool strict = (a->submit->flags & JQ_SUBMIT_STRICT) != 0;

    for (uint32_t i = 0; i < a->submit->jobs.count; i++) {
        const uint64_t found = older(core, a, i);
        struct jq_ack ack = { .id = found, .created = !found };
        if (found) {
            ack.error = strict ? JQ_EEXIST : JQ_OK;
        } else {
            ack.id = core->meta.next_id;
            add(core, a, i);
        }
        jq_ack_write(&a->each, &ack);
    }
    JQ_CHECK(jq_buf_ok(&a->each)); /* reserved */
    struct jq_blob *each = a->request->each;
    each->references = 1;
    each->size = (uint32_t)a->each.size;
    memcpy(each->data, a->each.data, a->each.size);
}

/* Those that are not taken for older ones need a place. */
static enum jq_err admit(struct jq_core *core, const struct accepting *a)
{
    uint64_t count = a->submit->jobs.count;

    if (a->queue->maxsize == 0 && jq_dlist_empty(&a->queue->rooms) && a->queue->reserved == 0)
        return JQ_OK;
    for (uint32_t i = 0; a->singly && i < a->submit->jobs.count; i++)
        count -= older(core, a, i) != 0;
    return jq_room_admit(core, a->client->peer, a->queue, count, a->text);
}

/* FULL, MSGSIZE: the queue has no place for it; `text` may say more. */
static enum jq_err accept_all(struct jq_core *core, struct jq_client *client, uint64_t number,
                              const struct jq_submit *submit, bool each,
                              const struct jq_lookup *lookup, char text[JQ_REASON_MAX])
{
    struct accepting a = {
        .submit = submit,
        .client = client,
        .number = number,
        .singly = each,
        .lookup = lookup,
        .text = text,
    };
    enum jq_err err = prepare(core, &a);

    if (err == JQ_OK)
        err = admit(core, &a);
    if (err != JQ_OK) {
        if (a.request && a.request->each)
            a.request->each->references = 1;
        accepting_fini(&a);
        return err;
    }
    struct jq_request *request = a.request;
    request->number = number;
    request->first_id = core->meta.next_id;
    request->count = submit->jobs.count;
    request->made_at = core->now.wall;
    request->at_once = a.queue->durability != JQ_DURABILITY_FULL;
    request->loose = a.queue->durability == JQ_DURABILITY_MEMORY;
    if (each) {
        add_each(core, &a);
    } else {
        for (uint32_t i = 0; i < submit->jobs.count; i++)
            add(core, &a, i);
    }
    jq_batch_request(core, client, request);
    jq_client_request_add(client, request);
    a.request = NULL;
    accepting_fini(&a);
    return client->peer ? answer(core, client->peer, request, submit) : JQ_OK;
}

/* ---- what only the store knows ---- */

static void facts_loaded(struct jq_core *core, struct jq_lookup *lookup);

static bool parked_already(const struct jq_client *client, uint64_t number)
{
    for (struct jq_dlink *at = NULL; (at = jq_dlist_prev(&client->parked, at));)
        if (JQ_ELEMENT(at, struct jq_lookup, in_client)->number[1] == number)
            return true;
    return false;
}

/* `old`: what it was parked for before; may be NULL. */
static enum jq_err park(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg,
                        bool each, const struct jq_lookup *old)
{
    if (parked_already(peer->client, msg->correlation))
        return JQ_OK;
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, msg->correlation, facts_loaded);

    if (!lookup)
        return JQ_ENOMEM;
    lookup->number[0] = peer->session;
    lookup->number[1] = msg->correlation;
    lookup->number[2] = each;
    enum jq_err err = jq_msg_encode(msg, &lookup->kept);
    if (err == JQ_OK)
        err = jq_facts_ask(core, lookup, &msg->u.submit, old);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    else
        jq_dlist_append(&peer->client->parked, &lookup->in_client);
    return err;
}

static enum jq_err go_on(struct jq_core *core, struct jq_client *client, struct jq_lookup *lookup,
                         char text[JQ_REASON_MAX])
{
    const bool each = lookup->number[2] != 0;
    struct jq_msg msg;

    JQ_CHECK(jq_msg_decode(jq_buf_view(&lookup->kept), &msg) == JQ_OK);
    const struct jq_queue *queue = jq_queue_find(core, msg.u.submit.queue);
    if (queue && (queue->closed || queue->removing)) /* since it was asked */
        return JQ_ECLOSED;
    if (!jq_facts_complete(core, &msg.u.submit, lookup)) /* without a peer it will ask again */
        return client->peer ? park(core, client->peer, &msg, each, lookup) : JQ_OK;
    const uint64_t gone = jq_facts_gone(core, &msg.u.submit, lookup);
    if (gone) {
        snprintf(text, JQ_REASON_MAX, "after: job %llu was purged, or not kept",
                 (unsigned long long)gone);
        return JQ_EGONE;
    }
    return accept_all(core, client, lookup->number[1], &msg.u.submit, each, lookup, text);
}

/* lookup->number: session, request number, whether each job has an answer of its own. */
static void facts_loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_client *client = jq_map_find(&core->clients, lookup->number[0]);
    char text[JQ_REASON_MAX] = "";

    if (!client || !jq_dlink_used(&lookup->in_client) ||
        jq_client_request(client, lookup->number[1]) || lookup->number[1] <= client->answered)
        return; /* it said BYE, or that it has the answer, or the request was answered meanwhile */
    jq_dlist_remove(&lookup->in_client);
    const enum jq_err err = lookup->err == JQ_OK ? go_on(core, client, lookup, text) : lookup->err;
    if (err == JQ_OK && !client->peer)
        jq_client_detached(core, client); /* a tied job waits for less time than answers do */
    if (err == JQ_OK || !client->peer)
        return;
    if (jq_client_request(client, lookup->number[1]))
        jq_break_peer(core, client->peer); /* accepted: an error would not be true */
    else
        jq_tell_error(core, client->peer, lookup->number[1], err == JQ_ENOMEM ? JQ_EBUSY : err,
                      text[0] ? text : NULL);
}

enum jq_err jq_submit_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const uint64_t number = msg->correlation;
    struct jq_client *client = peer->client;
    struct demand demand;
    const char *text;
    char why[JQ_REASON_MAX] = "";

    if (number == 0) {
        jq_tell_error(core, peer, 0, JQ_EINVAL, "SUBMIT needs a request number from 1");
        return JQ_OK;
    }
    JQ_TRY(jq_client_answered(core, client, msg->u.submit.answered));
    const struct jq_request *request = jq_client_request(client, number);
    if (request) {
        core->count.resent++;
        return answer(core, peer, request, &msg->u.submit);
    }
    if (number <= client->answered) {
        jq_tell_error(core, peer, number, JQ_EALREADY,
                      "this request was answered, and its answer acknowledged");
        return JQ_OK;
    }
    enum jq_err err = validate(core, &msg->u.submit, &demand, &text);
    if (err != JQ_OK) {
        jq_tell_error(core, peer, number, err, text);
        return JQ_OK;
    }
    if ((msg->u.submit.flags & JQ_SUBMIT_CALL) &&
        !jq_wait_allowed(core, peer, msg->u.submit.jobs.count)) {
        jq_tell_error(core, peer, number, JQ_EBUSY, "too many waits of one connection");
        return JQ_OK;
    }
    if (demand.asks && !jq_facts_complete(core, &msg->u.submit, NULL))
        return park(core, peer, msg, demand.each, NULL);
    err = accept_all(core, client, number, &msg->u.submit, demand.each, NULL, why);
    if (err != JQ_EFULL && err != JQ_EMSGSIZE)
        return err;
    jq_tell_error(core, peer, number, err, why[0] ? why : NULL);
    return JQ_OK;
}
