/* SPDX-License-Identifier: MIT
 *
 * check.c - the end of a process that found a bug of ours. */
#include "proto/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void jq_check_failed(const char *file, int line, const char *expression)
{
    char text[512];
    (void)snprintf(text, sizeof text, "%s:%d: check failed: %s\n", file, line, expression);
    /* Nothing can be done about a write that fails here. */
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        abort();
    abort();
}
