/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Facts -> sentences. See report/explain.h. */

#include "report/explain.h"

#include "base/text.h"
#include "os/numa.h"
#include "plan/survey.h"

/* What to do about a source that cannot be read. */
static const char *explain_access(int error) {
        if (error == EACCES || error == EPERM)
                return "make it readable for the daemon, or leave it out with Exclude=";
        return "check the disk or server behind it";
}

/* The steps of a task say by their wording what they act on: the copy or a temporary file, which are in the tmpfs, or
 * else the source. Which of them has failed decides what an operator has to check. */
static char *explain_failure(const MirrorConfig *config, const char *source, const char *target, const Task *task) {
        const char *error = strerror(task->error), *what = task->what ? task->what : "copy";
        char at[32] = "", tmpfs[TEXT_PATH_MAX];

        if (plan_takes_away(task->item->action))
                return text_format("Failed to %s '%s': %s", what, target, error);
        if (task->offset > 0 || (task->error == EIO && strncmp(what, "sync", 4) != 0))
                (void) snprintf(at, sizeof(at), " at byte %llu", (unsigned long long) task->offset);
        if (task->error == ESTALE || task->error == ENOENT || task->error == ENOTDIR)
                return text_format("Failed to %s '%s'%s: %s; it, or a directory above it, was renamed or replaced "
                                   "meanwhile; trying again when it changes", what, source, at, error);
        if (strstr(what, "copy of") || strstr(what, "temporary"))
                return text_format("Failed to %s '%s'%s: %s; the tmpfs at '%s' failed, not the disk", what, source, at,
                                   error, text_path(tmpfs, config->target));
        if (task->offset > 0 || task->error == EIO || task->error == EACCES || task->error == EPERM)
                return text_format("Failed to %s '%s'%s: %s; %s", what, source, at, error,
                                   explain_access(task->error));
        return text_format("Failed to %s '%s': %s", what, source, error);
}

static const char *explain_next_start(const MirrorConfig *config) {
        return config->write_back ? "; the next start saves it"
                                  : "; copy it to the source, or it is lost when the machine is rebooted or "
                                    "switched off";
}

static const char *explain_busy(const MirrorConfig *config, const Task *task) {
        if (task->context->ending)
                return explain_next_start(config);
        return plan_takes_away(task->item->action)
                       ? "; it is removed when the process has closed it, unless the process has changed it"
                       : "; it is replaced when the process has closed it, unless the process has changed it";
}

char *explain_task(const MirrorConfig *config, const Task *task) {
        char source[TEXT_PATH_MAX], target[TEXT_PATH_MAX], accepted[TEXT_PATH_MAX], expected[DIGEST_HEX_MAX],
                found[DIGEST_HEX_MAX], claim[CLAIM_HEX_MAX];
        _cleanup_(freep) char *source_path = NULL, *target_path = NULL;
        const char *path = plan_item_path(task->item);

        source_path = text_format("%s/%s", config->source, path);
        target_path = text_format("%s/%s", config->target, path);
        if (!source_path || !target_path)
                return NULL;
        (void) text_path(source, source_path);
        (void) text_path(target, target_path);
        (void) digest_to_hex(&task->expected, expected);
        (void) digest_to_hex(&task->found, found);
        switch (task->outcome) {
        case TASK_CHANGED:
                return text_format("'%s' is withheld: it keeps changing while it is copied; it is staged once it "
                                   "stops changing", source);
        case TASK_CORRUPT:
                return text_format("'%s' is withheld: it is corrupt on disk; by its inode, size and times it is "
                                   "unchanged, but its XXH3-128 is %s and was %s; restore it, or, if the change was "
                                   "intended, run shmstagectl accept '%s:%s'",
                                   source, found, expected, config->name, text_path(accepted, path));
        case TASK_MISNAMED:
                return text_format("'%s' is withheld: its %s is %s, which is not the one in its name; download it "
                                   "again", source, task->claimed.kind == CLAIM_SHA256 ? "SHA-256" : "git blob id",
                                   claim_to_hex(&task->claim_found, claim));
        case TASK_GARBLED:
                return text_format("'%s' is withheld: its XXH3-128 was repeatedly %s when read from disk, but %s in "
                                   "RAM; test the machine's memory", source, expected, found);
        case TASK_DIFFERS:
                return text_format("'%s' in the mirror has the size and time of what was staged, but its XXH3-128 is "
                                   "%s and was %s, and it was left alone", target, found, expected);
        case TASK_NO_ROOM:
                return text_format("'%s' is withheld: the tmpfs has no room left for it; raise Size= or stage less",
                                   source);
        case TASK_OCCUPIED:
                if (plan_takes_away(task->item->action)) /* it may be the only copy of a client's work */
                        return text_format("'%s' in the mirror is not what the daemon put there, and was left alone",
                                           target);
                return text_format("'%s' in the mirror is not what the daemon put there, and was left alone; to have "
                                   "the disk's version staged, rename it within the mirror", target);
        case TASK_BUSY:
                return text_format("'%s' in the mirror is open or mapped for writing by another process, and was left "
                                   "alone%s", target, explain_busy(config, task));
        case TASK_FAILED:
                return explain_failure(config, source, target, task);
        case TASK_COMPARED:
                return text_format("'%s' in the mirror has other bytes than were put there, and was left alone%s",
                                   target, explain_next_start(config));
        case TASK_GONE:
                return text_format("'%s' in the mirror is not as it was last seen, and was left alone%s", target,
                                   explain_next_start(config));
        case TASK_AGREED:
        case TASK_REMOVED:
        case TASK_CANCELLED:
                break;
        }
        return text_format("Nothing is wrong with '%s'", target);
}

char *explain_omission(const MirrorConfig *config, const Omission *omission) {
        _cleanup_(freep) char *full = text_format("%s/%s", config->source, omission->path);
        char path[TEXT_PATH_MAX];

        if (!full)
                return NULL;
        (void) text_path(path, full);
        switch (omission->reason) {
        case OMIT_SPECIAL:
                return text_format("Left out '%s': it is a device, pipe or socket", path);
        case OMIT_LINK_OUT:
                return text_format("Left out '%s': it is a symbolic link that points outside the source, and such "
                                   "links are never followed", path);
        case OMIT_UNREADABLE:
                return text_format("Failed to read '%s': %s; %s (until then nothing below it is staged or removed)",
                                   path, strerror(omission->error), explain_access(omission->error));
        case OMIT_CHANGED:
        case OMIT_MOUNT:
                break; /* the next scan sees what it has become; a mount is only reported of the mirror */
        case OMIT_IN_PROGRESS:
                return text_format("Left out '%s': according to its name, it is still being written", path);
        }
        return NULL;
}

char *explain_unreadable(const MirrorConfig *config, const Manifest *source, size_t *ret_n) {
        *ret_n = manifest_omissions(source, OMIT_UNREADABLE);
        for (size_t i = 0; i < source->n_omissions; i++)
                if (source->omissions[i].reason == OMIT_UNREADABLE)
                        return explain_omission(config, &source->omissions[i]);
        return NULL;
}

char *explain_mirror_kept(const MirrorConfig *config, const char *left) {
        char target[TEXT_PATH_MAX], path[TEXT_PATH_MAX];

        return text_format(config->write_back
                                   ? "Kept the mirror in '%s' because files in it, such as '%s', could not be "
                                     "saved; fix what the preceding messages report and start the service to save "
                                     "them, or they are lost when the machine is rebooted or switched off"
                                   : "Kept the mirror in '%s' because it has files that are not from the source, "
                                     "such as '%s'; copy those that you want to keep to the disk, then remove all "
                                     "of them from the mirror",
                           text_path(target, config->target), text_path(path, left ? left : "?"));
}

char *explain_undeleted(const MirrorConfig *config, const char *path) {
        char source[TEXT_PATH_MAX], name[TEXT_PATH_MAX];

        return text_format("'%s' was deleted in the mirror, but could not be deleted in '%s', as the preceding "
                           "messages report; delete it there, or the next start stages it again",
                           text_path(name, path), text_path(source, config->source));
}

char *explain_unsaved(const MirrorConfig *config, const PlanItem *item) {
        _cleanup_(freep) char *full = text_format("%s/%s", config->target, plan_item_path(item));
        char path[TEXT_PATH_MAX];

        if (!full)
                return NULL;
        return text_format(item->action == PLAN_CONFLICT
                                   ? "'%s' was changed in the mirror and in the source, and both were left alone; "
                                     "if the mirror's version is wanted, copy it to the source under another name; "
                                     "then remove it from the mirror (the file on disk stays)"
                                   : "'%s' is new or changed in the mirror only and was left alone; copy it to the "
                                     "source, or it is lost when the machine is rebooted or switched off",
                           text_path(path, full));
}

/* The first few names of what was skipped or linked, for a sentence. */
static char *list_skipped(const Plan *plan) {
        enum { NAMES_MAX = 5 };
        _cleanup_(freep) char *list = NULL;
        char path[TEXT_PATH_MAX];
        size_t n = 0;

        for (size_t i = 0; i < plan->n_items; i++) {
                if (!plan_is_skipped(&plan->items[i]) || n++ >= NAMES_MAX)
                        continue;
                if (text_append(&list, "%s'%s'", n > 1 ? ", " : "",
                                text_path(path, plan_item_path(&plan->items[i]))) < 0)
                        return NULL;
        }
        if (n > NAMES_MAX && text_append(&list, " and %zu more", n - NAMES_MAX) < 0)
                return NULL;
        if (!list && text_append(&list, "nothing") < 0)
                return NULL;
        return TAKE_PTR(list);
}

static const char *explain_remedy(const Fit *fit) {
        if (fit->short_bytes == 0)
                return "mount the tmpfs with more inodes (nr_inodes=)";
        return fit->limit == FIT_MEMORY   ? "lower ReserveMemory=, stop other programs that use memory"
               : fit->limit == FIT_CGROUP ? "raise the limit of the control group (MemoryMax=)"
                                          : "raise Size=";
}

char *explain_shortage(const MirrorConfig *config, const Plan *plan, const Fit *fit, ShortageOutcome outcome) {
        char need[TEXT_BYTES_MAX], room[TEXT_BYTES_MAX];
        _cleanup_(freep) char *list = list_skipped(plan), *shortage = NULL;
        bool link = config->on_no_room == NO_ROOM_LINK;

        if (!list)
                return NULL;
        if (fit->short_bytes > 0)
                shortage = text_format("need %s, available %s (short by %llu bytes, limited by %s)",
                                       text_bytes(need, fit->need_bytes), text_bytes(room, fit->room_bytes),
                                       (unsigned long long) fit->short_bytes, fit_limit_name(fit->limit));
        else
                shortage = text_format("the tmpfs is short by %llu inodes", (unsigned long long) fit->short_inodes);
        if (!shortage)
                return NULL;
        if (outcome == SHORTAGE_REFUSED)
                return text_format("Insufficient space for mirror '%s': %s; nothing is staged until you %s, exclude "
                                   "files with Exclude=, or set OnNoRoom=skip or link (without %s it would fit)",
                                   config->name, shortage, explain_remedy(fit), list);
        return text_format("Insufficient space for mirror '%s': %s; %s %s%s", config->name, shortage,
                           link ? outcome == SHORTAGE_PLANNED ? "would link" : "linked"
                                : outcome == SHORTAGE_PLANNED ? "would skip" : "skipped",
                           list, link ? " to the disk" : "");
}

/* What follows the numbers: the limit and the names. */
static const char *skip_amounts(const char *text) {
        const char *rest = strstr(text, "limited by");

        return rest ? rest : strstr(text, " inodes;");
}

bool explain_is_same_shortage(const char *before, const char *now) {
        const char *a = before ? skip_amounts(before) : NULL, *b = skip_amounts(now);

        return a && b && strcmp(a, b) == 0;
}

char *explain_source_lost(const MirrorConfig *config, int result, bool running, const char *what) {
        char path[TEXT_PATH_MAX];

        (void) text_path(path, config->source);
        if (result == SURVEY_EMPTIED && running)
                return text_format("The source '%s' is suddenly empty; nothing is staged, saved or removed until it is "
                                   "back. Mount its disk. If its files are really gone, do not stop the daemon, "
                                   "because the mirror has the last copies: see TROUBLESHOOTING in shmstaged(8)",
                                   path);
        if (result == SURVEY_EMPTIED)
                return text_format("The source '%s' is empty but was not before, so nothing was changed; mount its "
                                   "disk. If it is meant to be empty, stop shmstaged.service, remove %s.xxh128 from "
                                   "the state directory, and start it again", path, config->name);
        if (result == -ESTALE)
                return text_format("The source '%s' is gone, or another filesystem is in its place; nothing is "
                                   "changed until it is back", path);
        return text_format("Failed to %s: %s; nothing is changed in mirror '%s' or its source '%s' until this succeeds",
                           what, strerror(-result), config->name, path);
}

static const char *answer_word(TmpfsAnswer answer) {
        static const char *const words[] = {
                [TMPFS_NOT_REQUESTED] = "not requested", [TMPFS_ACCEPTED] = "yes",
                [TMPFS_REFUSED] = "no", [TMPFS_UNKNOWN] = "unknown",
        };

        return words[answer];
}

/* Which policy is in force, and why. */
static char *explain_numa(const MirrorConfig *config, const Mount *mount) {
        const char *wanted = numa_wanted(config->numa_policy, mount->n_nodes);
        const char *in_force = mount->mpol[0] ? mount->mpol : "none";
        bool automatic = string_equal(config->numa_policy, "auto");

        if (!wanted && mount->mpol[0])
                return text_format("%s, as mounted (NUMAPolicy=%s requests none)", in_force, config->numa_policy);
        if (!wanted)
                return text_format("%s", automatic ? "one node" : "not requested");
        if (mount->answer[TMPFS_MPOL] != TMPFS_ACCEPTED)
                return text_format("%s instead of %s (NUMAPolicy=%s)", in_force, wanted, config->numa_policy);
        if (automatic)
                return text_format("%s over %u nodes (NUMAPolicy=auto)", wanted, mount->n_nodes);
        return text_format("%s (NUMAPolicy=%s)", in_force, config->numa_policy);
}

char *explain_mount(const MirrorConfig *config, const Mount *mount) {
        static const char *const kinds[] = {
                [MOUNT_FOUND] = "the tmpfs mounted on",
                [MOUNT_MADE] = "a tmpfs that the daemon mounted on",
                [MOUNT_DIRECTORY] = "a directory of a shared tmpfs,",
        };
        _cleanup_(freep) char *numa = explain_numa(config, mount);
        char size[TEXT_BYTES_MAX], path[TEXT_PATH_MAX];

        if (!numa)
                return NULL;
        return text_format("Using %s '%s', size %s; huge pages: %s, kept out of swap: %s, NUMA policy: %s",
                           kinds[mount->kind], text_path(path, config->target), text_bytes(size, mount->budget),
                           answer_word(mount->answer[TMPFS_HUGE]), answer_word(mount->answer[TMPFS_NOSWAP]), numa);
}
