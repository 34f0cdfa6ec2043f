/* The network of containers with real namespaces and real packets, all inside one namespace of this program's own. That something
 * is blocked is never concluded from silence: the packet is seen to meet the rule that drops it. Run as root. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include <time.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "dnssock.h"
#include "net.h"
#include "net_look.h"
#include "net_peer.h"
#include "netct.h"
#include "netns.h"
#include "netrules.h"
#include "rt.h"
#include "rtnl.h"
#include "str.h"

#define TABLE	 "qttest"
#define UPLINK	 "up0"
#define GATEWAY	 0xa9fe0101 /* 169.254.1.1 */
#define HOST_OUT 0xcb007101 /* 203.0.113.1: our end of the uplink */
#define SINK	 0xcb00710a /* 203.0.113.10: the other end plays the internet */
#define DNS	 0x0affff35 /* 10.255.255.53 lives there too */
#define METADATA 0xa9fea9fe
#define ELSEWHERE 0xc6336409 /* 198.51.100.9: nobody, behind the uplink */
#define LOOPS	 200
#define AT_ONCE	 20

static struct qt_conf conf;
static struct rt_net *net;
static struct rt_nft *nft; /* to look with */
static struct rt_rtnl *rt;
static int sys_fd, own_ns;
static struct peer sink;
static struct qt_id ten_a, ten_b;

static struct box {
	struct peer peer;
	struct rt_addr addr;
} a1, a2, b1;

static void ok(int r, const struct qt_err *e)
{
	if (r < 0)
		fail_msg("%s: %s", qt_err_row(e->code)->name, e->msg);
}

static int open_rtnl(void *arg, struct qt_err *e)
{
	return rt_rtnl_open(arg, e);
}

static void net_open(void)
{
	struct qt_err e = {0};

	ok(rt_net_open(&net, &conf, &e), &e);
}

static void set(const char *name, const char *value)
{
	struct qt_err e = {0};

	ok(qt_conf_set(&conf, name, value, &e), &e);
}

static int host_switch(const char *link, const char *name)
{
	struct qt_err e = {0};
	char path[96];
	int v;

	assert_true(qt_fmt(path, sizeof(path), "net/ipv4/conf/%s/%s", link, name));
	v = rt_sysctl_get(sys_fd, path, &e);
	ok(v, &e);
	return v;
}

static bool link_there(const char *name)
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

static unsigned links_of_ours(void)
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

/* Namespaces die some time after their processes; those that connections keep alive lose their links to the reaper. */
static void wait_for_links(unsigned n)
{
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;

	while (links_of_ours() != n) {
		(void)rt_net_reap(net);
		if (qt_mono_ms() > deadline)
			fail_msg("%u links, not %u", links_of_ours(), n);
		(void)poll(NULL, 0, 5);
	}
}

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static void elements_are(unsigned n)
{
	assert_int_equal(look_elements(nft, TABLE, RT_SET_SRC), n);
	assert_int_equal(look_elements(nft, TABLE, RT_SET_TENANT), n);
	assert_int_equal(look_elements(nft, TABLE, RT_SET_MEMBER), n);
}

static void box_open(struct box *b, const struct qt_id *tenant)
{
	struct qt_err e = {0};

	peer_start(&b->peer);
	ok(rt_net_reserve(net, &b->addr, &e), &e);
	assert_false(rt_net_ok(net, &b->addr, b->peer.ns_fd));
	ok(rt_net_attach(net, &b->addr, tenant, b->peer.pid, &e), &e);
	assert_true(rt_net_ok(net, &b->addr, b->peer.ns_fd));
}

static void box_close(struct box *b)
{
	struct qt_err e = {0};

	peer_stop(&b->peer);
	ok(rt_net_detach(net, &b->addr, &e), &e);
	ok(rt_net_detach(net, &b->addr, &e), &e);
	rt_net_release(net, &b->addr);
}

static void reaches(struct peer *p, uint32_t ip, uint16_t port)
{
	assert_int_equal(peer_connect(p, ip, port, 0), 0);
	assert_int_equal(peer_connected(p, PATIENCE_MS), 0);
}

static void is_blocked(struct peer *p, uint32_t ip, uint16_t port, uint32_t from, const char *rule)
{
	uint64_t before = look_counter(nft, TABLE, rule);

	assert_int_equal(peer_connect(p, ip, port, from), 0);
	look_wait(nft, TABLE, rule, before);
	assert_int_equal(peer_connected(p, 0), -EAGAIN);
	assert_int_equal(peer_hang_up(p), 0);
}

/* Addresses begin anywhere in the subnet: one that no box has. */
static uint32_t unused(void)
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

static int setup(void **state)
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

static int teardown(void **state)
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

static void opens(void **state)
{
	(void)state;
	assert_int_equal(host_switch("all", "forwarding"), 0);
	net_open();
	assert_string_equal(rt_net_uplink(net), UPLINK);
	assert_int_equal(host_switch(UPLINK, "forwarding"), 1);
	assert_int_equal(host_switch("all", "forwarding"), 0);
	assert_true(look_table(nft, TABLE));
	elements_are(0);
}

static void refuses_bad_settings(void **state)
{
	static const struct {
		const char *name, *bad, *good;
	} rows[] = {
		{"subnet", "10.77.0.1/24", "10.77.0.0/24"},
		{"subnet", "10.0.0.0/8", "10.77.0.0/24"},
		{"gateway", "gw", "169.254.1.1"},
		{"uplink", "nosuchlink", UPLINK},
		{"link_prefix", "up", "qt"}, /* begins the uplink's name */
		{"link_prefix", "Q", "qt"},
		{"nameservers", "127.0.0.53", "10.255.255.53"},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		struct rt_net *other = NULL;
		struct qt_err e = {0};

		set(rows[i].name, rows[i].bad);
		assert_int_equal(rt_net_open(&other, &conf, &e), -1);
		assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
		assert_null(other);
		set(rows[i].name, rows[i].good);
	}
}

static void attaches(void **state)
{
	static const struct {
		const char *name, *value;
	} inside[] = {
		{"net/ipv6/conf/eth0/disable_ipv6", "1"},     {"net/ipv6/conf/lo/disable_ipv6", "1"},
		{"net/ipv4/ip_unprivileged_port_start", "0"}, {"net/ipv4/conf/eth0/accept_redirects", "0"},
		{"net/ipv4/ping_group_range", "0\t65535"},
	};
	struct qt_err e = {0};
	struct rt_link l;
	char path[64], text[64];

	(void)state;
	box_open(&a1, &ten_a);
	box_open(&a2, &ten_a);
	box_open(&b1, &ten_b);
	elements_are(3);
	for (size_t i = 0; i < QT_LEN(inside); i++) {
		assert_int_equal(peer_sysctl_get(&a1.peer, inside[i].name, text, sizeof(text)), 0);
		assert_string_equal(text, inside[i].value);
	}
	assert_int_equal(host_switch(a1.addr.link, "forwarding"), 1);
	assert_int_equal(host_switch(a1.addr.link, "rp_filter"), 1);
	assert_int_equal(host_switch(a1.addr.link, "arp_ignore"), 1);
	assert_int_equal(host_switch(a1.addr.link, "send_redirects"), 0);
	(void)qt_fmt(path, sizeof(path), "net/ipv6/conf/%s/disable_ipv6", a1.addr.link);
	assert_int_equal(rt_sysctl_get(sys_fd, path, &e), 1);
	/* This program's own namespace was not meant by any of it. */
	assert_int_equal(rt_sysctl_get(sys_fd, "net/ipv4/ip_unprivileged_port_start", &e), 1024);
	assert_int_equal(rt_rtnl_find(rt, a1.addr.link, &l, &e), 1);
	assert_true(l.veth);
	assert_int_equal(l.mtu, 1400);
	assert_string_equal(l.alias, "quiltd " TABLE);
	/* Another's namespace is not right for this address. */
	assert_false(rt_net_ok(net, &a1.addr, a2.peer.ns_fd));
	assert_false(rt_net_ok(net, &a1.addr, sink.ns_fd));
}

static void pings_the_gateway(void **state)
{
	(void)state;
	assert_int_equal(peer_ping(&a1.peer, GATEWAY), 0);
}

static void same_tenant(void **state)
{
	uint32_t from;

	(void)state;
	assert_int_equal(peer_listen(&a1.peer, 7000), 0);
	assert_int_equal(peer_listen(&a2.peer, 7000), 0);
	assert_int_equal(peer_listen(&b1.peer, 7000), 0);
	reaches(&a1.peer, a2.addr.ip, 7000);
	assert_int_equal(peer_accept(&a2.peer, &from), 0);
	assert_int_equal(from, a1.addr.ip);
	reaches(&a2.peer, a1.addr.ip, 7000);
}

static void other_tenant(void **state)
{
	(void)state;
	is_blocked(&a1.peer, b1.addr.ip, 7000, 0, "private destination");
	is_blocked(&b1.peer, a1.addr.ip, 7000, 0, "private destination");
}

static void host_is_closed(void **state)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(8081)};
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd p = {fd, POLLIN, 0};

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(fd, 4), 0);
	is_blocked(&a1.peer, GATEWAY, 8081, 0, "the host");
	is_blocked(&a1.peer, HOST_OUT, 8081, 0, "the host");
	assert_int_equal(poll(&p, 1, 0), 0);
}

static void metadata_is_closed(void **state)
{
	(void)state;
	is_blocked(&a1.peer, METADATA, 80, 0, "private destination");
	is_blocked(&a1.peer, 0xc0a80101, 80, 0, "private destination");
	is_blocked(&a1.peer, unused(), 80, 0, "private destination");
}

static void nobody_forges(void **state)
{
	(void)state;
	is_blocked(&a1.peer, SINK, 80, b1.addr.ip, "forged source");
	is_blocked(&a1.peer, a2.addr.ip, 7000, SINK, "forged source");
	is_blocked(&sink, a2.addr.ip, 7000, a1.addr.ip, "forged container");
}

static void egress_is_masked(void **state)
{
	uint32_t from;

	(void)state;
	reaches(&a1.peer, SINK, 80);
	assert_int_equal(peer_accept(&sink, &from), 0);
	assert_int_equal(from, HOST_OUT);
}

static void nobody_comes_in(void **state)
{
	(void)state;
	is_blocked(&sink, a1.addr.ip, 7000, 0, "all else");
	/* Nor through: that the uplink forwards is our doing, and not for others. */
	is_blocked(&sink, ELSEWHERE, 80, 0, "not a router");
}

static void dns_is_open(void **state)
{
	uint64_t before = look_counter(nft, TABLE, "private destination");
	uint32_t from;

	(void)state;
	assert_int_equal(peer_send_udp(&a1.peer, DNS, 53, 1), 0);
	assert_int_equal(peer_recv_udp(&sink, &from), 0);
	assert_int_equal(from, HOST_OUT);
	assert_int_equal(look_counter(nft, TABLE, "private destination"), before);
	is_blocked(&a1.peer, DNS, 80, 0, "private destination");
}

/* The resolver, at the gateway's address: for containers, for port 53, and not for one of them alone. */
static void resolver_is_open(void **state)
{
	uint64_t before = look_counter(nft, TABLE, "the host"), talk = look_counter(nft, TABLE, "too much talk");
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	struct qt_err e = {0};
	auto_close int udp = -1, tcp = -1;
	char byte;
	int fds[2];

	(void)state;
	ok(rt_dns_open(fds, GATEWAY, &e), &e);
	udp = fds[0];
	tcp = fds[1];
	assert_int_equal(rt_dns_open(fds, GATEWAY, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT);
	assert_int_equal(peer_send_udp(&a1.peer, GATEWAY, 53, 1), 0);
	assert_true(poll(&(struct pollfd){.fd = udp, .events = POLLIN}, 1, PATIENCE_MS) == 1);
	assert_int_equal(recvfrom(udp, &byte, 1, MSG_TRUNC, (struct sockaddr *)&from, &size) >= 0, true);
	assert_int_equal(ntohl(from.sin_addr.s_addr), a1.addr.ip);
	reaches(&b1.peer, GATEWAY, 53);
	assert_int_equal(look_counter(nft, TABLE, "the host"), before);
	is_blocked(&a1.peer, GATEWAY, 54, 0, "the host");
	is_blocked(&a1.peer, GATEWAY, 53, b1.addr.ip, "forged source");
	/* One that floods is cut off by itself. */
	for (int i = 0; i < 10 && look_counter(nft, TABLE, "too much talk") == talk; i++)
		for (int k = 0; k < RT_TALK_MAX; k++)
			assert_int_equal(peer_send_udp(&a1.peer, GATEWAY, 53, 1), 0);
	assert_true(look_counter(nft, TABLE, "too much talk") > talk);
	while (recv(udp, &byte, 1, MSG_DONTWAIT) >= 0)
		;
	assert_int_equal(peer_send_udp(&b1.peer, GATEWAY, 53, 1), 0);
	assert_true(poll(&(struct pollfd){.fd = udp, .events = POLLIN}, 1, PATIENCE_MS) == 1);
}

/* What somebody else did to a link, a namespace or the table is seen, and mended. */
static void looks_and_mends(void **state)
{
	const unsigned whole = RT_NET_HOST_LINK | RT_NET_LINK | RT_NET_ADDRESS | RT_NET_ROUTE | RT_NET_FILTER;
	const struct rt_cidr to = {0xc6336400, 24};
	struct rt_cidr routes[RT_ROUTES_MAX];
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(rt_net_look(net, &a1.addr, a1.peer.ns_fd), whole);
	ok(rt_net_mend(net, &a1.addr, &ten_a, a1.peer.ns_fd, &e), &e);
	for (int i = 0; i < 2; i++)
		ok(rt_net_route(net, a1.peer.ns_fd, &to, false, &e), &e);
	assert_int_equal(rt_net_routes(net, a1.peer.ns_fd, routes, &e), 1);
	assert_true(routes[0].base == to.base && routes[0].bits == to.bits);
	for (int i = 0; i < 2; i++)
		ok(rt_net_route(net, a1.peer.ns_fd, &to, true, &e), &e);
	assert_int_equal(rt_net_routes(net, a1.peer.ns_fd, routes, &e), 0);

	look_remove_table(nft, TABLE);
	assert_int_equal(rt_net_look(net, &a1.addr, a1.peer.ns_fd), whole & ~(unsigned)RT_NET_FILTER);
	ok(rt_net_mend(net, &a1.addr, &ten_a, a1.peer.ns_fd, &e), &e);
	elements_are(3);
	ok(rt_rtnl_delete(rt, a1.addr.link, &e), &e);
	assert_int_equal(rt_net_look(net, &a1.addr, a1.peer.ns_fd), RT_NET_FILTER);
	ok(rt_net_mend(net, &a1.addr, &ten_a, a1.peer.ns_fd, &e), &e);
	assert_int_equal(rt_net_look(net, &a1.addr, a1.peer.ns_fd), whole);
	elements_are(3);
	reaches(&a1.peer, SINK, 80);
	(void)peer_accept(&sink, &(uint32_t){0});
}

struct search {
	uint32_t ip;
	unsigned seen;
};

static bool look_for(uint32_t ip, void *arg)
{
	struct search *s = arg;

	s->seen += ip == s->ip;
	return false;
}

static unsigned connections_of(uint32_t ip)
{
	struct search s = {ip, 0};
	struct qt_err e = {0};
	struct rt_ct *ct;

	ok(rt_ct_open(&ct, &e), &e);
	ok(rt_ct_forget(ct, look_for, &s, &e), &e);
	rt_ct_close(ct);
	return s.seen;
}

/* Who gets an address gets none of its former owner's connections, and nobody else loses one. */
static void connections_are_forgotten(void **state)
{
	struct qt_err e = {0};
	struct rt_addr again;
	struct box b;

	(void)state;
	box_open(&b, &ten_a);
	reaches(&b.peer, SINK, 80);
	(void)peer_accept(&sink, &(uint32_t){0});
	reaches(&a1.peer, SINK, 80);
	(void)peer_accept(&sink, &(uint32_t){0});
	assert_true(connections_of(b.addr.ip) > 0);
	assert_true(connections_of(a1.addr.ip) > 0);
	box_close(&b);
	assert_true(connections_of(b.addr.ip) > 0);
	ok(rt_net_reserve_ip(net, b.addr.ip, &again, &e), &e);
	assert_int_equal(connections_of(b.addr.ip), 0);
	assert_true(connections_of(a1.addr.ip) > 0);
	rt_net_release(net, &again);
	wait_for_links(3);
}

static void ipv6_is_dropped(void **state)
{
	struct qt_err e = {0};
	uint64_t before;
	char path[64];

	(void)state;
	/* Even where both ends have been talked into it: neighbour discovery is what is seen then. */
	(void)qt_fmt(path, sizeof(path), "net/ipv6/conf/%s/disable_ipv6", b1.addr.link);
	ok(rt_sysctl_set(sys_fd, path, "0", &e), &e);
	before = look_counter(nft, TABLE, "ipv6");
	assert_int_equal(peer_sysctl_set(&b1.peer, "net/ipv6/conf/eth0/disable_ipv6", "0"), 0);
	look_wait(nft, TABLE, "ipv6", before);
	assert_int_equal(peer_sysctl_set(&b1.peer, "net/ipv6/conf/eth0/disable_ipv6", "1"), 0);
	ok(rt_sysctl_set(sys_fd, path, "1", &e), &e);
}

static void counts_traffic(void **state)
{
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;
	const struct rt_addr nobody = {unused(), "qtnosuchlink"};
	struct rt_net_stats s;
	uint64_t in[4];

	(void)state;
	do { /* a late packet may fall between the two */
		assert_true(qt_mono_ms() < deadline);
		rt_net_stats(net, &a1.addr, &s);
		assert_int_equal(peer_counters(&a1.peer, in), 0);
	} while (s.rx_bytes != in[0] || s.rx_packets != in[1] || s.tx_bytes != in[2] || s.tx_packets != in[3]);
	assert_true(s.rx_packets > 0 && s.tx_packets > 0);
	rt_net_stats(net, &nobody, &s);
	assert_true(s.rx_bytes == 0 && s.tx_bytes == 0 && s.rx_packets == 0 && s.tx_packets == 0);
}

static void bounds_connections(void **state)
{
	uint64_t before = look_counter(nft, TABLE, "too many connections");

	(void)state;
	assert_int_equal(peer_send_udp(&b1.peer, SINK, 10000, RT_CONNS_MAX + 50), 0);
	look_wait(nft, TABLE, "too many connections", before);
	/* It has used up its own share, and nobody else's. */
	reaches(&a1.peer, SINK, 80);
}

static void mends_the_table(void **state)
{
	struct qt_err e = {0};
	struct box a3 = {0};

	(void)state;
	look_remove_table(nft, TABLE);
	box_open(&a3, &ten_a);
	elements_are(4);
	reaches(&a3.peer, a2.addr.ip, 7000);
	reaches(&a1.peer, a2.addr.ip, 7000);
	is_blocked(&a3.peer, b1.addr.ip, 7000, 0, "private destination");

	look_remove_table(nft, TABLE);
	peer_stop(&a3.peer);
	ok(rt_net_detach(net, &a3.addr, &e), &e);
	elements_are(3);
	rt_net_release(net, &a3.addr);
}

static void survives_a_restart(void **state)
{
	struct qt_err e = {0};
	struct rt_addr gone = {.ip = unused()};

	(void)state;
	rt_net_close(net);
	net = NULL;
	elements_are(3);
	net_open();
	elements_are(0);
	is_blocked(&a1.peer, a2.addr.ip, 7000, 0, "forged source");
	assert_int_equal(rt_net_adopt(net, &a1.addr, &ten_a, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT); /* not reserved */
	qt_err_reset(&e);
	ok(rt_net_reserve_this(net, &a1.addr, &e), &e);
	ok(rt_net_reserve_this(net, &a2.addr, &e), &e);
	ok(rt_net_reserve_this(net, &b1.addr, &e), &e);
	ok(rt_net_adopt(net, &a1.addr, &ten_a, &e), &e);
	ok(rt_net_adopt(net, &a2.addr, &ten_a, &e), &e);
	ok(rt_net_adopt(net, &b1.addr, &ten_b, &e), &e);
	elements_are(3);
	assert_true(rt_net_ok(net, &a1.addr, a1.peer.ns_fd));
	reaches(&a1.peer, a2.addr.ip, 7000);
	reaches(&b1.peer, SINK, 80);
	is_blocked(&a1.peer, b1.addr.ip, 7000, 0, "private destination");

	(void)qt_copy(gone.link, sizeof(gone.link), "qt0000000000");
	ok(rt_net_reserve_this(net, &gone, &e), &e);
	assert_int_equal(rt_net_adopt(net, &gone, &ten_a, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT);
	rt_net_release(net, &gone);
	elements_are(3);
}

static bool is_known(const char *link, void *arg)
{
	(void)arg;
	return qt_streq(link, a1.addr.link) || qt_streq(link, a2.addr.link) || qt_streq(link, b1.addr.link);
}

static void sweeps(void **state)
{
	static const struct {
		const char *name, *alias;
		bool swept;
	} rows[] = {
		{"qtaaaaaaaaaa", "quiltd " TABLE, true},
		{"qtbbbbbbbbbb", NULL, true}, /* a crash came before the alias */
		{"qtcccccccccc", "quiltd other", false},
		{"qtvpn", NULL, false},
		{"qxdddddddddd", "quiltd " TABLE, false},
	};
	struct peer p[QT_LEN(rows)] = {0};
	struct qt_err e = {0};
	int index;

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		peer_start(&p[i]);
		ok(rt_rtnl_veth(rt, rows[i].name, p[i].ns_fd, 0, &index, &e), &e);
		if (rows[i].alias)
			ok(rt_rtnl_host_end(rt, index, rows[i].alias, GATEWAY, 0x0a4e0080 + (uint32_t)i, &e), &e);
	}
	assert_int_equal(rt_net_sweep(net, is_known, NULL, &e), 2);
	for (size_t i = 0; i < QT_LEN(rows); i++)
		assert_int_equal(link_there(rows[i].name), !rows[i].swept);
	assert_int_equal(rt_net_sweep(net, is_known, NULL, &e), 0);
	assert_true(link_there(a1.addr.link) && link_there(a2.addr.link) && link_there(b1.addr.link));
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		peer_stop(&p[i]);
		ok(rt_rtnl_delete(rt, rows[i].name, &e), &e);
	}
	reaches(&a1.peer, a2.addr.ip, 7000);
}

static void detaches(void **state)
{
	struct qt_err e = {0};

	(void)state;
	ok(rt_net_detach(net, &a1.addr, &e), &e);
	ok(rt_net_detach(net, &a1.addr, &e), &e);
	elements_are(2);
	assert_false(rt_net_ok(net, &a1.addr, a1.peer.ns_fd));
	is_blocked(&a1.peer, a2.addr.ip, 7000, 0, "forged source");
	is_blocked(&a2.peer, a1.addr.ip, 7000, 0, "private destination");
	box_close(&a1);
	box_close(&a2);
	box_close(&b1);
	elements_are(0);
	wait_for_links(0);
}

/* Restart and release while a namespace lingers. A process that dies with something unsent leaves a connection behind, and that keeps the namespace. */
static void lingering_namespaces(void **state)
{
	struct box b = {0};
	struct qt_err e = {0};
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;

	(void)state;
	box_open(&b, &ten_a);
	reaches(&b.peer, SINK, 80);
	ok(rt_net_detach(net, &b.addr, &e), &e); /* its last words are not let through */
	peer_stop(&b.peer);
	assert_true(link_there(b.addr.link));
	/* It may start again with the same address and link at once, if it is still its own. */
	peer_start(&b.peer);
	ok(rt_net_attach(net, &b.addr, &ten_a, b.peer.pid, &e), &e);
	assert_true(rt_net_ok(net, &b.addr, b.peer.ns_fd));
	reaches(&b.peer, SINK, 80);
	assert_int_equal(links_of_ours(), 1);
	ok(rt_net_detach(net, &b.addr, &e), &e);
	peer_stop(&b.peer);
	rt_net_release(net, &b.addr);
	while (rt_net_reap(net) == 0) {
		assert_true(qt_mono_ms() < deadline);
		(void)poll(NULL, 0, 20);
	}
	assert_false(link_there(b.addr.link));
	wait_for_links(0);
}

/* Each of these fails at another step; after each, all is as before. */
static void failures_leave_nothing(void **state)
{
	struct peer p = {0}, holder = {0};
	struct rt_addr a, b;
	struct qt_err e = {0};
	unsigned fds;
	pid_t pid;
	int index;

	(void)state;
	peer_start(&p);
	ok(rt_net_reserve(net, &a, &e), &e);
	ok(rt_net_reserve(net, &b, &e), &e);
	fds = descriptors();

	peer_start(&holder);
	pid = holder.pid;
	peer_stop(&holder);
	assert_int_equal(rt_net_attach(net, &a, &ten_a, pid, &e), -1); /* gone */
	qt_err_reset(&e);
	assert_int_equal(rt_net_attach(net, &a, &ten_a, getpid(), &e), -1); /* the host's namespace */
	qt_err_reset(&e);
	assert_int_equal(rt_net_attach(net, &a, &ten_a, 0, &e), -1);
	qt_err_reset(&e);
	assert_int_equal(rt_net_attach(net, &(struct rt_addr){0x0a4d0005, "qtzzzzzzzzzz"}, &ten_a, p.pid, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT); /* not reserved */
	qt_err_reset(&e);
	elements_are(0);
	wait_for_links(0);

	/* The link's name is taken; the taker keeps it. */
	peer_start(&holder);
	ok(rt_rtnl_veth(rt, a.link, holder.ns_fd, 0, &index, &e), &e);
	assert_int_equal(rt_net_attach(net, &a, &ten_a, p.pid, &e), -1);
	assert_int_equal(e.sys, EEXIST);
	qt_err_reset(&e);
	elements_are(0);
	assert_int_equal(links_of_ours(), 1);

	/* The route to the address exists already, by a link of a former life: the last step fails. */
	ok(rt_rtnl_host_end(rt, index, "x", GATEWAY, b.ip, &e), &e);
	assert_int_equal(rt_net_attach(net, &b, &ten_a, p.pid, &e), -1);
	assert_int_equal(e.sys, EEXIST);
	qt_err_reset(&e);
	elements_are(0);
	assert_int_equal(links_of_ours(), 1);
	peer_stop(&holder);
	wait_for_links(0);

	/* There is an eth0 in the namespace already. */
	ok(rt_net_attach(net, &a, &ten_a, p.pid, &e), &e);
	assert_int_equal(rt_net_attach(net, &b, &ten_a, p.pid, &e), -1);
	assert_int_equal(e.sys, EEXIST);
	qt_err_reset(&e);
	elements_are(1);
	assert_false(link_there(b.link));
	/* And this one is attached already. */
	assert_int_equal(rt_net_attach(net, &a, &ten_a, p.pid, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT);
	qt_err_reset(&e);
	elements_are(1);
	assert_true(rt_net_ok(net, &a, p.ns_fd));

	assert_int_equal(descriptors(), fds);
	peer_stop(&p);
	ok(rt_net_detach(net, &a, &e), &e);
	rt_net_release(net, &a);
	rt_net_release(net, &b);
	elements_are(0);
	wait_for_links(0);
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void many_times(void **state)
{
	static int64_t up[LOOPS], down[LOOPS];
	unsigned fds = descriptors();
	struct qt_err e = {0};
	struct box b[AT_ONCE];
	int64_t t;

	(void)state;
	for (int n = 0; n < LOOPS; n += AT_ONCE) {
		for (int i = 0; i < AT_ONCE; i++) {
			peer_start(&b[i].peer);
			ok(rt_net_reserve(net, &b[i].addr, &e), &e);
			t = now_us();
			ok(rt_net_attach(net, &b[i].addr, i % 2 ? &ten_a : &ten_b, b[i].peer.pid, &e), &e);
			up[n + i] = now_us() - t;
		}
		elements_are(AT_ONCE);
		for (int i = 0; i < AT_ONCE; i++) {
			peer_stop(&b[i].peer);
			t = now_us();
			ok(rt_net_detach(net, &b[i].addr, &e), &e);
			down[n + i] = now_us() - t;
			rt_net_release(net, &b[i].addr);
		}
	}
	elements_are(0);
	wait_for_links(0);
	assert_int_equal(descriptors(), fds);
	qsort(up, LOOPS, sizeof(up[0]), by_size);
	qsort(down, LOOPS, sizeof(down[0]), by_size);
	print_message("attach p50 %lld us, p95 %lld us; detach p50 %lld us, p95 %lld us\n", (long long)up[LOOPS / 2],
		      (long long)up[LOOPS * 95 / 100], (long long)down[LOOPS / 2], (long long)down[LOOPS * 95 / 100]);
}

static void a_full_subnet(void **state)
{
	struct rt_addr a[6], more;
	struct peer holder = {0};
	struct qt_err e = {0};
	struct rt_net *small;
	int index;

	(void)state;
	set("subnet", "10.78.0.0/29");
	set("instance", "qtsmall");
	ok(rt_net_open(&small, &conf, &e), &e);
	for (size_t i = 0; i < QT_LEN(a); i++)
		ok(rt_net_reserve(small, &a[i], &e), &e);
	assert_int_equal(rt_net_reserve(small, &more, &e), -1);
	assert_int_equal(e.code, QT_E_CAPACITY_FULL);
	qt_err_reset(&e);
	/* Given back, but its link lingers; then it is gone. */
	peer_start(&holder);
	ok(rt_rtnl_veth(rt, a[2].link, holder.ns_fd, 0, &index, &e), &e);
	rt_net_release(small, &a[2]);
	assert_int_equal(rt_net_reserve(small, &more, &e), -1);
	qt_err_reset(&e);
	ok(rt_rtnl_delete(rt, a[2].link, &e), &e);
	ok(rt_net_reserve(small, &more, &e), &e);
	assert_int_equal(more.ip, a[2].ip);
	peer_stop(&holder);
	ok(rt_net_remove(small, &e), &e);
	assert_false(look_table(nft, "qtsmall"));
	rt_net_close(small);
	/* It had not been the one to turn forwarding on. */
	assert_int_equal(host_switch(UPLINK, "forwarding"), 1);
	set("subnet", "10.77.0.0/24");
	set("instance", TABLE);
}

static void is_removed(void **state)
{
	struct qt_err e = {0};

	(void)state;
	box_open(&a1, &ten_a);
	assert_int_equal(rt_net_remove(net, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT);
	qt_err_reset(&e);
	box_close(&a1);
	ok(rt_net_remove(net, &e), &e);
	assert_false(look_table(nft, TABLE));
	assert_int_equal(host_switch(UPLINK, "forwarding"), 0);
	rt_net_close(net);
	net = NULL;
}

static void other_uplinks(void **state)
{
	struct qt_err e = {0};

	(void)state;
	set("uplink", "auto");
	net_open();
	assert_string_equal(rt_net_uplink(net), UPLINK);
	assert_int_equal(host_switch(UPLINK, "forwarding"), 1);
	rt_net_close(net);
	net = NULL;

	/* The next one wants no egress: it puts back what the last one changed. */
	set("uplink", "none");
	net_open();
	assert_null(rt_net_uplink(net));
	assert_int_equal(host_switch(UPLINK, "forwarding"), 0);
	box_open(&a1, &ten_a);
	box_open(&a2, &ten_a);
	assert_int_equal(peer_listen(&a2.peer, 7000), 0);
	reaches(&a1.peer, a2.addr.ip, 7000);
	is_blocked(&a1.peer, SINK, 80, 0, "all else");
	box_close(&a1);
	box_close(&a2);
	wait_for_links(0);
	ok(rt_net_remove(net, &e), &e);
	rt_net_close(net);
	net = NULL;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens),	       cmocka_unit_test(refuses_bad_settings),
		cmocka_unit_test(attaches),	       cmocka_unit_test(pings_the_gateway),
		cmocka_unit_test(same_tenant),	       cmocka_unit_test(other_tenant),
		cmocka_unit_test(host_is_closed),      cmocka_unit_test(metadata_is_closed),
		cmocka_unit_test(nobody_forges),       cmocka_unit_test(egress_is_masked),
		cmocka_unit_test(nobody_comes_in),     cmocka_unit_test(dns_is_open),
		cmocka_unit_test(resolver_is_open), cmocka_unit_test(looks_and_mends),
		cmocka_unit_test(connections_are_forgotten),
		cmocka_unit_test(ipv6_is_dropped),     cmocka_unit_test(counts_traffic),
		cmocka_unit_test(bounds_connections),  cmocka_unit_test(mends_the_table),
		cmocka_unit_test(survives_a_restart),  cmocka_unit_test(sweeps),
		cmocka_unit_test(detaches),	       cmocka_unit_test(lingering_namespaces),
		cmocka_unit_test(failures_leave_nothing),
		cmocka_unit_test(many_times),	       cmocka_unit_test(a_full_subnet),
		cmocka_unit_test(is_removed),	       cmocka_unit_test(other_uplinks),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
