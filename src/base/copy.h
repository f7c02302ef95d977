/* SPDX-License-Identifier: MIT */
/* copy.h - copying bytes at the speed of memory. */
#ifndef SHMKITI_BASE_COPY_H
#define SHMKITI_BASE_COPY_H

#include <stddef.h>

/* As memcpy: the ranges do not overlap. */
void shmkiti_copy(void *to, const void *from, size_t len);

#endif
