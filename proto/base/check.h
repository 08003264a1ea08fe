/* SPDX-License-Identifier: MIT
 *
 * check.h - assertions that stay in every build. JQ_CHECK is for our own bugs only: never for what
 * a peer sent, a file held, or the machine refused. A failed one prints file:line and the
 * expression to stderr and aborts. */
#ifndef JQ_BASE_CHECK_H
#define JQ_BASE_CHECK_H

void jq_check_failed(const char *file, int line, const char *expression)
    __attribute__((noreturn, cold));

#define JQ_CHECK(expression)                       \
    (__builtin_expect(!!(expression), 1) ? (void)0 \
                                         : jq_check_failed(__FILE__, __LINE__, #expression))

#endif
