/* SPDX-License-Identifier: MIT
 *
 * replay.c - a main for a fuzz target without libFuzzer: every file named, or in a folder named, is
 * run as it is, then a number of times with a few bytes changed, cut or doubled, by a fixed seed.
 * So ordinary compilers and their sanitizers see the corpus too. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20, MUTANTS = 50 };

static size_t files;

static size_t mutate(struct jq_rng *rng, uint8_t *bytes, size_t size)
{
    for (uint64_t n = jq_rng_below(rng, 4) + 1; n && size; n--) {
        const size_t at = (size_t)jq_rng_below(rng, size);
        const size_t run = (size_t)jq_rng_below(rng, size - at) + 1;
        switch (jq_rng_below(rng, 4)) {
        case 0:
            bytes[at] = (uint8_t)jq_rng_next(rng);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1u << jq_rng_below(rng, 8));
            break;
        case 2:
            size = at;
            break;
        default:
            if (size + run <= INPUT_MAX) {
                memmove(bytes + at + run, bytes + at, size - at);
                size += run;
            }
        }
    }
    return size;
}

/* A block of exactly this size, so that a sanitizer sees what is read past it. */
static void run_once(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        abort();
    if (size)
        memcpy(copy, bytes, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path)
{
    static uint8_t original[INPUT_MAX], changed[INPUT_MAX];
    struct jq_rng rng;
    FILE *file = fopen(path, "rbe");

    if (!file) {
        perror(path);
        return 1;
    }
    const size_t size = fread(original, 1, sizeof original, file);
    (void)fclose(file);
    files++;
    run_once(original, size);
    jq_rng_init(&rng, size);
    for (int i = 0; i < MUTANTS; i++) {
        memcpy(changed, original, size);
        run_once(changed, mutate(&rng, changed, size));
    }
    return 0;
}

static int run_folder(const char *path)
{
    struct dirent **names = NULL;
    const int count = scandir(path, &names, NULL, alphasort);
    int status = 0;

    if (count < 0) {
        perror(path);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        if (names[i]->d_name[0] != '.' &&
            (size_t)snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name) < sizeof file)
            status |= run_file(file);
        free(names[i]);
    }
    free(names);
    return status;
}

int main(int argc, char **argv)
{
    int status = 0;

    for (int i = 1; i < argc; i++) {
        struct stat found;
        if (stat(argv[i], &found) == 0 && S_ISDIR(found.st_mode))
            status |= run_folder(argv[i]);
        else
            status |= run_file(argv[i]);
    }
    printf("%zu files, each as it is and changed %d times\n", files, MUTANTS);
    return files == 0 ? 1 : status;
}
