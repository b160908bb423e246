
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_relay.h"


/* milliseconds for a call */
#define NGX_HTTP_HYPE_RELAY_TIMEOUT  5000


static void ngx_http_hype_relay_handler(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);


void
ngx_http_hype_relay_watch(ngx_http_hype_relay_t *relay)
{
    /* who does not listen trusts no link */

    if (relay->db->relayed && relay->db->listening) {
        relay->pending = 1;

        ngx_http_hype_db_wake(relay->db, NGX_HTTP_HYPE_DB_PAGES);
    }
}


ngx_uint_t
ngx_http_hype_relay_work(ngx_http_hype_relay_t *relay,
    ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_statement_t  st;

    if (!relay->pending || ngx_exiting) {
        return 0;
    }

    relay->pending = 0;
    relay->conn = conn;

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.sql = "SELECT hype.relay()";
    st.timeout = NGX_HTTP_HYPE_RELAY_TIMEOUT;
    st.optional = 1;
    st.handler = ngx_http_hype_relay_handler;
    st.data = relay;

    ngx_http_hype_db_send(conn, &st);

    return 1;
}


static void
ngx_http_hype_relay_handler(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_relay_t *relay = data;

    if (outcome == NGX_HTTP_HYPE_DB_REFUSED) {

        /* what it was told may be lost: a new session has all asked again */

        ngx_http_hype_db_renew(relay->conn);
    }
}
