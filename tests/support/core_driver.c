/* SPDX-License-Identifier: MIT
 *
 * core_driver.c - see core_driver.h. */
#include "tests/support/core_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"

#define OK(expr) assert_int_equal((expr), JQ_OK)

/* ---- life ---- */

static enum jq_err each_queue(void *arg, const struct jq_queue_record *record)
{
    return jq_core_restore_queue(arg, record);
}

static enum jq_err each_job(void *arg, const struct jq_loaded_job *record)
{
    return jq_core_restore_job(arg, &record->job);
}

static enum jq_err each_request(void *arg, const struct jq_request_record *record)
{
    return jq_core_restore_request(arg, record);
}

static enum jq_err each_worker(void *arg, const struct jq_worker_record *record)
{
    return jq_core_restore_worker(arg, record);
}

static enum jq_err each_limit(void *arg, const struct jq_limit_record *record)
{
    return jq_core_restore_limit(arg, record);
}

static void start(struct driver *d)
{
    const struct jq_store_ops *ops = d->backend->ops;
    struct jq_store_meta meta;

    d->handed_over = 0;
    d->core = jq_core_new(&d->conf, 42);
    assert_non_null(d->core);
    OK(ops->load_meta(d->backend, &meta));
    memset(meta.store_id, 7, sizeof meta.store_id); /* the store's is random: runs would differ */
    OK(jq_core_restore_meta(d->core, &meta));
    OK(ops->load_queues(d->backend, each_queue, d->core));
    OK(ops->load_limits(d->backend, each_limit, d->core));
    OK(ops->load_jobs(d->backend, each_job, d->core));
    OK(ops->load_requests(d->backend, each_request, d->core));
    OK(ops->load_workers(d->backend, each_worker, d->core));
    OK(jq_core_start(d->core, d->now));
    driver_commit(d);
}

void driver_open(struct driver *d)
{
    const struct jq_store_conf conf = { .path = "memory:" };
    struct jq_detail detail;

    *d = (struct driver){
        .now = { .mono = 1000, .wall = 1000000000 },
        .next_peer = 1,
        .fail_in = -1,
    };
    jq_core_conf_default(&d->conf);
    d->conf.pid = DRIVER_PID;
    OK(jq_store_memory.open(&conf, &d->backend, &detail));
    start(d);
}

static void drop_unfinished(struct driver *d)
{
    for (size_t i = 0; i < d->batch_count; i++)
        jq_core_give_batch(d->core, d->batches[i]);
    d->batch_count = 0;
    for (size_t i = 0; i < d->read_count; i++) {
        jq_free(d->reads[i].ids);
        jq_free(d->reads[i].key);
        jq_free(d->reads[i].label);
    }
    d->read_count = 0;
    for (size_t i = 0; i < d->count; i++)
        jq_free(d->frames[i].data);
    d->count = 0;
}

void driver_crash(struct driver *d)
{
    drop_unfinished(d);
    jq_core_free(&d->core);
    start(d);
}

void driver_close(struct driver *d)
{
    drop_unfinished(d);
    jq_core_free(&d->core);
    d->backend->ops->close(&d->backend);
    free(d->frames);
}

/* ---- memory that runs out ---- */

static void arm(struct driver *d)
{
    jq_alloc_fail_after(d->fail_in, 0);
}

static void disarm(struct driver *d)
{
    const int64_t made = (int64_t)jq_alloc_fail_after(-1, 0);

    if (d->fail_in >= 0)
        d->fail_in = made > d->fail_in ? -1 : d->fail_in - made;
}

static bool take_effect(struct driver *d, struct jq_effect *effect)
{
    arm(d);
    const bool took = jq_core_take_effect(d->core, d->now, effect);
    disarm(d);
    return took;
}

/* ---- steps ---- */

static void keep_frame(struct driver *d, struct jq_effect *effect)
{
    if (d->count == d->capacity) {
        d->capacity = d->capacity ? d->capacity * 2 : 64;
        d->frames = realloc(d->frames, d->capacity * sizeof *d->frames);
        assert_non_null(d->frames);
    }
    struct driver_frame *frame = &d->frames[d->count++];
    frame->peer = effect->peer;
    frame->data = effect->u.frame.data;
    frame->size = effect->u.frame.size;
    effect->u.frame.data = NULL;
    OK(jq_msg_decode(jq_view(frame->data, frame->size), &frame->msg));
}

void driver_collect(struct driver *d)
{
    struct jq_effect effect;

    while (take_effect(d, &effect)) {
        if (effect.kind == JQ_EFFECT_SEND) {
            keep_frame(d, &effect);
        } else if (effect.kind == JQ_EFFECT_READ) {
            assert_true(d->read_count < DRIVER_READS_MAX);
            d->read_behind[d->read_count] = d->handed_over;
            d->reads[d->read_count++] = effect.u.read;
            effect.u.read.ids = NULL;
            effect.u.read.key = NULL;
            effect.u.read.label = NULL;
        } else if (effect.kind == JQ_EFFECT_CLOSE) {
            d->closed++;
        }
        jq_effect_fini(&effect);
    }
    jq_core_check(d->core);
}

void driver_apply(struct driver *d, uint64_t peer, const struct jq_msg *msg)
{
    struct jq_buf frame = { 0 };
    struct jq_msg decoded;

    OK(jq_msg_encode(msg, &frame));
    OK(jq_msg_decode(jq_buf_view(&frame), &decoded));
    arm(d);
    enum jq_err err = jq_core_apply(d->core, d->now, peer, &decoded);
    disarm(d);
    if (err == JQ_ENOMEM) { /* the same input may be given again */
        jq_core_check(d->core);
        err = jq_core_apply(d->core, d->now, peer, &decoded);
    }
    OK(err);
    jq_buf_fini(&frame);
    driver_collect(d);
}

static void tick(struct driver *d)
{
    arm(d);
    enum jq_err err = jq_core_tick(d->core, d->now);
    disarm(d);
    if (err == JQ_ENOMEM) {
        jq_core_check(d->core);
        err = jq_core_tick(d->core, d->now);
    }
    OK(err);
}

void driver_tick(struct driver *d, jq_ms later)
{
    /* As a loop does: never later than the core asks to be called. */
    const jq_ms end = d->now.mono + later;
    for (;;) {
        const jq_ms next = jq_core_next_at(d->core), before = d->now.mono;
        d->now.mono = next < end ? (next > d->now.mono ? next : d->now.mono + 1) : end;
        d->now.wall += (d->now.mono - before) * 1000000;
        tick(d);
        driver_collect(d);
        if (d->now.mono >= end)
            return;
    }
}

void driver_hand_over(struct driver *d)
{
    struct jq_batch *batch = jq_core_take_batch(d->core, d->now);

    if (!batch)
        return;
    assert_true(d->batch_count < DRIVER_BATCHES_MAX);
    d->batches[d->batch_count++] = batch;
    d->handed_over = batch->number;
    driver_collect(d);
}

struct answer {
    uint64_t damaged_id;
    struct jq_loaded_job jobs[JQ_JOBS_PER_FRAME];
    size_t count;
    uint64_t bytes, bytes_max;
};

/* The memory store keeps its rows in place until the next commit: records may be borrowed. */
static enum jq_err gather(void *arg, const struct jq_loaded_job *record)
{
    struct answer *answer = arg;

    answer->bytes += record->job.payload.size;
    if (answer->bytes_max && answer->count > 0 && answer->bytes > answer->bytes_max)
        return JQ_EMSGSIZE;
    assert_true(answer->count < JQ_JOBS_PER_FRAME);
    answer->jobs[answer->count] = *record;
    answer->jobs[answer->count++].job.damaged |= record->job.id == answer->damaged_id;
    return JQ_OK;
}

static void answer_first(struct driver *d)
{
    static struct answer answers; /* large */
    struct answer *answer = &answers;
    struct jq_read read = d->reads[0];
    bool more = false;
    enum jq_err err = d->read_err;

    d->read_count--;
    memmove(d->reads, d->reads + 1, d->read_count * sizeof read);
    memmove(d->read_behind, d->read_behind + 1, d->read_count * sizeof d->read_behind[0]);
    answer->count = answer->bytes = 0;
    answer->bytes_max = read.bytes_max;
    answer->damaged_id = d->damaged_id;
    if (err == JQ_OK)
        err = d->backend->ops->read(d->backend, &read, gather, answer, &more);
    if (err == JQ_EMSGSIZE ||
        (err == JQ_OK && read.kind == JQ_READ_JOBS && d->read_max && answer->count > d->read_max)) {
        answer->count = err == JQ_OK ? d->read_max : answer->count;
        err = JQ_OK;
        more = true;
    }
    assert_true(err == d->read_err);
    d->pages_read += read.kind == JQ_READ_SPILLED && answer->count > 0;
    arm(d);
    const enum jq_err loaded = jq_core_loaded(d->core, d->now, read.token, err, answer->jobs,
                                              err == JQ_OK ? answer->count : 0, more);
    disarm(d);
    OK(loaded);
    jq_free(read.ids);
    jq_free(read.key);
    jq_free(read.label);
    driver_collect(d);
}

static void answer_before(struct driver *d, uint64_t batch)
{
    while (d->read_count && d->read_behind[0] < batch)
        answer_first(d);
}

void driver_answer(struct driver *d)
{
    answer_before(d, d->batch_count ? d->batches[0]->number : UINT64_MAX);
}

static void commit_first(struct driver *d)
{
    struct jq_batch *batch = d->batches[0];
    struct jq_detail detail;
    const uint64_t number = batch->number;

    answer_before(d, number);
    memmove(d->batches, d->batches + 1, --d->batch_count * sizeof batch);
    d->ops_committed += batch->live;
    OK(d->backend->ops->commit(d->backend, batch, &detail));
    jq_core_give_batch(d->core, batch);
    arm(d);
    const enum jq_err err = jq_core_durable(d->core, d->now, number, d->space_low);
    disarm(d);
    OK(err);
    driver_collect(d);
}

void driver_commit(struct driver *d)
{
    for (;;) {
        driver_hand_over(d);
        if (d->batch_count == 0 && d->read_count == 0)
            break;
        while (d->batch_count)
            commit_first(d);
        driver_answer(d);
    }
}

/* ---- frames ---- */

static bool take(struct driver *d, uint64_t peer, int tag, struct driver_frame *ret)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->frames[i].peer != peer || (tag && (int)d->frames[i].msg.tag != tag))
            continue;
        *ret = d->frames[i];
        memmove(&d->frames[i], &d->frames[i + 1], (--d->count - i) * sizeof *ret);
        return true;
    }
    return false;
}

bool driver_take(struct driver *d, uint64_t peer, struct driver_frame *ret)
{
    return take(d, peer, 0, ret);
}

bool driver_has(const struct driver *d, uint64_t peer, enum jq_tag tag)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->frames[i].peer == peer && d->frames[i].msg.tag == tag)
            return true;
    return false;
}

struct driver_frame driver_expect(struct driver *d, uint64_t peer, enum jq_tag tag)
{
    struct driver_frame frame;

    if (!take(d, peer, (int)tag, &frame)) {
        for (size_t i = 0; i < d->count; i++)
            print_error("for peer %llu: %s\n", (unsigned long long)d->frames[i].peer,
                        jq_msg_name(d->frames[i].msg.tag));
        fail_msg("no %s for peer %llu", jq_msg_name(tag), (unsigned long long)peer);
    }
    return frame;
}

void driver_frame_free(struct driver_frame *frame)
{
    jq_free(frame->data);
    frame->data = NULL;
}

/* ---- peers ---- */

static uint64_t hello(struct driver *d, enum jq_role role, uint64_t session,
                      const struct jq_held *held, uint32_t count)
{
    const uint64_t peer = d->next_peer++;
    struct jq_buf records = { 0 };

    for (uint32_t i = 0; i < count; i++)
        jq_held_write(&records, &held[i]);
    const struct jq_msg msg = {
        .tag = JQ_MSG_HELLO,
        .u.hello = {
            .version_min = JQ_PROTOCOL_MIN,
            .version_max = JQ_PROTOCOL_MAX,
            .role = role,
            .session = session,
            .name = jq_view_str("test"),
            .software = jq_view_str("test 1"),
            .slots = role == JQ_ROLE_WORKER ? 4 : 0,
            .held = jq_records_of(count, &records),
            .die_with = role == JQ_ROLE_WORKER ? d->die_with : 0,
        },
    };
    driver_apply(d, peer, &msg);
    jq_buf_fini(&records);
    return peer;
}

static void welcomed(struct driver *d, uint64_t peer)
{
    struct driver_frame frame = driver_expect(d, peer, JQ_MSG_WELCOME);
    driver_frame_free(&frame);
}

uint64_t driver_client(struct driver *d, uint64_t session)
{
    const uint64_t peer = hello(d, JQ_ROLE_CLIENT, session, NULL, 0);
    welcomed(d, peer);
    return peer;
}

void driver_credit(struct driver *d, uint64_t worker, uint64_t total)
{
    const struct jq_msg msg = { .tag = JQ_MSG_CREDIT, .u.credit = { .total = total } };
    driver_apply(d, worker, &msg);
}

uint64_t driver_worker(struct driver *d, uint64_t session, uint64_t credit)
{
    const uint64_t peer = hello(d, JQ_ROLE_WORKER, session, NULL, 0);
    welcomed(d, peer);
    if (credit)
        driver_credit(d, peer, credit);
    return peer;
}

uint64_t driver_beat(struct driver *d, uint64_t session)
{
    const uint64_t peer = hello(d, JQ_ROLE_BEAT, session, NULL, 0);
    welcomed(d, peer);
    return peer;
}

uint64_t driver_worker_back(struct driver *d, uint64_t session, const struct jq_held *held,
                            uint32_t count)
{
    return hello(d, JQ_ROLE_WORKER, session, held, count);
}

/* ---- requests ---- */

void driver_submit(struct driver *d, uint64_t client, struct driver_submit submit)
{
    struct jq_buf jobs = { 0 }, options = { 0 };

    if (submit.options)
        jq_job_options_write(&options, submit.options);
    const struct jq_job_spec spec = {
        .handler = jq_view_str(submit.handler ? submit.handler : "noop"),
        .payload = jq_view_str("payload"),
        .title = jq_view_str("a job"),
        .flags = submit.job_flags,
        .priority = submit.priority,
        .key = jq_view_str(submit.key ? submit.key : ""),
        .options = jq_buf_view(&options),
    };

    if (submit.count == 0)
        submit.count = 1;
    for (uint32_t i = 0; i < submit.count; i++)
        jq_job_spec_write(&jobs, &spec);
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = submit.number,
        .u.submit = {
            .answered = submit.answered,
            .queue = jq_view_str(submit.queue ? submit.queue : "default"),
            .flags = submit.flags,
            .jobs = jq_records_of(submit.count, &jobs),
            .results = submit.results,
        },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&jobs);
    jq_buf_fini(&options);
}

void driver_wait(struct driver *d, uint64_t client, uint64_t correlation, uint64_t id)
{
    struct jq_buf ids = { 0 };
    const struct jq_job_ref ref = { .id = id };

    jq_job_ref_write(&ids, &ref);
    const struct jq_msg msg = {
        .tag = JQ_MSG_WAIT,
        .correlation = correlation,
        .u.wait = { .jobs = jq_records_of(1, &ids) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&ids);
}

struct jq_held driver_grant(struct driver *d, uint64_t worker)
{
    struct driver_frame frame = driver_expect(d, worker, JQ_MSG_GRANTS);
    struct jq_reader r = jq_records_reader(frame.msg.u.grants.jobs);
    struct jq_grant grant;

    assert_int_equal(frame.msg.u.grants.jobs.count, 1);
    assert_true(jq_grant_next(&r, &grant));
    driver_frame_free(&frame);
    return (struct jq_held){ .id = grant.id, .fence = grant.fence };
}

void driver_done(struct driver *d, uint64_t worker, struct jq_held held, enum jq_outcome_kind kind,
                 int64_t code)
{
    const struct jq_outcome outcome = {
        .id = held.id,
        .fence = held.fence,
        .kind = kind,
        .code = kind == JQ_OUTCOME_SIGNALLED ? -1 : code,
        .signal = kind == JQ_OUTCOME_SIGNALLED ? (uint64_t)code : 0,
        .stdout_bytes = 5,
        .stdout_head = jq_view_str("hello"),
    };

    driver_end(d, worker, &outcome);
}

void driver_end(struct driver *d, uint64_t worker, const struct jq_outcome *outcome)
{
    struct jq_buf outcomes = { 0 };

    jq_outcome_write(&outcomes, outcome);
    const struct jq_msg msg = {
        .tag = JQ_MSG_DONE,
        .u.done = { .outcomes = jq_records_of(1, &outcomes) },
    };
    driver_apply(d, worker, &msg);
    jq_buf_fini(&outcomes);
}
