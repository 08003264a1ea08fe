/* SPDX-License-Identifier: MIT
 *
 * loop.c - see loop.h. */
#include "broker/loop.h"

#include <inttypes.h>
#include <signal.h>

#include "broker/turn_clock.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

enum {
    STARVED_MS = 10, /* until memory is asked for again */
    BUSY_MS = 10,    /* an open batch that is due has to wait for the store, which wakes us */
};

enum phase {
    PHASE_SERVE,
    PHASE_DRAIN, /* serving still, until the supervised worker has left */
    PHASE_FLUSH, /* reading no more; until all that is open is durable */
};

struct loop {
    const struct jq_loop_conf *conf;
    struct jq_turn *turn;
    struct jq_turn_clock clock;
    enum phase phase;
    bool is_listening; /* frames were read in the last turn */
    bool has_more;     /* and there may be more of them */
    bool is_woken;     /* there may be signals */
    bool is_leaving;
    jq_ms drain_until;
    jq_ms watchdog_at;
};

/* ---- signals ---- */

static void stop(struct loop *loop, int number)
{
    const bool again = loop->phase != PHASE_SERVE;

    jq_log(JQ_INFO, "broker.stopping", "signal=%s%s", number == SIGTERM ? "TERM" : "INT",
           again ? " now=yes" : "");
    jq_sdnotify_send(loop->conf->notify, "STOPPING=1\nSTATUS=Stopping");
    if (again) {
        loop->is_leaving = true;
        return;
    }
    loop->phase = PHASE_FLUSH;
    if (loop->conf->supervise) {
        loop->phase = PHASE_DRAIN;
        loop->drain_until = jq_ms_add(loop->turn->now.mono, loop->conf->stop_grace_ms);
        jq_supervise_stop(loop->conf->supervise);
    }
}

static void take_signals(struct loop *loop)
{
    int number;

    while ((number = jq_wakeup_signal(loop->conf->wakeup)) != 0) {
        switch (number) {
        case SIGTERM:
        case SIGINT:
            stop(loop, number);
            break;
        case SIGHUP:
            loop->conf->reload(loop->conf->reload_arg);
            break;
        case SIGUSR1:
            jq_metrics_log(loop->turn->metrics);
            break;
        case SIGCHLD:
            if (loop->conf->supervise)
                jq_supervise_reap(loop->conf->supervise, loop->turn->now.mono);
            break;
        default:
            break;
        }
    }
}

/* ---- waiting ---- */

static jq_ms next_at(const struct loop *loop)
{
    const struct jq_loop_conf *conf = loop->conf;
    const jq_ms now = loop->turn->now.mono;
    jq_ms at = jq_core_next_at(loop->turn->core);

    /* What is due and could not be done now: for the store, or for want of memory. */
    if (at <= now && (loop->turn->starved || !jq_store_idle(loop->turn->store)))
        at = now + BUSY_MS;
    at = jq_ms_min(at, jq_peers_next_at(loop->turn->peers));
    if (conf->supervise)
        at = jq_ms_min(at, jq_supervise_next_at(conf->supervise));
    if (loop->phase == PHASE_DRAIN)
        at = jq_ms_min(at, loop->drain_until);
    if (conf->notify->watchdog_ms > 0)
        at = jq_ms_min(at, loop->watchdog_at);
    if (loop->turn->starved)
        at = jq_ms_min(at, now + STARVED_MS);
    return at;
}

/* Sleeps until there is something to do; *ret_slept is how long it meant to at most. */
static enum jq_err wait_for_work(struct loop *loop, jq_ms *ret_slept)
{
    *ret_slept = 0;
    loop->is_woken = true;
    if (loop->has_more)
        return JQ_OK;
    const jq_ms at = next_at(loop);
    const jq_ms left = at == JQ_NEVER ? JQ_NEVER : at - loop->turn->now.mono;
    const int timeout = left == JQ_NEVER   ? -1
                        : left < 0         ? 0
                        : left < INT32_MAX ? (int)left
                                           : INT32_MAX;
    *ret_slept = timeout < 0 ? JQ_NEVER : timeout;
    if (!loop->is_listening)
        return jq_wakeup_wait(loop->conf->wakeup, timeout);
    return jq_transport_poll(loop->turn->transport, loop->conf->wakeup->fd, timeout,
                             &loop->is_woken);
}

/* ---- the turn ---- */

static void read_clock(struct loop *loop, jq_ms slept)
{
    loop->turn->now = jq_turn_clock_read(&loop->clock, jq_clock_now(), slept, loop->is_listening);
    if (loop->clock.absence > 0)
        jq_log(JQ_WARN, "broker.absent", "ms=%" PRId64, loop->clock.absence);
}

static void keep_time(struct loop *loop)
{
    const struct jq_loop_conf *conf = loop->conf;
    const jq_ms now = loop->turn->now.mono;

    if (conf->notify->watchdog_ms > 0 && now >= loop->watchdog_at) {
        jq_sdnotify_send(conf->notify, "WATCHDOG=1");
        loop->watchdog_at = now + conf->notify->watchdog_ms;
    }
    if (conf->supervise)
        jq_supervise_tick(conf->supervise, now);
    if (loop->phase == PHASE_DRAIN &&
        (!jq_supervise_runs(conf->supervise) || now >= loop->drain_until))
        loop->phase = PHASE_FLUSH;
}

/* The batch before all else, also before what came of the last one: the disk is the slowest. */
static enum jq_err turn_once(struct loop *loop)
{
    struct jq_turn *turn = loop->turn;
    const bool all = loop->phase == PHASE_FLUSH;

    turn->starved = false;
    jq_turn_batch(turn, all);
    JQ_TRY(jq_turn_complete(turn));
    jq_turn_effects(turn);
    const bool more_late = !all && jq_turn_late(turn);
    loop->is_listening = !all && !jq_turn_is_behind(turn);
    loop->has_more = (loop->is_listening && jq_turn_frames(turn)) || more_late;
    turn->metrics->turns++;
    jq_turn_tick(turn);
    jq_turn_batch(turn, all);
    jq_turn_effects(turn);
    return JQ_OK;
}

enum jq_loop_end jq_loop_run(const struct jq_loop_conf *conf)
{
    struct loop loop = { .conf = conf, .turn = conf->turn, .is_listening = true, .is_woken = true };
    jq_ms slept = 0;

    for (;;) {
        read_clock(&loop, slept);
        if (loop.is_woken)
            take_signals(&loop);
        keep_time(&loop);
        if (loop.is_leaving)
            return JQ_LOOP_LEFT;
        if (turn_once(&loop) != JQ_OK)
            return JQ_LOOP_FAILED;
        if (loop.phase == PHASE_FLUSH && jq_turn_is_settled(loop.turn))
            return JQ_LOOP_STOPPED;
        if (wait_for_work(&loop, &slept) != JQ_OK) {
            jq_log(JQ_ERROR, "socket.failed", "error=EIO");
            return JQ_LOOP_FAILED;
        }
    }
}
