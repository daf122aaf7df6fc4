/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Direct reads, past the page cache. See os/directio.h. */

#include "os/directio.h"

#include "os/tree-access.h"

#include <fcntl.h>
#include <sys/stat.h>

void directio_refusals_init(DirectioRefusals *refusals) {
        *refusals = (DirectioRefusals){};
        (void) pthread_mutex_init(&refusals->lock, NULL);
}

void directio_refusals_done(DirectioRefusals *refusals) {
        (void) pthread_mutex_destroy(&refusals->lock);
}

static bool is_refused(DirectioRefusals *refusals, dev_t device) {
        bool found = false;

        if (!refusals)
                return false;
        (void) pthread_mutex_lock(&refusals->lock);
        for (size_t i = 0; i < refusals->n; i++)
                found = found || refusals->devices[i] == device;
        (void) pthread_mutex_unlock(&refusals->lock);
        return found;
}

static void remember(DirectioRefusals *refusals, dev_t device) {
        if (!refusals || is_refused(refusals, device))
                return;
        (void) pthread_mutex_lock(&refusals->lock);
        if (refusals->n < ELEMENTSOF(refusals->devices))
                refusals->devices[refusals->n++] = device;
        (void) pthread_mutex_unlock(&refusals->lock);
}

static bool is_refusal(int error) {
        return error == EINVAL || error == EOPNOTSUPP;
}

/* Of offset and length; 0: the filesystem reports that this file has no direct reads. */
static uint64_t find_alignment(int fd) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
        struct statx stx;

        if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0 || !(stx.stx_mask & STATX_DIOALIGN))
                return page;
        if (stx.stx_dio_offset_align == 0 || stx.stx_dio_mem_align > page)
                return 0;
        /* Whole pages are read even where the filesystem allows smaller pieces. */
        return MAX((uint64_t) stx.stx_dio_offset_align, page);
}

bool directio_open(DirectioFile *ret, int fd, DirectioRefusals *refusals) {
        struct stat st;
        int direct;

        *ret = (DirectioFile){ .fd = -1, .refusals = refusals };
        if (fstat(fd, &st) < 0 || is_refused(refusals, st.st_dev))
                return false;
        ret->device = st.st_dev;
        ret->alignment = find_alignment(fd);
        if (ret->alignment == 0)
                return false; /* not remembered: other files of the filesystem may have them */
        direct = tree_access_reopen(fd, O_RDONLY | O_DIRECT | O_NONBLOCK | O_NOCTTY);
        if (direct < 0 && is_refusal(-direct))
                remember(refusals, st.st_dev);
        ret->fd = MAX(direct, -1);
        return direct >= 0;
}

void directio_close(DirectioFile *file) {
        file->fd = close_fd(file->fd);
}

ssize_t directio_read(DirectioFile *file, void *memory, uint64_t length, uint64_t writable, uint64_t offset) {
        uint64_t request = round_up(length, file->alignment);
        ssize_t n;

        if (request > writable)
                request = length - length % file->alignment;
        if (request == 0 || offset % file->alignment != 0 || atomic_load(&file->refused))
                return -EOPNOTSUPP;
        do
                n = pread(file->fd, memory, (size_t) request, (off_t) offset);
        while (n < 0 && errno == EINTR);
        if (n >= 0) {
                n = MIN(n, (ssize_t) length);
                /* A short read may end anywhere; from an aligned offset the next one can be direct again. */
                if (n < (ssize_t) length && n > (ssize_t) file->alignment)
                        n -= n % (ssize_t) file->alignment;
                return n;
        }
        if (!is_refusal(errno))
                return -errno;
        atomic_store(&file->refused, true);
        remember(file->refusals, file->device);
        return -EOPNOTSUPP;
}
