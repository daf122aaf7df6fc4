/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What would be staged, and whether it fits. See report/preview.h. */

#include "report/preview.h"

#include "base/log.h"
#include "base/pool.h"
#include "base/text.h"
#include "os/fs.h"
#include "os/own-file.h"
#include "os/tree-access.h"
#include "report/explain.h"
#include "tree/scan.h"

#include <fcntl.h>

/* The mirror as it is now, if the daemon would use what is at the target: a mounted tmpfs, or a directory of one that
 * holds a mirror already. -1 if the daemon would mount or create one. */
static int open_mirror(const char *target) {
        _cleanup_(close_fdp) int fd = tree_access_open_root(target, O_NOFOLLOW);
        struct stat st, parent;

        if (fd < 0 || fs_is_tmpfs(fd) <= 0 || fstat(fd, &st) < 0 || fstatat(fd, "..", &parent, 0) < 0)
                return -1;
        if (st.st_dev == parent.st_dev && geteuid() == 0 && faccessat(fd, SCAN_PRIVATE_DIR, F_OK, 0) < 0)
                return -1;
        return TAKE_FD(fd);
}

static int load_base(int statefd, const char *name, Manifest **ret) {
        unsigned line;
        int r = statefd < 0 ? MANIFEST_ABSENT : manifest_load(statefd, name, ret, &line);

        return r > 0 ? manifest_new(ret) : r;
}

static void done_mirror(PreviewMirror *mirror) {
        if (!mirror->problem)
                survey_done(&mirror->survey);
        (void) manifest_free(mirror->base);
        free(mirror->problem);
        free(mirror->shortage);
}

void preview_done(Preview *preview) {
        for (size_t i = 0; i < preview->n; i++)
                done_mirror(&preview->mirrors[i]);
        free(preview->mirrors);
}

/* What all mirrors share. */
typedef struct Frame {
        int statefd;
        uint64_t ram, reserve;
        uint64_t promised; /* to the mirrors before this one */
        unsigned workers;
} Frame;

static int survey_at(const Frame *frame, PreviewMirror *mirror) {
        const MirrorConfig *config = mirror->config;
        uint64_t rest = frame->ram - MIN(frame->ram, frame->reserve);
        _cleanup_(close_fdp) int sourcefd = tree_access_open_root(config->source, 0), mirrorfd = -1;
        atomic_uint_fast64_t progress = 0;
        const char *what = "scan";
        SurveyOptions options;
        int r;

        if (sourcefd < 0)
                return text_append(&mirror->problem, "Failed to open the source '%s' of mirror '%s': %s",
                                   config->source, config->name, strerror(-sourcefd));
        mirrorfd = open_mirror(config->target);
        r = load_base(frame->statefd, config->name, &mirror->base);
        if (r < 0)
                return text_append(&mirror->problem, "Failed to load the digests of mirror '%s': %s", config->name,
                                   strerror(-r));
        /* where no mirror exists, all that is left of the last one are its digests */
        for (size_t i = 0; mirrorfd < 0 && i < mirror->base->n_entries; i++)
                mirror->base->entries[i].flags |= ENTRY_RECORD;
        options = (SurveyOptions){ .config = config, .base = mirror->base, .sourcefd = sourcefd,
                                   .mirrorfd = mirrorfd,
                                   .budget = quantity_amount_bytes(config->size, frame->ram, rest),
                                   .progress = &progress };
        r = survey_run(&options, &mirror->survey, &what);
        if (r == 0)
                return 0;
        mirror->problem = explain_source_lost(config, r, false, what);
        return mirror->problem ? 0 : -ENOMEM;
}

static int make_mirror(Frame *frame, PreviewMirror *mirror) {
        const MirrorConfig *config = mirror->config;
        int r = survey_at(frame, mirror);

        if (r < 0 || mirror->problem)
                return r;
        mirror->input = survey_room(&mirror->survey, config, frame->reserve, frame->promised, frame->workers);
        r = fit_plan(mirror->survey.plan, &mirror->input, &mirror->fit);
        if (r < 0)
                return r;
        frame->promised += mirror->fit.need_bytes;
        mirror->fits = r == 0;
        mirror->shortage = mirror->fits ? NULL
                                        : explain_shortage(config, mirror->survey.plan, &mirror->fit,
                                                           config->on_no_room == NO_ROOM_FAIL ? SHORTAGE_REFUSED
                                                                                              : SHORTAGE_PLANNED);
        return mirror->fits || mirror->shortage ? 0 : -ENOMEM;
}

int preview_make(const Config *config, const char *state_directory, Preview *ret, const char **reterr_what) {
        _cleanup_(close_fdp) int statefd = own_file_open_directory(state_directory);
        Preview preview = { .mirrors = calloc(config->n_mirrors, sizeof(PreviewMirror)), .fits = true };
        Frame frame = { .statefd = statefd, .workers = pool_choose_workers(config->workers) };
        MemoryFacts facts;
        int r = preview.mirrors ? memory_read("/proc", "/sys/fs/cgroup", &facts) : -ENOMEM;

        *reterr_what = "determine the available memory";
        if (r == 0) {
                frame.ram = facts.total;
                frame.reserve = quantity_amount_bytes(config->reserve, facts.total, 0);
                memory_facts_done(&facts);
        }
        for (; r == 0 && preview.n < config->n_mirrors; preview.n++) {
                PreviewMirror *mirror = &preview.mirrors[preview.n];

                *reterr_what = "plan";
                mirror->config = &config->mirrors[preview.n];
                r = make_mirror(&frame, mirror);
                preview.fits = preview.fits && mirror->fits;
        }
        if (r < 0) {
                preview_done(&preview);
                return r;
        }
        *ret = preview;
        return 0;
}

bool preview_shows(const PlanItem *item) {
        return item->action != PLAN_KEEP && !(item->source && item->source->type == ENTRY_DIRECTORY);
}

static void print_available(const PreviewMirror *mirror, FILE *out) {
        char bytes[TEXT_BYTES_MAX];

        for (FitLimit l = FIT_TMPFS; l < _FIT_LIMIT_MAX; l++)
                if (mirror->input.room[l] != UINT64_MAX)
                        (void) fprintf(out, "  available: %14llu bytes (%s), limited by %s%s\n",
                                       (unsigned long long) mirror->input.room[l],
                                       text_bytes(bytes, mirror->input.room[l]), fit_limit_name(l),
                                       l == mirror->fit.limit ? " (decisive)" : "");
}

static void print_items(const Plan *plan, FILE *out) {
        char path[TEXT_PATH_MAX], bytes[TEXT_BYTES_MAX];

        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                if (preview_shows(item))
                        (void) fprintf(out, "  %-14s %8s  %s\n", plan_action_name(item->action),
                                       item->source && item->source->type == ENTRY_FILE
                                               ? text_bytes(bytes, item->source->size)
                                               : "-",
                                       text_path(path, plan_item_path(item)));
        }
}

static void print_mirror(const PreviewMirror *mirror, FILE *out) {
        const Survey *survey = &mirror->survey;
        char need[TEXT_BYTES_MAX];

        (void) fprintf(out, "Mirror %s: %s -> %s\n", mirror->config->name, mirror->config->source,
                       mirror->config->target);
        if (mirror->problem) {
                log_error("%s", mirror->problem);
                return;
        }
        print_items(survey->plan, out);
        for (size_t i = 0; i < survey->source->n_omissions; i++) {
                _cleanup_(freep) char *omission = explain_omission(mirror->config, &survey->source->omissions[i]);

                if (omission)
                        (void) fprintf(out, "  %s\n", omission);
        }
        (void) fprintf(out, "  need:      %14llu bytes (%s) for %zu entries\n",
                       (unsigned long long) mirror->fit.need_bytes, text_bytes(need, mirror->fit.need_bytes),
                       survey->plan->n_stage + survey->plan->n_skipped);
        print_available(mirror, out);
        (void) fprintf(out, "  %s\n", mirror->fits ? "It fits" : mirror->shortage);
}

int preview_print(const Preview *preview, FILE *out) {
        for (size_t i = 0; i < preview->n; i++)
                print_mirror(&preview->mirrors[i], out);
        return preview->fits ? EXIT_SUCCESS : EXIT_FAILURE;
}
