/* dispatch.h - the one pipeline that every request takes. */
#ifndef QT_DISPATCH_H
#define QT_DISPATCH_H

#include "call.h"
#include "gui_pass.h"

/* What the front end (fcgi.c) read. Texts are "" when absent. */
struct qt_in {
	const char *method, *uri, *content_type, *accept, *tenant_header, *idempotency_key;
	const char *tenant, *key_id, *plan; /* from nginx; NULL if it did not ask who this is */
	const char *last_event_id;
	struct qt_upgrade upgrade;
	const char *request_id;
	const char *body;
	size_t body_len;
	bool body_too_large;
	bool streams; /* the caller is quilt-stream, and takes what a handler begins */
	/* Of an upload, instead: how many bytes there are, and how to get them (as read(2)). */
	uint64_t length;
	int (*read)(void *arg, char *buf, size_t size);
	void *read_arg;
	bool (*gone)(void *arg);
	void *gone_arg;
};

/* What goes out. The text is the caller's to free(), the file to be done and freed. */
struct qt_out {
	int status;
	char *text;
	struct qt_file *file; /* not NULL: the body is what it holds, and there is no text */
	size_t len;
	const char *type;
	char type_text[64];   /* where type may point */
	bool replayed;	      /* the answer of an earlier request with the same Idempotency-Key */
	char allow[64];	      /* Allow, or "" */
	int retry_after;      /* seconds, or 0 */
	const char *route_id; /* for the log */
	enum qt_code code;    /* QT_OK or the error's */
	struct qt_begun begun; /* kind QT_BEGUN_NOTHING: the text is the answer */
};

/* Find the row -> identity -> Idempotency-Key -> content type, length -> parse -> decode -> query -> handler -> encode. Always fills OUT; logs an error
 * that the client may not see, and one that the route does not document, under the request's id. */
void qt_dispatch(struct qt_life *l, const struct qt_in *in, struct qt_out *out);

/* Who serves a request, and the key in its URL. The quick pool answers what is no route. */
enum qt_pool { QT_POOL_QUICK, QT_POOL_SLOW, QT_POOL_STREAM };
struct qt_look {
	enum qt_pool pool;
	unsigned flags; /* of the route: QT_R_… */
	unsigned n_token; /* how often ?token= came, where the route takes it */
	char token[132];
	bool is_gui;	      /* of QT_R_GUI: */
	struct qt_id container;
	char link[QT_GUI_PASS_MAX]; /* ?gui_token=, "": none */
};
void qt_dispatch_look(const char *method, const char *raw_uri, struct qt_look *ret);
/* The flags of the route alone: QT_R_UPLOAD, where its body goes. 0 for what is no route. */
unsigned qt_dispatch_flags(const char *method, const char *raw_uri);

/* An answer for the error E alone (nginx's refusals). */
void qt_answer_error(const struct qt_err *e, const char *request_id, struct qt_out *out);

#endif
