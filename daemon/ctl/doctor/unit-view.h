/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A unit as systemd would read it: its file, its drop-ins in order, and the values that result. It is read from files,
 * not from systemd, so that it works for a machine that is not running.
 *
 * Limits: settings of systemctl set-property are files and are included; transient changes over D-Bus are not. Of
 * specifiers only %% is known; a value with another one stays as it is written. */

#include "ctl/doctor/root-view.h"

typedef struct UnitSetting {
        char *section, *key, *value;
        char *file; /* that has it */
} UnitSetting;

typedef struct UnitView {
        char *name;
        char *path;  /* of the unit's own file; NULL if there are only drop-ins */
        bool masked;
        UnitSetting *settings; /* in the order in which they are read */
        size_t n_settings;
        char **wrong; /* "FILE:LINE: this line ...": what systemd ignores, too; NULL for none */
} UnitView;

/* 0, a negative errno, or UNIT_VIEW_ABSENT if the unit has no file of its own; *ret then has the drop-ins. A file that
 * cannot be read counts as empty; *ret_unread, if not NULL, becomes the first such file (a new string) or NULL. */
enum { UNIT_VIEW_ABSENT = 1 };
int unit_view_load(const RootView *machine, const char *name, UnitView **ret, char **ret_unread);
UnitView *unit_view_free(UnitView *unit);
DEFINE_CLEANUP(UnitView, unit_view_free)

/* The names of all units that have a file and end in @suffix, sorted: a new array. */
int unit_view_names(const RootView *machine, const char *suffix, char ***ret);

/* Adds the paths of entries that end in @suffix, except names that are in the list already: so a file in an earlier
 * directory replaces one of the same name in a later one. */
int unit_view_list_directory(const RootView *machine, const char *directory, const char *suffix, char ***files);

/* The setting that counts if only one can, which is the last one; NULL if there is none or it is empty. */
const UnitSetting *unit_view_last(const UnitView *unit, const char *section, const char *key);

/* Its value, or NULL; and its value as a boolean. */
const char *unit_view_value(const UnitView *unit, const char *section, const char *key);
bool unit_view_is_on(const UnitView *unit, const char *section, const char *key);

/* The words of a setting that adds up, since the latest empty one: a new array, never NULL. A line that cannot be split
 * is left out, as systemd does. */
int unit_view_words(const UnitView *unit, const char *section, const char *key, char ***ret);

/* True if @other is in the list of the dependency @key, such as Requires. */
bool unit_view_refers_to(const UnitView *unit, const char *key, const char *other);

/* "NAME=value" of Environment= and of the files of EnvironmentFile=, each name once: a new array, never NULL. */
int unit_view_environment(const RootView *machine, const UnitView *unit, char ***ret);

/* The words of the last ExecStart=, without the prefix characters of the path, with $NAME and ${NAME} replaced from
 * @environment; of `sh -c TEXT` the words of the text. A new array, never NULL; empty if there is none. */
int unit_view_command(const UnitView *unit, char *const *environment, char ***ret);

/* A memory limit: a number of bytes, "infinity" (UINT64_MAX) or a share of @total ("50%"). False if it is neither. */
bool unit_view_parse_bytes(const char *value, uint64_t total, uint64_t *ret);
