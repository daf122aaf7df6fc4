/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Unit files and drop-ins that are composed in memory and then written together. */

#include "base/base.h"
#include "os/unit-name.h"

typedef struct UnitFile {
        char *path;    /* "name.mount" or "name.service.d/50-name.conf" */
        char *content;
} UnitFile;

/* Begins as zeros. */
typedef struct UnitFiles {
        UnitFile *files; /* see base/array.h */
        size_t n;
} UnitFiles;

void unit_files_done(UnitFiles *files);

/* Takes ownership of @path and @content, also on failure. 0 or -ENOMEM, also if one of them is NULL. */
int unit_files_add(UnitFiles *files, char *path, char *content);

/* Writes all files below @directory, which must exist. 0, or a negative errno of the first file that could not be
 * written; then *reterr_path, borrowed, is its path or the directory. */
int unit_files_write(const UnitFiles *files, const char *directory, const char **reterr_path);

/* Appends a line `KEY=value` to @text, with @prefix and @value quoted as @kind requires. 0 or -ENOMEM. */
int unit_files_setting(char **text, const char *key, UnitText kind, const char *prefix, const char *value);
