#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdio.h"
#include "num.h"
#include "procs.h"
#include "str.h"

/* One process's directory in /proc, by descriptor: what is read through it is about this very process, or fails. */
static int open_proc(pid_t host)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)host);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The inode number of its pid namespace; 0 if it is gone. */
static ino_t pid_ns(int proc_fd)
{
	struct stat st;

	return fstatat(proc_fd, "ns/pid", &st, 0) < 0 ? 0 : st.st_ino;
}

/* The LAST number, or the first, behind "KEY:" in a status file; 0 if there is none. */
static uint32_t status_number(const char *text, const char *key, bool last)
{
	const char *line = strstr(text, key);
	uint32_t v = 0;

	if (!line)
		return 0;
	for (line += strlen(key); *line && *line != '\n';) {
		if (*line < '0' || *line > '9') {
			line++;
			continue;
		}
		v = (uint32_t)strtoul(line, (char **)(uintptr_t)&line, 10);
		if (!last)
			break;
	}
	return v;
}

static uint64_t boot_s(void)
{
	struct timespec now, up;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)clock_gettime(CLOCK_BOOTTIME, &up);
	return (uint64_t)(now.tv_sec - up.tv_sec);
}

/* Words of a command line end with NUL; controls would spoil a terminal that shows them. */
static void command_of(int proc_fd, const char *status, char *out, size_t size)
{
	auto_close int fd = openat(proc_fd, "cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
	size_t len;

	if (n <= 0) {
		const char *name = strstr(status, "Name:\t");

		(void)snprintf(out, size, "[%.*s]", name ? (int)strcspn(name + 6, "\n") : 0, name ? name + 6 : "");
		n = (ssize_t)strlen(out);
	}
	len = (size_t)n;
	while (len > 0 && out[len - 1] == '\0')
		len--;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = ' ';
	out[len] = '\0';
}

/* False if it is gone, or none of the container's. ppid is still a number of ours. */
static bool read_one(struct rt_proc *p, pid_t host, ino_t ns, uint64_t boot)
{
	auto_close int fd = open_proc(host);
	struct qt_err e = {0};
	char text[4096], *at;
	uint64_t ticks = 0;

	*p = (struct rt_proc){.host = host};
	if (fd < 0 || pid_ns(fd) != ns || qt_read_file(fd, "stat", text, sizeof(text), &e) < 0)
		return false;
	/* The name before it may hold anything. */
	at = strrchr(text, ')');
	if (!at || sscanf(at, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64, &p->state,
			  &ticks) != 2)
		return false;
	if (qt_read_file(fd, "status", text, sizeof(text), &e) < 0)
		return false;
	p->pid = status_number(text, "\nNSpid:", true);
	p->ppid = status_number(text, "\nPPid:", false);
	p->memory_kb = status_number(text, "\nVmRSS:", false);
	p->started_s = boot + ticks / (uint64_t)sysconf(_SC_CLK_TCK);
	command_of(fd, text, p->command, sizeof(p->command));
	return p->pid > 0 && p->state != 'X';
}

static int by_pid(const void *a, const void *b)
{
	const struct rt_proc *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static void name_parents(struct rt_procs *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t host = t->v[i].ppid;

		t->v[i].ppid = 0;
		for (uint32_t k = 0; k < t->n; k++)
			if ((uint32_t)t->v[k].host == host)
				t->v[i].ppid = t->v[k].pid;
	}
}

int rt_procs_read(struct rt_procs *ret, struct rt_cgroups *cg, const struct qt_id *id, pid_t init, struct qt_err *e)
{
	auto_free char *text = rt_cgroup_procs(cg, id);
	auto_close int init_fd = open_proc(init);
	ino_t ns = init_fd < 0 ? 0 : pid_ns(init_fd);
	uint64_t boot = boot_s();
	struct rt_procs t = {0};
	char *save = NULL;
	uint32_t lines = 0;

	if (!text || ns == 0)
		return qt_fail(e, QT_E_UNAVAILABLE, "the container's processes cannot be read now");
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	t.v = calloc(lines + 1, sizeof(*t.v));
	if (!t.v)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	for (const char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint32_t host;

		if (qt_u32(&host, line, 1, INT32_MAX) && read_one(&t.v[t.n], (pid_t)host, ns, boot))
			t.n++;
	}
	name_parents(&t);
	qsort(t.v, t.n, sizeof(*t.v), by_pid);
	*ret = t;
	return 0;
}

int rt_procs_signal(struct rt_cgroups *cg, const struct qt_id *id, pid_t init, uint32_t pid, int sig, struct qt_err *e)
{
	struct rt_procs t = {0};
	struct rt_proc *p, key = {.pid = pid}, again;
	auto_close int fd = -1;
	pid_t host;

	if (rt_procs_read(&t, cg, id, init, e) < 0)
		return -1;
	p = bsearch(&key, t.v, t.n, sizeof(*t.v), by_pid);
	host = p ? p->host : 0;
	free(t.v);
	if (host > 0)
		fd = (int)syscall(SYS_pidfd_open, host, 0);
	if (fd >= 0) {
		auto_close int init_fd = open_proc(init);

		/* The number may be another's since we read it: what the pidfd holds is looked at once more. */
		if (init_fd >= 0 && read_one(&again, host, pid_ns(init_fd), 0) && again.pid == pid &&
		    syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) == 0)
			return 0;
	}
	return qt_fail(e, QT_E_PROCESS_NOT_FOUND, "there is no process %u in the container", pid);
}
