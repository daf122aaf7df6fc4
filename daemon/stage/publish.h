/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Makes entries visible in the mirror, by one rename each, with owner, mode, mtime in nanoseconds and user xattrs of
 * the source.
 *
 * Set-id bits of files, file capabilities and xattrs outside "user." are never copied. Unless we are root, owners
 * cannot be kept either: the files are ours. Any thread. Each function returns 0; TREE_OCCUPIED if something unexpected
 * is at the path, or TREE_BUSY if the file there is open or mapped for writing, and then nothing has changed; or a
 * negative errno with the step in *reterr_what, a verb that takes the path.
 *
 * @expected is what the plan saw at the path in the mirror, NULL for nothing. *ret is the entry as it is in the mirror
 * now: that of the source with inode number and ctime of the mirror; its strings are borrowed from @source. */

#include "base/base.h"
#include "stage/mirror-private-dir.h"
#include "tree/manifest.h"

/* @mirrorfd is the finished temporary file (an O_TMPFILE), @sourcefd the file that xattrs are copied from.
 * *ret_xattrs_lost is set if the tmpfs does not support user xattrs (before Linux 6.6). */
int publish_file(MirrorPrivateDir *private_dir, int mirrorfd, int sourcefd, const Entry *source,
                 const Entry *expected, Entry *ret, bool *ret_xattrs_lost, const char **reterr_what);

/* A further name of the file at source->target. -ESTALE if that does not have the size and time of @source. */
int publish_hardlink(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                     const char **reterr_what);

/* @target is the text of the link: that of the source's link, or the path of the file on disk. */
int publish_symlink(MirrorPrivateDir *private_dir, const Entry *source, const char *target, const Entry *expected,
                    Entry *ret, const char **reterr_what);

/* The directory is writable for us until publish_attributes() gives it its own mode. */
int publish_directory(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                      const char **reterr_what);

/* Sets owner, mode and mtime of the file or directory that is there already; @expected NULL: any directory. */
int publish_attributes(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                       const char **reterr_what);
