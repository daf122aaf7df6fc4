/* SPDX-License-Identifier: GPL-2.0-or-later */

/* XXH3-128, held against the library's one-shot function and against the program xxh128sum. */

#include "base/digest.h"
#include "base/xxh.h"
#include "ground.h"

#include <xxhash.h>

static DigestStream *begin(void) {
        DigestStream *stream = NULL;

        assert_int_equal(digest_stream_new(&stream), 0);
        return stream;
}

static void assert_hex(const Digest *digest, const char *expected) {
        char hex[DIGEST_HEX_MAX];

        assert_string_equal(digest_to_hex(digest, hex), expected);
}

static Digest digest_at_once(const void *data, size_t length) {
        XXH128_canonical_t canonical;
        Digest digest;

        XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length));
        memcpy(digest.bytes, canonical.digest, sizeof(digest.bytes));
        return digest;
}

static void nothing_has_the_digest_of_nothing(void **state) {
        _cleanup_(digest_stream_freep) DigestStream *stream = begin();
        Digest digest = digest_stream_get(stream);

        (void) state;
        assert_hex(&digest, "99aa06d3014798d86001c324468d497f");
}

static void the_digest_is_what_xxh128sum_prints(void **state) {
        _cleanup_(digest_stream_freep) DigestStream *stream = begin();
        _cleanup_(freep) uint8_t *data = put_pattern("file", 300001, 7);
        _cleanup_(fclosep) FILE *pipe = NULL;
        char hex[DIGEST_HEX_MAX];
        Digest digest;

        (void) state;
        digest_stream_update(stream, data, 300001);
        digest = digest_stream_get(stream);
        shell("xxh128sum file > sum 2> /dev/null");
        pipe = fopen("sum", "r");
        assert_non_null(pipe);
        assert_non_null(fgets(hex, sizeof(hex), pipe));
        assert_hex(&digest, hex);
}

static void how_it_is_cut_does_not_matter(void **state) {
        _cleanup_(freep) uint8_t *data = malloc(100000);
        uint64_t seed = random_seed();
        Digest expected, found;

        (void) state;
        fill_bytes(data, 100000, 3);
        for (unsigned i = 0; i < 200; i++) {
                _cleanup_(digest_stream_freep) DigestStream *stream = begin();
                size_t length = random_below(&seed, 100000), done = 0;

                while (done < length) {
                        size_t n = random_below(&seed, 5000);

                        n = MIN(n, length - done);
                        digest_stream_update(stream, data + done, n);
                        done += n;
                }
                expected = digest_at_once(data, length);
                found = digest_stream_get(stream);
                assert_true(digest_equal(&expected, &found));
        }
}

static Digest digest_of_variant(const XxhVariant *variant, const uint8_t *data, size_t length) {
        void *hash = variant->state_new();
        Digest digest;

        assert_non_null(hash);
        variant->update(hash, data, length / 3);
        variant->update(hash, data + length / 3, length - length / 3);
        variant->get(hash, digest.bytes);
        variant->state_free(hash);
        return digest;
}

static void every_variant_that_the_processor_can_run_gives_the_same_digest(void **state) {
        _cleanup_(freep) uint8_t *data = malloc(100000);
        uint64_t seed = random_seed();
        size_t n = 0;

        (void) state;
        fill_bytes(data, 100000, 5);
        for (const XxhVariant *variant; (variant = xxh_variant(n)); n++)
                for (unsigned i = 0; i < 300; i++) {
                        size_t length = random_below(&seed, i < 100 ? 300 : 100000), skew = random_below(&seed, 64);
                        Digest expected, found;

                        length -= MIN(length, skew);
                        expected = digest_at_once(data + skew, length);
                        found = digest_of_variant(variant, data + skew, length);
                        assert_true(digest_equal(&expected, &found));
                }
        assert_true(n > 0);
}

static void a_digest_may_be_taken_on_the_way(void **state) {
        _cleanup_(digest_stream_freep) DigestStream *stream = begin();
        Digest ab = digest_at_once("ab", 2), abcd = digest_at_once("abcd", 4), found;

        (void) state;
        digest_stream_update(stream, "ab", 2);
        found = digest_stream_get(stream);
        assert_true(digest_equal(&found, &ab));
        digest_stream_update(stream, "cd", 2);
        found = digest_stream_get(stream);
        assert_true(digest_equal(&found, &abcd));
}

static void a_hole_counts_as_zeros(void **state) {
        static const size_t lengths[] = { 0, 1, 4096, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 1024 * 1024 + 3 };
        _cleanup_(freep) uint8_t *zeros = calloc(1, 2 * MIB);

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                _cleanup_(digest_stream_freep) DigestStream *stream = begin();
                Digest expected, found;

                zeros[0] = zeros[lengths[i] + 1] = 'x';
                expected = digest_at_once(zeros, lengths[i] + 2);
                zeros[lengths[i] + 1] = 0;
                digest_stream_update(stream, "x", 1);
                digest_stream_zeros(stream, lengths[i]);
                digest_stream_update(stream, "x", 1);
                found = digest_stream_get(stream);
                assert_true(digest_equal(&expected, &found));
        }
}

static void hex_goes_both_ways(void **state) {
        const char *text = "0123456789abcdef00000000ffffffff  name";
        Digest digest;

        (void) state;
        assert_int_equal(digest_from_hex(text, &digest), 0);
        assert_hex(&digest, "0123456789abcdef00000000ffffffff");
        assert_int_equal(digest.bytes[0], 0x01);
        assert_int_equal(digest.bytes[15], 0xff);
}

static void what_is_no_digest_is_refused(void **state) {
        static const char *const wrong[] = {
                "", "0", "0123456789abcdef00000000fffffff", "0123456789abcdef00000000fffffffg",
                "0123456789ABCDEF00000000FFFFFFFF",
                " 123456789abcdef00000000ffffffff", "-",
        };
        Digest digest = { .bytes = { 42 } };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(digest_from_hex(wrong[i], &digest), -EINVAL);
        assert_int_equal(digest.bytes[0], 42);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_has_the_digest_of_nothing),
                ON_GROUND(the_digest_is_what_xxh128sum_prints),
                cmocka_unit_test(how_it_is_cut_does_not_matter),
                cmocka_unit_test(every_variant_that_the_processor_can_run_gives_the_same_digest),
                cmocka_unit_test(a_digest_may_be_taken_on_the_way),
                cmocka_unit_test(a_hole_counts_as_zeros),
                cmocka_unit_test(hex_goes_both_ways),
                cmocka_unit_test(what_is_no_digest_is_refused),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
