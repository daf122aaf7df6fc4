/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a path means to its client: asks the table of the tree's layout. Sets of files are the same in all layouts. See
 * layout/layout.h. */

#include "layout/layout.h"

#include <ctype.h>

static const LayoutType *type_of(LayoutKind kind) {
        static const LayoutType *const types[] = { [LAYOUT_PLAIN] = &layout_kind_plain,
                                                   [LAYOUT_OLLAMA] = &layout_kind_ollama,
                                                   [LAYOUT_HUGGINGFACE] = &layout_kind_huggingface };

        assert(kind != LAYOUT_AUTO);
        return types[kind];
}

LayoutKind layout_recognise(const Manifest *tree) {
        if (layout_kind_ollama.recognise(tree))
                return LAYOUT_OLLAMA;
        return layout_kind_huggingface.recognise(tree) ? LAYOUT_HUGGINGFACE : LAYOUT_PLAIN;
}

const char *layout_name(LayoutKind kind) {
        return type_of(kind)->name;
}

LayoutRole layout_role(LayoutKind kind, const char *path) {
        return type_of(kind)->role(path);
}

bool layout_is_unfinished(const char *path, LayoutKind kind) {
        LayoutKind first = kind == LAYOUT_AUTO ? LAYOUT_PLAIN : kind,
                   last = kind == LAYOUT_AUTO ? LAYOUT_HUGGINGFACE : kind;

        for (kind = first; kind <= last; kind++)
                if (layout_role(kind, path) != LAYOUT_UNFINISHED)
                        return false;
        return true;
}

bool layout_claim(LayoutKind kind, const char *path, Claim *ret) {
        return type_of(kind)->claim(path, ret);
}

bool layout_may_link(LayoutKind kind, const char *path) {
        return type_of(kind)->may_link(path);
}

bool layout_is_shared(LayoutKind kind, const char *path) {
        return type_of(kind)->is_shared(path);
}

bool layout_is_counted(LayoutKind kind, const char *path, bool directory) {
        return type_of(kind)->is_counted(path, directory);
}

static bool five_digits(const char *s) {
        for (size_t i = 0; i < 5; i++)
                if (!isdigit((unsigned char) s[i]))
                        return false;
        return true;
}

size_t layout_set(const char *path, const char **ret_tail) {
        static const char of[] = "-of-";
        size_t length = strlen(path);

        /* "-NNNNN-of-NNNNN" before the extension, for GGUF and for safetensors */
        for (const char *s = strstr(path, of); s; s = strstr(s + 1, of)) {
                if (s - path < 6 || s[-6] != '-' || !five_digits(s - 5))
                        continue;
                if ((size_t) (s - path) + strlen(of) + 5 > length || !five_digits(s + strlen(of)) || strchr(s, '/'))
                        continue;
                *ret_tail = s;
                return (size_t) (s - path) - 5;
        }
        *ret_tail = path + length;
        return length;
}

bool layout_same_set(const char *a, const char *b) {
        const char *tail_a, *tail_b;
        size_t n = layout_set(a, &tail_a);

        return layout_set(b, &tail_b) == n && strncmp(a, b, n) == 0 && strcmp(tail_a, tail_b) == 0;
}
