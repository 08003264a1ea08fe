/* SPDX-License-Identifier: MIT
 *
 * fake_broker.c - see fake_broker.h. All of it is under one lock; the thread gives it up to poll.
 */
#include "tests/unit/client/fake_broker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <zmq.h>

#include "proto/base/alloc.h"
#include "proto/base/buf.h"
#include "proto/msg.h"
#include "tests/unit/client/fake_items.h"

enum { PEERS_MAX = 64, JOBS_MAX = 1 << 19, REQUESTS_MAX = 1 << 16, WAITS_MAX = 1 << 16 };

struct fb_peer {
    struct fi_route route;
    uint64_t session;
    uint64_t watch; /* correlation of its WATCH; 0: none */
};

struct fb_job_state {
    uint8_t state;
    bool poison;
};

struct fb_request {
    uint64_t session, number, first_id;
    uint32_t count;
};

struct fb_wait {
    struct fi_route route;
    uint64_t correlation, id; /* id 0: ended */
};

struct fake_broker {
    char directory[40];
    char url[80];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t acted;
    int wake_fd;
    bool quit, want_stopped, is_stopped, want_release;
    uint64_t event_id; /* to be told to every WATCH; 0: none */
    void *context, *router;
    struct fb_faults faults;
    struct fb_counts counts;
    struct fb_peer peers[PEERS_MAX];
    size_t peers_count;
    struct fb_job_state *jobs; /* by id */
    uint64_t jobs_count;
    struct fb_request *requests;
    size_t requests_count;
    struct fb_wait *waits;
    size_t waits_count;
    struct fi_items *items;
    uint8_t options[1024];
    size_t options_size;
};

/* ---- saying ---- */

static void say(struct fake_broker *fb, const struct fi_route *to, const struct jq_msg *msg)
{
    struct jq_buf buf = { 0 };

    if (fb->faults.silent)
        return;
    assert_int_equal(jq_msg_encode(msg, &buf), JQ_OK);
    zmq_send(fb->router, to->bytes, to->size, ZMQ_SNDMORE);
    zmq_send(fb->router, buf.data, buf.size, 0);
    jq_buf_fini(&buf);
}

static void say_of_items(void *arg, const struct fi_route *to, const struct jq_msg *msg)
{
    say(arg, to, msg);
}

static void say_error(struct fake_broker *fb, const struct fi_route *to, uint64_t correlation,
                      enum jq_err err, const char *text)
{
    const struct jq_msg msg = { .tag = JQ_MSG_ERROR,
                                .correlation = correlation,
                                .u.error = { .error = err, .text = jq_view_str(text) } };

    say(fb, to, &msg);
}

static void write_result(struct fake_broker *fb, struct jq_buf *list, uint64_t id)
{
    const struct fb_job_state *job = id && id <= fb->jobs_count ? &fb->jobs[id] : NULL;
    const bool failed = job && job->state == JQ_FAILED;
    const struct jq_result result = {
        .id = id,
        .error = job ? 0 : JQ_ENOENT,
        .state = job ? job->state : 0,
        .code = failed ? 7 : 0,
        .reason = jq_view_str(!failed       ? ""
                              : job->poison ? "poison: it killed two workers"
                                            : "exit code 7"),
        .worker = jq_view_str("w1"),
        .attempt = 1,
        .value = jq_view_str(failed ? "" : "value"),
    };

    jq_result_write(list, &result);
}

static bool has_ended(const struct fake_broker *fb, uint64_t id)
{
    return id == 0 || id > fb->jobs_count ||
           jq_state_is_terminal((enum jq_job_state)fb->jobs[id].state);
}

/* The results of ids[] that are there now; waits for the others. */
static void wait_for(struct fake_broker *fb, const struct fi_route *to, uint64_t correlation,
                     const uint64_t *ids, uint32_t count)
{
    struct jq_buf list = { 0 };
    uint32_t ended = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (has_ended(fb, ids[i])) {
            write_result(fb, &list, ids[i]);
            ended++;
            continue;
        }
        assert_true(fb->waits_count < WAITS_MAX);
        fb->waits[fb->waits_count++] =
            (struct fb_wait){ .route = *to, .correlation = correlation, .id = ids[i] };
    }
    const struct jq_msg msg = { .tag = JQ_MSG_RESULTS,
                                .correlation = correlation,
                                .u.results.results = jq_records_of(ended, &list) };
    if (ended)
        say(fb, to, &msg);
    jq_buf_fini(&list);
}

static void end_job(struct fake_broker *fb, uint64_t id, enum jq_job_state state)
{
    fb->jobs[id].state = (uint8_t)state;
    for (size_t i = 0; i < fb->waits_count; i++) {
        struct fb_wait *wait = &fb->waits[i];
        if (wait->id != id)
            continue;
        wait->id = 0;
        const struct fi_route to = wait->route;
        wait_for(fb, &to, wait->correlation, &id, 1);
    }
}

/* ---- hearing ---- */

static struct fb_peer *find_peer(struct fake_broker *fb, const struct fi_route *route)
{
    for (size_t i = 0; i < fb->peers_count; i++)
        if (fb->peers[i].route.size == route->size &&
            memcmp(fb->peers[i].route.bytes, route->bytes, route->size) == 0)
            return &fb->peers[i];
    return NULL;
}

static void on_hello(struct fake_broker *fb, const struct fi_route *from, const struct jq_msg *msg)
{
    struct fb_peer *peer = find_peer(fb, from);
    struct jq_buf lost = { 0 };

    fb->counts.hellos++;
    if (fb->faults.other_version) {
        say_error(fb, from, msg->correlation, JQ_EVERSION, "no common version: 7 to 9, 1 to 1");
        return;
    }
    if (!peer) {
        assert_true(fb->peers_count < PEERS_MAX);
        peer = &fb->peers[fb->peers_count++];
        *peer = (struct fb_peer){ .route = *from };
    }
    peer->session = msg->u.hello.session;
    const uint32_t count = fi_hello(fb->items, peer->session, msg->u.hello.held, &lost);
    const struct jq_msg welcome = {
        .tag = JQ_MSG_WELCOME,
        .correlation = msg->correlation,
        .u.welcome = { .version = 1,
                       .session = peer->session,
                       .incarnation = 1,
                       .heartbeat_ms = FB_HEARTBEAT_MS,
                       .lease_ms = 1000,
                       .lost = jq_records_of(count, &lost) },
    };
    say(fb, from, &welcome);
    jq_buf_fini(&lost);
    fi_pump(fb->items);
}

static const struct fb_request *find_request(const struct fake_broker *fb, uint64_t session,
                                             uint64_t number)
{
    for (size_t i = fb->requests_count; i-- > 0;)
        if (fb->requests[i].session == session && fb->requests[i].number == number)
            return &fb->requests[i];
    return NULL;
}

static void make_job(struct fake_broker *fb, const struct jq_job_spec *spec)
{
    const char *handler = spec->handler.data;
    struct fb_job_state *job = &fb->jobs[++fb->jobs_count];

    assert_true(fb->jobs_count < JOBS_MAX);
    fb->counts.jobs++;
    *job = (struct fb_job_state){ .state = handler[0] == 'n'   ? JQ_SUCCEEDED
                                           : handler[0] == 'h' ? JQ_RUNNING
                                                               : JQ_FAILED,
                                  .poison = handler[0] == 'p' };
}

static const struct fb_request *accept_jobs(struct fake_broker *fb, uint64_t session,
                                            const struct jq_msg *msg)
{
    struct jq_reader r = jq_records_reader(msg->u.submit.jobs);
    struct jq_job_spec spec;
    struct fb_request *request = &fb->requests[fb->requests_count++];

    assert_true(fb->requests_count < REQUESTS_MAX);
    *request = (struct fb_request){ session, msg->correlation, fb->jobs_count + 1,
                                    msg->u.submit.jobs.count };
    fb->options_size = 0;
    while (jq_job_spec_next(&r, &spec)) {
        make_job(fb, &spec);
        if (jq_view_equal(spec.handler, jq_view_str(JQ_HANDLER_ITEM)))
            fi_add(fb->items, fb->jobs_count, &spec);
        if (spec.options.size && spec.options.size <= sizeof fb->options) {
            memcpy(fb->options, spec.options.data, spec.options.size);
            fb->options_size = spec.options.size;
        }
    }
    return request;
}

static void on_submit(struct fake_broker *fb, const struct fb_peer *peer, const struct jq_msg *msg)
{
    const bool call = (msg->u.submit.flags & JQ_SUBMIT_CALL) != 0;
    const bool has_room = fb->waits_count + msg->u.submit.jobs.count <= WAITS_MAX;
    const bool waits = call || (msg->u.submit.results && !fb->faults.no_results && has_room);
    const struct fb_request *request = find_request(fb, peer->session, msg->correlation);

    fb->counts.submits++;
    fb->counts.resent += request != NULL;
    if (msg->u.submit.answered > fb->counts.answered)
        fb->counts.answered = msg->u.submit.answered;
    if (!request && !fi_admits(fb->items, &peer->route, msg->u.submit.jobs.count)) {
        say_error(fb, &peer->route, msg->correlation, fb->items->closed ? JQ_ECLOSED : JQ_EFULL,
                  "no room");
        return;
    }
    if (!request)
        request = accept_jobs(fb, peer->session, msg);
    if (fb->faults.drop_answers) {
        fb->faults.drop_answers--;
        return;
    }
    const struct jq_msg answer = {
        .tag = JQ_MSG_SUBMITTED,
        .correlation = msg->correlation,
        .u.submitted = { .durable = !call,
                         .first_id = request->first_id,
                         .count = request->count,
                         .results = waits },
    };
    say(fb, &peer->route, &answer);
    for (uint32_t i = 0; waits && i < request->count; i++) {
        const uint64_t id = request->first_id + i;
        wait_for(fb, &peer->route, msg->correlation, &id, 1);
    }
    fi_pump(fb->items);
}

static void on_wait(struct fake_broker *fb, const struct fi_route *from, const struct jq_msg *msg)
{
    struct jq_reader r = jq_records_reader(msg->u.wait.jobs);
    uint64_t *ids = jq_alloc((msg->u.wait.jobs.count + 1) * sizeof *ids);
    struct jq_job_ref ref;
    uint32_t count = 0;

    while (jq_job_ref_next(&r, &ref))
        ids[count++] = ref.id;
    fb->counts.waits++;
    wait_for(fb, from, msg->correlation, ids, count);
    jq_free(ids);
}

static void on_cancel(struct fake_broker *fb, const struct fi_route *from, const struct jq_msg *msg)
{
    struct jq_reader r = jq_records_reader(msg->u.cancel.jobs);
    struct jq_buf each = { 0 };
    struct jq_job_ref ref;
    uint32_t count = 0;

    while (jq_job_ref_next(&r, &ref)) {
        struct jq_ack ack = { .id = ref.id };
        if (ref.id == 0 || ref.id > fb->jobs_count)
            ack.error = JQ_ENOENT;
        else if (has_ended(fb, ref.id))
            ack.error = JQ_EALREADY;
        else
            end_job(fb, ref.id, JQ_CANCELLED);
        ack.state = ack.error == JQ_ENOENT ? 0 : fb->jobs[ref.id].state;
        jq_ack_write(&each, &ack);
        count++;
    }
    const struct jq_msg answer = { .tag = JQ_MSG_CANCELLED,
                                   .correlation = msg->correlation,
                                   .u.cancelled.each = jq_records_of(count, &each) };
    say(fb, from, &answer);
    jq_buf_fini(&each);
}

static void on_request(struct fake_broker *fb, const struct fi_route *from,
                       const struct jq_msg *msg)
{
    struct jq_msg answer = { .correlation = msg->correlation };
    struct jq_buf list = { 0 };

    if (msg->tag == JQ_MSG_LIST) {
        const struct jq_job_info info = { .id = fb->jobs_count, .queue = jq_view_str("default") };
        jq_job_info_write(&list, &info);
        answer.tag = JQ_MSG_LISTED;
        answer.u.listed.jobs = jq_records_of(1, &list);
    } else if (msg->tag == JQ_MSG_LOG_READ) {
        answer.tag = JQ_MSG_LOG_DATA;
        answer.u.log_data = (struct jq_log_data){ .id = msg->u.log_read.id,
                                                  .offset = msg->u.log_read.offset,
                                                  .bytes = jq_view_str("output"),
                                                  .total = 6,
                                                  .end = 1 };
    } else {
        say_error(fb, from, msg->correlation, JQ_EINVAL, "not played here");
        return;
    }
    say(fb, from, &answer);
    jq_buf_fini(&list);
}

static void on_hailed(struct fake_broker *fb, struct fb_peer *peer, const struct jq_msg *msg)
{
    const struct jq_msg pong = { .tag = JQ_MSG_PONG, .correlation = msg->correlation };

    if (fb->faults.busy && msg->tag != JQ_MSG_PING) {
        fb->faults.busy--;
        say_error(fb, &peer->route, msg->correlation, JQ_EBUSY, "busy");
        return;
    }
    if (fi_hear(fb->items, &peer->route, peer->session, msg))
        return;
    switch ((int)msg->tag) {
    case JQ_MSG_SUBMIT:
        on_submit(fb, peer, msg);
        break;
    case JQ_MSG_WAIT:
        on_wait(fb, &peer->route, msg);
        break;
    case JQ_MSG_CANCEL:
        on_cancel(fb, &peer->route, msg);
        break;
    case JQ_MSG_PING:
        fb->counts.pings++;
        say(fb, &peer->route, &pong);
        fi_pay(fb->items);
        break;
    case JQ_MSG_WATCH:
        peer->watch = msg->correlation;
        break;
    case JQ_MSG_UNWATCH:
        peer->watch = 0;
        break;
    case JQ_MSG_UNWAIT:
        fb->counts.unwaits++;
        break;
    case JQ_MSG_BYE:
        fb->counts.byes++;
        break;
    default:
        on_request(fb, &peer->route, msg);
    }
}

static bool hear(struct fake_broker *fb)
{
    struct fi_route from;
    struct jq_msg msg;
    zmq_msg_t frame;

    const int size = zmq_recv(fb->router, from.bytes, sizeof from.bytes, ZMQ_DONTWAIT);
    if (size < 0)
        return false;
    from.size = (size_t)size;
    zmq_msg_init(&frame);
    assert_true(zmq_msg_recv(&frame, fb->router, 0) >= 0);
    assert_false(zmq_msg_more(&frame));
    const struct jq_view bytes = jq_view(zmq_msg_data(&frame), zmq_msg_size(&frame));
    assert_int_equal(jq_msg_decode(bytes, &msg), JQ_OK);
    struct fb_peer *peer = find_peer(fb, &from);
    if (msg.tag == JQ_MSG_HELLO) {
        on_hello(fb, &from, &msg);
    } else if (peer) {
        on_hailed(fb, peer, &msg);
    } else {
        fb->counts.refused++;
        say_error(fb, &from, msg.correlation, JQ_ENOHELLO, "say HELLO first");
    }
    zmq_msg_close(&frame);
    return true;
}

/* ---- the thread ---- */

static void open_router(struct fake_broker *fb)
{
    const int zero = 0;

    fb->router = zmq_socket(fb->context, ZMQ_ROUTER);
    zmq_setsockopt(fb->router, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(fb->router, ZMQ_SNDHWM, &zero, sizeof zero);
    zmq_setsockopt(fb->router, ZMQ_RCVHWM, &zero, sizeof zero);
    assert_int_equal(zmq_bind(fb->router, fb->url), 0);
}

static void release_all(struct fake_broker *fb)
{
    for (uint64_t id = 1; id <= fb->jobs_count; id++)
        if (!has_ended(fb, id))
            end_job(fb, id, JQ_SUCCEEDED);
    fb->want_release = false;
}

static void tell_event(struct fake_broker *fb)
{
    struct jq_buf list = { 0 };

    jq_event_write(&list, &(struct jq_event){ .id = fb->event_id, .state = JQ_RUNNING });
    for (size_t i = 0; i < fb->peers_count; i++) {
        const struct jq_msg msg = { .tag = JQ_MSG_EVENTS,
                                    .correlation = fb->peers[i].watch,
                                    .u.events.events = jq_records_of(1, &list) };
        if (fb->peers[i].watch)
            say(fb, &fb->peers[i].route, &msg);
    }
    jq_buf_fini(&list);
    fb->event_id = 0;
}

static void obey(struct fake_broker *fb)
{
    if (fb->want_release)
        release_all(fb);
    if (fb->event_id)
        tell_event(fb);
    if (fb->want_stopped && !fb->is_stopped) {
        zmq_close(fb->router);
        fb->router = NULL;
        fb->peers_count = fb->waits_count = 0;
        fi_forget(fb->items);
    } else if (!fb->want_stopped && fb->is_stopped) {
        open_router(fb);
    }
    fb->is_stopped = fb->want_stopped;
    pthread_cond_broadcast(&fb->acted);
}

static void *serve(void *arg)
{
    struct fake_broker *fb = arg;
    uint64_t count;

    pthread_mutex_lock(&fb->lock);
    while (!fb->quit) {
        obey(fb);
        while (fb->router && hear(fb))
            ;
        zmq_pollitem_t items[2] = { { .fd = fb->wake_fd, .events = ZMQ_POLLIN },
                                    { .socket = fb->router, .events = ZMQ_POLLIN } };
        const int polled = fb->router ? 2 : 1;
        pthread_mutex_unlock(&fb->lock);
        zmq_poll(items, polled, -1);
        if (items[0].revents)
            assert_int_equal(read(fb->wake_fd, &count, sizeof count), sizeof count);
        pthread_mutex_lock(&fb->lock);
    }
    if (fb->router)
        zmq_close(fb->router);
    pthread_mutex_unlock(&fb->lock);
    return NULL;
}

static void wake(struct fake_broker *fb)
{
    const uint64_t one = 1;

    assert_int_equal(write(fb->wake_fd, &one, sizeof one), sizeof one);
}

static void set_stopped(struct fake_broker *fb, bool stopped)
{
    pthread_mutex_lock(&fb->lock);
    fb->want_stopped = stopped;
    wake(fb);
    while (fb->is_stopped != stopped)
        pthread_cond_wait(&fb->acted, &fb->lock);
    pthread_mutex_unlock(&fb->lock);
}

/* ---- for tests ---- */

int fb_setup(void **state)
{
    struct fake_broker *fb = jq_alloc_zero(1, sizeof *fb);

    strcpy(fb->directory, "/tmp/jobq-test-XXXXXX");
    assert_non_null(mkdtemp(fb->directory));
    (void)snprintf(fb->url, sizeof fb->url, "ipc://%s/b", fb->directory);
    fb->jobs = jq_alloc_zero(JOBS_MAX, sizeof *fb->jobs);
    fb->requests = jq_alloc_zero(REQUESTS_MAX, sizeof *fb->requests);
    fb->waits = jq_alloc_zero(WAITS_MAX, sizeof *fb->waits);
    fb->items = jq_alloc_zero(1, sizeof *fb->items);
    fb->items->say = say_of_items;
    fb->items->arg = fb;
    fb->items->faults = &fb->faults;
    fb->items->counts = &fb->counts;
    fb->wake_fd = eventfd(0, EFD_CLOEXEC);
    fb->context = zmq_ctx_new();
    fb->is_stopped = true;
    pthread_mutex_init(&fb->lock, NULL);
    pthread_cond_init(&fb->acted, NULL);
    assert_int_equal(pthread_create(&fb->thread, NULL, serve, fb), 0);
    set_stopped(fb, false);
    *state = fb;
    return 0;
}

int fb_teardown(void **state)
{
    struct fake_broker *fb = *state;

    pthread_mutex_lock(&fb->lock);
    fb->quit = true;
    wake(fb);
    pthread_mutex_unlock(&fb->lock);
    pthread_join(fb->thread, NULL);
    zmq_ctx_term(fb->context);
    pthread_mutex_destroy(&fb->lock);
    pthread_cond_destroy(&fb->acted);
    close(fb->wake_fd);
    unlink(fb->url + strlen("ipc://"));
    assert_int_equal(rmdir(fb->directory), 0);
    jq_free(fb->jobs);
    jq_free(fb->requests);
    jq_free(fb->waits);
    fi_free(fb->items);
    jq_free(fb);
    return 0;
}

const char *fb_url(const struct fake_broker *fb)
{
    return fb->url;
}

void fb_fault(struct fake_broker *fb, struct fb_faults faults)
{
    pthread_mutex_lock(&fb->lock);
    fb->faults = faults;
    pthread_mutex_unlock(&fb->lock);
}

struct fb_counts fb_counts(struct fake_broker *fb)
{
    pthread_mutex_lock(&fb->lock);
    const struct fb_counts counts = fb->counts;
    pthread_mutex_unlock(&fb->lock);
    return counts;
}

void fb_forget_peers(struct fake_broker *fb)
{
    pthread_mutex_lock(&fb->lock);
    fb->peers_count = fb->waits_count = 0;
    fi_forget(fb->items);
    pthread_mutex_unlock(&fb->lock);
}

void fb_steal(struct fake_broker *fb)
{
    pthread_mutex_lock(&fb->lock);
    fi_steal(fb->items);
    pthread_mutex_unlock(&fb->lock);
}

size_t fb_options(struct fake_broker *fb, void *bytes, size_t capacity)
{
    pthread_mutex_lock(&fb->lock);
    const size_t size = fb->options_size < capacity ? fb->options_size : capacity;
    memcpy(bytes, fb->options, size);
    pthread_mutex_unlock(&fb->lock);
    return size;
}

void fb_stop(struct fake_broker *fb)
{
    set_stopped(fb, true);
}

void fb_start(struct fake_broker *fb)
{
    set_stopped(fb, false);
}

void fb_release(struct fake_broker *fb)
{
    pthread_mutex_lock(&fb->lock);
    fb->want_release = true;
    wake(fb);
    while (fb->want_release)
        pthread_cond_wait(&fb->acted, &fb->lock);
    pthread_mutex_unlock(&fb->lock);
}

void fb_event(struct fake_broker *fb, uint64_t id)
{
    pthread_mutex_lock(&fb->lock);
    fb->event_id = id;
    wake(fb);
    while (fb->event_id)
        pthread_cond_wait(&fb->acted, &fb->lock);
    pthread_mutex_unlock(&fb->lock);
}

struct jobq_client *fb_client(const struct fake_broker *fb, int64_t timeout_ms)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client = NULL;

    options.url = fb->url;
    options.name = "test";
    options.timeout_ms = timeout_ms;
    assert_int_equal(jobq_open(&options, &client), 0);
    return client;
}

struct jobq_job fb_job(const char *handler)
{
    struct jobq_job job = JOBQ_JOB_INIT;

    job.handler = handler;
    return job;
}
