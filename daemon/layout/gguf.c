/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How long a GGUF file must be. See layout/gguf.h. */

#include "layout/gguf.h"

#include <endian.h>

enum { READ_MAX = 64 * 1024 * 1024, TENSORS_MAX = 1000000, DIMENSIONS_MAX = 4, ARRAYS_MAX = 4 };

enum {
        VALUE_UINT8, VALUE_INT8, VALUE_UINT16, VALUE_INT16, VALUE_UINT32, VALUE_INT32, VALUE_FLOAT32, VALUE_BOOL,
        VALUE_STRING, VALUE_ARRAY, VALUE_UINT64, VALUE_INT64, VALUE_FLOAT64,
};

/* A window that moves forward over the header. After a failure the functions below do nothing, and what they return
 * means nothing. */
typedef struct Window {
        int fd;
        uint64_t size;           /* of the file */
        uint64_t position;       /* of the next byte */
        uint64_t start;          /* of the window in the file */
        size_t length;
        uint64_t read;           /* bytes so far */
        int outcome;             /* what gguf_length() returns */
        uint8_t bytes[64 * KIB];
} Window;

static int window_fill(Window *window) {
        ssize_t n;

        if (window->read >= READ_MAX)
                return GGUF_UNKNOWN;
        do
                n = pread(window->fd, window->bytes, sizeof(window->bytes), (off_t) window->position);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        window->start = window->position;
        window->length = (size_t) n;
        window->read += sizeof(window->bytes); /* also for a short read, so that the number of reads is bounded too */
        return 0;
}

/* Keeps the first outcome. */
static void fail(Window *window, int outcome) {
        if (window->outcome == 0)
                window->outcome = outcome;
}

static void take(Window *window, void *out, size_t n) {
        if (window->position + n > window->size)
                fail(window, GGUF_CUT_OFF);
        for (uint8_t *to = out; window->outcome == 0 && n > 0;) {
                uint64_t offset = window->position - window->start;
                size_t here;

                if (window->position < window->start || offset >= window->length) {
                        fail(window, window_fill(window));
                        if (window->length == 0)
                                fail(window, GGUF_CUT_OFF); /* the file became shorter meanwhile */
                        continue;
                }
                here = (size_t) MIN((uint64_t) n, window->length - offset);
                memcpy(to, window->bytes + offset, here);
                to += here;
                n -= here;
                window->position += here;
        }
}

static uint32_t take_u32(Window *window) {
        uint32_t value = 0;

        take(window, &value, sizeof(value));
        return le32toh(value);
}

static uint64_t take_u64(Window *window) {
        uint64_t value = 0;

        take(window, &value, sizeof(value));
        return le64toh(value);
}

static void skip(Window *window, uint64_t n) {
        if (n > window->size - window->position)
                fail(window, GGUF_CUT_OFF);
        else if (window->outcome == 0)
                window->position += n;
}

/* Takes a string and keeps as much of it as fits into @buffer. */
static void take_name(Window *window, char *buffer, size_t allocated) {
        uint64_t n = take_u64(window);
        size_t here = (size_t) MIN(n, (uint64_t) allocated - 1);

        if (n > window->size - window->position)
                fail(window, GGUF_CUT_OFF);
        take(window, buffer, here);
        buffer[here] = '\0';
        skip(window, n - here);
}

/* ---- metadata ---- */

/* Bytes of a value of a type that has a fixed length; 0 for the others. */
static uint64_t value_size(uint32_t type) {
        static const uint8_t sizes[] = {
                [VALUE_UINT8] = 1,  [VALUE_INT8] = 1,  [VALUE_UINT16] = 2,  [VALUE_INT16] = 2,
                [VALUE_UINT32] = 4, [VALUE_INT32] = 4, [VALUE_FLOAT32] = 4, [VALUE_BOOL] = 1,
                [VALUE_UINT64] = 8, [VALUE_INT64] = 8, [VALUE_FLOAT64] = 8,
        };

        return type < ELEMENTSOF(sizes) ? sizes[type] : 0;
}

static void skip_value(Window *window, uint32_t type, unsigned depth);

static void skip_array(Window *window, unsigned depth) {
        uint32_t type = take_u32(window);
        uint64_t count = take_u64(window), left = window->size - window->position;

        if (value_size(type) > 0 && count <= left / value_size(type))
                skip(window, count * value_size(type));
        else if (value_size(type) > 0)
                fail(window, GGUF_CUT_OFF);
        else if (depth >= ARRAYS_MAX || (type != VALUE_STRING && type != VALUE_ARRAY))
                fail(window, GGUF_UNKNOWN);
        else if (count > left / sizeof(uint64_t)) /* a string or an array takes at least that */
                fail(window, GGUF_CUT_OFF);
        for (uint64_t i = 0; window->outcome == 0 && value_size(type) == 0 && i < count; i++)
                skip_value(window, type, depth + 1);
}

static void skip_value(Window *window, uint32_t type, unsigned depth) {
        if (type == VALUE_STRING)
                skip(window, take_u64(window));
        else if (type == VALUE_ARRAY)
                skip_array(window, depth);
        else if (value_size(type) > 0)
                skip(window, value_size(type));
        else
                fail(window, GGUF_UNKNOWN);
}

static void take_pair(Window *window, uint32_t *alignment) {
        char key[32] = "";
        uint32_t type;

        take_name(window, key, sizeof(key));
        type = take_u32(window);
        if (strcmp(key, "general.alignment") == 0 && type == VALUE_UINT32)
                *alignment = take_u32(window);
        else
                skip_value(window, type, 0);
}

/* ---- tensors ---- */

/* Elements and bytes of a block, by ggml's number of the type (ggml.h, ggml-common.h). Numbers that are not here were
 * removed from ggml, or are newer than this table. */
static const struct {
        uint16_t elements, bytes;
} blocks[] = {
        [0] = { 1, 4 },      /* F32 */
        [1] = { 1, 2 },      /* F16 */
        [2] = { 32, 18 },    /* Q4_0 */
        [3] = { 32, 20 },    /* Q4_1 */
        [6] = { 32, 22 },    /* Q5_0 */
        [7] = { 32, 24 },    /* Q5_1 */
        [8] = { 32, 34 },    /* Q8_0 */
        [9] = { 32, 36 },    /* Q8_1 */
        [10] = { 256, 84 },  /* Q2_K */
        [11] = { 256, 110 }, /* Q3_K */
        [12] = { 256, 144 }, /* Q4_K */
        [13] = { 256, 176 }, /* Q5_K */
        [14] = { 256, 210 }, /* Q6_K */
        [15] = { 256, 292 }, /* Q8_K */
        [16] = { 256, 66 },  /* IQ2_XXS */
        [17] = { 256, 74 },  /* IQ2_XS */
        [18] = { 256, 98 },  /* IQ3_XXS */
        [19] = { 256, 50 },  /* IQ1_S */
        [20] = { 32, 18 },   /* IQ4_NL */
        [21] = { 256, 110 }, /* IQ3_S */
        [22] = { 256, 82 },  /* IQ2_S */
        [23] = { 256, 136 }, /* IQ4_XS */
        [24] = { 1, 1 },     /* I8 */
        [25] = { 1, 2 },     /* I16 */
        [26] = { 1, 4 },     /* I32 */
        [27] = { 1, 8 },     /* I64 */
        [28] = { 1, 8 },     /* F64 */
        [29] = { 256, 56 },  /* IQ1_M */
        [30] = { 1, 2 },     /* BF16 */
        [34] = { 256, 54 },  /* TQ1_0 */
        [35] = { 256, 66 },  /* TQ2_0 */
        [39] = { 32, 17 },   /* MXFP4 */
};

/* Bytes of a tensor, whose rows are made of whole blocks. GGUF_UNKNOWN if the type is not in the table, or a row is not
 * a whole number of blocks. */
static int tensor_size(uint32_t type, const uint64_t *dimensions, uint32_t n, uint64_t *ret) {
        uint64_t size;

        if (type >= ELEMENTSOF(blocks) || blocks[type].elements == 0 || dimensions[0] % blocks[type].elements != 0)
                return GGUF_UNKNOWN;
        if (__builtin_mul_overflow(dimensions[0] / blocks[type].elements, blocks[type].bytes, &size))
                return GGUF_ABSURD;
        for (uint32_t i = 1; i < n; i++)
                if (__builtin_mul_overflow(size, dimensions[i], &size))
                        return GGUF_ABSURD;
        *ret = size;
        return 0;
}

/* Raises @end to where the tensor ends, counted from the start of the tensors. */
static void take_tensor(Window *window, uint64_t *end) {
        uint64_t dimensions[DIMENSIONS_MAX] = { 1 }, offset, size = 0;
        uint32_t n, type;
        int r;

        skip(window, take_u64(window)); /* its name */
        n = take_u32(window);
        if (n > DIMENSIONS_MAX)
                fail(window, GGUF_UNKNOWN);
        for (uint32_t i = 0; window->outcome == 0 && i < n; i++)
                dimensions[i] = take_u64(window);
        type = take_u32(window);
        offset = take_u64(window);
        if (window->outcome != 0)
                return;
        r = tensor_size(type, dimensions, n, &size);
        if (r == GGUF_ABSURD || __builtin_add_overflow(offset, size, &size))
                fail(window, GGUF_ABSURD);
        else if (r == 0)
                *end = MAX(*end, size);
}

static void take_header(Window *window, uint64_t *ret_tensors, uint64_t *ret_pairs) {
        uint8_t magic[4];
        uint32_t version;

        take(window, magic, sizeof(magic));
        version = take_u32(window);
        if (version != 2 && version != 3)
                fail(window, GGUF_UNKNOWN);
        *ret_tensors = take_u64(window);
        *ret_pairs = take_u64(window);
        /* a tensor takes at least 24 bytes, a pair 13 */
        if (*ret_tensors > window->size / 24 || *ret_pairs > window->size / 13)
                fail(window, GGUF_CUT_OFF);
}

int gguf_length(int fd, uint64_t size, uint64_t *ret) {
        _cleanup_(freep) Window *window = calloc(1, sizeof(*window));
        uint64_t n_tensors, n_pairs, end = 0, start;
        uint32_t alignment = 32;

        if (!window)
                return -ENOMEM;
        window->fd = fd;
        window->size = size;
        take_header(window, &n_tensors, &n_pairs);
        for (uint64_t i = 0; window->outcome == 0 && i < n_pairs; i++)
                take_pair(window, &alignment);
        if (n_tensors > TENSORS_MAX || alignment == 0 || (alignment & (alignment - 1)) != 0)
                fail(window, GGUF_UNKNOWN);
        for (uint64_t i = 0; window->outcome == 0 && i < n_tensors; i++)
                take_tensor(window, &end);
        if (window->outcome != 0)
                return window->outcome;
        start = end > 0 ? round_up(window->position, alignment) : window->position;
        if (__builtin_add_overflow(start, end, &end))
                return GGUF_ABSURD;
        *ret = end;
        return 0;
}
