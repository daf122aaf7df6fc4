/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The watch, on real directories, with the real library and a real kernel queue. Whatever is done fast is done by
 * another process; limits are lowered and filesystems mounted in namespaces of a child. Needs root. */

#include "base/base.h"
#include "tree/inotify.h"
#include "tree/watch-tree.h"
#include "tree/watch.h"

#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { ROOT = 7, PATIENCE_MSEC = 20000 };

/* -- the stage --------------------------------------------------------------------------------------------- */

static bool in_child;
static char base[64]; /* of one test: removed after it */
static char root[80]; /* below it, the directory that is watched */

/* Like assert_true(), in a child too. */
#define must(condition)                                                                          \
        do {                                                                                     \
                if (!(condition)) {                                                              \
                        (void) fprintf(stderr, "%s:%d: not true: %s (errno %d)\n", __FILE__,     \
                                       __LINE__, #condition, errno);                             \
                        if (in_child)                                                            \
                                _exit(1);                                                        \
                        fail();                                                                  \
                }                                                                                \
        } while (0)

static uint64_t now_msec(void) {
        struct timespec now;

        must(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
        return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

static void sleep_usec(unsigned usec) {
        (void) usleep(usec);
}

static void sleep_msec(unsigned msec) {
        sleep_usec(msec * 1000);
}

/* A path below the root, in one of a few rotating buffers. */
static _printf_(1, 2) const char *at(const char *format, ...) {
        static char buffers[8][8192];
        static unsigned turn;
        char *buffer = buffers[turn++ % ELEMENTSOF(buffers)], *end = stpcpy(buffer, root);
        va_list ap;

        *end++ = '/';
        va_start(ap, format);
        (void) vsnprintf(end, 8192 - sizeof(root) - 1, format, ap);
        va_end(ap);
        return buffer;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) ftw;
        (void) (type == FTW_DP || type == FTW_DNR ? rmdir(path) : unlink(path));
        return 0;
}

static void remove_tree(const char *path) {
        (void) nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int make_stage(void **state) {
        (void) state;
        (void) strcpy(base, "/tmp/test-watch-XXXXXX");
        if (!mkdtemp(base))
                return -1;
        (void) snprintf(root, sizeof(root), "%s/root", base);
        return chmod(base, 0755) < 0 || mkdir(root, 0755) < 0 ? -1 : 0;
}

static Watch *live; /* the only one of this process; kept here because a failed check jumps out of the test */

static void stop_watch(void) {
        live = watch_free(live);
}

static int clear_stage(void **state) {
        char command[128];

        (void) state;
        stop_watch();
        (void) snprintf(command, sizeof(command), "rm -rf %s", base); /* it copes with names of any length */
        return system(command) == 0 ? 0 : -1;
}

static void make_directory(const char *path) {
        must(mkdir(path, 0755) == 0);
}

static void make_file(const char *path) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        must(fd >= 0);
        must(write(fd, "x", 1) == 1);
        must(close(fd) == 0);
}

static void write_text(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        must(fd >= 0);
        must(write(fd, text, strlen(text)) == (ssize_t) strlen(text));
        must(close(fd) == 0);
}

static pid_t start_child(void (*run)(void)) {
        pid_t parent = getpid(), pid = fork();

        must(pid >= 0);
        if (pid > 0)
                return pid;
        in_child = true;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        run();
        _exit(0);
}

static void end_child(pid_t pid) {
        must(kill(pid, SIGKILL) == 0);
        must(waitpid(pid, NULL, 0) == pid);
}

/* Runs the checks of a child; they end the child with 1 when one fails. */
static void in_a_child(void (*run)(void)) {
        pid_t pid = start_child(run);
        int status;

        must(waitpid(pid, &status, 0) == pid);
        must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* -- what is seen ------------------------------------------------------------------------------------------ */

typedef struct Seen {
        unsigned flags;
        unsigned armed; /* how often */
        size_t n_reports;
        char **paths;
        size_t n_paths;
        char **written; /* some of these strings */
        size_t n_written;
} Seen;

static void seen_clear(Seen *seen) {
        for (size_t i = 0; i < seen->n_paths; i++)
                free(seen->paths[i]);
        free(seen->paths);
        free(seen->written);
        *seen = (Seen){ 0 };
}

static bool is_in(char *const *list, size_t n, const char *path) {
        for (size_t i = 0; i < n; i++)
                if (string_equal(list[i], path))
                        return true;
        return false;
}

static bool seen_path(const Seen *seen, const char *path) {
        return is_in(seen->paths, seen->n_paths, path);
}

/* What was written is listed like the paths, and is some of them. */
static void check_written(const WatchReport *report) {
        must(!report->written == !report->paths && (!report->written || !report->written[report->n_written]));
        for (size_t i = 0; i < report->n_written; i++) {
                must(i == 0 || strcmp(report->written[i - 1], report->written[i]) < 0);
                must(is_in(report->paths, report->n_paths, report->written[i]));
        }
}

static void seen_add(Seen *seen, WatchReport *report) {
        seen->flags |= report->flags;
        seen->armed += (report->flags & WATCH_ARMED) != 0;
        seen->n_reports++;
        must((report->flags & WATCH_RESYNC) ? !report->paths : report->paths && !report->paths[report->n_paths]);
        must((report->n_paths > 0) == ((report->flags & WATCH_DIRTY) != 0));
        for (size_t i = 1; i < report->n_paths; i++)
                must(strcmp(report->paths[i - 1], report->paths[i]) < 0);
        check_written(report);
        if (report->n_paths == 0)
                return;
        seen->written = reallocarray(seen->written, seen->n_written + report->n_written + 1, sizeof(char *));
        must(seen->written);
        memcpy(seen->written + seen->n_written, report->written, report->n_written * sizeof(char *));
        seen->n_written += report->n_written;
        seen->paths = reallocarray(seen->paths, seen->n_paths + report->n_paths, sizeof(char *));
        must(seen->paths);
        memcpy(seen->paths + seen->n_paths, report->paths, report->n_paths * sizeof(char *));
        seen->n_paths += report->n_paths;
        report->n_paths = 0;
}

/* Takes what there is within the time, of one root. */
static void see(Watch *watch, unsigned number, Seen *seen, int msec) {
        struct pollfd fd = { .fd = watch_get_fd(watch), .events = POLLIN };
        WatchReport *report;

        if (poll(&fd, 1, msec) <= 0)
                return;
        while (watch_next(watch, &report) > 0) {
                if (report->root == number)
                        seen_add(seen, report);
                watch_report_free(report);
        }
}

static void see_flags(Watch *watch, Seen *seen, unsigned flags) {
        uint64_t end = now_msec() + PATIENCE_MSEC;

        while ((seen->flags & flags) != flags) {
                must(now_msec() < end);
                see(watch, ROOT, seen, 100);
        }
}

static void see_path(Watch *watch, Seen *seen, const char *path) {
        uint64_t end = now_msec() + PATIENCE_MSEC;

        while (!seen_path(seen, path)) {
                if (now_msec() >= end)
                        (void) fprintf(stderr, "not seen: %.200s\n", path);
                must(now_msec() < end);
                see(watch, ROOT, seen, 100);
        }
}

/* Events keep their order, so when this one is seen, all before it are. A resync swallows it: then another is made. */
static void see_all(Watch *watch, Seen *seen) {
        uint64_t end = now_msec() + PATIENCE_MSEC;
        static unsigned n;
        char name[32];

        do {
                must(now_msec() < end);
                (void) snprintf(name, sizeof(name), "barrier-%u", n++);
                make_file(at("%s", name));
                for (unsigned i = 0; i < 10 && !seen_path(seen, name); i++)
                        see(watch, ROOT, seen, 100);
                must(unlink(at("%s", name)) == 0);
        } while (!seen_path(seen, name));
}

static Watch *new_watch(void) {
        const char *what = NULL;
        int r;

        stop_watch();
        r = watch_new(&live, &what);
        if (r < 0)
                (void) fprintf(stderr, "watch_new: %s: %s\n", what, strerror(-r));
        must(r == 0);
        return live;
}

static Watch *armed_watch(void) {
        Watch *watch = new_watch();
        Seen seen = { 0 };

        must(watch_add(watch, ROOT, root, ".shmstaged", true) == 0);
        see_flags(watch, &seen, WATCH_ARMED);
        must(seen.n_paths == 0 && seen.flags == WATCH_ARMED);
        seen_clear(&seen);
        return watch;
}

static uint64_t n_directories(Watch *watch) {
        WatchCounts counts;

        watch_get_counts(watch, &counts);
        return counts.directories;
}

static uint64_t n_resyncs(Watch *watch) {
        WatchCounts counts;

        watch_get_counts(watch, &counts);
        return counts.resyncs;
}

static void await_directories(Watch *watch, uint64_t n) {
        uint64_t end = now_msec() + PATIENCE_MSEC;

        while (n_directories(watch) != n) {
                must(now_msec() < end);
                sleep_msec(1);
        }
}

/* -- what the kernel watches, against what is on disk ------------------------------------------------------ */

enum { INODES_MAX = 65536 };
typedef struct Inodes {
        uint64_t all[INODES_MAX];
        size_t n;
} Inodes;
static Inodes watched, on_disk;

static int compare_inodes(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

static void inodes_add(Inodes *inodes, uint64_t inode) {
        must(inodes->n < INODES_MAX);
        inodes->all[inodes->n++] = inode;
}

static void find_watched(void) {
        _cleanup_(closedirp) DIR *dir = opendir("/proc/self/fdinfo");
        char path[300], line[512];
        struct dirent *entry;
        unsigned long inode;
        unsigned wd;

        must(dir);
        watched.n = 0;
        while ((entry = readdir(dir))) {
                _cleanup_(fclosep) FILE *file = NULL;

                (void) snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", entry->d_name);
                file = fopen(path, "re");
                while (file && fgets(line, sizeof(line), file))
                        if (sscanf(line, "inotify wd:%x ino:%lx", &wd, &inode) == 2)
                                inodes_add(&watched, inode);
        }
        qsort(watched.all, watched.n, sizeof(uint64_t), compare_inodes);
}

static int note_directory(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) path;
        (void) ftw;
        if (type == FTW_D || type == FTW_DNR)
                inodes_add(&on_disk, st->st_ino);
        return 0;
}

static void find_on_disk(void) {
        on_disk.n = 0;
        must(nftw(root, note_directory, 16, FTW_PHYS) == 0);
        qsort(on_disk.all, on_disk.n, sizeof(uint64_t), compare_inodes);
}

static bool is_in_step(void) {
        find_watched();
        find_on_disk();
        return watched.n == on_disk.n && memcmp(watched.all, on_disk.all, watched.n * sizeof(uint64_t)) == 0;
}

/* Every directory on disk is watched and nothing else is. */
static void await_step(void) {
        uint64_t end = now_msec() + PATIENCE_MSEC;

        while (!is_in_step()) {
                if (now_msec() >= end)
                        (void) fprintf(stderr, "%zu watched, %zu on disk\n", watched.n, on_disk.n);
                must(now_msec() < end);
                sleep_msec(20);
        }
}

static int touch_in(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        char file[8192];

        (void) st;
        (void) ftw;
        if (type != FTW_D)
                return 0;
        (void) snprintf(file, sizeof(file), "%s/touched", path);
        make_file(file);
        return 0;
}

static Watch *see_watch;
static Seen *see_seen;

static int see_touched(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) ftw;
        if (type == FTW_F && string_equal(strrchr(path, '/'), "/touched"))
                see_path(see_watch, see_seen, path + strlen(root) + 1);
        return 0;
}

/* A file made in each directory on disk is reported under its right path. */
static void prove_paths(Watch *watch) {
        Seen seen = { 0 };

        see_all(watch, &seen);
        seen_clear(&seen);
        must(nftw(root, touch_in, 16, FTW_PHYS) == 0);
        see_watch = watch;
        see_seen = &seen;
        must(nftw(root, see_touched, 16, FTW_PHYS) == 0);
        must(!(seen.flags & (WATCH_RESYNC | WATCH_LOST | WATCH_EXHAUSTED)));
        seen_clear(&seen);
}

/* -- plain claims ------------------------------------------------------------------------------------------ */

/* What was reported since the last time is exactly this, and no more than paths. What a new directory holds is reported
 * a moment after the events. */
static void see_exactly(Watch *watch, ...) {
        Seen seen = { 0 };
        const char *path;
        va_list ap;

        see_all(watch, &seen);
        va_start(ap, watch);
        while ((path = va_arg(ap, const char *)))
                see_path(watch, &seen, path);
        va_end(ap);
        see(watch, ROOT, &seen, 0);
        must(seen.flags == WATCH_DIRTY);
        for (size_t i = 0; i < seen.n_paths; i++) {
                bool known = strncmp(seen.paths[i], "barrier-", strlen("barrier-")) == 0;

                va_start(ap, watch);
                while ((path = va_arg(ap, const char *)))
                        known |= string_equal(path, seen.paths[i]);
                va_end(ap);
                if (!known)
                        (void) fprintf(stderr, "not expected: %.200s\n", seen.paths[i]);
                must(known);
        }
        seen_clear(&seen);
}

static void every_kind_of_change_is_reported_by_its_path(void **state) {
        Watch *watch = NULL;
        int fd;

        (void) state;
        make_directory(at("d"));
        make_file(at("d/old"));
        watch = armed_watch();
        make_file(at("new"));
        see_exactly(watch, "new", NULL);
        fd = open(at("d/old"), O_WRONLY | O_APPEND | O_CLOEXEC);
        must(fd >= 0 && write(fd, "y", 1) == 1);
        see_exactly(watch, NULL);
        must(close(fd) == 0);
        see_exactly(watch, "d/old", NULL);
        must(chmod(at("d/old"), 0600) == 0);
        see_exactly(watch, "d/old", NULL);
        must(utimensat(AT_FDCWD, at("d/old"), NULL, 0) == 0);
        see_exactly(watch, "d/old", NULL);
        must(rename(at("d/old"), at("moved")) == 0);
        see_exactly(watch, "d/old", "moved", NULL);
        must(link(at("moved"), at("d/hard")) == 0);
        see_exactly(watch, "d/hard", NULL);
        must(symlink("nowhere", at("d/soft")) == 0);
        see_exactly(watch, "d/soft", NULL);
        must(symlink("/", at("d/out")) == 0);
        see_exactly(watch, "d/out", NULL);
        must(unlink(at("d/soft")) == 0);
        see_exactly(watch, "d/soft", NULL);
        must(mkfifo(at("d/fifo"), 0600) == 0);
        see_exactly(watch, "d/fifo", NULL);
        make_directory(at("d/e"));
        see_exactly(watch, "d/e", NULL);
        must(rmdir(at("d/e")) == 0);
        see_exactly(watch, "d/e", NULL);
        make_file(at("a\nb\xff"));
        see_exactly(watch, "a\nb\xff", NULL);
}

/* -- what was written --------------------------------------------------------------------------------------- */

/* Since the last time exactly these were written: up to two, NULL for none. */
static void see_written(Watch *watch, const char *one, const char *two) {
        Seen seen = { 0 };

        see_all(watch, &seen);
        for (size_t i = 0; i < seen.n_written; i++) {
                const char *path = seen.written[i];
                bool known = string_equal(path, one) || string_equal(path, two) ||
                             strncmp(path, "barrier-", strlen("barrier-")) == 0;

                if (!known)
                        (void) fprintf(stderr, "not written: %.200s\n", path);
                must(known);
        }
        must(!one || is_in(seen.written, seen.n_written, one));
        must(!two || is_in(seen.written, seen.n_written, two));
        seen_clear(&seen);
}

/* A mapping that outlives its descriptor, and through which the first byte was read. */
static char *map_file(const char *path) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        char *map = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        must(map != MAP_FAILED && close(fd) == 0 && *(volatile char *) map == 'x');
        return map;
}

static void store_and_unmap(char *map) {
        *map = 'x';
        must(munmap(map, 1) == 0);
}

static void only_a_close_after_writing_is_a_write(void **state) {
        Watch *watch = NULL;
        char *map;
        int fd;

        (void) state;
        make_file(at("f"));
        watch = armed_watch();
        write_text(at("f"), "x");
        see_written(watch, "f", NULL);
        fd = open(at("f"), O_WRONLY | O_CLOEXEC); /* whether it wrote is not known */
        must(fd >= 0 && close(fd) == 0);
        see_written(watch, "f", NULL);
        must(chmod(at("f"), 0600) == 0 && utimensat(AT_FDCWD, at("f"), NULL, 0) == 0);
        must(link(at("f"), at("g")) == 0 && symlink("f", at("s")) == 0 && unlink(at("g")) == 0);
        must(rename(at("f"), at("h")) == 0);
        fd = open(at("h"), O_RDONLY | O_CLOEXEC);
        must(fd >= 0 && close(fd) == 0);
        see_written(watch, NULL, NULL);
        map = map_file(at("h"));
        see_written(watch, NULL, NULL);
        store_and_unmap(map);
        see_written(watch, "h", NULL);
}

static void a_close_bears_the_name_that_was_opened(void **state) {
        Watch *watch = NULL;
        struct stat st;
        char path[64], *map;
        int fd;

        (void) state;
        make_directory(at("d"));
        make_file(at("d/a"));
        must(link(at("d/a"), at("b")) == 0);
        watch = armed_watch();
        store_and_unmap(map_file(at("b")));
        see_written(watch, "b", NULL);
        map = map_file(at("d/a"));
        must(rename(at("d/a"), at("d/c")) == 0);
        store_and_unmap(map);
        see_written(watch, "d/c", NULL);
        map = map_file(at("d/c"));
        must(unlink(at("d/c")) == 0); /* "b" is still there */
        store_and_unmap(map);
        see_written(watch, "d/c", NULL);
        must(link(at("b"), at("d/e")) == 0);
        make_file(at("d/new"));
        see_written(watch, "d/new", NULL);
        map = map_file(at("d/e"));
        must(rename(at("d/new"), at("d/e")) == 0); /* "b" is the one that is mapped */
        store_and_unmap(map);
        see_written(watch, "d/e", NULL);
        fd = open(at("d"), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
        must(fd >= 0 && fstat(fd, &st) == 0);
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        must(linkat(AT_FDCWD, path, AT_FDCWD, at("d/f"), AT_SYMLINK_FOLLOW) == 0);
        see_written(watch, NULL, NULL);
        must(close(fd) == 0);
        (void) snprintf(path, sizeof(path), "d/#%llu", (unsigned long long) st.st_ino);
        see_written(watch, path, NULL);
}

/* Reports come one by one, so the one that says so is the last of them. */
static void all_that_happened_before_is_reported_when_it_was_asked_for(void **state) {
        Watch *watch = armed_watch();
        Seen seen = { 0 };

        (void) state;
        must(watch_sync(watch, ROOT + 1) == -ENOENT);
        for (unsigned round = 0; round < 20; round++) {
                char last[32];

                (void) snprintf(last, sizeof(last), "d%u/e/last", round);
                make_directory(at("d%u", round));
                make_directory(at("d%u/e", round));
                for (unsigned i = 0; i < 50; i++)
                        make_file(at("f%u-%u", round, i));
                make_file(at("%s", last));
                must(watch_sync(watch, ROOT) == 0);
                see_flags(watch, &seen, WATCH_SYNCED);
                must(seen_path(&seen, last));
                seen_clear(&seen);
        }
        must(watch_sync(watch, ROOT) == 0); /* also if nothing happened */
        see_flags(watch, &seen, WATCH_SYNCED);
        must(seen.n_paths == 0);
        seen_clear(&seen);
}

/* A tree of directories without a thread, so that what happens between an event and its handling is certain. */
typedef struct Bare {
        WatchTreeRoot root; /* first, because the callback casts it to the whole */
        Inotify inotify;
        WatchTree tree;
        atomic_bool stop;
        Seen seen;
} Bare;

static void bare_changed(WatchTreeRoot *of, const char *path, bool written) {
        Seen *seen = &((Bare *) of)->seen;
        char *copy = strdup(path);

        seen->paths = reallocarray(seen->paths, seen->n_paths + 1, sizeof(char *));
        seen->written = reallocarray(seen->written, seen->n_written + 1, sizeof(char *));
        must(copy && seen->paths && seen->written);
        seen->paths[seen->n_paths++] = copy;
        if (written)
                seen->written[seen->n_written++] = copy;
}

static void bare_handle(Bare *bare) {
        const struct inotify_event *event;

        while ((event = inotify_next(&bare->inotify)))
                watch_tree_handle(&bare->tree, event);
}

static void bare_list(Bare *bare) {
        while (watch_tree_list_next(&bare->tree))
                ;
}

static void bare_begin(Bare *bare) {
        const char *what;

        stop_watch();
        *bare = (Bare){ .root = { .path = root, .traceless = true } };
        must(inotify_start(&bare->inotify, &what) == 0);
        watch_tree_init(&bare->tree, &bare->inotify, &bare->stop, bare_changed);
        watch_tree_add_root(&bare->tree, &bare->root);
        bare_list(bare);
        must(bare->seen.n_paths == 0 && !bare->tree.out_of_sync && !bare->root.lost);
}

static void bare_end(Bare *bare) {
        must(!bare->tree.out_of_sync && !bare->root.lost);
        watch_tree_remove_root(&bare->tree, &bare->root);
        watch_nodes_done(&bare->tree.nodes);
        inotify_stop(&bare->inotify);
        seen_clear(&bare->seen);
}

static bool bare_wrote(const Bare *bare, const char *path) {
        must(seen_path(&bare->seen, path));
        return is_in(bare->seen.written, bare->seen.n_written, path);
}

static void files_of_a_new_directory_may_have_been_written_before_it_was_watched(void **state) {
        char outside[96];
        Bare bare;

        (void) state;
        (void) snprintf(outside, sizeof(outside), "%s/outside", base);
        bare_begin(&bare);
        make_directory(at("d"));
        make_directory(at("d/e"));
        make_file(at("d/e/f"));
        must(symlink("f", at("d/e/link")) == 0 && mkfifo(at("d/e/fifo"), 0600) == 0);
        bare_handle(&bare);
        bare_list(&bare);
        must(bare_wrote(&bare, "d/e/f"));
        must(!bare_wrote(&bare, "d") && !bare_wrote(&bare, "d/e"));
        must(!bare_wrote(&bare, "d/e/link") && !bare_wrote(&bare, "d/e/fifo"));
        seen_clear(&bare.seen);
        must(rename(at("d"), at("moved")) == 0); /* between the two names nothing watched it */
        bare_handle(&bare);
        bare_list(&bare);
        must(bare_wrote(&bare, "moved/e/f") && !bare_wrote(&bare, "d"));
        seen_clear(&bare.seen);
        must(rename(at("moved"), outside) == 0);
        bare_handle(&bare);
        bare_list(&bare);
        must(rename(outside, at("back")) == 0);
        bare_handle(&bare);
        bare_list(&bare);
        must(bare_wrote(&bare, "back/e/f"));
        bare_end(&bare);
}

/* Such as what we save into a directory that we have just made on the disk. */
static void where_times_tell_of_every_write_files_of_a_new_directory_have_only_changed(void **state) {
        Bare bare;

        (void) state;
        bare_begin(&bare);
        bare.root.traceless = false;
        make_directory(at("d"));
        make_file(at("d/f"));
        bare_handle(&bare);
        bare_list(&bare);
        must(!bare_wrote(&bare, "d/f"));
        seen_clear(&bare.seen);
        write_text(at("d/f"), "x");
        bare_handle(&bare);
        must(bare_wrote(&bare, "d/f"));
        bare_end(&bare);
}

static void a_file_moved_into_a_listed_directory_was_not_written(void **state) {
        char outside[96];
        Bare bare;

        (void) state;
        (void) snprintf(outside, sizeof(outside), "%s/outside", base);
        make_file(outside);
        bare_begin(&bare);
        make_directory(at("d"));
        bare_handle(&bare);
        bare_list(&bare);
        must(rename(outside, at("d/f")) == 0); /* as we publish */
        bare_handle(&bare);
        bare_list(&bare);
        must(!bare_wrote(&bare, "d/f"));
        bare_end(&bare);
}

static void a_directory_that_was_away_unnoticed_has_kept_its_watch(void **state) {
        char outside[96], file[128];
        Bare bare;

        (void) state;
        (void) snprintf(outside, sizeof(outside), "%s/outside", base);
        (void) snprintf(file, sizeof(file), "%s/written", outside);
        make_directory(at("d"));
        make_file(at("d/f"));
        make_file(at("d/written"));
        bare_begin(&bare);
        must(rename(at("d"), outside) == 0);
        write_text(file, "y");
        must(rename(outside, at("d")) == 0);
        bare_handle(&bare);
        bare_list(&bare);
        must(!bare_wrote(&bare, "d/f") && bare_wrote(&bare, "d/written"));
        bare_end(&bare);
}

static void a_first_listing_that_failed_is_made_up_for(void **state) {
        char outside[96];
        Bare bare;

        (void) state;
        (void) snprintf(outside, sizeof(outside), "%s/outside", base);
        bare_begin(&bare);
        make_directory(at("d"));
        make_file(at("d/f"));
        bare_handle(&bare);
        must(rename(at("d"), outside) == 0);
        bare_list(&bare); /* which does not find it */
        must(!seen_path(&bare.seen, "d/f"));
        must(rename(outside, at("d")) == 0);
        bare_handle(&bare);
        bare_list(&bare);
        must(bare_wrote(&bare, "d/f"));
        bare_end(&bare);
}

/* -- plain claims again ------------------------------------------------------------------------------------- */

static void reading_is_not_reported_and_wakes_no_thread(void **state) {
        Watch *watch = NULL;
        char byte;
        int fd;

        (void) state;
        make_file(at("f"));
        watch = armed_watch();
        fd = open(at("f"), O_RDONLY | O_CLOEXEC);
        must(fd >= 0 && read(fd, &byte, 1) == 1);
        must(close(fd) == 0);
        see_exactly(watch, NULL);
}

static void what_was_there_before_is_not_reported(void **state) {
        Watch *watch = NULL;

        (void) state;
        make_directory(at("d"));
        make_directory(at("d/e"));
        make_file(at("d/e/f"));
        watch = armed_watch(); /* which checks that no path is reported */
        must(n_directories(watch) == 3);
        make_file(at("d/e/g"));
        see_exactly(watch, "d/e/g", NULL);
}

static void an_appearing_directory_is_listed_with_all_it_holds(void **state) {
        Watch *watch = NULL;
        char outside[96];

        (void) state;
        watch = armed_watch();
        (void) snprintf(outside, sizeof(outside), "%s/outside", base);
        make_directory(outside);
        must(rename(outside, at("in")) == 0 && rename(at("in"), outside) == 0);
        see_exactly(watch, "in", NULL);
        make_directory(strcat(outside, "/d"));
        make_file(strcat(outside, "/f"));
        must(symlink("/etc", strcat(outside, "-link")) == 0);
        (void) snprintf(outside, sizeof(outside), "%s/outside", base);
        must(rename(outside, at("in")) == 0);
        await_directories(watch, 3);
        see_exactly(watch, "in", "in/d", "in/d/f", "in/d/f-link", NULL);
        must(rename(at("in"), at("out")) == 0);
        await_step();
        see_exactly(watch, "in", "out", "out/d", "out/d/f", "out/d/f-link", NULL);
        prove_paths(watch);
        must(n_resyncs(watch) == 0);
}

static void the_skipped_name_is_silent_at_the_top_only(void **state) {
        Watch *watch = NULL;

        (void) state;
        make_directory(at(".shmstaged"));
        make_directory(at(".shmstaged/sub"));
        watch = armed_watch();
        must(n_directories(watch) == 1);
        make_file(at(".shmstaged/f"));
        make_file(at(".shmstaged/sub/f"));
        must(rename(at(".shmstaged/f"), at("f")) == 0);
        must(rename(at(".shmstaged"), at("other")) == 0);
        await_directories(watch, 3);
        must(rename(at("other"), at(".shmstaged")) == 0);
        await_directories(watch, 1);
        make_directory(at("d"));
        make_directory(at("d/.shmstaged"));
        await_directories(watch, 3);
        see_exactly(watch, "f", "other", "other/sub", "other/sub/f", "d", "d/.shmstaged", NULL);
}

static void a_moved_out_directory_is_forgotten_and_a_moved_in_one_is_listed(void **state) {
        Watch *watch = NULL;
        char outside[96], file[128];

        (void) state;
        (void) snprintf(outside, sizeof(outside), "%s/outside", base);
        make_directory(at("d"));
        make_directory(at("d/e"));
        make_file(at("d/e/f"));
        watch = armed_watch();
        must(rename(at("d"), outside) == 0);
        (void) snprintf(file, sizeof(file), "%s/e/at-once", outside);
        make_file(file);
        await_directories(watch, 1);
        (void) snprintf(file, sizeof(file), "%s/e/later", outside);
        make_file(file);
        see_exactly(watch, "d", NULL);
        must(is_in_step());
        must(rename(outside, at("back")) == 0);
        await_directories(watch, 3);
        see_exactly(watch, "back", "back/e", "back/e/f", "back/e/at-once", "back/e/later", NULL);
}

static void requests_are_checked_and_a_removed_root_is_silent(void **state) {
        Watch *watch = NULL;
        const char *what = NULL;
        WatchReport *report;
        Watch *second;
        Seen seen = { 0 };

        (void) state;
        watch = armed_watch();
        must(watch_new(&second, &what) == -EBUSY && what);
        must(watch_add(watch, ROOT, root, NULL, true) == -EEXIST);
        must(watch_add(watch, ROOT + 1, "relative", NULL, true) == -EINVAL);
        must(watch_remove(watch, ROOT + 1) == -ENOENT);
        make_file(at("f"));
        must(watch_remove(watch, ROOT) == 0);
        make_file(at("g"));
        sleep_msec(50);
        must(watch_next(watch, &report) == 0);
        await_directories(watch, 0);
        find_watched();
        must(watched.n == 0);
        must(watch_add(watch, ROOT, at("/"), NULL, true) == 0); /* a slash at the end makes no difference */
        see_flags(watch, &seen, WATCH_ARMED);
        seen_clear(&seen);
        make_file(at("h"));
        see_exactly(watch, "h", NULL);
}

static void reports_of_several_roots_are_kept_apart(void **state) {
        Watch *watch = NULL;
        Seen seen = { 0 };

        (void) state;
        for (unsigned i = 0; i < 3; i++)
                make_directory(at("r%u", i));
        watch = new_watch();
        for (unsigned i = 0; i < 3; i++)
                must(watch_add(watch, i, at("r%u", i), NULL, true) == 0);
        await_directories(watch, 3);
        make_file(at("r1/f"));
        for (uint64_t end = now_msec() + PATIENCE_MSEC; !seen_path(&seen, "f"); see(watch, 1, &seen, 100))
                must(now_msec() < end);
        must(seen.armed == 1);
        for (size_t i = 0; i < seen.n_paths; i++) /* made and closed may come in two reports */
                must(string_equal(seen.paths[i], "f"));
        seen_clear(&seen);
        see(watch, 0, &seen, 50);
        must(seen.n_reports == 0);
}

static void a_root_inside_another_is_to_be_polled(void **state) {
        Watch *watch = NULL;
        Seen seen = { 0 };

        (void) state;
        make_directory(at("d"));
        watch = armed_watch();
        must(watch_add(watch, 1, at("d"), NULL, true) == 0);
        for (uint64_t end = now_msec() + PATIENCE_MSEC; seen.flags == 0; see(watch, 1, &seen, 100))
                must(now_msec() < end);
        must(seen.flags == WATCH_EXHAUSTED);
        make_file(at("d/f"));
        see_exactly(watch, "d/f", NULL);
}

/* -- much at once ------------------------------------------------------------------------------------------ */

enum { N_DEEP = 300 };

static void make_deep(void) {
        for (unsigned i = 0; i < N_DEEP; i++) {
                char path[64];
                int n = snprintf(path, sizeof(path), "%u", i);

                make_directory(at("%s", path));
                for (const char *part = "abcde"; *part; part++) {
                        n += snprintf(path + n, sizeof(path) - n, "/%c", *part);
                        make_directory(at("%s", path));
                        make_file(at("%s/f", path));
                }
        }
}

/* A directory that is watched may still have to be listed, which no barrier waits for. */
static bool await_path(Watch *watch, Seen *seen, const char *path) {
        uint64_t end = now_msec() + PATIENCE_MSEC;

        while (!seen_path(seen, path) && now_msec() < end)
                see(watch, ROOT, seen, 100);
        return seen_path(seen, path);
}

static void no_file_of_a_deep_tree_made_at_once_is_missed(void **state) {
        Watch *watch = armed_watch();
        Seen seen = { 0 };
        int status;
        pid_t pid;

        (void) state;
        pid = start_child(make_deep);
        must(waitpid(pid, &status, 0) == pid && status == 0);
        await_directories(watch, 1 + N_DEEP * 6);
        see_all(watch, &seen);
        must(seen.flags == WATCH_DIRTY);
        for (unsigned i = 0; i < N_DEEP; i++) {
                char path[64];
                int n = snprintf(path, sizeof(path), "%u", i);

                must(await_path(watch, &seen, path));
                for (const char *part = "abcde"; *part; part++) {
                        n += snprintf(path + n, sizeof(path) - n, "/%c", *part);
                        must(await_path(watch, &seen, path));
                        (void) strcpy(path + n, "/f");
                        must(await_path(watch, &seen, path));
                        path[n] = '\0';
                }
        }
        seen_clear(&seen);
        must(is_in_step());
        must(n_resyncs(watch) == 0);
}

static unsigned storm_seed;

static void random_path(char path[static 64], unsigned *seed) {
        unsigned depth = (unsigned) rand_r(seed) % 3 + 1;
        char *end = path;

        for (unsigned i = 0; i < depth; i++)
                end += sprintf(end, "%s%c", i > 0 ? "/" : "", 'a' + rand_r(seed) % 6);
}

/* Makes, renames, exchanges and removes directories in a tree six wide and three deep, as fast as it can. */
static void storm(void) {
        unsigned seed = storm_seed;

        for (;;) {
                char a[64], b[64];

                random_path(a, &seed);
                random_path(b, &seed);
                switch (rand_r(&seed) % 8) {
                case 0:
                        remove_tree(at("%s", a));
                        break;
                case 1:
                        (void) rmdir(at("%s", a));
                        break;
                case 2:
                case 3:
                        (void) rename(at("%s", a), at("%s", b));
                        break;
                case 4:
                        (void) renameat2(AT_FDCWD, at("%s", a), AT_FDCWD, at("%s", b), RENAME_EXCHANGE);
                        break;
                default:
                        (void) mkdir(at("%s", a), 0755);
                }
        }
}

static void after_a_storm_of_renames_every_directory_is_watched_by_its_name(void **state) {
        (void) state;
        for (storm_seed = 1; storm_seed <= 6; storm_seed++) {
                Watch *watch = armed_watch();
                pid_t pid = start_child(storm);

                sleep_msec(300);
                end_child(pid);
                await_step();
                await_directories(watch, on_disk.n);
                prove_paths(watch);
                (void) fprintf(stderr, "seed %u: %zu directories, %u resyncs\n", storm_seed, on_disk.n,
                               (unsigned) n_resyncs(watch));
                stop_watch();
                remove_tree(root);
                make_directory(root);
        }
}

static void vanish(void) {
        for (unsigned i = 0;; i++) {
                (void) mknod(at("%u/f", i % 100), S_IFREG | 0600, 0);
                (void) mkdir(at("%u/d", i % 100), 0755);
                (void) rmdir(at("%u/d", i % 100));
                (void) unlink(at("%u/f", i % 100));
        }
}

static void names_that_vanish_during_the_first_listing_cost_no_directory(void **state) {
        pid_t pid;

        (void) state;
        for (unsigned i = 0; i < 100; i++) {
                make_directory(at("%u", i));
                make_directory(at("%u/stays", i));
        }
        for (unsigned run = 0; run < 30; run++) {
                Watch *watch = new_watch();
                Seen seen = { 0 };

                pid = start_child(vanish);
                must(watch_add(watch, ROOT, root, NULL, true) == 0);
                see_flags(watch, &seen, WATCH_ARMED);
                end_child(pid);
                must(seen.armed == 1 && !(seen.flags & ~(WATCH_ARMED | WATCH_DIRTY)));
                seen_clear(&seen);
                await_step();
        }
}

static void swap(void) {
        for (;; sleep_usec(50))
                (void) renameat2(AT_FDCWD, at("d"), AT_FDCWD, at("link"), RENAME_EXCHANGE);
}

static void a_directory_swapped_for_a_symbolic_link_is_not_followed(void **state) {
        char outside[96], inner[128];
        struct stat st[2];
        pid_t pid;

        (void) state;
        (void) snprintf(outside, sizeof(outside), "%s/outside", base);
        (void) snprintf(inner, sizeof(inner), "%s/sub", outside);
        make_directory(outside);
        make_directory(inner);
        must(stat(outside, &st[0]) == 0 && stat(inner, &st[1]) == 0);
        make_directory(at("d"));
        make_directory(at("d/sub"));
        must(symlink(outside, at("link")) == 0);
        pid = start_child(swap);
        for (unsigned run = 0; run < 60; run++) {
                Watch *watch = new_watch();
                Seen seen = { 0 };

                must(watch_add(watch, ROOT, root, NULL, true) == 0);
                see_flags(watch, &seen, WATCH_ARMED);
                seen_clear(&seen);
                find_watched();
                for (size_t i = 0; i < watched.n; i++)
                        must(watched.all[i] != st[0].st_ino && watched.all[i] != st[1].st_ino);
        }
        end_child(pid);
}

/* -- limits ------------------------------------------------------------------------------------------------ */

static unsigned read_number(const char *path) {
        _cleanup_(fclosep) FILE *file = fopen(path, "re");
        unsigned number;

        must(file && fscanf(file, "%u", &number) == 1);
        return number;
}

static int answer[2];

/* Watches, and answers with one line when it has seen the file "last". */
static void watch_and_answer(void) {
        Watch *watch = armed_watch();
        Seen seen = { 0 };

        must(write(answer[1], "armed\n", 6) == 6);
        see_flags(watch, &seen, WATCH_RESYNC);
        make_file(at("d/last"));
        see_path(watch, &seen, "d/last");
        must(dprintf(answer[1], "%x %u\n", seen.flags, (unsigned) n_resyncs(watch)) > 0);
        stop_watch();
}

static void an_overflowing_queue_is_one_resync_and_the_watch_goes_on(void **state) {
        unsigned max = read_number("/proc/sys/fs/inotify/max_queued_events"), flags, resyncs;
        _cleanup_(fclosep) FILE *from = NULL;
        char line[64];
        int status;
        pid_t pid;

        (void) state;
        make_directory(at("d"));
        must(pipe2(answer, O_CLOEXEC) == 0);
        pid = start_child(watch_and_answer);
        must(close(answer[1]) == 0);
        from = fdopen(answer[0], "r");
        must(from && fgets(line, sizeof(line), from));
        must(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        for (unsigned i = 0; i <= max / 2; i++)
                make_file(at("d/%u", i)); /* created and closed: two events */
        make_directory(at("unseen"));
        must(kill(pid, SIGCONT) == 0);
        must(fgets(line, sizeof(line), from) && sscanf(line, "%x %u", &flags, &resyncs) == 2);
        must(waitpid(pid, &status, 0) == pid && status == 0);
        must((flags & WATCH_RESYNC) && !(flags & (WATCH_LOST | WATCH_EXHAUSTED | WATCH_ARMED)));
        must(resyncs == 1);
}

/* Runs one of the checks at the end of this file in a user namespace, where limits can be lowered for it alone. It
 * executes this program again, because a process with threads (of a sanitizer) may not change its user namespace. */
static void in_user_namespace(const char *check) {
        char self[256];
        int status;
        ssize_t n;
        pid_t pid;

        n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        must(n > 0);
        self[n] = '\0';
        pid = fork();
        must(pid >= 0);
        if (pid == 0) {
                (void) execlp("unshare", "unshare", "--user", "--map-root-user", self, "--check", check, root, NULL);
                _exit(127);
        }
        must(waitpid(pid, &status, 0) == pid);
        must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void check_few_watches(void) {
        Watch *watch;
        Seen seen = { 0 };

        write_text("/proc/sys/user/max_inotify_watches", "20");
        watch = new_watch();
        must(watch_add(watch, ROOT, root, NULL, true) == 0);
        see_flags(watch, &seen, WATCH_EXHAUSTED);
        sleep_msec(50);
        see(watch, ROOT, &seen, 0);
        must(seen.flags == WATCH_EXHAUSTED); /* and never armed */
        must(n_directories(watch) == 20);
        make_file(at("f"));
        see_path(watch, &seen, "f");
        seen_clear(&seen);
        stop_watch();
}

static void too_few_watches_mean_exhausted_not_armed(void **state) {
        (void) state;
        for (unsigned i = 0; i < 30; i++)
                make_directory(at("%u", i));
        in_user_namespace("few_watches");
}

static void check_no_instance(void) {
        Seen seen = { 0 };
        Watch *watch;

        write_text("/proc/sys/user/max_inotify_instances", "0");
        watch = new_watch();
        must(watch_add(watch, ROOT, root, NULL, true) == 0);
        see_flags(watch, &seen, WATCH_EXHAUSTED);
        must(!(seen.flags & (WATCH_LOST | WATCH_ARMED)));
        seen_clear(&seen);
        write_text("/proc/sys/user/max_inotify_instances", "1");
        see_flags(watch, &seen, WATCH_ARMED); /* it is tried again */
        seen_clear(&seen);
        stop_watch();
}

static void no_instance_means_exhausted(void **state) {
        (void) state;
        in_user_namespace("no_instance");
}

static void check_high_descriptors(void) {
        struct rlimit limit = { 4096, 4096 };
        const char *what = NULL;
        Watch *watch = NULL;

        must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        for (unsigned i = 0; i < 1100; i++)
                must(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
        must(watch_new(&watch, &what) == -EOVERFLOW && what);
        must(close(500) == 0 && close(501) == 0 && close(502) == 0 && close(503) == 0);
        watch = armed_watch();
        make_file(at("f"));
        see_exactly(watch, "f", NULL);
        stop_watch();
}

static void a_descriptor_that_select_cannot_take_is_refused(void **state) {
        (void) state;
        in_a_child(check_high_descriptors);
}

static void children_inherit_no_descriptor(void **state) {
        char line[512];
        FILE *file;

        (void) state;
        (void) armed_watch();
        file = popen("ls -l /proc/self/fd", "re");
        must(file);
        while (fgets(line, sizeof(line), file))
                must(!strstr(line, "inotify") && !strstr(line, "eventfd") && !strstr(line, "mountinfo"));
        must(pclose(file) == 0);
}

static void churn(Watch *watch, unsigned rounds) {
        for (; rounds > 0; rounds--) {
                for (unsigned i = 0; i < 1000; i++)
                        make_directory(at("%u", i));
                await_directories(watch, 1001);
                for (unsigned i = 0; i < 1000; i++)
                        must(rmdir(at("%u", i)) == 0);
                await_directories(watch, 1);
        }
}

/* Until the library was restarted in a quiet moment. */
static void see_resync(Watch *watch, Seen *seen, uint64_t n) {
        see_flags(watch, seen, WATCH_RESYNC);
        must(n_resyncs(watch) == n);
        seen_clear(seen);
}

static unsigned resident_kib(void) {
        _cleanup_(fclosep) FILE *file = fopen("/proc/self/statm", "re");
        unsigned size, resident;

        must(file && fscanf(file, "%u %u", &size, &resident) == 2);
        return resident * (unsigned) (sysconf(_SC_PAGESIZE) / 1024);
}

static void directories_that_come_and_go_do_not_add_up(void **state) {
        Watch *watch = armed_watch();
        Seen seen = { 0 };
        unsigned before;

        (void) state;
        churn(watch, 11);
        must(n_resyncs(watch) == 0); /* that would lose events */
        see_resync(watch, &seen, 1); /* frees the dead watches */
        before = resident_kib();
        churn(watch, 11);
        see_resync(watch, &seen, 2);
        if (!SANITIZED) /* a sanitizer keeps freed memory on purpose */
                must(resident_kib() < before + 2048);
        see_all(watch, &seen);
        seen_clear(&seen);
        make_directory(at("1"));
        await_directories(watch, 2);
        make_file(at("1/f"));
        see_exactly(watch, "1", "1/f", NULL);
}

static void check_failing_restart(void) {
        Watch *watch;
        Seen seen = { 0 };

        watch = armed_watch();
        churn(watch, 9);
        see_all(watch, &seen);
        seen_clear(&seen);
        write_text("/proc/sys/user/max_inotify_instances", "0");
        for (unsigned i = 0; i < 1500; i++)
                make_directory(at("%u", i));
        sleep_msec(300); /* they are watched, unless that took the count over the limit already */
        for (unsigned i = 0; i < 1500; i++)
                must(rmdir(at("%u", i)) == 0);
        see_flags(watch, &seen, WATCH_RESYNC | WATCH_EXHAUSTED);
        must(!(seen.flags & (WATCH_LOST | WATCH_ARMED)));
        seen_clear(&seen);
        make_directory(at("d"));
        write_text("/proc/sys/user/max_inotify_instances", "10");
        see_flags(watch, &seen, WATCH_RESYNC);
        must(!(seen.flags & (WATCH_LOST | WATCH_ARMED | WATCH_EXHAUSTED)));
        must(is_in_step());
        seen_clear(&seen);
        make_file(at("d/f"));
        see_exactly(watch, "d/f", NULL);
        stop_watch();
}

static void a_restart_that_fails_is_reported_and_tried_again(void **state) {
        (void) state;
        in_user_namespace("failing_restart");
}

static void events_from_before_a_restart_are_not_taken_for_new_ones(void **state) {
        Inotify inotify = { .fd = -1 };
        int fds[2], wds[2];
        const char *what;

        (void) state;
        make_directory(at("a"));
        make_directory(at("b"));
        for (unsigned i = 0; i < 2; i++) {
                fds[i] = open(at("%c", 'a' + i), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                must(fds[i] >= 0);
                must(inotify_start(&inotify, &what) == 0);
                must(inotify_watch(&inotify, fds[i], &wds[i]) == 0);
                must(inotify_watch(&inotify, fds[i], &wds[i]) == INOTIFY_TAKEN);
                if (i == 1)
                        must(!inotify_next(&inotify));
                for (unsigned k = 0; k < 100; k++)
                        make_file(at("%c/%u", 'a' + i, k));
                must(inotify_next(&inotify)->wd == wds[i]);
                inotify_stop(&inotify);
                must(close(fds[i]) == 0);
        }
        must(wds[0] == wds[1]); /* so the old ones could have been mistaken */
}

static void a_report_of_too_many_paths_becomes_a_resync(void **state) {
        WatchDraft draft = { 0 };
        WatchReport *report;
        WatchReports reports;
        char path[32];

        (void) state;
        must(watch_reports_init(&reports) == 0);
        for (unsigned pass = 0; pass < 2; pass++)
                for (unsigned i = 0; i < WATCH_REPORT_PATHS_MAX; i++) {
                        (void) snprintf(path, sizeof(path), "%u", i);
                        must(!watch_reports_add(&reports, &draft, WATCH_DIRTY, path, true));
                }
        must(watch_reports_take(&reports, &draft, 3, &report) == 1);
        must(report->n_paths == WATCH_REPORT_PATHS_MAX && report->flags == WATCH_DIRTY && report->root == 3);
        must(report->n_written == WATCH_REPORT_PATHS_MAX);
        for (size_t i = 1; i < report->n_paths; i++)
                must(strcmp(report->paths[i - 1], report->paths[i]) < 0);
        must(!watch_report_free(report));
        must(watch_reports_take(&reports, &draft, 3, &report) == 0);
        for (unsigned i = 0; i <= WATCH_REPORT_PATHS_MAX; i++) {
                (void) snprintf(path, sizeof(path), "%u", i);
                must(watch_reports_add(&reports, &draft, WATCH_DIRTY, path, i % 2 == 0) == (i == WATCH_REPORT_PATHS_MAX));
        }
        must(!watch_reports_add(&reports, &draft, WATCH_DIRTY, "more", true));
        must(watch_reports_take(&reports, &draft, 3, &report) == 1);
        must(report->flags == WATCH_RESYNC && !report->paths && report->n_paths == 0);
        must(!report->written && report->n_written == 0);
        must(!watch_report_free(report));
        must(!watch_reports_add(&reports, &draft, WATCH_LOST, NULL, false));
        must(!watch_reports_add(&reports, &draft, WATCH_DIRTY, "after", false));
        must(watch_reports_take(&reports, &draft, 3, &report) == 1);
        must(report->flags == WATCH_LOST && report->n_paths == 0);
        must(!watch_report_free(report));
        watch_reports_close(&reports, &draft);
        watch_reports_done(&reports);
}

static void a_directory_beyond_the_longest_path_is_left_out(void **state) {
        Watch *watch = NULL;
        char name[256];
        int fd;

        (void) state;
        memset(name, 'n', 255);
        name[255] = '\0';
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        must(fd >= 0);
        for (unsigned i = 0; i < 18; i++) {
                int next;

                must(mkdirat(fd, name, 0755) == 0);
                next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                must(next >= 0 && close(fd) == 0);
                fd = next;
        }
        must(close(fd) == 0);
        watch = armed_watch();
        must(n_directories(watch) == 1 + 16); /* 16 names and 15 slashes are 4095 bytes */
        make_file(at("%s/%s/f", name, name));
        see_exactly(watch, at("%s/%s/f", name, name) + strlen(root) + 1, NULL);
}

static void check_forbidden_directory(void) {
        Watch *watch;

        must(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
        (void) prctl(PR_SET_DUMPABLE, 1); /* else /proc/self is root's */
        watch = armed_watch();
        must(n_directories(watch) == 2);
        must(chmod(at("shut"), 0755) == 0);
        await_directories(watch, 3);
        see_exactly(watch, "shut", "shut/f", NULL);
        must(chmod(at("shut"), 0) == 0);
        await_directories(watch, 2);
        stop_watch();
}

static void a_forbidden_directory_is_left_out_until_it_is_allowed(void **state) {
        (void) state;
        make_directory(at("open"));
        make_directory(at("shut"));
        make_file(at("shut/f"));
        must(chmod(at("shut"), 0) == 0);
        must(chown(root, 65534, 65534) == 0 && chown(at("shut"), 65534, 65534) == 0);
        in_a_child(check_forbidden_directory);
}

/* -- losing the root --------------------------------------------------------------------------------------- */

static void await_lost(Watch *watch) {
        uint64_t begin = now_msec();
        Seen seen = { 0 };

        see_flags(watch, &seen, WATCH_LOST);
        must(now_msec() - begin < 5000); /* it is heard, not found later */
        must(!(seen.flags & (WATCH_RESYNC | WATCH_EXHAUSTED | WATCH_ARMED)));
        seen_clear(&seen);
        await_directories(watch, 0);
        find_watched();
        must(watched.n == 0);
        see(watch, ROOT, &seen, 50);
        must(seen.n_reports == 0);
}

static void lose(void (*how)(void)) {
        Watch *watch = armed_watch();

        how();
        await_lost(watch);
        must(watch_remove(watch, ROOT) == 0);
        remove_tree(root);
        make_directory(root);
        must(watch_add(watch, ROOT, root, NULL, true) == 0);
        await_directories(watch, 1);
        stop_watch();
}

static void delete_root(void) {
        must(rmdir(root) == 0);
}

static void rename_root(void) {
        char other[96];

        (void) snprintf(other, sizeof(other), "%s/other", base);
        must(rename(root, other) == 0);
        make_directory(root);
}

static void a_root_that_is_deleted_or_renamed_is_lost(void **state) {
        (void) state;
        lose(delete_root);
        lose(rename_root);
}

static void a_root_that_is_no_directory_is_lost_at_once(void **state) {
        Watch *watch = new_watch();

        (void) state;
        must(rmdir(root) == 0);
        must(watch_add(watch, ROOT, root, NULL, true) == 0);
        await_lost(watch);
        must(watch_remove(watch, ROOT) == 0);
        must(symlink("/tmp", root) == 0);
        must(watch_add(watch, ROOT, root, NULL, true) == 0);
        await_lost(watch);
}

static void a_root_whose_parent_is_renamed_is_lost_with_the_next_event(void **state) {
        Watch *watch = NULL;
        char parent[sizeof(root)];

        (void) state;
        (void) strcpy(parent, root);
        (void) strcat(root, "/r");
        make_directory(root);
        watch = armed_watch();
        (void) strcat(parent, "2");
        must(rename(dirname(strdupa(root)), parent) == 0);
        (void) strcat(parent, "/r/f");
        make_file(parent);
        await_lost(watch);
}

static void private_mounts(void) {
        must(unshare(CLONE_NEWNS) == 0);
        must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
}

static void mount_root(void) {
        must(mount("test", root, "tmpfs", 0, "size=1M") == 0);
}

static void check_unmounts(void) {
        Watch *watch;
        int fd;

        private_mounts();
        mount_root();
        make_directory(at("d"));
        watch = armed_watch();
        must(umount2(root, 0) == 0); /* nothing of ours holds it */
        await_lost(watch);
        must(watch_remove(watch, ROOT) == 0);
        stop_watch();

        mount_root();
        make_file(at("f"));
        fd = open(at("f"), O_RDWR | O_CLOEXEC);
        must(fd >= 0);
        watch = armed_watch();
        must(umount2(root, MNT_DETACH) == 0); /* no event while fd is open */
        await_lost(watch);
        must(close(fd) == 0);
        stop_watch();

        watch = armed_watch();
        mount_root(); /* over it */
        await_lost(watch);
        stop_watch();
        must(umount2(root, 0) == 0);
}

static void a_root_that_is_unmounted_also_lazily_or_mounted_over_is_lost(void **state) {
        (void) state;
        in_a_child(check_unmounts);
}

static void check_other_device(void) {
        Watch *watch;

        private_mounts();
        make_directory(at("d"));
        make_directory(at("d/m"));
        must(mount("test", at("d/m"), "tmpfs", 0, "size=1M") == 0);
        make_directory(at("d/m/inside"));
        watch = armed_watch();
        must(n_directories(watch) == 2);
        make_file(at("d/m/f"));
        make_file(at("d/m/inside/f"));
        must(rename(at("d"), at("e")) == 0);
        see_exactly(watch, "d", "e", "e/m", NULL);
        stop_watch();
        must(umount2(at("e/m"), 0) == 0);
}

static void another_filesystem_inside_is_named_and_not_entered(void **state) {
        (void) state;
        in_a_child(check_other_device);
}

static void check_bind_mount(void) {
        Watch *watch;
        Seen seen = { 0 };

        private_mounts();
        watch = new_watch(); /* its thread must be in the new namespace too */
        make_directory(at("a"));
        make_directory(at("b"));
        must(mount(at("a"), at("b"), NULL, MS_BIND, NULL) == 0);
        must(watch_add(watch, ROOT, root, NULL, true) == 0);
        see_flags(watch, &seen, WATCH_EXHAUSTED);
        must(seen.flags == WATCH_EXHAUSTED);
        seen_clear(&seen);
        stop_watch();
        must(umount2(at("b"), 0) == 0);
}

static void a_directory_that_is_there_twice_means_poll(void **state) {
        (void) state;
        in_a_child(check_bind_mount);
}

/* -- the thread -------------------------------------------------------------------------------------------- */

static void watch_thread_path(char path[static 64], const char *file) {
        _cleanup_(closedirp) DIR *dir = opendir("/proc/self/task");
        struct dirent *entry;
        char name[32];

        must(dir);
        while ((entry = readdir(dir))) {
                _cleanup_(fclosep) FILE *comm = NULL;

                (void) snprintf(path, 64, "/proc/self/task/%.10s/comm", entry->d_name);
                comm = fopen(path, "re");
                if (!comm || !fgets(name, sizeof(name), comm) || !string_equal(name, "watch\n"))
                        continue;
                (void) snprintf(path, 64, "/proc/self/task/%.10s/%s", entry->d_name, file);
                return;
        }
        must(false); /* no thread of that name */
}

static unsigned long long thread_value(const char *field, int radix) {
        _cleanup_(fclosep) FILE *file = NULL;
        char path[64], line[256];

        watch_thread_path(path, "status");
        file = fopen(path, "re");
        must(file);
        while (fgets(line, sizeof(line), file))
                if (strncmp(line, field, strlen(field)) == 0)
                        return strtoull(line + strlen(field), NULL, radix);
        must(false); /* no such field */
        return 0;
}

static void check_idle(void) {
        Watch *watch;
        unsigned long long before;

        private_mounts(); /* else every mount on this machine wakes it */
        watch = armed_watch();
        for (unsigned i = 0;; i++) { /* on a busy machine its last work may be late */
                before = thread_value("voluntary_ctxt_switches:", 10);
                sleep_msec(1000);
                if (thread_value("voluntary_ctxt_switches:", 10) == before)
                        break;
                must(i < 20);
        }
        make_file(at("f"));
        see_exactly(watch, "f", NULL);
        for (unsigned i = 0; thread_value("voluntary_ctxt_switches:", 10) == before; i++) { /* counted when it sleeps again */
                must(i < PATIENCE_MSEC);
                sleep_msec(1);
        }
        stop_watch();
}

static void an_idle_watch_does_not_wake_up(void **state) {
        (void) state;
        in_a_child(check_idle);
}

static void the_thread_takes_no_signal_and_the_caller_keeps_its_mask(void **state) {
        sigset_t before, after;

        (void) state;
        must(sigprocmask(SIG_BLOCK, NULL, &before) == 0);
        (void) armed_watch();
        must(sigprocmask(SIG_BLOCK, NULL, &after) == 0);
        must(sigismember(&after, SIGTERM) == sigismember(&before, SIGTERM));
        must((thread_value("SigBlk:", 16) & (1ull << (SIGTERM - 1))) != 0);
        must((thread_value("SigBlk:", 16) & (1ull << (SIGCHLD - 1))) != 0);
}

static uint64_t msec_to_stop(void) {
        uint64_t begin = now_msec();

        stop_watch();
        return now_msec() - begin;
}

static void it_stops_at_once_when_idle_and_in_the_middle_of_a_listing(void **state) {
        enum { N_OUTER = 100, N_INNER = 200, PROMISE_MSEC = SANITIZED ? 1000 : 300 };
        Watch *watch;
        uint64_t idle, busy, n;
        unsigned attempt = 0;

        (void) state;
        for (unsigned i = 0; i < N_OUTER; i++) {
                make_directory(at("%u", i));
                for (unsigned k = 0; k < N_INNER; k++)
                        make_directory(at("%u/%u", i, k));
        }
        do { /* a busy machine may take the processor away, or leave it to the listing until that is over */
                must(attempt++ < 10);
                (void) armed_watch();
                idle = msec_to_stop();
                watch = new_watch();
                must(watch_add(watch, ROOT, root, NULL, true) == 0);
                while ((n = n_directories(watch)) < 1000)
                        sleep_msec(1);
                busy = msec_to_stop();
                (void) fprintf(stderr, "stopped in %u ms idle, %u ms after listing %u\n", (unsigned) idle, (unsigned) busy,
                               (unsigned) n);
        } while (n >= N_OUTER * N_INNER || idle >= PROMISE_MSEC || busy >= PROMISE_MSEC);
        find_watched();
        must(watched.n == 0);
}

static void a_root_can_be_removed_in_the_middle_of_its_listing(void **state) {
        Watch *watch = new_watch();

        (void) state;
        for (unsigned i = 0; i < 3000; i++) {
                make_directory(at("%u", i));
                make_directory(at("%u/d", i));
        }
        for (unsigned run = 0; run < 10; run++) {
                must(watch_add(watch, ROOT, root, NULL, true) == 0);
                sleep_msec(run);
                must(watch_remove(watch, ROOT) == 0);
        }
        await_directories(watch, 0);
        must(watch_add(watch, ROOT, root, NULL, true) == 0);
        await_directories(watch, 6001);
}

static int run_check(const char *name, const char *path) {
        static const struct {
                const char *name;
                void (*run)(void);
        } checks[] = {
                { "few_watches", check_few_watches },
                { "no_instance", check_no_instance },
                { "failing_restart", check_failing_restart },
        };

        in_child = true;
        (void) snprintf(root, sizeof(root), "%s", path);
        for (size_t i = 0; i < ELEMENTSOF(checks); i++)
                if (string_equal(checks[i].name, name)) {
                        checks[i].run();
                        return 0;
                }
        return 127;
}

#define stage_test(test) cmocka_unit_test_setup_teardown(test, make_stage, clear_stage)

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                stage_test(every_kind_of_change_is_reported_by_its_path),
                stage_test(only_a_close_after_writing_is_a_write),
                stage_test(a_close_bears_the_name_that_was_opened),
                stage_test(all_that_happened_before_is_reported_when_it_was_asked_for),
                stage_test(files_of_a_new_directory_may_have_been_written_before_it_was_watched),
                stage_test(where_times_tell_of_every_write_files_of_a_new_directory_have_only_changed),
                stage_test(a_file_moved_into_a_listed_directory_was_not_written),
                stage_test(a_directory_that_was_away_unnoticed_has_kept_its_watch),
                stage_test(a_first_listing_that_failed_is_made_up_for),
                stage_test(reading_is_not_reported_and_wakes_no_thread),
                stage_test(what_was_there_before_is_not_reported),
                stage_test(an_appearing_directory_is_listed_with_all_it_holds),
                stage_test(the_skipped_name_is_silent_at_the_top_only),
                stage_test(a_moved_out_directory_is_forgotten_and_a_moved_in_one_is_listed),
                stage_test(requests_are_checked_and_a_removed_root_is_silent),
                stage_test(reports_of_several_roots_are_kept_apart),
                stage_test(a_root_inside_another_is_to_be_polled),
                stage_test(no_file_of_a_deep_tree_made_at_once_is_missed),
                stage_test(after_a_storm_of_renames_every_directory_is_watched_by_its_name),
                stage_test(names_that_vanish_during_the_first_listing_cost_no_directory),
                stage_test(a_directory_swapped_for_a_symbolic_link_is_not_followed),
                stage_test(an_overflowing_queue_is_one_resync_and_the_watch_goes_on),
                stage_test(too_few_watches_mean_exhausted_not_armed),
                stage_test(no_instance_means_exhausted),
                stage_test(a_descriptor_that_select_cannot_take_is_refused),
                stage_test(children_inherit_no_descriptor),
                stage_test(directories_that_come_and_go_do_not_add_up),
                stage_test(a_restart_that_fails_is_reported_and_tried_again),
                stage_test(events_from_before_a_restart_are_not_taken_for_new_ones),
                stage_test(a_report_of_too_many_paths_becomes_a_resync),
                stage_test(a_directory_beyond_the_longest_path_is_left_out),
                stage_test(a_forbidden_directory_is_left_out_until_it_is_allowed),
                stage_test(a_root_that_is_deleted_or_renamed_is_lost),
                stage_test(a_root_that_is_no_directory_is_lost_at_once),
                stage_test(a_root_whose_parent_is_renamed_is_lost_with_the_next_event),
                stage_test(a_root_that_is_unmounted_also_lazily_or_mounted_over_is_lost),
                stage_test(another_filesystem_inside_is_named_and_not_entered),
                stage_test(a_directory_that_is_there_twice_means_poll),
                stage_test(an_idle_watch_does_not_wake_up),
                stage_test(the_thread_takes_no_signal_and_the_caller_keeps_its_mask),
                stage_test(it_stops_at_once_when_idle_and_in_the_middle_of_a_listing),
                stage_test(a_root_can_be_removed_in_the_middle_of_its_listing),
        };

        if (argc == 4 && string_equal(argv[1], "--check"))
                return run_check(argv[2], argv[3]);
        if (argc > 1)
                cmocka_set_test_filter(argv[1]); /* a name, * and ? */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
