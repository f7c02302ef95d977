/* SPDX-License-Identifier: MIT */
/* barrier.pml - two parties wait for each other ROUNDS times, for Spin.
 *
 * The word is {generation, state, passed generations}, each slot and the
 * claim to run the action {generation, token}; each is one word, changed by
 * one compare and exchange.  Two parties, and a replacement that comes when
 * one of them is dead.  Kills and ticks are as in lock.pml; with TIMEOUTS any
 * sleeper may also give up, so that many times altogether.
 *
 * Asserted:
 *   all parties of a generation are told the same;
 *   passed: every slot was filled, and the action ran to its end, once;
 *   without deaths and time-outs nothing breaks; an action that ran to its
 *   end is followed by the pass unless somebody died;
 *   who sleeps when nobody can move waits for one who has not come, or will
 *   never come again.
 *
 * At most one MUTANT, each of which must produce an error. */

#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif
#define PARTIES 2
#define PROCS 3
#define GENS 5

#define FILL 0
#define RUN 1
#define BROKEN 2

byte gen = 1, state;     /* the word, with passed */
bool passed[GENS];
byte slot_gen[PARTIES], slot_by[PARTIES];
byte run_gen, run_by;
bool dead[PROCS];
bool asleep[PROCS];
bool gone[PROCS];
bool ready;
byte kills_left, kills;
byte timeouts_left, timeouts;
bool over;
byte ended;
byte arrived[GENS];      /* ghosts */
byte began[GENS], acted[GENS];
bool told_passed[GENS], told_broken[GENS];

#define STEP(x) \
    if \
    :: atomic { x } \
    :: atomic { kills_left > 0 -> kills_left--; goto killed } \
    fi

#define IS_DEAD(token) ((token) != 0 && dead[(token) - 1])

#define WAKE_ALL asleep[0] = false; asleep[1] = false; asleep[2] = false

#define ALL_HERE(g) (slot_gen[0] == g && slot_gen[1] == g)
#define A_DEAD_ONE(g) \
    ((slot_gen[0] == g && IS_DEAD(slot_by[0])) || \
     (slot_gen[1] == g && IS_DEAD(slot_by[1])))

#ifdef MUTANT_NO_RUN_CHECK
#define RUNNER_DEAD(g) false
#else
#define RUNNER_DEAD(g) (run_gen == g && IS_DEAD(run_by))
#endif
#ifdef NO_TICK
#define TICK_FINDS false
#else
#define TICK_FINDS \
    (gen != g || state != st || \
     (state == FILL && (ALL_HERE(g) || A_DEAD_ONE(g))) || \
     (state == RUN && (run_gen < g || RUNNER_DEAD(g))))
#endif

/* One may put one's mark over an older one only. */
#ifdef MUTANT_NEWER
#define OLDER(mark) (mark != g)
#else
#define OLDER(mark) (mark < g)
#endif

#ifdef MUTANT_NO_CLAIM
#define CLAIM STEP(skip)
#else
#define CLAIM \
    STEP(a = run_gen; b = run_by); \
    STEP(if \
         :: OLDER(a) && run_gen == a && run_by == b -> \
             run_gen = g; run_by = me + 1 \
         :: else -> goto look \
         fi)
#endif

proctype Party(byte me; bool replaces)
{
    byte g, st, round, i, a, b, got;

    ready;
    if
    :: replaces ->
        if
        :: atomic { dead[0] || dead[1] }
        :: atomic { over -> goto over_all }
        fi
    :: else
    fi;
    do
    :: round == ROUNDS -> break
    :: else ->
        round++;
retry:
        STEP(g = gen; st = state);
        if
        :: st == BROKEN -> break
        :: else
        fi;
        /* A slot: one's own of the last time first. */
        i = 0; got = PARTIES;
        do
        :: i == PARTIES -> break
        :: else ->
            STEP(a = slot_gen[i]; b = slot_by[i]);
            if
            :: OLDER(a) && (got == PARTIES || b == me + 1) -> got = i
            :: else
            fi;
            i++
        od;
        if
        :: got == PARTIES ->
            /* Full, by those who came before: this one waits for the next. */
            if
            :: atomic { gen != g || state == BROKEN -> goto retry }
            :: atomic { state == FILL && ALL_HERE(g) -> st = FILL }
            :: atomic { state == RUN && (run_gen < g || RUNNER_DEAD(g)) ->
                        st = RUN }
            :: atomic { kills_left > 0 -> kills_left--; goto killed }
            :: atomic { over -> goto over_all }
            fi;
            if
            :: st == FILL ->
                STEP(if :: gen == g && state == FILL && ALL_HERE(g) ->
                             state = RUN; WAKE_ALL
                        :: else fi)
            :: else ->
                STEP(if :: gen == g && state == RUN && RUNNER_DEAD(g) ->
                             state = BROKEN; WAKE_ALL
                        :: else fi)
            fi;
            goto retry
        :: else
        fi;
        STEP(a = slot_gen[got]; b = slot_by[got]);
        STEP(if
             :: OLDER(a) && slot_gen[got] == a && slot_by[got] == b ->
                 slot_gen[got] = g; slot_by[got] = me + 1; arrived[g]++
             :: else -> goto retry
             fi);
look:
        STEP(st = state; if :: gen != g -> goto verdict :: else fi);
        if
        :: st == BROKEN -> goto verdict
        :: st == FILL ->
            STEP(if :: ALL_HERE(g) :: else -> goto sleep fi);
            STEP(if :: gen == g && state == FILL -> state = RUN
                    :: else fi);
            goto look
        :: else -> /* RUN */
#ifndef MUTANT_NO_CLAIM
            STEP(if :: run_gen >= g -> goto sleep :: else fi);
#endif
            CLAIM;
            STEP(began[g]++; assert(began[g] == 1));
            STEP(acted[g]++);
            STEP(if
                 :: gen == g && state == RUN ->
                     passed[g] = true; gen = g + 1; state = FILL
                 :: else fi);
            STEP(WAKE_ALL);
            goto look
        fi;
sleep:
        STEP(if :: gen == g && state == st -> asleep[me] = true
                :: else -> goto look fi);
        if
        :: atomic { !asleep[me] -> goto look }
        :: atomic { TICK_FINDS -> asleep[me] = false }
        :: atomic { timeouts_left > 0 ->
                    timeouts_left--; timeouts++; asleep[me] = false;
                    goto give_up }
        :: atomic { kills_left > 0 -> kills_left--; goto killed }
        :: atomic { over -> goto over_all }
        fi;
        /* The tick: a dead party that the others wait for, a dead runner. */
        STEP(a = (gen == g && state == FILL && A_DEAD_ONE(g) && !ALL_HERE(g) ->
                      1 : 0);
             b = (gen == g && state == RUN && RUNNER_DEAD(g) -> 1 : 0));
        if
        :: a == 1 ->
            STEP(if :: gen == g && state == FILL -> state = BROKEN; WAKE_ALL
                    :: else fi)
        :: b == 1 ->
            STEP(if :: gen == g && state == RUN -> state = BROKEN; WAKE_ALL
                    :: else fi)
        :: else
        fi;
        goto look;
give_up:
#ifdef MUTANT_BREAK_RUN
        STEP(if :: gen == g && state != BROKEN -> state = BROKEN; WAKE_ALL
                :: else fi);
#else
        STEP(if :: gen == g && state == FILL -> state = BROKEN; WAKE_ALL
                :: else fi);
#endif
        goto look;
verdict:
        atomic {
            if
            :: passed[g] ->
                told_passed[g] = true;
                assert(arrived[g] >= PARTIES && acted[g] == 1)
            :: else ->
                told_broken[g] = true;
                assert(kills > 0 || timeouts > 0);
                assert(acted[g] == 0 || kills > 0)
            fi;
            assert(!told_passed[g] || !told_broken[g])
        };
        STEP(if :: passed[g] :: else -> break fi)
    od;
    goto end;
killed:
    atomic { dead[me] = true; asleep[me] = false; kills++ };
end:
    atomic { ended++; gone[me] = true };
over_all:
    skip
}

init {
    atomic {
        byte i;

        select(i : 0 .. KILLS);
        kills_left = i;
        select(i : 0 .. TIMEOUTS);
        timeouts_left = i;
        run Party(0, false);
        run Party(1, false);
        run Party(2, true);
        ready = true
    }
}

/* Sleeping is right only where somebody is missing and none is dead. */
active proctype Last()
{
    do
    :: ended == PROCS -> break
    :: timeout ->
        if
        :: asleep[0] || asleep[1] || asleep[2] ->
            assert(state == FILL && !ALL_HERE(gen) && !A_DEAD_ONE(gen));
            assert(gone[0] || gone[1])
        :: else
        fi;
        over = true;
        break
    od
}
