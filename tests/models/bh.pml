/*
 * Bottom halves: a model of _core/bh.pxd and _core/bh.pyx, node by node and link by link.
 *
 * Who takes part
 *   Loop        announces, looks (bh_timeout_ns), sleeps until it is kicked, runs (bh_run).
 *               The callback of node 0 schedules node 0 again, once, if SELF is set.
 *   Producer p  up to ROUNDS calls of its repertoire: bh_schedule, bh_schedule_idle and
 *               bh_cancel on the shared nodes; with DELETES producer 0 also schedules and
 *               deletes a node of its own, with ONESHOT it schedules a one-shot of its own.
 *   Handler     a signal handler with HANDLER: schedules node 0 in the middle of the loop or
 *               of producer 0, at any instant, while that thread stands still.
 *
 * What a producer wrote before it schedules waits in a store buffer (waits), which a seq_cst
 * operation of its thread empties.  Everything else that is shared is written by exchanges
 * and compare-and-swaps, or by the release P4, and is modelled as it stands, one step each;
 * the loop's own lists are changed in one step, as nobody else looks at them.
 *
 * Left out: the number of spins on a half linked chain (it is given up at once, the worst
 * case), phase numbers but "ran in this phase", the list of all, nested iterations, fork.
 * BH_IDLE_NS and BH_LINK_WAIT_NS are waits that may end at any time.
 *
 * Proved, in every interleaving:
 *   - when nobody can move, every schedule that was not taken back was followed by a run
 *     that saw what its producer had written (Watch);
 *   - a run needs a schedule of its own: none runs twice, none that bh_cancel took back;
 *   - a node is in the queue at most once, and nobody touches one that was freed.
 *
 * Left out on purpose, each of which has to fail:
 *   SKIP_FENCE (A1)      the exchange when it is scheduled already
 *   FREE_LATE (A1)       taking the schedule before the callback, not after it
 *   KICK_FIRST (A19)     linking before waking
 *   PUSH_TWICE           not pushing what is in the queue, cancelled
 *   LOOK_AND_SET (A13)   L3 in one step
 *   DELETE_AT_ONCE (B13) leaving a node to the loop that may be about to run it
 *   TOUCH_AFTER (A12)    reading bh->queue before the node is queued
 *   FORGET_LATER (C1)    what ran and was scheduled again, in the look before the sleep
 *
 *= bh.pxd: atomic_store_ptr(&bh.next, bh_linking())                         # P2
 *= bh.pxd: cdef void *below = atomic_exchange_seq_ptr(&q.top, bh)           # P3: pairs with L1
 *= bh.pxd: atomic_store_release_ptr(&bh.next, below)                        # P4
 *= bh.pxd: cdef int before = atomic_exchange_seq_int(&bh.state, BH_NOW)     # P1: pairs with L3
 *= bh.pxd: if before == BH_NOW:
 *= bh.pxd: if before == BH_FREE:
 *= bh.pyx: if atomic_cas_seq_int(&bh.state, before, BH_NOW if before == BH_NOW else BH_IDLE):
 *= bh.pyx: if atomic_cas_seq_int(&bh.state, before, BH_CANCELLED):
 *= bh.pyx: if atomic_exchange_seq_int(&bh.state, BH_DELETED) != BH_FREE:
 *= bh.pyx: if q.unlinked != NULL and not turn_round(q, q.unlinked, q.newer):
 *= bh.pyx: if atomic_load_seq_ptr(&q.top) != NULL:                          # S3: pairs with P3
 *= bh.pyx: turn_round(q, <QEMUBH *> atomic_exchange_seq_ptr(&q.top, NULL), NULL)
 *= bh.pyx: return state == BH_CANCELLED and atomic_cas_seq_int(&bh.state, BH_CANCELLED, BH_FREE)
 *= bh.pyx: if bh.last_pass >= pass_ or is_too_fresh(bh, phase, &fresh):
 *= bh.pyx: state = atomic_exchange_seq_int(&bh.state, BH_FREE)          # L3: pairs with P1
 *= bh.pyx: elif atomic_load_acquire_int(&bh.deleted):
 */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef SHARED
#define SHARED 1                       /* nodes that every producer uses */
#endif
#if defined(DELETES) || defined(ONESHOT)
#define NODES 2                        /* the last one is producer 0's own */
#else
#define NODES SHARED
#endif
#define OWN SHARED
#define LOOP PRODUCERS                 /* as producers, the loop and the handler */
#define HANDLER_ID (PRODUCERS + 1)
#define ALL (PRODUCERS + 2)

#define FREE 0
#define CANCELLED 1
#define IDLE 2
#define NOW 3
#define DELETED 4
#define NIL 0
#define LINKING 99
#define NODE(b) ((b) + 1)
#define AT(p, b) ((p) * NODES + (b))

byte state[NODES], next[NODES];
bool deleted[NODES], ran[NODES];
byte top, unlinked, newer, head, tail, later, later_tail;
bool notify_me, eventfd, polled;
byte handling = 255;                   /* whose thread is in the signal handler */
byte loop_pid, first_pid;
byte to_do;                             /* producers that are not done */

/* What the proof keeps account of. */
bool waits[ALL * NODES], owed[ALL * NODES];
bool due[NODES], linked[NODES], freed[NODES];

inline drain(p)
{
    i = 0;
    do
    :: i < NODES -> waits[AT(p, i)] = false; i++
    :: else -> break
    od;
    i = 0
}

inline owe(b, yes, p)
{
    i = 0;
    do
    :: i < ALL -> if :: (yes && waits[AT(i, b)])
                     :: else -> owed[AT(i, b)] = false fi; i++
    :: else -> break
    od;
    i = 0
}

inline touch(b) { assert(!freed[b]) /* nobody touches a freed one */ }

/* ---- producers */

inline kick()
{
    if
    :: notify_me -> eventfd = true
    :: else
    fi
}

inline push(b)
{
    d_step {
        assert(!linked[b]);                        /* in the queue at most once */
        linked[b] = true;
        next[b] = LINKING;                         /* P2 */
        below = top;
        top = NODE(b)                              /* P3 */
    };
    d_step { touch(b); next[b] = below; below = 0 }        /* P4 */
}

inline schedule(b, p)
{
    waits[AT(p, b)] = true;
#ifdef SKIP_FENCE
    if
    :: state[b] == NOW -> owed[AT(p, b)] = true; goto scheduled
    :: else
    fi;
#endif
    d_step {                                       /* P1 */
        touch(b);
        drain(p);
        before = state[b];
        state[b] = NOW;
        owed[AT(p, b)] = true;
        due[b] = true
    };
    if
    :: before == NOW -> skip
    :: else ->
#ifdef KICK_FIRST
        kick();
#endif
        if
#ifdef PUSH_TWICE
        :: (before == FREE || before == CANCELLED) -> push(b)
#else
        :: before == FREE -> push(b)
#endif
        :: else
        fi;
#ifdef TOUCH_AFTER
        touch(b);
#endif
#ifndef KICK_FIRST
        kick()
#else
        skip
#endif
    fi;
    before = 0
}

inline schedule_idle(b, p)
{
    waits[AT(p, b)] = true;
    d_step {
        touch(b);
        drain(p);
        before = state[b];
        state[b] = (before == NOW -> NOW : IDLE);
        owed[AT(p, b)] = true;
        due[b] = true
    };
    if
    :: before == FREE -> push(b)
    :: else
    fi;
    if
    :: before < IDLE -> kick()
    :: else
    fi;
    before = 0
}

inline cancel(b, p)
{
    d_step {
        touch(b);
        drain(p);
        if
        :: (state[b] == NOW || state[b] == IDLE) ->
            state[b] = CANCELLED;
            due[b] = false;
            owe(b, false, p)
        :: else
        fi
    }
}

inline discard(b) { freed[b] = true; linked[b] = false }

inline delete(b, p)
{
    d_step { touch(b); deleted[b] = true };
    d_step {
        before = state[b];
        state[b] = DELETED;
        due[b] = false;
        owe(b, false, p)
    };
    if
    :: before != FREE -> skip
    :: else ->
#ifdef DELETE_AT_ONCE
        d_step { discard(b) }
#else
        if
        :: d_step { !polled -> discard(b) }
        :: polled -> push(b)
        fi
#endif
    fi;
    before = 0
}

proctype Producer(byte p) provided (handling != _pid)
{
    byte i, before, below, round, b;
#if defined(DELETES) || defined(ONESHOT)
    if
    :: p == 0 ->
        schedule(OWN, 0);
#ifdef DELETES
        delete(OWN, 0)
#else
        skip
#endif
    :: else
    fi;
#endif
    do
    :: round < ROUNDS ->
        round++;
        b = 0;
        do
        :: b + 1 < SHARED -> b++
        :: break
        od;
        if
        :: schedule(b, p)
#ifdef WITH_IDLE
        :: schedule_idle(b, p)
#endif
#ifdef WITH_CANCEL
        :: cancel(b, p)
#endif
        fi;
#ifdef SKIP_FENCE
scheduled:
        skip
#endif
    :: true -> break
    od;
    round = 0;
    b = 0;
    to_do--
}

proctype Memory(byte p)                            /* buffered data arrives */
{
    byte i;
end_idle:
    do
    :: d_step { waits[AT(p, 0)] -> waits[AT(p, 0)] = false }
#if NODES > 1
    :: d_step { waits[AT(p, 1)] -> waits[AT(p, 1)] = false }
#endif
    od
}

#ifdef HANDLER
proctype Handler()
{
    byte i, before, below;
    if
    :: handling = loop_pid
    :: handling = first_pid                        /* of producer 0 */
    fi;
    schedule(0, HANDLER_ID);
    handling = 255;
    to_do--
}
#endif

/* ---- the loop */

/* Appends the chain from `from` down; the chain is kept in unlinked if it is half linked. */
inline turn_round(from, behind)
{
    chain = from;
    n = behind;
    do
    :: chain == NIL -> break
    :: (chain != NIL && next[chain - 1] == LINKING) -> break
    :: (chain != NIL && next[chain - 1] != LINKING) ->
        d_step {
            touch(chain - 1);
            b = next[chain - 1];
            next[chain - 1] = n;
            n = chain;
            chain = b;
            b = 0
        }
    od;
    skip;
    d_step {
        unlinked = chain;
        newer = (chain == NIL -> NIL : n);
        if
        :: (chain == NIL && n != NIL) ->
            if
            :: head == NIL -> head = n
            :: else -> next[tail - 1] = n
            fi;
            do
            :: n == NIL -> break
            :: else -> tail = n; n = next[n - 1]
            od
        :: else
        fi;
        n = NIL;
        chain = NIL
    }
}

inline collect()
{
    if
    :: unlinked != NIL -> turn_round(unlinked, newer)
    :: else
#ifdef UNLINKED_ALONE
        ->  if
            :: top != NIL -> d_step { old = top; top = NIL }; turn_round(old, NIL); old = 0
            :: else
            fi
#endif
    fi;
#ifndef UNLINKED_ALONE
    if
    :: (unlinked == NIL && top != NIL) ->
        d_step { old = top; top = NIL };
        turn_round(old, NIL);
        old = 0
    :: else
    fi
#endif
}

/* gone: it was cancelled or deleted, and is dropped. */
inline drop_if_void(b)
{
    d_step {
        touch(b);
        if
        :: state[b] == DELETED -> discard(b); gone = true
        :: else -> gone = false
        fi
    };
    if
    :: (!gone && state[b] == CANCELLED) ->
        d_step {
            if
            :: state[b] == CANCELLED -> state[b] = FREE; linked[b] = false; gone = true
            :: else
            fi
        }
    :: else
    fi
}

inline take_later()
{
    d_step {
        if
        :: later != NIL ->
            next[later_tail - 1] = head;
            if :: head == NIL -> tail = later_tail :: else fi;
            head = later;
            later = NIL;
            later_tail = NIL
        :: else
        fi
    }
}

/* bh_timeout_ns: quick (0), timed (10 ms or 50 us), or any time. */
inline look()
{
#ifndef FORGET_LATER
    take_later();
#endif
    collect();
    d_step {
        quick = false;
        timed = (unlinked != NIL);
        bh = head;
        head = NIL;
        kept = NIL
    };
    do
    :: bh == NIL -> tail = kept; break
    :: else ->
        after = next[bh - 1];
        drop_if_void(bh - 1);
        if
        :: gone
        :: else ->
            d_step {
                if
                :: kept == NIL -> head = bh
                :: else -> next[kept - 1] = bh
                fi;
                kept = bh;
                next[bh - 1] = NIL
            };
            if
            :: state[bh - 1] == NOW -> d_step { next[bh - 1] = after; quick = true }; break
            :: else -> timed = true
            fi
        fi;
        bh = after
    od;
    skip;
    d_step { bh = 0; kept = 0; after = 0; gone = false }
}

inline put_later()
{
    d_step {
        next[bh - 1] = NIL;
        if
        :: later == NIL -> later = bh
        :: else -> next[later_tail - 1] = bh
        fi;
        later_tail = bh
    }
}

#ifdef ONESHOT
#define IS_ONESHOT(b) ((b) == OWN)
#else
#define IS_ONESHOT(b) false
#endif

inline callback(b)                                 /* L4 */
{
    d_step { owe(b, true, 0) };
#ifdef SELF
    if
    :: (b == 0 && !again) -> again = true; schedule(0, LOOP)
    :: else
    fi
#endif
}

inline run_one(b)
{
    ran[b] = true;
#ifdef LOOK_AND_SET
    found = state[b];
    d_step { state[b] = FREE; linked[b] = false };
#else
#ifdef FREE_LATE
    found = state[b];
#else
    d_step { touch(b); found = state[b]; state[b] = FREE; linked[b] = false;       /* L3 */
        if
        :: (found == IDLE || found == NOW) ->
            assert(due[b]);                        /* a run for each schedule, and no other */
            due[b] = false
        :: else
        fi
    };
#endif
#endif
    if
    :: found == DELETED -> d_step { discard(b) }
    :: else ->
        touch(b);
        if
        :: deleted[b] -> skip
        :: else ->
            if
            :: (found == NOW || found == IDLE) ->
#ifdef LOOK_AND_SET
                assert(due[b]);                    /* a run for each schedule, and no other */
                due[b] = false;
#endif
                callback(b);
                if
                :: IS_ONESHOT(b) -> d_step { touch(b); discard(b) }
                :: else
                fi
            :: else
            fi
        fi
    fi;
#ifdef FREE_LATE
    d_step { state[b] = FREE; linked[b] = false };
#endif
    found = 0
}

inline run_all()
{
    d_step { bh = 0; do :: bh < NODES -> ran[bh] = false; bh++ :: else -> break od; bh = 0 };
#ifdef FORGET_LATER
    skip;
#else
    take_later();
#endif
    do
    ::  if
        :: head == NIL -> collect()
        :: else
        fi;
        if
        :: head == NIL -> break
        :: else ->
            d_step { bh = head; head = next[bh - 1] };     /* L2 */
            drop_if_void(bh - 1);
            if
            :: gone
            :: (!gone && ran[bh - 1]) -> put_later()
            :: (!gone && IS_ONESHOT(bh - 1) && !fresh) -> fresh = true; put_later()
            :: (!gone && !ran[bh - 1]) -> run_one(bh - 1)
            fi;
            d_step { bh = 0; gone = false }
        fi
    od
}

proctype Loop() provided (handling != _pid)
{
    byte i, b, n, bh, kept, after, chain, old, found, before, below;
    bool quick, timed, gone, again, fresh;
    do
    ::  polled = true;
        notify_me = true;
        look();
        if
        :: (quick || timed) -> skip
        :: else ->
end_asleep: eventfd
        fi;
        d_step { quick = false; timed = false; notify_me = false };
        eventfd = false;
        run_all();
        polled = false
    od
}

#define OWES(b) (owed[AT(0, b)] || owed[AT(1, b)] || owed[AT(2, b)] || owed[AT(ALL - 1, b)])
#if NODES > 1
#define PENDING (OWES(0) || OWES(1))
#else
#define PENDING OWES(0)
#endif

#ifndef LIVE
active proctype Watch()
{
    timeout;
    assert(!PENDING)                               /* a run follows every schedule */
}
#endif

init
{
    byte p;
    atomic {
        loop_pid = run Loop();
        to_do = PRODUCERS;
        do
        :: p < PRODUCERS ->
            if
            :: p == 0 -> first_pid = run Producer(0)
            :: else -> run Producer(p)
            fi;
            run Memory(p);
            p++
        :: else -> break
        od;
#ifdef HANDLER
        to_do++;
        run Handler();
#endif
        p = 0
    }
}

#ifdef LIVE
ltl all_run { <> (to_do == 0 && [] !PENDING) }
#endif
