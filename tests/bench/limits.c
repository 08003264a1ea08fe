/* SPDX-License-Identifier: MIT
 *
 * limits.c - what this machine can do, without jobq: fdatasync, a ZeroMQ round trip, SQLite
 * batches, posix_spawn. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/bench/bench.h"

enum {
    SYNCS = 200,
    SYNC_BYTES = 4096,
    ROUND_TRIPS = 2000,
    SQLITE_BATCH = 10000,
    SQLITE_BATCHES = 5,
    SPAWNS = 200,
};

static double us_since(uint64_t start)
{
    return (double)(bench_now_ns() - start) / 1e3;
}

/* ---- disk ---- */

static double sync_us(int fd, bool append)
{
    char block[SYNC_BYTES];
    const uint64_t start = bench_now_ns();

    memset(block, 'x', sizeof block);
    for (int i = 0; i < SYNCS; i++) {
        const off_t at = append ? (off_t)i * SYNC_BYTES : 0;
        if (pwrite(fd, block, sizeof block, at) != (ssize_t)sizeof block || fdatasync(fd) != 0)
            bench_fail("fdatasync: %s", strerror(errno));
    }
    return us_since(start) / SYNCS;
}

static void disk(struct bench_results *results, const char *directory)
{
    char path[128];

    snprintf(path, sizeof path, "%s/sync", directory);
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        bench_fail("%s: %s", path, strerror(errno));
    bench_add(results, "fdatasync_append", "fdatasync, appending", "us", sync_us(fd, true));
    bench_add(results, "fdatasync_overwrite", "fdatasync, overwriting", "us", sync_us(fd, false));
    close(fd);
    unlink(path);
}

/* ---- ZeroMQ ---- */

static void *echo(void *socket)
{
    for (;;) {
        zmq_msg_t id, body;
        zmq_msg_init(&id);
        zmq_msg_init(&body);
        if (zmq_msg_recv(&id, socket, 0) < 0 || zmq_msg_recv(&body, socket, 0) < 0)
            break;
        const bool last = zmq_msg_size(&body) == 0;
        zmq_msg_send(&id, socket, ZMQ_SNDMORE);
        zmq_msg_send(&body, socket, 0);
        if (last)
            break;
    }
    return NULL;
}

static void round_trips(struct bench_results *results, const char *directory)
{
    char url[128], block[100] = { 1 };
    void *context = zmq_ctx_new(), *other = zmq_ctx_new();
    void *router = zmq_socket(context, ZMQ_ROUTER), *dealer = zmq_socket(other, ZMQ_DEALER);
    pthread_t thread;

    snprintf(url, sizeof url, "ipc://%s/echo", directory);
    if (zmq_bind(router, url) != 0 || zmq_connect(dealer, url) != 0 ||
        pthread_create(&thread, NULL, echo, router) != 0)
        bench_fail("zmq: %s", zmq_strerror(zmq_errno()));
    zmq_send(dealer, block, sizeof block, 0); /* connected, warm */
    zmq_recv(dealer, block, sizeof block, 0);
    const uint64_t start = bench_now_ns();
    for (int i = 0; i < ROUND_TRIPS; i++) {
        zmq_send(dealer, block, sizeof block, 0);
        zmq_recv(dealer, block, sizeof block, 0);
    }
    bench_add(results, "zmq_round_trip", "ZeroMQ round trip, ipc", "us",
              us_since(start) / ROUND_TRIPS);
    zmq_send(dealer, "", 0, 0);
    zmq_recv(dealer, block, sizeof block, 0);
    pthread_join(thread, NULL);
    zmq_close(router);
    zmq_close(dealer);
    zmq_ctx_term(context);
    zmq_ctx_term(other);
}

/* ---- SQLite ---- */

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        bench_fail("sqlite: %s: %s", text, sqlite3_errmsg(db));
}

static void insert_batch(sqlite3 *db, sqlite3_stmt *insert, int first)
{
    static const char payload[100] = { 'p' };

    sql(db, "BEGIN");
    for (int i = 0; i < SQLITE_BATCH; i++) {
        sqlite3_bind_int64(insert, 1, first + i);
        sqlite3_bind_blob(insert, 2, payload, sizeof payload, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE)
            bench_fail("sqlite: %s", sqlite3_errmsg(db));
        sqlite3_reset(insert);
    }
    sql(db, "COMMIT");
}

static void sqlite_batches(struct bench_results *results, const char *directory)
{
    char path[128], extra[140];
    sqlite3 *db;
    sqlite3_stmt *insert;

    snprintf(path, sizeof path, "%s/limit.db", directory);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        bench_fail("sqlite: %s", sqlite3_errmsg(db));
    sql(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "PRAGMA wal_autocheckpoint=0; CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)");
    sqlite3_prepare_v2(db, "INSERT INTO t VALUES (?1, ?2)", -1, &insert, NULL);
    const uint64_t start = bench_now_ns();
    for (int i = 0; i < SQLITE_BATCHES; i++)
        insert_batch(db, insert, i * SQLITE_BATCH + 1);
    bench_add(results, "sqlite_insert", "SQLite inserts, batches of 10,000", "1/s",
              SQLITE_BATCH * SQLITE_BATCHES / (us_since(start) / 1e6));
    sqlite3_finalize(insert);
    sqlite3_close(db);
    unlink(path);
    snprintf(extra, sizeof extra, "%s-wal", path);
    unlink(extra);
}

/* ---- processes ---- */

static void spawns(struct bench_results *results)
{
    char *const argv[] = { (char[]){ "true" }, NULL };
    const uint64_t start = bench_now_ns();
    pid_t pid;

    for (int i = 0; i < SPAWNS; i++) {
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, argv + 1) != 0)
            bench_fail("posix_spawn failed");
        waitpid(pid, NULL, 0);
    }
    bench_add(results, "posix_spawn", "posix_spawn of /bin/true, one at a time", "1/s",
              SPAWNS / (us_since(start) / 1e6));
}

void bench_limits(struct bench_results *results, const char *directory)
{
    disk(results, directory);
    round_trips(results, directory);
    sqlite_batches(results, directory);
    spawns(results);
}
