/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Rows of cells, printed as a table or as JSON. See ctl/table.h. */

#include "ctl/table.h"

#include "base/array.h"
#include "base/text.h"
#include "ctl/json-output.h"

#include <ctype.h>
#include <libsmartcols/libsmartcols.h>
#include <strings.h>

typedef struct Cell {
        char *text;      /* owned */
        uint64_t number;
        ScreenColour colour;
        bool set;
} Cell;

struct CtlTable {
        const Ctl *ctl;
        const CtlColumn *columns;
        size_t n_columns;
        size_t *shown; /* columns in the order in which they are printed */
        size_t n_shown;
        Cell **rows;   /* n_columns cells each */
        size_t n_rows;
        bool failed;   /* memory ran out */
};

static void print_columns(const CtlColumn *columns, size_t n) {
        (void) fprintf(stderr, "Columns:\n");
        for (size_t i = 0; i < n; i++)
                (void) fprintf(stderr, "  %-16s %s%s\n", columns[i].name, columns[i].help,
                               columns[i].flags & COLUMN_EXTRA ? " (only on request)" : "");
}

static bool is_shown(const CtlTable *table, size_t column) {
        for (size_t i = 0; i < table->n_shown; i++)
                if (table->shown[i] == column)
                        return true;
        return false;
}

/* @added: to the default columns, unless it is one of them. */
static int show_column(CtlTable *table, const char *name, size_t length, bool added) {
        for (size_t i = 0; i < table->n_columns; i++)
                if (strlen(table->columns[i].name) == length &&
                    strncasecmp(table->columns[i].name, name, length) == 0) {
                        if (is_shown(table, i) && added)
                                return 0;
                        if (ARRAY_ROOM(table->shown, table->n_shown) < 0)
                                return -ENOMEM;
                        table->shown[table->n_shown++] = i;
                        return 0;
                }
        screen_error("Unknown column '%.*s' in --output=", (int) length, name);
        print_columns(table->columns, table->n_columns);
        return CTL_BAD_ARGUMENTS;
}

static int show_default(CtlTable *table) {
        unsigned hidden = table->ctl->json == CTL_JSON_OFF ? COLUMN_EXTRA : 0;
        int r = 0;

        for (size_t i = 0; r == 0 && i < table->n_columns; i++)
                if (!(table->columns[i].flags & hidden))
                        r = show_column(table, table->columns[i].name, strlen(table->columns[i].name), false);
        return r;
}

/* "+" in front adds to the default columns. */
static int choose_columns(CtlTable *table, const char *output) {
        bool added = output && *output == '+';
        int r = 0;

        if (!output || added)
                r = show_default(table);
        if (!output)
                return r;
        output += added;
        while (r == 0) {
                size_t length = strcspn(output, ",");

                r = show_column(table, output, length, added);
                if (output[length] == '\0')
                        break;
                output += length + 1;
        }
        return r;
}

int ctl_table_new(CtlTable **ret, const Ctl *ctl, const CtlColumn *columns, size_t n) {
        _cleanup_(ctl_table_freep) CtlTable *table = calloc(1, sizeof(*table));
        int r;

        if (!table)
                return -ENOMEM;
        table->ctl = ctl;
        table->columns = columns;
        table->n_columns = n;
        r = choose_columns(table, ctl->output);
        if (r != 0)
                return r;
        *ret = TAKE_PTR(table);
        return 0;
}

CtlTable *ctl_table_free(CtlTable *table) {
        if (!table)
                return NULL;
        for (size_t i = 0; i < table->n_rows; i++) {
                for (size_t c = 0; c < table->n_columns; c++)
                        free(table->rows[i][c].text);
                free(table->rows[i]);
        }
        free(table->rows);
        free(table->shown);
        free(table);
        return NULL;
}

bool ctl_table_wants(const CtlTable *table, size_t column) {
        for (size_t i = 0; i < table->n_shown; i++)
                if (table->shown[i] == column)
                        return true;
        return false;
}

void ctl_table_row(CtlTable *table) {
        Cell *cells = calloc(table->n_columns, sizeof(Cell));

        if (!cells || ARRAY_ROOM(table->rows, table->n_rows) < 0) {
                free(cells);
                table->failed = true;
                return;
        }
        table->rows[table->n_rows++] = cells;
}

static Cell *last_cell(CtlTable *table, size_t column) {
        assert(column < table->n_columns);
        return table->failed || table->n_rows == 0 ? NULL : &table->rows[table->n_rows - 1][column];
}

void ctl_table_set(CtlTable *table, size_t column, const char *text) {
        Cell *cell = last_cell(table, column);

        if (!cell || !text || !ctl_table_wants(table, column))
                return;
        free(cell->text);
        cell->text = strdup(text);
        cell->set = cell->text;
        table->failed = table->failed || !cell->text;
}

void ctl_table_set_number(CtlTable *table, size_t column, uint64_t number) {
        Cell *cell = last_cell(table, column);

        if (!cell)
                return;
        cell->number = number;
        cell->set = number != UINT64_MAX;
}

void ctl_table_set_colour(CtlTable *table, size_t column, ScreenColour colour) {
        Cell *cell = last_cell(table, column);

        if (cell)
                cell->colour = colour;
}

static json_t *cell_json(const Cell *cell, CtlCell kind) {
        if (!cell->set)
                return json_null();
        switch (kind) {
        case CELL_TEXT:
                return json_output_text(cell->text);
        case CELL_PATH:
                return json_output_path(cell->text);
        case CELL_BYTES:
        case CELL_NUMBER:
                break;
        }
        return json_output_number(cell->number);
}

static json_t *row_json(const CtlTable *table, const Cell *cells) {
        _cleanup_(json_decrefp) json_t *row = json_object();

        for (size_t i = 0; row && i < table->n_shown; i++) {
                const CtlColumn *column = &table->columns[table->shown[i]];

                if (json_object_set_new(row, column->name, cell_json(&cells[table->shown[i]], column->kind)) < 0)
                        return NULL;
        }
        return TAKE_PTR(row);
}

static int print_json(const CtlTable *table) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        int r = rows ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < table->n_rows; i++)
                if (json_array_append_new(rows, row_json(table, table->rows[i])) < 0)
                        r = -ENOMEM;
        return r == 0 ? json_output_print(table->ctl, rows, stdout) : r;
}

/* The text of a cell, safe to print: a new string, NULL on ENOMEM. */
static char *cell_text(const CtlTable *table, const Cell *cell, CtlCell kind) {
        char bytes[TEXT_BYTES_MAX];

        if (!cell->set)
                return strdup("-");
        switch (kind) {
        case CELL_TEXT:
                return screen_text(cell->text);
        case CELL_PATH:
                return screen_path(cell->text);
        case CELL_BYTES:
                if (!table->ctl->bytes)
                        return strdup(text_bytes(bytes, cell->number));
                break;
        case CELL_NUMBER:
                break;
        }
        return text_format("%llu", (unsigned long long) cell->number);
}

static int column_flags(const CtlColumn *column) {
        bool right = column->kind == CELL_BYTES || column->kind == CELL_NUMBER;

        return (right ? SCOLS_FL_RIGHT : 0) | (column->flags & COLUMN_CUT ? SCOLS_FL_TRUNC : 0) |
               (column->flags & COLUMN_WRAP ? SCOLS_FL_WRAP : 0);
}

static int make_columns(const CtlTable *table, struct libscols_table *out) {
        for (size_t i = 0; i < table->n_shown; i++) {
                const CtlColumn *column = &table->columns[table->shown[i]];
                /* libsmartcols makes a column as wide as its heading, even if it does not print that */
                _cleanup_(freep) char *heading = strdup(table->ctl->no_headings ? "" : column->name);

                for (char *c = heading; c && *c; c++)
                        *c = (char) toupper((unsigned char) *c);
                if (!heading || !scols_table_new_column(out, heading, 1, column_flags(column)))
                        return -ENOMEM;
        }
        return 0;
}

static int make_row(const CtlTable *table, const Screen *screen, const Cell *cells, struct libscols_table *out) {
        struct libscols_line *line = scols_table_new_line(out, NULL);

        for (size_t i = 0; line && i < table->n_shown; i++) {
                const Cell *cell = &cells[table->shown[i]];
                char *text = cell_text(table, cell, table->columns[table->shown[i]].kind);
                struct libscols_cell *place = scols_line_get_cell(line, i);

                if (!text || !place || scols_line_refer_data(line, i, text) != 0) {
                        free(text);
                        return -ENOMEM;
                }
                if (cell->colour != SCREEN_PLAIN && screen->colours &&
                    scols_cell_set_color(place, screen_colour(screen, cell->colour)) != 0)
                        return -ENOMEM;
        }
        return line ? 0 : -ENOMEM;
}

static int print_rows(const CtlTable *table) {
        Screen screen = screen_of(STDOUT_FILENO);
        struct libscols_table *out = scols_new_table();
        int r = out ? 0 : -ENOMEM;

        if (r == 0) {
                (void) scols_table_enable_noheadings(out, table->ctl->no_headings);
                (void) scols_table_enable_colors(out, screen.colours);
                /* the cells are safe already; its encoding would escape our escapes again */
                (void) scols_table_enable_noencoding(out, 1);
                r = make_columns(table, out);
        }
        for (size_t i = 0; r == 0 && i < table->n_rows; i++)
                r = make_row(table, &screen, table->rows[i], out);
        if (r == 0 && table->n_rows > 0) {
                r = scols_print_table(out);
                if (r == 0 && fflush(stdout) != 0)
                        r = -errno;
        }
        scols_unref_table(out);
        return r;
}

int ctl_table_print(CtlTable *table) {
        int r = table->failed ? -ENOMEM : table->ctl->json != CTL_JSON_OFF ? print_json(table) : print_rows(table);

        if (r == 0)
                return CTL_DONE;
        return screen_fail(CTL_FAILED, "Failed to print the table: %s", strerror(-r));
}
