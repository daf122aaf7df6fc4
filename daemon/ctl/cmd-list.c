/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl list: a row for each file, or for each model. */

#include "ctl/commands.h"

#include "ctl/fetch.h"
#include "ctl/reply.h"
#include "ctl/table.h"
#include "report/file-state.h"

enum {
        FILE_MIRROR, FILE_STATE, FILE_SIZE, FILE_ROOM, FILE_WHERE, FILE_METHOD, FILE_DIGEST, FILE_PATH, FILE_REASON,
        FILE_USERS
};
static const CtlColumn file_columns[] = {
        [FILE_MIRROR] = { "mirror", CELL_TEXT, COLUMN_EXTRA, "the mirror of the file" },
        [FILE_STATE] = { "state", CELL_TEXT, 0, "staged, waiting, linked, ...; see shmstagectl(1)" },
        [FILE_SIZE] = { "size", CELL_BYTES, 0, "the size of the file" },
        [FILE_ROOM] = { "room", CELL_BYTES, COLUMN_EXTRA, "the RAM that it uses, or would use" },
        [FILE_WHERE] = { "where", CELL_TEXT, 0, "where the file is: ram, disk, both or none" },
        [FILE_METHOD] = { "method", CELL_TEXT, 0, "how it was copied from the disk" },
        [FILE_DIGEST] = { "digest", CELL_TEXT, COLUMN_EXTRA | COLUMN_CUT, "XXH3-128 digest, as printed by xxh128sum" },
        [FILE_PATH] = { "path", CELL_PATH, COLUMN_CUT, "the path relative to the root of the mirror" },
        [FILE_REASON] = { "reason", CELL_TEXT, COLUMN_CUT | COLUMN_EXTRA, "why it is in this state" },
        [FILE_USERS] = { "users", CELL_TEXT, COLUMN_CUT | COLUMN_EXTRA,
                         "processes that have the copy in RAM open or mapped" },
};

enum { MODEL_MIRROR, MODEL_NAME, MODEL_STATE, MODEL_SIZE, MODEL_RAM, MODEL_FILES, MODEL_READY, MODEL_REASON };
static const CtlColumn model_columns[] = {
        [MODEL_MIRROR] = { "mirror", CELL_TEXT, COLUMN_EXTRA, "the mirror of the model" },
        [MODEL_NAME] = { "name", CELL_TEXT, COLUMN_CUT, "the name by which clients know it" },
        [MODEL_STATE] = { "state", CELL_TEXT, 0, "the worst state of its files" },
        [MODEL_SIZE] = { "size", CELL_BYTES, 0, "the total size of its files" },
        [MODEL_RAM] = { "ram", CELL_BYTES, 0, "how much of it is in RAM" },
        [MODEL_FILES] = { "files", CELL_NUMBER, 0, "the number of its files" },
        [MODEL_READY] = { "ready", CELL_NUMBER, 0, "how many of its files are ready" },
        [MODEL_REASON] = { "reason", CELL_TEXT, COLUMN_CUT, "why it is in this state" },
};

static ScreenColour state_colour(const char *state) {
        static const ScreenColour colours[_FILE_STATE_MAX] = {
                [FILE_STAGED] = SCREEN_GREEN,    [FILE_WAITING] = SCREEN_YELLOW, [FILE_DISK] = SCREEN_GREY,
                [FILE_SKIPPED] = SCREEN_YELLOW, [FILE_WITHHELD] = SCREEN_RED,   [FILE_UNSAVED] = SCREEN_YELLOW,
                [FILE_SAVING] = SCREEN_YELLOW,   [FILE_REJECTED] = SCREEN_YELLOW, [FILE_DELETING] = SCREEN_YELLOW,
                [FILE_DAMAGED] = SCREEN_RED,
        };

        for (FileState s = FILE_STAGED; s < _FILE_STATE_MAX; s++)
                if (string_equal(file_state_name(s), state))
                        return colours[s];
        return SCREEN_PLAIN; /* a state of a later version */
}

/* Whether --state=, a list with commas, names the state. */
static bool wants_state(const Ctl *ctl, const char *state) {
        size_t length = state ? strlen(state) : 0;

        for (const char *s = ctl->states; s && state; s += strcspn(s, ","), s += *s == ',') {
                if (strcspn(s, ",") == length && strncmp(s, state, length) == 0)
                        return true;
                if (!*s)
                        break;
        }
        return !ctl->states;
}

static bool check_states(const Ctl *ctl) {
        for (const char *s = ctl->states; s;) {
                size_t length = strcspn(s, ",");
                FileState i = FILE_STAGED;

                while (i < _FILE_STATE_MAX &&
                       (strlen(file_state_name(i)) != length || strncmp(file_state_name(i), s, length) != 0))
                        i++;
                if (i == _FILE_STATE_MAX) {
                        screen_error("Unknown state '%.*s' in --state=", (int) length, s);
                        (void) fputs("States:", stderr);
                        for (i = FILE_STAGED; i < _FILE_STATE_MAX; i++)
                                (void) fprintf(stderr, " %s", file_state_name(i));
                        (void) fputc('\n', stderr);
                        return false;
                }
                s = s[length] ? s + length + 1 : NULL;
        }
        return true;
}

typedef struct Listing {
        const Ctl *ctl;
        CtlTable *table;
        const char *mirror;
        Users users; /* empty unless their column is shown */
} Listing;

static int add_file(const FetchedFile *file, void *userdata) {
        Listing *listing = userdata;
        CtlTable *table = listing->table;
        _cleanup_(freep) char *who = NULL;

        if (!wants_state(listing->ctl, file->state))
                return 0;
        who = listing->users.n > 0 ? users_of(&listing->users, listing->mirror, file->path) : NULL;
        ctl_table_row(table);
        ctl_table_set(table, FILE_MIRROR, listing->mirror);
        ctl_table_set(table, FILE_STATE, file->state);
        ctl_table_set_colour(table, FILE_STATE, state_colour(file->state));
        ctl_table_set_number(table, FILE_SIZE, file->size);
        ctl_table_set_number(table, FILE_ROOM, file->room);
        ctl_table_set(table, FILE_WHERE,
                      file->in_ram    ? file->on_disk ? "both" : "ram"
                      : file->on_disk ? "disk"
                                      : "none");
        ctl_table_set(table, FILE_METHOD, *file->method ? file->method : NULL);
        ctl_table_set(table, FILE_DIGEST, *file->digest ? file->digest : NULL);
        ctl_table_set(table, FILE_PATH, file->path);
        ctl_table_set(table, FILE_REASON, *file->reason ? file->reason : NULL);
        ctl_table_set(table, FILE_USERS, who && *who ? who : NULL);
        return 0;
}

static void add_model(Listing *listing, const json_t *model) {
        CtlTable *table = listing->table;
        const char *state = ctl_reply_text(model, "state");

        if (!wants_state(listing->ctl, state))
                return;
        ctl_table_row(table);
        ctl_table_set(table, MODEL_MIRROR, listing->mirror);
        ctl_table_set(table, MODEL_NAME, ctl_reply_text(model, "name"));
        ctl_table_set(table, MODEL_STATE, state);
        ctl_table_set_colour(table, MODEL_STATE, state_colour(state));
        ctl_table_set_number(table, MODEL_SIZE, ctl_reply_number(model, "size"));
        ctl_table_set_number(table, MODEL_RAM, ctl_reply_number(model, "ram_bytes"));
        ctl_table_set_number(table, MODEL_FILES, ctl_reply_number(model, "files"));
        ctl_table_set_number(table, MODEL_READY, ctl_reply_number(model, "files_ready"));
        ctl_table_set(table, MODEL_REASON, ctl_reply_text(model, "reason"));
}

static CtlTrouble list_mirror(CtlConnection *bus, Listing *listing, char **ret_reason) {
        _cleanup_(json_decrefp) json_t *models = NULL;
        CtlTrouble trouble;

        if (!listing->ctl->models)
                return ctl_fetch_files(bus, listing->mirror, add_file, listing, ret_reason);
        trouble = ctl_fetch_models(bus, listing->mirror, &models, ret_reason);
        for (size_t i = 0; trouble == CTL_TROUBLE_NONE && i < json_array_size(models); i++)
                add_model(listing, json_array_get(models, i));
        return trouble;
}

/* Finds the users of all files, if their column is shown. A failure leaves it empty. */
static void find_users(Listing *listing, const json_t *status) {
        _cleanup_(root_view_done) RootView machine = ROOT_VIEW_NONE;
        _cleanup_(freep) UsersMirror *mirrors = NULL;
        size_t n;

        if (listing->ctl->models || !ctl_table_wants(listing->table, FILE_USERS) || root_view_open(NULL, &machine) < 0)
                return;
        mirrors = ctl_fetch_mirrors(status, &n);
        if (mirrors && users_find(&machine, mirrors, n, &listing->users) < 0)
                listing->users = (Users){ 0 };
}

/* The mirrors that were named, or all. */
static CtlTrouble list_mirrors(CtlConnection *bus, Listing *listing, char *const *names, char **ret_reason) {
        _cleanup_(json_decrefp) json_t *status = NULL;
        CtlTrouble trouble = ctl_fetch_status(bus, &status, ret_reason);
        const json_t *mirrors = json_object_get(status, "mirrors");

        if (trouble == CTL_TROUBLE_NONE)
                find_users(listing, status);
        for (size_t i = 0; trouble == CTL_TROUBLE_NONE && names[i]; i++) {
                listing->mirror = names[i];
                trouble = list_mirror(bus, listing, ret_reason);
        }
        for (size_t i = 0; trouble == CTL_TROUBLE_NONE && !names[0] && i < json_array_size(mirrors); i++) {
                listing->mirror = ctl_reply_text(json_array_get(mirrors, i), "name");
                if (listing->mirror)
                        trouble = list_mirror(bus, listing, ret_reason);
        }
        return trouble;
}

int commands_list(const Ctl *ctl, char *const *arguments) {
        _cleanup_(ctl_table_freep) CtlTable *table = NULL;
        _cleanup_(freep) char *reason = NULL;
        Listing listing = { .ctl = ctl };
        _cleanup_(ctl_connection_close) CtlConnection bus = {};
        CtlTrouble trouble;
        int r = ctl->models ? ctl_table_new(&table, ctl, model_columns, ELEMENTSOF(model_columns))
                            : ctl_table_new(&table, ctl, file_columns, ELEMENTSOF(file_columns));

        if (r != 0 || !check_states(ctl))
                return r < 0 ? CTL_FAILED : CTL_BAD_ARGUMENTS;
        listing.table = table;
        trouble = ctl_connection_open(ctl, &bus, &reason);
        if (trouble == CTL_TROUBLE_NONE)
                trouble = list_mirrors(&bus, &listing, arguments, &reason);
        users_done(&listing.users);
        if (trouble == CTL_TROUBLE_NONE)
                return ctl_table_print(table);
        return screen_fail(CTL_FAILED, "%s", reason ? reason : strerror(ENOMEM));
}
