/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The base is what source and mirror last agreed on. What a plan run does is gathered while its plan still borrows from
 * the base, and becomes part of the base when the plan is over. Pure. */

#include "base/base.h"
#include "plan/plan.h"
#include "stage/task.h"
#include "tree/manifest.h"

/* Notes in @changes what came of one item: an entry that both sides agree on, or that only the digest of one is
 * left. If memory runs out, the next scan finds it again. */
void base_update_note(Manifest *changes, const Task *task);

/* Moves @changes into @base and frees both @plan and @changes, which may be NULL. @source is the source as it was
 * seen for that plan: what it no longer has is forgotten; NULL to forget nothing. */
void base_update_merge(Manifest *base, const Manifest *source, Plan **plan, Manifest **changes);
