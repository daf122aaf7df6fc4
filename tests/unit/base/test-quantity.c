/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Amounts and spans of time. What a key accepts of them is tested with the keys, in config/. */

#include "base/quantity.h"
#include "ground.h"

static void a_span_is_as_long_as_systemd_says(void **state) {
        static const char *const spans[] = {
                "0", "17", "1.5h", "5min20s", "250 ms", "3us", "2 weeks", "1week", "1.5w", "1M 1m", "1month",
                "2.25 months", "1y", "3years", "1year 2days", "1hr 2hour 3hours", "8sec", "1 usec",
        };
        char line[256], *command = NULL;
        size_t seen = 0, size = 0;
        FILE *out = open_memstream(&command, &size), *pipe;

        (void) state;
        (void) fputs("systemd-analyze timespan", out);
        for (size_t i = 0; i < ELEMENTSOF(spans); i++)
                (void) fprintf(out, " '%s'", spans[i]);
        assert_int_equal(fclose(out), 0);
        pipe = popen(command, "re");
        assert_non_null(pipe);
        while (fgets(line, sizeof(line), pipe)) {
                const char *number = strstr(line, "s: ");
                uint64_t usec = 0;

                if (!number || strstr(line, "Human"))
                        continue;
                assert_true(seen < ELEMENTSOF(spans));
                assert_true(quantity_parse_span(spans[seen], &usec));
                if (usec != strtoull(number + 3, NULL, 10))
                        print_error("%s is %s", spans[seen], line);
                assert_int_equal(usec, strtoull(number + 3, NULL, 10));
                seen++;
        }
        assert_int_equal(pclose(pipe), 0);
        assert_int_equal(seen, ELEMENTSOF(spans));
        free(command);
}

static void an_amount_means_bytes_of_this_machine(void **state) {
        (void) state;
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_AUTO, 0 }, 100, 7), 7);
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_BYTES, 5 }, 100, 7), 5);
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_PERMYRIAD, 1250 }, 64 * GIB, 7), 8 * GIB);
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_PERMYRIAD, 10000 }, UINT64_MAX, 7), UINT64_MAX);
        assert_int_equal(quantity_amount_bytes((Amount){ AMOUNT_PERMYRIAD, 0 }, UINT64_MAX, 7), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_span_is_as_long_as_systemd_says),
                cmocka_unit_test(an_amount_means_bytes_of_this_machine),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
