/* SPDX-License-Identifier: MIT
 *
 * cmd_bench.c - jobq bench: how fast the user's own deployment is, as libjobq sees it, on a scratch
 * queue that is gone afterwards. Threads: main, and the producers of bench_load.c. */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/bench.h"
#include "client/cli/format_json.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"

enum { PING_MS = 2000, WORKER_MS = 1000, PAUSE_MS = 20, BYTES_MAX = 1 << 30 };

struct values {
    int64_t jobs, producers, payload, runs, seconds;
    const char *durability, *only;
};

static const struct jq_flag flags[] = {
    { "jobs", 'n', JQ_FLAG_INT, offsetof(struct values, jobs), 1, 1000000, "N",
      "of each workload and run; 10000" },
    { "producers", 0, JQ_FLAG_INT, offsetof(struct values, producers), 1, JQ_BENCH_PRODUCERS_MAX,
      "N", "connections that submit at the same time; 1" },
    { "payload", 0, JQ_FLAG_SIZE, offsetof(struct values, payload), 0, JQ_PAYLOAD_MAX, "SIZE",
      "of each job and item; 100" },
    { "durability", 0, JQ_FLAG_STRING, offsetof(struct values, durability), 0, 0, "WORD",
      "of the scratch queue: full, relaxed or memory; full" },
    { "runs", 0, JQ_FLAG_INT, offsetof(struct values, runs), 1, JQ_RUNS_MAX, "N",
      "each workload so often, for median and spread; 5" },
    { "seconds", 0, JQ_FLAG_INT, offsetof(struct values, seconds), 1, 86400, "N",
      "nothing is measured longer than this; 60" },
    { "only", 0, JQ_FLAG_STRING, offsetof(struct values, only), 0, 0, "LIST",
      "of enqueue,end_to_end,latency,items,item_latency; all" },
};

static const struct values defaults = {
    .jobs = 10000, .producers = 1, .payload = 100, .runs = 5, .seconds = 60, .durability = "full"
};

/* ---- the time, and signals ---- */

static _Atomic int signal_number; /* that came first; without a lock, so a handler may */

/* The first asks for an end, and the queue is removed; the second is not told twice. */
static void take_signal(int number)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&signal_number, &none, number))
        _exit(128 + number);
}

static void start_signals(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action = { .sa_handler = take_signal }, old;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
}

int jq_bench_signal(void)
{
    return atomic_load(&signal_number);
}

jq_ms jq_bench_left(const struct jq_bench *b)
{
    const jq_ms now = jq_clock_now().mono;

    return now < b->end_at ? b->end_at - now : 0;
}

jq_ms jq_bench_slice(const struct jq_bench *b)
{
    return jq_bench_signal() ? 0 : jq_ms_min(jq_bench_left(b), JQ_BENCH_SLICE_MS);
}

int jq_bench_over(const struct jq_bench *b)
{
    if (jq_bench_signal())
        return 128 + jq_bench_signal();
    return jq_bench_left(b) == 0 ? JQ_EXIT_TIMEDOUT : 0;
}

int jq_bench_failed(const struct jq_bench *b, int error, const char *what)
{
    const bool is_time = error == JOBQ_ETIMEDOUT || error == JOBQ_EEMPTY || error == JOBQ_EUNREACH;
    const int over = jq_bench_over(b);

    if (over && is_time && jobq_ping(b->cli->client, PING_MS, NULL) == 0)
        return over;
    return jq_cli_fail(b->cli, error, "%s: %s", what, jobq_strerror(error));
}

/* ---- what is asked for, and what is there ---- */

static int read_durability(struct jq_bench *b, const char *word)
{
    for (uint64_t i = JQ_DURABILITY_FULL; i <= JQ_DURABILITY_MEMORY; i++) {
        b->durability_name = jq_durability_name(i);
        b->durability = (enum jq_durability)i;
        if (strcmp(word, b->durability_name) == 0)
            return 0;
    }
    return jq_cli_usage(b->cli, b->cli->command,
                        "--durability: '%s' is none of full, relaxed, memory", word);
}

static int check_only(const struct jq_bench *b)
{
    char names[128] = "";

    for (size_t i = 0; i < jq_bench_workload_count; i++) {
        const size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i ? "," : "",
                 jq_bench_workloads[i].name);
    }
    for (const char *at = b->only; at; at = *at ? at + 1 : NULL) {
        const int size = (int)strcspn(at, ",");
        char word[32];
        snprintf(word, sizeof word, "%.*s", size, at);
        if (!jq_in_list(names, word))
            return jq_cli_usage(b->cli, b->cli->command, "--only: '%s' is none of %s", word, names);
        at += size;
        if (!*at)
            break;
    }
    return 0;
}

static int read_values(struct jq_bench *b, const struct values *v)
{
    b->jobs = v->jobs;
    b->producers = v->producers;
    b->payload_bytes = v->payload;
    b->runs = v->runs;
    b->seconds = v->seconds;
    b->only = v->only;
    if (b->cli->format == JQ_FORMAT_ID)
        return jq_cli_usage(b->cli, b->cli->command, "bench has no -o id");
    if (v->payload > BYTES_MAX / v->jobs)
        return jq_cli_usage(b->cli, b->cli->command,
                            "--jobs times --payload: more than %d bytes are not queued at a time",
                            BYTES_MAX);
    const int status = read_durability(b, v->durability);
    return status ? status : check_only(b);
}

static int count_workers(struct jq_bench *b)
{
    const struct jq_msg msg = { .tag = JQ_MSG_STATS };
    struct jq_worker_info worker;
    struct jq_answer answer;
    const int status = jq_cli_request(b->cli, &msg, JQ_MSG_STATISTICS, &answer);

    if (status != 0)
        return status;
    b->workers = 0;
    for (struct jq_reader r = jq_records_reader(answer.msg.u.statistics.workers);
         jq_worker_info_next(&r, &worker);)
        b->workers += worker.draining == 0;
    jq_answer_fini(&answer);
    return 0;
}

/* A broker that was started for us has its worker a moment later. */
static int find_workers(struct jq_bench *b)
{
    const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };
    int status = count_workers(b);

    for (int ms = 0; status == 0 && b->workers == 0 && ms < WORKER_MS; ms += PAUSE_MS) {
        nanosleep(&pause, NULL);
        status = count_workers(b);
    }
    return status;
}

static bool is_wanted(const struct jq_bench *b, const struct jq_bench_workload *workload)
{
    return (!b->only || jq_in_list(b->only, workload->name)) &&
           (!workload->needs_worker || b->workers > 0);
}

static int check_workers(const struct jq_bench *b)
{
    size_t wanted = 0;

    for (size_t i = 0; i < jq_bench_workload_count; i++)
        wanted += is_wanted(b, &jq_bench_workloads[i]);
    if (wanted == 0)
        return jq_cli_fail(b->cli, JQ_ESTATE,
                           "no worker is there: nothing of this can be measured");
    if (b->workers == 0)
        jq_cli_notice(b->cli, "no worker is there: only what needs none is measured");
    return 0;
}

/* ---- measuring ---- */

static int run_all(struct jq_bench *b)
{
    int status = 0;

    for (int64_t run = 0; status == 0 && run < b->runs; run++) {
        status = jq_bench_ping(b);
        for (size_t i = 0; status == 0 && i < jq_bench_workload_count; i++)
            if (is_wanted(b, &jq_bench_workloads[i]))
                status = jq_bench_workloads[i].run(b);
    }
    return status;
}

static int measure(struct jq_bench *b)
{
    b->payload = jq_alloc_zero((size_t)b->payload_bytes + 1, 1);
    if (!b->payload)
        return jq_cli_fail(b->cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    memset(b->payload, 'p', (size_t)b->payload_bytes);
    start_signals();
    b->end_at = jq_ms_add(jq_clock_now().mono, b->seconds * 1000);
    int status = jq_bench_open(b);
    if (status == 0)
        status = run_all(b);
    const int left_behind = jq_bench_close(b);
    jq_free(b->payload);
    return left_behind ? left_behind : status;
}

/* ---- telling ---- */

static void print_number(struct jq_table *table, double value)
{
    jq_text_add(&table->text, "%.*f", value < 100 ? 1 : 0, value);
    jq_table_cell(table, JQ_PLAIN);
}

static bool print_table(const struct jq_bench *b, const char *software)
{
    static const struct jq_column columns[] = {
        { "MEASURED", false }, { "MEDIAN", true }, { "LEAST", true },
        { "MOST", true },      { "RUNS", true },   { "UNIT", false },
    };
    struct jq_table table;

    printf("%s, %s, %zu worker%s: %" PRId64 " jobs of %" PRId64 " bytes, %" PRId64
           " producer%s, durability %s\n\n",
           b->cli->url, software, b->workers, b->workers == 1 ? "" : "s", b->jobs, b->payload_bytes,
           b->producers, b->producers == 1 ? "" : "s", b->durability_name);
    jq_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < JQ_BENCH_FIGURES; i++) {
        const struct jq_figure *figure = &b->figures[i];
        const struct jq_spread spread = jq_figure_spread(figure);
        if (figure->count == 0)
            continue;
        jq_table_text(&table, jq_view_str(figure->title));
        print_number(&table, spread.median);
        print_number(&table, spread.least);
        print_number(&table, spread.most);
        jq_table_number(&table, (long long)figure->count);
        jq_table_text(&table, jq_view_str(figure->unit));
    }
    const bool fine = jq_table_print(&table, stdout, b->cli->colours, 0);
    jq_table_fini(&table);
    return fine;
}

static bool print_json(const struct jq_bench *b, const char *software)
{
    struct jq_json_object *object = jq_json_open();

    jq_json_text(object, "url", b->cli->url);
    jq_json_text(object, "software", software);
    jq_json_number(object, "workers", (int64_t)b->workers);
    jq_json_number(object, "jobs", b->jobs);
    jq_json_number(object, "payload_bytes", b->payload_bytes);
    jq_json_number(object, "producers", b->producers);
    jq_json_text(object, "durability", b->durability_name);
    jq_json_number(object, "runs", b->runs);
    jq_json_figures(object, "figures", b->figures, JQ_BENCH_FIGURES);
    return jq_json_close(object, stdout);
}

/* Fewer runs than were asked for are told; none of something is a failure. */
static int tell(const struct jq_bench *b, int status)
{
    struct jq_broker_said said = { .software = "" };
    const bool is_json = b->cli->format != JQ_FORMAT_TABLE;

    (void)jq_client_broker(b->cli->client, &said);
    if (!(is_json ? print_json(b, said.software) : print_table(b, said.software)))
        return jq_cli_fail(b->cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    if (status == 0)
        return 0;
    jq_cli_fail(b->cli, JQ_ETIMEDOUT, "after %" PRId64 " s not all runs were over", b->seconds);
    return status;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct jq_bench *b = jq_alloc_zero(1, sizeof *b);

    (void)words;
    if (!b)
        return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    b->cli = cli;
#define FIGURE(NAME, text, label, what) \
    b->figures[JQ_BENCH_##NAME] = (struct jq_figure){ .name = text, .title = label, .unit = what };
#include "client/cli/bench_figures.def"
    int status = read_values(b, values);
    if (status == 0)
        status = jq_cli_connect(cli);
    if (status == 0)
        status = find_workers(b);
    if (status == 0)
        status = check_workers(b);
    if (status == 0) {
        status = measure(b);
        if (status == 0 || status == JQ_EXIT_TIMEDOUT)
            status = tell(b, status);
    }
    jq_free(b);
    return status;
}

const struct jq_command jq_cmd_bench = {
    .name = "bench",
    .synopsis = "[flags]",
    .summary = "how fast this deployment is",
    .notes =
        "Measures the broker and the workers that are there, through the client library, as a\n"
        "program would use them: a load beside what else they do. Its queue, bench-XXXXXXXX, is\n"
        "removed at the end, after INT, TERM and HUP, too. Figures are medians over the runs,\n"
        "with the least and the most. Without a worker only items are measured. Exit codes:\n"
        "1 nothing could be measured, 3 no broker, 124 --seconds were over before all runs.\n"
        "\n"
        "  jobq bench\n"
        "  jobq bench --jobs 100000 --producers 4 --durability relaxed --only enqueue -o json\n",
    .flags = flags,
    .flag_count = JQ_FLAG_COUNT(flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .has_codes = true,
    .run = run,
};
