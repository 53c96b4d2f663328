/*
 * The iothread lock: a model of _core/lock.pyx, and of the loop that drops it, sleep_not()
 * and sleep_once() of _core/sleep.pyx.
 *
 * Who takes part
 *   Loop        holds it, for ever: drops it in a wait that may block (with SLEEPS), and in
 *               a non-blocking one when it is wanted; takes it again.
 *   Visitor v   takes it and gives it back, ROUNDS times, or for ever with LIVE.  Visitor 1
 *               may have enough of waiting at any time (TIMES: a timeout; ASKS: it asks
 *               whether to go on, in which it is away, and keeps its place).
 *
 * What is done under the lock's mutex is one step; so are the loads without it, which are
 * lock_is_mine (only this thread writes its own name) and lock_is_wanted (a hint).  A
 * condition's signal is the flag that it is for.  Left out: what is asked takes the lock
 * itself, forks.
 *
 * Proved, in every interleaving:
 *   - one at a time, and who gets it is its owner;
 *   - nobody gets it before one that came earlier and is not away;
 *   - when nobody can move, nobody waits and nobody who left owns it (Watch);
 *   - with LIVE: the last visitor is served at last, however busy the loop is, and though
 *     others come and go.
 *
 * Left out on purpose, each of which has to fail:
 *   BARGING              the hand-over: who comes takes what was given back
 *   LEAVE_GRANTED        a look at granted by one whose time is over
 *   TO_THE_AWAY          passing over those who ask
 *   NOBODY_AT_HOME       the look at a free lock by one that comes back from asking
 *   NOT_COUNTED          counting those who wait
 *   BLOCKING_ONLY (C4)   dropping it in non-blocking iterations
 *   FLAG (C5)            a count: the one who is served clears a flag for all
 *
 *= lock.pyx: if lock.owner == 0:
 *= lock.pyx: atomic_store_release_size(&lock.owner, thread_self())
 *= lock.pyx: enter_queue(lock, &me)
 *= lock.pyx: if not me.granted:
 *= lock.pyx: atomic_add_seq_int(&lock.waiting, -1)
 *= lock.pyx: while not me.granted:
 *= lock.pyx: me.away = True
 *= lock.pyx: me.away = False
 *= lock.pyx: atomic_store_release_size(&lock.owner, me.thread)
 *= lock.pyx: atomic_add_seq_int(&lock.waiting, 1)
 *= lock.pyx: while heir != NULL and heir.away:
 *= lock.pyx: atomic_store_release_size(&lock.owner, heir.thread)
 *= lock.pxd: return atomic_load_int(&lock.waiting) != 0
 *= sleep.pyx: cdef bint wanted = ctx.iothread_lock != NULL and lock_is_wanted(ctx.iothread_lock)
 *= sleep.pyx: lock_release(ctx.iothread_lock)
 *= sleep.pyx: return retake_lock(ctx, it, n) if wanted else n
 */
#ifndef VISITORS
#define VISITORS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#define LOOP 0
#define ALL (VISITORS + 1)
#define FREE 255

byte owner = LOOP;
byte waiting;
byte queue[ALL], length;
bool granted[ALL], away[ALL];

/* What the proof keeps account of. */
byte earlier[ALL];                     /* a bit for each that came before and still waits */
byte inside;
bool wants;                            /* the last visitor, or whoever waits in Watch */
byte waiters;

inline no_longer_waits(t)
{
    i = 0;
    do
    :: i < ALL -> earlier[i] = earlier[i] & (255 - (1 << t)); i++
    :: else -> break
    od;
    i = 0;
    waiters--
}

inline comes(t)
{
    i = 0;
    earlier[t] = 0;
    do
    :: i < length -> earlier[t] = earlier[t] | (1 << queue[i]); i++
    :: else -> break
    od;
    i = 0
}

inline serve(t)
{
    i = 0;
    do
    :: i < length ->
        assert(away[queue[i]] || !(earlier[t] & (1 << queue[i])));    /* first come, first served */
        i++
    :: else -> break
    od;
    i = 0;
    owner = t
}

inline enter_queue(t)
{
    comes(t);
    granted[t] = false;
    queue[length] = t;
    length++;
    waiters++;
#ifdef FLAG
    waiting = 1
#else
#ifndef NOT_COUNTED
    waiting++
#endif
#endif
}

inline leave_queue(t)
{
    i = 0;
    do
    :: queue[i] == t -> break
    :: else -> i++
    od;
    do
    :: i + 1 < length -> queue[i] = queue[i + 1]; i++
    :: else -> break
    od;
    length--;
    queue[length] = 0;
    i = 0
}

inline uncount()
{
#ifdef FLAG
    waiting = 0
#else
#ifndef NOT_COUNTED
    waiting--
#else
    skip
#endif
#endif
}

inline release(t)
{
    d_step {
        assert(owner == t);                        /* who gets it is its owner */
        n = 0;
#ifndef TO_THE_AWAY
        do
        :: n < length && away[queue[n]] -> n++
        :: else -> break
        od;
#endif
        if
        :: n == length -> owner = FREE
        :: else ->
#ifdef BARGING
            owner = FREE
#else
            n = queue[n];
            leave_queue(n);
            serve(n);
            granted[n] = true
#endif
        fi;
        n = 0
    }
}

inline use()
{
    inside++;
    assert(inside == 1);                           /* one at a time */
    inside--
}

/* Granted, or, BARGING, free when it was woken. */
#ifdef BARGING
#define MAY_GO(t) (owner == FREE && queue[0] == t)
#else
#define MAY_GO(t) granted[t]
#endif

inline get_it(t)
{
    d_step {
        MAY_GO(t);
#ifdef BARGING
        leave_queue(t);
        serve(t);
#endif
        uncount();
        no_longer_waits(t);
        granted[t] = false
    }
}

inline give_up(t)
{
    leave_queue(t);
    uncount();
    no_longer_waits(t);
    got = false
}

inline acquire(t)
{
    got = true;
    d_step {
        if
        :: owner == FREE -> comes(t); serve(t); queued = false
        :: else -> enter_queue(t); queued = true
        fi
    };
    do
    :: !queued -> break
    :: queued -> get_it(t); queued = false
#ifdef TIMES
#ifdef LEAVE_GRANTED
    :: (queued && t == 1 && !granted[t]) ->        /* its time is over: it says so */
        d_step {
            if
            :: granted[t] -> granted[t] = false; uncount(); no_longer_waits(t); got = false
            :: else -> give_up(t)
            fi;
            queued = false
        }
#else
    :: d_step { (queued && t == 1 && !granted[t]) -> give_up(t); queued = false }
#endif
#endif
#ifdef ASKS
    :: d_step { (queued && t == 1 && !granted[t]) -> away[t] = true };
        d_step {
            away[t] = false;
            if
            :: enough ->
                if
                :: granted[t] -> granted[t] = false; uncount(); no_longer_waits(t); got = false
                :: else -> give_up(t)
                fi;
                queued = false
#ifndef NOBODY_AT_HOME
            :: (!enough && owner == FREE) ->
                leave_queue(t); serve(t); uncount(); no_longer_waits(t); queued = false
#endif
            :: else
            fi
        };
        if
        :: enough = true
        :: enough = false
        fi
#endif
    od
}

proctype Visitor(byte t)
{
    byte i, n, round;
    bool got, queued, enough;
    do
#ifdef LIVE
    ::  true ->
#else
    ::  round < ROUNDS ->
        round++;
#endif
        if
        :: t == VISITORS -> wants = true
        :: else
        fi;
        acquire(t);
        if
        :: got -> use(); release(t)
        :: else
        fi;
        if
        :: t == VISITORS -> wants = false
        :: else
        fi
    :: true -> break
    od
}

proctype Loop()
{
    byte i, n;
    bool got, queued, enough;
end_loop:
    do
    ::  use();                                     /* callbacks */
        if
#ifdef SLEEPS
        :: true -> release(LOOP); acquire(LOOP)
#endif
        :: true ->
#ifdef BLOCKING_ONLY
            skip
#else
            if
            :: waiting -> release(LOOP); acquire(LOOP)
            :: else
            fi
#endif
        fi
#ifndef LIVE
    :: break                                       /* it leaves for good */
#endif
    od;
    release(LOOP)
}

#ifndef LIVE
active proctype Watch()
{
    timeout;
    assert(waiters == 0 && owner == FREE)          /* no grant is lost */
}
#endif

init
{
    byte v = 1;
    atomic {
        run Loop();
        do
        :: v < ALL -> run Visitor(v); v++
        :: else -> break
        od;
        v = 0
    }
}

#ifdef LIVE
ltl served { [] (wants -> <> !wants) }
#endif
