/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Direct reads, past the page cache (O_DIRECT): which files allow them, and how they are aligned.
 *
 * Offset, length and memory have to be aligned as the filesystem requires (STATX_DIOALIGN, Linux 6.1; to a page
 * where it does not say). A filesystem may refuse with EINVAL or EOPNOTSUPP when the file is opened (ramfs, tmpfs
 * before 6.6, some of FUSE), at the first read (overlayfs over one of those) or at any later read (compressed
 * extents). A filesystem that has refused once is not tried again. */

#include "base/base.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/* A larger request keeps the disk busier, and the processor less, than one for a buffered read would. A smaller file
 * is not worth a second open(). Bytes. */
enum { DIRECTIO_PIECE = 4 * 1024 * 1024, DIRECTIO_FILE_MIN = 1024 * 1024 };

/* The filesystems that have refused. A mirror has one, which its workers share. */
typedef struct DirectioRefusals {
        pthread_mutex_t lock;
        dev_t devices[8]; /* under lock */
        size_t n;         /* under lock; when the array is full, further filesystems are tried each time */
} DirectioRefusals;

void directio_refusals_init(DirectioRefusals *refusals);
void directio_refusals_done(DirectioRefusals *refusals);

/* One file, open for direct reads by any number of threads. */
typedef struct DirectioFile {
        int fd;              /* -1: direct reads are not possible */
        uint64_t alignment;  /* of offset and length, in bytes */
        dev_t device;
        atomic_bool refused; /* by a read, after others went well */
        DirectioRefusals *refusals; /* borrowed; NULL: refusals are not remembered */
} DirectioFile;

/* Opens the file of @fd once more, for direct reads. False, with nothing open, if they are not possible. */
bool directio_open(DirectioFile *ret, int fd, DirectioRefusals *refusals);
void directio_close(DirectioFile *file);

/* Reads up to @length bytes at @offset into @memory, which has the same offset in its page as @offset has. Up to
 * @writable bytes from @memory on may be overwritten. Returns how many of the @length bytes were read (of a short
 * read, as far as it is aligned), 0 at the end of the file, or a negative errno. -EOPNOTSUPP: these bytes must be
 * read through the page cache, because they are not aligned or, with .refused set, because the filesystem refuses. */
ssize_t directio_read(DirectioFile *file, void *memory, uint64_t length, uint64_t writable, uint64_t offset);
