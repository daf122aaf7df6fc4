/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Who may change something: by the socket's credentials, by the bus's, and by what polkit says. */

#include "control/authorizer.h"
#include "ground.h"
#include "bus-pair.h"

enum { PER_CALLER = 4, NOBODY = 65534 };

/* What the bus, the client's end of the pair, answers. */
typedef enum Polkit { ALLOWS, DENIES, CHALLENGES, IS_ABSENT, FAILS, IS_MALFORMED, IS_SILENT } Polkit;

static ControlAuthorizer *authorizer;
static BusPair pair;
static uint32_t uid;          /* of the caller; UINT32_MAX: the bus does not know */
static Polkit polkit;
static unsigned n_asked;      /* calls of polkit */
static char allowed[64];      /* who was allowed last */
static const struct ucred *peer;

static void on_allowed(sd_bus_message *call, const char *who, void *userdata) {
        (void) userdata;
        (void) snprintf(allowed, sizeof(allowed), "%s", who);
        assert_true(sd_bus_reply_method_return(call, "") >= 0);
}

static int on_call(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        (void) userdata;
        (void) error;
        return sd_bus_message_is_method_call(call, NULL, "Sync") > 0 ? control_authorizer_check(authorizer, call, peer) : 0;
}

static int reply_polkit(sd_bus_message *call) {
        switch (polkit) {
        case ALLOWS:
                return sd_bus_reply_method_return(call, "(bba{ss})", 1, 0, 0);
        case DENIES:
                return sd_bus_reply_method_return(call, "(bba{ss})", 0, 0, 0);
        case CHALLENGES:
                return sd_bus_reply_method_return(call, "(bba{ss})", 0, 1, 0);
        case IS_ABSENT:
                return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_SERVICE_UNKNOWN, "no such service");
        case FAILS:
                return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_FAILED, "it does not work");
        case IS_MALFORMED:
                return sd_bus_reply_method_return(call, "s", "yes");
        case IS_SILENT:
                break;
        }
        return 1;
}

static int on_bus(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        (void) userdata;
        (void) error;
        if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus", "GetConnectionCredentials") > 0)
                return uid == UINT32_MAX ? sd_bus_reply_method_return(call, "a{sv}", 1, "ProcessID", "u", 1)
                                         : sd_bus_reply_method_return(call, "a{sv}", 3, "ProcessID", "u", 1, "UnixUserID", "u", uid, "LinuxSecurityLabel", "ay", 0);
        if (sd_bus_message_is_method_call(call, "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization") <= 0)
                return 0;
        n_asked++;
        return reply_polkit(call);
}

static int setup(void **state) {
        (void) state;
        uid = NOBODY;
        polkit = ALLOWS;
        n_asked = 0;
        allowed[0] = '\0';
        peer = NULL;
        assert_int_equal(control_authorizer_new(&authorizer, on_allowed, NULL), 0);
        bus_pair_init(&pair);
        assert_true(sd_bus_add_filter(pair.server, NULL, on_call, NULL) >= 0);
        assert_true(sd_bus_add_filter(pair.client, NULL, on_bus, NULL) >= 0);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        authorizer = control_authorizer_free(authorizer);
        bus_pair_done(&pair);
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void call(const char *sender, bool interactive, sd_bus_message **reply) {
        sd_bus_message *message = NULL;

        assert_true(sd_bus_message_new_method_call(pair.client, &message, NULL, "/io/shmstaged", "io.shmstaged.Manager1", "Sync") >= 0);
        assert_true(!sender || sd_bus_message_set_sender(message, sender) >= 0);
        assert_true(sd_bus_message_set_allow_interactive_authorization(message, interactive) >= 0);
        assert_true(sd_bus_call_async(pair.client, NULL, message, bus_pair_keep_reply, reply, 0) >= 0);
        (void) sd_bus_message_unref(message);
        bus_pair_process(&pair);
}

static void assert_allowed(const char *who) {
        sd_bus_message *reply = NULL;

        call(":1.7", false, &reply);
        assert_non_null(reply);
        if (sd_bus_message_get_error(reply))
                fail_msg("%s", sd_bus_message_get_error(reply)->message);
        if (strncmp(allowed, who, strlen(who)) != 0)
                fail_msg("'%s' instead of '%s'", allowed, who);
        (void) sd_bus_message_unref(reply);
}

static void assert_denied(const char *sender, const char *part) {
        sd_bus_message *reply = NULL;

        call(sender, false, &reply);
        assert_non_null(reply);
        assert_true(sd_bus_message_is_method_error(reply, SD_BUS_ERROR_ACCESS_DENIED) > 0);
        if (!strstr(sd_bus_message_get_error(reply)->message, part))
                fail_msg("'%s' does not say '%s'", sd_bus_message_get_error(reply)->message, part);
        assert_string_equal(allowed, "");
        (void) sd_bus_message_unref(reply);
}

static void on_the_socket_the_kernel_says_who_it_is(void **state) {
        struct ucred who = { .pid = 1, .uid = 0 };

        (void) state;
        peer = &who;
        assert_allowed("uid 0 (pid 1");
        allowed[0] = '\0';
        who.uid = NOBODY;
        assert_denied(":1.7", "Only root may do this on the control socket, not uid 65534; use the system bus, where polkit may allow it");
        assert_int_equal(n_asked, 0);
}

static void on_the_bus_root_is_allowed_without_polkit(void **state) {
        (void) state;
        uid = 0;
        assert_allowed("uid 0 (pid 1");
        assert_int_equal(n_asked, 0);
}

static void others_are_allowed_by_polkit(void **state) {
        (void) state;
        assert_allowed("uid 65534 (pid 1");
        assert_int_equal(n_asked, 1);
}

static void without_a_yes_of_polkit_nothing_is_allowed_and_the_error_says_why(void **state) {
        static const struct {
                Polkit polkit;
                const char *part;
        } cases[] = {
                { DENIES, "Only root and users that polkit authorizes for the action io.shmstaged.manage may do this" },
                { CHALLENGES, "the call does not allow interactive authorization" },
                { IS_ABSENT, "is not on the system bus" },
                { FAILS, "polkit failed to check the authorization of other users" },
                { IS_MALFORMED, "the reply of polkit is malformed" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                polkit = cases[i].polkit;
                assert_denied(":1.7", cases[i].part);
        }
}

static void who_is_not_identified_is_not_allowed(void **state) {
        (void) state;
        uid = UINT32_MAX;
        assert_denied(":1.7", "The bus failed to identify the caller");
        assert_denied(NULL, "The bus failed to identify the caller");
        assert_int_equal(n_asked, 0);
}

static void a_caller_may_wait_for_so_many_decisions(void **state) {
        sd_bus_message *ignored[PER_CALLER] = {}, *refused = NULL, *other = NULL;

        (void) state;
        polkit = IS_SILENT;
        for (size_t i = 0; i < PER_CALLER; i++)
                call(":1.7", false, &ignored[i]);
        call(":1.7", false, &refused);
        assert_non_null(refused);
        assert_true(sd_bus_message_is_method_error(refused, "io.shmstaged.Error.TooMany") > 0);
        (void) sd_bus_message_unref(refused);
        call(":1.8", false, &other);
        assert_null(other);
        assert_int_equal(n_asked, PER_CALLER + 1);
}

static void what_is_forgotten_is_not_carried_out(void **state) {
        sd_bus_message *reply = NULL, *later = NULL;

        (void) state;
        polkit = IS_SILENT;
        call(":1.7", false, &reply);
        assert_int_equal(n_asked, 1);
        control_authorizer_forget(authorizer, pair.server);
        for (size_t i = 0; i < PER_CALLER; i++) /* its place is free again */
                call(":1.7", false, &later);
        assert_int_equal(n_asked, 1 + PER_CALLER);
        assert_null(reply);
        assert_string_equal(allowed, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(on_the_socket_the_kernel_says_who_it_is),
                TEST(on_the_bus_root_is_allowed_without_polkit),
                TEST(others_are_allowed_by_polkit),
                TEST(without_a_yes_of_polkit_nothing_is_allowed_and_the_error_says_why),
                TEST(who_is_not_identified_is_not_allowed),
                TEST(a_caller_may_wait_for_so_many_decisions),
                TEST(what_is_forgotten_is_not_carried_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
