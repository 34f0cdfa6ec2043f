/* termmsg.h - what a client of a terminal says in text (contract 11.2). Pure. */
#ifndef QT_STREAM_TERMMSG_H
#define QT_STREAM_TERMMSG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define QT_TERM_TEXT_MAX 4096 /* bytes of one message */

enum qt_term_kind { QT_TERM_BAD, QT_TERM_RESIZE, QT_TERM_PING, QT_TERM_SIGNAL };

struct qt_term_msg {
	enum qt_term_kind kind;
	unsigned cols, rows; /* of RESIZE */
	int signal;	     /* of SIGNAL */
	json_t *ts;	     /* of PING: as it came, or null; a reference of the caller's */
};
/* Never fails: what is not a message is QT_TERM_BAD. */
void qt_term_parse(const char *text, size_t len, struct qt_term_msg *ret);

#endif
