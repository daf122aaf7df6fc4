/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What is said about saves. See save/log.h. */

#include "save/log.h"

#include "base/log.h"
#include "base/messages.h"
#include "base/text.h"
#include "tree/scan.h"

/* So long a wave is told by its first names, however often the queue runs empty meanwhile. */
#define WAVE_USEC (60 * USEC_PER_SEC)

static LogFields fields_of(const MirrorConfig *config, const SaveItem *item, const char *message_id) {
        return (LogFields){ .message_id = message_id,
                            .mirror = config->name,
                            .source = config->source,
                            .target = config->target,
                            .path = item->path,
                            .bytes = save_item_bytes(item) };
}

/* True if there is a line left for one more of a wave, which may begin with it. */
static bool count(size_t *n, uint64_t *begun_usec, uint64_t now_usec) {
        if (*n == 0)
                *begun_usec = now_usec;
        return (*n)++ < SAVE_LOG_LINES_MAX;
}

static void end_of_done(SaveLog *log) {
        LogFields fields = { .mirror = log->config->name, .count = log->n_done };

        if (log->n_done > SAVE_LOG_LINES_MAX)
                log_event(LOG_INFO, &fields, "Of mirror '%s' %zu more were saved or removed, which are not listed",
                          log->config->name, log->n_done - SAVE_LOG_LINES_MAX);
        log->n_done = 0;
}

static void end_of_conflicts(SaveLog *log) {
        LogFields fields = { .message_id = MESSAGE_CONFLICT,
                             .mirror = log->config->name,
                             .source = log->config->source,
                             .target = log->config->target,
                             .count = log->n_conflicts };
        char source[TEXT_PATH_MAX];

        if (log->n_conflicts > SAVE_LOG_LINES_MAX)
                log_event(LOG_WARNING, &fields,
                          "Of mirror '%s' %zu more were changed on both sides, which are not listed: the other "
                          "versions are in '%s/" SCAN_PRIVATE_DIR "/conflicts'",
                          log->config->name, log->n_conflicts - SAVE_LOG_LINES_MAX,
                          text_path(source, log->config->source));
        log->n_conflicts = 0;
}

static void end_of_troubles(SaveLog *log) {
        LogFields fields = { .mirror = log->config->name, .count = log->n_troubles };

        if (log->n_troubles > SAVE_LOG_LINES_MAX)
                log_event(LOG_WARNING, &fields, "Of mirror '%s' %zu more could not be saved, which are not listed",
                          log->config->name, log->n_troubles - SAVE_LOG_LINES_MAX);
        log->n_troubles = 0;
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
        end_of_troubles(log);
}

static void explain_removal(const MirrorConfig *config, const SaveItem *item, int priority) {
        LogFields fields = fields_of(config, item, NULL);
        char path[TEXT_PATH_MAX], source[TEXT_PATH_MAX];

        (void) text_path(path, item->path);
        if (item->save.trash && item->source.type != ENTRY_DIRECTORY)
                log_event(priority, &fields,
                          "'%s' was deleted in the mirror: on disk it was moved to '%s/.shmstaged/trash'", path,
                          text_path(source, config->source));
        else
                log_event(priority, &fields, "'%s' was deleted in the mirror: it was removed from the disk too", path);
}

/* Of a directory and something else the directory has the name, whichever is newer. */
static bool concerns_directory(const SaveItem *item) {
        return item->mirror.type == ENTRY_DIRECTORY || item->source.type == ENTRY_DIRECTORY;
}

static void explain_conflict(const MirrorConfig *config, const SaveItem *item, bool by_name) {
        LogFields fields = fields_of(config, item, by_name ? MESSAGE_CONFLICT : NULL);
        char path[TEXT_PATH_MAX], kept[TEXT_PATH_MAX], source[TEXT_PATH_MAX];

        fields.kept = item->save.kept;
        log_event(by_name ? LOG_WARNING : LOG_DEBUG, &fields,
                  "'%s' was changed on disk and in the mirror: the %s, %s, has the name now, the other is kept as "
                  "'%s/%s': look at both, and remove the one that is not wanted",
                  text_path(path, item->path), concerns_directory(item) ? "directory" : "newer one",
                  item->save.kind == SAVE_BESIDE ? "from the disk" : "from the mirror",
                  text_path(source, config->source), text_path(kept, item->save.kept));
}

static void explain_done(const MirrorConfig *config, const SaveItem *item, int priority) {
        LogFields fields = fields_of(config, item, NULL);
        char path[TEXT_PATH_MAX], origin[TEXT_PATH_MAX], bytes[TEXT_BYTES_MAX];

        (void) text_path(path, item->path);
        if (item->save.kind == SAVE_REMOVAL)
                explain_removal(config, item, priority);
        else if (item->save.kind == SAVE_ATTRIBUTES)
                log_event(priority, &fields, "Owner, mode or time of '%s' were carried to the disk", path);
        else if (item->origin.path)
                log_event(priority, &fields, "'%s' was renamed to '%s' in the mirror: so it was on disk",
                          text_path(origin, item->origin.path), path);
        else if (item->mirror.type == ENTRY_FILE)
                log_event(priority, &fields, "Saved '%s' (%s)", path, text_bytes(bytes, item->mirror.size));
        else
                log_event(LOG_DEBUG, &fields, "Saved '%s'", path);
}

void save_log_done(SaveLog *log, const SaveItem *item, uint64_t now_usec) {
        bool by_name = count(&log->n_done, &log->done_usec, now_usec);

        if (item->save.kept)
                explain_conflict(log->config, item, log->n_conflicts++ < SAVE_LOG_LINES_MAX);
        else
                explain_done(log->config, item, by_name ? LOG_INFO : LOG_DEBUG);
}

/* Takes @text. */
static void explain_once(SaveLog *log, SaveItem *item, int priority, LogFields fields, char *text, uint64_t now_usec) {
        if (log->n_troubles > 0 && now_usec - log->trouble_usec >= WAVE_USEC)
                end_of_troubles(log);
        if (text && !string_equal(text, item->problem)) {
                if (!count(&log->n_troubles, &log->trouble_usec, now_usec)) {
                        fields.message_id = NULL;
                        priority = LOG_DEBUG;
                }
                log_event(priority, &fields, "%s", text);
        }
        free(item->problem);
        item->problem = text;
}

/* NULL where there is nothing to tell, or no memory. */
static char *describe(const MirrorConfig *config, const SaveItem *item) {
        char path[TEXT_PATH_MAX], source[TEXT_PATH_MAX], bytes[TEXT_BYTES_MAX];
        char *text = NULL;
        int r = -1;

        (void) text_path(path, item->path);
        (void) text_path(source, config->source);
        switch (item->save.outcome) {
        case SAVE_BAD:
                r = asprintf(&text,
                             "'%s' in the mirror is not saved: %s. It is incomplete or damaged: fetch it again", path,
                             item->save.text ? item->save.text : "its bytes are wrong");
                break;
        case SAVE_LEADS_OUT:
                r = asprintf(&text, "'%s' in the mirror is a symbolic link that leads out of it: it is not saved",
                             path);
                break;
        case SAVE_FOLDED:
                r = asprintf(&text,
                             "'%s' in the mirror cannot be saved: the disk of '%s' takes its name for that of '%s'. "
                             "Rename one of them",
                             path, source, item->save.text ? item->save.text : "?");
                break;
        case SAVE_NO_ROOM:
                if (item->action == PLAN_DELETE)
                        r = asprintf(&text,
                                     "'%s' in the mirror cannot be deleted on disk: the disk of '%s' is so full that "
                                     "there is no room for its place in the "
                                     "trash. It is tried again: make room",
                                     path, source);
                else
                        r = asprintf(&text,
                                     "'%s' (%s) cannot be saved: the disk of '%s' is full. It is kept in the mirror "
                                     "only, and tried again: make room",
                                     path, text_bytes(bytes, item->mirror.size), source);
                break;
        case SAVE_GARBLED:
                r = asprintf(&text,
                             "'%s' cannot be saved: what the disk of '%s' gives back is not what was written, time "
                             "and again. Check that disk; it is "
                             "tried again",
                             path, source);
                break;
        case SAVE_FAILED:
                r = asprintf(&text, "'%s' in the mirror cannot be %s: failed to %s: %s. It is tried again", path,
                             item->action == PLAN_DELETE ? "deleted on disk" : "saved",
                             item->save.what ? item->save.what : "do it", strerror(item->save.error));
                break;
        case SAVE_OCCUPIED:
                if (item->attempts < 3)
                        return NULL; /* the next look may see what it is */
                r = asprintf(&text,
                             "'%s' in the mirror cannot be saved: in '%s' stands something of that name which is not "
                             "part of the mirror. Rename "
                             "one of them",
                             path, source);
                break;
        case SAVE_BUSY:
                if (item->state != ITEM_REFUSED)
                        return NULL;
                r = asprintf(&text, "'%s' in the mirror is still open for writing: it is not saved", path);
                break;
        case SAVE_DONE:
        case SAVE_CHANGED:
        case SAVE_GONE:
        case SAVE_CANCELLED:
                return NULL;
        }
        return r < 0 ? NULL : text;
}

static const char *reason_of(SaveOutcome outcome) {
        switch (outcome) {
        case SAVE_BUSY:
                return "busy";
        case SAVE_BAD:
                return "bad";
        case SAVE_LEADS_OUT:
                return "leads-out";
        case SAVE_OCCUPIED:
                return "occupied";
        case SAVE_FOLDED:
                return "folded";
        case SAVE_NO_ROOM:
                return "no-room";
        case SAVE_GARBLED:
                return "garbled";
        case SAVE_FAILED:
        case SAVE_DONE:
        case SAVE_CHANGED:
        case SAVE_GONE:
        case SAVE_CANCELLED:
                return "failed";
        }
        return "failed";
}

void save_log_failures(SaveLog *log, SaveItem *item, uint64_t now_usec) {
        LogFields fields =
                fields_of(log->config, item, save_item_is_hopeless(item) ? MESSAGE_REFUSED : MESSAGE_UNSAVED);
        char *text = describe(log->config, item);

        fields.reason = reason_of(item->save.outcome);
        fields.error = item->save.outcome == SAVE_NO_ROOM  ? ENOSPC
                       : item->save.outcome == SAVE_FAILED ? item->save.error
                                                           : 0;
        if (text || item->save.outcome == SAVE_BUSY)
                explain_once(log, item, LOG_WARNING, fields, text, now_usec);
}

/* A pointer whose content is still being fetched is nothing to be woken for. */
void save_log_incomplete(SaveLog *log, SaveItem *item, const char *missing, bool last, uint64_t now_usec) {
        LogFields fields = fields_of(log->config, item, item->broken ? MESSAGE_REFUSED : last ? MESSAGE_UNSAVED : NULL);
        char path[TEXT_PATH_MAX], named[TEXT_PATH_MAX], *text = NULL;
        int r;

        fields.reason = item->broken ? "bad" : "incomplete";
        (void) text_path(path, item->path);
        if (item->broken)
                r = asprintf(&text, "'%s' in the mirror is not saved: %s", path, item->broken);
        else
                r = asprintf(&text,
                             "'%s' in the mirror is not saved%s: '%s', which it names, is neither on disk nor whole "
                             "in the mirror",
                             path, last ? "" : " yet", text_path(named, missing ? missing : "?"));
        explain_once(log, item, LOG_NOTICE, fields, r < 0 ? NULL : text, now_usec);
}
