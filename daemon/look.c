/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One look at source and mirror. See look.h. */

#include "look.h"

#include "fs.h"
#include "scan.h"
#include "staging.h"

static int scan_source(const LookOptions *options, Look *look) {
        ScanOptions scan = {
                .include = options->config->include,
                .exclude = options->config->exclude,
                .root = options->config->source,
                .cancel = options->cancel,
                .progress = options->progress,
        };

        return scan_tree(options->sourcefd, &scan, &look->source);
}

static int scan_mirror(const LookOptions *options, Look *look) {
        ScanOptions scan = {
                .root = options->config->target,
                .mirror = true,
                .cancel = options->cancel,
                .progress = options->progress,
        };

        if (options->mirrorfd < 0)
                return manifest_new(&look->mirror);
        return scan_tree(options->mirrorfd, &scan, &look->mirror);
}

static uint64_t room_taken(const Manifest *mirror) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < mirror->n_entries; i++)
                bytes += mirror->entries[i].type == ENTRY_FILE ? mirror->entries[i].room : 0;
        return bytes;
}

static int measure_room(const LookOptions *options, Look *look) {
        uint64_t taken = room_taken(look->mirror) + STAGING_OWN_BYTES, budget = options->budget & ~(uint64_t) 4095;
        FsRoom room = { .free = UINT64_MAX, .inodes = UINT64_MAX };
        int r = options->mirrorfd < 0 ? 0 : fs_room(options->mirrorfd, &room);

        if (r < 0)
                return r;
        look->tmpfs_free = room.free;
        /* huge=always gives the smallest file 2 MiB, and the kernel takes them back when room runs out: too little is said to be free.
         * Where the whole tmpfs is the mirror's, what is in it has been counted. */
        if (options->config->huge_pages == HUGE_ALWAYS && room.total > 0 && room.total <= round_up(options->budget, 4096))
                look->tmpfs_free = UINT64_MAX;
        look->inodes_free = room.inodes;
        look->size_left = budget > taken ? budget - taken : 0;
        return memory_read("/proc", "/sys/fs/cgroup", &look->memory);
}

/* A base that knows files, and a source without one. */
static bool is_emptied(const Manifest *base, const Manifest *source) {
        if (source->n_omissions > 0)
                return false;
        for (size_t i = 0; i < source->n_entries; i++)
                if (source->entries[i].type != ENTRY_DIRECTORY)
                        return false;
        for (size_t i = 0; i < base->n_entries; i++)
                if (base->entries[i].type == ENTRY_FILE)
                        return true;
        return false;
}

int look_run(const LookOptions *options, Look *ret, const char **reterr_what) {
        Look look = {};
        PlanInput input;
        int r;

        *reterr_what = "read the source";
        r = scan_source(options, &look);
        if (r == 0 && is_emptied(options->base, look.source))
                r = LOOK_EMPTIED;
        if (r == 0) {
                *reterr_what = "read the mirror";
                r = scan_mirror(options, &look);
        }
        if (r == 0) {
                *reterr_what = "find out how much room there is";
                r = measure_room(options, &look);
        }
        if (r == 0) {
                input = (PlanInput){ .base = options->base, .source = look.source, .mirror = look.mirror,
                                     .previous = options->previous, .source_path = options->config->source,
                                     .priority = options->config->priority };
                *reterr_what = "plan";
                r = plan_new(&input, &look.plan);
        }
        if (r != 0) {
                look_done(&look);
                return r == -ECANCELED ? LOOK_CANCELLED : r;
        }
        *ret = look;
        return 0;
}

static uint64_t less(uint64_t a, uint64_t b) {
        return a == UINT64_MAX ? a : a > b ? a - b : 0;
}

FitInput look_room(const Look *look, const MirrorConfig *config, uint64_t reserve, uint64_t promised) {
        FitInput input = { .inodes = look->inodes_free, .on_no_room = config->on_no_room, .source_path = config->source };

        input.room[FIT_TMPFS] = look->tmpfs_free;
        input.room[FIT_SIZE] = look->size_left;
        input.room[FIT_MEMORY] = less(look->memory.available, reserve + promised);
        input.room[FIT_CGROUP] = less(look->memory.cgroup_left, promised);
        return input;
}

void look_done(Look *look) {
        look->plan = plan_free(look->plan);
        look->source = manifest_free(look->source);
        look->mirror = manifest_free(look->mirror);
        memory_facts_done(&look->memory);
        *look = (Look){};
}
