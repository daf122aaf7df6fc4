/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Digests that names state: read, printed, computed. */

#include "base/claim.h"
#include "ground.h"

static const char sha_abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static int setup(void **state) {
        (void) state;
        assert_int_equal(claim_init(), 0);
        return 0;
}

static const char *digest_of(ClaimKind kind, const void *data, size_t length, size_t piece) {
        static char hex[CLAIM_HEX_MAX];
        _cleanup_(claim_stream_freep) ClaimStream *stream = NULL;
        Claim claim;

        assert_int_equal(claim_stream_new(&stream, kind, length), 0);
        for (size_t i = 0; i < length; i += piece)
                claim_stream_update(stream, (const char *) data + i, MIN(piece, length - i));
        claim = claim_stream_get(stream);
        return claim_to_hex(&claim, hex);
}

static void sha256_is_that_of_the_standard(void **state) {
        (void) state;
        assert_string_equal(digest_of(CLAIM_SHA256, "abc", 3, 3), sha_abc);
        assert_string_equal(digest_of(CLAIM_SHA256, "abc", 3, 1), sha_abc);
        assert_string_equal(digest_of(CLAIM_SHA256, "", 0, 1),
                            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void git_blobs_have_the_id_that_git_gives_them(void **state) {
        (void) state;
        assert_string_equal(digest_of(CLAIM_GIT_BLOB, "hello\n", 6, 2), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_string_equal(digest_of(CLAIM_GIT_BLOB, "", 0, 1), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

static void a_hole_counts_as_zeros(void **state) {
        _cleanup_(claim_stream_freep) ClaimStream *stream = NULL;
        _cleanup_(freep) char *zeros = calloc(1, 200001);
        char hex[CLAIM_HEX_MAX];
        Claim claim;

        (void) state;
        assert_non_null(zeros);
        assert_int_equal(claim_stream_new(&stream, CLAIM_SHA256, 200001), 0);
        claim_stream_zeros(stream, 200000);
        claim_stream_update(stream, "", 1);
        claim_stream_zeros(stream, 0);
        claim = claim_stream_get(stream);
        assert_string_equal(digest_of(CLAIM_SHA256, zeros, 200001, 7777), claim_to_hex(&claim, hex));
}

static void hex_is_read_in_either_case_and_printed_in_lower(void **state) {
        char hex[CLAIM_HEX_MAX], upper[CLAIM_HEX_MAX];
        Claim a, b;

        (void) state;
        for (size_t i = 0; i < sizeof(upper); i++)
                upper[i] = (char) (sha_abc[i] >= 'a' && sha_abc[i] <= 'f' ? sha_abc[i] - 32 : sha_abc[i]);
        assert_int_equal(claim_from_hex(CLAIM_SHA256, sha_abc, 64, &a), 0);
        assert_int_equal(claim_from_hex(CLAIM_SHA256, upper, 64, &b), 0);
        assert_true(claim_equal(&a, &b));
        assert_string_equal(claim_to_hex(&b, hex), sha_abc);
}

static void what_is_no_digest_is_refused(void **state) {
        char text[80];
        Claim claim = { .kind = CLAIM_NONE };

        (void) state;
        assert_int_equal(claim_from_hex(CLAIM_SHA256, sha_abc, 63, &claim), -EINVAL);
        assert_int_equal(claim_from_hex(CLAIM_SHA256, sha_abc, 65, &claim), -EINVAL);
        assert_int_equal(claim_from_hex(CLAIM_SHA256, sha_abc, 40, &claim), -EINVAL);
        assert_int_equal(claim_from_hex(CLAIM_GIT_BLOB, sha_abc, 64, &claim), -EINVAL);
        assert_int_equal(claim_from_hex(CLAIM_NONE, "", 0, &claim), -EINVAL);
        for (size_t i = 0; i < 64; i++) {
                strcpy(text, sha_abc);
                text[i] = "g/:@`G -"[i % 8];
                assert_int_equal(claim_from_hex(CLAIM_SHA256, text, 64, &claim), -EINVAL);
        }
        assert_int_equal(claim.kind, CLAIM_NONE);
}

static void claims_differ_by_kind_and_by_every_byte(void **state) {
        Claim a, b;

        (void) state;
        assert_int_equal(claim_from_hex(CLAIM_GIT_BLOB, sha_abc, 40, &a), 0);
        for (size_t i = 0; i < 20; i++) {
                b = a;
                b.bytes[i] ^= 1;
                assert_false(claim_equal(&a, &b));
        }
        b = a;
        b.bytes[20] = 1; /* belongs to the longer kind */
        assert_true(claim_equal(&a, &b));
        b.kind = CLAIM_SHA256;
        assert_false(claim_equal(&a, &b));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sha256_is_that_of_the_standard),
                cmocka_unit_test(git_blobs_have_the_id_that_git_gives_them),
                cmocka_unit_test(a_hole_counts_as_zeros),
                cmocka_unit_test(hex_is_read_in_either_case_and_printed_in_lower),
                cmocka_unit_test(what_is_no_digest_is_refused),
                cmocka_unit_test(claims_differ_by_kind_and_by_every_byte),
        };

        return cmocka_run_group_tests(tests, setup, NULL);
}
