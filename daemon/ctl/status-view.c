/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The status of the daemon as lines for people. See ctl/status-view.h. */

#include "ctl/status-view.h"

#include "base/strv.h"
#include "base/text.h"
#include "ctl/reply.h"

enum { LABEL_WIDTH = 10, INDENT = LABEL_WIDTH + 2, BAR_MAX = 30 };

/* The lines made so far. After a failed allocation, adding more does nothing. */
typedef struct View {
        const ViewInput *input;
        const Screen *screen;
        size_t width; /* of a line; SIZE_MAX: as long as it is */
        char **lines;
        bool failed;
} View;

static void take_line(View *view, char *line) {
        view->failed = view->failed || !line || strv_take(&view->lines, line) < 0;
}

/* How many bytes of @text go into a line of @width columns: up to a blank, or as many as fit of a word that is longer
 * than the line. */
static size_t break_line(const char *text, size_t width) {
        size_t blank = 0, at = 0, used = 0;

        while (text[at]) {
                size_t n = 1;
                char one[8];

                while ((text[at + n] & 0xc0) == 0x80 && n < sizeof(one) - 1)
                        n++;
                memcpy(one, text + at, n);
                one[n] = '\0';
                used += screen_width(one);
                if (used > width)
                        return blank > 0 ? blank : MAX(at, n);
                at += n;
                if (text[at] == ' ')
                        blank = at;
        }
        return at;
}

/* "   Label: text", and the rest of a long text below it. Without a label, the text continues what came before. It is
 * safe to print, or NULL if memory ran out. */
static void add_safe(View *view, const char *label, ScreenColour colour, const char *text) {
        size_t room = view->width == SIZE_MAX ? SIZE_MAX : view->width - MIN(view->width - 1, INDENT);
        bool is_first = true;

        if (!text)
                view->failed = true;
        while (text && (is_first || *text)) {
                size_t n = room == SIZE_MAX ? strlen(text) : break_line(text, room);
                bool coloured = colour != SCREEN_PLAIN && n > 0;

                take_line(view, text_format("%*s%s %s%.*s%s", LABEL_WIDTH, is_first && label ? label : "",
                                            is_first && label ? ":" : " ",
                                            coloured ? screen_colour(view->screen, colour) : "", (int) n, text,
                                            coloured ? screen_end(view->screen) : ""));
                is_first = false;
                text += n + strspn(text + n, " ");
        }
}

static void add(View *view, const char *label, ScreenColour colour, const char *text) {
        _cleanup_(freep) char *safe = text ? screen_text(text) : NULL;

        add_safe(view, label, colour, safe);
}

/* Frees the text. */
static void add_taken(View *view, const char *label, ScreenColour colour, char *text) {
        add(view, label, colour, text);
        free(text);
}

static const char *amount(const View *view, char buffer[static TEXT_BYTES_MAX * 2], uint64_t bytes) {
        if (!view->input->bytes)
                return text_bytes(buffer, bytes);
        (void) snprintf(buffer, TEXT_BYTES_MAX * 2, "%llu", (unsigned long long) bytes);
        return buffer;
}

static ScreenColour state_colour(const char *state) {
        if (string_equal(state, "ready"))
                return SCREEN_GREEN;
        if (string_equal(state, "failed"))
                return SCREEN_RED;
        if (!state || string_equal(state, "not running"))
                return SCREEN_PLAIN;
        return SCREEN_YELLOW;
}

/* The first line: the state. */
static void add_head(View *view, const char *state) {
        const Screen *screen = view->screen;
        bool failed = string_equal(state, "failed"), absent = string_equal(state, "not running");
        const char *dot = screen->unicode ? absent ? "○" : failed ? "×" : "●" : absent ? "o" : failed ? "x" : "*";
        const char *colour = screen_colour(screen, state_colour(state)), *end = screen_end(screen);
        _cleanup_(freep) char *safe = screen_text(state ? state : "unknown");

        take_line(view, safe ? text_format("%s%s%s shmstaged: %s%s%s", colour, dot, end, colour, safe, end) : NULL);
}

static void add_daemon(View *view, const json_t *daemon) {
        uint64_t jobs = ctl_reply_number(daemon, "jobs");
        const char *status = ctl_reply_text(daemon, "status_text");
        char span[TEXT_SPAN_MAX], *text = NULL;

        add_head(view, ctl_reply_flag(daemon, "degraded") ? "degraded" : ctl_reply_text(daemon, "state"));
        (void) text_append(&text, "version %s, PID %llu, up %s", ctl_reply_text(daemon, "version"),
                           (unsigned long long) ctl_reply_number(daemon, "pid"),
                           text_span(span, ctl_reply_number(daemon, "uptime_usec")));
        if (jobs > 0)
                (void) text_append(&text, ", %llu %s running", (unsigned long long) jobs, jobs == 1 ? "job" : "jobs");
        add_taken(view, "Daemon", SCREEN_PLAIN, text);
        if (status)
                add(view, "Status", SCREEN_PLAIN, status);
}

static void add_title(View *view, const json_t *mirror) {
        const char *arrow = view->screen->unicode ? "→" : "->";
        const char *source = ctl_reply_text(mirror, "source"), *target = ctl_reply_text(mirror, "target");
        _cleanup_(freep) char *text = NULL, *safe = NULL, *cut = NULL;
        bool ready = ctl_reply_flag(mirror, "ready"), failed = string_equal(ctl_reply_text(mirror, "state"), "failed");
        const char *dot = view->screen->unicode ? failed ? "×" : "●" : failed ? "x" : "*";
        ScreenColour dye = failed                                         ? SCREEN_RED
                           : ctl_reply_flag(mirror, "degraded") || !ready ? SCREEN_YELLOW
                                                                          : SCREEN_GREEN;
        const char *colour = screen_colour(view->screen, dye);

        (void) text_append(&text, "%s", ctl_reply_text(mirror, "name"));
        if (source && target)
                (void) text_append(&text, ": %s %s %s", source, arrow, target);
        safe = text ? screen_text(text) : NULL;
        cut = safe ? screen_cut(view->screen, safe,
                                view->width == SIZE_MAX ? SIZE_MAX : view->width - MIN(view->width, 2))
                   : NULL;
        take_line(view, strdup(""));
        take_line(view, cut ? text_format("%s%s%s %s", colour, dot, screen_end(view->screen), cut) : NULL);
}

static void add_state(View *view, const json_t *mirror) {
        const char *state = ctl_reply_text(mirror, "state"), *layout = ctl_reply_text(mirror, "layout");
        bool ready = ctl_reply_flag(mirror, "ready"), degraded = ctl_reply_flag(mirror, "degraded");
        char *text = NULL;

        /* "idle" would add nothing to "ready" for someone who wants to use the mirror. */
        (void) text_append(&text, "%s", degraded ? "degraded" : ready ? "ready" : "not ready");
        if (state && strcmp(state, "idle") != 0)
                (void) text_append(&text, ", %s", state);
        if (layout)
                (void) text_append(&text, ", %s layout", layout);
        if (json_object_get(mirror, "watching"))
                (void) text_append(&text, ", %s", ctl_reply_flag(mirror, "watching") ? "watched" : "not watched");
        add_taken(view, "State",
                  string_equal(state, "failed") ? SCREEN_RED
                  : degraded || !ready          ? SCREEN_YELLOW
                                                : SCREEN_GREEN,
                  text);
}

static void add_ram(View *view, const json_t *mirror) {
        uint64_t files = ctl_reply_number(mirror, "files"), models = ctl_reply_number(mirror, "models");
        uint64_t measured = ctl_reply_number(mirror, "measured_bytes");
        char bytes[TEXT_BYTES_MAX * 2], *text = NULL;

        (void) text_append(&text, "%llu %s", (unsigned long long) files, files == 1 ? "file" : "files");
        if (models > 0)
                (void) text_append(&text, " (%llu %s)", (unsigned long long) models, models == 1 ? "model" : "models");
        (void) text_append(&text, ", %s", amount(view, bytes, ctl_reply_number(mirror, "bytes")));
        if (ctl_reply_number(mirror, "tmpfs_size") > 0) {
                (void) text_append(&text, " of %s", amount(view, bytes, ctl_reply_number(mirror, "tmpfs_size")));
                (void) text_append(&text, ", %s free", amount(view, bytes, ctl_reply_number(mirror, "tmpfs_free")));
        }
        if (measured > 0)
                (void) text_append(&text, "; 2 MiB pages: %llu%%",
                                   (unsigned long long) (ctl_reply_number(mirror, "huge_bytes") * 100 / measured));
        if (ctl_reply_number(mirror, "swapped_bytes") > 0)
                (void) text_append(&text, "; swapped out: %s",
                                   amount(view, bytes, ctl_reply_number(mirror, "swapped_bytes")));
        add_taken(view, "In RAM", SCREEN_PLAIN, text);
}

/* The progress of staging, without the bar. */
static char *progress_text(const json_t *mirror, const View *view) {
        uint64_t todo = ctl_reply_number(mirror, "todo_bytes"),
                 done = MIN(ctl_reply_number(mirror, "done_bytes"), todo);
        uint64_t rate = ctl_reply_number(mirror, "rate");
        char a[TEXT_BYTES_MAX * 2], b[TEXT_BYTES_MAX * 2], span[TEXT_SPAN_MAX], *text = NULL;

        (void) text_append(&text, "%llu%%, %s of %s", (unsigned long long) (done * 100 / todo), amount(view, a, done),
                           amount(view, b, todo));
        if (rate > 0)
                (void) text_append(&text, ", %s/s", amount(view, a, rate));
        if (rate > 0 && json_object_get(mirror, "left_usec"))
                (void) text_append(&text, ", %s left", text_span(span, ctl_reply_number(mirror, "left_usec")));
        return text;
}

static void add_progress(View *view, const json_t *mirror) {
        uint64_t todo = ctl_reply_number(mirror, "todo_bytes"),
                 done = MIN(ctl_reply_number(mirror, "done_bytes"), todo);
        const char *path = ctl_reply_text(mirror, "path");
        _cleanup_(freep) char *bar = NULL, *text = NULL, *line = NULL;
        size_t width = view->width == SIZE_MAX ? BAR_MAX : MIN(BAR_MAX, view->width - MIN(view->width, INDENT));

        if (todo == 0)
                return;
        text = progress_text(mirror, view);
        if (width >= BAR_MAX / 3 && view->screen->terminal)
                bar = screen_bar(view->screen, width, (unsigned) (done * 100 / todo));
        line = text ? text_format("%s%s%s", bar ? bar : "", bar ? " " : "", text) : NULL;
        add_safe(view, "Staging", SCREEN_PLAIN, line);
        if (path)
                add(view, "At", SCREEN_PLAIN, path);
}

static void add_unsaved(View *view, const json_t *mirror) {
        uint64_t n = ctl_reply_number(mirror, "unsaved"), since = ctl_reply_number(mirror, "unsaved_since_usec");
        uint64_t saving = ctl_reply_number(mirror, "saving");
        char bytes[TEXT_BYTES_MAX * 2], span[TEXT_SPAN_MAX], *text = NULL;
        bool fails = ctl_reply_flag(mirror, "save_fails");

        if (n == 0)
                return;
        (void) text_append(&text, "%llu %s, %s, not on disk yet", (unsigned long long) n, n == 1 ? "file" : "files",
                           amount(view, bytes, ctl_reply_number(mirror, "unsaved_bytes")));
        if (since > 0 && since <= view->input->now_usec)
                (void) text_append(&text, "; oldest for %s", text_span(span, view->input->now_usec - since));
        if (saving > 0)
                (void) text_append(&text, "; %llu being saved", (unsigned long long) saving);
        if (fails)
                (void) text_append(&text, "; saving fails, retrying");
        add_taken(view, "Unsaved", fails ? SCREEN_RED : SCREEN_YELLOW, text);
        if (ctl_reply_text(mirror, "save_problem"))
                add(view, NULL, SCREEN_PLAIN, ctl_reply_text(mirror, "save_problem"));
}

/* Files that need attention: how many there are, and some of them with their reasons. */
typedef struct Trouble {
        const char *key;      /* of the count in the reply */
        const char *state;    /* of these files in ListFiles(); NULL: it does not list them */
        const char *label, *one, *many;
        const char *text_key; /* a sentence about one of them, shown when no files are listed; NULL */
        ScreenColour colour;
} Trouble;

static const Trouble troubles[] = {
        { "withheld", "withheld", "Withheld", "file that could not be read or verified",
          "files that could not be read or verified", "withheld_text", SCREEN_RED },
        { "unreadable", NULL, "Unreadable", "directory of the source", "directories of the source", "unreadable_text",
          SCREEN_RED },
        { "damaged", "damaged", "Damaged", "file with corrupted bytes in RAM", "files with corrupted bytes in RAM",
          NULL, SCREEN_RED },
        { "skipped", "skipped", "No room", "file not in RAM for lack of space (skipped, or linked)",
          "files not in RAM for lack of space (skipped, or linked)", NULL, SCREEN_YELLOW },
        { "linked", "linked", "Linked", "file to the disk (not selected, released, or no room in RAM)",
          "files to the disk (not selected, released, or no room in RAM)", NULL, SCREEN_PLAIN },
        { "released", "released", "Released", "file on request", "files on request", NULL, SCREEN_PLAIN },
        { "changed_only", "changed", "Changed", "file in the mirror only, which is not saved",
          "files in the mirror only, which are not saved", NULL, SCREEN_PLAIN },
        { "rejected", "rejected", "Rejected", "file that cannot be saved as it is",
          "files that cannot be saved as they are", NULL, SCREEN_YELLOW },
        { "deletions_held", NULL, "Deletions", "held back", "held back", NULL, SCREEN_YELLOW },
        { "conflicts", NULL, "Conflicts", "file that changed on both sides", "files that changed on both sides", NULL,
          SCREEN_YELLOW },
};

static size_t add_files(View *view, size_t mirror, const char *state) {
        size_t n = 0;

        for (size_t i = 0; i < view->input->n_files; i++) {
                const ViewFile *file = &view->input->files[i];
                _cleanup_(freep) char *path = NULL, *reason = NULL, *line = NULL;

                if (file->mirror != mirror || !state || strcmp(file->state, state) != 0)
                        continue;
                path = screen_path(file->path);
                reason = file->reason ? screen_text(file->reason) : NULL;
                if (path && (reason || !file->reason))
                        line = text_format("%s%s%s", path, reason ? ": " : "", reason ? reason : "");
                add_safe(view, NULL, SCREEN_PLAIN, line);
                n++;
        }
        return n;
}

static void add_trouble(View *view, const json_t *mirror, size_t i, const Trouble *trouble) {
        uint64_t n = ctl_reply_number(mirror, trouble->key);
        const char *text = trouble->text_key ? ctl_reply_text(mirror, trouble->text_key) : NULL;
        char *line = NULL;
        size_t shown;

        if (n == 0)
                return;
        (void) text_append(&line, "%llu %s", (unsigned long long) n, n == 1 ? trouble->one : trouble->many);
        add_taken(view, trouble->label, trouble->colour, line);
        shown = add_files(view, i, trouble->state);
        if (shown == 0 && text)
                add(view, NULL, SCREEN_PLAIN, text);
        line = NULL;
        if (shown == VIEW_FILES_MAX && shown < n &&
            text_append(&line, "and %llu more: shmstagectl list --state=%s", (unsigned long long) (n - shown),
                        trouble->state) == 0)
                add_taken(view, NULL, SCREEN_GREY, line);
        if (string_equal(trouble->key, "conflicts") && ctl_reply_text(mirror, "conflict")) {
                line = NULL;
                (void) text_append(&line, "for the latest one, the other version is kept as '%s'",
                                   ctl_reply_text(mirror, "conflict"));
                add_taken(view, NULL, SCREEN_PLAIN, line);
        }
}

static void add_rest(View *view, const json_t *mirror) {
        const char *health = ctl_reply_text(mirror, "source_state"), *problem = ctl_reply_text(mirror, "problem");
        const char *status = ctl_reply_text(json_object_get(view->input->status, "daemon"), "status_text");
        uint64_t trash = ctl_reply_number(mirror, "trash_files"), scrubbed = ctl_reply_number(mirror, "scrubbed_bytes");
        uint64_t repaired = ctl_reply_number(mirror, "repaired");
        char bytes[TEXT_BYTES_MAX * 2], *text = NULL;

        if (trash > 0) {
                (void) text_append(&text, "%llu %s, %s", (unsigned long long) trash, trash == 1 ? "file" : "files",
                                   amount(view, bytes, ctl_reply_number(mirror, "trash_bytes")));
                add_taken(view, "Trash", SCREEN_PLAIN, text);
        }
        text = NULL;
        if (scrubbed > 0 || repaired > 0) {
                (void) text_append(&text, "%s", amount(view, bytes, scrubbed));
                if (repaired > 0)
                        (void) text_append(&text, ", %llu repaired", (unsigned long long) repaired);
                add_taken(view, "Scrubbed", SCREEN_PLAIN, text);
        }
        if (health)
                add(view, "Source", string_equal(health, "healthy") ? SCREEN_PLAIN : SCREEN_RED, health);
        if (problem && !(status && strstr(status, problem))) /* the status line may quote it already */
                add(view, "Problem", SCREEN_RED, problem);
}

int status_view_print(const ViewInput *input, const Screen *screen, char ***ret) {
        View view = { .input = input, .screen = screen, .width = screen->terminal ? screen->columns : SIZE_MAX };
        const json_t *mirrors = json_object_get(input->status, "mirrors");

        if (input->status)
                add_daemon(&view, json_object_get(input->status, "daemon"));
        else
                add_head(&view, "not running");
        if (input->reason)
                add(&view, "Reason", SCREEN_PLAIN, input->reason);
        for (size_t i = 0; i < json_array_size(mirrors); i++) {
                const json_t *mirror = json_array_get(mirrors, i);

                add_title(&view, mirror);
                add_state(&view, mirror);
                add_ram(&view, mirror);
                add_progress(&view, mirror);
                add_unsaved(&view, mirror);
                for (size_t t = 0; t < ELEMENTSOF(troubles); t++)
                        add_trouble(&view, mirror, i, &troubles[t]);
                add_rest(&view, mirror);
        }
        if (view.failed) {
                (void) strv_free(view.lines);
                return -ENOMEM;
        }
        *ret = view.lines;
        return 0;
}

char *status_view_line(const json_t *mirror, bool bytes) {
        ViewInput input = { .bytes = bytes };
        Screen screen = {};
        View view = { .input = &input, .screen = &screen };
        const char *name = ctl_reply_text(mirror, "name"), *state = ctl_reply_text(mirror, "state");
        uint64_t unsaved = ctl_reply_number(mirror, "unsaved"), files = ctl_reply_number(mirror, "files");
        char amounts[TEXT_BYTES_MAX * 2], *line = NULL;

        (void) text_append(&line, "%s: %s", name ? name : "?",
                           ctl_reply_flag(mirror, "degraded") ? "degraded"
                           : ctl_reply_flag(mirror, "ready")  ? "ready"
                                                              : "not ready");
        if (state && strcmp(state, "idle") != 0)
                (void) text_append(&line, ", %s", state);
        if (ctl_reply_number(mirror, "todo_bytes") > 0) {
                _cleanup_(freep) char *progress = progress_text(mirror, &view);

                (void) text_append(&line, " %s", progress ? progress : "");
        }
        (void) text_append(&line, "; %llu %s, %s in RAM", (unsigned long long) files, files == 1 ? "file" : "files",
                           amount(&view, amounts, ctl_reply_number(mirror, "bytes")));
        if (unsaved > 0)
                (void) text_append(&line, "; %llu not on disk yet", (unsigned long long) unsaved);
        for (size_t t = 0; t < ELEMENTSOF(troubles); t++)
                if (ctl_reply_number(mirror, troubles[t].key) > 0)
                        (void) text_append(&line, "; %llu %s",
                                           (unsigned long long) ctl_reply_number(mirror, troubles[t].key),
                                           troubles[t].key);
        return line;
}
