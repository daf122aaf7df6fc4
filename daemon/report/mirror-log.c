/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The log messages of a mirror. See report/mirror-log.h. */

#include "report/mirror-log.h"

#include "base/log.h"
#include "base/messages.h"
#include "base/text.h"
#include "report/explain.h"
#include "tree/scan.h"

/* The fields that the texts of the message catalog refer to. */
static LogFields event_of(const MirrorConfig *config, const char *message_id) {
        return (LogFields){
                .message_id = message_id, .mirror = config->name, .source = config->source, .target = config->target
        };
}

void mirror_log_attached(const MirrorConfig *config, const Attachment *attachment) {
        LogFields fields = { .mirror = config->name };
        _cleanup_(freep) char *mount = explain_mount(config, &attachment->mount);
        char span[TEXT_SPAN_MAX], path[TEXT_PATH_MAX];

        if (mount)
                log_event(LOG_INFO, &fields, "Mirror '%s': %s", config->name, mount);
        if (attachment->base_damaged)
                log_event(LOG_WARNING, &fields,
                          "Discarded the digests of mirror '%s' because '%s.xxh128' in the state directory is damaged "
                          "at line %u; bytes that have changed silently since the last run cannot be detected",
                          config->name, config->name, attachment->damaged_line);
        if (attachment->n_unknown > 0)
                log_event(LOG_WARNING, &fields,
                          "Found %d unrecognized %s in '%s/" SCAN_PRIVATE_DIR
                          "'; inspect and remove them; until then, the mirror is kept when the daemon stops",
                          attachment->n_unknown, attachment->n_unknown == 1 ? "file" : "files",
                          text_path(path, config->target));
        if (attachment->eventless && config->watch_source && config->poll_usec > 0)
                log_event(LOG_INFO, &fields, "No change notifications on '%s'; scanning it every %s",
                          text_path(path, config->source), text_span(span, config->poll_usec));
}

void mirror_log_failed(const MirrorConfig *config, const char *text) {
        LogFields fields = event_of(config, MESSAGE_FAILED);

        log_event(LOG_ERR, &fields, "Mirror '%s' failed. %s", config->name, text ? text : "Out of memory");
}

void mirror_log_mount_stays(const MirrorConfig *config) {
        LogFields fields = { .mirror = config->name };

        log_event(LOG_NOTICE, &fields,
                  "Mirror '%s' keeps its tmpfs; for changes of Size=, HugePages=, Swap= and NUMAPolicy=, see Applying "
                  "changes in shmstaged.conf(5)", config->name);
}

void mirror_log_ready(const MirrorConfig *config, const Manifest *base, bool whole) {
        LogFields fields = event_of(config, whole ? MESSAGE_READY : MESSAGE_DEGRADED);
        char bytes[TEXT_BYTES_MAX], path[TEXT_PATH_MAX];
        size_t n = manifest_files(base);

        fields.bytes = manifest_bytes(base);
        fields.count = n;
        log_event(whole ? LOG_NOTICE : LOG_WARNING, &fields, "Mirror '%s' is %s: %zu %s, %s, in '%s'%s", config->name,
                  whole ? "ready" : "ready (degraded)", n, n == 1 ? "file" : "files",
                  text_bytes(bytes, manifest_bytes(base)), text_path(path, config->target),
                  whole ? "" : "; see the preceding messages");
}

void mirror_log_degraded(const MirrorConfig *config) {
        LogFields fields = event_of(config, MESSAGE_DEGRADED);

        log_event(LOG_WARNING, &fields, "Mirror '%s' is degraded; see the preceding messages", config->name);
}

void mirror_log_complete_again(const MirrorConfig *config, size_t files, uint64_t bytes) {
        LogFields fields = event_of(config, MESSAGE_READY);
        char size[TEXT_BYTES_MAX], path[TEXT_PATH_MAX];

        fields.bytes = bytes;
        fields.count = files;
        log_event(LOG_NOTICE, &fields, "Mirror '%s' is complete again: %zu %s, %s, in '%s'", config->name, files,
                  files == 1 ? "file" : "files", text_bytes(size, bytes), text_path(path, config->target));
}

void mirror_log_source_lost(const MirrorConfig *config, const char *text) {
        LogFields fields = event_of(config, MESSAGE_SOURCE_LOST);

        log_event(LOG_WARNING, &fields, "%s", text ? text : "The source is gone");
}

void mirror_log_source_found(const MirrorConfig *config) {
        LogFields fields = event_of(config, MESSAGE_SOURCE_FOUND);
        char path[TEXT_PATH_MAX];

        log_event(LOG_NOTICE, &fields, "The source '%s' is back", text_path(path, config->source));
}

void mirror_log_copied(const MirrorConfig *config, const Task *task) {
        LogFields fields = { .mirror = config->name, .path = plan_item_path(task->item) };
        char bytes[TEXT_BYTES_MAX], path[TEXT_PATH_MAX], pages[32] = "";

        if (task->measured_bytes > 0)
                (void) snprintf(pages, sizeof(pages), ", 2 MiB pages: %u%%",
                                (unsigned) (task->huge_bytes * 100 / task->measured_bytes));
        log_event(LOG_DEBUG, &fields, "Staged '%s': %s, %s%s", text_path(path, plan_item_path(task->item)),
                  text_bytes(bytes, task->copied_bytes), copy_method_name(task->method), pages);
}

void mirror_log_gone(const MirrorConfig *config, const Entry *mirror, bool quiet) {
        LogFields fields = { .mirror = config->name, .path = mirror->path, .bytes = mirror->size };
        char path[TEXT_PATH_MAX], target[TEXT_PATH_MAX];

        log_event(quiet ? LOG_DEBUG : LOG_INFO, &fields,
                  "Removed '%s' from '%s' because it is no longer on the disk, or no longer selected",
                  text_path(path, mirror->path), text_path(target, config->target));
}

void mirror_log_spoilt(const MirrorConfig *config, const Task *task, bool quiet) {
        LogFields fields = event_of(config, MESSAGE_SCRUB);
        char path[TEXT_PATH_MAX], target[TEXT_PATH_MAX];

        fields.path = task->item->mirror->path;
        fields.bytes = task->item->mirror->size;
        fields.reason = "misnamed";
        log_event(quiet ? LOG_DEBUG : LOG_WARNING, &fields,
                  "The bytes of '%s' in '%s' were no longer those that its name states; it was staged again from disk",
                  text_path(path, task->item->mirror->path), text_path(target, config->target));
}

void mirror_log_shortage(const MirrorConfig *config, const char *text) {
        LogFields fields = event_of(config, MESSAGE_NO_ROOM);

        log_event(LOG_WARNING, &fields, "%s", text);
}

static const char *reason_of(TaskOutcome outcome) {
        static const char *const reasons[] = {
                [TASK_CHANGED] = "changing", [TASK_CORRUPT] = "corrupt", [TASK_GARBLED] = "garbled",
                [TASK_MISNAMED] = "misnamed", [TASK_DIFFERS] = "differs", [TASK_NO_ROOM] = "no-room",
                [TASK_OCCUPIED] = "occupied", [TASK_BUSY] = "busy",
        };

        return outcome < ELEMENTSOF(reasons) && reasons[outcome] ? reasons[outcome] : "failed";
}

void mirror_log_withheld(const MirrorConfig *config, const Task *task, const char *text) {
        LogFields fields = event_of(config, plan_takes_away(task->item->action) ? MESSAGE_HELD : MESSAGE_WITHHELD);
        char expected[MAX((int) DIGEST_HEX_MAX, (int) CLAIM_HEX_MAX)], found[sizeof(expected)];

        fields.path = plan_item_path(task->item);
        fields.error = task->error;
        fields.reason = reason_of(task->outcome);
        fields.bytes = task->item->source ? task->item->source->size : 0;
        if (task->outcome == TASK_CORRUPT || task->outcome == TASK_GARBLED || task->outcome == TASK_DIFFERS) {
                fields.expected = digest_to_hex(&task->expected, expected);
                fields.found = digest_to_hex(&task->found, found);
        } else if (task->outcome == TASK_MISNAMED) {
                fields.expected = claim_to_hex(&task->claimed, expected);
                fields.found = claim_to_hex(&task->claim_found, found);
        }
        log_event(LOG_WARNING, &fields, "%s", text ? text : "Out of memory");
}

void mirror_log_more(const MirrorConfig *config, size_t n) {
        LogFields fields = { .mirror = config->name };

        log_event(LOG_WARNING, &fields, "Mirror '%s': %zu similar messages suppressed", config->name, n);
}

void mirror_log_more_gone(const MirrorConfig *config, size_t n) {
        LogFields fields = { .mirror = config->name, .count = n };

        log_event(LOG_INFO, &fields, "Mirror '%s': removed %zu more files", config->name, n);
}

void mirror_log_unrecognized(const MirrorConfig *config, int n) {
        LogFields fields = { .mirror = config->name, .count = (uint64_t) n };
        char path[TEXT_PATH_MAX];

        log_event(LOG_WARNING, &fields,
                  "Set aside %d unrecognized %s in '%s/" SCAN_PRIVATE_DIR
                  "/conflicts'; another process had put %s in place of a file that was being saved",
                  n, n == 1 ? "file" : "files", text_path(path, config->source), n == 1 ? "it" : "each");
}

void mirror_log_unmatched(const MirrorConfig *config, const char *model) {
        LogFields fields = { .mirror = config->name };
        char path[TEXT_PATH_MAX], name[TEXT_PATH_MAX];

        log_event(LOG_WARNING, &fields, "Models=%s matches nothing in '%s'", text_path(name, model),
                  text_path(path, config->source));
}

void mirror_log_mass_deletion(const MirrorConfig *config, const char *text) {
        LogFields fields = event_of(config, MESSAGE_BRAKE);

        log_event(LOG_WARNING, &fields, "%s",
                  text ? text
                       : "Many files were deleted in the mirror at once; they stay on disk and are staged again; if "
                         "this was intended, run shmstagectl accept --all");
}

void mirror_log_events_lost(const MirrorConfig *config, bool of_mirror) {
        LogFields fields = { .mirror = config->name };
        char path[TEXT_PATH_MAX];

        log_event(LOG_DEBUG, &fields, "Some change notifications of '%s' were lost; scanning all of it",
                  text_path(path, of_mirror ? config->target : config->source));
}

void mirror_log_wiped(const MirrorConfig *config) {
        LogFields fields = event_of(config, MESSAGE_BRAKE);
        char path[TEXT_PATH_MAX];

        log_event(LOG_WARNING, &fields,
                  "'%s' was emptied, including the daemon's own directory .shmstaged; the disk keeps all files, and "
                  "they are staged again",
                  text_path(path, config->target));
}

void mirror_log_mirror_lost(const MirrorConfig *config) {
        LogFields fields = event_of(config, MESSAGE_MIRROR_LOST);
        char path[TEXT_PATH_MAX];

        log_event(LOG_ERR, &fields,
                  "'%s' was unmounted, moved or replaced; recreating the mirror (the disk keeps all files)",
                  text_path(path, config->target));
}

void mirror_log_covered(const MirrorConfig *config, const char *covered) {
        LogFields fields = { .mirror = config->name, .path = covered };
        char path[TEXT_PATH_MAX], target[TEXT_PATH_MAX];

        log_event(LOG_WARNING, &fields,
                  "Something is mounted on '%s/%s', inside the mirror; what is in it is neither saved nor removed, and "
                  "nothing is staged there; unmount it",
                  text_path(target, config->target), text_path(path, covered));
}

void mirror_log_xattrs_lost(const MirrorConfig *config) {
        LogFields fields = { .mirror = config->name };

        log_event(LOG_NOTICE, &fields,
                  "The tmpfs of mirror '%s' does not support user xattrs (Linux 6.6 and later do); staging without "
                  "them", config->name);
}

static const char *watch_problem(int error) {
        return error < 0 ? strerror(-error) : "the kernel has no inotify watches left for this user (raise "
                                             "fs.inotify.max_user_watches, or fs.inotify.max_user_instances)";
}

void mirror_log_unwatched(const MirrorConfig *config, int error) {
        LogFields fields = event_of(config, MESSAGE_UNWATCHED);
        char path[TEXT_PATH_MAX];

        fields.error = -error;
        log_event(LOG_WARNING, &fields, "Failed to watch '%s': %s; scanning it every PollInterval= instead",
                  text_path(path, config->source), watch_problem(error));
}

void mirror_log_unguarded(const MirrorConfig *config, int error) {
        LogFields fields = event_of(config, MESSAGE_UNWATCHED);
        char path[TEXT_PATH_MAX];

        fields.error = -error;
        log_event(LOG_WARNING, &fields,
                  "Failed to watch the mirror '%s': %s; scanning it every PollInterval= instead, and files that are "
                  "deleted in it stay on the disk and are staged again",
                  text_path(path, config->target), watch_problem(error));
}

void mirror_log_not_saved(const MirrorConfig *config, int error) {
        LogFields fields = { .mirror = config->name, .error = -error };

        log_event(LOG_WARNING, &fields,
                  "Failed to write '%s.xxh128' in the state directory: %s; the digests of this run are lost",
                  config->name, strerror(-error));
}

void mirror_log_not_unmounted(const MirrorConfig *config, int error) {
        LogFields fields = { .mirror = config->name, .error = -error };
        char path[TEXT_PATH_MAX];

        log_event(LOG_WARNING, &fields,
                  "Failed to unmount '%s': %s; mirror '%s' was removed, but its empty tmpfs stays",
                  text_path(path, config->target),
                  error == -EBUSY ? "something else is mounted over it" : strerror(-error), config->name);
}

void mirror_log_unfinished(const MirrorConfig *config, size_t n, const char *example) {
        LogFields fields = { .mirror = config->name, .path = example, .count = n };
        char path[TEXT_PATH_MAX], target[TEXT_PATH_MAX];

        log_event(LOG_NOTICE, &fields,
                  "Removing %zu file%s from '%s' without saving, such as '%s': unfinished, by name", n,
                  n == 1 ? "" : "s", text_path(target, config->target), text_path(path, example));
}

void mirror_log_removed(const MirrorConfig *config, const char *left) {
        LogFields fields = event_of(config, left ? MESSAGE_MIRROR_KEPT : NULL);
        _cleanup_(freep) char *kept = left ? explain_mirror_kept(config, left) : NULL;
        char target[TEXT_PATH_MAX];

        fields.path = left;
        if (!left)
                log_event(LOG_NOTICE, &fields, "Mirror '%s' was removed from '%s'", config->name,
                          text_path(target, config->target));
        else
                log_event(LOG_ERR, &fields, "%s", kept ? kept : "Out of memory");
}
