/* SPDX-License-Identifier: MIT
 *
 * turn.h - what one turn of the broker does between core, store and peers: frames in, completions
 * in, effects out, the batch handed over. When a turn happens is loop.h's matter.
 *
 * Out of memory loses nothing: what the core or the store could not take is kept and offered again
 * in a later turn (`starved`). Loop thread only. */
#ifndef JQ_BROKER_TURN_H
#define JQ_BROKER_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/core/core.h"
#include "broker/metrics.h"
#include "broker/peers.h"
#include "broker/store/store.h"
#include "broker/transport.h"
#include "proto/base/dlist.h"
#include "proto/base/err.h"

enum {
    JQ_TURN_READS_AHEAD = 256, /* given to the store and not answered, at most */
    JQ_TURN_ENDS = 64,         /* of connections, looked at together */
};

struct jq_turn {
    /* Borrowed. */
    struct jq_core *core;
    struct jq_store *store;
    struct jq_transport *transport;
    struct jq_peers *peers;
    struct jq_metrics *metrics;

    struct jq_now now; /* of this turn */
    bool starved;      /* something waits for memory: turn again soon */

    uint64_t handed;        /* number of the last batch that the store was given */
    uint64_t durable;       /* and of the last that it has made durable */
    bool space_low;         /* as the core was told */
    struct jq_batch *batch; /* taken from the core, not yet by the store; NULL: none */

    /* Owned: SUBMITs, and what their senders sent after them, until the core has room: in order. */
    struct jq_dlist late;
    size_t late_count, late_bytes;

    /* Descriptors of connections that have ended. The peers hear of them when what came by them has
     * been read: there is nothing left to read, or many frames were since. */
    int ends[JQ_TURN_ENDS];
    size_t end_count, end_frames;

    bool has_done; /* `done` has not been taken by the core yet */
    struct jq_store_done done;

    /* Owned: [read_first, read_count) wait for their batch, for memory, or for their turn: few are
     * given to the store at a time, as commits stand in line behind them. */
    struct jq_read *reads;
    size_t read_first, read_count, read_capacity;
    /* What those cost that the store has, oldest first; answers come in that order. */
    uint32_t costs[JQ_TURN_READS_AHEAD];
    uint32_t cost_first, cost_count;
    uint64_t cost;  /* of all of them: rows that they may touch */
    uint64_t group; /* of the read that was given last */
};

/* Once, before anything else; the rest of the struct is the caller's to fill. */
void jq_turn_init(struct jq_turn *turn);
/* Stops the store, gives the core its batches back, frees what the turn owns. */
void jq_turn_fini(struct jq_turn *turn);

/* All completions of the store go to the core. UNKNOWN: a commit failed; the error is logged, and
 * nothing may be sent any more. */
JQ_MUST_USE enum jq_err jq_turn_complete(struct jq_turn *turn);
/* Frames that were late and need not wait any longer. True: there are more of them. */
bool jq_turn_late(struct jq_turn *turn);
/* Reads, decodes and applies a bounded number of frames, and lets the peers hear which connections
 * ended before. True: there may be more. */
bool jq_turn_frames(struct jq_turn *turn);
/* What is due in core and peers, and the loss of peers. */
void jq_turn_tick(struct jq_turn *turn);
/* All effects of the core are carried out. */
void jq_turn_effects(struct jq_turn *turn);
/* Hands the open batch over when the store is idle and somebody waits for it, or `all`. */
void jq_turn_batch(struct jq_turn *turn, bool all);

/* Private to turn*.c: frees what is late. */
void jq_turn_late_fini(struct jq_turn *turn);
/* Takes what is late of a peer that is gone: it was said before, and nobody will say it again. */
void jq_turn_late_from(struct jq_turn *turn, uint64_t peer);
/* So much is late that nothing more may be read. */
bool jq_turn_late_is_full(const struct jq_turn *turn);

/* The open batch is as large as it may get and the store is busy, or very many reads wait for it:
 * read no more frames for now. */
bool jq_turn_is_behind(const struct jq_turn *turn);
/* Nothing is open, under way or unfinished. Only after jq_turn_batch(turn, true). */
bool jq_turn_is_settled(const struct jq_turn *turn);

#endif
