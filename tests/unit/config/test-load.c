/* SPDX-License-Identifier: GPL-2.0-or-later */

/* load: which files are read, compared with systemd-analyze; sections, keys and what they add up to; the comparison of
 * all paths; and the notes about what is wrong, with file and line. */

#include "case.h"

static void the_syntax_is_that_of_systemd(void **state _unused_) {
        _cleanup_(config_freep) Config *config = load_good(
                "  [Mirror a]  \r\n"
                "\t Source = /with blanks/x  # no comment \t\r\n"
                "  ; Source=/comment\n"
                "Include= one \\\n"
                "# a comment in between\n"
                "   two\\\n"
                "three\n"
                "Priority=ends-in-pair\\\\\n"
                "Exclude=\n"
                "[Mirror \t b]\n"
                "Source=/b\n"
                "Target=/dev/shm/b\n"
                "[Mirror a]\n"
                "Target=/dev/shm/a\n"
                "Exclude=last \\");
        const MirrorConfig *a = config_find_mirror(config, "a");

        assert_int_equal(config->n_mirrors, 2);
        assert_string_equal(a->source, "/with blanks/x  # no comment");
        assert_string_equal(a->target, "/dev/shm/a");
        assert_int_equal(strv_length(a->include), 3);
        assert_string_equal(a->include[1], "two");
        assert_string_equal(a->include[2], "three");
        assert_string_equal(a->priority[0], "ends-in-pair\\");
        assert_string_equal(a->exclude[0], "last");
        assert_string_equal(config_find_mirror(config, "b")->source, "/b");
        assert_null(config_find_mirror(config, "c"));
}

static void a_value_set_again_overrides_and_a_list_adds_and_empty_starts_over(void **state _unused_) {
        _cleanup_(config_freep) Config *config = load_good("[Mirror a]\nSwap=yes\nSwap=no\nSwap=yes\nSize=1G\nSize=\n"
                                                           "Include=a b\nInclude=c\nExclude=a\nExclude=\nExclude=b c\n"
                                                           "Priority=x\nPriority=\nSource=/x\nSource=/y\n");
        static const char *const include[] = { "a", "b", "c", NULL }, *const exclude[] = { "b", "c", NULL };
        const MirrorConfig *a = &config->mirrors[0];

        assert_true(a->swap);
        assert_int_equal(a->size.kind, AMOUNT_AUTO);
        assert_string_equal(a->source, "/y");
        assert_true(strv_equal(a->include, (char *const *) include));
        assert_true(strv_equal(a->exclude, (char *const *) exclude));
        assert_non_null(a->priority);
        assert_null(a->priority[0]);
}

static void what_is_not_ini_is_an_error_with_its_line(void **state _unused_) {
        static const struct { const char *text; unsigned line; const char *part; } table[] = {
                { "[Mirror a]\n\nSource /x\n", 3, "neither [Section], nor Key=value" },
                { "[Mirror a]\nSwap=no\n/x\n", 3, "neither" },
                { "# c\nSwap=no\n", 2, "before the first [Section]" },
                { "\n\n[Mirror a\nSwap=no\n", 3, "does not end with ]" },
                { "[\n", 1, "does not end with ]" },
                { "[Mirror a] # mine\nSwap=no\n", 1, "does not end with ]" },
                { "[Mirror a]\n=no\n", 2, "no key" },
                { "[Mirror a]\n  = no\n", 2, "no key" },
                { "[Mirror]\nSwap=no\n", 1, "[Mirror]: must be [Mirror NAME]" },
                { "[Mirror ]\n", 1, "must be [Mirror NAME]" },
                { "[Mirrors a]\n", 1, "must be [Mirror NAME]" },
                { "[mirror a]\n", 1, "must be [Mirror NAME]" },
                { "[Mirror:a]\n", 1, "must be [Mirror NAME]" },
                { "[Mirror a b]\n", 1, "must be [Mirror NAME]" },
                { "[Mirror .a]\n", 1, "must be [Mirror NAME]" },
                { "[Mirror -a]\n", 1, "must be [Mirror NAME]" },
                { "[Mirror a/b]\n", 1, "must be [Mirror NAME]" },
                { "[Mirror \xc3\xa4]\n", 1, "must be [Mirror NAME]" },
                { "[Mirror a12345678901234567890123456789012345678901234567890123456789012345]\n", 1,
                  "must be [Mirror NAME]" },
                { "[Daemon]\nSource=/x\n", 2, "Source= belongs in section [Mirror NAME], not in [Daemon]" },
                { "[Mirror a]\nWorkers=2\n", 2, "Workers= belongs in section [Daemon]" },
                { "[Mirror a]\nInclude=a \\\nb\\\nc 'd\n", 2, "Include=" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(config_freep) Config *config = load(table[i].text);

                assert_only_error(config, table[i].line, table[i].part);
        }
}

static void the_longest_mirror_name_is_taken(void **state _unused_) {
        char text[100], name[65];
        _cleanup_(config_freep) Config *config = NULL;

        (void) snprintf(name, sizeof(name), "A-z_%060d", 9);
        (void) snprintf(text, sizeof(text), "[Mirror %s]\n", name);
        config = load_good(text);
        assert_string_equal(config->mirrors[0].name, name);
}

static void a_file_with_nul_bytes_is_given_up_at_that_line(void **state _unused_) {
        static const char bytes[] = "[Mirror a]\nSwap=yes\nSou\0rce=/x\nSwap=maybe\n";
        _cleanup_(config_freep) Config *config = load_bytes(bytes, sizeof(bytes) - 1);

        assert_only_error(config, 3, "NUL");
}

static void a_binary_file_is_an_error_and_not_a_flood(void **state _unused_) {
        _cleanup_(config_freep) Config *program = NULL, *noise = NULL;
        static char bytes[200000];
        _cleanup_(close_fdp) int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, bytes, 10000);

        assert_true(n > 1000);
        program = load_bytes(bytes, (size_t) n);
        assert_int_equal(program->n_notes, 1);
        assert_non_null(strstr(program->notes[0].text, "NUL"));

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (char) (i * i % 251 % 96 + (i % 7 == 0 ? 10 : 32));
        noise = load_bytes(bytes, sizeof(bytes));
        assert_true(noise->n_errors > 0);
        assert_true(noise->n_notes <= 51);
        for (size_t i = 0; i < noise->n_notes; i++)
                assert_true(noise->notes[i].line > 0);
}

static void a_huge_line_is_one_value_and_a_huge_file_is_refused(void **state _unused_) {
        size_t length = 1000000;
        _cleanup_(freep) char *text = malloc(2 * MIB);
        _cleanup_(config_freep) Config *words = NULL, *one = NULL, *big = NULL;
        size_t head = (size_t) sprintf(text, "[Mirror a]\nInclude=");
        const char *what = NULL;

        for (size_t i = head; i < length; i++)
                text[i] = i % 2 ? ' ' : 'a';
        words = load_bytes(text, length);
        assert_int_equal(words->n_notes, 0);
        assert_int_equal(strv_length(words->mirrors[0].include), (length - head) / 2);

        memset(text + head, 'x', length);
        one = load_bytes(text, length);
        assert_int_equal(one->n_notes, 0);
        assert_int_equal(strlen(one->mirrors[0].include[0]), length - head);

        memset(text, '#', 2 * MIB);
        write_bytes(file, text, MIB + 1);
        assert_int_equal(config_load(file, NULL, &big, &what), -EFBIG);
        assert_string_equal(what, "read the configuration file");
        big = load_bytes(text, MIB);
        assert_int_equal(big->n_notes, 0);
}

static void a_wrong_value_of_any_length_has_a_short_error(void **state _unused_) {
        _cleanup_(freep) char *value = calloc(1, 500001);
        _cleanup_(config_freep) Config *config = NULL;

        memset(value, '\x1b', 500000);
        config = load_key("Mirror a", "OnNoRoom", value);
        assert_only_error(config, 3, ": must be fail, skip or link");
        assert_true(strlen(config->notes[0].text) < 1000);
        assert_null(strchr(config->notes[0].text, '\x1b'));
}

static void an_unknown_key_or_section_is_a_warning_with_file_and_line(void **state _unused_) {
        _cleanup_(config_freep) Config *config =
                load("[Install]\nWantedBy=x\nWantedBy y\n[Mirror a]\nsource=/x\n"
                     "Swap=yes\nFrobnicate=\n[daemon]\nWorkers=nonsense\n");
        static const struct { unsigned line; const char *part; bool error; } expected[] = {
                { 1, "Unknown section [Install], ignored", false },
                { 3, "neither", true },
                { 5, "Unknown key source= in section [Mirror a], ignored; did you mean Source=?", false },
                { 7, "Unknown key Frobnicate= in section [Mirror a], ignored", false },
                { 8, "Unknown section [daemon], ignored", false },
        };

        assert_int_equal(config->n_notes, ELEMENTSOF(expected));
        assert_int_equal(config->n_errors, 1);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                assert_int_equal(config->notes[i].line, expected[i].line);
                assert_int_equal(config->notes[i].error, expected[i].error);
                assert_string_equal(config->notes[i].file, file);
                assert_non_null(strstr(config->notes[i].text, expected[i].part));
        }
        assert_true(config->mirrors[0].swap);
        assert_string_equal(config->mirrors[0].source, "/data/models");
}

static void all_errors_of_a_file_are_reported_up_to_fifty(void **state _unused_) {
        _cleanup_(config_freep) Config *config = load("[Mirror a]\nSwap=x\nSize=x\nSwap=yes\nOnNoRoom=x\n"),
                *many = NULL;
        _cleanup_(freep) char *text = calloc(1, 100000);

        assert_int_equal(config->n_errors, 3);
        assert_int_equal(config->notes[2].line, 5);
        strcpy(text, "[Mirror a]\n");
        for (size_t i = 0; i < 1000; i++)
                strcat(text, "Swap=x\n");
        many = load(text);
        assert_int_equal(many->n_errors, 51);
        assert_int_equal(many->notes[50].line, 52);
}

static void paths_that_overlap_are_an_error_that_names_both_mirrors_and_places(void **state _unused_) {
        static const struct { const char *text; unsigned line; const char *part; } table[] = {
                { "[Mirror a]\nSource=/a\n[Mirror b]\nSource=/b\n", 3,
                  "Target=/dev/shm/models of [Mirror b] is the same as Target=/dev/shm/models of [Mirror a] (FILE:1)" },
                { "[Mirror a]\nTarget=/t\n[Mirror b]\nSwap=no\nTarget=/t//x/.\n", 5,
                  "Target=/t/x of [Mirror b] is inside Target=/t of [Mirror a] (FILE:2)" },
                { "[Mirror a]\nTarget=/t/x\n[Mirror b]\nTarget=/t\n", 4,
                  "Target=/t of [Mirror b] contains Target=/t/x of [Mirror a]" },
                { "[Mirror a]\nTarget=/t\n[Mirror b]\nTarget=/u\n[Mirror a]\nTarget=/u\n", 6,
                  "Target=/u of [Mirror a] is the same as Target=/u of [Mirror b] (FILE:4)" },
                { "[Mirror a]\nSource=/s\nTarget=/s\n", 3,
                  "Target=/s of [Mirror a] is the same as Source=/s of [Mirror a] (FILE:2)" },
                { "[Mirror a]\nTarget=/s/ram\nSource=/s\n", 3,
                  "Source=/s of [Mirror a] contains Target=/s/ram of [Mirror a] (FILE:2)" },
                { "[Mirror a]\nSource=/t/s\nTarget=/t\n", 3, "Target=/t of [Mirror a] contains Source=/t/s" },
                { "[Mirror a]\nTarget=/data/models/ram\n", 2,
                  "is inside Source=/data/models of [Mirror a] (FILE:1)" },
                { "[Mirror a]\nSource=/s\n[Mirror b]\nSource=/x\nTarget=/s/t\n", 5,
                  "Target=/s/t of [Mirror b] is inside Source=/s of [Mirror a]" },
                { "[Mirror a]\nTarget=/t\n[Mirror b]\nSource=/t/x\nTarget=/u\n", 4,
                  "Source=/t/x of [Mirror b] is inside Target=/t of [Mirror a]" },
                { "[Mirror a]\nSource=/t/x\nTarget=/u\n[Mirror b]\nTarget=/t\n", 5,
                  "Target=/t of [Mirror b] contains Source=/t/x of [Mirror a]" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(config_freep) Config *config = load(table[i].text);
                const char *mark = strstr(table[i].part, "FILE");
                char part[512];

                if (mark)
                        (void) snprintf(part, sizeof(part), "%.*s%s%s", (int) (mark - table[i].part),
                                table[i].part, file,
                                        mark + 4);
                else
                        (void) snprintf(part, sizeof(part), "%s", table[i].part);
                assert_only_error(config, table[i].line, part);
        }
}

static void metrics_are_not_written_into_what_is_watched(void **state _unused_) {
        static const char *const bad[] = { "/s", "/s/m.prom", "/t/a/m.prom" }, *const good[] = { "/m.prom",
                                                                                                 "/sm.prom",
                                                                                                 "/st/s" };

        for (size_t i = 0; i < ELEMENTSOF(bad) + ELEMENTSOF(good); i++) {
                const char *path = i < ELEMENTSOF(bad) ? bad[i] : good[i - ELEMENTSOF(bad)];
                _cleanup_(freep) char *text = NULL;
                _cleanup_(config_freep) Config *config = NULL;

                assert_true(asprintf(&text, "[Daemon]\nMetricsFile=%s\n[Mirror a]\nSource=/s\nTarget=/t\n", path) > 0);
                config = load(text);
                if (i < ELEMENTSOF(bad))
                        assert_only_error(config, 2, "of [Mirror a]; they must not overlap");
                else
                        assert_int_equal(config->n_notes, 0);
        }
}

static void no_directory_of_the_system_becomes_a_mirror(void **state _unused_) {
        static const char *const bad[] = { "/dev/shm", "/etc", "/etc/x", "/usr", "/usr/lib/models", "/home", "/tmp",
                                           "/proc/x", "/var/lib", "/boot/efi", "/var/lib/shmstaged" };
        static const char *const good[] = { "/dev/shm/models", "/run/models", "/srv/models", "/home/me/ram", "/etcetera",
                                            "/usr/share/ollama/ram", "/var/lib/models" };

        for (size_t i = 0; i < ELEMENTSOF(bad) + ELEMENTSOF(good); i++) {
                const char *path = i < ELEMENTSOF(bad) ? bad[i] : good[i - ELEMENTSOF(bad)];
                _cleanup_(freep) char *text = NULL;
                _cleanup_(config_freep) Config *config = NULL;

                assert_true(asprintf(&text, "[Mirror a]\nSource=/data\nTarget=%s\n", path) > 0);
                config = load(text);
                if (i < ELEMENTSOF(bad))
                        assert_only_error(config, 3, "is a directory of the system");
                else
                        assert_int_equal(config->n_notes, 0);
        }
}

static void paths_that_are_only_similar_do_not_overlap(void **state _unused_) {
        _cleanup_(config_freep) Config *config = load_good("[Mirror a]\nSource=/data\nTarget=/dev/shm/model\n"
                                                           "[Mirror b]\nSource=/data\nTarget=/dev/shm/models\n"
                                                           "[Mirror c]\nSource=/data/models\nTarget=/data2\n");

        assert_int_equal(config->n_mirrors, 3);
}

static void there_can_be_256_mirrors(void **state _unused_) {
        _cleanup_(freep) char *text = calloc(1, 257 * 64);
        _cleanup_(config_freep) Config *full = NULL, *over = NULL;

        for (int i = 0; i < 256; i++)
                (void) sprintf(text + strlen(text), "[Mirror m%d]\nTarget=/t/%d\n", i, i);
        full = load_good(text);
        assert_int_equal(full->n_mirrors, 256);
        strcat(text, "[Mirror more]\nTarget=/t/x\n");
        over = load(text);
        assert_only_error(over, 513, "at most 256");
}

static void a_file_that_cannot_be_read_is_a_failure_that_says_so(void **state _unused_) {
        Config *config = NULL;
        const char *what = NULL;

        assert_int_equal(config_load("/nonexistent/x.conf", NULL, &config, &what), -ENOENT);
        assert_string_equal(what, "read the configuration file");
        assert_int_equal(config_load(directory, NULL, &config, &what), -EISDIR);
        assert_int_equal(config_load(NULL, "/nonexistent", &config, &what), -ENOENT);
        assert_string_equal(what, "find the configuration files");
        assert_null(config);
}

/* A scratch root below the directory of the test. */
static char root[sizeof(directory) + 8];

static void make(const char *path, const char *content) {
        char full[PATH_MAX];

        (void) snprintf(full, sizeof(full), "%s%s", root, path);
        for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
                *slash = '\0';
                assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
                *slash = '/';
        }
        write_bytes(full, content, strlen(content));
}

static void make_link(const char *path, const char *target) {
        char full[PATH_MAX];

        make(path, "");
        (void) snprintf(full, sizeof(full), "%s%s", root, path);
        assert_int_equal(unlink(full), 0);
        assert_int_equal(symlink(target, full), 0);
}

static void fresh_root(void) {
        (void) snprintf(root, sizeof(root), "%s/root", directory);
        (void) nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        assert_int_equal(mkdir(root, 0755), 0);
}

/* The paths that systemd-analyze shows, one per line. */
static char *systemd_list(void) {
        char *command = NULL, *list = NULL, *line = NULL;
        size_t size = 0, length = 0;
        FILE *pipe, *out;

        assert_true(asprintf(&command, "SYSTEMD_COLORS=0 systemd-analyze cat-config --no-pager --root=%s "
                                       "shmstaged.conf",
                             root) > 0);
        pipe = popen(command, "re");
        out = open_memstream(&list, &length);
        assert_true(pipe && out);
        while (getline(&line, &size, pipe) > 0)
                if (strncmp(line, "# /", 3) == 0)
                        (void) fputs(line + 2, out);
        assert_int_equal(pclose(pipe), 0);
        (void) fclose(out);
        free(line);
        free(command);
        return list;
}

static Config *assert_same_list(size_t n_files) {
        _cleanup_(freep) char *expected = systemd_list(), *ours = strdup("");
        Config *config = NULL;
        const char *what;

        assert_int_equal(config_load(NULL, root, &config, &what), 0);
        for (char **path = config->files; *path; path++) {
                char *longer;

                assert_true(asprintf(&longer, "%s%s\n", ours, *path) > 0);
                free(ours);
                ours = longer;
        }
        assert_string_equal(ours, expected);
        assert_int_equal(strv_length(config->files), n_files);
        return config;
}

static void the_first_main_file_counts_and_all_drop_ins_by_name(void **state _unused_) {
        _cleanup_(config_freep) Config *config = NULL;

        fresh_root();
        make("/usr/lib/shmstaged.conf", "[Daemon]\nWorkers=9\n");
        make("/run/shmstaged.conf", "[Daemon]\nWorkers=1\n[Mirror a]\nSource=/run\nTarget=/t\n");
        make("/usr/lib/shmstaged.conf.d/20-b.conf", "[Mirror a]\nSource=/usr-lib-20\nInclude=twenty\n");
        make("/usr/local/lib/shmstaged.conf.d/10-a.conf", "[Mirror a]\nSource=/local-10\nInclude=ten\n");
        make("/run/shmstaged.conf.d/40-d.conf", "[Daemon]\nWorkers=6\n");
        make("/etc/shmstaged.conf.d/40-d.conf", "[Daemon]\nWorkers=4\n");
        make("/etc/shmstaged.conf.d/30-c.conf", "[Mirror a]\nSource=/etc-30\n");
        make("/usr/lib/shmstaged.conf.d/30-c.conf", "[Mirror a]\nSource=/hidden-30\n");
        make("/run/shmstaged.conf.d/10-a.conf", "[Mirror a]\nInclude=ten-of-run\n");
        make("/etc/shmstaged.conf.d/Zz.conf", "[Mirror b]\nSource=/z\nTarget=/z-t\n");
        config = assert_same_list(6);
        assert_int_equal(config->n_notes, 0);
        assert_int_equal(config->workers, 4);
        assert_string_equal(config->mirrors[0].source, "/etc-30");
        assert_string_equal(config->mirrors[0].include[0], "ten-of-run");
        assert_string_equal(config->mirrors[0].include[1], "twenty");
        assert_int_equal(strv_length(config->mirrors[0].include), 2);
        assert_string_equal(config->mirrors[1].name, "b");
}

static void masks_and_other_names_are_as_in_systemd(void **state _unused_) {
        _cleanup_(config_freep) Config *config = NULL;

        fresh_root();
        make("/etc/shmstaged.conf", "");
        make("/usr/lib/shmstaged.conf", "[Daemon]\nWorkers=9\n");
        make_link("/etc/shmstaged.conf.d/10.conf", "/dev/null");
        make("/usr/lib/shmstaged.conf.d/10.conf", "[Daemon]\nWorkers=10\n");
        make("/run/shmstaged.conf.d/11.conf", "");
        make("/usr/lib/shmstaged.conf.d/11.conf", "[Daemon]\nWorkers=11\n");
        make("/etc/shmstaged.conf.d/note.txt", "[Daemon]\nWorkers=12\n");
        make("/etc/shmstaged.conf.d/12.conf~", "[Daemon]\nWorkers=12\n");
        make("/etc/shmstaged.conf.d/.12.conf", "[Daemon]\nWorkers=12\n");
        make("/etc/shmstaged.conf.d/13.conf.dpkg-new", "[Daemon]\nWorkers=13\n");
        make("/elsewhere", "[Mirror a]\nSwap=yes\n");
        make_link("/etc/shmstaged.conf.d/14.conf", "../../elsewhere");
        make_link("/etc/shmstaged.conf.d/sub/15.conf", "../../elsewhere");
        config = assert_same_list(4);
        assert_int_equal(config->n_notes, 0);
        assert_int_equal(config->workers, 0);
        assert_true(config->mirrors[0].swap);
}

static void roots_without_main_file_and_with_masked_or_dangling_one(void **state _unused_) {
        fresh_root();
        config_free(assert_same_list(0));
        make("/run/shmstaged.conf.d/a.conf", "[Daemon]\n");
        config_free(assert_same_list(1));
        make("/usr/local/lib/shmstaged.conf", "[Daemon]\n");
        make_link("/etc/shmstaged.conf", "nowhere");
        config_free(assert_same_list(2));
        fresh_root();
        make("/usr/local/lib/shmstaged.conf", "[Daemon]\nWorkers=7\n");
        make_link("/etc/shmstaged.conf", "/dev/null");
        config_free(assert_same_list(1));
}

static void a_linked_drop_in_directory_is_followed_inside_the_root(void **state _unused_) {
        fresh_root();
        make("/srv/site.d/10.conf", "[Daemon]\nWorkers=3\n");
        make("/srv/site.d/20.conf", "[Daemon]\nWorkers=4\n");
        make_link("/etc/shmstaged.conf.d", "/srv/site.d");
        make("/usr/lib/shmstaged.conf.d/15.conf", "[Daemon]\n");
        config_free(assert_same_list(3));
}

static void a_drop_in_that_cannot_be_read_is_an_error(void **state _unused_) {
        _cleanup_(config_freep) Config *config = NULL;
        char path[PATH_MAX];
        const char *what;

        fresh_root();
        make("/etc/shmstaged.conf.d/30.conf", "[Daemon]\nWorkers=3\n");
        make_link("/etc/shmstaged.conf.d/20.conf", "nowhere");
        make("/etc/shmstaged.conf.d/40.conf/x", "");
        (void) snprintf(path, sizeof(path), "%s/etc/shmstaged.conf.d/50.conf", root);
        assert_int_equal(mkfifo(path, 0644), 0);
        assert_int_equal(config_load(NULL, root, &config, &what), 0);
        assert_int_equal(config->n_errors, 3);
        assert_int_equal(config->workers, 3);
        assert_non_null(strstr(config->notes[0].file, "/20.conf"));
        assert_string_equal(config->notes[0].text, "Failed to read this file: No such file or directory");
        assert_string_equal(config->notes[1].text, "Failed to read this file: Is a directory");
        assert_non_null(strstr(config->notes[2].text, "neither a regular file nor a link to /dev/null"));
}

static void an_error_in_a_drop_in_names_that_file_and_an_overlap_both(void **state _unused_) {
        _cleanup_(config_freep) Config *wrong = NULL, *overlap = NULL;
        const char *what;

        fresh_root();
        make("/etc/shmstaged.conf", "[Mirror a]\n\nTarget=/t\n");
        make("/etc/shmstaged.conf.d/b.conf", "[Mirror b]\nSource=/b\nTarget=/t\n");
        assert_int_equal(config_load(NULL, root, &overlap, &what), 0);
        assert_int_equal(overlap->n_errors, 1);
        assert_non_null(strstr(overlap->notes[0].file, "/etc/shmstaged.conf.d/b.conf"));
        assert_int_equal(overlap->notes[0].line, 3);
        assert_non_null(strstr(overlap->notes[0].text, "/etc/shmstaged.conf:3)"));
        make("/etc/shmstaged.conf.d/b.conf", "[Mirror b]\nSwap=x\n");
        assert_int_equal(config_load(NULL, root, &wrong, &what), 0);
        assert_int_equal(wrong->n_errors, 1);
        assert_non_null(strstr(wrong->notes[0].file, "/etc/shmstaged.conf.d/b.conf"));
        assert_int_equal(wrong->notes[0].line, 2);
}

static void config_file_alone_is_read_if_it_is_named(void **state _unused_) {
        _cleanup_(config_freep) Config *config = NULL;
        const char *what;

        fresh_root();
        make("/etc/shmstaged.conf.d/b.conf", "[Daemon]\nWorkers=5\n");
        write_bytes(file, "[Daemon]\n", 9);
        assert_int_equal(config_load(file, root, &config, &what), 0);
        assert_int_equal(config->workers, 0);
        assert_int_equal(strv_length(config->files), 1);
}

static void a_mirror_is_one_whatever_its_sections_and_stands_where_it_came_first(void **state _unused_) {
        _cleanup_(config_freep) Config *config = NULL;
        const char *what;

        fresh_root();
        make("/etc/shmstaged.conf", "[Mirror b]\nTarget=/b\n[Mirror a]\nTarget=/a\n[Mirror b]\nSwap=yes\n");
        make("/etc/shmstaged.conf.d/10.conf", "[Mirror c]\nTarget=/c\n[Mirror a]\nSource=/sa\nInclude=one\n");
        make("/etc/shmstaged.conf.d/20.conf", "[Mirror a]\nInclude=two\n");
        assert_int_equal(config_load(NULL, root, &config, &what), 0);
        assert_int_equal(config->n_notes, 0);
        assert_int_equal(config->n_mirrors, 3);
        assert_string_equal(config->mirrors[0].name, "b");
        assert_true(config->mirrors[0].swap);
        assert_string_equal(config->mirrors[1].name, "a");
        assert_string_equal(config->mirrors[1].source, "/sa");
        assert_string_equal(config->mirrors[1].target, "/a");
        assert_string_equal(config->mirrors[1].include[1], "two");
        assert_string_equal(config->mirrors[2].name, "c");
}

static void the_keys_of_a_section_that_is_wrong_or_unknown_change_nothing(void **state _unused_) {
        _cleanup_(config_freep) Config *config = load("[Daemon]\nWorkers=3\n[Mirror a]\nTarget=/a\n[Mirror c\n"
                                                      "Target=/c\n[Mirror .b]\nTarget=/b\nnonsense=1\n[daemon]\n"
                                                      "Workers=4\n[Mirror a]\nSwap=yes\n");

        assert_int_equal(config->n_notes, 3);
        assert_int_equal(config->n_errors, 2);
        assert_int_equal(config->workers, 3);
        assert_int_equal(config->n_mirrors, 1);
        assert_string_equal(config->mirrors[0].target, "/a");
        assert_true(config->mirrors[0].swap);
}

static void the_limit_of_notes_counts_for_each_file_and_warnings_as_well(void **state _unused_) {
        _cleanup_(freep) char *text = calloc(1, 10000);
        _cleanup_(config_freep) Config *config = NULL;
        const char *what;

        fresh_root();
        strcpy(text, "[Mirror a]\n");
        for (unsigned i = 0; i < 60; i++)
                strcat(text, "Unknown=x\n");
        strcat(text, "Swap=yes\n"); /* is not read any more */
        make("/etc/shmstaged.conf", text);
        make("/etc/shmstaged.conf.d/10.conf", text);
        make("/etc/shmstaged.conf.d/20.conf", "[Mirror a]\nOnNoRoom=link\n");
        assert_int_equal(config_load(NULL, root, &config, &what), 0);
        assert_int_equal(config->n_notes, 2 * 51);
        assert_int_equal(config->n_errors, 2);
        assert_non_null(strstr(config->notes[50].text, "Too many errors"));
        assert_non_null(strstr(config->notes[50].file, "/etc/shmstaged.conf"));
        assert_non_null(strstr(config->notes[101].file, "/10.conf"));
        assert_false(config->mirrors[0].swap);
        assert_int_equal(config->mirrors[0].on_no_room, NO_ROOM_LINK);
}

static void each_mirror_has_one_note_about_its_paths(void **state _unused_) {
        _cleanup_(config_freep) Config *config = load("[Mirror a]\nTarget=/t\n[Mirror b]\nTarget=/t\n"
                                                      "[Mirror c]\nTarget=/t/c\nSource=/t/s\n");

        assert_int_equal(config->n_errors, 2);
        assert_int_equal(config->n_notes, 2);
        assert_int_equal(config->notes[0].line, 4);
        assert_non_null(strstr(config->notes[1].text, "of [Mirror c]"));
}

static void paths_are_not_compared_while_a_value_is_wrong(void **state _unused_) {
        _cleanup_(config_freep) Config *config = load("[Mirror a]\nTarget=/t\n[Mirror b]\nTarget=t\n"
                                                      "[Mirror c]\nTarget=/t\n");

        assert_only_error(config, 4, "Target=t: must be an absolute path");
}

static void the_default_mirror_takes_part_in_the_comparison(void **state _unused_) {
        _cleanup_(config_freep) Config *config = load("[Daemon]\nMetricsFile=/m\nMetricsFile=/data/models/m\n");

        assert_only_error(config, 3, "MetricsFile=/data/models/m is inside Source=/data/models of [Mirror models]; "
                                     "they must not overlap");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_syntax_is_that_of_systemd),
                cmocka_unit_test(a_value_set_again_overrides_and_a_list_adds_and_empty_starts_over),
                cmocka_unit_test(what_is_not_ini_is_an_error_with_its_line),
                cmocka_unit_test(the_longest_mirror_name_is_taken),
                cmocka_unit_test(a_file_with_nul_bytes_is_given_up_at_that_line),
                cmocka_unit_test(a_binary_file_is_an_error_and_not_a_flood),
                cmocka_unit_test(a_huge_line_is_one_value_and_a_huge_file_is_refused),
                cmocka_unit_test(a_wrong_value_of_any_length_has_a_short_error),
                cmocka_unit_test(an_unknown_key_or_section_is_a_warning_with_file_and_line),
                cmocka_unit_test(all_errors_of_a_file_are_reported_up_to_fifty),
                cmocka_unit_test(paths_that_overlap_are_an_error_that_names_both_mirrors_and_places),
                cmocka_unit_test(metrics_are_not_written_into_what_is_watched),
                cmocka_unit_test(paths_that_are_only_similar_do_not_overlap),
                cmocka_unit_test(there_can_be_256_mirrors),
                cmocka_unit_test(a_file_that_cannot_be_read_is_a_failure_that_says_so),
                cmocka_unit_test(the_first_main_file_counts_and_all_drop_ins_by_name),
                cmocka_unit_test(masks_and_other_names_are_as_in_systemd),
                cmocka_unit_test(roots_without_main_file_and_with_masked_or_dangling_one),
                cmocka_unit_test(a_linked_drop_in_directory_is_followed_inside_the_root),
                cmocka_unit_test(a_drop_in_that_cannot_be_read_is_an_error),
                cmocka_unit_test(an_error_in_a_drop_in_names_that_file_and_an_overlap_both),
                cmocka_unit_test(config_file_alone_is_read_if_it_is_named),
                cmocka_unit_test(a_mirror_is_one_whatever_its_sections_and_stands_where_it_came_first),
                cmocka_unit_test(the_keys_of_a_section_that_is_wrong_or_unknown_change_nothing),
                cmocka_unit_test(the_limit_of_notes_counts_for_each_file_and_warnings_as_well),
                cmocka_unit_test(no_directory_of_the_system_becomes_a_mirror),
                cmocka_unit_test(each_mirror_has_one_note_about_its_paths),
                cmocka_unit_test(paths_are_not_compared_while_a_value_is_wrong),
                cmocka_unit_test(the_default_mirror_takes_part_in_the_comparison),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
