/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What would be staged and whether it fits. See preview.h. */

#include "preview.h"

#include "fit.h"
#include "fs.h"
#include "log.h"
#include "look.h"
#include "pool.h"
#include "scan.h"
#include "tell.h"
#include "text.h"

#include <fcntl.h>

/* The mirror as it is now, if what is at the target is what the daemon would use: a mounted tmpfs, or one that holds a mirror
 * already. -1 where the daemon would make one. */
static int open_mirror(const char *target) {
        _cleanup_(close_fdp) int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        struct stat st, parent;

        if (fd < 0 || fs_is_tmpfs(fd) <= 0 || fstat(fd, &st) < 0 || fstatat(fd, "..", &parent, 0) < 0)
                return -1;
        if (st.st_dev == parent.st_dev && geteuid() == 0 && faccessat(fd, SCAN_PRIVATE, F_OK, 0) < 0)
                return -1;
        return TAKE_FD(fd);
}

static int load_base(int statefd, const char *name, Manifest **ret) {
        unsigned line;
        int r = statefd < 0 ? MANIFEST_ABSENT : manifest_load(statefd, name, ret, &line);

        return r > 0 ? manifest_new(ret) : r;
}

static void print_room(const Fit *fit, const FitInput *input, FILE *out) {
        char bytes[TEXT_BYTES_MAX];

        for (FitLimit l = FIT_TMPFS; l < _FIT_LIMIT_MAX; l++)
                if (input->room[l] != UINT64_MAX)
                        (void) fprintf(out, "  room: %14llu bytes (%s) by %s%s\n", (unsigned long long) input->room[l],
                                       text_bytes(bytes, input->room[l]), fit_limit_name(l), l == fit->limit ? "  <- decides" : "");
}

static void print_items(const Plan *plan, FILE *out) {
        char path[TEXT_PATH_MAX], bytes[TEXT_BYTES_MAX];

        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                if (item->action == PLAN_KEEP || (item->source && item->source->type == ENTRY_DIRECTORY))
                        continue;
                (void) fprintf(out, "  %-14s %8s  %s\n", plan_action_name(item->action),
                               item->source && item->source->type == ENTRY_FILE ? text_bytes(bytes, item->source->size) : "-",
                               text_path(path, plan_item_path(item)));
        }
}

typedef struct Preview {
        const Config *config;
        uint64_t ram, reserve;
        uint64_t promised; /* to the mirrors before this one */
} Preview;

static void print_look(Preview *preview, const MirrorConfig *mirror, Look *look, FILE *out, bool *ret_fits) {
        FitInput input = look_room(look, mirror, preview->reserve, preview->promised, pool_choose_workers(preview->config->workers));
        char need[TEXT_BYTES_MAX];
        _cleanup_(freep) char *text = NULL;
        Fit fit;
        int r;

        r = fit_plan(look->plan, &input, &fit);
        *ret_fits = r == 0;
        preview->promised += fit.need_bytes;
        print_items(look->plan, out);
        for (size_t i = 0; i < look->source->n_omissions; i++) {
                _cleanup_(freep) char *omission = tell_omission(mirror, &look->source->omissions[i]);

                if (omission)
                        (void) fprintf(out, "  %s\n", omission);
        }
        (void) fprintf(out, "  need: %14llu bytes (%s) for %zu entries\n", (unsigned long long) fit.need_bytes,
                       text_bytes(need, fit.need_bytes), look->plan->n_stage + look->plan->n_left_out);
        print_room(&fit, &input, out);
        text = r == FIT_NO_ROOM ? tell_shortage(mirror, look->plan, &fit, mirror->on_no_room == NO_ROOM_FAIL) : NULL;
        (void) fprintf(out, "  %s\n", r == 0 ? "It fits" : text ? text : "Out of memory");
}

static int print_mirror(Preview *preview, const MirrorConfig *mirror, int statefd, FILE *out, bool *ret_fits) {
        _cleanup_(manifest_freep) Manifest *base = NULL;
        _cleanup_(close_fdp) int sourcefd = -1, mirrorfd = -1;
        atomic_uint_fast64_t progress = 0;
        const char *what = "open the source";
        uint64_t rest = preview->ram - MIN(preview->ram, preview->reserve);
        LookOptions options;
        Look look;
        int r;

        (void) fprintf(out, "Mirror %s: %s -> %s\n", mirror->name, mirror->source, mirror->target);
        sourcefd = open(mirror->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (sourcefd < 0) {
                log_error("The source '%s' of mirror '%s' cannot be opened: %m", mirror->source, mirror->name);
                return -errno;
        }
        mirrorfd = open_mirror(mirror->target);
        r = load_base(statefd, mirror->name, &base);
        if (r < 0)
                return r;
        /* without a mirror, what is remembered of the last one is only digests */
        for (size_t i = 0; mirrorfd < 0 && i < base->n_entries; i++)
                base->entries[i].flags |= ENTRY_RECORD;
        options = (LookOptions){ .config = mirror, .base = base, .sourcefd = sourcefd, .mirrorfd = mirrorfd,
                                 .budget = amount_bytes(mirror->size, preview->ram, rest), .progress = &progress };
        r = look_run(&options, &look, &what);
        if (r == LOOK_EMPTIED)
                log_error("The source '%s' is empty and was not before: the disk behind it may not be mounted", mirror->source);
        else if (r < 0)
                log_error("Failed to %s of mirror '%s': %s", what, mirror->name, strerror(-r));
        if (r != 0)
                return r < 0 ? r : -ENOENT;
        print_look(preview, mirror, &look, out, ret_fits);
        look_done(&look);
        return 0;
}

int preview_print(const Config *config, const char *state_directory, FILE *out) {
        _cleanup_(close_fdp) int statefd = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Preview preview = { .config = config };
        bool all_fit = true;
        MemoryFacts facts;

        if (memory_read("/proc", "/sys/fs/cgroup", &facts) < 0) {
                log_error("Failed to read how much memory there is");
                return EXIT_FAILURE;
        }
        preview.ram = facts.total;
        preview.reserve = amount_bytes(config->reserve, facts.total, 0);
        memory_facts_done(&facts);
        for (size_t i = 0; i < config->n_mirrors; i++) {
                bool fits = false;

                if (print_mirror(&preview, &config->mirrors[i], statefd, out, &fits) < 0)
                        fits = false;
                all_fit = all_fit && fits;
        }
        return all_fit ? EXIT_SUCCESS : EXIT_FAILURE;
}
