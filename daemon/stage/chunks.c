/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A file cut into chunks of data. See stage/chunks.h. */

#include "stage/chunks.h"

#include "base/array.h"
#include "os/fs.h"
#include "os/pagecache.h"

/* A file of more pieces is copied with its holes filled: the list of chunks would take more memory than they spare. */
enum { CHUNKS_MAX = 1024 * 1024 };

uint64_t chunks_part(const Chunk *chunk) {
        return round_up((chunk->length + 63) / 64, 4096);
}

/* Checked part by part only where chunk and cached range do not coincide: at the ends of what others have read. */
static uint64_t find_cached_parts(int fd, const Chunk *chunk, uint64_t cached) {
        uint64_t part = chunks_part(chunk), parts = 0;

        if (cached == 0 || cached == chunk->length)
                return cached == 0 ? 0 : UINT64_MAX;
        for (uint64_t i = 0, at = 0; at < chunk->length; i++, at += part)
                if (pagecache_bytes(fd, chunk->offset + at, MIN(part, chunk->length - at)) > 0)
                        parts |= UINT64_C(1) << i;
        return parts;
}

static int add(Chunks *chunks, int fd, uint64_t offset, uint64_t length) {
        uint64_t cached;
        Chunk *chunk;

        if (ARRAY_ROOM(chunks->items, chunks->n) < 0)
                return -ENOMEM;
        chunk = &chunks->items[chunks->n++];
        *chunk = (Chunk){ .offset = offset, .length = length };
        cached = pagecache_bytes(fd, offset, length);
        chunk->was_cached = cached > length / 2;
        chunk->cached_parts = find_cached_parts(fd, chunk, cached);
        return 0;
}

static int add_range(Chunks *chunks, int fd, uint64_t start, uint64_t end, uint64_t chunk_size) {
        while (start < end) {
                /* cut at multiples of the chunk size, so that no page of 2 MiB is in two chunks */
                uint64_t stop = MIN(end, start - start % chunk_size + chunk_size);
                int r = add(chunks, fd, start, stop - start);

                if (r < 0)
                        return r;
                start = stop;
        }
        return 0;
}

/* Positive if there are more than CHUNKS_MAX. */
static int add_data(Chunks *chunks, int fd, uint64_t size, uint64_t chunk_size) {
        uint64_t start, end = 0;
        int r;

        while ((r = fs_next_data(fd, end, size, &start, &end)) > 0) {
                r = add_range(chunks, fd, start, end, chunk_size);
                if (r < 0)
                        return r;
                if (chunks->n > CHUNKS_MAX)
                        return 1;
        }
        chunks->sparse = true;
        return r;
}

int chunks_init(Chunks *ret, int fd, uint64_t size, uint64_t room, uint64_t chunk_size) {
        Chunks chunks = {};
        int r = 1;

        if (room < size)
                r = add_data(&chunks, fd, size, chunk_size);
        if (r > 0) {
                chunks_done(&chunks);
                r = add_range(&chunks, fd, 0, size, chunk_size);
        }
        if (r < 0) {
                chunks_done(&chunks);
                return r;
        }
        *ret = chunks;
        return 0;
}

void chunks_done(Chunks *chunks) {
        free(chunks->items);
        *chunks = (Chunks){};
}
