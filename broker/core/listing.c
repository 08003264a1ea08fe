/* SPDX-License-Identifier: MIT
 *
 * listing.c - LIST, newest first, page by page. What is in memory is told as it is when asked, an
 * end when it is durable; the rest comes from the store, and where both know a job, the store is
 * the newer. The work for one page is bounded: a filter that few jobs pass makes pages short, even
 * empty, and `next_before_id` says how far they went. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"

#define TERMINAL_STATES UINT32_C(0x1f0) /* bits of the terminal states of enum jq_job_state */
#define FEW_STATES UINT32_C(0x1fb)      /* all but READY: found by where they are */

enum {
    PAGE_JOBS_MAX = 4096,     /* some ms */
    PAGE_BYTES_MAX = 4 << 20, /* a job's options may be large */
    PAGES_LOOKED_AT = 16384,  /* of ids, for the place where a page begins */
    OPTIONS_LOOKS = 4,        /* what reading a job's options costs, in jobs looked at */
};

/* ---- what is asked for ---- */

struct filter {
    uint32_t states;              /* bits; never 0 */
    const struct jq_queue *queue; /* NULL: all */
    struct jq_view label, value;  /* empty: any */
    jq_ns after, before;          /* created; 0: any */
};

static bool filter_of(const struct jq_core *core, const struct jq_list *list, struct filter *ret)
{
    *ret = (struct filter){
        .states = list->states ? (uint32_t)list->states : UINT32_MAX,
        .queue = list->queue.size ? jq_queue_find(core, list->queue) : NULL,
        .label = list->label,
        .value = list->value,
        .after = list->created_after,
        .before = list->created_before,
    };
    return ret->queue || !list->queue.size;
}

static bool has_label(const struct filter *f, struct jq_records labels)
{
    struct jq_label label;

    for (struct jq_reader r = jq_records_reader(labels); jq_label_next(&r, &label);)
        if (jq_view_equal(label.name, f->label) &&
            (!f->value.size || jq_view_equal(label.value, f->value)))
            return true;
    return false;
}

static bool options_pass(const struct filter *f, struct jq_view options)
{
    struct jq_job_options decoded;
    struct jq_reader r = jq_reader(options);

    if (!f->label.size)
        return true;
    return options.size && jq_job_options_read(&r, &decoded) == JQ_OK &&
           has_label(f, decoded.labels);
}

static bool time_passes(const struct filter *f, jq_ns created_at)
{
    return (!f->after || created_at >= f->after) && (!f->before || created_at < f->before);
}

static bool is_of(const struct filter *f, const struct jq_job *job)
{
    return (f->states & 1u << job->state) && (!f->queue || job->queue == f->queue);
}

static bool job_passes(const struct filter *f, const struct jq_job *job)
{
    if (!is_of(f, job) || !time_passes(f, job->fixed.created_at))
        return false;
    if (f->label.size && job->extra)
        return has_label(f, job->extra->options->labels);
    return options_pass(f, jq_job_options(job));
}

static bool record_passes(const struct filter *f, const struct jq_job_record *job)
{
    return (f->states & 1u << job->state) && (!f->queue || job->queue == f->queue->id) &&
           time_passes(f, job->created_at) && options_pass(f, job->options);
}

/* ---- a page ---- */

struct page {
    struct jq_buf infos; /* newest first */
    uint32_t count, limit;
    uint64_t batch; /* what is listed is true with */
    uint64_t from;  /* every job from this id on has been looked at; 0: all of them */
};

/* False: it is full, and the job is of the next one. */
static bool page_takes(struct page *page, uint64_t id)
{
    if (page->count < page->limit && (!page->count || page->infos.size < PAGE_BYTES_MAX))
        return true;
    page->from = id + 1;
    return false;
}

static void page_tell(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                      const struct page *page)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LISTED,
        .correlation = correlation,
        .u.listed = {
            .more = page->from > 0,
            .jobs = jq_records_of(page->count, &page->infos),
            .next_before_id = page->from,
        },
    };

    if (jq_buf_ok(&page->infos))
        jq_tell(core, peer, page->batch, &msg);
    else
        jq_tell_error(core, peer, correlation, JQ_EBUSY, NULL);
}

/* ---- in memory ---- */

/* Where to start: the newest job in memory that is older than `before`. NULL: none is, or none as
 * far down as page->from. */
static const struct jq_job *start_of(const struct jq_core *core, uint64_t before, struct page *page)
{
    const struct jq_job *job;

    if (jq_job_find(core, before))
        return jq_idmap_prev(&core->jobs, before);
    job = jq_idmap_final(&core->jobs);
    if (core->jobs.count > core->conf.list_looks_max && job && job->id >= before) {
        job = jq_idmap_below(&core->jobs, before, PAGES_LOOKED_AT, &page->from);
        page->from = job ? 0 : page->from;
    }
    while (job && job->id >= before)
        job = jq_idmap_prev(&core->jobs, job->id);
    return job;
}

static uint64_t live_in(const struct filter *f, const struct jq_queue *queue)
{
    uint64_t count = 0;

    for (unsigned state = JQ_BLOCKED; state < JQ_SUCCEEDED; state++)
        count += f->states & 1u << state ? queue->by_state[state] : 0;
    return f->states & 1u << JQ_READY ? count - jq_spilled_of(queue) : count;
}

/* How many jobs in memory are of these states and this queue, whatever their ids: counters know it,
 * and few that have ended are in memory. */
static uint64_t wanted_in_memory(const struct jq_core *core, const struct filter *f)
{
    const struct jq_queue *queue;
    uint64_t count = f->queue ? live_in(f, f->queue) : 0;

    for (size_t at = 0; !f->queue && (queue = jq_map_next(&core->queues, &at));)
        count += live_in(f, queue);
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->ended, at));)
        count += is_of(f, JQ_ELEMENT(at, struct jq_job, in_place));
    return count;
}

static void page_add(struct page *page, const struct jq_job *job)
{
    struct jq_job_info info;

    jq_info_of_job(job, &info);
    info.history = (struct jq_records){ 0 };
    jq_job_info_write(&page->infos, &info);
    page->batch = job->end_batch > page->batch ? job->end_batch : page->batch;
    page->count++;
}

/* From the newest down, until all that are wanted have been met or enough was looked at. */
static void walk(const struct jq_core *core, const struct filter *f, uint64_t before,
                 uint64_t wanted, struct page *page)
{
    uint64_t looks = core->conf.list_looks_max;

    for (const struct jq_job *job = start_of(core, before, page); job && wanted;
         job = jq_idmap_prev(&core->jobs, job->id)) {
        if (looks == 0) {
            page->from = job->id + 1;
            return;
        }
        looks--;
        if (!is_of(f, job))
            continue;
        wanted--;
        if (f->label.size && job->fixed.options_size)
            looks -= looks < OPTIONS_LOOKS ? looks : OPTIONS_LOOKS;
        if (!job_passes(f, job))
            continue;
        if (!page_takes(page, job->id))
            return;
        page_add(page, job);
    }
}

/* ---- in memory, few among many ---- */

struct found {
    uint64_t *ids;
    uint32_t count, max;
};

static void find_in(const struct filter *f, const struct jq_dlist *places, struct found *found)
{
    for (struct jq_dlink *at = NULL;
         found->count < found->max && (at = jq_dlist_next(places, at));) {
        const struct jq_job *job = JQ_ELEMENT(at, struct jq_job, in_place);
        if (is_of(f, job))
            found->ids[found->count++] = job->id;
    }
}

static void find_by_place(const struct jq_core *core, const struct filter *f, struct found *found)
{
    const struct jq_queue *queue;
    const struct jq_worker *worker;

    for (size_t at = 0; (queue = jq_map_next(&core->queues, &at));)
        if (live_in(f, queue))
            find_in(f, &queue->waiting, found);
    if (f->states & 1u << JQ_RUNNING) {
        for (size_t at = 0; (worker = jq_map_next(&core->workers, &at));)
            find_in(f, &worker->jobs, found);
        for (size_t at = 0; (worker = jq_map_next(&core->holders, &at));)
            find_in(f, &worker->jobs, found);
        find_in(f, &core->by_receipt.jobs, found);
    }
    find_in(f, &core->ended, found);
}

/* False: they are not all where they were looked for, or too many, or of no such states. */
static bool gather(const struct jq_core *core, const struct filter *f, uint64_t before,
                   uint64_t wanted, struct page *page)
{
    const bool few = !(f->states & ~FEW_STATES & ((1u << JQ_JOB_STATES) - 1)) &&
                     wanted <= core->conf.list_looks_max &&
                     core->jobs.count > core->conf.list_looks_max;
    struct found found = { .max = (uint32_t)wanted };

    if (!few || !(found.ids = jq_alloc((wanted + 1) * sizeof *found.ids)))
        return false;
    find_by_place(core, f, &found);
    const bool is_all = found.count == wanted;
    const uint32_t count = is_all ? jq_ids_sort_out(found.ids, found.count) : 0;
    for (uint32_t i = count; i > 0; i--) {
        const struct jq_job *job = jq_job_find(core, found.ids[i - 1]);
        if (job->id >= before || !job_passes(f, job))
            continue;
        if (!page_takes(page, job->id))
            break;
        page_add(page, job);
    }
    jq_free(found.ids);
    return is_all;
}

static void list_in_memory(const struct jq_core *core, const struct filter *f, uint64_t before,
                           struct page *page)
{
    const uint64_t wanted = wanted_in_memory(core, f);

    if (wanted && !gather(core, f, before, wanted, page))
        walk(core, f, before, wanted, page);
}

/* ---- in the store ---- */

static enum jq_err ask_store(struct jq_core *core, uint64_t peer, const struct jq_msg *msg,
                             uint32_t limit, const struct page *mine);

/* lookup: `kept` is the LIST, number[0] bytes, and the infos of jobs in memory; number: the limit,
 * the page's `from` and `batch`. */
static void page_of(const struct jq_lookup *lookup, struct jq_msg *ret_msg, struct page *ret_mine)
{
    const struct jq_view kept = jq_buf_view(&lookup->kept);
    const size_t head = (size_t)lookup->number[0];

    *ret_mine = (struct page){
        .limit = (uint32_t)lookup->number[1],
        .from = lookup->number[2],
        .batch = lookup->number[3],
        .infos = { .data = lookup->kept.data + head, .size = kept.size - head },
    };
    if (jq_msg_decode(jq_view(kept.data, head), ret_msg) != JQ_OK)
        *ret_msg = (struct jq_msg){ .tag = JQ_MSG_LIST };
}

/* One of the store's into the page, if it is still what was asked for. */
static bool merge_stored(struct jq_core *core, const struct filter *f,
                         const struct jq_loaded_job *stored, struct page *page)
{
    const struct jq_job *job =
        jq_state_is_terminal(stored->job.state) ? NULL : jq_job_find(core, stored->job.id);
    struct jq_job_info info;

    if (job ? !job_passes(f, job) : !record_passes(f, &stored->job))
        return true;
    if (jq_spill_is_doomed(core, &stored->job))
        return true;
    if (!page_takes(page, stored->job.id))
        return false;
    if (job) { /* it was in the store alone, and has come back meanwhile */
        jq_info_of_job(job, &info);
        page->batch = job->end_batch > page->batch ? job->end_batch : page->batch;
    } else {
        jq_info_of_loaded(core, stored, &info);
    }
    info.history = (struct jq_records){ 0 };
    jq_job_info_write(&page->infos, &info);
    page->count++;
    return true;
}

static bool merge_mine(const struct jq_job_info *mine, struct page *page)
{
    if (!page_takes(page, mine->id))
        return false;
    jq_job_info_write(&page->infos, mine);
    page->count++;
    return true;
}

/* Both are newest first. Below page->from one of the two has not been looked at. */
static void merge(struct jq_core *core, const struct filter *f, const struct jq_lookup *lookup,
                  const struct page *mine, struct page *page)
{
    struct jq_reader r = jq_reader(jq_buf_view(&mine->infos));
    struct jq_job_info info;
    bool have = jq_job_info_next(&r, &info);
    size_t i = 0;

    while (have || i < lookup->found) {
        const uint64_t id = i < lookup->found ? lookup->jobs[i].job.id : 0;
        const bool stored = i < lookup->found && (!have || id >= info.id);
        if ((stored ? id : info.id) < page->from)
            return;
        if (!(stored ? merge_stored(core, f, &lookup->jobs[i], page) : merge_mine(&info, page)))
            return;
        if (have && (!stored || id == info.id))
            have = jq_job_info_next(&r, &info);
        i += stored;
    }
}

static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    struct page mine;
    struct jq_msg msg;
    struct filter f;
    enum jq_err err = lookup->err;

    if (!peer)
        return;
    page_of(lookup, &msg, &mine);
    if (err == JQ_EMSGSIZE && mine.limit > 1) { /* too large for one answer of the store */
        err = ask_store(core, peer->id, &msg, mine.limit / 2, &mine);
        if (err == JQ_OK)
            return;
    }
    if (err == JQ_OK && !filter_of(core, &msg.u.list, &f))
        err = JQ_ENOENT; /* its queue has been removed meanwhile */
    if (err == JQ_OK && lookup->more && lookup->found == 0)
        err = JQ_EBUSY;
    if (err != JQ_OK) {
        jq_tell_error(core, peer, lookup->correlation, err == JQ_ENOMEM ? JQ_EBUSY : err, NULL);
        return;
    }
    const uint64_t stored_from = lookup->more ? lookup->jobs[lookup->found - 1].job.id : 0;
    struct page page = {
        .limit = mine.limit,
        .batch = mine.batch,
        .from = mine.from > stored_from ? mine.from : stored_from,
    };
    merge(core, &f, lookup, &mine, &page);
    page_tell(core, peer, lookup->correlation, &page);
    jq_buf_fini(&page.infos);
}

/* The bytes by which the store finds rows that may have the label. */
static enum jq_err label_bytes(const struct jq_list *list, struct jq_read *read)
{
    const struct jq_label label = { .name = list->label, .value = list->value };
    struct jq_buf bytes = { 0 };
    size_t size;

    if (!list->label.size)
        return JQ_OK;
    jq_label_write(&bytes, &label);
    if (!jq_buf_ok(&bytes))
        return JQ_ENOMEM;
    read->label = (char *)jq_buf_take(&bytes, &size);
    read->label_size =
        (uint32_t)(list->value.size ? size : size - 1); /* any value: its head goes */
    return JQ_OK;
}

static enum jq_err keep(struct jq_lookup *lookup, const struct jq_msg *msg, uint32_t limit,
                        const struct page *mine)
{
    JQ_TRY(jq_msg_encode(msg, &lookup->kept));
    lookup->number[0] = lookup->kept.size;
    lookup->number[1] = limit;
    lookup->number[2] = mine->from;
    lookup->number[3] = mine->batch;
    jq_buf_append(&lookup->kept, mine->infos.data, mine->infos.size);
    return jq_buf_ok(&lookup->kept) && jq_buf_ok(&mine->infos) ? JQ_OK : JQ_ENOMEM;
}

/* States of which the store may have jobs that are not in memory. */
static uint32_t states_stored(const struct jq_core *core, const struct jq_queue *queue)
{
    const struct jq_queue *other;
    uint64_t spilled = queue ? jq_spilled_of(queue) : 0;

    for (size_t at = 0; !queue && !spilled && (other = jq_map_next(&core->queues, &at));)
        spilled = jq_spilled_of(other);
    return TERMINAL_STATES | (spilled ? 1u << JQ_READY : 0);
}

static enum jq_err ask_store(struct jq_core *core, uint64_t peer, const struct jq_msg *msg,
                             uint32_t limit, const struct page *mine)
{
    const struct jq_list *list = &msg->u.list;
    const struct jq_queue *queue = jq_queue_find(core, list->queue);
    struct jq_lookup *lookup = jq_lookup_new(core, peer, msg->correlation, loaded);
    struct jq_read read = {
        .kind = JQ_READ_LIST,
        .parts = JQ_READ_RESULT,
        .queue = queue ? queue->id : 0,
        .states = (list->states ? (uint32_t)list->states : UINT32_MAX) & states_stored(core, queue),
        .before_id = list->before_id,
        .limit = limit,
        .scan = core->conf.list_looks_max,
        .created_after = list->created_after,
        .created_before = list->created_before,
    };

    if (!lookup)
        return JQ_ENOMEM;
    enum jq_err err = label_bytes(list, &read);
    if (err == JQ_OK)
        err = keep(lookup, msg, limit, mine);
    if (err == JQ_OK)
        err = jq_lookup_list(core, lookup, &read);
    if (err != JQ_OK) {
        jq_free(read.label);
        jq_lookup_free(core, lookup);
    }
    return err;
}

/* ---- LIST ---- */

enum jq_err jq_list_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_list *list = &msg->u.list;
    const uint64_t before = list->before_id ? list->before_id : UINT64_MAX;
    struct page page = { .limit = PAGE_JOBS_MAX };
    struct filter f;
    enum jq_err err = JQ_OK;

    if (!filter_of(core, list, &f)) {
        jq_tell_error(core, peer, msg->correlation, JQ_ENOENT, "no such queue");
        return JQ_OK;
    }
    if (list->limit && list->limit < page.limit)
        page.limit = (uint32_t)list->limit;
    list_in_memory(core, &f, before, &page);
    if (f.states & states_stored(core, f.queue))
        err = ask_store(core, peer->id, msg, page.limit, &page);
    else
        page_tell(core, peer, msg->correlation, &page);
    jq_buf_fini(&page.infos);
    return err;
}
