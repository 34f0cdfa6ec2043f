/* route.h - what a route is. The tables stand in routes_*.c, one a concern; everything else is printed from them. */
#ifndef QT_ROUTE_H
#define QT_ROUTE_H

#include "call.h"
#include "dec.h"

enum qt_scope {
	QT_SCOPE_NOBODY, /* zero: a forgotten field refuses */
	QT_SCOPE_PUBLIC,
	QT_SCOPE_TENANT,
};

enum {
	QT_R_SLOW = 1 << 0,	  /* may block: served by the other pool */
	QT_R_NO_TYPE = 1 << 1,	  /* the body's content type does not matter (no body is read into the handler) */
	QT_R_EMPTY_OK = 1 << 2,	  /* an absent body is {} */
	QT_R_TEXT_TOO = 1 << 3,	  /* may answer text/markdown */
	QT_R_STREAM = 1 << 4,	  /* served by quilt-stream */
	QT_R_FOLLOW = 1 << 5,	  /* so with ?follow=true */
	QT_R_TOKEN = 1 << 6,	  /* takes the API key as ?token=, too, for clients that cannot set headers */
	QT_R_GUI = 1 << 7,	  /* of the container {id}: a pass (gui_pass.h) opens it, too */
	QT_R_BYTES_TOO = 1 << 8,  /* may answer application/octet-stream */
	QT_R_UPLOAD = 1 << 9,	  /* the body is an archive, raw or in JSON, and goes to a file (upload.h) */
	QT_R_ENDS = 1 << 10,	  /* makes room: has some where a tenant's other slow requests have none (share.h) */
};

enum qt_qkind {
	QT_Q_STR,
	QT_Q_U64,
	QT_Q_BOOL,
	QT_Q_WORD,
	QT_Q_LABEL, /* key=value, as QT_Q_STR; may be there several times */
	QT_Q_WORDS, /* as QT_Q_WORD; may be there several times */
};

/* A parameter of the query. Unknown ones are ignored, as every HTTP API does; a known one that is wrong is VALIDATION_ERROR. */
struct qt_qfield {
	const char *name;
	enum qt_qkind kind;
	uint64_t min, max;
	const char *const *words; /* NULL-ended, of QT_Q_WORD and QT_Q_WORDS */
	const char *doc;
};

/* A member of the reply, for the schema. `type` is a JSON type, several separated by "|"; OF is the schema of the object, or of the
 * array's items; NULL: any. */
struct qt_reply;
struct qt_rfield {
	const char *name, *type;
	bool optional;
	const struct qt_reply *of;
};
struct qt_reply {
	const char *name; /* of the schema among the components */
	const struct qt_rfield *fields; /* ends with name NULL */
};

#define QT_ERRS_MAX 16

struct qt_route {
	const char *id, *method, *path, *summary; /* path: literals, {names}, and as the last one {rest*}: one segment or more */
	enum qt_scope scope;
	unsigned flags;
	const struct qt_field *body; /* NULL: none is read */
	size_t body_size;
	const void *body_defaults;
	const struct qt_qfield *query; /* NULL: none */
	int ok, also_ok; /* statuses of success; also_ok 0: no other */
	const struct qt_reply *reply, *also_reply;
	const char *const *types; /* NULL-ended, of the success, where it is not (only) JSON by `reply` */
	unsigned budget_ms; /* the longest that the handler may take; documented as x-budget-ms */
	enum qt_code errors[QT_ERRS_MAX]; /* besides those that every route of its scope can answer; 0-ended */
	int (*fn)(struct qt_call *c, struct qt_err *e);
};

/* A concern's table: ends with id NULL. */
extern const struct qt_route qt_routes_containers[];
extern const struct qt_route qt_routes_files[];
extern const struct qt_route qt_routes_gui[];
extern const struct qt_route qt_routes_jobs[];
extern const struct qt_route qt_routes_network[];
extern const struct qt_route qt_routes_operations[];
extern const struct qt_route qt_routes_stream[];
extern const struct qt_route qt_routes_snapshots[];
extern const struct qt_route qt_routes_system[];
extern const struct qt_route qt_routes_images[];
extern const struct qt_route qt_routes_terminal[];
extern const struct qt_route qt_routes_volumes[];

/* All tables, NULL-ended. */
extern const struct qt_route *const qt_route_tables[];

/* Does the pattern PATH fit SEGMENTS (NULL-ended)? PARAMS gets pointers into them; for {rest*} the first of the rest. SCORE tells how well:
 * a literal at an early place beats all behind it, and a {name} beats {rest*}. */
bool qt_path_match(const char *path, const char *const *segments, const char **params, unsigned *score);

/* For the {rest*} of PATH: its segments. */
const char *const *qt_path_rest(const char *path, const char *const *segments);

/* The route of METHOD and the path's SEGMENTS (NULL-ended); PARAMS gets pointers into them. Literal segments win over parameters.
 * NOT_FOUND; METHOD_NOT_ALLOWED with ALLOW filled. HEAD is GET. */
const struct qt_route *qt_route_find(const char *method, const char *const *segments, const char **params, char *allow,
				     size_t allow_size, struct qt_err *e);

/* Calls FN for every route. */
void qt_route_each(void (*fn)(const struct qt_route *r, void *arg), void *arg);

/* The codes that any route may answer, for its scope and its body; 0-ended. */
const enum qt_code *qt_common_errors(const struct qt_route *r);

/* True if CODE is documented for R. */
bool qt_route_may(const struct qt_route *r, enum qt_code code);

/* A complaint about the tables, or NULL: no scope, no summary, shadowed by an earlier row, body without size … */
const char *qt_routes_selfcheck(void);

#endif
