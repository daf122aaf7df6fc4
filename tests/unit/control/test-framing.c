/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a client sends: lines, then messages, each let through whole and none of them large, however it is cut into pieces. */

#include "control/framing.h"
#include "ground.h"

#include <sys/socket.h>

typedef struct Wires {
        ControlFraming wire;
        int client, server, in, out;
} Wires;

static void open_wires(Wires *wires) {
        int pair[2], ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
        *wires = (Wires){ .client = pair[0], .server = pair[1], .out = ends[0], .in = ends[1] };
}

static void close_wires(Wires *wires) {
        close(wires->client);
        close(wires->server);
        close(wires->in);
        close(wires->out);
}

static void say(Wires *wires, const void *bytes, size_t size) {
        assert_int_equal(write(wires->client, bytes, size), size);
}

/* What is in the pipe has to be exactly this. */
static void expect(Wires *wires, const void *bytes, size_t size) {
        char buffer[64 * 1024];

        assert_int_equal(read(wires->out, buffer, sizeof(buffer)), size);
        assert_memory_equal(buffer, bytes, size);
}

static void expect_nothing(Wires *wires) {
        char byte;

        assert_int_equal(read(wires->out, &byte, 1), -1);
        assert_int_equal(errno, EAGAIN);
}

static int pump(Wires *wires) {
        return control_framing_pump(&wires->wire, wires->server, wires->in);
}

/* The head of a message whose body, and whose header's fields, are so long. */
static void make_head(unsigned char head[static 16], char order, uint32_t body, uint32_t fields) {
        memset(head, 0, 16);
        head[0] = (unsigned char) order;
        head[1] = 1;
        head[3] = 1;
        for (size_t i = 0; i < 4; i++) {
                head[4 + (order == 'l' ? i : 3 - i)] = (unsigned char) (body >> 8 * i);
                head[12 + (order == 'l' ? i : 3 - i)] = (unsigned char) (fields >> 8 * i);
        }
}

static void begin(Wires *wires) {
        open_wires(wires);
        wires->wire.begun = true;
}

static void lines_go_through_one_by_one(void **state) {
        static const char first[] = "\0AUTH EXTERNAL 30\r\n", second[] = "NEGOTIATE_UNIX_FD\r\n", third[] = "BEGIN\r\n";
        Wires wires;

        (void) state;
        open_wires(&wires);
        assert_int_equal(pump(&wires), 0);
        say(&wires, first, sizeof(first) - 1);
        say(&wires, second, sizeof(second) - 1);
        say(&wires, third, 3);
        assert_int_equal(pump(&wires), CONTROL_FRAMING_WHOLE);
        expect(&wires, first, sizeof(first) - 1);
        assert_int_equal(pump(&wires), CONTROL_FRAMING_WHOLE);
        expect(&wires, second, sizeof(second) - 1);
        assert_int_equal(pump(&wires), 0);
        expect_nothing(&wires);
        assert_false(wires.wire.begun);
        say(&wires, third + 3, sizeof(third) - 4);
        assert_int_equal(pump(&wires), CONTROL_FRAMING_WHOLE);
        expect(&wires, third, sizeof(third) - 1);
        assert_true(wires.wire.begun);
        close_wires(&wires);
}

static void what_comes_right_after_the_last_line_is_a_message(void **state) {
        unsigned char bytes[7 + 16 + 8] = "BEGIN\r\n";
        Wires wires;

        (void) state;
        open_wires(&wires);
        make_head(bytes + 7, 'l', 0, 3); /* the fields are padded to 8 */
        say(&wires, bytes, sizeof(bytes));
        assert_int_equal(pump(&wires), CONTROL_FRAMING_WHOLE);
        expect(&wires, bytes, 7);
        assert_int_equal(pump(&wires), CONTROL_FRAMING_MOVED);
        expect(&wires, bytes + 7, 16);
        assert_int_equal(pump(&wires), CONTROL_FRAMING_WHOLE);
        expect(&wires, bytes + 23, 8);
        assert_int_equal(pump(&wires), 0);
        close_wires(&wires);
}

static void a_message_stops_where_it_ends_in_either_byte_order(void **state) {
        for (const char *order = "lB"; *order; order++) {
                unsigned char bytes[2 * (16 + 300)];
                Wires wires;

                (void) state;
                begin(&wires);
                memset(bytes, 7, sizeof(bytes));
                make_head(bytes, *order, 284, 16);
                make_head(bytes + 316, *order, 284, 16);
                say(&wires, bytes, sizeof(bytes));
                for (size_t i = 0; i < 2; i++) {
                        assert_int_equal(pump(&wires), CONTROL_FRAMING_MOVED);
                        expect(&wires, bytes + i * 316, 16);
                        assert_int_equal(pump(&wires), CONTROL_FRAMING_WHOLE);
                        expect(&wires, bytes + i * 316 + 16, 300);
                }
                close_wires(&wires);
        }
}

static void single_bytes_make_a_message_too(void **state) {
        unsigned char bytes[16 + 8] = {};
        Wires wires;

        (void) state;
        begin(&wires);
        make_head(bytes, 'l', 8, 0);
        for (size_t i = 0; i < sizeof(bytes); i++) {
                say(&wires, bytes + i, 1);
                assert_int_equal(pump(&wires), i < 15 ? 0 : i == sizeof(bytes) - 1 ? CONTROL_FRAMING_WHOLE : CONTROL_FRAMING_MOVED);
        }
        expect(&wires, bytes, sizeof(bytes));
        close_wires(&wires);
}

static void a_large_message_is_refused_by_its_head(void **state) {
        static const struct {
                uint32_t body, fields;
                int result;
        } cases[] = {
                { CONTROL_FRAMING_MESSAGE_MAX - 16, 0, CONTROL_FRAMING_MOVED },
                { CONTROL_FRAMING_MESSAGE_MAX - 15, 0, -EMSGSIZE },
                { 0, CONTROL_FRAMING_MESSAGE_MAX, -EMSGSIZE },
                { 128 << 20, 0, -EMSGSIZE },
                { UINT32_MAX, UINT32_MAX, -EMSGSIZE },
                { 16, UINT32_MAX, -EMSGSIZE },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                unsigned char head[16];
                Wires wires;

                begin(&wires);
                make_head(head, 'l', cases[i].body, cases[i].fields);
                say(&wires, head, sizeof(head));
                assert_int_equal(pump(&wires), cases[i].result);
                if (cases[i].result < 0)
                        expect_nothing(&wires);
                close_wires(&wires);
        }
}

static void what_is_no_d_bus_is_refused(void **state) {
        unsigned char head[16];
        char line[CONTROL_FRAMING_LINE_MAX];
        Wires wires;

        (void) state;
        begin(&wires);
        make_head(head, 'x', 0, 0);
        say(&wires, head, sizeof(head));
        assert_int_equal(pump(&wires), -EBADMSG);
        close_wires(&wires);

        begin(&wires);
        make_head(head, 'l', 0, 0);
        head[3] = 2; /* another version */
        say(&wires, head, sizeof(head));
        assert_int_equal(pump(&wires), -EBADMSG);
        close_wires(&wires);

        open_wires(&wires);
        memset(line, 'x', sizeof(line));
        say(&wires, line, sizeof(line));
        say(&wires, line, sizeof(line));
        assert_int_equal(pump(&wires), 0);
        assert_int_equal(pump(&wires), -EBADMSG);
        expect_nothing(&wires);
        close_wires(&wires);
}

static void who_never_comes_to_the_point_is_refused(void **state) {
        Wires wires;

        (void) state;
        open_wires(&wires);
        for (unsigned i = 0; i < CONTROL_FRAMING_LINES_MAX; i++) {
                say(&wires, "AUTH\r\n", 6);
                assert_int_equal(pump(&wires), CONTROL_FRAMING_WHOLE);
                expect(&wires, "AUTH\r\n", 6);
        }
        say(&wires, "AUTH\r\n", 6);
        assert_int_equal(pump(&wires), -EBADMSG);
        expect_nothing(&wires);
        close_wires(&wires);
}

static void who_has_gone_is_noticed(void **state) {
        Wires wires;

        (void) state;
        open_wires(&wires);
        say(&wires, "AU", 2);
        shutdown(wires.client, SHUT_WR);
        assert_int_equal(pump(&wires), 0);
        assert_int_equal(pump(&wires), -ECONNRESET);
        close_wires(&wires);
}

static void descriptors_that_are_passed_do_not_stay_open(void **state) {
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr header;
        } control = {};
        struct iovec line = { .iov_base = (char[]){ "AUTH\r\n" }, .iov_len = 6 };
        struct msghdr message = { .msg_iov = &line, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
        int ends[2];
        Wires wires;
        char byte;

        (void) state;
        open_wires(&wires);
        assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
        control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
        memcpy(CMSG_DATA(&control.header), &ends[1], sizeof(int));
        assert_int_equal(sendmsg(wires.client, &message, 0), 6);
        close(ends[1]);
        assert_int_equal(read(ends[0], &byte, 1), -1); /* it is on its way */
        assert_int_equal(pump(&wires), CONTROL_FRAMING_WHOLE);
        assert_int_equal(read(ends[0], &byte, 1), 0);
        close(ends[0]);
        close_wires(&wires);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines_go_through_one_by_one),
                cmocka_unit_test(what_comes_right_after_the_last_line_is_a_message),
                cmocka_unit_test(a_message_stops_where_it_ends_in_either_byte_order),
                cmocka_unit_test(single_bytes_make_a_message_too),
                cmocka_unit_test(a_large_message_is_refused_by_its_head),
                cmocka_unit_test(what_is_no_d_bus_is_refused),
                cmocka_unit_test(who_never_comes_to_the_point_is_refused),
                cmocka_unit_test(who_has_gone_is_noticed),
                cmocka_unit_test(descriptors_that_are_passed_do_not_stay_open),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
