/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What shmstagectl status shows of what the daemon says: nothing is wider than the terminal, nothing of concern is left out. */

#include "base/strv.h"
#include "ctl/status-view.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DAEMON "'daemon': {'version': '1.2', 'state': 'ready', 'status_text': 'Ready: 3 files', 'pid': 7, 'uptime_usec': 65000000}"
#define MIRROR "'name': 'm', 'source': '/s', 'target': '/t', 'state': 'idle', 'ready': true, 'files': 3, 'bytes': 3221225472"

/* JSON with ' for ". */
static json_t *parse(const char *text) {
        _cleanup_(freep) char *copy = strdup(text);
        json_t *json = NULL;

        for (char *c = copy; *c; c++)
                if (*c == '\'')
                        *c = '"';
        assert_int_equal(json_input_parse(copy, strlen(copy), &json), 0);
        return json;
}

/* All lines in one string. */
static char *view(const char *text, const ViewInput *more, Screen screen) {
        json_t *status = text ? parse(text) : NULL;
        ViewInput input = more ? *more : (ViewInput){};
        char **lines = NULL, *all = NULL;
        size_t size;
        FILE *out = open_memstream(&all, &size);

        assert_non_null(out);
        input.status = status;
        assert_int_equal(status_view_print(&input, &screen, &lines), 0);
        for (size_t i = 0; lines[i]; i++) {
                if (screen.terminal)
                        assert_true(screen_width(lines[i]) <= screen.columns);
                (void) fprintf(out, "%s\n", lines[i]);
        }
        (void) fclose(out);
        (void) strv_free(lines);
        json_decref(status);
        return all;
}

static void assert_shows(const char *mirror, const char *part) {
        _cleanup_(freep) char *text = NULL, *shown = NULL;
        ViewInput input = { .now_usec = 100 * USEC_PER_SEC };

        assert_true(asprintf(&text, "{" DAEMON ", 'mirrors': [{" MIRROR "%s}]}", mirror) > 0);
        shown = view(text, &input, (Screen){});
        if (!strstr(shown, part))
                fail_msg("'%s' is not in\n%s", part, shown);
}

static void a_ready_mirror_in_few_lines(void **state) {
        _cleanup_(freep) char *shown = view("{" DAEMON ", 'mirrors': [{" MIRROR "}]}", NULL, (Screen){});

        (void) state;
        assert_string_equal(shown, "* shmstaged: ready\n    Daemon: version 1.2, PID 7, up 1min 5s\n    Status: Ready: 3 files\n\n"
                                   "* m: /s -> /t\n     State: ready\n    In RAM: 3 files, 3G\n");
}

static void no_daemon_is_shown_with_the_reason(void **state) {
        ViewInput input = { .reason = "it is stopped" };
        _cleanup_(freep) char *shown = view(NULL, &input, (Screen){ .unicode = true });

        (void) state;
        assert_string_equal(shown, "○ shmstaged: not running\n    Reason: it is stopped\n");
}

static void degraded_and_failed_are_in_the_first_line(void **state) {
        _cleanup_(freep) char *degraded = view("{'daemon': {'state': 'staging', 'degraded': true}}", NULL, (Screen){ .colours = true });
        _cleanup_(freep) char *failed = view("{'daemon': {'state': 'failed'}}", NULL, (Screen){ .unicode = true });

        (void) state;
        assert_true(strncmp(degraded, "\033[0;1;33m*\033[0m shmstaged: \033[0;1;33mdegraded\033[0m\n", 44) == 0);
        assert_true(strncmp(failed, "× shmstaged: failed\n", 21) == 0);
}

static void every_trouble_is_shown(void **state) {
        static const struct { const char *mirror, *shown; } cases[] = {
                { ", 'withheld': 2, 'withheld_text': 'a is corrupt'", "  Withheld: 2 files that could not be read or verified\n            a is corrupt\n" },
                { ", 'unreadable': 1, 'unreadable_text': 'b: denied'", "Unreadable: 1 directory of the source\n            b: denied\n" },
                { ", 'damaged': 1", "   Damaged: 1 " }, { ", 'skipped': 4", "   No room: 4 files not in RAM for lack of space (skipped, or linked)\n" }, { ", 'linked': 1", "    Linked: 1 " },
                { ", 'released': 1", "  Released: 1 file on request\n" }, { ", 'changed_only': 1", "   Changed: 1 file in the mirror only" }, { ", 'rejected': 3", "  Rejected: 3 " },
                { ", 'deletions_held': 9", " Deletions: 9 held back\n" },
                { ", 'conflicts': 1, 'conflict': 'c/d'", "Conflicts: 1 file that changed on both sides\n            for the latest one, the other version is kept as 'c/d'\n" },
                { ", 'unsaved': 2, 'unsaved_bytes': 2048, 'unsaved_since_usec': 70000000, 'saving': 1",
                  "   Unsaved: 2 files, 2K, not on disk yet; oldest for 30s; 1 being saved\n" },
                { ", 'unsaved': 1, 'save_fails': true, 'save_problem': 'no room'", "   Unsaved: 1 file, 0B, not on disk yet; saving fails, retrying\n            no room\n" },
                { ", 'trash_files': 1, 'trash_bytes': 1024", "     Trash: 1 file, 1K\n" }, { ", 'source_state': 'lost'", "    Source: lost\n" },
                { ", 'problem': 'no room at all'", "   Problem: no room at all\n" }, { ", 'swapped_bytes': 4096", "; swapped out: 4K\n" },
                { ", 'huge_bytes': 99, 'measured_bytes': 100", "; 2 MiB pages: 99%\n" }, { ", 'scrubbed_bytes': 1024, 'repaired': 2", "  Scrubbed: 1K, 2 repaired\n" },
                { ", 'todo_bytes': 4096, 'done_bytes': 1024, 'rate': 1024, 'left_usec': 3000000, 'path': 'x/y'",
                  "   Staging: 25%, 1K of 4K, 1K/s, 3.0s left\n        At: x/y\n" },
                { ", 'models': 1, 'tmpfs_size': 4096, 'tmpfs_free': 1024", "    In RAM: 3 files (1 model), 3G of 4K, 1K free\n" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_shows(cases[i].mirror, cases[i].shown);
}

static void files_are_named_with_their_reasons_and_the_rest_is_counted(void **state) {
        ViewFile files[VIEW_FILES_MAX];
        ViewInput input = { .files = files, .n_files = VIEW_FILES_MAX };
        _cleanup_(freep) char *shown = NULL, *few = NULL, *other = NULL;

        (void) state;
        for (size_t i = 0; i < VIEW_FILES_MAX; i++)
                files[i] = (ViewFile){ (char *) "withheld", (char *) "a\xff", (char *) "why", 0 };
        shown = view("{" DAEMON ", 'mirrors': [{" MIRROR ", 'withheld': 9, 'withheld_text': 'one'}]}", &input, (Screen){});
        assert_non_null(strstr(shown, "            a\\xff: why\n"));
        assert_non_null(strstr(shown, "            and 4 more: shmstagectl list --state=withheld\n"));
        assert_null(strstr(shown, "one"));
        input.n_files = 2; /* all that are in this state: the others that are counted have another */
        few = view("{" DAEMON ", 'mirrors': [{" MIRROR ", 'withheld': 9}]}", &input, (Screen){});
        assert_null(strstr(few, "more"));
        files[0].mirror = files[1].mirror = 1;
        other = view("{" DAEMON ", 'mirrors': [{" MIRROR ", 'withheld': 9}]}", &input, (Screen){});
        assert_null(strstr(other, "why"));
}

static void what_is_not_known_of_a_later_version_does_no_harm(void **state) {
        _cleanup_(freep) char *nothing = view("{}", NULL, (Screen){}), *odd = NULL;

        (void) state;
        assert_non_null(strstr(nothing, "shmstaged: unknown"));
        odd = view("{'daemon': {'state': 'dreaming', 'x': [1]}, 'mirrors': [{'name': 5, 'files': 'many', 'state': null, 'todo_bytes': -1}]}", NULL, (Screen){});
        assert_non_null(strstr(odd, "shmstaged: dreaming"));
}

static void control_characters_are_not_sent_to_a_terminal(void **state) {
        _cleanup_(freep) char *shown = view("{'daemon': {'state': '\\u001b[2J', 'status_text': 'a\\u001b[2J\\nb'}, 'mirrors': [{'name': '\\u0007', 'path': '\\u009b',"
                                            "'todo_bytes': 1, 'withheld': 1, 'withheld_text': '\\u001b'}]}", NULL, (Screen){ .unicode = true });

        (void) state;
        for (const char *c = shown; *c; c++)
                assert_true(*c == '\n' || (unsigned char) *c >= 0x20);
        assert_null(strstr(shown, "\xc2\x9b"));
}

/* view() checks each line. */
static void no_line_is_wider_than_the_terminal(void **state) {
        static const char busy[] =
                "{'daemon': {'state': 'staging', 'version': '1', 'pid': 4194304, 'status_text': 'Staging: 42% (1G of 2G): 模型模型模型模型/a-very-long-name-without-any-blank-in-it-whatsoever.gguf'},"
                "'mirrors': [{'name': 'a-long-name-of-a-mirror', 'source': '/a/long/path/to/a/source', 'target': '/dev/shm/a/long/path', 'state': 'staging',"
                "'todo_bytes': 4096, 'done_bytes': 1000, 'rate': 1, 'left_usec': 1, 'path': '模型模型模型模型模型模型模型模型模型', 'withheld': 1, 'withheld_text': 'words and words'}]}";
        static const char *const locales[] = { "C.UTF-8", "C" };

        (void) state;
        for (size_t l = 0; l < ELEMENTSOF(locales); l++) {
                assert_non_null(setlocale(LC_CTYPE, locales[l]));
                for (unsigned columns = 24; columns <= 200; columns++)
                        free(view(busy, NULL, (Screen){ .terminal = true, .columns = columns, .rows = 24, .unicode = l == 0 }));
        }
        /* where nothing fits there is still no loop, and no text is lost */
        for (unsigned columns = 1; columns < 24; columns++) {
                Screen screen = { .terminal = true, .columns = columns };
                json_t *status = parse(busy);
                ViewInput input = { .status = status };
                char **lines = NULL;

                assert_int_equal(status_view_print(&input, &screen, &lines), 0);
                (void) strv_free(lines);
                json_decref(status);
        }
        assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
}

static void a_line_for_where_lines_follow_each_other(void **state) {
        json_t *mirror = parse("{" MIRROR ", 'degraded': true, 'withheld': 2, 'unsaved': 1, 'todo_bytes': 4096, 'done_bytes': 1024}");
        _cleanup_(freep) char *line = status_view_line(mirror, false), *bytes = status_view_line(mirror, true);

        (void) state;
        assert_string_equal(line, "m: degraded 25%, 1K of 4K; 3 files, 3G in RAM; 1 not on disk yet; 2 withheld");
        assert_non_null(strstr(bytes, "1024 of 4096; 3 files, 3221225472 in RAM"));
        json_decref(mirror);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_ready_mirror_in_few_lines),
                cmocka_unit_test(no_daemon_is_shown_with_the_reason),
                cmocka_unit_test(degraded_and_failed_are_in_the_first_line),
                cmocka_unit_test(every_trouble_is_shown),
                cmocka_unit_test(files_are_named_with_their_reasons_and_the_rest_is_counted),
                cmocka_unit_test(what_is_not_known_of_a_later_version_does_no_harm),
                cmocka_unit_test(control_characters_are_not_sent_to_a_terminal),
                cmocka_unit_test(no_line_is_wider_than_the_terminal),
                cmocka_unit_test(a_line_for_where_lines_follow_each_other),
        };

        (void) setlocale(LC_CTYPE, "C.UTF-8");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
