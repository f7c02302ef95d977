/* SPDX-License-Identifier: MIT */
/* semaphore.pml - units that know who holds them.
 *
 * UNITS words.  A word is free, names the process that took it by an owned
 * acquire, or says that somebody took it plainly.  Units beyond the words are
 * a plain counter, `extra`, which release adds to where nothing is taken, up
 * to EXTRA (a bounded semaphore whose value began at its bound has EXTRA 0).
 * What a release looks for: its own unit, then one taken plainly, then extra.
 *
 * A scan of the words is not one step, and begins anywhere.  A release that
 * found nothing to give back is refused only after it put its own mark into
 * every free word, read extra, and found every mark still there: a unit taken
 * and given back meanwhile has lost it.  Marked words are free too.
 *
 * Kills and ticks are as in lock.pml.  OWNED processes acquire owned, PLAIN
 * plainly, and RELEASERS release a unit without having one, where allowed.
 *
 * Asserted:
 *   never more inside than there are units;
 *   whoever holds a unit can give it back;
 *   in the end all units are there, but for those that plain holders took
 *   with them when they were killed;
 *   nobody sleeps for ever while a unit is free or a dead one's.
 *
 * At most one MUTANT, each of which must produce an error. */

#ifndef UNITS
#define UNITS 1
#endif
#ifndef OWNED
#define OWNED 2
#endif
#ifndef PLAIN
#define PLAIN 1
#endif
#ifndef RELEASERS
#define RELEASERS 0
#endif
#ifndef EXTRA
#define EXTRA RELEASERS
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define TAKERS (OWNED + PLAIN)
#define PROCS (TAKERS + RELEASERS)

#define FREE 0
#define ANON 99 /* taken plainly; else the token, process + 1 */
#define PROBE(p) (100 + (p)) /* free, and marked by p */
#define IS_FREE(v) ((v) == FREE || (v) >= 100)

byte unit[UNITS];
byte extra;
byte queue; /* event count modulo 64; odd = somebody may sleep */
bool dead[PROCS];
bool asleep[PROCS];
bool ready;
byte kills_left;
byte ended;
bool over;   /* nobody can move, and rightly */
byte inside; /* ghost: living holders */
byte lost;   /* ghost: units that died with plain holders */
byte made;   /* ghost: units that releasers added */

#define STEP(x) \
    if \
    :: atomic { x } \
    :: atomic { kills_left > 0 -> kills_left--; goto killed } \
    fi

#define IS_DEAD(v) (!IS_FREE(v) && (v) != ANON && dead[(v) - 1])
#ifdef MUTANT_DEAD_STAY
#define CAN_TAKE(v) (IS_FREE(v))
#else
#ifdef MUTANT_NO_VERDICT
#define CAN_TAKE(v) ((v) != ANON)
#else
#define CAN_TAKE(v) (IS_FREE(v) || IS_DEAD(v))
#endif
#endif

#ifdef NO_TICK
#define TICK_FINDS false
#else
#define TICK_FINDS (extra > 0 || CAN_TAKE(unit[0]) || CAN_TAKE(unit[UNITS - 1]))
#endif

/* The kernel wakes any one. */
#define WAKE_ONE \
    if \
    :: asleep[0] -> asleep[0] = false \
    :: asleep[1 % PROCS] -> asleep[1 % PROCS] = false \
    :: asleep[2 % PROCS] -> asleep[2 % PROCS] = false \
    :: else \
    fi

/* After a unit was given back. */
#define WAKE \
    STEP(s = queue); \
    if \
    :: s & 1 -> \
        STEP(if :: queue == s -> queue = (queue + 1) % 64; ok = true \
                :: else -> ok = false fi); \
        if \
        :: ok -> STEP(WAKE_ONE) \
        :: else \
        fi \
    :: else \
    fi

/* Where a scan begins is each process's own affair. */
#define AT(i) ((i + me) % UNITS)

/* The ghost's part of taking and giving; mortal: dies with its holder. */
#define TOOK(dies) \
    holds = true; mortal = dies; inside++; assert(inside <= UNITS + made)
#define GAVE holds = false; inside--

#define MARK (owned -> me + 1 : ANON)

proctype Taker(byte me; bool owned)
{
    byte round, i, s, v;
    bool slept, holds, mortal, ok, refused;

    ready;
    do
    :: round == ROUNDS -> break
    :: else ->
        round++;
        slept = false;
again:
        i = 0;
        do
        :: i == UNITS -> break
        :: else ->
            STEP(v = unit[AT(i)]);
            /* The dead are asked for at the tick only. */
            if
            :: IS_FREE(v) || (slept && CAN_TAKE(v)) ->
#ifdef MUTANT_TAKE_WITHOUT_COMPARING
                STEP(unit[AT(i)] = MARK; TOOK(!owned); goto got)
#else
                STEP(if :: unit[AT(i)] == v -> unit[AT(i)] = MARK; TOOK(!owned); goto got
                        :: else fi)
#endif
            :: else
            fi;
            i++
        od;
        STEP(if :: extra > 0 -> extra--; TOOK(true); goto got
                :: else fi);
        STEP(s = queue);
        if
        :: !(s & 1) ->
            STEP(if :: queue == s -> queue = s + 1; s = s + 1
                    :: else -> goto again fi)
        :: else
        fi;
        /* Another look: what was given back before the bit woke nobody. */
#ifndef MUTANT_NO_SECOND_LOOK
        i = 0;
        do
        :: i == UNITS -> break
        :: else ->
            STEP(if :: IS_FREE(unit[i]) -> goto again :: else fi);
            i++
        od;
        STEP(if :: extra > 0 -> goto again :: else fi);
#endif
        STEP(if :: queue == s -> asleep[me] = true :: else -> goto again fi);
        slept = true;
        if
        :: atomic { !asleep[me] -> goto again }
        :: atomic { TICK_FINDS -> asleep[me] = false; goto again }
        :: atomic { kills_left > 0 -> kills_left--; goto killed }
        :: atomic { over -> goto end }
        fi;
got:
        if
        :: slept ->
            /* Others may sleep behind this one: the bit again, and a look for
             * what was given back before it stood. */
#ifndef MUTANT_BIT_NOT_AGAIN
            STEP(queue = queue | 1);
            ok = false;
            i = 0;
            do
            :: i == UNITS -> break
            :: else ->
                STEP(if :: IS_FREE(unit[i]) -> ok = true :: else fi);
                i++
            od;
            STEP(if :: extra > 0 -> ok = true :: else fi);
            if
            :: ok -> WAKE
            :: else
            fi
#endif
        :: else
        fi;
        STEP(skip);
seek:
        refused = false;
        i = 0;
        do
        :: !owned || i == UNITS -> break
        :: else ->
            STEP(if :: unit[i] == me + 1 -> unit[i] = FREE; GAVE; goto given
                    :: else fi);
            i++
        od;
        i = 0;
        do
        :: i == UNITS -> break
        :: else ->
            STEP(if :: unit[AT(i)] == ANON -> unit[AT(i)] = FREE; GAVE; goto given
                    :: else fi);
            i++
        od;
        STEP(if :: extra < EXTRA -> extra++; GAVE
                :: else -> refused = true fi);
        if
        :: refused ->
#ifndef MUTANT_ONE_SCAN
            i = 0;
            do
            :: i == UNITS -> break
            :: else ->
                STEP(v = unit[i]);
                if
                :: IS_FREE(v) && v != PROBE(me) ->
                    STEP(if :: unit[i] == v -> unit[i] = PROBE(me); i++
                            :: else fi)
                :: v == ANON || v == me + 1 -> goto seek
                :: else -> i++
                fi
            od;
            STEP(if :: extra < EXTRA -> goto seek :: else fi);
#ifndef MUTANT_NO_THIRD_LOOK
            i = 0;
            do
            :: i == UNITS -> break
            :: else ->
                STEP(v = unit[i]);
                if
                :: v == ANON || v == me + 1 ||
                        (IS_FREE(v) && v != PROBE(me)) -> goto seek
                :: else -> i++
                fi
            od;
#endif
#endif
            assert(false) /* it holds one, and is refused */
        :: else
        fi;
given:
        WAKE
    od;
    goto end;
killed:
    atomic {
        dead[me] = true;
        asleep[me] = false;
        if :: holds -> inside-- :: else fi;
        if :: holds && mortal -> lost++ :: else fi
    };
end:
    ended++
}

/* Adds one, as a producer does. */
proctype Releaser(byte me)
{
    byte i, s;
    bool ok;

    ready;
    i = 0;
    do
    :: i == UNITS -> break
    :: else ->
        STEP(if :: unit[i] == ANON -> unit[i] = FREE; made++; goto given
                :: else fi);
        i++
    od;
    STEP(assert(extra < EXTRA); extra++; made++);
given:
    WAKE;
    goto end;
killed:
    dead[me] = true;
end:
    ended++
}

#define AVAILABLE(v) (IS_FREE(v) || IS_DEAD(v))

init {
    atomic {
        byte i;

        select(i : 0 .. KILLS);
        kills_left = i;
        for (i : 0 .. PROCS - 1) {
            if
            :: i < OWNED -> run Taker(i, true)
            :: i >= OWNED && i < TAKERS -> run Taker(i, false)
            :: else -> run Releaser(i)
            fi
        }
        ready = true
    }
}

active proctype Last()
{
    byte i, found;

    do
    :: ended == PROCS -> break
    :: timeout ->
        /* Who sleeps now sleeps for ever: all units died with their holders. */
        assert(lost == UNITS + made);
        over = true;
        break
    od;
    atomic {
        for (i : 0 .. UNITS - 1) {
            if :: AVAILABLE(unit[i]) -> found++ :: else fi
        }
        assert(found + extra + lost == UNITS + made)
    }
}
