/* SPDX-License-Identifier: MIT
 *
 * figures.h - what jobq bench has measured: samples, one of each run, and what is said of them.
 * Pure. */
#ifndef JQ_CLI_FIGURES_H
#define JQ_CLI_FIGURES_H

#include <stdbool.h>
#include <stddef.h>

enum { JQ_RUNS_MAX = 100 };

struct jq_figure {
    const char *name;  /* stable, for JSON */
    const char *title; /* for people */
    const char *unit;
    double samples[JQ_RUNS_MAX];
    size_t count; /* of them */
};

/* Past JQ_RUNS_MAX nothing happens. */
void jq_figure_add(struct jq_figure *figure, double sample);

struct jq_spread {
    double median, least, most;
};
struct jq_spread jq_figure_spread(const struct jq_figure *figure); /* of no sample: zeros */

/* Sorts, and returns the one that `percent` of them are below; 0 for none. */
double jq_percentile(double *samples, size_t count, unsigned percent);

/* `name` is in a list that is separated by commas. */
bool jq_in_list(const char *list, const char *name);

#endif
