#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "cleanup.h"
#include "net_peer.h"
#include "netns.h"
#include "str.h"

enum op {
	LISTEN, CONNECT, CONNECTED, HANG_UP, ACCEPT, BIND_UDP, SEND_UDP, FLOOD_UDP, RECV_UDP, PING, ADD_ADDR, SYSCTL_SET, SYSCTL_GET, COUNTERS
};

struct question {
	enum op op;
	uint32_t ip, from;
	uint16_t port, count;
	int wait_ms;
	char name[64], value[64];
};

struct answer {
	int r;
	uint32_t from;
	uint64_t v[4];
	char text[64];
};

/* The child's sockets. */
static int listener = -1, conn = -1, udp = -1;

static struct sockaddr_in inet(uint32_t ip, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
}

static int wait_for(int fd, short what, int wait_ms)
{
	struct pollfd p = {fd, what, 0};
	int n;

	do
		n = poll(&p, 1, wait_ms);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n == 0 ? -EAGAIN : 0;
}

static int bound(int type, uint16_t port)
{
	struct sockaddr_in a = inet(INADDR_ANY, port);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
			bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)) {
		qt_close(fd);
		return -1;
	}
	return fd;
}

static int do_connect(const struct question *q)
{
	struct sockaddr_in to = inet(q->ip, q->port), from = inet(q->from, 0);
	int on = 1;

	qt_reset_fd(&conn, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (conn < 0)
		return -errno;
	if (q->from != 0 && (setsockopt(conn, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) < 0 ||
			     bind(conn, (struct sockaddr *)&from, sizeof(from)) < 0))
		return -errno;
	return connect(conn, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS ? -errno : 0;
}

static int do_connected(const struct question *q)
{
	int r = wait_for(conn, POLLOUT, q->wait_ms), sys = 0;
	socklen_t len = sizeof(sys);

	if (r < 0)
		return r;
	return getsockopt(conn, SOL_SOCKET, SO_ERROR, &sys, &len) < 0 ? -errno : -sys;
}

static int do_accept(struct answer *a)
{
	struct sockaddr_in from = {0};
	socklen_t len = sizeof(from);
	int r = wait_for(listener, POLLIN, PATIENCE_MS);
	int fd = r < 0 ? -1 : accept4(listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);

	if (fd < 0)
		return r < 0 ? r : -errno;
	qt_close(fd);
	a->from = ntohl(from.sin_addr.s_addr);
	return 0;
}

static int do_send(const struct question *q)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	for (uint16_t i = 0; i < q->count; i++) {
		struct sockaddr_in to = inet(q->ip, q->op == FLOOD_UDP ? q->port : (uint16_t)(q->port + i));

		/* ECONNREFUSED: the answer to an earlier one. EPERM never: dropping happens elsewhere. */
		if (sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != ECONNREFUSED)
			return -errno;
	}
	return 0;
}

static int do_recv(struct answer *a)
{
	struct sockaddr_in from = {0};
	socklen_t len = sizeof(from);
	int r = wait_for(udp, POLLIN, PATIENCE_MS);
	char c;

	if (r < 0)
		return r;
	if (recvfrom(udp, &c, 1, 0, (struct sockaddr *)&from, &len) < 0)
		return -errno;
	a->from = ntohl(from.sin_addr.s_addr);
	return 0;
}

static int do_ping(const struct question *q)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
	struct icmphdr echo = {.type = ICMP_ECHO};
	struct sockaddr_in to = inet(q->ip, 0);
	int r;

	if (fd < 0 || sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	r = wait_for(fd, POLLIN, PATIENCE_MS);
	if (r == 0 && recv(fd, &echo, sizeof(echo), 0) < 0)
		return -errno;
	return r < 0 ? r : echo.type == ICMP_ECHOREPLY ? 0 : -EPROTO;
}

static int do_add_addr(const struct question *q)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = inet(q->ip, 0), mask = inet(UINT32_MAX, 0);
	struct ifreq r = {0};

	(void)qt_copy(r.ifr_name, sizeof(r.ifr_name), q->name);
	memcpy(&r.ifr_addr, &a, sizeof(a));
	if (fd < 0 || ioctl(fd, SIOCSIFADDR, &r) < 0)
		return -errno;
	memcpy(&r.ifr_netmask, &mask, sizeof(mask));
	return ioctl(fd, SIOCSIFNETMASK, &r) < 0 ? -errno : 0;
}

static int do_sysctl(const struct question *q, struct answer *a)
{
	auto_close int dir = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = openat(dir, q->name, (q->op == SYSCTL_SET ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (q->op == SYSCTL_SET)
		return write(fd, q->value, strlen(q->value)) < 0 ? -errno : 0;
	n = read(fd, a->text, sizeof(a->text) - 1);
	if (n < 0)
		return -errno;
	a->text[strcspn(a->text, "\n")] = '\0';
	return 0;
}

static int do_counters(struct answer *a)
{
	auto_fclose FILE *f = fopen("/proc/self/net/dev", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		char *at = strstr(line, "eth0:");
		unsigned long long v[4];

		if (at && sscanf(at + 5, "%llu %llu %*u %*u %*u %*u %*u %*u %llu %llu", &v[0], &v[1], &v[2], &v[3]) == 4) {
			for (int i = 0; i < 4; i++)
				a->v[i] = v[i];
			return 0;
		}
	}
	return -ENOENT;
}

static int do_one(const struct question *q, struct answer *a)
{
	switch (q->op) {
	case LISTEN:
		qt_reset_fd(&listener, bound(SOCK_STREAM, q->port));
		return listener < 0 || listen(listener, 16) < 0 ? -errno : 0;
	case CONNECT:
		return do_connect(q);
	case CONNECTED:
		return do_connected(q);
	case HANG_UP:
		qt_reset_fd(&conn, -1);
		return 0;
	case ACCEPT:
		return do_accept(a);
	case BIND_UDP:
		qt_reset_fd(&udp, bound(SOCK_DGRAM, q->port));
		return udp < 0 ? -errno : 0;
	case SEND_UDP:
	case FLOOD_UDP:
		return do_send(q);
	case RECV_UDP:
		return do_recv(a);
	case PING:
		return do_ping(q);
	case ADD_ADDR:
		return do_add_addr(q);
	case SYSCTL_SET:
	case SYSCTL_GET:
		return do_sysctl(q, a);
	case COUNTERS:
		return do_counters(a);
	}
	return -ENOSYS;
}

static void serve(int sock)
{
	struct question q;

	while (recv(sock, &q, sizeof(q), 0) == sizeof(q)) {
		struct answer a = {0};

		a.r = do_one(&q, &a);
		if (send(sock, &a, sizeof(a), 0) < 0)
			break;
	}
}

static void write_map(pid_t pid, const char *name)
{
	char path[40], map[40];
	auto_close int fd = -1;
	int len;

	assert_true(qt_fmt(path, sizeof(path), "/proc/%d/%s", (int)pid, name));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	len = snprintf(map, sizeof(map), "0 %u 65536", PEER_UID);
	assert_int_equal(write(fd, map, (size_t)len), len);
}

/* The child has a user namespace that owns the network namespace, as a container has. */
static int be_alone(pid_t parent)
{
	char c = 0;

	/* Nothing of the parent's but the one socket: it counts its descriptors. */
	if (close_range(4, ~0U, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 || send(3, &c, 1, 0) != 1 || recv(3, &c, 1, 0) != 1)
		return -1;
	return setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -1 : 0;
}

void peer_start(struct peer *p)
{
	struct qt_err e = {0};
	pid_t parent = getpid();
	int pair[2];
	char c = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		if (dup2(pair[1], 3) != 3 || be_alone(parent) < 0 || send(3, &c, 1, 0) != 1)
			_exit(1);
		serve(3);
		_exit(0);
	}
	qt_close(pair[1]);
	p->sock = pair[0];
	assert_int_equal(recv(p->sock, &c, 1, 0), 1);
	write_map(p->pid, "uid_map");
	write_map(p->pid, "gid_map");
	assert_int_equal(send(p->sock, &c, 1, 0), 1);
	assert_int_equal(recv(p->sock, &c, 1, 0), 1);
	p->ns_fd = rt_netns_open(p->pid, &e);
	assert_true(p->ns_fd >= 0);
}

void peer_stop(struct peer *p)
{
	if (p->pid <= 0)
		return;
	(void)kill(p->pid, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
	qt_close(p->sock);
	qt_close(p->ns_fd);
	p->pid = 0;
}

static struct answer ask(struct peer *p, struct question q)
{
	struct answer a = {0};

	assert_int_equal(send(p->sock, &q, sizeof(q), 0), sizeof(q));
	assert_int_equal(wait_for(p->sock, POLLIN, PATIENCE_MS + 10000), 0);
	assert_int_equal(recv(p->sock, &a, sizeof(a), 0), sizeof(a));
	return a;
}

int peer_listen(struct peer *p, uint16_t port)
{
	return ask(p, (struct question){.op = LISTEN, .port = port}).r;
}

int peer_connect(struct peer *p, uint32_t ip, uint16_t port, uint32_t from)
{
	return ask(p, (struct question){.op = CONNECT, .ip = ip, .port = port, .from = from}).r;
}

int peer_connected(struct peer *p, int wait_ms)
{
	return ask(p, (struct question){.op = CONNECTED, .wait_ms = wait_ms}).r;
}

int peer_hang_up(struct peer *p)
{
	return ask(p, (struct question){.op = HANG_UP}).r;
}

int peer_accept(struct peer *p, uint32_t *ret_from)
{
	struct answer a = ask(p, (struct question){.op = ACCEPT});

	*ret_from = a.from;
	return a.r;
}

int peer_bind_udp(struct peer *p, uint16_t port)
{
	return ask(p, (struct question){.op = BIND_UDP, .port = port}).r;
}

int peer_send_udp(struct peer *p, uint32_t ip, uint16_t port, uint16_t count)
{
	return ask(p, (struct question){.op = SEND_UDP, .ip = ip, .port = port, .count = count}).r;
}

int peer_flood_udp(struct peer *p, uint32_t ip, uint16_t port, uint16_t count)
{
	return ask(p, (struct question){.op = FLOOD_UDP, .ip = ip, .port = port, .count = count}).r;
}

int peer_recv_udp(struct peer *p, uint32_t *ret_from)
{
	struct answer a = ask(p, (struct question){.op = RECV_UDP});

	*ret_from = a.from;
	return a.r;
}

int peer_ping(struct peer *p, uint32_t ip)
{
	return ask(p, (struct question){.op = PING, .ip = ip}).r;
}

int peer_add_addr(struct peer *p, const char *link, uint32_t ip)
{
	struct question q = {.op = ADD_ADDR, .ip = ip};

	(void)qt_copy(q.name, sizeof(q.name), link);
	return ask(p, q).r;
}

int peer_sysctl_set(struct peer *p, const char *name, const char *value)
{
	struct question q = {.op = SYSCTL_SET};

	(void)qt_copy(q.name, sizeof(q.name), name);
	(void)qt_copy(q.value, sizeof(q.value), value);
	return ask(p, q).r;
}

int peer_sysctl_get(struct peer *p, const char *name, char *out, size_t size)
{
	struct question q = {.op = SYSCTL_GET};
	struct answer a;

	(void)qt_copy(q.name, sizeof(q.name), name);
	a = ask(p, q);
	(void)qt_copy(out, size, a.text);
	return a.r;
}

int peer_counters(struct peer *p, uint64_t out[4])
{
	struct answer a = ask(p, (struct question){.op = COUNTERS});

	memcpy(out, a.v, sizeof(a.v));
	return a.r;
}
