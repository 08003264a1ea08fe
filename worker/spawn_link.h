/* SPDX-License-Identifier: MIT
 *
 * spawn_link.h - the socket between the worker's loop and its spawner: frames both ways.
 *
 * Both ends are one program on one machine, so a frame is a C struct as it lies in memory, then
 * bytes. Neither end ever blocks: what does not leave at once waits in `out`. Nothing here decides.
 * One thread at each end. */
#ifndef JQ_WORKER_SPAWN_LINK_H
#define JQ_WORKER_SPAWN_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/time.h"
#include "proto/base/view.h"
#include "worker/fetch.h"

enum jq_spawn_kind {
    JQ_SPAWN_START = 1,  /* to the spawner: struct jq_spawn_start, then the payload */
    JQ_SPAWN_CANCEL = 2, /* to the spawner: struct jq_spawn_cancel, then the reason */
    JQ_SPAWN_READ = 3,   /* to the spawner: struct jq_log_request */
    JQ_SPAWN_ENDED = 4,  /* to the loop: struct jq_spawn_ended, then the encoded outcome */
    JQ_SPAWN_OUTPUT = 5, /* to the loop: struct jq_spawn_output, then bytes */
};

struct jq_spawn_start {
    uint64_t id;
    uint64_t fence;
};

struct jq_spawn_cancel {
    jq_ms grace_ms;
};

struct jq_spawn_ended {
    uint64_t wall_us;
    uint64_t returned; /* 1: not run, for want of resources; no outcome follows */
};

struct jq_spawn_output {
    struct jq_log_request request;
    uint64_t offset;
    uint64_t total;
    uint8_t found; /* 0: the job has ended meanwhile */
    uint8_t end;
};

struct jq_spawn_frame {
    enum jq_spawn_kind kind;
    uint32_t handle;     /* which job: a place below the number of slots */
    struct jq_view body; /* borrowed until the next fill */
};

struct jq_spawn_link {
    int fd;
    bool dead; /* the other end is gone, or makes no sense */
    struct jq_buf in;
    size_t in_at; /* bytes of `in` already taken */
    struct jq_buf out;
    size_t out_at; /* bytes of `out` already sent */
};

/* Takes `fd`, which must not block. */
void jq_spawn_link_init(struct jq_spawn_link *link, int fd);
void jq_spawn_link_fini(struct jq_spawn_link *link);

/* Reads what is there, up to a bound; then take frames until false, then look at `dead`. */
void jq_spawn_link_fill(struct jq_spawn_link *link);
bool jq_spawn_link_next(struct jq_spawn_link *link, struct jq_spawn_frame *ret);
/* Splits a body into its struct and the bytes behind it; false: it is too short. */
bool jq_spawn_split(struct jq_view body, void *ret_fixed, size_t size, struct jq_view *ret_rest);

/* Appends a frame. ENOMEM: as before. */
JQ_MUST_USE enum jq_err jq_spawn_link_put(struct jq_spawn_link *link, enum jq_spawn_kind kind,
                                          uint32_t handle, const void *fixed, size_t size,
                                          struct jq_view bytes);
/* The same in steps: append to link->out between the two. */
size_t jq_spawn_link_begin(struct jq_spawn_link *link, enum jq_spawn_kind kind, uint32_t handle,
                           const void *fixed, size_t size);
JQ_MUST_USE enum jq_err jq_spawn_link_end(struct jq_spawn_link *link, size_t begun);
void jq_spawn_link_flush(struct jq_spawn_link *link);

static inline size_t jq_spawn_link_pending(const struct jq_spawn_link *link)
{
    return link->out.size - link->out_at;
}

#endif
