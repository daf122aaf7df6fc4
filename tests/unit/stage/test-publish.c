/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What becomes visible in the mirror: with everything that belongs to it, without anything that gives rights, and never over something
 * that was not expected. */

#include "ground.h"
#include "corner.h"
#include "os/fs.h"
#include "stage/publish.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

static MirrorPrivateDir private_dir;
static Manifest *seen; /* of the source, as scanned */
static int sourcefd;

static int group_setup(void **state) {
        (void) ground_setup(state);
        make_ext4("disk", 16);
        make_tmpfs("mirror", "size=32m");
        return 0;
}

static int setup(void **state) {
        _cleanup_(freep) char *detail = NULL;
        const char *what;

        (void) state;
        private_dir.mirrorfd = open_directory("mirror");
        sourcefd = open_directory("disk");
        assert_int_equal(mirror_private_dir_open(&private_dir, private_dir.mirrorfd, "/m", "/s", &detail, &what), 0);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        mirror_private_dir_close(&private_dir, true);
        private_dir.mirrorfd = close_fd(private_dir.mirrorfd);
        sourcefd = close_fd(sourcefd);
        seen = manifest_free(seen);
        shell("rm -rf disk/* mirror/* mirror/" SCAN_PRIVATE_DIR);
        return 0;
}

static Manifest *scan_of(int fd) {
        ScanOptions options = { .root = "/nowhere", .mirror = fd == private_dir.mirrorfd };
        Manifest *manifest = NULL;

        assert_int_equal(scan_tree(fd, &options, &manifest), 0);
        return manifest;
}

static const Entry *source_entry(const char *path) {
        static const Entry none;
        const Entry *found;

        manifest_free(seen);
        seen = scan_of(sourcefd);
        found = manifest_find(seen, path);
        if (!found)
                fail_msg("there is no '%s' in the source", path);
        return found ? found : &none;
}

/* As copy.c would leave it: an unnamed file with the content, owned by root and readable by it only. */
static int make_temporary(const char *text) {
        int fd = openat(private_dir.fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        return fd;
}

static int publish_text(const char *path, const char *text, const Entry *expected, Entry *ret, bool *ret_lost) {
        const Entry *source = source_entry(path);
        int fd = make_temporary(text), from = openat(sourcefd, path, O_RDONLY | O_CLOEXEC), r;
        const char *what = NULL;

        assert_true(from >= 0);
        r = publish_file(&private_dir, fd, from, source, expected, ret, ret_lost, &what);
        (void) close(fd);
        (void) close(from);
        assert_true(r >= 0 || what);
        return r;
}

/* What is published is like the source for the next scan, and the entry is what that scan finds. */
static void assert_agrees(const char *path, const Entry *published) {
        _cleanup_(manifest_freep) Manifest *mirror = scan_of(private_dir.mirrorfd);
        const Entry *m = manifest_find(mirror, path), *s = source_entry(path);

        if (!m) {
                fail_msg("there is no '%s' in the mirror", path);
                return;
        }
        assert_true(m->type == s->type && m->size == s->size && m->mtime_nsec == s->mtime_nsec);
        assert_true(m->uid == s->uid && m->gid == s->gid && m->mode == s->mode);
        assert_true(m->ino == published->ino && m->ctime_nsec == published->ctime_nsec);
}

static void a_file_keeps_owner_mode_and_time(void **state) {
        bool lost = false;
        struct stat st;
        Entry entry;

        (void) state;
        put_text("disk/file", "content");
        assert_int_equal(chown("disk/file", 1234, 5678), 0);
        assert_int_equal(chmod("disk/file", 0640), 0);
        set_mtime("disk/file", 1234567890, 123456789);
        assert_int_equal(publish_text("file", "content", NULL, &entry, &lost), 0);
        assert_content("mirror/file", "content", 7);
        assert_agrees("file", &entry);
        st = stat_at("mirror/file");
        assert_true(fs_nsec(&st.st_mtim) == 1234567890123456789);
        assert_false(lost);
        assert_int_equal(names_in_corner(), 0);
}

static void rights_are_not_carried(void **state) {
        /* cap_net_raw, permitted and effective, as the kernel writes it (struct vfs_cap_data, version 2) */
        static const uint8_t capability[20] = { 0x01, 0x00, 0x00, 0x02, 0x00, 0x20 };
        bool lost = false;
        char value[64];
        Entry entry;

        (void) state;
        put_text("disk/file", "x");
        assert_int_equal(chmod("disk/file", 06755), 0);
        assert_int_equal(setxattr("disk/file", "security.capability", capability, sizeof(capability), 0), 0);
        assert_int_equal(chmod("disk/file", 06755), 0);
        assert_int_equal(setxattr("disk/file", "trusted.note", "x", 1, 0), 0);
        assert_true(getxattr("disk/file", "security.capability", value, sizeof(value)) > 0);
        assert_int_equal(publish_text("file", "x", NULL, &entry, &lost), 0);
        assert_int_equal(stat_at("mirror/file").st_mode & 07777, 0755);
        assert_int_equal(getxattr("mirror/file", "security.capability", value, sizeof(value)), -1);
        assert_int_equal(getxattr("mirror/file", "trusted.note", value, sizeof(value)), -1);
        make_directory("disk/dir");
        assert_int_equal(chmod("disk/dir", 07777), 0);
        assert_int_equal(publish_directory(&private_dir, source_entry("dir"), NULL, &entry, &(const char *){ NULL }), 0);
        assert_int_equal(stat_at("mirror/dir").st_mode & 07777, 03777);
}

static void users_attributes_are_kept(void **state) {
        bool lost = false;
        char value[300], big[300];
        Entry entry;

        (void) state;
        memset(big, 'v', sizeof(big));
        put_text("disk/file", "x");
        assert_int_equal(setxattr("disk/file", "user.xdg.origin.url", "https://example.org/m", 21, 0), 0);
        assert_int_equal(setxattr("disk/file", "user.empty", "", 0, 0), 0);
        assert_int_equal(setxattr("disk/file", "user.big", big, sizeof(big), 0), 0);
        assert_int_equal(publish_text("file", "x", NULL, &entry, &lost), 0);
        assert_false(lost);
        assert_int_equal(getxattr("mirror/file", "user.xdg.origin.url", value, sizeof(value)), 21);
        assert_memory_equal(value, "https://example.org/m", 21);
        assert_int_equal(getxattr("mirror/file", "user.empty", value, sizeof(value)), 0);
        assert_int_equal(getxattr("mirror/file", "user.big", value, sizeof(value)), 300);
        assert_memory_equal(value, big, 300);
}

static void a_new_version_replaces_the_old_one(void **state) {
        bool lost = false;
        Entry first, second;

        (void) state;
        put_text("disk/file", "first");
        assert_int_equal(publish_text("file", "first", NULL, &first, &lost), 0);
        put_text("disk/file", "second!");
        assert_int_equal(publish_text("file", "second!", &first, &second, &lost), 0);
        assert_content("mirror/file", "second!", 7);
        assert_agrees("file", &second);
        assert_true(first.ino != second.ino);
        assert_int_equal(names_in_corner(), 0);
}

static void an_occupied_path_is_untouched(void **state) {
        const char *what;
        bool lost = false;
        Entry entry = { .ino = 77 };

        (void) state;
        put_text("disk/file", "ours");
        put_text("mirror/file", "a client's");
        assert_int_equal(publish_text("file", "ours", NULL, &entry, &lost), TREE_OCCUPIED);
        assert_content("mirror/file", "a client's", 10);
        assert_int_equal(publish_symlink(&private_dir, source_entry("file"), "target", NULL, &entry, &what), TREE_OCCUPIED);
        assert_int_equal(unlink("disk/file"), 0);
        make_directory("disk/file");
        assert_int_equal(publish_directory(&private_dir, source_entry("file"), NULL, &entry, &what), TREE_OCCUPIED);
        assert_content("mirror/file", "a client's", 10);
        assert_int_equal(names_in_corner(), 0); /* nothing is left behind */
        assert_int_equal(entry.ino, 77);
}

static void symbolic_links_keep_owner_and_time(void **state) {
        const char *what;
        Entry entry;
        char target[64] = "";

        (void) state;
        assert_int_equal(symlink("some where", "disk/link"), 0);
        assert_int_equal(lchown("disk/link", 12, 34), 0);
        set_mtime("disk/link", 1000000000, 5);
        assert_int_equal(publish_symlink(&private_dir, source_entry("link"), "some where", NULL, &entry, &what), 0);
        assert_int_equal(readlink("mirror/link", target, sizeof(target)), 10);
        assert_string_equal(target, "some where");
        assert_agrees("link", &entry);
}

static void directories_can_be_filled_before_they_are_finished(void **state) {
        const char *what;
        Entry entry, file;
        bool lost = false;

        (void) state;
        make_directory("disk/dir");
        put_text("disk/dir/file", "x");
        assert_int_equal(chmod("disk/dir", 0555), 0);
        assert_int_equal(chown("disk/dir", 12, 34), 0);
        set_mtime("disk/dir", 1000000000, 5);
        assert_int_equal(publish_directory(&private_dir, source_entry("dir"), NULL, &entry, &what), 0);
        assert_int_equal(stat_at("mirror/dir").st_mode & 0700, 0700);
        assert_int_equal(publish_text("dir/file", "x", NULL, &file, &lost), 0);
        assert_int_equal(publish_attributes(&private_dir, source_entry("dir"), NULL, &entry, &what), 0);
        assert_agrees("dir", &entry);
        assert_int_equal(stat_at("mirror/dir").st_mode & 07777, 0555);
        assert_int_equal(publish_directory(&private_dir, source_entry("dir"), &entry, &entry, &what), 0); /* it is there already */
}

static void attributes_alone_can_change(void **state) {
        const char *what;
        bool lost = false;
        Entry before, entry;
        ino_t ino;

        (void) state;
        put_text("disk/file", "x");
        assert_int_equal(publish_text("file", "x", NULL, &before, &lost), 0);
        ino = stat_at("mirror/file").st_ino;
        assert_int_equal(chmod("disk/file", 0604), 0);
        assert_int_equal(chown("disk/file", 7, 8), 0);
        assert_int_equal(publish_attributes(&private_dir, source_entry("file"), &before, &entry, &what), 0);
        assert_agrees("file", &entry);
        assert_int_equal(stat_at("mirror/file").st_ino, ino);
        assert_content("mirror/file", "x", 1);
}

static void attributes_are_not_set_through_a_link(void **state) {
        const Entry *source;
        const char *what;
        Entry entry;

        (void) state;
        put_text("disk/file", "x");
        assert_int_equal(chmod("disk/file", 0666), 0);
        put_text("outside", "x");
        assert_int_equal(chmod("outside", 0600), 0);
        assert_int_equal(symlink("../outside", "mirror/file"), 0);
        source = source_entry("file");
        assert_int_equal(publish_attributes(&private_dir, source, source, &entry, &what), TREE_OCCUPIED);
        assert_int_equal(stat_at("outside").st_mode & 0777, 0600);
}

static void attributes_are_not_set_on_something_else(void **state) {
        const char *what;
        bool lost = false;
        Entry before, entry;

        (void) state;
        put_text("disk/file", "x");
        assert_int_equal(publish_text("file", "x", NULL, &before, &lost), 0);
        put_text("mirror/other", "y");
        assert_int_equal(chmod("mirror/other", 0600), 0);
        assert_int_equal(rename("mirror/other", "mirror/file"), 0);
        assert_int_equal(publish_attributes(&private_dir, source_entry("file"), &before, &entry, &what), TREE_OCCUPIED);
        assert_int_equal(publish_attributes(&private_dir, source_entry("file"), NULL, &entry, &what), TREE_OCCUPIED); /* no directory */
        assert_int_equal(stat_at("mirror/file").st_mode & 0777, 0600);
}

/* --- further names --- */

static void publish_pair(const char *text, Entry *ret_first, Entry *ret_more) {
        const char *what;
        bool lost = false;

        put_text("disk/first", text);
        assert_int_equal(link("disk/first", "disk/more"), 0);
        assert_int_equal(publish_text("first", text, NULL, ret_first, &lost), 0);
        assert_int_equal(publish_hardlink(&private_dir, source_entry("more"), NULL, ret_more, &what), 0);
}

static void further_names_share_the_inode(void **state) {
        Entry first, more;

        (void) state;
        publish_pair("x", &first, &more);
        assert_int_equal(stat_at("mirror/first").st_ino, stat_at("mirror/more").st_ino);
        assert_int_equal(stat_at("mirror/first").st_nlink, 2);
        assert_agrees("more", &more);
        assert_int_equal(more.ino, first.ino);
}

static void a_further_name_is_tied_to_what_the_source_has_and_to_nothing_else(void **state) {
        Entry first, more;
        const char *what = NULL;
        ino_t old;

        (void) state;
        publish_pair("old", &first, &more);
        old = stat_at("mirror/more").st_ino;
        put_text("disk/first", "new"); /* which could not be staged, so the old version is at the first name */
        set_mtime("disk/first", 1234567890, 0);
        assert_int_equal(publish_hardlink(&private_dir, source_entry("more"), &more, &more, &what), -ESTALE);
        assert_non_null(what);
        assert_int_equal(stat_at("mirror/more").st_ino, old);
        assert_int_equal(unlink("mirror/first"), 0);
        assert_int_equal(publish_hardlink(&private_dir, source_entry("more"), &more, &more, &what), -ENOENT);
        put_text("mirror/first", "a client's");
        assert_int_equal(publish_hardlink(&private_dir, source_entry("more"), &more, &more, &what), -ESTALE);
        assert_int_equal(names_in_corner(), 0);
}

/* --- without root --- */

static int check_as_user(void) {
        bool lost = false;
        Entry entry;
        const Entry *source;
        const char *what;
        int fd, from;

        if (setgid(65534) < 0 || setuid(65534) < 0)
                return __LINE__;
        source = manifest_find(seen, "file");
        fd = openat(private_dir.fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        from = openat(sourcefd, "file", O_RDONLY | O_CLOEXEC);
        if (!source || fd < 0 || from < 0)
                return __LINE__;
        if (publish_file(&private_dir, fd, from, source, NULL, &entry, &lost, &what) != 0)
                return __LINE__;
        return 0;
}

static void without_root_the_files_are_ours(void **state) {
        int status;
        pid_t pid;

        (void) state;
        put_text("disk/file", "x");
        assert_int_equal(chown("disk/file", 1234, 1234), 0);
        assert_int_equal(chmod("disk/file", 0644), 0);
        (void) source_entry("file");
        assert_int_equal(chown("mirror/" SCAN_PRIVATE_DIR, 65534, 65534), 0);
        assert_int_equal(chmod("mirror", 0777), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(check_as_user());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(stat_at("mirror/file").st_uid, 65534);
        assert_int_equal(stat_at("mirror/file").st_mode & 0777, 0644);
        assert_int_equal(chmod("mirror", 0755), 0);
}

static void set_may_search(bool may) {
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

        assert_int_equal(syscall(SYS_capget, &head, sets), 0);
        if (may)
                sets[0].effective |= 1U << CAP_DAC_READ_SEARCH;
        else
                sets[0].effective &= ~(1U << CAP_DAC_READ_SEARCH);
        assert_int_equal(syscall(SYS_capset, &head, sets), 0);
}

/* A descriptor that was opened before the capability went is one that the kernel does not link by itself, as every one is before Linux 6.10. */
static void without_the_capability_the_copy_is_linked_by_its_name_in_proc(void **state) {
        const char *what = NULL;
        const Entry *source;
        bool lost = false;
        int from, r;
        Entry entry;

        (void) state;
        put_text("disk/file", "content");
        source = source_entry("file");
        from = openat(sourcefd, "file", O_RDONLY | O_CLOEXEC);
        assert_true(from >= 0);
        for (unsigned i = 0; i < 2; i++) { /* the second time it is known */
                int fd = make_temporary("content");

                set_may_search(false);
                assert_int_equal(linkat(fd, "", private_dir.fd, "refused", AT_EMPTY_PATH), -1);
                assert_int_equal(errno, ENOENT);
                r = publish_file(&private_dir, fd, from, source, NULL, &entry, &lost, &what);
                set_may_search(true);
                assert_int_equal(r, 0);
                assert_agrees("file", &entry);
                source = source_entry("file"); /* assert_agrees() has scanned again */
                assert_int_equal(unlink("mirror/file"), 0);
                (void) close(fd);
        }
        (void) close(from);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(a_file_keeps_owner_mode_and_time),
                CASE(rights_are_not_carried),
                CASE(users_attributes_are_kept),
                CASE(a_new_version_replaces_the_old_one),
                CASE(an_occupied_path_is_untouched),
                CASE(symbolic_links_keep_owner_and_time),
                CASE(directories_can_be_filled_before_they_are_finished),
                CASE(attributes_alone_can_change),
                CASE(attributes_are_not_set_through_a_link),
                CASE(attributes_are_not_set_on_something_else),
                CASE(further_names_share_the_inode),
                CASE(a_further_name_is_tied_to_what_the_source_has_and_to_nothing_else),
                CASE(without_root_the_files_are_ours),
                CASE(without_the_capability_the_copy_is_linked_by_its_name_in_proc), /* last: it is remembered from then on */
        };

        ground_enter();
        return cmocka_run_group_tests(tests, group_setup, ground_teardown);
}
