/* SPDX-License-Identifier: MIT
 *
 * store.c - the store thread: runs one backend, in the order of the requests.
 *
 * Two lists cross between the threads, `pending` and `done`, under the one lock; each side takes a
 * whole list at once and works on it alone. Requests are recycled by the loop thread, so a batch
 * costs no allocation once the store is warm.
 *
 * After the first failed commit nothing is done any more: the outcome is unknown, every later
 * request gets the same error, and the broker starts again from disk. */
#include "broker/store/store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "broker/store/store_copy.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* So long without a request before the backend may do what takes a while; and how often a store
 * that is short of space looks whether it still is. */
enum { REST_MS = 100, SPACE_MS = 1000 };

struct request {
    struct request *next;
    struct jq_read read; /* READ: a copy */
    struct jq_store_done done;
};

struct list {
    struct request *first, *last;
};

struct jq_store {
    struct jq_backend *backend; /* the store thread's once started */
    int event_fd;
    bool started;
    pthread_t thread;

    pthread_mutex_t lock; /* of these three */
    pthread_cond_t wake;
    struct list pending, done;
    bool stopping;

    atomic_bool is_told; /* the event is written, or about to be; changed under the lock */
    atomic_uint commits; /* queued or under way */
    atomic_bool is_space_low;

    struct list taken;     /* loop thread: completions, not yet given out */
    struct request *spare; /* loop thread */

    enum jq_err failed; /* store thread: of the first failed commit or rest */
    struct jq_detail failed_detail;
};

static void push(struct list *list, struct request *request)
{
    request->next = NULL;
    if (list->last)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
}

static struct request *pop(struct list *list)
{
    struct request *request = list->first;

    if (request) {
        list->first = request->next;
        if (!list->first)
            list->last = NULL;
    }
    return request;
}

static struct list take_all(struct list *list)
{
    const struct list all = *list;

    *list = (struct list){ 0 };
    return all;
}

/* --- store thread --- */

/* For those of `request`, or NULL. */
static void tell_loop(struct jq_store *store, struct request *request)
{
    const uint64_t one = 1;

    pthread_mutex_lock(&store->lock);
    if (request) {
        push(&store->done, request);
        if (request->done.kind == JQ_STORE_COMMITTED)
            atomic_fetch_sub(&store->commits, 1);
    }
    const bool was_told = atomic_exchange(&store->is_told, true);
    pthread_mutex_unlock(&store->lock);
    if (was_told)
        return;

    /* Fails only when the counter is full: then it is readable all the more. */
    while (write(store->event_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

static void fail(struct jq_store *store, enum jq_err err, const struct jq_detail *detail)
{
    store->failed = err;
    store->failed_detail = *detail;
}

static void run_commit(struct jq_store *store, struct jq_store_done *done)
{
    struct jq_backend *backend = store->backend;

    done->err = backend->ops->commit(backend, done->batch, &done->detail);
    if (done->err != JQ_OK)
        fail(store, done->err, &done->detail);
    else
        atomic_store(&store->is_space_low, backend->ops->space_low(backend));
}

static void run_read(struct jq_store *store, struct request *request)
{
    struct jq_backend *backend = store->backend;
    struct jq_copy copy = { .bytes_max = request->read.bytes_max };
    bool more = false;

    enum jq_err err = backend->ops->read(backend, &request->read, jq_copy_add, &copy, &more);
    const bool by_parts =
        request->read.kind == JQ_READ_JOBS || request->read.kind == JQ_READ_SPILLED;
    if (err == JQ_EMSGSIZE && by_parts && copy.count > 0) {
        err = JQ_OK; /* the first of them; the rest can be asked for */
        more = true;
    }
    request->done.err = err;
    if (err != JQ_OK) {
        jq_detail_set(&request->done.detail, "reading from the store failed: %s", jq_err_text(err));
        jq_copy_fini(&copy);
        return;
    }
    request->done.jobs = copy.jobs;
    request->done.count = copy.count;
    request->done.memory = copy.chunks;
    request->done.more = more;
}

static void run(struct jq_store *store, struct request *request)
{
    struct jq_store_done *done = &request->done;

    done->detail.text[0] = '\0';
    if (store->failed != JQ_OK) {
        done->err = store->failed;
        done->detail = store->failed_detail;
    } else if (done->kind == JQ_STORE_COMMITTED) {
        run_commit(store, done);
    } else {
        run_read(store, request);
    }
    done->space_low = atomic_load(&store->is_space_low);

    tell_loop(store, request);
}

static void rest(struct jq_store *store, bool idle)
{
    struct jq_backend *backend = store->backend;
    struct jq_detail detail = { .text = "" };

    if (store->failed != JQ_OK)
        return;
    const enum jq_err err = backend->ops->rest(backend, idle, &detail);
    if (err != JQ_OK) {
        fail(store, err, &detail);
        return;
    }
    if (!idle)
        return;
    const bool is_low = backend->ops->space_low(backend);
    if (atomic_exchange(&store->is_space_low, is_low) != is_low)
        tell_loop(store, NULL); /* no completion carries it */
}

/* Until there is something to do. False: `timeout_ms` has passed first; -1: for ever. Lock held. */
static bool wait_for_work(struct jq_store *store, int timeout_ms)
{
    struct timespec until;
    int error = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ms > 0) {
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
    }
    while (!store->pending.first && !store->stopping && error != ETIMEDOUT)
        error = timeout_ms < 0 ? pthread_cond_wait(&store->wake, &store->lock)
                               : pthread_cond_timedwait(&store->wake, &store->lock, &until);
    return store->pending.first || store->stopping;
}

/* The next requests, resting meanwhile. An empty list: stop. */
static struct list next_work(struct jq_store *store)
{
    int timeout_ms = REST_MS;

    pthread_mutex_lock(&store->lock);
    while (!wait_for_work(store, timeout_ms)) {
        pthread_mutex_unlock(&store->lock);
        rest(store, true);
        timeout_ms = atomic_load(&store->is_space_low) ? SPACE_MS : -1;
        pthread_mutex_lock(&store->lock);
    }
    const struct list work = take_all(&store->pending);
    pthread_mutex_unlock(&store->lock);
    return work;
}

static void *store_thread(void *arg)
{
    struct jq_store *store = arg;

    for (;;) {
        struct list work = next_work(store);
        if (!work.first)
            break;
        for (struct request *request = pop(&work); request; request = pop(&work)) {
            const bool committed = request->done.kind == JQ_STORE_COMMITTED;
            run(store, request); /* the loop's from here on */
            if (committed)
                rest(store, false);
        }
    }
    rest(store, true);
    return NULL;
}

/* --- life --- */

static enum jq_err init_lock(struct jq_store *store)
{
    pthread_condattr_t attributes;
    int error;

    if (pthread_mutex_init(&store->lock, NULL) != 0)
        return JQ_ENOMEM;
    error = pthread_condattr_init(&attributes);
    if (error == 0) {
        error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        if (error == 0)
            error = pthread_cond_init(&store->wake, &attributes);
        pthread_condattr_destroy(&attributes);
    }
    if (error != 0)
        pthread_mutex_destroy(&store->lock);
    return error == 0 ? JQ_OK : JQ_ENOMEM;
}

enum jq_err jq_store_new(struct jq_backend *backend, struct jq_store **ret_store)
{
    struct jq_store *store = jq_alloc_zero(1, sizeof(*store));

    if (!store)
        return JQ_ENOMEM;
    store->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (store->event_fd < 0) {
        jq_free(store);
        return JQ_EIO;
    }
    const enum jq_err err = init_lock(store);
    if (err != JQ_OK) {
        close(store->event_fd);
        jq_free(store);
        return err;
    }
    atomic_init(&store->commits, 0);
    atomic_init(&store->is_told, false);
    atomic_init(&store->is_space_low, false);
    store->backend = backend;
    *ret_store = store;
    return JQ_OK;
}

enum jq_err jq_store_open(const struct jq_store_conf *conf, struct jq_store **ret_store,
                          struct jq_detail *ret_detail)
{
    const bool in_memory = strcmp(conf->path, "memory:") == 0;
    const struct jq_store_ops *ops = in_memory ? &jq_store_memory : &jq_store_sqlite;
    struct jq_backend *backend;

    jq_detail_set(ret_detail, "the store cannot be opened");
    JQ_TRY(ops->open(conf, &backend, ret_detail));
    const enum jq_err err = jq_store_new(backend, ret_store);
    if (err != JQ_OK)
        ops->close(&backend);
    return err;
}

struct jq_backend *jq_store_backend(struct jq_store *store)
{
    return store->backend;
}

/* No signal is ever delivered to the store thread: the loop reads them from a descriptor. */
enum jq_err jq_store_start(struct jq_store *store)
{
    sigset_t all, before;

    JQ_CHECK(!store->started);
    store->stopping = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&store->thread, NULL, store_thread, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return JQ_ENOMEM;
    pthread_setname_np(store->thread, "jobq-store");
    store->started = true;
    return JQ_OK;
}

void jq_store_stop(struct jq_store *store)
{
    if (!store->started)
        return;
    pthread_mutex_lock(&store->lock);
    store->stopping = true;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
    pthread_join(store->thread, NULL);
    store->started = false;
}

static void free_list(struct list list)
{
    for (struct request *request = pop(&list); request; request = pop(&list)) {
        jq_store_done_fini(&request->done);
        jq_copy_read_fini(&request->read);
        jq_free(request);
    }
}

void jq_store_close(struct jq_store **store)
{
    struct jq_store *it = *store;

    if (!it)
        return;
    jq_store_stop(it);
    free_list(it->pending);
    free_list(it->done);
    free_list(it->taken);
    free_list((struct list){ .first = it->spare });
    it->backend->ops->close(&it->backend);
    pthread_cond_destroy(&it->wake);
    pthread_mutex_destroy(&it->lock);
    close(it->event_fd);
    jq_free(it);
    *store = NULL;
}

/* --- loop thread --- */

int jq_store_fd(const struct jq_store *store)
{
    return store->event_fd;
}

static struct request *new_request(struct jq_store *store, enum jq_store_done_kind kind)
{
    struct request *request = store->spare;

    if (request)
        store->spare = request->next;
    else
        request = jq_alloc(sizeof(*request));
    if (request) {
        /* Not the 512 bytes of detail: the store thread empties the text. */
        memset(&request->read, 0, sizeof(request->read));
        request->done.kind = kind;
        request->done.err = JQ_OK;
        request->done.space_low = false;
        request->done.batch = NULL;
        request->done.token = 0;
        request->done.jobs = NULL;
        request->done.count = 0;
        request->done.more = false;
        request->done.memory = NULL;
    }
    return request;
}

static void keep_spare(struct jq_store *store, struct request *request)
{
    request->next = store->spare;
    store->spare = request;
}

static void hand_over(struct jq_store *store, struct request *request)
{
    pthread_mutex_lock(&store->lock);
    if (request->done.kind == JQ_STORE_COMMITTED)
        atomic_fetch_add(&store->commits, 1);
    push(&store->pending, request);
    pthread_mutex_unlock(&store->lock);
    pthread_cond_signal(&store->wake); /* who is woken finds the lock free */
}

enum jq_err jq_store_commit(struct jq_store *store, struct jq_batch *batch)
{
    struct request *request = new_request(store, JQ_STORE_COMMITTED);

    if (!request)
        return JQ_ENOMEM;
    request->done.batch = batch;
    hand_over(store, request);
    return JQ_OK;
}

enum jq_err jq_store_read(struct jq_store *store, const struct jq_read *read)
{
    struct request *request = new_request(store, JQ_STORE_READ);

    if (!request)
        return JQ_ENOMEM;
    const enum jq_err err = jq_copy_read(read, &request->read);
    if (err != JQ_OK) {
        keep_spare(store, request);
        return err;
    }
    request->done.token = read->token;
    hand_over(store, request);
    return JQ_OK;
}

bool jq_store_idle(const struct jq_store *store)
{
    return atomic_load(&store->commits) == 0;
}

bool jq_store_space_low(const struct jq_store *store)
{
    return atomic_load(&store->is_space_low);
}

/* The descriptor is emptied only when no completion is left on either side, and under the lock: a
 * completion that comes after that fills it again. */
static void settle_fd(struct jq_store *store)
{
    uint64_t count;
    ssize_t got;

    pthread_mutex_lock(&store->lock);
    if (!store->done.first) {
        do {
            got = read(store->event_fd, &count, sizeof(count));
        } while (got < 0 && errno == EINTR);
        if (got > 0) /* else it is about to be written */
            atomic_store(&store->is_told, false);
    }
    pthread_mutex_unlock(&store->lock);
}

bool jq_store_take_done(struct jq_store *store, struct jq_store_done *ret_done)
{
    if (!store->taken.first) {
        if (!atomic_load(&store->is_told))
            return false;
        pthread_mutex_lock(&store->lock);
        store->taken = take_all(&store->done);
        pthread_mutex_unlock(&store->lock);
    }
    struct request *request = pop(&store->taken);
    if (!store->taken.first)
        settle_fd(store);
    if (!request)
        return false;
    *ret_done = request->done;
    jq_copy_read_fini(&request->read);
    keep_spare(store, request);
    /* What was given away is the caller's now. */
    request->done.jobs = NULL;
    request->done.memory = NULL;
    return true;
}

void jq_store_done_fini(struct jq_store_done *done)
{
    struct jq_copy copy = { .jobs = done->jobs, .chunks = done->memory };

    jq_copy_fini(&copy);
    done->jobs = NULL;
    done->memory = NULL;
    done->count = 0;
}
