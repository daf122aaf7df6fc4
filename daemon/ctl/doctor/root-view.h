/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A machine as it is seen from a root directory: the one we run on, a container's tree, or one that a test has made. Read-only.
 *
 * Paths are absolute and are looked up as a process would whose root is there: links, absolute ones too, stay inside. */

#include "base/base.h"

#include <sys/types.h>

typedef struct Machine {
        int fd;    /* of the root directory, owned */
        bool live; /* it is / */
} Machine;

#define MACHINE_NONE ((Machine){ .fd = -1 })

/* @root NULL, "" or "/": the machine we run on. */
int machine_open(const char *root, Machine *ret);
void machine_done(Machine *machine);

/* A descriptor that the caller owns. No magic links are followed. */
int machine_open_path(const Machine *machine, const char *path, int flags);

/* The content of a small file, at most @max bytes (-EFBIG). */
int machine_read(const Machine *machine, const char *path, size_t max, char **ret);

/* One number in a file of its own (/proc/sys). -EBADMSG if it has something else. */
int machine_read_number(const Machine *machine, const char *path, uint64_t *ret);

/* Positive if there is such a thing, 0 if not. */
int machine_exists(const Machine *machine, const char *path);

/* The path without links, as it is seen from the root: a new string. */
int machine_resolve(const Machine *machine, const char *path, char **ret);

/* How much room the filesystem at @path has. Of the machine we run on it is what statvfs() says. Of any other the numbers are in the file
 * MACHINE_ROOM below the root, since a filesystem cannot be faked: a line "PATH TOTAL-BYTES FREE-BYTES", the longest path that fits counting.
 * -ENODATA where that says nothing. */
#define MACHINE_ROOM "/run/shmstaged-doctor-room"
int machine_room(const Machine *machine, const char *path, uint64_t *ret_total, uint64_t *ret_free);

typedef struct MachineUser {
        uid_t uid;
        gid_t gid;
        char *name, *home;
} MachineUser;

/* By name or, with @name NULL, by number. Of the machine we run on all sources of users are asked, of another only /etc/passwd. -ENOENT: there is none. */
int machine_user(const Machine *machine, const char *name, uid_t uid, MachineUser *ret);
void machine_user_done(MachineUser *user);
