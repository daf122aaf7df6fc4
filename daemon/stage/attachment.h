/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Takes hold of a mirror's two ends: the source directory, and the tmpfs with our corner in it; and of what is
 * remembered of both. Blocking, for a worker. Changes nothing in the source. */

#include "base/base.h"
#include "config/config.h"
#include "stage/mirror-private-dir.h"
#include "stage/mount.h"
#include "tree/manifest.h"

typedef struct Attachment {
        int sourcefd;          /* O_DIRECTORY, owned */
        Mount mount;           /* owned; mount.fd is -1 until it is open */
        MirrorPrivateDir private_dir;       /* owned; staging.fd is -1 until it is open */
        int statelockfd;       /* held as long as we live: one daemon for each state file */
        bool eventless;        /* the source's filesystem reports no changes made elsewhere: poll */
        Generation generation; /* of now */
        Manifest *base;        /* owned; entries of another generation are records */
        bool base_damaged;     /* what was remembered could not be read, and was forgotten */
        unsigned damaged_line;
        int n_unknown;         /* files in our corner that nobody knows: left alone */
} Attachment;

void attachment_init(Attachment *attachment);

/* Opens everything. @statefd is the state directory, @size what Size= means in bytes. Returns 0, or positive: it
 * cannot be, and *reterr_text (a new string) is the sentence to tell; or -ENOMEM. */
enum { ATTACH_REFUSED = 1 };
int attachment_open(Attachment *attachment, const MirrorConfig *config, int statefd, uint64_t size, char **reterr_text);

/* Lets go of everything. With @remove, our corner and, if we made it, the mount go too; not if unknown files are in
 * the mirror. Negative if the mount could not go: -EBUSY, something was mounted over it. */
int attachment_close(Attachment *attachment, const MirrorConfig *config, bool remove);

/* Whether the source is still the directory that was opened. 0, or ATTACH_LOST: nothing, or another filesystem is
 * there now. What is there is taken as the source again if it holds at least one of the files that the base knows,
 * with the same size and time: a NAS that was mounted anew has another device number. Then *ret_reopened is set.
 * Blocks. */
enum { ATTACH_LOST = 1 };
int attachment_check_source(Attachment *attachment, const MirrorConfig *config, bool *ret_reopened);

/* Whether the mirror is still where its clients look for it. 0; ATTACH_LOST: it was unmounted, or something else
 * stands at the target now; or ATTACH_WIPED: even our corner was removed, and has been made anew. Blocks. */
enum { ATTACH_WIPED = 2 };
int attachment_check_mirror(Attachment *attachment, const MirrorConfig *config);

/* The end of a mirror, after what was to be removed has been removed: saves the base, and lets go of everything.
 * With @removed it is a memory of digests from then on. Corner and mount go if nothing is left in the mirror; else
 * *ret_left is the name of one that is left (a new string; NULL if none, or not known). Blocks. */
typedef struct AttachmentEnd {
        bool empty;    /* nothing is left in the mirror */
        char *left;
        int save;      /* what manifest_save() returned; 0 if there was nothing to save */
        int unmount;   /* what mount_close() returned */
} AttachmentEnd;
void attachment_end(Attachment *attachment, const MirrorConfig *config, int statefd, bool removed, bool save,
                    AttachmentEnd *ret);

/* The same in haste, while a worker still holds on to the attachment: takes away what @base and @changes (may be
 * NULL) list, and the mount. Frees nothing. */
void attachment_abandon(Attachment *attachment, const MirrorConfig *config, const Manifest *changes);
