#include <string.h>

#include "cleanup.h"
#include "image.h"
#include "num.h"
#include "str.h"

bool rt_image_name_ok(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n <= RT_IMAGE_NAME_MAX && name[n] == '\0' && name[0] != '.' && name[0] != '-';
}

bool rt_image_hex_ok(const char *hex)
{
	return strspn(hex, "0123456789abcdef") == RT_IMAGE_HEX && hex[RT_IMAGE_HEX] == '\0';
}

bool rt_image_version_ok(const char *text)
{
	const char *at = strchr(text, '@');
	char name[RT_IMAGE_NAME_MAX + 1] = "";

	if (!at || (size_t)(at - text) >= sizeof(name) || !rt_image_hex_ok(at + 1))
		return false;
	memcpy(name, text, (size_t)(at - text));
	return rt_image_name_ok(name);
}

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r");
	n = strlen(s);
	while (n > 0 && strchr(" \t\r", s[n - 1]))
		s[--n] = '\0';
	return s;
}

static int add_require(struct rt_image *img, const char *path, struct qt_err *e)
{
	size_t len = strlen(path) + 1;

	if (path[0] != '/')
		return qt_fail(e, QT_E_VALIDATION_ERROR, "require takes an absolute path");
	if (len > sizeof(img->require) - img->require_len)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "too many require lines");
	memcpy(img->require + img->require_len, path, len);
	img->require_len += len;
	return 0;
}

static int set(struct rt_image *img, const char *name, const char *value, struct qt_err *e)
{
	const struct {
		const char *name;
		char *at;
		size_t size;
	} texts[] = {
		{"name", img->name, sizeof(img->name)},
		{"version", img->version, sizeof(img->version)},
		{"digest", img->digest, sizeof(img->digest)},
		{"kind", img->kind, sizeof(img->kind)},
		{"config", img->config, sizeof(img->config)},
		{"layer", img->layer, sizeof(img->layer)},
		{"tree", img->tree, sizeof(img->tree)},
	};

	if (qt_streq(name, "require"))
		return add_require(img, value, e);
	if (qt_streq(name, "size_bytes"))
		return qt_u64(&img->size_bytes, value, 0, UINT64_MAX)
			       ? 0
			       : qt_fail(e, QT_E_VALIDATION_ERROR, "size_bytes takes a number");
	for (size_t i = 0; i < QT_LEN(texts); i++) {
		if (!qt_streq(name, texts[i].name))
			continue;
		if (texts[i].at[0])
			return qt_fail(e, QT_E_VALIDATION_ERROR, "%s is set twice", name);
		if (!qt_copy(texts[i].at, texts[i].size, value))
			return qt_fail(e, QT_E_VALIDATION_ERROR, "%s is too long", name);
		return 0;
	}
	return qt_fail(e, QT_E_VALIDATION_ERROR, "there is no member \"%.40s\"", name);
}

int rt_image_parse(struct rt_image *ret, char *text, size_t len, struct qt_err *e)
{
	struct rt_image img = {.name = ""};
	unsigned number = 0;
	char *save;

	if (strlen(text) != len)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "image.conf holds a NUL");
	for (char *line = text; line; line = save) {
		char *name, *eq;

		save = strchr(line, '\n');
		if (save)
			*save++ = '\0';
		number++;
		name = trim(line);
		if (*name == '\0' || *name == '#')
			continue;
		eq = strchr(name, '=');
		if (!eq)
			return qt_fail(e, QT_E_VALIDATION_ERROR, "image.conf:%u: not of the form name = value", number);
		*eq = '\0';
		if (set(&img, trim(name), trim(eq + 1), e) < 0)
			return qt_context(e, "image.conf:%u", number);
	}
	if (!rt_image_name_ok(img.name) || !img.version[0] || !img.kind[0])
		return qt_fail(e, QT_E_VALIDATION_ERROR, "image.conf must give name, version and kind");
	if ((img.layer[0] || img.config[0]) && (!rt_image_hex_ok(img.layer) || !rt_image_hex_ok(img.config)))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "image.conf: layer and config take 64 hexadecimal digits each");
	*ret = img;
	return 0;
}
