/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads a file that is already in place and says what its digest is. See verify.h. */

#include "verify.h"

#include "fs.h"
#include "pagecache.h"

#include <fcntl.h>

enum { BUFFER = 256 * 1024, STRIDE = 16 * 1024 * 1024 };

/* With read() and not through a mapping: touching a hole of a tmpfs file through a mapping would give it a page. */
static int digest_range(int fd, uint64_t start, uint64_t end, DigestStream *stream, void *buffer, const VerifyOptions *options) {
        while (start < end) {
                ssize_t n = pread(fd, buffer, (size_t) MIN(end - start, (uint64_t) BUFFER), (off_t) start);

                if (options->cancel && atomic_load(options->cancel))
                        return -ECANCELED;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -ESTALE; /* it became shorter: whoever asked looks again */
                digest_stream_update(stream, buffer, (size_t) n);
                (void) atomic_fetch_add(options->progress, (uint_fast64_t) n);
                start += (uint64_t) n;
        }
        return 0;
}

static int digest_data(int fd, uint64_t size, DigestStream *stream, void *buffer, const VerifyOptions *options) {
        uint64_t position = 0, start, end = 0;
        int r;

        while ((r = fs_next_data(fd, end, size, &start, &end)) > 0) {
                digest_stream_zeros(stream, start - position);
                for (position = start; position < end;) {
                        uint64_t stop = MIN(end, position + STRIDE);
                        bool was_cached = pagecache_bytes(fd, position, stop - position) > (stop - position) / 2;

                        r = digest_range(fd, position, stop, stream, buffer, options);
                        if (r < 0)
                                return r;
                        if (!was_cached)
                                pagecache_drop(fd, position, stop - position);
                        position = stop;
                }
        }
        if (r == 0)
                digest_stream_zeros(stream, size - position);
        return r;
}

int verify_open_digest(int fd, const VerifyOptions *options, Digest *ret) {
        _cleanup_(digest_stream_freep) DigestStream *stream = NULL;
        _cleanup_(freep) void *buffer = malloc(BUFFER);
        struct stat st;
        int r;

        if (!buffer)
                return -ENOMEM;
        r = digest_stream_new(&stream);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -ESTALE;
        r = digest_data(fd, (uint64_t) st.st_size, stream, buffer, options);
        if (r < 0)
                return r;
        *ret = digest_stream_get(stream);
        return 0;
}

int verify_digest(int dirfd, const char *path, const VerifyOptions *options, Digest *ret) {
        _cleanup_(close_fdp) int fd = fs_open_beneath(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);

        return fd < 0 ? fd : verify_open_digest(fd, options, ret);
}
