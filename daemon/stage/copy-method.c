/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The chunks of one file from the source into its temporary. See stage/copy-method.h. */

#include "stage/copy-method.h"

#include "os/hugepages.h"

#include <sys/mman.h>
#include <sys/sendfile.h>

/* Through the page cache in pieces of this size: small enough that progress is seen and a cancellation is heard on a
 * slow source. */
enum { PIECE = 1024 * 1024 };

/* Past the page cache a larger request keeps the disk busier, and the processor less. To open a smaller file for it
 * once more is not worth it. */
enum { DIRECT_PIECE = 4 * 1024 * 1024, DIRECT_MIN = 1024 * 1024 };

/* A hole is not to be touched through a mapping, which would give it a page. */
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
        *ret = (CopyMover){ .method = method, .sourcefd = sourcefd, .mirrorfd = mirrorfd, .size = size, .data = sum_up(chunks, false),
                            .direct.fd = -1, .way = COPY_MOVER_BUFFER };
        if (method != COPY_METHOD_SENDFILE && method != COPY_METHOD_BUFFERED && size >= DIRECT_MIN)
                (void) directio_open(&ret->direct, sourcefd, refusals);
        if (fits_mapping(method, on_record, mirrorfd, size, chunks))
                ret->way = COPY_MOVER_MAPPED;
        else if (method == COPY_METHOD_SENDFILE || (method == COPY_METHOD_AUTO && size >= DIRECT_MIN &&
                                                    ret->direct.fd < 0 && sum_up(chunks, true) <= ret->data / 2))
                ret->way = COPY_MOVER_SENDFILE;
}

void copy_method_done(CopyMover *route) {
        directio_close(&route->direct);
}

CopyMethod copy_method_used(const CopyMover *route) {
        if (route->way == COPY_MOVER_SENDFILE)
                return COPY_METHOD_SENDFILE;
        return atomic_load(&route->direct_bytes) > route->data / 2 ? COPY_METHOD_DIRECT : COPY_METHOD_BUFFERED;
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

static bool is_cancelled(const CopyMover *route) {
        return route->cancel && atomic_load(route->cancel);
}

/* How much of @length may be read now, of at most @piece; 0: cancelled. */
static uint64_t permit(CopyMover *route, uint64_t length, uint64_t piece) {
        uint64_t permitted = ratelimit_piece(route->limit, MIN(length, piece));

        return ratelimit_take(route->limit, permitted, route->cancel) == 0 && !is_cancelled(route) ? permitted : 0;
}

/* For filesystems whose files cannot be the source of sendfile(). */
static ssize_t copy_through_buffer(int in, int out, off_t *offset, size_t length) {
        char buffer[64 * 1024];
        ssize_t n = pread(in, buffer, MIN(length, sizeof(buffer)), *offset), written;

        if (n <= 0)
                return n;
        written = pwrite(out, buffer, (size_t) n, *offset);
        if (written > 0)
                *offset += written;
        return written;
}

static int move_by_sendfile(CopyMover *route, const Chunk *chunk, int outfd, CopyMoverError *reterr) {
        off_t offset = (off_t) chunk->offset, end = (off_t) (chunk->offset + chunk->length);
        bool buffered = false;

        /* the first chunk comes first, to a descriptor that has not moved yet */
        if (offset > 0 && lseek(outfd, offset, SEEK_SET) < 0)
                return -errno;
        while (offset < end) {
                size_t length = (size_t) permit(route, (uint64_t) (end - offset), PIECE);
                ssize_t n;

                if (length == 0)
                        return COPY_MOVER_CANCELLED;
                n = buffered ? copy_through_buffer(route->sourcefd, outfd, &offset, length)
                             : sendfile(outfd, route->sourcefd, &offset, length);
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
                (void) atomic_fetch_add(route->progress, (uint_fast64_t) n);
        }
        return 0;
}

static bool wants_direct(const CopyMover *route, const Chunk *chunk) {
        return route->direct.fd >= 0 && (route->method == COPY_METHOD_DIRECT || !chunk->was_cached);
}

/* Returns the bytes that came, 0 at the end of the file, or a negative errno. */
static ssize_t read_piece(CopyMover *route, bool direct, uint8_t *memory, uint64_t length, uint64_t writable,
                          uint64_t offset) {
        ssize_t n;

        if (direct) {
                n = directio_read(&route->direct, memory, length, writable, offset);
                if (n > 0)
                        (void) atomic_fetch_add(&route->direct_bytes, (uint_fast64_t) n);
                if (n != -EOPNOTSUPP)
                        return n;
        }
        n = pread(route->sourcefd, memory, (size_t) length, (off_t) offset);
        return n < 0 ? -errno : n;
}

/* @length bytes of the chunk, from @offset on. */
static int fill(CopyMover *route, const Chunk *chunk, uint8_t *memory, uint64_t offset, uint64_t length,
                uint64_t writable, CopyMoverError *reterr) {
        for (uint64_t done = 0; done < length;) {
                bool direct = wants_direct(route, chunk) && !atomic_load(&route->direct.refused);
                uint64_t piece = permit(route, length - done, direct ? DIRECT_PIECE : PIECE);
                ssize_t n;

                if (piece == 0)
                        return COPY_MOVER_CANCELLED;
                n = read_piece(route, direct, memory + done, piece, writable - done, offset + done);
                if (n == -EINTR)
                        continue;
                reterr->offset = offset + done;
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        return COPY_MOVER_SHORT;
                (void) atomic_fetch_add(route->progress, (uint_fast64_t) n);
                done += (uint64_t) n;
        }
        return 0;
}

/* What a direct read or a file that grew has left behind the end, in the file's last page, would be seen by whoever
 * maps it. */
static int move_through_mapping(CopyMover *route, const Chunk *chunk, CopyMoverError *reterr) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), before = chunk->offset % page, start = chunk->offset - before;
        uint64_t used = before + chunk->length, length = round_up(used, page);
        uint8_t *map = mmap(NULL, (size_t) length, PROT_READ | PROT_WRITE, MAP_SHARED, route->mirrorfd, (off_t) start);
        int r;

        *reterr = (CopyMoverError){ .offset = chunk->offset, .what = COPY_MOVER_WRITE };
        if (map == MAP_FAILED)
                return -errno;
        reterr->what = COPY_MOVER_READ;
        r = fill(route, chunk, map + before, chunk->offset, chunk->length, length - before, reterr);
        if (start + used == route->size)
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

/* A direct read wants the buffer to lie in its page where the offset lies in its. */
static int move_through_buffer(CopyMover *route, const Chunk *chunk, const CopyWorker *worker, CopyMoverError *reterr) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), size = copy_method_buffer_size(route);
        int r = 0;

        for (uint64_t done = 0; r == 0 && done < chunk->length;) {
                uint64_t offset = chunk->offset + done, before = offset % page,
                         length = MIN(chunk->length - done, size - before);

                *reterr = (CopyMoverError){ .offset = offset, .what = COPY_MOVER_READ };
                r = fill(route, chunk, worker->buffer + before, offset, length, size - before, reterr);
                if (r == 0 && worker->seen)
                        r = worker->seen(worker->userdata, chunk, offset, worker->buffer + before, (size_t) length);
                if (r == 0) {
                        reterr->what = COPY_MOVER_WRITE;
                        r = write_all(route->mirrorfd, worker->buffer + before, length, offset);
                }
                done += length;
        }
        return r;
}

size_t copy_method_buffer_size(const CopyMover *route) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);

        return route->way == COPY_MOVER_BUFFER ? (size_t) MIN(round_up(MAX(route->size, 1), page), FIT_COPY_BUFFER) : 0;
}

int copy_method_move(CopyMover *route, const Chunk *chunk, const CopyWorker *worker, CopyMoverError *reterr) {
        *reterr = (CopyMoverError){ .offset = chunk->offset, .what = COPY_MOVER_READ };
        if (route->way == COPY_MOVER_SENDFILE)
                return move_by_sendfile(route, chunk, worker->outfd, reterr);
        return route->way == COPY_MOVER_MAPPED ? move_through_mapping(route, chunk, reterr)
                                              : move_through_buffer(route, chunk, worker, reterr);
}
