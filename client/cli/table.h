/* SPDX-License-Identifier: MIT
 *
 * table.h - rows of cells as aligned text. Pure but for the printing. */
#ifndef JQ_CLI_TABLE_H
#define JQ_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/base/buf.h"

struct jq_column {
    const char *title;
    bool right; /* numbers */
};

enum jq_colour { JQ_PLAIN, JQ_RED, JQ_GREEN, JQ_YELLOW, JQ_BLUE, JQ_DIM };

struct jq_table {
    const struct jq_column *columns;
    size_t column_count;
    struct jq_buf cells; /* of struct cell; row by row */
    struct jq_buf text;
    size_t start; /* of the cell being written, in text */
};

void jq_table_init(struct jq_table *table, const struct jq_column *columns, size_t count);
void jq_table_fini(struct jq_table *table);
/* Write a cell into table->text, then end it. */
void jq_table_cell(struct jq_table *table, enum jq_colour colour);
void jq_table_text(struct jq_table *table, struct jq_view text); /* cleaned */
void jq_table_number(struct jq_table *table, long long number);
/* The last column is cut to `width` columns of the terminal; 0: nothing is. False: out of memory.
 */
bool jq_table_print(const struct jq_table *table, FILE *out, bool colours, size_t width);

#endif
