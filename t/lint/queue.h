
/*
 * clang's analyzer does not see that what is removed from a list is not in it
 * any more, and finds it used after it was freed: for it, a list may hold
 * anything.
 */


#include <ngx_config.h>
#include <ngx_core.h>


#undef ngx_queue_head
#undef ngx_queue_last
#undef ngx_queue_remove


ngx_queue_t *ngx_queue_head(ngx_queue_t *h);
ngx_queue_t *ngx_queue_last(ngx_queue_t *h);
void ngx_queue_remove(ngx_queue_t *q);
