/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a ref of a Hugging Face cache says: "models--ORG--NAME/refs/REVISION" holds the commit that this revision is,
 * 40 hex digits, and perhaps white space behind them. */

#include "layout/pointer.h"

/* Adds everything below "snapshots/COMMIT/" of the same repository, and "trees/COMMIT.json" where that is there, to
 * .found. 0, or a negative errno; POINTER_BROKEN if the content is no commit, or there is no snapshot of it. */
int huggingface_ref_read(Pointer *pointer, const char *path);
