/* SPDX-License-Identifier: MIT
 *
 * exec_fixture.c - see exec_fixture.h. */
#include "exec_fixture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proto/base/alloc.h"

int exec_setup(void **state)
{
    struct exec_fixture *fixture = calloc(1, sizeof *fixture);
    const struct jq_spawner_conf conf = {
        .slots = 8,
        .output_bytes = 8 << 20,
        .kill_after_ms = 20000,
    };
    int fd = -1;
    if (fixture == NULL || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 ||
        jq_spawner_start(&conf, &fd, &fixture->spawner, NULL) != JQ_OK)
        return -1;
    fixture->executor = jq_executor_exec_open(fd, fixture->spawner, conf.slots);
    *state = fixture;
    return fixture->executor != NULL ? 0 : -1;
}

int exec_teardown(void **state)
{
    struct exec_fixture *fixture = *state;
    fixture->executor->ops->close(&fixture->executor);
    jq_run_list_free(&fixture->ended);
    for (struct jq_output_answer *answer; (answer = fixture->answers) != NULL;) {
        fixture->answers = answer->next;
        jq_free(answer);
    }
    free(fixture);
    return 0;
}

struct jq_run *exec_start_payload(struct exec_fixture *fixture, struct jq_view payload)
{
    const struct jq_grant grant = {
        .id = ++fixture->next_id,
        .fence = 1000 + fixture->next_id,
        .attempt = 1,
        .queue = jq_view_str("q"),
        .handler = jq_view_str("exec"),
        .payload = payload,
    };
    struct jq_run *run = jq_run_new(&grant, JQ_AT_EXEC);
    struct jq_run_list one = { 0 };
    assert_non_null(run);
    jq_run_list_push(&one, run);
    assert_int_equal(fixture->executor->ops->submit(fixture->executor, &one), JQ_OK);
    return run;
}

static struct jq_records records(const char *const *texts, struct jq_buf *buf)
{
    uint32_t count = 0;
    for (; texts[count] != NULL; count++)
        jq_bytes_write(buf, &(struct jq_bytes){ .value = jq_view_str(texts[count]) });
    return jq_records_of(count, buf);
}

struct jq_run *exec_start(struct exec_fixture *fixture, const struct command *command)
{
    static const char *const path_only[] = { "PATH=/usr/bin:/bin", NULL };
    struct jq_buf argv = { 0 };
    struct jq_buf env = { 0 };
    struct jq_buf payload = { 0 };
    const struct jq_exec_spec spec = {
        .argv = records(command->argv, &argv),
        .env = records(command->env != NULL ? command->env : path_only, &env),
        .cwd = jq_view_str(command->cwd != NULL ? command->cwd : ""),
        .input = command->input,
        .flags = command->flags,
        .timeout_ms = command->timeout_ms,
        .kill_after_ms = command->kill_after_ms,
        .output_bytes = command->output_bytes,
    };
    jq_exec_spec_write(&payload, &spec);
    assert_true(jq_buf_ok(&payload));
    struct jq_run *run = exec_start_payload(fixture, jq_buf_view(&payload));
    jq_buf_fini(&argv);
    jq_buf_fini(&env);
    jq_buf_fini(&payload);
    return run;
}

void exec_step(struct exec_fixture *fixture)
{
    struct jq_executor *executor = fixture->executor;
    struct pollfd item = { .fd = executor->ops->fd(executor), .events = POLLIN };
    if (executor->ops->wants_write(executor))
        item.events |= POLLOUT;
    assert_true(poll(&item, 1, -1) >= 0 || errno == EINTR);
    struct jq_collected collected;
    executor->ops->collect(executor, &collected);
    jq_run_list_join(&fixture->ended, &collected.runs);
    struct jq_output_answer **end = &fixture->answers;
    while (*end != NULL)
        end = &(*end)->next;
    *end = collected.answers;
    fixture->died |= collected.died;
}

struct jq_run *exec_wait(struct exec_fixture *fixture)
{
    while (fixture->ended.first == NULL)
        exec_step(fixture);
    return jq_run_list_pop(&fixture->ended);
}

struct jq_output_answer *exec_wait_answer(struct exec_fixture *fixture)
{
    while (fixture->answers == NULL)
        exec_step(fixture);
    struct jq_output_answer *answer = fixture->answers;
    fixture->answers = answer->next;
    return answer;
}

struct jq_outcome exec_outcome(const struct jq_run *run)
{
    struct jq_outcome outcome = { 0 };
    assert_false(run->returned);
    struct jq_reader reader = jq_reader(jq_run_outcome(run));
    assert_int_equal(jq_outcome_read(&reader, &outcome), JQ_OK);
    assert_int_equal(outcome.id, run->id);
    assert_int_equal(outcome.fence, run->fence);
    return outcome;
}

struct jq_run *exec_run(struct exec_fixture *fixture, const struct command *command)
{
    struct jq_run *started = exec_start(fixture, command);
    struct jq_run *run = exec_wait(fixture);
    assert_ptr_equal(run, started);
    return run;
}

struct jq_run *exec_shell(struct exec_fixture *fixture, const char *script)
{
    const char *const argv[] = { "sh", "-c", script, NULL };
    return exec_run(fixture, &(struct command){ .argv = argv });
}

void *exec_stdout(const struct jq_outcome *outcome, size_t *ret_size)
{
    const size_t size = outcome->stdout_head.size + outcome->stdout_tail.size;
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    if (outcome->stdout_head.size > 0)
        memcpy(bytes, outcome->stdout_head.data, outcome->stdout_head.size);
    if (outcome->stdout_tail.size > 0)
        memcpy(bytes + outcome->stdout_head.size, outcome->stdout_tail.data,
               outcome->stdout_tail.size);
    bytes[size] = '\0';
    *ret_size = size;
    return bytes;
}

void assert_view(struct jq_view view, const char *text)
{
    assert_int_equal(view.size, strlen(text));
    if (view.size > 0)
        assert_memory_equal(view.data, text, view.size);
}

pid_t exec_follow_pid(struct exec_fixture *fixture, struct jq_run *run)
{
    char text[64] = "";
    size_t size = 0;
    while (strchr(text, '\n') == NULL) {
        const struct jq_log_request request = {
            .correlation = 7,
            .id = run->id,
            .stream = 1,
            .offset = size,
            .limit = 32,
            .follow = true,
        };
        fixture->executor->ops->read_output(fixture->executor, run, &request);
        struct jq_output_answer *answer = exec_wait_answer(fixture);
        assert_true(answer->found);
        assert_int_equal(answer->offset, size);
        assert_true(answer->bytes.size > 0 && size + answer->bytes.size < sizeof text);
        memcpy(text + size, answer->bytes.data, answer->bytes.size);
        size += answer->bytes.size;
        jq_free(answer);
    }
    const long pid = strtol(text, NULL, 10);
    assert_true(pid > 1);
    return (pid_t)pid;
}

void await_gone(pid_t pid)
{
    const int fd = pidfd_open(pid, 0);
    if (fd < 0) {
        assert_int_equal(errno, ESRCH);
        return;
    }
    struct pollfd item = { .fd = fd, .events = POLLIN };
    while (poll(&item, 1, -1) < 0)
        assert_int_equal(errno, EINTR);
    close(fd);
}
