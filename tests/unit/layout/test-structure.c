/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Model files that are, or are not, as long as their headers say. */

#include "ground.h"
#include "layout/structure.h"

#include <endian.h>

/* A file in memory that grows. */
static uint8_t bytes[4 * 1024 * 1024];
static size_t used;

static void start(void) {
        used = 0;
}

static void put(const void *data, size_t n) {
        assert_true(used + n <= sizeof(bytes));
        memcpy(bytes + used, data, n);
        used += n;
}

static void put_u32(uint32_t value) {
        value = htole32(value);
        put(&value, 4);
}

static void put_u64(uint64_t value) {
        value = htole64(value);
        put(&value, 8);
}

static void put_string(const char *text) {
        put_u64(strlen(text));
        put(text, strlen(text));
}

static void put_zeros(size_t n) {
        assert_true(used + n <= sizeof(bytes));
        memset(bytes + used, 0, n);
        used += n;
}

/* What is said of the first @length bytes under a name; freed by the next call. */
static const char *verdict(const char *name, size_t length) {
        static char *text;
        int fd, r;

        free(text);
        text = NULL;
        put_bytes("file", bytes, length);
        fd = open("file", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        r = structure_check(fd, name, length, &text);
        (void) close(fd);
        assert_true(r == 0 || r == STRUCTURE_BAD);
        return r == 0 ? "good" : text;
}

#define assert_verdict(name, length, text) assert_string_equal(verdict(name, length), text)

/* ---- safetensors ---- */

static void put_safetensors(const char *header, size_t n) {
        start();
        put_string(header);
        put_zeros(n);
}

static const char two_tensors[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}   ";

static void safetensors_must_be_exactly_as_long_as_they_say(void **state) {
        (void) state;
        put_safetensors(two_tensors, 13);
        assert_verdict("a/b.safetensors", used - 1, "good");
        assert_verdict("b.safetensors", used, "it is 1 bytes longer than its header says");
        assert_verdict("b.safetensors", used - 2, "it ends 1 bytes before its last tensor does");
        assert_verdict("b.safetensors", used - 13, "it ends 12 bytes before its last tensor does");
        assert_verdict("b.safetensors", used - 14, "it ends 1 bytes before its header does");
        assert_verdict("b.safetensors", 7, "it ends within its header");
        assert_verdict("b.safetensors", 0, "it is empty");
        assert_verdict("b.bin", used, "good"); /* not by content */
}

static void safetensors_with_holes_or_nonsense_are_bad(void **state) {
        static const struct {
                const char *header;
                size_t n;
                const char *text;
        } rows[] = {
                { "{}", 0, "good" },
                { "{\"__metadata__\":{\"x\":\"\\u0000\"}}", 0, "good" },
                { "{\"a\":{\"data_offsets\":[0,0]},\"b\":{\"data_offsets\":[0,8]},\"c\":{\"data_offsets\":[8,8]}}", 8,
                  "good" },
                { "{\"a\":{\"data_offsets\":[0,4]},\"b\":{\"data_offsets\":[5,8]}}", 8, "there is a gap between its tensors" },
                { "{\"a\":{\"data_offsets\":[4,8]}}", 8, "there is a gap between its tensors" },
                { "{\"a\":{\"data_offsets\":[0,4]},\"b\":{\"data_offsets\":[3,8]}}", 8, "its tensors overlap" },
                { "{\"a\":{\"data_offsets\":[8,4]}}", 8, "a tensor in its header has no offsets" },
                { "{\"a\":{\"data_offsets\":[-1,4]}}", 4, "a tensor in its header has no offsets" },
                { "{\"a\":{\"data_offsets\":[0]}}", 4, "a tensor in its header has no offsets" },
                { "{\"a\":{\"data_offsets\":[0,1,2]}}", 4, "a tensor in its header has no offsets" },
                { "{\"a\":{}}", 4, "a tensor in its header has no offsets" },
                { "{\"a\":4}", 4, "a tensor in its header has no offsets" },
                { "[]", 0, "its header is not JSON" },
                { "{\"a\":", 0, "its header is not JSON" },
                { "", 0, "its header is not JSON" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                put_safetensors(rows[i].header, rows[i].n);
                assert_verdict("x.safetensors", used, rows[i].text);
        }
}

static void a_text_that_git_lfs_left_is_no_broken_model(void **state) {
        (void) state;
        start();
        put("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", 60);
        assert_verdict("x.safetensors", used, "good");
        start();
        put("<!DOCTYPE html><title>404</title>", 33);
        assert_verdict("x.safetensors", used, "it does not begin like a safetensors file");
}

static void a_huge_header_of_safetensors_is_only_measured(void **state) {
        int fd;
        char *text = NULL;

        (void) state;
        start();
        put_u64(90 * 1000 * 1000);
        put_bytes("huge", bytes, used);
        assert_int_equal(truncate("huge", 90 * 1000 * 1000 + 8), 0);
        fd = open("huge", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(structure_check(fd, "huge.safetensors", 90 * 1000 * 1000 + 8, &text), 0);
        assert_int_equal(structure_check(fd, "huge.safetensors", 90 * 1000 * 1000 + 7, &text), STRUCTURE_BAD);
        assert_string_equal(text, "it ends 1 bytes before its header does");
        free(text);
        (void) close(fd);
}

/* ---- GGUF ---- */

static void put_head(uint32_t version, uint64_t tensors, uint64_t pairs) {
        start();
        put("GGUF", 4);
        put_u32(version);
        put_u64(tensors);
        put_u64(pairs);
}

static void put_tensor(const char *name, uint32_t type, uint64_t columns, uint64_t rows, uint64_t offset) {
        put_string(name);
        put_u32(2);
        put_u64(columns);
        put_u64(rows);
        put_u32(type);
        put_u64(offset);
}

static void pad(size_t alignment) {
        put_zeros((size_t) round_up(used, alignment) - used);
}

/* One of each kind of value, and an alignment. */
static void put_metadata(uint32_t alignment) {
        static const uint8_t fixed[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

        put_string("general.alignment");
        put_u32(4);
        put_u32(alignment);
        put_string("a key that is longer than any that matters to us here");
        put_u32(8);
        put_string("some text");
        for (uint32_t type = 0; type < ELEMENTSOF(fixed); type++)
                if (fixed[type] > 0) {
                        put_string("value");
                        put_u32(type);
                        put_zeros(fixed[type]);
                }
        put_string("numbers");
        put_u32(9);
        put_u32(6);
        put_u64(1000);
        put_zeros(4000);
        put_string("words");
        put_u32(9);
        put_u32(8);
        put_u64(20000);
        for (unsigned i = 0; i < 20000; i++)
                put_string(&"a word of the vocabulary"[i % 20]);
        put_string("lists");
        put_u32(9);
        put_u32(9);
        put_u64(2);
        for (unsigned i = 0; i < 2; i++) {
                put_u32(0);
                put_u64(3);
                put_zeros(3);
        }
}

enum { N_PAIRS = 16 };

static void gguf_must_reach_the_end_of_its_last_tensor(void **state) {
        size_t header;

        (void) state;
        put_head(3, 3, N_PAIRS);
        put_metadata(128);
        put_tensor("f32", 0, 10, 2, 0);        /* 80 bytes */
        put_tensor("q4_k", 12, 512, 3, 256);   /* 864 bytes: the last in the file, not in the list */
        put_tensor("q8_0", 8, 32, 1, 128);     /* 34 bytes */
        header = used;
        pad(128);
        put_zeros(256 + 864);
        assert_verdict("m.gguf", used, "good");
        put_zeros(100);
        assert_verdict("m.gguf", used, "good");
        assert_verdict("any-name", used - 101, "it ends 1 bytes before its last tensor does");
        assert_non_null(strstr(verdict("m.gguf", header), "before its last tensor does"));
        for (size_t cut = 4; cut < header; cut += 1 + header / 997)
                assert_verdict("m.gguf", cut, "it ends within its header");
}

static void every_known_type_has_its_size(void **state) {
        static const struct {
                uint32_t type;
                uint64_t columns, bytes;
        } rows[] = {
                { 0, 256, 1024 },  { 1, 256, 512 },   { 2, 256, 144 },  { 3, 256, 160 },  { 6, 256, 176 },
                { 7, 256, 192 },   { 8, 256, 272 },   { 9, 256, 288 },  { 10, 256, 84 },  { 11, 256, 110 },
                { 12, 256, 144 },  { 13, 256, 176 },  { 14, 256, 210 }, { 15, 256, 292 }, { 16, 256, 66 },
                { 17, 256, 74 },   { 18, 256, 98 },   { 19, 256, 50 },  { 20, 256, 144 }, { 21, 256, 110 },
                { 22, 256, 82 },   { 23, 256, 136 },  { 24, 256, 256 }, { 25, 256, 512 }, { 26, 256, 1024 },
                { 27, 256, 2048 }, { 28, 256, 2048 }, { 29, 256, 56 },  { 30, 256, 512 }, { 34, 256, 54 },
                { 35, 256, 66 },   { 39, 256, 136 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                put_head(2, 1, 0);
                put_tensor("t", rows[i].type, rows[i].columns, 1, 0);
                pad(32);
                put_zeros(rows[i].bytes);
                assert_verdict("m.gguf", used, "good");
                assert_verdict("m.gguf", used - 1, "it ends 1 bytes before its last tensor does");
        }
}

static void what_is_not_known_of_gguf_is_taken_as_good(void **state) {
        (void) state;
        put_head(1, 5, 5);
        assert_verdict("m.gguf", used, "good");
        put_head(4, 5, 5);
        assert_verdict("m.gguf", used, "good");
        put_head(htobe32(3), 5, 5); /* big-endian */
        assert_verdict("m.gguf", used, "good");
        put_head(3, 1, 0);
        put_tensor("type to come", 77, 256, 1000, 0);
        assert_verdict("m.gguf", used, "good");
        put_head(3, 1, 0);
        put_tensor("row of half a block", 12, 128, 1000, 0);
        assert_verdict("m.gguf", used, "good");
        put_head(3, 0, 1);
        put_string("value of a type to come");
        put_u32(13);
        assert_verdict("m.gguf", used, "good");
        put_head(3, 0, 0); /* the first of a split model may have no tensors */
        assert_verdict("m.gguf", used, "good");
}

static void absurd_numbers_in_gguf_are_bad_and_cost_nothing(void **state) {
        (void) state;
        put_head(3, UINT64_MAX, 0);
        assert_verdict("m.gguf", used, "it ends within its header");
        put_head(3, 0, UINT64_MAX);
        assert_verdict("m.gguf", used, "it ends within its header");
        put_head(3, 1, 0);
        put_tensor("t", 0, UINT64_MAX / 2, 1, 0);
        assert_verdict("m.gguf", used, "the numbers in its header are impossible");
        put_head(3, 1, 0);
        put_tensor("t", 0, 1024, UINT64_MAX / 2, 0);
        assert_verdict("m.gguf", used, "the numbers in its header are impossible");
        put_head(3, 1, 0);
        put_tensor("t", 0, 16, 1, UINT64_MAX - 20);
        assert_verdict("m.gguf", used, "the numbers in its header are impossible");
        put_head(3, 0, 1);
        put_string("a string that is too long");
        put_u32(8);
        put_u64(UINT64_MAX);
        assert_verdict("m.gguf", used, "it ends within its header");
        put_head(3, 0, 1);
        put_string("an array that is too long");
        put_u32(9);
        put_u32(10);
        put_u64(UINT64_MAX / 8 + 2);
        assert_verdict("m.gguf", used, "it ends within its header");
}

static void a_header_without_end_is_left_after_a_while(void **state) {
        int fd;
        char *text = NULL;

        (void) state;
        put_head(3, 0, 1);
        put_string("strings, each far from the next");
        put_u32(9);
        put_u32(8);
        put_u64(1000000);
        put_u64(100000);
        put_bytes("far", bytes, used);
        assert_int_equal(truncate("far", (off_t) (1024 * GIB)), 0);
        fd = open("far", O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        for (off_t at = (off_t) used; at < (off_t) (GIB / 4); at += 100008) {
                uint64_t length = htole64(100000);

                assert_int_equal(pwrite(fd, &length, 8, at - 8), 8);
        }
        assert_int_equal(structure_check(fd, "far.gguf", 1024 * GIB, &text), 0);
        (void) close(fd);
}

static void a_gguf_that_is_empty_or_begins_with_zeros_is_bad(void **state) {
        (void) state;
        start();
        put_zeros(100);
        assert_verdict("m.gguf", 0, "it is empty");
        assert_verdict("m.gguf", 100, "it begins with zeros");
        assert_verdict("m.bin", 0, "good");
        assert_verdict("m.bin", 100, "good");
        start();
        put("lmgg", 4); /* of old */
        assert_verdict("m.gguf", used, "good");
        start();
        put("GG", 2);
        assert_verdict("m.gguf", used, "good");
}

static void random_bytes_and_flipped_bits_do_no_harm(void **state) {
        uint64_t seed = random_seed(), random = seed;

        (void) state;
        for (unsigned plan_run = 0; plan_run < 3000; plan_run++) {
                const char *name = plan_run % 2 ? "x.safetensors" : "x.gguf";

                if (plan_run % 4 == 0) {
                        put_head(3, random_below(&random, 5), random_below(&random, 5));
                        fill_bytes(bytes + used, 400, random_next(&random));
                        used += 400;
                } else if (plan_run % 4 == 2) {
                        put_head(3, 2, 1);
                        put_string("k");
                        put_u32(random_below(&random, 14));
                        put_u64(random_below(&random, 20));
                        put_u64(random_below(&random, 20));
                        put_tensor("a", random_below(&random, 41), random_next(&random) >> random_below(&random, 64),
                                   3, 0);
                        put_tensor("b", 0, 3, 3, random_next(&random) >> random_below(&random, 64));
                } else
                        put_safetensors(two_tensors, random_below(&random, 30));
                for (unsigned i = random_below(&random, 4); i > 0; i--)
                        bytes[random_below(&random, (unsigned) used)] ^= (uint8_t) (1u << random_below(&random, 8));
                (void) verdict(name, random_below(&random, (unsigned) used + 1));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(safetensors_must_be_exactly_as_long_as_they_say),
                ON_GROUND(safetensors_with_holes_or_nonsense_are_bad),
                ON_GROUND(a_text_that_git_lfs_left_is_no_broken_model),
                ON_GROUND(a_huge_header_of_safetensors_is_only_measured),
                ON_GROUND(gguf_must_reach_the_end_of_its_last_tensor),
                ON_GROUND(every_known_type_has_its_size),
                ON_GROUND(what_is_not_known_of_gguf_is_taken_as_good),
                ON_GROUND(absurd_numbers_in_gguf_are_bad_and_cost_nothing),
                ON_GROUND(a_header_without_end_is_left_after_a_while),
                ON_GROUND(a_gguf_that_is_empty_or_begins_with_zeros_is_bad),
                ON_GROUND(random_bytes_and_flipped_bits_do_no_harm),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
