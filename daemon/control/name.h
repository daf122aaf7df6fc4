/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a caller calls a file -> the mirror and the path below its root. Pure: no link is followed and nothing is
 * looked up on a disk, so a name means the same whoever asks.
 *
 * A name is an absolute path below a mirror's target or source, a path relative to the root of a mirror, a model by
 * its client's name ("llama3.1:70b", "org/name"), or the name of a mirror alone, which is all of it; or any of these
 * after "MIRROR:". */

#include "base/base.h"

typedef struct ControlPlace {
        const char *name, *source, *target; /* of a mirror; paths are normalised, as config has them */
} ControlPlace;

typedef struct ControlName {
        size_t place; /* index of the mirror */
        char *path;   /* below its root, normalised; "" is all of it */
} ControlName;

void control_name_done(ControlName *name);

/* Whether there is such a file, directory or model in the mirror or its source. */
typedef bool (*ControlKnows)(size_t place, const char *path, void *userdata);

/* 0; or CONTROL_NAME_UNKNOWN if it leads to no mirror, or to several, and a sentence that says so. A name that leads
 * to one mirror by its form is resolved even if nothing is known there: what follows from that is the caller's. */
enum { CONTROL_NAME_UNKNOWN = 1 };
int control_name_resolve(const ControlPlace *places, size_t n, const char *raw, ControlKnows knows, void *userdata,
                         ControlName *ret, char **ret_refusal);

/* Appends which mirrors there are. */
int control_name_append_places(char **text, const ControlPlace *places, size_t n);
