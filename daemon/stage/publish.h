/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Makes things visible in the mirror: with owner, mode, mtime in nanoseconds and user xattrs of the source's entry,
 * by one rename.
 *
 * Set-id bits, sticky bits, file capabilities and any xattr outside "user." are never carried. Where we are not
 * root, owners cannot be kept: the files are ours. Functions run on any thread. Each returns 0, PUBLISH_OCCUPIED if
 * something unexpected stands at the path (nothing is changed then), or a negative errno with the step in
 * *reterr_what.
 *
 * @expected: what the plan saw at the path in the mirror, NULL for nothing. *ret is the entry as it now is in the
 * mirror: the source's, with inode number and ctime of the mirror's; its strings are borrowed from @source. */

#include "base/base.h"
#include "stage/mirror-private-dir.h"
#include "tree/manifest.h"

enum { PUBLISH_OCCUPIED = MIRROR_PRIVATE_DIR_OCCUPIED };

/* @mirrorfd is the finished temporary (an O_TMPFILE), @sourcefd where xattrs come from. *ret_xattrs_lost is set
 * where the tmpfs takes no user xattrs (before Linux 6.6). */
int publish_file(MirrorPrivateDir *private_dir, int mirrorfd, int sourcefd, const Entry *source,
                 const Entry *expected, Entry *ret, bool *ret_xattrs_lost, const char **reterr_what);

/* -ESTALE if what stands at the first name does not have the size and time that the source's has. */
int publish_hardlink(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                     const char **reterr_what);

/* @target: what the link says, the source's own text or the path of the disk original. Data that it takes the place
 * of stays (PUBLISH_OCCUPIED) while somebody has it open for writing. */
int publish_symlink(MirrorPrivateDir *private_dir, const Entry *source, const char *target, const Entry *expected,
                    Entry *ret, const char **reterr_what);

/* The directory can be entered and written by us until publish_attributes() gives it its own mode. */
int publish_directory(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                      const char **reterr_what);

/* Owner, mode, and mtime of what stands there already. */
int publish_attributes(MirrorPrivateDir *private_dir, const Entry *source, Entry *ret, const char **reterr_what);
