/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The private socket. See control/socket.h. */

#include "control/socket.h"

#include "base/text.h"
#include "os/own-file.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int make_address(struct sockaddr_un *address, const char *path) {
        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(address->sun_path))
                return -ENAMETOOLONG;
        memcpy(address->sun_path, path, strlen(path) + 1);
        return 0;
}

/* 0: there is no file, or a socket without a listener. */
static int probe(const char *path, const struct sockaddr_un *address) {
        _cleanup_(close_fdp) int fd = -1;
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return CONTROL_SOCKET_NOT_SOCKET;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0)
                return CONTROL_SOCKET_TAKEN;
        /* EAGAIN: busy; EPROTOTYPE: another kind of socket, but in use */
        return errno == ECONNREFUSED || errno == ENOENT ? 0 : CONTROL_SOCKET_TAKEN;
}

static int make_parent(const char *path) {
        _cleanup_(freep) char *parent = strndup(path, (size_t) (strrchr(path, '/') - path));

        return parent ? own_file_make_path(parent) : -ENOMEM;
}

/* Listens under a temporary name, which is removed again on failure. */
static int listen_at(const char *temporary, int *ret) {
        _cleanup_(close_fdp) int fd = -1;
        struct sockaddr_un address;
        int r = make_address(&address, temporary);

        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        r = own_file_remove(AT_FDCWD, temporary);
        if (r < 0)
                return r;
        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        r = own_file_set_mode(AT_FDCWD, temporary, 0666); /* each call is authorized by itself */
        if (r == 0 && listen(fd, SOMAXCONN) < 0)
                r = -errno;
        if (r == 0)
                *ret = TAKE_FD(fd);
        else
                (void) own_file_remove(AT_FDCWD, temporary);
        return r;
}

int control_socket_listen(ControlSocket *socket, const char *path, const char **reterr_what) {
        _cleanup_(freep) char *temporary = text_format("%s.%ld", path, (long) getpid()), *copy = strdup(path);
        _cleanup_(close_fdp) int fd = -1;
        struct sockaddr_un address;
        struct stat st;
        int r;

        if (!copy || !temporary)
                return -ENOMEM;
        *reterr_what = "create the directory of the control socket";
        r = make_parent(path);
        if (r < 0)
                return r;
        *reterr_what = "check for a listener on the control socket";
        r = make_address(&address, path);
        if (r == 0)
                r = probe(path, &address);
        if (r != 0)
                return r;
        *reterr_what = "listen on the control socket";
        r = listen_at(temporary, &fd);
        if (r < 0)
                return r;
        r = stat(temporary, &st) < 0 ? -errno : own_file_rename(AT_FDCWD, temporary, path);
        if (r < 0) {
                (void) own_file_remove(AT_FDCWD, temporary);
                return r;
        }
        *socket = (ControlSocket){ .fd = TAKE_FD(fd), .path = TAKE_PTR(copy), .dev = st.st_dev, .ino = st.st_ino };
        return 0;
}

void control_socket_done(ControlSocket *socket) {
        struct stat st;

        if (socket->fd >= 0 && lstat(socket->path, &st) == 0 && st.st_dev == socket->dev && st.st_ino == socket->ino)
                (void) own_file_remove(AT_FDCWD, socket->path); /* a file that stays is replaced by the next daemon */
        socket->fd = close_fd(socket->fd);
        free(socket->path);
        socket->path = NULL;
}
