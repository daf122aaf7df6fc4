/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A unit of somebody else as systemd would read it: its file, its drop-ins in their order, and what the settings
 * come to. For people to be told about; systemd itself is not asked, so that the unit of a machine that is not
 * running can be read too.
 *
 * What is left out: settings made by systemctl set-property in this boot are files and are read; transient changes
 * over D-Bus are not. Of specifiers only %% is known: a value with another one stays as it is written. */

#include "ctl/doctor/root-view.h"

typedef struct UnitSetting {
        char *section, *key, *value;
        char *file; /* where it stands */
} UnitSetting;

typedef struct UnitView {
        char *name;
        char *path;  /* of the unit's own file; NULL if there are only drop-ins */
        bool masked;
        UnitSetting *settings; /* in the order in which they are read */
        size_t n_settings;
        char **wrong; /* "FILE:LINE: this line ...": what systemd does not understand either, and passes over; NULL for nothing */
} UnitView;

/* Positive UNIT_VIEW_ABSENT if no file of that unit is there (drop-ins alone make no unit, but are in *ret then). A
 * file that cannot be read counts as empty; *ret_unread, if not NULL, gets the first such file (a new string) or
 * NULL. */
enum { UNIT_VIEW_ABSENT = 1 };
int unit_view_load(const RootView *machine, const char *name, UnitView **ret, char **ret_unread);
UnitView *unit_view_free(UnitView *unit);
DEFINE_CLEANUP(UnitView, unit_view_free)

/* The names of all units that have a file and end in @suffix, sorted: a new array. */
int unit_view_names(const RootView *machine, const char *suffix, char ***ret);

/* Adds the paths of a directory's entries that end in @suffix, but for names that are there already: how files of
 * several directories are merged. */
int unit_view_list_directory(const RootView *machine, const char *directory, const char *suffix, char ***files);

/* The setting that counts where one value is wanted, the last; NULL if there is none or it was set back to nothing. */
const UnitSetting *unit_view_last(const UnitView *unit, const char *section, const char *key);

/* The same as a value, or NULL; and as a yes or no. */
const char *unit_view_value(const UnitView *unit, const char *section, const char *key);
bool unit_view_is_on(const UnitView *unit, const char *section, const char *key);

/* The words of a setting that may be given several times, from all of them since an empty one set it back: a new
 * array, never NULL. A line that cannot be split is left out, as systemd does. */
int unit_view_words(const UnitView *unit, const char *section, const char *key, char ***ret);

/* True if one of the words of Requires= and its like is @other. */
bool unit_view_refers_to(const UnitView *unit, const char *key, const char *other);

/* "NAME=value" of Environment= and of the files of EnvironmentFile=, each name once: a new array, never NULL. */
int unit_view_environment(const RootView *machine, const UnitView *unit, char ***ret);

/* The words of the last ExecStart=, without the characters in front of the path, with $NAME and ${NAME} from
 * @environment put in; of `sh -c TEXT` the words of the text. A new array, never NULL; empty if there is none. */
int unit_view_command(const UnitView *unit, char *const *environment, char ***ret);

/* A number of bytes, "infinity" (UINT64_MAX) or a share of @total ("50%"), as memory limits are written. False for
 * what is none. */
bool unit_view_parse_bytes(const char *value, uint64_t total, uint64_t *ret);
