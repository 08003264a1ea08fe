/* SPDX-License-Identifier: MIT
 *
 * link.h - is the broker there? HELLO and WELCOME, PING while we wait for something, silence, and
 * when a connection is given up for a new one. Pure: time is an argument, what is to be done comes
 * out as flags.
 *
 * Silence counts from an unanswered question, never from the last word heard: a program that did
 * something else for a minute must not find its connection "silent" when it comes back. */
#ifndef JQ_CLIENT_LINK_H
#define JQ_CLIENT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "client/request.h"
#include "proto/base/err.h"
#include "proto/base/rng.h"
#include "proto/base/time.h"
#include "proto/msg.h"

/* HELLO and PING carry it; requests have greater ones, submits smaller ones. */
#define JQ_LINK_CORRELATION (UINT64_C(1) << 62)

enum jq_link_action {
    JQ_LINK_HELLO = 1,  /* send HELLO, then all that is unanswered */
    JQ_LINK_PING = 2,   /* send PING */
    JQ_LINK_REOPEN = 4, /* close the socket, open a new one */
};

struct jq_link {
    bool is_up;       /* connected, as the transport says */
    bool is_hailed;   /* HELLO was sent on this connection */
    bool is_welcome;  /* and answered */
    bool was_welcome; /* once, on any connection */
    bool hello_due;
    jq_ms heard_at;       /* any frame */
    jq_ms asked_at;       /* the oldest HELLO or PING with nothing heard since; JQ_NEVER: none */
    jq_ms reopen_at;      /* JQ_NEVER: no need */
    jq_ms hello_again_at; /* NOHELLO came after our HELLO; JQ_NEVER: it did not */
    jq_ms heartbeat_ms;
    jq_ms patience;      /* heartbeats of silence, then a new connection */
    unsigned failures;   /* new connections in a row that brought no WELCOME */
    enum jq_err refused; /* VERSION, AUTH ...: what the broker said to HELLO; until a WELCOME */
    struct jq_detail refused_text;
    struct jq_broker_said said; /* with the last WELCOME */
    struct jq_rng rng;
};

void jq_link_init(struct jq_link *link, uint64_t seed, jq_ms now);
void jq_link_up(struct jq_link *link, jq_ms now);   /* a connection is there: it has to be hailed */
void jq_link_down(struct jq_link *link, jq_ms now); /* the socket was replaced */
/* Every frame. True: the message was the link's own and is dealt with. */
bool jq_link_heard(struct jq_link *link, jq_ms now, const struct jq_msg *msg);
/* The broker speaks a version that we do not. */
void jq_link_refuse(struct jq_link *link, jq_ms now, enum jq_err err, struct jq_view text);
/* After reading all there is to read. `waiting`: answers are due, so silence matters. Returns
 * enum jq_link_action flags that the caller carries out; HELLO when it is really sent. */
unsigned jq_link_tick(struct jq_link *link, jq_ms now, bool waiting);
void jq_link_sent(struct jq_link *link, jq_ms now, enum jq_link_action action);
jq_ms jq_link_next_at(const struct jq_link *link, bool waiting); /* when tick has work */

#endif
