/* SPDX-License-Identifier: MIT
 *
 * fetch.c - what comes in: messages, finished runs, ticks. See fetch_state.h for the invariants,
 * fetch_credit.c for the rule of credit, fetch_leave.c for the way out. */
#include "worker/fetch_state.h"

#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/limits.h"

enum {
    MISSED_MAX = 2,     /* unanswered questions before the link is held for dead */
    PAUSE_MS = 500,     /* after a run came back for want of resources */
    EXIT_PROTOCOL = 76, /* sysexits: EX_PROTOCOL, EX_NOPERM */
    EXIT_NOPERM = 77,
};

/* --- life --- */

struct jq_fetch *jq_fetch_new(const struct jq_fetch_conf *conf)
{
    JQ_CHECK(conf->session != 0 && conf->slots > 0 && conf->slots <= JQ_JOBS_PER_FRAME);
    struct jq_fetch *fetch = jq_alloc_zero(1, sizeof *fetch);
    if (fetch == NULL)
        return NULL;
    fetch->conf = *conf;
    fetch->heartbeat_ms = conf->heartbeat_ms;
    fetch->places[JQ_AT_THREAD].capacity = conf->threads;
    fetch->places[JQ_AT_EXEC].capacity = conf->slots;
    jq_fetch_shrink(fetch); /* nothing is known: jobs may be long */
    return fetch;
}

static void effect_fini(struct jq_fetch_effect *effect)
{
    jq_buf_fini(&effect->frame);
    jq_run_list_free(&effect->runs);
}

void jq_fetch_free(struct jq_fetch **fetch)
{
    struct jq_fetch *f = *fetch;
    if (f == NULL)
        return;
    *fetch = NULL;
    struct jq_run *run;
    for (size_t cursor = 0; (run = jq_map_next(&f->held, &cursor)) != NULL;) {
        if (run->state == JQ_RUN_ENDED)
            jq_run_free(&run); /* the others are lent, or in a START below */
    }
    for (; f->effect_at < f->effect_count; f->effect_at++)
        effect_fini(&f->effects[f->effect_at]);
    jq_free(f->effects);
    jq_map_fini(&f->held);
    jq_buf_fini(&f->done.records);
    jq_buf_fini(&f->release.records);
    jq_free(f);
}

/* --- effects --- */

struct jq_fetch_effect *jq_fetch_effect(struct jq_fetch *fetch, enum jq_fetch_effect_kind kind)
{
    if (fetch->effect_count == fetch->effect_capacity) {
        const size_t capacity = fetch->effect_capacity > 0 ? 2 * fetch->effect_capacity : 16;
        struct jq_fetch_effect *effects = jq_realloc(fetch->effects, capacity * sizeof *effects);
        if (effects == NULL) {
            fetch->out_of_memory = true;
            return NULL;
        }
        fetch->effects = effects;
        fetch->effect_capacity = capacity;
    }
    struct jq_fetch_effect *effect = &fetch->effects[fetch->effect_count++];
    *effect = (struct jq_fetch_effect){ .kind = kind };
    return effect;
}

bool jq_fetch_take_prompt(struct jq_fetch *fetch, struct jq_fetch_effect *ret_effect)
{
    if (fetch->effect_at == fetch->effect_count) {
        fetch->effect_at = fetch->effect_count = 0;
        return false;
    }
    *ret_effect = fetch->effects[fetch->effect_at++];
    return true;
}

bool jq_fetch_take_effect(struct jq_fetch *fetch, struct jq_now now,
                          struct jq_fetch_effect *ret_effect)
{
    if (jq_fetch_take_prompt(fetch, ret_effect))
        return true;
    /* The end of an input: what was gathered leaves, ends before the credit they free. */
    jq_fetch_close_frames(fetch);
    jq_fetch_tell_credit(fetch, now);
    return jq_fetch_take_prompt(fetch, ret_effect);
}

static enum jq_err result(const struct jq_fetch *fetch)
{
    return fetch->out_of_memory ? JQ_ENOMEM : JQ_OK;
}

void jq_fetch_forget(struct jq_fetch *fetch, struct jq_run *run)
{
    if (run->outcome != NULL && run->outcome != run->small)
        fetch->held_bytes -= run->outcome_size;
    JQ_CHECK(jq_map_remove(&fetch->held, run->id) == run);
    jq_run_free(&run);
}

void jq_fetch_cancel(struct jq_fetch *fetch, struct jq_run *run, jq_ms grace_ms)
{
    struct jq_fetch_effect *effect = jq_fetch_effect(fetch, JQ_FETCH_CANCEL);
    if (effect == NULL)
        return;
    effect->where = run->where;
    effect->run = run;
    effect->grace_ms = grace_ms;
}

/* The session holds it no more, whoever says so. */
static void disown(struct jq_fetch *fetch, struct jq_run *run)
{
    if (run->state == JQ_RUN_ENDED) {
        jq_fetch_forget(fetch, run);
        return;
    }
    JQ_CHECK(jq_map_remove(&fetch->held, run->id) == run);
    run->discard = true;
    jq_fetch_cancel(fetch, run, 0); /* somebody else may have started it already */
}

/* --- the link --- */

enum jq_err jq_fetch_link_up(struct jq_fetch *fetch, struct jq_now now)
{
    fetch->heard_at = now.mono;
    fetch->missed = 0;
    if (fetch->stage != JQ_STAGE_LEFT)
        jq_fetch_greet(fetch, now);
    return result(fetch);
}

void jq_fetch_link_down(struct jq_fetch *fetch, struct jq_now now)
{
    (void)now;
    fetch->link = JQ_LINK_DOWN;
}

static void ask_if_silent(struct jq_fetch *fetch, struct jq_now now)
{
    if (fetch->link == JQ_LINK_DOWN || fetch->stage == JQ_STAGE_LEFT)
        return;
    const jq_ms since = fetch->heard_at > fetch->asked_at ? fetch->heard_at : fetch->asked_at;
    if (now.mono < jq_ms_add(since, fetch->heartbeat_ms))
        return;
    if (fetch->missed >= MISSED_MAX) {
        fetch->link = JQ_LINK_DOWN;
        jq_fetch_effect(fetch, JQ_FETCH_RENEW);
        return;
    }
    fetch->missed++;
    fetch->asked_at = now.mono;
    if (fetch->link == JQ_LINK_GREETING) {
        jq_fetch_greet(fetch, now);
        return;
    }
    const struct jq_msg ping = { .tag = JQ_MSG_PING,
                                 .correlation = 1,
                                 .u.ping.stamp = (uint64_t)now.mono };
    jq_fetch_send(fetch, &ping);
}

static void on_welcome(struct jq_fetch *fetch, struct jq_now now, const struct jq_msg *msg)
{
    (void)now;
    if (fetch->link != JQ_LINK_GREETING || msg->correlation != fetch->hello_number)
        return; /* of a HELLO that has been repeated: its counts are not ours */
    const struct jq_welcome *welcome = &msg->u.welcome;
    fetch->link = JQ_LINK_UP;
    fetch->received = 0;
    fetch->credit = 0;
    fetch->draining_told = false;
    if (welcome->heartbeat_ms > 0 && welcome->heartbeat_ms < INT32_MAX)
        fetch->heartbeat_ms = (jq_ms)welcome->heartbeat_ms;
    struct jq_fetch_effect *effect = jq_fetch_effect(fetch, JQ_FETCH_BEAT);
    if (effect != NULL)
        effect->beat_ms = fetch->heartbeat_ms;

    struct jq_held lost;
    uint64_t count = 0;
    for (struct jq_reader r = jq_records_reader(welcome->lost); jq_held_next(&r, &lost);) {
        struct jq_run *run = jq_map_find(&fetch->held, lost.id);
        if (run == NULL || run->fence != lost.fence)
            continue;
        disown(fetch, run);
        count++;
    }
    if (count > 0 && (effect = jq_fetch_effect(fetch, JQ_FETCH_LOST)) != NULL)
        effect->count = count;
    const struct jq_run *run;
    for (size_t cursor = 0; (run = jq_map_next(&fetch->held, &cursor)) != NULL;) {
        if (run->state == JQ_RUN_ENDED)
            jq_fetch_tell_done(fetch, run);
    }
}

static void on_error(struct jq_fetch *fetch, struct jq_now now, const struct jq_msg *msg)
{
    if (msg->u.error.error == JQ_ENOHELLO) {
        /* While greeting it is about something sent before the HELLO: WELCOME is on its way. */
        if (fetch->link == JQ_LINK_UP)
            jq_fetch_greet(fetch, now);
        return;
    }
    struct jq_fetch_effect *effect = jq_fetch_effect(fetch, JQ_FETCH_REFUSED);
    if (effect == NULL)
        return;
    jq_buf_append(&effect->frame, msg->u.error.text.data, msg->u.error.text.size);
    effect->status = (int)msg->u.error.error;
    /* Others, such as BUSY, pass: HELLO is repeated after a heartbeat. */
    if (msg->u.error.error == JQ_EVERSION || msg->u.error.error == JQ_EAUTH) {
        fetch->link = JQ_LINK_DOWN;
        const int status = msg->u.error.error == JQ_EVERSION ? EXIT_PROTOCOL : EXIT_NOPERM;
        if (jq_fetch_leave(fetch, now, status) != JQ_OK)
            return; /* out_of_memory is set: the caller's result says so */
    }
}

/* --- work --- */

static bool is_exec(const struct jq_grant *grant)
{
    return jq_view_equal(grant->handler, jq_view_str("exec"));
}

static void start(struct jq_fetch *fetch, struct jq_now now, enum jq_where where,
                  struct jq_run_list *runs)
{
    if (runs->count == 0)
        return;
    struct jq_fetch_effect *effect = jq_fetch_effect(fetch, JQ_FETCH_START);
    if (effect == NULL)
        return;
    struct jq_place *place = &fetch->places[where];
    if (place->out - runs->count <= place->capacity) /* nothing waited before these */
        place->progress_at = now.mono;
    effect->where = where;
    effect->runs = *runs;
    *runs = (struct jq_run_list){ 0 };
}

static void start_all(struct jq_fetch *fetch, struct jq_now now, struct jq_run_list runs[JQ_WHERES])
{
    for (int where = 0; where < JQ_WHERES; where++)
        start(fetch, now, (enum jq_where)where, &runs[where]);
}

/* NULL: not taken; it went back, or was here already. */
static struct jq_run *take_grant(struct jq_fetch *fetch, struct jq_now now,
                                 struct jq_run_list runs[JQ_WHERES], const struct jq_grant *grant)
{
    const enum jq_where where = is_exec(grant) ? JQ_AT_EXEC : JQ_AT_THREAD;
    struct jq_run *old = jq_map_find(&fetch->held, grant->id);
    if (old != NULL && old->fence >= grant->fence)
        return NULL; /* again, or late */
    if (old != NULL) {
        /* Granted anew, so the broker has given up on that one. It may stand in this very frame,
         * and an executor must have a run before it is told to end it. */
        start_all(fetch, now, runs);
        disown(fetch, old);
    }
    if (where == JQ_AT_EXEC)
        jq_fetch_shrink(fetch);
    const struct jq_place *place = &fetch->places[where];
    if (fetch->stage != JQ_STAGE_WORKING || fetch->held.count >= JQ_HELD_MAX ||
        (where == JQ_AT_EXEC && place->out >= place->capacity)) {
        jq_fetch_tell_release(fetch, grant->id, grant->fence);
        return NULL;
    }
    struct jq_run *run = jq_run_new(grant, where);
    if (run == NULL || jq_map_put(&fetch->held, run->id, run) != JQ_OK) {
        jq_run_free(&run);
        fetch->out_of_memory = true;
        return NULL;
    }
    return run;
}

static void on_grants(struct jq_fetch *fetch, struct jq_now now, const struct jq_grants *grants)
{
    if (fetch->link != JQ_LINK_UP)
        return; /* granted before our HELLO, which does not list them: they go back */
    struct jq_run_list runs[JQ_WHERES] = { 0 };
    const uint64_t before = jq_fetch_outstanding(fetch);
    fetch->received += grants->jobs.count;
    struct jq_grant grant;
    for (struct jq_reader r = jq_records_reader(grants->jobs); jq_grant_next(&r, &grant);) {
        struct jq_run *run = take_grant(fetch, now, runs, &grant);
        if (run == NULL)
            continue;
        jq_run_list_push(&runs[run->where], run);
        fetch->places[run->where].out++;
    }
    jq_fetch_starved(fetch, before);
    start_all(fetch, now, runs);
}

static void on_done_ack(struct jq_fetch *fetch, const struct jq_done_ack *ack)
{
    struct jq_held held;
    for (struct jq_reader r = jq_records_reader(ack->each); jq_held_next(&r, &held);) {
        struct jq_run *run = jq_map_find(&fetch->held, held.id);
        if (run != NULL && run->fence == held.fence && run->state == JQ_RUN_ENDED)
            jq_fetch_forget(fetch, run);
    }
    uint64_t fenced = 0;
    for (struct jq_reader r = jq_records_reader(ack->fenced); jq_held_next(&r, &held);) {
        struct jq_run *run = jq_map_find(&fetch->held, held.id);
        if (run == NULL || run->fence != held.fence)
            continue;
        disown(fetch, run);
        fenced++;
    }
    struct jq_fetch_effect *effect;
    if (fenced > 0 && (effect = jq_fetch_effect(fetch, JQ_FETCH_FENCED)) != NULL)
        effect->count = fenced;
}

static void on_kills(struct jq_fetch *fetch, const struct jq_kills *kills)
{
    struct jq_kill kill;
    for (struct jq_reader r = jq_records_reader(kills->jobs); jq_kill_next(&r, &kill);) {
        struct jq_run *run = jq_map_find(&fetch->held, kill.id);
        if (run == NULL || run->fence != kill.fence || run->state != JQ_RUN_OUT)
            continue;
        if (!run->cancelled) /* its executor may be reading the reason from then on */
            jq_run_set_reason(run, kill.reason);
        run->cancelled = true;
        jq_fetch_cancel(fetch, run, kill.grace_ms < INT32_MAX ? (jq_ms)kill.grace_ms : INT32_MAX);
    }
}

enum jq_err jq_fetch_apply(struct jq_fetch *fetch, struct jq_now now, const struct jq_msg *msg)
{
    fetch->heard_at = now.mono;
    fetch->missed = 0;
    if (fetch->stage == JQ_STAGE_LEFT)
        return result(fetch);
    /* Not a switch: of the many messages only these are for a worker. */
    if (msg->tag == JQ_MSG_GRANTS) {
        on_grants(fetch, now, &msg->u.grants);
    } else if (msg->tag == JQ_MSG_DONE_ACK) {
        on_done_ack(fetch, &msg->u.done_ack);
    } else if (msg->tag == JQ_MSG_WELCOME) {
        on_welcome(fetch, now, msg);
    } else if (msg->tag == JQ_MSG_ERROR) {
        on_error(fetch, now, msg);
    } else if (msg->tag == JQ_MSG_KILLS) {
        on_kills(fetch, &msg->u.kills);
    } else if (msg->tag == JQ_MSG_LOG_READ) {
        const struct jq_log_read *read = &msg->u.log_read;
        const struct jq_log_request request = {
            .correlation = msg->correlation,
            .id = read->id,
            .stream = read->stream,
            .offset = read->offset,
            .limit = read->limit,
            .follow = read->follow != 0,
        };
        jq_fetch_answer_read(fetch, &request);
    } else if (msg->tag == JQ_MSG_PING) {
        const struct jq_msg pong = { .tag = JQ_MSG_PONG,
                                     .correlation = msg->correlation,
                                     .u.pong.stamp = msg->u.ping.stamp };
        jq_fetch_send(fetch, &pong);
    }
    jq_fetch_leave_tick(fetch, now);
    return result(fetch);
}

static void give_back(struct jq_fetch *fetch, struct jq_run *run)
{
    jq_fetch_tell_release(fetch, run->id, run->fence);
    jq_fetch_forget(fetch, run);
}

enum jq_err jq_fetch_finished(struct jq_fetch *fetch, struct jq_now now, struct jq_run_list *runs)
{
    JQ_CHECK(fetch->effect_at == fetch->effect_count);
    for (struct jq_run *run; (run = jq_run_list_pop(runs)) != NULL;) {
        struct jq_place *place = &fetch->places[run->where];
        JQ_CHECK(place->out > 0 && run->state == JQ_RUN_OUT);
        place->out--;
        place->progress_at = now.mono;
        if (run->discard) {
            jq_run_free(&run);
            continue;
        }
        run->state = JQ_RUN_ENDED;
        if (run->outcome != NULL && run->outcome != run->small)
            fetch->held_bytes += run->outcome_size;
        if (run->returned) {
            fetch->pause_until = jq_ms_add(now.mono, PAUSE_MS);
            give_back(fetch, run);
        } else if (run->give_back) {
            give_back(fetch, run);
        } else {
            jq_fetch_measure(fetch, run);
            jq_fetch_tell_done(fetch, run);
        }
    }
    jq_fetch_leave_tick(fetch, now);
    return result(fetch);
}

enum jq_err jq_fetch_recalled(struct jq_fetch *fetch, struct jq_now now, struct jq_run_list *runs)
{
    for (struct jq_run *run; (run = jq_run_list_pop(runs)) != NULL;) {
        fetch->places[run->where].out--;
        if (run->discard)
            jq_run_free(&run);
        else
            give_back(fetch, run);
    }
    for (int where = 0; where < JQ_WHERES; where++) {
        fetch->places[where].recalling = false;
        fetch->places[where].progress_at = now.mono;
    }
    jq_fetch_leave_tick(fetch, now);
    return result(fetch);
}

enum jq_err jq_fetch_read_again(struct jq_fetch *fetch, const struct jq_log_request *read)
{
    jq_fetch_answer_read(fetch, read);
    return result(fetch);
}

/* --- time --- */

enum jq_err jq_fetch_tick(struct jq_fetch *fetch, struct jq_now now)
{
    if (fetch->pause_until <= now.mono)
        fetch->pause_until = 0;
    ask_if_silent(fetch, now);
    jq_fetch_watch_places(fetch, now);
    jq_fetch_leave_tick(fetch, now);
    return result(fetch);
}

jq_ms jq_fetch_next_at(const struct jq_fetch *fetch)
{
    jq_ms at = jq_fetch_places_at(fetch);
    if (fetch->link != JQ_LINK_DOWN) {
        const jq_ms since = fetch->heard_at > fetch->asked_at ? fetch->heard_at : fetch->asked_at;
        at = jq_ms_min(at, jq_ms_add(since, fetch->heartbeat_ms));
    }
    if (fetch->stage == JQ_STAGE_DRAINING || fetch->stage == JQ_STAGE_ENDING)
        at = jq_ms_min(at, fetch->stage_ends_at);
    return fetch->stage == JQ_STAGE_LEFT ? JQ_NEVER : at;
}

/* --- looking --- */

struct jq_fetch_view jq_fetch_look(const struct jq_fetch *fetch)
{
    return (struct jq_fetch_view){
        .held = fetch->held.count,
        .outstanding = jq_fetch_outstanding(fetch),
        .window = jq_fetch_window(fetch),
        .received = fetch->received,
        .credit = fetch->credit,
        .welcomed = fetch->link == JQ_LINK_UP,
        .leaving = fetch->stage != JQ_STAGE_WORKING,
    };
}

void jq_fetch_check(const struct jq_fetch *fetch)
{
    uint64_t out[JQ_WHERES] = { 0 };
    uint64_t bytes = 0;
    const struct jq_run *run;
    for (size_t cursor = 0; (run = jq_map_next(&fetch->held, &cursor)) != NULL;) {
        JQ_CHECK(!run->discard);
        JQ_CHECK(run->state == JQ_RUN_OUT || run->outcome != NULL);
        if (run->state == JQ_RUN_OUT)
            out[run->where]++; /* which may have set the outcome already */
        else if (run->outcome != run->small)
            bytes += run->outcome_size;
    }
    for (int where = 0; where < JQ_WHERES; where++)
        JQ_CHECK(out[where] <= fetch->places[where].out);
    JQ_CHECK(fetch->places[JQ_AT_EXEC].out <= fetch->conf.slots);
    JQ_CHECK(fetch->held.count <= JQ_HELD_MAX);
    JQ_CHECK(bytes == fetch->held_bytes);
    JQ_CHECK(fetch->link == JQ_LINK_UP || fetch->done.count == 0);
}
