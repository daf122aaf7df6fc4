/* SPDX-License-Identifier: GPL-2.0-or-later */

/* config: every key with good and bad values, printing and reading back, and a file that is broken at random. */

#include "case.h"

#include <sys/mman.h>
#include <time.h>

static void assert_prints(const Config *config, const char *expected) {
        _cleanup_(freep) char *text = print(config);

        assert_string_equal(text, expected);
}

static void assert_round_trip(const Config *config) {
        _cleanup_(freep) char *text = print(config);
        _cleanup_(config_freep) Config *back = load(text);

        if (back->n_notes > 0)
                print_error("%u: %s in\n%s\n", back->notes[0].line, back->notes[0].text, text);
        assert_int_equal(back->n_notes, 0);
        assert_int_equal(config->workers, back->workers);
        assert_int_equal(config->reserve.kind, back->reserve.kind);
        assert_int_equal(config->reserve.value, back->reserve.value);
        assert_prints(back, text);
}

/* Key and value, and the form in which the program prints that value. */
typedef struct Good {
        const char *section, *key, *value, *printed;
} Good;

static void every_good_value_is_taken_and_printed_in_one_form(void **state _unused_) {
        static const Good table[] = {
                { "Daemon", "Workers", "auto", "auto" },
                { "Daemon", "Workers", "1", "1" },
                { "Daemon", "Workers", "64", "64" },
                { "Daemon", "Workers", "", "auto" },
                { "Daemon", "ReserveMemory", "0", "0" },
                { "Daemon", "ReserveMemory", "0%", "0%" },
                { "Daemon", "ReserveMemory", "95%", "95%" },
                { "Daemon", "ReserveMemory", "12.5%", "12.5%" },
                { "Daemon", "ReserveMemory", "12.05%", "12.05%" },
                { "Daemon", "ReserveMemory", "4G", "4G" },
                { "Daemon", "ReserveMemory", "1025", "1025" },
                { "Daemon", "ReserveMemory", "", "10%" },
                { "Daemon", "MetricsFile", "", "" },
                { "Daemon", "MetricsFile", "/var//lib/./x/m.prom", "/var/lib/x/m.prom" },
                { "Daemon", "MetricsFile", "/a/m\\ /", "/a/m\\ /" },
                { "Mirror a", "Source", "/srv", "/srv" },
                { "Mirror a", "Source", "/srv/with a blank", "/srv/with a blank" },
                { "Mirror a", "Source", "//srv/./x///y/.", "/srv/x/y" },
                { "Mirror a", "Source", "/srv/..a/b..", "/srv/..a/b.." },
                { "Mirror a", "Source", "/srv/M\xc3\xbcller", "/srv/M\xc3\xbcller" },
                { "Mirror a", "Source", "/srv/ends in blank /", "/srv/ends in blank /" },
                { "Mirror a", "Source", "/srv/ends in backslash\\/", "/srv/ends in backslash\\/" },
                { "Mirror a", "Source", "/srv/50%#;=[x]", "/srv/50%#;=[x]" },
                { "Mirror a", "Source", "/d/./e//", "/d/e" },
                { "Mirror a", "Source", "", "/data/models" },
                { "Mirror a", "Target", "/dev/shm/x/", "/dev/shm/x" },
                { "Mirror a", "Target", "", "/dev/shm/models" },
                { "Mirror a", "Size", "auto", "auto" },
                { "Mirror a", "Size", "1M", "1M" },
                { "Mirror a", "Size", "1024K", "1M" },
                { "Mirror a", "Size", "1048577", "1048577" },
                { "Mirror a", "Size", "16777215T", "16777215T" },
                { "Mirror a", "Size", "1%", "1%" },
                { "Mirror a", "Size", "100%", "100%" },
                { "Mirror a", "Size", "99.99%", "99.99%" },
                { "Mirror a", "Size", "62.50%", "62.5%" },
                { "Mirror a", "HugePages", "within_size", "within_size" },
                { "Mirror a", "HugePages", "always", "always" },
                { "Mirror a", "HugePages", "advise", "advise" },
                { "Mirror a", "HugePages", "never", "never" },
                { "Mirror a", "NUMAPolicy", "auto", "auto" },
                { "Mirror a", "NUMAPolicy", "default", "default" },
                { "Mirror a", "NUMAPolicy", "local", "local" },
                { "Mirror a", "NUMAPolicy", "interleave", "interleave" },
                { "Mirror a", "NUMAPolicy", "interleave:0-3,5", "interleave:0-3,5" },
                { "Mirror a", "NUMAPolicy", "bind:0", "bind:0" },
                { "Mirror a", "NUMAPolicy", "bind:1,3-3,1023", "bind:1,3-3,1023" },
                { "Mirror a", "NUMAPolicy", "prefer:1", "prefer:1" },
                { "Mirror a", "Swap", "yes", "yes" },
                { "Mirror a", "Swap", "1", "yes" },
                { "Mirror a", "Swap", "Y", "yes" },
                { "Mirror a", "Swap", "TRUE", "yes" },
                { "Mirror a", "Swap", "t", "yes" },
                { "Mirror a", "Swap", "on", "yes" },
                { "Mirror a", "WatchSource", "no", "no" },
                { "Mirror a", "WatchSource", "0", "no" },
                { "Mirror a", "WatchSource", "n", "no" },
                { "Mirror a", "WatchSource", "false", "no" },
                { "Mirror a", "WatchSource", "f", "no" },
                { "Mirror a", "RemoveOnStop", "off", "no" },
                { "Mirror a", "RemoveOnStop", "", "yes" },
                { "Mirror a", "Include", "*.gguf  llama/**", "*.gguf llama/**" },
                { "Mirror a", "Include", "'a b' \"c'd\" e\" f\"g", "\"a b\" \"c'd\" \"e fg\"" },
                { "Mirror a", "Exclude", "a\\sb \\x41\\102 \\\\ \\*", "\"a b\" AB \"\\\\\" \"\\\\*\"" },
                { "Mirror a", "Exclude", "'\\n' \\xe9", "\"\\x0a\" \xe9" },
                { "Mirror a", "Priority", "[a-c]? x=y #z", "[a-c]? x=y #z" },
                { "Mirror a", "OnNoRoom", "fail", "fail" },
                { "Mirror a", "OnNoRoom", "skip", "skip" },
                { "Mirror a", "OnNoRoom", "link", "link" },
                { "Mirror a", "OnCorrupt", "withhold", "withhold" },
                { "Mirror a", "OnCorrupt", "fail", "fail" },
                { "Mirror a", "CopyMethod", "auto", "auto" },
                { "Mirror a", "CopyMethod", "sendfile", "sendfile" },
                { "Mirror a", "CopyMethod", "direct", "direct" },
                { "Mirror a", "CopyMethod", "buffered", "buffered" },
                { "Mirror a", "BandwidthLimit", "off", "off" },
                { "Mirror a", "BandwidthLimit", "64K", "64K" },
                { "Mirror a", "BandwidthLimit", "64000", "64K" },
                { "Mirror a", "BandwidthLimit", "65536", "65536" },
                { "Mirror a", "BandwidthLimit", "2500M", "2500M" },
                { "Mirror a", "BandwidthLimit", "3000M", "3G" },
                { "Mirror a", "BandwidthLimit", "1T", "1T" },
                { "Mirror a", "ChunkSize", "64K", "64K" },
                { "Mirror a", "ChunkSize", "1G", "1G" },
                { "Mirror a", "ChunkSize", "69632", "68K" },
                { "Mirror a", "PollInterval", "off", "off" },
                { "Mirror a", "PollInterval", "0", "off" },
                { "Mirror a", "PollInterval", "0min", "off" },
                { "Mirror a", "PollInterval", "1s", "1s" },
                { "Mirror a", "PollInterval", "90", "1min 30s" },
                { "Mirror a", "PollInterval", "5min 20s", "5min 20s" },
                { "Mirror a", "PollInterval", "5min20s", "5min 20s" },
                { "Mirror a", "PollInterval", "1.5 hours", "1h 30min" },
                { "Mirror a", "PollInterval", "1d", "1d" },
                { "Mirror a", "PollInterval", "1000 ms", "1s" },
                { "Mirror a", "SettleTime", "0", "0" },
                { "Mirror a", "SettleTime", "250ms", "250ms" },
                { "Mirror a", "SettleTime", "1us", "1us" },
                { "Mirror a", "SettleTime", "0.25", "250ms" },
                { "Mirror a", "SettleTime", "1h", "1h" },
                { "Mirror a", "WriteBack", "off", "no" },
                { "Mirror a", "WriteBack", "", "yes" },
                { "Mirror a", "Layout", "auto", "auto" },
                { "Mirror a", "Layout", "plain", "plain" },
                { "Mirror a", "Layout", "ollama", "ollama" },
                { "Mirror a", "Layout", "huggingface", "huggingface" },
                { "Mirror a", "Layout", "", "auto" },
                { "Mirror a", "Models", "llama3.1:70b  hf.co/org/Name-GGUF:Q4_K_M",
                  "llama3.1:70b hf.co/org/Name-GGUF:Q4_K_M" },
                { "Mirror a", "Models", "qwen*:* llama3.? [a-c]/x datasets/o/n",
                  "qwen*:* llama3.? [a-c]/x datasets/o/n" },
                { "Mirror a", "Models", "'my model.gguf' .hidden a..b ...", "\"my model.gguf\" .hidden a..b ..." },
                { "Mirror a", "Models", "a\\sb M\xc3\xbcller", "\"a b\" M\xc3\xbcller" },
                { "Mirror a", "Deletes", "trash", "trash" },
                { "Mirror a", "Deletes", "propagate", "propagate" },
                { "Mirror a", "Deletes", "keep", "keep" },
                { "Mirror a", "TrashKeep", "0", "0" },
                { "Mirror a", "TrashKeep", "infinity", "infinity" },
                { "Mirror a", "TrashKeep", "30", "30s" },
                { "Mirror a", "TrashKeep", "2w", "14d" },
                { "Mirror a", "TrashKeep", "1week 2 days", "9d" },
                { "Mirror a", "TrashKeep", "3 weeks", "21d" },
                { "Mirror a", "TrashKeep", "1M", "30d 10h 30min" },
                { "Mirror a", "TrashKeep", "2 months 1month", "91d 7h 30min" },
                { "Mirror a", "TrashKeep", "1y", "365d 6h" },
                { "Mirror a", "TrashKeep", "4years", "1461d" },
                { "Mirror a", "TrashKeep", "1 year", "365d 6h" },
                { "Mirror a", "TrashKeep", "100y", "36525d" },
                { "Mirror a", "TrashKeep", "", "7d" },
                { "Mirror a", "MassDeleteLimit", "off", "off" },
                { "Mirror a", "MassDeleteLimit", "0 0%", "0 0%" },
                { "Mirror a", "MassDeleteLimit", "10 100%", "10 100%" },
                { "Mirror a", "MassDeleteLimit", "50% \t 20", "20 50%" },
                { "Mirror a", "MassDeleteLimit", "4294967295 007%", "4294967295 7%" },
                { "Mirror a", "MassDeleteLimit", "", "3 25%" },
                { "Mirror a", "SweepDelay", "1s", "1s" },
                { "Mirror a", "SweepDelay", "1000ms", "1s" },
                { "Mirror a", "SweepDelay", "90min", "1h 30min" },
                { "Mirror a", "SweepDelay", "100y", "36525d" },
                { "Mirror a", "SweepDelay", "", "1h" },
                { "Mirror a", "Scrub", "1d", "1d" },
                { "Mirror a", "Scrub", "yes", "7d" },
                { "Mirror a", "Scrub", "1w", "7d" },
                { "Mirror a", "Scrub", "on", "7d" },
                { "Mirror a", "Scrub", "1", "1s" }, /* a second, not "yes" */
                { "Mirror a", "Scrub", "1y", "365d 6h" },
                { "Mirror a", "Scrub", "0", "no" },
                { "Mirror a", "Scrub", "off", "no" },
                { "Mirror a", "Scrub", "false", "no" },
                { "Mirror a", "Scrub", "", "no" },
                { "Mirror a", "Engines", "ollama.service llama-server@7.service",
                  "ollama.service llama-server@7.service" },
                { "Mirror a", "Engines", "a.socket b.target c\\x2dd.service", "a.socket b.target c\\x2dd.service" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(config_freep) Config *config = load_key(table[i].section, table[i].key, table[i].value);
                _cleanup_(freep) char *text = print(config), *line = NULL;

                assert_true(asprintf(&line, "\n%s=%s\n", table[i].key, table[i].printed) > 0);
                if (config->n_notes > 0 || !strstr(text, line))
                        print_error("%s=%s: %s\n%s", table[i].key, table[i].value,
                                    config->n_notes > 0 ? config->notes[0].text : "not printed so", text);
                assert_int_equal(config->n_notes, 0);
                assert_non_null(strstr(text, line));
                assert_round_trip(config);
        }
}

static void every_bad_value_is_an_error_that_names_key_value_and_what_is_allowed(void **state _unused_) {
        static const struct { const char *section, *key, *values[24]; } table[] = {
                { "Daemon", "Workers", { "0", "65", "-1", "+1", "1.5", "Auto", "8 cores",
                  "99999999999999999999", "0x8" } },
                { "Daemon", "ReserveMemory", { "95.01%", "96%", "100%", "-1", "-1%", "auto", "1GB", "1g",
                  "10 %", "10.%",
                                               "10.123%", "%", "K", "18446744073709551616", "16777216T", "1.5G" } },
                { "Daemon", "MetricsFile", { "metrics.prom", "./m.prom", "/", "/a/../b.prom", "/a\tb", "/a\xff",
                                             "\"/a.prom\"", "no", "none" } },
                { "Mirror a", "Source", { "models", "./models", "/", "//", "/.", "/a/../b", "/..", "/a/b/..",
                  "~/models",
                                          "/a\tb", "/a\x7f", "/a\x1b[31m", "/a\xff", "\"/a\"" } },
                { "Mirror a", "Target", { "dev/shm", "/", "/dev/shm/..", "/dev/shm/\xc3" } },
                { "Mirror a", "Size", { "0", "1023K", "0%", "0.99%", "100.01%", "101%", "200%", "all", "AUTO", "16 G",
                                        "min(ram/2,16G)", "-16G", "1e9", "99999999999T" } },
                { "Mirror a", "HugePages", { "yes", "Always", "within-size", "2M", "always never" } },
                { "Mirror a", "NUMAPolicy", { "Default", "auto:0", "prefer:", "bind", "bind:", "bind:a", "bind:0-",
                                              "bind:-1", "bind:3-1",
                                              "bind:0,", "bind:1024", "prefer", "prefer:0-1", "prefer:0,1",
                                              "interleave:", "local:0", "0-3", "bind:0 1", "bind:=0" } },
                { "Mirror a", "Swap", { "maybe", "2", "ye", "yes # really", "none" } },
                { "Mirror a", "WatchSource", { "auto" } },
                { "Mirror a", "RemoveOnStop", { "always" } },
                { "Mirror a", "Include", { "'open", "\"open", "a ''", "\"\"", "\\x4", "\\xzz", "\\q", "\\x00",
                  "\\000",
                                           "\\400", "\\12", "a\\x+1", "\\x" } },
                { "Mirror a", "Exclude", { "it's" } },
                { "Mirror a", "Priority", { "\\u00e9" } },
                { "Mirror a", "OnNoRoom", { "maybe", "Fail", "skip,link", "0" } },
                { "Mirror a", "OnCorrupt", { "skip", "ignore" } },
                { "Mirror a", "CopyMethod", { "Auto", "read", "mmap", "direct,buffered", "0", "yes" } },
                { "Mirror a", "BandwidthLimit", { "0", "63K", "63999", "auto", "10%", "1.5M", "100MB", "on", "-1M",
                                                  "18446745T" } },
                { "Mirror a", "ChunkSize", { "0", "60K", "65535", "65537", "66K", "1025M", "2G", "auto", "10%" } },
                { "Mirror a", "PollInterval", { "999ms", "0.5", "1us", "25h", "1d 1us", "2d", "never", "no",
                  "-1", "1 min 30",
                                                "90 20s", "5 parsecs", "1minute2", "infinity", ".5", "1.", "1.s", "s",
                                                "99999999999999999999s", "18446744073709d" } },
                { "Mirror a", "SettleTime", { "1h 1us", "61min", "off", "-2s", "2 s s" } },
                { "Mirror a", "WriteBack", { "auto", "trash", "yes no" } },
                { "Mirror a", "Layout", { "Auto", "hf", "hugging-face", "ollama plain", "none" } },
                { "Mirror a", "Models", { "'open", "a ''", "\\q", "/a", "a/", "a//b", "./a", "a/.", "../a", "a/..",
                                          "a/../b",
                                          "..", ".", "/", "ok a/", "a\\nb", "\\x7f" } },
                { "Mirror a", "Deletes", { "Trash", "yes", "no", "off", "trash,keep", "trash keep" } },
                { "Mirror a", "TrashKeep", { "Infinity", "infinite", "never", "off", "-1", "1 fortnight", "7D", "1m2",
                                             "infinity 1d", "1d infinity", "100y 1us", "101y",
                                             "18446744073709551615us" } },
                { "Mirror a", "MassDeleteLimit", { "3", "25%", "3 3", "25% 25%", "3 25% 4", "3 25% 4%", "3 101%",
                                                   "3 25.5%", "-1 25%", "3 -25%", "3,25%", "3 25 %", "325%", "25%3",
                                                   "Off", "no", "off 3 25%", "3 25% off", "4294967296 25%", "x 25%",
                                                   "3 %", "3 25%%", "+3 25%" } },
                { "Mirror a", "SweepDelay", { "0", "999ms", "0.999s", "off", "infinity", "100y 1s", "-1h", "soon" } },
                { "Mirror a", "Scrub", { "weekly", "auto", "999ms", "0.5", "366d", "infinity", "-1d", "yes no",
                                         "1d yes", "yes 1d" } },
                { "Mirror a", "Engines", { "ollama", "ollama.mount", ".service", "@.service", "a@.service",
                  "a b.service",
                                           "a/b.service", "\"a.service\"", "a.service,b.service", "\xc3\xa9.service",
                                           "a.service b.slice", ".a.service", "a.service.d" } },
        };
        static const char *const pinned[][2] = {
                { "OnNoRoom", "OnNoRoom=maybe: must be fail, skip or link" },
                { "Swap", "Swap=maybe: must be yes or no" },
                { "Layout", "Layout=maybe: must be auto, plain, ollama or huggingface" },
                { "Deletes", "Deletes=maybe: must be trash, propagate or keep" },
                { "TrashKeep", "TrashKeep=maybe: must be infinity, or a time from 0 to 100y, such as 7d or \"2w "
                               "3d\" without the quotes" },
                { "MassDeleteLimit", "MassDeleteLimit=maybe: must be off, or a number and a percentage from 0% to "
                                     "100%, separated by a blank, such as 3 25%" },
                { "SweepDelay", "SweepDelay=maybe: must be a time from 1s to 100y, such as 1h or 30min" },
                { "Scrub", "Scrub=maybe: must be no, yes, or a time from 1s to 1y, such as 1d or 2w" },
        };
        size_t n_rows;

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                for (size_t k = 0; table[i].values[k]; k++) {
                        _cleanup_(config_freep) Config *config =
                                load_key(table[i].section, table[i].key, table[i].values[k]);

                        if (config->n_notes != 1)
                                print_error("%s=%s was taken\n", table[i].key, table[i].values[k]);
                        assert_only_error(config, 3, ": must be ");
                        assert_int_equal(strncmp(config->notes[0].text, table[i].key, strlen(table[i].key)), 0);
                }
        for (size_t i = 0; i < ELEMENTSOF(pinned); i++) {
                _cleanup_(config_freep) Config *config = load_key("Mirror a", pinned[i][0], "maybe");

                assert_string_equal(config->notes[0].text, pinned[i][1]);
        }
        (void) config_rows(&n_rows);
        assert_int_equal(ELEMENTSOF(table), n_rows); /* so that a new key cannot go without bad values */
}

static void names_and_paths_have_their_full_length_and_no_more(void **state _unused_) {
        static const struct { size_t length; bool good; } paths[] = {
                { 4095, true }, { 4096, false }, { 100000, false },
        };
        char text[300];

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_(freep) char *path = malloc(paths[i].length + 1);
                _cleanup_(config_freep) Config *config = NULL;

                for (size_t k = 0; k < paths[i].length; k++)
                        path[k] = k % 200 == 0 ? '/' : 'a';
                path[paths[i].length] = '\0';
                config = load_key("Mirror a", "Source", path);
                assert_int_equal(config->n_errors, !paths[i].good);
                if (paths[i].good)
                        assert_string_equal(config->mirrors[0].source, path);
        }
        for (int length = 255; length <= 256; length++) {
                _cleanup_(config_freep) Config *part = NULL, *unit = NULL;

                (void) snprintf(text, sizeof(text), "/%0*d/x", length, 7);
                part = load_key("Mirror a", "Target", text);
                assert_int_equal(part->n_errors, length > 255);
                (void) snprintf(text, sizeof(text), "%0*d.service", length - 8, 7);
                unit = load_key("Mirror a", "Engines", text);
                assert_int_equal(unit->n_errors, length > 255);
        }
}

static void no_file_content_means_one_mirror_with_all_defaults(void **state _unused_) {
        static const char *const texts[] = { "", "\n\n", "# only comments\n;and more", "[Daemon]\nWorkers=3\n",
                "\xef\xbb\xbf" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(config_freep) Config *config = load_good(texts[i]);
                const MirrorConfig *mirror = config_find_mirror(config, "models");

                assert_int_equal(config->n_mirrors, 1);
                assert_ptr_equal(mirror, config->mirrors);
                assert_string_equal(mirror->source, "/data/models");
                assert_string_equal(mirror->target, "/dev/shm/models");
                assert_int_equal(mirror->size.kind, AMOUNT_AUTO);
                assert_int_equal(mirror->huge_pages, HUGE_WITHIN_SIZE);
                assert_string_equal(mirror->numa_policy, "auto");
                assert_false(mirror->swap);
                assert_non_null(mirror->include);
                assert_null(mirror->include[0]);
                assert_null(mirror->exclude[0]);
                assert_null(mirror->priority[0]);
                assert_null(mirror->engines[0]);
                assert_int_equal(mirror->on_no_room, NO_ROOM_FAIL);
                assert_int_equal(mirror->on_corrupt, CORRUPT_WITHHOLD);
                assert_int_equal(mirror->copy_method, COPY_METHOD_AUTO);
                assert_int_equal(mirror->chunk_size, 4 * MIB);
                assert_true(mirror->watch_source);
                assert_int_equal(mirror->poll_usec, 60 * USEC_PER_SEC);
                assert_int_equal(mirror->settle_usec, 2 * USEC_PER_SEC);
                assert_true(mirror->remove_on_stop);
                assert_true(mirror->write_back);
                assert_int_equal(mirror->layout, LAYOUT_AUTO);
                assert_non_null(mirror->models);
                assert_null(mirror->models[0]);
                assert_int_equal(mirror->deletes, DELETES_TRASH);
                assert_int_equal(mirror->trash_keep_usec, 7 * USEC_PER_DAY);
                assert_int_equal(mirror->mass_delete_limit.names, 3);
                assert_int_equal(mirror->mass_delete_limit.percent, 25);
                assert_int_equal(mirror->sweep_delay_usec, USEC_PER_HOUR);
                assert_int_equal(mirror->scrub_usec, 0);
                assert_int_equal(config->reserve.kind, AMOUNT_PERMYRIAD);
                assert_int_equal(config->reserve.value, 1000);
                assert_int_equal(config->workers, i == 3 ? 3 : 0);
                assert_string_equal(config->files[0], file);
                assert_null(config->files[1]);
        }
}

/* A copy of the first mirror, printed after the original is gone. */
static char *print_copy(Config *config) {
        MirrorConfig copy = {};
        Config of_copy = { .reserve = config->reserve, .metrics_file = (char *) "", .mirrors = &copy, .n_mirrors = 1 };
        char *text;

        assert_int_equal(config_mirror_copy(&config->mirrors[0], &copy), 0);
        (void) config_free(config);
        text = print(&of_copy);
        config_mirror_done(&copy);
        config_mirror_done(&copy); /* takes an empty one */
        assert_null(copy.name);
        return text;
}

static void a_copy_has_every_key_and_outlives_the_original(void **state _unused_) {
        static const char *const others[] = { "/other", "/other", "1G", "never", "local", "yes", "ollama", "a", "a b",
                                              "a", "a", "skip", "fail", "direct", "1M", "100M", "no", "2min", "3s",
                                              "no", "keep", "8d", "4 25%", "2h", "1d", "no", "a.service" };
        size_t n, tried = 0;
        const ConfigRow *rows = config_rows(&n);

        for (size_t i = 0; i < n; i++)
                if (strcmp(rows[i].section, "Mirror") == 0) {
                        Config *config = load_key("Mirror a", rows[i].key, others[tried]);
                        _cleanup_(freep) char *original = print(config), *line = NULL, *copy = NULL;

                        assert_int_equal(config->n_notes, 0);
                        copy = print_copy(config);
                        assert_string_equal(original, copy);
                        assert_true(asprintf(&line, "\n%s=%s\n", rows[i].key, others[tried++]) > 0);
                        assert_non_null(strstr(copy, line));
                }
        assert_int_equal(tried, ELEMENTSOF(others));
}

/* The sample with every key set. */
static char *read_sample(size_t *ret_length) {
        char *text;
        size_t n = 0;

        assert_int_equal(config_files_read(SOURCE_ROOT "/conf/shmstaged.conf", false, &text, ret_length), 0);
        text[*ret_length] = '\0';
        for (const char *s = text; *s; s++) {
                bool key = *s == '#' && (s == text || s[-1] == '\n') && s[1] != ' ' && s[1] != '\n';

                if (!key)
                        text[n++] = *s;
        }
        text[n] = '\0';
        *ret_length = n;
        return text;
}

static void the_sample_with_every_key_set_is_the_default(void **state _unused_) {
        size_t length;
        _cleanup_(freep) char *text = read_sample(&length);
        _cleanup_(config_freep) Config *sample = load_good(text), *defaults = load_good("[Mirror models]\n");
        _cleanup_(freep) char *expected = print(defaults);

        assert_non_null(strstr(text, "\nSource=/data/models\n"));
        assert_prints(sample, expected);
        assert_round_trip(sample);
}

static uint64_t random_state;

static size_t random_below(size_t n) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return (size_t) (random_state % n);
}

/* Breaks a text of @length in place, which has room for @size bytes. Returns the new length. */
static size_t mutate(char *text, size_t length, size_t size) {
        static const char *const pieces[] = { "\n", "=", "[", "]", "[Mirror b]\n",
                "\\", "\\\n", "\"", "'", "%", "-", "0", "..", "/",
                                              "99999999999999999999", "\xff", "\r\n", "#", " ", "1.5", "\\x",
                                                      "Target=/dev/shm/models/x\n",
                                              "Include=\"a b\" \\x0a\\\\ c\n", "Source=/s /\n", "Exclude=\n",
                                                      "auto", "K" };
        size_t at = random_below(length + 1), n, from;
        const char *piece;

        switch (random_below(6)) {
        case 0: /* one byte becomes any other */
                if (at < length)
                        text[at] = (char) random_below(256);
                return length;
        case 1: /* a piece vanishes */
                n = random_below(MIN(length - at, (size_t) 40) + 1);
                memmove(text + at, text + at + n, length - at - n);
                return length - n;
        case 2: /* a piece comes twice */
                from = random_below(length + 1);
                n = random_below(MIN(length - from, (size_t) 60) + 1);
                if (length + n > size)
                        return length;
                {
                        char copy[60];

                        memcpy(copy, text + from, n);
                        memmove(text + at + n, text + at, length - at);
                        memcpy(text + at, copy, n);
                }
                return length + n;
        case 3: /* the end is missing */
                return random_below(8) == 0 ? at : length;
        default: /* something that means something is put in between, often behind a = */
                piece = pieces[random_below(ELEMENTSOF(pieces))];
                n = strlen(piece);
                if (length + n > size)
                        return length;
                if (random_below(2)) {
                        const char *equals = memchr(text + at, '=', length - at);

                        at = equals ? (size_t) (equals - text) + 1 : at;
                }
                memmove(text + at + n, text + at, length - at);
                memcpy(text + at, piece, n);
                return length + n;
        }
}

static void any_broken_sample_loads_with_lines_for_its_errors_or_prints_and_reads_back(void **state _unused_) {
        const char *seed_text = getenv("SEED");
        unsigned long long seed = seed_text ? strtoull(seed_text, NULL, 0) : (unsigned long long) time(NULL);
        size_t length, n_good = 0, n_bad = 0;
        _cleanup_(freep) char *sample = read_sample(&length);
        _cleanup_(close_fdp) int fd = memfd_create("mutated", MFD_CLOEXEC);
        char text[16384], path[64];

        print_message("SEED=%llu\n", seed);
        assert_true(length < sizeof(text) / 2);
        random_state = (seed + 1) * 0x9e3779b97f4a7c15;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        for (unsigned i = 0; i < 20000; i++) {
                _cleanup_(config_freep) Config *config = NULL;
                size_t n = length, n_mutations = 1 + random_below(6);
                const char *what;

                memcpy(text, sample, length);
                while (n_mutations-- > 0)
                        n = mutate(text, n, sizeof(text));
                assert_int_equal(ftruncate(fd, 0), 0);
                assert_int_equal(pwrite(fd, text, n, 0), n);
                assert_int_equal(config_load(path, NULL, &config, &what), 0);
                for (size_t k = 0; k < config->n_notes; k++) {
                        assert_string_equal(config->notes[k].file, path);
                        assert_true(config->notes[k].line > 0);
                        assert_true(config->notes[k].text[0] != '\0');
                }
                if (config->n_errors > 0)
                        n_bad++;
                else if (n_good++ % 4 == 0)
                        assert_round_trip(config);
        }
        print_message("%zu good, %zu with errors\n", n_good, n_bad);
        assert_true(n_good > 1000 && n_bad > 1000); /* else it would prove nothing */
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_good_value_is_taken_and_printed_in_one_form),
                cmocka_unit_test(every_bad_value_is_an_error_that_names_key_value_and_what_is_allowed),
                cmocka_unit_test(names_and_paths_have_their_full_length_and_no_more),
                cmocka_unit_test(no_file_content_means_one_mirror_with_all_defaults),
                cmocka_unit_test(a_copy_has_every_key_and_outlives_the_original),
                cmocka_unit_test(the_sample_with_every_key_set_is_the_default),
                cmocka_unit_test(any_broken_sample_loads_with_lines_for_its_errors_or_prints_and_reads_back),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
