/* SPDX-License-Identifier: MIT
 *
 * spawner_state.h - what spawner*.c share. Nobody else includes it.
 *
 * A job's life: launched -> running -> (TERM sent -> KILL sent) -> its leader is a zombie ->
 * lingering while others hold its pipes -> finished: the group is killed, then the leader reaped.
 * In that order, because an unreaped leader keeps the group's number from being anybody else's. */
#ifndef JQ_WORKER_SPAWNER_STATE_H
#define JQ_WORKER_SPAWNER_STATE_H

#include <spawn.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "proto/base/heap.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "worker/output.h"
#include "worker/spawn_link.h"
#include "worker/spawner.h"

enum jq_source_kind {
    JQ_SOURCE_LINK,
    JQ_SOURCE_CHILD, /* the signalfd: some child has died */
    JQ_SOURCE_STDOUT,
    JQ_SOURCE_STDERR,
    JQ_SOURCE_EXIT, /* a job's pidfd */
};

struct jq_job;

/* What epoll points to. */
struct jq_source {
    enum jq_source_kind kind;
    struct jq_job *job;
};

struct jq_stream {
    int fd; /* -1: at its end */
    struct jq_source source;
    struct jq_output output;
};

enum jq_job_phase {
    JQ_PHASE_RUNNING,
    JQ_PHASE_TERMED,
    JQ_PHASE_KILLED,
    JQ_PHASE_LINGERING, /* the leader has ended */
    JQ_PHASE_FINISHED,  /* told; freed at the end of the turn */
};

struct jq_follower {
    struct jq_follower *next;
    struct jq_log_request request;
};

struct jq_job {
    uint64_t id;
    uint64_t fence;
    uint32_t handle;
    pid_t pid; /* also its group's number */
    int pidfd;
    struct jq_source exit_source;
    struct jq_stream streams[2];
    enum jq_job_phase phase;
    enum jq_outcome_kind cause; /* EXITED, or why it was ended: CANCELLED, TIMEDOUT */
    struct jq_heap_node deadline;
    jq_ms deadline_at;
    jq_ms timeout_ms;
    jq_ms kill_after_ms;
    jq_ns started_at;
    jq_ns ended_at;
    uint64_t from_ns; /* monotonic */
    uint64_t wall_us;
    struct jq_follower *followers;
    unsigned follower_count;
    struct jq_job *next_freed;
    size_t reason_size;
    char reason[JQ_REASON_MAX];
};

struct jq_spawner {
    struct jq_spawner_conf conf;
    struct jq_spawn_link link;
    struct jq_source link_source;
    struct jq_source child_source;
    bool link_wants_write; /* as epoll knows it */
    int epoll;
    int signals;
    int null;
    posix_spawnattr_t attributes;
    struct rlimit files; /* what jobs get */
    bool files_raised;
    bool orphans;         /* some child that is no leader may be a zombie */
    struct jq_job **jobs; /* by handle */
    struct jq_heap deadlines;
    struct jq_job *freed;
    uint8_t *scratch;     /* for reading pipes */
    int64_t peak_kib_max; /* our own peak memory, past which it is forgotten */
};

enum { JQ_SCRATCH_BYTES = 64 << 10 };

/* How a launch went. */
enum jq_launched {
    JQ_LAUNCHED,
    JQ_LAUNCH_REFUSED, /* the command cannot be started, ever: code and reason */
    JQ_LAUNCH_LATER,   /* no processes, descriptors or memory just now */
};

struct jq_refusal {
    int code; /* 126, 127 */
    char reason[JQ_REASON_MAX];
};

/* spawner_launch.c: fills in job->pid, the streams' descriptors, timeouts and output bounds. What
 * was opened is closed again unless LAUNCHED. */
enum jq_launched jq_job_launch(struct jq_spawner *spawner, struct jq_job *job,
                               struct jq_view payload, struct jq_refusal *ret_refusal);

/* spawner_program.c: finds argv[0] as the job's own PATH and directory say; the path is the
 * directory's when it is relative. False: the refusal says why. */
bool jq_program_find(int directory, const char *program, char *const *environment,
                     char ret_path[JQ_PATH_MAX + 1], struct jq_refusal *ret_refusal);
/* `text`, shortened, with every byte that is no printable ASCII as \xNN: for reasons. */
void jq_printable(const char *text, char *ret, size_t size);

/* spawner_job.c */
void jq_job_start(struct jq_spawner *spawner, const struct jq_spawn_frame *frame);
void jq_job_cancel(struct jq_spawner *spawner, const struct jq_spawn_frame *frame);
void jq_job_read(struct jq_spawner *spawner, const struct jq_spawn_frame *frame);
void jq_job_stream_readable(struct jq_spawner *spawner, struct jq_job *job, unsigned which);
void jq_job_exited(struct jq_spawner *spawner, struct jq_job *job);
void jq_job_deadline(struct jq_spawner *spawner, struct jq_job *job);
void jq_job_free(const struct jq_spawner *spawner, struct jq_job **job);
bool jq_deadline_before(const struct jq_heap_node *a, const struct jq_heap_node *b);
struct jq_job *jq_deadline_job(struct jq_heap_node *node);

/* spawner_output.c */
struct jq_job *jq_job_of(const struct jq_spawner *spawner, uint32_t handle); /* NULL: has ended */
void jq_job_follow(struct jq_spawner *spawner, struct jq_job *job);
void jq_job_follow_end(struct jq_spawner *spawner, struct jq_job *job);
bool jq_stream_drain(struct jq_spawner *spawner, struct jq_stream *stream, unsigned rounds);
void jq_unwatch_close(const struct jq_spawner *spawner, int *fd); /* then -1; -1 is fine */
/* Says the outcome; the process cannot go on without memory for it. */
void jq_job_tell(struct jq_spawner *spawner, struct jq_job *job, int status,
                 const struct rusage *usage);
void jq_spawner_out_of_memory(void) __attribute__((noreturn));

#endif
