/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the parts of a save share. See save/save.h. The functions return 0, a negative errno with the step in
 * save->what, or a SaveOutcome that is not SAVE_DONE. */

#include "save/mirror-file.h"
#include "save/save.h"

/* A save under way. */
typedef struct Work {
        Save *save;
        const SaveOptions *options;
        Disk *disk;                            /* of the options */
        atomic_uint_fast64_t *progress;        /* of the options, or .ignored */
        atomic_uint_fast64_t ignored;
        MirrorFile file;                       /* of files; .fd is -1 */
        int fd;                                /* of the temporary of a file, -1 */
        char name[DISK_NAME_MAX];              /* of the temporary; empty: there is none */
        Digest digest;
} Work;

/* True if a path cannot be followed any more: something on it was removed or replaced. */
static inline bool save_is_gone_astray(int error) {
        return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EXDEV;
}

/* Checks that its place on the disk is as expected, before any work that might be in vain. */
int save_check_place(Work *work);

/* SAVE_CHANGED if what is expected on the disk may have other bytes than @known (NULL: not known), with the size and
 * time that it had: its ctime alone has moved. A link that is made for another name moves it as well, so then the file
 * is read. To be asked right before it is replaced, removed, or said to be what was agreed. */
int save_check_unaltered(Work *work, const Digest *known);

/* The digest of what both sides agreed on; NULL: not known. */
static inline const Digest *save_agreed_digest(const Save *save) {
        return save->agreed && save->agreed->flags & ENTRY_HAS_DIGEST ? &save->agreed->digest : NULL;
}

/* Puts the temporary in place, or into conflicts/. */
int save_place(Work *work);

/* Fills in save->entry and save->disk, of which the file on disk has @disk. @keeps_inodes: its inode number means
 * something. */
void save_set_results(Save *save, const struct stat *disk, bool keeps_inodes);
void save_set_digest(Save *save, const Digest *digest);

/* Before a renamed file is linked from its old name: reads what is in doubt. If that has other bytes, the kind becomes
 * SAVE_CONTENT. */
int save_check_origin(Work *work);

/* Saves the content of a file. */
int save_file(Work *work);

/* Saves owner, mode and time of a file or directory. */
int save_attributes(Work *work);
