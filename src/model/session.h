/* session.h - what a terminal session is. No I/O. */
#ifndef QT_SESSION_H
#define QT_SESSION_H

#include "fields.h"

#define QT_SHELL_MAX	   255
#define QT_TERMINAL_SIZE   1000 /* columns, rows */
#define QT_SESSION_QUIET_MS 300000

/* A shell on a terminal in a container, held by the container's init under the session's id. */
struct qt_session {
	struct qt_id id, tenant, container;
	char node[40];
	char shell[QT_SHELL_MAX + 1];
	uint32_t cols, rows;
	uint32_t pid;	   /* as the container sees it */
	uint32_t attached; /* clients now */
	int64_t created_ms, last_ms /* anything typed or written */, expires_ms;
};
extern const struct qt_mtable qt_session_table;

/* The contract's object (11.1); BASE is the public URL, "" for a relative attach_url. A new reference. */
json_t *qt_session_view(const struct qt_session *s, const char *base, int64_t now_ms);

#endif
