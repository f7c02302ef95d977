/* SPDX-License-Identifier: MIT */
/* family.c - the families this process is in: form, join, grow, leave.
 *
 * A family is one sticky file in /dev/shm/shmkit-UID/, named by 64 random bits
 * in hex.  Every member has it mapped through a description that holds SH: the
 * mapping is the membership, inherited by fork, ended by the kernel with the
 * process.  "The family is dead" is proved by EX on a fresh description and by
 * nothing else (sweep.c).
 *
 *     form     nameless file, SH, contents, then the name: a joiner finds SH
 *              held and the header whole.  Killed before the name: nothing.
 *     join     SH first, then nlink (the file may just have been removed),
 * then `dead` (a sweeper may have begun): in doubt it backs out. by fd    the
 * description came from a member and holds SH already: no gap. It is never
 * locked or unlocked here, for it is the parent's too. grow     longer file,
 * then CAS of `segments`: repeated harmlessly by the next grower if killed in
 * between. scrub    words whose inode has no name any more are dropped first.
 * The words are collected before the names are read, so that a block born in
 * between is not judged; PEND words are never judged. leave    everything that
 * carries SH is dropped (mapping, descriptors), then the file is probed like
 * any other.
 *
 * Process-local: `families`, append-only until leave_all, which runs alone in
 * the guard.  `lock` orders those who append; readers use `count` (release /
 * acquire) and `current`.  A family joined earlier stays mapped: its blocks
 * are still ours. */
#include "block/family.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <shmkit/family.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "block/nameless.h"
#include "block/space.h"
#include "block/sweep.h"
#include "os/os.h"

#define FAMILIES_MAX 32u
#define LOOK_EVERY_NS UINT64_C(1000000000)
#define TRIES 100

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shmkiti_family families[FAMILIES_MAX];
static uint32_t count;
static struct shmkiti_family *current;
static int asked_environment; /* under lock */

void
shmkiti_family_lock(void)
{
    (void)pthread_mutex_lock(&lock);
}

void
shmkiti_family_unlock(void)
{
    (void)pthread_mutex_unlock(&lock);
}

void
shmkiti_family_dir(uint32_t uid, unsigned i, char path[SHMKITI_PATH_SIZE])
{
    int n =
        snprintf(path, SHMKITI_PATH_SIZE, SHMKITI_DIR "/shmkit-%" PRIu32, uid);

    if (i > 0)
        (void)snprintf(path + n, SHMKITI_PATH_SIZE - (size_t)n, ".%u", i);
}

static void
file_path(const char *dir, uint64_t id, char path[SHMKITI_PATH_SIZE])
{
    (void)snprintf(path, SHMKITI_PATH_SIZE, "%.*s/%016" PRIx64,
                   SHMKITI_PATH_SIZE - 20, dir, id);
}

/* ---- knowing more segments ---- */

/* Believe `segments` only as far as the file is long.  A file whose name is
 * gone tells nothing: words beyond are not seen then, and their blocks count
 * as foreign, which is safe. */
static void
learn_segments(struct shmkiti_family *family)
{
    uint32_t n = shmkiti_load_acquire_u32(&family->table.shared->segments);
    struct shmkiti_os_stat st;

    if (n == shmkiti_load_acquire_u32(&family->table.known) ||
        n > SHMKITI_TABLE_SEGMENTS || family->path[0] == '\0')
        return;
    if (shmkiti_os_stat_path(family->path, &st) < 0 || st.ino != family->ino ||
        st.size < SHMKITI_TABLE_OFFSET(n))
        return;
    shmkiti_store_release_u32(&family->table.known, n);
}

bool
shmkiti_family_owns(uint64_t key)
{
    uint32_t n = shmkiti_load_acquire_u32(&count);

    for (uint32_t i = 0; i < n; i++) {
        learn_segments(&families[i]);
        if (shmkiti_table_has(&families[i].table, key))
            return true;
    }
    return false;
}

bool
shmkiti_family_is_mine(uint64_t ino)
{
    uint32_t n = shmkiti_load_acquire_u32(&count);

    for (uint32_t i = 0; i < n; i++) {
        if (families[i].ino == ino)
            return true;
    }
    return false;
}

void
shmkiti_family_replace(uint64_t from, uint64_t to)
{
    uint32_t n = shmkiti_load_acquire_u32(&count);

    for (uint32_t i = 0; i < n; i++) {
        if (shmkiti_table_replace(&families[i].table, from, to))
            return;
    }
}

/* ---- scrub and grow ---- */

struct scrub {
    uint64_t *words;
    bool *seen;
    size_t count;
};

static int
by_inode(const void *a, const void *b)
{
    uint32_t x = (uint32_t) * (const uint64_t *)a;
    uint32_t y = (uint32_t) * (const uint64_t *)b;

    return (x > y) - (x < y);
}

/* First index whose inode is not below `ino`. */
static size_t
lower_bound(const struct scrub *scrub, uint32_t ino)
{
    size_t from = 0, to = scrub->count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if ((uint32_t)scrub->words[middle] < ino)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static int
mark_seen(const char *name, uint64_t ino, void *arg)
{
    struct scrub *scrub = arg;
    size_t i = lower_bound(scrub, (uint32_t)ino);

    (void)name;
    for (; i < scrub->count && (uint32_t)scrub->words[i] == (uint32_t)ino; i++)
        scrub->seen[i] = true;
    return 0;
}

/* Settled words only: a pending one may be about to get its name. */
static int
collect_settled(const struct shmkiti_family *family, struct scrub *scrub)
{
    size_t n = shmkiti_table_collect(&family->table, NULL, 0) + 64, kept = 0;

    scrub->words = calloc(n, sizeof *scrub->words);
    scrub->seen = calloc(n, sizeof *scrub->seen);
    if (scrub->words == NULL || scrub->seen == NULL)
        return -ENOMEM;
    scrub->count = shmkiti_table_collect(&family->table, scrub->words, n);
    if (scrub->count > n)
        scrub->count = n;
    for (size_t i = 0; i < scrub->count; i++) {
        if ((scrub->words[i] & SHMKITI_PEND) == 0)
            scrub->words[kept++] = scrub->words[i];
    }
    scrub->count = kept;
    qsort(scrub->words, kept, sizeof *scrub->words, by_inode);
    return 0;
}

/* Drop words whose block has no name; how many went, or an error. */
static int
scrub(struct shmkiti_family *family)
{
    struct scrub scrub = {NULL, NULL, 0};
    int dropped = 0, r;

    r = collect_settled(family, &scrub);
    if (r == 0) {
        SHMKITI_FAULT("family.scrub.collected");
        r = shmkiti_os_list(SHMKITI_DIR, mark_seen, &scrub);
    }
    for (size_t i = 0; r == 0 && i < scrub.count; i++) {
        if (!scrub.seen[i] &&
            shmkiti_table_replace(&family->table, scrub.words[i], 0))
            dropped++;
    }
    free(scrub.words);
    free(scrub.seen);
    return r < 0 ? r : dropped;
}

/* Segment `n` into the file, then into `segments`. */
static int
append_segment(struct shmkiti_family *family, uint32_t n, int fd)
{
    struct shmkiti_os_stat st;
    int r;

    r = shmkiti_os_stat(fd, &st);
    if (r < 0)
        return r;
    if (st.ino != family->ino || st.nlink == 0)
        return -ESTALE;
    r = shmkiti_space_reserve(fd, SHMKITI_TABLE_OFFSET(n),
                              SHMKITI_TABLE_OFFSET(n + 1));
    if (r < 0)
        return r;
    SHMKITI_FAULT("family.grow.reserved");
    /* Refused: another grower was here.  Either way n + 1 are there now. */
    (void)shmkiti_cas_acq_rel_u32(&family->table.shared->segments, n, n + 1);
    SHMKITI_FAULT("family.grow.published");
    return 0;
}

static int
grow(struct shmkiti_family *family)
{
    uint32_t n = shmkiti_load_acquire_u32(&family->table.shared->segments);
    int fd, r;

    if (n >= SHMKITI_TABLE_SEGMENTS)
        return -ENOSPC;
    if (family->path[0] == '\0')
        return -ESTALE;
    r = shmkiti_os_open(family->path, true, &fd);
    if (r < 0)
        return r == -ENOENT ? -ESTALE : r;
    r = append_segment(family, n, fd);
    (void)shmkiti_os_close(fd);
    return r;
}

int
shmkiti_family_add(struct shmkiti_family *family, uint64_t word)
{
    bool scrubbed = false;
    int r;

    for (int i = 0; i < TRIES; i++) {
        learn_segments(family);
        if (shmkiti_table_add(&family->table, word))
            return 0;
        r = scrubbed ? 0 : scrub(family);
        if (r < 0)
            return r;
        scrubbed = true;
        if (r > 0)
            continue;
        r = grow(family);
        if (r < 0)
            return r;
        scrubbed = false;
    }
    return -ENOSPC;
}

/* ---- becoming a member ---- */

/* Room for one more?  Called, like all below, with `lock` held. */
static int
next_slot(struct shmkiti_family **ret)
{
    if (count == FAMILIES_MAX)
        return -EMFILE;
    *ret = &families[count];
    memset(*ret, 0, sizeof **ret);
    (*ret)->spawn_fd = -1;
    (*ret)->pin_fd = -1;
    return 0;
}

static void
publish(struct shmkiti_family *family)
{
    family->next_look = shmkiti_os_now_ns() + LOOK_EVERY_NS;
    shmkiti_store_release_u32(&count, count + 1);
    __atomic_store_n(&current, family, __ATOMIC_RELEASE);
}

static void
unmap_table(struct shmkiti_family *family)
{
    if (family->table.shared != NULL)
        shmkiti_os_unmap(family->table.shared, (size_t)SHMKITI_TABLE_SPAN);
    family->table.shared = NULL;
}

/* Map the table behind `fd`, which is `st`, and keep what pins it. */
static int
map_table(struct shmkiti_family *family, int fd,
          const struct shmkiti_os_stat *st)
{
    void *addr;
    int r;

    r = shmkiti_os_map(fd, (size_t)SHMKITI_TABLE_SPAN, true, &addr);
    if (r < 0)
        return r;
    family->table.shared = addr;
    family->dev = st->dev;
    family->ino = st->ino;
    if (!shmkiti_os_mapping_pins(fd))
        r = shmkiti_os_duplicate(fd, &family->pin_fd);
    if (r < 0)
        unmap_table(family);
    return r;
}

/* The directory may be used: it is a directory, and nobody else's. */
static int
usable_dir(const char *path, uint32_t uid)
{
    struct shmkiti_os_stat st;
    int r = shmkiti_os_stat_path(path, &st);

    if (r < 0)
        return r;
    return st.directory && st.uid == uid && (st.mode & 077) == 0 ? 0 : -EPERM;
}

/* Link `fd` as family `id`, making the directory if need be. */
static int
link_file(struct shmkiti_nameless *file, uint64_t id,
          char path[SHMKITI_PATH_SIZE])
{
    char dir[SHMKITI_PATH_SIZE];
    uint32_t uid = shmkiti_os_uid();
    unsigned i = 0;
    int r = -EPERM;

    for (int tries = 0; tries < TRIES && i < SHMKITI_FAMILY_DIRS; tries++) {
        shmkiti_family_dir(uid, i, dir);
        r = usable_dir(dir, uid);
        if (r == 0) {
            file_path(dir, id, path);
            r = shmkiti_nameless_link(file, path);
        }
        if (r == -ENOENT) { /* never made, or its last user was quicker */
            r = shmkiti_os_make_directory(dir, 0700);
            SHMKITI_FAULT("family.form.directory");
            if (r == 0 || r == -EEXIST)
                continue;
            return r;
        }
        if (r != -EPERM)
            return r;
        i++; /* squatted */
    }
    return r;
}

/* The file of a new family, still without a name. */
static int
prepare_file(struct shmkiti_family *family,
             const struct shmkiti_nameless *file)
{
    struct shmkiti_os_stat st;
    int r;

    r = shmkiti_space_reserve(file->fd, 0, SHMKITI_TABLE_OFFSET(1));
    if (r == 0)
        r = shmkiti_os_stat(file->fd, &st);
    if (r == 0)
        r = shmkiti_nameless_fix_mode(file, &st);
    if (r == 0)
        r = map_table(family, file->fd, &st);
    if (r < 0)
        return r;
    shmkiti_table_init(family->table.shared, family->id);
    family->table.known = 1;
    return 0;
}

static int
form_on(struct shmkiti_family *family, struct shmkiti_nameless *file)
{
    int r;

    r = prepare_file(family, file);
    if (r < 0)
        return r;
    SHMKITI_FAULT("family.form.prepared");
    r = link_file(file, family->id, family->path);
    if (r < 0) {
        unmap_table(family);
        return r;
    }
    SHMKITI_FAULT("family.form.linked");
    publish(family);
    return 0;
}

static int
form(void)
{
    struct shmkiti_nameless file;
    struct shmkiti_family *family;
    int r;

    r = next_slot(&family);
    if (r < 0)
        return r;
    r = shmkiti_os_random(&family->id, sizeof family->id);
    if (r < 0)
        return r;
    r = shmkiti_nameless_open(0600 | SHMKITI_OS_STICKY, &file);
    if (r < 0)
        return r;
    r = form_on(family, &file);
    shmkiti_nameless_close(&file);
    return r;
}

/* Is what `fd` shows a family file of ours?  *ret_st is asked for last. */
static int
check_file(int fd, struct shmkiti_os_stat *ret_st, uint64_t *ret_id)
{
    struct shmkiti_table_shared page;
    int r;

    r = shmkiti_os_read(fd, 0, &page, sizeof page);
    if (r == -EIO)
        return -EBADMSG;
    if (r == 0)
        r = shmkiti_os_stat(fd, ret_st);
    if (r < 0)
        return r;
    if (!ret_st->regular || !ret_st->sticky)
        return -EBADMSG;
    r = shmkiti_table_check(&page, ret_st->size);
    *ret_id = page.id;
    return r;
}

/* Map what holds SH already; back out when a sweeper was there first. */
static int
enter(struct shmkiti_family *family, int fd)
{
    struct shmkiti_os_stat st;
    int r;

    r = check_file(fd, &st, &family->id);
    if (r < 0)
        return r;
    r = map_table(family, fd, &st);
    if (r < 0)
        return r;
    SHMKITI_FAULT("family.join.mapped");
    /* Pairs with the sweeper's first store under EX: SH was taken before this
     * load, so either it sees `dead`, or the sweeper's EX came never. */
    if (shmkiti_load_acquire_u32(&family->table.shared->dead) != 0) {
        unmap_table(family);
        if (family->pin_fd >= 0)
            (void)shmkiti_os_close(family->pin_fd);
        return -EOWNERDEAD;
    }
    family->table.known = 1;
    learn_segments(family);
    publish(family);
    return 0;
}

/* Already a member?  Then it only becomes the current one. */
static bool
switch_to(uint64_t ino)
{
    for (uint32_t i = 0; i < count; i++) {
        if (families[i].ino == ino) {
            __atomic_store_n(&current, &families[i], __ATOMIC_RELEASE);
            return true;
        }
    }
    return false;
}

/* SH on `fd`, and the file still has its name. */
static int
hold(int fd)
{
    struct shmkiti_os_stat st;
    int r;

    r = shmkiti_os_lock_shared(fd);
    if (r == -EWOULDBLOCK)
        return -EAGAIN; /* a sweeper is inside */
    if (r < 0)
        return r;
    SHMKITI_FAULT("family.join.locked");
    r = shmkiti_os_stat(fd, &st);
    if (r == 0 && switch_to(st.ino))
        return SHMKIT_EXISTED;
    return r == 0 && st.nlink == 0 ? -ENOENT : r;
}

static int
join_file(const char *path)
{
    struct shmkiti_family *family;
    int fd, r;

    r = next_slot(&family);
    if (r < 0)
        return r;
    r = shmkiti_os_open(path, true, &fd);
    if (r < 0)
        return r;
    memcpy(family->path, path, strlen(path) + 1);
    r = hold(fd);
    if (r == 0)
        r = enter(family, fd);
    (void)shmkiti_os_close(fd);
    if (r == -EOWNERDEAD)
        (void)shmkiti_sweep_file(path, NULL); /* SH was dropped: look */
    return r == SHMKIT_EXISTED ? 0 : r;
}

static int
join_path(const char *path)
{
    uint64_t end = shmkiti_os_now_ns() + SHMKITI_PATIENCE_NS;
    int r;

    while ((r = join_file(path)) == -EAGAIN) {
        if (shmkiti_os_now_ns() > end)
            return -EOWNERDEAD; /* it has been swept for a second */
        shmkiti_os_sleep_us(SHMKITI_PAUSE_US);
    }
    return r;
}

static int
parse_id(const char *text, uint64_t *ret_id)
{
    if (text == NULL || strlen(text) != SHMKIT_FAMILY_ID_SIZE - 1 ||
        text[strspn(text, "0123456789abcdef")] != '\0')
        return -EINVAL;
    *ret_id = strtoull(text, NULL, 16);
    return 0;
}

static int
join(const char *text)
{
    char dir[SHMKITI_PATH_SIZE], path[SHMKITI_PATH_SIZE];
    uint32_t uid = shmkiti_os_uid();
    uint64_t id;
    int r;

    r = parse_id(text, &id);
    if (r < 0)
        return r;
    r = -ENOENT;
    for (unsigned i = 0; r == -ENOENT && i < SHMKITI_FAMILY_DIRS; i++) {
        shmkiti_family_dir(uid, i, dir);
        if (usable_dir(dir, uid) < 0)
            continue;
        file_path(dir, id, path);
        r = join_path(path);
    }
    return r;
}

/* Where the file of inode `ino` is linked; an empty path if nowhere. */
static void
find_path(uint64_t id, uint64_t ino, char path[SHMKITI_PATH_SIZE])
{
    char dir[SHMKITI_PATH_SIZE];
    struct shmkiti_os_stat st;

    for (unsigned i = 0; i < SHMKITI_FAMILY_DIRS; i++) {
        shmkiti_family_dir(shmkiti_os_uid(), i, dir);
        file_path(dir, id, path);
        if (shmkiti_os_stat_path(path, &st) == 0 && st.ino == ino)
            return;
    }
    path[0] = '\0';
}

static int
join_fd(int fd)
{
    struct shmkiti_family *family;
    struct shmkiti_os_stat st;
    uint64_t id;
    int r;

    r = check_file(fd, &st, &id);
    if (r < 0)
        return r;
    if (st.uid != shmkiti_os_uid() && shmkiti_os_uid() != 0)
        return -EPERM;
    if (switch_to(st.ino))
        return 0;
    r = next_slot(&family);
    if (r < 0)
        return r;
    find_path(id, st.ino, family->path);
    return enter(family, fd);
}

/* ---- the current family ---- */

/* Its file was deleted by hand, perhaps by `rm -rf` or at log-out: it can not
 * be linked again, and a sweep would not find it.  Asked once a second. */
static bool
lost_name(struct shmkiti_family *family)
{
    uint64_t now = shmkiti_os_now_ns();
    struct shmkiti_os_stat st;

    if (now < shmkiti_load_relaxed_u64(&family->next_look))
        return false;
    if (family->path[0] == '\0' ||
        shmkiti_os_stat_path(family->path, &st) < 0 || st.ino != family->ino)
        return true;
    shmkiti_store_relaxed_u64(&family->next_look, now + LOOK_EVERY_NS);
    return false;
}

void
shmkiti_family_doubt(struct shmkiti_family *family)
{
    shmkiti_store_relaxed_u64(&family->next_look, 0);
}

/* The environment's family, else a new one. */
static int
join_or_form(void)
{
    const char *id = shmkiti_os_getenv("SHMKIT_FAMILY");

    if (!asked_environment && id != NULL) {
        asked_environment = 1;
        if (join(id) == 0)
            return 0;
    }
    return form();
}

static int
renew(void)
{
    struct shmkiti_family *family;
    int r = 0;

    (void)pthread_mutex_lock(&lock);
    family = current;
    if (family == NULL || lost_name(family))
        r = join_or_form();
    (void)pthread_mutex_unlock(&lock);
    return r;
}

uint64_t
shmkiti_family_current_id(void)
{
    struct shmkiti_family *family =
        __atomic_load_n(&current, __ATOMIC_ACQUIRE);

    return family == NULL ? 0 : family->id;
}

int
shmkiti_family_current(struct shmkiti_family **ret_family)
{
    struct shmkiti_family *family =
        __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    int r;

    if (family == NULL || lost_name(family)) {
        r = renew();
        if (r < 0)
            return r;
        family = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    }
    *ret_family = family;
    return 0;
}

/* User code may have closed a kept descriptor, and its number may have come
 * again. */
static bool
still_ours(const struct shmkiti_family *family, int fd)
{
    return fd >= 0 && shmkiti_os_is_file(fd, family->dev, family->ino);
}

/* Drop all that carries SH, then look whether that was the last of it. */
static void
leave(struct shmkiti_family *family)
{
    if (still_ours(family, family->spawn_fd))
        (void)shmkiti_os_close(family->spawn_fd);
    if (still_ours(family, family->pin_fd))
        (void)shmkiti_os_close(family->pin_fd);
    unmap_table(family);
    SHMKITI_FAULT("family.leave.unmapped");
    if (family->path[0] != '\0')
        (void)shmkiti_sweep_file(family->path, NULL);
}

void
shmkiti_family_leave_all(void)
{
    uint32_t n;

    (void)pthread_mutex_lock(&lock);
    n = count;
    shmkiti_store_release_u32(&count, 0);
    __atomic_store_n(&current, NULL, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < n; i++)
        leave(&families[i]);
    (void)pthread_mutex_unlock(&lock);
}

/* ---- public ---- */

int
shmkit_family_form(void)
{
    struct shmkiti_family *family;
    int r;

    if (__atomic_load_n(&current, __ATOMIC_ACQUIRE) != NULL)
        return 0;
    shmkiti_guard_enter();
    r = shmkiti_family_current(&family);
    shmkiti_guard_leave();
    return r;
}

int
shmkit_family_get_id(char ret_id[SHMKIT_FAMILY_ID_SIZE])
{
    int r = -ENOENT;

    shmkiti_guard_enter();
    if (__atomic_load_n(&current, __ATOMIC_ACQUIRE) != NULL) {
        (void)snprintf(ret_id, SHMKIT_FAMILY_ID_SIZE, "%016" PRIx64,
                       __atomic_load_n(&current, __ATOMIC_ACQUIRE)->id);
        r = 0;
    }
    shmkiti_guard_leave();
    return r;
}

int
shmkit_family_join(const char *id)
{
    int r;

    shmkiti_guard_enter();
    (void)pthread_mutex_lock(&lock);
    r = join(id);
    (void)pthread_mutex_unlock(&lock);
    shmkiti_guard_leave();
    return r;
}

int
shmkit_family_join_fd(int fd)
{
    int r;

    shmkiti_guard_enter();
    (void)pthread_mutex_lock(&lock);
    r = join_fd(fd);
    (void)pthread_mutex_unlock(&lock);
    shmkiti_guard_leave();
    return r;
}

static int
open_spawn_fd(struct shmkiti_family *family)
{
    struct shmkiti_os_stat st;
    int fd, r;

    r = shmkiti_os_open(family->path, true, &fd);
    if (r < 0)
        return r;
    r = shmkiti_os_stat(fd, &st);
    if (r == 0 && st.ino != family->ino)
        r = -ESTALE;
    /* Not refused: our mapping holds SH, so no sweeper is inside. */
    if (r == 0)
        r = shmkiti_os_lock_shared(fd);
    if (r < 0) {
        (void)shmkiti_os_close(fd);
        return r;
    }
    family->spawn_fd = fd;
    return 0;
}

int
shmkit_family_get_fd(int *ret_fd)
{
    struct shmkiti_family *family;
    int r;

    shmkiti_guard_enter();
    r = shmkiti_family_current(&family);
    (void)pthread_mutex_lock(&lock);
    if (r == 0 && !still_ours(family, family->spawn_fd))
        r = open_spawn_fd(family);
    if (r == 0)
        *ret_fd = family->spawn_fd;
    (void)pthread_mutex_unlock(&lock);
    shmkiti_guard_leave();
    return r;
}
