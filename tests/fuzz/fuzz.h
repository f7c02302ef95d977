/* SPDX-License-Identifier: MIT */
/* fuzz.h - what the fuzz targets share: bytes to take decisions from, files
 * to plant, and the end of a round.
 *
 * Every target runs in a private /dev/shm (run.sh sees to it), as one process
 * that lives for thousands of rounds.  A broken claim ends it by abort(), as
 * the sanitizers do. */
#ifndef SHMKIT_TESTS_FUZZ_H
#define SHMKIT_TESTS_FUZZ_H

#include <shmkit/shmkit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuzz_input {
    const uint8_t *data;
    size_t size;
};

/* The next byte; 0 when there is none left. */
uint8_t fuzz_byte(struct fuzz_input *input);
uint32_t fuzz_u32(struct fuzz_input *input);

/* Write a file, in place of what stands there. */
void fuzz_put(const char *path, const void *data, size_t size, unsigned mode);

/* Says what was claimed and aborts. */
void fuzz_claim_failed(const char *file, int line, const char *claim)
    __attribute__((noreturn));
#define FUZZ_CLAIM(condition)                                  \
    do {                                                       \
        if (!(condition))                                      \
            fuzz_claim_failed(__FILE__, __LINE__, #condition); \
    } while (0)

/* Attach in every way, stat, list, sweep, grow, reap and unlink `name`,
 * whatever stands there.  The mapped bytes are not touched: somebody may have
 * shortened the file. */
void fuzz_use_name(const char *name, struct fuzz_input *input);

void fuzz_begin_round(void);
/* Leave the family, close everything, empty /dev/shm and check that no
 * descriptor and no mapping has stayed. */
void fuzz_end_round(void);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
