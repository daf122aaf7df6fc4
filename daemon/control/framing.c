/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Splits what a client sends. See control/framing.h. */

#include "control/framing.h"

#include <sys/socket.h>

/* Byte order, type, flags, version; the length of the body, a serial number, the length of the header's fields. */
enum { HEAD_SIZE = 16 };

static int receive(int fd, void *buffer, size_t size, int flags, size_t *ret_n) {
        ssize_t n = recv(fd, buffer, size, flags | MSG_DONTWAIT);

        *ret_n = 0;
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;
        *ret_n = (size_t) n;
        return 0;
}

static int forward(int fd, const void *buffer, size_t size) {
        ssize_t n = write(fd, buffer, size);

        if (n < 0)
                return -errno;
        return (size_t) n == size ? 0 : -EIO; /* an empty pipe has room for all of it */
}

/* A line may come in pieces, and may be followed by a message: the bytes are peeked at before they are taken. */
static int pump_line(ControlFraming *framing, int from, int to) {
        static const char begin[] = "BEGIN\r\n";
        size_t n;
        char *end;
        int r;

        if (framing->n_held == sizeof(framing->held) || framing->lines == CONTROL_FRAMING_LINES_MAX)
                return -EBADMSG;
        r = receive(from, framing->held + framing->n_held, sizeof(framing->held) - framing->n_held, MSG_PEEK, &n);
        if (r < 0 || n == 0)
                return r;
        end = memchr(framing->held + framing->n_held, '\n', n);
        if (end)
                n = (size_t) (end - framing->held) + 1 - framing->n_held;
        r = receive(from, framing->held + framing->n_held, n, 0, &n);
        if (r < 0)
                return r;
        framing->n_held += n;
        if (!end)
                return 0;
        r = forward(to, framing->held, framing->n_held);
        if (r < 0)
                return r;
        framing->lines++;
        framing->begun = framing->n_held == sizeof(begin) - 1 && memcmp(framing->held, begin, sizeof(begin) - 1) == 0;
        framing->n_held = 0;
        return CONTROL_FRAMING_WHOLE;
}

static uint64_t number_at(const unsigned char *head, size_t offset) {
        uint64_t value = 0;

        for (size_t i = 0; i < 4; i++)
                value |= (uint64_t) head[offset + i] << 8 * (head[0] == 'l' ? i : 3 - i);
        return value;
}

static int measure(const unsigned char *head, size_t *ret_left) {
        uint64_t left;

        if ((head[0] != 'l' && head[0] != 'B') || head[3] != 1)
                return -EBADMSG;
        left = round_up(number_at(head, 12), 8) + number_at(head, 4);
        if (left > CONTROL_FRAMING_MESSAGE_MAX - HEAD_SIZE)
                return -EMSGSIZE;
        *ret_left = (size_t) left;
        return 0;
}

static int pump_head(ControlFraming *framing, int from, int to) {
        size_t n;
        int r = receive(from, framing->held + framing->n_held, HEAD_SIZE - framing->n_held, 0, &n);

        if (r < 0)
                return r;
        framing->n_held += n;
        if (framing->n_held < HEAD_SIZE)
                return 0;
        r = measure((const unsigned char *) framing->held, &framing->left);
        if (r == 0)
                r = forward(to, framing->held, HEAD_SIZE);
        if (r < 0)
                return r;
        framing->n_held = 0;
        return framing->left == 0 ? CONTROL_FRAMING_WHOLE : CONTROL_FRAMING_MOVED;
}

static int pump_body(ControlFraming *framing, int from, int to) {
        char buffer[16 * KIB];
        size_t n;
        int r = receive(from, buffer, MIN(sizeof(buffer), framing->left), 0, &n);

        if (r < 0 || n == 0)
                return r;
        r = forward(to, buffer, n);
        if (r < 0)
                return r;
        framing->left -= n;
        return framing->left == 0 ? CONTROL_FRAMING_WHOLE : CONTROL_FRAMING_MOVED;
}

int control_framing_pump(ControlFraming *framing, int from, int to) {
        if (!framing->begun)
                return pump_line(framing, from, to);
        return framing->left > 0 ? pump_body(framing, from, to) : pump_head(framing, from, to);
}
