/* origin.h - whose pages may open a WebSocket here (security.md V46). Pure. */
#ifndef QT_ORIGIN_H
#define QT_ORIGIN_H

#include <stdbool.h>

/* Does the comma-separated LIST hold WORD? Spaces around the words do not count. */
bool qt_list_has(const char *list, const char *word);

/* Is ORIGIN ("https://host:port") that of the API itself (the PUBLIC_URL's, or https:// and the request's HOST), or in the list ALLOWED? */
bool qt_origin_allowed(const char *origin, const char *host, const char *public_url, const char *allowed);

#endif
