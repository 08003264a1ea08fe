/* SPDX-License-Identifier: MIT
 *
 * unique.c - live jobs by their unique names. There may be several of one name: those that run do
 * not count for a SUBMIT that asks for queued ones only. */
#include "broker/core/parts.h"
#include "proto/base/check.h"

static bool counts(enum jq_job_state state, uint64_t phases)
{
    const uint64_t both = JQ_WHILE_QUEUED | JQ_WHILE_RUNNING;
    const uint64_t phase = state == JQ_RUNNING ? JQ_WHILE_RUNNING : JQ_WHILE_QUEUED;

    return ((phases ? phases : both) & phase) != 0;
}

struct jq_job *jq_unique_find(const struct jq_core *core, const struct jq_job_options *options)
{
    struct jq_job *found = NULL;

    if (!options->unique.size)
        return NULL;
    for (struct jq_job *at = jq_map_find(&core->uniques, jq_name_hash(core, options->unique)); at;
         at = at->extra->same_unique)
        if (jq_view_equal(at->extra->options->unique, options->unique) &&
            counts(at->state, options->unique_while) && !jq_purge_dooms(at) &&
            (!found || at->id < found->id))
            found = at;
    return found;
}

void jq_unique_add(struct jq_core *core, struct jq_job *job)
{
    const struct jq_view name = job->extra->options->unique;

    if (!name.size)
        return;
    const uint64_t hash = jq_name_hash(core, name);
    job->extra->same_unique = jq_map_remove(&core->uniques, hash);
    JQ_CHECK(jq_map_put(&core->uniques, hash, job) == JQ_OK);
}

void jq_unique_remove(struct jq_core *core, struct jq_job *job)
{
    const struct jq_view name = job->extra->options->unique;

    if (!name.size)
        return;
    const uint64_t hash = jq_name_hash(core, name);
    struct jq_job *first = jq_map_remove(&core->uniques, hash);
    struct jq_job **at = &first;
    while (*at && *at != job)
        at = &(*at)->extra->same_unique;
    JQ_CHECK(*at == job);
    *at = job->extra->same_unique;
    job->extra->same_unique = NULL;
    if (first)
        JQ_CHECK(jq_map_put(&core->uniques, hash, first) == JQ_OK);
}
