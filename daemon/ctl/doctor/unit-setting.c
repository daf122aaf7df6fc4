/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The values of a unit's settings: lists, environment, command line. See ctl/doctor/unit-view.h. */

#include "ctl/doctor/unit-view.h"

#include "base/quantity.h"
#include "base/strv.h"
#include "base/text.h"
#include "base/words.h"

#include <ctype.h>
#include <strings.h>

const UnitSetting *unit_view_last(const UnitView *unit, const char *section, const char *key) {
        for (size_t i = unit ? unit->n_settings : 0; i-- > 0;)
                if (string_equal(unit->settings[i].key, key) && string_equal(unit->settings[i].section, section))
                        return unit->settings[i].value[0] ? &unit->settings[i] : NULL;
        return NULL;
}

const char *unit_view_value(const UnitView *unit, const char *section, const char *key) {
        const UnitSetting *setting = unit_view_last(unit, section, key);

        return setting ? setting->value : NULL;
}

bool unit_view_is_on(const UnitView *unit, const char *section, const char *key) {
        static const char *const words[] = { "1", "yes", "y", "true", "t", "on" };
        const char *value = unit_view_value(unit, section, key);

        for (size_t i = 0; value && i < ELEMENTSOF(words); i++)
                if (strcasecmp(value, words[i]) == 0)
                        return true;
        return false;
}

static int add_words(const char *text, char ***list) {
        _cleanup_(strv_freep) char **words = NULL;
        int r = words_split(text, &words);

        return r == 0 ? strv_join(list, &words) : r < 0 ? r : 0;
}

int unit_view_words(const UnitView *unit, const char *section, const char *key, char ***ret) {
        _cleanup_(strv_freep) char **list = calloc(1, sizeof(char *));
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && unit && i < unit->n_settings; i++) {
                const UnitSetting *setting = &unit->settings[i];

                if (!string_equal(setting->key, key) || !string_equal(setting->section, section))
                        continue;
                if (setting->value[0] == '\0') {
                        list = strv_free(list);
                        list = calloc(1, sizeof(char *));
                        r = list ? 0 : -ENOMEM;
                } else
                        r = add_words(setting->value, &list);
        }
        if (r == 0)
                *ret = TAKE_PTR(list);
        return r;
}

bool unit_view_refers_to(const UnitView *unit, const char *key, const char *other) {
        _cleanup_(strv_freep) char **words = NULL;

        return unit_view_words(unit, "Unit", key, &words) == 0 && strv_has(words, other);
}

/* Replaces %% by %, in place. */
static void undouble_percent(char *text) {
        char *out = text;

        for (const char *in = text; *in; in++) {
                *out++ = *in;
                in += in[0] == '%' && in[1] == '%';
        }
        *out = '\0';
}

/* Sets a variable "NAME=value"; takes the string. */
static int put_variable(char ***environment, char *variable) {
        const char *equals = variable ? strchr(variable, '=') : NULL;
        size_t length = equals ? (size_t) (equals + 1 - variable) : 0;

        if (!equals || length == 1) {
                free(variable);
                return variable ? 0 : -ENOMEM;
        }
        for (char **old = *environment; old && *old; old++)
                if (strncmp(*old, variable, length) == 0) {
                        free(*old);
                        *old = variable;
                        return 0;
                }
        return strv_take(environment, variable);
}

/* A line of an environment file: NAME=value, the value perhaps in quotes. */
static int put_line(char ***environment, char *line) {
        char *value;

        line += strspn(line, " \t");
        value = strchr(line, '=');
        if (!value || line[0] == '#' || line[0] == ';')
                return 0;
        value += 1 + strspn(value + 1, " \t");
        for (size_t n = strlen(value); n > 0 && isspace((unsigned char) value[n - 1]); n--)
                value[n - 1] = '\0';
        if ((value[0] == '"' || value[0] == '\'') && strlen(value) > 1 && value[strlen(value) - 1] == value[0]) {
                value[strlen(value) - 1] = '\0';
                memmove(value, value + 1, strlen(value));
        }
        memmove(strchr(line, '=') + 1, value, strlen(value) + 1);
        return put_variable(environment, strdup(line));
}

static int read_environment_file(const RootView *machine, const char *path, char ***environment) {
        _cleanup_(freep) char *text = NULL;
        char *rest = NULL;
        int r;

        path += path[0] == '-';
        if (path[0] != '/' || root_view_read(machine, path, MIB, &text) < 0)
                return 0; /* systemd does not start the unit without it, and reports that itself */
        r = 0;
        for (char *line = strtok_r(text, "\n", &rest); r == 0 && line; line = strtok_r(NULL, "\n", &rest))
                r = put_line(environment, line);
        return r;
}

int unit_view_environment(const RootView *machine, const UnitView *unit, char ***ret) {
        _cleanup_(strv_freep) char **environment = calloc(1, sizeof(char *)), **words = NULL, **files = NULL;
        int r = environment ? 0 : -ENOMEM;

        if (r == 0)
                r = unit_view_words(unit, "Service", "Environment", &words);
        for (char **word = words; r == 0 && word && *word; word++) {
                undouble_percent(*word);
                r = put_variable(&environment, strdup(*word));
        }
        if (r == 0)
                r = unit_view_words(unit, "Service", "EnvironmentFile", &files);
        for (char **file = files; r == 0 && file && *file; file++)
                r = read_environment_file(machine, *file, &environment);
        if (r == 0)
                *ret = TAKE_PTR(environment);
        return r;
}

static const char *find_variable(char *const *environment, const char *name, size_t length) {
        for (; environment && *environment; environment++)
                if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
                        return *environment + length + 1;
        return "";
}

/* ${NAME} anywhere in a word; $NAME as a whole word, which may become several words or none. */
static int expand(const char *word, char *const *environment, char ***list) {
        _cleanup_(freep) char *text = strdup("");
        size_t name = word[0] == '$' && word[1] != '{' && word[1] != '$' ? strlen(word + 1) : 0;
        int r = text ? 0 : -ENOMEM;

        if (name > 0)
                return add_words(find_variable(environment, word + 1, name), list);
        while (r == 0 && *word) {
                const char *end = word[0] == '$' && word[1] == '{' ? strchr(word, '}') : NULL;

                if (end) {
                        r = text_append(&text, "%s", find_variable(environment, word + 2, (size_t) (end - word - 2)));
                        word = end + 1;
                } else {
                        char one[2] = { *word, '\0' };

                        word += word[0] == word[1] && (word[0] == '$' || word[0] == '%') ? 2 : 1;
                        r = text_append(&text, "%s", one);
                }
        }
        return r == 0 ? strv_take(list, TAKE_PTR(text)) : r;
}

/* `sh -c "exec llama-server -m x"`: replaced by the words of the text. */
static int open_shell(char ***list) {
        char **words = *list;
        const char *slash = words[0] ? strrchr(words[0], '/') : NULL, *program = slash ? slash + 1 : words[0];
        _cleanup_(strv_freep) char **inner = NULL;
        size_t n = strv_length(words);

        if (n < 3 || (!string_equal(program, "sh") && !string_equal(program, "bash")) || words[1][0] != '-' ||
            !strchr(words[1], 'c'))
                return 0;
        if (words_split(words[2], &inner) != 0)
                return 0; /* a script rather than a command line */
        if (string_equal(inner[0], "exec")) {
                free(inner[0]);
                memmove(inner, inner + 1, strv_length(inner + 1) * sizeof(char *) + sizeof(char *));
        }
        (void) strv_free(*list);
        *list = TAKE_PTR(inner);
        return 0;
}

int unit_view_command(const UnitView *unit, char *const *environment, char ***ret) {
        const char *value = unit_view_value(unit, "Service", "ExecStart");
        _cleanup_(strv_freep) char **words = NULL, **list = calloc(1, sizeof(char *));
        int r;

        if (!list)
                return -ENOMEM;
        r = value ? words_split(value + strspn(value, "@-:+!|"), &words) : WORDS_BAD;
        if (r < 0)
                return r;
        for (char **word = words; r == 0 && word && *word; word++)
                r = expand(*word, environment, &list);
        if (r == 0)
                r = open_shell(&list);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

bool unit_view_parse_bytes(const char *value, uint64_t total, uint64_t *ret) {
        uint64_t permyriad;

        if (string_equal(value, "infinity"))
                *ret = UINT64_MAX;
        else if (quantity_parse_percent(value, &permyriad))
                *ret = (uint64_t) ((double) total * (double) permyriad / 10000);
        else
                return quantity_parse_bytes(value, ret);
        return true;
}
