/* SPDX-License-Identifier: MIT
 *
 * url.c - checking a URL before libzmq sees it, for better words than "Invalid argument". */
#include "client/url.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { PATH_MAX_BYTES = sizeof(((struct sockaddr_un *)0)->sun_path) - 1, PORT_MAX = 65535 };

static enum jq_err refuse(struct jq_detail *detail, const char *url, const char *why)
{
    jq_detail_set(detail, "url \"%.200s\": %s", url, why);
    return JQ_EINVAL;
}

static bool is_port(const char *text)
{
    long port = 0;

    if (*text == '\0')
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        port = port * 10 + (*text - '0');
        if (port > PORT_MAX)
            return false;
    }
    return port > 0;
}

static bool is_host(const char *host, size_t size)
{
    if (size == 0)
        return false;
    if (host[0] == '[')
        return size > 2 && host[size - 1] == ']' &&
               strspn(host + 1, "0123456789abcdefABCDEF:.%") >= size - 2;
    for (size_t i = 0; i < size; i++) {
        const char c = host[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '_')
            return false;
    }
    return true;
}

static enum jq_err check(const char *url, bool *ret_ipv6, struct jq_detail *detail)
{
    const char *path = jq_url_ipc_path(url);

    *ret_ipv6 = false;
    if (path)
        return strlen(path) > PATH_MAX_BYTES
                   ? refuse(detail, url, "the path is longer than a socket's may be (107 bytes)")
                   : JQ_OK;
    if (strncmp(url, "tcp://", 6) != 0)
        return refuse(detail, url, "must be ipc://PATH or tcp://HOST:PORT");
    const char *host = url + 6;
    const char *colon = strrchr(host, ':');
    if (!colon || !is_port(colon + 1))
        return refuse(detail, url, "needs a port, 1 to 65535, after the host");
    if (!is_host(host, (size_t)(colon - host)))
        return refuse(detail, url, "needs a host name or address before the port");
    *ret_ipv6 = host[0] == '[';
    return JQ_OK;
}

enum jq_err jq_url_resolve(const char *url, char ret_url[JQ_URL_MAX], bool *ret_ipv6,
                           struct jq_detail *ret_detail)
{
    char text[JQ_URL_MAX];

    if (!url || !*url)
        url = secure_getenv("JOBQ_URL");
    if (!url || !*url) {
        if (jq_default_url(text) != JQ_OK)
            return refuse(ret_detail, "", "XDG_RUNTIME_DIR is too long for a socket's path");
        url = text;
    }
    if (strlen(url) >= JQ_URL_MAX)
        return refuse(ret_detail, url, "longer than 255 bytes");
    JQ_TRY(check(url, ret_ipv6, ret_detail));
    memcpy(ret_url, url, strlen(url) + 1);
    return JQ_OK;
}
