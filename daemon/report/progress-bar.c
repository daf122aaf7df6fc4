/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The progress bar of a daemon that is run by hand. See report/progress-bar.h. */

#include "report/progress-bar.h"

#include <stdatomic.h>
#include <sys/ioctl.h>

enum { BAR_WIDTH = 20 };

static atomic_bool drawn; /* the bar is on the screen; atomic, because any thread may log */

bool progress_bar_is_possible(void) {
        const char *term = getenv("TERM");

        return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

static size_t columns(void) {
        struct winsize size;

        return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* How many bytes the first @max characters of a text take; a character is what is no UTF-8 continuation byte. */
static size_t clip(const char *text, size_t max) {
        size_t i = 0;

        for (size_t n = 0; text[i]; i++)
                if ((text[i] & 0xc0) != 0x80 && ++n > max)
                        break;
        return i;
}

void progress_bar_draw(bool bar, unsigned percent, const char *text) {
        char cells[BAR_WIDTH + 5] = "";
        size_t used = 0, width = columns() - 1;

        if (bar && width > 2 * BAR_WIDTH) {
                cells[used++] = '[';
                for (unsigned i = 0; i < BAR_WIDTH; i++)
                        cells[used++] = i < percent * BAR_WIDTH / 100 ? '#' : '.';
                cells[used++] = ']';
                cells[used++] = ' ';
                cells[used] = '\0';
        }
        (void) fprintf(stderr, "\r\033[K%s%.*s", cells, (int) clip(text, width - MIN(used, width)), text);
        (void) fflush(stderr);
        atomic_store(&drawn, true);
}

void progress_bar_clear(void) {
        if (atomic_exchange(&drawn, false))
                (void) fputs("\r\033[K", stderr);
}
