/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What is said about saves. See savelog.h. */

#include "savelog.h"

#include "log.h"
#include "messages.h"
#include "text.h"

static LogFields fields_of(const MirrorConfig *config, const SaveItem *item, const char *message_id) {
        return (LogFields){ .mirror = config->name, .path = item->path, .message_id = message_id };
}

static void tell_removal(const MirrorConfig *config, const SaveItem *item, int priority) {
        LogFields fields = fields_of(config, item, NULL);
        char path[TEXT_PATH_MAX], source[TEXT_PATH_MAX];

        (void) text_path(path, item->path);
        if (item->save.trash && item->source.type != ENTRY_DIRECTORY)
                log_event(priority, &fields, "'%s' was deleted in the mirror: on disk it was moved to '%s/.shmstaged/trash'", path,
                          text_path(source, config->source));
        else
                log_event(priority, &fields, "'%s' was deleted in the mirror: it was removed from the disk too", path);
}

/* Of a directory and something else the directory has the name, whichever is newer. */
static bool concerns_directory(const SaveItem *item) {
        return item->mirror.type == ENTRY_DIRECTORY || item->source.type == ENTRY_DIRECTORY;
}

void savelog_done(const MirrorConfig *config, const SaveItem *item, bool by_name) {
        LogFields fields = fields_of(config, item, item->save.kept ? MESSAGE_CONFLICT : NULL);
        char path[TEXT_PATH_MAX], kept[TEXT_PATH_MAX], source[TEXT_PATH_MAX], bytes[TEXT_BYTES_MAX];
        int priority = by_name ? LOG_INFO : LOG_DEBUG;

        (void) text_path(path, item->path);
        if (item->save.kept)
                log_event(LOG_WARNING, &fields, "'%s' was changed on disk and in the mirror: the %s, %s, has the name now, the other is kept as "
                          "'%s/%s': look at both, and remove the one that is not wanted", path, concerns_directory(item) ? "directory" : "newer one",
                          item->save.kind == SAVE_BESIDE ? "from the disk" : "from the mirror", text_path(source, config->source),
                          text_path(kept, item->save.kept));
        else if (item->save.kind == SAVE_REMOVAL)
                tell_removal(config, item, priority);
        else if (item->save.kind == SAVE_ATTRIBUTES)
                log_event(priority, &fields, "Owner, mode or time of '%s' were carried to the disk", path);
        else if (item->origin.path)
                log_event(priority, &fields, "'%s' was renamed to '%s' in the mirror: so it was on disk", text_path(kept, item->origin.path), path);
        else if (item->mirror.type == ENTRY_FILE)
                log_event(priority, &fields, "Saved '%s' (%s)", path, text_bytes(bytes, item->mirror.size));
        else
                log_event(LOG_DEBUG, &fields, "Saved '%s'", path);
}

void savelog_more(const MirrorConfig *config, size_t n) {
        LogFields fields = { .mirror = config->name };

        if (n > SAVELOG_LINES_MAX)
                log_event(LOG_INFO, &fields, "Of mirror '%s' %zu more were saved or removed, which are not listed", config->name, n - SAVELOG_LINES_MAX);
}

/* Takes @text. */
static void tell_once(const MirrorConfig *config, SaveItem *item, int priority, char *text) {
        LogFields fields = fields_of(config, item, MESSAGE_UNSAVED);

        if (text && !string_equal(text, item->problem))
                log_event(priority, &fields, "%s", text);
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
                r = asprintf(&text, "'%s' in the mirror is not saved: %s. It is incomplete or damaged: fetch it again", path,
                             item->save.text ? item->save.text : "its bytes are wrong");
                break;
        case SAVE_LEADS_OUT:
                r = asprintf(&text, "'%s' in the mirror is a symbolic link that leads out of it: it is not saved", path);
                break;
        case SAVE_FOLDED:
                r = asprintf(&text, "'%s' in the mirror cannot be saved: the disk of '%s' takes its name for that of '%s'. Rename one of them", path,
                             source, item->save.text ? item->save.text : "?");
                break;
        case SAVE_NO_ROOM:
                if (item->action == PLAN_DELETE)
                        r = asprintf(&text, "'%s' in the mirror cannot be deleted on disk: the disk of '%s' is so full that there is no room for its place in the "
                                     "trash. It is tried again: make room", path, source);
                else
                        r = asprintf(&text, "'%s' (%s) cannot be saved: the disk of '%s' is full. It is kept in the mirror only, and tried again: make room", path,
                             text_bytes(bytes, item->mirror.size), source);
                break;
        case SAVE_GARBLED:
                r = asprintf(&text, "'%s' cannot be saved: what the disk of '%s' gives back is not what was written, time and again. Check that disk; it is "
                             "tried again", path, source);
                break;
        case SAVE_FAILED:
                r = asprintf(&text, "'%s' in the mirror cannot be %s: failed to %s: %s. It is tried again", path,
                             item->action == PLAN_DELETE ? "deleted on disk" : "saved", item->save.what ? item->save.what : "do it",
                             strerror(item->save.error));
                break;
        case SAVE_OCCUPIED:
                if (item->attempts < 3)
                        return NULL; /* the next look may see what it is */
                r = asprintf(&text, "'%s' in the mirror cannot be saved: in '%s' stands something of that name which is not part of the mirror. Rename "
                             "one of them", path, source);
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

void savelog_trouble(const MirrorConfig *config, SaveItem *item) {
        char *text = describe(config, item);

        if (text || item->save.outcome == SAVE_BUSY)
                tell_once(config, item, LOG_WARNING, text);
}

void savelog_incomplete(const MirrorConfig *config, SaveItem *item, const char *missing, bool last) {
        char path[TEXT_PATH_MAX], named[TEXT_PATH_MAX], *text = NULL;
        int r;

        (void) text_path(path, item->path);
        if (item->broken)
                r = asprintf(&text, "'%s' in the mirror is not saved: %s", path, item->broken);
        else
                r = asprintf(&text, "'%s' in the mirror is not saved%s: '%s', which it names, is neither on disk nor whole in the mirror", path,
                             last ? "" : " yet", text_path(named, missing ? missing : "?"));
        tell_once(config, item, LOG_NOTICE, r < 0 ? NULL : text);
}
