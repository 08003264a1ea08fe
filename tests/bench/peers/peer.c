/* SPDX-License-Identifier: MIT
 *
 * peer.c - the workloads of the comparison, the same for every client.
 *
 *     peer_NAME --address ADDRESS --workload fill|stream|call --jobs N [--mode MODE]
 *
 * Consumers are a process of their own, forked before anything is connected. It says when it is
 * ready and when it has finished; both clocks are the system's monotonic one. */
#include "peer.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <signal.h>

static const char *program = "peer";

/* ---- small things ---- */

void peer_fail(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "peer_%s: ", program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    _exit(1); /* whatever a library's threads do */
}

uint64_t peer_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void peer_payload(char *payload, size_t index)
{
    memset(payload, 'p', PEER_PAYLOAD);
    for (size_t i = 20; i-- > 0; index /= 10)
        payload[i] = (char)('0' + index % 10);
}

int peer_split(const char *address, char *host)
{
    const char *colon = strrchr(address, ':');

    if (!colon || colon - address > 63)
        peer_fail("%s: not host:port", address);
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    return (int)strtol(colon + 1, NULL, 10);
}

void *peer_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        peer_fail("out of memory");
    return memory;
}

/* ---- figures ---- */

static void print_rate(const char *figure, size_t jobs, uint64_t start, uint64_t end)
{
    printf("{\"figure\": \"%s\", \"jobs\": %zu, \"seconds\": %.6f, \"per_second\": %.1f}\n", figure,
           jobs, (double)(end - start) / 1e9, (double)jobs * 1e9 / (double)(end - start));
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_latency(double *us, size_t jobs)
{
    qsort(us, jobs, sizeof *us, compare);
    printf("{\"figure\": \"w4\", \"jobs\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", jobs,
           us[jobs / 2], us[jobs * 99 / 100]);
}

/* ---- the consumer's process ---- */

struct consumer {
    pid_t pid;
    int go, said; /* to it; from it */
};

static void tell(int fd, uint64_t value)
{
    if (write(fd, &value, sizeof value) != (ssize_t)sizeof value)
        peer_fail("the other process is gone");
}

static uint64_t hear(int fd)
{
    uint64_t value;

    if (read(fd, &value, sizeof value) != (ssize_t)sizeof value)
        peer_fail("the other process is gone");
    return value;
}

static void consume(const struct peer *peer, struct peer_conf conf, int go, int said)
{
    conf.is_consumer = true;
    hear(go);
    void *conn = peer->open(&conf);
    tell(said, 1);
    if (strcmp(conf.workload, "call") == 0)
        peer->serve(conn, conf.jobs + PEER_WARM);
    else
        peer->drain(conn, conf.jobs);
    tell(said, peer_now_ns());
    peer->close(conn);
}

static struct consumer fork_consumer(const struct peer *peer, const struct peer_conf *conf)
{
    int go[2], said[2];

    if (pipe(go) != 0 || pipe(said) != 0)
        peer_fail("pipe: %s", strerror(errno));
    const pid_t pid = fork();
    if (pid < 0)
        peer_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(go[1]);
        close(said[0]);
        consume(peer, *conf, go[0], said[1]);
        _exit(0);
    }
    close(go[0]);
    close(said[1]);
    return (struct consumer){ .pid = pid, .go = go[1], .said = said[0] };
}

static void let_consume(const struct consumer *consumer)
{
    tell(consumer->go, 1);
    hear(consumer->said);
}

static void reap(const struct consumer *consumer)
{
    int status;

    if (waitpid(consumer->pid, &status, 0) != consumer->pid || status != 0)
        peer_fail("the consumer failed");
}

/* ---- workloads ---- */

static void run_fill(const struct peer *peer, const struct peer_conf *conf)
{
    void *conn = peer->open(conf);
    const uint64_t start = peer_now_ns();

    peer->fill(conn, conf->jobs);
    const uint64_t filled = peer_now_ns();
    print_rate("w1", conf->jobs, start, filled);
    peer->close(conn);

    struct peer_conf consumer = *conf;
    consumer.is_consumer = true;
    conn = peer->open(&consumer);
    const uint64_t restart = peer_now_ns();
    peer->drain(conn, conf->jobs);
    print_rate("w2", conf->jobs, restart, peer_now_ns());
    peer->close(conn);
}

static void run_stream(const struct peer *peer, const struct peer_conf *conf, bool has_workers)
{
    const struct consumer consumer =
        has_workers ? (struct consumer){ 0 } : fork_consumer(peer, conf);
    void *conn = peer->open(conf);
    uint64_t end;

    if (!has_workers)
        let_consume(&consumer);
    const uint64_t start = peer_now_ns();
    peer->fill(conn, conf->jobs);
    if (has_workers) {
        peer->drain(conn, conf->jobs);
        end = peer_now_ns();
    } else {
        const uint64_t acknowledged = peer_now_ns();
        end = hear(consumer.said);
        /* The last submit may be acknowledged after its job has been dealt with. */
        end = end > acknowledged ? end : acknowledged;
        reap(&consumer);
    }
    print_rate("w3", conf->jobs, start, end);
    peer->close(conn);
}

static void run_call(const struct peer *peer, const struct peer_conf *conf, bool has_workers)
{
    const struct consumer consumer =
        has_workers ? (struct consumer){ 0 } : fork_consumer(peer, conf);
    double *us = peer_alloc((conf->jobs + PEER_WARM) * sizeof *us);
    void *conn = peer->open(conf);

    if (!has_workers)
        let_consume(&consumer);
    for (size_t i = 0; i < conf->jobs + PEER_WARM; i++) {
        const uint64_t start = peer_now_ns();
        peer->call(conn);
        us[i] = (double)(peer_now_ns() - start) / 1e3;
    }
    if (!has_workers) {
        hear(consumer.said);
        reap(&consumer);
    }
    print_latency(us + PEER_WARM, conf->jobs);
    peer->close(conn);
    free(us);
}

/* ---- the command line ---- */

static struct peer_conf parse(int argc, char **argv)
{
    static const struct option options[] = {
        { "address", required_argument, NULL, 'a' },
        { "workload", required_argument, NULL, 'w' },
        { "jobs", required_argument, NULL, 'j' },
        { "mode", required_argument, NULL, 'm' },
        { NULL, 0, NULL, 0 },
    };
    struct peer_conf conf = { .address = "", .mode = "", .workload = "" };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'a':
            conf.address = optarg;
            break;
        case 'w':
            conf.workload = optarg;
            break;
        case 'j':
            conf.jobs = strtoul(optarg, NULL, 10);
            break;
        case 'm':
            conf.mode = optarg;
            break;
        default:
            exit(64);
        }
    }
    if (optind < argc || conf.jobs == 0 || !*conf.address)
        peer_fail("it wants --address, --workload and --jobs");
    return conf;
}

int peer_main(int argc, char **argv, const struct peer *peer)
{
    program = peer->name;
    setvbuf(stdout, NULL, _IOLBF, 0); /* so that a fork copies nothing */
    const struct peer_conf conf = parse(argc, argv);
    const bool has_workers = peer->has_workers && peer->has_workers(&conf);

    if (strcmp(conf.workload, "fill") == 0)
        run_fill(peer, &conf);
    else if (strcmp(conf.workload, "stream") == 0)
        run_stream(peer, &conf, has_workers);
    else if (strcmp(conf.workload, "call") == 0)
        run_call(peer, &conf, has_workers);
    else
        peer_fail("\"%s\" is not a workload", conf.workload);
    return 0;
}
