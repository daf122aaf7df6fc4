/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Amounts, spans and paths for people: what they look like, and that nothing of a hostile name gets through. */

#include "base/text.h"
#include "ground.h"

static void assert_bytes(uint64_t bytes, const char *expected) {
        char buffer[TEXT_BYTES_MAX];

        assert_string_equal(text_bytes(buffer, bytes), expected);
}

static void bytes_are_printed_in_the_unit_that_fits(void **state) {
        (void) state;
        assert_bytes(0, "0B");
        assert_bytes(1023, "1023B");
        assert_bytes(1024, "1K");
        assert_bytes(1536, "1.5K");
        assert_bytes(MIB - 1, "1023.9K");
        assert_bytes(MIB, "1M");
        assert_bytes(GIB, "1G");
        assert_bytes(41 * GIB + 300 * MIB, "41.2G");
        assert_bytes(UINT64_MAX, "15.9E");
}

static void assert_span(uint64_t usec, const char *expected) {
        char buffer[TEXT_SPAN_MAX];

        assert_string_equal(text_span(buffer, usec), expected);
}

static void spans_are_printed_in_the_unit_that_fits(void **state) {
        (void) state;
        assert_span(0, "0s");
        assert_span(1, "1us");
        assert_span(999, "999us");
        assert_span(450 * 1000, "450ms");
        assert_span(USEC_PER_SEC, "1.0s");
        assert_span(9999999, "9.9s");
        assert_span(59 * USEC_PER_SEC, "59s");
        assert_span(200 * USEC_PER_SEC, "3min 20s");
        assert_span(3900 * USEC_PER_SEC, "1h 5min");
        assert_span(UINT64_MAX, "5124095576h 1min");
}

static void assert_escaped(const char *raw, bool spaces, const char *expected) {
        _cleanup_(freep) char *escaped = text_escape(raw, spaces), *back = NULL;

        assert_string_equal(escaped, expected);
        assert_int_equal(text_unescape(escaped, &back), 0);
        assert_string_equal(back, raw);
}

static void what_a_terminal_would_obey_is_escaped(void **state) {
        (void) state;
        assert_escaped("", true, "");
        assert_escaped("models/llama 3.gguf", false, "models/llama 3.gguf");
        assert_escaped("models/llama 3.gguf", true, "models/llama\\x203.gguf");
        assert_escaped("a\nb\tc\x1b[2J\x7f", false, "a\\x0ab\\x09c\\x1b[2J\\x7f");
        assert_escaped("back\\slash", false, "back\\x5cslash");
        assert_escaped("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x99", false, "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x99");
        assert_escaped("\xc2\x9b" "31m", false, "\\xc2\\x9b31m"); /* U+009B is a terminal's CSI */
}

static void what_is_not_utf8_is_escaped(void **state) {
        (void) state;
        assert_escaped("\xff\xfe", false, "\\xff\\xfe");
        assert_escaped("\x80", false, "\\x80");
        assert_escaped("\xc0\xaf", false, "\\xc0\\xaf");                 /* overlong */
        assert_escaped("\xe0\x80\xaf", false, "\\xe0\\x80\\xaf");        /* overlong */
        assert_escaped("\xe0\x9f\xbf", false, "\\xe0\\x9f\\xbf");        /* overlong, just so */
        assert_escaped("\xed\xa0\x80", false, "\\xed\\xa0\\x80");        /* surrogate */
        assert_escaped("\xf4\x90\x80\x80", false, "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
        assert_escaped("\xe2\x82", false, "\\xe2\\x82");                 /* cut short */
        assert_escaped("\xe2\x82" "a", false, "\\xe2\\x82" "a");
}

static void every_byte_comes_back(void **state) {
        uint64_t seed = random_seed();

        (void) state;
        for (unsigned i = 0; i < 20000; i++) {
                _cleanup_(freep) char *escaped = NULL, *back = NULL;
                char raw[33];
                size_t n = random_below(&seed, 32);

                for (size_t k = 0; k < n; k++)
                        raw[k] = (char) (1 + random_below(&seed, 255));
                raw[n] = '\0';
                escaped = text_escape(raw, true);
                assert_non_null(escaped);
                for (const char *s = escaped; *s; s++)
                        assert_true((unsigned char) *s > ' ' && *s != 0x7f);
                assert_int_equal(text_unescape(escaped, &back), 0);
                assert_string_equal(back, raw);
        }
}

static void an_escape_that_is_none_is_refused(void **state) {
        static const char *const wrong[] = { "\\",   "\\x",   "\\x1",  "\\xg0", "\\x0g", "\\n",
                                             "\\\\", "a\\x4", "\\x00", "\\XAB", "\\xAB" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                char *text = (char *) "untouched";

                assert_int_equal(text_unescape(wrong[i], &text), -EINVAL);
                assert_string_equal(text, "untouched");
        }
}

static void a_long_path_keeps_its_ends(void **state) {
        char path[4096], buffer[TEXT_PATH_MAX];

        (void) state;
        memset(path, 'm', sizeof(path));
        memcpy(path, "/data/models/", 13);
        strcpy(path + sizeof(path) - 11, "/last.gguf");
        (void) text_path(buffer, path);
        assert_true(strlen(buffer) < TEXT_PATH_MAX);
        assert_memory_equal(buffer, "/data/models/", 13);
        assert_non_null(strstr(buffer, "..."));
        assert_string_equal(buffer + strlen(buffer) - 10, "/last.gguf");
}

static void a_short_path_is_printed_whole(void **state) {
        char path[TEXT_PATH_MAX / 4 + 1], buffer[TEXT_PATH_MAX];

        (void) state;
        memset(path, 'm', sizeof(path));
        path[sizeof(path) - 1] = '\0';
        assert_string_equal(text_path(buffer, path), path);
        memset(path, '\n', sizeof(path) - 2); /* four bytes for each */
        (void) text_path(buffer, path);
        assert_true(strlen(buffer) < TEXT_PATH_MAX);
        assert_null(strchr(buffer, '\n'));
}

static void no_path_overflows_or_says_anything_raw(void **state) {
        uint64_t seed = random_seed();

        (void) state;
        for (unsigned i = 0; i < 5000; i++) {
                char path[1200], *buffer = malloc(TEXT_PATH_MAX); /* on the heap, where a byte too much is seen */
                size_t n = random_below(&seed, sizeof(path));
                bool high = random_below(&seed, 2);

                for (size_t k = 0; k < n; k++)
                        path[k] = (char) (high ? 0x80 + random_below(&seed, 0x80) : 1 + random_below(&seed, 255));
                path[n] = '\0';
                assert_non_null(buffer);
                (void) text_path(buffer, path);
                assert_true(strlen(buffer) < TEXT_PATH_MAX);
                for (const char *s = buffer; *s; s++)
                        assert_true((unsigned char) *s >= ' ' && *s != 0x7f);
                free(buffer);
        }
}

static void text_grows(void **state) {
        _cleanup_(freep) char *text = NULL;

        (void) state;
        assert_int_equal(text_append(&text, "%s", ""), 0);
        assert_string_equal(text, "");
        assert_int_equal(text_append(&text, "%d files", 3), 0);
        assert_int_equal(text_append(&text, ", %s", "1G"), 0);
        assert_string_equal(text, "3 files, 1G");
}

static void formatted_text_is_new_and_of_any_length(void **state) {
        _cleanup_(freep) char *empty = text_format("%s", ""), *short_text = text_format("%s=%d", "a", 5), *big = NULL;
        char *many = malloc(100001);

        (void) state;
        assert_string_equal(empty, "");
        assert_string_equal(short_text, "a=5");
        memset(many, 'm', 100000);
        many[100000] = '\0';
        big = text_format("<%s>", many);
        assert_int_equal(strlen(big), 100002);
        assert_memory_equal(big + 1, many, 100000);
        free(many);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bytes_are_printed_in_the_unit_that_fits),
                cmocka_unit_test(spans_are_printed_in_the_unit_that_fits),
                cmocka_unit_test(what_a_terminal_would_obey_is_escaped),
                cmocka_unit_test(what_is_not_utf8_is_escaped),
                cmocka_unit_test(every_byte_comes_back),
                cmocka_unit_test(an_escape_that_is_none_is_refused),
                cmocka_unit_test(a_long_path_keeps_its_ends),
                cmocka_unit_test(a_short_path_is_printed_whole),
                cmocka_unit_test(no_path_overflows_or_says_anything_raw),
                cmocka_unit_test(text_grows),
                cmocka_unit_test(formatted_text_is_new_and_of_any_length),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
