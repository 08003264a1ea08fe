/* SPDX-License-Identifier: MIT
 *
 * loop.h - jobqd's loop: when a turn happens, what signals do, and how it all stops.
 *
 * TERM or INT: with --local the worker drains first; then no frame is read any more, the open batch
 * is committed, and what became true by it is sent. A second one: leave now. HUP: `reload`. USR1:
 * the counters are logged. Loop thread only. */
#ifndef JQ_BROKER_LOOP_H
#define JQ_BROKER_LOOP_H

#include "broker/process.h"
#include "broker/sdnotify.h"
#include "broker/supervise.h"
#include "broker/turn.h"
#include "proto/base/time.h"

struct jq_loop_conf {
    struct jq_turn *turn;
    struct jq_wakeup *wakeup; /* the store's descriptor is added */
    const struct jq_sdnotify *notify;
    struct jq_supervise *supervise; /* NULL: none */
    jq_ms stop_grace_ms;            /* for the supervised worker */
    void (*reload)(void *arg);
    void *reload_arg;
};

enum jq_loop_end {
    JQ_LOOP_STOPPED, /* all that was open is durable and sent */
    JQ_LOOP_LEFT,    /* by a second signal */
    JQ_LOOP_FAILED,  /* a commit or the socket failed: logged; start again from disk */
};

enum jq_loop_end jq_loop_run(const struct jq_loop_conf *conf);

#endif
