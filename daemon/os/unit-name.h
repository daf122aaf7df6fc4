/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The language of unit files: how a path becomes a unit name, and how a text is written so that systemd reads back
 * the same text; and what can be learnt from the unit files of others. systemd.unit(5), systemd.syntax(7),
 * systemd-escape(1). */

#include "base/base.h"

enum { UNIT_NAME_LENGTH_MAX = 255 }; /* of systemd, longer names are refused */

/* "/dev/shm/my models" -> "dev-shm-my\x20models.mount", as `systemd-escape --path --suffix=mount` does it. The path is
 * absolute and normalised. New string, NULL on ENOMEM. */
char *unit_name_from_path(const char *path, const char *suffix);

/* Can this path be the whole value of a setting? A blank at its end would be trimmed, and a backslash would continue
 * the line; nothing in the language of Where= can say otherwise. */
bool unit_name_path_fits_bare(const char *path);

typedef enum UnitText {
        UNIT_NAME_BARE,    /* the whole value of Where=, Options=, Description=: only % is special */
        UNIT_NAME_WORD,    /* a word of a list, put in quotes */
        UNIT_NAME_COMMAND, /* a word of ExecStart= and its like: escapes are undone there, and $ is special */
} UnitText;

/* Writes @prefix and @text so that they are read back as one. New string, NULL on ENOMEM. */
char *unit_name_quote(UnitText kind, const char *prefix, const char *text);

/* Where systemd looks for units, what comes first counts first (systemd.unit(5), "Unit File Load Path"). */
typedef struct UnitDirectory {
        const char *path;
        bool generated; /* written by generators, all at the same time */
} UnitDirectory;
const UnitDirectory *unit_name_directories(size_t *ret_n);

/* Positive if a unit file of this name is in the directories of administrator and packages (those of other
 * generators are not looked at: they are written at the same time). @root is "" for /. */
int unit_name_exists(const char *root, const char *name);

/* Positive if the service is set up so that it does not see what is mounted below /dev/shm: a /dev or a root
 * directory of its own, an empty tmpfs in its way. Any file of the unit that says so counts, also one that another
 * overrides: the answer may be a superfluous yes, not a wrong no. */
int unit_name_hides_mounts(const char *root, const char *name);
