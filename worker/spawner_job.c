/* SPDX-License-Identifier: MIT
 *
 * spawner_job.c - one command from its START to its end; spawner_state.h draws the life. */
#include "worker/spawner_state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"

enum {
    LINGER_MS = 250,  /* for what a job left behind to end what it is writing */
    LAST_ROUNDS = 64, /* reads of a pipe after the leader's end: a full pipe and more */
    NOT_RUNNABLE = 126,
};

/* --- deadlines --- */

struct jq_job *jq_deadline_job(struct jq_heap_node *node)
{
    return (struct jq_job *)((char *)node - offsetof(struct jq_job, deadline));
}

static const struct jq_job *job_of_node(const struct jq_heap_node *node)
{
    return (const struct jq_job *)((const char *)node - offsetof(struct jq_job, deadline));
}

bool jq_deadline_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    const struct jq_job *one = job_of_node(a);
    const struct jq_job *other = job_of_node(b);
    if (one->deadline_at != other->deadline_at)
        return one->deadline_at < other->deadline_at;
    return one->handle < other->handle;
}

/* JQ_NEVER: none. The heap has room for every slot. */
static void set_deadline(struct jq_spawner *spawner, struct jq_job *job, jq_ms at)
{
    if (jq_heap_holds(&job->deadline))
        jq_heap_remove(&spawner->deadlines, &job->deadline);
    job->deadline_at = at;
    if (at != JQ_NEVER)
        JQ_CHECK(jq_heap_put(&spawner->deadlines, &job->deadline) == JQ_OK);
}

static jq_ms after(jq_ms duration)
{
    return jq_ms_add(jq_clock_now().mono, duration);
}

/* --- ending --- */

/* The leader is not reaped, so the group is the job's. */
static void signal_group(const struct jq_job *job, int signal)
{
    JQ_CHECK(job->pid > 1);
    (void)kill(-job->pid, signal);
}

static void terminate(struct jq_spawner *spawner, struct jq_job *job, jq_ms grace_ms)
{
    if (grace_ms <= 0) {
        signal_group(job, SIGKILL);
        job->phase = JQ_PHASE_KILLED;
        set_deadline(spawner, job, JQ_NEVER);
        return;
    }
    if (job->phase == JQ_PHASE_TERMED) {
        /* Asked again: only sooner. */
        const jq_ms at = after(grace_ms);
        if (at < job->deadline_at)
            set_deadline(spawner, job, at);
        return;
    }
    signal_group(job, SIGTERM);
    signal_group(job, SIGCONT); /* a stopped job could not end */
    job->phase = JQ_PHASE_TERMED;
    set_deadline(spawner, job, after(grace_ms));
}

static void finish(struct jq_spawner *spawner, struct jq_job *job)
{
    signal_group(job, SIGKILL);
    for (unsigned i = 0; i < 2; i++) {
        (void)jq_stream_drain(spawner, &job->streams[i], LAST_ROUNDS);
        jq_unwatch_close(spawner, &job->streams[i].fd);
    }
    int status = 0;
    struct rusage usage = { 0 };
    pid_t reaped;
    do {
        reaped = wait4(job->pid, &status, 0, &usage);
    } while (reaped < 0 && errno == EINTR);
    set_deadline(spawner, job, JQ_NEVER);
    job->phase = JQ_PHASE_FINISHED;
    jq_job_tell(spawner, job, status, &usage);
    jq_job_follow_end(spawner, job);
    spawner->jobs[job->handle] = NULL;
    job->next_freed = spawner->freed;
    spawner->freed = job;
    spawner->orphans = true; /* of this group, perhaps */
}

void jq_job_free(const struct jq_spawner *spawner, struct jq_job **job)
{
    if (*job == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        jq_unwatch_close(spawner, &(*job)->streams[i].fd);
        jq_output_fini(&(*job)->streams[i].output);
    }
    jq_unwatch_close(spawner, &(*job)->pidfd);
    jq_free(*job);
    *job = NULL;
}

/* --- starting --- */

static bool watch(const struct jq_spawner *spawner, int fd, struct jq_source *source)
{
    struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = source } };
    return epoll_ctl(spawner->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static struct jq_job *job_new(const struct jq_spawn_start *start, uint32_t handle)
{
    struct jq_job *job = jq_alloc_zero(1, sizeof *job);
    if (job == NULL)
        return NULL;
    job->id = start->id;
    job->fence = start->fence;
    job->handle = handle;
    job->pidfd = -1;
    job->cause = JQ_OUTCOME_EXITED;
    job->deadline_at = JQ_NEVER;
    job->exit_source = (struct jq_source){ .kind = JQ_SOURCE_EXIT, .job = job };
    for (int i = 0; i < 2; i++) {
        job->streams[i].fd = -1;
        job->streams[i].source = (struct jq_source){
            .kind = i == 0 ? JQ_SOURCE_STDOUT : JQ_SOURCE_STDERR,
            .job = job,
        };
    }
    return job;
}

static void tell_returned(struct jq_spawner *spawner, uint32_t handle)
{
    const struct jq_spawn_ended ended = { .returned = 1 };
    if (jq_spawn_link_put(&spawner->link, JQ_SPAWN_ENDED, handle, &ended, sizeof ended,
                          jq_view(NULL, 0)) != JQ_OK)
        jq_spawner_out_of_memory();
}

static void tell_refused(struct jq_spawner *spawner, const struct jq_job *job,
                         const struct jq_refusal *refusal)
{
    const jq_ns now = jq_clock_now().wall;
    const struct jq_outcome outcome = {
        .id = job->id,
        .fence = job->fence,
        .kind = JQ_OUTCOME_NOSTART,
        .code = refusal->code,
        .reason = jq_view_str(refusal->reason),
        .started_at = now,
        .ended_at = now,
    };
    const struct jq_spawn_ended ended = { 0 };
    const size_t begun =
        jq_spawn_link_begin(&spawner->link, JQ_SPAWN_ENDED, job->handle, &ended, sizeof ended);
    jq_outcome_write(&spawner->link.out, &outcome);
    if (jq_spawn_link_end(&spawner->link, begun) != JQ_OK)
        jq_spawner_out_of_memory();
}

/* It runs, but nobody would notice its end: it must not go on. */
static void end_unwatched(struct jq_spawner *spawner, struct jq_job *job)
{
    static const char why[] = "the kernel had no room to watch it: killed";
    memcpy(job->reason, why, sizeof why - 1);
    job->reason_size = sizeof why - 1;
    job->cause = JQ_OUTCOME_ERROR;
    finish(spawner, job);
}

void jq_job_start(struct jq_spawner *spawner, const struct jq_spawn_frame *frame)
{
    struct jq_spawn_start start;
    struct jq_view payload;
    if (!jq_spawn_split(frame->body, &start, sizeof start, &payload) ||
        frame->handle >= spawner->conf.slots || spawner->jobs[frame->handle] != NULL) {
        spawner->link.dead = true;
        return;
    }
    struct jq_job *job = job_new(&start, frame->handle);
    if (job == NULL) {
        tell_returned(spawner, frame->handle);
        return;
    }
    struct jq_refusal refusal;
    const enum jq_launched launched = jq_job_launch(spawner, job, payload, &refusal);
    if (launched != JQ_LAUNCHED) {
        if (launched == JQ_LAUNCH_REFUSED)
            tell_refused(spawner, job, &refusal);
        else
            tell_returned(spawner, frame->handle);
        jq_job_free(spawner, &job);
        return;
    }
    spawner->jobs[frame->handle] = job;
    /* The launch has just closed a descriptor or two, so there is one for this. */
    job->pidfd = pidfd_open(job->pid, 0);
    bool watched = job->pidfd >= 0 && watch(spawner, job->pidfd, &job->exit_source);
    for (int i = 0; i < 2 && watched; i++)
        watched =
            job->streams[i].fd < 0 || watch(spawner, job->streams[i].fd, &job->streams[i].source);
    if (!watched) {
        end_unwatched(spawner, job);
        return;
    }
    if (job->timeout_ms != JQ_NEVER)
        set_deadline(spawner, job, after(job->timeout_ms));
}

/* --- what happens to it --- */

void jq_job_stream_readable(struct jq_spawner *spawner, struct jq_job *job, unsigned which)
{
    enum { ROUNDS = 4 }; /* then the others' turn */
    if (job->phase == JQ_PHASE_FINISHED)
        return;
    struct jq_stream *stream = &job->streams[which];
    if (jq_stream_drain(spawner, stream, ROUNDS))
        jq_unwatch_close(spawner, &stream->fd);
    jq_job_follow(spawner, job);
    if (job->phase == JQ_PHASE_LINGERING && job->streams[0].fd < 0 && job->streams[1].fd < 0)
        finish(spawner, job);
}

void jq_job_exited(struct jq_spawner *spawner, struct jq_job *job)
{
    if (job->phase == JQ_PHASE_FINISHED || job->phase == JQ_PHASE_LINGERING)
        return;
    job->wall_us = (jq_clock_mono_ns() - job->from_ns) / 1000;
    job->ended_at = jq_clock_now().wall;
    jq_unwatch_close(spawner, &job->pidfd); /* or it would stay readable */
    for (unsigned i = 0; i < 2; i++) {
        if (jq_stream_drain(spawner, &job->streams[i], LAST_ROUNDS))
            jq_unwatch_close(spawner, &job->streams[i].fd);
    }
    const bool killed = job->phase == JQ_PHASE_KILLED;
    job->phase = JQ_PHASE_LINGERING;
    if (killed || (job->streams[0].fd < 0 && job->streams[1].fd < 0)) {
        finish(spawner, job);
        return;
    }
    jq_job_follow(spawner, job);
    set_deadline(spawner, job, after(LINGER_MS));
}

static void set_reason(struct jq_job *job, struct jq_view reason)
{
    job->reason_size = reason.size < sizeof job->reason ? reason.size : sizeof job->reason;
    if (job->reason_size > 0)
        memcpy(job->reason, reason.data, job->reason_size);
}

static void time_out(struct jq_spawner *spawner, struct jq_job *job)
{
    char text[64];
    const int size =
        snprintf(text, sizeof text, "timed out after %lld ms", (long long)job->timeout_ms);
    set_reason(job, jq_view(text, (size_t)size));
    job->cause = JQ_OUTCOME_TIMEDOUT;
    terminate(spawner, job, job->kill_after_ms);
}

void jq_job_deadline(struct jq_spawner *spawner, struct jq_job *job)
{
    if (job->phase == JQ_PHASE_RUNNING)
        time_out(spawner, job);
    else if (job->phase == JQ_PHASE_LINGERING)
        finish(spawner, job);
    else
        terminate(spawner, job, 0);
}

void jq_job_cancel(struct jq_spawner *spawner, const struct jq_spawn_frame *frame)
{
    struct jq_spawn_cancel cancel;
    struct jq_view reason;
    if (!jq_spawn_split(frame->body, &cancel, sizeof cancel, &reason)) {
        spawner->link.dead = true;
        return;
    }
    struct jq_job *job = jq_job_of(spawner, frame->handle);
    if (job == NULL || job->phase == JQ_PHASE_KILLED)
        return;
    if (job->phase == JQ_PHASE_LINGERING) {
        finish(spawner, job); /* it has ended by itself, and says so */
        return;
    }
    if (job->cause == JQ_OUTCOME_EXITED) {
        set_reason(job, reason.size > 0 ? reason : jq_view_str("cancelled"));
        job->cause = JQ_OUTCOME_CANCELLED;
    }
    terminate(spawner, job, cancel.grace_ms);
}
