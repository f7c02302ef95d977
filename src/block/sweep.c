/* SPDX-License-Identifier: MIT */
/* sweep.c - removing what nobody is left to remove.
 *
 * A sweeper of a family holds EX on its file, through a description opened for
 * that one purpose.  EX granted is the proof that no member lives; what keeps
 * it true is `dead`, stored before the first block is touched: a joiner takes
 * SH, then reads it, and backs out.  From then on, in this order:
 *
 *     dead = 1        for ever: nobody joins, whoever sweeps next goes on
 *     adopt blocks    each listed inode that has a name is marked sticky and
 *                     removed unless a foreign process holds it (reap.c)
 *     clear words     of blocks that are gone
 *     nothing left    unlink the file, rmdir the directory
 *     something left  note the names (kept); the file stays, a zombie, until
 *                     a later sweep finds them free.  Their holders find the
 *                     sticky bit when they close.
 *
 * Killed anywhere, EX falls with the sweeper, and the next one repeats the
 * rest; each step is idempotent.
 *
 * Untrusted: the file is read and written through the descriptor, never
 * mapped, so that its owner can not make root's sweep fault by truncating it.
 * A table of another layout is refused, not cleaned.  Names come from the
 * directory, or, for a zombie, from the table, where each is checked like a
 * user's, and counts only if the inode it names is listed. */
#include "block/sweep.h"

#include <errno.h>
#include <inttypes.h>
#include <shmkit/block.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "block/family.h"
#include "block/local.h"
#include "block/name.h"
#include "block/reap.h"
#include "block/table.h"
#include "os/os.h"

#define KEEP_LIST_NS UINT64_C(1000000)

/* One pass over one dead family. */
struct pass {
    struct shmkiti_sweep *sweep;
    struct shmkiti_words words;
    uint64_t *left; /* words whose block is still held */
    size_t left_count;
    char names[SHMKITI_TABLE_KEPT_SIZE]; /* theirs, NUL after each */
    size_t names_len;
    uint32_t names_count;
    bool names_overflow;
    bool by_kept; /* the noted names told it all */
};

static int
by_inode(const void *a, const void *b)
{
    uint32_t x = (uint32_t) * (const uint64_t *)a;
    uint32_t y = (uint32_t) * (const uint64_t *)b;

    return (x > y) - (x < y);
}

/* ---- reading a table ---- */

static int
read_words(int fd, struct shmkiti_words *words, uint32_t segments)
{
    size_t bytes =
        (size_t)(SHMKITI_TABLE_OFFSET(segments) - SHMKITI_TABLE_OFFSET(0));
    int r;

    words->count = bytes / sizeof *words->word;
    words->word = malloc(bytes);
    if (words->word == NULL)
        return -ENOMEM;
    r = shmkiti_os_read(fd, SHMKITI_TABLE_OFFSET(0), words->word, bytes);
    if (r < 0) {
        free(words->word);
        return r == -EIO ? -EBADMSG : r;
    }
    for (size_t i = 0; i < words->count; i++)
        words->nonzero += words->word[i] != 0;
    return 0;
}

int
shmkiti_words_read(int fd, struct shmkiti_words *ret_words)
{
    struct shmkiti_words words = {0};
    struct shmkiti_table_shared page;
    struct shmkiti_os_stat st;
    int r;

    r = shmkiti_os_read(fd, 0, &page, sizeof page);
    if (r == -EIO)
        return -EBADMSG;
    if (r == 0)
        r = shmkiti_os_stat(fd, &st); /* after the page: it may grow */
    if (r == 0)
        r = shmkiti_table_check(&page, st.size);
    if (r == 0)
        r = read_words(fd, &words, page.segments);
    if (r < 0)
        return r;
    words.id = page.id;
    words.dead = page.dead != 0;
    words.kept = page.kept;
    words.kept_len = page.kept_len;
    words.uid = st.uid;
    *ret_words = words;
    return 0;
}

/* ---- blocks of a dead family ---- */

static const uint64_t *
find_word(const struct shmkiti_words *words, uint64_t key)
{
    for (size_t i = 0; i < words->count; i++) {
        if ((words->word[i] & ~SHMKITI_PEND) == key)
            return &words->word[i];
    }
    return NULL;
}

/* The sorted words of the pass, for lookups by inode. */
struct index {
    uint64_t *word;
    size_t count;
};

static int
make_index(const struct shmkiti_words *words, struct index *ret_index)
{
    struct index index = {calloc(words->nonzero + 1, sizeof(uint64_t)), 0};

    if (index.word == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < words->count; i++) {
        if (words->word[i] != 0)
            index.word[index.count++] = words->word[i] & ~SHMKITI_PEND;
    }
    qsort(index.word, index.count, sizeof *index.word, by_inode);
    *ret_index = index;
    return 0;
}

/* Some word of inode `ino`, and of `key` unless that is 0. */
static bool
index_has(const struct index *index, uint32_t ino, uint64_t key)
{
    size_t from = 0, to = index->count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if ((uint32_t)index->word[middle] < ino)
            from = middle + 1;
        else
            to = middle;
    }
    for (; from < index->count && (uint32_t)index->word[from] == ino; from++) {
        if (key == 0 || index->word[from] == key)
            return true;
    }
    return false;
}

static bool
is_listed(uint64_t key, void *arg)
{
    return index_has(arg, (uint32_t)key, key);
}

static void
keep(struct pass *pass, const char *name, uint64_t key)
{
    size_t len = strlen(name) + 1;

    pass->left[pass->left_count++] = key;
    if (pass->names_len + len > sizeof pass->names) {
        pass->names_overflow = true;
        return;
    }
    memcpy(pass->names + pass->names_len, name, len);
    pass->names_len += len;
    pass->names_count++;
}

static void
count_removed(struct shmkiti_sweep *sweep, const char *name)
{
    if (sweep == NULL)
        return;
    sweep->removed++;
    if (sweep->visit != NULL)
        sweep->visit(name, sweep->arg);
}

struct adoption {
    struct pass *pass;
    struct index *index;
};

static int
adopt_name(const char *name, uint64_t ino, void *arg)
{
    struct adoption *adoption = arg;
    struct pass *pass = adoption->pass;
    uint64_t key = 0;

    if (!index_has(adoption->index, (uint32_t)ino, 0) ||
        pass->left_count == pass->words.nonzero)
        return 0;
    switch (shmkiti_adopt(name, pass->words.uid, is_listed, adoption->index,
                          &key)) {
        case SHMKITI_REAP_REMOVED:
            count_removed(pass->sweep, name);
            break;
        case SHMKITI_REAP_LIVE:
            keep(pass, name, key);
            break;
        case SHMKITI_REAP_DENIED:
            if (key != 0)
                keep(pass, name, key);
            break;
        case SHMKITI_REAP_GONE:
        case SHMKITI_REAP_NOT_MINE:
            break;
    }
    SHMKITI_FAULT("family.sweep.adopted");
    return 0;
}

/* The inode that `name` has now; false when it has none. */
static bool
inode_of(const char *name, uint64_t *ret_ino)
{
    char path[SHMKITI_PATH_SIZE];
    struct shmkiti_os_stat st;

    shmkiti_name_path(name, path);
    if (shmkiti_os_stat_path(path, &st) < 0)
        return false;
    *ret_ino = st.ino;
    return true;
}

/* A zombie notes the names it waits for: no need to read the directory.
 * False when a name is not what was noted (somebody renamed it). */
static bool
adopt_kept(int fd, struct adoption *adoption)
{
    const struct shmkiti_words *words = &adoption->pass->words;
    char names[SHMKITI_TABLE_KEPT_SIZE + 1];
    size_t at = 0;
    uint64_t ino;

    if (shmkiti_os_read(fd, SHMKITI_TABLE_KEPT_AT, names, words->kept_len) < 0)
        return false;
    names[words->kept_len] = '\0';
    for (uint32_t i = 0; i < words->kept; i++) {
        const char *name = names + at;

        if (at >= words->kept_len || shmkiti_name_check(name) < 0 ||
            !inode_of(name, &ino) ||
            !index_has(adoption->index, (uint32_t)ino, 0))
            return false;
        (void)adopt_name(name, ino, adoption);
        at += strlen(name) + 1;
    }
    return words->kept == words->nonzero;
}

static int
adopt_blocks(int fd, struct pass *pass)
{
    struct adoption adoption = {.pass = pass};
    struct index index;
    int r;

    r = make_index(&pass->words, &index);
    if (r < 0)
        return r;
    adoption.index = &index;
    pass->by_kept = pass->words.kept != 0 && adopt_kept(fd, &adoption);
    if (!pass->by_kept) {
        pass->left_count = 0;
        pass->names_len = 0;
        pass->names_count = 0;
        pass->names_overflow = false;
        r = shmkiti_os_list(SHMKITI_DIR, adopt_name, &adoption);
    }
    free(index.word);
    return r;
}

/* ---- the file itself ---- */

static int
store_u32(int fd, size_t offset, uint32_t value)
{
    return shmkiti_os_write(fd, offset, &value, sizeof value);
}

#define AT(field) offsetof(struct shmkiti_table_shared, field)

static int
clear_words(int fd, struct pass *pass)
{
    struct index left = {pass->left, pass->left_count};
    struct shmkiti_words *words = &pass->words;

    qsort(left.word, left.count, sizeof *left.word, by_inode);
    for (size_t i = 0; i < words->count; i++) {
        uint64_t key = words->word[i] & ~SHMKITI_PEND;

        if (key != 0 && !index_has(&left, (uint32_t)key, key))
            words->word[i] = 0;
    }
    return shmkiti_os_write(fd, SHMKITI_TABLE_OFFSET(0), words->word,
                            words->count * sizeof *words->word);
}

/* Names first, then how many: a kill in between leaves 0, "not known". */
static int
note_kept(int fd, const struct pass *pass)
{
    int r;

    if (pass->names_overflow)
        return 0;
    r = shmkiti_os_write(fd, SHMKITI_TABLE_KEPT_AT, pass->names,
                         pass->names_len);
    if (r == 0)
        r = store_u32(fd, AT(kept_len), (uint32_t)pass->names_len);
    SHMKITI_FAULT("family.sweep.noted");
    if (r == 0)
        r = store_u32(fd, AT(kept), pass->names_count);
    return r;
}

static enum shmkiti_family_state
finish_zombie(int fd, struct pass *pass)
{
    if (clear_words(fd, pass) == 0)
        (void)note_kept(fd, pass);
    return SHMKITI_FAMILY_ZOMBIE;
}

static enum shmkiti_family_state
remove_file(const char *path, struct pass *pass)
{
    SHMKITI_FAULT("family.sweep.emptied");
    if (shmkiti_os_unlink(path) < 0)
        return SHMKITI_FAMILY_REFUSED;
    SHMKITI_FAULT("family.sweep.unlinked");
    if (pass->sweep != NULL)
        pass->sweep->removed++;
    return SHMKITI_FAMILY_REMOVED;
}

static enum shmkiti_family_state
bury(int fd, const char *path, struct pass *pass)
{
    if (store_u32(fd, AT(dead), 1) < 0)
        return SHMKITI_FAMILY_REFUSED;
    SHMKITI_FAULT("family.sweep.dead");
    pass->left = calloc(pass->words.nonzero + 1, sizeof *pass->left);
    if (pass->left == NULL)
        return SHMKITI_FAMILY_ZOMBIE;
    if (pass->words.nonzero > 0) {
        if (adopt_blocks(fd, pass) < 0)
            return SHMKITI_FAMILY_ZOMBIE;
        if (pass->by_kept && pass->left_count == pass->words.nonzero)
            return SHMKITI_FAMILY_ZOMBIE; /* as before: nothing to write */
        /* Until new names are noted the old ones must not be believed. */
        if (store_u32(fd, AT(kept), 0) < 0)
            return SHMKITI_FAMILY_ZOMBIE;
        SHMKITI_FAULT("family.sweep.passed");
    }
    return pass->left_count > 0 ? finish_zombie(fd, pass)
                                : remove_file(path, pass);
}

static int
tell_name(const char *name, uint64_t ino, void *arg)
{
    struct adoption *adoption = arg;
    char path[SHMKITI_PATH_SIZE];
    struct shmkiti_os_stat st;

    if (!index_has(adoption->index, (uint32_t)ino, 0))
        return 0;
    shmkiti_name_path(name, path);
    if (shmkiti_os_stat_path(path, &st) == 0 && st.regular &&
        index_has(adoption->index, (uint32_t)st.ino, shmkiti_table_key(&st)))
        count_removed(adoption->pass->sweep, name);
    return 0;
}

static enum shmkiti_family_state
tell(struct pass *pass)
{
    struct adoption adoption = {.pass = pass};
    struct index index;

    if (make_index(&pass->words, &index) == 0) {
        adoption.index = &index;
        (void)shmkiti_os_list(SHMKITI_DIR, tell_name, &adoption);
        free(index.word);
    }
    return SHMKITI_FAMILY_DEAD;
}

/* EX is held on `fd`. */
static enum shmkiti_family_state
sweep_locked(int fd, const char *path, struct shmkiti_sweep *sweep)
{
    enum shmkiti_family_state state;
    struct shmkiti_os_stat st;
    struct pass *pass;

    if (shmkiti_os_stat(fd, &st) < 0)
        return SHMKITI_FAMILY_REFUSED;
    if (st.nlink == 0)
        return SHMKITI_FAMILY_GONE;
    pass = calloc(1, sizeof *pass);
    if (pass == NULL)
        return SHMKITI_FAMILY_REFUSED;
    pass->sweep = sweep;
    if (shmkiti_words_read(fd, &pass->words) < 0)
        state = SHMKITI_FAMILY_REFUSED;
    else if (sweep != NULL && sweep->dry_run)
        state = tell(pass);
    else
        state = bury(fd, path, pass);
    free(pass->words.word);
    free(pass->left);
    free(pass);
    return state;
}

/* EX was refused: by a member, or by another sweeper?  Leaves EX held, and
 * returns DEAD, if the way has become free. */
static enum shmkiti_family_state
who_is_there(int fd, struct shmkiti_sweep *sweep)
{
    struct shmkiti_words words;

    if (shmkiti_os_lock_shared(fd) < 0) {
        if (sweep != NULL && sweep->watch != 0 &&
            shmkiti_words_read(fd, &words) == 0) {
            if (find_word(&words, sweep->watch) != NULL)
                sweep->busy_with_watch = true;
            free(words.word);
        }
        return SHMKITI_FAMILY_BUSY;
    }
    if (shmkiti_os_lock_exclusive(fd) == 0)
        return SHMKITI_FAMILY_DEAD;
    return SHMKITI_FAMILY_LIVE;
}

static enum shmkiti_family_state
sweep_open(int fd, const char *path, struct shmkiti_sweep *sweep)
{
    enum shmkiti_family_state state = SHMKITI_FAMILY_DEAD;
    struct shmkiti_os_stat st;
    int r;

    r = shmkiti_os_stat(fd, &st);
    if (r < 0 || !st.regular || !st.sticky)
        return SHMKITI_FAMILY_REFUSED;
    r = shmkiti_os_lock_exclusive(fd);
    if (r == -EWOULDBLOCK)
        state = who_is_there(fd, sweep);
    else if (r < 0)
        return SHMKITI_FAMILY_REFUSED;
    SHMKITI_FAULT("family.sweep.locked");
    if (state == SHMKITI_FAMILY_DEAD)
        state = sweep_locked(fd, path, sweep);
    (void)shmkiti_os_unlock(fd);
    return state;
}

/* The directory goes with its last file; ENOTEMPTY stops it before. */
static void
remove_directory(const char *path)
{
    char dir[SHMKITI_PATH_SIZE];

    (void)snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = '\0';
    (void)shmkiti_os_remove_directory(dir);
}

enum shmkiti_family_state
shmkiti_sweep_file(const char *path, struct shmkiti_sweep *sweep)
{
    enum shmkiti_family_state state;
    int fd, r;

    r = shmkiti_os_open(path, true, &fd);
    if (r < 0)
        return r == -ENOENT ? SHMKITI_FAMILY_GONE : SHMKITI_FAMILY_REFUSED;
    state = sweep_open(fd, path, sweep);
    (void)shmkiti_os_close(fd);
    if (state == SHMKITI_FAMILY_REMOVED)
        remove_directory(path);
    return state;
}

/* ---- all families ---- */

struct walk {
    int (*visit)(const char *path, uint64_t ino, void *arg);
    void *arg;
    const char *dir;
    uint32_t uid;
    bool anybody; /* for root's gc: directories of every user */
    bool empty;   /* so far */
};

static int
visit_file(const char *name, uint64_t ino, void *arg)
{
    struct walk *walk = arg;
    char path[SHMKITI_PATH_SIZE];

    walk->empty = false;
    if (strlen(name) != 16 || name[strspn(name, "0123456789abcdef")] != '\0')
        return 0;
    (void)snprintf(path, sizeof path, "%.*s/%s", SHMKITI_PATH_SIZE - 20,
                   walk->dir, name);
    return walk->visit(path, ino, walk->arg);
}

/* A directory of families, if it is one.  For root's gc it need not belong to
 * the user in its name: that is what its owner calls himself, and in a user
 * namespace it is another number than here.  What a family may list is judged
 * by the owner of its file. */
static int
walk_dir(struct walk *walk, const char *dir)
{
    struct shmkiti_os_stat st;
    int r;

    r = shmkiti_os_stat_path(dir, &st);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (!st.directory || (st.mode & 077) != 0 ||
        (!walk->anybody && st.uid != walk->uid))
        return 0;
    walk->dir = dir;
    walk->empty = true;
    r = shmkiti_os_list(dir, visit_file, walk);
    if (r == -ENOENT)
        return 0;
    /* An empty one was left by a kill between mkdir and link, or between
     * unlink and rmdir. */
    if (walk->empty)
        (void)shmkiti_os_remove_directory(dir);
    return r;
}

static int
visit_dir(const char *name, uint64_t ino, void *arg)
{
    char path[SHMKITI_PATH_SIZE];
    unsigned uid;

    (void)ino;
    if (sscanf(name, "shmkit-%u", &uid) != 1)
        return 0;
    shmkiti_name_path(name, path);
    return walk_dir(arg, path);
}

int
shmkiti_sweep_each_file(bool all,
                        int (*visit)(const char *path, uint64_t ino,
                                     void *arg),
                        void *arg)
{
    struct walk walk = {.visit = visit, .arg = arg};
    char dir[SHMKITI_PATH_SIZE];
    int r = 0;

    walk.uid = shmkiti_os_uid();
    walk.anybody = all && walk.uid == 0;
    if (walk.anybody)
        return shmkiti_os_list(SHMKITI_DIR, visit_dir, &walk);
    for (unsigned i = 0; r == 0 && i < SHMKITI_FAMILY_DIRS; i++) {
        shmkiti_family_dir(walk.uid, i, dir);
        r = walk_dir(&walk, dir);
    }
    return r;
}

static int
sweep_one(const char *path, uint64_t ino, void *arg)
{
    if (!shmkiti_family_is_mine(ino))
        (void)shmkiti_sweep_file(path, arg);
    return 0;
}

void
shmkiti_sweep_families(struct shmkiti_sweep *sweep)
{
    (void)shmkiti_sweep_each_file(false, sweep_one, sweep);
}

void
shmkiti_sweep_limited(void)
{
    static uint64_t next; /* a hint: two threads may both sweep */
    uint64_t start = shmkiti_os_now_ns(), took;

    if (start < shmkiti_load_relaxed_u64(&next))
        return;
    shmkiti_sweep_families(NULL);
    took = shmkiti_os_now_ns() - start;
    if (took * 10 < KEEP_LIST_NS)
        took = KEEP_LIST_NS / 10;
    shmkiti_store_relaxed_u64(&next, start + took * 11);
}

/* ---- sticky blocks ---- */

static int
sweep_block(const char *name, uint64_t ino, void *arg)
{
    struct shmkiti_sweep *sweep = arg;
    char path[SHMKITI_PATH_SIZE];
    struct shmkiti_os_stat st;
    enum shmkiti_reap verdict;
    uint64_t key;

    (void)ino;
    shmkiti_name_path(name, path);
    if (shmkiti_os_stat_path(path, &st) < 0 || !st.regular || !st.sticky)
        return 0;
    key = shmkiti_table_key(&st);
    verdict = sweep->dry_run ? shmkiti_reap_probe(name, key)
                             : shmkiti_reap(name, key);
    if (verdict == SHMKITI_REAP_REMOVED)
        count_removed(sweep, name);
    return 0;
}

int
shmkiti_sweep_all(struct shmkiti_sweep *sweep)
{
    int r;

    r = shmkiti_sweep_each_file(true, sweep_one, sweep);
    if (r < 0 && r != -ENOENT)
        return r;
    return shmkiti_os_list(SHMKITI_DIR, sweep_block, sweep);
}

/* Names that went, NUL after each: told when the guard is left, because a
 * visitor may fork or call the library. */
struct names {
    char *text;
    size_t len, room;
};

static void
note_name(const char *name, void *arg)
{
    struct names *names = arg;
    size_t len = strlen(name) + 1;

    if (names->len + len > names->room) {
        size_t room = names->room * 2 + len;
        char *text = realloc(names->text, room);

        if (text == NULL)
            return; /* removed all the same */
        names->text = text;
        names->room = room;
    }
    memcpy(names->text + names->len, name, len);
    names->len += len;
}

int
shmkit_sweep(uint32_t flags, void (*visit)(const char *name, void *arg),
             void *arg)
{
    struct names names = {NULL, 0, 0};
    struct shmkiti_sweep sweep = {.visit = note_name, .arg = &names};
    int r;

    if ((flags & ~(uint32_t)SHMKIT_DRY_RUN) != 0)
        return -EINVAL;
    sweep.dry_run = (flags & SHMKIT_DRY_RUN) != 0;
    shmkiti_guard_enter();
    r = shmkiti_sweep_all(&sweep);
    shmkiti_guard_leave();
    for (size_t at = 0; visit != NULL && at < names.len;
         at += strlen(names.text + at) + 1)
        visit(names.text + at, arg);
    free(names.text);
    return r;
}
