/* SPDX-License-Identifier: MIT */
/* cohort.pml - who owns an allocation, for Spin.
 *
 * One chunk of the heap.  A creator (0) allocates it, may fork a child (1),
 * may send its address to a spawned process (2), and gives it up; whenever it
 * has no use for it any more it drops its share.  A collector (3) frees the
 * chunk when its rule allows it, and allocates it anew for itself, with the
 * next serial.  Each but the collector may be killed before any step, and
 * then the kernel lets go what it held.
 *
 * The chunk's cohort is a byte of the file.  Before the fork, and before the
 * address is sent, the creator pins it: a read lock whose description lives in
 * a mapping that children inherit.  The child shares the description; the
 * spawned one takes a read lock of its own, then looks at the serial.
 * `heap` is the heap's lock: the collector and an adopter hold it.
 *
 * Asserted: the chunk is never freed while a living process uses it; it is
 * freed in the end, when the creator has given it up, or died, and nobody
 * uses it.
 *
 * At most one MUTANT, each of which must produce an error. */

#ifndef KILLS
#define KILLS 2
#endif
#define CREATOR 0
#define CHILD 1
#define ADOPTER 2
#define COLLECTOR 3
#define PROCS 4
#define BIT(p) (1 << (p))

#define FREE 0
#define LIVE 1
#define RETIRED 2

byte state, serial = 1;
byte by;             /* the chunk's creator, as the header says */
byte byte_lock;      /* mask of processes that hold the cohort's byte */
byte heap;           /* process + 1; the dead's is recovered */
bool dead[PROCS];
byte uses;           /* ghost: mask of processes */
bool sent;
byte sent_serial;
bool forked;
bool ready;
byte kills_left;
byte ended;          /* mask */

#define STEP(x) \
    if \
    :: atomic { x } \
    :: atomic { kills_left > 0 -> kills_left--; goto killed } \
    fi

#define LOCK_HEAP(me) \
    if \
    :: atomic { heap == 0 || dead[heap - 1] -> heap = me + 1 } \
    :: atomic { kills_left > 0 -> kills_left--; goto killed } \
    fi

#define BURY(me) \
    atomic { \
        dead[me] = true; \
        byte_lock = byte_lock & ~BIT(me); \
        uses = uses & ~BIT(me); \
        ended = ended | BIT(me) \
    }

#define PIN(me) STEP(byte_lock = byte_lock | BIT(me); pinned = true)

/* Gives up its share: no use, no pin. */
#define DROP(me) \
    STEP(uses = uses & ~BIT(me)); \
    STEP(byte_lock = byte_lock & ~BIT(me))

proctype Child(byte me)
{
    /* Born with the mapping, and with it the description. */
    STEP(assert(state != FREE && serial == 1));
    STEP(assert(state != FREE && serial == 1));
    DROP(me);
killed:
    BURY(me)
}

/* Handed an address and a serial; the sender may be gone already. */
proctype Adopter(byte me)
{
    if
    :: atomic { sent }
    :: atomic { !sent && (ended & BIT(CREATOR)) -> goto killed }
    :: atomic { kills_left > 0 -> kills_left--; goto killed }
    fi;
#ifdef MUTANT_SERIAL_BEFORE_LOCK
    STEP(if :: serial == sent_serial && state != FREE
            :: else -> goto killed fi);
    STEP(byte_lock = byte_lock | BIT(me));
    STEP(uses = uses | BIT(me));
#else
#ifndef MUTANT_ADOPT_WITHOUT_HEAP_LOCK
    LOCK_HEAP(me);
#endif
    STEP(byte_lock = byte_lock | BIT(me));
#ifndef MUTANT_NO_SERIAL
    STEP(if :: serial == sent_serial && state != FREE
            :: else -> goto refused fi);
#endif
    STEP(uses = uses | BIT(me));
#ifndef MUTANT_ADOPT_WITHOUT_HEAP_LOCK
    STEP(heap = 0);
#endif
#endif
    STEP(assert(state != FREE && serial == sent_serial));
    DROP(me);
    goto killed;
refused:
#ifndef MUTANT_ADOPT_WITHOUT_HEAP_LOCK
    STEP(heap = 0);
#endif
    STEP(byte_lock = byte_lock & ~BIT(me));
killed:
    BURY(me)
}

proctype Creator(byte me)
{
    bool pinned, forks, sends;

    ready;
    STEP(by = me; state = LIVE; uses = uses | BIT(me));
    if
    :: forks = true
    :: forks = false
    fi;
    if
    :: sends = true
    :: sends = false
    fi;
    if
    :: sends ->
        PIN(me);
        STEP(sent_serial = serial; sent = true)
    :: else
    fi;
    if
    :: forks ->
#ifndef MUTANT_NO_PIN_BEFORE_FORK
        if
        :: !pinned -> PIN(me)
        :: else
        fi;
#endif
        STEP(forked = true;
             uses = uses | BIT(CHILD);
             if :: byte_lock & BIT(me) -> byte_lock = byte_lock | BIT(CHILD)
                :: else
             fi;
             run Child(CHILD));
#ifdef MUTANT_NO_PIN_BEFORE_FORK
        if
        :: !pinned -> PIN(me)
        :: else
        fi
#endif
    :: else
    fi;
    STEP(assert(state == LIVE && by == me));
    /* Gives it up. */
    STEP(uses = uses & ~BIT(me));
#ifdef MUTANT_FREE_PINNED_AT_ONCE
    STEP(assert(uses == 0); state = FREE);
#else
    if
    :: !pinned -> STEP(assert(uses == 0); state = FREE)
    :: else ->
        STEP(state = RETIRED);
        STEP(byte_lock = byte_lock & ~BIT(me))
    fi;
#endif
killed:
    BURY(me);
    if
    :: !forked -> atomic { ended = ended | BIT(CHILD) }
    :: else
    fi
}

/* Looks again and again; its looks are at most LOOKS and one last. */
proctype Collector(byte me)
{
    bool given_up, held, last;

    ready;
    do
    :: state == FREE && !last -> /* not yet, or by its creator itself */
        if
        :: atomic { (ended & 7) == 7 -> break }
        :: atomic { state != FREE }
        fi
    :: else ->
        last = (ended & 7) == 7;
        atomic { heap == 0 || dead[heap - 1] -> heap = me + 1 };
#ifdef MUTANT_BYTE_FIRST
        atomic { held = byte_lock != 0 };
        atomic { given_up = state == RETIRED || dead[by] };
#else
        atomic { given_up = state == RETIRED || dead[by] };
        atomic { held = byte_lock != 0 };
#endif
#ifdef MUTANT_NO_LOOK_AT_BYTE
        held = false;
#endif
        if
        :: state != FREE && given_up && !held ->
            atomic {
                assert(uses == 0);
                state = LIVE;
                by = me;
                serial++
            };
            atomic { heap = 0 };
            break
        :: else
        fi;
        atomic { heap = 0 };
        if
        :: last -> assert(state == FREE); break
        :: else
        fi;
        /* Until something may have changed. */
        if
        :: atomic { (ended & 7) == 7 }
        :: atomic { state == RETIRED && byte_lock == 0 }
        :: atomic { state == LIVE && dead[by] && byte_lock == 0 }
        :: atomic { state == FREE }
        :: atomic { true }
        fi
    od;
    ended = ended | BIT(COLLECTOR)
}

init {
    atomic {
        byte i;

        select(i : 0 .. KILLS);
        kills_left = i;
        run Creator(CREATOR);
        run Adopter(ADOPTER);
        run Collector(COLLECTOR);
        ready = true
    }
}

active proctype Last()
{
    do
    :: ended == 15 -> break
    :: timeout -> assert(false)
    od
}
