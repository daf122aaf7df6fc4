/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The language of unit files. See os/unit-name.h. */

#include "os/unit-name.h"

#include "base/text.h"
#include "os/fs.h"

#include <ctype.h>
#include <fcntl.h>
#include <strings.h>

static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.";

char *unit_name_from_path(const char *path, const char *suffix) {
        char *name, *out;

        assert(path && path[0] == '/' && suffix);
        name = out = malloc(strlen(path) * 4 + strlen(suffix) + 3);
        if (!name)
                return NULL;
        path += path[1] != '\0'; /* "/" becomes "-"; other paths lose their first slash */
        for (const char *p = path; *p; p++)
                if (*p == '/')
                        *out++ = '-';
                else if (strchr(LETTERS, *p) && !(*p == '.' && p == path))
                        *out++ = *p;
                else
                        out += sprintf(out, "\\x%02x", (unsigned) (unsigned char) *p);
        (void) sprintf(out, ".%s", suffix);
        return name;
}

bool unit_name_path_fits_bare(const char *path) {
        char last = path[0] ? path[strlen(path) - 1] : '\0';

        return last != '\\' && last != ' ' && last != '\0';
}

char *unit_name_quote(UnitText kind, const char *prefix, const char *text) {
        const char *const parts[] = { prefix, text };
        char *quoted, *out;

        quoted = out = malloc((strlen(prefix) + strlen(text)) * 2 + 3);
        if (!quoted)
                return NULL;
        if (kind != UNIT_NAME_BARE)
                *out++ = '"';
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                for (const char *p = parts[i]; *p; p++) {
                        if (*p == '%' || (*p == '$' && kind == UNIT_NAME_COMMAND))
                                *out++ = *p;
                        else if ((*p == '"' || *p == '\\') && kind != UNIT_NAME_BARE)
                                *out++ = '\\';
                        *out++ = *p;
                }
        if (kind != UNIT_NAME_BARE)
                *out++ = '"';
        *out = '\0';
        return quoted;
}

static const UnitDirectory directories[] = {
        { "/etc/systemd/system.control", false }, { "/run/systemd/system.control", false },
        { "/run/systemd/transient", false },      { "/run/systemd/generator.early", true },
        { "/etc/systemd/system", false },         { "/run/systemd/system", false },
        { "/run/systemd/generator", true },       { "/usr/local/lib/systemd/system", false },
        { "/usr/lib/systemd/system", false },     { "/lib/systemd/system", false },
        { "/run/systemd/generator.late", true },
};

const UnitDirectory *unit_name_directories(size_t *ret_n) {
        *ret_n = ELEMENTSOF(directories);
        return directories;
}

int unit_name_exists(const char *root, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                _cleanup_(freep) char *path = NULL;

                if (directories[i].generated)
                        continue;
                path = text_format("%s%s/%s", root, directories[i].path, name);
                if (!path)
                        return -ENOMEM;
                if (access(path, F_OK) == 0)
                        return 1;
        }
        return 0;
}

static bool is_off(const char *value, size_t length) {
        static const char *const words[] = { "", "0", "no", "n", "false", "f", "off", "/" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strlen(words[i]) == length && strncasecmp(words[i], value, length) == 0)
                        return true;
        return false;
}

/* True if a line of a unit file has one of the settings that may hide a mount below /dev/shm from the service. */
static bool line_hides(const char *line, size_t length) {
        static const char *const keys[] = { "PrivateDevices", "TemporaryFileSystem", "RootDirectory", "RootImage" };
        const char *equals = memchr(line, '=', length), *end = line + length;

        if (!equals)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                size_t n = strlen(keys[i]);

                if (strncmp(line, keys[i], n) != 0 || line + n + strspn(line + n, " \t") != equals)
                        continue;
                equals += 1 + strspn(equals + 1, " \t");
                while (end > equals && isspace((unsigned char) end[-1]))
                        end--;
                return end <= equals ? false : !is_off(equals, (size_t) (end - equals));
        }
        return false;
}

/* A file that cannot be read counts as empty. */
static int file_hides(int dirfd, const char *path) {
        _cleanup_(freep) char *text = NULL;
        int r = fs_read_text(dirfd, path, MIB, &text);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        for (const char *line = text; *line;) {
                size_t length;

                line += strspn(line, " \t");
                length = strcspn(line, "\n");
                if (line_hides(line, length))
                        return 1;
                line += length;
                line += *line == '\n';
        }
        return 0;
}

static int drop_ins_hide(const char *path) {
        _cleanup_(closedirp) DIR *dir = opendir(path);
        struct dirent *entry;

        while (dir && (entry = readdir(dir))) {
                const char *dot = strrchr(entry->d_name, '.');
                int r;

                if (!string_equal(dot, ".conf"))
                        continue;
                r = file_hides(dirfd(dir), entry->d_name);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int name_hides(const char *root, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                _cleanup_(freep) char *path = NULL;
                size_t length;
                int r;

                if (directories[i].generated)
                        continue;
                path = text_format("%s%s/%s.d", root, directories[i].path, name);
                if (!path)
                        return -ENOMEM;
                r = drop_ins_hide(path);
                if (r != 0)
                        return r;
                length = strlen(path);
                path[length - 2] = '\0'; /* without the ".d" */
                r = file_hides(AT_FDCWD, path);
                if (r != 0)
                        return r;
        }
        return 0;
}

int unit_name_hides_mounts(const char *root, const char *name) {
        _cleanup_(freep) char *template = NULL;
        const char *at = strchr(name, '@'), *type = strrchr(name, '.');
        int r;

        assert(root && name && type);
        r = name_hides(root, name);
        if (r != 0 || !at)
                return r;
        template = text_format("%.*s@%s", (int) (at - name), name, type);
        return template ? name_hides(root, template) : -ENOMEM;
}
