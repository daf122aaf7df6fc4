/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads a file and computes its digest. See os/file-digest.h. */

#include "os/file-digest.h"

#include "os/fs.h"
#include "os/pagecache.h"

#include <fcntl.h>

enum { BUFFER = 256 * 1024, STRIDE = 16 * 1024 * 1024 };

struct FileDigestVerification {
        int fd; /* borrowed */
        uint64_t size, position;
        uint64_t start, end; /* of the range of data that is being read, or comes next */
        DigestStream *stream;
        void *buffer;
};

/* Uses pread() and not a mapping: reading a hole of a tmpfs file through a mapping would allocate a page for it. */
static int digest_range(FileDigestVerification *v, uint64_t end, const FileDigestOptions *options) {
        while (v->position < end) {
                size_t piece = (size_t) ratelimit_piece(options->limit, MIN(end - v->position, (uint64_t) BUFFER));
                ssize_t n;

                if (ratelimit_take(options->limit, piece, options->cancel) > 0)
                        return -ECANCELED;
                n = pread(v->fd, v->buffer, piece, (off_t) v->position);
                if (options->cancel && atomic_load(options->cancel))
                        return -ECANCELED;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -ESTALE; /* it became shorter */
                digest_stream_update(v->stream, v->buffer, (size_t) n);
                (void) atomic_fetch_add(options->progress, (uint_fast64_t) n);
                v->position += (uint64_t) n;
        }
        return 0;
}

/* Reads up to @end and drops it from the page cache, if most of it was not there before. */
static int digest_stride(FileDigestVerification *v, uint64_t end, const FileDigestOptions *options) {
        uint64_t start = v->position;
        bool was_cached = pagecache_bytes(v->fd, start, end - start) > (end - start) / 2;
        int r = digest_range(v, end, options);

        if (r == 0 && !was_cached)
                pagecache_drop(v->fd, start, end - start);
        return r;
}

/* Finds the next range of data, so that at the position there is a hole up to .start, or data from there to .end. */
static int find_data(FileDigestVerification *v) {
        int r;

        if (v->position < v->end)
                return 0;
        r = fs_next_data(v->fd, v->end, v->size, &v->start, &v->end);
        if (r == 0)
                v->start = v->end = v->size;
        return MIN(r, 0);
}

static int digest_hole(FileDigestVerification *v, uint64_t end, const FileDigestOptions *options) {
        digest_stream_zeros(v->stream, end - v->position);
        v->position = end;
        return options->cancel && atomic_load(options->cancel) ? -ECANCELED : 0;
}

int file_digest_verification_continue(FileDigestVerification *v, uint64_t max, const FileDigestOptions *options,
                                      Digest *ret) {
        while (v->position < v->size) {
                int r = find_data(v);
                bool hole = v->position < v->start;
                uint64_t n = MIN(MIN((hole ? v->start : v->end) - v->position, max), (uint64_t) STRIDE);

                if (r < 0)
                        return r;
                if (n == 0)
                        return FILE_DIGEST_MORE;
                r = hole ? digest_hole(v, v->position + n, options) : digest_stride(v, v->position + n, options);
                if (r < 0)
                        return r;
                max -= n;
        }
        *ret = digest_stream_get(v->stream);
        return 0;
}

int file_digest_verification_new(FileDigestVerification **ret, int fd) {
        _cleanup_(file_digest_verification_freep) FileDigestVerification *v = calloc(1, sizeof(*v));
        struct stat st;
        int r;

        if (!v)
                return -ENOMEM;
        v->fd = fd;
        v->buffer = malloc(BUFFER);
        r = v->buffer ? digest_stream_new(&v->stream) : -ENOMEM;
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -ESTALE;
        v->size = (uint64_t) st.st_size;
        *ret = TAKE_PTR(v);
        return 0;
}

FileDigestVerification *file_digest_verification_free(FileDigestVerification *v) {
        if (!v)
                return NULL;
        (void) digest_stream_free(v->stream);
        free(v->buffer);
        free(v);
        return NULL;
}

int file_digest_of(int fd, const FileDigestOptions *options, Digest *ret) {
        _cleanup_(file_digest_verification_freep) FileDigestVerification *v = NULL;
        int r = file_digest_verification_new(&v, fd);

        return r < 0 ? r : file_digest_verification_continue(v, UINT64_MAX, options, ret);
}

int file_digest_at(int dirfd, const char *path, const FileDigestOptions *options, Digest *ret) {
        _cleanup_(close_fdp) int fd = fs_open_beneath(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

        return fd < 0 ? fd : file_digest_of(fd, options, ret);
}
