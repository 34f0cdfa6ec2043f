#include <stdio.h>
#include <string.h>

#include "gui.h"
#include "strv.h"

int qt_strv_words(struct rt_strv *ret, char *buf, size_t size, const json_t *command, struct qt_err *e)
{
	json_t *word;
	size_t i;

	*ret = (struct rt_strv){buf, 0, 0};
	json_array_foreach(command, i, word)
		if (!rt_strv_add(ret, buf, size, json_string_value(word)))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/command", "fewer bytes", "the command is too long");
	return 0;
}

int qt_strv_argv(struct rt_strv *ret, char *buf, const json_t *command, struct qt_err *e)
{
	return qt_strv_words(ret, buf, QT_STRV_BYTES, command, e);
}

int qt_strv_command(struct rt_strv *ret, char *buf, const struct qt_ctr *c, struct qt_err *e)
{
	if (qt_strv_argv(ret, buf, c->command, e) < 0)
		return -1;
	if (ret->n == 0 && qt_ctr_has_gui(c))
		(void)rt_strv_add(ret, buf, QT_STRV_BYTES, QT_GUI_COMMAND);
	return 0;
}

static int add(struct rt_strv *v, char *buf, const char *name, const char *value, struct qt_err *e)
{
	size_t n = strlen(name), m = strlen(value);
	char *at = buf + v->len;

	if (v->len + n + m + 2 > QT_STRV_BYTES)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/environment", "at most 16384 bytes in all",
				     "the environment is too large");
	memcpy(at, name, n);
	at[n] = '=';
	memcpy(at + n + 1, value, m + 1);
	v->len += (uint32_t)(n + m + 2);
	v->n++;
	return 0;
}

/* What others set is left out here. */
static int add_map(struct rt_strv *v, char *buf, const json_t *map, const json_t *a, const json_t *b, struct qt_err *e)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)map, name, value)
		if (!json_object_get(a, name) && !json_object_get(b, name) && add(v, buf, name, json_string_value(value), e) < 0)
			return -1;
	return 0;
}

int qt_strv_env(struct rt_strv *ret, char *buf, const struct qt_ctr *c, const json_t *over, struct qt_err *e)
{
	const struct { const char *name, *value; } given[] = {
		{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"HOME", c->user[0] ? NULL : "/root"}, /* another user's home the init knows */
		{"HOSTNAME", c->name},
	};

	*ret = (struct rt_strv){buf, 0, 0};
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		if (given[i].value && !json_object_get(c->image_env, given[i].name) && !json_object_get(c->environment, given[i].name) &&
		    !json_object_get(over, given[i].name) && add(ret, buf, given[i].name, given[i].value, e) < 0)
			return -1;
	return add_map(ret, buf, c->image_env, c->environment, over, e) < 0 || add_map(ret, buf, c->environment, over, NULL, e) < 0 ||
			       add_map(ret, buf, over, NULL, NULL, e) < 0
		       ? -1
		       : 0;
}
