/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which files make up the configuration, and their content.
 *
 * The files and their order are those of `systemd-analyze cat-config shmstaged.conf` (systemd 252); the tests compare
 * the two. */

#include "base/base.h"

#define CONFIG_FILE_MAX MIB

/* The files below @root (NULL or "" for /) in the order in which they are to be read, as a NULL-terminated array that
 * the caller owns; each path begins with @root. An empty file that masks others is one of them. 0 or a negative
 * errno. */
int config_files_find(const char *root, char ***ret);

/* The content, with room for a terminator behind it. With @only_plain it is -EINVAL unless the file is a regular one or
 * /dev/null, so that a fifo in a drop-in directory cannot block the start. More than CONFIG_FILE_MAX bytes: -EFBIG. */
int config_files_read(const char *path, bool only_plain, char **ret, size_t *ret_length);
