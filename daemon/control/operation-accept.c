/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Accept. See control/operation-accept.h.
 *
 * Every name has to have something that can be accepted, or nothing is. What that is, is found out twice: once for each name, before anything is accepted. */

#include "control/operation-accept.h"

#include "base/strv.h"
#include "base/text.h"
#include "layout/layout.h"

/* So many single things are logged; the report has all of them. */
enum { LINES_MAX = 50 };

/* A model goes in three steps: what names it, what it names, the rest of the directories. */
enum { TRIES_MAX = 8 };

/* What is asked for under one name, or all there is. */
typedef struct Scope {
        Steer *steer;
        Mirror *mirror;
        const char *name;     /* NULL: no names were given */
        const Answer *answer; /* NULL likewise, and for what only a conflict has */
        bool act;             /* false: it is only counted */
        size_t n;
} Scope;

static bool has(const Scope *scope, const char *path) {
        if (!scope->name)
                return true;
        return scope->answer && (pathset_covers(&scope->answer->roots, path) || pathset_has(&scope->answer->concerned, path));
}

static void tell(Scope *scope, const char *path, const char *what) {
        char text[TEXT_PATH_MAX];

        if (scope->steer->n_told++ < LINES_MAX)
                steer_log(scope->steer, path, "'%s' is accepted: %s", text_path(text, path), what);
        else
                steer_say(scope->steer, "'%s' is accepted: %s", text_path(text, path), what);
}

/* ---- what is withheld ---- */

static void accept_withheld(Scope *scope) {
        Mirror *m = scope->mirror;

        for (size_t i = m->withheld.n; i-- > 0;) {
                const WithheldFile *file = &m->withheld.files[i];
                AcceptKind kind = file->outcome == TASK_CORRUPT ? ACCEPT_BYTES : ACCEPT_NAME;
                Acceptance acceptance = { .path = file->path, .size = file->size, .ino = file->ino, .mtime_nsec = file->mtime_nsec, .ctime_nsec = file->ctime_nsec };

                if ((file->outcome != TASK_CORRUPT && file->outcome != TASK_MISNAMED) || !has(scope, file->path))
                        continue;
                scope->n++;
                if (!scope->act || wishes_accept(&m->wishes, kind, &acceptance) < 0 || pathset_add(&scope->steer->concerned, file->path) < 0)
                        continue;
                tell(scope, file->path, kind == ACCEPT_BYTES ? "what the disk has now is right, whatever is on record" : "it is staged although its name states another digest");
                withheld_drop(&m->withheld, scope->steer->concerned.items[scope->steer->concerned.n - 1]);
        }
}

/* ---- what is never saved ---- */

static void accept_saves(Scope *scope) {
        SaveQueue *queue = &scope->mirror->writeback.queue;
        uint64_t now = steer_now(scope->mirror);

        for (size_t i = 0; i < queue->n; i++) {
                const char *path = queue->by_path[i]->path;

                if (!has(scope, path) || !savequeue_can_accept(queue, path))
                        continue;
                scope->n++;
                if (scope->act && pathset_add(&scope->steer->saves, path) == 0 && savequeue_accept(queue, path, now))
                        tell(scope, path, "it is saved as it is");
        }
}

/* ---- deletions that were held back ---- */

static void accept_deletions(Scope *scope) {
        Mirror *m = scope->mirror;
        DeletionsInput input = { .layout = m->round.tasks.layout };
        PathSet accepted = {};

        for (size_t i = 0; m->deletions.wave && i < m->deletions.wave->n_entries; i++) {
                const Entry *entry = &m->deletions.wave->entries[i];

                if (!has(scope, entry->path))
                        continue;
                scope->n++;
                if (scope->act && wishes_doom(&m->wishes, entry) == 0 && pathset_add(&scope->steer->doomed, entry->path) == 0 && pathset_add(&accepted, entry->path) == 0)
                        tell(scope, entry->path, "it is deleted after all");
        }
        wishes_sort(&m->wishes);
        for (size_t i = 0; i < accepted.n; i++)
                deletions_accept(&m->deletions, &input, accepted.items[i]);
        pathset_done(&accepted);
}

/* ---- conflicts ---- */

static void accept_conflicts(Scope *scope) {
        Conflicts *conflicts = &scope->mirror->writeback.conflicts;

        for (size_t i = conflicts->n; i-- > 0;) {
                const Conflict *conflict = &conflicts->items[i];

                if (!has(scope, conflict->path) && !string_equal(scope->name, conflict->path) && !string_equal(scope->name, conflict->kept))
                        continue;
                scope->n++;
                if (!scope->act)
                        continue;
                tell(scope, conflict->path, "that it was changed on both sides is seen, and told no more");
                conflicts_drop(conflicts, i);
        }
}

static size_t accept(Scope *scope) {
        scope->n = 0;
        if (scope->name || scope->mirror->deletions.wave)
                accept_deletions(scope);
        if (scope->name) {
                accept_withheld(scope);
                accept_saves(scope);
        }
        if (scope->name || scope->n == 0)
                accept_conflicts(scope);
        return scope->n;
}

/* ---- how it goes on ---- */

static const Answer *find_answer(const Mirror *m, uint64_t id) {
        for (size_t i = 0; i < m->look.n_answers; i++)
                if (m->look.answers[i].id == id)
                        return &m->look.answers[i];
        return NULL;
}

/* Of each name. False: it has ended, or the look was an earlier one. */
static bool has_all(Steer *steer, Mirror *m) {
        bool empty = false;

        if (!find_answer(m, steer->request))
                return false;
        for (size_t i = 0; steer->names[i]; i++) {
                const Answer *answer = find_answer(m, steer->request + i);
                Scope scope = { .steer = steer, .mirror = m, .name = steer->names[i], .answer = answer };
                char name[TEXT_PATH_MAX];

                if (accept(&scope) > 0)
                        continue;
                empty = true;
                if (answer && *answer->unknown)
                        steer_say(steer, "There is no file, directory or model '%s' in mirror '%s' or its source", text_path(name, steer->names[i]), m->config.name);
                else
                        steer_say(steer, "There is nothing to accept under '%s'", text_path(name, steer->names[i]));
        }
        if (empty)
                steer_end(steer, true);
        return !empty;
}

static void start(Steer *steer, Mirror *m) {
        pathset_sort(&steer->concerned);
        pathset_sort(&steer->saves);
        pathset_sort(&steer->doomed);
        steer->phase = STEER_GRANTED;
        mirrorstate_want_look(m);
}

static void grant(Steer *steer, Mirror *m) {
        if (!has_all(steer, m))
                return;
        for (size_t i = 0; steer->names[i]; i++) {
                Scope scope = { .steer = steer, .mirror = m, .name = steer->names[i], .answer = find_answer(m, steer->request + i), .act = true };

                (void) accept(&scope);
        }
        start(steer, m);
}

/* ---- how it ends ---- */

static const WithheldFile *find_withheld(const Mirror *m, const char *path) {
        for (size_t i = 0; i < m->withheld.n; i++)
                if (strcmp(m->withheld.files[i].path, path) == 0)
                        return &m->withheld.files[i];
        return NULL;
}

/* They were tried: the record vouches for what came of it. */
static void check_withheld(Steer *steer, Mirror *m) {
        for (size_t i = 0; i < steer->concerned.n; i++) {
                const char *path = steer->concerned.items[i];
                const WithheldFile *file = find_withheld(m, path);
                const Entry *base = manifest_find(m->attachment.base, path);

                if (file || !base || base->flags & ENTRY_RECORD) {
                        steer_say(steer, "%s", file ? file->text : m->problem ? m->problem : "It is not in RAM all the same");
                        steer->failed = true;
                }
                wishes_end_acceptance(&m->wishes, path);
        }
        pathset_done(&steer->concerned);
}

static bool check_saves(Steer *steer, const Mirror *m) {
        bool over = true;

        for (size_t i = 0; i < steer->saves.n; i++) {
                const SaveItem *item = savequeue_find(&m->writeback.queue, steer->saves.items[i]);

                if (!item || item->state == ITEM_DONE)
                        continue;
                if (item->state == ITEM_REFUSED || item->problem) {
                        steer_say(steer, "%s", item->problem ? item->problem : "It is refused once more");
                        steer->failed = true;
                        continue;
                }
                over = false;
        }
        return over;
}

/* One that is gone from the wishes was deleted, or somebody had changed it, or something else needs it. */
static bool check_deletions(Steer *steer, const Mirror *m) {
        size_t n_deleted = 0, n_kept = 0;

        for (size_t i = 0; i < steer->doomed.n; i++) {
                const char *path = steer->doomed.items[i];
                const Entry *source = manifest_find(m->look.source, path), *base = manifest_find(m->attachment.base, path);

                if (m->wishes.doomed && manifest_find(m->wishes.doomed, path) && (m->config.deletes != DELETES_KEEP || manifest_find(m->look.mirror, path)))
                        return false;
                if (!source || m->config.deletes == DELETES_KEEP || (base && base->flags & ENTRY_CONDEMNED) || manifest_find(m->writeback.changes, path)) {
                        n_deleted++;
                        continue;
                }
                if (n_kept++ < LINES_MAX) {
                        char text[TEXT_PATH_MAX];

                        steer_say(steer, "'%s' stays: it was changed since, or something that stays needs it", text_path(text, path));
                }
        }
        if (steer->doomed.n > 0)
                steer_say(steer, "%zu of %zu names were deleted", n_deleted, steer->doomed.n);
        return true;
}

/* Something of it has to hold still first, or goes from the mirror in this round and from the disk after the next look. */
static void see_plan(Steer *steer, const Mirror *m) {
        steer->phase = STEER_PLANNED;
        steer->waiting = steer->look_after = false;
        for (size_t i = 0; i < m->look.plan->n_items; i++) {
                const PlanItem *item = &m->look.plan->items[i];

                if (item->action == PLAN_WAIT && pathset_has(&steer->concerned, plan_item_path(item)))
                        steer->waiting = true;
                if (item->action == PLAN_RELEASE && pathset_has(&steer->doomed, plan_item_path(item)))
                        steer->look_after = true;
        }
        steer->deleted = steer->deleted || (!steer->look_after && check_deletions(steer, m));
}

static bool is_given_up(const Entry *entry, void *userdata) {
        return pathset_has(userdata, entry->path);
}

/* Somebody has it open for writing, time and again. */
static void give_up_deletions(Steer *steer, Mirror *m) {
        for (size_t i = 0; i < steer->doomed.n; i++) {
                const Entry *doomed = m->wishes.doomed ? manifest_find(m->wishes.doomed, steer->doomed.items[i]) : NULL;
                char path[TEXT_PATH_MAX];

                if (doomed && steer->n_told++ < LINES_MAX)
                        steer_say(steer, "'%s' is not deleted: it cannot be taken out of the mirror, because somebody has it open for writing or changes it", text_path(path, doomed->path));
                steer->failed = steer->failed || doomed;
        }
        if (m->wishes.doomed)
                manifest_filter(m->wishes.doomed, is_given_up, &steer->doomed);
        steer->deleted = true;
}

static void hear(Steer *steer, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_LOOKED && steer->phase == STEER_ASKED) {
                grant(steer, m);
                return;
        }
        if (event == MIRROR_LOOKED) {
                see_plan(steer, m);
                return;
        }
        if (steer->phase != STEER_PLANNED)
                return;
        if (event == MIRROR_RESTED && steer->look_after && steer->n_tries++ < TRIES_MAX)
                mirrorstate_want_look(m);
        else if (event == MIRROR_RESTED && steer->look_after)
                give_up_deletions(steer, m);
        if (event == MIRROR_RESTED && !steer->waiting)
                check_withheld(steer, m);
        if (steer->deleted && steer->concerned.n == 0 && check_saves(steer, m))
                steer_end(steer, steer->failed);
}

int steeraccept_begin(Steer *steer, Mirror *m) {
        Scope scope = { .steer = steer, .mirror = m };

        steer->hear = hear;
        if (*steer->names) {
                for (size_t i = 0; steer->names[i]; i++) {
                        char *const name[] = { steer->names[i], NULL };
                        uint64_t id = wishes_request(&m->wishes, name);

                        if (id == 0)
                                return -ENOMEM;
                        if (i == 0)
                                steer->request = id;
                        steer->n_requests++;
                }
                mirrorstate_want_look(m);
                return 0;
        }
        scope.act = true;
        if (accept(&scope) == 0) {
                steer_say(steer, "Mirror '%s' has held back no deletions, and no conflict is unseen. Of what is withheld or not saved each has to be named", m->config.name);
                return 1;
        }
        start(steer, m);
        return 0;
}
