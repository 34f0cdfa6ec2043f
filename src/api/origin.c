#include "origin.h"

#include <string.h>
#include <strings.h>

#include "str.h"

bool qt_list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (*list) {
		size_t n;

		list += strspn(list, ", \t");
		n = strcspn(list, ", \t");
		if (n == len && n > 0 && strncasecmp(list, word, len) == 0)
			return true;
		list += n;
	}
	return false;
}

/* Of a URL, what comes before its path. */
static bool same_origin(const char *origin, const char *url)
{
	const char *host = strstr(url, "://");
	size_t len = host ? strcspn(host + 3, "/?#") : 0, n = len ? (size_t)(host - url) + 3 + len : 0;

	return n > 0 && strlen(origin) == n && strncasecmp(origin, url, n) == 0;
}

bool qt_origin_allowed(const char *origin, const char *host, const char *public_url, const char *allowed)
{
	if (same_origin(origin, public_url) || qt_list_has(allowed, origin))
		return true;
	return strncasecmp(origin, "https://", 8) == 0 && *host && strcasecmp(origin + 8, host) == 0;
}
