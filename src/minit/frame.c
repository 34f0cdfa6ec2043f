#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "frame.h"

static bool texts_ok(const char *s, uint32_t len)
{
	return len == 0 || s[len - 1] == '\0';
}

/* One absolute path and its NUL. */
static bool path_ok(const char *s, uint32_t len)
{
	return len > 1 && len <= MI_CWD_MAX && s[0] == '/' && memchr(s, '\0', len) == s + len - 1;
}

static bool id_ok(uint32_t id)
{
	return id <= MI_ID_MAX || id == MI_ID_DEFAULT;
}

/* Where the three texts lie behind a head of HEAD bytes in a message of LEN. */
static bool split(const char *msg, size_t head, size_t len, const uint32_t n[3], struct mi_run *ret)
{
	if ((uint64_t)head + n[0] + n[1] + n[2] != len)
		return false;
	*ret = (struct mi_run){.argv = msg + head, .argv_len = n[0], .env = msg + head + n[0], .env_len = n[1], .cwd = ""};
	if (n[2] > 0)
		ret->cwd = ret->env + n[1];
	return texts_ok(ret->argv, n[0]) && texts_ok(ret->env, n[1]) && (n[2] == 0 || path_ok(ret->cwd, n[2]));
}

int mi_check_request(const void *msg, size_t len, unsigned fds, struct mi_run *ret)
{
	const struct mi_msg *m = msg;
	bool exec;

	if (len < sizeof(*m) || len > MI_MSG_MAX || m->magic != MI_MAGIC)
		return EPROTO;
	if (m->kind < MI_PING || m->kind > MI_STOP)
		return ENOSYS;
	exec = m->kind == MI_EXEC;
	if (fds != (exec ? 3U : 0U))
		return EPROTO;
	if (!split(msg, sizeof(*m), len, (const uint32_t[]){m->argv_len, m->env_len, m->cwd_len}, ret))
		return EPROTO;
	if (exec ? ret->argv_len == 0 : len != sizeof(*m))
		return EPROTO;
	if (exec && ((m->flags & ~(uint32_t)MI_EXEC_MKCWD) != 0 || !id_ok(m->uid) || !id_ok(m->gid)))
		return EINVAL;
	if (m->kind == MI_SIGNAL && (m->arg < 1 || m->arg > 64))
		return EINVAL;
	return 0;
}

int mi_check_config(const void *config, size_t len, struct mi_run *ret)
{
	const struct mi_config *c = config;

	if (len < sizeof(*c) || len > MI_MSG_MAX || c->magic != MI_MAGIC || c->version != MI_VERSION)
		return EPROTO;
	if (!split(config, sizeof(*c), len, (const uint32_t[]){c->argv_len, c->env_len, c->cwd_len}, ret))
		return EPROTO;
	if (c->cwd_len == 0 || c->uid > MI_ID_MAX || c->gid > MI_ID_MAX || c->umask > 0777 || c->log_file_bytes < 1024 ||
	    c->stop_signal < 1 || c->stop_signal > 64)
		return EINVAL;
	return 0;
}
