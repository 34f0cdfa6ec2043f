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

/* Made of what ids are made of: it is compared, and shown to nobody. */
static bool key_ok(const char *s, uint32_t len)
{
	return len > 1 && len <= MI_KEY_MAX && memchr(s, '\0', len) == s + len - 1;
}

/* Where the four texts lie behind a head of HEAD bytes in a message of LEN. */
static bool split(const char *msg, size_t head, size_t len, const uint32_t n[4], struct mi_run *ret)
{
	if ((uint64_t)head + n[0] + n[1] + n[2] + n[3] != len)
		return false;
	*ret = (struct mi_run){.argv = msg + head, .argv_len = n[0], .env = msg + head + n[0], .env_len = n[1], .cwd = "", .key = ""};
	if (n[2] > 0)
		ret->cwd = ret->env + n[1];
	if (n[3] > 0)
		ret->key = ret->env + n[1] + n[2];
	return texts_ok(ret->argv, n[0]) && texts_ok(ret->env, n[1]) && (n[2] == 0 || path_ok(ret->cwd, n[2])) &&
	       (n[3] == 0 || key_ok(ret->key, n[3]));
}

static unsigned fds_of(const struct mi_msg *m)
{
	if (m->kind != MI_EXEC)
		return 0;
	return m->flags & MI_EXEC_TTY ? 0 : m->flags & MI_EXEC_KEEP ? 1 : 3;
}

static int check_exec(const struct mi_msg *m, const struct mi_run *run)
{
	const uint32_t known = MI_EXEC_MKCWD | MI_EXEC_KEEP | MI_EXEC_TTY;
	bool keep = m->flags & MI_EXEC_KEEP;

	if (run->argv_len == 0)
		return EPROTO;
	if ((m->flags & ~known) != 0 || !id_ok(m->uid) || !id_ok(m->gid) || keep != (m->key_len > 0) ||
	    ((m->flags & MI_EXEC_TTY) && !keep))
		return EINVAL;
	return 0;
}

int mi_check_request(const void *msg, size_t len, unsigned fds, struct mi_run *ret)
{
	const struct mi_msg *m = msg;

	if (len < sizeof(*m) || len > MI_MSG_MAX || m->magic != MI_MAGIC)
		return EPROTO;
	if (m->kind < MI_PING || m->kind > MI_SAVED)
		return ENOSYS;
	if (fds != fds_of(m))
		return EPROTO;
	if (!split(msg, sizeof(*m), len, (const uint32_t[]){m->argv_len, m->env_len, m->cwd_len, m->key_len}, ret))
		return EPROTO;
	if (m->kind == MI_EXEC)
		return check_exec(m, ret);
	if (m->kind == MI_ATTACH || m->kind == MI_FORGET)
		return m->key_len > 0 && len == sizeof(*m) + m->key_len ? 0 : EPROTO;
	if (m->kind == MI_DIAL)
		return m->cwd_len > 0 && m->cwd_len <= MI_DIAL_MAX && len == sizeof(*m) + m->cwd_len ? 0 : EPROTO;
	if (len != sizeof(*m))
		return EPROTO;
	if (m->kind == MI_SIGNAL && (m->arg < 1 || m->arg > 64))
		return EINVAL;
	return 0;
}

int mi_check_config(const void *config, size_t len, struct mi_run *ret)
{
	const struct mi_config *c = config;

	if (len < sizeof(*c) || len > MI_MSG_MAX || c->magic != MI_MAGIC || c->version != MI_VERSION)
		return EPROTO;
	if (!split(config, sizeof(*c), len, (const uint32_t[]){c->argv_len, c->env_len, c->cwd_len, c->user_len}, ret))
		return EPROTO;
	if (c->device_env_len > c->env_len ||
	    (c->device_env_len > 0 && c->device_env_len < c->env_len && ret->env[c->env_len - c->device_env_len - 1] != '\0'))
		return EPROTO;
	if (c->cwd_len == 0 || c->uid > MI_ID_MAX || c->gid > MI_ID_MAX || c->umask > 0777 || c->log_file_bytes < 1024 ||
	    c->stop_signal < 1 || c->stop_signal > 64)
		return EINVAL;
	return 0;
}
