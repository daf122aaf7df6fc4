/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A digest that follows the copying of one file. See stage/copy-lane.h. */

#include "stage/copy-lane.h"

#include "os/hugepages.h"

#include <sys/mman.h>

enum { MAP_WINDOW = 4 * 1024 * 1024 }; /* mapped at a time */

void copy_lane_skip(CopyLane *lane, uint64_t offset) {
        if (lane->claim)
                claim_stream_zeros(lane->claim, offset - lane->position);
        else
                digest_stream_zeros(lane->stream, offset - lane->position);
        lane->position = offset;
}

void copy_lane_update(CopyLane *lane, uint64_t offset, const void *data, size_t length) {
        copy_lane_skip(lane, offset);
        if (lane->claim)
                claim_stream_update(lane->claim, data, length);
        else
                digest_stream_update(lane->stream, data, length);
        lane->position = offset + length;
}

int copy_lane_digest_by_reading(CopyLane *lane, int fd, const Chunk *chunk, uint64_t *reterr_offset) {
        _cleanup_(freep) char *buffer = malloc((size_t) MIN(chunk->length, (uint64_t) COPY_LANE_READ_MAX));
        uint64_t offset = chunk->offset, end = chunk->offset + chunk->length;

        if (!buffer)
                return -ENOMEM;
        while (offset < end) {
                ssize_t n =
                        pread(fd, buffer, (size_t) MIN(end - offset, (uint64_t) COPY_LANE_READ_MAX), (off_t) offset);

                if (n < 0 && errno == EINTR)
                        continue;
                *reterr_offset = offset;
                if (n <= 0)
                        return n < 0 ? -errno : COPY_LANE_SHORT;
                copy_lane_update(lane, offset, buffer, (size_t) n);
                offset += (uint64_t) n;
        }
        return 0;
}

/* The end of a file that does not fill a page of 2 MiB is in small pages, and counts as such. */
static void measure(CopyLanePages *pages, int fd, void *map, size_t length) {
        size_t whole = length - length % HUGE_PAGE;
        uint64_t found = hugepages_bytes(map, length);

        if (found < whole && !pages->collapse_fails && hugepages_are_given(fd)) {
                pages->collapse_fails = !hugepages_collapse(map, whole);
                found = hugepages_bytes(map, length);
        }
        pages->huge_bytes += found;
        pages->measured_bytes += length;
}

int copy_lane_digest_mapping(CopyLane *lane, int fd, const Chunk *chunk, CopyLanePages *pages,
                             uint64_t *reterr_offset) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), end = chunk->offset + chunk->length;
        size_t windows = 0;

        for (uint64_t offset = chunk->offset; offset < end; windows++) {
                uint64_t start = offset & ~(page - 1), stop = MIN(end, round_up(start + 1, MAP_WINDOW));
                size_t length = (size_t) (stop - start);
                uint8_t *map = mmap(NULL, length, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, (off_t) start);

                *reterr_offset = offset;
                if (map == MAP_FAILED)
                        return -errno;
                copy_lane_update(lane, offset, map + (offset - start), (size_t) (stop - offset));
                if (length >= HUGE_PAGE && (windows == 0 || hugepages_are_cheap_to_count()))
                        measure(pages, fd, map, length);
                (void) munmap(map, length);
                offset = stop;
        }
        return 0;
}
