/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Scans source and mirror. See plan/survey.h. */

#include "plan/survey.h"

#include "base/array.h"
#include "base/strv.h"
#include "layout/layout.h"
#include "layout/unfinished.h"
#include "os/fs.h"
#include "plan/release.h"
#include "plan/select.h"
#include "tree/filter.h"
#include "tree/scan.h"

static bool is_wanted(const char *path, void *userdata) {
        const Overrides *overrides = userdata;

        return overrides_get(overrides, path) == OVERRIDE_STAGED || resolve_has_path(overrides, path);
}

static int scan_source(const SurveyOptions *options, Survey *survey) {
        ScanOptions scan = {
                .include = options->config->include, .exclude = options->config->exclude,
                .root = options->config->source, .is_unfinished = layout_is_unfinished,
                .layout = options->config->layout, .markers = unfinished_markers, .also = options->base,
                .is_wanted = options->overrides ? is_wanted : NULL, .userdata = (void *) options->overrides,
                .cancel = options->cancel, .progress = options->progress,
        };

        int r = scan_tree(options->sourcefd, &scan, &survey->source);

        if (r == 0)
                pair_untie(survey->source, options->base);
        return r == 0 ? pair_keep_first_names(survey->source, options->base, true) : r;
}

static int scan_mirror(const SurveyOptions *options, Survey *survey) {
        ScanOptions scan = {
                .root = options->config->target, .mirror = true,
                .cancel = options->cancel, .progress = options->progress,
        };
        int r;

        if (options->mirrorfd < 0)
                return manifest_new(&survey->mirror);
        r = scan_tree(options->mirrorfd, &scan, &survey->mirror);
        if (r == 0)
                r = pair_keep_first_names(survey->mirror, options->base, false);
        return r;
}

static int find_doubts(const SurveyOptions *options, Survey *survey) {
        int r = 0;

        survey->doubts = calloc(options->base->n_entries + 1, sizeof(*survey->doubts));
        if (!survey->doubts)
                return -ENOMEM;
        if (options->mark_written)
                r = options->mark_written(options->base, survey->source, survey->mirror, survey->doubts,
                                          options->userdata);
        if (r == 0 && options->mirrorfd >= 0)
                pair_mark_unproven(options->base, survey->mirror, options->mirror_watched, survey->doubts);
        if (r == 0)
                pair_mark_disk_unproven(options->base, survey->source, options->source_watched, survey->doubts);
        return r;
}

static uint64_t room_taken(const Manifest *mirror) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < mirror->n_entries; i++)
                bytes += mirror->entries[i].type == ENTRY_FILE ? mirror->entries[i].room : 0;
        return bytes;
}

static int measure_room(const SurveyOptions *options, Survey *survey) {
        uint64_t taken = room_taken(survey->mirror) + FIT_OWN_BYTES, budget = options->budget & ~(uint64_t) 4095;
        FsRoom room = { .free = UINT64_MAX, .inodes = UINT64_MAX };
        int r = options->mirrorfd < 0 ? 0 : fs_room(options->mirrorfd, &room);

        if (r < 0)
                return r;
        survey->tmpfs_free = room.free;
        /* With huge=always the smallest file takes 2 MiB, which the kernel takes back when room runs out, so statfs
         * reports too little. If the whole tmpfs is the mirror's, its files say how much is taken. */
        if (options->config->huge_pages == HUGE_ALWAYS && room.total > 0 &&
            room.total <= round_up(options->budget, 4096))
                survey->tmpfs_free = UINT64_MAX;
        survey->inodes_free = room.inodes;
        survey->size_left = budget > taken ? budget - taken : 0;
        return memory_read("/proc", "/sys/fs/cgroup", &survey->memory);
}

/* True if the base has files and the source has none, unless clients have deleted all of them. */
static bool is_emptied(const Manifest *base, const Manifest *source) {
        if (source->n_omissions > 0)
                return false;
        for (size_t i = 0; i < source->n_entries; i++)
                if (source->entries[i].type != ENTRY_DIRECTORY)
                        return false;
        for (size_t i = 0; i < base->n_entries; i++)
                if (base->entries[i].type == ENTRY_FILE &&
                    !(base->entries[i].flags & (ENTRY_DELETED | ENTRY_CONDEMNED)))
                        return true;
        return false;
}

static bool is_deleted(const char *path, void *userdata) {
        const SurveyOptions *options = userdata;

        if (options->overrides && options->overrides->marked_deleted &&
            manifest_find(options->overrides->marked_deleted, path))
                return true;
        return options->deleted && pathset_covers(options->deleted, path);
}

static int answer(const SurveyOptions *options, Survey *survey) {
        ResolveInput input = { .kind = survey->layout, .sourcefd = options->sourcefd, .mirrorfd = options->mirrorfd,
                               .source = survey->source, .mirror = survey->mirror };
        const Overrides *overrides = options->overrides;
        int r = 0;

        if (!overrides || overrides->n_requests == 0)
                return 0;
        survey->answers = calloc(overrides->n_requests, sizeof(ResolvedNames));
        if (!survey->answers)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < overrides->n_requests; i++) {
                r = resolve_names(&overrides->requests[i], &input, &survey->answers[i]);
                survey->n_answers += r == 0;
        }
        return r;
}

/* Entries that were listed only so that a request could be resolved. */
static bool is_unselected(const Entry *entry, void *userdata) {
        const SurveyOptions *options = userdata;
        const Entry *base = manifest_find(options->base, entry->path);
        static char *const nothing[] = { NULL };

        if (entry->type == ENTRY_DIRECTORY || (base && (base->flags & (ENTRY_SAVED | ENTRY_RECORD)) == ENTRY_SAVED))
                return false;
        return !filter_includes(options->config->include, nothing, entry->path) &&
               overrides_get(options->overrides, entry->path) != OVERRIDE_STAGED;
}

static int release(const SurveyOptions *options, Survey *survey) {
        ReleaseInput input = { .kind = survey->layout, .overrides = options->overrides, .mirror = survey->mirror,
                               .link = options->config->on_no_room == NO_ROOM_LINK };

        if (!options->overrides)
                return 0;
        return release_apply(survey->source, &input, &survey->absent, &survey->released);
}

/* What of the source is wanted in RAM. An empty source does not show which layout it has: then the mirror does. */
static int select_wanted(const SurveyOptions *options, Survey *survey) {
        SelectInput input = {
                .models = options->config->models, .sourcefd = options->sourcefd, .mirrorfd = options->mirrorfd,
                .mirror = survey->mirror, .base = options->base, .is_deleted = is_deleted, .userdata = (void *) options,
        };
        int r;

        survey->layout = options->config->layout;
        if (survey->layout == LAYOUT_AUTO)
                survey->layout = layout_recognise(survey->source);
        if (survey->layout == LAYOUT_PLAIN && options->config->layout == LAYOUT_AUTO)
                survey->layout = layout_recognise(survey->mirror);
        input.kind = survey->layout;
        input.overrides = options->overrides;
        input.released = &survey->released;
        r = answer(options, survey);
        if (r == 0)
                r = models_new(&survey->models, survey->layout);
        if (r < 0)
                return r;
        if (survey->n_answers > 0 && *options->config->include) {
                manifest_filter(survey->source, is_unselected, (void *) options);
                scan_drop_empty_directories(survey->source);
        }
        input.found = survey->models;
        r = select_apply(survey->source, &input, &survey->unmatched);
        if (r == 0)
                r = models_add_trees(survey->models, survey->source, survey->mirror, options->base);
        if (r == 0)
                r = release(options, survey);
        return r == 0 ? models_sort(survey->models) : r;
}

/* True if it is on disk, or in the mirror with the right size, and so about to be saved. */
static bool is_there(const SurveyOptions *options, const Survey *survey, const Reference *reference) {
        const Entry *m = manifest_find(survey->mirror, reference->path);
        struct stat st;

        if (m && m->type == ENTRY_SYMLINK && !plan_is_disk_link(m, options->config->source))
                return true;
        if (m && m->type != ENTRY_SYMLINK)
                return reference->size == UINT64_MAX || m->type == ENTRY_DIRECTORY || m->size == reference->size;
        if (fs_stat_beneath(options->sourcefd, reference->path, &st) < 0)
                return false;
        return reference->size == UINT64_MAX || !S_ISREG(st.st_mode) || (uint64_t) st.st_size == reference->size;
}

static int add_pointer(const SurveyOptions *options, Survey *survey, const Entry *mirror) {
        SurveyPointer pointer = { .mirror = mirror };
        int r = ARRAY_ROOM(survey->pointers, survey->n_pointers);

        if (r < 0)
                return r;
        r = references_read(survey->layout, options->mirrorfd, survey->mirror, mirror->path, &pointer.references,
                            &pointer.broken);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                pointer.broken = "it cannot be read";
        for (size_t i = 0; i < pointer.references.n && !pointer.missing; i++)
                if (!is_there(options, survey, &pointer.references.items[i])) {
                        pointer.missing = strdup(pointer.references.items[i].path);
                        if (!pointer.missing)
                                pointer.broken = "memory ran out";
                }
        survey->pointers[survey->n_pointers++] = pointer;
        return 0;
}

static int compare_pointers(const void *a, const void *b) {
        return strcmp(((const SurveyPointer *) a)->mirror->path, ((const SurveyPointer *) b)->mirror->path);
}

static int read_pointers(const SurveyOptions *options, Survey *survey) {
        for (size_t i = 0; i < survey->plan->n_items; i++) {
                const PlanItem *item = &survey->plan->items[i];
                LayoutRole role;
                int r;

                if ((item->action != PLAN_SAVE && item->action != PLAN_CONFLICT) ||
                    item->mirror->type == ENTRY_DIRECTORY)
                        continue;
                role = layout_role(survey->layout, item->mirror->path);
                if (role != LAYOUT_POINTER && role != LAYOUT_LINK)
                        continue;
                r = add_pointer(options, survey, item->mirror);
                if (r < 0)
                        return r;
        }
        if (survey->n_pointers > 0)
                qsort(survey->pointers, survey->n_pointers, sizeof(SurveyPointer), compare_pointers);
        return 0;
}

int survey_run(const SurveyOptions *options, Survey *ret, const char **reterr_what) {
        Survey survey = {};
        PlanInput input;
        int r;

        *reterr_what = "read the source";
        r = scan_source(options, &survey);
        if (r == 0 && is_emptied(options->base, survey.source))
                r = SURVEY_EMPTIED;
        if (r == 0) {
                *reterr_what = "read the mirror";
                r = scan_mirror(options, &survey);
        }
        if (r == 0)
                r = find_doubts(options, &survey);
        if (r == 0) {
                *reterr_what = "select the files to stage";
                r = select_wanted(options, &survey);
        }
        if (r == 0) {
                *reterr_what = "determine the available space";
                r = measure_room(options, &survey);
        }
        if (r == 0) {
                input = (PlanInput){ .base = options->base, .doubts = survey.doubts, .source = survey.source,
                                     .mirror = survey.mirror,
                                     .previous = options->previous, .source_path = options->config->source,
                                     .priority = options->config->priority, .layout = survey.layout,
                                     .keeps_owners = geteuid() == 0, .armed = options->armed,
                                     .mirror_watched = options->mirror_watched,
                                     .source_watched = options->source_watched,
                                     .deleted = options->deleted, .damaged = options->damaged,
                                     .absent = survey.absent.n > 0 ? &survey.absent : NULL,
                                     .overrides = options->overrides };
                *reterr_what = "plan";
                r = plan_new(&input, &survey.plan);
        }
        if (r == 0)
                r = read_pointers(options, &survey);
        if (r != 0) {
                survey_done(&survey);
                return r == -ECANCELED ? SURVEY_CANCELLED : r;
        }
        *ret = survey;
        return 0;
}

static uint64_t less(uint64_t a, uint64_t b) {
        return a == UINT64_MAX ? a : a > b ? a - b : 0;
}

FitInput survey_room(const Survey *survey, const MirrorConfig *config, uint64_t reserve, uint64_t promised,
                     unsigned workers) {
        FitInput input = { .inodes = survey->inodes_free, .layout = survey->layout, .on_no_room = config->on_no_room,
                           .source_path = config->source };

        input.room[FIT_TMPFS] = survey->tmpfs_free;
        input.room[FIT_SIZE] = survey->size_left;
        input.room[FIT_MEMORY] = less(survey->memory.available, reserve + promised);
        /* the buffers of the workers are charged to the group too, and a process that exceeds its limit is killed */
        input.room[FIT_CGROUP] = less(survey->memory.cgroup_left, promised + workers * FIT_COPY_BUFFER);
        return input;
}

void survey_done(Survey *survey) {
        for (size_t i = 0; i < survey->n_pointers; i++) {
                reference_list_done(&survey->pointers[i].references);
                free(survey->pointers[i].missing);
        }
        free(survey->pointers);
        for (size_t i = 0; i < survey->n_answers; i++)
                resolve_answer_done(&survey->answers[i]);
        free(survey->answers);
        pathset_done(&survey->absent);
        pathset_done(&survey->released);
        strv_free(survey->unmatched);
        survey->models = models_free(survey->models);
        survey->plan = plan_free(survey->plan);
        free(survey->doubts);
        survey->doubts = NULL;
        survey->source = manifest_free(survey->source);
        survey->mirror = manifest_free(survey->mirror);
        memory_facts_done(&survey->memory);
        *survey = (Survey){};
}
