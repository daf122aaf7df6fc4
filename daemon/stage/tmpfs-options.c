/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The options of a tmpfs, and a new tmpfs with them. See stage/tmpfs-options.h.
 *
 * The system calls of Linux 5.2 (fsopen, fsconfig, fsmount) accept or refuse each option by itself, before anything is
 * mounted. */

#include "stage/tmpfs-options.h"

#include "base/text.h"
#include "os/numa.h"

#include <libmount.h>
#include <sys/mount.h>

static const uint64_t SMALLEST = 4 * KIB; /* size=0 would mean no limit */

typedef struct Option {
        const char *key;   /* NULL if it is not requested */
        const char *value; /* NULL for a flag */
} Option;

static Option option_wanted(const MirrorConfig *mirror, unsigned n_nodes, TmpfsOption which) {
        static const char *const huge[] = {
                [HUGE_WITHIN_SIZE] = "within_size", [HUGE_ALWAYS] = "always", [HUGE_ADVISE] = "advise",
        };
        const char *policy = numa_wanted(mirror->numa_policy, n_nodes);
        Option none = { NULL, NULL };

        switch (which) {
        case TMPFS_HUGE:
                return mirror->huge_pages == HUGE_NEVER ? none : (Option){ "huge", huge[mirror->huge_pages] };
        case TMPFS_NOSWAP:
                return mirror->swap ? none : (Option){ "noswap", NULL };
        case TMPFS_MPOL:
                return (Option){ policy ? "mpol" : NULL, policy };
        case _TMPFS_OPTION_MAX:
                break;
        }
        return none;
}

static int set_option(int fs, Option option) {
        unsigned command = option.value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

        return fsconfig(fs, command, option.key, option.value, 0) < 0 ? -errno : 0;
}

int tmpfs_options_open_context(void) {
        int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

        return fs < 0 ? -errno : fs;
}

/* In a context of its own for each option, because a refusal may leave a context unusable. */
static int probe_option(Option option, TmpfsAnswer *ret) {
        _cleanup_(close_fdp) int fs = tmpfs_options_open_context();
        int r;

        if (fs == -EPERM || fs == -ENOSYS) {
                *ret = TMPFS_UNKNOWN;
                return 0;
        }
        if (fs < 0)
                return fs;
        r = set_option(fs, option);
        if (r < 0 && r != -EINVAL)
                return r;
        *ret = r == 0 ? TMPFS_ACCEPTED : TMPFS_REFUSED;
        return 0;
}

int tmpfs_options_probe(const MirrorConfig *mirror, unsigned n_nodes, TmpfsOptions *ret) {
        TmpfsOptions options = { .n_nodes = n_nodes };

        assert(mirror && ret);
        for (TmpfsOption i = 0; i < _TMPFS_OPTION_MAX; i++) {
                Option option = option_wanted(mirror, n_nodes, i);
                int r;

                options.answer[i] = TMPFS_NOT_REQUESTED;
                if (!option.key)
                        continue;
                r = probe_option(option, &options.answer[i]);
                if (r < 0)
                        return r;
        }
        *ret = options;
        return 0;
}

char *tmpfs_options_text(const MirrorConfig *mirror, uint64_t size, const TmpfsOptions *options) {
        _cleanup_(freep) char *text = NULL;

        assert(mirror && options);
        if (text_append(&text, "size=%llu,mode=0755,nosuid,nodev,noexec", (unsigned long long) MAX(size, SMALLEST)) < 0)
                return NULL;
        /* mpol= comes last: its list of nodes may contain commas, which mount(8) passes on only as they are */
        for (TmpfsOption i = 0; i < _TMPFS_OPTION_MAX; i++) {
                Option option = option_wanted(mirror, options->n_nodes, i);

                if (option.key && options->answer[i] == TMPFS_ACCEPTED &&
                    text_append(&text, ",%s%s%s", option.key, option.value ? "=" : "",
                                option.value ? option.value : "") < 0)
                        return NULL;
        }
        return TAKE_PTR(text);
}

/* Whether the mounted tmpfs does what the option requests. @mpol is the NUMA policy in @text. */
static bool option_holds(const char *text, const char *mpol, unsigned n_nodes, TmpfsOption which, Option wanted) {
        char *value = NULL;
        size_t length = 0;

        if (which == TMPFS_MPOL)
                return numa_is_same(wanted.value, mpol, n_nodes);
        if (!text || mnt_optstr_get_option(text, wanted.key, &value, &length) != 0)
                return false;
        if (which != TMPFS_HUGE || (length == strlen(wanted.value) && memcmp(value, wanted.value, length) == 0))
                return true;
        /* another huge= will do, but not one under which a file that is written gets no huge pages at all */
        return !(length == 5 && memcmp(value, "never", 5) == 0) && !(length == 6 && memcmp(value, "advise", 6) == 0);
}

int tmpfs_options_read_answers(const char *text, const MirrorConfig *mirror, unsigned n_nodes, TmpfsAnswer *ret) {
        _cleanup_(freep) char *mpol = numa_in_force(text);

        if (!mpol)
                return -ENOMEM;
        for (TmpfsOption i = 0; i < _TMPFS_OPTION_MAX; i++) {
                Option option = option_wanted(mirror, n_nodes, i);

                ret[i] = !option.key                                    ? TMPFS_NOT_REQUESTED
                         : option_holds(text, mpol, n_nodes, i, option) ? TMPFS_ACCEPTED
                                                                        : TMPFS_REFUSED;
        }
        return 0;
}

int tmpfs_options_create(const MirrorConfig *mirror, uint64_t size, const TmpfsOptions *options,
                         const char **reterr_what) {
        _cleanup_(close_fdp) int fs = tmpfs_options_open_context();
        char bytes[32];
        int fd, r;

        *reterr_what = "set the options of a tmpfs for";
        if (fs < 0)
                return fs;
        (void) snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long) MAX(size, SMALLEST));
        r = set_option(fs, (Option){ "source", TMPFS_SOURCE });
        if (r == 0)
                r = set_option(fs, (Option){ "size", bytes });
        if (r == 0)
                r = set_option(fs, (Option){ "mode", "0755" });
        for (TmpfsOption i = 0; r == 0 && i < _TMPFS_OPTION_MAX; i++)
                if (options->answer[i] == TMPFS_ACCEPTED)
                        r = set_option(fs, option_wanted(mirror, options->n_nodes, i));
        if (r < 0)
                return r;
        *reterr_what = "create a tmpfs for";
        if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        return fd < 0 ? -errno : fd;
}
