/* SPDX-License-Identifier: MIT
 *
 * cmd_broker.c - jobq broker: start, look at and stop the broker of this machine. Whom to stop is
 * what the kernel says of the socket's other end, not what that end says of itself. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/cli/autostart.h"
#include "client/cli/broker_proc.h"
#include "client/cli/cli.h"
#include "client/cli/format_json.h"
#include "client/cli/text.h"
#include "proto/base/clock.h"

enum { STOP_MS = 60000 };

static bool wants_json(const struct jq_cli *cli)
{
    return cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;
}

/* ---- start ---- */

static int start(struct jq_cli *cli)
{
    struct jq_detail detail = { "" };
    struct jq_local_broker broker = { 0 };
    bool started = false;

    if (!cli->default_url)
        return jq_cli_fail(cli, JQ_EINVAL,
                           "broker start is for the default endpoint; jobqd --url %s serves there",
                           cli->url);
    const enum jq_err err = jq_autostart(cli->url, &broker, &started, &detail);
    if (err != JQ_OK)
        return jq_cli_fail(cli, err, "%s", detail.text[0] ? detail.text : jq_err_text(err));
    if (!started)
        jq_cli_notice(cli, "a broker serves already");
    if (!wants_json(cli)) {
        printf("%ld\n", (long)broker.pid);
        return 0;
    }
    struct jq_json_object *object = jq_json_open();
    jq_json_number(object, "pid", broker.pid);
    jq_json_bool(object, "started", started);
    jq_json_text(object, "url", cli->url);
    return jq_json_close(object, stdout)
               ? 0
               : jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

/* ---- status ---- */

struct known {
    int64_t pid;
    int64_t uptime_ms; /* -1: not known */
    char store[JQ_PATH_MAX];
    struct jq_broker_said said;
    char store_id[33];
    int64_t answer_us;
};

static int find_out(struct jq_cli *cli, struct known *ret)
{
    const char *path = jq_url_ipc_path(cli->url);
    struct jq_local_broker local = { 0 };

    ret->uptime_ms = -1;
    ret->store[0] = '\0';
    cli->globals.no_autostart = true; /* to look is not to start */
    const int status = jq_cli_connect(cli);
    if (status != 0)
        return status;
    int error = jobq_ping(cli->client, jq_cli_request_ms(cli), &ret->answer_us);
    if (error == 0)
        error = jq_client_broker(cli->client, &ret->said);
    if (error != 0)
        return jq_cli_fail_call(cli, error, "broker status");
    ret->pid = (int64_t)ret->said.pid;
    for (size_t i = 0; i < sizeof ret->said.store_id; i++)
        snprintf(ret->store_id + 2 * i, 3, "%02x", ret->said.store_id[i]);
    if (!path || jq_local_probe(path, &local, NULL) != JQ_OK || local.pid <= 0)
        return 0; /* on another machine, or out of sight */
    ret->pid = local.pid;
    ret->uptime_ms = jq_broker_proc_uptime_ms(local.pid);
    jq_broker_proc_store(local.pid, ret->store, sizeof ret->store);
    return 0;
}

static int print_known_json(const struct jq_cli *cli, const struct known *known)
{
    struct jq_json_object *object = jq_json_open();

    jq_json_bool(object, "running", true);
    jq_json_number(object, "pid", known->pid);
    jq_json_text(object, "version", known->said.software);
    jq_json_text(object, "url", cli->url);
    if (known->store[0])
        jq_json_text(object, "store", known->store);
    jq_json_text(object, "store_id", known->store_id);
    jq_json_number(object, "incarnation", (int64_t)known->said.incarnation);
    if (known->uptime_ms >= 0)
        jq_json_number(object, "uptime_ms", known->uptime_ms);
    jq_json_number(object, "answer_us", known->answer_us);
    return jq_json_close(object, stdout)
               ? 0
               : jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

static int status(struct jq_cli *cli)
{
    struct known known;
    struct jq_buf text = { 0 };
    const int code = find_out(cli, &known);

    if (code != 0)
        return code;
    if (wants_json(cli))
        return print_known_json(cli, &known);
    if (cli->format == JQ_FORMAT_ID) {
        printf("%" PRId64 "\n", known.pid);
        return 0;
    }
    jq_text_add(&text, "pid        %" PRId64 "\nversion    ", known.pid);
    jq_text_clean(&text, jq_view_str(known.said.software));
    jq_text_add(&text, "\nurl        ");
    jq_text_clean(&text, jq_view_str(cli->url));
    jq_text_add(&text, "\nstore      ");
    jq_text_clean(&text, jq_view_str(known.store));
    jq_text_add(&text, "%s(%s)\n", known.store[0] ? " " : "", known.store_id);
    jq_text_add(&text, "start      number %" PRIu64 "\n", known.said.incarnation);
    if (known.uptime_ms >= 0) {
        jq_text_add(&text, "uptime     ");
        jq_text_duration(&text, known.uptime_ms);
        jq_text_add(&text, "\n");
    }
    printf("%.*s", JQ_VIEW_ARG(jq_buf_view(&text)));
    jq_buf_fini(&text);
    return 0;
}

/* ---- stop ---- */

/* A handle of the process that listens at `path`. Asked twice: between a pid and its handle the
 * process may end, and the number may be another's. */
static enum jq_err open_process(const char *path, int *ret_pidfd, pid_t *ret_pid,
                                struct jq_detail *detail)
{
    struct jq_local_broker before, after;

    JQ_TRY(jq_local_probe(path, &before, detail));
    if (before.pid <= 0) {
        jq_detail_set(detail, "%s: its broker is in another container: stop it there", path);
        return JQ_EAUTH;
    }
    if (before.uid != geteuid()) {
        jq_detail_set(detail, "%s is served by another user (uid %u)", path, (unsigned)before.uid);
        return JQ_EAUTH;
    }
    const int pidfd = (int)syscall(SYS_pidfd_open, before.pid, 0);
    if (pidfd < 0 && errno == ESRCH)
        return JQ_EUNREACH;
    if (pidfd < 0) {
        jq_detail_set(detail, "process %ld: %s", (long)before.pid, strerror(errno));
        return JQ_EIO;
    }
    const enum jq_err err = jq_local_probe(path, &after, detail);
    if (err != JQ_OK || after.pid != before.pid) {
        close(pidfd);
        return err != JQ_OK ? err : JQ_EUNREACH;
    }
    *ret_pidfd = pidfd;
    *ret_pid = before.pid;
    return JQ_OK;
}

static int await_end(const struct jq_cli *cli, int pidfd, pid_t pid)
{
    const int64_t timeout_ms = cli->globals.timeout_ms >= 0 ? cli->globals.timeout_ms : STOP_MS;
    const uint64_t deadline = jq_clock_mono_ns() / 1000000 + (uint64_t)timeout_ms;

    for (;;) {
        struct pollfd poller = { .fd = pidfd, .events = POLLIN };
        const uint64_t now = jq_clock_mono_ns() / 1000000;
        const uint64_t left = now < deadline ? deadline - now : 0;
        if (poll(&poller, 1, left > INT32_MAX ? INT32_MAX : (int)left) > 0)
            return 0;
        if (left > 0)
            continue;
        jq_cli_notice(cli, "process %ld has been told to stop, but still runs", (long)pid);
        return JQ_EXIT_TIMEDOUT;
    }
}

static int stop(struct jq_cli *cli)
{
    const char *path = jq_url_ipc_path(cli->url);
    struct jq_detail detail = { "" };
    int pidfd = -1;
    pid_t pid = 0;

    if (!path)
        return jq_cli_fail(cli, JQ_EINVAL, "broker stop is for ipc:// endpoints of this machine");
    const enum jq_err err = open_process(path, &pidfd, &pid, &detail);
    if (err == JQ_EUNREACH) {
        jq_cli_notice(cli, "no broker at %s", cli->url);
        return 0;
    }
    if (err != JQ_OK)
        return jq_cli_fail(cli, err, "%s", detail.text);
    int code = 0;
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0) != 0 && errno != ESRCH)
        code = jq_cli_fail(cli, JQ_EIO, "process %ld: %s", (long)pid, strerror(errno));
    else
        code = await_end(cli, pidfd, pid);
    close(pidfd);
    return code;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const char *verb = words->list[0];

    (void)values;
    const int code = jq_cli_find_url(cli);
    if (code != 0)
        return code;
    if (strcmp(verb, "start") == 0)
        return start(cli);
    if (strcmp(verb, "status") == 0)
        return status(cli);
    if (strcmp(verb, "stop") == 0)
        return stop(cli);
    return jq_cli_usage(cli, &jq_cmd_broker, "broker: '%s' is none of start status stop", verb);
}

const struct jq_command jq_cmd_broker = {
    .name = "broker",
    .synopsis = "start | status | stop",
    .summary = "the private broker of this user",
    .notes = "start: jobqd --local at the default endpoint, unless one serves there; prints its\n"
             "pid. status: 125 when none serves. stop: by TERM; its worker gives its jobs back\n"
             "first; waits for the end, or --timeout (exit code 124).\n"
             "\n"
             "  jobq broker status\n",
    .words_min = 1,
    .words_max = 1,
    .words_name = "start, status or stop",
    .run = run,
};
