/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which files make up the configuration, and their bytes.
 *
 * The look-up is that of `systemd-analyze cat-config shmstaged.conf` (systemd 252), which the tests hold it against. */

#include "base/base.h"

/* The files below @root (NULL or "" for /) in the order in which they are to be read, as a NULL-terminated array that
 * the caller owns; each path begins with @root. A file that masks others is listed: it is there, and says nothing.
 * 0 or a negative errno. */
int config_files_find(const char *root, char ***ret);

/* The content, with room for a terminator behind it. @only_plain refuses, with -EINVAL, what is neither a regular file
 * nor /dev/null, so that a fifo in a drop-in directory cannot stop us. More than CONFIG_FILE_MAX bytes: -EFBIG. */
int config_files_read(const char *path, bool only_plain, char **ret, size_t *ret_length);

#define CONFIG_FILE_MAX MIB
