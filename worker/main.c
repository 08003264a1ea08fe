/* SPDX-License-Identifier: MIT
 *
 * main.c - jobq-worker: settings, then the spawner, then everything that has threads. Exit codes
 * are those of sysexits.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/log.h"
#include "proto/limits.h"
#include "worker/loop.h"
#include "worker/settings.h"
#include "worker/spawner.h"

enum { EXIT_USAGE = 64, EXIT_SOFTWARE = 70, EXIT_OSERR = 71, EXIT_CONFIG = 78 };

/* A descriptor 0, 1 or 2 that was closed would be given to a socket, and be written to. */
static bool hold_standard_files(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            return false;
    } while (fd <= STDERR_FILENO);
    (void)close(fd);
    return true;
}

static int complain(enum jq_err err, const struct jq_detail *detail, int code)
{
    (void)fprintf(stderr, "jobq-worker: %s\n",
                  detail->text[0] != '\0' ? detail->text : jq_err_text(err));
    return err == JQ_ENOMEM ? EXIT_OSERR : code;
}

/* For people; then nothing is run. */
static int show(enum jq_worker_action action, const struct jq_worker_config *config)
{
    enum jq_err err = JQ_OK;
    if (action == JQ_WORKER_HELP)
        err = jq_worker_help(stdout);
    else if (action == JQ_WORKER_PRINT_SAMPLE)
        err = jq_worker_sample(stdout);
    else if (action == JQ_WORKER_VERSION)
        (void)puts("jobq-worker " JOBQ_VERSION);
    else if (action == JQ_WORKER_PRINT_CONFIG)
        jq_worker_config_print(config, stdout);
    if (err != JQ_OK || fflush(stdout) != 0) {
        (void)fprintf(stderr, "jobq-worker: cannot write to standard output\n");
        return EXIT_OSERR;
    }
    return 0;
}

/* Names that jobs may have as their handler here. */
static void print_handlers(const struct jq_handlers *handlers, FILE *out)
{
    (void)fputs("handlers=exec", out);
    for (size_t i = 0; i < handlers->count; i++)
        (void)fprintf(out, ",%s", handlers->list[i].offered.name);
    (void)fputs("  # loaded\n", out);
}

/* The effective settings and the handlers as text, for listings. Empty without memory. Caller
 * frees. */
static char *config_text(const struct jq_worker_config *config, const struct jq_handlers *handlers,
                         size_t *ret_size)
{
    char *text = jq_alloc(JQ_CONFIG_MAX);
    FILE *out = text != NULL ? fmemopen(text, JQ_CONFIG_MAX, "w") : NULL;
    *ret_size = 0;
    if (out == NULL)
        return text;
    jq_worker_config_print(config, out);
    print_handlers(handlers, out);
    (void)fflush(out);
    const long size = ftell(out);
    *ret_size = size > 0 && size < JQ_CONFIG_MAX ? (size_t)size : 0;
    (void)fclose(out);
    return text;
}

/* After the spawner was forked: what a plug-in does when it is loaded is no part of it. */
static enum jq_err load_handlers(const struct jq_worker_config *config,
                                 struct jq_handlers **ret_handlers, struct jq_detail *detail)
{
    struct jq_handlers *handlers = jq_handlers_new();
    if (handlers == NULL)
        return JQ_ENOMEM;
    *ret_handlers = handlers;
    const char *path;
    for (size_t i = 0; (path = jq_worker_config_plugin(config, i)) != NULL; i++)
        JQ_TRY(jq_handlers_load(handlers, path, detail));
    return JQ_OK;
}

static int work(const struct jq_worker_config *config)
{
    const struct jq_worker_settings *settings = jq_worker_config_get(config);
    struct jq_worker_parts parts = {
        .settings = settings,
        .tags = jq_worker_config_tags(config),
        .spawner_fd = -1,
    };
    struct jq_detail detail = { "" };
    struct jq_worker *worker = NULL;
    struct jq_handlers *handlers = NULL;
    char *text = NULL;
    const struct jq_spawner_conf spawner = {
        .slots = (uint32_t)settings->slots,
        .output_bytes = (uint64_t)settings->output_bytes,
        .kill_after_ms = settings->kill_after,
    };
    /* Should the spawner die, its jobs come to us, to be killed. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    enum jq_err err = jq_spawner_start(&spawner, &parts.spawner_fd, &parts.spawner, &detail);
    if (err != JQ_OK)
        return complain(err, &detail, EXIT_OSERR);
    (void)signal(SIGPIPE, SIG_IGN);
    err = load_handlers(config, &handlers, &detail);
    if (err == JQ_OK) {
        text = config_text(config, handlers, &parts.config.size);
        parts.config.data = text;
        parts.handlers = handlers;
        err = jq_worker_open(&parts, &worker, &detail);
    } else {
        (void)close(parts.spawner_fd);
        err = err == JQ_ENOMEM ? JQ_ENOMEM : JQ_EINVAL;
    }
    int status = EXIT_OSERR;
    if (err == JQ_OK)
        status = jq_worker_run(worker);
    else
        status = complain(err, &detail, err == JQ_EINVAL ? EXIT_CONFIG : EXIT_OSERR);
    if (!jq_worker_close(&worker))
        _exit(status); /* its memory is in use: nothing is freed, no destructor runs */
    jq_free(text);
    jq_handlers_free(&handlers);
    return status;
}

int main(int argc, char **argv)
{
    struct jq_worker_config *config = NULL;
    enum jq_worker_action action = JQ_WORKER_RUN;
    struct jq_detail detail = { "" };
    bool usage = false;
    if (!hold_standard_files())
        return EXIT_OSERR;
    const enum jq_err err =
        jq_worker_config_load(argc, argv, environ, &config, &action, &usage, &detail);
    if (err != JQ_OK)
        return complain(err, &detail, usage ? EXIT_USAGE : EXIT_CONFIG);
    jq_log_open("jobq-worker", jq_worker_config_log_level(config));
    const int status = action == JQ_WORKER_RUN ? work(config) : show(action, config);
    jq_worker_config_free(&config);
    return status;
}
