/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One look at source and mirror. See plan/survey.h. */

#include "plan/survey.h"

#include "base/strv.h"
#include "layout/layout.h"
#include "os/fs.h"
#include "plan/release.h"
#include "plan/select.h"
#include "tree/filter.h"
#include "tree/scan.h"

static bool is_wanted(const char *path, void *userdata) {
        const Wishes *wishes = userdata;

        return wishes_of(wishes, path) == WISH_WANTED || asked_has_path(wishes, path);
}

static int scan_source(const LookOptions *options, Look *look) {
        ScanOptions scan = {
                .include = options->config->include,
                .exclude = options->config->exclude,
                .root = options->config->source,
                .is_unfinished = layout_is_unfinished,
                .layout = options->config->layout,
                .also = options->base,
                .is_wanted = options->wishes ? is_wanted : NULL,
                .userdata = (void *) options->wishes,
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
        uint64_t taken = room_taken(look->mirror) + FIT_OWN_BYTES, budget = options->budget & ~(uint64_t) 4095;
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

/* A base that knows files, and a source without one. Not if all that it knew was deleted by clients. */
static bool is_emptied(const Manifest *base, const Manifest *source) {
        if (source->n_omissions > 0)
                return false;
        for (size_t i = 0; i < source->n_entries; i++)
                if (source->entries[i].type != ENTRY_DIRECTORY)
                        return false;
        for (size_t i = 0; i < base->n_entries; i++)
                if (base->entries[i].type == ENTRY_FILE && !(base->entries[i].flags & (ENTRY_DELETED | ENTRY_CONDEMNED)))
                        return true;
        return false;
}

static bool is_deleted(const char *path, void *userdata) {
        const LookOptions *options = userdata;

        if (options->wishes && options->wishes->doomed && manifest_find(options->wishes->doomed, path))
                return true;
        return options->deleted && pathset_covers(options->deleted, path);
}

static int answer(const LookOptions *options, Look *look) {
        AskedInput input = { .kind = look->layout, .sourcefd = options->sourcefd, .mirrorfd = options->mirrorfd, .source = look->source, .mirror = look->mirror };
        const Wishes *wishes = options->wishes;
        int r = 0;

        if (!wishes || wishes->n_requests == 0)
                return 0;
        look->answers = calloc(wishes->n_requests, sizeof(Answer));
        if (!look->answers)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < wishes->n_requests; i++) {
                r = asked_answer(&wishes->requests[i], &input, &look->answers[i]);
                look->n_answers += r == 0;
        }
        return r;
}

/* What was listed only so that it could be asked about. */
static bool is_uninvited(const Entry *entry, void *userdata) {
        const LookOptions *options = userdata;
        const Entry *base = manifest_find(options->base, entry->path);
        static char *const nothing[] = { NULL };

        if (entry->type == ENTRY_DIRECTORY || (base && (base->flags & (ENTRY_SAVED | ENTRY_RECORD)) == ENTRY_SAVED))
                return false;
        return !selection_includes(options->config->include, nothing, entry->path) && wishes_of(options->wishes, entry->path) != WISH_WANTED;
}

static int release(const LookOptions *options, Look *look) {
        ReleasingInput input = { .kind = look->layout, .wishes = options->wishes, .mirror = look->mirror, .link = options->config->on_no_room == NO_ROOM_LINK };

        if (!options->wishes)
                return 0;
        return releasing_apply(look->source, &input, &look->absent, &look->released);
}

/* What of the source is wanted in RAM. An empty source shows nothing: then what is in the mirror does. */
static int choose(const LookOptions *options, Look *look) {
        ChoiceInput input = {
                .models = options->config->models, .sourcefd = options->sourcefd, .mirrorfd = options->mirrorfd,
                .mirror = look->mirror, .base = options->base, .is_deleted = is_deleted, .userdata = (void *) options,
        };
        int r;

        look->layout = options->config->layout;
        if (look->layout == LAYOUT_AUTO)
                look->layout = layout_recognise(look->source);
        if (look->layout == LAYOUT_PLAIN && options->config->layout == LAYOUT_AUTO)
                look->layout = layout_recognise(look->mirror);
        input.kind = look->layout;
        input.wishes = options->wishes;
        input.released = &look->released;
        r = answer(options, look);
        if (r == 0)
                r = models_new(&look->models, look->layout);
        if (r < 0)
                return r;
        if (look->n_answers > 0 && *options->config->include) {
                manifest_filter(look->source, is_uninvited, (void *) options);
                scan_drop_barren(look->source);
        }
        input.found = look->models;
        r = choice_apply(look->source, &input, &look->unmatched);
        if (r == 0)
                r = models_add_trees(look->models, look->source, look->mirror, options->base);
        if (r == 0)
                r = release(options, look);
        return r == 0 ? models_sort(look->models) : r;
}

/* On disk, or about to be: in the mirror and not ruled out by its name. */
static bool is_there(const LookOptions *options, const Look *look, const Reference *reference) {
        const Entry *m = manifest_find(look->mirror, reference->path);
        struct stat st;

        if (m && m->type == ENTRY_SYMLINK && !plan_is_disk_link(m, options->config->source))
                return true;
        if (m && m->type != ENTRY_SYMLINK)
                return reference->size == UINT64_MAX || m->type == ENTRY_DIRECTORY || m->size == reference->size;
        if (fs_stat_beneath(options->sourcefd, reference->path, &st) < 0)
                return false;
        return reference->size == UINT64_MAX || !S_ISREG(st.st_mode) || (uint64_t) st.st_size == reference->size;
}

static int add_pointer(const LookOptions *options, Look *look, const Entry *mirror) {
        LookPointer pointer = { .mirror = mirror };
        LookPointer *grown;
        int r;

        if (look->n_pointers % 64 == 0) {
                grown = reallocarray(look->pointers, look->n_pointers + 64, sizeof(LookPointer));
                if (!grown)
                        return -ENOMEM;
                look->pointers = grown;
        }
        r = references_read(look->layout, options->mirrorfd, look->mirror, mirror->path, &pointer.references, &pointer.broken);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                pointer.broken = "it cannot be read";
        for (size_t i = 0; i < pointer.references.n && !pointer.missing; i++)
                if (!is_there(options, look, &pointer.references.items[i])) {
                        pointer.missing = strdup(pointer.references.items[i].path);
                        if (!pointer.missing)
                                pointer.broken = "memory ran out";
                }
        look->pointers[look->n_pointers++] = pointer;
        return 0;
}

static int compare_pointers(const void *a, const void *b) {
        return strcmp(((const LookPointer *) a)->mirror->path, ((const LookPointer *) b)->mirror->path);
}

static int read_pointers(const LookOptions *options, Look *look) {
        for (size_t i = 0; i < look->plan->n_items; i++) {
                const PlanItem *item = &look->plan->items[i];
                LayoutRole role;
                int r;

                if ((item->action != PLAN_SAVE && item->action != PLAN_CONFLICT) || item->mirror->type == ENTRY_DIRECTORY)
                        continue;
                role = layout_role(look->layout, item->mirror->path);
                if (role != LAYOUT_POINTER && role != LAYOUT_LINK)
                        continue;
                r = add_pointer(options, look, item->mirror);
                if (r < 0)
                        return r;
        }
        if (look->n_pointers > 0)
                qsort(look->pointers, look->n_pointers, sizeof(LookPointer), compare_pointers);
        return 0;
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
                *reterr_what = "choose what is wanted of the source";
                r = choose(options, &look);
        }
        if (r == 0) {
                *reterr_what = "find out how much room there is";
                r = measure_room(options, &look);
        }
        if (r == 0) {
                input = (PlanInput){ .base = options->base, .source = look.source, .mirror = look.mirror,
                                     .previous = options->previous, .source_path = options->config->source,
                                     .priority = options->config->priority, .layout = look.layout,
                                     .keeps_owners = geteuid() == 0, .armed = options->armed,
                                     .deleted = options->deleted, .damaged = options->damaged,
                                     .absent = look.absent.n > 0 ? &look.absent : NULL, .wishes = options->wishes };
                *reterr_what = "plan";
                r = plan_new(&input, &look.plan);
        }
        if (r == 0)
                r = read_pointers(options, &look);
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

FitInput look_room(const Look *look, const MirrorConfig *config, uint64_t reserve, uint64_t promised, unsigned workers) {
        FitInput input = { .inodes = look->inodes_free, .layout = look->layout, .on_no_room = config->on_no_room, .source_path = config->source };

        input.room[FIT_TMPFS] = look->tmpfs_free;
        input.room[FIT_SIZE] = look->size_left;
        input.room[FIT_MEMORY] = less(look->memory.available, reserve + promised);
        /* the buffers of the workers are charged to the group as well, and what passes its limit is killed */
        input.room[FIT_CGROUP] = less(look->memory.cgroup_left, promised + workers * FIT_COPY_BUFFER);
        return input;
}

void look_done(Look *look) {
        for (size_t i = 0; i < look->n_pointers; i++) {
                references_done(&look->pointers[i].references);
                free(look->pointers[i].missing);
        }
        free(look->pointers);
        for (size_t i = 0; i < look->n_answers; i++)
                asked_answer_done(&look->answers[i]);
        free(look->answers);
        pathset_done(&look->absent);
        pathset_done(&look->released);
        strv_free(look->unmatched);
        look->models = models_free(look->models);
        look->plan = plan_free(look->plan);
        look->source = manifest_free(look->source);
        look->mirror = manifest_free(look->mirror);
        memory_facts_done(&look->memory);
        *look = (Look){};
}
