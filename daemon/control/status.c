/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What GetStatus() answers, and the properties. See control/status.h. */

#include "control/status.h"

#include "control/message.h"

/* The type of a field of MirrorStatus. A text or path that is NULL has no key, nor has a NUMBER of UINT64_MAX (not
 * known). */
typedef enum Kind { NUMBER, COUNT, FLAG, TEXT, PATH } Kind;

typedef struct Field {
        const char *key;
        Kind kind;
        size_t offset;
} Field;

#define FIELD(key, kind, member) { key, kind, offsetof(MirrorStatus, member) }

/* In the order of io.shmstaged(5). */
static const Field fields[] = {
        FIELD("source", TEXT, source),
        FIELD("target", TEXT, target),
        FIELD("layout", TEXT, layout),
        FIELD("ready", FLAG, ready),
        FIELD("problem", TEXT, problem),
        FIELD("files", NUMBER, files),
        FIELD("bytes", NUMBER, bytes),
        FIELD("models", COUNT, n_models),
        FIELD("huge_bytes", NUMBER, huge_bytes),
        FIELD("measured_bytes", NUMBER, measured_bytes),
        FIELD("swapped_bytes", NUMBER, swapped_bytes),
        FIELD("todo_bytes", NUMBER, todo_bytes),
        FIELD("done_bytes", NUMBER, done_bytes),
        FIELD("rate", NUMBER, rate),
        FIELD("left_usec", NUMBER, left_usec),
        FIELD("path", PATH, path),
        FIELD("withheld", COUNT, n_withheld),
        FIELD("withheld_text", TEXT, withheld),
        FIELD("unreadable", COUNT, n_unreadable),
        FIELD("unreadable_text", TEXT, unreadable),
        FIELD("skipped", COUNT, n_skipped),
        FIELD("linked", COUNT, n_linked),
        FIELD("released", COUNT, n_released),
        FIELD("changed_only", COUNT, n_held),
        FIELD("saves", FLAG, saves),
        FIELD("all_saved", FLAG, all_saved),
        FIELD("unsaved", COUNT, n_unsaved),
        FIELD("unsaved_bytes", NUMBER, unsaved_bytes),
        FIELD("unsaved_since_usec", NUMBER, unsaved_since_usec),
        FIELD("saving", COUNT, n_saving),
        FIELD("save_fails", FLAG, save_fails),
        FIELD("save_problem", TEXT, unsaved),
        FIELD("rejected", COUNT, n_refused),
        FIELD("deletions_held", COUNT, n_deletions_held),
        FIELD("conflicts", COUNT, n_conflicts),
        FIELD("conflict", PATH, conflict),
        FIELD("trash_bytes", NUMBER, trash_bytes),
        FIELD("trash_files", NUMBER, trash_files),
        FIELD("damaged", COUNT, n_damaged),
        FIELD("repaired", COUNT, n_repaired),
        FIELD("scrubbed_bytes", NUMBER, scrubbed_bytes),
        FIELD("copied_bytes", NUMBER, copied_bytes),
        FIELD("direct_bytes", NUMBER, direct_bytes),
        FIELD("tmpfs_size", NUMBER, tmpfs_size),
        FIELD("tmpfs_free", NUMBER, tmpfs_free),
        FIELD("watching", FLAG, watching),
};

static const char *state_name(const ControlState *state, const MirrorStatus *mirrors, size_t n, bool whole) {
        bool staging = false, saving = false, failed = false, over = true;

        for (size_t i = 0; i < n; i++) {
                staging = staging || mirrors[i].state == MIRROR_STAGING;
                saving = saving || mirrors[i].state == MIRROR_SAVING;
                failed = failed || mirrors[i].state == MIRROR_FAILED;
                over = over && (mirrors[i].state == MIRROR_STOPPED || mirrors[i].state == MIRROR_FAILED);
        }
        if (failed && over)
                return "failed";
        if (state->stopping)
                return saving ? "saving" : "removing";
        if (state->reloading)
                return "reloading";
        if (!state->ready)
                return staging ? "staging" : "starting";
        return whole ? "ready" : "degraded";
}

ControlFacts control_status_facts(const ControlState *state, const MirrorStatus *mirrors, size_t n) {
        bool whole = mirror_status_is_complete(mirrors, n);
        ControlFacts facts = { .state = state_name(state, mirrors, n, whole),
                               .ready = state->ready && !state->stopping, .degraded = state->ready && !whole };

        for (size_t i = 0; i < n; i++) {
                facts.files += mirrors[i].files;
                facts.bytes += mirrors[i].bytes;
                facts.unsaved += mirrors[i].n_unsaved;
                facts.unsaved_bytes += mirrors[i].unsaved_bytes;
        }
        return facts;
}

static int append_field(sd_bus_message *message, const Field *field, const MirrorStatus *mirror) {
        const void *value = (const char *) mirror + field->offset;
        const char *const *text = value;
        const uint64_t *number = value;

        switch (field->kind) {
        case NUMBER:
                return *number == UINT64_MAX ? 0 : sd_bus_message_append(message, "{sv}", field->key, "t", *number);
        case COUNT:
                return sd_bus_message_append(message, "{sv}", field->key, "t", (uint64_t) *(const size_t *) value);
        case FLAG:
                return sd_bus_message_append(message, "{sv}", field->key, "b", (int) *(const bool *) value);
        case TEXT:
                return *text ? control_message_append_text_entry(message, field->key, *text) : 0;
        case PATH:
                return *text ? control_message_append_path_entry(message, field->key, *text) : 0;
        }
        return -EINVAL;
}

int control_status_append_daemon(sd_bus_message *message, const ControlState *state, const ControlFacts *facts,
                                 uint64_t uptime_usec, unsigned n_jobs) {
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}{sv}", "version", "s", SHMSTAGED_VERSION, "state", "s",
                                          facts->state);
        if (r >= 0)
                r = control_message_append_text_entry(message, "status_text", state->text);
        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}{sv}{sv}{sv}{sv}", "ready", "b", facts->ready, "degraded", "b",
                                          facts->degraded, "pid", "t", (uint64_t) getpid(), "uptime_usec", "t",
                                          uptime_usec, "jobs", "t", (uint64_t) n_jobs);
        return r >= 0 ? sd_bus_message_close_container(message) : r;
}

int control_status_append_mirror(sd_bus_message *message, const MirrorStatus *mirror) {
        static const char *const sources[] = { [SOURCE_HEALTHY] = "healthy", [SOURCE_LOST] = "lost",
                                               [SOURCE_UNREADABLE] = "unreadable" };
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = control_message_append_text_entry(message, "name", mirror->name);
        if (r >= 0)
                r = control_message_append_text_entry(message, "state", mirror_status_state_name(mirror->state));
        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}", "degraded", "b",
                                          mirror->ready && !mirror_status_is_complete(mirror, 1));
        if (r >= 0)
                r = control_message_append_text_entry(message, "source_state", sources[mirror->source_state]);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(fields); i++)
                r = append_field(message, &fields[i], mirror);
        return r >= 0 ? sd_bus_message_close_container(message) : r;
}
