/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A machine as seen from a root directory: the one we run on, an image, or a tree that a test has made. Read-only.
 *
 * Paths are absolute, and are resolved as in a chroot: links, also absolute ones, do not leave the root directory. */

#include "base/base.h"

#include <sys/types.h>

typedef struct RootView {
        int fd;    /* of the root directory, owned */
        bool live; /* it is / */
} RootView;

#define ROOT_VIEW_NONE ((RootView){ .fd = -1 })

/* @root NULL, "" or "/": the machine we run on. */
int root_view_open(const char *root, RootView *ret);
void root_view_done(RootView *machine);

/* A descriptor, or a negative errno. Magic links, as in /proc, are not followed. */
int root_view_open_path(const RootView *machine, const char *path, int flags);

/* The content of a small file, at most @max bytes (-EFBIG). */
int root_view_read(const RootView *machine, const char *path, size_t max, char **ret);

/* The number in a file that has nothing else (/proc/sys). -EBADMSG if it is not a number. */
int root_view_read_number(const RootView *machine, const char *path, uint64_t *ret);

/* True if the path exists and can be reached. */
bool root_view_exists(const RootView *machine, const char *path);

/* The path without links, as seen from the root directory: a new string. One that does not exist stays as it is
 * written. 0 or -ENOMEM. */
int root_view_resolve(const RootView *machine, const char *path, char **ret);

/* The size and the free space of the filesystem at @path. For another machine than ours they come from the file
 * ROOT_VIEW_ROOM below the root directory, since tests cannot fake a filesystem: lines "PATH TOTAL-BYTES
 * FREE-BYTES", of which the one with the longest matching path counts. -ENODATA if none matches. */
#define ROOT_VIEW_ROOM "/run/shmstaged-doctor-room"
int root_view_room(const RootView *machine, const char *path, uint64_t *ret_total, uint64_t *ret_free);

typedef struct RootViewUser {
        uid_t uid;
        char *name, *home;
} RootViewUser;

/* A user by name or, with @name NULL, by UID: from NSS on the machine we run on, else from /etc/passwd. -ENOENT if
 * there is none. */
int root_view_user(const RootView *machine, const char *name, uid_t uid, RootViewUser *ret);
void root_view_user_done(RootViewUser *user);
