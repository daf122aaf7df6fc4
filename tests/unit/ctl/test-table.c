/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Tables and JSON of shmstagectl: whatever is in a cell, what is printed can be read. */

#include "base/json-input.h"
#include "ctl/table.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PATH, STATE, SIZE, DIGEST, NUMBER, EXTRA };

static const CtlColumn columns[] = {
        [PATH] = { "path", CELL_PATH, COLUMN_CUT, "where" },
        [STATE] = { "state", CELL_TEXT, 0, "how" },
        [SIZE] = { "size", CELL_BYTES, 0, "how much" },
        [DIGEST] = { "digest", CELL_TEXT, 0, "of it" },
        [NUMBER] = { "number", CELL_NUMBER, 0, "of it" },
        [EXTRA] = { "extra", CELL_NUMBER, COLUMN_EXTRA, "more" },
};

/* What is printed to @fd while @print runs. */
static char *capture(int fd, int (*print)(void *), void *argument, int *ret_status) {
        static char text[65536];
        FILE *file = tmpfile();
        int saved = dup(fd);
        size_t n;

        assert_non_null(file);
        assert_true(saved >= 0);
        assert_true(dup2(fileno(file), fd) >= 0);
        *ret_status = print(argument);
        (void) fflush(fd == STDOUT_FILENO ? stdout : stderr);
        assert_true(dup2(saved, fd) >= 0);
        close_fdp(&saved);
        rewind(file);
        n = fread(text, 1, sizeof(text) - 1, file);
        text[n] = '\0';
        (void) fclose(file);
        return text;
}

static int print_table(void *table) {
        return ctl_table_print(table);
}

static void add(CtlTable *table, const char *path, const char *state, uint64_t size) {
        ctl_table_row(table);
        ctl_table_set(table, PATH, path);
        ctl_table_set(table, STATE, state);
        ctl_table_set_number(table, SIZE, size);
        ctl_table_set_number(table, EXTRA, 7);
}

static void assert_prints(Ctl ctl, const char *path, const char *state, uint64_t size, const char *expected) {
        _cleanup_(ctl_table_freep) CtlTable *table = NULL;
        int status;

        assert_int_equal(ctl_table_new(&table, &ctl, columns, ELEMENTSOF(columns)), 0);
        if (path)
                add(table, path, state, size);
        assert_string_equal(capture(STDOUT_FILENO, print_table, table, &status), expected);
        assert_int_equal(status, CTL_DONE);
}

static const Ctl plain = {};
static const Ctl json = { .json = CTL_JSON_SHORT };

static void a_table_has_headings_and_cells_that_were_not_set_are_dashes(void **state) {
        (void) state;
        assert_prints(plain, "a/b", "staged", 1536, "PATH STATE  SIZE DIGEST NUMBER\na/b  staged 1.5K -           -\n");
}

static void headings_can_be_left_out_and_amounts_be_exact(void **state) {
        (void) state;
        assert_prints((Ctl){ .no_headings = true, .bytes = true }, "a", "x", 1536, "a x 1536 - -\n");
}

static void nothing_prints_nothing_and_in_json_an_empty_array(void **state) {
        (void) state;
        assert_prints(plain, NULL, NULL, 0, "");
        assert_prints(json, NULL, NULL, 0, "[]\n");
}

static void columns_are_chosen_in_order_without_regard_to_case(void **state) {
        (void) state;
        assert_prints((Ctl){ .output = "SIZE,path" }, "a", "x", 17, "SIZE PATH\n 17B a\n");
        assert_prints((Ctl){ .output = "extra", .no_headings = true }, "a", "x", 17, "7\n");
        assert_prints((Ctl){ .output = "+EXTRA", .no_headings = true }, "a", "x", 17, "a x 17B - - 7\n");
        assert_prints((Ctl){ .output = "+extra,path", .no_headings = true }, "a", "x", 17, "a x 17B - - 7\n");
        assert_prints((Ctl){ .output = "digest", .json = CTL_JSON_SHORT }, "a", "x", 17, "[{\"digest\":null}]\n");
}

static int new_table(void *output) {
        CtlTable *table = NULL;
        Ctl ctl = { .output = output };
        int r = ctl_table_new(&table, &ctl, columns, ELEMENTSOF(columns));

        assert_null(table);
        return r;
}

static void a_column_that_is_not_there_is_refused_with_those_that_are(void **state) {
        static const char *const wrong[] = { "sise", "", "size,", ",", "size,,path", "+", "siz", "sizes", "help", "\n" };
        int status;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                const char *text = capture(STDERR_FILENO, new_table, (void *) wrong[i], &status);

                assert_int_equal(status, CTL_BAD_ARGUMENTS);
                for (size_t c = 0; c < ELEMENTSOF(columns); c++)
                        assert_non_null(strstr(text, columns[c].name));
        }
}

static void json_has_numbers_as_numbers(void **state) {
        (void) state;
        assert_prints(json, "a", "x", 1536, "[{\"path\":\"a\",\"state\":\"x\",\"size\":1536,\"digest\":null,\"number\":null,\"extra\":7}]\n");
        assert_prints(json, "a", "x", UINT64_MAX, "[{\"path\":\"a\",\"state\":\"x\",\"size\":null,\"digest\":null,\"number\":null,\"extra\":7}]\n");
}

static void what_is_no_text_is_escaped_once(void **state) {
        Ctl only = { .output = "path", .no_headings = true };

        (void) state;
        assert_prints(only, "a\xff\n\\x\033[2Jb", NULL, 0, "a\\xff\\x0a\\x5cx\\x1b[2Jb\n");
        only.output = "state";
        assert_prints(only, "", "say \\x1b \033[31m\xfe", 0, "say \\x1b \\x1b[31m\\xfe\n");
}

static void letters_of_the_locale_stay(void **state) {
        Ctl only = { .output = "path,state", .no_headings = true };

        (void) state;
        assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
        assert_prints(only, "ünï-模型", "é", 0, "ünï-模型 é\n");
        /* marks that turn the direction of writing, and a control character above ASCII */
        assert_prints(only, "a\xe2\x80\xae" "b", "\xc2\x9b", 0, "a\\xe2\\x80\\xaeb \\xc2\\x9b\n");
        assert_non_null(setlocale(LC_CTYPE, "C"));
        assert_prints(only, "ü", "é", 0, "\\xc3\\xbc \\xc3\\xa9\n");
}

/* Every byte, alone and between others, comes out as JSON that a parser takes, and can be told. */
static void json_is_valid_whatever_is_in_a_cell(void **state) {
        (void) state;
        for (int c = 1; c < 256; c++) {
                char raw[] = { 'a', (char) c, (char) 0xc3, (char) c, '"', '\0' };
                _cleanup_(ctl_table_freep) CtlTable *table = NULL;
                json_t *parsed = NULL;
                const char *text;
                int status;

                assert_int_equal(ctl_table_new(&table, &json, columns, ELEMENTSOF(columns)), 0);
                add(table, raw, raw, 1);
                text = capture(STDOUT_FILENO, print_table, table, &status);
                assert_int_equal(json_input_parse(text, strlen(text), &parsed), 0);
                assert_int_equal(json_array_size(parsed), 1);
                assert_non_null(json_input_string(json_object_get(json_array_get(parsed, 0), "path")));
                json_decref(parsed);
        }
}

static void many_rows_are_kept(void **state) {
        _cleanup_(ctl_table_freep) CtlTable *table = NULL;
        Ctl ctl = { .output = "size", .no_headings = true, .bytes = true };
        const char *text;
        int status;

        (void) state;
        assert_int_equal(ctl_table_new(&table, &ctl, columns, ELEMENTSOF(columns)), 0);
        for (uint64_t i = 0; i < 1000; i++)
                add(table, "p", "s", 1000 + i);
        text = capture(STDOUT_FILENO, print_table, table, &status);
        assert_int_equal(strlen(text), 1000 * 5);
        assert_non_null(strstr(text, "\n1999\n"));
}

static void a_cut_text_is_as_wide_as_it_may_be(void **state) {
        Screen screen = { .unicode = true };
        _cleanup_(freep) char *cut = NULL, *whole = NULL, *plain_cut = NULL;

        (void) state;
        assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
        cut = screen_cut(&screen, "模型模型", 6); /* each takes two columns */
        assert_string_equal(cut, "模型…");
        whole = screen_cut(&screen, "模型模型", 8);
        assert_string_equal(whole, "模型模型");
        screen.unicode = false;
        plain_cut = screen_cut(&screen, "abcdefgh", 6);
        assert_string_equal(plain_cut, "abc...");
        assert_non_null(setlocale(LC_CTYPE, "C"));
}

static void a_bar_is_empty_full_and_between(void **state) {
        static const struct { unsigned percent; const char *unicode, *plain; } cases[] = {
                { 0, "░░░░", "...." }, { 50, "██░░", "##.." }, { 56, "██▏░", "##.." },
                { 99, "███▉", "###." }, { 100, "████", "####" }, { 400, "████", "####" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Screen screen = { .unicode = true };
                _cleanup_(freep) char *bar = screen_bar(&screen, 4, cases[i].percent), *dull = NULL;

                assert_string_equal(bar, cases[i].unicode);
                screen.unicode = false;
                dull = screen_bar(&screen, 4, cases[i].percent);
                assert_string_equal(dull, cases[i].plain);
        }
}

static void assert_colours(const char *systemd, const char *no, bool expected) {
        assert_int_equal(systemd ? setenv("SYSTEMD_COLORS", systemd, 1) : unsetenv("SYSTEMD_COLORS"), 0);
        assert_int_equal(no ? setenv("NO_COLOR", no, 1) : unsetenv("NO_COLOR"), 0);
        assert_int_equal(screen_of(STDOUT_FILENO).colours, expected);
}

/* The terminal's side is looked at by the tests of the program. */
static void colours_obey_the_environment(void **state) {
        (void) state;
        assert_false(screen_of(-1).terminal);
        assert_colours("1", "1", true);
        assert_colours("256", NULL, true);
        assert_colours("0", NULL, false);
        assert_colours("off", NULL, false);
        assert_colours("no", NULL, false);
        assert_colours(NULL, "1", false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_table_has_headings_and_cells_that_were_not_set_are_dashes),
                cmocka_unit_test(headings_can_be_left_out_and_amounts_be_exact),
                cmocka_unit_test(nothing_prints_nothing_and_in_json_an_empty_array),
                cmocka_unit_test(columns_are_chosen_in_order_without_regard_to_case),
                cmocka_unit_test(a_column_that_is_not_there_is_refused_with_those_that_are),
                cmocka_unit_test(json_has_numbers_as_numbers),
                cmocka_unit_test(what_is_no_text_is_escaped_once),
                cmocka_unit_test(letters_of_the_locale_stay),
                cmocka_unit_test(json_is_valid_whatever_is_in_a_cell),
                cmocka_unit_test(many_rows_are_kept),
                cmocka_unit_test(a_cut_text_is_as_wide_as_it_may_be),
                cmocka_unit_test(a_bar_is_empty_full_and_between),
                cmocka_unit_test(colours_obey_the_environment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
