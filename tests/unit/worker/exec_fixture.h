/* SPDX-License-Identifier: MIT
 *
 * exec_fixture.h - a spawner with its executor, and one call that runs a command through them. */
#ifndef JQ_TESTS_EXEC_FIXTURE_H
#define JQ_TESTS_EXEC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/types.h>

#include "worker/executor.h"
#include "worker/spawner.h"

struct exec_fixture {
    struct jq_executor *executor;
    pid_t spawner;
    uint64_t next_id;
    struct jq_run_list ended;         /* collected, not taken by a test yet */
    struct jq_output_answer *answers; /* likewise */
    bool died;
};

/* A command; every list ends with NULL, and a length of 0 stands for strlen where a length is
 * asked. */
struct command {
    const char *const *argv;
    const char *const *env; /* NULL: PATH alone */
    const char *cwd;
    struct jq_view input;
    uint64_t flags;
    uint64_t timeout_ms;
    uint64_t kill_after_ms;
    uint64_t output_bytes;
};

int exec_setup(void **state);
int exec_teardown(void **state);

struct jq_run *exec_start(struct exec_fixture *fixture, const struct command *command);
struct jq_run *exec_start_payload(struct exec_fixture *fixture, struct jq_view payload);
/* One wait and collect. */
void exec_step(struct exec_fixture *fixture);
/* Until a run ends, whichever. The caller frees it. */
struct jq_run *exec_wait(struct exec_fixture *fixture);
struct jq_output_answer *exec_wait_answer(struct exec_fixture *fixture);
struct jq_outcome exec_outcome(const struct jq_run *run);
/* Starts it and waits. */
struct jq_run *exec_run(struct exec_fixture *fixture, const struct command *command);
struct jq_run *exec_shell(struct exec_fixture *fixture, const char *script);
/* head and tail, one after the other; malloc'ed, *ret_size its length */
void *exec_stdout(const struct jq_outcome *outcome, size_t *ret_size);
void assert_view(struct jq_view view, const char *text);

/* Reads the number that a job wrote into its output as "pid\n", waiting for it. */
pid_t exec_follow_pid(struct exec_fixture *fixture, struct jq_run *run);
/* Waits until no process `pid` is left; it may be anybody's child. */
void await_gone(pid_t pid);

#endif
