/* SPDX-License-Identifier: MIT */
/* family.pml - the races of the family protocol, for Spin.
 *
 * One name in /dev/shm, two inodes that may bear it (1 and 2), one family
 * file with a word for each.  A process is a bit in the masks of shared locks
 * and a number (plus one) where it holds an exclusive one.  Before every step
 * it may be killed instead: the kernel then drops its locks and nothing else.
 *
 * Chosen by -D: which processes run (COUNT of them), and at most one MUTANT,
 * each of which must produce an error.
 *
 * Asserted:
 *   a member's and a foreign holder's block keeps its name, but for an unlink;
 *   an unlinker removes the block it was told to, and no other;
 *   a sweeper removes only when no member is left (F3), and under EX (F5);
 *   a joiner becomes a member of no family whose blocks have begun to go;
 *   when all have ended, one sweep of families leaves neither name nor file. */

#define BIT(p) (1 << (p))
#define FREE 0
#define PEND 1
#define SET 2

byte name;         /* inode that bears the name, 0 = none */
byte word[3];      /* of each inode, in the family's file */
bool sticky[3];
bool unlinked[3];  /* ghost: somebody began to unlink it */
byte block_sh[3];  /* mask */
byte block_ex[3];  /* process + 1 */
byte byte_lock[3]; /* process + 1 */

bool file;         /* the family's file has its name */
byte file_sh;
byte file_ex;
bool dead;
bool swept;        /* ghost: a sweeper has removed a block of the family */

byte ended;

#define STEP(x) \
    if \
    :: atomic { x } \
    :: goto killed \
    fi

#define FREE_OF_LOCKS(i) (block_sh[i] == 0 && block_ex[i] == 0)

#define BURY(me) \
    atomic { \
        file_sh = file_sh & ~BIT(me); \
        if :: file_ex == me + 1 -> file_ex = 0 :: else fi; \
        block_sh[1] = block_sh[1] & ~BIT(me); \
        block_sh[2] = block_sh[2] & ~BIT(me); \
        if :: block_ex[1] == me + 1 -> block_ex[1] = 0 :: else fi; \
        if :: block_ex[2] == me + 1 -> block_ex[2] = 0 :: else fi; \
        if :: byte_lock[1] == me + 1 -> byte_lock[1] = 0 :: else fi; \
        if :: byte_lock[2] == me + 1 -> byte_lock[2] = 0 :: else fi; \
        ended++ \
    }

#define KEEPS_NAME(i) assert(name == i || unlinked[i])

/* ---- a member that makes block `mine`; the first forms the family ---- */

proctype Creator(byte me; byte mine; bool first)
{
    bool ok;

    if
    :: first ->
#ifdef MUTANT_NAME_BEFORE_LOCK
        STEP(file = true);
        STEP(if :: file_ex == 0 -> file_sh = file_sh | BIT(me) :: else fi);
#else
        STEP(file_sh = file_sh | BIT(me));
        STEP(file = true);
#endif
    :: else ->
        /* A child of the first, or never born. */
        if
        :: atomic { file && (file_sh & BIT(0)) -> file_sh = file_sh | BIT(me) }
        :: goto killed
        fi
    fi;
#ifndef MUTANT_WORD_AFTER_LINK
    STEP(word[mine] = PEND);
#endif
    STEP(if :: name == 0 -> name = mine; ok = true :: else fi);
#ifdef MUTANT_WORD_AFTER_LINK
    STEP(if :: ok -> word[mine] = PEND :: else fi);
#endif
    if
    :: !ok ->
        STEP(word[mine] = FREE);
        goto killed
    :: else
    fi;
    STEP(if :: word[mine] == PEND -> word[mine] = SET :: else fi);
    STEP(KEEPS_NAME(mine));
    STEP(KEEPS_NAME(mine));
killed:
    BURY(me)
}

/* ---- whoever gets EX on the family's file ---- */

proctype Sweeper(byte me)
{
    byte i = 1;
    byte left;
    byte kept[3];

    STEP(if :: !file -> goto killed :: else fi);
    STEP(if :: file_sh == 0 && file_ex == 0 -> file_ex = me + 1
            :: else -> goto killed fi);
    STEP(if :: !file -> goto killed :: else fi);
#ifdef MUTANT_NO_DEAD
    skip;
#else
    STEP(dead = true);
#endif
    do
    :: i <= 2 ->
        if
        :: word[i] != FREE && name == i ->
            STEP(sticky[i] = true);
            STEP(if :: FREE_OF_LOCKS(i) -> block_ex[i] = me + 1
                    :: else -> kept[i] = 1; left++ fi);
            if
            :: !kept[i] ->
                STEP(if :: name == i ->
                            assert(file_sh == 0);
                            assert(block_ex[i] == me + 1);
                            swept = true;
                            name = 0
                        :: else fi);
                STEP(block_ex[i] = 0)
            :: else
            fi
        :: else
        fi;
        i++
    :: else -> break
    od;
#ifdef MUTANT_FILE_FIRST
    left = 0;
#endif
    STEP(if :: !kept[1] -> word[1] = FREE :: else fi);
    STEP(if :: !kept[2] -> word[2] = FREE :: else fi);
    STEP(if :: left == 0 -> file = false :: else fi);
killed:
    BURY(me)
}

/* ---- joins by name, then trusts the family's blocks ---- */

proctype Joiner(byte me)
{
    byte seen;

    STEP(if :: !file -> goto killed :: else fi);
    STEP(if :: file_ex == 0 -> file_sh = file_sh | BIT(me)
            :: else -> goto killed fi);
    STEP(if :: !file -> goto killed :: else fi);
#ifndef MUTANT_NO_DEAD
    STEP(if :: dead -> goto killed :: else fi);
#endif
    assert(!swept);
    /* An own attach takes effect at the stat: listed and not sticky. */
    STEP(if :: name != 0 && word[name] != FREE && !sticky[name] -> seen = name
            :: else -> goto killed fi);
    STEP(KEEPS_NAME(seen));
    STEP(KEEPS_NAME(seen));
killed:
    BURY(me)
}

/* ---- of another family: holds SH, looks for the sticky bit afterwards ---- */

proctype Foreigner(byte me)
{
    byte i;

    STEP(if :: name == 0 -> goto killed :: else -> i = name fi);
    if
    :: sticky[i] ->
        STEP(if :: FREE_OF_LOCKS(i) -> block_ex[i] = me + 1 :: else fi);
        if
        :: block_ex[i] == me + 1 ->
            STEP(block_ex[i] = 0);
            goto look
        :: else
        fi
    :: else
    fi;
#ifdef MUTANT_FOREIGN_WITHOUT_LOCK
    STEP(if :: name != i -> goto look :: else fi);
#else
    STEP(if :: block_ex[i] == 0 -> block_sh[i] = block_sh[i] | BIT(me)
            :: else -> goto killed fi);
    STEP(if :: name != i -> goto look :: else fi);
#endif
    STEP(KEEPS_NAME(i));
    STEP(KEEPS_NAME(i));
look:
    STEP(block_sh[i] = block_sh[i] & ~BIT(me));
    STEP(if :: !sticky[i] -> goto killed :: else fi);
    STEP(if :: FREE_OF_LOCKS(i) -> block_ex[i] = me + 1
            :: else -> goto killed fi);
    STEP(if :: name == i -> swept = true; name = 0 :: else fi);
killed:
    BURY(me)
}

/* ---- removes the block that bore the name when it began ---- */

proctype Unlinker(byte me; bool member)
{
    byte wanted, i;

    if
    :: member ->
        if
        :: atomic { file && (file_sh & BIT(0)) -> file_sh = file_sh | BIT(me) }
        :: goto killed
        fi
    :: else
    fi;
    STEP(if :: name == 0 -> goto killed :: else -> wanted = name fi);
    STEP(if :: name == 0 -> goto killed :: else -> i = name fi);
#ifdef MUTANT_UNLINK_BY_COMPARING
    STEP(if :: i != wanted -> goto killed :: else fi);
#else
    STEP(if :: FREE_OF_LOCKS(i) -> block_ex[i] = me + 1
            :: else ->
                if :: block_ex[i] == 0 -> block_sh[i] = block_sh[i] | BIT(me)
                   :: else -> goto killed fi
         fi);
    if
    :: block_ex[i] != me + 1 ->
        STEP(if :: byte_lock[i] == 0 -> byte_lock[i] = me + 1
                :: else -> goto killed fi)
    :: else
    fi;
    STEP(if :: i != wanted || name != i -> goto killed :: else fi);
#endif
    STEP(unlinked[i] = true);
    STEP(if :: name == 0 -> goto killed
            :: else -> assert(name == wanted); name = 0 fi);
    STEP(if :: block_ex[i] == me + 1 -> block_ex[i] = 0 :: else fi);
    if
    :: member -> STEP(word[i] = FREE)
    :: else
    fi;
killed:
    BURY(me)
}

/* ---- a member that drops the words of nameless blocks ---- */

proctype Scrubber(byte me)
{
    byte i = 1;
    byte stood[3];
    byte seen;

    if
    :: atomic { file && (file_sh & BIT(0)) -> file_sh = file_sh | BIT(me) }
    :: goto killed
    fi;
    STEP(stood[1] = word[1]; stood[2] = word[2]);
    STEP(seen = name);
    do
    :: i <= 2 ->
#ifdef MUTANT_SCRUB_DROPS_PENDING
        STEP(if :: stood[i] != FREE && seen != i && word[i] == stood[i] ->
                    word[i] = FREE
                :: else fi);
#else
        STEP(if :: stood[i] == SET && seen != i && word[i] == SET ->
                    word[i] = FREE
                :: else fi);
#endif
        i++
    :: else -> break
    od;
killed:
    BURY(me)
}

/* ---- when all have ended: one sweep of families ---- */

active proctype Last()
{
    (ended == COUNT) ->
    d_step {
        assert(file_sh == 0 && file_ex == 0);
        assert(FREE_OF_LOCKS(1) && FREE_OF_LOCKS(2));
        if
        :: file && name != 0 && word[name] != FREE -> name = 0
        :: else
        fi;
        assert(name == 0)
    }
}

init
{
    atomic {
        run Creator(0, 1, true);
#ifdef WITH_CREATOR
        run Creator(1, 2, false);
#endif
#ifdef WITH_JOINER
        run Joiner(2);
#endif
#ifdef WITH_FOREIGNER
        run Foreigner(3);
#endif
#ifdef WITH_UNLINKERS
        run Unlinker(4, false);
        run Unlinker(5, true);
#endif
#ifdef WITH_UNLINKER
        run Unlinker(4, true);
#endif
#ifdef WITH_SCRUBBER
        run Scrubber(6);
#endif
#ifdef WITH_SWEEPER
        run Sweeper(7);
#endif
#ifdef WITH_SWEEPERS
        run Sweeper(7);
        run Sweeper(8);
#endif
    }
}
