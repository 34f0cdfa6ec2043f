/* The network of containers with real namespaces and real packets, all inside one namespace of this program's own. That something
 * is blocked is never concluded from silence: the packet is seen to meet the rule that drops it. Run as root. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "dnssock.h"
#include "net_rig.h"
#include "netct.h"
#include "netns.h"
#include "netrules.h"
#include "rt.h"
#include "str.h"

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
	/* One that floods is cut off by itself. At one go: a slow machine would stay below the limit, if it were asked for each. */
	for (int i = 0; i < 10 && look_counter(nft, TABLE, "too much talk") == talk; i++)
		assert_int_equal(peer_flood_udp(&a1.peer, GATEWAY, 53, RT_TALK_MAX), 0);
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
