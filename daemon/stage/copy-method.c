/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The chunks of one file from the source into its temporary. See stage/copy-method.h. */

#include "stage/copy-method.h"

#include "os/hugepages.h"

#include <sys/mman.h>
#include <sys/sendfile.h>

/* Through the page cache at most this is read at once: so little that progress is reported and a cancellation noticed
 * soon even if the source is slow. Direct reads have DIRECTIO_PIECE. */
enum { PIECE = 1024 * 1024 };

/* Not for a sparse file: a mapping gives a page to every hole that is touched. */
static bool fits_mapping(CopyMethod method, bool on_record, int mirrorfd, uint64_t size, const Chunks *chunks) {
        return method != COPY_METHOD_SENDFILE && on_record && !chunks->sparse && size >= HUGE_PAGE &&
               hugepages_are_given(mirrorfd);
}

static uint64_t sum_up(const Chunks *chunks, bool only_cached) {
        uint64_t sum = 0;

        for (size_t i = 0; i < chunks->n; i++)
                sum += chunks->items[i].was_cached || !only_cached ? chunks->items[i].length : 0;
        return sum;
}

void copy_method_init(CopyMover *ret, CopyMethod method, bool on_record, int sourcefd, int mirrorfd, uint64_t size,
                      const Chunks *chunks, DirectioRefusals *refusals) {
        *ret = (CopyMover){ .method = method, .way = COPY_MOVER_BUFFER, .direct.fd = -1, .sourcefd = sourcefd,
                            .mirrorfd = mirrorfd, .size = size, .data = sum_up(chunks, false) };
        if (method != COPY_METHOD_SENDFILE && method != COPY_METHOD_BUFFERED && size >= DIRECTIO_FILE_MIN)
                (void) directio_open(&ret->direct, sourcefd, refusals);
        if (fits_mapping(method, on_record, mirrorfd, size, chunks))
                ret->way = COPY_MOVER_MAPPED;
        else if (method == COPY_METHOD_SENDFILE || (method == COPY_METHOD_AUTO && size >= DIRECTIO_FILE_MIN &&
                                                    ret->direct.fd < 0 && sum_up(chunks, true) <= ret->data / 2))
                ret->way = COPY_MOVER_SENDFILE;
}

void copy_method_done(CopyMover *mover) {
        directio_close(&mover->direct);
}

CopyMethod copy_method_used(const CopyMover *mover) {
        if (mover->way == COPY_MOVER_SENDFILE)
                return COPY_METHOD_SENDFILE;
        return atomic_load(&mover->direct_bytes) > mover->data / 2 ? COPY_METHOD_DIRECT : COPY_METHOD_BUFFERED;
}

const char *copy_method_name(CopyMethod method) {
        switch (method) {
        case COPY_METHOD_SENDFILE:
                return "sendfile";
        case COPY_METHOD_DIRECT:
                return "direct";
        case COPY_METHOD_BUFFERED:
                return "buffered";
        case COPY_METHOD_AUTO:
                break;
        }
        return NULL;
}

static bool is_cancelled(const CopyMover *mover) {
        return mover->cancel && atomic_load(mover->cancel);
}

/* How much of @length may be read now, of at most @piece; 0: cancelled. */
static uint64_t permit(CopyMover *mover, uint64_t length, uint64_t piece) {
        uint64_t permitted = ratelimit_piece(mover->limit, MIN(length, piece));

        return ratelimit_take(mover->limit, permitted, mover->cancel) == 0 && !is_cancelled(mover) ? permitted : 0;
}

/* In place of sendfile(), for filesystems that do not support it as a source. */
static ssize_t send_through_buffer(int in, int out, off_t *offset, size_t length) {
        char buffer[64 * 1024];
        ssize_t n = pread(in, buffer, MIN(length, sizeof(buffer)), *offset), written;

        if (n <= 0)
                return n;
        written = pwrite(out, buffer, (size_t) n, *offset);
        if (written > 0)
                *offset += written;
        return written;
}

static int move_by_sendfile(CopyMover *mover, const Chunk *chunk, int outfd, CopyMoverError *reterr) {
        off_t offset = (off_t) chunk->offset, end = (off_t) (chunk->offset + chunk->length);
        bool buffered = false;

        /* at offset 0 the descriptor has not moved yet */
        if (offset > 0 && lseek(outfd, offset, SEEK_SET) < 0)
                return -errno;
        while (offset < end) {
                size_t length = (size_t) permit(mover, (uint64_t) (end - offset), PIECE);
                ssize_t n;

                if (length == 0)
                        return COPY_MOVER_CANCELLED;
                n = buffered ? send_through_buffer(mover->sourcefd, outfd, &offset, length)
                             : sendfile(outfd, mover->sourcefd, &offset, length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && !buffered && (errno == EINVAL || errno == ENOSYS)) {
                        buffered = true;
                        continue;
                }
                reterr->offset = (uint64_t) offset;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return COPY_MOVER_SHORT;
                (void) atomic_fetch_add(mover->progress, (uint_fast64_t) n);
        }
        return 0;
}

static bool wants_direct(const CopyMover *mover, const Chunk *chunk) {
        return mover->direct.fd >= 0 && (mover->method == COPY_METHOD_DIRECT || !chunk->was_cached);
}

/* Returns how many bytes were read, 0 at the end of the file, or a negative errno. */
static ssize_t read_piece(CopyMover *mover, bool direct, uint8_t *memory, uint64_t length, uint64_t writable,
                          uint64_t offset) {
        ssize_t n;

        if (direct) {
                n = directio_read(&mover->direct, memory, length, writable, offset);
                if (n > 0)
                        (void) atomic_fetch_add(&mover->direct_bytes, (uint_fast64_t) n);
                if (n != -EOPNOTSUPP)
                        return n;
        }
        n = pread(mover->sourcefd, memory, (size_t) length, (off_t) offset);
        return n < 0 ? -errno : n;
}

/* Reads @length bytes of the chunk, from @offset on, to @memory, of which @writable bytes may be written to. */
static int fill(CopyMover *mover, const Chunk *chunk, uint8_t *memory, uint64_t offset, uint64_t length,
                uint64_t writable, CopyMoverError *reterr) {
        for (uint64_t done = 0; done < length;) {
                bool direct = wants_direct(mover, chunk) && !atomic_load(&mover->direct.refused);
                uint64_t piece = permit(mover, length - done, direct ? DIRECTIO_PIECE : PIECE);
                ssize_t n;

                if (piece == 0)
                        return COPY_MOVER_CANCELLED;
                n = read_piece(mover, direct, memory + done, piece, writable - done, offset + done);
                if (n == -EINTR)
                        continue;
                reterr->offset = offset + done;
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        return COPY_MOVER_SHORT;
                (void) atomic_fetch_add(mover->progress, (uint_fast64_t) n);
                done += (uint64_t) n;
        }
        return 0;
}

/* In the last page a direct read, or a file that has grown, may leave bytes behind the end of the file, and a process
 * that maps the page would see them: so they are cleared. */
static int move_through_mapping(CopyMover *mover, const Chunk *chunk, CopyMoverError *reterr) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), before = chunk->offset % page, start = chunk->offset - before;
        uint64_t used = before + chunk->length, length = round_up(used, page);
        uint8_t *map = mmap(NULL, (size_t) length, PROT_READ | PROT_WRITE, MAP_SHARED, mover->mirrorfd, (off_t) start);
        int r;

        *reterr = (CopyMoverError){ .offset = chunk->offset, .what = COPY_MOVER_WRITE };
        if (map == MAP_FAILED)
                return -errno;
        reterr->what = COPY_MOVER_READ;
        r = fill(mover, chunk, map + before, chunk->offset, chunk->length, length - before, reterr);
        if (start + used == mover->size)
                memset(map + used, 0, (size_t) (length - used));
        (void) munmap(map, (size_t) length);
        return r;
}

static int write_all(int fd, const uint8_t *data, uint64_t length, uint64_t offset) {
        for (uint64_t done = 0; done < length;) {
                ssize_t n = pwrite(fd, data + done, (size_t) (length - done), (off_t) (offset + done));

                if (n < 0 && errno != EINTR)
                        return -errno;
                done += n > 0 ? (uint64_t) n : 0;
        }
        return 0;
}

/* For direct reads, an offset and its place in the buffer have the same position within their pages. */
static int move_through_buffer(CopyMover *mover, const Chunk *chunk, const CopyWorker *worker, CopyMoverError *reterr) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), size = copy_method_buffer_size(mover);
        int r = 0;

        for (uint64_t done = 0; r == 0 && done < chunk->length;) {
                uint64_t offset = chunk->offset + done, before = offset % page,
                         length = MIN(chunk->length - done, size - before);

                *reterr = (CopyMoverError){ .offset = offset, .what = COPY_MOVER_READ };
                r = fill(mover, chunk, worker->buffer + before, offset, length, size - before, reterr);
                if (r == 0 && worker->seen)
                        r = worker->seen(worker->userdata, chunk, offset, worker->buffer + before, (size_t) length);
                if (r == 0) {
                        reterr->what = COPY_MOVER_WRITE;
                        r = write_all(mover->mirrorfd, worker->buffer + before, length, offset);
                }
                done += length;
        }
        return r;
}

size_t copy_method_buffer_size(const CopyMover *mover) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);

        return mover->way == COPY_MOVER_BUFFER ? (size_t) MIN(round_up(MAX(mover->size, 1), page), FIT_COPY_BUFFER) : 0;
}

int copy_method_move(CopyMover *mover, const Chunk *chunk, const CopyWorker *worker, CopyMoverError *reterr) {
        *reterr = (CopyMoverError){ .offset = chunk->offset, .what = COPY_MOVER_READ };
        if (mover->way == COPY_MOVER_SENDFILE)
                return move_by_sendfile(mover, chunk, worker->outfd, reterr);
        return mover->way == COPY_MOVER_MAPPED ? move_through_mapping(mover, chunk, reterr)
                                              : move_through_buffer(mover, chunk, worker, reterr);
}
