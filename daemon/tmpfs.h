/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What mount.c needs of tmpfs.c: the filesystem apart from the place where it is mounted. mount.h has the rest. */

#include "mount.h"

/* The source of the tmpfs that we make ourselves, as the mount table shows it. */
#define TMPFS_SOURCE "shmstaged"

/* Begins a tmpfs: a descriptor for fsconfig(), or why this process may not have one (-EPERM: it may not mount). */
int tmpfs_context(void);

/* A new tmpfs that is attached nowhere yet: a descriptor for move_mount(). */
int tmpfs_make(const MirrorConfig *mirror, uint64_t size, const MountOptions *options, const char **reterr_what);

/* What a mounted tmpfs with this option text (NULL: none) does about each thing that is asked for; @ret has
 * _MOUNT_OPTION_MAX elements. */
void tmpfs_answers(const char *text, const MirrorConfig *mirror, MountAnswer *ret);
