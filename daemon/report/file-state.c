/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Names of file states. See report/file-state.h. */

#include "report/file-state.h"

const char *file_state_name(FileState state) {
        static const char *const names[_FILE_STATE_MAX] = {
                [FILE_STAGED] = "staged", [FILE_WAITING] = "waiting", [FILE_LINKED] = "linked",
                [FILE_DISK] = "disk", [FILE_SKIPPED] = "skipped", [FILE_RELEASED] = "released",
                [FILE_WITHHELD] = "withheld", [FILE_UNSAVED] = "unsaved", [FILE_SAVING] = "saving",
                [FILE_REJECTED] = "rejected", [FILE_DELETING] = "deleting", [FILE_DAMAGED] = "damaged",
                [FILE_CHANGED] = "changed",
        };

        return names[state];
}
