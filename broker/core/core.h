/* SPDX-License-Identifier: MIT
 *
 * core.h - the broker's decisions. Pure: no clock, file, socket, thread, environment or log. The
 * same calls in the same order give the same effects and batches, byte for byte. One thread; no
 * locks.
 *
 * In: decoded messages, ticks, "batch N is durable", "these records were loaded".
 * Out: effects (send this frame to that peer; read this from the store; trace) and the open batch.
 *
 * Errors: ENOMEM only. Every invariant holds then, and the same input may be given again: what was
 * done of it is done once. What a peer does wrong is answered to the peer, as an effect. Memory
 * that runs out while a peer is told something costs that peer its connection, never the state. */
#ifndef JQ_CORE_CORE_H
#define JQ_CORE_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/core/effect.h"
#include "broker/core/store_op.h"
#include "proto/base/err.h"
#include "proto/base/time.h"
#include "proto/msg.h"

struct jq_core;

struct jq_core_conf {
    jq_ms heartbeat_ms;    /* told to peers; default 3000 */
    jq_ms lease_ms;        /* a silent worker loses its jobs after this; default 15000 */
    jq_ms settle_ms;       /* after a start, grants wait this long for known workers; default 500 */
    jq_ms kill_grace_ms;   /* between TERM and KILL of a cancelled job; default 5000 */
    jq_ms batch_ms;        /* a batch that nobody waits for closes at this age; default 5 */
    jq_ms request_keep_ms; /* answers of silent client sessions are kept this long; default 24 h */
    uint32_t crashes_max;  /* worker deaths before a job is quarantined; default 2 */
    uint32_t batch_jobs_max;    /* default 16384: past it SUBMITs wait for the next batch */
    uint32_t batch_ops_max;     /* default 65536; past it the core asks for a commit at once */
    uint32_t peers_max;         /* default 10000: EBUSY past it */
    uint32_t pid;               /* told in WELCOME */
    uint32_t event_backlog_max; /* events in one frame for one watcher; default 8192 */
    uint32_t events_kept;       /* last state changes, for watchers; default 65536 */
    /* Of one connection: ERROR(BUSY) past them. */
    uint32_t waits_max;       /* jobs it waits for; default 262144 */
    uint32_t lookups_max;     /* requests of it that await the store; default 1024 */
    uint32_t log_readers_max; /* LOG_READs of it that await a job; default 256 */
    uint32_t watchers_max;    /* WATCHes of it; default 64 */
    uint32_t rooms_max;       /* ROOMs of it; default 4096 */
    uint64_t out_bytes_max;  /* told it and not taken yet: it is dropped past it; default 256 MiB */
    uint32_t list_looks_max; /* jobs looked at for one page of LIST; default 32768 */
    uint32_t queues_max;     /* of all; ENOSPC past it; default 16384, as STATISTICS lists */
    /* How long ended jobs are kept, unless their queue says otherwise. */
    uint64_t keep_ms, keep_failed_ms; /* default 7 and, of failed ones, 30 days */
    uint64_t keep_bytes, keep_count;  /* of each queue; default 1 GiB and 1000000 */
    jq_ms sweep_ms;      /* how often they are looked through; default 10000, no less */
    uint32_t sweep_rows; /* read at a time; default 512 */
    /* Past these, jobs that will run last are in the store alone; STATES.md says which stay. */
    uint64_t resident_jobs_max;  /* default 262144 */
    uint64_t resident_bytes_max; /* of payloads, names and options; default 64 MiB */
    const char *software;        /* "jobqd 0.1.0"; borrowed for the core's life */
};
void jq_core_conf_default(struct jq_core_conf *conf);

/* --- life --- */

/* NULL: out of memory. `seed` feeds all randomness of the core. */
struct jq_core *jq_core_new(const struct jq_core_conf *conf, uint64_t seed);
void jq_core_free(struct jq_core **core);

/* Recovery: meta first, then queues and limits, then jobs that have not ended, in id order, then
 * requests and workers; then start, which raises the incarnation and opens the first batch. Records
 * are copied.
 */
JQ_MUST_USE enum jq_err jq_core_restore_meta(struct jq_core *core, const struct jq_store_meta *m);
JQ_MUST_USE enum jq_err jq_core_restore_queue(struct jq_core *core,
                                              const struct jq_queue_record *q);
JQ_MUST_USE enum jq_err jq_core_restore_limit(struct jq_core *core,
                                              const struct jq_limit_record *limit);
JQ_MUST_USE enum jq_err jq_core_restore_job(struct jq_core *core, const struct jq_job_record *job);
JQ_MUST_USE enum jq_err jq_core_restore_request(struct jq_core *core,
                                                const struct jq_request_record *request);
JQ_MUST_USE enum jq_err jq_core_restore_worker(struct jq_core *core,
                                               const struct jq_worker_record *worker);
JQ_MUST_USE enum jq_err jq_core_start(struct jq_core *core, struct jq_now now);

/* --- in --- */

/* `peer` names a connection: given by the edge, never 0, never reused. Borrows msg and its frame.
 */
JQ_MUST_USE enum jq_err jq_core_apply(struct jq_core *core, struct jq_now now, uint64_t peer,
                                      const struct jq_msg *msg);
/* The connection is lost: cannot be written to, or read too slowly. Not the session. */
JQ_MUST_USE enum jq_err jq_core_gone(struct jq_core *core, struct jq_now now, uint64_t peer);
/* `mono` must not count time in which the caller did not listen: leases would end unheard. */
JQ_MUST_USE enum jq_err jq_core_tick(struct jq_core *core, struct jq_now now); /* all that is due */
jq_ms jq_core_next_at(const struct jq_core *core); /* monotonic; when tick has work, or JQ_NEVER */
/* Every batch up to `number` is durable. `space_low`: the store is below its watermark, submits are
 * refused until it is told otherwise. */
JQ_MUST_USE enum jq_err jq_core_durable(struct jq_core *core, struct jq_now now, uint64_t number,
                                        bool space_low);
/* The answer to a JQ_EFFECT_READ: records found, in the order asked for (JOBS) or newest first
 * (LIST). Ids that are not in the store are absent. `more`: a LIST has more behind its limit; JOBS
 * became too large, and ids after that of the last record have not been looked at. Borrows. */
JQ_MUST_USE enum jq_err jq_core_loaded(struct jq_core *core, struct jq_now now, uint64_t token,
                                       enum jq_err err, const struct jq_loaded_job *jobs,
                                       size_t count, bool more);

/* --- out --- */

/* Call until false, after every input or group of inputs. The caller owns what the effect holds
 * (jq_effect_fini). Frames for one peer come in order. */
bool jq_core_take_effect(struct jq_core *core, struct jq_now now, struct jq_effect *ret_effect);

/* Somebody waits for the open batch (a promise or a read behind it), or it is old or large enough.
 */
bool jq_core_wants_commit(const struct jq_core *core, struct jq_now now);
/* The open batch is so large that SUBMITs should wait until it is taken. All else should go on:
 * jobs that end before their batch is taken cost the store nothing. */
bool jq_core_crowded(const struct jq_core *core);
/* The open batch is so large that reading more frames must wait until it is taken. */
bool jq_core_full(const struct jq_core *core);
/* Closes the open batch and gives it away; NULL when it is empty. The caller hands it to the store,
 * and back with jq_core_give_batch once done. Batches must become durable in order; more than one
 * may be under way. */
struct jq_batch *jq_core_take_batch(struct jq_core *core, struct jq_now now);
void jq_core_give_batch(struct jq_core *core, struct jq_batch *batch); /* on the core's thread */

/* Every invariant of STATES.md; aborts on a violation. O(jobs). Tests and jobq doctor. */
void jq_core_check(const struct jq_core *core);
/* A hash over all decisions so far (frames, batches): two runs of one seed are equal or have a bug.
 */
uint64_t jq_core_hash(const struct jq_core *core);

#endif
