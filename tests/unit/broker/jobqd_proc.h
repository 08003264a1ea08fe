/* SPDX-License-Identifier: MIT
 *
 * jobqd_proc.h - a real jobqd for a test: started in a directory of its own, spoken to over a raw
 * DEALER. Every wait has a bound and fails the test; the teardown kills what is left and removes
 * the directory. JOBQD_PROGRAM is the built binary's path. */
#ifndef JQ_TEST_JOBQD_PROC_H
#define JQ_TEST_JOBQD_PROC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <setjmp.h>
#include <sys/types.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/msg.h"

enum { JOBQD_ARGS_MAX = 24, JOBQD_WAIT_MS = 20000, JOBQD_WIRES_MAX = 8 };

struct jobqd {
    char directory[40];
    char url[96]; /* as given, then as READY told it */
    char store[96];
    char log[96]; /* its stderr */
    pid_t pid;    /* 0: does not run */
    void *context;
    void *
        sockets[JOBQD_WIRES_MAX]; /* of open wires: a test that fails leaves them to the teardown */
};

/* cmocka fixtures: *state is a struct jobqd. */
int jobqd_setup(void **state);
int jobqd_teardown(void **state);

/* Starts it on d->url and d->store with more flags (NULL-terminated), and waits for READY. */
void jobqd_start(struct jobqd *d, const char *const *flags);
/* The same, but it must refuse: returns its exit status, its words are in d->log. `as_given`: the
 * flags are all there is. */
int jobqd_refused(struct jobqd *d, const char *const *flags, bool as_given);
int jobqd_end(struct jobqd *d, int signal_number); /* exit status, or 128 + signal */
int jobqd_wait(struct jobqd *d);                   /* the same, sending nothing */
/* What it has said so far; static memory. */
const char *jobqd_log(const struct jobqd *d);

/* ---- a peer ---- */

struct wire {
    void *socket;
    void **slot;          /* in jobqd.sockets */
    struct jq_buf frame;  /* the last one received */
    uint64_t correlation; /* of the last one sent */
    uint64_t session;
};

void wire_open(struct jobqd *d, struct wire *wire, uint64_t session);
void wire_close(struct wire *wire);
void wire_send(struct wire *wire, struct jq_msg *msg);
void wire_raw(struct wire *wire, const void *data, size_t size, bool more);
/* The next message, which must be a `tag`; hints and PONGs that answer something are not skipped.
 */
void wire_expect(struct wire *wire, enum jq_tag tag, struct jq_msg *ret);
bool wire_silent(struct wire *wire); /* nothing is there right now */

void wire_hello(struct wire *wire, enum jq_role role, unsigned slots, struct jq_msg *ret_welcome);
/* One job of handler noop with this payload; its request number becomes the correlation. */
void wire_submit(struct wire *wire, uint64_t number, const char *payload, uint64_t flags);

#endif
