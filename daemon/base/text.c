/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Text for people. See base/text.h. */

#include "base/text.h"

#include "base/hex.h"

char *text_bytes(char buffer[static TEXT_BYTES_MAX], uint64_t bytes) {
        static const char suffix[] = "BKMGTPE";
        uint64_t unit = 1;
        uint16_t whole; /* below 1024, and the type proves that it fits */
        uint8_t tenth;
        size_t i = 0;

        while (i + 1 < sizeof(suffix) - 1 && bytes / unit >= 1024) {
                unit *= 1024;
                i++;
        }
        whole = (uint16_t) (bytes / unit);
        tenth = (uint8_t) (bytes % unit * 10 / unit);
        if (tenth == 0)
                (void) snprintf(buffer, TEXT_BYTES_MAX, "%hu%c", whole, suffix[i]);
        else
                (void) snprintf(buffer, TEXT_BYTES_MAX, "%hu.%hhu%c", whole, tenth, suffix[i]);
        return buffer;
}

char *text_span(char buffer[static TEXT_SPAN_MAX], uint64_t usec) {
        unsigned long long sec = usec / USEC_PER_SEC;

        if (usec == 0)
                (void) snprintf(buffer, TEXT_SPAN_MAX, "0s");
        else if (usec < 1000)
                (void) snprintf(buffer, TEXT_SPAN_MAX, "%lluus", (unsigned long long) usec);
        else if (sec < 1)
                (void) snprintf(buffer, TEXT_SPAN_MAX, "%llums", (unsigned long long) (usec / 1000));
        else if (sec < 10)
                (void) snprintf(buffer, TEXT_SPAN_MAX, "%llu.%llus", sec,
                                (unsigned long long) (usec % USEC_PER_SEC / 100000));
        else if (sec < 60)
                (void) snprintf(buffer, TEXT_SPAN_MAX, "%llus", sec);
        else if (sec < 3600)
                (void) snprintf(buffer, TEXT_SPAN_MAX, "%llumin %llus", sec / 60, sec % 60);
        else
                (void) snprintf(buffer, TEXT_SPAN_MAX, "%lluh %llumin", sec / 3600, sec % 3600 / 60);
        return buffer;
}

/* The length of the UTF-8 sequence at @s if it is a valid one (RFC 3629: no overlong forms, no surrogates), else 0. */
static size_t utf8_length(const unsigned char *s) {
        size_t n;
        uint32_t c;

        if (s[0] < 0x80)
                return 1;
        if (s[0] >= 0xc2 && s[0] <= 0xdf) {
                n = 2;
                c = s[0] & 0x1f;
        } else if ((s[0] & 0xf0) == 0xe0) {
                n = 3;
                c = s[0] & 0x0f;
        } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
                n = 4;
                c = s[0] & 0x07;
        } else
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3f);
        }
        if ((n == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff))) || (n == 4 && (c < 0x10000 || c > 0x10ffff)))
                return 0;
        return n;
}

/* Writes the escaped form of the character at @s to @out (at most 4 bytes) and returns how much it took of each. */
static size_t escape_one(const unsigned char *s, bool spaces, char *out, size_t *ret_written) {
        size_t n = utf8_length(s);
        char hex[3];
        /* U+0080..U+009F are control characters too, and terminals obey some of them */
        bool control = s[0] < 0x20 || s[0] == 0x7f || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);

        if (n > 0 && !control && s[0] != '\\' && !(spaces && s[0] == ' ')) {
                memcpy(out, s, n);
                *ret_written = n;
                return n;
        }
        memcpy(out, "\\x", 2);
        memcpy(out + 2, hex_encode(s, 1, hex), 2);
        *ret_written = 4;
        return 1;
}

char *text_escape(const char *raw, bool spaces) {
        const unsigned char *s = (const unsigned char *) raw;
        char *out = malloc(strlen(raw) * 4 + 1), *o = out;
        size_t written;

        if (!out)
                return NULL;
        while (*s) {
                s += escape_one(s, spaces, o, &written);
                o += written;
        }
        *o = '\0';
        return out;
}

int text_unescape(const char *escaped, char **ret) {
        _cleanup_(freep) char *out = malloc(strlen(escaped) + 1);
        char *o = out;

        if (!out)
                return -ENOMEM;
        for (const char *s = escaped; *s; s++) {
                uint8_t byte;

                if (*s != '\\') {
                        *o++ = *s;
                        continue;
                }
                if (s[1] != 'x' || !hex_decode(s + 2, 1, false, &byte) || byte == 0)
                        return -EINVAL;
                *o++ = (char) byte;
                s += 3;
        }
        *o = '\0';
        *ret = TAKE_PTR(out);
        return 0;
}

char *text_path(char buffer[static TEXT_PATH_MAX], const char *path) {
        static const char dots[] = "...";
        const unsigned char *s = (const unsigned char *) path;
        size_t used = 0, length = strlen(path), written;
        bool cut = length > TEXT_PATH_MAX / 4;

        /* Every byte may become four. A long path keeps its beginning and its end, which say most. */
        while (*s) {
                if (cut && used >= TEXT_PATH_MAX / 4) {
                        const unsigned char *tail = (const unsigned char *) path + length - TEXT_PATH_MAX / 8;

                        cut = false;
                        if (tail > s) {
                                for (s = tail; (*s & 0xc0) == 0x80; s++)
                                        ;
                                memcpy(buffer + used, dots, sizeof(dots) - 1);
                                used += sizeof(dots) - 1;
                        }
                }
                if (used + 5 > TEXT_PATH_MAX)
                        break;
                s += escape_one(s, false, buffer + used, &written);
                used += written;
        }
        buffer[used] = '\0';
        return buffer;
}

int text_append(char **text, const char *format, ...) {
        size_t old = *text ? strlen(*text) : 0;
        va_list ap;
        char *grown;
        int n;

        va_start(ap, format);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        if (n < 0 || !(grown = realloc(*text, old + (size_t) n + 1)))
                return -ENOMEM;
        va_start(ap, format);
        (void) vsnprintf(grown + old, (size_t) n + 1, format, ap);
        va_end(ap);
        *text = grown;
        return 0;
}

char *text_vformat(const char *format, va_list ap) {
        char *text;

        return vasprintf(&text, format, ap) < 0 ? NULL : text;
}

char *text_format(const char *format, ...) {
        va_list ap;
        char *text;

        va_start(ap, format);
        text = text_vformat(format, ap);
        va_end(ap);
        return text;
}
