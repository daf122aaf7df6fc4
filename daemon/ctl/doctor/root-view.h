/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A machine as it is seen from a root directory: the one we run on, a container's tree, or one that a test has made.
 * Read-only.
 *
 * Paths are absolute and are looked up as a process would whose root is there: links, absolute ones too, stay inside. */

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

/* A descriptor that the caller owns. No magic links are followed. */
int root_view_open_path(const RootView *machine, const char *path, int flags);

/* The content of a small file, at most @max bytes (-EFBIG). */
int root_view_read(const RootView *machine, const char *path, size_t max, char **ret);

/* One number in a file of its own (/proc/sys). -EBADMSG if it has something else. */
int root_view_read_number(const RootView *machine, const char *path, uint64_t *ret);

/* Positive if there is such a thing, 0 if not. */
int root_view_exists(const RootView *machine, const char *path);

/* The path without links, as it is seen from the root: a new string. */
int root_view_resolve(const RootView *machine, const char *path, char **ret);

/* How much room the filesystem at @path has. Of the machine we run on it is what statvfs() says. Of any other the
 * numbers are in the file ROOT_VIEW_ROOM below the root, since a filesystem cannot be faked: a line "PATH
 * TOTAL-BYTES FREE-BYTES", the longest path that fits counting. -ENODATA where that says nothing. */
#define ROOT_VIEW_ROOM "/run/shmstaged-doctor-room"
int root_view_room(const RootView *machine, const char *path, uint64_t *ret_total, uint64_t *ret_free);

typedef struct RootViewUser {
        uid_t uid;
        gid_t gid;
        char *name, *home;
} RootViewUser;

/* By name or, with @name NULL, by number. Of the machine we run on all sources of users are asked, of another only
 * /etc/passwd. -ENOENT: there is none. */
int root_view_user(const RootView *machine, const char *name, uid_t uid, RootViewUser *ret);
void root_view_user_done(RootViewUser *user);
