/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The sized tmpfs of a mirror: whether it is there, whether we can mount it, and with which options.
 *
 * Under systemd PID 1 mounts it, from the unit that shmstaged-generator writes, because a mount inside a sandboxed
 * service is invisible to all other processes. Run by hand the daemon mounts it itself if it may (CAP_SYS_ADMIN); if
 * not, it uses a directory on an existing tmpfs, with Size= as a budget. Mount tables are read with libmount.
 * Blocking, but only on the target and never on the source. */

#include "base/base.h"
#include "config/config.h"
#include "stage/tmpfs-options.h"

typedef enum MountKind {
        MOUNT_FOUND,     /* Target= was a mounted tmpfs already: not ours to unmount */
        MOUNT_MADE,      /* we mounted it, now or before a crash (TMPFS_SOURCE): ours to unmount */
        MOUNT_DIRECTORY, /* a directory on a tmpfs that has other uses too: Size= is a budget */
} MountKind;

typedef struct Mount {
        MountKind kind;
        int fd;              /* the root directory of the mirror, O_RDONLY|O_DIRECTORY, owned */
        bool made_directory; /* we created the root directory, and may remove it */
        uint64_t budget;     /* bytes that the mirror may use at most */
        TmpfsAnswer answer[_TMPFS_OPTION_MAX]; /* of the tmpfs in use */
        unsigned n_nodes;    /* of the machine, with memory */
        char mpol[64];       /* the NUMA policy in effect, as the kernel shows it, perhaps cut off; "" for none */
} Mount;

/* Positive outcomes of mount_open(). Each is reported, and the mirror fails. */
enum {
        MOUNT_NOT_TMPFS = 1, /* Target= is on a disk filesystem, and we may not mount there */
        MOUNT_OTHER_MOUNTED, /* something that is not a tmpfs is mounted on Target= */
        MOUNT_COVERS_FILES,  /* mounting would hide files that are in Target= now */
        MOUNT_INVISIBLE,     /* we are a service with a mount namespace of its own: no other process would see it */
};

/* Finds or mounts the tmpfs. @size is the number of bytes that Size= means here. Returns 0, one of the outcomes above,
 * or a negative errno with the step in *reterr_what, a verb that takes the target. */
int mount_open(const MirrorConfig *mirror, uint64_t size, Mount *ret, const char **reterr_what);

/* Nobody can write to a tmpfs that we mounted any more, so what is found to be empty stays so; or they can again. Where
 * that is refused (before Linux 5.12, or in a sandbox), and while a process has a deleted file open for writing, a file
 * that comes between the last look and the unmount is lost. */
void mount_freeze(const Mount *mount, bool freeze);

/* Closes; and with @remove unmounts what we mounted (lazily, so that a process that has a file mapped keeps it) and
 * removes the directory if we created it and it is empty. -EBUSY: something is mounted over ours, and both stay. */
int mount_close(Mount *mount, const char *target, bool remove);

/* True if both ask for the same tmpfs: size, pages, swap and nodes. */
bool mount_is_same(const MirrorConfig *a, const MirrorConfig *b);
