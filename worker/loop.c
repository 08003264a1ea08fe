/* SPDX-License-Identifier: MIT
 *
 * loop.c - see loop.h. Every input to fetch is followed by all of its effects. */
#include "worker/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "worker/executor.h"
#include "worker/heartbeat.h"
#include "worker/transport.h"

enum {
    FRAMES_PER_TURN = 64,
    RENEW_AGAIN_MS = 1000,
    HEARTBEAT_MS = 3000, /* until WELCOME says another */
    LINGER_MS = 1000,    /* for the last words to leave */
    EVENTS = 8,
    EXIT_SOFTWARE = 70,
    EXIT_OSERR = 71,
};

#define SOFTWARE "jobq " JOBQ_VERSION

struct jq_worker {
    const struct jq_worker_settings *settings;
    struct jq_fetch *fetch;
    struct jq_executor *executors[JQ_WHERES];
    bool writing[JQ_WHERES]; /* what epoll waits for, beside reading */
    struct jq_heartbeat *heartbeat;
    struct jq_dealer *dealer;
    int epoll;
    int signals;
    int partner;       /* pidfd of --die-with, or -1 */
    jq_ms renew_at;    /* a new socket could not be made: try again then */
    struct jq_now now; /* of this turn */
    bool draining;
    bool left;
    int status;
    char host[JQ_NAME_MAX + 1];
    struct jq_run_list ended; /* when they were started, or an executor could not take them */
    struct jq_run_list recalled;
    bool was_recalled;
};

/* --- effects --- */

static void give_up(struct jq_worker *worker, const char *why)
{
    jq_log(JQ_ERROR, "worker.failed", "%s", why);
    worker->left = true;
    worker->status = EXIT_OSERR;
}

static void renew(struct jq_worker *worker)
{
    worker->renew_at = JQ_NEVER;
    jq_fetch_link_down(worker->fetch, worker->now);
    if (jq_dealer_renew(worker->dealer) == JQ_OK)
        return;
    jq_log(JQ_WARN, "broker.socket", "no new socket: %s", strerror(errno));
    worker->renew_at = worker->now.mono + RENEW_AGAIN_MS;
}

static void start_runs(struct jq_worker *worker, struct jq_fetch_effect *effect)
{
    struct jq_executor *executor = worker->executors[effect->where];
    if (executor->ops->submit(executor, &effect->runs) != JQ_OK) {
        for (struct jq_run *run = effect->runs.first; run != NULL; run = run->next)
            run->returned = true;
    }
    jq_run_list_join(&worker->ended, &effect->runs);
}

static void recall(struct jq_worker *worker, enum jq_where where)
{
    struct jq_executor *executor = worker->executors[where];
    struct jq_run_list runs = executor->ops->recall(executor);
    jq_run_list_join(&worker->recalled, &runs);
    worker->was_recalled = true;
}

static void log_refusal(const struct jq_fetch_effect *effect)
{
    jq_log(JQ_WARN, "broker.refused", "error=%s text=\"%.*s\"",
           jq_err_name((enum jq_err)effect->status), (int)effect->frame.size,
           effect->frame.data != NULL ? (const char *)effect->frame.data : "");
}

static void perform(struct jq_worker *worker, struct jq_fetch_effect *effect)
{
    struct jq_executor *executor = worker->executors[effect->where];
    switch (effect->kind) {
    case JQ_FETCH_SEND:
        (void)jq_dealer_send(worker->dealer, effect->frame.data, effect->frame.size);
        effect->frame = (struct jq_buf){ 0 };
        break;
    case JQ_FETCH_START:
        start_runs(worker, effect);
        break;
    case JQ_FETCH_RECALL:
        recall(worker, effect->where);
        break;
    case JQ_FETCH_CANCEL:
        executor->ops->cancel(executor, effect->run, effect->grace_ms);
        break;
    case JQ_FETCH_READ:
        executor = worker->executors[effect->run->where];
        executor->ops->read_output(executor, effect->run, &effect->read);
        break;
    case JQ_FETCH_RENEW:
        jq_log(JQ_WARN, "broker.silent", "connecting anew");
        renew(worker);
        break;
    case JQ_FETCH_BEAT:
        jq_log(JQ_INFO, "broker.welcome", "url=%s heartbeat_ms=%" PRId64, worker->settings->url,
               effect->beat_ms);
        jq_heartbeat_interval(worker->heartbeat, effect->beat_ms);
        break;
    case JQ_FETCH_LOST:
        jq_log(JQ_WARN, "lease.lost", "jobs=%" PRIu64, effect->count);
        break;
    case JQ_FETCH_FENCED:
        jq_log(JQ_WARN, "outcome.fenced", "jobs=%" PRIu64, effect->count);
        break;
    case JQ_FETCH_REFUSED:
        log_refusal(effect);
        break;
    case JQ_FETCH_LEAVE:
        worker->left = true;
        worker->status = effect->status;
        break;
    }
    jq_buf_fini(&effect->frame);
}

/* After each input to fetch; `err` is what the input returned. */
static void settle(struct jq_worker *worker, enum jq_err err)
{
    struct jq_fetch_effect effect;
    for (;;) {
        while (jq_fetch_take_prompt(worker->fetch, &effect))
            perform(worker, &effect);
        if (err != JQ_OK) {
            give_up(worker, "out of memory");
            return;
        }
        if (worker->ended.first != NULL) {
            err = jq_fetch_finished(worker->fetch, worker->now, &worker->ended);
        } else if (worker->was_recalled) {
            worker->was_recalled = false;
            err = jq_fetch_recalled(worker->fetch, worker->now, &worker->recalled);
        } else if (jq_fetch_take_effect(worker->fetch, worker->now, &effect)) {
            perform(worker, &effect);
        } else {
            return;
        }
    }
}

/* --- inputs --- */

static void receive(struct jq_worker *worker)
{
    struct jq_view frame;
    struct jq_msg msg;
    for (int i = 0; i < FRAMES_PER_TURN && !worker->left; i++) {
        if (!jq_dealer_receive(worker->dealer, &frame))
            return;
        const enum jq_err err = jq_msg_decode(frame, &msg);
        if (err != JQ_OK) {
            jq_log(JQ_WARN, "broker.malformed", "bytes=%zu error=%s", frame.size, jq_err_name(err));
            continue;
        }
        settle(worker, jq_fetch_apply(worker->fetch, worker->now, &msg));
    }
}

static void follow_link(struct jq_worker *worker)
{
    enum jq_link_change change;
    while (!worker->left && (change = jq_dealer_change(worker->dealer)) != JQ_LINK_SAME) {
        if (change == JQ_LINK_CONNECTED) {
            settle(worker, jq_fetch_link_up(worker->fetch, worker->now));
            continue;
        }
        if (jq_fetch_look(worker->fetch).welcomed)
            jq_log(JQ_WARN, "broker.lost", "url=%s held=%" PRIu64, worker->settings->url,
                   jq_fetch_look(worker->fetch).held);
        jq_fetch_link_down(worker->fetch, worker->now);
        settle(worker, JQ_OK);
    }
}

static void answer_reader(struct jq_worker *worker, const struct jq_output_answer *answer)
{
    if (!answer->found) {
        settle(worker, jq_fetch_read_again(worker->fetch, &answer->request));
        return;
    }
    if (!jq_fetch_look(worker->fetch).welcomed)
        return; /* the broker asks again */
    const struct jq_msg msg = {
        .tag = JQ_MSG_LOG_DATA,
        .correlation = answer->request.correlation,
        .u.log_data = { .id = answer->request.id,
                        .stream = answer->request.stream,
                        .offset = answer->offset,
                        .bytes = answer->bytes,
                        .total = answer->total,
                        .end = answer->end },
    };
    struct jq_buf frame = { 0 };
    if (jq_msg_encode(&msg, &frame) == JQ_OK)
        (void)jq_dealer_send(worker->dealer, frame.data, frame.size);
    else
        jq_buf_fini(&frame);
}

static void collect(struct jq_worker *worker, struct jq_executor *executor)
{
    struct jq_collected collected;
    executor->ops->collect(executor, &collected);
    if (collected.runs.first != NULL)
        settle(worker, jq_fetch_finished(worker->fetch, worker->now, &collected.runs));
    for (struct jq_output_answer *answer; (answer = collected.answers) != NULL;) {
        collected.answers = answer->next;
        answer_reader(worker, answer);
        jq_free(answer);
    }
    if (collected.died && !worker->left) {
        /* A new one cannot be forked from a process with threads. */
        jq_log(JQ_ERROR, "spawner.lost", "leaving when the other jobs have ended");
        (void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, executor->ops->fd(executor), NULL);
        worker->draining = true;
        settle(worker, jq_fetch_drain(worker->fetch, worker->now, EXIT_SOFTWARE));
    }
}

static void wish_to_leave(struct jq_worker *worker, const char *why)
{
    if (!worker->draining) {
        const struct jq_fetch_view view = jq_fetch_look(worker->fetch);
        jq_log(JQ_INFO, "worker.drain", "why=%s running=%" PRIu64 " grace_ms=%" PRId64, why,
               view.outstanding, worker->settings->grace);
        worker->draining = true;
        settle(worker, jq_fetch_drain(worker->fetch, worker->now, 0));
        return;
    }
    jq_log(JQ_INFO, "worker.leave", "why=%s", why);
    settle(worker, jq_fetch_leave(worker->fetch, worker->now, 0));
}

static void read_signals(struct jq_worker *worker)
{
    struct signalfd_siginfo info;
    while (!worker->left && read(worker->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            continue; /* a closed terminal; there is nothing to load again */
        wish_to_leave(worker, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

static void partner_gone(struct jq_worker *worker)
{
    (void)close(worker->partner);
    worker->partner = -1;
    worker->draining = true; /* nobody is there to wait for a grace */
    wish_to_leave(worker, "die_with");
}

/* --- turns --- */

static void watch_writes(struct jq_worker *worker)
{
    for (unsigned i = 0; i < JQ_WHERES; i++) {
        const struct jq_executor *executor = worker->executors[i];
        const bool wants = executor->ops->wants_write(executor);
        struct epoll_event event = { .events = wants ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                     .data = { .fd = executor->ops->fd(executor) } };
        if (wants != worker->writing[i] &&
            epoll_ctl(worker->epoll, EPOLL_CTL_MOD, event.data.fd, &event) == 0)
            worker->writing[i] = wants;
    }
}

static void ready(struct jq_worker *worker, int fd)
{
    if (fd == worker->signals) {
        read_signals(worker);
        return;
    }
    if (fd == worker->partner) {
        partner_gone(worker);
        return;
    }
    for (unsigned i = 0; i < JQ_WHERES && !worker->left; i++) {
        struct jq_executor *executor = worker->executors[i];
        if (executor->ops->fd(executor) != fd)
            continue;
        collect(worker, executor);
    }
}

static void turn(struct jq_worker *worker)
{
    watch_writes(worker);
    const jq_ms at = jq_ms_min(jq_fetch_next_at(worker->fetch), worker->renew_at);
    const jq_ms mono = jq_clock_now().mono;
    bool readable = false;
    if (jq_dealer_poll(worker->dealer, worker->epoll,
                       at == JQ_NEVER ? JQ_NEVER
                       : at > mono    ? at - mono
                                      : 0,
                       &readable) != JQ_OK) {
        give_up(worker, "the broker's socket is unusable");
        return;
    }
    worker->now = jq_clock_now();
    receive(worker);
    follow_link(worker);
    struct epoll_event events[EVENTS];
    const int count = readable ? epoll_wait(worker->epoll, events, EVENTS, 0) : 0;
    for (int i = 0; i < count && !worker->left; i++)
        ready(worker, events[i].data.fd);
    if (!worker->left && worker->now.mono >= worker->renew_at)
        renew(worker);
    if (!worker->left)
        settle(worker, jq_fetch_tick(worker->fetch, worker->now));
}

int jq_worker_run(struct jq_worker *worker)
{
    while (!worker->left)
        turn(worker);
    jq_log(JQ_INFO, "worker.left", "status=%d", worker->status);
    return worker->status;
}

/* --- life --- */

static bool watch(const struct jq_worker *worker, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data = { .fd = fd } };
    return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static enum jq_err fail(struct jq_detail *detail, const char *what)
{
    jq_detail_set(detail, "%s: %s", what, strerror(errno));
    return JQ_EIO;
}

static enum jq_err open_events(struct jq_worker *worker, struct jq_detail *detail)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return fail(detail, "signals");
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    worker->signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (worker->epoll < 0 || worker->signals < 0 || !watch(worker, worker->signals))
        return fail(detail, "the event loop");
    const int64_t partner = worker->settings->die_with;
    if (partner == 0)
        return JQ_OK;
    worker->partner = pidfd_open((pid_t)partner, 0);
    if (worker->partner < 0 && errno == ESRCH) {
        jq_detail_set(detail, "die_with: process %" PRId64 " is gone", partner);
        return JQ_EINVAL;
    }
    if (worker->partner < 0 || !watch(worker, worker->partner))
        return fail(detail, "die_with");
    return JQ_OK;
}

static enum jq_err open_executors(struct jq_worker *worker, const struct jq_worker_parts *parts,
                                  struct jq_detail *detail)
{
    const struct jq_worker_settings *settings = worker->settings;
    worker->executors[JQ_AT_EXEC] =
        jq_executor_exec_open(parts->spawner_fd, parts->spawner, (uint32_t)settings->slots);
    if (worker->executors[JQ_AT_EXEC] == NULL) {
        (void)close(parts->spawner_fd);
        return JQ_ENOMEM;
    }
    const struct jq_thread_conf threads = {
        .handlers = parts->handlers,
        .threads = (uint32_t)settings->threads,
        .output_bytes = (size_t)settings->output_bytes,
        .depth_max = (uint64_t)settings->depth_max,
    };
    JQ_TRY(jq_executor_thread_open(&threads, &worker->executors[JQ_AT_THREAD], detail));
    for (unsigned i = 0; i < JQ_WHERES; i++) {
        if (!watch(worker, worker->executors[i]->ops->fd(worker->executors[i])))
            return fail(detail, "the event loop");
    }
    return JQ_OK;
}

static enum jq_err open_fetch(struct jq_worker *worker, const struct jq_worker_parts *parts,
                              struct jq_detail *detail)
{
    const struct jq_worker_settings *settings = worker->settings;
    (void)gethostname(worker->host, sizeof worker->host - 1);
    const struct jq_fetch_conf conf = {
        .session = jq_clock_entropy(),
        .slots = (uint32_t)settings->slots,
        .threads = (uint32_t)settings->threads,
        .lookahead = (uint32_t)settings->lookahead,
        .held_bytes_max = (uint64_t)settings->unacked_bytes,
        .heartbeat_ms = HEARTBEAT_MS,
        .grace_ms = settings->grace,
        .kill_after_ms = settings->kill_after,
        .name = settings->name,
        .host = worker->host,
        .software = SOFTWARE,
        .pid = (uint64_t)getpid(),
        .die_with = (uint64_t)settings->die_with,
        .config = parts->config,
        .tags = parts->tags,
    };
    worker->fetch = jq_fetch_new(&conf);
    if (worker->fetch == NULL)
        return JQ_ENOMEM;
    const struct jq_heartbeat_conf beat = {
        .session = conf.session,
        .url = settings->url,
        .name = settings->name,
        .software = SOFTWARE,
    };
    JQ_TRY(jq_heartbeat_start(&beat, &worker->heartbeat, detail));
    return jq_dealer_open(settings->url, &worker->dealer, detail);
}

enum jq_err jq_worker_open(const struct jq_worker_parts *parts, struct jq_worker **ret_worker,
                           struct jq_detail *ret_detail)
{
    struct jq_worker *worker = jq_alloc_zero(1, sizeof *worker);
    if (worker == NULL) {
        (void)close(parts->spawner_fd);
        return JQ_ENOMEM;
    }
    worker->settings = parts->settings;
    worker->epoll = worker->signals = worker->partner = -1;
    worker->renew_at = JQ_NEVER;
    enum jq_err err = open_events(worker, ret_detail);
    if (err != JQ_OK)
        (void)close(parts->spawner_fd);
    else
        err = open_executors(worker, parts, ret_detail);
    if (err == JQ_OK)
        err = open_fetch(worker, parts, ret_detail);
    if (err != JQ_OK) {
        (void)jq_worker_close(&worker);
        return err;
    }
    jq_log(JQ_INFO, "worker.start", "name=%s url=%s slots=%" PRId64 " threads=%" PRId64,
           worker->settings->name, worker->settings->url, worker->settings->slots,
           worker->settings->threads);
    *ret_worker = worker;
    return JQ_OK;
}

bool jq_worker_close(struct jq_worker **worker)
{
    struct jq_worker *w = *worker;
    bool all_ended = true;
    if (w == NULL)
        return true;
    *worker = NULL;
    for (unsigned i = 0; i < JQ_WHERES; i++) {
        if (w->executors[i] != NULL && !w->executors[i]->ops->close(&w->executors[i]))
            all_ended = false;
    }
    if (!all_ended)
        jq_log(JQ_WARN, "handler.stuck", "a handler does not end; its thread is left as it is");
    jq_dealer_close(&w->dealer, LINGER_MS);
    jq_heartbeat_stop(&w->heartbeat);
    jq_run_list_free(&w->ended);
    jq_run_list_free(&w->recalled);
    jq_fetch_free(&w->fetch);
    if (w->partner >= 0)
        (void)close(w->partner);
    if (w->signals >= 0)
        (void)close(w->signals);
    if (w->epoll >= 0)
        (void)close(w->epoll);
    jq_free(w);
    return all_ended;
}
