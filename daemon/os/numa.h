/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The NUMA nodes that hold the memory of a tmpfs: NUMAPolicy=, the mount option mpol=, and which nodes there are. Only
 * numa_read_nodes() reads anything. */

#include "base/base.h"

enum { NUMA_NODES_MAX = 1024 }; /* MAX_NUMNODES of any kernel */

/* A set of nodes, one bit each. */
typedef struct NumaNodes {
        uint64_t bits[NUMA_NODES_MAX / 64];
} NumaNodes;

/* "0", "0-3,5": numbers and ranges as the kernel lists them, in any order and possibly repeated. The empty text is the
 * empty set. False, with *ret untouched, if the text is anything else. */
bool numa_parse_nodes(const char *text, NumaNodes *ret);
unsigned numa_count_nodes(const NumaNodes *nodes);

/* How many nodes have memory: from the list in SYS/devices/system/node/has_memory, else has_normal_memory, where
 * @sys is "/sys" or a directory of a test. 1 without a list, as in a kernel without NUMA. */
unsigned numa_read_nodes(const char *sys);

/* True if @text is a valid NUMAPolicy=. */
bool numa_is_policy(const char *text);

/* The value of mpol= for @policy, a NUMAPolicy=, on a machine where @n_nodes nodes have memory; NULL if the option is
 * not needed. Without it, memory comes from the node of the worker that copies, so that chance decides where a model
 * lies; that is why "auto" means interleave if there are several nodes. Borrowed from @policy, or a literal. */
const char *numa_wanted(const char *policy, unsigned n_nodes);

/* The value of mpol= among the options of a mounted tmpfs, a new string; "" if it has none, NULL on ENOMEM. Parsers of
 * mount options cannot read it, because its lists have commas (mpol_to_str() in the kernel's mm/mempolicy.c). */
char *numa_in_force(const char *options);

/* True if @in_force, as the kernel shows it, is the same policy as @wanted on a machine where @n_nodes nodes have
 * memory: without a list all of them are meant. */
bool numa_is_same(const char *wanted, const char *in_force, unsigned n_nodes);
