/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How the base moves on: what a stage did is gathered while its plan still borrows from the base, and becomes part
 * of the base when the plan is over. Pure. */

#include "base/base.h"
#include "plan/plan.h"
#include "stage/task.h"
#include "tree/manifest.h"

/* Notes what came of one item in @changes: an entry that is agreed, or that nothing but a digest is left of one. Out
 * of memory is no harm: what is not noted is looked at again. */
void base_update_note(Manifest *changes, const Task *task);

/* Moves @changes into @base and frees both @plan and @changes, which may be NULL. @source is the source as it was
 * seen for that plan: what it no longer has is forgotten; NULL to forget nothing. */
void base_update_merge(Manifest *base, const Manifest *source, Plan **plan, Manifest **changes);
