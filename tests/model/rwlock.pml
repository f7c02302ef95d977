/* SPDX-License-Identifier: MIT */
/* rwlock.pml - readers mark their lanes, a writer waits for the marks.
 *
 * The writer's word is the lock of lock.pml, here in one step: it is taken
 * when it is free or its owner is dead, and who takes it from the dead is
 * told.  READERS and WRITERS pass ROUNDS times each; a reader reads twice,
 * nested, in its last round.  Kills and ticks are as in lock.pml.
 *
 * Asserted:
 *   a living writer is alone;
 *   who finds the data half changed has been told;
 *   nobody sleeps for ever: a dead reader's mark goes.
 *
 * At most one MUTANT, each of which must produce an error. */

#ifndef READERS
#define READERS 2
#endif
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define PROCS (READERS + WRITERS)

byte word;          /* writer's token, process + 1 */
bool dirty;
byte queue;         /* event count modulo 64; odd = a writer may sleep */
byte mark[PROCS];   /* of each lane: how often it reads; lane = process */
bool dead[PROCS];
bool asleep[PROCS];
bool ready;
byte kills_left;
byte ended;
byte writing;       /* ghost */
byte reading;       /* ghost: mask of processes */
bool torn;          /* ghost */

#define BIT(p) (1 << (p))
#define STEP(x) \
    if \
    :: atomic { x } \
    :: atomic { kills_left > 0 -> kills_left--; goto killed } \
    fi

/* Blocks until the word is this process's. */
#define TAKE(me) \
    if \
    :: atomic { word == 0 -> word = me + 1 } \
    :: atomic { word != 0 && dead[word - 1] -> word = me + 1; dirty = true } \
    :: atomic { kills_left > 0 -> kills_left--; goto killed } \
    fi

#define WAKE_WRITER \
    if \
    :: word != 0 && (queue & 1) -> \
        queue = (queue + 1) % 64; \
        asleep[0] = false; \
        asleep[1] = false; \
        asleep[PROCS - 1] = false \
    :: else \
    fi

#if defined(NO_TICK)
#define TICK_FINDS false
#elif defined(MUTANT_NO_REPAIR)
#define TICK_FINDS (mark[i] == 0)
#elif defined(MUTANT_REPAIR_THE_LIVING)
#define TICK_FINDS true
#else
#define TICK_FINDS (mark[i] == 0 || dead[i])
#endif

/* Enters and leaves the section of readers. */
#define READ(me) \
    STEP(told = dirty; reading = reading | BIT(me); \
         assert(writing == 0 || dead[writing - 1])); \
    STEP(assert(!torn || told)); \
    STEP(reading = reading & ~BIT(me))

#ifdef MUTANT_UNLOCK_WITHOUT_WAKE
#define UNMARK(me) STEP(mark[me]--)
#else
#define UNMARK(me) \
    STEP(mark[me]--); \
    if \
    :: mark[me] == 0 -> STEP(WAKE_WRITER) \
    :: else \
    fi
#endif

proctype Reader(byte me)
{
    byte round;
    bool told;

    ready;
    do
    :: round == ROUNDS -> break
    :: else ->
        round++;
#ifdef MUTANT_LOOK_BEFORE_MARK
        STEP(if :: word == 0 :: else -> goto through fi);
        STEP(mark[me] = 1);
        goto in;
#else
        STEP(mark[me] = 1);
        STEP(if :: word == 0 -> goto in :: else fi);
#endif
        UNMARK(me);
through:
        TAKE(me);
        STEP(mark[me] = 1);
        STEP(word = 0);
in:
        if
        :: round == ROUNDS ->
            /* nested: one's own mark is there, no look at the word */
            STEP(mark[me]++);
            READ(me);
            UNMARK(me)
        :: else
        fi;
        READ(me);
        UNMARK(me)
    od;
    goto end;
killed:
    atomic { dead[me] = true; reading = reading & ~BIT(me) };
end:
    ended++
}

proctype Writer(byte me)
{
    byte round, i, s;
    bool told;

    ready;
    do
    :: round == ROUNDS -> break
    :: else ->
        round++;
        TAKE(me);
        i = 0;
        do
        :: i == PROCS -> break
        :: else ->
look:
            STEP(if :: mark[i] == 0 -> goto next :: else fi);
            STEP(queue = queue | 1; s = queue);
#ifndef MUTANT_NO_SECOND_LOOK
            STEP(if :: mark[i] == 0 -> goto next :: else fi);
#endif
            STEP(if :: queue == s -> asleep[me] = true
                    :: else -> goto look fi);
            if
            :: atomic { !asleep[me] -> goto look }
            :: atomic { TICK_FINDS -> asleep[me] = false }
            :: atomic { kills_left > 0 -> kills_left--; goto killed }
            fi;
#ifdef MUTANT_REPAIR_THE_LIVING
            STEP(if :: mark[i] != 0 -> mark[i] = 0 :: else fi);
#else
            STEP(if :: dead[i] -> mark[i] = 0 :: else fi);
#endif
            goto look;
next:
            i++
        od;
        STEP(writing = me + 1; told = dirty;
             assert(reading == 0));
        STEP(assert(!torn || told); torn = true; assert(reading == 0));
        STEP(torn = false; assert(reading == 0));
        STEP(dirty = false);
        STEP(writing = 0; word = 0)
    od;
    goto end;
killed:
    atomic { dead[me] = true; asleep[me] = false };
end:
    ended++
}

init {
    atomic {
        byte i;

        select(i : 0 .. KILLS);
        kills_left = i;
        for (i : 0 .. PROCS - 1) {
            if
            :: i < READERS -> run Reader(i)
            :: else -> run Writer(i)
            fi
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
