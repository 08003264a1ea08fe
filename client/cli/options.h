/* SPDX-License-Identifier: MIT
 *
 * options.h - flags on the command line, from tables: what a flag is called, what it takes, where
 * its value goes and what --help says of it. Pure: nothing is printed, opened or allocated but the
 * lists; values point into argv. */
#ifndef JQ_CLI_OPTIONS_H
#define JQ_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/err.h"

enum jq_flag_kind {
    JQ_FLAG_BOOL,     /* bool: true when it is there */
    JQ_FLAG_STRING,   /* const char * */
    JQ_FLAG_INT,      /* int64_t within [min, max] */
    JQ_FLAG_SIZE,     /* int64_t bytes; K M G */
    JQ_FLAG_DURATION, /* int64_t ms */
    JQ_FLAG_LIST,     /* struct jq_words: may be given again and again */
    JQ_FLAG_PAIRS,    /* the same, shared by flags whose order counts: each adds its name first */
};

struct jq_flag {
    const char *name; /* without the dashes */
    char letter;      /* or 0 */
    enum jq_flag_kind kind;
    size_t offset; /* of the value in the struct of its table */
    int64_t min, max;
    const char *value; /* what --help calls the value */
    const char *help;
};

struct jq_flags {
    const struct jq_flag *list;
    size_t count;
    void *values;
};

/* Words of argv, in order; borrowed. A zeroed struct is empty. */
struct jq_words {
    char **list;
    size_t count, capacity;
};
JQ_MUST_USE enum jq_err jq_words_add(struct jq_words *words, char *word);
void jq_words_fini(struct jq_words *words);

enum jq_word_rule {
    JQ_WORDS_MIXED, /* flags may stand before, between and after the words, until "--" */
    JQ_WORDS_FIRST, /* the first word ends the flags, and all from there on is words */
};

/* Reads argv[0 .. argc) with the flags of `tables`; a name in two of them is the first's.
 * *ret_words gets what is no flag. EINVAL with detail, ENOMEM. The caller frees *ret_words and the
 * lists among the values, in any case. */
struct jq_options {
    const struct jq_flags *tables;
    size_t table_count;
    enum jq_word_rule rule;
};
JQ_MUST_USE enum jq_err jq_options_parse(const struct jq_options *options, int argc, char **argv,
                                         struct jq_words *ret_words, struct jq_detail *ret_detail);

void jq_flags_help(const struct jq_flag *flags, size_t count, FILE *out);

/* The one of `names` that is nearest to `word`, or NULL when none is near. */
const char *jq_nearest(const char *word, const char *const *names, size_t count);

/* Decimal, all of `text`, nothing else; EINVAL. */
JQ_MUST_USE enum jq_err jq_parse_u64(const char *text, size_t size, uint64_t *ret);

#endif
