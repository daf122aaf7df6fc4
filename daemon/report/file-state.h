/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The state of a file of a mirror, as operators and programs see it. */

#include "base/base.h"

typedef enum FileState {
        FILE_STAGED,    /* in RAM, verified, and the same on disk */
        FILE_WAITING,   /* to be staged */
        FILE_LINKED,    /* a link to the disk stands in its place */
        FILE_DISK,      /* not wanted in RAM */
        FILE_SKIPPED,  /* for want of room */
        FILE_RELEASED,  /* an operator freed its RAM */
        FILE_WITHHELD,  /* could not be brought into RAM verified */
        FILE_UNSAVED,   /* in the mirror, and not on disk yet */
        FILE_SAVING,    /* likewise, and under way */
        FILE_REJECTED,   /* likewise, and never saved as it is */
        FILE_DELETING,  /* a client deleted it, and the disk is to follow */
        FILE_DAMAGED,   /* its bytes in RAM have changed by themselves */
        FILE_CHANGED,   /* in the mirror only, or otherwise than on disk, and nobody asked for it to be saved */
        _FILE_STATE_MAX,
} FileState;

/* "staged", "skipped", ... */
const char *file_state_name(FileState state);
