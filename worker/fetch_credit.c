/* SPDX-License-Identifier: MIT
 *
 * fetch_credit.c - how much work the worker asks for.
 *
 * The rule. `outstanding` are the runs granted and not ended; at most `window` of them are wanted,
 * and CREDIT says received + (window - outstanding).
 *
 *  1. The window is `slots`, the number of commands at once.
 *  2. Commands never wait in a worker. A command granted while every slot is taken goes back at
 * once, uncharged, and the look-ahead ends (4).
 *  3. Handlers may be granted ahead of need, so that short ones stream. The window doubles each
 * time capacity stood idle (fewer than `slots` outstanding) although the broker had used all its
 *     credit: it stops growing at the first power of two that covers rate x round trip. It never
 *     exceeds `lookahead`, nor what would take 20 ms to run, and is `slots` while the measured run
 *     time (a moving average) is 10 ms or more.
 *  4. The look-ahead ends (window = slots, the average is taken to be long until shown short again)
 *     when a command is granted, or when a handler waits and none has ended for 20 ms: those that
 *     wait go back at once, and no more is asked for than threads are free until run times are
 *     short again. So no job waits behind a long one here while another worker is free.
 *  5. Credit told but not used is taken back by telling a lower total.
 *  6. Nothing is asked for while draining, for half a second after a run came back for want of
 *     processes or descriptors, while unacknowledged outcomes hold too many bytes, or past
 *     JQ_HELD_MAX runs held (what a HELLO can list).
 *
 * CREDIT is told when a slot would stand idle otherwise, or when a quarter of the window is free:
 * one frame for many jobs. */
#include "worker/fetch_state.h"

enum {
    LONG_US = 10000,        /* jobs as long as this are not looked ahead for */
    AHEAD_US = 2 * LONG_US, /* most work, as run time, that may wait here */
    STUCK_MS = 20,          /* jobs that wait this long without any ending go back */
    SAMPLE_MAX_US = 1000000 /* one long job is forgotten after some twenty short ones */
};

uint64_t jq_fetch_window(const struct jq_fetch *fetch)
{
    const uint64_t slots = fetch->conf.slots;
    if (fetch->short_us >= LONG_US)
        return slots;
    const uint64_t each_us = fetch->short_us > 0 ? (uint64_t)fetch->short_us : 1;
    uint64_t window = fetch->grown;
    const uint64_t worth = slots * AHEAD_US / each_us;
    if (window > worth)
        window = worth;
    if (window > fetch->conf.lookahead)
        window = fetch->conf.lookahead;
    return window > slots ? window : slots;
}

void jq_fetch_measure(struct jq_fetch *fetch, const struct jq_run *run)
{
    if (run->where != JQ_AT_THREAD)
        return;
    const int64_t us = run->wall_us < SAMPLE_MAX_US ? (int64_t)run->wall_us : SAMPLE_MAX_US;
    fetch->short_us += (us - fetch->short_us) / 8;
    if (fetch->short_us < LONG_US)
        fetch->places[JQ_AT_THREAD].tight = false;
}

void jq_fetch_starved(struct jq_fetch *fetch, uint64_t before)
{
    if (before >= fetch->conf.slots || fetch->received < fetch->credit ||
        fetch->short_us >= LONG_US)
        return;
    if (fetch->grown < fetch->conf.lookahead)
        fetch->grown *= 2;
}

void jq_fetch_shrink(struct jq_fetch *fetch)
{
    fetch->grown = fetch->conf.slots;
    fetch->short_us = LONG_US;
}

/* How many more grants there is room for. */
static uint64_t room(const struct jq_fetch *fetch, struct jq_now now)
{
    if (fetch->stage != JQ_STAGE_WORKING || now.mono < fetch->pause_until ||
        fetch->held_bytes > fetch->conf.held_bytes_max)
        return 0;
    const uint64_t window = jq_fetch_window(fetch);
    const uint64_t outstanding = jq_fetch_outstanding(fetch);
    uint64_t free = window > outstanding ? window - outstanding : 0;

    const struct jq_place *threads = &fetch->places[JQ_AT_THREAD];
    if (threads->tight) {
        const uint64_t idle =
            threads->capacity > threads->out ? threads->capacity - threads->out : 0;
        free = free < idle ? free : idle;
    }
    const uint64_t listed = fetch->held.count;
    const uint64_t listable = listed < JQ_HELD_MAX ? JQ_HELD_MAX - listed : 0;
    return free < listable ? free : listable;
}

void jq_fetch_tell_credit(struct jq_fetch *fetch, struct jq_now now)
{
    if (fetch->link != JQ_LINK_UP || fetch->stage == JQ_STAGE_LEFT)
        return;
    const bool draining = fetch->stage != JQ_STAGE_WORKING;
    const uint64_t total = fetch->received + room(fetch, now);
    if (!draining || fetch->draining_told) {
        if (total == fetch->credit)
            return;
        const uint64_t told = fetch->credit > fetch->received ? fetch->credit - fetch->received : 0;
        const bool idle = jq_fetch_outstanding(fetch) + told < fetch->conf.slots;
        if (total > fetch->credit && !idle && (total - fetch->credit) * 4 < jq_fetch_window(fetch))
            return;
    }
    fetch->credit = total;
    fetch->draining_told = draining;
    const struct jq_msg msg = {
        .tag = JQ_MSG_CREDIT,
        .u.credit = { .total = total, .draining = draining },
    };
    jq_fetch_send(fetch, &msg);
}

static bool waits(const struct jq_place *place)
{
    return place->out > place->capacity && !place->recalling;
}

void jq_fetch_watch_places(struct jq_fetch *fetch, struct jq_now now)
{
    struct jq_place *threads = &fetch->places[JQ_AT_THREAD];
    if (!waits(threads) || now.mono < jq_ms_add(threads->progress_at, STUCK_MS))
        return;
    struct jq_fetch_effect *effect = jq_fetch_effect(fetch, JQ_FETCH_RECALL);
    if (effect == NULL)
        return;
    effect->where = JQ_AT_THREAD;
    threads->recalling = true;
    threads->tight = true;
    jq_fetch_shrink(fetch);
}

jq_ms jq_fetch_places_at(const struct jq_fetch *fetch)
{
    const struct jq_place *threads = &fetch->places[JQ_AT_THREAD];
    jq_ms at = waits(threads) ? jq_ms_add(threads->progress_at, STUCK_MS) : JQ_NEVER;
    if (fetch->pause_until > 0)
        at = jq_ms_min(at, fetch->pause_until);
    return at;
}
