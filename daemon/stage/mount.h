/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The sized tmpfs of a mirror: is it there, can we make it, with which options.
 *
 * Under systemd PID 1 mounts it, from the unit that shmstaged-generator writes, because a mount made inside a
 * sandboxed service is seen by nobody else. Run by hand the daemon mounts it itself where it may (CAP_SYS_ADMIN),
 * and where it may not, a directory on an existing tmpfs serves, with Size= as a budget. Mount tables are read with
 * libmount. */

#include "base/base.h"
#include "config/config.h"
#include "stage/tmpfs.h"

typedef enum MountKind {
        MOUNT_FOUND,     /* Target= was a mounted tmpfs already: not ours to unmount */
        MOUNT_MADE,      /* we mounted it, now or before a crash (its source is "shmstaged"): ours to unmount */
        MOUNT_DIRECTORY, /* a directory on a tmpfs that is used for other things too: Size= is a budget */
} MountKind;

typedef struct Mount {
        MountKind kind;
        int fd;                    /* the mirror's root directory, O_RDONLY|O_DIRECTORY, owned */
        bool made_directory;       /* the root directory itself is ours to rmdir */
        uint64_t budget;           /* bytes the mirror may use at most */
        /* what holds for the tmpfs in use: for one that was there, read from the mount table */
        TmpfsAnswer answer[_TMPFS_OPTION_MAX];
        unsigned n_nodes;          /* of the machine, with memory */
        char mpol[64]; /* the NUMA policy of the tmpfs, as the kernel shows it, perhaps cut off; "" for none */
} Mount;

/* Positive outcomes of mount_open(): each is told to the person and ends the mirror. */
enum {
        MOUNT_NOT_TMPFS = 1,   /* Target= lies on a disk filesystem and we may not mount there */
        MOUNT_OTHER_MOUNTED,   /* something that is not a tmpfs is mounted on Target= */
        MOUNT_COVERS_FILES,    /* mounting would hide files that are in Target= now */
        /* we are a service with a mount namespace of its own: a mount made here would be seen by nobody */
        MOUNT_INVISIBLE,
};

/* Finds or makes the tmpfs. @size is the number of bytes that Size= means here. Returns 0, one of the outcomes
 * above, or a negative errno with the step in *reterr_what. Blocks only on the target, never on the source. */
int mount_open(const MirrorConfig *mirror, uint64_t size, Mount *ret, const char **reterr_what);

/* Closes; and with @remove unmounts what we mounted (lazily, so that a reader who still has a file mapped keeps it) and
 * removes the directory if we made it and it is empty. -EBUSY: somebody has mounted over ours, and both stay. */
int mount_close(Mount *mount, const char *target, bool remove);

/* True if both ask for the same tmpfs: size, pages, swap and nodes. */
bool mount_is_same(const MirrorConfig *a, const MirrorConfig *b);
