/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Parses a name from a call into a mirror and a path below its root. Pure: no link is followed and no disk is read, so
 * a name means the same to every caller. control/lookup.h does this with the mirrors there are, and says what is known
 * of the result.
 *
 * A name is an absolute path below a mirror's target or source; a path relative to the root of a mirror; a model by
 * its client's name ("llama3.1:70b", "org/name"); or the name of a mirror alone, for all of it. Each of these may be
 * prefixed with "MIRROR:". */

#include "base/base.h"

typedef struct ParseNameMirror {
        const char *name, *source, *target; /* paths are normalised, as config has them */
} ParseNameMirror;

typedef struct ParsedName {
        size_t mirror; /* index */
        char *path;    /* below its root, normalised; "" is all of it */
} ParsedName;

void parse_name_done(ParsedName *name);

/* Whether there is such a file, directory or model in the mirror or its source. */
typedef bool (*ParseNameKnows)(size_t mirror, const char *path, void *userdata);

/* 0; or PARSE_NAME_UNKNOWN with a sentence if the name leads to no mirror, or to several. A name whose form leads to
 * one mirror is parsed even if nothing is known there: what follows from that the caller decides. */
enum { PARSE_NAME_UNKNOWN = 1 };
int parse_name(const ParseNameMirror *mirrors, size_t n, const char *raw, ParseNameKnows knows, void *userdata,
                         ParsedName *ret, char **ret_refusal);
