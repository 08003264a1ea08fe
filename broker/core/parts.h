/* SPDX-License-Identifier: MIT
 *
 * parts.h - what the files of the core offer each other, by file; what they work on is in state.h.
 * Private to broker/core. */
#ifndef JQ_CORE_PARTS_H
#define JQ_CORE_PARTS_H

#include "broker/core/state.h"
#include "proto/base/alloc.h"

/* ---- blob.c ---- */
struct jq_blob *jq_blob_new(struct jq_view bytes);               /* one reference; NULL: memory */
static inline struct jq_blob *jq_blob_hold(struct jq_blob *blob) /* NULL is fine */
{
    if (blob)
        blob->references++;
    return blob;
}
static inline void jq_blob_drop(struct jq_blob *blob) /* NULL is fine */
{
    if (blob && --blob->references == 0)
        jq_free(blob);
}
static inline struct jq_view jq_blob_view(const struct jq_blob *blob)
{
    return blob ? jq_view(blob->data, blob->size) : jq_view(NULL, 0);
}
bool jq_name_valid(struct jq_view name);                                /* [A-Za-z0-9._-]{1,128} */
uint64_t jq_name_hash(const struct jq_core *core, struct jq_view name); /* never 0 */

/* ---- job.c ---- */
/* What a new job is made of; copied. */
struct jq_job_seed {
    uint64_t id, owner, flags;
    int32_t priority;
    jq_ns created_at;
    struct jq_view handler, title, key, options, payload;
};
struct jq_job *jq_job_new(struct jq_queue *queue,
                          const struct jq_job_seed *seed); /* NULL: memory */
/* The same from what was stored of it: its fixed parts, in the state READY. */
struct jq_job *jq_job_of_record(struct jq_queue *queue, const struct jq_job_record *record);
void jq_job_free(struct jq_job *job); /* must be in no container */
/* Its memory stays until nobody holds what is fixed of it. */
void jq_job_fixed_drop(struct jq_job_fixed *fixed);
size_t jq_job_bytes(const struct jq_job *job); /* payload, handler, title, key, options */
/* As its row says it. */
uint64_t jq_job_stored_flags(const struct jq_job *job);
uint64_t jq_job_stored_session(const struct jq_job *job);
struct jq_job *jq_job_find(const struct jq_core *core, uint64_t id);
struct jq_job *jq_job_find_key(const struct jq_core *core, struct jq_view key);
struct jq_view jq_job_payload(const struct jq_job *job);
struct jq_view jq_job_handler(const struct jq_job *job);
struct jq_view jq_job_title(const struct jq_job *job);
struct jq_view jq_job_key(const struct jq_job *job);
struct jq_view jq_job_options(const struct jq_job *job);
void jq_job_record(const struct jq_job *job, struct jq_job_record *ret);
static inline jq_ns jq_job_due_at(const struct jq_job *job)
{
    return job->extra ? job->extra->due_at : 0;
}
static inline struct jq_blob *jq_job_history(const struct jq_job *job)
{
    return job->extra ? job->extra->history : NULL;
}
static inline struct jq_blob *jq_job_result_bytes(const struct jq_job *job)
{
    return job->result ? JQ_ELEMENT(job->result, struct jq_ending, record)->bytes : NULL;
}
static inline uint64_t jq_job_spared_of(const struct jq_job *job)
{
    return job->extra ? job->extra->spared_of : 0;
}
/* Room for one move of this job: after it jq_job_move and jq_job_place cannot fail. */
JQ_MUST_USE enum jq_err jq_job_reserve(struct jq_core *core, struct jq_job *job);
/* For jq_job_add of so many new ones. */
JQ_MUST_USE enum jq_err jq_jobs_reserve(struct jq_core *core, struct jq_job *const *jobs,
                                        size_t count);
/* A job that exists from now on, in its state READY. Reserved before. */
void jq_job_add(struct jq_core *core, struct jq_job *job);
/* The one function that moves a job: checks the arrow, changes containers and counters, emits the
 * operation and the event. Set what the new state needs (worker, result ...) before. Reserved
 * before. */
void jq_job_move(struct jq_core *core, struct jq_job *job, enum jq_job_state to);
/* It was never stored, and will not be. */
static inline bool jq_job_is_volatile(const struct jq_job *job)
{
    return !job->stored && job->queue->durability == JQ_DURABILITY_MEMORY;
}
/* When what has just become of it may be told. */
uint64_t jq_job_promise(const struct jq_core *core, const struct jq_job *job);
/* Stores the job as it is. Reserved before. */
void jq_job_store(struct jq_core *core, struct jq_job *job);
/* Puts it where its state says, counting it; for jq_job_move and recovery. */
void jq_job_place(struct jq_core *core, struct jq_job *job);
/* Into and out of memory: found by its id, or not. Reserved before; in no container. */
void jq_job_load(struct jq_core *core, struct jq_job *job);
void jq_job_unload(struct jq_core *core, struct jq_job *job); /* frees it */
/* Forgets jobs whose end is durable. */
void jq_job_forget_durable(struct jq_core *core);
/* Ends a job without a worker's outcome. ENOMEM: as before. */
JQ_MUST_USE enum jq_err jq_job_end(struct jq_core *core, struct jq_job *job,
                                   enum jq_job_state state, const char *reason);
bool jq_job_key_add(struct jq_core *core, struct jq_job *job);
/* One that had ended and is in memory no more lives again, as READY. Reserved before. */
void jq_job_revive(struct jq_core *core, struct jq_job *job);

/* ---- options.c ---- */
/* PROTO: not exactly one job_options record. */
JQ_MUST_USE enum jq_err jq_options_read(struct jq_view bytes, struct jq_job_options *ret);
/* What is wrong with the options of a SUBMIT; NULL: nothing. `handler` of their job. */
const char *jq_options_fault(const struct jq_job_options *options, struct jq_view handler);

/* ---- extra.c ---- */
/* Decodes the options of a new or loaded job; nothing for a job without any. INVAL: they are no
 * job_options (a loaded job counts as damaged then). ENOMEM. The job owns what is made. */
JQ_MUST_USE enum jq_err jq_extra_make(struct jq_core *core, struct jq_job *job);
/* It has one from now on: before it gets what is in there. ENOMEM. */
/* Nothing but its own bytes says what it has. */
bool jq_extra_may_spill(const struct jq_job *job);
JQ_MUST_USE enum jq_err jq_extra_need(struct jq_job *job);
void jq_extra_free(struct jq_job *job);
/* A new job, or with NULL a loaded one, is about to be placed: what it names counts from now on,
 * and its state is that in which it waits. Made and reserved before. */
void jq_extra_begin(struct jq_core *core, struct jq_job *job, const struct jq_lookup *facts);
void jq_extra_restore(struct jq_core *core, struct jq_job *job, enum jq_job_state stored);
/* It is about to leave its state, or has just entered it. */
void jq_extra_leaves(struct jq_core *core, struct jq_job *job);
void jq_extra_entered(struct jq_core *core, struct jq_job *job);
/* All that follows from what has just happened to others: jobs that waited for it go on, or are
 * skipped. Called after every input and before a batch is taken. ENOMEM: the rest follows later. */
JQ_MUST_USE enum jq_err jq_extra_resolve(struct jq_core *core);
/* The state in which a job waits now, by its edges and its delay: BLOCKED (sets hold), DELAYED
 * (sets due_at) or READY. */
enum jq_job_state jq_extra_waits_in(const struct jq_core *core, struct jq_job *job);

/* ---- timer.c ---- */
/* Sets, moves or takes away the job's timer, by its state, due_at and expires_at. Reserved before
 * (jq_job_reserve). */
void jq_timer_update(struct jq_core *core, struct jq_job *job);
JQ_MUST_USE enum jq_err jq_timer_tick(struct jq_core *core);
/* The clock is known from now on: timers of loaded jobs are set, and what is due happens. */
JQ_MUST_USE enum jq_err jq_timer_start(struct jq_core *core);
/* So many ms from now, as wall clock. */
jq_ns jq_timer_after(const struct jq_core *core, uint64_t ms);

/* ---- edge.c ---- */
/* Room for the edges of a new or loaded job. */
JQ_MUST_USE enum jq_err jq_edge_prepare(struct jq_core *core, struct jq_job *job);
/* Operations of the batch that jq_edge_begin may need. */
size_t jq_edge_ops(const struct jq_core *core, const struct jq_job *job);
/* The edges of a new job; `facts` says how those jobs ended that are in memory no more. */
void jq_edge_begin(struct jq_core *core, struct jq_job *job, const struct jq_lookup *facts);
void jq_edge_restore(struct jq_core *core, struct jq_job *job);
void jq_edge_drop(struct jq_job *job);                        /* it waits for nothing any more */
void jq_edge_ended(struct jq_core *core, struct jq_job *job); /* others may wait for it */
/* What waits for jobs that have ended since the last call goes on, or is skipped. Called after
 * every input and before a batch is taken: an end and what follows from it are of one batch. */
JQ_MUST_USE enum jq_err jq_edge_resolve(struct jq_core *core);

/* ---- limit.c, limit_ask.c ---- */
/* May this job start now? False: it has been moved to BLOCKED and comes back to READY when it is
 * its turn. Reserved for one move before. It counts as running when it is. */
bool jq_limit_admit(struct jq_core *core, struct jq_job *job);
void jq_limit_hold(struct jq_core *core, struct jq_job *job);    /* it runs from now on */
void jq_limit_release(struct jq_core *core, struct jq_job *job); /* it runs no more */
/* Room for the limiters that a job names, and in them. Freed with the job. */
JQ_MUST_USE enum jq_err jq_limit_prepare(struct jq_core *core, struct jq_job *job);
void jq_limit_unuse(struct jq_job *job);
void jq_limit_said(struct jq_core *core, struct jq_job *job);   /* what it says of them counts */
void jq_limit_leaves(struct jq_core *core, struct jq_job *job); /* READY or BLOCKED no more */
/* The best of those that wait go on, where there is room. */
JQ_MUST_USE enum jq_err jq_limit_resolve(struct jq_core *core);
bool jq_limit_pending(const struct jq_core *core); /* some have not, as memory ran out */
/* Workers have room left, and nothing that was woken could be granted to them: more are woken.
 * True: some were. */
bool jq_limit_wake_more(struct jq_core *core);
uint32_t jq_limit_max(const struct jq_limiter *limiter); /* UINT32_MAX: any number */
/* Whom it waits for; NULL: for no limit. */
const struct jq_limiter *jq_limit_of(const struct jq_job *job);
uint64_t jq_limit_holder(const struct jq_limiter *limiter); /* id of one that runs; 0: none */
struct jq_limiter *jq_limit_find(const struct jq_core *core, struct jq_view name, bool mutex);
JQ_MUST_USE enum jq_err jq_limit_get(struct jq_core *core, struct jq_view name, bool mutex,
                                     struct jq_limiter **ret_limiter);
void jq_limit_changed(struct jq_limiter *limiter); /* its max is another */
void jq_limit_reorder(struct jq_core *core,
                      const struct jq_queue *queue); /* it has another order */
void jq_limits_free(struct jq_core *core);
JQ_MUST_USE enum jq_err jq_limit_set_apply(struct jq_core *, struct jq_peer *,
                                           const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_limit_ask_apply(struct jq_core *, struct jq_peer *,
                                           const struct jq_msg *);

/* ---- retry.c ---- */
/* Is this failed attempt followed by another? False: the job is dead. */
bool jq_retry_due(const struct jq_job *job, const struct jq_outcome *outcome);
/* The job is to run again after its backoff. ENOMEM: as before. */
JQ_MUST_USE enum jq_err jq_retry(struct jq_core *core, struct jq_job *job,
                                 const struct jq_outcome *outcome);
uint32_t jq_retry_attempts_max(const struct jq_job *job);

/* ---- history.c ---- */
/* Appends an attempt that was not the last, the oldest goes when there are too many. */
JQ_MUST_USE enum jq_err jq_history_add(struct jq_job *job, const struct jq_attempt *attempt);
/* The attempt that runs now came to nothing: its worker lost it, or gave it back. */
JQ_MUST_USE enum jq_err jq_history_lost(const struct jq_core *core, struct jq_job *job,
                                        const char *reason);
JQ_MUST_USE enum jq_err jq_history_restore(struct jq_job *job, struct jq_view history);
uint32_t jq_history_count(struct jq_view history);

/* ---- unique.c ---- */
/* The oldest live job of this name that is in one of these phases; NULL: none. */
struct jq_job *jq_unique_find(const struct jq_core *core, const struct jq_job_options *options);
void jq_unique_add(struct jq_core *core, struct jq_job *job); /* reserved: core->uniques */
void jq_unique_remove(struct jq_core *core, struct jq_job *job);

/* ---- dead.c ---- */
JQ_MUST_USE enum jq_err jq_retry_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_remove_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);

/* ---- retention.c ---- */
/* It has just ended, and its row stays: what it takes is noted in its result, and counted. */
void jq_kept_ended(struct jq_core *core, struct jq_job *job);
void jq_kept_less(struct jq_queue *queue, uint64_t bytes);
/* The row of an ended job that is in memory no more is deleted. ENOMEM: it is not. */
JQ_MUST_USE enum jq_err jq_row_delete(struct jq_core *core, const struct jq_loaded_job *row);
bool jq_row_deleting(const struct jq_core *core, uint64_t id); /* the store may still have it */
void jq_rows_forget(struct jq_core *core);                     /* deletions that are durable */
void jq_rows_free(struct jq_core *core);
void jq_sweep_tick(struct jq_core *core);
void jq_sweep_arm(struct jq_core *core);
/* The first of its limits and mutexes that is full, for people: its name, how many jobs run under
 * it of how many, and one of them. False: none is. */
bool jq_limit_blocker(const struct jq_core *core, const struct jq_job *job,
                      struct jq_view *ret_name, bool *ret_mutex, uint64_t *ret_used,
                      uint64_t *ret_max, uint64_t *ret_holder);

/* ---- ids.c ---- */
/* The ids of a list; free with jq_free. */
JQ_MUST_USE enum jq_err jq_ids_of(struct jq_records jobs, uint64_t **ret_ids);
/* Each id once, ascending; nearly always they are so already. Returns how many are left. */
uint32_t jq_ids_sort_out(uint64_t *ids, uint32_t count);

/* ---- queue.c ---- */
struct jq_queue *jq_queue_find(const struct jq_core *core, struct jq_view name);
/* Finds or makes; ENOMEM. */
JQ_MUST_USE enum jq_err jq_queue_get(struct jq_core *core, struct jq_view name,
                                     struct jq_queue **ret_queue);
JQ_MUST_USE enum jq_err jq_queue_restore(struct jq_core *core, const struct jq_queue_record *r);
void jq_queue_free(struct jq_queue *queue);
/* Some reason why its jobs may or may not run has changed: its lanes wait for their turn or not. */
void jq_queue_turn(struct jq_core *core, struct jq_queue *queue);
struct jq_order_key jq_queue_key(const struct jq_job *job);
int64_t jq_queue_rank(const struct jq_queue *queue, int32_t priority, jq_ns created_at);
/* By the order of their queue, which is the same. */
bool jq_queue_before(const struct jq_job *a, const struct jq_job *b);
jq_heap_before_fn *jq_queue_heap_order(const struct jq_queue *queue);
void jq_queue_set_order(struct jq_queue *queue, enum jq_order_kind order); /* nothing unfinished */
/* None of it may be spilled. */
void jq_queue_set_aging(struct jq_core *core, struct jq_queue *queue, uint64_t aging_ms);
/* Doomed ones do not count. */
uint64_t jq_queue_unfinished(const struct jq_queue *queue);
uint64_t jq_queue_waiting(const struct jq_queue *queue); /* of them, those that nobody holds */
uint64_t jq_queue_doomed(const struct jq_queue *queue);
void jq_queue_forget(struct jq_core *core, struct jq_queue *queue); /* it has no job in memory */

/* ---- lane.c ---- */
void jq_lane_init(struct jq_lane *lane, struct jq_queue *queue);
void jq_lane_fini(struct jq_lane *lane);
/* The lane of a new or loaded job that has needs; nothing for others. ENOMEM. */
JQ_MUST_USE enum jq_err jq_lane_prepare(struct jq_job *job);
void jq_lane_unuse(struct jq_job *job);
struct jq_lane *jq_lane_of(const struct jq_job *job);
void jq_lane_put(struct jq_core *core, struct jq_job *job, bool fresh);
void jq_lane_remove(struct jq_core *core, struct jq_job *job);
struct jq_job *jq_lane_first(const struct jq_lane *lane); /* or NULL */
void jq_lane_put_page(struct jq_job *job);                /* the next of its spilled jobs */
/* Has ready jobs, and its queue may have more of them taken: by whoever it is. */
bool jq_lane_is_open(const struct jq_lane *lane);
bool jq_lane_may_run(const struct jq_lane *lane); /* and somebody asks, if they are items */
/* It waits for its turn if and only if it may run. */
void jq_lane_turn(struct jq_core *core, struct jq_lane *lane);
/* Nobody idle has its tags: it waits aside until somebody comes who has. */
void jq_lane_stick(struct jq_core *core, struct jq_lane *lane);
/* A worker has become idle: the lanes that it serves wait for their turn again. */
void jq_lanes_served(struct jq_core *core, struct jq_worker *worker);
bool jq_lane_fits(const struct jq_lane *lane, const struct jq_worker *worker);
/* The best job of the queue that this worker may run; NULL: none. */
struct jq_job *jq_lanes_best(const struct jq_queue *queue, const struct jq_worker *worker);

/* ---- room.c ---- */
JQ_MUST_USE enum jq_err jq_room_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
/* So many new jobs of a SUBMIT of this connection (NULL: none any more): OK, FULL or MSGSIZE. */
JQ_MUST_USE enum jq_err jq_room_admit(struct jq_core *core, const struct jq_peer *peer,
                                      struct jq_queue *queue, uint64_t count,
                                      char text[JQ_REASON_MAX]);
void jq_putter_free(struct jq_core *core, struct jq_putter *room);
void jq_room_withdraw(struct jq_core *core, struct jq_peer *peer, uint64_t correlation);
/* One that stands aside is about to be ready. */
bool jq_room_takes_back(const struct jq_queue *queue);
bool jq_room_is_full(const struct jq_queue *queue);
/* Its places are others, or their number is: who waits is served soon. */
void jq_room_note(struct jq_core *core, struct jq_queue *queue);
JQ_MUST_USE enum jq_err jq_room_resolve(struct jq_core *core);

/* ---- spill.c, spill_page.c, spill_room.c ---- */
uint64_t jq_spilled(const struct jq_lane *lane);          /* in the store alone */
uint64_t jq_spilled_doomed(const struct jq_queue *queue); /* likewise, and being purged */
uint64_t jq_spilled_of(const struct jq_queue *queue);     /* both, of all lanes */
bool jq_spill_is_behind(const struct jq_lane *lane, const struct jq_job *job); /* the edge */
/* The next job of the lane is in the store alone: it is on its way. */
bool jq_spill_starves(const struct jq_lane *lane);
/* READY jobs behind the edge: jq_lane_put and jq_lane_remove call these. */
void jq_spill_put(struct jq_core *core, struct jq_lane *lane, struct jq_job *job);
void jq_spill_remove(struct jq_job *job);
JQ_MUST_USE enum jq_err jq_spill_reserve(struct jq_lane *lane, size_t jobs);
/* What the batch says of a job's row: where it is put, that it leaves from among the spilled. */
void jq_spill_put_row(struct jq_job *job);
void jq_spill_take_row(struct jq_job *job);
uint8_t jq_spill_lane(const struct jq_job *job);
int64_t jq_spill_rank(const struct jq_job *job);
/* Out of memory, now: it is ready, and may. */
bool jq_spill_may_leave(const struct jq_core *core, const struct jq_job *job);
bool jq_spill_may_move(const struct jq_core *core, const struct jq_job *job); /* now */
void jq_spill_leave(struct jq_core *core, struct jq_job *job);
void jq_spill_offer(struct jq_job *job); /* behind the edge: as soon as it may */
/* Into memory, in no container yet. */
JQ_MUST_USE enum jq_err jq_spill_load(struct jq_core *core, const struct jq_job_record *record,
                                      struct jq_job **ret_job);
/* Into memory for one who names it, with JQ_READ_LIVE. NULL: it has ended, or is being purged. */
JQ_MUST_USE enum jq_err jq_spill_need(struct jq_core *core, const struct jq_job_record *record,
                                      struct jq_job **ret_job);
bool jq_spill_is_doomed(const struct jq_core *core, const struct jq_job_record *record);
/* After every input: jobs leave, pages are asked for. */
void jq_spill_settle(struct jq_core *core);
void jq_spill_tick(struct jq_core *core);
void jq_spill_look(struct jq_core *core, struct jq_lane *lane); /* at the next settling */
void jq_spill_turn_on(struct jq_core *core, struct jq_lane *lane);
void jq_spill_release(struct jq_core *core, struct jq_lane *lane); /* the edge has moved on */
bool jq_spill_is_low(const struct jq_core *core, const struct jq_lane *lane); /* little is ready */
/* The next `limit` jobs of a lane that are in the store alone. */
struct jq_read jq_spill_read(const struct jq_lane *lane, uint32_t limit);
bool jq_spill_wants_page(const struct jq_core *core, const struct jq_lane *lane);
void jq_spill_ask_page(struct jq_core *core, struct jq_lane *lane);
void jq_spill_make_room(struct jq_core *core);
void jq_spill_doom(struct jq_core *core, struct jq_queue *queue); /* a purge has started */
JQ_MUST_USE enum jq_err jq_spill_purge(struct jq_core *core, struct jq_queue *queue,
                                       uint64_t slice);
void jq_spill_restore(struct jq_core *core, struct jq_queue *queue,
                      const struct jq_queue_record *record);

/* ---- purge.c ---- */
bool jq_purge_dooms(const struct jq_job *job);
bool jq_purge_gates(const struct jq_queue *queue);
bool jq_purge_due(const struct jq_core *core);
void jq_purge_spare(struct jq_job *job); /* it was held, or had ended, when its queue was purged */
void jq_purge_start(struct jq_core *core, struct jq_queue *queue, uint64_t *ret_count);
void jq_purge_restore(struct jq_core *core);
JQ_MUST_USE enum jq_err jq_purge_tick(struct jq_core *core);
/* REMOVE: answered when it is done. */
JQ_MUST_USE enum jq_err jq_remove_queue(struct jq_core *core, struct jq_peer *peer,
                                        uint64_t correlation, struct jq_queue *queue);

/* ---- queue_admin.c, join.c ---- */
/* QUEUE_SAID; to nobody when peer is NULL. */
void jq_queue_said(struct jq_core *core, struct jq_peer *peer, uint64_t correlation, uint64_t batch,
                   const struct jq_queue *queue, uint64_t count);
void jq_queue_info_of(const struct jq_queue *queue, struct jq_queue_info *ret);
JQ_MUST_USE enum jq_err jq_queue_set_apply(struct jq_core *, struct jq_peer *,
                                           const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_queue_do_apply(struct jq_core *, struct jq_peer *,
                                          const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_queue_ask_apply(struct jq_core *, struct jq_peer *,
                                           const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_join_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_join_release(struct jq_core *core, struct jq_queue *queue); /* when nothing is unfinished */
void jq_join_withdraw(struct jq_peer *peer, uint64_t correlation);
void jq_joiner_free(struct jq_joiner *joiner);

/* ---- batch.c ---- */
/* When the newest id may be told to somebody who is not made to wait for its batch. */
uint64_t jq_batch_loose(struct jq_core *core);
/* The open batch's number: what is asked for now is durable when it is. */
static inline uint64_t jq_batch_number(const struct jq_core *core) /* of the open batch */
{
    return core->meta.commit_sequence + 1;
}
JQ_MUST_USE enum jq_err jq_batch_reserve(struct jq_core *core, size_t ops);
void jq_batch_job(struct jq_core *core, struct jq_job *job); /* put or set */
void jq_batch_job_delete(struct jq_core *core, struct jq_job *job);
void jq_batch_queue(struct jq_core *core, struct jq_queue *queue); /* its counters, at closing */
void jq_batch_queue_delete(struct jq_core *core, struct jq_queue *queue);
void jq_batch_request(struct jq_core *core, struct jq_client *client, struct jq_request *request);
void jq_batch_request_delete(struct jq_core *core, struct jq_client *client,
                             struct jq_request *request);
void jq_batch_session_delete(struct jq_core *core, struct jq_client *client);
void jq_batch_worker(struct jq_core *core, struct jq_worker *worker, bool exists);
void jq_batch_spill(struct jq_core *core, const struct jq_job *job);
void jq_batch_spilled_purge(struct jq_core *core, const struct jq_spilled_purge *purge);
void jq_batch_row_delete(struct jq_core *core, uint64_t id, uint32_t queue); /* of no job here */
void jq_batch_limit(struct jq_core *core, struct jq_limiter *limiter); /* put or delete, by set */
void jq_batch_free(struct jq_batch *batch);

/* ---- outbox.c ---- */
/* When something may be told: at once, or with a batch. */
#define JQ_AT_ONCE UINT64_C(0)
void jq_tell(struct jq_core *core, struct jq_peer *peer, uint64_t batch, const struct jq_msg *msg);
/* To a connection that is no peer. */
void jq_tell_stranger(struct jq_core *core, uint64_t id, uint64_t correlation, enum jq_err err,
                      const char *text);
void jq_tell_error(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                   enum jq_err err, const char *text); /* text NULL: the error's own */
/* A buffer to append one record to; jq_tell_record_end says that it is whole. NULL: the peer is
 * lost. */
struct jq_buf *jq_tell_record(struct jq_core *core, struct jq_peer *peer, uint64_t batch,
                              enum jq_fill fill, uint64_t correlation);
void jq_tell_record_end(struct jq_core *core, struct jq_peer *peer, enum jq_fill fill);
/* At once; watcher->out is set until the frame has been taken. */
void jq_tell_events(struct jq_core *core, struct jq_watcher *watcher,
                    const struct jq_events *events);
/* It cannot be told something: its connection is given up, and it asks again on a new HELLO. */
void jq_break_peer(struct jq_core *core, struct jq_peer *peer);
void jq_close_peer(struct jq_core *core, uint64_t peer);
void jq_trace(struct jq_core *core, int level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Takes read->ids, read->key and read->label. ENOMEM: they are still the caller's. */
JQ_MUST_USE enum jq_err jq_ask_store(struct jq_core *core, const struct jq_read *read);
/* Somebody waits for this batch: commit soon. */
void jq_batch_urge(struct jq_core *core, uint64_t batch);
void jq_outbox_release(struct jq_core *core); /* what has become durable */
void jq_outbox_free(struct jq_core *core);
/* The records of `out`, which is freed, join those of `into`. False: they do not fit, or `out` is
 * being filled. */
bool jq_out_merge(struct jq_core *core, struct jq_peer *peer, struct jq_out *into,
                  struct jq_out *out);

/* ---- late.c ---- */
/* The SUBMITTED of a CALL leaves in front of its first result, or by time. */
void jq_hint_begin(struct jq_core *core, struct jq_waiter *waiter, const struct jq_request *request,
                   bool may_join);
/* The same as a part of the frame of a result; 0: it has left, or has to be a frame of its own. */
uint64_t jq_hint_join(struct jq_waiter *waiter, uint64_t batch);
void jq_hint_tell(struct jq_core *core, struct jq_waiter *waiter, uint64_t batch); /* if not yet */
void jq_hint_drop(struct jq_waiter *waiter);
/* A frame of DONE_ACK is true from now on, and leaves when it is due. */
void jq_late_acks(struct jq_core *core, struct jq_out *out);
void jq_late_grown(struct jq_core *core, struct jq_peer *peer); /* more may have joined it */
void jq_late_flush(struct jq_core *core, struct jq_peer *peer);
jq_ms jq_late_next_at(const struct jq_core *core);
void jq_late_tick(struct jq_core *core);

/* ---- peer.c ---- */
struct jq_peer *jq_peer_find(const struct jq_core *core, uint64_t id);
JQ_MUST_USE enum jq_err jq_peer_hello(struct jq_core *core, uint64_t id, const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_peer_bye(struct jq_core *core, struct jq_peer *peer);
/* The connection is no more. The session lives on. */
void jq_peer_drop(struct jq_core *core, struct jq_peer *peer);
void jq_peer_tick(struct jq_core *core);
void jq_peer_welcome(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                     uint64_t session, struct jq_records lost);

/* ---- hold.c ---- */
/* Nobody holds it any more; it comes back. `charged`: its holder died of it, or so it seems. */
JQ_MUST_USE enum jq_err jq_hold_give_up(struct jq_core *core, struct jq_job *job, bool charged);
JQ_MUST_USE enum jq_err jq_hold_give_up_all(struct jq_core *core, struct jq_worker *holder,
                                            bool charged);
/* Ids that a holder from before the restart says it holds and that are not in memory: the store may
 * have them as waiting. A new array; jq_free. */
JQ_MUST_USE enum jq_err jq_hold_absent(const struct jq_core *core, struct jq_records held,
                                       uint64_t **ret_ids, uint32_t *ret_count);
/* Compares what the holder says it holds with what it is thought to hold; writes those that it has
 * lost. */
JQ_MUST_USE enum jq_err jq_hold_reconcile(struct jq_core *core, struct jq_worker *holder,
                                          struct jq_records held, struct jq_buf *lost,
                                          uint32_t *ret_lost);
/* A client that asks for items, or comes back with some. */
JQ_MUST_USE enum jq_err jq_hold_client(struct jq_core *core, struct jq_peer *peer,
                                       struct jq_view name);
JQ_MUST_USE enum jq_err jq_hold_bye(struct jq_core *core, struct jq_peer *peer);
/* An item that runs is held by its receipt from now on, whoever held it before. */
void jq_hold_by_receipt(struct jq_core *core, struct jq_job *job);

/* ---- item.c, peek.c, settle.c ---- */
JQ_MUST_USE enum jq_err jq_get_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_peek_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
bool jq_items_due(const struct jq_core *core); /* somebody can be given one, or told otherwise */
void jq_items_give(struct jq_core *core);
void jq_getter_free(struct jq_core *core, struct jq_getter *getter);
void jq_getter_withdraw(struct jq_core *core, struct jq_peer *peer, uint64_t correlation);
/* A closed queue has nothing more to give: its getters are told. */
void jq_getters_end(struct jq_core *core, struct jq_queue *queue);
struct jq_given jq_given_of(const struct jq_job *job);
void jq_tell_item(struct jq_core *core, struct jq_peer *peer, uint64_t correlation, uint64_t batch,
                  const struct jq_given *given);
JQ_MUST_USE enum jq_err jq_settle_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);

/* ---- worker.c ---- */
JQ_MUST_USE enum jq_err jq_worker_make(struct jq_core *core, bool is_client, uint64_t session,
                                       struct jq_view name, struct jq_worker **ret_worker);
/* Its session is over; what it holds comes back. */
JQ_MUST_USE enum jq_err jq_worker_end(struct jq_core *core, struct jq_worker *worker, bool charged);
JQ_MUST_USE enum jq_err jq_worker_hello(struct jq_core *core, struct jq_peer *peer,
                                        const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_worker_beat(struct jq_core *core, struct jq_peer *peer,
                                       const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_worker_credit(struct jq_core *core, struct jq_peer *peer,
                                         const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_worker_release(struct jq_core *core, struct jq_peer *peer,
                                          const struct jq_msg *msg);
JQ_MUST_USE enum jq_err jq_worker_bye(struct jq_core *core, struct jq_worker *worker);
JQ_MUST_USE enum jq_err jq_worker_tick(struct jq_core *core);
/* Finds or makes the ghost of a session that the store knows. */
JQ_MUST_USE enum jq_err jq_worker_ghost(struct jq_core *core, bool is_client, uint64_t session,
                                        struct jq_view name, struct jq_worker **ret_worker);
void jq_worker_renew(struct jq_core *core, struct jq_worker *worker);
void jq_worker_free(struct jq_worker *worker);
void jq_worker_idle(struct jq_core *core, struct jq_worker *worker); /* its room has changed */
uint64_t jq_worker_room(const struct jq_worker *worker);
bool jq_worker_fits(const struct jq_worker *worker, const struct jq_job *job); /* by its tags */
bool jq_worker_has_tags(const struct jq_worker *worker, struct jq_records needs);
void jq_worker_kill(struct jq_core *core, struct jq_job *job, struct jq_view reason);

/* ---- client.c ---- */
JQ_MUST_USE enum jq_err jq_client_get(struct jq_core *core, uint64_t session,
                                      struct jq_client **ret_client);
JQ_MUST_USE enum jq_err jq_client_bye(struct jq_core *core, struct jq_client *client);
JQ_MUST_USE enum jq_err jq_client_tick(struct jq_core *core);
JQ_MUST_USE enum jq_err jq_client_answered(struct jq_core *core, struct jq_client *client,
                                           uint64_t answered);
void jq_client_detached(struct jq_core *core, struct jq_client *client);
struct jq_request *jq_client_request(const struct jq_client *client, uint64_t number);
void jq_client_request_add(struct jq_client *client, struct jq_request *request);
void jq_client_free(struct jq_client *client);
void jq_client_tie(struct jq_client *client, struct jq_job *job);

/* ---- submit.c, grant.c, done.c, wait.c, cancel.c, listing.c, why.c, stats.c, watch.c, logread.c
 * ---- */
JQ_MUST_USE enum jq_err jq_submit_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
bool jq_grant_due(const struct jq_core *core);
void jq_grant_all(struct jq_core *core);
bool jq_settling(const struct jq_core *core);
bool jq_grants_open(const struct jq_core *core); /* fences may be shown, and workers are back */
JQ_MUST_USE enum jq_err jq_done_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_wait_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_unwait_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
/* A waiter for these jobs of a SUBMIT, in memory or not: of a CALL, or one whose SUBMITTED leaves
 * with batch `after`, and nothing of this before it. Sorts `ids`. */
JQ_MUST_USE enum jq_err jq_wait_start(struct jq_core *core, struct jq_peer *peer,
                                      const struct jq_request *request,
                                      const struct jq_submit *submit, uint64_t after, uint64_t *ids,
                                      uint32_t count);
/* It may wait for so many more jobs. */
bool jq_wait_allowed(const struct jq_core *core, const struct jq_peer *peer, uint32_t count);
void jq_wait_ended(struct jq_core *core, struct jq_job *job); /* tell all who wait */
void jq_wait_moved(struct jq_core *core, struct jq_job *job); /* those who wait for this state */
void jq_waiter_free(struct jq_waiter *waiter);
void jq_waiters_free(struct jq_peer *peer); /* all of a connection that ends */
struct jq_waiter *jq_waiter_find(const struct jq_peer *peer, uint64_t correlation);
void jq_waiter_settle(struct jq_waiter *waiter); /* frees it when nothing is left to wait for */
JQ_MUST_USE enum jq_err jq_cancel_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
/* One job, at the asking of a client or as its owner is lost. `ret_state`: the state it has now. */
JQ_MUST_USE enum jq_err jq_cancel_job(struct jq_core *core, struct jq_job *job,
                                      struct jq_view reason);
JQ_MUST_USE enum jq_err jq_list_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_info_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_why_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_stats_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
JQ_MUST_USE enum jq_err jq_watch_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_unwatch_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_watcher_free(struct jq_watcher *watcher);
JQ_MUST_USE enum jq_err jq_log_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_log_data_apply(struct jq_core *, struct jq_peer *, const struct jq_msg *);
void jq_log_job_moved(struct jq_core *core, struct jq_job *job);
void jq_log_reader_free(struct jq_core *core, struct jq_log_reader *reader);

/* ---- submit_facts.c ---- */
/* How an older job ended, as the store says. */
struct jq_fact {
    uint64_t id;
    uint8_t state; /* enum jq_job_state, or: */
};
enum {
    JQ_FACT_UNKNOWN = 255,
    JQ_FACT_GONE = 254,
    JQ_FACT_LIVES = 253, /* and stays in memory for this SUBMIT */
};
/* What a SUBMIT needs of the store it is parked for; lookup->ids has an id for each of its jobs:
 * that of the job with its key, or 0. `old`: what was asked before; may be NULL. */
JQ_MUST_USE enum jq_err jq_facts_ask(struct jq_core *core, struct jq_lookup *lookup,
                                     const struct jq_submit *submit, const struct jq_lookup *old);
/* True: nothing is missing. `facts` may be NULL. */
bool jq_facts_complete(const struct jq_core *core, const struct jq_submit *submit,
                       const struct jq_lookup *facts);
void jq_facts_free(struct jq_core *core, struct jq_lookup *lookup);
/* An answer. */
void jq_facts_add(struct jq_core *core, struct jq_lookup *lookup, uint32_t index,
                  const struct jq_loaded_job *jobs, size_t count, bool more);
uint8_t jq_facts_state(const struct jq_lookup *facts, uint64_t id);
/* An older job that is gone, among those that these jobs wait for; 0: none is. */
uint64_t jq_facts_gone(const struct jq_core *core, const struct jq_submit *submit,
                       const struct jq_lookup *facts);
/* ---- events.c ---- */
JQ_MUST_USE enum jq_err jq_events_init(struct jq_core *core);
void jq_events_fini(struct jq_core *core);
/* Its state has changed, or it is new: recorded, to be told when the open batch is durable. */
void jq_watch_moved(struct jq_core *core, const struct jq_job *job);
/* Tells every watcher what has become true, one frame at most to each. */
void jq_events_tell(struct jq_core *core);
/* From the event after this sequence on; 0: what becomes true from now on. */
void jq_events_start(struct jq_core *core, struct jq_watcher *watcher, uint64_t after);

/* ---- lookup.c ---- */
/* A request that continues when the store has answered. */
typedef void jq_lookup_fn(struct jq_core *core, struct jq_lookup *lookup);
struct jq_lookup_token {
    uint64_t token;
    uint32_t index; /* by key: of `ids` */
};
struct jq_lookup {
    uint64_t peer; /* may be gone when the answer comes */
    uint64_t peer_token;
    uint64_t correlation;
    jq_lookup_fn *done; /* runs once; the lookup is freed after it */
    enum jq_err err;
    struct jq_lookup_token *tokens; /* of its reads */
    uint32_t tokens_count;
    uint32_t reads;        /* answers still to come */
    bool by_key;           /* answers are gathered in `ids` and `facts`: submit_facts.c */
    struct jq_fact *facts; /* by id */
    uint32_t facts_count;
    struct jq_dlink in_client; /* a SUBMIT that awaits the store: client->parked */
    struct jq_buf kept;        /* what the request needs kept, encoded */
    uint64_t durable;          /* the last durable batch when the first answer came */
    uint64_t *ids;             /* asked for; owned */
    uint32_t count;
    uint64_t number[4]; /* small things, by the asker */
    /* while `done` runs: the last answer */
    const struct jq_loaded_job *jobs;
    size_t found;
    bool more;
};
struct jq_lookup *jq_lookup_new(struct jq_core *core, uint64_t peer, uint64_t correlation,
                                jq_lookup_fn *done);
/* On ENOMEM the lookup is the caller's to free. `ids` is copied. `after`: a batch, or 0. */
JQ_MUST_USE enum jq_err jq_lookup_ids(struct jq_core *core, struct jq_lookup *lookup,
                                      const uint64_t *ids, uint32_t count, uint32_t parts,
                                      uint64_t after);
/* One of several reads by ids; `index` comes back with its answer. */
JQ_MUST_USE enum jq_err jq_lookup_part(struct jq_core *core, struct jq_lookup *lookup,
                                       const uint64_t *ids, uint32_t count, uint32_t parts,
                                       uint64_t after, uint32_t index);
JQ_MUST_USE enum jq_err jq_lookup_key(struct jq_core *core, struct jq_lookup *lookup,
                                      struct jq_view key, uint32_t index);
JQ_MUST_USE enum jq_err jq_lookup_list(struct jq_core *core, struct jq_lookup *lookup,
                                       const struct jq_read *list);
void jq_lookup_free(struct jq_core *core, struct jq_lookup *lookup);
/* The record of the next id asked for, or NULL: call in the order of `ids`, *cursor starts at 0. */
const struct jq_loaded_job *jq_lookup_found(const struct jq_lookup *lookup, size_t *cursor,
                                            uint64_t id);
/* All of these were asked for and looked at; both are sorted. */
bool jq_lookup_covers(const struct jq_lookup *lookup, const uint64_t *ids, uint32_t count);
/* NOENT: never given away; GONE: it existed, the store does not have it any more. */
enum jq_err jq_absent(const struct jq_core *core, uint64_t id);
void jq_result_of_loaded(const struct jq_core *core, const struct jq_loaded_job *loaded,
                         struct jq_result *ret);
void jq_result_of_job(const struct jq_job *job, struct jq_result *ret);
void jq_info_of_job(const struct jq_job *job, struct jq_job_info *ret);
void jq_info_of_loaded(const struct jq_core *core, const struct jq_loaded_job *loaded,
                       struct jq_job_info *ret);

#endif
