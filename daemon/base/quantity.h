/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Amounts and spans of time as a configuration has them. Printed values are read back unchanged, unlike the
 * rounded texts of base/text.h. The parsers return false unless the whole text is such a quantity, and on overflow. */

#include "base/base.h"

/* "3 25%": more than three names, and more than a quarter of all. "off": no limit. */
typedef struct DeleteLimit {
        bool off;
        unsigned names, percent;
} DeleteLimit;

#define USEC_PER_MIN (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MIN)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)
#define USEC_PER_YEAR ((uint64_t) 31557600 * USEC_PER_SEC) /* 365.25 days */

typedef enum AmountKind { AMOUNT_AUTO, AMOUNT_BYTES, AMOUNT_PERMYRIAD } AmountKind;

/* Bytes, a share of RAM (in 1/10000), or "auto". */
typedef struct Amount {
        AmountKind kind;
        uint64_t value;
} Amount;

/* The bytes that an Amount means on a machine with @ram bytes; @automatic for AMOUNT_AUTO. */
uint64_t quantity_amount_bytes(Amount amount, uint64_t ram, uint64_t automatic);

/* The digits at *@text as a number; moves the pointer behind them. */
bool quantity_take_number(const char **text, uint64_t *ret);

/* "512", "64K", "16M", "12G", "2T": powers of 1024. */
bool quantity_parse_bytes(const char *text, uint64_t *ret);
void quantity_print_bytes(uint64_t bytes, FILE *out);

/* "500000", "64K", "100M", "2G", "1T": powers of 1000, as in systemd.resource-control(5). */
bool quantity_parse_rate(const char *text, uint64_t *ret);
void quantity_print_rate(uint64_t bytes_per_sec, FILE *out);

/* "12%", "12.5%", "12.25%", up to 100.99%, as hundredths of a percent. */
bool quantity_parse_percent(const char *text, uint64_t *ret);
void quantity_print_percent(uint64_t permyriad, FILE *out);

/* "90", "1.5h", "5min 20s", "2 weeks": the spans of systemd.time(7), with its units from microseconds to years. */
bool quantity_parse_span(const char *text, uint64_t *ret);
void quantity_print_span(uint64_t usec, FILE *out);

/* "3 25%", in either order, or "off". Whole numbers; the percentage up to 100. */
bool quantity_parse_delete_limit(const char *text, DeleteLimit *ret);
void quantity_print_delete_limit(DeleteLimit limit, FILE *out);
