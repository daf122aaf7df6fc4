/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Arrays of strings that end with NULL. The array owns its strings; NULL is an empty array. */

#include "base/base.h"

size_t strv_length(char *const *list);

/* Appends @string and takes ownership of it, on failure by freeing it. 0 or -ENOMEM, also for NULL: then there was no
 * memory for the string. */
int strv_take(char ***list, char *string);

/* Moves all strings of @more behind those of @list and frees the array that held them. On -ENOMEM both are as
 * before. */
int strv_join(char ***list, char ***more);

/* A deep copy, never NULL. 0 or -ENOMEM. */
int strv_copy(char *const *list, char ***ret);

bool strv_equal(char *const *a, char *const *b);

/* True if @string is in the list. */
bool strv_has(char *const *list, const char *string);

/* Frees array and strings; returns NULL. */
char **strv_free(char **list);
DEFINE_CLEANUP(char *, strv_free)
