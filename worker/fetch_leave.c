/* SPDX-License-Identifier: MIT
 *
 * fetch_leave.c - how a worker leaves.
 *
 *   working --drain--> draining --grace is over--> ending --all back, or too late--> left
 *                         \__ all ended and acknowledged ___________________________/
 *
 * draining: CREDIT says so; what has not started goes back at once; the rest may run for the grace.
 * ending: what still runs gets TERM, then KILL, and goes back uncharged when it has ended, so that
 * it does not run twice at once. A handler on a thread cannot be killed: it goes back when the
 * stage ends, as the process does. BYE is the last word. */
#include "worker/fetch_state.h"

enum { LAST_WORDS_MS = 2000 }; /* for the kill to show and the last acknowledgement to come */

static void recall_all(struct jq_fetch *fetch)
{
    for (int where = 0; where < JQ_WHERES; where++) {
        struct jq_place *place = &fetch->places[where];
        if (place->out == 0 || place->recalling)
            continue;
        struct jq_fetch_effect *effect = jq_fetch_effect(fetch, JQ_FETCH_RECALL);
        if (effect == NULL)
            return;
        effect->where = (enum jq_where)where;
        place->recalling = true;
    }
}

static void end_all(struct jq_fetch *fetch, struct jq_now now, jq_ms grace_ms)
{
    fetch->stage = JQ_STAGE_ENDING;
    fetch->stage_ends_at = jq_ms_add(now.mono, jq_ms_add(grace_ms, LAST_WORDS_MS));
    struct jq_run *run;
    for (size_t cursor = 0; (run = jq_map_next(&fetch->held, &cursor)) != NULL;) {
        if (run->state != JQ_RUN_OUT)
            continue;
        run->give_back = true;
        jq_fetch_cancel(fetch, run, grace_ms);
    }
}

static void leave_now(struct jq_fetch *fetch)
{
    /* The last words may follow a HELLO at once: there is no time for its WELCOME. */
    const bool greeting = fetch->link == JQ_LINK_GREETING;
    if (greeting)
        fetch->link = JQ_LINK_UP;
    const struct jq_run *run;
    for (size_t cursor = 0; (run = jq_map_next(&fetch->held, &cursor)) != NULL;) {
        if (run->state == JQ_RUN_OUT)
            jq_fetch_tell_release(fetch, run->id, run->fence);
        else if (greeting)
            jq_fetch_tell_done(fetch, run);
    }
    jq_fetch_close_frames(fetch);
    if (fetch->link == JQ_LINK_UP) {
        const struct jq_msg bye = { .tag = JQ_MSG_BYE };
        jq_fetch_send(fetch, &bye);
    }
    fetch->stage = JQ_STAGE_LEFT;
    struct jq_fetch_effect *effect = jq_fetch_effect(fetch, JQ_FETCH_LEAVE);
    if (effect != NULL)
        effect->status = fetch->status;
}

void jq_fetch_leave_tick(struct jq_fetch *fetch, struct jq_now now)
{
    if (fetch->stage == JQ_STAGE_WORKING || fetch->stage == JQ_STAGE_LEFT)
        return;
    if (fetch->held.count == 0 && jq_fetch_outstanding(fetch) == 0) {
        leave_now(fetch);
        return;
    }
    if (now.mono < fetch->stage_ends_at)
        return;
    if (fetch->stage == JQ_STAGE_DRAINING)
        end_all(fetch, now, fetch->conf.kill_after_ms);
    else
        leave_now(fetch);
}

enum jq_err jq_fetch_drain(struct jq_fetch *fetch, struct jq_now now, int status)
{
    if (status != 0)
        fetch->status = status;
    if (fetch->stage != JQ_STAGE_WORKING)
        return JQ_OK;
    fetch->stage = JQ_STAGE_DRAINING;
    fetch->stage_ends_at = jq_ms_add(now.mono, fetch->conf.grace_ms);
    recall_all(fetch);
    return jq_fetch_tick(fetch, now);
}

enum jq_err jq_fetch_leave(struct jq_fetch *fetch, struct jq_now now, int status)
{
    if (fetch->stage == JQ_STAGE_LEFT)
        return JQ_OK;
    if (status != 0)
        fetch->status = status;
    recall_all(fetch);
    end_all(fetch, now, 0);
    return jq_fetch_tick(fetch, now);
}
