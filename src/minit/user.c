#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto.h"

struct text {
	const char *s;
	size_t len;
};

static bool same(struct text a, struct text b)
{
	return a.len == b.len && memcmp(a.s, b.s, a.len) == 0;
}

/* The part of T before the next BY, which goes; the whole of it if there is none. */
static struct text cut(struct text *t, char by)
{
	const char *at = memchr(t->s, by, t->len);
	struct text part = {t->s, at ? (size_t)(at - t->s) : t->len};

	t->s += part.len + (at != NULL);
	t->len -= part.len + (at != NULL);
	return part;
}

/* 1: *RET; 0: it is not a number; -1: it is too large. */
static int number(uint32_t *ret, struct text t)
{
	uint32_t v = 0;

	if (t.len == 0)
		return 0;
	for (size_t i = 0; i < t.len; i++) {
		if (t.s[i] < '0' || t.s[i] > '9')
			return 0;
		v = v > MI_ID_MAX ? v : v * 10 + (uint32_t)(t.s[i] - '0');
	}
	if (v > MI_ID_MAX)
		return -1;
	*ret = v;
	return 1;
}

/* passwd: name:x:uid:gid:gecos:home:shell. The line of the user WHO, by its name or, if BY_ID, its number. */
static bool find_user(struct text file, struct text who, bool by_id, struct mi_user *ret, struct text *ret_name)
{
	while (file.len > 0) {
		struct text line = cut(&file, '\n'), name = cut(&line, ':'), uid, gid, home;
		uint32_t u, g;

		(void)cut(&line, ':');
		uid = cut(&line, ':');
		gid = cut(&line, ':');
		(void)cut(&line, ':');
		home = cut(&line, ':');
		if (number(&u, uid) != 1 || number(&g, gid) != 1 || (by_id ? u != ret->uid : !same(name, who)))
			continue;
		ret->uid = u;
		ret->gid = g;
		if (home.len > 0 && home.len < sizeof(ret->home) && home.s[0] == '/' && !memchr(home.s, '\0', home.len)) {
			memcpy(ret->home, home.s, home.len);
			ret->home[home.len] = '\0';
		}
		*ret_name = name;
		return true;
	}
	return false;
}

/* group: name:x:gid:member,member… */
static bool find_group(struct text file, struct text who, uint32_t *ret)
{
	while (file.len > 0) {
		struct text line = cut(&file, '\n'), name = cut(&line, ':');

		(void)cut(&line, ':');
		if (same(name, who) && number(ret, cut(&line, ':')) == 1)
			return true;
	}
	return false;
}

static void find_groups(struct text file, struct text user, struct mi_user *ret)
{
	while (file.len > 0 && ret->n_groups < MI_GROUPS_MAX) {
		struct text line = cut(&file, '\n');
		uint32_t gid;

		(void)cut(&line, ':');
		(void)cut(&line, ':');
		if (number(&gid, cut(&line, ':')) != 1)
			continue;
		while (line.len > 0)
			if (same(cut(&line, ','), user)) {
				ret->groups[ret->n_groups++] = gid;
				break;
			}
	}
}

int mi_user_find(const char *spec, const char *passwd, size_t passwd_len, const char *group, size_t group_len, struct mi_user *ret)
{
	const struct text users = {passwd, passwd_len}, groups = {group, group_len};
	struct text rest = {spec, strlen(spec)}, name = {"", 0}, who;
	bool has_group = memchr(rest.s, ':', rest.len) != NULL;
	int n;

	memset(ret, 0, sizeof(*ret));
	who = cut(&rest, ':');
	n = number(&ret->uid, who);
	if (n < 0)
		return ERANGE;
	if (!find_user(users, who, n == 1, ret, &name) && n != 1)
		return ENOENT;
	if (!has_group) {
		if (name.len > 0)
			find_groups(groups, name, ret);
		return 0;
	}
	n = number(&ret->gid, rest);
	if (n < 0)
		return ERANGE;
	return n == 1 || find_group(groups, rest, &ret->gid) ? 0 : ENOENT;
}

/* Into AT, which has MI_PASSWD_MAX bytes. An image that has a device, a link or an endless file there is told so. */
static int read_file(const char *path, char *at, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), sys = 0;
	struct stat st;

	*ret_len = 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	if (fstat(fd, &st) < 0)
		sys = errno;
	else if (!S_ISREG(st.st_mode))
		sys = EINVAL;
	else if (st.st_size > (off_t)MI_PASSWD_MAX)
		sys = EFBIG;
	while (sys == 0 && *ret_len < MI_PASSWD_MAX) {
		ssize_t n = read(fd, at + *ret_len, MI_PASSWD_MAX - *ret_len);

		if (n < 0)
			sys = errno;
		if (n <= 0)
			break;
		*ret_len += (size_t)n;
	}
	(void)close(fd);
	return sys;
}

int mi_user_look_up(const char *spec, struct mi_user *ret)
{
	char *at = mmap(NULL, 2 * MI_PASSWD_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t users, groups;
	int sys;

	if (at == MAP_FAILED)
		return errno;
	sys = read_file("/etc/passwd", at, &users);
	if (sys == 0)
		sys = read_file("/etc/group", at + MI_PASSWD_MAX, &groups);
	if (sys == 0)
		sys = mi_user_find(spec, at, users, at + MI_PASSWD_MAX, groups, ret);
	(void)munmap(at, 2 * MI_PASSWD_MAX);
	return sys;
}
