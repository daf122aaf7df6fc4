/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The three-way decision for one path. See plan/plan.h. */

#include "plan/plan-internal.h"

#include "base/path.h"
#include "layout/layout.h"
#include "layout/unfinished.h"

bool plan_looks_same(const Entry *a, const Entry *b) {
        if (manifest_entry_is_data(a) || manifest_entry_is_data(b))
                return manifest_entry_is_data(a) && manifest_entry_is_data(b) && a->size == b->size &&
                       a->mtime_nsec == b->mtime_nsec;
        return a->type == b->type && (a->type == ENTRY_DIRECTORY || string_equal(a->target, b->target));
}

/* Whether two entries share their inode with the same name. */
static bool is_tied_alike(const Entry *a, const Entry *b) {
        return !manifest_entry_is_data(a) ||
               (a->type == b->type && (a->type == ENTRY_FILE || string_equal(a->target, b->target)));
}

static bool attributes_differ(const Entry *a, const Entry *b) {
        return a->type != ENTRY_SYMLINK && (a->uid != b->uid || a->gid != b->gid || a->mode != b->mode);
}

/* A client has given the copy another owner or mode. Directories get theirs when staging ends, so a difference before
 * that means nothing. */
static bool attributes_changed(const PlanInput *input, const Entry *base, const Entry *mirror) {
        if (base->flags & ENTRY_LINKED || base->type == ENTRY_SYMLINK ||
            (base->type == ENTRY_DIRECTORY && !input->armed))
                return false;
        if (input->keeps_owners)
                return attributes_differ(base, mirror);
        return base->type != ENTRY_DIRECTORY && base->mode != mirror->mode;
}

bool plan_is_disk_link(const Entry *mirror, const char *source_path) {
        const char *below = mirror && mirror->type == ENTRY_SYMLINK ? path_below(mirror->target, source_path) : NULL;

        return below && strcmp(below, mirror->path) == 0;
}

/* The mirror still has what the base says was put there. A name may be alone with its inode by now, because another
 * name of the file was staged again and this one is not yet tied to it. */
static bool mirror_agrees(const PlanItem *item, const char *source_path) {
        const Entry *b = item->base, *m = item->mirror;

        if (b->flags & ENTRY_LINKED)
                return plan_is_disk_link(m, source_path);
        return plan_looks_same(b, m) && (is_tied_alike(b, m) || b->ino == m->ino);
}

/* Neither side has changed in size and time. */
static PlanAction decide_unchanged(const PlanInput *input, const PlanItem *item) {
        const Entry *b = item->base, *m = item->mirror;

        if (b->flags & ENTRY_LINKED)
                return PLAN_STAGE; /* perhaps it fits by now */
        if (manifest_entry_is_data(b) && b->ino != m->ino)
                return PLAN_ADOPT;
        if (attributes_changed(input, b, m) && !attributes_differ(item->source, b) && is_tied_alike(item->source, m))
                return PLAN_SAVEATTR; /* which compares the bytes too */
        if (manifest_entry_is_data(b) && b->ctime_nsec != m->ctime_nsec)
                return PLAN_ADOPT;
        if (!is_tied_alike(item->source, m) ||
            (manifest_entry_is_data(m) && input->damaged && pathset_has(input->damaged, m->path)))
                return PLAN_STAGE;
        if (attributes_differ(item->source, b))
                return PLAN_SETATTR;
        return b->ino != m->ino ? PLAN_ADOPT : PLAN_KEEP; /* the same directory or link, made again */
}

static LayoutKind kind_of(const PlanInput *input) {
        return input->layout == LAYOUT_AUTO ? LAYOUT_PLAIN : input->layout;
}

static bool is_unfinished(const PlanInput *input, const Entry *mirror) {
        return layout_role(kind_of(input), mirror->path) == LAYOUT_UNFINISHED ||
               (mirror->type == ENTRY_FILE && unfinished_is_marked(input->mirror, mirror->path));
}

static PlanAction decide_to_save(const PlanInput *input, const PlanItem *item) {
        return is_unfinished(input, item->mirror) ? PLAN_IGNORE : PLAN_SAVE;
}

/* Where the name states the digest there cannot be two versions: the mirror's is saved only if it has that digest, and
 * then it is the same as the disk's, or the disk's was damaged. */
static PlanAction decide_conflict(const PlanInput *input, const PlanItem *item) {
        Claim claim;

        if (is_unfinished(input, item->mirror))
                return PLAN_IGNORE;
        return item->source->type == ENTRY_FILE && item->mirror->type == ENTRY_FILE &&
               layout_claim(kind_of(input), item->mirror->path, &claim) ? PLAN_SAVE : PLAN_CONFLICT;
}

static PlanAction decide_without_base(const PlanInput *input, const PlanItem *item) {
        const Entry *s = item->source, *m = item->mirror;
        const char *source_path = input->source_path;

        if (!m)
                return s ? PLAN_STAGE : PLAN_FORGET;
        if (!s)
                return decide_to_save(input, item);
        if (manifest_entry_is_data(s) && plan_is_disk_link(m, source_path))
                return PLAN_STAGE; /* our own link, of a run whose base was lost */
        if (!plan_looks_same(s, m))
                return decide_conflict(input, item);
        if (!is_tied_alike(s, m))
                return PLAN_STAGE;
        return PLAN_ADOPT;
}

/* The name is taken by something that a manifest does not list: a fifo, or what could not be read. */
static bool is_unseen(const Manifest *mirror, const char *path) {
        for (size_t i = 0; i < mirror->n_omissions; i++)
                if (strcmp(mirror->omissions[i].path, path) == 0)
                        return true;
        return manifest_is_blind(mirror, path);
}

/* Only a deletion that was observed is one: without an event, what is absent is staged again. */
static PlanAction decide_absent(const PlanInput *input, const PlanItem *item, bool source_same) {
        if (!item->source)
                return PLAN_FORGET;
        /* through a link a client can touch what is on disk; where the name states the digest it is still the same */
        source_same = source_same || (item->base->flags & ENTRY_LINKED && manifest_entry_is_data(item->source) &&
                                      layout_is_shared(kind_of(input), item->source->path));
        if (source_same && input->deleted && pathset_covers(input->deleted, item->source->path) &&
            (item->source->flags & ENTRY_ORPHAN || !layout_is_shared(kind_of(input), item->source->path)) &&
            !is_unseen(input->mirror, item->source->path))
                return PLAN_DELETE;
        return PLAN_STAGE;
}

/* The three-way table: what base, source and mirror have in common. */
static PlanAction decide(const PlanInput *input, const PlanItem *item) {
        const Entry *b = item->base, *s = item->source, *m = item->mirror;
        bool s_same, m_same;

        if (!b || b->flags & ENTRY_RECORD)
                return decide_without_base(input, item);
        s_same = s && plan_looks_same(b, s);
        if (!m)
                return decide_absent(input, item, s_same);
        m_same = mirror_agrees(item, input->source_path);
        if (m_same)
                return !s ? PLAN_REMOVE : s_same ? decide_unchanged(input, item) : PLAN_STAGE;
        if (!s || s_same)
                return decide_to_save(input, item);
        return plan_looks_same(s, m) ? PLAN_ADOPT : decide_conflict(input, item);
}

/* Something that was different, or absent, at the last scan has not held still yet. */
static bool is_restless(const PlanInput *input, const PlanItem *item, const char *path) {
        const Entry *before;

        if (!input->previous)
                return false;
        before = manifest_find(input->previous, path);
        if (!before || !item->source)
                return before || item->source;
        return !plan_looks_same(before, item->source) || before->ino != item->source->ino ||
               (manifest_entry_is_data(before) && before->ctime_nsec != item->source->ctime_nsec);
}

/* An entry that is not selected for RAM becomes a link to the disk; one that nothing references, only if it is a link
 * already. */
static PlanAction decide_unwanted(const PlanInput *input, const PlanItem *item, PlanAction action) {
        bool linked = item->base && item->base->flags & ENTRY_LINKED, orphan = item->source->flags & ENTRY_ORPHAN;

        if (action == PLAN_STAGE && plan_is_disk_link(item->mirror, input->source_path))
                return linked && !(item->base->flags & ENTRY_RECORD) ? PLAN_KEEP : PLAN_LINK;
        if (action == PLAN_STAGE)
                return orphan ? PLAN_IGNORE : PLAN_LINK;
        return action == PLAN_KEEP && !orphan ? PLAN_LINK : action;
}

/* The mirror has only what the disk has too: as both sides agreed, or our own link. */
static bool is_only_a_copy(const PlanInput *input, const PlanItem *item) {
        if (plan_is_disk_link(item->mirror, input->source_path))
                return true;
        return item->base && !(item->base->flags & ENTRY_RECORD) && mirror_agrees(item, input->source_path);
}

/* A released entry is taken out of the mirror if both sides agree about it; what a client did to it comes first. Its
 * absence is no deletion by a client. */
static PlanAction decide_released(const PlanInput *input, const PlanItem *item, PlanAction action) {
        if (!item->mirror)
                return item->base && !(item->base->flags & ENTRY_RECORD) ? PLAN_FORGET : PLAN_IGNORE;
        if ((action == PLAN_KEEP || action == PLAN_SETATTR || action == PLAN_STAGE) && is_only_a_copy(input, item))
                return PLAN_RELEASE;
        return action;
}

/* Marked for deletion: a deletion that was held back and then accepted. First in the mirror, then on the disk, unless
 * either has changed since. */
static PlanAction decide_marked(const PlanInput *input, const PlanItem *item, PlanAction action) {
        bool shared = item->source->type != ENTRY_DIRECTORY && layout_is_shared(kind_of(input), item->source->path);

        if (shared && !(item->source->flags & ENTRY_ORPHAN))
                return action;
        if (!item->mirror)
                return action == PLAN_STAGE || action == PLAN_LINK || action == PLAN_IGNORE ? PLAN_DELETE : action;
        return (action == PLAN_KEEP || action == PLAN_STAGE) && is_only_a_copy(input, item) ? PLAN_RELEASE : action;
}

/* No earlier scan lists it because it was not selected; an operator wants it now, so it need not hold still. */
static bool is_wanted_newly(const PlanInput *input, const PlanItem *item) {
        return item->source && input->overrides && input->overrides->wanted.n > 0 &&
               !manifest_find(input->previous, item->source->path) &&
               (overrides_get(input->overrides, item->source->path) == OVERRIDE_STAGED ||
                overrides_stages_below(input->overrides, item->source->path));
}

PlanAction plan_decide(const PlanInput *input, const PlanItem *item) {
        const char *path = plan_item_path(item);
        PlanAction action = decide(input, item);
        bool touches_mirror;

        if (item->source && input->overrides && overrides_is_marked_deleted(input->overrides, item->source))
                return decide_marked(input, item, action);
        if (item->source && input->absent && pathset_has(input->absent, path))
                return decide_released(input, item, action);
        if (item->source && item->source->flags & (ENTRY_DISK_ONLY | ENTRY_ORPHAN))
                action = decide_unwanted(input, item, action);
        touches_mirror = action == PLAN_STAGE || action == PLAN_REMOVE || action == PLAN_SETATTR;

        if (!item->source && manifest_is_blind(input->source, path))
                return PLAN_KEEP; /* unknown, not absent */
        if (touches_mirror && is_restless(input, item, path) && !is_wanted_newly(input, item))
                return PLAN_WAIT;
        return action;
}
