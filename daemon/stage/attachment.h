/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a mirror holds while it runs: the source directory, the root of the mirror on its tmpfs with our private
 * directory in it, the lock of the state file, and the manifest of the last run. Blocking, for a worker. Changes
 * nothing in the source. */

#include "base/base.h"
#include "config/config.h"
#include "stage/mirror-private-dir.h"
#include "stage/mount.h"
#include "tree/manifest.h"

typedef struct Attachment {
        int sourcefd;                 /* O_DIRECTORY, owned */
        Mount mount;                  /* owned; mount.fd, the root of the mirror, is -1 until it is open */
        MirrorPrivateDir private_dir; /* owned; private_dir.fd is -1 until it is open */
        int statelockfd;              /* one daemon for each state file; owned */
        bool eventless;               /* the source's filesystem reports no changes made by other machines: poll */
        Generation generation;        /* of now */
        Manifest *base;               /* owned; entries of another generation are records */
        bool base_damaged;            /* the state file was damaged, in this line, and was discarded */
        unsigned damaged_line;
        int n_unknown;                /* unrecognized files in the private directory, which were left alone */
} Attachment;

void attachment_init(Attachment *attachment);

/* Opens everything. @statefd is the state directory, @size the bytes that Size= means here. Returns 0; ATTACH_REFUSED
 * with the reason, a sentence, in *reterr_text (a new string); or -ENOMEM. */
enum { ATTACH_REFUSED = 1 };
int attachment_open(Attachment *attachment, const MirrorConfig *config, int statefd, uint64_t size, char **reterr_text);

/* Closes everything. With @remove the private directory is removed if nothing unrecognized is in it, and the tmpfs is
 * unmounted if we mounted it. A negative errno if it could not be: -EBUSY, something was mounted over it. */
int attachment_close(Attachment *attachment, const MirrorConfig *config, bool remove);

/* Whether the source is still the directory that was opened. 0, or ATTACH_LOST: it is gone, or another filesystem is
 * there. What is there now is opened as the source if it holds at least one of the files in the base, with the same
 * size and time, because a server that was mounted again has another device number; then *ret_reopened is set. */
enum { ATTACH_LOST = 1 };
int attachment_check_source(Attachment *attachment, const MirrorConfig *config, bool *ret_reopened);

/* Whether the mirror is still at Target=. 0; ATTACH_LOST: it was unmounted, or something else is there now; or
 * ATTACH_WIPED: even the private directory had been removed, and was created again. */
enum { ATTACH_WIPED = 2 };
int attachment_check_mirror(Attachment *attachment, const MirrorConfig *config);

/* The end of a mirror, after what had to be removed was removed: saves the base if @save or @removed, and closes
 * everything. With @removed the base is only a record of digests from then on. Private directory and mount go if
 * nothing is left in the mirror. */
typedef struct AttachmentEnd {
        bool empty;  /* nothing is left in the mirror */
        char *left;  /* else something that is, a new string; NULL if not known */
        int save;    /* what manifest_save() returned; 0 if there was nothing to save */
        int unmount; /* what mount_close() returned */
} AttachmentEnd;
void attachment_end(Attachment *attachment, const MirrorConfig *config, int statefd, bool removed, bool save,
                    AttachmentEnd *ret);

/* The end of the process while a worker that cannot be waited for still uses the attachment: removes what the base and
 * @changes (may be NULL) list, and the mount if nothing is left. Frees nothing. */
void attachment_abandon(Attachment *attachment, const MirrorConfig *config, const Manifest *changes);
