/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Rows of cells -> a table for people, or JSON for programs, as --output=, --bytes, --no-legend and --json say. One
 * description of the columns serves for both, for the check of --output= and for what is said when that is wrong.
 *
 * As JSON it is an array with an object for each row: the names of the columns, with _ for -, are the keys; a cell
 * that was not set is null; amounts, numbers and yes/no are numbers and booleans. It has all columns, if none are
 * asked for. As a table it is cut at the right edge of a terminal, and not cut anywhere else. */

#include "base/base.h"
#include "ctl/ctl.h"
#include "ctl/screen.h"

typedef enum CtlCell {
        CELL_TEXT,
        CELL_PATH,    /* bytes: reversible, see text_escape() */
        CELL_BYTES,   /* "41.3G"; exactly with --bytes and in JSON. To the right */
        CELL_NUMBER,  /* to the right */
        CELL_PERCENT, /* to the right */
        CELL_BOOL,    /* "yes", "no" */
} CtlCell;

enum {
        COLUMN_EXTRA = 1, /* not in the table unless it is asked for */
        COLUMN_CUT = 2,   /* shortened where the terminal is narrow; COLUMN_WRAP goes on in the next line instead */
        COLUMN_WRAP = 4,
        COLUMN_COSTLY = 8, /* nowhere unless it is asked for: see ctl_table_wants() */
};

typedef struct CtlColumn {
        /* in lower case; in capitals it is the heading, and what --output= is told to take. Case does not matter there */
        const char *name;
        CtlCell kind;
        unsigned flags;
        const char *help; /* a few words for the list of columns */
} CtlColumn;

typedef struct CtlTable CtlTable;

/* @columns is borrowed. 0, CTL_BAD_ARGUMENTS if --output= names what is not there (that and the columns that there
 * are have been printed), or -ENOMEM. */
int ctl_table_new(CtlTable **ret, const Ctl *ctl, const CtlColumn *columns, size_t n);
CtlTable *ctl_table_free(CtlTable *table);
DEFINE_CLEANUP(CtlTable, ctl_table_free)

/* True if the column will be printed; for what is costly to find out. */
bool ctl_table_wants(const CtlTable *table, size_t column);

/* Begins a row; the others set cells of the last one. Columns are counted as in @columns. Strings are copied; NULL
 * leaves the cell empty. If memory runs out, printing says so. */
void ctl_table_row(CtlTable *table);
void ctl_table_set(CtlTable *table, size_t column, const char *text);
/* of all kinds but texts; UINT64_MAX: not known, or no limit */
void ctl_table_set_number(CtlTable *table, size_t column, uint64_t number);
void ctl_table_set_colour(CtlTable *table, size_t column, ScreenColour colour);

size_t ctl_table_rows(const CtlTable *table);

/* Prints all of it to stdout and flushes. Returns the exit status: failures have been told. */
int ctl_table_print(CtlTable *table);
