/* SPDX-License-Identifier: MIT
 *
 * events.c - the last state changes, numbered, and telling them. One ring for everybody: it is made
 * with the core, so that a change is recorded without memory and costs the same whoever watches. A
 * watcher is a place in it. What is told is durable, so that it has happened; who reads too slowly
 * finds that its place is gone, and hears how much that was. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"

enum {
    INCARNATION_SHIFT = 40,
    LOOKS_MAX = 1 << 20, /* at events, for all watchers in one turn: some ms */
    TELL_LOOKS = 64,     /* what telling one costs, in looks */
    BYTES_MAX = 1 << 20, /* of one frame: a broker at full speed has a thousand turns a second */
};

#define NUMBER_MASK ((UINT64_C(1) << INCARNATION_SHIFT) - 1)

/* ---- the ring ---- */

enum jq_err jq_events_init(struct jq_core *core)
{
    struct jq_event_ring *ring = &core->events;

    ring->size = core->conf.events_kept ? core->conf.events_kept : 1;
    ring->entries = jq_alloc_zero(ring->size, sizeof *ring->entries);
    return ring->entries ? JQ_OK : JQ_ENOMEM;
}

void jq_events_fini(struct jq_core *core)
{
    struct jq_event_ring *ring = &core->events;
    const uint64_t used = ring->count < ring->size ? ring->count : ring->size;

    for (uint64_t i = 0; i < used; i++) {
        jq_blob_drop(ring->entries[i].queue);
        jq_blob_drop(ring->entries[i].worker);
        jq_blob_drop(ring->entries[i].reason);
    }
    jq_free(ring->entries);
}

static const struct jq_event_entry *entry_of(const struct jq_event_ring *ring, uint64_t number)
{
    return &ring->entries[(number - 1) % ring->size];
}

/* Events have numbers from 1 on; the oldest that is there, or the next one. */
static uint64_t oldest_of(const struct jq_event_ring *ring)
{
    return ring->count > ring->size ? ring->count - ring->size + 1 : 1;
}

static uint64_t sequence_of(const struct jq_core *core, uint64_t number)
{
    return core->meta.incarnation << INCARNATION_SHIFT | number;
}

/* The first that is not durable, or the next one. */
static uint64_t first_untrue(const struct jq_core *core)
{
    const uint64_t oldest = oldest_of(&core->events);
    uint64_t number = core->events.count + 1;

    while (number > oldest && entry_of(&core->events, number - 1)->batch > core->durable)
        number--;
    return number;
}

/* ---- recording ---- */

static void replace(struct jq_blob **at, struct jq_blob *with)
{
    if (*at == with)
        return;
    jq_blob_drop(*at);
    *at = jq_blob_hold(with);
}

/* Of its own: what else a result has may be large. Shared when there is nothing else. */
static struct jq_blob *reason_of(const struct jq_job *job)
{
    const struct jq_view reason = job->result ? job->result->reason : jq_view(NULL, 0);

    if (reason.size == 0)
        return NULL;
    if (jq_job_result_bytes(job)->size == reason.size)
        return jq_blob_hold(jq_job_result_bytes(job));
    return jq_blob_new(reason); /* without memory it is told without its reason */
}

static bool matches(const struct jq_watcher *watcher, const struct jq_event_entry *entry)
{
    if (watcher->job && watcher->job != entry->id)
        return false;
    return !watcher->queue ||
           jq_view_equal(jq_blob_view(watcher->queue), jq_blob_view(entry->queue));
}

/* Somebody waits for the batch that makes it true. */
static void urge(struct jq_core *core, const struct jq_event_entry *entry)
{
    if (core->urgent_batch >= entry->batch)
        return;
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->watchers, at));) {
        if (matches(JQ_ELEMENT(at, struct jq_watcher, in_core), entry)) {
            jq_batch_urge(core, entry->batch);
            return;
        }
    }
}

void jq_watch_moved(struct jq_core *core, const struct jq_job *job)
{
    struct jq_event_ring *ring = &core->events;
    struct jq_event_entry *entry = &ring->entries[ring->next];

    entry->id = job->id;
    entry->batch = jq_batch_number(core);
    entry->at = core->now.wall;
    entry->attempt = job->attempt;
    entry->state = job->state;
    replace(&entry->queue, job->queue->name);
    replace(&entry->worker, job->ran_on);
    jq_blob_drop(entry->reason);
    entry->reason = reason_of(job);
    ring->next = ring->next + 1 == ring->size ? 0 : ring->next + 1;
    ring->count++;
    if (!jq_dlist_empty(&core->watchers))
        urge(core, entry);
}

/* ---- telling ---- */

static void write_event(const struct jq_core *core, uint64_t number, struct jq_buf *out)
{
    const struct jq_event_entry *entry = entry_of(&core->events, number);
    const struct jq_event event = {
        .id = entry->id,
        .state = entry->state,
        .at = entry->at,
        .queue = jq_blob_view(entry->queue),
        .worker = jq_blob_view(entry->worker),
        .reason = jq_blob_view(entry->reason),
        .sequence = sequence_of(core, number),
        .attempt = entry->attempt,
    };
    jq_event_write(out, &event);
}

/* What has been overwritten before it was looked at. With a filter: at most so many. */
static void skip_lost(struct jq_core *core, struct jq_watcher *watcher)
{
    const uint64_t oldest = oldest_of(&core->events);

    if (watcher->next >= oldest)
        return;
    watcher->dropped += oldest - watcher->next;
    watcher->next = oldest;
}

/* The events for this watcher that are true by now, as many as one frame has; how many. */
static uint32_t gather(struct jq_core *core, struct jq_watcher *watcher, uint32_t *looks,
                       struct jq_buf *events)
{
    const struct jq_event_ring *ring = &core->events;
    uint32_t max = core->conf.event_backlog_max, count = 0;

    max = max < JQ_JOBS_PER_FRAME ? max : JQ_JOBS_PER_FRAME;
    for (; watcher->next <= ring->count && *looks && count < max && events->size < BYTES_MAX;
         watcher->next++, --*looks) {
        const struct jq_event_entry *entry = entry_of(ring, watcher->next);
        if (entry->batch > core->durable)
            break;
        if (!matches(watcher, entry))
            continue;
        write_event(core, watcher->next, events);
        *looks -= *looks > TELL_LOOKS ? TELL_LOOKS : *looks - 1;
        count++;
    }
    return count;
}

/* One frame at a time: the next when that has been taken, and never more than half of what the
 * peer may be told: answers have room beside them. */
static bool may_tell(const struct jq_core *core, const struct jq_watcher *watcher)
{
    const struct jq_peer *peer = watcher->peer;

    return !watcher->out && !peer->broken && peer->out_bytes < core->conf.out_bytes_max / 2;
}

static void tell(struct jq_core *core, struct jq_watcher *watcher, uint32_t *looks)
{
    struct jq_buf events = { 0 };

    skip_lost(core, watcher);
    const uint32_t count = gather(core, watcher, looks, &events);
    /* Now and then also that there was nothing for it: so it can go on from here, not from an event
     * that is no longer kept. */
    const bool is_far = watcher->next - watcher->told > core->events.size / 4;
    if (count || watcher->owed || watcher->dropped || is_far) {
        const struct jq_events msg = {
            .dropped = watcher->dropped,
            .events = jq_records_of(count, &events),
            .sequence = sequence_of(core, watcher->next - 1),
        };
        if (jq_buf_ok(&events))
            jq_tell_events(core, watcher, &msg);
        else
            jq_break_peer(core, watcher->peer); /* it comes back, and goes on where it was */
        core->count.events_dropped += watcher->dropped;
        watcher->dropped = 0;
        watcher->owed = false;
        watcher->told = watcher->next;
    }
    jq_buf_fini(&events);
}

void jq_events_tell(struct jq_core *core)
{
    struct jq_dlink *last = jq_dlist_last(&core->watchers), *at = NULL;
    uint32_t looks = LOOKS_MAX;

    core->events.due = false;
    while (at != last) {
        struct jq_watcher *watcher;
        at = jq_dlist_first(&core->watchers);
        watcher = JQ_ELEMENT(at, struct jq_watcher, in_core);
        if (looks == 0) { /* in the next turn, beginning with this one */
            core->events.due = true;
            return;
        }
        jq_dlist_remove(at);
        jq_dlist_append(&core->watchers, at);
        if (may_tell(core, watcher))
            tell(core, watcher, &looks);
        if (looks == 0)
            core->events.due = true; /* it may not have come to its end */
    }
}

/* ---- where a watcher begins ---- */

void jq_events_start(struct jq_core *core, struct jq_watcher *watcher, uint64_t after)
{
    const uint64_t oldest = oldest_of(&core->events), end = first_untrue(core);
    const uint64_t number = after & NUMBER_MASK;

    watcher->dropped = 0;
    watcher->owed = true;
    if (after == 0) {
        watcher->next = end;
    } else if (after >> INCARNATION_SHIFT == core->meta.incarnation && number < end) {
        watcher->next = number + 1; /* where that is gone, telling finds out */
    } else { /* of another broker's time: something may lie between that and the first of this one
              */
        watcher->next = oldest;
        watcher->dropped = oldest;
        if (core->meta.incarnation == 1 && after >> INCARNATION_SHIFT == 0)
            watcher->dropped--; /* from the beginning: no broker was before */
    }
    watcher->told = watcher->next;
}
