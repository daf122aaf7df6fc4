/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* An invisible temporary in a tmpfs, with all the room that its file will take: so ENOSPC comes here, cleanly, and
 * not as SIGBUS or a half file. */

#include "base/base.h"
#include "stage/chunks.h"

enum { RESERVE_NO_ROOM = 1 };

/* Makes an O_TMPFILE (a daemon that is killed leaves none) of @size bytes in the directory @dirfd, with room where
 * @chunks are and holes elsewhere. In pages of 2 MiB where the mount gives them. 0 and *ret_fd, the caller's;
 * RESERVE_NO_ROOM; negative errno: *reterr_what names the step. */
int reserve_file(int dirfd, uint64_t size, const Chunks *chunks, int *ret_fd, const char **reterr_what);
