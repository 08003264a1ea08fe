/* SPDX-License-Identifier: MIT
 *
 * turn.c - see turn.h: completions, effects and the batch. Frames are turn_frames.c's. */
#include "broker/turn.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/log.h"
#include "proto/msg.h"

enum {
    GONE_PER_TURN = 1024,
    ROWS_AHEAD = JQ_JOBS_PER_FRAME, /* of reads that the store has; one read may exceed it */
    READS_WAITING_MAX = 4096,       /* more: no frame is read until the store has caught up */
};

static void free_read(struct jq_read *read)
{
    jq_free(read->ids);
    jq_free(read->key);
    jq_free(read->label);
}

static void free_done(struct jq_turn *turn)
{
    if (turn->done.batch)
        jq_core_give_batch(turn->core, turn->done.batch);
    jq_store_done_fini(&turn->done);
}

void jq_turn_init(struct jq_turn *turn)
{
    jq_dlist_init(&turn->late);
}

void jq_turn_fini(struct jq_turn *turn)
{
    jq_turn_late_fini(turn);
    if (turn->batch)
        jq_core_give_batch(turn->core, turn->batch);
    if (turn->has_done)
        free_done(turn);
    if (turn->store) {
        jq_store_stop(turn->store);
        while (jq_store_take_done(turn->store, &turn->done))
            free_done(turn);
    }
    for (size_t i = turn->read_first; i < turn->read_count; i++)
        free_read(&turn->reads[i]);
    jq_free(turn->reads);
    turn->batch = NULL;
    turn->has_done = false;
    turn->reads = NULL;
    turn->read_first = 0;
    turn->read_count = 0;
    turn->read_capacity = 0;
}

/* ---- completions ---- */

static enum jq_err complete_commit(struct jq_turn *turn)
{
    struct jq_store_done *done = &turn->done;
    const uint64_t number = done->batch->number;

    if (done->err != JQ_OK) {
        jq_log(JQ_ERROR, "store.failed", "batch=%" PRIu64 " error=%s text=\"%s\"", number,
               jq_err_name(done->err), done->detail.text);
        return JQ_EUNKNOWN;
    }
    JQ_TRY(jq_core_durable(turn->core, turn->now, number, done->space_low));
    turn->metrics->commits++;
    turn->metrics->operations += done->batch->live;
    turn->durable = number;
    turn->space_low = done->space_low;
    jq_core_give_batch(turn->core, done->batch);
    done->batch = NULL;
    return JQ_OK;
}

static enum jq_err complete_read(struct jq_turn *turn)
{
    struct jq_store_done *done = &turn->done;

    JQ_TRY(jq_core_loaded(turn->core, turn->now, done->token, done->err, done->jobs, done->count,
                          done->more));
    turn->metrics->reads++;
    if (turn->cost_count > 0) {
        turn->cost -= turn->costs[turn->cost_first];
        turn->cost_first = (turn->cost_first + 1) % JQ_TURN_READS_AHEAD;
        turn->cost_count--;
    }
    if (done->err != JQ_OK)
        jq_log(JQ_WARN, "store.noread", "error=%s text=\"%s\"", jq_err_name(done->err),
               done->detail.text);
    return JQ_OK;
}

/* Room can come and go while nothing is committed. */
static void tell_space(struct jq_turn *turn)
{
    const bool low = jq_store_space_low(turn->store);

    if (low == turn->space_low)
        return;
    if (jq_core_durable(turn->core, turn->now, turn->durable, low) == JQ_OK)
        turn->space_low = low;
    else
        turn->starved = true;
}

enum jq_err jq_turn_complete(struct jq_turn *turn)
{
    while (turn->has_done || jq_store_take_done(turn->store, &turn->done)) {
        turn->has_done = true;
        const enum jq_err err =
            turn->done.kind == JQ_STORE_COMMITTED ? complete_commit(turn) : complete_read(turn);
        if (err == JQ_ENOMEM) {
            turn->starved = true;
            return JQ_OK;
        }
        if (err != JQ_OK)
            return err;
        turn->has_done = false;
        jq_store_done_fini(&turn->done);
    }
    tell_space(turn);
    return JQ_OK;
}

/* ---- the batch, and the reads behind it ---- */

static uint32_t cost_of(const struct jq_read *read)
{
    return read->kind == JQ_READ_JOBS ? read->count : read->kind == JQ_READ_LIST ? read->limit : 1;
}

static bool may_hand(const struct jq_turn *turn, const struct jq_read *read)
{
    /* The store runs it after every commit that it has been given. */
    return read->after <= turn->handed && turn->cost_count < JQ_TURN_READS_AHEAD &&
           (turn->cost_count == 0 || turn->cost + cost_of(read) <= ROWS_AHEAD);
}

/* In order: one that waits for its batch, which is about to leave, holds up those behind it. */
static void hand_reads(struct jq_turn *turn)
{
    while (turn->read_first < turn->read_count) {
        struct jq_read *read = &turn->reads[turn->read_first];
        if (!may_hand(turn, read))
            return;
        if (jq_store_read(turn->store, read) != JQ_OK) {
            turn->starved = true;
            return;
        }
        const uint32_t last = (turn->cost_first + turn->cost_count++) % JQ_TURN_READS_AHEAD;
        turn->costs[last] = cost_of(read);
        turn->cost += cost_of(read);
        turn->group = read->group;
        free_read(read);
        turn->read_first++;
    }
    turn->read_first = 0;
    turn->read_count = 0;
}

/* No commit between the reads of one request: what was not there for the first must not be there
 * for the last. */
static bool is_in_group(const struct jq_turn *turn)
{
    return turn->read_first < turn->read_count && turn->group != 0 &&
           turn->reads[turn->read_first].group == turn->group;
}

static void hand_batch(struct jq_turn *turn, bool all)
{
    if (!turn->batch && jq_store_idle(turn->store) &&
        (all || jq_core_wants_commit(turn->core, turn->now)))
        turn->batch = jq_core_take_batch(turn->core, turn->now);
    if (turn->batch) {
        const uint64_t number = turn->batch->number;
        if (jq_store_commit(turn->store, turn->batch) == JQ_OK) {
            turn->batch = NULL;
            turn->handed = number;
        } else {
            turn->starved = true;
        }
    }
}

void jq_turn_batch(struct jq_turn *turn, bool all)
{
    if (is_in_group(turn))
        hand_reads(turn);
    if (!is_in_group(turn))
        hand_batch(turn, all);
    if (turn->read_count > 0)
        hand_reads(turn);
}

bool jq_turn_is_behind(const struct jq_turn *turn)
{
    return turn->batch || turn->read_count - turn->read_first > READS_WAITING_MAX ||
           jq_turn_late_is_full(turn) || (jq_core_full(turn->core) && !jq_store_idle(turn->store));
}

bool jq_turn_is_settled(const struct jq_turn *turn)
{
    return !turn->starved && !turn->batch && !turn->has_done && turn->durable == turn->handed;
}

/* ---- effects ---- */

/* Room for one more, before an effect is taken: it could not be given back. */
static bool reserve_read(struct jq_turn *turn)
{
    if (turn->read_count < turn->read_capacity)
        return true;
    if (turn->read_first > turn->read_capacity / 2) { /* each is moved once in a long while */
        turn->read_count -= turn->read_first;
        memmove(turn->reads, turn->reads + turn->read_first,
                turn->read_count * sizeof(*turn->reads));
        turn->read_first = 0;
        return true;
    }
    const size_t capacity = turn->read_capacity ? turn->read_capacity * 2 : 16;
    struct jq_read *reads = jq_realloc(turn->reads, capacity * sizeof(*reads));
    if (!reads)
        return false;
    turn->reads = reads;
    turn->read_capacity = capacity;
    return true;
}

/* As if the worker had said: these back, and no more until you hear of me. Without memory its lease
 * does the same, late. */
static void give_back(struct jq_turn *turn, uint64_t peer, struct jq_records grants)
{
    const struct jq_msg no_more = { .tag = JQ_MSG_CREDIT, .u.credit = { .draining = 1 } };
    struct jq_msg release = { .tag = JQ_MSG_RELEASE };
    struct jq_grant grant;
    struct jq_buf held = { 0 };

    for (struct jq_reader r = jq_records_reader(grants); jq_grant_next(&r, &grant);)
        jq_held_write(&held, &(struct jq_held){ .id = grant.id, .fence = grant.fence });
    release.u.release.jobs = jq_records_of(grants.count, &held);
    if (!jq_buf_ok(&held) || jq_core_apply(turn->core, turn->now, peer, &no_more) != JQ_OK ||
        jq_core_apply(turn->core, turn->now, peer, &release) != JQ_OK)
        jq_log(JQ_WARN, "grants.kept", "jobs=%" PRIu32, grants.count);
    jq_buf_fini(&held);
}

/* Jobs that nobody can have got must not wait for a lease, to be charged with a crash then. */
static void not_sent(struct jq_turn *turn, uint64_t peer, struct jq_view frame)
{
    struct jq_msg msg;

    if (jq_msg_decode(frame, &msg) == JQ_OK && msg.tag == JQ_MSG_GRANTS)
        give_back(turn, peer, msg.u.grants.jobs);
}

static void carry_out(struct jq_turn *turn, struct jq_effect *effect)
{
    switch (effect->kind) {
    case JQ_EFFECT_SEND:
        if (jq_peers_send(turn->peers, effect->peer, effect->u.frame.data, effect->u.frame.size,
                          turn->now.mono))
            effect->u.frame.data = NULL;
        else
            not_sent(turn, effect->peer, jq_view(effect->u.frame.data, effect->u.frame.size));
        break;
    case JQ_EFFECT_READ:
        turn->reads[turn->read_count++] = effect->u.read;
        effect->u.read.ids = NULL;
        effect->u.read.key = NULL;
        effect->u.read.label = NULL;
        break;
    case JQ_EFFECT_CLOSE:
        jq_peers_close(turn->peers, effect->peer);
        break;
    case JQ_EFFECT_TRACE:
        jq_log((enum jq_log_level)effect->u.trace.level, effect->u.trace.event, "%s",
               effect->u.trace.text);
        break;
    }
    jq_effect_fini(effect);
}

static void take_effects(struct jq_turn *turn)
{
    struct jq_effect effect;

    for (;;) {
        if (!reserve_read(turn)) {
            turn->starved = true;
            break;
        }
        if (!jq_core_take_effect(turn->core, turn->now, &effect))
            break;
        carry_out(turn, &effect);
    }
    if (turn->read_count > 0)
        hand_reads(turn);
}

void jq_turn_effects(struct jq_turn *turn)
{
    uint64_t peer;

    take_effects(turn);
    /* Sending shows who is gone, and telling the core so has effects again. */
    for (int i = 0; i < GONE_PER_TURN && (peer = jq_peers_gone(turn->peers)) != 0; i++) {
        if (jq_core_gone(turn->core, turn->now, peer) != JQ_OK) {
            turn->starved = true;
            return;
        }
        jq_peers_told(turn->peers, peer);
        take_effects(turn);
    }
}

void jq_turn_tick(struct jq_turn *turn)
{
    jq_peers_tick(turn->peers, turn->now.mono);
    if (turn->now.mono >= jq_core_next_at(turn->core) &&
        jq_core_tick(turn->core, turn->now) != JQ_OK)
        turn->starved = true;
}
