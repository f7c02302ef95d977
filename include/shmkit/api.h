/* SPDX-License-Identifier: MIT */
/* api.h - what every public header needs: linkage, results, version.
 *
 * The one rule of results.  An int function returns 0 when done; < 0, a
 * negated errno, which the caller forwards unchanged; > 0, an outcome named
 * in its comment, which the caller handles.  A ret_ parameter is left alone
 * when the result is < 0.  The library prints nothing and never exits. */
#ifndef SHMKIT_API_H
#define SHMKIT_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define SHMKIT_BEGIN extern "C" {
#define SHMKIT_END }
#else
#define SHMKIT_BEGIN
#define SHMKIT_END
#endif

/* Exported, nothing else.  SHMKIT_CHECK: the result must be looked at. */
#define SHMKIT_API __attribute__((visibility("default")))
#define SHMKIT_CHECK __attribute__((warn_unused_result))

SHMKIT_BEGIN

enum shmkit_outcome {
    SHMKIT_EXISTED = 1, /* it was there already; attached, not made */
    SHMKIT_IN_USE = 2,  /* left alone: somebody holds it */
    SHMKIT_KEPT = 3     /* left alone: its lifetime says it stays */
};

/* "0.1.0".  Static storage; any thread, any time, no cost. */
SHMKIT_API const char *shmkit_version(void);

/* One sentence on a result of this library and what to do about it, e.g. for
 * -ENOSPC.  Never NULL.  Static or per-thread storage, good until the thread's
 * next call.  Any thread; does not block. */
SHMKIT_API const char *shmkit_strerror(int result);

SHMKIT_END

#endif
