/* SPDX-License-Identifier: MIT */
/* actions.c - what one process of a storm does with blocks.
 *
 * Every function makes one call of the library, timed, and judges its result
 * with what the oracle knows.  State: the holds of this process, its own. */
#include "actions.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIG (3u << 20) /* bytes: on 2 MiB pages where the kernel can */
#define HUGE_SIZE ((size_t)2 << 20)
#define ROOM_BIG (UINT64_C(512) << 20) /* that stays free */

struct t_hold t_holds[T_MAX_HOLDS];
unsigned t_hold_count;
const uint64_t *t_stop_clock;

void
t_unexpected(const char *what, const char *name, int r)
{
    if (r == -EBUSY)
        t_did(T_DID_BUSY);
    else
        t_bad(T_BAD_RESULT, "%s %s: %d (%s)", what, name ? name : "-", r,
              shmkit_strerror(r));
}

static struct t_hold *
keep(shmkit_block *block, bool attached)
{
    struct t_hold *hold = &t_holds[t_hold_count++];

    t_hold_begin(hold, block, attached);
    return hold;
}

/* Big blocks are made only while half of the GiB of /dev/shm is free, however
 * many processes have them mapped. */
static bool
is_room(void)
{
    struct statvfs fs;

    return statvfs("/dev/shm", &fs) == 0 &&
           (uint64_t)fs.f_bavail * fs.f_bsize > ROOM_BIG;
}

/* With `big` four in five are a little below, at or a little above 2 or
 * 4 MiB. */
static size_t
pick_size(void)
{
    static const int about[] = {-4097, -4096, -1, 0, 0, 1, 4096, 9001};
    size_t n = sizeof about / sizeof about[0];

    if (!t_oracle->big)
        return 8u + t_pick(5) * 4096u + (t_one_in(40) ? BIG : 0u);
    if (t_one_in(5) || !is_room())
        return 8u + t_pick(5) * 4096u;
    return (1 + t_pick(2)) * HUGE_SIZE + (size_t)about[t_pick((unsigned)n)];
}

/* Bytes to grow by. */
static size_t
pick_more(void)
{
    size_t more = t_pick(9000);

    if (t_oracle->big && t_one_in(4) && is_room())
        more += HUGE_SIZE;
    return more;
}

struct t_hold *
t_act_create(const char *name, uint32_t lifetime)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    size_t size = pick_size();
    struct t_hold *hold;
    shmkit_block *block;
    int r;

    if (t_hold_count == T_MAX_HOLDS)
        return NULL;
    options.lifetime = lifetime;
    options.flags = t_one_in(3) ? SHMKIT_EXIST_OK : 0;
    if (t_one_in(4))
        options.flags |= SHMKIT_SPARSE;
    t_call_begin(t_stop_clock);
    r = shmkit_block_create(name, size, &options, &block);
    t_call_end("create");
    if (r < 0) {
        if (r != -EEXIST)
            t_unexpected("create", name, r);
        return NULL;
    }
    t_did(r == 0 ? T_DID_CREATE : T_DID_ATTACH);
    hold = keep(block, r != 0);
    if (r == 0 && t_oracle->big)
        t_hold_fill(hold);
    return r == 0 ? hold : NULL;
}

int
t_act_attach(const char *name)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block;
    int r;

    if (t_hold_count == T_MAX_HOLDS)
        return -EMFILE;
    options.flags = t_one_in(3) ? SHMKIT_READ_ONLY : 0;
    if (t_one_in(12))
        options.flags = SHMKIT_PRIVATE;
    if (t_one_in(12))
        options.offset = t_one_in(2) ? 8 : 4096;
    t_call_begin(t_stop_clock);
    r = shmkit_block_attach(name, &options, &block);
    t_call_end("attach");
    if (r == 0) {
        t_did(T_DID_ATTACH);
        keep(block, true)->partial =
            options.flags == SHMKIT_PRIVATE || options.offset != 0;
    } else if (r != -ENOENT && (r != -ERANGE || options.offset == 0)) {
        t_unexpected("attach", name, r);
    }
    return r;
}

void
t_act_close(unsigned i)
{
    t_hold_check(&t_holds[i]);
    t_call_begin(t_stop_clock);
    (void)shmkit_block_close(t_holds[i].block);
    t_call_end("close");
    t_holds[i] = t_holds[--t_hold_count];
    t_did(T_DID_CLOSE);
}

void
t_act_close_any(void)
{
    if (t_hold_count > 0)
        t_act_close(t_pick(t_hold_count));
}

void
t_act_close_all(void)
{
    while (t_hold_count > 0)
        t_act_close(t_hold_count - 1);
}

void
t_act_check(void)
{
    for (unsigned i = 0; i < t_hold_count; i++)
        t_hold_check(&t_holds[i]);
}

void
t_act_grow(void)
{
    const struct t_hold *hold;
    shmkit_block *block;
    size_t size;
    int r;

    if (t_hold_count == 0 || t_hold_count == T_MAX_HOLDS)
        return;
    hold = &t_holds[t_pick(t_hold_count)];
    if (hold->partial)
        return;
    size = shmkit_block_size(hold->block) + pick_more();
    t_call_begin(t_stop_clock);
    r = shmkit_block_grow(hold->block, size, &block);
    t_call_end("grow");
    if (r == 0) {
        t_did(T_DID_GROW);
        (void)keep(block, true);
    } else if (r == -ESTALE) {
        t_hold_check(hold); /* only an unlink may have taken the name */
    } else if (r != -EACCES) {
        t_unexpected("grow", hold->name, r);
    }
}

void
t_act_persist(void)
{
    const struct t_hold *hold;
    int r;

    if (t_hold_count == 0)
        return;
    hold = &t_holds[t_pick(t_hold_count)];
    if (hold->name[0] != 'p' || hold->name[1] == 's')
        return;
    t_mark_persist_begun(hold->ino);
    t_call_begin(t_stop_clock);
    r = shmkit_block_persist(hold->block);
    t_call_end("persist");
    if (r == 0) {
        t_mark_persist_done(hold->ino, hold->name);
        t_did(T_DID_PERSIST);
    } else if (r != -ESTALE && r != -EPERM) { /* EPERM: another family's */
        t_unexpected("persist", hold->name, r);
    }
}

void
t_act_unlink_mine(void)
{
    struct shmkit_block_ref ref;
    const struct t_hold *hold;
    int r;

    if (t_hold_count == 0)
        return;
    hold = &t_holds[t_pick(t_hold_count)];
    if (hold->loose)
        return;
    ref = shmkit_block_get_ref(hold->block);
    t_mark_unlinked(hold->ino);
    t_call_begin(t_stop_clock);
    r = shmkit_block_unlink(hold->name, &ref);
    t_call_end("unlink");
    t_did(T_DID_UNLINK);
    if (r != 0 && r != -ENOENT)
        t_unexpected("unlink", hold->name, r);
    if (r == 0 && t_inode_named(hold->name) == hold->ino)
        t_bad(T_BAD_RESULT, "unlink %s left it there", hold->name);
}

void
t_act_unlink_by_name(const char *name)
{
    int r;

    t_call_begin(t_stop_clock);
    r = shmkit_block_unlink(name, NULL);
    t_call_end("unlink by name");
    t_did(T_DID_UNLINK);
    if (r != 0 && r != -ENOENT)
        t_unexpected("unlink", name, r);
}

void
t_act_sweep(void)
{
    int r;

    t_call_begin(t_stop_clock);
    r = shmkit_sweep(t_one_in(4) ? SHMKIT_DRY_RUN : 0, NULL, NULL);
    t_call_end("sweep");
    t_did(T_DID_SWEEP);
    if (r != 0)
        t_unexpected("sweep", NULL, r);
}

void
t_act_reap(const char *name)
{
    int r;

    t_call_begin(t_stop_clock);
    r = shmkit_block_reap(name);
    t_call_end("reap");
    if (r < 0 && r != -ENOENT)
        t_unexpected("reap", name, r);
}

static int
look_at_stat(const struct shmkit_block_stat *stat, void *arg)
{
    (void)arg;
    if (stat->size == 0)
        t_bad(T_BAD_BYTES, "%s is listed with size 0", stat->name);
    return 0;
}

void
t_act_stat(const char *name)
{
    struct shmkit_block_stat stat;
    int r;

    t_call_begin(t_stop_clock);
    if (t_one_in(4))
        r = shmkit_block_list(look_at_stat, NULL);
    else
        r = shmkit_block_stat(name, &stat, sizeof stat);
    t_call_end("stat");
    if (r < 0 && r != -ENOENT)
        t_unexpected("stat", name, r);
}

void
t_act_leave(bool tidy)
{
    if (tidy) {
        while (waitpid(-1, NULL, 0) > 0)
            ;
    }
    switch (tidy ? t_pick(2) : t_pick(3)) {
        case 0:
            t_act_close_all();
            exit(0);
        case 1:
            t_act_check();
            shmkit_process_exit();
            _exit(0);
        default:
            t_act_check();
            _exit(0);
    }
}

static void *
churn(void *arg)
{
    (void)arg;
    t_seed((uint64_t)getpid());
    for (;;) {
        pid_t pid = fork();

        if (pid == 0) {
            (void)usleep(t_pick(3000));
            _exit(0);
        }
        (void)usleep(2000 + t_pick(8000));
        if (pid > 0)
            (void)waitpid(pid, NULL, 0);
    }
    return NULL;
}

void
t_start_churn(void)
{
    pthread_t thread;

    (void)pthread_create(&thread, NULL, churn, NULL);
}
