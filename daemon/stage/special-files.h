/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Pipes, sockets and devices that clients left in a mirror. They have no content to save, so they are no reason to keep
 * the mirror. */

#include "base/base.h"
#include "stage/mirror-private-dir.h"

/* Removes them, and directories that contained nothing else, when everything else that may be removed has been. What
 * cannot be removed, or turns out to be something else, stays. Blocking. */
void special_files_remove(MirrorPrivateDir *private_dir);
