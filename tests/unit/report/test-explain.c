/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Sentences: each names the path and the facts, is one line whatever the names are, and ends without a full stop. */

#include "base/text.h"
#include "ground.h"
#include "report/explain.h"

static MirrorConfig config = { .name = (char *) "models", .source = (char *) "/data/models", .target = (char *) "/dev/shm/models" };

/* Frees @text; all of @parts, which end with NULL, must be in it. */
static void assert_says(char *text, const char *const *parts) {
        size_t length = text ? strlen(text) : 0;

        assert_true(length > 0 && text && text[length - 1] != '.' && !strchr(text, '\n'));
        for (; *parts; parts++)
                if (!strstr(text, *parts))
                        fail_msg("'%s' does not say '%s'", text, *parts);
        free(text);
}

#define SAYS(text, ...) assert_says(text, (const char *const[]){ __VA_ARGS__, NULL })

static TaskContext context;

static char *about(TaskOutcome outcome, int error, const char *what, uint64_t offset, const char *path) {
        Entry source = { .path = (char *) path };
        PlanItem item = { .action = PLAN_STAGE, .source = &source };
        Task task = { .context = &context, .item = &item, .outcome = outcome, .error = error, .what = what,
                      .offset = offset };

        (void) digest_from_hex("00112233445566778899aabbccddeeff", &task.expected);
        (void) digest_from_hex("ffeeddccbbaa99887766554433221100", &task.found);
        return explain_task(&config, &task);
}

static void every_outcome_names_the_path_and_what_happened(void **state) {
        static const TaskOutcome outcomes[] = { TASK_CHANGED, TASK_CORRUPT, TASK_GARBLED, TASK_DIFFERS, TASK_NO_ROOM, TASK_OCCUPIED, TASK_BUSY, TASK_FAILED };
        static char *seen[ELEMENTSOF(outcomes)];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++) {
                seen[i] = about(outcomes[i], EIO, "read", 0, "sub/m.gguf");
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(seen[i], seen[k]);
        }
        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++)
                SAYS(seen[i], "models/sub/m.gguf");
}

static void corruption_names_both_digests_and_the_remedy(void **state) {
        (void) state;
        SAYS(about(TASK_CORRUPT, 0, NULL, 0, "a"), "'/data/models/a'", "is ffeeddccbbaa99887766554433221100",
             "was 00112233445566778899aabbccddeeff", "corrupt", "withheld", "shmstagectl accept");
        SAYS(about(TASK_GARBLED, 0, NULL, 0, "a"), "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100", "memory");
        SAYS(about(TASK_DIFFERS, 0, NULL, 0, "a"), "'/dev/shm/models/a'", "00112233445566778899aabbccddeeff", "left alone");
}

static void a_failure_names_the_step_and_the_error(void **state) {
        (void) state;
        SAYS(about(TASK_FAILED, EACCES, "open", 0, "a"), "Failed to open '/data/models/a': Permission denied; ", "readable",
             "Exclude=");
        SAYS(about(TASK_FAILED, EIO, "read", 123456789, "a"), "Failed to read", "at byte 123456789", "Input/output error", "disk");
        SAYS(about(TASK_FAILED, EPERM, "write the copy of", 0, "a"), "Failed to write the copy of '/data/models/a': Operation not permitted",
             "tmpfs", config.target);
        SAYS(about(TASK_FAILED, ENOMEM, "allocate memory for", 0, "a"), "Failed to allocate memory for '/data/models/a': Cannot allocate memory");
        SAYS(about(TASK_FAILED, ENOMEM, NULL, 0, "a"), "Failed to ", "'/data/models/a'");
}

static void what_stays_at_a_stop_says_what_becomes_of_it(void **state) {
        static const TaskOutcome outcomes[] = { TASK_BUSY, TASK_GONE, TASK_COMPARED };

        (void) state;
        SAYS(about(TASK_BUSY, 0, NULL, 0, "a"), "'/dev/shm/models/a'", "it is replaced when");
        context.ending = true;
        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++) {
                config.write_back = true;
                SAYS(about(outcomes[i], 0, NULL, 0, "a"), "'/dev/shm/models/a'", "the next start saves it");
                config.write_back = false;
                SAYS(about(outcomes[i], 0, NULL, 0, "a"), "'/dev/shm/models/a'", "copy it to the source");
        }
        context.ending = false;
}

static void hostile_names_stay_in_their_line(void **state) {
        (void) state;
        SAYS(about(TASK_CORRUPT, 0, NULL, 0, "a\nb\x1b[31m\xff"), "'/data/models/a\\x0ab\\x1b[31m\\xff'");
        SAYS(about(TASK_FAILED, EIO, "read", 0, "100%s%n"), "/data/models/100%s%n'");
}

static char *about_omission(OmissionReason reason, int error) {
        Omission omission = { .path = (char *) "sub/x\n", .reason = reason, .error = error };

        return explain_omission(&config, &omission);
}

static void every_omission_says_why(void **state) {
        (void) state;
        SAYS(about_omission(OMIT_SPECIAL, 0), "'/data/models/sub/x\\x0a'", "device, pipe or socket");
        SAYS(about_omission(OMIT_LINK_OUT, 0), "'/data/models/sub/x\\x0a'", "symbolic link that points outside the source");
        SAYS(about_omission(OMIT_UNREADABLE, EACCES), "'/data/models/sub/x\\x0a'", "Permission denied");
        SAYS(about_omission(OMIT_IN_PROGRESS, 0), "'/data/models/sub/x\\x0a'", "still being written");
}

static void the_first_of_what_is_unreadable_is_reported(void **state) {
        Manifest *source = NULL;
        size_t n = 77;

        (void) state;
        assert_int_equal(manifest_new(&source), 0);
        assert_int_equal(manifest_omit(source, "fifo", OMIT_SPECIAL, 0), 0);
        assert_null(explain_unreadable(&config, source, &n));
        assert_int_equal(n, 0);
        assert_int_equal(manifest_omit(source, "dark", OMIT_UNREADABLE, EIO), 0);
        assert_int_equal(manifest_omit(source, "darker", OMIT_UNREADABLE, EIO), 0);
        SAYS(explain_unreadable(&config, source, &n), "'/data/models/dark'", "Input/output error");
        assert_int_equal(n, 2);
        manifest_free(source);
}

static void what_is_held_says_what_to_do(void **state) {
        Entry mirror = { .path = (char *) "notes" };
        PlanItem item = { .action = PLAN_SAVE, .mirror = &mirror };

        (void) state;
        SAYS(explain_unsaved(&config, &item), "'/dev/shm/models/notes'", "mirror only");
        item.action = PLAN_CONFLICT;
        SAYS(explain_unsaved(&config, &item), "'/dev/shm/models/notes'", "in the mirror and in the source");
}

static char *about_shortage(OnNoRoom on_no_room, const Fit *fit, size_t n_skipped, ShortageOutcome outcome) {
        static const Entry entries[7] = {
                { .path = (char *) "a" }, { .path = (char *) "b\n" }, { .path = (char *) "c" }, { .path = (char *) "d" },
                { .path = (char *) "e" }, { .path = (char *) "f" }, { .path = (char *) "g" },
        };
        MirrorConfig mirror = config;
        PlanItem items[7];
        Plan plan = { .items = items, .n_items = 7 };

        mirror.on_no_room = on_no_room;
        for (size_t i = 0; i < 7; i++)
                items[i] = (PlanItem){ .action = i < n_skipped ? on_no_room == NO_ROOM_LINK ? PLAN_LINK : PLAN_SKIP : PLAN_STAGE,
                                       .source = &entries[i] };
        return explain_shortage(&mirror, &plan, fit, outcome);
}

static void a_shortage_is_reported_in_bytes_and_names(void **state) {
        Fit fit = { .need_bytes = 3 * GIB, .room_bytes = 2 * GIB, .short_bytes = GIB, .limit = FIT_SIZE };

        (void) state;
        SAYS(about_shortage(NO_ROOM_FAIL, &fit, 2, SHORTAGE_REFUSED), "need 3G, available 2G (short by 1073741824 bytes, limited by Size=)", "raise Size=",
             "nothing is staged", "'a', 'b\\x0a'", "Exclude=", "OnNoRoom=");
        SAYS(about_shortage(NO_ROOM_SKIP, &fit, 7, SHORTAGE_LEFT_OUT), "; skipped 'a', 'b\\x0a', 'c', 'd', 'e' and 2 more");
        SAYS(about_shortage(NO_ROOM_LINK, &fit, 1, SHORTAGE_LEFT_OUT), "; linked 'a' to the disk");
        SAYS(about_shortage(NO_ROOM_SKIP, &fit, 1, SHORTAGE_PLANNED), "; would skip 'a'");
        SAYS(about_shortage(NO_ROOM_LINK, &fit, 1, SHORTAGE_PLANNED), "; would link 'a' to the disk");
        fit.limit = FIT_MEMORY;
        SAYS(about_shortage(NO_ROOM_FAIL, &fit, 1, SHORTAGE_REFUSED), "ReserveMemory=");
        fit.limit = FIT_CGROUP;
        SAYS(about_shortage(NO_ROOM_FAIL, &fit, 1, SHORTAGE_REFUSED), "MemoryMax=");
        fit = (Fit){ .short_inodes = 5 };
        SAYS(about_shortage(NO_ROOM_SKIP, &fit, 5, SHORTAGE_LEFT_OUT), "short by 5 inodes");
}

static bool repeats(Fit before, size_t n_before, Fit now, size_t n_now) {
        _cleanup_(freep) char *a = about_shortage(NO_ROOM_SKIP, &before, n_before, SHORTAGE_LEFT_OUT),
                              *b = about_shortage(NO_ROOM_SKIP, &now, n_now, SHORTAGE_LEFT_OUT);

        return explain_is_same_shortage(a, b);
}

static void other_numbers_make_no_other_shortage(void **state) {
        Fit fit = { .need_bytes = 3 * GIB, .room_bytes = 2 * GIB, .short_bytes = GIB, .limit = FIT_SIZE }, other = fit;

        (void) state;
        other.room_bytes -= 4096;
        other.short_bytes += 4096;
        assert_true(repeats(fit, 2, other, 2));
        assert_false(repeats(fit, 2, other, 3));
        other.limit = FIT_MEMORY;
        assert_false(repeats(fit, 2, other, 2));
        assert_true(repeats((Fit){ .short_inodes = 5 }, 5, (Fit){ .short_inodes = 4 }, 5));
        assert_false(repeats((Fit){ .short_inodes = 5 }, 5, fit, 5));
        assert_false(explain_is_same_shortage(NULL, "the tmpfs is short by 5 inodes; skipped 'a'"));
        assert_false(explain_is_same_shortage("The source is gone", "the tmpfs is short by 5 inodes; skipped 'a'"));
}

static void the_mount_says_what_became_of_its_options(void **state) {
        Mount mount = { .kind = MOUNT_MADE, .budget = 12 * GIB,
                        .answer = { [TMPFS_HUGE] = TMPFS_ACCEPTED, [TMPFS_NOSWAP] = TMPFS_REFUSED, [TMPFS_MPOL] = TMPFS_NOT_REQUESTED } };

        (void) state;
        SAYS(explain_mount(&config, &mount), "'/dev/shm/models'", "12G", "huge pages: yes", "swap: no", "NUMA policy: not requested");
        mount.kind = MOUNT_DIRECTORY;
        mount.answer[TMPFS_HUGE] = TMPFS_UNKNOWN;
        SAYS(explain_mount(&config, &mount), "a directory", "huge pages: unknown");
}

static void the_numa_policy_is_reported_with_its_reason(void **state) {
        static const struct {
                const char *policy;
                unsigned n_nodes;
                TmpfsAnswer answer;
                const char *in_force, *expected;
        } cases[] = {
                { "auto", 1, TMPFS_NOT_REQUESTED, "", "NUMA policy: one node" },
                { "auto", 2, TMPFS_ACCEPTED, "interleave", "NUMA policy: interleave over 2 nodes (NUMAPolicy=auto)" },
                { "auto", 2, TMPFS_ACCEPTED, "interleave:0-1", "NUMA policy: interleave over 2 nodes (NUMAPolicy=auto)" },
                { "auto", 2, TMPFS_REFUSED, "", "NUMA policy: none instead of interleave (NUMAPolicy=auto)" },
                { "auto", 1, TMPFS_NOT_REQUESTED, "bind:0", "NUMA policy: bind:0, as mounted (NUMAPolicy=auto requests none)" },
                { "default", 2, TMPFS_NOT_REQUESTED, "", "NUMA policy: not requested" },
                { "prefer:0", 2, TMPFS_ACCEPTED, "prefer:0", "NUMA policy: prefer:0 (NUMAPolicy=prefer:0)" },
                { "prefer:0", 2, TMPFS_REFUSED, "bind:1", "NUMA policy: bind:1 instead of prefer:0 (NUMAPolicy=prefer:0)" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Mount mount = { .kind = MOUNT_FOUND, .n_nodes = cases[i].n_nodes, .answer = { [TMPFS_MPOL] = cases[i].answer } };
                char policy[16];
                MirrorConfig mirror = config;

                (void) snprintf(policy, sizeof(policy), "%s", cases[i].policy);
                (void) snprintf(mount.mpol, sizeof(mount.mpol), "%s", cases[i].in_force);
                mirror.numa_policy = policy;
                SAYS(explain_mount(&mirror, &mount), cases[i].expected);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_outcome_names_the_path_and_what_happened),
                cmocka_unit_test(corruption_names_both_digests_and_the_remedy),
                cmocka_unit_test(a_failure_names_the_step_and_the_error),
                cmocka_unit_test(what_stays_at_a_stop_says_what_becomes_of_it),
                cmocka_unit_test(hostile_names_stay_in_their_line),
                cmocka_unit_test(every_omission_says_why),
                cmocka_unit_test(the_first_of_what_is_unreadable_is_reported),
                cmocka_unit_test(what_is_held_says_what_to_do),
                cmocka_unit_test(a_shortage_is_reported_in_bytes_and_names),
                cmocka_unit_test(other_numbers_make_no_other_shortage),
                cmocka_unit_test(the_mount_says_what_became_of_its_options),
                cmocka_unit_test(the_numa_policy_is_reported_with_its_reason),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
