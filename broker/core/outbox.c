/* SPDX-License-Identifier: MIT
 *
 * outbox.c - what leaves the core: frames, reads, traces. Promises wait in `held`, ordered by the
 * batch that makes them true; the rest leaves at once. Records for one peer share frames. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/crc32c.h"

/* ---- entries ---- */

static void out_free(struct jq_out *out)
{
    jq_dlist_remove(&out->link);
    if (out->watcher)
        out->watcher->out = NULL;
    jq_buf_fini(&out->bytes);
    if (out->kind == JQ_EFFECT_READ) {
        jq_free(out->u.read.ids);
        jq_free(out->u.read.key);
        jq_free(out->u.read.label);
    }
    jq_free(out);
}

static struct jq_out *out_new(enum jq_effect_kind kind)
{
    const bool has_more = kind == JQ_EFFECT_READ || kind == JQ_EFFECT_TRACE;
    /* Of a frame, of which there are very many, without `u`. */
    struct jq_out *out = jq_alloc_zero(1, has_more ? sizeof *out : offsetof(struct jq_out, u));
    if (out)
        out->kind = kind;
    return out;
}

static void becomes_true(struct jq_core *core, struct jq_out *out)
{
    if (out->tag == JQ_MSG_DONE_ACK)
        jq_late_acks(core, out);
    else
        jq_dlist_append(&core->ready_out, &out->link);
}

/* Batches are asked for nearly in order: the place is found from the end. */
static void enqueue(struct jq_core *core, struct jq_out *out, uint64_t batch)
{
    out->batch = batch;
    if (batch <= core->durable) {
        becomes_true(core, out);
        return;
    }
    struct jq_dlink *at = jq_dlist_last(&core->held);
    while (at && JQ_ELEMENT(at, struct jq_out, link)->batch > batch)
        at = jq_dlist_prev(&core->held, at);
    jq_dlist_put_before(at ? at->next : core->held.head.next, &out->link);
}

void jq_break_peer(struct jq_core *core, struct jq_peer *peer)
{
    peer->broken = true;
    if (!jq_dlink_used(&peer->in_broken))
        jq_dlist_append(&core->broken, &peer->in_broken);
    if (peer->worker)
        jq_worker_idle(core, peer->worker);
}

/* May more be told? One frame always fits, however large. */
static bool may_tell(struct jq_core *core, struct jq_peer *peer)
{
    if (!peer->broken && peer->out_bytes >= core->conf.out_bytes_max)
        jq_break_peer(core, peer);
    return !peer->broken;
}

/* The frame has grown. */
static void charge(struct jq_core *core, struct jq_peer *peer, struct jq_out *out)
{
    peer->out_bytes += out->bytes.size - out->charged;
    out->charged = out->bytes.size;
    out->peer_token = peer->token;
    if (peer->worker)
        jq_worker_idle(core, peer->worker);
}

static void uncharge(struct jq_core *core, struct jq_out *out)
{
    struct jq_peer *peer = out->charged ? jq_peer_find(core, out->peer) : NULL;

    if (!peer || peer->token != out->peer_token)
        return;
    peer->out_bytes -= out->charged;
    out->charged = 0;
    if (!jq_dlist_empty(&peer->watchers))
        core->events.due = true;
    if (peer->worker)
        jq_worker_idle(core, peer->worker);
}

/* ---- telling ---- */

/* NULL: the peer is lost. */
static struct jq_out *tell(struct jq_core *core, struct jq_peer *peer, uint64_t batch,
                           const struct jq_msg *msg)
{
    if (!may_tell(core, peer))
        return NULL;
    struct jq_out *out = out_new(JQ_EFFECT_SEND);
    if (!out || jq_msg_encode(msg, &out->bytes) != JQ_OK) {
        if (out)
            out_free(out);
        jq_break_peer(core, peer);
        return NULL;
    }
    out->peer = peer->id;
    enqueue(core, out, batch);
    charge(core, peer, out);
    if (batch > core->durable)
        jq_batch_urge(core, batch);
    return out;
}

void jq_tell(struct jq_core *core, struct jq_peer *peer, uint64_t batch, const struct jq_msg *msg)
{
    if (peer)
        tell(core, peer, batch, msg);
}

void jq_tell_events(struct jq_core *core, struct jq_watcher *watcher,
                    const struct jq_events *events)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_EVENTS,
        .correlation = watcher->correlation,
        .u.events = *events,
    };

    watcher->out = tell(core, watcher->peer, JQ_AT_ONCE, &msg);
    if (watcher->out)
        watcher->out->watcher = watcher;
}

void jq_tell_error(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                   enum jq_err err, const char *text)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_ERROR,
        .correlation = correlation,
        .u.error = { .error = err, .text = jq_view_str(text ? text : jq_err_text(err)) },
    };

    core->count.refused++;
    jq_tell(core, peer, JQ_AT_ONCE, &msg);
}

void jq_tell_stranger(struct jq_core *core, uint64_t id, uint64_t correlation, enum jq_err err,
                      const char *text)
{
    struct jq_out *out = out_new(JQ_EFFECT_SEND);
    const struct jq_msg msg = {
        .tag = JQ_MSG_ERROR,
        .correlation = correlation,
        .u.error = { .error = err, .text = jq_view_str(text ? text : jq_err_text(err)) },
    };

    core->count.refused++;
    if (!out)
        return; /* it will ask again */
    if (jq_msg_encode(&msg, &out->bytes) != JQ_OK) {
        out_free(out);
        return;
    }
    out->peer = id;
    enqueue(core, out, JQ_AT_ONCE);
}

static const struct {
    enum jq_tag tag;
    bool urgent; /* somebody waits for it */
} fills[] = {
    [JQ_FILL_GRANTS] = { JQ_MSG_GRANTS, true },
    [JQ_FILL_RESULTS] = { JQ_MSG_RESULTS, true },
    [JQ_FILL_ACKS] = { JQ_MSG_DONE_ACK, false },
};

struct jq_buf *jq_tell_record(struct jq_core *core, struct jq_peer *peer, uint64_t batch,
                              enum jq_fill fill, uint64_t correlation)
{
    if (!may_tell(core, peer))
        return NULL;
    if (batch <= core->durable)
        batch = JQ_AT_ONCE;
    if (fill == JQ_FILL_ACKS && batch == JQ_AT_ONCE && peer->acks)
        peer->filling[fill] = peer->acks;
    struct jq_out *out = peer->filling[fill];
    const bool fits = out && out->correlation == correlation && out->batch == batch &&
                      out->count < JQ_JOBS_PER_FRAME && out->bytes.size < JQ_FRAME_SOFT;

    if (!fits) {
        out = out_new(JQ_EFFECT_SEND);
        if (!out) {
            jq_break_peer(core, peer);
            return NULL;
        }
        out->peer = peer->id;
        out->tag = fills[fill].tag;
        out->correlation = correlation;
        enqueue(core, out, batch);
        peer->filling[fill] = out;
    }
    if (batch && fills[fill].urgent)
        jq_batch_urge(core, batch);
    return &out->bytes;
}

void jq_tell_record_end(struct jq_core *core, struct jq_peer *peer, enum jq_fill fill)
{
    struct jq_out *out = peer->filling[fill];

    if (out && jq_buf_ok(&out->bytes)) {
        out->count++;
        charge(core, peer, out);
        if (fill == JQ_FILL_ACKS)
            jq_late_grown(core, peer);
    } else {
        jq_break_peer(core, peer);
    }
}

void jq_close_peer(struct jq_core *core, uint64_t peer)
{
    struct jq_out *out = out_new(JQ_EFFECT_CLOSE);

    if (!out)
        return; /* the edge forgets silent connections by itself */
    out->peer = peer;
    enqueue(core, out, JQ_AT_ONCE);
}

void jq_trace(struct jq_core *core, int level, const char *event, const char *format, ...)
{
    struct jq_out *out = out_new(JQ_EFFECT_TRACE);
    va_list args;

    if (!out)
        return;
    out->u.trace.level = level;
    out->u.trace.event = event;
    va_start(args, format);
    vsnprintf(out->u.trace.text, sizeof out->u.trace.text, format, args);
    va_end(args);
    enqueue(core, out, JQ_AT_ONCE);
}

enum jq_err jq_ask_store(struct jq_core *core, const struct jq_read *read)
{
    struct jq_out *out = out_new(JQ_EFFECT_READ);

    if (!out)
        return JQ_ENOMEM;
    out->u.read = *read;
    /* The store answers reads after the batches it was given before: taken is enough. */
    if (read->after <= core->meta.commit_sequence) {
        enqueue(core, out, JQ_AT_ONCE);
    } else {
        enqueue(core, out, read->after);
        jq_batch_urge(core, read->after);
    }
    return JQ_OK;
}

/* ---- leaving ---- */

void jq_outbox_release(struct jq_core *core)
{
    struct jq_dlink *next;

    for (struct jq_dlink *at = jq_dlist_first(&core->held); at; at = next) {
        struct jq_out *out = JQ_ELEMENT(at, struct jq_out, link);
        next = jq_dlist_next(&core->held, at);
        const bool due = out->batch <= core->durable ||
                         (out->kind == JQ_EFFECT_READ && out->batch <= core->meta.commit_sequence);
        if (!due) {
            if (out->batch > core->meta.commit_sequence)
                return;
            continue;
        }
        jq_dlist_remove(&out->link);
        becomes_true(core, out);
    }
}

void jq_outbox_free(struct jq_core *core)
{
    struct jq_dlist *const lists[] = { &core->held, &core->ready_out };
    struct jq_dlink *link;

    for (size_t i = 0; i < 2; i++)
        while ((link = jq_dlist_first(lists[i])))
            out_free(JQ_ELEMENT(link, struct jq_out, link));
}

/* No more records may join this frame. */
static void seal(const struct jq_core *core, struct jq_out *out)
{
    struct jq_peer *peer = jq_peer_find(core, out->peer);

    for (size_t i = 0; peer && i < sizeof peer->filling / sizeof peer->filling[0]; i++)
        if (peer->filling[i] == out)
            peer->filling[i] = NULL;
}

bool jq_out_merge(struct jq_core *core, struct jq_peer *peer, struct jq_out *into,
                  struct jq_out *out)
{
    if (out->count == 0 || into->count + out->count > JQ_JOBS_PER_FRAME ||
        jq_buf_reserve(&into->bytes, out->bytes.size) != JQ_OK)
        return false;
    jq_buf_append(&into->bytes, out->bytes.data, out->bytes.size);
    into->count += out->count;
    into->is_urgent |= out->is_urgent;
    into->batch = JQ_AT_ONCE;
    uncharge(core, out);
    charge(core, peer, into);
    seal(core, out);
    out_free(out);
    return true;
}

static enum jq_err encode_records(const struct jq_out *out, struct jq_buf *frame)
{
    const struct jq_records records = jq_records_of(out->count, &out->bytes);
    struct jq_msg msg = { .tag = out->tag, .correlation = out->correlation };

    if (out->tag == JQ_MSG_GRANTS)
        msg.u.grants.jobs = records;
    else if (out->tag == JQ_MSG_RESULTS)
        msg.u.results = (struct jq_results){ .results = records, .first_id = out->first_id };
    else {
        JQ_CHECK(out->tag == JQ_MSG_DONE_ACK);
        msg.u.done_ack.each = records;
    }
    JQ_TRY(jq_buf_reserve(frame, out->bytes.size + 64));
    return jq_msg_encode(&msg, frame);
}

/* False: there is nothing to send after all. */
static bool take_frame(struct jq_core *core, struct jq_out *out, struct jq_effect *ret)
{
    struct jq_peer *peer = jq_peer_find(core, out->peer);
    struct jq_buf frame = { 0 };

    if (!out->tag) {
        /* A refused HELLO is answered to a connection that is no peer: send it all the same. */
        frame = out->bytes;
        out->bytes = (struct jq_buf){ 0 };
    } else {
        seal(core, out);
        if (!peer)
            return false;
        if (out->count == 0 || encode_records(out, &frame) != JQ_OK) {
            jq_break_peer(core, peer);
            jq_buf_fini(&frame);
            return false;
        }
    }
    ret->kind = JQ_EFFECT_SEND;
    ret->peer = out->peer;
    ret->u.frame.data = jq_buf_take(&frame, &ret->u.frame.size);
    core->hash = core->hash * UINT64_C(0x9e3779b97f4a7c15) +
                 (out->peer ^ jq_crc32c(0, ret->u.frame.data, ret->u.frame.size));
    return true;
}

static void drop_broken(struct jq_core *core)
{
    struct jq_dlink *link;

    while ((link = jq_dlist_first(&core->broken))) {
        struct jq_peer *peer = JQ_ELEMENT(link, struct jq_peer, in_broken);
        const uint64_t id = peer->id;
        jq_peer_drop(core, peer);
        jq_close_peer(core, id);
    }
}

/* Jobs that were granted have left places. True: others may be granted now. */
static bool resolve_rooms(struct jq_core *core)
{
    if (jq_dlist_empty(&core->uneven) || jq_room_resolve(core) != JQ_OK)
        return false;
    return jq_grant_due(core) || jq_items_due(core);
}

bool jq_core_take_effect(struct jq_core *core, struct jq_now now, struct jq_effect *ret_effect)
{
    core->now = now;
    do {
        if (jq_grant_due(core))
            jq_grant_all(core);
        if (jq_items_due(core))
            jq_items_give(core);
    } while (resolve_rooms(core) || jq_limit_wake_more(core));
    drop_broken(core);
    for (struct jq_dlink *link; (link = jq_dlist_first(&core->ready_out));) {
        struct jq_out *out = JQ_ELEMENT(link, struct jq_out, link);
        bool took = true;
        uncharge(core, out);
        ret_effect->kind = out->kind;
        ret_effect->peer = out->peer;
        if (out->kind == JQ_EFFECT_SEND) {
            took = take_frame(core, out, ret_effect);
        } else if (out->kind == JQ_EFFECT_READ) {
            ret_effect->u.read = out->u.read;
            out->u.read.ids = NULL;
            out->u.read.key = NULL;
            out->u.read.label = NULL;
        } else if (out->kind == JQ_EFFECT_TRACE) {
            ret_effect->u.trace = out->u.trace;
        }
        out_free(out);
        if (took)
            return true;
        drop_broken(core);
    }
    return false;
}

void jq_effect_fini(struct jq_effect *effect)
{
    if (effect->kind == JQ_EFFECT_SEND) {
        jq_free(effect->u.frame.data);
        effect->u.frame.data = NULL;
    } else if (effect->kind == JQ_EFFECT_READ) {
        jq_free(effect->u.read.ids);
        jq_free(effect->u.read.key);
        jq_free(effect->u.read.label);
        effect->u.read.ids = NULL;
        effect->u.read.key = NULL;
        effect->u.read.label = NULL;
    }
}
