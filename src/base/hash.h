/* SPDX-License-Identifier: MIT */
/* hash.h - spreading the bits of one integer (the finaliser of MurmurHash3,
 * Austin Appleby, public domain). */
#ifndef SHMKITI_BASE_HASH_H
#define SHMKITI_BASE_HASH_H

#include <stdint.h>

static inline uint64_t
shmkiti_mix_u64(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

#endif
