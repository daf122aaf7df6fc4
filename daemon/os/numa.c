/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The NUMA nodes that hold the memory of a tmpfs. See os/numa.h. */

#include "os/numa.h"

#include "base/quantity.h"
#include "base/text.h"
#include "os/fs.h"

#include <fcntl.h>

#define DIGITS "0123456789"

static bool take_node(const char **text, uint64_t *ret) {
        return quantity_take_number(text, ret) && *ret < NUMA_NODES_MAX;
}

bool numa_parse_nodes(const char *text, NumaNodes *ret) {
        NumaNodes nodes = {};

        for (const char *s = text; *s; s++) {
                uint64_t from, to;

                if (!take_node(&s, &from))
                        return false;
                to = from;
                if (*s == '-') {
                        s++;
                        if (!take_node(&s, &to) || to < from)
                                return false;
                }
                for (uint64_t node = from; node <= to; node++)
                        nodes.bits[node / 64] |= (uint64_t) 1 << node % 64;
                if (*s == '\0')
                        break;
                if (*s != ',' || s[1] == '\0')
                        return false;
        }
        *ret = nodes;
        return true;
}

unsigned numa_count_nodes(const NumaNodes *nodes) {
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(nodes->bits); i++)
                n += (unsigned) __builtin_popcountll(nodes->bits[i]);
        return n;
}

/* 0 if the file does not exist or is no list. */
static unsigned read_list(const char *sys, const char *name) {
        _cleanup_(freep) char *path = text_format("%s/devices/system/node/%s", sys, name), *text = NULL;
        NumaNodes nodes;

        if (!path || fs_read_text(AT_FDCWD, path, 16 * KIB, &text) < 0)
                return 0;
        text[strcspn(text, "\n")] = '\0';
        return numa_parse_nodes(text, &nodes) ? numa_count_nodes(&nodes) : 0;
}

unsigned numa_read_nodes(const char *sys) {
        unsigned n = read_list(sys, "has_memory");

        if (n == 0)
                n = read_list(sys, "has_normal_memory");
        return MAX(n, 1);
}

/* The list behind "MODE:", NULL if the policy has another mode or no list. */
static const char *list_of(const char *policy, const char *mode) {
        size_t length = strlen(mode);

        return strncmp(policy, mode, length) == 0 && policy[length] == ':' ? policy + length + 1 : NULL;
}

bool numa_is_policy(const char *text) {
        static const char *const plain[] = { "auto", "default", "local", "interleave" };
        static const char *const modes[] = { "interleave", "bind", "prefer" };
        NumaNodes nodes;

        for (size_t i = 0; i < ELEMENTSOF(plain); i++)
                if (strcmp(text, plain[i]) == 0)
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
                const char *list = list_of(text, modes[i]);

                if (list && *list && numa_parse_nodes(list, &nodes))
                        return strcmp(modes[i], "prefer") != 0 || list[strspn(list, DIGITS)] == '\0';
        }
        return false;
}

const char *numa_wanted(const char *policy, unsigned n_nodes) {
        if (!policy || strcmp(policy, "default") == 0)
                return NULL;
        if (strcmp(policy, "auto") == 0)
                return n_nodes > 1 ? "interleave" : NULL;
        return policy;
}

char *numa_in_force(const char *options) {
        const char *value = NULL, *end;

        for (const char *s = options; s && !value; s = strchr(s, ',')) {
                s += *s == ',';
                if (strncmp(s, "mpol=", 5) == 0)
                        value = s + 5;
        }
        if (!value)
                return strdup("");
        /* A comma before a digit is part of the list: no option begins with a digit. */
        for (end = value + strcspn(value, ","); *end == ',' && end[1] && strchr(DIGITS, end[1]);
             end += strcspn(end, ","))
                end++;
        return strndup(value, (size_t) (end - value));
}

bool numa_is_same(const char *wanted, const char *in_force, unsigned n_nodes) {
        size_t mode = strcspn(wanted, ":");
        NumaNodes a, b;

        if (mode != strcspn(in_force, ":") || strncmp(wanted, in_force, mode) != 0)
                return false;
        if (in_force[mode] == '\0')
                return wanted[mode] == '\0';
        if (!numa_parse_nodes(in_force + mode + 1, &b))
                return false;
        if (wanted[mode] == '\0')
                return numa_count_nodes(&b) == n_nodes;
        return numa_parse_nodes(wanted + mode + 1, &a) && memcmp(&a, &b, sizeof(a)) == 0;
}
