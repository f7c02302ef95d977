/* SPDX-License-Identifier: MIT */
/* partitioned_image.c - four processes turn one image grey, without a lock.
 *
 * Each has rows of its own, so no two ever write the same byte.  The workers
 * are forked and use the mapping they inherit; see examples/demo for workers
 * that attach by name and may be killed. */
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WIDTH = 640, HEIGHT = 480, WORKERS = 4 };
typedef unsigned char image[HEIGHT][WIDTH][3];

static void
gray_rows(image pixels, int first, int last)
{
    for (int y = first; y < last; y++)
        for (int x = 0; x < WIDTH; x++) {
            unsigned char *p = pixels[y][x];

            p[0] = p[1] = p[2] =
                (unsigned char)((299 * p[0] + 587 * p[1] + 114 * p[2]) / 1000);
        }
}

int
main(void)
{
    shmkit_block *block = NULL;
    unsigned char *bytes;
    unsigned long sum = 0;
    int r, status, failures = 0;

    r = shmkit_block_create(NULL, sizeof(image), NULL, &block);
    if (r < 0)
        return 1;
    bytes = shmkit_block_data(block);
    for (size_t i = 0; i < sizeof(image); i++)
        bytes[i] = (unsigned char)(i * i >> 7);

    for (int i = 0; i < WORKERS; i++)
        if (fork() == 0) {
            gray_rows(*(image *)(void *)bytes, HEIGHT * i / WORKERS,
                      HEIGHT * (i + 1) / WORKERS);
            return 0;
        }
    while (wait(&status) > 0)
        failures += status != 0;

    for (size_t i = 0; i < sizeof(image); i++)
        sum += bytes[i];
    printf("%d of %d workers failed, sum %lu\n", failures, WORKERS, sum);
    r = shmkit_block_unlink(shmkit_block_name(block), NULL);
    shmkit_block_close(block);
    return r < 0 || failures > 0;
}
