/* SPDX-License-Identifier: MIT
 *
 * submit_facts.c - what a SUBMIT needs of the store before it can be accepted: which job has a key,
 * and how older jobs ended that its jobs wait for. Jobs in memory are asked first, always. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"

static bool after_of(const struct jq_job_spec *spec, struct jq_reader *ret)
{
    struct jq_job_options options;

    if (!spec->options.size || jq_options_read(spec->options, &options) != JQ_OK)
        return false;
    *ret = jq_records_reader(options.after);
    return options.after.count > 0;
}

static struct jq_fact *fact_find(const struct jq_lookup *facts, uint64_t id)
{
    uint32_t low = 0, high = facts ? facts->facts_count : 0;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (facts->facts[middle].id == id)
            return &facts->facts[middle];
        if (facts->facts[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

uint8_t jq_facts_state(const struct jq_lookup *facts, uint64_t id)
{
    const struct jq_fact *fact = fact_find(facts, id);

    return fact ? fact->state : JQ_FACT_UNKNOWN;
}

bool jq_facts_complete(const struct jq_core *core, const struct jq_submit *submit,
                       const struct jq_lookup *facts)
{
    /* With a batch that became durable between two answers a job may have come and gone, known to
     * neither. */
    const bool keys_known = facts && facts->durable == core->durable;
    struct jq_dependency after;
    struct jq_job_spec spec;
    struct jq_reader list;

    for (struct jq_reader r = jq_records_reader(submit->jobs); jq_job_spec_next(&r, &spec);) {
        if (spec.key.size && !keys_known && !jq_job_find_key(core, spec.key))
            return false;
        if (!after_of(&spec, &list))
            continue;
        while (jq_dependency_next(&list, &after)) {
            const uint8_t state = jq_facts_state(facts, after.id);
            if ((state == JQ_FACT_UNKNOWN || state == JQ_FACT_LIVES) &&
                !jq_job_find(core, after.id))
                return false;
        }
    }
    return true;
}

uint64_t jq_facts_gone(const struct jq_core *core, const struct jq_submit *submit,
                       const struct jq_lookup *facts)
{
    struct jq_dependency after;
    struct jq_job_spec spec;
    struct jq_reader list;

    for (struct jq_reader r = jq_records_reader(submit->jobs); jq_job_spec_next(&r, &spec);) {
        if (!after_of(&spec, &list))
            continue;
        while (jq_dependency_next(&list, &after))
            if (!jq_job_find(core, after.id) && jq_facts_state(facts, after.id) == JQ_FACT_GONE)
                return after.id;
    }
    return 0;
}

/* ---- asking ---- */

/* Into `ids`, unless that is NULL: all that are waited for and are not in memory, or are so for
 * this SUBMIT. */
static uint32_t absent_of(const struct jq_core *core, const struct jq_submit *submit,
                          const struct jq_lookup *old, uint64_t *ids)
{
    struct jq_dependency after;
    struct jq_job_spec spec;
    struct jq_reader list;
    uint32_t count = 0;

    for (struct jq_reader r = jq_records_reader(submit->jobs); jq_job_spec_next(&r, &spec);) {
        if (!after_of(&spec, &list))
            continue;
        while (jq_dependency_next(&list, &after)) {
            if (jq_job_find(core, after.id) && jq_facts_state(old, after.id) != JQ_FACT_LIVES)
                continue;
            if (ids)
                ids[count] = after.id;
            count++;
        }
    }
    return count;
}

/* The unknown ones of a part of the facts. */
static enum jq_err ask_part(struct jq_core *core, struct jq_lookup *lookup, uint64_t *ids,
                            uint32_t first)
{
    uint32_t count = 0;

    for (uint32_t i = first; i < lookup->facts_count && i < first + JQ_JOBS_PER_FRAME; i++)
        if (lookup->facts[i].state == JQ_FACT_UNKNOWN)
            ids[count++] = lookup->facts[i].id;
    return count ? jq_lookup_part(core, lookup, ids, count, JQ_READ_LIVE, 0, lookup->count + first)
                 : JQ_OK;
}

/* From the lookup before; what stays in memory for that stays for this. */
static void take_fact(const struct jq_core *core, struct jq_fact *fact, uint64_t id,
                      const struct jq_lookup *old)
{
    struct jq_fact *known = fact_find(old, id);

    *fact = (struct jq_fact){ id, known ? known->state : JQ_FACT_UNKNOWN };
    if (fact->state == JQ_FACT_LIVES && !jq_job_find(core, id))
        fact->state = JQ_FACT_UNKNOWN; /* it has ended meanwhile */
    else if (fact->state == JQ_FACT_LIVES)
        known->state = JQ_FACT_UNKNOWN;
}

void jq_facts_free(struct jq_core *core, struct jq_lookup *lookup)
{
    for (uint32_t i = 0; i < lookup->facts_count; i++) {
        struct jq_job *job =
            lookup->facts[i].state == JQ_FACT_LIVES ? jq_job_find(core, lookup->facts[i].id) : NULL;
        if (job && job->extra && job->extra->named)
            job->extra->named--;
    }
    jq_free(lookup->facts);
}

static enum jq_err ask_parents(struct jq_core *core, struct jq_lookup *lookup,
                               const struct jq_submit *submit, const struct jq_lookup *old)
{
    const uint32_t named = absent_of(core, submit, old, NULL);

    if (named == 0)
        return JQ_OK;
    uint64_t *ids = jq_alloc(named * sizeof *ids);
    lookup->facts = jq_alloc_zero(named, sizeof *lookup->facts);
    enum jq_err err = ids && lookup->facts ? JQ_OK : JQ_ENOMEM;
    if (err == JQ_OK) {
        absent_of(core, submit, old, ids);
        lookup->facts_count = jq_ids_sort_out(ids, named);
        for (uint32_t i = 0; i < lookup->facts_count; i++)
            take_fact(core, &lookup->facts[i], ids[i], old);
    }
    for (uint32_t first = 0; err == JQ_OK && first < lookup->facts_count;
         first += JQ_JOBS_PER_FRAME)
        err = ask_part(core, lookup, ids, first);
    jq_free(ids);
    return err;
}

enum jq_err jq_facts_ask(struct jq_core *core, struct jq_lookup *lookup,
                         const struct jq_submit *submit, const struct jq_lookup *old)
{
    struct jq_reader r = jq_records_reader(submit->jobs);
    struct jq_job_spec spec;

    lookup->by_key = true;
    lookup->count = submit->jobs.count;
    lookup->ids = jq_alloc_zero(lookup->count, sizeof *lookup->ids);
    if (!lookup->ids)
        return JQ_ENOMEM;
    for (uint32_t i = 0; jq_job_spec_next(&r, &spec); i++)
        if (spec.key.size && !jq_job_find_key(core, spec.key))
            JQ_TRY(jq_lookup_key(core, lookup, spec.key, i));
    return ask_parents(core, lookup, submit, old);
}

/* ---- answers ---- */

/* One that lives is taken into memory, and stays there until the SUBMIT goes on: while another was
 * read it might leave again, and so on. */
static uint8_t fact_of(struct jq_core *core, const struct jq_job_record *job)
{
    struct jq_job *live;

    if (jq_spill_is_doomed(core, job))
        return JQ_CANCELLED;
    if (jq_state_is_terminal(job->state))
        return (uint8_t)job->state;
    if (jq_spill_need(core, job, &live) != JQ_OK || !live || jq_extra_need(live) != JQ_OK)
        return JQ_FACT_UNKNOWN; /* without memory it is asked for again */
    live->extra->named++;
    return JQ_FACT_LIVES;
}

void jq_facts_add(struct jq_core *core, struct jq_lookup *lookup, uint32_t index,
                  const struct jq_loaded_job *jobs, size_t count, bool more)
{
    size_t next = 0;

    if (index < lookup->count) {
        if (count)
            lookup->ids[index] = jobs[0].job.id;
        return;
    }
    const uint32_t first = index - lookup->count;
    for (uint32_t i = first; i < lookup->facts_count && i < first + JQ_JOBS_PER_FRAME; i++) {
        struct jq_fact *fact = &lookup->facts[i];
        if (fact->state != JQ_FACT_UNKNOWN)
            continue;
        if (next < count && jobs[next].job.id == fact->id)
            fact->state = fact_of(core, &jobs[next++].job);
        else if (!more || next < count)
            fact->state = JQ_FACT_GONE;
    }
}
