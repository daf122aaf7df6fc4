/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How much of a tmpfs is on swap, with a real swap file that is on for moments only. */

#include "ground.h"
#include "os/memory.h"
#include "os/swapped.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/swap.h>

static char swap_file[64];

/* A disk filesystem with a swap file on it. */
static int setup(void **state) {
        char command[512];

        (void) ground_setup(state);
        make_ext4("disk", 80);
        (void) snprintf(swap_file, sizeof(swap_file), "%s/disk/swap", ground_base);
        (void) snprintf(command, sizeof(command),
                        "dd if=/dev/zero of=%s bs=1M count=64 status=none && chmod 600 %s && mkswap %s >/dev/null",
                        swap_file, swap_file, swap_file);
        shell(command);
        make_tmpfs("mirror", "size=64m,mode=0755");
        return 0;
}

static int teardown(void **state) {
        (void) swapoff(swap_file);
        assert_int_equal(umount("disk"), 0);
        return ground_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Stays on one processor: MADV_PAGEOUT leaves the pages alone that another processor has written last and not yet put
 * onto the kernel's lists. */
static void stay_on_one_processor(void) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t) sched_getcpu(), &set);
        assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* Puts the pages of a file on swap. */
static void page_out(const char *path, size_t size) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t *data;

        assert_true(fd >= 0);
        data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(data != MAP_FAILED);
        for (size_t i = 0; i < size; i += 4096)
                data[i]++;
        assert_int_equal(madvise(data, size, MADV_PAGEOUT), 0);
        assert_int_equal(munmap(data, size), 0);
        assert_int_equal(close(fd), 0);
}

static uint64_t count(void) {
        int fd = open_directory("mirror");
        uint64_t bytes = 77;

        assert_int_equal(swapped_bytes(fd, NULL, &bytes), 0);
        (void) close(fd);
        return bytes;
}

static void what_is_in_ram_is_not_on_swap(void **state) {
        (void) state;
        assert_int_equal(count(), 0); /* nothing at all */
        make_directory("mirror/sub");
        free(put_pattern("mirror/a", 3 * MIB, 1));
        free(put_pattern("mirror/sub/empty", 0, 1));
        assert_int_equal(symlink("a", "mirror/link"), 0);
        assert_int_equal(count(), 0);
}

static void what_is_on_swap_is_counted_in_all_depths_and_batches(void **state) {
        char path[64];

        (void) state;
        stay_on_one_processor();
        shell("mkdir -p mirror/a/b/c");
        for (unsigned i = 0; i < 300; i++) { /* more than are mapped at a time */
                (void) snprintf(path, sizeof(path), "mirror/%s%u", i % 2 ? "a/" : "", i);
                free(put_pattern(path, 5000, i));
        }
        free(put_pattern("mirror/a/b/c/deep", 8 * MIB, 7));
        assert_int_equal(swapon(swap_file, 0), 0);
        page_out("mirror/a/b/c/deep", 8 * MIB);
        page_out("mirror/a/299", 5000);
        assert_int_equal(count(), 8 * MIB + 2 * 4096);
        assert_true(memory_swap_is_used("/proc"));
        assert_int_equal(swapoff(swap_file), 0);
        assert_int_equal(count(), 0);
}

static void whoever_stops_gets_no_number(void **state) {
        atomic_bool cancel = true;
        uint64_t bytes = 77;
        int fd;

        (void) state;
        fd = open_directory("mirror");
        put_text("mirror/a", "a");
        assert_int_equal(swapped_bytes(fd, &cancel, &bytes), -ECANCELED);
        assert_int_equal(bytes, 77);
        (void) close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(what_is_in_ram_is_not_on_swap),
                TEST(what_is_on_swap_is_counted_in_all_depths_and_batches),
                TEST(whoever_stops_gets_no_number),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
