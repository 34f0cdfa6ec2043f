/* What minit believes of a message: requests, configs, and the user that an image names. The first byte says which, and how many descriptors came. */
#include "fuzz.h"

#include <stdbool.h>

#include "minit/frame.h"
#include "minit/user.h"

static void inside(const char *s, uint32_t len, const char *msg, size_t size)
{
	FUZZ_MUST(s >= msg && len <= size && s + len <= msg + size && (len == 0 || s[len - 1] == '\0'));
}

static void message(bool config, unsigned fds, const uint8_t *data, size_t size)
{
	char *msg = fuzz_bytes(data, size);
	const struct mi_msg *m = (const struct mi_msg *)(const void *)msg;
	struct mi_run run;
	int rc = config ? mi_check_config(msg, size, &run) : mi_check_request(msg, size, fds, &run);

	FUZZ_MUST(rc >= 0);
	if (rc == 0) {
		inside(run.argv, run.argv_len, msg, size);
		inside(run.env, run.env_len, msg, size);
		FUZZ_MUST(strlen(run.cwd) < MI_CWD_MAX && (run.cwd[0] == '/' || (!config && run.cwd[0] == '\0')));
	}
	if (rc == 0 && !config) {
		FUZZ_MUST(m->kind >= MI_PING && m->kind <= MI_SAVED);
		FUZZ_MUST(strlen(run.key) < MI_KEY_MAX);
		FUZZ_MUST(m->kind != MI_SIGNAL || (m->arg >= 1 && m->arg <= 64));
		FUZZ_MUST((m->kind != MI_ATTACH && m->kind != MI_FORGET) || run.key[0]);
	}
	if (rc == 0 && !config && m->kind == MI_EXEC) {
		FUZZ_MUST(run.argv_len > 0);
		FUZZ_MUST((m->uid <= MI_ID_MAX || m->uid == MI_ID_DEFAULT) && (m->gid <= MI_ID_MAX || m->gid == MI_ID_DEFAULT));
		FUZZ_MUST(fds == (m->flags & MI_EXEC_TTY ? 0U : m->flags & MI_EXEC_KEEP ? 1U : 3U));
		FUZZ_MUST(!!(m->flags & MI_EXEC_KEEP) == (run.key[0] != '\0'));
	}
	free(msg);
}

static void user(const uint8_t *data, size_t size)
{
	struct fuzz_part spec = fuzz_next(&data, &size, 1), passwd = fuzz_next(&data, &size, 4);
	char *name = fuzz_text(spec.data, spec.len), *p = fuzz_bytes(passwd.data, passwd.len), *g = fuzz_bytes(data, size);
	struct mi_user u;

	if (mi_user_find(name, p, passwd.len, g, size, &u) == 0) {
		FUZZ_MUST(u.uid <= MI_ID_MAX && u.gid <= MI_ID_MAX && u.n_groups <= MI_GROUPS_MAX);
		for (uint32_t i = 0; i < u.n_groups; i++)
			FUZZ_MUST(u.groups[i] <= MI_ID_MAX);
		FUZZ_MUST(memchr(u.home, '\0', sizeof(u.home)));
	}
	free(name);
	free(p);
	free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		message(false, data[0] / 3 % 4, data + 1, size - 1);
		break;
	case 1:
		message(true, 0, data + 1, size - 1);
		break;
	case 2:
		user(data + 1, size - 1);
		break;
	}
	return 0;
}
