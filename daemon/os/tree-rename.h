/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The door to the two trees: what gets a name there, or loses it, while other processes change the same directories.
 * See os/tree-access.h, which also has the outcomes.
 *
 * Nothing is overwritten or removed that was not expected. Where the filesystem exchanges names and refuses to replace
 * (renameat2(2): RENAME_EXCHANGE, RENAME_NOREPLACE), the rename itself brings out what was at the name, into a
 * directory of ours that no other process enters, and what turns out to be something else goes back. Where it does not
 * (NFS, most of FUSE, vfat), a name is compared right before the rename, which leaves a short gap. */

#include "os/tree-access.h"

/* Renames to a name that does not exist: with RENAME_NOREPLACE; if the filesystem does not know it, by a link and an
 * unlink, which is as safe; if it has no links either, after a check that the name is free. TREE_OCCUPIED if the name
 * exists. */
int tree_rename_new(TreeName from, TreeName to);

/* Renames something of ours between directories of ours. What has the new name is overwritten. */
int tree_rename_own(TreeName from, TreeName to);

/* A second name for the regular file @expected at @from. TREE_OCCUPIED, TREE_ABSENT, TREE_NO_LINKS; -EEXIST if @to is
 * taken. */
int tree_rename_link(TreeName from, TreeName to, const FileIdentity *expected);

/* Whether the filesystem makes hard links at all: tried on @own, a file of ours. @free is a name that is not taken. */
bool tree_rename_has_links(TreeName own, TreeName free);

/* Puts something of ours in the place of what is expected there. */
typedef struct TreeReplacement {
        TreeName own;     /* in a directory of ours */
        TreeName place;
        const FileIdentity *expected; /* at the place */
        bool idle;        /* a regular file stays while a process has it open or mapped for writing */
        bool durable;     /* both directories are synced before what was replaced is removed, or before the end */
        const char *exchanged; /* beside .own: its name while either of the two may be there; NULL: the same */
        const char *spare;     /* beside .own: a free name, for what cannot be put back */

        TreeName kept;    /* a free name in a directory of ours that what is replaced gets; .name NULL: it is removed */
        int (*sync_kept)(void *userdata); /* makes that durable; not NULL if .kept is set */
        void *userdata;

        /* Beside .own, if the outcome is not 0: what another process had put in place between the check and the
         * rename, and what is not there any more. It must not get lost. NULL: there is no such thing. */
        const char *left;
} TreeReplacement;

/* TREE_OCCUPIED, TREE_BUSY or TREE_ABSENT: then nothing has changed, and .own has its name (or, if .left says that,
 * another process has replaced it in its place). A directory gives way if it is empty. */
int tree_rename_replace(TreeReplacement *replacement);

/* Takes away what is expected. */
typedef struct TreeRemoval {
        TreeName place;
        const FileIdentity *expected; /* at the place */
        TreeName aside; /* a free name in a directory of ours */
        bool keep;      /* it stays there; else it is removed */
        bool idle;      /* as above */
        bool left;      /* if the outcome is not 0: what was there is at .aside, because it could not be put back */
} TreeRemoval;

/* TREE_OCCUPIED, TREE_BUSY or TREE_ABSENT: then nothing has changed, unless .left says so. A directory is removed where
 * it is, if it is empty, because it may have users; else TREE_OCCUPIED. */
int tree_rename_remove(TreeRemoval *removal);
