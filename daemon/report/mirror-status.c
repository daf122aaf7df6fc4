/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One snapshot of the state -> sentences. See report/mirror-status.h. */

#include "report/mirror-status.h"

#include "base/text.h"

/* Nothing moved for so long: say it instead of a rate. */
#define STALLED_USEC (5 * USEC_PER_SEC)

typedef struct Sum {
        uint64_t files, bytes, todo, done, seen, huge, measured, copied, direct;
        size_t unsaved, saving, refused, deletions, conflicts, saving_last;
        const char *conflict;
        uint64_t unsaved_bytes, scrubbed;
        size_t repaired, damaged;
        const char *unsaved_text;
        bool save_fails, saves, all_saved;
        size_t models, released;
        size_t withheld, unreadable, left_out, held, looking, at_work, removing, starting, gone;
        const char *path, *problem, *failed;
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
                sum.left_out += m->n_skipped;
                sum.held += m->n_held;
                sum.unsaved += m->n_unsaved;
                sum.unsaved_bytes += m->unsaved_bytes;
                sum.saving += m->n_saving;
                sum.refused += m->n_refused;
                sum.deletions += m->n_deletions_held;
                sum.conflicts += m->n_conflicts;
                if (m->conflict)
                        sum.conflict = m->conflict;
                sum.models += m->n_models;
                sum.released += m->n_released;
                sum.save_fails = sum.save_fails || m->save_fails;
                sum.saves = sum.saves || m->saves;
                sum.all_saved = sum.all_saved && (m->all_saved || !m->saves);
                sum.saving_last += m->state == MIRROR_SAVING;
                if (!sum.unsaved_text)
                        sum.unsaved_text = m->unsaved;
                sum.starting += m->state == MIRROR_STARTING;
                sum.gone += m->state == MIRROR_STOPPED;
                sum.looking += !m->ready && (m->state == MIRROR_SCANNING || m->state == MIRROR_PLANNED);
                sum.at_work += m->state == MIRROR_SCANNING || m->state == MIRROR_STAGING;
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

/* Not when it only looks whether all is as it was: who is ready stays so. */
static bool is_staging(const MirrorStatus *mirrors, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (mirrors[i].state == MIRROR_STAGING && (!mirrors[i].ready || mirrors[i].todo_bytes > 0))
                        return true;
        return false;
}

const char *mirror_status_state_name(MirrorState state) {
        switch (state) {
        case MIRROR_STARTING:
                return "starting";
        case MIRROR_SCANNING:
                return "scanning";
        case MIRROR_PLANNED:
                return "planned";
        case MIRROR_STAGING:
                return "staging";
        case MIRROR_IDLE:
                return "idle";
        case MIRROR_SAVING:
                return "saving";
        case MIRROR_REMOVING:
                return "removing";
        case MIRROR_STOPPED:
                return "stopped";
        case MIRROR_FAILED:
                return "failed";
        }
        return "failed";
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

static int append_staging(char **line, const MirrorStatus *mirrors, size_t n, const Sum *sum, const StatusRate *rate) {
        char done[TEXT_BYTES_MAX], todo[TEXT_BYTES_MAX], speed[TEXT_BYTES_MAX], left[TEXT_SPAN_MAX],
                path[TEXT_PATH_MAX];
        uint64_t rest = sum->todo > sum->done ? sum->todo - sum->done : 0;
        int r;

        r = text_append(line, "Staging: %u%% (%s of %s", mirror_status_percent(mirrors, n),
                        text_bytes(done, MIN(sum->done, sum->todo)), text_bytes(todo, sum->todo));
        if (r == 0 && rate->stalled_usec >= STALLED_USEC)
                r = text_append(line, ", nothing has moved for %s", text_span(left, rate->stalled_usec));
        else if (r == 0 && rate->bytes_per_sec > 0)
                r = text_append(line, ", %s/s, %s left", text_bytes(speed, rate->bytes_per_sec),
                                text_span(left,
                                          (uint64_t) ((double) rest / (double) rate->bytes_per_sec * USEC_PER_SEC)));
        if (r == 0)
                r = text_append(line, ")");
        if (r == 0 && sum->path)
                r = text_append(line, ": %s", text_path(path, sum->path));
        return r;
}

static int append_trouble(char **line, const MirrorStatus *mirrors, size_t n, const Sum *sum) {
        char bytes[TEXT_BYTES_MAX], path[TEXT_PATH_MAX];
        int r = 0;

        if (sum->withheld > 0)
                r = text_append(line, "; %zu withheld", sum->withheld);
        if (r == 0 && sum->unreadable > 0)
                r = text_append(line, "; %zu unreadable", sum->unreadable);
        if (r == 0 && sum->damaged > 0)
                r = text_append(line, "; %zu damaged in RAM", sum->damaged);
        if (r == 0 && sum->left_out > 0)
                r = text_append(line, "; %zu left out for want of room", sum->left_out);
        if (r == 0 && sum->released > 0)
                r = text_append(line, "; %zu released", sum->released);
        if (r == 0 && sum->held > 0)
                r = text_append(line, "; %zu changed in the mirror only", sum->held);
        if (r == 0 && sum->unsaved > 0)
                r = text_append(line, "; %zu not on disk yet (%s)%s", sum->unsaved,
                                text_bytes(bytes, sum->unsaved_bytes), sum->save_fails ? ", saving fails" : "");
        if (r == 0 && sum->refused > 0)
                r = text_append(line, "; %zu not to be saved", sum->refused);
        if (r == 0 && sum->deletions > 0)
                r = text_append(line, "; %zu deletions held back", sum->deletions);
        if (r == 0 && sum->conflicts > 0 && sum->conflict)
                r = text_append(line, "; %zu changed on both sides, the other version is kept as '%s'",
                                sum->conflicts, text_path(path, sum->conflict));
        if (r == 0 && sum->unsaved_text && (sum->save_fails || sum->deletions > 0))
                r = text_append(line, ". %s", sum->unsaved_text);
        if (r == 0 && !mirror_status_is_complete(mirrors, n) && sum->problem)
                r = text_append(line, ". %s", sum->problem);
        return r;
}

static int append_scrub(char **line, const Sum *sum) {
        char bytes[TEXT_BYTES_MAX];
        int r;

        if (sum->scrubbed == 0 && sum->repaired == 0)
                return 0;
        r = text_append(line, "; scrubbed: %s", text_bytes(bytes, sum->scrubbed));
        return r == 0 && sum->repaired > 0 ? text_append(line, ", %zu repaired", sum->repaired) : r;
}

static int append_ready(char **line, const MirrorStatus *mirrors, size_t n, const Sum *sum) {
        char bytes[TEXT_BYTES_MAX];
        int r;

        r = text_append(line, "%s: %llu %s", mirror_status_is_complete(mirrors, n) ? "Ready" : "Degraded",
                        (unsigned long long) sum->files, sum->files == 1 ? "file" : "files");
        if (r == 0 && sum->models > 0)
                r = text_append(line, " (%zu %s)", sum->models, sum->models == 1 ? "model" : "models");
        if (r == 0)
                r = text_append(line, ", %s in RAM, verified", text_bytes(bytes, sum->bytes));
        if (r == 0 && sum->saves && sum->all_saved)
                r = text_append(line, "; all saved");
        if (r == 0 && sum->measured > 0)
                r = text_append(line, "; 2 MiB pages: %llu%%", (unsigned long long) (sum->huge * 100 / sum->measured));
        if (r == 0 && sum->direct > 0)
                r = text_append(line, "; direct reads: %llu%%",
                                (unsigned long long) (sum->direct * 100 / MAX(sum->copied, sum->direct)));
        if (r == 0)
                r = append_scrub(line, sum);
        return r;
}

static int append_saving(char **line, const Sum *sum, const StatusRate *rate) {
        char bytes[TEXT_BYTES_MAX], span[TEXT_SPAN_MAX];
        int r = sum->unsaved == 0 ? text_append(line, "Looking for what is not on disk yet")
                                  : text_append(line, "Saving before the end: %zu left (%s)", sum->unsaved,
                                                text_bytes(bytes, sum->unsaved_bytes));

        if (r == 0 && rate->stalled_usec >= STALLED_USEC)
                r = text_append(line, ", nothing has moved for %s", text_span(span, rate->stalled_usec));
        if (r == 0 && sum->unsaved_text)
                r = text_append(line, ". %s", sum->unsaved_text);
        return r;
}

char *mirror_status_line(const MirrorStatus *mirrors, size_t n, const StatusRate *rate) {
        _cleanup_(freep) char *line = NULL;
        Sum sum = sum_up(mirrors, n);
        char span[TEXT_SPAN_MAX], bytes[TEXT_BYTES_MAX];
        int r;

        if (sum.failed)
                r = text_append(&line, "Failed: %s", sum.failed);
        else if (n > 0 && sum.gone == n)
                r = text_append(&line, "Stopped");
        else if (sum.saving_last > 0)
                r = append_saving(&line, &sum, rate);
        else if (sum.removing > 0)
                r = text_append(&line, "Removing the mirror: %s left", text_bytes(bytes, sum.bytes));
        else if (is_staging(mirrors, n)) {
                r = append_staging(&line, mirrors, n, &sum, rate);
                if (r == 0)
                        r = append_trouble(&line, mirrors, n, &sum);
        } else if (sum.starting + sum.looking > 0) {
                if (sum.starting > 0)
                        r = text_append(&line, "Opening source and target");
                else
                        r = text_append(&line, "Looking at the source: %llu %s", (unsigned long long) sum.seen,
                                        sum.seen == 1 ? "entry" : "entries");
                if (r == 0 && rate->stalled_usec >= STALLED_USEC)
                        r = text_append(&line, "; nothing has moved for %s", text_span(span, rate->stalled_usec));
        } else {
                r = append_ready(&line, mirrors, n, &sum);
                if (r == 0 && sum.at_work > 0 && rate->stalled_usec >= STALLED_USEC)
                        r = text_append(&line, "; looking at the source, nothing has moved for %s",
                                        text_span(span, rate->stalled_usec));
                if (r == 0)
                        r = append_trouble(&line, mirrors, n, &sum);
        }
        return r < 0 ? NULL : TAKE_PTR(line);
}
