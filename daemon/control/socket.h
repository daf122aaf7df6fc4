/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The private socket: taking the place of one that a dead daemon left, and nobody else's. Loop thread only;
 * connecting to a local socket and looking at the runtime directory wait for nobody. */

#include "base/base.h"

#include <sys/types.h>

typedef struct ControlSocket {
        int fd;      /* listening, non-blocking; -1 */
        char *path;
        dev_t dev;   /* of the socket file: only that is taken away at the end */
        ino_t ino;
} ControlSocket;

#define CONTROL_SOCKET_NONE { .fd = -1 }

/* Makes the directory if it is not there, and listens. A socket on which nobody answers is replaced in one step, so
 * a client never meets a name without a listener. 0, or negative and what was being done; or CONTROL_SOCKET_TAKEN:
 * somebody answers there, or CONTROL_SOCKET_STRANGE: what is there is no socket. Then it was left as it is. */
enum { CONTROL_SOCKET_TAKEN = 1, CONTROL_SOCKET_STRANGE };
int control_socket_listen(ControlSocket *socket, const char *path, const char **reterr_what);

/* Takes the socket's name away, if it is still ours. */
void control_socket_done(ControlSocket *socket);
