/* SPDX-License-Identifier: MIT
 *
 * turn_play.c - see turn_play.h. */
#include "tests/unit/broker/turn_play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/msg.h"

struct play play;
struct jq_metrics metrics;

/* ---- the core ---- */

enum jq_err jq_core_apply(struct jq_core *core, struct jq_now now, uint64_t peer,
                          const struct jq_msg *msg)
{
    struct jq_held held;

    (void)core, (void)now, (void)peer;
    play.tags[play.applied++ % 8] = msg->tag;
    if (msg->tag == JQ_MSG_CREDIT)
        play.is_draining = msg->u.credit.draining != 0;
    if (msg->tag == JQ_MSG_RELEASE) {
        struct jq_reader r = jq_records_reader(msg->u.release.jobs);
        while (jq_held_next(&r, &held))
            play.released = held.id;
    }
    return play.apply;
}

enum jq_err jq_core_gone(struct jq_core *core, struct jq_now now, uint64_t peer)
{
    (void)core, (void)now, (void)peer;
    play.gone++;
    play.applied_before_gone = play.applied;
    return JQ_OK;
}

enum jq_err jq_core_tick(struct jq_core *core, struct jq_now now)
{
    (void)core, (void)now;
    return JQ_OK;
}

jq_ms jq_core_next_at(const struct jq_core *core)
{
    (void)core;
    return JQ_NEVER;
}

enum jq_err jq_core_durable(struct jq_core *core, struct jq_now now, uint64_t number,
                            bool space_low)
{
    (void)core, (void)now, (void)number, (void)space_low;
    play.durables += play.durable == JQ_OK;
    return play.durable;
}

enum jq_err jq_core_loaded(struct jq_core *core, struct jq_now now, uint64_t token, enum jq_err err,
                           const struct jq_loaded_job *jobs, size_t count, bool more)
{
    (void)core, (void)now, (void)token, (void)err, (void)jobs, (void)count, (void)more;
    play.loads += play.loaded == JQ_OK;
    return play.loaded;
}

bool jq_core_take_effect(struct jq_core *core, struct jq_now now, struct jq_effect *ret_effect)
{
    (void)core, (void)now;
    if (play.effect_count == 0)
        return false;
    *ret_effect = play.effects[0];
    play.effect_count--;
    memmove(play.effects, play.effects + 1, play.effect_count * sizeof(play.effects[0]));
    return true;
}

void jq_effect_fini(struct jq_effect *effect)
{
    if (effect->kind == JQ_EFFECT_SEND) {
        jq_free(effect->u.frame.data);
    } else if (effect->kind == JQ_EFFECT_READ) {
        jq_free(effect->u.read.ids);
        jq_free(effect->u.read.key);
        jq_free(effect->u.read.label);
    }
}

bool jq_core_wants_commit(const struct jq_core *core, struct jq_now now)
{
    (void)core, (void)now;
    return play.wants_commit;
}

bool jq_core_full(const struct jq_core *core)
{
    (void)core;
    return play.is_full;
}

bool jq_core_crowded(const struct jq_core *core)
{
    (void)core;
    return play.is_crowded;
}

struct jq_batch *jq_core_take_batch(struct jq_core *core, struct jq_now now)
{
    (void)core, (void)now;
    if (!play.has_batch)
        return NULL;
    play.has_batch = false;
    play.batch.number++;
    return &play.batch;
}

void jq_core_give_batch(struct jq_core *core, struct jq_batch *batch)
{
    (void)core;
    assert_ptr_equal(batch, &play.batch);
    play.given++;
}

/* ---- the store ---- */

enum jq_err jq_store_commit(struct jq_store *store, struct jq_batch *batch)
{
    (void)store, (void)batch;
    play.committed += play.commit == JQ_OK;
    return play.commit;
}

enum jq_err jq_store_read(struct jq_store *store, const struct jq_read *read)
{
    (void)store, (void)read;
    play.reads += play.read == JQ_OK;
    return play.read;
}

bool jq_store_idle(const struct jq_store *store)
{
    (void)store;
    return play.is_idle || (play.idle_after > 0 && play.applied >= play.idle_after);
}

bool jq_store_take_done(struct jq_store *store, struct jq_store_done *ret_done)
{
    (void)store;
    if (play.done_count == 0)
        return false;
    *ret_done = play.done[--play.done_count];
    return true;
}

bool jq_store_space_low(const struct jq_store *store)
{
    (void)store;
    return play.is_space_low;
}

void jq_store_stop(struct jq_store *store)
{
    (void)store;
}

void jq_store_done_fini(struct jq_store_done *done)
{
    (void)done;
}

/* ---- the socket ---- */

enum jq_received jq_transport_receive(struct jq_transport *transport, uint64_t *ret_route,
                                      int *ret_fd, struct jq_view *ret_frame)
{
    (void)transport;
    *ret_fd = play.fd;
    if (play.frame_count == 0)
        return JQ_RECEIVED_NOTHING;
    *ret_frame = play.frames[--play.frame_count];
    *ret_route = play.routes[play.frame_count] ? play.routes[play.frame_count] : 5;
    play.frame_count += play.is_endless;
    return JQ_RECEIVED;
}

bool jq_transport_ended(struct jq_transport *transport, int *ret_fd)
{
    (void)transport;
    if (play.end_count == 0)
        return false;
    *ret_fd = play.ends[--play.end_count];
    return true;
}

struct jq_in_flight *jq_in_flight_new(void)
{
    return NULL;
}

int64_t jq_in_flight_bytes(const struct jq_in_flight *in_flight)
{
    (void)in_flight;
    return 0;
}

void jq_in_flight_drop(struct jq_in_flight **in_flight)
{
    *in_flight = NULL;
}

static enum jq_sent take_sent(void *arg, uint64_t route, uint8_t *data, size_t size,
                              struct jq_in_flight *in_flight)
{
    (void)arg, (void)route, (void)in_flight;
    if (play.is_nobody_there)
        return JQ_SENT_NOBODY;
    jq_buf_clear(&play.sent);
    jq_buf_append(&play.sent, data, size);
    jq_free(data);
    play.sent_count++;
    return JQ_SENT;
}

/* ---- fixtures ---- */

int open_turn(void **state)
{
    static struct jq_turn turn;
    const struct jq_peers_conf conf = {
        .peers_max = 8, .out_max_bytes = 1 << 20, .silence_ms = 1000, .send = take_sent
    };

    memset(&play, 0, sizeof(play));
    memset(&metrics, 0, sizeof(metrics));
    play.is_idle = true;
    turn = (struct jq_turn){ .metrics = &metrics, .now = { .mono = 1000, .wall = 1 } };
    jq_turn_init(&turn);
    turn.peers = jq_peers_new(&conf, &metrics);
    *state = &turn;
    return turn.peers ? 0 : -1;
}

int close_turn(void **state)
{
    struct jq_turn *turn = *state;

    jq_turn_fini(turn);
    jq_peers_free(&turn->peers);
    jq_buf_fini(&play.sent);
    return 0;
}
