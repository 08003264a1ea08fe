/* SPDX-License-Identifier: MIT
 *
 * settings.c - the command line of jobq_bench: its flags in one table, --help from it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

enum { DIRECTORY_MAX = 40 };

static const char *const durabilities[] = { "full", "relaxed", "memory" };
static const char *const curves[] = { "queues", "workers", "producers", "payload", "backlog" };

static const struct {
    const char *name, *help;
} workloads[] = {
#define WORKLOAD(name, help) { #name, help },
#include "tests/bench/workloads.def"
};
enum { WORKLOAD_COUNT = sizeof workloads / sizeof *workloads };

enum kind { NUMBER, TEXT, SWITCH, HELP };

struct flag {
    const char *name, *value;
    enum kind kind;
    size_t offset;
    long least, most;
    const char *help;
};

#define AT(member) offsetof(struct bench_settings, member)
static const struct flag flags[] = {
    { "jobs", "N", NUMBER, AT(jobs), 1, 100000000, "jobs of a throughput workload; 200000" },
    { "runs", "N", NUMBER, AT(runs), 1, RUNS_MAX, "each workload and limit so often; 5" },
    { "producers", "N", NUMBER, AT(producers), 1, PRODUCERS_MAX,
      "threads that submit, each a client of its own; 1" },
    { "durability", "WORD", TEXT, AT(durability), 0, 0,
      "of the queues: full, relaxed or memory; full" },
    { "backlog", "N", NUMBER, AT(backlog), 1, 100000000, "items queued in backlog; 1000000" },
    { "queues", "N", NUMBER, AT(queues), 1, QUEUES_MAX,
      "queues in many; 10000 of the 16384 that a broker has" },
    { "sessions", "N", NUMBER, AT(sessions), 1, 8192, "workers in many, over the wire; 1000" },
    { "idle-workers", "N", NUMBER, AT(idle_workers), 1, WORKERS_MAX, "jobq-workers in idle; 100" },
    { "idle-seconds", "N", NUMBER, AT(idle_seconds), 1, 3600, "how long idle looks; 10" },
    { "slots", "N", NUMBER, AT(deployment.slots), 1, 8192, "of the worker; 8" },
    { "dir", "DIR", TEXT, AT(deployment.directory), 0, 0, "where stores and sockets are; /tmp" },
    { "memory", NULL, SWITCH, AT(deployment.memory), 0, 0, "a broker without a store" },
    { "only", "LIST", TEXT, AT(only), 0, 0, "these workloads, separated by commas" },
    { "curve", "WHAT", TEXT, AT(curve), 0, 0,
      "instead: jobs/s against queues, workers, producers, payload or backlog" },
    { "json", NULL, SWITCH, AT(json), 0, 0, "JSON instead of a table; BENCHMARKS.md has its form" },
    { "jobqd", "PATH", TEXT, AT(deployment.jobqd), 0, 0, "the broker; of this build" },
    { "worker", "PATH", TEXT, AT(deployment.worker), 0, 0, "jobq-worker; of this build" },
    { "jobq", "PATH", TEXT, AT(deployment.jobq), 0, 0, "jobq; of this build" },
    { "help", NULL, HELP, 0, 0, 0, "this" },
};
enum { FLAG_COUNT = sizeof flags / sizeof *flags };

const char *bench_durability_name(const struct bench_settings *settings)
{
    return durabilities[settings->durability];
}

/* ---- lists of names ---- */

static bool has(const char *list, const char *name)
{
    const size_t length = strlen(name);

    for (const char *at = list;; at++) {
        const size_t size = strcspn(at, ",");
        if (size == length && memcmp(at, name, size) == 0)
            return true;
        at += size;
        if (!*at)
            return false;
    }
}

bool bench_is_wanted(const struct bench_settings *settings, const char *name)
{
    return !settings->only || has(settings->only, name);
}

static void check_only(const char *list)
{
    char names[512] = "";

    for (size_t i = 0; i < WORKLOAD_COUNT; i++) {
        strcat(names, i ? "," : "");
        strcat(names, workloads[i].name);
    }
    for (const char *at = list;; at++) {
        const size_t size = strcspn(at, ",");
        char word[32] = "";
        memcpy(word, at, size < sizeof word ? size : sizeof word - 1);
        if (!has(names, word))
            bench_fail("--only: \"%s\" is none of %s", word, names);
        at += size;
        if (!*at)
            return;
    }
}

static size_t index_of(const char *flag, const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    bench_fail("--%s: \"%s\" is not known; see --help", flag, word);
}

/* ---- flags ---- */

static void help(void)
{
    fputs(
        "usage: jobq_bench [flags]\n\n"
        "Measures jobqd, jobq-worker and libjobq on this machine, beside what the machine can do\n"
        "without them. Everything is started, and removed, by itself. Figures are medians over\n"
        "the runs, with the least and the most.\n\n"
        "workloads:\n",
        stdout);
    for (size_t i = 0; i < WORKLOAD_COUNT; i++)
        printf("  %-12s %s\n", workloads[i].name, workloads[i].help);
    fputs("\nflags:\n", stdout);
    for (size_t i = 0; i < FLAG_COUNT; i++)
        printf("  --%-12s %-5s %s\n", flags[i].name, flags[i].value ? flags[i].value : "",
               flags[i].help);
    fputs("\n  jobq_bench --only submit,end_to_end --producers 4 --durability relaxed\n"
          "  jobq_bench --only backlog --backlog 10000000 --runs 1\n"
          "  jobq_bench --curve payload --json\n",
          stdout);
    exit(0);
}

static long number(const struct flag *flag, const char *text)
{
    char *end;
    const long value = strtol(text, &end, 10);

    if (*end || end == text || value < flag->least || value > flag->most)
        bench_fail("--%s: \"%s\" is not a number from %ld to %ld", flag->name, text, flag->least,
                   flag->most);
    return value;
}

static void set(struct bench_settings *settings, const struct flag *flag, const char *text)
{
    void *place = (char *)settings + flag->offset;

    if (flag->kind == HELP)
        help();
    else if (flag->kind == SWITCH)
        *(bool *)place = true;
    else if (flag->offset == AT(durability))
        settings->durability = (enum jq_durability)index_of(flag->name, text, durabilities, 3);
    else if (flag->offset == AT(deployment.slots))
        settings->deployment.slots = (int)number(flag, text);
    else if (flag->kind == NUMBER)
        *(long *)place = number(flag, text);
    else
        *(const char **)place = text;
}

void bench_settings_parse(int argc, char **argv, struct bench_settings *settings)
{
    struct option options[FLAG_COUNT + 1] = { { 0 } };
    int option, at;

    for (size_t i = 0; i < FLAG_COUNT; i++)
        options[i] = (struct option){ flags[i].name,
                                      flags[i].value ? required_argument : no_argument, NULL, 1 };
    while ((option = getopt_long(argc, argv, "", options, &at)) != -1) {
        if (option != 1)
            exit(64);
        set(settings, &flags[at], optarg);
    }
    if (optind < argc)
        bench_fail("it takes flags only, see --help");
    if (strlen(settings->deployment.directory) > DIRECTORY_MAX)
        bench_fail("--dir: at most %d bytes", DIRECTORY_MAX);
    if (settings->only)
        check_only(settings->only);
    if (settings->curve)
        (void)index_of("curve", settings->curve, curves, sizeof curves / sizeof *curves);
}
