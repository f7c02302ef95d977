/* SPDX-License-Identifier: MIT */
/* share_array.c - two processes work on one array of doubles.
 *
 * The shape stands in front of the numbers: fixed-width fields, no pointers,
 * since each process maps the block somewhere else. */
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct matrix {
    uint32_t rows, columns;
    double value[]; /* rows * columns of them */
};

static int
double_first_row(const char *name)
{
    shmkit_block *block = NULL;
    struct matrix *m;
    int r;

    r = shmkit_block_attach(name, NULL, &block);
    if (r < 0)
        return r;

    m = shmkit_block_data(block);
    for (uint32_t i = 0; i < m->columns; i++)
        m->value[i] *= 2;
    shmkit_block_close(block);
    return 0;
}

int
main(void)
{
    shmkit_block *block = NULL;
    struct matrix *m;
    int r, status = 1;

    r = shmkit_block_create(NULL, sizeof *m + 12 * sizeof m->value[0], NULL,
                            &block);
    if (r < 0)
        goto out;
    m = shmkit_block_data(block);
    *m = (struct matrix){.rows = 3, .columns = 4};
    for (uint32_t i = 0; i < 12; i++)
        m->value[i] = i;

    if (fork() == 0)
        return double_first_row(shmkit_block_name(block)) < 0;
    wait(&status);
    for (uint32_t i = 0; i < 12; i++)
        printf("%g%c", m->value[i], (i + 1) % m->columns ? ' ' : '\n');
    r = shmkit_block_unlink(shmkit_block_name(block), NULL);
out:
    shmkit_block_close(block);
    return r < 0 || status != 0;
}
