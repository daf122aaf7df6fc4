/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Parses names. See control/parse-name.h. */

#include "control/parse-name.h"

#include "base/path.h"
#include "base/text.h"

/* So many mirrors are listed in a sentence. */
enum { LISTED_MAX = 8 };

void parse_name_done(ParsedName *name) {
        free(name->path);
        *name = (ParsedName){};
}

/* Removes empty parts, "." and "..". An absolute path stays absolute, and ".." at its root is the root; -ENOENT if a
 * relative path leads out of its root. */
static int normalise(const char *raw, char **ret) {
        bool absolute = raw[0] == '/';
        _cleanup_(freep) char *path = malloc(strlen(raw) + 2);
        size_t used = 0;

        if (!path)
                return -ENOMEM;
        if (absolute)
                path[used++] = '/';
        for (const char *part = raw; *part;) {
                size_t length = strcspn(part, "/");

                if (length == 2 && memcmp(part, "..", 2) == 0) {
                        if (used == 0)
                                return -ENOENT;
                        while (used > (size_t) absolute && path[used - 1] != '/')
                                used--;
                        if (used > (size_t) absolute)
                                used--;
                } else if (length > 0 && !(length == 1 && part[0] == '.')) {
                        if (used > (size_t) absolute)
                                path[used++] = '/';
                        memcpy(path + used, part, length);
                        used += length;
                }
                part += length + strspn(part + length, "/");
        }
        path[used] = '\0';
        *ret = TAKE_PTR(path);
        return 0;
}

/* The length of the longer of the mirror's two roots that the path is below, and what follows it; 0 if it is below
 * neither. */
static size_t root_length(const ParseNameMirror *mirror, const char *path, const char **ret_rest) {
        const char *in_target = path_below(path, mirror->target), *in_source = path_below(path, mirror->source);
        const char *rest = !in_target || (in_source && in_source > in_target) ? in_source : in_target;

        *ret_rest = rest;
        /* the same for the root itself as for what is in it */
        return rest ? (size_t) (rest - path) + (*rest == '\0') : 0;
}

static int append_mirrors(char **text, const ParseNameMirror *mirrors, size_t n) {
        char source[TEXT_PATH_MAX], target[TEXT_PATH_MAX];
        int r = n == 0 ? text_append(text, "No mirror is configured")
                       : text_append(text, n == 1 ? "The mirror is " : "The mirrors are ");

        for (size_t i = 0; r == 0 && i < MIN(n, LISTED_MAX); i++)
                r = text_append(text, "%s'%s' (%s in %s)",
                                i == 0       ? ""
                                : i + 1 == n ? " and "
                                             : ", ",
                                mirrors[i].name, text_path(source, mirrors[i].source),
                                text_path(target, mirrors[i].target));
        if (r == 0 && n > LISTED_MAX)
                r = text_append(text, ", and %zu more", n - LISTED_MAX);
        return r;
}

static int refuse_unknown(const ParseNameMirror *mirrors, size_t n, const char *raw, char **ret_refusal) {
        char escaped[TEXT_PATH_MAX];
        int r = text_append(ret_refusal,
                            raw[0] == '/' ? "'%s' is not below any mirror's source or target. "
                                          : "No mirror has '%s'. ",
                            text_path(escaped, raw));

        if (r == 0)
                r = append_mirrors(ret_refusal, mirrors, n);
        return r < 0 ? r : PARSE_NAME_UNKNOWN;
}

static int refuse_ambiguous(const ParseNameMirror *a, const ParseNameMirror *b, const char *raw, char **ret_refusal) {
        char escaped[TEXT_PATH_MAX];
        int r;

        (void) text_path(escaped, raw);
        r = text_append(ret_refusal, "'%s' is in mirror '%s' and in '%s'; specify '%s:%s' or '%s:%s'", escaped,
                        a->name, b->name, a->name, escaped, b->name, escaped);
        return r < 0 ? r : PARSE_NAME_UNKNOWN;
}

static int found_at(size_t mirror, const char *path, ParsedName *ret) {
        char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        *ret = (ParsedName){ .mirror = mirror, .path = copy };
        return 0;
}

/* The mirror whose root is the deepest above the path; of several with that root the one that knows the path. */
static int parse_absolute(const ParseNameMirror *mirrors, size_t n, const char *path, const char *raw,
                          ParseNameKnows knows, void *userdata, ParsedName *ret, char **ret_refusal) {
        size_t best = n, deepest = 0;
        const char *rest;

        for (size_t i = 0; i < n; i++)
                deepest = MAX(deepest, root_length(&mirrors[i], path, &rest));
        for (size_t i = 0; deepest > 0 && i < n; i++) {
                bool known;

                if (root_length(&mirrors[i], path, &rest) != deepest)
                        continue;
                known = *rest == '\0' || knows(i, rest, userdata);
                if (best == n)
                        best = i;
                else if (known) {
                        const char *other;

                        (void) root_length(&mirrors[best], path, &other);
                        if (*other == '\0' || knows(best, other, userdata))
                                return refuse_ambiguous(&mirrors[best], &mirrors[i], raw, ret_refusal);
                        best = i;
                }
        }
        if (best == n)
                return refuse_unknown(mirrors, n, raw, ret_refusal);
        (void) root_length(&mirrors[best], path, &rest);
        return found_at(best, rest, ret);
}

static int parse_relative(const ParseNameMirror *mirrors, size_t n, const char *path, const char *raw,
                          ParseNameKnows knows, void *userdata, ParsedName *ret, char **ret_refusal) {
        size_t found = n;

        for (size_t i = 0; i < n; i++) {
                if (!knows(i, path, userdata))
                        continue;
                if (found < n)
                        return refuse_ambiguous(&mirrors[found], &mirrors[i], raw, ret_refusal);
                found = i;
        }
        if (found < n)
                return found_at(found, path, ret);
        for (size_t i = 0; i < n; i++)
                if (string_equal(mirrors[i].name, path))
                        return found_at(i, "", ret);
        return n == 1 ? found_at(0, path, ret) : refuse_unknown(mirrors, n, raw, ret_refusal);
}

/* The mirror of the prefix "MIRROR:"; n if there is none. */
static size_t find_prefix(const ParseNameMirror *mirrors, size_t n, const char *raw) {
        size_t length = strcspn(raw, ":");

        for (size_t i = 0; raw[length] == ':' && i < n; i++)
                if (strlen(mirrors[i].name) == length && strncmp(mirrors[i].name, raw, length) == 0)
                        return i;
        return n;
}

/* A name that follows "MIRROR:". -ENOENT if it is not below the roots of that mirror. */
static int parse_in(const ParseNameMirror *mirror, size_t index, const char *raw, ParsedName *ret) {
        _cleanup_(freep) char *path = NULL;
        const char *rest;
        int r = normalise(raw, &path);

        if (r < 0)
                return r;
        rest = path;
        if (path[0] == '/' && root_length(mirror, path, &rest) == 0)
                return -ENOENT;
        return found_at(index, rest, ret);
}

int parse_name(const ParseNameMirror *mirrors, size_t n, const char *raw, ParseNameKnows knows, void *userdata,
               ParsedName *ret, char **ret_refusal) {
        _cleanup_(freep) char *path = NULL;
        size_t mirror = find_prefix(mirrors, n, raw);
        int r = normalise(raw, &path);

        if (r < 0 && r != -ENOENT)
                return r;
        if (mirror < n) {
                const char *rest = raw + strlen(mirrors[mirror].name) + 1;
                ParsedName name = {};
                int q = parse_in(&mirrors[mirror], mirror, rest, &name);

                if (q < 0 && q != -ENOENT)
                        return q;
                /* unless it is a model that has the name of a mirror, as in "llama:7b" */
                if (q == 0 && (*name.path == '\0' || knows(mirror, name.path, userdata) || !path ||
                               !knows(mirror, path, userdata))) {
                        *ret = name;
                        return 0;
                }
                parse_name_done(&name);
        }
        if (r < 0 || (path[0] == '\0' && raw[0] == '\0'))
                return refuse_unknown(mirrors, n, raw, ret_refusal);
        if (path[0] == '/')
                return parse_absolute(mirrors, n, path, raw, knows, userdata, ret, ret_refusal);
        if (path[0] == '\0' && n > 0) /* "." */
                return n == 1 ? found_at(0, "", ret) : refuse_ambiguous(&mirrors[0], &mirrors[1], raw, ret_refusal);
        return parse_relative(mirrors, n, path, raw, knows, userdata, ret, ret_refusal);
}
