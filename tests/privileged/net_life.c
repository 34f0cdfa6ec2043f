/* The network from its begin to its end: tables that are mended, restarts, sweeps, what goes and what stays, many at once. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "fds.h"
#include "net_rig.h"
#include "str.h"

void mends_the_table(void **state)
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

void survives_a_restart(void **state)
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

void sweeps(void **state)
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

void detaches(void **state)
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
void lingering_namespaces(void **state)
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
	ok(rt_net_prepare(net, b.peer.pid, &e), &e);
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
void failures_leave_nothing(void **state)
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
	fds = count_fds();

	peer_start(&holder);
	pid = holder.pid;
	peer_stop(&holder);
	assert_int_equal(rt_net_attach(net, &a, &ten_a, pid, &e), -1); /* gone */
	qt_err_reset(&e);
	assert_int_equal(rt_net_attach(net, &a, &ten_a, getpid(), &e), -1); /* the host's namespace */
	qt_err_reset(&e);
	assert_int_equal(rt_net_attach(net, &a, &ten_a, 0, &e), -1);
	qt_err_reset(&e);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rt_net_prepare(net, ((pid_t[]){pid, getpid(), 0})[i], &e), -1);
		qt_err_reset(&e);
	}
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

	ok(rt_net_prepare(net, p.pid, &e), &e);
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

	assert_int_equal(count_fds(), fds);
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

void many_times(void **state)
{
	static int64_t up[LOOPS], down[LOOPS];
	unsigned fds = count_fds();
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
	assert_int_equal(count_fds(), fds);
	qsort(up, LOOPS, sizeof(up[0]), by_size);
	qsort(down, LOOPS, sizeof(down[0]), by_size);
	print_message("attach p50 %lld us, p95 %lld us; detach p50 %lld us, p95 %lld us\n", (long long)up[LOOPS / 2],
		      (long long)up[LOOPS * 95 / 100], (long long)down[LOOPS / 2], (long long)down[LOOPS * 95 / 100]);
}

void a_full_subnet(void **state)
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

void is_removed(void **state)
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

void other_uplinks(void **state)
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
