/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The options of a tmpfs: which the configuration requests, which the kernel accepts, and a new tmpfs with them. Where
 * it is mounted is decided in stage/mount.h. */

#include "base/base.h"
#include "config/config.h"

/* The source of a tmpfs that we make ourselves, as the mount table shows it. */
#define TMPFS_SOURCE "shmstaged"

typedef enum TmpfsOption {
        TMPFS_HUGE,   /* huge=    since Linux 4.8, needs CONFIG_TRANSPARENT_HUGEPAGE */
        TMPFS_NOSWAP, /* noswap   since Linux 6.4 */
        TMPFS_MPOL,   /* mpol=    needs CONFIG_NUMA and nodes that are online */
        _TMPFS_OPTION_MAX,
} TmpfsOption;

typedef enum TmpfsAnswer {
        TMPFS_NOT_REQUESTED,
        TMPFS_ACCEPTED, /* in effect */
        TMPFS_REFUSED,  /* not in effect: the mirror does without */
        TMPFS_UNKNOWN,  /* could not be found out (no CAP_SYS_ADMIN) */
} TmpfsAnswer;

/* Which of the options that a mirror requests the running kernel accepts. */
typedef struct TmpfsOptions {
        TmpfsAnswer answer[_TMPFS_OPTION_MAX];
        unsigned n_nodes; /* of the machine, with memory: decides what NUMAPolicy=auto requests */
} TmpfsOptions;

/* Tries the options one by one with fsopen() and fsconfig(), without mounting anything. @n_nodes: numa_read_nodes(). */
int tmpfs_options_probe(const MirrorConfig *mirror, unsigned n_nodes, TmpfsOptions *ret);

/* The option text for a mount unit or mount(8), such as
 * "size=12884901888,mode=0755,nosuid,nodev,noexec,huge=within_size,noswap". Only options that were accepted are in it,
 * so that none of them makes the mount fail. A new string, NULL on ENOMEM. */
char *tmpfs_options_text(const MirrorConfig *mirror, uint64_t size, const TmpfsOptions *options);

/* Begins a tmpfs: a descriptor for fsconfig(), or a negative errno; -EPERM: this process may not mount. */
int tmpfs_options_open_context(void);

/* A new tmpfs that is attached nowhere yet: a descriptor for move_mount(), or a negative errno with the step in
 * *reterr_what. */
int tmpfs_options_create(const MirrorConfig *mirror, uint64_t size, const TmpfsOptions *options,
                         const char **reterr_what);

/* Which of the requested options are in effect on a mounted tmpfs with this option text (NULL: none), on a machine with
 * @n_nodes memory nodes. @ret has _TMPFS_OPTION_MAX elements. 0 or -ENOMEM. */
int tmpfs_options_read_answers(const char *text, const MirrorConfig *mirror, unsigned n_nodes, TmpfsAnswer *ret);
