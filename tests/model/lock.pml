/* SPDX-License-Identifier: MIT */
/* lock.pml - the lock of sync.h, for Spin.
 *
 * One word: the owner's token and W, the waiters bit; beside it whether it is
 * dirty.  PROCS processes take it ROUNDS times each, change what it guards in
 * two steps, and give it back; process 0 only looks at it.  Up to KILLS of them are killed, each before
 * any step; how many is chosen at the start, so that a hang is not hidden by
 * a kill that could still come.
 *
 * A sleeper's tick is a step that may be taken only when it would find
 * something: then "nobody can move" means that somebody sleeps for ever.
 * With -DNO_TICK the tick does not exist: without kills the lock must do
 * without it.
 *
 * Asserted:
 *   one holder at a time;
 *   who finds the data half changed has been told that the owner died;
 *   nobody sleeps for ever.
 *
 * At most one MUTANT, each of which must produce an error. */

#ifndef PROCS
#define PROCS 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif

#define W 16 /* waiters bit; below it the token, process + 1 */
#define OWNER(v) ((v) & 15)

byte word;
bool dirty;
bool dead[PROCS];
bool asleep[PROCS];
bool ready;      /* the number of kills is chosen */
byte kills_left;
byte ended;
byte inside;     /* ghost: token of the holder at work */
bool torn;       /* ghost: the data is half changed */

#define STEP(x) \
    if \
    :: atomic { x } \
    :: atomic { kills_left > 0 -> kills_left--; goto killed } \
    fi

#define IS_DEAD(v) (OWNER(v) != 0 && dead[OWNER(v) - 1])

/* What the kernel wakes: any one that sleeps. */
#define WAKE_ONE \
    if \
    :: asleep[0] -> asleep[0] = false \
    :: PROCS > 1 && asleep[1] -> asleep[1] = false \
    :: PROCS > 2 && asleep[2 % PROCS] -> asleep[2 % PROCS] = false \
    :: PROCS > 3 && asleep[3 % PROCS] -> asleep[3 % PROCS] = false \
    :: else \
    fi

#ifdef MUTANT_SLOW_WITHOUT_W
#define TAKEN(me) (me + 1)
#else
#define TAKEN(me) (me + 1 + W)
#endif

#ifdef NO_TICK
#define TICK_FINDS(v) false
#else
#ifdef MUTANT_NO_VERDICT
#define TICK_FINDS(v) (word != v)
#else
#define TICK_FINDS(v) (word != v || IS_DEAD(word))
#endif
#endif

proctype Process(byte me)
{
    byte v, round;
    bool told;

    ready;
    do
    :: round == ROUNDS -> break
    :: else ->
        round++;
        told = false;
        STEP(if :: word == 0 -> word = me + 1; goto held :: else fi);
slow:
        STEP(v = word);
        if
        :: OWNER(v) == 0 ->
            STEP(if :: word == v -> word = TAKEN(me); goto held
                    :: else -> goto slow fi)
        :: OWNER(v) != 0 && !(v & W) ->
            STEP(if :: word == v -> word = v | W; v = v | W
                    :: else -> goto slow fi)
        :: else
        fi;
        /* The kernel compares and puts to sleep in one step. */
        STEP(if :: word == v -> asleep[me] = true :: else -> goto slow fi);
        if
        :: atomic { !asleep[me] -> goto slow }
        :: atomic { TICK_FINDS(v) -> asleep[me] = false }
        :: atomic { kills_left > 0 -> kills_left--; goto killed }
        fi;
        /* The tick: look whose it is, ask the kernel, take over. */
        STEP(v = word);
#ifdef MUTANT_STEAL
        if
        :: OWNER(v) != 0
        :: else -> goto slow
        fi;
#else
        STEP(if :: IS_DEAD(v) :: else -> goto slow fi);
#endif
        STEP(if :: word == v -> word = TAKEN(me) :: else -> goto slow fi);
#ifndef MUTANT_NOT_TOLD
        STEP(dirty = true);
#endif
held:
        STEP(assert(inside == 0 || dead[inside - 1]); inside = me + 1;
             told = dirty);
        STEP(assert(!torn || told));
        if
        :: me == 0 -> /* cannot repair: leaves it as it is */
#ifdef MUTANT_NOT_STICKY
            STEP(dirty = false)
#endif
        :: else ->
            STEP(torn = true);
            STEP(assert(inside == me + 1); torn = false);
            STEP(dirty = false) /* mark_consistent() */
        fi;
        /* Out of the section and the exchange are one to all others. */
        STEP(inside = 0; v = word; word = 0);
        if
        :: v & W -> STEP(WAKE_ONE)
        :: else
        fi
    od;
killed:
    atomic {
        asleep[me] = false;
        if :: round != ROUNDS || inside == me + 1 || OWNER(word) == me + 1 ->
                dead[me] = true
           :: else
        fi;
        ended++
    }
}

init {
    atomic {
        byte i;

        select(i : 0 .. KILLS);
        kills_left = i;
        for (i : 0 .. PROCS - 1) {
            run Process(i)
        }
        ready = true
    }
}

active proctype Last()
{
    do
    :: ended == PROCS -> break
    :: timeout -> assert(false) /* somebody sleeps for ever */
    od
}
