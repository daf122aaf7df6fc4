/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether a model file is as long as its own header says: safetensors exactly (8 + N + the largest data_offsets end,
 * offsets without holes), GGUF at least (header, metadata and tensor table, then the end of the last tensor).
 * Anything else, and what we do not know or is too large to look at (a tensor type, a version, a header of hundreds
 * of megabytes), is taken as good. Reads the header only. GGUF is known by its magic, safetensors by name; a file
 * that is named *.gguf and is empty or begins with zeros is bad too. */

#include "base/base.h"

/* 0: nothing speaks against it; STRUCTURE_BAD: *reterr_text says what does ("it ends 12345 bytes before its last
 * tensor does"), a new string; or a negative errno. */
enum { STRUCTURE_BAD = 1 };
int structure_check(int fd, const char *path, uint64_t size, char **reterr_text);
