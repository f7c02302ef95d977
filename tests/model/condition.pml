/* SPDX-License-Identifier: MIT */
/* condition.pml - waiters that stand in their lanes, for Spin.
 *
 * A producer puts ITEMS items into a buffer, one notify(1) each; CONSUMERS
 * take items for ever, waiting while there is none.  A joiner comes at any
 * time, takes a dead process's lane, if there is one, else one of its own,
 * and consumes too.  The user's lock is that of lock.pml, taken in one step:
 * free, or its owner dead, which counts a death.  Lanes 0 .. PROCS - 1; a
 * process other than the joiner has the lane of its number.
 *
 * Kills and ticks are as in lock.pml.  With -DDEFER the wake follows the
 * lock's release, as the library does it.
 *
 * Asserted:
 *   one owner of the lock at a time, one of a lane;
 *   when nobody can move, there is no item, or no living consumer;
 *   without kills: a wait ends only by a grant, the longest waiting first.
 *
 * At most one MUTANT, each of which must produce an error. */

#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef ITEMS
#define ITEMS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifdef WITH_JOINER
#define PROCS (CONSUMERS + 2)
#define JOINER (CONSUMERS + 1)
#else
#define PROCS (CONSUMERS + 1)
#endif
#define PRODUCER 0

#define NONE 0
#define WAITING 1
#define GRANTED 2
#define ADOPTED 32
#define NOBODY 255

byte lock;          /* token, process + 1 */
byte deaths;
byte seq, next;
bool maybe;
byte orphan;
byte owner[PROCS];  /* of each lane: token, or ADOPTED + token */
byte wait[PROCS];
byte ticket[PROCS]; /* one word with wait */
bool dead[PROCS];
bool asleep[PROCS]; /* processes */
byte bed[PROCS];    /* the lane bit a process sleeps with */
bool ready;
byte kills_left, kills;
byte items;
bool over;          /* nobody can move, and rightly */
byte ended;         /* dead, or done */

#define STEP(x) \
    if \
    :: atomic { x } \
    :: atomic { kills_left > 0 -> kills_left--; goto killed } \
    fi

#define IS_DEAD(token) ((token) != 0 && dead[((token) & 31) - 1])

#define TAKE(me) \
    if \
    :: atomic { lock == 0 -> lock = me + 1 } \
    :: atomic { IS_DEAD(lock) -> lock = me + 1; deaths++ } \
    :: atomic { kills_left > 0 -> kills_left--; goto killed } \
    fi

#define DEAD_GRANT(l) (wait[l] == GRANTED && IS_DEAD(owner[l]))
#ifdef WITH_JOINER
#define SOME_DEAD_GRANT \
    (DEAD_GRANT(0) || DEAD_GRANT(1) || DEAD_GRANT(2) || DEAD_GRANT(PROCS - 1))
#else
#define SOME_DEAD_GRANT (DEAD_GRANT(0) || DEAD_GRANT(1) || DEAD_GRANT(PROCS - 1))
#endif

#ifdef MUTANT_NO_LOOK_AT_DEATHS
#define HEALED (orphan != o0)
#elif defined(MUTANT_NO_LOOK_AT_ORPHANS)
#define HEALED (deaths != d0 || IS_DEAD(lock))
#else
#define HEALED (deaths != d0 || orphan != o0 || IS_DEAD(lock))
#endif
#ifdef NO_TICK
#define TICK_FINDS false
#else
#define TICK_FINDS (wait[lane] == GRANTED || HEALED || SOME_DEAD_GRANT)
#endif

/* Repairs lane l, if its owner is dead; `then` is whose it is afterwards. */
#ifdef MUTANT_ADOPT_WITHOUT_ORPHAN
#define LEAVE_ORPHAN(l) skip
#elif defined(MUTANT_RECORD_BEFORE_ORPHAN)
#define LEAVE_ORPHAN(l) \
    STEP(v = wait[l]); \
    STEP(wait[l] = NONE); \
    STEP(if :: v == GRANTED -> orphan++ :: else fi)
#else
#define LEAVE_ORPHAN(l) \
    STEP(if :: wait[l] == GRANTED -> orphan++ :: else fi)
#endif
#define REPAIR(l, then) \
    STEP(v = owner[l]); \
    if \
    :: IS_DEAD(v) -> \
        STEP(if :: owner[l] == v -> owner[l] = ADOPTED + me + 1; ok = true \
                :: else -> ok = false fi); \
        if \
        :: ok -> \
            LEAVE_ORPHAN(l); \
            STEP(wait[l] = NONE); \
            STEP(owner[l] = then) \
        :: else \
        fi \
    :: else -> ok = false \
    fi

/* Waits with the lock held; returns with it held. */
#define WAIT(me) \
    STEP(d0 = deaths; o0 = orphan); \
    STEP(t = next; next++); \
    STEP(maybe = true); \
    STEP(ticket[lane] = t; wait[lane] = WAITING); \
    STEP(lock = 0); \
    do \
    :: \
        STEP(s = seq); \
        STEP(if :: wait[lane] == GRANTED -> break :: else fi); \
        STEP(if :: seq == s -> asleep[me] = true; bed[me] = lane \
                :: else fi); \
        if \
        :: atomic { !asleep[me] } \
        :: atomic { asleep[me] && TICK_FINDS -> asleep[me] = false; ok = true } \
           if \
           :: atomic { HEALED -> break } \
           :: atomic { !HEALED } \
           fi; \
           i = 0; \
           do \
           :: i == PROCS -> break \
           :: i < PROCS && DEAD_GRANT(i) -> REPAIR(i, 0); i++ \
           :: i < PROCS && !DEAD_GRANT(i) -> i++ \
           od; \
           STEP(if :: HEALED -> break :: else fi) \
        :: atomic { kills_left > 0 -> kills_left--; goto killed } \
        :: atomic { over -> goto end } \
        fi \
    od; \
    CLEAR_EARLY \
    TAKE(me); \
    atomic { assert(kills > 0 || wait[lane] == GRANTED || CLEARED) }; \
    STEP(wait[lane] = NONE)
#ifdef MUTANT_RECORD_CLEARED_EARLY
#define CLEAR_EARLY STEP(wait[lane] = NONE);
#define CLEARED true
#else
#define CLEAR_EARLY
#define CLEARED false
#endif

inline grant_longest()
{
    /* Under the lock; an adopted lane, or a dead one, is nobody.  The scan
     * writes nothing, so that it can be one step; the grant compares. */
    STEP(
        i = 0;
        best = NOBODY;
        do
        :: i == PROCS -> break
        :: else ->
            if
            :: wait[i] == WAITING && owner[i] < ADOPTED &&
                    !IS_DEAD(owner[i]) &&
                    (best == NOBODY || ticket[i] < ticket[best]) ->
                best = i;
                seen = ticket[i]
            :: else
            fi;
            i++
        od);
    if
    :: best == NOBODY -> STEP(maybe = false)
    :: else ->
        STEP(if :: wait[best] == WAITING && ticket[best] == seen ->
                     wait[best] = GRANTED
                :: else fi)
    fi
}

/* The kernel wakes the living that sleep with this lane's bit. */
inline wake_lane(l)
{
    i = 0; s = 0;
    do
    :: i == PROCS -> break
    :: else ->
        if
        :: asleep[i] && bed[i] == l -> asleep[i] = false; s++
        :: else
        fi;
        i++
    od
}

proctype Producer(byte me)
{
    byte made, i, s, best, seen;
    bool more;

    ready;
    do
    :: made == ITEMS -> break
    :: else ->
        TAKE(me);
        STEP(items++);
        made++;
        STEP(assert(lock == me + 1); more = maybe);
        if
        :: more ->
again:
            grant_longest();
            if
            :: best != NOBODY ->
#ifndef MUTANT_NO_SEQ
                STEP(seq++);
#endif
#ifdef DEFER
                STEP(lock = 0);
#endif
                STEP(wake_lane(best));
#ifndef DEFER
                if
                :: s == 0 ->
                    /* not asleep yet, or dead: its grant goes to the next */
                    STEP(if :: IS_DEAD(owner[best]) -> wait[best] = NONE;
                                 s = 2
                            :: else fi);
                    if
                    :: s == 2 -> goto again
                    :: else
                    fi
                :: else
                fi
#else
                goto released
#endif
            :: else
            fi
        :: else
        fi;
        STEP(lock = 0);
released:
        skip
    od;
    goto end;
killed:
    atomic { dead[me] = true; kills++ };
end:
    ended++
}

proctype Consumer(byte me; bool joins)
{
    byte lane, v, t, s, i, d0, o0;
    bool ok;

    ready;
    lane = me;
    if
    :: !joins -> owner[me] = me + 1
    :: else ->
        i = 0; ok = false;
        do
        :: i == PROCS || ok -> break
        :: else ->
            REPAIR(i, me + 1);
            if
            :: ok -> lane = i
            :: else
            fi;
            i++
        od;
        if
        :: !ok -> STEP(owner[me] = me + 1)
        :: else
        fi
    fi;
    do
    :: true ->
        TAKE(me);
        do
        :: items > 0 -> break
        :: else -> WAIT(me)
        od;
        STEP(assert(lock == me + 1 && owner[lane] == me + 1); items--);
        STEP(lock = 0)
    od;
killed:
    atomic { dead[me] = true; asleep[me] = false; kills++; ended++ };
end:
    skip
}

init {
    atomic {
        byte i;

        select(i : 0 .. KILLS);
        kills_left = i;
        run Producer(PRODUCER);
        for (i : 1 .. CONSUMERS) {
            run Consumer(i, false)
        }
#ifdef WITH_JOINER
        run Consumer(JOINER, true);
#endif
        ready = true
    }
}

active proctype Last()
{
    do
    :: ended == PROCS -> break
    :: timeout ->
        assert(items == 0);
        over = true;
        break
    od
}
