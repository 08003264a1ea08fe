/* SPDX-License-Identifier: MIT
 *
 * make_corpus.c - writes the first corpus of fuzz_frame into a folder: the sample of every message,
 * and random ones by a fixed seed. Run by hand when messages are added; what fuzzing finds is put
 * beside by hand. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/sample.h"

enum { RANDOM_FRAMES = 60 };

static void write_frame(const char *folder, const char *kind, size_t number,
                        const struct jq_msg *msg)
{
    struct jq_buf frame = { 0 };
    char path[4096];

    if (jq_msg_encode(msg, &frame) != JQ_OK)
        abort();
    (void)snprintf(path, sizeof path, "%s/%s-%02zu-%s", folder, kind, number,
                   jq_msg_name(msg->tag));
    FILE *file = fopen(path, "wbe");
    if (!file || fwrite(frame.data, 1, frame.size, file) != frame.size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
    jq_buf_fini(&frame);
}

int main(int argc, char **argv)
{
    struct jq_buf arena = { 0 };
    struct jq_msg msg;
    struct jq_rng rng;

    if (argc != 2) {
        fprintf(stderr, "usage: make_corpus FOLDER\n");
        return 64;
    }
    for (size_t i = 0; i < sample_count(); i++) {
        jq_buf_clear(&arena);
        if (sample_message(i, &arena, &msg) != JQ_OK)
            return 1;
        write_frame(argv[1], "sample", i, &msg);
    }
    jq_rng_init(&rng, 11);
    for (size_t i = 0; i < RANDOM_FRAMES; i++) {
        jq_buf_clear(&arena);
        if (jq_msg_random(&rng, &arena, &msg) != JQ_OK)
            return 1;
        write_frame(argv[1], "random", i, &msg);
    }
    jq_buf_fini(&arena);
    return 0;
}
