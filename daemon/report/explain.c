/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Facts -> sentences. See report/explain.h. */

#include "report/explain.h"

#include "base/text.h"
#include "os/numa.h"

#include <stdarg.h>

static char *sentence(const char *format, ...) _printf_(1, 2);

static char *sentence(const char *format, ...) {
        char *text;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        return r < 0 ? NULL : text;
}

/* What to do about something that cannot be read. */
static const char *explain_access(int error) {
        if (error == EACCES || error == EPERM)
                return "make it readable for the daemon, or leave it out with Exclude=";
        return "the disk or server behind it needs a look";
}

static char *explain_failure(const char *source, const char *target, const Task *task) {
        const char *error = strerror(task->error), *what = task->what ? task->what : "copy it";

        if (plan_takes_away(task->item->action))
                return sentence("Failed to %s, '%s': %s", what, target, error);
        if ((task->error == EACCES || task->error == EPERM) && strstr(what, "source"))
                return sentence("Failed to %s, '%s': %s; %s", what, source, error, explain_access(task->error));
        if (strstr(what, "the copy of"))
                return sentence(
                        "Failed to %s '%s' at byte %llu in '%s': %s; it is the tmpfs there that failed, not the disk",
                        what, source, (unsigned long long) task->offset, target, error);
        if (task->offset > 0 || task->error == EIO)
                return sentence("Failed to %s '%s' at byte %llu: %s; %s", what, source,
                                (unsigned long long) task->offset, error, explain_access(task->error));
        return sentence("Failed to %s, '%s': %s", what, source, error);
}

char *explain_task(const MirrorConfig *config, const Task *task) {
        char source[TEXT_PATH_MAX], target[TEXT_PATH_MAX], expected[DIGEST_HEX_MAX], found[DIGEST_HEX_MAX],
                claim[CLAIM_HEX_MAX];
        _cleanup_(freep) char *source_path = NULL, *target_path = NULL;
        const char *path = plan_item_path(task->item);

        source_path = sentence("%s/%s", config->source, path);
        target_path = sentence("%s/%s", config->target, path);
        if (!source_path || !target_path)
                return NULL;
        (void) text_path(source, source_path);
        (void) text_path(target, target_path);
        (void) digest_to_hex(&task->expected, expected);
        (void) digest_to_hex(&task->found, found);
        switch (task->outcome) {
        case TASK_CHANGED:
                return sentence(
                        "'%s' keeps changing while it is copied: it is withheld and staged when it holds still",
                        source);
        case TASK_CORRUPT:
                return sentence("'%s' is corrupt and withheld: size and time are as they were, but its XXH3-128 is "
                                "%s and was %s; restore "
                                "it, or touch it if the change was meant",
                                source, found, expected);
        case TASK_MISNAMED:
                return sentence(
                        "'%s' is withheld: its bytes have the %s %s, which is not what its name says; fetch it again",
                        source, task->claimed.kind == CLAIM_SHA256 ? "SHA-256" : "git blob id",
                        claim_to_hex(&task->claim_found, claim));
        case TASK_GARBLED:
                return sentence("'%s' is withheld: read with XXH3-128 %s, it arrived in RAM as %s, again and again; "
                                "check the "
                                "machine's memory",
                                source, expected, found);
        case TASK_DIFFERS:
                return sentence("'%s' has the size and time of the source's file, but XXH3-128 %s instead of %s: it "
                                "was left as it is; "
                                "remove it from the mirror to have it staged",
                                target, found, expected);
        case TASK_NO_ROOM:
                return sentence(
                        "'%s' is withheld: there is no room for it in the tmpfs any more; raise Size= or stage less",
                        source);
        case TASK_OCCUPIED:
                return sentence("'%s' is not what was put there: it was left alone", target);
        case TASK_FAILED:
                return explain_failure(source, target, task);
        case TASK_AGREED:
        case TASK_REMOVED:
        case TASK_GONE:
        case TASK_CANCELLED:
                break;
        }
        return sentence("'%s' is as it should be", target);
}

char *explain_omission(const MirrorConfig *config, const Omission *omission) {
        _cleanup_(freep) char *full = sentence("%s/%s", config->source, omission->path);
        char path[TEXT_PATH_MAX];

        if (!full)
                return NULL;
        (void) text_path(path, full);
        switch (omission->reason) {
        case OMIT_SPECIAL:
                return sentence("Skipped '%s': it is a device, fifo or socket", path);
        case OMIT_LINK_OUT:
                return sentence(
                        "Skipped '%s': it is a symbolic link that leads out of the tree, which is never followed",
                        path);
        case OMIT_UNREADABLE:
                return sentence("'%s' cannot be read: %s; %s. Until then nothing is staged from there, and nothing "
                                "in the mirror removed",
                                path, strerror(omission->error), explain_access(omission->error));
        case OMIT_CHANGED:
                break; /* the next look sees what it has become */
        case OMIT_IN_PROGRESS:
                return sentence("Skipped '%s': its name says that it is still being written", path);
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

        if (config->write_back)
                return sentence("In '%s' there are files that could not be saved ('%s' is one): they were kept, and "
                                "so was the mirror. The next start "
                                "saves them, if what was told of them is mended",
                                text_path(target, config->target), text_path(path, left ? left : "?"));
        return sentence("In '%s' there are files that are not from the source ('%s' is one): they were kept, and so "
                        "was the mirror. Copy what "
                        "is wanted to the disk, then remove them",
                        text_path(target, config->target), text_path(path, left ? left : "?"));
}

char *explain_unsaved(const MirrorConfig *config, const PlanItem *item) {
        _cleanup_(freep) char *full = sentence("%s/%s", config->target, plan_item_path(item));
        char path[TEXT_PATH_MAX];

        if (!full)
                return NULL;
        (void) text_path(path, full);
        if (item->action == PLAN_CONFLICT)
                return sentence("'%s' was changed in the mirror and in the source: both were left as they are; copy "
                                "the one in the mirror "
                                "to the source under another name if it is wanted, then remove it",
                                path);
        return sentence("'%s' is new or changed in the mirror only: it was left alone, and is lost with the mirror "
                        "unless it is copied to "
                        "the source",
                        path);
}

/* The first few names of what was left out, for a sentence. */
static char *list_skipped(const Plan *plan) {
        enum { NAMES_MAX = 5 };
        _cleanup_(freep) char *list = NULL;
        char path[TEXT_PATH_MAX];
        size_t n = 0;

        for (size_t i = 0; i < plan->n_items; i++) {
                if (!plan_is_skipped(&plan->items[i]))
                        continue;
                if (n++ >= NAMES_MAX)
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
        switch (fit->limit) {
        case FIT_TMPFS:
        case FIT_SIZE:
                return "raise Size=";
        case FIT_MEMORY:
                return "lower ReserveMemory=, end what takes the memory";
        case FIT_CGROUP:
                return "raise the limit of the control group (MemoryMax=)";
        case _FIT_LIMIT_MAX:
                break;
        }
        return "make room";
}

char *explain_shortage(const MirrorConfig *config, const Plan *plan, const Fit *fit, bool refused) {
        char missing[TEXT_BYTES_MAX], need[TEXT_BYTES_MAX], room[TEXT_BYTES_MAX];
        _cleanup_(freep) char *list = list_skipped(plan), *shortage = NULL;

        if (!list)
                return NULL;
        if (fit->short_bytes > 0)
                shortage = sentence("%llu bytes (%s) are missing: %s are needed and %s are there (%s)",
                                    (unsigned long long) fit->short_bytes, text_bytes(missing, fit->short_bytes),
                                    text_bytes(need, fit->need_bytes), text_bytes(room, fit->room_bytes),
                                    fit_limit_name(fit->limit));
        else
                shortage = sentence("%llu inodes of the tmpfs are missing", (unsigned long long) fit->short_inodes);
        if (!shortage)
                return NULL;
        if (refused)
                return sentence("It does not fit: %s; nothing is staged. Without %s it would fit: %s, leave "
                                "something out with "
                                "Exclude=, or choose OnNoRoom=skip or link",
                                shortage, list, explain_remedy(fit));
        return sentence("It does not fit: %s; %s: %s", shortage,
                        config->on_no_room == NO_ROOM_LINK ? "linked to the disk" : "left out", list);
}

char *explain_source_lost(const MirrorConfig *config, bool emptied, int error, const char *what) {
        char path[TEXT_PATH_MAX];

        (void) text_path(path, config->source);
        if (emptied)
                return sentence(
                        "The source '%s' is empty and was not before: the disk behind it may not be mounted. Nothing "
                        "was changed; "
                        "if it is meant to be empty, remove %s.xxh128 from the state directory and start again",
                        path, config->name);
        if (error == -ESTALE)
                return sentence("The source '%s' is gone, or another filesystem is in its place: nothing is changed "
                                "until it is back",
                                path);
        return sentence("Failed to %s, '%s': %s; nothing is changed until that works", what, path, strerror(-error));
}

static const char *answer_word(TmpfsAnswer answer) {
        switch (answer) {
        case TMPFS_ACCEPTED:
                return "yes";
        case TMPFS_REFUSED:
                return "no";
        case TMPFS_UNKNOWN:
                return "unknown";
        case TMPFS_NOT_REQUESTED:
                break;
        }
        return "not asked for";
}

/* Which policy is in force, and why. */
static char *explain_numa(const MirrorConfig *config, const Mount *mount) {
        const char *wanted = numa_wanted(config->numa_policy, mount->n_nodes);
        const char *in_force = mount->mpol[0] ? mount->mpol : "none";
        bool automatic = string_equal(config->numa_policy, "auto");

        if (!wanted && mount->mpol[0])
                return sentence("%s, with which it was mounted (NUMAPolicy=%s asks for none)", in_force,
                                config->numa_policy);
        if (!wanted)
                return sentence("%s", automatic ? "one node" : "not asked for");
        if (mount->answer[TMPFS_MPOL] != TMPFS_ACCEPTED)
                return sentence("%s, and not %s (NUMAPolicy=%s)", in_force, wanted, config->numa_policy);
        if (automatic)
                return sentence("%s over %u nodes (NUMAPolicy=auto)", wanted, mount->n_nodes);
        return sentence("%s (NUMAPolicy=%s)", in_force, config->numa_policy);
}

char *explain_mount(const MirrorConfig *config, const Mount *mount) {
        static const char *const kinds[] = {
                [MOUNT_FOUND] = "the tmpfs mounted on",
                [MOUNT_MADE] = "a tmpfs that we mounted on",
                [MOUNT_DIRECTORY] = "a directory of a shared tmpfs,",
        };
        _cleanup_(freep) char *numa = explain_numa(config, mount);
        char size[TEXT_BYTES_MAX], path[TEXT_PATH_MAX];

        if (!numa)
                return NULL;
        return sentence("Using %s '%s', size %s; huge pages: %s, kept out of swap: %s, NUMA policy: %s",
                        kinds[mount->kind], text_path(path, config->target), text_bytes(size, mount->budget),
                        answer_word(mount->answer[TMPFS_HUGE]), answer_word(mount->answer[TMPFS_NOSWAP]), numa);
}
