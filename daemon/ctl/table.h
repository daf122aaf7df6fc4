/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Rows of cells, printed as a table for people or as JSON for programs: --output=, --bytes, --noheadings and --json
 * decide. One description of the columns serves for both, and for the check of --output= and its error.
 *
 * JSON is an array with an object for each row. Its keys are the names of the columns; a cell that was not set is
 * null; amounts and numbers are numbers. Without --output=, JSON has all columns. A
 * table is cut at the right edge of a terminal, and never elsewhere. */

#include "base/base.h"
#include "ctl/ctl.h"
#include "ctl/screen.h"

typedef enum CtlCell {
        CELL_TEXT,
        CELL_PATH,    /* escaped so that all bytes can be recovered, see text_escape() */
        CELL_BYTES,   /* "41.3G"; exact with --bytes and in JSON; right-aligned */
        CELL_NUMBER,  /* right-aligned */
} CtlCell;

enum {
        COLUMN_EXTRA = 1, /* in a table only on request */
        COLUMN_CUT = 2,   /* shortened on a narrow terminal */
        COLUMN_WRAP = 4,  /* continued in the next line instead */
};

typedef struct CtlColumn {
        const char *name; /* in lower case; the heading is in upper case, and --output= takes both */
        CtlCell kind;
        unsigned flags;
        const char *help; /* a few words for the list in the error of --output= */
} CtlColumn;

typedef struct CtlTable CtlTable;

/* @columns is borrowed. 0, -ENOMEM, or CTL_BAD_ARGUMENTS if --output= names an unknown column: it prints that error. */
int ctl_table_new(CtlTable **ret, const Ctl *ctl, const CtlColumn *columns, size_t n);
CtlTable *ctl_table_free(CtlTable *table);
DEFINE_CLEANUP(CtlTable, ctl_table_free)

/* True if the column will be printed; for values that are expensive to determine. */
bool ctl_table_wants(const CtlTable *table, size_t column);

/* Begins a row, of which the other functions set the cells. @column is an index into the columns. Strings are copied;
 * NULL leaves the cell empty. If memory runs out, ctl_table_print() fails. */
void ctl_table_row(CtlTable *table);
void ctl_table_set(CtlTable *table, size_t column, const char *text);
/* For all kinds but text and path; UINT64_MAX (unknown, no limit) leaves the cell empty. */
void ctl_table_set_number(CtlTable *table, size_t column, uint64_t number);
void ctl_table_set_colour(CtlTable *table, size_t column, ScreenColour colour);

/* Prints the table to stdout and flushes. Prints its failures; returns the exit status. */
int ctl_table_print(CtlTable *table);
