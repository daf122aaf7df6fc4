/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Amounts and spans of time as a configuration has them. See base/quantity.h. */

#include "base/quantity.h"

typedef struct ByteUnit {
        char letter;
        uint64_t bytes;
} ByteUnit;
enum { N_BYTE_UNITS = 4 };
static const ByteUnit byte_units[N_BYTE_UNITS] = { { 'T', 1024 * GIB }, { 'G', GIB }, { 'M', MIB }, { 'K', KIB } };
static const ByteUnit rate_units[N_BYTE_UNITS] = {
        { 'T', 1000000000000 }, { 'G', 1000000000 }, { 'M', 1000000 }, { 'K', 1000 },
};

/* The first six are those that are printed, longest first. */
static const struct { const char *name; uint64_t usec; } time_units[] = {
        { "d", USEC_PER_DAY }, { "h", USEC_PER_HOUR }, { "min", USEC_PER_MIN }, { "s", USEC_PER_SEC }, { "ms", 1000 },
        { "us", 1 }, { "day", USEC_PER_DAY }, { "days", USEC_PER_DAY }, { "hr", USEC_PER_HOUR },
        { "hour", USEC_PER_HOUR }, { "hours", USEC_PER_HOUR }, { "m", USEC_PER_MIN }, { "minute", USEC_PER_MIN },
        { "minutes", USEC_PER_MIN }, { "sec", USEC_PER_SEC }, { "second", USEC_PER_SEC }, { "seconds", USEC_PER_SEC },
        { "msec", 1000 }, { "usec", 1 }, { "\xc2\xb5s", 1 }, { "\xce\xbcs", 1 }, { "w", 7 * USEC_PER_DAY },
        { "week", 7 * USEC_PER_DAY }, { "weeks", 7 * USEC_PER_DAY }, { "M", USEC_PER_YEAR / 12 },
        { "month", USEC_PER_YEAR / 12 }, { "months", USEC_PER_YEAR / 12 }, { "y", USEC_PER_YEAR },
        { "year", USEC_PER_YEAR }, { "years", USEC_PER_YEAR },
};
enum { N_PRINTED_TIME_UNITS = 6 };

uint64_t quantity_amount_bytes(Amount amount, uint64_t ram, uint64_t automatic) {
        if (amount.kind != AMOUNT_PERMYRIAD)
                return amount.kind == AMOUNT_BYTES ? amount.value : automatic;
        /* in this order, so that no amount of RAM overflows */
        return ram / 10000 * amount.value + ram % 10000 * amount.value / 10000;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

bool quantity_take_number(const char **text, uint64_t *ret) {
        uint64_t value = 0;
        const char *s = *text;

        for (; is_digit(*s); s++)
                if (__builtin_mul_overflow(value, (uint64_t) 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t) (*s - '0'), &value))
                        return false;
        if (s == *text)
                return false;
        *text = s;
        *ret = value;
        return true;
}

static bool parse_with_unit(const ByteUnit *units, const char *text, uint64_t *ret) {
        uint64_t value, unit = 1;

        if (!quantity_take_number(&text, &value))
                return false;
        for (size_t i = 0; i < N_BYTE_UNITS; i++)
                if (*text == units[i].letter) {
                        unit = units[i].bytes;
                        text++;
                        break;
                }
        return *text == '\0' && !__builtin_mul_overflow(value, unit, ret);
}

static void print_with_unit(const ByteUnit *units, uint64_t bytes, FILE *out) {
        for (size_t i = 0; i < N_BYTE_UNITS; i++)
                if (bytes > 0 && bytes % units[i].bytes == 0) {
                        (void) fprintf(out, "%llu%c", (unsigned long long) (bytes / units[i].bytes), units[i].letter);
                        return;
                }
        (void) fprintf(out, "%llu", (unsigned long long) bytes);
}

bool quantity_parse_bytes(const char *text, uint64_t *ret) {
        return parse_with_unit(byte_units, text, ret);
}

void quantity_print_bytes(uint64_t bytes, FILE *out) {
        print_with_unit(byte_units, bytes, out);
}

bool quantity_parse_rate(const char *text, uint64_t *ret) {
        return parse_with_unit(rate_units, text, ret);
}

void quantity_print_rate(uint64_t bytes_per_sec, FILE *out) {
        print_with_unit(rate_units, bytes_per_sec, out);
}

bool quantity_parse_percent(const char *text, uint64_t *ret) {
        uint64_t whole, rest = 0;

        if (!quantity_take_number(&text, &whole) || whole > 100)
                return false;
        if (*text == '.') {
                if (!is_digit(*++text))
                        return false;
                rest = (uint64_t) (*text++ - '0') * 10;
                if (is_digit(*text))
                        rest += (uint64_t) (*text++ - '0');
        }
        *ret = whole * 100 + rest;
        return strcmp(text, "%") == 0;
}

void quantity_print_percent(uint64_t permyriad, FILE *out) {
        unsigned whole = (unsigned) (permyriad / 100), rest = (unsigned) (permyriad % 100);

        if (rest == 0)
                (void) fprintf(out, "%u%%", whole);
        else if (rest % 10 == 0)
                (void) fprintf(out, "%u.%u%%", whole, rest / 10);
        else
                (void) fprintf(out, "%u.%02u%%", whole, rest);
}

/* The length of the unit of time at *@text, behind which it moves the pointer; 0 if there is none. */
static uint64_t take_time_unit(const char **text) {
        size_t length = strcspn(*text, " \t0123456789.");

        for (size_t i = 0; i < ELEMENTSOF(time_units); i++)
                if (strlen(time_units[i].name) == length && strncmp(*text, time_units[i].name, length) == 0) {
                        *text += length;
                        return time_units[i].usec;
                }
        return 0;
}

/* Reads one part of a span, such as "1.5h". A number without a unit is one of seconds if it is the whole span. */
static bool take_span_part(const char **text, bool alone, uint64_t *ret) {
        const char *s = *text, *fraction = NULL;
        uint64_t number, usec, unit;

        if (!quantity_take_number(&s, &number))
                return false;
        if (*s == '.') {
                fraction = ++s;
                s += strspn(s, "0123456789");
                if (s == fraction)
                        return false;
        }
        s += strspn(s, " \t");
        unit = alone && *s == '\0' ? USEC_PER_SEC : take_time_unit(&s);
        if (unit == 0 || __builtin_mul_overflow(number, unit, &usec))
                return false;
        for (uint64_t place = unit / 10; fraction && is_digit(*fraction); fraction++, place /= 10)
                usec += place * (uint64_t) (*fraction - '0'); /* less than one unit in all, far from overflow */
        *text = s;
        *ret = usec;
        return true;
}

bool quantity_parse_span(const char *text, uint64_t *ret) {
        uint64_t total = 0, usec;
        bool first = true;

        do {
                if (!take_span_part(&text, first, &usec) || __builtin_add_overflow(total, usec, &total))
                        return false;
                text += strspn(text, " \t");
                first = false;
        } while (*text);
        *ret = total;
        return true;
}

void quantity_print_span(uint64_t usec, FILE *out) {
        uint64_t left = usec;
        const char *separator = "";

        if (left == 0)
                (void) fputc('0', out);
        for (size_t i = 0; i < N_PRINTED_TIME_UNITS; i++) {
                unsigned long long n = left / time_units[i].usec;

                if (n == 0)
                        continue;
                (void) fprintf(out, "%s%llu%s", separator, n, time_units[i].name);
                left %= time_units[i].usec;
                separator = " ";
        }
}

bool quantity_parse_delete_limit(const char *text, DeleteLimit *ret) {
        bool has_names = false, has_percent = false;
        DeleteLimit limit = {};
        uint64_t number;

        if (strcmp(text, "off") == 0) {
                *ret = (DeleteLimit){ .off = true };
                return true;
        }
        while (quantity_take_number(&text, &number)) {
                bool percent = *text == '%', *has = percent ? &has_percent : &has_names;

                text += percent;
                if (*has || number > (percent ? 100 : UINT32_MAX) || (*text && !strchr(" \t", *text)))
                        return false;
                *has = true;
                *(percent ? &limit.percent : &limit.names) = (unsigned) number;
                text += strspn(text, " \t");
        }
        if (*text || !has_names || !has_percent)
                return false;
        *ret = limit;
        return true;
}

void quantity_print_delete_limit(DeleteLimit limit, FILE *out) {
        if (limit.off)
                (void) fputs("off", out);
        else
                (void) fprintf(out, "%u %u%%", limit.names, limit.percent);
}
