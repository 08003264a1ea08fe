/* SPDX-License-Identifier: MIT
 *
 * keeper.c - see keeper.h. */
#include "client/cli/keeper.h"

#include <pthread.h>
#include <time.h>

#include "client/cli/autostart.h"
#include "proto/base/alloc.h"

enum {
    LOOK_S = 1,         /* between two looks */
    MISSED_MAX = 2,     /* looks without a broker before one is started */
    COMPLAIN_EACH = 30, /* looks between two complaints */
};

struct jq_keeper {
    const struct jq_cli *cli;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool leave;
};

/* False: it is time to leave. */
static bool pause_for_a_look(struct jq_keeper *keeper)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOOK_S;
    pthread_mutex_lock(&keeper->lock);
    if (!keeper->leave)
        pthread_cond_timedwait(&keeper->told, &keeper->lock, &until);
    const bool stay = !keeper->leave;
    pthread_mutex_unlock(&keeper->lock);
    return stay;
}

static bool start_broker(const struct jq_cli *cli, bool complain)
{
    struct jq_local_broker broker;
    struct jq_detail detail = { "" };
    bool started = false;

    const enum jq_err err = jq_autostart(cli->url, &broker, &started, &detail);
    if (started)
        jq_cli_notice(cli, "the broker was gone: it has been started again");
    else if (err != JQ_OK && complain)
        jq_cli_notice(cli, "the broker is gone, and could not be started: %s",
                      detail.text[0] ? detail.text : jq_err_text(err));
    return err == JQ_OK;
}

static void *keep(void *arg)
{
    struct jq_keeper *keeper = arg;
    unsigned missed = 0, failed = 0;

    while (pause_for_a_look(keeper)) {
        missed = jq_client_is_welcome(keeper->cli->client) == 0 ? missed + 1 : 0;
        if (missed < MISSED_MAX)
            continue;
        missed = 0;
        failed = start_broker(keeper->cli, failed % COMPLAIN_EACH == 0) ? 0 : failed + 1;
    }
    return NULL;
}

void jq_keeper_start(struct jq_cli *cli)
{
    struct jq_keeper *keeper;

    if (cli->keeper || !cli->default_url || !jq_cli_may_autostart(cli))
        return;
    keeper = jq_alloc_zero(1, sizeof *keeper);
    if (!keeper)
        return;
    keeper->cli = cli;
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->told, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&keeper->thread, NULL, keep, keeper) != 0) {
        jq_free(keeper);
        return;
    }
    cli->keeper = keeper;
}

void jq_keeper_stop(struct jq_keeper **keeper_ptr)
{
    struct jq_keeper *keeper = *keeper_ptr;

    if (!keeper)
        return;
    *keeper_ptr = NULL;
    pthread_mutex_lock(&keeper->lock);
    keeper->leave = true;
    pthread_cond_signal(&keeper->told);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    pthread_cond_destroy(&keeper->told);
    pthread_mutex_destroy(&keeper->lock);
    jq_free(keeper);
}
