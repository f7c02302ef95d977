/* SPDX-License-Identifier: MIT */
/* list.c - asking about blocks by name, own and foreign.
 *
 * A picture, not a lock: what is told may have changed when the caller reads
 * it.  Blocks and families that vanish while they are looked at are skipped.
 *
 * What a file is, is read off it:
 *     sticky                    holders; orphan if EX is granted for a moment
 *     listed by a family        family; orphan if that family is dead
 *     labelled                  persistent; idle if EX is granted
 *     none of these             foreign: somebody else's, never swept
 * The tables of all families are read once into `listed`, sorted by key.
 *
 * The momentary EX makes an attacher back off for 50 us at most; it is not
 * taken on foreign files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/family.h"
#include "block/name.h"
#include "block/reap.h"
#include "block/sweep.h"
#include "block/table.h"
#include "os/os.h"

struct entry {
    uint64_t key, family;
    bool dead;
};

/* What all families list. */
struct listed {
    struct entry *entry;
    size_t count, room;
    int error;
};

static int
append(struct listed *listed, struct entry entry)
{
    if (listed->count == listed->room) {
        size_t room = listed->room ? listed->room * 2 : 256;
        struct entry *more = realloc(listed->entry, room * sizeof *more);

        if (more == NULL)
            return -ENOMEM;
        listed->entry = more;
        listed->room = room;
    }
    listed->entry[listed->count++] = entry;
    return 0;
}

static bool
family_is_dead(int fd, uint64_t ino)
{
    if (shmkiti_family_is_mine(ino) || shmkiti_os_lock_exclusive(fd) < 0)
        return false;
    (void)shmkiti_os_unlock(fd);
    return true;
}

static int
read_family(const char *path, uint64_t ino, void *arg)
{
    struct listed *listed = arg;
    struct shmkiti_words words;
    bool dead;
    int fd, r = 0;

    if (shmkiti_os_open(path, false, &fd) < 0)
        return 0;
    if (shmkiti_words_read(fd, &words) == 0) {
        dead = family_is_dead(fd, ino);
        for (size_t i = 0; r == 0 && i < words.count; i++) {
            if (words.word[i] != 0)
                r = append(listed,
                           (struct entry){words.word[i] & ~SHMKITI_PEND,
                                          words.id, dead});
        }
        free(words.word);
    }
    (void)shmkiti_os_close(fd);
    return r;
}

static int
by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

static int
read_families(struct listed *listed)
{
    int r;

    r = shmkiti_sweep_each_file(true, read_family, listed);
    if (r < 0 && r != -ENOENT)
        return r;
    if (listed->count > 0)
        qsort(listed->entry, listed->count, sizeof *listed->entry, by_key);
    return 0;
}

static const struct entry *
find_entry(const struct listed *listed, uint64_t key)
{
    struct entry wanted = {key, 0, false};

    if (listed->count == 0)
        return NULL;
    return bsearch(&wanted, listed->entry, listed->count,
                   sizeof *listed->entry, by_key);
}

/* Nobody has it mapped through this library. */
static bool
is_idle(const char *path)
{
    bool idle;
    int fd;

    if (shmkiti_os_open(path, false, &fd) < 0)
        return false;
    idle = shmkiti_os_lock_exclusive(fd) == 0;
    (void)shmkiti_os_unlock(fd);
    (void)shmkiti_os_close(fd);
    return idle;
}

static void
judge(const struct listed *listed, const char *path, uint64_t key, bool sticky,
      struct shmkit_block_stat *out)
{
    const struct entry *entry = find_entry(listed, key);

    out->family = entry != NULL ? entry->family : 0;
    if (sticky) {
        out->lifetime = SHMKIT_LIFETIME_HOLDERS;
        out->state = shmkiti_reap_probe(out->name, key) == SHMKITI_REAP_REMOVED
                         ? SHMKIT_STATE_ORPHAN
                         : SHMKIT_STATE_LIVE;
    } else if (entry != NULL) {
        out->lifetime = SHMKIT_LIFETIME_FAMILY;
        out->state = entry->dead ? SHMKIT_STATE_ORPHAN : SHMKIT_STATE_LIVE;
    } else if (shmkiti_os_has_label(path, "persistent")) {
        out->lifetime = SHMKIT_LIFETIME_PERSISTENT;
        out->state = is_idle(path) ? SHMKIT_STATE_IDLE : SHMKIT_STATE_LIVE;
    } else {
        out->lifetime = SHMKIT_LIFETIME_PERSISTENT;
        out->state = SHMKIT_STATE_FOREIGN;
    }
}

static int
describe(const struct listed *listed, const char *name,
         struct shmkit_block_stat *ret)
{
    struct shmkit_block_stat out = {0};
    char path[SHMKITI_PATH_SIZE];
    struct shmkiti_os_stat st;
    int r;

    shmkiti_name_path(name, path);
    r = shmkiti_os_stat_path(path, &st);
    if (r < 0)
        return r;
    if (!st.regular)
        return -ENODEV;
    memcpy(out.name, name, strlen(name) + 1);
    out.size = st.size;
    out.resident = st.resident;
    out.inode = st.ino;
    out.device = st.dev;
    out.birth = st.birth;
    out.mode = st.mode & 0777u;
    out.uid = st.uid;
    out.gid = st.gid;
    judge(listed, path, shmkiti_table_key(&st), st.sticky, &out);
    *ret = out;
    return 0;
}

int
shmkit_block_stat(const char *name, struct shmkit_block_stat *ret,
                  size_t stat_size)
{
    struct listed listed = {0};
    struct shmkit_block_stat out;
    int r;

    r = shmkiti_name_check(name);
    if (r < 0)
        return r;
    if (stat_size > sizeof out)
        return -EINVAL; /* the caller is newer than this library */
    shmkiti_guard_enter();
    r = read_families(&listed);
    if (r == 0)
        r = describe(&listed, name, &out);
    shmkiti_guard_leave();
    free(listed.entry);
    if (r == 0)
        memcpy(ret, &out, stat_size);
    return r;
}

struct walk {
    struct listed listed;
    struct shmkit_block_stat *stat; /* collected: no callback in the guard */
    size_t count, room;
};

static int
collect(const char *name, uint64_t ino, void *arg)
{
    struct walk *walk = arg;

    (void)ino;
    if (shmkiti_name_check(name) < 0)
        return 0;
    if (walk->count == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 64;
        struct shmkit_block_stat *more =
            realloc(walk->stat, room * sizeof *more);

        if (more == NULL)
            return -ENOMEM;
        walk->stat = more;
        walk->room = room;
    }
    if (describe(&walk->listed, name, &walk->stat[walk->count]) == 0)
        walk->count++;
    return 0;
}

int
shmkit_block_list(int (*visit)(const struct shmkit_block_stat *stat,
                               void *arg),
                  void *arg)
{
    struct walk walk = {.count = 0};
    int r;

    shmkiti_guard_enter();
    r = read_families(&walk.listed);
    if (r == 0)
        r = shmkiti_os_list(SHMKITI_DIR, collect, &walk);
    shmkiti_guard_leave();
    for (size_t i = 0; r == 0 && i < walk.count; i++)
        r = visit(&walk.stat[i], arg);
    free(walk.listed.entry);
    free(walk.stat);
    return r;
}

int
shmkit_block_reap(const char *name)
{
    enum shmkiti_reap verdict;
    int r;

    r = shmkiti_name_check(name);
    if (r < 0)
        return r;
    shmkiti_guard_enter();
    verdict = shmkiti_reap(name, 0);
    shmkiti_guard_leave();
    switch (verdict) {
        case SHMKITI_REAP_REMOVED:
            return 0;
        case SHMKITI_REAP_GONE:
            return -ENOENT;
        case SHMKITI_REAP_LIVE:
            return SHMKIT_IN_USE;
        case SHMKITI_REAP_DENIED:
            return -EACCES;
        case SHMKITI_REAP_NOT_MINE:
            break;
    }
    return SHMKIT_KEPT;
}

struct holder_walk {
    int (*visit)(const struct shmkit_holder *holder, void *arg);
    void *arg;
};

static int
visit_mapping(const struct shmkiti_os_mapping *mapping, void *arg)
{
    struct holder_walk *walk = arg;
    struct shmkit_holder holder = {
        .inode = mapping->ino, .device = mapping->dev, .pid = mapping->pid};
    size_t len = strnlen(mapping->command, sizeof holder.command - 1);

    memcpy(holder.command, mapping->command, len);
    return walk->visit(&holder, walk->arg);
}

int
shmkit_holder_list(int (*visit)(const struct shmkit_holder *holder, void *arg),
                   void *arg)
{
    struct holder_walk walk = {visit, arg};
    struct shmkiti_os_stat st;
    int r;

    r = shmkiti_os_stat_path(SHMKITI_DIR, &st);
    if (r < 0)
        return r;
    return shmkiti_os_list_mappings(st.dev, visit_mapping, &walk);
}
