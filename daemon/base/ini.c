/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A text in systemd's INI syntax, one item at a time. See base/ini.h.
 *
 * The parts of a continued line are joined in place, over the text that has been read. The result never outgrows it,
 * because a continuation replaces two characters (backslash, newline) by one. */

#include "base/ini.h"

#define BLANKS " \t\r\v\f"

void ini_init(IniReader *reader, char *text, size_t length) {
        static const char bom[] = "\xef\xbb\xbf";
        size_t skip = length >= 3 && memcmp(text, bom, 3) == 0 ? 3 : 0;

        text[length] = '\0';
        *reader = (IniReader){ .next = text + skip, .end = text + length };
}

/* Cuts off the next physical line, with the carriage return that some editors leave at its end. */
static char *take_line(IniReader *reader, size_t *ret_length) {
        char *line = reader->next;
        char *newline = memchr(line, '\n', (size_t) (reader->end - line));
        char *stop = newline ? newline : reader->end;

        reader->next = newline ? newline + 1 : reader->end;
        reader->line++;
        if (stop > line && stop[-1] == '\r')
                stop--;
        *stop = '\0';
        *ret_length = (size_t) (stop - line);
        return line;
}

static bool ends_in_backslash(const char *line, size_t length) {
        size_t n = 0;

        while (n < length && line[length - 1 - n] == '\\')
                n++;
        return n % 2 == 1; /* a pair is an escaped backslash */
}

/* Puts the next logical line together, NULL at the end of the text. */
static char *take_logical_line(IniReader *reader, unsigned *ret_first, bool *ret_binary) {
        char *start = NULL, *out = NULL;

        *ret_binary = false;
        while (reader->next < reader->end) {
                size_t length, blanks;
                char *line = take_line(reader, &length);

                if (strlen(line) != length) {
                        *ret_first = reader->line;
                        *ret_binary = true;
                        reader->next = reader->end;
                        return line;
                }
                blanks = strspn(line, BLANKS);
                line += blanks;
                length -= blanks;
                if (line[0] == '#' || line[0] == ';' || (!start && length == 0))
                        continue;
                if (!start) {
                        start = out = line;
                        *ret_first = reader->line;
                } else
                        memmove(out, line, length + 1);
                out += length;
                if (!ends_in_backslash(out - length, length))
                        break;
                out[-1] = ' ';
        }
        return start;
}

static void trim_end(char *text) {
        size_t length = strlen(text);

        while (length > 0 && strchr(BLANKS, text[length - 1]))
                text[--length] = '\0';
}

static int wrong(IniItem *item, const char *what) {
        item->wrong = what;
        return INI_WRONG;
}

static int parse_section(IniReader *reader, char *line, IniItem *item) {
        size_t length = strlen(line);

        reader->in_section = true; /* also if this line is wrong, so that the keys below it are not reported as well */
        if (line[length - 1] != ']') {
                item->section = true;
                return wrong(item, "starts a section but does not end with ]");
        }
        line[length - 1] = '\0';
        item->name = line + 1;
        return INI_SECTION;
}

static int parse_assignment(const IniReader *reader, char *line, IniItem *item) {
        char *equals = strchr(line, '=');

        if (!equals)
                return wrong(item, "is neither [Section], nor Key=value, nor a comment");
        if (equals == line)
                return wrong(item, "has no key before the =");
        if (!reader->in_section)
                return wrong(item, "is before the first [Section]");
        *equals = '\0';
        trim_end(line);
        item->name = line;
        item->value = equals + 1 + strspn(equals + 1, BLANKS);
        return INI_ASSIGNMENT;
}

int ini_next(IniReader *reader, IniItem *ret) {
        bool binary;
        char *line;

        *ret = (IniItem){ 0 };
        line = take_logical_line(reader, &ret->line, &binary);
        if (!line)
                return INI_END;
        if (binary)
                return wrong(ret, "contains a NUL byte; this is not a text file");
        trim_end(line);
        return line[0] == '[' ? parse_section(reader, line, ret) : parse_assignment(reader, line, ret);
}
