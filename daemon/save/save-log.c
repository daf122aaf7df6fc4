/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the journal says about saves. See save/save-log.h. */

#include "save/save-log.h"

#include "base/messages.h"
#include "base/text.h"
#include "tree/scan.h"

/* A wave lasts at least so long, however often the queue runs empty meanwhile, and logs so many by name. */
#define WAVE_USEC (60 * USEC_PER_SEC)
enum { LINES_MAX = 20 };

static LogFields fields_of(const MirrorConfig *config, const SaveItem *item, const char *message_id) {
        return (LogFields){ .message_id = message_id, .mirror = config->name, .source = config->source,
                            .target = config->target, .path = item->path, .bytes = save_item_bytes(item) };
}

void save_log_init(SaveLog *log, const MirrorConfig *config) {
        log->config = config;
        log->done.max = log->conflicts.max = log->failures.max = LINES_MAX;
}

/* Like log_limit_pass(); a wave may begin with this one. */
static bool pass(LogLimit *limit, uint64_t *begun_usec, uint64_t now_usec) {
        if (limit->n == 0)
                *begun_usec = now_usec;
        return log_limit_pass(limit);
}

static void end_of_done(SaveLog *log) {
        LogFields fields = { .mirror = log->config->name, .count = log->done.n };
        size_t more = log_limit_end(&log->done);

        if (more > 0)
                log_event(LOG_INFO, &fields, "Mirror '%s': saved or removed %zu more files", log->config->name, more);
}

static void end_of_conflicts(SaveLog *log) {
        LogFields fields = { .mirror = log->config->name, .count = log->conflicts.n };
        size_t more = log_limit_end(&log->conflicts);
        char source[TEXT_PATH_MAX];

        if (more > 0)
                log_event(LOG_WARNING, &fields,
                          "Mirror '%s': %zu more files were changed on both sides; compare them with the other "
                          "versions in '%s/" SCAN_PRIVATE_DIR "/conflicts'",
                          log->config->name, more, text_path(source, log->config->source));
}

static void end_of_failures(SaveLog *log) {
        LogFields fields = { .mirror = log->config->name, .count = log->failures.n };
        size_t more = log_limit_end(&log->failures);

        if (more > 0)
                log_event(LOG_WARNING, &fields, "Mirror '%s': %zu more files could not be saved", log->config->name,
                          more);
}

void save_log_remaining(SaveLog *log, uint64_t now_usec) {
        if (now_usec - log->done_usec >= WAVE_USEC) {
                end_of_done(log);
                end_of_conflicts(log);
        }
}

void save_log_end(SaveLog *log) {
        end_of_done(log);
        end_of_conflicts(log);
        end_of_failures(log);
}

static void log_removal(const MirrorConfig *config, const SaveItem *item, int priority) {
        LogFields fields = fields_of(config, item, NULL);
        char path[TEXT_PATH_MAX], source[TEXT_PATH_MAX];

        (void) text_path(path, item->path);
        if (item->save.trash && item->source.type != ENTRY_DIRECTORY)
                log_event(priority, &fields, "Moved '%s' to '%s/" SCAN_PRIVATE_DIR "/trash' because it was deleted in "
                          "the mirror",
                          path, text_path(source, config->source));
        else
                log_event(priority, &fields, "Removed '%s' from disk because it was deleted in the mirror", path);
}

static void log_conflict(const MirrorConfig *config, const SaveItem *item, bool by_name) {
        LogFields fields = fields_of(config, item, by_name ? MESSAGE_CONFLICT : NULL);
        char path[TEXT_PATH_MAX], kept[TEXT_PATH_MAX], source[TEXT_PATH_MAX];

        fields.kept = item->save.kept;
        log_event(by_name ? LOG_WARNING : LOG_DEBUG, &fields,
                  "'%s' differs on disk and in the mirror; the version from the %s now has this name, and the other "
                  "one was kept as '%s/%s'; to keep that one, move it to this name in the source; otherwise delete it",
                  text_path(path, item->path), item->save.kind == SAVE_BESIDE ? "disk" : "mirror",
                  text_path(source, config->source), text_path(kept, item->save.kept));
}

static void log_found(const MirrorConfig *config, const SaveItem *item) {
        LogFields fields = fields_of(config, item, NULL);
        char path[TEXT_PATH_MAX];

        log_event(LOG_DEBUG, &fields, "'%s' is on disk already, with the same bytes", text_path(path, item->path));
}

static void log_done(const MirrorConfig *config, const SaveItem *item, int priority) {
        LogFields fields = fields_of(config, item, NULL);
        char path[TEXT_PATH_MAX], origin[TEXT_PATH_MAX], bytes[TEXT_BYTES_MAX];

        (void) text_path(path, item->path);
        if (item->save.kind == SAVE_REMOVAL)
                log_removal(config, item, priority);
        else if (item->save.kind == SAVE_ATTRIBUTES)
                log_event(priority, &fields, "Updated owner, mode or time of '%s' on disk", path);
        else if (item->save.kind == SAVE_LINKED)
                log_event(priority, &fields, "Renamed '%s' to '%s' on disk, following the mirror",
                          text_path(origin, item->origin.path), path);
        else if (item->mirror.type == ENTRY_FILE)
                log_event(priority, &fields, "Saved '%s' (%s)", path, text_bytes(bytes, item->mirror.size));
        else
                log_event(LOG_DEBUG, &fields, "Saved '%s'", path);
}

void save_log_done(SaveLog *log, const SaveItem *item, uint64_t now_usec) {
        if (item->save.kept)
                log_conflict(log->config, item, log_limit_pass(&log->conflicts));
        else if (item->save.found)
                log_found(log->config, item);
        else
                log_done(log->config, item, pass(&log->done, &log->done_usec, now_usec) ? LOG_INFO : LOG_DEBUG);
}

/* The last attempt of all has the same problem, and only no outlook any more. */
static bool says_the_same(const char *before, const char *now) {
        return before && strncmp(before, now, strlen(now)) == 0;
}

/* Takes @text. */
static void log_problem(SaveLog *log, SaveItem *item, int priority, LogFields fields, char *text, uint64_t now_usec) {
        if (log->failures.n > 0 && now_usec - log->failures_usec >= WAVE_USEC)
                end_of_failures(log);
        if (text && !says_the_same(item->problem, text)) {
                if (!pass(&log->failures, &log->failures_usec, now_usec)) {
                        fields.message_id = NULL;
                        priority = LOG_DEBUG;
                }
                log_event(priority, &fields, "%s", text);
        }
        free(item->problem);
        item->problem = text;
}

/* What ends a message about something that may still succeed. */
static const char *outlook(const SaveItem *item) {
        return item->state == ITEM_REFUSED ? "" : "; will retry";
}

static char *describe_no_room(const SaveItem *item, const char *path, const char *source) {
        char bytes[TEXT_BYTES_MAX];

        if (item->action == PLAN_DELETE)
                return text_format("Failed to move '%s' to the trash: the disk of '%s' is full, even a directory in "
                                   "the trash does not fit; make room%s",
                                   path, source, outlook(item));
        return text_format("Failed to save '%s' (%s): the disk of '%s' is full, and only the mirror has it; make "
                           "room%s", path, text_bytes(bytes, item->mirror.size), source, outlook(item));
}

/* NULL where there is nothing to report, or no memory. */
static char *describe(const MirrorConfig *config, const SaveItem *item) {
        const Save *save = &item->save;
        char path[TEXT_PATH_MAX], source[TEXT_PATH_MAX];

        (void) text_path(path, item->path);
        (void) text_path(source, config->source);
        switch (save->outcome) {
        case SAVE_BAD:
                return text_format("'%s' in the mirror is not saved: %s; it is incomplete or damaged; download it "
                                   "again",
                                   path, save->text ? save->text : "its bytes are wrong");
        case SAVE_LEADS_OUT:
                return text_format("'%s' in the mirror is not saved: it is a symbolic link that points outside the "
                                   "mirror", path);
        case SAVE_FOLDED:
                return text_format("'%s' in the mirror is not saved: the filesystem of '%s' does not distinguish "
                                   "its name from '%s'; rename one of them",
                                   path, source, save->text ? save->text : "?");
        case SAVE_NO_ROOM:
                return describe_no_room(item, path, source);
        case SAVE_GARBLED:
                return text_format("Failed to save '%s': read-back verification failed repeatedly on '%s'; check that "
                                   "disk%s",
                                   path, source, outlook(item));
        case SAVE_FAILED:
                return text_format("Failed to %s '%s'%s: %s%s%s%s",
                                   item->action == PLAN_DELETE ? "delete" : "save", path,
                                   item->action == PLAN_DELETE ? " on disk" : "", strerror(save->error),
                                   save->what ? " while trying to " : "", save->what ? save->what : "", outlook(item));
        case SAVE_OCCUPIED:
                if (item->attempts < 3)
                        return NULL; /* the next scan may see what it is */
                return text_format("'%s' in the mirror is not saved: '%s' already has a file of this name that this "
                                   "mirror does not manage; rename one of them",
                                   path, source);
        case SAVE_BUSY:
                if (item->state != ITEM_REFUSED)
                        return NULL;
                return text_format("'%s' in the mirror is not saved: it is still open for writing", path);
        case SAVE_DONE:
        case SAVE_CHANGED:
        case SAVE_GONE:
        case SAVE_CANCELLED:
                break;
        }
        return NULL;
}

static const char *reason_of(SaveOutcome outcome) {
        static const char *const reasons[] = {
                [SAVE_BUSY] = "busy", [SAVE_BAD] = "bad", [SAVE_LEADS_OUT] = "leads-out",
                [SAVE_OCCUPIED] = "occupied", [SAVE_FOLDED] = "folded", [SAVE_NO_ROOM] = "no-room",
                [SAVE_GARBLED] = "garbled", [SAVE_FAILED] = "failed",
        };

        return outcome < ELEMENTSOF(reasons) && reasons[outcome] ? reasons[outcome] : "failed";
}

void save_log_failure(SaveLog *log, SaveItem *item, uint64_t now_usec) {
        SaveOutcome outcome = item->save.outcome;
        LogFields fields =
                fields_of(log->config, item, save_item_is_hopeless(item) ? MESSAGE_REFUSED : MESSAGE_UNSAVED);
        char *text = describe(log->config, item);

        fields.reason = reason_of(outcome);
        fields.error = outcome == SAVE_NO_ROOM ? ENOSPC : outcome == SAVE_FAILED ? item->save.error : 0;
        if (text || outcome == SAVE_BUSY)
                log_problem(log, item, LOG_WARNING, fields, text, now_usec);
}

/* A pointer to content that is still being fetched is nothing to alert anyone about. */
void save_log_incomplete(SaveLog *log, SaveItem *item, const char *missing, bool stopping, uint64_t now_usec) {
        LogFields fields =
                fields_of(log->config, item, item->broken ? MESSAGE_REFUSED : stopping ? MESSAGE_UNSAVED : NULL);
        char path[TEXT_PATH_MAX], named[TEXT_PATH_MAX], *text;

        fields.reason = item->broken ? "bad" : "incomplete";
        (void) text_path(path, item->path);
        if (item->broken)
                text = text_format("'%s' in the mirror is not saved: %s", path, item->broken);
        else
                text = text_format("'%s' in the mirror is not saved%s: '%s', which it references, is neither on "
                                   "disk nor complete in the mirror",
                                   path, stopping ? "" : " yet", text_path(named, missing ? missing : "?"));
        log_problem(log, item, LOG_NOTICE, fields, text, now_usec);
}
