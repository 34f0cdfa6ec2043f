/* path.h - the raw REQUEST_URI, taken apart: nothing else decides which route a request is for (security.md V43). */
#ifndef QT_PATH_H
#define QT_PATH_H

#include "call.h"

#define QT_SEGMENTS_MAX 64 /* of files in volumes */
#define QT_URI_MAX	8192

struct qt_uri {
	char text[QT_URI_MAX]; /* what segments and query point into */
	const char *segments[QT_SEGMENTS_MAX + 1];
	struct qt_pair query[QT_QUERY_MAX];
	unsigned n_query;
};

/* Split at '/', then decode each segment once (%2F stays inside its segment); the query likewise, '+' is a space there. BAD_REQUEST: bad
 * escapes, control characters, empty, "." or ".." segments, invalid UTF-8, a fragment, an absolute form; too many segments or
 * parameters; URI_TOO_LONG. */
int qt_uri_parse(struct qt_uri *ret, const char *raw, struct qt_err *e);

#endif
