/* SPDX-License-Identifier: MIT */
/* fault.h - named places where a test may kill, stop or delay the process.
 *
 * SHMKITI_FAULT("noun.verb.step") stands wherever a kill would leave something
 * half done.  In a normal build it is nothing.  With -Dfault_points=true every
 * point is listed in an ELF section, so that a test can walk them all and
 * fail when one is never reached, and each pass calls the hook, if one is set.
 * The second hook stands in front of every system call of the os layer: it may
 * sleep, or return a negated errno that the call then fails with.
 *
 * The variable SHMKIT_FAULT="point=action" or "point@N=action" (action kill,
 * stop or abort, at the N-th pass) does the same without code, and
 * SHMKIT_REFUSE="call" makes one system call of the os layer fail with EINVAL,
 * as on a kernel that does not know it. */
#ifndef SHMKITI_BASE_FAULT_H
#define SHMKITI_BASE_FAULT_H

#ifdef SHMKIT_FAULT_POINTS

typedef void shmkiti_fault_fn(const char *point, void *arg);
typedef int shmkiti_syscall_fn(const char *call, void *arg);

void shmkiti_fault_set_hook(shmkiti_fault_fn *hook, void *arg);
void shmkiti_syscall_set_hook(shmkiti_syscall_fn *hook, void *arg);

/* The i-th fault point of the library, NULL past the last.  The same name may
 * come more than once. */
const char *shmkiti_fault_name(unsigned i);

void shmkiti_fault_hit(const char *point);
int shmkiti_syscall_hit(const char *call);

#define SHMKITI_FAULT(point)                                           \
    do {                                                               \
        static const char *const fault_entry                           \
            __attribute__((section("shmkit_faults"), used)) = (point); \
        shmkiti_fault_hit(fault_entry);                                \
    } while (0)
#define SHMKITI_SYSCALL(call) shmkiti_syscall_hit(call)

#else

#define SHMKITI_FAULT(point) ((void)0)
#define SHMKITI_SYSCALL(call) 0

#endif

#endif
