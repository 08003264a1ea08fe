/* SPDX-License-Identifier: MIT
 *
 * client.h - the handle, and how threads share its socket.
 *
 * One lock guards all. A thread that waits for something and finds nobody in poll goes there
 * itself, without the lock, as the driver: it reads and writes for all. Others sleep on a condition
 * each and are told when what they wait for is there, or when the driver leaves and one of them has
 * to take over. A turn (reading, deciding, sending) is made under the lock by whoever has it, as
 * long as nobody is in poll; who finds a driver there wakes it by an eventfd. */
#ifndef JQ_CLIENT_CLIENT_H
#define JQ_CLIENT_CLIENT_H

#include <pthread.h>
#include <stdbool.h>

#include "client/connection.h"
#include "client/detail.h"
#include "client/fork_mark.h"
#include "client/include/jobq/jobq.h"
#include "client/link.h"
#include "client/pending.h"
#include "proto/base/time.h"
#include "proto/endpoint.h"

enum {
    JQ_PATIENCE_MS = 30000, /* silence of the broker after which calls without a timeout give up */
    JQ_CLOSE_LINGER_MS = 200,
};

struct jobq_client {
    struct jq_fork_mark fork_mark; /* first of all to be asked */
    pthread_mutex_t lock;
    struct jq_dlist waiters; /* struct waiter of client.c */
    bool is_polling;         /* a driver is in poll, without the lock */
    bool is_woken;           /* and was told to come back */
    bool is_watched;         /* a host's loop uses epoll_fd */
    bool is_host_told;       /* host_fd is readable */
    int wake_fd;             /* eventfd: for the driver */
    int host_fd;             /* eventfd: for the host's loop; -1 */
    int epoll_fd;            /* -1 until it is asked for */
    uint64_t session;
    struct jq_link link;
    struct jq_pending pending;
    struct jq_connection *connection;
    struct jq_details details;
    char url[JQ_URL_MAX];
    char name[JQ_NAME_MAX + 1];
    char host[JQ_NAME_MAX + 1];
};

/* 0 and the lock is held, or EFORKED (EINVAL for NULL) and it is not. */
int jq_client_enter(struct jobq_client *client);
/* Gives the lock back; hands the driver's part on when somebody waits. Returns `result`. */
int jq_client_leave(struct jobq_client *client, int result);
/* Notes what this thread will find in jobq_errdetail, and returns err. Lock held. */
int jq_client_fail(struct jobq_client *client, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with bytes, or without any the error's own text. */
int jq_client_fail_view(struct jobq_client *client, int err, struct jq_view text);

/* What a thread waits for; lock held; must not change anything. */
typedef bool jq_ready_fn(void *arg);
/* Drives the connection until `ready`. 0; ETIMEDOUT; VERSION, AUTH ...: the broker refuses this
 * client. Lock held, given up meanwhile. `until` is an instant; in the past: one turn. */
JQ_MUST_USE int jq_client_await(struct jobq_client *client, jq_ready_fn *ready, void *arg,
                                jq_ms until);
/* For calls that have no timeout: EUNREACH after JQ_PATIENCE_MS without a word of the broker. */
JQ_MUST_USE int jq_client_await_patiently(struct jobq_client *client, jq_ready_fn *ready,
                                          void *arg);
/* One request, one answer (jq_request
 * with the lock held), patiently. *ret_answer: the caller's, with `is_repeated`, also on error. */
int jq_client_request(struct jobq_client *client, const struct jq_msg *msg,
                      struct jq_answer *ret_answer);
/* Takes a job that is valid in all its fields, with a future that is not in use yet, or NULL. Waits
 * only when too much is on its way already. On error nothing was taken. Lock held. */
int jq_client_start(struct jobq_client *client, const struct jq_start *what,
                    struct jobq_future *future);
struct jobq_future *jq_client_new_future(struct jobq_client *client); /* NULL: the detail is set */
/* Reads and sends what can be now, if nobody else does. Lock held. */
void jq_client_progress(struct jobq_client *client);
/* There is something new to send: whoever polls must know. Lock held. */
void jq_client_notify(struct jobq_client *client);
/* A call's time is over. The broker is not there now: EUNREACH, with the detail set, else
 * ETIMEDOUT. Lock held. */
int jq_client_late(struct jobq_client *client);
/* The broker was never reached: EUNREACH; else ETIMEDOUT. With the detail set. Lock held. */
int jq_client_timed_out(struct jobq_client *client);

/* For a host's loop: turns as long as they do something. 0, or what the broker refuses us with. */
int jq_client_process(struct jobq_client *client);
int64_t jq_client_timeout_ms(struct jobq_client *client); /* -1: only the fd matters */

/* An instant from a timeout of the public header; false: below -1. */
bool jq_client_until(int64_t timeout_ms, jq_ms *ret_until);

#endif
