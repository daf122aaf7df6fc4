/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a client sends, in whole pieces: lines until it has authenticated, D-Bus messages from then on. It stands
 * between a client's socket and the pipe that sd-bus reads, because sd-bus takes messages of 128 MiB, and as many as
 * there are, from anybody. Only lengths are looked at; what they mean is the business of sd-bus. Nothing here
 * blocks. */

#include "base/base.h"

enum {
        CONTROL_FRAMING_LINE_MAX = 256,
        CONTROL_FRAMING_LINES_MAX = 16, /* clients need five at most */
        CONTROL_FRAMING_MESSAGE_MAX = 1 << 20, /* bytes of one message: a thousand long names */
};

typedef struct ControlFraming {
        bool begun;      /* the client has said BEGIN: messages follow */
        unsigned lines;  /* so far */
        char held[CONTROL_FRAMING_LINE_MAX]; /* the line, or the head of the message, that is not whole yet */
        size_t n_held;
        size_t left;     /* bytes of the message that are still to come */
} ControlFraming;

/* Moves what is there from the socket to the pipe, which has to be empty, and stops where a line or a message ends.
 * Descriptors that come with it are closed by the kernel. Positive: CONTROL_FRAMING_MOVED, something is in the pipe;
 * CONTROL_FRAMING_WHOLE, and with it a line or a message has ended. 0: nothing yet. -ECONNRESET: the client has
 * gone; -EBADMSG: this is no D-Bus; -EMSGSIZE. */
enum { CONTROL_FRAMING_MOVED = 1, CONTROL_FRAMING_WHOLE };
int control_framing_pump(ControlFraming *wire, int from, int to);
