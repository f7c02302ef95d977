/* SPDX-License-Identifier: MIT */
/* fuzz_names.c - any bytes as a name.
 *
 * Claim: a name is refused by the rules of block.h, which are written down
 * here once more, or it is created under exactly that name in /dev/shm, and
 * nothing outside of /dev/shm is touched. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static bool
is_family_folder(const char *name)
{
    if (strncmp(name, "shmkit-", 7) != 0 || name[7] == '\0')
        return false;
    return name[7 + strspn(name + 7, "0123456789.")] == '\0';
}

static int
rule(const char *name)
{
    if (name[0] == '\0')
        return -EINVAL;
    if (strlen(name) > 255)
        return -ENAMETOOLONG;
    if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0 || is_family_folder(name))
        return -EINVAL;
    return 0;
}

static void
check_created(const char *name, shmkit_block *block)
{
    char path[300];
    struct stat st;

    (void)snprintf(path, sizeof path, "/dev/shm/%s", name);
    FUZZ_CLAIM(lstat(path, &st) == 0 && S_ISREG(st.st_mode));
    FUZZ_CLAIM(strcmp(shmkit_block_name(block), name) == 0);
    FUZZ_CLAIM(shmkit_block_unlink(name, NULL) == 0);
    FUZZ_CLAIM(lstat(path, &st) < 0);
    shmkit_block_close(block);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    char *name = malloc(size + 1);
    shmkit_block *block = NULL;
    int r;

    fuzz_begin_round();
    FUZZ_CLAIM(name != NULL);
    memcpy(name, data, size);
    name[size] = '\0';
    r = shmkit_block_create(name, 1, NULL, &block);
    FUZZ_CLAIM(r == rule(name));
    if (r == 0)
        check_created(name, block);
    fuzz_use_name(name, &input);
    (void)!shmkit_family_join(name);
    free(name);
    fuzz_end_round();
    return 0;
}
