/* SPDX-License-Identifier: MIT
 *
 * nats.c - a client of NATS JetStream, libnats over TCP. Jobs are a stream with work queue
 * retention: what is acknowledged is deleted. Publishes are asynchronous, each acknowledged by the
 * server; a pull consumer fetches many at a time. */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

enum {
    PUBLISHES = 4000, /* that wait for their acknowledgement */
    FETCH = 1000,
    PATIENCE_MS = 600000,
};

struct conn {
    natsConnection *nats;
    jsCtx *js;
    natsSubscription *sub; /* of "call" */
    size_t sequence;
};

static void check(natsStatus status, const char *what)
{
    if (status != NATS_OK)
        peer_fail("%s: %s", what, natsStatus_GetText(status));
}

static void refused(jsCtx *js, jsPubAckErr *error, void *arg)
{
    (void)js;
    (void)arg;
    peer_fail("publish: %s", error->ErrText ? error->ErrText : natsStatus_GetText(error->Err));
}

static void make_stream(struct conn *c, const char *name, const char *subject)
{
    jsStreamConfig stream;

    check(jsStreamConfig_Init(&stream), "stream");
    stream.Name = name;
    stream.Subjects = &subject;
    stream.SubjectsLen = 1;
    stream.Retention = js_WorkQueuePolicy;
    stream.Storage = js_FileStorage;
    check(js_AddStream(NULL, c->js, &stream, NULL, NULL), name);
}

/* One at a time: pushed, so that nobody has to ask. */
static void subscribe(struct conn *c, const char *subject)
{
    jsSubOptions options;

    check(jsSubOptions_Init(&options), "subscribe");
    options.Config.AckPolicy = js_AckExplicit;
    check(js_SubscribeSync(&c->sub, c->js, subject, NULL, &options, NULL), subject);
}

static void *open_conn(const struct peer_conf *conf)
{
    const bool is_call = strcmp(conf->workload, "call") == 0;
    struct conn *c = peer_alloc(sizeof *c);
    natsOptions *options;
    jsOptions js;

    check(natsOptions_Create(&options), "options");
    check(natsOptions_SetURL(options, conf->address), "URL");
    check(natsOptions_SetSendAsap(options, is_call), "options");
    check(natsConnection_Connect(&c->nats, options), conf->address);
    natsOptions_Destroy(options);
    check(jsOptions_Init(&js), "options");
    js.Wait = PATIENCE_MS;
    js.PublishAsync.MaxPending = PUBLISHES;
    js.PublishAsync.StallWait = PATIENCE_MS;
    js.PublishAsync.ErrHandler = refused;
    check(natsConnection_JetStream(&c->js, c->nats, &js), "JetStream");
    if (!conf->is_consumer) {
        make_stream(c, "JOBS", "jobs");
        make_stream(c, "RESULTS", "results");
    }
    if (is_call)
        subscribe(c, conf->is_consumer ? "jobs" : "results");
    return c;
}

static void close_conn(void *conn)
{
    struct conn *c = conn;

    natsSubscription_Destroy(c->sub);
    jsCtx_Destroy(c->js);
    natsConnection_Destroy(c->nats);
    free(c); /* the library stays: it cannot surely be opened again once it is closed */
}

static void fill(void *conn, size_t jobs)
{
    struct conn *c = conn;
    char payload[PEER_PAYLOAD];
    jsPubOptions options;

    for (size_t i = 0; i < jobs; i++) {
        peer_payload(payload, c->sequence++);
        check(js_PublishAsync(c->js, "jobs", payload, sizeof payload, NULL), "publish");
    }
    check(jsPubOptions_Init(&options), "options");
    options.MaxWait = PATIENCE_MS;
    check(js_PublishAsyncComplete(c->js, &options), "publish");
}

/* Acknowledgements have no answer; the stream is asked until nothing is left in it. */
static void await_empty(struct conn *c)
{
    uint64_t left;

    do {
        jsStreamInfo *info;
        check(js_GetStreamInfo(&info, c->js, "JOBS", NULL, NULL), "info");
        left = info->State.Msgs;
        jsStreamInfo_Destroy(info);
    } while (left > 0);
}

static void drain(void *conn, size_t jobs)
{
    struct conn *c = conn;
    natsSubscription *sub;
    jsSubOptions options;
    natsMsgList list;

    check(jsSubOptions_Init(&options), "subscribe");
    options.Config.AckPolicy = js_AckExplicit;
    options.Config.MaxAckPending = 4 * FETCH;
    check(js_PullSubscribe(&sub, c->js, "jobs", "worker", NULL, &options, NULL), "subscribe");
    for (size_t done = 0; done < jobs;) {
        const size_t wanted = jobs - done < FETCH ? jobs - done : FETCH;
        const natsStatus status =
            natsSubscription_Fetch(&list, sub, (int)wanted, PATIENCE_MS, NULL);
        check(status, "fetch");
        for (int i = 0; i < list.Count; i++)
            check(natsMsg_Ack(list.Msgs[i], NULL), "ack");
        done += (size_t)list.Count;
        natsMsgList_Destroy(&list);
    }
    await_empty(c);
    natsSubscription_Destroy(sub);
}

static natsMsg *await_message(struct conn *c)
{
    natsMsg *message;

    check(natsSubscription_NextMsg(&message, c->sub, PATIENCE_MS), "next");
    return message;
}

static void publish(struct conn *c, const char *subject)
{
    char payload[PEER_PAYLOAD];

    peer_payload(payload, c->sequence++);
    check(js_Publish(NULL, c->js, subject, payload, sizeof payload, NULL, NULL), "publish");
}

static void call(void *conn)
{
    struct conn *c = conn;

    publish(c, "jobs");
    natsMsg *result = await_message(c);
    check(natsMsg_Ack(result, NULL), "ack");
    natsMsg_Destroy(result);
}

static void serve(void *conn, size_t jobs)
{
    struct conn *c = conn;

    for (size_t i = 0; i < jobs; i++) {
        natsMsg *job = await_message(c);
        publish(c, "results");
        check(natsMsg_Ack(job, NULL), "ack");
        natsMsg_Destroy(job);
    }
}

int main(int argc, char **argv)
{
    static const struct peer peer = {
        .name = "nats",
        .open = open_conn,
        .close = close_conn,
        .fill = fill,
        .drain = drain,
        .call = call,
        .serve = serve,
    };

    return peer_main(argc, argv, &peer);
}
