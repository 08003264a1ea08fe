/* SPDX-License-Identifier: MIT
 *
 * endpoint.c - the per-user default endpoint. */
#include "proto/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum jq_err jq_default_url(char ret_url[JQ_URL_MAX])
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    char path[JQ_URL_MAX];
    int length;

    if (runtime && runtime[0] == '/')
        length = snprintf(path, sizeof(path), "%s/jobq/jobqd.sock", runtime);
    else
        length = snprintf(path, sizeof(path), "/tmp/jobq-%u/jobqd.sock", (unsigned)getuid());
    if (length < 0 || (size_t)length >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return JQ_EINVAL;
    snprintf(ret_url, JQ_URL_MAX, "ipc://%.*s", JQ_URL_MAX - 8, path);
    return JQ_OK;
}

const char *jq_url_ipc_path(const char *url)
{
    return strncmp(url, "ipc://", 6) == 0 && url[6] != '\0' ? url + 6 : NULL;
}
