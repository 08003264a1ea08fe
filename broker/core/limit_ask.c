/* SPDX-License-Identifier: MIT
 *
 * limit_ask.c - LIMIT_SET and LIMIT_ASK: limits that are set by name, and what all of them say. */
#include "broker/core/parts.h"

enum { SET_MAX = JQ_JOBS_PER_FRAME }; /* limits set by name: one LIMIT_SAID lists them */

static void write_info(struct jq_buf *buf, const struct jq_limiter *limiter)
{
    const uint32_t max = jq_limit_max(limiter);
    const struct jq_limit_info info = {
        .name = jq_blob_view(limiter->name),
        .max = max == UINT32_MAX ? 0 : max,
        .used = limiter->used,
        .waiting = limiter->waiting,
        .mutex = limiter->mutex,
        .holder = jq_limit_holder(limiter),
    };

    jq_limit_info_write(buf, &info);
}

static enum jq_err say(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *asked,
                       uint32_t count, struct jq_buf *infos)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LIMIT_SAID,
        .correlation = asked->correlation,
        .u.limit_said = { .limits = jq_records_of(count, infos) },
    };
    const enum jq_err err = jq_buf_ok(infos) ? JQ_OK : JQ_ENOMEM;

    if (err == JQ_OK)
        jq_tell(core, peer, core->limits_batch, &msg);
    jq_buf_fini(infos);
    return err;
}

enum jq_err jq_limit_set_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_buf infos = { 0 };
    struct jq_limiter *limiter;

    if (!jq_name_valid(msg->u.limit_set.name)) {
        jq_tell_error(core, peer, msg->correlation, JQ_EINVAL,
                      "a limit's name is 1 to 128 of A-Z a-z 0-9 . _ -");
        return JQ_OK;
    }
    limiter = jq_limit_find(core, msg->u.limit_set.name, false);
    if (core->limits_kept >= SET_MAX && !(limiter && limiter->kept)) {
        jq_tell_error(core, peer, msg->correlation, JQ_ENOSPC,
                      "as many limits are set by name as may be");
        return JQ_OK;
    }
    JQ_TRY(jq_batch_reserve(core, 1));
    JQ_TRY(jq_limit_get(core, msg->u.limit_set.name, false, &limiter));
    core->limits_kept += !limiter->kept;
    limiter->kept = true;
    limiter->set = (uint32_t)msg->u.limit_set.max;
    jq_batch_limit(core, limiter);
    core->limits_batch = jq_batch_number(core);
    jq_limit_changed(limiter);
    write_info(&infos, limiter);
    return say(core, peer, msg, 1, &infos);
}

enum jq_err jq_limit_ask_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_buf infos = { 0 };
    uint32_t count = 0;

    for (struct jq_dlink *at = NULL;
         count < JQ_JOBS_PER_FRAME && (at = jq_dlist_next(&core->limits_in_order, at));) {
        const struct jq_limiter *limiter = JQ_ELEMENT(at, struct jq_limiter, in_all);
        if (limiter->references == 0 && limiter->set == 0)
            continue; /* nobody speaks of it any more */
        write_info(&infos, limiter);
        count++;
    }
    return say(core, peer, msg, count, &infos);
}

enum jq_err jq_core_restore_limit(struct jq_core *core, const struct jq_limit_record *record)
{
    struct jq_limiter *limiter;

    JQ_TRY(jq_limit_get(core, record->name, false, &limiter));
    core->limits_kept += !limiter->kept;
    limiter->kept = true;
    limiter->set = record->max;
    return JQ_OK;
}
