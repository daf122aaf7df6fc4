/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Scans of trees: what is found, what is left out and why, and that no link leads out of them. */

#include "base/path.h"
#include "ground.h"
#include "os/fs.h"
#include "tree/scan.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

enum { NOBODY = 65534 };

static char root[64]; /* of the tree, absolute */
static ScanOptions options;

static const char *const markers[] = { ".marker", ".other", NULL };

/* In place of the layouts, which are in a wing above. */
static bool is_unfinished(const char *path, LayoutKind layout) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *ending = strrchr(name, '.');

        assert_int_equal(layout, LAYOUT_OLLAMA);
        return string_equal(ending, ".part") || string_equal(ending, ".marker") || string_equal(name, "scratch");
}

static int setup(void **state) {
        (void) ground_setup(state);
        make_directory("tree");
        (void) snprintf(root, sizeof(root), "%s/tree", ground_base);
        options = (ScanOptions){
                .root = root,
                .is_unfinished = is_unfinished,
                .layout = LAYOUT_OLLAMA,
                .markers = markers,
        };
        return 0;
}

static int try_scan(Manifest **ret) {
        int fd = open_directory("tree"), r = scan_tree(fd, &options, ret);

        (void) close(fd);
        return r;
}

static Manifest *scan(void) {
        Manifest *manifest = NULL;

        assert_int_equal(try_scan(&manifest), 0);
        return manifest;
}

static const Entry *entry(const Manifest *manifest, const char *path) {
        static const Entry none;
        const Entry *found = manifest_find(manifest, path);

        if (!found)
                fail_msg("'%s' was not found", path);
        return found ? found : &none;
}

static const Omission *omission(const Manifest *manifest, const char *path) {
        for (size_t i = 0; i < manifest->n_omissions; i++)
                if (strcmp(manifest->omissions[i].path, path) == 0)
                        return &manifest->omissions[i];
        return NULL;
}

static void assert_omitted(const Manifest *manifest, const char *path, OmissionReason reason) {
        const Omission *found = omission(manifest, path);

        assert_null(manifest_find(manifest, path));
        assert_int_equal(found ? (int) found->reason : -1, reason);
}

/* The paths in order, with blanks between them. */
static void assert_paths(const Manifest *manifest, const char *expected) {
        char found[2048] = "";

        for (size_t i = 0; i < manifest->n_entries; i++) {
                strcat(found, i > 0 ? " " : "");
                strcat(found, manifest->entries[i].path);
        }
        assert_string_equal(found, expected);
}

/* --- what is there --- */

static void files_directories_and_links_are_found_as_they_are(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        const Entry *e;

        (void) state;
        make_directory("tree/sub");
        free(put_pattern("tree/sub/file", 5000, 1));
        assert_int_equal(chmod("tree/sub/file", 0640), 0);
        assert_int_equal(chown("tree/sub/file", 12, 34), 0);
        set_mtime("tree/sub/file", 1234567890, 123456789);
        assert_int_equal(symlink("sub/file", "tree/link"), 0);
        put_text("tree/empty", "");
        set_mtime("tree/empty", -10, 999999999);
        manifest = scan();
        assert_paths(manifest, "empty link sub sub/file");
        e = entry(manifest, "sub/file");
        assert_int_equal(e->type, ENTRY_FILE);
        assert_int_equal(e->size, 5000);
        assert_int_equal(e->room, 8192);
        assert_true(e->mtime_nsec == 1234567890123456789);
        assert_int_equal(e->mode, 0640);
        assert_int_equal(e->uid, 12);
        assert_int_equal(e->gid, 34);
        assert_int_equal(e->ino, stat_at("tree/sub/file").st_ino);
        assert_true(e->ctime_nsec != 0);
        assert_int_equal(e->flags & ~ENTRY_RACY, 0);
        assert_int_equal(e->dev, (uint32_t) stat_at("tree").st_dev);
        assert_true(entry(manifest, "empty")->mtime_nsec == -9000000001);
        assert_int_equal(entry(manifest, "empty")->room, 0);
        assert_int_equal(entry(manifest, "sub")->type, ENTRY_DIRECTORY);
        assert_int_equal(entry(manifest, "sub")->size, 0);
        assert_int_equal(entry(manifest, "link")->type, ENTRY_SYMLINK);
        assert_string_equal(entry(manifest, "link")->target, "sub/file");
}

static void an_empty_tree_is_empty(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = scan();

        (void) state;
        assert_int_equal(manifest->n_entries + manifest->n_omissions, 0);
}

static void set_id_bits_of_files_are_not_seen(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        put_text("tree/file", "x");
        assert_int_equal(chmod("tree/file", 06755), 0);
        make_directory("tree/dir");
        assert_int_equal(chmod("tree/dir", 03777), 0);
        manifest = scan();
        assert_int_equal(entry(manifest, "file")->mode, 0755);
        assert_int_equal(entry(manifest, "dir")->mode, 03777); /* what may be done in it depends on them */
}

static void the_private_directory_is_not_scanned(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        make_directory("tree/" SCAN_PRIVATE_DIR);
        put_text("tree/" SCAN_PRIVATE_DIR "/x", "");
        make_directory("tree/sub");
        make_directory("tree/sub/" SCAN_PRIVATE_DIR); /* a directory of this tree may be the source of another mirror */
        put_text("tree/sub/" SCAN_PRIVATE_DIR "/x", "");
        manifest = scan();
        assert_paths(manifest, "sub");
        assert_int_equal(manifest->n_omissions, 0);
}

static void odd_names_are_names(void **state) {
        static const char *const names[] = {
                "line\nfeed", "invalid \xff\xc3", " ", "-", "\\", "\x01", "#", "caf\xc3\xa9", "...",
        };
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        char longest[300] = "tree/", path[300];

        (void) state;
        memset(longest + 5, 'n', 255);
        put_text(longest, "long");
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                (void) snprintf(path, sizeof(path), "tree/%s", names[i]);
                put_text(path, "x");
        }
        manifest = scan();
        assert_int_equal(manifest->n_entries, ELEMENTSOF(names) + 1);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_int_equal(entry(manifest, names[i])->size, 1);
        assert_int_equal(entry(manifest, longest + 5)->size, 4);
}

static void deep_trees_are_walked_to_the_end(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        int fd = open_directory("tree");

        (void) state;
        for (unsigned i = 0; i < 500; i++) { /* longer than any path that a system call takes */
                int below;

                assert_int_equal(mkdirat(fd, "a-directory", 0755), 0);
                below = openat(fd, "a-directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(below >= 0);
                (void) close(fd);
                fd = below;
        }
        (void) close(fd);
        manifest = scan();
        assert_int_equal(manifest->n_entries, 500);
        assert_int_equal(strlen(manifest->entries[499].path), 500 * 12 - 1);
}

static void what_has_several_names_is_tied_together(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        make_directory("tree/a");
        free(put_pattern("tree/z", 5000, 1));
        assert_int_equal(link("tree/z", "tree/m"), 0);
        assert_int_equal(link("tree/z", "tree/a/deep"), 0);
        free(put_pattern("tree/other", 100, 2));
        assert_int_equal(link("tree/other", "tree/other2"), 0);
        assert_int_equal(link("tree/other", "elsewhere"), 0); /* a name outside changes nothing */
        free(put_pattern("tree/single", 100, 3));
        assert_int_equal(link("tree/single", "elsewhere2"), 0);
        manifest = scan();
        assert_int_equal(entry(manifest, "a/deep")->type, ENTRY_FILE); /* the first in path order */
        assert_int_equal(entry(manifest, "a/deep")->room, 8192);
        assert_int_equal(entry(manifest, "m")->type, ENTRY_HARDLINK);
        assert_string_equal(entry(manifest, "m")->target, "a/deep");
        assert_int_equal(entry(manifest, "m")->room, 0);
        assert_int_equal(entry(manifest, "m")->size, 5000);
        assert_string_equal(entry(manifest, "z")->target, "a/deep");
        assert_string_equal(entry(manifest, "other2")->target, "other");
        assert_int_equal(entry(manifest, "single")->type, ENTRY_FILE);
}

static void unmount_tree(void) {
        if (umount2("tree", 0) < 0)
                assert_int_equal(umount2("tree", MNT_DETACH), 0);
}

/* Three names of an inode that says that it has two: as unions of filesystems have it, where files of several branches
 * have one number. */
static void names_that_contradict_their_number_are_not_tied(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        assert_int_equal(rmdir("tree"), 0);
        make_ext4("tree", 8);
        shell("cd tree && echo a > a && ln a b && ln a c && echo z > x && ln x y");
        unmount_tree();
        shell("debugfs -w -R 'sif a links_count 2' tree.img 2>/dev/null && mount -o loop tree.img tree");
        assert_int_equal(stat_at("tree/a").st_nlink, 2);
        manifest = scan();
        assert_int_equal(entry(manifest, "a")->type, ENTRY_FILE);
        assert_int_equal(entry(manifest, "b")->type, ENTRY_FILE);
        assert_int_equal(entry(manifest, "c")->type, ENTRY_FILE);
        assert_int_equal(entry(manifest, "c")->room, 4096);
        assert_null(entry(manifest, "c")->target);
        assert_int_equal(entry(manifest, "y")->type, ENTRY_HARDLINK); /* where they agree, they are */
        unmount_tree();
}

/* --- what is certain about it --- */

static void where_inode_numbers_are_not_stable_there_is_none(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        shell("truncate -s 16M image && mkfs.exfat image >/dev/null && loop=$(losetup -f --show image) && "
              "mount.exfat-fuse $loop tree >/dev/null && losetup -d $loop");
        put_text("tree/file", "x");
        make_directory("tree/sub");
        manifest = scan();
        assert_int_equal(entry(manifest, "file")->ino, 0);
        assert_true(entry(manifest, "file")->flags & ENTRY_NO_INODE);
        assert_true(entry(manifest, "sub")->flags & ENTRY_NO_INODE);
        manifest = manifest_free(manifest);
        options.mirror = true; /* which is a tmpfs */
        manifest = scan();
        assert_true(entry(manifest, "file")->ino != 0);
        assert_false(entry(manifest, "file")->flags & ENTRY_NO_INODE);
        unmount_tree();
}

/* Of each directory the filesystem that it is on says it, and that of the next one says otherwise. */
static void each_filesystem_of_a_tree_answers_for_itself(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        make_directory("tree/m");
        shell("truncate -s 16M image && mkfs.exfat image >/dev/null && loop=$(losetup -f --show image) && "
              "mount.exfat-fuse $loop tree/m >/dev/null && losetup -d $loop");
        put_text("tree/a", "x");
        put_text("tree/m/file", "x");
        put_text("tree/z", "x");
        make_directory("tree/sub");
        put_text("tree/sub/file", "x");
        manifest = scan();
        assert_true(entry(manifest, "m/file")->flags & ENTRY_NO_INODE);
        assert_false(entry(manifest, "a")->flags & ENTRY_NO_INODE);
        assert_false(entry(manifest, "z")->flags & ENTRY_NO_INODE);
        assert_false(entry(manifest, "sub/file")->flags & ENTRY_NO_INODE);
        assert_int_equal(umount2("tree/m", MNT_DETACH), 0);
}

/* True as soon as a scan comes soon enough after a change. */
static bool becomes_racy(const char *path) {
        char full[64];

        (void) snprintf(full, sizeof(full), "tree/%s", path);
        for (unsigned i = 0; i < 1000; i++) {
                _cleanup_(manifest_freep) Manifest *manifest = NULL;

                assert_int_equal(chmod(full, 0700), 0);
                manifest = scan();
                if (entry(manifest, path)->flags & ENTRY_RACY)
                        return true;
        }
        return false;
}

static void a_file_that_has_just_changed_proves_nothing(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        put_text("tree/file", "x");
        make_directory("tree/sub");
        set_mtime("tree/file", 1000000000, 0); /* what counts is the ctime, which nobody can set */
        assert_true(becomes_racy("file"));
        assert_false(becomes_racy("sub")); /* it has no bytes */
        (void) usleep(50000);
        manifest = scan();
        assert_false(entry(manifest, "file")->flags & ENTRY_RACY);
        options.mirror = true;
        assert_false(becomes_racy("file"));
}

static void holes_take_no_room(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        int fd = open("tree/sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        (void) state;
        assert_int_equal(ftruncate(fd, 100 * MIB), 0);
        assert_int_equal(pwrite(fd, "x", 1, 10 * MIB + 5), 1);
        assert_int_equal(pwrite(fd, "x", 1, 100 * MIB - 1), 1);
        (void) close(fd);
        manifest = scan();
        assert_int_equal(entry(manifest, "sparse")->size, 100 * MIB);
        assert_int_equal(entry(manifest, "sparse")->room, 8192);
}

/* --- what is left out --- */

static void devices_fifos_and_sockets_are_left_out(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "tree/socket" };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) state;
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(mkfifo("tree/fifo", 0644), 0);
        assert_int_equal(mknod("tree/char", S_IFCHR | 0644, makedev(1, 3)), 0);
        assert_int_equal(mknod("tree/block", S_IFBLK | 0644, makedev(7, 0)), 0);
        put_text("tree/file", "x");
        manifest = scan();
        (void) close(fd);
        assert_paths(manifest, "file");
        assert_omitted(manifest, "fifo", OMIT_SPECIAL);
        assert_omitted(manifest, "socket", OMIT_SPECIAL);
        assert_omitted(manifest, "char", OMIT_SPECIAL);
        assert_omitted(manifest, "block", OMIT_SPECIAL);
}

static void links_that_lead_out_are_left_out(void **state) {
        static const struct {
                const char *path, *target;
        } rows[] = {
                { "absolute", "/etc/passwd" },
                { "up", "../outside" },
                { "sub/up-twice", "../../outside" },
                { "out-and-back", "../tree/file" },
                { "nowhere-outside", "/no/such/file" },
                { "through", "outward/passwd" },
                { "outward", "/etc" },
                { "top", ".." },
                { "sub/over-the-top", "../.." },
        };
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        make_directory("tree/sub");
        put_text("tree/file", "x");
        put_text("outside", "x");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char path[64];

                (void) snprintf(path, sizeof(path), "tree/%s", rows[i].path);
                assert_int_equal(symlink(rows[i].target, path), 0);
        }
        manifest = scan();
        assert_paths(manifest, "file sub");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_omitted(manifest, rows[i].path, OMIT_LINK_OUT);
}

static void links_that_stay_inside_are_kept(void **state) {
        static const struct {
                const char *path, *target;
        } rows[] = {
                { "same", "file" },
                { "sub/up", "../file" },
                { "sub/winding", "../sub/.././file" },
                { "dangling", "not/there" },
                { "itself", "itself" },
                { "dot", "." },
                { "sub/root", ".." },
                { "to-link", "same" },
                { "odd", "sub//../file" },
        };
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        make_directory("tree/sub");
        put_text("tree/file", "x");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char path[64];

                (void) snprintf(path, sizeof(path), "tree/%s", rows[i].path);
                assert_int_equal(symlink(rows[i].target, path), 0);
        }
        manifest = scan();
        assert_int_equal(manifest->n_omissions, 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_string_equal(entry(manifest, rows[i].path)->target, rows[i].target);
}

static void assert_relative(const char *path, const char *inside, const char *expected) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        char target[128], full[128];

        (void) snprintf(target, sizeof(target), "%s%s", root, inside);
        (void) snprintf(full, sizeof(full), "tree/%s", path);
        assert_int_equal(symlink(target, full), 0);
        manifest = scan();
        assert_string_equal(entry(manifest, path)->target, expected);
        assert_int_equal(unlink(full), 0);
}

static void an_absolute_link_into_the_tree_will_lead_into_the_mirror(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        char target[128];

        (void) state;
        make_directory("tree/sub");
        make_directory("tree/sub/deep");
        put_text("tree/file", "x");
        assert_relative("link", "/file", "file");
        assert_relative("sub/link", "/file", "../file");
        assert_relative("sub/deep/link", "/file", "../../file");
        assert_relative("sub/deep/link", "/sub/./x/../y", "../../sub/y");
        assert_relative("sub/link", "", "../.");
        assert_relative("link", "/", ".");
        (void) snprintf(target, sizeof(target), "%s2/file", root); /* another tree whose path begins in the same way */
        assert_int_equal(symlink(target, "tree/beside"), 0);
        (void) snprintf(target, sizeof(target), "%s/../outside", root);
        assert_int_equal(symlink(target, "tree/out"), 0);
        manifest = scan();
        assert_omitted(manifest, "beside", OMIT_LINK_OUT);
        assert_omitted(manifest, "out", OMIT_LINK_OUT);
}

static void names_that_are_still_being_written_are_left_out(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        put_text("tree/model.gguf", "x");
        put_text("tree/model.gguf.part", "x");
        make_directory("tree/sub");
        put_text("tree/sub/b.part", "x");
        make_directory("tree/scratch");
        put_text("tree/scratch/inside", "x");
        manifest = scan();
        assert_paths(manifest, "model.gguf sub");
        assert_omitted(manifest, "model.gguf.part", OMIT_IN_PROGRESS);
        assert_omitted(manifest, "sub/b.part", OMIT_IN_PROGRESS);
        assert_int_equal(manifest->n_omissions, 2); /* a directory of scratch is not worth a report */
}

static void without_the_callback_no_name_is_unfinished(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        options.is_unfinished = NULL;
        put_text("tree/model.gguf.part", "x");
        put_text("tree/a.gguf", "x");
        put_text("tree/a.gguf.marker", "x");
        manifest = scan();
        assert_paths(manifest, "a.gguf a.gguf.marker model.gguf.part");
}

static void a_file_with_a_marker_beside_it_is_not_finished(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        put_text("tree/a.gguf", "x");
        assert_int_equal(link("tree/a.gguf", "tree/again.gguf"), 0);
        put_text("tree/a.gguf.marker", "x");
        put_text("tree/b.gguf", "x");
        put_text("tree/b.gguf.other", "x"); /* a marker only where it is left out itself */
        make_directory("tree/c.gguf");
        put_text("tree/c.gguf.marker", "x"); /* of files only */
        put_text("tree/d.gguf.marker", "x");
        manifest = scan();
        assert_paths(manifest, "again.gguf b.gguf b.gguf.other c.gguf");
        assert_omitted(manifest, "a.gguf.marker", OMIT_IN_PROGRESS);
        /* its first name is not there to be tied to */
        assert_int_equal(entry(manifest, "again.gguf")->type, ENTRY_FILE);
}

static void a_mirror_is_scanned_as_it_is(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;

        (void) state;
        options.mirror = true;
        put_text("tree/model.gguf.part", "x");
        assert_int_equal(symlink("/etc/passwd", "tree/out"), 0);
        assert_int_equal(mkfifo("tree/fifo", 0644), 0);
        make_directory("tree/" SCAN_PRIVATE_DIR);
        manifest = scan();
        assert_paths(manifest, "model.gguf.part out");
        assert_string_equal(entry(manifest, "out")->target, "/etc/passwd");
        assert_omitted(manifest, "fifo", OMIT_SPECIAL);
}

/* --- what is selected --- */

static void make_models(void) {
        make_directory("tree/a");
        make_directory("tree/a/deep");
        make_directory("tree/b");
        make_directory("tree/c");
        put_text("tree/a/deep/model.gguf", "x");
        put_text("tree/a/deep/readme", "x");
        put_text("tree/a b", "x"); /* between "a" and "a/..." in path order */
        put_text("tree/b/readme", "x");
        put_text("tree/top.gguf", "x");
}

static void only_what_is_included_appears_and_the_way_to_it(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        char *include[] = { (char *) "*.gguf", NULL }, *exclude[] = { NULL };

        (void) state;
        make_models();
        options.include = include;
        options.exclude = exclude;
        manifest = scan();
        assert_paths(manifest, "a a/deep a/deep/model.gguf top.gguf");
}

static void what_is_excluded_does_not_appear(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        char *include[] = { NULL }, *exclude[] = { (char *) "deep", (char *) "/top.gguf", NULL };

        (void) state;
        make_models();
        options.include = include;
        options.exclude = exclude;
        manifest = scan();
        assert_paths(manifest, "a a b b b/readme c"); /* "a b" is a file */
}

static void the_first_chosen_name_is_the_file(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        char *include[] = { NULL }, *exclude[] = { (char *) "a", NULL };

        (void) state;
        make_directory("tree/a");
        put_text("tree/a/x", "x");
        assert_int_equal(link("tree/a/x", "tree/b"), 0);
        assert_int_equal(link("tree/a/x", "tree/c"), 0);
        options.include = include;
        options.exclude = exclude;
        manifest = scan();
        assert_paths(manifest, "b c");
        assert_int_equal(entry(manifest, "b")->type, ENTRY_FILE);
        assert_string_equal(entry(manifest, "c")->target, "b");
}

/* --- what goes wrong --- */

/* In a child without rights: 0, or the line that does not hold. */
static int check_unreadable(void) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        int fd = open("tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
                return __LINE__;
        if (scan_tree(fd, &options, &manifest) != 0)
                return __LINE__;
        if (!manifest_find(manifest, "dark") || manifest_find(manifest, "dark/file") ||
            !manifest_find(manifest, "light/file"))
                return __LINE__;
        if (!manifest_is_blind(manifest, "dark/file") || manifest_is_blind(manifest, "light/file"))
                return __LINE__;
        if (!omission(manifest, "dark") || omission(manifest, "dark")->reason != OMIT_UNREADABLE ||
            omission(manifest, "dark")->error != EACCES)
                return __LINE__;
        /* names can be read there, and nothing else */
        if (!manifest_is_blind(manifest, "listed/file") || manifest_find(manifest, "listed/file"))
                return __LINE__;
        (void) close(fd);
        return 0;
}

static void an_unreadable_directory_is_unknown_and_not_empty(void **state) {
        int status;
        pid_t pid;

        (void) state;
        make_directory("tree/dark");
        put_text("tree/dark/file", "x");
        assert_int_equal(chmod("tree/dark", 0700), 0);
        make_directory("tree/light");
        put_text("tree/light/file", "x");
        make_directory("tree/listed");
        put_text("tree/listed/file", "x");
        assert_int_equal(chmod("tree/listed", 0744), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int line = check_unreadable();

                if (line)
                        fprintf(stderr, "%s:%d: does not hold\n", __FILE__, line);
                _exit(line != 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void a_root_that_cannot_be_read_is_an_error(void **state) {
        Manifest *manifest = NULL;
        int fd;

        (void) state;
        put_text("file", "x");
        fd = open("file", O_RDONLY | O_CLOEXEC);
        assert_int_equal(scan_tree(fd, &options, &manifest), -ENOTDIR);
        (void) close(fd);
        assert_int_equal(scan_tree(-1, &options, &manifest), -EBADF);
        assert_null(manifest);
}

static void a_scan_can_be_cancelled(void **state) {
        atomic_bool cancel = true;
        Manifest *manifest = NULL;

        (void) state;
        put_text("tree/file", "x");
        options.cancel = &cancel;
        assert_int_equal(try_scan(&manifest), -ECANCELED);
        assert_null(manifest);
        atomic_store(&cancel, false);
        assert_int_equal(try_scan(&manifest), 0);
        manifest_free(manifest);
}

static void what_is_seen_is_counted(void **state) {
        atomic_uint_fast64_t progress = 0;

        (void) state;
        make_models();
        options.progress = &progress;
        manifest_free(scan());
        assert_int_equal(atomic_load(&progress), 9);
}

static void where_a_link_leads_is_computed_from_the_text(void **state) {
        static const struct {
                const char *path, *target, *expected; /* NULL: out */
        } rows[] = {
                { "a", "b", "b" },
                { "x/y/a", "../b", "x/b" },
                { "x/y/a", "../../b", "b" },
                { "x/y/a", "../../../b", NULL },
                { "x/a", "./.././b/.", "b" },
                { "x/a", "..", "" },
                { "a", "..", NULL },
                { "a", "", "" },
                { "a", "/r/s/b", "b" },
                { "a", "/r/s", "" },
                { "a", "/r/s/", "" },
                { "a", "/r/sb", NULL },
                { "a", "/r", NULL },
                { "a", "/", NULL },
                { "a", "/r/s/../s/b", NULL }, /* not even for a moment */
                { "x/a", "b//c", "x/b/c" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *found = NULL;
                int r = path_resolve_link("/r/s", rows[i].path, rows[i].target, &found);

                if (r != (rows[i].expected ? 0 : -EXDEV) || !string_equal(found, rows[i].expected))
                        fail_msg("%s -> %s leads to %s", rows[i].path, rows[i].target, found ? found : "nothing");
        }
}

#define IN_TREE(name) cmocka_unit_test_setup_teardown(name, setup, ground_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_TREE(files_directories_and_links_are_found_as_they_are),
                IN_TREE(an_empty_tree_is_empty),
                IN_TREE(set_id_bits_of_files_are_not_seen),
                IN_TREE(the_private_directory_is_not_scanned),
                IN_TREE(odd_names_are_names),
                IN_TREE(deep_trees_are_walked_to_the_end),
                IN_TREE(what_has_several_names_is_tied_together),
                IN_TREE(names_that_contradict_their_number_are_not_tied),
                IN_TREE(where_inode_numbers_are_not_stable_there_is_none),
                IN_TREE(each_filesystem_of_a_tree_answers_for_itself),
                IN_TREE(a_file_that_has_just_changed_proves_nothing),
                IN_TREE(holes_take_no_room),
                IN_TREE(devices_fifos_and_sockets_are_left_out),
                IN_TREE(links_that_lead_out_are_left_out),
                IN_TREE(links_that_stay_inside_are_kept),
                IN_TREE(an_absolute_link_into_the_tree_will_lead_into_the_mirror),
                IN_TREE(names_that_are_still_being_written_are_left_out),
                IN_TREE(without_the_callback_no_name_is_unfinished),
                IN_TREE(a_file_with_a_marker_beside_it_is_not_finished),
                IN_TREE(a_mirror_is_scanned_as_it_is),
                IN_TREE(only_what_is_included_appears_and_the_way_to_it),
                IN_TREE(what_is_excluded_does_not_appear),
                IN_TREE(the_first_chosen_name_is_the_file),
                IN_TREE(an_unreadable_directory_is_unknown_and_not_empty),
                IN_TREE(a_root_that_cannot_be_read_is_an_error),
                IN_TREE(a_scan_can_be_cancelled),
                IN_TREE(what_is_seen_is_counted),
                cmocka_unit_test(where_a_link_leads_is_computed_from_the_text),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
