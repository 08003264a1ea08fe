/* SPDX-License-Identifier: MIT
 *
 * client.c - client sessions: what outlives their connections. The answers to their SUBMITs, for
 * resends, and the jobs tied to them. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum jq_err jq_client_get(struct jq_core *core, uint64_t session, struct jq_client **ret_client)
{
    struct jq_client *client = jq_map_find(&core->clients, session);

    if (!client) {
        JQ_TRY(jq_map_reserve(&core->clients, 1));
        /* Room for every client at once, so that losing a connection needs no memory. */
        JQ_TRY(jq_heap_reserve(&core->due, core->clients.count + 1 - core->due.count));
        client = jq_alloc_zero(1, sizeof *client);
        if (!client)
            return JQ_ENOMEM;
        client->session = session;
        jq_dlist_init(&client->requests);
        jq_dlist_init(&client->parked);
        jq_dlist_init(&client->tied);
        JQ_CHECK(jq_map_put(&core->clients, session, client) == JQ_OK);
    }
    if (jq_heap_holds(&client->in_due))
        jq_heap_remove(&core->due, &client->in_due);
    *ret_client = client;
    return JQ_OK;
}

static void request_free(struct jq_request *request)
{
    jq_dlist_remove(&request->in_client);
    jq_blob_drop(request->each);
    jq_free(request);
}

void jq_client_free(struct jq_client *client)
{
    struct jq_dlink *link;

    jq_blob_drop(client->name);
    while ((link = jq_dlist_first(&client->requests)))
        request_free(JQ_ELEMENT(link, struct jq_request, in_client));
    while ((link = jq_dlist_first(&client->parked)))
        jq_dlist_remove(link); /* their lookups find no client then */
    while ((link = jq_dlist_first(&client->tied)))
        jq_dlist_remove(link);
    jq_free(client);
}

static void forget(struct jq_core *core, struct jq_client *client)
{
    if (jq_heap_holds(&client->in_due))
        jq_heap_remove(&core->due, &client->in_due);
    if (client->peer)
        client->peer->client = NULL;
    jq_map_remove(&core->clients, client->session);
    jq_client_free(client);
}

/* The connection is lost. Tied jobs have a lease to wait for the next one, answers longer. */
void jq_client_detached(struct jq_core *core, struct jq_client *client)
{
    if (jq_dlist_empty(&client->requests) && jq_dlist_empty(&client->tied) && !client->stored) {
        forget(core, client);
        return;
    }
    client->due_at =
        jq_ms_add(core->now.mono,
                  jq_dlist_empty(&client->tied) ? core->conf.request_keep_ms : core->conf.lease_ms);
    if (jq_heap_holds(&client->in_due))
        jq_heap_moved(&core->due, &client->in_due);
    else
        JQ_CHECK(jq_heap_put(&core->due, &client->in_due) == JQ_OK);
}

void jq_client_tie(struct jq_client *client, struct jq_job *job)
{
    jq_dlist_append(&client->tied, &job->extra->in_tied);
}

static enum jq_err cancel_tied(struct jq_core *core, struct jq_client *client)
{
    struct jq_dlink *next;

    for (struct jq_dlink *at = jq_dlist_first(&client->tied); at; at = next) {
        struct jq_job *job = JQ_ELEMENT(at, struct jq_extra, in_tied)->job;
        next = jq_dlist_next(&client->tied, at);
        JQ_TRY(jq_cancel_job(core, job, jq_view_str("the client that it is tied to is gone")));
        jq_dlist_remove(at);
    }
    return JQ_OK;
}

enum jq_err jq_client_bye(struct jq_core *core, struct jq_client *client)
{
    JQ_TRY(cancel_tied(core, client));
    JQ_TRY(jq_batch_reserve(core, 1));
    jq_batch_session_delete(core, client);
    forget(core, client);
    return JQ_OK;
}

enum jq_err jq_client_tick(struct jq_core *core)
{
    for (struct jq_heap_node *node; (node = jq_heap_first(&core->due));) {
        struct jq_client *client = JQ_ELEMENT(node, struct jq_client, in_due);
        if (client->due_at > core->now.mono)
            return JQ_OK;
        if (!jq_dlist_empty(&client->tied)) {
            JQ_TRY(cancel_tied(core, client));
            jq_client_detached(core, client); /* frees it, or waits on for its answers */
        } else {
            JQ_TRY(jq_client_bye(core, client));
        }
    }
    return JQ_OK;
}

enum jq_err jq_client_answered(struct jq_core *core, struct jq_client *client, uint64_t answered)
{
    for (struct jq_dlink *link; (link = jq_dlist_first(&client->requests));) {
        struct jq_request *request = JQ_ELEMENT(link, struct jq_request, in_client);
        if (request->number > answered)
            break;
        JQ_TRY(jq_batch_reserve(core, 1));
        jq_batch_request_delete(core, client, request);
        request_free(request);
    }
    if (answered > client->answered)
        client->answered = answered;
    return JQ_OK;
}

struct jq_request *jq_client_request(const struct jq_client *client, uint64_t number)
{
    for (struct jq_dlink *at = NULL; (at = jq_dlist_prev(&client->requests, at));) {
        struct jq_request *request = JQ_ELEMENT(at, struct jq_request, in_client);
        if (request->number == number)
            return request;
        if (request->number < number)
            return NULL;
    }
    return NULL;
}

void jq_client_request_add(struct jq_client *client, struct jq_request *request)
{
    struct jq_dlink *at = jq_dlist_last(&client->requests);

    while (at && JQ_ELEMENT(at, struct jq_request, in_client)->number > request->number)
        at = jq_dlist_prev(&client->requests, at);
    jq_dlist_put_before(at ? at->next : client->requests.head.next, &request->in_client);
}
