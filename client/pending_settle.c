/* SPDX-License-Identifier: MIT
 *
 * pending_settle.c - what becomes of items: what several threads want at the same time shares a
 * SETTLE, which is sent again until it is answered. */
#include "client/pending.h"
#include "proto/base/alloc.h"

static struct jq_settlement *element(struct jq_dlink *link)
{
    return link ? JQ_ELEMENT(link, struct jq_settlement, link) : NULL;
}

void jq_pending_settle(struct jq_pending *p, struct jq_settlement *settle,
                       enum jq_settle_action action, uint64_t ms)
{
    settle->action = action;
    settle->ms = ms;
    settle->is_done = false;
    settle->err = JQ_OK;
    jq_dlist_append(&p->settles, &settle->link);
}

void jq_pending_settle_abandon(struct jq_settlement *settle)
{
    settle->is_repeated = settle->is_repeated || (settle->ask && settle->ask->was_sent);
    settle->ask = NULL;
    jq_dlist_remove(&settle->link);
}

/* ---- asking ---- */

static enum jq_err write_all(struct jq_pending *p, struct jq_buf *records, uint32_t *ret_count)
{
    struct jq_dlink *link = NULL;
    uint32_t count = 0;

    while (count < JQ_JOBS_PER_FRAME && (link = jq_dlist_next(&p->settles, link))) {
        const struct jq_settlement *s = element(link);
        const struct jq_settling record = {
            .id = s->id, .fence = s->fence, .action = s->action, .ms = s->ms
        };
        jq_settling_write(records, &record);
        count++;
    }
    *ret_count = count;
    return jq_buf_ok(records) ? JQ_OK : JQ_ENOMEM;
}

static enum jq_err ask_for_some(struct jq_pending *p)
{
    struct jq_buf records = { 0 };
    uint32_t count = 0;
    struct jq_ask *ask = jq_ask_new(p, JQ_ASK_SETTLE);
    enum jq_err err = ask ? write_all(p, &records, &count) : JQ_ENOMEM;

    if (err == JQ_OK) {
        const struct jq_msg msg = {
            .tag = JQ_MSG_SETTLE,
            .correlation = p->correlation + 1,
            .u.settle.items = jq_records_of(count, &records),
        };
        err = jq_ask_encode(ask, &msg);
    }
    jq_buf_fini(&records);
    if (err != JQ_OK) {
        jq_free(ask);
        return err;
    }
    jq_dlist_init(&ask->u.settle.wanted);
    ask->u.settle.count = count;
    ask->is_prompt = true;
    for (uint32_t i = 0; i < count; i++) {
        struct jq_settlement *s = element(jq_dlist_first(&p->settles));
        jq_dlist_remove(&s->link);
        s->ask = ask;
        s->index = i;
        jq_dlist_append(&ask->u.settle.wanted, &s->link);
    }
    jq_ask_number(p, ask, ++p->correlation);
    jq_dlist_append(&p->others, &ask->in_list);
    jq_ask_queue(p, ask);
    return JQ_OK;
}

void jq_settle_flush(struct jq_pending *p, jq_ms now)
{
    while (!jq_dlist_empty(&p->settles) && now >= p->settle_at)
        if (ask_for_some(p) != JQ_OK)
            p->settle_at = jq_ms_add(now, JQ_MEMORY_RETRY_MS);
}

/* ---- answers ---- */

/* What an earlier copy of a request may have done already is no error. */
static enum jq_err judge(const struct jq_settlement *s, enum jq_err err)
{
    const bool is_lost = s->item && s->item->is_lost;

    if (err == JQ_EALREADY && s->is_repeated && !is_lost && s->action == JQ_SETTLE_DONE)
        return JQ_OK;
    /* It is back: by us, or because the lease was lost. */
    if (err == JQ_EFENCED && s->is_repeated && s->action == JQ_SETTLE_NACK)
        return JQ_OK;
    return err == JQ_EALREADY && is_lost ? JQ_EFENCED : err;
}

static void finish(struct jq_pending *p, struct jq_settlement *s, enum jq_err err)
{
    s->is_repeated = s->is_repeated || s->ask->is_repeated;
    s->err = judge(s, err);
    s->is_done = true;
    s->ask = NULL;
    jq_dlist_remove(&s->link);
    const bool has_left = s->item && jq_dlink_used(&s->item->in_leaving);
    if (has_left && s->err != JQ_OK)
        jq_pending_note_error(p, s->err, jq_view_str(jq_err_text(s->err)));
    if (has_left || (s->item && s->item->is_given)) {
        jq_pending_drop_item(p, s->item);
    } else if (s->action == JQ_SETTLE_EXTEND) {
        s->is_repeated = false; /* it can be asked for as often as one likes */
        if (s->item && err == JQ_OK)
            s->item->is_timed = true;
    }
}

void jq_settle_answered(struct jq_pending *p, struct jq_ask *ask, const struct jq_msg *msg)
{
    const bool is_error = msg->tag == JQ_MSG_ERROR;
    enum jq_err err = JQ_EPROTO;
    struct jq_reader r = { 0 };
    struct jq_settlement *s;

    if (is_error && msg->u.error.error < 0)
        err = (enum jq_err)msg->u.error.error;
    const bool is_answer =
        msg->tag == JQ_MSG_SETTLED && msg->u.settled.each.count == ask->u.settle.count;
    if (is_answer)
        r = jq_records_reader(msg->u.settled.each);
    for (uint32_t i = 0; i < ask->u.settle.count; i++) {
        struct jq_ack ack = { .error = err };
        if (is_answer && !jq_ack_next(&r, &ack))
            ack.error = JQ_EPROTO;
        s = element(jq_dlist_first(&ask->u.settle.wanted));
        if (s && s->index == i)
            finish(p, s, ack.error <= 0 ? (enum jq_err)ack.error : JQ_EPROTO);
    }
    jq_ask_free(p, ask);
}

void jq_settle_reset(struct jq_ask *ask)
{
    struct jq_settlement *s;

    while ((s = element(jq_dlist_first(&ask->u.settle.wanted)))) {
        s->ask = NULL;
        jq_dlist_remove(&s->link);
    }
}
