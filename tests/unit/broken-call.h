/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* System calls that fail when a test says so. To be included after ground.h. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* A call that fails with @error if its first argument is from @first to @last. */
typedef struct BrokenCall {
        unsigned call, first, last;
        int error;
} BrokenCall;

/* For the rest of the process. */
static inline void break_call(const BrokenCall *broken) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, broken->call, 0, 4),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
                BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, broken->first, 0, 2),
                BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, broken->last, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned) broken->error),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };

        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* What @is_so says in a process of its own, in which the call is broken. */
static inline bool is_so_broken(BrokenCall broken, bool (*is_so)(const void *userdata), const void *userdata) {
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0) {
                break_call(&broken);
                _exit(is_so(userdata) ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The descriptor that the next open() has. */
static inline unsigned next_descriptor(void) {
        int next = open("/", O_PATH | O_CLOEXEC);

        assert_true(next >= 0);
        (void) close(next);
        return (unsigned) next;
}
