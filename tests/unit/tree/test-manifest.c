/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The list of entries in memory and on disk: what is saved is what is loaded, whatever a crash or an accident does
 * to the files. */

#include "ground.h"
#include "tree/manifest.h"

static Manifest *make(void) {
        Manifest *manifest = NULL;

        assert_int_equal(manifest_new(&manifest), 0);
        return manifest;
}

static void put(Manifest *manifest, Entry entry) {
        assert_int_equal(manifest_put(manifest, &entry), 0);
}

static void put_path(Manifest *manifest, const char *path, uint64_t size) {
        put(manifest, (Entry){ .path = (char *) path, .size = size });
}

/* --- in memory --- */

static void entries_are_found_in_path_order(void **state) {
        static const char *const order[] = { "a", "a b", "a-b", "a/b", "ab", "b", "b/\xff" };
        _cleanup_(manifest_freep) Manifest *manifest = make();

        (void) state;
        for (size_t i = ELEMENTSOF(order); i > 0; i--)
                put_path(manifest, order[i - 1], i);
        manifest_sort(manifest);
        assert_int_equal(manifest->n_entries, ELEMENTSOF(order));
        for (size_t i = 0; i < ELEMENTSOF(order); i++) {
                assert_string_equal(manifest->entries[i].path, order[i]);
                assert_ptr_equal(manifest_find(manifest, order[i]), &manifest->entries[i]);
        }
        assert_null(manifest_find(manifest, "a/"));
        assert_null(manifest_find(manifest, ""));
}

static void an_empty_list_finds_nothing(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = make();

        (void) state;
        manifest_sort(manifest);
        assert_null(manifest_find(manifest, "a"));
        assert_null(manifest_free(NULL));
}

static void the_last_put_wins(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = make();

        (void) state;
        for (unsigned plan_run = 1; plan_run <= 3; plan_run++)
                for (unsigned i = 0; i < 100; i++) {
                        char path[16];

                        (void) snprintf(path, sizeof(path), "%u", i * 37 % 100);
                        put_path(manifest, path, plan_run * 1000 + i * 37 % 100);
                        if (i % 40 == 7)
                                manifest_sort(manifest);
                }
        manifest_sort(manifest);
        assert_int_equal(manifest->n_entries, 100);
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(manifest->entries[i].size, 3000 + (unsigned) atoi(manifest->entries[i].path));
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(a, b);
}

/* Every length up to some runs of the merge sort, in an order that is the same each time; half of the names come
 * twice, and the second has to win. */
static void lists_of_any_length_are_sorted(void **state) {
        enum { MOST = 70 };
        char names[MOST][16];
        uint32_t seed = 1;

        (void) state;
        for (size_t n = 0; n <= MOST; n++) {
                _cleanup_(manifest_freep) Manifest *manifest = NULL;

                assert_int_equal(manifest_new(&manifest), 0);
                for (size_t i = 0; i < n; i++) {
                        seed = seed * 1664525 + 1013904223;
                        (void) snprintf(names[i], sizeof(names[i]), "%08x-%zu", seed, i);
                        assert_int_equal(manifest_put(manifest, &(Entry){ .path = names[i], .size = 1 }), 0);
                }
                for (size_t i = 0; i < n; i += 2)
                        assert_int_equal(manifest_put(manifest, &(Entry){ .path = names[i], .size = 2 }), 0);
                manifest_sort(manifest);
                assert_int_equal(manifest->n_entries, n);
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(manifest_find(manifest, names[i])->size, i % 2 == 0 ? 2 : 1);
                qsort(names, n, sizeof(names[0]), compare_strings);
                for (size_t i = 0; i < n; i++)
                        assert_string_equal(manifest->entries[i].path, names[i]);
        }
}

static void strings_are_copied(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = make();
        char path[] = "link", target[] = "file";

        (void) state;
        put(manifest, (Entry){ .path = path, .target = target, .type = ENTRY_SYMLINK });
        memset(path, 'x', 4);
        memset(target, 'x', 4);
        manifest_sort(manifest);
        assert_string_equal(manifest_find(manifest, "link")->target, "file");
}

static bool is_odd(const Entry *entry, void *userdata) {
        (*(unsigned *) userdata)++;
        return entry->size % 2;
}

static void a_filter_drops_what_it_names(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = make();
        unsigned n_calls = 0;

        (void) state;
        put_path(manifest, "c", 3);
        put_path(manifest, "b", 2);
        put_path(manifest, "a", 1);
        manifest_filter(manifest, is_odd, &n_calls);
        assert_int_equal(n_calls, 3);
        assert_int_equal(manifest->n_entries, 1);
        assert_non_null(manifest_find(manifest, "b"));
        assert_null(manifest_find(manifest, "a"));
}

static void what_is_below_an_unreadable_directory_is_unknown(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = make();

        (void) state;
        assert_int_equal(manifest_omit(manifest, "dark", OMIT_UNREADABLE, EACCES), 0);
        assert_int_equal(manifest_omit(manifest, "fifo", OMIT_SPECIAL, 0), 0);
        assert_true(manifest_is_blind(manifest, "dark"));
        assert_true(manifest_is_blind(manifest, "dark/a/b"));
        assert_false(manifest_is_blind(manifest, "darker"));
        assert_false(manifest_is_blind(manifest, "dar"));
        assert_false(manifest_is_blind(manifest, "fifo"));
        assert_false(manifest_is_blind(manifest, "x/dark"));
}

static void bytes_are_counted_once(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = make();

        (void) state;
        put(manifest, (Entry){ .path = (char *) "file", .size = 100 });
        put(manifest,
            (Entry){ .path = (char *) "more", .size = 100, .type = ENTRY_HARDLINK, .target = (char *) "file" });
        put(manifest, (Entry){ .path = (char *) "known", .size = 1000, .flags = ENTRY_RECORD });
        put(manifest, (Entry){ .path = (char *) "linked", .size = 10000, .flags = ENTRY_LINKED });
        put(manifest, (Entry){ .path = (char *) "dir", .type = ENTRY_DIRECTORY });
        put(manifest, (Entry){ .path = (char *) "link", .type = ENTRY_SYMLINK, .target = (char *) "file" });
        manifest_sort(manifest);
        assert_int_equal(manifest_bytes(manifest), 100);
        assert_int_equal(manifest_files(manifest), 2); /* one is on the disk only */
}

/* --- on disk --- */

static const Generation here = {
        .boot_id = { 1, 2, 3, 0xff }, .mirror_dev = 1, .mirror_ino = UINT64_MAX, .source_dev = 3, .source_ino = 4,
};

static Digest some_digest(uint8_t seed) {
        Digest digest;

        fill_bytes(digest.bytes, sizeof(digest.bytes), seed);
        return digest;
}

static void assert_same_entry(const Entry *a, const Entry *b) {
        assert_string_equal(a->path, b->path);
        if (a->target)
                assert_string_equal(a->target, b->target);
        else
                assert_null(b->target);
        assert_true(a->size == b->size && a->room == b->room && a->mtime_nsec == b->mtime_nsec);
        assert_true(a->ctime_nsec == b->ctime_nsec && a->ino == b->ino && a->uid == b->uid && a->gid == b->gid);
        assert_true(a->mode == b->mode && a->type == b->type && a->flags == b->flags && a->dev == b->dev);
        assert_true(a->disk.ino == b->disk.ino && a->disk.mtime_nsec == b->disk.mtime_nsec &&
                    a->disk.ctime_nsec == b->disk.ctime_nsec);
        if (a->flags & ENTRY_HAS_DIGEST)
                assert_true(digest_equal(&a->digest, &b->digest));
}

static void assert_same(const Manifest *a, const Manifest *b) {
        assert_int_equal(a->n_entries, b->n_entries);
        assert_true(manifest_generation_equal(&a->generation, &b->generation));
        for (size_t i = 0; i < a->n_entries; i++)
                assert_same_entry(&a->entries[i], &b->entries[i]);
}

static void save(const Manifest *manifest) {
        int fd = open_directory(".");

        assert_int_equal(manifest_save(manifest, fd, "m", "/data/models", "/dev/shm/models"), 0);
        (void) close(fd);
}

static int load(Manifest **ret, unsigned *ret_line) {
        int fd = open_directory("."), r = manifest_load(fd, "m", ret, ret_line);

        (void) close(fd);
        return r;
}

static Manifest *load_good(void) {
        Manifest *manifest = NULL;
        unsigned line = 77;

        assert_int_equal(load(&manifest, &line), 0);
        assert_int_equal(line, 77);
        return manifest;
}

/* One of everything, with the names that are hardest to write down. */
static Manifest *make_odd(void) {
        static const char *const names[] = {
                "plain.gguf", " leading and trailing ", "line\nfeed", "carriage\rreturn", "tab\there", "back\\slash",
                "\\x41", "-", "#", "# end", "invalid \xff\xc3 utf-8", "caf\xc3\xa9", "\x01\x1b[31m", "\xc2\x85",
                "quote\"'", "a/b/c", "%s%n",
        };
        Manifest *manifest = make();
        char *longest = malloc(256);

        manifest->generation = here;
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                put(manifest, (Entry){ .path = (char *) names[i],
                                       .size = i * 1000,
                                       .room = i * 4096,
                                       .mtime_nsec = 1700000000123456789 + (int64_t) i,
                                       .ctime_nsec = -1,
                                       .ino = i,
                                       .uid = UINT32_MAX,
                                       .gid = (uint32_t) i,
                                       .mode = (uint16_t) (i % 0777),
                                       .flags = ENTRY_HAS_DIGEST,
                                       .digest = some_digest((uint8_t) i),
                                       .dev = UINT32_MAX - (uint32_t) i,
                                       .disk = { .ino = UINT64_MAX - i,
                                                 .mtime_nsec = -1700000000123456789 - (int64_t) i,
                                                 .ctime_nsec = 1800000000123456789 + (int64_t) i } });
        assert_non_null(longest);
        memset(longest, '\n', 255);
        longest[255] = '\0';
        put(manifest, (Entry){ .path = longest,
                               .size = UINT64_MAX,
                               .mtime_nsec = INT64_MIN,
                               .ctime_nsec = INT64_MAX,
                               .mode = 0777 });
        put(manifest, (Entry){ .path = (char *) "dir", .type = ENTRY_DIRECTORY, .mode = 0700 });
        put(manifest,
            (Entry){ .path = (char *) "dir/link", .type = ENTRY_SYMLINK, .target = (char *) "../odd \n target" });
        put(manifest, (Entry){ .path = (char *) "dash", .type = ENTRY_SYMLINK, .target = (char *) "-" });
        put(manifest, (Entry){ .path = (char *) "twin", .type = ENTRY_HARDLINK, .target = (char *) "line\nfeed" });
        put(manifest, (Entry){ .path = (char *) "record",
                               .flags = ENTRY_HAS_DIGEST | ENTRY_RECORD,
                               .digest = some_digest(99) });
        put(manifest, (Entry){ .path = (char *) "linked", .flags = ENTRY_LINKED });
        put(manifest, (Entry){ .path = (char *) "found", .flags = ENTRY_FINDINGS | ENTRY_RACY });
        put(manifest, (Entry){ .path = (char *) "nowhere", .disk = { .ctime_nsec = INT64_MIN } });
        free(longest);
        manifest_sort(manifest);
        return manifest;
}

static void what_is_saved_is_what_is_loaded(void **state) {
        _cleanup_(manifest_freep) Manifest *saved = make_odd(), *loaded = NULL;

        (void) state;
        save(saved);
        loaded = load_good();
        assert_same(saved, loaded);
        assert_int_equal(stat_at("m.xxh128").st_mode & 0777, 0644);
        assert_false(is_there(".m.xxh128.new"));
}

static void nothing_at_all_is_saved_too(void **state) {
        _cleanup_(manifest_freep) Manifest *saved = make(), *loaded = NULL;

        (void) state;
        save(saved);
        loaded = load_good();
        assert_same(saved, loaded);
}

static void what_was_never_saved_is_absent(void **state) {
        Manifest *manifest = NULL;
        unsigned line;

        (void) state;
        assert_int_equal(load(&manifest, &line), MANIFEST_ABSENT);
        assert_null(manifest);
}

static void a_save_that_fails_leaves_the_old_one(void **state) {
        _cleanup_(manifest_freep) Manifest *first = make(), *big = make(), *loaded = NULL;
        unsigned line;
        int fd;

        (void) state;
        make_tmpfs("state", "size=64k");
        fd = open_directory("state");
        put_path(first, "a", 1);
        manifest_sort(first);
        assert_int_equal(manifest_save(first, fd, "m", "/s", "/t"), 0);
        for (unsigned i = 0; i < 2000; i++) {
                char path[64];

                (void) snprintf(path, sizeof(path), "some/rather/long/path/%u", i);
                put_path(big, path, 1);
        }
        manifest_sort(big);
        assert_int_equal(manifest_save(big, fd, "m", "/s", "/t"), -ENOSPC);
        assert_false(is_there("state/.m.xxh128.new"));
        assert_int_equal(manifest_load(fd, "m", &loaded, &line), 0);
        assert_same(first, loaded);
        (void) close(fd);
}

/* Every file of a mirror, with its true digest, as the daemon would have it. */
static void put_real(Manifest *manifest, const char *name) {
        _cleanup_(digest_stream_freep) DigestStream *stream = NULL;
        _cleanup_(freep) char *path = NULL;
        _cleanup_(freep) uint8_t *data = NULL;
        size_t length = strlen(name) * 1000;

        assert_true(asprintf(&path, "mirror/%s", name) > 0);
        data = put_pattern(path, length, length);
        assert_int_equal(digest_stream_new(&stream), 0);
        digest_stream_update(stream, data, length);
        put(manifest, (Entry){ .path = (char *) name,
                               .size = length,
                               .flags = ENTRY_HAS_DIGEST,
                               .digest = digest_stream_get(stream) });
}

static void xxh128sum_accepts_it_and_finds_a_flipped_bit(void **state) {
        static const char *const names[] = {
                "plain",       " lead",        "trail ",   "two  blanks", "tab\there",  "back\\slash",
                "caf\xc3\xa9", "invalid \xff", "sub/file", "#hash",       "line\nfeed", "carriage\rreturn",
                "*star",       "-dash",        "\x1b[31m",
        };
        _cleanup_(manifest_freep) Manifest *manifest = make();
        int fd;

        (void) state;
        make_directory("mirror");
        make_directory("mirror/sub");
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                put_real(manifest, names[i]);
        put(manifest, (Entry){ .path = (char *) "sub", .type = ENTRY_DIRECTORY });
        put(manifest, (Entry){ .path = (char *) "gone", .flags = ENTRY_HAS_DIGEST | ENTRY_RECORD });
        put(manifest, (Entry){ .path = (char *) "disk", .flags = ENTRY_HAS_DIGEST | ENTRY_LINKED });
        manifest_sort(manifest);
        save(manifest);
        shell("cd mirror && xxh128sum -c ../m.xxh128 > ../out 2>&1");
        shell("test $(grep -c ': OK$' out) = 13"); /* all but the two that such a line cannot name */
        shell("cd mirror && xxh128sum -c --quiet ../m.xxh128 > /dev/null 2>&1");
        fd = open("mirror/back\\slash", O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "\0", 1, 5000), 1);
        (void) close(fd);
        assert_int_not_equal(system("cd mirror && xxh128sum -c --quiet ../m.xxh128 > /dev/null 2>&1"), 0);
}

/* --- the first format --- */

/* As it was written before the base knew the objects of the disk. */
static const char first_format[] =
        "# shmstaged manifest 1\n# source /data/models\n# target /dev/shm/models\n"
        "# generation 0102030405060708090a0b0c0d0e0f10 11:12 13:14\n"
        "# directory 0 0 0 1700000000000000000 1700000000000000001 2 0 0 755 - dir -\n"
        "# file 9 5000 8192 1700000000123456789 1700000001123456789 3 12 13 640 "
        "00112233445566778899aabbccddeeff dir/a\\x20model.gguf -\n"
        "00112233445566778899aabbccddeeff  dir/a model.gguf\n"
        "# symlink 0 0 0 1 2 4 0 0 777 - link dir/a\\x20model.gguf\n"
        "# file 130 7 4096 5 6 7 0 0 644 - deleted -\n"
        "# hardlink 1 5000 0 1700000000123456789 1700000001123456789 3 12 13 640 "
        "00112233445566778899aabbccddeeff twin dir/a\\x20model.gguf\n"
        "# end\n";

static void entries_of_the_first_format_are_records_of_unknown_objects(void **state) {
        _cleanup_(manifest_freep) Manifest *loaded = NULL;
        char hex[DIGEST_HEX_MAX];
        const Entry *model;

        (void) state;
        put_text("m.xxh128", first_format);
        loaded = load_good();
        assert_int_equal(loaded->n_entries, 5);
        assert_int_equal(loaded->generation.source_ino, 14);
        for (size_t i = 0; i < loaded->n_entries; i++) {
                const Entry *entry = &loaded->entries[i];

                assert_true(entry->flags & ENTRY_RECORD);
                assert_true(entry->dev == 0 && entry->disk.ino == 0 && entry->disk.mtime_nsec == 0 &&
                            entry->disk.ctime_nsec == 0);
        }
        model = manifest_find(loaded, "dir/a model.gguf");
        assert_non_null(model);
        if (!model)
                return;
        assert_int_equal(model->flags, ENTRY_HAS_DIGEST | ENTRY_SAVED | ENTRY_RECORD);
        assert_string_equal(digest_to_hex(&model->digest, hex), "00112233445566778899aabbccddeeff");
        assert_int_equal(model->size, 5000);
        assert_true(model->mtime_nsec == 1700000000123456789);
        assert_int_equal(model->ino, 3);
        assert_int_equal(model->mode, 0640);
        assert_int_equal(manifest_find(loaded, "deleted")->flags, ENTRY_DELETED | ENTRY_RECORD);
        assert_string_equal(manifest_find(loaded, "twin")->target, "dir/a model.gguf");
}

static void the_first_format_is_saved_as_the_second(void **state) {
        _cleanup_(manifest_freep) Manifest *loaded = NULL, *again = NULL;

        (void) state;
        put_text("m.xxh128", first_format);
        loaded = load_good();
        save(loaded);
        shell("head -1 m.xxh128 | grep -qx '# shmstaged manifest 2'");
        again = load_good();
        assert_same(loaded, again);
}

/* --- damage --- */

static char *read_saved(const char *path, size_t *ret_length) {
        struct stat st = stat_at(path);
        char *text = malloc((size_t) st.st_size + 1);
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        assert_non_null(text);
        assert_int_equal(read(fd, text, (size_t) st.st_size), st.st_size);
        (void) close(fd);
        text[st.st_size] = '\0';
        *ret_length = (size_t) st.st_size;
        return text;
}

static void assert_damaged_at(const char *text, unsigned expected) {
        Manifest *manifest = NULL;
        unsigned line = 77;

        put_text("m.xxh128", text);
        assert_int_equal(load(&manifest, &line), MANIFEST_DAMAGED);
        assert_null(manifest);
        assert_int_equal(line, expected);
}

#define HEAD_OF(format) \
        "# shmstaged manifest " format "\n# source /s\n# target /t\n" \
        "# generation 00000000000000000000000000000000 1:2 3:4\n"
#define HEAD HEAD_OF("2")
#define GOOD "# file 0 1 4096 1 1 1 0 0 644 - 7 8 9 10 good -\n"

static void damage_is_reported_with_its_line(void **state) {
        static const char *const wrong[] = {
                "# file 0 1 4096 1 1 1 0 0 644 - 7 8 9 10 good\n",              /* a field is missing */
                "# pipe 0 1 4096 1 1 1 0 0 644 - 7 8 9 10 good -\n",            /* no such type */
                "# file 0 1 4096 1 1 1 0 0 644 - 7 8 9 10 /absolute -\n",
                "# file 0 1 4096 1 1 1 0 0 644 - 7 8 9 10 bad\\xescape -\n",
                "# file 0 1 4096 1 1 1 0 0 77777 - 7 8 9 10 good -\n",          /* no such mode */
                "# file 1 1 4096 1 1 1 0 0 644 0123 7 8 9 10 good -\n",         /* a digest cut short */
                "# file 1 1 4096 1 1 1 0 0 644 - 7 8 9 10 good -\n",            /* a digest is promised */
                "# file 0 x 4096 1 1 1 0 0 644 - 7 8 9 10 good -\n",
                "# file 0 1 4096 1 1 1 0 0 644 - good -\n",             /* of format 1 */
                "# file 0 1 4096 1 1 1 0 0 644 - 7 8 x 10 good -\n",
                "# file 0 1 4096 1 1 1 0 0 644 - 7 8 9 good -\n",
                "# generation 00 1:2 3:4\n",
                "# what is this\n",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_(freep) char *text = NULL;

                assert_true(asprintf(&text, HEAD GOOD "%s# end\n", wrong[i]) > 0);
                assert_damaged_at(text, 6);
        }
        assert_damaged_at("", 1);
        assert_damaged_at("something else\n", 1);
        assert_damaged_at("# shmstaged manifest 3\n# end\n", 1);
        assert_damaged_at("# shmstaged manifest 12\n# end\n", 1); /* not version 1 */
        assert_damaged_at(HEAD_OF("1") GOOD "# end\n", 5);          /* of format 2 */
        assert_damaged_at(HEAD GOOD, 0);                             /* cut at the end of a line */
        assert_damaged_at(HEAD GOOD "# end", 0);                     /* cut within one */
}

static void paths_that_lead_out_are_refused(void **state) {
        static const char *const wrong[] = { "..", "../x", "a/../b", "a/..", "./a", ".", "a/./b", "a//b", "a/" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_(freep) char *text = NULL;

                assert_true(asprintf(&text, HEAD "# file 0 1 4096 1 1 1 0 0 644 - 7 8 9 10 %s -\n# end\n",
                                     wrong[i]) > 0);
                assert_damaged_at(text, 5);
        }
}

static void a_manifest_cut_anywhere_is_damaged(void **state) {
        _cleanup_(manifest_freep) Manifest *saved = make_odd();
        _cleanup_(freep) char *text = NULL;
        size_t length;

        (void) state;
        save(saved);
        text = read_saved("m.xxh128", &length);
        for (size_t n = 0; n < length; n++) {
                Manifest *manifest = NULL;
                unsigned line;

                put_bytes("m.xxh128", text, n);
                assert_int_equal(load(&manifest, &line), MANIFEST_DAMAGED);
                assert_null(manifest);
        }
}

static void mutate(char *text, size_t *length, uint64_t *seed) {
        static const char *const words[] = { "# ",      "\n",      " ",  "18446744073709551616",
                                             "-1",      "\\x",     "%n", "# end\n",
                                             "# drop ", "symlink", "/" };

        for (unsigned n = 1 + random_below(seed, 4); n > 0; n--) {
                size_t at = random_below(seed, (unsigned) *length);
                const char *word = words[random_below(seed, ELEMENTSOF(words))];

                switch (random_below(seed, 4)) {
                case 0:
                        text[at] = (char) random_below(seed, 256);
                        break;
                case 1:
                        text[at] = (char) (text[at] ^ (1 << random_below(seed, 8)));
                        break;
                case 2:
                        memcpy(text + at, word, MIN(strlen(word), *length - at));
                        break;
                default: { /* something is lost */
                        size_t lost = random_below(seed, 40);

                        lost = MIN(lost, *length - at - 1);
                        memmove(text + at, text + at + lost, *length - at - lost);
                        *length -= lost;
                }
                }
        }
}

/* Whatever is in the files, the answer is one of the three, and an entry that is handed out is whole. */
static void load_whatever(unsigned counts[static 3]) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        unsigned line;
        int r = load(&manifest, &line);

        assert_true(r == 0 || r == MANIFEST_ABSENT || r == MANIFEST_DAMAGED);
        counts[r]++;
        if (r != 0) {
                assert_null(manifest);
                return;
        }
        for (size_t i = 0; i < manifest->n_entries; i++) {
                const Entry *entry = &manifest->entries[i];

                assert_true(entry->path && entry->path[0] && entry->path[0] != '/');
                assert_true((entry->type == ENTRY_SYMLINK || entry->type == ENTRY_HARDLINK) == (entry->target != NULL));
                assert_true(i == 0 || strcmp(entry[-1].path, entry->path) < 0);
                assert_int_equal(entry->mode & ~0777, 0);
        }
}

static void write_journal(const Manifest *manifest) {
        int dirfd = open_directory("."), fd = -1;

        assert_int_equal(manifest_journal_open(dirfd, "m", &here, &fd), 0);
        for (size_t i = 0; i < manifest->n_entries; i++)
                assert_int_equal(manifest_journal_put(fd, &manifest->entries[i]), 0);
        for (size_t i = 0; i < manifest->n_entries; i += 3)
                assert_int_equal(manifest_journal_drop(fd, manifest->entries[i].path), 0);
        (void) close(fd);
        (void) close(dirfd);
}

static void no_mutation_of_the_files_does_harm(void **state) {
        _cleanup_(manifest_freep) Manifest *saved = make_odd();
        _cleanup_(freep) char *text = NULL, *journal = NULL, *copy = NULL;
        uint64_t seed = random_seed();
        size_t length, journal_length;
        unsigned counts[3] = {};

        (void) state;
        save(saved);
        write_journal(saved);
        text = read_saved("m.xxh128", &length);
        journal = read_saved("m.journal", &journal_length);
        copy = malloc(MAX(length, journal_length));
        for (unsigned i = 0; i < 20000; i++) {
                bool of_journal = i % 2;
                size_t n = of_journal ? journal_length : length;

                memcpy(copy, of_journal ? journal : text, n);
                mutate(copy, &n, &seed);
                put_bytes(of_journal ? "m.journal" : "m.xxh128", copy, n);
                load_whatever(counts);
                put_bytes(of_journal ? "m.journal" : "m.xxh128", of_journal ? journal : text,
                          of_journal ? journal_length : length);
        }
        /* a broken journal costs only what it says; a broken manifest is noticed more often than not */
        assert_true(counts[0] >= 10000);
        assert_true(counts[MANIFEST_DAMAGED] > 5000);
}

/* --- journal --- */

static int open_journal(const Generation *generation) {
        int dirfd = open_directory("."), fd = -1;

        assert_int_equal(manifest_journal_open(dirfd, "m", generation, &fd), 0);
        (void) close(dirfd);
        return fd;
}

static void note(int fd, const char *path, uint64_t size) {
        Entry entry = { .path = (char *) path, .size = size };

        assert_int_equal(manifest_journal_put(fd, &entry), 0);
}

static Manifest *make_base(void) {
        Manifest *manifest = make();

        manifest->generation = here;
        put_path(manifest, "a", 1);
        put_path(manifest, "b", 2);
        manifest_sort(manifest);
        save(manifest);
        return manifest;
}

static void save_base(void) {
        manifest_free(make_base());
}

static void the_journal_is_applied(void **state) {
        _cleanup_(manifest_freep) Manifest *loaded = NULL;
        int fd;

        (void) state;
        save_base();
        fd = open_journal(&here);
        note(fd, "b", 20);
        note(fd, "c", 30);
        note(fd, "c", 31);
        assert_int_equal(manifest_journal_drop(fd, "a"), 0);
        assert_int_equal(manifest_journal_drop(fd, "never was"), 0);
        (void) close(fd);
        loaded = load_good();
        assert_int_equal(loaded->n_entries, 3);
        assert_int_equal(manifest_find(loaded, "a")->flags, ENTRY_RECORD);
        assert_int_equal(manifest_find(loaded, "b")->size, 20);
        assert_int_equal(manifest_find(loaded, "b")->flags, 0);
        assert_int_equal(manifest_find(loaded, "c")->size, 31);
}

static void a_dropped_path_may_come_back(void **state) {
        _cleanup_(manifest_freep) Manifest *loaded = NULL;
        int fd;

        (void) state;
        save_base();
        fd = open_journal(&here);
        assert_int_equal(manifest_journal_drop(fd, "a"), 0);
        note(fd, "a", 5);
        (void) close(fd);
        loaded = load_good();
        assert_int_equal(manifest_find(loaded, "a")->flags, 0);
        assert_int_equal(manifest_find(loaded, "a")->size, 5);
}

static void odd_names_go_through_the_journal(void **state) {
        _cleanup_(manifest_freep) Manifest *saved = make_odd(), *loaded = NULL;
        int fd = open_journal(&here);

        (void) state;
        for (size_t i = 0; i < saved->n_entries; i++)
                assert_int_equal(manifest_journal_put(fd, &saved->entries[i]), 0);
        (void) close(fd);
        loaded = load_good(); /* without a manifest beside it: a daemon that was killed in its first staging */
        assert_same(saved, loaded);
}

static void a_line_of_the_journal_that_was_cut_off_is_left_out(void **state) {
        _cleanup_(manifest_freep) Manifest *loaded = NULL;
        int fd;

        (void) state;
        save_base();
        fd = open_journal(&here);
        note(fd, "c", 30);
        assert_int_equal(write(fd, "# file 0 99 4096", 16), 16);
        (void) close(fd);
        loaded = load_good();
        assert_int_equal(loaded->n_entries, 3);
        assert_non_null(manifest_find(loaded, "c"));
        /* what is written next does not become part of the line that was cut off */
        fd = open_journal(&here);
        note(fd, "d", 40);
        (void) close(fd);
        manifest_free(loaded);
        loaded = load_good();
        assert_int_equal(loaded->n_entries, 4);
        assert_int_equal(manifest_find(loaded, "d")->size, 40);
}

static void a_journal_of_another_generation_makes_records_of_the_rest(void **state) {
        _cleanup_(manifest_freep) Manifest *loaded = NULL;
        Generation later = here;
        int fd;

        (void) state;
        save_base();
        later.mirror_ino = 12345;
        fd = open_journal(&later);
        note(fd, "b", 20);
        (void) close(fd);
        loaded = load_good();
        assert_true(manifest_generation_equal(&loaded->generation, &later));
        assert_int_equal(manifest_find(loaded, "a")->flags, ENTRY_RECORD); /* of an earlier mirror */
        assert_int_equal(manifest_find(loaded, "b")->flags, 0);
}

static void opening_for_another_generation_empties_the_journal(void **state) {
        _cleanup_(manifest_freep) Manifest *loaded = NULL;
        Generation later = here;
        int fd;

        (void) state;
        save_base();
        fd = open_journal(&here);
        note(fd, "old", 1);
        (void) close(fd);
        later.boot_id[15] = 1;
        fd = open_journal(&later);
        note(fd, "new", 2);
        (void) close(fd);
        loaded = load_good();
        assert_null(manifest_find(loaded, "old"));
        assert_non_null(manifest_find(loaded, "new"));
}

static void a_journal_whose_first_line_was_cut_off_is_left_out(void **state) {
        _cleanup_(manifest_freep) Manifest *saved = make_base(), *loaded = NULL;
        int fd;

        (void) state;
        put_text("m.journal", "# generation 0102");
        loaded = load_good();
        assert_same(saved, loaded);
        fd = open_journal(&here);
        note(fd, "c", 3);
        (void) close(fd);
        manifest_free(loaded);
        loaded = load_good();
        assert_int_equal(loaded->n_entries, 3);
}

static void saving_ends_the_journal(void **state) {
        _cleanup_(manifest_freep) Manifest *saved = make_base(), *loaded = NULL;
        int fd = open_journal(&here);

        (void) state;
        note(fd, "c", 3);
        (void) close(fd);
        assert_true(is_there("m.journal"));
        save(saved);
        assert_false(is_there("m.journal"));
        loaded = load_good();
        assert_same(saved, loaded);
}

static void generations_differ_in_each_of_their_parts(void **state) {
        Generation other = here;

        (void) state;
        assert_true(manifest_generation_equal(&here, &other));
        other.boot_id[15]++;
        assert_false(manifest_generation_equal(&here, &other));
        other = here;
        other.mirror_dev++;
        assert_false(manifest_generation_equal(&here, &other));
        other = here;
        other.mirror_ino++;
        assert_false(manifest_generation_equal(&here, &other));
        other = here;
        other.source_dev++;
        assert_false(manifest_generation_equal(&here, &other));
        other = here;
        other.source_ino++;
        assert_false(manifest_generation_equal(&here, &other));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(entries_are_found_in_path_order),
                cmocka_unit_test(an_empty_list_finds_nothing),
                cmocka_unit_test(the_last_put_wins),
                cmocka_unit_test(lists_of_any_length_are_sorted),
                cmocka_unit_test(strings_are_copied),
                cmocka_unit_test(a_filter_drops_what_it_names),
                cmocka_unit_test(what_is_below_an_unreadable_directory_is_unknown),
                cmocka_unit_test(bytes_are_counted_once),
                ON_GROUND(what_is_saved_is_what_is_loaded),
                ON_GROUND(nothing_at_all_is_saved_too),
                ON_GROUND(what_was_never_saved_is_absent),
                ON_GROUND(a_save_that_fails_leaves_the_old_one),
                ON_GROUND(xxh128sum_accepts_it_and_finds_a_flipped_bit),
                ON_GROUND(entries_of_the_first_format_are_records_of_unknown_objects),
                ON_GROUND(the_first_format_is_saved_as_the_second),
                ON_GROUND(damage_is_reported_with_its_line),
                ON_GROUND(paths_that_lead_out_are_refused),
                ON_GROUND(a_manifest_cut_anywhere_is_damaged),
                ON_GROUND(no_mutation_of_the_files_does_harm),
                ON_GROUND(the_journal_is_applied),
                ON_GROUND(a_dropped_path_may_come_back),
                ON_GROUND(odd_names_go_through_the_journal),
                ON_GROUND(a_line_of_the_journal_that_was_cut_off_is_left_out),
                ON_GROUND(a_journal_of_another_generation_makes_records_of_the_rest),
                ON_GROUND(opening_for_another_generation_empties_the_journal),
                ON_GROUND(a_journal_whose_first_line_was_cut_off_is_left_out),
                ON_GROUND(saving_ends_the_journal),
                cmocka_unit_test(generations_differ_in_each_of_their_parts),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
