/* SPDX-License-Identifier: MIT */
/* atomics.c - the inline functions of <shmkit/atomics.h> as symbols.
 *
 * One definition, in the header; an extern declaration of an inline function
 * makes the compiler emit it here, for callers that do not inline it and for
 * other languages.  No state; nothing a kill could leave half done. */
#include <shmkit/atomics.h>

extern inline int32_t shmkit_i32_load(const int32_t *cell, uint32_t order);
extern inline void shmkit_i32_store(int32_t *cell, int32_t value,
                                    uint32_t order);
extern inline int32_t shmkit_i32_exchange(int32_t *cell, int32_t value,
                                          uint32_t order);
extern inline int shmkit_i32_compare_exchange(int32_t *cell, int32_t *expected,
                                              int32_t desired);
extern inline int32_t shmkit_i32_add(int32_t *cell, int32_t operand,
                                     uint32_t order);
extern inline int32_t shmkit_i32_sub(int32_t *cell, int32_t operand,
                                     uint32_t order);
extern inline int64_t shmkit_i64_load(const int64_t *cell, uint32_t order);
extern inline void shmkit_i64_store(int64_t *cell, int64_t value,
                                    uint32_t order);
extern inline int64_t shmkit_i64_exchange(int64_t *cell, int64_t value,
                                          uint32_t order);
extern inline int shmkit_i64_compare_exchange(int64_t *cell, int64_t *expected,
                                              int64_t desired);
extern inline int64_t shmkit_i64_add(int64_t *cell, int64_t operand,
                                     uint32_t order);
extern inline int64_t shmkit_i64_sub(int64_t *cell, int64_t operand,
                                     uint32_t order);
extern inline uint32_t shmkit_u32_load(const uint32_t *cell, uint32_t order);
extern inline void shmkit_u32_store(uint32_t *cell, uint32_t value,
                                    uint32_t order);
extern inline uint32_t shmkit_u32_exchange(uint32_t *cell, uint32_t value,
                                           uint32_t order);
extern inline int shmkit_u32_compare_exchange(uint32_t *cell,
                                              uint32_t *expected,
                                              uint32_t desired);
extern inline uint32_t shmkit_u32_add(uint32_t *cell, uint32_t operand,
                                      uint32_t order);
extern inline uint32_t shmkit_u32_sub(uint32_t *cell, uint32_t operand,
                                      uint32_t order);
extern inline uint32_t shmkit_u32_and(uint32_t *cell, uint32_t operand,
                                      uint32_t order);
extern inline uint32_t shmkit_u32_or(uint32_t *cell, uint32_t operand,
                                     uint32_t order);
extern inline uint32_t shmkit_u32_xor(uint32_t *cell, uint32_t operand,
                                      uint32_t order);
extern inline uint64_t shmkit_u64_load(const uint64_t *cell, uint32_t order);
extern inline void shmkit_u64_store(uint64_t *cell, uint64_t value,
                                    uint32_t order);
extern inline uint64_t shmkit_u64_exchange(uint64_t *cell, uint64_t value,
                                           uint32_t order);
extern inline int shmkit_u64_compare_exchange(uint64_t *cell,
                                              uint64_t *expected,
                                              uint64_t desired);
extern inline uint64_t shmkit_u64_add(uint64_t *cell, uint64_t operand,
                                      uint32_t order);
extern inline uint64_t shmkit_u64_sub(uint64_t *cell, uint64_t operand,
                                      uint32_t order);
extern inline uint64_t shmkit_u64_and(uint64_t *cell, uint64_t operand,
                                      uint32_t order);
extern inline uint64_t shmkit_u64_or(uint64_t *cell, uint64_t operand,
                                     uint32_t order);
extern inline uint64_t shmkit_u64_xor(uint64_t *cell, uint64_t operand,
                                      uint32_t order);
extern inline double shmkit_f64_load(const double *cell, uint32_t order);
extern inline void shmkit_f64_store(double *cell, double value,
                                    uint32_t order);
extern inline double shmkit_f64_add(double *cell, double operand,
                                    uint32_t order);
