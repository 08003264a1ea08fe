/* SPDX-License-Identifier: MIT
 *
 * spawner_output.c - what a command writes, who follows it, and the outcome that carries it. */
#include "worker/spawner_state.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/log.h"

enum { FOLLOWERS_MAX = 64, EXIT_OSERR = 71 };

void jq_spawner_out_of_memory(void)
{
    /* What it started dies with it: the worker sees to that. */
    jq_log(JQ_ERROR, "spawner.memory", "no memory for an outcome");
    _exit(EXIT_OSERR);
}

struct jq_job *jq_job_of(const struct jq_spawner *spawner, uint32_t handle)
{
    return handle < spawner->conf.slots ? spawner->jobs[handle] : NULL;
}

/* --- reading --- */

void jq_unwatch_close(const struct jq_spawner *spawner, int *fd)
{
    if (*fd < 0)
        return;
    /* Closing is not enough: a child that is just being started has a copy of every descriptor
     * until its exec is through, and epoll would go on to name a job that is no more. */
    (void)epoll_ctl(spawner->epoll, EPOLL_CTL_DEL, *fd, NULL);
    (void)close(*fd);
    *fd = -1;
}

/* True: nothing will come any more. */
bool jq_stream_drain(struct jq_spawner *spawner, struct jq_stream *stream, unsigned rounds)
{
    if (stream->fd < 0)
        return true;
    while (rounds-- > 0) {
        const ssize_t got = read(stream->fd, spawner->scratch, JQ_SCRATCH_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno != EAGAIN && errno != EWOULDBLOCK;
        if (got == 0)
            return true;
        jq_output_append(&stream->output, spawner->scratch, (size_t)got);
    }
    return false;
}

/* --- following --- */

static void tell_output(struct jq_spawner *spawner, const struct jq_job *job,
                        const struct jq_spawn_output *output, struct jq_view bytes)
{
    /* A reader that is not answered asks again. */
    (void)!jq_spawn_link_put(&spawner->link, JQ_SPAWN_OUTPUT, job->handle, output, sizeof *output,
                             bytes);
}

/* False: there is nothing to say yet. */
static bool try_answer(struct jq_spawner *spawner, struct jq_job *job,
                       const struct jq_log_request *request)
{
    struct jq_stream *stream = &job->streams[request->stream == 2];
    struct jq_output *kept = &stream->output;
    const struct jq_output_slice slice =
        jq_output_slice(kept->total, jq_buf_view(&kept->head), jq_output_tail(kept),
                        request->offset, (size_t)request->limit);
    const bool end = slice.last && stream->fd < 0;
    if (request->follow && slice.bytes.size == 0 && !end && request->limit > 0)
        return false;
    const struct jq_spawn_output output = {
        .request = *request,
        .offset = slice.offset,
        .total = kept->total,
        .found = 1,
        .end = end,
    };
    tell_output(spawner, job, &output, slice.bytes);
    return true;
}

void jq_job_follow(struct jq_spawner *spawner, struct jq_job *job)
{
    for (struct jq_follower **at = &job->followers; *at != NULL;) {
        struct jq_follower *follower = *at;
        if (!try_answer(spawner, job, &follower->request)) {
            at = &follower->next;
            continue;
        }
        *at = follower->next;
        job->follower_count--;
        jq_free(follower);
    }
}

/* The outcome goes before, so that whoever asks again is served from it. */
void jq_job_follow_end(struct jq_spawner *spawner, struct jq_job *job)
{
    for (struct jq_follower *follower; (follower = job->followers) != NULL;) {
        const struct jq_spawn_output output = { .request = follower->request };
        tell_output(spawner, job, &output, jq_view(NULL, 0));
        job->followers = follower->next;
        jq_free(follower);
    }
}

void jq_job_read(struct jq_spawner *spawner, const struct jq_spawn_frame *frame)
{
    struct jq_log_request request;
    struct jq_view rest;
    if (!jq_spawn_split(frame->body, &request, sizeof request, &rest) ||
        frame->handle >= spawner->conf.slots) {
        spawner->link.dead = true;
        return;
    }
    struct jq_job *job = jq_job_of(spawner, frame->handle);
    if (job == NULL || job->id != request.id) {
        const struct jq_job gone = { .handle = frame->handle };
        const struct jq_spawn_output output = { .request = request };
        tell_output(spawner, &gone, &output, jq_view(NULL, 0));
        return;
    }
    if (try_answer(spawner, job, &request))
        return;
    struct jq_follower *follower =
        job->follower_count < FOLLOWERS_MAX ? jq_alloc(sizeof *follower) : NULL;
    if (follower == NULL) {
        request.follow = false; /* told that there is nothing yet */
        (void)try_answer(spawner, job, &request);
        return;
    }
    *follower = (struct jq_follower){ .next = job->followers, .request = request };
    job->followers = follower;
    job->follower_count++;
}

/* --- the outcome --- */

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static void say_how(struct jq_job *job, struct jq_outcome *outcome, int status)
{
    if (WIFEXITED(status))
        outcome->code = WEXITSTATUS(status);
    else if (WIFSIGNALED(status))
        outcome->signal = (uint64_t)WTERMSIG(status);
    outcome->kind = job->cause;
    if (job->cause == JQ_OUTCOME_EXITED && WIFSIGNALED(status)) {
        outcome->kind = JQ_OUTCOME_SIGNALLED;
        static const char core[] = "core dumped";
        if (WCOREDUMP(status)) { /* what else there is to say, the number says */
            memcpy(job->reason, core, sizeof core - 1);
            job->reason_size = sizeof core - 1;
        }
    }
    if (job->cause == JQ_OUTCOME_ERROR)
        outcome->code = 1;
    outcome->reason = jq_view(job->reason, job->reason_size);
}

void jq_job_tell(struct jq_spawner *spawner, struct jq_job *job, int status,
                 const struct rusage *usage)
{
    struct jq_outcome outcome = {
        .id = job->id,
        .fence = job->fence,
        .started_at = job->started_at,
        .ended_at = job->ended_at,
        .wall_us = job->wall_us,
        .user_us = microseconds(usage->ru_utime),
        .system_us = microseconds(usage->ru_stime),
        .max_rss_kib = (uint64_t)usage->ru_maxrss,
        .stdout_bytes = job->streams[0].output.total,
        .stdout_head = jq_buf_view(&job->streams[0].output.head),
        .stdout_tail = jq_output_tail(&job->streams[0].output),
        .stderr_bytes = job->streams[1].output.total,
        .stderr_head = jq_buf_view(&job->streams[1].output.head),
        .stderr_tail = jq_output_tail(&job->streams[1].output),
    };
    say_how(job, &outcome, status);
    const struct jq_spawn_ended ended = { .wall_us = job->wall_us };
    size_t begun =
        jq_spawn_link_begin(&spawner->link, JQ_SPAWN_ENDED, job->handle, &ended, sizeof ended);
    jq_outcome_write(&spawner->link.out, &outcome);
    if (jq_spawn_link_end(&spawner->link, begun) == JQ_OK)
        return;
    /* How it ended matters more than what it wrote. */
    outcome.stdout_head = outcome.stdout_tail = jq_view(NULL, 0);
    outcome.stderr_head = outcome.stderr_tail = jq_view(NULL, 0);
    begun = jq_spawn_link_begin(&spawner->link, JQ_SPAWN_ENDED, job->handle, &ended, sizeof ended);
    jq_outcome_write(&spawner->link.out, &outcome);
    if (jq_spawn_link_end(&spawner->link, begun) != JQ_OK)
        jq_spawner_out_of_memory();
}
