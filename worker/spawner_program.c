/* SPDX-License-Identifier: MIT
 *
 * spawner_program.c - which file a command means: execvp's search, but by the job's own PATH and
 * directory, and before anything is forked, so that a refusal can say what was looked for. */
#include "worker/spawner_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin" /* of a job without a PATH */

enum { NOT_RUNNABLE = 126, NOT_FOUND = 127, SHOWN_MAX = 200 };

void jq_printable(const char *text, char *ret, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (at + 8 > size) {
            memcpy(ret + at, "...", 3);
            at += 3;
            break;
        }
        if (byte >= 0x20 && byte < 0x7f) {
            ret[at++] = (char)byte;
            continue;
        }
        ret[at++] = '\\';
        ret[at++] = 'x';
        ret[at++] = digits[byte >> 4];
        ret[at++] = digits[byte & 15];
    }
    ret[at] = '\0';
}

static bool refuse(struct jq_refusal *refusal, int code, const char *program, const char *why)
{
    char shown[SHOWN_MAX];
    jq_printable(program, shown, sizeof shown);
    refusal->code = code;
    (void)snprintf(refusal->reason, sizeof refusal->reason, "%s: %s", shown, why);
    return false;
}

/* 0: can be run; else why not. */
static int look_at(int directory, const char *path)
{
    struct stat file;
    if (fstatat(directory, path, &file, 0) != 0)
        return errno;
    if (S_ISDIR(file.st_mode))
        return EISDIR;
    return faccessat(directory, path, X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

static bool is_missing(int why)
{
    return why == ENOENT || why == ENOTDIR;
}

static const char *path_of(char *const *environment)
{
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, "PATH=", 5) == 0)
            return *environment + 5;
    }
    return DEFAULT_PATH;
}

static bool search(int directory, const char *program, const char *path,
                   char ret_path[JQ_PATH_MAX + 1], struct jq_refusal *refusal)
{
    int found = 0; /* a file of that name that cannot be run */
    for (;;) {
        const size_t length = strcspn(path, ":");
        /* An empty entry is the job's directory. */
        const int size = snprintf(ret_path, JQ_PATH_MAX + 1, "%.*s%s%s", (int)length, path,
                                  length > 0 ? "/" : "./", program);
        if (length <= JQ_PATH_MAX && size > 0 && size <= JQ_PATH_MAX) {
            const int why = look_at(directory, ret_path);
            if (why == 0)
                return true;
            if (why == EACCES || why == EISDIR)
                found = found == 0 || found == EISDIR ? why : found;
        }
        if (path[length] == '\0')
            break;
        path += length + 1;
    }
    if (found == EACCES)
        return refuse(refusal, NOT_RUNNABLE, program, "found on PATH, but not executable");
    return refuse(refusal, NOT_FOUND, program, "command not found");
}

bool jq_program_find(int directory, const char *program, char *const *environment,
                     char ret_path[JQ_PATH_MAX + 1], struct jq_refusal *ret_refusal)
{
    if (program[0] == '\0')
        return refuse(ret_refusal, NOT_FOUND, "''", "command not found: the name is empty");
    if (strchr(program, '/') == NULL)
        return search(directory, program, path_of(environment), ret_path, ret_refusal);
    const size_t length = strlen(program);
    if (length > JQ_PATH_MAX)
        return refuse(ret_refusal, NOT_RUNNABLE, program, strerror(ENAMETOOLONG));
    const int why = look_at(directory, program);
    if (why != 0)
        return refuse(ret_refusal, is_missing(why) ? NOT_FOUND : NOT_RUNNABLE, program,
                      strerror(why));
    memcpy(ret_path, program, length + 1);
    return true;
}
