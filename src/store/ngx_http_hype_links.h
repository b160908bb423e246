
/*
 * Links, from the cache or else from PostgreSQL: all identifiers that a
 * worker's requests ask for meanwhile in one query, each of them once, and
 * not while another worker asks for it.
 */


#ifndef _NGX_HTTP_HYPE_LINKS_H_INCLUDED_
#define _NGX_HTTP_HYPE_LINKS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_cache.h"
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_event.h"
#include "ngx_http_hype_park.h"
#include "ngx_http_hype_identifier.h"


typedef struct {
    ngx_http_hype_ident_t     ident;
    ngx_http_hype_cache_t    *cache;
    ngx_http_hype_db_t       *db;
    ngx_http_hype_park_t     *park;

    ngx_rbtree_t              rbtree;     /* all of them, by identifier */
    ngx_rbtree_node_t         sentinel;
    ngx_queue_t               pending;
    ngx_queue_t               flight;     /* in the query under way */
    ngx_queue_t               foreign;    /* in another worker's query */
    ngx_event_t               poll;       /* whether that has a result */
    ngx_msec_t                sent;
    ngx_msec_t                since;      /* all may have changed, or 0 */
    ngx_event_t               distrust;   /* until all may be distrusted, */
    ngx_uint_t                distrusted; /* again, if anything came */
} ngx_http_hype_links_t;


/* an identifier that is looked up, and who waits for it */

typedef struct {
    ngx_str_node_t            node;       /* the first, to be cast */
    ngx_queue_t               queue;
    ngx_queue_t               waits;
    ngx_uint_t                changed;    /* since it was asked for */
    u_char                    data[NGX_HTTP_HYPE_IDENTIFIER_MAX];
} ngx_http_hype_lookup_t;


/* In zeroed memory.  No link is looked up yet. */

void ngx_http_hype_links_init(ngx_http_hype_links_t *links,
    ngx_http_hype_cache_t *cache, ngx_http_hype_db_t *db,
    ngx_http_hype_park_t *park);

/*
 * Finds a link by a valid identifier.  The caller has set the "pool" of "wait",
 * and "result", an ngx_http_hype_link_t.
 *
 * NGX_OK: the link, or that there is none, is in wait->result; it may be stale
 *     while the database is unavailable.
 * NGX_DECLINED: nothing is known about it now.
 * NGX_AGAIN: the request is parked; wait->status is one of these two, or
 *     NGX_ERROR, when it is resumed.
 * NGX_ERROR: memory ran out.
 */

ngx_int_t ngx_http_hype_links_find(ngx_http_hype_links_t *links,
    ngx_str_t *identifier, ngx_http_hype_wait_t *wait);

/* If the database is unavailable, all who wait go on with what they have. */

void ngx_http_hype_links_release(ngx_http_hype_links_t *links);

/* A link has changed, or with an empty string: anything may have. */

void ngx_http_hype_links_changed(ngx_http_hype_links_t *links,
    ngx_str_t *identifier);

/*
 * Gets a link from the cache; trusts what was loaded since changes are heard,
 * and since all may have changed.  Returns as ngx_http_hype_cache_get() does.
 */

ngx_int_t ngx_http_hype_links_cached(ngx_http_hype_links_t *links,
    ngx_str_t *identifier, ngx_pool_t *pool, ngx_http_hype_link_t *link);

/* The look-up of an identifier that is under way, or NULL. */

ngx_http_hype_lookup_t *ngx_http_hype_links_known(
    ngx_http_hype_links_t *links, ngx_str_t *identifier);

/*
 * End a look-up and free it, or all in a queue.  Those who wait get a copy of
 * the link, or with NULL, as "fail" does it, go on with what they have.
 */

void ngx_http_hype_links_wake(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup, ngx_http_hype_link_t *link);
void ngx_http_hype_links_fail(ngx_http_hype_links_t *links,
    ngx_queue_t *queue);

/* Frees a look-up that nobody waits for. */

void ngx_http_hype_links_free(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup);


/* ngx_http_hype_links_query.c: what is asked of PostgreSQL */

/* Handler of the event "poll". */

void ngx_http_hype_links_poll_handler(ngx_event_t *ev);

/* Sends a query on an idle connection.  Returns 1, or 0 if there is none. */

ngx_uint_t ngx_http_hype_links_work(ngx_http_hype_links_t *links,
    ngx_http_hype_db_conn_t *conn);


#endif /* _NGX_HTTP_HYPE_LINKS_H_INCLUDED_ */
