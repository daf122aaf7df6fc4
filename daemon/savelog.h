/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What is said about saves, in the journal: what was saved, and why something is not, each reason once. */

#include "base.h"
#include "config.h"
#include "saveitem.h"

/* Of one wave of saves so many are told by name. */
enum { SAVELOG_LINES_MAX = 20 };

/* It came to its end. With @by_name it is told, else to those only who debug; where two versions met it is told in any case. */
void savelog_done(const MirrorConfig *config, const SaveItem *item, bool by_name);
/* The end of a wave of @n. */
void savelog_more(const MirrorConfig *config, size_t n);

/* The last attempt failed, or it cannot be begun: keeps the sentence in .problem, and tells it if it is another one than before. */
void savelog_trouble(const MirrorConfig *config, SaveItem *item);
/* It is broken, or @missing, which it names, is not there. */
void savelog_incomplete(const MirrorConfig *config, SaveItem *item, const char *missing, bool last);
