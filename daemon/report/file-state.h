/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The state of one file of a mirror, as operators and programs see it (mirror/inventory.h finds it). */

#include "base/base.h"

typedef enum FileState {
        FILE_STAGED,   /* in RAM, verified, and the same on disk */
        FILE_WAITING,  /* to be staged */
        FILE_LINKED,   /* in the mirror it is a link to the disk */
        FILE_DISK,     /* on disk only, because it was not selected */
        FILE_SKIPPED,  /* on disk only, for lack of space */
        FILE_RELEASED, /* on disk only, because an operator freed its RAM */
        FILE_WITHHELD, /* on disk only, because it could not be read or verified */
        FILE_UNSAVED,  /* in the mirror, and not on disk yet */
        FILE_SAVING,   /* the same, and being written */
        FILE_REJECTED, /* in the mirror, and never saved as it is */
        FILE_DELETING, /* a client deleted it, and the disk has to follow */
        FILE_DAMAGED,  /* its bytes in RAM have changed without a write */
        FILE_CHANGED,  /* new or changed in the mirror, and not to be saved (WriteBack=no) */
        _FILE_STATE_MAX,
} FileState;

/* "staged", "skipped", ...: a literal. */
const char *file_state_name(FileState state);
