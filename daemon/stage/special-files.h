/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Pipes, sockets and devices that clients left in a mirror. There is nothing in them to be saved, so they are no
 * reason to keep it. */

#include "base/base.h"
#include "stage/mirror-private-dir.h"

/* Removes them, and directories in which there was nothing else. For the end, when all else that may go has gone.
 * Whatever else is found in their places by then, or cannot be removed, stays. Blocking. */
void special_files_remove(MirrorPrivateDir *private_dir);
