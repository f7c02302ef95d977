/* SPDX-License-Identifier: MIT */
/* atomic.h - one function per memory order that is used.
 *
 * A reviewer greps for an order instead of reading arguments.  Plain integers
 * are operated on, so that shared structs stay plain: the compiler built-ins
 * are the same on gcc and clang, and lock-free for these sizes everywhere the
 * library runs. */
#ifndef SHMKITI_BASE_ATOMIC_H
#define SHMKITI_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t
shmkiti_load_acquire_u64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline uint32_t
shmkiti_load_acquire_u32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline uint64_t
shmkiti_load_relaxed_u64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void
shmkiti_store_relaxed_u64(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void
shmkiti_store_release_u32(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* *p: `from` -> `to`; false when it was something else. */
static inline bool
shmkiti_cas_acq_rel_u64(uint64_t *p, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static inline bool
shmkiti_cas_acq_rel_u32(uint32_t *p, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static inline uint32_t
shmkiti_load_relaxed_u32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint32_t
shmkiti_load_seq_cst_u32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static inline void
shmkiti_store_relaxed_u32(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline bool
shmkiti_cas_seq_cst_u32(uint32_t *p, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

static inline uint32_t
shmkiti_exchange_seq_cst_u32(uint32_t *p, uint32_t v)
{
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);
}

static inline uint64_t
shmkiti_load_seq_cst_u64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static inline void
shmkiti_store_release_u64(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline bool
shmkiti_cas_seq_cst_u64(uint64_t *p, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

static inline uint64_t
shmkiti_exchange_seq_cst_u64(uint64_t *p, uint64_t v)
{
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);
}

static inline bool
shmkiti_cas_acquire_u32(uint32_t *p, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static inline uint32_t
shmkiti_exchange_release_u32(uint32_t *p, uint32_t v)
{
    return __atomic_exchange_n(p, v, __ATOMIC_RELEASE);
}

static inline uint32_t
shmkiti_fetch_or_seq_cst_u32(uint32_t *p, uint32_t v)
{
    return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);
}

static inline uint32_t
shmkiti_fetch_and_seq_cst_u32(uint32_t *p, uint32_t v)
{
    return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);
}

static inline uint32_t
shmkiti_fetch_add_seq_cst_u32(uint32_t *p, uint32_t v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
}

/* ---- bytes ---- */

static inline uint8_t
shmkiti_load_acquire_u8(const uint8_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void
shmkiti_store_release_u8(uint8_t *p, uint8_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* What was loaded before stays before what is loaded after; and the same of
 * stores. */
static inline void
shmkiti_fence_acquire(void)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

static inline void
shmkiti_fence_release(void)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

#endif
