/* SPDX-License-Identifier: MIT
 *
 * link.c - the state of one connection to the broker. */
#include "client/link.h"

#include <string.h>

enum {
    HEARTBEAT_MS = 3000, /* until WELCOME says its own */
    PATIENCE = 2,        /* heartbeats of silence after a question, then a new connection */
    PATIENCE_MAX = 64,   /* twice as long each time until something is answered: one large frame may
                            take longer than that, and would be sent anew for ever */
    HELLO_AGAIN_MS = 200,
    REOPEN_FIRST_MS = 100,
    REOPEN_MAX_MS = 5000,
    REFUSED_RETRY_MS = 5000, /* the broker may have been replaced by one that takes us */
};

void jq_link_init(struct jq_link *link, uint64_t seed, jq_ms now)
{
    *link = (struct jq_link){
        .heard_at = now,
        .asked_at = JQ_NEVER,
        .reopen_at = JQ_NEVER,
        .hello_again_at = JQ_NEVER,
        .heartbeat_ms = HEARTBEAT_MS,
        .patience = PATIENCE,
    };
    jq_rng_init(&link->rng, seed);
}

/* Doubles with each failure; half of it is random, so that a crowd does not come back as one. */
static jq_ms backoff(struct jq_link *link, jq_ms first)
{
    jq_ms ms = first;

    for (unsigned i = 0; i < link->failures && ms < REOPEN_MAX_MS; i++)
        ms *= 2;
    if (ms > REOPEN_MAX_MS)
        ms = REOPEN_MAX_MS;
    link->failures++;
    return ms / 2 + (jq_ms)jq_rng_below(&link->rng, (uint64_t)ms / 2 + 1);
}

void jq_link_up(struct jq_link *link, jq_ms now)
{
    link->is_up = true;
    link->is_hailed = link->is_welcome = false;
    link->hello_due = true;
    link->asked_at = now;
    link->reopen_at = link->hello_again_at = JQ_NEVER;
}

void jq_link_down(struct jq_link *link, jq_ms now)
{
    (void)now;
    link->is_up = link->is_hailed = link->is_welcome = link->hello_due = false;
    link->asked_at = link->reopen_at = link->hello_again_at = JQ_NEVER;
}

void jq_link_refuse(struct jq_link *link, jq_ms now, enum jq_err err, struct jq_view text)
{
    if (err != JQ_EBUSY) {
        link->refused = err;
        jq_detail_set(&link->refused_text, "%.*s", JQ_VIEW_ARG(text));
    }
    link->is_welcome = false;
    link->asked_at = JQ_NEVER;
    if (link->reopen_at == JQ_NEVER)
        link->reopen_at =
            jq_ms_add(now, backoff(link, err == JQ_EBUSY ? REOPEN_FIRST_MS : REFUSED_RETRY_MS));
}

static void welcome(struct jq_link *link, const struct jq_welcome *welcome)
{
    const uint64_t ms = welcome->heartbeat_ms;

    link->is_welcome = link->was_welcome = true;
    link->hello_again_at = JQ_NEVER;
    link->refused = JQ_OK;
    link->failures = 0;
    link->reopen_at = JQ_NEVER;
    link->heartbeat_ms = ms == 0 ? HEARTBEAT_MS : ms > 3600000 ? 3600000 : (jq_ms)ms;
    link->said =
        (struct jq_broker_said){ .pid = welcome->pid, .incarnation = welcome->incarnation };
    if (welcome->store_id.size == sizeof link->said.store_id)
        memcpy(link->said.store_id, welcome->store_id.data, sizeof link->said.store_id);
    if (welcome->software.size && welcome->software.size < sizeof link->said.software)
        memcpy(link->said.software, welcome->software.data, welcome->software.size);
}

static bool take_error(struct jq_link *link, jq_ms now, const struct jq_msg *msg)
{
    const enum jq_err err = (enum jq_err)msg->u.error.error;

    if (err == JQ_ENOHELLO) {
        /* What was sent before our HELLO is answered so, too. If no WELCOME follows soon, HELLO
         * itself was lost. */
        if (link->is_welcome || !link->is_hailed)
            jq_link_up(link, now);
        else
            link->hello_again_at = jq_ms_add(link->asked_at, HELLO_AGAIN_MS);
        return true;
    }
    if (msg->correlation != JQ_LINK_CORRELATION && msg->correlation != 0)
        return false;
    if (!link->is_welcome && link->is_hailed)
        jq_link_refuse(link, now, err, msg->u.error.text);
    return true;
}

bool jq_link_heard(struct jq_link *link, jq_ms now, const struct jq_msg *msg)
{
    link->heard_at = now;
    if (link->asked_at != JQ_NEVER && link->is_welcome)
        link->asked_at = JQ_NEVER;
    if (msg->tag == JQ_MSG_ERROR)
        return take_error(link, now, msg);
    if (msg->tag == JQ_MSG_WELCOME) {
        link->asked_at = JQ_NEVER;
        welcome(link, &msg->u.welcome);
        return true;
    }
    if (msg->tag == JQ_MSG_PONG && msg->correlation == JQ_LINK_CORRELATION)
        return true;
    link->patience = PATIENCE;
    return false;
}

static jq_ms silent_at(const struct jq_link *link)
{
    if (link->asked_at == JQ_NEVER || !link->is_up)
        return JQ_NEVER;
    return jq_ms_add(link->asked_at, link->patience * link->heartbeat_ms);
}

static jq_ms ping_at(const struct jq_link *link, bool waiting)
{
    if (!waiting || !link->is_welcome || link->asked_at != JQ_NEVER)
        return JQ_NEVER;
    return jq_ms_add(link->heard_at, link->heartbeat_ms);
}

unsigned jq_link_tick(struct jq_link *link, jq_ms now, bool waiting)
{
    unsigned actions = 0;

    if (now >= silent_at(link) && link->reopen_at == JQ_NEVER) {
        link->reopen_at = link->failures ? jq_ms_add(now, backoff(link, REOPEN_FIRST_MS)) : now;
        link->failures += link->reopen_at == now;
        if (link->is_welcome && link->patience < PATIENCE_MAX)
            link->patience *= 2;
    }
    if (now >= link->reopen_at)
        return JQ_LINK_REOPEN;
    if (now >= link->hello_again_at) {
        link->hello_again_at = JQ_NEVER;
        link->hello_due = true;
    }
    if (link->hello_due && link->is_up)
        actions |= JQ_LINK_HELLO;
    if (now >= ping_at(link, waiting))
        actions |= JQ_LINK_PING;
    return actions;
}

void jq_link_sent(struct jq_link *link, jq_ms now, enum jq_link_action action)
{
    if (action == JQ_LINK_HELLO) {
        link->hello_due = false;
        link->is_hailed = true;
    }
    if (action == JQ_LINK_HELLO || link->asked_at == JQ_NEVER)
        link->asked_at = now;
}

jq_ms jq_link_next_at(const struct jq_link *link, bool waiting)
{
    const jq_ms silent = link->reopen_at == JQ_NEVER ? silent_at(link) : link->reopen_at;

    return jq_ms_min(jq_ms_min(silent, link->hello_again_at), ping_at(link, waiting));
}
