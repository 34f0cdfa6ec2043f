#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdio.h"
#include "num.h"
#include "parts.h"
#include "rootpath.h"
#include "str.h"

/* The value of "KEY:\t…" in /proc/PID/status, up to its line's end, into OUT. */
static bool status_value(char *out, size_t size, const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (strncmp(p, key, n) == 0 && p[n] == ':') {
			const char *v = p + n + 1;

			v += strspn(v, " \t");
			n = strcspn(v, "\n");
			if (n >= size)
				return false;
			memcpy(out, v, n);
			out[n] = '\0';
			return true;
		}
	return false;
}

static int want(const char *text, const char *key, const char *value, struct qt_err *e)
{
	char got[64];

	if (status_value(got, sizeof(got), text, key) && qt_streq(got, value))
		return 0;
	return qt_fail(e, QT_E_INTERNAL_ERROR, "the started process is not as confined as it must be: %s", key);
}

static int verify_status(const struct rt_spawn *what, int proc_fd, struct qt_err *e)
{
	char text[8192], caps[17], ids[64];
	static const char zero[] = "0000000000000000";
	uint32_t b = what->uid_base;

	if (qt_read_file(proc_fd, "status", text, sizeof(text), e) < 0)
		return -1;
	(void)snprintf(caps, sizeof(caps), "%016llx", (unsigned long long)rt_caps_mask(what->strict));
	(void)snprintf(ids, sizeof(ids), "%u\t%u\t%u\t%u", b, b, b, b);
	if (want(text, "NoNewPrivs", "1", e) < 0 || want(text, "Seccomp", "2", e) < 0 || want(text, "CapBnd", caps, e) < 0 ||
	    want(text, "CapPrm", caps, e) < 0 || want(text, "CapEff", caps, e) < 0 || want(text, "CapInh", zero, e) < 0 ||
	    want(text, "CapAmb", zero, e) < 0 || want(text, "Uid", ids, e) < 0 || want(text, "Gid", ids, e) < 0)
		return -1;
	return 0;
}

static int verify_map(int proc_fd, const char *name, uint32_t base, struct qt_err *e)
{
	char text[256];
	unsigned inside, outside, count;
	int end = 0;

	if (qt_read_file(proc_fd, name, text, sizeof(text), e) < 0)
		return -1;
	if (sscanf(text, " %u %u %u %n", &inside, &outside, &count, &end) != 3 || text[end] != '\0' || inside != 0 ||
	    outside != base || count != 65536)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the started process is not as confined as it must be: %s", name);
	return 0;
}

static int verify_namespaces(int proc_fd, struct qt_err *e)
{
	static const char *const kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};

	for (size_t i = 0; i < QT_LEN(kinds); i++) {
		char ours[32], theirs[16];
		struct stat a, b;

		if (!qt_fmt(ours, sizeof(ours), "/proc/self/ns/%s", kinds[i]) ||
		    !qt_fmt(theirs, sizeof(theirs), "ns/%s", kinds[i]) || fstatat(AT_FDCWD, ours, &a, 0) < 0 ||
		    fstatat(proc_fd, theirs, &b, 0) < 0)
			return qt_fail_sys(e, errno, "look at the %s namespace", kinds[i]);
		if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return qt_fail(e, QT_E_INTERNAL_ERROR, "the started process shares the host's %s namespace", kinds[i]);
	}
	return 0;
}

/* Does LIST, "memory" or "cpu,cpuacct", hold a controller that limits a container? */
static bool limits(char *list)
{
	static const char *const needed[] = {"memory", "cpu", "pids", "devices"};
	char *save = NULL;

	for (char *t = strtok_r(list, ",", &save); t; t = strtok_r(NULL, ",", &save))
		for (size_t i = 0; i < QT_LEN(needed); i++)
			if (qt_streq(t, needed[i]))
				return true;
	return false;
}

/* Each v1 hierarchy that limits shows the container's group; where there is none of those, the unified one does. */
static int verify_cgroups(const struct rt_spawn *what, int proc_fd, struct qt_err *e)
{
	char text[8192], *save = NULL;
	unsigned v1_good = 0;
	bool v2_good = false, bad = false;

	if (qt_read_file(proc_fd, "cgroup", text, sizeof(text), e) < 0)
		return -1;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL, *last;
		bool good;

		if (!path)
			continue;
		*path++ = '\0';
		list++;
		last = strrchr(path, '/');
		good = last && qt_streq(last + 1, what->id.s);
		if (*list == '\0')
			v2_good = good;
		else if (limits(list)) {
			v1_good += good;
			bad |= !good;
		}
	}
	if (!bad && (v1_good > 0 || v2_good))
		return 0;
	return qt_fail(e, QT_E_INTERNAL_ERROR, "the started process is not in its control group");
}

int rt_verify(const struct rt_spawn *what, int proc_fd, struct qt_err *e)
{
	if (verify_status(what, proc_fd, e) < 0 || verify_map(proc_fd, "uid_map", what->uid_base, e) < 0 ||
	    verify_map(proc_fd, "gid_map", what->uid_base, e) < 0 || verify_namespaces(proc_fd, e) < 0)
		return -1;
	return verify_cgroups(what, proc_fd, e);
}

bool rt_contract_holds(pid_t pid, const char *paths, size_t len)
{
	char name[32];
	auto_close int root = -1;

	if (pid <= 0 || !qt_fmt(name, sizeof(name), "/proc/%d/root", pid) || (len > 0 && paths[len - 1] != '\0'))
		return false;
	root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return false;
	for (const char *p = paths; p < paths + len; p += strlen(p) + 1) {
		struct qt_err e = {0};
		auto_close int fd = qt_open_in_root(root, p, O_PATH, 0, &e);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0111))
			return false;
	}
	return true;
}
