
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_db_conn.h"


ngx_int_t
ngx_http_hype_db_cancel(ngx_http_hype_db_conn_t *conn)
{
    if (conn->cancelled || conn->canceller.running) {
        return NGX_DECLINED;
    }

    conn->cancel = PQgetCancel(conn->pg);

    if (conn->cancel == NULL
        || ngx_http_hype_thread_start(conn->db->threads, &conn->canceller)
           != NGX_OK)
    {
        PQfreeCancel(conn->cancel);
        return NGX_ERROR;
    }

    conn->cancelling = 1;
    conn->cancelled = 1;

    return NGX_OK;
}


/* it waits for a server that does not answer as long as the kernel does */

void
ngx_http_hype_db_cancel_thread(void *data)
{
    ngx_http_hype_db_conn_t *conn = data;

    if (PQcancel(conn->cancel, conn->cancel_error,
                 sizeof(conn->cancel_error)))
    {
        conn->cancel_error[0] = '\0';
    }
}


void
ngx_http_hype_db_cancel_done(void *data)
{
    ngx_http_hype_db_conn_t *conn = data;

    PQfreeCancel(conn->cancel);

    if (conn->cancel_error[0]) {
        ngx_http_hype_db_log(conn,
                             "could not send a cancel request to PostgreSQL",
                             conn->cancel_error);
    }

    if (!conn->cancelling) {
        return;
    }

    conn->cancelling = 0;

    if (conn->state == NGX_HTTP_HYPE_DB_IDLE && !conn->next.posted) {
        ngx_http_hype_db_next_handler(&conn->next);
    }
}
