#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "net_rig.h"
#include "netns.h"
#include "netrules.h"
#include "rt.h"
#include "str.h"

struct qt_conf conf;
struct rt_net *net;
struct rt_nft *nft;
struct rt_rtnl *rt;
int sys_fd, own_ns;
struct peer sink;
struct qt_id ten_a, ten_b;
struct box a1, a2, b1;

void ok(int r, const struct qt_err *e)
{
	if (r < 0)
		fail_msg("%s: %s", qt_err_row(e->code)->name, e->msg);
}

static int open_rtnl(void *arg, struct qt_err *e)
{
	return rt_rtnl_open(arg, e);
}

void net_open(void)
{
	struct qt_err e = {0};

	ok(rt_net_open(&net, &conf, &e), &e);
}

void set(const char *name, const char *value)
{
	struct qt_err e = {0};

	ok(qt_conf_set(&conf, name, value, &e), &e);
}

int host_switch(const char *link, const char *name)
{
	struct qt_err e = {0};
	char path[96];
	int v;

	assert_true(qt_fmt(path, sizeof(path), "net/ipv4/conf/%s/%s", link, name));
	v = rt_sysctl_get(sys_fd, path, &e);
	ok(v, &e);
	return v;
}

bool link_there(const char *name)
{
	struct qt_err e = {0};
	struct rt_link l;
	int r = rt_rtnl_find(rt, name, &l, &e);

	ok(r, &e);
	return r == 1;
}

static int count_ours(void *arg, const struct rt_link *l, struct qt_err *e)
{
	(void)e;
	*(unsigned *)arg += qt_starts(l->name, conf.link_prefix);
	return 0;
}

unsigned links_of_ours(void)
{
	struct qt_err e;
	unsigned n;
	int r;

	do {
		e = (struct qt_err){0};
		n = 0;
		r = rt_rtnl_each(rt, count_ours, &n, &e);
	} while (r < 0 && e.sys == EINTR);
	ok(r, &e);
	return n;
}

void wait_for_links(unsigned n)
{
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;

	while (links_of_ours() != n) {
		(void)rt_net_reap(net);
		if (qt_mono_ms() > deadline)
			fail_msg("%u links, not %u", links_of_ours(), n);
		(void)poll(NULL, 0, 5);
	}
}

void elements_are(unsigned n)
{
	assert_int_equal(look_elements(nft, TABLE, RT_SET_SRC), n);
	assert_int_equal(look_elements(nft, TABLE, RT_SET_TENANT), n);
	assert_int_equal(look_elements(nft, TABLE, RT_SET_MEMBER), n);
}

void box_open(struct box *b, const struct qt_id *tenant)
{
	struct qt_err e = {0};

	peer_start(&b->peer);
	ok(rt_net_reserve(net, &b->addr, &e), &e);
	assert_false(rt_net_ok(net, &b->addr, b->peer.ns_fd));
	ok(rt_net_prepare(net, b->peer.pid, &e), &e);
	ok(rt_net_attach(net, &b->addr, tenant, b->peer.pid, &e), &e);
	assert_true(rt_net_ok(net, &b->addr, b->peer.ns_fd));
}

void box_close(struct box *b)
{
	struct qt_err e = {0};

	peer_stop(&b->peer);
	ok(rt_net_detach(net, &b->addr, &e), &e);
	ok(rt_net_detach(net, &b->addr, &e), &e);
	rt_net_release(net, &b->addr);
}

void reaches(struct peer *p, uint32_t ip, uint16_t port)
{
	assert_int_equal(peer_connect(p, ip, port, 0), 0);
	assert_int_equal(peer_connected(p, PATIENCE_MS), 0);
}

void is_blocked(struct peer *p, uint32_t ip, uint16_t port, uint32_t from, const char *rule)
{
	uint64_t before = look_counter(nft, TABLE, rule);

	assert_int_equal(peer_connect(p, ip, port, from), 0);
	look_wait(nft, TABLE, rule, before);
	assert_int_equal(peer_connected(p, 0), -EAGAIN);
	assert_int_equal(peer_hang_up(p), 0);
}

uint32_t unused(void)
{
	uint32_t ip = 0x0a4d0010;

	while (ip == a1.addr.ip || ip == a2.addr.ip || ip == b1.addr.ip)
		ip++;
	return ip;
}

/* The uplink, and behind it the internet: one more namespace. */
static void make_uplink(void)
{
	struct sockaddr_in via = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(SINK)}, any = {.sin_family = AF_INET};
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct rtentry def = {.rt_flags = RTF_UP | RTF_GATEWAY};
	auto_rtnl struct rt_rtnl *inner = NULL;
	struct qt_err e = {0};
	int index;

	peer_start(&sink);
	ok(rt_rtnl_veth(rt, UPLINK, sink.ns_fd, 1400, &index, &e), &e);
	ok(rt_netns_do(own_ns, sink.ns_fd, open_rtnl, &inner, &e), &e);
	ok(rt_rtnl_inner_end(inner, HOST_OUT, SINK, &e), &e);
	ok(rt_rtnl_host_end(rt, index, "sink", HOST_OUT, SINK, &e), &e);
	memcpy(&def.rt_dst, &any, sizeof(any));
	memcpy(&def.rt_genmask, &any, sizeof(any));
	memcpy(&def.rt_gateway, &via, sizeof(via));
	assert_int_equal(ioctl(fd, SIOCADDRT, &def), 0);
	ok(rt_sysctl_set(sys_fd, "net/ipv4/conf/" UPLINK "/forwarding", "0", &e), &e);
	assert_int_equal(peer_add_addr(&sink, "lo:1", DNS), 0);
	assert_int_equal(peer_listen(&sink, 80), 0);
	assert_int_equal(peer_bind_udp(&sink, 53), 0);
}

int setup(void **state)
{
	struct qt_err e = {0};

	(void)state;
	if (unshare(CLONE_NEWNET) < 0) {
		print_error("root is needed: %s\n", strerror(errno));
		return -1;
	}
	sys_fd = rt_sysctl_open(&e);
	own_ns = rt_netns_open(0, &e);
	ok(rt_rtnl_open(&rt, &e), &e);
	ok(rt_nft_open(&nft, &e), &e);
	make_uplink();
	ten_a = qt_id_new("ten");
	ten_b = qt_id_new("ten");
	qt_conf_defaults(&conf);
	set("instance", TABLE);
	set("link_prefix", "qt");
	set("subnet", "10.77.0.0/24");
	set("uplink", UPLINK);
	set("nameservers", "10.255.255.53");
	return 0;
}

int teardown(void **state)
{
	(void)state;
	rt_net_close(net);
	peer_stop(&a1.peer);
	peer_stop(&a2.peer);
	peer_stop(&b1.peer);
	peer_stop(&sink);
	rt_nft_close(nft);
	rt_rtnl_close(rt);
	return 0;
}
