/* call.h - one request on its way: what came in, who asks, what goes out. Lives on a worker thread's stack. */
#ifndef QT_CALL_H
#define QT_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "life.h"
#include "life/sessions.h"

struct qt_file;
struct qt_route;

/* Headers of a request for a WebSocket, "" if absent; of quilt-stream alone. */
struct qt_upgrade {
	const char *to, *protocols, *origin, *host;
};

/* What the handler of a stream has begun (flag QT_R_STREAM): quilt-stream goes on with it. */
enum qt_begun_kind { QT_BEGUN_NOTHING, QT_BEGUN_EVENTS, QT_BEGUN_LOGS, QT_BEGUN_EXEC, QT_BEGUN_TERMINAL, QT_BEGUN_GUI, QT_BEGUN_KINDS };
struct qt_begun {
	enum qt_begun_kind kind;
	const char *type; /* the answer's content type */
	struct {
		struct qt_id tenant;
		struct qt_event_id after; /* what the client has seen */
		char operation[QT_ID_MAX + 1], container[QT_ID_MAX + 1], snapshot[QT_ID_MAX + 1]; /* filters, "": none */
		uint32_t kinds; /* the same: a set of enum qt_event_kind; 0: all */
	} events;
	struct {
		int fds[2]; /* the log files */
		struct qt_log_cursor at;
		struct qt_logs_want want;
		json_t *past; /* the lines that come first */
		bool sse;     /* else NDJSON */
	} logs;
	struct {
		struct qt_id container;
		struct qt_exec_running run;
		char *input; /* what did not fit into the pipe; then run.in is open */
		size_t input_len;
		uint32_t timeout_ms;
		int64_t started_ms; /* monotonic */
	} exec;
	struct {
		struct qt_session session;
		struct qt_terminal ends;
	} terminal;
	struct {
		struct qt_id tenant, container;
		int fd; /* to the X server's RFB side */
	} gui;
};

#define QT_PARAMS_MAX 3
#define QT_QUERY_MAX  16

/* Releases what nobody went on with. */
void qt_begun_done(struct qt_begun *b);

struct qt_pair {
	const char *name, *value; /* decoded, NUL-terminated */
};

struct qt_call {
	/* in */
	const char *method;
	const char *content_type, *accept; /* "" if absent */
	const char *tenant_header;	   /* X-Tenant-Id, "" if absent */
	const char *last_event_id;	   /* "" if absent */
	struct qt_upgrade upgrade;
	const char *const *path;	   /* decoded segments */
	const char *params[QT_PARAMS_MAX]; /* of the route's {names}, in order */
	const char *const *rest;	   /* of its {rest*}: segments, NULL-ended */
	struct qt_pair query[QT_QUERY_MAX];
	unsigned n_query;
	const char *body;
	size_t body_len;
	int upload;		 /* QT_R_UPLOAD: the file that the body became; -1 otherwise. The dispatcher closes it */
	char *beside;		 /* and, if it was JSON, that without the archive; owned */
	size_t beside_len;
	bool (*gone)(void *arg); /* has the client left? */
	void *gone_arg;
	char request_id[65];

	/* who, as nginx's auth subrequest found */
	struct qt_id tenant;
	char key_id[40], plan[32];

	/* found on the way */
	const struct qt_route *route;
	const void *req;  /* the decoded body, of the route's struct */
	uint64_t seen;	  /* its members */
	struct qt_life *life;

	/* out */
	int status;	   /* 0: the route's */
	json_t *reply;	   /* the handler's; owned */
	char *text;	   /* instead: free() */
	size_t text_len;   /* of it; 0: it ends at its NUL */
	const char *text_type;
	struct qt_file *file; /* instead: its bytes (life/files.h); allocated */
	char allow[64];	   /* of a 405 */
	struct qt_begun begun; /* instead of a reply */
};

#endif
