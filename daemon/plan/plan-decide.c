/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The three-way decision for one path. See plan/plan.h. */

#include "plan/plan-internal.h"

#include "base/path.h"
#include "layout/layout.h"
#include "layout/unfinished.h"

#include <sys/stat.h>

static bool attributes_differ(const Entry *a, const Entry *b) {
        return a->type != ENTRY_SYMLINK && (a->uid != b->uid || a->gid != b->gid || a->mode != b->mode);
}

/* An ordinary user's daemon stages a directory so that it can write to it, and without setgid if the user is not in the
 * group: then the kernel drops that bit in silence. */
static bool is_as_staged_by_user(unsigned disk, unsigned mirror) {
        return mirror == (disk | 0700) || mirror == ((disk & ~(unsigned) S_ISGID) | 0700);
}

/* A client has given the copy another owner or mode. Directories get theirs when staging ends, so a difference before
 * that means nothing. */
static bool attributes_changed(const PlanInput *input, const Entry *base, const Entry *mirror) {
        if (base->flags & ENTRY_LINKED || base->type == ENTRY_SYMLINK ||
            (base->type == ENTRY_DIRECTORY && !input->armed))
                return false;
        if (input->keeps_owners)
                return attributes_differ(base, mirror);
        return base->mode != mirror->mode &&
               (base->type != ENTRY_DIRECTORY || !is_as_staged_by_user(base->mode, mirror->mode));
}

/* The path on the disk that a link to the disk leads to; NULL if it is none. */
static const char *disk_link_target(const Entry *mirror, const char *source_path) {
        return mirror && mirror->type == ENTRY_SYMLINK ? path_below(mirror->target, source_path) : NULL;
}

bool plan_is_disk_link(const Entry *mirror, const char *source_path) {
        const char *below = disk_link_target(mirror, source_path);

        return below && strcmp(below, mirror->path) == 0;
}

bool plan_leads_to_disk(const Entry *mirror, const char *source_path) {
        return disk_link_target(mirror, source_path) != NULL;
}

static PairState find_in_mirror(const PlanInput *input, const PlanItem *item) {
        if (!item->mirror)
                return PAIR_ABSENT;
        if (!item->base || item->base->flags & ENTRY_RECORD)
                return PAIR_UNSURE;
        if (item->base->flags & ENTRY_LINKED)
                return plan_is_disk_link(item->mirror, input->source_path) ? PAIR_SAME : PAIR_OTHER;
        return pair_mirror(item->base, item->mirror, input->mirror_watched);
}

static PairState find_on_disk(const PlanInput *input, const PlanItem *item) {
        if (!item->source)
                return PAIR_ABSENT;
        return item->base ? pair_disk(item->base, item->source, input->source_watched) : PAIR_UNSURE;
}

/* Neither side has other bytes than the base. */
static PlanAction decide_unchanged(const PlanInput *input, PlanItem *item) {
        const Entry *b = item->base, *m = item->mirror;
        bool data = manifest_entry_is_data(b);

        if (b->flags & ENTRY_LINKED)
                return PLAN_STAGE; /* perhaps it fits by now */
        if (attributes_changed(input, b, m) && !attributes_differ(item->source, b) &&
            pair_is_tied_alike(item->source, m))
                return PLAN_SAVEATTR; /* which compares the bytes too */
        if (data && input->damaged && pathset_has(input->damaged, m->path)) {
                item->kept = true; /* as far as a client may have made it */
                return PLAN_STAGE;
        }
        if (!pair_is_tied_alike(item->source, m))
                return PLAN_STAGE;
        if (attributes_differ(item->source, b))
                return PLAN_SETATTR;
        if (item->on_disk == PAIR_TOUCHED || item->in_mirror == PAIR_TOUCHED)
                return PLAN_ADOPT;
        return !data && b->ino != m->ino ? PLAN_ADOPT : PLAN_KEEP; /* the same directory or link, made again */
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

/* Both sides have something, and neither is known to be what the base names. */
static PlanAction decide_between(const PlanInput *input, const PlanItem *item) {
        const Entry *s = item->source, *m = item->mirror;

        if (!pair_is_alike(s, m) || (manifest_entry_is_data(s) && pair_is_different(item->base, s, m)))
                return decide_conflict(input, item);
        if (!manifest_entry_is_data(s) || !is_unfinished(input, m))
                return PLAN_ADOPT; /* if the bytes are the same, it is agreed */
        return PLAN_IGNORE;
}

static PlanAction decide_without_base(const PlanInput *input, const PlanItem *item) {
        const Entry *s = item->source, *m = item->mirror;

        if (!m)
                return s ? PLAN_STAGE : PLAN_FORGET;
        if (!s)
                return decide_to_save(input, item);
        if (manifest_entry_is_data(s) && plan_leads_to_disk(m, input->source_path))
                return PLAN_STAGE; /* of a run whose base was lost, or of a file that was renamed */
        return decide_between(input, item);
}

/* The name is taken by something that a manifest does not list: a fifo, or what could not be read. */
static bool is_unseen(const Manifest *mirror, const char *path) {
        for (size_t i = 0; i < mirror->n_omissions; i++)
                if (strcmp(mirror->omissions[i].path, path) == 0)
                        return true;
        return manifest_is_blind(mirror, path);
}

/* Only a deletion that was observed is one: without an event, what is absent is staged again. */
static PlanAction decide_absent(const PlanInput *input, const PlanItem *item) {
        bool source_same;

        if (!item->source)
                return PLAN_FORGET;
        /* what may have been written to unseen goes to the trash: where times are whole seconds, it is too new whenever
         * it was saved */
        source_same = pair_is_known(item->on_disk) || pair_is_only_racy(item->base, item->source);
        /* through a link a client can touch what is on disk; where the name states the digest it is still the same */
        source_same = source_same || (item->base->flags & ENTRY_LINKED && manifest_entry_is_data(item->source) &&
                                      layout_is_shared(kind_of(input), item->source->path));
        if (source_same && input->deleted && pathset_covers(input->deleted, item->source->path) &&
            (item->source->flags & ENTRY_ORPHAN || !layout_is_shared(kind_of(input), item->source->path)) &&
            !is_unseen(input->mirror, item->source->path))
                return PLAN_DELETE;
        return PLAN_STAGE;
}

/* Gone from the disk. Only the very object that was put into the mirror goes from there too: a client's own copy of the
 * same bytes, or its own link of the same text, may be the last one. */
static PlanAction decide_gone(const PlanInput *input, const PlanItem *item) {
        bool own = item->base->flags & ENTRY_OWN_COPY ||
                   (item->base->type == ENTRY_SYMLINK && item->base->ino != item->mirror->ino);

        return pair_is_known(item->in_mirror) && !own ? PLAN_REMOVE : decide_to_save(input, item);
}

/* The very file that was staged has other bytes than its name states: they can be nobody's work. */
static bool is_spoilt(const PlanInput *input, const PlanItem *item) {
        const Entry *b = item->base, *m = item->mirror;
        Claim claim;

        return b->flags & ENTRY_MIRROR_DIFFERS && m->type == ENTRY_FILE && b->ino == m->ino && b->size == m->size &&
               b->mtime_nsec == m->mtime_nsec && layout_claim(kind_of(input), m->path, &claim);
}

/* The disk has the base's bytes. */
static PlanAction decide_disk_same(const PlanInput *input, PlanItem *item) {
        switch (item->in_mirror) {
        case PAIR_SAME:
        case PAIR_TOUCHED:
                return decide_unchanged(input, item);
        case PAIR_UNSURE:
                return PLAN_ADOPT;
        case PAIR_OTHER:
                if (is_spoilt(input, item)) {
                        item->kept = item->spoilt = true; /* nobody wants these bytes */
                        return PLAN_STAGE;
                }
                break;
        case PAIR_ABSENT:
                break;
        }
        return decide_to_save(input, item);
}

/* The disk may have the base's bytes in another object, or with other times. */
static PlanAction decide_disk_unsure(const PlanInput *input, const PlanItem *item) {
        if (item->base->flags & ENTRY_LINKED && item->in_mirror == PAIR_SAME)
                return PLAN_STAGE;
        return is_unfinished(input, item->mirror) ? PLAN_IGNORE : PLAN_ADOPT;
}

/* The three-way table of docs/architecture.md. */
static PlanAction decide(const PlanInput *input, PlanItem *item) {
        const Entry *b = item->base;

        if (!b || b->flags & ENTRY_RECORD)
                return decide_without_base(input, item);
        if (!item->mirror)
                return decide_absent(input, item);
        if (!item->source)
                return decide_gone(input, item);
        if (pair_is_known(item->on_disk))
                return decide_disk_same(input, item);
        if (item->on_disk == PAIR_UNSURE)
                return decide_disk_unsure(input, item);
        return pair_is_known(item->in_mirror) ? PLAN_STAGE : decide_between(input, item);
}

/* Something that was different, or absent, at the last scan has not held still yet. */
static bool is_restless(const PlanInput *input, const PlanItem *item, const char *path) {
        const Entry *before;

        if (!input->previous)
                return false;
        before = manifest_find(input->previous, path);
        if (!before || !item->source)
                return before || item->source;
        if (!pair_is_alike(before, item->source) || before->ino != item->source->ino)
                return true;
        return manifest_entry_is_data(before) &&
               (before->mtime_nsec != item->source->mtime_nsec || before->ctime_nsec != item->source->ctime_nsec ||
                item->source->flags & ENTRY_RACY);
}

/* When it was linked, the file on the disk was so new that another change might not have shown. */
static bool is_certain_by_now(const PlanItem *item) {
        return item->base->flags & ENTRY_RACY && !(item->source->flags & ENTRY_RACY);
}

/* An entry that is not selected for RAM becomes a link to the disk; one that nothing references, only if it is a link
 * already. */
static PlanAction decide_unwanted(const PlanInput *input, const PlanItem *item, PlanAction action) {
        bool linked = item->base && item->base->flags & ENTRY_LINKED, orphan = item->source->flags & ENTRY_ORPHAN;

        if (action == PLAN_STAGE && plan_is_disk_link(item->mirror, input->source_path))
                return linked && !(item->base->flags & ENTRY_RECORD) && !is_certain_by_now(item) ? PLAN_KEEP
                                                                                                 : PLAN_LINK;
        if (action == PLAN_STAGE)
                return orphan ? PLAN_IGNORE : PLAN_LINK;
        return action == PLAN_KEEP && !orphan ? PLAN_LINK : action;
}

/* The mirror has only what the disk has too: as both sides agreed, or our own link. */
static bool is_only_a_copy(const PlanInput *input, const PlanItem *item) {
        if (plan_is_disk_link(item->mirror, input->source_path))
                return true;
        return item->base && !(item->base->flags & ENTRY_RECORD) && pair_is_known(item->in_mirror);
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

static PlanAction decide_for(const PlanInput *input, PlanItem *item) {
        const char *path = plan_item_path(item);
        PlanAction action;
        bool reads_source;

        item->on_disk = find_on_disk(input, item);
        item->in_mirror = find_in_mirror(input, item);
        action = decide(input, item);

        if (item->source && input->overrides && overrides_is_marked_deleted(input->overrides, item->source))
                return decide_marked(input, item, action);
        if (item->source && input->absent && pathset_has(input->absent, path))
                return decide_released(input, item, action);
        if (item->source && item->source->flags & (ENTRY_DISK_ONLY | ENTRY_ORPHAN))
                action = decide_unwanted(input, item, action);
        reads_source = action == PLAN_STAGE || action == PLAN_REMOVE || action == PLAN_SETATTR ||
                       (action == PLAN_ADOPT && item->on_disk == PAIR_UNSURE);

        if ((!item->source && manifest_is_blind(input->source, path)) ||
            (!item->mirror && manifest_is_covered(input->mirror, path)))
                return PLAN_KEEP; /* unknown, not absent */
        if (reads_source && is_restless(input, item, path) && !is_wanted_newly(input, item))
                return PLAN_WAIT;
        return action;
}

PlanAction plan_decide(const PlanInput *input, PlanItem *item) {
        const Entry *base = item->base;
        PlanAction action;
        Entry doubted;

        if (item->doubts != 0) {
                doubted = *base;
                doubted.flags |= item->doubts;
                item->base = &doubted;
        }
        action = decide_for(input, item);
        item->base = base;
        return action;
}
