/* SPDX-License-Identifier: MIT */
/* fuzz_file.c - files of any size, mode and content under a block's name.
 *
 * The first bytes say what the file is; all the rest is its content.  Claim:
 * no crash, no wait, no leak; and a plain file is never swept. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define NAME "fuzzed"
#define PATH "/dev/shm/" NAME

static void
plant(struct fuzz_input *input, uint8_t kind, unsigned mode)
{
    switch (kind % 6) {
        case 0:
            FUZZ_CLAIM(mkdir(PATH, 0700) == 0);
            break;
        case 1:
            FUZZ_CLAIM(mkfifo(PATH, mode & 07777) == 0);
            break;
        case 2:
            FUZZ_CLAIM(symlink(fuzz_byte(input) & 1 ? NAME : "/etc/passwd",
                               PATH) == 0);
            break;
        default:
            fuzz_put(PATH, input->data, input->size, mode);
            /* Longer or shorter than what was written. */
            if (kind & 0x80)
                FUZZ_CLAIM(truncate(PATH, fuzz_u32(input) & 0x3ffffff) == 0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t kind = fuzz_byte(&input);
    unsigned mode = fuzz_u32(&input) & 07777;
    bool plain = kind % 6 > 2 && (mode & 01000) == 0;
    struct stat st;

    fuzz_begin_round();
    plant(&input, kind, mode);
    if (plain) {
        FUZZ_CLAIM(shmkit_sweep(0, NULL, NULL) == 0);
        FUZZ_CLAIM(lstat(PATH, &st) == 0);
        FUZZ_CLAIM(shmkit_block_reap(NAME) == SHMKIT_KEPT);
    }
    fuzz_use_name(NAME, &input);
    fuzz_end_round();
    return 0;
}
