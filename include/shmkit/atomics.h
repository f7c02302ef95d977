/* SPDX-License-Identifier: MIT */
/* atomics.h - atomic operations on plain numbers in shared memory.
 *
 * One inline function a type and operation, so that hot C code makes no call;
 * each is a symbol of the library too, for other languages.  The numbers are
 * naturally aligned and may lie anywhere: an arena, a block, a struct of
 * yours.  Threads and processes alike; never blocks; a kill leaves the old or
 * the new value.  The arithmetic and exchange return what was there before;
 * integers wrap around.  compare_exchange: if the cell holds *expected make it
 * `desired` and return 1, else 0 and *expected is what it holds; in one order
 * for all.  An order that an operation has not (a load that releases) counts
 * as SHMKIT_SEQ_CST.
 *
 * Types known at run time only, small ones, min and max: value.h. */
#ifndef SHMKIT_ATOMICS_H
#define SHMKIT_ATOMICS_H

#include <shmkit/api.h>

SHMKIT_BEGIN

enum shmkit_order {
    SHMKIT_RELAXED = 0, /* atomic, unordered */
    SHMKIT_ACQUIRE = 1, /* loads: what the writer released is seen */
    SHMKIT_RELEASE = 2, /* stores: what came before is seen with it */
    SHMKIT_ACQ_REL = 3, /* read-modify-write: both */
    SHMKIT_SEQ_CST = 4  /* one order for all */
};

#define SHMKIT_ORDER_OF(order)                      \
    ((order) == SHMKIT_RELAXED   ? __ATOMIC_RELAXED \
     : (order) == SHMKIT_ACQUIRE ? __ATOMIC_ACQUIRE \
     : (order) == SHMKIT_RELEASE ? __ATOMIC_RELEASE \
     : (order) == SHMKIT_ACQ_REL ? __ATOMIC_ACQ_REL \
                                 : __ATOMIC_SEQ_CST)
#define SHMKIT_ORDER_OF_LOAD(order)                 \
    ((order) == SHMKIT_RELAXED   ? __ATOMIC_RELAXED \
     : (order) == SHMKIT_ACQUIRE ? __ATOMIC_ACQUIRE \
                                 : __ATOMIC_SEQ_CST)
#define SHMKIT_ORDER_OF_STORE(order)                \
    ((order) == SHMKIT_RELAXED   ? __ATOMIC_RELAXED \
     : (order) == SHMKIT_RELEASE ? __ATOMIC_RELEASE \
                                 : __ATOMIC_SEQ_CST)

/* ---- i32: int32_t ---- */

SHMKIT_API inline int32_t
shmkit_i32_load(const int32_t *cell, uint32_t order)
{
    return __atomic_load_n(cell, SHMKIT_ORDER_OF_LOAD(order));
}

SHMKIT_API inline void
shmkit_i32_store(int32_t *cell, int32_t value, uint32_t order)
{
    __atomic_store_n(cell, value, SHMKIT_ORDER_OF_STORE(order));
}

SHMKIT_API inline int32_t
shmkit_i32_exchange(int32_t *cell, int32_t value, uint32_t order)
{
    return __atomic_exchange_n(cell, value, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline int
shmkit_i32_compare_exchange(int32_t *cell, int32_t *expected, int32_t desired)
{
    return __atomic_compare_exchange_n(cell, expected, desired, 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

SHMKIT_API inline int32_t
shmkit_i32_add(int32_t *cell, int32_t operand, uint32_t order)
{
    return __atomic_fetch_add(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline int32_t
shmkit_i32_sub(int32_t *cell, int32_t operand, uint32_t order)
{
    return __atomic_fetch_sub(cell, operand, SHMKIT_ORDER_OF(order));
}

/* ---- i64: int64_t ---- */

SHMKIT_API inline int64_t
shmkit_i64_load(const int64_t *cell, uint32_t order)
{
    return __atomic_load_n(cell, SHMKIT_ORDER_OF_LOAD(order));
}

SHMKIT_API inline void
shmkit_i64_store(int64_t *cell, int64_t value, uint32_t order)
{
    __atomic_store_n(cell, value, SHMKIT_ORDER_OF_STORE(order));
}

SHMKIT_API inline int64_t
shmkit_i64_exchange(int64_t *cell, int64_t value, uint32_t order)
{
    return __atomic_exchange_n(cell, value, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline int
shmkit_i64_compare_exchange(int64_t *cell, int64_t *expected, int64_t desired)
{
    return __atomic_compare_exchange_n(cell, expected, desired, 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

SHMKIT_API inline int64_t
shmkit_i64_add(int64_t *cell, int64_t operand, uint32_t order)
{
    return __atomic_fetch_add(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline int64_t
shmkit_i64_sub(int64_t *cell, int64_t operand, uint32_t order)
{
    return __atomic_fetch_sub(cell, operand, SHMKIT_ORDER_OF(order));
}

/* ---- u32: uint32_t ---- */

SHMKIT_API inline uint32_t
shmkit_u32_load(const uint32_t *cell, uint32_t order)
{
    return __atomic_load_n(cell, SHMKIT_ORDER_OF_LOAD(order));
}

SHMKIT_API inline void
shmkit_u32_store(uint32_t *cell, uint32_t value, uint32_t order)
{
    __atomic_store_n(cell, value, SHMKIT_ORDER_OF_STORE(order));
}

SHMKIT_API inline uint32_t
shmkit_u32_exchange(uint32_t *cell, uint32_t value, uint32_t order)
{
    return __atomic_exchange_n(cell, value, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline int
shmkit_u32_compare_exchange(uint32_t *cell, uint32_t *expected,
                            uint32_t desired)
{
    return __atomic_compare_exchange_n(cell, expected, desired, 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

SHMKIT_API inline uint32_t
shmkit_u32_add(uint32_t *cell, uint32_t operand, uint32_t order)
{
    return __atomic_fetch_add(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline uint32_t
shmkit_u32_sub(uint32_t *cell, uint32_t operand, uint32_t order)
{
    return __atomic_fetch_sub(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline uint32_t
shmkit_u32_and(uint32_t *cell, uint32_t operand, uint32_t order)
{
    return __atomic_fetch_and(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline uint32_t
shmkit_u32_or(uint32_t *cell, uint32_t operand, uint32_t order)
{
    return __atomic_fetch_or(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline uint32_t
shmkit_u32_xor(uint32_t *cell, uint32_t operand, uint32_t order)
{
    return __atomic_fetch_xor(cell, operand, SHMKIT_ORDER_OF(order));
}

/* ---- u64: uint64_t ---- */

SHMKIT_API inline uint64_t
shmkit_u64_load(const uint64_t *cell, uint32_t order)
{
    return __atomic_load_n(cell, SHMKIT_ORDER_OF_LOAD(order));
}

SHMKIT_API inline void
shmkit_u64_store(uint64_t *cell, uint64_t value, uint32_t order)
{
    __atomic_store_n(cell, value, SHMKIT_ORDER_OF_STORE(order));
}

SHMKIT_API inline uint64_t
shmkit_u64_exchange(uint64_t *cell, uint64_t value, uint32_t order)
{
    return __atomic_exchange_n(cell, value, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline int
shmkit_u64_compare_exchange(uint64_t *cell, uint64_t *expected,
                            uint64_t desired)
{
    return __atomic_compare_exchange_n(cell, expected, desired, 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

SHMKIT_API inline uint64_t
shmkit_u64_add(uint64_t *cell, uint64_t operand, uint32_t order)
{
    return __atomic_fetch_add(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline uint64_t
shmkit_u64_sub(uint64_t *cell, uint64_t operand, uint32_t order)
{
    return __atomic_fetch_sub(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline uint64_t
shmkit_u64_and(uint64_t *cell, uint64_t operand, uint32_t order)
{
    return __atomic_fetch_and(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline uint64_t
shmkit_u64_or(uint64_t *cell, uint64_t operand, uint32_t order)
{
    return __atomic_fetch_or(cell, operand, SHMKIT_ORDER_OF(order));
}

SHMKIT_API inline uint64_t
shmkit_u64_xor(uint64_t *cell, uint64_t operand, uint32_t order)
{
    return __atomic_fetch_xor(cell, operand, SHMKIT_ORDER_OF(order));
}

/* ---- f64: double ---- */

SHMKIT_API inline double
shmkit_f64_load(const double *cell, uint32_t order)
{
    double value;
    __atomic_load(cell, &value, SHMKIT_ORDER_OF_LOAD(order));
    return value;
}

SHMKIT_API inline void
shmkit_f64_store(double *cell, double value, uint32_t order)
{
    __atomic_store(cell, &value, SHMKIT_ORDER_OF_STORE(order));
}

SHMKIT_API inline double
shmkit_f64_add(double *cell, double operand, uint32_t order)
{
    double old, sum;
    __atomic_load(cell, &old, __ATOMIC_RELAXED);
    do {
        sum = old + operand;
    } while (!__atomic_compare_exchange(
        cell, &old, &sum, 0, SHMKIT_ORDER_OF(order), __ATOMIC_RELAXED));
    return old;
}

SHMKIT_END

#endif
