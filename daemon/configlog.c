/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What there is to say about a configuration, to the log. See configlog.h. */

#include "configlog.h"

#include "log.h"

bool config_log_notes(const Config *config) {
        for (size_t i = 0; i < config->n_notes; i++) {
                const ConfigNote *note = &config->notes[i];
                int priority = note->error ? LOG_ERR : LOG_WARNING;

                if (note->file && note->line > 0)
                        log_event(priority, NULL, "%s:%u: %s", note->file, note->line, note->text);
                else
                        log_event(priority, NULL, "%s%s%s", note->file ? note->file : "", note->file ? ": " : "", note->text);
        }
        return config->n_errors == 0;
}

int config_log_load(const char *file, const char *root, Config **ret) {
        _cleanup_(config_freep) Config *config = NULL;
        const char *what = "read";
        int r = config_load(file, root, &config, &what);

        if (r < 0) {
                if (file)
                        log_error("Failed to %s the configuration '%s': %s", what, file, strerror(-r));
                else
                        log_error("Failed to %s: %s", what, strerror(-r));
                return r;
        }
        if (!config_log_notes(config))
                return -EINVAL;
        *ret = TAKE_PTR(config);
        return 0;
}
