/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl cat-config: the files of the configuration, or all settings. */

#include "ctl/commands.h"

#include "base/strv.h"
#include "config/files.h"
#include "config/problems.h"
#include "ctl/screen.h"

static int print_file(const Screen *screen, const char *path, bool is_first) {
        _cleanup_(freep) char *content = NULL, *name = screen_path(path);
        size_t length;
        int r = config_files_read(path, false, &content, &length);

        if (r < 0) {
                screen_error("Failed to read '%s': %s", path, strerror(-r));
                return r;
        }
        (void) printf("%s%s# %s%s\n", is_first ? "" : "\n", screen_colour(screen, SCREEN_GREY), name ? name : "",
                      screen_end(screen));
        if (fwrite(content, 1, length, stdout) != length ||
            (length > 0 && content[length - 1] != '\n' && fputc('\n', stdout) == EOF))
                return -EIO;
        return 0;
}

/* In the form of `systemd-analyze cat-config shmstaged.conf`, with which the tests compare it. */
static int print_files(const Ctl *ctl) {
        Screen screen = screen_of(STDOUT_FILENO);
        _cleanup_(strv_freep) char **files = NULL;
        int r = config_files_find(ctl->root, &files), failed = 0;

        if (r < 0)
                return screen_fail(CTL_FAILED, "Failed to find the configuration%s%s: %s",
                                   ctl->root ? " below " : "", ctl->root ? ctl->root : "", strerror(-r));
        for (size_t i = 0; files[i]; i++)
                if (print_file(&screen, files[i], i == 0) < 0)
                        failed++;
        if (!files[0])
                (void) fputs("# No configuration files; every setting has its default, see shmstaged.conf(5)\n",
                             stdout);
        return failed > 0 ? CTL_FAILED : CTL_DONE;
}

static int print_effective(const Ctl *ctl) {
        _cleanup_(config_freep) Config *config = NULL;

        if (config_problems_load(ctl->config, ctl->root, &config) < 0)
                return CTL_FAILED;
        return config_print(config, stdout) < 0 ? CTL_FAILED : CTL_DONE;
}

int commands_cat_config(const Ctl *ctl, char *const *arguments _unused_) {
        Screen screen = screen_of(STDOUT_FILENO);
        int r = ctl->effective ? print_effective(ctl)
                : ctl->config  ? print_file(&screen, ctl->config, true) < 0
                               : print_files(ctl);

        if (r == CTL_DONE && fflush(stdout) != 0)
                return screen_fail(CTL_FAILED, "Failed to print the configuration: %m");
        return r;
}
