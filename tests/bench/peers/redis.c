/* SPDX-License-Identifier: MIT
 *
 * redis.c - a client of Redis lists, hiredis on a unix socket. The reliable pattern of Redis'
 * manual: BLMOVE puts the job into a second list, LREM takes it out there when it is done. hiredis
 * writes what is queued when it has no answer left to hand out, so that both are pipelined. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

enum {
    GROUP = 100, /* payloads in an LPUSH */
    GROUPS = 20, /* that wait for their answer */
    HELD = 500,  /* jobs moved, or asked for, at a time */
};

struct conn {
    redisContext *redis;
    size_t sequence;
};

static void append(struct conn *c, int count, const char **words, const size_t *sizes)
{
    if (redisAppendCommandArgv(c->redis, count, words, sizes) != REDIS_OK)
        peer_fail("%s", c->redis->errstr);
}

static redisReply *await_reply(struct conn *c)
{
    void *reply;

    if (redisGetReply(c->redis, &reply) != REDIS_OK)
        peer_fail("%s", c->redis->errstr);
    if (((redisReply *)reply)->type == REDIS_REPLY_ERROR)
        peer_fail("%s", ((redisReply *)reply)->str);
    return reply;
}

static void say_push(struct conn *c, const char *list, size_t count)
{
    static char payloads[GROUP][PEER_PAYLOAD];
    const char *words[2 + GROUP] = { "LPUSH", list };
    size_t sizes[2 + GROUP] = { 5, strlen(list) };

    for (size_t i = 0; i < count; i++) {
        peer_payload(payloads[i], c->sequence++);
        words[2 + i] = payloads[i];
        sizes[2 + i] = PEER_PAYLOAD;
    }
    append(c, (int)(2 + count), words, sizes);
}

/* The oldest, from the tail. */
static void say_take(struct conn *c)
{
    const char *words[] = { "BLMOVE", "jobs", "taken", "RIGHT", "LEFT", "0" };

    append(c, 6, words, (const size_t[]){ 6, 4, 5, 5, 4, 1 });
}

/* The oldest is at the tail, and there LREM begins to look. */
static void say_done(struct conn *c, const redisReply *job)
{
    const char *words[] = { "LREM", "taken", "-1", job->str };

    append(c, 4, words, (const size_t[]){ 4, 5, 2, (size_t)job->len });
}

static void *open_conn(const struct peer_conf *conf)
{
    struct conn *c = peer_alloc(sizeof *c);

    c->redis = redisConnectUnix(conf->address);
    if (!c->redis || c->redis->err)
        peer_fail("%s: %s", conf->address, c->redis ? c->redis->errstr : "out of memory");
    return c;
}

static void close_conn(void *conn)
{
    struct conn *c = conn;

    redisFree(c->redis);
    free(c);
}

static void fill(void *conn, size_t jobs)
{
    struct conn *c = conn;
    size_t sent = 0, groups = 0;

    for (size_t answered = 0; sent < jobs || answered < groups; answered++) {
        for (; sent < jobs && groups - answered < GROUPS; groups++) {
            const size_t count = jobs - sent < GROUP ? jobs - sent : GROUP;
            say_push(c, "jobs", count);
            sent += count;
        }
        freeReplyObject(await_reply(c));
    }
}

static void drain(void *conn, size_t jobs)
{
    struct conn *c = conn;
    size_t asked = 0;

    for (; asked < jobs && asked < HELD; asked++)
        say_take(c);
    for (size_t done = 0; done < jobs;) {
        redisReply *reply = await_reply(c);
        if (reply->type == REDIS_REPLY_INTEGER) {
            if (reply->integer != 1)
                peer_fail("a job that was taken is not there");
            done++;
        } else {
            say_done(c, reply);
            if (asked < jobs) {
                asked++;
                say_take(c);
            }
        }
        freeReplyObject(reply);
    }
}

static void call(void *conn)
{
    const char *words[] = { "BRPOP", "results", "0" };
    struct conn *c = conn;

    say_push(c, "jobs", 1);
    append(c, 3, words, (const size_t[]){ 5, 7, 1 });
    freeReplyObject(await_reply(c));
    freeReplyObject(await_reply(c));
}

/* Result, acknowledgement and the next job in one write. */
static void serve(void *conn, size_t jobs)
{
    struct conn *c = conn;

    say_take(c);
    for (size_t i = 0; i < jobs; i++) {
        redisReply *job = await_reply(c);
        say_push(c, "results", 1);
        say_done(c, job);
        freeReplyObject(job);
        if (i + 1 < jobs)
            say_take(c);
        freeReplyObject(await_reply(c));
        freeReplyObject(await_reply(c));
    }
}

int main(int argc, char **argv)
{
    static const struct peer peer = {
        .name = "redis",
        .open = open_conn,
        .close = close_conn,
        .fill = fill,
        .drain = drain,
        .call = call,
        .serve = serve,
    };

    return peer_main(argc, argv, &peer);
}
