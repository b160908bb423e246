
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_db_conn.h"


/* the names of these states in hype_status */

static const ngx_http_hype_connections_e  ngx_http_hype_db_states[] = {
    NGX_HTTP_HYPE_CONNECTIONS_CLOSED,
    NGX_HTTP_HYPE_CONNECTIONS_CONNECTING,      /* resolving */
    NGX_HTTP_HYPE_CONNECTIONS_CONNECTING,
    NGX_HTTP_HYPE_CONNECTIONS_CONNECTING,      /* set-up */
    NGX_HTTP_HYPE_CONNECTIONS_PAUSED,
    NGX_HTTP_HYPE_CONNECTIONS_IDLE,
    NGX_HTTP_HYPE_CONNECTIONS_BUSY
};


void
ngx_http_hype_db_state(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_state_e state)
{
    ngx_uint_t                    visits;
    ngx_atomic_t                 *connections;
    ngx_http_hype_connections_e   before, after;

    connections = conn->db->worker->connections;
    visits = conn->roles & NGX_HTTP_HYPE_DB_VISITS;
    before = ngx_http_hype_db_states[conn->state];
    after = ngx_http_hype_db_states[state];

    conn->state = state;

    /* connections that visitors do not need are not counted as closed */

    if (before != NGX_HTTP_HYPE_CONNECTIONS_CLOSED || visits) {
        connections[before]--;
    }

    if (after != NGX_HTTP_HYPE_CONNECTIONS_CLOSED || visits) {
        connections[after]++;
    }
}


void
ngx_http_hype_db_detach(ngx_http_hype_db_conn_t *conn, ngx_uint_t flags)
{
    ngx_connection_t  *c;

    c = conn->connection;

    if (c == NULL) {
        return;
    }

    if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, flags);
    }

    if (c->write->active) {
        (void) ngx_del_event(c->write, NGX_WRITE_EVENT, flags);
    }

    ngx_close_connection(c);

    conn->connection = NULL;
}


void
ngx_http_hype_db_deliver(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_outcome_e outcome)
{
    PGresult                      *res;
    ngx_http_hype_db_statement_t   st;

    st = conn->statement;
    res = conn->result;

    conn->result = NULL;
    ngx_memzero(&conn->statement, sizeof(ngx_http_hype_db_statement_t));

    if (st.handler) {
        st.handler(st.data, outcome, res);
    }

    PQclear(res);
}


void
ngx_http_hype_db_disconnect(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_outcome_e  outcome;

    outcome = conn->outcome;

    if (outcome == NGX_HTTP_HYPE_DB_DONE) {
        outcome = (conn->statement.copy && !conn->copied)
                  ? NGX_HTTP_HYPE_DB_RETRY : NGX_HTTP_HYPE_DB_UNKNOWN;

    } else if (conn->statement.judged && outcome < NGX_HTTP_HYPE_DB_RETRY) {

        /* refused, but without a connection there is no probe */

        outcome = NGX_HTTP_HYPE_DB_UNKNOWN;
    }

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    if (conn->next.posted) {
        ngx_delete_posted_event(&conn->next);
    }

    ngx_http_hype_db_detach(conn, NGX_CLOSE_EVENT);

    if (conn->pg) {
        PQfinish(conn->pg);
        conn->pg = NULL;
    }

    if (conn->roles & NGX_HTTP_HYPE_DB_LINKS) {
        conn->db->listening = 0;
    }

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_CLOSED);
    conn->cancelling = 0;
    conn->overdue = 0;
    conn->prepare_sent = 0;
    conn->prepared = 0;
    conn->flags = 0;
    conn->node = 0;

    ngx_http_hype_db_deliver(conn, outcome);
}


void
ngx_http_hype_db_timer(ngx_http_hype_db_conn_t *conn, ngx_msec_t timer,
    ngx_uint_t cancelable)
{
    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    conn->timer.cancelable = cancelable;

    ngx_add_timer(&conn->timer, timer);
}
