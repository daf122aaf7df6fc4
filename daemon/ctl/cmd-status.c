/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl status. */

#include "ctl/commands.h"

#include "base/strv.h"
#include "ctl/fetch.h"
#include "ctl/live-status.h"
#include "ctl/reply.h"
#include "ctl/status-view.h"

#include <time.h>

/* A few of the files of each mirror that somebody may want to know of. */
typedef struct Collection {
        ViewFile *files;
        size_t *mirrors; /* which mirror each belongs to */
        size_t n, mirror;
} Collection;

static void collection_done(Collection *collection) {
        for (size_t i = 0; i < collection->n; i++) {
                free(collection->files[i].state);
                free(collection->files[i].path);
                free(collection->files[i].reason);
        }
        free(collection->files);
        free(collection->mirrors);
}

static bool is_of_interest(const Collection *collection, const char *state) {
        static const char *const states[] = { "withheld", "damaged", "skipped", "linked",
                                              "released", "changed", "rejected" };
        size_t n = 0;

        for (size_t i = 0; i < collection->n; i++)
                n += collection->mirrors[i] == collection->mirror && strcmp(collection->files[i].state, state) == 0;
        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                if (strcmp(states[i], state) == 0)
                        return n < VIEW_FILES_MAX;
        return false;
}

static int collect(const FetchedFile *file, void *userdata) {
        Collection *collection = userdata;
        ViewFile *files, *added;
        size_t *mirrors;

        if (!is_of_interest(collection, file->state))
                return 0;
        files = reallocarray(collection->files, collection->n + 1, sizeof(*files));
        if (!files)
                return -ENOMEM;
        collection->files = files;
        mirrors = reallocarray(collection->mirrors, collection->n + 1, sizeof(*mirrors));
        if (!mirrors)
                return -ENOMEM;
        collection->mirrors = mirrors;
        added = &files[collection->n];
        *added = (ViewFile){ .state = strdup(file->state), .path = strdup(file->path),
                             .reason = *file->reason ? strdup(file->reason) : NULL };
        mirrors[collection->n++] = collection->mirror;
        return added->state && added->path && (added->reason || !*file->reason) ? 0 : -ENOMEM;
}

/* Only of mirrors that have such files: a list may be long. */
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
                if (any) /* the counts are shown all the same if this fails */
                        (void) ctl_fetch_files(bus, ctl_reply_text(mirror, "name"), collect, collection, &reason);
        }
}

static bool is_named(const json_t *mirror, char *const *names) {
        for (; *names; names++)
                if (string_equal(ctl_reply_text(mirror, "name"), *names))
                        return true;
        return false;
}

/* Leaves the mirrors that were named, which all have to be there. */
static int keep_named(json_t *status, void *userdata) {
        json_t *mirrors = json_object_get(status, "mirrors");
        char *const *names = userdata;

        if (!names[0])
                return 0;
        for (size_t i = json_array_size(mirrors); i > 0; i--)
                if (!is_named(json_array_get(mirrors, i - 1), names))
                        (void) json_array_remove(mirrors, i - 1);
        for (; *names; names++) {
                bool found = false;

                for (size_t i = 0; i < json_array_size(mirrors); i++)
                        found = found || string_equal(ctl_reply_text(json_array_get(mirrors, i), "name"), *names);
                if (!found) {
                        screen_error("There is no mirror '%s'", *names);
                        return CTL_UNKNOWN;
                }
        }
        return 0;
}

/* Of mirrors that were named their own readiness counts. */
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
        struct timespec now;
        int r;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        input->bytes = ctl->bytes;
        input->now_usec = (uint64_t) now.tv_sec * USEC_PER_SEC;
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
        input.files_mirror = collection.mirrors;
        input.n_files = collection.n;
        return print_view(ctl, &input);
}

static int print_status(const Ctl *ctl, CtlConnection *bus, json_t *status, char *const *names) {
        int r = keep_named(status, (void *) names);

        if (r != 0)
                return r;
        r = ctl->json != CTL_JSON_OFF ? json_output_print(ctl, status, stdout) : print_present(ctl, bus, status);
        if (r < 0) {
                screen_error("Failed to print the status: %s", strerror(-r));
                return CTL_UNKNOWN;
        }
        return judge(status, (void *) names);
}

/* What a program reads is JSON in this case as well. */
static int print_absent(const Ctl *ctl, const char *reason) {
        ViewInput input = { .reason = reason };
        json_t *status = ctl_fetch_absent();

        if (ctl->json == CTL_JSON_OFF)
                (void) print_view(ctl, &input);
        else
                (void) json_output_print(ctl, status, stdout);
        json_decref(status);
        return CTL_NOT_RUNNING;
}

int commands_status(const Ctl *ctl, char *const *arguments) {
        _cleanup_(freep) char *reason = NULL;
        json_t *status = NULL;
        CtlTrouble trouble;
        CtlConnection bus;
        int r = CTL_UNKNOWN;

        if (ctl->watch)
                return live_status_run(ctl, keep_named, judge, (void *) arguments);
        trouble = ctl_connection_open(ctl, &bus, &reason);
        if (trouble == CTL_TROUBLE_NONE) {
                trouble = ctl_fetch_status(&bus, &status, &reason);
                if (trouble == CTL_TROUBLE_NONE)
                        r = print_status(ctl, &bus, status, arguments);
                json_decref(status);
                ctl_connection_close(&bus);
        }
        if (trouble == CTL_TROUBLE_NONE)
                return r;
        if (trouble == CTL_TROUBLE_ABSENT)
                return print_absent(ctl, reason);
        screen_error("%s", reason ? reason : strerror(ENOMEM));
        return CTL_UNKNOWN;
}
