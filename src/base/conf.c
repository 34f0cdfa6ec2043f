#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "conf.h"
#include "fdio.h"
#include "installed.h"
#include "num.h"
#include "str.h"

static const struct setting {
	const char *name;
	size_t off, cap; /* cap 0: a number */
	uint64_t min, max, num;
	const char *str, *doc;
} settings[] = {
#define QT_SET_STR(n, c, d, doc) {#n, offsetof(struct qt_conf, n), c, 0, 0, 0, d, doc},
#define QT_SET_NUM(n, lo, hi, d, doc) {#n, offsetof(struct qt_conf, n), 0, lo, hi, d, NULL, doc},
#include "settings.def"
#undef QT_SET_STR
#undef QT_SET_NUM
};

static uint64_t *num_of(struct qt_conf *c, const struct setting *s)
{
	return (uint64_t *)(void *)((char *)c + s->off);
}

void qt_conf_defaults(struct qt_conf *c)
{
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < QT_LEN(settings); i++) {
		const struct setting *s = &settings[i];

		if (s->cap)
			(void)qt_copy((char *)c + s->off, s->cap, s->str);
		else
			*num_of(c, s) = s->num;
	}
}

static const struct setting *find(const char *name)
{
	for (size_t i = 0; i < QT_LEN(settings); i++)
		if (qt_streq(settings[i].name, name))
			return &settings[i];
	return NULL;
}

int qt_conf_set(struct qt_conf *c, const char *name, const char *value, struct qt_err *e)
{
	const struct setting *s = find(name);

	if (!s)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "there is no setting \"%.60s\"", name);
	if (s->cap) {
		if (strlen(value) >= s->cap)
			return qt_fail(e, QT_E_VALIDATION_ERROR, "%s takes at most %zu bytes", name, s->cap - 1);
		(void)qt_copy((char *)c + s->off, s->cap, value);
		return 0;
	}
	if (!qt_u64(num_of(c, s), value, s->min, s->max))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "%s takes a whole number from %" PRIu64 " to %" PRIu64, name,
			       s->min, s->max);
	return 0;
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

int qt_conf_load(struct qt_conf *c, const char *path, struct qt_err *e)
{
	const char *from = path ? path : QT_CONF_PATH;
	bool seen[QT_LEN(settings)] = {false};
	auto_free char *text = malloc(65536);
	char *save = NULL, *line;
	unsigned number = 0;

	qt_conf_defaults(c);
	if (!text)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (!path && access(from, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (qt_read_file(AT_FDCWD, from, text, 65536, e) < 0)
		return qt_context(e, "%s", from);
	for (line = text; line; line = save) {
		char *eq, *name;
		const struct setting *s;

		save = strchr(line, '\n');
		if (save)
			*save++ = '\0';
		number++;
		name = trim(line);
		if (*name == '\0' || *name == '#')
			continue;
		eq = strchr(name, '=');
		if (!eq)
			return qt_fail(e, QT_E_VALIDATION_ERROR, "%s:%u: not of the form name = value", from, number);
		*eq = '\0';
		name = trim(name);
		s = find(name);
		if (s && seen[s - settings])
			return qt_fail(e, QT_E_VALIDATION_ERROR, "%s:%u: %s is set twice", from, number, name);
		if (qt_conf_set(c, name, trim(eq + 1), e) < 0)
			return qt_context(e, "%s:%u", from, number);
		seen[s - settings] = true;
	}
	return 0;
}

int qt_conf_load_as(struct qt_conf *c, const char *path, const char *secret, struct qt_err *e)
{
	if (qt_conf_load(c, path, e) < 0)
		return -1;
	if (secret && !qt_copy(c->redis_secret_file, sizeof(c->redis_secret_file), secret))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the path of the secret for Redis is too long");
	return 0;
}

void qt_conf_dump(const struct qt_conf *c, FILE *out, bool doc)
{
	for (size_t i = 0; i < QT_LEN(settings); i++) {
		const struct setting *s = &settings[i];

		if (doc && s->cap)
			fprintf(out, "# %s (default: %s)\n", s->doc, *s->str ? s->str : "empty");
		else if (doc)
			fprintf(out, "# %s (%" PRIu64 " to %" PRIu64 ", default %" PRIu64 ")\n", s->doc, s->min, s->max,
				s->num);
		if (s->cap)
			fprintf(out, "%s = %s\n", s->name, (const char *)c + s->off);
		else
			fprintf(out, "%s = %" PRIu64 "\n", s->name, *num_of((struct qt_conf *)(uintptr_t)c, s));
	}
}
