/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a mirror knows about its single files and models. See inventory.h. */

#include "inventory.h"

const char *file_state_name(FileState state) {
        static const char *const names[_FILE_STATE_MAX] = {
                [FILE_STAGED] = "staged", [FILE_WAITING] = "waiting", [FILE_LINKED] = "linked", [FILE_DISK] = "disk", [FILE_LEFT_OUT] = "left-out", [FILE_RELEASED] = "released",
                [FILE_WITHHELD] = "withheld", [FILE_UNSAVED] = "unsaved", [FILE_SAVING] = "saving", [FILE_REFUSED] = "refused", [FILE_DELETING] = "deleting",
                [FILE_DAMAGED] = "damaged", [FILE_CHANGED] = "changed",
        };

        return names[state];
}

int inventory_files(const Mirror *mirror, const char *after, size_t max, int (*each)(const InventoryFile *file, void *userdata), void *userdata) {
        (void) mirror;
        (void) after;
        (void) max;
        (void) each;
        (void) userdata;
        return -EOPNOTSUPP;
}

int inventory_models(const Mirror *mirror, int (*each)(const InventoryModel *model, void *userdata), void *userdata) {
        (void) mirror;
        (void) each;
        (void) userdata;
        return -EOPNOTSUPP;
}

Readiness inventory_readiness(const Mirror *mirror, const char *name, char **ret_reason) {
        (void) mirror;
        (void) name;
        *ret_reason = NULL;
        return READINESS_UNKNOWN;
}
