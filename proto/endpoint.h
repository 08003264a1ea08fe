/* SPDX-License-Identifier: MIT
 *
 * endpoint.h - where a broker is found when nobody says so: one place, for all three programs. */
#ifndef JQ_PROTO_ENDPOINT_H
#define JQ_PROTO_ENDPOINT_H

#include "proto/base/err.h"

enum { JQ_URL_MAX = 256 }; /* bytes of a URL, its NUL included */

/* The per-user default: ipc://$XDG_RUNTIME_DIR/jobq/jobqd.sock, else
 * ipc:///tmp/jobq-<uid>/jobqd.sock (the broker makes that directory 0700 and refuses one that is
 * not its user's). EINVAL: XDG_RUNTIME_DIR is so long that the socket's path would not fit sun_path
 * (108). Reads the environment. */
JQ_MUST_USE enum jq_err jq_default_url(char ret_url[JQ_URL_MAX]);
/* The path of an ipc:// URL, or NULL. Borrowed from `url`. */
const char *jq_url_ipc_path(const char *url);

#endif
