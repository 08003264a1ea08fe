/* SPDX-License-Identifier: MIT
 *
 * test_jobqd_start.c - how jobqd starts, refuses to, and stops. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "jobqd_proc.h"
#include "proto/base/clock.h"

static void write_file(const char *path, const char *text, mode_t mode)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void expect_holder_named(struct jobqd *d)
{
    char pid[32];

    snprintf(pid, sizeof(pid), "%ld", (long)d->pid);
    if (!strstr(jobqd_log(d), pid))
        fail_msg("pid %s is not named in: %s", pid, jobqd_log(d));
}

static void a_second_broker_on_the_endpoint_is_refused_and_the_first_is_named(void **state)
{
    struct jobqd *d = *state;
    char other[128];
    const char *const flags[] = { "--store", other, NULL };

    snprintf(other, sizeof(other), "%s/other.db", d->directory);
    jobqd_start(d, NULL);
    assert_int_equal(truncate(d->log, 0), 0);
    assert_int_equal(jobqd_refused(d, flags, false), EX_UNAVAILABLE);
    expect_holder_named(d);
    assert_int_equal(access(other, F_OK), -1);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
}

static void a_second_broker_on_the_store_is_refused_and_the_first_is_named(void **state)
{
    struct jobqd *d = *state;
    char other[128];
    const char *const flags[] = { "--url", other, NULL };

    snprintf(other, sizeof(other), "ipc://%s/other.sock", d->directory);
    jobqd_start(d, NULL);
    assert_int_equal(truncate(d->log, 0), 0);
    assert_int_equal(jobqd_refused(d, flags, false), EX_UNAVAILABLE);
    expect_holder_named(d);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
}

static void a_stop_leaves_no_socket_and_a_kill_is_no_obstacle(void **state)
{
    struct jobqd *d = *state;
    struct stat status;

    jobqd_start(d, NULL);
    assert_int_equal(stat(d->url + 6, &status), 0);
    assert_int_equal(status.st_mode & 07777 & 077, 0);
    assert_int_equal(jobqd_end(d, SIGKILL), 128 + SIGKILL);
    assert_int_equal(stat(d->url + 6, &status), 0);
    jobqd_start(d, NULL);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
    assert_int_equal(stat(d->url + 6, &status), -1);
}

static void what_cannot_be_served_is_refused_with_its_own_status(void **state)
{
    struct jobqd *d = *state;
    static const char *const usage[] = { "--no-such-flag", NULL };
    static const char *const config[] = { "--heartbeat=10s", NULL };
    static const char *const open_tcp[] = { "--url=tcp://0.0.0.0:*", NULL };
    static const char *const nowhere[] = { "--url=ipc:///proc/none/x.sock", NULL };
    char foreign[128];
    char foreign_flag[160];
    const char *const not_ours[] = { foreign_flag, NULL };

    assert_int_equal(jobqd_refused(d, usage, false), EX_USAGE);
    assert_int_equal(jobqd_refused(d, config, false), EX_CONFIG);
    assert_int_equal(jobqd_refused(d, open_tcp, false), EX_CONFIG);
    assert_int_equal(jobqd_refused(d, nowhere, false), EX_CANTCREAT);
    snprintf(foreign, sizeof(foreign), "%s/letter", d->directory);
    snprintf(foreign_flag, sizeof(foreign_flag), "--store=%s", foreign);
    write_file(foreign, "Dear reader, this is no database, and it is long enough to be seen.",
               0600);
    assert_int_equal(jobqd_refused(d, not_ours, false), EX_IOERR);
    assert_non_null(strstr(jobqd_log(d), foreign));
}

static void settings_are_printed_and_checked_without_serving(void **state)
{
    struct jobqd *d = *state;
    static const char *const print[] = { "--print-config", "--config=/dev/null", NULL };
    static const char *const check[] = { "--check-config", "--config=/dev/null", NULL };
    static const char *const bad[] = { "--check-config", "--lease=1ms", NULL };
    static const char *const help[] = { "--help", NULL };
    static const char *const version[] = { "--version", "--verbose", NULL };
    static const char *const sample[] = { "--print-sample", NULL };

    assert_int_equal(setenv("HOME", d->directory, 1), 0);
    assert_int_equal(jobqd_refused(d, print, true), 0);
    assert_int_equal(jobqd_refused(d, check, true), 0);
    assert_int_equal(jobqd_refused(d, help, true), 0);
    assert_int_equal(jobqd_refused(d, version, true), 0);
    assert_int_equal(jobqd_refused(d, sample, true), 0);
    assert_string_equal(jobqd_log(d), "");
    assert_int_equal(jobqd_refused(d, bad, true), EX_USAGE);
}

static void hup_reads_the_log_level_again_and_usr1_counts(void **state)
{
    struct jobqd *d = *state;
    char config[128];
    const char *const flags[] = { "--config", config, NULL };
    struct jq_msg msg;
    struct wire client;

    snprintf(config, sizeof(config), "%s/jobqd.conf", d->directory);
    write_file(config, "log_level = info\n", 0600);
    jobqd_start(d, flags);
    write_file(config, "log_level = debug\n", 0600);
    kill(d->pid, SIGHUP);
    kill(d->pid, SIGUSR1);
    wire_open(d, &client, 3);
    wire_hello(&client, JQ_ROLE_CLIENT, 0, &msg);
    wire_close(&client);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
    assert_non_null(strstr(jobqd_log(d), "event=broker.reloaded log_level=debug"));
    assert_non_null(strstr(jobqd_log(d), "event=counters"));
}

static void the_service_manager_hears_of_start_and_stop(void **state)
{
    struct jobqd *d = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[1024];

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", d->directory);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "2000000000", 1), 0);
    jobqd_start(d, NULL);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    ssize_t size = recv(fd, text, sizeof(text) - 1, 0);
    assert_true(size > 0);
    text[size] = '\0';
    assert_non_null(strstr(text, "READY=1"));
    size = recv(fd, text, sizeof(text) - 1, 0);
    assert_true(size > 0);
    text[size] = '\0';
    assert_string_equal(text, "WATCHDOG=1");
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
    size = recv(fd, text, sizeof(text) - 1, 0);
    assert_true(size > 0);
    text[size] = '\0';
    assert_non_null(strstr(text, "STOPPING=1"));
    close(fd);
}

/* ---- --local ---- */

/* A worker that says how it was started, and how often, and waits for its end. */
static const char fake_worker[] = "#!/bin/sh\n"
                                  "echo \"$$ $*\" >> \"$0.runs\"\n"
                                  "trap 'exit 0' TERM\n"
                                  "while :; do sleep 0.05; done\n";

/* The pid of run number `run`, from 0, and its arguments; waits for it. */
static long wait_run(const char *runs, int run, char *arguments, size_t size)
{
    const struct timespec pause = { .tv_nsec = 2000000 };
    const uint64_t until = jq_clock_mono_ns() + JOBQD_WAIT_MS * UINT64_C(1000000);
    char line[512];

    while (jq_clock_mono_ns() < until) {
        FILE *file = fopen(runs, "re");
        int seen = -1;
        while (file && seen < run && fgets(line, sizeof(line), file))
            seen += strchr(line, '\n') != NULL;
        if (file)
            fclose(file);
        if (seen == run) {
            snprintf(arguments, size, "%s", strchr(line, ' ') + 1);
            return strtol(line, NULL, 10);
        }
        nanosleep(&pause, NULL);
    }
    fail_msg("the worker was not started %d times", run + 1);
    return 0;
}

static void local_keeps_one_worker_running_and_logs_beside_the_store(void **state)
{
    struct jobqd *d = *state;
    char program[96], runs[112], log[96], arguments[512], expected[256];
    const char *const flags[] = { "--local", "--worker-program", program, "--worker-slots", "3",
                                  NULL };

    snprintf(program, sizeof(program), "%s/worker", d->directory);
    snprintf(runs, sizeof(runs), "%s.runs", program);
    snprintf(log, sizeof(log), "%s/jobqd.log", d->directory);
    write_file(program, fake_worker, 0700);
    jobqd_start(d, flags);
    const long first = wait_run(runs, 0, arguments, sizeof(arguments));
    snprintf(expected, sizeof(expected), "--url %s --die-with %ld --slots 3\n", d->url,
             (long)d->pid);
    assert_string_equal(arguments, expected);
    kill((pid_t)first, SIGKILL);
    const long second = wait_run(runs, 1, arguments, sizeof(arguments));
    assert_int_not_equal(first, second);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
    assert_int_equal(kill((pid_t)second, 0), -1);
    assert_int_equal(errno, ESRCH);
    assert_string_equal(jobqd_log(d), "");
    memcpy(d->log, log, sizeof(log));
    assert_non_null(strstr(jobqd_log(d), "event=worker.started"));
    assert_non_null(strstr(jobqd_log(d), "event=broker.stopped"));
}

static void closed_standard_descriptors_do_no_harm(void **state)
{
    struct jobqd *d = *state;
    static const char script[] = "exec <&- >&- 2>&-; exec \"$@\"";
    char flag_store[128], flag_url[128];
    char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" },           (char *)(uintptr_t)script,
                           (char[]){ "sh" }, (char[]){ JOBQD_PROGRAM },  flag_store,
                           flag_url,         (char[]){ "--ready-fd=9" }, NULL };
    int fds[2];
    char ready[256] = "";

    snprintf(flag_store, sizeof(flag_store), "--store=%s", d->store);
    snprintf(flag_url, sizeof(flag_url), "--url=%s", d->url);
    assert_int_equal(pipe(fds), 0);
    d->pid = fork();
    assert_true(d->pid >= 0);
    if (d->pid == 0) {
        dup2(fds[1], 9);
        close(fds[0]);
        close(fds[1]);
        execv("/bin/sh", argv);
        _exit(127);
    }
    close(fds[1]);
    assert_true(read(fds[0], ready, sizeof(ready) - 1) > 0);
    close(fds[0]);
    assert_non_null(strstr(ready, "READY=1 ipc://"));
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, jobqd_setup, jobqd_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_second_broker_on_the_endpoint_is_refused_and_the_first_is_named),
        CASE(a_second_broker_on_the_store_is_refused_and_the_first_is_named),
        CASE(a_stop_leaves_no_socket_and_a_kill_is_no_obstacle),
        CASE(what_cannot_be_served_is_refused_with_its_own_status),
        CASE(settings_are_printed_and_checked_without_serving),
        CASE(hup_reads_the_log_level_again_and_usr1_counts),
        CASE(the_service_manager_hears_of_start_and_stop),
        CASE(local_keeps_one_worker_running_and_logs_beside_the_store),
        CASE(closed_standard_descriptors_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
