/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl status. */

#include "ctl/commands.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/strv.h"
#include "ctl/fetch.h"
#include "ctl/live-status.h"
#include "ctl/reply.h"
#include "ctl/status-view.h"

/* The files that need attention, a few for each state of each mirror. */
typedef struct Collection {
        ViewFile *files;
        size_t n, mirror; /* the mirror that is being listed */
} Collection;

static void collection_done(Collection *collection) {
        for (size_t i = 0; i < collection->n; i++) {
                free(collection->files[i].state);
                free(collection->files[i].path);
                free(collection->files[i].reason);
        }
        free(collection->files);
}

static bool is_of_interest(const Collection *collection, const char *state) {
        static const char *const states[] = { "withheld", "damaged", "skipped", "linked",
                                              "released", "changed", "rejected" };
        size_t n = 0;

        for (size_t i = 0; i < collection->n; i++)
                n += collection->files[i].mirror == collection->mirror &&
                     strcmp(collection->files[i].state, state) == 0;
        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                if (strcmp(states[i], state) == 0)
                        return n < VIEW_FILES_MAX;
        return false;
}

static int collect(const FetchedFile *file, void *userdata) {
        Collection *collection = userdata;
        ViewFile *added;

        if (!is_of_interest(collection, file->state))
                return 0;
        if (ARRAY_ROOM(collection->files, collection->n) < 0)
                return -ENOMEM;
        added = &collection->files[collection->n++];
        *added = (ViewFile){ .state = strdup(file->state), .path = strdup(file->path),
                             .reason = *file->reason ? strdup(file->reason) : NULL, .mirror = collection->mirror };
        return added->state && added->path && (added->reason || !*file->reason) ? 0 : -ENOMEM;
}

/* Mirrors without such files are not listed: a list may be long. */
static void collect_files(CtlConnection *bus, const json_t *status, Collection *collection) {
        static const char *const keys[] = { "withheld", "damaged",      "skipped", "linked",
                                            "released", "changed_only", "rejected" };
        const json_t *mirrors = json_object_get(status, "mirrors");

        for (size_t i = 0; i < json_array_size(mirrors); i++) {
                const json_t *mirror = json_array_get(mirrors, i);
                _cleanup_(freep) char *reason = NULL;
                bool any = false;

                for (size_t k = 0; k < ELEMENTSOF(keys); k++)
                        any = any || ctl_reply_number(mirror, keys[k]) > 0;
                collection->mirror = i;
                if (any) /* if it fails, the status shows the counts only */
                        (void) ctl_fetch_files(bus, ctl_reply_text(mirror, "name"), collect, collection, &reason);
        }
}

/* Removes the mirrors that were not named; all that were named have to exist. */
static int keep_named(json_t *status, void *userdata) {
        json_t *mirrors = json_object_get(status, "mirrors");
        char *const *names = userdata;

        if (!names[0])
                return 0;
        for (size_t i = json_array_size(mirrors); i > 0; i--)
                if (!strv_has(names, ctl_reply_text(json_array_get(mirrors, i - 1), "name")))
                        (void) json_array_remove(mirrors, i - 1);
        for (; *names; names++) {
                bool found = false;

                for (size_t i = 0; i < json_array_size(mirrors); i++)
                        found = found || string_equal(ctl_reply_text(json_array_get(mirrors, i), "name"), *names);
                if (!found)
                        return screen_fail(CTL_UNKNOWN, "No mirror '%s'", *names);
        }
        return 0;
}

/* The exit status. If mirrors were named, their readiness counts instead of the daemon's. */
static int judge(const json_t *status, void *userdata) {
        const json_t *mirrors = json_object_get(status, "mirrors");
        char *const *names = userdata;

        if (!status)
                return CTL_NOT_RUNNING;
        if (!names[0])
                return ctl_reply_flag(json_object_get(status, "daemon"), "ready") ? CTL_DONE : CTL_NOT_RUNNING;
        for (size_t i = 0; i < json_array_size(mirrors); i++)
                if (!ctl_reply_flag(json_array_get(mirrors, i), "ready"))
                        return CTL_NOT_RUNNING;
        return CTL_DONE;
}

static int print_view(const Ctl *ctl, ViewInput *input) {
        Screen screen = screen_of(STDOUT_FILENO);
        _cleanup_(strv_freep) char **lines = NULL;
        int r;

        input->bytes = ctl->bytes;
        input->now_usec = clock_usec(CLOCK_REALTIME);
        r = status_view_print(input, &screen, &lines);
        for (size_t i = 0; r == 0 && lines[i]; i++)
                (void) printf("%s\n", lines[i]);
        return r < 0 ? r : fflush(stdout) == 0 ? 0 : -errno;
}

static int print_present(const Ctl *ctl, CtlConnection *bus, const json_t *status) {
        _cleanup_(collection_done) Collection collection = {};
        ViewInput input = { .status = status };

        collect_files(bus, status, &collection);
        input.files = collection.files;
        input.n_files = collection.n;
        return print_view(ctl, &input);
}

static int print_status(const Ctl *ctl, CtlConnection *bus, json_t *status, char *const *names) {
        int r = keep_named(status, (void *) names);

        if (r != 0)
                return r;
        r = ctl->json != CTL_JSON_OFF ? json_output_print(ctl, status, stdout) : print_present(ctl, bus, status);
        if (r < 0)
                return screen_fail(CTL_UNKNOWN, "Failed to print the status: %s", strerror(-r));
        return judge(status, (void *) names);
}

/* A program that asked for JSON gets JSON in this case, too. */
static int print_absent(const Ctl *ctl, const char *reason) {
        ViewInput input = { .reason = reason };
        _cleanup_(json_decrefp) json_t *status = ctl_fetch_absent();

        if (ctl->json == CTL_JSON_OFF)
                (void) print_view(ctl, &input);
        else
                (void) json_output_print(ctl, status, stdout);
        return CTL_NOT_RUNNING;
}

int commands_status(const Ctl *ctl, char *const *arguments) {
        _cleanup_(freep) char *reason = NULL;
        _cleanup_(json_decrefp) json_t *status = NULL;
        _cleanup_(ctl_connection_close) CtlConnection bus = {};
        CtlTrouble trouble;

        if (ctl->watch)
                return live_status_run(ctl, keep_named, judge, (void *) arguments);
        trouble = ctl_connection_open(ctl, &bus, &reason);
        if (trouble == CTL_TROUBLE_NONE)
                trouble = ctl_fetch_status(&bus, &status, &reason);
        if (trouble == CTL_TROUBLE_NONE)
                return print_status(ctl, &bus, status, arguments);
        if (trouble == CTL_TROUBLE_ABSENT)
                return print_absent(ctl, reason);
        return screen_fail(CTL_UNKNOWN, "%s", reason ? reason : strerror(ENOMEM));
}
