/* SPDX-License-Identifier: MIT
 *
 * batch_lines.c - lines of a buffer that is filled bit by bit. Pure. */
#include <inttypes.h>
#include <string.h>

#include "client/cli/batch.h"

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t\r")] == '\0';
}

/* The bytes of the line that starts at `at`, or false: its end is not there yet. */
static bool find_end(struct jq_lines *lines, size_t *ret_size)
{
    const size_t left = lines->bytes.size - lines->at;
    const uint8_t *start = lines->bytes.data + lines->at;
    const uint8_t *end = left ? memchr(start, lines->end, left) : NULL;

    if (end) {
        *ret_size = (size_t)(end - start);
        return true;
    }
    *ret_size = left;
    return lines->at_end && left;
}

enum jq_err jq_lines_next(struct jq_lines *lines, char **ret_line, struct jq_detail *ret_detail)
{
    size_t size;

    *ret_line = NULL;
    while (find_end(lines, &size)) {
        if (lines->at + size == lines->bytes.size) { /* the last one, without an end */
            jq_buf_append(&lines->bytes, "", 1);
            if (!jq_buf_ok(&lines->bytes))
                return JQ_ENOMEM;
        }
        char *line = (char *)lines->bytes.data + lines->at;
        lines->number++;
        lines->at += size + 1;
        line[size] = '\0';
        if (strlen(line) != size) {
            jq_detail_set(ret_detail,
                          "line %" PRIu64 " has a NUL byte (--null for lines that end "
                          "with one)",
                          lines->number);
            return JQ_EINVAL;
        }
        if (is_blank(line))
            continue;
        *ret_line = line;
        return JQ_OK;
    }
    return JQ_OK;
}

void jq_lines_drop_taken(struct jq_lines *lines)
{
    const size_t left = lines->bytes.size - lines->at;

    if (left)
        memmove(lines->bytes.data, lines->bytes.data + lines->at, left);
    lines->bytes.size = left;
    lines->at = 0;
}
