/* SPDX-License-Identifier: MIT
 *
 * lookup.c - requests that need the store first: what they asked for, and how they go on when the
 * answer comes. Jobs that have ended and are durable are known to the store alone. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* A lookup with several reads is in core->lookups once for each of their tokens. */
struct jq_lookup *jq_lookup_new(struct jq_core *core, uint64_t peer, uint64_t correlation,
                                jq_lookup_fn *done)
{
    struct jq_lookup *lookup = jq_alloc_zero(1, sizeof *lookup);
    struct jq_peer *asker = jq_peer_find(core, peer);

    if (!lookup)
        return NULL;
    if (asker) {
        asker->lookups++;
        lookup->peer_token = asker->token;
    }
    lookup->peer = peer;
    lookup->correlation = correlation;
    lookup->done = done;
    return lookup;
}

void jq_lookup_free(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *asker = jq_peer_find(core, lookup->peer);

    if (asker && asker->token == lookup->peer_token)
        asker->lookups--;
    for (uint32_t i = 0; i < lookup->tokens_count; i++)
        jq_map_remove(&core->lookups, lookup->tokens[i].token);
    jq_dlist_remove(&lookup->in_client);
    jq_free(lookup->tokens);
    jq_buf_fini(&lookup->kept);
    jq_free(lookup->ids);
    jq_facts_free(core, lookup);
    jq_free(lookup);
}

static enum jq_err reserve_token(struct jq_lookup *lookup)
{
    const uint32_t count = lookup->tokens_count;

    if (count & (count - 1)) /* grows at powers of two */
        return JQ_OK;
    struct jq_lookup_token *tokens =
        jq_realloc(lookup->tokens, (count ? 2 * (size_t)count : 1) * sizeof *tokens);
    if (!tokens)
        return JQ_ENOMEM;
    lookup->tokens = tokens;
    return JQ_OK;
}

/* Takes read->ids, read->key and read->label when it returns OK. */
static enum jq_err send(struct jq_core *core, struct jq_lookup *lookup, struct jq_read *read,
                        uint32_t index)
{
    JQ_TRY(reserve_token(lookup));
    JQ_TRY(jq_map_reserve(&core->lookups, 1));
    read->token = ++core->next_token;
    read->group = lookup->tokens_count ? lookup->tokens[0].token : read->token;
    JQ_TRY(jq_ask_store(core, read));
    lookup->tokens[lookup->tokens_count++] = (struct jq_lookup_token){ read->token, index };
    lookup->reads++;
    return jq_map_put(&core->lookups, read->token, lookup);
}

enum jq_err jq_lookup_part(struct jq_core *core, struct jq_lookup *lookup, const uint64_t *ids,
                           uint32_t count, uint32_t parts, uint64_t after, uint32_t index)
{
    /* What may be loaded is read where it will be when the batch after this one speaks of it. */
    const uint64_t spilled = parts & JQ_READ_LIVE ? core->spill_batch : 0;
    struct jq_read read = {
        .kind = JQ_READ_JOBS,
        .parts = parts,
        .count = count,
        .after = after > spilled ? after : spilled,
        .ids = jq_alloc(count * sizeof *ids),
    };

    if (!read.ids)
        return JQ_ENOMEM;
    memcpy(read.ids, ids, count * sizeof *ids);
    const enum jq_err err = send(core, lookup, &read, index);
    if (err != JQ_OK)
        jq_free(read.ids);
    return err;
}

enum jq_err jq_lookup_ids(struct jq_core *core, struct jq_lookup *lookup, const uint64_t *ids,
                          uint32_t count, uint32_t parts, uint64_t after)
{
    lookup->ids = jq_alloc(count * sizeof *ids);
    lookup->count = count;
    if (!lookup->ids)
        return JQ_ENOMEM;
    memcpy(lookup->ids, ids, count * sizeof *ids);
    return jq_lookup_part(core, lookup, ids, count, parts, after, 0);
}

enum jq_err jq_lookup_key(struct jq_core *core, struct jq_lookup *lookup, struct jq_view key,
                          uint32_t index)
{
    struct jq_read read = { .kind = JQ_READ_KEY, .key = jq_alloc(key.size + 1) };

    if (!read.key)
        return JQ_ENOMEM;
    memcpy(read.key, key.data, key.size);
    read.key[key.size] = '\0';
    const enum jq_err err = send(core, lookup, &read, index);
    if (err != JQ_OK)
        jq_free(read.key);
    return err;
}

enum jq_err jq_lookup_list(struct jq_core *core, struct jq_lookup *lookup,
                           const struct jq_read *list)
{
    struct jq_read read = *list;

    return send(core, lookup, &read, 0);
}

const struct jq_loaded_job *jq_lookup_found(const struct jq_lookup *lookup, size_t *cursor,
                                            uint64_t id)
{
    if (*cursor < lookup->found && lookup->jobs[*cursor].job.id == id)
        return &lookup->jobs[(*cursor)++];
    return NULL;
}

bool jq_lookup_covers(const struct jq_lookup *lookup, const uint64_t *ids, uint32_t count)
{
    uint32_t at = 0;

    if (lookup->more && lookup->found)
        return count == 0; /* the rest was too much at once */
    for (uint32_t i = 0; i < count; i++) {
        while (at < lookup->count && lookup->ids[at] < ids[i])
            at++;
        if (at == lookup->count || lookup->ids[at] != ids[i])
            return false;
    }
    return true;
}

/* Tokens rise. */
static uint32_t index_of(const struct jq_lookup *lookup, uint64_t token)
{
    uint32_t low = 0, high = lookup->tokens_count;

    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (lookup->tokens[middle].token <= token)
            low = middle;
        else
            high = middle;
    }
    return lookup->tokens[low].index;
}

enum jq_err jq_core_loaded(struct jq_core *core, struct jq_now now, uint64_t token, enum jq_err err,
                           const struct jq_loaded_job *jobs, size_t count, bool more)
{
    struct jq_lookup *lookup = jq_map_remove(&core->lookups, token);

    core->now = now;
    if (!lookup)
        return JQ_OK; /* nobody waits for it any more */
    if (lookup->reads == lookup->tokens_count)
        lookup->durable = core->durable;
    if (err != JQ_OK)
        lookup->err = err;
    else if (lookup->by_key)
        jq_facts_add(core, lookup, index_of(lookup, token), jobs, count, more);
    if (--lookup->reads)
        return JQ_OK;
    lookup->jobs = jobs;
    lookup->found = err == JQ_OK ? count : 0;
    lookup->more = more;
    lookup->done(core, lookup);
    jq_lookup_free(core, lookup);
    const enum jq_err resolved = jq_extra_resolve(core);
    (void)resolved; /* without memory it is tried again with the next input */
    jq_spill_settle(core);
    return JQ_OK;
}

enum jq_err jq_absent(const struct jq_core *core, uint64_t id)
{
    return id == 0 || id >= core->meta.next_id ? JQ_ENOENT : JQ_EGONE;
}

/* ---- what is told of a job ---- */

static void result_of_record(const struct jq_result_record *from, struct jq_result *ret)
{
    ret->code = from->code;
    ret->signal = from->signal;
    ret->reason = from->reason;
    ret->ended_at = from->ended_at;
    ret->wall_us = from->wall_us;
    ret->user_us = from->user_us;
    ret->system_us = from->system_us;
    ret->max_rss_kib = from->max_rss_kib;
    ret->stdout_bytes = from->stdout_bytes;
    ret->stderr_bytes = from->stderr_bytes;
    ret->value = from->value;
}

void jq_result_of_loaded(const struct jq_core *core, const struct jq_loaded_job *loaded,
                         struct jq_result *ret)
{
    *ret = (struct jq_result){
        .id = loaded->job.id,
        .state = loaded->job.state,
        .attempt = loaded->job.attempt,
        .worker = loaded->job.worker,
        .created_at = loaded->job.created_at,
        .started_at = loaded->job.started_at,
    };
    if (loaded->has_result)
        result_of_record(&loaded->result, ret);
    if (jq_spill_is_doomed(core, &loaded->job)) { /* about to be deleted: it has been told so */
        ret->state = JQ_CANCELLED;
        ret->reason = jq_view_str("its queue was purged");
    }
}

void jq_result_of_job(const struct jq_job *job, struct jq_result *ret)
{
    *ret = (struct jq_result){
        .id = job->id,
        .state = job->state,
        .attempt = job->attempt,
        .worker = jq_blob_view(job->ran_on),
        .created_at = job->fixed.created_at,
        .started_at = job->started_at,
    };
    if (job->result)
        result_of_record(job->result, ret);
}
