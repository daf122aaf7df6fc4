/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What is in the private directory of mirror/. To be included after ground.h. */

#include "tree/scan.h"

#include <dirent.h>

/* How many temporaries there are. */
static inline size_t names_in_corner(void) {
        DIR *dir = opendir("mirror/" SCAN_PRIVATE_DIR);
        struct dirent *d;
        size_t n = 0;

        assert_non_null(dir);
        while ((d = readdir(dir)))
                n += d->d_name[0] == 't';
        (void) closedir(dir);
        return n;
}
