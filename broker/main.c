/* SPDX-License-Identifier: MIT
 *
 * main.c - jobqd: the command line, and what is done without serving. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "broker/process.h"
#include "broker/respawn.h"
#include "broker/serve.h"
#include "broker/settings.h"
#include "broker/transport.h"

static int complain(const char *text, int status)
{
    fprintf(stderr, "jobqd: %s\n", text);
    if (status == EX_USAGE)
        fputs("jobqd: try --help\n", stderr);
    return status;
}

/* Output that went nowhere (a full disk, a closed pipe) must not look like success. */
static int printed(enum jq_err err)
{
    if (err != JQ_OK)
        return complain(jq_err_text(err), EX_TEMPFAIL);
    if (fflush(stdout) != 0 || ferror(stdout))
        return complain(strerror(errno), EX_IOERR);
    return EX_OK;
}

static int print_version(bool verbose)
{
    puts(JQ_BROKER_SOFTWARE);
    if (verbose)
        puts(jq_transport_version());
    return printed(JQ_OK);
}

/* Before anything is opened, or the number could come to name a file of ours. */
static bool check_ready_fd(int fd)
{
    if (fd < 0)
        return true;
    if (fcntl(fd, F_GETFD) < 0)
        return false;
    return fd <= STDERR_FILENO || fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* The broker itself, here or in a child of ours. */
static int serve(const struct jq_command_line *line, const struct jq_broker_config *config)
{
    const struct jq_broker_settings *settings = jq_broker_config_get(config);
    enum jq_log_level level = jq_broker_config_log_level(config);
    int status;

    /* Whoever starts a broker that logs to a file is told of failures only. */
    if ((settings->local || *settings->log_file) && level > JQ_WARN)
        level = JQ_WARN;
    jq_log_open("jobqd", level);
    if (line->supervise && !jq_respawn(&status))
        return status;
    return jq_serve(line, config);
}

static int act(const struct jq_command_line *line)
{
    struct jq_broker_config *config = NULL;
    struct jq_detail detail = { "out of memory" };
    bool usage = false;
    int status = EX_OK;

    if (line->action == JQ_ACTION_HELP)
        return printed(jq_broker_help(stdout));
    if (line->action == JQ_ACTION_PRINT_SAMPLE)
        return printed(jq_broker_sample(stdout));
    if (line->action == JQ_ACTION_VERSION)
        return print_version(line->verbose);
    const enum jq_err err = jq_broker_config_load(line, environ, &config, &usage, &detail);
    if (err != JQ_OK)
        return complain(detail.text, err == JQ_ENOMEM ? EX_TEMPFAIL : usage ? EX_USAGE : EX_CONFIG);
    if (line->action == JQ_ACTION_PRINT_CONFIG) {
        jq_broker_config_print(config, stdout);
        status = printed(JQ_OK);
    } else if (line->action == JQ_ACTION_SERVE) {
        status = serve(line, config);
    }
    jq_broker_config_free(&config);
    return status;
}

int main(int argc, char **argv)
{
    struct jq_command_line line;
    struct jq_detail detail = { "out of memory" };

    if (jq_process_init() != JQ_OK)
        return EX_OSERR;
    const enum jq_err err = jq_command_line_parse(argc, argv, &line, &detail);
    if (err != JQ_OK)
        return complain(detail.text, err == JQ_ENOMEM ? EX_TEMPFAIL : EX_USAGE);
    const int status = check_ready_fd(line.ready_fd)
                           ? act(&line)
                           : complain("--ready-fd: that descriptor is not open", EX_USAGE);
    jq_command_line_fini(&line);
    return status;
}
