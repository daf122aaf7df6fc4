/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Reading a file past the page cache (O_DIRECT): where it can be done, and the rules of it.
 *
 * Offset, length and memory have to be aligned as the filesystem says (STATX_DIOALIGN, Linux 6.1; where it does not
 * say, to a page). A filesystem may refuse when the file is opened (ramfs, tmpfs before 6.6, some of FUSE), at the
 * first read (overlayfs over such a one) or at any later one (compressed extents), with EINVAL or EOPNOTSUPP; what a
 * filesystem refused once is not tried again on it. */

#include "base/base.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/* A larger request keeps the disk busier, and the processor less, than one for a buffered read would. A smaller file
 * is not worth a second open(). Bytes. */
enum { DIRECTIO_PIECE = 4 * 1024 * 1024, DIRECTIO_FILE_MIN = 1024 * 1024 };

/* The filesystems that refuse. Of a mirror, shared by its workers. */
typedef struct DirectioRefusals {
        pthread_mutex_t lock;
        dev_t devices[8]; /* under lock */
        size_t n;         /* under lock; when it is full the next ones are tried each time */
} DirectioRefusals;

void directio_refusals_init(DirectioRefusals *refusals);
void directio_refusals_done(DirectioRefusals *refusals);

/* One file, open for it. Any number of threads may read. */
typedef struct DirectioFile {
        int fd;              /* -1: it cannot be read so */
        uint64_t alignment;  /* bytes; of offset and length */
        dev_t device;
        atomic_bool refused; /* in the middle */
        DirectioRefusals *refusals; /* borrowed; NULL for no memory */
} DirectioFile;

/* Opens the file of @fd once more. False if it cannot be read so: then @ret is closed. */
bool directio_open(DirectioFile *ret, int fd, DirectioRefusals *refusals);
void directio_close(DirectioFile *file);

/* Reads up to @length bytes at @offset to @memory, which lies in its page where @offset lies in its; up to @writable
 * bytes from @memory on may be written to. Returns how many of the @length came (a read that ends early counts as
 * far as it is aligned), 0 at the end of the file, or a negative errno; -EOPNOTSUPP: this place has to be read
 * through the page cache, because it is not aligned, or, from now on, all of them (.refused). */
ssize_t directio_read(DirectioFile *file, void *memory, uint64_t length, uint64_t writable, uint64_t offset);
