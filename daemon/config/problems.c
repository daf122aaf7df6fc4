/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The errors and warnings of a configuration, for the log. See config/problems.h. */

#include "config/problems.h"

#include "base/log.h"
#include "base/text.h"

char *config_problems_text(const ConfigNote *note) {
        char path[TEXT_PATH_MAX];

        if (!note->file)
                return strdup(note->text);
        (void) text_path(path, note->file);
        return note->line > 0 ? text_format("%s:%u: %s", path, note->line, note->text)
                              : text_format("%s: %s", path, note->text);
}

bool config_problems_log(const Config *config) {
        for (size_t i = 0; i < config->n_notes; i++) {
                _cleanup_(freep) char *text = config_problems_text(&config->notes[i]);

                log_event(config->notes[i].error ? LOG_ERR : LOG_WARNING, NULL, "%s",
                          text ? text : config->notes[i].text);
        }
        return config->n_errors == 0;
}

int config_problems_load(const char *file, const char *root, Config **ret) {
        _cleanup_(config_freep) Config *config = NULL;
        const char *what;
        int r = config_load(file, root, &config, &what);

        if (r < 0 && file)
                log_error("Failed to %s '%s': %s", what, file, strerror(-r));
        else if (r < 0)
                log_error("Failed to %s: %s", what, strerror(-r));
        if (r < 0)
                return r;
        if (!config_problems_log(config))
                return -EINVAL;
        *ret = TAKE_PTR(config);
        return 0;
}
