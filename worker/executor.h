/* SPDX-License-Identifier: MIT
 *
 * executor.h - where jobs run. What runs is the handler's business.
 *
 * The contract, kept by every executor: each submitted run comes back exactly once, through
 * `submit` itself, `collect` or `recall`; through the first two with an outcome, or `returned` when
 * it could not be run for want of resources. All calls are the loop thread's; none blocks but
 * `close`. `fd` becomes readable when collect has something. */
#ifndef JQ_WORKER_EXECUTOR_H
#define JQ_WORKER_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/err.h"
#include "proto/base/time.h"
#include "worker/fetch.h"
#include "worker/handlers.h"
#include "worker/run.h"

/* The answer to a read_output. `found` false: the run has ended meanwhile, its outcome comes or
 * came with collect. */
struct jq_output_answer {
    struct jq_output_answer *next;
    struct jq_log_request request;
    bool found;
    bool end;
    uint64_t offset;
    uint64_t total;
    struct jq_view bytes; /* behind the struct */
};

struct jq_collected {
    struct jq_run_list runs;
    struct jq_output_answer *answers; /* in order; the taker frees each with jq_free */
    bool died;                        /* the executor can run nothing any more; told once */
};

struct jq_executor;

struct jq_executor_ops {
    const char *name;
    /* Takes all runs, in order; `runs` is left with those that have ended at once. ENOMEM: none is
     * taken. */
    enum jq_err (*submit)(struct jq_executor *executor, struct jq_run_list *runs);
    /* Advice: the run comes back, soon. A run that is not here any more is fine. */
    void (*cancel)(struct jq_executor *executor, struct jq_run *run, jq_ms grace_ms);
    /* All that has not started. */
    struct jq_run_list (*recall)(struct jq_executor *executor);
    /* Answered by collect; dropped without memory. NULL: its jobs have no output streams. */
    void (*read_output)(struct jq_executor *executor, struct jq_run *run,
                        const struct jq_log_request *request);
    int (*fd)(const struct jq_executor *executor);
    bool (*wants_write)(const struct jq_executor *executor); /* wait for writable as well */
    void (*collect)(struct jq_executor *executor, struct jq_collected *ret);
    /* Ends what still runs and frees it. False: something runs on that cannot be ended; what it
     * uses stays, and the process should leave by _exit. */
    bool (*close)(struct jq_executor **executor);
};

/* Every executor's first member. */
struct jq_executor {
    const struct jq_executor_ops *ops;
};

struct jq_thread_conf {
    const struct jq_handlers *handlers; /* outlive the executor */
    uint32_t threads;                   /* above 0 */
    size_t output_bytes;                /* kept of what a job logs */
    uint64_t depth_max;                 /* deeper jobs are refused */
};

/* Handlers on OS threads. ENOMEM, EIO: no threads; EINVAL: the init of a handler has failed. With
 * detail. */
JQ_MUST_USE enum jq_err jq_executor_thread_open(const struct jq_thread_conf *conf,
                                                struct jq_executor **ret_executor,
                                                struct jq_detail *ret_detail);

/* Commands, through a spawner (spawner.h), `slots` at once; takes its socket `fd`, and waits for
 * the process `spawner` at its end. When the spawner dies, every process that it leaves to this one
 * (a child subreaper) is killed. NULL: out of memory, nothing is taken. */
struct jq_executor *jq_executor_exec_open(int fd, pid_t spawner, uint32_t slots);

#endif
