/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One snapshot of the state -> Prometheus' text exposition format. See report/metrics.h. */

#include "report/metrics.h"

#include <inttypes.h>

/* The value for which a number is not known, and has no sample. */
typedef enum Unknown { NEVER, IF_ZERO, IF_MAX } Unknown;

/* One family of samples, one or more for each mirror. */
typedef struct Family {
        const char *name, *type, *help;
        size_t offset, size; /* of a number in MirrorStatus, which is the sample */
        Unknown unknown;
        void (*write)(const MirrorStatus *mirror, FILE *out, const char *name); /* instead of that number; else NULL */
} Family;

/* --- samples --- */

/* The value of a label, as written between its quotes. */
static void write_escaped(FILE *out, const char *text) {
        for (; *text; text++)
                if (*text == '\n')
                        (void) fputs("\\n", out);
                else {
                        if (*text == '\\' || *text == '"')
                                (void) fputc('\\', out);
                        (void) fputc(*text, out);
                }
}

static void begin_sample(FILE *out, const char *name, const MirrorStatus *mirror) {
        (void) fprintf(out, "%s{mirror=\"", name);
        write_escaped(out, mirror->name);
        (void) fputc('"', out);
}

static void write_number(FILE *out, const char *name, const MirrorStatus *mirror, uint64_t value) {
        begin_sample(out, name, mirror);
        (void) fprintf(out, "} %" PRIu64 "\n", value);
}

/* One of several samples of a mirror, which differ in a further label. */
static void write_part(FILE *out, const char *name, const MirrorStatus *mirror, const char *label, const char *part,
                       uint64_t value) {
        begin_sample(out, name, mirror);
        (void) fprintf(out, ",%s=\"%s\"} %" PRIu64 "\n", label, part, value);
}

/* MirrorStatus.ready stays set while a mirror is being stopped, but engines cannot rely on it any more. */
static bool is_up(const MirrorStatus *mirror) {
        return mirror->ready && !mirror->failing && mirror->state != MIRROR_SAVING &&
               mirror->state != MIRROR_REMOVING && mirror->state != MIRROR_STOPPED && mirror->state != MIRROR_FAILED;
}

static void write_ready(const MirrorStatus *mirror, FILE *out, const char *name) {
        write_number(out, name, mirror, is_up(mirror));
}

static void write_degraded(const MirrorStatus *mirror, FILE *out, const char *name) {
        write_number(out, name, mirror, is_up(mirror) && !mirror_status_is_complete(mirror, 1));
}

static void write_states(const MirrorStatus *mirror, FILE *out, const char *name) {
        for (unsigned state = 0; state < MIRROR_STATES; state++)
                write_part(out, name, mirror, "state", mirror_status_state_name(state), mirror->state == state);
}

static void write_source_up(const MirrorStatus *mirror, FILE *out, const char *name) {
        write_number(out, name, mirror, mirror->source_state != SOURCE_LOST);
}

/* The time and not the age, which would be wrong as soon as the file is read later than it was written. */
static void write_unsaved_since(const MirrorStatus *mirror, FILE *out, const char *name) {
        if (mirror->unsaved_since_usec > 0)
                write_number(out, name, mirror, mirror->unsaved_since_usec / USEC_PER_SEC);
}

static void write_huge_ratio(const MirrorStatus *mirror, FILE *out, const char *name) {
        if (mirror->measured_bytes == 0)
                return;
        begin_sample(out, name, mirror);
        (void) fprintf(out, "} %.4f\n", (double) mirror->huge_bytes / (double) mirror->measured_bytes);
}

/* Every method has a sample from the start: rate() and increase() miss the first event of a series that begins with
 * it. */
static void write_staged(const MirrorStatus *mirror, FILE *out, const char *name, bool bytes) {
        static const char *const methods[STAGED_WAYS] = { "buffered", "direct", "sendfile" };

        for (size_t i = 0; i < STAGED_WAYS; i++) {
                uint64_t value = 0;

                for (size_t k = 0; k < STAGED_WAYS; k++) {
                        const StagedBy *staged = &mirror->counters.staged[k];

                        if (staged->method && string_equal(staged->method, methods[i]))
                                value += bytes ? staged->bytes : staged->files;
                }
                write_part(out, name, mirror, "method", methods[i], value);
        }
}

static void write_staged_files(const MirrorStatus *mirror, FILE *out, const char *name) {
        write_staged(mirror, out, name, false);
}

static void write_staged_bytes(const MirrorStatus *mirror, FILE *out, const char *name) {
        write_staged(mirror, out, name, true);
}

static void write_mismatches(const MirrorStatus *mirror, FILE *out, const char *name) {
        write_part(out, name, mirror, "found_by", "staging", mirror->counters.staging_mismatches);
        write_part(out, name, mirror, "found_by", "scrub", mirror->counters.scrub_mismatches);
}

/* --- families --- */

#define NUMBER(name, type, field, unknown, help)                                                                     \
        {                                                                                                            \
                "shmstaged_" name, type, help, offsetof(MirrorStatus, field), sizeof(((MirrorStatus *) 0)->field),   \
                        unknown, NULL                                                                                \
        }
#define GAUGE(name, field, help) NUMBER(name, "gauge", field, NEVER, help)
#define MAYBE(name, field, unknown, help) NUMBER(name, "gauge", field, unknown, help)
#define COUNTER(name, field, help) NUMBER(name, "counter", counters.field, NEVER, help)
#define OWN(name, type, function, help) { "shmstaged_" name, type, help, 0, 0, NEVER, function }

static const Family families[] = {
        OWN("ready", "gauge", write_ready,
            "1 while engines can rely on the mirror: all that was selected is in RAM and verified, or is missing in a "
            "way that the configuration allows"),
        OWN("degraded", "gauge", write_degraded, "1 while the mirror is ready but something is missing or failing"),
        OWN("state", "gauge", write_states, "1 for the state that the mirror is in, 0 for all others"),
        OWN("source_up", "gauge", write_source_up, "0 while the source is gone or another filesystem is in its place"),
        GAUGE("watching", watching,
              "1 while the kernel reports every change in the mirror, 0 while it is scanned periodically instead"),
        GAUGE("files", files, "Verified files in RAM"),
        GAUGE("ram_bytes", bytes, "Bytes of the verified files in RAM"),
        GAUGE("models", n_models, "Models that are completely in RAM and verified"),
        MAYBE("tmpfs_size_bytes", tmpfs_size, IF_ZERO, "Size of the tmpfs that holds the mirror"),
        MAYBE("tmpfs_free_bytes", tmpfs_free, IF_ZERO, "Free space in the tmpfs that holds the mirror"),
        MAYBE("swapped_bytes", swapped_bytes, IF_MAX, "Bytes of the mirror that are swapped out"),
        OWN("huge_pages_ratio", "gauge", write_huge_ratio,
            "Share of the staged bytes that is in pages of 2 MiB, from 0 to 1"),
        GAUGE("staging_todo_bytes", todo_bytes, "Bytes that the current staging copies; 0 if there is none"),
        GAUGE("staging_done_bytes", done_bytes, "Bytes that the current or last staging has copied"),
        GAUGE("withheld_files", n_withheld, "Files that are not in RAM because they could not be read or verified"),
        GAUGE("unreadable_directories", n_unreadable, "Directories of the source that cannot be read"),
        GAUGE("skipped_files", n_skipped, "Files that are not in RAM for lack of space"),
        GAUGE("linked_files", n_linked, "Files that are links to the disk in the mirror"),
        GAUGE("released_files", n_released, "Files whose RAM an operator has freed"),
        GAUGE("changed_only_files", n_held,
              "Files that were changed in the mirror only and are not to be saved (WriteBack=no)"),
        GAUGE("unsaved_files", n_unsaved, "Changes in the mirror that are not on disk yet"),
        GAUGE("unsaved_bytes", unsaved_bytes, "Bytes of the changes that are not on disk yet"),
        OWN("unsaved_since_timestamp_seconds", "gauge", write_unsaved_since,
            "Unix time when the oldest change that is not on disk yet was first seen; no sample if there is none"),
        GAUGE("saving_files", n_saving, "Changes that are being written to disk now"),
        GAUGE("save_failing", save_fails, "1 while a change could not be written to disk and is tried again"),
        GAUGE("rejected_files", n_refused, 
              "Entries of the mirror that are rejected, and not saved unless they are accepted"),
        GAUGE("deletions_held", n_deletions_held,
              "Deletions that the mass-deletion guard holds back and that no operator has accepted"),
        GAUGE("open_conflicts", n_conflicts,
              "Versions kept in conflicts/ that no operator has accepted"),
        MAYBE("trash_files", trash_files, IF_MAX, "Files in the trash on the disk"),
        MAYBE("trash_bytes", trash_bytes, IF_MAX, "Bytes of the files in the trash on the disk"),
        GAUGE("damaged_files", n_damaged, "Files whose bytes in RAM have changed and that are not repaired yet"),
        OWN("staged_files_total", "counter", write_staged_files, "Files copied into RAM and verified"),
        OWN("staged_bytes_total", "counter", write_staged_bytes, "Bytes copied into RAM and verified"),
        COUNTER("saved_files_total", saved_files, "Files written to disk and verified by reading them back"),
        COUNTER("saved_bytes_total", saved_bytes, "Bytes written to disk and verified by reading them back"),
        COUNTER("save_failures_total", save_failures, "Failed attempts to write a change to disk"),
        COUNTER("deletions_total", deletions,
                "Files removed from the disk because they were deleted in the mirror"),
        COUNTER("conflicts_total", conflicts, "Versions kept in conflicts/"),
        OWN("mismatches_total", "counter", write_mismatches, "Files whose bytes did not have the expected digest"),
        COUNTER("repairs_total", scrub_repairs, "Files staged again because their bytes in RAM had changed"),
        COUNTER("scrubbed_bytes_total", scrubbed_bytes, "Bytes in RAM that were read again by complete scrub passes"),
};

static uint64_t number_of(const Family *family, const MirrorStatus *mirror) {
        const void *field = (const char *) mirror + family->offset;

        return family->size == sizeof(bool)       ? *(const bool *) field
               : family->size == sizeof(uint64_t) ? *(const uint64_t *) field
                                                  : *(const uint32_t *) field;
}

static bool is_known(const Family *family, uint64_t value) {
        return family->unknown == NEVER || (family->unknown == IF_ZERO ? value != 0 : value != UINT64_MAX);
}

static void write_family(FILE *out, const Family *family, const MirrorStatus *mirrors, size_t n) {
        (void) fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name, family->type);
        for (size_t i = 0; i < n; i++)
                if (family->write)
                        family->write(&mirrors[i], out, family->name);
                else if (is_known(family, number_of(family, &mirrors[i])))
                        write_number(out, family->name, &mirrors[i], number_of(family, &mirrors[i]));
}

char *metrics_text(const MirrorStatus *mirrors, size_t n, const char *version) {
        char *text = NULL;
        size_t length;
        FILE *out = open_memstream(&text, &length);
        bool failed;

        if (!out)
                return NULL;
        (void) fputs("# HELP shmstaged_build_info The running version\n"
                     "# TYPE shmstaged_build_info gauge\n"
                     "shmstaged_build_info{version=\"", out);
        write_escaped(out, version);
        (void) fputs("\"} 1\n", out);
        for (size_t i = 0; i < ELEMENTSOF(families); i++)
                write_family(out, &families[i], mirrors, n);
        failed = ferror(out);
        failed = fclose(out) != 0 || failed;
        if (failed) {
                free(text);
                return NULL;
        }
        return text;
}
