/* What of the runtime needs no root: who may ask for what, the journal, numbers, timers, trees. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fdio.h"
#include "runtime/dirs.h"
#include "runtime/image.h"
#include "runtime/ops.h"
#include "str.h"

static char dir[64];
static int dir_fd = -1;

static int make_dir(void **state)
{
	(void)state;
	(void)qt_copy(dir, sizeof(dir), "/tmp/qt-runtime-XXXXXX");
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0;
}

static int drop_dir(void **state)
{
	(void)state;
	assert_int_equal(rt_dir_empty(dir_fd), 0);
	qt_close(dir_fd);
	return rmdir(dir);
}

/* --- golden files ---------------------------------------------------------------------------------------- */

/* What PRINT prints must be what NAME, below the source directory, holds: a change of privileges is a change that a reviewer sees. */
static void golden(const char *name, void (*print)(FILE *out))
{
	char path[512], *is = NULL, *want;
	size_t len = 0;
	FILE *out = open_memstream(&is, &len);
	struct qt_err e = {0};

	assert_non_null(out);
	print(out);
	assert_int_equal(fclose(out), 0);
	want = calloc(1, 1 << 20);
	assert_non_null(want);
	assert_true(qt_fmt(path, sizeof(path), QT_TEST_SRCDIR "/%s", name));
	if (getenv("QT_GOLDEN_WRITE")) {
		out = fopen(path, "we");
		assert_non_null(out);
		assert_int_equal(fwrite(is, 1, len, out), len);
		assert_int_equal(fclose(out), 0);
	}
	if (qt_read_file(AT_FDCWD, path, want, 1 << 20, &e) < 0)
		fail_msg("%s: %s", name, e.msg);
	if (!qt_streq(is, want))
		fail_msg("%s is not what the program says: look at the change, then run this test with QT_GOLDEN_WRITE=1", name);
	free(want);
	free(is);
}

static const struct {
	unsigned bit;
	const char *name;
} roles[] = {{RT_ROLE_API, "api"}, {RT_ROLE_AGENT, "agent"}, {RT_ROLE_ADMIN, "admin"}, {RT_ROLE_DNS, "dns"}, {RT_ROLE_STREAM, "stream"}},
  states[] = {{RT_S_NONE, "none"},
	      {RT_S_CREATED, "created"},
	      {RT_S_RUNNING, "running"},
	      {RT_S_ENDING, "ending"},
	      {RT_S_EXITED, "exited"},
	      {RT_S_MAKING, "making"}};

static void print_policy(FILE *out)
{
	fputs("# operation, role, state: yes, or the error. From the table in src/runtime/ops.c by tests/unit/test_runtime.c.\n", out);
	for (uint32_t op = 0; op <= RT_OP_COUNT; op++)
		for (size_t r = 0; r < QT_LEN(roles); r++)
			for (size_t s = 0; s < QT_LEN(states); s++) {
				struct qt_err e = {0};
				const struct rt_op_def *d = rt_admit(roles[r].bit, op, states[s].bit, 0, &e);

				fprintf(out, "%-8s %-6s %-8s %s\n", op > 0 && op < RT_OP_COUNT ? rt_shapes[op].name : "(none)",
					roles[r].name, states[s].name, d ? "yes" : qt_err_row(e.code)->name);
			}
}

static void policy_is_as_written(void **state)
{
	(void)state;
	golden("tests/unit/rt_policy.txt", print_policy);
}

static void documents_are_as_printed(void **state)
{
	(void)state;
	golden("docs/privileges.md", rt_print_privileges);
	golden("docs/protocol-runtime.md", rt_print_protocol);
}

static void gate_refuses_by_default(void **state)
{
	(void)state;
	for (uint32_t op = 0; op <= RT_OP_COUNT; op++) {
		struct qt_err e = {0};

		assert_null(rt_admit(0, op, RT_S_NONE | RT_S_ANY, 0, &e)); /* nobody */
		qt_err_reset(&e);
		assert_null(rt_admit(RT_ROLE_ALL, op, 0, 0, &e)); /* no state */
		qt_err_reset(&e);
		assert_null(rt_admit(RT_ROLE_ALL, op, RT_S_NONE | RT_S_ANY, op < RT_OP_COUNT ? rt_shapes[op].fds_in + 1 : 0, &e));
	}
	for (uint32_t op = 1; op < RT_OP_COUNT; op++) {
		struct qt_err e = {0};
		const struct rt_op_def *d = rt_admit(RT_ROLE_ALL, op, RT_S_NONE | RT_S_ANY, rt_shapes[op].fds_in, &e);

		if (op == RT_EVENT) {
			assert_null(d);
			continue;
		}
		assert_non_null(d);
		assert_true(d->uses && d->hostile && d->budget_ms > 0);
	}
}

/* --- journal ----------------------------------------------------------------------------------------------- */

static struct rt_entry sample(const char *id)
{
	struct rt_entry en = {.phase = RT_PH_WHOLE,
			      .state = RT_ST_RUNNING,
			      .hostname = rt_str("demo"),
			      .image = rt_str("prod"),
			      .workdir = rt_str("/app"),
			      .link = rt_str("q123"),
			      .boot_id = rt_str("b"),
			      .memory_mb = 512,
			      .cpu_centi = 5000,
			      .strict = 1,
			      .range = 3,
			      .ip = 0x0a2a0005,
			      .pid = 77,
			      .exit_code = 0,
			      .start_time = 123456789,
			      .created_ms = 1,
			      .started_ms = 2,
			      .exited_ms = 3,
			      .record = {"a\0b", 3}};

	assert_true(qt_id_parse(&en.id, "ctr", id));
	assert_true(qt_id_parse(&en.tenant, "ten", "ten_x"));
	return en;
}

struct seen {
	unsigned n;
	const char *id;
};

static int see(const struct rt_entry *en, void *arg, struct qt_err *e)
{
	struct rt_entry want = sample(en->id.s);
	struct seen *s = arg;

	(void)e;
	assert_string_equal(en->hostname.s, want.hostname.s);
	assert_string_equal(en->workdir.s, want.workdir.s);
	assert_string_equal(en->tenant.s, want.tenant.s);
	assert_int_equal(en->range, want.range);
	assert_int_equal(en->start_time, want.start_time);
	assert_int_equal(en->record.len, 3);
	assert_memory_equal(en->record.s, want.record.s, 3);
	s->n++;
	return 0;
}

static ssize_t read_entry(struct rt_keep *j, const char *id, char *buf, size_t size)
{
	struct qt_err e = {0};

	return qt_read_file(j->dir_fd, id, buf, size, &e);
}

static void put_file(int fd, const char *name, const char *data, size_t len)
{
	struct qt_err e = {0};

	assert_int_equal(qt_replace_file(fd, name, data, len, 0600, false, &e), 0);
}

static void journal_keeps(void **state)
{
	struct rt_keep j;
	struct rt_entry a = sample("ctr_a"), b = sample("ctr_b");
	struct qt_err e = {0};
	struct seen seen = {0};

	(void)state;
	assert_int_equal(rt_journal_open(&j, dir_fd, &e), 0);
	assert_int_equal(rt_journal_put(&j, &a, true, &e), 0);
	assert_int_equal(rt_journal_put(&j, &b, false, &e), 0);
	put_file(j.dir_fd, ".ctr_c.0123", "half", 4); /* a replacement that was never finished */
	assert_int_equal(rt_journal_load(&j, see, &seen, &e), 0);
	assert_int_equal(seen.n, 2);
	assert_int_equal(faccessat(j.dir_fd, ".ctr_c.0123", F_OK, 0), -1);
	assert_int_equal(rt_journal_drop(&j, &a.id, &e), 0);
	assert_int_equal(rt_journal_drop(&j, &a.id, &e), 0);
	seen.n = 0;
	assert_int_equal(rt_journal_load(&j, see, &seen, &e), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(rt_journal_drop(&j, &b.id, &e), 0);
	rt_keep_close(&j);
}

/* Cut anywhere, or with any byte changed: set aside, and the others are read. */
static void journal_survives_rot(void **state)
{
	struct rt_entry a = sample("ctr_a"), good = sample("ctr_good");
	struct qt_err e = {0};
	struct rt_keep j;
	char whole[4096], bad[4096];
	ssize_t len;

	(void)state;
	assert_int_equal(rt_journal_open(&j, dir_fd, &e), 0);
	assert_int_equal(rt_journal_put(&j, &a, false, &e), 0);
	assert_int_equal(rt_journal_put(&j, &good, false, &e), 0);
	len = read_entry(&j, "ctr_a", whole, sizeof(whole));
	assert_true(len > 100);
	for (ssize_t i = 0; i < 2 * len; i += 5) {
		struct seen seen = {0};
		size_t n = i < len ? (size_t)i : (size_t)len;

		memcpy(bad, whole, (size_t)len);
		if (i >= len)
			bad[i - len] = (char)(bad[i - len] ^ 0x20);
		if (i >= len + 4 && i < len + 8)
			continue; /* the version: see below */
		put_file(j.dir_fd, "ctr_a", bad, n);
		assert_false(rt_keep_is_bad(&j, "ctr_a"));
		assert_int_equal(rt_journal_load(&j, see, &seen, &e), 0);
		assert_int_equal(seen.n, 1);
		assert_true(rt_keep_is_bad(&j, "ctr_a"));
		assert_int_equal(unlinkat(j.bad_fd, "ctr_a", 0), 0);
	}
	/* Whole, but of another name; and no entry at all. */
	put_file(j.dir_fd, "ctr_other", whole, (size_t)len);
	put_file(j.dir_fd, "README", whole, (size_t)len);
	{
		struct seen seen = {0};

		assert_int_equal(rt_journal_load(&j, see, &seen, &e), 0);
		assert_int_equal(seen.n, 1);
		assert_true(rt_keep_is_bad(&j, "ctr_other"));
		assert_true(rt_keep_is_bad(&j, "README"));
	}
	/* A newer version: touch nothing, say so. */
	memcpy(bad, whole, (size_t)len);
	bad[4]++;
	put_file(j.dir_fd, "ctr_a", bad, (size_t)len);
	put_file(j.dir_fd, "ctr_rotten", whole, 10);
	{
		struct seen seen = {0};

		assert_int_equal(rt_journal_load(&j, see, &seen, &e), -1);
		assert_non_null(strstr(e.msg, "version 4"));
		assert_int_equal(seen.n, 0);
		assert_false(rt_keep_is_bad(&j, "ctr_rotten"));
	}
	rt_keep_close(&j);
	assert_int_equal(rt_dir_empty(dir_fd), 0);
}

/* --- ranges ------------------------------------------------------------------------------------------------ */

static void ranges_go_round(void **state)
{
	struct rt_ranges r;
	struct qt_err e = {0};
	uint32_t got;

	(void)state;
	assert_int_equal(rt_ranges_init(&r, 10, &e), 0);
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(rt_ranges_take(&r, &got, &e), 0);
		assert_int_equal(got, i);
	}
	assert_int_equal(rt_ranges_take(&r, &got, &e), -1);
	assert_int_equal(e.code, QT_E_CAPACITY_FULL);
	qt_err_reset(&e);
	rt_ranges_release(&r, 3);
	rt_ranges_release(&r, 7);
	assert_int_equal(rt_ranges_take_this(&r, 3, &e), 0);
	assert_int_equal(rt_ranges_take_this(&r, 3, &e), -1);
	qt_err_reset(&e);
	assert_int_equal(rt_ranges_take_this(&r, 10, &e), -1);
	qt_err_reset(&e);
	rt_ranges_release(&r, 3);
	/* Not the one that was just given back, if there is another. */
	assert_int_equal(rt_ranges_take(&r, &got, &e), 0);
	assert_int_equal(got, 7);
	assert_int_equal(rt_ranges_take(&r, &got, &e), 0);
	assert_int_equal(got, 3);
	rt_ranges_release(&r, 99);
	rt_ranges_done(&r);
}

/* --- image.conf -------------------------------------------------------------------------------------------- */

static int parse(const char *text, struct rt_image *ret)
{
	struct qt_err e = {0};
	char copy[1024];

	assert_true(qt_copy(copy, sizeof(copy), text));
	return rt_image_parse(ret, copy, strlen(copy), &e);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void images_say_what_they_are(void **state)
{
	static const char *const bad[] = {
		"",
		"name = a\nversion = 1\n",
		"name = a\nversion = 1\nkind = managed\nkind = managed\n",
		"name = ../a\nversion = 1\nkind = managed\n",
		"name = a\nversion = 1\nkind = managed\nwhat = 1\n",
		"name = a\nversion = 1\nkind = managed\nrequire = bin/sh\n",
		"name = a\nversion = 1\nkind = managed\nsize_bytes = -1\n",
		"name = a\nversion = 1\nkind = managed\nline\n",
		"name = a\nversion = 1\nkind = longer-than-sixteen\n",
		"name = a\nversion = 1\nkind = managed\nlayer = " HEX "\n",
		"name = a\nversion = 1\nkind = managed\nlayer = " HEX "0\nconfig = " HEX "\n",
		"name = a\nversion = 1\nkind = managed\nlayer = ../../ctr\nconfig = " HEX "\n",
		"name = a\nversion = 1\nkind = managed\nlayer = " HEX "\nconfig = sha256:" HEX "\n",
	};
	static const char *const names[] = {"", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "a@" HEX, HEX};
	static const char *const versions[] = {"", "a", "@" HEX, "a@", "a@" HEX "0", "a@0123", "../a@" HEX, "a@../" HEX, "a@b@" HEX, HEX "@" HEX};
	struct rt_image img;

	(void)state;
	assert_int_equal(parse("# prod\nname = prod\n version=1.2\r\nkind = managed\nsize_bytes = 12\nrequire = /bin/sh\nrequire = /bin/cat",
			       &img),
			 0);
	assert_string_equal(img.name, "prod");
	assert_string_equal(img.version, "1.2");
	assert_int_equal(img.size_bytes, 12);
	assert_int_equal(img.require_len, 17);
	assert_memory_equal(img.require, "/bin/sh\0/bin/cat\0", 17);
	for (size_t i = 0; i < QT_LEN(bad); i++)
		assert_int_equal(parse(bad[i], &img), -1);
	for (size_t i = 0; i < QT_LEN(names); i++)
		assert_false(rt_image_name_ok(names[i]));
	assert_true(rt_image_name_ok("prod-gui_1.0"));
	for (size_t i = 0; i < QT_LEN(versions); i++)
		assert_false(rt_image_version_ok(versions[i]));
	assert_true(rt_image_version_ok("prod-gui_1.0@" HEX));
	assert_int_equal(parse("name = a\nversion = 1\nkind = managed\ntree = sha256:" HEX "\nlayer = " HEX "\nconfig = " HEX "\n", &img), 0);
	assert_string_equal(img.layer, HEX);
	assert_string_equal(img.config, HEX);
}

/* --- loop -------------------------------------------------------------------------------------------------- */

struct clock_test {
	struct rt_loop *loop;
	struct rt_timer timer[16];
	int fired[16], n;
};
static struct clock_test *current;

static void fired(void *arg)
{
	current->fired[current->n++] = (int)((struct rt_timer *)arg - current->timer);
	if (current->n == 8)
		rt_loop_stop(current->loop);
}

/* In the order of their times, whatever the order of setting, and not those that were taken back. */
static void timers_in_order(void **state)
{
	static const int in_ms[16] = {9, 3, 12, 1, 15, 7, 5, 11, 2, 14, 6, 10, 4, 13, 8, 16};
	struct clock_test t = {0};
	struct qt_err e = {0};

	(void)state;
	current = &t;
	assert_int_equal(rt_loop_open(&t.loop, &e), 0);
	for (int i = 0; i < 16; i++)
		assert_int_equal(rt_timer_set(t.loop, &t.timer[i], in_ms[i], fired, &t.timer[i], &e), 0);
	for (int i = 0; i < 16; i++)
		if (in_ms[i] % 2 == 0)
			rt_timer_clear(t.loop, &t.timer[i]);
	assert_int_equal(rt_loop_run(t.loop, &e), 0);
	assert_int_equal(t.n, 8);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(in_ms[t.fired[i]] % 2, 1);
		/* By what was set, not by in_ms: there may have been a pause between two settings. */
		assert_true(i == 0 || t.timer[t.fired[i]].at >= t.timer[t.fired[i - 1]].at);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(t.fired[i], t.fired[k]);
	}
	rt_loop_close(t.loop);
}

struct pair {
	struct rt_loop *loop;
	rt_watch_t watch[2];
	int calls;
};

static void takes_the_other_away(void *arg, uint32_t events)
{
	struct pair *p = arg;

	(void)events;
	p->calls++;
	rt_loop_del(p->loop, &p->watch[0]);
	rt_loop_del(p->loop, &p->watch[1]);
	rt_loop_stop(p->loop);
}

/* Both are ready in one turn; the second event is stale when its time comes. */
static void stale_events_are_dropped(void **state)
{
	struct pair p = {0};
	struct qt_err e = {0};
	rt_watch_t old;
	int a[2], b[2];

	(void)state;
	assert_int_equal(rt_loop_open(&p.loop, &e), 0);
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(rt_loop_add(p.loop, a[0], EPOLLIN, takes_the_other_away, &p, &p.watch[0], &e), 0);
	assert_int_equal(rt_loop_add(p.loop, b[0], EPOLLIN, takes_the_other_away, &p, &p.watch[1], &e), 0);
	old = p.watch[0];
	assert_ptr_equal(rt_loop_arg(p.loop, old), &p);
	assert_int_equal(rt_loop_run(p.loop, &e), 0);
	assert_int_equal(p.calls, 1);
	assert_null(rt_loop_arg(p.loop, old));
	/* The slot is used again, by another name. */
	assert_int_equal(rt_loop_add(p.loop, a[0], EPOLLIN, takes_the_other_away, &p, &p.watch[0], &e), 0);
	assert_null(rt_loop_arg(p.loop, old));
	rt_loop_del(p.loop, &p.watch[0]);
	rt_loop_close(p.loop);
	close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

/* --- trees ------------------------------------------------------------------------------------------------- */

/* Deeper than any path may be long, and than a process may hold descriptors; a link that leads out is only a name. */
static void deep_tree_is_emptied(void **state)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), outside;

	(void)state;
	assert_int_equal(mkdirat(dir_fd, "top", 0700), 0);
	outside = openat(dir_fd, "kept", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(outside >= 0);
	qt_close(outside);
	qt_reset_fd(&fd, openat(dir_fd, "top", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(mkdirat(fd, "directory", 0700), 0);
		assert_int_equal(symlinkat("../kept", fd, "link"), 0);
		qt_reset_fd(&fd, openat(fd, "directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		assert_true(fd >= 0);
	}
	qt_close(fd);
	fd = openat(dir_fd, "top", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(rt_dir_empty(fd), 0);
	qt_close(fd);
	assert_int_equal(unlinkat(dir_fd, "top", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(dir_fd, "kept", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_is_as_written),
		cmocka_unit_test(documents_are_as_printed),
		cmocka_unit_test(gate_refuses_by_default),
		cmocka_unit_test(journal_keeps),
		cmocka_unit_test(journal_survives_rot),
		cmocka_unit_test(ranges_go_round),
		cmocka_unit_test(images_say_what_they_are),
		cmocka_unit_test(timers_in_order),
		cmocka_unit_test(stale_events_are_dropped),
		cmocka_unit_test(deep_tree_is_emptied),
	};

	return cmocka_run_group_tests_name("runtime", tests, make_dir, drop_dir);
}
