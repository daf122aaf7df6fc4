/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The kinds of values that a setting can have. See config/value.h. */

#include "config/value.h"

#include "base/strv.h"
#include "base/text.h"
#include "base/words.h"
#include "os/numa.h"

#include <ctype.h>
#include <limits.h>
#include <strings.h>

#define BLANKS " \t\r\n\v\f"

static bool in_range(const ValueType *type, uint64_t value) {
        return value >= type->min && value <= type->max;
}

static int parse_workers(const ValueType *type, const char *text, void *field) {
        uint64_t value = 0;

        if (strcmp(text, "auto") != 0 && (!quantity_take_number(&text, &value) || *text || !in_range(type, value)))
                return VALUE_BAD;
        *(unsigned *) field = (unsigned) value;
        return 0;
}

static void print_workers(const ValueType *type _unused_, const void *field, FILE *out) {
        unsigned value = *(const unsigned *) field;

        if (value == 0)
                (void) fputs("auto", out);
        else
                (void) fprintf(out, "%u", value);
}

/* The type's .max is that of a percentage, in 1/10000; bytes have none. */
static int parse_reserve(const ValueType *type, const char *text, void *field) {
        Amount amount = { .kind = AMOUNT_BYTES };

        if (quantity_parse_percent(text, &amount.value)) {
                if (!in_range(type, amount.value))
                        return VALUE_BAD;
                amount.kind = AMOUNT_PERMYRIAD;
        } else if (!quantity_parse_bytes(text, &amount.value))
                return VALUE_BAD;
        *(Amount *) field = amount;
        return 0;
}

static int parse_size(const ValueType *type, const char *text, void *field) {
        Amount amount = { .kind = AMOUNT_AUTO };

        if (quantity_parse_percent(text, &amount.value)) {
                if (amount.value < 100 || amount.value > 10000)
                        return VALUE_BAD;
                amount.kind = AMOUNT_PERMYRIAD;
        } else if (strcmp(text, "auto") != 0) {
                if (!quantity_parse_bytes(text, &amount.value) || !in_range(type, amount.value))
                        return VALUE_BAD;
                amount.kind = AMOUNT_BYTES;
        } else
                amount.value = 0;
        *(Amount *) field = amount;
        return 0;
}

static void print_amount(const ValueType *type _unused_, const void *field, FILE *out) {
        const Amount *amount = field;

        if (amount->kind == AMOUNT_AUTO)
                (void) fputs("auto", out);
        else if (amount->kind == AMOUNT_BYTES)
                quantity_print_bytes(amount->value, out);
        else
                quantity_print_percent(amount->value, out);
}

static int parse_chunk_size(const ValueType *type, const char *text, void *field) {
        uint64_t value;

        if (!quantity_parse_bytes(text, &value) || !in_range(type, value) || value % (4 * KIB))
                return VALUE_BAD;
        *(uint64_t *) field = value;
        return 0;
}

static void print_chunk_size(const ValueType *type _unused_, const void *field, FILE *out) {
        quantity_print_bytes(*(const uint64_t *) field, out);
}

/* Stored as 0: no limit. */
static int parse_rate(const ValueType *type, const char *text, void *field) {
        uint64_t value = 0;

        if (strcmp(text, "off") != 0 && (!quantity_parse_rate(text, &value) || !in_range(type, value)))
                return VALUE_BAD;
        *(uint64_t *) field = value;
        return 0;
}

static void print_rate(const ValueType *type _unused_, const void *field, FILE *out) {
        uint64_t value = *(const uint64_t *) field;

        if (value == 0)
                (void) fputs("off", out);
        else
                quantity_print_rate(value, out);
}

static int parse_span(const ValueType *type, const char *text, void *field) {
        uint64_t value;

        if (!quantity_parse_span(text, &value) || !in_range(type, value))
                return VALUE_BAD;
        *(uint64_t *) field = value;
        return 0;
}

static int parse_interval(const ValueType *type, const char *text, void *field) {
        uint64_t value;

        if (strcmp(text, "off") != 0 && !(quantity_parse_span(text, &value) && value == 0))
                return parse_span(type, text, field);
        *(uint64_t *) field = 0;
        return 0;
}

static void print_span(const ValueType *type _unused_, const void *field, FILE *out) {
        quantity_print_span(*(const uint64_t *) field, out);
}

/* Stored as UINT64_MAX: for ever. */
static int parse_keep(const ValueType *type, const char *text, void *field) {
        if (strcmp(text, "infinity") != 0)
                return parse_span(type, text, field);
        *(uint64_t *) field = UINT64_MAX;
        return 0;
}

static void print_keep(const ValueType *type, const void *field, FILE *out) {
        if (*(const uint64_t *) field == UINT64_MAX)
                (void) fputs("infinity", out);
        else
                print_span(type, field, out);
}

static void print_interval(const ValueType *type, const void *field, FILE *out) {
        if (*(const uint64_t *) field == 0)
                (void) fputs("off", out);
        else
                print_span(type, field, out);
}

static int parse_boolean(const ValueType *type _unused_, const char *text, void *field) {
        static const char *const words[][2] = {
                { "yes", "no" }, { "1", "0" }, { "y", "n" }, { "true", "false" }, { "t", "f" }, { "on", "off" },
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                for (size_t no = 0; no < 2; no++)
                        if (strcasecmp(text, words[i][no]) == 0) {
                                *(bool *) field = !no;
                                return 0;
                        }
        return VALUE_BAD;
}

static void print_boolean(const ValueType *type _unused_, const void *field, FILE *out) {
        (void) fputs(*(const bool *) field ? "yes" : "no", out);
}

#define SCRUB_YES (7 * USEC_PER_DAY)

/* A boolean or a span; stored as 0: no. A number without a unit is one of seconds, so "1" is not "yes". */
static int parse_scrub(const ValueType *type, const char *text, void *field) {
        bool wanted;

        if (isdigit((unsigned char) *text) || parse_boolean(type, text, &wanted) != 0)
                return parse_interval(type, text, field);
        *(uint64_t *) field = wanted ? SCRUB_YES : 0;
        return 0;
}

static void print_scrub(const ValueType *type, const void *field, FILE *out) {
        if (*(const uint64_t *) field == 0)
                (void) fputs("no", out);
        else
                print_span(type, field, out);
}

static int parse_enum(const ValueType *type, const char *text, void *field) {
        for (unsigned i = 0; type->names[i]; i++)
                if (strcmp(text, type->names[i]) == 0) {
                        *(unsigned *) field = i;
                        return 0;
                }
        return VALUE_BAD;
}

static void print_enum(const ValueType *type, const void *field, FILE *out) {
        (void) fputs(type->names[*(const unsigned *) field], out);
}

/* Positive if the text is UTF-8 without control characters, so that unit files, logs and mount tables can have it. */
static int is_clean(const char *text) {
        _cleanup_(freep) char *escaped = text_escape(text, false);

        if (!escaped)
                return -ENOMEM;
        for (const char *s = escaped; (s = strchr(s, '\\')); s += 4)
                if (strncmp(s, "\\x5c", 4) != 0) /* the backslash itself */
                        return 0;
        return 1;
}

static int parse_path(const ValueType *type _unused_, const char *text, void *field) {
        char path[PATH_MAX], *out = path;
        int r = is_clean(text);

        if (r <= 0)
                return r < 0 ? r : VALUE_BAD;
        if (text[0] != '/')
                return VALUE_BAD;
        for (const char *s = text + strspn(text, "/"); *s; s += strspn(s, "/")) {
                size_t length = strcspn(s, "/");

                if (length == 2 && strncmp(s, "..", 2) == 0)
                        return VALUE_BAD;
                if (!(length == 1 && *s == '.')) {
                        if (length > NAME_MAX || (size_t) (out - path) + length + 2 > sizeof(path))
                                return VALUE_BAD;
                        *out++ = '/';
                        out = mempcpy(out, s, length);
                }
                s += length;
        }
        *out = '\0';
        return path[0] ? config_storage_replace_string(field, path) : VALUE_BAD;
}

static int parse_optional_path(const ValueType *type, const char *text, void *field) {
        return text[0] ? parse_path(type, text, field) : config_storage_replace_string(field, "");
}

/* A blank at the end would be trimmed when the text is read back, and a backslash would continue the line: then a slash
 * is added, which does not change the path. */
static void print_path(const ValueType *type _unused_, const void *field, FILE *out) {
        const char *path = *(char *const *) field;
        char last = path[0] ? path[strlen(path) - 1] : '\0';

        (void) fprintf(out, "%s%s", path, last == ' ' || last == '\\' ? "/" : "");
}

static int parse_numa_policy(const ValueType *type _unused_, const char *text, void *field) {
        return numa_is_policy(text) ? config_storage_replace_string(field, text) : VALUE_BAD;
}

static void print_string(const ValueType *type _unused_, const void *field, FILE *out) {
        (void) fputs(*(char *const *) field, out);
}

static bool is_unit_name(const char *name) {
        static const char *const suffixes[] = { ".service", ".socket", ".target" };
        size_t length = strlen(name);

        if (length > 255 || name[0] == '.' || name[0] == '@')
                return false;
        for (const char *s = name; *s; s++)
                if (!isascii(*s) || (!isalnum(*s) && !strchr(":-_.\\@", *s)))
                        return false;
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                size_t suffix = strlen(suffixes[i]);

                /* "a@.service" is a template, which cannot be started itself */
                if (length > suffix && strcmp(name + length - suffix, suffixes[i]) == 0)
                        return name[length - suffix - 1] != '@';
        }
        return false;
}

static int parse_globs(const ValueType *type _unused_, const char *text, void *field) {
        _cleanup_(strv_freep) char **words = NULL;
        int r = words_split(text, &words);

        if (r != 0)
                return r < 0 ? r : VALUE_BAD;
        return strv_join(field, &words);
}

/* No model has a name that is an absolute path, is not normalised, or has control characters. */
static bool is_model_name(const char *name) {
        for (const char *part = name;; part++) {
                size_t length = strcspn(part, "/");

                if (length == 0 || (length == 1 && *part == '.') || (length == 2 && strncmp(part, "..", 2) == 0))
                        return false;
                for (size_t i = 0; i < length; i++)
                        if ((unsigned char) part[i] < ' ' || part[i] == 0x7f)
                                return false;
                part += length;
                if (*part == '\0')
                        return true;
        }
}

static int parse_models(const ValueType *type _unused_, const char *text, void *field) {
        _cleanup_(strv_freep) char **words = NULL;
        int r = words_split(text, &words);

        if (r != 0)
                return r < 0 ? r : VALUE_BAD;
        for (char **word = words; *word; word++)
                if (!is_model_name(*word))
                        return VALUE_BAD;
        return strv_join(field, &words);
}

static int parse_delete_limit(const ValueType *type _unused_, const char *text, void *field) {
        return quantity_parse_delete_limit(text, field) ? 0 : VALUE_BAD;
}

static void print_delete_limit(const ValueType *type _unused_, const void *field, FILE *out) {
        quantity_print_delete_limit(*(const DeleteLimit *) field, out);
}

/* Without quotes and escapes: a unit's name has no blanks, and an "\x2d" in it is part of the name. */
static int parse_units(const ValueType *type _unused_, const char *text, void *field) {
        _cleanup_(strv_freep) char **names = NULL;

        for (const char *s = text + strspn(text, BLANKS); *s; s += strspn(s, BLANKS)) {
                size_t length = strcspn(s, BLANKS);
                char *name = strndup(s, length);
                int r = name ? strv_take(&names, name) : -ENOMEM;

                if (r < 0)
                        return r;
                if (!is_unit_name(name))
                        return VALUE_BAD;
                s += length;
        }
        return strv_join(field, &names);
}

static void print_units(const ValueType *type _unused_, const void *field, FILE *out) {
        char *const *names = *(char **const *) field;

        for (size_t i = 0; names && names[i]; i++)
                (void) fprintf(out, "%s%s", i > 0 ? " " : "", names[i]);
}

static void print_globs(const ValueType *type _unused_, const void *field, FILE *out) {
        char *const *words = *(char **const *) field;

        for (size_t i = 0; words && words[i]; i++) {
                (void) fputs(i > 0 ? " " : "", out);
                words_print(words[i], out);
        }
}

#define TYPE(name, stored, parser, printer, ...)                                                            \
        const ValueType value_type_##name = { .storage = FIELD_##stored, .parse = parser, .print = printer, \
                                              __VA_ARGS__ }
#define NAMES(...) .names = (const char *const[]){ __VA_ARGS__, NULL }

TYPE(workers, UNSIGNED, parse_workers, print_workers, .min = 1, .max = 64,
     .allowed = "auto, or a number from 1 to 64");
TYPE(reserve, AMOUNT, parse_reserve, print_amount, .max = 9500,
     .allowed = "a size in bytes (K, M, G and T are powers of 1024), or 0% to 95% of the RAM");
TYPE(size, AMOUNT, parse_size, print_amount, .min = MIB, .max = UINT64_MAX,
     .allowed = "auto, a size of at least 1M (K, M, G and T are powers of 1024), or 1% to 100% of the RAM");
TYPE(chunk_size, U64, parse_chunk_size, print_chunk_size, .min = 64 * KIB, .max = GIB,
     .allowed = "a size from 64K to 1G that is a multiple of 4K");
/* With a lower limit a mirror could make no visible progress for minutes. */
TYPE(bandwidth_limit, U64, parse_rate, print_rate, .min = 64000, .max = UINT64_MAX,
     .allowed = "off, or at least 64K bytes per second (K, M, G and T are powers of 1000)");
TYPE(settle_time, U64, parse_span, print_span, .max = USEC_PER_HOUR,
     .allowed = "a time from 0 to 1h, such as 2s or 500ms");
TYPE(poll_interval, U64, parse_interval, print_interval, .min = USEC_PER_SEC, .max = USEC_PER_DAY,
     .allowed = "off, or a time from 1s to 1d, such as 90 or \"5min 20s\" without the quotes");
/* Longer than any use, and short enough to be added to any time without overflow. */
#define LONGEST_SPAN (100 * USEC_PER_YEAR)
TYPE(trash_keep, U64, parse_keep, print_keep, .max = LONGEST_SPAN,
     .allowed = "infinity, or a time from 0 to 100y, such as 7d or \"2w 3d\" without the quotes");
TYPE(sweep_delay, U64, parse_span, print_span, .min = USEC_PER_SEC, .max = LONGEST_SPAN,
     .allowed = "a time from 1s to 100y, such as 1h or 30min");
TYPE(scrub, U64, parse_scrub, print_scrub, .min = USEC_PER_SEC, .max = USEC_PER_YEAR,
     .allowed = "no, yes, or a time from 1s to 1y, such as 1d or 2w");
TYPE(mass_delete_limit, DELETE_LIMIT, parse_delete_limit, print_delete_limit,
     .allowed = "off, or a number and a percentage from 0% to 100%, separated by a blank, such as 3 25%");
TYPE(boolean, BOOL, parse_boolean, print_boolean, .allowed = "yes or no");
TYPE(huge_pages, UNSIGNED, parse_enum, print_enum, NAMES("within_size", "always", "advise", "never"),
     .allowed = "within_size, always, advise or never");
TYPE(on_no_room, UNSIGNED, parse_enum, print_enum, NAMES("fail", "skip", "link"), .allowed = "fail, skip or link");
TYPE(on_corrupt, UNSIGNED, parse_enum, print_enum, NAMES("withhold", "fail"), .allowed = "withhold or fail");
TYPE(copy_method, UNSIGNED, parse_enum, print_enum, NAMES("auto", "sendfile", "direct", "buffered"),
     .allowed = "auto, sendfile, direct or buffered");
TYPE(layout, UNSIGNED, parse_enum, print_enum, NAMES("auto", "plain", "ollama", "huggingface"),
     .allowed = "auto, plain, ollama or huggingface");
TYPE(deletes, UNSIGNED, parse_enum, print_enum, NAMES("trash", "propagate", "keep"),
     .allowed = "trash, propagate or keep");
TYPE(path, STRING, parse_path, print_path,
     .allowed = "an absolute path other than /, in UTF-8, without \"..\" or control characters, shorter than 4096 "
                "bytes");
TYPE(optional_path, STRING, parse_optional_path, print_path,
     .allowed = "empty, or an absolute path other than /, in UTF-8, without \"..\" or control characters, shorter "
                "than 4096 bytes");
TYPE(numa_policy, STRING, parse_numa_policy, print_string,
     .allowed = "auto, default, local, interleave, interleave:NODES, bind:NODES or prefer:NODE, with NODES such as "
                "0-3,5");
TYPE(globs, LIST, parse_globs, print_globs,
     .allowed = "patterns separated by blanks, none of them empty, with all quotes closed and no unknown escapes");
TYPE(models, LIST, parse_models, print_globs,
     .allowed = "names of models such as llama3.1:70b or org/name, separated by blanks, none of them empty or an "
                "absolute path, with all quotes closed and no unknown escapes");
TYPE(units, LIST, parse_units, print_units,
     .allowed = "names of units separated by blanks, each ending in .service, .socket or .target, of at most 255 "
                "bytes");

int value_parse(const ValueType *type, const char *text, void *field) {
        return type->parse(type, text, field);
}

void value_print(const ValueType *type, const void *field, FILE *out) {
        type->print(type, field, out);
}
