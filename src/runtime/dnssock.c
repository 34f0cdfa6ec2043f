#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "dnssock.h"

#define PORT	53
#define BACKLOG 64

static int open_one(int type, unsigned ip, struct qt_err *e)
{
	const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(ip)};
	auto_close int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return qt_fail_sys(e, errno, "the resolver's socket");
	/* The address comes with the first container's link. */
	if (setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0)
		return qt_fail_sys(e, errno, "the resolver's socket");
	/* Of TCP only: with UDP it would let another socket take the queries away. */
	if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return qt_fail_sys(e, errno, "the resolver's socket");
	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0) {
		if (errno == EADDRINUSE)
			return qt_fail(e, QT_E_CONFLICT, "port 53 at the gateway's address is taken: another resolver of this host listens on all "
							 "addresses, or another stack has the same setting gateway");
		return qt_fail_sys(e, errno, "bind the resolver's socket");
	}
	if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		return qt_fail_sys(e, errno, "listen for the resolver");
	return qt_take_fd(&fd);
}

int rt_dns_open(int ret[2], unsigned ip, struct qt_err *e)
{
	auto_close int udp = open_one(SOCK_DGRAM, ip, e);
	int tcp = udp < 0 ? -1 : open_one(SOCK_STREAM, ip, e);

	if (tcp < 0)
		return -1;
	ret[0] = qt_take_fd(&udp);
	ret[1] = tcp;
	return 0;
}
