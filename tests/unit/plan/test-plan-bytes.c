/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The planner in a small world in which files have bytes: every cell of the design's table by its name, and random
 * churn. Planning, comparing, copying and saving go round until nothing is left to do, which must not take long, and
 * whatever happens on either side, no step may lose what is the last of its kind.
 *
 * A world has a few paths, its spots. An object is an inode with its bytes and times. Bytes are a number, 0 is nothing;
 * odd ones have one size and even ones another, so that size says little. In the mirror an inode number is never given
 * out twice, on the disk the next file may have that of the last one. What the two sides agreed on last, what was
 * superseded by whom, and what was kept aside is known to the world, not to the planner. */

#include "ground.h"
#include "plan/plan.h"

static const char disk_path[] = "/data/models";

typedef struct Object {
        unsigned bytes;
        unsigned ino, mode;
        int64_t mtime, ctime;
} Object;

typedef struct Spot {
        Object disk, mirror;
        Entry base;               /* .path is NULL if there is none */
        bool link;                /* in the mirror stands a link to the disk */
        bool orphan, disk_only;   /* of the source */
        bool absent;              /* it was released from RAM */
        bool part;                /* beside it in the mirror, under a name that says that it is not finished */
        bool seen_to_go;          /* from the mirror */
        unsigned mirror_note;     /* the inode that was reported to be written there, 0 for none */
        bool disk_note;           /* it was reported to be written on the disk */
        unsigned agreed;          /* bytes that both sides really had when they agreed last */
        unsigned published;       /* the inode that was put into the mirror, or agreed there */
        Object yielded;           /* the mirror's version, which was kept aside so that the disk's may take the name */
        unsigned kept[8], n_kept; /* bytes in conflicts/ and in the trash; the oldest go */
} Spot;

enum { SPOTS_MAX = 6 };

typedef struct World {
        Spot spots[SPOTS_MAX];
        unsigned n;
        bool coarse;           /* the disk's clock is */
        bool no_inodes;        /* the disk has no stable inode numbers */
        bool mirror_unwatched, source_unwatched; /* since the last scan, some of the time */
        bool patient;          /* what has changed since the last scan waits */
        Manifest *previous;
        unsigned last_ino, last_bytes;
        int64_t now, tick;     /* of the mirror's clock, and of the disk's */
        unsigned done[PLAN_WAIT + 1]; /* how often each action was carried out */
        unsigned n_read;       /* files that were read to compare them */
} World;

/* --- bytes and digests --- */

static uint64_t size_of(unsigned bytes) {
        return 4096 + bytes % 2;
}

static Digest digest_of(unsigned bytes) {
        Digest digest = {};

        memcpy(digest.bytes, &bytes, sizeof(bytes));
        return digest;
}

static unsigned bytes_of(const Entry *entry) {
        unsigned bytes;

        assert_true(entry->flags & ENTRY_HAS_DIGEST);
        memcpy(&bytes, entry->digest.bytes, sizeof(bytes));
        return bytes;
}

/* Never seen before, with the size of @like. */
static unsigned new_bytes_like(World *world, unsigned like) {
        world->last_bytes += 2;
        return world->last_bytes - world->last_bytes % 2 + like % 2;
}

static bool is_agreed(const Spot *spot) {
        return spot->base.path && !(spot->base.flags & (ENTRY_RECORD | ENTRY_LINKED));
}

/* --- what the scans see --- */

static char paths[SPOTS_MAX][2][16];

static void name_spots(void) {
        for (unsigned i = 0; i < SPOTS_MAX; i++) {
                (void) snprintf(paths[i][0], sizeof(paths[i][0]), "spot%u", i);
                (void) snprintf(paths[i][1], sizeof(paths[i][1]), "spot%u.part", i);
        }
}

static Entry seen(unsigned i, const Object *object) {
        return (Entry){ .path = paths[i][0], .size = size_of(object->bytes), .room = 8192, .mtime_nsec = object->mtime,
                        .ctime_nsec = object->ctime, .ino = object->ino, .mode = (uint16_t) object->mode };
}

static Entry seen_on_disk(const World *world, unsigned i) {
        const Spot *spot = &world->spots[i];
        Entry entry = seen(i, &spot->disk);

        entry.dev = 7;
        entry.flags = (uint16_t) ((spot->orphan ? ENTRY_ORPHAN : spot->disk_only ? ENTRY_DISK_ONLY : 0) |
                                  (world->coarse && spot->disk.ctime == world->tick ? ENTRY_RACY : 0));
        if (world->no_inodes) {
                entry.ino = 0;
                entry.flags |= ENTRY_NO_INODE;
        }
        return entry;
}

static void put(Manifest *list, const Entry *entry) {
        assert_int_equal(manifest_put(list, entry), 0);
}

/* One scan of both sides, and its plan. */
typedef struct Case {
        Manifest *base, *source, *mirror;
        PathSet deleted, absent;
        Plan *plan;
} Case;

static void list_spot(const World *world, unsigned i, Case *c) {
        const Spot *spot = &world->spots[i];
        char target[256];

        if (spot->base.path)
                put(c->base, &spot->base);
        if (spot->disk.bytes) {
                Entry entry = seen_on_disk(world, i);

                put(c->source, &entry);
        }
        if (spot->link) {
                (void) snprintf(target, sizeof(target), "%s/%s", disk_path, paths[i][0]);
                put(c->mirror, &(Entry){ .path = paths[i][0], .type = ENTRY_SYMLINK, .target = target,
                                         .ino = spot->mirror.ino, .mode = 0777 });
        } else if (spot->mirror.bytes) {
                Entry entry = seen(i, &spot->mirror);

                put(c->mirror, &entry);
        }
        if (spot->part)
                put(c->mirror, &(Entry){ .path = paths[i][1], .size = 1, .ino = 1 });
        if (spot->seen_to_go)
                assert_int_equal(pathset_add(&c->deleted, paths[i][0]), 0);
        if (spot->absent)
                assert_int_equal(pathset_add(&c->absent, paths[i][0]), 0);
}

/* What was reported, or was not, leaves its marks in the base. */
static void mark(World *world) {
        for (unsigned i = 0; i < world->n; i++) {
                Spot *spot = &world->spots[i];

                if (is_agreed(spot) && (world->mirror_unwatched || spot->mirror_note == spot->base.ino))
                        spot->base.flags |= ENTRY_UNPROVEN;
                if (world->mirror_unwatched || spot->mirror_note == spot->yielded.ino)
                        spot->yielded = (Object){}; /* what was kept aside may be another version */
                if (spot->base.path && spot->disk_note)
                        spot->base.flags |= ENTRY_DISK_WRITTEN;
                spot->mirror_note = 0;
                spot->disk_note = false;
        }
}

static void case_plan(World *world, Case *c) {
        static char *nothing[] = { NULL };
        PlanInput input = { .source_path = disk_path, .priority = nothing, .armed = true, .previous = world->previous,
                            .mirror_watched = !world->mirror_unwatched, .source_watched = !world->source_unwatched };

        *c = (Case){};
        assert_int_equal(manifest_new(&c->base) | manifest_new(&c->source) | manifest_new(&c->mirror), 0);
        for (unsigned i = 0; i < world->n; i++)
                list_spot(world, i, c);
        manifest_sort(c->base);
        manifest_sort(c->source);
        manifest_sort(c->mirror);
        pathset_sort(&c->deleted);
        pathset_sort(&c->absent);
        input.base = c->base;
        input.source = c->source;
        input.mirror = c->mirror;
        input.deleted = &c->deleted;
        input.absent = &c->absent;
        assert_int_equal(plan_new(&input, &c->plan), 0);
}

static void case_done(World *world, Case *c) {
        plan_free(c->plan);
        manifest_free(c->base);
        manifest_free(c->mirror);
        manifest_free(world->previous);
        world->previous = world->patient ? c->source : manifest_free(c->source);
        pathset_done(&c->deleted);
        pathset_done(&c->absent);
}

/* --- what tasks and saves do --- */

static void keep(Spot *spot, unsigned bytes) {
        spot->kept[spot->n_kept++ % ELEMENTSOF(spot->kept)] = bytes;
}

static bool is_kept(const Spot *spot, unsigned bytes) {
        for (size_t i = 0; i < ELEMENTSOF(spot->kept); i++)
                if (spot->kept[i] == bytes)
                        return true;
        return false;
}

/* Both sides have the same bytes now. */
static void agree(World *world, Spot *spot, uint16_t disk_flags) {
        unsigned i = (unsigned) (spot - world->spots);
        Entry disk = seen_on_disk(world, i), base = seen(i, &spot->mirror);

        assert_int_equal(spot->mirror.bytes, spot->disk.bytes);
        base.flags = ENTRY_HAS_DIGEST;
        base.digest = digest_of(spot->mirror.bytes);
        manifest_entry_set_disk(&base, &disk);
        base.flags |= disk_flags;
        spot->base = base;
        spot->agreed = spot->mirror.bytes;
        spot->published = spot->mirror.ino;
        spot->yielded = (Object){};
}

/* What is known without reading: what the plan vouches for must be so. */
static bool is_on_record(const PlanItem *item) {
        return item->base && item->base->flags & ENTRY_HAS_DIGEST && pair_is_known(item->on_disk);
}

static unsigned read_disk(World *world, const Spot *spot, const PlanItem *item) {
        if (!is_on_record(item)) {
                world->n_read++;
                return spot->disk.bytes;
        }
        if (!(item->source->flags & ENTRY_RACY)) /* which is settled when its times prove something */
                assert_int_equal(spot->disk.bytes, bytes_of(item->base));
        return bytes_of(item->base);
}

static unsigned read_mirror(World *world, const Spot *spot, const PlanItem *item) {
        if (is_agreed(spot) && pair_is_known(item->in_mirror) && !(item->base->flags & ENTRY_UNPROVEN)) {
                assert_int_equal(spot->mirror.bytes, bytes_of(item->base));
                return bytes_of(item->base);
        }
        world->n_read++;
        return spot->mirror.bytes;
}

static void name_objects(Spot *spot, const PlanItem *item) {
        spot->base.mtime_nsec = item->mirror->mtime_nsec;
        spot->base.ctime_nsec = item->mirror->ctime_nsec;
        spot->base.ino = item->mirror->ino;
}

/* Before what is in the mirror goes: it is read if it is in doubt. False: a client has altered it, which is noted. */
static bool may_replace(World *world, Spot *spot, const PlanItem *item) {
        if (!spot->mirror.bytes)
                return true;
        assert_true(is_agreed(spot) && pair_is_known(item->in_mirror));
        assert_int_equal(spot->mirror.ino, spot->published); /* no client's own copy ever goes */
        if (!(spot->base.flags & ENTRY_UNPROVEN) || (world->n_read++, spot->mirror.bytes == bytes_of(&spot->base))) {
                assert_int_equal(spot->mirror.bytes, spot->agreed);
                return true;
        }
        name_objects(spot, item);
        spot->base.flags = (uint16_t) ((spot->base.flags & ~ENTRY_UNPROVEN) | ENTRY_MIRROR_DIFFERS);
        return false;
}

static void take_away(Spot *spot) {
        spot->mirror = (Object){};
        spot->link = false;
        spot->base.flags |= ENTRY_RECORD;
}

static void stage(World *world, Spot *spot, const PlanItem *item) {
        if (is_on_record(item) && !(item->source->flags & ENTRY_RACY)) /* else it would be called corrupt */
                assert_int_equal(spot->disk.bytes, bytes_of(item->base));
        spot->mirror = spot->disk;
        spot->mirror.ino = ++world->last_ino;
        spot->mirror.ctime = ++world->now;
        spot->link = false;
        agree(world, spot, 0);
}

static void compare(World *world, Spot *spot, const PlanItem *item) {
        unsigned disk = read_disk(world, spot, item), mirror = read_mirror(world, spot, item);
        bool published = is_agreed(spot);
        bool disk_same = published && disk == bytes_of(&spot->base);
        bool mirror_same = published && mirror == bytes_of(&spot->base) && spot->mirror.ino == spot->base.ino;
        uint16_t racy = item->source->flags & ENTRY_RACY;
        Entry base = spot->base;

        if (disk == mirror) {
                bool ours = published && base.ino == spot->mirror.ino;

                if (disk != spot->disk.bytes || mirror != spot->mirror.bytes) { /* seen too soon: not settled */
                        assert_true(racy);
                        return;
                }
                if (ours && !(spot->mirror.mode != base.mode && spot->disk.mode == base.mode)) {
                        spot->mirror.mode = spot->disk.mode;
                        spot->mirror.mtime = spot->disk.mtime;
                        spot->mirror.ctime = ++world->now;
                }
                agree(world, spot, 0);
                if (ours)
                        spot->base.mode = (uint16_t) spot->disk.mode;
                return;
        }
        if (!disk_same && !mirror_same) {
                spot->base = *item->source;
                spot->base.path = paths[spot - world->spots][0];
                name_objects(spot, item);
                spot->base.digest = digest_of(disk);
                spot->base.flags = ENTRY_RECORD | ENTRY_SIDES_DIFFER | ENTRY_HAS_DIGEST;
        } else {
                name_objects(spot, item);
                spot->base.flags &= (uint16_t) ~(ENTRY_FINDINGS);
                spot->base.flags |= (uint16_t) ((mirror_same ? 0 : ENTRY_MIRROR_DIFFERS) |
                                                (disk_same ? 0 : ENTRY_DISK_DIFFERS));
        }
        manifest_entry_set_disk(&spot->base, item->source);
}

/* The mirror's version goes to the disk. What it replaces there is kept if @aside. */
static void place_on_disk(World *world, Spot *spot, bool aside) {
        if (spot->disk.bytes && aside)
                keep(spot, spot->disk.bytes);
        else if (spot->disk.bytes)
                assert_int_equal(spot->disk.bytes, spot->agreed); /* nothing unseen is overwritten */
        spot->disk = (Object){ .bytes = spot->mirror.bytes, .ino = ++world->last_ino, .mode = spot->mirror.mode,
                               .mtime = spot->mirror.mtime, .ctime = world->tick };
        agree(world, spot, world->coarse ? ENTRY_RACY : 0);
}

static bool is_known_on_disk(const Spot *spot, const PlanItem *item) {
        return spot->base.path && !(spot->base.flags & ENTRY_RECORD) && spot->base.flags & ENTRY_HAS_DIGEST &&
               pair_is_known(item->on_disk);
}

/* A save compares bytes of one size first, and in doubt what is on the disk. */
static void save(World *world, Spot *spot, const PlanItem *item) {
        bool conflict = item->action == PLAN_CONFLICT, racy = item->source && item->source->flags & ENTRY_RACY;
        bool ours = is_agreed(spot) && spot->base.ino == spot->mirror.ino;
        bool same = spot->disk.bytes == spot->mirror.bytes;
        bool agreed = spot->base.path && !(spot->base.flags & ENTRY_RECORD);

        if (!spot->disk.bytes) {
                place_on_disk(world, spot, false);
                return;
        }
        if (!conflict && !racy) {
                assert_true(agreed && pair_is_known(item->on_disk));
                if (same && (is_known_on_disk(spot, item) || spot->base.flags & ENTRY_LINKED)) {
                        if (ours) {
                                spot->disk.mode = spot->mirror.mode;
                                spot->disk.mtime = spot->mirror.mtime;
                                spot->disk.ctime = world->tick;
                        } /* else it is a client's own copy, whose attributes are not carried over */
                        agree(world, spot, 0);
                } else
                        place_on_disk(world, spot, false);
                return;
        }
        world->n_read++;
        if (same)
                agree(world, spot, 0);
        else if (agreed && spot->base.flags & ENTRY_HAS_DIGEST && spot->disk.bytes == bytes_of(&spot->base))
                place_on_disk(world, spot, false);
        else if (conflict && spot->mirror.mtime <= spot->disk.mtime) {
                keep(spot, spot->mirror.bytes);
                spot->yielded = spot->mirror;
        } else
                place_on_disk(world, spot, true);
}

static bool has_yielded(const Spot *spot) {
        return spot->yielded.bytes && !spot->link && spot->yielded.ino == spot->mirror.ino &&
               spot->yielded.mtime == spot->mirror.mtime && spot->yielded.ctime == spot->mirror.ctime;
}

static void put_link(World *world, Spot *spot, const PlanItem *item) {
        unsigned i = (unsigned) (spot - world->spots);
        Entry disk = seen_on_disk(world, i), base = disk;

        base.flags = ENTRY_LINKED;
        if (is_on_record(item)) {
                base.flags |= ENTRY_HAS_DIGEST;
                base.digest = item->base->digest;
        }
        spot->mirror = (Object){ .ino = ++world->last_ino };
        spot->link = true;
        base.path = paths[i][0];
        base.ino = spot->mirror.ino;
        manifest_entry_set_disk(&base, &disk);
        spot->base = base;
        spot->agreed = spot->disk.bytes;
}

static void set_attributes(World *world, Spot *spot, const PlanItem *item) {
        assert_true(is_agreed(spot) && spot->mirror.ino == spot->published);
        assert_int_not_equal(item->base->mode, spot->disk.mode); /* not what a client did */
        spot->mirror.mode = spot->disk.mode;
        spot->mirror.mtime = spot->disk.mtime;
        spot->mirror.ctime = ++world->now;
        spot->base.mode = (uint16_t) spot->disk.mode;
        spot->base.mtime_nsec = spot->mirror.mtime;
        spot->base.ctime_nsec = spot->mirror.ctime;
        manifest_entry_set_disk(&spot->base, item->source);
}

static void save_attributes(World *world, Spot *spot, const PlanItem *item) {
        assert_true(is_agreed(spot) && spot->mirror.ino == spot->published); /* never onto another inode */
        assert_int_equal(item->base->mode, spot->disk.mode);                 /* not what was done on the disk */
        world->n_read++;
        if (spot->mirror.bytes != bytes_of(&spot->base)) { /* more than its attributes: then it is saved */
                PlanItem suspect = *item;

                suspect.action = PLAN_SAVE;
                save(world, spot, &suspect);
                return;
        }
        if (spot->disk.bytes != spot->mirror.bytes) { /* seen too soon: the next plan compares */
                assert_true(item->source->flags & ENTRY_RACY);
                return;
        }
        spot->disk.mode = spot->mirror.mode;
        spot->disk.mtime = spot->mirror.mtime;
        spot->disk.ctime = world->tick;
        agree(world, spot, world->coarse ? ENTRY_RACY : 0);
}

static void delete_on_disk(Spot *spot, const PlanItem *item) {
        assert_true(spot->seen_to_go && !spot->mirror.bytes && !spot->link && !spot->absent);
        if ((item->source->flags | item->base->flags) & ENTRY_RACY)
                keep(spot, spot->disk.bytes); /* the trash has it, however deletions are to be carried out */
        else
                assert_int_equal(spot->disk.bytes, spot->agreed); /* it was in the mirror, as it is on disk */
        spot->disk = (Object){};
        spot->base.flags |= ENTRY_RECORD | ENTRY_DELETED;
}

static void assert_agreement(const Spot *spot, const PlanItem *item) {
        assert_false(spot->absent);
        if (spot->link) {
                assert_true(spot->base.flags & ENTRY_LINKED && (spot->disk_only || spot->orphan));
                return;
        }
        assert_int_equal(spot->mirror.mode, spot->disk.mode);
        assert_int_equal(spot->mirror.ino, spot->published);
        if (item->source->flags & ENTRY_RACY || item->base->flags & ENTRY_UNPROVEN)
                return; /* it is seen, or read, again */
        assert_int_equal(spot->mirror.bytes, spot->disk.bytes);
        assert_int_equal(spot->mirror.bytes, spot->agreed);
}

/* What the daemon would do for one item, and what it must never do. */
static void carry_out(World *world, const PlanItem *item) {
        Spot *spot = &world->spots[plan_item_path(item)[4] - '0'];
        PlanAction action = item->action;

        if (plan_item_path(item)[5]) {
                assert_int_equal(action, PLAN_IGNORE); /* it is not finished */
                return;
        }
        if ((action == PLAN_CONFLICT || action == PLAN_ADOPT) && has_yielded(spot)) {
                assert_true(is_kept(spot, spot->mirror.bytes));
                spot->mirror = (Object){};
                world->done[PLAN_STAGE]++;
                stage(world, spot, item);
                return;
        }
        world->done[action]++;
        switch (action) {
        case PLAN_STAGE:
                assert_true(!spot->orphan && !spot->disk_only && !spot->absent);
                if (may_replace(world, spot, item))
                        stage(world, spot, item);
                break;
        case PLAN_LINK:
                assert_true(spot->disk_only || (spot->orphan && spot->link));
                if (may_replace(world, spot, item))
                        put_link(world, spot, item);
                break;
        case PLAN_REMOVE:
        case PLAN_RELEASE:
                assert_true(action == PLAN_RELEASE ? spot->absent && spot->disk.bytes : !spot->disk.bytes);
                if (may_replace(world, spot, item))
                        take_away(spot);
                break;
        case PLAN_ADOPT:
                compare(world, spot, item);
                break;
        case PLAN_FORGET:
                assert_true(!spot->mirror.bytes && !spot->link && (!spot->disk.bytes || spot->absent));
                spot->base.flags |= ENTRY_RECORD;
                if (!spot->disk.bytes)
                        spot->base = (Entry){};
                break;
        case PLAN_KEEP:
                assert_agreement(spot, item);
                break;
        case PLAN_SETATTR:
                set_attributes(world, spot, item);
                break;
        case PLAN_SAVEATTR:
                save_attributes(world, spot, item);
                break;
        case PLAN_SAVE:
        case PLAN_CONFLICT:
                if (spot->link) { /* of something that is gone: it is refused, and its maker removes it */
                        assert_int_equal(spot->disk.bytes, 0);
                        spot->mirror = (Object){};
                        spot->link = false;
                } else
                        save(world, spot, item);
                break;
        case PLAN_DELETE:
                delete_on_disk(spot, item);
                break;
        case PLAN_IGNORE: /* the mirror does not have it, or in another version that nothing needs */
                assert_true(spot->orphan || (spot->absent && !spot->mirror.bytes && !spot->link));
                break;
        case PLAN_WAIT:
                assert_true(world->patient);
                break;
        case PLAN_SKIP:
        case PLAN_WITHHOLD:
                fail_msg("nothing of this world calls for '%s'", plan_action_name(action));
        }
}

static bool is_unproven(const Spot *spot) {
        return is_agreed(spot) && spot->base.flags & ENTRY_UNPROVEN && spot->mirror.bytes &&
               spot->mirror.ino == spot->base.ino && spot->mirror.mtime == spot->base.mtime_nsec;
}

/* Reads in the background what nothing vouches for. */
static void prove(World *world) {
        for (unsigned i = 0; i < world->n; i++) {
                Spot *spot = &world->spots[i];

                if (!is_unproven(spot))
                        continue;
                world->n_read++;
                spot->base.ctime_nsec = spot->mirror.ctime;
                spot->base.flags &= (uint16_t) ~(ENTRY_UNPROVEN | ENTRY_MIRROR_DIFFERS);
                if (spot->mirror.bytes != bytes_of(&spot->base))
                        spot->base.flags |= ENTRY_MIRROR_DIFFERS;
        }
}

/* What one spot still has, anywhere. */
static bool still_has(const Spot *spot, unsigned bytes) {
        return spot->disk.bytes == bytes || (!spot->link && spot->mirror.bytes == bytes) || is_kept(spot, bytes);
}

/* Of what was there before a step, only that may be gone which both had agreed on, and which somebody has replaced or
 * removed on one of the two sides since. */
static void assert_no_loss(const Spot *before, const Spot *after) {
        const unsigned versions[] = { before->disk.bytes, before->link ? 0 : before->mirror.bytes };

        for (size_t i = 0; i < ELEMENTSOF(versions); i++)
                if (versions[i] != 0 && !still_has(after, versions[i])) {
                        assert_int_equal(versions[i], before->agreed);
                        assert_int_not_equal(before->disk.bytes, before->link ? 0 : before->mirror.bytes);
                }
}

/* One scan, and as much of its plan as is carried out before a crash. */
static void go_on(World *world, unsigned crash) {
        Case c;

        mark(world);
        case_plan(world, &c);
        for (unsigned i = 0; i < c.plan->n_items && i < crash; i++) {
                const PlanItem *item = &c.plan->items[i];
                Spot *spot = &world->spots[plan_item_path(item)[4] - '0'], before = *spot;

                carry_out(world, item);
                assert_no_loss(&before, spot);
        }
        for (unsigned i = 0; i < world->n; i++)
                world->spots[i].seen_to_go = false;
        world->mirror_unwatched = world->source_unwatched = false;
        case_done(world, &c);
}

static bool is_at_rest(PlanAction action) {
        return action == PLAN_KEEP || action == PLAN_FORGET || action == PLAN_IGNORE;
}

/* Goes on until there is nothing left to do, and returns how many plans that took. */
static unsigned settle(World *world) {
        enum { PLANS_MAX = 8 };

        for (unsigned n = 0;; n++) {
                bool restless = false;
                Case c;

                world->tick++;
                mark(world);
                case_plan(world, &c);
                for (size_t i = 0; i < c.plan->n_items; i++) {
                        restless = restless || !is_at_rest(c.plan->items[i].action);
                        if (n >= PLANS_MAX && !is_at_rest(c.plan->items[i].action))
                                fail_msg("%s is not settled: %s", plan_item_path(&c.plan->items[i]),
                                         plan_action_name(c.plan->items[i].action));
                }
                for (unsigned i = 0; i < world->n; i++)
                        restless = restless || is_unproven(&world->spots[i]);
                assert_in_range(n, 0, PLANS_MAX);
                case_done(world, &c);
                if (!restless)
                        return n;
                go_on(world, UINT32_MAX);
                prove(world);
        }
}

/* --- what others do --- */

static void client_puts(World *world, Spot *spot, unsigned bytes, int64_t mtime) {
        spot->mirror = (Object){ .bytes = bytes, .ino = ++world->last_ino, .mode = 0644, .mtime = mtime,
                                 .ctime = ++world->now };
        spot->link = false;
}

/* In place: as it were, with the time put back, or through a mapping, which leaves no trace at all. */
typedef enum Write { WRITE_PLAINLY, WRITE_AND_RESET_TIME, WRITE_THROUGH_MAPPING } Write;

static void client_writes(World *world, Spot *spot, Write how) {
        spot->mirror.bytes = new_bytes_like(world, spot->mirror.bytes);
        if (how != WRITE_THROUGH_MAPPING)
                spot->mirror.ctime = ++world->now;
        if (how == WRITE_PLAINLY)
                spot->mirror.mtime = spot->mirror.ctime;
        spot->mirror_note = spot->mirror.ino;
}

static void client_removes(Spot *spot, bool seen_to_go) {
        spot->seen_to_go = seen_to_go && (spot->mirror.bytes || spot->link);
        spot->mirror = (Object){};
        spot->link = false;
}

/* A new file by rename. The inode number of the last one may come back. */
static void disk_gets(World *world, Spot *spot, unsigned bytes, int64_t mtime, bool same_ino) {
        unsigned ino = same_ino && spot->disk.ino ? spot->disk.ino : ++world->last_ino;

        spot->disk_note = spot->disk_note || ino == spot->disk.ino; /* that it was written was reported by some name */
        spot->disk = (Object){ .bytes = bytes, .ino = ino, .mode = 0644, .mtime = mtime, .ctime = world->tick };
}

static void disk_is_written(World *world, Spot *spot, Write how) {
        spot->disk.bytes = new_bytes_like(world, spot->disk.bytes);
        if (how != WRITE_THROUGH_MAPPING) /* else the page was dirty already */
                spot->disk.ctime = world->tick;
        if (how == WRITE_PLAINLY)
                spot->disk.mtime = world->tick;
        spot->disk_note = true;
}

/* --- the table --- */

/* Both sides have agreed on one file. */
static World agreed_world(void) {
        World world = { .n = 1, .tick = 100, .now = 1000, .last_ino = 10, .last_bytes = 20 };

        disk_gets(&world, &world.spots[0], 2, 50, false);
        assert_int_equal(settle(&world), 1);
        memset(world.done, 0, sizeof(world.done));
        world.n_read = 0;
        world.tick += 100;
        return world;
}

/* Goes on to the end, which takes these actions (each once). */
static void assert_takes(World *world, const PlanAction *actions, size_t n) {
        unsigned expected[PLAN_WAIT + 1] = {};

        (void) settle(world);
        for (size_t i = 0; i < n; i++)
                expected[actions[i]]++;
        for (PlanAction action = PLAN_KEEP; action <= PLAN_WAIT; action++)
                if (!is_at_rest(action) && world->done[action] != expected[action])
                        fail_msg("'%s' happened %u times instead of %u", plan_action_name(action), world->done[action],
                                 expected[action]);
}

#define ASSERT_TAKES(world, ...)                                                                                     \
        assert_takes(world, (const PlanAction[]){ __VA_ARGS__ }, ELEMENTSOF(((const PlanAction[]){ __VA_ARGS__ })))

static void assert_both(const World *world, unsigned bytes) {
        assert_int_equal(world->spots[0].disk.bytes, bytes);
        assert_int_equal(world->spots[0].mirror.bytes, bytes);
}

static void assert_neither(const World *world) {
        assert_both(world, 0);
}

static void no_base__only_the_disk_has_it__stage(void **state) {
        World w = { .n = 1, .tick = 100 };

        (void) state;
        disk_gets(&w, &w.spots[0], 2, 50, false);
        ASSERT_TAKES(&w, PLAN_STAGE);
        assert_both(&w, 2);
}

static void no_base__only_the_mirror_has_it__save(void **state) {
        World w = { .n = 1, .tick = 100 };

        (void) state;
        client_puts(&w, &w.spots[0], 2, 50);
        ASSERT_TAKES(&w, PLAN_SAVE);
        assert_both(&w, 2);
}

static void no_base__equal_bytes__record(void **state) {
        World w = { .n = 1, .tick = 100 };
        unsigned ino;

        (void) state;
        disk_gets(&w, &w.spots[0], 2, 50, false);
        client_puts(&w, &w.spots[0], 2, 70);
        ino = w.spots[0].disk.ino;
        ASSERT_TAKES(&w, PLAN_ADOPT);
        assert_both(&w, 2);
        assert_int_equal(w.spots[0].disk.ino, ino);
        assert_int_equal(w.spots[0].n_kept, 0);
}

/* Whichever is newer. */
static void no_base__other_bytes__conflict(void **state) {
        (void) state;
        for (int64_t mtime = 40; mtime <= 60; mtime += 20) {
                World w = { .n = 1, .tick = 100 };

                disk_gets(&w, &w.spots[0], 2, 50, false);
                client_puts(&w, &w.spots[0], 4, mtime); /* of the same size */
                if (mtime < 50)
                        ASSERT_TAKES(&w, PLAN_ADOPT, PLAN_CONFLICT, PLAN_STAGE);
                else
                        ASSERT_TAKES(&w, PLAN_ADOPT, PLAN_CONFLICT);
                assert_both(&w, mtime < 50 ? 2 : 4);
                assert_true(is_kept(&w.spots[0], mtime < 50 ? 4 : 2));
        }
}

static void no_base__another_size__conflict(void **state) {
        World w = { .n = 1, .tick = 100 };

        (void) state;
        disk_gets(&w, &w.spots[0], 2, 50, false);
        client_puts(&w, &w.spots[0], 5, 60);
        ASSERT_TAKES(&w, PLAN_CONFLICT);
        assert_int_equal(w.n_read, 1);
        assert_both(&w, 5);
        assert_true(is_kept(&w.spots[0], 2));
}

static void A_A_A__nothing(void **state) {
        World w = agreed_world();

        (void) state;
        assert_int_equal(settle(&w), 0);
}

static void A_B_C__conflict(void **state) {
        (void) state;
        for (unsigned size = 0; size < 2; size++) {
                World w = agreed_world();

                disk_gets(&w, &w.spots[0], 12 + size, 60, false);
                client_puts(&w, &w.spots[0], 14, 70);
                (void) settle(&w);
                assert_int_equal(w.done[PLAN_CONFLICT], 1);
                assert_both(&w, 14);
                assert_true(is_kept(&w.spots[0], 12 + size));
        }
}

static void A_B_B__record(void **state) {
        World w = agreed_world();

        (void) state;
        disk_gets(&w, &w.spots[0], 13, 60, false);
        client_puts(&w, &w.spots[0], 13, 70);
        ASSERT_TAKES(&w, PLAN_ADOPT);
        assert_both(&w, 13);
}

static void A_B_A__stage(void **state) {
        (void) state;
        for (unsigned size = 0; size < 2; size++) {
                World w = agreed_world();

                disk_gets(&w, &w.spots[0], 12 + size, 50, size); /* with the old time, once with the old number */
                if (size == 0)
                        ASSERT_TAKES(&w, PLAN_ADOPT, PLAN_STAGE);
                else
                        ASSERT_TAKES(&w, PLAN_STAGE);
                assert_both(&w, 12 + size);
        }
}

static void A_B_own_copy_of_A__conflict(void **state) {
        World w = agreed_world();

        (void) state;
        disk_gets(&w, &w.spots[0], 13, 60, false);
        client_puts(&w, &w.spots[0], 2, 50);
        ASSERT_TAKES(&w, PLAN_CONFLICT, PLAN_STAGE);
        assert_both(&w, 13);
        assert_true(is_kept(&w.spots[0], 2));
}

static void A_A_B__save(void **state) {
        World w = agreed_world();

        (void) state;
        client_puts(&w, &w.spots[0], 13, 70);
        ASSERT_TAKES(&w, PLAN_SAVE);
        assert_both(&w, 13);
}

static void A_A_B_of_the_same_size_and_time__save(void **state) {
        World w = agreed_world();

        (void) state;
        client_puts(&w, &w.spots[0], 12, 50);
        ASSERT_TAKES(&w, PLAN_ADOPT, PLAN_SAVE);
        assert_both(&w, 12);
}

static void A_A_own_copy_of_A__record(void **state) {
        (void) state;
        for (int64_t mtime = 50; mtime <= 70; mtime += 20) {
                World w = agreed_world();
                Object disk = w.spots[0].disk;

                client_puts(&w, &w.spots[0], 2, mtime);
                w.spots[0].mirror.mode = 0666;
                ASSERT_TAKES(&w, mtime == 50 ? PLAN_ADOPT : PLAN_SAVE, PLAN_SETATTR);
                assert_both(&w, 2);
                assert_memory_equal(&disk, &w.spots[0].disk, sizeof(disk)); /* nor has it its attributes */
        }
}

static void A_gone_A__remove(void **state) {
        World w = agreed_world();

        (void) state;
        w.spots[0].disk = (Object){};
        ASSERT_TAKES(&w, PLAN_REMOVE);
        assert_neither(&w);
        assert_int_equal(w.n_read, 0);
}

static void A_gone_own_copy_of_A__save(void **state) {
        (void) state;
        for (int64_t mtime = 50; mtime <= 70; mtime += 20) {
                World w = agreed_world();

                w.spots[0].disk = (Object){};
                client_puts(&w, &w.spots[0], 2, mtime);
                ASSERT_TAKES(&w, PLAN_SAVE);
                assert_both(&w, 2);
        }
}

static void A_gone_B__save(void **state) {
        World w = agreed_world();

        (void) state;
        w.spots[0].disk = (Object){};
        client_writes(&w, &w.spots[0], WRITE_PLAINLY);
        ASSERT_TAKES(&w, PLAN_SAVE);
        assert_both(&w, w.spots[0].mirror.bytes);
}

static void A_another_object_with_the_bytes_of_A_A__record(void **state) {
        World w = agreed_world();

        (void) state;
        disk_gets(&w, &w.spots[0], 2, 60, false);
        ASSERT_TAKES(&w, PLAN_ADOPT);
        assert_int_equal(w.done[PLAN_STAGE], 0); /* nothing is copied */
        assert_int_equal(w.n_read, 1);           /* and only the disk's is read */
        assert_both(&w, 2);
}

static void A_another_object_with_the_bytes_of_A_B__save(void **state) {
        World w = agreed_world();

        (void) state;
        disk_gets(&w, &w.spots[0], 2, 60, false);
        client_puts(&w, &w.spots[0], 13, 70);
        ASSERT_TAKES(&w, PLAN_ADOPT, PLAN_SAVE);
        assert_both(&w, 13);
        assert_int_equal(w.spots[0].n_kept, 0);
}

static void A_A_gone_and_seen_to_go__delete(void **state) {
        World w = agreed_world();

        (void) state;
        client_removes(&w.spots[0], true);
        go_on(&w, UINT32_MAX);
        assert_int_equal(w.done[PLAN_DELETE], 1);
        assert_neither(&w);
}

static void A_A_gone_and_not_seen_to_go__stage(void **state) {
        World w = agreed_world();

        (void) state;
        client_removes(&w.spots[0], false);
        ASSERT_TAKES(&w, PLAN_STAGE);
        assert_both(&w, 2);
}

static void A_another_object_gone_and_seen_to_go__stage(void **state) {
        (void) state;
        for (unsigned bytes = 2; bytes <= 12; bytes += 10) {
                World w = agreed_world();

                disk_gets(&w, &w.spots[0], bytes, 50, false);
                client_removes(&w.spots[0], true);
                ASSERT_TAKES(&w, PLAN_STAGE);
                assert_both(&w, bytes);
        }
}

static void A_gone_gone__forget(void **state) {
        World w = agreed_world();

        (void) state;
        w.spots[0].disk = (Object){};
        client_removes(&w.spots[0], true);
        go_on(&w, UINT32_MAX);
        assert_int_equal(w.done[PLAN_FORGET], 1);
        assert_null(w.spots[0].base.path);
}

static void touched_and_watched__recorded_without_reading(void **state) {
        World w = agreed_world();

        (void) state;
        w.spots[0].mirror.ctime++;
        w.spots[0].disk.ctime = w.tick;
        ASSERT_TAKES(&w, PLAN_ADOPT);
        assert_int_equal(w.n_read, 0);
}

static void touched_and_unwatched__read(void **state) {
        World w = agreed_world();

        (void) state;
        w.spots[0].disk.ctime = w.tick;
        w.source_unwatched = true;
        go_on(&w, UINT32_MAX);
        assert_int_equal(w.n_read, 1);
        ASSERT_TAKES(&w, PLAN_ADOPT);
        w = agreed_world();
        w.spots[0].mirror.ctime++;
        w.mirror_unwatched = true;
        assert_int_equal(settle(&w), 1);
        assert_int_equal(w.n_read, 1);
}

static void touched_and_gone_from_the_disk__removed(void **state) {
        World w = agreed_world();

        (void) state;
        w.spots[0].mirror.ctime++;
        w.spots[0].disk = (Object){};
        ASSERT_TAKES(&w, PLAN_REMOVE);
        assert_int_equal(w.n_read, 0);
}

static void written_through_a_mapping__saved_although_size_and_times_are_the_same(void **state) {
        World w = agreed_world();
        unsigned bytes;

        (void) state;
        client_writes(&w, &w.spots[0], WRITE_THROUGH_MAPPING);
        bytes = w.spots[0].mirror.bytes;
        ASSERT_TAKES(&w, PLAN_SAVE);
        assert_both(&w, bytes);
}

static void written_through_a_mapping_and_gone_from_the_disk__saved(void **state) {
        World w = agreed_world();
        unsigned bytes;

        (void) state;
        client_writes(&w, &w.spots[0], WRITE_THROUGH_MAPPING);
        w.spots[0].disk = (Object){};
        bytes = w.spots[0].mirror.bytes;
        ASSERT_TAKES(&w, PLAN_REMOVE, PLAN_SAVE); /* the removal reads it, and leaves it */
        assert_both(&w, bytes);
}

static void written_through_a_mapping_and_changed_on_the_disk__conflict(void **state) {
        World w = agreed_world();
        unsigned bytes;

        (void) state;
        client_writes(&w, &w.spots[0], WRITE_THROUGH_MAPPING);
        disk_gets(&w, &w.spots[0], 13, 60, false);
        bytes = w.spots[0].mirror.bytes;
        (void) settle(&w);
        assert_both(&w, 13);
        assert_true(is_kept(&w.spots[0], bytes));
}

static void unproven_and_as_it_was__read_once(void **state) {
        World w = agreed_world();

        (void) state;
        w.mirror_unwatched = true;
        assert_int_equal(settle(&w), 1);
        assert_int_equal(w.n_read, 1);
        assert_int_equal(settle(&w), 0);
}

static void unproven_and_gone_from_the_disk__read_and_removed(void **state) {
        World w = agreed_world();

        (void) state;
        w.mirror_unwatched = true;
        w.spots[0].disk = (Object){};
        ASSERT_TAKES(&w, PLAN_REMOVE);
        assert_neither(&w);
        assert_int_equal(w.n_read, 1);
}

static void unproven_and_replaced_on_the_disk__read_and_staged(void **state) {
        World w = agreed_world();

        (void) state;
        w.mirror_unwatched = true;
        disk_gets(&w, &w.spots[0], 13, 60, false);
        ASSERT_TAKES(&w, PLAN_STAGE);
        assert_both(&w, 13);
}

static void reported_to_be_written_on_the_disk__compared(void **state) {
        World w = agreed_world();

        (void) state;
        w.spots[0].disk_note = true;
        ASSERT_TAKES(&w, PLAN_ADOPT);
        assert_int_equal(w.n_read, 1);
        memset(w.done, 0, sizeof(w.done));
        disk_is_written(&w, &w.spots[0], WRITE_THROUGH_MAPPING);
        ASSERT_TAKES(&w, PLAN_ADOPT, PLAN_STAGE);
        assert_both(&w, w.spots[0].disk.bytes);
}

/* Whichever comes of it: staged, saved over, deleted. */
static void racy_on_the_disk__what_was_written_in_the_same_moment_is_not_lost(void **state) {
        (void) state;
        for (unsigned what = 0; what < 3; what++) {
                World w = agreed_world();
                unsigned bytes;

                w.coarse = true;
                disk_gets(&w, &w.spots[0], 13, 60, false);
                go_on(&w, UINT32_MAX);
                assert_both(&w, 13);
                disk_is_written(&w, &w.spots[0], WRITE_AND_RESET_TIME); /* nothing shows it */
                w.spots[0].disk_note = false;                           /* nor is it reported */
                bytes = w.spots[0].disk.bytes;
                if (what == 1)
                        client_puts(&w, &w.spots[0], 14, 70);
                if (what == 2)
                        client_removes(&w.spots[0], true);
                go_on(&w, UINT32_MAX);
                (void) settle(&w);
                assert_true(still_has(&w.spots[0], bytes));
        }
}

static void racy_on_the_disk__a_deletion_is_not_undone(void **state) {
        World w = agreed_world();

        (void) state;
        w.coarse = true;
        client_puts(&w, &w.spots[0], 13, 60);
        go_on(&w, UINT32_MAX);
        assert_both(&w, 13);
        w.tick++;
        client_removes(&w.spots[0], true);
        go_on(&w, UINT32_MAX);
        assert_neither(&w);
        assert_true(is_kept(&w.spots[0], 13));
}

static void racy_on_the_disk__compared_once_it_is_not(void **state) {
        World w = agreed_world();

        (void) state;
        w.coarse = true;
        disk_gets(&w, &w.spots[0], 13, 60, false);
        go_on(&w, UINT32_MAX);
        w.n_read = 0;
        go_on(&w, UINT32_MAX);
        assert_int_equal(w.n_read, 0); /* there is nothing to be learnt yet */
        ASSERT_TAKES(&w, PLAN_STAGE, PLAN_ADOPT);
        assert_int_equal(w.n_read, 1);
}

static void no_stable_inodes__deletions_work(void **state) {
        World w = { .n = 1, .tick = 100, .no_inodes = true };

        (void) state;
        disk_gets(&w, &w.spots[0], 2, 50, false);
        (void) settle(&w);
        client_removes(&w.spots[0], true);
        go_on(&w, UINT32_MAX);
        assert_neither(&w);
}

static void no_stable_inodes__other_times_are_compared(void **state) {
        World w = { .n = 1, .tick = 100, .no_inodes = true };

        (void) state;
        disk_gets(&w, &w.spots[0], 2, 50, false);
        (void) settle(&w);
        disk_gets(&w, &w.spots[0], 2, 50, false);
        memset(w.done, 0, sizeof(w.done));
        ASSERT_TAKES(&w, PLAN_ADOPT);
        disk_gets(&w, &w.spots[0], 12, 50, false);
        memset(w.done, 0, sizeof(w.done));
        ASSERT_TAKES(&w, PLAN_ADOPT, PLAN_STAGE);
        assert_both(&w, 12);
}

static void first_format__the_mirror_is_compared_and_not_copied(void **state) {
        World w = agreed_world();

        (void) state;
        w.spots[0].base.disk = (DiskObject){};
        w.spots[0].base.flags |= ENTRY_RECORD;
        ASSERT_TAKES(&w, PLAN_ADOPT);
        assert_int_equal(w.n_read, 2);
        assert_both(&w, 2);
}

static void a_link_to_the_disk_under_a_file_of_the_same_bytes__record(void **state) {
        (void) state;
        for (unsigned bytes = 2; bytes <= 12; bytes += 10) {
                World w = { .n = 1, .tick = 100 };
                unsigned ino;

                w.spots[0].disk_only = true;
                disk_gets(&w, &w.spots[0], 2, 50, false);
                (void) settle(&w);
                assert_true(w.spots[0].link);
                w.spots[0].disk_only = false;
                ino = w.spots[0].disk.ino;
                memset(w.done, 0, sizeof(w.done));
                client_puts(&w, &w.spots[0], bytes, 70);
                ASSERT_TAKES(&w, PLAN_SAVE);
                assert_both(&w, bytes);
                assert_int_equal(w.spots[0].disk.ino == ino, bytes == 2);
        }
}

/* --- churn --- */

static void client_does(World *world, Spot *spot, uint64_t *seed) {
        unsigned what = random_below(seed, 12);
        int64_t old = spot->mirror.bytes ? spot->mirror.mtime : spot->disk.mtime;
        int64_t mtime = random_below(seed, 3) ? ++world->now : old;

        if (what < 2)
                client_puts(world, spot, new_bytes_like(world, random_below(seed, 2)), mtime);
        else if (what < 4 && spot->mirror.bytes)
                client_writes(world, spot, random_below(seed, 3));
        else if (what < 6 && (spot->mirror.bytes || spot->disk.bytes)) /* its own copy, as of either side */
                client_puts(world, spot, spot->mirror.bytes && random_below(seed, 2) ? spot->mirror.bytes
                                         : spot->disk.bytes                          ? spot->disk.bytes
                                                                                     : spot->mirror.bytes, mtime);
        else if (what < 8)
                client_removes(spot, random_below(seed, 2));
        else if (what == 8 && spot->mirror.bytes)
                spot->mirror.mode = random_below(seed, 4), spot->mirror.ctime = ++world->now;
        else if (what == 9 && spot->mirror.bytes)
                spot->mirror.ctime = ++world->now;
        else if (what == 10 && spot->mirror.bytes)
                spot->mirror.mtime = spot->mirror.ctime = ++world->now;
        else if (what == 11)
                spot->part = !spot->part;
}

static void disk_does(World *world, Spot *spot, uint64_t *seed) {
        bool same_time = random_below(seed, 2), same_ino = random_below(seed, 2);
        int64_t mtime = same_time && spot->disk.bytes ? spot->disk.mtime : world->tick;
        unsigned like = same_time ? spot->disk.bytes : random_below(seed, 2);

        switch (random_below(seed, 9)) {
        case 0:
        case 1:
                disk_gets(world, spot, new_bytes_like(world, like), mtime, same_ino);
                break;
        case 2:
                if (spot->disk.bytes)
                        disk_gets(world, spot, spot->disk.bytes, mtime, same_ino);
                break;
        case 3:
                if (spot->disk.bytes) /* what leaves no trace is found out only by its report */
                        disk_is_written(world, spot, random_below(seed, world->source_unwatched ? 2 : 3));
                break;
        case 4:
                spot->disk = (Object){};
                break;
        case 5:
                if (spot->mirror.bytes) /* copied to the disk by hand */
                        disk_gets(world, spot, spot->mirror.bytes, mtime, same_ino);
                break;
        case 6:
                if (spot->disk.bytes) {
                        spot->disk.mode = random_below(seed, 4);
                        spot->disk.ctime = world->tick;
                }
                break;
        case 7:
                if (spot->disk.bytes)
                        spot->disk.ctime = world->tick;
                break;
        default: /* another choice of models, or of what needs what */
                spot->orphan = random_below(seed, 4) == 0;
                spot->disk_only = !spot->orphan && random_below(seed, 3) == 0;
                spot->absent = !spot->orphan && !spot->disk_only && random_below(seed, 2) == 0;
        }
}

/* A restart, a reboot, a lost or an old manifest, a wipe. */
static void disaster(World *world, uint64_t *seed) {
        unsigned kind = random_below(seed, 5);

        for (unsigned i = 0; i < world->n; i++) {
                Spot *spot = &world->spots[i];

                spot->seen_to_go = false;
                if (kind == 1 || kind == 4) {
                        spot->mirror = spot->yielded = (Object){};
                        spot->link = spot->part = false;
                }
                if (kind == 1 || kind == 3)
                        spot->base.flags |= ENTRY_RECORD;
                if (kind == 2)
                        spot->base = (Entry){};
                if (kind == 3)
                        spot->base.disk = (DiskObject){};
                if (kind == 3 && spot->base.flags & ENTRY_LINKED)
                        spot->base.flags &= (uint16_t) ~ENTRY_LINKED;
                if (kind == 1 || kind == 2 || kind == 3)
                        spot->agreed = 0; /* what the mirror had is not known any more */
        }
        world->mirror_unwatched = world->source_unwatched = true;
}

/* Without an event nothing is deleted, however empty the mirror is. */
static void assert_absence_is_no_deletion(const World *world, bool empty) {
        World blind = *world;
        Case c;

        blind.previous = NULL;
        blind.patient = false;
        for (unsigned i = 0; i < world->n; i++) {
                blind.spots[i].seen_to_go = false;
                if (empty)
                        client_removes(&blind.spots[i], false);
        }
        case_plan(&blind, &c);
        for (size_t i = 0; i < c.plan->n_items; i++)
                assert_int_not_equal(c.plan->items[i].action, PLAN_DELETE);
        case_done(&blind, &c);
}

static void assert_all_is_well(const World *world) {
        for (unsigned i = 0; i < world->n; i++) {
                const Spot *spot = &world->spots[i];

                if (spot->absent || spot->link || (spot->orphan && !spot->mirror.bytes)) {
                        assert_true(!spot->absent || !spot->disk.bytes || (!spot->mirror.bytes && !spot->link));
                        continue;
                }
                if (spot->orphan && spot->mirror.bytes != spot->disk.bytes) /* a version that nothing needs */
                        continue;
                assert_int_equal(spot->mirror.bytes, spot->disk.bytes);
                assert_int_equal(spot->mirror.mode, spot->disk.mode);
        }
}

static void disturb(World *world, uint64_t *seed) {
        Spot *spot = &world->spots[random_below(seed, world->n)];
        unsigned what = random_below(seed, 40);

        if (!world->coarse || random_below(seed, 3) == 0)
                world->tick++;
        if (what == 0)
                disaster(world, seed);
        else if (what == 1)
                world->mirror_unwatched = true;
        else if (what == 2)
                world->source_unwatched = true;
        else if (what < 22)
                client_does(world, spot, seed);
        else
                disk_does(world, spot, seed);
}

static void churn(World *world, uint64_t *seed, unsigned rounds) {
        for (unsigned round = 0; round < rounds; round++) {
                unsigned crash = random_below(seed, 4) == 0 ? random_below(seed, world->n) : UINT32_MAX;

                for (unsigned n = random_below(seed, 4); n > 0; n--)
                        disturb(world, seed);
                assert_absence_is_no_deletion(world, false);
                assert_absence_is_no_deletion(world, true);
                if (!world->coarse)
                        world->tick++;
                go_on(world, crash);
                if (random_below(seed, 2))
                        prove(world);
                if (random_below(seed, 3) == 0) {
                        (void) settle(world);
                        assert_all_is_well(world);
                }
        }
        manifest_free(world->previous);
        world->previous = NULL;
}

/* Of each kind of disk, with and without patience. */
static void churn_loses_nothing_and_settles(void **state) {
        static const PlanAction common[] = { PLAN_STAGE, PLAN_REMOVE, PLAN_ADOPT, PLAN_SAVE, PLAN_CONFLICT, PLAN_DELETE,
                                             PLAN_SETATTR, PLAN_SAVEATTR, PLAN_LINK, PLAN_IGNORE, PLAN_KEEP,
                                             PLAN_RELEASE };
        uint64_t seed = random_seed();

        (void) state;
        for (unsigned kind = 0; kind < 8; kind++) {
                World world = { .n = SPOTS_MAX, .coarse = kind & 1, .no_inodes = kind & 2, .patient = kind & 4,
                                .tick = 1000000, .now = 1000000 };

                churn(&world, &seed, 5000);
                for (size_t i = 0; i < ELEMENTSOF(common); i++) /* all of it has happened often */
                        if (world.done[common[i]] < 20)
                                fail_msg("'%s' happened only %u times", plan_action_name(common[i]),
                                         world.done[common[i]]);
                assert_true(!world.patient || world.done[PLAN_WAIT] >= 20);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_base__only_the_disk_has_it__stage),
                cmocka_unit_test(no_base__only_the_mirror_has_it__save),
                cmocka_unit_test(no_base__equal_bytes__record),
                cmocka_unit_test(no_base__other_bytes__conflict),
                cmocka_unit_test(no_base__another_size__conflict),
                cmocka_unit_test(A_A_A__nothing),
                cmocka_unit_test(A_B_C__conflict),
                cmocka_unit_test(A_B_B__record),
                cmocka_unit_test(A_B_A__stage),
                cmocka_unit_test(A_B_own_copy_of_A__conflict),
                cmocka_unit_test(A_A_B__save),
                cmocka_unit_test(A_A_B_of_the_same_size_and_time__save),
                cmocka_unit_test(A_A_own_copy_of_A__record),
                cmocka_unit_test(A_gone_A__remove),
                cmocka_unit_test(A_gone_own_copy_of_A__save),
                cmocka_unit_test(A_gone_B__save),
                cmocka_unit_test(A_another_object_with_the_bytes_of_A_A__record),
                cmocka_unit_test(A_another_object_with_the_bytes_of_A_B__save),
                cmocka_unit_test(A_A_gone_and_seen_to_go__delete),
                cmocka_unit_test(A_A_gone_and_not_seen_to_go__stage),
                cmocka_unit_test(A_another_object_gone_and_seen_to_go__stage),
                cmocka_unit_test(A_gone_gone__forget),
                cmocka_unit_test(touched_and_watched__recorded_without_reading),
                cmocka_unit_test(touched_and_unwatched__read),
                cmocka_unit_test(touched_and_gone_from_the_disk__removed),
                cmocka_unit_test(written_through_a_mapping__saved_although_size_and_times_are_the_same),
                cmocka_unit_test(written_through_a_mapping_and_gone_from_the_disk__saved),
                cmocka_unit_test(written_through_a_mapping_and_changed_on_the_disk__conflict),
                cmocka_unit_test(unproven_and_as_it_was__read_once),
                cmocka_unit_test(unproven_and_gone_from_the_disk__read_and_removed),
                cmocka_unit_test(unproven_and_replaced_on_the_disk__read_and_staged),
                cmocka_unit_test(reported_to_be_written_on_the_disk__compared),
                cmocka_unit_test(racy_on_the_disk__what_was_written_in_the_same_moment_is_not_lost),
                cmocka_unit_test(racy_on_the_disk__a_deletion_is_not_undone),
                cmocka_unit_test(racy_on_the_disk__compared_once_it_is_not),
                cmocka_unit_test(no_stable_inodes__deletions_work),
                cmocka_unit_test(no_stable_inodes__other_times_are_compared),
                cmocka_unit_test(first_format__the_mirror_is_compared_and_not_copied),
                cmocka_unit_test(a_link_to_the_disk_under_a_file_of_the_same_bytes__record),
                cmocka_unit_test(churn_loses_nothing_and_settles),
        };

        name_spots();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
