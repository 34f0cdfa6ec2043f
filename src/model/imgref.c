#include <ctype.h>
#include <string.h>

#include "img.h"
#include "num.h"
#include "str.h"

#define RULE "[registry[:port]/]repository[:tag][@sha256:…]"

static int bad(const char *field, const char *why, struct qt_err *e)
{
	return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, RULE, "%s", why);
}

bool qt_digest_ok(const char *text)
{
	return qt_starts(text, "sha256:") && strspn(text + 7, "0123456789abcdef") == 64 && text[7 + 64] == '\0';
}

static bool tag_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > QT_TAG_MAX || s[0] == '.' || s[0] == '-')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
			return false;
	return true;
}

/* Components of lower-case letters and digits, with separators only between them. */
static bool repository_ok(const char *s)
{
	bool between = false; /* the last was a letter or digit */

	for (; *s; s++) {
		if (islower((unsigned char)*s) || isdigit((unsigned char)*s)) {
			between = true;
		} else if (!strchr("._-/", *s) || !between) {
			return false;
		} else {
			while (*s == '-' && s[1] == '-')
				s++;
			if (*s == '_' && s[1] == '_')
				s++;
			between = false;
		}
	}
	return between;
}

static bool registry_ok(const char *s)
{
	const char *colon = strchr(s, ':');
	size_t n = colon ? (size_t)(colon - s) : strlen(s);
	uint32_t port;

	if (n == 0 || n > 253 || s[0] == '-' || s[0] == '.' || (colon && !qt_u32(&port, colon + 1, 1, 65535)))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '-' && (s[i] != '.' || s[i + 1] == '.'))
			return false;
	return true;
}

/* The first component names a registry if it could not be one of a repository's. */
static void take_registry(struct qt_imgref *r, char **rest)
{
	char *slash = strchr(*rest, '/');

	(void)qt_copy(r->registry, sizeof(r->registry), "docker.io");
	if (!slash)
		return;
	*slash = '\0';
	if (strchr(*rest, '.') || strchr(*rest, ':') || qt_streq(*rest, "localhost")) {
		(void)qt_copy(r->registry, sizeof(r->registry), *rest);
		*rest = slash + 1;
	}
	*slash = '/';
	for (char *p = r->registry; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (qt_streq(r->registry, "index.docker.io") || qt_streq(r->registry, "registry-1.docker.io"))
		(void)qt_copy(r->registry, sizeof(r->registry), "docker.io");
}

int qt_imgref_parse(const char *field, const char *text, struct qt_imgref *ret, struct qt_err *e)
{
	char copy[QT_IMAGE_MAX + 1], *rest = copy, *at, *colon;
	struct qt_imgref r = {0};
	bool library;

	if (!qt_copy(copy, sizeof(copy), text))
		return bad(field, "the reference is too long", e);
	at = strchr(copy, '@');
	if (at) {
		*at++ = '\0';
		if (!qt_digest_ok(at))
			return bad(field, "the digest is not sha256: and 64 hexadecimal digits in lower case", e);
		(void)qt_copy(r.digest, sizeof(r.digest), at);
	}
	take_registry(&r, &rest);
	colon = strchr(rest, ':');
	if (colon)
		*colon++ = '\0';
	if (colon && !tag_ok(colon))
		return bad(field, "the tag is not acceptable", e);
	(void)qt_copy(r.tag, sizeof(r.tag), colon ? colon : at ? "" : "latest");
	if (!registry_ok(r.registry))
		return bad(field, "the registry is not a host, or host:port", e);
	if (!repository_ok(rest))
		return bad(field, "the repository is not acceptable: lower-case letters, digits, and . _ - between them", e);
	library = qt_streq(r.registry, "docker.io") && !strchr(rest, '/');
	if (!qt_fmt(r.repository, sizeof(r.repository), "%s%s", library ? "library/" : "", rest) ||
	    !qt_fmt(r.text, sizeof(r.text), "%s/%s%s%s%s%s", r.registry, r.repository, r.tag[0] ? ":" : "", r.tag, r.digest[0] ? "@" : "", r.digest))
		return bad(field, "the reference is too long", e);
	*ret = r;
	return 0;
}
