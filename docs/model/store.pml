/*
 * How a hit gets from a visit to PostgreSQL.  derive.pml has what is derived
 * from it there.  README.md says how to run it, how to read a counterexample,
 * and what is left out.
 *
 * There are two hits, two workers, and two sessions of PostgreSQL.  Faults may
 * come at any step.  A comment says which function a step models.  A set of
 * hits or files is a number with one bit for each.
 */


#define HITS      2
#define WORKERS   2
#define FILES     2
#define SESSIONS  2

/* at most, in one run */

#ifndef FAULTS
#define FAULTS    2
#endif


#define BIT(n)    (1 << (n))
#define ALL       (BIT(HITS) - 1)


/* the visits: sets of hits */

byte made, answered;


/* a worker: its memory, and what the kernel has of it */

typedef Worker_t {
    bool busy;              /* in a function that writes or opens a file */

    /* src/store/ngx_http_hype_queue.h: the flags of an item */

    byte queue;             /* not in a batch */
    byte replay;
    byte spooled;           /* in a batch, and in the spool, too */
    byte parked;            /* a request waits */

    /* src/spool/ngx_http_hype_spool_files.h: a file */

    byte tail;              /* the file that is written, counted from 1 */
    byte opening;           /* opened and not locked yet, counted from 1 */
    byte opened;
    byte size[FILES];
    byte read[FILES];
    byte held[FILES];
    byte drain[FILES];      /* read, and not in a batch */
};

Worker_t wrk[WORKERS];


/* the spool's directory; a file lives on without its name while it is open */

byte named;
byte lock[FILES];           /* the worker, counted from 1 */
byte has[FILES];


/* a connection: the client's side, and the session in PostgreSQL */

#define FREE       0
#define RUNNING    1        /* the statement has been sent */
#define INSERTED   2        /* but not committed */
#define FLUSHED    3        /* committed; waits for the standby */
#define COMMITTED  4        /* from here on, what the client will be told */
#define DUPLICATE  5
#define REFUSED    6
#define LOST       7

typedef Session_t {
    byte client;            /* the worker, counted from 1, or 0: it is gone */
    byte state;
    byte rows;
    byte inserted;
    byte file;              /* of the spool, counted from 1; 0: the queue */
    bool replay;            /* by hype.replay(), not by COPY */
    bool cancelled;
};

Session_t ses[SESSIONS];


/* the database: what is committed and visible */

byte rows[HITS];            /* of referral_hit with that id: how many */

#ifdef STANDBY
byte safe;                  /* those that the standby has, too */
#endif


/* faults that may still come */

byte faults;


/* what must not be; an assertion that fails names one of them */

bool lost, twice, stuck;


hidden byte i, j, k, n;     /* within a single step */


/* ------------------------------------------------------ hits in PostgreSQL */

#define IN_PROGRESS(s)         (ses[s].state == INSERTED                      \
                                || ses[s].state == FLUSHED)
#define IS_RESULT(s)           (ses[s].state >= COMMITTED)


inline free(s)
{
    ses[s].client = 0;
    ses[s].state = FREE;
    ses[s].rows = 0;
    ses[s].inserted = 0;
    ses[s].file = 0;
    ses[s].replay = false;
    ses[s].cancelled = false
}


/* the session answers; the answer waits for the client, if there is one */

inline end_with(s, result)
{
    ses[s].inserted = 0;

    if
    :: ses[s].client -> ses[s].state = result
    :: else -> free(s)
    fi
}


inline become_visible(s)
{
    for (i : 0 .. HITS - 1) {
        if
        :: ses[s].inserted & BIT(i) ->
            rows[i]++;
            twice = (rows[i] > 1);
            assert(!twice)
        :: else
        fi
    }

    end_with(s, COMMITTED)
}


/*
 * An INSERT waits for a transaction that has inserted the same key and is still
 * running.
 */

#define CLASH(s, t)  ((s) != (t) && IN_PROGRESS(t)                            \
                      && (ses[t].inserted & ses[s].rows))

#if defined(NO_CHECK) || defined(NO_WAIT)
#define HAS_TO_WAIT(s)  false
#else
#define HAS_TO_WAIT(s)  (CLASH(s, 0) || CLASH(s, 1))
#endif


/*
 * COPY and INSERT of src/store/ngx_http_hype_batch.c, and hype.replay(), which
 * leaves out what is there.  The primary key refuses it for the others.
 */

inline insert_rows(s)
{
    n = 0;

#ifndef NO_CHECK
    for (i : 0 .. HITS - 1) {
        if
        :: rows[i] && (ses[s].rows & BIT(i)) -> n = n | BIT(i)
        :: else
        fi
    }
#endif

    if
    :: n && !ses[s].replay ->
        end_with(s, DUPLICATE)

    :: else ->
        ses[s].inserted = ses[s].rows & ~n;
        ses[s].state = INSERTED
    fi
}


/*
 * With a synchronous standby the commit is durable here, and not visible yet.
 * hype.replay() writes a message if it left out a hit, so that it waits, too.
 */

inline commit(s)
{
#ifdef STANDBY
    if
#ifdef NO_MESSAGE
    :: ses[s].inserted == 0 -> become_visible(s)
#endif
    :: else -> ses[s].state = FLUSHED
    fi
#else
    become_visible(s)
#endif
}


/* the client is gone; the session may go on */

inline forsake(s)
{
    ses[s].client = 0;
    ses[s].cancelled = false;

    if
    :: IS_RESULT(s) -> free(s)
    :: else
    fi
}


/* --------------------------------------------------------------- the spool */

/* nobody has it open, and it has no name: the kernel forgets it */

#define UNUSED(f)    (!(named & BIT(f))                                       \
                      && !(wrk[0].opened & BIT(f))                            \
                      && !(wrk[1].opened & BIT(f))                            \
                      && wrk[0].opening != f + 1 && wrk[1].opening != f + 1)

inline reclaim(f)
{
    if
    :: UNUSED(f) -> has[f] = 0
    :: else
    fi
}


/* ngx_http_hype_spool_release() */

inline release(w, f)
{
    wrk[w].opened = wrk[w].opened & ~BIT(f);
    wrk[w].size[f] = 0;
    wrk[w].read[f] = 0;
    wrk[w].held[f] = 0;
    wrk[w].drain[f] = 0;
    wrk[w].tail = (wrk[w].tail == f + 1 -> 0 : wrk[w].tail);
    lock[f] = (lock[f] == w + 1 -> 0 : lock[f]);
    reclaim(f)
}


/* ngx_http_hype_spool_remove() */

inline remove(w, f)
{
    named = named & ~BIT(f);
    release(w, f)
}


/* ngx_http_hype_spool_drained() */

#ifdef REMOVED_EARLY
#define IS_DONE(w, f)  true
#else
#define IS_DONE(w, f)  (wrk[w].held[f] == 0)
#endif

inline drained(w, f)
{
    if
    :: (wrk[w].read[f] == wrk[w].size[f] && wrk[w].tail != f + 1
        && IS_DONE(w, f)) ->
        remove(w, f)
    :: else
    fi
}


/* ngx_http_hype_spool_done() */

inline spool_done(w, f, set)
{
    wrk[w].held[f] = wrk[w].held[f] & ~set;
    drained(w, f)
}


/* flock(LOCK_EX|LOCK_NB), and the comparison of the file with its name */

#ifdef NO_LOCK
#define LOCKABLE(f)  true
#else
#define LOCKABLE(f)  (lock[f] == 0)
#endif

#ifdef NO_NAME_CHECK
#define NAMED(f)     true
#else
#define NAMED(f)     (named & BIT(f))
#endif

/* ngx_http_hype_spool_open(), its second half */

inline lock_opened(w, f)
{
    wrk[w].opening = 0;

    if
    :: LOCKABLE(f) && NAMED(f) ->
        lock[f] = w + 1;
        wrk[w].opened = wrk[w].opened | BIT(f);
        wrk[w].size[f] = has[f]

    :: else -> reclaim(f)
    fi
}


/* ------------------------------------------------- a worker and its batches */

/* ngx_http_hype_queue_put_back() */

inline put_back(s, w, again)
{
    if
    :: ses[s].file ->
        k = ses[s].file - 1;
        wrk[w].drain[k] = wrk[w].drain[k] | ses[s].rows

    :: else ->
        n = ses[s].rows & ~wrk[w].spooled;
        wrk[w].spooled = wrk[w].spooled & ~ses[s].rows;
        wrk[w].queue = wrk[w].queue | n;

        if
        :: again || ses[s].replay -> wrk[w].replay = wrk[w].replay | n
        :: else
        fi
    fi
}


/* ngx_http_hype_queue_done() */

inline batch_done(s, w)
{
    if
    :: ses[s].file ->
        k = ses[s].file - 1;
        n = ses[s].rows;
        spool_done(w, k, n)

    :: else ->
        answered = answered | (wrk[w].parked & ses[s].rows);
        wrk[w].parked = wrk[w].parked & ~ses[s].rows;
        wrk[w].spooled = wrk[w].spooled & ~ses[s].rows
    fi
}


/* NGX_HTTP_HYPE_DB_UNKNOWN: ngx_http_hype_queue_lost() */

inline handle_unknown(s, w)
{
#ifdef UNKNOWN_IS_DONE
    batch_done(s, w)
#elif defined(SENT_AS_IT_WAS)
    put_back(s, w, false)
#else
    put_back(s, w, true)
#endif
}


/* ngx_http_hype_queue_handler() */

inline handle_result(s, w)
{
    if
    :: ses[s].state == COMMITTED ->
#ifndef CANCELLED_IS_DONE
        if
        :: ses[s].cancelled -> put_back(s, w, true)
        :: else -> batch_done(s, w)
        fi
#else
        batch_done(s, w)
#endif

    :: ses[s].state == DUPLICATE -> put_back(s, w, true)
    :: ses[s].state == REFUSED -> put_back(s, w, false)
    :: else -> handle_unknown(s, w)
    fi
}


#define A_FREE_SESSION  (ses[0].state == FREE || ses[1].state == FREE)

inline send(w, set, from, by_replay)
{
    j = (ses[0].state == FREE -> 0 : 1);

    ses[j].client = w + 1;
    ses[j].state = RUNNING;
    ses[j].rows = set;
    ses[j].file = from;
    ses[j].replay = by_replay
}


proctype Session(byte s)
{
end:
    do
    :: d_step {
           ses[s].state == RUNNING && !HAS_TO_WAIT(s) -> insert_rows(s)
       }

    :: d_step { ses[s].state == INSERTED -> commit(s) }

       /* PostgreSQL notices that the client is gone, or it does not */

    :: d_step { ses[s].state == INSERTED && ses[s].client == 0 -> free(s) }

#ifndef STANDBY
       /* a deadlock, a trigger, a full disk, a cancelled statement */

    :: d_step {
           ses[s].state == INSERTED && faults > 0 ->
               faults--;
               end_with(s, REFUSED)
       }

#else
       /* a cancel ends the wait for the standby, with a success */

    :: d_step {
           ses[s].state == FLUSHED && ses[s].cancelled -> become_visible(s)
       }

    :: d_step {
           ((ses[s].state == INSERTED || ses[s].state == FLUSHED)
            && ses[s].client && faults > 0 && !ses[s].cancelled) ->
               faults--;
               ses[s].cancelled = true
       }
#endif

       /* the worker's side: src/store/ngx_http_hype_queue.c */

    :: d_step {
           IS_RESULT(s) && !wrk[ses[s].client - 1].busy ->
               j = ses[s].client - 1;
               handle_result(s, j);
               free(s)
       }

       /* the network breaks: the worker does not know what became of it */

    :: d_step {
           ses[s].client && faults > 0 && !wrk[ses[s].client - 1].busy ->
               faults--;
               j = ses[s].client - 1;
               handle_unknown(s, j);
               forsake(s)
       }
    od
}


/* in a run with a standby the faults are those of the database */

#ifdef STANDBY
#define MAY_BE_KILLED  false
#else
#define MAY_BE_KILLED  (faults > 0)
#endif

#define KILL_POINT                                                            \
    if                                                                        \
    :: atomic { MAY_BE_KILLED -> faults--; goto killed }                      \
    :: true                                                                   \
    fi


/*
 * ngx_http_hype_spool_append(), and in it ngx_http_hype_spool_new_tail();
 * reserve, commit and flush do the same for a visit
 */

inline append(w, h)
{
    do
    :: wrk[w].tail == 0 ->
        atomic {
            UNUSED(0) || UNUSED(1);
            f = (UNUSED(0) -> 0 : 1);
            named = named | BIT(f);
            wrk[w].opening = f + 1
        }

        KILL_POINT;

        d_step {
            lock_opened(w, f);
            wrk[w].tail = ((wrk[w].opened & BIT(f)) -> f + 1 : 0);
            f = 0
        }

    :: else -> break
    od;

    atomic {
        f = wrk[w].tail - 1;
        has[f] = has[f] | BIT(h);
        wrk[w].size[f] = wrk[w].size[f] | BIT(h);
        f = 0
    }

    KILL_POINT
}


#define ADOPTABLE(w, f)  ((named & BIT(f)) && LOCKABLE(f)                     \
                          && !(wrk[w].opened & BIT(f)))

#define UNSENT(w, f)     (wrk[w].drain[f] | (wrk[w].size[f] & ~wrk[w].read[f]))

#define NEXT_HIT         (made & 1)
#define MAY_VISIT(w)     (made != ALL && (made || w == 0))


proctype Worker(byte w)
{
    byte h, f;

end:
    do
       /* ngx_http_hype_store_hit(): to the queue */

    :: d_step {
           MAY_VISIT(w) ->
               i = NEXT_HIT;
               made = made | BIT(i);
               wrk[w].queue = wrk[w].queue | BIT(i);
               wrk[w].parked = wrk[w].parked | BIT(i)
       }

       /* ngx_http_hype_store_hit(): to the spool; answered when written */

    :: d_step {
           MAY_VISIT(w) ->
               h = NEXT_HIT;
               made = made | BIT(h);
               wrk[w].busy = true;
#ifdef ANSWERED_EARLY
               answered = answered | BIT(h)
#endif
       }
       append(w, h);
       d_step {
           answered = answered | BIT(h);
           h = 0;
           wrk[w].busy = false
       }

       /*
        * ngx_http_hype_stream_expire(): the visitor has waited for too long, or
        * the database is not available (ngx_http_hype_store_release_item())
        */

    :: d_step {
           wrk[w].parked ->
               h = ((wrk[w].parked & 1) -> 0 : 1);
               wrk[w].busy = true
       }
       append(w, h);
       d_step {
           if
           :: wrk[w].queue & BIT(h) ->
               wrk[w].queue = wrk[w].queue & ~BIT(h);
               wrk[w].replay = wrk[w].replay & ~BIT(h)
           :: else ->
               wrk[w].spooled = wrk[w].spooled | BIT(h)
           fi;
           wrk[w].parked = wrk[w].parked & ~BIT(h);
           answered = answered | BIT(h);
           h = 0;
           wrk[w].busy = false
       }

       /* ngx_http_hype_queue_work(): a batch of one kind */

    :: d_step {
           (wrk[w].queue & ~wrk[w].replay) && A_FREE_SESSION ->
               n = wrk[w].queue & ~wrk[w].replay;
               wrk[w].queue = wrk[w].queue & ~n;
               send(w, n, 0, false)
       }

    :: d_step {
           (wrk[w].queue & wrk[w].replay) && A_FREE_SESSION ->
               n = wrk[w].queue & wrk[w].replay;
               wrk[w].queue = wrk[w].queue & ~n;
               wrk[w].replay = wrk[w].replay & ~n;
               send(w, n, 0, true)
       }

       /* ngx_http_hype_stream_drain(), ngx_http_hype_spool_read() */

#ifndef NO_REPLAY
    :: atomic {
           (A_FREE_SESSION
            && (UNSENT(w, 0) || UNSENT(w, 1))) ->
               if
               :: UNSENT(w, 0) -> f = 0
               :: UNSENT(w, 1) -> f = 1
               fi;
               d_step {
                   n = UNSENT(w, f);
                   wrk[w].read[f] = wrk[w].size[f];
                   wrk[w].held[f] = wrk[w].held[f] | n;
                   wrk[w].drain[f] = 0;
                   send(w, n, f + 1, true);
#ifdef REMOVED_EARLY
                   drained(w, f);
#endif
                   f = 0
               }
       }
#endif

       /* ngx_http_hype_spool_leave_tail() */

    :: d_step {
           (wrk[w].tail
            && wrk[w].read[wrk[w].tail - 1] == wrk[w].size[wrk[w].tail - 1]) ->
               i = wrk[w].tail - 1;
               wrk[w].tail = 0;
               drained(w, i)
       }

       /* ngx_http_hype_spool_scan(), ngx_http_hype_spool_adopt() */

    :: atomic {
           ADOPTABLE(w, 0) || ADOPTABLE(w, 1) ->
               if
               :: ADOPTABLE(w, 0) -> f = 0
               :: ADOPTABLE(w, 1) -> f = 1
               fi;
               wrk[w].opening = f + 1;
               wrk[w].busy = true
       }
       d_step {
           lock_opened(w, f);
           if
           :: (wrk[w].opened & BIT(f)) && wrk[w].size[f] == 0 -> remove(w, f)
           :: else
           fi;
           f = 0;
           wrk[w].busy = false
       }

    :: atomic { MAY_BE_KILLED -> faults-- } -> goto killed
    od;

    /* SIGKILL.  The kernel closes what was open; the master starts another. */

killed:
    atomic {
        for (j : 0 .. SESSIONS - 1) {
            if
            :: ses[j].client == w + 1 -> forsake(j)
            :: else
            fi
        }

        f = wrk[w].opening;
        wrk[w].opening = 0;

        if
        :: f -> reclaim(f - 1)
        :: else
        fi;

        for (j : 0 .. FILES - 1) {
            if
            :: wrk[w].opened & BIT(j) -> release(w, j)
            :: else
            fi
        }

        wrk[w].queue = 0;
        wrk[w].replay = 0;
        wrk[w].spooled = 0;
        wrk[w].parked = 0;
        wrk[w].tail = 0;
        wrk[w].busy = false;
        h = 0;
        f = 0
    }

    goto end
}


/* ------------------------------------------------------- the database's end */

inline end_sessions()
{
    for (j : 0 .. SESSIONS - 1) {
        if
        :: ses[j].state != FREE -> end_with(j, LOST)
        :: else
        fi
    }

    j = 0
}


proctype Server()
{
end:
    do
       /* what was committed is there after a crash, waiting or not */

    :: d_step {
           faults > 0 ->
               faults--;
               for (j : 0 .. SESSIONS - 1) {
                   if
                   :: ses[j].state == FLUSHED -> become_visible(j)
                   :: else
                   fi
               }
               end_sessions()
       }

#ifdef STANDBY
       /* the standby gets all that is committed, in its order */

    :: d_step {
           (ses[0].state == FLUSHED || ses[1].state == FLUSHED) ->
               for (j : 0 .. SESSIONS - 1) {
                   if
                   :: ses[j].state == FLUSHED -> become_visible(j)
                   :: else
                   fi
               }
               safe = (rows[0] > 0) | (rows[1] > 0) << 1
       }

       /* the standby takes over, with what it has */

    :: d_step {
           faults > 0 ->
               faults--;
               for (i : 0 .. HITS - 1) {
                   rows[i] = ((safe & BIT(i)) -> 1 : 0)
               }
               end_sessions()
       }
#endif
    od
}


/* ------------------------------------------------------------ the verdict */

init
{
    select(faults : 0 .. FAULTS);

    atomic {
        run Worker(0);
        run Worker(1);
        run Session(0);
        run Session(1);
        run Server()
    }

    /* nothing is left to do */

    timeout ->
        d_step {
            for (i : 0 .. HITS - 1) {
                lost = (answered & BIT(i)) && rows[i] == 0;
                assert(!lost)
            }

            stuck = (named || wrk[0].queue || wrk[1].queue
                     || wrk[0].parked || wrk[1].parked);
            assert(!stuck)
        }
}
