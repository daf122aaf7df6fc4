/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Splits what a client sends into lines, until it has authenticated, and D-Bus messages from then on, and passes them
 * on one at a time. It stands between a client's socket and the pipe that sd-bus reads, because sd-bus would take
 * messages of up to 128 MiB, and any number of them, from every client. Only lengths are parsed here; sd-bus checks
 * all else. Nothing here blocks. */

#include "base/base.h"

enum {
        CONTROL_FRAMING_LINE_MAX = 256,
        CONTROL_FRAMING_LINES_MAX = 16, /* clients need five at most */
        CONTROL_FRAMING_MESSAGE_MAX = 1 << 20, /* bytes of one message: a thousand long names */
};

typedef struct ControlFraming {
        bool begun;      /* the client has sent BEGIN: messages follow */
        unsigned lines;  /* so far */
        char held[CONTROL_FRAMING_LINE_MAX]; /* the incomplete line, or head of a message */
        size_t n_held;
        size_t left;     /* bytes of the message that are still to come */
} ControlFraming;

/* Moves bytes from the socket to the pipe, which must be empty, and stops where a line or a message ends. The kernel
 * closes descriptors that are sent along. CONTROL_FRAMING_MOVED: something is in the pipe; CONTROL_FRAMING_WHOLE: and
 * it ends a line or a message; 0: nothing yet. -ECONNRESET: the client is gone; -EBADMSG: it does not speak D-Bus;
 * -EMSGSIZE: its message is too large. */
enum { CONTROL_FRAMING_MOVED = 1, CONTROL_FRAMING_WHOLE };
int control_framing_pump(ControlFraming *framing, int from, int to);
