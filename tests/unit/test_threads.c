/* SPDX-License-Identifier: MIT */
/* test_threads.c - eight threads do everything at once, forks included.
 *
 * Run under a thread sanitizer too: the claims are that it stays silent, that
 * no call gives an error it may not give, and that nothing is left.  The seed
 * is printed; T_SEED sets it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

#define THREADS 8
#define NAMES 6
#define ROUNDS 400

struct worker {
    pthread_t thread;
    unsigned seed;
    int rounds;
};

static void
pick_name(unsigned *seed, char name[T_NAME_SIZE])
{
    (void)snprintf(name, T_NAME_SIZE, "%sthread%d", t_run_prefix(),
                   rand_r(seed) % NAMES);
}

static void
allow(int r, const int *allowed)
{
    for (; *allowed != 1; allowed++) {
        if (r == *allowed)
            return;
    }
    T_CHECK_EQ(r, 0);
}

static void
use(shmkit_block *block)
{
    unsigned char *data = shmkit_block_data(block);

    /* Other threads write too: relaxed, as the user of such a block would. */
    __atomic_store_n(&data[0], 1, __ATOMIC_RELAXED);
    __atomic_store_n(&data[shmkit_block_size(block) - 1], 1, __ATOMIC_RELAXED);
}

static void
create_and_close(unsigned *seed)
{
    static const int allowed[] = {-EEXIST, 0, SHMKIT_EXISTED, 1};
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block = NULL;
    char name[T_NAME_SIZE];
    int r;

    pick_name(seed, name);
    options.lifetime = (uint32_t)rand_r(seed) % 2;
    options.flags = rand_r(seed) % 2 ? SHMKIT_EXIST_OK : 0;
    r = shmkit_block_create(name, 4096, &options, &block);
    if (r == SHMKIT_EXISTED)
        r = 0;
    allow(r, allowed);
    if (block != NULL)
        use(block);
    shmkit_block_close(block);
}

static void
attach_and_grow(unsigned *seed)
{
    static const int allowed[] = {-ENOENT, -ESTALE, 0, 1};
    shmkit_block *block = NULL, *grown = NULL;
    char name[T_NAME_SIZE];
    int r;

    pick_name(seed, name);
    r = shmkit_block_attach(name, NULL, &block);
    allow(r, allowed);
    if (r < 0)
        return;
    use(block);
    r = shmkit_block_grow(block, 8192 + (size_t)rand_r(seed) % 8192, &grown);
    allow(r, allowed);
    shmkit_block_close(block);
    if (grown != NULL)
        use(grown);
    shmkit_block_close(grown);
}

static void
unlink_one(unsigned *seed)
{
    static const int allowed[] = {-ENOENT, 0, 1};
    char name[T_NAME_SIZE];

    pick_name(seed, name);
    allow(shmkit_block_unlink(name, NULL), allowed);
}

static int
see_block(const struct shmkit_block_stat *stat, void *arg)
{
    (void)arg;
    /* Whole, whatever moves: one of the names, or a drawn one. */
    T_CHECK(strncmp(stat->name, "psm_", 4) == 0 ||
            strncmp(stat->name, t_run_prefix(), 5) == 0);
    T_CHECK(stat->size >= 4096 && stat->size < 16384);
    return 0;
}

static void
look_and_sweep(unsigned *seed)
{
    if (rand_r(seed) % 2)
        T_CHECK_EQ(shmkit_block_list(see_block, NULL), 0);
    else
        T_CHECK_EQ(unit_sweep(), 0);
}

/* The child works too, then leaves by exit handling or without. */
static void
fork_one(unsigned *seed)
{
    unsigned child_seed = (unsigned)rand_r(seed);
    int status;
    pid_t pid = T_SYS(fork());

    if (pid == 0) {
        for (int i = 0; i < 3; i++) {
            create_and_close(&child_seed);
            attach_and_grow(&child_seed);
        }
        if (child_seed % 2)
            shmkit_process_exit();
        _exit(T_PASS);
    }
    T_SYS(waitpid(pid, &status, 0));
    T_CHECK_EQ(status, 0);
}

static void
drawn_block(void)
{
    shmkit_block *block = unit_create(NULL, 4096, 0, 0);
    struct shmkit_block_ref ref = shmkit_block_get_ref(block);

    use(block);
    T_CHECK_EQ(shmkit_block_unlink(shmkit_block_name(block), &ref), 0);
    shmkit_block_close(block);
}

static void *
work(void *arg)
{
    struct worker *worker = arg;

    for (int i = 0; i < worker->rounds; i++) {
        switch (rand_r(&worker->seed) % 16) {
            case 0:
                fork_one(&worker->seed);
                break;
            case 1:
                look_and_sweep(&worker->seed);
                break;
            case 2:
            case 3:
                drawn_block();
                break;
            case 4:
            case 5:
            case 6:
                unlink_one(&worker->seed);
                break;
            case 7:
            case 8:
            case 9:
            case 10:
                create_and_close(&worker->seed);
                break;
            default:
                attach_and_grow(&worker->seed);
        }
    }
    return NULL;
}

static void
unlink_all(void)
{
    char name[T_NAME_SIZE];

    for (int i = 0; i < NAMES; i++) {
        (void)snprintf(name, sizeof name, "%sthread%d", t_run_prefix(), i);
        (void)!shmkit_block_unlink(name, NULL);
    }
}

static void
run_threads(int rounds)
{
    const char *text = getenv("T_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10)
                         : (unsigned)time(NULL) * 31 + (unsigned)getpid();
    struct worker workers[THREADS];

    printf("T_SEED=%u\n", seed);
    for (int i = 0; i < THREADS; i++) {
        workers[i].seed = seed + (unsigned)i;
        workers[i].rounds = rounds;
        T_CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]),
                   0);
    }
    for (int i = 0; i < THREADS; i++)
        T_CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
}

static void
test_eight_threads_do_everything(void)
{
    run_threads(ROUNDS);
    unlink_all();
}

/* Nothing is unlinked at the end: exit handling takes all of it. */
static void
test_exit_after_eight_threads(void)
{
    run_threads(ROUNDS / 8);
}

static void *
form_one(void *arg)
{
    (void)arg;
    T_CHECK_EQ(shmkit_family_form(), 0);
    return NULL;
}

static void
test_threads_form_one_family(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        T_CHECK_EQ(pthread_create(&threads[i], NULL, form_one, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        T_CHECK_EQ(pthread_join(threads[i], NULL), 0);
    T_CHECK_EQ(unit_family_count(), 1);
}

/* One handle, read by all: asking it takes no lock and makes no race. */
static void *
ask(void *arg)
{
    shmkit_block *block = arg, *grown;
    int fd;

    for (int i = 0; i < 50; i++) {
        T_CHECK_EQ(shmkit_block_size(block), 4096);
        T_CHECK_EQ(shmkit_block_mode(block), 0600);
        T_CHECK(shmkit_block_name(block)[0] == 'p');
        T_CHECK_EQ(shmkit_block_open_fd(block, &fd), 0);
        T_SYS(close(fd));
        grown = NULL;
        T_CHECK_EQ(shmkit_block_grow(block, 0, &grown), 0);
        shmkit_block_close(grown);
    }
    return NULL;
}

static void
test_threads_share_a_handle(void)
{
    shmkit_block *block = unit_create(NULL, 4096, 0, 0);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        T_CHECK_EQ(pthread_create(&threads[i], NULL, ask, block), 0);
    for (int i = 0; i < THREADS; i++)
        T_CHECK_EQ(pthread_join(threads[i], NULL), 0);
    T_CHECK_EQ(shmkit_block_unlink(shmkit_block_name(block), NULL), 0);
    shmkit_block_close(block);
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_eight_threads_do_everything),
        UNIT_CASE(test_exit_after_eight_threads),
        UNIT_CASE(test_threads_form_one_family),
        UNIT_CASE(test_threads_share_a_handle),
    };

    return UNIT_MAIN("threads", "size=64m", cases);
}
