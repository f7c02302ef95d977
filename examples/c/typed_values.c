/* SPDX-License-Identifier: MIT */
/* typed_values.c - every type of cell: its size, and what a child made of it.
 *
 * The types are numbers, so that a program can learn them at run time; where
 * they are known, a plain struct and <shmkit/atomics.h> are all it takes. */
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const names[] = {
    "",       "bool",   "int8",   "int16", "int32",  "int64", "uint8",
    "uint16", "uint32", "uint64", "float", "double", "char",  "wchar"};

/* Each cell becomes all ones, whatever its type. */
static int
fill(shmkit_scalar *cell)
{
    shmkit_scalar ones = {.u64 = UINT64_MAX};

    for (uint32_t type = SHMKIT_BOOL; type <= SHMKIT_WCHAR; type++)
        if (shmkit_cell_store(&cell[type], type, SHMKIT_RELEASE, ones) < 0)
            return 1;
    return 0;
}

int
main(void)
{
    shmkit_arena *arena = NULL;
    shmkit_scalar *cell, v = {.u64 = 0};
    uint64_t offset = 0;
    int status = 1;

    if (shmkit_arena_of_family(&arena) < 0 ||
        shmkit_arena_alloc(arena, 14 * sizeof *cell, &offset) < 0)
        return 1;
    cell = shmkit_arena_at(arena, offset, 14 * sizeof *cell);
    if (fork() == 0)
        return fill(cell);
    wait(&status);
    for (uint32_t type = SHMKIT_BOOL; type <= SHMKIT_WCHAR; type++) {
        if (shmkit_cell_load(&cell[type], type, SHMKIT_ACQUIRE, &v) < 0)
            return 1;
        printf("%s %zu %llx\n", names[type], shmkit_type_size(type),
               (unsigned long long)v.u64);
    }
    return status != 0 || shmkit_arena_free(arena, offset) < 0;
}
