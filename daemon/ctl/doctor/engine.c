/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Knowledge about engines. See ctl/doctor/engine.h. */

#include "ctl/doctor/engine.h"

#include "base/array.h"
#include "base/strv.h"
#include "base/text.h"

#include <strings.h>

typedef struct EngineName {
        EngineKind kind;
        const char *name; /* of a program or a unit */
        bool prefix;      /* or the beginning of it */
} EngineName;

static const EngineName names[] = {
        { ENGINE_OLLAMA, "ollama", false },         { ENGINE_LLAMA_SERVER, "llama-server", false },
        { ENGINE_LLAMA_SERVER, "llama-cpp", true }, { ENGINE_LLAMA_SERVER, "llama.cpp", true },
        { ENGINE_LLAMA_SERVER, "llamacpp", true },  { ENGINE_LLAMA_SWAP, "llama-swap", false },
        { ENGINE_VLLM, "vllm", true },              { ENGINE_TGI, "text-generation-launcher", false },
        { ENGINE_TGI, "text-generation-server", false }, { ENGINE_TGI, "text-generation-router", false },
        { ENGINE_TGI, "text-generation-inference", false }, { ENGINE_TGI, "tgi", false },
        { ENGINE_LOCALAI, "local-ai", false },      { ENGINE_LOCALAI, "localai", false },
        { ENGINE_KOBOLDCPP, "koboldcpp", true },    { ENGINE_LM_STUDIO, "lmstudio", true },
        { ENGINE_LM_STUDIO, "lm-studio", true },    { ENGINE_LM_STUDIO, "llmster", false },
};

/* By the first @length bytes of @name. */
static EngineKind find_name(const char *name, size_t length) {
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                size_t n = strlen(names[i].name);

                if (length >= n && strncasecmp(name, names[i].name, n) == 0 && (names[i].prefix || length == n))
                        return names[i].kind;
        }
        return ENGINE_OTHER;
}

EngineKind engine_of_unit(const char *unit) {
        const char *dot = strrchr(unit, '.'), *at = strchr(unit, '@');

        return find_name(unit, (size_t) ((at ? at : dot ? dot : unit + strlen(unit)) - unit));
}

static EngineKind find_program(const char *path) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

        return find_name(name, strlen(name));
}

EngineKind engine_of_command(char *const *arguments) {
        EngineKind kind = arguments[0] ? find_program(arguments[0]) : ENGINE_OTHER;
        const char *slash;

        if (kind != ENGINE_OTHER || !arguments[0])
                return kind;
        slash = strrchr(arguments[0], '/');
        if (strncmp(slash ? slash + 1 : arguments[0], "python", 6) != 0)
                return ENGINE_OTHER;
        /* "python3 -m vllm.entrypoints.openai.api_server", "python3 /opt/bin/vllm serve", "python3 koboldcpp.py" */
        for (char *const *word = arguments + 1; *word; word++)
                if (string_equal(*word, "-m"))
                        return word[1] ? find_name(word[1], strcspn(word[1], ".")) : ENGINE_OTHER;
                else if (**word != '-')
                        return find_program(*word);
        return ENGINE_OTHER;
}

const char *engine_variable(char *const *environment, const char *name) {
        size_t length = strlen(name);

        for (; environment && *environment; environment++)
                if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
                        return *environment + length + 1;
        return NULL;
}

/* The location is @path followed by @rest. */
static int add_location(EngineLocations *list, const char *setting, size_t length, const char *path, const char *rest,
                        bool variable, bool automatic) {
        EngineLocation *location;

        if (ARRAY_ROOM(list->items, list->n) < 0)
                return -ENOMEM;
        location = &list->items[list->n++];
        *location = (EngineLocation){ .setting = strndup(setting, length), .path = text_format("%s%s", path, rest),
                                      .variable = variable, .automatic = automatic };
        if (!location->setting || !location->path)
                return -ENOMEM;
        for (size_t n = strlen(location->path); n > 1 && location->path[n - 1] == '/'; n--)
                location->path[n - 1] = '\0';
        return 0;
}

/* "--model /x", "--model=/x", "serve /x". */
static int add_arguments(EngineLocations *list, char *const *arguments) {
        int r = 0;

        for (char *const *word = arguments; r == 0 && *word && word[1]; word++) {
                const char *value = word[1], *equals = value[0] == '-' ? strchr(value, '=') : NULL;

                if (equals && equals[1] == '/')
                        r = add_location(list, value, (size_t) (equals - value), equals + 1, "", false, false);
                else if (value[0] == '/')
                        r = add_location(list, word[0], word[0][0] == '-' ? strlen(word[0]) : 0, value, "", false,
                                         false);
        }
        return r;
}

static int add_variables(EngineLocations *list, char *const *environment) {
        int r = 0;

        for (; r == 0 && environment && *environment; environment++) {
                const char *equals = strchr(*environment, '=');
                size_t length = equals ? (size_t) (equals - *environment) : 0;
                bool hf_home = length == 7 && strncmp(*environment, "HF_HOME", 7) == 0;

                if (!equals || equals[1] != '/')
                        continue;
                /* HF_HUB_CACHE takes precedence over HF_HOME, where models are in hub/ */
                if (hf_home && (engine_variable(environment, "HF_HUB_CACHE") ||
                                engine_variable(environment, "HUGGINGFACE_HUB_CACHE")))
                        continue;
                r = add_location(list, hf_home ? "HF_HUB_CACHE" : *environment, hf_home ? 12 : length, equals + 1,
                                 hf_home ? "/hub" : "", true, false);
        }
        return r;
}

/* The default location, unless a variable overrides it. */
static int add_automatic(EngineLocations *list, EngineKind kind, char *const *environment, const char *home) {
        static const struct {
                EngineKind kind;
                const char *setting, *also, *path;
        } places[] = {
                { ENGINE_OLLAMA, "OLLAMA_MODELS", "OLLAMA_MODELS", "/.ollama/models" },
                { ENGINE_VLLM, "HF_HUB_CACHE", "HF_HOME", "/.cache/huggingface/hub" },
                { ENGINE_TGI, "HF_HUB_CACHE", "HF_HOME", "/.cache/huggingface/hub" },
                { ENGINE_LLAMA_SERVER, "HF_HUB_CACHE", "HF_HOME", "/.cache/huggingface/hub" },
                { ENGINE_LM_STUDIO, "the models directory in its settings", "", "/.lmstudio/models" },
        };

        for (size_t i = 0; home && i < ELEMENTSOF(places); i++)
                if (places[i].kind == kind && !engine_variable(environment, places[i].setting) &&
                    !engine_variable(environment, places[i].also)) {
                        const char *setting = places[i].setting;

                        return add_location(list, setting, strlen(setting), home, places[i].path,
                                            kind != ENGINE_LM_STUDIO, true);
                }
        return 0;
}

int engine_locations(EngineKind kind, char *const *arguments, char *const *environment, const char *home,
                     EngineLocations *list) {
        int r = add_arguments(list, arguments);

        if (r == 0)
                r = add_variables(list, environment);
        return r == 0 ? add_automatic(list, kind, environment, home) : r;
}

void engine_locations_done(EngineLocations *list) {
        for (size_t i = 0; i < list->n; i++) {
                free(list->items[i].setting);
                free(list->items[i].path);
        }
        free(list->items);
        *list = (EngineLocations){ 0 };
}

/* An option, without a value (@value NULL) or with one of these, and a variable that means the same. */
typedef struct Switch {
        const char *option, *variable, *value;
} Switch;

static bool is_among(const char *text, const char *values) {
        size_t length = strlen(text);

        for (const char *v = values; *v; v += strcspn(v, " "), v += strspn(v, " "))
                if (strcspn(v, " ") == length && strncasecmp(v, text, length) == 0)
                        return true;
        return false;
}

static bool is_given(const Switch *s, char *const *arguments, char **ret) {
        for (char *const *word = arguments; s->option && *word; word++) {
                size_t length = strlen(s->option);

                if (!s->value && string_equal(*word, s->option))
                        return (*ret = strdup(*word)) || true;
                if (s->value && strncmp(*word, s->option, length) == 0 && (*word)[length] == '=' &&
                    is_among(*word + length + 1, s->value))
                        return (*ret = strdup(*word)) || true;
                if (s->value && string_equal(*word, s->option) && word[1] && is_among(word[1], s->value))
                        return (*ret = text_format("%s %s", word[0], word[1])) || true;
        }
        return false;
}

static int find_switch(const Switch *switches, size_t n, char *const *arguments, char *const *environment, char **ret) {
        *ret = NULL;
        for (size_t i = 0; i < n; i++) {
                const char *value = switches[i].variable ? engine_variable(environment, switches[i].variable) : NULL;

                if (is_given(&switches[i], arguments, ret))
                        return *ret ? 0 : -ENOMEM;
                if (!value || !is_among(value, switches[i].value ? switches[i].value : "1 true on yes enabled"))
                        continue;
                *ret = text_format("%s=%s", switches[i].variable, value);
                return *ret ? 0 : -ENOMEM;
        }
        return 0;
}

int engine_copies(EngineKind kind, char *const *arguments, char *const *environment, char **ret) {
        static const Switch switches[] = {
                { "--no-mmap", NULL, NULL },
                { "--direct-io", NULL, NULL },
                { "-dio", NULL, NULL },
                { "--load-mode", "LLAMA_ARG_LOAD_MODE", "none dio mlock" },
                { "-lm", NULL, "none dio mlock" },
                { NULL, "LLAMA_ARG_MMAP", "0 false off no disabled" },
                { NULL, "LLAMA_ARG_NO_MMAP", "0 1 true on yes enabled" }, /* older versions: any value */
                { "--nommap", NULL, NULL }, /* early versions of koboldcpp */
                { "--safetensors-load-strategy", NULL, "eager" },
        };

        if (kind == ENGINE_KOBOLDCPP && arguments[0] && !strv_has(arguments, "--usemmap"))
                return (*ret = strdup("no --usemmap")) ? 0 : -ENOMEM;
        return find_switch(switches, ELEMENTSOF(switches), arguments, environment, ret);
}

int engine_locks(char *const *arguments, char *const *environment, char **ret) {
        static const Switch switches[] = {
                { "--mlock", "LLAMA_ARG_MLOCK", NULL },
                { "--usemlock", NULL, NULL }, /* koboldcpp */
                { "--load-mode", "LLAMA_ARG_LOAD_MODE", "mlock mmap+mlock" },
                { "-lm", NULL, "mlock mmap+mlock" },
        };

        return find_switch(switches, ELEMENTSOF(switches), arguments, environment, ret);
}

char *engine_advice(const EngineLocation *location, const char *path, const char *unit) {
        const char *dot = unit ? strrchr(unit, '.') : NULL, *equals = location->variable ? "=" : " ";

        if (string_equal(dot, ".service"))
                return text_format("systemctl edit %s: %s%s%s%s", unit,
                                   location->variable ? "[Service] Environment=" : "", location->setting, equals, path);
        return text_format("restart it with %s%s%s", location->setting, equals, path);
}
