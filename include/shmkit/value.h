/* SPDX-License-Identifier: MIT */
/* value.h - typed cells and arrays in shared memory.
 *
 * A cell is a plain naturally aligned number anywhere in shared memory; the
 * functions here make operations on it atomic, with a named memory order, for
 * threads and processes alike.  None blocks but wait; none can be left half
 * done by a kill.  Types are named by enum shmkit_type, as NumPy names them.
 *
 * Hot C code uses the inline functions of <shmkit/atomics.h>, which comes with
 * this header: shmkit_i64_add() and so on.  The functions here take the type
 * as a number, for callers that learn it at run time; they check it, and are
 * at least as strong as the order they are given.  A few ns each. */
#ifndef SHMKIT_VALUE_H
#define SHMKIT_VALUE_H

#include <shmkit/api.h>
#include <shmkit/atomics.h>
#include <shmkit/sync.h>

SHMKIT_BEGIN

enum shmkit_type {
    SHMKIT_BOOL = 1, /* one byte, 0 or 1 */
    SHMKIT_INT8,
    SHMKIT_INT16,
    SHMKIT_INT32,
    SHMKIT_INT64,
    SHMKIT_UINT8,
    SHMKIT_UINT16,
    SHMKIT_UINT32,
    SHMKIT_UINT64,
    SHMKIT_FLOAT,
    SHMKIT_DOUBLE,
    SHMKIT_CHAR, /* one byte of text */
    SHMKIT_WCHAR /* wchar_t */
};

enum shmkit_operation {
    SHMKIT_ADD = 1, /* integers wrap around; floats too, by compare-exchange */
    SHMKIT_SUB,
    SHMKIT_AND, /* AND, OR, XOR: integers and bool */
    SHMKIT_OR,
    SHMKIT_XOR,
    SHMKIT_MIN, /* NaN is never chosen over a number */
    SHMKIT_MAX,
    SHMKIT_EXCHANGE
};

/* Bytes of one, 0 for no such type.  No cost. */
SHMKIT_API size_t shmkit_type_size(uint32_t type);

/* A value of any type, in its own representation at the start of the bytes. */
typedef union shmkit_scalar {
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    float f;
    double d;
    char c;
    wchar_t w;
} shmkit_scalar;

/* -EINVAL: no such type, an order that makes no sense for a load, or a cell
 * that is not aligned to its size. */
SHMKIT_API SHMKIT_CHECK int shmkit_cell_load(const void *cell, uint32_t type,
                                             uint32_t order,
                                             shmkit_scalar *ret_value);
SHMKIT_API SHMKIT_CHECK int shmkit_cell_store(void *cell, uint32_t type,
                                              uint32_t order,
                                              shmkit_scalar value);
/* *ret_old (may be NULL) is what was there.  -EINVAL also for an operation the
 * type has not. */
SHMKIT_API SHMKIT_CHECK int shmkit_cell_apply(void *cell, uint32_t type,
                                              uint32_t operation,
                                              uint32_t order,
                                              shmkit_scalar operand,
                                              shmkit_scalar *ret_old);
/* If the cell holds *expected (bit for bit), make it `desired`: 1; else 0 and
 * *expected is what it holds. */
SHMKIT_API SHMKIT_CHECK int shmkit_cell_compare_exchange(
    void *cell, uint32_t type, uint32_t order, shmkit_scalar *expected,
    shmkit_scalar desired);

/* Until the cell no longer holds `seen` (bit for bit): *ret_value is the new
 * value.  -ETIMEDOUT, -EINTR (see shmkit_wait_hook), -EINVAL.  A change there
 * and back may be missed.  Sleeps on a futex: on the word `changes`, or, where
 * that is NULL, on the aligned 32-bit word that the cell lies in (1 and 2
 * bytes) or begins with (4 and 8 bytes).  Woken at once by a writer that tells
 * (below), and looks by itself after at most 20 ms when none does. */
SHMKIT_API SHMKIT_CHECK int shmkit_cell_wait(const void *cell, uint32_t type,
                                             shmkit_scalar seen,
                                             int64_t deadline,
                                             uint32_t *changes,
                                             shmkit_scalar *ret_value);
/* After a change: wake all who wait on this cell without a word `changes`.  A
 * system call each time. */
SHMKIT_API void shmkit_cell_wake(const void *cell);
/* After a change: wake all who wait with this word, which stands beside one or
 * more cells and is zero at first.  Without waiters no system call, 1 ns.
 * After an atomic read-modify-write, a SHMKIT_SEQ_CST store or the release of
 * a lock no waiter is missed; after a weaker store one may be, until its next
 * look. */
SHMKIT_API void shmkit_cell_changed(uint32_t *changes);

/* ---- arrays: `length` cells side by side, in memory of the caller's ----
 * The struct may itself lie in shared memory: a hostile length or type gives
 * an error, but the caller answers for data[0] to data[length - 1]. */

struct shmkit_array {
    void *data;
    uint64_t length; /* elements */
    uint32_t type;
    uint32_t reserved;
};
/* Bytes for `length` elements.  -EINVAL: no such type; -EOVERFLOW. */
SHMKIT_API SHMKIT_CHECK int shmkit_array_size(uint32_t type, uint64_t length,
                                              uint64_t *ret_bytes);
/* One element, atomically, SHMKIT_RELAXED.  -ERANGE: past the end; nothing was
 * read or written.  -EINVAL as for a cell. */
SHMKIT_API SHMKIT_CHECK int shmkit_array_get(const struct shmkit_array *array,
                                             uint64_t index,
                                             shmkit_scalar *ret_value);
SHMKIT_API SHMKIT_CHECK int shmkit_array_set(const struct shmkit_array *array,
                                             uint64_t index,
                                             shmkit_scalar value);
SHMKIT_API SHMKIT_CHECK int shmkit_array_apply(
    const struct shmkit_array *array, uint64_t index, uint32_t operation,
    uint32_t order, shmkit_scalar operand, shmkit_scalar *ret_old);
/* `count` elements from `first`, at the speed of memory; -ERANGE, -EINVAL.
 * Not atomic, not even each element: hold a lock if others write. */
SHMKIT_API SHMKIT_CHECK int shmkit_array_read(const struct shmkit_array *array,
                                              uint64_t first, uint64_t count,
                                              void *ret_data);
SHMKIT_API SHMKIT_CHECK int shmkit_array_write(
    const struct shmkit_array *array, uint64_t first, uint64_t count,
    const void *data);

SHMKIT_END

#endif
