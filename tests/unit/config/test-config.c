/* SPDX-License-Identifier: GPL-2.0-or-later */

/* config: every key with good and bad values, the syntax, the checks over all mirrors, the look-up held against
 * systemd-analyze, printing and reading back, and a file that is broken at random. */

#include "base/strv.h"
#include "config/config.h"
#include "config/files.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

static char directory[] = "/tmp/test-config-XXXXXX";
static char file[sizeof(directory) + 16];

static void write_bytes(const char *path, const void *bytes, size_t length) {
        FILE *out = fopen(path, "we");

        assert_non_null(out);
        assert_int_equal(fwrite(bytes, 1, length, out), length);
        assert_int_equal(fclose(out), 0);
}

static Config *load_bytes(const void *bytes, size_t length) {
        Config *config;
        const char *what;

        write_bytes(file, bytes, length);
        assert_int_equal(config_load(file, NULL, &config, &what), 0);
        return config;
}

static Config *load(const char *text) {
        return load_bytes(text, strlen(text));
}

static Config *load_good(const char *text) {
        Config *config = load(text);

        for (size_t i = 0; i < config->n_notes; i++)
                print_error("%u: %s\n", config->notes[i].line, config->notes[i].text);
        assert_int_equal(config->n_notes, 0);
        return config;
}

/* One key in a file of its own, on line 3. */
static Config *load_key(const char *section, const char *key, const char *value) {
        _cleanup_(freep) char *text = NULL;

        assert_true(asprintf(&text, "# a comment\n[%s]\n%s=%s\n", section, key, value) > 0);
        return load(text);
}

static void assert_only_error(const Config *config, unsigned line, const char *part) {
        if (config->n_notes != 1 || config->n_errors != 1 || !strstr(config->notes[0].text, part))
                for (size_t i = 0; i < config->n_notes; i++)
                        print_error("%u: %s\n", config->notes[i].line, config->notes[i].text);
        assert_int_equal(config->n_notes, 1);
        assert_int_equal(config->n_errors, 1);
        assert_true(config->notes[0].error);
        assert_string_equal(config->notes[0].file, file);
        assert_int_equal(config->notes[0].line, line);
        assert_non_null(strstr(config->notes[0].text, part));
}

static void assert_equal_configs(const Config *a, const Config *b) {
        assert_int_equal(a->workers, b->workers);
        assert_int_equal(a->reserve.kind, b->reserve.kind);
        assert_int_equal(a->reserve.value, b->reserve.value);
        assert_string_equal(a->metrics_file, b->metrics_file);
        assert_int_equal(a->n_mirrors, b->n_mirrors);
        for (size_t i = 0; i < a->n_mirrors; i++)
                assert_true(config_mirror_equal(&a->mirrors[i], &b->mirrors[i]));
}

static char *print(const Config *config) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(out);
        assert_int_equal(config_print(config, out), 0);
        assert_int_equal(fclose(out), 0);
        return text;
}

static void assert_round_trip(const Config *config) {
        _cleanup_(freep) char *text = print(config), *again = NULL;
        _cleanup_(config_freep) Config *back = load(text);

        if (back->n_notes > 0)
                print_error("%u: %s in\n%s\n", back->notes[0].line, back->notes[0].text, text);
        assert_int_equal(back->n_notes, 0);
        assert_equal_configs(config, back);
        again = print(back);
        assert_string_equal(text, again);
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
                { "Mirror a", "Models", "llama3.1:70b  hf.co/org/Name-GGUF:Q4_K_M", "llama3.1:70b hf.co/org/Name-GGUF:Q4_K_M" },
                { "Mirror a", "Models", "qwen*:* llama3.? [a-c]/x datasets/o/n", "qwen*:* llama3.? [a-c]/x datasets/o/n" },
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
                { "Daemon", "MetricsFile", { "metrics.prom", "./m.prom", "/", "/a/../b.prom", "/a\tb", "/a\xff", "\"/a.prom\"", "no", "none" } },
                { "Mirror a", "Source", { "models", "./models", "/", "//", "/.", "/a/../b", "/..", "/a/b/..",
                  "~/models",
                                          "/a\tb", "/a\x7f", "/a\x1b[31m", "/a\xff", "\"/a\"" } },
                { "Mirror a", "Target", { "dev/shm", "/", "/dev/shm/..", "/dev/shm/\xc3" } },
                { "Mirror a", "Size", { "0", "1023K", "0%", "0.99%", "100.01%", "101%", "200%", "all", "AUTO", "16 G",
                                        "min(ram/2,16G)", "-16G", "1e9", "99999999999T" } },
                { "Mirror a", "HugePages", { "yes", "Always", "within-size", "2M", "always never" } },
                { "Mirror a", "NUMAPolicy", { "Default", "auto:0", "prefer:", "bind", "bind:", "bind:a", "bind:0-", "bind:-1", "bind:3-1",
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
                { "Mirror a", "BandwidthLimit", { "0", "63K", "63999", "auto", "10%", "1.5M", "100MB", "on", "-1M", "18446745T" } },
                { "Mirror a", "ChunkSize", { "0", "60K", "65535", "65537", "66K", "1025M", "2G", "auto", "10%" } },
                { "Mirror a", "PollInterval", { "999ms", "0.5", "1us", "25h", "1d 1us", "2d", "never", "no",
                  "-1", "1 min 30",
                                                "90 20s", "5 parsecs", "1minute2", "infinity", ".5", "1.", "1.s", "s",
                                                "99999999999999999999s", "18446744073709d" } },
                { "Mirror a", "SettleTime", { "1h 1us", "61min", "off", "-2s", "2 s s" } },
                { "Mirror a", "WriteBack", { "auto", "trash", "yes no" } },
                { "Mirror a", "Layout", { "Auto", "hf", "hugging-face", "ollama plain", "none" } },
                { "Mirror a", "Models", { "'open", "a ''", "\\q", "/a", "a/", "a//b", "./a", "a/.", "../a", "a/..", "a/../b",
                                          "..", ".", "/", "ok a/", "a\\nb", "\\x7f" } },
                { "Mirror a", "Deletes", { "Trash", "yes", "no", "off", "trash,keep", "trash keep" } },
                { "Mirror a", "TrashKeep", { "Infinity", "infinite", "never", "off", "-1", "1 fortnight", "7D", "1m2",
                                             "infinity 1d", "1d infinity", "100y 1us", "101y", "18446744073709551615us" } },
                { "Mirror a", "MassDeleteLimit", { "3", "25%", "3 3", "25% 25%", "3 25% 4", "3 25% 4%", "3 101%", "3 25.5%",
                                                   "-1 25%", "3 -25%", "3,25%", "3 25 %", "325%", "25%3", "Off", "no", "off 3 25%",
                                                   "3 25% off", "4294967296 25%", "x 25%", "3 %", "3 25%%", "+3 25%" } },
                { "Mirror a", "SweepDelay", { "0", "999ms", "0.999s", "off", "infinity", "100y 1s", "-1h", "soon" } },
                { "Mirror a", "Scrub", { "weekly", "auto", "999ms", "0.5", "366d", "infinity", "-1d", "yes no", "1d yes", "yes 1d" } },
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
                { "TrashKeep", "TrashKeep=maybe: must be infinity, or a time from 0 to 100y, such as 7d or \"2w 3d\" without the quotes" },
                { "MassDeleteLimit", "MassDeleteLimit=maybe: must be off, or a number and a percentage from 0% to 100% with a blank "
                                     "between them, such as 3 25%" },
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
        static const struct { size_t length; bool good; } paths[] = { { 4095, true }, { 4096, false },
                { 100000, false } };
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
                assert_true(quantity_delete_limit_equal(mirror->mass_delete_limit, (DeleteLimit){ .names = 3, .percent = 25 }));
                assert_int_equal(mirror->sweep_delay_usec, USEC_PER_HOUR);
                assert_int_equal(mirror->scrub_usec, 0);
                assert_int_equal(config->reserve.kind, AMOUNT_PERMYRIAD);
                assert_int_equal(config->reserve.value, 1000);
                assert_int_equal(config->workers, i == 3 ? 3 : 0);
                assert_string_equal(config->files[0], file);
                assert_null(config->files[1]);
        }
}

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
                { "[Daemon]\nSource=/x\n", 2, "Source=: must be in a section [Mirror NAME], not in [Daemon]" },
                { "[Mirror a]\nWorkers=2\n", 2, "Workers=: must be in a section [Daemon]" },
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
        assert_string_equal(what, "read");
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

static void all_errors_of_a_file_are_told_up_to_fifty(void **state _unused_) {
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
        static const char *const bad[] = { "/s", "/s/m.prom", "/t/a/m.prom" }, *const good[] = { "/m.prom", "/sm.prom", "/st/s" };

        for (size_t i = 0; i < ELEMENTSOF(bad) + ELEMENTSOF(good); i++) {
                const char *path = i < ELEMENTSOF(bad) ? bad[i] : good[i - ELEMENTSOF(bad)];
                _cleanup_(freep) char *text = NULL;
                _cleanup_(config_freep) Config *config = NULL;

                assert_true(asprintf(&text, "[Daemon]\nMetricsFile=%s\n[Mirror a]\nSource=/s\nTarget=/t\n", path) > 0);
                config = load(text);
                if (i < ELEMENTSOF(bad))
                        assert_only_error(config, 2, "of [Mirror a]: must be apart");
                else
                        assert_int_equal(config->n_notes, 0);
        }
}

static void paths_that_only_look_alike_are_no_overlap(void **state _unused_) {
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

static void copies_are_equal_and_independent(void **state _unused_) {
        MirrorConfig copy = { 0 };

        {
                _cleanup_(config_freep) Config *config =
                        load_good("[Mirror a]\nInclude=a b\nEngines=x.service\nSize=3G\nSwap=yes\n"
                                  "Models=m:1 n\nMassDeleteLimit=7 8%\nTrashKeep=infinity\n");

                assert_int_equal(config_mirror_copy(&config->mirrors[0], &copy), 0);
                assert_true(config_mirror_equal(&config->mirrors[0], &copy));
        }
        assert_string_equal(copy.name, "a");
        assert_string_equal(copy.include[1], "b");
        assert_string_equal(copy.models[1], "n");
        assert_true(quantity_delete_limit_equal(copy.mass_delete_limit, (DeleteLimit){ .names = 7, .percent = 8 }));
        assert_int_equal(copy.trash_keep_usec, UINT64_MAX);
        config_mirror_done(&copy);
        config_mirror_done(&copy); /* takes an empty one */
        assert_null(copy.name);
}

static void mirrors_differ_if_any_key_differs(void **state _unused_) {
        static const char *const others[] = { "/other", "/other", "1G", "never", "local", "yes", "ollama", "a", "a", "a", "a",
                "skip",
                                              "fail", "direct", "1M", "100M", "no", "2min", "3s", "no", "keep", "8d", "4 25%", "2h", "1d", "no",
                                              "a.service" };
        _cleanup_(config_freep) Config *base = load_good("[Mirror a]\n"), *renamed = load_good("[Mirror b]\n");
        size_t n, tried = 0;
        const ConfigRow *rows = config_rows(&n);

        assert_false(config_mirror_equal(&base->mirrors[0], &renamed->mirrors[0]));
        for (size_t i = 0; i < n; i++)
                if (strcmp(rows[i].section, "Mirror") == 0) {
                        _cleanup_(config_freep) Config *other = load_key("Mirror a", rows[i].key, others[tried++]);

                        assert_int_equal(other->n_notes, 0);
                        assert_false(config_mirror_equal(&base->mirrors[0], &other->mirrors[0]));
                }
        assert_int_equal(tried, ELEMENTSOF(others));
}

static void every_part_of_a_delete_limit_makes_a_difference(void **state _unused_) {
        DeleteLimit limit = { .names = 3, .percent = 25 };

        assert_true(quantity_delete_limit_equal(limit, limit));
        assert_false(quantity_delete_limit_equal(limit, (DeleteLimit){ .names = 4, .percent = 25 }));
        assert_false(quantity_delete_limit_equal(limit, (DeleteLimit){ .names = 3, .percent = 26 }));
        assert_false(quantity_delete_limit_equal(limit, (DeleteLimit){ .off = true, .names = 3, .percent = 25 }));
}

static void a_span_is_as_long_as_systemd_says(void **state _unused_) {
        static const char *const spans[] = { "0", "17", "1.5h", "5min20s", "250 ms", "3us", "2 weeks", "1week", "1.5w", "1M 1m",
                                             "1month", "2.25 months", "1y", "3years", "1year 2days", "1hr 2hour 3hours", "8sec", "1 usec" };
        char line[256], *command = NULL;
        size_t seen = 0, size = 0;
        FILE *out = open_memstream(&command, &size), *pipe;

        (void) fputs("systemd-analyze timespan", out);
        for (size_t i = 0; i < ELEMENTSOF(spans); i++)
                (void) fprintf(out, " '%s'", spans[i]);
        assert_int_equal(fclose(out), 0);
        pipe = popen(command, "re");
        assert_non_null(pipe);
        while (fgets(line, sizeof(line), pipe)) {
                const char *number = strstr(line, "s: ");
                uint64_t usec = 0;

                if (!number || strstr(line, "Human"))
                        continue;
                assert_true(seen < ELEMENTSOF(spans));
                assert_true(quantity_parse_span(spans[seen], &usec));
                if (usec != strtoull(number + 3, NULL, 10))
                        print_error("%s is %s", spans[seen], line);
                assert_int_equal(usec, strtoull(number + 3, NULL, 10));
                seen++;
        }
        assert_int_equal(pclose(pipe), 0);
        assert_int_equal(seen, ELEMENTSOF(spans));
        free(command);
}

static void an_amount_means_bytes_of_this_machine(void **state _unused_) {
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_AUTO, 0 }, 100, 7), 7);
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_BYTES, 5 }, 100, 7), 5);
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_PERMYRIAD, 1250 }, 64 * GIB, 7), 8 * GIB);
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_PERMYRIAD, 10000 }, UINT64_MAX, 7), UINT64_MAX);
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_PERMYRIAD, 0 }, UINT64_MAX, 7), 0);
}

static void a_file_that_cannot_be_read_is_a_failure_that_says_so(void **state _unused_) {
        Config *config = NULL;
        const char *what = NULL;

        assert_int_equal(config_load("/nonexistent/x.conf", NULL, &config, &what), -ENOENT);
        assert_string_equal(what, "read");
        assert_int_equal(config_load(directory, NULL, &config, &what), -EISDIR);
        assert_int_equal(config_load(NULL, "/nonexistent", &config, &what), -ENOENT);
        assert_string_equal(what, "look up configuration files");
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

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
        struct FTW *walk _unused_) {
        return remove(path);
}

static void fresh_root(void) {
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
        assert_string_equal(config->notes[0].text, "This file cannot be read: No such file or directory");
        assert_string_equal(config->notes[1].text, "This file cannot be read: Is a directory");
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
        _cleanup_(config_freep) Config *sample = load_good(text), *defaults = load_good("");

        assert_non_null(strstr(text, "\nSource=/data/models\n"));
        assert_equal_configs(sample, defaults);
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

static int setup(void **state _unused_) {
        assert_non_null(mkdtemp(directory));
        (void) snprintf(file, sizeof(file), "%s/x.conf", directory);
        (void) snprintf(root, sizeof(root), "%s/root", directory);
        return 0;
}

static int teardown(void **state _unused_) {
        return nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_good_value_is_taken_and_printed_in_one_form),
                cmocka_unit_test(every_bad_value_is_an_error_that_names_key_value_and_what_is_allowed),
                cmocka_unit_test(names_and_paths_have_their_full_length_and_no_more),
                cmocka_unit_test(no_file_content_means_one_mirror_with_all_defaults),
                cmocka_unit_test(the_syntax_is_that_of_systemd),
                cmocka_unit_test(a_value_set_again_overrides_and_a_list_adds_and_empty_starts_over),
                cmocka_unit_test(what_is_not_ini_is_an_error_with_its_line),
                cmocka_unit_test(the_longest_mirror_name_is_taken),
                cmocka_unit_test(a_file_with_nul_bytes_is_given_up_at_that_line),
                cmocka_unit_test(a_binary_file_is_an_error_and_not_a_flood),
                cmocka_unit_test(a_huge_line_is_one_value_and_a_huge_file_is_refused),
                cmocka_unit_test(a_wrong_value_of_any_length_has_a_short_error),
                cmocka_unit_test(an_unknown_key_or_section_is_a_warning_with_file_and_line),
                cmocka_unit_test(all_errors_of_a_file_are_told_up_to_fifty),
                cmocka_unit_test(paths_that_overlap_are_an_error_that_names_both_mirrors_and_places),
                cmocka_unit_test(metrics_are_not_written_into_what_is_watched),
                cmocka_unit_test(paths_that_only_look_alike_are_no_overlap),
                cmocka_unit_test(there_can_be_256_mirrors),
                cmocka_unit_test(copies_are_equal_and_independent),
                cmocka_unit_test(mirrors_differ_if_any_key_differs),
                cmocka_unit_test(every_part_of_a_delete_limit_makes_a_difference),
                cmocka_unit_test(a_span_is_as_long_as_systemd_says),
                cmocka_unit_test(an_amount_means_bytes_of_this_machine),
                cmocka_unit_test(a_file_that_cannot_be_read_is_a_failure_that_says_so),
                cmocka_unit_test(the_first_main_file_counts_and_all_drop_ins_by_name),
                cmocka_unit_test(masks_and_other_names_are_as_in_systemd),
                cmocka_unit_test(roots_without_main_file_and_with_masked_or_dangling_one),
                cmocka_unit_test(a_linked_drop_in_directory_is_followed_inside_the_root),
                cmocka_unit_test(a_drop_in_that_cannot_be_read_is_an_error),
                cmocka_unit_test(an_error_in_a_drop_in_names_that_file_and_an_overlap_both),
                cmocka_unit_test(config_file_alone_is_read_if_it_is_named),
                cmocka_unit_test(the_sample_with_every_key_set_is_the_default),
                cmocka_unit_test(any_broken_sample_loads_with_lines_for_its_errors_or_prints_and_reads_back),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
