/* SPDX-License-Identifier: MIT
 *
 * heartbeat.c - see heartbeat.h. */
#include "worker/heartbeat.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "worker/transport.h"

enum { MISSED_MAX = 3 /* beats without an answer before the link is held for dead */ };

struct jq_heartbeat {
    pthread_t thread;
    int event; /* written when one of the next two has changed */
    atomic_bool stopping;
    _Atomic jq_ms interval; /* 0: not yet */

    /* The thread's alone. */
    struct jq_dealer *dealer;
    uint64_t session;
    char *name;
    char *software;
    bool connected;
    bool greeted;
    uint64_t number; /* of the last BEAT */
    unsigned missed;
    jq_ms next_at;
};

static void say(struct jq_heartbeat *beat, const struct jq_msg *msg)
{
    struct jq_buf frame = { 0 };
    if (jq_msg_encode(msg, &frame) != JQ_OK) {
        jq_buf_fini(&frame);
        return; /* no memory now; the next beat tries again */
    }
    (void)jq_dealer_send(beat->dealer, frame.data, frame.size);
}

static void greet(struct jq_heartbeat *beat)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_HELLO,
        .u.hello = {
            .version_min = JQ_PROTOCOL_MIN,
            .version_max = JQ_PROTOCOL_MAX,
            .role = JQ_ROLE_BEAT,
            .session = beat->session,
            .name = jq_view_str(beat->name),
            .software = jq_view_str(beat->software),
            .pid = (uint64_t)getpid(),
        },
    };
    beat->greeted = true;
    say(beat, &msg);
}

/* One beat, with a HELLO before it when the connection is new or was forgotten. */
static void tell(struct jq_heartbeat *beat, jq_ms now)
{
    beat->next_at = jq_ms_add(now, atomic_load(&beat->interval));
    if (beat->missed >= MISSED_MAX) {
        beat->missed = 0;
        beat->connected = false;
        beat->greeted = false;
        if (jq_dealer_renew(beat->dealer) != JQ_OK)
            jq_log(JQ_WARN, "heartbeat.socket", "no new socket: %s", strerror(errno));
        return;
    }
    beat->missed++;
    if (!beat->connected)
        return;
    if (!beat->greeted)
        greet(beat);
    const struct jq_msg msg = { .tag = JQ_MSG_BEAT, .u.beat.number = ++beat->number };
    say(beat, &msg);
}

static void hear(struct jq_heartbeat *beat)
{
    struct jq_view frame;
    struct jq_msg msg;
    while (jq_dealer_receive(beat->dealer, &frame)) {
        if (jq_msg_decode(frame, &msg) != JQ_OK)
            continue;
        beat->missed = 0;
        if (msg.tag == JQ_MSG_ERROR && msg.u.error.error == JQ_ENOHELLO)
            beat->greeted = false; /* with the next beat: never a storm of the two */
    }
}

static void follow_link(struct jq_heartbeat *beat, jq_ms now)
{
    enum jq_link_change change;
    while ((change = jq_dealer_change(beat->dealer)) != JQ_LINK_SAME) {
        beat->connected = change == JQ_LINK_CONNECTED;
        beat->greeted = false;
        beat->missed = 0;
        if (beat->connected && atomic_load(&beat->interval) > 0)
            beat->next_at = now;
    }
}

static void *beat_main(void *arg)
{
    struct jq_heartbeat *beat = arg;
    (void)prctl(PR_SET_NAME, "jobq-beat");
    while (!atomic_load(&beat->stopping)) {
        jq_ms now = jq_clock_now().mono;
        const jq_ms wait = beat->next_at == JQ_NEVER ? JQ_NEVER
                           : beat->next_at > now     ? beat->next_at - now
                                                     : 0;
        bool told = false;
        if (jq_dealer_poll(beat->dealer, beat->event, wait, &told) != JQ_OK) {
            jq_log(JQ_ERROR, "heartbeat.lost", "the sockets are unusable");
            break;
        }
        now = jq_clock_now().mono;
        if (told) {
            uint64_t count;
            const ssize_t got = read(beat->event, &count, sizeof count);
            JQ_CHECK(got == (ssize_t)sizeof count || errno == EAGAIN);
            beat->next_at = now;
        }
        hear(beat);
        follow_link(beat, now);
        if (beat->next_at <= now && !atomic_load(&beat->stopping))
            tell(beat, now);
    }
    return NULL;
}

static void wake(const struct jq_heartbeat *beat)
{
    const uint64_t one = 1;
    const ssize_t written = write(beat->event, &one, sizeof one);
    JQ_CHECK(written == (ssize_t)sizeof one || errno == EAGAIN);
}

/* --- the loop's side --- */

static void heartbeat_free(struct jq_heartbeat *beat)
{
    jq_dealer_close(&beat->dealer, 0);
    if (beat->event >= 0)
        (void)close(beat->event);
    jq_free(beat->name);
    jq_free(beat->software);
    jq_free(beat);
}

static bool start_thread(struct jq_heartbeat *beat)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&beat->thread, NULL, beat_main, beat);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}

enum jq_err jq_heartbeat_start(const struct jq_heartbeat_conf *conf,
                               struct jq_heartbeat **ret_heartbeat, struct jq_detail *ret_detail)
{
    struct jq_heartbeat *beat = jq_alloc_zero(1, sizeof *beat);
    if (beat == NULL)
        return JQ_ENOMEM;
    beat->session = conf->session;
    beat->next_at = JQ_NEVER;
    beat->name = jq_strdup(conf->name);
    beat->software = jq_strdup(conf->software);
    beat->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum jq_err err = beat->name == NULL || beat->software == NULL ? JQ_ENOMEM : JQ_OK;
    if (err == JQ_OK && beat->event < 0) {
        jq_detail_set(ret_detail, "an eventfd for the heartbeat: %s", strerror(errno));
        err = JQ_EIO;
    }
    if (err == JQ_OK)
        err = jq_dealer_open(conf->url, &beat->dealer, ret_detail);
    if (err == JQ_OK && !start_thread(beat)) {
        jq_detail_set(ret_detail, "no thread for the heartbeat");
        err = JQ_EIO;
    }
    if (err != JQ_OK) {
        heartbeat_free(beat);
        return err;
    }
    *ret_heartbeat = beat;
    return JQ_OK;
}

void jq_heartbeat_interval(struct jq_heartbeat *heartbeat, jq_ms interval)
{
    atomic_store(&heartbeat->interval, interval > 0 ? interval : 1);
    wake(heartbeat);
}

void jq_heartbeat_stop(struct jq_heartbeat **heartbeat)
{
    struct jq_heartbeat *beat = *heartbeat;
    if (beat == NULL)
        return;
    *heartbeat = NULL;
    atomic_store(&beat->stopping, true);
    wake(beat);
    (void)pthread_join(beat->thread, NULL);
    heartbeat_free(beat);
}
