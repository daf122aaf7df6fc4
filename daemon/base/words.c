/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A line of words as systemd splits it. See base/words.h. */

#include "base/words.h"

#include "base/strv.h"

#define BLANKS " \t\r\n\v\f"

static bool is_alphanumeric(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Exactly @n digits of @base, as one byte that is not NUL. */
static int parse_byte(const char *digits, size_t n, int base, char *ret) {
        char copy[4] = { 0 };
        unsigned long value;
        char *end;

        memcpy(copy, digits, strnlen(digits, n));
        if (!is_alphanumeric(copy[0])) /* strtoul() would take a sign */
                return WORDS_BAD;
        value = strtoul(copy, &end, base);
        if (end != copy + n || value == 0 || value > 255)
                return WORDS_BAD;
        *ret = (char) value;
        return 0;
}

/* Undoes one escape at @in, behind its backslash. Moves both pointers. */
static int unescape(const char **in, char **out) {
        static const char letters[] = "abfnrtvs\\\"'", bytes[] = "\a\b\f\n\r\t\v \\\"'";
        const char *s = *in, *known = *s ? strchr(letters, *s) : NULL;
        bool hex = *s == 'x', octal = *s >= '0' && *s <= '7';

        if (known) {
                *(*out)++ = bytes[known - letters];
                *in = s + 1;
        } else if (hex || octal) {
                if (parse_byte(s + hex, hex ? 2 : 3, hex ? 16 : 8, *out) != 0)
                        return WORDS_BAD;
                (*out)++;
                *in = s + 3;
        } else if (*s == '\0' || is_alphanumeric(*s))
                return WORDS_BAD;
        else {
                *(*out)++ = '\\';
                *(*out)++ = *s;
                *in = s + 1;
        }
        return 0;
}

/* Takes one word off @in into @word, which has room for it: a word is never longer than its text. */
static int take_word(const char **in, char *word) {
        const char *s = *in;
        char quote = '\0', *out = word;

        while (*s && (quote || !strchr(BLANKS, *s))) {
                char c = *s++;

                if (c == '\\') {
                        if (unescape(&s, &out) != 0)
                                return WORDS_BAD;
                } else if (c == quote)
                        quote = '\0';
                else if (!quote && (c == '"' || c == '\''))
                        quote = c;
                else
                        *out++ = c;
        }
        if (quote || out == word)
                return WORDS_BAD;
        *out = '\0';
        *in = s;
        return 0;
}

int words_split(const char *text, char ***ret) {
        size_t length = strlen(text), n = 0;
        _cleanup_(freep) char *word = malloc(length + 1);
        /* each word but the last needs a blank behind it, so there are never more than this */
        _cleanup_(strv_freep) char **words = calloc((length + 1) / 2 + 1, sizeof(char *));

        if (!word || !words)
                return -ENOMEM;
        for (const char *s = text + strspn(text, BLANKS); *s; s += strspn(s, BLANKS)) {
                if (take_word(&s, word) != 0)
                        return WORDS_BAD;
                words[n] = strdup(word);
                if (!words[n++])
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(words);
        return 0;
}

static bool needs_quotes(const char *word) {
        for (const char *s = word; *s; s++)
                if ((unsigned char) *s <= ' ' || *s == 0x7f || strchr("\"'\\", *s))
                        return true;
        return false;
}

void words_print(const char *word, FILE *out) {
        bool quotes = needs_quotes(word);

        if (quotes)
                (void) fputc('"', out);
        for (const char *s = word; *s; s++)
                if ((unsigned char) *s < ' ' || *s == 0x7f)
                        (void) fprintf(out, "\\x%02x", (unsigned char) *s);
                else
                        (void) fprintf(out, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
        if (quotes)
                (void) fputc('"', out);
}
