/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The entries of a manifest by inode number. Begins as zeros; borrows nothing. */

#include "base/base.h"
#include "tree/manifest.h"

typedef struct Inode {
        uint64_t ino;
        size_t index; /* of the entry in the manifest */
} Inode;

typedef struct Inodes {
        Inode *items; /* sorted by number, those of one number by path */
        size_t n;
} Inodes;

/* Of each entry the number that @ino gives for it; those for which it gives 0 are left out. 0 or -ENOMEM. */
int inodes_collect(Inodes *ret, const Manifest *manifest, uint64_t (*ino)(const Entry *entry));
void inodes_done(Inodes *inodes);

/* The index in .items of the first one of this number; .n if there is none. */
size_t inodes_find(const Inodes *inodes, uint64_t ino);
