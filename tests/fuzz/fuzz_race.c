/* SPDX-License-Identifier: MIT */
/* fuzz_race.c - a second thread renames, truncates, removes and replaces the
 * file while the first uses it.
 *
 * The thread makes system calls only, as another process would, in the order
 * that the input gives and over and over until the first is done.  Claims: no
 * crash, no hang (libFuzzer's -timeout), no leak.  Families' own files are
 * left alone: they lie in a folder of the same user, who could as well kill
 * the process. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define NAME "raced"
#define PATH "/dev/shm/" NAME
#define OTHER "/dev/shm/other"
#define MOVES 8

struct rival {
    pthread_t thread;
    uint8_t moves[MOVES];
    int stop;
};

static void
make_file(const char *path, unsigned mode)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return;
    (void)!ftruncate(fd, 8192);
    (void)!fchmod(fd, mode);
    (void)close(fd);
}

static void
make_move(uint8_t move)
{
    switch (move % 10) {
        case 0:
            (void)!truncate(PATH, 0);
            break;
        case 1:
            (void)!truncate(PATH, 3 * 4096 + 1);
            break;
        case 2:
            (void)!rename(PATH, OTHER);
            break;
        case 3:
            (void)!rename(OTHER, PATH);
            break;
        case 4:
            (void)!unlink(PATH);
            break;
        case 5:
            make_file(PATH, 0600);
            break;
        case 6:
            make_file(PATH, 01600);
            break;
        case 7:
            (void)!unlink(PATH);
            (void)!symlink(OTHER, PATH);
            break;
        case 8:
            (void)!chmod(PATH, move & 0x80 ? 01600 : 0600);
            break;
        default:
            make_file(OTHER, 0600);
            (void)!link(OTHER, PATH);
    }
}

static void *
move_on(void *arg)
{
    struct rival *rival = arg;

    while (!__atomic_load_n(&rival->stop, __ATOMIC_ACQUIRE)) {
        for (int i = 0; i < MOVES; i++)
            make_move(rival->moves[i]);
    }
    return NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct rival rival = {.stop = 0};
    uint8_t rounds = fuzz_byte(&input) % 16;

    fuzz_begin_round();
    for (int i = 0; i < MOVES; i++)
        rival.moves[i] = fuzz_byte(&input);
    make_file(PATH, 0600);
    make_file(OTHER, 0600);
    FUZZ_CLAIM(pthread_create(&rival.thread, NULL, move_on, &rival) == 0);
    for (uint8_t i = 0; i <= rounds; i++) {
        struct fuzz_input again = input;

        fuzz_use_name(NAME, &again);
    }
    __atomic_store_n(&rival.stop, 1, __ATOMIC_RELEASE);
    FUZZ_CLAIM(pthread_join(rival.thread, NULL) == 0);
    fuzz_end_round();
    return 0;
}
