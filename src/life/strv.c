#include <stdio.h>
#include <string.h>

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

int qt_strv_env(struct rt_strv *ret, char *buf, const char *hostname, const json_t *map, const json_t *over, struct qt_err *e)
{
	const struct { const char *name, *value; } given[] = {
		{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"HOME", "/root"},
		{"HOSTNAME", hostname},
	};
	const char *name;
	json_t *value;

	*ret = (struct rt_strv){buf, 0, 0};
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		if (!json_object_get(map, given[i].name) && !json_object_get(over, given[i].name) &&
		    add(ret, buf, given[i].name, given[i].value, e) < 0)
			return -1;
	json_object_foreach((json_t *)(uintptr_t)map, name, value)
		if (!json_object_get(over, name) && add(ret, buf, name, json_string_value(value), e) < 0)
			return -1;
	if (over)
		json_object_foreach((json_t *)(uintptr_t)over, name, value)
			if (add(ret, buf, name, json_string_value(value), e) < 0)
				return -1;
	return 0;
}
