/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What there is to say about a configuration, to the log. See config/notes.h. */

#include "config/notes.h"

#include "base/log.h"

char *config_notes_text(const ConfigNote *note) {
        char *text;
        int r;

        if (note->file && note->line > 0)
                r = asprintf(&text, "%s:%u: %s", note->file, note->line, note->text);
        else
                r = asprintf(&text, "%s%s%s", note->file ? note->file : "", note->file ? ": " : "", note->text);
        return r < 0 ? NULL : text;
}

bool config_notes_log(const Config *config) {
        for (size_t i = 0; i < config->n_notes; i++) {
                _cleanup_(freep) char *text = config_notes_text(&config->notes[i]);

                log_event(config->notes[i].error ? LOG_ERR : LOG_WARNING, NULL, "%s",
                          text ? text : config->notes[i].text);
        }
        return config->n_errors == 0;
}

int config_notes_load(const char *file, const char *root, Config **ret) {
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
        if (!config_notes_log(config))
                return -EINVAL;
        *ret = TAKE_PTR(config);
        return 0;
}
