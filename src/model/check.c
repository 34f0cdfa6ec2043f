#include <string.h>

#include "check.h"
#include "cleanup.h"
#include "model.h"
#include "str.h"

static bool alnum(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool qt_made_of(const char *s, const char *extra)
{
	for (; *s; s++)
		if (!alnum(*s) && !strchr(extra, *s))
			return false;
	return true;
}

#define NAME_RULE "1 to 63 letters, digits, \"_\", \".\" or \"-\", the first one a letter or digit"

int qt_check_name(const char *field, const char *name, struct qt_err *e)
{
	/* They are literals where a container's id or name stands in a route. */
	static const char *const reserved[] = {"help", "examples", "health", "batch", "by-name"};

	if (!alnum(name[0]) || strlen(name) > QT_NAME_MAX || !qt_made_of(name, "_.-"))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, NAME_RULE, "the name is not acceptable");
	for (size_t i = 0; i < QT_LEN(reserved); i++)
		if (qt_streq(name, reserved[i]))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, NAME_RULE, "the name \"%s\" is reserved", name);
	if (qt_starts(name, "ctr_"))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, NAME_RULE,
				     "a name must not look like a container id: it cannot begin with \"ctr_\"");
	return 0;
}

/* The next component of *P into PART (empty at the end); false if it does not fit. */
static bool next_part(const char **p, char *part, size_t size)
{
	size_t n;

	*p += strspn(*p, "/");
	n = strcspn(*p, "/");
	if (n >= size)
		return false;
	memcpy(part, *p, n);
	part[n] = '\0';
	*p += n;
	return true;
}

bool qt_normal_path(char *out, size_t size, const char *path)
{
	char part[256];
	size_t len = 0;

	if (*path != '/')
		return false;
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	out[0] = '\0';
	for (;;) {
		if (!next_part(&path, part, sizeof(part)) || qt_streq(part, ".."))
			return false;
		if (part[0] == '\0')
			return true;
		if (qt_streq(part, "."))
			continue;
		if (!qt_fmt(out + len, size - len, "/%s", part))
			return false;
		len += strlen(out + len);
	}
}

bool qt_path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

int qt_check_workdir(const char *field, const char *path, struct qt_err *e)
{
	static const char *const closed[] = {"/proc",	 "/sys",	"/dev",	       "/root",	      "/boot",	      "/var/run",
					     "/var/log", "/etc/passwd", "/etc/shadow", "/etc/sudoers"};
	char normal[QT_WORKDIR_MAX + 1];

	if (strlen(path) > QT_WORKDIR_MAX || !qt_normal_path(normal, sizeof(normal), path))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "an absolute path without \"..\", at most 511 bytes",
				     "the working directory is not acceptable");
	for (size_t i = 0; i < QT_LEN(closed); i++)
		if (qt_path_below(normal, closed[i]))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "a directory of your own, such as /app",
					     "%s cannot be a working directory", closed[i]);
	return 0;
}

#define ENV_RULE "a letter or \"_\", then letters, digits, \"_\", \".\" or \"-\"; at most 255 bytes"

int qt_check_env(const char *field, const char *name, const char *value, bool exec, struct qt_err *e)
{
	/* What decides which code runs: a container's map may not, since the platform sets them; an exec's may not, since a loader
	 * variable there is how a wrapper is subverted. A trailing '*' matches any rest. */
	static const struct {
		const char *name;
		bool in_map, in_exec;
	} refused[] = {
		{"PATH", true, false},	     {"HOME", true, false},	     {"USER", true, false},	  {"SHELL", true, false},
		{"LD_*", true, true},	     {"GLIBC_TUNABLES", true, true}, {"MALLOC_*", false, true}, {"PYTHONPATH", false, true},
		{"PERL5LIB", false, true},   {"RUBYLIB", false, true},	     {"NODE_PATH", false, true},
	};

	if (alnum(name[0]) ? (name[0] >= '0' && name[0] <= '9') : name[0] != '_')
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, ENV_RULE, "the variable's name is not acceptable");
	if (strlen(name) > 255 || !qt_made_of(name, "_.-"))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, ENV_RULE, "the variable's name is not acceptable");
	for (size_t i = 0; i < QT_LEN(refused); i++) {
		const char *r = refused[i].name;
		size_t n = strcspn(r, "*");
		bool hit = r[n] == '*' ? strncmp(name, r, n) == 0 : qt_streq(name, r);

		if (hit && (exec ? refused[i].in_exec : refused[i].in_map))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "any variable but those of the platform and the loader",
					     "the variable %s cannot be set", name);
	}
	if (strlen(name) + strlen(value) + 2 > QT_ARGV_BYTES)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "at most 16384 bytes in all", "the variable %s is too long",
				     name);
	return 0;
}
