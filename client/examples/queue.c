/* SPDX-License-Identifier: MIT
 *
 * queue.c - a queue that programs on any machine share: some put lines into it, others take them.
 *
 *     cc queue.c $(pkg-config --cflags --libs jobq) -o queue
 *     seq 100 | ./queue put lines &
 *     ./queue get lines; ./queue get lines     # in other terminals, on other machines
 *     ./queue join lines                       # until each line has been dealt with
 *
 * At most 8 lines wait in it: who puts more waits for those who take. A line whose taker dies goes
 * to another. The broker is the one of JOBQ_URL, or the default endpoint's. */
#include <stdio.h>
#include <string.h>

#include <jobq/jobq.h>

enum { MAXSIZE = 8, LINE_MAX_BYTES = 4096, PATIENCE_MS = 1000, EXIT_JOBQ = 125 };

static int fail(struct jobq_client *client, const char *what, int error)
{
    const char *detail = jobq_errdetail(client);

    (void)fprintf(stderr, "queue: %s: %s%s%s\n", what, jobq_strerror(error), *detail ? ": " : "",
                  detail);
    return error;
}

static int put_lines(struct jobq_client *client, struct jobq_queue *queue)
{
    char line[LINE_MAX_BYTES];

    while (fgets(line, sizeof line, stdin)) {
        const int error = jobq_put(queue, line, strcspn(line, "\n"), 0, -1);
        if (error)
            return fail(client, "put", error);
    }
    return 0;
}

/* Until nothing has come for a while. */
static int get_lines(struct jobq_client *client, struct jobq_queue *queue)
{
    for (;;) {
        struct jobq_item *item = NULL;
        size_t size = 0;
        int error = jobq_get(queue, PATIENCE_MS, &item);
        if (error == JOBQ_EEMPTY || error == JOBQ_ECLOSED)
            return 0;
        if (error)
            return fail(client, "get", error);
        const void *line = jobq_item_data(item, &size);
        (void)printf("%.*s\n", (int)size, (const char *)line);
        error = jobq_task_done(&item); /* before that, it would go to another if we died */
        if (error) {
            jobq_item_free(&item);
            return fail(client, "task_done", error);
        }
    }
}

static int run(struct jobq_client *client, const char *verb, const char *name)
{
    struct jobq_queue *queue = NULL;

    int error = jobq_queue_declare(client, name, "fifo", MAXSIZE);
    if (!error)
        error = jobq_queue_open(client, name, NULL, &queue);
    if (error)
        return fail(client, name, error);
    if (strcmp(verb, "put") == 0)
        error = put_lines(client, queue);
    else if (strcmp(verb, "get") == 0)
        error = get_lines(client, queue);
    else if ((error = jobq_join(queue, -1)))
        (void)fail(client, "join", error);
    jobq_queue_free(&queue);
    return error;
}

int main(int argc, char **argv)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client = NULL;

    if (argc != 3 ||
        (strcmp(argv[1], "put") && strcmp(argv[1], "get") && strcmp(argv[1], "join"))) {
        (void)fprintf(stderr, "usage: queue put|get|join NAME\n");
        return EXIT_JOBQ;
    }
    options.name = "queue";
    options.timeout_ms = 5000;
    int error = jobq_open(&options, &client);
    if (error)
        (void)fail(NULL, "open", error);
    else
        error = run(client, argv[1], argv[2]);
    jobq_close(&client);
    return error ? EXIT_JOBQ : 0;
}
