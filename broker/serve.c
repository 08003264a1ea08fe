/* SPDX-License-Identifier: MIT
 *
 * serve.c - see serve.h. Locks come first, so that a second broker touches nothing; endpoints are
 * bound last, so that whoever connects is served; the log goes to its file when nothing is left
 * that could fail, so that whoever started us sees why we did not. */
#include "broker/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "broker/endpoint.h"
#include "broker/guard.h"
#include "broker/logfile.h"
#include "broker/loop.h"
#include "broker/recovery.h"
#include "proto/base/clock.h"
#include "proto/limits.h"

enum {
    FDS_OF_OUR_OWN = 64, /* store, epoll, libzmq's own; what is left is for connections */
    LINGER_MS = 1000,    /* for answers that have not left when we stop */
    PATH_TEXT_MAX = 4096,
    /* Jobs in the open batch before SUBMITs wait. A producer outruns the workers: with more, none
     * of its jobs would end in the batch that it came in, where its end costs the store nothing. */
    BATCH_JOBS_MAX = 4096,
};

struct broker {
    const struct jq_command_line *line;
    const struct jq_broker_config *config;
    const struct jq_broker_settings *settings;
    struct jq_endpoints endpoints;
    struct jq_endpoint_lock locks[JQ_ENDPOINTS_MAX];
    char url[JQ_ENDPOINT_TEXT_MAX]; /* of the first endpoint, as bound */
    char log_path[PATH_TEXT_MAX];   /* "": standard error */
    int fd_limit;                   /* as we found it: for the worker */
    struct jq_wakeup wakeup;
    struct jq_sdnotify notify;
    struct jq_metrics metrics;
    struct jq_store *store;
    struct jq_core *core;
    struct jq_transport *transport;
    struct jq_peers *peers;
    struct jq_supervise *supervise;
    struct jq_turn turn;
    struct jq_recovered recovered;
};

/* ---- opening ---- */

/* The detail is logged by the caller, once, with the status. */
static int open_process(struct broker *b, struct jq_detail *detail)
{
    const struct jq_broker_settings *s = b->settings;
    struct rlimit limit;

    if (jq_logfile_path(s->log_file, s->store, s->local, b->log_path, sizeof(b->log_path)) !=
        JQ_OK) {
        jq_detail_set(detail, "log_file: the path is too long");
        return EX_CONFIG;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= INT32_MAX)
        b->fd_limit = (int)limit.rlim_cur;
    const int fds = jq_guard_limit_raise((int)s->peers_max + 2 * FDS_OF_OUR_OWN);
    if (fds <= FDS_OF_OUR_OWN) {
        jq_detail_set(detail, "only %d open files are allowed (ulimit -n): too few", fds);
        return EX_TEMPFAIL;
    }
    const struct jq_guard_conf guard = { .fd_max = fds - FDS_OF_OUR_OWN,
                                         .unfinished_max = s->peers_in_max };
    const enum jq_err err = jq_guard_open(&guard, detail);
    if (err != JQ_OK)
        return err == JQ_ENOMEM ? EX_TEMPFAIL : EX_SOFTWARE;
    if (jq_wakeup_open(&b->wakeup) != JQ_OK) {
        jq_detail_set(detail, "signals cannot be read: %s", strerror(errno));
        return EX_TEMPFAIL;
    }
    return EX_OK;
}

static int claim_endpoints(struct broker *b, struct jq_detail *detail)
{
    const struct jq_broker_settings *s = b->settings;

    if (jq_endpoints_parse(s->url, s->insecure, &b->endpoints, detail) != JQ_OK)
        return EX_CONFIG;
    for (size_t i = 0; i < b->endpoints.count; i++) {
        const enum jq_err err = jq_endpoint_claim(&b->endpoints.list[i], &b->locks[i], detail);
        if (err != JQ_OK)
            return err == JQ_ELOCKED ? EX_UNAVAILABLE : EX_CANTCREAT;
    }
    return EX_OK;
}

static int status_of_store(enum jq_err err)
{
    if (err == JQ_ELOCKED)
        return EX_UNAVAILABLE;
    if (err == JQ_ENOMEM || err == JQ_ENOSPC) /* they come back: start it again */
        return EX_TEMPFAIL;
    return err == JQ_EINVAL || err == JQ_EVERSION ? EX_CONFIG : EX_IOERR;
}

static int open_store(struct broker *b, struct jq_detail *detail)
{
    const struct jq_broker_settings *s = b->settings;
    const struct jq_store_conf conf = {
        .path = s->store,
        .min_free_bytes = s->store_min_free,
        .max_bytes = s->store_max_size,
        .accept_loss = s->store_accept_loss,
    };

    const enum jq_err err = jq_store_open(&conf, &b->store, detail);
    return err == JQ_OK ? EX_OK : status_of_store(err);
}

static int open_core(struct broker *b, struct jq_detail *detail)
{
    const struct jq_broker_settings *s = b->settings;
    struct jq_core_conf conf;

    jq_core_conf_default(&conf);
    conf.heartbeat_ms = s->heartbeat;
    conf.lease_ms = s->lease;
    conf.settle_ms = s->settle;
    conf.kill_grace_ms = s->kill_grace;
    conf.batch_ms = s->batch;
    conf.request_keep_ms = s->request_keep;
    conf.crashes_max = (uint32_t)s->crashes_max;
    conf.batch_ops_max = (uint32_t)s->batch_ops;
    conf.batch_jobs_max = BATCH_JOBS_MAX;
    const bool is_memory = strcmp(s->store, "memory:") == 0; /* there is nowhere to spill to */
    conf.resident_jobs_max = is_memory ? UINT64_MAX : (uint64_t)s->resident_jobs_max;
    conf.resident_bytes_max = is_memory ? UINT64_MAX : (uint64_t)s->resident_size;
    conf.keep_ms = (uint64_t)s->keep;
    conf.keep_failed_ms = (uint64_t)s->keep_failed;
    conf.keep_bytes = (uint64_t)s->keep_size;
    conf.keep_count = (uint64_t)s->keep_count;
    conf.sweep_ms = s->keep_sweep;
    conf.sweep_rows = (uint32_t)s->keep_slice;
    conf.peers_max = (uint32_t)s->peers_max;
    /* The bound of what has been sent comes first; this one is for promises that are held. */
    if ((uint64_t)s->peers_out_max > conf.out_bytes_max / 4)
        conf.out_bytes_max =
            s->peers_out_max < INT64_MAX / 4 ? 4 * (uint64_t)s->peers_out_max : UINT64_MAX;
    conf.events_kept = (uint32_t)s->watch_backlog;
    conf.pid = (uint32_t)getpid();
    conf.software = JQ_BROKER_SOFTWARE;
    b->core = jq_core_new(&conf, jq_clock_entropy());
    if (!b->core) {
        jq_detail_set(detail, "out of memory");
        return EX_TEMPFAIL;
    }
    const enum jq_err err = jq_recover(b->store, b->core, &b->recovered, detail);
    /* A commit that failed is unknown, not wrong: the next start finds out. */
    if (err == JQ_ENOSPC || err == JQ_EUNKNOWN)
        return EX_TEMPFAIL;
    return err == JQ_OK ? EX_OK : status_of_store(err);
}

static enum jq_sent send_to(void *arg, uint64_t route, uint8_t *data, size_t size,
                            struct jq_in_flight *in_flight)
{
    return jq_transport_send(arg, route, data, size, in_flight);
}

static int bind_endpoints(struct broker *b, struct jq_detail *detail)
{
    char actual[JQ_ENDPOINT_TEXT_MAX];

    if (jq_transport_open(&b->metrics, &b->transport, detail) != JQ_OK)
        return EX_TEMPFAIL;
    const struct jq_peers_conf conf = {
        .peers_max = (size_t)b->settings->peers_max,
        .out_max_bytes = b->settings->peers_out_max,
        .silence_ms = b->settings->lease,
        .send = send_to,
        .send_arg = b->transport,
    };
    b->peers = jq_peers_new(&conf, &b->metrics);
    if (!b->peers || jq_wakeup_add(&b->wakeup, jq_store_fd(b->store)) != JQ_OK) {
        jq_detail_set(detail, "out of memory");
        return EX_TEMPFAIL;
    }
    for (size_t i = 0; i < b->endpoints.count; i++) {
        const enum jq_err err =
            jq_transport_bind(b->transport, &b->endpoints.list[i], actual, detail);
        if (err != JQ_OK)
            return err == JQ_ELOCKED ? EX_UNAVAILABLE : EX_CANTCREAT;
        if (i == 0)
            memcpy(b->url, actual, sizeof(b->url));
    }
    return EX_OK;
}

static int open_worker(struct broker *b, struct jq_detail *detail)
{
    const struct jq_supervise_conf conf = {
        .program = b->settings->worker_program,
        .url = b->url,
        .slots = b->settings->worker_slots,
        .fd_limit = b->fd_limit,
    };

    if (!b->settings->local)
        return EX_OK;
    b->supervise = jq_supervise_new(&conf);
    if (b->supervise)
        return EX_OK;
    jq_detail_set(detail, "out of memory");
    return EX_TEMPFAIL;
}

static int open_log(struct broker *b, struct jq_detail *detail)
{
    if (b->log_path[0] && jq_logfile_open(b->log_path, detail) != JQ_OK)
        return EX_CANTCREAT;
    jq_log_open("jobqd", jq_broker_config_log_level(b->config));
    return EX_OK;
}

static int open_all(struct broker *b, struct jq_detail *detail)
{
    static int (*const steps[])(struct broker *, struct jq_detail *) = {
        open_process, claim_endpoints, open_store, open_core, bind_endpoints, open_worker, open_log,
    };
    int status = EX_OK;

    for (size_t i = 0; status == EX_OK && i < sizeof(steps) / sizeof(steps[0]); i++)
        status = steps[i](b, detail);
    return status;
}

/* ---- serving ---- */

static void tell_ready(struct broker *b)
{
    const int fd = b->line->ready_fd;

    jq_sdnotify_send(&b->notify, "READY=1\nSTATUS=Serving %s", b->url);
    if (fd < 0)
        return;
    dprintf(fd, "READY=1 %s %ld\n", b->url, (long)getpid());
    /* Whoever waits for the end of it must see it; 0, 1 and 2 must stay taken. */
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd > STDERR_FILENO)
        close(fd);
    else if (null >= 0 && fd != STDERR_FILENO)
        dup2(null, fd);
    if (null >= 0)
        close(null);
}

static void log_start(const struct broker *b)
{
    const struct jq_recovered *r = &b->recovered;

    jq_log(JQ_INFO, "broker.started",
           "version=%s pid=%ld url=%s store=%s incarnation=%" PRIu64 " queues=%" PRIu64
           " jobs=%" PRIu64 " requests=%" PRIu64 " workers=%" PRIu64,
           JOBQ_VERSION, (long)getpid(), b->url, b->settings->store, r->incarnation, r->queues,
           r->jobs, r->requests, r->workers);
    if (r->damaged)
        jq_log(JQ_ERROR, "store.damaged", "jobs=%" PRIu64, r->damaged);
    if (r->space_low)
        jq_log(JQ_WARN, "store.low", "path=%s", b->settings->store);
    if (b->settings->insecure)
        jq_log(JQ_WARN, "broker.insecure", "url=%s text=\"whoever reaches it may run commands\"",
               b->settings->url);
    if (strcmp(b->settings->store, "memory:") == 0)
        jq_log(JQ_WARN, "store.none", "text=\"jobs do not survive the broker\"");
}

/* SIGHUP: the log level, and a log file that was renamed. The rest needs a start. */
static void reload(void *arg)
{
    struct broker *b = arg;
    struct jq_broker_config *fresh = NULL;
    struct jq_detail detail = { "" };
    bool usage;

    if (b->log_path[0] && jq_logfile_open(b->log_path, &detail) != JQ_OK)
        jq_log(JQ_WARN, "broker.noreload", "error=\"%s\"", detail.text);
    if (jq_broker_config_load(b->line, environ, &fresh, &usage, &detail) != JQ_OK) {
        jq_log(JQ_WARN, "broker.noreload", "error=\"%s\"", detail.text);
        return;
    }
    jq_log_set_level(jq_broker_config_log_level(fresh));
    jq_log(JQ_INFO, "broker.reloaded", "log_level=%s", jq_broker_config_get(fresh)->log_level);
    jq_broker_config_free(&fresh);
}

static enum jq_loop_end run(struct broker *b)
{
    const struct jq_loop_conf conf = {
        .turn = &b->turn,
        .wakeup = &b->wakeup,
        .notify = &b->notify,
        .supervise = b->supervise,
        .stop_grace_ms = b->settings->stop_grace,
        .reload = reload,
        .reload_arg = b,
    };

    b->turn = (struct jq_turn){
        .core = b->core,
        .store = b->store,
        .transport = b->transport,
        .peers = b->peers,
        .metrics = &b->metrics,
        .handed = b->recovered.number,
        .durable = b->recovered.number,
        .space_low = b->recovered.space_low,
    };
    jq_turn_init(&b->turn);
    return jq_loop_run(&conf);
}

/* ---- closing ---- */

static void release_endpoints(struct broker *b)
{
    for (size_t i = 0; i < b->endpoints.count; i++)
        jq_endpoint_release(&b->endpoints.list[i], &b->locks[i]);
}

/* Answers leave while the store still checkpoints nothing; the locks go last. */
static void close_all(struct broker *b)
{
    jq_supervise_free(&b->supervise);
    jq_transport_close(&b->transport, LINGER_MS);
    jq_peers_free(&b->peers);
    if (b->turn.core)
        jq_turn_fini(&b->turn);
    jq_store_close(&b->store);
    jq_core_free(&b->core);
    release_endpoints(b);
    jq_wakeup_close(&b->wakeup);
    jq_sdnotify_close(&b->notify);
    jq_guard_close();
}

int jq_serve(const struct jq_command_line *line, const struct jq_broker_config *config)
{
    struct jq_detail detail = { "" };
    struct broker b = { .line = line,
                        .config = config,
                        .settings = jq_broker_config_get(config),
                        .wakeup = JQ_WAKEUP_NONE };
    enum jq_loop_end end;

    for (size_t i = 0; i < JQ_ENDPOINTS_MAX; i++)
        b.locks[i] = JQ_ENDPOINT_LOCK_NONE;
    jq_sdnotify_open(&b.notify);
    int status = open_all(&b, &detail);
    if (status != EX_OK) {
        jq_log(JQ_ERROR, "broker.nostart", "status=%d text=\"%s\"", status, detail.text);
        close_all(&b);
        return status;
    }
    log_start(&b);
    tell_ready(&b);
    end = run(&b);
    if (end == JQ_LOOP_LEFT) {
        /* All that was promised is on disk. Nothing that could block is waited for. */
        release_endpoints(&b);
        _exit(EX_OK);
    }
    jq_metrics_log(&b.metrics);
    close_all(&b);
    status = end == JQ_LOOP_STOPPED ? EX_OK : EX_TEMPFAIL;
    jq_log(JQ_INFO, "broker.stopped", "status=%d", status);
    return status;
}
