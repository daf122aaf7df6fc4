/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Whether a model file is as long as its own header says. See layout/structure.h.
 *
 * safetensors: the length N of the header in 8 bytes, little-endian; N bytes of JSON, {"NAME": {"dtype", "shape",
 * "data_offsets": [BEGIN, END]}, ..., "__metadata__": {...}}; the tensors, without holes. */

#include "layout/structure.h"

#include "base/json-input.h"
#include "base/text.h"
#include "layout/gguf.h"

#include <endian.h>
#include <fnmatch.h>

enum { HEADER_MAX = 100 * 1000 * 1000, HEADER_PARSED_MAX = 32 * 1024 * 1024 };

typedef struct Span {
        uint64_t begin, end;
} Span;

static int bad(char **reterr_text, const char *text) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        *reterr_text = copy;
        return STRUCTURE_BAD;
}

static int bad_by(char **reterr_text, const char *before, uint64_t bytes, const char *after) {
        char *text = text_format("it %s %llu bytes %s", before, (unsigned long long) bytes, after);

        if (!text)
                return -ENOMEM;
        *reterr_text = text;
        return STRUCTURE_BAD;
}

static int compare_spans(const void *a, const void *b) {
        const Span *x = a, *y = b;

        if (x->begin != y->begin)
                return x->begin < y->begin ? -1 : 1;
        return x->end < y->end ? -1 : x->end > y->end;
}

/* The number of bytes read, less than @n only at the end of the file; or a negative errno. */
static ssize_t read_at(int fd, uint64_t offset, void *out, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t here = pread(fd, (char *) out + done, n - done, (off_t) (offset + done));

                if (here < 0 && errno == EINTR)
                        continue;
                if (here < 0)
                        return -errno;
                if (here == 0)
                        break;
                done += (size_t) here;
        }
        return (ssize_t) done;
}

/* ---- safetensors ---- */

static int span_of(const json_t *tensor, Span *ret) {
        const json_t *offsets = json_object_get(tensor, "data_offsets");
        const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);

        if (!json_is_integer(begin) || !json_is_integer(end) || json_array_size(offsets) != 2 ||
            json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
                return -EINVAL;
        *ret = (Span){ .begin = (uint64_t) json_integer_value(begin), .end = (uint64_t) json_integer_value(end) };
        return 0;
}

static int check_spans(Span *spans, size_t n, uint64_t room, char **reterr_text) {
        uint64_t end = 0;

        if (n > 0)
                qsort(spans, n, sizeof(Span), compare_spans);
        for (size_t i = 0; i < n; i++) {
                if (spans[i].begin != end)
                        return bad(reterr_text,
                                   spans[i].begin > end ? "there is a gap between its tensors" : "its tensors overlap");
                end = spans[i].end;
        }
        if (room < end)
                return bad_by(reterr_text, "ends", end - room, "before its last tensor does");
        return room > end ? bad_by(reterr_text, "is", room - end, "longer than its header says") : 0;
}

/* @room: bytes after the header. */
static int check_header(const char *text, size_t length, uint64_t room, char **reterr_text) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        _cleanup_(freep) Span *spans = NULL;
        int r = json_input_parse(text, length, &json);
        const char *name;
        json_t *tensor;
        size_t n = 0;

        if (r < 0 || r == JSON_INPUT_LARGE)
                return r < 0 ? r : 0;
        if (r == JSON_INPUT_BROKEN || !json_is_object(json))
                return bad(reterr_text, "its header is not JSON");
        spans = calloc(json_object_size(json) + 1, sizeof(Span));
        if (!spans)
                return -ENOMEM;
        json_object_foreach(json, name, tensor) {
                if (strcmp(name, "__metadata__") == 0)
                        continue;
                if (span_of(tensor, &spans[n++]) < 0)
                        return bad(reterr_text, "a tensor in its header has no offsets");
        }
        return check_spans(spans, n, room, reterr_text);
}

static int check_safetensors(int fd, uint64_t size, char **reterr_text) {
        _cleanup_(freep) char *text = NULL;
        uint64_t length = 0;
        ssize_t n;

        if (size < sizeof(length))
                return bad(reterr_text, size == 0 ? "it is empty" : "it ends within its header");
        n = read_at(fd, 0, &length, sizeof(length));
        if (n != sizeof(length))
                return n < 0 ? (int) n : bad(reterr_text, "it ends within its header");
        if (memcmp(&length, "version ", sizeof(length)) == 0)
                return 0; /* git-lfs has a few lines of text in place of a file that was not fetched */
        length = le64toh(length);
        if (length > HEADER_MAX)
                return bad(reterr_text, "it does not begin like a safetensors file");
        if (length > size - sizeof(length))
                return bad_by(reterr_text, "ends", length - (size - sizeof(length)), "before its header does");
        if (length > HEADER_PARSED_MAX)
                return 0;
        text = malloc((size_t) length + 1);
        if (!text)
                return -ENOMEM;
        n = read_at(fd, sizeof(length), text, (size_t) length);
        if (n < 0)
                return (int) n;
        return check_header(text, (size_t) n, size - sizeof(length) - length, reterr_text);
}

/* ---- GGUF ---- */

static int check_gguf(int fd, uint64_t size, char **reterr_text) {
        uint64_t length;
        int r = gguf_length(fd, size, &length);

        if (r < 0 || r == GGUF_UNKNOWN)
                return r < 0 ? r : 0;
        if (r == GGUF_CUT_OFF)
                return bad(reterr_text, "it ends within its header");
        if (r == GGUF_ABSURD)
                return bad(reterr_text, "the numbers in its header are impossible");
        return size < length ? bad_by(reterr_text, "ends", length - size, "before its last tensor does") : 0;
}

int structure_check(int fd, const char *path, uint64_t size, char **reterr_text) {
        char magic[4] = "";
        ssize_t n;

        if (fnmatch("*.safetensors", path, 0) == 0)
                return check_safetensors(fd, size, reterr_text);
        n = read_at(fd, 0, magic, sizeof(magic));
        if (n < 0)
                return (int) n;
        if (memcmp(magic, "GGUF", sizeof(magic)) == 0)
                return check_gguf(fd, size, reterr_text);
        if (fnmatch("*.gguf", path, 0) != 0)
                return 0;
        if (n == 0)
                return bad(reterr_text, "it is empty");
        return memcmp(magic, "\0\0\0\0", sizeof(magic)) == 0 ? bad(reterr_text, "it begins with zeros") : 0;
}
