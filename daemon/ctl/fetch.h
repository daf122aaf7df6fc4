/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The calls of the daemon that read something, a function each. Not NONE: *ret_reason is a sentence, a new string. */

#include "base/base.h"
#include "ctl/connection.h"
#include "ctl/users.h"
#include "ctl/json-output.h"

/* GetStatus(): { "daemon": {}, "mirrors": [ {} ] }, a new reference. */
CtlTrouble ctl_fetch_status(CtlConnection *bus, json_t **ret, char **ret_reason);

/* The same from a reply of GetStatus(). 0 or a negative errno. */
int ctl_fetch_read_status(sd_bus_message *reply, json_t **ret);

/* The status to print without a daemon: a new reference, NULL on ENOMEM. */
json_t *ctl_fetch_absent(void);

/* The mirrors of such a status: a new array, whose strings are borrowed from @status. NULL on ENOMEM. */
UsersMirror *ctl_fetch_mirrors(const json_t *status, size_t *ret_n);

/* ListModels() of a mirror: [ {} ], a new reference. */
CtlTrouble ctl_fetch_models(CtlConnection *bus, const char *mirror, json_t **ret, char **ret_reason);

typedef struct FetchedFile {
        const char *path, *state, *digest, *method, *reason; /* borrowed for the call; "" for none */
        uint64_t size, room;
        bool in_ram, on_disk;
} FetchedFile;

/* ListFiles() of a mirror, all pages. A negative errno of @each ends it. */
CtlTrouble ctl_fetch_files(CtlConnection *bus, const char *mirror,
                           int (*each)(const FetchedFile *file, void *userdata), void *userdata, char **ret_reason);
