/* SPDX-License-Identifier: MIT */
/* fuzz_family.c - any bytes as the table of a family.
 *
 * The bytes lie there raw, or behind a first page that is sound but for what
 * they change in it; and some of the words are those of blocks that exist, so
 * that sweeps have something to judge.  Claims: no crash, no wait, no leak;
 * and whatever a table says, a sweep takes no block that it does not list. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/table.h"
#include "fuzz.h"
#include "os/os.h"

#define ID "0123456789abcdef"
#define MAX_FILE (SHMKITI_TABLE_OFFSET(3))

static unsigned char file[MAX_FILE];

static const char *
family_path(void)
{
    static char path[64];

    (void)snprintf(path, sizeof path, "/dev/shm/shmkit-%u/" ID, geteuid());
    (void)mkdir("/dev/shm", 0700);
    return path;
}

static void
make_folder(void)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/dev/shm/shmkit-%u", geteuid());
    (void)mkdir(path, 0700);
}

static uint64_t
key_of(const char *path)
{
    struct shmkiti_os_stat st;

    FUZZ_CLAIM(shmkiti_os_stat_path(path, &st) == 0);
    return shmkiti_table_key(&st);
}

/* Page 0 as it should be, but for what the input says. */
static void
sound_page(struct fuzz_input *input)
{
    struct shmkiti_table_shared page;
    uint8_t change = fuzz_byte(input);

    shmkiti_table_init(&page, UINT64_C(0x0123456789abcdef));
    page.segments = 1 + (change & 1);
    if (change & 2)
        page.segments = fuzz_u32(input);
    if (change & 4)
        page.dead = fuzz_byte(input);
    if (change & 8)
        page.kept = fuzz_u32(input);
    if (change & 16)
        page.kept_len = fuzz_u32(input) & 0x1fff;
    if (change & 32)
        page.layout ^= fuzz_byte(input);
    if (change & 64)
        page.magic ^= fuzz_byte(input);
    memcpy(file, &page, sizeof page);
}

static void
put_word(struct fuzz_input *input, uint64_t key)
{
    size_t count = (MAX_FILE - SHMKITI_TABLE_PAGE) / sizeof key;
    size_t at = fuzz_u32(input) % count;

    if (fuzz_byte(input) & 1)
        key |= SHMKITI_PEND;
    memcpy(file + SHMKITI_TABLE_PAGE + at * sizeof key, &key, sizeof key);
}

/* Bytes anywhere: pairs of a place and a value. */
static void
sprinkle(struct fuzz_input *input, unsigned count)
{
    while (count-- > 0 && input->size > 0)
        file[fuzz_u32(input) % MAX_FILE] = fuzz_byte(input);
}

static size_t
build(struct fuzz_input *input, uint8_t kind)
{
    size_t size = MAX_FILE;

    memset(file, 0, sizeof file);
    if (kind & 1) {
        size = input->size < MAX_FILE ? input->size : MAX_FILE;
        memcpy(file, input->data, size);
        return size;
    }
    sound_page(input);
    put_word(input, key_of("/dev/shm/listed"));
    if (kind & 2)
        (void)snprintf((char *)file + SHMKITI_TABLE_KEPT_AT, 64, "%s",
                       "listed");
    sprinkle(input, fuzz_byte(input));
    if (kind & 4)
        size = fuzz_u32(input) % (MAX_FILE + 1);
    return size;
}

static void
join_and_work(struct fuzz_input *input)
{
    int fd = open(family_path(), O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        (void)!shmkit_family_join_fd(fd);
        (void)close(fd);
    }
    (void)!shmkit_family_join(ID);
    fuzz_use_name("listed", input);
    fuzz_use_name("new", input);
    if (shmkit_family_get_fd(&fd) == 0)
        FUZZ_CLAIM(fcntl(fd, F_GETFD) >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t kind = fuzz_byte(&input);
    struct stat st;

    fuzz_begin_round();
    fuzz_put("/dev/shm/listed", "x", 1, 0600);
    fuzz_put("/dev/shm/unlisted", "x", 1, 0600);
    make_folder();
    size = build(&input, kind);
    fuzz_put(family_path(), file, size, kind & 8 ? 0600 : 01600);
    if (kind & 16)
        FUZZ_CLAIM(shmkit_sweep(0, NULL, NULL) == 0);
    join_and_work(&input);
    FUZZ_CLAIM(shmkit_sweep(0, NULL, NULL) == 0);
    shmkit_process_exit();
    FUZZ_CLAIM(shmkit_sweep(0, NULL, NULL) == 0);
    FUZZ_CLAIM(lstat("/dev/shm/unlisted", &st) == 0);
    fuzz_end_round();
    return 0;
}
