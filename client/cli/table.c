/* SPDX-License-Identifier: MIT
 *
 * table.c - see table.h. */
#include "client/cli/table.h"

#include "client/cli/text.h"

enum { COLUMNS_MAX = 16, LAST_MIN = 16 };

struct cell {
    size_t at, size, width;
    enum jq_colour colour;
};

void jq_table_init(struct jq_table *table, const struct jq_column *columns, size_t count)
{
    *table = (struct jq_table){ .columns = columns, .column_count = count };
}

void jq_table_fini(struct jq_table *table)
{
    jq_buf_fini(&table->cells);
    jq_buf_fini(&table->text);
}

void jq_table_cell(struct jq_table *table, enum jq_colour colour)
{
    const size_t size = table->text.size - table->start;
    const struct cell cell = {
        .at = table->start,
        .size = size,
        .width = size ? jq_text_width(jq_view(table->text.data + table->start, size)) : 0,
        .colour = colour,
    };

    jq_buf_append(&table->cells, &cell, sizeof cell);
    table->start = table->text.size;
}

void jq_table_text(struct jq_table *table, struct jq_view text)
{
    jq_text_clean(&table->text, text);
    jq_table_cell(table, JQ_PLAIN);
}

void jq_table_number(struct jq_table *table, long long number)
{
    jq_text_add(&table->text, "%lld", number);
    jq_table_cell(table, JQ_PLAIN);
}

static void print_spaces(FILE *out, size_t count)
{
    fprintf(out, "%*s", (int)count, "");
}

static void print_cell(const struct jq_table *table, const struct cell *cell, FILE *out,
                       bool colours)
{
    static const char *const codes[] = {
        [JQ_RED] = "31", [JQ_GREEN] = "32", [JQ_YELLOW] = "33", [JQ_BLUE] = "34", [JQ_DIM] = "2",
    };
    const bool coloured = colours && cell->colour != JQ_PLAIN && cell->size;

    if (coloured)
        fprintf(out, "\033[%sm", codes[cell->colour]);
    if (cell->size)
        fwrite(table->text.data + cell->at, 1, cell->size, out);
    if (coloured)
        fputs("\033[0m", out);
}

static void print_row(const struct jq_table *table, const struct cell *row, const size_t *widths,
                      FILE *out, bool colours)
{
    for (size_t c = 0; c < table->column_count; c++) {
        const bool last = c + 1 == table->column_count;
        const size_t pad = widths[c] > row[c].width ? widths[c] - row[c].width : 0;
        if (table->columns[c].right)
            print_spaces(out, pad);
        print_cell(table, &row[c], out, colours);
        if (!last)
            print_spaces(out, (table->columns[c].right ? 0 : pad) + 2);
    }
    fputc('\n', out);
}

static void print_head(const struct jq_table *table, const size_t *widths, FILE *out)
{
    for (size_t c = 0; c < table->column_count; c++) {
        const bool last = c + 1 == table->column_count;
        fprintf(out, "%*s%s",
                table->columns[c].right ? (int)widths[c]
                : last                  ? 0
                                        : -(int)widths[c],
                table->columns[c].title, last ? "\n" : "  ");
    }
}

bool jq_table_print(const struct jq_table *table, FILE *out, bool colours, size_t width)
{
    size_t widths[COLUMNS_MAX] = { 0 };
    size_t before_last = 0;
    const size_t columns = table->column_count, last = columns - 1;
    const struct cell *cells = (const void *)table->cells.data;
    const size_t count = table->cells.size / sizeof *cells;

    if (!jq_buf_ok(&table->text) || !jq_buf_ok(&table->cells))
        return false;
    for (size_t c = 0; c < columns; c++)
        widths[c] = strlen(table->columns[c].title);
    for (size_t i = 0; i < count; i++)
        if (cells[i].width > widths[i % columns])
            widths[i % columns] = cells[i].width;
    for (size_t c = 0; c < last; c++)
        before_last += widths[c] + 2;
    const size_t room = width > before_last + LAST_MIN ? width - before_last : LAST_MIN;
    print_head(table, widths, out);
    for (size_t i = 0; i + columns <= count; i += columns) {
        struct cell row[COLUMNS_MAX];
        memcpy(row, cells + i, columns * sizeof *row);
        if (width && row[last].size && row[last].width > room)
            row[last].size =
                jq_text_fit(jq_view(table->text.data + row[last].at, row[last].size), room);
        print_row(table, row, widths, out, colours);
    }
    return true;
}
