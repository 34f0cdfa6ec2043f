/* terminal_in.h - what the parts of terminals share: terminal.c (reading, writing, the end), termclient.c (who is attached), termkeep.c (records; what is
 * done now and then), scroll.c. */
#ifndef QT_STREAM_TERMINAL_IN_H
#define QT_STREAM_TERMINAL_IN_H

#include "buf.h"
#include "life/sessions.h"
#include "scroll.h"
#include "terminal.h"

#define SQ_TERM_QUEUE_MAX (128U << 10) /* to one client; then the terminal is not read (the writer's), or the client is closed (another's) */
#define SQ_TERM_INPUT_MAX (64U << 10)  /* to the terminal; then the client is not read */

enum { SQ_WS_REFUSED = 1008, SQ_WS_RESTART = 1012, SQ_WS_TOO_SLOW = 1013 };

struct sq_terminal {
	struct sq_terminal *next; /* in its bucket */
	struct sq *sq;
	struct qt_session x;
	struct qt_terminal ends;
	struct sq_watch end, io;
	bool paused, hung_up;
	struct qt_buf input;
	struct sq_scroll scroll;
	struct sq_client *first; /* the writer; then those who watch */
	unsigned n_clients;
	bool dirty, touching; /* the record does not know yet; it is being told */
	int64_t touched;
};

/* --- terminal.c ------------------------------------------------------------------------------------------ */

/* The one under this id, or NULL. */
struct sq_terminal *sq_terminal_find(const struct qt_id *id);
/* The terminal of X, which may be here already: then ENDS, new ends of it, are not needed, and stay as they are. NULL without memory. */
struct sq_terminal *sq_terminal_of(struct sq *sq, const struct qt_session *x, struct qt_terminal *ends);
void sq_terminal_each(void (*fn)(struct sq_terminal *t));
/* Something was typed or shown. */
void sq_terminal_active(struct sq_terminal *t);
/* What is typed; false: enough for now. */
bool sq_terminal_type(struct sq_terminal *t, const void *data, size_t len);
void sq_terminal_resize(struct sq_terminal *t, unsigned cols, unsigned rows);
void sq_terminal_signal(struct sq_terminal *t, int sig);
/* The writer has taken what there was, or is another one. */
void sq_terminal_go_on(struct sq_terminal *t);

/* --- termclient.c ---------------------------------------------------------------------------------------- */

/* A new one, the last of T's. */
struct sq_client *sq_client_new(struct sq_terminal *t, struct lws *wsi);
/* What T shows, to all of its clients. */
void sq_clients_show(struct sq_terminal *t, struct sq_blob *b);
/* T has ended: LAST (stolen) is what they hear, and then they are closed. */
void sq_clients_end(struct sq_terminal *t, json_t *last);
void sq_clients_close(struct sq_terminal *t, int code);
/* Bytes that wait for the writer. */
size_t sq_writer_queued(const struct sq_terminal *t);
/* The writer is read again. */
void sq_writer_wake(struct sq_terminal *t);

/* --- termkeep.c ------------------------------------------------------------------------------------------ */

/* Tell the record, or that the session has ended. */
void sq_terminal_record(struct sq_terminal *t, bool end);

#endif
