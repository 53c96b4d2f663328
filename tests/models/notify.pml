/*
 * How a loop is woken and falls asleep: a model of _core/wakeup.pxd with the places that
 * use it: wait(), enter() and leave() of _core/iteration.pyx, sleep_until() and
 * busy_wait() of _core/sleep.pyx, hosting_sleep() of _core/hosting.pyx.
 *
 * Who takes part
 *   Loop       iterates for ever: claims, announces, looks, sleeps, accepts, dispatches.
 *   Notifier   sets a flag that only its user looks at after the wait (the flag of stop()),
 *              then wakeup_notify().
 *   Kicker     publishes work that the loop looks at itself (a bottom half), wakeup_kick().
 *   Changer    changes what the loop finds under its lock (a timer, a registration),
 *              then wakeup_notify_others().
 *   Handler    a signal handler of the loop's thread, once, at any instant: schedules a
 *              bottom half, or does what a Python handler before the sleep may do.
 *   Memory     every plain store waits in a buffer of its thread, a slot for each word,
 *              and becomes visible at any later time, in any order (weaker than x86, which
 *              keeps the order); a release store after those before it; a seq_cst exchange
 *              empties the buffer first.  A load is served from the own buffer first.
 *
 * Ways to wait: BLOCKING wait(); HOSTED, where another loop waits on the descriptor and the
 * loop is asleep outside of its iterations; POLLING memory before the sleep; FOREIGN, where
 * somebody's select() waits between qemu_iohandler_fill() and qemu_iohandler_poll().
 *
 * Left out: timeouts, descriptors but the notifier, forks; whose effect on this protocol
 * is an end of the sleep, which cannot lose a wake-up.  A signal does not end the sleep here.
 *
 * Proved, in every interleaving and every order of the buffered stores:
 *   - whenever nobody can move, the loop sleeps and nothing is left to do (Watch);
 *   - who returns from wakeup_notify() leaves no loop asleep behind (in Notifier);
 *   - with LIVE: all that was asked for is done at last, if every thread gets its turn.
 *
 * Left out on purpose, each of which has to fail:
 *   NO_W2 (A11)          the waker's fence between publishing and looking at notify_me
 *   NO_S2 (A11)          the loop's fence between announcing and looking, and the lock there,
 *                        which is one, too
 *   LOOK_FIRST (F12)     announcing before looking
 *   CLEAR_LAST (A3)      clearing notified before dispatching, not after
 *   SKIP_WRITE (A4)      the write when notified was set already
 *   STOLEN (A9)          the claim that keeps a second thread from accepting meanwhile
 *   MINE_ONLY            notify_me in notify_others: a signal handler before the sleep
 *   NO_HANDSHAKE (A14)   the lock that is taken between announcing and looking
 *   HOST_NO_LOOK (A7)    hosting_sleep's look after announcing
 *   EMPTY_REPORT (A10)   work_came: an empty report ends the polling wait, too
 *   ASLEEP_UNSAID        announcing after the polling, which began without
 *   FOREIGN_LATE         announcing a foreign wait before looking and leaving
 *
 * The lines that are modelled; the test finds each of them in the code:
 *= wakeup.pxd: if atomic_load_seq_int(&w.notify_me) and w.generation == fork_generation:
 *= wakeup.pxd: atomic_exchange_seq_int(&w.notified, 1)
 *= wakeup.pxd: if (atomic_load_int(&w.hosted) or atomic_load_seq_int(&w.notify_me)
 *= wakeup.pxd: return poller == 0 or poller == thread_self()
 *= wakeup.pxd: atomic_exchange_seq_int(&w.notify_me, 1)       # S1, S2: pairs with wakeup_kick
 *= wakeup.pxd: atomic_store_int(&w.notify_me, 0)
 *= wakeup.pxd: return atomic_load_seq_int(&w.notified)
 *= wakeup.pxd: atomic_exchange_seq_int(&w.notified, 0)
 *= context.pxd: return atomic_cas_seq_size(&ctx.wakeup.poller, 0, thread_self())
 *= iteration.pyx: leaf_lock(&ctx.lock)
 *= iteration.pyx: announce_sleep(ctx)
 *= iteration.pyx: if it.polls and (it.driver == NULL or it.driver.before_sleep == NULL):
 *= iteration.pyx: pass_lock(ctx)
 *= iteration.pyx: wakeup_prepare_sleep(&ctx.wakeup)
 *= iteration.pyx: timeout_ns = sleep_timeout_ns(ctx, timeout_ns)
 *= iteration.pyx: wakeup_end_sleep(&ctx.wakeup)
 *= iteration.pyx: wakeup_accept(&ctx.wakeup)
 *= iteration.pyx: context_unclaim(ctx)
 *= context.pxd: atomic_store_release_size(&ctx.wakeup.poller, 0)
 *= iteration.pyx: if it.eventful or wakeup_is_notified(&ctx.wakeup) or bh_timeout_ns(&ctx.bhs) == 0:
 *= sleep.pyx: if wakeup_is_notified(&ctx.wakeup) or ctx.fds.ready_first != NULL:
 *= sleep.pyx: it.work_came = ns == 0
 *= sleep.pyx: wakeup_prepare_sleep(&ctx.wakeup)
 *= sleep.pyx: it.work_came = memory_ns >= 0            # the kernel may have nothing to say
 *= hosting.pyx: if bh_ns == 0 or wakeup_is_notified(h.wakeup) or has_hidden(h):
 *= iohandler.pyx: notifier_clear(&t.wakeup.notifier)
 */
#if !defined(BLOCKING) && !defined(HOSTED) && !defined(POLLING) && !defined(FOREIGN)
#define BLOCKING
#endif
#ifndef NOTIFIERS
#define NOTIFIERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif

/* The words, and the threads that touch them: the loop's is 0. */
#define ME 0
#define NOTED 1
#define POLLER 2
#define CHANGE 3
#define MUTEX 4
#define WORK 5
#define FLAG(i) (5 + (i))              /* of Notifier i, from 1 on */
#define WORDS (6 + NOTIFIERS)
#define KICKER (NOTIFIERS + 1)
#define CHANGER (NOTIFIERS + 2)
#define OTHER (NOTIFIERS + 3)
#define THREADS (NOTIFIERS + 4)

byte mem[WORDS];
byte buf[THREADS * WORDS];             /* value + 1; 0: nothing waits */
bool eventfd;
bool handling;                         /* the loop's thread is in its signal handler */
bool asleep;
byte running;                          /* wakers that are not done */

#define SLOT(t, v) buf[(t) * WORDS + (v)]
#define LOAD(t, v) (SLOT(t, v) -> SLOT(t, v) - 1 : mem[v])
#define PENDING (mem[WORK] || mem[CHANGE] || flags())

inline store(t, v, x) { SLOT(t, v) = (x) + 1 }

inline drain(t)
{
    k = 0;
    do
    :: k < WORDS -> if :: SLOT(t, k) -> mem[k] = SLOT(t, k) - 1; SLOT(t, k) = 0
                       :: else fi; k++
    :: else -> break
    od;
    k = 0
}

inline exchange(t, v, x) { d_step { drain(t); mem[v] = x } }
inline lock(t) { d_step { mem[MUTEX] == 0 -> drain(t); mem[MUTEX] = 1 } }
inline unlock(t) { store(t, MUTEX, 0) }            /* a release, no fence */

inline kick(t)                                     /* W3 */
{
    if
    :: LOAD(t, ME) -> eventfd = true
    :: else
    fi
}

inline notify(t)
{
#ifdef NO_W2
    store(t, NOTED, 1);
    kick(t)
#else
#ifdef SKIP_WRITE
    d_step { drain(t); old = mem[NOTED]; mem[NOTED] = 1 };
    if
    :: old -> skip
    :: else -> kick(t)
    fi
#else
    exchange(t, NOTED, 1);
    kick(t)
#endif
#endif
}

#ifdef HOSTED
#define IS_HOSTED 1
#else
#define IS_HOSTED 0
#endif

inline notify_others(t, self)
{
    if
#ifndef MINE_ONLY
    :: (IS_HOSTED || LOAD(t, ME)) -> notify(t)
#endif
    :: else ->
        if
        :: (LOAD(t, POLLER) != 0 && LOAD(t, POLLER) != self) -> notify(t)
        :: else
        fi
    fi
}

/* ---- the loop */

inline claim(t, name)
{
    d_step { mem[POLLER] == 0 -> drain(t); mem[POLLER] = name }
}

inline leave(t) { store(t, POLLER, 0) }            /* a release */

inline prepare_sleep()
{
#ifdef NO_S2
    store(0, ME, 1)
#else
    exchange(0, ME, 1)
#endif
}

/* pass_lock, announce_sleep: who changes something under the lock has done so before this, and the loop
 * sees it; or does so later, and sees the announcement. */
inline pass_lock()
{
#ifndef NO_HANDSHAKE
    lock(0);
    unlock(0)
#else
    skip
#endif
}

inline announce()
{
    prepare_sleep();
    pass_lock()
}

/* S3.  A change is taken up in look(), before the sleep. */
inline look_at_memory()
{
    quick = LOAD(0, NOTED);
    quick = quick || LOAD(0, WORK)
}

inline look()
{
    look_at_memory();
    if
    :: LOAD(0, CHANGE) -> d_step { mem[CHANGE] = 0 }
    :: else
    fi
}

inline kernel_wait()
{
    if
    :: quick -> skip
    :: else ->
        asleep = true;
end_asleep:
        d_step { eventfd -> asleep = false }
    fi;
    d_step { reported = eventfd; quick = false }
}

inline accept(t)
{
    if
    :: LOAD(t, NOTED) -> exchange(t, NOTED, 0)
    :: else
    fi
}

inline collect() { if :: reported -> eventfd = false; reported = false :: else fi }

inline dispatch() { d_step { mem[WORK] = 0 } }

/* The user's, when the wait has returned. */
inline serve()
{
    d_step {
        k = 1;
        do
        :: k <= NOTIFIERS -> mem[FLAG(k)] = 0; k++
        :: else -> break
        od;
        k = 0
    }
}

inline end_wait()
{
    store(0, ME, 0);
#ifdef CLEAR_LAST
    collect();
    dispatch();
    serve();                                       /* in a callback */
    accept(0)
#else
    accept(0);
    collect();
    dispatch()
#endif
}

proctype Loop() provided (!handling)
{
    byte k, old;
    bool quick, reported;
#ifdef HOSTED
    do
    ::  claim(0, 1);
        quick = true;
        look();
        reported = eventfd;                        /* one look at the kernel */
        end_wait();
        serve();
        exchange(0, ME, 1);                        /* hosting_sleep */
#ifndef HOST_NO_LOOK
        look();
        if
        :: quick -> eventfd = true
        :: else
        fi;
#endif
        leave(0);
        quick = false;
        kernel_wait()                              /* the host's wait on our descriptor */
    od
#endif
#ifdef BLOCKING
    do
    ::  claim(0, 1);
#ifdef LOOK_FIRST
        look();
        announce();
#else
        announce();
        look();
#endif
        kernel_wait();
        end_wait();
        leave(0);
#ifndef CLEAR_LAST
        serve()
#endif
    od
#endif
#ifdef POLLING
    do
    ::  claim(0, 1);
        if                                         /* with a driver's code on the way, or without */
        :: announce()
        :: pass_lock()
        fi;
        look();
        if
        :: quick -> kernel_wait()
        :: else ->
            do                                     /* sleep_until: slices of a sleep */
            ::  store(0, ME, 0);                   /* spin */
                do
                :: (LOAD(0, NOTED) || LOAD(0, WORK)) -> quick = true; break
                :: eventfd -> reported = true; break
                :: break                           /* long enough */
                od;
                if
                :: quick -> kernel_wait();
                    if
#ifdef EMPTY_REPORT
                    :: !reported && !LOAD(0, NOTED)
#endif
                    :: else -> break
                    fi
                :: else ->
#ifndef ASLEEP_UNSAID
                    prepare_sleep();
#endif
                    if
                    :: reported -> break
                    :: else ->
                        look_at_memory();
                        old = quick;
                        kernel_wait();
                        if
                        :: (reported || LOAD(0, NOTED)) -> break
#ifndef EMPTY_REPORT
                        :: else -> if :: old -> break :: else fi
#else
                        :: else
#endif
                        fi
                    fi
                fi
            od
        fi;
        end_wait();
        leave(0);
        serve()
    od
#endif
#ifdef FOREIGN
    do
    ::  claim(0, 1);                               /* qemu_bh_update_timeout */
#ifndef FOREIGN_LATE
        prepare_sleep();
#endif
        quick = LOAD(0, WORK);
        leave(0);
        claim(0, 1);                               /* qemu_iohandler_fill */
#ifdef FOREIGN_LATE
        look();
        quick = false;
        leave(0);
        prepare_sleep();
        if
        :: LOAD(0, NOTED) -> eventfd = true
        :: else
        fi;
#else
        announce();
        look();
        if
        :: quick -> eventfd = true
        :: else
        fi;
        leave(0);
#endif
        kernel_wait();                             /* select */
        claim(0, 1);                               /* qemu_iohandler_poll, qemu_bh_poll */
        end_wait();
        leave(0);
        serve()
    od
#endif
}

/* ---- the others */

proctype Notifier(byte me)
{
    byte k, old, round;
    do
    :: round < ROUNDS ->
        round++;
        store(me, FLAG(me), 1);
        notify(me);
        assert(!(asleep && !eventfd && mem[FLAG(me)]))     /* no notify returns over a sleeper */
    :: true -> break
    od;
    running--
}

proctype Kicker()
{
    byte k, old, round;
    do
    :: round < ROUNDS ->
        round++;
#ifdef NO_W2
        store(KICKER, WORK, 1);
#else
        exchange(KICKER, WORK, 1);
#endif
        kick(KICKER)
    :: true -> break
    od;
    running--
}

proctype Changer()
{
    byte k, old, round;
    do
    :: round < ROUNDS ->
        round++;
        lock(CHANGER);
        store(CHANGER, CHANGE, 1);
        unlock(CHANGER);
        notify_others(CHANGER, CHANGER + 1)
    :: true -> break
    od;
    running--
}

/* Of the loop's thread: runs through while that stands still.  Not signal-safe calls are
 * made by Python's handlers only, which run when no lock is held. */
proctype Handler()
{
    byte k, old;
    if
    :: handling = true ->
        exchange(0, WORK, 1);
        kick(0)
    :: d_step { LOAD(0, MUTEX) == 0 -> handling = true } ->
        store(0, CHANGE, 1);
        notify_others(0, 1)
    :: true -> skip
    fi;
    handling = false;
    running--
}

/* A thread that polls now and then without blocking, where another one is the loop's. */
#ifdef STOLEN
proctype Other()
{
    byte k, old;
    bool reported;
    reported = eventfd;
    accept(OTHER);
    collect()
}
#endif

/* Buffered stores arrive.  A release (of the mutex, of the claim) follows what is before it. */
proctype Memory(byte t)
{
    byte v;
end_idle:
    do
    ::  atomic {
            if
            :: SLOT(t, ME) -> v = ME
            :: SLOT(t, NOTED) -> v = NOTED
            :: SLOT(t, CHANGE) -> v = CHANGE
            :: SLOT(t, WORK) -> v = WORK
            :: (t > 0 && t <= NOTIFIERS && SLOT(t, FLAG(t))) -> v = FLAG(t)
            :: (SLOT(t, POLLER) && !SLOT(t, CHANGE) && !SLOT(t, ME)) -> v = POLLER
            :: (SLOT(t, MUTEX) && !SLOT(t, CHANGE)) -> v = MUTEX
            fi;
            mem[v] = SLOT(t, v) - 1;
            SLOT(t, v) = 0;
            v = 0
        }
    od
}

#if NOTIFIERS > 2
#define flags() (mem[FLAG(1)] || mem[FLAG(2)] || mem[FLAG(3)])
#elif NOTIFIERS > 1
#define flags() (mem[FLAG(1)] || mem[FLAG(2)])
#elif NOTIFIERS > 0
#define flags() mem[FLAG(1)]
#else
#define flags() false
#endif

#ifndef LIVE
active proctype Watch()
{
    timeout;
    assert(!PENDING)                               /* no wake-up was lost */
}
#endif

init
{
    byte i;
    atomic {
        run Loop();
        run Memory(0);
        running = NOTIFIERS;
        i = 1;
        do
        :: i <= NOTIFIERS -> run Notifier(i); run Memory(i); i++
        :: else -> break
        od;
#ifdef WITH_KICKER
        running++;
        run Kicker();
#ifdef NO_W2
        run Memory(KICKER);
#endif
#endif
#ifdef WITH_CHANGER
        running++;
        run Changer();
        run Memory(CHANGER);
#endif
#ifdef WITH_HANDLER
        running++;
        run Handler();
#endif
#ifdef STOLEN
        run Other();
#endif
        i = 0
    }
}

#ifdef LIVE
ltl all_is_served { <> (running == 0 && [] !PENDING) }
#endif
