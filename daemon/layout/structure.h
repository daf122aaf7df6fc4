/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether a model file is as long as its own header says: safetensors exactly (8 + N + the largest data_offsets end,
 * offsets without holes), GGUF at least (header, metadata and tensor table, then the end of the last tensor). Reads
 * the header only. A GGUF is recognised by its magic, safetensors by name; a file that is named *.gguf and is empty or
 * begins with zeros is bad too. Any other file counts as good, and so does what is unknown here (a tensor type, a
 * version) or has a header of hundreds of megabytes. Blocking; any thread. */

#include "base/base.h"

/* 0 if no fault was found; STRUCTURE_BAD and a new string in *reterr_text that says which ("it ends 12345 bytes before
 * its last tensor does"); or a negative errno. */
enum { STRUCTURE_BAD = 1 };
int structure_check(int fd, const char *path, uint64_t size, char **reterr_text);
