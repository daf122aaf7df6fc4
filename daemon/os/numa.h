/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* On which memory nodes a tmpfs lies: NUMAPolicy=, the mpol= of tmpfs, and which nodes there are. Pure but for the
 * one that reads. */

#include "base/base.h"

enum { NUMA_NODES_MAX = 1024 }; /* MAX_NUMNODES of any kernel */

/* A set of nodes. */
typedef struct NumaNodes {
        uint64_t bits[NUMA_NODES_MAX / 64];
} NumaNodes;

/* "0", "0-3,5": numbers and ranges as the kernel lists them; in any order, once or more often. The empty text is the
 * empty set. False, and *@ret untouched, for whatever is not wholly that. */
bool numa_parse_nodes(const char *text, NumaNodes *ret);
unsigned numa_count_nodes(const NumaNodes *nodes);

/* How many nodes have memory: from the list in @sys ("/sys", or a test's) /devices/system/node/has_memory, else
 * has_normal_memory. 1 where there is none, which is a kernel without NUMA. */
unsigned numa_read_nodes(const char *sys);

/* Whether it is something that NUMAPolicy= may say. */
bool numa_is_policy(const char *text);

/* The mpol= text that @policy, a NUMAPolicy=, asks for on a machine with so many nodes with memory; NULL if for
 * none. Without one the node of the worker that copies is used, so that a model lies where chance put it; that is
 * why "auto" asks for interleave if there is a choice. Borrowed from @policy, or a literal. */
const char *numa_wanted(const char *policy, unsigned n_nodes);

/* The value of mpol= among the options of a mounted tmpfs, a new string; "" if it has none, NULL on ENOMEM. Its
 * lists have commas, which no parser of mount options knows (mpol_to_str() in the kernel's mm/mempolicy.c). */
char *numa_in_force(const char *options);

/* Whether @in_force, as the kernel shows it, is what was asked for with @wanted on a machine with so many nodes with
 * memory: without a list all of them are meant. */
bool numa_is_same(const char *wanted, const char *in_force, unsigned n_nodes);
