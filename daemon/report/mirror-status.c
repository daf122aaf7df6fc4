/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One snapshot of the mirrors -> the status line. See report/mirror-status.h. */

#include "report/mirror-status.h"

#include "base/text.h"

#include <inttypes.h>

/* After so long without progress the line says that, instead of a rate. */
#define STALLED_USEC (5 * USEC_PER_SEC)

/* All mirrors together: the line is about the daemon. */
typedef struct Sum {
        uint64_t files, bytes, todo, done, seen, huge, measured, copied, direct, unsaved_bytes, scrubbed;
        size_t withheld, unreadable, skipped, damaged, repaired, released, models;     /* files, models */
        size_t unsaved, rejected, changed_only, deletions, conflicts;                  /* changes in the mirror */
        size_t starting, scanning, busy, shutting_down, removing, stopped;             /* mirrors in these states */
        bool save_fails, saves, all_saved;
        const char *path, *conflict, *unsaved_text, *problem, *failed;
} Sum;

static Sum sum_up(const MirrorStatus *mirrors, size_t n) {
        Sum sum = { .all_saved = true };

        for (size_t i = 0; i < n; i++) {
                const MirrorStatus *m = &mirrors[i];

                sum.files += m->files;
                sum.bytes += m->bytes;
                sum.todo += m->todo_bytes;
                sum.done += m->done_bytes;
                sum.seen += m->seen;
                sum.huge += m->huge_bytes;
                sum.measured += m->measured_bytes;
                sum.copied += m->copied_bytes;
                sum.direct += m->direct_bytes;
                sum.withheld += m->n_withheld;
                sum.unreadable += m->n_unreadable;
                sum.scrubbed += m->scrubbed_bytes;
                sum.repaired += m->n_repaired;
                sum.damaged += m->n_damaged;
                sum.skipped += m->n_skipped;
                sum.changed_only += m->n_held;
                sum.unsaved += m->n_unsaved;
                sum.unsaved_bytes += m->unsaved_bytes;
                sum.rejected += m->n_refused;
                sum.deletions += m->n_deletions_held;
                sum.conflicts += m->n_conflicts;
                if (m->conflict)
                        sum.conflict = m->conflict;
                sum.models += m->n_models;
                sum.released += m->n_released;
                sum.save_fails = sum.save_fails || m->save_fails;
                sum.saves = sum.saves || m->saves;
                sum.all_saved = sum.all_saved && (m->all_saved || !m->saves);
                sum.shutting_down += m->state == MIRROR_SAVING;
                if (!sum.unsaved_text)
                        sum.unsaved_text = m->unsaved;
                sum.starting += m->state == MIRROR_STARTING;
                sum.stopped += m->state == MIRROR_STOPPED;
                sum.scanning += !m->ready && (m->state == MIRROR_SCANNING || m->state == MIRROR_PLANNED);
                sum.busy += m->state == MIRROR_SCANNING || m->state == MIRROR_STAGING;
                sum.removing += m->state == MIRROR_REMOVING;
                if (m->path && m->state == MIRROR_STAGING)
                        sum.path = m->path;
                if (m->problem && m->state == MIRROR_FAILED)
                        sum.failed = m->problem;
                if (!sum.problem)
                        sum.problem = m->problem ? m->problem : m->withheld ? m->withheld : m->unreadable;
        }
        return sum;
}

/* A mirror that is ready and only checks whether everything is as it was stays "Ready". */
static bool is_staging(const MirrorStatus *mirrors, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (mirrors[i].state == MIRROR_STAGING && (!mirrors[i].ready || mirrors[i].todo_bytes > 0))
                        return true;
        return false;
}

const char *mirror_status_state_name(MirrorState state) {
        static const char *const names[MIRROR_STATES] = {
                [MIRROR_STARTING] = "starting", [MIRROR_SCANNING] = "scanning", [MIRROR_PLANNED] = "planned",
                [MIRROR_STAGING] = "staging", [MIRROR_IDLE] = "idle", [MIRROR_SAVING] = "saving",
                [MIRROR_REMOVING] = "removing", [MIRROR_STOPPED] = "stopped", [MIRROR_FAILED] = "failed",
        };

        return names[state];
}

bool mirror_status_is_complete(const MirrorStatus *mirrors, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!mirrors[i].ready || mirrors[i].problem || mirrors[i].save_fails || mirrors[i].n_withheld > 0 ||
                    mirrors[i].n_unreadable > 0 || mirrors[i].n_damaged > 0 || mirrors[i].n_skipped > 0)
                        return false;
        return true;
}

unsigned mirror_status_percent(const MirrorStatus *mirrors, size_t n) {
        Sum sum = sum_up(mirrors, n);

        if (sum.todo == 0)
                return 100;
        return (unsigned) (MIN(sum.done, sum.todo) * 100 / sum.todo);
}

/* --- parts of the line; what fails to be written is seen when the stream is closed --- */

static void write_stalled(FILE *line, const char *before, const StatusRate *rate) {
        char span[TEXT_SPAN_MAX];

        if (rate->stalled_usec >= STALLED_USEC)
                (void) fprintf(line, "%sno progress for %s", before, text_span(span, rate->stalled_usec));
}

static void write_staging(FILE *line, const MirrorStatus *mirrors, size_t n, const Sum *sum, const StatusRate *rate) {
        char done[TEXT_BYTES_MAX], todo[TEXT_BYTES_MAX], speed[TEXT_BYTES_MAX], left[TEXT_SPAN_MAX],
                path[TEXT_PATH_MAX];
        double rest = sum->todo > sum->done ? (double) (sum->todo - sum->done) : 0;

        (void) fprintf(line, "Staging: %u%% (%s of %s", mirror_status_percent(mirrors, n),
                       text_bytes(done, MIN(sum->done, sum->todo)), text_bytes(todo, sum->todo));
        if (rate->stalled_usec < STALLED_USEC && rate->bytes_per_sec > 0)
                (void) fprintf(line, ", %s/s, %s left", text_bytes(speed, rate->bytes_per_sec),
                               text_span(left, (uint64_t) (rest * USEC_PER_SEC / (double) rate->bytes_per_sec)));
        write_stalled(line, ", ", rate);
        (void) fputc(')', line);
        if (sum->path)
                (void) fprintf(line, ": %s", text_path(path, sum->path));
}

static void write_count(FILE *line, size_t n, const char *what) {
        if (n > 0)
                (void) fprintf(line, "; %zu %s", n, what);
}

/* How many files are missing, changed or failing, and then the sentences about the first of them. */
static void write_trouble(FILE *line, const MirrorStatus *mirrors, size_t n, const Sum *sum) {
        char bytes[TEXT_BYTES_MAX], path[TEXT_PATH_MAX];

        write_count(line, sum->withheld, "withheld");
        write_count(line, sum->unreadable, "unreadable");
        write_count(line, sum->damaged, "damaged in RAM");
        write_count(line, sum->skipped, "not in RAM for lack of space");
        write_count(line, sum->released, "released");
        write_count(line, sum->changed_only, "changed in the mirror only");
        if (sum->unsaved > 0)
                (void) fprintf(line, "; %zu not on disk yet (%s)%s", sum->unsaved,
                               text_bytes(bytes, sum->unsaved_bytes), sum->save_fails ? ", saving fails" : "");
        write_count(line, sum->rejected, "rejected (not saved)");
        write_count(line, sum->deletions, "deletions held back");
        if (sum->conflicts > 0 && sum->conflict)
                (void) fprintf(line, "; %zu changed on both sides, the other version is kept as '%s'", sum->conflicts,
                               text_path(path, sum->conflict));
        if (sum->unsaved_text && (sum->save_fails || sum->deletions > 0))
                (void) fprintf(line, ". %s", sum->unsaved_text);
        if (!mirror_status_is_complete(mirrors, n) && sum->problem)
                (void) fprintf(line, ". %s", sum->problem);
}

static void write_ready(FILE *line, const MirrorStatus *mirrors, size_t n, const Sum *sum) {
        char bytes[TEXT_BYTES_MAX];

        (void) fprintf(line, "%s: %" PRIu64 " %s", mirror_status_is_complete(mirrors, n) ? "Ready" : "Degraded",
                       sum->files, sum->files == 1 ? "file" : "files");
        if (sum->models > 0)
                (void) fprintf(line, " (%zu %s)", sum->models, sum->models == 1 ? "model" : "models");
        (void) fprintf(line, ", %s in RAM, verified", text_bytes(bytes, sum->bytes));
        if (sum->saves && sum->all_saved)
                (void) fputs("; all saved", line);
        if (sum->measured > 0)
                (void) fprintf(line, "; 2 MiB pages: %" PRIu64 "%%", sum->huge * 100 / sum->measured);
        if (sum->direct > 0)
                (void) fprintf(line, "; direct reads: %" PRIu64 "%%",
                               sum->direct * 100 / MAX(sum->copied, sum->direct));
        if (sum->scrubbed > 0 || sum->repaired > 0)
                (void) fprintf(line, "; scrubbed: %s", text_bytes(bytes, sum->scrubbed));
        if (sum->repaired > 0)
                (void) fprintf(line, ", %zu repaired", sum->repaired);
}

static void write_last_saves(FILE *line, const Sum *sum, const StatusRate *rate) {
        char bytes[TEXT_BYTES_MAX];

        if (sum->unsaved == 0)
                (void) fputs("Checking for unsaved changes", line);
        else
                (void) fprintf(line, "Saving before the stop: %zu remaining (%s)", sum->unsaved,
                               text_bytes(bytes, sum->unsaved_bytes));
        write_stalled(line, ", ", rate);
        if (sum->unsaved_text)
                (void) fprintf(line, ". %s", sum->unsaved_text);
}

static void write_line(FILE *line, const MirrorStatus *mirrors, size_t n, const Sum *sum, const StatusRate *rate) {
        char bytes[TEXT_BYTES_MAX];

        if (sum->failed)
                (void) fprintf(line, "Failed: %s", sum->failed);
        else if (n > 0 && sum->stopped == n)
                (void) fputs("Stopped", line);
        else if (sum->shutting_down > 0)
                write_last_saves(line, sum, rate);
        else if (sum->removing > 0)
                (void) fprintf(line, "Removing the mirror: %s remaining", text_bytes(bytes, sum->bytes));
        else if (is_staging(mirrors, n)) {
                write_staging(line, mirrors, n, sum, rate);
                write_trouble(line, mirrors, n, sum);
        } else if (sum->starting > 0) {
                (void) fputs("Opening source and target", line);
                write_stalled(line, "; ", rate);
        } else if (sum->scanning > 0) {
                (void) fprintf(line, "Scanning: %" PRIu64 " %s", sum->seen, sum->seen == 1 ? "entry" : "entries");
                write_stalled(line, "; ", rate);
        } else {
                write_ready(line, mirrors, n, sum);
                if (sum->busy > 0)
                        write_stalled(line, "; scanning, ", rate);
                write_trouble(line, mirrors, n, sum);
        }
}

char *mirror_status_line(const MirrorStatus *mirrors, size_t n, const StatusRate *rate) {
        Sum sum = sum_up(mirrors, n);
        char *text = NULL;
        size_t length;
        FILE *line = open_memstream(&text, &length);
        bool failed;

        if (!line)
                return NULL;
        write_line(line, mirrors, n, &sum, rate);
        failed = ferror(line) != 0;
        if (fclose(line) == 0 && !failed)
                return text;
        free(text);
        return NULL;
}
