/* SPDX-License-Identifier: MIT
 *
 * spawner_launch.c - from an exec_spec to a running process. Every byte of argv, environment and
 * input goes as it came. Descriptors are close-on-exec from birth; only 0, 1 and 2 go over. */
#include "worker/spawner_state.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"

enum {
    NOT_RUNNABLE = 126,
    PEAK_KIB = 2 << 10, /* of our own on top of a command's does no harm */
};

/* One attempt to start one command. */
struct launch {
    struct jq_exec_spec spec;
    char **argv; /* one allocation: both arrays, then the strings */
    char **environment;
    char path[JQ_PATH_MAX + 1];
    int directory; /* AT_FDCWD: the worker's */
    int input;     /* -1: the null device */
    int pipes[2][2];
};

static enum jq_launched refuse(struct jq_refusal *refusal, const char *subject, const char *why)
{
    char shown[200];
    jq_printable(subject, shown, sizeof shown);
    refusal->code = NOT_RUNNABLE;
    (void)snprintf(refusal->reason, sizeof refusal->reason, "%s: %s", shown, why);
    return JQ_LAUNCH_REFUSED;
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN ||
           error == ENOSPC;
}

static enum jq_launched fail(struct jq_refusal *refusal, const char *subject, int error)
{
    return is_shortage(error) ? JQ_LAUNCH_LATER : refuse(refusal, subject, strerror(error));
}

/* --- strings --- */

static size_t bytes_of(struct jq_records list, bool *has_nul)
{
    size_t sum = 0;
    struct jq_bytes item;
    for (struct jq_reader r = jq_records_reader(list); jq_bytes_next(&r, &item);) {
        sum += item.value.size + 1;
        if (item.value.size > 0 && memchr(item.value.data, '\0', item.value.size) != NULL)
            *has_nul = true;
    }
    return sum;
}

static char *copy_strings(struct jq_records list, char **array, char *at)
{
    struct jq_bytes item;
    for (struct jq_reader r = jq_records_reader(list); jq_bytes_next(&r, &item);) {
        *array++ = at;
        if (item.value.size > 0)
            memcpy(at, item.value.data, item.value.size);
        at += item.value.size;
        *at++ = '\0';
    }
    *array = NULL;
    return at;
}

static enum jq_launched read_spec(struct launch *launch, struct jq_view payload,
                                  struct jq_refusal *refusal)
{
    struct jq_reader reader = jq_reader(payload);
    struct jq_exec_spec *spec = &launch->spec;
    if (jq_wire_check(payload) != JQ_OK || jq_exec_spec_read(&reader, spec) != JQ_OK)
        return refuse(refusal, "the job's payload", "not a command of this protocol");
    if (spec->argv.count == 0)
        return refuse(refusal, "the job", "names no command");
    bool has_nul = spec->cwd.size > 0 && memchr(spec->cwd.data, '\0', spec->cwd.size) != NULL;
    const size_t strings = bytes_of(spec->argv, &has_nul) + bytes_of(spec->env, &has_nul);
    if (has_nul)
        return refuse(refusal, "the command",
                      "an argument, a variable or the directory has a NUL byte");
    const size_t pointers = (size_t)spec->argv.count + spec->env.count + 2;
    launch->argv = jq_alloc(pointers * sizeof(char *) + strings);
    if (launch->argv == NULL)
        return JQ_LAUNCH_LATER;
    launch->environment = launch->argv + spec->argv.count + 1;
    char *at = (char *)(launch->argv + pointers);
    at = copy_strings(spec->argv, launch->argv, at);
    (void)copy_strings(spec->env, launch->environment, at);
    return JQ_LAUNCHED;
}

/* --- descriptors --- */

static enum jq_launched open_directory(struct launch *launch, struct jq_refusal *refusal)
{
    const struct jq_view cwd = launch->spec.cwd;
    if (cwd.size == 0)
        return JQ_LAUNCHED;
    char path[JQ_PATH_MAX + 1];
    memcpy(path, cwd.data, cwd.size);
    path[cwd.size] = '\0';
    launch->directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (launch->directory >= 0)
        return JQ_LAUNCHED;
    const int error = errno;
    if (is_shortage(error))
        return JQ_LAUNCH_LATER;
    char subject[160];
    char shown[120];
    jq_printable(path, shown, sizeof shown);
    (void)snprintf(subject, sizeof subject, "cannot enter directory %s", shown);
    return refuse(refusal, subject, strerror(error));
}

/* Standard input is a file in memory: nobody has to feed it. The job reads it from its start, as
 * pwrite moves no offset. */
static enum jq_launched open_input(struct launch *launch, struct jq_refusal *refusal)
{
    const struct jq_view input = launch->spec.input;
    if (input.size == 0)
        return JQ_LAUNCHED;
    launch->input = memfd_create("jobq-input", MFD_CLOEXEC);
    if (launch->input < 0)
        return fail(refusal, "standard input", errno);
    for (size_t done = 0; done < input.size;) {
        const ssize_t wrote = pwrite(launch->input, (const uint8_t *)input.data + done,
                                     input.size - done, (off_t)done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return JQ_LAUNCH_LATER;
        done += (size_t)wrote;
    }
    return JQ_LAUNCHED;
}

static bool is_merged(const struct launch *launch)
{
    return (launch->spec.flags & JQ_EXEC_MERGE) != 0;
}

/* The reading ends do not block; the job's ends do, as programs expect. */
static enum jq_launched open_pipes(struct launch *launch, struct jq_refusal *refusal)
{
    const int count = is_merged(launch) ? 1 : 2;
    for (int i = 0; i < count; i++) {
        if (pipe2(launch->pipes[i], O_CLOEXEC) != 0 ||
            fcntl(launch->pipes[i][0], F_SETFL, O_NONBLOCK) != 0)
            return fail(refusal, "a pipe for the output", errno);
    }
    return JQ_LAUNCHED;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void launch_fini(struct launch *launch)
{
    for (int i = 0; i < 2; i++) {
        close_fd(&launch->pipes[i][0]);
        close_fd(&launch->pipes[i][1]);
    }
    close_fd(&launch->input);
    if (launch->directory != AT_FDCWD)
        close_fd(&launch->directory);
    jq_free(launch->argv);
}

/* --- the process --- */

static int add_actions(const struct jq_spawner *spawner, const struct launch *launch,
                       posix_spawn_file_actions_t *actions)
{
    const int input = launch->input >= 0 ? launch->input : spawner->null;
    const int error = launch->pipes[is_merged(launch) ? 0 : 1][1];
    int failed = posix_spawn_file_actions_adddup2(actions, input, STDIN_FILENO);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(actions, launch->pipes[0][1], STDOUT_FILENO);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(actions, error, STDERR_FILENO);
    if (failed == 0 && launch->directory != AT_FDCWD)
        failed = posix_spawn_file_actions_addfchdir_np(actions, launch->directory);
    return failed;
}

static int64_t peak_kib(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0;
}

/* Linux counts the peak memory of whoever starts a process to the process (exec keeps the larger of
 * the two). Ours is small, but for what a large input or output has left behind: give that back,
 * and begin to count anew (proc(5), clear_refs). */
static void forget_peak(struct jq_spawner *spawner)
{
    if (peak_kib() <= spawner->peak_kib_max)
        return;
    malloc_trim(0);
    const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "5", 1); /* without it the figure is too large, as it was */
        close(fd);
    }
    spawner->peak_kib_max = peak_kib() + PEAK_KIB;
}

static int spawn(struct jq_spawner *spawner, const struct launch *launch, pid_t *ret_pid)
{
    forget_peak(spawner);
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0)
        return failed;
    failed = add_actions(spawner, launch, &actions);
    if (failed == 0)
        failed = posix_spawn(ret_pid, launch->path, &actions, &spawner->attributes, launch->argv,
                             launch->environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static jq_ms bounded_ms(uint64_t ms)
{
    return ms < INT32_MAX ? (jq_ms)ms : INT32_MAX;
}

static void take_over(const struct jq_spawner *spawner, struct launch *launch, struct jq_job *job)
{
    const struct jq_exec_spec *spec = &launch->spec;
    uint64_t keep = spawner->conf.output_bytes;
    if (spec->output_bytes > 0 && spec->output_bytes < keep)
        keep = spec->output_bytes;
    for (int i = 0; i < 2; i++) {
        job->streams[i].fd = launch->pipes[i][0];
        launch->pipes[i][0] = -1;
        jq_output_init(&job->streams[i].output, (size_t)keep);
    }
    job->timeout_ms = spec->timeout_ms > 0 ? bounded_ms(spec->timeout_ms) : JQ_NEVER;
    job->kill_after_ms =
        spec->kill_after_ms > 0 ? bounded_ms(spec->kill_after_ms) : spawner->conf.kill_after_ms;
}

static enum jq_launched start_process(struct jq_spawner *spawner, struct launch *launch,
                                      struct jq_job *job, struct jq_refusal *refusal)
{
    const struct jq_now now = jq_clock_now();
    job->from_ns = jq_clock_mono_ns();
    const int failed = spawn(spawner, launch, &job->pid);
    if (failed == ENOENT)
        return refuse(refusal, launch->path, "its interpreter is missing");
    if (failed != 0)
        return fail(refusal, launch->path, failed);
    job->started_at = now.wall;
    if (spawner->files_raised)
        (void)prlimit(job->pid, RLIMIT_NOFILE, &spawner->files, NULL);
    return JQ_LAUNCHED;
}

enum jq_launched jq_job_launch(struct jq_spawner *spawner, struct jq_job *job,
                               struct jq_view payload, struct jq_refusal *ret_refusal)
{
    struct launch launch = {
        .directory = AT_FDCWD,
        .input = -1,
        .pipes = { { -1, -1 }, { -1, -1 } },
    };
    enum jq_launched launched = read_spec(&launch, payload, ret_refusal);
    if (launched == JQ_LAUNCHED)
        launched = open_directory(&launch, ret_refusal);
    if (launched == JQ_LAUNCHED && !jq_program_find(launch.directory, launch.argv[0],
                                                    launch.environment, launch.path, ret_refusal))
        launched = JQ_LAUNCH_REFUSED;
    if (launched == JQ_LAUNCHED)
        launched = open_input(&launch, ret_refusal);
    if (launched == JQ_LAUNCHED)
        launched = open_pipes(&launch, ret_refusal);
    if (launched == JQ_LAUNCHED)
        launched = start_process(spawner, &launch, job, ret_refusal);
    if (launched == JQ_LAUNCHED)
        take_over(spawner, &launch, job);
    launch_fini(&launch);
    return launched;
}
