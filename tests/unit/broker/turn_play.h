/* SPDX-License-Identifier: MIT
 *
 * turn_play.h - a core, a store and a socket that do as they are told, around a turn. Nothing of
 * broker/core or broker/store is linked. */
#ifndef JQ_TESTS_TURN_PLAY_H
#define JQ_TESTS_TURN_PLAY_H

#include "broker/turn.h"

/* What the three are told to do, and what was asked of them. */
extern struct play {
    bool wants_commit, is_full, is_crowded, is_idle, has_batch, is_space_low;
    struct jq_batch batch;
    enum jq_err apply, durable, loaded, commit, read;
    struct jq_effect effects[8];
    size_t effect_count;
    struct jq_store_done done[4];
    size_t done_count;
    struct jq_view frames[4];
    uint64_t routes[4];  /* 0: 5 */
    enum jq_tag tags[8]; /* as applied */
    size_t frame_count;
    bool is_endless; /* the last frame comes again and again */
    int fd;          /* of all frames */
    int ends[4];     /* descriptors of connections that have ended */
    size_t end_count;
    int applied_before_gone;
    int idle_after; /* so many have been applied; 0: as is_idle says */
    int applied, committed, reads, given, durables, loads, gone;
    struct jq_buf sent; /* the last frame sent */
    int sent_count;
    bool is_nobody_there; /* frames cannot be sent */
    bool is_draining;     /* the core was told that no more is to be granted */
    uint64_t released;    /* the last job that was given back */
} play;

extern struct jq_metrics metrics;

/* A turn as *state; everything in `play` as at first. */
int open_turn(void **state);
int close_turn(void **state);

#endif
