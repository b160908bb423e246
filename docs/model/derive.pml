/*
 * How hype.derive() reads the log of hits: each hit once, whenever its
 * transaction commits.  store.pml has the way of a hit to the log, README.md
 * says how to run it, and what is left out.
 *
 * Transactions insert hits in any order, and commit when they like.  Two
 * callers derive from them.  A set of hits or transactions is a number with one
 * bit for each.
 */


#define HITS          3
#define TRANSACTIONS  2     /* at the same time */
#define MAX           2     /* hits that a step reads */

/* transactions that fail, and crashes of PostgreSQL, at most in one run */

#ifndef FAULTS
#define FAULTS    1
#endif


#define BIT(n)    (1 << (n))


/* what is committed: hype.referral_hit */

bool  row[HITS];
byte  xact[HITS];           /* the column */


/* what is not: the hits, and the transaction's id, in the order of starts */

byte  inserted[TRANSACTIONS];
byte  xid[TRANSACTIONS];
byte  next_xid = 1;


/* what is derived */

byte  counted[HITS];        /* by the roll-ups: how often */
byte  user;                 /* hits that have their user */
byte  claims = 1;           /* that are still to come */
bool  pending;              /* hype.pending_claim */
bool  claimed;              /* hype.visitor_claim */


/*
 * A snapshot sees what is below xmax and not in xip.  (xmin is there to make
 * looking it up faster.)
 */

typedef Snapshot {
    byte  xmax;
    short xip;
};

#define SEES(s, x)  ((x) < s.xmax && !(s.xip & BIT(x)))


/* hype.log_position */

typedef Position {
    Snapshot done;
    Snapshot target;        /* xmax is 0: there is none */
    byte     xact;
    byte     id;            /* counted from 1 */
};

Position log;

#define IS_BEHIND(p, i)                                                       \
    (xact[i] > p.xact || (xact[i] == p.xact && (i) + 1 > p.id))


bool due;                   /* something was committed: nginx calls derive() */
byte deriving;              /* the callers with the lock of the position */

byte faults;


/* what must not be: an assertion that fails names one of them */

bool missed, derived_twice, view_wrong, no_user;


hidden byte i, j, n;        /* within a single step */


inline copy_snapshot(from, to)
{
    to.xmax = from.xmax;
    to.xip = from.xip
}


inline copy_position(from, to)
{
    copy_snapshot(from.done, to.done);
    copy_snapshot(from.target, to.target);
    to.xact = from.xact;
    to.id = from.id
}


/* hype.log_snapshot() */

inline take_snapshot(s)
{
    s.xmax = next_xid;
    s.xip = 0;

    for (i : 0 .. TRANSACTIONS - 1) {
        if
        :: xid[i] -> s.xip = s.xip | BIT(xid[i])
        :: else
        fi
    }
}


/* the roll-ups, and what hype.unrolled_hits() adds to them, are all hits */

#ifdef NO_POSITION
#define IS_NOT_READ(i)  true
#else
#define IS_NOT_READ(i)  (log.target.xmax == 0 || IS_BEHIND(log, i)            \
                         || !SEES(log.target, xact[i]))
#endif

#define IS_UNROLLED(i)                                                        \
    (row[i]                                                                   \
     && (xact[i] >= log.done.xmax || (log.done.xip & BIT(xact[i])))           \
     && IS_NOT_READ(i))

inline views_are_exact()
{
#ifndef NO_VIEWS
    for (i : 0 .. HITS - 1) {
        n = counted[i] + (IS_UNROLLED(i) -> 1 : 0);
        view_wrong = (n != row[i]);
        assert(!view_wrong)
    }
#endif

    i = 0
}


/* ------------------------------------------------------------ transactions */

#define FREE_HITS  (((1 << HITS) - 1)                                         \
                    & ~(row[0] | row[1] << 1 | row[2] << 2)                   \
                    & ~inserted[0] & ~inserted[1])

/* a batch: it gets its id when it inserts, and its rows have that */

proctype Transaction(byte t)
{
    byte set;

end:
    do
    :: atomic {
           xid[t] == 0 && FREE_HITS ->
               for (i : 0 .. HITS - 1) {
                   if
                   :: FREE_HITS & BIT(i) -> set = set | BIT(i)
                   :: true
                   fi
               }

               if
               :: set ->
                   inserted[t] = set;
                   xid[t] = next_xid;
                   next_xid++;
                   set = 0
               :: else
               fi
       }

    :: d_step {
           xid[t] ->
               for (i : 0 .. HITS - 1) {
                   if
                   :: inserted[t] & BIT(i) ->
                       row[i] = true;
                       xact[i] = xid[t]
                   :: else
                   fi
               }

               inserted[t] = 0;
               xid[t] = 0;
               due = true;
               views_are_exact()
       }

    :: d_step {
           xid[t] && faults > 0 ->
               faults--;
               inserted[t] = 0;
               xid[t] = 0
       }
    od
}


/* hype.claim_batch(): all hits are of one visitor */

proctype Claim()
{
end:
    do
    :: d_step {
           claims > 0 ->
               claims--;
               pending = true;
               due = true
       }
    od
}


proctype Crash()
{
end:
    do
    :: d_step {
           faults > 0 ->
               faults--;
               deriving = 0;
               due = true;

               for (i : 0 .. TRANSACTIONS - 1) {
                   inserted[i] = 0;
                   xid[i] = 0
               }

               i = 0
       }
    od
}


/* ------------------------------------------------------------ hype.derive() */

/* the hits that hype.read_log() reads, of those that are committed by now */

#if defined(NO_HORIZON)
#define IS_TO_READ(i)  (row[i] && IS_BEHIND(p, i))

#else

#ifdef NO_TARGET
#define IS_IN_TARGET(i)  true
#else
#define IS_IN_TARGET(i)  SEES(p.target, xact[i])
#endif

#define IS_TO_READ(i)                                                         \
    (row[i]                                                                   \
     && (xact[i] >= p.done.xmax || (p.done.xip & BIT(xact[i])))               \
     && IS_IN_TARGET(i) && IS_BEHIND(p, i))

#endif


/* the next one in the order of xact and id, counted from 1; 0: there is none */

inline next_to_read()
{
    n = 0;

    for (i : 0 .. HITS - 1) {
        if
        :: (IS_TO_READ(i)
            && (n == 0 || xact[i] < xact[n - 1])) ->
            n = i + 1
        :: else
        fi
    }
}


/* hype.claim_step(): the hits that are there get their user */

inline apply_claims()
{
    if
    :: pending ->
        pending = false;
        claimed = true;

        for (i : 0 .. HITS - 1) {
            if
            :: row[i] -> user = user | BIT(i)
            :: else
            fi
        }
    :: else
    fi
}


/*
 * hype.count_hits(), and hype.follow_step() for hits that come after a claim.
 * Both have a position of their own; here they have one.
 */

inline read_hits()
{
    read = 0;

    do
    :: read < MAX ->
        next_to_read();

        if
        :: n == 0 -> break
        :: else
        fi;

        read++;
        j = n - 1;
        p.xact = xact[j];
        p.id = n;

        counted[j]++;
        derived_twice = (counted[j] > 1);
        assert(!derived_twice);

#ifndef NO_LOOK
        if
        :: claimed -> user = user | BIT(j)
        :: else
        fi
#endif
    :: else -> break
    od
}


/*
 * The end of hype.read_log().  If an old target had no more hits, it goes on
 * with a new one at once: what was committed since that one was taken may have
 * been what this call is for.
 */

inline move_position()
{
#ifdef NO_FRESH_TARGET
    due = due || read;
#else
    due = due || read || old;
#endif

    if
    :: read < MAX ->
        copy_snapshot(p.target, p.done);
        p.target.xmax = 0;
        p.target.xip = 0;
#ifndef NO_HORIZON
        p.xact = 0;
        p.id = 0
#endif
    :: else
    fi;

    copy_position(p, log)
}


#ifdef NO_DERIVE_LOCK
#define MAY_DERIVE(me)  (!(deriving & BIT(me)))
#else
#define MAY_DERIVE(me)  (deriving == 0)
#endif

#define IS_DERIVING(me) (deriving & BIT(me))


/*
 * Worker 0 of two nginx, or of one that is reloaded.  A call is a transaction.
 * It is gone if PostgreSQL crashes.
 */

proctype Derive(byte me)
{
    Position p;
    bool     old;
    byte     read;

end:
    do
       /* hype.lock_log(), and the position with its target */

    :: d_step {
           due && MAY_DERIVE(me) ->
               due = false;
               deriving = deriving | BIT(me);
               copy_position(log, p);
               old = (p.target.xmax > 0);

               if
               :: !old -> take_snapshot(p.target)
               :: else
               fi;

               i = 0
       }

       d_step {
           if
           :: IS_DERIVING(me) ->
               apply_claims();
               read_hits();

#ifdef TWO_TRANSACTIONS
           :: else
           fi
       }

       d_step {
           if
           :: IS_DERIVING(me) ->
#endif
               move_position();
               deriving = deriving & ~BIT(me);
               views_are_exact()
           :: else
           fi;

           p.done.xmax = 0;
           p.done.xip = 0;
           p.target.xmax = 0;
           p.target.xip = 0;
           p.xact = 0;
           p.id = 0;
           old = false;
           read = 0
       }
    od
}


init
{
    select(faults : 0 .. FAULTS);

    atomic {
        log.done.xmax = 1;

        run Transaction(0);
        run Transaction(1);
        run Derive(0);
        run Derive(1);
        run Claim();
        run Crash()
    }

    /* nothing is left to do */

    timeout ->
        d_step {
            for (i : 0 .. HITS - 1) {
                missed = (row[i] && counted[i] == 0);
                assert(!missed);

                no_user = (row[i] && claimed && !(user & BIT(i)));
                assert(!no_user)
            }

            i = 0
        }
}
