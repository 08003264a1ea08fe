/* SPDX-License-Identifier: MIT
 *
 * stream.h - what a job has written, copied to a descriptor byte for byte, as it comes or as it was
 * kept. Bytes that were dropped in the middle are told of on standard error. */
#ifndef JQ_CLI_STREAM_H
#define JQ_CLI_STREAM_H

#include <pthread.h>

#include "client/cli/cli.h"

enum { JQ_STDOUT = 1, JQ_STDERR = 2 };

struct jq_stream {
    struct jq_cli *cli; /* connected; only read */
    uint64_t id;
    uint64_t stream; /* JQ_STDOUT or JQ_STDERR */
    uint64_t offset; /* of the next byte; moves */
    int fd;
    bool follow;               /* to the end of the job, not of what there is now */
    void (*failed)(void *arg); /* may be NULL: called once when fd takes no more */
    void *arg;
    int status; /* of the copy: 0 or an exit code */
    pthread_t thread;
};

/* Returns and sets stream->status. Any thread. */
int jq_stream_copy(struct jq_stream *stream);
/* The same in a thread of its own, until jq_stream_join. An exit code when none can be had. */
int jq_stream_start(struct jq_stream *stream);
int jq_stream_join(struct jq_stream *stream); /* its status */

/* How much the job has written so far. */
int jq_stream_total(const struct jq_stream *stream, uint64_t *ret_total);

#endif
