/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The options of a tmpfs: which are wanted, which the kernel takes; and a new tmpfs with them. Where it is mounted
 * is the business of stage/mount.h. */

#include "base/base.h"
#include "config/config.h"

/* The source of the tmpfs that we make ourselves, as the mount table shows it. */
#define TMPFS_SOURCE "shmstaged"

typedef enum TmpfsOption {
        TMPFS_HUGE,   /* huge=    since Linux 4.8, needs CONFIG_TRANSPARENT_HUGEPAGE */
        TMPFS_NOSWAP, /* noswap   since Linux 6.4 */
        TMPFS_MPOL,   /* mpol=    needs CONFIG_NUMA and nodes that are online */
        _TMPFS_OPTION_MAX,
} TmpfsOption;

typedef enum TmpfsAnswer {
        TMPFS_NOT_REQUESTED,
        TMPFS_ACCEPTED,
        TMPFS_REFUSED, /* the kernel does not take it: the mirror goes without */
        TMPFS_UNKNOWN, /* could not be asked (no CAP_SYS_ADMIN) */
} TmpfsAnswer;

/* What the running kernel says to the options this mirror asks for. Asked with fsopen()/fsconfig() one by one,
 * without mounting anything. */
typedef struct TmpfsOptions {
        TmpfsAnswer answer[_TMPFS_OPTION_MAX];
        unsigned n_nodes; /* of the machine, with memory, on which NUMAPolicy=auto depends: numa_read_nodes() */
} TmpfsOptions;
int tmpfs_probe(const MirrorConfig *mirror, unsigned n_nodes, TmpfsOptions *ret);

/* The option text for a mount unit or mount(8), e.g.
 * "size=12884901888,mode=0755,nosuid,nodev,noexec,huge=within_size,noswap". Only options that were taken appear, so
 * that the mount cannot fail for want of one. New string, NULL on ENOMEM. */
char *tmpfs_option_text(const MirrorConfig *mirror, uint64_t size, const TmpfsOptions *options);

/* Begins a tmpfs: a descriptor for fsconfig(), or why this process may not have one (-EPERM: it may not mount). */
int tmpfs_context(void);

/* A new tmpfs that is attached nowhere yet: a descriptor for move_mount(). */
int tmpfs_make(const MirrorConfig *mirror, uint64_t size, const TmpfsOptions *options, const char **reterr_what);

/* What a mounted tmpfs with this option text (NULL: none) does about each thing that is asked for on a machine with
 * so many memory nodes; @ret has _TMPFS_OPTION_MAX elements. 0 or -ENOMEM. */
int tmpfs_read_answers(const char *text, const MirrorConfig *mirror, unsigned n_nodes, TmpfsAnswer *ret);
