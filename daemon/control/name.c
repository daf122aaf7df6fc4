/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a caller calls a file -> the mirror and the path below its root. See control/name.h. */

#include "control/name.h"

#include "base/path.h"
#include "base/text.h"

/* More are not named in a sentence. */
enum { TOLD_PLACES = 8 };

void control_name_done(ControlName *name) {
        free(name->path);
        *name = (ControlName){};
}

/* Without empty parts, "." and "..". An absolute path stays one, and ".." at its root is the root; -ENOENT if a
 * relative one leads out. */
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

/* The longer of what is before the rest in the mirror's two roots; 0 if it is below neither. */
static size_t depth(const ControlPlace *place, const char *path, const char **ret_rest) {
        const char *in_target = path_below(path, place->target), *in_source = path_below(path, place->source);
        const char *rest = !in_target || (in_source && in_source > in_target) ? in_source : in_target;

        *ret_rest = rest;
        return rest ? (size_t) (rest - path) + (*rest == '\0') : 0; /* the root itself is as deep as what is in it */
}

int control_name_append_places(char **text, const ControlPlace *places, size_t n) {
        char source[TEXT_PATH_MAX], target[TEXT_PATH_MAX];
        int r = n == 0 ? text_append(text, "There is no mirror")
                       : text_append(text, n == 1 ? "The mirror is " : "The mirrors are ");

        for (size_t i = 0; r == 0 && i < MIN(n, TOLD_PLACES); i++)
                r = text_append(text, "%s'%s' (%s in %s)",
                                i == 0       ? ""
                                : i + 1 == n ? " and "
                                             : ", ",
                                places[i].name, text_path(source, places[i].source),
                                text_path(target, places[i].target));
        if (r == 0 && n > TOLD_PLACES)
                r = text_append(text, ", and %zu more", n - TOLD_PLACES);
        return r;
}

static int refuse_unknown(const ControlPlace *places, size_t n, const char *raw, char **ret_refusal) {
        char escaped[TEXT_PATH_MAX];
        int r = text_append(ret_refusal,
                            raw[0] == '/' ? "'%s' is below no mirror's source or target. "
                                          : "No mirror has or knows '%s'. ",
                            text_path(escaped, raw));

        if (r == 0)
                r = control_name_append_places(ret_refusal, places, n);
        return r < 0 ? r : CONTROL_NAME_UNKNOWN;
}

static int refuse_ambiguous(const ControlPlace *a, const ControlPlace *b, const char *raw, char **ret_refusal) {
        char escaped[TEXT_PATH_MAX];
        int r;

        (void) text_path(escaped, raw);
        r = text_append(ret_refusal, "'%s' is in mirror '%s' and in '%s': say '%s:%s' or '%s:%s'", escaped, a->name,
                        b->name, a->name, escaped, b->name, escaped);
        return r < 0 ? r : CONTROL_NAME_UNKNOWN;
}

static int take(size_t place, const char *path, ControlName *ret) {
        char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        *ret = (ControlName){ .place = place, .path = copy };
        return 0;
}

/* The mirror whose root is the deepest around it; of several with that root the one that knows it. */
static int resolve_absolute(const ControlPlace *places, size_t n, const char *path, const char *raw,
                            ControlKnows knows, void *userdata, ControlName *ret, char **ret_refusal) {
        size_t best = n, deepest = 0;
        const char *rest;

        for (size_t i = 0; i < n; i++)
                deepest = MAX(deepest, depth(&places[i], path, &rest));
        for (size_t i = 0; deepest > 0 && i < n; i++) {
                bool known;

                if (depth(&places[i], path, &rest) != deepest)
                        continue;
                known = *rest == '\0' || knows(i, rest, userdata);
                if (best == n)
                        best = i;
                else if (known) {
                        const char *other;

                        (void) depth(&places[best], path, &other);
                        if (*other == '\0' || knows(best, other, userdata))
                                return refuse_ambiguous(&places[best], &places[i], raw, ret_refusal);
                        best = i;
                }
        }
        if (best == n)
                return refuse_unknown(places, n, raw, ret_refusal);
        (void) depth(&places[best], path, &rest);
        return take(best, rest, ret);
}

static int resolve_relative(const ControlPlace *places, size_t n, const char *path, const char *raw,
                            ControlKnows knows, void *userdata, ControlName *ret, char **ret_refusal) {
        size_t found = n;

        for (size_t i = 0; i < n; i++) {
                if (!knows(i, path, userdata))
                        continue;
                if (found < n)
                        return refuse_ambiguous(&places[found], &places[i], raw, ret_refusal);
                found = i;
        }
        if (found < n)
                return take(found, path, ret);
        for (size_t i = 0; i < n; i++)
                if (string_equal(places[i].name, path))
                        return take(i, "", ret);
        return n == 1 ? take(0, path, ret) : refuse_unknown(places, n, raw, ret_refusal);
}

/* "MIRROR:" before a name; n if it begins with no mirror's name. */
static size_t find_prefix(const ControlPlace *places, size_t n, const char *raw) {
        size_t length = strcspn(raw, ":");

        for (size_t i = 0; raw[length] == ':' && i < n; i++)
                if (strlen(places[i].name) == length && strncmp(places[i].name, raw, length) == 0)
                        return i;
        return n;
}

/* True with the path if it is in this mirror by its form. */
static int resolve_in(const ControlPlace *place, size_t index, const char *raw, ControlName *ret) {
        _cleanup_(freep) char *path = NULL;
        const char *rest;
        int r = normalise(raw, &path);

        if (r < 0)
                return r;
        rest = path;
        if (path[0] == '/' && depth(place, path, &rest) == 0)
                return -ENOENT;
        return take(index, rest, ret);
}

int control_name_resolve(const ControlPlace *places, size_t n, const char *raw, ControlKnows knows, void *userdata,
                         ControlName *ret, char **ret_refusal) {
        _cleanup_(freep) char *path = NULL;
        size_t place = find_prefix(places, n, raw);
        int r = normalise(raw, &path);

        if (r < 0 && r != -ENOENT)
                return r;
        if (place < n) {
                const char *rest = raw + strlen(places[place].name) + 1;
                ControlName name = {};
                int q = resolve_in(&places[place], place, rest, &name);

                if (q < 0 && q != -ENOENT)
                        return q;
                /* a model may be called as a mirror is: "llama:7b" */
                if (q == 0 && (*name.path == '\0' || knows(place, name.path, userdata) || !path ||
                               !knows(place, path, userdata))) {
                        *ret = name;
                        return 0;
                }
                control_name_done(&name);
        }
        if (r < 0 || (path[0] == '\0' && raw[0] == '\0'))
                return refuse_unknown(places, n, raw, ret_refusal);
        if (path[0] == '/')
                return resolve_absolute(places, n, path, raw, knows, userdata, ret, ret_refusal);
        if (path[0] == '\0' && n > 0) /* "." */
                return n == 1 ? take(0, "", ret) : refuse_ambiguous(&places[0], &places[1], raw, ret_refusal);
        return resolve_relative(places, n, path, raw, knows, userdata, ret, ret_refusal);
}
