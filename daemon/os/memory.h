/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The memory of this machine, and what its control groups leave of it to the daemon. Facts only; plan/fit.h decides
 * what fits. Every fact comes from a directory that the caller gives, so that a test can use its own. */

#include "base/base.h"

/* In bytes. */
typedef struct MemoryFacts {
        uint64_t total;     /* MemTotal */
        uint64_t available; /* MemAvailable */
        uint64_t swap_total;
        /* The smallest memory.max - memory.current of our group and those above it (v2; in v1 memory.limit_in_bytes -
         * memory.usage_in_bytes), where page cache that the kernel can reclaim (inactive_file and active_file of
         * memory.stat) counts as free; UINT64_MAX if unlimited. It is the daemon's groups that count, because tmpfs
         * pages are charged to the group that first writes them (cgroup-v2.rst, "Memory Ownership"). */
        uint64_t cgroup_left;
        char *cgroup;       /* the group with this limit, NULL if none */
} MemoryFacts;

/* @proc is "/proc", @cgroup "/sys/fs/cgroup", or a directory of a test. A missing cgroup tree is no error. */
int memory_read(const char *proc, const char *cgroup, MemoryFacts *ret);
void memory_facts_done(MemoryFacts *facts);

/* True if anything is on swap, or if that is not known. */
bool memory_swap_is_used(const char *proc);

/* Gives free memory of the heap back to the kernel. Without this, glibc keeps what one large scan or plan took, on the
 * heap of the thread that ran it. Any thread. */
void memory_trim(void);
