/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl users: the processes that use the mirrors, or read from disk although a copy is in RAM. */

#include "ctl/commands.h"

#include "base/strv.h"
#include "base/text.h"
#include "config/problems.h"
#include "ctl/fetch.h"
#include "ctl/table.h"
#include "ctl/users.h"

enum { USERS_READS, USERS_PID, USERS_USER, USERS_COMMAND, USERS_UNIT, USERS_HOW, USERS_MIRROR, USERS_PATH, USERS_FIX };
static const CtlColumn columns[] = {
        [USERS_READS] = { "reads", CELL_TEXT, 0, "ram, old, disk or configured-disk; see shmstagectl(1)" },
        [USERS_PID] = { "pid", CELL_NUMBER, 0, "the process" },
        [USERS_USER] = { "user", CELL_TEXT, 0, "the user that runs it" },
        [USERS_COMMAND] = { "command", CELL_TEXT, 0, "the name of the process" },
        [USERS_UNIT] = { "unit", CELL_TEXT, COLUMN_EXTRA, "the service or scope of the process" },
        [USERS_HOW] = { "how", CELL_TEXT, 0, "how it uses the file: open, mapped, writing" },
        [USERS_MIRROR] = { "mirror", CELL_TEXT, COLUMN_EXTRA, "the mirror of the file" },
        [USERS_PATH] = { "path", CELL_PATH, COLUMN_CUT, "the path relative to the roots of mirror and source" },
        [USERS_FIX] = { "fix", CELL_TEXT, COLUMN_EXTRA | COLUMN_WRAP, "how to make the process read the copy in RAM" },
};

/* The mirrors, from the daemon or from the configuration. */
typedef struct MirrorList {
        UsersMirror *items;
        size_t n;
        json_t *status; /* either of these two owns the strings of the items; the other is NULL */
        Config *config;
} MirrorList;

static void mirror_list_done(MirrorList *mirrors) {
        free(mirrors->items);
        json_decref(mirrors->status);
        (void) config_free(mirrors->config);
}

/* Removes the mirrors that were not named. */
static void keep_named(MirrorList *mirrors, char *const *names) {
        size_t n = 0;

        for (size_t i = 0; i < mirrors->n; i++)
                if (!names[0] || strv_has(names, mirrors->items[i].name))
                        mirrors->items[n++] = mirrors->items[i];
        mirrors->n = n;
}

/* From the running daemon. Not NONE: *ret_reason says why it did not answer. */
static CtlTrouble ask_daemon(const Ctl *ctl, MirrorList *ret, char **ret_reason) {
        _cleanup_(ctl_connection_close) CtlConnection bus = {};
        CtlTrouble trouble = ctl_connection_open(ctl, &bus, ret_reason);

        if (trouble == CTL_TROUBLE_NONE)
                trouble = ctl_fetch_status(&bus, &ret->status, ret_reason);
        if (trouble == CTL_TROUBLE_NONE && !(ret->items = ctl_fetch_mirrors(ret->status, &ret->n)))
                return CTL_TROUBLE_REFUSED; /* out of memory */
        return trouble;
}

/* From the configuration. Logs its failures. */
static int read_config(const Ctl *ctl, MirrorList *ret) {
        int r = config_problems_load(ctl->config, ctl->root, &ret->config);

        if (r < 0)
                return r;
        ret->items = calloc(ret->config->n_mirrors + 1, sizeof(*ret->items));
        if (!ret->items)
                return -ENOMEM;
        for (size_t i = 0; i < ret->config->n_mirrors; i++)
                ret->items[ret->n++] = (UsersMirror){ ret->config->mirrors[i].name, ret->config->mirrors[i].source,
                                                      ret->config->mirrors[i].target };
        return 0;
}

static bool check_names(const MirrorList *mirrors, char *const *names) {
        for (; *names; names++) {
                bool found = false;

                for (size_t i = 0; i < mirrors->n; i++)
                        found = found || string_equal(mirrors->items[i].name, *names);
                if (!found) {
                        screen_error("No mirror '%s'", *names);
                        return false;
                }
        }
        return true;
}

static void add_row(CtlTable *table, const RootView *machine, const Use *use) {
        static const ScreenColour colours[] = { [USE_COPY] = SCREEN_GREEN,
                                                [USE_OLD] = SCREEN_YELLOW,
                                                [USE_SOURCE] = SCREEN_RED,
                                                [USE_CONFIGURED] = SCREEN_RED };
        _cleanup_(root_view_user_done) RootViewUser user = { 0 };
        char how[64], number[16];

        (void) snprintf(how, sizeof(how), "%s%s%s%s", use->open ? "open" : "", use->open && use->mapped ? "," : "",
                        use->mapped ? "mapped" : "", use->writing ? ",writing" : "");
        (void) snprintf(number, sizeof(number), "%u", (unsigned) use->uid);
        (void) root_view_user(machine, NULL, use->uid, &user);
        ctl_table_row(table);
        ctl_table_set(table, USERS_READS, users_kind_name(use->kind));
        ctl_table_set_colour(table, USERS_READS, colours[use->kind]);
        ctl_table_set_number(table, USERS_PID, (uint64_t) use->pid);
        ctl_table_set(table, USERS_USER, user.name ? user.name : number);
        ctl_table_set(table, USERS_COMMAND, use->command);
        ctl_table_set(table, USERS_UNIT, use->unit);
        ctl_table_set(table, USERS_HOW, *how ? how : NULL);
        ctl_table_set(table, USERS_MIRROR, use->mirror);
        ctl_table_set(table, USERS_PATH, use->path);
        ctl_table_set(table, USERS_FIX, use->fix);
}

/* For people: the fixes, each once for a process. */
static void print_fixes(const Users *users) {
        for (size_t i = 0; i < users->n; i++) {
                const Use *use = &users->uses[i];
                _cleanup_(freep) char *command = screen_text(use->command),
                                      *fix = use->fix ? screen_text(use->fix) : NULL;
                bool printed = false;

                for (size_t k = 0; k < i; k++)
                        printed = printed ||
                                  (users->uses[k].pid == use->pid && string_equal(users->uses[k].fix, use->fix));
                if (!fix || !command || printed)
                        continue;
                (void) printf("\n%s (%d) %s the disk although a copy is in RAM.\n  Fix: %s\n", command, use->pid,
                              use->kind == USE_CONFIGURED ? "is configured to read" : "reads", fix);
        }
}

static int print_users(const Ctl *ctl, CtlTable *table, const RootView *machine, const Users *users) {
        int r;

        for (size_t i = 0; i < users->n; i++)
                add_row(table, machine, &users->uses[i]);
        r = ctl_table_print(table);
        if (ctl->json != CTL_JSON_OFF || r != CTL_DONE)
                return r;
        if (!ctl->output && !ctl->no_headings) {
                if (users->n == 0)
                        (void) printf("No process uses a mirror or reads mirrored files from the disk.\n");
                print_fixes(users);
                if (users->n_denied > 0)
                        (void) printf("\n%zu process%s of other users could not be inspected%s.\n", users->n_denied,
                                      users->n_denied == 1 ? "" : "es",
                                      geteuid() == 0 ? "" : "; run as root to include them");
        }
        return fflush(stdout) == 0 ? CTL_DONE : CTL_FAILED;
}

/* From the daemon; from the configuration if --config= or --root= asks for it, or if there is no daemon and the command
 * line names none. Prints its failures. */
static int find_mirrors(const Ctl *ctl, MirrorList *ret) {
        _cleanup_(freep) char *reason = NULL;

        if (ctl->config || ctl->root)
                return read_config(ctl, ret);
        if (ask_daemon(ctl, ret, &reason) == CTL_TROUBLE_NONE)
                return 0;
        if (!ctl->socket && !ctl->system_bus)
                return read_config(ctl, ret);
        return screen_fail(-ENOTCONN, "%s", reason ? reason : strerror(ENOMEM));
}

int commands_users(const Ctl *ctl, char *const *arguments) {
        _cleanup_(mirror_list_done) MirrorList mirrors = { 0 };
        _cleanup_(root_view_done) RootView machine = ROOT_VIEW_NONE;
        _cleanup_(ctl_table_freep) CtlTable *table = NULL;
        _cleanup_(users_done) Users users = { 0 };
        int r = ctl_table_new(&table, ctl, columns, ELEMENTSOF(columns));

        if (r > 0)
                return r;
        if (r == 0)
                r = root_view_open(ctl->root, &machine);
        if (r == 0 && find_mirrors(ctl, &mirrors) < 0)
                return CTL_FAILED;
        if (r == 0 && !check_names(&mirrors, arguments))
                return CTL_FAILED;
        keep_named(&mirrors, arguments);
        if (r == 0)
                r = users_find(&machine, mirrors.items, mirrors.n, &users);
        if (r < 0)
                return screen_fail(CTL_FAILED, "Failed to inspect the processes: %s", strerror(-r));
        return print_users(ctl, table, &machine, &users);
}
