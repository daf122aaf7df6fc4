/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What fits: the memory of this machine and of the control groups we are in. Facts only; plan decides.
 *
 * Every fact comes from a directory given by the caller, so that a test can hand in its own. */

#include "base/base.h"

typedef struct MemoryFacts {
        uint64_t total;        /* MemTotal, bytes */
        uint64_t available;    /* MemAvailable, bytes */
        uint64_t swap_total;
        uint64_t
                cgroup_left; /* the smallest memory.max - memory.current from our group upwards (v2), or the v1 equivalent
                                * (memory.limit_in_bytes - memory.usage_in_bytes); UINT64_MAX if unlimited. tmpfs pages are
                                * charged to the group that first writes them: cgroup-v2.rst, "Memory Ownership". Pages of
                                * reclaimable page cache (inactive_file and active_file of memory.stat) count as left. */
        char *cgroup;          /* the group that limits, NULL if none */
} MemoryFacts;

/* @proc is "/proc", @cgroup "/sys/fs/cgroup", or a test's. A missing cgroup tree is no error. */
int memory_read(const char *proc, const char *cgroup, MemoryFacts *ret);
/* True if anything at all is on swap, or if that is not known. */
bool memory_swap_is_used(const char *proc);
void memory_facts_done(MemoryFacts *facts);

/* Gives free memory of the heap back to the kernel: glibc keeps what one large scan or wave took for the next, on
 * the heap of the thread that it ran on. Any thread. */
void memory_trim(void);
