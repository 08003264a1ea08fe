/* SPDX-License-Identifier: MIT
 *
 * pending_wait.c - futures and the ends they wait for: what is wanted gathers into one WAIT, a
 * result settles every future of its job. */
#include <string.h>

#include "client/link.h"
#include "client/pending.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* ---- interests ---- */

enum jq_err jq_wait_reserve(struct jq_pending *p, struct jobq_future *future)
{
    JQ_TRY(jq_map_reserve(&p->interests, p->promised + 1));
    struct jq_interest *interest = jq_slab_take(&p->interest_slab);
    if (!interest)
        return JQ_ENOMEM;
    jq_dlist_init(&interest->futures);
    future->interest = interest;
    p->promised++;
    return JQ_OK;
}

static void give_back(struct jq_pending *p, struct jq_interest *interest)
{
    jq_slab_give(&p->interest_slab, interest);
}

/* No interest relies on it any more. */
static void end_ask(struct jq_pending *p, struct jq_ask *ask)
{
    if (ask->was_sent && ask->u.wait.has_more)
        jq_pending_notice(p, JQ_MSG_UNWAIT, ask->correlation);
    jq_ask_free(p, ask);
}

static void want_asked(struct jq_pending *p, struct jq_interest *interest)
{
    if (!interest->ask && !jq_dlink_used(&interest->in_unasked))
        jq_dlist_append(&p->unasked, &interest->in_unasked);
}

void jq_wait_join(struct jq_pending *p, struct jobq_future *future, bool ask_for_it)
{
    struct jq_interest *found = jq_map_find(&p->interests, future->id);

    p->promised--;
    if (found) {
        give_back(p, future->interest);
        future->interest = found;
    } else {
        found = future->interest;
        found->id = future->id;
        JQ_CHECK(jq_map_put(&p->interests, found->id, found) == JQ_OK); /* reserved */
    }
    jq_dlist_append(&found->futures, &future->in_interest);
    if (ask_for_it)
        want_asked(p, found);
}

bool jq_wait_rely(struct jq_pending *p, struct jobq_future *future, struct jq_ask *submit)
{
    jq_wait_join(p, future, false);
    struct jq_interest *interest = future->interest;
    if (interest->ask)
        return false;
    jq_dlist_remove(&interest->in_unasked);
    interest->ask = submit;
    return true;
}

void jq_wait_follows(struct jq_pending *p, struct jq_ask *submit)
{
    const uint32_t users = submit->u.submit.relying, jobs = submit->u.submit.count;

    jq_room_leave(p, submit); /* it was refused, but a copy of it was not */
    jq_ask_resend_at(p, submit, JQ_NEVER);
    jq_dlist_remove(&submit->in_unsent);
    jq_dlist_remove(&submit->in_list);
    jq_dlist_append(&p->others, &submit->in_list);
    jq_frame_drop(&submit->frame);
    submit->kind = JQ_ASK_WAIT;
    submit->is_prompt = false;
    submit->was_sent = true;
    submit->u.wait.users = users;
    submit->u.wait.has_more = users < jobs;
    if (users == 0)
        end_ask(p, submit);
}

static void leave_ask(struct jq_pending *p, struct jq_interest *interest)
{
    struct jq_ask *ask = interest->ask;

    interest->ask = NULL;
    if (!ask || --ask->u.wait.users)
        return;
    ask->u.wait.has_more = true;
    end_ask(p, ask);
}

/* All its futures have a CALL that brings the result. */
static bool is_by_call(const struct jq_interest *interest)
{
    const struct jq_dlink *link = NULL;

    while ((link = jq_dlist_next(&interest->futures, link)))
        if (!JQ_ELEMENT(link, const struct jobq_future, in_interest)->ask)
            return false;
    return true;
}

static void end_interest(struct jq_pending *p, struct jq_interest *interest, bool is_answered)
{
    struct jq_ask *ask = interest->ask;

    if (ask && is_answered) {
        interest->ask = NULL;
        if (--ask->u.wait.users == 0)
            end_ask(p, ask);
    }
    leave_ask(p, interest);
    jq_dlist_remove(&interest->in_unasked);
    jq_map_remove(&p->interests, interest->id);
    give_back(p, interest);
}

void jq_wait_leave(struct jq_pending *p, struct jobq_future *future)
{
    struct jq_interest *interest = future->interest;

    future->interest = NULL;
    if (!interest)
        return;
    if (!jq_dlink_used(&future->in_interest)) {
        p->promised--;
        give_back(p, interest);
        return;
    }
    jq_dlist_remove(&future->in_interest);
    if (jq_dlist_empty(&interest->futures)) {
        end_interest(p, interest, false);
    } else if (is_by_call(interest)) {
        leave_ask(p, interest);
        jq_dlist_remove(&interest->in_unasked);
    }
}

enum jq_err jq_wait_move(struct jq_pending *p, struct jobq_future *future, uint64_t id)
{
    struct jobq_future reserved = { 0 };

    JQ_TRY(jq_wait_reserve(p, &reserved));
    jq_wait_leave(p, future);
    future->interest = reserved.interest;
    future->id = id;
    jq_wait_join(p, future, future->ask == NULL);
    return JQ_OK;
}

/* ---- futures ---- */

struct jobq_future *jq_pending_new_future(struct jq_pending *p)
{
    return jq_slab_take(&p->futures);
}

enum jq_err jq_pending_want(struct jq_pending *p, struct jobq_future *future)
{
    future->is_wanted = true;
    if (future->is_ended || future->interest)
        return JQ_OK;
    JQ_TRY(jq_wait_reserve(p, future));
    if (future->id)
        jq_wait_join(p, future, true);
    return JQ_OK;
}

static void free_future(struct jq_pending *p, struct jobq_future *future)
{
    jq_frame_drop(&future->frame);
    jq_free(future->result);
    jq_slab_give(&p->futures, future);
}

void jq_pending_free_future(struct jq_pending *p, struct jobq_future *future)
{
    if (future->ask && future->ask->kind == JQ_ASK_CALL) {
        future->is_orphan = true; /* the CALL is answered when all its futures are */
        return;
    }
    jq_dlist_remove(&future->in_ask);
    jq_wait_leave(p, future);
    free_future(p, future);
}

/* Leaves ask and interest; frees it when nobody else will. */
static void end_future(struct jq_pending *p, struct jobq_future *future)
{
    struct jq_ask *ask = future->ask;

    jq_dlist_remove(&future->in_ask);
    future->ask = NULL;
    future->is_ended = true;
    if (future->is_orphan)
        free_future(p, future);
    if (ask && ask->kind == JQ_ASK_CALL)
        jq_call_settled(p, ask);
}

void jq_pending_fail_future(struct jq_pending *p, struct jobq_future *future, enum jq_err err,
                            struct jq_frame *frame, struct jq_view text)
{
    jq_wait_leave(p, future);
    future->error = err;
    future->frame = frame ? jq_frame_keep(frame) : NULL;
    future->record = text;
    end_future(p, future);
}

/* ---- asking ---- */

static enum jq_err write_refs(struct jq_pending *p, struct jq_buf *refs, uint32_t *ret_count)
{
    const struct jq_dlink *link = NULL;
    uint32_t count = 0;

    while (count < JQ_JOBS_PER_FRAME && (link = jq_dlist_next(&p->unasked, link))) {
        const struct jq_interest *i = JQ_ELEMENT(link, const struct jq_interest, in_unasked);
        jq_job_ref_write(refs, &(struct jq_job_ref){ .id = i->id });
        count++;
    }
    *ret_count = count;
    return jq_buf_ok(refs) ? JQ_OK : JQ_ENOMEM;
}

/* One frame for the first of those that are not asked for. */
static enum jq_err ask_for_some(struct jq_pending *p)
{
    struct jq_buf refs = { 0 };
    uint32_t count = 0;
    struct jq_ask *ask = jq_ask_new(p, JQ_ASK_WAIT);
    enum jq_err err = ask ? write_refs(p, &refs, &count) : JQ_ENOMEM;

    if (err == JQ_OK) {
        const struct jq_msg msg = {
            .tag = JQ_MSG_WAIT,
            .correlation = p->correlation + 1,
            .u.wait.jobs = jq_records_of(count, &refs),
        };
        err = jq_ask_encode(ask, &msg);
    }
    jq_buf_fini(&refs);
    if (err != JQ_OK) {
        jq_free(ask);
        return err;
    }
    jq_ask_number(p, ask, ++p->correlation);
    ask->u.wait.users = count;
    for (uint32_t i = 0; i < count; i++) {
        struct jq_dlink *link = jq_dlist_first(&p->unasked);
        JQ_ELEMENT(link, struct jq_interest, in_unasked)->ask = ask;
        jq_dlist_remove(link);
    }
    jq_dlist_append(&p->others, &ask->in_list);
    jq_ask_queue(p, ask);
    return JQ_OK;
}

void jq_wait_flush(struct jq_pending *p, jq_ms now)
{
    while (!jq_dlist_empty(&p->unasked) && now >= p->ask_at)
        if (ask_for_some(p) != JQ_OK)
            p->ask_at = jq_ms_add(now, JQ_MEMORY_RETRY_MS);
}

/* Those of one WAIT, or of all (NULL), that still need one. */
static void ask_again(struct jq_pending *p, const struct jq_ask *ask)
{
    size_t cursor = 0;
    struct jq_interest *interest;

    while ((interest = jq_map_next(&p->interests, &cursor))) {
        if (!interest->ask || (ask && interest->ask != ask))
            continue;
        interest->ask = NULL;
        want_asked(p, interest);
    }
}

/* Waits belong to a connection. */
void jq_wait_reconnected(struct jq_pending *p)
{
    struct jq_dlink *link = jq_dlist_first(&p->others), *next;

    ask_again(p, NULL);
    for (; link; link = next) {
        struct jq_ask *ask = JQ_ELEMENT(link, struct jq_ask, in_list);
        next = jq_dlist_next(&p->others, link);
        if (ask->kind == JQ_ASK_WAIT)
            jq_ask_free(p, ask);
    }
    p->ask_at = 0;
}

/* ---- results ---- */

static void take_result(struct jobq_future *future, const struct jq_result *result,
                        struct jq_frame *frame, struct jq_view record)
{
    if (result->error == JQ_EGONE && future->is_discarded) {
        /* Nothing is kept of such a job once it has succeeded, and only then. */
        future->job_state = JQ_SUCCEEDED;
        future->record = jq_view(NULL, 0);
        return;
    }
    future->error = (int32_t)result->error;
    future->job_state = (uint8_t)result->state;
    future->record = result->error ? jq_view_str(jq_err_text((enum jq_err)result->error)) : record;
    future->frame = result->error ? NULL : jq_frame_keep(frame);
}

/* Every future of the job that this answer is for: a CALL's own, and those that have none. A hint
 * promises nothing, so another's result for the same id is not a CALL's. */
static void settle(struct jq_pending *p, struct jq_interest *interest,
                   const struct jq_result *result, uint64_t correlation, struct jq_frame *frame,
                   struct jq_view record)
{
    struct jq_dlink *link = jq_dlist_first(&interest->futures), *next;

    for (; link; link = next) {
        struct jobq_future *future = JQ_ELEMENT(link, struct jobq_future, in_interest);
        next = jq_dlist_next(&interest->futures, link);
        if (future->ask && future->ask->correlation != correlation)
            continue;
        jq_dlist_remove(link);
        future->interest = NULL;
        take_result(future, result, frame, record);
        end_future(p, future);
    }
    if (jq_dlist_empty(&interest->futures)) {
        end_interest(p, interest, true);
    } else if (interest->ask && interest->ask->correlation == correlation) {
        struct jq_ask *ask = interest->ask; /* it has done its work; CALLs still wait */
        interest->ask = NULL;
        if (--ask->u.wait.users == 0)
            end_ask(p, ask);
    }
}

void jq_wait_results(struct jq_pending *p, const struct jq_msg *msg, struct jq_frame *frame)
{
    const uint64_t correlation = msg->correlation;
    struct jq_reader r = jq_records_reader(msg->u.results.results);
    struct jq_result result;

    p->waits_refused = 0;
    for (const uint8_t *start = r.at; jq_result_next(&r, &result); start = r.at) {
        struct jq_interest *interest = jq_map_find(&p->interests, result.id);
        if (interest && result.error <= 0)
            settle(p, interest, &result, correlation, frame,
                   jq_view(start, (size_t)(r.at - start)));
    }
}

void jq_wait_failed(struct jq_pending *p, struct jq_ask *ask, jq_ms now, enum jq_err err,
                    struct jq_frame *frame, struct jq_view text)
{
    size_t cursor = 0;
    struct jq_interest *interest;

    /* Of what was a SUBMIT no error is about the WAIT: it was a copy's. */
    const bool was_submit = ask->correlation < JQ_LINK_CORRELATION;

    if (err == JQ_EBUSY || err == JQ_ENOMEM || was_submit) {
        ask->resends = p->waits_refused++;
        p->ask_at = jq_ask_backoff(p, ask, now);
        ask_again(p, ask);
        jq_ask_free(p, ask);
        return;
    }
    /* Only a bug makes the broker refuse a WAIT as a whole: a slow search is good enough. */
    while ((interest = jq_map_next(&p->interests, &cursor))) {
        struct jq_dlink *link;
        if (interest->ask != ask)
            continue;
        interest->ask = NULL;
        ask->u.wait.users--;
        while ((link = jq_dlist_first(&interest->futures))) {
            struct jobq_future *future = JQ_ELEMENT(link, struct jobq_future, in_interest);
            jq_dlist_remove(link);
            future->interest = NULL;
            jq_pending_fail_future(p, future, err, frame, text);
        }
        end_interest(p, interest, false);
        cursor = 0; /* the map has changed */
    }
    jq_ask_free(p, ask);
}
