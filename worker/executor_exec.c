/* SPDX-License-Identifier: MIT
 *
 * executor_exec.c - commands, through the spawner. A run waits here until a slot is free and the
 * socket has room; from then on the spawner has it, under the number of its slot (its handle). */
#include "worker/executor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "worker/descendants.h"
#include "worker/spawn_link.h"

enum {
    PENDING_MAX = 1 << 20, /* bytes not sent: more would only double what the runs hold */
    KILL_WITHIN_MS = 5000,
};

struct exec_executor {
    struct jq_executor base;
    struct jq_spawn_link link;
    pid_t spawner; /* 0: reaped */
    bool died;
    bool died_told;
    uint32_t slots;
    struct jq_run **runs; /* by handle */
    uint32_t *free;       /* handles */
    uint32_t free_count;
    struct jq_run_list waiting;
    struct jq_run_list ended; /* not collected yet */
    struct jq_output_answer *answers;
    struct jq_output_answer **answers_end;
    struct jq_buf scratch;
};

static struct exec_executor *exec_of(const struct jq_executor *executor)
{
    return (struct exec_executor *)(uintptr_t)executor;
}

static void end_here(struct exec_executor *exec, struct jq_run *run, enum jq_outcome_kind kind,
                     const char *reason)
{
    struct jq_outcome outcome = {
        .kind = kind,
        .code = kind == JQ_OUTCOME_ERROR,
        .reason = jq_view_str(reason),
    };
    jq_run_end(run, &outcome, &exec->scratch);
    jq_run_list_push(&exec->ended, run);
}

/* --- to the spawner --- */

static void send_start(struct exec_executor *exec, struct jq_run *run)
{
    const uint32_t handle = exec->free[exec->free_count - 1];
    const struct jq_spawn_start start = { .id = run->id, .fence = run->fence };
    if (jq_spawn_link_put(&exec->link, JQ_SPAWN_START, handle, &start, sizeof start,
                          run->payload) != JQ_OK) {
        run->returned = true;
        jq_run_list_push(&exec->ended, run);
        return;
    }
    exec->free_count--;
    exec->runs[handle] = run;
}

static void push(struct exec_executor *exec)
{
    if (exec->died)
        return;
    while (exec->waiting.first != NULL && exec->free_count > 0 &&
           jq_spawn_link_pending(&exec->link) < PENDING_MAX)
        send_start(exec, jq_run_list_pop(&exec->waiting));
    jq_spawn_link_flush(&exec->link);
}

static enum jq_err exec_submit(struct jq_executor *executor, struct jq_run_list *runs)
{
    struct exec_executor *exec = exec_of(executor);
    if (exec->died) {
        for (struct jq_run *run; (run = jq_run_list_pop(runs)) != NULL;) {
            run->returned = true;
            jq_run_list_push(&exec->ended, run);
        }
        return JQ_OK;
    }
    jq_run_list_join(&exec->waiting, runs);
    push(exec);
    return JQ_OK;
}

/* exec->slots: the spawner does not have it. */
static uint32_t handle_of(const struct exec_executor *exec, const struct jq_run *run)
{
    uint32_t handle = 0;
    while (handle < exec->slots && exec->runs[handle] != run)
        handle++;
    return handle;
}

static void exec_cancel(struct jq_executor *executor, struct jq_run *run, jq_ms grace_ms)
{
    struct exec_executor *exec = exec_of(executor);
    if (jq_run_list_remove(&exec->waiting, run)) {
        end_here(exec, run, JQ_OUTCOME_CANCELLED, run->reason != NULL ? run->reason : "cancelled");
        return;
    }
    const uint32_t handle = handle_of(exec, run);
    if (handle == exec->slots || exec->died)
        return;
    const struct jq_spawn_cancel cancel = { .grace_ms = grace_ms };
    const struct jq_view reason = jq_view_str(run->reason != NULL ? run->reason : "");
    if (jq_spawn_link_put(&exec->link, JQ_SPAWN_CANCEL, handle, &cancel, sizeof cancel, reason) !=
        JQ_OK)
        exec->link.dead = true; /* what must end would go on */
    jq_spawn_link_flush(&exec->link);
}

static struct jq_run_list exec_recall(struct jq_executor *executor)
{
    struct exec_executor *exec = exec_of(executor);
    const struct jq_run_list runs = exec->waiting;
    exec->waiting = (struct jq_run_list){ 0 };
    return runs;
}

/* --- answers --- */

static void add_answer(struct exec_executor *exec, const struct jq_spawn_output *output,
                       struct jq_view bytes)
{
    struct jq_output_answer *answer = jq_alloc(sizeof *answer + bytes.size);
    if (answer == NULL)
        return; /* the reader asks again */
    uint8_t *to = (uint8_t *)(answer + 1);
    if (bytes.size > 0)
        memcpy(to, bytes.data, bytes.size);
    *answer = (struct jq_output_answer){
        .request = output->request,
        .found = output->found != 0,
        .end = output->end != 0,
        .offset = output->offset,
        .total = output->total,
        .bytes = jq_view(to, bytes.size),
    };
    *exec->answers_end = answer;
    exec->answers_end = &answer->next;
}

static void exec_read_output(struct jq_executor *executor, struct jq_run *run,
                             const struct jq_log_request *request)
{
    struct exec_executor *exec = exec_of(executor);
    const uint32_t handle = handle_of(exec, run);
    if (handle == exec->slots) {
        /* Not sent yet, so there is nothing to read; or it has ended and is about to be collected.
         * The reader asks again, or is told then. */
        struct jq_spawn_output output = { .request = *request, .offset = request->offset };
        output.found = run->outcome == NULL && !run->returned;
        add_answer(exec, &output, jq_view(NULL, 0));
        return;
    }
    if (jq_spawn_link_put(&exec->link, JQ_SPAWN_READ, handle, request, sizeof *request,
                          jq_view(NULL, 0)) == JQ_OK)
        jq_spawn_link_flush(&exec->link);
}

/* --- from the spawner --- */

static bool on_ended(struct exec_executor *exec, const struct jq_spawn_frame *frame)
{
    struct jq_spawn_ended ended;
    struct jq_view outcome;
    if (!jq_spawn_split(frame->body, &ended, sizeof ended, &outcome) ||
        frame->handle >= exec->slots || exec->runs[frame->handle] == NULL)
        return false;
    struct jq_run *run = exec->runs[frame->handle];
    exec->runs[frame->handle] = NULL;
    exec->free[exec->free_count++] = frame->handle;
    run->wall_us = ended.wall_us;
    if (ended.returned != 0)
        run->returned = true;
    else
        jq_run_end_encoded(run, outcome, &exec->scratch);
    jq_run_list_push(&exec->ended, run);
    return true;
}

static bool on_output(struct exec_executor *exec, const struct jq_spawn_frame *frame)
{
    struct jq_spawn_output output;
    struct jq_view bytes;
    if (!jq_spawn_split(frame->body, &output, sizeof output, &bytes))
        return false;
    add_answer(exec, &output, bytes);
    return true;
}

/* What it started came to us, or died with it: none of it may go on when its job is said to have
 * ended. */
static void on_death(struct exec_executor *exec)
{
    exec->died = true;
    if (exec->spawner > 0) {
        (void)kill(exec->spawner, SIGKILL);
        while (waitpid(exec->spawner, NULL, 0) < 0 && errno == EINTR)
            ;
        exec->spawner = 0;
    }
    (void)jq_descendants_kill(KILL_WITHIN_MS);
    for (uint32_t i = 0; i < exec->slots; i++) {
        if (exec->runs[i] != NULL)
            end_here(exec, exec->runs[i], JQ_OUTCOME_ERROR, "spawner lost");
        exec->runs[i] = NULL;
    }
    for (struct jq_run *run; (run = jq_run_list_pop(&exec->waiting)) != NULL;) {
        run->returned = true;
        jq_run_list_push(&exec->ended, run);
    }
}

static void exec_collect(struct jq_executor *executor, struct jq_collected *ret)
{
    struct exec_executor *exec = exec_of(executor);
    struct jq_spawn_frame frame;
    if (!exec->died) {
        jq_spawn_link_fill(&exec->link);
        while (jq_spawn_link_next(&exec->link, &frame)) {
            const bool fine = frame.kind == JQ_SPAWN_ENDED    ? on_ended(exec, &frame)
                              : frame.kind == JQ_SPAWN_OUTPUT ? on_output(exec, &frame)
                                                              : false;
            if (!fine)
                exec->link.dead = true;
        }
        if (exec->link.dead)
            on_death(exec);
    }
    push(exec);
    *ret = (struct jq_collected){
        .runs = exec->ended,
        .answers = exec->answers,
        .died = exec->died && !exec->died_told,
    };
    exec->died_told = exec->died;
    exec->ended = (struct jq_run_list){ 0 };
    exec->answers = NULL;
    exec->answers_end = &exec->answers;
}

/* --- life --- */

static int exec_fd(const struct jq_executor *executor)
{
    return exec_of(executor)->link.fd;
}

/* Also when something ended here: the socket being writable then leads to collect. */
static bool exec_wants_write(const struct jq_executor *executor)
{
    const struct exec_executor *exec = exec_of(executor);
    return exec->ended.first != NULL || exec->answers != NULL || exec->link.dead != exec->died ||
           (!exec->died && jq_spawn_link_pending(&exec->link) > 0);
}

static bool exec_close(struct jq_executor **executor)
{
    if (*executor == NULL)
        return true;
    struct exec_executor *exec = exec_of(*executor);
    *executor = NULL;
    jq_spawn_link_fini(&exec->link); /* which ends the spawner, and it what it started */
    while (exec->spawner > 0 && waitpid(exec->spawner, NULL, 0) < 0 && errno == EINTR)
        ;
    for (uint32_t i = 0; i < exec->slots; i++)
        jq_run_free(&exec->runs[i]);
    jq_run_list_free(&exec->waiting);
    jq_run_list_free(&exec->ended);
    for (struct jq_output_answer *answer; (answer = exec->answers) != NULL;) {
        exec->answers = answer->next;
        jq_free(answer);
    }
    jq_buf_fini(&exec->scratch);
    jq_free(exec->runs);
    jq_free(exec->free);
    jq_free(exec);
    return true;
}

static const struct jq_executor_ops exec_ops = {
    .name = "exec",
    .submit = exec_submit,
    .cancel = exec_cancel,
    .recall = exec_recall,
    .read_output = exec_read_output,
    .fd = exec_fd,
    .wants_write = exec_wants_write,
    .collect = exec_collect,
    .close = exec_close,
};

struct jq_executor *jq_executor_exec_open(int fd, pid_t spawner, uint32_t slots)
{
    JQ_CHECK(slots > 0);
    struct exec_executor *exec = jq_alloc_zero(1, sizeof *exec);
    struct jq_run **runs = jq_alloc_zero(slots, sizeof(struct jq_run *));
    uint32_t *handles = jq_alloc_zero(slots, sizeof *handles);
    if (exec == NULL || runs == NULL || handles == NULL) {
        jq_free(exec);
        jq_free(runs);
        jq_free(handles);
        return NULL;
    }
    exec->base.ops = &exec_ops;
    jq_spawn_link_init(&exec->link, fd);
    exec->spawner = spawner;
    exec->slots = slots;
    exec->runs = runs;
    exec->free = handles;
    exec->free_count = slots;
    for (uint32_t i = 0; i < slots; i++)
        handles[i] = slots - 1 - i;
    exec->answers_end = &exec->answers;
    return &exec->base;
}
