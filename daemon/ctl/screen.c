/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the output can show. See ctl/screen.h. */

#include "ctl/screen.h"

#include "base/text.h"

#include <langinfo.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <wchar.h>
#include <wctype.h>

static bool is_no(const char *value) {
        static const char *const words[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasecmp(value, words[i]) == 0)
                        return true;
        return false;
}

/* The rules of systemd's programs (systemctl(1), ENVIRONMENT). */
static bool wants_colours(bool terminal) {
        const char *systemd = getenv("SYSTEMD_COLORS"), *no = getenv("NO_COLOR"), *term = getenv("TERM");

        if (systemd && *systemd)
                return !is_no(systemd);
        if (no && *no)
                return false;
        return terminal && term && strcmp(term, "dumb") != 0;
}

Screen screen_of(int fd) {
        Screen screen = { .terminal = isatty(fd) == 1, .columns = 80, .rows = 24 };
        struct winsize size;

        screen.colours = wants_colours(screen.terminal);
        screen.unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
        if (screen.terminal && ioctl(fd, TIOCGWINSZ, &size) == 0) {
                if (size.ws_col > 0)
                        screen.columns = size.ws_col;
                if (size.ws_row > 0)
                        screen.rows = size.ws_row;
        }
        return screen;
}

const char *screen_colour(const Screen *screen, ScreenColour colour) {
        static const char *const sequences[] = {
                [SCREEN_PLAIN] = "\033[0m",       [SCREEN_GREEN] = "\033[0;1;32m", [SCREEN_YELLOW] = "\033[0;1;33m",
                [SCREEN_RED] = "\033[0;1;31m",    [SCREEN_GREY] = "\033[0;90m",    [SCREEN_BOLD] = "\033[0;1m",
        };

        return screen->colours ? sequences[colour] : "";
}

const char *screen_end(const Screen *screen) {
        return screen->colours ? "\033[0m" : "";
}

/* Marks that turn the direction of writing count as printable, but make a name look like another one. */
static bool is_turning(wchar_t c) {
        return (c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
               c == 0x61c;
}

/* The number of bytes of the character at @s if it can be printed, else 0. */
static size_t printable_length(const char *s) {
        mbstate_t state = {};
        wchar_t c;
        size_t n = mbrtowc(&c, s, MB_CUR_MAX, &state);

        if (n == 0 || n == (size_t) -1 || n == (size_t) -2 || !iswprint((wint_t) c) || wcwidth(c) < 0 || is_turning(c))
                return 0;
        return n;
}

char *screen_text(const char *text) {
        static const char hex[] = "0123456789abcdef";
        char *out = malloc(strlen(text) * 4 + 1), *o = out;

        if (!out)
                return NULL;
        while (*text) {
                size_t n = printable_length(text);

                if (n > 0) {
                        o = mempcpy(o, text, n);
                        text += n;
                        continue;
                }
                *o++ = '\\';
                *o++ = 'x';
                *o++ = hex[(unsigned char) *text >> 4];
                *o++ = hex[(unsigned char) *text & 15];
                text++;
        }
        *o = '\0';
        return out;
}

char *screen_path(const char *path) {
        _cleanup_(freep) char *escaped = text_escape(path, false);

        return escaped ? screen_text(escaped) : NULL;
}

/* The columns of the character at @s, and its number of bytes. */
static size_t character_width(const char *s, size_t *ret_bytes) {
        mbstate_t state = {};
        wchar_t c;
        size_t n = mbrtowc(&c, s, MB_CUR_MAX, &state);
        int width;

        if (n == 0 || n == (size_t) -1 || n == (size_t) -2) {
                *ret_bytes = 1;
                return 1;
        }
        *ret_bytes = n;
        width = wcwidth(c);
        return width < 0 ? 1 : (size_t) width;
}

size_t screen_width(const char *text) {
        size_t width = 0, n;

        for (; *text; text += n)
                width += character_width(text, &n);
        return width;
}

char *screen_cut(const Screen *screen, const char *text, size_t width) {
        const char *dots = screen->unicode ? "…" : "...";
        size_t wide = screen_width(dots), at = 0, used = 0, n;

        if (screen_width(text) <= width)
                return strdup(text);
        if (width < wide)
                return strdup("");
        while (text[at]) {
                size_t w = character_width(text + at, &n);

                if (used + w + wide > width)
                        break;
                used += w;
                at += n;
        }
        return text_format("%.*s%s", (int) at, text, dots);
}

char *screen_bar(const Screen *screen, size_t width, unsigned percent) {
        static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
        size_t steps = screen->unicode ? 8 : 1, done = width * steps * MIN(percent, 100) / 100, cells = done / steps;
        char *out = malloc(width * 3 + 1), *o = out; /* each of these characters has 3 bytes */

        if (!out)
                return NULL;
        for (size_t i = 0; i < width; i++) {
                const char *cell = screen->unicode ? "░" : ".";

                if (i < cells)
                        cell = screen->unicode ? "█" : "#";
                else if (i == cells && done % steps > 0)
                        cell = eighths[done % steps];
                o = stpcpy(o, cell);
        }
        *o = '\0';
        return out;
}

static void _printf_(1, 0) print_error(const char *format, va_list ap) {
        _cleanup_(freep) char *text = text_vformat(format, ap), *safe = text ? screen_text(text) : NULL;

        (void) fprintf(stderr, "Error: %s\n", safe ? safe : strerror(ENOMEM));
}

void screen_error(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        print_error(format, ap);
        va_end(ap);
}

int screen_fail(int status, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        print_error(format, ap);
        va_end(ap);
        return status;
}
