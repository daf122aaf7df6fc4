/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The language of unit files: how a path becomes a unit name, how a text is quoted so that systemd reads the same text
 * back, and which unit files there are. Sources: systemd.unit(5), systemd.syntax(7), systemd-escape(1). */

#include "base/base.h"

enum { UNIT_NAME_LENGTH_MAX = 255 }; /* systemd refuses longer names */

/* "/dev/shm/my models" -> "dev-shm-my\x20models.mount", as by `systemd-escape --path --suffix=mount`. The path must be
 * absolute and normalised. A new string, NULL on ENOMEM. */
char *unit_name_from_path(const char *path, const char *suffix);

/* True if this path can be the whole value of a setting such as Where=, which has no quotes: a blank at its end
 * would be trimmed, and a backslash would continue the line. */
bool unit_name_path_fits_bare(const char *path);

typedef enum UnitText {
        UNIT_NAME_BARE,    /* the whole value of Where=, Options=, Description=: only % is special */
        UNIT_NAME_WORD,    /* a word of a list, put in quotes */
        UNIT_NAME_COMMAND, /* a word of a command such as ExecStart=, put in quotes: $ is special as well */
} UnitText;

/* Writes @prefix and @text so that systemd reads them back as one text. A new string, NULL on ENOMEM. */
char *unit_name_quote(UnitText kind, const char *prefix, const char *text);

/* The directories of units, in the order of their precedence (systemd.unit(5), "Unit File Load Path"). */
typedef struct UnitDirectory {
        const char *path;
        bool generated; /* written by generators, all at the same time */
} UnitDirectory;
const UnitDirectory *unit_name_directories(size_t *ret_n);

/* Positive if there is a unit file of this name in the directories of administrator and packages. Those of generators
 * are not read, because generators run at the same time. @root is "" for /. 0 or -ENOMEM if not. */
int unit_name_exists(const char *root, const char *name);

/* Positive if the service may not see mounts below /dev/shm, because it has a /dev or a root directory of its own, or
 * an empty tmpfs over it. Every file of the unit counts, also one that another overrides, so a yes may be superfluous
 * but a no is right. 0 or -ENOMEM if not. */
int unit_name_hides_mounts(const char *root, const char *name);
