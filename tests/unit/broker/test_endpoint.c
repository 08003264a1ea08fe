/* SPDX-License-Identifier: MIT
 *
 * test_endpoint.c - what may be listened on, and that nobody's file or broker is harmed by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/endpoint.h"

static enum jq_err parse(const char *url, bool insecure, struct jq_endpoints *ret)
{
    struct jq_detail detail = { "" };
    const enum jq_err err = jq_endpoints_parse(url, insecure, ret, &detail);

    assert_int_equal(err == JQ_OK, detail.text[0] == '\0');
    return err;
}

static void endpoints_are_read_and_normalised(void **state)
{
    (void)state;
    struct jq_endpoints e;

    assert_int_equal(parse("ipc:///run/x.sock, tcp://localhost:* ,tcp://[::1]:7", false, &e),
                     JQ_OK);
    assert_int_equal(e.count, 3);
    assert_string_equal(jq_endpoint_path(&e.list[0]), "/run/x.sock");
    assert_string_equal(e.list[1].text, "tcp://127.0.0.1:*");
    assert_true(e.list[2].ipv6);
}

static void malformed_endpoints_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "",         "ipc://",          "ipc://x.sock",       "ipc:///run/",
        "tcp://",   "tcp://127.0.0.1", "tcp://127.0.0.1:0",  "tcp://127.0.0.1:65536",
        "tcp://:7", "tcp://::1:7",     "tcp://127.0.0.1:7x", "udp://127.0.0.1:7",
        "/run/x",   "ipc:///a,",       "ipc:///a,ipc:///a",  "tcp://127.0.0.1:-7",
    };
    struct jq_endpoints e;
    char path[200] = "ipc:///";

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        assert_int_equal(parse(urls[i], true, &e), JQ_EINVAL);
    memset(path + 7, 'a', 110);
    assert_int_equal(parse(path, true, &e), JQ_EINVAL);
}

static void other_machines_are_let_in_only_by_insecure(void **state)
{
    (void)state;
    static const char *const open[] = { "tcp://0.0.0.0:7", "tcp://*:7", "tcp://[::]:7",
                                        "tcp://10.1.2.3:7", "tcp://127.0.0.1.example.org:7" };
    struct jq_endpoints e;

    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        assert_int_equal(parse(open[i], false, &e), JQ_EINVAL);
        assert_int_equal(parse(open[i], true, &e), JQ_OK);
    }
    assert_int_equal(parse("tcp://127.3.2.1:7", false, &e), JQ_OK);
}

/* ---- claiming ---- */

struct place {
    char directory[32];
    struct jq_endpoint endpoint;
};

static int make_place(void **state)
{
    static struct place place;

    snprintf(place.directory, sizeof(place.directory), "/tmp/jq-ep-XXXXXX");
    if (!mkdtemp(place.directory))
        return -1;
    place.endpoint = (struct jq_endpoint){ .kind = JQ_ENDPOINT_IPC };
    snprintf(place.endpoint.text, sizeof(place.endpoint.text), "ipc://%s/jobq/x.sock",
             place.directory);
    *state = &place;
    return 0;
}

static int remove_place(void **state)
{
    static const char *const names[] = { "jobq/x.sock", "jobq/x.sock.lock",
                                         "jobq/tcp-127.0.0.1-7.lock", "jobq" };
    const struct place *place = *state;
    char path[96];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", place->directory, names[i]);
        (void)remove(path);
    }
    return rmdir(place->directory);
}

static void a_claim_makes_a_closed_directory_and_refuses_a_second(void **state)
{
    const struct place *place = *state;
    struct jq_endpoint_lock first, second;
    struct jq_detail detail = { "" };
    char directory[96], pid[32];
    struct stat status;

    assert_int_equal(jq_endpoint_claim(&place->endpoint, &first, &detail), JQ_OK);
    snprintf(directory, sizeof(directory), "%s/jobq", place->directory);
    assert_int_equal(stat(directory, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(jq_endpoint_claim(&place->endpoint, &second, &detail), JQ_ELOCKED);
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_non_null(strstr(detail.text, pid));
    jq_endpoint_release(&place->endpoint, &first);
    assert_int_equal(jq_endpoint_claim(&place->endpoint, &second, &detail), JQ_OK);
    jq_endpoint_release(&place->endpoint, &second);
}

static void a_port_is_claimed_beside_the_default_socket(void **state)
{
    const struct place *place = *state;
    const struct jq_endpoint port = { .kind = JQ_ENDPOINT_TCP, .text = "tcp://127.0.0.1:7" };
    const struct jq_endpoint any = { .kind = JQ_ENDPOINT_TCP, .text = "tcp://127.0.0.1:*" };
    struct jq_endpoint_lock first, second;
    struct jq_detail detail = { "" };
    char pid[32];

    setenv("XDG_RUNTIME_DIR", place->directory, 1);
    assert_int_equal(jq_endpoint_claim(&port, &first, &detail), JQ_OK);
    assert_int_equal(jq_endpoint_claim(&port, &second, &detail), JQ_ELOCKED);
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_non_null(strstr(detail.text, pid));
    assert_int_equal(jq_endpoint_claim(&any, &second, &detail), JQ_OK); /* of the kernel's choice */
    jq_endpoint_release(&any, &second);
    jq_endpoint_release(&port, &first);
}

static void a_file_in_the_way_is_left_alone(void **state)
{
    const struct place *place = *state;
    struct jq_endpoint_lock lock;
    struct jq_detail detail = { "" };
    const char *path = jq_endpoint_path(&place->endpoint);

    assert_int_equal(jq_endpoint_claim(&place->endpoint, &lock, &detail), JQ_OK);
    jq_endpoint_release(&place->endpoint, &lock);
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(jq_endpoint_claim(&place->endpoint, &lock, &detail), JQ_EINVAL);
    assert_int_equal(access(path, F_OK), 0);
    jq_endpoint_release(&place->endpoint, &lock);
    assert_int_equal(access(path, F_OK), 0);
}

static void an_open_directory_or_a_planted_link_is_refused(void **state)
{
    const struct place *place = *state;
    struct jq_endpoint_lock lock;
    struct jq_detail detail = { "" };
    char directory[96], planted[128];

    snprintf(directory, sizeof(directory), "%s/jobq", place->directory);
    snprintf(planted, sizeof(planted), "%s/x.sock.lock", directory);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(jq_endpoint_claim(&place->endpoint, &lock, &detail), JQ_EAUTH);
    assert_int_equal(chmod(directory, 0700), 0);
    assert_int_equal(symlink("/etc/passwd", planted), 0);
    assert_int_equal(jq_endpoint_claim(&place->endpoint, &lock, &detail), JQ_EAUTH);
    assert_int_equal(unlink(planted), 0);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(symlink("/tmp", directory), 0);
    assert_int_equal(jq_endpoint_claim(&place->endpoint, &lock, &detail), JQ_EAUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_read_and_normalised),
        cmocka_unit_test(malformed_endpoints_are_refused_with_a_reason),
        cmocka_unit_test(other_machines_are_let_in_only_by_insecure),
        cmocka_unit_test_setup_teardown(a_claim_makes_a_closed_directory_and_refuses_a_second,
                                        make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_port_is_claimed_beside_the_default_socket, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(a_file_in_the_way_is_left_alone, make_place, remove_place),
        cmocka_unit_test_setup_teardown(an_open_directory_or_a_planted_link_is_refused, make_place,
                                        remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
