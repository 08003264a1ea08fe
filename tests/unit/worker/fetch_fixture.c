/* SPDX-License-Identifier: MIT
 *
 * fetch_fixture.c - see fetch_fixture.h. */
#include "fetch_fixture.h"

#include <stdlib.h>
#include <string.h>

int fetch_setup(void **state)
{
    struct fetch_fixture *f = calloc(1, sizeof *f);
    const struct jq_fetch_conf conf = {
        .session = 77,
        .slots = 4,
        .threads = 2,
        .lookahead = 1024,
        .held_bytes_max = 1 << 20,
        .heartbeat_ms = 1000,
        .grace_ms = 5000,
        .kill_after_ms = 300,
        .name = "w",
        .host = "h",
        .software = "s",
        .pid = 9,
    };
    if (f == NULL)
        return -1;
    f->now.mono = 100000;
    f->fetch = jq_fetch_new(&conf);
    *state = f;
    return f->fetch != NULL ? 0 : -1;
}

int fetch_teardown(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_clear(f);
    jq_fetch_free(&f->fetch);
    for (int i = 0; i < JQ_WHERES; i++)
        jq_run_list_free(&f->out[i]);
    free(f);
    return 0;
}

static void note(struct fetch_fixture *f, struct jq_fetch_effect *effect)
{
    switch (effect->kind) {
    case JQ_FETCH_SEND:
        assert_true(f->sent_count < SENT_MAX);
        f->frames[f->sent_count] = effect->frame;
        assert_int_equal(jq_msg_decode(jq_buf_view(&effect->frame), &f->sent[f->sent_count]),
                         JQ_OK);
        if (f->sent[f->sent_count].tag == JQ_MSG_HELLO)
            f->hello_number = f->sent[f->sent_count].correlation;
        f->sent_count++;
        return;
    case JQ_FETCH_START:
        for (struct jq_run *run = effect->runs.first; run != NULL; run = run->next)
            assert_int_equal(run->where, effect->where);
        jq_run_list_join(&f->out[effect->where], &effect->runs);
        break;
    case JQ_FETCH_RECALL:
        f->recalls++;
        break;
    case JQ_FETCH_CANCEL:
        assert_true(f->cancelled_count < CANCELS_MAX);
        f->cancelled[f->cancelled_count++] = effect->run;
        break;
    case JQ_FETCH_READ:
        f->read = effect->read;
        f->reads++;
        break;
    case JQ_FETCH_RENEW:
        f->renewals++;
        break;
    case JQ_FETCH_BEAT:
        f->beat_ms = effect->beat_ms;
        break;
    case JQ_FETCH_LOST:
        f->lost += effect->count;
        break;
    case JQ_FETCH_FENCED:
        f->fenced += effect->count;
        break;
    case JQ_FETCH_REFUSED:
        f->refused++;
        break;
    case JQ_FETCH_LEAVE:
        f->left = true;
        f->status = effect->status;
        break;
    }
    jq_buf_fini(&effect->frame);
}

static void settle(struct fetch_fixture *f, enum jq_err err)
{
    struct jq_fetch_effect effect;
    assert_int_equal(err, JQ_OK);
    while (jq_fetch_take_effect(f->fetch, f->now, &effect))
        note(f, &effect);
    jq_fetch_check(f->fetch);
}

void fetch_up(struct fetch_fixture *f)
{
    settle(f, jq_fetch_link_up(f->fetch, f->now));
}

void fetch_down(struct fetch_fixture *f)
{
    jq_fetch_link_down(f->fetch, f->now);
    settle(f, JQ_OK);
}

void fetch_apply(struct fetch_fixture *f, const struct jq_msg *msg)
{
    settle(f, jq_fetch_apply(f->fetch, f->now, msg));
}

void fetch_tick(struct fetch_fixture *f, jq_ms later)
{
    f->now.mono += later;
    settle(f, jq_fetch_tick(f->fetch, f->now));
}

void fetch_drain(struct fetch_fixture *f)
{
    settle(f, jq_fetch_drain(f->fetch, f->now, 0));
}

void fetch_leave(struct fetch_fixture *f)
{
    settle(f, jq_fetch_leave(f->fetch, f->now, 0));
}

void fetch_welcome(struct fetch_fixture *f, struct jq_records lost)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_WELCOME,
        .correlation = f->hello_number,
        .u.welcome = { .version = 1, .session = 77, .heartbeat_ms = 500, .lost = lost },
    };
    fetch_apply(f, &msg);
}

void fetch_join(struct fetch_fixture *f)
{
    fetch_up(f);
    fetch_welcome(f, no_records());
    fetch_clear(f);
}

void fetch_grant(struct fetch_fixture *f, uint64_t first, uint32_t count, const char *handler)
{
    struct jq_buf jobs = { 0 };
    for (uint64_t id = first; id < first + count; id++) {
        const struct jq_grant grant = {
            .id = id,
            .fence = id + 100,
            .attempt = 1,
            .queue = jq_view_str("q"),
            .handler = jq_view_str(handler),
            .payload = jq_view_str("p"),
        };
        jq_grant_write(&jobs, &grant);
    }
    const struct jq_msg msg = { .tag = JQ_MSG_GRANTS,
                                .u.grants.jobs = jq_records_of(count, &jobs) };
    fetch_apply(f, &msg);
    jq_buf_fini(&jobs);
}

void fetch_ack(struct fetch_fixture *f, uint64_t id, uint64_t fence, bool fenced)
{
    struct jq_buf held = { 0 };
    struct jq_msg msg = { .tag = JQ_MSG_DONE_ACK };
    jq_held_write(&held, &(struct jq_held){ .id = id, .fence = fence });
    if (fenced)
        msg.u.done_ack.fenced = jq_records_of(1, &held);
    else
        msg.u.done_ack.each = jq_records_of(1, &held);
    fetch_apply(f, &msg);
    jq_buf_fini(&held);
}

void fetch_end(struct fetch_fixture *f, enum jq_where where, size_t count, uint64_t wall_us)
{
    struct jq_run_list ended = { 0 };
    struct jq_buf scratch = { 0 };
    while (count-- > 0) {
        struct jq_run *run = jq_run_list_pop(&f->out[where]);
        struct jq_outcome outcome = { 0 };
        assert_non_null(run);
        run->wall_us = wall_us;
        jq_run_end(run, &outcome, &scratch);
        jq_run_list_push(&ended, run);
    }
    jq_buf_fini(&scratch);
    settle(f, jq_fetch_finished(f->fetch, f->now, &ended));
}

void fetch_end_returned(struct fetch_fixture *f, enum jq_where where)
{
    struct jq_run_list ended = { 0 };
    struct jq_run *run = jq_run_list_pop(&f->out[where]);
    assert_non_null(run);
    run->returned = true;
    jq_run_list_push(&ended, run);
    settle(f, jq_fetch_finished(f->fetch, f->now, &ended));
}

void fetch_answer_recall(struct fetch_fixture *f, struct jq_run_list *runs)
{
    settle(f, jq_fetch_recalled(f->fetch, f->now, runs));
}

struct jq_msg fetch_sent(struct fetch_fixture *f, enum jq_tag tag)
{
    for (size_t i = 0; i < f->sent_count; i++) {
        if (f->sent[i].tag != tag)
            continue;
        const struct jq_msg msg = f->sent[i];
        f->sent[i].tag = (enum jq_tag)0; /* taken; its bytes stay until fetch_clear */
        return msg;
    }
    fail_msg("no frame of kind %s was sent", jq_msg_name(tag));
    return (struct jq_msg){ 0 };
}

size_t fetch_count(const struct fetch_fixture *f, enum jq_tag tag)
{
    size_t count = 0;
    for (size_t i = 0; i < f->sent_count; i++)
        count += f->sent[i].tag == tag;
    return count;
}

void fetch_clear(struct fetch_fixture *f)
{
    while (f->sent_count > 0)
        jq_buf_fini(&f->frames[--f->sent_count]);
    f->cancelled_count = 0;
}

void assert_ids(struct jq_msg msg, uint64_t first, uint64_t count)
{
    uint64_t seen = 0;
    const bool done = msg.tag == JQ_MSG_DONE;
    struct jq_reader reader = jq_records_reader(done ? msg.u.done.outcomes : msg.u.release.jobs);
    struct jq_outcome outcome;
    struct jq_held held;
    assert_true(count <= 64);
    while (done ? jq_outcome_next(&reader, &outcome) : jq_held_next(&reader, &held)) {
        const uint64_t id = done ? outcome.id : held.id;
        const uint64_t bit = UINT64_C(1) << (id - first);
        assert_true(id >= first && id < first + count);
        assert_int_equal(done ? outcome.fence : held.fence, id + 100);
        assert_int_equal(seen & bit, 0);
        seen |= bit;
    }
    assert_true(seen == (count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1));
}

struct jq_records no_records(void)
{
    return (struct jq_records){ 0 };
}
