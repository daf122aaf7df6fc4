/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A temporary file with all its space. See stage/reserve.h. */

#include "stage/reserve.h"

#include "os/hugepages.h"
#include "os/tree-access.h"

#include <fcntl.h>

static int reserve_range(int fd, int mode, uint64_t offset, uint64_t length) {
        int r;

        do
                r = fallocate(fd, mode, (off_t) offset, (off_t) length);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : 0;
}

/* ftruncate() comes before fallocate(), because up to Linux 6.11 huge=within_size goes by the size that the file has at
 * that moment. A sparse file grows with its data instead, or else the first byte of each extent would take 2 MiB. Even
 * so data that reaches the end of a 2 MiB page may get the whole page; the part that is in the hole before the data is
 * punched out again. An interrupted fallocate() undoes all that it has done, so it is called for one chunk at a time.
 * For a small file fallocate() sets the size. */
static int reserve_chunks(int fd, uint64_t size, const Chunks *chunks) {
        uint64_t end = 0;

        if (!chunks->sparse && size >= HUGE_PAGE && ftruncate(fd, (off_t) size) < 0)
                return -errno;
        for (size_t i = 0; i < chunks->n; i++) {
                const Chunk *chunk = &chunks->items[i];
                int r = reserve_range(fd, 0, chunk->offset, chunk->length);

                if (r == 0 && chunk->offset > end)
                        r = reserve_range(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, chunk->offset - end);
                if (r < 0)
                        return r;
                end = chunk->offset + chunk->length;
        }
        if (chunks->sparse && ftruncate(fd, (off_t) size) < 0)
                return -errno;
        return 0;
}

int reserve_file(int dirfd, uint64_t size, const Chunks *chunks, int *ret_fd, const char **reterr_what) {
        _cleanup_(close_fdp) int fd = tree_access_create_unnamed(dirfd);
        int r;

        if (fd < 0) {
                *reterr_what = "create a temporary file for";
                return fd == -ENOSPC ? RESERVE_NO_ROOM : fd;
        }
        *reterr_what = "reserve space for the copy of";
        r = reserve_chunks(fd, size, chunks);
        if (r < 0)
                return r == -ENOSPC ? RESERVE_NO_ROOM : r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
