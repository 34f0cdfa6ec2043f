/* replies.h - what the routes of several concerns answer. */
#ifndef QT_REPLIES_H
#define QT_REPLIES_H

#include "route.h"

extern const struct qt_reply qt_reply_pagination; /* {has_next, next_cursor} */
extern const struct qt_reply qt_reply_receipt;	  /* of qt_h_receipt_op() */
extern const struct qt_reply qt_reply_success;	  /* {success} */

/* The query of lists that have pages (limit, cursor), and of what may be an operation (execution). */
extern const struct qt_qfield qt_query_page[], qt_query_execution[];

#endif
