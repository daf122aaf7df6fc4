/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Files of units and drop-ins that are made up in memory and written together. */

#include "base/base.h"
#include "os/unit-name.h"

typedef struct UnitFile {
        char *path;    /* "name.mount" or "name.service.d/50-name.conf" */
        char *content;
} UnitFile;

typedef struct UnitFiles {
        UnitFile *files;
        size_t n;
} UnitFiles;

void unit_files_done(UnitFiles *files);

/* Takes @path and @content, also when it fails; NULL for either gives -ENOMEM. */
int unit_files_add(UnitFiles *files, char *path, char *content);

/* Writes them below @directory, which is there. A negative errno stops it; then *reterr_path, borrowed, is what
 * could not be made. */
int unit_files_write(const UnitFiles *files, const char *directory, const char **reterr_path);

/* Appends `KEY=value`, the value with @prefix and quoted as its kind asks for. 0 or -ENOMEM. */
int unit_files_setting(char **text, const char *key, UnitText kind, const char *prefix, const char *value);
