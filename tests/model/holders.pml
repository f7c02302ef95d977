/* SPDX-License-Identifier: MIT */
/* holders.pml - the races of Protocol R (lifetime `holders`), for Spin.
 *
 * One name, three inodes.  A shared lock belongs to a description; a
 * description lives as long as some process has it mapped, and a forked child
 * shares its parent's.  A process has one description of its own (its number)
 * for what it maps; descriptions opened for a moment carry numbers of their
 * own and are never shared.  Before every step a process may be killed (not
 * with -DPEACE): the kernel then drops what it had mapped or open.
 *
 * Asserted:
 *   what is held keeps its name, but for an unlink;
 *   an attach never ends with an inode that has no name;
 *   when all have ended no lock is left, so that the next sweep removes it;
 *   with -DPEACE, where nobody is killed, the closes alone have done that.
 *
 * At most one MUTANT, each of which must produce an error. */

#define BIT(p) (1 << (p))
#define INODES 3

byte name;             /* inode that bears the name, 0 = none */
byte born;             /* inodes handed out */
bool unlinked[4];      /* ghost: somebody began to unlink it */
byte sh[4];            /* mask of descriptions that hold SH */
byte ex[4];            /* process + 1 that holds EX, on a fresh description */
byte byte_lock[4];     /* process + 1 */
byte mapped[8];        /* of each description: mask of processes */
byte ended;

#ifdef PEACE
#define STEP(x) atomic { x }
#else
#define STEP(x) \
    if \
    :: atomic { x } \
    :: goto killed \
    fi
#endif

#define FREE_OF_LOCKS(i) (sh[i] == 0 && ex[i] == 0)
#define KEEPS_NAME(i) assert(name == i || unlinked[i])

/* Process `me` has description `d` no more; its lock goes with the last. */
#define DROP(d, me) \
    mapped[d] = mapped[d] & ~BIT(me); \
    if \
    :: mapped[d] == 0 -> \
        sh[1] = sh[1] & ~BIT(d); \
        sh[2] = sh[2] & ~BIT(d); \
        sh[3] = sh[3] & ~BIT(d) \
    :: else \
    fi

#define DROP_EX(me) \
    if :: ex[1] == me + 1 -> ex[1] = 0 :: else fi; \
    if :: ex[2] == me + 1 -> ex[2] = 0 :: else fi; \
    if :: ex[3] == me + 1 -> ex[3] = 0 :: else fi; \
    if :: byte_lock[1] == me + 1 -> byte_lock[1] = 0 :: else fi; \
    if :: byte_lock[2] == me + 1 -> byte_lock[2] = 0 :: else fi; \
    if :: byte_lock[3] == me + 1 -> byte_lock[3] = 0 :: else fi

/* Remove inode i's name unless it is held; jumps to `out` when it may not. */
#ifdef MUTANT_REAP_WITHOUT_LOCK
#define REAP(me, i, out) \
    STEP(if :: name != i -> goto out :: else fi); \
    STEP(name = 0)
#else
#define REAP(me, i, out) \
    STEP(if :: name != i -> goto out :: else fi); \
    STEP(if :: FREE_OF_LOCKS(i) -> ex[i] = me + 1 :: else -> goto out fi); \
    REAP_LOOK(me, i, out); \
    STEP(name = 0); \
    STEP(ex[i] = 0)
#endif
#ifdef MUTANT_REAP_IGNORES_NAME
#define REAP_LOOK(me, i, out) skip
#else
#define REAP_LOOK(me, i, out) \
    STEP(if :: name != i -> ex[i] = 0; goto out :: else fi)
#endif

/* Closing: drop SH, then look; a refusal is looked at again at the exit. */
#ifdef MUTANT_UPGRADE_IN_PLACE
#define CLOSE(me, d, i, out) \
    STEP(if :: (sh[i] & ~BIT(d)) == 0 && ex[i] == 0 -> ex[i] = me + 1 \
            :: else -> DROP(d, me); goto out fi); \
    STEP(if :: name == i -> name = 0 :: else fi); \
    STEP(ex[i] = 0; DROP(d, me))
#else
#ifdef MUTANT_NO_LOOK
#define CLOSE(me, d, i, out) STEP(DROP(d, me))
#else
#define CLOSE(me, d, i, out) STEP(DROP(d, me)); REAP(me, i, out)
#endif
#endif

/* `d` is this process's description; with `forks`, process `child` goes on
 * with the mapping as well. */
proctype Holder(byte me; bool creates; bool forks; byte child)
{
    byte i, other;
    bool tried, forked;

    if
    :: creates -> goto make
    :: else -> goto find
    fi;

make:
    STEP(born++; i = born);
#ifndef MUTANT_NAME_BEFORE_LOCK
    STEP(sh[i] = sh[i] | BIT(me); mapped[me] = mapped[me] | BIT(me));
#endif
again:
    STEP(if :: name == 0 -> name = i; goto named :: else fi);
    if
    :: tried -> goto killed
    :: else -> tried = true
    fi;
    /* The name is taken: by a dead block? */
    STEP(other = name);
    if
    :: other != 0 ->
        REAP(me, other, again)
    :: else
    fi;
    goto again;
named:
#ifdef MUTANT_NAME_BEFORE_LOCK
    STEP(if :: ex[i] == 0 -> sh[i] = sh[i] | BIT(me);
                             mapped[me] = mapped[me] | BIT(me)
            :: else -> goto killed fi);
#endif
    goto hold;

find:
    STEP(i = name);
    if
    :: i == 0 -> goto killed
    :: else
    fi;
    STEP(if :: FREE_OF_LOCKS(i) -> ex[i] = me + 1 :: else fi);
    if
    :: ex[i] == me + 1 -> /* dead: bury it */
        STEP(ex[i] = 0);
        REAP(me, i, killed);
        goto killed
    :: else
    fi;
    STEP(if :: ex[i] == 0 -> sh[i] = sh[i] | BIT(me);
                             mapped[me] = mapped[me] | BIT(me)
            :: else -> goto killed fi);
#ifndef MUTANT_ATTACH_IGNORES_NAME
    STEP(if :: name != i -> goto leave :: else fi);
#endif
    KEEPS_NAME(i);

hold:
    if
    :: forks ->
        atomic {
            forked = true;
            mapped[me] = mapped[me] | BIT(child);
            run Child(child, me, i)
        }
    :: else
    fi;
    STEP(KEEPS_NAME(i));
leave:
    CLOSE(me, me, i, killed);
killed:
    atomic { DROP(me, me); DROP_EX(me) };
#if defined(PEACE) && !defined(MUTANT_NO_LOOK)
    /* The late list, at the exit. */
    if
    :: i != 0 ->
        REAP(me, i, done)
    :: else
    fi;
done:
    atomic { DROP_EX(me) };
#endif
    atomic {
        ended++;
        if
        :: forks && !forked -> ended++ /* the child was not born */
        :: else
        fi
    }
}

/* Has its parent's description `d` of inode i. */
proctype Child(byte me; byte d; byte i)
{
    STEP(KEEPS_NAME(i));
    STEP(KEEPS_NAME(i));
    CLOSE(me, d, i, killed);
killed:
    atomic { DROP(d, me); DROP_EX(me) };
#if defined(PEACE) && !defined(MUTANT_NO_LOOK)
    REAP(me, i, done);
done:
    atomic { DROP_EX(me) };
#endif
    ended++
}

proctype Sweeper(byte me)
{
    byte i;

    STEP(i = name);
    if
    :: i != 0 ->
        REAP(me, i, killed)
    :: else
    fi;
killed:
    atomic { DROP_EX(me); ended++ }
}

/* Removes the block it meets, held or not. */
proctype Unlinker(byte me)
{
    byte i;

    STEP(i = name);
    if
    :: i == 0 -> goto killed
    :: else
    fi;
    STEP(if :: FREE_OF_LOCKS(i) -> ex[i] = me + 1
            :: else ->
                if :: ex[i] == 0 -> sh[i] = sh[i] | BIT(me);
                                    mapped[me] = mapped[me] | BIT(me)
                   :: else -> goto killed fi
         fi);
    if
    :: ex[i] != me + 1 ->
        STEP(if :: byte_lock[i] == 0 -> byte_lock[i] = me + 1
                :: else -> goto looks fi)
    :: else
    fi;
    STEP(if :: name != i -> goto looks :: else fi);
    STEP(unlinked[i] = true);
    STEP(if :: name == 0 -> skip :: else -> assert(name == i); name = 0 fi);
looks:
    /* Its own lock may have been in the way of the last holder. */
    STEP(DROP(me, me); DROP_EX(me));
    REAP(me, i, killed);
killed:
    atomic { DROP(me, me); DROP_EX(me); ended++ }
}

init
{
    atomic {
#ifdef WITH_MAKERS
        run Holder(0, true, false, 0);
        run Holder(1, true, false, 0);
#endif
#ifdef WITH_PARENT
        run Holder(2, true, true, 3);
#endif
#ifdef WITH_FINDER
        run Holder(4, false, false, 0);
#endif
#ifdef WITH_FINDERS
        run Holder(4, false, false, 0);
        run Holder(5, false, false, 0);
#endif
#ifdef WITH_UNLINKER
        run Unlinker(6);
#endif
#ifdef WITH_UNLINKERS
        run Unlinker(6);
        run Unlinker(7);
#endif
#ifdef WITH_SWEEPER
        run Sweeper(8);
#endif
    }
}

active proctype Last()
{
    (ended == COUNT) ->
    d_step {
        assert(sh[1] == 0 && sh[2] == 0 && sh[3] == 0);
        assert(ex[1] == 0 && ex[2] == 0 && ex[3] == 0);
#ifdef PEACE
        assert(name == 0)
#endif
    }
}
