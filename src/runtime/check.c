/* What a create or a start asks for, against what the node can stand. */
#include <string.h>

#include "check.h"

#define MEMORY_MIN_MB 16
#define CPU_MIN_CENTI 1

int rt_check_hostname(const struct rt_str *s, struct qt_err *e)
{
	size_t n = strspn(s->s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (n == 0 || n > 63 || n != s->len || s->s[0] == '-' || s->s[0] == '.')
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/name", "letters, digits, '.', '_' and '-', at most 63",
				     "the host name cannot be used");
	return 0;
}

int rt_check_workdir(const struct rt_str *s, struct qt_err *e)
{
	for (uint32_t i = 0; i < s->len; i++)
		if ((unsigned char)s->s[i] < 0x20 || s->s[i] == 0x7f)
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/working_directory", "",
					     "the working directory holds a control character");
	if (s->len > 0 && s->s[0] != '/')
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/working_directory", "an absolute path",
				     "the working directory is not an absolute path");
	return 0;
}

int rt_check_words(const struct rt_strv *argv, const struct rt_strv *env, struct qt_err *e)
{
	const char *p = NULL;

	if (argv->n > 0 && argv->s[0] == '\0')
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/command", "", "the command's first word is empty");
	while ((p = rt_strv_next(env, p)))
		if (!strchr(p, '=') || p[0] == '=')
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/environment", "", "a variable has no name");
	return 0;
}

int rt_check_run(const struct rt_str *user, uint32_t stop_signal, struct qt_err *e)
{
	if (user->len > RT_USER_MAX || strspn(user->s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:") != user->len)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the user is not a name or a number, with :group");
	if (stop_signal > 64)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the stop signal is none");
	return 0;
}

/* The workers check all of this, with better words; here it is what the node can stand. */
int rt_check_limits(const struct rt *rt, uint32_t memory_mb, uint32_t cpu_centi, struct qt_err *e)
{
	if (memory_mb < MEMORY_MIN_MB || memory_mb > rt->memory_max_mb)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/memory_limit_mb", "", "memory_limit_mb must be from %u to %u",
				     MEMORY_MIN_MB, rt->memory_max_mb);
	if (cpu_centi < CPU_MIN_CENTI || cpu_centi > rt->cpus * 10000)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/cpu_limit_percent", "",
				     "cpu_limit_percent must be above 0 and at most %u", rt->cpus * 100);
	return 0;
}

int rt_check_room(const struct rt *rt, uint32_t memory_mb, struct qt_err *e)
{
	uint64_t sum = memory_mb;

	for (uint32_t i = 0; i < rt->ctrs.n; i++)
		if (rt->ctrs.v[i]->state == RT_ST_RUNNING)
			sum += rt->ctrs.v[i]->memory_mb;
	if (sum > rt->node_memory_mb)
		return qt_fail(e, QT_E_CAPACITY_FULL, "the node's memory is given away");
	return 0;
}
