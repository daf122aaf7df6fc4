/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A temporary file in a tmpfs with all the space that its contents will take: so a lack of space is an error here, and
 * not a SIGBUS or half a file later. */

#include "base/base.h"
#include "stage/chunks.h"

enum { RESERVE_NO_ROOM = 1 };

/* Creates an O_TMPFILE of @size bytes in the directory @dirfd, with space where @chunks are and holes elsewhere, in
 * pages of 2 MiB if the mount provides them. If the daemon is killed it is gone. 0 and *ret_fd, which is the caller's;
 * RESERVE_NO_ROOM; or a negative errno with the step in *reterr_what. */
int reserve_file(int dirfd, uint64_t size, const Chunks *chunks, int *ret_fd, const char **reterr_what);
