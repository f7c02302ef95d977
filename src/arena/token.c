/* SPDX-License-Identifier: MIT */
/* token.c - who takes part in an arena, and who of them is alive.
 *
 * A token is a number that the arena gives out once.  To take one is to hold
 * an exclusive lock on byte 2^61 + token of the file, through a description
 * that lives in nothing but one page mapped without access: the pin.  Fork
 * does not copy it (MADV_DONTFORK), exec, exit and SIGKILL drop it, code that
 * closes descriptors cannot.  So the lock lives exactly as long as this
 * process image, whatever happens, and the kernel answers whether it does.
 * The token itself stands in a page that fork wipes: a child reads 0 and
 * registers itself at its first use.
 *
 * Verdict.  Locked: alive, unless it is dying (below).  Not locked: dead, but
 * only if the descriptor we asked with is still the arena's file, and sees our
 * own lock.  Anything else is "unknown", which all treat as alive: nothing is
 * ever taken from somebody who cannot be proved dead.
 *
 * A killed process keeps its locks until its memory is gone, up to a second
 * for many GiB.  So its record in the table of participants, {pid, PID
 * namespace, token}, lets /proc tell earlier.  That counts only inside one PID
 * namespace.  The pid cannot be another process's: it is not given out again
 * while the lock stands, and if it fell meanwhile "dead" is right as well.
 *
 * Table: 1024 records, a hint for speed and for people: a process that finds
 * no free one is told dead later, no more.  A record is claimed by CAS of its
 * token (0 or a dead one) to the own token with a bit; pid and namespace
 * follow, then the token without the bit.  Killed in between: a dead token.
 *
 * Killed while registering: a token nobody will use; nothing else. */
#include <errno.h>
#include <string.h>

#include "arena/local.h"
#include "base/fault.h"
#include "block/local.h"
#include "os/os.h"

#define TRIES 4096
#define BUSY SHMKITI_LANE_ADOPTED

static struct shmkiti_participant *
record_at(const shmkit_arena *arena, uint32_t i)
{
    struct shmkiti_participant *all =
        shmkiti_arena_ptr(arena, SHMKITI_AT_PARTICIPANTS);

    return &all[i % SHMKITI_PARTICIPANTS];
}

static struct shmkiti_participant *
find_record(const shmkit_arena *arena, uint32_t token)
{
    for (uint32_t i = 0; i < SHMKITI_PARTICIPANTS; i++) {
        struct shmkiti_participant *record = record_at(arena, token + i);

        if (shmkiti_load_acquire_u32(&record->token) == token)
            return record;
    }
    return NULL;
}

/* ---- asking ---- */

/* Not locked, says `fd`: is its word worth anything? */
static bool
is_witness(shmkit_arena *arena, int fd)
{
    uint32_t own = __atomic_load_n(arena->token, __ATOMIC_RELAXED);

    return own != 0 && shmkiti_arena_is_file(arena, fd) &&
           shmkiti_os_byte_is_locked(fd, SHMKITI_BYTE_TOKEN + own) == 1;
}

static enum shmkiti_verdict
ask(shmkit_arena *arena, uint64_t byte)
{
    int fd = __atomic_load_n(&arena->local->probe, __ATOMIC_RELAXED);

    for (int i = 0; i < 2; i++) {
        int locked = shmkiti_os_byte_is_locked(fd, byte);

        if (locked == 1)
            return SHMKITI_ALIVE;
        if (locked == 0 && is_witness(arena, fd))
            return SHMKITI_DEAD;
        if (shmkiti_arena_probe(arena, &fd) < 0)
            break;
    }
    return SHMKITI_UNKNOWN;
}

static bool
is_dying(shmkit_arena *arena, uint32_t token)
{
    struct shmkiti_participant *record = find_record(arena, token);
    uint64_t pid, ns, own = shmkiti_load_relaxed_u64(&arena->local->ns);

    if (record == NULL || own == 0)
        return false;
    pid = shmkiti_load_acquire_u64(&record->pid);
    ns = shmkiti_load_acquire_u64(&record->ns);
    if (shmkiti_load_acquire_u32(&record->token) != token || ns != own ||
        pid == 0 || pid > INT32_MAX)
        return false;
    return shmkiti_os_is_dying((int64_t)pid);
}

enum shmkiti_verdict
shmkiti_token_verdict(shmkit_arena *arena, uint32_t token)
{
    enum shmkiti_verdict verdict;
    uint32_t own;
    int error;

    token &= SHMKITI_TOKEN_MASK;
    own = shmkiti_token(arena, &error);
    if (own == 0)
        return SHMKITI_UNKNOWN;
    if (token == own)
        return SHMKITI_ALIVE;
    if (token == 0)
        return SHMKITI_DEAD; /* no such participant */
    verdict = ask(arena, SHMKITI_BYTE_TOKEN + token);
    if (verdict == SHMKITI_ALIVE && is_dying(arena, token))
        verdict = SHMKITI_DEAD;
    return verdict;
}

enum shmkiti_verdict
shmkiti_cohort_verdict(shmkit_arena *arena, uint32_t cohort)
{
    int error;

    if (shmkiti_token(arena, &error) == 0)
        return SHMKITI_UNKNOWN;
    return ask(arena, SHMKITI_BYTE_COHORT + cohort);
}

int64_t
shmkiti_token_get_pid(shmkit_arena *arena, uint32_t token, char ret_name[16])
{
    struct shmkiti_participant *record;
    uint64_t pid, ns;

    memset(ret_name, 0, 16);
    token &= SHMKITI_TOKEN_MASK;
    record = token == 0 ? NULL : find_record(arena, token);
    if (record == NULL)
        return 0;
    pid = shmkiti_load_acquire_u64(&record->pid);
    ns = shmkiti_load_acquire_u64(&record->ns);
    if (ns == 0 || ns != shmkiti_os_pid_namespace() || pid > INT32_MAX ||
        shmkiti_load_acquire_u32(&record->token) != token)
        return 0;
    shmkiti_os_command((int64_t)pid, ret_name);
    return (int64_t)pid;
}

uint32_t
shmkiti_token_count(shmkit_arena *arena)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < SHMKITI_PARTICIPANTS; i++) {
        uint32_t token =
            shmkiti_load_acquire_u32(&record_at(arena, i)->token) &
            SHMKITI_TOKEN_MASK;

        if (token != 0 && !shmkiti_token_is_dead(arena, token))
            count++;
    }
    return count;
}

/* ---- registering ---- */

/* Lock the byte of a number that nobody has. */
static int
lock_new_token(shmkit_arena *arena, int fd, uint32_t *ret_token)
{
    uint32_t *next = &arena->header->next_token;
    uint32_t token;
    int r;

    for (int i = 0; i < TRIES; i++) {
        token =
            __atomic_add_fetch(next, 1, __ATOMIC_RELAXED) & SHMKITI_TOKEN_MASK;
        if (token == 0)
            continue;
        r = shmkiti_os_lock_byte(fd, SHMKITI_BYTE_TOKEN + token);
        if (r == 0)
            *ret_token = token;
        if (r != -EWOULDBLOCK)
            return r;
    }
    return -EAGAIN;
}

static bool
claim_record(int fd, struct shmkiti_participant *record, uint32_t token)
{
    uint32_t old = shmkiti_load_acquire_u32(&record->token);
    uint32_t who = old & SHMKITI_TOKEN_MASK;

    /* `fd` has a lock of its own, on another byte: it may ask for this one. */
    if (who != 0 &&
        shmkiti_os_byte_is_locked(fd, SHMKITI_BYTE_TOKEN + who) != 0)
        return false;
    return shmkiti_cas_acq_rel_u32(&record->token, old, token | BUSY);
}

static void
write_record(shmkit_arena *arena, int fd, uint32_t token)
{
    for (uint32_t i = 0; i < SHMKITI_PARTICIPANTS; i++) {
        struct shmkiti_participant *record = record_at(arena, token + i);

        if (!claim_record(fd, record, token))
            continue;
        SHMKITI_FAULT("token.register.claimed");
        shmkiti_store_relaxed_u64(&record->pid, (uint64_t)shmkiti_os_pid());
        shmkiti_store_relaxed_u64(&record->ns, arena->local->ns);
        shmkiti_store_release_u32(&record->token, token);
        return;
    }
}

static int
take_token(shmkit_arena *arena, int fd)
{
    struct shmkiti_arena_local *local = arena->local;
    uint32_t token = 0;
    void *pin = NULL;
    int r;

    r = lock_new_token(arena, fd, &token);
    SHMKITI_FAULT("token.register.locked");
    if (r == 0)
        r = shmkiti_os_pin(fd, false, &pin);
    if (r < 0)
        return r;
    SHMKITI_FAULT("token.register.pinned");
    shmkiti_store_relaxed_u64(&local->ns, shmkiti_os_pid_namespace());
    write_record(arena, fd, token);
    local->pin = pin;
    local->pin_token = token;
    __atomic_store_n((uint32_t *)(uintptr_t)arena->token, token,
                     __ATOMIC_RELEASE);
    return 0;
}

int
shmkiti_token_register(shmkit_arena *arena)
{
    int fd, r = 0;

    (void)pthread_mutex_lock(&arena->local->mutex);
    if (__atomic_load_n(arena->token, __ATOMIC_RELAXED) == 0) {
        shmkiti_guard_enter();
        r = shmkiti_arena_open_fresh(arena, &fd);
        if (r == 0) {
            r = take_token(arena, fd);
            (void)shmkiti_os_close(fd);
        }
        shmkiti_guard_leave();
    }
    (void)pthread_mutex_unlock(&arena->local->mutex);
    return r;
}

void
shmkiti_token_drop(shmkit_arena *arena)
{
    struct shmkiti_arena_local *local = arena->local;
    uint32_t *page = (uint32_t *)(uintptr_t)arena->token;
    uint32_t token = __atomic_load_n(page, __ATOMIC_RELAXED);
    struct shmkiti_participant *record;

    if (token == 0 || local->pin_token != token)
        return; /* a raw clone: the pin is its parent's */
    shmkiti_lanes_drop(arena, token);
    record = find_record(arena, token);
    if (record != NULL)
        (void)shmkiti_cas_acq_rel_u32(&record->token, token, 0);
    __atomic_store_n(page, 0, __ATOMIC_RELAXED);
    shmkiti_os_unpin(local->pin);
    local->pin = NULL;
}
