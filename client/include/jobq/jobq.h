/* SPDX-License-Identifier: MIT
 *
 * jobq.h - the client library of jobq, a durable distributed job queue.
 *
 * Results are 0 (or a count) or a negative JOBQ_E... number. Output parameters are last and
 * untouched on error. Timeouts are milliseconds: -1 for ever, 0 do not block, less is JOBQ_EINVAL.
 *
 * Threads: a client handle may be used from many threads at once; whoever waits drives the
 * connection for all. Futures may be used by one thread at a time, any thread. The library starts
 * no threads, installs no signal handlers, has no globals, and never prints, exits or aborts.
 * After fork() the child's use of a handle returns JOBQ_EFORKED; only close and free are allowed.
 *
 * Reconnects and resends happen inside: a submit is exactly once, whatever breaks in between. */
#ifndef JOBQ_JOBQ_H
#define JOBQ_JOBQ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JOBQ_API __attribute__((visibility("default")))

#define JOBQ_VERSION_MAJOR 0
#define JOBQ_VERSION_MINOR 1
#define JOBQ_VERSION_PATCH 0

/* Wire-stable; the same list as proto/errors.def. */
enum {
    JOBQ_OK = 0,
    JOBQ_EEMPTY = -1,
    JOBQ_EFULL = -2,
    JOBQ_ECLOSED = -3,
    JOBQ_ETIMEDOUT = -4,
    JOBQ_ENOENT = -5,
    JOBQ_EEXIST = -6,
    JOBQ_EINVAL = -7,
    JOBQ_EALREADY = -8,
    JOBQ_EFENCED = -9,
    JOBQ_EFAILED = -10,
    JOBQ_ECANCELLED = -11,
    JOBQ_EWORKERLOST = -12,
    JOBQ_EMSGSIZE = -13,
    JOBQ_ENOSPC = -14,
    JOBQ_ENOMEM = -15,
    JOBQ_EFORKED = -16,
    JOBQ_EAUTH = -17,
    JOBQ_EVERSION = -18,
    JOBQ_EUNREACH = -19,
    JOBQ_EPROTO = -20,
    JOBQ_EBUSY = -21,
    JOBQ_EGONE = -22,
    JOBQ_EEXPIRED = -23,
    JOBQ_ESKIPPED = -24,
    JOBQ_ESTATE = -25,
    JOBQ_EINTR = -26,
    JOBQ_EIO = -27,
    JOBQ_ECORRUPT = -28,
    JOBQ_ENOHELLO = -29,
    JOBQ_ELOCKED = -30,
    JOBQ_EUNKNOWN = -31,
};

struct jobq_client;
struct jobq_future;
struct jobq_queue;
struct jobq_item;

/* States of a job, as jobq_result.state. */
enum {
    JOBQ_BLOCKED = 0,
    JOBQ_DELAYED = 1,
    JOBQ_READY = 2,
    JOBQ_RUNNING = 3,
    JOBQ_SUCCEEDED = 4,
    JOBQ_FAILED = 5,
    JOBQ_CANCELLED = 6,
    JOBQ_EXPIRED = 7,
    JOBQ_SKIPPED = 8,
};

struct jobq_options {
    size_t size;        /* sizeof(struct jobq_options); newer fields count as zero */
    const char *url;    /* NULL: JOBQ_URL, else the per-user default endpoint */
    const char *name;   /* shown in listings; NULL: the program's name */
    int64_t timeout_ms; /* how long jobq_open waits for the broker's WELCOME: 0 does not wait
                           (requests sent meanwhile are delivered later), -1 for ever */
};
#define JOBQ_OPTIONS_INIT                          \
    {                                              \
        sizeof(struct jobq_options), NULL, NULL, 0 \
    }

/* jobq_job.flags */
#define JOBQ_JOB_DISCARD (UINT64_C(1) << 0) /* keep nothing of it once it has succeeded */
#define JOBQ_JOB_TIE (UINT64_C(1) << 1)     /* cancel it when this client is lost */
#define JOBQ_JOB_STRICT (UINT64_C(1) << 16) /* a key that exists is JOBQ_EEXIST */

struct jobq_job {
    size_t size;         /* sizeof(struct jobq_job) */
    const char *queue;   /* NULL: "default" */
    const char *handler; /* "exec", "noop", ...; NULL: "exec" */
    const void *payload; /* the handler's bytes: jobq_args_pack; for exec: jobq_exec_pack */
    size_t payload_size;
    const char *title; /* shown in listings; NULL: the handler's name */
    const char *key;   /* at most one job ever has this key; NULL: none */
    int32_t priority;  /* lower runs first */
    uint64_t flags;
    const struct jobq_job_options *options; /* NULL: none. Copied */
    int64_t put_timeout_ms; /* how long a full queue may keep it waiting for a place; 0: EFULL at
                               once, -1: for ever */
};
#define JOBQ_JOB_INIT                                                            \
    {                                                                            \
        sizeof(struct jobq_job), NULL, NULL, NULL, 0, NULL, NULL, 0, 0, NULL, -1 \
    }

/* jobq_dependency.kind */
enum {
    JOBQ_AFTER_OK = 0,   /* the other job has succeeded */
    JOBQ_AFTER_ANY = 1,  /* it has ended */
    JOBQ_AFTER_FAIL = 2, /* it has ended and not succeeded */
};
struct jobq_dependency {
    uint64_t id;
    int kind; /* JOBQ_AFTER_...; not fulfilled: the job is skipped */
};

struct jobq_limit {
    const char *name;
    uint32_t max; /* at most so many jobs that name it run at a time; 0: as it was set */
};

struct jobq_label {
    const char *name, *value;
};

/* An exit code, or with code -1 a signal. */
struct jobq_ending {
    int64_t code;
    int signal;
};

/* jobq_job_options.unique_while; 0: both */
#define JOBQ_WHILE_QUEUED (UINT64_C(1) << 0)
#define JOBQ_WHILE_RUNNING (UINT64_C(1) << 1)

/* When and beside what a job runs. Bounds: 1,024 dependencies; 16 needs, limits, mutexes; 32
 * labels; 64 endings in each list. */
struct jobq_job_options {
    size_t size;            /* sizeof(struct jobq_job_options) */
    int64_t delay_ms;       /* not before this long after it was submitted */
    int64_t run_at;         /* not before this time: wall clock, ns since 1970; 0: at once */
    int64_t expires_ms;     /* not started this long after its submission: expired; 0: never */
    uint32_t attempts_max;  /* 1: no retry; 0: as the queue says */
    int64_t backoff_ms;     /* before the first retry; 0: as the queue says */
    int64_t backoff_max_ms; /* 0: as the queue says */
    int backoff_fixed;      /* 0: full jitter, doubled with every failure; 1: always backoff_ms */
    const struct jobq_ending *retry_on; /* only these; none: every failure */
    size_t retry_on_count;
    const struct jobq_ending *no_retry_on;
    size_t no_retry_on_count;
    const char *unique; /* a job with this name that is on its way is taken instead of a new one */
    uint64_t unique_while; /* JOBQ_WHILE_... */
    const struct jobq_dependency *after;
    size_t after_count;
    const char *const *needs; /* tags that its worker must have */
    size_t needs_count;
    const struct jobq_limit *limits;
    size_t limits_count;
    const char *const *mutexes; /* granted all or none; held while it runs */
    size_t mutexes_count;
    const struct jobq_label *labels;
    size_t labels_count;
    const char *content_type; /* of the payload; NULL: none */
};
/* All zero but the size; by position, so that C++ takes it, too. */
#define JOBQ_JOB_OPTIONS_INIT                                                                     \
    {                                                                                             \
        sizeof(struct jobq_job_options), 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, \
            NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL                                              \
    }

/* A command as it is to run, byte for byte; there is no shell. */
struct jobq_exec {
    size_t size;             /* sizeof(struct jobq_exec) */
    const char *const *argv; /* NULL-terminated, at least the program */
    const char *const *env;  /* NULL-terminated "NAME=value": the whole environment; NULL: none */
    const char *cwd;         /* NULL: the worker's */
    const void *input;       /* standard input */
    size_t input_size;
    int64_t timeout_ms;    /* TERM after this long; 0: never */
    int64_t kill_after_ms; /* KILL this long after TERM; 0: the worker's setting */
    int64_t output_bytes;  /* kept of each stream; 0: the worker's setting */
    uint64_t flags;        /* JOBQ_EXEC_... */
};
#define JOBQ_EXEC_MERGE (UINT64_C(1) << 0) /* stderr goes where stdout goes */

/* How a job ended. Borrowed from its future, until the future is freed. */
struct jobq_result {
    uint64_t id;
    int state;          /* JOBQ_SUCCEEDED ... */
    int64_t code;       /* exit code of a command, or the handler's */
    int signal;         /* 0: none */
    const char *reason; /* a sentence, or "" */
    const char *worker; /* where it ran, or "" */
    uint64_t attempt;
    int64_t created_at, started_at, ended_at; /* wall clock, ns since 1970 */
    uint64_t wall_us, user_us, system_us;
    uint64_t max_rss_kib;
    uint64_t stdout_bytes, stderr_bytes; /* written; read them with jobq_log_read */
    const void *value;
    size_t value_size;
};

/* NULL options: JOBQ_URL or the default endpoint. EINVAL: bad URL or options; EUNREACH, ETIMEDOUT,
 * EVERSION, EAUTH: only when options->timeout_ms is not 0. */
JOBQ_API int jobq_open(const struct jobq_options *options, struct jobq_client **ret_client);
/* Says BYE (waiting at most 200 ms for the network to take what is queued), frees, and sets *client
 * to NULL. NULL is fine. Free futures first. Jobs go on. */
JOBQ_API void jobq_close(struct jobq_client **client);
/* Static text, never NULL. */
JOBQ_API const char *jobq_strerror(int error);
/* "0.1.0" of the library that is running. */
JOBQ_API const char *jobq_version(void);
/* What the last failed call of this thread on this client said, or "". Borrowed until the next
 * call. */
JOBQ_API const char *jobq_errdetail(struct jobq_client *client);

/* Packs a command as the payload of an "exec" job. Caller frees *ret_payload with
 * jobq_payload_free. EINVAL: no program; EMSGSIZE: over the bounds (the detail is in the text of
 * JOBQ_EMSGSIZE's limit). */
JOBQ_API int jobq_exec_pack(const struct jobq_exec *exec, void **ret_payload, size_t *ret_size);
JOBQ_API void jobq_payload_free(void *payload);

/* Arguments of a handler's job, its payload: positional ones in the order of the calls with `name`
 * NULL, named ones with a name of 1 to 128 bytes, none twice. jobq/handler.h reads them. The first
 * error stays: calls after it, and jobq_args_pack, return it. One thread at a time. EINVAL;
 * EMSGSIZE: more than 16 MiB, 65,536 positional or 1,024 named ones; ENOMEM. Everything is copied.
 */
struct jobq_args;
JOBQ_API int jobq_args_new(struct jobq_args **ret_args);
JOBQ_API void jobq_args_free(struct jobq_args **args); /* NULL is fine; sets *args to NULL */
JOBQ_API int jobq_args_nil(struct jobq_args *args, const char *name);
JOBQ_API int jobq_args_bool(struct jobq_args *args, const char *name, int value);
JOBQ_API int jobq_args_int(struct jobq_args *args, const char *name, int64_t value);
JOBQ_API int jobq_args_uint(struct jobq_args *args, const char *name, uint64_t value);
JOBQ_API int jobq_args_double(struct jobq_args *args, const char *name, double value);
JOBQ_API int jobq_args_str(struct jobq_args *args, const char *name, const char *text, size_t size);
JOBQ_API int jobq_args_bytes(struct jobq_args *args, const char *name, const void *data,
                             size_t size);
/* The elements, or keys and values by turns, are the values that follow, with `name` NULL. At most
 * six within each other. */
JOBQ_API int jobq_args_array(struct jobq_args *args, const char *name, uint32_t elements);
JOBQ_API int jobq_args_map(struct jobq_args *args, const char *name, uint32_t pairs);
/* A value that is msgpack already. EINVAL: it is not one whole object without extensions. */
JOBQ_API int jobq_args_msgpack(struct jobq_args *args, const char *name, const void *data,
                               size_t size);
/* For a job that submits jobs: one more than its own, which jobq_call_info (or the variable
 * JOBQ_DEPTH of a command) says. EINVAL: above 32; so what submits itself comes to an end. */
JOBQ_API int jobq_args_depth(struct jobq_args *args, uint64_t depth);
/* The handler is told to end this long after its start, and the job fails: timed out. 0: never. */
JOBQ_API int jobq_args_timeout(struct jobq_args *args, int64_t timeout_ms);
/* Caller frees *ret_payload with jobq_payload_free. EINVAL: an array or a map is not full. */
JOBQ_API int jobq_args_pack(const struct jobq_args *args, void **ret_payload, size_t *ret_size);

/* Returns when the broker has the job durably. EUNREACH: not a word from it for 30 s; the job stays
 * on its way as if started (below), so do not submit it again. EINVAL, EMSGSIZE (before anything is
 * sent), EEXIST, ENOSPC, ECLOSED. ret_future may be NULL. The inputs are copied. */
JOBQ_API int jobq_submit(struct jobq_client *client, const struct jobq_job *job,
                         struct jobq_future **ret_future);
/* The same, not waiting: jobq_future_id is 0 until the broker has it (jobq_flush waits for that).
 * Submits started close together share frames, which leave when they are full or with the next call
 * that waits, flushes, processes or closes (jobq_flush with timeout 0 sends them now). With 262,144
 * jobs or 64 MiB unanswered it waits for room; EUNREACH then as jobq_submit, and the job was not
 * taken. ret_future may be NULL. */
JOBQ_API int jobq_submit_start(struct jobq_client *client, const struct jobq_job *job,
                               struct jobq_future **ret_future);
/* Starts `count` jobs at once; all or none are accepted in each group of up to 8,192. `ret_futures`
 * has room for `count`, or is NULL: no futures. A bad job refuses all. When later ones cannot be
 * started (ENOMEM, EUNREACH), their futures and the next flush say so. */
JOBQ_API int jobq_submit_many(struct jobq_client *client, const struct jobq_job *jobs, size_t count,
                              struct jobq_future **ret_futures);
/* Waits until every submit started so far is durable. Returns the first error among them since the
 * last flush. */
JOBQ_API int jobq_flush(struct jobq_client *client, int64_t timeout_ms);
/* Submit and result in one: the broker promises nothing until the result is there, which saves a
 * commit. The future is that of a started submit. */
JOBQ_API int jobq_call(struct jobq_client *client, const struct jobq_job *job,
                       struct jobq_future **ret_future);
/* A future for a job that somebody submitted. Unknown ids show when it is waited for: ENOENT. */
JOBQ_API int jobq_future_attach(struct jobq_client *client, uint64_t id,
                                struct jobq_future **ret_future);

/* 0: the job has ended, however. ETIMEDOUT; ENOENT: no such job; EUNREACH only when timeout_ms is
 * not -1 and the broker was never reached. */
JOBQ_API int jobq_future_wait(struct jobq_future *future, int64_t timeout_ms);
/* 0 until known. */
JOBQ_API uint64_t jobq_future_id(const struct jobq_future *future);
/* 0 when --id or `key` found an older job. */
JOBQ_API int jobq_future_created(const struct jobq_future *future);
/* 1: ended, 0: not yet. Never blocks. */
JOBQ_API int jobq_future_done(struct jobq_future *future);
/* As jobq_future_wait, and hands out the result. The return value tells success from failure: 0
 * succeeded, EFAILED, ECANCELLED, EWORKERLOST (quarantined), EEXPIRED, ESKIPPED; *ret_result is set
 * in all of these. */
JOBQ_API int jobq_future_result(struct jobq_future *future, int64_t timeout_ms,
                                const struct jobq_result **ret_result);
/* 0: it will not run, or is being ended; EALREADY: it has ended; ENOENT. `reason` may be NULL. */
JOBQ_API int jobq_future_cancel(struct jobq_future *future, const char *reason);
/* Does not cancel. Sets *future to NULL; NULL is fine. */
JOBQ_API void jobq_future_free(struct jobq_future **future);
/* Waits until one of the futures has ended: *ret_index. EINVAL for count 0. */
JOBQ_API int jobq_wait_any(struct jobq_client *client, struct jobq_future *const *futures,
                           size_t count, int64_t timeout_ms, size_t *ret_index);
/* Waits until all have ended; *ret_failed counts those that did not succeed. */
JOBQ_API int jobq_wait_all(struct jobq_client *client, struct jobq_future *const *futures,
                           size_t count, int64_t timeout_ms, size_t *ret_failed);

/* ---- queues of items: Python's queue.Queue, shared by processes and machines ----
 *
 * A queue is known by its name, to everybody. An item is bytes. jobq_get leases it to the caller;
 * jobq_task_done settles it; an item whose holder is gone comes back to its place. Blocked callers
 * are served in the order in which they came. A queue handle may be used from many threads at once;
 * an item by one at a time, any thread.
 *
 * A lease without lease_ms lasts as long as this client's session: while it is connected, and one
 * lease of the broker (15 s) longer. The client may be busy with the item meanwhile and call
 * nothing; but when the broker is started anew it finds the client again only by its next call. A
 * lease with lease_ms outlives all of that. */

struct jobq_queue_options {
    size_t size;      /* sizeof(struct jobq_queue_options) */
    int64_t lease_ms; /* of each item from jobq_get: it comes back after this long, whoever lives;
                         0: held as long as the session lives */
};
#define JOBQ_QUEUE_OPTIONS_INIT              \
    {                                        \
        sizeof(struct jobq_queue_options), 0 \
    }

/* A handle; nothing is sent, and the queue need not exist: the first put makes it, FIFO and
 * unbounded. `options` may be NULL. EINVAL: not 1 to 128 of A-Z a-z 0-9 . _ - . Free it before the
 * client. */
JOBQ_API int jobq_queue_open(struct jobq_client *client, const char *name,
                             const struct jobq_queue_options *options,
                             struct jobq_queue **ret_queue);
/* NULL is fine; sets *queue to NULL. Items live on. */
JOBQ_API void jobq_queue_free(struct jobq_queue **queue);
/* Makes the queue, or changes its maxsize: "fifo" "lifo" "priority"; 0: unbounded. Returns when
 * that is durable. A smaller maxsize drops nothing. EEXIST: it exists with another order; EINVAL.
 */
JOBQ_API int jobq_queue_declare(struct jobq_client *client, const char *name, const char *order,
                                uint64_t maxsize);

/* Returns when the item is durably in the queue. Waits while the queue is full: EFULL at once with
 * timeout 0, or when the time is over; nothing has happened then. An item that is on its way when
 * the time is over is waited for: its answer comes soon. ECLOSED, ENOSPC; EMSGSIZE before
 * anything is sent. EUNREACH: the broker could not be reached in time; unless jobq_errdetail says
 * that nothing was sent, whether the item is in the queue is not known. Priority: lower first, in a
 * priority queue; ties are FIFO. */
JOBQ_API int jobq_put(struct jobq_queue *queue, const void *data, size_t size, int32_t priority,
                      int64_t timeout_ms);
/* EEMPTY at once with timeout 0, or when the time is over. ECLOSED: closed, and nothing is left.
 * EUNREACH, ENOENT: no such queue, with timeout 0; else it waits for the queue to be made. EBUSY:
 * this client holds 32,768 items. Items outlive their client, which gives them back when it is
 * closed; they can only be freed then. */
JOBQ_API int jobq_get(struct jobq_queue *queue, int64_t timeout_ms, struct jobq_item **ret_item);
/* Borrowed until the item is settled or freed. Never NULL for an item. */
JOBQ_API const void *jobq_item_data(const struct jobq_item *item, size_t *ret_size);
JOBQ_API uint64_t jobq_item_id(const struct jobq_item *item);
/* With the id, what anybody needs to settle it. */
JOBQ_API uint64_t jobq_item_fence(const struct jobq_item *item);
JOBQ_API int32_t jobq_item_priority(const struct jobq_item *item);
/* From 1: how often it was handed out. */
JOBQ_API uint32_t jobq_item_attempt(const struct jobq_item *item);
/* The item has been dealt with. On 0 it is freed and *item NULL; durable. EALREADY: it was settled
 * before; EFENCED: the lease was lost, somebody else has it or will; both free it, too. Other
 * errors leave it as it was. */
JOBQ_API int jobq_task_done(struct jobq_item **item);
/* Gives it back to its place in the queue, after delay_ms. Results as of jobq_task_done. */
JOBQ_API int jobq_nack(struct jobq_item **item, int64_t delay_ms);
/* The lease ends lease_ms from now, also one that was the session's. EFENCED: it has ended. */
JOBQ_API int jobq_extend(struct jobq_item *item, int64_t lease_ms);
/* Gives back what is still held, without waiting for an answer. NULL is fine; sets *item to NULL.
 */
JOBQ_API void jobq_item_free(struct jobq_item **item);
/* The same three by id and fence, from any client. */
JOBQ_API int jobq_settle_done(struct jobq_client *client, uint64_t id, uint64_t fence);
JOBQ_API int jobq_settle_nack(struct jobq_client *client, uint64_t id, uint64_t fence,
                              int64_t delay_ms);
JOBQ_API int jobq_settle_extend(struct jobq_client *client, uint64_t id, uint64_t fence,
                                int64_t lease_ms);

/* Waits until nothing of the queue is unfinished, what is added meanwhile included. ETIMEDOUT, with
 * a timeout of 0 at once when something is; ENOENT: no such queue; EUNREACH: the time is over, and
 * the broker is not there. */
JOBQ_API int jobq_join(struct jobq_queue *queue, int64_t timeout_ms);

/* One instant of a queue. */
struct jobq_queue_info {
    size_t size; /* sizeof(struct jobq_queue_info), set by the caller */
    char order[16];
    uint64_t maxsize;
    uint64_t ready, delayed, blocked, running;
    uint64_t unfinished;                                     /* the sum of these four */
    uint64_t succeeded, failed, cancelled, expired, skipped; /* since it was made */
    uint64_t sequence; /* id of what it accepted last; 0: nothing yet */
    int paused, closed;
    uint64_t getters, putters; /* that wait */
};
/* ENOENT. */
JOBQ_API int jobq_queue_info(struct jobq_queue *queue, struct jobq_queue_info *ret_info);
/* Ready items, as queue.Queue counts; < 0: error. A queue that does not exist is empty. */
JOBQ_API int64_t jobq_qsize(struct jobq_queue *queue);
JOBQ_API int jobq_empty(struct jobq_queue *queue); /* 1, 0 or an error */
JOBQ_API int jobq_full(struct jobq_queue *queue);  /* 1, 0 or an error */

#define JOBQ_CLOSE_NOW 1 /* what has not been taken is cancelled */
/* Puts are ECLOSED from now on, gets when nothing is left. Again: fine. */
JOBQ_API int jobq_queue_close(struct jobq_queue *queue, int flags);
/* Cancels what has not been taken. *ret_count may be NULL. */
JOBQ_API int jobq_queue_purge(struct jobq_queue *queue, uint64_t *ret_count);
JOBQ_API int jobq_queue_pause(struct jobq_queue *queue);
JOBQ_API int jobq_queue_resume(struct jobq_queue *queue);
/* Forgets the queue and what it kept. ESTATE: something is unfinished; ENOENT. */
JOBQ_API int jobq_queue_remove(struct jobq_queue *queue);

/* Round trip to the broker. *ret_us may be NULL. EUNREACH after timeout_ms without an answer. */
JOBQ_API int jobq_ping(struct jobq_client *client, int64_t timeout_ms, int64_t *ret_us);

/* For a host's own loop: poll the fd for reading and call process when it is readable or after
 * `timeout` ms; process never blocks. */
JOBQ_API int jobq_client_fd(struct jobq_client *client);
JOBQ_API int64_t jobq_client_timeout_ms(struct jobq_client *client);
JOBQ_API int jobq_client_process(struct jobq_client *client);

#ifdef __cplusplus
}
#endif

#endif
