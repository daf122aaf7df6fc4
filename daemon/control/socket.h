/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The private socket. It replaces one that a dead daemon left, but nothing else. Loop thread only: connecting to a
 * local socket and reading the runtime directory do not block. */

#include "base/base.h"

#include <sys/types.h>

typedef struct ControlSocket {
        int fd;      /* listening, non-blocking; -1 */
        char *path;
        dev_t dev;   /* of the socket file: only this file is removed at the end */
        ino_t ino;
} ControlSocket;

#define CONTROL_SOCKET_NONE { .fd = -1 }

/* Creates the directory if necessary, and listens. A socket without a listener is replaced by one rename, so that
 * clients never find a socket on which nothing listens. 0; a negative errno and the step that failed; or, with all
 * left as it is, CONTROL_SOCKET_TAKEN (another process listens there) or CONTROL_SOCKET_NOT_SOCKET (the file there is
 * not a socket). */
enum { CONTROL_SOCKET_TAKEN = 1, CONTROL_SOCKET_NOT_SOCKET };
int control_socket_listen(ControlSocket *socket, const char *path, const char **reterr_what);

/* Stops listening, and removes the socket file if it is still ours. */
void control_socket_done(ControlSocket *socket);
