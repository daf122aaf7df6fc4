/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The few words every file of this project uses: cleanup attributes, ownership hand-over, and
 * small arithmetic. It depends on nothing but libc, and does no I/O beyond closing things. */

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(text, first) __attribute__((format(printf, text, first)))
#define _unused_ __attribute__((unused))

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))
#define KIB ((uint64_t) 1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define NSEC_PER_SEC ((int64_t) 1000000000)
#define USEC_PER_SEC ((uint64_t) 1000000)

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Hands over what a variable holds and leaves it empty, so that its cleanup attribute does nothing. */
#define TAKE_PTR(pointer)                                   \
        ({                                                  \
                __typeof__(pointer) *_taken = &(pointer);   \
                __typeof__(pointer) _value = *_taken;       \
                *_taken = NULL;                             \
                _value;                                     \
        })

static inline int take_fd(int *fd) {
        int taken = *fd;

        *fd = -1;
        return taken;
}
#define TAKE_FD(fd) take_fd(&(fd))

/* Closes a descriptor, keeps errno, and returns -1 for `fd = close_fd(fd)`. Takes -1. */
static inline int close_fd(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void) close(fd); /* the descriptor is gone whatever close() says */
                errno = saved;
        }
        return -1;
}

static inline void close_fdp(int *fd) {
        *fd = close_fd(*fd);
}

static inline void freep(void *pointer) {
        free(*(void **) pointer);
}

static inline void fclosep(FILE **file) {
        if (*file)
                (void) fclose(*file); /* readers only; whoever writes checks fflush() first */
}

static inline void closedirp(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

/* Defines `NAMEp()`, the cleanup function of a type whose destructor is `NAME()`. */
#define DEFINE_CLEANUP(Type, name)                         \
        static inline void name##p(Type **object) {        \
                if (*object)                               \
                        (void) name(*object);              \
        }

static inline bool string_equal(const char *a, const char *b) {
        return a == b || (a && b && strcmp(a, b) == 0);
}

/* Rounds up to a multiple of @step, a power of two. */
static inline uint64_t round_up(uint64_t value, uint64_t step) {
        return (value + step - 1) & ~(step - 1);
}
